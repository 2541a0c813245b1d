//! Live sessions: records both ways, for 24 hours, stored or not.

use alloc::{string::String, vec::Vec};

use deedbox_cbor::{Limits, Order, Writer, read};
use deedbox_cose::encrypt0::{Record, StreamKey};
use deedbox_crypto::secret::SecretBytes;
use deedbox_edhoc::{ExportError, Role};
use deedbox_model::{Digest, Timestamp};
use rand_core::CryptoRng;
use zeroize::Zeroizing;

use crate::{agreement::EndReason, body::Body, error::ConnectError, sealed::Epoch};

/// An open session of two parties to one agreement: seals records to the peer and opens the peer's.
///
/// # Security
/// Every loading draws a fresh stream, so a rolled-back copy seals nothing under a used nonce; it may open old records
/// again. Keys heal only with the next handshake, after 24 hours at the latest.
///
/// ```compile_fail
/// fn copy(session: &deedbox_connect::LiveSession) -> deedbox_connect::LiveSession { session.clone() }
/// ```
/// ```compile_fail
/// fn print(session: &deedbox_connect::LiveSession) { println!("{session:?}"); }
/// ```
#[expect(missing_debug_implementations, reason = "holds secrets; nothing of it is to be printed")]
pub struct LiveSession {
    role: Role,
    agreement: Digest,
    send_base: SecretBytes<32>,
    receive_base: SecretBytes<32>,
    binding: [u8; 32],
    started: Timestamp,
    own: [u8; 8],
    peer: [u8; 8],
    stream: StreamKey,
    // INVARIANT (nonces): a number is used once with its stream; `None` when there are none left.
    next: Option<u32>,
    // INVARIANT (order of windows): by stream, and each stream once.
    windows: Vec<([u8; 16], Window)>,
    epoch: Option<Epoch>,
}

/// Which of a stream's records were opened: the highest number, and the 64 up to it as bits.
#[derive(Clone, Copy)]
struct Window {
    highest: u32,
    seen: u64,
}

impl Window {
    /// The window after `number`, unless that was opened or is too old to tell.
    fn after(window: Option<Self>, number: u32) -> Option<Self> {
        let Some(Self { highest, seen }) = window else { return Some(Self { highest: number, seen: 1 }) };
        if number > highest {
            let shifted = seen.checked_shl(number.saturating_sub(highest)).unwrap_or(0);
            return Some(Self { highest: number, seen: shifted | 1 });
        }
        let bit = 1_u64.checked_shl(highest.saturating_sub(number))?;
        (seen & bit == 0).then_some(Self { highest, seen: seen | bit })
    }
}

impl LiveSession {
    /// The session whose keys `export` gives for `agreement`.
    pub(crate) fn new(
        role: Role,
        agreement: Digest,
        (own, peer): ([u8; 8], [u8; 8]),
        mut export: impl FnMut(u16, &[u8], &mut [u8]) -> Result<(), ExportError>,
        now: Timestamp,
        rng: &mut impl CryptoRng,
    ) -> Result<Self, ConnectError> {
        let mut key = |label| {
            let mut out = Zeroizing::new([0; 32]);
            export(label, agreement.as_bytes(), &mut *out).map_err(|_| ConnectError::LimitExceeded)?;
            // COPY: wiped with the result.
            Ok::<_, ConnectError>(SecretBytes::from_bytes(*out))
        };
        let (first, second) = (key(INITIATOR_TO_RESPONDER)?, key(RESPONDER_TO_INITIATOR)?);
        let binding = *key(CHANNEL_BINDING)?.expose();
        let psks = (key(SEALED_TO_RESPONDER)?, key(SEALED_TO_INITIATOR)?);
        let (send_base, receive_base) = match role {
            Role::Initiator => (first, second),
            Role::Responder => (second, first),
        };
        let mut id = [0; 8];
        export(EPOCH_ID, agreement.as_bytes(), &mut id).map_err(|_| ConnectError::LimitExceeded)?;
        let epoch = Some(Epoch::new(id, agreement, role, psks, now));
        let stream = draw(&send_base, rng);
        let (next, windows) = (Some(0), Vec::with_capacity(MAX_STREAMS));
        let started = now;
        Ok(Self { role, agreement, send_base, receive_base, binding, started, own, peer, stream, next, windows, epoch })
    }

