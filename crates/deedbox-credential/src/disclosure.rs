//! The disclosure engine: tree rules, digests, assembly and selection. It knows nothing of COSE.

use alloc::vec::Vec;

use deedbox_cbor::{Item, ItemBuf, Kind, Limits, Map, Order, Writer};
use deedbox_crypto::hash;

use crate::{
    claims::{ClaimPath, Segment},
    error::{ClaimsError, DisclosureError, Limit, VerifyError},
    profile,
};

/// Which trees a rule lets pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Markers {
    /// Redaction markers where the profile places them.
    Allowed,
    /// None at all: key binding, values before issuance.
    Forbidden,
}

/// Checks the tree rules over `root` and adds every digest found to `digests`.
pub(crate) fn check_tree<'a>(root: Item<'a>, rule: Markers, digests: &mut Vec<&'a [u8]>) -> Result<(), ClaimsError> {
    let mut containers = Vec::new();
    visit(root, Place::Elsewhere, rule, digests, &mut containers)?;
    while let Some(container) = containers.pop() {
        if let Some(array) = container.as_array() {
            for element in array {
                visit(element, Place::Element, rule, digests, &mut containers)?;
            }
        } else if let Some(map) = container.as_map() {
            for (key, value) in map {
                if key.as_simple() == Some(profile::REDACTED_KEYS) {
                    if rule == Markers::Forbidden {
                        return Err(ClaimsError::Marker);
                    }
                    for digest in value.as_array().ok_or(ClaimsError::Marker)? {
                        digests.push(as_digest(digest).ok_or(ClaimsError::Marker)?);
                    }
                } else if is_label(key) {
                    visit(value, Place::Elsewhere, rule, digests, &mut containers)?;
                } else {
                    return Err(ClaimsError::KeyType);
                }
            }
        }
    }
    Ok(())
}

/// Where a value stands; only an element may be a redaction marker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Element,
    Elsewhere,
}

fn visit<'a>(
    item: Item<'a>,
    place: Place,
    rule: Markers,
    digests: &mut Vec<&'a [u8]>,
    containers: &mut Vec<Item<'a>>,
) -> Result<(), ClaimsError> {
    let (mut item, mut place) = (item, place);
    loop {
        match item.kind() {
            Kind::Array | Kind::Map => containers.push(item),
            Kind::Simple if item.as_simple() == Some(profile::REDACTED_KEYS) => return Err(ClaimsError::Marker),
            Kind::Tag => {
                let (number, content) = item.as_tag().ok_or(ClaimsError::Marker)?;
                if profile::RESERVED_TAGS.contains(&number) {
                    return Err(ClaimsError::ReservedTag);
                }
                if number != profile::REDACTED_ELEMENT {
                    (item, place) = (content, Place::Elsewhere);
                    continue;
                }
                if rule == Markers::Forbidden || place == Place::Elsewhere {
                    return Err(ClaimsError::Marker);
                }
                digests.push(as_digest(content).ok_or(ClaimsError::Marker)?);
            }
            _ => {}
        }
        return Ok(());
    }
}

/// An int of 64 bits with sign (RFC 8949 has one more bit, which no label uses) or a text of up to 255 bytes.
pub(crate) fn is_label(item: Item<'_>) -> bool {
    match item.kind() {
        Kind::Uint | Kind::Nint => true,
        Kind::Text => item.as_str().is_some_and(|text| text.len() <= profile::MAX_LABEL),
        _ => false,
    }
}

fn as_digest(item: Item<'_>) -> Option<&[u8]> {
    item.as_bytes().filter(|bytes| bytes.len() == profile::DIGEST_LEN)
}

/// The digest of a redacted array element, if `item` is one.
fn as_redacted_element(item: Item<'_>) -> Option<&[u8]> {
    let (number, content) = item.as_tag()?;
    if number == profile::REDACTED_ELEMENT { content.as_bytes() } else { None }
}

/// One disclosure: received bytes and its parts.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Disclosure<'a> {
    /// The byte string with its head, as received.
    pub(crate) item: Item<'a>,
    /// What is claimed; absent in a decoy.
    value: Option<Item<'a>>,
    /// Its key, when it is an entry of a map.
    key: Option<Item<'a>>,
    salt: &'a [u8],
}

