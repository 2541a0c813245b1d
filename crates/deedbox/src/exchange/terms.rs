use core::fmt;

#[cfg(feature = "provider")]
use deedbox_cbor::Writer;
use deedbox_cbor::{Limits, Order, read};
use deedbox_consent::Terms;
#[cfg(feature = "provider")]
use deedbox_cose::Signer;
use deedbox_cose::{CoseError, VerifyKey, sign1};
use deedbox_crypto::label::TERMS as LABEL;
use deedbox_model::{Digest, Timestamp};

/// Terms that a party offers in the place of those in force, signed; made only by [`SignedTerms::verify`]. Whether they may take
/// that place without the person's signature is another question.
///
/// ```cddl
/// signed-terms = COSE_Sign1, external_aad "deedbox/1 terms" 00, payload [agreement: b32, time: uint, bstr .cbor terms]
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct SignedTerms {
    agreement: Digest,
    time: Timestamp,
    terms: Terms,
}

impl SignedTerms {
    /// Signs terms under an agreement; `None` when they would be longer than [`SignedTerms::verify`] takes, or for a signer that
    /// can't sign.
    #[cfg(feature = "provider")]
    pub(crate) fn sign(
        terms: &Terms,
        agreement: &Digest,
        now: Timestamp,
        signer: &(impl Signer + ?Sized),
    ) -> Option<Vec<u8>> {
        let mut payload = Writer::new();
        agreement.encode(payload.array(3));
        now.encode(&mut payload);
        payload.bytes(&terms.to_bytes());
        let signed = sign1::document(signer, LABEL.as_bytes(), payload.as_slice()).ok()?;
        (signed.len() <= MAX_TERMS).then_some(signed)
    }

    /// Verifies terms that the owner of `key` signed, of at most 255 KiB with the signature: a record holds them word for word.
    ///
    /// # Errors
    /// [`CoseError::Shape`] for what are none, before and after the signature is looked at; see [`sign1::open_document`].
    pub fn verify(bytes: &[u8], key: &VerifyKey) -> Result<Self, CoseError> {
        if bytes.len() > MAX_TERMS {
            return Err(CoseError::Shape);
        }
        Self::parse(sign1::open_document(bytes, key, LABEL.as_bytes())?).ok_or(CoseError::Shape)
    }

    /// Digest of the agreement under which they are offered.
    #[must_use]
    pub const fn agreement(&self) -> &Digest {
        &self.agreement
    }

    /// When they were signed, by the party's clock: of two offers the later one counts.
    #[must_use]
    pub const fn time(&self) -> Timestamp {
        self.time
    }

    /// The terms.
    #[must_use]
    pub const fn terms(&self) -> &Terms {
        &self.terms
    }

    fn parse(payload: &[u8]) -> Option<Self> {
        let item = read(payload, Order::Canonical, &Limits::new(MAX_TERMS)).ok()?;
        let [agreement, time, terms] = item.as_array()?.exactly()?;
        Some(Self {
            agreement: Digest::decode(agreement)?,
            time: Timestamp::decode(time)?,
            terms: Terms::from_bytes(terms.as_bytes()?).ok()?,
        })
    }
}

/// Prints how many permissions there are, and nothing of them: they tell who is to know what.
impl fmt::Debug for SignedTerms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SignedTerms").field("permissions", &self.terms.permissions().len()).finish_non_exhaustive()
    }
}

/// What a record can hold, with what it says of it.
const MAX_TERMS: usize = 255 << 10;

#[cfg(all(test, feature = "provider"))]
mod tests {
    use deedbox_consent::{Action, Basis, Permission, Selector, To};
    use deedbox_cose::{LocalSigner, Signer as _};
    use deedbox_model::Name;
    use deedbox_testkit::rng::SeededRng;

    use super::*;

    fn name(text: &str) -> Name {
        Name::parse(text).unwrap()
    }

    fn terms(permissions: usize) -> Terms {
        let permission = |n: usize| {
            Permission::new(name(&format!("p{n}")), To::Party(name("bank")), name("debt"), Basis::CONTRACT)
                .actions(Action::Read)
                .fields(Selector::of([name("contact")]))
                .between(Timestamp::from_secs(1), Timestamp::from_secs(2))
                .retention(0)
        };
        let none = Digest::from_bytes([0; 32]);
        Terms::new(name("bank"), (0..permissions).map(permission), none, none).unwrap()
    }

    #[test]
    fn offered_terms_verify_unless_a_bit_is_another_or_the_key_is() {
        let mut rng = SeededRng::new(1);
        let (signer, other) = (LocalSigner::generate(&mut rng), LocalSigner::generate(&mut rng));
        let (agreement, now) = (Digest::from_bytes([8; 32]), Timestamp::from_secs(5));
        let sign = |terms: &Terms| SignedTerms::sign(terms, &agreement, now, &signer);
        let signed = sign(&terms(2)).unwrap();
        let read = SignedTerms::verify(&signed, signer.public()).unwrap();
        assert_eq!((read.agreement(), read.time(), read.terms()), (&agreement, now, &terms(2)));
        assert_eq!(format!("{read:?}"), "SignedTerms { permissions: 2, .. }");

        assert_eq!(SignedTerms::verify(&signed, other.public()), Err(CoseError::Kid));
        for bit in 0..signed.len() * 8 {
            let mut altered = signed.clone();
            altered[bit / 8] ^= 1 << (bit % 8);
            assert!(SignedTerms::verify(&altered, signer.public()).is_err(), "bit {bit}");
        }
        let within = sign(&terms(3_000)).unwrap();
        assert!(SignedTerms::verify(&within, signer.public()).is_ok());
        assert_eq!(sign(&terms(6_000)), None);
        let two = [&b"\x82\x58\x20"[..], &[8; 32], b"\x05"].concat();
        let no_terms = [&b"\x83\x58\x20"[..], &[8; 32], b"\x05\x41\xa0"].concat();
        for payload in [&b"\x80"[..], b"\xa0", &two, &no_terms] {
            let signed = sign1::document(&signer, LABEL.as_bytes(), payload).unwrap();
            assert_eq!(SignedTerms::verify(&signed, signer.public()), Err(CoseError::Shape));
        }
        let elsewhere = sign1::document(&signer, deedbox_crypto::label::RULE.as_bytes(), b"\x83").unwrap();
        assert_eq!(SignedTerms::verify(&elsewhere, signer.public()), Err(CoseError::BadSignature));
        assert_eq!(SignedTerms::verify(&vec![0; MAX_TERMS + 1], signer.public()), Err(CoseError::Shape));
    }
}
