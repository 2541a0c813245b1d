//! Requests without a transport, and where they lead.

use deedbox_model::{BlobId, CapabilityId, DatasetId, MailboxId, Seq, StoreId, StoreName};
use deedbox_store::Cursor;

use crate::proof::ranged_hash;

/// What is done to a target. Exhaustive: routes are matched on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "routes are matched on it")]
pub enum Method {
    /// Remove.
    Delete,
    /// Read.
    Get,
    /// Read what is known of it, without its bytes.
    Head,
    /// Change a part.
    Patch,
    /// Do.
    Post,
    /// Write.
    Put,
}

impl Method {
    /// The method's name, as it enters the request hash.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Delete => "DELETE",
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Patch => "PATCH",
            Self::Post => "POST",
            Self::Put => "PUT",
        }
    }
}

/// A request.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    /// What to do.
    pub method: Method,
    /// The host's own origin, as the client addressed it: `https://host.example`.
    pub origin: &'a str,
    /// Path and query.
    pub target: &'a str,
    /// Deterministic CBOR, or empty; for a blob, its bytes.
    pub body: &'a [u8],
    /// For a blob: which of its bytes. Part of what is signed.
    pub range: Option<ByteRange>,
    /// The proof's bytes.
    pub proof: Option<&'a [u8]>,
}

impl Request<'_> {
    /// What a proof of this request is signed over.
    #[must_use]
    pub fn hash(&self) -> [u8; 32] {
        ranged_hash(self.method, self.origin, self.target, self.body, self.range)
    }
}

/// Some bytes of a blob, counted from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "first and last byte are all of it")]
pub struct ByteRange {
    /// The first byte.
    pub first: u64,
    /// The last byte; `None`: up to the end.
    pub last: Option<u64>,
}

impl std::fmt::Display for ByteRange {
    /// `0-99`, or `100-`: as in a range of RFC 9110 §14.1.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.last {
            Some(last) => write!(f, "{}-{last}", self.first),
            None => write!(f, "{}-", self.first),
        }
    }
}

impl ByteRange {
    /// The reverse of `to_string`; `None` for any other form, and where the last byte stands before the first.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (first, last) = text.split_once('-')?;
        let first = number(first)?;
        let last = if last.is_empty() { None } else { Some(number(last).filter(|last| *last >= first)?) };
        Some(Self { first, last })
    }
}

impl std::fmt::Debug for Request<'_> {
    /// The target holds ids, so that it is not printed.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Request").field("method", &self.method).field("len", &self.body.len()).finish_non_exhaustive()
    }
}

/// An answer: a status as in HTTP, and deterministic CBOR.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Reply {
    /// 200, 201, 204, 206, or 409 with what stands in the way.
    pub status: u16,
    /// Deterministic CBOR, or empty; for a blob, its bytes.
    pub body: Vec<u8>,
    /// For a blob: what it is, and where the bytes stand.
    pub blob: Option<BlobPlace>,
}

/// Where an answer's bytes stand in a blob.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "clients over other transports build it")]
pub struct BlobPlace {
    /// The first byte of the answer.
    pub first: u64,
    /// Bytes that the blob has.
    pub len: u64,
    /// Whether it is immutable. Until then only those who may write it see it.
    pub sealed: bool,
}

impl std::fmt::Debug for Reply {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reply").field("status", &self.status).field("len", &self.body.len()).finish_non_exhaustive()
    }
}

impl Reply {
    /// An answer, as a client puts it together from its transport.
    #[must_use]
    pub const fn new(status: u16, body: Vec<u8>) -> Self {
        Self { status, body, blob: None }
    }

    pub(crate) const fn ok(body: Vec<u8>) -> Self {
        Self::new(200, body)
    }

    pub(crate) const fn done() -> Self {
        Self::new(204, Vec::new())
    }
}

/// Where a request leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Route {
    Create,
    Header(StoreId),
    Of(StoreName, Resource),
}

