use alloc::{format, vec};

use deedbox_cbor::ItemBuf;
use deedbox_cose::{CoseError, LocalSigner, SignError, SignatureBytes};
use deedbox_model::Seq;
use deedbox_testkit::rng::SeededRng;
use proptest::prelude::*;

use super::*;
use crate::{
    Address, ChangedObject, Entry, Freshness, Granularity, HeadError, Keyring, Kind, OpenError, Record, Reseal,
    SealError, SignedPart, open, test_util,
};

const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);
const LATER: Timestamp = Timestamp::from_secs(1_800_086_400);

/// One side's view of an agreement that holds until [`LATER`] at the earliest.
#[derive(Clone)]
struct Side {
    hash: Digest,
    until: Timestamp,
    own: VerifyKey,
    peer: VerifyKey,
    peer_seal: RecipientKey,
}

impl VerifiedAgreement for Side {
    fn hash(&self) -> Digest {
        self.hash
    }

    fn holds(&self, now: Timestamp) -> bool {
        now < self.until
    }

    fn own_sign_key(&self) -> &VerifyKey {
        &self.own
    }

    fn peer_sign_key(&self) -> &VerifyKey {
        &self.peer
    }

    fn peer_seal_key(&self) -> &RecipientKey {
        &self.peer_seal
    }
}

/// A person with two datasets of three records, who agreed with a clinic.
struct World {
    keyring: Keyring,
    /// By dataset.
    heads: Vec<(Head, Vec<u8>)>,
    objects: Vec<Vec<(Entry, Vec<u8>)>>,
    person: LocalSigner,
    clinic: RecipientSecret,
    /// As the person sees it, and as the clinic does.
    sides: (Side, Side),
}

fn id(n: u8) -> ObjectId {
    ObjectId::from_bytes([n; 16])
}

fn dataset_id(n: u8) -> DatasetId {
    DatasetId::from_bytes([n; 16])
}

fn record(n: u8) -> Record {
    let value = ItemBuf::parse(&[n], &Limits::new(9)).unwrap();
    Record::new("number", 1, "a.number", value).unwrap()
}

fn world() -> World {
    let rng = &mut SeededRng::new(1);
    let mut keyring = Keyring::generate(rng);
    let (mut heads, mut objects) = (Vec::new(), Vec::new());
    for n in [1, 2] {
        let (store, dataset) = (StoreName::from_bytes([n; 16]), dataset_id(n));
        let entry = keyring.add_dataset(store, dataset, "", Granularity::Field, rng).unwrap();
        let replica = Replica::create(store, dataset);
        let mut draft = replica.draft();
        for object in [1, 2, 3] {
            draft.put(id(object), &record(object)).unwrap();
        }
        let part = draft.sign(entry.keys(), NOW, rng).unwrap();
        heads.push((part.head().clone(), part.head_bytes().to_vec()));
        objects.push(part.puts().iter().map(|put| (*put.entry(), put.bytes().to_vec())).collect());
    }
    let (person, peer) = (LocalSigner::from_seed(&SecretBytes::from_bytes([2; 32])), LocalSigner::generate(rng));
    let clinic = RecipientSecret::from_seed(&SecretBytes::from_bytes([1; 32])).unwrap();
    let own_seal = RecipientSecret::generate(rng).unwrap();
    let of_person = Side {
        hash: Digest::from_bytes([7; 32]),
        until: LATER,
        own: person.public().clone(),
        peer: peer.public().clone(),
        peer_seal: clinic.public().clone(),
    };
    let of_clinic = Side {
        own: peer.public().clone(),
        peer: person.public().clone(),
        peer_seal: own_seal.public().clone(),
        ..of_person.clone()
    };
    World { keyring, heads, objects, person, clinic, sides: (of_person, of_clinic) }
}

impl World {
    fn dataset(&self) -> &Dataset {
        self.keyring.dataset(&dataset_id(1)).unwrap()
    }

    fn grantee(&self) -> Grantee {
        Grantee::of(&self.sides.0, NOW).unwrap()
    }

