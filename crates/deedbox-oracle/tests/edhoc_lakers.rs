//! Handshakes with the crate `lakers`, suite 2 and method 3, each side in turn ours: 1,000 each way, other ephemeral keys,
//! identifiers and forms each time; both sides export the same. The credentials are those of RFC 9529's second trace.

use deedbox_crypto::secret::SecretBytes;
use deedbox_edhoc::{ConnectionId, Credential, Form, Initiator, Profile, Responder, StaticKey};
use deedbox_testkit::rng::SeededRng;
use lakers::{
    ConnId, CredentialTransfer, EDHOCMethod, EDHOCSuite, EdhocInitiator, EdhocMessageBuffer, EdhocResponder,
    credential_check_or_fetch,
};
use rand_core::Rng as _;

const CRED_I: &str = "a2027734322d35302d33312d46462d45462d33372d33322d333908a101a5010202412b2001215820ac75e9ece3e50bfc8ed603\
99889522405c47bf16df96660a41298cb4307f7eb62258206e5de611388a4b8a8211334ac7d37ecb52a387d257e6db3c2a93df21ff3affc8";
const CRED_R: &str = "a2026b6578616d706c652e65647508a101a501020241322001215820bbc34960526ea4d32e940cad2a234148ddc21791a12afb\
cbac93622046dd44f02258204519e257236b2a0ce2023f0931f1f386ca7afda64fcde0108c224c51eabf6072";
const SK_I: &str = "fb13adeb6518cee5f88417660841142e830a81fe334380a953406a1305e8706b";
const SK_R: &str = "72cc4761dbd4c78f758931aa589d348d1ef874a7e303ede2f140dcf3e6aa4aac";

fn hex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

/// One party, as ours and as theirs.
struct Party {
    cred: Vec<u8>,
    secret: [u8; 32],
    kid: u8,
}

impl Party {
    fn new(cred: &str, secret: &str, kid: u8) -> Self {
        Self { cred: hex(cred), secret: hex(secret).try_into().unwrap(), kid }
    }

    fn ours(&self) -> (Credential, StaticKey) {
        let at = self.cred.len() - 67;
        let xy = [&self.cred[at..at + 32], &self.cred[at + 35..]].concat();
        let credential = Credential::with_static_key(&self.cred, &xy).unwrap();
        let credential = credential.with_id(&[0xa1, 0x04, 0x41, self.kid]).unwrap();
        let credential = credential.with_id(&[&[0xa1, 0x0e][..], &self.cred].concat()).unwrap();
        (credential, StaticKey::p256(&SecretBytes::from_bytes(self.secret)).unwrap())
    }

    fn theirs(&self) -> lakers::Credential {
        lakers::Credential::parse_ccs(&self.cred).unwrap()
    }
}

/// Seeded randomness as lakers' primitives ask for it.
struct Old(SeededRng);

impl rand_core_06::RngCore for Old {
    fn next_u32(&mut self) -> u32 {
        self.0.next_u32()
    }

    fn next_u64(&mut self) -> u64 {
        self.0.next_u64()
    }

    fn fill_bytes(&mut self, out: &mut [u8]) {
        self.0.fill_bytes(out);
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), rand_core_06::Error> {
        self.0.fill_bytes(out);
        Ok(())
    }
}

impl rand_core_06::CryptoRng for Old {}

/// Of every length that both take: lakers' hold up to 7 bytes.
fn identifier(rng: &mut SeededRng) -> Vec<u8> {
    let mut bytes = vec![0; (rng.next_u32() % 6) as usize + 1];
    rng.fill_bytes(&mut bytes);
    bytes
}

fn forms(rng: &mut SeededRng) -> (Form, CredentialTransfer) {
    if rng.next_u32().is_multiple_of(2) {
        (Form::Kid, CredentialTransfer::ByReference)
    } else {
        (Form::Value, CredentialTransfer::ByValue)
    }
}

fn buffer(message: &[u8]) -> EdhocMessageBuffer {
    EdhocMessageBuffer::new_from_slice(message).unwrap()
}

fn profile() -> Profile {
    Profile::production().with_suites(&[2]).unwrap().with_methods(&[3])
}

#[test]
fn ours_starts_and_lakers_answers() {
    let (i, r) = (Party::new(CRED_I, SK_I, 0x2b), Party::new(CRED_R, SK_R, 0x32));
    let (own, key) = i.ours();
    for seed in 0..1_000 {
        let mut rng = SeededRng::new(seed);
        let (c_i, c_r) = (identifier(&mut rng), identifier(&mut rng));
        let ((form, _), (_, transfer)) = (forms(&mut rng), forms(&mut rng));
        let start = Initiator::new(&profile(), None).unwrap();
        let (ours, message_1) = start.message_1(ConnectionId::new(&c_i).unwrap(), &[], &mut rng).unwrap();

        let crypto = lakers_crypto_rustcrypto::Crypto::new(Old(SeededRng::new(seed + 1_000_000)));
        let theirs = EdhocResponder::new(crypto, EDHOCMethod::StatStat, r.secret, r.theirs());
        let (theirs, got_c_i, _) = theirs.process_message_1(&buffer(&message_1)).unwrap();
        assert_eq!(got_c_i.as_slice(), c_i);
        let (theirs, message_2) =
            theirs.prepare_message_2(transfer, Some(ConnId::from_slice(&c_r).unwrap()), &None).unwrap();

        let ours = ours.read_message_2(message_2.as_slice()).unwrap().authenticate(&r.ours().0, &own).unwrap();
        let (ours, message_3) = ours.message_3_static(form, &[], &key).unwrap();

        let message_3 = buffer(&message_3);
        let (theirs, id, _) = theirs.parse_message_3(&message_3).unwrap();
        let known = credential_check_or_fetch(Some(i.theirs()), id).unwrap();
        let (theirs, _) = theirs.verify_message_3(known).unwrap();
        let (mut theirs, message_4) = theirs.prepare_message_4(&None).unwrap();

        let (mut ours, _) = ours.read_message_4(message_4.as_slice()).unwrap();
        assert_eq!(ours.ids().1.as_bytes(), c_r);
        for update in [false, true] {
            if update {
                ours.key_update(b"both sides");
                theirs.edhoc_key_update(b"both sides");
            }
            let mut secret = [0; 16];
            ours.export(0, &[], &mut secret).unwrap();
            assert_eq!(secret, theirs.edhoc_exporter(0, &[], 16)[..16], "{seed}");
        }
    }
}

