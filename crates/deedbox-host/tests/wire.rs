//! Bodies: what is written is read back, whole, and nothing else is.

#![expect(clippy::indexing_slicing, clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

use deedbox_host::capability::{Capability, Ops, Right, Row, State, Target};
use deedbox_host::proof::Claims;
use deedbox_host::wire::{
    self, CommitBody, ConflictBody, CreateBody, MailBody, Object, ObjectsBody, PageBody, PartBody, PurgeBody,
};
use deedbox_model::{BlobId, CapabilityId, DatasetId, MailboxId, ObjectId, Seq, StoreId, StoreName, Timestamp};
use deedbox_store::{Cursor, HeadHash, Mode};
use proptest::collection::vec;
use proptest::prelude::*;

fn seq() -> impl Strategy<Value = Seq> {
    (1..u64::MAX).prop_map(|n| Seq::new(n).unwrap())
}

type ObjectParts = ([u8; 16], Seq, u8, Vec<u8>);

fn object() -> impl Strategy<Value = ObjectParts> {
    (any::<[u8; 16]>(), seq(), any::<u8>(), vec(any::<u8>(), 0..40))
}

fn borrow((id, seq, kind, body): &ObjectParts) -> Object<'_> {
    Object::new(ObjectId::from_bytes(*id), *seq, *kind, body)
}

fn right() -> impl Strategy<Value = Right> {
    let ops = (1_u8..128).prop_map(|bits| Ops::from_bits(bits).unwrap());
    (0..4, any::<[u8; 16]>(), ops, vec(any::<[u8; 16]>(), 1..5)).prop_map(|(kind, id, ops, objects)| match kind {
        0 => Right::new(Target::Store, ops),
        1 => Right::new(Target::Dataset(DatasetId::from_bytes(id)), ops),
        2 => Right::new(Target::Mailbox(MailboxId::from_bytes(id)), ops),
        _ => {
            let objects = objects.into_iter().map(ObjectId::from_bytes).collect();
            Right::to_objects(DatasetId::from_bytes(id), ops, objects).unwrap()
        }
    })
}

fn capability() -> impl Strategy<Value = Capability> {
    let ids = any::<([u8; 16], [u8; 32], [u8; 16], Option<[u8; 16]>)>();
    (ids, vec(right(), 1..4), any::<(u64, u64)>()).prop_map(|((id, holder, name, meter), rights, (from, until))| {
        let (from, until) = (Timestamp::from_secs(from), Timestamp::from_secs(until));
        let (id, name) = (CapabilityId::from_bytes(id), StoreName::from_bytes(name));
        let mut capability = Capability::new(id, holder, name, rights, from, until);
        capability.meter = meter;
        capability
    })
}

/// Cut anywhere, longer, or with any bit flipped: refused, or another value. Never read as the same.
fn only_itself<T: PartialEq + std::fmt::Debug>(bytes: &[u8], read: impl Fn(&[u8]) -> Option<T>) {
    let whole = read(bytes).unwrap();
    for length in 0..bytes.len() {
        assert_eq!(read(&bytes[..length]), None);
    }
    assert_eq!(read(&[bytes, &[0]].concat()), None);
    for at in 0..bytes.len() * 8 {
        let mut flipped = bytes.to_vec();
        flipped[at / 8] ^= 1 << (at % 8);
        assert_ne!(read(&flipped).as_ref(), Some(&whole), "bit {at}");
    }
}

