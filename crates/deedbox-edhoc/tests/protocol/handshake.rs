//! Two sides, any identifiers and external data: they agree on everything, unless one bit changed.

use super::sides::{Side, ccs, profiles, run};
use deedbox_edhoc::{ConnectionId, Credential, Ead, Form, Profile, Role};
use deedbox_testkit::rng::SeededRng;
use proptest::prelude::*;

fn side(seed: u8, id: &[u8], form: Form) -> Side {
    Side { form, id: ConnectionId::new(id).unwrap(), ..ccs(seed, None) }
}

fn eads() -> impl Strategy<Value = Vec<Ead>> {
    let item = (
        prop_oneof![Just(0), Just(7), Just(-7), 1..1000_i32],
        prop::option::of(prop::collection::vec(any::<u8>(), 0..40)),
    );
    prop::collection::vec(item.prop_map(|(label, value)| Ead::new(label, value)), 0..=4)
}

proptest! {
    #[test]
    fn both_sides_agree(
        c_i in prop::collection::vec(any::<u8>(), 0..=16),
        c_r in prop::collection::vec(any::<u8>(), 0..=16),
        by_value in any::<(bool, bool)>(),
        eads in prop::array::uniform4(eads()),
        seed in any::<u64>(),
        suite in any::<prop::sample::Index>(),
    ) {
        let form = |value| if value { Form::Value } else { Form::Kid };
        let (i, r) = (side(1, &c_i, form(by_value.0)), side(2, &c_r, form(by_value.1)));
        let profile = suite.get(&profiles()).clone().with_known_ead(&[7]);
        let done = run(&profile, &i, &r, &eads, &mut SeededRng::new(seed), |_, _| {}).unwrap();
        prop_assert_eq!(done.eads, eads);
        let (mut a, mut b) = ([0; 48], [1; 48]);
        for (label, context) in [(0_u16, &b""[..]), (1, b""), (32_768, b"hash"), (65_535, &[9; 100])] {
            done.initiator.export(label, context, &mut a).unwrap();
            done.responder.export(label, context, &mut b).unwrap();
            prop_assert_eq!(a, b);
        }
        prop_assert_eq!(done.initiator.peer(), &r.credential);
        prop_assert_eq!(done.responder.peer(), &i.credential);
        prop_assert_eq!(done.initiator.ids(), done.responder.ids());
    }

    #[test]
    fn one_bit_in_any_message_ends_it(
        message in 0..4_usize,
        at in any::<prop::sample::Index>(),
        bit in 0..8_u32,
        suite in any::<prop::sample::Index>(),
    ) {
        let (i, r) = (side(1, b"i", Form::Value), side(2, b"r", Form::Kid));
        let eads = [const { Vec::new() }; 4];
        let mut touched = false;
        let done = run(suite.get(&profiles()), &i, &r, &eads, &mut SeededRng::new(5), |number, bytes| {
            if number == message {
                let at = at.index(bytes.len());
                bytes[at] ^= 1 << bit;
                touched = true;
            }
        });
        prop_assert!(done.is_err());
        prop_assert!(touched);
    }

    #[test]
    fn messages_of_other_lengths_end_it(
        message in 0..4_usize,
        at in any::<prop::sample::Index>(),
        suite in any::<prop::sample::Index>(),
    ) {
        let (i, r) = (side(1, b"i", Form::Kid), side(2, b"r", Form::Kid));
        let eads = [const { Vec::new() }; 4];
        for longer in [false, true] {
            let done = run(suite.get(&profiles()), &i, &r, &eads, &mut SeededRng::new(5), |number, bytes| {
                if number == message {
                    if longer { bytes.push(0xf6) } else { bytes.truncate(at.index(bytes.len())) }
                }
            });
            prop_assert!(done.is_err());
        }
    }
}

/// Credentials that differ from the side's in one bit, under its key and name.
fn alike(side: &Side) -> impl Iterator<Item = Credential> {
    let bytes = side.credential.bytes();
    (0..bytes.len()).filter_map(|at| {
        let mut other = bytes.to_vec();
        other[at] ^= 1;
        // A credential that can't be read can't be used; one that can is another one, and the signature covers it.
        Credential::with_key(&other, *side.credential.key().unwrap()).ok()
    })
}

