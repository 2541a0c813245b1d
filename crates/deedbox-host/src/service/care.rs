//! The operator's rounds: what has lapsed is removed, and what is kept is checked.

use deedbox_cose::sha256;
use deedbox_model::{CapabilityId, DatasetId, MailboxId, Seq, StoreId, StoreName, Timestamp};
use deedbox_store::{
    Cursor, HeadHash, Mail, MeterRow, Page, Purge, Quota, RowKey, Storage, StorageError, Swap, Table, Total,
};

use super::blob::began;
use super::{Host, Notice};
use crate::capability::{Ops, Row};
use crate::clock::Clock;
use crate::error::HostError;
use crate::meter::{Meters, Sums, UsageClass};
use crate::structure::{HeadPlace, check_header};

/// What a round removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Swept {
    /// Stores that were visited.
    pub stores: u64,
    /// Stores that could not be: the next round visits them again.
    pub failed: u64,
    /// Items of mail that lapsed; each mailbox left a notice.
    pub mail: u64,
    /// Blobs that were begun and never sealed.
    pub blobs: u64,
}

/// What a store holds, and what of it does not fit together. Roots and signatures are the clients' to check.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Report {
    /// Datasets read.
    pub datasets: u64,
    /// Heads read.
    pub heads: u64,
    /// Objects read, and their bytes.
    pub objects: Total,
    /// What does not fit, each kind once.
    pub faults: Vec<Fault>,
}

/// What does not fit together in a store: restore it from a back-up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// A body has not the hash it was written with.
    Body,
    /// A head does not follow the one before it.
    Chain,
    /// The backend's own check found damage.
    File,
    /// A head cannot be read, or is of another store or dataset.
    Head,
    /// The store header cannot be read, or is another store's.
    Header,
    /// A capability cannot be read.
    Row,
    /// The totals are not those of what is there.
    Total,
}

impl<S: Storage, C: Clock> Host<S, C> {
    /// Removes mail whose time is over and blobs that were begun and not sealed, in every store. The embedder calls it now
    /// and then: hourly is often enough.
    ///
    /// # Errors
    /// `Storage` when the stores cannot be listed; one store that fails is counted and left for the next round.
    pub async fn sweep(&self) -> Result<Swept, HostError> {
        let mut swept = Swept::default();
        let mut after = None;
        loop {
            let stores = self.storage.stores(after, 1_000).await.map_err(HostError::of_storage)?;
            let Some(last) = stores.last() else { return Ok(swept) };
            after = Some(*last);
            for store in stores {
                swept.stores = swept.stores.saturating_add(1);
                if self.sweep_store(store, &mut swept).await.is_err() {
                    swept.failed = swept.failed.saturating_add(1);
                }
            }
        }
    }

    /// Moves what meters have summed into the storage, and notes the time. The embedder calls it every ten seconds or so,
    /// and when the host goes down.
    ///
    /// # Errors
    /// `Storage` when nothing was written; the sums are then kept for the next time, unless it is not known whether they
    /// were: then they are dropped, in the payer's favour.
    pub async fn write_meters(&self, meters: &Meters) -> Result<(), HostError> {
        let now = self.time().await?;
        let sums = meters.take();
        let rows = sums.iter().map(|((meter, day, class), total)| MeterRow {
            meter: *meter,
            day: *day,
            class: class.number(),
            total: *total,
        });
        let rows: Vec<MeterRow> = rows.collect();
        match self.storage.note(now, &rows).await {
            Ok(noted) => {
                self.clock.noted(noted);
                Ok(())
            }
            Err(error) => {
                if matches!(error, StorageError::Full | StorageError::Unavailable { .. }) {
                    meters.put_back(sums);
                }
                Err(HostError::Storage(error))
            }
        }
    }

    /// What was written of one meter, for its bill.
    ///
    /// # Errors
    /// `Storage` when it cannot be read.
    pub async fn metered(&self, meter: [u8; 16]) -> Result<Sums, HostError> {
        let rows = self.storage.meter(meter).await.map_err(HostError::Storage)?;
        let sum = |row: MeterRow| Some(((row.meter, row.day, UsageClass::from_number(row.class)?), row.total));
        rows.into_iter().map(sum).collect::<Option<Sums>>().ok_or(HostError::Storage(StorageError::Corrupt))
    }

    async fn sweep_store(&self, s: StoreId, swept: &mut Swept) -> Result<(), HostError> {
        let now = self.time().await?;
        for (mailbox, gone) in self.storage.mail_lapse(s, now).await.map_err(HostError::of_storage)? {
            swept.mail = swept.mail.saturating_add(gone.count);
            self.notify_lapse(s, mailbox, gone, now).await?;
        }
        for (key, row) in self.storage.rows(s, Table::Settings).await.map_err(HostError::of_storage)? {
            let Some(began) = began(&row.value) else { continue };
            if now.saturating_sub(began) < self.config.blob_secs {
                continue;
            }
            let blob = deedbox_model::BlobId::from_bytes(key.0);
            let held = self.storage.blob(s, blob).await.map_err(HostError::of_storage)?;
            if held.is_some_and(|held| !held.sealed) {
                self.storage.purge(s, Purge::Blob(blob)).await.map_err(HostError::of_storage)?;
                swept.blobs = swept.blobs.saturating_add(1);
            }
            let gone = self.storage.swap_row(s, Table::Settings, RowKey(key.0), Some(row.version), None).await;
            match gone.map_err(HostError::of_storage)? {
                Swap::Done(_) | Swap::Conflict(_) => {}
            }
        }
        Ok(())
    }

