//! What an issuer writes: claims, which of them may be shown one by one, and decoys; turned into digests and disclosures.

use alloc::{borrow::ToOwned, string::String, vec::Vec};
use core::fmt;

use deedbox_cbor::{Item, ItemBuf, Kind, Limits, MapWriter, Writer};
use deedbox_crypto::hash;
use deedbox_model::{Assurance, Timestamp};
use rand_core::CryptoRng;

use crate::{
    claims::is_audience,
    disclosure::{Markers, bytewise, check_tree},
    error::{ClaimSetError, ClaimsError, IssueError},
    profile,
};

/// The claims of one credential to be, checked: made by [`ClaimSet::builder`], used up by one credential.
///
/// `Debug` prints numbers only.
///
/// ```compile_fail
/// fn copy(claims: &deedbox_credential::ClaimSet) -> deedbox_credential::ClaimSet { claims.clone() }
/// ```
pub struct ClaimSet {
    // INVARIANT (checked): keys unique, at most 16 levels, no marker, nothing redactable that never is.
    top: ClaimMap,
    has_subject: bool,
    names_everywhere: bool,
    disclosures: usize,
}

impl ClaimSet {
    /// Starts a set without claims.
    #[must_use]
    pub fn builder() -> ClaimSetBuilder {
        ClaimSetBuilder { top: ClaimMap::new() }
    }

    pub(crate) fn has_subject(&self) -> bool {
        self.has_subject
    }

    /// How many disclosures and decoys it makes.
    pub(crate) fn disclosures(&self) -> usize {
        self.disclosures
    }

    /// About how many bytes its open part takes, digests included.
    pub(crate) fn size(&self) -> usize {
        let open = self.top.members.iter().filter(|member| !member.redact);
        let open: usize = open.map(|member| member.value.size().saturating_add(DISCLOSURE)).sum();
        open.saturating_add(self.top.places().saturating_mul(DIGEST))
    }

    /// Whether every verifier sees a subject or an id.
    pub(crate) fn names_everywhere(&self) -> bool {
        self.names_everywhere
    }

    /// Writes the claims into the entries of a payload, and adds the disclosures.
    pub(crate) fn write<R: CryptoRng>(&self, entries: &mut MapWriter, minter: &mut Minter<'_, R>) {
        self.top.write_entries(entries, minter);
    }
}

impl fmt::Debug for ClaimSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClaimSet")
            .field("claims", &self.top.members.len())
            .field("disclosures", &self.disclosures)
            .finish_non_exhaustive()
    }
}

/// Collects the claims of a [`ClaimSet`].
pub struct ClaimSetBuilder {
    top: ClaimMap,
}

impl ClaimSetBuilder {
    /// Adds a claim that every verifier sees.
    #[must_use]
    pub fn claim(self, key: impl Into<ClaimKey>, value: impl Into<ClaimValue>) -> Self {
        Self { top: self.top.claim(key, value) }
    }

    /// Adds a claim that the person shows or withholds.
    #[must_use]
    pub fn redactable(self, key: impl Into<ClaimKey>, value: impl Into<ClaimValue>) -> Self {
        Self { top: self.top.redactable(key, value) }
    }

    /// Adds digests that stand for nothing, so that the number of claims doesn't tell.
    #[must_use]
    pub fn decoys(self, decoys: usize) -> Self {
        Self { top: self.top.decoys(decoys) }
    }

    /// Checks what was collected.
    ///
    /// # Errors
    /// See [`ClaimSetError`]; nothing was signed.
    pub fn build(self) -> Result<ClaimSet, ClaimSetError> {
        let mut disclosures = 0_usize;
        self.top.check(1, &mut disclosures)?;
        let (mut has_subject, mut names_everywhere) = (false, false);
        for member in &self.top.members {
            let Some(key) = member.key.as_int() else { continue };
            if member.redact && profile::is_never_redacted(key) {
                return Err(ClaimSetError::NeverRedacted);
            }
            if SET_BY_TEMPLATE.contains(&key) {
                return Err(ClaimSetError::Reserved);
            }
            has_subject |= key == profile::SUB;
            names_everywhere |= key == profile::CTI || (key == profile::SUB && !member.redact);
        }
        self.top.check_registered()?;
        if disclosures > profile::MAX_DISCLOSURES {
            return Err(ClaimSetError::TooMany);
        }
        Ok(ClaimSet { top: self.top, has_subject, names_everywhere, disclosures })
    }
}