/// What of a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Resource {
    Alias(StoreName),
    /// With what it is sealed at.
    Blob(BlobId, Option<u64>),
    Capabilities,
    Capability(CapabilityId),
    Changes(DatasetId, Cursor, Option<u32>),
    Commit,
    Feed(DatasetId),
    Heads(DatasetId, Option<Seq>),
    Leaves(DatasetId),
    Mail(MailboxId),
    MailAck(MailboxId, u64),
    MailList(MailboxId, u64),
    Objects(DatasetId),
    Purge,
    Share(u32),
    Usage,
}

impl Route {
    /// Reads method and target: nothing unknown, nothing twice.
    pub(crate) fn parse(method: Method, target: &str) -> Option<Self> {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let query = Query(query);
        let mut segments = path.strip_prefix("/v1/stores")?.split('/');
        if segments.next() != Some("") {
            return None;
        }
        let parts: Vec<&str> = segments.collect();
        let resource = match (method, parts.as_slice()) {
            (Method::Post, []) => return query.none().then_some(Self::Create),
            (Method::Get, [s, "header"]) => {
                return query.none().then_some(Self::Header(StoreId::parse_hex(s)?));
            }
            (Method::Get, [_, "datasets", d, "changes"]) => {
                let dataset = DatasetId::parse_hex(d)?;
                let [after, limit] = query.values(["after", "limit"])?;
                let after = after.map_or(Some(Cursor::START), cursor)?;
                let limit = limit
                    .map(number)
                    .map_or(Some(None), |limit| limit.and_then(|n| u32::try_from(n).ok()).map(Some))?;
                Resource::Changes(dataset, after, limit)
            }
            (Method::Get, [_, "datasets", d, "heads"]) => {
                let [after] = query.values(["after"])?;
                let after = after.map_or(Some(0), number)?;
                Resource::Heads(DatasetId::parse_hex(d)?, Seq::new(after))
            }
            (Method::Get, [_, "mail", m]) => {
                let [after] = query.values(["after"])?;
                Resource::MailList(MailboxId::parse_hex(m)?, after.map_or(Some(0), number)?)
            }
            (Method::Delete, [_, "mail", m]) => {
                let [upto] = query.values(["upto"])?;
                Resource::MailAck(MailboxId::parse_hex(m)?, number(upto?)?)
            }
            (Method::Put, [_, "blobs", b]) => {
                let [seal] = query.values(["seal"])?;
                let seal = seal.map_or(Some(None), |seal| number(seal).map(Some))?;
                Resource::Blob(BlobId::parse_hex(b)?, seal)
            }
            _ if !query.none() => return None,
            (Method::Get | Method::Head, [_, "blobs", b]) => Resource::Blob(BlobId::parse_hex(b)?, None),
            (Method::Get | Method::Put | Method::Delete, [_, "shares", epoch]) => {
                Resource::Share(u32::try_from(number(epoch)?).ok()?)
            }
            (Method::Post, [_, "commit"]) => Resource::Commit,
            (Method::Get, [_, "datasets", d, "feed"]) => Resource::Feed(DatasetId::parse_hex(d)?),
            (Method::Post, [_, "datasets", d, "objects"]) => Resource::Objects(DatasetId::parse_hex(d)?),
            (Method::Get, [_, "datasets", d, "leaves"]) => Resource::Leaves(DatasetId::parse_hex(d)?),
            (Method::Post, [_, "mail", m]) => Resource::Mail(MailboxId::parse_hex(m)?),
            (Method::Get, [_, "capabilities"]) => Resource::Capabilities,
            (Method::Get | Method::Put | Method::Patch, [_, "capabilities", c]) => {
                Resource::Capability(CapabilityId::parse_hex(c)?)
            }
            (Method::Put | Method::Delete, [_, "aliases", a]) => Resource::Alias(StoreName::parse_hex(a)?),
            (Method::Post, [_, "purge"]) => Resource::Purge,
            (Method::Get, [_, "usage"]) => Resource::Usage,
            _ => return None,
        };
        let name = StoreName::parse_hex(parts.first()?)?;
        Some(Self::Of(name, resource))
    }
}

struct Query<'a>(&'a str);

impl<'a> Query<'a> {
    fn none(&self) -> bool {
        self.0.is_empty()
    }

