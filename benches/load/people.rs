//! Stores as people have them, the same every time: who owns the `n`th, what is committed to it.

use deedbox::{
    host::{Admitted, Config, Host, Method, Request, Storage},
    parts::{
        cbor::Writer,
        cose::{LocalSigner, Signer as _, sha256, sign1},
        host::{authorization, proof::Claims, wire::CreateBody},
        model::{CapabilityId, DatasetId, ObjectId, Seq, StoreId, Timestamp},
        store::{Commit, CommitOutcome, HeadHash, Mode, Part, Put, Quota},
    },
};
use deedbox_testkit::rng::SeededRng;
use pollster::block_on;

use crate::Outcome;

pub(crate) const D: DatasetId = DatasetId::from_bytes([0xd1; 16]);
pub(crate) const ORIGIN: &str = "https://host.example";
/// The time, by everybody's clock: proofs are signed for it, and none goes stale while a program runs.
pub(crate) const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);
/// Bytes of an object: a small record, sealed.
pub(crate) const BODY: [u8; 400] = [6; 400];
/// Bytes of a head that the storage alone sees, which does not read it.
pub(crate) const HEAD: [u8; 300] = [5; 300];

pub(crate) type Clock = fn() -> Timestamp;

pub(crate) fn host<S: Storage>(storage: S, config: Config) -> Host<S, Clock> {
    Host::new(storage, || NOW, config)
}

/// Sixteen bytes that look random: stores and objects are spread like real ones.
pub(crate) fn id(n: usize) -> [u8; 16] {
    sha256(&n.to_be_bytes()).first_chunk().copied().unwrap_or_default()
}

pub(crate) fn store(n: usize) -> StoreId {
    StoreId::from_bytes(id(n))
}

pub(crate) fn object(n: usize) -> ObjectId {
    ObjectId::from_bytes(id(n))
}

pub(crate) fn capability(n: usize) -> CapabilityId {
    CapabilityId::from_bytes(id(n))
}

/// Everybody's key. Each would have their own; the host can't tell.
pub(crate) fn owner() -> LocalSigner {
    LocalSigner::generate(&mut SeededRng::new(7))
}

/// Makes the `n`th store, as a host makes it for a request.
pub(crate) fn make<S: Storage>(host: &Host<S, Clock>, owner: &LocalSigner, n: usize) -> Outcome<()> {
    let s = store(n);
    let mut w = Writer::new();
    w.array(7).text("deedbox-store").uint(1).bytes(s.as_bytes()).uint(1).uint(1);
    // as long as two ways to unlock
    w.array(2).bytes(&[3; 150]).bytes(&[4; 150]).bytes(&[0; 32]);
    let key = *owner.public().as_ed25519().ok_or("no Ed25519 key")?.as_bytes();
    let new = CreateBody::new(s, w.as_slice(), capability(n), key);
    Ok(block_on(host.create(Admitted::by_embedder(), &new))?)
}

/// `work` for every number below `count`, shared by eight threads.
pub(crate) fn share(count: usize, work: impl Fn(usize) -> Outcome<()> + Sync) -> Outcome<()> {
    let work = &work;
    std::thread::scope(|scope| {
        let threads: Vec<_> =
            (0..8).map(|first| scope.spawn(move || (first..count).step_by(8).try_for_each(work))).collect();
        threads.into_iter().try_for_each(|thread| thread.join().map_err(|_| "a thread panicked")?)
    })
}

/// The hash under which the `at`th head goes.
pub(crate) fn hash(at: u64) -> HeadHash {
    HeadHash(sha256(&at.to_be_bytes()))
}

/// Commits objects as the `at`th head of a store.
pub(crate) fn commit<S: Storage>(storage: &S, s: StoreId, at: u64, objects: &[ObjectId]) -> Outcome<()> {
    let seq = Seq::new(at).ok_or("not a sequence number")?;
    let puts: Vec<_> =
        objects.iter().map(|object| Put { object: *object, seq, kind: 1, body_hash: [7; 32], body: &BODY }).collect();
    let expect = (at > 1).then(|| hash(at - 1));
    let (hash, mode) = (hash(at), Mode::Next);
    let part = Part { dataset: D, expect, seq, hash, head: &HEAD, mode, puts: &puts, removes: &[] };
    let commit = Commit { parts: &[part], mail: &[], header: None, quota: &Quota::default() };
    match block_on(storage.commit(s, &commit))? {
        CommitOutcome::Done => Ok(()),
        _ => Err("another head is in force".into()),
    }
}

/// A head that a host reads: the `at`th of a store, after the one before.
pub(crate) fn head(owner: &LocalSigner, s: StoreId, at: u64, before: Option<&[u8]>) -> Outcome<Vec<u8>> {
    let mut w = Writer::new();
    w.map(|map| {
        map.int(1, |w| s.encode(w)).int(2, |w| D.encode(w));
        map.int(3, |w| {
            w.uint(at);
        });
        map.int(4, |w| {
            match before {
                Some(before) => w.bytes(&sha256(before)),
                None => w.null(),
            };
        });
        for key in [5, 8] {
            map.int(key, |w| {
                w.bytes(&[8; 32]);
            });
        }
        for key in [6, 7, 9, 10] {
            map.int(key, |w| {
                w.uint(1);
            });
        }
    });
    Ok(sign1::document(owner, b"deedbox/1 head\0", w.as_slice())?)
}

/// The proof of a request of the `n`th store's owner.
pub(crate) fn proof(
    owner: &LocalSigner,
    n: usize,
    method: Method,
    origin: &str,
    target: &str,
    body: &[u8],
) -> Outcome<Vec<u8>> {
    let request = Request { method, origin, target, body, range: None, proof: None };
    Ok(Claims::new(capability(n), request.hash(), NOW).sign(owner)?)
}

/// Where the feed of the `n`th store is.
pub(crate) fn feed(n: usize) -> String {
    format!("/v1/stores/{}/datasets/{D}/feed", store(n))
}

/// The request that opens it.
pub(crate) fn feed_request(owner: &LocalSigner, n: usize) -> Outcome<String> {
    let target = feed(n);
    let proof = authorization(&proof(owner, n, Method::Get, ORIGIN, &target, b"")?);
    Ok(format!("GET {target} HTTP/1.1\r\nHost: host.example\r\nAuthorization: {proof}\r\n\r\n"))
}
