use alloc::{boxed::Box, vec::Vec};
use core::fmt;

use crate::{
    CborError, Cursor, Limits, Order, float,
    head::{Head, trusted},
};

/// One item, already checked: a span of the bytes it came from. Copying it copies a reference.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Item<'a> {
    // INVARIANT (trusted): exactly one strict item; made only by the reader and by walking checked items.
    bytes: &'a [u8],
}

/// What an item is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::exhaustive_enums, reason = "RFC 8949 has no other kinds")]
pub enum Kind {
    /// Major type 4.
    Array,
    /// `true` or `false`.
    Bool,
    /// Major type 2.
    Bytes,
    /// A half, single or double float.
    Float,
    /// Major type 5.
    Map,
    /// Major type 1.
    Nint,
    /// `null`.
    Null,
    /// A simple value other than the four with names.
    Simple,
    /// Major type 6.
    Tag,
    /// Major type 3.
    Text,
    /// Major type 0.
    Uint,
    /// `undefined`.
    Undefined,
}

impl<'a> Item<'a> {
    pub(crate) const fn trusted(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    /// The first item of checked bytes, and the rest.
    #[inline]
    pub(crate) fn split(bytes: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let (head, after) = trusted(bytes)?;
        let len = match head.major {
            0 | 1 | 7 => head.len,
            2 | 3 => head.len.checked_add(usize::try_from(head.argument).ok()?)?,
            _ => bytes.len() - Self::skip(head, after)?.len(),
        };
        let (item, rest) = bytes.split_at_checked(len)?;
        Some((Self { bytes: item }, rest))
    }

    /// What follows the content of a container, whose checked content begins at `rest`.
    fn skip(container: Head, mut rest: &'a [u8]) -> Option<&'a [u8]> {
        let inside = |head: Head| match head.major {
            4 => Some(head.argument),
            5 => head.argument.checked_mul(2),
            _ => Some(1),
        };
        let mut pending = inside(container)?;
        while pending > 0 {
            let (head, after) = trusted(rest)?;
            rest = after;
            pending -= 1;
            match head.major {
                0 | 1 | 7 => {}
                2 | 3 => rest = rest.get(usize::try_from(head.argument).ok()?..)?,
                _ => pending = pending.checked_add(inside(head)?)?,
            }
        }
        Some(rest)
    }

    /// The bytes of the item as they were received.
    #[must_use]
    #[inline]
    pub const fn bytes(self) -> &'a [u8] {
        self.bytes
    }

    /// Reads it front to back.
    #[must_use]
    #[inline]
    pub const fn cursor(self) -> Cursor<'a> {
        Cursor::trusted(self.bytes)
    }

    /// What it is.
    #[must_use]
    #[inline]
    pub fn kind(self) -> Kind {
        let first = self.bytes.first().copied().unwrap_or(0xf7);
        match first >> 5 {
            0 => Kind::Uint,
            1 => Kind::Nint,
            2 => Kind::Bytes,
            3 => Kind::Text,
            4 => Kind::Array,
            5 => Kind::Map,
            6 => Kind::Tag,
            _ => match first & 0x1f {
                20 | 21 => Kind::Bool,
                22 => Kind::Null,
                23 => Kind::Undefined,
                25..=27 => Kind::Float,
                _ => Kind::Simple,
            },
        }
    }

    #[inline]
    fn head(self, major: u8) -> Option<(Head, &'a [u8])> {
        trusted(self.bytes).filter(|(head, _)| head.major == major)
    }

    /// An unsigned integer.
    #[must_use]
    #[inline]
    pub fn as_u64(self) -> Option<u64> {
        Some(self.head(0)?.0.argument)
    }

    /// An unsigned integer of 32 bits.
    #[must_use]
    #[inline]
    pub fn as_u32(self) -> Option<u32> {
        self.as_u64()?.try_into().ok()
    }

    /// An unsigned integer of 8 bits.
    #[must_use]
    #[inline]
    pub fn as_u8(self) -> Option<u8> {
        self.as_u64()?.try_into().ok()
    }

