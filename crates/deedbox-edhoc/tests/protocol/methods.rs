//! Methods 1 to 3 and suites 0, 2 and 3: the same properties as method 0 has.
#![cfg(feature = "test-suites")]

use super::sides::ccs;
use deedbox_cose::LocalSigner;
use deedbox_crypto::{
    kex,
    outside::{P256Public, P256Secret},
    secret::SecretBytes,
};
use deedbox_edhoc::{ConnectionId, Credential, Failed, Form, Initiator, Profile, Responder, Session, StaticKey};
use deedbox_testkit::rng::SeededRng;
use proptest::prelude::*;

/// Methods, each with the suites that have it.
const ALL: &[(i32, i32)] = &[(0, 0), (1, 0), (2, 0), (3, 0), (3, 2), (3, 3), (1, 4), (2, 4), (3, 4)];

enum Key {
    Signer(Box<LocalSigner>),
    Static(StaticKey),
}

fn side(seed: u8, signs: bool, suite: i32) -> (Credential, Key) {
    if signs {
        let side = ccs(seed, Some(&[seed]));
        return (side.credential, Key::Signer(Box::new(side.signer)));
    }
    let secret = SecretBytes::from_bytes([seed; 32]);
    let (public, key) = if matches!(suite, 2 | 3) {
        let p256 = P256Secret::from_bytes(&secret).unwrap();
        // The wrapper gives x alone, and Credential wants both coordinates: these are seeds whose y is known.
        let mut xy = p256.public_x().unwrap().to_vec();
        xy.extend(y_of(seed));
        assert!(P256Public::from_affine(xy.as_slice().try_into().unwrap()).is_ok());
        (xy, StaticKey::p256(&secret).unwrap())
    } else {
        (kex::SecretKey::from_bytes(&secret).public().to_vec(), StaticKey::x25519(&secret))
    };
    let item = [&[0x58, public.len() as u8][..], &public].concat();
    let credential = Credential::with_static_key(&item, &public).unwrap();
    let credential = credential.with_id(&[0xa1, 0x04, 0x41, seed]).unwrap();
    (credential, Key::Static(key))
}

fn run(
    method: i32,
    suite: i32,
    i: &(Credential, Key),
    r: &(Credential, Key),
    rng: &mut SeededRng,
    mut tamper: impl FnMut(usize, &mut Vec<u8>),
) -> Result<(Session, Session), Failed> {
    let profile = Profile::production().with_suites(&[suite]).unwrap().with_methods(&[method]);
    let start = Initiator::new(&profile, None).unwrap();
    let (initiator, mut message) = start.message_1(ConnectionId::new(b"i").unwrap(), &[], rng).unwrap();
    tamper(0, &mut message);
    let got = Responder::new(&profile).read_message_1(&message)?;
    let c_r = ConnectionId::new(b"\x18").unwrap();
    let (responder, mut message) = match &r.1 {
        Key::Signer(signer) => got.message_2(c_r, &r.0, Form::Kid, &[], &**signer, rng)?,
        Key::Static(key) => got.message_2_static(c_r, &r.0, Form::Kid, &[], key, rng)?,
    };
    tamper(1, &mut message);
    let initiator = initiator.read_message_2(&message)?.authenticate(&r.0, &i.0)?;
    let (initiator, mut message) = match &i.1 {
        Key::Signer(signer) => initiator.message_3(Form::Kid, &[], &**signer)?,
        Key::Static(key) => initiator.message_3_static(Form::Kid, &[], key)?,
    };
    tamper(2, &mut message);
    let (theirs, mut message) = responder.read_message_3(&message)?.authenticate(&i.0, &r.0)?.message_4(&[])?;
    tamper(3, &mut message);
    Ok((initiator.read_message_4(&message)?.0, theirs))
}

fn sides(method: i32, suite: i32) -> [(Credential, Key); 2] {
    [side(0x41, method < 2, suite), side(0x42, method % 2 == 0, suite)]
}

proptest! {
    #[test]
    fn every_method_and_suite_agrees(at in any::<prop::sample::Index>(), seed in any::<u64>()) {
        let (method, suite) = *at.get(ALL);
        let [i, r] = sides(method, suite);
        let (ours, theirs) = run(method, suite, &i, &r, &mut SeededRng::new(seed), |_, _| {}).unwrap();
        let (mut a, mut b) = ([0; 48], [1; 48]);
        ours.export(32_768, b"context", &mut a).unwrap();
        theirs.export(32_768, b"context", &mut b).unwrap();
        prop_assert_eq!(a, b);
        prop_assert_eq!((ours.peer(), theirs.peer(), ours.suite()), (&r.0, &i.0, suite));
    }

    #[test]
    fn one_bit_ends_every_method_and_suite(
        pair in any::<prop::sample::Index>(),
        message in 0..4_usize,
        at in any::<prop::sample::Index>(),
        bit in 0..8_u32,
    ) {
        let (method, suite) = *pair.get(ALL);
        let [i, r] = sides(method, suite);
        let done = run(method, suite, &i, &r, &mut SeededRng::new(5), |number, bytes| {
            if number == message {
                let at = at.index(bytes.len());
                bytes[at] ^= 1 << bit;
            }
        });
        prop_assert!(done.is_err());
    }
}

