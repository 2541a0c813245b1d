//! COSE_Encrypt0 (RFC 9052 §5.2): encrypted to one receiver who knows the key.
//!
//! Two forms are deedbox's own: [`seal`] and [`open`] encrypt to a [`RecipientKey`] by HPKE, [`StreamKey`] encrypts the
//! records of a session. [`Encrypt0`] reads what others write for a key agreed beforehand.

use alloc::vec::Vec;
use core::fmt;

use deedbox_cbor::{CborError, Item, Order, Writer, read};
use deedbox_crypto::{
    aead::{Cipher, KEY_LEN, NONCE_LEN, TAG_LEN},
    kdf, kem, label,
    secret::SecretBytes,
};
use rand_core::CryptoRng;
use zeroize::Zeroizing;

use crate::{
    CoseError, Headers, RecipientKey, RecipientSecret, Sign1Rules,
    error::cbor_code,
    header::ALG,
    rules::Presence,
    sign1::{buckets, map_of},
    structure::{self, structure},
};

/// The algorithm identifier of HPKE with X-Wing, HKDF-SHA-256 and ChaCha20-Poly1305: private use, −65536 less HPKE's
/// identifier of X-Wing (25722), until one is registered.
pub const HPKE_XWING: i64 = -91_258;

/// Why something did not open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Encrypted in another way than is supported here. No key was used.
    #[error("not the algorithm that is supported")]
    Alg,
    /// Not strict CBOR, or too long.
    #[error("cbor: {0}")]
    Cbor(CborError),
    /// Wrong key, wrong use, or altered bytes; which of them is not told.
    #[error("rejected")]
    Rejected,
    /// Not the parts that the object consists of. No key was used.
    #[error("not of the object's shape")]
    Shape,
    /// The tag is absent, or is another object's.
    #[error("wrong or missing tag")]
    Tag,
}

impl OpenError {
    /// The variant's name, stable once released; that of a fault of CBOR follows after a dot.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Alg => "Alg",
            Self::Cbor(error) => cbor_code(error),
            Self::Rejected => "Rejected",
            Self::Shape => "Shape",
            Self::Tag => "Tag",
        }
    }

    const fn structural(error: CoseError) -> Self {
        match error {
            CoseError::Cbor(error) => Self::Cbor(error),
            CoseError::Tag => Self::Tag,
            _ => Self::Shape,
        }
    }
}

/// Why something was not sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SealError {
    /// The name of the pre-shared key is empty, or the primitive refused.
    #[error("rejected")]
    Rejected,
    /// The plaintext is longer than 1 MiB and 64 KiB.
    #[error("more than {limit} bytes to seal")]
    TooLong {
        /// The limit.
        limit: usize,
    },
}

impl SealError {
    /// The variant's name, stable once released.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Rejected => "Rejected",
            Self::TooLong { .. } => "TooLong",
        }
    }
}

/// A secret that sender and receiver share already, with its public name. Sealing with it also proves who sealed.
pub struct PreShared<'a> {
    key: &'a SecretBytes<32>,
    id: &'a [u8],
}

impl<'a> PreShared<'a> {
    /// Names `key` as `id`, which is sent along and must not be empty.
    #[must_use]
    pub const fn new(key: &'a SecretBytes<32>, id: &'a [u8]) -> Self {
        Self { key, id }
    }
}

impl fmt::Debug for PreShared<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PreShared").finish_non_exhaustive()
    }
}

/// Seals `plaintext` to `recipient`, by HPKE in base mode.
///
/// ```cddl
/// sealed = #6.16([ bstr .cbor { 1: -91258 }, { -4: enc: bstr .size 1120 }, bstr ])
/// ```
/// `info` says what the content is for; the Enc_structure is HPKE's aad.
///
/// # Errors
/// [`SealError::TooLong`].
///
/// # Security
/// It doesn't tell who sealed: sign the content, or use [`seal_psk`].
pub fn seal(
    recipient: &RecipientKey,
    info: &[u8],
    plaintext: &[u8],
    rng: &mut impl CryptoRng,
) -> Result<Vec<u8>, SealError> {
    seal_any(recipient, None, info, plaintext, rng)
}

