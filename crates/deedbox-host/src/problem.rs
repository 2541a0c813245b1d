//! Errors as problem details (RFC 9457), written by hosts and read by clients.

use deedbox_model::Timestamp;
use deedbox_store::{Class, StorageError};
use serde_json::{Map, Value};

use crate::error::HostError;

/// Media type of an error.
pub const PROBLEM: &str = "application/problem+json";

/// Header: bytes of a blob in all.
pub const BLOB_LENGTH: &str = "deedbox-blob-length";

/// Header: whether a blob is sealed, `?1` or `?0` (RFC 9651 §3.3.6).
pub const BLOB_SEALED: &str = "deedbox-blob-sealed";

const CLASSES: [Class; 7] =
    [Class::Blobs, Class::Datasets, Class::Header, Class::Mail, Class::Objects, Class::Rows, Class::Store];

impl HostError {
    /// The error as `application/problem+json`: `title`, `status`, `code`, and what a client needs to go on: `class`,
    /// `have`, `limit`, `now`, `retry`, `retry_after`.
    #[must_use]
    pub fn to_problem(&self) -> String {
        let mut members = Map::new();
        members.insert("title".to_owned(), self.to_string().into());
        members.insert("status".to_owned(), self.status().into());
        members.insert("code".to_owned(), self.code().into());
        let (name, value): (&str, Value) = match self {
            Self::ClockSkew { now } => ("now", now.secs().into()),
            Self::OverQuota(class) => ("class", format!("{class:?}").into()),
            Self::Storage(error) => ("retry", error.is_retryable().into()),
            Self::TooLarge { limit } => ("limit", (*limit).into()),
            Self::TooMany { retry_after } => ("retry_after", (*retry_after).into()),
            Self::WrongOffset { have } => ("have", (*have).into()),
            _ => return Value::Object(members).to_string(),
        };
        members.insert(name.to_owned(), value);
        Value::Object(members).to_string()
    }

    /// The reverse of [`HostError::to_problem`]; anything else is [`HostError::Unreachable`]. What failed in a host's
    /// storage stays there: such an error comes back as `Storage(Unavailable)`.
    #[must_use]
    pub fn from_problem(problem: &[u8]) -> Self {
        Self::read_problem(problem).unwrap_or(Self::Unreachable)
    }

    fn read_problem(problem: &[u8]) -> Option<Self> {
        let members: Map<String, Value> = serde_json::from_slice(problem).ok()?;
        let number = |name: &str| members.get(name)?.as_u64();
        Some(match members.get("code")?.as_str()? {
            "ClockSkew" => Self::ClockSkew { now: Timestamp::from_secs(number("now")?) },
            "Conflict" => Self::Conflict,
            "Expired" => Self::Expired,
            "HeadMismatch" => Self::HeadMismatch,
            "Malformed" => Self::Malformed,
            "NotFound" => Self::NotFound,
            "NotPermitted" => Self::NotPermitted,
            "NotYet" => Self::NotYet,
            "OverQuota" => {
                let class = members.get("class")?.as_str()?;
                Self::OverQuota(CLASSES.into_iter().find(|known| format!("{known:?}") == class)?)
            }
            "Paused" => Self::Paused,
            "Revoked" => Self::Revoked,
            "Storage" => Self::Storage(StorageError::Unavailable { retry: members.get("retry")?.as_bool()? }),
            "TooLarge" => Self::TooLarge { limit: number("limit")? },
            "TooMany" => Self::TooMany { retry_after: u32::try_from(number("retry_after")?).ok()? },
            "Unauthenticated" => Self::Unauthenticated,
            "WrongOffset" => Self::WrongOffset { have: number("have")? },
            _ => return None,
        })
    }
}

/// A proof as the value of the header `Authorization`: `Deedbox` and lower-case hex.
#[must_use]
pub fn authorization(proof: &[u8]) -> String {
    use std::fmt::Write as _;
    let mut value = "Deedbox ".to_owned();
    for byte in proof {
        // writing to a string cannot fail
        let _ = write!(value, "{byte:02x}");
    }
    value
}

/// The reverse of [`authorization`].
#[must_use]
pub fn proof_of(authorization: &str) -> Option<Vec<u8>> {
    let hex = authorization.strip_prefix("Deedbox ")?;
    let digit = |byte: &u8| match byte {
        b'0'..=b'9' => Some(byte.wrapping_sub(b'0')),
        b'a'..=b'f' => Some(byte.wrapping_sub(b'a').wrapping_add(10)),
        _ => None,
    };
    let (pairs, rest) = hex.as_bytes().as_chunks::<2>();
    let bytes = pairs.iter().map(|[high, low]| Some(digit(high)? << 4 | digit(low)?)).collect();
    if rest.is_empty() { bytes } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One of each variant.
    pub(crate) fn errors() -> Vec<HostError> {
        let all = vec![
            HostError::ClockSkew { now: Timestamp::from_secs(7) },
            HostError::Conflict,
            HostError::Expired,
            HostError::HeadMismatch,
            HostError::Malformed,
            HostError::NotFound,
            HostError::NotPermitted,
            HostError::NotYet,
            HostError::OverQuota(Class::Mail),
            HostError::Paused,
            HostError::Revoked,
            HostError::Storage(StorageError::Unavailable { retry: true }),
            HostError::TooLarge { limit: 9 },
            HostError::TooMany { retry_after: 3 },
            HostError::Unauthenticated,
            HostError::Unreachable,
            HostError::WrongOffset { have: 5 },
        ];
        assert_eq!(all.iter().map(HostError::code).collect::<Vec<_>>(), crate::error::CODES);
        all
    }

    #[test]
    fn every_error_comes_back_as_itself() {
        for error in errors() {
            let back = HostError::from_problem(error.to_problem().as_bytes());
            assert_eq!(format!("{back:?}"), format!("{error:?}"));
        }
        for class in CLASSES {
            let back = HostError::from_problem(HostError::OverQuota(class).to_problem().as_bytes());
            assert!(matches!(back, HostError::OverQuota(back) if back == class));
        }
        for other in ["", "{}", "[]", "{\"code\":\"Other\"}", "{\"code\":\"TooLarge\",\"limit\":-1}"] {
            assert!(matches!(HostError::from_problem(other.as_bytes()), HostError::Unreachable), "{other}");
        }
    }

    #[test]
    fn a_proof_comes_back_as_itself() {
        let proof: Vec<u8> = (0..=255).collect();
        assert_eq!(proof_of(&authorization(&proof)), Some(proof));
        for other in ["", "Deedbox", "deedbox 00", "Deedbox 0", "Deedbox 0A", "Deedbox  00", "Bearer 00"] {
            assert_eq!(proof_of(other), None, "{other}");
        }
    }
}
