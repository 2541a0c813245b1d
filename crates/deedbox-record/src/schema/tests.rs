use alloc::{format, vec};

use deedbox_cbor::{Limits, Writer};
use deedbox_model::{Assurance, Digest, ObjectId, Provenance, Timestamp};
use proptest::prelude::*;

use super::*;

fn item(write: impl FnOnce(&mut Writer)) -> ItemBuf {
    let mut writer = Writer::new();
    write(&mut writer);
    ItemBuf::parse(writer.as_slice(), &Limits::new(1 << 20)).unwrap()
}

/// 1 to 2: text becomes a list of text.
fn to_list(value: &ItemBuf) -> Option<ItemBuf> {
    let text = value.as_item().as_str()?;
    Some(item(|w| {
        w.array(1).text(text);
    }))
}

/// 2 to 3: the list gets a kind.
fn to_map(value: &ItemBuf) -> Option<ItemBuf> {
    value.as_item().as_array()?;
    Some(item(|w| {
        w.map(|map| {
            map.int(1, |w| {
                w.item(value.as_item());
            })
            .int(2, |w| {
                w.text("unknown");
            });
        });
    }))
}

/// Something that no record can hold.
fn to_too_much(_: &ItemBuf) -> Option<ItemBuf> {
    Some(item(|w| {
        w.bytes(&vec![0; 300 << 10]);
    }))
}

fn migrations() -> Migrations {
    let mut migrations = Migrations::new();
    migrations.register("telephone", 1, &[to_list, to_map]).unwrap();
    migrations.register("address", 4, &[to_list]).unwrap();
    migrations.register("note", 1, &[]).unwrap();
    migrations.register("bulk", 1, &[to_too_much]).unwrap();
    migrations
}

fn text(text: &str) -> ItemBuf {
    item(|w| {
        w.text(text);
    })
}

fn stored(schema: &str, version: u64, value: ItemBuf) -> Record {
    Record::new(schema, version, "a.name", value).unwrap()
}

/// A record that the issuer signed, with everything a record can have but blobs.
fn full(version: u64, value: ItemBuf) -> Record {
    let provenance = Provenance::new(*b"issuer", Assurance::High, Timestamp::from_secs(5)).with_signed(*b"\xd2signed");
    let issued = stored("telephone", 1, text("1")).with_provenance(provenance.clone());
    stored("telephone", version, value)
        .with_provenance(provenance)
        .with_parents(vec![Digest::from_bytes([4; 32])])
        .with_expires(Timestamp::from_secs(9))
        .note_on(ObjectId::from_bytes([5; 16]), &issued)
        .unwrap()
}

#[test]
fn every_older_version_is_read_as_the_newest() {
    let migrations = migrations();
    assert_eq!(migrations.newest("telephone"), Some(3));
    let newest = to_map(&to_list(&text("117")).unwrap()).unwrap();
    let versions = [text("117"), to_list(&text("117")).unwrap(), newest.clone()];
    for (version, value) in (1..).zip(versions) {
        let payload = full(version, value.clone()).encode().unwrap();
        let read = migrations.read(&payload).unwrap();
        assert_eq!(read.record().schema(), ("telephone", 3));
        assert_eq!(read.record().value(), &newest);
        assert_eq!((read.is_changed(), read.stored_version()), (version != 3, version));
        assert_eq!(read.payload(), &**payload, "what is stored is still there");
        // Nothing but the value and its version differs from what is stored.
        let expected = full(3, newest.clone()).encode().unwrap();
        assert_eq!(**read.record().encode().unwrap(), **expected);
        assert_eq!(read.record().provenance().and_then(Provenance::signed), Some(&b"\xd2signed"[..]));
    }
}

