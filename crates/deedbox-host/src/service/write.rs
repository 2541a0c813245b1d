//! Writing: a commit's rules, and mail.

use deedbox_cose::sha256;
use deedbox_model::{DatasetId, MailboxId, ObjectId, StoreName, Timestamp};
use deedbox_store::{Class, Commit, CommitOutcome, HeadHash, HeaderSwap, Mail, Mode, Part, Put, Storage, StorageError};

use super::{Caller, Host, Yield, is_notices, sum_len};
use crate::capability::{Ops, Target};
use crate::clock::Clock;
use crate::error::HostError;
use crate::request::Reply;
use crate::structure::HeadPlace;
use crate::wire::{self, CommitBody, ConflictBody, Object, PartBody};

impl<S: Storage, C: Clock> Host<S, C> {
    pub(super) async fn commit(&self, caller: &Caller, body: &[u8]) -> Result<Reply, HostError> {
        let commit = CommitBody::from_bytes(body, body.len()).ok_or(HostError::Malformed)?;
        self.check_sizes(&commit)?;
        let op = needed(&commit);
        self.admit(caller, op, commit.parts.first().map(|part| part.dataset), permitted(caller, &commit)).await?;
        for part in &commit.parts {
            self.check_head(caller, part).await?;
        }
        let header = match commit.header {
            None => None,
            Some((expect, body)) => {
                if Some(self.header_version(body, caller.store)?) != expect.checked_add(1) {
                    return Err(HostError::HeadMismatch);
                }
                Some(HeaderSwap { expect, body })
            }
        };
        let puts: Vec<Vec<Put<'_>>> = commit.parts.iter().map(|part| part.puts.iter().map(put).collect()).collect();
        let parts: Vec<_> = commit
            .parts
            .iter()
            .zip(&puts)
            .map(|(part, puts)| Part {
                dataset: part.dataset,
                expect: part.expect,
                seq: part.seq,
                hash: HeadHash(sha256(part.head)),
                head: part.head,
                mode: part.mode,
                puts,
                removes: &part.removes,
            })
            .collect();
        let mail: Vec<_> = commit.mail.iter().map(|(m, dedupe, body)| self.item(caller, *m, *dedupe, body)).collect();
        if !mail.is_empty() {
            self.notify_push(caller, mail.len(), sum_len(commit.mail.iter().map(|(_, _, body)| *body))).await?;
        }
        let commit = Commit { parts: &parts, mail: &mail, header, quota: &self.config.quota };
        let outcome = self.storage.commit(caller.store, &commit).await.map_err(HostError::of_storage)?;
        let conflict = match &outcome {
            CommitOutcome::Done => {
                self.signals.wake(caller.store);
                return Ok(Reply::done());
            }
            CommitOutcome::Conflict { dataset, head } => {
                let head = head.as_ref().map(|head| head.body.as_slice());
                ConflictBody::Head(*dataset, head)
            }
            CommitOutcome::HeaderConflict { version } => ConflictBody::Header(*version),
        };
        Ok(Reply::new(409, conflict.to_bytes()))
    }

    /// So that a broken client cannot wedge a dataset: the head says what the part says.
    async fn check_head(&self, caller: &Caller, part: &PartBody<'_>) -> Result<(), HostError> {
        let place = HeadPlace::parse(part.head).ok_or(HostError::HeadMismatch)?;
        let chained = part.mode == Mode::Replace || place.prev == part.expect.map(|hash| hash.0);
        if place.dataset != part.dataset || place.seq != part.seq || !chained {
            return Err(HostError::HeadMismatch);
        }
        if place.store == StoreName::from(caller.store) {
            return Ok(());
        }
        match self.storage.resolve(place.store).await {
            Ok(Some(store)) if store == caller.store => Ok(()),
            Ok(_) | Err(StorageError::NotFound) => Err(HostError::HeadMismatch),
            Err(error) => Err(HostError::Storage(error)),
        }
    }

    fn check_sizes(&self, commit: &CommitBody<'_>) -> Result<(), HostError> {
        let config = &self.config;
        let puts = commit.parts.iter().map(|part| part.puts.len().saturating_add(part.removes.len()));
        let puts: usize = puts.fold(0, usize::saturating_add);
        within(puts, config.puts)?;
        within(commit.mail.len(), config.puts)?;
        for part in &commit.parts {
            for put in &part.puts {
                let keyring = part.dataset == DatasetId::META && put.object == ObjectId::KEYRING;
                within(put.body.len(), if keyring { config.keyring_len } else { config.object_len })?;
            }
        }
        commit.mail.iter().try_for_each(|(_, _, body)| within(body.len(), config.mail_len))
    }

