//! An ask that is answered at the host: with grants of what the rules permit, for as long as they do.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use deedbox_consent::{Action, Ask, Bounds, Decision, Permit};
use deedbox_model::{DatasetId, ObjectId, Timestamp};
use deedbox_record::{GrantError, GrantId, GrantScope, Grantee};

use super::{Channel, Open, Person, import};
use crate::{
    client::HostClient,
    error::PersonError,
    exchange::{ASK, Handover},
    system,
};

/// What became of an ask that was answered with grants, or of a grant that the person wished. The log has it already.
#[non_exhaustive]
pub struct GrantedAnswer {
    /// The decision, whole.
    pub decision: Decision,
    /// For the other side ([`Channel::hand_over`]): one for each dataset, none where nothing was granted.
    pub handovers: Vec<(GrantId, Handover)>,
    /// Until when they hold: as was asked, or until the decision may be another, if that is earlier.
    pub until: Timestamp,
    /// The number of the decision's entry in the log.
    pub entry: u64,
}

impl<H: HostClient> Person<Open<H>> {
    /// Answers an ask to read as [`Person::answer`] does, but with grants instead of values: the other side reads the fields
    /// that the rules permit at the host, as they are then, until `until` or until the decision may be another. Decision and
    /// grants are in the log before this gives anything. A change of the rules takes them back ([`Person::apply`]).
    ///
    /// # Errors
    /// [`PersonError::Limited`] when a permission that is needed for it counts uses or is for records of certain times: the log has
    /// the decision, and that nothing came of it.
    /// [`PersonError::Unexpected`] for an ask to do anything else than read; [`PersonError::Grant`]: `Expired` when `until` is
    /// over; [`PersonError::Connect`], [`PersonError::Host`]. Nothing is granted then.
    pub async fn answer_by_grant(
        &mut self,
        channel: &mut Channel,
        record: &[u8],
        until: Timestamp,
    ) -> Result<GrantedAnswer, PersonError> {
        let now = system::now();
        self.state.permits(channel)?;
        let ask = channel.receive(record, ASK)?;
        let ask = Ask::from_bytes(&ask).ok().filter(|ask| ask.action == Some(Action::Read));
        let ask = ask.ok_or(PersonError::Unexpected)?;
        if now >= until {
            return Err(GrantError::Expired.into());
        }
        let channel = &*channel;
        let make = |open: &Open<H>| {
            open.permits(channel)?;
            Grantee::of(&open.side(channel.agreement())?.side(channel.agreement())?, now)?;
            let (facts, decision) = open.decide(channel, &ask, &[], now);
            let (mut is_limited, mut objects) = (false, BTreeMap::new());
            if let Decision::Permit(permit) = &decision {
                is_limited = open.is_limited(permit);
                objects = if is_limited { objects } else { open.objects_of(permit)? };
            }
            let until = decision.stable_until().map_or(until, |stable| stable.min(until));
            let mut change = open.change();
            change.log(open.decided(&ask, &facts, &decision, !objects.is_empty()));
            let entry = change.log.len().saturating_sub(1);
            let mut granted = Vec::new();
            for (dataset, objects) in objects {
                let objects: Vec<ObjectId> = objects.into_iter().collect();
                for some in objects.chunks(MAX_OBJECTS) {
                    let scope = GrantScope::Objects(some.to_vec());
                    let one = open.granted(channel, dataset, scope, until)?;
                    open.put_grant(&mut change, &one)?;
                    change.log(one.entry(open.policy_digest(), now));
                    granted.push(one.id);
                }
            }
            Ok((change, (decision, granted, until, entry, is_limited)))
        };
        let (decision, granted, until, entry, is_limited) = self.state.write_with(now, make).await?;
        if is_limited {
            return Err(PersonError::Limited);
        }
        let mut handovers = Vec::new();
        for id in granted {
            handovers.push((id, self.handover(&id).await?));
        }
        Ok(GrantedAnswer { decision, handovers, until, entry })
    }
}

impl<H: HostClient> Open<H> {
    /// Whether a permission gives the permit which counts uses or is for records of certain times: a reader at the host does
    /// neither.
    pub(super) fn is_limited(&self, permit: &Permit) -> bool {
        let policy = self.rules.evaluator.policy();
        let is_limited = |rule: &deedbox_consent::Permission| rule.limit.is_some() || rule.records != Bounds::OPEN;
        let mut rules = permit.determining().iter().filter_map(|id| policy.permission(id));
        rules.any(|(rule, _)| is_limited(rule)) || permit.fields().any(|field| permit.records(field) != [Bounds::OPEN])
    }

    /// The objects that hold what a permit lets leave, by dataset.
    fn objects_of(&self, permit: &Permit) -> Result<BTreeMap<DatasetId, BTreeSet<ObjectId>>, PersonError> {
        let mut objects: BTreeMap<DatasetId, BTreeSet<ObjectId>> = BTreeMap::new();
        for (dataset, shelf) in self.fields() {
            for (object, record) in shelf.placed(dataset)? {
                if permit.has(&import::value(&record)?.field) {
                    objects.entry(*dataset.id()).or_default().insert(object);
                }
            }
        }
        Ok(objects)
    }
}

/// Prints how many.
impl fmt::Debug for GrantedAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GrantedAnswer").field("handovers", &self.handovers.len()).finish_non_exhaustive()
    }
}

/// As many as one grant names.
const MAX_OBJECTS: usize = 256;
