//! Schema versions: how a record that an older version wrote is read today.

use alloc::{borrow::ToOwned, collections::BTreeMap, string::String, vec::Vec};
use core::fmt;

use deedbox_cbor::ItemBuf;

use crate::{PayloadError, Record};

/// What this version knows of schemas: for each the oldest version it still reads, and one step to each version after.
///
/// A step is a pure function of the value: the same on every device, so that two devices that migrate one record write one
/// value. It runs when a record is read; nothing is written before the record is changed anyway. Name, provenance with the
/// issuer's document, parents, blobs, expiry and what a note is about stay as they are.
///
/// ```
/// use deedbox_cbor::{ItemBuf, Limits, Writer};
/// use deedbox_record::{Migrations, Record};
///
/// // Version 1 held a telephone number as text, version 2 holds a list of them.
/// fn to_list(value: &ItemBuf) -> Option<ItemBuf> {
///     let mut list = Writer::new();
///     list.array(1).text(value.as_item().as_str()?);
///     ItemBuf::parse(list.as_slice(), &Limits::new(2_000)).ok()
/// }
/// let mut migrations = Migrations::new();
/// migrations.register("telephone", 1, &[to_list])?;
///
/// let old = Record::new("telephone", 1, "telephone.home", ItemBuf::parse(b"\x63117", &Limits::new(9))?)?.encode()?;
/// let read = migrations.read(&old)?;
/// assert!(read.is_changed());
/// assert_eq!(read.record().schema(), ("telephone", 2));
/// assert_eq!(read.record().value().bytes(), b"\x81\x63117");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Default)]
pub struct Migrations {
    schemas: BTreeMap<String, Chain>,
}

struct Chain {
    oldest: u64,
    // INVARIANT (contiguous): step n goes from version oldest + n to the next. The newest version is a u64.
    steps: Vec<Step>,
    newest: u64,
}

type Step = fn(&ItemBuf) -> Option<ItemBuf>;

impl Migrations {
    /// No schema yet.
    #[must_use]
    pub const fn new() -> Self {
        Self { schemas: BTreeMap::new() }
    }

    /// Registers a schema: the oldest version to be read, and the steps from there on, each to the next version. A step gives
    /// `None` for a value that is none of its version.
    ///
    /// # Errors
    /// [`PayloadError::Duplicate`] when the schema is registered; [`PayloadError::Limit`] when there is no such version.
    pub fn register(
        &mut self,
        schema: &str,
        oldest: u64,
        steps: &[fn(&ItemBuf) -> Option<ItemBuf>],
    ) -> Result<&mut Self, PayloadError> {
        if self.schemas.contains_key(schema) {
            return Err(PayloadError::Duplicate);
        }
        let newest = u64::try_from(steps.len()).ok().and_then(|len| oldest.checked_add(len));
        let newest = newest.ok_or(PayloadError::Limit)?;
        self.schemas.insert(schema.to_owned(), Chain { oldest, steps: steps.to_vec(), newest });
        Ok(self)
    }

    /// The version of `schema` to write.
    #[must_use]
    pub fn newest(&self, schema: &str) -> Option<u64> {
        self.schemas.get(schema).map(|chain| chain.newest)
    }

    /// Reads the payload of an object of kind [`crate::Kind::Record`] as [`Record::decode`] does, and brings its value to
    /// the newest version. A record of a schema that is not registered is given as it is.
    ///
    /// # Errors
    /// [`PayloadError::Malformed`]; [`PayloadError::NewerSchema`], [`PayloadError::OlderSchema`] for a version out of reach;
    /// [`PayloadError::Migration`] when a step refuses the value; [`PayloadError::Limit`] when it gives one that could not be
    /// written.
    pub fn read<'a>(&self, payload: &'a [u8]) -> Result<Migrated<'a>, PayloadError> {
        let mut record = Record::decode(payload)?;
        let (schema, stored) = record.schema();
        if let Some(chain) = self.schemas.get(schema).filter(|chain| chain.newest != stored) {
            let value = chain.migrate(stored, record.value())?;
            record = record.with_value(chain.newest, value);
            record.encode()?;
        }
        Ok(Migrated { record, stored, payload })
    }
}

/// Prints the number of schemas.
impl fmt::Debug for Migrations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Migrations").field("schemas", &self.schemas.len()).finish_non_exhaustive()
    }
}

impl Chain {
    fn migrate(&self, version: u64, value: &ItemBuf) -> Result<ItemBuf, PayloadError> {
        if version > self.newest {
            return Err(PayloadError::NewerSchema { version, newest: self.newest });
        }
        let older = PayloadError::OlderSchema { version, oldest: self.oldest };
        let skip = version.checked_sub(self.oldest).ok_or(older)?;
        let steps = usize::try_from(skip).ok().and_then(|skip| self.steps.get(skip..)).unwrap_or_default();
        let mut value = value.clone();
        for (from, step) in (version..).zip(steps) {
            value = step(&value).ok_or(PayloadError::Migration { from })?;
        }
        Ok(value)
    }
}

/// A record as it is read today, with the payload as it was stored; made by [`Migrations::read`].
pub struct Migrated<'a> {
    record: Record,
    stored: u64,
    payload: &'a [u8],
}

impl<'a> Migrated<'a> {
    /// The record in the newest version: what to use, and to write when it is written next.
    #[must_use]
    pub const fn record(&self) -> &Record {
        &self.record
    }

    /// The record, given away.
    #[must_use]
    pub fn into_record(self) -> Record {
        self.record
    }

    /// Whether it differs from what is stored.
    #[must_use]
    pub fn is_changed(&self) -> bool {
        self.record.schema().1 != self.stored
    }

    /// The schema's version as it is stored.
    #[must_use]
    pub const fn stored_version(&self) -> u64 {
        self.stored
    }

    /// The payload as it is stored.
    #[must_use]
    pub const fn payload(&self) -> &'a [u8] {
        self.payload
    }
}

/// Prints the versions.
impl fmt::Debug for Migrated<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Migrated")
            .field("stored_version", &self.stored)
            .field("version", &self.record.schema().1)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