impl<'a> Disclosure<'a> {
    fn parse(item: Item<'a>, digests: &mut Vec<&'a [u8]>) -> Result<Self, VerifyError> {
        let content = item.as_bytes().ok_or(DisclosureError::Shape)?;
        let limits = Limits::new(profile::MAX_TOKEN).with_depth(profile::MAX_DEPTH);
        let array = deedbox_cbor::read(content, Order::Any, &limits)?.as_array().ok_or(DisclosureError::Shape)?;
        if array.len() > 3 {
            return Err(DisclosureError::Shape.into());
        }
        let mut parts = array.iter();
        let salt = parts.next().ok_or(DisclosureError::Shape)?.as_bytes().ok_or(DisclosureError::Salt)?;
        if salt.len() != profile::SALT_LEN {
            return Err(DisclosureError::Salt.into());
        }
        let (value, key) = (parts.next(), parts.next());
        if key.is_some_and(|key| !is_label(key)) {
            return Err(DisclosureError::Key.into());
        }
        if let Some(value) = value {
            check_tree(value, Markers::Allowed, digests)?;
        }
        Ok(Self { item, value, key, salt })
    }

    /// The parsed content, for the check of its map order.
    pub(crate) fn content(&self) -> &'a [u8] {
        self.item.as_bytes().unwrap_or_default()
    }
}

/// A claims map that keeps the tree rules, with the digests that stand in it.
#[derive(Debug)]
pub(crate) struct Tree<'a> {
    root: Map<'a>,
    digests: Vec<&'a [u8]>,
}

impl<'a> Tree<'a> {
    /// Checks the tree rules of a payload.
    pub(crate) fn check(payload: Item<'a>) -> Result<Self, ClaimsError> {
        let root = payload.as_map().ok_or(ClaimsError::NotAMap)?;
        let mut digests = Vec::new();
        check_tree(payload, Markers::Allowed, &mut digests)?;
        Ok(Self { root, digests })
    }

    /// Joins the claims with the disclosures of header 17.
    ///
    /// Each disclosure is used exactly once, each by a digest that stands exactly once, in the kind of container it was made for;
    /// what comes out has at most 16 levels.
    pub(crate) fn join(self, sd_claims: Option<Item<'a>>) -> Result<Joined<'a>, VerifyError> {
        let Self { root, mut digests } = self;
        let disclosures = read_disclosures(sd_claims, &mut digests)?;
        let mut slots: Vec<Slot<'a>> = digests.into_iter().map(|digest| Slot { digest, disclosure: None }).collect();
        slots.sort_unstable_by_key(|slot| slot.digest);
        if slots.windows(2).any(|pair| matches!(pair, [left, right] if left.digest == right.digest)) {
            return Err(DisclosureError::DuplicateDigest.into());
        }
        let mut joined = Joined { root, disclosures, slots };
        joined.match_digests()?;
        let (used, levels) = joined.walk()?;
        if used != joined.disclosures.len() {
            return Err(DisclosureError::Orphan.into());
        }
        if levels > profile::MAX_LEVELS {
            return Err(VerifyError::Limit { what: Limit::Levels, max: profile::MAX_LEVELS });
        }
        Ok(joined)
    }
}

/// A digest that stands in the claims or in a disclosed value, and the disclosure that answers it.
#[derive(Debug)]
struct Slot<'a> {
    digest: &'a [u8],
    disclosure: Option<usize>,
}

/// Claims and disclosures that fit each other.
#[derive(Debug)]
pub(crate) struct Joined<'a> {
    root: Map<'a>,
    disclosures: Vec<Disclosure<'a>>,
    // INVARIANT (sorted): by digest, no two equal.
    slots: Vec<Slot<'a>>,
}

impl<'a> Joined<'a> {
    /// The disclosures in the order received.
    pub(crate) fn disclosures(&self) -> &[Disclosure<'a>] {
        &self.disclosures
    }

    /// Whether every digest has its disclosure, so that nothing is hidden from whoever holds them all.
    pub(crate) fn is_complete(&self) -> bool {
        self.slots.iter().all(|slot| slot.disclosure.is_some())
    }

    /// The claims with all disclosures in place and all markers gone, in deterministic CBOR.
    pub(crate) fn assemble(&self) -> Result<ItemBuf, VerifyError> {
        self.assemble_some(&|_| true)
    }

    /// The same, with those disclosures alone that `chosen` names by their place.
    pub(crate) fn assemble_some(&self, chosen: &dyn Fn(usize) -> bool) -> Result<ItemBuf, VerifyError> {
        let mut writer = Writer::new();
        self.write_map(&mut writer, self.root, chosen);
        Ok(ItemBuf::parse(writer.as_slice(), &Limits::new(usize::MAX).with_depth(profile::MAX_DEPTH))?)
    }

    /// Marks in `chosen` the disclosures that `path` needs: what it names and its redacted ancestors. Tells whether there is such a
    /// claim.
    pub(crate) fn select(&self, path: &ClaimPath, chosen: &mut [bool]) -> bool {
        let mut needed = Vec::new();
        self.select_in_map(self.root, path.segments(), &mut needed, chosen)
    }

    fn find(&self, digest: &[u8]) -> Option<usize> {
        let slot = self.slots.binary_search_by(|slot| slot.digest.cmp(digest)).ok()?;
        self.slots.get(slot)?.disclosure
    }

