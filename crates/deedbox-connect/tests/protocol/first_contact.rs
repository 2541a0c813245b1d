//! A person accepts a council's invitation, with a host in between that does as it likes.

use std::{collections::BTreeSet, sync::LazyLock};

use deedbox_connect::{
    Accepting, Active, Agreement, Answered, Answering, Body, Calling, ConnectionsRoot, Contact, EndReason, Established,
    Failed, Frame, FrameKind, Invitation, Invited, Link, LiveSession, Mailbox, Offer, Receiving, Reply, Role,
    Termination, Typed, Wish,
};
use deedbox_model::{Digest, MailboxId, Timestamp};
use deedbox_testkit::rng::SeededRng;
use proptest::prelude::*;

use super::met::{Council, NOW, contact, council, data, later, meet, offer, opened};

fn pair(seed: u64) -> (Established, Established, Council) {
    let mut rng = SeededRng::new(seed);
    let mut council = council(offer(), &mut rng);
    let (link, invitation) = opened(&council);
    let (ours, theirs) = meet(&mut council, &link, &invitation, &mut rng, |_, _| {}).unwrap();
    (ours, theirs, council)
}

#[test]
fn both_hold_one_agreement_and_one_channel() {
    let (mut ours, mut theirs, council) = pair(1);
    assert_eq!(ours.agreement, theirs.agreement);
    assert_eq!(ours.session.channel_binding(), theirs.session.channel_binding());
    let (another, ..) = pair(2);
    assert_ne!(ours.session.channel_binding(), another.session.channel_binding());
    assert_eq!(ours.session.agreement(), ours.agreement.hash());
    assert_eq!((ours.contact, theirs.contact), (contact(2), contact(1)));
    let agreement = Agreement::verify(ours.agreement.bytes()).unwrap();
    assert_eq!(agreement, ours.agreement);
    assert_eq!(agreement.terms(), Digest::from_bytes([7; 32]));
    assert_eq!(agreement.responder(), council.invited.invitation().responder());
    assert_eq!(agreement.inv(), Some(council.invited.invitation().inv()));
    assert_eq!((agreement.serial(), agreement.prior(), agreement.not_before()), (1, None, NOW));
    assert!(agreement.holds(NOW));
    assert_eq!(council.invited.uses_left(), 0);
    for n in 0..3 {
        let record = ours.session.seal(&data(&format!("{n}")), NOW).unwrap();
        assert_eq!(theirs.session.open(&record, NOW).unwrap(), data(&format!("{n}")));
        let record = theirs.session.seal(&Body::Knock, NOW).unwrap();
        assert_eq!(ours.session.open(&record, NOW).unwrap(), Body::Knock);
    }
}

/// The head of the byte string and G_Y, in the suite that both sides prefer.
fn before_plaintext_2() -> usize {
    match deedbox_edhoc::Profile::production().suites()[0] {
        -21 => 3 + 1120,
        _ => 2 + 32,
    }
}

#[test]
fn first_messages_have_padded_lengths() {
    let mut rng = SeededRng::new(3);
    let mut council = council(offer(), &mut rng);
    let (link, invitation) = opened(&council);
    let mut lengths = Vec::new();
    meet(&mut council, &link, &invitation, &mut rng, |_, body| {
        lengths.push(Frame::parse_all(body).unwrap()[0].body.len());
    })
    .unwrap();
    // message_2: a bstr of G_Y and PLAINTEXT_2; message_3: a bstr of PLAINTEXT_3 and a tag.
    assert_eq!((lengths[1] - before_plaintext_2()) % 128, 0);
    assert_eq!((lengths[2] - 3 - 16) % 256, 0);
}

#[test]
fn a_person_can_invite_a_person() {
    let mut rng = SeededRng::new(4);
    let root = ConnectionsRoot::generate(&mut rng);
    let (invited, keys) = Invited::issue_as_person(&root, offer(), &mut rng).unwrap();
    let mut council = Council { keys, invited };
    let (link, invitation) = opened(&council);
    let (ours, theirs) = meet(&mut council, &link, &invitation, &mut rng, |_, _| {}).unwrap();
    assert_eq!(ours.agreement, theirs.agreement);
    assert!(ours.agreement.responder().subject().starts_with("deedbox:i:"));
}

