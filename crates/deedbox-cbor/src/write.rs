use alloc::vec::Vec;
use core::{fmt, ops::Range};

use crate::{Item, float};

/// Writes deterministic CBOR (RFC 8949 §4.2.1): shortest heads and floats, definite lengths, sorted maps.
///
/// Writing can't fail. Whoever announces an array's or tag's content writes it: [`Writer::array`] takes the number of items
/// that follow.
#[derive(Clone, Default)]
pub struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    /// A writer without content.
    #[must_use]
    pub const fn new() -> Self {
        Self { bytes: Vec::new() }
    }

    /// A writer with room for `capacity` bytes.
    #[must_use]
    pub fn with_capacity(capacity: usize) -> Self {
        Self { bytes: Vec::with_capacity(capacity) }
    }

    /// A writer that goes on behind what `bytes` holds.
    #[must_use]
    pub const fn from_vec(bytes: Vec<u8>) -> Self {
        Self { bytes }
    }

    /// What was written.
    #[must_use]
    pub fn into_vec(self) -> Vec<u8> {
        self.bytes
    }

    /// What was written so far.
    #[must_use]
    pub fn as_slice(&self) -> &[u8] {
        &self.bytes
    }

    /// An unsigned integer.
    pub fn uint(&mut self, value: u64) -> &mut Self {
        self.head(0, value)
    }

    /// An integer of either sign.
    pub fn int(&mut self, value: i64) -> &mut Self {
        match u64::try_from(value) {
            Ok(value) => self.head(0, value),
            // -1 - value, without overflow: the complement.
            Err(_) => self.head(1, (!value).cast_unsigned()),
        }
    }

    /// The negative integer -1 - `argument`, which may be below i64.
    pub fn nint(&mut self, argument: u64) -> &mut Self {
        self.head(1, argument)
    }

    /// A byte string.
    pub fn bytes(&mut self, value: &[u8]) -> &mut Self {
        self.head(2, length(value.len()));
        self.bytes.extend_from_slice(value);
        self
    }

    /// A byte string of `len` bytes that begins with what `content` appends, the rest zeros: for what is encrypted in place.
    /// What is beyond `len` is cut off.
    pub fn bytes_with(&mut self, len: usize, content: impl FnOnce(&mut Vec<u8>)) -> &mut Self {
        self.head(2, length(len));
        let start = self.bytes.len();
        content(&mut self.bytes);
        self.bytes.resize(start.saturating_add(len), 0);
        self
    }

    /// A text string.
    pub fn text(&mut self, value: &str) -> &mut Self {
        self.head(3, length(value.len()));
        self.bytes.extend_from_slice(value.as_bytes());
        self
    }

    /// `true` or `false`.
    pub fn bool(&mut self, value: bool) -> &mut Self {
        self.byte(if value { 0xf5 } else { 0xf4 })
    }

    /// `null`.
    pub fn null(&mut self) -> &mut Self {
        self.byte(0xf6)
    }

    /// `undefined`.
    pub fn undefined(&mut self) -> &mut Self {
        self.byte(0xf7)
    }

    /// A simple value, 0 to 23 or 32 to 255; those between do not exist (RFC 8949 §3.3) and are written as `undefined`.
    pub fn simple(&mut self, value: u8) -> &mut Self {
        match value {
            24..=31 => self.undefined(),
            _ => self.head(7, value.into()),
        }
    }

    /// A float in the shortest form that holds it exactly; every NaN as f97e00.
    pub fn float(&mut self, value: f64) -> &mut Self {
        if value.is_nan() {
            self.bytes.extend_from_slice(&[0xf9, 0x7e, 0x00]);
        } else if let Some(half) = float::to_half(value) {
            self.byte(0xf9).bytes.extend_from_slice(&half.to_be_bytes());
        } else if let Some(single) = float::to_single(value) {
            self.byte(0xfa).bytes.extend_from_slice(&single.to_be_bytes());
        } else {
            self.byte(0xfb).bytes.extend_from_slice(&value.to_be_bytes());
        }
        self
    }

    /// A tag; its content is the next item written.
    pub fn tag(&mut self, number: u64) -> &mut Self {
        self.head(6, number)
    }

    /// An array's head; its elements are the next `len` items written.
    pub fn array(&mut self, len: usize) -> &mut Self {
        self.head(4, length(len))
    }

    /// A copy of an item that was read.
    pub fn item(&mut self, item: Item<'_>) -> &mut Self {
        self.bytes.extend_from_slice(item.bytes());
        self
    }

    /// A map: entries may be given in any order; of two with one key the later stays.
    pub fn map(&mut self, entries: impl FnOnce(&mut MapWriter)) -> &mut Self {
        let start = self.bytes.len();
        // The entries go behind a head of one byte, which is enough for most maps.
        self.bytes.push(0xa0);
        let mut map = MapWriter { writer: core::mem::take(self), len: 0, last: 0..0, is_sorted: true };
        entries(&mut map);
        let MapWriter { writer, mut len, is_sorted, .. } = map;
        *self = writer;
        if !is_sorted {
            len = self.sort(start.saturating_add(1));
        }
        if let Some(head) = u8::try_from(len).ok().filter(|len| *len < 24) {
            if let Some(place) = self.bytes.get_mut(start) {
                *place = 0xa0 | head;
            }
            return self;
        }
        let mut head = Self::with_capacity(9);
        head.head(5, length(len));
        self.bytes.splice(start..=start, head.bytes);
        self
    }

    /// Sorts the entries of a map that begin at `start` and gives how many there are; of two with one key the later stays.
    #[cold]
    fn sort(&mut self, start: usize) -> usize {
        let entries = self.bytes.get(start..).unwrap_or_default();
        let mut found: Vec<(&[u8], &[u8])> = Vec::new();
        let mut rest = entries;
        while let Some((key, value)) = Item::split(rest) {
            let Some((_, after)) = Item::split(value) else { break };
            let (entry, _) = rest.split_at_checked(rest.len().saturating_sub(after.len())).unwrap_or_default();
            found.push((key.bytes(), entry));
            rest = after;
        }
        // Later entries first, so that of two equal keys the later is kept.
        found.reverse();
        found.sort_by_key(|(key, _)| *key);
        found.dedup_by(|(later, _), (kept, _)| later == kept);
        let mut sorted = Vec::with_capacity(entries.len());
        found.iter().for_each(|(_, entry)| sorted.extend_from_slice(entry));
        let len = found.len();
        self.bytes.truncate(start);
        self.bytes.extend_from_slice(&sorted);
        len
    }

    /// The head of a map whose entries are known to come in canonical order, none twice: its keys and values are the next `len`
    /// pairs of items written, by whatever code.
    pub fn sorted_map(&mut self, len: usize) -> &mut Self {
        self.head(5, length(len))
    }

    /// Bytes that are known to be one item.
    #[cfg(feature = "serde")]
    pub(crate) fn append(&mut self, item: &[u8]) {
        self.bytes.extend_from_slice(item);
    }

    fn byte(&mut self, byte: u8) -> &mut Self {
        self.bytes.push(byte);
        self
    }

    fn head(&mut self, major: u8, argument: u64) -> &mut Self {
        let major = major << 5;
        if let Ok(small) = u8::try_from(argument) {
            if small < 24 {
                self.bytes.push(major | small);
            } else {
                self.bytes.extend_from_slice(&[major | 24, small]);
            }
        } else if let Ok(argument) = u16::try_from(argument) {
            self.byte(major | 25).bytes.extend_from_slice(&argument.to_be_bytes());
        } else if let Ok(argument) = u32::try_from(argument) {
            self.byte(major | 26).bytes.extend_from_slice(&argument.to_be_bytes());
        } else {
            self.byte(major | 27).bytes.extend_from_slice(&argument.to_be_bytes());
        }
        self
    }
}

