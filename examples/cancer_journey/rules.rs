//! What Maren permits, and what she refuses.

use deedbox::{
    host::system_clock,
    parts::{
        consent::{
            Action, Basis, Evidence, EvidenceKind, Ground, Mandate, Obligation, PartyKind, Permission, Prohibition,
            Rank, Regime, Roster, Selector, Sensitivity, To, Vocabulary, VocabularyBuilder,
        },
        cose::sha256,
        model::{Digest, Timestamp},
    },
};

use crate::story::{DAY, name, names};

/// The words of all rules: what for, who, and groups of people whose members change.
pub(crate) fn vocabulary() -> VocabularyBuilder {
    let first = core::num::NonZeroU32::MIN;
    Vocabulary::builder("cancer-journey", 1, Regime::UK)
        .purpose("care", &[])
        .purpose("support", &[])
        .purpose("counselling", &["support"])
        .purpose("fundraising", &[])
        .purpose("benefits", &[])
        .purpose("blue_badge", &["benefits"])
        .purpose("council_tax", &["benefits"])
        .purpose("help_at_home", &[])
        .party("hospital", PartyKind::PUBLIC)
        .party("charity", PartyKind::PRIVATE)
        .party("council", PartyKind::PUBLIC)
        .party("carer", PartyKind::INDIVIDUAL)
        .party("driver", PartyKind::INDIVIDUAL)
        .party("daughter", PartyKind::INDIVIDUAL)
        .party("night_gp", PartyKind::PUBLIC)
        .cluster("urgent_care", first, &["night_gp"])
        .condition("break_glass")
}

/// What the hospital holds, and her notes on it, is health data (Art. 9); the rest is ordinary.
pub(crate) fn sensitivity(dataset: &str) -> Sensitivity {
    if dataset == "hospital" || dataset == "notes" { Sensitivity::SPECIAL } else { Sensitivity::ORDINARY }
}

fn for_a_year(permission: Permission) -> Permission {
    let now = system_clock();
    permission.between(now, now.saturating_add_secs(365 * DAY)).actions(Action::Read)
}

fn fields(of: &[&str]) -> Selector {
    Selector::of(names(of))
}

/// The hospital relies on its public task and health care (Art. 6(1)(e), 9(2)(h)); she still decides what leaves her box.
pub(crate) fn hospital() -> Permission {
    for_a_year(Permission::new(name("hospital-care"), To::Party(name("hospital")), name("care"), Basis::PUBLIC_TASK))
        .ground(Ground::CARE)
        .fields(fields(&["me.name", "me.phone", "hospital.diagnosis.note"]))
        .retention(8 * 365 * DAY)
}

/// The charity needs to know that she is in treatment and how to reach her: by explicit consent, and nothing else.
pub(crate) fn charity() -> Permission {
    for_a_year(Permission::new(name("charity-support"), To::Party(name("charity")), name("support"), Basis::CONSENT))
        .ground(Ground::EXPLICIT_CONSENT)
        .fields(fields(&["hospital.in_treatment", "me.name", "me.phone"]))
        .retention(30 * DAY)
        .obligations([Obligation::Acknowledge, Obligation::DeleteOnWithdrawal, Obligation::NoProfiling])
        .evidence(Evidence::of(EvidenceKind::EXPLICIT).notice(notice()).language("en-GB").time(system_clock()))
}

/// For a blue badge the council needs one fact that the hospital derived, not the illness behind it (Art. 9(2)(g)).
pub(crate) fn blue_badge() -> Permission {
    for_a_year(Permission::new(name("blue-badge"), To::Party(name("council")), name("blue_badge"), Basis::PUBLIC_TASK))
        .ground(Ground::PUBLIC_INTEREST)
        .fields(fields(&["hospital.walks_under_50_m", "me.address", "me.name"]))
        .retention(3 * 365 * DAY)
}

