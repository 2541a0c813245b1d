use deedbox_audit::Entry;
use deedbox_consent::{
    Action, Ask, Basis, HostFacts, Maker, PartyKind, Permission, Regime, Selector, Sensitivity, To, Vocabulary,
    VocabularyBuilder,
};
use deedbox_interop::replay::decision_entry;
use deedbox_model::{DatasetId, Name, StoreName, Timestamp};
use deedbox_record::{Granularity, Keyring};
use deedbox_testkit::rng::SeededRng;
use pollster::block_on;
use std::sync::Arc;

use super::*;
use crate::{
    LocalHost,
    host::{Admission, Config, Host, MemoryStorage},
    person::{Keepsake, Secret},
    system,
};

type Client = LocalHost<MemoryStorage, fn() -> Timestamp>;

fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

fn words(fields: usize) -> VocabularyBuilder {
    let words = Vocabulary::builder("words", 1, Regime::EU).purpose("care", &[]).category("health", &[]);
    let words = words.party("clinic", PartyKind::PUBLIC).party("charity", PartyKind::PRIVATE);
    (0..fields).fold(words, |words, number| words.field(&format!("health.{number}"), &["health"]))
}

fn permission(id: &str) -> Permission {
    Permission::new(name(id), To::Party(name("clinic")), name("care"), Basis::CONTRACT)
        .actions(Action::Read)
        .fields(Selector::of([name("health")]))
        .between(Timestamp::from_secs(0), Timestamp::from_secs(1 << 40))
        .retention(60)
}

fn policy(fields: usize, rules: impl IntoIterator<Item = usize>) -> Policy {
    let mut policy = Policy::new(words(fields).build().unwrap());
    for number in rules {
        policy.apply(permission(&format!("rule-{number:05}")), &Maker::Person).unwrap();
    }
    policy
}

/// The key of a dataset's names, drawn from a seed.
fn with_key<T>(seed: u64, what: impl FnOnce(&NameKey) -> T) -> T {
    let (mut rng, id) = (SeededRng::new(seed), DatasetId::from_bytes([1; 16]));
    let mut keyring = Keyring::generate(&mut rng);
    keyring.add_dataset(StoreName::from_bytes([2; 16]), id, POLICY, Granularity::Record, &mut rng).unwrap();
    what(keyring.dataset(&id).unwrap().name_key())
}

#[test]
fn one_rule_more_or_less_makes_few_pieces_anew() {
    let (mut written, mut all, mut lengths) = (0, 0, Vec::new());
    for seed in 0..8 {
        with_key(seed, |key| {
            // All but every tenth number, so that there is room for others.
            let numbers = || (0..4_000).filter(|number| number % 10 != 0);
            let before = cut(&policy(4_500, numbers()).to_bytes(), key).unwrap();
            for place in [0, 1_230, 3_990] {
                let policy = policy(4_500, numbers().chain([place]));
                let after = cut(&policy.to_bytes(), key).unwrap();
                assert_eq!(after.concat(), policy.to_bytes());
                let new: Vec<&Vec<u8>> = after.iter().filter(|piece| !before.contains(piece)).collect();
                // How many rules there are, and the rule's own; at worst it is cut in two, or two become one.
                assert!(new.len() <= 3, "{}", new.len());
                written += new.iter().map(|piece| piece.len()).sum::<usize>();
                all += policy.to_bytes().len();
                lengths.extend(after.iter().map(Vec::len));
            }
        });
    }
    assert!(written * 20 < all, "{written} of {all}");
    let mean = lengths.iter().sum::<usize>() / lengths.len();
    assert!((5_000..12_000).contains(&mean), "{mean}");
}

#[test]
fn lengths_of_pieces_are_others_for_everybody() {
    let lengths = |seed| {
        let pieces = with_key(seed, |key| cut(&policy(900, 0..900).to_bytes(), key).unwrap());
        pieces.iter().map(Vec::len).collect::<Vec<_>>()
    };
    assert_eq!(lengths(1), lengths(1));
    assert_ne!(lengths(1), lengths(2));
}

