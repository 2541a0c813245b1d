//! For tests and vectors only: given trust entries, policies that production code must not have, raw signed objects, and a
//! naive assembler as the engine's oracle.

use alloc::{boxed::Box, collections::BTreeSet, string::String, vec::Vec};

use deedbox_cbor::{Item, Limits, Order, Writer};
use deedbox_cose::{Signer, VerifyKey};
use deedbox_crypto::hash;
use deedbox_model::Timestamp;
use rand_core::Rng;

use crate::{
    AcceptPolicy, ClaimArray, ClaimMap, ClaimPath, ClaimValue, Claims, FetchedStatusList, IssuerKey, KeyState,
    Presentation, Segment, StatusList, StatusSource, TrustStore, Vct, VerifyError, disclosure::Tree, profile,
    verify::Clock,
};

/// One entry of a trust list, as a vector file gives it.
#[derive(Debug, Clone)]
#[expect(clippy::exhaustive_structs, reason = "written out by tests")]
pub struct Listed {
    /// The issuer's name.
    pub iss: String,
    /// The key's id.
    pub kid: Vec<u8>,
    /// The key.
    pub key: VerifyKey,
    /// Where it is in its life.
    pub state: KeyState,
    /// From when on it may have issued.
    pub not_before: Option<i64>,
    /// Before when it may have issued.
    pub not_after: Option<i64>,
    /// The types that it may have issued.
    pub types: Option<Vec<Vct>>,
}

/// Puts an entry into the store as it is, beside all others.
pub fn add_listed(store: &mut TrustStore, listed: Listed) {
    add(store, listed, |key| key);
}

fn add(store: &mut TrustStore, listed: Listed, usage: fn(IssuerKey) -> IssuerKey) {
    let Listed { iss, kid, key, state, not_before, not_after, types } = listed;
    let key = IssuerKey::new(key).with_kid(kid).in_state(state).listed(not_before, not_after);
    let key = match types {
        Some(types) => key.with_types(types),
        None => key,
    };
    store.add_listed(&iss, usage(key));
}

/// Puts a status key into the store as it is.
pub fn add_status_key(store: &mut TrustStore, listed: Listed) {
    add(store, listed, IssuerKey::for_status_lists);
}

/// A status list that nobody signed: the map `{"bits", "lst"}`, inflated to at most `max` bytes.
///
/// # Errors
/// [`VerifyError`] of stages `cbor`, `claims`, `status`, `limit`.
pub fn unsigned_status_list(list: &[u8], max: usize) -> Result<StatusList, VerifyError> {
    StatusList::unsigned_for_testing_only(list, max)
}

/// Verifies a status list token with any leeway and any limit.
///
/// # Errors
/// [`VerifyError`].
pub fn status_list(
    fetched: FetchedStatusList<'_>,
    source: &StatusSource,
    trust: &TrustStore,
    now: Timestamp,
    leeway_secs: u64,
    max: usize,
) -> Result<StatusList, VerifyError> {
    StatusList::check(fetched, source, trust, &Clock::new(now, leeway_secs), max)
}

/// Looks up one entry as a verifier does.
///
/// # Errors
/// [`VerifyError`] of stage `status` for every entry but a valid one.
pub fn require_valid(list: &StatusList, idx: u64) -> Result<(), VerifyError> {
    Ok(list.require_valid(idx)?)
}

/// A holder that takes credentials of any key.
#[must_use]
pub fn any_holder() -> AcceptPolicy {
    AcceptPolicy::any_key_for_testing_only()
}

/// The claims of a presentation whose status was not looked at.
#[must_use]
pub fn claims(shown: &Presentation) -> &Claims {
    shown.claims_for_testing_only()
}

