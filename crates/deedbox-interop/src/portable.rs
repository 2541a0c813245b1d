//! A portability export (GDPR Art. 20): what a person's store holds, in the clear, for any other system to read.
//!
//! As deterministic CBOR it loses nothing; as JSON it is for programs that read nothing else. It is not a back-up: nothing in
//! it is authenticated but the issuers' own signed documents, and it opens without a secret.
//!
//! ```
//! use deedbox_interop::{import, portable::{Portable, PortableField}};
//! use deedbox_model::{Assurance, Provenance, StoreId, Timestamp};
//! # let now = Timestamp::from_secs(1_800_000_000);
//! let fields = import(br#"{"person": {"name": "Ada", "kg": 7.20}}"#)?;
//! let fields = fields.fields().iter().map(|field| {
//!     let provenance = Provenance::new(b"myself".as_slice(), Assurance::Declared, now);
//!     PortableField::new(field.dataset(), field.path().as_str(), (field.schema(), 1), field.value().clone(), Some(provenance))
//! });
//! let portable = Portable::new(StoreId::from_bytes([1; 16]), now, fields.collect());
//! assert!(portable.to_json().contains(r#""path":"person.kg","schema":["json",1],"value":7.20"#));
//! assert_eq!(Portable::parse(&portable.to_cbor())?, portable);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::fmt::{self, Write as _};

use base64ct::{Base64UrlUnpadded, Encoding as _};
use deedbox_cbor::{Item, ItemBuf, Limits, Order, Writer, read};
use deedbox_model::{Provenance, StoreId, Timestamp};

/// A portability export.
///
/// ```cddl
/// portable = { 1: "deedbox-portable", 2: 1, 3: store: b16, 4: created: uint, 5: [* field] }
/// field    = [dataset: tstr, path: tstr, [schema: tstr, version: uint], value: any, provenance / null]
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Portable {
    store: StoreId,
    created: Timestamp,
    fields: Vec<PortableField>,
}

/// A value, and what is known about it.
#[derive(Clone, PartialEq, Eq)]
pub struct PortableField {
    dataset: String,
    path: String,
    schema: (String, u64),
    value: ItemBuf,
    provenance: Option<Provenance>,
}

/// Why bytes are no portability export.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PortableError {
    /// Not an export of this version, or longer than 1 GiB.
    #[error("portability export is malformed")]
    Malformed,
}

impl PortableError {
    /// The variant's name, stable once released.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Malformed => "Malformed",
        }
    }
}

impl Portable {
    /// An export of these fields.
    #[must_use]
    pub const fn new(store: StoreId, created: Timestamp, fields: Vec<PortableField>) -> Self {
        Self { store, created, fields }
    }

    /// The store's id.
    #[must_use]
    pub const fn store(&self) -> &StoreId {
        &self.store
    }

    /// When it was made.
    #[must_use]
    pub const fn created(&self) -> Timestamp {
        self.created
    }

    /// The fields.
    #[must_use]
    pub fn fields(&self) -> &[PortableField] {
        &self.fields
    }

    /// The export as deterministic CBOR.
    #[must_use]
    pub fn to_cbor(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        writer.map(|map| {
            map.int(1, |w| {
                w.text(NAME);
            });
            map.int(2, |w| {
                w.uint(1);
            });
            map.int(3, |w| self.store.encode(w)).int(4, |w| self.created.encode(w));
            map.int(5, |w| {
                w.array(self.fields.len());
                self.fields.iter().for_each(|field| field.encode(w));
            });
        });
        writer.into_vec()
    }

    /// Reads what [`Portable::to_cbor`] wrote. Nothing of it is authenticated.
    ///
    /// # Errors
    /// [`PortableError::Malformed`].
    pub fn parse(bytes: &[u8]) -> Result<Self, PortableError> {
        let item = read(bytes, Order::Canonical, &Limits::new(MAX_LEN)).ok();
        item.and_then(Self::from_item).ok_or(PortableError::Malformed)
    }

