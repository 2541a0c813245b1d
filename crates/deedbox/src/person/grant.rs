//! Datasets and single fields handed to a connection to read, or to write, at the host and while the person is away.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use deedbox_audit::{Entry, EntryKind};
use deedbox_cbor::{Item, Writer};
use deedbox_connect::{Agreement, ConnectError, PartyKeys, Role};
use deedbox_consent::{Action, Ask, AskedFields, At, Decision, Evaluator, Permit};
use deedbox_host::capability::{Capability, Ops, Right, Target};
use deedbox_model::{CapabilityId, DatasetId, Digest, Epoch, FieldPath, Name, ObjectId, Timestamp};
use deedbox_record::{
    Dataset, GrantDraft, GrantError, GrantId, GrantScope, Grantee, Granularity, Record, VerifiedAgreement as _,
};

use super::{Change, Channel, GRANTS, GrantedAnswer, Open, Person, category_of, channel::item, connections_root};
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
    /// What was handed over last: the dataset's keys of this epoch, at this host.
    epoch: Epoch,
    host: String,
}

impl<H: HostClient> Person<Open<H>> {
    /// Grants the other side of a channel to read, or to write, at the host, if the rules permit all of it: each field of `what`,
    /// and of a whole dataset what may come into it as well. It holds until `until`, or until the decision may be another. The
    /// decisions are in the log, and with them the grant, before anything is handed over; what is handed over goes to the other
    /// side ([`Channel::hand_over`]). Where something of it is withheld nothing is granted: [`Person::answer_by_grant`] grants the
    /// rest.
    ///
    /// `ask` says what for: its purpose, basis and ground. What it says of action and fields is not looked at.
    ///
    /// # Errors
    /// [`PersonError::NotFound`] for a title or field that is not there, fields of several datasets, or a dataset with nothing
    /// in it; [`PersonError::Limited`] as for [`Person::answer_by_grant`]; [`PersonError::Grant`]; [`PersonError::Conflict`].
    pub async fn grant(
        &mut self,
        channel: &Channel,
        what: Shared<'_>,
        ask: &Ask,
        until: Timestamp,
    ) -> Result<GrantedAnswer, PersonError> {
        let now = system::now();
        let open = &mut self.state;
        let (dataset, scope) = open.scope(what)?;
        if now >= until {
            return Err(GrantError::Expired.into());
        }
        open.permits(channel)?;
        // Refused before it is kept: the same checks as when it is issued.
        Grantee::of(&open.side(channel.agreement())?.side(channel.agreement())?, now)?;
        let fields = open.fields_of(&dataset, &scope)?;
        let actions: &[Action] =
            if scope == GrantScope::Write { &[Action::Read, Action::Write] } else { &[Action::Read] };
        if fields.is_empty() {
            return Err(PersonError::NotFound);
        }
        let (mut is_whole, mut is_limited, mut until, mut decided) = (true, false, until, Vec::new());
        for action in actions {
            let mut ask = ask.clone().action(*action);
            ask.fields = Some(AskedFields::These(fields.clone()));
            let (facts, decision) = open.decide(channel, &ask, &[], now);
            until = decision.stable_until().map_or(until, |stable| stable.min(until));
            is_whole = match &decision {
                Decision::Permit(permit) => {
                    is_limited = open.is_limited(permit);
                    !is_limited
                        && fields.iter().all(|field| permit.has(field))
                        && open.permits_to_come(permit, &dataset, &scope)?
                }
                Decision::Denial(_) => false,
            };
            decided.push((ask, facts, decision));
            if !is_whole {
                break;
            }
        }
        let mut change = open.change();
        for (ask, facts, decision) in &decided {
            change.log(open.decided(ask, facts, decision, is_whole));
        }
        let entry = change.log.len().saturating_sub(1);
        let (_, _, decision) = decided.pop().ok_or(PersonError::NotFound)?;
        let mut granted = None;
        if is_whole {
            let one = open.granted(channel, dataset, scope, until)?;
            open.put_grant(&mut change, &one)?;
            change.log(one.entry(open.policy_digest(), now));
            granted = Some(one.id);
        }
        open.commit(change, now).await?;
        if is_limited {
            return Err(PersonError::Limited);
        }
        let mut handovers = Vec::new();
        if let Some(id) = granted {
            handovers.push((id, self.handover(&id).await?));
        }
        Ok(GrantedAnswer { decision, handovers, until, entry })
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
        // A renewal carries what was granted before it; an end ends it.
        let connection = open.standing_of(&granted.agreement)?;
        let agreement = connection.connection().agreement().ok_or(ConnectError::Ended)?;
        let keys = open.side(agreement)?;
        let side = keys.side(agreement)?;
        let dataset = open.keyring.dataset(&granted.dataset).ok_or(PersonError::Damaged)?;
        let shelf = open.shelves.get(&granted.dataset).ok_or(PersonError::Damaged)?;
        let head = shelf.replica.head().ok_or(PersonError::Damaged)?;
        let draft = GrantDraft::new(granted.id, dataset, head, granted.scope.clone(), granted.not_after);
        let grant = draft.issue(&Grantee::of(&side, now)?, keys.0.sign(), now, &mut rng)?;
        open.admit_grantee(&granted, &side, now).await?;
        let host = open.owner.origin().to_owned();
        Ok(Handover {
            host,
            capability: granted.capability,
            head: shelf.head().to_vec(),
            grant: grant.bytes().to_vec(),
        })
    }