    fn draft(&self, scope: GrantScope) -> GrantDraft<'_> {
        GrantDraft::new(GrantId::from_bytes([9; 16]), self.dataset(), &self.heads[0].0, scope, LATER)
    }

    fn issue(&self, scope: GrantScope) -> SealedGrant {
        self.draft(scope).issue(&self.grantee(), &self.person, NOW, &mut SeededRng::new(2)).unwrap()
    }

    fn open(&self, grant: &SealedGrant) -> Result<VerifiedGrant, GrantError> {
        grant.open(&self.clinic, |hash| (*hash == self.sides.1.hash).then_some(&self.sides.1), NOW)
    }

    fn accept(&self, scope: GrantScope) -> Granted {
        self.open(&self.issue(scope)).unwrap().accept(&self.heads[0].1).unwrap()
    }

    fn puts(&self) -> Vec<ChangedObject<'_>> {
        self.objects[0].iter().map(|(entry, bytes)| put_of(entry, bytes)).collect()
    }

    fn leaves(&self) -> Vec<Digest> {
        self.objects[0].iter().map(|(entry, _)| entry.leaf_hash()).collect()
    }

    /// Claims as the person would make them, to be changed.
    fn claims(&self, scope: GrantScope) -> Claims {
        self.open(&self.issue(scope)).unwrap().claims
    }

    /// What a person's client would never send: any claims, signed and sealed.
    fn forge(&self, claims: &Claims) -> SealedGrant {
        self.seal(&claims.encode(), &self.person, label::GRANT, label::GRANT_SEAL)
    }

    fn seal(&self, claims: &[u8], signer: &LocalSigner, sign_as: label::Label, seal_as: label::Label) -> SealedGrant {
        let document = sign1::document(signer, sign_as.as_bytes(), claims).unwrap();
        self.seal_document(&document, seal_as)
    }

    fn seal_document(&self, document: &[u8], seal_as: label::Label) -> SealedGrant {
        let rng = &mut SeededRng::new(3);
        let bytes = encrypt0::seal(self.clinic.public(), seal_as.as_bytes(), document, rng).unwrap();
        SealedGrant::parse(&bytes).unwrap()
    }
}

fn put_of<'a>(entry: &Entry, bytes: &'a [u8]) -> ChangedObject<'a> {
    ChangedObject::Put { object: *entry.object(), seq: entry.seq(), kind: entry.kind(), bytes }
}

fn decode(claims: &[u8]) -> Option<Claims> {
    Claims::from_item(read(claims, Order::Canonical, &Limits::new(MAX_LEN)).ok()?)
}

fn random_key(n: u64) -> SecretBytes<32> {
    SecretBytes::generate(&mut SeededRng::new(n))
}

fn number(payload: &[u8]) -> u64 {
    Record::decode(payload).unwrap().value().as_item().as_u64().unwrap()
}

fn objects(ids: &[u8]) -> GrantScope {
    GrantScope::Objects(ids.iter().map(|n| id(*n)).collect())
}

#[test]
fn a_reader_verifies_the_state_and_opens_all_of_it() {
    let world = world();
    let Granted::Dataset { mut replica, keys } = world.accept(GrantScope::Read) else { panic!("a dataset") };
    let applied = replica.resync(&[&world.heads[0].1], &world.puts(), &keys).unwrap();
    assert_eq!(applied.freshness(), Freshness::Pinned, "the grant tells how new it is");
    for (entry, bytes) in &world.objects[0] {
        let opened = replica.open(entry.object(), bytes, &keys).unwrap();
        assert_eq!(number(opened.payload()), u64::from(entry.object().as_bytes()[0]));
    }
    let mut draft = replica.draft();
    draft.put(id(4), &record(4)).unwrap();
    assert_eq!(draft.sign(&keys, NOW, &mut SeededRng::new(4)).err(), Some(SealError::NoKey), "and writes nothing");
}

#[test]
fn a_writer_signs_what_the_person_accepts() {
    let world = world();
    let Granted::Dataset { mut replica, keys } = world.accept(GrantScope::Write) else { panic!("a dataset") };
    let _ = replica.resync(&[&world.heads[0].1], &world.puts(), &keys).unwrap();
    let mut draft = replica.draft();
    draft.put(id(4), &record(4)).unwrap();
    let part = draft.sign(&keys, LATER, &mut SeededRng::new(4)).unwrap();

    let own = world.dataset();
    let mut persons = Replica::pinned(*own.store(), *own.id(), world.heads[0].0.pin());
    let _ = persons.resync(&[&world.heads[0].1], &world.puts(), own.keys()).unwrap();
    let put = &part.puts()[0];
    let applied = persons.apply(&[part.head_bytes()], &[put_of(put.entry(), put.bytes())], own.keys()).unwrap();
    assert_eq!(applied.freshness(), Freshness::Pinned);
    assert_eq!(number(persons.open(&id(4), put.bytes(), own.keys()).unwrap().payload()), 4);
}

#[test]
fn who_holds_one_object_opens_that_one_and_no_sibling() {
    let world = world();
    let Granted::Objects(mut partial) = world.accept(objects(&[2])) else { panic!("objects") };
    assert_eq!(partial.granted().collect::<Vec<_>>(), [&id(2)]);
    let puts = world.puts();
    assert_eq!(partial.apply(&[&world.heads[0].1], &world.leaves(), &puts[1..2]), Ok(Freshness::Pinned));
    let (sibling, sibling_bytes) = &world.objects[0][2];
    assert_eq!(number(partial.open(&id(2), &world.objects[0][1].1).unwrap().payload()), 2);
    assert_eq!(partial.open(sibling.object(), sibling_bytes).err(), Some(OpenError::Rejected));
    assert_eq!(partial.open(&id(2), sibling_bytes).err(), Some(OpenError::Rejected), "nor as the granted one");

    // The key itself, past every other check: the commitment names another key.
    let Keys::Objects(keys) = world.claims(objects(&[2])).keys else { panic!("objects") };
    let (store, dataset) = (*world.dataset().store(), *world.dataset().id());
    let at = |entry: &Entry| Address { store, dataset, object: *entry.object(), seq: entry.seq() };
    let (granted, granted_bytes) = &world.objects[0][1];
    assert!(open(&keys[0].1, &at(granted), Kind::Record, granted_bytes).is_ok());
    assert_eq!(open(&keys[0].1, &at(sibling), Kind::Record, sibling_bytes).err(), Some(OpenError::Rejected));
}

