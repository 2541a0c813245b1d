//! Errors, what the peer is told, and the way to another suite.

use alloc::vec::Vec;

use deedbox_cbor::{CborError, Writer};

use crate::profile::Profile;

/// Why a message was not taken, or could not be made. The first fault found, left to right, is the one named.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EdhocError {
    /// A tag, MAC or signature is wrong; which is not told. Drop the session, and alert if it repeats.
    #[error("not authentic")]
    Authentication,
    /// An EAD item that must be understood is not on the profile's list. Drop the session.
    #[error("critical external authorization data is not understood")]
    CriticalEad,
    /// The Initiator chose a suite although an earlier one of its list is supported: somebody forged an error message, or
    /// the peer is faulty. Drop the session.
    #[error("an earlier suite of the list is supported")]
    Downgrade,
    /// A number, length or count is over its limit. Drop the session.
    #[error("a limit is exceeded")]
    LimitExceeded,
    /// The peer's ephemeral key is of low order. Drop the session, and alert.
    #[error("ephemeral key of low order")]
    LowOrderPoint,
    /// Bytes that are no such message. Drop the session.
    #[error("malformed message")]
    Malformed,
    /// No suite of one's own is among those the Responder supports. Update one side.
    #[error("no common suite")]
    NoCommonSuite,
    /// The peer answered with an error message. Its `code` is a claim to log, not a fact: anyone can forge it.
    #[error("the peer claims error {code}")]
    PeerError {
        /// The error code as received.
        code: i32,
    },
    /// The peer presents one's own key or credential: a reflection. Drop the session, and alert.
    #[error("the peer presents one's own identity")]
    SelfPeer,
    /// The signer did not sign, or signs with another key than the credential's. Check the keys and start anew.
    #[error("signing failed")]
    Signer,
    /// The application does not know the credential. Tell the person, or update what is known.
    #[error("credential is not known")]
    UnknownCredential,
    /// A way to name a credential that this version does not have. Drop the session.
    #[error("credential identifier of a kind that is not supported")]
    UnsupportedCredential,
    /// A method outside the profile. Drop the session.
    #[error("method is not supported")]
    UnsupportedMethod,
    /// The chosen suite is outside the profile; the reply tells the peer which are in it.
    #[error("suite is not supported")]
    UnsupportedSuite,
}

impl EdhocError {
    /// The variant's name, stable once released.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Authentication => "Authentication",
            Self::CriticalEad => "CriticalEad",
            Self::Downgrade => "Downgrade",
            Self::LimitExceeded => "LimitExceeded",
            Self::LowOrderPoint => "LowOrderPoint",
            Self::Malformed => "Malformed",
            Self::NoCommonSuite => "NoCommonSuite",
            Self::PeerError { .. } => "PeerError",
            Self::SelfPeer => "SelfPeer",
            Self::Signer => "Signer",
            Self::UnknownCredential => "UnknownCredential",
            Self::UnsupportedCredential => "UnsupportedCredential",
            Self::UnsupportedMethod => "UnsupportedMethod",
            Self::UnsupportedSuite => "UnsupportedSuite",
        }
    }

    /// The error message of RFC 9528 §6 that answers this error.
    fn reply(self, suites: &[i32]) -> Option<Vec<u8>> {
        let mut writer = Writer::new();
        match self {
            Self::PeerError { .. } | Self::NoCommonSuite => return None,
            Self::UnsupportedSuite | Self::Downgrade => {
                writer.uint(2);
                write_suites(&mut writer, suites);
            }
            Self::UnknownCredential => {
                writer.uint(3).bool(true);
            }
            _ => {
                writer.uint(1).text("rejected");
            }
        }
        Some(writer.into_vec())
    }
}

impl From<CborError> for EdhocError {
    fn from(error: CborError) -> Self {
        match error {
            CborError::TooDeep { .. } | CborError::TooLong { .. } => Self::LimitExceeded,
            _ => Self::Malformed,
        }
    }
}

/// A handshake that ended: why, what to send to the peer, and whether to try again with another suite.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{error}")]
#[non_exhaustive]
pub struct Failed {
    /// Why.
    pub error: EdhocError,
    /// The error message for the peer, if it is told anything.
    pub reply: Option<Vec<u8>>,
    /// The Responder named a suite that is supported here: the one retry that is allowed.
    pub retry: Option<Retry>,
}

impl Failed {
    pub(crate) fn new(error: EdhocError, profile: &Profile) -> Self {
        Self { error, reply: error.reply(profile.suites()), retry: None }
    }
}

/// Leave to send one more message_1, with a suite the Responder claims to support.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retry {
    pub(crate) suite: i32,
}

impl Retry {
    /// The suite to be chosen.
    #[must_use]
    pub const fn suite(&self) -> i32 {
        self.suite
    }
}

/// Why a profile could not be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProfileError {
    /// A suite is named twice.
    #[error("a suite is named twice")]
    Duplicate,
    /// None, or more than eight suites, or more EAD labels than allowed.
    #[error("wrong number of suites or labels")]
    Length,
    /// A suite that this build does not have, or that is not in the profile.
    #[error("suite is not supported")]
    UnsupportedSuite,
}

impl ProfileError {
    /// The variant's name, stable once released.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Duplicate => "Duplicate",
            Self::Length => "Length",
            Self::UnsupportedSuite => "UnsupportedSuite",
        }
    }
}

/// Why no key was exported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ExportError {
    /// More than 8,160 bytes were asked for; the output is untouched.
    #[error("more than 8160 bytes asked for")]
    TooLong,
}

impl ExportError {
    /// The variant's name, stable once released.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::TooLong => "TooLong",
        }
    }
}

/// Why a stored state was not taken up again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StoredError {
    /// Not bytes that `into_stored` of this state gave. Start a new handshake.
    #[error("not a stored state of this kind")]
    Malformed,
    /// The profile no longer fits the state. Start a new handshake.
    #[error("the profile does not fit the stored state")]
    Profile,
}

impl StoredError {
    /// The variant's name, stable once released.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Malformed => "Malformed",
            Self::Profile => "Profile",
        }
    }
}

/// A credential that cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CredentialError {
    /// The key inside is not an Ed25519 key that can be used.
    #[error("no usable key")]
    Key,
    /// Not one CBOR item, or not of the shape asked for, or too long.
    #[error("malformed credential")]
    Malformed,
}

impl CredentialError {
    /// The variant's name, stable once released.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Key => "Key",
            Self::Malformed => "Malformed",
        }
    }
}

/// SUITES_I and SUITES_R: one suite as an int, more as an array.
pub(crate) fn write_suites(writer: &mut Writer, suites: &[i32]) {
    if let [one] = suites {
        writer.int(i64::from(*one));
    } else {
        writer.array(suites.len());
        for suite in suites {
            writer.int(i64::from(*suite));
        }
    }
}
