//! Frames: what a transport carries.

use alloc::vec::Vec;

use deedbox_cbor::{Item, Limits, Order, Writer, read_sequence};

use crate::error::ConnectError;

/// What a frame holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum FrameKind {
    /// EDHOC message_1.
    Message1,
    /// EDHOC message_2.
    Message2,
    /// EDHOC message_3.
    Message3,
    /// EDHOC message_4.
    Message4,
    /// EDHOC error message.
    Error,
    /// A record of a live session.
    Record,
    /// A sealed message.
    Sealed,
}

impl FrameKind {
    const ALL: [Self; 7] =
        [Self::Message1, Self::Message2, Self::Message3, Self::Message4, Self::Error, Self::Record, Self::Sealed];

    fn number(self) -> u64 {
        match self {
            Self::Message1 => 1,
            Self::Message2 => 2,
            Self::Message3 => 3,
            Self::Message4 => 4,
            Self::Error => 5,
            Self::Record => 6,
            Self::Sealed => 7,
        }
    }
}

/// One frame of a transport body.
///
/// ```cddl
/// frame = [ kind: 1..7, to: bstr, body: bstr, ? reply: bytes16 ]
/// ```
/// `to` is at most 16 bytes: the invitation's id or nothing for message_1, else the receiver's connection identifier.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Frame<'a> {
    /// What it holds.
    pub kind: FrameKind,
    /// For whom.
    pub to: &'a [u8],
    /// The message.
    pub body: &'a [u8],
    /// The mailbox to answer to, if the frame travels by mailbox.
    pub reply: Option<[u8; 16]>,
}

impl<'a> Frame<'a> {
    /// A frame that does not travel by mailbox.
    #[must_use]
    pub const fn new(kind: FrameKind, to: &'a [u8], body: &'a [u8]) -> Self {
        Self { kind, to, body, reply: None }
    }

    /// Reads a transport body: 1 to 4 frames, at most 2 MiB.
    ///
    /// # Errors
    /// [`ConnectError::LimitExceeded`], [`ConnectError::Malformed`].
    pub fn parse_all(bytes: &'a [u8]) -> Result<Vec<Self>, ConnectError> {
        if bytes.len() > MAX_BODY {
            return Err(ConnectError::LimitExceeded);
        }
        let limits = Limits::new(MAX_BODY).with_depth(2);
        let items = read_sequence(bytes, Order::Canonical, &limits).map_err(|_| ConnectError::Malformed)?;
        let mut frames = Vec::new();
        for item in items {
            if frames.len() == MAX_FRAMES {
                return Err(ConnectError::LimitExceeded);
            }
            frames.push(Self::decode(item).ok_or(ConnectError::Malformed)?);
        }
        if frames.is_empty() { Err(ConnectError::Malformed) } else { Ok(frames) }
    }

    /// Writes a transport body.
    #[must_use]
    pub fn write_all(frames: &[Self]) -> Vec<u8> {
        let mut writer = Writer::new();
        for frame in frames {
            writer.array(if frame.reply.is_some() { 4 } else { 3 });
            writer.uint(frame.kind.number()).bytes(frame.to).bytes(frame.body);
            if let Some(reply) = &frame.reply {
                writer.bytes(reply);
            }
        }
        writer.into_vec()
    }

    fn decode(item: Item<'a>) -> Option<Self> {
        let array = item.as_array()?;
        let number = array.get(0)?.as_u64()?;
        let kind = FrameKind::ALL.into_iter().find(|kind| kind.number() == number)?;
        let to = array.get(1)?.as_bytes().filter(|to| to.len() <= MAX_TO)?;
        let body = array.get(2)?.as_bytes()?;
        // An error message begins with an int, any other with a byte string: none passes for the other by its frame.
        let error = body.first().is_some_and(|first| *first < 0x40);
        if error != (kind == FrameKind::Error)
            && !matches!(kind, FrameKind::Message1 | FrameKind::Record | FrameKind::Sealed)
        {
            return None;
        }
        let reply = match array.len() {
            3 => None,
            4 => Some(array.get(3)?.as_byte_array()?),
            _ => return None,
        };
        Some(Self { kind, to, body, reply })
    }
}

/// The frames of a transport body if they are exactly of these kinds, in this order; an EDHOC error message alone instead.
pub(crate) enum Expected<'a, const N: usize> {
    Frames([Frame<'a>; N]),
    Error(&'a [u8]),
}

pub(crate) fn expect<'a, const N: usize>(
    bytes: &'a [u8],
    kinds: [FrameKind; N],
    to: &[u8],
) -> Result<Expected<'a, N>, ConnectError> {
    let frames = Frame::parse_all(bytes)?;
    if let [Frame { kind: FrameKind::Error, body, .. }] = frames.as_slice() {
        return Ok(Expected::Error(body));
    }
    let frames: [Frame<'a>; N] = frames.try_into().map_err(|_| ConnectError::NotNow)?;
    if frames.iter().zip(kinds).any(|(frame, kind)| frame.kind != kind || frame.to != to) {
        return Err(ConnectError::NotNow);
    }
    Ok(Expected::Frames(frames))
}

const MAX_BODY: usize = 2 << 20;
const MAX_FRAMES: usize = 4;
const MAX_TO: usize = 16;
