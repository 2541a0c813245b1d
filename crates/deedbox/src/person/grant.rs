//! Datasets and single fields handed to a connection to read, or to write, at the host and while the person is away.

use std::fmt;

use deedbox_audit::{Entry, EntryKind};
use deedbox_cbor::{Item, Writer};
use deedbox_connect::{Agreement, PartyKeys};
use deedbox_host::capability::{Capability, Ops, Right, Target};
use deedbox_model::{CapabilityId, DatasetId, Digest, FieldPath, Name, ObjectId, Timestamp};
use deedbox_record::{
    Dataset, GrantDraft, GrantError, GrantId, GrantScope, Grantee, Granularity, Record, VerifiedAgreement as _,
};

use super::{Change, Channel, GRANTS, Open, Person, channel::item, connections_root};
use crate::{client::HostClient, error::PersonError, exchange::Handover, side::Side, system};

/// What is handed over.
#[derive(Clone, Copy)]
#[non_exhaustive]
pub enum Shared<'a> {
    /// A whole dataset, with what is written into it later.
    Dataset {
        /// Its title.
        title: &'a str,
        /// Whether the connection may write into it too.
        write: bool,
    },
    /// These fields of one dataset, and none of their neighbours; 1 to 256.
    Fields(&'a [FieldPath]),
}

/// A grant in force, as the box keeps it.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Granted {
    /// Its id.
    pub id: GrantId,
    /// Who has it, as the person's rules call them.
    pub party: Name,
    /// On which dataset.
    pub dataset: DatasetId,
    /// What of it.
    pub scope: GrantScope,
    /// Until when.
    pub not_after: Timestamp,
    agreement: Digest,
    capability: CapabilityId,
}

impl<H: HostClient> Person<Open<H>> {
    /// Grants the other side of a channel to read, or to write, at the host until `not_after`. The grant is in the box and in the
    /// log before anything is handed over; what this returns goes to the other side ([`Channel::hand_over`]).
    ///
    /// # Errors
    /// [`PersonError::NotFound`] for a title or field that is not there, or fields of several datasets;
    /// [`PersonError::Grant`]; [`PersonError::Conflict`].
    pub async fn grant(
        &mut self,
        channel: &Channel,
        what: Shared<'_>,
        not_after: Timestamp,
    ) -> Result<(GrantId, Handover), PersonError> {
        let (mut rng, now) = (system::rng(), system::now());
        let open = &mut self.state;
        let (dataset, scope) = open.scope(what)?;
        if now >= not_after {
            return Err(GrantError::Expired.into());
        }
        let granted = Granted {
            id: GrantId::generate(&mut rng),
            party: channel.party().clone(),
            dataset,
            scope,
            not_after,
            agreement: channel.agreement().hash(),
            capability: CapabilityId::generate(&mut rng),
        };
        // Refused before it is kept: the same checks as when it is issued.
        Grantee::of(&open.side(channel.agreement())?.side(channel.agreement())?, now)?;
        let mut change = open.change();
        let shelf = open.dataset(GRANTS)?;
        let name = granted.name();
        let record = Record::new(GRANTS, 1, &name, item(&granted.to_bytes())?)?;
        change.records.push((*shelf.id(), shelf.name_key().object_id(&name), record));
        change.log(open.grant_entry(&granted, now));
        open.commit(change, now).await?;
        let id = granted.id;
        Ok((id, self.handover(&id).await?))
    }

    /// Grants in force.
    ///
    /// # Errors
    /// [`PersonError::Damaged`].
    pub fn grants(&self) -> Result<Vec<Granted>, PersonError> {
        self.state.grants()
    }

