//! What one side is willing to speak.

use alloc::vec::Vec;

#[cfg(feature = "pq")]
use crate::suite::HYBRID;
use crate::{error::ProfileError, suite::CLASSIC};

/// The methods, suites and EAD labels of one side, by preference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profile {
    suites: Vec<i32>,
    known_ead: Vec<u32>,
}

impl Profile {
    /// Method 0 with suite -21 (feature `pq`: X-Wing for X25519), then suite 4 (ChaCha20-Poly1305, SHA-256, X25519, Ed25519);
    /// no EAD but padding.
    #[must_use]
    pub fn production() -> Self {
        Self { suites: PRODUCTION.to_vec(), known_ead: Vec::new() }
    }

    /// With exactly these suites, the preferred one first.
    ///
    /// # Errors
    /// [`ProfileError`]: 1 to 8 distinct suites that this build has.
    pub fn with_suites(mut self, suites: &[i32]) -> Result<Self, ProfileError> {
        if suites.is_empty() || suites.len() > MAX_SUITES {
            return Err(ProfileError::Length);
        }
        if suites.iter().enumerate().any(|(at, suite)| suites.iter().skip(at + 1).any(|other| other == suite)) {
            return Err(ProfileError::Duplicate);
        }
        if suites.iter().any(|suite| !AVAILABLE.contains(suite)) {
            return Err(ProfileError::UnsupportedSuite);
        }
        self.suites = suites.to_vec();
        Ok(self)
    }

    /// With these EAD labels understood, whether they come as critical or not.
    #[must_use]
    pub fn with_known_ead(mut self, labels: &[i32]) -> Self {
        self.known_ead = labels.iter().map(|label| label.unsigned_abs()).collect();
        self
    }

    /// The suites, the preferred one first.
    #[must_use]
    pub fn suites(&self) -> &[i32] {
        &self.suites
    }

    pub(crate) fn supports_method(&self, method: i32) -> bool {
        method == METHOD
    }

    pub(crate) fn supports(&self, suite: i32) -> bool {
        self.suites.contains(&suite)
    }

    /// Own list up to and with `suite`.
    pub(crate) fn up_to(&self, suite: i32) -> Option<Vec<i32>> {
        let at = self.suites.iter().position(|own| *own == suite)?;
        self.suites.get(..=at).map(<[i32]>::to_vec)
    }

    pub(crate) fn knows(&self, label: i32) -> bool {
        label >= 0 || self.known_ead.contains(&label.unsigned_abs())
    }
}

/// Method 0: both sides sign.
pub(crate) const METHOD: i32 = 0;
/// Most suites in a list.
pub(crate) const MAX_SUITES: usize = 8;
#[cfg(feature = "pq")]
const PRODUCTION: &[i32] = &[HYBRID, CLASSIC];
#[cfg(not(feature = "pq"))]
const PRODUCTION: &[i32] = &[CLASSIC];
const AVAILABLE: &[i32] = PRODUCTION;
