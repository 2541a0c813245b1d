//! Claims of a credential leave if the rules permit each of them, for the verifier's purpose; else nothing does. The log has both.

#[path = "shared/local.rs"]
mod local;
#[path = "shared/meet.rs"]
mod meet;

use deedbox::{
    PersonError,
    host::{MemoryStorage, system_clock},
    parts::{
        audit::{Entry, EntryKind, Row},
        consent::{
            Action, Ask, Basis, Change, Ground, PartyKind, Permission, Prohibition, Rank, Reason, Regime, Selector,
            Sensitivity, To, Vocabulary, VocabularyBuilder,
        },
        credential::{
            Audience, Challenge, ClaimMap, ClaimPath, ClaimSet, ClaimSetBuilder, CredentialTemplate, Nonce, Segment,
            StatusPolicy, TrustStore, Vct, VctPolicy, Verifier, claim_path,
        },
        interop::replay::Replayed,
        model::{Name, Timestamp},
    },
    person::{Channel, Keepsake, Open, Person, Secret, category_of_credential, claim_field},
    provider::{Provider, Session},
};
use local::{Local, serve};
use meet::connect;
use pollster::block_on;

type Box = Person<Open<Local<MemoryStorage>>>;

const IDENTITY: Vct = Vct::text("https://registry.example/credentials/identity");

fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

fn later() -> Timestamp {
    system_clock().saturating_add_secs(3_600)
}

fn field(claim: &str) -> Name {
    claim_field(Some(&IDENTITY), &Segment::from(claim)).unwrap()
}

fn words() -> VocabularyBuilder {
    Vocabulary::builder("rules", 1, Regime::EU)
        .purpose("sale", &[])
        .purpose("marketing", &[])
        .party("registry", PartyKind::PUBLIC)
        .party("shop", PartyKind::PRIVATE)
}

/// A permission for the shop to read these claims to sell something.
fn permission(id: &str, claims: &[&str]) -> Permission {
    Permission::new(name(id), To::Party(name("shop")), name("sale"), Basis::CONTRACT)
        .actions(Action::Read)
        .fields(Selector::of(claims.iter().map(|claim| field(claim))))
        .between(Timestamp::from_secs(0), later())
        .retention(0)
}

fn sale() -> Ask {
    Ask::read_all(name("sale"), Basis::CONTRACT)
}

fn claims() -> ClaimSetBuilder {
    ClaimSet::builder()
        .redactable("age_over_18", true)
        .redactable("birth_date", "1971-03-09")
        .claim("address", ClaimMap::new().redactable("street", "7 Mill Lane").redactable("city", "York"))
}

/// A box with a credential of the registry's, and a shop that wants to know something of it.
struct Story {
    person: Box,
    channel: Channel,
    shop: Session,
    credential: String,
    trust: TrustStore,
    keepsake: Keepsake,
    host: Local<MemoryStorage>,
}

impl Story {
    async fn begin(claims: ClaimSetBuilder) -> Self {
        let client = serve(MemoryStorage::new());
        let (mut person, keepsake) = Person::create(client.clone(), "a passphrase").await.unwrap();
        let registry = Provider::generate("https://registry.example").unwrap();
        let (mut at_registry, mut registry_side) = connect(&mut person, &registry, "registry").await;
        let mut trust = TrustStore::new();
        trust.pin_issuer(registry.uri(), registry.issuing_key().clone());
        let request = person.ask_for_credential(&mut at_registry).unwrap();
        let template = CredentialTemplate::new(IDENTITY, 86_400);
        let issued = registry.issue(&mut registry_side, &request, &template, claims.build().unwrap()).unwrap();
        let credential = person.receive_credential(&mut at_registry, &issued, &trust).await.unwrap();
        let shop = Provider::generate("https://shop.example").unwrap();
        let (channel, shop) = connect(&mut person, &shop, "shop").await;
        Self { person, channel, shop, credential, trust, keepsake, host: client }
    }

    async fn adopted(claims: ClaimSetBuilder) -> Self {
        let mut story = Self::begin(claims).await;
        story.person.adopt(words(), |_| Sensitivity::ORDINARY).await.unwrap();
        story
    }

