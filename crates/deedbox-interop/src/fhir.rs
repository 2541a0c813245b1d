//! FHIR R4: a `Bundle`, or one resource. A dataset for each resource type; narrative and bundle members beside `entry`
//! are kept in the dataset `Bundle`.

use crate::{
    Import, ImportError,
    field::{Collector, Place, join, segment},
    tree::{self, Node, Tree},
};

pub mod consent;

/// Imports `document`.
///
/// Paths begin with the resource's type and id (its position in the bundle where it has none), as FHIR's relative
/// references do: `Patient/f001.name.0.family`. Two resources with the same type and id are told apart by a position.
///
/// # Errors
/// See [`ImportError`]; nothing is imported unless everything is.
///
/// # Examples
/// ```
/// let bundle = br#"{"resourceType": "Bundle", "type": "collection", "entry": [
///     {"resource": {"resourceType": "Patient", "id": "f001", "birthDate": "1944-11-17"}}]}"#;
/// let import = deedbox_interop::fhir::import(bundle)?;
/// assert_eq!(import.datasets(), ["Bundle", "Patient"]);
/// assert!(import.fields().iter().any(|field| field.group() == "Patient.birthDate"));
/// # Ok::<(), deedbox_interop::ImportError>(())
/// ```
pub fn import(document: &[u8]) -> Result<Import, ImportError> {
    from_tree(&tree::parse(document)?)
}

pub(crate) fn from_tree(tree: &Tree<'_>) -> Result<Import, ImportError> {
    let mut fields = Collector::default();
    let mut seen = Vec::new();
    match (resource_type(tree), &tree.node) {
        (Some("Bundle"), Node::Object(members)) => {
            let place = Place { dataset: "Bundle", schema: "fhir/Bundle" };
            for (key, value) in members {
                let key = segment(key);
                match (&value.node, key.as_str()) {
                    (Node::Array(entries), "entry") => {
                        for (index, entry) in entries.iter().enumerate() {
                            self::entry(&mut fields, &mut seen, index, entry)?;
                        }
                    }
                    _ => fields.add(&place, &join("Bundle", &key), &join("Bundle", &key), value)?,
                }
            }
        }
        (Some(_), _) => resource(&mut fields, &mut seen, 0, tree)?,
        (None, _) => return Err(ImportError::NotFhir { entry: 0 }),
    }
    fields.finish()
}

/// One entry: its resource, and what stands beside it.
fn entry(fields: &mut Collector, seen: &mut Vec<String>, index: usize, entry: &Tree<'_>) -> Result<(), ImportError> {
    let Node::Object(members) = &entry.node else { return Err(ImportError::NotFhir { entry: index }) };
    let place = Place { dataset: "Bundle", schema: "fhir/Bundle" };
    for (key, value) in members {
        if key == "resource" {
            resource(fields, seen, index, value)?;
        } else {
            let key = segment(key);
            fields.add(&place, &format!("Bundle.entry.{index}.{key}"), &format!("Bundle.entry.{key}"), value)?;
        }
    }
    Ok(())
}

fn resource(fields: &mut Collector, seen: &mut Vec<String>, index: usize, tree: &Tree<'_>) -> Result<(), ImportError> {
    let kind = segment(resource_type(tree).ok_or(ImportError::NotFhir { entry: index })?);
    let id = tree.member("id").and_then(Tree::text).map_or_else(|| format!("~{index}"), segment);
    let mut instance = format!("{kind}/{id}");
    if seen.contains(&instance) {
        instance = format!("{instance}~{index}");
    }
    seen.push(instance.clone());
    let schema = format!("fhir/{kind}");
    fields.add(&Place { dataset: &kind, schema: &schema }, &instance, &kind, tree)
}

fn resource_type<'t>(tree: &'t Tree<'_>) -> Option<&'t str> {
    tree.member("resourceType")?.text().filter(|kind| !kind.is_empty())
}
