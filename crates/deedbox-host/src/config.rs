//! What a host allows. The defaults are those of `docs/format/host.md`.

use deedbox_store::{Limit, Quota};

/// What a host allows.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Config {
    /// Who may make stores by a request; [`Host::create`](crate::Host::create) is the embedder's own way.
    pub admission: Admission,
    /// The most a store may hold.
    pub quota: Quota,
    /// Bytes of a commit.
    pub commit_len: u64,
    /// Seconds that a request's body may take to arrive.
    pub body_secs: u64,
    /// Objects put by a commit.
    pub puts: u64,
    /// Bytes of an object.
    pub object_len: u64,
    /// Bytes of the keyring.
    pub keyring_len: u64,
    /// Bytes of a store header.
    pub header_len: u64,
    /// The largest page.
    pub page: Limit,
    /// Bytes of an item of mail.
    pub mail_len: u64,
    /// Seconds after which mail lapses.
    pub mail_secs: u64,
    /// Seconds after which a blob lapses that was begun and not sealed.
    pub blob_secs: u64,
    /// Capabilities of a store.
    pub capabilities: u64,
    /// Requests of one capability.
    pub rate: Rate,
    /// Open feeds of one capability.
    pub feeds_per_capability: usize,
    /// Open feeds of one store.
    pub feeds_per_store: usize,
    /// Reads of one store's header without a proof, in an hour.
    pub header_reads: u32,
    /// Notices that may wait for the person; further requests that would leave one are refused.
    pub notices: u64,
    /// Days that back-ups of the shares are kept: stands in each purge receipt.
    pub share_backup_days: u32,
}

/// Who may make stores by a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Admission {
    /// Nobody.
    Closed,
    /// Everybody.
    Open,
}

/// How often something may happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// In a second, on the whole.
    pub per_second: u32,
    /// At once, after a rest.
    pub burst: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            admission: Admission::Closed,
            quota: Quota::default(),
            commit_len: 32 << 20,
            body_secs: 60,
            puts: 20_000,
            object_len: 320 << 10,
            keyring_len: 2 << 20,
            header_len: 256 << 10,
            page: Limit::default(),
            mail_len: 320 << 10,
            mail_secs: 90 * 86_400,
            blob_secs: 86_400,
            capabilities: 1_024,
            rate: Rate { per_second: 50, burst: 200 },
            feeds_per_capability: 8,
            feeds_per_store: 64,
            header_reads: 20,
            notices: 100_000,
            share_backup_days: 7,
        }
    }
}