    /// What the shop verified, or why it got nothing.
    async fn show(&mut self, paths: &[ClaimPath], ask: &Ask) -> Result<Vec<String>, PersonError> {
        let audience = Audience::parse("https://shop.example").unwrap();
        let nonce = Nonce::try_new(self.channel.binding()).unwrap();
        let Self { person, channel, credential, .. } = self;
        let answered = person.present(channel, credential, paths, ask, &audience, &nonce).await?;
        assert_eq!(self.last(2).iter().map(|entry| entry.kind).collect::<Vec<_>>(), DECIDED_AND_SHOWN);
        let short = StatusPolicy::ShortLived { max_secs: 86_400 * 2 };
        let verifier = Verifier::new(&self.trust, audience, VctPolicy::one(IDENTITY), short);
        let challenge = Challenge::try_new(self.shop.binding(), Challenge::MAX_AGE_SECS).unwrap();
        let accepted = self.shop.verify(&answered.reply, &verifier, challenge).unwrap();
        let claims = accepted.claims().as_item().as_map().unwrap();
        Ok(claims.iter().filter_map(|(key, _)| key.as_str().map(str::to_owned)).collect())
    }

    /// Shows that nothing leaves: the decision stands alone in the log, and why each claim stays.
    async fn refused(&mut self, paths: &[ClaimPath], ask: &Ask) -> Vec<(String, Reason)> {
        let before = self.person.log().len();
        let refused = match self.show(paths, ask).await {
            Err(PersonError::Refused(refused)) => refused,
            other => panic!("{other:?}"),
        };
        assert_eq!((self.person.log().len(), refused.entry), (before + 1, before));
        let entry = self.last(1).remove(0);
        assert_eq!((entry.kind, entry.party.as_deref()), (EntryKind::Decision, Some("shop")));
        let withheld = refused.decision.withheld().iter();
        let withheld: Vec<_> = withheld.map(|(field, reason)| (field.to_string(), *reason)).collect();
        let logged = entry.withheld.iter().map(|(field, reason)| (field.clone(), *reason));
        assert!(logged.eq(withheld.iter().map(|(field, reason)| (field.clone(), u64::from(reason.number())))));
        assert_eq!(format!("{refused:?}"), format!("Refused {{ code: {:?}, .. }}", refused.code()));
        withheld
    }

    fn last(&self, count: usize) -> Vec<Entry> {
        let rows = self.person.log().rows();
        let kept = |row: &Row| if let Row::Kept(entry) = row { entry.entry().clone() } else { panic!("erased") };
        rows[rows.len() - count..].iter().map(kept).collect()
    }

    /// What came of making all decisions again.
    fn replayed(&self) -> Vec<Replayed> {
        self.person.replay().unwrap().into_iter().map(|(_, replayed)| replayed).collect()
    }
}

const DECIDED_AND_SHOWN: [EntryKind; 2] = [EntryKind::Decision, EntryKind::Disclosure];

#[test]
fn without_a_rule_nothing_leaves_and_the_log_says_so() {
    block_on(async {
        let mut story = Story::begin(claims()).await;
        let age = [claim_path!["age_over_18"]];
        // Without the words for it nobody can permit it.
        assert_eq!(story.refused(&age, &sale()).await, []);
        assert_eq!(story.last(1)[0].refusal, Some(u64::from(Reason::UnknownParty.number())));
        story.person.adopt(words(), |_| Sensitivity::ORDINARY).await.unwrap();
        assert_eq!(story.refused(&age, &sale()).await, [(field("age_over_18").to_string(), Reason::NoPermission)]);
        // Not even that there is such a credential.
        assert_eq!(story.refused(&[], &sale()).await, []);
        assert_eq!(story.last(1)[0].refusal, Some(u64::from(Reason::FieldsMissing.number())));
        let nameless = Ask::default().action(Action::Read);
        story.refused(&age, &nameless).await;
        assert_eq!(story.last(1)[0].refusal, Some(u64::from(Reason::PurposeMissing.number())));
        assert_eq!(story.replayed(), [Replayed::Same; 4]);
    });
}

