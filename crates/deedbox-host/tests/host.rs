//! A host, its owner, a provider and a stranger: who gets what, in which order it is refused, and what stays behind.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use deedbox_cbor::Writer;
use deedbox_cose::{LocalSigner, Signer as _, sha256, sign1};
use deedbox_host::capability::{Capability, Ops, Right, Row, State, Target};
use deedbox_host::proof::{Claims, request_hash};
use deedbox_host::wire::{
    self, CommitBody, ConflictBody, CreateBody, MailBody, Object, ObjectsBody, PageBody, PartBody, PurgeBody,
    PurgeReceipt,
};
use deedbox_host::{Admission, Admitted, Clock, Config, Host, HostError, Method, Notice, Reply, Request};
use deedbox_model::{CapabilityId, DatasetId, MailboxId, ObjectId, Seq, StoreId, StoreName, Timestamp};
use deedbox_store::{HeadHash, MemoryStorage, Mode, RowKey, SqliteStorage, Storage, Swap, Table};
use deedbox_testkit::rng::SeededRng;
use pollster::block_on;

const ORIGIN: &str = "https://host.example";
const S: StoreId = StoreId::from_bytes([0x51; 16]);
const D: DatasetId = DatasetId::from_bytes([0xd1; 16]);
const MAILBOX: MailboxId = MailboxId::from_bytes([0x31; 16]);
const OWNER: CapabilityId = CapabilityId::from_bytes([0xc0; 16]);
const GUEST: CapabilityId = CapabilityId::from_bytes([0xc1; 16]);
const NOW: u64 = 1_800_000_000;

#[derive(Clone)]
struct Hands(Arc<AtomicU64>);

impl Clock for Hands {
    fn now(&self) -> Timestamp {
        Timestamp::from_secs(self.0.load(Ordering::Relaxed))
    }
}

struct World<S> {
    host: Host<S, Hands>,
    hands: Hands,
    owner: LocalSigner,
    guest: LocalSigner,
}

fn key(signer: &LocalSigner) -> [u8; 32] {
    *signer.public().as_ed25519().unwrap().as_bytes()
}

fn header(s: StoreId, version: u64) -> Vec<u8> {
    let mut w = Writer::new();
    w.array(7).text("deedbox-store").uint(1).bytes(s.as_bytes()).uint(1).uint(version);
    w.array(1).uint(0).bytes(&[0; 32]);
    w.into_vec()
}

fn object(n: u8) -> ObjectId {
    ObjectId::from_bytes([n; 16])
}

fn seq(n: u64) -> Seq {
    Seq::new(n).unwrap()
}

fn head(signer: &LocalSigner, s: [u8; 16], d: DatasetId, at: u64, prev: Option<&[u8]>) -> Vec<u8> {
    let mut w = Writer::new();
    w.map(|map| {
        map.int(1, |w| {
            w.bytes(&s);
        })
        .int(2, |w| d.encode(w))
        .int(3, |w| {
            w.uint(at);
        })
        .int(4, |w| {
            match prev {
                Some(prev) => w.bytes(&sha256(prev)),
                None => w.null(),
            };
        })
        .int(5, |w| {
            w.bytes(&[5; 32]);
        });
        for (key, value) in [(6, 1), (7, 1), (9, 1), (10, 1)] {
            map.int(key, |w| {
                w.uint(value);
            });
        }
        map.int(8, |w| {
            w.bytes(&[8; 32]);
        });
    });
    sign1::document(signer, b"deedbox/1 head\0", w.as_slice()).unwrap()
}

impl World<MemoryStorage> {
    fn new() -> Self {
        Self::over(MemoryStorage::new(), Config::default())
    }
}

impl<St: Storage> World<St> {
    fn over(storage: St, config: Config) -> Self {
        let mut rng = SeededRng::new(7);
        let (owner, guest) = (LocalSigner::generate(&mut rng), LocalSigner::generate(&mut rng));
        let hands = Hands(Arc::new(AtomicU64::new(NOW)));
        let host = Host::new(storage, hands.clone(), config);
        let header = header(S, 1);
        let new = CreateBody::new(S, &header, OWNER, key(&owner));
        block_on(host.create(Admitted::by_embedder(), &new)).unwrap();
        Self { host, hands, owner, guest }
    }

    fn set_time(&self, at: u64) {
        self.hands.0.store(at, Ordering::Relaxed);
    }

