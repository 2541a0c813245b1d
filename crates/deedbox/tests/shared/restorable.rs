//! A host on files whose operator makes back-ups and restores them while it serves.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{Arc, RwLock},
};

use deedbox::{
    EventSource, HostClient,
    host::{HostError, Reply, Request, SqliteStorage},
    parts::model::Seq,
};
use tempfile::TempDir;

use crate::local::Local;

#[derive(Clone)]
pub(crate) struct Restorable(Arc<House>);

struct House {
    folder: TempDir,
    local: RwLock<Option<Local<SqliteStorage>>>,
}

/// The stores and the shares of one time.
pub(crate) struct BackUp(TempDir);

impl Restorable {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let local = RwLock::new(Some(serve(folder.path())));
        Self(Arc::new(House { folder, local }))
    }

    /// Another host with the same files.
    pub(crate) fn copy(&self) -> Self {
        let other = Self::new();
        other.restore(&self.back_up());
        other
    }

    pub(crate) fn back_up(&self) -> BackUp {
        let mut local = self.0.local.write().unwrap();
        // Closed files are whole.
        drop(local.take());
        let folder = tempfile::tempdir().unwrap();
        copy(self.0.folder.path(), folder.path());
        *local = Some(serve(self.0.folder.path()));
        BackUp(folder)
    }

    pub(crate) fn restore(&self, back_up: &BackUp) {
        self.replace(back_up, Path::new(""));
    }

    /// Restores the stores and leaves the shares as they are.
    pub(crate) fn restore_stores(&self, back_up: &BackUp) {
        self.replace(back_up, Path::new("stores"));
    }

    fn replace(&self, back_up: &BackUp, what: &Path) {
        let mut local = self.0.local.write().unwrap();
        drop(local.take());
        let to: PathBuf = self.0.folder.path().join(what);
        fs::remove_dir_all(&to).unwrap();
        copy(&back_up.0.path().join(what), &to);
        *local = Some(serve(self.0.folder.path()));
    }

    fn local(&self) -> Local<SqliteStorage> {
        self.0.local.read().unwrap().clone().unwrap()
    }
}

impl HostClient for Restorable {
    fn origin(&self) -> &str {
        "https://host.example"
    }

    async fn send(&self, request: Request<'_>) -> Result<Reply, HostError> {
        self.local().send(request).await
    }

    async fn feed(&self, request: Request<'_>, after: Option<Seq>) -> Result<Box<dyn EventSource>, HostError> {
        self.local().feed(request, after).await
    }
}

fn serve(folder: &Path) -> Local<SqliteStorage> {
    let storage = SqliteStorage::open(folder.join("stores"), folder.join("shares")).unwrap();
    crate::local::serve(storage)
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() { copy(&path, &target) } else { assert!(fs::copy(&path, &target).is_ok()) }
    }
}
