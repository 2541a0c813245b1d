//! What is inside a record.

use alloc::{borrow::ToOwned, string::String, vec::Vec};
use core::fmt;

use deedbox_cbor::{Item, ItemBuf, Limits, Order, Writer, read};
use deedbox_crypto::{hash::sha256, secret::SecretBytes};
use deedbox_model::{BlobId, Digest, ObjectId, Provenance, Timestamp};
use zeroize::Zeroizing;

use crate::{Kind, ObjectKey, PayloadError, chunk, pad};

/// A value and what is known about it.
///
/// ```cddl
/// record   = { 1: [schema: tstr, version: uint], 2: name: tstr, 3: value: any, ? 4: provenance, ? 5: [+ blob-ref],
///              ? 6: [+ parent: b32], ? 7: expires: uint, ? 8: [object: b16, sha256-of-signed: b32] }
/// ```
/// At most 256 KiB; schema and name have 1 to 1,024 bytes.
pub struct Record {
    schema: String,
    schema_version: u64,
    name: String,
    value: ItemBuf,
    provenance: Option<Provenance>,
    blobs: Vec<BlobRef>,
    parents: Vec<Digest>,
    expires: Option<Timestamp>,
    about: Option<(ObjectId, Digest)>,
}

impl Record {
    /// A record of `value` under `name`, as the schema's version describes it.
    ///
    /// # Errors
    /// [`PayloadError::Limit`] when schema or name are empty or longer than 1,024 bytes.
    pub fn new(schema: &str, schema_version: u64, name: &str, value: ItemBuf) -> Result<Self, PayloadError> {
        if !is_name(schema) || !is_name(name) {
            return Err(PayloadError::Limit);
        }
        Ok(Self {
            schema: schema.to_owned(),
            schema_version,
            name: name.to_owned(),
            value,
            provenance: None,
            blobs: Vec::new(),
            parents: Vec::new(),
            expires: None,
            about: None,
        })
    }

    /// The same with its provenance.
    #[must_use]
    pub fn with_provenance(mut self, provenance: Provenance) -> Self {
        self.provenance = Some(provenance);
        self
    }

    /// The same with one more blob beside it.
    #[must_use]
    pub fn with_blob(mut self, blob: BlobRef) -> Self {
        self.blobs.push(blob);
        self
    }

    /// The same without that blob: once the record is written so, the blob's key is gone from the dataset's state, and with
    /// it the content, however large. Copies of the record as it was still have the key: they lapse with the dataset's
    /// epoch, as any erased value does.
    #[must_use]
    pub fn without_blob(mut self, blob: &BlobId) -> Self {
        self.blobs.retain(|known| known.blob() != blob);
        self
    }

    /// The same with the SHA-256 of the objects that a merge replaced.
    #[must_use]
    pub fn with_parents(mut self, parents: Vec<Digest>) -> Self {
        self.parents = parents;
        self
    }

    /// The same with a moment after which it is of no use.
    #[must_use]
    pub const fn with_expires(mut self, expires: Timestamp) -> Self {
        self.expires = Some(expires);
        self
    }

    /// The same as the person's note on what the issuer signed in `issued`, the record of `object`.
    ///
    /// The issuer's document stays as it is and verifies by the issuer's key alone; the note is in an object of its own, which
    /// verifies by the head alone, and names the document by its SHA-256.
    ///
    /// # Errors
    /// [`PayloadError::NotSigned`] when `issued` holds no issuer's document.
    pub fn note_on(mut self, object: ObjectId, issued: &Self) -> Result<Self, PayloadError> {
        self.about = Some((object, issued.signed_sha256().ok_or(PayloadError::NotSigned)?));
        Ok(self)
    }

    /// The same with another value, of another version of the schema.
    pub(crate) fn with_value(mut self, schema_version: u64, value: ItemBuf) -> Self {
        (self.schema_version, self.value) = (schema_version, value);
        self
    }

    /// Name and version of the schema.
    #[must_use]
    pub fn schema(&self) -> (&str, u64) {
        (&self.schema, self.schema_version)
    }

    /// A field path or the name of an instance.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The value.
    #[must_use]
    pub const fn value(&self) -> &ItemBuf {
        &self.value
    }

    /// Where it comes from.
    #[must_use]
    pub const fn provenance(&self) -> Option<&Provenance> {
        self.provenance.as_ref()
    }

    /// Blobs beside it.
    #[must_use]
    pub fn blobs(&self) -> &[BlobRef] {
        &self.blobs
    }

    /// SHA-256 of the objects that a merge replaced.
    #[must_use]
    pub fn parents(&self) -> &[Digest] {
        &self.parents
    }

    /// When it lapses.
    #[must_use]
    pub const fn expires(&self) -> Option<Timestamp> {
        self.expires
    }

    /// The object on whose signed content this is the person's note, and that content's SHA-256.
    #[must_use]
    pub const fn about(&self) -> Option<&(ObjectId, Digest)> {
        self.about.as_ref()
    }

