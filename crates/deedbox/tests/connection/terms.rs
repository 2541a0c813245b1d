//! Terms in force: what both have signed, and what the other side narrows alone.

use std::{thread::sleep, time::Duration};

use deedbox::{
    PersonError,
    exchange::SignedTerms,
    host::system_clock,
    parts::{
        audit::{Entry, EntryKind, Row},
        connect::{EndReason, Renewal},
        consent::{
            Action, Actions, Ask, Basis, Change, Decision, Evidence, EvidenceKind, Mandate, PartyKind, Permission,
            Rank, Reason, Regime, Selector, Sensitivity, Terms, TermsDiff, To, Vocabulary,
        },
        cose::sha256,
        interop::replay::Replayed,
        model::{Digest, Name, Timestamp},
    },
    person::{Applied, Channel, Offered, Open, Person, Secret, Shared, category_of},
    provider::{Connected, Provider, Session},
};
use pollster::block_on;

use super::granted::{care, granted};
use super::sides::{Client, Sides, host, later, person_code};

const DOCUMENT: &[u8] = br#"{"me": {"name": "Maren", "phone": "117", "town": "Leeds"}}"#;

type Box = Person<Open<Client>>;

fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

fn digest(bytes: &[u8]) -> Digest {
    Digest::from_bytes(sha256(bytes))
}

fn to(party: &str, id: &str, fields: &[&str]) -> Permission {
    Permission::new(name(id), To::Party(name(party)), name("care"), Basis::CONTRACT)
        .actions([Action::Read, Action::Write].into_iter().collect::<Actions>())
        .fields(Selector::of(fields.iter().map(|field| name(field))))
        .between(Timestamp::from_secs(0), Timestamp::from_secs(4_000_000_000))
        .retention(60)
}

fn permit(id: &str, fields: &[&str]) -> Permission {
    to("council", id, fields)
}

fn once(id: &str, fields: &[&str]) -> Permission {
    permit(id, fields).limit(1, None)
}

fn of(party: &str, permissions: impl IntoIterator<Item = Permission>) -> Terms {
    let none = Digest::from_bytes([0; 32]);
    Terms::new(name(party), permissions, none, none).unwrap()
}

fn terms(permissions: impl IntoIterator<Item = Permission>) -> Terms {
    of("council", permissions)
}

/// Met, with a document in the box, and words for it.
async fn met() -> Sides<Client> {
    let mut sides = Sides::meet(host()).await;
    sides.person.import(DOCUMENT, "myself").await.unwrap();
    let words = Vocabulary::builder("rules", 1, Regime::EU)
        .purpose("care", &[])
        .purpose("nursing", &["care"])
        .party("council", PartyKind::PUBLIC)
        .party("charity", PartyKind::PRIVATE);
    sides.person.adopt(words, |_| Sensitivity::ORDINARY).await.unwrap();
    sides
}

/// Both sign terms, in a renewal that the council proposes.
async fn sign(sides: &mut Sides<Client>, terms: &Terms) {
    sign_until(sides, terms, later()).await;
}

async fn sign_until(sides: &mut Sides<Client>, terms: &Terms, until: Timestamp) {
    let renewal = Renewal { terms: digest(&terms.to_bytes()), permissions: vec![], not_after: Some(until) };
    sides.council_does(|connected, provider| connected.renew(provider, renewal)).await.unwrap();
    sides.person_collects().await.unwrap();
    sides.person.agree(&sides.id).await.unwrap();
    sides.council_collects().await.unwrap();
    sides.reopen().await.unwrap();
}

/// With terms in force.
async fn agreed(terms: &Terms) -> Sides<Client> {
    let mut sides = met().await;
    sign(&mut sides, terms).await;
    sides.person.put_in_force(&sides.id, &terms.to_bytes()).await.unwrap();
    sides
}

/// Of two offers in one second the later is not told.
fn a_second() {
    sleep(Duration::from_millis(1_100));
}

async fn offer(sides: &mut Sides<Client>, terms: &Terms) -> Result<Offered, PersonError> {
    let record = sides.provider.offer_terms(&mut sides.session, terms).unwrap();
    sides.person.offered(&mut sides.channel, &record).await
}

