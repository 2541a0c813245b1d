//! What person and provider say to each other.

use deedbox::exchange::Answer;

/// No panic; an accepted answer writes the same bytes again.
pub fn facade_answer(data: &[u8]) {
    if let Some(answer) = Answer::parse(data) {
        assert_eq!(answer.to_bytes(), data);
    }
}
