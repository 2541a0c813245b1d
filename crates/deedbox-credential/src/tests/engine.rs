//! The disclosure engine, against its rules and against the naive assembler.

use proptest::prelude::*;

use super::*;
use crate::test_util::{assemble, naive_assemble};

/// A disclosure of the given parts after its salt.
fn disclosure(salt: u8, parts: usize, write: impl FnOnce(&mut Writer)) -> Vec<u8> {
    cbor(|w| {
        w.array(parts + 1).bytes(&[salt; 16]);
        write(w);
    })
}

fn digest(disclosure: &[u8]) -> [u8; 32] {
    deedbox_crypto::hash::sha256(&cbor(|w| unit(w.bytes(disclosure))))
}

/// A map with these digests, and more entries.
fn redacting(w: &mut Writer, digests: &[[u8; 32]], more: impl FnOnce(&mut MapWriter)) {
    w.map(|map| {
        map.entry(
            |w| unit(w.simple(59)),
            |w| {
                w.array(digests.len());
                digests.iter().for_each(|digest| unit(w.bytes(digest)));
            },
        );
        more(map);
    });
}

fn run(payload: impl FnOnce(&mut Writer), disclosures: &[Vec<u8>]) -> String {
    let payload = cbor(payload);
    let disclosures: Vec<&[u8]> = disclosures.iter().map(Vec::as_slice).collect();
    let result = assemble(&payload, &disclosures);
    assert_eq!(result.clone().ok(), naive_assemble(&payload, &disclosures), "the oracle disagrees");
    stage(result)
}

#[test]
fn shapes_salts_and_keys() {
    let with =
        |disclosure: Vec<u8>| run(|w| redacting(w, &[digest(&disclosure)], |_| {}), core::slice::from_ref(&disclosure));
    assert_eq!(with(disclosure(1, 2, |w| unit(w.text("v").uint(600)))), "ok");
    assert_eq!(with(disclosure(1, 0, |_| {})), "ok");
    assert_eq!(with(disclosure(1, 1, |w| unit(w.text("v")))), "disclosure: Disclosure.WrongPosition");
    assert_eq!(with(disclosure(1, 3, |w| unit(w.text("v").uint(1).uint(2)))), "disclosure: Disclosure.Shape");
    assert_eq!(with(cbor(|w| unit(w.array(0)))), "disclosure: Disclosure.Shape");
    assert_eq!(with(cbor(|w| unit(w.uint(1)))), "disclosure: Disclosure.Shape");
    assert_eq!(with(cbor(|w| unit(w.array(2).bytes(&[1; 15]).uint(1)))), "disclosure: Disclosure.Salt");
    assert_eq!(with(cbor(|w| unit(w.array(2).bytes(&[1; 17]).uint(1)))), "disclosure: Disclosure.Salt");
    assert_eq!(with(cbor(|w| unit(w.array(2).text("sixteen letters!").uint(1)))), "disclosure: Disclosure.Salt");
    assert_eq!(with(disclosure(1, 2, |w| unit(w.text("v").bool(true)))), "disclosure: Disclosure.Key");
    assert_eq!(with(disclosure(1, 2, |w| unit(w.text("v").text(&"k".repeat(255))))), "ok");
    assert_eq!(with(disclosure(1, 2, |w| unit(w.text("v").text(&"k".repeat(256))))), "disclosure: Disclosure.Key");
    assert_eq!(with(disclosure(1, 2, |w| unit(w.tag(60).bytes(&[0; 32]).uint(9)))), "claims: Claims.Marker");
    assert_eq!(with(disclosure(1, 2, |w| unit(w.tag(58).uint(1).uint(9)))), "claims: Claims.ReservedTag");
    assert_eq!(with(vec![0x9f, 0xff]), "cbor: Indefinite");
    assert_eq!(with(vec![]), "cbor: Eof");
}