    /// Seals `body` into a record.
    ///
    /// # Errors
    /// [`ConnectError::SessionOver`] after 24 hours, [`ConnectError::LimitExceeded`] above 1 MiB and for more than
    /// 256 bytes of media,
    /// [`ConnectError::SequenceExhausted`] after 2^32 records of one loading.
    pub fn seal(&mut self, body: &Body, now: Timestamp) -> Result<Vec<u8>, ConnectError> {
        self.check_age(now)?;
        let len = body.sealable_len()?;
        let number = self.next.ok_or(ConnectError::SequenceExhausted)?;
        self.next = number.checked_add(1);
        self.stream.seal_with(number, len, |writer| body.encode(writer)).map_err(|_| ConnectError::LimitExceeded)
    }

    /// Opens a record of the peer's, at most 2 MiB.
    ///
    /// # Errors
    /// [`ConnectError::SessionOver`], [`ConnectError::Malformed`], [`ConnectError::Replay`],
    /// [`ConnectError::LimitExceeded`] for a 65th stream, [`ConnectError::Rejected`].
    pub fn open(&mut self, record: &[u8], now: Timestamp) -> Result<Body, ConnectError> {
        self.check_age(now)?;
        let record = Record::parse(record).map_err(|_| ConnectError::Malformed)?;
        let place = self.windows.binary_search_by_key(record.stream(), |(stream, _)| *stream);
        if place.is_err() && self.windows.len() >= MAX_STREAMS {
            return Err(ConnectError::LimitExceeded);
        }
        let window = place.ok().and_then(|place| self.windows.get(place)).map(|(_, window)| *window);
        let after = Window::after(window, record.number()).ok_or(ConnectError::Replay)?;
        let key = StreamKey::derive(&self.receive_base, *record.stream());
        let plaintext = key.open(&record).map_err(|_| ConnectError::Rejected)?;
        // INVARIANT (windows): they move only after the tag was verified.
        match place.map(|place| self.windows.get_mut(place)) {
            Ok(known) => known.into_iter().for_each(|(_, window)| *window = after),
            Err(place) => self.windows.insert(place, (*record.stream(), after)),
        }
        Body::from_opened(plaintext)
    }

    /// The keys of sealed messages that this session's handshake made, once: they are the mailbox's, and outlive the
    /// session. A stored session has them no more.
    pub const fn take_epoch(&mut self) -> Option<Epoch> {
        self.epoch.take()
    }

    /// With the keys that were stored beside it.
    pub(crate) fn with_epoch(self, epoch: Option<Epoch>) -> Self {
        Self { epoch, ..self }
    }

    /// The session's bytes, to be sealed and stored. They hold its keys.
    #[must_use]
    pub fn into_stored(self) -> Zeroizing<Vec<u8>> {
        // Large enough, so that no copy is left behind by growing.
        let mut writer = Writer::with_capacity(512_usize.saturating_add(self.windows.len().saturating_mul(48)));
        writer.array(10).uint(STORED).uint(match self.role {
            Role::Initiator => 0,
            Role::Responder => 1,
        });
        self.agreement.encode(&mut writer);
        writer.bytes(self.send_base.expose()).bytes(self.receive_base.expose()).bytes(&self.binding);
        self.started.encode(&mut writer);
        writer.bytes(&self.own).bytes(&self.peer).array(self.windows.len());
        for (stream, window) in &self.windows {
            writer.array(3).bytes(stream).uint(u64::from(window.highest)).uint(window.seen);
        }
        Zeroizing::new(writer.into_vec())
    }

    /// Takes up a stored session. It sends under a fresh stream.
    ///
    /// # Errors
    /// [`ConnectError::Malformed`], [`ConnectError::SessionOver`].
    pub fn load(stored: &[u8], now: Timestamp, rng: &mut impl CryptoRng) -> Result<Self, ConnectError> {
        let session = Self::decode(stored, rng).ok_or(ConnectError::Malformed)?;
        session.check_age(now)?;
        Ok(session)
    }