/// Goes on behind these bytes, in their memory.
impl From<Vec<u8>> for Writer {
    fn from(bytes: Vec<u8>) -> Self {
        Self { bytes }
    }
}

/// Prints the length, never content.
impl fmt::Debug for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer").field("len", &self.bytes.len()).finish_non_exhaustive()
    }
}

/// The entries of a map that is being written. Each closure writes exactly one item.
pub struct MapWriter {
    writer: Writer,
    len: usize,
    /// The key before, as a span.
    last: Range<usize>,
    /// Whether the keys ascend so far.
    is_sorted: bool,
}

impl MapWriter {
    /// An entry with an integer key.
    pub fn int(&mut self, key: i64, value: impl FnOnce(&mut Writer)) -> &mut Self {
        self.entry(
            |writer| {
                writer.int(key);
            },
            value,
        )
    }

    /// An entry with a text key.
    pub fn text(&mut self, key: &str, value: impl FnOnce(&mut Writer)) -> &mut Self {
        self.entry(
            |writer| {
                writer.text(key);
            },
            value,
        )
    }

    /// An entry with any key.
    pub fn entry(&mut self, key: impl FnOnce(&mut Writer), value: impl FnOnce(&mut Writer)) -> &mut Self {
        let start = self.writer.bytes.len();
        key(&mut self.writer);
        let key = start..self.writer.bytes.len();
        if self.len > 0 && self.is_sorted {
            let (bytes, last) = (&self.writer.bytes, self.last.clone());
            self.is_sorted = bytes.get(last) < bytes.get(key.clone());
        }
        (self.last, self.len) = (key, self.len.saturating_add(1));
        value(&mut self.writer);
        self
    }
}

impl fmt::Debug for MapWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MapWriter").field("entries", &self.len).finish_non_exhaustive()
    }
}

fn length(len: usize) -> u64 {
    // No target of ours has a usize of more than 64 bits.
    u64::try_from(len).unwrap_or(u64::MAX)
}
