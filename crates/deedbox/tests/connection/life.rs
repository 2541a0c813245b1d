//! Suspension, renewal and end, by either side.

use deedbox::{
    Content, HostClient,
    parts::{
        connect::{Agreement, Arrival, ConnectError, EndReason, Renewal, Stage, Termination},
        consent::{
            Action, Ask, Basis, PartyKind, Permission, Regime, Selector, Sensitivity, Terms, TermsDiff, To, Vocabulary,
        },
        cose::sha256,
        model::{Digest, Name, Timestamp},
    },
    person::Shared,
};
use pollster::block_on;

use super::granted::{granted, permit_all};
use super::sides::{Sides, contents, council_code, host, later, person_code, texts};

const DOCUMENT: &[u8] = br#"{"person": {"name": "Maren Holloway"}}"#;

fn renewal(byte: u8, not_after: Option<Timestamp>) -> Renewal {
    Renewal { terms: Digest::from_bytes([byte; 32]), permissions: vec![], not_after }
}

fn in_order(text: &str) -> (String, Arrival) {
    (text.to_owned(), Arrival::InOrder)
}

/// Messages both ways, a renewal, and an end with its receipt: over any host.
pub(crate) async fn whole<H: HostClient + Clone>(client: H) -> Vec<String> {
    let mut sides = Sides::meet(client).await;
    sides.council_leaves("the decision is there").await.unwrap();
    sides.council_leaves("and a form").await.unwrap();
    assert_eq!(
        texts(&sides.person_collects().await.unwrap()),
        [in_order("the decision is there"), in_order("and a form")]
    );
    assert_eq!(sides.person_collects().await.unwrap(), []);
    sides.person_leaves("here is the form").await.unwrap();
    assert_eq!(texts(&sides.council_collects().await.unwrap()), [in_order("here is the form")]);
    assert_eq!(sides.council_collects().await.unwrap(), []);

    sides.council_does(|connected, provider| connected.renew(provider, renewal(1, None))).await.unwrap();
    sides.person_collects().await.unwrap();
    sides.person.agree(&sides.id).await.unwrap();
    sides.council_collects().await.unwrap();
    sides.reopen().await.unwrap();
    sides.council_leaves("under new terms").await.unwrap();
    assert_eq!(texts(&sides.person_collects().await.unwrap()), [in_order("under new terms")]);

    let mut codes = Vec::new();
    sides.person.end(&sides.id, EndReason::Withdrawn).await.unwrap();
    codes.push(person_code(sides.person_leaves("too late").await));
    assert_eq!(contents(&sides.council_collects().await.unwrap()), [&Content::Moved(Stage::Ended)]);
    codes.push(council_code(sides.council_leaves("too late").await));
    assert_eq!(contents(&sides.person_collects().await.unwrap()), [&Content::Receipt]);
    codes.push(person_code(sides.person_collects().await));
    codes.push(council_code(sides.council_collects().await));
    codes
}

#[test]
fn a_whole_life_in_one_process() {
    let codes = block_on(whole(host()));
    assert_eq!(codes, ["Connect.Ended", "Connect.Ended", "Connect.Ended", "Host.Revoked"]);
}