    fn decode(stored: &[u8], rng: &mut impl CryptoRng) -> Option<Self> {
        let item = read(stored, Order::Canonical, &Limits::new(MAX_STORED)).ok()?;
        let [version, role, agreement, send, receive, binding, started, own, peer, list] =
            item.as_array()?.exactly()?;
        version.as_u64().filter(|version| *version == STORED)?;
        let role = match role.as_u64()? {
            0 => Role::Initiator,
            1 => Role::Responder,
            _ => return None,
        };
        let list = list.as_array().filter(|list| list.len() <= MAX_STREAMS)?;
        let mut windows = Vec::with_capacity(MAX_STREAMS);
        for item in list {
            let [stream, highest, seen] = item.as_array()?.exactly()?;
            let window = Window { highest: highest.as_u32()?, seen: seen.as_u64()? };
            let stream: [u8; 16] = stream.as_byte_array()?;
            // One state has one form.
            windows.last().is_none_or(|(last, _)| *last < stream).then(|| windows.push((stream, window)))?;
        }
        let send_base = SecretBytes::try_from_slice(send.as_bytes()?)?;
        Some(Self {
            role,
            agreement: Digest::decode(agreement)?,
            stream: draw(&send_base, rng),
            send_base,
            receive_base: SecretBytes::try_from_slice(receive.as_bytes()?)?,
            binding: binding.as_byte_array()?,
            started: Timestamp::decode(started)?,
            own: own.as_byte_array()?,
            peer: peer.as_byte_array()?,
            next: Some(0),
            windows,
            epoch: None,
        })
    }

    fn check_age(&self, now: Timestamp) -> Result<(), ConnectError> {
        // A clock that runs before the session's start is no reason to go on for ever.
        let over =
            now.saturating_sub(self.started) >= LIFETIME_SECS || self.started.saturating_sub(now) >= LIFETIME_SECS;
        if over { Err(ConnectError::SessionOver) } else { Ok(()) }
    }

    /// Which side of the agreement this is.
    #[must_use]
    pub const fn role(&self) -> Role {
        self.role
    }

    /// The agreement the session rests on.
    #[must_use]
    pub const fn agreement(&self) -> Digest {
        self.agreement
    }

    /// The same 32 bytes on both sides and in no other session: a nonce that ties a presentation to this channel.
    #[must_use]
    pub const fn channel_binding(&self) -> &[u8; 32] {
        &self.binding
    }

    /// What frames to this side are addressed with.
    #[must_use]
    pub const fn own_id(&self) -> &[u8; 8] {
        &self.own
    }

    /// What frames to the peer are addressed with.
    #[must_use]
    pub const fn peer_id(&self) -> &[u8; 8] {
        &self.peer
    }
}

fn draw(base: &SecretBytes<32>, rng: &mut impl CryptoRng) -> StreamKey {
    let mut stream = [0; 16];
    rng.fill_bytes(&mut stream);
    StreamKey::derive(base, stream)
}

/// A check code: six digits.
#[must_use]
pub(crate) fn check_code(exported: &[u8; 8]) -> String {
    alloc::format!("{:06}", u64::from_be_bytes(*exported) % 1_000_000)
}

/// Reasons of a peer's, for those who match on them.
impl From<EndReason> for u8 {
    fn from(reason: EndReason) -> Self {
        match reason {
            EndReason::NotGiven => 0,
            EndReason::Withdrawn => 1,
            EndReason::PurposeMet => 2,
            EndReason::Security => 3,
            EndReason::Expired => 4,
            EndReason::Refused => 5,
        }
    }
}

/// Exporter labels; the context is the agreement's hash.
const INITIATOR_TO_RESPONDER: u16 = 32_768;
const RESPONDER_TO_INITIATOR: u16 = 32_769;
const SEALED_TO_RESPONDER: u16 = 32_770;
const SEALED_TO_INITIATOR: u16 = 32_771;
const EPOCH_ID: u16 = 32_772;
const CHANNEL_BINDING: u16 = 32_773;
pub(crate) const CHECK_CODE: u16 = 32_774;
/// How long a session may be used.
pub const LIFETIME_SECS: u64 = 86_400;
const MAX_STREAMS: usize = 64;
const MAX_STORED: usize = 8_192;
const STORED: u64 = 1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_takes_each_number_once_and_forgets_the_old() {
        let mut window = None;
        for (number, fresh) in [
            (5, true),
            (5, false),
            (3, true),
            (3, false),
            (68, true),
            (5, false),
            (4, false),
            (6, true),
            (u32::MAX, true),
            (68, false),
        ] {
            let after = Window::after(window, number);
            assert_eq!(after.is_some(), fresh, "{number}");
            window = after.or(window);
        }
    }
}
