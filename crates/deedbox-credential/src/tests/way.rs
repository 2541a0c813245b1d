//! The good way: issue, accept, present, verify.

use proptest::prelude::*;

use super::*;
use crate::test_util::{RandomClaims, claims, naive_assemble};

#[test]
fn what_was_selected_arrives_and_nothing_else() {
    let mut fixture = Fixture::new();
    let held = fixture.held();
    assert_eq!(held.claims().at(&claim_path![503, "postal"]).unwrap().as_text().unwrap(), "94188");
    assert_eq!(held.claims().at(&claim_path![502, 2]).unwrap().as_int().unwrap(), 1_612_560_720);
    let kbt = fixture.present(&held, &[claim_path![501], claim_path![503, "region"], claim_path![502, 1]]);
    let accepted = fixture.verify(&kbt).unwrap().accept_unlisted().unwrap();
    let claims = accepted.claims();
    assert_eq!(claims.at(&claim_path![501]).unwrap().as_text().unwrap(), "ABCD-123456");
    assert_eq!(claims.at(&claim_path![503, "region"]).unwrap().as_text().unwrap(), "ca");
    assert_eq!(claims.at(&claim_path![503, "postal"]).unwrap_err(), ClaimError::Missing);
    assert_eq!(claims.at(&claim_path![504]).unwrap_err(), ClaimError::Missing);
    assert_eq!(claims.at(&claim_path![502, 1]).unwrap().as_int().unwrap(), 1_549_560_720);
    assert_eq!(claims.at(&claim_path![502, 2]).unwrap_err(), ClaimError::Missing);
    assert!(claims.at(&claim_path![500]).unwrap().as_bool().unwrap());
    assert_eq!(claims.at(&claim_path![500]).unwrap().as_int().unwrap_err(), ClaimError::Kind);
    assert_eq!((accepted.issuer(), accepted.vct()), (ISS, Some(&LICENCE)));
    assert_eq!(accepted.digest().as_bytes(), &deedbox_crypto::hash::sha256(&kbt));
}

#[test]
fn a_redacted_claim_within_a_redacted_one_brings_its_ancestor() {
    let mut fixture = Fixture::new();
    let held = fixture.held();
    let selection = held.select(&[claim_path![504, "inner"]]).unwrap();
    assert_eq!(selection.disclosed(), 2);
    assert_eq!(selection.revealed().at(&claim_path![504, "inner"]).unwrap().as_text().unwrap(), "hidden");
    let outer = held.select(&[claim_path![504]]).unwrap();
    assert_eq!(outer.disclosed(), 1);
    assert_eq!(outer.revealed().at(&claim_path![504, "inner"]).unwrap_err(), ClaimError::Missing);
    assert_eq!(held.select(&[claim_path![502, ()]]).unwrap().disclosed(), 2);
    assert_eq!(held.select(&[]).unwrap().disclosed(), 0);
    for missing in [claim_path![505], claim_path![503, "city"], claim_path![502, 3], claim_path![500, 1]] {
        assert_eq!(held.select(&[missing]).unwrap_err(), PresentError::NoSuchClaim);
    }
}

#[test]
fn nothing_disclosed_leaves_the_header_out() {
    let mut fixture = Fixture::new();
    let held = fixture.held();
    let kbt = fixture.present(&held, &[]);
    assert_eq!(take_apart(&token_of(&kbt)).0[1], [0xa0]);
    assert!(fixture.verify(&kbt).is_ok());
}

#[test]
fn an_assured_value_travels_as_a_whole() {
    let mut fixture = Fixture::new();
    let at = Timestamp::from_secs(1_700_000_000);
    let value = ClaimValue::assured("Ada", deedbox_model::Assurance::High, "passport", at, Some("register"));
    let set = ClaimSet::builder().redactable("name", value).claim("age", 5).build().unwrap();
    let bytes = fixture.issue(set);
    let held = fixture.accept(&bytes).unwrap();
    let kbt = fixture.present(&held, &[claim_path!["name"]]);
    let accepted = fixture.verify(&kbt).unwrap().accept_unlisted().unwrap();
    let name = accepted.claims().assured(&claim_path!["name"]).unwrap();
    assert_eq!(name.value().as_text().unwrap(), "Ada");
    assert_eq!(
        (name.assurance(), name.method(), name.verified_at(), name.source()),
        (deedbox_model::Assurance::High, "passport", at, Some("register"))
    );
    assert_eq!(accepted.claims().assured(&claim_path!["age"]).unwrap_err(), ClaimError::Kind);
}

#[test]
fn a_remote_signer_gives_the_same_bytes() {
    let mut fixture = Fixture::new();
    let (template, key) = (Fixture::template(), fixture.holder.public().clone());
    let mut rng = fixture.rng.clone();
    let direct = fixture.issue(Fixture::claims());
    let issuer = fixture.issuer.public();
    let prepare = |rng: &mut SeededRng| {
        PreparedCredential::prepare(ISS, issuer, &template, Fixture::claims(), &key, None, fixture.now, rng).unwrap()
    };
    let prepared = prepare(&mut rng.clone());
    let signature = fixture.issuer.sign(prepared.to_be_signed()).unwrap();
    assert_eq!(prepared.finish(signature.as_bytes()).unwrap().as_bytes(), direct);
    assert_eq!(prepare(&mut rng).finish(&[0; 64]).unwrap_err(), IssueError::Signer);

    let held = fixture.accept(&direct).unwrap();
    let selection = held.select(&[claim_path![501]]).unwrap();
    let direct = held.present(&selection, &audience(), &nonce(), &fixture.holder, fixture.now).unwrap();
    let prepared = held.prepare(&selection, &audience(), &nonce(), fixture.now).unwrap();
    let signature = fixture.holder.sign(prepared.to_be_signed()).unwrap();
    assert_eq!(prepared.finish(signature.as_bytes()).unwrap(), direct);
    let prepared = held.prepare(&selection, &audience(), &nonce(), fixture.now).unwrap();
    assert_eq!(prepared.finish(signature.as_bytes().get(1..).unwrap()).unwrap_err(), PresentError::Signer);
}

