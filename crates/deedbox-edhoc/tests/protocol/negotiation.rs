//! Which suite two sides end up with, whoever is between them; and the hybrid suite's own faults.
#![cfg(feature = "pq")]

use super::sides::{ccs, suite_4};
use deedbox_edhoc::{ConnectionId, Failed, Form, Initiator, Profile, Responder, initiator::WaitM2};
use deedbox_testkit::rng::SeededRng;

const REJECTED: &[u8] = b"\x01\x68rejected";

fn c(bytes: &[u8]) -> ConnectionId {
    ConnectionId::new(bytes).unwrap()
}

fn sent(start: Initiator<deedbox_edhoc::initiator::Start>) -> (Initiator<WaitM2>, Vec<u8>) {
    start.message_1(c(b"i"), &[], &mut SeededRng::new(1)).unwrap()
}

fn error<T>(result: Result<T, Failed>) -> Failed {
    result.err().unwrap()
}

#[test]
fn the_preferred_suite_is_the_hybrid_one() {
    assert_eq!(Profile::production().suites(), [-21, 4]);
    let (_, message) = sent(Initiator::new(&Profile::production(), None).unwrap());
    assert_eq!(message.get(..5), Some(&b"\x00\x34\x59\x04\xc0"[..]));
}

#[test]
fn a_responder_without_the_hybrid_suite_is_met_at_suite_4() {
    let both = Profile::production();
    let (wait, message_1) = sent(Initiator::new(&both, None).unwrap());
    let refused = error(Responder::new(&suite_4()).read_message_1(&message_1));
    assert_eq!(refused.error.code(), "UnsupportedSuite");
    let answer = refused.reply.unwrap();
    assert_eq!(answer, [2, 4]);

    let failed = error(wait.read_message_2(&answer));
    assert_eq!((failed.error.code(), failed.reply), ("PeerError", None));
    let retry = failed.retry.unwrap();
    assert_eq!(retry.suite(), 4);
    let again = Initiator::retry(&both, retry);
    assert_eq!(again.suites(), [-21, 4]);
    let (wait, message_1) = sent(again);
    assert!(Responder::new(&suite_4()).read_message_1(&message_1).is_ok());
    // Whoever forged that error message gains nothing from a responder that has the preferred suite.
    let downgrade = error(Responder::new(&both).read_message_1(&message_1));
    assert_eq!((downgrade.error.code(), downgrade.reply), ("Downgrade", Some(vec![2, 0x82, 0x34, 4])));
    // One retry and no more, also across storage.
    let wait = Initiator::from_stored(&both, &wait.into_stored()).unwrap();
    let second = error(wait.read_message_2(&[2, 0x34]));
    assert_eq!((second.error.code(), second.retry), ("PeerError", None));
}

#[test]
fn the_suite_just_sent_is_no_reason_to_retry() {
    let (wait, _) = sent(Initiator::new(&Profile::production(), None).unwrap());
    let failed = error(wait.read_message_2(&[2, 0x82, 4, 0x34]));
    assert_eq!((failed.error.code(), failed.retry), ("PeerError", None));
}

#[test]
fn an_encapsulation_key_is_checked_before_it_is_used() {
    let hybrid = Profile::production();
    let (_, message_1) = sent(Initiator::new(&hybrid, None).unwrap());
    assert!(Responder::new(&hybrid).read_message_1(&message_1).is_ok());
    // The first coefficient of the ML-KEM part becomes 4095, which is not below 3329.
    let mut other = message_1.clone();
    (other[5], other[6]) = (0xff, other[6] | 0x0f);
    let failed = error(Responder::new(&hybrid).read_message_1(&other));
    assert_eq!((failed.error.code(), failed.reply), ("Malformed", Some(REJECTED.to_vec())));
    // A key of the other suite's length.
    let mut short = vec![0, 0x34, 0x58, 32];
    short.extend([9; 32]);
    short.push(0x0d);
    assert_eq!(error(Responder::new(&hybrid).read_message_1(&short)).error.code(), "Malformed");
}

#[test]
fn an_altered_encapsulation_says_nothing_of_itself() {
    let (i, r) = (ccs(1, None), ccs(2, None));
    let hybrid = Profile::production();
    for at in [3, 600, 1_091, 1_122] {
        let (wait, message_1) = sent(Initiator::new(&hybrid, None).unwrap());
        let got = Responder::new(&hybrid).read_message_1(&message_1).unwrap();
        let (_, mut message_2) =
            got.message_2(c(b"r"), &r.credential, Form::Kid, &[], &r.signer, &mut SeededRng::new(2)).unwrap();
        message_2[at] ^= 1;
        // Implicit rejection: another key stream, so another plaintext, which no peer would have made.
        let taken = wait.read_message_2(&message_2).and_then(|peer| peer.authenticate(&r.credential, &i.credential));
        assert!(taken.is_err(), "{at}");
    }
    let (wait, _) = sent(Initiator::new(&hybrid, None).unwrap());
    let mut exact = vec![0x59, 0x04, 0x60];
    exact.extend([7; 1120]);
    assert_eq!(error(wait.read_message_2(&exact)).error.code(), "Malformed");
}
