//! State that was rolled back: no number is used twice, nothing is half-written, and devices do not overtake each other.

use std::io::Cursor;

use deedbox::{
    PersonError,
    exchange::Handover,
    parts::{
        connect::{Arrival, EndReason, Renewal, Stage},
        model::{ConnectionId, Digest},
    },
    person::{Person, Pins, Secret, Shared},
    provider::Connected,
};
use pollster::block_on;

use super::{
    granted::{granted, permit_all},
    restorable::Restorable,
    sides::{Client, Sides, contents, host, later, person_code, texts},
};

/// The host burnt down, and another one got an export of before the last message, which the council has read.
async fn from_an_old_export() -> Sides<Client> {
    let mut sides = Sides::meet(host()).await;
    sides.person_leaves("before").await.unwrap();
    let mut old = Cursor::new(Vec::new());
    sides.person.export(&mut old).await.unwrap();
    old.set_position(0);
    sides.person_leaves("after").await.unwrap();
    assert_eq!(texts(&sides.council_collects().await.unwrap()).len(), 2);
    let there = host();
    let phrase = Secret::RecoveryPhrase(&sides.keepsake.recovery_phrase);
    sides.person = Person::import_bundle(there.clone(), &mut old, &phrase).await.unwrap();
    Sides { client: there, ..sides }
}

#[test]
fn a_box_from_an_old_export_goes_on_as_another_device() {
    block_on(async {
        let mut sides = from_an_old_export().await;
        let words = sides.keepsake.recovery_phrase.clone();
        let phrase = Secret::RecoveryPhrase(&words);
        // A plain continuation would use number 1 again; it would be a replay. The new host has to admit the council too.
        sides.person.announce(&sides.id).await.unwrap();
        sides.person_leaves("restored").await.unwrap();
        sides.person_leaves("and on").await.unwrap();
        let mail = sides.council_collects().await.unwrap();
        assert_eq!(texts(&mail), [("restored".to_owned(), Arrival::InOrder), ("and on".to_owned(), Arrival::InOrder)]);
        sides.council_leaves("good to hear").await.unwrap();
        assert_eq!(texts(&sides.person_collects().await.unwrap()).len(), 1);
        // And unlocked by who knows no pins: another device again.
        let locked = Person::locate(sides.client.clone(), sides.keepsake.store).await.unwrap();
        sides.person = locked.unlock(&phrase, None).await.unwrap();
        sides.person_leaves("from a new phone").await.unwrap();
        sides.person_leaves("which stays one").await.unwrap();
        let came: Vec<_> =
            texts(&sides.council_collects().await.unwrap()).into_iter().map(|(_, arrival)| arrival).collect();
        assert_eq!(came, [Arrival::InOrder, Arrival::InOrder]);
    });
}

/// Whatever a device does with an old copy before it writes, it does not become the newest state by that.
#[test]
fn an_old_copy_stays_one_when_it_is_refreshed_or_opened_by_its_own_pins() {
    block_on(async {
        for refreshed in [true, false] {
            let mut sides = from_an_old_export().await;
            let words = sides.keepsake.recovery_phrase.clone();
            let phrase = Secret::RecoveryPhrase(&words);
            sides.person = if refreshed {
                sides.person.refresh().await.unwrap()
            } else {
                let pins = Pins::parse(&sides.person.pins().to_bytes()).unwrap();
                let locked = Person::locate(sides.client.clone(), sides.keepsake.store).await.unwrap();
                locked.unlock(&phrase, Some(&pins)).await.unwrap()
            };
            sides.person.announce(&sides.id).await.unwrap();
            sides.person_leaves("restored").await.unwrap();
            let came = texts(&sides.council_collects().await.unwrap());
            assert_eq!(came, [("restored".to_owned(), Arrival::InOrder)]);
            // From then on it is.
            let locked = Person::locate(sides.client.clone(), sides.keepsake.store).await.unwrap();
            let pins = sides.person.pins();
            sides.person = locked.unlock(&phrase, Some(&pins)).await.unwrap();
            sides.person_leaves("and on").await.unwrap();
            assert_eq!(texts(&sides.council_collects().await.unwrap()), [("and on".to_owned(), Arrival::InOrder)]);
        }
    });
}