#[test]
fn tree_rules_of_the_payload() {
    let tree = |write: fn(&mut Writer)| run(|w| unit(w.map(|map| unit(map.int(600, write)))), &[]);
    assert_eq!(tree(|w| unit(w.null())), "ok");
    assert_eq!(tree(|w| unit(w.array(1).tag(60).bytes(&[0; 32]))), "ok");
    assert_eq!(tree(|w| unit(w.array(1).tag(60).bytes(&[0; 31]))), "claims: Claims.Marker");
    assert_eq!(tree(|w| unit(w.array(1).tag(1).tag(60).bytes(&[0; 32]))), "claims: Claims.Marker");
    assert_eq!(tree(|w| unit(w.tag(60).bytes(&[0; 32]))), "claims: Claims.Marker");
    assert_eq!(tree(|w| unit(w.tag(58).null())), "claims: Claims.ReservedTag");
    assert_eq!(tree(|w| unit(w.array(1).tag(62).null())), "claims: Claims.ReservedTag");
    assert_eq!(tree(|w| unit(w.simple(59))), "claims: Claims.Marker");
    assert_eq!(tree(|w| unit(w.simple(60))), "ok");
    assert_eq!(tree(|w| redacting(w, &[], |_| {})), "ok");
    let key =
        |key: fn(&mut Writer), value: fn(&mut Writer)| run(|w| unit(w.map(|map| unit(map.entry(key, value)))), &[]);
    assert_eq!(key(|w| unit(w.bytes(b"k")), |w| unit(w.null())), "claims: Claims.KeyType");
    assert_eq!(key(|w| unit(w.simple(58)), |w| unit(w.null())), "claims: Claims.KeyType");
    assert_eq!(key(|w| unit(w.array(0)), |w| unit(w.null())), "claims: Claims.KeyType");
    assert_eq!(key(|w| unit(w.text(&"k".repeat(256))), |w| unit(w.null())), "claims: Claims.KeyType");
    assert_eq!(key(|w| unit(w.simple(59)), |w| unit(w.null())), "claims: Claims.Marker");
    assert_eq!(key(|w| unit(w.simple(59)), |w| unit(w.array(1).uint(1))), "claims: Claims.Marker");
    assert_eq!(run(|w| unit(w.array(0)), &[]), "claims: Claims.NotAMap");
}

#[test]
fn positions_duplicates_and_what_is_never_redacted() {
    let member = disclosure(1, 2, |w| unit(w.text("v").uint(600)));
    let element = disclosure(2, 1, |w| unit(w.text("v")));
    let in_array = |bytes: &[u8]| {
        let digest = digest(bytes);
        run(
            |w| {
                w.map(|map| unit(map.int(7, |w| unit(w.array(1).tag(60).bytes(&digest)))));
            },
            &[bytes.to_vec()],
        )
    };
    assert_eq!(in_array(&element), "ok");
    assert_eq!(in_array(&member), "disclosure: Disclosure.WrongPosition");
    assert_eq!(in_array(&disclosure(3, 0, |_| {})), "ok");

    let twice = [digest(&member), digest(&member)];
    assert_eq!(run(|w| redacting(w, &twice, |_| {}), &[]), "disclosure: Disclosure.DuplicateDigest");
    let there = run(
        |w| redacting(w, &twice[..1], |map| unit(map.int(600, |w| unit(w.null())))),
        core::slice::from_ref(&member),
    );
    assert_eq!(there, "disclosure: Disclosure.DuplicateClaim");
    let same_key = disclosure(4, 2, |w| unit(w.text("w").uint(600)));
    let digests = [digest(&member), digest(&same_key)];
    assert_eq!(
        run(|w| redacting(w, &digests, |_| {}), &[member.clone(), same_key]),
        "disclosure: Disclosure.DuplicateClaim"
    );
    let same_salt = disclosure(1, 2, |w| unit(w.text("w").uint(601)));
    let digests = [digest(&member), digest(&same_salt)];
    assert_eq!(
        run(|w| redacting(w, &digests, |_| {}), &[member.clone(), same_salt]),
        "disclosure: Disclosure.DuplicateSalt"
    );
    for key in [1, 3, 4, 5, 6, 7, 8, 11, 39, 65_535] {
        let never = disclosure(5, 2, |w| unit(w.text("v").int(key)));
        let digest = digest(&never);
        assert_eq!(
            run(|w| redacting(w, &[digest], |_| {}), core::slice::from_ref(&never)),
            "disclosure: Disclosure.NeverRedacted"
        );
        // Deeper down these are keys like any other.
        let below = |w: &mut Writer| unit(w.map(|map| unit(map.int(600, |w| redacting(w, &[digest], |_| {})))));
        assert_eq!(run(below, core::slice::from_ref(&never)), "ok");
    }
    let sub = disclosure(6, 2, |w| unit(w.text("v").int(2)));
    assert_eq!(run(|w| redacting(w, &[digest(&sub)], |_| {}), core::slice::from_ref(&sub)), "ok");
    assert_eq!(run(|w| unit(w.map(|_| {})), &[member]), "disclosure: Disclosure.Orphan");
}