    async fn notify_lapse(&self, s: StoreId, m: MailboxId, gone: Total, now: Timestamp) -> Result<(), HostError> {
        let notice = Notice {
            time: now,
            capability: CapabilityId::from_bytes([0; 16]),
            op: Ops::TAKE.bits(),
            dataset: None,
            objects: Vec::new(),
            count: gone.count,
            bytes: gone.bytes,
            code: Some("Lapsed".to_owned()),
        };
        let same = [m.as_bytes().as_slice(), &now.secs().to_be_bytes()].concat();
        let item = Mail {
            mailbox: MailboxId::NOTICES,
            dedupe: sha256(&same).first_chunk().copied().unwrap_or_default(),
            at: now,
            expires: Timestamp::from_secs(deedbox_store::MAX_SEQ),
            body: &notice.to_bytes(),
        };
        let quota = Quota { bytes: u64::MAX, mailbox_items: u64::MAX, mailbox_bytes: u64::MAX, ..self.config.quota };
        self.push(s, &[item], &quota).await
    }

    /// Reads a whole store and holds it against itself: after a restore, and in drills. Nobody should write meanwhile.
    /// The backend's own check of its files is a part of it.
    ///
    /// # Errors
    /// `NotFound` for an unknown store, `Storage` when it cannot be read.
    pub async fn verify_store(&self, s: StoreId) -> Result<Report, HostError> {
        let mut report = Report::default();
        match self.storage.check(s).await {
            Ok(()) => {}
            Err(StorageError::Corrupt) => report.note(Fault::File),
            Err(error) => return Err(HostError::of_storage(error)),
        }
        let header = self.storage.header(s).await.map_err(HostError::of_storage)?;
        if !check_header(&header.value, s).is_ok_and(|version| version == header.version) {
            report.note(Fault::Header);
        }
        for (key, row) in self.storage.rows(s, Table::Capabilities).await.map_err(HostError::of_storage)? {
            if Row::from_bytes(&row.value).is_none_or(|row| *row.capability.id.as_bytes() != key.0) {
                report.note(Fault::Row);
            }
        }
        let mut heads = Total::default();
        for dataset in self.storage.datasets(s).await.map_err(HostError::of_storage)? {
            report.datasets = report.datasets.saturating_add(1);
            self.verify_heads(s, dataset, &mut heads, &mut report).await?;
            self.verify_objects(s, dataset, &mut report).await?;
        }
        let usage = self.storage.usage(s).await.map_err(HostError::of_storage)?;
        let datasets = Total { count: report.datasets, bytes: heads.bytes };
        if usage.objects != report.objects || usage.datasets != datasets {
            report.note(Fault::Total);
        }
        report.heads = heads.count;
        Ok(report)
    }

    async fn verify_heads(
        &self,
        s: StoreId,
        d: DatasetId,
        total: &mut Total,
        report: &mut Report,
    ) -> Result<(), HostError> {
        let mut before: Option<(Seq, HeadHash)> = None;
        loop {
            let after = before.map(|(seq, _)| seq);
            let heads = self.storage.heads(s, d, after, 256).await.map_err(HostError::of_storage)?;
            if heads.is_empty() {
                return Ok(());
            }
            for head in heads {
                let hash = HeadHash(sha256(&head.body));
                let place = HeadPlace::parse(&head.body);
                let sound = match &place {
                    None => false,
                    Some(place) => {
                        let own = place.store == StoreName::from(s)
                            || self.storage.resolve(place.store).await.map_err(HostError::of_storage)? == Some(s);
                        own && place.dataset == d && place.seq == head.seq
                    }
                };
                if !sound || hash != head.hash {
                    report.note(Fault::Head);
                }
                // a replaced dataset begins anew, further up
                let follows = |(seq, hash): (Seq, HeadHash)| {
                    seq.get().checked_add(1) != Some(head.seq.get())
                        || place.is_some_and(|place| place.prev == Some(hash.0) || place.prev.is_none())
                };
                if !before.is_none_or(follows) {
                    report.note(Fault::Chain);
                }
                total.count = total.count.saturating_add(1);
                total.bytes = total.bytes.saturating_add(u64::try_from(head.body.len()).unwrap_or(u64::MAX));
                before = Some((head.seq, hash));
            }
        }
    }

    async fn verify_objects(&self, s: StoreId, d: DatasetId, report: &mut Report) -> Result<(), HostError> {
        let mut cursor = Cursor::START;
        loop {
            let page = self.storage.changes(s, d, cursor, self.config.page).await.map_err(HostError::of_storage)?;
            // nobody resyncs who began at the start, unless somebody writes
            let Page::Rows { rows, next, .. } = page else { return Err(HostError::Conflict) };
            for row in &rows {
                if sha256(&row.body) != row.body_hash {
                    report.note(Fault::Body);
                }
                report.objects.count = report.objects.count.saturating_add(1);
                let len = u64::try_from(row.body.len()).unwrap_or(u64::MAX);
                report.objects.bytes = report.objects.bytes.saturating_add(len);
            }
            match next {
                Some(next) => cursor = next,
                None => return Ok(()),
            }
        }
    }
}

impl Report {
    fn note(&mut self, fault: Fault) {
        if !self.faults.contains(&fault) {
            self.faults.push(fault);
        }
    }
}