    fn from_item(item: Item<'_>) -> Option<Self> {
        let mut map = item.as_map()?.fields();
        if map.required(1)?.as_str()? != NAME || map.required(2)?.as_u64()? != 1 {
            return None;
        }
        let store = StoreId::decode(map.required(3)?)?;
        let created = Timestamp::decode(map.required(4)?)?;
        let fields = map.required(5)?.as_array()?.iter().map(PortableField::from_item).collect::<Option<_>>()?;
        map.finish()?;
        Some(Self { store, created, fields })
    }

    /// The export as JSON (RFC 8259).
    ///
    /// Texts, booleans, null, arrays, maps with text keys, integers and decimal fractions are written as themselves, with every
    /// digit. JSON has nothing for the rest: `{"$bytes": base64url}`, `{"$map": [[key, value]]}`, `{"$tag": [number, value]}`,
    /// `{"$float": "NaN"}`, `{"$simple": number}`.
    #[must_use]
    pub fn to_json(&self) -> String {
        let mut out = String::new();
        out.push_str("{\"format\":\"deedbox-portable\",\"version\":1,\"store\":");
        text(&mut out, &self.store.to_string());
        push(&mut out, format_args!(",\"created\":{},\"fields\":[", self.created.secs()));
        for (n, field) in self.fields.iter().enumerate() {
            out.push_str(if n == 0 { "\n" } else { ",\n" });
            field.json(&mut out);
        }
        out.push_str("\n]}\n");
        out
    }
}

impl PortableField {
    /// A value under its dataset and path, by the schema of that name and version.
    #[must_use]
    pub fn new(
        dataset: &str,
        path: &str,
        (schema, version): (&str, u64),
        value: ItemBuf,
        provenance: Option<Provenance>,
    ) -> Self {
        let schema = (schema.to_owned(), version);
        Self { dataset: dataset.to_owned(), path: path.to_owned(), schema, value, provenance }
    }

    /// The dataset's title.
    #[must_use]
    pub fn dataset(&self) -> &str {
        &self.dataset
    }

    /// The path.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The value.
    #[must_use]
    pub const fn value(&self) -> &ItemBuf {
        &self.value
    }

    /// Whose word it is, how sure, since when.
    #[must_use]
    pub const fn provenance(&self) -> Option<&Provenance> {
        self.provenance.as_ref()
    }

    fn encode(&self, writer: &mut Writer) {
        writer.array(5).text(&self.dataset).text(&self.path);
        writer.array(2).text(&self.schema.0).uint(self.schema.1).item(self.value.as_item());
        match &self.provenance {
            Some(provenance) => provenance.encode(writer),
            None => {
                writer.null();
            }
        }
    }

    fn from_item(item: Item<'_>) -> Option<Self> {
        let [dataset, path, schema, value, provenance] = item.as_array()?.exactly()?;
        let [schema, version] = schema.as_array()?.exactly()?;
        let provenance = if provenance.is_null() { None } else { Some(Provenance::decode(provenance)?) };
        let schema = (schema.as_str()?, version.as_u64()?);
        Some(Self::new(dataset.as_str()?, path.as_str()?, schema, ItemBuf::from_item(value).ok()?, provenance))
    }

    fn json(&self, out: &mut String) {
        for (key, value) in
            [("{\"dataset\":", &self.dataset), (",\"path\":", &self.path), (",\"schema\":[", &self.schema.0)]
        {
            out.push_str(key);
            text(out, value);
        }
        push(out, format_args!(",{}],\"value\":", self.schema.1));
        value(out, self.value.as_item());
        if let Some(provenance) = &self.provenance {
            out.push_str(",\"source\":");
            match std::str::from_utf8(provenance.source()) {
                Ok(source) => text(out, source),
                Err(_) => bytes(out, provenance.source()),
            }
            let (assurance, observed) = (provenance.assurance().level(), provenance.observed().secs());
            push(out, format_args!(",\"assurance\":{assurance},\"observed\":{observed}"));
            if let Some(signed) = provenance.signed() {
                out.push_str(",\"signed\":");
                bytes(out, signed);
            }
        }
        out.push('}');
    }
}

