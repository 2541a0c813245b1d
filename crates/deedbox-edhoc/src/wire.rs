//! Reading and writing the parts of messages, RFC 9528 §3 and §5.

use alloc::vec::Vec;

use deedbox_cbor::{Item, Kind, Limits, Order, Writer, read_first};

use crate::{
    credential::IdCred,
    error::EdhocError,
    profile::{MAX_SUITES, Profile},
};

/// Longest message in bytes.
pub const MAX_MESSAGE: usize = 16_384;
/// Longest CIPHERTEXT_2 in bytes: what one keystream covers.
pub(crate) const MAX_CIPHERTEXT_2: usize = 8_160;
/// Bytes of an Ed25519 signature.
pub(crate) const SIGNATURE_LEN: usize = 64;
const MAX_EAD: usize = 8;
const MAX_C: usize = 16;
const MAX_KID: usize = 32;
const LIMITS: Limits = Limits::new(MAX_MESSAGE).with_depth(8);

/// A connection identifier, C_I or C_R (RFC 9528 §3.3.2): up to 16 bytes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(Vec<u8>);

impl ConnectionId {
    /// Takes the bytes; `None` above 16.
    #[must_use]
    pub fn new(bytes: &[u8]) -> Option<Self> {
        (bytes.len() <= MAX_C).then(|| Self(bytes.to_vec()))
    }

    /// The bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    pub(crate) fn write(&self, writer: &mut Writer) {
        write_short(writer, &self.0);
    }
}

/// One item of external authorization data (RFC 9528 §3.8). A negative label is critical; label 0 is padding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ead {
    label: i32,
    value: Option<Vec<u8>>,
}

impl Ead {
    /// An item.
    #[must_use]
    pub const fn new(label: i32, value: Option<Vec<u8>>) -> Self {
        Self { label, value }
    }

    /// Its label.
    #[must_use]
    pub const fn label(&self) -> i32 {
        self.label
    }

    /// Its value, if it has one.
    #[must_use]
    pub fn value(&self) -> Option<&[u8]> {
        self.value.as_deref()
    }
}

/// `ead-items` of one field.
pub(crate) fn write_ead(items: &[Ead]) -> Result<Vec<u8>, EdhocError> {
    if items.len() > MAX_EAD {
        return Err(EdhocError::LimitExceeded);
    }
    let mut writer = Writer::new();
    for item in items {
        writer.int(i64::from(item.label));
        if let Some(value) = &item.value {
            writer.bytes(value);
        }
    }
    Ok(writer.into_vec())
}

/// A sequence read item by item, so that the first fault from the left is the one named.
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Takes a whole message.
    ///
    /// # Errors
    /// `LimitExceeded` when it is too long.
    pub(crate) fn new(bytes: &'a [u8]) -> Result<Self, EdhocError> {
        if bytes.len() > MAX_MESSAGE {
            return Err(EdhocError::LimitExceeded);
        }
        Ok(Self { rest: bytes })
    }

    pub(crate) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    fn next(&mut self) -> Result<Option<Item<'a>>, EdhocError> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let (item, rest) = read_first(self.rest, Order::Canonical, &LIMITS)?;
        self.rest = rest;
        Ok(Some(item))
    }

    pub(crate) fn item(&mut self) -> Result<Item<'a>, EdhocError> {
        self.next()?.ok_or(EdhocError::Malformed)
    }

    pub(crate) fn int(&mut self) -> Result<i32, EdhocError> {
        int(self.item()?)
    }

    pub(crate) fn bytes(&mut self) -> Result<&'a [u8], EdhocError> {
        self.item()?.as_bytes().ok_or(EdhocError::Malformed)
    }

    /// One suite, or an array of 2 to 8.
    pub(crate) fn suites(&mut self) -> Result<Vec<i32>, EdhocError> {
        let item = self.item()?;
        let Some(array) = item.as_array() else {
            return int(item).map(|suite| [suite].to_vec());
        };
        if array.len() > MAX_SUITES {
            return Err(EdhocError::LimitExceeded);
        }
        if array.len() < 2 {
            return Err(EdhocError::Malformed);
        }
        array.iter().map(int).collect()
    }

    /// C_I or C_R.
    pub(crate) fn connection_id(&mut self) -> Result<ConnectionId, EdhocError> {
        short(self.item()?, MAX_C).map(ConnectionId)
    }

    /// ID_CRED_x as it stands in a plaintext.
    pub(crate) fn id_cred(&mut self) -> Result<IdCred, EdhocError> {
        let item = self.item()?;
        let Some(map) = item.as_map() else {
            return short(item, MAX_KID).map(IdCred::from_kid);
        };
        plain(item)?;
        if map.is_empty() {
            return Err(EdhocError::Malformed);
        }
        let mut pairs = map.iter();
        let (Some((label, value)), None) = (pairs.next(), pairs.next()) else {
            return Err(EdhocError::UnsupportedCredential);
        };
        match label.as_i64() {
            // The compact form is a must.
            Some(4) => Err(EdhocError::Malformed),
            Some(13 | 14 | 33 | 34) => Ok(IdCred::from_map(item, value)),
            _ => Err(EdhocError::UnsupportedCredential),
        }
    }

    /// Signature_or_MAC_x of exactly `len` bytes.
    pub(crate) fn proof(&mut self, len: usize) -> Result<Vec<u8>, EdhocError> {
        let bytes = self.bytes()?;
        if bytes.len() == len { Ok(bytes.to_vec()) } else { Err(EdhocError::Malformed) }
    }

    /// All that is left as one EAD field.
    pub(crate) fn ead(&mut self) -> Result<Vec<Ead>, EdhocError> {
        let mut items: Vec<Ead> = Vec::new();
        let mut open = false;
        while let Some(item) = self.next()? {
            if let Some(value) = item.as_bytes() {
                let last = items.last_mut().filter(|_| open).ok_or(EdhocError::Malformed)?;
                last.value = Some(value.to_vec());
                open = false;
            } else {
                let label = int(item)?;
                if items.len() == MAX_EAD {
                    return Err(EdhocError::LimitExceeded);
                }
                items.push(Ead { label, value: None });
                open = true;
            }
        }
        Ok(items)
    }

    pub(crate) fn end(&self) -> Result<(), EdhocError> {
        if self.rest.is_empty() { Ok(()) } else { Err(EdhocError::Malformed) }
    }
}

