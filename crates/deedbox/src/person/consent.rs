use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use deedbox_audit::{Entry, EntryKind};
use deedbox_consent::{Action, At, Change, Impact, Maker, MandateStatus, Policy, Sensitivity, VocabularyBuilder};
use deedbox_cose::sha256;
use deedbox_model::{ConnectionId, Digest, Name, Timestamp};
use deedbox_record::{GrantId, Record, VerifiedAgreement as _};

use super::{Channel, Granted, Open, POLICY, Person, Rules, bytes_item};
use crate::{
    client::HostClient,
    error::PersonError,
    exchange::{Handover, RULE, SignedRule},
    system,
};

/// What a change of the rules did, and what is left to say to others.
#[non_exhaustive]
pub struct Applied {
    /// What reading it took away and gave, at the moment of the change: whom to tell, and what each party must erase.
    pub impact: Impact,
    /// Grants that were taken back.
    pub revoked: Vec<GrantId>,
    /// For those who keep a grant on a dataset whose keys changed.
    pub handovers: Vec<(GrantId, Handover)>,
}

/// The category that holds all fields of the dataset with this title: `dataset/-` and the escaped title, which no field's
/// name can be.
///
/// # Errors
/// [`PersonError::FieldName`] when the title is too long.
pub fn category_of(title: &str) -> Result<Name, PersonError> {
    let escaped = Name::escape(title).map_err(|_| PersonError::FieldName)?;
    Name::parse(&format!("dataset/-{escaped}")).map_err(|_| PersonError::FieldName)
}

impl<H: HostClient> Person<Open<H>> {
    /// Sets the vocabulary that rules are written in: `base` has purposes, parties and clusters; every dataset becomes a
    /// category, every field in the box a field of it, with the sensitivity that `sensitivity` gives its dataset, and with its
    /// issuer, who must be one of the parties, if it was delivered. Every type of credential in the box becomes a category too
    /// ([`category_of_credential`](super::category_of_credential)), with the sensitivity of that name, and every top claim a field
    /// of it ([`claim_field`](super::claim_field)), with its issuer where that is one of the parties; so a permission for
    /// `age_over_18` shows no birth date. Rules made before are kept.
    ///
    /// What comes into the box later is in no answer and no presentation until words are adopted again; but whoever was granted a
    /// whole dataset, which takes a permission for it as such, reads at the host what comes into it.
    ///
    /// Other words make rules mean something else: a grant that reaches a field which its holder may then read for no purpose, or
    /// not write if it lets them write, is taken back in the same commit, as by [`Person::apply`].
    ///
    /// # Errors
    /// [`PersonError::Vocabulary`]; [`PersonError::Rule`] when a rule names what is no longer there; [`PersonError::Conflict`].
    /// The rules are then as they were.
    pub async fn adopt(
        &mut self,
        base: VocabularyBuilder,
        sensitivity: impl Fn(&str) -> Sensitivity,
    ) -> Result<Applied, PersonError> {
        let now = system::now();
        let issuers = self.issuers()?;
        let agreements = self.agreements()?;
        let party = |connection: &ConnectionId| {
            let of = agreements.iter().find(|(_, agreement)| agreement.connection_id() == *connection);
            of.map(|(party, _)| party.clone())
        };
        let open = &mut self.state;
        let claims = open.claims(party)?;
        let mut fields: BTreeMap<Name, (Name, Sensitivity, Option<&Name>)> = BTreeMap::new();
        let mut categories = BTreeSet::new();
        for (dataset, shelf) in open.fields() {
            let category = category_of(dataset.title())?;
            for record in shelf.records(dataset)? {
                let field = super::import::value(&record)?.field;
                let signed = record.provenance().filter(|provenance| provenance.signed().is_some());
                let issuer = signed.and_then(|provenance| issuers.get(provenance.source()));
                fields.insert(field, (category.clone(), sensitivity(dataset.title()), issuer));
            }
            categories.insert(category);
        }
        for (claim, (category, issuer)) in &claims {
            let issuer = issuer.as_ref().filter(|issuer| base.has_party(issuer));
            fields.insert(claim.clone(), (category.clone(), sensitivity(category.as_str()), issuer));
            categories.insert(category.clone());
        }
        let mut builder = base;
        for category in &categories {
            builder = builder.category(category.as_str(), &[]);
        }
        for (field, (category, sensitivity, issuer)) in &fields {
            let issuer = issuer.map(Name::as_str);
            builder = builder.field_with(field.as_str(), &[category.as_str()], *sensitivity, issuer);
        }
        let mut policy = Policy::new(builder.build()?);
        for (mandate, status) in open.rules.evaluator.policy().mandates() {
            // Under one that has ended since, rules were made when it had not.
            let status = if status == MandateStatus::Ended { MandateStatus::Active } else { status };
            policy.apply(Change::AddMandate(Box::new(mandate.clone()), status), &Maker::Person)?;
        }
        for (permission, status) in open.rules.evaluator.policy().permissions() {
            policy.apply(permission.clone(), &Maker::Person)?;
            match status {
                deedbox_consent::PermissionStatus::Given => {}
                deedbox_consent::PermissionStatus::Suspended => {
                    policy.apply(Change::Suspend(permission.id.clone()), &Maker::Person)?;
                }
                deedbox_consent::PermissionStatus::Withdrawn => {
                    policy.apply(Change::Withdraw(permission.id.clone()), &Maker::Person)?;
                }
            }
        }
        for prohibition in open.rules.evaluator.policy().prohibitions() {
            policy.apply(prohibition.clone(), &Maker::Person)?;
        }
        for (mandate, status) in open.rules.evaluator.policy().mandates() {
            if status == MandateStatus::Ended {
                policy.apply(Change::EndMandate(mandate.id.clone()), &Maker::Person)?;
            }
        }
        let rules = Rules::of(policy.compile()?);
        let impact = open.rules.evaluator.impact_of(&rules.evaluator, At::reading(now));
        let revoked = open.grants_beyond(&rules.evaluator, now)?;
        let mut change = open.change();
        change.log(Entry::new(now, EntryKind::Rule, None, rules.digest));
        change.rules = Some(rules);
        open.take_back(change, &revoked, now).await?;
        let handovers = self.handovers(&revoked, now).await?;
        Ok(Applied { impact, revoked: revoked.iter().map(|granted| granted.id).collect(), handovers })
    }

