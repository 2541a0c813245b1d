//! A log keeps its promises: entries come back, nothing can be dropped, moved, edited or repeated unnoticed, an erased entry
//! leaves it verifiable, and two histories prove a fork.

use deedbox_audit::{AuditError, Checkpoint, Entry, EntryKind, Excerpt, Log, LogId, Row, SaltedEntry, Witnessed};
use deedbox_cose::{LocalSigner, Signer as _};
use deedbox_model::{Digest, Timestamp};
use deedbox_testkit::rng::SeededRng;
use proptest::prelude::*;

const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

fn entry(n: usize) -> Entry {
    let mut entry = Entry::new(NOW, EntryKind::Decision, Some("charity"), Digest::from_bytes([9; 32]));
    entry.purpose = Some("counselling".into());
    entry.action = Some(0);
    entry.released = vec![format!("patient.name-{n}")];
    entry.withheld = vec![("condition.code".into(), 18)];
    entry.determining = vec!["rule-1".into()];
    entry
}

fn log(size: usize, seed: u64) -> (Log, LocalSigner, SeededRng) {
    let mut rng = SeededRng::new(seed);
    let signer = LocalSigner::generate(&mut rng);
    let mut log = Log::new(LogId::generate(&mut rng));
    for n in 0..size {
        log.append(entry(n), &mut rng);
    }
    (log, signer, rng)
}

fn verified(log: &Log, signer: &LocalSigner) -> Checkpoint {
    Checkpoint::verify(&log.checkpoint(signer, NOW).unwrap(), signer.public()).unwrap()
}

#[test]
fn each_entry_is_proved_at_its_place_and_nowhere_else() {
    let (log, signer, _) = log(13, 1);
    let checkpoint = verified(&log, &signer);
    for (seq, row) in log.rows().iter().enumerate() {
        let Row::Kept(entry) = row else { panic!("kept") };
        let path = log.prove(seq as u64).unwrap();
        checkpoint.includes(entry, &path).unwrap();
        for other in 0..13 {
            if other != seq {
                let path = log.prove(other as u64).unwrap();
                assert_eq!(checkpoint.includes(entry, &path), Err(AuditError::NotIncluded));
            }
        }
    }
    assert_eq!(log.prove(13), Err(AuditError::NotIncluded));
}

#[test]
fn an_erased_entry_leaves_the_log_verifiable_and_is_gone() {
    let (mut log, signer, _) = log(5, 2);
    let before = verified(&log, &signer);
    assert!(log.erase(3) && log.erase(3) && !log.erase(5));
    log.matches(&before).unwrap();
    let export = log.export(&signer, NOW).unwrap();
    assert!(!export.windows(14).any(|window| window == b"patient.name-3"));
    assert!(export.windows(14).any(|window| window == b"patient.name-2"));
    let (read, _) = Log::import(&export, signer.public()).unwrap();
    assert_eq!(read.rows(), log.rows());
}

#[test]
fn a_dropped_moved_edited_or_repeated_entry_is_caught() {
    let (log, signer, mut rng) = log(4, 3);
    let checkpoint = verified(&log, &signer);
    let rows = || log.rows().to_vec();
    let judge =
        |rows: Vec<Row>| Log::from_rows(log.id(), rows).and_then(|log| log.matches(&checkpoint)).map_err(|e| e.code());
    assert_eq!(judge(rows()), Ok(()));
    let mut dropped = rows();
    dropped.remove(1);
    assert_eq!(judge(dropped), Err("Gap"));
    let mut cut = rows();
    cut.pop();
    assert_eq!(judge(cut), Err("Rollback"));
    let mut moved = rows();
    moved.swap(0, 1);
    assert_eq!(judge(moved), Err("Gap"));
    let mut repeated = rows();
    repeated.push(repeated[3].clone());
    assert_eq!(judge(repeated), Err("Gap"));
    let mut other = Log::new(log.id());
    for n in [0, 1, 7, 3] {
        other.append(entry(n), &mut rng);
    }
    assert_eq!(judge(other.rows().to_vec()), Err("Fork"));
}

