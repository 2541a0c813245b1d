//! What every backend checks the same way, before it touches anything.

use std::collections::BTreeSet;

use crate::error::StorageError;
use crate::types::{Class, Commit, MAX_SEQ, Mode, Part, Quota, Total, Usage};

/// Structure of a commit, whatever the store holds.
pub(crate) fn check_commit(commit: &Commit<'_>) -> Result<(), StorageError> {
    let mut datasets = BTreeSet::new();
    for part in commit.parts {
        if !datasets.insert(part.dataset) {
            return Err(StorageError::Invalid("a dataset stands in two parts"));
        }
        if part.seq.get() > MAX_SEQ {
            return Err(StorageError::Invalid("a sequence number is beyond 2^63 - 1"));
        }
        let mut objects = BTreeSet::new();
        for put in part.puts {
            if !objects.insert(put.object) {
                return Err(StorageError::Invalid("an object stands twice in a part"));
            }
            let fits = match part.mode {
                Mode::Next => put.seq == part.seq,
                Mode::Replace => put.seq <= part.seq,
            };
            if !fits {
                return Err(StorageError::Invalid("an object's sequence number does not fit its part"));
            }
        }
        if part.removes.iter().any(|object| !objects.insert(*object)) {
            return Err(StorageError::Invalid("an object stands twice in a part"));
        }
    }
    for mail in commit.mail {
        if mail.at.secs() > MAX_SEQ || mail.expires.secs() > MAX_SEQ {
            return Err(StorageError::Invalid("a time is beyond 2^63 - 1"));
        }
    }
    if commit.header.is_some_and(|swap| swap.expect >= MAX_SEQ) {
        return Err(StorageError::Invalid("a header version is beyond 2^63 - 1"));
    }
    Ok(())
}

/// Whether the part's sequence number follows `current` (0: no head yet).
pub(crate) fn check_step(current: u64, part: &Part<'_>) -> Result<(), StorageError> {
    let seq = part.seq.get();
    match part.mode {
        Mode::Next if current.checked_add(1) != Some(seq) => {
            Err(StorageError::Invalid("the sequence number is not the next one"))
        }
        Mode::Replace if seq <= current => Err(StorageError::Invalid("the sequence number is not greater")),
        Mode::Next | Mode::Replace => Ok(()),
    }
}

/// Whether `new` may follow `old`: what grows has to stay within the quota.
pub(crate) fn check_quota(old: &Usage, new: &Usage, quota: &Quota) -> Result<(), StorageError> {
    let over = |old: u64, new: u64, most: u64| new > old && new > most;
    if over(old.objects.count, new.objects.count, quota.objects) {
        return Err(StorageError::OverQuota(Class::Objects));
    }
    if over(old.datasets.count, new.datasets.count, quota.datasets) {
        return Err(StorageError::OverQuota(Class::Datasets));
    }
    if over(old.bytes(), new.bytes(), quota.bytes) {
        return Err(StorageError::OverQuota(Class::Store));
    }
    Ok(())
}

/// Whether a mailbox may hold this much after an item was added.
pub(crate) fn check_mailbox(new: Total, quota: &Quota) -> Result<(), StorageError> {
    if new.count > quota.mailbox_items || new.bytes > quota.mailbox_bytes {
        return Err(StorageError::OverQuota(Class::Mail));
    }
    Ok(())
}

impl Total {
    pub(crate) fn add(&mut self, count: u64, bytes: u64) {
        self.count = self.count.saturating_add(count);
        self.bytes = self.bytes.saturating_add(bytes);
    }

    pub(crate) fn sub(&mut self, count: u64, bytes: u64) {
        self.count = self.count.saturating_sub(count);
        self.bytes = self.bytes.saturating_sub(bytes);
    }
}

/// The length of a slice as it is counted.
pub(crate) fn len(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}
