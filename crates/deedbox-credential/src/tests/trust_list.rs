//! Trust lists: who may sign one, that none goes back, and what it makes of keys.

use deedbox_cose::VerifyKey;
use deedbox_model::Seq;
use proptest::prelude::*;

use super::*;

const LIST: &str = "eu.example/trust";
const DAY: u64 = 86_400;

struct Anchored {
    fixture: Fixture,
    anchors: Vec<LocalSigner>,
}

impl Anchored {
    fn new() -> Self {
        let signer = |seed: u8| LocalSigner::from_seed(&SecretBytes::from_bytes([seed; 32]));
        Self { fixture: Fixture::new(), anchors: (20..23).map(signer).collect() }
    }

    fn now(&self) -> Timestamp {
        self.fixture.now
    }

    /// Two of three.
    fn trusted(&self) -> TrustAnchors {
        self.of(2)
    }

    fn of(&self, threshold: usize) -> TrustAnchors {
        let keys = self.anchors.iter().map(|anchor| anchor.public().clone()).collect();
        TrustAnchors::try_new(LIST, keys, threshold).unwrap()
    }

    fn key(&self) -> IssuerKey {
        IssuerKey::new(self.fixture.issuer.public().clone())
    }

    fn draft(seq: u64) -> TrustListDraft {
        TrustListDraft::new(LIST, Seq::new(seq).unwrap())
    }

    fn sign(&self, draft: &TrustListDraft, signers: &[&LocalSigner]) -> Vec<u8> {
        let mut list = draft.write(self.now(), DAY).unwrap();
        signers.iter().for_each(|signer| list.sign(*signer).unwrap());
        list.to_bytes()
    }

    /// Signed by the first two anchors.
    fn signed(&self, draft: &TrustListDraft) -> Vec<u8> {
        self.sign(draft, &[&self.anchors[0], &self.anchors[1]])
    }

    fn update(&self, store: &mut TrustStore, bytes: &[u8]) -> String {
        stage(store.update(bytes, &self.trusted(), self.now()))
    }

    fn accept(&mut self, store: &TrustStore, now: Timestamp) -> String {
        let bytes = self.fixture.issue(Fixture::claims());
        stage(HeldCredential::accept(&bytes, store, &self.fixture.policy(), now))
    }
}

#[test]
fn enough_different_anchors_must_sign() {
    let anchored = Anchored::new();
    let [a, b, c] = [0, 1, 2].map(|at| &anchored.anchors[at]);
    let draft = Anchored::draft(1).issuer(ISS, [anchored.key()]);
    let take = |threshold: usize, signers: &[&LocalSigner]| {
        let bytes = anchored.sign(&draft, signers);
        stage(TrustStore::new().update(&bytes, &anchored.of(threshold), anchored.now()))
    };
    let few = "signature: Signature.TrustList";
    assert_eq!(take(1, &[a]), "ok");
    assert_eq!(take(2, &[a]), few);
    assert_eq!(take(2, &[a, a]), few);
    assert_eq!(take(2, &[a, c]), "ok");
    assert_eq!(take(2, &[a, &anchored.fixture.other]), few);
    assert_eq!(take(2, &[&anchored.fixture.other, a, b]), "ok");
    assert_eq!(take(3, &[a, b]), few);
    assert_eq!(take(3, &[c, a, b]), "ok");
    assert_eq!(take(1, &[]), "cose: Shape");
    let keys = || vec![a.public().clone(), b.public().clone()];
    let anchors = |keys: Vec<VerifyKey>, threshold: usize| TrustAnchors::try_new(LIST, keys, threshold).map(|_| ());
    assert_eq!(anchors(keys(), 2), Ok(()));
    assert_eq!(anchors(keys(), 0), Err(TrustListError::Anchors));
    assert_eq!(anchors(keys(), 3), Err(TrustListError::Anchors));
    assert_eq!(anchors([keys(), keys()].concat(), 2), Err(TrustListError::Anchors));
}

