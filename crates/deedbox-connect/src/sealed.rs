//! Sealed messages: what one side leaves for the other while no session is open.

use alloc::{
    collections::{BTreeMap, BTreeSet},
    vec::Vec,
};

use deedbox_cbor::{Array, Item, Limits, Order, Writer, read};
use deedbox_cose::{
    RecipientKey,
    encrypt0::{OpenError, PreShared, SealError, open_psk, peek_psk_id, seal_psk},
};
use deedbox_crypto::{hash::sha256, label, secret::SecretBytes};
use deedbox_edhoc::Role;
use deedbox_model::{Digest, MailboxId, Timestamp};
use rand_core::CryptoRng;
use zeroize::Zeroizing;

use crate::{
    agreement::Agreement,
    body::{Body, DeviceHead},
    contact::draw,
    error::ConnectError,
    padding,
    pairwise::PartyKeys,
};

/// The keys of sealed messages that one handshake made: a name, and a secret for each direction.
///
/// ```compile_fail
/// fn copy(epoch: &deedbox_connect::Epoch) -> deedbox_connect::Epoch { epoch.clone() }
/// ```
/// ```compile_fail
/// fn print(epoch: &deedbox_connect::Epoch) { println!("{epoch:?}"); }
/// ```
#[expect(missing_debug_implementations, reason = "holds secrets; nothing of it is to be printed")]
pub struct Epoch {
    id: [u8; 8],
    agreement: Digest,
    started: Timestamp,
    send: SecretBytes<32>,
    receive: SecretBytes<32>,
    // Whether the peer is known to have these keys: message_4 may have been lost on its way to the Initiator.
    confirmed: bool,
}

impl Epoch {
    pub(crate) fn new(
        id: [u8; 8],
        agreement: Digest,
        role: Role,
        (to_responder, to_initiator): (SecretBytes<32>, SecretBytes<32>),
        started: Timestamp,
    ) -> Self {
        let (send, receive, confirmed) = match role {
            Role::Initiator => (to_responder, to_initiator, true),
            Role::Responder => (to_initiator, to_responder, false),
        };
        Self { id, agreement, started, send, receive, confirmed }
    }

    /// Its name, which messages show.
    #[must_use]
    pub const fn id(&self) -> &[u8; 8] {
        &self.id
    }

    /// The agreement of the handshake.
    #[must_use]
    pub const fn agreement(&self) -> Digest {
        self.agreement
    }

    /// Its bytes, to be sealed and handed to another device of the same party. They hold its keys.
    #[must_use]
    pub fn to_stored(&self) -> Zeroizing<Vec<u8>> {
        // Large enough, so that no copy is left behind by growing.
        let mut writer = Writer::with_capacity(MAX_EPOCH);
        self.encode(&mut writer);
        Zeroizing::new(writer.into_vec())
    }

    /// Takes what [`Epoch::to_stored`] gave.
    ///
    /// # Errors
    /// [`ConnectError::Malformed`].
    pub fn from_stored(stored: &[u8]) -> Result<Self, ConnectError> {
        let item = read(stored, Order::Canonical, &Limits::new(MAX_EPOCH)).map_err(|_| ConnectError::Malformed)?;
        Self::decode(item).ok_or(ConnectError::Malformed)
    }

    fn encode(&self, writer: &mut Writer) {
        writer.array(6).bytes(&self.id);
        self.agreement.encode(writer);
        self.started.encode(writer);
        writer.bytes(self.send.expose()).bytes(self.receive.expose()).bool(self.confirmed);
    }

    fn decode(item: Item<'_>) -> Option<Self> {
        let [id, agreement, started, send, receive, confirmed] = item.as_array()?.exactly()?;
        Some(Self {
            id: id.as_byte_array()?,
            agreement: Digest::decode(agreement)?,
            started: Timestamp::decode(started)?,
            send: SecretBytes::try_from_slice(send.as_bytes()?)?,
            receive: SecretBytes::try_from_slice(receive.as_bytes()?)?,
            confirmed: confirmed.as_bool()?,
        })
    }
}

/// A sealed message that was opened.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Opened {
    /// What it says.
    pub body: Body,
    /// The peer's device that sealed it.
    pub device: [u8; 8],
    /// Its number among that device's messages on this connection, from 0.
    pub number: u64,
    /// When it was sealed, by that device's clock.
    pub created: Timestamp,
    /// When it expires.
    pub expires: Timestamp,
    /// How it follows what came before: a finding for the log.
    pub arrival: Arrival,
}