#[test]
fn every_altered_byte_of_an_export_is_refused() {
    let (log, signer, _) = log(3, 4);
    let export = log.export(&signer, NOW).unwrap();
    Log::import(&export, signer.public()).unwrap();
    for at in 0..export.len() {
        for bit in [0x01, 0x80] {
            let mut altered = export.clone();
            altered[at] ^= bit;
            assert!(Log::import(&altered, signer.public()).is_err(), "byte {at}");
        }
        assert!(Log::import(&export[..at], signer.public()).is_err(), "length {at}");
    }
    let stranger = LocalSigner::generate(&mut SeededRng::new(99));
    assert_eq!(Log::import(&export, stranger.public()).unwrap_err(), AuditError::Rejected);
}

#[test]
fn a_witness_notices_rollback_fork_and_another_history() {
    let (mut log, signer, mut rng) = log(0, 5);
    let mut witness = Witnessed::new(verified(&log, &signer));
    for n in 0..3 {
        log.append(entry(n), &mut rng);
    }
    let three = verified(&log, &signer);
    witness.observe(three.clone(), &[]).unwrap();
    log.append(entry(3), &mut rng);
    let path = log.prove_consistency(3).unwrap();
    let four = verified(&log, &signer);
    assert_eq!(witness.observe(four.clone(), &[]), Err(AuditError::Inconsistent));
    witness.observe(four.clone(), &path).unwrap();
    assert_eq!(witness.observe(four.clone(), &path), Err(AuditError::Inconsistent));
    witness.observe(four.clone(), &[]).unwrap();
    assert_eq!(witness.observe(three, &[]), Err(AuditError::Rollback { seen: 4, got: 3 }));
    let mut other = Log::new(log.id());
    for n in 0..5 {
        other.append(entry(n + 10), &mut rng);
        if other.len() == 4 {
            assert_eq!(witness.observe(verified(&other, &signer), &[]), Err(AuditError::Fork { size: 4 }));
        }
    }
    let path = other.prove_consistency(4).unwrap();
    assert_eq!(witness.observe(verified(&other, &signer), &path), Err(AuditError::Inconsistent));
    assert_eq!(witness.newest(), &four.vouched());
}

/// Whether `range` is a subtree, by the words of the design: its start is 0, or a multiple of the least power of two that is
/// not below its length.
fn is_subtree(range: &std::ops::Range<u64>) -> bool {
    range.start < range.end
        && (range.start == 0 || range.start.is_multiple_of((range.end - range.start).next_power_of_two()))
}

#[test]
fn an_excerpt_verifies_alone_exactly_for_subtrees() {
    let (mut log, signer, _) = log(13, 8);
    log.erase(5);
    let checkpoint = verified(&log, &signer);
    for start in 0..14 {
        for end in 0..15 {
            let range = start..end;
            let excerpt = log.excerpt(range.clone(), |entry| entry.seq % 3 != 1, &signer, NOW);
            if !is_subtree(&range) || end > 13 {
                assert_eq!(excerpt, Err(AuditError::NotIncluded), "{range:?}");
                continue;
            }
            let excerpt = excerpt.unwrap();
            let read = Excerpt::verify(&excerpt, signer.public()).unwrap();
            assert_eq!((read.start(), read.checkpoint()), (start, &checkpoint));
            for (seq, row) in (start..).zip(read.rows()) {
                let is_shown = seq % 3 != 1 && seq != 5;
                assert_eq!(matches!(row, Row::Kept(entry) if entry.entry().seq == seq), is_shown);
                let name = format!("patient.name-{seq}");
                let tells = excerpt.windows(name.len()).any(|window| window == name.as_bytes());
                // 1 begins the names of ten to twelve.
                assert!(tells == is_shown || seq == 1);
            }
        }
    }
}