/// Signs whatever it is given: contents of the protected byte string, the unprotected map, the payload.
///
/// # Panics
/// When the signer doesn't sign.
#[must_use]
#[expect(clippy::expect_used, reason = "for tests")]
pub fn raw_sign1(signer: &impl Signer, protected: &[u8], unprotected: &[u8], payload: &[u8]) -> Vec<u8> {
    let signed = if protected == [0xa0] { &[] } else { protected };
    let mut tbs = Writer::new();
    tbs.array(4).text("Signature1").bytes(signed).bytes(&[]).bytes(payload);
    let signature = signer.sign(tbs.as_slice()).expect("a signer that signs");
    raw_sign1_with(protected, unprotected, payload, signature.as_bytes())
}

/// Puts the four parts of a COSE_Sign1 together, whatever they are.
#[must_use]
pub fn raw_sign1_with(protected: &[u8], unprotected: &[u8], payload: &[u8], signature: &[u8]) -> Vec<u8> {
    let mut head = Writer::new();
    head.tag(profile::TAG_SIGN1).array(4).bytes(protected);
    let mut bytes = head.into_vec();
    bytes.extend_from_slice(unprotected);
    let mut tail = Writer::new();
    tail.bytes(payload).bytes(signature);
    bytes.extend_from_slice(tail.as_slice());
    bytes
}

/// Runs the disclosure engine alone: tree rules of the payload, then §5 over the disclosures.
///
/// # Errors
/// [`VerifyError`] of stages `cbor`, `claims`, `disclosure`, `limit`.
pub fn assemble(payload: &[u8], disclosures: &[&[u8]]) -> Result<Vec<u8>, VerifyError> {
    let limits = Limits::new(profile::MAX_TOKEN);
    let mut header = Writer::new();
    header.array(disclosures.len());
    for disclosure in disclosures {
        header.bytes(disclosure);
    }
    let payload = deedbox_cbor::read(payload, Order::Any, &limits)?;
    let header = deedbox_cbor::read(header.as_slice(), Order::Any, &limits)?;
    let header = if disclosures.is_empty() { None } else { Some(header) };
    let joined = Tree::check(payload)?.join(header)?;
    Ok(joined.assemble()?.claims.into_vec())
}

/// The same, without a thought for speed or order of checks: `None` where anything is wrong.
///
/// It shares the CBOR reader with the engine and nothing else.
#[must_use]
pub fn naive_assemble(payload: &[u8], disclosures: &[&[u8]]) -> Option<Vec<u8>> {
    if disclosures.len() > 2048 {
        return None;
    }
    let mut revealed = Vec::new();
    for content in disclosures {
        let parts = parse(content)?;
        let Plain::Array(parts) = parts else { return None };
        revealed.push((head(2, content.len()), content.to_vec(), parts));
    }
    let mut salts = BTreeSet::new();
    let root = parse(payload)?;
    let Plain::Map(_) = root else { return None };
    let mut digests = Vec::new();
    collect(&root, false, &mut digests)?;
    for (_, _, parts) in &revealed {
        let (Some(Plain::Bytes(salt)), true) = (parts.first(), parts.len() <= 3) else { return None };
        if salt.len() != 16 || !salts.insert(salt.clone()) {
            return None;
        }
        if let Some(value) = parts.get(1) {
            collect(value, false, &mut digests)?;
        }
        if parts.get(2).is_some_and(|key| !good_key(key)) {
            return None;
        }
    }
    let distinct: BTreeSet<&Vec<u8>> = digests.iter().collect();
    if distinct.len() != digests.len() {
        return None;
    }
    // All wrapped, or all bare: whichever the first is.
    let hashes = |wrapped: bool| -> Vec<Vec<u8>> {
        let input = |head: &Vec<u8>, content: &Vec<u8>| {
            if wrapped { [head.clone(), content.clone()].concat() } else { content.clone() }
        };
        revealed.iter().map(|(head, content, _)| hash::sha256(&input(head, content)).to_vec()).collect()
    };
    let wrapped = hashes(true);
    let hashes = if wrapped.first().is_some_and(|first| distinct.contains(first)) { wrapped } else { hashes(false) };
    let table: Vec<(Vec<u8>, Vec<Plain>)> =
        hashes.into_iter().zip(revealed.into_iter().map(|(_, _, parts)| parts)).collect();
    let mut used = 0;
    let result = put_in(&root, 0, &table, &mut used)?;
    if used != table.len() {
        return None;
    }
    let mut out = Vec::new();
    encode(&result, &mut out);
    Some(out)
}

