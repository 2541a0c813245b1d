//! Whatever is altered is refused, each fault with its code.

use super::*;
use crate::test_util::raw_sign1;

#[test]
fn every_flipped_byte_of_a_presentation_is_refused() {
    let mut fixture = Fixture::new();
    let held = fixture.held();
    let kbt = fixture.present(&held, &[claim_path![501], claim_path![503, "region"]]);
    assert!(fixture.verify(&kbt).is_ok());
    for at in 0..kbt.len() {
        let mut bad = kbt.clone();
        bad[at] ^= 1 << (at % 8);
        assert!(fixture.verify(&bad).is_err(), "byte {at}");
    }
    for len in 0..kbt.len() {
        assert!(fixture.verify(&kbt[..len]).is_err(), "length {len}");
    }
    let longer = [&kbt[..], &[0]].concat();
    assert_eq!(stage(fixture.verify(&longer)), "cbor: Trailing");
}

#[test]
fn every_flipped_byte_of_a_credential_is_refused_by_its_holder() {
    let mut fixture = Fixture::new();
    let bytes = fixture.issue(Fixture::claims());
    for at in 0..bytes.len() {
        let mut bad = bytes.clone();
        bad[at] ^= 1 << (at % 8);
        assert!(fixture.accept(&bad).is_err(), "byte {at}");
    }
    for len in 0..bytes.len() {
        assert!(fixture.accept(&bytes[..len]).is_err(), "length {len}");
    }
}

#[test]
fn a_flipped_token_bound_anew_is_refused_too() {
    // The holder is the attacker: every binding holds, only the credential inside is altered.
    let mut fixture = Fixture::new();
    let held = fixture.held();
    let token = token_of(&fixture.present(&held, &[claim_path![501], claim_path![504, "inner"]]));
    assert!(fixture.verify(&fixture.bind(&token)).is_ok());
    for at in 0..token.len() {
        let mut bad = token.clone();
        bad[at] ^= 1 << (at % 8);
        if deedbox_cbor::read(&bad, Order::Any, &Limits::new(1 << 20)).is_ok() {
            // A holder who renames header 17 shows less, as is their right; nothing else passes.
            if let Ok(shown) = fixture.verify(&fixture.bind(&bad)) {
                assert_eq!(test_util::claims(&shown), held.select(&[]).unwrap().revealed(), "byte {at}");
            }
        }
    }
}

#[test]
fn disclosures_that_are_foreign_orphaned_repeated_or_altered_are_refused() {
    let mut fixture = Fixture::new();
    let held = fixture.held();
    let token = held.as_bytes().to_vec();
    let (_, all) = take_apart(&token);
    let verify = |disclosures: &[Vec<u8>]| code(fixture.verify(&fixture.bind(&with_disclosures(&token, disclosures))));
    assert_eq!(verify(&all), "ok");
    let twice: Vec<_> = all.iter().chain(all.first()).cloned().collect();
    assert_eq!(verify(&twice), "Disclosure.DuplicateSalt");
    let (_, foreign) = take_apart(&fixture.issue_other());
    let with_foreign: Vec<_> = all.iter().chain(foreign.first()).cloned().collect();
    assert_eq!(verify(&with_foreign), "Disclosure.Orphan");
    // `inner` without the claim that holds its digest.
    let inner = all.iter().find(|bytes| bytes.windows(5).any(|part| part == b"inner")).unwrap();
    assert_eq!(verify(core::slice::from_ref(inner)), "Disclosure.Orphan");
    for at in 0..all.len() {
        for byte in 0..all[at].len() {
            let mut bad = all.clone();
            bad[at][byte] ^= 1;
            assert_ne!(verify(&bad), "ok", "byte {byte} of disclosure {at}");
        }
    }
}

#[test]
fn the_order_of_disclosures_does_not_matter() {
    let mut fixture = Fixture::new();
    let held = fixture.held();
    let (_, mut all) = take_apart(held.as_bytes());
    let mut claims = Vec::new();
    for turn in 0..all.len() {
        all.rotate_left(1);
        all.swap(turn, 0);
        let shown = fixture.verify(&fixture.bind(&with_disclosures(held.as_bytes(), &all))).unwrap();
        claims.push(test_util::claims(&shown).clone());
    }
    assert!(claims.iter().all(|claims| claims == held.claims()));
}

