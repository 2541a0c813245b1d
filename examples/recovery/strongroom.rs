//! The host of this story: opaque bytes in order, and the shares beside them.

use deedbox::parts::{
    model::{DatasetId, Epoch, ObjectId, Seq, StoreId},
    record::{ChangedObject, Header, HostShare, SealedObject, SignedPart},
    store::{
        Commit, CommitOutcome, Cursor, HeadHash, HeaderSwap, Limit, MemoryStorage, Mode, NewStore, Page, Part, Put,
        Quota, Storage as _,
    },
};

use crate::Stop;

/// An object as it lies there: id, number, kind, bytes.
pub(crate) type Row = (ObjectId, Seq, u8, Vec<u8>);

pub(crate) struct Strongroom {
    storage: MemoryStorage,
    store: StoreId,
    datasets: [DatasetId; 2],
    quota: Quota,
}

impl Strongroom {
    /// Takes a new store, which will have two datasets.
    pub(crate) async fn open(header: &Header, datasets: [DatasetId; 2]) -> Result<Self, Stop> {
        let (storage, store, quota) = (MemoryStorage::new(), *header.store(), Quota::default());
        let new = NewStore { header: header.bytes(), header_version: header.version(), owner: None, quota: &quota };
        storage.create(store, &new).await?;
        Ok(Self { storage, store, datasets, quota })
    }

    /// The header in force, as bytes that anybody may have altered.
    pub(crate) async fn header(&self) -> Result<Header, Stop> {
        Ok(Header::parse(&self.storage.header(self.store).await?.value)?)
    }

    /// Puts `next` in the place of `header` and takes the parts, all or nothing.
    pub(crate) async fn exchange(&self, header: &Header, next: &Header, parts: &[&SignedPart]) -> Result<(), Stop> {
        self.commit(parts, Some(HeaderSwap { expect: header.version(), body: next.bytes() })).await
    }

    /// Takes parts and header, all or nothing.
    pub(crate) async fn commit(&self, parts: &[&SignedPart], header: Option<HeaderSwap<'_>>) -> Result<(), Stop> {
        let puts: Vec<Vec<Put<'_>>> = parts.iter().map(|part| part.puts().iter().map(put).collect()).collect();
        let parts: Vec<Part<'_>> = parts
            .iter()
            .zip(&puts)
            .map(|(part, puts)| Part {
                dataset: *part.dataset(),
                expect: part.expect().map(|hash| HeadHash(*hash.as_bytes())),
                seq: part.head().seq(),
                hash: HeadHash(*part.head().hash().as_bytes()),
                head: part.head_bytes(),
                mode: Mode::Next,
                puts,
                removes: part.removes(),
            })
            .collect();
        let commit = Commit { parts: &parts, mail: &[], header, quota: &self.quota };
        match self.storage.commit(self.store, &commit).await? {
            CommitOutcome::Done => Ok(()),
            _ => Err("somebody else wrote first".into()),
        }
    }

    /// Heads, oldest first, and objects of a dataset.
    pub(crate) async fn dataset(&self, dataset: DatasetId) -> Result<(Vec<Vec<u8>>, Vec<Row>), Stop> {
        let heads = self.storage.heads(self.store, dataset, None, 100).await?;
        let limit = Limit { rows: 1_000, bytes: 1 << 20 };
        let Page::Rows { rows, .. } = self.storage.changes(self.store, dataset, Cursor::START, limit).await? else {
            return Err("a page of objects".into());
        };
        let rows = rows.into_iter().map(|row| (row.object, row.seq, row.kind, row.body)).collect();
        Ok((heads.into_iter().map(|head| head.body).collect(), rows))
    }

    /// All objects of all datasets.
    pub(crate) async fn objects(&self) -> Result<Vec<Row>, Stop> {
        let mut objects = Vec::new();
        for dataset in self.datasets {
            objects.extend(self.dataset(dataset).await?.1);
        }
        Ok(objects)
    }

    /// All that lies here, one after another, to be searched.
    pub(crate) async fn everything(&self) -> Result<Vec<u8>, Stop> {
        let mut bytes = self.storage.header(self.store).await?.value;
        for dataset in self.datasets {
            let (heads, rows) = self.dataset(dataset).await?;
            bytes.extend(heads.concat());
            bytes.extend(rows.into_iter().flat_map(|(_, _, _, body)| body));
        }
        bytes.extend(self.storage.share(self.store, 1).await?.unwrap_or_default());
        Ok(bytes)
    }

    pub(crate) async fn share(&self, epoch: Epoch) -> Result<HostShare, Stop> {
        let share = self.storage.share(self.store, epoch.get()).await?;
        Ok(HostShare::from_bytes(share.ok_or("no share of that epoch")?))
    }

    pub(crate) async fn keep_share(&self, epoch: Epoch, share: &HostShare) -> Result<(), Stop> {
        Ok(self.storage.share_put(self.store, epoch.get(), share.expose()).await?)
    }

    pub(crate) async fn drop_share(&self, epoch: Epoch) -> Result<(), Stop> {
        Ok(self.storage.share_drop(self.store, epoch.get()).await?)
    }
}

/// The rows as a replica takes them.
pub(crate) fn changed(rows: &[Row]) -> Vec<ChangedObject<'_>> {
    rows.iter()
        .map(|(object, seq, kind, bytes)| ChangedObject::Put { object: *object, seq: *seq, kind: *kind, bytes })
        .collect()
}

fn put(object: &SealedObject) -> Put<'_> {
    let entry = object.entry();
    Put {
        object: *entry.object(),
        seq: entry.seq(),
        kind: entry.kind(),
        body_hash: *entry.sha256().as_bytes(),
        body: object.bytes(),
    }
}