#[test]
fn what_was_granted_is_what_is_said() {
    let world = world();
    for (scope, said) in [
        (GrantScope::Read, GrantScope::Read),
        (GrantScope::Write, GrantScope::Write),
        (objects(&[3, 1, 3]), objects(&[1, 3])),
    ] {
        let grant = world.open(&world.issue(scope)).unwrap();
        assert_eq!(grant.scope(), said);
        assert_eq!((grant.id(), grant.epoch()), (&GrantId::from_bytes([9; 16]), Epoch::FIRST));
        assert_eq!((grant.store(), grant.dataset()), (world.dataset().store(), world.dataset().id()));
        assert_eq!((grant.agreement(), grant.not_after()), (&world.sides.0.hash, LATER));
        assert_eq!(grant.head(), world.heads[0].0.hash());
    }
}

/// Grants of each scope with the head that they name and its three objects, as they were once written.
#[test]
fn golden_grants_open() {
    let golden = include_bytes!("../../tests/golden/v1/grants.cbor");
    let parts = read(golden, Order::Canonical, &Limits::new(1 << 16)).unwrap().as_array().unwrap();
    let parts: Vec<&[u8]> = parts.iter().map(|part| part.as_bytes().unwrap()).collect();
    let world = world();
    let ([head, objects @ ..], grants) = (&parts[3..], &parts[..3]) else { panic!("head and objects") };
    let entries = (1..).zip(objects).map(|(n, bytes)| {
        let kind = Kind::Record.number();
        (Entry::new(id(n), Seq::FIRST, kind, Digest::from_bytes(sha256(bytes))), *bytes)
    });
    let entries: Vec<_> = entries.collect();
    let puts: Vec<_> = entries.iter().map(|(entry, bytes)| put_of(entry, bytes)).collect();
    let leaves: Vec<_> = entries.iter().map(|(entry, _)| entry.leaf_hash()).collect();
    for (n, grant) in grants.iter().enumerate() {
        let grant = world.open(&SealedGrant::parse(grant).unwrap()).unwrap();
        assert_eq!(grant.scope(), [GrantScope::Read, GrantScope::Write, self::objects(&[2])][n]);
        match grant.accept(head).unwrap() {
            Granted::Dataset { mut replica, keys } => {
                let _ = replica.resync(&[head], &puts, &keys).unwrap();
                for (value, bytes) in (1..).zip(objects) {
                    assert_eq!(number(replica.open(&id(value), bytes, &keys).unwrap().payload()), u64::from(value));
                }
            }
            Granted::Objects(mut partial) => {
                partial.apply(&[head], &leaves, &puts[1..2]).unwrap();
                assert_eq!(number(partial.open(&id(2), objects[1]).unwrap().payload()), 2);
            }
        }
    }
}

#[test]
fn to_issue_a_grant_again_hands_over_the_same_keys() {
    let world = world();
    let (grantee, draft) = (world.grantee(), world.draft(GrantScope::Read));
    let issue = |n| draft.issue(&grantee, &world.person, NOW, &mut SeededRng::new(n)).unwrap();
    let (first, second) = (issue(5), issue(6));
    assert_ne!(first, second);
    let claims = |grant: &SealedGrant| test_util::grant_claims(&world.open(grant).unwrap());
    assert_eq!(*claims(&first), *claims(&second));
}