#[test]
fn versions_out_of_reach_are_refused() {
    let migrations = migrations();
    let read = |schema: &str, version| {
        let payload = stored(schema, version, text("1")).encode().unwrap();
        migrations.read(&payload).map(|read| read.is_changed())
    };
    assert_eq!(read("telephone", 4), Err(PayloadError::NewerSchema { version: 4, newest: 3 }));
    assert_eq!(read("telephone", u64::MAX), Err(PayloadError::NewerSchema { version: u64::MAX, newest: 3 }));
    assert_eq!(read("telephone", 0), Err(PayloadError::OlderSchema { version: 0, oldest: 1 }));
    assert_eq!(read("address", 3), Err(PayloadError::OlderSchema { version: 3, oldest: 4 }));
    assert_eq!(read("address", 4), Ok(true));
    assert_eq!(read("note", 1), Ok(false));
    assert_eq!(read("note", 2), Err(PayloadError::NewerSchema { version: 2, newest: 1 }));
    assert_eq!(read("nobody's", 77), Ok(false), "a schema of others is left alone");
    assert_eq!(migrations.read(b"\xa0").err(), Some(PayloadError::Malformed));
}

#[test]
fn a_step_that_fails_is_named_and_nothing_comes_out() {
    let migrations = migrations();
    let read = |schema, version, value| {
        let payload = stored(schema, version, value).encode().unwrap();
        migrations.read(&payload).err()
    };
    let number = ItemBuf::parse(&[1], &Limits::new(9)).unwrap();
    assert_eq!(read("telephone", 1, number), Some(PayloadError::Migration { from: 1 }));
    assert_eq!(read("telephone", 2, text("1")), Some(PayloadError::Migration { from: 2 }));
    assert_eq!(read("bulk", 1, text("1")), Some(PayloadError::Limit));
}

#[test]
fn a_chain_has_one_owner_and_an_end() {
    let mut migrations = migrations();
    assert_eq!(migrations.register("note", 2, &[]).err(), Some(PayloadError::Duplicate));
    assert_eq!(migrations.register("last", u64::MAX, &[to_list]).err(), Some(PayloadError::Limit));
    assert!(migrations.register("last", u64::MAX, &[]).is_ok());
    assert_eq!((migrations.newest("last"), migrations.newest("other")), (Some(u64::MAX), None));
    assert_eq!(format!("{migrations:?}"), "Migrations { schemas: 5, .. }");
    let payload = stored("telephone", 1, text("117")).encode().unwrap();
    assert_eq!(format!("{:?}", migrations.read(&payload).unwrap()), "Migrated { stored_version: 1, version: 3, .. }");
}

proptest! {
    /// The chain is the composition of its steps; to read what was written back changes nothing more.
    #[test]
    fn a_chain_composes_and_is_idempotent(text in ".{0,40}") {
        let migrations = migrations();
        let value = super::tests::text(&text);
        let payload = stored("telephone", 1, value.clone()).encode().unwrap();
        let read = migrations.read(&payload).unwrap();
        let composed = to_list(&value).and_then(|value| to_map(&value));
        prop_assert_eq!(Some(read.record().value()), composed.as_ref());
        let written = read.record().encode().unwrap();
        let again = migrations.read(&written).unwrap();
        prop_assert!(!again.is_changed());
        prop_assert_eq!(&**again.record().encode().unwrap(), &**written);
    }

    /// A client that stopped half-way, and one that knew fewer steps, lead to the same record.
    #[test]
    fn it_does_not_matter_where_a_version_in_between_was_written(text in ".{0,40}") {
        let mut earlier = Migrations::new();
        earlier.register("telephone", 1, &[to_list]).unwrap();
        let payload = stored("telephone", 1, super::tests::text(&text)).encode().unwrap();
        let between = earlier.read(&payload).unwrap().record().encode().unwrap();
        let (direct, stepwise) = (migrations().read(&payload).unwrap().into_record(), migrations().read(&between).unwrap().into_record());
        prop_assert_eq!(&**direct.encode().unwrap(), &**stepwise.encode().unwrap());
    }
}
