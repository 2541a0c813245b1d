//! The key schedule, RFC 9528 §4 and §5: transcripts, MACs, the keys of messages 3 and 4.

use alloc::vec::Vec;

use deedbox_cbor::Writer;
use deedbox_cose::{Signer, VerifyKey};
use deedbox_crypto::{
    aead::{Cipher, KEY_LEN, NONCE_LEN, TAG_LEN},
    hash::sha256,
    kdf,
    secret::SecretBytes,
};
use zeroize::Zeroizing;

use crate::{
    credential::{Credential, IdCred},
    error::{EdhocError, ExportError},
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

/// PRK_2e, which in method 0 is also PRK_3e2m and PRK_4e3m.
pub(crate) fn prk_2e(th_2: &[u8; 32], g_xy: &SecretBytes<32>, trace: &mut Trace) -> Prk {
    let prk = kdf::extract(th_2, g_xy.expose());
    trace.put("TH_2", th_2);
    trace.put("G_XY", g_xy.expose());
    for name in ["PRK_2e", "PRK_3e2m", "PRK_4e3m"] {
        trace.put(name, prk.expose());
    }
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

/// What a side's signature covers: ID_CRED_x and << TH, CRED, ? EAD >> with MAC_x over both.
pub(crate) struct Proof<'a> {
    pub(crate) part: Part,
    /// C_R as written, empty in message_3.
    pub(crate) c_r: &'a [u8],
    pub(crate) id: &'a IdCred,
    pub(crate) th: &'a [u8; 32],
    pub(crate) cred: &'a Credential,
    pub(crate) ead: &'a [u8],
}

impl Proof<'_> {
    /// M_x, the Sig_structure of RFC 9052 §4.4 over MAC_x (§5.3.2, §5.4.2).
    fn to_be_signed(&self, prk: &Prk, trace: &mut Trace) -> Vec<u8> {
        let mut th = Writer::new();
        th.bytes(self.th);
        let external = [th.as_slice(), self.cred.bytes(), self.ead].concat();
        let context = [self.c_r, self.id.bytes(), &external].concat();
        let label = match self.part {
            Part::Two => 2,
            Part::Three => 6,
        };
        let mac = edhoc_kdf_fixed::<32>(prk, label, &context);
        let mut writer = Writer::new();
        writer.array(4).text("Signature1").bytes(self.id.bytes()).bytes(&external).bytes(&*mac);
        let message = writer.into_vec();
        let [context_name, mac_name, m_name] = match self.part {
            Part::Two => ["context_2", "MAC_2", "M_2"],
            Part::Three => ["context_3", "MAC_3", "M_3"],
        };
        trace.put(context_name, &context);
        trace.put(mac_name, &*mac);
        trace.put(m_name, &message);
        message
    }

    pub(crate) fn sign(
        &self,
        prk: &Prk,
        signer: &impl Signer,
        trace: &mut Trace,
    ) -> Result<[u8; SIGNATURE_LEN], EdhocError> {
        if *signer.public() != VerifyKey::from_ed25519(*self.cred.key()) {
            return Err(EdhocError::Signer);
        }
        let message = self.to_be_signed(prk, trace);
        let signature = signer.sign(&message).map_err(|_| EdhocError::Signer)?;
        let signature: [u8; SIGNATURE_LEN] = signature.as_bytes().try_into().map_err(|_| EdhocError::Signer)?;
        // A faulty signer may give away its key; its signature is not sent unverified.
        self.cred.key().verify(&message, &signature).map_err(|_| EdhocError::Signer)?;
        self.keep(&signature, trace);
        Ok(signature)
    }

    pub(crate) fn verify(
        &self,
        prk: &Prk,
        signature: &[u8; SIGNATURE_LEN],
        trace: &mut Trace,
    ) -> Result<(), EdhocError> {
        let message = self.to_be_signed(prk, trace);
        self.keep(signature, trace);
        self.cred.key().verify(&message, signature).map_err(|_| EdhocError::Authentication)
    }

    fn keep(&self, signature: &[u8; SIGNATURE_LEN], trace: &mut Trace) {
        let name = match self.part {
            Part::Two => "Signature_or_MAC_2",
            Part::Three => "Signature_or_MAC_3",
        };
        trace.put(name, signature);
    }
}

/// The AEAD of message_3 or message_4.
pub(crate) struct Envelope {
    key: Zeroizing<[u8; KEY_LEN]>,
    iv: Zeroizing<[u8; NONCE_LEN]>,
    aad: Vec<u8>,
}

impl Envelope {
    pub(crate) fn three(prk: &Prk, th_3: &[u8; 32], trace: &mut Trace) -> Self {
        let envelope = Self::new(prk, [3, 4], th_3);
        trace.put("TH_3", th_3);
        trace.put("K_3", &*envelope.key);
        trace.put("IV_3", &*envelope.iv);
        envelope
    }

    pub(crate) fn four(prk: &Prk, th_4: &[u8; 32], trace: &mut Trace) -> Self {
        let envelope = Self::new(prk, [8, 9], th_4);
        trace.put("K_4", &*envelope.key);
        trace.put("IV_4", &*envelope.iv);
        envelope
    }

    fn new(prk: &Prk, [key, iv]: [u16; 2], th: &[u8; 32]) -> Self {
        let mut aad = Writer::new();
        aad.array(3).text("Encrypt0").bytes(&[]).bytes(th);
        Self { key: edhoc_kdf_fixed(prk, key, th), iv: edhoc_kdf_fixed(prk, iv, th), aad: aad.into_vec() }
    }

    pub(crate) fn seal(&self, plaintext: &[u8]) -> Result<Vec<u8>, EdhocError> {
        let mut buffer = plaintext.to_vec();
        let tag = Cipher::new(&self.key)
            .seal_in_place(&self.iv, &self.aad, &mut buffer)
            .map_err(|_| EdhocError::LimitExceeded)?;
        buffer.extend_from_slice(&tag);
        Ok(buffer)
    }

    pub(crate) fn open(&self, ciphertext: &[u8]) -> Result<Zeroizing<Vec<u8>>, EdhocError> {
        let (text, tag) = ciphertext.split_last_chunk::<TAG_LEN>().ok_or(EdhocError::Malformed)?;
        let mut buffer = Zeroizing::new(text.to_vec());
        Cipher::new(&self.key)
            .open_in_place(&self.iv, &self.aad, &mut buffer, tag)
            .map_err(|_| EdhocError::Authentication)?;
        Ok(buffer)
    }
}

/// `bstr` of `content` as a message.
pub(crate) fn bstr(content: &[u8]) -> Result<Vec<u8>, EdhocError> {
    let mut writer = Writer::with_capacity(content.len().saturating_add(5));
    writer.bytes(content);
    let message = writer.into_vec();
    if message.len() > crate::wire::MAX_MESSAGE { Err(EdhocError::LimitExceeded) } else { Ok(message) }
}
