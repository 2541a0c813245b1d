//! EDHOC: each message by itself, and both sides in any order; suite 4 and suite -21.
#![expect(clippy::unwrap_used, reason = "a fuzz body fails by panicking")]

use deedbox_cbor::Writer;
use deedbox_cose::{LocalSigner, Signer as _};
use deedbox_crypto::{secret::SecretBytes, sign::SigningKey};
use deedbox_edhoc::{
    ConnectionId, Credential, Ead, Form, Initiator, Profile, Responder, Session, initiator::WaitM2, initiator::WaitM4,
    responder::WaitM3,
};
use deedbox_testkit::rng::SeededRng;

use crate::altered;

struct Side(Credential, LocalSigner, ConnectionId);

fn side(seed: u8) -> Side {
    let secret = SecretBytes::from_bytes([seed; 32]);
    let signer = LocalSigner::from_seed(&secret);
    // Any item may be a credential.
    let mut item = Writer::new();
    item.bytes(&signer.public().to_cose_key());
    let credential = Credential::with_key(item.as_slice(), SigningKey::from_seed(&secret).public()).unwrap();
    Side(credential, signer, ConnectionId::new(&[seed, seed]).unwrap())
}

/// One profile for each suite.
fn profiles() -> [Profile; 2] {
    [4, -21].map(|suite| Profile::production().with_suites(&[suite]).unwrap())
}

fn wait_m2(profile: &Profile, i: &Side) -> (Initiator<WaitM2>, Vec<u8>) {
    let start = Initiator::new(profile, None).unwrap();
    start.message_1(i.2.clone(), &[], &mut SeededRng::new(1)).unwrap()
}

fn wait_m3(profile: &Profile, r: &Side, message_1: &[u8]) -> (Responder<WaitM3>, Vec<u8>) {
    let got = Responder::new(profile).read_message_1(message_1).unwrap();
    got.message_2(r.2.clone(), &r.0, Form::Kid, &[], &r.1, &mut SeededRng::new(2)).unwrap()
}

fn wait_m4(
    i: &Side,
    r: &Side,
    wait: Initiator<WaitM2>,
    message_2: &[u8],
    ead: &[Ead],
) -> Option<(Initiator<WaitM4>, Vec<u8>)> {
    let authenticated = wait.read_message_2(message_2).unwrap().authenticate(&r.0, &i.0).unwrap();
    authenticated.message_3(Form::Kid, ead, &i.1).ok()
}

/// External data that the input chooses: a label and a length before each value.
fn eads(data: &[u8]) -> Vec<Ead> {
    let mut rest = data;
    let mut items = Vec::new();
    while let Some(([label, len], after)) = rest.split_first_chunk::<2>() {
        let (value, after) = after.split_at(usize::from(*len).min(after.len()));
        items.push(Ead::new(i32::from(*label), (len % 2 == 0).then(|| value.to_vec())));
        rest = after;
    }
    items
}

/// No panic; what is accepted ends with C_I and EAD_1 written the same again, and has an answer or a low-order key.
pub fn edhoc_message_1(data: &[u8]) {
    let Ok(got) = Responder::new(&Profile::production()).read_message_1(data) else { return };
    let mut tail = Writer::new();
    match got.c_i().as_bytes() {
        [byte @ 0..=0x17] => tail.uint(u64::from(*byte)),
        [byte @ 0x20..=0x37] => tail.int(0x1f - i64::from(*byte)),
        bytes => tail.bytes(bytes),
    };
    for item in *got.ead().peek() {
        tail.int(i64::from(item.label()));
        if let Some(value) = item.value() {
            tail.bytes(value);
        }
    }
    assert!(data.ends_with(tail.as_slice()));
    let r = side(2);
    if let Err(failed) = got.message_2(r.2, &r.0, Form::Kid, &[], &r.1, &mut SeededRng::new(2)) {
        assert_eq!(failed.error.code(), "LowOrderPoint");
    }
}