    pub(super) async fn mail_push(&self, caller: &Caller, m: MailboxId, body: &[u8]) -> Result<Reply, HostError> {
        let (dedupe, body) = wire::pair_from_bytes(body, body.len()).ok_or(HostError::Malformed)?;
        let dedupe = dedupe.try_into().map_err(|_| HostError::Malformed)?;
        within(body.len(), self.config.mail_len)?;
        let permitted = !is_notices(m) && caller.capability.permits(Target::Mailbox(m), Ops::PUSH);
        self.admit(caller, Ops::PUSH, None, permitted).await?;
        self.notify_push(caller, 1, u64::try_from(body.len()).unwrap_or(u64::MAX)).await?;
        let item = self.item(caller, m, dedupe, body);
        self.push(caller.store, &[item], &self.config.quota).await?;
        Ok(Reply::done())
    }

    pub(super) async fn mail_ack(&self, caller: &Caller, m: MailboxId, upto: u64) -> Result<Reply, HostError> {
        let permitted = caller.capability.permits(Target::Mailbox(m), Ops::TAKE);
        self.admit(caller, Ops::TAKE, None, permitted).await?;
        let gone = self.storage.mail_ack(caller.store, m, upto).await.map_err(HostError::of_storage)?;
        Ok(Reply::ok(wire::uint_to_bytes(gone)))
    }

    fn item<'a>(&self, caller: &Caller, mailbox: MailboxId, dedupe: [u8; 16], body: &'a [u8]) -> Mail<'a> {
        let most = Timestamp::from_secs(deedbox_store::MAX_SEQ);
        let expires = caller.now.checked_add_secs(self.config.mail_secs).unwrap_or(most).min(most);
        Mail { mailbox, dedupe, at: caller.now, expires, body }
    }

    async fn notify_push(&self, caller: &Caller, count: usize, bytes: u64) -> Result<(), HostError> {
        let count = u64::try_from(count).unwrap_or(u64::MAX);
        let what = Yield { op: Some(Ops::PUSH), dataset: None, objects: &[], count, bytes, refused: None };
        self.notify(caller, &what).await.map_err(|error| match error {
            HostError::OverQuota(_) => HostError::OverQuota(Class::Mail),
            error => error,
        })
    }
}

/// The operations a commit needs.
fn needed(commit: &CommitBody<'_>) -> Ops {
    let replaces = commit.parts.iter().any(|part| part.mode == Mode::Replace);
    let mut op = if commit.parts.is_empty() { None } else { Some(Ops::COMMIT) };
    for (wanted, more) in [(!commit.mail.is_empty(), Ops::PUSH), (replaces || commit.header.is_some(), Ops::MANAGE)] {
        if wanted {
            op = Some(op.map_or(more, |op| op | more));
        }
    }
    op.unwrap_or(Ops::COMMIT)
}

/// Whether rights cover every part, every object and every mailbox.
fn permitted(caller: &Caller, commit: &CommitBody<'_>) -> bool {
    let capability = &caller.capability;
    let parts = commit.parts.iter().all(|part| {
        let objects = part.puts.iter().map(|put| put.object).chain(part.removes.iter().copied());
        let replaces = part.mode == Mode::Replace;
        capability.permits_objects(part.dataset, Ops::COMMIT, objects) && (!replaces || caller.manages())
    });
    let mail = commit
        .mail
        .iter()
        .all(|(mailbox, _, _)| !is_notices(*mailbox) && capability.permits(Target::Mailbox(*mailbox), Ops::PUSH));
    let something = !commit.parts.is_empty() || !commit.mail.is_empty() || commit.header.is_some();
    parts && mail && something && (commit.header.is_none() || caller.manages())
}

fn put<'a>(object: &Object<'a>) -> Put<'a> {
    Put { object: object.object, seq: object.seq, kind: object.kind, body_hash: sha256(object.body), body: object.body }
}

pub(super) fn within(len: usize, limit: u64) -> Result<(), HostError> {
    if u64::try_from(len).is_ok_and(|len| len <= limit) { Ok(()) } else { Err(HostError::TooLarge { limit }) }
}
