//! What a holder refuses although it is valid, and what an issuer can't write.

use super::*;
use crate::test_util::raw_sign1;

#[test]
fn a_missing_disclosure_hides_something_from_the_person() {
    let mut fixture = Fixture::new();
    let bytes = fixture.issue(Fixture::claims());
    let (_, all) = take_apart(&bytes);
    for skip in 0..all.len() {
        let mut less = all.clone();
        less.remove(skip);
        let result = code(fixture.accept(&with_disclosures(&bytes, &less)));
        // Without the outer claim its inner one is an orphan; all others are missed by the holder.
        assert!(result == "Holder.UnmatchedDigest" || result == "Disclosure.Orphan", "{result}");
    }
}

#[test]
fn another_holders_credential_is_refused() {
    let mut fixture = Fixture::new();
    let bytes = fixture.issue(Fixture::claims());
    let policy = AcceptPolicy::new(fixture.other.public().clone());
    let result = HeldCredential::accept(&bytes, &fixture.trust, &policy, fixture.now);
    assert_eq!(stage(result), "holder: Holder.WrongKey");
}

#[test]
fn a_subject_is_wanted() {
    let fixture = Fixture::new();
    let payload = map(|map| {
        map.int(1, |w| unit(w.text(ISS))).int(8, |w| {
            w.map(|map| unit(map.int(1, |w| fixture.holder.public().encode(w))));
        });
    });
    let token = raw_sign1(&fixture.issuer, &fixture.header(), &[0xa0], &payload);
    assert_eq!(stage(fixture.accept(&token)), "claims: Claims.Missing");
    // A disclosed one counts, but must be text.
    for (write, want) in
        [((|w| unit(w.text("me"))) as fn(&mut Writer), "ok"), (|w| unit(w.uint(1)), "claims: Claims.Type")]
    {
        let disclosure = cbor(|w| {
            w.array(3).bytes(&[1; 16]);
            write(w);
            w.uint(2);
        });
        let digest = deedbox_crypto::hash::sha256(&cbor(|w| unit(w.bytes(&disclosure))));
        let payload = map(|map| {
            map.int(1, |w| unit(w.text(ISS))).int(8, |w| {
                w.map(|map| unit(map.int(1, |w| fixture.holder.public().encode(w))));
            });
            map.entry(|w| unit(w.simple(59)), |w| unit(w.array(1).bytes(&digest)));
        });
        let token = raw_sign1(&fixture.issuer, &fixture.header(), &sd_claims(&[disclosure]), &payload);
        assert_eq!(stage(fixture.accept(&token)), want);
    }
}

#[test]
fn an_unsorted_map_could_mark_a_copy() {
    let fixture = Fixture::new();
    let mut payload = fixture.payload(|_| {});
    // Claims 600 and 601, in the wrong order, at the end of a map of nine.
    payload[0] += 2;
    payload.extend([0x19, 0x02, 0x59, 0, 0x19, 0x02, 0x58, 0]);
    let token = raw_sign1(&fixture.issuer, &fixture.header(), &[0xa0], &payload);
    assert_eq!(stage(fixture.accept(&token)), "holder: Holder.NotDeterministic");
    let lenient = fixture.policy().allow_unsorted();
    assert!(HeldCredential::accept(&token, &fixture.trust, &lenient, fixture.now).is_ok());
    // A verifier does not mind.
    assert!(fixture.verify(&fixture.bind(&token)).is_ok());
}

#[test]
fn a_selection_is_of_one_credential() {
    let mut fixture = Fixture::new();
    let (first, second) = (fixture.held(), fixture.held());
    let selection = first.select(&[claim_path![501]]).unwrap();
    let result = second.present(&selection, &audience(), &nonce(), &fixture.holder, fixture.now);
    assert_eq!(result.unwrap_err(), PresentError::OtherCredential);
}

#[test]
fn the_holder_looks_at_trust_signature_and_times() {
    let mut fixture = Fixture::new();
    let bytes = fixture.issue(Fixture::claims());
    let accept = |trust: &TrustStore, secs: u64| {
        let policy = fixture.policy().with_leeway(0);
        stage(HeldCredential::accept(&bytes, trust, &policy, Timestamp::from_secs(secs)))
    };
    assert_eq!(accept(&fixture.trust, HOUR), "ok");
    assert_eq!(accept(&fixture.trust, HOUR - 1), "time: Time.NotYetValid");
    assert_eq!(accept(&fixture.trust, HOUR + 90_000 - 1), "ok");
    assert_eq!(accept(&fixture.trust, HOUR + 90_000), "time: Time.Expired");
    assert_eq!(accept(&TrustStore::new(), HOUR), "trust: Trust.UnknownIssuer");
}