/// Seals `plaintext` to `recipient`, by HPKE in PSK mode.
///
/// ```cddl
/// sealed = #6.16([ bstr .cbor { 1: -91258, -5: psk-id: bstr }, { -4: enc: bstr .size 1120 }, bstr ])
/// ```
///
/// # Errors
/// [`SealError::TooLong`]; [`SealError::Rejected`] when the secret's name is empty.
pub fn seal_psk(
    recipient: &RecipientKey,
    shared: &PreShared<'_>,
    info: &[u8],
    plaintext: &[u8],
    rng: &mut impl CryptoRng,
) -> Result<Vec<u8>, SealError> {
    if shared.id.is_empty() {
        return Err(SealError::Rejected);
    }
    seal_any(recipient, Some(shared), info, plaintext, rng)
}

/// Opens what [`seal`] sealed to `secret` for `info`, of at most 2 MiB.
///
/// # Errors
/// Faults of structure before any key is used, then only [`OpenError::Rejected`]. Nothing of the plaintext is left.
pub fn open(secret: &RecipientSecret, info: &[u8], bytes: &[u8]) -> Result<Zeroizing<Vec<u8>>, OpenError> {
    let sealed = Sealed::parse(bytes)?;
    if sealed.psk_id.is_some() {
        return Err(OpenError::Shape);
    }
    sealed.open(secret, info, None)
}

/// Opens what [`seal_psk`] sealed to `secret` for `info` with a shared secret of this name, of at most 2 MiB.
///
/// # Errors
/// As [`open`]; [`OpenError::Rejected`] also when the name is another one.
pub fn open_psk(
    secret: &RecipientSecret,
    shared: &PreShared<'_>,
    info: &[u8],
    bytes: &[u8],
) -> Result<Zeroizing<Vec<u8>>, OpenError> {
    let sealed = Sealed::parse(bytes)?;
    if sealed.psk_id.ok_or(OpenError::Shape)? != shared.id {
        return Err(OpenError::Rejected);
    }
    sealed.open(secret, info, Some(&kem::Psk { psk: shared.key.expose(), id: shared.id }))
}

/// The name of the shared secret that [`seal_psk`] used: to find the secret, and for nothing else.
///
/// # Errors
/// Faults of structure; [`OpenError::Shape`] also for what was sealed without one.
pub fn peek_psk_id(bytes: &[u8]) -> Result<&[u8], OpenError> {
    Sealed::parse(bytes)?.psk_id.ok_or(OpenError::Shape)
}

/// The key of one stream of records: each record is encrypted under the stream's own key, by its number.
///
/// ```cddl
/// record = [ bstr .cbor { 6: piv, 10: stream: bstr .size 16 }, {}, bstr ]     ; COSE_Encrypt0 without tag
/// piv = bstr .size (1..4)                                                     ; the number, shortest big-endian
/// ```
/// key ‖ iv = HKDF-Expand(base, "deedbox/1 record" 00 ‖ stream, 44); nonce = iv xor number.
///
/// # Security
/// A number must not be sealed twice: draw a fresh stream whenever a session is made *or loaded*, and count from 0.
pub struct StreamKey {
    cipher: Cipher,
    iv: Zeroizing<[u8; NONCE_LEN]>,
    stream: [u8; 16],
}