#[test]
fn each_altered_claim_has_its_error_although_it_is_signed() {
    let world = world();
    let other = [0x55; 32];
    type Edit = fn(&mut Claims, [u8; 32]);
    let at_open: [(&str, Edit, GrantError); 4] = [
        ("grantee", |claims, other| claims.terms.grantee = Thumbprint::from_bytes(other), GrantError::NotForUs),
        ("agreement", |claims, other| claims.terms.agreement = Digest::from_bytes(other), GrantError::UnknownAgreement),
        ("not after", |claims, _| claims.terms.not_after = NOW, GrantError::Expired),
        (
            "head seed",
            |claims, _| {
                let Keys::Write(key, _) = core::mem::replace(&mut claims.keys, Keys::Objects(Vec::new())) else {
                    return;
                };
                claims.keys = Keys::Write(key, HeadSeed::of(random_key(8)));
            },
            GrantError::KeyMismatch,
        ),
    ];
    for (what, edit, error) in at_open {
        let mut claims = world.claims(GrantScope::Write);
        assert!(world.open(&world.forge(&claims)).is_ok(), "{what}: the untouched twin");
        edit(&mut claims, other);
        assert_eq!(world.open(&world.forge(&claims)).err(), Some(error), "{what}");
    }
    let at_accept: [(&str, Edit); 6] = [
        ("store", |claims, _| claims.terms.store = StoreName::from_bytes([2; 16])),
        ("dataset", |claims, _| claims.terms.dataset = dataset_id(2)),
        ("epoch", |claims, _| claims.terms.epoch = Epoch::FIRST.next().unwrap()),
        ("head key", |claims, _| claims.terms.head_key = HeadSeed::of(random_key(8)).public_bytes()),
        ("head", |claims, other| claims.terms.head = Digest::from_bytes(other)),
        ("dataset key", |claims, _| claims.keys = Keys::Read(DatasetKey::of(random_key(8), claims.terms.epoch))),
    ];
    for (what, edit) in at_accept {
        let accept = |claims: &Claims| world.open(&world.forge(claims)).unwrap().accept(&world.heads[0].1);
        let mut claims = world.claims(GrantScope::Read);
        assert!(accept(&claims).is_ok(), "{what}: the untouched twin");
        edit(&mut claims, other);
        assert_eq!(accept(&claims).err(), Some(GrantError::KeyMismatch), "{what}");
    }
    for scope in [GrantScope::Write, objects(&[1])] {
        let mut claims = world.claims(scope.clone());
        claims.terms.dataset = dataset_id(2);
        let accepted = world.open(&world.forge(&claims)).unwrap().accept(&world.heads[0].1);
        assert_eq!(accepted.err(), Some(GrantError::KeyMismatch), "{scope:?}");
    }
}

#[test]
fn a_forged_object_key_opens_nothing() {
    let world = world();
    let mut claims = world.claims(objects(&[2]));
    claims.keys = Keys::Objects(vec![(id(2), ObjectKey::of(random_key(8), 1))]);
    let Granted::Objects(mut partial) = world.open(&world.forge(&claims)).unwrap().accept(&world.heads[0].1).unwrap()
    else {
        panic!("objects")
    };
    partial.apply(&[&world.heads[0].1], &world.leaves(), &world.puts()[1..2]).unwrap();
    assert_eq!(partial.open(&id(2), &world.objects[0][1].1).err(), Some(OpenError::Rejected));
}

#[test]
fn every_flipped_bit_and_every_other_length_is_refused() {
    let world = world();
    let grant = world.issue(GrantScope::Write);
    assert!(world.open(&grant).is_ok());
    let refused = |bytes: &[u8]| {
        let error = SealedGrant::parse(bytes).and_then(|grant| world.open(&grant)).err();
        assert!(matches!(error, Some(GrantError::Malformed | GrantError::Rejected)), "{error:?}");
    };
    let mut bytes = grant.bytes().to_vec();
    for at in 0..bytes.len() {
        // Every bit of what isn't the encapsulated key, and one bit of each byte of that.
        let bits = if (24..1_120).contains(&at) { at % 8..at % 8 + 1 } else { 0..8 };
        for bit in bits {
            bytes[at] ^= 1 << bit;
            refused(&bytes);
            bytes[at] ^= 1 << bit;
        }
    }
    for len in (0..200).chain([bytes.len() - 1]) {
        refused(&bytes[..len]);
    }
    refused(&[&bytes[..], &[0]].concat());
    assert!(SealedGrant::parse(&vec![0; MAX_LEN]).is_ok(), "what a grant may be long, before any key is used");
    assert_eq!(SealedGrant::parse(&vec![0; MAX_LEN + 1]).err(), Some(GrantError::Malformed));
}

#[test]
fn a_grant_for_another_is_none_for_us() {
    let world = world();
    let rng = &mut SeededRng::new(5);
    let lab = RecipientSecret::generate(rng).unwrap();
    let grant = world.issue(GrantScope::Read);
    let known = |_: &Digest| Some(&world.sides.1);
    assert_eq!(grant.open(&lab, known, NOW).err(), Some(GrantError::Rejected), "sealed to the clinic");
    // The clinic passes on what was signed for it.
    let signed = encrypt0::open(&world.clinic, label::GRANT_SEAL.as_bytes(), grant.bytes()).unwrap();
    let passed_on = encrypt0::seal(lab.public(), label::GRANT_SEAL.as_bytes(), &signed, rng).unwrap();
    let passed_on = SealedGrant::parse(&passed_on).unwrap();
    assert_eq!(passed_on.open(&lab, known, NOW).err(), Some(GrantError::NotForUs));
}

