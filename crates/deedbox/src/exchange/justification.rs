use core::fmt;

#[cfg(feature = "provider")]
use deedbox_cbor::Writer;
use deedbox_cbor::{Limits, Order, read};
#[cfg(feature = "provider")]
use deedbox_cose::Signer;
use deedbox_cose::{CoseError, VerifyKey, sign1};
use deedbox_crypto::label::JUSTIFICATION as LABEL;
use deedbox_model::{Digest, Timestamp};

/// Why a receiver that owes it had what it got; made only by [`Justification::verify`]. Whether it is a good reason is for the
/// person to judge.
///
/// ```cddl
/// justification = COSE_Sign1, external_aad "deedbox/1 justification" 00, payload
///                 [agreement: b32, subject: b32, time: uint, text: tstr .size (1..4096)]
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Justification {
    agreement: Digest,
    subject: Digest,
    time: Timestamp,
    text: String,
}

impl Justification {
    /// Signs a text of 1 to 4,096 bytes on the release whose receipt has this subject; `None` for another length, or a signer
    /// that can't sign.
    #[cfg(feature = "provider")]
    pub(crate) fn sign(
        text: &str,
        subject: &Digest,
        agreement: &Digest,
        now: Timestamp,
        signer: &(impl Signer + ?Sized),
    ) -> Option<Vec<u8>> {
        if !LENGTHS.contains(&text.len()) {
            return None;
        }
        let mut payload = Writer::new();
        agreement.encode(payload.array(4));
        subject.encode(&mut payload);
        now.encode(&mut payload);
        payload.text(text);
        sign1::document(signer, LABEL.as_bytes(), payload.as_slice()).ok()
    }

    /// Verifies a justification of at most 8 KiB that the owner of `key` signed.
    ///
    /// # Errors
    /// [`CoseError::Shape`] for what is none, before and after the signature is looked at; see [`sign1::open_document`].
    pub fn verify(bytes: &[u8], key: &VerifyKey) -> Result<Self, CoseError> {
        if bytes.len() > MAX_JUSTIFICATION {
            return Err(CoseError::Shape);
        }
        Self::parse(sign1::open_document(bytes, key, LABEL.as_bytes())?).ok_or(CoseError::Shape)
    }

    /// Digest of the agreement under which it was sent: it says of whom.
    #[must_use]
    pub const fn agreement(&self) -> &Digest {
        &self.agreement
    }

    /// The subject of the receipt of what was released: the leaf of its entry in the person's log.
    #[must_use]
    pub const fn subject(&self) -> &Digest {
        &self.subject
    }

    /// When it was signed, by the receiver's clock.
    #[must_use]
    pub const fn time(&self) -> Timestamp {
        self.time
    }

    /// The reasons.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    fn parse(payload: &[u8]) -> Option<Self> {
        let item = read(payload, Order::Canonical, &Limits::new(MAX_JUSTIFICATION)).ok()?;
        let [agreement, subject, time, text] = item.as_array()?.exactly()?;
        Some(Self {
            agreement: Digest::decode(agreement)?,
            subject: Digest::decode(subject)?,
            time: Timestamp::decode(time)?,
            text: text.as_str().filter(|text| LENGTHS.contains(&text.len()))?.to_owned(),
        })
    }
}

/// Prints the length of the text, and nothing of it.
impl fmt::Debug for Justification {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Justification").field("len", &self.text.len()).finish_non_exhaustive()
    }
}

const LENGTHS: core::ops::RangeInclusive<usize> = 1..=4_096;
const MAX_JUSTIFICATION: usize = 8 << 10;

#[cfg(all(test, feature = "provider"))]
mod tests {
    use deedbox_cose::{LocalSigner, Signer as _};
    use deedbox_testkit::rng::SeededRng;

    use super::*;

    #[test]
    fn a_justification_verifies_unless_a_bit_is_another_or_the_key_is() {
        let mut rng = SeededRng::new(1);
        let (signer, other) = (LocalSigner::generate(&mut rng), LocalSigner::generate(&mut rng));
        let (subject, agreement, now) =
            (Digest::from_bytes([7; 32]), Digest::from_bytes([8; 32]), Timestamp::from_secs(5));
        let sign = |text: &str| Justification::sign(text, &subject, &agreement, now, &signer);
        let signed = sign("unconscious, no next of kin").unwrap();
        let read = Justification::verify(&signed, signer.public()).unwrap();
        assert_eq!((read.subject(), read.agreement(), read.time()), (&subject, &agreement, now));
        assert_eq!(read.text(), "unconscious, no next of kin");
        assert_eq!(format!("{read:?}"), "Justification { len: 27, .. }");

        assert_eq!(Justification::verify(&signed, other.public()), Err(CoseError::Kid));
        for bit in 0..signed.len() * 8 {
            let mut altered = signed.clone();
            altered[bit / 8] ^= 1 << (bit % 8);
            assert!(Justification::verify(&altered, signer.public()).is_err(), "bit {bit}");
        }
        let longest = "a".repeat(4_096);
        assert!(Justification::verify(&sign(&longest).unwrap(), signer.public()).is_ok());
        assert_eq!((sign(""), sign(&format!("{longest}a"))), (None, None));
        let long = [&b"\x84\x58\x20"[..], &[7; 32], b"\x58\x20", &[8; 32], b"\x05\x59\x10\x01"].concat();
        let too_long: Vec<u8> = long.into_iter().chain([b'a'; 4_097]).collect();
        for payload in [&b"\x80"[..], b"\xa0", &too_long] {
            let signed = sign1::document(&signer, LABEL.as_bytes(), payload).unwrap();
            assert_eq!(Justification::verify(&signed, signer.public()), Err(CoseError::Shape));
        }
        let elsewhere = sign1::document(&signer, deedbox_crypto::label::RULE.as_bytes(), b"\x84").unwrap();
        assert_eq!(Justification::verify(&elsewhere, signer.public()), Err(CoseError::BadSignature));
        assert_eq!(Justification::verify(&vec![0; MAX_JUSTIFICATION + 1], signer.public()), Err(CoseError::Shape));
    }
}
