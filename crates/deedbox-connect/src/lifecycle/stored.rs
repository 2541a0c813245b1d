//! A connection as bytes. Its agreements are kept beside it, each verified by the one before.

use alloc::vec::Vec;

use deedbox_cbor::{Item, Limits, Order, Writer, read};
use deedbox_edhoc::Role;
use deedbox_model::{ConnectionId, Digest, Timestamp};

use super::{Connection, Held, State, Suspended};
use crate::{
    active::Tombstone,
    agreement::{Agreement, EndReason, Proposal},
    error::ConnectError,
    invitation::InvitationId,
};

impl Connection {
    /// Its bytes, to be kept with the documents of its agreements: these are named by hash.
    ///
    /// ```cddl
    /// stored-connection = [1, role: 0..1, invited / accepting / confirming / held / ended]
    /// invited    = [0, inv: bytes16, until: uint]
    /// accepting  = [1, inv: bytes16, agreement: bytes32, until: uint]
    /// confirming = [2, agreement: bytes32, until: uint]
    /// held       = [3, agreement: bytes32, prior: bytes32 / null, proposal: [by: 0..1, bstr] / null, suspended: 0..7]
    /// ended      = [4, conn: bytes16 / null, [0*2 bytes32], inv: bytes16 / null, at: uint, reason: 0..5, by: 0..1 / null]
    /// ```
    #[must_use]
    pub fn to_stored(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        writer.array(3).uint(STORED).uint(number(self.role));
        match &self.state {
            State::Invited { inv, until } => {
                writer.array(3).uint(0).bytes(inv.as_bytes());
                until.encode(&mut writer);
            }
            State::Accepting { inv, agreement, until } => {
                writer.array(4).uint(1).bytes(inv.as_bytes());
                agreement.encode(&mut writer);
                until.encode(&mut writer);
            }
            State::Confirming { agreement, until } => {
                writer.array(3).uint(2);
                agreement.hash().encode(&mut writer);
                until.encode(&mut writer);
            }
            State::Held(held) => held.encode(&mut writer),
            State::Ended(tombstone) => tombstone.encode(&mut writer),
        }
        writer.into_vec()
    }

    /// Takes up stored bytes. `agreements` are those of the connection, as [`Agreement::verify_chain`] gives them; an ended
    /// connection needs none.
    ///
    /// # Errors
    /// [`ConnectError::Malformed`]; [`ConnectError::AgreementMismatch`] when an agreement that is named is not there;
    /// of a proposal, as [`Proposal::verify`].
    pub fn load(stored: &[u8], agreements: &[Agreement]) -> Result<Self, ConnectError> {
        let item = read(stored, Order::Canonical, &Limits::new(MAX_STORED)).map_err(|_| ConnectError::Malformed)?;
        let parts = || -> Option<_> {
            let [version, role, state] = item.as_array()?.exactly()?;
            version.as_u64().filter(|version| *version == STORED)?;
            Some((side(role)?, state.as_array()?.get(0)?.as_u64()?, state))
        };
        let (role, kind, state) = parts().ok_or(ConnectError::Malformed)?;
        let find = |hash: Digest| {
            let found = agreements.iter().find(|agreement| agreement.hash() == hash);
            found.cloned().ok_or(ConnectError::AgreementMismatch)
        };
        let state = match (kind, role) {
            (0, Role::Responder) => invited(state).ok_or(ConnectError::Malformed)?,
            (1, Role::Initiator) => accepting(state).ok_or(ConnectError::Malformed)?,
            (2, Role::Responder) => {
                let (hash, until) = confirming(state).ok_or(ConnectError::Malformed)?;
                State::Confirming { agreement: find(hash)?, until }
            }
            (3, _) => State::Held(Held::decode(state, find)?),
            (4, _) => State::Ended(Tombstone::decode(state).ok_or(ConnectError::Malformed)?),
            _ => return Err(ConnectError::Malformed),
        };
        Ok(Self { role, state })
    }
}

fn invited(item: Item<'_>) -> Option<State> {
    let [_, inv, until] = item.as_array()?.exactly()?;
    Some(State::Invited { inv: InvitationId::from_bytes(inv.as_byte_array()?), until: Timestamp::decode(until)? })
}

fn accepting(item: Item<'_>) -> Option<State> {
    let [_, inv, agreement, until] = item.as_array()?.exactly()?;
    Some(State::Accepting {
        inv: InvitationId::from_bytes(inv.as_byte_array()?),
        agreement: Digest::decode(agreement)?,
        until: Timestamp::decode(until)?,
    })
}