#[test]
fn who_suspends_resumes_and_nothing_flows_until_then() {
    block_on(async {
        let mut sides = Sides::meet(host()).await;
        sides.person.suspend(&sides.id, 0).await.unwrap();
        assert_eq!(person_code(sides.person.suspend(&sides.id, 0).await), "Connect.NotNow");
        assert_eq!(person_code(sides.person_leaves("no").await), "Connect.NotNow");
        // The council does not know yet: what it leaves is not taken, and does not come later.
        sides.council_leaves("not now").await.unwrap();
        let mail = sides.person_collects().await.unwrap();
        assert_eq!(contents(&mail), [&Content::Refused(ConnectError::NotNow)]);
        assert_eq!(contents(&sides.council_collects().await.unwrap()), [&Content::Moved(Stage::Suspended)]);
        assert_eq!(council_code(sides.council_leaves("no").await), "Connect.NotNow");
        // Nor does a session carry anything.
        let ask = sides.session.ask(&ask()).unwrap();
        assert_eq!(person_code(sides.person.answer(&mut sides.channel, &ask).await), "Connect.NotNow");
        // Nobody resumes for the other.
        let resumed = sides.council_does(|connected, provider| connected.resume(provider, 0)).await;
        assert_eq!(council_code(resumed), "Connect.NotNow");
        sides.person.resume(&sides.id, 0).await.unwrap();
        assert_eq!(contents(&sides.council_collects().await.unwrap()), [&Content::Moved(Stage::Active)]);
        sides.council_leaves("welcome back").await.unwrap();
        assert_eq!(texts(&sides.person_collects().await.unwrap()), [in_order("welcome back")]);
        assert!(sides.person.answer(&mut sides.channel, &ask).await.is_ok());
    });
}

fn ask() -> Ask {
    Ask::read(Name::parse("care").unwrap(), Basis::CONSENT, [Name::parse("person").unwrap()])
}

#[test]
fn a_renewal_by_the_council_is_agreed_to_and_carries_what_was_granted() {
    block_on(async {
        let mut sides = Sides::meet(host()).await;
        sides.person.import(DOCUMENT, "myself").await.unwrap();
        permit_all(&mut sides.person, &["council"]).await;
        let title = sides.person.datasets().next().unwrap().to_owned();
        let what = Shared::Dataset { title: &title, write: false };
        let (grant, _) = granted(&mut sides.person, &sides.channel, what).await.unwrap();

        sides.council_does(|connected, provider| connected.renew(provider, renewal(1, None))).await.unwrap();
        let mail = sides.person_collects().await.unwrap();
        let [Content::Asked(changes)] = contents(&mail)[..] else { panic!("{mail:?}") };
        assert!(changes.terms && changes.must_ask());
        let standing = sides.person.connection(&sides.id).unwrap();
        assert_eq!((standing.stage, standing.agreements.len()), (Stage::Renewing, 1));
        assert!(standing.asked.unwrap().terms);
        // The old one holds until both have signed.
        sides.person_leaves("still under the first").await.unwrap();
        sides.person.agree(&sides.id).await.unwrap();
        assert_eq!(person_code(sides.person.agree(&sides.id).await), "Connect.NotNow");
        let mail = sides.council_collects().await.unwrap();
        assert_eq!(texts(&mail), [in_order("still under the first")]);
        assert_eq!(contents(&mail)[1], &Content::Moved(Stage::Active));
        assert!(sides.council().needs_session() && sides.person.connection(&sides.id).unwrap().needs_session);
        assert_eq!(council_code(sides.council_leaves("no keys yet").await), "Connect.NoEpoch");
        let old = sides.channel.agreement().clone();
        let late = sides.session.ask(&ask()).unwrap();
        assert_eq!(council_code(sides.council().permits(&sides.session)), "Connect.AgreementMismatch");
        sides.reopen().await.unwrap();
        sides.council().permits(&sides.session).unwrap();

        // The whole chain, from its first agreement on.
        let standing = sides.person.connection(&sides.id).unwrap();
        let chain = standing.agreements;
        assert_eq!(chain, Agreement::verify_chain(chain.iter().map(Agreement::bytes)).unwrap());
        assert_eq!((&chain[0], chain.len()), (&old, 2));
        assert_eq!(sides.council().agreements(), chain);
        assert_eq!(sides.person.connections().unwrap(), [(Name::parse("council").unwrap(), chain[1].clone())]);
        sides.council_leaves("under new terms").await.unwrap();
        assert_eq!(texts(&sides.person_collects().await.unwrap()), [in_order("under new terms")]);
        // Records of the old session are of another session.
        assert_eq!(person_code(sides.person.answer(&mut sides.channel, &late).await), "Connect.Rejected");
        let handover = sides.person.handover(&grant).await.unwrap();
        assert!(sides.provider.reader(&chain[1], &handover, sides.client.clone()).is_ok());
    });
}

