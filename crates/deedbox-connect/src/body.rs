//! What records and sealed messages carry.

use alloc::{string::String, vec::Vec};
use core::{fmt, mem, ops::Range, str};

use deedbox_cbor::{Item, Limits, Order, Writer, read};
use deedbox_model::{Digest, MailboxId};
use zeroize::Zeroizing;

use crate::error::ConnectError;

/// How to reach a party outside of a session.
///
/// ```cddl
/// contact = { 1: address: bytes16, 2: endpoint: tstr, 3: deposit capability: bstr,
///             4: [* [device: bytes8, next: uint, last: bytes32]] }
/// ```
/// At most 4,096 bytes of capability and 64 devices.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contact {
    /// The mailbox kept for this connection.
    pub address: MailboxId,
    /// The host that has it.
    pub endpoint: String,
    /// What allows to deposit there; opaque.
    pub deposit: Vec<u8>,
    /// What each device has sealed so far: a dropped tail shows.
    pub devices: Vec<DeviceHead>,
}

/// What one device has sealed so far on a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceHead {
    /// The device.
    pub device: [u8; 8],
    /// The number its next message will have.
    pub next: u64,
    /// The hash of its last message, zeros if there is none.
    pub last: Digest,
}

impl Contact {
    pub(crate) fn encode(&self, writer: &mut Writer) {
        writer.map(|map| {
            map.int(1, |w| self.address.encode(w));
            map.int(2, |w| {
                w.text(&self.endpoint);
            });
            map.int(3, |w| {
                w.bytes(&self.deposit);
            });
            map.int(4, |w| {
                w.array(self.devices.len());
                for head in &self.devices {
                    w.array(3).bytes(&head.device).uint(head.next);
                    head.last.encode(w);
                }
            });
        });
    }

    /// How many bytes [`Contact::encode`] writes.
    fn encoded_len(&self) -> usize {
        // A device's array, name and last hash have one length each, as have the map, its keys and the address.
        let device = |head: &DeviceHead| 1 + 9 + head_len(head.next) + 34;
        let devices = self.devices.iter().map(device).sum::<usize>();
        let strings = string_len(self.endpoint.len()) + string_len(self.deposit.len());
        1 + 4 + 17 + strings + head_len(length(self.devices.len())) + devices
    }

    pub(crate) fn decode(item: Item<'_>) -> Option<Self> {
        let mut fields = item.as_map()?.fields();
        let address = MailboxId::decode(fields.required(1)?)?;
        let endpoint = fields.required(2)?.as_str().filter(|text| text.len() <= 256)?.into();
        let deposit = fields.required(3)?.as_bytes().filter(|bytes| bytes.len() <= 4_096)?.to_vec();
        let devices = fields.required(4)?.as_array().filter(|list| list.len() <= 64)?;
        let devices = devices
            .iter()
            .map(|item| {
                let [device, next, last] = item.as_array()?.exactly()?;
                let (device, next) = (device.as_byte_array()?, next.as_u64()?);
                Some(DeviceHead { device, next, last: Digest::decode(last)? })
            })
            .collect::<Option<_>>()?;
        fields.finish()?;
        Some(Self { address, endpoint, deposit, devices })
    }
}

/// The content of a record: `[type: uint, any]`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Body {
    /// 1: the agreement with the Initiator's signature, and how to reach it.
    Accept(Vec<u8>, Contact),
    /// 2: the agreement with both signatures, and how to reach the Responder.
    Confirm(Vec<u8>, Contact),
    /// 3: no agreement; 0 no reason given, 1 the terms, 2 the check code.
    Refuse(u8),
    /// 4: a new agreement, signed by who proposes it.
    Propose(Vec<u8>),
    /// 5: the new agreement with both signatures.
    Agree(Vec<u8>),
    /// 6: nothing flows until further notice; the reason is a number of the application's.
    Suspend(u8),
    /// 7: it flows again.
    Resume(u8),
    /// 8: a termination.
    Terminate(Vec<u8>),
    /// 9: the same, in answer.
    Terminated(Vec<u8>),
    /// 10: how to reach the sender from now on.
    Contact(Contact),
    /// 11: please open a session.
    Knock,
    /// 16: the application's.
    Data(Data),
}