    /// An integer of either sign, within i64.
    #[must_use]
    #[inline]
    pub fn as_i64(self) -> Option<i64> {
        trusted(self.bytes)?.0.as_i64()
    }

    /// The n of a negative integer -1 - n, which may be below i64.
    #[must_use]
    #[inline]
    pub fn as_nint(self) -> Option<u64> {
        Some(self.head(1)?.0.argument)
    }

    /// A byte string.
    #[must_use]
    #[inline]
    pub fn as_bytes(self) -> Option<&'a [u8]> {
        Some(self.head(2)?.1)
    }

    /// A byte string of exactly `N` bytes.
    #[must_use]
    #[inline]
    pub fn as_byte_array<const N: usize>(self) -> Option<[u8; N]> {
        self.as_bytes()?.try_into().ok()
    }

    /// A text string.
    #[must_use]
    #[inline]
    pub fn as_str(self) -> Option<&'a str> {
        core::str::from_utf8(self.head(3)?.1).ok()
    }

    /// `true` or `false`.
    #[must_use]
    #[inline]
    pub fn as_bool(self) -> Option<bool> {
        match self.bytes {
            [0xf4] => Some(false),
            [0xf5] => Some(true),
            _ => None,
        }
    }

    /// Whether it is `null`.
    #[must_use]
    #[inline]
    pub fn is_null(self) -> bool {
        self.bytes == [0xf6]
    }

    /// Whether it is `undefined`.
    #[must_use]
    #[inline]
    pub fn is_undefined(self) -> bool {
        self.bytes == [0xf7]
    }

    /// A float; an integer is none.
    #[must_use]
    #[inline]
    pub fn as_f64(self) -> Option<f64> {
        let (head, _) = self.head(7)?;
        match head.info {
            25 => Some(float::from_half(u16::try_from(head.argument).ok()?)),
            26 => Some(f64::from(f32::from_bits(u32::try_from(head.argument).ok()?))),
            27 => Some(f64::from_bits(head.argument)),
            _ => None,
        }
    }

    /// A simple value other than `false`, `true`, `null` and `undefined`.
    #[must_use]
    #[inline]
    pub fn as_simple(self) -> Option<u8> {
        if self.kind() != Kind::Simple {
            return None;
        }
        u8::try_from(self.head(7)?.0.argument).ok()
    }

    /// An array.
    #[must_use]
    #[inline]
    pub fn as_array(self) -> Option<Array<'a>> {
        let (head, content) = self.head(4)?;
        Some(Array { len: usize::try_from(head.argument).ok()?, content })
    }

    /// A map.
    #[must_use]
    #[inline]
    pub fn as_map(self) -> Option<Map<'a>> {
        let (head, content) = self.head(5)?;
        Some(Map { len: usize::try_from(head.argument).ok()?, content })
    }

    /// A tag's number and its content.
    #[must_use]
    #[inline]
    pub fn as_tag(self) -> Option<(u64, Item<'a>)> {
        let (head, content) = self.head(6)?;
        Some((head.argument, Item { bytes: content }))
    }
}

/// Prints kind and length, never content.
impl fmt::Debug for Item<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Item").field("kind", &self.kind()).field("len", &self.bytes.len()).finish_non_exhaustive()
    }
}

/// A checked array.
#[derive(Clone, Copy)]
pub struct Array<'a> {
    len: usize,
    content: &'a [u8],
}

impl<'a> Array<'a> {
    /// How many elements it has.
    #[must_use]
    #[inline]
    pub const fn len(self) -> usize {
        self.len
    }

    /// Whether it has none.
    #[must_use]
    #[inline]
    pub const fn is_empty(self) -> bool {
        self.len == 0
    }