    /// A grant again, with the keys of now: after a rotation, or when it was lost on the way. Safe to repeat.
    ///
    /// # Errors
    /// [`PersonError::NotFound`]; [`PersonError::Grant`]: `Expired` when its time or its agreement is over.
    pub async fn handover(&self, id: &GrantId) -> Result<Handover, PersonError> {
        let (mut rng, now) = (system::rng(), system::now());
        let open = &self.state;
        let granted = open.grants()?.into_iter().find(|granted| granted.id == *id).ok_or(PersonError::NotFound)?;
        let agreements = self.connections()?;
        let agreement = agreements.iter().find(|(_, agreement)| agreement.hash() == granted.agreement);
        let (_, agreement) = agreement.ok_or(PersonError::Damaged)?;
        let keys = open.side(agreement)?;
        let side = keys.side(agreement)?;
        let dataset = open.keyring.dataset(&granted.dataset).ok_or(PersonError::Damaged)?;
        let shelf = open.shelves.get(&granted.dataset).ok_or(PersonError::Damaged)?;
        let head = shelf.replica.head().ok_or(PersonError::Damaged)?;
        let draft = GrantDraft::new(granted.id, dataset, head, granted.scope.clone(), granted.not_after);
        let grant = draft.issue(&Grantee::of(&side, now)?, keys.0.sign(), now, &mut rng)?;
        let holder = side.peer_sign_key().as_ed25519().map(|key| *key.as_bytes()).ok_or(PersonError::Unexpected)?;
        let right = match &granted.scope {
            GrantScope::Read => Right::new(Target::Dataset(granted.dataset), Ops::READ),
            GrantScope::Write => Right::new(Target::Dataset(granted.dataset), Ops::READ | Ops::COMMIT),
            GrantScope::Objects(objects) => {
                Right::to_objects(granted.dataset, Ops::READ, objects.clone()).ok_or(PersonError::Damaged)?
            }
        };
        let from = Timestamp::from_secs(0);
        let name = *dataset.store();
        let capability = Capability::new(granted.capability, holder, name, vec![right], from, granted.not_after);
        open.owner.put_alias(name, now).await?;
        open.owner.put_capability(&capability, now).await?;
        let host = open.owner.origin().to_owned();
        Ok(Handover {
            host,
            capability: granted.capability,
            head: shelf.head().to_vec(),
            grant: grant.bytes().to_vec(),
        })
    }

    /// Takes a grant back: the host lets its holder in no more, the dataset gets new keys and is sealed anew, and the old
    /// keys are forgotten. Those who keep a grant on the dataset need the new keys: their handovers are returned.
    ///
    /// What the other side has read it has. Each step is safe to repeat: until the last the grant is listed, and asking again
    /// goes on.
    ///
    /// # Errors
    /// [`PersonError::NotFound`]; [`PersonError::Conflict`] when another device wrote meanwhile.
    pub async fn revoke(&mut self, id: &GrantId) -> Result<Vec<(GrantId, Handover)>, PersonError> {
        let now = system::now();
        let open = &mut self.state;
        let granted = open.grants()?.into_iter().find(|granted| granted.id == *id).ok_or(PersonError::NotFound)?;
        open.owner.revoke(granted.capability, now).await?;
        let mut change: Change = open.change();
        let shelf = open.dataset(GRANTS)?;
        change.purges.push((*shelf.id(), shelf.name_key().object_id(&granted.name())));
        change.log(open.grant_entry(&granted, now));
        open.renew(&[granted.dataset], change, false, now).await?;
        let mut handovers = Vec::new();
        for stays in self.grants()?.iter().filter(|stays| stays.dataset == granted.dataset && stays.not_after > now) {
            handovers.push((stays.id, self.handover(&stays.id).await?));
        }
        Ok(handovers)
    }
}

/// Prints no title and no path.
impl fmt::Debug for Shared<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}

/// Prints until when; who has it on what is the person's.
impl fmt::Debug for Granted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Granted").field("not_after", &self.not_after).finish_non_exhaustive()
    }
}

/// The keys of one connection.
pub(super) struct Own(pub(super) PartyKeys);