impl fmt::Debug for ClaimSetBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClaimSetBuilder").field("claims", &self.top.members.len()).finish_non_exhaustive()
    }
}

/// The key of a claim: an int or a text of up to 255 bytes. `Debug` prints neither.
#[derive(Clone, PartialEq, Eq)]
pub struct ClaimKey(Key);

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Key {
    Int(i64),
    Text(String),
}

impl ClaimKey {
    fn as_int(&self) -> Option<i64> {
        match self.0 {
            Key::Int(int) => Some(int),
            Key::Text(_) => None,
        }
    }

    fn write(&self, writer: &mut Writer) {
        match &self.0 {
            Key::Int(int) => writer.int(*int),
            Key::Text(text) => writer.text(text),
        };
    }
}

impl From<i64> for ClaimKey {
    fn from(int: i64) -> Self {
        Self(Key::Int(int))
    }
}

impl From<&str> for ClaimKey {
    fn from(text: &str) -> Self {
        Self(Key::Text(text.to_owned()))
    }
}

impl From<String> for ClaimKey {
    fn from(text: String) -> Self {
        Self(Key::Text(text))
    }
}

impl fmt::Debug for ClaimKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClaimKey").finish_non_exhaustive()
    }
}

/// The value of a claim. `Debug` prints nothing of it.
#[derive(Clone)]
pub struct ClaimValue(Node);

#[derive(Clone)]
enum Node {
    Array(ClaimArray),
    Leaf(ItemBuf),
    Map(ClaimMap),
}

impl ClaimValue {
    /// Takes any item in canonical CBOR, without redaction of its parts.
    ///
    /// # Errors
    /// [`ClaimSetError::Cbor`] for bytes that are not exactly one.
    pub fn from_cbor(bytes: &[u8]) -> Result<Self, ClaimSetError> {
        let limits = Limits::new(profile::MAX_TOKEN).with_depth(profile::MAX_DEPTH);
        Ok(Self(Node::Leaf(ItemBuf::parse(bytes, &limits).map_err(|_| ClaimSetError::Cbor)?)))
    }

    /// A value with how well it is known, which travel together: see [`Claims::assured`](crate::Claims::assured).
    #[must_use]
    pub fn assured(
        value: impl Into<Self>,
        assurance: Assurance,
        method: &str,
        verified_at: Timestamp,
        source: Option<&str>,
    ) -> Self {
        let map = ClaimMap::new()
            .claim("value", value)
            .claim("assurance", i64::from(assurance.level()))
            .claim("method", method)
            .claim("verified_at", verified_at.secs());
        Self(Node::Map(match source {
            Some(source) => map.claim("source", source),
            None => map,
        }))
    }

    fn written(write: impl FnOnce(&mut Writer)) -> Self {
        let mut writer = Writer::new();
        write(&mut writer);
        // One item of the writer is one canonical item; the fallback can't be reached, and means nothing if it were.
        let limits = Limits::new(usize::MAX);
        match ItemBuf::parse(writer.as_slice(), &limits) {
            Ok(item) => Self(Node::Leaf(item)),
            Err(_) => Self(Node::Map(ClaimMap::new())),
        }
    }
}

/// Writes `From` for the scalar types.
macro_rules! values {
    ($($type:ty: |$writer:ident, $value:ident| $write:expr,)+) => {
        $(impl From<$type> for ClaimValue {
            fn from($value: $type) -> Self {
                Self::written(|$writer| {
                    $write;
                })
            }
        })+
    };
}

values! {
    bool: |writer, value| writer.bool(value),
    f64: |writer, value| writer.float(value),
    i32: |writer, value| writer.int(value.into()),
    i64: |writer, value| writer.int(value),
    u32: |writer, value| writer.uint(value.into()),
    u64: |writer, value| writer.uint(value),
    &str: |writer, value| writer.text(value),
    &[u8]: |writer, value| writer.bytes(value),
    String: |writer, value| writer.text(&value),
}

impl From<ItemBuf> for ClaimValue {
    fn from(item: ItemBuf) -> Self {
        Self(Node::Leaf(item))
    }
}