#[test]
fn the_person_is_told_whether_proposed_terms_are_wider() {
    block_on(async {
        let mut sides = Sides::meet(host()).await;
        sides.person.import(DOCUMENT, "myself").await.unwrap();
        let words = Vocabulary::builder("rules", 1, Regime::EU)
            .purpose("care", &[])
            .purpose("nursing", &["care"])
            .party("council", PartyKind::PUBLIC);
        sides.person.adopt(words, |_| Sensitivity::ORDINARY).await.unwrap();
        let name = |text: &str| Name::parse(text).unwrap();
        let terms = |party: &str, id: &str, purpose: &str, days: u64| {
            let permission = Permission::new(name(id), To::Party(name("council")), name(purpose), Basis::CONTRACT)
                .actions(Action::Read)
                .fields(Selector::of([name("person.name")]))
                .between(Timestamp::from_secs(0), Timestamp::from_secs(4_000_000_000))
                .retention(days * 86_400);
            let none = Digest::from_bytes([0; 32]);
            Terms::new(name(party), [permission], none, none).unwrap().to_bytes()
        };
        let digest = |bytes: &[u8]| Digest::from_bytes(sha256(bytes));
        let to = |bytes: &[u8]| Renewal { terms: digest(bytes), permissions: vec![], not_after: None };
        let held = terms("council", "p1", "care", 30);
        sides.council_does(|connected, provider| connected.renew(provider, to(&held))).await.unwrap();
        sides.person_collects().await.unwrap();
        sides.person.agree(&sides.id).await.unwrap();
        sides.council_collects().await.unwrap();
        sides.reopen().await.unwrap();
        let compare = |sides: &Sides<_>, bytes: &[u8]| sides.person.compare_terms(&sides.id, &held, bytes);
        assert_eq!(person_code(compare(&sides, &held)), "Connect.NotNow");

        let cases = [
            (terms("council", "p2", "care", 30), Ok(TermsDiff::Same)),
            (terms("council", "p2", "nursing", 30), Ok(TermsDiff::Narrowing)),
            (terms("council", "p2", "care", 29), Ok(TermsDiff::Narrowing)),
            (terms("council", "p2", "care", 31), Ok(TermsDiff::Widening)),
            (terms("somebody", "p2", "care", 30), Ok(TermsDiff::Widening)),
            (terms("council", "p2", "gossip", 30), Err("Rule.UnknownId")),
            (b"no terms".to_vec(), Err("Unexpected")),
        ];
        for (proposed, expected) in &cases {
            sides.council_does(|connected, provider| connected.renew(provider, to(proposed))).await.unwrap();
            sides.person_collects().await.unwrap();
            match expected {
                Ok(diff) => assert_eq!(compare(&sides, proposed).unwrap(), *diff),
                Err(code) => assert_eq!(person_code(compare(&sides, proposed)), *code),
            }
            // Only what the digests name is compared.
            let other = sides.person.compare_terms(&sides.id, proposed, &held);
            assert_eq!(person_code(other), "Unexpected");
            sides.person.decline(&sides.id).await.unwrap();
            sides.council_collects().await.unwrap();
        }
    });
}