#[test]
fn every_altered_byte_of_an_excerpt_is_refused() {
    let (log, signer, _) = log(7, 9);
    let excerpt = log.excerpt(2..4, |_| true, &signer, NOW).unwrap();
    Excerpt::verify(&excerpt, signer.public()).unwrap();
    for at in 0..excerpt.len() {
        for bit in [0x01, 0x80] {
            let mut altered = excerpt.clone();
            altered[at] ^= bit;
            assert!(Excerpt::verify(&altered, signer.public()).is_err(), "byte {at}");
        }
        assert!(Excerpt::verify(&excerpt[..at], signer.public()).is_err(), "length {at}");
    }
    let stranger = LocalSigner::generate(&mut SeededRng::new(99));
    assert_eq!(Excerpt::verify(&excerpt, stranger.public()).unwrap_err(), AuditError::Rejected);
    let whole = log.export(&signer, NOW).unwrap();
    assert_eq!(Excerpt::verify(&whole, signer.public()), Err(AuditError::Malformed));
    assert_eq!(Log::import(&excerpt, signer.public()).unwrap_err(), AuditError::Malformed);
}

#[test]
fn equal_entries_have_different_leaves() {
    let (mut log, _, mut rng) = log(0, 6);
    let (first, second) = (log.append(entry(0), &mut rng), log.append(entry(0), &mut rng));
    assert_ne!(first.leaf(), second.leaf());
    assert_ne!(first.bytes()[..32], second.bytes()[..32]);
}

#[test]
fn debug_tells_no_party_and_no_field() {
    let (log, ..) = log(1, 7);
    let shown = format!("{log:?} {:?}", log.rows());
    assert!(!shown.contains("charity") && !shown.contains("patient"), "{shown}");
}

fn entries() -> impl Strategy<Value = Entry> {
    let names = || proptest::collection::vec("[a-z.]{1,8}", 0..3);
    let number = || proptest::option::of(any::<u64>());
    let digest = || proptest::option::of(any::<[u8; 32]>().prop_map(Digest::from_bytes));
    let who = (proptest::option::of("[a-z]{1,8}"), proptest::option::of("[a-z]{1,8}"));
    let numbers = (number(), number(), number(), number(), number());
    let lists = (names(), names(), proptest::collection::vec(("[a-z]{1,4}", any::<u64>()), 0..3));
    let facts = (proptest::option::of("[a-z]{1,8}"), number(), names(), any::<bool>(), any::<bool>());
    let replaces = proptest::collection::vec(("[a-z]{1,4}", proptest::collection::vec("[a-z.]{1,8}", 1..3)), 0..3);
    let all = (who, numbers, lists, (digest(), digest(), facts), replaces, any::<u32>());
    all.prop_map(|(who, numbers, lists, digests, replaces, time)| {
        let time = Timestamp::from_secs(time.into());
        let mut entry = Entry::new(time, EntryKind::Alarm, who.0.as_deref(), Digest::from_bytes([1; 32]));
        entry.purpose = who.1;
        (entry.action, entry.basis, entry.ground, entry.obligations, entry.refusal) = numbers;
        (entry.released, entry.determining, entry.withheld) = lists;
        (entry.receipt, entry.host_notice) = (digests.0, digests.1);
        (entry.recipient, entry.assurance, entry.conditions, entry.all, entry.stopped) = digests.2;
        entry.replaces = replaces;
        entry
    })
}

proptest! {
    #[test]
    fn entries_come_back_as_they_were(entry in entries()) {
        prop_assert_eq!(Entry::parse(&entry.to_bytes()).unwrap(), entry);
    }

    #[test]
    fn what_is_read_is_written_the_same(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(entry) = SaltedEntry::parse(&bytes) {
            prop_assert_eq!(entry.bytes(), &bytes[..]);
        }
    }
}
