//! `deedbox-host`.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a fuzz body fails by panicking")]

use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use deedbox_cose::{LocalSigner, Signer as _, sha256, sign1};
use deedbox_host::capability::{Capability, Ops, Right, Row, Scope, State, Target};
use deedbox_host::proof::{Claims, request_hash};
use deedbox_host::wire::{
    CommitBody, ConflictBody, CreateBody, MailBody, ObjectsBody, PageBody, PartBody, PurgeBody, PurgeReceipt,
};
use deedbox_host::{
    Admitted, ByteRange, Config, End, Event, Feed, Host, HostError, Method, Notice, Request, authorization, proof_of,
    wire,
};
use deedbox_model::{CapabilityId, DatasetId, MailboxId, ObjectId, Seq, StoreId, Timestamp};
use deedbox_store::conformance::block_on;
use deedbox_store::{HeadHash, MemoryStorage, Mode, RowKey, Storage as _, Table};
use deedbox_testkit::rng::SeededRng;

use crate::altered;

const S: StoreId = StoreId::from_bytes([0x51; 16]);
const D: DatasetId = DatasetId::from_bytes([0xd1; 16]);
const M: MailboxId = MailboxId::from_bytes([0x31; 16]);
const OWNER: CapabilityId = CapabilityId::from_bytes([0xc0; 16]);
const GUEST: CapabilityId = CapabilityId::from_bytes([0xc1; 16]);
const ORIGIN: &str = "https://host.example";
const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

type TestHost = Host<MemoryStorage, fn() -> Timestamp>;

/// Any request: no panic, no change without a valid proof, and a guest changes nothing but its mailbox and the notices.
///
/// First byte: 0 alters the proof of a good request, 1 is the guest's request, else the owner's. Second: the method.
/// Third: the length of the path after the store's; the rest is the body.
pub fn host_request(data: &[u8]) {
    let (host, owner, guest) = world();
    let [kind, method, length, rest @ ..] = data else { return };
    let methods = [Method::Delete, Method::Get, Method::Patch, Method::Post, Method::Put, Method::Head];
    let method = *methods.get(usize::from(*method) % methods.len()).unwrap();
    let (path, body) = rest.split_at_checked(usize::from(*length)).unwrap_or((rest, &[]));
    let before = state(&host);
    if *kind == 0 {
        let target = format!("/v1/stores/{S}/mail/{M}");
        let body = wire::pair_to_bytes(&[1; 16], b"item");
        let good = Claims::new(GUEST, request_hash(Method::Post, ORIGIN, &target, &body), NOW).sign(&guest).unwrap();
        let proof = altered(&good, rest);
        let request = Request {
            method: Method::Post,
            origin: ORIGIN,
            target: &target,
            body: &body,
            range: None,
            proof: Some(&proof),
        };
        match block_on(host.call(request)) {
            Ok(_) => assert_eq!(proof, good, "an altered proof passes"),
            Err(error) => {
                assert!(proof != good && matches!(error, HostError::Unauthenticated));
                assert_eq!(before, state(&host), "a change without a proof");
            }
        }
        return;
    }
    let target = format!("/v1/stores/{S}{}", String::from_utf8_lossy(path));
    let (signer, id) = if *kind == 1 { (&guest, GUEST) } else { (&owner, OWNER) };
    let proof = Claims::new(id, request_hash(method, ORIGIN, &target, body), NOW).sign(signer).unwrap();
    let request = Request { method, origin: ORIGIN, target: &target, body, range: None, proof: Some(&proof) };
    let _ = block_on(host.call(Request { proof: None, ..request }));
    assert_eq!(before, state(&host), "a change without a proof");
    let _ = block_on(host.call(request));
    if *kind == 1 {
        assert_eq!(before, state(&host), "a guest changes what is not its own");
    }
}

/// Events of a feed, problem details, ranges, proofs in a header: no panic, and what is read is written the same again.
pub fn host_http(data: &[u8]) {
    let mut stream = data;
    let mut written = String::new();
    while let Ok(Some(event)) = Event::read(&mut stream) {
        written.push_str(&match event {
            Event::Head(seq) => format!("event: head\nid: {0}\ndata: {0}\n\n", seq.get()),
            Event::End(end) => format!("event: end\ndata: {}\n\n", end.code()),
        });
    }
    let mut again = written.as_bytes();
    let mut count = 0;
    while let Some(_event) = Event::read(&mut again).unwrap() {
        count += 1;
    }
    assert!(count == written.matches("event: ").count(), "an event is lost");
    let error = HostError::from_problem(data);
    let same = HostError::from_problem(error.to_problem().as_bytes());
    assert!(error.code() == same.code() && error.to_problem() == same.to_problem());
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Some(range) = ByteRange::parse(text) {
        assert!(range.to_string() == text);
    }
    if let Some(proof) = proof_of(text) {
        assert!(authorization(&proof) == text);
    }
}