/// How a message follows what the same device sealed before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "whoever logs arrivals must notice a new one")]
pub enum Arrival {
    /// It follows the last one.
    InOrder,
    /// Messages of these numbers have not come: they were dropped, or are late.
    Gap {
        /// The first.
        from: u64,
        /// The last.
        to: u64,
    },
    /// It fills a gap.
    Late,
    /// It has the next number but follows another message than the last one: the device was copied or rolled back, or
    /// its state was stolen. Alert.
    Fork,
}

/// What a contact's list of devices tells beyond what has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Missing {
    /// The peer's device.
    pub device: [u8; 8],
    /// [`Arrival::Gap`] for messages that have not come, [`Arrival::Fork`] when the last one was another.
    pub finding: Arrival,
}

/// One side's sealed messages on one connection: both directions, all devices.
///
/// It is the party's: devices share it through their store, each loading it under its own id. No counter feeds a nonce, so
/// a copy that was rolled back weakens no message; the peer sees it as a [`Arrival::Fork`].
///
/// # Security
/// A message proves which party sealed it, to the other party alone. Keys are wiped 30 days after the handshake that made
/// them, and when four newer ones came: what was sealed before then stays secret from who steals the keys of today.
///
/// ```compile_fail
/// fn copy(mailbox: &deedbox_connect::Mailbox) -> deedbox_connect::Mailbox { mailbox.clone() }
/// ```
/// ```compile_fail
/// fn print(mailbox: &deedbox_connect::Mailbox) { println!("{mailbox:?}"); }
/// ```
#[expect(missing_debug_implementations, reason = "holds secrets; nothing of it is to be printed")]
pub struct Mailbox {
    role: Role,
    agreement: Digest,
    peer_key: RecipientKey,
    own: MailboxId,
    peer: MailboxId,
    device: [u8; 8],
    // Oldest first.
    epochs: Vec<Epoch>,
    heads: BTreeMap<[u8; 8], Head>,
    chains: BTreeMap<[u8; 8], Chain>,
}

/// What one of the own devices has sealed.
#[derive(Clone, Copy)]
struct Head {
    next: u64,
    last: Digest,
}

/// What has come of one of the peer's devices.
struct Chain {
    next: u64,
    last: Digest,
    // The start of the newest epoch that it sealed under: with all epochs up to that gone, nothing of it can be replayed.
    newest: Timestamp,
    // INVARIANT (window): numbers below `next`, less than WINDOW behind the highest, that have not come.
    missing: BTreeSet<u64>,
}

impl Chain {
    const fn new() -> Self {
        Self { next: 0, last: NOTHING, newest: Timestamp::from_secs(0), missing: BTreeSet::new() }
    }

    /// How message `number` with this `prev` would follow. `None` when it came before, or is too old to tell.
    fn arrival(&self, number: u64, prev: Digest) -> Option<Arrival> {
        if number < self.next {
            return self.missing.contains(&number).then_some(Arrival::Late);
        }
        Some(match number.checked_sub(1).filter(|to| *to >= self.next) {
            Some(to) => Arrival::Gap { from: self.next, to },
            None if prev == self.last => Arrival::InOrder,
            None => Arrival::Fork,
        })
    }

    /// Takes message `number`, whose arrival was told.
    fn take(&mut self, number: u64, hash: Digest, epoch: Timestamp) {
        self.newest = self.newest.max(epoch);
        if self.missing.remove(&number) {
            return;
        }
        let oldest = number.saturating_sub(WINDOW - 1);
        self.missing = self.missing.split_off(&oldest);
        self.missing.extend(self.next.max(oldest)..number);
        self.next = number.saturating_add(1);
        self.last = hash;
    }
}

impl Mailbox {
    /// The mailbox of `agreement`'s party `role`, for a new device. `own` and `peer` are the two sides' addresses, as
    /// their contacts name them.
    pub fn new(agreement: &Agreement, role: Role, own: MailboxId, peer: MailboxId, rng: &mut impl CryptoRng) -> Self {
        let (device, peer_key) = (draw(rng), peer_key(agreement, role));
        let (epochs, heads, chains) = (Vec::new(), BTreeMap::new(), BTreeMap::new());
        Self { role, agreement: agreement.hash(), peer_key, own, peer, device, epochs, heads, chains }
    }