#[test]
fn a_key_of_another_kind_is_refused() {
    let code = |method, suite, i: &_, r: &_| {
        run(method, suite, i, r, &mut SeededRng::new(1), |_, _| {}).err().map(|failed| failed.error.code())
    };
    let [i, r] = sides(3, 4);
    let [signing_i, signing_r] = sides(0, 4);
    assert_eq!(code(3, 4, &i, &r), None);
    assert_eq!(code(3, 4, &i, &signing_r), Some("Signer"));
    assert_eq!(code(3, 4, &signing_i, &r), Some("Signer"));
    assert_eq!(code(0, 4, &signing_i, &r), Some("Signer"));
    // The right key under the peer's wrong belief.
    let believed = (signing_r.0, Key::Static(StaticKey::x25519(&SecretBytes::from_bytes([0x42; 32]))));
    assert_eq!(code(3, 4, &i, &believed), Some("UnsupportedCredential"));
    // A key on another curve.
    assert_eq!(code(3, 4, &i, &side(0x42, false, 2)), Some("UnsupportedCredential"));
}

#[test]
fn a_suite_is_not_supported_for_a_method_that_it_lacks() {
    for (method, suite) in [(3, -21), (1, -21), (0, 2), (1, 2), (2, 3)] {
        if suite == -21 && !Profile::production().suites().contains(&-21) {
            continue;
        }
        let all = Profile::production().with_suites(&[suite]).unwrap().with_methods(&[0, 1, 2, 3]);
        let start = Initiator::new(&all.clone().with_methods(&[method]), None).unwrap();
        let (_, message) = start.message_1(ConnectionId::new(b"i").unwrap(), &[], &mut SeededRng::new(1)).unwrap();
        let failed = Responder::new(&all).read_message_1(&message).err().unwrap();
        assert_eq!(failed.error.code(), "UnsupportedSuite", "{method} {suite}");
    }
}

#[test]
fn states_of_these_methods_are_not_stored() {
    let profile = Profile::production().with_suites(&[4]).unwrap().with_methods(&[3]);
    let (_, r) = (side(0x41, false, 4), side(0x42, false, 4));
    let Key::Static(key) = &r.1 else { panic!("a static key") };
    let mut rng = SeededRng::new(1);
    let start = Initiator::new(&profile, None).unwrap();
    let (wait, message) = start.message_1(ConnectionId::new(b"i").unwrap(), &[], &mut rng).unwrap();
    assert_eq!(Initiator::from_stored(&profile, &wait.into_stored()).err().unwrap().code(), "Malformed");
    let got = Responder::new(&profile).read_message_1(&message).unwrap();
    let c_r = ConnectionId::new(b"r").unwrap();
    let (wait, _) = got.message_2_static(c_r, &r.0, Form::Kid, &[], key, &mut rng).unwrap();
    assert_eq!(Responder::from_stored(&profile, &wait.into_stored()).err().unwrap().code(), "Malformed");
}

fn y_of(seed: u8) -> [u8; 32] {
    match seed {
        0x41 => YS[0],
        _ => YS[1],
    }
}

/// y of the keys 41.. and 42...
const YS: [[u8; 32]; 2] = [
    [
        0x87, 0x74, 0x7f, 0xc9, 0x7e, 0x99, 0xa3, 0x47, 0xae, 0xef, 0x96, 0x63, 0x18, 0xec, 0x1a, 0x24, 0xe7, 0x21,
        0xd7, 0xce, 0xf7, 0x37, 0x1c, 0x20, 0xc5, 0x0a, 0xdf, 0x53, 0x58, 0xd8, 0x03, 0x0a,
    ],
    [
        0xd0, 0x96, 0x1c, 0x7e, 0x37, 0x07, 0x5a, 0x67, 0x91, 0xa3, 0x9c, 0x61, 0xf5, 0x62, 0x95, 0xb0, 0x2b, 0x6d,
        0x26, 0x56, 0x7b, 0x61, 0x5e, 0x60, 0xaa, 0x41, 0xee, 0x1c, 0x8e, 0x83, 0x38, 0x8d,
    ],
];