    /// Its elements.
    #[must_use]
    #[inline]
    pub const fn iter(self) -> Items<'a> {
        Items { left: self.len, rest: self.content }
    }

    /// The element at `index`; walks over those before it.
    #[must_use]
    #[inline]
    pub fn get(self, index: usize) -> Option<Item<'a>> {
        self.iter().nth(index)
    }

    /// Its elements if they are exactly `N`.
    #[must_use]
    #[inline]
    pub fn exactly<const N: usize>(self) -> Option<[Item<'a>; N]> {
        if self.len != N {
            return None;
        }
        let mut items = [Item { bytes: &[] }; N];
        for (place, item) in items.iter_mut().zip(self) {
            *place = item;
        }
        Some(items)
    }
}

impl<'a> IntoIterator for Array<'a> {
    type Item = Item<'a>;
    type IntoIter = Items<'a>;

    #[inline]
    fn into_iter(self) -> Items<'a> {
        self.iter()
    }
}

impl fmt::Debug for Array<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Array").field("len", &self.len).finish_non_exhaustive()
    }
}

/// The elements of an array.
#[derive(Clone)]
pub struct Items<'a> {
    left: usize,
    rest: &'a [u8],
}

impl<'a> Iterator for Items<'a> {
    type Item = Item<'a>;

    #[inline]
    fn next(&mut self) -> Option<Item<'a>> {
        self.left = self.left.checked_sub(1)?;
        let (item, rest) = Item::split(self.rest)?;
        self.rest = rest;
        Some(item)
    }

    #[inline]
    fn size_hint(&self) -> (usize, Option<usize>) {
        // The count is trusted: each item has a byte of its own in the input.
        (self.left, Some(self.left))
    }
}

impl fmt::Debug for Items<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Items").field("left", &self.left).finish_non_exhaustive()
    }
}

/// A checked map: no key stands in it twice.
#[derive(Clone, Copy)]
pub struct Map<'a> {
    len: usize,
    content: &'a [u8],
}

impl<'a> Map<'a> {
    /// How many entries it has.
    #[must_use]
    #[inline]
    pub const fn len(self) -> usize {
        self.len
    }

    /// Whether it has none.
    #[must_use]
    #[inline]
    pub const fn is_empty(self) -> bool {
        self.len == 0
    }

    /// Its keys and values, in the order received.
    #[must_use]
    #[inline]
    pub const fn iter(self) -> Pairs<'a> {
        Pairs { left: self.len, rest: self.content }
    }

    /// Its entries, in the order received, to be kept in less memory than keys and values.
    #[inline]
    pub fn entries(self) -> impl Iterator<Item = Entry<'a>> + use<'a> {
        let mut rest = self.content;
        (0..self.len).map_while(move |_| {
            let (_, value) = Item::split(rest)?;
            let (_, after) = Item::split(value)?;
            let (bytes, _) = rest.split_at_checked(rest.len() - after.len())?;
            rest = after;
            Some(Entry { bytes })
        })
    }

    /// The value under an integer key.
    #[must_use]
    #[inline]
    pub fn get_int(self, key: i64) -> Option<Item<'a>> {
        self.iter().find(|(found, _)| found.as_i64() == Some(key)).map(|(_, value)| value)
    }

    /// The value under a text key.
    #[must_use]
    #[inline]
    pub fn get_text(self, key: &str) -> Option<Item<'a>> {
        self.iter().find(|(found, _)| found.as_str() == Some(key)).map(|(_, value)| value)
    }

    /// A strict walk over its fields, for maps read with [`Order::Canonical`].
    #[must_use]
    #[inline]
    pub fn fields(self) -> Fields<'a> {
        let mut pairs = self.iter();
        let next = pairs.next();
        Fields { next, pairs }
    }
}

impl<'a> IntoIterator for Map<'a> {
    type Item = (Item<'a>, Item<'a>);
    type IntoIter = Pairs<'a>;

    #[inline]
    fn into_iter(self) -> Pairs<'a> {
        self.iter()
    }
}

impl fmt::Debug for Map<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Map").field("len", &self.len).finish_non_exhaustive()
    }
}

/// One entry of a checked map: its key and its value, one behind the other.
#[derive(Clone, Copy)]
pub struct Entry<'a> {
    // INVARIANT (trusted): exactly two checked items.
    bytes: &'a [u8],
}