#[test]
fn signatures_are_gathered_one_by_one_here_and_elsewhere() {
    let anchored = Anchored::new();
    let draft = Anchored::draft(1).issuer(ISS, [anchored.key()]);
    let direct = anchored.signed(&draft);
    let [a, b] = [0, 1].map(|at| &anchored.anchors[at]);
    let mut first = draft.write(anchored.now(), DAY).unwrap();
    first.sign(a).unwrap();
    let mut second = SigningTrustList::parse(&first.to_bytes()).unwrap();
    let signature = b.sign(&second.to_be_signed(b.public())).unwrap();
    assert_eq!(second.add_signature(b.public(), &[0; 64]), Err(TrustListError::Signer));
    assert_eq!(second.add_signature(a.public(), signature.as_bytes()), Err(TrustListError::Signer));
    second.add_signature(b.public(), signature.as_bytes()).unwrap();
    assert_eq!(second.to_bytes(), direct);
    // Signing again changes nothing but the order.
    second.sign(a).unwrap();
    assert_eq!(anchored.update(&mut TrustStore::new(), &second.to_bytes()), "ok");
    for bad in [&b""[..], &[0xa0], &direct[1..]] {
        assert_eq!(SigningTrustList::parse(bad).unwrap_err(), TrustListError::Shape);
    }
}

#[test]
fn every_altered_list_is_refused() {
    let anchored = Anchored::new();
    let bytes = anchored.signed(&Anchored::draft(1).issuer(ISS, [anchored.key().with_types([LICENCE])]));
    assert_eq!(anchored.update(&mut TrustStore::new(), &bytes), "ok");
    for bad in deedbox_testkit::tamper::all(&bytes) {
        let mut store = TrustStore::new();
        assert_ne!(anchored.update(&mut store, &bad), "ok");
        assert_eq!(store.pin(), None);
    }
    // Nor is it anything else, or anything else it.
    let mut fixture = Fixture::new();
    let held = fixture.held();
    assert_eq!(stage(fixture.accept(&bytes)), "cose: Tag");
    assert_eq!(anchored.update(&mut TrustStore::new(), held.as_bytes()), "cose: Tag");
}

#[test]
fn no_list_goes_back_not_even_over_a_restart() {
    let anchored = Anchored::new();
    let list = |seq: u64| Anchored::draft(seq).issuer(ISS, [anchored.key()]);
    let [first, second, third] = [1, 2, 3].map(|seq| anchored.signed(&list(seq)));
    let fork = anchored.signed(&Anchored::draft(2).issuer("https://fork.test", [anchored.key()]));
    let foreign = anchored.signed(&TrustListDraft::new("another", Seq::new(9).unwrap()).issuer(ISS, [anchored.key()]));
    let mut store = TrustStore::new();
    assert_eq!(anchored.update(&mut store, &second), "ok");
    let check = |store: &mut TrustStore| {
        let pin = store.pin();
        assert_eq!(anchored.update(store, &first), "trust: Trust.Rollback");
        assert_eq!(anchored.update(store, &fork), "trust: Trust.Fork");
        assert_eq!(anchored.update(store, &foreign), "trust: Trust.OtherList");
        assert_eq!(store.pin(), pin);
        assert_eq!(anchored.update(store, &second), "ok");
    };
    check(&mut store);
    let pin = store.pin().unwrap();
    assert_eq!((pin.list_id(), pin.seq()), (LIST, Seq::new(2).unwrap()));
    // A restart: only what the caller stored is left.
    let mut store = TrustStore::resume(TrustPin::parse(&pin.to_bytes()).unwrap());
    check(&mut store);
    // Other signatures under the same payload are no fork.
    let [a, c] = [0, 2].map(|at| &anchored.anchors[at]);
    assert_eq!(anchored.update(&mut store, &anchored.sign(&list(2), &[c, a])), "ok");
    assert_eq!(anchored.update(&mut store, &third), "ok");
    assert_eq!(store.pin().unwrap().seq(), Seq::new(3).unwrap());
}

#[test]
fn a_stale_list_gives_no_key() {
    let mut anchored = Anchored::new();
    let now = anchored.now().secs();
    let draft = Anchored::draft(1).issuer(ISS, [anchored.key()]);
    let bytes = anchored.signed(&draft);
    let update = |secs: u64| stage(TrustStore::new().update(&bytes, &anchored.trusted(), Timestamp::from_secs(secs)));
    assert_eq!(update(now - 60), "ok");
    assert_eq!(update(now - 61), "time: Time.NotYetValid");
    assert_eq!(update(now + DAY - 1), "ok");
    assert_eq!(update(now + DAY), "trust: Trust.ListStale");
    let mut store = TrustStore::new();
    store.update(&bytes, &anchored.trusted(), anchored.now()).unwrap();
    assert_eq!(store.next_update(), Some(Timestamp::from_secs(now + DAY)));
    assert_eq!(anchored.accept(&store, Timestamp::from_secs(now + DAY - 1)), "ok");
    assert_eq!(anchored.accept(&store, Timestamp::from_secs(now + DAY)), "trust: Trust.ListStale");
    // Not even a pinned one: the newer list may call it compromised.
    store.pin_issuer(ISS, anchored.key());
    assert_eq!(anchored.accept(&store, Timestamp::from_secs(now + DAY)), "trust: Trust.ListStale");
    let resumed = TrustStore::resume(store.pin().unwrap());
    assert_eq!(anchored.accept(&resumed, anchored.now()), "trust: Trust.ListStale");
}

