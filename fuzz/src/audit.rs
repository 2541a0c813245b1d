//! The audit log: entries and exports.

use deedbox_audit::{Checkpoint, Entry, EntryKind, Log, LogId};
use deedbox_cose::{LocalSigner, Signer as _};
use deedbox_model::{Digest, Timestamp};
use deedbox_testkit::rng::SeededRng;

const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

/// Accepted entries write the same bytes again.
pub fn audit_entry(data: &[u8]) {
    if let Ok(entry) = Entry::parse(data) {
        assert_eq!(entry.to_bytes(), data);
    }
}

/// An export that was altered anywhere is refused: the input is XORed over a true one.
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
    let _ = Log::import(data, signer.public());
    let _ = Checkpoint::verify(data, signer.public());
}
