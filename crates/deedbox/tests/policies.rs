//! The rules of a box, small and of full size: what each change of them writes, and that every decision can be made again.

#[path = "shared/local.rs"]
mod local;
#[path = "shared/meet.rs"]
mod meet;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use deedbox::{
    HostClient,
    host::{HostError, MemoryStorage, Reply, Request, system_clock},
    parts::{
        audit::{EntryKind, Row},
        cbor::ItemBuf,
        consent::{
            Action, Ask, Basis, Change, Decision, PartyKind, Permission, PermissionStatus, Prohibition, Regime,
            Selector, Sensitivity, To, Vocabulary, VocabularyBuilder,
        },
        cose::sha256,
        interop::replay::Replayed,
        model::{Digest, Name, Timestamp},
        record::{Bundle, Record, RecoveryPhrase, Unlock},
    },
    person::{Channel, Keepsake, Open, Person, Secret, Shared, category_of},
    provider::{Provider, Session},
};
use deedbox_testkit::rng::SeededRng;
use local::{Local, serve};
use meet::connect;
use pollster::block_on;
use rand_core::Rng;

type Box = Person<Open<Local<MemoryStorage>>>;

fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

fn permission(id: &str, party: &str, purpose: &str, fields: impl IntoIterator<Item = Name>) -> Permission {
    Permission::new(name(id), To::Party(name(party)), name(purpose), Basis::CONTRACT)
        .actions(Action::Read)
        .fields(Selector::of(fields))
        .between(Timestamp::from_secs(0), system_clock().saturating_add_secs(86_400))
        .retention(60)
}

/// What lies in the box of its policies, by name.
async fn kept(person: &Box, keepsake: &Keepsake) -> BTreeMap<String, ItemBuf> {
    let mut bundle = Vec::new();
    person.export(&mut bundle).await.unwrap();
    let bundle = Bundle::parse(&bundle).unwrap();
    let phrase = RecoveryPhrase::parse(&keepsake.recovery_phrase).unwrap();
    let root = bundle.header().unlock(bundle.header().slots()[1].id(), &Unlock::Phrase(&phrase)).unwrap();
    let bundle = bundle.verify(&root).unwrap();
    let dataset = bundle.keyring().datasets().iter().find(|dataset| dataset.title() == "deedbox:policy").unwrap();
    let mut all = bundle.datasets().iter().zip(bundle.replicas());
    let (sealed, replica) = all.find(|(sealed, _)| sealed.dataset() == dataset.id()).unwrap();
    let open = |object| {
        let opened = replica.open(object, sealed.bytes_of(object).unwrap(), dataset.keys()).unwrap();
        let record = Record::decode(opened.payload()).unwrap();
        (record.name().to_owned(), record.value().clone())
    };
    replica.entries().iter().map(|entry| open(entry.object())).collect()
}

/// Shows that the box has the policies of the log's decisions and the one in force, and not a record more.
async fn has_what_it_needs(person: &Box, keepsake: &Keepsake) {
    let in_force = Digest::from_bytes(sha256(&person.policy().to_bytes()));
    let decided = person.log().rows().iter().filter_map(|row| match row {
        Row::Kept(kept) => Some(kept.entry()).filter(|entry| entry.kind == EntryKind::Decision),
        Row::Erased(_) => panic!("erased"),
    });
    let decided: BTreeSet<Digest> = decided.map(|entry| entry.policy).filter(|policy| *policy != in_force).collect();
    let lists = decided.iter().map(|policy| (format!("policy/{policy}"), *policy));
    let lists: Vec<(String, Digest)> = lists.chain([("policy".to_owned(), in_force)]).collect();
    let kept = kept(person, keepsake).await;
    let mut needed: BTreeSet<String> = lists.iter().map(|(list, _)| list.clone()).collect();
    for (list, policy) in &lists {
        let mut bytes = Vec::new();
        for piece in kept[list].as_item().as_array().unwrap().iter() {
            let name = format!("piece/{}", Digest::decode(piece).unwrap());
            bytes.extend_from_slice(kept[&name].as_item().as_bytes().unwrap());
            needed.insert(name);
        }
        assert_eq!(Digest::from_bytes(sha256(&bytes)), *policy);
    }
    assert_eq!(kept.into_keys().collect::<BTreeSet<_>>(), needed);
}