#[test]
fn a_digest_in_an_undisclosed_place_is_an_orphans() {
    let inner = disclosure(1, 2, |w| unit(w.text("v").text("inner")));
    let outer = disclosure(2, 2, |w| {
        redacting(w, &[digest(&inner)], |_| {});
        w.uint(600);
    });
    let top = [digest(&outer)];
    assert_eq!(run(|w| redacting(w, &top, |_| {}), &[inner.clone(), outer.clone()]), "ok");
    assert_eq!(run(|w| redacting(w, &top, |_| {}), &[inner]), "disclosure: Disclosure.Orphan");
    // One inner digest claimed by two outer values would double at every level.
    let inner = disclosure(1, 2, |w| unit(w.text("v").text("inner")));
    let outer = |salt: u8, key: u64| {
        disclosure(salt, 2, |w| {
            redacting(w, &[digest(&inner)], |_| {});
            w.uint(key);
        })
    };
    let (first, second) = (outer(2, 600), outer(3, 601));
    let top = [digest(&first), digest(&second)];
    assert_eq!(run(|w| redacting(w, &top, |_| {}), &[inner, first, second]), "disclosure: Disclosure.DuplicateDigest");
}

#[test]
fn sixteen_levels_and_no_more() {
    let nested = |levels: usize| {
        move |w: &mut Writer| {
            (0..levels).for_each(|_| unit(w.array(1)));
            w.uint(1);
        }
    };
    let payload = |levels| move |w: &mut Writer| unit(w.map(|map| unit(map.int(600, nested(levels)))));
    assert_eq!(run(payload(15), &[]), "ok");
    assert_eq!(run(payload(16), &[]), "limit: Limit.Levels");
    // An empty container at the last level is fine; tags count.
    let empty = |w: &mut Writer| {
        unit(w.map(|map| {
            unit(map.int(600, |w| {
                (0..15).for_each(|_| unit(w.array(1)));
                w.array(0);
            }))
        }))
    };
    assert_eq!(run(empty, &[]), "ok");
    let tags = |w: &mut Writer| {
        unit(w.map(|map| {
            unit(map.int(600, |w| {
                (0..16).for_each(|_| unit(w.tag(1)));
                w.uint(1);
            }))
        }))
    };
    assert_eq!(run(tags, &[]), "limit: Limit.Levels");
    // What is not disclosed has no depth; what is, has.
    let deep = disclosure(1, 2, |w| {
        nested(15)(w);
        w.uint(601);
    });
    let below = |w: &mut Writer| unit(w.map(|map| unit(map.int(600, |w| redacting(w, &[digest(&deep)], |_| {})))));
    assert_eq!(run(below, &[]), "ok");
    assert_eq!(run(below, core::slice::from_ref(&deep)), "limit: Limit.Levels");
    assert_eq!(run(|w| redacting(w, &[digest(&deep)], |_| {}), core::slice::from_ref(&deep)), "ok");
    // A chain as long as a token allows is refused without deep recursion.
    let mut chain = vec![disclosure(0, 2, |w| unit(w.text("v").uint(600)))];
    for link in 1..2048_u16 {
        let digest = digest(chain.last().unwrap());
        chain.push(cbor(|w| {
            let mut salt = [0; 16];
            salt[..2].copy_from_slice(&link.to_be_bytes());
            w.array(3).bytes(&salt);
            redacting(w, &[digest], |_| {});
            w.uint(600);
        }));
    }
    let top = digest(chain.last().unwrap());
    assert_eq!(run(|w| redacting(w, &[top], |_| {}), &chain), "limit: Limit.Levels");
}

#[test]
fn of_claims_too_deep_a_fault_of_an_earlier_step_is_told() {
    let member = disclosure(1, 2, |w| unit(w.text("v").uint(1)));
    let inner = disclosure(2, 2, |w| unit(w.text("v").uint(2)));
    let outer = disclosure(3, 2, |w| {
        redacting(w, &[digest(&inner)], |_| {});
        w.uint(701);
    });
    let with = |at_700: &dyn Fn(&mut Writer), disclosures: &[&Vec<u8>]| {
        let payload = |w: &mut Writer| {
            redacting(w, &[digest(&outer)], |map| {
                map.int(600, |w| {
                    (0..16).for_each(|_| unit(w.array(1)));
                    w.uint(1);
                });
                map.int(700, at_700);
            });
        };
        run(payload, &disclosures.iter().map(|one| (*one).clone()).collect::<Vec<_>>())
    };
    let element = |w: &mut Writer| unit(w.array(1).tag(60).bytes(&digest(&member)));
    assert_eq!(with(&|w| unit(w.null()), &[]), "limit: Limit.Levels");
    assert_eq!(with(&|w| unit(w.null()), &[&outer, &inner]), "limit: Limit.Levels");
    assert_eq!(with(&|w| unit(w.null()), &[&inner]), "disclosure: Disclosure.Orphan");
    assert_eq!(with(&element, &[]), "limit: Limit.Levels");
    assert_eq!(with(&element, &[&member]), "disclosure: Disclosure.WrongPosition");
    assert_eq!(with(&|w| element(w.array(1)), &[&member]), "disclosure: Disclosure.WrongPosition");
    assert_eq!(with(&|w| element(w.tag(1)), &[&member]), "disclosure: Disclosure.WrongPosition");
    let below = |key: u64| {
        let digest = digest(&member);
        move |w: &mut Writer| redacting(w, &[digest], |map| unit(map.entry(|w| unit(w.uint(key)), |w| unit(w.null()))))
    };
    assert_eq!(with(&below(1), &[&member]), "disclosure: Disclosure.DuplicateClaim");
    assert_eq!(with(&below(2), &[&member]), "limit: Limit.Levels");
}