/// A value without any optimisation.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Plain {
    Array(Vec<Plain>),
    Bytes(Vec<u8>),
    Int(Vec<u8>),
    Map(Vec<(Plain, Plain)>),
    Other(Vec<u8>),
    Simple59,
    Tag(u64, Box<Plain>),
    Text(Vec<u8>, usize),
}

fn parse(bytes: &[u8]) -> Option<Plain> {
    Some(plain(deedbox_cbor::read(bytes, Order::Any, &Limits::new(profile::MAX_TOKEN)).ok()?))
}

fn plain(item: Item<'_>) -> Plain {
    if let Some(array) = item.as_array() {
        Plain::Array(array.iter().map(plain).collect())
    } else if let Some(map) = item.as_map() {
        Plain::Map(map.iter().map(|(key, value)| (plain(key), plain(value))).collect())
    } else if let Some((number, content)) = item.as_tag() {
        Plain::Tag(number, Box::new(plain(content)))
    } else if let Some(bytes) = item.as_bytes() {
        Plain::Bytes(bytes.to_vec())
    } else if let Some(text) = item.as_str() {
        Plain::Text(item.bytes().to_vec(), text.len())
    } else if item.bytes() == [0xf8, 59] {
        Plain::Simple59
    } else if item.bytes().first().is_some_and(|first| *first < 0x40) {
        Plain::Int(item.bytes().to_vec())
    } else {
        Plain::Other(item.bytes().to_vec())
    }
}

fn good_key(key: &Plain) -> bool {
    match key {
        Plain::Int(_) => true,
        Plain::Text(_, len) => *len <= 255,
        _ => false,
    }
}

fn collect(value: &Plain, element: bool, digests: &mut Vec<Vec<u8>>) -> Option<()> {
    match value {
        Plain::Simple59 | Plain::Tag(58 | 62, _) => None,
        Plain::Tag(60, content) => match &**content {
            Plain::Bytes(digest) if element && digest.len() == 32 => {
                digests.push(digest.clone());
                Some(())
            }
            _ => None,
        },
        Plain::Tag(_, content) => collect(content, false, digests),
        Plain::Array(elements) => elements.iter().try_for_each(|value| collect(value, true, digests)),
        Plain::Map(entries) => entries.iter().try_for_each(|(key, value)| {
            if *key != Plain::Simple59 {
                return if good_key(key) { collect(value, false, digests) } else { None };
            }
            let Plain::Array(list) = value else { return None };
            list.iter().try_for_each(|digest| match digest {
                Plain::Bytes(digest) if digest.len() == 32 => {
                    digests.push(digest.clone());
                    Some(())
                }
                _ => None,
            })
        }),
        _ => Some(()),
    }
}

/// `level` is that of the value itself; the claims map has 0.
fn put_in(value: &Plain, level: usize, table: &[(Vec<u8>, Vec<Plain>)], used: &mut usize) -> Option<Plain> {
    if level > 16 {
        return None;
    }
    let find = |digest: &Plain| {
        let Plain::Bytes(digest) = digest else { return None };
        table.iter().find(|(hash, _)| hash == digest).map(|(_, parts)| parts.clone())
    };
    Some(match value {
        Plain::Map(entries) => {
            let mut result: Vec<(Plain, Plain)> = Vec::new();
            for (key, value) in entries {
                if *key != Plain::Simple59 {
                    result.push((key.clone(), put_in(value, level + 1, table, used)?));
                }
            }
            for (key, value) in entries {
                let (Plain::Simple59, Plain::Array(list)) = (key, value) else { continue };
                for digest in list {
                    let Some(parts) = find(digest) else { continue };
                    *used += 1;
                    match parts.as_slice() {
                        [_] => {}
                        [_, value, key] => {
                            let never = |never: &i64| *key == Plain::Int(int(*never));
                            if level == 0 && NEVER_REDACTED.iter().any(never) {
                                return None;
                            }
                            if result.iter().any(|(known, _)| known == key) {
                                return None;
                            }
                            result.push((key.clone(), put_in(value, level + 1, table, used)?));
                        }
                        _ => return None,
                    }
                }
            }
            Plain::Map(result)
        }
        Plain::Array(elements) => {
            let mut result = Vec::new();
            for element in elements {
                let Plain::Tag(60, digest) = element else {
                    result.push(put_in(element, level + 1, table, used)?);
                    continue;
                };
                let Some(parts) = find(digest) else { continue };
                *used += 1;
                match parts.as_slice() {
                    [_] => {}
                    [_, value] => result.push(put_in(value, level + 1, table, used)?),
                    _ => return None,
                }
            }
            Plain::Array(result)
        }
        Plain::Tag(number, content) => Plain::Tag(*number, Box::new(put_in(content, level + 1, table, used)?)),
        other => other.clone(),
    })
}

