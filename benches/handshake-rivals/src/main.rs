//! `cargo run --release [--features aws-lc]` in this folder: both sides of deedbox-edhoc's handshake beside both sides of snow's
//! Noise XX with the same X25519 (a resolver of its own; the rest is snow's), and beside lakers.
//!
//! Each is checked to agree on a secret before it is timed; paired rounds, the median of ratios. What is compared is what each
//! does: EDHOC of suite 4 signs on both sides and ends with message_4, Noise XX proves its static keys by Diffie-Hellman, lakers
//! has method 3 on P-256 alone, against which ours runs the same.

use std::{hint::black_box, time::Instant};

use deedbox_cbor::Writer;
use deedbox_cose::LocalSigner;
use deedbox_crypto::{secret::SecretBytes, sign::PublicKey};
use deedbox_edhoc::{ConnectionId, Credential, Form, Initiator, Profile, Responder, Session, StaticKey};
use deedbox_testkit::rng::SeededRng;
use lakers::{
    ConnId, Credential as TheirCredential, CredentialTransfer, EDHOCMethod, EDHOCSuite, EdhocInitiator,
    EdhocMessageBuffer, EdhocResponder, credential_check_or_fetch,
};
use rand_core::Rng as _;
use snow::{
    Builder, HandshakeState,
    params::{CipherChoice, DHChoice, HashChoice},
    resolvers::{CryptoResolver, DefaultResolver, FallbackResolver},
    types::{Cipher, Dh, Hash, Random},
};
use x25519_dalek::{PublicKey as XPublic, StaticSecret};

/// A party of ours.
struct Party {
    credential: Credential,
    signer: LocalSigner,
}

impl Party {
    fn new(seed: u8) -> Self {
        let seed = SecretBytes::from_bytes([seed; 32]);
        let signer = LocalSigner::from_seed(&seed);
        let public: PublicKey = *deedbox_cose::Signer::public(&signer).as_ed25519().expect("an Ed25519 key");
        let mut item = Writer::new();
        item.bytes(&[*public.as_bytes(); 3].concat());
        Self { credential: Credential::with_key(item.as_slice(), public).expect("one item"), signer }
    }
}

/// Messages 1 to 4 on both sides.
fn ours(profile: &Profile, i: &Party, r: &Party, rng: &mut SeededRng) -> (Session, Session) {
    let c = |byte| ConnectionId::new(&[byte; 8]).expect("short");
    let start = Initiator::new(profile, None).expect("a suite");
    let (initiator, message) = start.message_1(c(1), &[], rng).expect("message_1");
    let got = Responder::new(profile).read_message_1(&message).expect("read");
    let (responder, message) = got.message_2(c(2), &r.credential, Form::Kid, &[], &r.signer, rng).expect("message_2");
    let initiator = initiator.read_message_2(&message).expect("read");
    let initiator = initiator.authenticate(&r.credential, &i.credential).expect("authentic");
    let (initiator, message) = initiator.message_3(Form::Kid, &[], &i.signer).expect("message_3");
    let responder = responder.read_message_3(&message).expect("read");
    let responder = responder.authenticate(&i.credential, &r.credential).expect("authentic");
    let (theirs, message) = responder.message_4(&[]).expect("message_4");
    (initiator.read_message_4(&message).expect("read").0, theirs)
}

/// X25519 of the dalek that ours has too.
struct SameDalek;

struct X25519 {
    secret: StaticSecret,
    private: [u8; 32],
    public: [u8; 32],
}

struct Seeded(SeededRng);

impl Random for Seeded {
    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), snow::Error> {
        self.0.fill_bytes(out);
        Ok(())
    }
}

impl Dh for X25519 {
    fn name(&self) -> &'static str {
        "25519"
    }

    fn pub_len(&self) -> usize {
        32
    }

    fn priv_len(&self) -> usize {
        32
    }

    fn set(&mut self, private: &[u8]) {
        self.private.copy_from_slice(private);
        self.secret = StaticSecret::from(self.private);
        self.public = *XPublic::from(&self.secret).as_bytes();
    }

    fn generate(&mut self, rng: &mut dyn Random) -> Result<(), snow::Error> {
        let mut private = [0; 32];
        rng.try_fill_bytes(&mut private)?;
        self.set(&private);
        Ok(())
    }

    fn pubkey(&self) -> &[u8] {
        &self.public
    }

    fn privkey(&self) -> &[u8] {
        &self.private
    }

    fn dh(&self, public: &[u8], out: &mut [u8]) -> Result<(), snow::Error> {
        let public: [u8; 32] = public[..32].try_into().expect("32 bytes");
        out[..32].copy_from_slice(self.secret.diffie_hellman(&XPublic::from(public)).as_bytes());
        Ok(())
    }
}

