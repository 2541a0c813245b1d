use alloc::vec::Vec;

use crate::{CborError, Item, Limits, Order, head::Head, limits::DEEPEST};

/// Checks that `bytes` are exactly one item and gives it.
///
/// One pass with a stack of fixed size; nothing is allocated but, with [`Order::Any`], eight bytes for each map key.
///
/// # Errors
/// See [`CborError`]; the first fault from the left is named.
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
    let end = Checker { bytes, order, max_depth: limits.max_depth, keys: Vec::new() }.item(0)?;
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
    let mut checker = Checker { bytes, order, max_depth: limits.max_depth, keys: Vec::new() };
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
#[derive(Clone, Copy, Default)]
struct Frame {
    /// Items still to come; in a map, keys and values.
    left: u64,
    map: Option<MapFrame>,
}

#[derive(Clone, Copy)]
struct MapFrame {
    /// The key before, as a span; empty before the first.
    last: (usize, usize),
    /// Where the key being read begins.
    key: usize,
    /// Where the map's keys begin in `Checker::keys`.
    mark: usize,
    ascending: bool,
}

struct Checker<'a> {
    bytes: &'a [u8],
    order: Order,
    max_depth: usize,
    /// With `Order::Any`: the spans of the keys of all open maps.
    keys: Vec<(u32, u32)>,
}

impl Checker<'_> {
    /// Checks the item at `start` and gives its end.
    fn item(&mut self, start: usize) -> Result<usize, CborError> {
        let mut stack = [Frame::default(); DEEPEST];
        let mut depth = 0_usize;
        let mut at = start;
        loop {
            // A key begins here?
            if let Some(Frame { left, map: Some(map) }) = depth.checked_sub(1).and_then(|top| stack.get_mut(top))
                && *left % 2 == 0
            {
                map.key = at;
            }
            let rest = self.bytes.get(at..).unwrap_or_default();
            let head = Head::read(rest, at)?;
            let content = at.saturating_add(head.len);
            let available = u64::try_from(rest.len() - head.len.min(rest.len())).unwrap_or(u64::MAX);
            let eof = CborError::Eof { offset: at };
            // Items inside; each is at least one byte, so a count beyond the end needs no reading.
            let inside = match head.major {
                2 | 3 => {
                    if head.argument > available {
                        return Err(eof);
                    }
                    let end =
                        usize::try_from(head.argument).ok().and_then(|len| content.checked_add(len)).ok_or(eof)?;
                    if head.major == 3 {
                        let text = self.bytes.get(content..end).ok_or(eof)?;
                        core::str::from_utf8(text).map_err(|_| CborError::Utf8 { offset: at })?;
                    }
                    at = end;
                    0
                }
                4 => head.argument,
                5 => head.argument.checked_mul(2).ok_or(eof)?,
                6 => 1,
                _ => {
                    at = content;
                    0
                }
            };
            if inside > available {
                return Err(eof);
            }
            if matches!(head.major, 4..=6) {
                if depth >= self.max_depth {
                    return Err(CborError::TooDeep { offset: at, limit: self.max_depth });
                }
                at = content;
            }
            if inside > 0 {
                let map = (head.major == 5).then_some(MapFrame {
                    last: (0, 0),
                    key: at,
                    mark: self.keys.len(),
                    ascending: true,
                });
                if let Some(frame) = stack.get_mut(depth) {
                    *frame = Frame { left: inside, map };
                }
                depth += 1;
                continue;
            }
            // An item is complete; it may complete those around it.
            loop {
                let Some(frame) = depth.checked_sub(1).and_then(|top| stack.get_mut(top)) else { return Ok(at) };
                frame.left -= 1;
                if let Some(map) = &mut frame.map {
                    if frame.left % 2 == 1 {
                        self.key(map, at)?;
                    } else if frame.left == 0 {
                        self.unique(map, at)?;
                    }
                }
                if frame.left > 0 {
                    break;
                }
                depth -= 1;
            }
        }
    }

    /// A key of `map` ends at `end`.
    fn key(&mut self, map: &mut MapFrame, end: usize) -> Result<(), CborError> {
        let (key, last) = (self.bytes.get(map.key..end), self.bytes.get(map.last.0..map.last.1));
        match last.cmp(&key) {
            core::cmp::Ordering::Less => {}
            core::cmp::Ordering::Equal => return Err(CborError::DuplicateKey { offset: map.key }),
            core::cmp::Ordering::Greater if self.order == Order::Canonical => {
                return Err(CborError::NotCanonical { offset: map.key });
            }
            core::cmp::Ordering::Greater => map.ascending = false,
        }
        map.last = (map.key, end);
        if self.order == Order::Any {
            let span = u32::try_from(map.key).ok().zip(u32::try_from(end).ok());
            self.keys.push(span.ok_or(CborError::TooLong { limit: self.bytes.len() })?);
        }
        Ok(())
    }

    /// `map` is complete at `end`: no key may stand in it twice.
    fn unique(&mut self, map: &MapFrame, end: usize) -> Result<(), CborError> {
        if self.order == Order::Canonical {
            return Ok(());
        }
        if !map.ascending {
            let bytes = self.bytes;
            let span = |&(start, end): &(u32, u32)| {
                bytes.get(usize::try_from(start).unwrap_or(usize::MAX)..usize::try_from(end).unwrap_or(usize::MAX))
            };
            let keys = self.keys.get_mut(map.mark..).unwrap_or_default();
            keys.sort_unstable_by(|left, right| span(left).cmp(&span(right)));
            let twice = keys.windows(2).any(|pair| pair.first().map(span) == pair.last().map(span));
            if twice {
                return Err(CborError::DuplicateKey { offset: end });
            }
        }
        self.keys.truncate(map.mark);
        Ok(())
    }
}