impl StreamKey {
    /// The key of `stream` under a session's `base`.
    #[must_use]
    pub fn derive(base: &SecretBytes<32>, stream: [u8; 16]) -> Self {
        let mut okm = Zeroizing::new([0; KEY_LEN + NONCE_LEN]);
        // 44 bytes never exceed what HKDF gives.
        let _ = kdf::expand(base.expose(), &[label::RECORD.as_bytes(), &stream], &mut *okm);
        let mut key = Zeroizing::new([0; KEY_LEN]);
        let mut iv = Zeroizing::new([0; NONCE_LEN]);
        let (first, second) = okm.split_at(KEY_LEN);
        key.copy_from_slice(first);
        iv.copy_from_slice(second);
        Self { cipher: Cipher::new(&key), iv, stream }
    }

    /// The stream.
    #[must_use]
    pub const fn stream(&self) -> &[u8; 16] {
        &self.stream
    }

    /// Seals record `number`.
    ///
    /// # Errors
    /// [`SealError::TooLong`].
    pub fn seal(&self, number: u32, plaintext: &[u8]) -> Result<Vec<u8>, SealError> {
        self.seal_into(number, plaintext.len(), |buffer| buffer.extend_from_slice(plaintext))
    }

    /// Seals record `number`, of whose plaintext `content` writes exactly `len` bytes: into the record itself, which is the one
    /// allocation.
    ///
    /// # Errors
    /// [`SealError::TooLong`]; [`SealError::Rejected`] when `content` writes more or less.
    pub fn seal_with(&self, number: u32, len: usize, content: impl FnOnce(&mut Writer)) -> Result<Vec<u8>, SealError> {
        self.seal_into(number, len, |buffer| {
            let mut writer = Writer::from(core::mem::take(buffer));
            content(&mut writer);
            *buffer = writer.into_vec();
        })
    }

    fn seal_into(&self, number: u32, len: usize, content: impl FnOnce(&mut Vec<u8>)) -> Result<Vec<u8>, SealError> {
        check_len(len)?;
        let header = RecordHeader::new(number, &self.stream);
        let mut writer = Writer::with_capacity(len + TAG_LEN + 40);
        let mut place = 0..0;
        writer.array(3).bytes(header.protected()).map(|_| ()).bytes_with(len + TAG_LEN, |buffer| {
            place.start = buffer.len();
            content(buffer);
            place.end = buffer.len();
        });
        // Plaintext until the tag is there: wiped on every other way out.
        let mut record = Zeroizing::new(writer.into_vec());
        let fits = place.len() == len;
        let body = record.get_mut(place.start..).filter(|_| fits).ok_or(SealError::Rejected)?;
        let (text, tag) = body.split_last_chunk_mut::<TAG_LEN>().ok_or(SealError::Rejected)?;
        *tag = self
            .cipher
            .seal_in_place(&self.nonce(number), header.enc_structure(), text)
            .map_err(|_| SealError::Rejected)?;
        Ok(core::mem::take(&mut *record))
    }

    /// Opens a record of this stream.
    ///
    /// # Errors
    /// [`OpenError::Rejected`], for a record of another stream too.
    pub fn open(&self, record: &Record<'_>) -> Result<Zeroizing<Vec<u8>>, OpenError> {
        if record.stream != self.stream {
            return Err(OpenError::Rejected);
        }
        let header = RecordHeader::of(&[record.protected]);
        decrypt(&self.cipher, &self.nonce(record.number), header.enc_structure(), record.ciphertext)
    }

    fn nonce(&self, number: u32) -> [u8; NONCE_LEN] {
        let mut nonce = *self.iv;
        for (place, byte) in nonce.iter_mut().rev().zip(number.to_le_bytes()) {
            *place ^= byte;
        }
        nonce
    }
}

impl fmt::Debug for StreamKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamKey").finish_non_exhaustive()
    }
}

/// A record that was read but not opened: stream and number tell with which key to try.
pub struct Record<'a> {
    protected: &'a [u8],
    ciphertext: &'a [u8],
    stream: [u8; 16],
    number: u32,
}

