//! Terms of agreements in force: as both sides signed them, or as narrow as the other side has made them since.

use std::fmt;

use deedbox_audit::{Entry, EntryKind};
use deedbox_cbor::Writer;
use deedbox_consent::{Change as RuleChange, Impact, Maker, Permission, PermissionStatus, Terms, To};
use deedbox_cose::sha256;
use deedbox_model::{ConnectionId, Digest, Name, Timestamp};
use deedbox_record::{Record, VerifiedAgreement as _};

use super::{Applied, Change, Channel, Granted, Open, POLICY, Person, bytes_item, channel::item, consent};
use crate::{
    client::HostClient,
    error::PersonError,
    exchange::{SignedTerms, TERMS},
    system,
};

/// What became of terms that the other side offered.
#[expect(clippy::exhaustive_enums, reason = "callers must notice a new one")]
pub enum Offered {
    /// They are no wider, and in force.
    InForce(Applied),
    /// They are perhaps wider, or give again what the person took back. Nothing changed: the terms in force hold until both have
    /// signed these, in a renewal with their digest, and [`Person::put_in_force`].
    Waiting(Terms),
}

impl<H: HostClient> Person<Open<H>> {
    /// Puts terms in force that both have signed: `terms` are the bytes whose digest is in the agreement in force on a
    /// connection. What they permit takes the place of what the terms permitted that were in force on it before: a permission
    /// that is not in them as it was is withdrawn, each new one is given, under an id that no rule had; all in one commit with
    /// the log's entry, or nothing. What stays as it was stays as the person has it, withdrawn or suspended too.
    ///
    /// Grants that reach a lost field are taken back in the same commit, as by [`Person::apply`]. What an old permission with a
    /// limit was used counts for each new one inside it. A renewal alone changes no rule: until this is called again the former
    /// terms hold.
    ///
    /// # Errors
    /// [`PersonError::Unexpected`] for other bytes, terms of another party, or a permission to one; [`PersonError::Rule`] for a
    /// permission that can't be given, such as one with words that are not adopted; [`PersonError::NotFound`];
    /// [`PersonError::Connect`] with `Ended`; [`PersonError::Conflict`]. The rules are then as they were.
    pub async fn put_in_force(&mut self, id: &ConnectionId, terms: &[u8]) -> Result<Applied, PersonError> {
        let now = system::now();
        let make = |open: &Open<H>| {
            let (party, agreement) = open.agreed(id)?;
            let is_signed = Digest::from_bytes(sha256(terms)) == agreement.terms();
            let terms = Terms::from_bytes(terms).ok().filter(|_| is_signed).ok_or(PersonError::Unexpected)?;
            let (held, hash) = (open.terms_of(id)?, agreement.hash());
            let time = held.as_ref().filter(|held| held.agreement == hash).map(|held| held.time);
            let next = InForce { agreement: hash, time: time.unwrap_or(Timestamp::from_secs(0)), terms };
            open.replace_terms(id, &party, held.as_ref(), &next, None, now)
        };
        let (revoked, impact) = self.state.write_taking_back(now, make).await?;
        self.terms_applied(impact, &revoked, now).await
    }

    /// Takes terms that the other side of a channel offers in the place of those in force on the connection. If they are no
    /// wider, by the words in force, they are in force at once, as by [`Person::put_in_force`] but without a signature of the
    /// person's; what the other side signed is kept ([`Person::signed_rule`]), and the log has its digest.
    ///
    /// No wider is each permission that lies inside one that is in force and works, with its evidence and under its mandate; of
    /// one with a limit only a single one may take the place ([`Terms::need_no_signature`]).
    ///
    /// # Errors
    /// [`PersonError::Unexpected`] where no terms are in force under this agreement, for what they did not sign under it, or not
    /// later than what is in force, and for terms of another party, or a permission to one; [`PersonError::Rule`] as
    /// [`Person::put_in_force`]; [`PersonError::Connect`], [`PersonError::Conflict`]. The rules are then as they were.
    pub async fn offered(&mut self, channel: &mut Channel, record: &[u8]) -> Result<Offered, PersonError> {
        let now = system::now();
        self.state.permits(channel)?;
        let bytes = channel.receive(record, TERMS)?;
        let keys = self.state.side(&channel.agreement)?;
        let peer = keys.side(&channel.agreement)?.peer_sign_key().clone();
        let offer = SignedTerms::verify(&bytes, &peer).map_err(|_| PersonError::Unexpected)?;
        let (id, hash) = (channel.agreement.connection_id(), channel.agreement.hash());
        if *offer.agreement() != hash {
            return Err(PersonError::Unexpected);
        }
        let next = InForce { agreement: hash, time: offer.time(), terms: offer.terms().clone() };
        let make = |open: &Open<H>| {
            open.permits(channel)?;
            // An older offer that comes again takes nothing back.
            let held = open.terms_of(&id)?.filter(|held| held.agreement == hash && held.time < next.time);
            let held = held.ok_or(PersonError::Unexpected)?;
            let policy = open.rules.evaluator.policy();
            let works = |id: &Name| policy.permission(id).is_some_and(|(_, status)| status == PermissionStatus::Given);
            if !next.terms.need_no_signature(policy.vocabulary(), &held.terms, works) {
                return Ok((open.change(), Vec::new(), None));
            }
            let (change, revoked, impact) =
                open.replace_terms(&id, &channel.party, Some(&held), &next, Some(&bytes), now)?;
            Ok((change, revoked, Some(impact)))
        };
        match self.state.write_taking_back(now, make).await? {
            (revoked, Some(impact)) => Ok(Offered::InForce(self.terms_applied(impact, &revoked, now).await?)),
            (_, None) => Ok(Offered::Waiting(next.terms)),
        }
    }

