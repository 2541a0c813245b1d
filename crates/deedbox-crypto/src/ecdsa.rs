//! ECDSA on P-256 with SHA-256 and on P-384 with SHA-384 (FIPS 186-5): verification of other people's signatures.

macro_rules! verifier {
    ($feature:literal, $curve:ident, $name:ident, $coordinate:literal, $doc:literal) => {
        #[doc = $doc]
        #[cfg(feature = $feature)]
        #[derive(Clone, PartialEq, Eq)]
        pub struct $name($curve::ecdsa::VerifyingKey);

        #[cfg(feature = $feature)]
        impl $name {
            /// The key of an affine point, each coordinate big-endian.
            ///
            /// # Errors
            /// [`crate::Rejected`] for a point that is not on the curve.
            pub fn from_affine(x: &[u8; $coordinate], y: &[u8; $coordinate]) -> Result<Self, crate::Rejected> {
                let mut point = alloc::vec![4];
                point.extend_from_slice(x);
                point.extend_from_slice(y);
                $curve::ecdsa::VerifyingKey::from_sec1_bytes(&point).map(Self).map_err(|_| crate::Rejected)
            }

            /// Verifies r ‖ s of fixed length over the hash of `message`.
            ///
            /// # Errors
            /// [`crate::Rejected`].
            pub fn verify(&self, message: &[u8], signature: &[u8; 2 * $coordinate]) -> Result<(), crate::Rejected> {
                use $curve::ecdsa::signature::Verifier as _;
                let signature = $curve::ecdsa::Signature::from_slice(signature).map_err(|_| crate::Rejected)?;
                self.0.verify(message, &signature).map_err(|_| crate::Rejected)
            }
        }

        #[cfg(feature = $feature)]
        impl core::fmt::Debug for $name {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                f.debug_struct(stringify!($name)).finish_non_exhaustive()
            }
        }
    };
}

verifier!("es256", p256, P256Key, 32, "A P-256 public key, on the curve.");
verifier!("es384", p384, P384Key, 48, "A P-384 public key, on the curve.");
