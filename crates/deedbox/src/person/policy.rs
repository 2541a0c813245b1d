//! Policies in the box: the one in force, and those that decisions in the log were made under, so that they can be made again.
//!
//! Each lies there in pieces, of which a change of one rule makes one or two anew; what policies have in common is there once.

use std::{
    collections::{BTreeMap, BTreeSet},
    mem,
};

use deedbox_audit::{EntryKind, Log, Row};
use deedbox_cbor::{Array, Item, ItemBuf, Limits, Map, Order, Writer, read as read_item};
use deedbox_consent::{Evaluator, Policy};
use deedbox_cose::sha256;
use deedbox_interop::replay::{Replayed, replay};
use deedbox_model::Digest;
use deedbox_record::{Dataset, NameKey, Record};

use super::{Change, Open, POLICY, Person, bytes_item, channel::item, shelf::Shelf};
use crate::{client::HostClient, error::PersonError};

/// Rules ready to decide, and what entries of the log call them by.
#[derive(Clone)]
pub(super) struct Rules {
    pub(super) evaluator: Evaluator,
    /// The SHA-256 of the policy.
    pub(super) digest: Digest,
}

impl Rules {
    pub(super) fn of(evaluator: Evaluator) -> Self {
        let digest = digest(&evaluator.policy().to_bytes());
        Self { evaluator, digest }
    }

    /// The rules in force.
    pub(super) fn read(dataset: &Dataset, shelf: &Shelf) -> Result<Self, PersonError> {
        let (digest, policy) = read(dataset, shelf, IN_FORCE)?.ok_or(PersonError::Damaged)?;
        Ok(Self { evaluator: policy.compile()?, digest })
    }
}

impl<H: HostClient> Person<Open<H>> {
    /// Makes every decision in the log again, by the policy it was made under, and gives the number of each entry and what came of
    /// it. The box keeps each policy for as long as the log has a decision that was made under it.
    ///
    /// Anything but [`Replayed::Same`] is to be shown to the person: the log does not say what was decided. `NoPolicy` has an
    /// explanation where a host came back with an older state and the person accepted that.
    ///
    /// # Errors
    /// [`PersonError::Damaged`] when a policy is not what the log calls it by; [`PersonError::Open`].
    pub fn replay(&self) -> Result<Vec<(u64, Replayed)>, PersonError> {
        let open = &self.state;
        // One at a time: all that a person ever had are too many for memory, and decisions under one mostly follow each other.
        let (mut last, mut failed) = (None, None);
        let replayed = replay(open.log.rows(), |wanted| {
            if last.as_ref().is_none_or(|(digest, _)| digest != wanted) {
                last = open.policy_of(wanted).unwrap_or_else(|error| {
                    failed.get_or_insert(error);
                    None
                });
            }
            last.as_ref().map(|(_, policy): &(Digest, Policy)| policy.clone())
        });
        failed.map_or(Ok(replayed), Err)
    }
}

impl<H: HostClient> Open<H> {
    /// A policy that is kept, with its digest.
    fn policy_of(&self, wanted: &Digest) -> Result<Option<(Digest, Policy)>, PersonError> {
        if *wanted == self.rules.digest {
            return Ok(Some((*wanted, self.rules.evaluator.policy().clone())));
        }
        let dataset = self.dataset(POLICY)?;
        let shelf = self.shelves.get(dataset.id()).ok_or(PersonError::Damaged)?;
        let Some((digest, policy)) = read(dataset, shelf, &kept_name(wanted))? else { return Ok(None) };
        if digest == *wanted { Ok(Some((digest, policy))) } else { Err(PersonError::Damaged) }
    }