#[test]
fn bare_digests_are_read_and_never_mixed_with_wrapped_ones() {
    let fixture = Fixture::new();
    let disclosure = |salt: u8, key: u64| cbor(|w| unit(w.array(3).bytes(&[salt; 16]).text("v").uint(key)));
    let (first, second) = (disclosure(1, 600), disclosure(2, 601));
    let bare = |bytes: &[u8]| deedbox_crypto::hash::sha256(bytes);
    let wrapped = |bytes: &[u8]| bare(&cbor(|w| unit(w.bytes(bytes))));
    let payload = |digests: [[u8; 32]; 2]| {
        fixture.payload(|map| {
            map.entry(
                |w| unit(w.simple(59)),
                |w| {
                    w.array(2);
                    digests.iter().for_each(|digest| unit(w.bytes(digest)));
                },
            );
        })
    };
    let both = [first.clone(), second.clone()];
    assert_eq!(code(fixture.verify(&fixture.shown(&payload([bare(&first), bare(&second)]), &both))), "ok");
    assert_eq!(code(fixture.verify(&fixture.shown(&payload([wrapped(&first), wrapped(&second)]), &both))), "ok");
    let mixed = payload([bare(&first), wrapped(&second)]);
    assert_eq!(code(fixture.verify(&fixture.shown(&mixed, &both))), "Disclosure.Orphan");
}

#[test]
fn another_audience_or_nonce_is_refused() {
    let mut fixture = Fixture::new();
    let held = fixture.held();
    let kbt = fixture.present(&held, &[]);
    let verifier = |name: &str| {
        let audience = Audience::parse(name).unwrap();
        Verifier::new(&fixture.trust, audience, VctPolicy::any_or_none(), short_lived())
    };
    let now = fixture.now;
    assert_eq!(code(verifier(AUD).verify(&kbt, challenge(), now)), "ok");
    let error = verifier("https://verifier.test/").verify(&kbt, challenge(), now).unwrap_err();
    assert_eq!((error.code(), error.for_peer()), ("Binding.Audience", ForPeer::Refused));
    for bytes in [&[8; 32][..], &[7; 31], &[7; 33]] {
        let challenge = Challenge::try_new(bytes, 300).unwrap();
        let error = verifier(AUD).verify(&kbt, challenge, now).unwrap_err();
        assert_eq!((error.code(), error.for_peer()), ("Binding.Nonce", ForPeer::Retry));
    }
    for len in [0, 15, 65] {
        assert_eq!(Challenge::try_new(&vec![1; len], 300).unwrap_err(), PresentError::Nonce);
    }
}

#[test]
fn a_key_binding_without_a_member_or_with_one_too_many_is_refused() {
    let fixture = Fixture::new();
    let token = raw_sign1(&fixture.issuer, &fixture.header(), &[0xa0], &fixture.payload(|_| {}));
    let now = fixture.now.secs();
    let bind = |payload: &[u8]| raw_sign1(&fixture.holder, &kbt_header(&token), &[0xa0], payload);
    let payload = |without: i64, more: &dyn Fn(&mut MapWriter)| {
        map(|map| {
            if without != 3 {
                map.int(3, |w| unit(w.text(AUD)));
            }
            if without != 6 {
                map.int(6, |w| unit(w.uint(now)));
            }
            if without != 39 {
                map.int(39, |w| unit(w.bytes(&NONCE)));
            }
            more(map);
        })
    };
    let check = |payload: &[u8]| code(fixture.verify(&bind(payload)));
    assert_eq!(check(&payload(0, &|_| {})), "ok");
    assert_eq!(check(&payload(3, &|_| {})), "Binding.Audience");
    assert_eq!(check(&payload(6, &|_| {})), "Claims.Missing");
    assert_eq!(check(&payload(39, &|_| {})), "Binding.Nonce");
    assert_eq!(check(&payload(0, &|map| unit(map.int(1, |w| unit(w.text(ISS)))))), "Binding.IssOrSub");
    assert_eq!(check(&payload(0, &|map| unit(map.int(2, |w| unit(w.text("me")))))), "Binding.IssOrSub");
    assert_eq!(check(&payload(0, &|map| unit(map.int(3, |w| unit(w.array(1).text(AUD)))))), "Binding.Audience");
    assert_eq!(check(&payload(0, &|map| unit(map.int(39, |w| unit(w.text("text")))))), "Binding.Nonce");
    assert_eq!(check(&payload(0, &|map| unit(map.int(4, |w| unit(w.text("x")))))), "Claims.Date");
    assert_eq!(check(&payload(0, &|map| unit(map.int(99, |w| unit(w.uint(1)))))), "ok");
    let marked = payload(0, &|map| unit(map.entry(|w| unit(w.simple(59)), |w| unit(w.array(0)))));
    assert_eq!(check(&marked), "Claims.Marker");
    assert_eq!(check(&cbor(|w| unit(w.array(0)))), "Claims.NotAMap");
    assert_eq!(check(&[]), "Eof");
}