#[test]
fn one_bit_in_a_credential_ends_it_before_anything_more_is_said() {
    let sides = || [side(1, b"i", Form::Kid), side(2, b"r", Form::Kid)];
    let eads = [const { Vec::new() }; 4];
    for (number, last) in [(0, 2), (1, 1)] {
        for other in alike(&sides()[number]) {
            let mut sides = sides();
            sides[number].believed = Some(other);
            let mut said = 0;
            let failed =
                run(&Profile::production(), &sides[0], &sides[1], &eads, &mut SeededRng::new(5), |number, _| {
                    said = number;
                });
            assert_eq!(failed.err().unwrap().error.code(), "Authentication");
            assert_eq!(said, last);
        }
    }
}

#[test]
fn what_was_said_is_in_the_keys_and_not_in_the_clear() {
    let (i, r) = (side(1, b"i", Form::Kid), side(2, b"r", Form::Kid));
    for profile in profiles() {
        let mut keys = Vec::new();
        // One handshake with nothing to say, then one with something in each message that the keys cover.
        for speaker in 0..4 {
            let secret = vec![0x5a; 32];
            let mut eads = [const { Vec::new() }; 4];
            if speaker > 0 {
                eads[speaker - 1].push(Ead::new(0, Some(secret.clone())));
            }
            let done = run(&profile, &i, &r, &eads, &mut SeededRng::new(5), |number, message| {
                let shows = message.windows(secret.len()).any(|bytes| bytes == secret);
                assert_eq!(shows, number == 0 && speaker == 1, "message_1 alone is in the clear");
            });
            let mut key = [0; 32];
            done.unwrap().initiator.export(32_768, b"", &mut key).unwrap();
            assert!(!keys.contains(&key), "message_{speaker}");
            keys.push(key);
        }
    }
}

#[test]
fn the_longest_message_is_carried() {
    let (i, r) = (side(1, b"i", Form::Kid), side(2, b"r", Form::Kid));
    // The label, the heads of the value and of the message, and the tag are 23 bytes.
    for (value, want) in [(16_361, None), (16_362, Some("LimitExceeded"))] {
        let eads = [vec![], vec![], vec![], vec![Ead::new(0, Some(vec![0; value]))]];
        let done = run(&Profile::production(), &i, &r, &eads, &mut SeededRng::new(5), |number, message| {
            assert!(number < 3 || message.len() == 16_384);
        });
        assert_eq!(done.err().map(|failed| failed.error.code()), want);
    }
}

#[test]
fn a_reflected_handshake_is_refused() {
    let (i, r) = (side(1, b"i", Form::Kid), side(1, b"r", Form::Kid));
    let eads = [const { Vec::new() }; 4];
    let failed = run(&Profile::production(), &i, &r, &eads, &mut SeededRng::new(5), |_, _| {}).err().unwrap();
    assert_eq!(failed.error.code(), "SelfPeer");
}

#[test]
fn a_key_update_gives_new_equal_keys() {
    let (i, r) = (side(1, b"i", Form::Kid), side(2, b"r", Form::Kid));
    let eads = [const { Vec::new() }; 4];
    let mut done = run(&Profile::production(), &i, &r, &eads, &mut SeededRng::new(5), |_, _| {}).unwrap();
    let (mut before, mut a, mut b) = ([0; 32], [0; 32], [0; 32]);
    done.initiator.export(1, b"", &mut before).unwrap();
    done.initiator.key_update(b"context");
    done.responder.key_update(b"context");
    done.initiator.export(1, b"", &mut a).unwrap();
    done.responder.export(1, b"", &mut b).unwrap();
    assert_eq!(a, b);
    assert_ne!(a, before);
    assert_eq!((done.initiator.role(), done.responder.role()), (Role::Initiator, Role::Responder));
    assert_eq!(done.initiator.export(1, b"", &mut [0; 8161]).unwrap_err().code(), "TooLong");
}
