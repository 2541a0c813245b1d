use alloc::vec::Vec;
use core::cmp::Ordering;

use crate::{CborError, Item, Limits, Order, head::Head};

/// Checks that `bytes` are exactly one item and gives it.
///
/// One pass with a stack of its own, and no memory up to 12 levels. Only a map of 17 or more keys that is unsorted, which
/// [`Order::Any`] permits, is looked at again when it is complete: for its duplicates its keys are sorted in at most 8 bytes
/// for each byte of the map.
///
/// # Errors
/// See [`CborError`]; the first fault from the left is named, a duplicate among unsorted keys where their map ends.
pub fn read<'a>(bytes: &'a [u8], order: Order, limits: &Limits) -> Result<Item<'a>, CborError> {
    let (item, rest) = read_first(bytes, order, limits)?;
    if rest.is_empty() { Ok(item) } else { Err(CborError::Trailing { offset: item.bytes().len() }) }
}

/// Checks the first item of `bytes` and gives it with what follows it.
///
/// # Errors
/// See [`CborError`].
pub fn read_first<'a>(bytes: &'a [u8], order: Order, limits: &Limits) -> Result<(Item<'a>, &'a [u8]), CborError> {
    if bytes.len() > limits.max_len {
        return Err(CborError::TooLong { limit: limits.max_len });
    }
    let end = Checker::new(bytes, order, limits).item(0)?;
    let (item, rest) = bytes.split_at_checked(end).ok_or(CborError::Eof { offset: 0 })?;
    Ok((Item::trusted(item), rest))
}

/// Checks that `bytes` are a CBOR sequence (RFC 8742), which may be empty.
///
/// # Errors
/// See [`CborError`].
pub fn read_sequence<'a>(bytes: &'a [u8], order: Order, limits: &Limits) -> Result<Sequence<'a>, CborError> {
    if bytes.len() > limits.max_len {
        return Err(CborError::TooLong { limit: limits.max_len });
    }
    let checker = Checker::new(bytes, order, limits);
    let mut end = 0;
    while end < bytes.len() {
        end = checker.item(end)?;
    }
    Ok(Sequence { rest: bytes })
}

/// The items of a checked CBOR sequence.
#[derive(Clone)]
pub struct Sequence<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Sequence<'a> {
    type Item = Item<'a>;

    fn next(&mut self) -> Option<Item<'a>> {
        let (item, rest) = Item::split(self.rest)?;
        self.rest = rest;
        Some(item)
    }
}

impl core::fmt::Debug for Sequence<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Sequence").field("len", &self.rest.len()).finish_non_exhaustive()
    }
}

/// A container that is not complete.
#[derive(Clone, Copy)]
struct Frame {
    /// Items still to come; in a map, keys and values.
    left: u64,
    content: Content,
    /// In a map: where its first key begins.
    start: usize,
    /// In a map: the key before, as a span; empty before the first.
    last: (usize, usize),
    /// In a map: where the key being read begins.
    key: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Content {
    /// Of an array or tag, or the document itself.
    Items,
    /// Of a map whose keys ascend so far.
    Ascending,
    /// Of a map whose keys don't.
    Unsorted,
}

impl Frame {
    const DOCUMENT: Self = Self { left: 1, content: Content::Items, start: 0, last: (0, 0), key: 0 };
}

struct Checker<'a> {
    bytes: &'a [u8],
    order: Order,
    max_depth: usize,
}

impl<'a> Checker<'a> {
    const fn new(bytes: &'a [u8], order: Order, limits: &Limits) -> Self {
        Self { bytes, order, max_depth: limits.max_depth }
    }