impl Body {
    /// The bytes to seal.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        self.encode(&mut writer);
        writer.into_vec()
    }

    /// Whether it is short enough to be sealed, and to be opened by the peer: 1 MiB. To be asked before something is written that
    /// says it was sent.
    #[must_use]
    pub fn fits(&self) -> bool {
        self.sealable_len().is_ok()
    }

    /// How many bytes [`Body::encode`] writes, if the peer would take them.
    pub(crate) fn sealable_len(&self) -> Result<usize, ConnectError> {
        let content = match self {
            Self::Accept(agreement, contact) | Self::Confirm(agreement, contact) => {
                1 + string_len(agreement.len()) + contact.encoded_len()
            }
            Self::Refuse(reason) | Self::Suspend(reason) | Self::Resume(reason) => head_len(u64::from(*reason)),
            Self::Propose(document)
            | Self::Agree(document)
            | Self::Terminate(document)
            | Self::Terminated(document) => string_len(document.len()),
            Self::Contact(contact) => contact.encoded_len(),
            Self::Knock => 1,
            Self::Data(data) if data.media.len() > MAX_MEDIA => return Err(ConnectError::LimitExceeded),
            Self::Data(data) => 1 + string_len(data.media.len()) + string_len(data.content().len()),
        };
        // The array and the type.
        Some(content + 2).filter(|len| *len <= MAX_BODY).ok_or(ConnectError::LimitExceeded)
    }

    pub(crate) fn encode(&self, writer: &mut Writer) {
        writer.array(2);
        match self {
            Self::Accept(agreement, contact) | Self::Confirm(agreement, contact) => {
                writer.uint(if matches!(self, Self::Accept(..)) { 1 } else { 2 });
                writer.array(2).bytes(agreement);
                contact.encode(writer);
            }
            Self::Refuse(reason) => {
                writer.uint(3).uint(u64::from(*reason));
            }
            Self::Propose(agreement) => {
                writer.uint(4).bytes(agreement);
            }
            Self::Agree(agreement) => {
                writer.uint(5).bytes(agreement);
            }
            Self::Suspend(reason) => {
                writer.uint(6).uint(u64::from(*reason));
            }
            Self::Resume(reason) => {
                writer.uint(7).uint(u64::from(*reason));
            }
            Self::Terminate(termination) => {
                writer.uint(8).bytes(termination);
            }
            Self::Terminated(termination) => {
                writer.uint(9).bytes(termination);
            }
            Self::Contact(contact) => {
                writer.uint(10);
                contact.encode(writer);
            }
            Self::Knock => {
                writer.uint(11).null();
            }
            Self::Data(data) => {
                writer.uint(DATA).array(2).text(data.media()).bytes(data.content());
            }
        }
    }

    /// Data for the peer: `content`, and what it is, in at most 256 bytes.
    #[must_use]
    pub fn data(media: &str, content: &[u8]) -> Self {
        Self::Data(Data::new(media, content))
    }

    /// Reads the bytes of a body, at most 1 MiB.
    ///
    /// # Errors
    /// [`ConnectError::Malformed`].
    pub fn parse(bytes: &[u8]) -> Result<Self, ConnectError> {
        Ok(parts(bytes)?.copied())
    }

    /// The body that `bytes` are, at most 1 MiB. Data and documents stay in the memory of `bytes`.
    pub(crate) fn from_opened(mut bytes: Zeroizing<Vec<u8>>) -> Result<Self, ConnectError> {
        Ok(match parts(&bytes)? {
            Parts::Body(body) => body,
            Parts::Document(body, document) => {
                let start = bytes.len().saturating_sub(document.len());
                bytes.drain(..start);
                body(mem::take(&mut bytes))
            }
            Parts::Data(media, content) => {
                let (media, content) = (media.len(), content.len());
                Self::Data(Data::encoded(mem::take(&mut bytes), media, content))
            }
        })
    }

    pub(crate) fn decode(item: Item<'_>) -> Option<Self> {
        Parts::decode(item).map(Parts::copied)
    }
}

/// What the application sends: the content, and what it is.
///
/// Both lie in one piece of memory, in the form in which they are sealed: opening a record takes no other.
#[derive(Clone, PartialEq, Eq)]
pub struct Data {
    // INVARIANT (form): the whole encoded body, which ends in the content.
    body: Vec<u8>,
    media: Range<usize>,
    content: usize,
}

