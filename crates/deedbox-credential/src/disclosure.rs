//! The disclosure engine: tree rules, digests, assembly and selection. It knows nothing of COSE.

use alloc::{vec, vec::Vec};
use core::cmp::Ordering;

use deedbox_cbor::{Array, Entry, Item, ItemBuf, Kind, Limits, Map, Order, Writer};
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

/// Checks the tree rules over `item` and adds every digest found to `digests`: first those of a container, then those below it.
///
/// It recurses, at most as deep as the reader lets containers be: so no input makes it take memory.
pub(crate) fn check_tree<'a>(item: Item<'a>, rule: Markers, digests: &mut Vec<&'a [u8]>) -> Result<(), ClaimsError> {
    let mut add = |digest: Item<'a>| {
        let digest = as_digest(digest).filter(|_| rule == Markers::Allowed).ok_or(ClaimsError::Marker)?;
        digests.push(digest);
        Ok(())
    };
    match item.kind() {
        Kind::Array => {
            let elements = || item.as_array().into_iter().flatten();
            elements().filter_map(as_redacted_element).try_for_each(add)?;
            elements()
                .filter(|element| as_redacted_element(*element).is_none())
                .try_for_each(|element| check_tree(element, rule, digests))
        }
        Kind::Map => {
            let entries = || item.as_map().into_iter().flatten();
            for (key, value) in entries() {
                if is_redacted_keys(key) {
                    if rule == Markers::Forbidden {
                        return Err(ClaimsError::Marker);
                    }
                    value.as_array().ok_or(ClaimsError::Marker)?.iter().try_for_each(&mut add)?;
                } else if !is_label(key) {
                    return Err(ClaimsError::KeyType);
                }
            }
            entries()
                .filter(|(key, _)| !is_redacted_keys(*key))
                .try_for_each(|(_, value)| check_tree(value, rule, digests))
        }
        Kind::Simple if is_redacted_keys(item) => Err(ClaimsError::Marker),
        Kind::Tag => match item.as_tag() {
            Some((number, _)) if profile::RESERVED_TAGS.contains(&number) => Err(ClaimsError::ReservedTag),
            Some((number, content)) if number != profile::REDACTED_ELEMENT => check_tree(content, rule, digests),
            _ => Err(ClaimsError::Marker),
        },
        _ => Ok(()),
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

/// Whether `key` is the one under which a map's redacted entries stand.
fn is_redacted_keys(key: Item<'_>) -> bool {
    key.as_simple() == Some(profile::REDACTED_KEYS)
}

/// What should be the digest of a redacted array element, if `item` is one.
fn as_redacted_element(item: Item<'_>) -> Option<Item<'_>> {
    let (number, content) = item.as_tag()?;
    (number == profile::REDACTED_ELEMENT).then_some(content)
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
    /// As a number: to be compared with others, no more.
    salt: u128,
}

impl<'a> Disclosure<'a> {
    fn parse(item: Item<'a>, digests: &mut Vec<&'a [u8]>) -> Result<Self, VerifyError> {
        let content = item.as_bytes().ok_or(DisclosureError::Shape)?;
        let limits = Limits::new(profile::MAX_TOKEN).with_depth(profile::MAX_DEPTH);
        let mut parts = deedbox_cbor::read(content, Order::Any, &limits)?.cursor();
        parts.array().filter(|len| (1..=3).contains(len)).ok_or(DisclosureError::Shape)?;
        let salt = parts.bytes().and_then(|salt| <[u8; profile::SALT_LEN]>::try_from(salt).ok());
        let salt = u128::from_be_bytes(salt.ok_or(DisclosureError::Salt)?);
        let (value, key) = (parts.item(), parts.item());
        if key.is_some_and(|key| !is_label(key)) {
            return Err(DisclosureError::Key.into());
        }
        if let Some(value) = value {
            check_tree(value, Markers::Allowed, digests)?;
        }
        Ok(Self { item, value, key, salt })
    }

    /// Key and value where it stands for an entry of a map, nothing for a decoy. `top`: the map is that of the claims.
    fn as_member(&self, top: bool) -> Result<Option<(Item<'a>, Item<'a>)>, DisclosureError> {
        match (self.value, self.key) {
            (Some(_), Some(key)) if top && key.as_i64().is_some_and(profile::is_never_redacted) => {
                Err(DisclosureError::NeverRedacted)
            }
            (Some(value), Some(key)) => Ok(Some((key, value))),
            (Some(_), None) => Err(DisclosureError::WrongPosition),
            (None, _) => Ok(None),
        }
    }

    /// The value where it stands for an element of an array, nothing for a decoy.
    fn as_element(&self) -> Result<Option<Item<'a>>, DisclosureError> {
        match (self.value, self.key) {
            (Some(_), Some(_)) => Err(DisclosureError::WrongPosition),
            (value, _) => Ok(value),
        }
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
        // At most as many as fit, so that none moves.
        let mut digests = Vec::with_capacity(payload.bytes().len() / DIGEST_ITEM);
        check_tree(payload, Markers::Allowed, &mut digests)?;
        Ok(Self { root, digests })
    }

    /// Joins the claims with the disclosures of header 17: each is answered for by a digest, and each digest stands once. Whether
    /// each has its place is seen by [`Joined::assemble`].
    pub(crate) fn join(self, sd_claims: Option<Item<'a>>) -> Result<Joined<'a>, VerifyError> {
        let Self { root, mut digests } = self;
        let disclosures = read_disclosures(sd_claims, &mut digests)?;
        let sorted = Ranks::sort(&digests);
        if sorted.has_duplicate(&digests) {
            return Err(DisclosureError::DuplicateDigest.into());
        }
        let mut joined = Joined { root, disclosures, answers: vec![None; digests.len()], digests, sorted };
        joined.match_digests()?;
        Ok(joined)
    }
}

/// Places of byte strings in a list, in the order of the strings, with their ranks.
#[derive(Debug)]
struct Ranks(Vec<(u64, usize)>);

impl Ranks {
    fn sort<B: AsRef<[u8]>>(strings: &[B]) -> Self {
        let mut ranks: Vec<(u64, usize)> = strings.iter().map(|string| rank(string.as_ref())).zip(0..).collect();
        ranks.sort_unstable_by(|left, right| {
            // Whoever chooses digests of equal ranks makes this slower, not wrong, and no worse than any sorting.
            left.0.cmp(&right.0).then_with(|| at(strings, left.1).cmp(at(strings, right.1)))
        });
        Self(ranks)
    }

    fn has_duplicate<B: AsRef<[u8]>>(&self, strings: &[B]) -> bool {
        let equal = |left: &(u64, usize), right: &(u64, usize)| {
            left.0 == right.0 && at(strings, left.1) == at(strings, right.1)
        };
        self.0.windows(2).any(|pair| matches!(pair, [left, right] if equal(left, right)))
    }

    /// The place of `string` in the list.
    fn find<B: AsRef<[u8]>>(&self, strings: &[B], string: &[u8]) -> Option<usize> {
        let wanted = rank(string);
        let found =
            self.0.binary_search_by(|(rank, place)| rank.cmp(&wanted).then_with(|| at(strings, *place).cmp(string)));
        self.0.get(found.ok()?).map(|(_, place)| *place)
    }
}

fn at<B: AsRef<[u8]>>(strings: &[B], place: usize) -> &[u8] {
    strings.get(place).map(AsRef::as_ref).unwrap_or_default()
}

/// Bytewise order, for many strings that differ early.
pub(crate) fn bytewise(left: &[u8], right: &[u8]) -> Ordering {
    rank(left).cmp(&rank(right)).then_with(|| left.cmp(right))
}

/// The first eight bytes as a number, which orders most things without looking at the rest.
fn rank(bytes: &[u8]) -> u64 {
    if let Some(first) = bytes.first_chunk() {
        return u64::from_be_bytes(*first);
    }
    bytes.iter().fold(0, |rank, byte| (rank << 8) | u64::from(*byte)) << (64 - 8 * bytes.len().max(1))
}

/// Claims and disclosures of which each has its digest.
#[derive(Debug)]
pub(crate) struct Joined<'a> {
    root: Map<'a>,
    disclosures: Vec<Disclosure<'a>>,
    // INVARIANT (together): those of one container stand one after another, in their order.
    digests: Vec<&'a [u8]>,
    sorted: Ranks,
    /// For each digest the place of the disclosure that answers it.
    answers: Vec<Option<u32>>,
}

impl<'a> Joined<'a> {
    /// The disclosures in the order received.
    pub(crate) fn disclosures(&self) -> &[Disclosure<'a>] {
        &self.disclosures
    }

    /// Whether every digest has its disclosure, so that nothing is hidden from whoever holds them all.
    pub(crate) fn is_complete(&self) -> bool {
        self.answers.iter().all(Option::is_some)
    }

    /// The claims with all disclosures in place and all markers gone, in deterministic CBOR.
    ///
    /// Each disclosure is used exactly once, in the kind of container it was made for; what comes out has at most 16 levels.
    pub(crate) fn assemble(&self) -> Result<Assembled, VerifyError> {
        let (assembled, used) = self.write_out(&|_| true)?;
        // A disclosure's digest is in the claims or in another one's value, and no digest can be in what it is the digest of: so none is
        // ever left over. Looked at nevertheless.
        if used != self.disclosures.len() {
            return Err(DisclosureError::Orphan.into());
        }
        Ok(assembled)
    }

    /// The same, with those disclosures alone that `chosen` names by their place, of claims that were assembled before.
    pub(crate) fn assemble_some(&self, chosen: &dyn Fn(usize) -> bool) -> Result<Assembled, VerifyError> {
        Ok(self.write_out(chosen)?.0)
    }

    /// The claims, and how many disclosures are in them.
    fn write_out(&self, chosen: &dyn Fn(usize) -> bool) -> Result<(Assembled, usize), VerifyError> {
        let mut assembly = Assembly {
            joined: self,
            chosen,
            members: Vec::with_capacity(self.disclosures.len()),
            above: Vec::new(),
            records: 0,
            paths: Writer::with_capacity(self.disclosures.len().saturating_mul(PATH)),
            used: 0,
        };
        let mut writer = Writer::with_capacity(self.size());
        match assembly.map(&mut writer, self.root, 1) {
            Ok(()) => {}
            Err(Stop::Fault(fault)) => return Err(fault.into()),
            Err(Stop::TooDeep) => return Err(self.too_deep()),
        }
        let limits = Limits::new(usize::MAX).with_depth(profile::MAX_DEPTH);
        let claims = ItemBuf::parse(writer.as_slice(), &limits)?;
        Ok((Assembled { claims, paths: Paths(assembly.paths.into_vec()) }, assembly.used))
    }

    /// No less than what comes out, most often.
    fn size(&self) -> usize {
        let disclosed = self.disclosures.iter().map(|disclosure| disclosure.item.bytes().len());
        disclosed.fold(OPEN, usize::saturating_add)
    }

    /// Marks in `chosen` the disclosures that `path` needs: what it names and its redacted ancestors. Tells whether there is such a
    /// claim.
    pub(crate) fn select(&self, path: &ClaimPath, chosen: &mut [bool]) -> bool {
        let mut needed = Vec::new();
        self.select_in_map(self.root, path.segments(), &mut needed, chosen)
    }

    fn disclosed(&self, digest: &[u8]) -> Option<(usize, &Disclosure<'a>)> {
        self.answer(self.sorted.find(&self.digests, digest)?)
    }

    /// What answers the digest at `place`.
    fn answer(&self, place: usize) -> Option<(usize, &Disclosure<'a>)> {
        let index = usize::try_from((*self.answers.get(place)?)?).ok()?;
        Some((index, self.disclosures.get(index)?))
    }

    /// Step 4: the first disclosure fixes what is hashed; each result must be a digest of the claims.
    fn match_digests(&mut self) -> Result<(), VerifyError> {
        let Some(first) = self.disclosures.first() else { return Ok(()) };
        let wrapped = self.sorted.find(&self.digests, &hash::sha256(first.item.bytes())).is_some();
        let input = |disclosure: &Disclosure<'a>| if wrapped { disclosure.item.bytes() } else { disclosure.content() };
        let hashes: Vec<_> = self.disclosures.iter().map(|disclosure| hash::sha256(input(disclosure))).collect();
        // Both in one order, so each is looked at once.
        let mut digests = self.sorted.0.iter();
        for (rank, index) in Ranks::sort(&hashes).0 {
            let hash = at(&hashes, index);
            let place = loop {
                let (known, place) = digests.next().ok_or(DisclosureError::Orphan)?;
                match known.cmp(&rank).then_with(|| at(&self.digests, *place).cmp(hash)) {
                    Ordering::Less => {}
                    Ordering::Equal => break *place,
                    Ordering::Greater => return Err(DisclosureError::Orphan.into()),
                }
            };
            if let Some(answer) = self.answers.get_mut(place) {
                *answer = u32::try_from(index).ok();
            }
        }
        Ok(())
    }

    /// What is wrong with claims of more than 16 levels: that alone, or a fault of an earlier step.
    #[cold]
    fn too_deep(&self) -> VerifyError {
        let mut walk = Walk { joined: self, ahead: Vec::new(), keys: Vec::new() };
        match walk.all() {
            Err(fault) => fault.into(),
            Ok(()) => VerifyError::Limit { what: Limit::Levels, max: profile::MAX_LEVELS },
        }
    }

    /// The elements that are there, each with the place of its disclosure if it has one.
    fn elements(&self, array: Item<'a>) -> impl Iterator<Item = (Option<usize>, Item<'a>)> {
        array.as_array().into_iter().flatten().filter_map(|element| match as_redacted_element(element) {
            None => Some((None, element)),
            Some(digest) => {
                let (index, disclosure) = self.disclosed(digest.as_bytes()?)?;
                Some((Some(index), disclosure.value?))
            }
        })
    }

    // The two below recurse: what was assembled has at most 16 levels.
    fn select_in_map(&self, map: Map<'a>, path: &[Segment], needed: &mut Vec<usize>, chosen: &mut [bool]) -> bool {
        let Some((segment, rest)) = path.split_first() else { return false };
        for (key, value) in map {
            if !is_redacted_keys(key) {
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

/// Step 5 over all that is disclosed, whatever its depth.
///
/// It recurses within the payload or one disclosed value, at most as deep as the reader lets containers be: a chain of disclosures may
/// be thousands long.
struct Walk<'j, 'a> {
    joined: &'j Joined<'a>,
    /// Disclosed values to be walked yet.
    ahead: Vec<Item<'a>>,
    keys: Vec<&'a [u8]>,
}

impl<'a> Walk<'_, 'a> {
    fn all(&mut self) -> Result<(), DisclosureError> {
        self.map(self.joined.root, true)?;
        while let Some(value) = self.ahead.pop() {
            self.value(value)?;
        }
        Ok(())
    }

    fn value(&mut self, item: Item<'a>) -> Result<(), DisclosureError> {
        match item.kind() {
            Kind::Array => item.as_array().into_iter().flatten().try_for_each(|element| self.element(element)),
            Kind::Map => item.as_map().map_or(Ok(()), |map| self.map(map, false)),
            Kind::Tag => item.as_tag().map_or(Ok(()), |(_, content)| self.value(content)),
            _ => Ok(()),
        }
    }

    fn element(&mut self, element: Item<'a>) -> Result<(), DisclosureError> {
        let Some(digest) = as_redacted_element(element) else { return self.value(element) };
        if let Some((_, disclosure)) = digest.as_bytes().and_then(|digest| self.joined.disclosed(digest)) {
            self.ahead.extend(disclosure.as_element()?);
        }
        Ok(())
    }

    /// `top`: it is that of the claims.
    fn map(&mut self, map: Map<'a>, top: bool) -> Result<(), DisclosureError> {
        let digests =
            map.iter().filter(|(key, _)| is_redacted_keys(*key)).filter_map(|(_, value)| value.as_array()).flatten();
        self.keys.clear();
        for digest in digests.filter_map(Item::as_bytes) {
            let Some((_, disclosure)) = self.joined.disclosed(digest) else { continue };
            if let Some((key, value)) = disclosure.as_member(top)? {
                self.keys.push(key.bytes());
                self.ahead.push(value);
            }
        }
        // Those that are not disclosed differ from one another already.
        if !self.keys.is_empty() {
            self.keys.extend(map.iter().map(|(key, _)| key.bytes()));
            self.keys.sort_unstable();
            if self.keys.windows(2).any(|pair| matches!(pair, [left, right] if left == right)) {
                return Err(DisclosureError::DuplicateClaim);
            }
        }
        map.iter().filter(|(key, _)| !is_redacted_keys(*key)).try_for_each(|(_, value)| self.value(value))
    }
}

/// Claims as they were disclosed, and where the disclosures among them stand.
pub(crate) struct Assembled {
    pub(crate) claims: ItemBuf,
    pub(crate) paths: Paths,
}

/// Where disclosures stand, decoys aside: items `[parent: uint / null, step: int / tstr, disclosed: bool]`, one after another, in
/// which a parent is named by its number. So a long key is kept once, however many disclosures stand below it. Places within
/// arrays are counted among what is shown.
#[derive(Clone)]
pub(crate) struct Paths(Vec<u8>);

impl Paths {
    /// In the order of [`ClaimPath`], which tells nothing of that of the digests.
    pub(crate) fn to_vec(&self) -> Vec<ClaimPath> {
        let records = deedbox_cbor::read_sequence(&self.0, Order::Any, &Limits::new(usize::MAX));
        let (mut steps, mut paths): (Vec<(Option<usize>, Item<'_>)>, Vec<ClaimPath>) = (Vec::new(), Vec::new());
        for record in records.into_iter().flatten() {
            let Some([parent, step, disclosed]) = record.as_array().and_then(|parts| parts.exactly()) else { continue };
            steps.push((parent.as_u64().and_then(|parent| usize::try_from(parent).ok()), step));
            if disclosed.as_bool() == Some(true) {
                let mut path = Vec::new();
                let mut next = steps.last();
                while let Some((parent, step)) = next {
                    path.push(segment_of(*step));
                    next = parent.and_then(|parent| steps.get(parent));
                }
                path.reverse();
                paths.push(ClaimPath::new(path));
            }
        }
        paths.sort_unstable();
        paths
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}

/// A step from the claims map to what is being assembled.
#[derive(Clone, Copy)]
enum Step<'a> {
    At(usize),
    Key(Item<'a>),
}

impl Step<'_> {
    fn write(self, writer: &mut Writer) {
        match self {
            Self::At(at) => writer.uint(u64::try_from(at).unwrap_or(u64::MAX)),
            Self::Key(key) => writer.item(key),
        };
    }
}

/// Why an assembly stops.
enum Stop {
    Fault(DisclosureError),
    TooDeep,
}

impl From<DisclosureError> for Stop {
    fn from(fault: DisclosureError) -> Self {
        Self::Fault(fault)
    }
}

/// A disclosed entry of a map that is being assembled.
#[derive(Clone, Copy)]
struct Member<'a> {
    rank: u64,
    key: Item<'a>,
    value: Item<'a>,
}

impl<'a> Member<'a> {
    fn new(key: Item<'a>, value: Item<'a>) -> Self {
        Self { rank: rank(key.bytes()), key, value }
    }

    fn cmp(&self, key: Item<'_>) -> Ordering {
        self.rank.cmp(&rank(key.bytes())).then_with(|| self.key.bytes().cmp(key.bytes()))
    }
}

/// Steps 5 to 8 in one go: what comes out is written while each disclosure is put into its place.
///
/// It recurses, at most 16 levels deep.
struct Assembly<'j, 'a> {
    joined: &'j Joined<'a>,
    chosen: &'j dyn Fn(usize) -> bool,
    /// Disclosed entries of the maps around and of the one being written: one memory for all.
    members: Vec<Member<'a>>,
    /// The steps to what is being written, with their numbers in `paths` where they have one.
    above: Vec<(Step<'a>, Option<usize>)>,
    records: usize,
    paths: Writer,
    used: usize,
}

impl<'j, 'a> Assembly<'j, 'a> {
    /// The disclosure to be shown in place of the digest at `place`, counted.
    fn take(&mut self, place: usize) -> Option<&'j Disclosure<'a>> {
        let (index, disclosure) = self.joined.answer(place)?;
        if !(self.chosen)(index) {
            return None;
        }
        self.used = self.used.saturating_add(1);
        Some(disclosure)
    }

    /// The places of the digests of one container, given the first of them.
    fn places(&self, first: Option<&[u8]>) -> core::ops::RangeFrom<usize> {
        first.and_then(|digest| self.joined.sorted.find(&self.joined.digests, digest)).unwrap_or(usize::MAX)..
    }

    /// Notes that what stands at `step` was disclosed.
    fn note(&mut self, step: Step<'a>) {
        let (mut parent, mut records) = (None, self.records);
        let mut record = |paths: &mut Writer, parent: Option<usize>, step: Step<'_>, disclosed: bool| {
            paths.array(3);
            match parent.and_then(|parent| u64::try_from(parent).ok()) {
                Some(parent) => paths.uint(parent),
                None => paths.null(),
            };
            step.write(paths);
            paths.bool(disclosed);
            records = records.saturating_add(1);
            records.saturating_sub(1)
        };
        for (step, number) in &mut self.above {
            parent = Some(*number.get_or_insert_with(|| record(&mut self.paths, parent, *step, false)));
        }
        record(&mut self.paths, parent, step, true);
        self.records = records;
    }

    /// Writes what stands at `step`; `level` is its own.
    fn below(&mut self, step: Step<'a>, writer: &mut Writer, item: Item<'a>, level: usize) -> Result<(), Stop> {
        self.above.push((step, None));
        let result = self.value(writer, item, level);
        self.above.pop();
        result
    }

    /// `level` is that of the value itself.
    fn value(&mut self, writer: &mut Writer, item: Item<'a>, level: usize) -> Result<(), Stop> {
        if level > profile::MAX_LEVELS {
            return Err(Stop::TooDeep);
        }
        let below = level.saturating_add(1);
        match item.kind() {
            Kind::Map => match item.as_map() {
                Some(map) => self.map(writer, map, below),
                None => Ok(()),
            },
            Kind::Array => self.array(writer, item, below),
            Kind::Tag => match item.as_tag() {
                Some((number, content)) => {
                    writer.tag(number);
                    self.value(writer, content, below)
                }
                None => Ok(()),
            },
            _ => {
                writer.item(item);
                Ok(())
            }
        }
    }

    /// `level` is that of the members.
    fn map(&mut self, writer: &mut Writer, map: Map<'a>, level: usize) -> Result<(), Stop> {
        let start = self.members.len();
        let (mut open, mut sorted, mut before) = (0_usize, true, None);
        for (key, value) in map {
            if !is_redacted_keys(key) {
                open = open.saturating_add(1);
                sorted &= before.replace(key.bytes()).is_none_or(|before| before < key.bytes());
                continue;
            }
            let Some(digests) = value.as_array() else { continue };
            for place in self.places(digests.get(0).and_then(Item::as_bytes)).take(digests.len()) {
                let Some(disclosure) = self.take(place) else { continue };
                let Some((key, value)) = disclosure.as_member(level == 1)? else { continue };
                self.note(Step::Key(key));
                self.members.push(Member::new(key, value));
            }
        }
        let members = self.members.get_mut(start..).unwrap_or_default();
        members.sort_unstable_by(|left, right| left.cmp(right.key));
        if members.windows(2).any(|pair| matches!(pair, [left, right] if left.cmp(right.key).is_eq())) {
            return Err(DisclosureError::DuplicateClaim.into());
        }
        writer.sorted_map(open.saturating_add(members.len()));
        if sorted {
            self.merge(writer, map.iter(), start, level)?;
        } else {
            let mut entries = Vec::with_capacity(map.len());
            entries.extend(map.entries());
            entries.sort_unstable_by(|left, right| left.parts().0.bytes().cmp(right.parts().0.bytes()));
            self.merge(writer, entries.into_iter().map(Entry::parts), start, level)?;
        }
        self.members.truncate(start);
        Ok(())
    }

    /// Writes the entries of a map that came open, in order, and the members from `start` on among them.
    fn merge(
        &mut self,
        writer: &mut Writer,
        open: impl Iterator<Item = (Item<'a>, Item<'a>)>,
        start: usize,
        level: usize,
    ) -> Result<(), Stop> {
        let mut at = start;
        for (key, value) in open.filter(|(key, _)| !is_redacted_keys(*key)) {
            at = self.members_before(writer, Some(key), at, level)?;
            writer.item(key);
            self.below(Step::Key(key), writer, value, level)?;
        }
        self.members_before(writer, None, at, level)?;
        Ok(())
    }

    /// Writes the members from `at` on that come before `end`, and gives the place of the next one.
    fn members_before(
        &mut self,
        writer: &mut Writer,
        end: Option<Item<'_>>,
        mut at: usize,
        level: usize,
    ) -> Result<usize, Stop> {
        while let Some(member) = self.members.get(at).copied() {
            match end.map_or(Ordering::Less, |end| member.cmp(end)) {
                Ordering::Less => {}
                Ordering::Equal => return Err(DisclosureError::DuplicateClaim.into()),
                Ordering::Greater => break,
            }
            writer.item(member.key);
            self.below(Step::Key(member.key), writer, member.value, level)?;
            at = at.saturating_add(1);
        }
        Ok(at)
    }

    fn array(&mut self, writer: &mut Writer, item: Item<'a>, level: usize) -> Result<(), Stop> {
        let elements = || item.as_array().into_iter().flatten();
        // The head goes first, so what is there is counted before.
        let (mut len, used) = (0_usize, self.used);
        let places = self.places(elements().find_map(as_redacted_element).and_then(Item::as_bytes));
        let mut next = places.clone();
        for element in elements() {
            len = len.saturating_add(usize::from(self.element(element, &mut next)?.is_some()));
        }
        self.used = used;
        writer.array(len);
        let (mut at, mut next) = (0_usize, places);
        for element in elements() {
            let Some(value) = self.element(element, &mut next)? else { continue };
            let step = Step::At(at);
            if as_redacted_element(element).is_some() {
                self.note(step);
            }
            self.below(step, writer, value, level)?;
            at = at.saturating_add(1);
        }
        Ok(())
    }

    /// What stands for one element of an array, if anything; `places` are those of its digests.
    fn element(
        &mut self,
        element: Item<'a>,
        places: &mut impl Iterator<Item = usize>,
    ) -> Result<Option<Item<'a>>, DisclosureError> {
        match as_redacted_element(element) {
            None => Ok(Some(element)),
            Some(_) => places.next().and_then(|place| self.take(place)).map_or(Ok(None), Disclosure::as_element),
        }
    }
}

/// A key as a step of a path. Keys are ints or texts; an int beyond 64 bits with sign has no step, and is named by its nearest.
fn segment_of(key: Item<'_>) -> Segment {
    match (key.as_i64(), key.as_str()) {
        (_, Some(text)) => Segment::from(text),
        (Some(int), None) => Segment::Int(int),
        (None, None) => Segment::Int(if key.kind() == Kind::Nint { i64::MIN } else { i64::MAX }),
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
    let mut disclosures = Vec::with_capacity(array.len());
    for item in array {
        match Disclosure::parse(item, digests) {
            Ok(disclosure) => disclosures.push(disclosure),
            Err(_) => return Err(fault_of(array)),
        }
    }
    let mut salts: Vec<u128> = disclosures.iter().map(|disclosure| disclosure.salt).collect();
    salts.sort_unstable();
    if salts.windows(2).any(|pair| matches!(pair, [left, right] if left == right)) {
        return Err(DisclosureError::DuplicateSalt.into());
    }
    Ok(disclosures)
}

/// What is wrong with disclosures of which at least one is faulty: the fault of the earliest step, so that their order doesn't tell.
#[cold]
fn fault_of(array: Array<'_>) -> VerifyError {
    if array.iter().any(|item| item.kind() != Kind::Bytes) {
        return DisclosureError::Shape.into();
    }
    let step = |fault: &VerifyError| match fault {
        VerifyError::Disclosure(DisclosureError::Shape) => 1,
        VerifyError::Disclosure(DisclosureError::Salt) => 2,
        VerifyError::Disclosure(_) => 3,
        VerifyError::Claims(_) => 4,
        _ => 0,
    };
    let faults = array.iter().filter_map(|item| Disclosure::parse(item, &mut Vec::new()).err());
    faults.min_by_key(|fault| (step(fault), fault.code())).unwrap_or_else(|| DisclosureError::Shape.into())
}

/// Bytes of a digest with its head.
const DIGEST_ITEM: usize = 34;
/// Bytes that the claims take which are not disclosed, most often.
const OPEN: usize = 512;
/// Bytes of a path, most often.
const PATH: usize = 8;