proptest! {
    #[test]
    fn capabilities_come_back(capability in capability(), state in 0_u64..3, since in any::<u64>()) {
        let row = Row::new(State::from_number(state).unwrap(), Timestamp::from_secs(since), capability.clone());
        prop_assert_eq!(Row::from_bytes(&row.to_bytes()), Some(row));
        prop_assert_eq!(Capability::from_bytes(&capability.to_bytes()), Some(capability));
    }

    #[test]
    fn commits_come_back(
        objects in vec(object(), 0..4),
        (dataset, expect, removed) in any::<([u8; 16], Option<[u8; 32]>, Option<[u8; 16]>)>(),
        at in seq(),
        (head, replace) in any::<(Vec<u8>, bool)>(),
        mail in vec(any::<([u8; 16], [u8; 16], Vec<u8>)>(), 0..3),
        header in any::<Option<(u64, Vec<u8>)>>(),
    ) {
        let mode = if replace { Mode::Replace } else { Mode::Next };
        let mut part = PartBody::new(DatasetId::from_bytes(dataset), expect.map(HeadHash), at, &head, mode);
        part.puts = objects.iter().map(borrow).collect();
        part.removes = removed.into_iter().map(ObjectId::from_bytes).collect();
        let mut commit = CommitBody::new(vec![part]);
        commit.mail = mail.iter().map(|(m, dedupe, body)| (MailboxId::from_bytes(*m), *dedupe, body.as_slice())).collect();
        commit.header = header.as_ref().map(|(expect, body)| (*expect, body.as_slice()));
        let bytes = commit.to_bytes();
        prop_assert_eq!(CommitBody::from_bytes(&bytes, bytes.len()), Some(commit));
        prop_assert_eq!(CommitBody::from_bytes(&bytes, bytes.len() - 1), None);
    }

    #[test]
    fn replies_come_back(
        objects in vec(object(), 0..4),
        head in any::<Vec<u8>>(),
        after in seq(),
        resync in any::<bool>(),
        n in any::<u64>(),
    ) {
        let rows: Vec<_> = objects.iter().map(|object| Some(borrow(object))).chain([None]).collect();
        let body = ObjectsBody::new(&head, rows);
        let bytes = body.to_bytes();
        prop_assert_eq!(ObjectsBody::from_bytes(&bytes), Some(body));
        let next = Some(after).filter(|seq| seq.get() < 1 << 60).map(Cursor::after);
        let page = PageBody::new(vec![&head], objects.iter().map(borrow).collect(), next, resync);
        let bytes = page.to_bytes();
        prop_assert_eq!(PageBody::from_bytes(&bytes), Some(page));
        let items = [MailBody::new(n, [7; 16], Timestamp::from_secs(n), &head)];
        let bytes = MailBody::list_to_bytes(&items);
        prop_assert_eq!(MailBody::list_from_bytes(&bytes), Some(items.to_vec()));
        let list = wire::list_to_bytes([head.as_slice(), &[]].into_iter());
        prop_assert_eq!(wire::list_from_bytes(&list), Some(vec![head.as_slice(), &[]]));
        let bytes = wire::versioned_to_bytes(n, &head);
        prop_assert_eq!(wire::versioned_from_bytes(&bytes), Some((n, head.as_slice())));
    }

    #[test]
    fn anything_else_is_refused_without_a_panic(bytes: Vec<u8>) {
        let _ = (Row::from_bytes(&bytes), Capability::from_bytes(&bytes), Claims::from_bytes(&bytes));
        let _ = (CommitBody::from_bytes(&bytes, 1 << 20), PageBody::from_bytes(&bytes), ObjectsBody::from_bytes(&bytes));
        let _ = (PurgeBody::from_bytes(&bytes, 1 << 20), MailBody::list_from_bytes(&bytes), wire::usage_from_bytes(&bytes));
    }
}

#[test]
fn tampered_bodies_are_not_what_they_were() {
    let rights = vec![
        Right::new(Target::Store, Ops::ALL),
        Right::to_objects(DatasetId::from_bytes([1; 16]), Ops::READ, vec![ObjectId::from_bytes([2; 16])]).unwrap(),
    ];
    let (id, name) = (CapabilityId::from_bytes([3; 16]), StoreName::from_bytes([4; 16]));
    let capability = Capability::new(id, [5; 32], name, rights, Timestamp::from_secs(1), Timestamp::from_secs(2));
    only_itself(&capability.to_bytes(), Capability::from_bytes);
    only_itself(&Row::new(State::Paused, Timestamp::from_secs(9), capability).to_bytes(), Row::from_bytes);
    only_itself(&Claims::new(id, [6; 32], Timestamp::from_secs(7)).to_bytes(), Claims::from_bytes);
    for purge in [
        PurgeBody::Blob(BlobId::from_bytes([1; 16])),
        PurgeBody::Dataset(DatasetId::from_bytes([1; 16])),
        PurgeBody::Mailbox(MailboxId::from_bytes([1; 16])),
        PurgeBody::Objects(DatasetId::from_bytes([1; 16]), vec![ObjectId::from_bytes([2; 16])]),
        PurgeBody::Store,
        PurgeBody::Traces,
    ] {
        only_itself(&purge.to_bytes(), |bytes| PurgeBody::from_bytes(bytes, 1_000));
    }
    for conflict in [
        ConflictBody::Head(DatasetId::from_bytes([1; 16]), Some(b"head")),
        ConflictBody::Head(DatasetId::from_bytes([1; 16]), None),
        ConflictBody::Header(7),
    ] {
        only_itself(&conflict.to_bytes(), |bytes| ConflictBody::from_bytes(bytes).map(|body| format!("{body:?}")));
    }
    let create = CreateBody::new(StoreId::from_bytes([1; 16]), b"header", id, [2; 32]);
    only_itself(&create.to_bytes(), |bytes| CreateBody::from_bytes(bytes, 1_000).map(|body| format!("{body:?}")));
    let usage = wire::usage_to_bytes(&deedbox_store::Usage::default());
    only_itself(&usage, wire::usage_from_bytes);
}