impl Data {
    fn new(media: &str, content: &[u8]) -> Self {
        let mut writer = Writer::with_capacity(3 + string_len(media.len()) + string_len(content.len()));
        writer.array(2).uint(DATA).array(2).text(media).bytes(content);
        Self::encoded(writer.into_vec(), media.len(), content.len())
    }

    /// That of an encoded body with so many bytes of media and of content.
    fn encoded(body: Vec<u8>, media: usize, content: usize) -> Self {
        let end = body.len().saturating_sub(string_len(content));
        Self { media: end.saturating_sub(media)..end, content: body.len().saturating_sub(content), body }
    }

    /// What the content is.
    #[must_use]
    pub fn media(&self) -> &str {
        self.body.get(self.media.clone()).and_then(|media| str::from_utf8(media).ok()).unwrap_or_default()
    }

    /// The content.
    #[must_use]
    pub fn content(&self) -> &[u8] {
        self.body.get(self.content..).unwrap_or_default()
    }

    /// The content, in the memory that held the whole.
    #[must_use]
    pub fn into_content(mut self) -> Vec<u8> {
        self.body.drain(..self.content);
        self.body
    }
}

impl fmt::Debug for Data {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Data").field("len", &self.content().len()).finish_non_exhaustive()
    }
}

/// A body that was read, of which the strings that may be long are still where they were read from.
enum Parts<'a> {
    Body(Body),
    Document(fn(Vec<u8>) -> Body, &'a [u8]),
    Data(&'a str, &'a [u8]),
}

impl<'a> Parts<'a> {
    fn decode(item: Item<'a>) -> Option<Self> {
        let [kind, content] = item.as_array()?.exactly()?;
        let document = |body: fn(Vec<u8>) -> Body| Some(Self::Document(body, content.as_bytes()?));
        let agreed = |body: fn(Vec<u8>, Contact) -> Body| {
            let [agreement, contact] = content.as_array()?.exactly()?;
            Some(body(agreement.as_bytes()?.to_vec(), Contact::decode(contact)?))
        };
        Some(Self::Body(match kind.as_u64()? {
            1 => agreed(Body::Accept)?,
            2 => agreed(Body::Confirm)?,
            3 => Body::Refuse(content.as_u8().filter(|reason| *reason <= 2)?),
            4 => return document(Body::Propose),
            5 => return document(Body::Agree),
            6 => Body::Suspend(content.as_u8()?),
            7 => Body::Resume(content.as_u8()?),
            8 => return document(Body::Terminate),
            9 => return document(Body::Terminated),
            10 => Body::Contact(Contact::decode(content)?),
            11 => content.is_null().then_some(Body::Knock)?,
            DATA => {
                let [media, content] = content.as_array()?.exactly()?;
                let media = media.as_str().filter(|media| media.len() <= MAX_MEDIA)?;
                return Some(Self::Data(media, content.as_bytes()?));
            }
            _ => return None,
        }))
    }

    fn copied(self) -> Body {
        match self {
            Self::Body(body) => body,
            Self::Document(body, document) => body(document.to_vec()),
            Self::Data(media, content) => Body::data(media, content),
        }
    }
}

fn parts(bytes: &[u8]) -> Result<Parts<'_>, ConnectError> {
    let item = read(bytes, Order::Canonical, &Limits::new(MAX_BODY)).map_err(|_| ConnectError::Malformed)?;
    Parts::decode(item).ok_or(ConnectError::Malformed)
}

/// How many bytes a string of `len` bytes takes.
fn string_len(len: usize) -> usize {
    head_len(length(len)).saturating_add(len)
}

/// How many bytes the head of an item with this argument takes.
const fn head_len(argument: u64) -> usize {
    match argument {
        0..24 => 1,
        24..0x100 => 2,
        0x100..0x1_0000 => 3,
        0x1_0000..0x1_0000_0000 => 5,
        _ => 9,
    }
}

fn length(len: usize) -> u64 {
    u64::try_from(len).unwrap_or(u64::MAX)
}

const MAX_BODY: usize = 1 << 20;
/// Longest name of what data is.
const MAX_MEDIA: usize = 256;
/// The type of data.
const DATA: u64 = 16;