impl CryptoResolver for SameDalek {
    fn resolve_rng(&self) -> Option<Box<dyn Random>> {
        Some(Box::new(Seeded(SeededRng::new(1))))
    }

    fn resolve_dh(&self, choice: &DHChoice) -> Option<Box<dyn Dh>> {
        let dh = X25519 { secret: StaticSecret::from([0; 32]), private: [0; 32], public: [0; 32] };
        (*choice == DHChoice::Curve25519).then(|| Box::new(dh) as Box<dyn Dh>)
    }

    fn resolve_hash(&self, _: &HashChoice) -> Option<Box<dyn Hash>> {
        None
    }

    fn resolve_cipher(&self, _: &CipherChoice) -> Option<Box<dyn Cipher>> {
        None
    }
}

/// Three messages on both sides; the hash of the handshake on each.
fn noise_xx() -> (Vec<u8>, Vec<u8>) {
    let builder = |key: &'static [u8; 32]| {
        let resolver = FallbackResolver::new(Box::new(SameDalek), Box::new(DefaultResolver));
        let params = "Noise_XX_25519_ChaChaPoly_SHA256".parse().expect("a name");
        Builder::with_resolver(params, Box::new(resolver)).local_private_key(key).expect("a key")
    };
    let mut i: HandshakeState = builder(&[1; 32]).build_initiator().expect("an initiator");
    let mut r: HandshakeState = builder(&[2; 32]).build_responder().expect("a responder");
    let (mut message, mut payload) = ([0; 256], [0; 256]);
    let len = i.write_message(&[], &mut message).expect("first");
    r.read_message(&message[..len], &mut payload).expect("read");
    let len = r.write_message(&[], &mut message).expect("second");
    i.read_message(&message[..len], &mut payload).expect("read");
    let len = i.write_message(&[], &mut message).expect("third");
    r.read_message(&message[..len], &mut payload).expect("read");
    (i.get_handshake_hash().to_vec(), r.get_handshake_hash().to_vec())
}

/// The credentials and keys of RFC 9529's second trace.
const CRED_I: &str = "a2027734322d35302d33312d46462d45462d33372d33322d333908a101a5010202412b2001215820ac75e9ece3e50bfc8ed603\
99889522405c47bf16df96660a41298cb4307f7eb62258206e5de611388a4b8a8211334ac7d37ecb52a387d257e6db3c2a93df21ff3affc8";
const CRED_R: &str = "a2026b6578616d706c652e65647508a101a501020241322001215820bbc34960526ea4d32e940cad2a234148ddc21791a12afb\
cbac93622046dd44f02258204519e257236b2a0ce2023f0931f1f386ca7afda64fcde0108c224c51eabf6072";
const SK_I: &str = "fb13adeb6518cee5f88417660841142e830a81fe334380a953406a1305e8706b";
const SK_R: &str = "72cc4761dbd4c78f758931aa589d348d1ef874a7e303ede2f140dcf3e6aa4aac";

fn hex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).expect("hex")).collect()
}

/// A party with a static P-256 key, as ours and as theirs.
struct Static {
    secret: [u8; 32],
    theirs: TheirCredential,
    ours: Credential,
    key: StaticKey,
}