#[test]
fn a_compromised_key_stays_so_whatever_comes_later() {
    let mut anchored = Anchored::new();
    let key = anchored.key();
    let lost = anchored.signed(&Anchored::draft(1).issuer(ISS, [key.clone().in_state(KeyState::Compromised)]));
    let found = anchored.signed(&Anchored::draft(2).issuer(ISS, [key.clone()]));
    let mut store = TrustStore::new();
    assert_eq!(anchored.update(&mut store, &lost), "ok");
    assert_eq!(anchored.accept(&store, anchored.now()), "trust: Trust.KeyNotUsable");
    assert_eq!(anchored.update(&mut store, &found), "ok");
    assert_eq!(anchored.accept(&store, anchored.now()), "trust: Trust.KeyNotUsable");
    store.pin_issuer(ISS, key);
    assert_eq!(anchored.accept(&store, anchored.now()), "trust: Trust.KeyNotUsable");
    let mut store = TrustStore::resume(TrustPin::parse(&store.pin().unwrap().to_bytes()).unwrap());
    assert_eq!(anchored.update(&mut store, &found), "ok");
    assert_eq!(anchored.accept(&store, anchored.now()), "trust: Trust.KeyNotUsable");
    // Without that history the same list is good.
    let mut store = TrustStore::new();
    assert_eq!(anchored.update(&mut store, &found), "ok");
    assert_eq!(anchored.accept(&store, anchored.now()), "ok");
}

#[test]
fn an_issuer_rotates_its_key_without_a_gap() {
    let mut anchored = Anchored::new();
    let old = anchored.fixture.issue(Fixture::claims());
    let next = LocalSigner::from_seed(&SecretBytes::from_bytes([77; 32]));
    let at = |secs: u64| Timestamp::from_secs(secs);
    let retired = anchored.key().in_state(KeyState::Retired).not_after(at(HOUR + 1));
    let list =
        Anchored::draft(1).issuer(ISS, [retired, IssuerKey::new(next.public().clone()).not_before(at(HOUR + 1))]);
    let mut store = TrustStore::new();
    assert_eq!(anchored.update(&mut store, &anchored.signed(&list)), "ok");
    let accept =
        |bytes: &[u8], now: Timestamp| stage(HeldCredential::accept(bytes, &store, &anchored.fixture.policy(), now));
    assert_eq!(accept(&old, anchored.now()), "ok");
    // The old key issues nothing any more, the new one nothing from before.
    let later = at(HOUR + 3600);
    let mut rng = SeededRng::new(4);
    let mut issue = |signer: &LocalSigner, now: Timestamp| {
        let key = anchored.fixture.holder.public();
        Issuer::new(ISS, signer)
            .issue(&Fixture::template(), Fixture::claims(), key, None, now, &mut rng)
            .unwrap()
            .into_vec()
    };
    assert_eq!(accept(&issue(&next, later), later), "ok");
    assert_eq!(accept(&issue(&anchored.fixture.issuer, later), later), "trust: Trust.KeyNotUsable");
    assert_eq!(accept(&issue(&next, at(HOUR)), later), "trust: Trust.KeyNotUsable");
}