impl<'a> Record<'a> {
    /// Reads a record of at most 2 MiB.
    ///
    /// # Errors
    /// [`OpenError::Cbor`], [`OpenError::Shape`].
    pub fn parse(bytes: &'a [u8]) -> Result<Self, OpenError> {
        let item = read(bytes, Order::Canonical, &OWN.limits).map_err(OpenError::Cbor)?;
        let record = || -> Option<Self> {
            let [protected, unprotected, ciphertext] = item.as_array()?.exactly()?;
            let protected = protected.as_bytes()?;
            let ciphertext = ciphertext.as_bytes()?;
            if !unprotected.as_map()?.is_empty() {
                return None;
            }
            let header = read(protected, Order::Canonical, &OWN.limits).ok()?.as_map()?;
            let mut fields = header.fields();
            let number = read_number(fields.required(PARTIAL_IV)?.as_bytes()?)?;
            let stream = fields.required(STREAM)?.as_byte_array()?;
            fields.finish()?;
            Some(Self { protected, ciphertext, stream, number })
        };
        record().ok_or(OpenError::Shape)
    }

    /// The stream it claims to be of.
    #[must_use]
    pub const fn stream(&self) -> &[u8; 16] {
        &self.stream
    }

    /// The number it claims to have.
    #[must_use]
    pub const fn number(&self) -> u32 {
        self.number
    }
}

impl fmt::Debug for Record<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Record").field("len", &self.ciphertext.len()).finish_non_exhaustive()
    }
}

/// An encrypted object of any form, as others write it. What it says is not authentic until it opens.
///
/// ```cddl
/// COSE_Encrypt0 = #6.16([ bstr .cbor header / bstr .size 0, header, bstr ])           ; RFC 9052 §5.2
/// ```
pub struct Encrypt0<'a> {
    protected_bytes: &'a [u8],
    protected: Headers<'a>,
    unprotected: Headers<'a>,
    ciphertext: &'a [u8],
}

impl<'a> Encrypt0<'a> {
    /// Reads a COSE_Encrypt0.
    ///
    /// # Errors
    /// [`OpenError::Cbor`], [`OpenError::Shape`], [`OpenError::Tag`].
    pub fn parse(bytes: &'a [u8], rules: &Sign1Rules) -> Result<Self, OpenError> {
        let item = read(bytes, rules.order, &rules.limits).map_err(OpenError::Cbor)?;
        let parts = rules.untag(item, ENCRYPT0).map_err(OpenError::structural)?.as_array().and_then(|a| a.exactly());
        let [protected, unprotected, ciphertext] = parts.ok_or(OpenError::Shape)?;
        let (protected_bytes, protected, unprotected) =
            buckets(protected, unprotected, rules).map_err(OpenError::structural)?;
        if protected.is_empty() && rules.protected == Presence::Required {
            return Err(OpenError::Shape);
        }
        let ciphertext = ciphertext.as_bytes().ok_or(OpenError::Shape)?;
        Ok(Self { protected_bytes, protected, unprotected, ciphertext })
    }

    /// The protected header.
    #[must_use]
    pub const fn protected(&self) -> Headers<'a> {
        self.protected
    }

    /// The unprotected header.
    #[must_use]
    pub const fn unprotected(&self) -> Headers<'a> {
        self.unprotected
    }

    /// The Enc_structure (RFC 9052 §5.3), which is authenticated with the content.
    #[must_use]
    pub fn enc_structure(&self, external_aad: &[u8]) -> Vec<u8> {
        enc_structure(self.protected_bytes, external_aad)
    }

    /// Opens it with a key agreed beforehand, by ChaCha20-Poly1305 (algorithm 24) and the IV in a header (label 5).
    ///
    /// # Errors
    /// [`OpenError::Alg`], [`OpenError::Shape`], then [`OpenError::Rejected`].
    pub fn open(&self, key: &SecretBytes<32>, external_aad: &[u8]) -> Result<Zeroizing<Vec<u8>>, OpenError> {
        if self.protected.get(ALG).and_then(Item::as_i64) != Some(CHACHA20_POLY1305) {
            return Err(OpenError::Alg);
        }
        let iv = self.protected.get(IV).or_else(|| self.unprotected.get(IV));
        let nonce: [u8; NONCE_LEN] = iv.and_then(Item::as_byte_array).ok_or(OpenError::Shape)?;
        decrypt(&Cipher::new(key.expose()), &nonce, &self.enc_structure(external_aad), self.ciphertext)
    }
}

