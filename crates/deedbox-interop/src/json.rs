//! Any JSON document: a dataset for each member of the top level that is an object or array, and `document` for the
//! rest.

use crate::{
    Import, ImportError,
    field::{Collector, Place, join, segment},
    tree::{self, Node, Tree},
};

/// Imports `document`.
///
/// # Errors
/// See [`ImportError`]; nothing is imported unless everything is.
///
/// # Examples
/// ```
/// let import = deedbox_interop::json::import(br#"{"name": "Ada", "address": {"city": "Leeds"}}"#)?;
/// assert_eq!(import.datasets(), ["address", "document"]);
/// # Ok::<(), deedbox_interop::ImportError>(())
/// ```
pub fn import(document: &[u8]) -> Result<Import, ImportError> {
    from_tree(&tree::parse(document)?)
}

pub(crate) fn from_tree(tree: &Tree<'_>) -> Result<Import, ImportError> {
    let mut fields = Collector::default();
    let Node::Object(members) = &tree.node else {
        let place = Place { dataset: "document", schema: "json" };
        fields.add(&place, "document", "document", tree)?;
        return fields.finish();
    };
    for (key, value) in members {
        let key = segment(key);
        let nested = matches!(&value.node, Node::Object(inside) if !inside.is_empty())
            || matches!(&value.node, Node::Array(inside) if !inside.is_empty());
        let place = Place { dataset: if nested { &key } else { "document" }, schema: "json" };
        let path = join("", &key);
        fields.add(&place, &path, &path, value)?;
    }
    fields.finish()
}