    fn ask(&self, signer: &LocalSigner, id: CapabilityId, method: Method, target: &str, body: &[u8]) -> Answer {
        let time = self.hands.now();
        let proof = Claims::new(id, request_hash(method, ORIGIN, target, body), time).sign(signer).unwrap();
        block_on(self.host.call(Request { method, origin: ORIGIN, target, body, range: None, proof: Some(&proof) }))
    }

    fn own(&self, method: Method, target: &str, body: &[u8]) -> Answer {
        self.ask(&self.owner, OWNER, method, &format!("/v1/stores/{S}{target}"), body)
    }

    fn visit(&self, method: Method, target: &str, body: &[u8]) -> Answer {
        self.ask(&self.guest, GUEST, method, &format!("/v1/stores/{S}{target}"), body)
    }

    fn guest_capability(&self, rights: Vec<Right>) -> Capability {
        let until = Timestamp::from_secs(NOW + 1_000);
        Capability::new(GUEST, key(&self.guest), S.into(), rights, Timestamp::from_secs(NOW), until)
    }

    fn let_in(&self, rights: Vec<Right>) {
        let body = self.guest_capability(rights).to_bytes();
        assert_eq!(self.own(Method::Put, &format!("/capabilities/{GUEST}"), &body).unwrap().status, 201);
    }

    fn set_state(&self, state: State) -> Answer {
        self.own(Method::Patch, &format!("/capabilities/{GUEST}"), &wire::uint_to_bytes(u64::from(state.number())))
    }

    /// Commits objects of these numbers; returns the new head.
    fn write(&self, at: u64, prev: Option<&[u8]>, objects: &[u8]) -> Vec<u8> {
        let head = head(&self.owner, *S.as_bytes(), D, at, prev);
        let body = part(&head, at, prev, objects);
        assert_eq!(self.own(Method::Post, "/commit", &body).unwrap().status, 204);
        head
    }

    fn notices(&self) -> Vec<Notice> {
        let reply = self.own(Method::Get, &format!("/mail/{}", MailboxId::NOTICES), b"").unwrap();
        let items = MailBody::list_from_bytes(&reply.body).unwrap();
        items.iter().map(|item| Notice::from_bytes(item.body).unwrap()).collect()
    }
}

type Answer = Result<Reply, HostError>;

fn part(head: &[u8], at: u64, prev: Option<&[u8]>, objects: &[u8]) -> Vec<u8> {
    let mut part = PartBody::new(D, prev.map(|prev| HeadHash(sha256(prev))), seq(at), head, Mode::Next);
    part.puts = objects.iter().map(|n| Object::new(object(*n), seq(at), 1, b"sealed")).collect();
    CommitBody::new(vec![part]).to_bytes()
}

fn code(answer: Answer) -> &'static str {
    answer.map_or_else(|error| error.code(), |reply| if reply.status == 409 { "409" } else { "done" })
}

fn datasets(what: &str) -> String {
    format!("/datasets/{D}/{what}")
}

#[test]
fn the_owner_writes_and_reads_back() {
    let folder = tempfile::tempdir().unwrap();
    let storage = SqliteStorage::open(folder.path().join("stores"), folder.path().join("shares")).unwrap();
    let world = World::over(storage, Config::default());
    let first = world.write(1, None, &[1, 2]);
    let second = world.write(2, Some(&first), &[2, 3]);

    let reply = world.own(Method::Post, &datasets("objects"), &wire::ids_to_bytes(&[object(2), object(9)])).unwrap();
    let objects = ObjectsBody::from_bytes(&reply.body).unwrap();
    assert_eq!(objects.head, second);
    assert_eq!(objects.rows, [Some(Object::new(object(2), seq(2), 1, b"sealed")), None]);

    let reply = world.own(Method::Get, &datasets("heads"), b"").unwrap();
    assert_eq!(wire::list_from_bytes(&reply.body).unwrap(), [first.as_slice(), &second]);
    let reply = world.own(Method::Get, &datasets("heads?after=1"), b"").unwrap();
    assert_eq!(wire::list_from_bytes(&reply.body).unwrap(), [second.as_slice()]);

    let reply = world.own(Method::Get, &datasets("changes?limit=2"), b"").unwrap();
    let page = PageBody::from_bytes(&reply.body).unwrap();
    assert_eq!((page.heads.as_slice(), page.rows.len(), page.resync), ([second.as_slice()].as_slice(), 2, false));
    let next = deedbox_host::cursor_to_hex(page.next.unwrap());
    let reply = world.own(Method::Get, &datasets(&format!("changes?after={next}")), b"").unwrap();
    let page = PageBody::from_bytes(&reply.body).unwrap();
    assert_eq!((page.rows.len(), page.next), (1, None));

    let reply = world.own(Method::Get, &datasets("leaves"), b"").unwrap();
    let (of, leaves) = wire::pair_from_bytes(&reply.body, usize::MAX).unwrap();
    let leaf = |n: u8, at: u64| {
        let head = [[0].as_slice(), &[n; 16], &at.to_be_bytes(), &[1], &sha256(b"sealed")].concat();
        sha256(&head)
    };
    assert_eq!(of, second);
    assert_eq!(leaves, [leaf(1, 1), leaf(2, 2), leaf(3, 2)].concat());

    let usage = wire::usage_from_bytes(&world.own(Method::Get, "/usage", b"").unwrap().body).unwrap();
    assert_eq!((usage.objects.count, usage.objects.bytes), (3, 18));
}