/// A box, somebody connected who asks, and dice.
struct Story {
    person: Box,
    keepsake: Keepsake,
    host: Local<MemoryStorage>,
    channel: Channel,
    session: Session,
    dice: SeededRng,
    /// How many decisions were made.
    decisions: usize,
    /// How many grants were handed over.
    granted: usize,
}

const DOCUMENT: &[u8] = br#"{"me": {"name": "Maren", "born": "1971"}, "health": {"ward": "7b", "note": "none"}}"#;

impl Story {
    async fn begin(seed: u64) -> Self {
        let host = serve(MemoryStorage::new());
        let (mut person, keepsake) = Person::create(host.clone(), "a passphrase").await.unwrap();
        person.import(DOCUMENT, "myself").await.unwrap();
        let clinic = Provider::generate("https://clinic.example").unwrap();
        let (channel, session) = connect(&mut person, &clinic, "clinic").await;
        Self { person, keepsake, host, channel, session, dice: SeededRng::new(seed), decisions: 0, granted: 0 }
    }

    fn below(&mut self, count: u64) -> u64 {
        self.dice.next_u64() % count
    }

    fn field(&mut self) -> Name {
        let fields = ["me.name", "me.born", "health.ward", "health.note"];
        name(fields[usize::try_from(self.below(4)).unwrap()])
    }

    fn purpose(&mut self) -> Name {
        name(["care", "research"][usize::try_from(self.below(2)).unwrap()])
    }

    fn words(&mut self) -> VocabularyBuilder {
        let words = Vocabulary::builder("rules", 1 + self.below(3), Regime::EU).party("clinic", PartyKind::PUBLIC);
        words.purpose("care", &[]).purpose("research", &[])
    }

    /// A change that the rules of now accept.
    fn change(&mut self, number: u64) -> Change {
        let statuses = self.person.policy().permissions().map(|(rule, status)| (rule.id.clone(), status));
        let live: Vec<_> = statuses.filter(|(_, status)| *status != PermissionStatus::Withdrawn).collect();
        let chosen = usize::try_from(self.below(live.len().max(1) as u64)).unwrap();
        match (self.below(5), live.get(chosen).cloned()) {
            (0, Some((id, PermissionStatus::Suspended))) => Change::Resume(id),
            (0 | 1, Some((id, PermissionStatus::Given))) => Change::Suspend(id),
            (2, Some((id, _))) => Change::Withdraw(id),
            (3, _) => {
                let of = Selector::of([self.field()]);
                Prohibition::new(name(&format!("not-{number}")), To::Party(name("clinic"))).fields(of).into()
            }
            _ => {
                let dataset = category_of(["me", "health"][usize::try_from(self.below(2)).unwrap()]).unwrap();
                let (purpose, fields) = (self.purpose(), [self.field(), self.field(), dataset]);
                let rule = permission(&format!("rule-{number}"), "clinic", purpose.as_str(), fields);
                if self.below(3) == 0 { rule.limit(2, None).into() } else { rule.into() }
            }
        }
    }

    async fn ask(&mut self) {
        let mut ask = Ask::read_all(self.purpose(), Basis::CONTRACT);
        if self.below(3) > 0 {
            ask = Ask::read(self.purpose(), Basis::CONTRACT, [self.field(), self.field(), name("nothing")]);
        }
        let record = self.session.ask(&ask).unwrap();
        let answered = self.person.answer(&mut self.channel, &record).await.unwrap();
        self.session.answer(&answered.reply).unwrap();
        self.decisions += 1;
    }

