//! The key schedule, RFC 9528 §4 and §5: transcripts, MACs, the keys of messages 3 and 4.

use alloc::vec::Vec;

use deedbox_cbor::Writer;
use deedbox_cose::{Signer, VerifyKey};
use deedbox_crypto::{hash::sha256, kdf, secret::SecretBytes};
use zeroize::Zeroizing;

use crate::{
    credential::{Credential, IdCred},
    error::{EdhocError, ExportError},
    suite::{Sealing, Secret, mac_len},
    trace::Trace,
    wire::SIGNATURE_LEN,
};

/// A pseudorandom key.
pub(crate) type Prk = SecretBytes<32>;

/// EDHOC_KDF (§4.1.2).
pub(crate) fn edhoc_kdf(prk: &Prk, label: u16, context: &[u8], out: &mut [u8]) -> Result<(), ExportError> {
    let mut info = Writer::with_capacity(context.len().saturating_add(16));
    info.uint(u64::from(label)).bytes(context).uint(u64::try_from(out.len()).unwrap_or(u64::MAX));
    kdf::expand(prk.expose(), &[info.as_slice()], out).map_err(|_| ExportError::TooLong)
}

/// EDHOC_KDF for a length that always fits.
pub(crate) fn edhoc_kdf_fixed<const N: usize>(prk: &Prk, label: u16, context: &[u8]) -> Zeroizing<[u8; N]> {
    const { assert!(N <= 8160) };
    let mut out = Zeroizing::new([0; N]);
    // INVARIANT: N is within what Expand can give, so this does not fail.
    let fits = edhoc_kdf(prk, label, context, &mut *out);
    debug_assert!(fits.is_ok());
    out
}

pub(crate) fn prk(bytes: &[u8; 32]) -> Prk {
    // COPY: wiped with the result.
    SecretBytes::from_bytes(*bytes)
}

/// TH_2 = H(G_Y, H(message_1)).
pub(crate) fn th_2(g_y: &[u8], h_message_1: &[u8; 32]) -> [u8; 32] {
    let mut writer = Writer::new();
    writer.bytes(g_y).bytes(h_message_1);
    sha256(writer.as_slice())
}

/// TH_3 and TH_4: H(TH, PLAINTEXT, CRED).
pub(crate) fn th_next(th: &[u8; 32], plaintext: &[u8], cred: &Credential) -> [u8; 32] {
    let mut writer = Writer::new();
    writer.bytes(th);
    deedbox_crypto::hash::sha256_parts(&[writer.as_slice(), plaintext, cred.bytes()])
}

/// PRK_2e.
pub(crate) fn prk_2e(th_2: &[u8; 32], g_xy: &SecretBytes<32>, trace: &mut Trace) -> Prk {
    let prk = kdf::extract(th_2, g_xy.expose());
    trace.put("TH_2", th_2);
    trace.put("G_XY", g_xy.expose());
    trace.put("PRK_2e", prk.expose());
    prk
}

/// PRK_3e2m of PRK_2e: with G_RX, or the same where the Responder signs.
pub(crate) fn prk_3e2m(prk_2e: Prk, th_2: &[u8; 32], g_rx: Option<SecretBytes<32>>, trace: &mut Trace) -> Prk {
    mixed(prk_2e, 1, th_2, g_rx, ["SALT_3e2m", "G_RX", "PRK_3e2m"], trace)
}

/// PRK_4e3m of PRK_3e2m: with G_IY, or the same where the Initiator signs.
pub(crate) fn prk_4e3m(prk_3e2m: Prk, th_3: &[u8; 32], g_iy: Option<SecretBytes<32>>, trace: &mut Trace) -> Prk {
    mixed(prk_3e2m, 5, th_3, g_iy, ["SALT_4e3m", "G_IY", "PRK_4e3m"], trace)
}