#[test]
fn a_conflict_shows_what_is_in_force() {
    let world = World::new();
    let first = world.write(1, None, &[1]);
    let retry = part(&first, 1, None, &[1]);
    let reply = world.own(Method::Post, "/commit", &retry).unwrap();
    assert_eq!(reply.status, 409);
    // its own head: the first try was done
    assert_eq!(ConflictBody::from_bytes(&reply.body), Some(ConflictBody::Head(D, Some(&first))));
    let body = |expect, version| {
        let header = header(S, version);
        let mut commit = CommitBody::default();
        commit.header = Some((expect, &header));
        commit.to_bytes()
    };
    assert_eq!(code(world.own(Method::Post, "/commit", &body(1, 2))), "done");
    let reply = world.own(Method::Post, "/commit", &body(1, 2)).unwrap();
    assert_eq!(ConflictBody::from_bytes(&reply.body), Some(ConflictBody::Header(2)));
    assert_eq!(code(world.own(Method::Post, "/commit", &body(2, 2))), "HeadMismatch");
}

#[test]
fn heads_that_do_not_agree_are_refused() {
    let world = World::new();
    let first = world.write(1, None, &[1]);
    let own = |s: [u8; 16], d, at, prev| head(&world.owner, s, d, at, prev);
    let good = own(*S.as_bytes(), D, 2, Some(&first));
    for (what, bytes) in [
        ("another store", own([9; 16], D, 2, Some(&first))),
        ("another dataset", own(*S.as_bytes(), DatasetId::META, 2, Some(&first))),
        ("another number", own(*S.as_bytes(), D, 3, Some(&first))),
        ("another head before it", own(*S.as_bytes(), D, 2, Some(b"other"))),
        ("none before it", own(*S.as_bytes(), D, 2, None)),
        ("no head", b"head".to_vec()),
        ("too long", vec![0; 5_000]),
        ("cut", good[..good.len() - 1].to_vec()),
    ] {
        let answer = world.own(Method::Post, "/commit", &part(&bytes, 2, Some(&first), &[2]));
        assert_eq!(code(answer), "HeadMismatch", "{what}");
    }
    assert_eq!(code(world.own(Method::Post, "/commit", &part(&good, 2, Some(&first), &[2]))), "done");
    // an alias of the store names it too, once it is one
    let third = own([0xaa; 16], D, 3, Some(&good));
    let body = part(&third, 3, Some(&good), &[2]);
    assert_eq!(code(world.own(Method::Post, "/commit", &body)), "HeadMismatch");
    assert_eq!(code(world.own(Method::Put, &format!("/aliases/{}", "aa".repeat(16)), b"")), "done");
    assert_eq!(code(world.own(Method::Post, "/commit", &body)), "done");
}

