//! Import of documents, and the portability export.

use deedbox_interop::{ImportError, portable::Portable};

/// No panic; what is imported has paths of its own and values that are deterministic CBOR.
pub fn interop_import(data: &[u8]) {
    let Ok(import) = deedbox_interop::import(data) else { return };
    let mut paths: Vec<String> = import.fields().iter().map(|field| field.path().to_string()).collect();
    paths.sort();
    paths.dedup();
    assert_eq!(paths.len(), import.fields().len());
}

/// An accepted portability export is written the same again, and as JSON that is JSON.
pub fn interop_portable(data: &[u8]) {
    if let Ok(portable) = Portable::parse(data) {
        assert_eq!(portable.to_cbor(), data);
        let json = deedbox_interop::import(portable.to_json().as_bytes());
        assert!(!matches!(json, Err(ImportError::NotJson { .. } | ImportError::DuplicateKey { .. })));
    }
}
