//! Import of documents.

/// No panic; what is imported has paths of its own and values that are deterministic CBOR.
pub fn interop_import(data: &[u8]) {
    let Ok(import) = deedbox_interop::import(data) else { return };
    let mut paths: Vec<String> = import.fields().iter().map(|field| field.path().to_string()).collect();
    paths.sort();
    paths.dedup();
    assert_eq!(paths.len(), import.fields().len());
}
