//! EDHOC against its primitives: both sides of a handshake, and what a refused message_1 costs; a session's records against
//! the bare AEAD.

use std::hint::black_box;

use deedbox_cbor::Writer;
use deedbox_connect::{
    Accepting, Answered, Body, ConnectError, ConnectionsRoot, Contact, Invited, LiveSession, Offer,
    Party as Organisation, PartyKeys, Reply, Wish,
};
use deedbox_cose::LocalSigner;
use deedbox_crypto::{
    aead::Cipher,
    hash::sha256,
    kdf, kem, kex,
    secret::SecretBytes,
    sign::{PublicKey, SigningKey},
};
use deedbox_edhoc::{ConnectionId, Credential, EdhocError, Form, Initiator, Profile, Responder, Session};
use deedbox_model::{Digest, MailboxId, Timestamp};
use deedbox_testkit::rng::SeededRng;

use crate::{Claims, Goal};

pub(crate) fn measure(claims: &mut Claims) {
    let parties = (Party::new(1), Party::new(2));
    for (name, suite) in
        [("edhoc: suite 4, both sides / primitives", 4), ("edhoc: suite -21, both sides / primitives", -21)]
    {
        let Ok(profile) = Profile::production().with_suites(&[suite]) else { continue };
        let exported = |session: &Session| {
            let mut out = [0; 32];
            session.export(32_768, b"", &mut out).map(|()| out)
        };
        let Some((i, r)) = handshake(&profile, &parties) else { continue };
        assert_eq!(exported(&i), exported(&r));
        let keys = if suite == 4 { x25519 } else { x_wing };
        claims.claim(
            name,
            Goal::AtMost(1.15),
            || assert!(black_box(handshake(&profile, &parties)).is_some()),
            || {
                let shared = keys();
                rest(&parties.0);
                black_box(shared);
            },
        );
    }
    refused(claims);
    record(claims);
}

struct Party {
    credential: Credential,
    signer: LocalSigner,
    key: SigningKey,
    public: PublicKey,
}

impl Party {
    fn new(seed: u8) -> Self {
        let seed = SecretBytes::from_bytes([seed; 32]);
        let key = SigningKey::from_seed(&seed);
        let public = key.public();
        // Any item may be a credential; one of about the length of a claims set.
        let mut item = Writer::new();
        item.bytes(&[*public.as_bytes(); 3].concat());
        let Ok(credential) = Credential::with_key(item.as_slice(), public) else { unreachable!("one byte string") };
        Self { credential, signer: LocalSigner::from_seed(&seed), key, public }
    }
}

/// Messages 1 to 4 on both sides.
fn handshake(profile: &Profile, (i, r): &(Party, Party)) -> Option<(Session, Session)> {
    let mut rng = SeededRng::new(1);
    let c = |byte| ConnectionId::new(&[byte; 8]);
    let (initiator, message) = Initiator::new(profile, None).ok()?.message_1(c(1)?, &[], &mut rng).ok()?;
    let got = Responder::new(profile).read_message_1(&message).ok()?;
    let (responder, message) = got.message_2(c(2)?, &r.credential, Form::Kid, &[], &r.signer, &mut rng).ok()?;
    let initiator = initiator.read_message_2(&message).ok()?.authenticate(&r.credential, &i.credential).ok()?;
    let (initiator, message) = initiator.message_3(Form::Kid, &[], &i.signer).ok()?;
    let responder = responder.read_message_3(&message).ok()?.authenticate(&i.credential, &r.credential).ok()?;
    let (theirs, message) = responder.message_4(&[]).ok()?;
    Some((initiator.read_message_4(&message).ok()?.0, theirs))
}

/// Two key pairs, two agreements.
fn x25519() -> Option<[SecretBytes<32>; 2]> {
    let mut rng = SeededRng::new(1);
    let (x, y) = (kex::SecretKey::generate(&mut rng), kex::SecretKey::generate(&mut rng));
    let (g_x, g_y) = (x.public(), y.public());
    Some([x.agree(&g_y).ok()?, y.agree(&g_x).ok()?])
}

/// A key pair, its key read, an encapsulation, a decapsulation.
fn x_wing() -> Option<[SecretBytes<32>; 2]> {
    let mut rng = SeededRng::new(1);
    let x = kem::SecretKey::from_seed(&SecretBytes::generate(&mut rng)).ok()?;
    let (enc, shared) = kem::PublicKey::from_bytes(&x.public().to_bytes()).ok()?.encapsulate(&mut rng).ok()?;
    Some([x.decapsulate(&enc).ok()?, shared])
}