    /// This device's id: to be kept beside the stored mailbox, and not shared with other devices.
    #[must_use]
    pub const fn device(&self) -> &[u8; 8] {
        &self.device
    }

    /// The own address: where the peer deposits.
    #[must_use]
    pub const fn address(&self) -> MailboxId {
        self.own
    }

    /// The peer's address, for the frame.
    #[must_use]
    pub const fn peer_address(&self) -> MailboxId {
        self.peer
    }

    /// Takes the peer's new address.
    pub const fn set_peer_address(&mut self, address: MailboxId) {
        self.peer = address;
    }

    /// What the own devices have sealed so far, for [`crate::Contact::devices`]: a dropped tail shows.
    #[must_use]
    pub fn heads(&self) -> Vec<DeviceHead> {
        self.heads
            .iter()
            .map(|(device, head)| DeviceHead { device: *device, next: head.next, last: head.last })
            .collect()
    }

    /// Forgets an own device that is no more in use.
    pub fn forget(&mut self, device: &[u8; 8]) {
        self.heads.remove(device);
    }

    /// What the peer's devices say they have sealed and has not come.
    #[must_use]
    pub fn missing(&self, heads: &[DeviceHead]) -> Vec<Missing> {
        let nothing = Chain::new();
        let find = |head: &DeviceHead| {
            let chain = self.chains.get(&head.device).unwrap_or(&nothing);
            match head.next.checked_sub(1).filter(|to| *to >= chain.next) {
                Some(to) => Some(Arrival::Gap { from: chain.next, to }),
                None if head.next == chain.next && head.last != chain.last => Some(Arrival::Fork),
                None => None,
            }
        };
        heads.iter().filter_map(|head| find(head).map(|finding| Missing { device: head.device, finding })).collect()
    }

    /// Takes the keys that a handshake made, or that another device handed over. The newest four are kept, for 30 days.
    pub fn add(&mut self, epoch: Epoch, now: Timestamp) {
        if !self.epochs.iter().any(|known| known.id == epoch.id) {
            self.epochs.push(epoch);
            self.epochs.sort_by_key(|epoch| epoch.started);
        }
        self.prune(now);
    }

    /// The keys held, to be handed to another device.
    pub fn epochs(&self) -> impl Iterator<Item = &Epoch> {
        self.epochs.iter()
    }

    /// Notes that the peer has the keys of this name: it has used the session that they came with.
    pub fn confirm(&mut self, epoch: &[u8; 8]) {
        if let Some(epoch) = self.epochs.iter_mut().find(|known| known.id == *epoch) {
            epoch.confirmed = true;
        }
    }

    /// Goes over to a renewed agreement: nothing more is sealed under the old one. What the peer sealed under it before
    /// still opens.
    ///
    /// # Errors
    /// [`ConnectError::AgreementMismatch`] when it does not follow the agreement that held.
    pub fn renew(&mut self, agreement: &Agreement) -> Result<(), ConnectError> {
        if agreement.prior() != Some(self.agreement) {
            return Err(ConnectError::AgreementMismatch);
        }
        self.agreement = agreement.hash();
        self.peer_key = peer_key(agreement, self.role);
        Ok(())
    }

    /// Wipes keys whose time is over. Every call that takes the time does it too.
    pub fn prune(&mut self, now: Timestamp) {
        self.epochs.retain(|epoch| now.saturating_sub(epoch.started) < MAX_SECS);
        let surplus = self.epochs.len().saturating_sub(MAX_EPOCHS);
        self.epochs.drain(..surplus);
    }