#[test]
fn digests_that_begin_alike_are_not_the_same() {
    let (mut first, mut second) = ([7; 32], [7; 32]);
    (first[31], second[31]) = (1, 2);
    assert_eq!(run(|w| redacting(w, &[first, second], |_| {}), &[]), "ok");
    assert_eq!(run(|w| redacting(w, &[first, second, first], |_| {}), &[]), "disclosure: Disclosure.DuplicateDigest");
}

#[test]
fn keys_beyond_64_bits_with_sign_come_in_order_and_are_named_by_their_nearest() {
    let (large, small) =
        (disclosure(1, 2, |w| unit(w.null().uint(u64::MAX))), disclosure(2, 2, |w| unit(w.null().nint(u64::MAX))));
    let short = disclosure(3, 2, |w| unit(w.null().text("a")));
    let all = [large, small, short];
    let digests: Vec<_> = all.iter().map(|bytes| digest(bytes)).collect();
    let payload = cbor(|w| redacting(w, &digests, |_| {}));
    assert_eq!(run(|w| redacting(w, &digests, |_| {}), &all), "ok");
    let header = cbor(|w| {
        w.array(all.len());
        all.iter().for_each(|one| unit(w.bytes(one)));
    });
    let read = |bytes| deedbox_cbor::read(bytes, Order::Any, &Limits::new(1 << 20)).unwrap();
    let tree = crate::disclosure::Tree::check(read(payload.as_slice())).unwrap();
    let joined = tree.join(Some(read(header.as_slice()))).unwrap();
    let paths = |chosen: &dyn Fn(usize) -> bool| joined.assemble_some(chosen).unwrap().paths.to_vec();
    assert_eq!(paths(&|_| true), [claim_path![i64::MIN], claim_path![i64::MAX], claim_path!["a"]]);
    assert_eq!(paths(&|index| index == 0), [claim_path![i64::MAX]]);
}

#[test]
fn at_most_2048_disclosures() {
    let decoy = |at: u16| {
        let mut salt = [0; 16];
        salt[..2].copy_from_slice(&at.to_be_bytes());
        cbor(|w| unit(w.array(1).bytes(&salt)))
    };
    let all: Vec<_> = (0..2049).map(decoy).collect();
    let digests: Vec<_> = all.iter().map(|bytes| digest(bytes)).collect();
    assert_eq!(run(|w| redacting(w, &digests, |_| {}), &all), "limit: Limit.Disclosures");
    assert_eq!(run(|w| redacting(w, &digests, |_| {}), &all[..2048]), "ok");
}

#[test]
fn an_unsorted_disclosure_matches_its_own_digest_and_comes_out_sorted() {
    // {2: 0, 1: 0}: legal, but not deterministic.
    let unsorted =
        disclosure(1, 2, |_| {}).into_iter().chain([0xa2, 2, 0, 1, 0, 0x19, 0x02, 0x58]).collect::<Vec<u8>>();
    let payload = cbor(|w| redacting(w, &[digest(&unsorted)], |_| {}));
    let out = assemble(&payload, &[&unsorted]).unwrap();
    assert_eq!(out, [0xa1, 0x19, 0x02, 0x58, 0xa2, 1, 0, 2, 0]);
}

