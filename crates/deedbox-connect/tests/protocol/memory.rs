//! What a record costs in memory, counted.

use allocation_counter::measure;
use deedbox_connect::{Body, ConnectError, ConnectionsRoot, Contact, DeviceHead, LiveSession, Wish};
use deedbox_model::Digest;
use deedbox_testkit::rng::SeededRng;

use super::met::{NOW, contact, met};

/// Seals `body`, in one allocation of about its length, and opens it: the record's number of allocations is the second.
fn carried(from: &mut LiveSession, to: &mut LiveSession, body: &Body) -> (Result<Body, ConnectError>, u64) {
    let mut record = Vec::new();
    let taken = measure(|| record = from.seal(body, NOW).unwrap());
    assert_eq!(taken.count_total, 1, "{body:?}");
    assert!(taken.bytes_total <= u64::try_from(body.to_bytes().len()).unwrap() + 100, "{body:?}");
    let mut opened = None;
    let taken = measure(|| opened = Some(to.open(&record, NOW)));
    assert!(taken.bytes_total <= u64::try_from(record.len()).unwrap() * 4, "{body:?}");
    (opened.unwrap(), taken.count_total)
}

#[test]
fn data_and_documents_take_one_allocation_each_way() {
    let mut rng = SeededRng::new(1);
    let (_, ours, theirs) = met(&ConnectionsRoot::generate(&mut rng), Wish::default(), &mut rng);
    let (mut ours, mut theirs) = (ours.session, theirs.session);
    for len in [0, 1, 23, 24, 255, 256, 1_024, 65_535, 65_536, 1_000_000] {
        let bytes = vec![7; len];
        let media = "application/cbor; of a type with a long name".get(..len.min(44)).unwrap();
        let body = Body::data(media, &bytes);
        assert_eq!(carried(&mut ours, &mut theirs, &body), (Ok(body), 1));
    }
    for document in [Body::Propose, Body::Agree, Body::Terminate, Body::Terminated] {
        let body = document(vec![7; 700]);
        assert_eq!(carried(&mut ours, &mut theirs, &body), (Ok(body), 1));
    }
    for body in [Body::Knock, Body::Refuse(2), Body::Suspend(23), Body::Resume(24), Body::Suspend(255)] {
        assert_eq!(carried(&mut theirs, &mut ours, &body), (Ok(body), 1));
    }
    // A stream that is new to the receiver is no exception, nor is a session that was stored.
    for _ in 0..5 {
        ours = LiveSession::load(&ours.into_stored(), NOW, &mut rng).unwrap();
        theirs = LiveSession::load(&theirs.into_stored(), NOW, &mut rng).unwrap();
        let body = Body::data("text/plain", b"again");
        assert_eq!(carried(&mut ours, &mut theirs, &body), (Ok(body.clone()), 1));
        assert_eq!(carried(&mut theirs, &mut ours, &body), (Ok(body), 1));
    }
}

#[test]
fn a_contact_is_sealed_in_one_allocation_and_opened_in_one_for_each_of_its_parts() {
    let mut rng = SeededRng::new(1);
    let (_, ours, theirs) = met(&ConnectionsRoot::generate(&mut rng), Wish::default(), &mut rng);
    let (mut ours, mut theirs) = (ours.session, theirs.session);
    for (devices, next) in [(0, 0), (1, 0), (23, 23), (24, 24), (64, 255), (2, 256), (2, 65_536), (2, u64::MAX)] {
        let device = DeviceHead { device: [3; 8], next, last: Digest::from_bytes([4; 32]) };
        let contact = Contact { devices: vec![device; devices], ..contact(1) };
        // The plaintext, endpoint, deposit, and devices, a list that grows; the agreement.
        let (body, parts) = carried(&mut ours, &mut theirs, &Body::Contact(contact.clone()));
        assert_eq!(body, Ok(Body::Contact(contact.clone())));
        assert!(parts <= 4 + u64::from(devices > 4) * 4, "{parts} for {devices} devices");
        for body in [Body::Accept(vec![5; 300], contact.clone()), Body::Confirm(vec![6; 600], contact)] {
            let (opened, count) = carried(&mut theirs, &mut ours, &body);
            assert_eq!((opened, count), (Ok(body), parts + 1));
        }
    }
}

#[test]
fn what_the_peer_would_refuse_is_not_sealed() {
    let mut rng = SeededRng::new(1);
    let (_, mut ours, mut theirs) = met(&ConnectionsRoot::generate(&mut rng), Wish::default(), &mut rng);
    let most = (1 << 20) - Body::data("", &[0; 1 << 16]).to_bytes().len() + (1 << 16);
    for (media, len) in [(256, 0), (257, 0), (0, most), (0, most + 1)] {
        let body = Body::data(&"m".repeat(media), &vec![7; len]);
        let sealed = ours.session.seal(&body, NOW);
        if media > 256 || len > most {
            assert_eq!(sealed, Err(ConnectError::LimitExceeded), "{media} {len}");
            assert_eq!(Body::parse(&body.to_bytes()), Err(ConnectError::Malformed), "{media} {len}");
        } else {
            assert_eq!(theirs.session.open(&sealed.unwrap(), NOW), Ok(body), "{media} {len}");
        }
    }
}