/// As the format page lists them.
const NEVER_REDACTED: [i64; 10] = [1, 3, 4, 5, 6, 7, 8, 11, 39, 65_535];

fn int(key: i64) -> Vec<u8> {
    let mut writer = Writer::new();
    writer.int(key);
    writer.into_vec()
}

fn head(major: u8, argument: usize) -> Vec<u8> {
    let mut writer = Writer::new();
    match major {
        2 => writer.bytes(&alloc::vec![0; argument]),
        4 => writer.array(argument),
        _ => writer.tag(u64::try_from(argument).unwrap_or(u64::MAX)),
    };
    let mut bytes = writer.into_vec();
    if major == 2 {
        bytes.truncate(bytes.len() - argument);
    }
    bytes
}

fn encode(value: &Plain, out: &mut Vec<u8>) {
    match value {
        Plain::Array(elements) => {
            out.extend(head(4, elements.len()));
            elements.iter().for_each(|element| encode(element, out));
        }
        Plain::Bytes(bytes) => {
            out.extend(head(2, bytes.len()));
            out.extend(bytes);
        }
        Plain::Int(bytes) | Plain::Other(bytes) | Plain::Text(bytes, _) => out.extend(bytes),
        Plain::Map(entries) => {
            let mut pairs: Vec<(Vec<u8>, Vec<u8>)> = entries
                .iter()
                .map(|(key, value)| {
                    let (mut left, mut right) = (Vec::new(), Vec::new());
                    encode(key, &mut left);
                    encode(value, &mut right);
                    (left, right)
                })
                .collect();
            pairs.sort();
            // A map's head is an array's with another major type.
            let mut head = head(4, pairs.len());
            if let Some(first) = head.first_mut() {
                *first += 0x20;
            }
            out.extend(head);
            pairs.into_iter().for_each(|(key, value)| {
                out.extend(key);
                out.extend(value);
            });
        }
        Plain::Simple59 => out.extend([0xf8, 59]),
        Plain::Tag(number, content) => {
            out.extend(head(6, usize::try_from(*number).unwrap_or(usize::MAX)));
            encode(content, out);
        }
    }
}

/// What a random credential says, and which parts of it are redacted.
#[derive(Debug, Clone)]
pub struct RandomClaims {
    entries: Vec<(i64, Shape, bool)>,
    decoys: usize,
}

#[derive(Debug, Clone)]
enum Shape {
    Array(Vec<(Shape, bool)>, usize),
    Int(i64),
    Map(Vec<(i64, Shape, bool)>, usize),
    Text(String),
}

impl RandomClaims {
    /// Draws some.
    pub fn draw(rng: &mut impl Rng) -> Self {
        let Shape::Map(mut entries, decoys) = draw_map(rng, 3) else { return Self { entries: Vec::new(), decoys: 0 } };
        for (key, _, _) in &mut entries {
            *key += 1000;
        }
        Self { entries, decoys }
    }

