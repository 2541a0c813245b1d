//! What is refused, by name and with what the peer is told; negotiation and stored states.

use super::sides::{ccs, profiles, suite_4};
use deedbox_edhoc::{ConnectionId, Credential, Failed, Form, Initiator, Profile, Responder};
use deedbox_testkit::rng::SeededRng;

const REJECTED: &[u8] = b"\x01\x68rejected";

fn code<T>(result: Result<T, Failed>) -> (&'static str, Option<Vec<u8>>) {
    match result {
        Ok(_) => ("taken", None),
        Err(failed) => (failed.error.code(), failed.reply),
    }
}

fn c(bytes: &[u8]) -> ConnectionId {
    ConnectionId::new(bytes).unwrap()
}

/// METHOD, SUITES_I, G_X, C_I and EAD_1 as hex.
fn message_1(method: &str, suites: &str, g_x: &str, rest: &str) -> Vec<u8> {
    let text = format!("{method}{suites}{g_x}{rest}");
    text.as_bytes().chunks(2).map(|pair| u8::from_str_radix(core::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

#[test]
fn faults_of_message_1_are_named() {
    let g_x = &format!("5820{}", "09".repeat(32));
    let long = &format!("58fd{}", "00".repeat(253));
    let rejected = Some(REJECTED.to_vec());
    let own = Some(vec![2, 4]);
    for (method, suites, g_x, rest, want, reply) in [
        ("00", "04", &**g_x, "0d", "taken", None),
        ("00", "820504", g_x, "40", "taken", None),
        ("00", "04", g_x, "0d0041aa", "taken", None),
        ("00", "04", g_x, "0d07", "taken", None),
        ("", "", "", "", "Malformed", rejected.clone()),
        ("00", "04", g_x, "", "Malformed", rejected.clone()),
        ("00", "04", g_x, "410d", "Malformed", rejected.clone()),
        ("00", "04", g_x, "1818", "Malformed", rejected.clone()),
        ("00", "04", g_x, "0d41aa", "Malformed", rejected.clone()),
        ("00", "04", g_x, "0d0741aa41bb", "Malformed", rejected.clone()),
        ("00", "04", g_x, "0df6", "Malformed", rejected.clone()),
        ("00", "8104", g_x, "0d", "Malformed", rejected.clone()),
        ("00", "80", g_x, "0d", "Malformed", rejected.clone()),
        ("00", "f90000", g_x, "0d", "Malformed", rejected.clone()),
        ("1800", "04", g_x, "0d", "Malformed", rejected.clone()),
        ("00", "04", "4109", "0d", "Malformed", rejected.clone()),
        ("00", "04", long, "0d", "Malformed", rejected.clone()),
        ("00", "1a80000000", g_x, "0d", "LimitExceeded", rejected.clone()),
        ("00", "89050505050505050504", g_x, "0d", "LimitExceeded", rejected.clone()),
        ("00", "04", g_x, "5100000000000000000000000000000000ff", "LimitExceeded", rejected.clone()),
        ("00", "04", g_x, "0d070707070707070707", "LimitExceeded", rejected.clone()),
        ("01", "04", g_x, "0d", "UnsupportedMethod", rejected.clone()),
        ("00", "05", g_x, "0d", "UnsupportedSuite", own.clone()),
        ("00", "820405", g_x, "0d", "UnsupportedSuite", own.clone()),
        ("00", "820404", g_x, "0d", "Downgrade", own.clone()),
        ("00", "04", g_x, "0d26", "CriticalEad", rejected.clone()),
        // The whole sequence before the method, the method before the suite, the suite before the key.
        ("01", "05", "4109", "0df6", "Malformed", rejected.clone()),
        ("01", "05", "4109", "0d", "UnsupportedMethod", rejected.clone()),
        ("00", "05", "4109", "0d", "UnsupportedSuite", own.clone()),
    ] {
        let message = message_1(method, suites, g_x, rest);
        let got = code(Responder::new(&suite_4()).read_message_1(&message));
        assert_eq!(got, (want, reply), "{method} {suites} .. {rest}");
    }
    let long = vec![0; 16_385];
    assert_eq!(code(Responder::new(&suite_4()).read_message_1(&long)).0, "LimitExceeded");
}

#[test]
fn a_low_order_key_is_refused_on_both_sides() {
    let mut rng = SeededRng::new(1);
    let r = ccs(2, None);
    let zero = &format!("5820{}", "00".repeat(32));
    let got = Responder::new(&suite_4()).read_message_1(&message_1("00", "04", zero, "0d")).unwrap();
    let made = got.message_2(c(b"r"), &r.credential, Form::Kid, &[], &r.signer, &mut rng);
    assert_eq!(code(made), ("LowOrderPoint", Some(REJECTED.to_vec())));

    let (wait, _) = Initiator::new(&suite_4(), None).unwrap().message_1(c(b"i"), &[], &mut rng).unwrap();
    let mut message = vec![0x58, 33];
    message.extend([0; 33]);
    assert_eq!(code(wait.read_message_2(&message)), ("LowOrderPoint", Some(REJECTED.to_vec())));
}

#[test]
fn faults_of_message_2_before_any_key_are_named() {
    let rejected = Some(REJECTED.to_vec());
    // Too long by a byte, and without a usable G_Y: nothing is multiplied for it.
    let mut many = vec![0x59, 0x20, 0x01];
    many.extend([0; 0x2001]);
    let mut most = vec![0x59, 0x20, 0x00];
    most.extend([9; 0x2000]);
    let mut short = vec![0x58, 32];
    short.extend([9; 32]);
    for (message, want, reply) in [
        (vec![], "Malformed", rejected.clone()),
        (vec![0xf6], "Malformed", rejected.clone()),
        (vec![0x40, 0x40], "Malformed", rejected.clone()),
        (short, "Malformed", rejected.clone()),
        (many, "LimitExceeded", rejected.clone()),
        (most, "Malformed", rejected.clone()),
        (b"\x01\x62no".to_vec(), "PeerError", None),
        (b"\x03\xf5".to_vec(), "PeerError", None),
        (b"\x18\x63\xf6".to_vec(), "PeerError", None),
        (b"\x20\x40".to_vec(), "PeerError", None),
        (b"\x05\x81\x81\x81\x81\x81\x81\x81\x80".to_vec(), "PeerError", None),
        (b"\x05\x81\x81\x81\x81\x81\x81\x81\x81\x80".to_vec(), "LimitExceeded", rejected.clone()),
        (b"\x02\x04".to_vec(), "PeerError", None),
        (b"\x02\x05".to_vec(), "NoCommonSuite", None),
        (b"\x02\x82\x05\x06".to_vec(), "NoCommonSuite", None),
        (b"\x00\x60".to_vec(), "Malformed", rejected.clone()),
        (b"\x01\x01".to_vec(), "Malformed", rejected.clone()),
        (b"\x03\xf4".to_vec(), "Malformed", rejected.clone()),
        (b"\x02\x81\x04".to_vec(), "Malformed", rejected.clone()),
        (b"\x01\x60\x00".to_vec(), "Malformed", rejected.clone()),
        (b"\x01".to_vec(), "Malformed", rejected.clone()),
    ] {
        let start = Initiator::new(&suite_4(), None).unwrap();
        let (wait, _) = start.message_1(c(b"i"), &[], &mut SeededRng::new(1)).unwrap();
        assert_eq!(code(wait.read_message_2(&message)), (want, reply), "{message:02x?}");
    }
}

#[test]
fn stored_states_go_on_and_nothing_else_does() {
    for profile in profiles() {
        stored_states(&profile);
    }
}

fn stored_states(profile: &Profile) {
    let mut rng = SeededRng::new(9);
    let (i, r) = (ccs(1, Some(b"\x2b")), ccs(2, Some(b"long enough")));
    let (wait, message) = Initiator::new(profile, None).unwrap().message_1(c(b"i"), &[], &mut rng).unwrap();
    let stored_i = wait.into_stored();
    let got = Responder::new(profile).read_message_1(&message).unwrap();
    let (wait, message) = got.message_2(c(b"r"), &r.credential, Form::Kid, &[], &r.signer, &mut rng).unwrap();
    let stored_r = wait.into_stored();
    assert!(stored_r.len() <= 256);

    let initiator = Initiator::from_stored(profile, &stored_i).unwrap().read_message_2(&message).unwrap();
    let initiator = initiator.authenticate(&r.credential, &i.credential).unwrap();
    let (initiator, message) = initiator.message_3(Form::Kid, &[], &i.signer).unwrap();
    let responder = Responder::from_stored(profile, &stored_r).unwrap().read_message_3(&message).unwrap();
    assert_eq!(responder.id_cred().peek().kid(), Some(&b"\x2b"[..]));
    let responder = responder.authenticate(&i.credential, &r.credential).unwrap();
    let (_, message) = responder.message_4(&[]).unwrap();
    assert!(initiator.read_message_4(&message).is_ok());

    for len in 0..stored_i.len() {
        assert_eq!(Initiator::from_stored(profile, &stored_i[..len]).err().unwrap().code(), "Malformed");
    }
    for len in 0..stored_r.len() {
        assert_eq!(Responder::from_stored(profile, &stored_r[..len]).err().unwrap().code(), "Malformed");
    }
    assert!(Initiator::from_stored(profile, &stored_r).is_err());
    assert!(Responder::from_stored(profile, &stored_i).is_err());
}

#[test]
fn a_signer_of_another_key_is_refused() {
    let (r, other) = (ccs(2, None), ccs(3, None));
    let mut rng = SeededRng::new(1);
    let (_, message) = Initiator::new(&suite_4(), None).unwrap().message_1(c(b"i"), &[], &mut rng).unwrap();
    let got = Responder::new(&suite_4()).read_message_1(&message).unwrap();
    let made = got.message_2(c(b"r"), &r.credential, Form::Kid, &[], &other.signer, &mut rng);
    assert_eq!(code(made), ("Signer", Some(REJECTED.to_vec())));
}

#[test]
fn profiles_have_distinct_known_suites() {
    for (suites, want) in [
        (&[][..], "Length"),
        (&[4; 9], "Length"),
        (&[4, 4], "Duplicate"),
        (&[4; 8], "Duplicate"),
        (&[99], "UnsupportedSuite"),
    ] {
        assert_eq!(Profile::production().with_suites(suites).unwrap_err().code(), want);
    }
    assert_eq!(Initiator::new(&suite_4(), Some(2)).err().unwrap().code(), "UnsupportedSuite");
}

#[test]
fn an_unknown_credential_is_told_to_the_peer() {
    let mut rng = SeededRng::new(1);
    let (i, r) = (ccs(1, None), ccs(2, None));
    let unknown = ("UnknownCredential", Some(b"\x03\xf5".to_vec()));
    for known in [false, true] {
        let (wait, message) = Initiator::new(&suite_4(), None).unwrap().message_1(c(b"i"), &[], &mut rng).unwrap();
        let got = Responder::new(&suite_4()).read_message_1(&message).unwrap();
        let (responder, message) = got.message_2(c(b"r"), &r.credential, Form::Kid, &[], &r.signer, &mut rng).unwrap();
        let initiator = wait.read_message_2(&message).unwrap();
        if !known {
            assert_eq!(code::<()>(Err(initiator.unknown())), unknown);
            continue;
        }
        let initiator = initiator.authenticate(&r.credential, &i.credential).unwrap();
        let (_, message) = initiator.message_3(Form::Kid, &[], &i.signer).unwrap();
        assert_eq!(code::<()>(Err(responder.read_message_3(&message).unwrap().unknown())), unknown);
    }
}

#[test]
fn a_credential_has_one_usable_key() {
    let bytes = ccs(1, None).credential.bytes().to_vec();
    assert!(Credential::from_ccs(&bytes).is_ok());
    let curve = bytes.windows(2).position(|pair| pair == [0x20, 6]).unwrap() + 1;
    let mut other = bytes.clone();
    other[curve] = 4;
    assert_eq!(Credential::from_ccs(&other).unwrap_err().code(), "Key");
    for bytes in [&bytes[1..], &bytes[..bytes.len() - 1], &[]] {
        assert_eq!(Credential::from_ccs(bytes).unwrap_err().code(), "Malformed");
    }
}