#[test]
fn lakers_starts_and_ours_answers() {
    let (i, r) = (Party::new(CRED_I, SK_I, 0x2b), Party::new(CRED_R, SK_R, 0x32));
    let (own, key) = r.ours();
    for seed in 0..1_000 {
        let mut rng = SeededRng::new(seed);
        let (c_i, c_r) = (identifier(&mut rng), identifier(&mut rng));
        let ((form, _), (_, transfer)) = (forms(&mut rng), forms(&mut rng));
        let crypto = lakers_crypto_rustcrypto::Crypto::new(Old(SeededRng::new(seed + 1_000_000)));
        let mut theirs = EdhocInitiator::new(crypto, EDHOCMethod::StatStat, EDHOCSuite::CipherSuite2);
        theirs.set_identity(i.secret, i.theirs());
        let (theirs, message_1) = theirs.prepare_message_1(Some(ConnId::from_slice(&c_i).unwrap()), &None).unwrap();

        let ours = Responder::new(&profile()).read_message_1(message_1.as_slice()).unwrap();
        assert_eq!(ours.c_i().as_bytes(), c_i);
        let (ours, message_2) =
            ours.message_2_static(ConnectionId::new(&c_r).unwrap(), &own, form, &[], &key, &mut rng).unwrap();

        let message_2 = buffer(&message_2);
        let (theirs, got_c_r, id, _) = theirs.parse_message_2(&message_2).unwrap();
        assert_eq!(got_c_r.as_slice(), c_r);
        let known = credential_check_or_fetch(Some(r.theirs()), id).unwrap();
        let theirs = theirs.verify_message_2(known).unwrap();
        let (theirs, message_3, _) = theirs.prepare_message_3(transfer, &None).unwrap();

        let ours = ours.read_message_3(message_3.as_slice()).unwrap().authenticate(&i.ours().0, &own).unwrap();
        let (mut ours, message_4) = ours.message_4(&[]).unwrap();

        let message_4 = buffer(&message_4);
        let (mut theirs, _) = theirs.process_message_4(&message_4).unwrap();
        for update in [false, true] {
            if update {
                ours.key_update(b"both sides");
                theirs.edhoc_key_update(b"both sides");
            }
            let mut salt = [0; 8];
            ours.export(1, &[], &mut salt).unwrap();
            assert_eq!(salt, theirs.edhoc_exporter(1, &[], 8)[..8], "{seed}");
        }
    }
}

#[test]
fn another_key_than_the_credentials_ends_it_on_either_side() {
    let (i, r) = (Party::new(CRED_I, SK_I, 0x2b), Party::new(CRED_R, SK_R, 0x32));
    let mut rng = SeededRng::new(1);
    let c = |byte| ConnectionId::new(&[byte]).unwrap();
    // lakers answers with a key of its own making.
    let (ours, message_1) = Initiator::new(&profile(), None).unwrap().message_1(c(1), &[], &mut rng).unwrap();
    let crypto = lakers_crypto_rustcrypto::Crypto::new(Old(SeededRng::new(2)));
    let theirs = EdhocResponder::new(crypto, EDHOCMethod::StatStat, [7; 32], r.theirs());
    let (theirs, ..) = theirs.process_message_1(&buffer(&message_1)).unwrap();
    let (_, message_2) = theirs.prepare_message_2(CredentialTransfer::ByReference, None, &None).unwrap();
    let ours = ours.read_message_2(message_2.as_slice()).unwrap();
    let failed = ours.authenticate(&r.ours().0, &i.ours().0).err().unwrap();
    assert_eq!(failed.error.code(), "Authentication");
    // And ours does.
    let crypto = lakers_crypto_rustcrypto::Crypto::new(Old(SeededRng::new(3)));
    let mut theirs = EdhocInitiator::new(crypto, EDHOCMethod::StatStat, EDHOCSuite::CipherSuite2);
    theirs.set_identity(i.secret, i.theirs());
    let (theirs, message_1) = theirs.prepare_message_1(None, &None).unwrap();
    let ours = Responder::new(&profile()).read_message_1(message_1.as_slice()).unwrap();
    let forged = StaticKey::p256(&SecretBytes::from_bytes([7; 32])).unwrap();
    let (_, message_2) = ours.message_2_static(c(2), &r.ours().0, Form::Kid, &[], &forged, &mut rng).unwrap();
    let message_2 = buffer(&message_2);
    let (theirs, ..) = theirs.parse_message_2(&message_2).unwrap();
    assert!(theirs.verify_message_2(r.theirs()).is_err());
}
