//! Opening files: pragmas read back, migrations, and what SQLite's errors mean here.

use std::path::Path;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags, Params, Row, TransactionBehavior, ffi};

use crate::error::StorageError;

/// An error on the way through the backend; [`StorageError`] has no public conversion from SQLite's.
#[derive(Debug)]
pub(super) struct Fail(pub(super) StorageError);

pub(super) type Outcome<T> = Result<T, Fail>;

/// Compiled statements that a connection keeps: what commits, reads and capabilities take.
const STATEMENTS: usize = 32;

impl From<StorageError> for Fail {
    fn from(error: StorageError) -> Self {
        Self(error)
    }
}

impl From<std::io::Error> for Fail {
    fn from(error: std::io::Error) -> Self {
        Self(match error.kind() {
            std::io::ErrorKind::StorageFull => StorageError::Full,
            _ => StorageError::backend(error),
        })
    }
}

impl From<rusqlite::Error> for Fail {
    fn from(error: rusqlite::Error) -> Self {
        use rusqlite::Error as E;
        Self(match &error {
            E::SqliteFailure(failure, _) => match failure.code {
                // our SQL is constant, so whatever does not fit it was not written by this version
                ErrorCode::DatabaseCorrupt
                | ErrorCode::NotADatabase
                | ErrorCode::ConstraintViolation
                | ErrorCode::TypeMismatch
                | ErrorCode::SchemaChanged
                | ErrorCode::TooBig
                | ErrorCode::ParameterOutOfRange
                | ErrorCode::Unknown => StorageError::Corrupt,
                ErrorCode::SystemIoFailure if failure.extended_code == ffi::SQLITE_IOERR_SHORT_READ => {
                    StorageError::Corrupt
                }
                ErrorCode::DiskFull => StorageError::Full,
                // the log's index could not grow
                ErrorCode::SystemIoFailure if failure.extended_code == ffi::SQLITE_IOERR_SHMSIZE => StorageError::Full,
                ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked | ErrorCode::FileLockingProtocolFailed => {
                    StorageError::Unavailable { retry: true }
                }
                _ => StorageError::backend(error),
            },
            E::FromSqlConversionFailure(..)
            | E::IntegralValueOutOfRange(..)
            | E::InvalidColumnType(..)
            | E::InvalidColumnIndex(..)
            | E::Utf8Error(..)
            | E::QueryReturnedNoRows
            | E::QueryReturnedMoreThanOneRow
            | E::StatementChangedRows(..)
            | E::SqlInputError { .. } => StorageError::Corrupt,
            _ => StorageError::backend(error),
        })
    }
}

/// Opens a file; makes it where `create` is set, and brings it to the version of `migrations`.
///
/// Without `create` a file of version 0 is not one of ours: it was truncated.
pub(super) fn connect(path: &Path, create: bool, migrations: &[&str]) -> Outcome<Connection> {
    let mut flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    if create {
        flags |= OpenFlags::SQLITE_OPEN_CREATE;
    }
    // without a log or a journal to complete it, a file is whole pages; SQLite itself reads a short last page as zeros
    let length = std::fs::metadata(path).map_or(0, |file| file.len());
    let holds = |extension: &str| path.with_extension(extension).metadata().is_ok_and(|file| file.len() > 0);
    let complete = !holds("sqlite-wal") && !holds("sqlite-journal");
    if !create && complete && length == 0 && path.exists() {
        // refused before SQLite would make an empty database of it
        return Err(StorageError::Corrupt.into());
    }
    let mut connection = Connection::open_with_flags(path, flags)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    harden(&connection)?;
    let page: i64 = connection.query_row("PRAGMA page_size", [], |row| row.get(0))?;
    if complete && length.checked_rem(from_int(page)?).is_none_or(|rest| rest > 0) {
        return Err(StorageError::Corrupt.into());
    }
    migrate(&mut connection, create, migrations)?;
    Ok(connection)
}

/// Sets what durability and erasure rest on, reads it back, and refuses to run otherwise.
fn harden(connection: &Connection) -> Outcome<()> {
    connection.busy_timeout(Duration::from_millis(5_000))?;
    // the first statement that reads the file: a file that is none of SQLite's ends here
    connection.query_row("PRAGMA schema_version", [], |row| row.get::<_, i64>(0))?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    let defensive = connection.db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE)?;
    let mode: String = connection.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))?;
    connection.execute_batch(
        "PRAGMA synchronous = FULL; PRAGMA secure_delete = ON; PRAGMA trusted_schema = OFF;
         PRAGMA cell_size_check = ON; PRAGMA temp_store = MEMORY;",
    )?;
    let read = |name: &str| connection.query_row(&format!("PRAGMA {name}"), [], |row| row.get::<_, i64>(0));
    let expected = [
        ("synchronous", 2),
        ("secure_delete", 1),
        ("trusted_schema", 0),
        ("cell_size_check", 1),
        ("temp_store", 2),
        ("busy_timeout", 5_000),
    ];
    let mut holds = defensive && mode == "wal";
    for (name, value) in expected {
        holds &= read(name)? == value;
    }
    if holds { Ok(()) } else { Err(StorageError::backend("SQLite did not take a required pragma").into()) }
}

fn migrate(connection: &mut Connection, create: bool, migrations: &[&str]) -> Outcome<()> {
    let current = |connection: &Connection| -> Outcome<usize> {
        let version: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
        Ok(usize::try_from(version).map_err(|_| StorageError::Corrupt)?)
    };
    let before = current(connection)?;
    if before > migrations.len() || (before == 0 && !create) {
        return Err(StorageError::Corrupt.into());
    }
    if before == migrations.len() {
        return Ok(());
    }
    for (done, sql) in (1..).zip(migrations) {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        // another process may have been here meanwhile
        if current(&transaction)? < done {
            transaction.execute_batch(sql)?;
            transaction.execute_batch(&format!("PRAGMA user_version = {done}"))?;
        }
        transaction.commit()?;
    }
    Ok(())
}

/// A directory's entries are durable when this returns.
pub(super) fn sync_dir(path: &Path) -> Outcome<()> {
    if cfg!(unix) {
        std::fs::File::open(path)?.sync_all()?;
    }
    Ok(())
}

pub(super) fn to_int(value: u64) -> Outcome<i64> {
    i64::try_from(value).map_err(|_| StorageError::Invalid("a number is beyond 2^63 - 1").into())
}

pub(super) fn from_int(value: i64) -> Outcome<u64> {
    u64::try_from(value).map_err(|_| StorageError::Corrupt.into())
}

/// Runs a statement that the connection keeps compiled.
pub(super) fn execute(db: &Connection, sql: &str, params: impl Params) -> rusqlite::Result<usize> {
    db.prepare_cached(sql)?.execute(params)
}

/// Reads one row by a statement that the connection keeps compiled.
pub(super) fn query_row<T>(
    db: &Connection,
    sql: &str,
    params: impl Params,
    read: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
) -> rusqlite::Result<T> {
    db.prepare_cached(sql)?.query_row(params, read)
}
