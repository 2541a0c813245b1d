use alloc::{boxed::Box, collections::BTreeSet, sync::Arc, vec::Vec};
use core::num::NonZeroU32;

use deedbox_cbor::{Item, Writer};
use deedbox_model::Name;

use crate::{
    Any, Ask, Basis, CompileError, Decision, Evaluator, EvidenceKind, Ground, HostFacts, Mandate, Obligation,
    Permission, Prohibition, Rank, Roster, RuleError, Selector, To, Vocabulary,
    codec::{read, to_vec},
    eval::Index,
    shared::SharedMap,
    vocab::BREAK_GLASS,
};

/// All rules of one person, and the vocabulary they are written in.
///
/// Holds accepted rules only. Clones share what neither changes. Personal data: store it sealed.
#[derive(Debug, Clone)]
pub struct Policy {
    pub(crate) vocabulary: Vocabulary,
    pub(crate) mandates: SharedMap<(Arc<Mandate>, MandateStatus)>,
    pub(crate) permissions: SharedMap<(Arc<Permission>, PermissionStatus)>,
    pub(crate) prohibitions: SharedMap<Arc<Prohibition>>,
    /// Ids that were offered, accepted or not; not part of the bytes.
    seen: SharedMap<()>,
}

/// Whether a permission works.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "callers must notice a new one")]
pub enum PermissionStatus {
    /// 0: it works.
    #[default]
    Given,
    /// 1: it rests until it is resumed.
    Suspended,
    /// 2: it has ended for good.
    Withdrawn,
}

/// Whether a mandate works.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "callers must notice a new one")]
pub enum MandateStatus {
    /// 0: it works.
    #[default]
    Active,
    /// 1: it waits to be activated.
    Dormant,
    /// 2: it has ended for good.
    Ended,
}

/// Who made a change; whoever calls has verified it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "there is no third")]
pub enum Maker {
    /// The person.
    Person,
    /// A party that acts for the person under a mandate.
    Agent(Name),
}

/// A change to a policy.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Change {
    /// Wakes a dormant mandate.
    ActivateMandate(Name),
    /// Adds a mandate, active or dormant.
    AddMandate(Box<Mandate>, MandateStatus),
    /// Gives a permission.
    AddPermission(Box<Permission>),
    /// Adds a prohibition.
    AddProhibition(Box<Prohibition>),
    /// Ends a mandate, and with it the permissions made under it; its prohibitions stay.
    EndMandate(Name),
    /// Removes a prohibition.
    Lift(Name),
    /// Lets a suspended permission work again.
    Resume(Name),
    /// Adds a roster to a cluster and makes it current.
    Roster {
        /// The cluster.
        cluster: Name,
        /// The roster's number.
        version: NonZeroU32,
        /// Its members.
        members: BTreeSet<Name>,
    },
    /// Lets a permission rest.
    Suspend(Name),
    /// Ends a permission for good.
    Withdraw(Name),
}

impl From<Permission> for Change {
    fn from(permission: Permission) -> Self {
        Self::AddPermission(Box::new(permission))
    }
}

impl From<Prohibition> for Change {
    fn from(prohibition: Prohibition) -> Self {
        Self::AddProhibition(Box::new(prohibition))
    }
}

impl From<Mandate> for Change {
    fn from(mandate: Mandate) -> Self {
        Self::AddMandate(Box::new(mandate), MandateStatus::Active)
    }
}

impl Policy {
    /// The most bytes of an encoded policy.
    pub const MAX_LEN: usize = 64 << 20;
    /// The most rules.
    pub const MAX_RULES: usize = 20_000;

    /// A policy without rules: everything is denied.
    #[must_use]
    pub const fn new(vocabulary: Vocabulary) -> Self {
        Self {
            vocabulary,
            mandates: SharedMap::new(),
            permissions: SharedMap::new(),
            prohibitions: SharedMap::new(),
            seen: SharedMap::new(),
        }
    }

