//! A link that was shown on another screen: the person types six digits there before anything counts.

#[path = "shared/local.rs"]
mod local;

use deedbox::{
    host::{MemoryStorage, system_clock},
    parts::{
        connect::{Invitation, Link, Offer, Wish},
        model::{Digest, Name},
    },
    person::{Connecting, Open, Person},
    provider::{Checked, Checking, Provider},
};
use local::{Local, serve};
use pollster::block_on;

type Client = Local<MemoryStorage>;

/// A box, and both sides waiting for the code.
fn waiting() -> (Person<Open<Client>>, Connecting, Checking) {
    let host = serve(MemoryStorage::new());
    let (person, _) = block_on(Person::create(host, "a passphrase")).unwrap();
    let provider = Provider::generate("https://council.example").unwrap();
    let offer = Offer {
        endpoint: "https://council.example/deedbox".to_owned(),
        not_after: system_clock().saturating_add_secs(3_600),
        uses: 1,
        terms: Digest::from_bytes([0; 32]),
        terms_body: None,
        name: "City council".to_owned(),
        check: true,
        evidence: None,
    };
    let mut inviting = provider.invite(offer).unwrap();
    let link = Link::parse_qr(&inviting.link().to_qr()).unwrap();
    let invitation = Invitation::open(&link, inviting.bytes(), system_clock()).unwrap();
    let name = Name::parse("council").unwrap();
    let (connecting, one) = person.accept(&link, &invitation, name, Wish::default()).unwrap();
    let (meeting, two) = provider.meet(&inviting, &one).unwrap();
    let (connecting, three) = connecting.answer(&two).unwrap();
    assert!(connecting.code().is_none());
    let (checking, four) = provider.agree_by_code(&mut inviting, meeting, &three).unwrap();
    (person, connecting.wait(&four).unwrap(), checking)
}

#[test]
fn the_right_code_connects() {
    let (mut person, connecting, checking) = waiting();
    let code = connecting.code().unwrap().to_owned();
    assert!(code.len() == 6 && code.bytes().all(|digit| digit.is_ascii_digit()));
    let Checked::Wrong(checking) = checking.typed("wrong").unwrap() else { panic!("there are tries left") };
    let Checked::Right(session, confirmation) = checking.typed(&code).unwrap() else { panic!("the code is right") };
    let channel = block_on(person.connected(connecting, &confirmation)).unwrap();
    assert_eq!(channel.binding(), session.binding());
    assert_eq!(channel.agreement(), session.agreement());
    assert_eq!(person.connections().unwrap().len(), 1);
}

#[test]
fn three_wrong_codes_leave_nothing() {
    let (mut person, connecting, mut checking) = waiting();
    for _ in 0..2 {
        let Checked::Wrong(next) = checking.typed("").unwrap() else { panic!("there are tries left") };
        checking = next;
    }
    let Checked::Ended(error, refusal) = checking.typed("").unwrap() else { panic!("no tries are left") };
    assert_eq!(error.code(), "Connect.CheckCodeWrong");
    let error = block_on(person.connected(connecting, &refusal)).unwrap_err();
    assert_eq!(error.code(), "Connect.Refused");
    assert!(person.connections().unwrap().is_empty());
}