#[test]
fn the_subject_is_the_holders_thumbprint_uri_unless_named() {
    let mut fixture = Fixture::new();
    let held = fixture.held();
    let subject = held.claims().at(&claim_path![2]).unwrap().as_text().unwrap();
    assert_eq!(subject.len(), 34 + 43);
    assert!(subject.starts_with("urn:ietf:params:oauth:ckt:sha-256:"));
    let bytes = fixture.issue(ClaimSet::builder().redactable(2, "somebody").build().unwrap());
    let held = fixture.accept(&bytes).unwrap();
    assert_eq!(held.claims().at(&claim_path![2]).unwrap().as_text().unwrap(), "somebody");
    let kbt = fixture.present(&held, &[]);
    let accepted = fixture.verify(&kbt).unwrap().accept_unlisted().unwrap();
    assert_eq!(accepted.claims().at(&claim_path![2]).unwrap_err(), ClaimError::Missing);
}

#[test]
fn peeking_tells_what_is_needed_to_fetch() {
    let mut fixture = Fixture::new();
    let status = StatusReference::new(412, "https://status.test/1");
    let credential = Issuer::new(ISS, &fixture.issuer)
        .issue(
            &Fixture::template(),
            Fixture::claims(),
            fixture.holder.public(),
            Some(&status),
            fixture.now,
            &mut fixture.rng,
        )
        .unwrap();
    let held = fixture.accept(credential.as_bytes()).unwrap();
    assert_eq!(held.status(), Some(&status));
    let kbt = fixture.present(&held, &[]);
    let hint = Verifier::peek(&kbt).unwrap();
    assert_eq!(hint.unverified_issuer(), ISS);
    assert_eq!(hint.unverified_kid(), Some(&fixture.issuer.public().thumbprint().as_bytes()[..]));
    assert_eq!(hint.unverified_vct(), Some(&LICENCE));
    assert_eq!(hint.unverified_status(), Some(&status));
    assert_eq!(hint.unverified_source(), Some(StatusSource::new(ISS, &status)));
}

#[test]
fn a_status_is_never_skipped() {
    let mut fixture = Fixture::new();
    let status = StatusReference::new(412, "https://status.test/1");
    for (reference, policy, want) in [
        (None, StatusPolicy::Required, "Status.Absent"),
        (Some(&status), StatusPolicy::Required, "Status.Uri"),
        (Some(&status), short_lived(), "Status.Uri"),
        (None, short_lived(), "ok"),
        (None, StatusPolicy::ShortLived { max_secs: 90_000 }, "ok"),
        (None, StatusPolicy::ShortLived { max_secs: 89_999 }, "Status.Absent"),
    ] {
        let credential = Issuer::new(ISS, &fixture.issuer)
            .issue(
                &Fixture::template(),
                Fixture::claims(),
                fixture.holder.public(),
                reference,
                fixture.now,
                &mut fixture.rng,
            )
            .unwrap();
        let held = fixture.accept(credential.as_bytes()).unwrap();
        let kbt = fixture.present(&held, &[]);
        let verifier = Verifier::new(&fixture.trust, audience(), VctPolicy::one(LICENCE), policy);
        let shown = verifier.verify(&kbt, challenge(), fixture.now).unwrap();
        assert_eq!(shown.status().as_ref(), reference);
        assert_eq!(code(shown.accept_unlisted()), want);
    }
}

#[test]
fn a_reopened_credential_is_the_same() {
    let mut fixture = Fixture::new();
    let held = fixture.held();
    let again = HeldCredential::reopen(held.as_bytes(), &fixture.policy()).unwrap();
    assert_eq!((again.as_bytes(), again.claims()), (held.as_bytes(), held.claims()));
    let other = AcceptPolicy::new(fixture.other.public().clone());
    assert_eq!(code(HeldCredential::reopen(held.as_bytes(), &other)), "Holder.WrongKey");
}

proptest! {
    #[test]
    fn any_claims_come_back_whole_and_in_part(seed: u64, choice: u64) {
        let mut fixture = Fixture::new();
        let mut draw = SeededRng::new(seed);
        let random = RandomClaims::draw(&mut draw);
        let redacted = fixture.issue(random.redacted());
        let open = fixture.issue(random.open());
        let held = fixture.accept(&redacted).unwrap();
        // All disclosures together give what was never redacted.
        let plain = fixture.accept(&open).unwrap();
        prop_assert_eq!(held.claims(), plain.claims());

        let paths: Vec<_> = random
            .paths()
            .into_iter()
            .enumerate()
            .filter(|(at, _)| (choice >> (at % 64)) & 1 == 1)
            .map(|(_, path)| path)
            .collect();
        let selection = held.select(&paths).unwrap();
        let kbt = held.present(&selection, &audience(), &nonce(), &fixture.holder, fixture.now).unwrap();
        let shown = fixture.verify(&kbt).unwrap();
        prop_assert_eq!(claims(&shown), selection.revealed());

        let ([_, _, payload, _], disclosures) = take_apart(&token_of(&kbt));
        prop_assert_eq!(disclosures.len(), selection.disclosed());
        let disclosures: Vec<&[u8]> = disclosures.iter().map(Vec::as_slice).collect();
        let naive = naive_assemble(&payload, &disclosures);
        prop_assert_eq!(naive.as_deref(), Some(claims(&shown).as_bytes()));
    }
}