    /// Seals `body` to the peer. It is not sealed twice: store the mailbox before the message leaves.
    ///
    /// # Errors
    /// [`ConnectError::NoEpoch`]; [`ConnectError::NotNow`] for what belongs to first contact; [`ConnectError::Expired`] when
    /// `expires` is not within 30 days from now; [`ConnectError::LimitExceeded`] above 1 MiB with padding, and for a 65th
    /// own device; [`ConnectError::SequenceExhausted`].
    pub fn seal(
        &mut self,
        body: &Body,
        now: Timestamp,
        expires: Timestamp,
        rng: &mut impl CryptoRng,
    ) -> Result<Vec<u8>, ConnectError> {
        self.prune(now);
        refuse_first_contact(body)?;
        if expires <= now || expires.saturating_sub(now) > MAX_SECS {
            return Err(ConnectError::Expired);
        }
        // The newest that the peer is known to have; else the newest, as after a first contact.
        let mut usable = self.epochs.iter().rev().filter(|epoch| epoch.agreement == self.agreement);
        let newest = usable.clone().next();
        let epoch = usable.find(|epoch| epoch.confirmed).or(newest).ok_or(ConnectError::NoEpoch)?;
        let head = self.heads.get(&self.device).copied();
        if head.is_none() && self.heads.len() >= MAX_DEVICES {
            return Err(ConnectError::LimitExceeded);
        }
        let Head { next, last } = head.unwrap_or(Head { next: 0, last: NOTHING });
        let after = next.checked_add(1).ok_or(ConnectError::SequenceExhausted)?;

        // Large enough, so that no copy is left behind by growing.
        let mut writer = Writer::with_capacity(body.sealable_len()?.saturating_add(80));
        writer.array(6).bytes(&self.device).uint(next);
        last.encode(&mut writer);
        now.encode(&mut writer);
        expires.encode(&mut writer);
        body.encode(&mut writer);
        let plaintext = Zeroizing::new(writer.into_vec());
        if padding::class(plaintext.len()).is_none_or(|length| length > MAX_PLAINTEXT) {
            return Err(ConnectError::LimitExceeded);
        }
        let padded = padding::pad(&plaintext).ok_or(ConnectError::LimitExceeded)?;
        let info = info(self.peer, self.role, epoch.agreement);
        let shared = PreShared::new(&epoch.send, &epoch.id);
        let message = seal_psk(&self.peer_key, &shared, &info, &padded, rng).map_err(|error| match error {
            SealError::TooLong { .. } => ConnectError::LimitExceeded,
            _ => ConnectError::Rejected,
        })?;
        self.heads.insert(self.device, Head { next: after, last: Digest::from_bytes(sha256(&message)) });
        Ok(message)
    }

    /// The agreement that a message was sealed under: [`Mailbox::open`] wants the keys that are its party's.
    ///
    /// # Errors
    /// [`ConnectError::Malformed`], [`ConnectError::EpochUnknown`].
    pub fn agreement_of(&self, message: &[u8]) -> Result<Digest, ConnectError> {
        let id = epoch_id(message)?;
        self.epochs.iter().find(|epoch| epoch.id == id).map(Epoch::agreement).ok_or(ConnectError::EpochUnknown)
    }

    /// Opens a message of the peer's, at most 2 MiB. Store the mailbox before acting on it.
    ///
    /// # Errors
    /// In this order: [`ConnectError::Malformed`]; [`ConnectError::EpochUnknown`]: keep the bytes, and try after the
    /// devices have synced; [`ConnectError::Rejected`]; then of an authentic message [`ConnectError::Malformed`],
    /// [`ConnectError::NotNow`], [`ConnectError::Replay`] when it came before or is 1,024 behind,
    /// [`ConnectError::Expired`], [`ConnectError::LimitExceeded`] for the peer's 65th device. The mailbox is then as it was.
    pub fn open(&mut self, message: &[u8], keys: &PartyKeys, now: Timestamp) -> Result<Opened, ConnectError> {
        self.prune(now);
        let id = epoch_id(message)?;
        let epoch = self.epochs.iter_mut().find(|epoch| epoch.id == id).ok_or(ConnectError::EpochUnknown)?;
        let info = info(self.own, other(self.role), epoch.agreement);
        let shared = PreShared::new(&epoch.receive, &epoch.id);
        let padded = open_psk(keys.seal(), &shared, &info, message).map_err(|error| match error {
            OpenError::Rejected => ConnectError::Rejected,
            _ => ConnectError::Malformed,
        })?;
        let (prev, mut opened) = decode(&padded).ok_or(ConnectError::Malformed)?;
        refuse_first_contact(&opened.body)?;
        let chain = self.chains.get(&opened.device);
        let arrival = match chain {
            Some(chain) => chain.arrival(opened.number, prev),
            None => Chain::new().arrival(opened.number, prev),
        };
        opened.arrival = arrival.ok_or(ConnectError::Replay)?;
        if now >= opened.expires || opened.expires.saturating_sub(opened.created) > MAX_SECS {
            return Err(ConnectError::Expired);
        }
        epoch.confirmed = true;
        let started = epoch.started;
        if chain.is_none() && self.chains.len() >= MAX_DEVICES {
            self.make_room()?;
        }
        let hash = Digest::from_bytes(sha256(message));
        self.chains.entry(opened.device).or_insert_with(Chain::new).take(opened.number, hash, started);
        Ok(opened)
    }

