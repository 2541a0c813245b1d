//! What one side is willing to speak.

use alloc::vec::Vec;

#[cfg(feature = "pq")]
use crate::suite::HYBRID;
use crate::{
    error::ProfileError,
    suite::{CLASSIC, fits},
};

/// The methods, suites and EAD labels of one side, by preference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profile {
    methods: Vec<i32>,
    suites: Vec<i32>,
    known_ead: Vec<u32>,
}

impl Profile {
    /// Method 0 with suite -21 (feature `pq`: X-Wing for X25519), then suite 4 (ChaCha20-Poly1305, SHA-256, X25519, Ed25519);
    /// no EAD but padding.
    #[must_use]
    pub fn production() -> Self {
        Self { methods: [0].to_vec(), suites: PRODUCTION.to_vec(), known_ead: Vec::new() }
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

    /// With exactly these methods of 0 to 3, for vectors and live peers; an Initiator takes the first. Of methods 1 to 3 no
    /// state can be stored: `from_stored` refuses what `into_stored` gave.
    #[cfg(feature = "test-suites")]
    #[must_use]
    pub fn with_methods(mut self, methods: &[i32]) -> Self {
        self.methods = methods.iter().copied().filter(|method| (0..=3).contains(method)).collect();
        self
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
        self.methods.contains(&method)
    }

    pub(crate) fn supports(&self, method: i32, suite: i32) -> bool {
        self.suites.contains(&suite) && fits(method, suite)
    }

    /// The method of an Initiator: 0, but for vectors and live peers.
    pub(crate) fn method(&self) -> i32 {
        self.methods.first().copied().unwrap_or_default()
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

/// Most suites in a list.
pub(crate) const MAX_SUITES: usize = 8;
#[cfg(feature = "pq")]
const PRODUCTION: &[i32] = &[HYBRID, CLASSIC];
#[cfg(not(feature = "pq"))]
const PRODUCTION: &[i32] = &[CLASSIC];
#[cfg(not(feature = "test-suites"))]
const AVAILABLE: &[i32] = PRODUCTION;
#[cfg(all(feature = "test-suites", feature = "pq"))]
const AVAILABLE: &[i32] = &[HYBRID, CLASSIC, 0, 2, 3];
#[cfg(all(feature = "test-suites", not(feature = "pq")))]
const AVAILABLE: &[i32] = &[CLASSIC, 0, 2, 3];
