//! First contact, for tests that begin after it.

use deedbox::{
    HostClient,
    host::system_clock,
    parts::{
        connect::{Invitation, Link, Offer, Wish},
        model::{Digest, Name},
    },
    person::{Channel, Open, Person},
    provider::{Provider, Session},
};

/// The person takes the provider's invitation, under a name of the person's own for it.
pub(crate) async fn connect<H: HostClient>(
    person: &mut Person<Open<H>>,
    provider: &Provider,
    party: &str,
) -> (Channel, Session) {
    let offer = Offer {
        endpoint: format!("{}/deedbox", provider.uri()),
        not_after: system_clock().saturating_add_secs(3_600),
        uses: 1,
        terms: Digest::from_bytes([0; 32]),
        terms_body: None,
        name: party.to_owned(),
        check: false,
        evidence: None,
    };
    let mut inviting = provider.invite(offer).unwrap();
    let link = Link::parse_qr(&inviting.link().to_qr()).unwrap();
    let invitation = Invitation::open(&link, inviting.bytes(), system_clock()).unwrap();
    let wish = Wish { permissions: Vec::new(), not_after: None };
    let (connecting, one) = person.accept(&link, &invitation, Name::parse(party).unwrap(), wish).unwrap();
    let (meeting, two) = provider.meet(&inviting, &one).unwrap();
    let (connecting, three) = connecting.answer(&two).unwrap();
    let (session, four) = provider.agree(&mut inviting, meeting, &three).unwrap();
    (person.connected(connecting, &four).await.unwrap(), session)
}
