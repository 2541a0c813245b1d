//! Two devices of one person write at the same time: nothing is lost, nothing leaves by rules of before, both end alike.

#[path = "shared/local.rs"]
mod local;
#[path = "shared/meet.rs"]
mod meet;

use std::collections::BTreeSet;

use deedbox::{
    host::{MemoryStorage, system_clock},
    parts::{
        audit::{EntryKind, Row},
        consent::{
            Action, Actions, Ask, Basis, Change, Decision, PartyKind, Permission, Reason, Regime, Selector,
            Sensitivity, To, Vocabulary,
        },
        model::{FieldPath, Name, Timestamp},
    },
    person::{Keepsake, NewFile, Open, Person, Secret, Sibling},
    provider::Provider,
};
use local::{Local, serve};
use meet::connect;
use pollster::block_on;

type Client = Local<MemoryStorage>;
type Box = Person<Open<Client>>;

/// A box on two devices, both of which have seen all of it.
async fn two_devices() -> (Box, Box, Keepsake) {
    let client = serve(MemoryStorage::new());
    let (mut one, keepsake) = Person::create(client.clone(), "a passphrase").await.unwrap();
    one.import(br#"{"me": {"name": "Maren", "phone": "117"}}"#, "myself").await.unwrap();
    let locked = Person::locate(client, keepsake.store).await.unwrap();
    let two = locked.unlock(&Secret::RecoveryPhrase(&keepsake.recovery_phrase), None).await.unwrap();
    (one, two, keepsake)
}

fn path(text: &str) -> FieldPath {
    FieldPath::parse(text).unwrap()
}

fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

/// Every value in the box with its path.
fn said(person: &Box) -> BTreeSet<(String, String)> {
    let values = person.values().unwrap();
    values.iter().map(|one| (one.path.as_str().to_owned(), format!("{:?}", one.value.as_item().as_str()))).collect()
}

fn said_at(person: &Box, at: &str) -> BTreeSet<String> {
    said(person).into_iter().filter(|(path, _)| path == at).map(|(_, value)| value).collect()
}

fn siblings_at(person: &Box, at: &str) -> Vec<Sibling> {
    let all = person.siblings().unwrap();
    all.into_iter().find(|(place, _)| *place == path(at)).map_or_else(Vec::new, |(_, siblings)| siblings)
}

async fn phone(person: &mut Box, number: &str) -> Vec<FieldPath> {
    let document = format!(r#"{{"me": {{"phone": "{number}"}}}}"#);
    person.import(document.as_bytes(), "myself").await.unwrap().conflicts
}

#[test]
fn what_each_writes_elsewhere_is_there_on_both() {
    block_on(async {
        let (mut one, mut two, _) = two_devices().await;
        one.import(br#"{"me": {"email": "m@example"}, "papers": {"licence": "B"}}"#, "myself").await.unwrap();
        // The second knows neither the value nor the dataset, which it would make too.
        let imported =
            two.import(br#"{"me": {"town": "Leeds"}, "papers": {"passport": "9"}}"#, "myself").await.unwrap();
        assert!(imported.conflicts.is_empty());
        let one = one.refresh().await.unwrap();
        assert_eq!((said(&one).len(), said(&one)), (6, said(&two)));
        assert_eq!(one.datasets().collect::<BTreeSet<_>>(), BTreeSet::from(["me", "papers"]));
        // Each has its entry in one log, which both hold.
        let kinds = |person: &Box| {
            let rows = person.log().rows().iter();
            rows.filter(|row| matches!(row, Row::Kept(entry) if entry.entry().kind == EntryKind::Receipt)).count()
        };
        assert_eq!((kinds(&one), kinds(&two)), (3, 3));
        assert_eq!(one.log().len(), two.log().len());
    });
}

#[test]
fn what_both_write_to_one_place_stays_until_the_person_chooses() {
    block_on(async {
        // Whoever comes first, and whichever of the two numbers it has: the same value keeps the place.
        let mut places = BTreeSet::new();
        for [first, second] in [["118", "119"], ["119", "118"]] {
            let (mut one, mut two, _) = two_devices().await;
            assert!(phone(&mut one, first).await.is_empty());
            assert_eq!(phone(&mut two, second).await, [path("me.phone")]);
            let both = BTreeSet::from(["Some(\"118\")".to_owned(), "Some(\"119\")".to_owned()]);
            assert_eq!(said_at(&two, "me.phone"), both);
            let mut one = one.refresh().await.unwrap();
            assert_eq!(said(&one), said(&two));
            let (kept, _) = one.value(&path("me.phone")).unwrap();
            assert_eq!(two.value(&path("me.phone")).unwrap().0, kept);
            places.insert((first, kept.as_item().as_str().unwrap().to_owned()));

            // The person keeps one, on either device: the other goes, and is gone on both.
            let siblings = siblings_at(&one, "me.phone");
            let wanted = siblings.iter().find(|sibling| sibling.value.as_item().as_str() == Some("119")).unwrap();
            one.keep(wanted).await.unwrap();
            let mut two = two.refresh().await.unwrap();
            for device in [&one, &two] {
                assert_eq!(said_at(device, "me.phone"), BTreeSet::from(["Some(\"119\")".to_owned()]));
                assert_eq!(device.value(&path("me.phone")).unwrap().0.as_item().as_str(), Some("119"));
                assert!(device.siblings().unwrap().is_empty());
            }
            // What is no value of the field any more can't be kept, and what is written next just replaces it.
            let gone = siblings.iter().find(|sibling| sibling.value.as_item().as_str() == Some("118")).unwrap();
            assert_eq!(two.keep(gone).await.unwrap_err().code(), "NotFound");
            assert!(phone(&mut two, "120").await.is_empty());
            assert_eq!(said_at(&two, "me.phone").len(), 1);
        }
        assert_eq!(places.len(), 2);
    });
}

#[test]
fn what_both_say_alike_is_there_once() {
    block_on(async {
        let (mut one, mut two, _) = two_devices().await;
        let document = br#"{"me": {"name": "Maren", "phone": "118", "born": "1971-03-09"}}"#;
        one.import(document, "myself").await.unwrap();
        assert!(two.import(document, "myself").await.unwrap().conflicts.is_empty());
        assert_eq!(two.values().unwrap().len(), 3);
        // The same value in somebody else's word is another one.
        let (mut one, other) = (one.refresh().await.unwrap(), br#"{"me": {"town": "Leeds"}}"#);
        one.import(other, "myself").await.unwrap();
        assert_eq!(two.import(other, "a neighbour").await.unwrap().conflicts, [path("me.town")]);
    });
}

#[test]
fn to_erase_a_field_erases_all_its_values() {
    block_on(async {
        let (mut one, mut two, keepsake) = two_devices().await;
        phone(&mut one, "118").await;
        phone(&mut two, "119").await;
        let receipt = two.erase(&[path("me.phone")]).await.unwrap();
        assert_eq!(receipt.datasets[0].objects.len(), 2);
        let one = one.refresh().await.unwrap();
        for device in [&one, &two] {
            assert!(said_at(device, "me.phone").is_empty() && *device.store() == keepsake.store);
        }
    });
}

#[test]
fn what_one_erases_while_the_other_writes_it_is_there_as_written() {
    block_on(async {
        let (mut one, mut two, _) = two_devices().await;
        one.erase(&[path("me.phone")]).await.unwrap();
        phone(&mut two, "119").await;
        let one = one.refresh().await.unwrap();
        assert_eq!(said_at(&one, "me.phone"), BTreeSet::from(["Some(\"119\")".to_owned()]));
        // The keys of before are gone all the same: nothing was written under them.
        assert_eq!(said(&one), said(&two));
    });
}

#[test]
fn of_two_files_at_one_place_both_can_be_read() {
    block_on(async {
        let (mut one, mut two, _) = two_devices().await;
        let at = path("papers.scan");
        let scan = |title| NewFile { path: &at, title, media: None, source: "myself" };
        let long = vec![7; 3_000_000];
        one.store_file(&scan("front"), &mut &long[..]).await.unwrap();
        two.store_file(&scan("back"), &mut &b"the other side"[..]).await.unwrap();
        let titles: BTreeSet<String> = said_at(&two, "papers.scan");
        assert_eq!(titles, BTreeSet::from(["Some(\"back\")".to_owned(), "Some(\"front\")".to_owned()]));
        // Whichever keeps the place: first the one that has it is read, then the other is kept and read there.
        for _ in 0..2 {
            let mut file = two.file(&at).await.unwrap();
            let mut read = Vec::new();
            file.copy_to(&mut read).await.unwrap();
            let content = if file.title() == "front" { &long[..] } else { b"the other side" };
            assert!(read == content);
            let siblings = siblings_at(&two, "papers.scan");
            let other = siblings.iter().find(|sibling| sibling.value.as_item().as_str() != Some(file.title()));
            if let Some(other) = other {
                two.keep(other).await.unwrap();
            }
        }
        assert!(two.siblings().unwrap().is_empty());
    });
}

#[test]
fn an_answer_is_by_the_rules_in_force_when_it_leaves() {
    block_on(async {
        let (mut one, two, _) = two_devices().await;
        let words = Vocabulary::builder("rules", 1, Regime::EU).purpose("care", &[]).party("clinic", PartyKind::PUBLIC);
        one.adopt(words, |_| Sensitivity::ORDINARY).await.unwrap();
        let phone = one.values().unwrap().into_iter().find(|value| value.path == path("me.phone")).unwrap().field;
        let permission = Permission::new(name("call"), To::Party(name("clinic")), name("care"), Basis::CONTRACT)
            .actions([Action::Read].into_iter().collect::<Actions>())
            .fields(Selector::of([phone.clone()]))
            .between(Timestamp::from_secs(0), system_clock().saturating_add_secs(3_600))
            .retention(60);
        one.apply(permission).await.unwrap();
        let clinic = Provider::generate("https://clinic.example").unwrap();
        let mut two = two.refresh().await.unwrap();
        let (mut channel, mut session) = connect(&mut two, &clinic, "clinic").await;
        let ask = Ask::read(name("care"), Basis::CONTRACT, [phone.clone()]);
        let answered = two.answer(&mut channel, &session.ask(&ask).unwrap()).await.unwrap();
        assert_eq!(session.answer(&answered.reply).unwrap().values.len(), 1);

        // Withdrawn on one device; the other, which has not heard of it, is asked.
        let mut one = one.refresh().await.unwrap();
        one.apply(Change::Withdraw(name("call"))).await.unwrap();
        let answered = two.answer(&mut channel, &session.ask(&ask).unwrap()).await.unwrap();
        assert!(matches!(answered.decision, Decision::Denial(_)));
        assert_eq!(answered.decision.withheld().get(&phone), Some(&Reason::Withdrawn));
        assert!(session.answer(&answered.reply).unwrap().values.is_empty());
        let one = one.refresh().await.unwrap();
        assert_eq!((one.log().len(), answered.entry), (two.log().len(), two.log().len() - 1));
        // Who was let in while another device wrote is let in.
        let mut one = one;
        self::phone(&mut one, "120").await;
        let other = Provider::generate("https://other.example").unwrap();
        let _ = connect(&mut two, &other, "clinic").await;
        assert_eq!(two.connections().unwrap().len(), 2);
    });
}
