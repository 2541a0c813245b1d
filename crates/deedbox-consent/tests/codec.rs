//! The bytes of rules, vocabularies, requests, terms and receipts: typed from the format page, round trips, and every
//! bit and length refused or another thing.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use std::fmt::Debug;

use deedbox_consent::test_util::{Draw, at, name, roster, vocabulary};
use deedbox_consent::{
    Action, Ask, Basis, Evidence, EvidenceKind, Ground, Mandate, Obligation, PartyKind, Permission, Policy,
    Prohibition, Rank, Receipt, ReceiptDigests, ReceiptKind, Regime, RuleError, Selector, Terms, To, Vocabulary,
    VocabularyError,
};
use deedbox_model::Digest;
use proptest::{collection::vec, prelude::*};

/// What is not exactly these bytes is refused or is something else, whose bytes it is.
fn strict<T: PartialEq + Debug, E: Debug>(
    bytes: &[u8],
    read: impl Fn(&[u8]) -> Result<T, E>,
    write: impl Fn(&T) -> Vec<u8>,
) {
    let whole = read(bytes).unwrap();
    assert_eq!(write(&whole), bytes);
    for end in 0..bytes.len() {
        assert!(read(&bytes[..end]).is_err(), "length {end}");
    }
    assert!(read(&[bytes, &[0]].concat()).is_err(), "a byte more");
    for bit in 0..bytes.len() * 8 {
        let mut flipped = bytes.to_vec();
        flipped[bit / 8] ^= 1 << (bit % 8);
        if let Ok(other) = read(&flipped) {
            assert_ne!(other, whole, "bit {bit}");
            assert_eq!(write(&other), flipped, "bit {bit}");
        }
    }
}

fn permission() -> Permission {
    Permission::new(name("p"), To::Party(name("hospital")), name("care"), Basis::CONSENT)
        .actions([Action::Read, Action::Share])
        .fields(Selector::of([name("contact")]).except([name("phone")]))
        .between(at(1), at(2))
        .retention(3)
}

#[test]
fn a_permission_in_hex() {
    let bytes = permission().to_bytes();
    let mut expected = vec![0xa9];
    expected.extend([0x01, 0x61, b'p']); // id
    expected.extend([0x02, 0x02]); // rank: person
    expected.extend([0x03, 0x82, 0x00, 0x68]); // to a party
    expected.extend(b"hospital");
    expected.extend([0x04, 0x64]);
    expected.extend(b"care"); // purpose
    expected.extend([0x05, 0x18, 0x21]); // actions: bits 0 and 5
    expected.extend([0x06, 0x82, 0x81, 0x67]);
    expected.extend(b"contact");
    expected.extend([0x81, 0x65]);
    expected.extend(b"phone"); // fields
    expected.extend([0x07, 0x01]); // basis: consent
    expected.extend([0x09, 0x82, 0x01, 0x02]); // bounds
    expected.extend([0x0a, 0x03]); // retention
    assert_eq!(bytes, expected);
}

#[test]
fn a_prohibition_of_everything_in_hex() {
    let bytes = Prohibition::new(name("d"), To::Anyone).rank(Rank::SEAL).to_bytes();
    assert_eq!(bytes, [0xa6, 1, 0x61, b'd', 2, 4, 3, 0xf6, 4, 0xf6, 5, 0xf6, 6, 0xf6]);
}

#[test]
fn defaults_written_out_are_refused() {
    let bytes = Prohibition::new(name("d"), To::Anyone).to_bytes();
    let more = |extra: &[u8]| [&[0xa7], &bytes[1..], extra].concat();
    assert!(Prohibition::from_bytes(&more(&[7, 0x82, 1, 2])).is_ok());
    assert_eq!(Prohibition::from_bytes(&more(&[7, 0x82, 0xf6, 0xf6])), Err(RuleError::Malformed));
    assert_eq!(Prohibition::from_bytes(&more(&[10, 0])), Err(RuleError::Malformed));
    let bytes = permission().to_bytes();
    let more = |extra: &[u8]| [&[0xaa], &bytes[1..], extra].concat();
    assert!(Permission::from_bytes(&more(&[11, 1])).is_ok());
    for extra in [&[11, 0][..], &[12, 0x80], &[15, 0x82, 0xf6, 0xf6], &[16, 0], &[17, 0x84, 0, 0xf6, 0xf6, 0xf6]] {
        assert_eq!(Permission::from_bytes(&more(extra)), Err(RuleError::Malformed));
    }
}

