//! One dataset as the agent holds it: its verified state and the sealed objects under it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use deedbox_host::wire;
use deedbox_model::{DatasetId, FieldPath, Name, ObjectId, Seq, StoreName, Timestamp};
use deedbox_record::{
    ChangedObject, Dataset, Draft, Entry, EpochKeys, Freshness, Granularity, Head, HeadError, Kind, MergeError,
    Migrations, Opened, Pending, Pin, Record, Replica, SignedPart,
};
use deedbox_store::{HeadHash, Mode};

use super::PART;
use crate::{
    client::{Download, HostClient, Owner, commit_part},
    error::PersonError,
};

/// A dataset of which the host has an older or another state than the pinned one, or none that its head stands for.
pub(super) struct Older {
    pub(super) dataset: DatasetId,
    pub(super) pinned: Option<Seq>,
    pub(super) held: Seq,
    pub(super) found: Found,
}

/// What the host has of a dataset.
pub(super) enum Found {
    /// A state that was signed at that time.
    State(Timestamp),
    /// Objects under a head that is not theirs; so many of them open for nobody.
    Damaged(usize),
}

pub(super) struct Shelf {
    pub(super) replica: Replica,
    /// Ciphertext; opened when it is asked for.
    objects: BTreeMap<ObjectId, Vec<u8>>,
    /// The newest head's bytes, for an export.
    head: Vec<u8>,
    /// How records of older versions are read.
    pub(super) migrations: Arc<Migrations>,
}

/// Whether it is a record of a field: with a path for its name, and of a group that rules can name.
fn is_field(opened: &Opened) -> bool {
    Record::decode(opened.payload())
        .is_ok_and(|record| FieldPath::parse(record.name()).is_ok() && Name::escape(record.schema().0).is_ok())
}

impl Shelf {
    /// A dataset that is made now.
    pub(super) fn create(store: StoreName, dataset: DatasetId) -> Self {
        let replica = Replica::create(store, dataset);
        Self { replica, objects: BTreeMap::new(), head: Vec::new(), migrations: Arc::default() }
    }

    /// Fetches a dataset, with the heads since the pin so that the chain shows.
    pub(super) async fn fetch<H: HostClient>(
        owner: &Owner<H>,
        dataset: DatasetId,
        pin: Option<Pin>,
        now: Timestamp,
    ) -> Result<Download, PersonError> {
        let mut download = owner.download(dataset, now).await?;
        if let Some(pin) = pin {
            // None since means that the newest is the pinned one.
            let since = owner.heads(dataset, pin.seq().get(), now).await?;
            if !since.is_empty() {
                download.heads = since;
            }
        }
        Ok(download)
    }

    /// Verifies what was fetched against its signed head, and that against the pin. With `older` an older or another state than
    /// the pinned one is taken too, and of the person's fields what lies under a wrong head, and noted there: for the person to
    /// accept.
    pub(super) fn verified(
        store: StoreName,
        dataset: DatasetId,
        is_field: bool,
        pin: Option<Pin>,
        keys: &EpochKeys,
        download: Download,
        older: Option<&mut Vec<Older>>,
    ) -> Result<Self, PersonError> {
        let mut replica = match pin {
            Some(pin) => Replica::pinned(store, dataset, pin),
            None => Replica::new(store, dataset),
        };
        let heads: Vec<&[u8]> = download.heads.iter().map(Vec::as_slice).collect();
        let rows: Vec<ChangedObject<'_>> = download
            .rows
            .iter()
            .map(|row| ChangedObject::Put { object: row.object, seq: row.seq, kind: row.kind, bytes: &row.body })
            .collect();
        let newest = heads.last().copied().unwrap_or_default();
        let pinned = pin.map(|pin| pin.seq());
        let mut salvaged = None;
        match (replica.resync(&heads, &rows, keys), older) {
            (Err(error), Some(older)) => {
                // Between the pin and the newest one there may be heads that are none.
                let is_older = matches!(error, HeadError::Rollback { .. } | HeadError::Fork { .. });
                let heads = if is_older { heads.as_slice() } else { &[newest] };
                match (replica.accept_rollback(heads, &rows, keys), replica.head().map(Head::time)) {
                    (Ok(evidence), Some(time)) => {
                        let (held, found) = (evidence.after().seq(), Found::State(time));
                        older.push(Older { dataset, pinned, held, found });
                    }
                    (Err(_), _) if is_field => {
                        let held = replica.salvage(newest, &rows)?;
                        salvaged = Some((older, held));
                    }
                    (Err(error), _) => return Err(error.into()),
                    (Ok(_), None) => return Err(PersonError::Damaged),
                }
            }
            (applied, _) => {
                if applied?.freshness() == Freshness::Unknown {
                    // No pin, or one that is older than the host keeps heads: whoever called accepts that.
                    replica.accept_unknown();
                }
            }
        }
        let head = newest.to_vec();
        let objects = download.rows.into_iter().map(|row| (row.object, row.body)).collect();
        let shelf = Self { replica, objects, head, migrations: Arc::default() };
        if let Some((older, held)) = salvaged {
            let found = Found::Damaged(shelf.unopened(keys).len());
            older.push(Older { dataset, pinned, held, found });
        }
        Ok(shelf)
    }