#[test]
fn strangers_learn_nothing() {
    let world = World::new();
    world.let_in(vec![Right::new(Target::Dataset(D), Ops::READ)]);
    let target = format!("/v1/stores/{S}/datasets/{D}/heads");
    let unknown = format!("/v1/stores/{}/datasets/{D}/heads", StoreId::from_bytes([2; 16]));
    let now = Timestamp::from_secs(NOW);
    let proof = |signer: &LocalSigner, id: u8, target: &str| {
        let request = request_hash(Method::Get, ORIGIN, target, b"");
        Claims::new(CapabilityId::from_bytes([id; 16]), request, now).sign(signer).unwrap()
    };
    let call = |target: &str, proof: Option<&[u8]>, origin: &str, body: &[u8]| {
        block_on(world.host.call(Request { method: Method::Get, origin, target, body, range: None, proof }))
    };
    let good = proof(&world.guest, 0xc1, &target);
    assert_eq!(code(call(&target, Some(&good), ORIGIN, b"")), "NotFound", "the dataset has no head yet");
    for (what, answer) in [
        ("no proof", call(&target, None, ORIGIN, b"")),
        ("an empty proof", call(&target, Some(b""), ORIGIN, b"")),
        ("an unknown store", call(&unknown, Some(&proof(&world.guest, 0xc1, &unknown)), ORIGIN, b"")),
        ("an unknown capability", call(&target, Some(&proof(&world.guest, 0xc2, &target)), ORIGIN, b"")),
        ("another's capability", call(&target, Some(&proof(&world.guest, 0xc0, &target)), ORIGIN, b"")),
        ("another key", call(&target, Some(&proof(&world.owner, 0xc1, &target)), ORIGIN, b"")),
        ("another target", call(&target, Some(&proof(&world.guest, 0xc1, &unknown)), ORIGIN, b"")),
        ("another origin", call(&target, Some(&good), "https://other.example", b"")),
        ("another body", call(&target, Some(&good), ORIGIN, b"x")),
        ("a long proof", call(&target, Some(&[good.clone(), vec![0; 2_000]].concat()), ORIGIN, b"")),
    ] {
        assert_eq!(code(answer), "Unauthenticated", "{what}");
    }
    for at in 0..good.len() * 8 {
        let mut bytes = good.clone();
        bytes[at / 8] ^= 1 << (at % 8);
        assert_eq!(code(call(&target, Some(&bytes), ORIGIN, b"")), "Unauthenticated", "bit {at}");
    }
    for length in 0..good.len() {
        assert_eq!(code(call(&target, Some(&good[..length]), ORIGIN, b"")), "Unauthenticated", "length {length}");
    }
    let counted = world.notices().len();
    assert_eq!(counted, 0, "who is not known leaves no notice: {counted}");
}

#[test]
fn a_capability_holds_under_its_name_only() {
    let world = World::new();
    let alias = StoreName::from_bytes([0xaa; 16]);
    world.own(Method::Put, &format!("/aliases/{alias}"), b"").unwrap();
    let mut capability = world.guest_capability(vec![Right::new(Target::Store, Ops::READ)]);
    capability.name = alias;
    world.own(Method::Put, &format!("/capabilities/{GUEST}"), &capability.to_bytes()).unwrap();
    world.write(1, None, &[1]);
    let at = |name: &str| {
        world.ask(&world.guest, GUEST, Method::Get, &format!("/v1/stores/{name}{}", datasets("heads")), b"")
    };
    assert_eq!(code(at(&alias.to_string())), "done");
    assert_eq!(code(at(&S.to_string())), "Unauthenticated");
    world.own(Method::Delete, &format!("/aliases/{alias}"), b"").unwrap();
    assert_eq!(code(at(&alias.to_string())), "Unauthenticated");
}

#[test]
fn the_hosts_clock_decides() {
    let world = World::new();
    world.write(1, None, &[1]);
    let mut capability = world.guest_capability(vec![Right::new(Target::Store, Ops::READ)]);
    capability.not_before = Timestamp::from_secs(NOW + 10);
    capability.not_after = Timestamp::from_secs(NOW + 20);
    world.own(Method::Put, &format!("/capabilities/{GUEST}"), &capability.to_bytes()).unwrap();
    let read = || code(world.visit(Method::Get, &datasets("heads"), b""));
    for (at, expected) in [(9, "NotYet"), (10, "done"), (19, "done"), (20, "Expired"), (21, "Expired")] {
        world.set_time(NOW + at);
        assert_eq!(read(), expected, "{at}");
    }
    // set back by a day: the host's time stands still, and the proof of that day is out of its time
    world.set_time(NOW - 86_400);
    assert_eq!(read(), "ClockSkew");
    let target = format!("/v1/stores/{S}{}", datasets("heads"));
    for (time, expected) in [(NOW + 21 - 121, "ClockSkew"), (NOW + 21 - 120, "Expired"), (NOW + 21 + 121, "ClockSkew")]
    {
        let claims = Claims::new(GUEST, request_hash(Method::Get, ORIGIN, &target, b""), Timestamp::from_secs(time));
        let proof = claims.sign(&world.guest).unwrap();
        let request = Request {
            method: Method::Get,
            origin: ORIGIN,
            target: &target,
            body: b"",
            range: None,
            proof: Some(&proof),
        };
        let answer = block_on(world.host.call(request));
        if let Err(HostError::ClockSkew { now }) = &answer {
            assert_eq!(now.secs(), NOW + 21);
        }
        assert_eq!(code(answer), expected, "{time}");
    }
}

