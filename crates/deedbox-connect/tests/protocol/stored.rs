//! A connection is stored and taken up wherever it stands, and half of it is no connection.

use std::sync::LazyLock;

use deedbox_connect::{
    Accepting, Agreement, Answered, AwaitingConfirm, Body, Confirming, Connection, ConnectionsRoot, EndReason, Event,
    Offer, Proposal, Renewal, Reply, Role, Stage, Termination, Typed, Wish,
};
use deedbox_crypto::secret::SecretBytes;
use deedbox_model::Digest;
use deedbox_testkit::rng::SeededRng;

use super::met::{Council, NOW, contact, council, data, later, met, offer, opened};

fn root() -> ConnectionsRoot {
    ConnectionsRoot::from_secret(SecretBytes::from_bytes([7; 32]))
}

/// A connection in each stage, and the documents of its agreements.
struct Stages {
    all: Vec<Connection>,
    documents: [Vec<u8>; 2],
}

static STAGES: LazyLock<Stages> = LazyLock::new(|| {
    let root = root();
    let (Council { keys, invited }, person, _) = met(&root, Wish::default(), &mut SeededRng::new(1));
    let first = person.agreement;
    let renewal = Renewal { terms: Digest::from_bytes([8; 32]), permissions: vec![], not_after: Some(later(99)) };
    let proposal = Proposal::sign(&first, Role::Responder, renewal, &keys, NOW, keys.sign()).unwrap();
    let own = root.keys_for(&first, Role::Initiator).unwrap();
    let second = proposal.agree(&first, own.sign()).unwrap();
    let termination = Termination::sign(&first, Role::Responder, EndReason::PurposeMet, NOW, keys.sign()).unwrap();

    let mut all = vec![
        Connection::invited(invited.invitation()),
        Connection::accepting(invited.invitation(), first.hash()),
        Connection::active(Role::Initiator, first.clone()),
        Connection::active(Role::Responder, first.clone()),
    ];
    let mut from = |number: usize, event: Event, now| {
        let (next, _) = Connection::clone(&all[number]).apply(event, now).map_err(|(_, error)| error).unwrap();
        all.push(next);
    };
    from(0, Event::CodeAwaited(first.clone(), later(300)), NOW);
    from(3, Event::Propose(proposal.clone()), NOW);
    from(2, Event::Received(Body::Propose(proposal.bytes().to_vec())), NOW);
    from(6, Event::Agree(second.clone()), NOW);
    from(7, Event::Suspend(0), NOW);
    from(8, Event::Unknown, NOW);
    from(3, Event::Terminate(termination), NOW);
    from(1, Event::Refused, NOW);
    from(7, Event::Tick, later(99));
    from(0, Event::Tick, later(3_600));
    Stages { all, documents: [first.bytes().to_vec(), second.bytes().to_vec()] }
});
const INVITED: usize = 0;
const REFUSED: usize = 11;

fn chain() -> Vec<Agreement> {
    Agreement::verify_chain(STAGES.documents.iter().map(Vec::as_slice)).unwrap()
}

#[test]
fn a_connection_is_what_it_was() {
    let mut seen = Vec::new();
    let chain = chain();
    for connection in &STAGES.all {
        let stored = connection.to_stored();
        let loaded = Connection::load(&stored, &chain).unwrap();
        assert_eq!((&loaded, loaded.to_stored()), (connection, stored.clone()));
        seen.push(loaded.stage());
        for len in 0..stored.len() {
            assert_eq!(Connection::load(&stored[..len], &chain).unwrap_err().code(), "Malformed");
        }
        // What names an agreement needs it.
        let alone = Connection::load(&stored, &[]).map_err(|error| error.code());
        let names = !matches!(connection.stage(), Stage::Invited | Stage::Accepting | Stage::Ended);
        assert_eq!(alone.err(), names.then_some("AgreementMismatch"));
    }
    let all = [Stage::Invited, Stage::Accepting, Stage::Confirming, Stage::Active, Stage::Renewing, Stage::Suspended];
    assert!(all.iter().chain([&Stage::Ended]).all(|stage| seen.contains(stage)));
}

#[test]
fn no_byte_of_a_stored_connection_has_two_meanings() {
    let chain = chain();
    for connection in &STAGES.all {
        let stored = connection.to_stored();
        for at in 0..stored.len() {
            let mut other = stored.clone();
            other[at] ^= 1;
            if let Ok(loaded) = Connection::load(&other, &chain) {
                assert_ne!(loaded, *connection, "byte {at}");
                assert_eq!(loaded.to_stored(), other);
            }
        }
    }
}

