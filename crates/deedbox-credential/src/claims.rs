//! Claims: paths, reading what was accepted, registered members and their types, dates, assured values.

use alloc::{
    borrow::{Cow, ToOwned},
    string::String,
    vec::Vec,
};
use core::{cmp::Ordering, fmt};

use deedbox_cbor::{Item, ItemBuf, Map, Writer};
use deedbox_model::{Assurance, Timestamp};

use crate::{
    error::{ClaimError, ClaimsError},
    profile,
};

/// One step of a [`ClaimPath`].
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Segment {
    /// Every element of an array.
    Every,
    /// An integer key, or an element's place in an array, counted from 0.
    Int(i64),
    /// A text key.
    Text(String),
}

impl Segment {
    /// A key, or the mark for every element.
    fn read(item: Item<'_>) -> Option<Self> {
        if item.is_null() {
            return Some(Self::Every);
        }
        let int = item.as_i64().map(Self::Int);
        int.or_else(|| Some(Self::Text(item.as_str().filter(|text| text.len() <= profile::MAX_LABEL)?.to_owned())))
    }

    pub(crate) fn is_key(&self, key: Item<'_>) -> bool {
        match self {
            Self::Every => false,
            Self::Int(int) => key.as_i64() == Some(*int),
            Self::Text(text) => key.as_str() == Some(text),
        }
    }

    pub(crate) fn is_index(&self, at: usize) -> bool {
        match self {
            Self::Every => true,
            Self::Int(int) => usize::try_from(*int) == Ok(at),
            Self::Text(_) => false,
        }
    }
}

impl From<i64> for Segment {
    fn from(int: i64) -> Self {
        Self::Int(int)
    }
}

impl From<&str> for Segment {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Segment {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

/// Every element of an array.
impl From<()> for Segment {
    fn from((): ()) -> Self {
        Self::Every
    }
}

/// Where a claim stands: keys and places, from the top. Made by [`claim_path!`](crate::claim_path).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClaimPath(Vec<Segment>);

impl ClaimPath {
    /// A path of these steps. One without any names nothing.
    #[must_use]
    pub fn new(segments: Vec<Segment>) -> Self {
        Self(segments)
    }

    /// Its steps.
    #[must_use]
    pub fn segments(&self) -> &[Segment] {
        &self.0
    }

    /// `path = [+ int / tstr / null]`
    pub(crate) fn read(item: Item<'_>) -> Option<Self> {
        let segments =
            item.as_array().filter(|segments| !segments.is_empty() && segments.len() <= profile::MAX_LEVELS)?;
        segments.iter().map(Segment::read).collect::<Option<Vec<_>>>().map(Self)
    }

    pub(crate) fn write(&self, writer: &mut Writer) {
        writer.array(self.0.len());
        for segment in &self.0 {
            match segment {
                Segment::Every => writer.null(),
                Segment::Int(int) => writer.int(*int),
                Segment::Text(text) => writer.text(text),
            };
        }
    }
}

/// Makes a [`ClaimPath`]: `claim_path![501]`, `claim_path![503, "region"]`, and `()` for every element of an array.
#[macro_export]
macro_rules! claim_path {
    ($($segment:expr),+ $(,)?) => {
        $crate::ClaimPath::new([$($crate::Segment::from($segment)),+].into())
    };
}

/// The claims of one credential as they were disclosed: a map in deterministic CBOR, without markers.
///
/// `Debug` prints how many there are, never which.
#[derive(Clone, PartialEq, Eq)]
pub struct Claims {
    // INVARIANT (map): made by the disclosure engine only.
    map: ItemBuf,
}

impl Claims {
    pub(crate) fn new(map: ItemBuf) -> Self {
        Self { map }
    }

    /// The claims as one map in deterministic CBOR.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.map.bytes()
    }

    /// The claims as a CBOR item.
    #[must_use]
    pub fn as_item(&self) -> Item<'_> {
        self.map.as_item()
    }

