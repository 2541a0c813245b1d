//! Asking for as little as will do: a verifier's query, the least answer that a credential has to it, and the same check after
//! verification.

use alloc::{borrow::ToOwned, format, string::String, vec::Vec};

use deedbox_cbor::{Item, Limits, Map, Order, Writer};
use deedbox_model::Timestamp;

use crate::{
    claims::{ClaimPath, Claims, Segment, Vct},
    error::{ClaimError, ClaimSetError, PolicyError, QueryError, VerifyError},
    hold::{HeldCredential, Selection},
    profile,
    verify::Accepted,
};

/// What a verifier asks for: types of credential that will do, claims, and what for.
///
/// ```cddl
/// query = { 1: [+ vct], 2: [+ ask], 3: purpose: tstr }      ask  = { 1: want, ? 2: optional: bool }
/// want  = [1, path] / [2, age: uint .size 1]                path = [+ int / tstr / null]        ; null: every element
/// ```
///
/// ```
/// use deedbox_credential::{Query, Vct, claim_path};
///
/// let query = Query::new(Vct::text("https://vct.example/licence"), "to rent a car")
///     .ask(claim_path!["category"])
///     .ask_age(23)
///     .ask_if_there(claim_path!["valid_until"]);
/// assert_eq!(Query::parse(&query.to_bytes())?, query);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query {
    // INVARIANT (not empty): at least one type.
    types: Vec<Vct>,
    asks: Vec<Ask>,
    purpose: String,
}

/// One thing asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ask {
    want: Want,
    optional: bool,
}

/// What is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Want {
    /// Whether the person is at least so old. Answered by one of the issuer's `age_over_NN`, never by a birth date.
    Age(u8),
    /// The claims at this path.
    Claim(ClaimPath),
}

impl Ask {
    /// What is wanted.
    #[must_use]
    pub fn want(&self) -> &Want {
        &self.want
    }

    /// Whether a credential without it will do.
    #[must_use]
    pub fn is_optional(&self) -> bool {
        self.optional
    }
}

impl Query {
    /// Asks for a credential of this type, in which nothing is wanted yet. The purpose is shown to the person.
    #[must_use]
    pub fn new(vct: Vct, purpose: &str) -> Self {
        Self { types: Vec::from([vct]), asks: Vec::new(), purpose: purpose.to_owned() }
    }

    /// A credential of this type will do as well.
    #[must_use]
    pub fn or_type(mut self, vct: Vct) -> Self {
        self.types.push(vct);
        self
    }

    /// Wants the claims at `path`.
    #[must_use]
    pub fn ask(self, path: ClaimPath) -> Self {
        self.with(Want::Claim(path), false)
    }

    /// Wants the claims at `path` if the credential has them.
    #[must_use]
    pub fn ask_if_there(self, path: ClaimPath) -> Self {
        self.with(Want::Claim(path), true)
    }

    /// Wants to know whether the person is at least `age` years old.
    #[must_use]
    pub fn ask_age(self, age: u8) -> Self {
        self.with(Want::Age(age), false)
    }

    fn with(mut self, want: Want, optional: bool) -> Self {
        self.asks.push(Ask { want, optional });
        self
    }

    /// The types of credential that will do.
    #[must_use]
    pub fn types(&self) -> &[Vct] {
        &self.types
    }

    /// What is asked for.
    #[must_use]
    pub fn asks(&self) -> &[Ask] {
        &self.asks
    }

    /// What for, in the asker's words.
    #[must_use]
    pub fn purpose(&self) -> &str {
        &self.purpose
    }

    /// Reads a query of at most 64 KiB.
    ///
    /// # Errors
    /// [`QueryError::Malformed`].
    pub fn parse(bytes: &[u8]) -> Result<Self, QueryError> {
        let item = deedbox_cbor::read(bytes, Order::Canonical, &Limits::new(profile::MAX_QUERY));
        item.ok().and_then(Self::read).ok_or(QueryError::Malformed)
    }