fn confirming(item: Item<'_>) -> Option<(Digest, Timestamp)> {
    let [_, agreement, until] = item.as_array()?.exactly()?;
    Some((Digest::decode(agreement)?, Timestamp::decode(until)?))
}

impl Held {
    fn encode(&self, writer: &mut Writer) {
        writer.array(5).uint(3);
        self.agreement.hash().encode(writer);
        nullable(writer, self.prior.as_ref(), |w, prior| prior.hash().encode(w));
        nullable(writer, self.proposal.as_ref(), |w, proposal| {
            w.array(2).uint(number(proposal.by())).bytes(proposal.bytes());
        });
        let Suspended { own, peer, unknown } = self.suspended;
        writer.uint(u64::from(own) | u64::from(peer) << 1 | u64::from(unknown) << 2);
    }

    fn decode(item: Item<'_>, find: impl Fn(Digest) -> Result<Agreement, ConnectError>) -> Result<Self, ConnectError> {
        let parts = || -> Option<_> {
            let [_, agreement, prior, proposal, suspended] = item.as_array()?.exactly()?;
            let prior = optional(prior, Digest::decode)?;
            let proposal = optional(proposal, |item| {
                let [by, document] = item.as_array()?.exactly()?;
                Some((side(by)?, document.as_bytes()?))
            })?;
            Some((Digest::decode(agreement)?, prior, proposal, suspended.as_u8().filter(|bits| *bits < 8)?))
        };
        let (agreement, prior, proposal, bits) = parts().ok_or(ConnectError::Malformed)?;
        let agreement = find(agreement)?;
        if prior.is_some_and(|prior| agreement.prior() != Some(prior)) {
            return Err(ConnectError::AgreementMismatch);
        }
        let prior = prior.map(find).transpose()?;
        let proposal = proposal.map(|(by, document)| Proposal::verify(&agreement, by, document)).transpose()?;
        let suspended = Suspended { own: bits & 1 != 0, peer: bits & 2 != 0, unknown: bits & 4 != 0 };
        Ok(Self { agreement, prior, proposal, suspended })
    }
}

impl Tombstone {
    fn encode(&self, writer: &mut Writer) {
        writer.array(7).uint(4);
        nullable(writer, self.conn.as_ref(), |w, conn| conn.encode(w));
        writer.array(self.agreements.len());
        self.agreements.iter().for_each(|hash| hash.encode(writer));
        nullable(writer, self.inv.as_ref(), |w, inv| {
            w.bytes(inv.as_bytes());
        });
        self.at.encode(writer);
        writer.uint(u8::from(self.reason).into());
        nullable(writer, self.by.as_ref(), |w, by| {
            w.uint(number(*by));
        });
    }

    fn decode(item: Item<'_>) -> Option<Self> {
        let [_, conn, agreements, inv, at, reason, by] = item.as_array()?.exactly()?;
        let reason = match reason.as_u64()? {
            0 => EndReason::NotGiven,
            1 => EndReason::Withdrawn,
            2 => EndReason::PurposeMet,
            3 => EndReason::Security,
            4 => EndReason::Expired,
            5 => EndReason::Refused,
            _ => return None,
        };
        let by = optional(by, side)?;
        // Time and a refusal end a connection by nobody's hand, all else by a signature.
        let signed = !matches!(reason, EndReason::Expired | EndReason::Refused);
        let agreements = agreements.as_array().filter(|list| list.len() <= 2 && signed == by.is_some())?;
        Some(Self {
            conn: optional(conn, ConnectionId::decode)?,
            agreements: agreements.iter().map(Digest::decode).collect::<Option<_>>()?,
            inv: optional(inv, |inv| inv.as_byte_array().map(InvitationId::from_bytes))?,
            at: Timestamp::decode(at)?,
            reason,
            by,
        })
    }
}

const fn number(role: Role) -> u64 {
    match role {
        Role::Initiator => 0,
        Role::Responder => 1,
    }
}

fn side(item: Item<'_>) -> Option<Role> {
    match item.as_u64()? {
        0 => Some(Role::Initiator),
        1 => Some(Role::Responder),
        _ => None,
    }
}

fn nullable<T>(writer: &mut Writer, value: Option<&T>, encode: impl FnOnce(&mut Writer, &T)) {
    match value {
        Some(value) => encode(writer, value),
        None => {
            writer.null();
        }
    }
}

fn optional<'a, T>(item: Item<'a>, decode: impl FnOnce(Item<'a>) -> Option<T>) -> Option<Option<T>> {
    if item.is_null() { Some(None) } else { decode(item).map(Some) }
}

const STORED: u64 = 1;
/// The longest has a proposal.
const MAX_STORED: usize = 66_560;
