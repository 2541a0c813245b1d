//! The two states that wait for a person: for the Confirm, and for the check code, as bytes.

use alloc::{string::String, vec::Vec};

use deedbox_cbor::{Item, Limits, Order, Writer, read};
use deedbox_model::Timestamp;
use rand_core::CryptoRng;
use zeroize::Zeroizing;

use super::{AwaitingConfirm, CODE_TRIES, Confirming, Established, MAX_STORED, STORED};
use crate::{
    agreement::Agreement,
    body::{Body, Contact},
    error::ConnectError,
    sealed::Epoch,
    session::LiveSession,
};

impl AwaitingConfirm {
    /// The state's bytes, to be sealed and stored while the Confirm is awaited. They hold secrets and are for one use: delete
    /// them before [`AwaitingConfirm::confirm`].
    #[must_use]
    pub fn into_stored(self) -> Zeroizing<Vec<u8>> {
        let Self { session, draft, code } = self;
        let (session, epoch) = apart(session);
        let mut writer = writer(&[&session, draft.bytes()]);
        writer.array(5).uint(STORED).bytes(&session);
        write_epoch(&mut writer, epoch.as_ref());
        writer.bytes(draft.bytes());
        match &code {
            Some(code) => writer.text(code),
            None => writer.null(),
        };
        Zeroizing::new(writer.into_vec())
    }

    /// Takes up a stored state.
    ///
    /// # Errors
    /// [`ConnectError::Malformed`]; [`ConnectError::Rejected`]; [`ConnectError::SessionOver`] after 24 hours: come again with
    /// [`crate::Accepting::again`].
    pub fn load(stored: &[u8], now: Timestamp, rng: &mut impl CryptoRng) -> Result<Self, ConnectError> {
        let parts = || {
            let item = read(stored, Order::Canonical, &Limits::new(MAX_STORED)).ok()?;
            let [version, session, epoch, draft, code] = item.as_array()?.exactly()?;
            version.as_u64().filter(|version| *version == STORED)?;
            let code = if code.is_null() { None } else { Some(read_code(code)?) };
            Some((session.as_bytes()?, read_epoch(epoch)?, draft.as_bytes()?, code))
        };
        let (session, epoch, draft, code) = parts().ok_or(ConnectError::Malformed)?;
        let draft = Agreement::verify_half(draft)?;
        Ok(Self { session: together(session, epoch, &draft, now, rng)?, draft, code })
    }
}

impl Confirming {
    /// The state's bytes, to be sealed and stored while the check code is awaited: again after each try, before the answer
    /// is shown, so that a restart gives no further try.
    #[must_use]
    pub fn into_stored(self) -> Zeroizing<Vec<u8>> {
        let Self { established: Established { agreement, session, contact }, ours, code, until, tries } = self;
        let (session, epoch) = apart(session);
        let mut writer = writer(&[&session, agreement.bytes(), &contact.deposit, &ours.deposit]);
        writer.array(9).uint(STORED).bytes(&session);
        write_epoch(&mut writer, epoch.as_ref());
        writer.bytes(agreement.bytes());
        contact.encode(&mut writer);
        ours.encode(&mut writer);
        writer.text(&code);
        until.encode(&mut writer);
        writer.uint(tries.into());
        Zeroizing::new(writer.into_vec())
    }

    /// Takes up a stored state.
    ///
    /// # Errors
    /// [`ConnectError::Malformed`]; [`ConnectError::Rejected`]; [`ConnectError::SessionOver`].
    pub fn load(stored: &[u8], now: Timestamp, rng: &mut impl CryptoRng) -> Result<Self, ConnectError> {
        let parts = || {
            let item = read(stored, Order::Canonical, &Limits::new(MAX_STORED)).ok()?;
            let [version, session, epoch, agreement, contact, ours, code, until, tries] = item.as_array()?.exactly()?;
            version.as_u64().filter(|version| *version == STORED)?;
            let tries = tries.as_u8().filter(|tries| (1..=CODE_TRIES).contains(tries))?;
            let keys = (session.as_bytes()?, read_epoch(epoch)?, agreement.as_bytes()?);
            let contacts = (Contact::decode(contact)?, Contact::decode(ours)?);
            Some((keys, contacts, read_code(code)?, Timestamp::decode(until)?, tries))
        };
        let ((session, epoch, agreement), (contact, ours), code, until, tries) =
            parts().ok_or(ConnectError::Malformed)?;
        let agreement = Agreement::verify(agreement)?;
        let session = together(session, epoch, &agreement, now, rng)?;
        Ok(Self { established: Established { agreement, session, contact }, ours, code, until, tries })
    }

    /// What the peer is told once the code is right.
    pub(super) fn confirm(&self) -> Body {
        Body::Confirm(self.established.agreement.bytes().to_vec(), self.ours.clone())
    }
}

/// A session as stored, and the keys that it came with.
fn apart(mut session: LiveSession) -> (Zeroizing<Vec<u8>>, Option<Zeroizing<Vec<u8>>>) {
    let epoch = session.take_epoch().map(|epoch| epoch.to_stored());
    (session.into_stored(), epoch)
}

fn together(
    session: &[u8],
    epoch: Option<Epoch>,
    agreement: &Agreement,
    now: Timestamp,
    rng: &mut impl CryptoRng,
) -> Result<LiveSession, ConnectError> {
    let session = LiveSession::load(session, now, rng)?;
    let fits = session.agreement() == agreement.hash()
        && epoch.as_ref().is_none_or(|epoch| epoch.agreement() == agreement.hash());
    if fits { Ok(session.with_epoch(epoch)) } else { Err(ConnectError::Malformed) }
}

/// Large enough, so that no copy of a key is left behind by growing.
fn writer(parts: &[&[u8]]) -> Writer {
    let long: usize = parts.iter().map(|part| part.len()).sum();
    Writer::with_capacity(long.saturating_add(CONTACTS))
}

fn write_epoch(writer: &mut Writer, epoch: Option<&Zeroizing<Vec<u8>>>) {
    match epoch {
        Some(epoch) => writer.bytes(epoch),
        None => writer.null(),
    };
}

fn read_epoch(item: Item<'_>) -> Option<Option<Epoch>> {
    if item.is_null() { Some(None) } else { Epoch::from_stored(item.as_bytes()?).ok().map(Some) }
}

fn read_code(item: Item<'_>) -> Option<String> {
    let six = |code: &&str| code.len() == 6 && code.bytes().all(|byte| byte.is_ascii_digit());
    item.as_str().filter(six).map(String::from)
}

/// Two contacts without their capabilities, an epoch and what frames them.
const CONTACTS: usize = 8_192;