    /// Reads the claim at `path`, which must not hold [`Segment::Every`].
    ///
    /// An element's place is counted among the elements disclosed.
    ///
    /// # Errors
    /// [`ClaimError::Missing`]: it is not there, or was not disclosed; nobody can tell which.
    pub fn at(&self, path: &ClaimPath) -> Result<Claim<'_>, ClaimError> {
        let (first, rest) = path.0.split_first().ok_or(ClaimError::Missing)?;
        let mut item = member(self.map.as_item(), first).ok_or(ClaimError::Missing)?;
        for segment in rest {
            item = member(item, segment).ok_or(ClaimError::Missing)?;
        }
        Ok(Claim(item))
    }

    /// Reads the assured value at `path`: value, assurance, method and time of the check, which travel together.
    ///
    /// # Errors
    /// [`ClaimError::Missing`] as for [`at`](Self::at); [`ClaimError::Kind`] where the claim is no assured value.
    pub fn assured(&self, path: &ClaimPath) -> Result<Assured<'_>, ClaimError> {
        Assured::read(self.at(path)?).ok_or(ClaimError::Kind)
    }
}

/// Prints the number of claims, never a claim.
impl fmt::Debug for Claims {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let len = self.map.as_item().as_map().map_or(0, Map::len);
        f.debug_struct("Claims").field("len", &len).finish_non_exhaustive()
    }
}

fn member<'a>(item: Item<'a>, segment: &Segment) -> Option<Item<'a>> {
    if let Some(map) = item.as_map() {
        return map.iter().find(|(key, _)| segment.is_key(*key)).map(|(_, value)| value);
    }
    match segment {
        Segment::Int(at) => item.as_array()?.get(usize::try_from(*at).ok()?),
        Segment::Every | Segment::Text(_) => None,
    }
}

/// One claim's value. `Debug` prints its kind and length, never its content.
#[derive(Debug, Clone, Copy)]
pub struct Claim<'a>(Item<'a>);

impl<'a> Claim<'a> {
    /// The value as a CBOR item, for kinds that have no accessor here.
    #[must_use]
    pub fn as_item(self) -> Item<'a> {
        self.0
    }

    /// A text.
    ///
    /// # Errors
    /// [`ClaimError::Kind`] where it is none.
    pub fn as_text(self) -> Result<&'a str, ClaimError> {
        self.0.as_str().ok_or(ClaimError::Kind)
    }

    /// An integer within 64 bits.
    ///
    /// # Errors
    /// [`ClaimError::Kind`] where it is none.
    pub fn as_int(self) -> Result<i64, ClaimError> {
        self.0.as_i64().ok_or(ClaimError::Kind)
    }

    /// `true` or `false`.
    ///
    /// # Errors
    /// [`ClaimError::Kind`] where it is neither.
    pub fn as_bool(self) -> Result<bool, ClaimError> {
        self.0.as_bool().ok_or(ClaimError::Kind)
    }

    /// A byte string.
    ///
    /// # Errors
    /// [`ClaimError::Kind`] where it is none.
    pub fn as_bytes(self) -> Result<&'a [u8], ClaimError> {
        self.0.as_bytes().ok_or(ClaimError::Kind)
    }
}

/// A value with how well it is known: one claim, disclosed as a whole or not at all.
///
/// ```cddl
/// { "value": any, "assurance": uint, "method": tstr, "verified_at": int, ? "source": tstr }
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Assured<'a> {
    value: Claim<'a>,
    assurance: Assurance,
    method: Claim<'a>,
    verified_at: Timestamp,
    source: Option<Claim<'a>>,
}

impl<'a> Assured<'a> {
    fn read(claim: Claim<'a>) -> Option<Self> {
        let map = claim.0.as_map()?;
        let method = map.get_text("method").filter(|item| item.as_str().is_some())?;
        let source = map.get_text("source");
        if source.is_some_and(|item| item.as_str().is_none()) {
            return None;
        }
        let known = if source.is_some() { 5 } else { 4 };
        if map.len() != known {
            return None;
        }
        Some(Self {
            value: Claim(map.get_text("value")?),
            assurance: Assurance::decode(map.get_text("assurance")?)?,
            method: Claim(method),
            verified_at: Timestamp::from_secs(map.get_text("verified_at")?.as_u64()?),
            source: source.map(Claim),
        })
    }

    /// The value itself.
    #[must_use]
    pub fn value(&self) -> Claim<'a> {
        self.value
    }

    /// How well it is known.
    #[must_use]
    pub fn assurance(&self) -> Assurance {
        self.assurance
    }

    /// How it was checked, in the issuer's words.
    #[must_use]
    pub fn method(&self) -> &'a str {
        self.method.0.as_str().unwrap_or_default()
    }

    /// When it was checked.
    #[must_use]
    pub fn verified_at(&self) -> Timestamp {
        self.verified_at
    }

    /// Where it was taken from, in the issuer's words.
    #[must_use]
    pub fn source(&self) -> Option<&'a str> {
        self.source?.0.as_str()
    }
}