    /// Adds to a change the records of its rules: pieces that are not there yet, and where decisions were made by the rules in
    /// force until now, the list of theirs. Lists and pieces that nothing needs any more go.
    pub(super) fn write_rules(&self, change: &mut Change) -> Result<(), PersonError> {
        let Some(rules) = &change.rules else { return Ok(()) };
        let dataset = self.dataset(POLICY)?;
        let (id, key) = (*dataset.id(), dataset.name_key());
        // There is none while the box is made.
        let shelf = self.shelves.get(&id);
        let there = |name: &str| shelf.and_then(|shelf| shelf.record(dataset, name).ok().flatten());
        let pieces = cut(&rules.evaluator.policy().to_bytes(), key).ok_or(PersonError::Damaged)?;
        let pieces: Vec<(Digest, Vec<u8>)> = pieces.into_iter().map(|piece| (digest(&piece), piece)).collect();
        let list = write_list(pieces.iter().map(|(digest, _)| digest))?;
        // What is to be there; with a record where it is to be written.
        let mut needed = BTreeMap::new();
        needed.insert(key.object_id(IN_FORCE), Some(Record::new(POLICY, 1, IN_FORCE, list)?));
        for (digest, piece) in &pieces {
            let (name, value) = (piece_name(digest), bytes_item(piece)?);
            let is_there = there(&name).is_some_and(|record| *record.value() == value);
            let record = Record::new(POLICY, 1, &name, value)?;
            needed.insert(key.object_id(&name), (!is_there).then_some(record));
        }
        for decided in decided_under(&change.log).into_iter().filter(|decided| *decided != rules.digest) {
            let (name, is_left) = (kept_name(&decided), decided == self.rules.digest);
            let Some(record) = there(if is_left { IN_FORCE } else { &name }) else { continue };
            // One that is damaged keeps nobody from changing their rules: it names no piece.
            for piece in read_list(record.value().as_item()).unwrap_or_default() {
                needed.entry(key.object_id(&piece_name(&piece))).or_insert(None);
            }
            let list = Record::new(POLICY, 1, &name, record.value().clone())?;
            needed.insert(key.object_id(&name), is_left.then_some(list));
        }
        let sealed = shelf.into_iter().flat_map(Shelf::sealed).map(|(entry, _)| *entry.object());
        for object in sealed.filter(|object| !needed.contains_key(object)) {
            let opened = shelf.and_then(|shelf| shelf.open(&object, dataset.keys()).ok().flatten());
            let record = opened.and_then(|opened| Record::decode(opened.payload()).ok());
            if record.is_some_and(|record| record.name().starts_with(PIECE) || record.name().starts_with(KEPT)) {
                change.purges.push((id, object));
            }
        }
        change.records.extend(needed.into_iter().filter_map(|(object, record)| Some((id, object, record?))));
        Ok(())
    }
}

/// The policies that decisions in the log were made under.
fn decided_under(log: &Log) -> BTreeSet<Digest> {
    let decided = log.rows().iter().filter_map(|row| match row {
        Row::Kept(kept) => Some(kept.entry()).filter(|entry| entry.kind == EntryKind::Decision),
        Row::Erased(_) => None,
    });
    decided.map(|entry| entry.policy).collect()
}

/// Reads the policy whose pieces the record `name` lists; nothing where there is no such record.
fn read(dataset: &Dataset, shelf: &Shelf, name: &str) -> Result<Option<(Digest, Policy)>, PersonError> {
    let Some(list) = shelf.record(dataset, name)? else { return Ok(None) };
    let mut policy = Vec::new();
    for wanted in read_list(list.value().as_item()).ok_or(PersonError::Damaged)? {
        let piece = shelf.record(dataset, &piece_name(&wanted))?.ok_or(PersonError::Damaged)?;
        let piece = piece.value().as_item().as_bytes().filter(|piece| digest(piece) == wanted);
        policy.extend_from_slice(piece.ok_or(PersonError::Damaged)?);
        // A list can name a piece more than once.
        if policy.len() > Policy::MAX_LEN {
            return Err(PersonError::Damaged);
        }
    }
    let digest = digest(&policy);
    Ok(Some((digest, Policy::from_bytes(&policy).map_err(|_| PersonError::Damaged)?)))
}

/// ```cddl
/// pieces = [+ sha256: b32]
/// ```
fn write_list<'a>(pieces: impl ExactSizeIterator<Item = &'a Digest>) -> Result<ItemBuf, PersonError> {
    let mut writer = Writer::new();
    writer.array(pieces.len());
    pieces.for_each(|piece| piece.encode(&mut writer));
    item(writer.as_slice())
}

