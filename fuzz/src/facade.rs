//! What person and provider say to each other.

use deedbox::exchange::{Answer, Handover};

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