#[test]
fn only_the_bound_key_may_sign_the_binding() {
    let mut fixture = Fixture::new();
    let held = fixture.held();
    let kbt = fixture.present(&held, &[]);
    let ([protected, unprotected, payload, _], _) = take_apart(&kbt);
    for signer in [&fixture.issuer, &fixture.other] {
        let bad = raw_sign1(signer, &protected, &unprotected, &payload);
        assert_eq!(stage(fixture.verify(&bad)), "signature: Signature.KeyBinding");
    }
    // Nor does naming the key help.
    let named = map(|map| {
        map.int(4, |w| unit(w.bytes(fixture.other.public().thumbprint().as_bytes())));
    });
    let bad = raw_sign1(&fixture.other, &protected, &named, &payload);
    assert_eq!(stage(fixture.verify(&bad)), "signature: Signature.KeyBinding");
    assert_eq!(
        held.present(&held.select(&[]).unwrap(), &audience(), &nonce(), &fixture.other, fixture.now).unwrap_err(),
        PresentError::WrongKey
    );
}

#[test]
fn a_token_has_at_most_262_144_bytes() {
    let mut fixture = Fixture::new();
    let token = fixture.issue(Fixture::claims());
    let padded = |len: usize| {
        let ([protected, _, payload, signature], disclosures) = take_apart(&token);
        let unprotected = |filler: usize| {
            map(|map| {
                map.int(17, |w| {
                    w.array(disclosures.len());
                    disclosures.iter().for_each(|disclosure| unit(w.bytes(disclosure)));
                });
                map.int(99, |w| unit(w.bytes(&vec![0; filler])));
            })
        };
        let whole = |filler: usize| test_util::raw_sign1_with(&protected, &unprotected(filler), &payload, &signature);
        let filler = 200_000 + len - whole(200_000).len();
        let padded = whole(filler);
        assert_eq!(padded.len(), len);
        padded
    };
    assert_eq!(stage(fixture.accept(&padded(262_144))), "ok");
    assert_eq!(stage(fixture.accept(&padded(262_145))), "limit: Limit.Bytes");
    assert_eq!(stage(fixture.verify(&vec![0; 262_145])), "limit: Limit.Bytes");
    let room = 262_144 - (fixture.bind(&padded(262_000)).len() - 262_000);
    assert_eq!(stage(fixture.verify(&fixture.bind(&padded(room)))), "ok");
    assert_eq!(stage(fixture.verify(&fixture.bind(&padded(room + 1)))), "limit: Limit.Bytes");
}

#[test]
fn one_kind_of_token_is_not_another() {
    let mut fixture = Fixture::new();
    let held = fixture.held();
    let kbt = fixture.present(&held, &[]);
    assert_eq!(stage(fixture.verify(held.as_bytes())), "header: Header.Typ");
    assert_eq!(stage(fixture.accept(&kbt)), "header: Header.Typ");
    assert_eq!(stage(fixture.verify(&fixture.bind(&kbt))), "header: Header.Typ");
}