proptest! {
    #[test]
    fn one_bit_in_any_body_ends_it(number in 0..4_usize, at in any::<prop::sample::Index>(), bit in 0..8_u32) {
        let mut rng = SeededRng::new(5);
        let mut council = council(offer(), &mut rng);
        let (link, invitation) = opened(&council);
        let done = meet(&mut council, &link, &invitation, &mut rng, |n, body| {
            if n == number {
                let at = at.index(body.len());
                body[at] ^= 1 << bit;
            }
        });
        prop_assert!(done.is_err());
    }

    #[test]
    fn one_bit_in_the_secret_ends_it(at in 0..16_usize, bit in 0..8_u32) {
        let mut rng = SeededRng::new(6);
        let mut council = council(offer(), &mut rng);
        let (link, invitation) = opened(&council);
        let mut bytes = link.to_bytes();
        let len = bytes.len();
        bytes[len - 16 + at] ^= 1 << bit;
        let link = Link::parse(&bytes).unwrap();
        let failed = meet(&mut council, &link, &invitation, &mut rng, |_, _| {}).err().unwrap();
        prop_assert_eq!(failed.error.code(), "Edhoc.Authentication");
        prop_assert!(failed.reply.is_some());
    }

    #[test]
    fn one_bit_in_the_invitation_is_refused(at in any::<prop::sample::Index>(), bit in 0..8_u32) {
        static GIVEN: LazyLock<(Link, Invitation)> =
            LazyLock::new(|| opened(&council(offer(), &mut SeededRng::new(7))));
        let (link, invitation) = &*GIVEN;
        let mut bytes = invitation.bytes().to_vec();
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        prop_assert_eq!(Invitation::open(link, &bytes, NOW).unwrap_err().code(), "InvitationMismatch");
        prop_assert!(Invitation::verify(&bytes).is_err());
    }

    #[test]
    fn one_bit_in_an_agreement_is_refused(at in any::<prop::sample::Index>(), bit in 0..8_u32) {
        static GIVEN: LazyLock<Vec<u8>> = LazyLock::new(|| pair(8).0.agreement.bytes().to_vec());
        let mut bytes = GIVEN.clone();
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        prop_assert!(Agreement::verify(&bytes).is_err());
    }

    #[test]
    fn one_bit_in_a_record_is_refused_and_moves_no_window(at in any::<prop::sample::Index>(), bit in 0..8_u32) {
        let (mut ours, mut theirs, _) = pair(9);
        let record = ours.session.seal(&data("hello"), NOW).unwrap();
        let mut other = record.clone();
        let at = at.index(other.len());
        other[at] ^= 1 << bit;
        prop_assert!(theirs.session.open(&other, NOW).is_err());
        prop_assert_eq!(theirs.session.open(&record, NOW).unwrap(), data("hello"));
    }

    #[test]
    fn links_survive_all_their_forms(inv in any::<[u8; 16]>(), digest in any::<[u8; 32]>(), secret in any::<[u8; 16]>(), path in "[a-z0-9/?=]{0,200}") {
        let inv = deedbox_connect::InvitationId::from_bytes(inv);
        let secret = deedbox_crypto::secret::SecretBytes::from_bytes(secret);
        let link = Link::new(inv, Digest::from_bytes(digest), &format!("https://a.example/{path}"), secret).unwrap();
        let bytes = link.to_bytes();
        prop_assert_eq!(&Link::parse(&bytes).unwrap().to_bytes(), &bytes);
        prop_assert_eq!(&Link::parse_qr(&link.to_qr()).unwrap().to_bytes(), &bytes);
        prop_assert_eq!(&Link::parse_url(&link.to_url()).unwrap().to_bytes(), &bytes);
        for len in 0..bytes.len() {
            prop_assert!(Link::parse(&bytes[..len]).is_err());
        }
        // One link has one address: no other last character, no padding.
        let url = link.to_url();
        for other in [&url[..url.len() - 1], &url].into_iter().flat_map(|start| "AQgw9-_+/=.".chars().map(move |c| format!("{start}{c}"))) {
            if let Ok(read) = Link::parse_url(&other) {
                prop_assert_eq!(read.to_url(), other);
            }
        }
        let padded = [url.as_str(), "="].concat();
        prop_assert!(Link::parse_url(&padded).is_err());
    }
}