    /// The claims with all their redactions and decoys.
    ///
    /// # Panics
    /// Never: what is drawn is always valid.
    #[must_use]
    #[expect(clippy::expect_used, reason = "for tests")]
    pub fn redacted(&self) -> crate::ClaimSet {
        let set = self.entries.iter().fold(crate::ClaimSet::builder(), |set, (key, shape, redact)| {
            if *redact { set.redactable(*key, shape.value(true)) } else { set.claim(*key, shape.value(true)) }
        });
        set.decoys(self.decoys).build().expect("valid claims")
    }

    /// The same claims without any.
    ///
    /// # Panics
    /// Never: what is drawn is always valid.
    #[must_use]
    #[expect(clippy::expect_used, reason = "for tests")]
    pub fn open(&self) -> crate::ClaimSet {
        let set = self
            .entries
            .iter()
            .fold(crate::ClaimSet::builder(), |set, (key, shape, _)| set.claim(*key, shape.value(false)));
        set.build().expect("valid claims")
    }

    /// The paths of all entries of the claims, to any depth, some of them below redacted ones.
    #[must_use]
    pub fn paths(&self) -> Vec<ClaimPath> {
        let mut paths = Vec::new();
        for (key, shape, _) in &self.entries {
            shape.paths(Vec::from([Segment::Int(*key)]), &mut paths);
        }
        paths
    }
}

impl Shape {
    fn value(&self, redacting: bool) -> ClaimValue {
        match self {
            Self::Int(int) => (*int).into(),
            Self::Text(text) => text.as_str().into(),
            Self::Map(entries, decoys) => {
                let map = entries.iter().fold(ClaimMap::new(), |map, (key, shape, redact)| {
                    let value = shape.value(redacting);
                    if *redact && redacting { map.redactable(*key, value) } else { map.claim(*key, value) }
                });
                map.decoys(if redacting { *decoys } else { 0 }).into()
            }
            Self::Array(elements, decoys) => {
                let array = elements.iter().fold(ClaimArray::new(), |array, (shape, redact)| {
                    let value = shape.value(redacting);
                    if *redact && redacting { array.redactable(value) } else { array.element(value) }
                });
                array.decoys(if redacting { *decoys } else { 0 }).into()
            }
        }
    }

    fn paths(&self, here: Vec<Segment>, paths: &mut Vec<ClaimPath>) {
        paths.push(ClaimPath::new(here.clone()));
        let below = |segment: Segment| [here.clone(), Vec::from([segment])].concat();
        match self {
            Self::Array(elements, _) => {
                for (at, (shape, _)) in elements.iter().enumerate() {
                    shape.paths(below(Segment::Int(i64::try_from(at).unwrap_or(i64::MAX))), paths);
                }
            }
            Self::Map(entries, _) => {
                for (key, shape, _) in entries {
                    shape.paths(below(Segment::Int(*key)), paths);
                }
            }
            Self::Int(_) | Self::Text(_) => {}
        }
    }
}

fn draw_map(rng: &mut impl Rng, depth: u32) -> Shape {
    let entries = (0..i64::from(rng.next_u32() % 5)).map(|key| {
        let shape = draw_shape(rng, depth);
        (key * 7 - 9, shape, rng.next_u32().is_multiple_of(2))
    });
    let entries = entries.collect();
    Shape::Map(entries, usize::from(rng.next_u32().is_multiple_of(3)))
}

fn draw_shape(rng: &mut impl Rng, depth: u32) -> Shape {
    match rng.next_u32() % if depth == 0 { 2 } else { 4 } {
        0 => Shape::Int(i64::from(rng.next_u32()) - 0x8000_0000),
        1 => Shape::Text(alloc::format!("text {}", rng.next_u32() % 100)),
        2 => draw_map(rng, depth - 1),
        _ => {
            let elements = (0..rng.next_u32() % 4).map(|_| {
                let shape = draw_shape(rng, depth - 1);
                (shape, rng.next_u32().is_multiple_of(2))
            });
            let elements = elements.collect();
            Shape::Array(elements, usize::from(rng.next_u32().is_multiple_of(3)))
        }
    }
}