#[test]
fn a_renewal_by_the_person_brings_keys_of_their_own() {
    block_on(async {
        let mut sides = Sides::meet(host()).await;
        sides.person.renew(&sides.id, renewal(2, Some(later()))).await.unwrap();
        let mail = sides.council_collects().await.unwrap();
        let [Content::Asked(changes)] = contents(&mail)[..] else { panic!("{mail:?}") };
        assert!(changes.terms && changes.time && changes.initiator_keys && !changes.responder_keys);
        assert_eq!(sides.council().asked(), Some(*changes));
        // Once it declines, and then it agrees to the same again.
        sides.council_does(|connected, provider| connected.decline(provider).map(|()| vec![])).await.unwrap();
        assert_eq!(sides.council().asked(), None);
        sides.person.renew(&sides.id, renewal(3, Some(later()))).await.unwrap();
        sides.council_collects().await.unwrap();
        sides.council_does(|connected, provider| connected.agree(provider)).await.unwrap();
        assert_eq!(contents(&sides.person_collects().await.unwrap()), [&Content::Moved(Stage::Active)]);
        sides.reopen().await.unwrap();
        let standing = sides.person.connection(&sides.id).unwrap();
        let [first, second] = &standing.agreements[..] else { panic!("two agreements") };
        assert_ne!(first.initiator().sign(), second.initiator().sign());
        sides.person_leaves("with new keys").await.unwrap();
        assert_eq!(texts(&sides.council_collects().await.unwrap()), [in_order("with new keys")]);
        sides.council_leaves("to new keys").await.unwrap();
        assert_eq!(texts(&sides.person_collects().await.unwrap()), [in_order("to new keys")]);
    });
}

#[test]
fn an_agree_that_was_lost_is_said_again_when_a_session_opens_under_the_old_agreement() {
    block_on(async {
        let mut sides = Sides::meet(host()).await;
        sides.council_does(|connected, provider| connected.renew(provider, renewal(1, None))).await.unwrap();
        sides.person_collects().await.unwrap();
        sides.person.agree(&sides.id).await.unwrap();
        // The host drops it.
        let connected = sides.council();
        let lost = sides.provider.collect(sides.client.clone(), &connected).await.unwrap();
        sides.provider.clear(sides.client.clone(), &connected, lost.last().unwrap().number).await.unwrap();

        // The council does not know the new one. The person's keys are the same in both, so it finds the old one, and the
        // handshake fails since the agreement is in the credential.
        let (calling, one) = sides.person.call(&sides.id).unwrap();
        let (receiving, two) = sides.provider.called(&one).unwrap();
        let (_, three) = calling.answer(&two).unwrap();
        let mut known = sides.council();
        let kids = known.kids();
        let opened = sides.provider.opened(receiving, &three, |kid| {
            let is = kids.iter().any(|known| known == kid);
            is.then_some(&mut known)
        });
        assert_eq!(council_code(opened), "Connect.Edhoc.Authentication");
        // Under the one before it does, and is told again.
        let (calling, one) = sides.person.call_before(&sides.id).unwrap();
        let (receiving, two) = sides.provider.called(&one).unwrap();
        let (calling, three) = calling.answer(&two).unwrap();
        let opened = sides.provider.opened(receiving, &three, |_| Some(&mut known)).unwrap();
        sides.deposit(&known, &opened.messages).await.unwrap();
        sides.person.called(calling, &opened.reply).await.unwrap();
        assert_eq!(contents(&sides.council_collects().await.unwrap()), [&Content::Moved(Stage::Active)]);
        assert_eq!(sides.council().agreements().len(), 2);
        sides.reopen().await.unwrap();
        assert_eq!(person_code(sides.person.call_before(&sides.id)), "Connect.NotNow");
    });
}