impl From<ClaimMap> for ClaimValue {
    fn from(map: ClaimMap) -> Self {
        Self(Node::Map(map))
    }
}

impl From<ClaimArray> for ClaimValue {
    fn from(array: ClaimArray) -> Self {
        Self(Node::Array(array))
    }
}

impl fmt::Debug for ClaimValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClaimValue").finish_non_exhaustive()
    }
}

impl Node {
    /// `level` is that of the value itself.
    fn check(&self, level: usize, disclosures: &mut usize) -> Result<(), ClaimSetError> {
        if level > profile::MAX_LEVELS {
            return Err(ClaimSetError::Levels);
        }
        match self {
            Self::Leaf(item) => check_leaf(item.as_item(), level),
            Self::Map(map) => map.check(level.saturating_add(1), disclosures),
            Self::Array(array) => {
                *disclosures = disclosures.saturating_add(array.decoys);
                array.elements.iter().try_for_each(|(value, redact)| {
                    *disclosures = disclosures.saturating_add(usize::from(*redact));
                    value.0.check(level.saturating_add(1), disclosures)
                })
            }
        }
    }

    /// About how many bytes it takes.
    fn size(&self) -> usize {
        match self {
            Self::Array(array) => array.places().saturating_mul(DIGEST),
            Self::Leaf(item) => item.bytes().len(),
            Self::Map(map) => map.places().saturating_mul(DIGEST),
        }
    }

    // Recursion is bounded: a set has at most 16 levels.
    fn write<R: CryptoRng>(&self, writer: &mut Writer, minter: &mut Minter<'_, R>) {
        match self {
            Self::Leaf(item) => {
                writer.item(item.as_item());
            }
            Self::Map(map) => {
                writer.map(|entries| map.write_entries(entries, minter));
            }
            Self::Array(array) => array.write(writer, minter),
        }
    }
}

fn check_leaf(item: Item<'_>, level: usize) -> Result<(), ClaimSetError> {
    check_tree(item, Markers::Forbidden, &mut Vec::new()).map_err(|error| match error {
        ClaimsError::KeyType => ClaimSetError::Key,
        ClaimsError::ReservedTag => ClaimSetError::ReservedTag,
        _ => ClaimSetError::Marker,
    })?;
    if !matches!(item.kind(), Kind::Array | Kind::Map | Kind::Tag) {
        return Ok(());
    }
    let mut containers = Vec::from([(item, level)]);
    while let Some((container, level)) = containers.pop() {
        if level > profile::MAX_LEVELS {
            return Err(ClaimSetError::Levels);
        }
        let below = level.saturating_add(1);
        match container.kind() {
            Kind::Array => containers.extend(container.as_array().into_iter().flatten().map(|item| (item, below))),
            Kind::Map => containers.extend(container.as_map().into_iter().flatten().map(|(_, item)| (item, below))),
            Kind::Tag => containers.extend(container.as_tag().map(|(_, item)| (item, below))),
            _ => {}
        }
    }
    Ok(())
}

/// A map among the claims, whose entries may be redacted one by one.
#[derive(Clone, Default)]
pub struct ClaimMap {
    members: Vec<Member>,
    decoys: usize,
}

#[derive(Clone)]
struct Member {
    key: ClaimKey,
    value: Node,
    redact: bool,
}

impl ClaimMap {
    /// A map without entries.
    #[must_use]
    pub const fn new() -> Self {
        Self { members: Vec::new(), decoys: 0 }
    }

    /// Adds an entry that is seen wherever the map is.
    #[must_use]
    pub fn claim(self, key: impl Into<ClaimKey>, value: impl Into<ClaimValue>) -> Self {
        self.with(Member { key: key.into(), value: value.into().0, redact: false })
    }

    /// Adds an entry that the person shows or withholds.
    #[must_use]
    pub fn redactable(self, key: impl Into<ClaimKey>, value: impl Into<ClaimValue>) -> Self {
        self.with(Member { key: key.into(), value: value.into().0, redact: true })
    }

    /// Adds digests that stand for nothing.
    #[must_use]
    pub fn decoys(self, decoys: usize) -> Self {
        Self { decoys: self.decoys.saturating_add(decoys), ..self }
    }

    fn with(mut self, member: Member) -> Self {
        self.members.push(member);
        self
    }