/// The type of a credential (`vct`, claim 11): a text, or a registered number of 16 bits. Equal only to its own kind.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Vct(VctKind<'static>);

impl Vct {
    /// A text, usually a URI, usable in constants.
    #[must_use]
    pub const fn text(text: &'static str) -> Self {
        Self(VctKind::Text(Cow::Borrowed(text)))
    }

    /// A registered number, usable in constants.
    #[must_use]
    pub const fn number(number: u16) -> Self {
        Self(VctKind::Number(number))
    }

    /// The text, if it is one.
    #[must_use]
    pub fn as_text(&self) -> Option<&str> {
        match &self.0 {
            VctKind::Number(_) => None,
            VctKind::Text(text) => Some(text),
        }
    }

    /// The number, if it is one.
    #[must_use]
    pub fn as_number(&self) -> Option<u16> {
        match self.0 {
            VctKind::Number(number) => Some(number),
            VctKind::Text(_) => None,
        }
    }

    pub(crate) fn read(item: Item<'_>) -> Option<Self> {
        Some(Self::from_kind(&read_vct(item)?))
    }

    pub(crate) fn write(&self, writer: &mut Writer) {
        match &self.0 {
            VctKind::Number(number) => writer.uint((*number).into()),
            VctKind::Text(text) => writer.text(text),
        };
    }

    pub(crate) fn is(&self, other: &VctKind<'_>) -> bool {
        &self.0 == other
    }

    pub(crate) fn from_kind(kind: &VctKind<'_>) -> Self {
        Self(match kind {
            VctKind::Number(number) => VctKind::Number(*number),
            VctKind::Text(text) => VctKind::Text(Cow::Owned(text.clone().into_owned())),
        })
    }
}

impl From<u16> for Vct {
    fn from(number: u16) -> Self {
        Self::number(number)
    }
}

impl From<&str> for Vct {
    fn from(text: &str) -> Self {
        Self(VctKind::Text(Cow::Owned(text.to_owned())))
    }
}

impl From<String> for Vct {
    fn from(text: String) -> Self {
        Self(VctKind::Text(Cow::Owned(text)))
    }
}

/// Prints which of the two it is, never the type itself: it says what a person holds.
impl fmt::Debug for Vct {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            VctKind::Number(_) => "Vct(number)",
            VctKind::Text(_) => "Vct(text)",
        })
    }
}

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum VctKind<'a> {
    Number(u16),
    Text(Cow<'a, str>),
}

/// Where the status of a credential is found: an index in the list at a URI.
///
/// `Debug` prints neither, because both are the person's alone.
#[derive(Clone, PartialEq, Eq)]
pub struct StatusReference {
    idx: u64,
    uri: String,
}

impl StatusReference {
    /// The entry `idx` of the list at `uri`.
    pub fn new(idx: u64, uri: impl Into<String>) -> Self {
        Self { idx, uri: uri.into() }
    }

    /// The index.
    #[must_use]
    pub fn idx(&self) -> u64 {
        self.idx
    }

    /// Where the list is.
    #[must_use]
    pub fn uri(&self) -> &str {
        &self.uri
    }
}

impl fmt::Debug for StatusReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StatusReference").finish_non_exhaustive()
    }
}

/// A date of a token, exact: an int within 64 bits or a finite float within 2^53.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub(crate) struct Date {
    /// Whole seconds towards zero.
    whole: i64,
    /// What is left of a float, with its sign; exact, because no bit is lost by taking the whole away.
    rest: f64,
}

impl Date {
    pub(crate) fn from_secs(whole: i64) -> Self {
        Self { whole, rest: 0.0 }
    }

    pub(crate) fn read(item: Item<'_>) -> Result<Self, ClaimsError> {
        if let Some(whole) = item.as_i64() {
            return Ok(Self { whole, rest: 0.0 });
        }
        let float = item.as_f64().filter(|float| float.abs() <= MAX_FLOAT_DATE).ok_or(ClaimsError::Date)?;
        #[expect(clippy::cast_possible_truncation, reason = "finite and within 2^53, so whole seconds fit")]
        let whole = float as i64;
        let rest = float - whole as f64;
        Ok(Self { whole, rest })
    }

    /// Whole seconds since 1970: none of them is after the date.
    pub(crate) fn to_timestamp(self) -> Timestamp {
        Timestamp::from_secs(u64::try_from(self.whole).unwrap_or(0))
    }