/// No message_2 but the true one is taken: the input is XORed over its start, with G_Y, and over its end, where the
/// keystream carries it into the plaintext.
pub fn edhoc_message_2(data: &[u8]) {
    let (i, r) = (side(1), side(2));
    for profile in &profiles() {
        let (_, message_1) = wait_m2(profile, &i);
        let (_, message_2) = wait_m3(profile, &r, &message_1);
        let mut tail = vec![0; message_2.len().saturating_sub(data.len())];
        tail.extend_from_slice(data);
        for change in [data, &tail] {
            let other = altered(&message_2, change);
            let wait = wait_m2(profile, &i).0;
            let taken = wait.read_message_2(&other).and_then(|peer| peer.authenticate(&r.0, &i.0));
            assert_eq!(taken.is_ok(), other == message_2);
        }
        let _ = wait_m2(profile, &i).0.read_message_2(data);
    }
}

/// EAD_3 of the input's choice arrives as it was sent; an altered message_3 is refused.
pub fn edhoc_message_3(data: &[u8]) {
    let (i, r) = (side(1), side(2));
    for profile in &profiles() {
        let (wait, message_1) = wait_m2(profile, &i);
        let (wait_r, message_2) = wait_m3(profile, &r, &message_1);
        let sent = eads(data);
        if let Some((_, message_3)) = wait_m4(&i, &r, wait, &message_2, &sent) {
            let got = wait_r.read_message_3(&message_3).unwrap();
            assert_eq!(*got.ead().peek(), sent);
            let other = altered(&message_3, data);
            let (wait_r, _) = wait_m3(profile, &r, &message_1);
            assert_eq!(wait_r.read_message_3(&other).is_ok(), other == message_3);
        }
        let _ = wait_m3(profile, &r, &message_1).0.read_message_3(data);
    }
}

/// EAD_4 of the input's choice arrives as it was sent; an altered message_4 is refused.
pub fn edhoc_message_4(data: &[u8]) {
    let (i, r) = (side(1), side(2));
    for (profile, change) in profiles().iter().flat_map(|profile| [(profile, false), (profile, true)]) {
        let (wait, message_1) = wait_m2(profile, &i);
        let (wait_r, message_2) = wait_m3(profile, &r, &message_1);
        let (wait, message_3) = wait_m4(&i, &r, wait, &message_2, &[]).unwrap();
        let responder = wait_r.read_message_3(&message_3).unwrap().authenticate(&i.0, &r.0).unwrap();
        let sent = eads(data);
        let Ok((_, message_4)) = responder.message_4(&sent) else { return };
        let other = if change { altered(&message_4, data) } else { message_4.clone() };
        match wait.read_message_4(&other) {
            Ok((_, ead)) => assert!(other == message_4 && ead == sent),
            Err(_) => assert_ne!(other, message_4),
        }
    }
}

/// Both sides, each message altered as the input says: where both have a session, it is the same one.
pub fn edhoc_session(data: &[u8]) {
    let mut parts = data.splitn(4, |byte| *byte == 0xff);
    let mut next = || parts.next().unwrap_or_default();
    let (i, r) = (side(1), side(2));
    let run = |profile: &Profile, changes: [&[u8]; 4]| -> Option<(Session, Session)> {
        let (wait, message_1) = wait_m2(profile, &i);
        let stored = wait.into_stored();
        let got = Responder::new(profile).read_message_1(&altered(&message_1, changes[0])).ok()?;
        let (wait_r, message_2) =
            got.message_2(r.2.clone(), &r.0, Form::Kid, &[], &r.1, &mut SeededRng::new(2)).ok()?;
        let wait = Initiator::from_stored(profile, &stored).unwrap();
        let wait_r = Responder::from_stored(profile, &wait_r.into_stored()).unwrap();
        let peer = wait.read_message_2(&altered(&message_2, changes[1])).ok()?;
        let (wait, message_3) = peer.authenticate(&r.0, &i.0).ok()?.message_3(Form::Kid, &[], &i.1).ok()?;
        let peer = wait_r.read_message_3(&altered(&message_3, changes[2])).ok()?;
        let (theirs, message_4) = peer.authenticate(&i.0, &r.0).ok()?.message_4(&[]).ok()?;
        let (ours, _) = wait.read_message_4(&altered(&message_4, changes[3])).ok()?;
        Some((ours, theirs))
    };
    let changes = [next(), next(), next(), next()];
    for (ours, theirs) in profiles().iter().filter_map(|profile| run(profile, changes)) {
        let (mut a, mut b) = ([0; 32], [1; 32]);
        ours.export(0x8000, b"", &mut a).unwrap();
        theirs.export(0x8000, b"", &mut b).unwrap();
        assert_eq!(a, b);
        assert_eq!(ours.ids(), theirs.ids());
    }
}