    /// Reads the canonical bytes, at most [`Policy::MAX_LEN`]; every rule in it must be acceptable.
    ///
    /// # Errors
    /// [`RuleError::TooLong`], [`RuleError::Malformed`], or what made a rule unacceptable.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, RuleError> {
        if bytes.len() > Self::MAX_LEN {
            return Err(RuleError::TooLong);
        }
        let item = read(bytes, Self::MAX_LEN).ok_or(RuleError::Malformed)?;
        let policy = Self::decode(item)?;
        // Order of the lists, statuses in their defaults and the like: all told by one comparison.
        if policy.to_bytes() == bytes { Ok(policy) } else { Err(RuleError::Malformed) }
    }

    /// The canonical bytes; whoever calls hashes and seals them.
    ///
    /// `[1, vocabulary, [* mandate], [* permission], [* prohibition], {id => status}]`, rules by id, statuses where not 0.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        to_vec(|writer| self.encode(writer))
    }

    /// The words its rules are written in.
    #[must_use]
    pub const fn vocabulary(&self) -> &Vocabulary {
        &self.vocabulary
    }

    /// The mandates with their statuses, by id.
    pub fn mandates(&self) -> impl Iterator<Item = (&Mandate, MandateStatus)> {
        self.mandates.values().map(|(mandate, status)| (&**mandate, *status))
    }

    /// The permissions with their statuses, by id.
    pub fn permissions(&self) -> impl Iterator<Item = (&Permission, PermissionStatus)> {
        self.permissions.values().map(|(permission, status)| (&**permission, *status))
    }

    /// The prohibitions, by id.
    pub fn prohibitions(&self) -> impl Iterator<Item = &Prohibition> {
        self.prohibitions.values().map(|prohibition| &**prohibition)
    }

    /// One permission with its status.
    #[must_use]
    pub fn permission(&self, id: &Name) -> Option<(&Permission, PermissionStatus)> {
        self.permissions.get(id).map(|(permission, status)| (&**permission, *status))
    }

    /// Decides a request.
    ///
    /// Total: every request has an answer, and without a permission it is no. Compiles the rules about the asker first;
    /// whoever decides often keeps an [`Evaluator`].
    pub fn decide(&self, ask: &Ask, host: &HostFacts) -> Decision {
        Index::about(self, [Some(&host.party), ask.recipient.as_ref()].into_iter().flatten()).decide(ask, host)
    }

    /// Makes an evaluator that can be shared between threads.
    ///
    /// # Errors
    /// [`CompileError::TooLarge`].
    pub fn compile(&self) -> Result<Evaluator, CompileError> {
        Evaluator::new(self.clone())
    }

    /// Makes a change, or refuses it whole. A refused rule's id counts as seen; nothing else changes.
    ///
    /// # Errors
    /// [`RuleError::NotYours`] if `maker` may not; then whatever makes the change unacceptable.
    pub fn apply(&mut self, change: impl Into<Change>, maker: &Maker) -> Result<(), RuleError> {
        let change = change.into();
        self.check_maker(&change, maker)?;
        match change {
            Change::AddMandate(mandate, status) => {
                self.check_new(&mandate.id, mandate.to_bytes().len())?;
                self.check_mandate(&mandate)?;
                self.mandates.insert(mandate.id.clone(), (Arc::from(mandate), status));
            }
            Change::AddPermission(permission) => {
                self.check_new(&permission.id, permission.to_bytes().len())?;
                self.check_permission(&permission)?;
                self.permissions.insert(permission.id.clone(), (Arc::from(permission), PermissionStatus::Given));
            }
            Change::AddProhibition(prohibition) => {
                self.check_new(&prohibition.id, prohibition.to_bytes().len())?;
                self.check_prohibition(&prohibition)?;
                self.prohibitions.insert(prohibition.id.clone(), Arc::from(prohibition));
            }
            Change::Lift(id) => {
                self.prohibitions.remove(&id).ok_or(RuleError::UnknownId)?;
            }
            Change::Roster { cluster, version, members } => self.vocabulary.add_roster(&cluster, version, members)?,
            Change::Suspend(id) => {
                self.set_permission(&id, &[PermissionStatus::Given], PermissionStatus::Suspended)?;
            }
            Change::Resume(id) => {
                self.set_permission(&id, &[PermissionStatus::Suspended], PermissionStatus::Given)?;
            }
            Change::Withdraw(id) => {
                let from = [PermissionStatus::Given, PermissionStatus::Suspended];
                self.set_permission(&id, &from, PermissionStatus::Withdrawn)?;
            }
            Change::ActivateMandate(id) => {
                self.set_mandate(&id, &[MandateStatus::Dormant], MandateStatus::Active)?;
            }
            Change::EndMandate(id) => {
                let from = [MandateStatus::Active, MandateStatus::Dormant];
                self.set_mandate(&id, &from, MandateStatus::Ended)?;
            }
        }
        Ok(())
    }

    fn set_permission(&mut self, id: &Name, from: &[PermissionStatus], to: PermissionStatus) -> Result<(), RuleError> {
        let (_, status) = self.permissions.get_mut(id).ok_or(RuleError::UnknownId)?;
        if !from.contains(status) {
            return Err(RuleError::WrongStatus);
        }
        *status = to;
        Ok(())
    }

    fn set_mandate(&mut self, id: &Name, from: &[MandateStatus], to: MandateStatus) -> Result<(), RuleError> {
        let (_, status) = self.mandates.get_mut(id).ok_or(RuleError::UnknownId)?;
        if !from.contains(status) {
            return Err(RuleError::WrongStatus);
        }
        *status = to;
        Ok(())
    }

    /// An agent may make and change rules of ranks below seal under a mandate of its own, and give that mandate back.
    fn check_maker(&self, change: &Change, maker: &Maker) -> Result<(), RuleError> {
        let Maker::Agent(agent) = maker else { return Ok(()) };
        let mandate = match change {
            Change::AddPermission(permission) => permission.mandate.as_ref(),
            Change::AddProhibition(prohibition) if prohibition.rank < Rank::SEAL => prohibition.mandate.as_ref(),
            Change::Suspend(id) | Change::Resume(id) | Change::Withdraw(id) => {
                let (permission, _) = self.permissions.get(id).ok_or(RuleError::UnknownId)?;
                permission.mandate.as_ref()
            }
            Change::EndMandate(id) => Some(id),
            _ => None,
        };
        let mandate = mandate.ok_or(RuleError::NotYours)?;
        let (mandate, _) = self.mandates.get(mandate).ok_or(RuleError::UnknownId)?;
        if mandate.agent == *agent { Ok(()) } else { Err(RuleError::NotYours) }
    }

    /// What is asked of every new rule first.
    fn check_new(&mut self, id: &Name, len: usize) -> Result<(), RuleError> {
        let rules = self.mandates.len() + self.permissions.len() + self.prohibitions.len();
        if len > Permission::MAX_LEN || rules >= Self::MAX_RULES {
            return Err(RuleError::TooLong);
        }
        if self.seen.insert(id.clone(), ()) { Ok(()) } else { Err(RuleError::DuplicateId) }
    }

    fn check_mandate(&self, mandate: &Mandate) -> Result<(), RuleError> {
        let Mandate { agent, rank, purposes, actions, fields, bounds, .. } = mandate;
        let known = self.vocabulary.parties().contains_key(agent)
            && rank.is_known()
            && self.knows(purposes.only(), fields.only())
            && actions.only().is_none_or(|actions| actions.is_known());
        check(known, RuleError::UnknownId)?;
        check(!is_empty(purposes, actions, fields), RuleError::Empty)?;
        let bounded = bounds.from.is_some() && bounds.until.is_some() && !bounds.is_empty();
        check(bounded, RuleError::BadBounds)?;
        check(matches!(*rank, Rank::DELEGATE | Rank::PERSON), RuleError::RankNotAllowed)
    }

    fn check_permission(&self, permission: &Permission) -> Result<(), RuleError> {
        let Permission { rank, to, purpose, actions, fields, basis, ground, .. } = permission;
        let vocabulary = &self.vocabulary;
        let known = rank.is_known()
            && matches!(to, To::Party(_) | To::Roster(..))
            && vocabulary.knows_to(to)
            && vocabulary.has_purpose(purpose)
            && actions.is_known()
            && vocabulary.knows_selector(fields)
            && basis.is_known()
            && ground.is_none_or(Ground::is_known)
            && permission.conditions.iter().all(|condition| vocabulary.conditions().contains(condition))
            && permission.recipients.iter().all(|recipient| vocabulary.parties().contains_key(recipient))
            && permission.obligations.is_known()
            && permission.evidence.kind.is_known()
            && permission.mandate.as_ref().is_none_or(|mandate| self.mandates.contains(mandate));
        check(known, RuleError::UnknownId)?;
        check(!actions.is_empty() && !fields.include.is_empty(), RuleError::Empty)?;
        let bounds = &permission.bounds;
        let bounded = bounds.from.is_some()
            && bounds.until.is_some()
            && !bounds.is_empty()
            && !permission.records.is_empty()
            && permission.retention.is_some()
            && permission.assurance <= 4
            && permission.limit.is_none_or(|limit| limit.times >= 1 && limit.per != Some(0));
        check(bounded, RuleError::BadBounds)?;
        check(*rank != Rank::SEAL, RuleError::RankNotAllowed)?;
        check(vocabulary.regime().has(*basis), RuleError::BasisNotInRegime)?;
        let (consent, evidence) = (*basis == Basis::CONSENT, permission.evidence.kind);
        check(!consent || evidence != EvidenceKind::NONE, RuleError::NoEvidence)?;
        check(!consent || evidence != EvidenceKind::CONDITIONAL, RuleError::Conditional)?;
        let explicit = *ground != Some(Ground::EXPLICIT_CONSENT) || evidence == EvidenceKind::EXPLICIT;
        check(explicit, RuleError::ExplicitNeeded)?;
        check(!consent || !matches!(to, To::Roster(_, Roster::Current)), RuleError::RosterUnpinned)?;
        if *rank == Rank::EMERGENCY {
            check(permission.conditions.contains(BREAK_GLASS), RuleError::EmergencyCondition)?;
            let duties = [Obligation::NotifyPerson, Obligation::Justify].into();
            check(permission.obligations.contains_all(duties), RuleError::EmergencyDuties)?;
        }
        self.check_under(permission.mandate.as_ref(), *rank, |mandate| {
            self.purpose_is_in(purpose, mandate)
                && mandate.actions.only().is_none_or(|allowed| allowed.contains_all(*actions))
                && mandate.fields.only().is_none_or(|allowed| self.fields_are_in(fields, allowed))
        })
    }

    fn check_prohibition(&self, prohibition: &Prohibition) -> Result<(), RuleError> {
        let Prohibition { rank, to, purposes, actions, fields, bounds, records, mandate, .. } = prohibition;
        let known = rank.is_known()
            && matches!(to, To::Anyone | To::Cluster(_) | To::Party(_))
            && self.vocabulary.knows_to(to)
            && self.knows(purposes.only(), fields.only())
            && actions.only().is_none_or(|actions| actions.is_known())
            && mandate.as_ref().is_none_or(|mandate| self.mandates.contains(mandate));
        check(known, RuleError::UnknownId)?;
        check(!is_empty(purposes, actions, fields), RuleError::Empty)?;
        check(!bounds.is_empty() && !records.is_empty(), RuleError::BadBounds)?;
        check(*rank != Rank::EMERGENCY, RuleError::RankNotAllowed)?;
        self.check_under(mandate.as_ref(), *rank, |mandate| {
            let purposes = mandate.purposes.only().is_none()
                || purposes
                    .only()
                    .is_some_and(|purposes| purposes.iter().all(|purpose| self.purpose_is_in(purpose, mandate)));
            let actions = mandate
                .actions
                .only()
                .is_none_or(|allowed| actions.only().is_some_and(|actions| allowed.contains_all(*actions)));
            let fields = mandate
                .fields
                .only()
                .is_none_or(|allowed| fields.only().is_some_and(|fields| self.fields_are_in(fields, allowed)));
            purposes && actions && fields
        })
    }

    /// The checks of a rule against its mandate.
    fn check_under(
        &self,
        mandate: Option<&Name>,
        rank: Rank,
        is_in_scope: impl FnOnce(&Mandate) -> bool,
    ) -> Result<(), RuleError> {
        let Some(mandate) = mandate else { return check(rank != Rank::DELEGATE, RuleError::MandateMissing) };
        let (mandate, status) = self.mandates.get(mandate).ok_or(RuleError::UnknownId)?;
        check(*status == MandateStatus::Active, RuleError::MandateDormant)?;
        check(rank <= mandate.rank, RuleError::MandateRank)?;
        check(is_in_scope(mandate), RuleError::MandateScope)
    }

    fn knows(&self, purposes: Option<&BTreeSet<Name>>, fields: Option<&Selector>) -> bool {
        purposes.is_none_or(|purposes| purposes.iter().all(|purpose| self.vocabulary.has_purpose(purpose)))
            && fields.is_none_or(|fields| self.vocabulary.knows_selector(fields))
    }

    fn purpose_is_in(&self, purpose: &Name, mandate: &Mandate) -> bool {
        mandate
            .purposes
            .only()
            .is_none_or(|allowed| allowed.iter().any(|allowed| self.vocabulary.is_purpose_within(purpose, allowed)))
    }

    fn fields_are_in(&self, fields: &Selector, allowed: &Selector) -> bool {
        let words = self.vocabulary.words();
        words.select(fields).is_subset(&words.select(allowed))
    }

    fn encode(&self, writer: &mut Writer) {
        writer.array(6).uint(1);
        self.vocabulary.encode(writer);
        writer.array(self.mandates.len());
        for (mandate, _) in self.mandates.values() {
            mandate.encode(writer);
        }
        writer.array(self.permissions.len());
        for (permission, _) in self.permissions.values() {
            permission.encode(writer);
        }
        writer.array(self.prohibitions.len());
        for prohibition in self.prohibitions.values() {
            prohibition.encode(writer);
        }
        let mandates = self.mandates.iter().map(|(id, (_, status))| (id, status.number()));
        let permissions = self.permissions.iter().map(|(id, (_, status))| (id, status.number()));
        writer.map(|map| {
            for (id, status) in mandates.chain(permissions).filter(|(_, status)| *status != 0) {
                map.text(id.as_str(), |writer| {
                    writer.uint(u64::from(status));
                });
            }
        });
    }

    fn decode(item: Item<'_>) -> Result<Self, RuleError> {
        let parts = item.as_array().and_then(|array| array.exactly()).ok_or(RuleError::Malformed)?;
        let [format, vocabulary, mandates, permissions, prohibitions, statuses] = parts;
        check(format.as_u64() == Some(1), RuleError::Malformed)?;
        let vocabulary = Vocabulary::decode(vocabulary).map_err(|_| RuleError::Malformed)?;
        let mut policy = Self::new(vocabulary);
        // Everything was accepted while its mandate was active, so the statuses come last.
        for rule in list(mandates)? {
            policy.apply(Mandate::decode(rule).ok_or(RuleError::Malformed)?, &Maker::Person)?;
        }
        for rule in list(permissions)? {
            policy.apply(Permission::decode(rule).ok_or(RuleError::Malformed)?, &Maker::Person)?;
        }
        for rule in list(prohibitions)? {
            policy.apply(Prohibition::decode(rule).ok_or(RuleError::Malformed)?, &Maker::Person)?;
        }
        for (id, status) in statuses.as_map().ok_or(RuleError::Malformed)?.iter() {
            let id = Name::decode(id).ok_or(RuleError::Malformed)?;
            let status = status.as_u8().ok_or(RuleError::Malformed)?;
            if let Some((_, current)) = policy.permissions.get_mut(&id) {
                *current = PermissionStatus::from_number(status).ok_or(RuleError::Malformed)?;
            } else {
                let (_, current) = policy.mandates.get_mut(&id).ok_or(RuleError::UnknownId)?;
                *current = MandateStatus::from_number(status).ok_or(RuleError::Malformed)?;
            }
        }
        Ok(policy)
    }
}