    pub(super) fn head(&self) -> &[u8] {
        &self.head
    }

    /// The sealed objects with their places, by id.
    pub(super) fn sealed(&self) -> impl Iterator<Item = (&Entry, &[u8])> {
        self.replica.entries().iter().filter_map(|entry| Some((entry, self.objects.get(entry.object())?.as_slice())))
    }

    /// All of it, to take the place of the head of that hash at a host.
    pub(super) fn replacement(&self, expect: Option<HeadHash>) -> Result<wire::PartBody<'_>, PersonError> {
        let seq = self.replica.head().ok_or(PersonError::Damaged)?.seq();
        let mut part = wire::PartBody::new(*self.replica.dataset(), expect, seq, &self.head, Mode::Replace);
        let object = |(entry, bytes): (&Entry, _)| wire::Object::new(*entry.object(), entry.seq(), entry.kind(), bytes);
        part.puts.extend(self.sealed().map(object));
        Ok(part)
    }

    /// A signed part as [`Shelf::replacement`]: with what it leaves as it is.
    pub(super) fn replaced<'a>(&'a self, part: &'a SignedPart) -> wire::PartBody<'a> {
        let mut body = commit_part(part);
        (body.mode, body.removes) = (Mode::Replace, Vec::new());
        let written: BTreeSet<&ObjectId> = part.puts().iter().map(|put| put.entry().object()).collect();
        let stays = |entry: &Entry| !written.contains(entry.object()) && !part.removes().contains(entry.object());
        for (entry, bytes) in self.sealed().filter(|(entry, _)| stays(entry)) {
            body.puts.push(wire::Object::new(*entry.object(), entry.seq(), entry.kind(), bytes));
        }
        body
    }

    /// Bytes of ciphertext.
    pub(super) fn len(&self) -> usize {
        self.objects.values().map(Vec::len).sum()
    }

    /// The ciphertext of an object.
    pub(super) fn bytes(&self, object: &ObjectId) -> Option<&[u8]> {
        self.objects.get(object).map(Vec::as_slice)
    }

    /// Changes that other devices overtook, upon the present state.
    pub(super) fn rebase(&self, pending: Pending, keys: &EpochKeys) -> Result<Draft<'_>, PersonError> {
        let present = |entry: &Entry| match self.replica.entry(entry.object()) {
            Some(now) if now == entry => self.bytes(entry.object()),
            _ => None,
        };
        match self.replica.rebase(pending, keys, present) {
            Ok((draft, _)) => Ok(draft),
            Err(MergeError::Open(error)) => Err(error.into()),
            Err(_) => Err(PersonError::Damaged),
        }
    }

    pub(super) fn open(&self, object: &ObjectId, keys: &EpochKeys) -> Result<Option<Opened>, PersonError> {
        match self.objects.get(object) {
            Some(bytes) => Ok(Some(self.replica.open(object, bytes, keys)?)),
            None => Ok(None),
        }
    }

    /// The record of a name, in the newest version of its schema.
    pub(super) fn record(&self, dataset: &Dataset, name: &str) -> Result<Option<Record>, PersonError> {
        let Some(opened) = self.open(&dataset.name_key().object_id(name), dataset.keys())? else { return Ok(None) };
        Ok(Some(self.migrations.read(opened.payload())?.into_record()))
    }

    /// The byte string that begins with `first`, in the record of a name, and goes on in those behind it while parts are full; at
    /// most as long as any that is written.
    pub(super) fn with_rest(&self, dataset: &Dataset, name: &str, first: &[u8]) -> Result<Vec<u8>, PersonError> {
        let (mut bytes, mut number) = (first.to_vec(), 1_u64);
        while bytes.len().is_multiple_of(PART) && (PART..MAX_LEN).contains(&bytes.len()) {
            let Some(part) = self.record(dataset, &format!("{name}/{number}"))? else { break };
            let part = part.value().as_item().as_bytes().filter(|part| (1..=PART).contains(&part.len()));
            bytes.extend_from_slice(part.ok_or(PersonError::Damaged)?);
            number = number.saturating_add(1);
        }
        Ok(bytes)
    }

    /// All records, opened, in the newest versions of their schemas; tombstones are passed over.
    pub(super) fn records(&self, dataset: &Dataset) -> Result<Vec<Record>, PersonError> {
        Ok(self.placed(dataset)?.into_iter().map(|(_, record)| record).collect())
    }

    /// The same, each with its place: of two that devices wrote under one name at once, only one has the place of the name.
    /// What is no field is passed over among the person's fields: whoever was let in to write may have put anything there.
    pub(super) fn placed(&self, dataset: &Dataset) -> Result<Vec<(ObjectId, Record)>, PersonError> {
        let mut records = Vec::new();
        for entry in self.replica.entries().iter().filter(|entry| entry.kind() == Kind::Record.number()) {
            let opened =
                self.open(entry.object(), dataset.keys()).and_then(|opened| opened.ok_or(PersonError::Damaged));
            if dataset.granularity() == Granularity::Field && !opened.as_ref().is_ok_and(is_field) {
                continue;
            }
            records.push((*entry.object(), self.migrations.read(opened?.payload())?.into_record()));
        }
        Ok(records)
    }

    /// What stands among the person's fields and is none.
    pub(super) fn unreadable(&self, keys: &EpochKeys) -> Vec<ObjectId> {
        let is_sound = |entry: &Entry| match Kind::from_number(entry.kind()) {
            Some(Kind::Record) => {
                self.open(entry.object(), keys).ok().flatten().is_some_and(|opened| is_field(&opened))
            }
            Some(Kind::Tombstone) => self.open(entry.object(), keys).is_ok(),
            _ => false,
        };
        self.replica.entries().iter().filter(|entry| !is_sound(entry)).map(|entry| *entry.object()).collect()
    }

    /// What opens by none of these keys.
    pub(super) fn unopened(&self, keys: &EpochKeys) -> Vec<ObjectId> {
        let entries = self.replica.entries().iter().map(Entry::object);
        entries.filter(|object| self.open(object, keys).is_err()).copied().collect()
    }

    /// Takes over what the host committed.
    pub(super) fn committed(&mut self, part: SignedPart) -> Result<(), PersonError> {
        self.head = part.head_bytes().to_vec();
        for put in part.puts() {
            self.objects.insert(*put.entry().object(), put.bytes().to_vec());
        }
        for removed in part.removes() {
            self.objects.remove(removed);
        }
        let _ = self.replica.committed(part)?;
        Ok(())
    }
}