fn mixed(
    prk: Prk,
    label: u16,
    th: &[u8; 32],
    shared: Option<SecretBytes<32>>,
    [salt_name, shared_name, prk_name]: [&'static str; 3],
    trace: &mut Trace,
) -> Prk {
    let prk = match shared {
        None => prk,
        Some(shared) => {
            let salt = edhoc_kdf_fixed::<32>(&prk, label, th);
            trace.put(salt_name, &*salt);
            trace.put(shared_name, shared.expose());
            kdf::extract(&*salt, shared.expose())
        }
    };
    trace.put(prk_name, prk.expose());
    prk
}

/// CIPHERTEXT_2 to PLAINTEXT_2 and back (§5.3.2).
pub(crate) fn xor_keystream_2(
    prk: &Prk,
    th_2: &[u8; 32],
    text: &mut [u8],
    trace: &mut Trace,
) -> Result<(), EdhocError> {
    let mut keystream = Zeroizing::new(alloc::vec![0; text.len()]);
    edhoc_kdf(prk, 0, th_2, &mut keystream).map_err(|_| EdhocError::LimitExceeded)?;
    for (byte, key) in text.iter_mut().zip(keystream.iter()) {
        *byte ^= key;
    }
    trace.put("KEYSTREAM_2", &keystream);
    Ok(())
}

/// Which of the two authenticated messages.
#[derive(Clone, Copy)]
pub(crate) enum Part {
    Two,
    Three,
}

/// What a side authenticates with: a signer, or a static key.
#[derive(Clone, Copy)]
pub(crate) enum Own<'a> {
    Signer(&'a dyn Signer),
    #[cfg(feature = "test-suites")]
    Static(&'a crate::suite::StaticKey),
}

impl Own<'_> {
    fn signer(&self) -> Option<&dyn Signer> {
        match self {
            Self::Signer(signer) => Some(*signer),
            #[cfg(feature = "test-suites")]
            Self::Static(_) => None,
        }
    }

    /// What one's own static key adds to the key schedule: G_RX or G_IY. Nothing where this side signs.
    #[cfg_attr(not(feature = "test-suites"), expect(unused_variables, reason = "there are no static keys"))]
    pub(crate) fn mixed(
        &self,
        signs: bool,
        with: impl FnOnce(&Secret) -> Result<SecretBytes<32>, EdhocError>,
    ) -> Result<Option<SecretBytes<32>>, EdhocError> {
        match self {
            Self::Signer(_) if signs => Ok(None),
            #[cfg(feature = "test-suites")]
            Self::Static(key) if !signs => with(&key.0).map(Some),
            _ => Err(EdhocError::Signer),
        }
    }
}

/// What a side's signature covers, or its MAC alone: ID_CRED_x and << TH, CRED, ? EAD >> with MAC_x over both.
pub(crate) struct Proof<'a> {
    pub(crate) part: Part,
    pub(crate) suite: i32,
    /// C_R as written, empty in message_3.
    pub(crate) c_r: &'a [u8],
    pub(crate) id: &'a IdCred,
    pub(crate) th: &'a [u8; 32],
    pub(crate) cred: &'a Credential,
    pub(crate) ead: &'a [u8],
}