#[test]
fn what_is_longer_than_a_record_is_cut_too() {
    let parties: Vec<String> = (0..4_000).map(|number| format!("{number:090}")).collect();
    let names: Vec<&str> = parties.iter().map(String::as_str).collect();
    let words = names.iter().fold(words(0), |words, party| words.party(party, PartyKind::PRIVATE));
    let policy = Policy::new(words.cluster("all", std::num::NonZeroU32::MIN, &names).build().unwrap());
    let pieces = with_key(1, |key| cut(&policy.to_bytes(), key).unwrap());
    assert_eq!(pieces.concat(), policy.to_bytes());
    assert!(pieces.iter().all(|piece| piece.len() < 200 << 10));
    assert!(policy.to_bytes().len() > 700_000);
}

/// A box whose rules changed since a decision.
async fn decided() -> (Person<Open<Client>>, Keepsake, Client) {
    let mut config = Config::default();
    config.admission = Admission::Open;
    (config.rate.per_second, config.rate.burst) = (1_000_000, 1_000_000);
    config.header_reads = 1_000_000;
    let clock: fn() -> Timestamp = crate::host::system_clock;
    let client = LocalHost::new(Arc::new(Host::new(MemoryStorage::new(), clock, config)), "https://host.example");
    let (mut person, keepsake) = Person::create(client.clone(), "a passphrase").await.unwrap();
    person.import(br#"{"health": {"ward": "7b"}}"#, "myself").await.unwrap();
    person.adopt(words(0), |_| Sensitivity::ORDINARY).await.unwrap();
    decide(&mut person).await;
    person.apply(permission("one")).await.unwrap();
    decide(&mut person).await;
    person.apply(permission("two")).await.unwrap();
    (person, keepsake, client)
}

/// Has the clinic ask for everything.
async fn decide(person: &mut Person<Open<Client>>) {
    let open = &mut person.state;
    let facts = HostFacts::new(name("clinic"), system::now());
    let ask = Ask::read_all(name("care"), Basis::CONTRACT);
    let entry: Entry = decision_entry(&ask, &facts, &open.rules.evaluator.decide(&ask, &facts), open.rules.digest);
    let mut change = open.change();
    change.log(entry);
    open.commit(change, facts.now).await.unwrap();
}

fn record(person: &Person<Open<Client>>, name: &str) -> Record {
    let dataset = person.state.dataset(POLICY).unwrap();
    person.state.shelves[dataset.id()].record(dataset, name).unwrap().unwrap()
}

fn names(person: &Person<Open<Client>>) -> BTreeSet<String> {
    let dataset = person.state.dataset(POLICY).unwrap();
    let records = person.state.shelves[dataset.id()].records(dataset).unwrap();
    records.iter().map(|record| record.name().to_owned()).collect()
}

/// Writes what no version of ours would.
async fn damage(person: &mut Person<Open<Client>>, name: &str, value: Option<ItemBuf>) {
    let open = &mut person.state;
    let (mut change, dataset) = (open.change(), open.dataset(POLICY).unwrap());
    let place = (*dataset.id(), dataset.name_key().object_id(name));
    match value {
        Some(value) => change.records.push((place.0, place.1, Record::new(POLICY, 1, name, value).unwrap())),
        None => change.purges.push(place),
    }
    open.commit(change, system::now()).await.unwrap();
}

async fn reopened(keepsake: &Keepsake, client: &Client) -> Result<Person<Open<Client>>, String> {
    let locked = Person::locate(client.clone(), keepsake.store).await.unwrap();
    let secret = Secret::RecoveryPhrase(&keepsake.recovery_phrase);
    locked.unlock(&secret, None).await.map_err(|error| error.code())
}

/// The piece with the rule `two`, by name, and one with a rule of another name in its place.
fn forged(person: &Person<Open<Client>>, pieces: &[Digest]) -> ((String, ItemBuf), ItemBuf) {
    let values = pieces.iter().map(|piece| (piece_name(piece), record(person, &piece_name(piece)).value().clone()));
    let has_two = |value: &ItemBuf| value.bytes().windows(4).position(|bytes| bytes == b"\x63two");
    let (at, given) = { values }.find_map(|given| Some((has_two(&given.1)?, given))).unwrap();
    let mut bytes = given.1.as_item().as_bytes().unwrap().to_vec();
    let head = given.1.bytes().len() - bytes.len();
    bytes[at - head + 3] = b'p';
    (given, bytes_item(&bytes).unwrap())
}

#[test]
fn a_damaged_policy_is_told_and_decides_nothing() {
    block_on(async {
        let list = |pieces: &[Digest]| write_list(pieces.iter()).unwrap();
        for is_in_force in [true, false] {
            let (person, keepsake, client) = decided().await;
            assert_eq!(person.replay().unwrap().iter().map(|(_, came)| *came).collect::<Vec<_>>(), [Replayed::Same; 2]);
            let kept: Vec<String> = names(&person).into_iter().filter(|name| name.starts_with(KEPT)).collect();
            assert_eq!(kept.len(), 2);
            let pieces_of = |name: &str| read_list(record(&person, name).value().as_item()).unwrap();
            // The one that has a piece of its own, and another.
            let all = [IN_FORCE, &kept[0], &kept[1]];
            let is_own = |name: &&str, piece: &Digest| {
                all.iter().all(|other| other == name || !pieces_of(other).contains(piece))
            };
            let has_own = |name: &&&str| pieces_of(name).iter().any(|piece| is_own(name, piece));
            let name = if is_in_force { IN_FORCE } else { all[1..].iter().find(has_own).unwrap() };
            let other = if name == kept[0] { &kept[1] } else { &kept[0] };
            let (sound, pieces) = (record(&person, name).value().clone(), pieces_of(name));
            let own = pieces.iter().find(|piece| is_own(&name, piece)).unwrap();
            let piece = piece_name(own);
            let whole = record(&person, &piece).value().clone();
            let mut twisted = pieces.clone();
            twisted.swap(0, 1);
            let damages = [
                (&*piece, None, &whole),
                (&*piece, Some(bytes_item(b"").unwrap()), &whole),
                (&*piece, Some(list(&[])), &whole),
                (name, Some(list(&[])), &sound),
                (name, Some(list(&twisted)), &sound),
                (name, Some(list(&pieces[1..])), &sound),
                (name, Some(list(&vec![*own; 7_000])), &sound),
                (name, Some(bytes_item(b"").unwrap()), &sound),
                (name, Some(record(&person, other).value().clone()), &sound),
            ];
            // Another rule than was given, which is a rule too.
            let (given, forged) = forged(&person, &pieces_of(IN_FORCE));
            let other_rule = Some((&*given.0, Some(forged), &given.1)).filter(|_| is_in_force);
            let mut person = person;
            for (number, (name, value, sound)) in damages.into_iter().chain(other_rule).enumerate() {
                damage(&mut person, name, value).await;
                match reopened(&keepsake, &client).await {
                    // Another policy of the person's own is no damage to see, where nothing says which one is in force.
                    Ok(opened) if is_in_force => assert!(number == 8 && opened.replay().is_ok()),
                    Err(code) if is_in_force => assert_eq!(code, "Damaged", "{number}"),
                    opened => assert_eq!(opened.unwrap().replay().unwrap_err().code(), "Damaged", "{number}"),
                }
                damage(&mut person, name, Some(sound.clone())).await;
                assert_eq!(reopened(&keepsake, &client).await.unwrap().replay().unwrap().len(), 2);
            }
            // What is damaged keeps nobody from changing their rules, and a piece that is needed is there again.
            damage(&mut person, other, Some(bytes_item(b"").unwrap())).await;
            let piece = piece_name(&pieces[0]);
            damage(&mut person, &piece, Some(bytes_item(b"").unwrap())).await;
            person.apply(permission("three")).await.unwrap();
            assert_eq!(record(&person, &piece).value().as_item().as_bytes().map(digest), Some(pieces[0]));
            assert!(reopened(&keepsake, &client).await.is_ok());
        }
    });
}

#[test]
fn an_erased_decision_keeps_no_policy() {
    block_on(async {
        let (mut person, ..) = decided().await;
        let before = names(&person);
        let Row::Kept(last) = &person.state.log.rows()[5] else { panic!("erased") };
        let kept = kept_name(&last.entry().policy);
        assert!(before.contains(&kept));
        assert!(person.state.log.erase(5));
        person.apply(permission("three")).await.unwrap();
        let after = names(&person);
        let gone: Vec<&String> = before.difference(&after).collect();
        assert!(gone.contains(&&kept) && gone.iter().any(|name| name.starts_with(PIECE)), "{gone:?}");
        assert_eq!(person.replay().unwrap(), [(3, Replayed::Same)]);
    });
}