impl fmt::Debug for Encrypt0<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Encrypt0").field("len", &self.ciphertext.len()).finish_non_exhaustive()
    }
}

/// What HPKE made, as read.
struct Sealed<'a> {
    protected: &'a [u8],
    psk_id: Option<&'a [u8]>,
    enc: &'a [u8],
    ciphertext: &'a [u8],
}

impl<'a> Sealed<'a> {
    fn parse(bytes: &'a [u8]) -> Result<Self, OpenError> {
        let Encrypt0 { protected_bytes, protected, unprotected, ciphertext } = Encrypt0::parse(bytes, &OWN)?;
        if protected.get(ALG).and_then(Item::as_i64) != Some(HPKE_XWING) {
            return Err(OpenError::Alg);
        }
        let psk_id = match protected.get(PSK_ID) {
            None => None,
            Some(id) => Some(id.as_bytes().filter(|id| !id.is_empty()).ok_or(OpenError::Shape)?),
        };
        let expected = if psk_id.is_some() { 2 } else { 1 };
        let enc = unprotected.get(ENCAPSULATED).and_then(Item::as_bytes).ok_or(OpenError::Shape)?;
        if protected.len() != expected || unprotected.len() != 1 || enc.len() != kem::ENC_LEN {
            return Err(OpenError::Shape);
        }
        Ok(Self { protected: protected_bytes, psk_id, enc, ciphertext })
    }

    fn open(
        &self,
        secret: &RecipientSecret,
        info: &[u8],
        psk: Option<&kem::Psk<'_>>,
    ) -> Result<Zeroizing<Vec<u8>>, OpenError> {
        let aad = enc_structure(self.protected, &[]);
        secret.as_xwing().open(self.enc, info, &aad, self.ciphertext, psk).map_err(|_| OpenError::Rejected)
    }
}

fn seal_any(
    recipient: &RecipientKey,
    shared: Option<&PreShared<'_>>,
    info: &[u8],
    plaintext: &[u8],
    rng: &mut impl CryptoRng,
) -> Result<Vec<u8>, SealError> {
    check_len(plaintext.len())?;
    let protected = map_of(|map| {
        map.int(ALG, |w| {
            w.int(HPKE_XWING);
        });
        if let Some(shared) = shared {
            map.int(PSK_ID, |w| {
                w.bytes(shared.id);
            });
        }
    });
    let psk = shared.map(|shared| kem::Psk { psk: shared.key.expose(), id: shared.id });
    let aad = enc_structure(&protected, &[]);
    let (enc, ciphertext) =
        recipient.as_xwing().seal(info, &aad, plaintext, psk.as_ref(), rng).map_err(|_| SealError::Rejected)?;
    let mut writer = Writer::with_capacity(ciphertext.len() + enc.len() + protected.len() + 32);
    writer.tag(ENCRYPT0).array(3).bytes(&protected);
    writer.map(|map| {
        map.int(ENCAPSULATED, |w| {
            w.bytes(&enc);
        });
    });
    writer.bytes(&ciphertext);
    Ok(writer.into_vec())
}

fn enc_structure(protected: &[u8], external_aad: &[u8]) -> Vec<u8> {
    structure("Encrypt0", &[structure::protected(protected), external_aad])
}