/// A friend who helps at home: between individuals (Art. 2(2)(c)).
pub(crate) fn carer() -> Permission {
    for_a_year(Permission::new(name("carer-home"), To::Party(name("carer")), name("help_at_home"), Basis::HOUSEHOLD))
        .fields(fields(&["hospital.appointment", "hospital.medicines", "me.address", "me.name", "me.phone"]))
        .retention(7 * DAY)
}

/// … who may also pass on what a driver needs, and no more: rules of rank `delegate`, below her own.
pub(crate) fn carers_mandate() -> Mandate {
    let now = system_clock();
    Mandate::new(name("carer-mandate"), name("carer"), Rank::DELEGATE)
        .purposes([name("help_at_home")])
        .actions(Action::Read)
        .fields(fields(&["hospital.appointment", "me.address", "me.phone"]))
        .between(now, now.saturating_add_secs(180 * DAY))
}

/// The driver whom the carer finds.
pub(crate) fn driver(of: &[&str]) -> Permission {
    let id = name(&format!("driver-{}", of.len()));
    let now = system_clock();
    Permission::new(id, To::Party(name("driver")), name("help_at_home"), Basis::HOUSEHOLD)
        .rank(Rank::DELEGATE)
        .actions(Action::Read)
        .fields(fields(of))
        .between(now, now.saturating_add_secs(30 * DAY))
        .retention(DAY)
        .mandate(name("carer-mandate"))
}

/// Her daughter has a registered power of attorney for property and affairs: money, and not health. The instrument's digest is
/// the evidence.
pub(crate) fn attorney() -> Mandate {
    let now = system_clock();
    Mandate::new(name("attorney"), name("daughter"), Rank::PERSON)
        .purposes([name("benefits")])
        .actions(Action::Read)
        .fields(fields(&["me.address", "me.name", "money.council_tax_number", "money.income"]))
        .between(now, now.saturating_add_secs(365 * DAY))
        .deed(Digest::from_bytes(sha256(b"instrument OPG-105 as registered")))
}

/// What the daughter arranges with the council: a council tax reduction.
pub(crate) fn council_tax(of: &[&str]) -> Permission {
    let id = name(&format!("council-tax-{}", of.len()));
    for_a_year(Permission::new(id, To::Party(name("council")), name("council_tax"), Basis::PUBLIC_TASK))
        .fields(fields(of))
        .retention(365 * DAY)
        .mandate(name("attorney"))
}

/// Whoever is in the urgent care group at the time, while glass is broken: vital interests (Art. 6(1)(d), 9(2)(c)).
pub(crate) fn emergency() -> Permission {
    let urgent = To::Roster(name("urgent_care"), Roster::Current);
    for_a_year(Permission::new(name("emergency"), urgent, name("care"), Basis::VITAL_INTERESTS))
        .rank(Rank::EMERGENCY)
        .ground(Ground::VITAL)
        .fields(fields(&[
            "hospital.allergies",
            "hospital.counselling",
            "hospital.diagnosis",
            "hospital.medicines",
            "me.name",
        ]))
        .retention(DAY)
        .assurance(3)
        .conditions([name("break_glass")])
        .obligations([Obligation::NotifyPerson, Obligation::Justify])
}

/// What she refuses: fundraising by anybody, her diagnosis to a doctor she does not know, and what was said in counselling to
/// everybody, whatever happens.
pub(crate) fn refusals() -> [Prohibition; 3] {
    [
        Prohibition::new(name("no-fundraising"), To::Anyone).purposes([name("fundraising")]),
        Prohibition::new(name("not-the-gp"), To::Cluster(name("urgent_care"))).fields(fields(&["hospital.diagnosis"])),
        Prohibition::new(name("counselling-sealed"), To::Anyone)
            .rank(Rank::SEAL)
            .fields(fields(&["hospital.counselling"])),
    ]
}

/// Digest of the notice that she was shown.
pub(crate) fn notice() -> Digest {
    Digest::from_bytes(sha256(b"We use your contact details and whether you are in treatment to support you."))
}

/// Until when grants at the host are given.
pub(crate) fn next_month() -> Timestamp {
    system_clock().saturating_add_secs(30 * DAY)
}