#[test]
fn pausing_and_revoking_hold_at_once() {
    let world = World::new();
    world.write(1, None, &[1]);
    world.let_in(vec![Right::new(Target::Dataset(D), Ops::READ)]);
    let read = || code(world.visit(Method::Get, &datasets("changes"), b""));
    assert_eq!(read(), "done");
    world.set_state(State::Paused).unwrap();
    assert_eq!(read(), "Paused");
    world.set_state(State::Active).unwrap();
    assert_eq!(read(), "done");
    world.set_state(State::Revoked).unwrap();
    assert_eq!(read(), "Revoked");
    // final
    assert_eq!(code(world.set_state(State::Active)), "Conflict");
    assert_eq!(code(world.set_state(State::Revoked)), "done");
    let body = world.guest_capability(vec![Right::new(Target::Store, Ops::READ)]).to_bytes();
    assert_eq!(code(world.own(Method::Put, &format!("/capabilities/{GUEST}"), &body)), "Conflict");
    assert_eq!(read(), "Revoked");
    let reply = world.own(Method::Get, &format!("/capabilities/{GUEST}"), b"").unwrap();
    assert_eq!(Row::from_bytes(&reply.body).unwrap().state, State::Revoked);
}

#[test]
fn rights_cover_what_they_name() {
    let world = World::new();
    let first = world.write(1, None, &[1, 2, 3]);
    let right = Right::to_objects(D, Ops::READ | Ops::COMMIT, vec![object(1), object(7)]).unwrap();
    world.let_in(vec![right, Right::new(Target::Mailbox(MAILBOX), Ops::PUSH)]);
    let objects = |ids: &[ObjectId]| world.visit(Method::Post, &datasets("objects"), &wire::ids_to_bytes(ids));
    assert_eq!(code(objects(&[object(1), object(7)])), "done");
    assert_eq!(code(objects(&[object(1), object(2)])), "NotPermitted");
    let page = world.visit(Method::Get, &datasets("changes"), b"").unwrap();
    let page = PageBody::from_bytes(&page.body).unwrap();
    assert_eq!(page.rows, [Object::new(object(1), seq(1), 1, b"sealed")], "a page of only its own");
    assert_eq!(code(world.visit(Method::Get, &datasets("leaves"), b"")), "done");
    let second = head(&world.owner, *S.as_bytes(), D, 2, Some(&first));
    assert_eq!(code(world.visit(Method::Post, "/commit", &part(&second, 2, Some(&first), &[1, 2]))), "NotPermitted");
    assert_eq!(code(world.visit(Method::Post, "/commit", &part(&second, 2, Some(&first), &[7]))), "done");
    let other = format!("/datasets/{}/heads", DatasetId::META);
    for (method, target, body) in [
        (Method::Get, other.as_str(), wire::ids_to_bytes(&[])),
        (Method::Get, "/usage", Vec::new()),
        (Method::Get, "/capabilities", Vec::new()),
        (Method::Get, "/shares/1", Vec::new()),
        (Method::Post, "/purge", PurgeBody::Store.to_bytes()),
        (Method::Get, &format!("/mail/{MAILBOX}"), Vec::new()),
        (Method::Get, &format!("/mail/{}", MailboxId::NOTICES), Vec::new()),
        (Method::Post, "/commit", CommitBody::default().to_bytes()),
        (Method::Patch, &format!("/capabilities/{GUEST}"), wire::uint_to_bytes(0)),
    ] {
        assert_eq!(code(world.visit(method, target, &body)), "NotPermitted", "{target}");
    }
    // replacing and the header need the right to manage, whatever else is granted
    let third = head(&world.owner, *S.as_bytes(), D, 3, Some(&second));
    let expect = Some(HeadHash(sha256(&second)));
    let replace = CommitBody::new(vec![PartBody::new(D, expect, seq(3), &third, Mode::Replace)]).to_bytes();
    assert_eq!(code(world.visit(Method::Post, "/commit", &replace)), "NotPermitted");
    assert_eq!(code(world.own(Method::Post, "/commit", &replace)), "done");
}