    fn read(item: Item<'_>) -> Option<Self> {
        let mut fields = item.as_map()?.fields();
        let types: Option<Vec<Vct>> = fields.required(1)?.as_array()?.iter().map(Vct::read).collect();
        let asks: Option<Vec<Ask>> = fields.required(2)?.as_array()?.iter().map(read_ask).collect();
        let purpose = fields.required(3)?.as_str()?.to_owned();
        fields.finish()?;
        let (types, asks) = (types?, asks?);
        if types.is_empty() || asks.is_empty() { None } else { Some(Self { types, asks, purpose }) }
    }

    /// Writes it as one item of canonical CBOR.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        writer.map(|to| {
            to.int(1, |w| {
                w.array(self.types.len());
                self.types.iter().for_each(|vct| vct.write(w));
            });
            to.int(2, |w| {
                w.array(self.asks.len());
                self.asks.iter().for_each(|ask| write_ask(w, ask));
            });
            to.int(3, |w| {
                w.text(&self.purpose);
            });
        });
        writer.into_vec()
    }

    /// The least of `held` that answers all that is asked: the claims wanted, the redacted ones above them, and nothing else.
    ///
    /// What the [`Selection`] reveals is to be shown to the person before it is presented.
    ///
    /// # Errors
    /// [`QueryError::Type`] for a credential of another type; [`QueryError::Unmet`] when it lacks what is asked for;
    /// [`QueryError::OverAsked`] when a claim is asked for of which the issuer made a lesser one.
    pub fn select(&self, held: &HeldCredential) -> Result<Selection, QueryError> {
        self.select_allowing(held, &[])
    }

    /// The same, where the person allows those claims although there are lesser ones.
    ///
    /// # Errors
    /// As [`select`](Self::select).
    pub fn select_allowing(&self, held: &HeldCredential, allowed: &[ClaimPath]) -> Result<Selection, QueryError> {
        if !held.vct().is_some_and(|vct| self.types.contains(vct)) {
            return Err(QueryError::Type);
        }
        let mut paths = Vec::new();
        for ask in &self.asks {
            let path = match &ask.want {
                Want::Age(age) => {
                    answer_to_age(held.claims(), *age).map(|(key, _)| ClaimPath::new([key.into()].into()))
                }
                Want::Claim(path) => {
                    if !allowed.contains(path) && held.is_redacted(path) {
                        let instead = lesser(held.claims(), path);
                        if !instead.is_empty() {
                            return Err(QueryError::OverAsked { instead });
                        }
                    }
                    held.claims().has(path).then(|| path.clone())
                }
            };
            match path {
                Some(path) => paths.push(path),
                None if ask.optional => {}
                None => return Err(QueryError::Unmet),
            }
        }
        held.select(&paths).map_err(|_| QueryError::Unmet)
    }

    /// The credential that answers with the fewest claims, and of those the one that expires first; with the selection.
    ///
    /// # Errors
    /// When none answers: [`QueryError::OverAsked`] if one would but for that, else [`QueryError::Unmet`] if one is of a type
    /// asked for, else [`QueryError::Type`].
    pub fn choose<'h>(
        &self,
        held: impl IntoIterator<Item = &'h HeldCredential>,
        allowed: &[ClaimPath],
    ) -> Result<(&'h HeldCredential, Selection), QueryError> {
        let mut best: Option<(&'h HeldCredential, Selection)> = None;
        let mut why = QueryError::Type;
        for held in held {
            match self.select_allowing(held, allowed) {
                Ok(selection) => {
                    let rank = |held: &HeldCredential, selection: &Selection| {
                        (selection.revealed().count(), held.expires_at().map_or(u64::MAX, Timestamp::secs))
                    };
                    if best.as_ref().is_none_or(|(other, known)| rank(held, &selection) < rank(other, known)) {
                        best = Some((held, selection));
                    }
                }
                Err(QueryError::OverAsked { instead }) => why = QueryError::OverAsked { instead },
                Err(QueryError::Unmet) if why == QueryError::Type => why = QueryError::Unmet,
                Err(_) => {}
            }
        }
        best.ok_or(why)
    }
}