#[test]
fn only_the_other_side_of_a_known_agreement_that_holds_can_grant() {
    let world = world();
    let grant = world.issue(GrantScope::Read);
    let open = |side: Option<Side>, now| grant.open(&world.clinic, |_| side, now).err();
    let side = &world.sides.1;
    assert_eq!(open(Some(side.clone()), NOW), None);
    assert_eq!(open(None, NOW), Some(GrantError::UnknownAgreement));
    let another = Side { hash: Digest::from_bytes([8; 32]), ..side.clone() };
    assert_eq!(open(Some(another), NOW), Some(GrantError::UnknownAgreement), "the wrong one was looked up");
    assert_eq!(open(Some(Side { peer: side.own.clone(), ..side.clone() }), NOW), Some(GrantError::Rejected));
    assert_eq!(open(Some(Side { until: NOW, ..side.clone() }), NOW), Some(GrantError::Expired), "the agreement ended");
    assert_eq!(
        open(Some(Side { until: Timestamp::from_secs(u64::MAX), ..side.clone() }), LATER),
        Some(GrantError::Expired)
    );
    // Signed by a stranger, in everything else as it should be.
    let stranger = LocalSigner::generate(&mut SeededRng::new(6));
    let claims = world.claims(GrantScope::Read).encode();
    let forged = world.seal(&claims, &stranger, label::GRANT, label::GRANT_SEAL);
    assert_eq!(world.open(&forged).err(), Some(GrantError::Rejected));
}

#[test]
fn a_grant_goes_with_no_other_head() {
    let world = world();
    let accept = |head: &[u8]| world.open(&world.issue(GrantScope::Read)).unwrap().accept(head).err();
    assert_eq!(accept(&world.heads[0].1), None);
    assert_eq!(accept(&world.heads[1].1), Some(GrantError::KeyMismatch), "another dataset's");
    assert_eq!(accept(b""), Some(GrantError::KeyMismatch));
    let mut altered = world.heads[0].1.clone();
    altered[100] ^= 1;
    assert_eq!(accept(&altered), Some(GrantError::KeyMismatch));
    // Named as the grant's own, yet of another dataset.
    let mut claims = world.claims(GrantScope::Read);
    claims.terms.head = *world.heads[1].0.hash();
    let accepted = world.open(&world.forge(&claims)).unwrap().accept(&world.heads[1].1);
    assert_eq!(accepted.err(), Some(GrantError::KeyMismatch));
}

/// What the person has after a rotation: the keyring, the part to commit, and the objects sealed anew.
struct Rotated {
    keyring: Keyring,
    part: SignedPart,
}

fn rotate(world: &World) -> Rotated {
    let rng = &mut SeededRng::new(7);
    let mut keyring = world.keyring.working_copy().unwrap();
    keyring.rotate(&dataset_id(1), rng).unwrap();
    let own = keyring.dataset(&dataset_id(1)).unwrap();
    let mut replica = Replica::pinned(*own.store(), *own.id(), world.heads[0].0.pin());
    let _ = replica.resync(&[&world.heads[0].1], &world.puts(), own.keys()).unwrap();
    let mut draft = replica.draft();
    draft.put(id(2), &record(20)).unwrap();
    let object =
        |id: &ObjectId| world.objects[0].iter().find(|(entry, _)| entry.object() == id).map(|(_, bytes)| &bytes[..]);
    assert_eq!(draft.reseal(Reseal::Eager, own.keys().current().unwrap(), own.keys(), object), Ok(2));
    let part = draft.sign(own.keys(), NOW, rng).unwrap();
    assert_eq!(keyring.destroy_epochs(&dataset_id(1)), 1);
    assert_eq!(keyring.destroy_epochs(&dataset_id(1)), 0, "safe to repeat");
    Rotated { keyring, part }
}

impl Rotated {
    fn puts(&self) -> Vec<ChangedObject<'_>> {
        self.part.puts().iter().map(|put| put_of(put.entry(), put.bytes())).collect()
    }

    fn put(&self, n: u8) -> (&Entry, &[u8]) {
        let put = self.part.puts().iter().find(|put| *put.entry().object() == id(n)).unwrap();
        (put.entry(), put.bytes())
    }
}