    /// The terms in force on a connection; of one that ended, those that were.
    ///
    /// # Errors
    /// [`PersonError::NotFound`] when none were put in force; [`PersonError::Damaged`].
    pub fn terms(&self, id: &ConnectionId) -> Result<Terms, PersonError> {
        Ok(self.state.terms_of(id)?.ok_or(PersonError::NotFound)?.terms)
    }

    async fn terms_applied(&self, impact: Impact, revoked: &[Granted], now: Timestamp) -> Result<Applied, PersonError> {
        let handovers = self.handovers(revoked, now).await?;
        Ok(Applied { impact, revoked: revoked.iter().map(|granted| granted.id).collect(), handovers })
    }
}

/// The terms in force on a connection.
pub(super) struct InForce {
    /// The agreement under which they are.
    pub(super) agreement: Digest,
    /// When the other side offered them; 0 for those that both have signed.
    time: Timestamp,
    pub(super) terms: Terms,
}

impl InForce {
    /// ```cddl
    /// in-force = [agreement: b32, time: uint, len: uint]        ; and the terms in records of their own
    /// ```
    fn encode(&self, len: usize) -> Writer {
        let mut writer = Writer::new();
        self.agreement.encode(writer.array(3));
        self.time.encode(&mut writer);
        writer.uint(len as u64);
        writer
    }
}

impl<H: HostClient> Open<H> {
    /// The terms in force on a connection.
    pub(super) fn terms_of(&self, id: &ConnectionId) -> Result<Option<InForce>, PersonError> {
        let dataset = self.dataset(POLICY)?;
        let shelf = self.shelves.get(dataset.id()).ok_or(PersonError::Damaged)?;
        let Some(record) = shelf.record(dataset, &name(id))? else { return Ok(None) };
        let parts = record.value().as_item().as_array().and_then(|parts| parts.exactly());
        let [agreement, time, len] = parts.ok_or(PersonError::Damaged)?;
        let len = len.as_u64().and_then(|len| usize::try_from(len).ok()).ok_or(PersonError::Damaged)?;
        let mut bytes = Vec::new();
        for n in 0.. {
            if bytes.len() >= len {
                break;
            }
            let piece = shelf.record(dataset, &piece_name(id, n))?.ok_or(PersonError::Damaged)?;
            bytes.extend_from_slice(piece.value().as_item().as_bytes().ok_or(PersonError::Damaged)?);
        }
        Ok(Some(InForce {
            agreement: Digest::decode(agreement).ok_or(PersonError::Damaged)?,
            time: Timestamp::decode(time).ok_or(PersonError::Damaged)?,
            terms: Terms::from_bytes(&bytes).map_err(|_| PersonError::Damaged)?,
        }))
    }