fn decrypt(
    cipher: &Cipher,
    nonce: &[u8; NONCE_LEN],
    aad: &[u8],
    ciphertext: &[u8],
) -> Result<Zeroizing<Vec<u8>>, OpenError> {
    let (content, tag) = ciphertext.split_last_chunk::<TAG_LEN>().ok_or(OpenError::Rejected)?;
    let mut buffer = Zeroizing::new(content.to_vec());
    cipher.open_in_place(nonce, aad, &mut buffer, tag).map_err(|_| OpenError::Rejected)?;
    Ok(buffer)
}

/// A record's Enc_structure, and the protected header inside of it: `["Encrypt0", bstr .cbor {6: piv, 10: stream}, h'']`.
struct RecordHeader {
    bytes: [u8; 38],
    protected: core::ops::Range<usize>,
    len: usize,
}

impl RecordHeader {
    fn new(number: u32, stream: &[u8; 16]) -> Self {
        let number = number.to_be_bytes();
        let zeros = number.iter().take_while(|byte| **byte == 0).count().min(3);
        let piv = number.get(zeros..).unwrap_or(&number);
        // The head of a string of less than 24 bytes.
        let string = |len: usize| 0x40 | u8::try_from(len).unwrap_or(0);
        Self::of(&[&[0xa2, 0x06, string(piv.len())], piv, &[0x0a, string(stream.len())], stream])
    }

    /// That of a protected header of these parts, at most 25 bytes together.
    fn of(protected: &[&[u8]]) -> Self {
        let len = protected.iter().map(|part| part.len()).sum::<usize>();
        let mut header = Self { bytes: [0; 38], protected: 0..0, len: 0 };
        header.push(&[0x83, 0x68]).push(b"Encrypt0");
        let len = u8::try_from(len).unwrap_or(0);
        if len < 24 {
            header.push(&[0x40 | len]);
        } else {
            header.push(&[0x58, len]);
        }
        let start = header.len;
        for part in protected {
            header.push(part);
        }
        header.protected = start..header.len;
        header.push(&[0x40]);
        header
    }

    fn push(&mut self, bytes: &[u8]) -> &mut Self {
        let end = self.len + bytes.len();
        if let Some(place) = self.bytes.get_mut(self.len..end) {
            place.copy_from_slice(bytes);
            self.len = end;
        }
        self
    }

    fn protected(&self) -> &[u8] {
        self.bytes.get(self.protected.clone()).unwrap_or_default()
    }

    fn enc_structure(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }
}

/// A number in its shortest form: at most four bytes, no zero in front but in zero itself.
fn read_number(piv: &[u8]) -> Option<u32> {
    if piv.is_empty() || (piv.len() > 1 && piv.first() == Some(&0)) {
        return None;
    }
    let mut bytes = [0; 4];
    let start = bytes.len().checked_sub(piv.len())?;
    bytes.get_mut(start..)?.copy_from_slice(piv);
    Some(u32::from_be_bytes(bytes))
}

const fn check_len(len: usize) -> Result<(), SealError> {
    if len > MAX_PLAINTEXT { Err(SealError::TooLong { limit: MAX_PLAINTEXT }) } else { Ok(()) }
}

/// Rules of deedbox's own forms.
const OWN: Sign1Rules = Sign1Rules { order: Order::Canonical, ..Sign1Rules::STRICT.max_len(1 << 21) };
/// 1 MiB, and room for what stands around it.
const MAX_PLAINTEXT: usize = (1 << 20) + (1 << 16);
/// Tag of a COSE_Encrypt0.
const ENCRYPT0: u64 = 16;
const CHACHA20_POLY1305: i64 = 24;
const IV: i64 = 5;
const PARTIAL_IV: i64 = 6;
/// The kid context (RFC 8613), which names the stream.
const STREAM: i64 = 10;
/// The encapsulated key, COSE-HPKE.
const ENCAPSULATED: i64 = -4;
/// The name of the pre-shared key, COSE-HPKE.
const PSK_ID: i64 = -5;