    fn disclosed(&self, digest: &[u8]) -> Option<(usize, &Disclosure<'a>)> {
        let index = self.find(digest)?;
        Some((index, self.disclosures.get(index)?))
    }

    /// Step 4: the first disclosure fixes what is hashed; each result must be a digest of the claims.
    fn match_digests(&mut self) -> Result<(), VerifyError> {
        let Some(first) = self.disclosures.first() else { return Ok(()) };
        let wrapped = self.slot_of(&hash::sha256(first.item.bytes())).is_some();
        for index in 0..self.disclosures.len() {
            let Some(disclosure) = self.disclosures.get(index) else { break };
            let digest = hash::sha256(if wrapped { disclosure.item.bytes() } else { disclosure.content() });
            let slot = self.slot_of(&digest).ok_or(DisclosureError::Orphan)?;
            if let Some(slot) = self.slots.get_mut(slot) {
                slot.disclosure = Some(index);
            }
        }
        Ok(())
    }

    fn slot_of(&self, digest: &[u8]) -> Option<usize> {
        self.slots.binary_search_by(|slot| slot.digest.cmp(digest)).ok()
    }

    /// Step 5: walks depth first over all that is disclosed; counts the disclosures used and the levels of the result.
    fn walk(&self) -> Result<(usize, usize), VerifyError> {
        let mut walk = Walk { used: 0, levels: 0, containers: Vec::new() };
        let mut keys = Vec::new();
        self.walk_map(self.root, 1, &mut keys, &mut walk)?;
        while let Some((container, level)) = walk.containers.pop() {
            if let Some(map) = container.as_map() {
                self.walk_map(map, level, &mut keys, &mut walk)?;
            } else if let Some(array) = container.as_array() {
                for element in array {
                    let Some(digest) = as_redacted_element(element) else {
                        walk.place(element, level);
                        continue;
                    };
                    let Some((_, disclosure)) = self.disclosed(digest) else { continue };
                    walk.used = walk.used.saturating_add(1);
                    match (disclosure.value, disclosure.key) {
                        (Some(value), None) => walk.place(value, level),
                        (Some(_), Some(_)) => return Err(DisclosureError::WrongPosition.into()),
                        (None, _) => {}
                    }
                }
            } else if let Some((_, content)) = container.as_tag() {
                walk.place(content, level);
            }
        }
        Ok((walk.used, walk.levels))
    }

    /// `level` is that of the map's members.
    fn walk_map(
        &self,
        map: Map<'a>,
        level: usize,
        keys: &mut Vec<&'a [u8]>,
        walk: &mut Walk<'a>,
    ) -> Result<(), VerifyError> {
        let mut inserted = false;
        keys.clear();
        for (key, value) in map {
            if key.as_simple() != Some(profile::REDACTED_KEYS) {
                keys.push(key.bytes());
                walk.place(value, level);
                continue;
            }
            for digest in value.as_array().into_iter().flatten().filter_map(Item::as_bytes) {
                let Some((_, disclosure)) = self.disclosed(digest) else { continue };
                walk.used = walk.used.saturating_add(1);
                match (disclosure.value, disclosure.key) {
                    (Some(value), Some(key)) => {
                        if level == 1 && key.as_i64().is_some_and(|key| profile::NEVER_REDACTED.contains(&key)) {
                            return Err(DisclosureError::NeverRedacted.into());
                        }
                        inserted = true;
                        keys.push(key.bytes());
                        walk.place(value, level);
                    }
                    (Some(_), None) => return Err(DisclosureError::WrongPosition.into()),
                    (None, _) => {}
                }
            }
        }
        if inserted {
            keys.sort_unstable();
            if keys.windows(2).any(|pair| matches!(pair, [left, right] if left == right)) {
                return Err(DisclosureError::DuplicateClaim.into());
            }
        }
        Ok(())
    }

    // The three below recurse: `join` has counted that the result has at most 16 levels.
    fn write(&self, writer: &mut Writer, item: Item<'a>, chosen: &dyn Fn(usize) -> bool) {
        match item.kind() {
            Kind::Map => {
                if let Some(map) = item.as_map() {
                    self.write_map(writer, map, chosen);
                }
            }
            Kind::Array => self.write_array(writer, item, chosen),
            Kind::Tag => {
                if let Some((number, content)) = item.as_tag() {
                    writer.tag(number);
                    self.write(writer, content, chosen);
                }
            }
            _ => {
                writer.item(item);
            }
        }
    }