#[test]
fn an_invitation_is_used_once() {
    let mut rng = SeededRng::new(10);
    let mut council = council(offer(), &mut rng);
    let (link, invitation) = opened(&council);
    assert!(meet(&mut council, &link, &invitation, &mut rng, |_, _| {}).is_ok());
    assert_eq!(council.invited.uses_left(), 0);
    let failed = meet(&mut council, &link, &invitation, &mut rng, |_, _| {}).err().unwrap();
    assert_eq!(failed.error.code(), "InvitationUsed");
}

#[test]
fn after_a_lost_confirm_the_same_person_may_come_again() {
    let mut rng = SeededRng::new(10);
    let mut council = council(offer(), &mut rng);
    let (link, invitation) = opened(&council);
    let root = ConnectionsRoot::generate(&mut rng);
    let (person, body) = Accepting::start(&root, &link, &invitation, Wish::default(), NOW, &mut rng).unwrap();
    let draft = person.draft().to_vec();
    let (answering, body) = council.invited.answer(&body, &council.keys, NOW, &mut rng).unwrap();
    let (_lost, body) = person.answer(&body, &contact(1), NOW, &mut rng).unwrap();
    assert!(answering.finish(&mut council.invited, &body, &council.keys, &contact(2), NOW, &mut rng).is_ok());
    assert_eq!(council.invited.uses_left(), 0);

    // Even after the invitation's end, with the agreement that was signed then.
    let soon = later(4000);
    let (person, body) = Accepting::again(&root, &link, &invitation, &draft, &mut rng).unwrap();
    let (answering, body) = council.invited.answer(&body, &council.keys, soon, &mut rng).unwrap();
    let (person, body) = person.answer(&body, &contact(1), soon, &mut rng).unwrap();
    let answered = answering.finish(&mut council.invited, &body, &council.keys, &contact(2), soon, &mut rng).unwrap();
    let Answered::Active(theirs, body) = answered else { panic!("no check code was asked for") };
    let Reply::Confirmed(ours) = person.read(&body, soon).unwrap() else { panic!("confirmed at once") };
    assert_eq!(ours.agreement, theirs.agreement);

    let other = ConnectionsRoot::generate(&mut rng);
    let again = Accepting::again(&other, &link, &invitation, &draft, &mut rng);
    assert_eq!(again.err().unwrap().code(), "AgreementMismatch");
}

