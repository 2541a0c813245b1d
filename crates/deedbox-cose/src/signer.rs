use core::fmt;

use deedbox_crypto::{secret::SecretBytes, sign::SigningKey};
use rand_core::CryptoRng;

use crate::{Algorithm, CoseError, SignError, VerifyKey};

/// Who can sign: a key in memory, a device's secure element, a service.
pub trait Signer {
    /// The key that verifies what this signer signs.
    fn public(&self) -> &VerifyKey;

    /// Signs `to_be_signed`.
    ///
    /// # Errors
    /// [`SignError::Unavailable`] when the signer can't or won't sign.
    fn sign(&self, to_be_signed: &[u8]) -> Result<SignatureBytes, SignError>;
}

impl<T: Signer + ?Sized> Signer for &T {
    fn public(&self) -> &VerifyKey {
        (**self).public()
    }

    fn sign(&self, to_be_signed: &[u8]) -> Result<SignatureBytes, SignError> {
        (**self).sign(to_be_signed)
    }
}

/// What a signature can be verified with. Implemented by [`VerifyKey`].
pub trait Verifier {
    /// The one algorithm of the key.
    fn algorithm(&self) -> Algorithm;

    /// Verifies `signature` over `to_be_signed`.
    ///
    /// # Errors
    /// [`CoseError::BadSignature`], whatever is wrong with it.
    fn verify(&self, to_be_signed: &[u8], signature: &[u8]) -> Result<(), CoseError>;
}

impl<T: Verifier + ?Sized> Verifier for &T {
    fn algorithm(&self) -> Algorithm {
        (**self).algorithm()
    }

    fn verify(&self, to_be_signed: &[u8], signature: &[u8]) -> Result<(), CoseError> {
        (**self).verify(to_be_signed, signature)
    }
}

/// A signature: 64 bytes of Ed25519 or ES256, 96 of ES384.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct SignatureBytes(Form);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Long([u8; 96]),
    Short([u8; 64]),
}

impl SignatureBytes {
    /// The bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8] {
        match &self.0 {
            Form::Long(bytes) => bytes,
            Form::Short(bytes) => bytes,
        }
    }
}

impl From<[u8; 64]> for SignatureBytes {
    fn from(bytes: [u8; 64]) -> Self {
        Self(Form::Short(bytes))
    }
}

impl From<[u8; 96]> for SignatureBytes {
    fn from(bytes: [u8; 96]) -> Self {
        Self(Form::Long(bytes))
    }
}

/// Prints the length: a signature links those who hold it.
impl fmt::Debug for SignatureBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SignatureBytes").field("len", &self.as_bytes().len()).finish_non_exhaustive()
    }
}

/// Signs with an Ed25519 key in memory. The key is wiped when the signer is dropped, and can't be cloned:
///
/// ```compile_fail
/// fn twice(signer: deedbox_cose::LocalSigner) -> deedbox_cose::LocalSigner {
///     signer.clone()
/// }
/// ```
pub struct LocalSigner {
    key: SigningKey,
    public: VerifyKey,
}

impl LocalSigner {
    /// The signer of the key that `seed` stands for (RFC 8032 §5.1.5).
    #[must_use]
    pub fn from_seed(seed: &SecretBytes<32>) -> Self {
        Self::of(SigningKey::from_seed(seed))
    }

    /// A signer with a fresh key.
    pub fn generate(rng: &mut impl CryptoRng) -> Self {
        Self::of(SigningKey::generate(rng))
    }

    fn of(key: SigningKey) -> Self {
        let public = VerifyKey::from_ed25519(key.public());
        Self { key, public }
    }
}

impl Signer for LocalSigner {
    fn public(&self) -> &VerifyKey {
        &self.public
    }

    fn sign(&self, to_be_signed: &[u8]) -> Result<SignatureBytes, SignError> {
        Ok(self.key.sign(to_be_signed).into())
    }
}

impl fmt::Debug for LocalSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalSigner").finish_non_exhaustive()
    }
}