    /// Grants whose holders have keys or an address of before: an erasure, a new root or a revocation gave their dataset new keys, or
    /// the box moved to another host. Each needs its handover once more ([`Person::handover`], [`Channel::hand_over`]), and is
    /// listed, on every device, until [`Person::handed_over`] says that it was.
    ///
    /// # Errors
    /// [`PersonError::Damaged`].
    pub fn outdated_grants(&self) -> Result<Vec<Granted>, PersonError> {
        let (open, now) = (&self.state, system::now());
        let mut outdated = open.grants()?;
        outdated.retain(|granted| {
            let is_present = open.present(&granted.dataset).ok() == Some(granted.epoch);
            granted.not_after > now && !(is_present && granted.host == open.owner.origin())
        });
        Ok(outdated)
    }

    /// Notes that the holders of these grants were sent their handover of now. Those that are not outdated are passed over.
    ///
    /// # Errors
    /// [`PersonError::Conflict`] when another device wrote meanwhile.
    pub async fn handed_over(&mut self, ids: &[GrantId]) -> Result<(), PersonError> {
        let mut outdated = self.outdated_grants()?;
        outdated.retain(|granted| ids.contains(&granted.id));
        if outdated.is_empty() {
            return Ok(());
        }
        let open = &mut self.state;
        let mut change = open.change();
        for mut granted in outdated {
            (granted.epoch, granted.host) = (open.present(&granted.dataset)?, open.owner.origin().to_owned());
            open.put_grant(&mut change, &granted)?;
        }
        open.commit(change, system::now()).await
    }

    /// Has a new host let in whoever has a grant in force: by what the person signed, not by what another host tells.
    pub(super) async fn admit_grantees(&self, now: Timestamp) -> Result<(), PersonError> {
        let (open, agreements) = (&self.state, self.connections()?);
        for granted in open.grants()?.iter().filter(|granted| granted.not_after > now) {
            let agreement = agreements.iter().find(|(_, agreement)| agreement.hash() == granted.agreement);
            if let Some((_, agreement)) = agreement.filter(|(_, agreement)| agreement.holds(now)) {
                open.admit_grantee(granted, &open.side(agreement)?.side(agreement)?, now).await?;
            }
        }
        Ok(())
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
        let change = open.change();
        let granted = [granted];
        open.take_back(change, &granted, now).await?;
        self.handovers(&granted, now).await
    }