    /// SHA-256 of the issuer's document, as it was received.
    #[must_use]
    pub fn signed_sha256(&self) -> Option<Digest> {
        self.provenance.as_ref().and_then(Provenance::signed).map(|signed| Digest::from_bytes(sha256(signed)))
    }

    /// Whether it is a note on what the issuer signed in `issued`, the record of `object`, and on no other wording of it.
    #[must_use]
    pub fn is_note_on(&self, object: &ObjectId, issued: &Self) -> bool {
        issued.signed_sha256().is_some_and(|signed| self.about == Some((*object, signed)))
    }

    /// Reads the payload of an object of kind [`Kind::Record`].
    ///
    /// # Errors
    /// [`PayloadError::Malformed`].
    pub fn decode(payload: &[u8]) -> Result<Self, PayloadError> {
        let item = read(payload, Order::Canonical, &LIMITS).ok();
        item.and_then(Self::from_item).ok_or(PayloadError::Malformed)
    }

    fn from_item(item: Item<'_>) -> Option<Self> {
        let mut fields = item.as_map()?.fields();
        let [schema, schema_version] = fields.required(1)?.as_array()?.exactly()?;
        let schema = schema.as_str().filter(|text| is_name(text))?.to_owned();
        let name = fields.required(2)?.as_str().filter(|text| is_name(text))?.to_owned();
        let value = ItemBuf::from_item(fields.required(3)?).ok()?;
        let provenance = match fields.optional(4)? {
            Some(item) => Some(Provenance::decode(item)?),
            None => None,
        };
        let blobs = match fields.optional(5)? {
            Some(item) => list(item, BlobRef::from_item)?,
            None => Vec::new(),
        };
        let parents = match fields.optional(6)? {
            Some(item) => list(item, Digest::decode)?,
            None => Vec::new(),
        };
        let expires = match fields.optional(7)? {
            Some(item) => Some(Timestamp::decode(item)?),
            None => None,
        };
        let about = match fields.optional(8)? {
            Some(item) => {
                let [object, signed] = item.as_array()?.exactly()?;
                Some((ObjectId::decode(object)?, Digest::decode(signed)?))
            }
            None => None,
        };
        fields.finish()?;
        let schema_version = schema_version.as_u64()?;
        Some(Self { schema, schema_version, name, value, provenance, blobs, parents, expires, about })
    }

    /// Writes the payload.
    ///
    /// # Errors
    /// [`PayloadError::Limit`] beyond 256 KiB, or when the value is nested so deep that it could not be read again.
    pub fn encode(&self) -> Result<Zeroizing<Vec<u8>>, PayloadError> {
        let mut writer = Writer::with_capacity(self.value.bytes().len().saturating_add(512));
        writer.map(|map| {
            map.int(1, |w| {
                w.array(2).text(&self.schema).uint(self.schema_version);
            });
            map.int(2, |w| {
                w.text(&self.name);
            });
            map.int(3, |w| {
                w.item(self.value.as_item());
            });
            if let Some(provenance) = &self.provenance {
                map.int(4, |w| provenance.encode(w));
            }
            if !self.blobs.is_empty() {
                map.int(5, |w| {
                    w.array(self.blobs.len());
                    self.blobs.iter().for_each(|blob| blob.encode(w));
                });
            }
            if !self.parents.is_empty() {
                map.int(6, |w| write_parents(&self.parents, w));
            }
            if let Some(expires) = self.expires {
                map.int(7, |w| expires.encode(w));
            }
            if let Some((object, signed)) = &self.about {
                map.int(8, |w| {
                    object.encode(w.array(2));
                    signed.encode(w);
                });
            }
        });
        let bytes = Zeroizing::new(writer.into_vec());
        // The only other limit: the value's own nesting, inside this map.
        read(&bytes, Order::Canonical, &LIMITS).map_err(|_| PayloadError::Limit)?;
        Ok(bytes)
    }
}

/// Prints neither name nor value.
impl fmt::Debug for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Record").field("value", &self.value).finish_non_exhaustive()
    }
}

/// Where a blob lies and what opens it; made by [`BlobSealer`](crate::BlobSealer) and [`seal_blob`](crate::seal_blob) only.
///
/// ```cddl
/// blob-ref = [blob: b16, key: b32, length: uint, sha256: b32, ? media: tstr]
/// ```
/// At most 4 TiB; the media type has 1 to 1,024 bytes. The key stands here and nowhere else, so the blob opens exactly as
/// long as its record says so: see [`Record::without_blob`].
///
/// ```compile_fail
/// fn copy(blob: &deedbox_record::BlobRef) -> deedbox_record::BlobRef { blob.clone() }
/// ```
pub struct BlobRef {
    blob: BlobId,
    key: ObjectKey,
    length: u64,
    sha256: Digest,
    media: Option<String>,
}

impl BlobRef {
    pub(crate) const fn of(blob: BlobId, key: ObjectKey, length: u64, sha256: Digest, media: Option<String>) -> Self {
        Self { blob, key, length, sha256, media }
    }