/// Prints lengths.
impl fmt::Debug for PortableField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PortableField").field("len", &self.value.bytes().len()).finish_non_exhaustive()
    }
}

fn value(out: &mut String, item: Item<'_>) {
    if let Some(number) = item.as_u64() {
        push(out, format_args!("{number}"));
    } else if let Some(less) = item.as_nint() {
        push(out, format_args!("-{}", u128::from(less).saturating_add(1)));
    } else if let Some(found) = item.as_str() {
        text(out, found);
    } else if let Some(found) = item.as_bytes() {
        bytes(out, found);
    } else if let Some(array) = item.as_array() {
        list(out, array.iter(), value);
    } else if let Some(map) = item.as_map() {
        if map.iter().all(|(key, _)| key.as_str().is_some()) {
            out.push('{');
            for (n, (key, member)) in map.iter().enumerate() {
                out.push_str(if n == 0 { "" } else { "," });
                text(out, key.as_str().unwrap_or_default());
                out.push(':');
                value(out, member);
            }
            out.push('}');
        } else {
            out.push_str("{\"$map\":");
            list(out, map.iter(), |out, (key, member)| list(out, [key, member].into_iter(), value));
            out.push('}');
        }
    } else if let Some((number, inner)) = item.as_tag() {
        if number != 4 || decimal(out, inner).is_none() {
            push(out, format_args!("{{\"$tag\":[{number},"));
            value(out, inner);
            out.push_str("]}");
        }
    } else if let Some(found) = item.as_bool() {
        out.push_str(if found { "true" } else { "false" });
    } else if item.is_null() || item.is_undefined() {
        out.push_str("null");
    } else if let Some(found) = item.as_f64() {
        match serde_json::Number::from_f64(found) {
            Some(number) => push(out, format_args!("{number}")),
            None => push(out, format_args!("{{\"$float\":\"{found}\"}}")),
        }
    } else {
        push(out, format_args!("{{\"$simple\":{}}}", item.as_simple().unwrap_or_default()));
    }
}

/// A decimal fraction with the digits it was written with: `[-2, 720]` is 7.20.
fn decimal(out: &mut String, item: Item<'_>) -> Option<()> {
    let [exponent, mantissa] = item.as_array()?.exactly()?;
    let (exponent, mantissa) = (exponent.as_i64()?, mantissa.as_i64()?);
    let sign = if mantissa < 0 { "-" } else { "" };
    let digits = mantissa.unsigned_abs().to_string();
    match usize::try_from(exponent.unsigned_abs()) {
        // As a fraction while that is no longer than what would be written otherwise.
        Ok(places) if exponent < 0 && places <= 32 => {
            let padded = format!("{digits:0>width$}", width = places.saturating_add(1));
            let (whole, fraction) = padded.split_at_checked(padded.len().saturating_sub(places))?;
            push(out, format_args!("{sign}{whole}.{fraction}"));
        }
        _ => push(out, format_args!("{sign}{digits}e{exponent}")),
    }
    Some(())
}

fn list<T>(out: &mut String, items: impl Iterator<Item = T>, each: impl Fn(&mut String, T)) {
    out.push('[');
    for (n, item) in items.enumerate() {
        out.push_str(if n == 0 { "" } else { "," });
        each(out, item);
    }
    out.push(']');
}

fn text(out: &mut String, text: &str) {
    // Writing text to memory does not fail.
    out.push_str(&serde_json::to_string(text).unwrap_or_default());
}

fn bytes(out: &mut String, bytes: &[u8]) {
    push(out, format_args!("{{\"$bytes\":\"{}\"}}", Base64UrlUnpadded::encode_string(bytes)));
}

fn push(out: &mut String, arguments: fmt::Arguments<'_>) {
    // Writing to a string does not fail.
    let _ = out.write_fmt(arguments);
}

const NAME: &str = "deedbox-portable";
const MAX_LEN: usize = 1 << 30;

#[cfg(test)]
mod tests;
