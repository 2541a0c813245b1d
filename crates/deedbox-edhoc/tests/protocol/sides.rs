//! Two sides with credentials of their own.

use deedbox_cbor::Writer;
use deedbox_cose::LocalSigner;
use deedbox_crypto::{secret::SecretBytes, sign::SigningKey};
use deedbox_edhoc::{ConnectionId, Credential, Ead, Failed, Form, Initiator, Profile, Responder, Session};
use deedbox_testkit::rng::SeededRng;

/// Suite 4 alone.
pub(crate) fn suite_4() -> Profile {
    Profile::production().with_suites(&[4]).unwrap()
}

/// One profile for each suite of this build.
pub(crate) fn profiles() -> Vec<Profile> {
    let all = Profile::production();
    all.suites().iter().map(|suite| all.clone().with_suites(&[*suite]).unwrap()).collect()
}

pub(crate) struct Side {
    pub(crate) credential: Credential,
    /// What the peer takes it for.
    pub(crate) believed: Option<Credential>,
    pub(crate) signer: LocalSigner,
    pub(crate) id: ConnectionId,
    pub(crate) form: Form,
}

pub(crate) fn ccs(seed: u8, kid: Option<&[u8]>) -> Side {
    let secret = SecretBytes::from_bytes([seed; 32]);
    let mut writer = Writer::new();
    writer.map(|map| {
        map.int(2, |w| {
            w.text("somebody.example");
        });
        map.int(8, |w| {
            w.map(|map| {
                map.int(1, |w| {
                    w.map(|map| {
                        map.int(1, |w| {
                            w.uint(1);
                        });
                        if let Some(kid) = kid {
                            map.int(2, |w| {
                                w.bytes(kid);
                            });
                        }
                        map.int(-1, |w| {
                            w.uint(6);
                        });
                        map.int(-2, |w| {
                            w.bytes(SigningKey::from_seed(&secret).public().as_bytes());
                        });
                    });
                });
            });
        });
    });
    Side {
        credential: Credential::from_ccs(writer.as_slice()).unwrap(),
        believed: None,
        signer: LocalSigner::from_seed(&secret),
        id: ConnectionId::new(&[seed]).unwrap(),
        form: Form::Kid,
    }
}

pub(crate) struct Done {
    pub(crate) initiator: Session,
    pub(crate) responder: Session,
    pub(crate) eads: [Vec<Ead>; 4],
}

/// A whole handshake; `tamper` sees each message on its way.
pub(crate) fn run(
    profile: &Profile,
    i: &Side,
    r: &Side,
    eads: &[Vec<Ead>; 4],
    rng: &mut SeededRng,
    mut tamper: impl FnMut(usize, &mut Vec<u8>),
) -> Result<Done, Failed> {
    let start = Initiator::new(profile, None).unwrap();
    let (initiator, mut message) = start.message_1(i.id.clone(), &eads[0], rng).unwrap();
    tamper(0, &mut message);
    let responder = Responder::new(profile).read_message_1(&message)?;
    let ead_1 = responder.ead().peek().to_vec();
    let (responder, mut message) =
        responder.message_2(r.id.clone(), &r.credential, r.form, &eads[1], &r.signer, rng)?;
    tamper(1, &mut message);
    let initiator = initiator.read_message_2(&message)?;
    let ead_2 = initiator.ead().peek().to_vec();
    let believed = r.believed.as_ref().unwrap_or(&r.credential);
    let initiator = initiator.authenticate(believed, &i.credential)?;
    let (initiator, mut message) = initiator.message_3(i.form, &eads[2], &i.signer)?;
    tamper(2, &mut message);
    let responder = responder.read_message_3(&message)?;
    let ead_3 = responder.ead().peek().to_vec();
    let responder = responder.authenticate(i.believed.as_ref().unwrap_or(&i.credential), &r.credential)?;
    let (responder, mut message) = responder.message_4(&eads[3])?;
    tamper(3, &mut message);
    let (initiator, ead_4) = initiator.read_message_4(&message)?;
    Ok(Done { initiator, responder, eads: [ead_1, ead_2, ead_3, ead_4] })
}