#[test]
fn authority_is_by_type_and_use() {
    let mut anchored = Anchored::new();
    let now = anchored.now();
    for (key, want) in [
        (anchored.key(), "ok"),
        (anchored.key().with_types([Vct::number(4), LICENCE]), "ok"),
        (anchored.key().with_types([Vct::number(4)]), "trust: Trust.KeyNotUsable"),
        (anchored.key().for_status_lists(), "trust: Trust.UnknownKey"),
        (anchored.key().with_kid(*b"k1"), "trust: Trust.UnknownKey"),
    ] {
        let mut store = TrustStore::new();
        assert_eq!(anchored.update(&mut store, &anchored.signed(&Anchored::draft(1).issuer(ISS, [key]))), "ok");
        assert_eq!(anchored.accept(&store, now), want);
    }
    // Listed and pinned keys stand side by side.
    let mut store = TrustStore::new();
    store.pin_issuer(ISS, anchored.key());
    let other = IssuerKey::new(anchored.fixture.other.public().clone());
    assert_eq!(anchored.update(&mut store, &anchored.signed(&Anchored::draft(1).issuer(ISS, [other]))), "ok");
    assert_eq!(anchored.accept(&store, now), "ok");
}

#[test]
fn a_draft_that_readers_refuse_is_not_written() {
    let anchored = Anchored::new();
    let key = || anchored.key();
    let write = |draft: TrustListDraft| draft.write(anchored.now(), DAY).map(|_| ());
    assert_eq!(write(Anchored::draft(1)), Ok(()));
    assert_eq!(write(Anchored::draft(1).issuer(ISS, [])), Err(TrustListError::Shape));
    assert_eq!(write(Anchored::draft(1).issuer(ISS, [key(), key().for_status_lists()])), Err(TrustListError::Shape));
    assert_eq!(write(Anchored::draft(1).issuer(ISS, [key()]).issuer(ISS, [key()])), Err(TrustListError::Shape));
    let typed = key().for_status_lists().with_types([LICENCE]);
    assert_eq!(write(Anchored::draft(1).issuer(ISS, [typed])), Err(TrustListError::Shape));
    assert_eq!(write(Anchored::draft(1).issuer(ISS, [key().with_types([])])), Err(TrustListError::Shape));
    let mut rng = SeededRng::new(2);
    let keys: Vec<IssuerKey> =
        (0..17).map(|_| IssuerKey::new(LocalSigner::generate(&mut rng).public().clone())).collect();
    assert_eq!(write(Anchored::draft(1).issuer(ISS, keys[..16].to_vec())), Ok(()));
    assert_eq!(write(Anchored::draft(1).issuer(ISS, keys)), Err(TrustListError::Shape));
    let many = |count: u32| {
        (0..count).fold(Anchored::draft(1), |draft, n| draft.issuer(&format!("https://{n}.test"), [key()]))
    };
    let mut list = many(4096).write(anchored.now(), DAY).unwrap();
    anchored.anchors.iter().for_each(|anchor| list.sign(anchor).unwrap());
    assert_eq!(anchored.update(&mut TrustStore::new(), &list.to_bytes()), "ok");
    assert_eq!(write(many(4097)), Err(TrustListError::Shape));
    let late = Timestamp::from_secs(u64::MAX);
    assert_eq!(Anchored::draft(1).write(late, DAY).unwrap_err(), TrustListError::Times);
}

