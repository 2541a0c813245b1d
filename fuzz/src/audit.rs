//! The audit log: entries, exports, excerpts, and whoever watches it.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a fuzz body fails by panicking")]

use deedbox_audit::{
    AuditError, Checkpoint, Entry, EntryKind, Excerpt, Log, LogId, SignedReceipt, Witnessed, sign_receipt,
};
use deedbox_consent::{Receipt, ReceiptDigests, ReceiptKind, Regime};
use deedbox_cose::{LocalSigner, Signer as _};
use deedbox_model::{Digest, Name, Timestamp};
use deedbox_testkit::rng::SeededRng;

const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

/// Accepted entries write the same bytes again.
pub fn audit_entry(data: &[u8]) {
    if let Ok(entry) = Entry::parse(data) {
        assert_eq!(entry.to_bytes(), data);
    }
}

/// Whoever watches a log takes exactly what continues what was seen last. The input is a list of steps: two logs that were
/// one grow, and checkpoints or receipts of them are shown, with the true proof or an altered one.
pub fn audit_observe(data: &[u8]) {
    let mut rng = SeededRng::new(1);
    let signer = LocalSigner::generate(&mut rng);
    let mut logs = [Log::new(LogId::generate(&mut rng)), Log::new(LogId::from_bytes([0; 16]))];
    logs[1] = logs[0].clone();
    let mut witness = Witnessed::new(shown(&logs[0], &signer, true));
    for step in data.iter().take(48) {
        let (log, other) = (usize::from(step & 1), step >> 1 & 1 == 1);
        match step >> 2 & 3 {
            // Both grow alike, as long as they are alike; then one alone.
            0 => {
                let entry = logs[0]
                    .append(Entry::new(NOW, EntryKind::Decision, None, Digest::from_bytes([*step; 32])), &mut rng);
                if logs[1].len() + 1 == logs[0].len() && logs[1].rows() == &logs[0].rows()[..logs[1].rows().len()] {
                    let rows = logs[1].rows().iter().cloned().chain([deedbox_audit::Row::Kept(entry)]).collect();
                    logs[1] = Log::from_rows(logs[1].id(), rows).unwrap();
                }
            }
            1 => drop(
                logs[log].append(Entry::new(NOW, EntryKind::Alarm, None, Digest::from_bytes([*step; 32])), &mut rng),
            ),
            _ => {
                let (log, seen) = (&logs[log], witness.newest().state());
                let mut path = log.prove_consistency(seen.size).unwrap_or_default();
                if log.len() == seen.size {
                    path.clear();
                }
                let is_altered = step >> 4 == 15;
                if is_altered {
                    path.push([*step; 32]);
                }
                let continues = usize::try_from(seen.size).is_ok_and(|size| {
                    let rows = log.rows().get(..size).map(<[_]>::to_vec);
                    rows.is_some_and(|rows| Log::from_rows(log.id(), rows).unwrap().root() == seen.root)
                });
                let later = shown(log, &signer, other);
                let answer = witness.observe(later, &path);
                match &answer {
                    Ok(()) => assert_eq!(*witness.newest(), later),
                    Err(AuditError::Rollback { .. }) => assert!(log.len() < seen.size),
                    Err(AuditError::Fork { .. }) => {
                        assert!(log.len() == seen.size && later.contradicts(witness.newest()))
                    }
                    Err(error) => assert_eq!(error, &AuditError::Inconsistent),
                }
                assert_eq!(answer.is_ok(), continues && !is_altered);
            }
        }
    }
}

/// What a checkpoint, or a receipt, says of a log.
fn shown(log: &Log, signer: &LocalSigner, by_checkpoint: bool) -> deedbox_audit::Vouched {
    if by_checkpoint {
        return Checkpoint::verify(&log.checkpoint(signer, NOW).unwrap(), signer.public()).unwrap().vouched();
    }
    let digest = Digest::from_bytes([7; 32]);
    let digests = ReceiptDigests { subject: digest, policy: digest, vocabulary: digest };
    let party = Name::parse("charity").unwrap();
    let mut receipt = Receipt::new(ReceiptKind::Disclosed, NOW, party, digests, Regime::UK);
    receipt.checkpoint = Some((log.len(), log.root()));
    let signed = sign_receipt(&receipt.to_bytes(), signer).unwrap();
    SignedReceipt::verify(&signed, signer.public(), None).unwrap().vouched().unwrap()
}

/// An export or excerpt that was altered anywhere is refused: the input is XORed over a true one.
pub fn audit_export(data: &[u8]) {
    let mut rng = SeededRng::new(1);
    let signer = LocalSigner::generate(&mut rng);
    let mut log = Log::new(LogId::generate(&mut rng));
    for party in ["council", "charity"] {
        log.append(Entry::new(NOW, EntryKind::Decision, Some(party), Digest::from_bytes([1; 32])), &mut rng);
    }
    let Ok(export) = log.export(&signer, NOW) else { return };
    let altered: Vec<u8> = export.iter().zip(data.iter().chain(std::iter::repeat(&0))).map(|(a, b)| a ^ b).collect();
    let read = Log::import(&altered, signer.public());
    assert_eq!(read.is_ok(), altered == export);
    let Ok(excerpt) = log.excerpt(0..1, |_| true, &signer, NOW) else { return };
    let altered = crate::altered(&excerpt, data);
    assert_eq!(Excerpt::verify(&altered, signer.public()).is_ok(), altered == excerpt);
    let _ = Excerpt::verify(data, signer.public());
    let _ = Log::import(data, signer.public());
    let _ = Checkpoint::verify(data, signer.public());
}