    /// Grants the clinic a dataset, and answers its ask by grants, where the rules permit it: two decisions.
    async fn grant(&mut self) {
        let title = ["me", "health"][usize::try_from(self.below(2)).unwrap()];
        let (what, ask) = (Shared::Dataset { title, write: false }, Ask::read_all(self.purpose(), Basis::CONTRACT));
        match self.person.grant(&self.channel, what, &ask, system_clock().saturating_add_secs(3_600)).await {
            Ok(granted) => self.granted += granted.handovers.len(),
            Err(error) => assert_eq!(error.code(), "Limited"),
        }
        let until = system_clock().saturating_add_secs(3_600);
        let record = self.session.ask(&ask).unwrap();
        match self.person.answer_by_grant(&mut self.channel, &record, until).await {
            Ok(granted) => self.granted += granted.handovers.len(),
            Err(error) => assert_eq!(error.code(), "Limited"),
        }
        self.decisions += 2;
    }

    async fn reopen(&mut self) {
        let locked = Person::locate(self.host.clone(), self.keepsake.store).await.unwrap();
        let (secret, pins) = (Secret::RecoveryPhrase(&self.keepsake.recovery_phrase), self.person.pins());
        self.person = locked.unlock(&secret, Some(&pins)).await.unwrap();
    }
}

#[test]
fn whatever_the_rules_become_every_decision_can_be_made_again() {
    block_on(async {
        let mut granted = 0;
        for seed in 0..4 {
            let mut story = Story::begin(seed).await;
            // Who asks before there are words for it is in the log too.
            story.ask().await;
            let words = story.words();
            story.person.adopt(words, |_| Sensitivity::ORDINARY).await.unwrap();
            for number in 0..60 {
                match story.below(9) {
                    0..3 => story.ask().await,
                    3..5 => {
                        let change = story.change(number);
                        story.person.apply(change).await.unwrap();
                    }
                    5 => {
                        // One that is refused leaves everything as it was.
                        let (change, digest) = (story.change(number), sha256(&story.person.policy().to_bytes()));
                        let refused = story.person.apply_all([change.clone(), Change::Resume(name("none"))]).await;
                        assert_eq!(refused.unwrap_err().code(), "Rule.UnknownId");
                        assert_eq!(sha256(&story.person.policy().to_bytes()), digest);
                        let before = story.person.log().len();
                        let more = permission(&format!("more-{number}"), "clinic", "care", [story.field()]);
                        story.person.apply_all([change, more.into()]).await.unwrap();
                        assert_eq!(story.person.log().len(), before + 2);
                    }
                    6 => {
                        let words = story.words();
                        story.person.adopt(words, |_| Sensitivity::ORDINARY).await.unwrap();
                    }
                    7 => story.grant().await,
                    _ => story.reopen().await,
                }
                let replayed = story.person.replay().unwrap();
                assert_eq!(replayed.len(), story.decisions);
                assert!(replayed.iter().all(|(_, came)| *came == Replayed::Same), "{seed} {number} {replayed:?}");
                has_what_it_needs(&story.person, &story.keepsake).await;
            }
            assert!(story.decisions > 10);
            granted += story.granted;
        }
        assert!(granted > 5, "{granted}");
    });
}

/// Counts the bytes that are sent in commits.
#[derive(Clone)]
struct Counted {
    host: Local<MemoryStorage>,
    sent: Arc<AtomicUsize>,
}

impl HostClient for Counted {
    fn origin(&self) -> &str {
        self.host.origin()
    }

    async fn send(&self, request: Request<'_>) -> Result<Reply, HostError> {
        self.sent.fetch_add(request.body.len(), Ordering::Relaxed);
        self.host.send(request).await
    }
}

const DATASETS: usize = 12;
const FIELDS: usize = 4_500;
const PARTIES: usize = 120;
const RULES: usize = 4_000;

