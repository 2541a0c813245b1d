//! Receipts: both sides sign the same bytes; whoever keeps them notices a log that was rolled back or forked, and can prove
//! it to others.

use deedbox_audit::{
    AuditError, Checkpoint, Entry, EntryKind, Log, LogId, LogState, SignedReceipt, Witnessed, acknowledge_receipt,
    sign_receipt,
};
use deedbox_cbor::Writer;
use deedbox_cose::{LocalSigner, Signer as _};
use deedbox_model::{Digest, Timestamp};
use deedbox_testkit::rng::SeededRng;

const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);
const WITHDRAWN: u64 = 3;

/// A receipt as the consent format has it; the log's state is key 9.
fn receipt(kind: u64, state: Option<LogState>) -> Vec<u8> {
    let mut writer = Writer::new();
    writer.map(|map| {
        for (key, value) in [(1, 1), (2, kind), (3, NOW.secs()), (8, 2)] {
            map.int(key, |w| {
                w.uint(value);
            });
        }
        map.int(4, |w| {
            w.text("charity");
        });
        for key in [5, 6, 7] {
            map.int(key, |w| {
                w.bytes(&[7; 32]);
            });
        }
        if let Some(LogState { size, root }) = state {
            map.int(9, |w| {
                w.array(2).uint(size).bytes(root.as_bytes());
            });
        }
    });
    writer.into_vec()
}

fn signers() -> (LocalSigner, LocalSigner, SeededRng) {
    let mut rng = SeededRng::new(1);
    (LocalSigner::generate(&mut rng), LocalSigner::generate(&mut rng), rng)
}

fn entry(n: usize) -> Entry {
    let mut entry = Entry::new(NOW, EntryKind::Disclosure, Some("charity"), Digest::from_bytes([9; 32]));
    entry.released = vec![format!("field-{n}")];
    entry
}

#[test]
fn both_sides_sign_the_same_bytes() {
    let (person, charity, _) = signers();
    let payload = receipt(4, None);
    let signed = sign_receipt(&payload, &person).unwrap();
    let alone = SignedReceipt::verify(&signed, person.public(), None).unwrap();
    assert_eq!((alone.payload(), alone.time(), alone.is_acknowledged()), (&payload[..], NOW, false));
    let both = acknowledge_receipt(&signed, person.public(), &charity).unwrap();
    let both = SignedReceipt::verify(&both, person.public(), Some(charity.public())).unwrap();
    assert_eq!((both.payload(), both.is_acknowledged()), (&payload[..], true));
}

#[test]
fn other_signers_and_other_orders_are_rejected() {
    let (person, charity, mut rng) = signers();
    let stranger = LocalSigner::generate(&mut rng);
    let signed = sign_receipt(&receipt(4, None), &person).unwrap();
    let both = acknowledge_receipt(&signed, person.public(), &charity).unwrap();
    let verify = |bytes: &[u8], acting: &LocalSigner, other: Option<&LocalSigner>| {
        SignedReceipt::verify(bytes, acting.public(), other.map(LocalSigner::public)).map(|_| ())
    };
    assert_eq!(verify(&signed, &person, None), Ok(()));
    assert_eq!(verify(&both, &person, Some(&charity)), Ok(()));
    for (bytes, acting, other) in [
        (&signed, &stranger, None),
        (&signed, &person, Some(&charity)),
        (&both, &person, None),
        (&both, &charity, Some(&person)),
        (&both, &person, Some(&stranger)),
    ] {
        assert_eq!(verify(bytes, acting, other), Err(AuditError::Rejected));
    }
    // Nobody acknowledges twice, or what another signed.
    assert_eq!(acknowledge_receipt(&both, person.public(), &charity), Err(AuditError::Rejected));
    assert_eq!(acknowledge_receipt(&signed, person.public(), &person), Err(AuditError::Rejected));
    assert_eq!(acknowledge_receipt(&signed, stranger.public(), &charity), Err(AuditError::Rejected));
}

#[test]
fn every_altered_byte_is_refused() {
    let (person, charity, _) = signers();
    let state = LogState { size: 3, root: Digest::from_bytes([4; 32]) };
    let signed = sign_receipt(&receipt(1, Some(state)), &person).unwrap();
    let both = acknowledge_receipt(&signed, person.public(), &charity).unwrap();
    for at in 0..both.len() {
        for bit in [0x01, 0x80] {
            let mut altered = both.clone();
            altered[at] ^= bit;
            assert!(SignedReceipt::verify(&altered, person.public(), Some(charity.public())).is_err(), "byte {at}");
        }
        assert!(SignedReceipt::verify(&both[..at], person.public(), Some(charity.public())).is_err(), "length {at}");
    }
}