#[test]
fn both_sides_may_restart_at_every_wait() {
    let mut rng = SeededRng::new(40);
    let mut council = council(Offer { uses: 2, ..offer() }, &mut rng);
    let (link, invitation) = opened(&council);
    let root = ConnectionsRoot::generate(&mut rng);
    let (person, body) = Accepting::start(&root, &link, &invitation, Wish::default(), NOW, &mut rng).unwrap();
    let stored = person.into_stored();
    council.invited = Invited::load(&council.invited.to_stored()).unwrap();
    let (answering, body) = council.invited.answer(&body, &council.keys, NOW, &mut rng).unwrap();
    let stored_answer = answering.into_stored();
    let person = Accepting::load(&stored, &root).unwrap();
    let (person, body) = person.answer(&body, &contact(1), NOW, &mut rng).unwrap();
    let answering = Answering::load(&stored_answer, &council.invited).unwrap();
    let answered = answering.finish(&mut council.invited, &body, &council.keys, &contact(2), NOW, &mut rng).unwrap();
    let Answered::Active(theirs, body) = answered else { panic!("no check code was asked for") };
    let Reply::Confirmed(ours) = person.read(&body, NOW).unwrap() else { panic!("confirmed at once") };
    assert_eq!(ours.agreement, theirs.agreement);

    // What was used stays used, and who used it may come again.
    let invited = council.invited.to_stored();
    council.invited = Invited::load(&invited).unwrap();
    assert_eq!((council.invited.uses_left(), &*council.invited.to_stored()), (1, &*invited));
    assert!(meet(&mut council, &link, &invitation, &mut rng, |_, _| {}).is_ok());
    council.invited = Invited::load(&council.invited.to_stored()).unwrap();
    let failed = meet(&mut council, &link, &invitation, &mut rng, |_, _| {}).err().unwrap();
    assert_eq!(failed.error.code(), "InvitationUsed");

    let other = ConnectionsRoot::generate(&mut rng);
    assert_eq!(Accepting::load(&stored, &other).err().unwrap().code(), "Rejected");
    for len in (0..stored.len()).step_by(7) {
        assert!(Accepting::load(&stored[..len], &root).is_err());
    }
    for len in 0..stored_answer.len() {
        assert!(Answering::load(&stored_answer[..len], &council.invited).is_err());
    }
    for len in (0..invited.len()).step_by(7) {
        assert!(Invited::load(&invited[..len]).is_err());
    }
}

#[test]
fn time_ends_an_invitation() {
    let mut rng = SeededRng::new(11);
    let council = council(offer(), &mut rng);
    let (link, invitation) = opened(&council);
    assert_eq!(Invitation::open(&link, invitation.bytes(), later(3600)).unwrap_err().code(), "Expired");
    assert!(Invitation::open(&link, invitation.bytes(), later(3599)).is_ok());
    let root = ConnectionsRoot::generate(&mut rng);
    let start = |now, rng: &mut SeededRng| Accepting::start(&root, &link, &invitation, Wish::default(), now, rng);
    assert_eq!(start(later(3600), &mut rng).err().unwrap().code(), "Expired");
    let (_, body) = start(NOW, &mut rng).unwrap();
    let failed = council.invited.answer(&body, &council.keys, later(3600), &mut rng).err().unwrap();
    assert_eq!(failed.error.code(), "Expired");
    assert!(failed.reply.is_some());
}

#[test]
fn frames_of_two_sessions_swapped_are_refused() {
    let mut rng = SeededRng::new(12);
    let mut council = council(Offer { uses: 2, ..offer() }, &mut rng);
    let (link, invitation) = opened(&council);
    let root = ConnectionsRoot::generate(&mut rng);
    let start = |rng: &mut SeededRng| Accepting::start(&root, &link, &invitation, Wish::default(), NOW, rng).unwrap();
    let ((first, one), (second, other_one)) = (start(&mut rng), start(&mut rng));
    let (first_r, two) = council.invited.answer(&one, &council.keys, NOW, &mut rng).unwrap();
    let (_, other_two) = council.invited.answer(&other_one, &council.keys, NOW, &mut rng).unwrap();
    assert_eq!(first.answer(&other_two, &contact(1), NOW, &mut rng).err().unwrap().error.code(), "NotNow");
    drop(two);
    let (_, three) = second.answer(&other_two, &contact(1), NOW, &mut rng).unwrap();
    let swapped = first_r.finish(&mut council.invited, &three, &council.keys, &contact(2), NOW, &mut rng);
    assert_eq!(swapped.err().unwrap().error.code(), "NotNow");

    // Records: of another session, and one's own sent back.
    let (mut a, mut a_peer, _) = pair(13);
    let (mut b, mut b_peer, _) = pair(14);
    let record = a.session.seal(&data("for a's peer"), NOW).unwrap();
    assert_eq!(b_peer.session.open(&record, NOW).unwrap_err().code(), "Rejected");
    assert_eq!(b.session.open(&record, NOW).unwrap_err().code(), "Rejected");
    assert_eq!(a.session.open(&record, NOW).unwrap_err().code(), "Rejected");
    assert_eq!(a_peer.session.open(&record, NOW).unwrap(), data("for a's peer"));
    assert_eq!(a_peer.session.open(&record, NOW).unwrap_err().code(), "Replay");
}