#[test]
fn unsorted_and_doubled_names_are_refused() {
    let selector = |include: &[u8]| {
        [&[0xa6, 1, 0x61, b'd', 2, 4, 3, 0xf6, 4, 0xf6, 5, 0xf6, 6, 0x82, 0x82], include, &[0x80]].concat()
    };
    assert!(Prohibition::from_bytes(&selector(&[0x61, b'a', 0x61, b'b'])).is_ok());
    assert!(Prohibition::from_bytes(&selector(&[0x61, b'b', 0x61, b'a'])).is_err());
    assert!(Prohibition::from_bytes(&selector(&[0x61, b'a', 0x61, b'a'])).is_err());
    assert!(Prohibition::from_bytes(&selector(&[0x61, b'A', 0x61, b'b'])).is_err());
}

#[test]
fn every_bit_and_length() {
    let full = permission()
        .ground(Ground::CARE)
        .assurance(2)
        .conditions([name("break_glass")])
        .recipients([name("charity")])
        .limit(2, Some(7))
        .records(deedbox_consent::Bounds::between(at(0), at(9)))
        .obligations(Obligation::Justify)
        .evidence(Evidence::of(EvidenceKind::EXPLICIT).notice(digest(3)).language("en-GB").time(at(4)))
        .mandate(name("m"));
    strict(&full.to_bytes(), Permission::from_bytes, Permission::to_bytes);
    let refusal = Prohibition::new(name("d"), To::Cluster(name("team"))).purposes([name("care")]).between(at(1), at(2));
    strict(&refusal.to_bytes(), Prohibition::from_bytes, Prohibition::to_bytes);
    let mandate = Mandate::new(name("m"), name("daughter"), Rank::PERSON).between(at(1), at(2)).deed(digest(1));
    strict(&mandate.to_bytes(), Mandate::from_bytes, Mandate::to_bytes);
    strict(&vocabulary().to_bytes(), Vocabulary::from_bytes, Vocabulary::to_bytes);
    let ask = Ask::read(name("care"), Basis::CONSENT, [name("phone")]).ground(Ground::CARE).recipient(name("charity"));
    strict(&ask.to_bytes(), Ask::from_bytes, Ask::to_bytes);
    strict(&Ask::default().to_bytes(), Ask::from_bytes, Ask::to_bytes);
    strict(&receipt().to_bytes(), Receipt::from_bytes, Receipt::to_bytes);
    let terms = Terms::new(name("charity"), [permission(), full_id(permission(), "q")], digest(1), digest(2)).unwrap();
    strict(&terms.to_bytes(), Terms::from_bytes, Terms::to_bytes);
    let mut policy = Policy::new(vocabulary());
    let refusal = Prohibition::new(name("d"), To::Anyone);
    policy.apply(refusal, &deedbox_consent::Maker::Person).unwrap();
    strict(&policy.to_bytes(), Policy::from_bytes, Policy::to_bytes);
}

fn full_id(mut permission: Permission, id: &str) -> Permission {
    permission.id = name(id);
    permission
}

fn digest(byte: u8) -> Digest {
    Digest::from_bytes([byte; 32])
}

fn receipt() -> Receipt {
    let digests = ReceiptDigests { subject: digest(1), policy: digest(2), vocabulary: digest(3) };
    let mut receipt = Receipt::new(ReceiptKind::Disclosed, at(9), name("charity"), digests, Regime::UK);
    receipt.checkpoint = Some((7, digest(4)));
    receipt.fields = Some([name("phone")].into());
    receipt.obligations = Obligation::Acknowledge.into();
    receipt.keep_until = Some(at(99));
    receipt.notice = Some(digest(5));
    receipt.emergency = true;
    receipt
}