#[test]
fn what_is_no_receipt_is_not_signed() {
    let (person, ..) = signers();
    assert!(sign_receipt(&receipt(4, None), &person).is_ok());
    for payload in [&[][..], &[0xa0], &receipt(5, None), &receipt(0, None), &receipt(4, None)[1..]] {
        assert_eq!(sign_receipt(payload, &person), Err(AuditError::Malformed));
    }
}

#[test]
fn a_withdrawal_that_is_not_acknowledged_in_time_is_overdue() {
    let (person, charity, _) = signers();
    let week = 7 * 86_400;
    let later = NOW.saturating_add_secs(week + 1);
    let verify = |kind| {
        let signed = sign_receipt(&receipt(kind, None), &person).unwrap();
        (SignedReceipt::verify(&signed, person.public(), None).unwrap(), signed)
    };
    let (withdrawal, signed) = verify(WITHDRAWN);
    assert!(withdrawal.is_overdue(later, week) && !withdrawal.is_overdue(NOW.saturating_add_secs(week), week));
    assert!(!verify(4).0.is_overdue(later, week));
    let both = acknowledge_receipt(&signed, person.public(), &charity).unwrap();
    let both = SignedReceipt::verify(&both, person.public(), Some(charity.public())).unwrap();
    assert!(!both.is_overdue(later, week));
}

#[test]
fn receipts_notice_a_rollback_and_another_history() {
    let (person, _, mut rng) = signers();
    let told = |log: &Log| {
        let signed = sign_receipt(&receipt(4, Some(log.state())), &person).unwrap();
        SignedReceipt::verify(&signed, person.public(), None).unwrap()
    };
    let (mut log, mut other) = (Log::new(LogId::generate(&mut rng)), Log::new(LogId::generate(&mut rng)));
    (0..3).for_each(|n| drop(log.append(entry(n), &mut rng)));
    let three = told(&log);
    let mut witness = Witnessed::from_receipt(&three).unwrap();
    (3..5).for_each(|n| drop(log.append(entry(n), &mut rng)));
    let (five, path) = (told(&log), log.prove_consistency(3).unwrap());
    assert_eq!(witness.observe(five.vouched().unwrap(), &[]), Err(AuditError::Inconsistent));
    witness.observe(five.vouched().unwrap(), &path).unwrap();
    assert_eq!(witness.observe(three.vouched().unwrap(), &[]), Err(AuditError::Rollback { seen: 5, got: 3 }));
    (0..6).for_each(|n| {
        other.append(entry(n + 10), &mut rng);
        if other.len() == 5 {
            assert_eq!(witness.observe(told(&other).vouched().unwrap(), &[]), Err(AuditError::Fork { size: 5 }));
        }
    });
    let path = other.prove_consistency(5).unwrap();
    assert_eq!(witness.observe(told(&other).vouched().unwrap(), &path), Err(AuditError::Inconsistent));
    assert_eq!(*witness.newest(), five.vouched().unwrap());
    let silent = sign_receipt(&receipt(4, None), &person).unwrap();
    assert!(Witnessed::from_receipt(&SignedReceipt::verify(&silent, person.public(), None).unwrap()).is_none());
}

#[test]
fn two_receipts_prove_a_fork_to_anyone() {
    let (person, other, mut rng) = signers();
    let id = LogId::generate(&mut rng);
    let log = |entries: std::ops::Range<usize>, rng: &mut SeededRng| {
        let mut log = Log::new(id);
        entries.for_each(|n| drop(log.append(entry(n), rng)));
        log
    };
    let (one, two, longer) = (log(0..4, &mut rng), log(4..8, &mut rng), log(0..5, &mut rng));
    let told = |log: &Log, signer: &LocalSigner| {
        let signed = sign_receipt(&receipt(4, Some(log.state())), signer).unwrap();
        SignedReceipt::verify(&signed, signer.public(), None).unwrap().vouched().unwrap()
    };
    assert!(told(&one, &person).contradicts(&told(&two, &person)));
    assert!(!told(&one, &person).contradicts(&told(&one, &person)), "the same twice is no fork");
    assert!(!told(&one, &person).contradicts(&told(&longer, &person)), "sizes that differ prove nothing alone");
    assert!(!told(&one, &person).contradicts(&told(&two, &other)), "one signer must have said both");
    // A receipt and a checkpoint do as well; checkpoints of two logs do not.
    let checkpoint = |log: &Log| Checkpoint::verify(&log.checkpoint(&person, NOW).unwrap(), person.public()).unwrap();
    assert!(checkpoint(&one).vouched().contradicts(&told(&two, &person)));
    assert!(checkpoint(&one).vouched().contradicts(&checkpoint(&two).vouched()));
    let mut elsewhere = Log::new(LogId::generate(&mut rng));
    (0..4).for_each(|n| drop(elsewhere.append(entry(n), &mut rng)));
    assert!(!checkpoint(&one).vouched().contradicts(&checkpoint(&elsewhere).vouched()));
}