#[test]
fn each_header_of_the_credential_is_checked() {
    let fixture = Fixture::new();
    let payload = fixture.payload(|_| {});
    let show = |protected: &dyn Fn(&mut MapWriter), unprotected: &dyn Fn(&mut MapWriter)| {
        let header = map(|map| {
            map.int(1, |w| unit(w.int(-19))).int(16, |w| unit(w.uint(293)));
            protected(map);
        });
        let unprotected = map(|map| unprotected(map));
        stage(fixture.verify(&fixture.bind(&raw_sign1(&fixture.issuer, &header, &unprotected, &payload))))
    };
    let none = |_: &mut MapWriter| {};
    let int = |label: i64, value: i64| move |map: &mut MapWriter| unit(map.int(label, |w| unit(w.int(value))));
    let text =
        |label: i64, value: &'static str| move |map: &mut MapWriter| unit(map.int(label, |w| unit(w.text(value))));
    assert_eq!(show(&none, &none), "ok");
    assert_eq!(show(&int(1, -8), &none), "ok");
    assert_eq!(show(&text(16, "application/sd-cwt"), &none), "ok");
    assert_eq!(show(&text(16, "application/licence+sd-cwt"), &none), "ok");
    assert_eq!(show(&int(1, -257), &none), "header: Header.Alg");
    assert_eq!(show(&text(1, "EdDSA"), &none), "header: Header.Alg");
    assert_eq!(show(&int(1, -9), &none), "header: Header.AlgNotOfKey");
    for typ in ["application/+sd-cwt", "licence+sd-cwt", "sd-cwt", "application/cwt"] {
        assert_eq!(show(&text(16, typ), &none), "header: Header.Typ", "{typ}");
    }
    assert_eq!(show(&int(16, 294), &none), "header: Header.Typ");
    assert_eq!(show(&int(170, -16), &none), "ok");
    assert_eq!(show(&int(170, -44), &none), "header: Header.SdAlg");
    assert_eq!(show(&int(4, 1), &none), "header: Header.Kid");
    assert_eq!(show(&none, &int(4, 1)), "header: Header.Kid");
    assert_eq!(show(&int(15, 1), &none), "header: Header.CwtClaims");
    assert_eq!(show(&none, &int(15, 1)), "header: Header.CwtClaims");
    assert_eq!(show(&int(171, 1), &none), "header: Header.Encrypted");
    assert_eq!(show(&none, &int(171, 1)), "header: Header.Encrypted");
    assert_eq!(show(&int(17, 1), &none), "header: Header.Misplaced");
    assert_eq!(show(&none, &int(170, -16)), "header: Header.Misplaced");
    assert_eq!(show(&none, &int(172, 1)), "header: Header.Misplaced");
    assert_eq!(show(&none, &int(16, 293)), "cose: LabelInBoth");
    assert_eq!(show(&none, &int(99, 1)), "ok");
    let crit = |labels: &'static [i64]| {
        move |map: &mut MapWriter| {
            map.int(2, |w| {
                w.array(labels.len());
                labels.iter().for_each(|label| unit(w.int(*label)));
            });
        }
    };
    assert_eq!(show(&crit(&[1, 16]), &none), "ok");
    assert_eq!(show(&crit(&[]), &none), "cose: CritEmpty");
    assert_eq!(show(&crit(&[13]), &none), "cose: CritUnknown");
    assert_eq!(show(&none, &crit(&[1])), "cose: CritUnprotected");
}

#[test]
fn each_header_of_the_key_binding_is_checked() {
    let fixture = Fixture::new();
    let token = raw_sign1(&fixture.issuer, &fixture.header(), &[0xa0], &fixture.payload(|_| {}));
    let payload = map(|map| {
        map.int(3, |w| unit(w.text(AUD)))
            .int(6, |w| unit(w.uint(fixture.now.secs())))
            .int(39, |w| unit(w.bytes(&NONCE)));
    });
    let show = |token: Option<&[u8]>, protected: &dyn Fn(&mut MapWriter), unprotected: &dyn Fn(&mut MapWriter)| {
        let header = map(|map| {
            map.int(1, |w| unit(w.int(-19))).int(16, |w| unit(w.uint(294)));
            if let Some(token) = token {
                let token = deedbox_cbor::read(token, Order::Any, &Limits::new(1 << 20)).unwrap();
                map.int(13, |w| unit(w.item(token)));
            }
            protected(map);
        });
        stage(fixture.verify(&raw_sign1(&fixture.holder, &header, &map(|map| unprotected(map)), &payload)))
    };
    let none = |_: &mut MapWriter| {};
    let int = |label: i64, value: i64| move |map: &mut MapWriter| unit(map.int(label, |w| unit(w.int(value))));
    let text =
        |label: i64, value: &'static str| move |map: &mut MapWriter| unit(map.int(label, |w| unit(w.text(value))));
    let token = token.as_slice();
    assert_eq!(show(Some(token), &none, &none), "ok");
    assert_eq!(show(Some(token), &text(16, "application/kb+cwt"), &none), "ok");
    assert_eq!(show(Some(token), &int(16, 293), &none), "header: Header.Typ");
    assert_eq!(show(Some(token), &int(1, -257), &none), "header: Header.Alg");
    assert_eq!(show(Some(token), &int(1, -9), &none), "header: Header.AlgNotOfKey");
    assert_eq!(show(None, &none, &none), "header: Header.KcwtMissing");
    assert_eq!(show(None, &none, &int(13, 1)), "header: Header.KcwtMissing");
    assert_eq!(show(Some(token), &int(15, 1), &none), "header: Header.CwtClaims");
    assert_eq!(show(Some(token), &none, &int(15, 1)), "header: Header.CwtClaims");
    assert_eq!(show(Some(&[0x01]), &none, &none), "cose: Tag");
    let untagged = token.get(1..).unwrap();
    assert_eq!(show(Some(untagged), &none, &none), "cose: Tag");
}