/// Commits, states, reads and polls of a feed in any order, an operation a byte: a feed tells the newest head and no other,
/// nothing of a commit that was made while the capability was not in force, and its end once; reads are given exactly
/// while it is in force.
pub fn host_feed(data: &[u8]) {
    let (host, owner, guest) = world();
    let host = Arc::new(host);
    let feed_target = format!("/v1/stores/{S}/datasets/{D}/feed");
    let ask = |owns: bool, method, target: &str, body: &[u8]| {
        let (signer, id) = if owns { (&owner, OWNER) } else { (&guest, GUEST) };
        let request = Request { method, origin: ORIGIN, target, body, range: None, proof: None };
        let proof = Claims::new(id, request.hash(), NOW).sign(signer).unwrap();
        block_on(host.call(Request { proof: Some(&proof), ..request }))
    };
    let mut heads: Vec<Vec<u8>> = Vec::new();
    let mut state = State::Active;
    let mut feed: Option<(Feed, u64)> = None;
    for op in data.iter().take(64) {
        match op % 8 {
            0 | 1 => {
                let (seq, prev) = (heads.len() as u64 + 1, heads.last().map(Vec::as_slice));
                let head = head(&owner, seq, prev);
                let expect = prev.map(|prev| HeadHash(sha256(prev)));
                let part = PartBody::new(D, expect, Seq::new(seq).unwrap(), &head, Mode::Next);
                let body = CommitBody::new(vec![part]).to_bytes();
                assert!(ask(true, Method::Post, &format!("/v1/stores/{S}/commit"), &body).unwrap().status == 204);
                heads.push(head);
            }
            2..=4 => {
                let next = match op % 8 {
                    2 => State::Active,
                    3 => State::Paused,
                    _ => State::Revoked,
                };
                let body = wire::uint_to_bytes(next.number().into());
                let done = ask(true, Method::Patch, &format!("/v1/stores/{S}/capabilities/{GUEST}"), &body);
                assert!(done.is_ok() == (state != State::Revoked || next == State::Revoked), "revoked is final");
                if done.is_ok() {
                    state = next;
                }
            }
            5 => {
                let read = ask(false, Method::Get, &format!("/v1/stores/{S}/datasets/{D}/heads"), b"");
                let given = state == State::Active && !heads.is_empty();
                assert!(given == read.is_ok());
            }
            6 => {
                let after = u64::from(op / 8);
                let request = Request {
                    method: Method::Get,
                    origin: ORIGIN,
                    target: &feed_target,
                    body: b"",
                    range: None,
                    proof: None,
                };
                let proof = Claims::new(GUEST, request.hash(), NOW).sign(&guest).unwrap();
                match block_on(host.feed(Request { proof: Some(&proof), ..request }, Seq::new(after))) {
                    Ok(opened) => {
                        assert!(state == State::Active);
                        feed = Some((opened, after));
                    }
                    Err(_) => assert!(state != State::Active),
                }
            }
            _ => {
                let Some((open, last)) = &mut feed else { continue };
                let newest = heads.len() as u64;
                let mut cx = Context::from_waker(Waker::noop());
                let told = std::pin::pin!(open.next()).poll(&mut cx);
                match (told, state) {
                    (Poll::Ready(Some(Event::Head(seq))), State::Active) => {
                        assert!(seq.get() == newest && newest > *last);
                        *last = newest;
                    }
                    (Poll::Pending, State::Active) => assert!(newest <= *last, "an event is missed"),
                    (Poll::Ready(Some(Event::End(End::Paused))), State::Paused)
                    | (Poll::Ready(Some(Event::End(End::Revoked))), State::Revoked) => {
                        assert!(block_on(open.next()).is_none());
                        feed = None;
                    }
                    (told, state) => panic!("{told:?} while {state:?}"),
                }
            }
        }
    }
}