/// What is the same in both suites: each side signs, checks its own signature, verifies the other's, and derives keys for the key
/// stream, a MAC of each side, messages 3 and 4, PRK_out and the exporter; it hashes four transcripts, seals and opens.
fn rest(party: &Party) {
    let message = [7; 400];
    for _ in 0..2 {
        let signature = party.key.sign(black_box(&message));
        for _ in 0..2 {
            assert!(party.public.verify(&message, &signature).is_ok());
        }
        let prk = kdf::extract(&message[..32], &message[..32]);
        let mut out = [0; 112];
        for len in [112, 32, 32, 32, 12, 32, 12, 32, 32] {
            if let Some(out) = out.get_mut(..len) {
                assert!(kdf::expand(prk.expose(), &[&message[..64]], out).is_ok());
            }
        }
        for len in [50, 66, 280, 280] {
            black_box(sha256(&message[..len]));
        }
        for len in [108, 0] {
            let cipher = Cipher::new(prk.expose());
            let Some(text) = out.get_mut(..len) else { continue };
            let Ok(tag) = cipher.seal_in_place(&[0; 12], &message[..45], text) else { continue };
            if len == 0 {
                assert!(cipher.open_in_place(&[0; 12], &message[..45], text, &tag).is_ok());
            }
        }
    }
}

/// A message_1 refused by its last check before any arithmetic, against one scalar multiplication.
fn refused(claims: &mut Claims) {
    let Ok(profile) = Profile::production().with_suites(&[4]) else { return };
    let mut message = vec![0, 4, 0x58, 32];
    message.extend([9; 32]);
    message.extend([0x0d, 0x26]);
    let error = || Responder::new(&profile).read_message_1(black_box(&message)).err().map(|failed| failed.error);
    assert_eq!(error(), Some(EdhocError::CriticalEad));
    let secret = kex::SecretKey::from_bytes(&SecretBytes::from_bytes([3; 32]));
    let peer = kex::SecretKey::from_bytes(&SecretBytes::from_bytes([4; 32])).public();
    claims.claim(
        "edhoc: refused message_1 / X25519",
        Goal::AtMost(0.1),
        || assert!(error().is_some()),
        || assert!(secret.agree(black_box(&peer)).is_ok()),
    );
}

/// A record with 1 KiB of data, against the AEAD alone over as many bytes that lie there already.
fn record(claims: &mut Claims) {
    let Ok([mut ours, mut theirs]) = sessions() else { return };
    let body = Body::data("application/cbor", &[7; 1_024]);
    let sealed = ours.seal(&body, NOW).and_then(|record| theirs.open(&record, NOW));
    assert_eq!(sealed.as_ref(), Ok(&body));
    let (cipher, mut text) = (Cipher::new(&[3; 32]), body.to_bytes());
    claims.claim(
        "connect: seal a 1 KiB record / bare AEAD",
        Goal::AtMost(1.2),
        || assert!(black_box(ours.seal(&body, NOW)).is_ok()),
        || assert!(cipher.seal_in_place(&[0; 12], &[7; 36], black_box(&mut text)).is_ok()),
    );
}

/// Both ends of a session after first contact.
fn sessions() -> Result<[LiveSession; 2], ConnectError> {
    let mut rng = SeededRng::new(1);
    let contact = Contact {
        address: MailboxId::from_bytes([1; 16]),
        endpoint: "https://host.example".to_owned(),
        deposit: Vec::new(),
        devices: Vec::new(),
    };
    let offer = Offer {
        endpoint: "https://council.example/d".to_owned(),
        not_after: NOW.saturating_add_secs(60),
        uses: 1,
        terms: Digest::from_bytes([7; 32]),
        terms_body: None,
        name: "City council".to_owned(),
        check: false,
        evidence: None,
    };
    let keys = PartyKeys::generate(&mut rng)?;
    let mut invited =
        Invited::issue(Organisation::organisation("https://council.example", &keys)?, offer, &keys, &mut rng)?;
    let (link, invitation) = (invited.link(), invited.invitation().clone());
    let root = ConnectionsRoot::generate(&mut rng);
    let (person, one) = Accepting::start(&root, &link, &invitation, Wish::default(), NOW, &mut rng)?;
    let (council, two) = invited.answer(&one, &keys, NOW, &mut rng).map_err(|failed| failed.error)?;
    let (person, three) = person.answer(&two, &contact, NOW, &mut rng).map_err(|failed| failed.error)?;
    let answered =
        council.finish(&mut invited, &three, &keys, &contact, NOW, &mut rng).map_err(|failed| failed.error)?;
    let Answered::Active(theirs, four) = answered else { return Err(ConnectError::NotNow) };
    let Reply::Confirmed(ours) = person.read(&four, NOW).map_err(|failed| failed.error)? else {
        return Err(ConnectError::NotNow);
    };
    Ok([ours.session, theirs.session])
}

const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);