#[test]
fn every_use_by_others_leaves_a_notice_before_it_yields() {
    let mut config = Config::default();
    config.notices = 4;
    let world = World::over(MemoryStorage::new(), config);
    world.write(1, None, &[1, 2]);
    assert_eq!(world.notices(), [], "the person's own agent leaves none");
    world.let_in(vec![Right::new(Target::Dataset(D), Ops::READ), Right::new(Target::Mailbox(MAILBOX), Ops::PUSH)]);
    let read = || code(world.visit(Method::Get, &datasets("changes"), b""));
    assert_eq!(read(), "done");
    // the same proof again is the same use
    assert_eq!(read(), "done");
    assert_eq!(
        code(world.visit(Method::Post, &format!("/mail/{MAILBOX}"), &wire::pair_to_bytes(&[1; 16], b"mail"))),
        "done"
    );
    assert_eq!(code(world.visit(Method::Get, "/usage", b"")), "NotPermitted");
    assert_eq!(code(world.visit(Method::Get, "/capabilities", b"")), "NotPermitted");
    let notices = world.notices();
    let [first, second, third] = notices.as_slice() else { panic!("{} notices", notices.len()) };
    assert_eq!((first.op, first.dataset, first.bytes, first.code.as_deref()), (1, Some(D), 12, None));
    assert_eq!(first.objects, [object(1), object(2)]);
    assert_eq!((second.op, second.count, second.bytes), (4, 1, 4));
    assert_eq!((third.op, third.code.as_deref()), (64, Some("NotPermitted")));
    assert!(notices.iter().all(|notice| notice.capability == GUEST && notice.time.secs() == NOW));
    // no room for a notice: no bytes
    world.set_time(NOW + 1);
    assert_eq!(read(), "done");
    world.set_time(NOW + 2);
    assert_eq!(read(), "OverQuota");
    let all = wire::uint_to_bytes(4);
    let reply = world.own(Method::Delete, &format!("/mail/{}?upto=4", MailboxId::NOTICES), b"").unwrap();
    assert_eq!(reply.body, all);
    world.set_time(NOW + 3);
    assert_eq!(read(), "done");
    // nobody else writes into that mailbox
    let forged = wire::pair_to_bytes(&[2; 16], b"notice");
    assert_eq!(code(world.own(Method::Post, &format!("/mail/{}", MailboxId::NOTICES), &forged)), "NotPermitted");
}

#[test]
fn mail_goes_from_one_to_the_other() {
    let world = World::new();
    world.let_in(vec![Right::new(Target::Mailbox(MAILBOX), Ops::PUSH)]);
    let mailbox = format!("/mail/{MAILBOX}");
    for (dedupe, body) in [(1, b"one".as_slice()), (2, b"two"), (1, b"one")] {
        let body = wire::pair_to_bytes(&[dedupe; 16], body);
        assert_eq!(code(world.visit(Method::Post, &mailbox, &body)), "done");
    }
    let list = |after: u64| {
        let reply = world.own(Method::Get, &format!("{mailbox}?after={after}"), b"").unwrap();
        MailBody::list_from_bytes(&reply.body)
            .unwrap()
            .iter()
            .map(|item| (item.n, item.body.to_vec()))
            .collect::<Vec<_>>()
    };
    assert_eq!(list(0), [(1, b"one".to_vec()), (2, b"two".to_vec())]);
    assert_eq!(list(1), [(2, b"two".to_vec())]);
    let reply = world.own(Method::Delete, &format!("{mailbox}?upto=1"), b"").unwrap();
    assert_eq!(wire::uint_from_bytes(&reply.body), Some(1));
    assert_eq!(list(0), [(2, b"two".to_vec())]);
    assert_eq!(code(world.visit(Method::Post, &mailbox, &wire::pair_to_bytes(&[1; 15], b"short"))), "Malformed");
    let long = wire::pair_to_bytes(&[3; 16], &vec![0; (320 << 10) + 1]);
    assert_eq!(code(world.visit(Method::Post, &mailbox, &long)), "TooLarge");
}