#[test]
fn a_restored_host_lets_in_again_whom_the_box_does_and_nobody_else() {
    block_on(async {
        let host = Restorable::new();
        let mut sides = Sides::meet(host.clone()).await;
        sides.person.import(br#"{"person": {"name": "Maren"}}"#, "myself").await.unwrap();
        permit_all(&mut sides.person, &["council"]).await;
        let whole = Shared::Dataset { title: "person", write: false };
        let (taken_back, before) = granted(&mut sides.person, &sides.channel, whole).await.unwrap();
        let back_up = host.back_up();
        sides.person.revoke(&taken_back).await.unwrap();
        let (_, after) = granted(&mut sides.person, &sides.channel, whole).await.unwrap();
        sides.person_leaves("in between").await.unwrap();
        host.restore(&back_up);
        let read = async |handover: &Handover| {
            let reader = sides.provider.reader(sides.channel.agreement(), handover, host.clone());
            reader.unwrap().read().await.map_or_else(|error| error.code(), |records| records.len().to_string())
        };
        // As the back-up had it.
        assert_eq!([read(&before).await, read(&after).await], ["1", "Host.Unauthenticated"]);
        sides.person.restore_host().await.unwrap();
        assert_eq!([read(&before).await, read(&after).await], ["Host.Revoked", "1"]);
        sides.council_leaves("still here").await.unwrap();
        assert_eq!(texts(&sides.person_collects().await.unwrap()), [("still here".to_owned(), Arrival::InOrder)]);
        // What lay in the mailbox is gone, and the next message says so.
        sides.person_leaves("and on").await.unwrap();
        let came = texts(&sides.council_collects().await.unwrap());
        assert_eq!(came.len(), 1);
        assert!(matches!(came[0].1, Arrival::Gap { .. }), "{:?}", came[0].1);
    });
}

#[test]
fn a_councils_back_up_is_taken_up_as_another_device() {
    block_on(async {
        let mut sides = Sides::meet(host()).await;
        let old = sides.bytes.clone();
        sides.council_leaves("one").await.unwrap();
        assert_eq!(texts(&sides.person_collects().await.unwrap()).len(), 1);
        // Taken for the newest, its next number has come already: refused.
        sides.bytes = old.clone();
        sides.council_leaves("one, again").await.unwrap();
        assert_eq!(texts(&sides.person_collects().await.unwrap()), []);
        // As what it is.
        sides.bytes = Connected::restored(&old).unwrap().to_bytes().to_vec();
        sides.council_leaves("two").await.unwrap();
        assert_eq!(texts(&sides.person_collects().await.unwrap()), [("two".to_owned(), Arrival::InOrder)]);
        for len in 0..old.len() {
            assert!(Connected::load(&old[..len]).is_err());
        }
    });
}

#[test]
fn two_devices_do_not_seal_one_number_twice() {
    block_on(async {
        let mut sides = Sides::meet(host()).await;
        let locked = Person::locate(sides.client.clone(), sides.keepsake.store).await.unwrap();
        let words = sides.keepsake.recovery_phrase.clone();
        let phrase = Secret::RecoveryPhrase(&words);
        let mut other = locked.unlock(&phrase, Some(&sides.person.pins())).await.unwrap();
        sides.person_leaves("from the first").await.unwrap();
        // The second one was overtaken: nothing is written, and nothing is sent.
        let late = other.leave(&sides.id, "text/plain", b"from the second", later()).await;
        assert!(matches!(late, Err(PersonError::Conflict)));
        assert_eq!(texts(&sides.council_collects().await.unwrap()).len(), 1);
        let mut other = other.refresh().await.unwrap();
        other.leave(&sides.id, "text/plain", b"from the second", later()).await.unwrap();
        let came = [("from the second".to_owned(), Arrival::InOrder)];
        assert_eq!(texts(&sides.council_collects().await.unwrap()), came);
    });
}

#[test]
fn a_lost_connection_is_found_again_by_its_chain() {
    block_on(async {
        let mut sides = Sides::meet(host()).await;
        let renewal = Renewal { terms: Digest::from_bytes([9; 32]), permissions: vec![], not_after: None };
        sides.council_does(|connected, provider| connected.renew(provider, renewal)).await.unwrap();
        sides.person_collects().await.unwrap();
        sides.person.agree(&sides.id).await.unwrap();
        let pins = sides.person.pins();
        let locked = Person::locate(sides.client.clone(), sides.keepsake.store).await.unwrap();
        let words = sides.keepsake.recovery_phrase.clone();
        let phrase = Secret::RecoveryPhrase(&words);
        sides.person = locked.unlock(&phrase, Some(&pins)).await.unwrap();
        let standing = sides.person.connection(&sides.id).unwrap();
        assert_eq!((standing.stage, standing.agreements.len()), (Stage::Active, 2));
        assert_eq!(standing.agreements[1].prior(), Some(standing.agreements[0].hash()));
        sides.council_collects().await.unwrap();
        sides.reopen().await.unwrap();
        sides.person.end(&sides.id, EndReason::NotGiven).await.unwrap();
        let locked = Person::locate(sides.client.clone(), sides.keepsake.store).await.unwrap();
        let pins = sides.person.pins();
        sides.person = locked.unlock(&phrase, Some(&pins)).await.unwrap();
        assert_eq!(sides.person.connection(&sides.id).unwrap().stage, Stage::Ended);
        sides.council_collects().await.unwrap();
        assert_eq!(contents(&sides.person_collects().await.unwrap()).len(), 1);
        let gone = sides.person.connection(&ConnectionId::from_bytes([0; 16]));
        assert_eq!(person_code(gone), "NotFound");
    });
}