#[test]
fn message_3_with_another_sessions_record_is_refused() {
    let mut rng = SeededRng::new(15);
    let mut council = council(offer(), &mut rng);
    let (link, invitation) = opened(&council);
    let (mut other, ..) = pair(16);
    let stray = other.session.seal(&data("stray"), NOW).unwrap();
    let failed = meet(&mut council, &link, &invitation, &mut rng, |n, body| {
        if n == 2 {
            let frames = Frame::parse_all(body).unwrap();
            let mut frames: Vec<_> = frames.into_iter().collect();
            frames[1].body = &stray;
            *body = Frame::write_all(&frames);
        }
    });
    assert_eq!(failed.err().unwrap().error.code(), "Rejected");
    assert_eq!(council.invited.uses_left(), 1);
}

fn with_code(rng: &mut SeededRng) -> (deedbox_connect::AwaitingConfirm, deedbox_connect::Confirming) {
    let mut council = council(Offer { check: true, ..offer() }, rng);
    let (link, invitation) = opened(&council);
    let root = ConnectionsRoot::generate(rng);
    let (person, body) = Accepting::start(&root, &link, &invitation, Wish::default(), NOW, rng).unwrap();
    let (answering, body) = council.invited.answer(&body, &council.keys, NOW, rng).unwrap();
    let (person, body) = person.answer(&body, &contact(1), NOW, rng).unwrap();
    let answered = answering.finish(&mut council.invited, &body, &council.keys, &contact(2), NOW, rng).unwrap();
    let Answered::Confirming(confirming, body) = answered else { panic!("a check code was asked for") };
    let Reply::Waiting(person) = person.read(&body, NOW).unwrap() else { panic!("nothing is confirmed yet") };
    (person, confirming)
}

#[test]
fn the_right_code_confirms() {
    let (person, confirming) = with_code(&mut SeededRng::new(17));
    let code = person.code().unwrap().to_owned();
    assert_eq!(code.len(), 6);
    let Typed::Wrong(confirming) = confirming.typed("wrong", NOW).unwrap() else { panic!("there are tries left") };
    let Typed::Right(theirs, body) = confirming.typed(&code, later(299)).unwrap() else { panic!("right") };
    let ours = person.confirm(&body, later(299)).unwrap();
    assert_eq!(ours.agreement, theirs.agreement);
}

#[test]
fn three_wrong_codes_or_five_minutes_end_it() {
    let (person, mut confirming) = with_code(&mut SeededRng::new(18));
    let code = person.code().unwrap().to_owned();
    for _ in 0..2 {
        let Typed::Wrong(next) = confirming.typed("", NOW).unwrap() else { panic!("there are tries left") };
        confirming = next;
    }
    let Typed::Ended(error, body) = confirming.typed("12345", NOW).unwrap() else { panic!("no tries left") };
    assert_eq!(error.code(), "CheckCodeWrong");
    assert_eq!(person.confirm(&body, NOW).err().unwrap().error, deedbox_connect::ConnectError::Refused(2));

    let (_, confirming) = with_code(&mut SeededRng::new(18));
    let Typed::Ended(error, _) = confirming.typed(&code, later(300)).unwrap() else { panic!("too late") };
    assert_eq!(error.code(), "Expired");
}