#[test]
fn the_bytes_stay() {
    // The conn ids are drawn, so two stages of which every byte is given.
    let refused = &STAGES.all[REFUSED];
    let inv: String = refused.tombstone().unwrap().inv.unwrap().as_bytes().iter().map(|b| format!("{b:02x}")).collect();
    let hash: String =
        refused.tombstone().unwrap().agreements[0].as_bytes().iter().map(|b| format!("{b:02x}")).collect();
    let hex: String = refused.to_stored().iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(hex, format!("8301008704f6815820{hash}50{inv}1a6b49d20005f6"));
    let invited = &STAGES.all[INVITED];
    let hex: String = invited.to_stored().iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(hex, format!("8301018300 50{inv}1a6b49e010").replace(' ', ""));
}

#[test]
fn a_chain_begins_at_the_beginning_and_has_no_hole() {
    let [first, second] = STAGES.documents.each_ref().map(Vec::as_slice);
    let code =
        |list: &[&[u8]]| Agreement::verify_chain(list.iter().copied()).map(|chain| chain.len()).map_err(|e| e.code());
    assert_eq!(code(&[first]), Ok(1));
    assert_eq!(code(&[first, second]), Ok(2));
    for broken in [&[][..], &[second], &[second, first], &[first, first], &[first, second, second]] {
        assert_eq!(code(broken), Err("AgreementMismatch"));
    }
    // A renewal by others' keys.
    let (_, stranger, _) = met(&root(), Wish::default(), &mut SeededRng::new(9));
    assert_eq!(code(&[stranger.agreement.bytes(), second]), Err("AgreementMismatch"));
    let mut forged = second.to_vec();
    *forged.last_mut().unwrap() ^= 1;
    assert_eq!(code(&[first, &forged]), Err("Rejected"));
}

#[test]
fn a_check_code_outlives_both_processes() {
    let mut rng = SeededRng::new(2);
    let mut council = council(Offer { check: true, ..offer() }, &mut rng);
    let (link, invitation) = opened(&council);
    let (person, body) = Accepting::start(&root(), &link, &invitation, Wish::default(), NOW, &mut rng).unwrap();
    let (answering, body) = council.invited.answer(&body, &council.keys, NOW, &mut rng).unwrap();
    let (person, body) = person.answer(&body, &contact(1), NOW, &mut rng).unwrap();
    let answered = answering.finish(&mut council.invited, &body, &council.keys, &contact(2), NOW, &mut rng).unwrap();
    let Answered::Confirming(confirming, body) = answered else { panic!("a check code is asked for") };
    let Reply::Waiting(waiting) = person.read(&body, NOW).unwrap() else { panic!("not confirmed yet") };
    let code = waiting.code().unwrap().to_owned();

    let (waits, confirms) = (waiting.into_stored(), confirming.into_stored());
    for len in 0..waits.len() {
        assert_eq!(AwaitingConfirm::load(&waits[..len], NOW, &mut rng).err().unwrap().code(), "Malformed");
    }
    for len in 0..confirms.len() {
        assert_eq!(Confirming::load(&confirms[..len], NOW, &mut rng).err().unwrap().code(), "Malformed");
    }
    let over = later(deedbox_connect::LIFETIME_SECS);
    assert_eq!(AwaitingConfirm::load(&waits, over, &mut rng).err().unwrap().code(), "SessionOver");
    assert_eq!(Confirming::load(&confirms, over, &mut rng).err().unwrap().code(), "SessionOver");

    let waiting = AwaitingConfirm::load(&waits, NOW, &mut rng).unwrap();
    assert_eq!(waiting.code(), Some(code.as_str()));
    // A try that was spent stays spent.
    let mut confirming = Confirming::load(&confirms, NOW, &mut rng).unwrap();
    let wrong = if code == "000000" { "000001" } else { "000000" };
    for _ in 0..2 {
        let Typed::Wrong(left) = confirming.typed(wrong, NOW).unwrap() else { panic!("tries are left") };
        confirming = Confirming::load(&left.into_stored(), NOW, &mut rng).unwrap();
    }
    let Typed::Right(mut theirs, body) = confirming.typed(&code, NOW).unwrap() else { panic!("it is right") };
    let mut ours = waiting.confirm(&body, NOW).unwrap();
    assert_eq!(ours.agreement, theirs.agreement);
    assert_eq!((&ours.contact, &theirs.contact), (&contact(2), &contact(1)));
    assert_eq!(ours.session.take_epoch().unwrap().id(), theirs.session.take_epoch().unwrap().id());
    let record = theirs.session.seal(&data("welcome"), NOW).unwrap();
    assert_eq!(ours.session.open(&record, NOW).unwrap(), data("welcome"));
}