fn long_name(number: usize) -> String {
    let dataset = number % DATASETS;
    format!("document-{dataset:02}.what-the-person-was-told-on-the-day-and-what-they-said-to-that-{number:04}")
}

fn document() -> Vec<u8> {
    let dataset = |dataset: usize| {
        let fields = (dataset..FIELDS).step_by(DATASETS).map(|number| {
            let name = long_name(number);
            let (_, key) = name.split_once('.').unwrap();
            format!("\"{key}\":\"{number}\"")
        });
        format!("\"document-{dataset:02}\":{{{}}}", fields.collect::<Vec<_>>().join(","))
    };
    format!("{{{}}}", (0..DATASETS).map(dataset).collect::<Vec<_>>().join(",")).into_bytes()
}

/// As many rules as a person has; one party may have everything, the others some fields each.
fn rules() -> impl Iterator<Item = Change> {
    let everything = (0..DATASETS).map(|dataset| category_of(&format!("document-{dataset:02}")).unwrap());
    let first: Change = permission("everything", "party-000", "purpose-0", everything).into();
    let others = (1..RULES).map(|number| {
        let field = |step: usize| name(&long_name((number * 7 + step * 131) % FIELDS));
        let party = format!("party-{:03}", 1 + number % (PARTIES - 1));
        if number % 7 == 0 {
            let of = Selector::of([field(0)]);
            return Prohibition::new(name(&format!("not-{number}")), To::Party(name(&party))).fields(of).into();
        }
        let purpose = format!("purpose-{}", number % 9);
        permission(&format!("rule-{number}"), &party, &purpose, (0..1 + number % 4).map(field)).into()
    });
    std::iter::once(first).chain(others)
}

#[test]
fn a_box_of_full_size_has_room_for_its_rules_and_for_an_answer_with_everything() {
    block_on(async {
        let host = serve(MemoryStorage::new());
        let (mut person, keepsake) = Person::create(host.clone(), "a passphrase").await.unwrap();
        assert_eq!(person.import(&document(), "myself").await.unwrap().fields, FIELDS);
        let provider = Provider::generate("https://party.example").unwrap();
        let (mut channel, mut session) = connect(&mut person, &provider, "party-000").await;
        let words = Vocabulary::builder("full", 1, Regime::EU);
        let words = (0..9).fold(words, |words, number| words.purpose(&format!("purpose-{number}"), &[]));
        let words =
            (0..PARTIES).fold(words, |words, number| words.party(&format!("party-{number:03}"), PartyKind::PUBLIC));
        person.adopt(words, |_| Sensitivity::ORDINARY).await.unwrap();
        person.apply_all(rules()).await.unwrap();
        let size = person.policy().to_bytes().len();
        assert!(size > 4 * (256 << 10), "{size}");

        // All of it: the log's entry is longer than a record.
        let ask = Ask::read_all(name("purpose-0"), Basis::CONTRACT);
        let record = session.ask(&ask).unwrap();
        let answered = person.answer(&mut channel, &record).await.unwrap();
        assert!(matches!(&answered.decision, Decision::Permit(permit) if permit.fields().len() == FIELDS));
        assert_eq!(session.answer(&answered.reply).unwrap().values.len(), FIELDS);
        let Some(Row::Kept(last)) = person.log().rows().last() else { panic!("no entry") };
        assert!(last.bytes().len() > 256 << 10, "{}", last.bytes().len());

        // So is the receipt for it.
        let message = person.receipt_of(&mut channel, answered.entry).await.unwrap();
        let (receipt, _, reply) = session.acknowledge(&provider, &message).unwrap();
        assert_eq!(receipt.fields.map(|fields| fields.len()), Some(FIELDS));
        person.acknowledged(&mut channel, &reply).await.unwrap();

        // Opened anew, it is all there, and one rule changes little of it at the host.
        let pins = person.pins();
        let sent = Arc::new(AtomicUsize::new(0));
        let counted = Counted { host, sent: Arc::clone(&sent) };
        let secret = Secret::RecoveryPhrase(&keepsake.recovery_phrase);
        let mut person =
            Person::locate(counted, keepsake.store).await.unwrap().unlock(&secret, Some(&pins)).await.unwrap();
        assert_eq!(person.policy().to_bytes().len(), size);
        let receipts = person.receipts().unwrap();
        assert!(receipts.len() == 1 && receipts[0].signed.is_acknowledged());
        assert_eq!(receipts[0].entry, Some(answered.entry));
        assert_eq!(person.replay().unwrap(), [(answered.entry, Replayed::Same)]);
        let mut written = Vec::new();
        for number in 0..9 {
            let fields = [name(&long_name(number))];
            let rule = permission(&format!("rule-{}-more", number * 400), "party-001", "purpose-1", fields);
            sent.store(0, Ordering::Relaxed);
            person.apply(rule).await.unwrap();
            written.push(sent.load(Ordering::Relaxed));
        }
        written.sort_unstable();
        assert!(written[4] < 64 << 10, "{written:?}");
        assert_eq!(person.replay().unwrap(), [(answered.entry, Replayed::Same)]);
    });
}