#[test]
fn a_session_is_stored_loaded_and_over_after_a_day() {
    let mut rng = SeededRng::new(19);
    let (mut ours, mut theirs, _) = pair(19);
    let first = ours.session.seal(&data("first"), NOW).unwrap();
    theirs.session.open(&first, NOW).unwrap();
    let (ours, theirs) = (ours.session.into_stored(), theirs.session.into_stored());
    let mut theirs = LiveSession::load(&theirs, later(10), &mut rng).unwrap();
    assert_eq!(theirs.open(&first, later(10)).unwrap_err().code(), "Replay");
    // A copy rolled back seals under another stream: nothing is sealed twice under one nonce.
    let mut records = Vec::new();
    for _ in 0..2 {
        let mut ours = LiveSession::load(&ours, later(10), &mut rng).unwrap();
        assert_eq!(ours.role(), Role::Initiator);
        records.push(ours.seal(&data("second"), later(10)).unwrap());
    }
    assert_ne!(records[0][..26], records[1][..26]);
    for record in &records {
        assert_eq!(theirs.open(record, later(10)).unwrap(), data("second"));
    }
    assert_eq!(theirs.seal(&Body::Knock, later(86_400)).unwrap_err().code(), "SessionOver");
    assert_eq!(LiveSession::load(&ours, later(86_400), &mut rng).err().unwrap().code(), "SessionOver");
    for len in 0..ours.len() {
        assert_eq!(LiveSession::load(&ours[..len], NOW, &mut rng).err().unwrap().code(), "Malformed");
    }
}

#[test]
fn a_stored_session_has_each_stream_once_and_in_order() {
    let mut rng = SeededRng::new(21);
    let (_, theirs, _) = pair(21);
    let stored = theirs.session.into_stored();
    // At the end, a list of one: [stream, highest, seen].
    let (rest, window) = stored.split_at(stored.len() - 20);
    let (list, head) = rest.split_last().unwrap();
    assert_eq!(
        (*list, window[0], window[18], window[19]),
        (0x81, 0x83, 0, 1),
        "the window of what came with message_3"
    );
    let with = |second: &[u8]| {
        let bytes = [head, &[0x82], window, second].concat();
        LiveSession::load(&bytes, NOW, &mut rng).map(|_| ()).map_err(|error| error.code())
    };
    let (mut below, mut above) = (window.to_vec(), window.to_vec());
    (below[17], above[17]) = (window[17].wrapping_sub(1), window[17].wrapping_add(1));
    assert!(below < above, "another seed");
    assert_eq!([&*below, window, &above].map(with), [Err("Malformed"), Err("Malformed"), Ok(())]);
}

#[test]
fn either_party_ends_it_for_good() {
    let (ours, theirs, council) = pair(20);
    let (ours, theirs) = (Active::new(ours), Active::new(theirs));
    // The council's key does not end it as the person.
    let other = ours.agreement().clone();
    assert_eq!(
        Termination::sign(&other, Role::Initiator, EndReason::Withdrawn, NOW, council.keys.sign()).unwrap_err().code(),
        "Signer"
    );
    let (tombstone, termination) =
        theirs.terminate(EndReason::PurposeMet, later(5), council.keys.sign()).map_err(|(_, error)| error).unwrap();
    let bytes = termination.bytes().to_vec();
    let (stranger, ..) = pair(21);
    let (stranger, error) = Active::new(stranger).terminated(&bytes).err().unwrap();
    assert_eq!(error.code(), "AgreementMismatch");
    drop(stranger);
    let mut ours = ours;
    for at in 0..bytes.len() {
        let mut other = bytes.clone();
        other[at] ^= 1;
        ours = ours.terminated(&other).err().unwrap().0;
    }
    let ended = ours.terminated(&bytes).map_err(|(_, error)| error).unwrap();
    assert_eq!(ended, tombstone);
    assert_eq!((ended.reason, ended.by, ended.at), (EndReason::PurposeMet, Some(Role::Responder), later(5)));
}