    fn write_map(&self, writer: &mut Writer, map: Map<'a>, chosen: &dyn Fn(usize) -> bool) {
        writer.map(|entries| {
            for (key, value) in map {
                if key.as_simple() != Some(profile::REDACTED_KEYS) {
                    entries.entry(
                        |writer| {
                            writer.item(key);
                        },
                        |writer| self.write(writer, value, chosen),
                    );
                    continue;
                }
                for digest in value.as_array().into_iter().flatten().filter_map(Item::as_bytes) {
                    let Some((index, disclosure)) = self.disclosed(digest) else { continue };
                    if let (Some(value), Some(key), true) = (disclosure.value, disclosure.key, chosen(index)) {
                        entries.entry(
                            |writer| {
                                writer.item(key);
                            },
                            |writer| self.write(writer, value, chosen),
                        );
                    }
                }
            }
        });
    }

    fn write_array(&self, writer: &mut Writer, item: Item<'a>, chosen: &dyn Fn(usize) -> bool) {
        let elements: Vec<Item<'a>> =
            self.elements(item).filter(|(index, _)| index.is_none_or(chosen)).map(|(_, element)| element).collect();
        writer.array(elements.len());
        for element in elements {
            self.write(writer, element, chosen);
        }
    }

    /// The elements that are there, each with the place of its disclosure if it has one.
    fn elements(&self, array: Item<'a>) -> impl Iterator<Item = (Option<usize>, Item<'a>)> {
        array.as_array().into_iter().flatten().filter_map(|element| match as_redacted_element(element) {
            None => Some((None, element)),
            Some(digest) => {
                let (index, disclosure) = self.disclosed(digest)?;
                Some((Some(index), disclosure.value?))
            }
        })
    }

    fn select_in_map(&self, map: Map<'a>, path: &[Segment], needed: &mut Vec<usize>, chosen: &mut [bool]) -> bool {
        let Some((segment, rest)) = path.split_first() else { return false };
        for (key, value) in map {
            if key.as_simple() != Some(profile::REDACTED_KEYS) {
                if segment.is_key(key) {
                    return self.select_below(value, rest, needed, chosen);
                }
                continue;
            }
            for digest in value.as_array().into_iter().flatten().filter_map(Item::as_bytes) {
                let Some((index, disclosure)) = self.disclosed(digest) else { continue };
                if let (Some(value), Some(key)) = (disclosure.value, disclosure.key)
                    && segment.is_key(key)
                {
                    needed.push(index);
                    let found = self.select_below(value, rest, needed, chosen);
                    needed.pop();
                    return found;
                }
            }
        }
        false
    }

    fn select_below(&self, item: Item<'a>, path: &[Segment], needed: &mut Vec<usize>, chosen: &mut [bool]) -> bool {
        let Some((segment, rest)) = path.split_first() else {
            for index in needed.iter() {
                if let Some(chosen) = chosen.get_mut(*index) {
                    *chosen = true;
                }
            }
            return true;
        };
        if let Some(map) = item.as_map() {
            return self.select_in_map(map, path, needed, chosen);
        }
        let mut found = false;
        for (at, (index, element)) in self.elements(item).enumerate() {
            if !segment.is_index(at) {
                continue;
            }
            needed.extend(index);
            found |= self.select_below(element, rest, needed, chosen);
            if index.is_some() {
                needed.pop();
            }
        }
        found
    }
}

/// What the walk has seen, and what it has yet to see.
struct Walk<'a> {
    used: usize,
    levels: usize,
    /// Containers and the level of their members.
    containers: Vec<(Item<'a>, usize)>,
}

impl<'a> Walk<'a> {
    fn place(&mut self, item: Item<'a>, level: usize) {
        self.levels = self.levels.max(level);
        if matches!(item.kind(), Kind::Array | Kind::Map | Kind::Tag) {
            self.containers.push((item, level.saturating_add(1)));
        }
    }
}

/// Steps 1 and 2: the array of header 17, and each disclosure by itself.
fn read_disclosures<'a>(
    sd_claims: Option<Item<'a>>,
    digests: &mut Vec<&'a [u8]>,
) -> Result<Vec<Disclosure<'a>>, VerifyError> {
    let Some(sd_claims) = sd_claims else { return Ok(Vec::new()) };
    let array = sd_claims.as_array().filter(|array| !array.is_empty()).ok_or(DisclosureError::Shape)?;
    if array.len() > profile::MAX_DISCLOSURES {
        return Err(VerifyError::Limit { what: Limit::Disclosures, max: profile::MAX_DISCLOSURES });
    }
    if array.iter().any(|item| item.kind() != Kind::Bytes) {
        return Err(DisclosureError::Shape.into());
    }
    let disclosures = array.iter().map(|item| Disclosure::parse(item, digests)).collect::<Result<Vec<_>, _>>()?;
    let mut salts: Vec<&[u8]> = disclosures.iter().map(|disclosure| disclosure.salt).collect();
    salts.sort_unstable();
    if salts.windows(2).any(|pair| matches!(pair, [left, right] if left == right)) {
        return Err(DisclosureError::DuplicateSalt.into());
    }
    Ok(disclosures)
}