    /// Puts terms in the place of those held, which `signed` says if the other side alone has signed them.
    fn replace_terms(
        &self,
        id: &ConnectionId,
        party: &Name,
        held: Option<&InForce>,
        next: &InForce,
        signed: Option<&[u8]>,
        now: Timestamp,
    ) -> Result<(Change, Vec<Granted>, Impact), PersonError> {
        let terms = &next.terms;
        let is_theirs = |permission: &Permission| !matches!(&permission.to, To::Party(to) if to != party);
        if terms.party() != party || !terms.permissions().all(is_theirs) {
            return Err(PersonError::Unexpected);
        }
        let policy = self.rules.evaluator.policy();
        let changes = match held {
            Some(held) => terms.changes_from(&held.terms),
            None => terms.permissions().cloned().map(RuleChange::from).collect(),
        };
        // Only what was used, or each might be inside each.
        let used = held.and_then(|InForce { terms: old, .. }| {
            let used = old.permissions().filter(|old| self.uses.has(&old.id));
            Terms::new(party.clone(), used.cloned(), *old.notice(), *old.vocabulary())
        });
        let replaced = used.map(|used| terms.predecessors(policy.vocabulary(), &used)).unwrap_or_default();
        let mut entry = Entry::new(now, EntryKind::Rule, Some(party.as_str()), self.rules.digest);
        let digest = signed.map(|signed| Digest::from_bytes(sha256(signed)));
        entry.receipt = Some(digest.unwrap_or(next.agreement));
        for change in &changes {
            let RuleChange::AddPermission(new) = change else { continue };
            if let Some(old) = replaced.get(&new.id).filter(|old| !old.is_empty()) {
                entry.replaces.push((new.id.to_string(), old.iter().map(Name::to_string).collect()));
            }
        }
        let mut change = self.change();
        let (revoked, impact) = self.change_rules(&mut change, changes, entry, now)?;
        let dataset = self.dataset(POLICY)?;
        let mut put = |name: &str, value| -> Result<(), PersonError> {
            let record = Record::new(POLICY, 1, name, value)?;
            change.records.push((*dataset.id(), dataset.name_key().object_id(name), record));
            Ok(())
        };
        let bytes = terms.to_bytes();
        put(&name(id), item(next.encode(bytes.len()).as_slice())?)?;
        for (n, piece) in bytes.chunks(PIECE).enumerate() {
            put(&piece_name(id, n), bytes_item(piece)?)?;
        }
        if let (Some(signed), Some(digest)) = (signed, digest) {
            put(&consent::signed_name(&digest), bytes_item(signed)?)?;
        }
        Ok((change, revoked, impact))
    }

    /// Withdraws, along with `change`, what the terms of a connection that ended permit.
    pub(super) fn lapse(
        &self,
        change: &mut Change,
        id: &ConnectionId,
        party: &Name,
        now: Timestamp,
    ) -> Result<Vec<Granted>, PersonError> {
        let Some(held) = self.terms_of(id)? else { return Ok(Vec::new()) };
        let changes = held.terms.permissions().map(|permission| RuleChange::Withdraw(permission.id.clone()));
        let changes: Vec<_> = changes.filter(|change| self.has_effect(change)).collect();
        if changes.is_empty() {
            return Ok(Vec::new());
        }
        let mut entry = Entry::new(now, EntryKind::Rule, Some(party.as_str()), self.rules.digest);
        entry.receipt = Some(held.agreement);
        Ok(self.change_rules(change, changes, entry, now)?.0)
    }

    /// Makes all these changes to the rules, or none. Gives the grants that are to be taken back for them.
    fn change_rules(
        &self,
        change: &mut Change,
        changes: Vec<RuleChange>,
        mut entry: Entry,
        now: Timestamp,
    ) -> Result<(Vec<Granted>, Impact), PersonError> {
        let changes: Vec<RuleChange> = changes.into_iter().filter(|one| self.has_effect(one)).collect();
        let (rules, impact, revoked) = self.changed_rules(&changes, &Maker::Person, now)?;
        entry.determining = changes.iter().filter_map(consent::named).map(Name::to_string).collect();
        entry.policy = rules.digest;
        change.log(entry);
        change.rules = Some(rules);
        Ok((revoked, impact))
    }

    /// What the person withdrew can't be withdrawn again.
    fn has_effect(&self, change: &RuleChange) -> bool {
        let RuleChange::Withdraw(id) = change else { return true };
        let found = self.rules.evaluator.policy().permission(id);
        found.is_some_and(|(_, status)| status != PermissionStatus::Withdrawn)
    }
}

fn name(id: &ConnectionId) -> String {
    format!("terms/{id}")
}

fn piece_name(id: &ConnectionId, n: usize) -> String {
    format!("terms/{id}/{n}")
}

/// Prints counts: who and what is the person's.
impl fmt::Debug for Offered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InForce(applied) => f.debug_tuple("InForce").field(applied).finish(),
            Self::Waiting(terms) => f.debug_tuple("Waiting").field(&terms.permissions().len()).finish(),
        }
    }
}

/// What of terms goes into one record.
const PIECE: usize = 192 << 10;