    /// Compares with a whole number of seconds.
    pub(crate) fn compare(self, secs: i128) -> Ordering {
        i128::from(self.whole).cmp(&secs).then_with(|| self.rest.partial_cmp(&0.0).unwrap_or(Ordering::Equal))
    }

    /// `self − other ≤ secs`, for whole seconds.
    pub(crate) fn exceeds_by_at_most(self, other: Self, secs: u64) -> bool {
        let whole = i128::from(self.whole) - i128::from(other.whole);
        match whole.cmp(&i128::from(secs)) {
            Ordering::Equal => self.rest <= other.rest,
            // The rests differ by less than two.
            Ordering::Less if whole + 1 == i128::from(secs) => self.rest - other.rest <= 1.0,
            Ordering::Less => true,
            Ordering::Greater if whole - 1 == i128::from(secs) => self.rest - other.rest <= -1.0,
            Ordering::Greater => false,
        }
    }
}

/// 2^53.
const MAX_FLOAT_DATE: f64 = 9_007_199_254_740_992.0;

/// The registered members of a credential's claims, by type.
pub(crate) struct Registered<'a> {
    pub(crate) iss: &'a str,
    pub(crate) sub: Option<Item<'a>>,
    pub(crate) aud: Option<Item<'a>>,
    pub(crate) exp: Option<Date>,
    pub(crate) nbf: Option<Date>,
    pub(crate) iat: Option<Date>,
    pub(crate) cnf: Option<Item<'a>>,
    pub(crate) vct: Option<VctKind<'a>>,
    pub(crate) status: Option<(u64, &'a str)>,
}

impl<'a> Registered<'a> {
    /// Reads them; `cnf` is looked at later, because it is a matter of binding.
    pub(crate) fn read(claims: Map<'a>) -> Result<Self, ClaimsError> {
        let mut iss = None;
        let mut read =
            Self { iss: "", sub: None, aud: None, exp: None, nbf: None, iat: None, cnf: None, vct: None, status: None };
        for (key, value) in claims {
            let Some(key) = key.as_i64() else { continue };
            let of_type = |good: bool| if good { Ok(value) } else { Err(ClaimsError::Type(key)) };
            match key {
                profile::ISS => iss = Some(value.as_str().ok_or(ClaimsError::Type(key))?),
                profile::SUB => read.sub = Some(of_type(value.as_str().is_some())?),
                profile::AUD => read.aud = Some(of_type(is_audience(value))?),
                profile::EXP => read.exp = Some(Date::read(value)?),
                profile::NBF => read.nbf = Some(Date::read(value)?),
                profile::IAT => read.iat = Some(Date::read(value)?),
                profile::CTI | profile::CNONCE => {
                    of_type(value.as_bytes().is_some())?;
                }
                profile::CNF => read.cnf = Some(value),
                profile::VCT => read.vct = Some(read_vct(value).ok_or(ClaimsError::Type(key))?),
                profile::STATUS => read.status = Some(read_status(value).ok_or(ClaimsError::Status)?),
                _ => {}
            }
        }
        read.iss = iss.ok_or(ClaimsError::Missing(profile::ISS))?;
        Ok(read)
    }

    /// Whether the credential may be shown to `audience`.
    pub(crate) fn is_for(&self, audience: &str) -> bool {
        let Some(aud) = self.aud else { return true };
        aud.as_str() == Some(audience)
            || aud.as_array().is_some_and(|array| array.iter().any(|name| name.as_str() == Some(audience)))
    }

    pub(crate) fn status_reference(&self) -> Option<StatusReference> {
        self.status.map(|(idx, uri)| StatusReference::new(idx, uri))
    }
}

pub(crate) fn is_audience(item: Item<'_>) -> bool {
    item.as_str().is_some()
        || item.as_array().is_some_and(|array| !array.is_empty() && array.iter().all(|name| name.as_str().is_some()))
}

fn read_vct(item: Item<'_>) -> Option<VctKind<'_>> {
    if let Some(text) = item.as_str() {
        return Some(VctKind::Text(Cow::Borrowed(text)));
    }
    u16::try_from(item.as_u64()?).ok().map(VctKind::Number)
}

fn read_status(item: Item<'_>) -> Option<(u64, &str)> {
    let list = item.as_map()?.get_text(profile::STATUS_LIST)?.as_map()?;
    Some((list.get_text(profile::STATUS_IDX)?.as_u64()?, list.get_text(profile::STATUS_URI)?.as_str()?))
}