/// The council offers terms that are no wider, later than any before.
async fn narrowed(sides: &mut Sides<Client>, terms: &Terms) -> Applied {
    a_second();
    match offer(sides, terms).await.unwrap() {
        Offered::InForce(applied) => applied,
        Offered::Waiting(_) => panic!("no wider"),
    }
}

/// The fields that an ask for each gets, and the decision.
async fn asked(person: &mut Box, channel: &mut Channel, session: &mut Session) -> (Vec<String>, Decision) {
    let all = ["me.name", "me.phone", "me.town"].map(name);
    let record = session.ask(&Ask::read(name("care"), Basis::CONTRACT, all)).unwrap();
    let answered = person.answer(channel, &record).await.unwrap();
    let answer = session.answer(&answered.reply).unwrap();
    (answer.values.iter().map(|value| value.field.to_string()).collect(), answered.decision)
}

async fn asks(sides: &mut Sides<Client>) -> Vec<String> {
    asked(&mut sides.person, &mut sides.channel, &mut sides.session).await.0
}

async fn reopened(sides: &Sides<Client>) -> Box {
    let locked = Person::locate(sides.client.clone(), sides.keepsake.store).await.unwrap();
    locked.unlock(&Secret::RecoveryPhrase(&sides.keepsake.recovery_phrase), None).await.unwrap()
}

fn last_entry(person: &Box) -> Entry {
    match person.log().rows().last().unwrap() {
        Row::Kept(entry) => entry.entry().clone(),
        Row::Erased(_) => panic!("erased"),
    }
}

fn state(person: &Box) -> (Vec<u8>, u64) {
    (person.policy().to_bytes(), person.log().len())
}

fn fields(accesses: &[deedbox::parts::consent::Access]) -> Vec<String> {
    let mut fields: Vec<String> = accesses.iter().map(|access| access.field.to_string()).collect();
    fields.sort();
    fields.dedup();
    fields
}

#[test]
fn what_both_have_signed_is_put_in_force_whole_or_not_at_all() {
    block_on(async {
        let mut sides = met().await;
        assert_eq!(person_code(sides.person.terms(&sides.id)), "NotFound");
        let first = terms([permit("p1", &["me.name", "me.phone"]), permit("p2", &["me.town"])]);
        let refused = [
            (of("charity", [permit("q1", &["me.name"])]), "Unexpected"),
            (terms([permit("q1", &["me.name"]), to("charity", "q2", &["me.name"])]), "Unexpected"),
            (terms([permit("q1", &["me.name"]), permit("q2", &["me.shoes"])]), "Rule.UnknownId"),
        ];
        let before = state(&sides.person);
        assert_eq!(person_code(sides.person.put_in_force(&sides.id, &first.to_bytes()).await), "Unexpected");
        assert_eq!(state(&sides.person), before);
        for (unfit, code) in &refused {
            sign(&mut sides, unfit).await;
            let before = state(&sides.person);
            assert_eq!(person_code(sides.person.put_in_force(&sides.id, &unfit.to_bytes()).await), *code);
            assert_eq!(state(&sides.person), before);
        }

        sign(&mut sides, &first).await;
        assert_eq!(asks(&mut sides).await, [""; 0]);
        let applied = sides.person.put_in_force(&sides.id, &first.to_bytes()).await.unwrap();
        assert_eq!(fields(&applied.impact.gained), ["me.name", "me.phone", "me.town"]);
        let entry = last_entry(&sides.person);
        assert_eq!((entry.kind, entry.party.as_deref()), (EntryKind::Rule, Some("council")));
        assert_eq!(entry.determining, ["p1", "p2"]);
        assert_eq!(entry.policy, digest(&sides.person.policy().to_bytes()));
        let agreement = sides.person.connection(&sides.id).unwrap().agreements.pop().unwrap();
        assert_eq!(entry.receipt, Some(agreement.hash()));
        assert_eq!(asks(&mut sides).await, ["me.name", "me.phone", "me.town"]);
        assert_eq!(sides.person.terms(&sides.id).unwrap(), first);
        assert_eq!(reopened(&sides).await.terms(&sides.id).unwrap(), first);

        // Signed anew they take the place of the first; until they are put in force those hold.
        let second = terms([permit("p1", &["me.name", "me.phone"]), permit("p3", &["me.name"])]);
        sign(&mut sides, &second).await;
        assert_eq!(asks(&mut sides).await, ["me.name", "me.phone", "me.town"]);
        assert_eq!(person_code(sides.person.put_in_force(&sides.id, &first.to_bytes()).await), "Unexpected");
        let applied = sides.person.put_in_force(&sides.id, &second.to_bytes()).await.unwrap();
        assert_eq!((fields(&applied.impact.lost), applied.impact.gained), (vec!["me.town".to_owned()], vec![]));
        assert_eq!(asks(&mut sides).await, ["me.name", "me.phone"]);
        let person = reopened(&sides).await;
        assert_eq!(person.terms(&sides.id).unwrap(), second);
        assert_eq!(person.policy().to_bytes(), sides.person.policy().to_bytes());
    });
}