    /// Gives a permission, adds a prohibition, suspends, resumes, withdraws: the rule and its log entry in one commit.
    /// Withdrawing takes no more than giving (Art. 7(3) GDPR): `Change::Withdraw(id)`.
    ///
    /// A grant that reaches a field which its holder may then read no more for any purpose, or write no more if it lets them
    /// write, is taken back in the same commit: the host lets its holder in no more, and the dataset has new keys. Who keeps a
    /// grant on that dataset needs them: [`Applied::handovers`]. What the holder may still read is granted anew.
    ///
    /// Each step is safe to repeat: until the commit the rule is as it was, and asking again goes on.
    ///
    /// # Errors
    /// [`PersonError::Rule`]; [`PersonError::Conflict`] when another device wrote meanwhile. The rules are then as they were.
    pub async fn apply(&mut self, rule: impl Into<Change>) -> Result<Applied, PersonError> {
        self.apply_all([rule.into()]).await
    }

    /// Does as [`Person::apply`] for several changes at once, in their order, or for none of them: as somebody chooses who settles
    /// all rules of a kind. The log has an entry of each.
    ///
    /// # Errors
    /// As [`Person::apply`], for the first change that is refused.
    pub async fn apply_all(&mut self, rules: impl IntoIterator<Item = Change>) -> Result<Applied, PersonError> {
        let entry = Entry::new(system::now(), EntryKind::Rule, None, self.state.policy_digest());
        self.carry_out(&rules.into_iter().collect::<Vec<_>>(), &Maker::Person, None, entry).await
    }

    /// Takes a rule that the other side of a channel made or changed under a mandate of theirs, as [`Person::apply`] does with
    /// the person's own. The log names who made it, and the digest of what they signed, which the box keeps:
    /// [`Person::signed_rule`].
    ///
    /// # Errors
    /// [`PersonError::Rule`]: `NotYours` when no mandate of theirs allows it, or what else is wrong with it;
    /// [`PersonError::Unexpected`] for what they did not sign under this agreement; as [`Person::apply`] otherwise.
    pub async fn ruled(&mut self, channel: &mut Channel, record: &[u8]) -> Result<Applied, PersonError> {
        self.state.permits(channel)?;
        let bytes = channel.receive(record, RULE)?;
        let keys = self.state.side(&channel.agreement)?;
        let peer = keys.side(&channel.agreement)?.peer_sign_key().clone();
        let rule = SignedRule::verify(&bytes, &peer).map_err(|_| PersonError::Unexpected)?;
        if *rule.agreement() != channel.agreement.hash() {
            return Err(PersonError::Unexpected);
        }
        let party = channel.party.as_str();
        let mut entry = Entry::new(system::now(), EntryKind::Rule, Some(party), self.state.policy_digest());
        entry.receipt = Some(Digest::from_bytes(sha256(&bytes)));
        self.carry_out(&[rule.change().clone()], &Maker::Agent(channel.party.clone()), Some(&bytes), entry).await
    }