#[test]
fn a_payload_of_another_shape_is_refused() {
    let anchored = Anchored::new();
    let key = anchored.fixture.issuer.public();
    let now = anchored.now().secs();
    let take = |payload: &[u8]| {
        let bytes = deedbox_cose::sign::document(&anchored.anchors[0], b"deedbox/1 trust-list\0", payload).unwrap();
        stage(TrustStore::new().update(&bytes, &anchored.of(1), anchored.now()))
    };
    let listed = |more: &dyn Fn(&mut MapWriter)| {
        map(|to| {
            to.int(1, |w| unit(w.uint(1)))
                .int(2, |w| unit(w.text(LIST)))
                .int(3, |w| unit(w.uint(1)))
                .int(4, |w| unit(w.uint(now)))
                .int(5, |w| unit(w.uint(now + DAY)))
                .int(6, |w| {
                    w.array(1).map(|to| {
                        to.int(1, |w| unit(w.text(ISS))).int(2, |w| {
                            w.array(1).map(|to| {
                                to.int(1, |w| key.encode(w)).int(2, |w| unit(w.uint(1))).int(3, |w| unit(w.uint(0)));
                                more(to);
                            });
                        });
                    });
                });
        })
    };
    assert_eq!(take(&listed(&|_| {})), "ok");
    let entry = |more: &dyn Fn(&mut MapWriter)| take(&listed(more));
    let bad = "claims: Claims.TrustList";
    assert_eq!(entry(&|to| unit(to.int(4, |w| unit(w.bytes(b"kid"))))), "ok");
    assert_eq!(entry(&|to| unit(to.int(4, |w| unit(w.text("kid"))))), bad);
    assert_eq!(entry(&|to| unit(to.int(2, |w| unit(w.uint(3))))), bad);
    assert_eq!(entry(&|to| unit(to.int(3, |w| unit(w.uint(3))))), bad);
    assert_eq!(entry(&|to| unit(to.int(5, |w| unit(w.int(-5))))), "ok");
    assert_eq!(entry(&|to| unit(to.int(5, |w| unit(w.float(5.5))))), bad);
    assert_eq!(entry(&|to| unit(to.int(7, |w| unit(w.array(2).text("t").uint(65_535))))), "ok");
    assert_eq!(entry(&|to| unit(to.int(7, |w| unit(w.array(1).uint(65_536))))), bad);
    assert_eq!(entry(&|to| unit(to.int(8, |w| unit(w.null())))), bad);
    assert_eq!(entry(&|to| unit(to.int(1, |w| unit(w.map(|_| {}))))), bad);
    assert_eq!(take(&[0xa0]), bad);
    assert_eq!(take(&[0x80]), bad);
    assert_eq!(take(&[0xa1]), "cbor: Eof");
    // Canonical order is part of the format.
    assert_eq!(take(&[0xa2, 2, 1, 1, 1]), "cbor: NotCanonical");
    let with = |label: i64, write: &dyn Fn(&mut Writer)| {
        let listed = listed(&|_| {});
        let item = deedbox_cbor::read(&listed, Order::Any, &Limits::new(1 << 20)).unwrap();
        take(&map(|to| {
            for (key, value) in item.as_map().unwrap() {
                to.entry(|w| unit(w.item(key)), |w| unit(w.item(value)));
            }
            to.int(label, |w| write(w));
        }))
    };
    assert_eq!(with(1, &|w| unit(w.uint(2))), bad);
    assert_eq!(with(3, &|w| unit(w.uint(0))), bad);
    assert_eq!(with(7, &|w| unit(w.uint(0))), bad);
    assert_eq!(with(2, &|w| unit(w.text("other"))), "trust: Trust.OtherList");
    let long = vec![0; (4 << 20) + 1];
    assert_eq!(stage(TrustStore::new().update(&long, &anchored.of(1), anchored.now())), "limit: Limit.Bytes");
}

#[test]
fn a_pin_is_read_as_it_was_written_and_no_other() {
    let anchored = Anchored::new();
    let mut store = TrustStore::new();
    let key = anchored.key().in_state(KeyState::Compromised);
    assert_eq!(anchored.update(&mut store, &anchored.signed(&Anchored::draft(7).issuer(ISS, [key]))), "ok");
    let bytes = store.pin().unwrap().to_bytes();
    assert_eq!(TrustPin::parse(&bytes).unwrap().to_bytes(), bytes);
    for bad in deedbox_testkit::tamper::all(&bytes) {
        // Another number or name is another pin; whatever is read is written the same.
        if let Some(pin) = TrustPin::parse(&bad) {
            assert_eq!(pin.to_bytes(), bad);
        }
    }
    let text = format!("{:?} {:?} {:?}", store, store.pin(), Anchored::draft(1).issuer(ISS, [anchored.key()]));
    assert!(!text.contains("issuer.test") && !text.contains("eu.example"), "{text}");
}

proptest! {
    #[test]
    fn a_sequence_of_lists_never_falls(numbers in proptest::collection::vec((1_u64..5, 0_u8..2), 1..12)) {
        let anchored = Anchored::new();
        let mut store = TrustStore::new();
        let mut newest: Option<(u64, u8)> = None;
        for (seq, content) in numbers {
            let draft = Anchored::draft(seq).issuer(&format!("https://{content}.test"), [anchored.key()]);
            let got = anchored.update(&mut store, &anchored.signed(&draft));
            let want = match newest {
                Some((known, _)) if seq < known => "trust: Trust.Rollback",
                Some((known, other)) if seq == known && content != other => "trust: Trust.Fork",
                _ => "ok",
            };
            prop_assert_eq!(&got, want);
            if got == "ok" {
                newest = Some((seq, content));
            }
            prop_assert_eq!(store.pin().map(|pin| pin.seq().get()), newest.map(|(seq, _)| seq));
        }
    }
}