#[test]
fn shares_are_the_owners() {
    let world = World::new();
    let put = |epoch: u32, share: &[u8]| {
        code(world.own(Method::Put, &format!("/shares/{epoch}"), &wire::bytes_to_bytes(share)))
    };
    assert_eq!(put(1, &[1; 32]), "done");
    assert_eq!(put(1, &[1; 32]), "done");
    assert_eq!(put(1, &[2; 32]), "Conflict");
    assert_eq!(put(2, &[2; 32]), "done");
    assert_eq!(put(3, &[3; 32]), "Conflict");
    assert_eq!(put(3, &[3; 31]), "Malformed");
    let get = |epoch: u32| world.own(Method::Get, &format!("/shares/{epoch}"), b"");
    assert_eq!(get(2).unwrap().body, wire::bytes_to_bytes(&[2; 32]));
    assert_eq!(code(world.own(Method::Delete, "/shares/2", b"")), "done");
    assert_eq!(code(get(2)), "NotFound");
}

#[test]
fn a_header_is_read_without_a_proof_but_not_often() {
    let world = World::new();
    let read = |s: StoreId| {
        let target = format!("/v1/stores/{s}/header");
        block_on(world.host.call(Request {
            method: Method::Get,
            origin: ORIGIN,
            target: &target,
            body: b"",
            range: None,
            proof: None,
        }))
    };
    for _ in 0..20 {
        let reply = read(S).unwrap();
        assert_eq!(wire::versioned_from_bytes(&reply.body), Some((1, header(S, 1).as_slice())));
    }
    assert!(matches!(read(S), Err(HostError::TooMany { retry_after: 180 })));
    assert_eq!(code(read(StoreId::from_bytes([9; 16]))), "Unauthenticated");
    world.set_time(NOW + 180);
    assert_eq!(code(read(S)), "done");
}

#[test]
fn too_much_and_too_often_are_refused() {
    let mut config = Config::default();
    config.rate.burst = 5;
    config.rate.per_second = 1;
    config.object_len = 6;
    config.commit_len = 2_000;
    let world = World::over(MemoryStorage::new(), config);
    let first = world.write(1, None, &[1]);
    let second = head(&world.owner, *S.as_bytes(), D, 2, Some(&first));
    let mut long = PartBody::new(D, Some(HeadHash(sha256(&first))), seq(2), &second, Mode::Next);
    long.puts = vec![Object::new(object(1), seq(2), 1, b"7 bytes")];
    let body = CommitBody::new(vec![long]).to_bytes();
    assert!(matches!(world.own(Method::Post, "/commit", &body), Err(HostError::TooLarge { limit: 6 })));
    assert!(matches!(world.own(Method::Post, "/commit", &[0; 2_001]), Err(HostError::TooLarge { limit: 2_000 })));
    for _ in 0..4 {
        assert_eq!(code(world.own(Method::Get, "/usage", b"")), "done");
    }
    assert!(matches!(world.own(Method::Get, "/usage", b""), Err(HostError::TooMany { retry_after: 1 })));
    world.set_time(NOW + 1);
    assert_eq!(code(world.own(Method::Get, "/usage", b"")), "done");
}

#[test]
fn a_purge_gives_a_receipt() {
    let world = World::new();
    world.write(1, None, &[1, 2]);
    let purge = |what: PurgeBody| {
        let reply = world.own(Method::Post, "/purge", &what.to_bytes()).unwrap();
        let receipt = PurgeReceipt::from_bytes(&reply.body).unwrap();
        assert_eq!(receipt.to_bytes(), reply.body);
        assert_eq!((receipt.purge, receipt.time.secs(), receipt.share_backup_days), (what, NOW, 7));
        (receipt.rows, receipt.bytes, receipt.physical)
    };
    assert_eq!(purge(PurgeBody::Objects(D, vec![object(1), object(8)])), (1, 6, false));
    assert_eq!(purge(PurgeBody::Traces), (0, 0, true));
    let (rows, _, physical) = purge(PurgeBody::Store);
    assert!(rows > 0 && physical);
    assert_eq!(code(world.own(Method::Get, "/usage", b"")), "Unauthenticated");
}

#[test]
fn stores_are_made_by_requests_only_where_that_is_allowed() {
    let other = StoreId::from_bytes([0x77; 16]);
    let header = header(other, 5);
    for (admission, expected) in [(Admission::Closed, "NotPermitted"), (Admission::Open, "done")] {
        let mut config = Config::default();
        config.admission = admission;
        let world = World::over(MemoryStorage::new(), config);
        let make = |body: &[u8]| {
            block_on(world.host.call(Request {
                method: Method::Post,
                origin: ORIGIN,
                target: "/v1/stores",
                body,
                range: None,
                proof: None,
            }))
        };
        let body = CreateBody::new(other, &header, OWNER, key(&world.owner)).to_bytes();
        assert_eq!(code(make(&body)), expected);
        if admission == Admission::Open {
            assert_eq!(code(make(&body)), "Conflict");
            let foreign = CreateBody::new(StoreId::from_bytes([3; 16]), &header, OWNER, key(&world.owner));
            assert_eq!(code(make(&foreign.to_bytes())), "HeadMismatch");
            let broken = CreateBody::new(StoreId::from_bytes([3; 16]), b"header", OWNER, key(&world.owner));
            assert_eq!(code(make(&broken.to_bytes())), "Malformed");
        }
    }
}