/// Whatever is read is written the same again: capabilities, rows, notices, proofs' claims, bodies.
pub fn host_capability(data: &[u8]) {
    if let Some(capability) = Capability::from_bytes(data) {
        assert_eq!(capability.to_bytes(), data);
        let any = ObjectId::from_bytes([1; 16]);
        let whole = capability.permits(Target::Dataset(D), Ops::READ);
        let scope = capability.scope(D, Ops::READ);
        assert_eq!(whole, scope == Scope::Everything);
        assert!(!whole || capability.permits_objects(D, Ops::READ, [any]));
        assert!(scope != Scope::Nothing || !capability.permits_objects(D, Ops::READ, [any]));
    }
    macro_rules! same {
        ($($read:expr => $write:expr;)*) => {$(
            if let Some(value) = $read {
                assert_eq!($write(&value), data);
            }
        )*};
    }
    same! {
        Row::from_bytes(data) => Row::to_bytes;
        Claims::from_bytes(data) => Claims::to_bytes;
        CommitBody::from_bytes(data, data.len()) => CommitBody::to_bytes;
        ConflictBody::from_bytes(data) => ConflictBody::to_bytes;
        CreateBody::from_bytes(data, data.len()) => CreateBody::to_bytes;
        MailBody::list_from_bytes(data) => |list: &Vec<_>| MailBody::list_to_bytes(list);
        ObjectsBody::from_bytes(data) => ObjectsBody::to_bytes;
        PageBody::from_bytes(data) => PageBody::to_bytes;
        PurgeBody::from_bytes(data, data.len()) => PurgeBody::to_bytes;
        PurgeReceipt::from_bytes(data) => PurgeReceipt::to_bytes;
        wire::usage_from_bytes(data) => wire::usage_to_bytes;
        Notice::from_bytes(data) => Notice::to_bytes;
    }
}

fn head(signer: &LocalSigner, seq: u64, prev: Option<&[u8]>) -> Vec<u8> {
    let mut w = deedbox_cbor::Writer::new();
    w.map(|map| {
        map.int(1, |w| S.encode(w)).int(2, |w| D.encode(w));
        map.int(4, |w| {
            match prev {
                Some(prev) => w.bytes(&sha256(prev)),
                None => w.null(),
            };
        });
        for (key, value) in [(3, seq), (6, 1), (7, 1), (9, 1), (10, 1)] {
            map.int(key, |w| {
                w.uint(value);
            });
        }
        for key in [5, 8] {
            map.int(key, |w| {
                w.bytes(&[8; 32]);
            });
        }
    });
    sign1::document(signer, b"deedbox/1 head\0", w.as_slice()).unwrap()
}

fn world() -> (TestHost, LocalSigner, LocalSigner) {
    let mut rng = SeededRng::new(1);
    let (owner, guest) = (LocalSigner::generate(&mut rng), LocalSigner::generate(&mut rng));
    let key = |signer: &LocalSigner| *signer.public().as_ed25519().unwrap().as_bytes();
    let host = Host::new(MemoryStorage::new(), (|| NOW) as fn() -> Timestamp, Config::default());
    let mut header = deedbox_cbor::Writer::new();
    header.array(7).text("deedbox-store").uint(1).bytes(S.as_bytes()).uint(1).uint(1);
    header.array(1).uint(0).bytes(&[0; 32]);
    let new = CreateBody::new(S, header.as_slice(), OWNER, key(&owner));
    block_on(host.create(Admitted::by_embedder(), &new)).unwrap();
    let rights = vec![Right::new(Target::Dataset(D), Ops::READ), Right::new(Target::Mailbox(M), Ops::PUSH | Ops::TAKE)];
    let until = Timestamp::from_secs(NOW.secs() + 1);
    let capability = Capability::new(GUEST, key(&guest), S.into(), rights, NOW, until);
    let row = Row::new(State::Active, NOW, capability).to_bytes();
    let made = host.storage().swap_row(S, Table::Capabilities, RowKey(*GUEST.as_bytes()), None, Some(&row));
    let _ = block_on(made).unwrap();
    (host, owner, guest)
}

/// Everything but mail, which a guest may push and every use leaves.
fn state(host: &TestHost) -> String {
    let storage = host.storage();
    let usage = block_on(storage.usage(S)).map(|usage| (usage.objects, usage.datasets, usage.rows, usage.blobs));
    let header = block_on(storage.header(S));
    let rows = block_on(storage.rows(S, Table::Capabilities));
    let index = block_on(storage.index(S, D));
    format!("{usage:?} {header:?} {rows:?} {index:?}")
}