#[test]
fn after_a_rotation_the_old_grant_opens_nothing_new() {
    let world = world();
    let rotated = rotate(&world);
    let (part, puts) = (&rotated.part, rotated.puts());

    let Granted::Dataset { mut replica, keys } = world.accept(GrantScope::Write) else { panic!("a dataset") };
    let _ = replica.resync(&[&world.heads[0].1], &world.puts(), &keys).unwrap();
    assert_eq!(replica.apply(&[part.head_bytes()], &puts, &keys).err(), Some(HeadError::UnknownKey));
    for (n, (written, _)) in [(1, &world.objects[0][0]), (2, &world.objects[0][1]), (3, &world.objects[0][2])] {
        let (entry, bytes) = rotated.put(n);
        assert_eq!(written.object(), entry.object());
        let at = Address { store: *replica.store(), dataset: *replica.dataset(), object: id(n), seq: entry.seq() };
        let key = keys.key(Epoch::FIRST).unwrap().object_key(&id(n));
        assert_eq!(open(&key, &at, Kind::Record, bytes).err(), Some(OpenError::UnknownEpoch(2)));
        // Even if the old key is said to be the new epoch's.
        let relabelled = ObjectKey::of(SecretBytes::from_bytes(*key.secret().expose()), 2);
        assert_eq!(open(&relabelled, &at, Kind::Record, bytes).err(), Some(OpenError::Rejected));
    }
    // A former writer's head: the person's keys know the old head key, and that it is over.
    let forged = replica.draft().sign(&keys, NOW, &mut SeededRng::new(8)).unwrap();
    let own = rotated.keyring.dataset(&dataset_id(1)).unwrap();
    let mut persons = Replica::new(*own.store(), *own.id());
    let _ = persons.resync(&[part.head_bytes()], &puts, own.keys()).unwrap();
    persons.accept_unknown();
    assert!(persons.apply(&[forged.head_bytes()], &[], own.keys()).is_err());

    let Granted::Objects(mut partial) = world.accept(objects(&[2])) else { panic!("objects") };
    partial.apply(&[&world.heads[0].1], &world.leaves(), &world.puts()[1..2]).unwrap();
    let leaves: Vec<_> = part.puts().iter().map(|put| put.entry().leaf_hash()).collect();
    assert_eq!(partial.apply(&[part.head_bytes()], &leaves, &puts[1..2]).err(), Some(HeadError::UnknownKey));
}

#[test]
fn who_stays_reads_on_with_a_new_grant_of_the_same_id() {
    let world = world();
    let rotated = rotate(&world);
    let Granted::Dataset { mut replica, keys: earlier } = world.accept(GrantScope::Write) else { panic!("a dataset") };
    let _ = replica.resync(&[&world.heads[0].1], &world.puts(), &earlier).unwrap();

    let (own, head) = (rotated.keyring.dataset(&dataset_id(1)).unwrap(), rotated.part.head());
    let draft = GrantDraft::new(GrantId::from_bytes([9; 16]), own, head, GrantScope::Write, LATER);
    let again = draft.issue(&world.grantee(), &world.person, NOW, &mut SeededRng::new(9)).unwrap();
    let again = world.open(&again).unwrap();
    assert_eq!((again.id(), again.epoch().get()), (&GrantId::from_bytes([9; 16]), 2));
    let Granted::Dataset { keys, .. } = again.accept(rotated.part.head_bytes()).unwrap() else { panic!("a dataset") };
    let keys = keys.with_earlier(earlier);
    // The state it had is the one that the new head follows.
    let applied = replica.apply(&[rotated.part.head_bytes()], &rotated.puts(), &keys).unwrap();
    assert_eq!(applied.freshness(), Freshness::Pinned);
    for (n, value) in [(1, 1), (2, 20), (3, 3)] {
        assert_eq!(number(replica.open(&id(n), rotated.put(n).1, &keys).unwrap().payload()), value);
    }
    assert!(keys.key(Epoch::FIRST).is_some() && keys.head_seed(Epoch::FIRST).is_none());
    assert_eq!(keys.current(), Epoch::FIRST.next());
    assert!(replica.draft().sign(&keys, NOW, &mut SeededRng::new(10)).is_ok());
    // The old keys go with no new head, nor the new ones with an old head.
    let stale = world.open(&world.issue(GrantScope::Read)).unwrap();
    assert_eq!(stale.accept(rotated.part.head_bytes()).err(), Some(GrantError::KeyMismatch));
    let stale = GrantDraft::new(GrantId::from_bytes([9; 16]), own, &world.heads[0].0, GrantScope::Read, LATER);
    let issued = stale.issue(&world.grantee(), &world.person, NOW, &mut SeededRng::new(9));
    assert_eq!(issued.err(), Some(GrantError::KeyMismatch));
}

#[test]
fn earlier_keys_are_only_those_of_earlier_epochs() {
    let epoch = |n: u64| {
        let epoch = Epoch::new(n.try_into().unwrap()).unwrap();
        EpochKeys::of_one(DatasetKey::of(random_key(n), epoch), HeadSeed::of(random_key(n + 100)))
    };
    let key = |keys: &EpochKeys, n: u32| keys.key(Epoch::new(n).unwrap()).map(|key| *key.secret().expose());
    let keys = epoch(2).with_earlier(epoch(3)).with_earlier(epoch(2));
    assert_eq!((keys.current(), key(&keys, 3)), (Epoch::new(2), None));
    let keys = epoch(3).with_earlier(epoch(2).with_earlier(epoch(1)));
    assert_eq!(keys.current(), Epoch::new(3));
    assert_eq!([1, 2, 3].map(|n| key(&keys, n).is_some()), [true; 3]);
}

