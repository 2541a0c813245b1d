//! What person and provider say to each other.

use deedbox::exchange::{Answer, Handover, SignedRule, Statement};
use deedbox_cose::{LocalSigner, Signer as _, sign1};
use deedbox_crypto::label::{Label, RULE, STATEMENT};
use deedbox_testkit::rng::SeededRng;

/// No panic; an accepted answer writes the same bytes again.
pub fn facade_answer(data: &[u8]) {
    if let Some(answer) = Answer::parse(data) {
        assert_eq!(answer.to_bytes(), data);
    }
}

/// No panic, and an accepted handover is written the same again.
pub fn facade_handover(data: &[u8]) {
    if let Some(handover) = Handover::parse(data) {
        assert_eq!(handover.to_bytes(), data);
    }
}

/// No panic on what its issuer signed, and nothing is taken that is altered.
pub fn facade_statement(data: &[u8]) {
    signed(data, STATEMENT, |bytes, signer| Statement::verify(bytes, signer.public()).is_ok());
}

/// No panic on what an agent signed, and nothing is taken that is altered.
pub fn facade_rule(data: &[u8]) {
    signed(data, RULE, |bytes, signer| SignedRule::verify(bytes, signer.public()).is_ok());
}

/// The first two bytes choose a bit, the rest is what is signed.
fn signed(data: &[u8], label: Label, is_taken: impl Fn(&[u8], &LocalSigner) -> bool) {
    let Some(([high, low], payload)) = data.split_first_chunk() else { return };
    let signer = LocalSigner::generate(&mut SeededRng::new(1));
    let Ok(mut bytes) = sign1::document(&signer, label.as_bytes(), payload) else { return };
    let _ = is_taken(&bytes, &signer);
    let _ = is_taken(payload, &signer);
    let bit = usize::from(u16::from_be_bytes([*high, *low]));
    let len = bytes.len();
    if let Some(byte) = bytes.get_mut((bit / 8) % len.max(1)) {
        *byte ^= 1 << (bit % 8);
        assert!(!is_taken(&bytes, &signer));
    }
}
