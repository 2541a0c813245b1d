use core::fmt;

use deedbox_cbor::{ItemBuf, Limits, Writer};
use deedbox_model::FieldPath;

use crate::{
    ImportError,
    tree::{Node, Tree},
};

/// What a document became: its fields, grouped into datasets.
pub struct Import {
    fields: Vec<ImportedField>,
}

/// One leaf of the document.
pub struct ImportedField {
    dataset: String,
    schema: String,
    group: String,
    path: FieldPath,
    value: ItemBuf,
}

impl Import {
    /// All fields, in the order of the document; paths are unique.
    #[must_use]
    pub fn fields(&self) -> &[ImportedField] {
        &self.fields
    }

    /// The datasets' titles, sorted, each once.
    #[must_use]
    pub fn datasets(&self) -> Vec<&str> {
        let mut titles: Vec<&str> = self.fields.iter().map(ImportedField::dataset).collect();
        titles.sort_unstable();
        titles.dedup();
        titles
    }
}

impl fmt::Debug for Import {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Import").field("fields", &self.fields.len()).finish_non_exhaustive()
    }
}

impl ImportedField {
    /// The title of the dataset it belongs to.
    #[must_use]
    pub fn dataset(&self) -> &str {
        &self.dataset
    }

    /// What kind of thing the value is part of: `json`, or a FHIR resource type such as `fhir/Observation`.
    #[must_use]
    pub fn schema(&self) -> &str {
        &self.schema
    }

    /// The path without instance and positions, such as `Patient.name.family`: what a person decides about.
    #[must_use]
    pub fn group(&self) -> &str {
        &self.group
    }

    /// Where in the document it stood; unique in an import.
    #[must_use]
    pub fn path(&self) -> &FieldPath {
        &self.path
    }

    /// The value, deterministic CBOR.
    #[must_use]
    pub fn value(&self) -> &ItemBuf {
        &self.value
    }
}

/// Prints lengths, never a path or a value.
impl fmt::Debug for ImportedField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ImportedField").field("value_len", &self.value.bytes().len()).finish_non_exhaustive()
    }
}

/// Collects the leaves of trees.
#[derive(Default)]
pub(crate) struct Collector {
    fields: Vec<ImportedField>,
}

impl Collector {
    /// Adds every leaf of `tree` under `path`, which is also its group so far.
    pub(crate) fn add(
        &mut self,
        place: &Place<'_>,
        path: &str,
        group: &str,
        tree: &Tree<'_>,
    ) -> Result<(), ImportError> {
        match &tree.node {
            Node::Object(members) if !members.is_empty() => {
                for (key, value) in members {
                    let key = segment(key);
                    self.add(place, &join(path, &key), &join(group, &key), value)?;
                }
                Ok(())
            }
            Node::Array(elements) if !elements.is_empty() => {
                for (index, value) in elements.iter().enumerate() {
                    self.add(place, &join(path, &index.to_string()), group, value)?;
                }
                Ok(())
            }
            _ => {
                let path = FieldPath::parse(path).map_err(|_| ImportError::PathTooLong { offset: tree.offset })?;
                self.fields.push(ImportedField {
                    dataset: place.dataset.to_owned(),
                    schema: place.schema.to_owned(),
                    group: group.to_owned(),
                    path,
                    value: leaf(tree)?,
                });
                Ok(())
            }
        }
    }

    /// What was collected; at least one field.
    pub(crate) fn finish(self) -> Result<Import, ImportError> {
        if self.fields.is_empty() { Err(ImportError::Empty) } else { Ok(Import { fields: self.fields }) }
    }
}

/// Where leaves go: the same for all leaves of a resource.
pub(crate) struct Place<'a> {
    pub(crate) dataset: &'a str,
    pub(crate) schema: &'a str,
}

/// `key` as one segment of a path: a dot in a key, and the escape itself, are escaped, and an empty key has a sign of
/// its own, so that different documents never share a path.
pub(crate) fn segment(key: &str) -> String {
    if key.is_empty() {
        return "~e".to_owned();
    }
    let mut segment = String::with_capacity(key.len());
    for character in key.chars() {
        match character {
            '~' => segment.push_str("~0"),
            '.' => segment.push_str("~1"),
            control if control.is_control() => segment.push_str(&format!("~{{{:x}}}", u32::from(control))),
            other => segment.push(other),
        }
    }
    segment
}

pub(crate) fn join(path: &str, segment: &str) -> String {
    if path.is_empty() { segment.to_owned() } else { format!("{path}.{segment}") }
}

/// The value of a leaf as deterministic CBOR.
fn leaf(tree: &Tree<'_>) -> Result<ItemBuf, ImportError> {
    let offset = tree.offset;
    let mut writer = Writer::new();
    match &tree.node {
        Node::Null => writer.null(),
        Node::Bool(value) => writer.bool(*value),
        Node::Text(text) => writer.text(text),
        Node::Number(digits) => {
            number(digits, &mut writer).ok_or(ImportError::NumberOutOfRange { offset })?;
            &mut writer
        }
        Node::Array(_) => writer.array(0),
        Node::Object(_) => writer.map(|_| ()),
    };
    ItemBuf::parse(writer.as_slice(), &Limits::new(MAX_VALUE))
        .map_err(|_| ImportError::ValueTooLarge { offset, limit: MAX_VALUE })
}

/// A JSON number without loss: an integer, or a decimal fraction (tag 4, RFC 8949 §3.4.4) that keeps trailing zeros.
fn number(digits: &str, writer: &mut Writer) -> Option<()> {
    let (mantissa, exponent) = match digits.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i64>().ok()?),
        None => (digits, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let exponent = exponent.checked_sub(i64::try_from(fraction.len()).ok()?)?;
    let value = format!("{whole}{fraction}").parse::<i64>().ok()?;
    if exponent == 0 && mantissa != "-0" {
        writer.int(value);
    } else if mantissa.starts_with('-') && value == 0 {
        // minus zero: no decimal fraction has it
        writer.float(-0.0);
    } else {
        writer.tag(4).array(2).int(exponent).int(value);
    }
    Some(())
}

/// The largest value of a field; a record holds 256 KiB with its provenance.
const MAX_VALUE: usize = 128 * 1024;