/// All bodies of a first contact, a record and a sealed message each way, and a later session, of one person with one
/// council of many.
fn wire(root: &ConnectionsRoot, rng: &mut SeededRng) -> Vec<Vec<u8>> {
    let address = |rng: &mut SeededRng| MailboxId::generate(rng);
    let contact = |address| Contact { address, ..contact(0) };
    let mut council = council(offer(), rng);
    let (link, invitation) = opened(&council);
    let (at_home, at_council) = (address(rng), address(rng));
    let (person, one) = Accepting::start(root, &link, &invitation, Wish::default(), NOW, rng).unwrap();
    let (answering, two) = council.invited.answer(&one, &council.keys, NOW, rng).unwrap();
    let (person, three) = person.answer(&two, &contact(at_home), NOW, rng).unwrap();
    let answered =
        answering.finish(&mut council.invited, &three, &council.keys, &contact(at_council), NOW, rng).unwrap();
    let Answered::Active(mut theirs, four) = answered else { panic!("no check code was asked for") };
    let Reply::Confirmed(mut ours) = person.read(&four, NOW).unwrap() else { panic!("confirmed at once") };
    let mut bodies = vec![one, two, three, four];
    for (side, own, peer) in [(&mut ours, at_home, at_council), (&mut theirs, at_council, at_home)] {
        let record = side.session.seal(&data("the same words"), NOW).unwrap();
        bodies.push(Frame::write_all(&[Frame::new(FrameKind::Record, side.session.peer_id(), &record)]));
        let mut mailbox = Mailbox::new(&side.agreement, side.session.role(), own, peer, rng);
        mailbox.add(side.session.take_epoch().unwrap(), NOW);
        let message = mailbox.seal(&data("the same words"), NOW, later(60), rng).unwrap();
        bodies.push(Frame::write_all(&[Frame::new(FrameKind::Sealed, peer.as_bytes(), &message)]));
    }
    let agreement = ours.agreement;
    let keys = root.keys_for(&agreement, Role::Initiator).unwrap();
    let (calling, one) = Calling::start(&agreement, &keys, rng).unwrap();
    let (receiving, two) = Receiving::start(agreement.responder(), &council.keys, &one, rng).unwrap();
    let (_, three) = calling.answer(&two, &keys, NOW, rng).unwrap();
    let (.., four) = receiving.finish(&three, |_| Some(agreement.clone()), NOW, rng).unwrap();
    bodies.extend([one, two, three, four]);
    bodies
}

/// The four-byte strings of two connections of one person that are not framing, and their number in the first one.
fn shared(seed: u64) -> (BTreeSet<[u8; 4]>, usize) {
    let mut rng = SeededRng::new(seed);
    let [root, other] = [(); 2].map(|()| ConnectionsRoot::generate(&mut rng));
    let [a, b, stranger] = [&root, &root, &other].map(|root| wire(root, &mut rng));
    let lengths = |bodies: &[Vec<u8>]| bodies.iter().map(Vec::len).collect::<Vec<_>>();
    assert_eq!((lengths(&a), lengths(&b)), (lengths(&stranger), lengths(&stranger)));
    // What two strangers share at the same place is framing: heads of CBOR, methods, suites, header labels.
    let own = a.iter().zip(&stranger).flat_map(|(body, stranger)| {
        let pairs = body.windows(4).zip(stranger.windows(4));
        pairs.filter(|(four, theirs)| four != theirs).map(|(four, _)| <[u8; 4]>::try_from(four).unwrap())
    });
    let own: BTreeSet<[u8; 4]> = own.collect();
    let others: BTreeSet<[u8; 4]> = b.iter().flat_map(|body| body.windows(4)).map(|f| f.try_into().unwrap()).collect();
    (own.intersection(&others).copied().collect(), own.len())
}

#[test]
fn two_connections_of_one_person_share_no_four_bytes_and_equal_lengths() {
    // Among some 20,000 strings two are the same by chance in one run of ten; what tells who it is would be in each run.
    let runs = [22, 23, 24].map(shared);
    assert!(runs.iter().all(|(shared, all)| shared.len() < 3 && *all > 10_000));
    assert!(runs.iter().any(|(shared, _)| shared.is_empty()));
}