#[test]
fn capabilities_are_checked_when_they_are_written() {
    let world = World::new();
    let put = |capability: &Capability| {
        code(world.own(Method::Put, &format!("/capabilities/{GUEST}"), &capability.to_bytes()))
    };
    let good = world.guest_capability(vec![Right::new(Target::Store, Ops::READ)]);
    let mut foreign = good.clone();
    foreign.name = StoreName::from_bytes([9; 16]);
    assert_eq!(put(&foreign), "Malformed");
    let mut renamed = good.clone();
    renamed.id = OWNER;
    assert_eq!(put(&renamed), "Malformed");
    let mut weak = good.clone();
    weak.holder = [0; 32];
    assert_eq!(put(&weak), "Malformed", "a key of small order");
    assert_eq!(put(&good), "done");
    assert_eq!(put(&good), "done");
    let list = world.own(Method::Get, "/capabilities", b"").unwrap();
    let limits = deedbox_cbor::Limits::new(100_000);
    let item = deedbox_cbor::read(&list.body, deedbox_cbor::Order::Canonical, &limits).unwrap();
    let rows: Vec<_> = item.as_array().unwrap().iter().map(|item| Row::decode(item).unwrap().capability.id).collect();
    assert_eq!(rows, [OWNER, GUEST]);
}

#[test]
fn what_is_revoked_while_it_reads_gets_nothing() {
    let mut rng = SeededRng::new(3);
    let (owner, guest) = (LocalSigner::generate(&mut rng), LocalSigner::generate(&mut rng));
    let storage = Arc::new(MemoryStorage::new());
    let armed = Arc::new(AtomicU64::new(0));
    let key_of_row = RowKey(*GUEST.as_bytes());
    let clock = {
        let (storage, armed) = (Arc::clone(&storage), Arc::clone(&armed));
        // the clock is read after the row was, and before the data is
        move || {
            if armed.swap(0, Ordering::SeqCst) == 1 {
                let held = block_on(storage.row(S, Table::Capabilities, key_of_row)).unwrap().unwrap();
                let mut row = Row::from_bytes(&held.value).unwrap();
                row.state = State::Revoked;
                let bytes = row.to_bytes();
                let swap = storage.swap_row(S, Table::Capabilities, key_of_row, Some(held.version), Some(&bytes));
                assert!(matches!(block_on(swap), Ok(Swap::Done(_))));
            }
            Timestamp::from_secs(NOW)
        }
    };
    let host = Host::new(Arc::clone(&storage), clock, Config::default());
    let header = header(S, 1);
    block_on(host.create(Admitted::by_embedder(), &CreateBody::new(S, &header, OWNER, key(&owner)))).unwrap();
    let rights = vec![Right::new(Target::Store, Ops::READ | Ops::TAKE)];
    let until = Timestamp::from_secs(NOW + 1);
    let capability = Capability::new(GUEST, key(&guest), S.into(), rights, Timestamp::from_secs(NOW), until);
    let row = Row::new(State::Active, Timestamp::from_secs(NOW), capability).to_bytes();
    let made = storage.swap_row(S, Table::Capabilities, key_of_row, None, Some(&row));
    assert_eq!(block_on(made).unwrap(), Swap::Done(Some(1)));
    let target = format!("/v1/stores/{S}/mail/{MAILBOX}");
    let claims = Claims::new(GUEST, request_hash(Method::Get, ORIGIN, &target, b""), Timestamp::from_secs(NOW));
    let proof = claims.sign(&guest).unwrap();
    let request =
        Request { method: Method::Get, origin: ORIGIN, target: &target, body: b"", range: None, proof: Some(&proof) };
    assert_eq!(code(block_on(host.call(request))), "done");
    armed.store(1, Ordering::SeqCst);
    assert_eq!(code(block_on(host.call(request))), "Revoked");
    assert_eq!(armed.load(Ordering::SeqCst), 0);
}