#[test]
fn a_permission_for_one_claim_shows_that_one_and_no_other() {
    block_on(async {
        let mut story = Story::adopted(claims()).await;
        let vocabulary = story.person.policy().vocabulary().fields();
        let known: Vec<_> = vocabulary.iter().map(|(name, field)| (name.clone(), field.issuer().cloned())).collect();
        let all = ["address", "age_over_18", "birth_date"].map(|claim| (field(claim), Some(name("registry"))));
        assert_eq!(known, all);

        story.person.apply(permission("age", &["age_over_18"])).await.unwrap();
        let (age, born) = (claim_path!["age_over_18"], claim_path!["birth_date"]);
        // What is left of the address is that there is one.
        let shown = story.show(std::slice::from_ref(&age), &sale()).await.unwrap();
        assert_eq!(shown, ["address", "age_over_18"]);
        let [decision, disclosure] = &story.last(2)[..] else { panic!("two entries") };
        assert_eq!((decision.purpose.as_deref(), decision.action, decision.stopped), (Some("sale"), Some(0), false));
        assert_eq!(decision.released, [field("age_over_18").to_string()]);
        assert_eq!(decision.determining, ["age"]);
        assert_eq!(disclosure.released, [story.credential.clone()]);
        assert!(disclosure.receipt.is_some() && disclosure.seq == decision.seq + 1);

        let refused = [(field("birth_date").to_string(), Reason::NoPermission)];
        assert_eq!(story.refused(std::slice::from_ref(&born), &sale()).await, refused);
        // One of two is too few, and it does not leave either.
        assert_eq!(story.refused(&[age.clone(), born], &sale()).await, refused);
        let entry = story.last(1).remove(0);
        assert_eq!((entry.released, entry.stopped), (vec![field("age_over_18").to_string()], true));
        let city = [claim_path!["address", "city"]];
        assert_eq!(story.refused(&city, &sale()).await, [(field("address").to_string(), Reason::NoPermission)]);
        let other = Ask::read_all(name("marketing"), Basis::CONTRACT);
        assert_eq!(story.refused(&[age], &other).await[0].1, Reason::PurposeNotCovered);
        assert_eq!(story.replayed(), [Replayed::Same; 5]);
        // What the asker lists is not looked at.
        let listed = Ask::read(name("sale"), Basis::CONTRACT, [field("age_over_18")]);
        assert_eq!(story.refused(&city, &listed).await[0].0, field("address").to_string());
    });
}

#[test]
fn what_every_verifier_sees_is_decided_on_too() {
    block_on(async {
        let mut story = Story::adopted(claims().claim("name", "Maren Holloway")).await;
        story.person.apply(permission("age", &["age_over_18"])).await.unwrap();
        let age = [claim_path!["age_over_18"]];
        assert_eq!(story.refused(&age, &sale()).await, [(field("name").to_string(), Reason::NoPermission)]);
        story.person.apply(permission("name", &["name"])).await.unwrap();
        assert_eq!(story.show(&age, &sale()).await.unwrap(), ["name", "address", "age_over_18"]);
    });
}

#[test]
fn prohibitions_and_seals_beat_a_permission_for_the_type() {
    block_on(async {
        let mut story = Story::adopted(claims()).await;
        let all = Selector::of([category_of_credential(Some(&IDENTITY)).unwrap()]);
        story.person.apply(permission("all", &[]).fields(all)).await.unwrap();
        let both = [claim_path!["age_over_18"], claim_path!["birth_date"]];
        assert_eq!(story.show(&both, &sale()).await.unwrap().len(), 3);
        let born = Selector::of([field("birth_date")]);
        let refusal = Prohibition::new(name("not-born"), To::Party(name("shop"))).fields(born.clone());
        story.person.apply(refusal).await.unwrap();
        assert_eq!(story.refused(&both, &sale()).await, [(field("birth_date").to_string(), Reason::Prohibited)]);
        let seal = Prohibition::new(name("seal"), To::Anyone).rank(Rank::SEAL).fields(born);
        story.person.apply(seal).await.unwrap();
        assert_eq!(story.refused(&both, &sale()).await, [(field("birth_date").to_string(), Reason::Sealed)]);
        assert_eq!(story.show(&both[..1], &sale()).await.unwrap().len(), 2);

        // A special type wants its ground.
        let type_name = category_of_credential(Some(&IDENTITY)).unwrap();
        let special =
            |title: &str| if title == type_name.as_str() { Sensitivity::SPECIAL } else { Sensitivity::ORDINARY };
        story.person.adopt(words(), special).await.unwrap();
        assert_eq!(story.refused(&both[..1], &sale().ground(Ground::from_code(8))).await[0].1, Reason::GroundMissing);
    });
}