#[test]
fn after_the_persons_end_nothing_is_accepted_but_the_receipt() {
    block_on(async {
        let mut sides = Sides::meet(host()).await;
        sides.person.import(DOCUMENT, "myself").await.unwrap();
        permit_all(&mut sides.person, &["council"]).await;
        let title = sides.person.datasets().next().unwrap().to_owned();
        let what = Shared::Dataset { title: &title, write: false };
        let (grant, handover) = granted(&mut sides.person, &sides.channel, what).await.unwrap();
        let agreement = sides.channel.agreement().clone();
        let mut reader = sides.provider.reader(&agreement, &handover, sides.client.clone()).unwrap();
        reader.read().await.unwrap();
        let ask = sides.session.ask(&ask()).unwrap();

        sides.person.end(&sides.id, EndReason::PurposeMet).await.unwrap();
        sides.person.end(&sides.id, EndReason::PurposeMet).await.unwrap(); // safe to repeat
        assert_eq!(sides.person.connections().unwrap(), []);
        assert_eq!(person_code(sides.person.answer(&mut sides.channel, &ask).await), "Connect.Ended");
        assert_eq!(person_code(granted(&mut sides.person, &sides.channel, what).await), "Connect.Ended");
        assert_eq!(person_code(sides.person.handover(&grant).await), "Connect.Ended");
        assert_eq!(person_code(sides.person.call(&sides.id)), "Connect.Ended");
        assert_eq!(person_code(sides.person.resume(&sides.id, 0).await), "Connect.Ended");
        assert!(reader.read().await.is_err());

        // The council, which has not heard, leaves something; then it hears.
        sides.council_leaves("have you seen this").await.unwrap();
        sides.council_does(|connected, provider| connected.suspend(provider, 0)).await.unwrap();
        assert_eq!(contents(&sides.council_collects().await.unwrap()), [&Content::Moved(Stage::Ended)]);
        let mail = sides.person_collects().await.unwrap();
        let ended = Content::Refused(ConnectError::Ended);
        assert_eq!(contents(&mail), [&ended, &ended, &Content::Receipt]);
        let standing = sides.person.connection(&sides.id).unwrap();
        assert_eq!(standing.stage, Stage::Ended);
        let receipt = standing.receipt.unwrap();
        let receipt = Termination::verify(&agreement, &receipt).unwrap();
        let ending = Termination::verify(&agreement, &standing.termination.unwrap()).unwrap();
        assert_ne!(receipt.by(), ending.by());
        assert_eq!(sides.council().termination().unwrap(), ending.bytes());
        assert_eq!(sides.council().receipt().unwrap(), receipt.bytes());
        assert_eq!(person_code(sides.person_collects().await), "Connect.Ended");
        // A session can't be opened, and the host lets the council in no more.
        assert_eq!(sides.council().kids(), Vec::<[u8; 32]>::new());
        assert_eq!(council_code(sides.council_collects().await), "Host.Revoked");
        assert!(!sides.person.log().is_empty());
    });
}

#[test]
fn the_councils_end_is_acknowledged_through_the_mailbox() {
    block_on(async {
        let mut sides = Sides::meet(host()).await;
        let agreement = sides.channel.agreement().clone();
        sides.council_does(|connected, provider| connected.end(provider, EndReason::Withdrawn)).await.unwrap();
        assert_eq!(sides.council().stage(), Stage::Ended);
        assert_eq!(council_code(sides.council().permits(&sides.session)), "Connect.Ended");
        assert_eq!(council_code(sides.council_leaves("no").await), "Connect.Ended");
        sides.person_leaves("not heard yet").await.unwrap();
        assert_eq!(contents(&sides.person_collects().await.unwrap()), [&Content::Moved(Stage::Ended)]);
        assert_eq!(person_code(sides.person_leaves("no").await), "Connect.Ended");
        assert_eq!(person_code(sides.person_collects().await), "Connect.Ended");
        let mail = sides.council_collects().await.unwrap();
        assert_eq!(contents(&mail), [&Content::Refused(ConnectError::Ended), &Content::Receipt]);
        let standing = sides.person.connection(&sides.id).unwrap();
        let receipt = sides.council().receipt().unwrap().to_vec();
        assert_eq!(standing.receipt, Some(receipt.clone()));
        assert!(Termination::verify(&agreement, &receipt).is_ok());
        assert_eq!(sides.council().tombstone().unwrap().reason, EndReason::Withdrawn);
    });
}
