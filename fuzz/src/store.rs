//! `deedbox-store`.
#![expect(clippy::expect_used, clippy::panic, reason = "a fuzz body fails by panicking")]

use std::sync::OnceLock;

use deedbox_store::conformance::{block_on, compare};
use deedbox_store::{MemoryStorage, SqliteStorage};

/// A list of operations gets the same answers from memory and from SQLite.
pub fn store_ops(data: &[u8]) {
    static SQLITE: OnceLock<SqliteStorage> = OnceLock::new();
    let sqlite = SQLITE.get_or_init(|| {
        let folder = std::env::temp_dir().join(format!("deedbox-fuzz-{}", std::process::id()));
        SqliteStorage::open(folder.join("stores"), folder.join("shares")).expect("the temporary folder is writable")
    });
    if let Err(difference) = block_on(compare(data, &MemoryStorage::new(), sqlite)) {
        panic!("{difference}");
    }
}