impl Accepted {
    /// Checks that what was accepted answers `query`: one of its types, and every claim that is not optional.
    ///
    /// # Errors
    /// [`PolicyError::Vct`], [`PolicyError::MissingClaim`].
    pub fn answers(&self, query: &Query) -> Result<(), VerifyError> {
        if !self.vct().is_some_and(|vct| query.types.contains(vct)) {
            return Err(PolicyError::Vct.into());
        }
        let answered = |ask: &Ask| match &ask.want {
            Want::Age(age) => answer_to_age(self.claims(), *age).is_some(),
            Want::Claim(path) => self.claims().has(path),
        };
        if query.asks.iter().all(|ask| ask.optional || answered(ask)) {
            Ok(())
        } else {
            Err(PolicyError::MissingClaim.into())
        }
    }
}

impl Claims {
    /// Whether the person is at least `age` years old, as the issuer's `age_over_NN` say: true from the lowest NN that is not
    /// below, false from the highest that is not above.
    ///
    /// # Errors
    /// [`ClaimError::Missing`] when none of them answers.
    pub fn is_at_least(&self, age: u8) -> Result<bool, ClaimError> {
        answer_to_age(self, age).map(|(_, answer)| answer).ok_or(ClaimError::Missing)
    }

    /// Whether there is anything at `path`; with [`Segment::Every`], in any element.
    pub(crate) fn has(&self, path: &ClaimPath) -> bool {
        !path.segments().is_empty() && has(self.as_item(), path.segments())
    }

    /// How many claims there are, counting those within maps and arrays one by one.
    pub(crate) fn count(&self) -> usize {
        let mut count = 0_usize;
        let mut containers = Vec::from([self.as_item()]);
        while let Some(container) = containers.pop() {
            let map = container.as_map().into_iter().flatten().map(|(_, value)| value);
            for value in container.as_array().into_iter().flatten().chain(map) {
                count = count.saturating_add(1);
                containers.push(value);
            }
        }
        count
    }
}

fn has(item: Item<'_>, path: &[Segment]) -> bool {
    let Some((segment, rest)) = path.split_first() else { return true };
    if let Some(map) = item.as_map() {
        return map.iter().any(|(key, value)| segment.is_key(key) && has(value, rest));
    }
    let mut elements = item.as_array().into_iter().flatten().enumerate();
    elements.any(|(at, element)| segment.is_index(at) && has(element, rest))
}

/// The one of the issuer's booleans that answers, and its answer.
fn answer_to_age(claims: &Claims, age: u8) -> Option<(&str, bool)> {
    let claims = claims.as_item().as_map()?;
    let known = claims.iter().filter_map(|(key, value)| {
        let key = key.as_str()?;
        Some((age_of(key)?, key, value.as_bool()?))
    });
    let enough = known.clone().filter(|(over, _, is)| *is && *over >= age).min_by_key(|(over, ..)| *over);
    let below = || known.filter(|(over, _, is)| !*is && *over <= age).max_by_key(|(over, ..)| *over);
    enough.or_else(below).map(|(_, key, is)| (key, is))
}

/// The NN of `age_over_NN`: two digits or more, as they are written.
fn age_of(key: &str) -> Option<u8> {
    let digits = key.strip_prefix(AGE_OVER)?;
    let age = digits.parse().ok()?;
    (name_of_age(age) == key).then_some(age)
}

fn name_of_age(age: u8) -> String {
    format!("{AGE_OVER}{age:02}")
}