#[test]
fn terms_that_no_record_holds_alone_are_kept_too() {
    block_on(async {
        let long = terms((0..1_600).map(|n| permit(&format!("a-permission-of-a-long-name/{n:064}"), &["me.name"])));
        assert!(long.to_bytes().len() > 200 << 10);
        let sides = agreed(&long).await;
        assert_eq!(reopened(&sides).await.terms(&sides.id).unwrap(), long);
    });
}

#[test]
fn narrower_terms_hold_at_once_and_take_away_exactly_what_is_gone() {
    block_on(async {
        let wide = terms([permit("p1", &["me.name", "me.phone"]), permit("p2", &["me.town"])]);
        let mut sides = agreed(&wide).await;
        // Two offers of the same reach under way, of which the second arrives first.
        let older = terms([permit("q0", &["me.name"]), permit("p2", &["me.town"])]);
        let older = sides.provider.offer_terms(&mut sides.session, &older).unwrap();
        a_second();
        let narrow = terms([permit("q1", &["me.name"]), permit("p2", &["me.town"])]);
        let record = sides.provider.offer_terms(&mut sides.session, &narrow).unwrap();
        let same_second = sides.provider.offer_terms(&mut sides.session, &narrow).unwrap();
        let Offered::InForce(applied) = sides.person.offered(&mut sides.channel, &record).await.unwrap() else {
            panic!("no wider")
        };
        assert_eq!((fields(&applied.impact.lost), applied.impact.gained), (vec!["me.phone".to_owned()], vec![]));
        assert_eq!(applied.impact.erase[&name("council")], [name("me.phone")].into());
        assert_eq!(asks(&mut sides).await, ["me.name", "me.town"]);
        assert_eq!(sides.person.terms(&sides.id).unwrap(), narrow);

        // The log says by whose word, and the box has that.
        let rows = sides.person.log().rows();
        let Row::Kept(entry) = &rows[rows.len() - 2] else { panic!("erased") };
        let entry = entry.entry();
        assert_eq!((entry.kind, entry.party.as_deref()), (EntryKind::Rule, Some("council")));
        assert_eq!(entry.determining, ["p1", "q1"]);
        let signed = sides.person.signed_rule(&entry.receipt.unwrap()).unwrap();
        let signed = SignedTerms::verify(&signed, sides.session.agreement().responder().sign()).unwrap();
        assert_eq!((signed.terms(), *signed.agreement()), (&narrow, sides.channel.agreement().hash()));

        // What was offered before is no offer any more, nor is what comes again.
        let before = state(&sides.person);
        for (record, code) in [(older, "Unexpected"), (same_second, "Unexpected"), (record, "Connect.Replay")] {
            assert_eq!(person_code(sides.person.offered(&mut sides.channel, &record).await), code);
        }
        assert_eq!(state(&sides.person), before);
        // Both have signed the wide ones, but they are no longer what holds.
        assert_eq!(person_code(sides.person.put_in_force(&sides.id, &wide.to_bytes()).await), "Rule.DuplicateId");
        assert_eq!(state(&sides.person), before);

        // A proposal is compared with what is in force now.
        let middle = terms([permit("q2", &["me.name", "me.phone"])]);
        let renewal = Renewal { terms: digest(&middle.to_bytes()), permissions: vec![], not_after: None };
        sides.council_does(|connected, provider| connected.renew(provider, renewal)).await.unwrap();
        sides.person_collects().await.unwrap();
        let compare = |held: &Terms| sides.person.compare_terms(&sides.id, &held.to_bytes(), &middle.to_bytes());
        assert_eq!(person_code(compare(&wide)), "Unexpected");
        assert_eq!(compare(&narrow).unwrap(), TermsDiff::Widening);

        let person = reopened(&sides).await;
        assert_eq!(person.terms(&sides.id).unwrap(), narrow);
        assert_eq!(person.policy().to_bytes(), sides.person.policy().to_bytes());
    });
}

