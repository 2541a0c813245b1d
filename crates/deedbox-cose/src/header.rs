use alloc::vec::Vec;
use core::fmt;

use deedbox_cbor::{Item, Kind, Limits, Map, Order, Pairs, read};

use crate::{Algorithm, CoseError};

/// One of an object's two headers, as received.
#[derive(Clone, Copy)]
pub struct Headers<'a> {
    map: Option<Map<'a>>,
}

impl<'a> Headers<'a> {
    pub(crate) const fn of(map: Map<'a>) -> Self {
        Self { map: Some(map) }
    }

    /// Reads the content of a protected byte string: nothing, or one map.
    pub(crate) fn protected(bytes: &'a [u8], order: Order, limits: &Limits) -> Result<Self, CoseError> {
        if bytes.is_empty() {
            return Ok(Self { map: None });
        }
        let item = read(bytes, order, limits).map_err(CoseError::Cbor)?;
        Ok(Self::of(item.as_map().ok_or(CoseError::Shape)?))
    }

    /// The value under an integer label.
    #[must_use]
    pub fn get(&self, label: i64) -> Option<Item<'a>> {
        self.map?.get_int(label)
    }

    /// The value under a text label.
    #[must_use]
    pub fn get_text(&self, label: &str) -> Option<Item<'a>> {
        self.map?.get_text(label)
    }

    /// How many labels it has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.map.map_or(0, Map::len)
    }

    /// Whether it says nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All labels with their values, in the order received.
    pub fn iter(&self) -> impl Iterator<Item = (Item<'a>, Item<'a>)> + use<'a> {
        self.map.into_iter().flat_map(|map| -> Pairs<'a> { map.iter() })
    }

    /// The key id (label 4), if it is a byte string.
    #[must_use]
    pub fn kid(&self) -> Option<&'a [u8]> {
        self.get(KID)?.as_bytes()
    }

    /// The algorithm (label 1), if it is a known one.
    #[must_use]
    pub fn algorithm(&self) -> Option<Algorithm> {
        Algorithm::from_id(self.get(ALG)?.as_i64()?)
    }

    fn has(&self, label: Item<'_>) -> bool {
        self.iter().any(|(found, _)| found.bytes() == label.bytes())
    }
}

/// Prints how many labels there are, never what they say.
impl fmt::Debug for Headers<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Headers").field("len", &self.len()).finish_non_exhaustive()
    }
}

/// Checks both headers of an object: types of labels, labels in both, `crit`.
pub(crate) fn check(
    protected: &Headers<'_>,
    unprotected: &Headers<'_>,
    exclusive: bool,
    understood: &[i64],
) -> Result<(), CoseError> {
    labels(protected)?;
    labels(unprotected)?;
    if exclusive && !protected.is_empty() && !unprotected.is_empty() {
        // Sorted, so that headers of thousands of labels cost no square of their number.
        let mut ours: Vec<&[u8]> = protected.iter().map(|(label, _)| label.bytes()).collect();
        ours.sort_unstable();
        if unprotected.iter().any(|(label, _)| ours.binary_search(&label.bytes()).is_ok()) {
            return Err(CoseError::LabelInBoth);
        }
    }
    if unprotected.get(CRIT).is_some() {
        return Err(CoseError::CritUnprotected);
    }
    let Some(crit) = protected.get(CRIT) else { return Ok(()) };
    let crit = crit.as_array().ok_or(CoseError::Shape)?;
    if crit.is_empty() {
        return Err(CoseError::CritEmpty);
    }
    // More than is understood: one is unknown or named twice, and nothing need be searched for.
    if crit.len() > understood.len() {
        return Err(CoseError::CritUnknown);
    }
    for label in crit.iter() {
        let known = label.as_i64().is_some_and(|label| understood.contains(&label));
        if !known || !protected.has(label) {
            return Err(CoseError::CritUnknown);
        }
    }
    Ok(())
}

/// Labels are integers or short texts, in maps inside header values too.
fn labels(headers: &Headers<'_>) -> Result<(), CoseError> {
    headers.iter().try_for_each(|(label, value)| {
        check_label(label)?;
        labels_within(value)
    })
}

/// It recurses, at most as deep as the reader lets containers be: so no input makes it take memory.
fn labels_within(item: Item<'_>) -> Result<(), CoseError> {
    match item.kind() {
        Kind::Array => item.as_array().into_iter().flatten().try_for_each(labels_within),
        Kind::Map => item.as_map().into_iter().flatten().try_for_each(|(label, value)| {
            check_label(label)?;
            labels_within(value)
        }),
        Kind::Tag => item.as_tag().map_or(Ok(()), |(_, content)| labels_within(content)),
        _ => Ok(()),
    }
}

fn check_label(label: Item<'_>) -> Result<(), CoseError> {
    let fits = match label.kind() {
        Kind::Uint | Kind::Nint => true,
        Kind::Text => label.as_str().is_some_and(|text| text.len() <= MAX_LABEL),
        _ => false,
    };
    if fits { Ok(()) } else { Err(CoseError::LabelType) }
}

/// Label of the algorithm.
pub(crate) const ALG: i64 = 1;
/// Label of the list of headers that must be understood.
const CRIT: i64 = 2;
/// Label of the key id.
pub(crate) const KID: i64 = 4;
const MAX_LABEL: usize = 255;