/// Policies are equal when their bytes are.
impl PartialEq for Policy {
    fn eq(&self, other: &Self) -> bool {
        self.vocabulary == other.vocabulary
            && self.mandates == other.mandates
            && self.permissions == other.permissions
            && self.prohibitions == other.prohibitions
    }
}

impl Eq for Policy {}

impl PermissionStatus {
    /// Its number in a policy's bytes.
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::Given => 0,
            Self::Suspended => 1,
            Self::Withdrawn => 2,
        }
    }

    const fn from_number(number: u8) -> Option<Self> {
        match number {
            0 => Some(Self::Given),
            1 => Some(Self::Suspended),
            2 => Some(Self::Withdrawn),
            _ => None,
        }
    }
}

impl MandateStatus {
    /// Its number in a policy's bytes.
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::Active => 0,
            Self::Dormant => 1,
            Self::Ended => 2,
        }
    }

    const fn from_number(number: u8) -> Option<Self> {
        match number {
            0 => Some(Self::Active),
            1 => Some(Self::Dormant),
            2 => Some(Self::Ended),
            _ => None,
        }
    }
}

fn check(holds: bool, otherwise: RuleError) -> Result<(), RuleError> {
    if holds { Ok(()) } else { Err(otherwise) }
}

fn list(item: Item<'_>) -> Result<impl Iterator<Item = Item<'_>>, RuleError> {
    Ok(item.as_array().ok_or(RuleError::Malformed)?.iter())
}

fn is_empty(purposes: &Any<BTreeSet<Name>>, actions: &Any<crate::Actions>, fields: &Any<Selector>) -> bool {
    purposes.only().is_some_and(BTreeSet::is_empty)
        || actions.only().is_some_and(|actions| actions.is_empty())
        || fields.only().is_some_and(|fields| fields.include.is_empty())
}