/// A message that is exactly one byte string, or an error message: messages 2 to 4.
///
/// # Errors
/// `LimitExceeded`, `Malformed`, or `PeerError`, with the suites of an error message of code 2.
pub(crate) fn one_bstr(message: &[u8]) -> Result<&[u8], (EdhocError, Option<Vec<i32>>)> {
    let mut reader = Reader::new(message).map_err(|error| (error, None))?;
    if message.first().is_some_and(|first| *first < 0x40) {
        return Err(match read_error(&mut reader) {
            Ok((code, suites)) => (EdhocError::PeerError { code }, suites),
            Err(error) => (error, None),
        });
    }
    let bytes = reader.bytes().and_then(|bytes| reader.end().map(|()| bytes));
    bytes.map_err(|error| (error, None))
}

fn read_error(reader: &mut Reader<'_>) -> Result<(i32, Option<Vec<i32>>), EdhocError> {
    let code = reader.int()?;
    let mut suites = None;
    if code == 2 {
        suites = Some(reader.suites()?);
    } else {
        let info = reader.item()?;
        plain(info)?;
        let fits = match code {
            0 => false,
            1 => info.kind() == Kind::Text,
            3 => info.as_bool() == Some(true),
            _ => true,
        };
        if !fits {
            return Err(EdhocError::Malformed);
        }
    }
    reader.end()?;
    Ok((code, suites))
}

/// Refuses an EAD item that must be understood and is not.
pub(crate) fn check_critical(items: &[Ead], profile: &Profile) -> Result<(), EdhocError> {
    if items.iter().all(|item| profile.knows(item.label)) { Ok(()) } else { Err(EdhocError::CriticalEad) }
}

/// A byte string that is written as an int when it is one byte and a one-byte CBOR int (RFC 9528 §3.3.2, §3.5.3.2).
pub(crate) fn write_short(writer: &mut Writer, bytes: &[u8]) {
    match bytes {
        [byte @ 0x00..=0x17] => {
            writer.uint(u64::from(*byte));
        }
        [byte @ 0x20..=0x37] => {
            writer.int(-1 - i64::from(byte & 0x1f));
        }
        _ => {
            writer.bytes(bytes);
        }
    }
}

fn short(item: Item<'_>, limit: usize) -> Result<Vec<u8>, EdhocError> {
    if let Some(bytes) = item.as_bytes() {
        if bytes.len() > limit {
            return Err(EdhocError::LimitExceeded);
        }
        return match bytes {
            [0x00..=0x17 | 0x20..=0x37] => Err(EdhocError::Malformed),
            _ => Ok(bytes.to_vec()),
        };
    }
    int(item)?;
    match item.bytes() {
        [byte] => Ok([*byte].to_vec()),
        _ => Err(EdhocError::Malformed),
    }
}

fn int(item: Item<'_>) -> Result<i32, EdhocError> {
    match item.kind() {
        Kind::Uint | Kind::Nint => item.as_i64().and_then(|int| int.try_into().ok()).ok_or(EdhocError::LimitExceeded),
        _ => Err(EdhocError::Malformed),
    }
}

/// No floats, and integers within i32, at any depth; the depth is bounded by the reader.
fn plain(item: Item<'_>) -> Result<(), EdhocError> {
    match item.kind() {
        Kind::Float => Err(EdhocError::Malformed),
        Kind::Uint | Kind::Nint => int(item).map(|_| ()),
        Kind::Array => item.as_array().into_iter().flatten().try_for_each(plain),
        Kind::Map => {
            item.as_map().into_iter().flatten().try_for_each(|(key, value)| plain(key).and_then(|()| plain(value)))
        }
        Kind::Tag => item.as_tag().map_or(Ok(()), |(_, content)| plain(content)),
        _ => Ok(()),
    }
}
