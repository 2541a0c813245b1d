//! Decisions of the log, made again: the same policy and the same facts give the same entry, or the log lies.
//!
//! ```
//! # use deedbox_audit::{Log, LogId};
//! # use deedbox_consent::{Action, Ask, Basis, HostFacts, Maker, PartyKind, Permission, Policy, Regime, Selector, To, Vocabulary};
//! # use deedbox_interop::replay::{Replayed, decision_entry, replay};
//! # use deedbox_model::{Digest, Name, Timestamp};
//! # let name = |text| Name::parse(text).unwrap();
//! # let mut rng = deedbox_testkit::rng::SeededRng::new(1);
//! # let vocabulary = Vocabulary::builder("health", 1, Regime::EU).purpose("care", &[]).category("contact", &[])
//! #     .field("phone", &["contact"]).party("hospital", PartyKind::PUBLIC).build()?;
//! # let mut policy = Policy::new(vocabulary);
//! # let (from, until) = (Timestamp::from_secs(1_000), Timestamp::from_secs(2_000));
//! # policy.apply(Permission::new(name("p1"), To::Party(name("hospital")), name("care"), Basis::PUBLIC_TASK)
//! #     .actions(Action::Read).fields(Selector::of([name("phone")])).between(from, until).retention(0), &Maker::Person)?;
//! # let digest = Digest::from_bytes([7; 32]);
//! let ask = Ask::read(name("care"), Basis::PUBLIC_TASK, [name("phone")]);
//! let host = HostFacts::new(name("hospital"), from);
//! let mut log = Log::new(LogId::generate(&mut rng));
//! log.append(decision_entry(&ask, &host, &policy.decide(&ask, &host), digest), &mut rng);
//!
//! let replayed = replay(log.rows(), |wanted| (*wanted == digest).then_some(&policy));
//! assert_eq!(replayed, [(0, Replayed::Same)]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::borrow::Borrow;

use deedbox_audit::{Entry, EntryKind, Row, Uses};
use deedbox_consent::{Action, Ask, AskedFields, Basis, Decision, Ground, HostFacts, Policy, Reason};
use deedbox_model::{Assurance, Digest, Name};

/// What came of deciding an entry again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "callers must notice a new one")]
pub enum Replayed {
    /// Another decision than the log says, and nothing explains it: alert the person.
    Different,
    /// The policy of that digest is not at hand.
    NoPolicy,
    /// The decision that the log says.
    Same,
    /// Another decision, but an earlier entry is erased, and with it perhaps a use of a limited permission.
    Unclear,
}

/// What the log says of a decision: names and codes, no value.
#[must_use]
pub fn decision_entry(ask: &Ask, host: &HostFacts, decision: &Decision, policy: Digest) -> Entry {
    let mut entry = Entry::new(host.now, EntryKind::Decision, Some(host.party.as_str()), policy);
    entry.purpose = ask.purpose.as_ref().map(Name::to_string);
    entry.action = ask.action.map(|action| u64::from(action.bit()));
    entry.basis = ask.basis.map(|basis| u64::from(basis.code()));
    entry.ground = ask.ground.map(|ground| u64::from(ground.code()));
    entry.recipient = ask.recipient.as_ref().map(Name::to_string);
    entry.all = ask.fields == Some(AskedFields::All);
    entry.assurance = Some(host.assurance.level()).filter(|level| *level > 0).map(u64::from);
    entry.conditions = host.conditions.iter().map(Name::to_string).collect();
    entry.refusal = decision.refusal().map(|reason| u64::from(reason.number()));
    let withheld = decision.withheld().iter();
    entry.withheld = withheld.map(|(field, reason)| (field.to_string(), u64::from(reason.number()))).collect();
    if let Decision::Permit(permit) = decision {
        entry.released = permit.fields().map(Name::to_string).collect();
        entry.determining = permit.determining().iter().map(Name::to_string).collect();
        entry.obligations = Some(u64::from(permit.obligations().bits()));
    }
    entry
}

/// Decides every decision of `rows` again, which must be all rows of a log from the first on; `policy_of` finds the policy
/// of a digest, and is asked for each decision anew. Gives the number of each and what came of it.
#[must_use]
pub fn replay<P: Borrow<Policy>>(
    rows: &[Row],
    mut policy_of: impl FnMut(&Digest) -> Option<P>,
) -> Vec<(u64, Replayed)> {
    let mut uses = Uses::default();
    let mut is_erased = false;
    let mut replayed = Vec::new();
    for row in rows {
        let entry = match row {
            Row::Erased(_) => {
                is_erased = true;
                continue;
            }
            Row::Kept(entry) => entry.entry(),
        };
        if entry.kind != EntryKind::Decision {
            uses.count(entry);
            continue;
        }
        let outcome = match policy_of(&entry.policy) {
            None => Replayed::NoPolicy,
            Some(policy) if is_same(entry, policy.borrow(), &uses) => Replayed::Same,
            Some(_) if is_erased => Replayed::Unclear,
            Some(_) => Replayed::Different,
        };
        replayed.push((entry.seq, outcome));
        uses.count(entry);
    }
    replayed
}

fn is_same(entry: &Entry, policy: &Policy, uses: &Uses) -> bool {
    let Some((ask, host)) = question(entry, uses) else { return false };
    let mut again = decision_entry(&ask, &host, &policy.decide(&ask, &host), entry.policy);
    // What a decision does not determine.
    (again.seq, again.receipt, again.host_notice) = (entry.seq, entry.receipt, entry.host_notice);
    // Only what was permitted can be stopped.
    again.stopped = entry.stopped && !again.determining.is_empty();
    again == *entry
}

/// The request and the facts that an entry tells of.
fn question(entry: &Entry, uses: &Uses) -> Option<(Ask, HostFacts)> {
    let name = |text: &Option<String>| text.as_deref().map(Name::parse).transpose().ok();
    let code = |code: Option<u64>| code.map(u8::try_from).transpose().ok();
    let mut ask = Ask::default();
    ask.purpose = name(&entry.purpose)?;
    ask.action = code(entry.action)?.and_then(Action::from_bit);
    ask.basis = code(entry.basis)?.map(Basis::from_code);
    ask.ground = code(entry.ground)?.map(Ground::from_code);
    ask.recipient = name(&entry.recipient)?;
    let listed = entry.released.iter().chain(entry.withheld.iter().map(|(field, _)| field));
    let listed = listed.map(|field| Name::parse(field).ok()).collect::<Option<_>>()?;
    ask.fields = if entry.refusal == Some(u64::from(Reason::FieldsMissing.number())) {
        None
    } else if entry.all {
        Some(AskedFields::All)
    } else if entry.refusal.is_some() {
        // What was asked is not told; that it was something is enough for the refusal.
        Some(AskedFields::These([Name::parse("field").ok()?].into()))
    } else {
        Some(AskedFields::These(listed))
    };
    let mut host = HostFacts::new(name(&entry.party)??, entry.time);
    host.assurance = Assurance::from_level(code(entry.assurance)?.unwrap_or_default())?;
    host.conditions = entry.conditions.iter().map(|condition| Name::parse(condition).ok()).collect::<Option<_>>()?;
    host.uses = uses.iter().map(|(id, times)| (id.clone(), times.collect())).collect();
    Some((ask, host))
}