#[test]
fn what_could_not_be_used_is_not_issued() {
    let world = world();
    let rng = &mut SeededRng::new(8);
    assert_eq!(Grantee::of(&world.sides.0, LATER).err(), Some(GrantError::Expired), "the agreement is over");
    let grantee = world.grantee();
    let mut issue = |draft: &GrantDraft<'_>, now| draft.issue(&grantee, &world.person, now, rng).err();
    assert_eq!(issue(&world.draft(GrantScope::Read), NOW), None);
    assert_eq!(issue(&world.draft(GrantScope::Read), LATER), Some(GrantError::Expired));
    assert_eq!(issue(&world.draft(objects(&[])), NOW), Some(GrantError::Limit));
    let many = |n: u16| {
        GrantScope::Objects(
            (0..n)
                .map(|n| ObjectId::from_bytes([[0; 14].as_slice(), &n.to_be_bytes()].concat().try_into().unwrap()))
                .collect(),
        )
    };
    assert_eq!(issue(&world.draft(many(257)), NOW), Some(GrantError::Limit));
    assert_eq!(issue(&world.draft(many(256)), NOW), None);
    assert!(world.open(&world.issue(many(256))).is_ok(), "the most that is issued can be opened");
    let of_other =
        GrantDraft::new(GrantId::from_bytes([9; 16]), world.dataset(), &world.heads[1].0, GrantScope::Read, LATER);
    assert_eq!(issue(&of_other, NOW), Some(GrantError::KeyMismatch), "another dataset's head");
    let stranger = LocalSigner::generate(&mut SeededRng::new(6));
    let draft = world.draft(GrantScope::Read);
    assert_eq!(draft.issue(&grantee, &stranger, NOW, rng).err(), Some(GrantError::KeyMismatch));

    struct Locked(VerifyKey);
    impl Signer for Locked {
        fn public(&self) -> &VerifyKey {
            &self.0
        }

        fn sign(&self, _: &[u8]) -> Result<SignatureBytes, SignError> {
            Err(SignError::Unavailable)
        }
    }
    let locked = Locked(world.person.public().clone());
    assert_eq!(draft.issue(&grantee, &locked, NOW, rng).err(), Some(GrantError::Signer));
}

#[test]
fn a_signed_grant_is_nothing_else_and_nothing_else_is_a_grant() {
    let world = world();
    let grant = world.issue(GrantScope::Read);
    let signed = encrypt0::open(&world.clinic, label::GRANT_SEAL.as_bytes(), grant.bytes()).unwrap();
    let claims = world.claims(GrantScope::Read).encode();
    for other in label::ALL {
        let verified = sign1::open_document(&signed, world.person.public(), other.as_bytes());
        let sealed = world.seal(&claims, &world.person, *other, label::GRANT_SEAL);
        if *other == label::GRANT {
            assert_eq!(verified, Ok(&**claims));
            assert!(world.open(&sealed).is_ok());
        } else {
            assert_eq!(verified, Err(CoseError::BadSignature), "{other:?}");
            assert_eq!(world.open(&sealed).err(), Some(GrantError::Rejected), "{other:?}");
        }
        if *other != label::GRANT_SEAL {
            let sealed = world.seal(&claims, &world.person, label::GRANT, *other);
            assert_eq!(world.open(&sealed).err(), Some(GrantError::Rejected), "sealed as {other:?}");
        }
    }
    let key = HeadKey::from_bytes(world.person.public().as_ed25519().unwrap().as_bytes()).unwrap();
    assert_eq!(Head::verify(&signed, &key).err(), Some(HeadError::BadSignature));
    // A head of the connection's own key, where a grant is expected.
    assert_eq!(
        world.open(&world.seal_document(&world.heads[0].1, label::GRANT_SEAL)).err(),
        Some(GrantError::Malformed)
    );
    assert_eq!(world.open(&world.seal_document(b"", label::GRANT_SEAL)).err(), Some(GrantError::Malformed));
}