    /// The values of these keys; `None` when there is another key, or one twice.
    fn values<const N: usize>(&self, keys: [&str; N]) -> Option<[Option<&'a str>; N]> {
        let mut values = [None; N];
        for pair in self.0.split('&').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=')?;
            let at = keys.iter().position(|known| *known == key)?;
            let place = values.get_mut(at)?;
            if place.replace(value).is_some() {
                return None;
            }
        }
        Some(values)
    }
}

/// A number in its only form: digits, no sign, no leading zero.
fn number(text: &str) -> Option<u64> {
    let plain =
        !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    if plain { text.parse().ok() } else { None }
}

/// A cursor: 64 lower-case hex digits.
fn cursor(text: &str) -> Option<Cursor> {
    let (first, second) = text.split_at_checked(32)?;
    let (first, second) = (StoreName::parse_hex(first)?, StoreName::parse_hex(second)?);
    Cursor::from_bytes(&[*first.as_bytes(), *second.as_bytes()].concat())
}

/// The cursor as it stands in a query: 64 lower-case hex digits.
#[must_use]
pub fn cursor_to_hex(cursor: Cursor) -> String {
    cursor.to_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routes_lead_where_they_should() {
        let hex = "000102030405060708090a0b0c0d0e0f";
        let name = StoreName::parse_hex(hex).unwrap();
        let dataset = DatasetId::parse_hex(hex).unwrap();
        let at = |method, target: &str| Route::parse(method, target);
        let of = |resource| Some(Route::Of(name, resource));
        assert_eq!(at(Method::Post, "/v1/stores"), Some(Route::Create));
        assert_eq!(
            at(Method::Get, &format!("/v1/stores/{hex}/header")),
            Some(Route::Header(StoreId::parse_hex(hex).unwrap()))
        );
        assert_eq!(at(Method::Post, &format!("/v1/stores/{hex}/commit")), of(Resource::Commit));
        assert_eq!(at(Method::Put, &format!("/v1/stores/{hex}/shares/7")), of(Resource::Share(7)));
        let cursor = Cursor::after(Seq::FIRST);
        let changes = format!("/v1/stores/{hex}/datasets/{hex}/changes");
        assert_eq!(at(Method::Get, &changes), of(Resource::Changes(dataset, Cursor::START, None)));
        assert_eq!(
            at(Method::Get, &format!("{changes}?limit=5&after={}", cursor_to_hex(cursor))),
            of(Resource::Changes(dataset, cursor, Some(5)))
        );
        assert_eq!(
            at(Method::Get, &format!("/v1/stores/{hex}/datasets/{hex}/heads?after=0")),
            of(Resource::Heads(dataset, None))
        );
    }

    #[test]
    fn other_targets_lead_nowhere() {
        let hex = "000102030405060708090a0b0c0d0e0f";
        for (method, target) in [
            (Method::Get, String::new()),
            (Method::Get, "/v1/stores".to_owned()),
            (Method::Post, "/v1/stores/".to_owned()),
            (Method::Post, "/v1/storesx".to_owned()),
            (Method::Post, "/v1/stores?x=1".to_owned()),
            (Method::Post, format!("/v1/stores/{hex}/header")),
            (Method::Get, format!("/v1/stores/{}/header", hex.to_uppercase())),
            (Method::Post, format!("/v1/stores/{hex}/commit/")),
            (Method::Post, format!("/v1/stores/{hex}//commit")),
            (Method::Put, format!("/v1/stores/{hex}/shares/+7")),
            (Method::Put, format!("/v1/stores/{hex}/shares/07")),
            (Method::Put, format!("/v1/stores/{hex}/shares/4294967296")),
            (Method::Get, format!("/v1/stores/{hex}/datasets/{hex}/changes?after=1&after=1")),
            (Method::Get, format!("/v1/stores/{hex}/datasets/{hex}/changes?limit=1&limit=1")),
            (Method::Get, format!("/v1/stores/{hex}/datasets/{hex}/changes?other=1")),
            (Method::Get, format!("/v1/stores/{hex}/datasets/{hex}/heads?after=")),
            (Method::Delete, format!("/v1/stores/{hex}/mail/{hex}")),
        ] {
            let found = Route::parse(method, &target);
            assert_eq!(found, None, "{target}");
        }
    }
}