#[test]
fn each_registered_claim_is_checked() {
    let fixture = Fixture::new();
    let show = |label: i64, write: &dyn Fn(&mut Writer)| {
        let payload = fixture.payload(|map| unit(map.int(label, |w| write(w))));
        stage(fixture.verify(&fixture.shown(&payload, &[])))
    };
    assert_eq!(show(99, &|w| unit(w.null())), "ok");
    assert_eq!(show(1, &|w| unit(w.uint(1))), "claims: Claims.Type");
    assert_eq!(show(2, &|w| unit(w.uint(1))), "claims: Claims.Type");
    assert_eq!(show(3, &|w| unit(w.text(AUD))), "ok");
    assert_eq!(show(3, &|w| unit(w.array(2).text("x").text(AUD))), "ok");
    assert_eq!(show(3, &|w| unit(w.array(1).text("x"))), "binding: Binding.CredentialAudience");
    assert_eq!(show(3, &|w| unit(w.text("x"))), "binding: Binding.CredentialAudience");
    assert_eq!(show(3, &|w| unit(w.array(0))), "claims: Claims.Type");
    assert_eq!(show(3, &|w| unit(w.array(1).tag(60).bytes(&[0; 32]))), "claims: Claims.Type");
    for date in [4, 5, 6] {
        assert_eq!(show(date, &|w| unit(w.text("soon"))), "claims: Claims.Date");
        assert_eq!(show(date, &|w| unit(w.tag(1).uint(HOUR))), "claims: Claims.Date");
    }
    assert_eq!(show(7, &|w| unit(w.text("id"))), "claims: Claims.Type");
    assert_eq!(show(39, &|w| unit(w.uint(1))), "claims: Claims.Type");
    assert_eq!(show(11, &|w| unit(w.uint(65_536))), "claims: Claims.Type");
    assert_eq!(show(11, &|w| unit(w.int(-1))), "claims: Claims.Type");
    assert_eq!(show(11, &|w| unit(w.uint(65_535))), "policy: Policy.Vct");
    assert_eq!(show(8, &|w| unit(w.uint(1))), "binding: Binding.Cnf");
    assert_eq!(show(8, &|w| unit(w.map(|_| {}))), "binding: Binding.Cnf");
    assert_eq!(show(8, &|w| unit(w.map(|m| unit(m.int(3, |w| unit(w.uint(1))))))), "binding: Binding.Cnf");
    assert_eq!(show(8, &|w| unit(w.map(|m| unit(m.int(1, |w| unit(w.uint(1))))))), "binding: Binding.CnfKey");
    let weak = |w: &mut Writer| {
        w.map(|m| {
            m.int(1, |w| {
                w.map(|m| {
                    m.int(1, |w| unit(w.int(1))).int(-1, |w| unit(w.int(6)));
                    m.int(-2, |w| unit(w.bytes(&[[1].as_slice(), &[0; 31]].concat())));
                });
            });
        });
    };
    assert_eq!(show(8, &weak), "binding: Binding.CnfKey");
    let status = |list: &'static str, idx: i64| {
        move |w: &mut Writer| {
            w.map(|m| {
                m.text(list, |w| {
                    w.map(|m| {
                        m.text("idx", |w| unit(w.int(idx))).text("uri", |w| unit(w.text("u")));
                    });
                });
            });
        }
    };
    assert_eq!(show(65_535, &status("status_list", 3)), "ok");
    assert_eq!(show(65_535, &status("status_list", -3)), "claims: Claims.Status");
    assert_eq!(show(65_535, &status("other", 3)), "claims: Claims.Status");
    assert_eq!(show(65_535, &|w| unit(w.null())), "claims: Claims.Status");
    // Without an issuer there is nobody to trust.
    let payload = map(|map| unit(map.int(2, |w| unit(w.text("x")))));
    assert_eq!(stage(fixture.verify(&fixture.shown(&payload, &[]))), "claims: Claims.Missing");
}

impl Fixture {
    fn issue_other(&self) -> Vec<u8> {
        let mut other = Self::new();
        other.rng = SeededRng::new(99);
        other.issue(Self::claims())
    }
}