#[test]
fn wider_terms_wait_for_both_signatures_and_the_old_ones_hold() {
    block_on(async {
        let consented = || {
            let evidence = Evidence::of(EvidenceKind::PLAIN);
            let mut permission = permit("c1", &["me.town"]).evidence(evidence);
            permission.basis = Basis::CONSENT;
            permission
        };
        let mandated = || permit("m1", &["me.town"]).mandate(name("lpa"));
        let weekly = || permit("w1", &["me.phone"]).limit(2, Some(604_800));
        let mut sides = met().await;
        let lpa = Mandate::new(name("lpa"), name("council"), Rank::PERSON)
            .between(Timestamp::from_secs(0), Timestamp::from_secs(4_000_000_000));
        sides.person.apply(lpa).await.unwrap();
        let held =
            [permit("p1", &["me.name"]), permit("p2", &["me.name", "me.town"]), consented(), mandated(), weekly()];
        let held = terms(held);
        sign(&mut sides, &held).await;
        sides.person.put_in_force(&sides.id, &held.to_bytes()).await.unwrap();
        sides.person.apply(Change::Withdraw(name("p2"))).await.unwrap();
        sides.person.apply(Change::Suspend(name("p1"))).await.unwrap();

        let split = |id: &str, fields: &[&str]| permit(id, fields).limit(1, Some(604_800));
        let mut other_evidence = consented().evidence(Evidence::of(EvidenceKind::EXPLICIT));
        other_evidence.id = name("c2");
        let offers = [
            ("another field", terms([permit("q", &["me.name", "me.phone"])])),
            ("what the person withdrew", terms([permit("q", &["me.town"])])),
            ("what the person suspended", terms([permit("q", &["me.name"])])),
            ("evidence that the person did not give", terms([other_evidence])),
            ("without its mandate", terms([permit("m2", &["me.town"])])),
            ("under a mandate", terms([split("w2", &["me.phone"]).mandate(name("lpa"))])),
            ("two for one with a limit", terms([split("w2", &["me.phone"]), split("w3", &["me.phone"])])),
            ("one beside one with a limit", terms([weekly(), split("w2", &["me.phone"])])),
        ];
        let before = state(&sides.person);
        for (why, wider) in &offers {
            let Offered::Waiting(waiting) = offer(&mut sides, wider).await.unwrap() else { panic!("{why}") };
            assert_eq!(&waiting, wider, "{why}");
            assert_eq!(state(&sides.person), before, "{why}");
            assert_eq!(sides.person.terms(&sides.id).unwrap(), held, "{why}");
        }
        // What they leave as it was stays as the person has it; one alone may follow one with a limit.
        let narrow =
            terms([permit("p1", &["me.name"]), permit("p2", &["me.name", "me.town"]), split("w2", &["me.phone"])]);
        narrowed(&mut sides, &narrow).await;
        assert_eq!(asks(&mut sides).await, ["me.phone"]);

        // Both sign, and what was more is in force.
        let wider = terms([permit("r1", &["me.name", "me.phone"])]);
        a_second();
        assert!(matches!(offer(&mut sides, &wider).await.unwrap(), Offered::Waiting(_)));
        sign(&mut sides, &wider).await;
        sides.person.put_in_force(&sides.id, &wider.to_bytes()).await.unwrap();
        assert_eq!(asks(&mut sides).await, ["me.name", "me.phone"]);
    });
}