    /// Checks the item at `start` and gives its end.
    fn item(&self, start: usize) -> Result<usize, CborError> {
        // What is nested as usual needs no memory, what is nested deeper a little.
        let mut shallow = [Frame::DOCUMENT; SHALLOW];
        let mut deep = Vec::new();
        let mut depth = 0_usize;
        // The innermost open container; those around it are on the stack.
        let mut frame = Frame::DOCUMENT;
        let mut at = start;
        loop {
            let rest = self.bytes.get(at..).unwrap_or_default();
            let head = Head::read(rest, at)?;
            let rest = rest.get(head.len..).unwrap_or_default();
            let content = at + head.len;
            match head.major {
                2 | 3 => {
                    let len = usize::try_from(head.argument).unwrap_or(usize::MAX);
                    let string = rest.get(..len).ok_or(CborError::Eof { offset: at })?;
                    if head.major == 3 && !ascii(string) && core::str::from_utf8(string).is_err() {
                        return Err(CborError::Utf8 { offset: at });
                    }
                    at = content + len;
                }
                4..=6 => {
                    // Each item inside is at least one byte, so a count beyond the end needs no reading.
                    let left = match head.major {
                        4 => Some(head.argument),
                        5 => head.argument.checked_mul(2),
                        _ => Some(1),
                    };
                    let available = u64::try_from(rest.len()).unwrap_or(u64::MAX);
                    let left = left.filter(|left| *left <= available).ok_or(CborError::Eof { offset: at })?;
                    if depth >= self.max_depth {
                        return Err(CborError::TooDeep { offset: at, limit: self.max_depth });
                    }
                    at = content;
                    if left > 0 {
                        match shallow.get_mut(depth) {
                            Some(place) => *place = frame,
                            None => deep.push(frame),
                        }
                        depth += 1;
                        let content = if head.major == 5 { Content::Ascending } else { Content::Items };
                        frame = Frame { left, content, start: at, last: (at, at), key: at };
                        continue;
                    }
                }
                _ => at = content,
            }
            // An item is complete; it may complete those around it.
            loop {
                frame.left -= 1;
                if frame.content != Content::Items {
                    if frame.left % 2 == 1 {
                        self.key(&mut frame, at)?;
                    } else {
                        frame.key = at;
                    }
                }
                if frame.left > 0 {
                    break;
                }
                if frame.content == Content::Unsorted {
                    self.unique(frame.start, at)?;
                }
                let Some(around) = depth.checked_sub(1) else { return Ok(at) };
                depth = around;
                frame = match shallow.get(depth) {
                    Some(frame) => *frame,
                    None => deep.pop().unwrap_or(Frame::DOCUMENT),
                };
            }
        }
    }

    /// A key of the map `frame` ends at `end`.
    #[inline]
    fn key(&self, frame: &mut Frame, end: usize) -> Result<(), CborError> {
        let key = self.bytes.get(frame.key..end).unwrap_or_default();
        let last = self.bytes.get(frame.last.0..frame.last.1).unwrap_or_default();
        // Most keys differ in their first byte; only what is left needs a call.
        match last.first().cmp(&key.first()).then_with(|| last.cmp(key)) {
            Ordering::Less => {}
            Ordering::Equal => return Err(CborError::DuplicateKey { offset: frame.key }),
            Ordering::Greater if self.order == Order::Canonical => {
                return Err(CborError::NotCanonical { offset: frame.key });
            }
            Ordering::Greater => frame.content = Content::Unsorted,
        }
        frame.last = (frame.key, end);
        Ok(())
    }

    /// No key stands twice in the unsorted map whose complete content is `start..end`.
    #[cold]
    fn unique(&self, start: usize, end: usize) -> Result<(), CborError> {
        let content = self.bytes.get(start..end).unwrap_or_default();
        // Most unsorted maps are small: headers, keys. They need no memory.
        let mut few: [&[u8]; FEW] = [&[]; FEW];
        let count = Keys { rest: content }.zip(&mut few).map(|(key, place)| *place = key).count();
        let mut many = Vec::new();
        let keys = if count < FEW {
            few.get_mut(..count).unwrap_or_default()
        } else {
            // At most one key for each two bytes; counted, so that memory is not rounded up.
            many.reserve_exact(Keys { rest: content }.count());
            many.extend(Keys { rest: content });
            many.as_mut_slice()
        };
        keys.sort_unstable();
        let Some(twice) = keys.windows(2).find(|pair| pair.first() == pair.last()).and_then(<[_]>::first) else {
            return Ok(());
        };
        let mut seen = false;
        let mut keys = Keys { rest: content };
        loop {
            let offset = end - keys.rest.len();
            let Some(key) = keys.next() else { return Ok(()) };
            if key == *twice && core::mem::replace(&mut seen, true) {
                return Err(CborError::DuplicateKey { offset });
            }
        }
    }
}

/// The keys in the checked content of a map.
struct Keys<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Keys<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let (key, rest) = Item::split(self.rest)?;
        (_, self.rest) = Item::split(rest)?;
        Some(key.bytes())
    }
}

/// Whether `text` is ASCII, as nearly all is; quick for the short strings that objects are made of.
#[inline]
fn ascii(text: &[u8]) -> bool {
    const HIGH: u64 = 0x8080_8080_8080_8080;
    match text.last_chunk::<8>() {
        Some(last) => {
            let (chunks, _) = text.as_chunks::<8>();
            let all = chunks.iter().fold(u64::from_le_bytes(*last), |all, chunk| all | u64::from_le_bytes(*chunk));
            all & HIGH == 0
        }
        None => text.iter().fold(0, |all, byte| all | byte) < 0x80,
    }
}

/// Containers nested up to here are kept in place.
const SHALLOW: usize = 12;

/// Unsorted maps of fewer keys than this are compared without allocating.
const FEW: usize = 17;