    /// Drops a device of the peer's of which nothing can be replayed: all keys it sealed under are gone.
    fn make_room(&mut self) -> Result<(), ConnectError> {
        let oldest = self.epochs.first().map(|epoch| epoch.started);
        let gone = |chain: &Chain| oldest.is_none_or(|oldest| chain.newest < oldest);
        let device = self.chains.iter().find(|(_, chain)| gone(chain)).map(|(device, _)| *device);
        self.chains.remove(&device.ok_or(ConnectError::LimitExceeded)?);
        Ok(())
    }

    /// The mailbox's bytes, to be sealed and stored. They hold its keys.
    #[must_use]
    pub fn to_stored(&self) -> Zeroizing<Vec<u8>> {
        let missing: usize = self.chains.values().map(|chain| chain.missing.len()).sum();
        let devices = self.heads.len().saturating_add(self.chains.len());
        // Large enough, so that no copy of a key is left behind by growing.
        let capacity = 1_024_usize.saturating_add(devices.saturating_mul(80)).saturating_add(missing.saturating_mul(9));
        let mut writer = Writer::with_capacity(capacity);
        writer.array(8).uint(STORED).uint(direction(self.role).into());
        self.agreement.encode(&mut writer);
        self.own.encode(&mut writer);
        self.peer.encode(&mut writer);
        writer.array(self.epochs.len());
        for epoch in &self.epochs {
            epoch.encode(&mut writer);
        }
        writer.array(self.heads.len());
        for (device, head) in &self.heads {
            writer.array(3).bytes(device).uint(head.next);
            head.last.encode(&mut writer);
        }
        writer.array(self.chains.len());
        for (device, chain) in &self.chains {
            writer.array(5).bytes(device).uint(chain.next);
            chain.last.encode(&mut writer);
            chain.newest.encode(&mut writer);
            writer.array(chain.missing.len());
            for number in &chain.missing {
                writer.uint(*number);
            }
        }
        Zeroizing::new(writer.into_vec())
    }

    /// Takes up a stored mailbox of `agreement`, on the device whose id is given.
    ///
    /// # Errors
    /// [`ConnectError::Malformed`]; [`ConnectError::AgreementMismatch`] for another agreement's.
    pub fn load(stored: &[u8], agreement: &Agreement, device: [u8; 8]) -> Result<Self, ConnectError> {
        let mailbox = Self::decode(stored, agreement, device).ok_or(ConnectError::Malformed)?;
        if mailbox.agreement == agreement.hash() { Ok(mailbox) } else { Err(ConnectError::AgreementMismatch) }
    }

    /// Takes up a mailbox from a back-up: as a new device, so that no number is used twice, with the keys it holds. What
    /// came since the back-up opens again; ask the peer for a session at once.
    ///
    /// # Errors
    /// As [`Mailbox::load`].
    pub fn restored(stored: &[u8], agreement: &Agreement, rng: &mut impl CryptoRng) -> Result<Self, ConnectError> {
        Self::load(stored, agreement, draw(rng))
    }