#[test]
fn an_issuer_cannot_write_what_nobody_would_read() {
    let build = |builder: ClaimSetBuilder| builder.build().map_or_else(|error| error.code(), |_| "ok");
    let set = ClaimSet::builder;
    assert_eq!(build(set()), "ok");
    assert_eq!(build(set().claim(600, 1).claim(600, 2)), "DuplicateKey");
    assert_eq!(build(set().claim(600, 1).redactable(600, 2)), "DuplicateKey");
    assert_eq!(build(set().claim(600, ClaimMap::new().claim(1, 1).redactable(1, 2))), "DuplicateKey");
    for key in [1, 3, 4, 5, 6, 7, 8, 11, 39, 65_535] {
        assert_eq!(build(set().redactable(key, "v")), "NeverRedacted");
    }
    for key in [1, 4, 5, 6, 8, 11, 39, 65_535] {
        assert_eq!(build(set().claim(key, "v")), "Reserved");
    }
    assert_eq!(build(set().claim(2, 1)), "Type");
    assert_eq!(build(set().claim(2, ClaimMap::new())), "Type");
    assert_eq!(build(set().claim(3, AUD).claim(7, &[1_u8][..]).redactable(2, "me")), "ok");
    assert_eq!(build(set().claim(7, "id")), "Type");
    assert_eq!(build(set().claim("k".repeat(255), 1)), "ok");
    assert_eq!(build(set().claim("k".repeat(256), 1)), "Key");
    assert_eq!(build(set().decoys(2048)), "ok");
    assert_eq!(build(set().decoys(2049)), "TooMany");
    assert_eq!(build(set().decoys(2048).redactable(600, 1)), "TooMany");
    let raw = |bytes: &[u8]| ClaimValue::from_cbor(bytes).unwrap();
    for (tag, want) in [(1, "ok"), (58, "ReservedTag"), (60, "Marker"), (62, "ReservedTag")] {
        let value = cbor(|w| unit(w.array(1).tag(tag).bytes(&[0; 32])));
        assert_eq!(build(set().claim(600, raw(&value))), want);
    }
    assert_eq!(build(set().claim(600, raw(&[0xa1, 0xf8, 59, 0x80]))), "Marker");
    assert_eq!(build(set().claim(600, raw(&[0xa1, 0x41, 0, 0]))), "Key");
    let nested = |levels: usize| {
        cbor(|w| {
            (0..levels).for_each(|_| unit(w.array(1)));
            w.uint(1);
        })
    };
    assert_eq!(build(set().claim(600, raw(&nested(15)))), "ok");
    assert_eq!(build(set().claim(600, raw(&nested(16)))), "Levels");
    let built =
        |levels: usize| (0..levels).fold(ClaimValue::from(1), |value, _| ClaimArray::new().redactable(value).into());
    assert_eq!(build(set().claim(600, built(15))), "ok");
    assert_eq!(build(set().claim(600, built(16))), "Levels");
    assert_eq!(ClaimValue::from_cbor(&[0x18, 1]).unwrap_err(), ClaimSetError::Cbor);
    assert_eq!(ClaimValue::from_cbor(&[1, 1]).unwrap_err(), ClaimSetError::Cbor);
}

#[test]
fn broken_randomness_is_noticed() {
    #[derive(Debug)]
    struct Stuck;
    impl rand_core::TryRng for Stuck {
        type Error = core::convert::Infallible;
        fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
            Ok(4)
        }
        fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
            Ok(4)
        }
        fn try_fill_bytes(&mut self, dst: &mut [u8]) -> Result<(), Self::Error> {
            dst.fill(4);
            Ok(())
        }
    }
    impl rand_core::TryCryptoRng for Stuck {}
    let fixture = Fixture::new();
    let issuer = Issuer::new(ISS, &fixture.issuer);
    let result =
        issuer.issue(&Fixture::template(), Fixture::claims(), fixture.holder.public(), None, fixture.now, &mut Stuck);
    assert_eq!(result.unwrap_err(), IssueError::Randomness);
}

fn keys<'a>(claims: impl Iterator<Item = (deedbox_cbor::Item<'a>, deedbox_cbor::Item<'a>)>) -> Vec<i64> {
    claims.map(|(key, _)| key.as_i64().unwrap()).collect()
}

/// What is decided on before anything is shown: the claims on the person, and of these only what the verifier learns of.
#[test]
fn claims_on_the_person_are_told_apart_from_those_on_the_credential() {
    let mut fixture = Fixture::new();
    let claims = ClaimSet::builder()
        .claim(500, true)
        .redactable(501, "1971-03-09")
        .claim(502, ClaimMap::new().redactable("street", "7 Mill Lane").redactable("city", "York"))
        .claim(503, ClaimArray::new().redactable(1).decoys(2))
        .claim(504, ClaimArray::new())
        .build()
        .unwrap();
    let bytes = fixture.issue(claims);
    let held = fixture.accept(&bytes).unwrap();
    // Neither issuer, times, key and type, nor the subject, which is the key's thumbprint.
    assert_eq!(keys(held.personal_claims()), [500, 501, 502, 503, 504]);
    let shown = |paths: &[ClaimPath]| {
        let selection = held.select(paths).unwrap();
        let shown = held.shown(&selection).unwrap();
        keys(shown)
    };
    // What every verifier sees counts; a bare map or array does not, unless it never held anything.
    assert_eq!(shown(&[]), [500, 504]);
    assert_eq!(shown(&[claim_path![502, "city"]]), [500, 502, 504]);
    assert_eq!(shown(&[claim_path![501], claim_path![503, 0]]), [500, 501, 503, 504]);

    let bytes = fixture.issue(Fixture::claims());
    let other = fixture.accept(&bytes).unwrap();
    assert!(matches!(other.shown(&held.select(&[]).unwrap()).err(), Some(PresentError::OtherCredential)));

    // A subject of another kind is the person.
    let payload = fixture.payload(|_| {});
    let named = fixture.accept(&raw_sign1(&fixture.issuer, &fixture.header(), &[0xa0], &payload)).unwrap();
    assert_eq!(keys(named.personal_claims()), [2]);
}