    /// `level` is that of the entries.
    fn check(&self, level: usize, disclosures: &mut usize) -> Result<(), ClaimSetError> {
        *disclosures = disclosures.saturating_add(self.decoys);
        let mut keys = Vec::with_capacity(self.members.len());
        for member in &self.members {
            if matches!(&member.key.0, Key::Text(text) if text.len() > profile::MAX_LABEL) {
                return Err(ClaimSetError::Key);
            }
            keys.push(&member.key.0);
            *disclosures = disclosures.saturating_add(usize::from(member.redact));
            member.value.check(level, disclosures)?;
        }
        keys.sort_unstable();
        if keys.windows(2).any(|pair| matches!(pair, [left, right] if left == right)) {
            return Err(ClaimSetError::DuplicateKey);
        }
        Ok(())
    }

    /// The registered claims that are not the template's must have their types.
    fn check_registered(&self) -> Result<(), ClaimSetError> {
        let good = |member: &Member| match (member.key.as_int(), &member.value) {
            (Some(profile::SUB), value) => matches!(value, Node::Leaf(item) if item.as_item().as_str().is_some()),
            (Some(profile::AUD), value) => matches!(value, Node::Leaf(item) if is_audience(item.as_item())),
            (Some(profile::CTI), value) => matches!(value, Node::Leaf(item) if item.as_item().as_bytes().is_some()),
            _ => true,
        };
        if self.members.iter().all(good) { Ok(()) } else { Err(ClaimSetError::Type) }
    }

    fn places(&self) -> usize {
        self.members.len().saturating_add(self.decoys)
    }

    fn write_entries<R: CryptoRng>(&self, entries: &mut MapWriter, minter: &mut Minter<'_, R>) {
        let mut digests = Vec::with_capacity(self.places());
        for member in &self.members {
            if member.redact {
                digests.push(minter.mint(Some((&member.value, Some(&member.key)))));
            } else {
                entries.entry(|writer| member.key.write(writer), |writer| member.value.write(writer, minter));
            }
        }
        digests.extend((0..self.decoys).map(|_| minter.mint(None)));
        if digests.is_empty() {
            return;
        }
        digests.sort_unstable_by(|left, right| bytewise(left, right));
        entries.entry(
            |writer| {
                writer.simple(profile::REDACTED_KEYS);
            },
            |writer| {
                writer.array(digests.len());
                for digest in &digests {
                    writer.bytes(digest);
                }
            },
        );
    }
}

impl fmt::Debug for ClaimMap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClaimMap").field("entries", &self.members.len()).finish_non_exhaustive()
    }
}

/// An array among the claims, whose elements may be redacted one by one.
#[derive(Clone, Default)]
pub struct ClaimArray {
    elements: Vec<(ClaimValue, bool)>,
    decoys: usize,
}

impl ClaimArray {
    /// An array without elements.
    #[must_use]
    pub const fn new() -> Self {
        Self { elements: Vec::new(), decoys: 0 }
    }

    /// Adds an element that is seen wherever the array is.
    #[must_use]
    pub fn element(mut self, value: impl Into<ClaimValue>) -> Self {
        self.elements.push((value.into(), false));
        self
    }

    /// Adds an element that the person shows or withholds.
    #[must_use]
    pub fn redactable(mut self, value: impl Into<ClaimValue>) -> Self {
        self.elements.push((value.into(), true));
        self
    }

    /// Adds digests that stand for nothing, at random places.
    #[must_use]
    pub fn decoys(self, decoys: usize) -> Self {
        Self { decoys: self.decoys.saturating_add(decoys), ..self }
    }

    fn places(&self) -> usize {
        self.elements.len().saturating_add(self.decoys)
    }

    fn write<R: CryptoRng>(&self, writer: &mut Writer, minter: &mut Minter<'_, R>) {
        let mut places: Vec<Option<&(ClaimValue, bool)>> = self.elements.iter().map(Some).collect();
        for _ in 0..self.decoys {
            places.insert(minter.below(places.len().saturating_add(1)), None);
        }
        writer.array(places.len());
        for place in places {
            let digest = match place {
                Some((value, false)) => {
                    value.0.write(writer, minter);
                    continue;
                }
                Some((value, true)) => minter.mint(Some((&value.0, None))),
                None => minter.mint(None),
            };
            writer.tag(profile::REDACTED_ELEMENT).bytes(&digest);
        }
    }
}