    fn decode(stored: &[u8], agreement: &Agreement, device: [u8; 8]) -> Option<Self> {
        let item = read(stored, Order::Canonical, &Limits::new(MAX_STORED)).ok()?;
        let [version, role, hash, own, peer, epochs, heads, chains] = item.as_array()?.exactly()?;
        version.as_u64().filter(|version| *version == STORED)?;
        let role = match role.as_u64()? {
            0 => Role::Initiator,
            1 => Role::Responder,
            _ => return None,
        };
        let epochs = epochs.as_array().filter(|list| list.len() <= MAX_EPOCHS)?;
        let heads = heads.as_array().filter(|list| list.len() <= MAX_DEVICES)?;
        let chains = chains.as_array().filter(|list| list.len() <= MAX_DEVICES)?;
        let by_device = |list: &Array<'_>| {
            let device = |item: Item<'_>| item.as_array()?.get(0)?.as_byte_array::<8>();
            list.iter().map(device).is_sorted_by(|one, next| one < next)
        };
        if !by_device(&heads) || !by_device(&chains) {
            return None;
        }
        Some(Self {
            role,
            agreement: Digest::decode(hash)?,
            peer_key: peer_key(agreement, role),
            own: MailboxId::decode(own)?,
            peer: MailboxId::decode(peer)?,
            device,
            epochs: epochs.iter().map(Epoch::decode).collect::<Option<_>>()?,
            heads: heads
                .iter()
                .map(|item| {
                    let [device, next, last] = item.as_array()?.exactly()?;
                    Some((device.as_byte_array()?, Head { next: next.as_u64()?, last: Digest::decode(last)? }))
                })
                .collect::<Option<_>>()?,
            chains: chains.iter().map(decode_chain).collect::<Option<_>>()?,
        })
    }
}

fn decode_chain(item: Item<'_>) -> Option<([u8; 8], Chain)> {
    let [device, next, last, newest, missing] = item.as_array()?.exactly()?;
    let next = next.as_u64()?;
    let missing = missing.as_array().filter(|list| list.len() <= MAX_MISSING)?;
    let missing = missing.iter().map(|number| number.as_u64().filter(|number| *number < next));
    let missing = missing.collect::<Option<Vec<_>>>()?;
    // One state has one form.
    let missing = missing.is_sorted_by(|one, next| one < next).then(|| missing.into_iter().collect())?;
    Some((
        device.as_byte_array()?,
        Chain { next, last: Digest::decode(last)?, newest: Timestamp::decode(newest)?, missing },
    ))
}

/// The plaintext's `prev`, and the rest.
fn decode(padded: &[u8]) -> Option<(Digest, Opened)> {
    let plaintext = padding::unpad(padded)?;
    let item = read(plaintext, Order::Canonical, &Limits::new(MAX_PLAINTEXT)).ok()?;
    let [device, number, prev, created, expires, body] = item.as_array()?.exactly()?;
    let opened = Opened {
        device: device.as_byte_array()?,
        number: number.as_u64().filter(|number| *number < u64::MAX)?,
        created: Timestamp::decode(created)?,
        expires: Timestamp::decode(expires)?,
        body: Body::decode(body)?,
        arrival: Arrival::InOrder,
    };
    Some((Digest::decode(prev)?, opened))
}

fn epoch_id(message: &[u8]) -> Result<[u8; 8], ConnectError> {
    let id = peek_psk_id(message).map_err(|_| ConnectError::Malformed)?;
    id.try_into().map_err(|_| ConnectError::Malformed)
}

/// Handshakes make agreements, sealed messages don't.
const fn refuse_first_contact(body: &Body) -> Result<(), ConnectError> {
    match body {
        Body::Accept(..) | Body::Confirm(..) | Body::Refuse(_) => Err(ConnectError::NotNow),
        _ => Ok(()),
    }
}

/// HPKE's info: whose mailbox, from which side, under which agreement.
fn info(address: MailboxId, from: Role, agreement: Digest) -> Vec<u8> {
    [label::SEALED.as_bytes(), address.as_bytes(), &[direction(from)], agreement.as_bytes()].concat()
}

const fn direction(from: Role) -> u8 {
    match from {
        Role::Initiator => 0,
        Role::Responder => 1,
    }
}

const fn other(role: Role) -> Role {
    match role {
        Role::Initiator => Role::Responder,
        Role::Responder => Role::Initiator,
    }
}

fn peer_key(agreement: &Agreement, role: Role) -> RecipientKey {
    agreement.party(other(role)).seal().clone()
}

/// `prev` of a device's first message.
const NOTHING: Digest = Digest::from_bytes([0; 32]);
/// How far behind the highest number a message may be.
const WINDOW: u64 = 1_024;
const MAX_MISSING: usize = 1_023;
const MAX_EPOCHS: usize = 4;
/// How long keys are kept, and how long a message may wait.
const MAX_SECS: u64 = 30 * 86_400;
const MAX_DEVICES: usize = 64;
const MAX_PLAINTEXT: usize = 1 << 20;
const MAX_EPOCH: usize = 160;
const MAX_STORED: usize = 1 << 20;
const STORED: u64 = 1;
