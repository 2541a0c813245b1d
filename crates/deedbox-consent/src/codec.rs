//! What the codecs of several types share. Every decoder here refuses what the encoder would not have written.
use alloc::collections::BTreeSet;

use deedbox_cbor::{Item, Limits, Order, Writer};
use deedbox_model::{Name, Timestamp};

use crate::{Actions, Any, Bounds, Obligations, Selector};

/// Reads one item in canonical order of at most `max_len` bytes.
pub(crate) fn read(bytes: &[u8], max_len: usize) -> Option<Item<'_>> {
    deedbox_cbor::read(bytes, Order::Canonical, &Limits::new(max_len)).ok()
}

pub(crate) fn to_vec(encode: impl FnOnce(&mut Writer)) -> alloc::vec::Vec<u8> {
    let mut writer = Writer::new();
    encode(&mut writer);
    writer.into_vec()
}

/// `[* name]`, sorted, each once.
pub(crate) fn write_names(writer: &mut Writer, names: &BTreeSet<Name>) {
    writer.array(names.len());
    for name in names {
        name.encode(writer);
    }
}

pub(crate) fn read_names(item: Item<'_>) -> Option<BTreeSet<Name>> {
    let mut names = BTreeSet::new();
    for item in item.as_array()?.iter() {
        let name = Name::decode(item)?;
        if names.last().is_some_and(|last| *last >= name) {
            return None;
        }
        names.insert(name);
    }
    Some(names)
}

/// A list that is absent when it is empty.
pub(crate) fn read_some_names(item: Option<Item<'_>>) -> Option<BTreeSet<Name>> {
    match item {
        None => Some(BTreeSet::new()),
        Some(item) => read_names(item).filter(|names| !names.is_empty()),
    }
}

pub(crate) fn write_opt<T>(writer: &mut Writer, value: Option<T>, write: impl FnOnce(&mut Writer, T)) {
    match value {
        Some(value) => write(writer, value),
        None => {
            writer.null();
        }
    }
}

/// `item` or null.
pub(crate) fn read_opt<'a, T>(item: Item<'a>, read: impl FnOnce(Item<'a>) -> Option<T>) -> Option<Option<T>> {
    if item.is_null() { Some(None) } else { read(item).map(Some) }
}

/// What is absent by default: the outer `None` is a refusal.
pub(crate) fn read_absent<'a, T>(
    item: Option<Item<'a>>,
    read: impl FnOnce(Item<'a>) -> Option<T>,
) -> Option<Option<T>> {
    match item {
        Some(item) => read(item).map(Some),
        None => Some(None),
    }
}

pub(crate) fn read_actions(item: Item<'_>) -> Option<Actions> {
    item.as_u32().map(Actions::from_bits)
}

pub(crate) fn read_obligations(item: Item<'_>) -> Option<Obligations> {
    item.as_u32().map(Obligations::from_bits).filter(|obligations| !obligations.is_empty())
}

pub(crate) fn write_any<T>(writer: &mut Writer, value: &Any<T>, write: impl FnOnce(&mut Writer, &T)) {
    match value {
        Any::Any => {
            writer.null();
        }
        Any::Only(value) => write(writer, value),
    }
}

pub(crate) fn read_any<'a, T>(item: Item<'a>, read: impl FnOnce(Item<'a>) -> Option<T>) -> Option<Any<T>> {
    if item.is_null() { Some(Any::Any) } else { read(item).map(Any::Only) }
}

/// `[from / null, until / null]`.
pub(crate) fn write_bounds(writer: &mut Writer, bounds: &Bounds) {
    writer.array(2);
    for bound in [bounds.from, bounds.until] {
        write_opt(writer, bound, |writer, bound| bound.encode(writer));
    }
}

/// Bounds that are absent when both are open.
pub(crate) fn read_bounds(item: Option<Item<'_>>) -> Option<Bounds> {
    let Some(item) = item else { return Some(Bounds::OPEN) };
    let [from, until] = item.as_array()?.exactly()?;
    let bounds = Bounds { from: read_opt(from, Timestamp::decode)?, until: read_opt(until, Timestamp::decode)? };
    (bounds != Bounds::OPEN).then_some(bounds)
}

/// `[[* include], [* exclude]]`.
pub(crate) fn write_selector(writer: &mut Writer, selector: &Selector) {
    writer.array(2);
    write_names(writer, &selector.include);
    write_names(writer, &selector.exclude);
}

pub(crate) fn read_selector(item: Item<'_>) -> Option<Selector> {
    let [include, exclude] = item.as_array()?.exactly()?;
    Some(Selector { include: read_names(include)?, exclude: read_names(exclude)? })
}