    /// The bytes that somebody signed when they made or changed a rule for the person, or offered narrower terms, by the digest in
    /// the log's entry.
    ///
    /// # Errors
    /// [`PersonError::NotFound`], [`PersonError::Damaged`].
    pub fn signed_rule(&self, digest: &Digest) -> Result<Vec<u8>, PersonError> {
        let open = &self.state;
        let dataset = open.dataset(POLICY)?;
        let shelf = open.shelves.get(dataset.id()).ok_or(PersonError::Damaged)?;
        let record = shelf.record(dataset, &signed_name(digest))?.ok_or(PersonError::NotFound)?;
        Ok(record.value().as_item().as_bytes().ok_or(PersonError::Damaged)?.to_vec())
    }

    /// Makes changes of the rules, for each of them an entry of the log after the pattern of `entry`.
    async fn carry_out(
        &mut self,
        rules: &[Change],
        maker: &Maker,
        signed: Option<&[u8]>,
        entry: Entry,
    ) -> Result<Applied, PersonError> {
        let now = entry.time;
        let open = &mut self.state;
        let (after, impact, revoked) = open.changed_rules(rules, maker, now)?;
        let mut change = open.change();
        if let Some(signed) = signed {
            let (dataset, name) = (open.dataset(POLICY)?, signed_name(&Digest::from_bytes(sha256(signed))));
            let record = Record::new(POLICY, 1, &name, bytes_item(signed)?)?;
            change.records.push((*dataset.id(), dataset.name_key().object_id(&name), record));
        }
        for rule in rules {
            let determining = named(rule).map(|id| id.as_str().to_owned()).into_iter().collect();
            change.log(Entry { policy: after.digest, determining, ..entry.clone() });
        }
        change.rules = Some(after);
        open.take_back(change, &revoked, now).await?;
        let handovers = self.handovers(&revoked, now).await?;
        Ok(Applied { impact, revoked: revoked.iter().map(|granted| granted.id).collect(), handovers })
    }
}

impl<H: HostClient> Open<H> {
    /// The rules with these changes, all or none, what they take away and give, and the grants that are to be taken back for them.
    pub(super) fn changed_rules(
        &self,
        changes: &[Change],
        maker: &Maker,
        now: Timestamp,
    ) -> Result<(Rules, Impact, Vec<Granted>), PersonError> {
        let before = &self.rules.evaluator;
        let (reading, writing) = (At::reading(now), At { action: Action::Write, ..At::reading(now) });
        let (after, impact, writing) = if let [change] = changes {
            let after = before.with_by(change.clone(), maker)?;
            (after, before.impact(change.clone(), reading)?, before.impact(change.clone(), writing)?)
        } else {
            let mut policy = before.policy().clone();
            changes.iter().try_for_each(|change| policy.apply(change.clone(), maker))?;
            let after = policy.compile()?;
            let (impact, writing) = (before.impact_of(&after, reading), before.impact_of(&after, writing));
            (after, impact, writing)
        };
        let revoked = self.grants_without(&impact.erase, &writing.erase)?;
        Ok((Rules::of(after), impact, revoked))
    }
}

/// The rule that a change makes or changes.
pub(super) const fn named(change: &Change) -> Option<&Name> {
    match change {
        Change::AddMandate(mandate, _) => Some(&mandate.id),
        Change::AddPermission(permission) => Some(&permission.id),
        Change::AddProhibition(prohibition) => Some(&prohibition.id),
        Change::ActivateMandate(id)
        | Change::EndMandate(id)
        | Change::Lift(id)
        | Change::Resume(id)
        | Change::Suspend(id)
        | Change::Withdraw(id) => Some(id),
        _ => None,
    }
}

/// The name of the record of what somebody signed that changed rules.
pub(super) fn signed_name(digest: &Digest) -> String {
    format!("signed/{digest}")
}

/// Prints counts: who and what is the person's.
impl fmt::Debug for Applied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Applied")
            .field("lost", &self.impact.lost.len())
            .field("gained", &self.impact.gained.len())
            .field("revoked", &self.revoked.len())
            .finish_non_exhaustive()
    }
}