impl fmt::Debug for ClaimArray {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClaimArray").field("elements", &self.elements.len()).finish_non_exhaustive()
    }
}

/// Makes disclosures, each with a salt of its own.
pub(crate) struct Minter<'r, R> {
    rng: &'r mut R,
    // As numbers: to be compared with each other, no more.
    salts: Vec<u128>,
    disclosures: Vec<Vec<u8>>,
}

impl<'r, R: CryptoRng> Minter<'r, R> {
    /// One for that many disclosures.
    pub(crate) fn new(rng: &'r mut R, disclosures: usize) -> Self {
        Self { rng, salts: Vec::with_capacity(disclosures), disclosures: Vec::with_capacity(disclosures) }
    }

    /// The disclosures, each as the content of its byte string, sorted so that their order doesn't tell.
    pub(crate) fn finish(self) -> Result<Vec<Vec<u8>>, IssueError> {
        let Self { mut salts, mut disclosures, .. } = self;
        salts.sort_unstable();
        if salts.windows(2).any(|pair| matches!(pair, [left, right] if left == right)) {
            return Err(IssueError::Randomness);
        }
        disclosures.sort_unstable_by(|left, right| bytewise(left, right));
        Ok(disclosures)
    }

    /// Makes one disclosure and returns its digest, that of the byte string with its head.
    fn mint(&mut self, claim: Option<(&Node, Option<&ClaimKey>)>) -> [u8; profile::DIGEST_LEN] {
        let mut salt = [0; profile::SALT_LEN];
        self.rng.fill_bytes(&mut salt);
        self.salts.push(u128::from_be_bytes(salt));
        let mut writer = Writer::with_capacity(claim.map_or(0, |(value, _)| value.size()).saturating_add(DISCLOSURE));
        match claim {
            None => {
                writer.array(1).bytes(&salt);
            }
            Some((value, None)) => {
                writer.array(2).bytes(&salt);
                value.write(&mut writer, self);
            }
            Some((value, Some(key))) => {
                writer.array(3).bytes(&salt);
                value.write(&mut writer, self);
                key.write(&mut writer);
            }
        }
        let disclosure = writer.into_vec();
        let digest = wrapped_digest(&disclosure);
        self.disclosures.push(disclosure);
        digest
    }

    /// A number below `end`, for places only: its bias is of no weight.
    fn below(&mut self, end: usize) -> usize {
        let end = u64::try_from(end).unwrap_or(u64::MAX).max(1);
        usize::try_from(self.rng.next_u64() % end).unwrap_or(0)
    }
}

/// SHA-256 of a byte string with its head, of which there are many: without a copy of it.
fn wrapped_digest(content: &[u8]) -> [u8; profile::DIGEST_LEN] {
    let [.., b3, b2, b1, b0] = content.len().to_be_bytes();
    let head: &[u8] = match (b3, b2, b1, b0) {
        (0, 0, 0, ..24) => &[0x40 | b0],
        (0, 0, 0, _) => &[0x58, b0],
        (0, 0, ..) => &[0x59, b1, b0],
        _ => &[0x5a, b3, b2, b1, b0],
    };
    hash::sha256_parts(&[head, content])
}

/// Claims of which the template, the issuer or the holder's key say all there is to say.
const SET_BY_TEMPLATE: &[i64] = &[
    profile::ISS,
    profile::EXP,
    profile::NBF,
    profile::IAT,
    profile::CNF,
    profile::VCT,
    profile::CNONCE,
    profile::STATUS,
];
/// Bytes of a digest with its head.
const DIGEST: usize = 34;
/// Bytes of a disclosure but for its value: salt, heads, most keys.
const DISCLOSURE: usize = 48;

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;

    #[test]
    fn a_digest_is_that_of_the_byte_string_as_it_is_written() {
        for len in [0, 1, 23, 24, 255, 256, 65_535, 65_536, 200_000] {
            let content = vec![7; len];
            let mut writer = Writer::new();
            writer.bytes(&content);
            assert_eq!(wrapped_digest(&content), hash::sha256(writer.as_slice()), "{len}");
        }
    }
}