fn read_list(list: Item<'_>) -> Option<Vec<Digest>> {
    list.as_array()?.iter().map(Digest::decode).collect()
}

fn piece_name(piece: &Digest) -> String {
    format!("{PIECE}{piece}")
}

fn kept_name(policy: &Digest) -> String {
    format!("{KEPT}{policy}")
}

fn digest(bytes: &[u8]) -> Digest {
    Digest::from_bytes(sha256(bytes))
}

/// Cuts a policy's bytes into pieces, between its elements: words of the vocabulary and rules. Nothing for what is no policy.
///
/// Where there is a cut behind an element, its bytes and the key alone say: so whatever comes before it, what comes after it is
/// cut as it was. Lengths say nothing to who has no key, not even to somebody who made some of the rules.
fn cut(policy: &[u8], key: &NameKey) -> Option<Vec<Vec<u8>>> {
    let parts = read_item(policy, Order::Canonical, &Limits::new(Policy::MAX_LEN)).ok()?.as_array()?;
    let [format, vocabulary, rules @ ..] = parts.exactly::<6>()?;
    let vocabulary = vocabulary.as_map()?;
    let mut cutter = Cutter { key, pieces: Vec::new(), piece: Writer::new(), element: 0 };
    cutter.piece.array(6).item(format).sorted_map(vocabulary.len());
    for (number, words) in vocabulary.iter() {
        cutter.piece.item(number);
        cutter.head(words);
        cutter.elements(words);
    }
    for list in rules {
        // How many rules there are changes with each one, so it lies apart.
        cutter.end_piece();
        cutter.head(list);
        cutter.end_piece();
        cutter.elements(list);
    }
    cutter.end_piece();
    Some(cutter.pieces)
}

struct Cutter<'a> {
    key: &'a NameKey,
    pieces: Vec<Vec<u8>>,
    /// The piece that is being written.
    piece: Writer,
    /// Where in it the element begins that is being written.
    element: usize,
}

impl Cutter<'_> {
    /// What stands before the elements of a list; all of what is none.
    fn head(&mut self, list: Item<'_>) {
        match (list.as_array(), list.as_map()) {
            (Some(array), _) => self.piece.array(array.len()),
            (_, Some(map)) => self.piece.sorted_map(map.len()),
            (None, None) => self.piece.item(list),
        };
    }

    fn elements(&mut self, list: Item<'_>) {
        for element in list.as_array().into_iter().flat_map(Array::iter) {
            self.piece.item(element);
            self.end_element();
        }
        for (name, element) in list.as_map().into_iter().flat_map(Map::iter) {
            self.piece.item(name).item(element);
            self.end_element();
        }
    }

    /// Ends the piece behind one element of so many that pieces have 8 KiB on average, however long elements are.
    fn end_element(&mut self) {
        let bytes = self.piece.as_slice();
        let element = bytes.get(self.element..).unwrap_or_default();
        let [high, low, ..] = *self.key.object_id(&format!("cut/{}", digest(element))).as_bytes();
        let (drawn, len) = (u16::from_be_bytes([high, low]) & 0x1fff, element.len());
        self.element = bytes.len();
        if usize::from(drawn) < len {
            self.end_piece();
        }
    }

    fn end_piece(&mut self) {
        // An element alone may be longer than a record: a cluster of thousands of parties.
        self.pieces.extend(mem::take(&mut self.piece).into_vec().chunks(MAX_PIECE).map(<[u8]>::to_vec));
        self.element = 0;
    }
}

/// The record of the policy in force, and the beginning of the names of others.
const IN_FORCE: &str = "policy";
const KEPT: &str = "policy/";
const PIECE: &str = "piece/";
/// No piece is longer, which by chance one of millions would be.
const MAX_PIECE: usize = 128 << 10;

#[cfg(all(test, feature = "host", feature = "provider"))]
mod tests;
