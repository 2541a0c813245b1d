//! Rules that permit, and grants by them, for tests that are about what comes after.

use deedbox::{
    HostClient, PersonError,
    exchange::Handover,
    host::system_clock,
    parts::{
        consent::{Action, Actions, Ask, Basis, PartyKind, Permission, Regime, Selector, Sensitivity, To, Vocabulary},
        model::{Name, Timestamp},
        record::GrantId,
    },
    person::{Channel, Open, Person, Shared, category_of},
};

/// For care, under a contract.
pub(crate) fn care() -> Ask {
    Ask::read_all(Name::parse("care").unwrap(), Basis::CONTRACT)
}

/// Has the rules know what is in the box and these parties, and lets each read and write all of it for care; who was let before
/// keeps what it was let.
pub(crate) async fn permit_all<H: HostClient>(person: &mut Person<Open<H>>, parties: &[&str]) {
    let words = Vocabulary::builder("rules", 1, Regime::EU).purpose("care", &[]);
    let words = parties.iter().fold(words, |words, party| words.party(party, PartyKind::PUBLIC));
    person.adopt(words, |_| Sensitivity::ORDINARY).await.unwrap();
    let categories: Vec<Name> = person.datasets().map(|title| category_of(title).unwrap()).collect();
    for party in parties {
        let name = Name::parse(party).unwrap();
        if person.policy().permission(&name).is_some() {
            continue;
        }
        let permission = Permission::new(name.clone(), To::Party(name), Name::parse("care").unwrap(), Basis::CONTRACT)
            .actions([Action::Read, Action::Write].into_iter().collect::<Actions>())
            .fields(Selector::of(categories.iter().cloned()))
            .between(Timestamp::from_secs(0), system_clock().saturating_add_secs(86_400))
            .retention(60);
        person.apply(permission).await.unwrap();
    }
}

/// The grant that the rules permit, for an hour.
pub(crate) async fn granted<H: HostClient>(
    person: &mut Person<Open<H>>,
    channel: &Channel,
    what: Shared<'_>,
) -> Result<(GrantId, Handover), PersonError> {
    let until = system_clock().saturating_add_secs(3_600);
    let mut granted = person.grant(channel, what, &care(), until).await?;
    Ok(granted.handovers.pop().unwrap())
}
