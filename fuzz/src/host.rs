//! `deedbox-host`.
#![expect(clippy::unwrap_used, reason = "a fuzz body fails by panicking")]

use deedbox_cose::{LocalSigner, Signer as _};
use deedbox_host::capability::{Capability, Ops, Right, Row, Scope, State, Target};
use deedbox_host::proof::{Claims, request_hash};
use deedbox_host::wire::{
    CommitBody, ConflictBody, CreateBody, MailBody, ObjectsBody, PageBody, PurgeBody, PurgeReceipt,
};
use deedbox_host::{Admitted, Config, Host, HostError, Method, Notice, Request, wire};
use deedbox_model::{CapabilityId, DatasetId, MailboxId, ObjectId, StoreId, Timestamp};
use deedbox_store::conformance::block_on;
use deedbox_store::{MemoryStorage, RowKey, Storage as _, Table};
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
    let methods = [Method::Delete, Method::Get, Method::Patch, Method::Post, Method::Put];
    let method = *methods.get(usize::from(*method) % methods.len()).unwrap();
    let (path, body) = rest.split_at_checked(usize::from(*length)).unwrap_or((rest, &[]));
    let before = state(&host);
    if *kind == 0 {
        let target = format!("/v1/stores/{S}/mail/{M}");
        let body = wire::pair_to_bytes(&[1; 16], b"item");
        let good = Claims::new(GUEST, request_hash(Method::Post, ORIGIN, &target, &body), NOW).sign(&guest).unwrap();
        let proof = altered(&good, rest);
        let request =
            Request { method: Method::Post, origin: ORIGIN, target: &target, body: &body, proof: Some(&proof) };
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
    let request = Request { method, origin: ORIGIN, target: &target, body, proof: Some(&proof) };
    let _ = block_on(host.call(Request { proof: None, ..request }));
    assert_eq!(before, state(&host), "a change without a proof");
    let _ = block_on(host.call(request));
    if *kind == 1 {
        assert_eq!(before, state(&host), "a guest changes what is not its own");
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