    /// For those who keep a grant on a dataset of which some were `revoked`: the keys of now.
    pub(super) async fn handovers(
        &self,
        revoked: &[Granted],
        now: Timestamp,
    ) -> Result<Vec<(GrantId, Handover)>, PersonError> {
        let mut handovers = Vec::new();
        if revoked.is_empty() {
            return Ok(handovers);
        }
        for stays in self.grants()?.iter().filter(|stays| stays.not_after > now) {
            if revoked.iter().any(|granted| granted.dataset == stays.dataset) {
                handovers.push((stays.id, self.handover(&stays.id).await?));
            }
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

/// Fields, by party.
type Fields = BTreeMap<Name, BTreeSet<Name>>;

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
        Ok(Own(root.keys_for(agreement, Role::Initiator)?))
    }

    /// A grant that is yet to be written.
    pub(super) fn granted(
        &self,
        channel: &Channel,
        dataset: DatasetId,
        scope: GrantScope,
        not_after: Timestamp,
    ) -> Result<Granted, PersonError> {
        let mut rng = system::rng();
        Ok(Granted {
            id: GrantId::generate(&mut rng),
            party: channel.party().clone(),
            dataset,
            scope,
            not_after,
            agreement: channel.agreement().hash(),
            capability: CapabilityId::generate(&mut rng),
            epoch: self.present(&dataset)?,
            host: self.owner.origin().to_owned(),
        })
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

    pub(super) fn grants(&self) -> Result<Vec<Granted>, PersonError> {
        let dataset = self.dataset(GRANTS)?;
        let shelf = self.shelves.get(dataset.id()).ok_or(PersonError::Damaged)?;
        let read = |record: &Record| Granted::from_item(record.value().as_item()).ok_or(PersonError::Damaged);
        shelf.records(dataset)?.iter().map(read).collect()
    }

    /// The grants that reach a field which their holder may read no more, or, if they let them write, write no more.
    pub(super) fn grants_without(&self, unread: &Fields, unwritten: &Fields) -> Result<Vec<Granted>, PersonError> {
        let mut found = Vec::new();
        if unread.is_empty() && unwritten.is_empty() {
            return Ok(found);
        }
        for granted in self.grants()? {
            let written = unwritten.get(&granted.party).filter(|_| granted.scope == GrantScope::Write);
            let lost: BTreeSet<&Name> = unread.get(&granted.party).into_iter().chain(written).flatten().collect();
            if !lost.is_empty() && self.reaches(&granted, &lost)? {
                found.push(granted);
            }
        }
        Ok(found)
    }

    /// The fields that a grant of `scope` would reach now.
    fn fields_of(&self, dataset: &DatasetId, scope: &GrantScope) -> Result<BTreeSet<Name>, PersonError> {
        let shelf = self.shelves.get(dataset).ok_or(PersonError::Damaged)?;
        let dataset = self.keyring.dataset(dataset).ok_or(PersonError::Damaged)?;
        let mut fields = BTreeSet::new();
        for (object, record) in shelf.placed(dataset)? {
            if !matches!(scope, GrantScope::Objects(objects) if !objects.contains(&object)) {
                fields.insert(super::import::value(&record)?.field);
            }
        }
        Ok(fields)
    }

    /// Whether what may yet come into a whole dataset is permitted too: by a permission on the dataset as such, without
    /// exceptions.
    fn permits_to_come(&self, permit: &Permit, dataset: &DatasetId, scope: &GrantScope) -> Result<bool, PersonError> {
        if matches!(scope, GrantScope::Objects(_)) {
            return Ok(true);
        }
        let category = category_of(self.keyring.dataset(dataset).ok_or(PersonError::Damaged)?.title())?;
        let policy = self.rules.evaluator.policy();
        let mut rules = permit.determining().iter().filter_map(|id| policy.permission(id));
        Ok(rules.any(|(rule, _)| rule.fields.include.contains(&category) && rule.fields.exclude.is_empty()))
    }

    /// The grants that reach a field in the box which `rules` let their holder read for no purpose, or not write if they let
    /// them write.
    pub(super) fn grants_beyond(&self, rules: &Evaluator, now: Timestamp) -> Result<Vec<Granted>, PersonError> {
        let mut found = Vec::new();
        for granted in self.grants()? {
            let fields = self.fields_of(&granted.dataset, &granted.scope)?;
            let may = |action| {
                let access = rules.what_can_see(&granted.party, At { action, ..At::reading(now) });
                let may: BTreeSet<Name> = access.into_iter().map(|access| access.field).collect();
                fields.is_subset(&may)
            };
            if !may(Action::Read) || (granted.scope == GrantScope::Write && !may(Action::Write)) {
                found.push(granted);
            }
        }
        Ok(found)
    }

    /// Whether a grant reaches one of these fields, in a record that is there or, on a whole dataset, may come.
    fn reaches(&self, granted: &Granted, fields: &BTreeSet<&Name>) -> Result<bool, PersonError> {
        let dataset = self.keyring.dataset(&granted.dataset).ok_or(PersonError::Damaged)?;
        let shelf = self.shelves.get(&granted.dataset).ok_or(PersonError::Damaged)?;
        let objects = match &granted.scope {
            GrantScope::Objects(objects) => Some(objects),
            GrantScope::Read | GrantScope::Write => {
                let (category, known) =
                    (category_of(dataset.title())?, self.rules.evaluator.policy().vocabulary().fields());
                let lies_in =
                    |field: &&Name| known.get(*field).is_some_and(|field| field.categories().contains(&category));
                if fields.iter().any(lies_in) {
                    return Ok(true);
                }
                None
            }
        };
        for (object, record) in shelf.placed(dataset)? {
            let is_granted = objects.is_none_or(|objects| objects.contains(&object));
            if is_granted && fields.contains(&super::import::value(&record)?.field) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Takes grants back along with `change`, in one commit: the host lets their holders in no more, and what they could open
    /// has new keys.
    pub(super) async fn take_back(
        &mut self,
        mut change: Change,
        revoked: &[Granted],
        now: Timestamp,
    ) -> Result<(), PersonError> {
        self.shut_out(&mut change, revoked, now).await?;
        let datasets: BTreeSet<DatasetId> = revoked.iter().map(|granted| granted.dataset).collect();
        if datasets.is_empty() {
            return self.commit(change, now).await;
        }
        self.renew(&datasets.into_iter().collect::<Vec<_>>(), change, false, now).await
    }

    /// Has the host let the holders of grants in no more, and takes the grants out of the box with a change.
    pub(super) async fn shut_out(
        &self,
        change: &mut Change,
        revoked: &[Granted],
        now: Timestamp,
    ) -> Result<(), PersonError> {
        let grants = self.dataset(GRANTS)?;
        let digest = change.rules.as_ref().map_or(self.rules.digest, |rules| rules.digest);
        for granted in revoked {
            self.owner.revoke(granted.capability, now).await?;
            change.purges.push((*grants.id(), grants.name_key().object_id(&granted.name())));
            change.log(granted.entry(digest, now));
        }
        Ok(())
    }

    /// The dataset's present epoch.
    fn present(&self, dataset: &DatasetId) -> Result<Epoch, PersonError> {
        let dataset = self.keyring.dataset(dataset).ok_or(PersonError::Damaged)?;
        dataset.keys().current().ok_or(PersonError::Damaged)
    }

    /// Writes a grant into the box.
    pub(super) fn put_grant(&self, change: &mut Change, granted: &Granted) -> Result<(), PersonError> {
        let (shelf, name) = (self.dataset(GRANTS)?, granted.name());
        let record = Record::new(GRANTS, 1, &name, item(&granted.to_bytes())?)?;
        change.records.push((*shelf.id(), shelf.name_key().object_id(&name), record));
        Ok(())
    }

    /// Has the host let the holder of a grant in.
    async fn admit_grantee(&self, granted: &Granted, side: &Side<'_>, now: Timestamp) -> Result<(), PersonError> {
        let holder = side.peer_sign_key().as_ed25519().map(|key| *key.as_bytes()).ok_or(PersonError::Unexpected)?;
        let right = match &granted.scope {
            GrantScope::Read => Right::new(Target::Dataset(granted.dataset), Ops::READ),
            GrantScope::Write => Right::new(Target::Dataset(granted.dataset), Ops::READ | Ops::COMMIT),
            GrantScope::Objects(objects) => {
                Right::to_objects(granted.dataset, Ops::READ, objects.clone()).ok_or(PersonError::Damaged)?
            }
        };
        // Files lie outside of datasets. Who has an id and not the record gets bytes that open for nobody else.
        let rights = vec![right, Right::new(Target::Store, Ops::READ_BLOBS)];
        let name = *self.keyring.dataset(&granted.dataset).ok_or(PersonError::Damaged)?.store();
        let from = Timestamp::from_secs(0);
        let capability = Capability::new(granted.capability, holder, name, rights, from, granted.not_after);
        self.owner.put_alias(name, now).await?;
        Ok(self.owner.put_capability(&capability, now).await?)
    }
}

impl Granted {
    /// What the log says when it is given or taken back.
    pub(super) fn entry(&self, policy: Digest, now: Timestamp) -> Entry {
        let mut entry = Entry::new(now, EntryKind::Rule, Some(self.party.as_str()), policy);
        entry.receipt = Some(self.agreement);
        entry
    }

    pub(super) const fn capability(&self) -> CapabilityId {
        self.capability
    }

    /// Whether it is of the connection with these agreements.
    pub(super) fn is_of(&self, chain: &[Agreement]) -> bool {
        chain.iter().any(|agreement| agreement.hash() == self.agreement)
    }

    /// The name of its record.
    fn name(&self) -> String {
        format!("grant/{}", self.id)
    }

    /// ```cddl
    /// granted = [id: b16, party: tstr, dataset: b16, scope: 1 / 2 / [1*256 object: b16], not-after: uint, agreement: b32,
    ///            capability: b16, epoch: uint, host: tstr]
    /// ```
    fn to_bytes(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        self.id.encode(writer.array(9));
        writer.text(self.party.as_str());
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
        self.epoch.encode(&mut writer);
        writer.text(&self.host);
        writer.into_vec()
    }

    fn from_item(item: Item<'_>) -> Option<Self> {
        let [id, party, dataset, scope, not_after, agreement, capability, epoch, host] = item.as_array()?.exactly()?;
        let scope = match (scope.as_u64(), scope.as_array()) {
            (Some(1), _) => GrantScope::Read,
            (Some(2), _) => GrantScope::Write,
            (_, Some(objects)) => GrantScope::Objects(objects.iter().map(ObjectId::decode).collect::<Option<_>>()?),
            _ => return None,
        };
        Some(Self {
            id: GrantId::decode(id)?,
            party: Name::decode(party)?,
            dataset: DatasetId::decode(dataset)?,
            scope,
            not_after: Timestamp::decode(not_after)?,
            agreement: Digest::decode(agreement)?,
            capability: CapabilityId::decode(capability)?,
            epoch: Epoch::decode(epoch)?,
            host: host.as_str()?.to_owned(),
        })
    }
}