/// The person's root, both sides and the council, so that a session can be opened anew.
fn known(seed: u64) -> (ConnectionsRoot, Established, Council) {
    let mut rng = SeededRng::new(seed);
    let mut council = council(offer(), &mut rng);
    let (link, invitation) = opened(&council);
    let root = ConnectionsRoot::generate(&mut SeededRng::new(seed + 1));
    let (person, body) = Accepting::start(&root, &link, &invitation, Wish::default(), NOW, &mut rng).unwrap();
    let (answering, body) = council.invited.answer(&body, &council.keys, NOW, &mut rng).unwrap();
    let (person, body) = person.answer(&body, &contact(1), NOW, &mut rng).unwrap();
    let answered = answering.finish(&mut council.invited, &body, &council.keys, &contact(2), NOW, &mut rng).unwrap();
    let Answered::Active(_, body) = answered else { panic!("no check code was asked for") };
    let Reply::Confirmed(ours) = person.read(&body, NOW).unwrap() else { panic!("confirmed at once") };
    (root, ours, council)
}

fn reopen(
    seed: u64,
    tamper: impl Fn(usize, &mut Vec<u8>),
    find: impl FnOnce(&[u8], Agreement) -> Option<Agreement>,
    now: Timestamp,
) -> Result<(LiveSession, LiveSession, Vec<usize>), Failed> {
    let (root, ours, council) = known(seed);
    let mut rng = SeededRng::new(seed + 2);
    let agreement = ours.agreement;
    let keys = root.keys(agreement.connection_id().as_bytes(), agreement.serial()).unwrap();
    let party = council.invited.invitation().responder();
    let mut lengths = Vec::new();
    let mut pass = |number, body: &mut Vec<u8>| {
        tamper(number, body);
        lengths.extend(Frame::parse_all(body).into_iter().flatten().map(|frame| frame.body.len()));
    };
    let (calling, mut body) = Calling::start(&agreement, &keys, &mut rng)?;
    pass(0, &mut body);
    let (receiving, mut body) = Receiving::start(party, &council.keys, &body, &mut rng)?;
    pass(1, &mut body);
    // Both restart while they wait.
    let calling = Calling::load(&calling.into_stored(), &agreement)?;
    let receiving = Receiving::load(&receiving.into_stored(), party)?;
    let (called, mut body) = calling.answer(&body, &keys, now, &mut rng)?;
    pass(2, &mut body);
    let (found, theirs, mut body) = receiving.finish(&body, |kid| find(kid, agreement.clone()), now, &mut rng)?;
    assert_eq!(found, agreement);
    pass(3, &mut body);
    Ok((called.read(&body)?, theirs, lengths))
}

#[test]
fn a_later_session_rests_on_the_same_agreement_and_looks_like_the_first() {
    let day = later(86_400);
    let (mut ours, mut theirs, lengths) = reopen(30, |_, _| {}, |_, agreement| Some(agreement), day).unwrap();
    assert_eq!(ours.channel_binding(), theirs.channel_binding());
    let record = ours.seal(&data("again"), day).unwrap();
    assert_eq!(theirs.open(&record, day).unwrap(), data("again"));
    assert_eq!(((lengths[1] - before_plaintext_2()) % 128, (lengths[2] - 3 - 16) % 256), (0, 0));
}

#[test]
fn a_connection_that_ended_is_not_known() {
    let failed = reopen(31, |_, _| {}, |_, _| None, later(10)).err().unwrap();
    assert_eq!(failed.error.code(), "Edhoc.UnknownCredential");
    let reply = failed.reply.unwrap();
    assert_eq!(Frame::parse_all(&reply).unwrap()[0].body, [0x03, 0xf5]);
}

proptest! {
    #[test]
    fn one_bit_in_a_later_handshake_ends_it(number in 0..4_usize, at in any::<prop::sample::Index>(), bit in 0..8_u32) {
        let tamper = |n: usize, body: &mut Vec<u8>| {
            if n == number {
                let at = at.index(body.len());
                body[at] ^= 1 << bit;
            }
        };
        prop_assert!(reopen(32, tamper, |_, agreement| Some(agreement), later(10)).is_err());
    }
}