#[test]
fn what_may_be_shown_once_is_shown_once() {
    block_on(async {
        let mut story = Story::adopted(claims()).await;
        story.person.apply(permission("once", &["age_over_18"]).limit(1, None)).await.unwrap();
        let age = [claim_path!["age_over_18"]];
        // Nothing left, so it was not used.
        story.refused(&[claim_path!["age_over_18"], claim_path!["birth_date"]], &sale()).await;
        // Nor is it by an answer, which has no value for it.
        let record = story.shop.ask(&Ask::read(name("sale"), Basis::CONTRACT, [field("age_over_18")])).unwrap();
        let answered = story.person.answer(&mut story.channel, &record).await.unwrap();
        assert_eq!(story.shop.answer(&answered.reply).unwrap().values, []);
        assert!(story.last(1)[0].stopped);
        assert_eq!(story.show(&age, &sale()).await.unwrap().len(), 2);
        let used_up = [(field("age_over_18").to_string(), Reason::UsageExhausted)];
        assert_eq!(story.refused(&age, &sale()).await, used_up);
        assert_eq!(story.replayed(), [Replayed::Same; 4]);
        // Another device reads it from the log.
        story.person = story.person.refresh().await.unwrap();
        assert_eq!(story.refused(&age, &sale()).await, used_up);
    });
}

#[test]
fn what_another_device_withdrew_is_not_shown_by_one_that_does_not_know() {
    block_on(async {
        let mut story = Story::adopted(claims()).await;
        story.person.apply(permission("age", &["age_over_18"])).await.unwrap();
        let device = Person::locate(story.host.clone(), story.keepsake.store).await.unwrap();
        let secret = Secret::RecoveryPhrase(&story.keepsake.recovery_phrase);
        let mut device = device.unlock(&secret, None).await.unwrap();
        device.apply(Change::Withdraw(name("age"))).await.unwrap();
        let nonce = Nonce::try_new(story.channel.binding()).unwrap();
        let audience = Audience::parse("https://shop.example").unwrap();
        let Story { person, channel, credential, .. } = &mut story;
        let shown =
            person.present(channel, credential, &[claim_path!["age_over_18"]], &sale(), &audience, &nonce).await;
        let Err(PersonError::Refused(refused)) = shown else { panic!("{shown:?}") };
        assert_eq!(refused.decision.withheld()[&field("age_over_18")], Reason::Withdrawn);
        assert_eq!(story.last(1)[0].seq, refused.entry);
    });
}

#[test]
fn a_query_gets_an_answer_and_nothing_more() {
    block_on(async {
        let mut story = Story::adopted(claims()).await;
        let both = ["age_over_18", "birth_date"];
        story.person.apply(permission("query", &both).actions(Action::Query)).await.unwrap();
        let (age, born) = ([claim_path!["age_over_18"]], [claim_path!["birth_date"]]);
        let query = sale().action(Action::Query);
        assert_eq!(story.show(&age, &query).await.unwrap().len(), 2);
        assert_eq!(story.refused(&age, &sale()).await[0].1, Reason::ActionNotCovered);
        let before = story.person.log().len();
        for (paths, action) in [(&born, Action::Query), (&age, Action::Write), (&age, Action::Share)] {
            assert_eq!(story.show(paths, &sale().action(action)).await.unwrap_err().code(), "Unexpected");
        }
        assert_eq!(story.person.log().len(), before, "no question that could be decided");
    });
}
