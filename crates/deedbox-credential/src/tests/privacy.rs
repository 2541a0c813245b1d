//! Nothing of a person stands in a `Debug`, in an error, or in a presentation that does not disclose it.

use super::*;

const CANARY: &str = "canary-4711";

fn claims() -> ClaimSet {
    ClaimSet::builder()
        .redactable(501, CANARY)
        .redactable(CANARY, 1)
        .claim(502, ClaimArray::new().redactable(CANARY))
        .claim(503, ClaimMap::new().redactable(CANARY, CANARY))
        .claim("seen", 1)
        .build()
        .unwrap()
}

fn holds_canary(bytes: &[u8]) -> bool {
    bytes.windows(CANARY.len()).any(|part| part == CANARY.as_bytes())
}

#[test]
fn no_hidden_value_in_a_presentation() {
    let mut fixture = Fixture::new();
    let bytes = fixture.issue(claims());
    assert!(holds_canary(&bytes));
    let held = fixture.accept(&bytes).unwrap();
    assert!(!holds_canary(&fixture.present(&held, &[claim_path!["seen"]])));
    assert!(holds_canary(&fixture.present(&held, &[claim_path![501]])));
}

#[test]
fn no_claim_in_any_debug() {
    let mut fixture = Fixture::new();
    let status = StatusReference::new(4711, CANARY);
    let vct = Vct::from(CANARY);
    let template = CredentialTemplate::new(vct.clone(), 100);
    let issuer = Issuer::new(ISS, &fixture.issuer);
    let key = fixture.holder.public();
    let issued = issuer.issue(&template, claims(), key, Some(&status), fixture.now, &mut fixture.rng).unwrap();
    let prepared = PreparedCredential::prepare(
        ISS,
        fixture.issuer.public(),
        &template,
        claims(),
        key,
        None,
        fixture.now,
        &mut fixture.rng,
    );
    let held = fixture.accept(issued.as_bytes()).unwrap();
    let selection = held.select(&[claim_path![501]]).unwrap();
    let kbt = held.present(&selection, &audience(), &nonce(), &fixture.holder, fixture.now).unwrap();
    let verifier = Verifier::new(&fixture.trust, audience(), VctPolicy::one(vct.clone()), short_lived());
    let shown = verifier.verify(&kbt, challenge(), fixture.now).unwrap();
    let claim = held.claims().at(&claim_path![501]).unwrap();
    assert_eq!(claim.as_text().unwrap(), CANARY);
    let value = ClaimValue::from(CANARY);
    let texts = [
        format!("{status:?} {vct:?} {template:?} {:?} {issued:?} {prepared:?}", claims()),
        format!("{held:?} {selection:?} {verifier:?} {shown:?} {claim:?} {value:?} {:?}", held.claims()),
        format!("{:?} {:?}", ClaimKey::from(CANARY), ClaimSet::builder().claim(CANARY, CANARY)),
        format!("{:?} {:?}", ClaimMap::new().claim(CANARY, CANARY), ClaimArray::new().element(CANARY)),
        format!("{:?} {:?}", fixture.trust, held.prepare(&selection, &audience(), &nonce(), fixture.now)),
    ];
    for text in texts {
        assert!(!text.contains("canary") && !text.contains("4711"), "{text}");
        assert!(!text.contains("issuer.test"), "{text}");
    }
    let hint = Verifier::peek(&kbt).unwrap();
    let held = fixture.held();
    let accepted = fixture.verify(&fixture.present(&held, &[])).unwrap().accept_unlisted().unwrap();
    let text = format!("{:?} {hint:?} {shown:?} {accepted:?}", nonce());
    assert_eq!(
        text,
        "Nonce { len: 32, .. } UnverifiedHint { .. } Presentation { claims: Claims { len: 12, .. }, .. } \
         Accepted { claims: Claims { len: 10, .. }, .. }"
    );
}

#[test]
fn the_peer_learns_one_of_two_words() {
    assert_eq!(ForPeer::Retry.as_str(), "retry");
    assert_eq!(ForPeer::Refused.as_str(), "refused");
    assert_eq!(VerifyError::from(TimeError::Stale).for_peer(), ForPeer::Retry);
    assert_eq!(VerifyError::from(StatusError::Revoked).for_peer(), ForPeer::Refused);
    assert_eq!(VerifyError::from(TrustError::UnknownIssuer).for_peer(), ForPeer::Refused);
}
