use core::fmt;

use crate::{
    Item,
    head::{Head, trusted},
};

/// Reads the inside of a checked item front to back and looks at each byte once: the fast way into typed values.
///
/// Each read takes what comes next if it is of the kind asked for, else it takes nothing and gives `None`. Arrays, maps and
/// tags are entered: what follows is their content.
///
/// ```
/// use deedbox_cbor::{Limits, Order, read};
///
/// let bytes = [0x82, 0x18, 0x2a, 0x61, 0x61]; // [42, "a"]
/// let mut cursor = read(&bytes, Order::Canonical, &Limits::new(16))?.cursor();
/// assert_eq!(cursor.array(), Some(2));
/// assert_eq!((cursor.text(), cursor.u64(), cursor.text()), (None, Some(42), Some("a")));
/// assert!(cursor.is_empty());
/// # Ok::<(), deedbox_cbor::CborError>(())
/// ```
#[derive(Clone)]
pub struct Cursor<'a> {
    // INVARIANT (trusted): any number of checked items, or the rest of a container's content.
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    pub(crate) const fn trusted(rest: &'a [u8]) -> Self {
        Self { rest }
    }

    /// Whether nothing comes next.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// The next item, whole.
    #[inline]
    pub fn item(&mut self) -> Option<Item<'a>> {
        let (item, rest) = Item::split(self.rest)?;
        self.rest = rest;
        Some(item)
    }

    /// Enters an array and gives its number of elements.
    #[inline]
    pub fn array(&mut self) -> Option<usize> {
        self.take(4, |head, rest| Some((usize::try_from(head.argument).ok()?, rest)))
    }

    /// Enters a map and gives its number of entries; key and value follow in turn.
    #[inline]
    pub fn map(&mut self) -> Option<usize> {
        self.take(5, |head, rest| Some((usize::try_from(head.argument).ok()?, rest)))
    }

    /// Enters a tag and gives its number.
    #[inline]
    pub fn tag(&mut self) -> Option<u64> {
        self.take(6, |head, rest| Some((head.argument, rest)))
    }

    /// An unsigned integer.
    #[inline]
    pub fn u64(&mut self) -> Option<u64> {
        self.take(0, |head, rest| Some((head.argument, rest)))
    }

    /// An integer of either sign, within i64.
    #[inline]
    pub fn i64(&mut self) -> Option<i64> {
        let (head, rest) = trusted(self.rest)?;
        let value = head.as_i64()?;
        self.rest = rest;
        Some(value)
    }

    /// A byte string.
    #[inline]
    pub fn bytes(&mut self) -> Option<&'a [u8]> {
        self.take(2, |head, rest| rest.split_at_checked(usize::try_from(head.argument).ok()?))
    }

    /// A text string.
    #[inline]
    pub fn text(&mut self) -> Option<&'a str> {
        self.take(3, |head, rest| {
            let (text, rest) = rest.split_at_checked(usize::try_from(head.argument).ok()?)?;
            Some((core::str::from_utf8(text).ok()?, rest))
        })
    }

    /// A text string as its bytes, which are known to be UTF-8: to be compared with a name, which needs no more.
    #[inline]
    pub fn text_bytes(&mut self) -> Option<&'a [u8]> {
        self.take(3, |head, rest| rest.split_at_checked(usize::try_from(head.argument).ok()?))
    }

    /// `true` or `false`.
    #[inline]
    pub fn bool(&mut self) -> Option<bool> {
        let (&first, rest) = self.rest.split_first()?;
        let value = match first {
            0xf4 => false,
            0xf5 => true,
            _ => return None,
        };
        self.rest = rest;
        Some(value)
    }

    #[inline]
    fn take<T>(&mut self, major: u8, read: impl FnOnce(Head, &'a [u8]) -> Option<(T, &'a [u8])>) -> Option<T> {
        let (head, rest) = trusted(self.rest).filter(|(head, _)| head.major == major)?;
        let (value, rest) = read(head, rest)?;
        self.rest = rest;
        Some(value)
    }
}

/// Prints how much is left, never content.
impl fmt::Debug for Cursor<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cursor").field("left", &self.rest.len()).finish_non_exhaustive()
    }
}
