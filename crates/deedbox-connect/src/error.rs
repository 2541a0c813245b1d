//! Errors of connections, and what the peer is told.

use alloc::vec::Vec;

use deedbox_edhoc::EdhocError;

/// Why an invitation, agreement, record or step was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The agreement is not the one its hash, keys, terms or invitation ask for. The session is dropped; alert.
    #[error("agreement does not fit")]
    AgreementMismatch,
    /// The six digits are wrong. Ask the person to look again, while tries are left.
    #[error("check code is wrong")]
    CheckCodeWrong,
    /// The handshake failed.
    #[error("handshake: {0}")]
    Edhoc(EdhocError),
    /// The connection has ended, and stays so.
    #[error("connection has ended")]
    Ended,
    /// Sealed under keys that this device does not have. Keep the bytes, and try again after the devices have synced.
    #[error("keys of the message are not known")]
    EpochUnknown,
    /// Too late: an invitation, agreement, message or try whose time is over.
    #[error("expired")]
    Expired,
    /// The invitation is not the one that the link names. Stop, and warn the person.
    #[error("invitation does not fit its link")]
    InvitationMismatch,
    /// The invitation was used up by others. Ask for a new one.
    #[error("invitation is used up")]
    InvitationUsed,
    /// A length or count is over its limit.
    #[error("a limit is exceeded")]
    LimitExceeded,
    /// Not bytes of the form that is expected here.
    #[error("malformed")]
    Malformed,
    /// No handshake has made keys for sealed messages under the agreement that holds. Open a session.
    #[error("no keys for sealed messages")]
    NoEpoch,
    /// Right in form, but not in this state.
    #[error("not in this state")]
    NotNow,
    /// The peer refused: 0 no reason given, 1 the terms, 2 the check code.
    #[error("the peer refused, reason {0}")]
    Refused(u8),
    /// A signature, tag or key is wrong; which is not told. Stop, and alert if it repeats.
    #[error("rejected")]
    Rejected,
    /// The record or message was opened before, or is too old to tell.
    #[error("replayed record")]
    Replay,
    /// The stream has no numbers left. Load the session again, or open a new one.
    #[error("no sequence numbers left")]
    SequenceExhausted,
    /// The session has lived its 24 hours. Open a new one.
    #[error("session is over")]
    SessionOver,
    /// The signer did not sign.
    #[error("signing failed")]
    Signer,
}

impl ConnectError {
    /// The variant's name, stable once released; for a failed handshake that of its error. [`Self::Edhoc`] is the prefix.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::AgreementMismatch => "AgreementMismatch",
            Self::CheckCodeWrong => "CheckCodeWrong",
            Self::Edhoc(error) => edhoc_code(error),
            Self::Ended => "Ended",
            Self::EpochUnknown => "EpochUnknown",
            Self::Expired => "Expired",
            Self::InvitationMismatch => "InvitationMismatch",
            Self::InvitationUsed => "InvitationUsed",
            Self::LimitExceeded => "LimitExceeded",
            Self::Malformed => "Malformed",
            Self::NoEpoch => "NoEpoch",
            Self::NotNow => "NotNow",
            Self::Refused(_) => "Refused",
            Self::Rejected => "Rejected",
            Self::Replay => "Replay",
            Self::SequenceExhausted => "SequenceExhausted",
            Self::SessionOver => "SessionOver",
            Self::Signer => "Signer",
        }
    }
}

impl From<EdhocError> for ConnectError {
    fn from(error: EdhocError) -> Self {
        Self::Edhoc(error)
    }
}

/// A step that did not succeed: why, and the transport body to send back, if the peer is told anything.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{error}")]
#[non_exhaustive]
pub struct Failed {
    /// Why.
    pub error: ConnectError,
    /// For the peer.
    pub reply: Option<Vec<u8>>,
}

impl From<ConnectError> for Failed {
    fn from(error: ConnectError) -> Self {
        Self { error, reply: None }
    }
}

const fn edhoc_code(error: &EdhocError) -> &'static str {
    match error {
        EdhocError::Authentication => "Edhoc.Authentication",
        EdhocError::CriticalEad => "Edhoc.CriticalEad",
        EdhocError::Downgrade => "Edhoc.Downgrade",
        EdhocError::LimitExceeded => "Edhoc.LimitExceeded",
        EdhocError::LowOrderPoint => "Edhoc.LowOrderPoint",
        EdhocError::Malformed => "Edhoc.Malformed",
        EdhocError::NoCommonSuite => "Edhoc.NoCommonSuite",
        EdhocError::PeerError { .. } => "Edhoc.PeerError",
        EdhocError::SelfPeer => "Edhoc.SelfPeer",
        EdhocError::Signer => "Edhoc.Signer",
        EdhocError::UnknownCredential => "Edhoc.UnknownCredential",
        EdhocError::UnsupportedCredential => "Edhoc.UnsupportedCredential",
        EdhocError::UnsupportedMethod => "Edhoc.UnsupportedMethod",
        EdhocError::UnsupportedSuite => "Edhoc.UnsupportedSuite",
        _ => "Edhoc",
    }
}