#[test]
fn faults_of_vocabularies_are_named() {
    let builder = || {
        Vocabulary::builder("v", 1, Regime::EU)
            .purpose("care", &[])
            .category("health", &[])
            .party("hospital", PartyKind::PUBLIC)
    };
    assert!(builder().field("notes", &["health"]).build().is_ok());
    let cases = [
        (builder().purpose("Care", &[]), VocabularyError::BadName),
        (builder().purpose("care", &[]), VocabularyError::DuplicateName),
        (builder().field("health", &["health"]), VocabularyError::DuplicateName),
        (builder().condition("x").condition("x"), VocabularyError::DuplicateName),
        (builder().purpose("direct", &["help"]), VocabularyError::UnknownParent),
        (builder().field("notes", &["money"]), VocabularyError::UnknownParent),
        (builder().cluster("team", roster(1), &["charity"]), VocabularyError::UnknownParent),
        (builder().roster("team", roster(1), &[]), VocabularyError::UnknownParent),
        (builder().purpose("one", &["two"]).purpose("two", &["one"]), VocabularyError::Cycle),
        (builder().purpose("one", &["one"]), VocabularyError::Cycle),
        (builder().field("notes", &[]), VocabularyError::Malformed),
        (builder().party("charity", PartyKind::from_code(3)), VocabularyError::Malformed),
    ];
    for (index, (builder, error)) in cases.into_iter().enumerate() {
        assert_eq!(builder.build(), Err(error), "case {index}");
    }
}

#[test]
fn depth_ends_at_32() {
    let chain = |depth: usize| {
        let names: Vec<String> = (0..depth).map(|level| format!("p{level}")).collect();
        let mut builder = Vocabulary::builder("deep", 1, Regime::EU).purpose("p0", &[]);
        for pair in names.windows(2) {
            builder = builder.purpose(&pair[1], &[&pair[0]]);
        }
        builder.build()
    };
    assert!(chain(32).is_ok());
    assert_eq!(chain(33), Err(VocabularyError::TooLarge));
}

#[test]
fn conditions_end_at_64_and_break_glass_is_the_first() {
    let build = |count: usize| {
        (0..count).fold(Vocabulary::builder("v", 1, Regime::EU), |b, index| b.condition(&format!("c{index}")))
    };
    assert_eq!(build(65).build(), Err(VocabularyError::TooLarge));
    let vocabulary = build(3).condition("break_glass").build().unwrap();
    assert_eq!(vocabulary.conditions()[0], name("break_glass"));
}

proptest! {
    #[test]
    fn rules_round_trip(bytes in vec(any::<u8>(), 40)) {
        let permission = Draw::new(&bytes).permission("p");
        prop_assert_eq!(Permission::from_bytes(&permission.to_bytes()), Ok(permission));
        let prohibition = Draw::new(&bytes).prohibition("d");
        prop_assert_eq!(Prohibition::from_bytes(&prohibition.to_bytes()), Ok(prohibition));
        let mandate = Draw::new(&bytes).mandate();
        prop_assert_eq!(Mandate::from_bytes(&mandate.to_bytes()), Ok(mandate));
        let ask = Draw::new(&bytes).ask();
        prop_assert_eq!(Ask::from_bytes(&ask.to_bytes()), Ok(ask));
    }

    #[test]
    fn no_bytes_panic(bytes: Vec<u8>) {
        let _ = (Permission::from_bytes(&bytes), Prohibition::from_bytes(&bytes), Mandate::from_bytes(&bytes));
        let _ = (Vocabulary::from_bytes(&bytes), Policy::from_bytes(&bytes), Terms::from_bytes(&bytes));
        let _ = (Ask::from_bytes(&bytes), Receipt::from_bytes(&bytes));
    }
}