/// Longer than anything in several records: 1 MiB, and what is signed or salted around it.
const MAX_LEN: usize = 2 << 20;

#[cfg(all(test, feature = "host"))]
mod tests {
    use std::sync::Arc;

    use pollster::block_on;

    use crate::{
        LocalHost,
        host::{Admission, Config, Host, MemoryStorage, system_clock},
        person::Person,
    };

    /// A grant's holder can sign a state with anything in it. Here one object is what nobody's key opens.
    #[test]
    fn what_opens_for_nobody_holds_up_nothing() {
        block_on(async {
            let mut config = Config::default();
            config.admission = Admission::Open;
            let host = Arc::new(Host::new(MemoryStorage::new(), system_clock, config));
            let (mut person, _) = Person::create(LocalHost::new(host, "https://host.example"), "phrase").await.unwrap();
            person.import(br#"{"me": {"name": "Maren", "phone": "117", "town": "Leeds"}}"#, "myself").await.unwrap();
            let dataset = person.state.dataset("me").unwrap();
            let (id, object) = (*dataset.id(), dataset.name_key().object_id("me.phone"));
            *person.state.shelves.get_mut(&id).unwrap().objects.get_mut(&object).unwrap().last_mut().unwrap() ^= 1;

            let said = |person: &Person<_>| person.values().unwrap().len();
            assert_eq!((said(&person), person.unreadable()), (2, vec![("me", object)]));
            let at = |text| deedbox_model::FieldPath::parse(text).unwrap();
            assert_eq!(person.value(&at("me.phone")).unwrap_err().code(), "Open.Rejected");
            // Keys change although nobody can seal it anew; it goes.
            person.erase(&[at("me.town")]).await.unwrap();
            assert_eq!((said(&person), person.unreadable()), (1, vec![]));
            assert_eq!(person.value(&at("me.phone")).unwrap_err().code(), "NotFound");
            person.import(br#"{"me": {"phone": "118"}}"#, "myself").await.unwrap();
            let person = person.refresh().await.unwrap();
            assert_eq!(said(&person), 2);
        });
    }
}
