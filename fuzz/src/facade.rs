//! What person and provider say to each other.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a fuzz body fails by panicking")]

use std::sync::LazyLock;

use deedbox::{
    Deposit,
    exchange::{Answer, Handover, Justification, SignedRule, SignedTerms, Statement},
    parts::{
        connect::{Accepting, ConnectionsRoot, Contact, Invitation, Offer, Wish},
        model::{Digest, MailboxId, Timestamp},
    },
    provider::{Connected, Provider},
};
use deedbox_cose::{LocalSigner, Signer as _, sign1};
use deedbox_crypto::label::{JUSTIFICATION, Label, RULE, STATEMENT, TERMS};
use deedbox_testkit::rng::SeededRng;

use crate::altered;

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

/// No panic on what a receiver signed, and nothing is taken that is altered.
pub fn facade_justification(data: &[u8]) {
    signed(data, JUSTIFICATION, |bytes, signer| Justification::verify(bytes, signer.public()).is_ok());
}

/// No panic on what an agent signed, and nothing is taken that is altered.
pub fn facade_rule(data: &[u8]) {
    signed(data, RULE, |bytes, signer| SignedRule::verify(bytes, signer.public()).is_ok());
}

/// No panic on what a party signed, and nothing is taken that is altered.
pub fn facade_terms(data: &[u8]) {
    signed(data, TERMS, |bytes, signer| SignedTerms::verify(bytes, signer.public()).is_ok());
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

/// No panic; a provider's connection, and the way to its mailboxes, are refused or written the same again.
pub fn facade_connected(data: &[u8]) {
    static GIVEN: LazyLock<Vec<u8>> = LazyLock::new(|| {
        let (mut rng, now) = (SeededRng::new(1), deedbox::host::system_clock());
        let provider = Provider::generate("https://council.example").unwrap();
        let offer = Offer {
            endpoint: "https://council.example/d".into(),
            not_after: Timestamp::from_secs(1 << 40),
            uses: 1,
            terms: Digest::from_bytes([7; 32]),
            terms_body: None,
            name: "City council".into(),
            check: false,
            evidence: None,
        };
        let mut inviting = provider.invite(offer).unwrap();
        let (link, root) = (inviting.link(), ConnectionsRoot::generate(&mut rng));
        let invitation = Invitation::open(&link, inviting.bytes(), now).unwrap();
        let contact = Contact {
            address: MailboxId::from_bytes([1; 16]),
            endpoint: "https://host.example".into(),
            deposit: vec![],
            devices: vec![],
        };
        let (person, body) = Accepting::start(&root, &link, &invitation, Wish::default(), now, &mut rng).unwrap();
        let (meeting, body) = provider.meet(&inviting, &body).unwrap();
        let Ok((_, body)) = person.answer(&body, &contact, now, &mut rng) else { panic!("message_2 is taken") };
        let (mut session, _) = provider.agree(&mut inviting, meeting, &body).unwrap();
        session.connection().unwrap().to_bytes().to_vec()
    });
    if let Some(deposit) = Deposit::parse(data) {
        assert_eq!(deposit.to_bytes(), data);
    }
    for bytes in [altered(&GIVEN, data), data.to_vec()] {
        if let Ok(connected) = Connected::load(&bytes) {
            assert_eq!(*connected.to_bytes(), bytes);
        }
        let _ = Connected::restored(&bytes);
    }
}