#[test]
fn what_could_be_used_once_and_was_is_not_used_again_under_narrower_terms() {
    block_on(async {
        let mut sides = agreed(&terms([once("p1", &["me.name", "me.phone"]), permit("p2", &["me.town"])])).await;
        assert_eq!(asks(&mut sides).await, ["me.name", "me.phone", "me.town"]);
        assert_eq!(asks(&mut sides).await, ["me.town"]);
        // Narrowed twice: of what took the place of what was used, too.
        for id in ["q1", "r1"] {
            narrowed(&mut sides, &terms([once(id, &["me.name"]), permit("p2", &["me.town"])])).await;
            let (got, decision) = asked(&mut sides.person, &mut sides.channel, &mut sides.session).await;
            assert_eq!(
                (got, decision.withheld()[&name("me.name")]),
                (vec!["me.town".to_owned()], Reason::UsageExhausted)
            );
        }
        sides.person = reopened(&sides).await;
        sides.reopen().await.unwrap();
        let (got, decision) = asked(&mut sides.person, &mut sides.channel, &mut sides.session).await;
        assert_eq!((got, decision.withheld()[&name("me.name")]), (vec!["me.town".to_owned()], Reason::UsageExhausted));
        // Made again, decisions come to the same.
        let replayed = sides.person.replay().unwrap();
        assert_eq!(replayed.len(), 5);
        assert!(replayed.iter().all(|(_, outcome)| *outcome == Replayed::Same), "{replayed:?}");
    });
}

#[test]
fn a_grant_that_reaches_what_narrower_terms_take_away_is_taken_back() {
    block_on(async {
        let all = category_of("me").unwrap();
        let mut sides = agreed(&terms([permit("p1", &[all.as_str()])])).await;
        let what = Shared::Dataset { title: "me", write: false };
        let (grant, handover) = granted(&mut sides.person, &sides.channel, what).await.unwrap();
        let agreement = sides.channel.agreement().clone();
        let read = async |sides: &Sides<Client>| {
            let mut reader = sides.provider.reader(&agreement, &handover, sides.client.clone()).unwrap();
            reader.read().await.is_ok()
        };
        assert!(read(&sides).await);
        let applied = narrowed(&mut sides, &terms([permit("q1", &["me.name"])])).await;
        assert_eq!(applied.revoked, [grant]);
        assert!(sides.person.grants().unwrap().is_empty() && !read(&sides).await);
        assert_eq!(asks(&mut sides).await, ["me.name"]);
    });
}

#[test]
fn only_the_other_side_offers_and_only_under_the_agreement_whose_terms_are_in_force() {
    block_on(async {
        let first = terms([permit("p1", &["me.name", "me.phone"])]);
        let narrow = terms([permit("q1", &["me.name"])]);
        let mut sides = met().await;
        // None are in force.
        sign(&mut sides, &first).await;
        assert_eq!(person_code(offer(&mut sides, &narrow).await), "Unexpected");
        sides.person.put_in_force(&sides.id, &first.to_bytes()).await.unwrap();
        let before = state(&sides.person);

        // Signed by another, for another party, or something else.
        let stranger = Provider::generate("https://council.example").unwrap();
        let foreign = stranger.offer_terms(&mut sides.session, &narrow).unwrap();
        assert_eq!(person_code(sides.person.offered(&mut sides.channel, &foreign).await), "Unexpected");
        assert_eq!(person_code(offer(&mut sides, &of("charity", [permit("q1", &["me.name"])])).await), "Unexpected");
        let rule = sides.provider.rule(&mut sides.session, Change::Withdraw(name("p1"))).unwrap();
        assert_eq!(person_code(sides.person.offered(&mut sides.channel, &rule).await), "Unexpected");
        assert_eq!(state(&sides.person), before);

        // An id that a rule had before is nobody's again.
        assert_eq!(person_code(offer(&mut sides, &terms([permit("p1", &["me.name"])])).await), "Rule.DuplicateId");
        assert_eq!(state(&sides.person), before);

        // While it is suspended, nothing comes.
        sides.person.suspend(&sides.id, 0).await.unwrap();
        assert_eq!(person_code(offer(&mut sides, &narrow).await), "Connect.NotNow");
        sides.person.resume(&sides.id, 0).await.unwrap();

        // Renewed, the terms of before hold, and are not narrowed any more before the new ones are in force.
        let second = terms([permit("p1", &["me.name", "me.phone"]), permit("p2", &["me.town"])]);
        sign(&mut sides, &second).await;
        assert_eq!(person_code(offer(&mut sides, &narrow).await), "Unexpected");
        sides.person.put_in_force(&sides.id, &second.to_bytes()).await.unwrap();
        narrowed(&mut sides, &narrow).await;
        assert_eq!(asks(&mut sides).await, ["me.name"]);
    });
}