#[test]
fn an_answer_that_no_record_of_a_session_holds_is_no_use_of_a_permission() {
    block_on(async {
        let mut story = Story::begin(1).await;
        let fields = (0..9).map(|number| format!("\"{number}\":\"{}\"", "long ".repeat(24_000)));
        let document = format!("{{\"notes\":{{{}}}}}", fields.collect::<Vec<_>>().join(","));
        story.person.import(document.as_bytes(), "myself").await.unwrap();
        let words = story.words();
        story.person.adopt(words, |_| Sensitivity::ORDINARY).await.unwrap();
        let rule = permission("once", "clinic", "care", [category_of("notes").unwrap()]).limit(1, None);
        story.person.apply(rule).await.unwrap();
        let record = story.session.ask(&Ask::read_all(name("care"), Basis::CONTRACT)).unwrap();
        let refused = story.person.answer(&mut story.channel, &record).await.map(|_| ()).unwrap_err();
        assert_eq!(refused.code(), "Connect.LimitExceeded");
        let Some(Row::Kept(last)) = story.person.log().rows().last() else { panic!("no entry") };
        assert!(last.entry().stopped && last.entry().released.len() == 9);

        let record = story.session.ask(&Ask::read(name("care"), Basis::CONTRACT, [name("notes.1")])).unwrap();
        let answered = story.person.answer(&mut story.channel, &record).await.unwrap();
        assert_eq!(story.session.answer(&answered.reply).unwrap().values.len(), 1);
        let replayed = story.person.replay().unwrap().into_iter().map(|(_, came)| came).collect::<Vec<_>>();
        assert_eq!(replayed, [Replayed::Same; 2]);
    });
}

/// An ask may name more fields than the log can say something of.
#[test]
fn an_ask_that_the_log_has_no_room_for_is_not_answered() {
    block_on(async {
        let mut story = Story::begin(1).await;
        let words = story.words();
        story.person.adopt(words, |_| Sensitivity::ORDINARY).await.unwrap();
        let before = story.person.log().len();
        // The longest ask there is: with a reason for each field the entry is longer than an ask.
        let fields = (0..10_690).map(|number| name(&format!("{number:096}")));
        let record = story.session.ask(&Ask::read(name("care"), Basis::CONTRACT, fields)).unwrap();
        let refused = story.person.answer(&mut story.channel, &record).await.map(|_| ()).unwrap_err();
        assert_eq!((refused.code().as_str(), story.person.log().len()), ("Payload.Limit", before));
        story.reopen().await;
        story.ask().await;
        assert_eq!(story.person.replay().unwrap(), [(before, Replayed::Same)]);
    });
}