impl Static {
    fn new(cred: &str, secret: &str, kid: u8) -> Self {
        let (cred, secret): (_, [u8; 32]) = (hex(cred), hex(secret).try_into().expect("32 bytes"));
        let at = cred.len() - 67;
        let xy = [&cred[at..at + 32], &cred[at + 35..]].concat();
        let ours = Credential::with_static_key(&cred, &xy).expect("a credential");
        let ours = ours.with_id(&[0xa1, 0x04, 0x41, kid]).expect("a name");
        let key = StaticKey::p256(&SecretBytes::from_bytes(secret)).expect("a key");
        Self { secret, theirs: TheirCredential::parse_ccs(&cred).expect("a credential"), ours, key }
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

/// lakers on both sides; the exported secret of each.
fn lakers_both(i: &Static, r: &Static) -> (Vec<u8>, Vec<u8>) {
    let crypto = |seed| lakers_crypto_rustcrypto::Crypto::new(Old(SeededRng::new(seed)));
    let id = |byte| Some(ConnId::from_slice(&[byte]).expect("short"));
    let mut initiator = EdhocInitiator::new(crypto(1), EDHOCMethod::StatStat, EDHOCSuite::CipherSuite2);
    initiator.set_identity(i.secret, i.theirs);
    let (initiator, message) = initiator.prepare_message_1(id(1), &None).expect("message_1");
    let responder = EdhocResponder::new(crypto(2), EDHOCMethod::StatStat, r.secret, r.theirs);
    let (responder, _, _) = responder.process_message_1(&message).expect("read");
    let (responder, message) =
        responder.prepare_message_2(CredentialTransfer::ByReference, id(2), &None).expect("message_2");
    let (initiator, _, named, _) = initiator.parse_message_2(&message).expect("read");
    let known = credential_check_or_fetch(Some(r.theirs), named).expect("known");
    let initiator = initiator.verify_message_2(known).expect("authentic");
    let (initiator, message, _) =
        initiator.prepare_message_3(CredentialTransfer::ByReference, &None).expect("message_3");
    let (responder, named, _) = responder.parse_message_3(&message).expect("read");
    let known = credential_check_or_fetch(Some(i.theirs), named).expect("known");
    let (responder, _) = responder.verify_message_3(known).expect("authentic");
    let (mut responder, message): (_, EdhocMessageBuffer) = responder.prepare_message_4(&None).expect("message_4");
    let (mut initiator, _) = initiator.process_message_4(&message).expect("read");
    (initiator.edhoc_exporter(0, &[], 16)[..16].to_vec(), responder.edhoc_exporter(0, &[], 16)[..16].to_vec())
}

/// Ours with the same method and suite.
fn ours_static(profile: &Profile, i: &Static, r: &Static, rng: &mut SeededRng) -> (Session, Session) {
    let c = |byte| ConnectionId::new(&[byte]).expect("short");
    let start = Initiator::new(profile, None).expect("a suite");
    let (initiator, message) = start.message_1(c(1), &[], rng).expect("message_1");
    let got = Responder::new(profile).read_message_1(&message).expect("read");
    let (responder, message) = got.message_2_static(c(2), &r.ours, Form::Kid, &[], &r.key, rng).expect("message_2");
    let initiator = initiator.read_message_2(&message).expect("read");
    let initiator = initiator.authenticate(&r.ours, &i.ours).expect("authentic");
    let (initiator, message) = initiator.message_3_static(Form::Kid, &[], &i.key).expect("message_3");
    let responder = responder.read_message_3(&message).expect("read");
    let responder = responder.authenticate(&i.ours, &r.ours).expect("authentic");
    let (theirs, message) = responder.message_4(&[]).expect("message_4");
    (initiator.read_message_4(&message).expect("read").0, theirs)
}

fn exported(session: &Session) -> [u8; 16] {
    let mut out = [0; 16];
    session.export(0, &[], &mut out).expect("exported");
    out
}

/// Ours divided by theirs: the median of 101 rounds whose order alternates.
fn ratio(mut ours: impl FnMut(), mut theirs: impl FnMut()) -> f64 {
    let time = |work: &mut dyn FnMut()| {
        let started = Instant::now();
        (0..8).for_each(|_| work());
        started.elapsed().as_secs_f64()
    };
    let mut ratios: Vec<f64> = (0..101)
        .map(|round| {
            if round % 2 == 0 {
                let a = time(&mut ours);
                a / time(&mut theirs)
            } else {
                let b = time(&mut theirs);
                time(&mut ours) / b
            }
        })
        .collect();
    ratios.sort_by(f64::total_cmp);
    ratios[50]
}

fn main() {
    let (i, r) = (Party::new(1), Party::new(2));
    let mut rng = SeededRng::new(1);
    let suite = |suite| Profile::production().with_suites(&[suite]).expect("a suite");
    let (four, hybrid, two) = (suite(4), suite(-21), suite(2).with_methods(&[3]));
    let (a, b) = ours(&four, &i, &r, &mut rng);
    assert_eq!(exported(&a), exported(&b));
    let (a, b) = noise_xx();
    assert_eq!(a, b);
    let (si, sr) = (Static::new(CRED_I, SK_I, 0x2b), Static::new(CRED_R, SK_R, 0x32));
    let (a, b) = ours_static(&two, &si, &sr, &mut rng);
    assert_eq!(exported(&a), exported(&b));
    let (a, b) = lakers_both(&si, &sr);
    assert_eq!(a, b);

    let handshake = |profile: &Profile, rng: &mut SeededRng| drop(black_box(ours(profile, &i, &r, rng)));
    let xx = ratio(|| handshake(&four, &mut rng), || drop(black_box(noise_xx())));
    println!("suite 4, method 0 / snow Noise XX        {xx:.3}");
    let xx = ratio(|| handshake(&hybrid, &mut rng), || drop(black_box(noise_xx())));
    println!("suite -21, method 0 / snow Noise XX      {xx:.3}");
    let same =
        ratio(|| drop(black_box(ours_static(&two, &si, &sr, &mut rng))), || drop(black_box(lakers_both(&si, &sr))));
    println!("suite 2, method 3 / lakers, the same     {same:.3}");
    let lakers = ratio(|| handshake(&four, &mut rng), || drop(black_box(lakers_both(&si, &sr))));
    println!("suite 4, method 0 / lakers               {lakers:.3}");
}