#[test]
fn the_terms_of_a_connection_that_ended_permit_nothing_and_other_rules_stay() {
    block_on(async {
        let all = category_of("me").unwrap();
        let both = terms([permit("p1", &[all.as_str()]), permit("p2", &["me.town"])]);
        for how in ["by the person", "by the council", "by time"] {
            let mut sides = met().await;
            let until = if how == "by time" { system_clock().saturating_add_secs(4) } else { later() };
            sign_until(&mut sides, &both, until).await;
            sides.person.put_in_force(&sides.id, &both.to_bytes()).await.unwrap();
            sides.person.apply(permit("own", &["me.name"])).await.unwrap();
            sides.person.apply(Change::Withdraw(name("p2"))).await.unwrap();
            let what = Shared::Dataset { title: "me", write: false };
            sides.person.grant(&sides.channel, what, &care(), until).await.unwrap();
            let late = sides.provider.offer_terms(&mut sides.session, &terms([permit("q", &["me.name"])])).unwrap();
            match how {
                "by the person" => sides.person.end(&sides.id, EndReason::PurposeMet).await.unwrap(),
                "by the council" => {
                    let end = |connected: &mut Connected, provider: &_| connected.end(provider, EndReason::Withdrawn);
                    sides.council_does(end).await.unwrap();
                    sides.person_collects().await.unwrap();
                }
                _ => {
                    sleep(Duration::from_secs(5));
                    sides.person.end(&sides.id, EndReason::PurposeMet).await.unwrap();
                }
            }
            let given = sides.person.policy().permissions().filter(|(_, status)| status.number() == 0);
            assert_eq!(given.map(|(permission, _)| permission.id.as_str()).collect::<Vec<_>>(), ["own"], "{how}");
            assert!(sides.person.grants().unwrap().is_empty());
            assert_eq!(person_code(sides.person.offered(&mut sides.channel, &late).await), "Connect.Ended");
            assert_eq!(person_code(sides.person.put_in_force(&sides.id, &both.to_bytes()).await), "Connect.Ended");
            assert_eq!(sides.person.terms(&sides.id).unwrap(), both);
            // Once.
            let before = state(&sides.person);
            sides.person.end(&sides.id, EndReason::PurposeMet).await.unwrap();
            assert_eq!(state(&sides.person), before);
            assert_eq!(reopened(&sides).await.policy().to_bytes(), before.0);
        }
    });
}

#[test]
fn what_another_device_did_meanwhile_counts() {
    block_on(async {
        let first = terms([permit("p1", &["me.name", "me.phone"]), permit("p2", &["me.town"])]);
        let mut sides = met().await;
        sign(&mut sides, &first).await;
        let mut other = reopened(&sides).await;
        other.import(br#"{"me": {"pet": "a cat"}}"#, "myself").await.unwrap();
        sides.person.put_in_force(&sides.id, &first.to_bytes()).await.unwrap();
        assert_eq!(asks(&mut sides).await, ["me.name", "me.phone", "me.town"]);

        let mut other = other.refresh().await.unwrap();
        other.apply(Change::Withdraw(name("p2"))).await.unwrap();
        let regained = terms([permit("p1", &["me.name", "me.phone"]), permit("q2", &["me.town"])]);
        assert!(matches!(offer(&mut sides, &regained).await.unwrap(), Offered::Waiting(_)));
        let mut other = other.refresh().await.unwrap();
        other.import(br#"{"me": {"pet": "a dog"}}"#, "myself").await.unwrap();
        narrowed(&mut sides, &terms([permit("q1", &["me.name"])])).await;
        assert_eq!(asks(&mut sides).await, ["me.name"]);
        let pet = deedbox::parts::model::FieldPath::parse("me.pet").unwrap();
        assert_eq!(sides.person.value(&pet).unwrap().0.as_item().as_str(), Some("a dog"));
    });
}