#[test]
fn shapes_that_are_no_claims_are_refused() {
    let world = world();
    let good = world.claims(objects(&[1, 2])).encode();
    assert!(decode(&good).is_some());
    let with_scope = |scope: &[u8]| {
        let mut writer = Writer::new();
        writer.map(|map| {
            for (key, value) in read(&good, Order::Canonical, &Limits::new(MAX_LEN)).unwrap().as_map().unwrap() {
                let item = read(scope, Order::Canonical, &Limits::new(MAX_LEN)).unwrap();
                map.int(key.as_i64().unwrap(), |w| {
                    w.item(if key.as_i64() == Some(5) { item } else { value });
                });
            }
        });
        decode(writer.as_slice()).is_some()
    };
    let key = [&[0x58, 0x20][..], &[1; 32]].concat();
    let entry = |n: u8| [&[0x82, 0x50][..], &[n; 16], &key].concat();
    let list =
        |entries: &[Vec<u8>]| [&[0x82, 3, 0x80 | u8::try_from(entries.len()).unwrap()][..], &entries.concat()].concat();
    assert!(with_scope(&[&[0x82, 1][..], &key].concat()));
    assert!(with_scope(&[&[0x83, 2][..], &key, &key].concat()));
    assert!(with_scope(&list(&[entry(1), entry(2)])));
    let bad: [Vec<u8>; 11] = [
        vec![0x80],
        vec![0xf6],
        [&[0x82, 0][..], &key].concat(),
        [&[0x82, 4][..], &key].concat(),
        [&[0x82, 2][..], &key].concat(),
        [&[0x83, 1][..], &key, &key].concat(),
        [&[0x82, 1, 0x5f & 0x50][..], &[1; 16]].concat(),
        list(&[]),
        list(&[entry(2), entry(1)]),
        list(&[entry(1), entry(1)]),
        [&[0x82, 3, 0x81, 0x81, 0x50][..], &[1; 16]].concat(),
    ];
    for (n, scope) in bad.iter().enumerate() {
        assert!(!with_scope(scope), "{n}");
    }
    let many = |n: u16| {
        let entry = |n: u16| [&[0x82, 0x50][..], &[0; 14], &n.to_be_bytes(), &key].concat();
        let entries: Vec<u8> = (0..n).flat_map(entry).collect();
        [&[0x82, 3, 0x99][..], &n.to_be_bytes(), &entries].concat()
    };
    assert!(with_scope(&many(256)) && !with_scope(&many(257)));
    // The neutral point verifies anything; no key of a head is that.
    let mut claims = world.claims(GrantScope::Read);
    claims.terms.head_key = [0; 32];
    claims.terms.head_key[0] = 1;
    assert!(decode(&claims.encode()).is_none());
    // One key more, or one less.
    let mut more = world.claims(GrantScope::Read).encode().to_vec();
    more[0] += 1;
    more.extend_from_slice(&[11, 0]);
    assert!(decode(&more).is_none());
}

#[test]
fn nothing_that_holds_keys_prints_them() {
    let world = world();
    let grant = world.issue(GrantScope::Read);
    assert_eq!(format!("{:?}", world.grantee()), "Grantee { .. }");
    assert_eq!(format!("{grant:?}"), format!("SealedGrant {{ len: {}, .. }}", grant.bytes().len()));
    let verified = world.open(&grant).unwrap();
    let shown = format!("{verified:?}");
    assert_eq!(shown, "VerifiedGrant { id: GrantId(09090909090909090909090909090909), epoch: Epoch(1), .. }");
    let key: alloc::string::String = world
        .dataset()
        .keys()
        .key(Epoch::FIRST)
        .unwrap()
        .secret()
        .expose()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let granted = format!("{:?}", verified.accept(&world.heads[0].1).unwrap());
    assert!(!granted.contains(&key) && granted.starts_with("Dataset { replica: Replica {"), "{granted}");
}

proptest! {
    #[test]
    fn accepted_claims_are_written_again(which in 0..3_u8, at: prop::sample::Index, byte: u8) {
        let world = world();
        let scope = match which { 0 => GrantScope::Read, 1 => GrantScope::Write, _ => objects(&[1, 3]) };
        let mut bytes = world.claims(scope).encode().to_vec();
        *at.get_mut(&mut bytes) = byte;
        if let Some(claims) = decode(&bytes) {
            prop_assert_eq!(&**claims.encode(), &*bytes);
        }
    }

    #[test]
    fn two_grantees_of_one_head_hold_one_key(key: [u8; 32]) {
        let world = world();
        let mut claims = world.claims(GrantScope::Read);
        let is_same = *world.dataset().keys().key(Epoch::FIRST).unwrap().secret().expose() == key;
        claims.keys = Keys::Read(DatasetKey::of(SecretBytes::from_bytes(key), Epoch::FIRST));
        let accepted = world.open(&world.forge(&claims)).unwrap().accept(&world.heads[0].1);
        prop_assert_eq!(accepted.is_ok(), is_same);
    }

    #[test]
    fn grants_of_any_objects_round_trip(ids in prop::collection::btree_set(any::<[u8; 16]>(), 1..20)) {
        let world = world();
        let ids: Vec<_> = ids.into_iter().map(ObjectId::from_bytes).collect();
        let grant = world.open(&world.issue(GrantScope::Objects(ids.clone()))).unwrap();
        prop_assert_eq!(grant.scope(), GrantScope::Objects(ids.clone()));
        let Keys::Objects(keys) = grant.claims.keys else { panic!("objects") };
        let key = world.dataset().keys().key(Epoch::FIRST).unwrap();
        for (object, granted) in keys {
            prop_assert!(granted.secret().matches(key.object_key(&object).secret().expose()));
        }
    }
}