impl Proof<'_> {
    /// MAC_x (§5.3.2, §5.4.2) of `N` bytes, with << TH, CRED, ? EAD >>.
    fn mac<const N: usize>(&self, prk: &Prk, trace: &mut Trace) -> (Zeroizing<[u8; N]>, Vec<u8>) {
        let mut th = Writer::new();
        th.bytes(self.th);
        let external = [th.as_slice(), self.cred.bytes(), self.ead].concat();
        let context = [self.c_r, self.id.bytes(), &external].concat();
        let (label, [context_name, mac_name]) = match self.part {
            Part::Two => (2, ["context_2", "MAC_2"]),
            Part::Three => (6, ["context_3", "MAC_3"]),
        };
        let mac = edhoc_kdf_fixed(prk, label, &context);
        trace.put(context_name, &context);
        trace.put(mac_name, &*mac);
        (mac, external)
    }

    /// M_x, the Sig_structure of RFC 9052 §4.4 over a MAC of the hash's length.
    fn to_be_signed(&self, prk: &Prk, trace: &mut Trace) -> Vec<u8> {
        let (mac, external) = self.mac::<32>(prk, trace);
        let mut writer = Writer::new();
        writer.array(4).text("Signature1").bytes(self.id.bytes()).bytes(&external).bytes(&*mac);
        let message = writer.into_vec();
        let name = match self.part {
            Part::Two => "M_2",
            Part::Three => "M_3",
        };
        trace.put(name, &message);
        message
    }

    /// The MAC that a static key makes authentic by being in `prk`.
    fn bare_mac(&self, prk: &Prk, trace: &mut Trace) -> Zeroizing<Vec<u8>> {
        let (short, long);
        let mac: &[u8] = if mac_len(self.suite) == 8 {
            (short, _) = self.mac::<8>(prk, trace);
            &*short
        } else {
            (long, _) = self.mac::<16>(prk, trace);
            &*long
        };
        Zeroizing::new(mac.to_vec())
    }

    /// Signature_or_MAC_x of one's own.
    pub(crate) fn make(&self, prk: &Prk, own: Own<'_>, trace: &mut Trace) -> Result<Vec<u8>, EdhocError> {
        let Some(signer) = own.signer() else {
            let mac = self.bare_mac(prk, trace).to_vec();
            self.keep(&mac, trace);
            return Ok(mac);
        };
        let key = self.cred.key().ok_or(EdhocError::Signer)?;
        if *signer.public() != VerifyKey::from_ed25519(*key) {
            return Err(EdhocError::Signer);
        }
        let message = self.to_be_signed(prk, trace);
        let signature = signer.sign(&message).map_err(|_| EdhocError::Signer)?;
        let signature: &[u8; SIGNATURE_LEN] = signature.as_bytes().try_into().map_err(|_| EdhocError::Signer)?;
        // A faulty signer may give away its key; its signature is not sent unverified.
        key.verify(&message, signature).map_err(|_| EdhocError::Signer)?;
        self.keep(signature, trace);
        Ok(signature.to_vec())
    }

    /// Verifies the peer's Signature_or_MAC_x; its static key, if that is what it has, is in `prk`.
    pub(crate) fn verify(&self, prk: &Prk, proof: &[u8], trace: &mut Trace) -> Result<(), EdhocError> {
        self.keep(proof, trace);
        let Some(key) = self.cred.key() else {
            let mac = self.bare_mac(prk, trace);
            return if deedbox_crypto::ct::eq(&mac, proof) { Ok(()) } else { Err(EdhocError::Authentication) };
        };
        let message = self.to_be_signed(prk, trace);
        let signature = proof.try_into().map_err(|_| EdhocError::Authentication)?;
        key.verify(&message, signature).map_err(|_| EdhocError::Authentication)
    }

    fn keep(&self, proof: &[u8], trace: &mut Trace) {
        let name = match self.part {
            Part::Two => "Signature_or_MAC_2",
            Part::Three => "Signature_or_MAC_3",
        };
        trace.put(name, proof);
    }
}

/// The AEAD of message_3 or message_4.
pub(crate) struct Envelope {
    sealing: Sealing,
    aad: Vec<u8>,
}

impl Envelope {
    pub(crate) fn three(suite: i32, prk: &Prk, th_3: &[u8; 32], trace: &mut Trace) -> Self {
        let envelope = Self::new(suite, prk, [3, 4], th_3);
        trace.put("TH_3", th_3);
        trace.put("K_3", envelope.sealing.key());
        trace.put("IV_3", envelope.sealing.iv());
        envelope
    }

    pub(crate) fn four(suite: i32, prk: &Prk, th_4: &[u8; 32], trace: &mut Trace) -> Self {
        let envelope = Self::new(suite, prk, [8, 9], th_4);
        trace.put("K_4", envelope.sealing.key());
        trace.put("IV_4", envelope.sealing.iv());
        envelope
    }

    fn new(suite: i32, prk: &Prk, labels: [u16; 2], th: &[u8; 32]) -> Self {
        let mut aad = Writer::new();
        aad.array(3).text("Encrypt0").bytes(&[]).bytes(th);
        Self { sealing: Sealing::new(suite, prk, labels, th), aad: aad.into_vec() }
    }

    pub(crate) fn seal(&self, plaintext: &[u8]) -> Result<Vec<u8>, EdhocError> {
        self.sealing.seal(&self.aad, plaintext)
    }

    pub(crate) fn open(&self, ciphertext: &[u8]) -> Result<Zeroizing<Vec<u8>>, EdhocError> {
        self.sealing.open(&self.aad, ciphertext)
    }
}

/// `bstr` of `content` as a message.
pub(crate) fn bstr(content: &[u8]) -> Result<Vec<u8>, EdhocError> {
    let mut writer = Writer::with_capacity(content.len().saturating_add(5));
    writer.bytes(content);
    let message = writer.into_vec();
    if message.len() > crate::wire::MAX_MESSAGE { Err(EdhocError::LimitExceeded) } else { Ok(message) }
}