/// Lesser claims than the one at `path`: derived ones beside a base claim that the path names or leads into.
fn lesser(claims: &Claims, path: &ClaimPath) -> Vec<ClaimPath> {
    let mut beside: Option<Map<'_>> = claims.as_item().as_map();
    for (at, segment) in path.segments().iter().enumerate() {
        let Some(map) = beside else { break };
        let prefix = DERIVED.iter().find(|(base, _)| matches!(segment, Segment::Text(text) if text == base));
        if let Some((_, prefix)) = prefix {
            let names = map.iter().filter_map(|(key, _)| key.as_str()).filter(|key| key.starts_with(prefix));
            let above = path.segments().get(..at).unwrap_or_default();
            return names.map(|name| ClaimPath::new([above, &[Segment::from(name)]].concat())).collect();
        }
        beside = map.iter().find(|(key, _)| segment.is_key(*key)).and_then(|(_, value)| value.as_map());
    }
    Vec::new()
}

/// What an issuer derives of a birth date, `YYYY-MM-DD`: for each age whether the person has reached it on the day of `now` in
/// UTC. Somebody born on 29 February reaches an age on 1 March of other years.
///
/// ```
/// use deedbox_credential::{ClaimSet, derive_age_over};
/// use deedbox_model::Timestamp;
///
/// let now = Timestamp::from_secs(1_800_000_000); // 2027-01-15
/// let derived = derive_age_over("2004-01-16", now, &[18, 21, 23])?;
/// assert_eq!(derived, [("age_over_18".into(), true), ("age_over_21".into(), true), ("age_over_23".into(), false)]);
/// let claims = derived.into_iter().fold(ClaimSet::builder(), |claims, (key, over)| claims.redactable(key, over));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`ClaimSetError::Type`] for what is no date.
pub fn derive_age_over(birth_date: &str, now: Timestamp, ages: &[u8]) -> Result<Vec<(String, bool)>, ClaimSetError> {
    let birth = read_date(birth_date).ok_or(ClaimSetError::Type)?;
    let (year, month, day) = date_of(now);
    Ok(ages
        .iter()
        .map(|age| (name_of_age(*age), (year.saturating_sub(u64::from(*age)), month, day) >= birth))
        .collect())
}

type Date = (u64, u64, u64);

fn read_date(text: &str) -> Option<Date> {
    let mut parts = text.split('-');
    let mut number = |len: usize| {
        let digits = parts.next().filter(|part| part.len() == len && part.bytes().all(|byte| byte.is_ascii_digit()))?;
        digits.parse::<u64>().ok()
    };
    let (year, month, day) = (number(4)?, number(2)?, number(2)?);
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let days = match month {
        2 => 28 + u64::from(leap),
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    (parts.next().is_none() && (1..=days).contains(&day)).then_some((year, month, day))
}

/// The day in the Gregorian calendar, UTC: years from 1 March, in eras of 400 years.
fn date_of(now: Timestamp) -> Date {
    let days = now.secs() / 86_400 + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (year_of_era + era * 400 + u64::from(month <= 2), month, day)
}

fn read_ask(item: Item<'_>) -> Option<Ask> {
    let mut fields = item.as_map()?.fields();
    let [kind, wanted] = fields.required(1)?.as_array()?.exactly()?;
    let want = match kind.as_u64()? {
        1 => Want::Claim(ClaimPath::read(wanted)?),
        2 => Want::Age(wanted.as_u8()?),
        _ => return None,
    };
    let optional = match fields.optional(2)? {
        // Written only where it says something.
        Some(optional) => optional.as_bool().filter(|optional| *optional)?,
        None => false,
    };
    fields.finish()?;
    Some(Ask { want, optional })
}

fn write_ask(writer: &mut Writer, ask: &Ask) {
    writer.map(|to| {
        to.int(1, |w| {
            w.array(2);
            match &ask.want {
                Want::Claim(path) => {
                    w.uint(1);
                    path.write(w);
                }
                Want::Age(age) => {
                    w.uint(2).uint((*age).into());
                }
            }
        });
        if ask.optional {
            to.int(2, |w| {
                w.bool(true);
            });
        }
    });
}

/// How the issuer's booleans about an age begin.
const AGE_OVER: &str = "age_over_";
/// Base claims, and how claims derived of them begin.
const DERIVED: &[(&str, &str)] = &[("address", "resident_in_"), ("birth_date", AGE_OVER), ("income", "income_band_")];