#[test]
fn long_keys_above_many_disclosures_take_no_more_memory_than_they_have_bytes() {
    let leaves: Vec<Vec<u8>> = (0..400_u16)
        .map(|key| {
            cbor(|w| {
                let mut salt = [0; 16];
                salt[..2].copy_from_slice(&key.to_be_bytes());
                w.array(3).bytes(&salt).uint(1).uint(key.into());
            })
        })
        .collect();
    let digests: Vec<_> = leaves.iter().map(|bytes| digest(bytes)).collect();
    // 13 maps, one in another, under keys as long as they may be.
    let nested = (0..13).fold(cbor(|w| redacting(w, &digests, |_| {})), |inside, _| {
        let inside = deedbox_cbor::read(&inside, Order::Any, &Limits::new(1 << 20)).unwrap();
        map(|to| unit(to.text(&"k".repeat(255), |w| unit(w.item(inside)))))
    });
    let payload = deedbox_cbor::read(&nested, Order::Any, &Limits::new(1 << 20)).unwrap();
    let header = cbor(|w| {
        w.array(leaves.len());
        leaves.iter().for_each(|leaf| unit(w.bytes(leaf)));
    });
    let header = deedbox_cbor::read(&header, Order::Any, &Limits::new(1 << 20)).unwrap();
    let assembled = crate::disclosure::Tree::check(payload).unwrap().join(Some(header)).unwrap().assemble().unwrap();
    assert!(assembled.paths.len() < nested.len(), "{} bytes of paths", assembled.paths.len());
    let paths = assembled.paths.to_vec();
    assert_eq!((paths.len(), paths[0].segments().len(), paths[0].segments().last()), (400, 14, Some(&Segment::Int(0))));
}

#[test]
fn of_several_faults_the_earliest_steps_is_told_in_any_order() {
    let faulty = [
        (vec![0x9f, 0xff], "cbor: Indefinite"),
        (disclosure(1, 3, |w| unit(w.null().null().null())), "disclosure: Disclosure.Shape"),
        (cbor(|w| unit(w.array(1).bytes(&[2; 15]))), "disclosure: Disclosure.Salt"),
        (disclosure(3, 2, |w| unit(w.null().null())), "disclosure: Disclosure.Key"),
        (disclosure(4, 1, |w| unit(w.simple(59))), "claims: Claims.Marker"),
    ];
    for (at, (_, want)) in faulty.iter().enumerate() {
        let mut later: Vec<Vec<u8>> = faulty[at..].iter().map(|(bytes, _)| bytes.clone()).collect();
        for _ in 0..later.len() {
            later.rotate_left(1);
            assert_eq!(run(|w| unit(w.map(|_| {})), &later), *want);
        }
    }
}

proptest! {
    #[test]
    fn many_strings_are_ordered_as_one_by_one(
        left in proptest::collection::vec(any::<u8>(), 0..12), right in proptest::collection::vec(any::<u8>(), 0..12), same in 0..12_usize,
    ) {
        let right = [&left[..same.min(left.len())], &right].concat();
        // No encoding is empty, so nothing need be said of that.
        prop_assume!(!left.is_empty() && !right.is_empty());
        prop_assert_eq!(crate::disclosure::bytewise(&left, &right), left.cmp(&right));
    }

    #[test]
    fn a_verdict_is_the_same_in_any_order(
        seed: u64, order: u64, changes in proptest::collection::vec(any::<(u16, u16, u8)>(), 0..3),
    ) {
        let mut fixture = Fixture::new();
        fixture.rng = SeededRng::new(seed);
        let plan = crate::test_util::RandomClaims::draw(&mut fixture.rng);
        let issued = fixture.issue(plan.redacted());
        let ([_, _, payload, _], mut disclosures) = take_apart(&issued);
        for (which, at, change) in changes {
            if disclosures.is_empty() {
                break;
            }
            let which = usize::from(which) % disclosures.len();
            match change % 4 {
                0 => drop(disclosures.remove(which)),
                1 => disclosures.push(disclosures[which].clone()),
                _ => {
                    let at = usize::from(at) % disclosures[which].len();
                    disclosures[which][at] ^= change | 1;
                }
            }
        }
        let verdict = |disclosures: &[Vec<u8>]| {
            let disclosures: Vec<&[u8]> = disclosures.iter().map(Vec::as_slice).collect();
            assemble(&payload, &disclosures).map_err(|error| error.code())
        };
        let before = verdict(&disclosures);
        let mut shuffled = disclosures;
        let mut rng = SeededRng::new(order);
        for at in (1..shuffled.len()).rev() {
            shuffled.swap(at, rand_core::Rng::next_u32(&mut rng) as usize % (at + 1));
        }
        prop_assert_eq!(verdict(&shuffled), before);
    }

    #[test]
    fn any_bytes_give_the_naive_verdict(
        payload in proptest::collection::vec(any::<u8>(), 0..64),
        disclosures in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..48), 0..4),
    ) {
        let disclosures: Vec<&[u8]> = disclosures.iter().map(Vec::as_slice).collect();
        prop_assert_eq!(assemble(&payload, &disclosures).ok(), naive_assemble(&payload, &disclosures));
    }
}