impl Own {
    pub(super) fn side<'a>(&self, agreement: &'a Agreement) -> Result<Side<'a>, PersonError> {
        Side::of(agreement, &self.0).ok_or(PersonError::Unexpected)
    }
}

impl<H: HostClient> Open<H> {
    pub(super) fn side(&self, agreement: &Agreement) -> Result<Own, PersonError> {
        let root = connections_root(&self.keyring);
        Ok(Own(root.keys(agreement.connection_id().as_bytes(), agreement.serial())?))
    }

    fn scope(&self, what: Shared<'_>) -> Result<(DatasetId, GrantScope), PersonError> {
        let is_persons = |dataset: &&Dataset| dataset.granularity() == Granularity::Field;
        match what {
            Shared::Dataset { title, write } => {
                let dataset = Some(self.dataset(title)?).filter(is_persons).ok_or(PersonError::NotFound)?;
                Ok((*dataset.id(), if write { GrantScope::Write } else { GrantScope::Read }))
            }
            Shared::Fields(paths) => {
                let mut found = self.find(paths)?.into_iter();
                match (found.next(), found.next()) {
                    (Some((dataset, objects)), None) => {
                        Ok((dataset, GrantScope::Objects(objects.into_iter().collect())))
                    }
                    _ => Err(PersonError::NotFound),
                }
            }
        }
    }

    fn grants(&self) -> Result<Vec<Granted>, PersonError> {
        let dataset = self.dataset(GRANTS)?;
        let shelf = self.shelves.get(dataset.id()).ok_or(PersonError::Damaged)?;
        let read = |record: &Record| Granted::from_item(record.value().as_item()).ok_or(PersonError::Damaged);
        shelf.records(dataset)?.iter().map(read).collect()
    }

    fn grant_entry(&self, granted: &Granted, now: Timestamp) -> Entry {
        let mut entry = Entry::new(now, EntryKind::Rule, Some(granted.party.as_str()), self.policy_digest());
        entry.receipt = Some(granted.agreement);
        entry
    }
}

impl Granted {
    /// The name of its record.
    fn name(&self) -> String {
        let mut name = String::from("grant/");
        name.extend(self.id.as_bytes().iter().map(|byte| format!("{byte:02x}")));
        name
    }

    /// ```cddl
    /// granted = [id: b16, party: tstr, dataset: b16, scope: 1 / 2 / [1*256 object: b16], not-after: uint, agreement: b32,
    ///            capability: b16]
    /// ```
    fn to_bytes(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        writer.array(7).bytes(self.id.as_bytes()).text(self.party.as_str());
        self.dataset.encode(&mut writer);
        match &self.scope {
            GrantScope::Read => writer.uint(1),
            GrantScope::Write => writer.uint(2),
            GrantScope::Objects(objects) => {
                writer.array(objects.len());
                objects.iter().for_each(|object| object.encode(&mut writer));
                &mut writer
            }
        };
        self.not_after.encode(&mut writer);
        self.agreement.encode(&mut writer);
        self.capability.encode(&mut writer);
        writer.into_vec()
    }

    fn from_item(item: Item<'_>) -> Option<Self> {
        let [id, party, dataset, scope, not_after, agreement, capability] = item.as_array()?.exactly()?;
        let scope = match (scope.as_u64(), scope.as_array()) {
            (Some(1), _) => GrantScope::Read,
            (Some(2), _) => GrantScope::Write,
            (_, Some(objects)) => GrantScope::Objects(objects.iter().map(ObjectId::decode).collect::<Option<_>>()?),
            _ => return None,
        };
        Some(Self {
            id: GrantId::from_bytes(id.as_byte_array()?),
            party: Name::decode(party)?,
            dataset: DatasetId::decode(dataset)?,
            scope,
            not_after: Timestamp::decode(not_after)?,
            agreement: Digest::decode(agreement)?,
            capability: CapabilityId::decode(capability)?,
        })
    }
}