impl<'a> Entry<'a> {
    /// Key and value.
    #[must_use]
    #[inline]
    pub fn parts(self) -> (Item<'a>, Item<'a>) {
        match Item::split(self.bytes) {
            Some((key, value)) => (key, Item { bytes: value }),
            None => (Item { bytes: &[] }, Item { bytes: &[] }),
        }
    }
}

impl fmt::Debug for Entry<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entry").field("len", &self.bytes.len()).finish_non_exhaustive()
    }
}

/// The keys and values of a map.
#[derive(Clone)]
pub struct Pairs<'a> {
    left: usize,
    rest: &'a [u8],
}

impl<'a> Iterator for Pairs<'a> {
    type Item = (Item<'a>, Item<'a>);

    #[inline]
    fn next(&mut self) -> Option<(Item<'a>, Item<'a>)> {
        self.left = self.left.checked_sub(1)?;
        let (key, rest) = Item::split(self.rest)?;
        let (value, rest) = Item::split(rest)?;
        self.rest = rest;
        Some((key, value))
    }

    #[inline]
    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl fmt::Debug for Pairs<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pairs").field("left", &self.left).finish_non_exhaustive()
    }
}

/// Walks a map with integer keys that must be exactly those asked for, in ascending order: nothing in a format of our own
/// is skipped.
///
/// `None` means that the map is not of the shape asked for.
pub struct Fields<'a> {
    next: Option<(Item<'a>, Item<'a>)>,
    pairs: Pairs<'a>,
}

impl<'a> Fields<'a> {
    /// The value under `key`, which must come next.
    #[inline]
    pub fn required(&mut self, key: i64) -> Option<Item<'a>> {
        self.optional(key)?
    }

    /// The value under `key` if it comes next, and `Some(None)` if it is absent. The outer `None` means that a key stands
    /// before it that was not asked for.
    #[inline]
    pub fn optional(&mut self, key: i64) -> Option<Option<Item<'a>>> {
        let Some((found, value)) = self.next else { return Some(None) };
        let found = found.as_i64()?;
        if found == key {
            self.next = self.pairs.next();
            return Some(Some(value));
        }
        // Canonical order: 0, 1, 2 … before -1, -2 …
        let rank = |key: i64| (key < 0, key.unsigned_abs());
        (rank(found) > rank(key)).then_some(None)
    }

    /// Nothing is left over.
    #[must_use]
    #[inline]
    pub fn finish(self) -> Option<()> {
        self.next.is_none().then_some(())
    }
}

impl fmt::Debug for Fields<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fields").field("left", &self.pairs.left).finish_non_exhaustive()
    }
}

/// An item of one's own: one value in deterministic CBOR.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct ItemBuf(Box<[u8]>);

impl ItemBuf {
    /// Checks `bytes`, which must be exactly one item in canonical order.
    ///
    /// # Errors
    /// See [`CborError`].
    #[inline]
    pub fn parse(bytes: &[u8], limits: &Limits) -> Result<Self, CborError> {
        crate::read(bytes, Order::Canonical, limits)?;
        Ok(Self(bytes.into()))
    }

    /// Copies an item.
    ///
    /// # Errors
    /// [`CborError::NotCanonical`] when it came from a reader of any order and is unsorted.
    #[inline]
    pub fn from_item(item: Item<'_>) -> Result<Self, CborError> {
        Self::parse(item.bytes(), &Limits::new(usize::MAX).with_depth(crate::limits::DEEPEST))
    }

    /// The item.
    #[must_use]
    #[inline]
    pub fn as_item(&self) -> Item<'_> {
        Item { bytes: &self.0 }
    }

    /// Its bytes.
    #[must_use]
    #[inline]
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// Its bytes, given away.
    #[must_use]
    #[inline]
    pub fn into_vec(self) -> Vec<u8> {
        self.0.into_vec()
    }
}

/// Prints kind and length, never content.
impl fmt::Debug for ItemBuf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.as_item(), f)
    }
}
