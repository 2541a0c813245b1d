//! Which keys are candidates for a token.

use super::*;
use crate::test_util::{Listed, add_listed, raw_sign1};

fn listed(fixture: &Fixture) -> Listed {
    Listed {
        iss: ISS.into(),
        kid: b"k1".to_vec(),
        key: fixture.issuer.public().clone(),
        state: KeyState::Active,
        not_before: None,
        not_after: None,
        types: None,
    }
}

fn verify(fixture: &Fixture, entries: Vec<Listed>, kid: Option<&[u8]>, unprotected: bool) -> String {
    let mut trust = TrustStore::new();
    entries.into_iter().for_each(|entry| add_listed(&mut trust, entry));
    let write = |map: &mut MapWriter| {
        if let Some(kid) = kid {
            map.int(4, |w| unit(w.bytes(kid)));
        }
    };
    let header = map(|map| {
        map.int(1, |w| unit(w.int(-19))).int(16, |w| unit(w.uint(293)));
        if !unprotected {
            write(map);
        }
    });
    let bucket = if unprotected { map(write) } else { vec![0xa0] };
    let token = raw_sign1(&fixture.issuer, &header, &bucket, &fixture.payload(|_| {}));
    let verifier = Verifier::new(&trust, audience(), VctPolicy::any_or_none(), short_lived());
    stage(verifier.verify(&fixture.bind(&token), challenge(), fixture.now))
}

#[test]
fn issuer_then_kid_then_use() {
    let fixture = Fixture::new();
    let good = || listed(&fixture);
    let check = |entries: Vec<Listed>| verify(&fixture, entries, Some(b"k1"), false);
    let hour = i64::try_from(HOUR).unwrap();
    assert_eq!(check(vec![good()]), "ok");
    assert_eq!(check(vec![]), "trust: Trust.UnknownIssuer");
    assert_eq!(check(vec![Listed { iss: "https://issuer.test/".into(), ..good() }]), "trust: Trust.UnknownIssuer");
    assert_eq!(check(vec![Listed { kid: b"k2".to_vec(), ..good() }]), "trust: Trust.UnknownKey");
    assert_eq!(check(vec![Listed { state: KeyState::Compromised, ..good() }]), "trust: Trust.KeyNotUsable");
    assert_eq!(check(vec![Listed { state: KeyState::Retired, ..good() }]), "trust: Trust.KeyNotUsable");
    let retired = |until| Listed { state: KeyState::Retired, not_after: Some(until), ..good() };
    assert_eq!(check(vec![retired(hour + 1)]), "ok");
    assert_eq!(check(vec![retired(hour)]), "trust: Trust.KeyNotUsable");
    assert_eq!(check(vec![Listed { not_before: Some(hour), ..good() }]), "ok");
    assert_eq!(check(vec![Listed { not_before: Some(hour + 1), ..good() }]), "trust: Trust.KeyNotUsable");
    assert_eq!(check(vec![Listed { types: Some(vec![LICENCE]), ..good() }]), "ok");
    assert_eq!(check(vec![Listed { types: Some(vec![Vct::number(1)]), ..good() }]), "trust: Trust.KeyNotUsable");
    let other = fixture.other.public().clone();
    assert_eq!(check(vec![Listed { key: other.clone(), ..good() }]), "signature: Signature.Issuer");
    // Kids may collide: the signature decides, in either order.
    assert_eq!(check(vec![Listed { key: other.clone(), ..good() }, good()]), "ok");
    assert_eq!(check(vec![good(), Listed { key: other, ..good() }]), "ok");
}

#[test]
fn the_kid_may_be_unprotected_or_absent() {
    let fixture = Fixture::new();
    let entries = || {
        vec![Listed { kid: b"k2".to_vec(), key: fixture.other.public().clone(), ..listed(&fixture) }, listed(&fixture)]
    };
    assert_eq!(verify(&fixture, entries(), Some(b"k1"), true), "ok");
    assert_eq!(verify(&fixture, entries(), Some(b"k2"), true), "signature: Signature.Issuer");
    assert_eq!(verify(&fixture, entries(), None, false), "ok");
}

#[test]
fn a_pin_replaces_a_pin_but_not_a_compromise() {
    let mut fixture = Fixture::new();
    let bytes = fixture.issue(Fixture::claims());
    let key = || IssuerKey::new(fixture.issuer.public().clone());
    let mut trust = TrustStore::new();
    let accept = |trust: &TrustStore| stage(HeldCredential::accept(&bytes, trust, &fixture.policy(), fixture.now));
    trust.pin_issuer(ISS, key().not_before(Timestamp::from_secs(HOUR + 1)));
    assert_eq!(accept(&trust), "trust: Trust.KeyNotUsable");
    trust.pin_issuer(ISS, key().not_after(Timestamp::from_secs(HOUR + 1)).with_types([LICENCE]));
    assert_eq!(accept(&trust), "ok");
    let mut trust = TrustStore::new();
    trust.pin_issuer(ISS, key());
    assert_eq!(accept(&trust), "ok");
    trust.pin_issuer(ISS, key().in_state(KeyState::Compromised)).pin_issuer(ISS, key());
    assert_eq!(accept(&trust), "trust: Trust.KeyNotUsable");
    // A key that somebody else has is nobody's any more.
    let mut trust = TrustStore::new();
    trust.pin_issuer(ISS, key()).pin_issuer("https://other.test", key().in_state(KeyState::Compromised));
    assert_eq!(accept(&trust), "trust: Trust.KeyNotUsable");
}