    pub(crate) const fn key(&self) -> &ObjectKey {
        &self.key
    }

    /// The blob's id.
    #[must_use]
    pub const fn blob(&self) -> &BlobId {
        &self.blob
    }

    /// Its length before padding.
    #[must_use]
    pub const fn length(&self) -> u64 {
        self.length
    }

    /// The length of its sealed bytes, as a host keeps them.
    #[must_use]
    pub fn sealed_len(&self) -> u64 {
        let body = pad::padme(self.length).and_then(chunk::object_len);
        // INVARIANT (length): at most MAX_BLOB, so that neither overflows.
        body.unwrap_or(u64::MAX)
    }

    /// SHA-256 of its content.
    #[must_use]
    pub const fn sha256(&self) -> &Digest {
        &self.sha256
    }

    /// Its media type.
    #[must_use]
    pub fn media(&self) -> Option<&str> {
        self.media.as_deref()
    }

    fn from_item(item: Item<'_>) -> Option<Self> {
        let array = item.as_array()?;
        let (blob, key, length, sha256, media) = match (array.exactly(), array.exactly()) {
            (Some([blob, key, length, sha256]), _) => (blob, key, length, sha256, None),
            (_, Some([blob, key, length, sha256, media])) => (blob, key, length, sha256, Some(media.as_str()?)),
            _ => return None,
        };
        Some(Self {
            blob: BlobId::decode(blob)?,
            key: ObjectKey::of(SecretBytes::try_from_slice(key.as_bytes()?)?, 0),
            length: length.as_u64().filter(|length| *length <= MAX_BLOB)?,
            sha256: Digest::decode(sha256)?,
            media: media.and_then(media_type),
        })
        .filter(|blob| blob.media.is_some() == media.is_some())
    }

    fn encode(&self, writer: &mut Writer) {
        writer.array(if self.media.is_some() { 5 } else { 4 });
        self.blob.encode(writer);
        writer.bytes(self.key.secret().expose()).uint(self.length);
        self.sha256.encode(writer);
        if let Some(media) = &self.media {
            writer.text(media);
        }
    }
}

impl fmt::Debug for BlobRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BlobRef").field("length", &self.length).finish_non_exhaustive()
    }
}

/// Says that a record was removed.
///
/// ```cddl
/// tombstone = { ? 6: [+ parent: b32] }
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tombstone {
    parents: Vec<Digest>,
}

impl Tombstone {
    /// A tombstone for the objects of those hashes.
    #[must_use]
    pub const fn new(parents: Vec<Digest>) -> Self {
        Self { parents }
    }

    /// SHA-256 of what it replaced.
    #[must_use]
    pub fn parents(&self) -> &[Digest] {
        &self.parents
    }

    /// Reads the payload of an object of kind [`Kind::Tombstone`].
    ///
    /// # Errors
    /// [`PayloadError::Malformed`].
    pub fn decode(payload: &[u8]) -> Result<Self, PayloadError> {
        let decode = |item: Item<'_>| {
            let mut fields = item.as_map()?.fields();
            let parents = match fields.optional(6)? {
                Some(item) => list(item, Digest::decode)?,
                None => Vec::new(),
            };
            fields.finish()?;
            Some(Self { parents })
        };
        let item = read(payload, Order::Canonical, &LIMITS).ok();
        item.and_then(decode).ok_or(PayloadError::Malformed)
    }

    /// Writes the payload.
    ///
    /// # Errors
    /// [`PayloadError::Limit`] beyond 256 KiB.
    pub fn encode(&self) -> Result<Vec<u8>, PayloadError> {
        let mut writer = Writer::new();
        writer.map(|map| {
            if !self.parents.is_empty() {
                map.int(6, |w| write_parents(&self.parents, w));
            }
        });
        let bytes = writer.into_vec();
        if bytes.len() > Kind::Tombstone.limit() { Err(PayloadError::Limit) } else { Ok(bytes) }
    }
}

/// A list that is left out when it is empty.
fn list<T>(item: Item<'_>, decode: impl Fn(Item<'_>) -> Option<T>) -> Option<Vec<T>> {
    let array = item.as_array().filter(|array| !array.is_empty())?;
    array.iter().map(decode).collect()
}

fn write_parents(parents: &[Digest], writer: &mut Writer) {
    writer.array(parents.len());
    parents.iter().for_each(|parent| parent.encode(writer));
}

/// A media type that a reference can hold.
pub(crate) fn media_type(text: &str) -> Option<String> {
    is_name(text).then(|| text.to_owned())
}

const fn is_name(text: &str) -> bool {
    !text.is_empty() && text.len() <= 1_024
}

/// The most bytes of a blob: 4 TiB.
pub(crate) const MAX_BLOB: u64 = 4 << 40;
const LIMITS: Limits = Limits::new(256 << 10);

#[cfg(test)]
mod tests;
