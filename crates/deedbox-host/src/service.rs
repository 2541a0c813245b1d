//! The host itself: who asks, whether they may, and what they get.

use std::sync::Arc;

use deedbox_cose::sha256;
use deedbox_model::{CapabilityId, DatasetId, MailboxId, ObjectId, StoreId, StoreName, Timestamp};
use deedbox_store::{Commit, CommitOutcome, Mail, NewStore, Quota, RowKey, Storage, StorageError, Table};

use crate::capability::{Capability, Ops, Right, Row, State, Target};
use crate::clock::{Clock, Steady};
use crate::config::{Admission, Config, Rate};
use crate::error::HostError;
use crate::feed::Signals;
use crate::meter::{UsageClass, UsageEvent, UsageSink};
use crate::proof::{Claims, MAX_SKEW_SECS, Proof};
use crate::quota::Buckets;
use crate::request::{Reply, Request, Resource, Route};
use crate::structure::check_header;
use crate::wire::{self, CreateBody};

mod blob;
mod care;
mod manage;
mod notice;
mod read;
mod watch;
mod write;

pub use care::{Fault, Report, Swept};
pub use notice::Notice;
use notice::Yield;

/// Rules over a [`Storage`]: who may do what and until when, by the host's own clock.
///
/// It answers on the thread that polls it, and needs no async runtime; a server calls it from many threads.
pub struct Host<S, C> {
    storage: S,
    clock: Steady<C>,
    config: Config,
    calls: Buckets<(StoreId, CapabilityId)>,
    header_reads: Buckets<StoreId>,
    signals: Arc<Signals>,
    sink: Option<Arc<dyn UsageSink>>,
    #[cfg(feature = "http")]
    pub(crate) metrics: crate::metrics::Metrics,
}

impl<S, C> std::fmt::Debug for Host<S, C> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Host").finish_non_exhaustive()
    }
}

/// The key that stands in for a holder's where there is none: the first of RFC 8032, section 7.1.
const NOBODY: [u8; 32] = [
    0xd7, 0x5a, 0x98, 0x01, 0x82, 0xb1, 0x0a, 0xb7, 0xd5, 0x4b, 0xfe, 0xd3, 0xc9, 0x64, 0x07, 0x3a, 0x0e, 0xe1, 0x72,
    0xf3, 0xda, 0xa6, 0x23, 0x25, 0xaf, 0x02, 0x1a, 0x68, 0xf7, 0x07, 0x51, 0x1a,
];

/// That the embedder admits a new store: whoever makes one has decided so.
#[derive(Debug)]
pub struct Admitted(());

impl Admitted {
    /// The embedder decided; a request alone never makes one unless [`Admission::Open`] is set.
    #[must_use]
    pub const fn by_embedder() -> Self {
        Self(())
    }
}

/// Whose proof a request has.
struct Known {
    store: StoreId,
    row: Row,
    claims: Claims,
}

/// A caller whose proof holds and whose capability is in force.
struct Caller {
    store: StoreId,
    capability: Capability,
    now: Timestamp,
    /// First bytes of the proof's hash: a replayed proof leaves one notice.
    proof: [u8; 16],
}

impl Caller {
    /// Whether the person's own agent is asking, which needs no notice of what it does.
    fn manages(&self) -> bool {
        self.capability.permits(Target::Store, Ops::MANAGE)
    }
}

impl<S: Storage, C: Clock> Host<S, C> {
    /// A host over this storage. Its clock decides every validity; set back, it stands still.
    pub fn new(storage: S, clock: C, config: Config) -> Self {
        Self {
            storage,
            clock: Steady::new(clock),
            config,
            calls: Buckets::new(),
            header_reads: Buckets::new(),
            signals: Arc::default(),
            sink: None,
            #[cfg(feature = "http")]
            metrics: crate::metrics::Metrics::default(),
        }
    }

    /// With somebody who takes usage events.
    #[must_use]
    pub fn with_sink(self, sink: Arc<dyn UsageSink>) -> Self {
        Self { sink: Some(sink), ..self }
    }

    /// Most bytes of a request's body.
    pub const fn body_limit(&self) -> u64 {
        self.config.commit_len
    }

    /// Seconds that a request's body may take to arrive.
    #[cfg(feature = "http")]
    pub(crate) const fn body_secs(&self) -> u64 {
        self.config.body_secs
    }

    /// What an operator watches, in the text format of Prometheus: requests by route and code, their times and bytes, open
    /// feeds. It names nobody. Serve it to yourself, not to everybody.
    #[cfg(feature = "http")]
    pub fn metrics(&self) -> String {
        self.metrics.to_text(self.signals.count())
    }

    /// Whether the body of a request is worth reading, of which `request` has all but that: who asks is known, and the
    /// signature is theirs. Whether it is over this body is seen when the body is there.
    ///
    /// # Errors
    /// `Unauthenticated`, `ClockSkew`, `NotFound`, `NotPermitted` as for [`Host::call`]; `TooLarge` for a new store.
    #[cfg(feature = "http")]
    pub(crate) async fn recognise(&self, request: &Request<'_>, len: u64) -> Result<(), HostError> {
        match Route::parse(request.method, request.target).ok_or(HostError::NotFound)? {
            Route::Create if self.config.admission != Admission::Open => Err(HostError::NotPermitted),
            Route::Create => {
                // what stands around the header in a create body
                let limit = self.config.header_len.saturating_add(256);
                if len > limit { Err(HostError::TooLarge { limit }) } else { Ok(()) }
            }
            Route::Header(_) => Err(HostError::Malformed),
            Route::Of(name, _) => {
                let known = self.identify(request, name).await?;
                let now = self.time().await?;
                if known.claims.time.secs().abs_diff(now.secs()) > MAX_SKEW_SECS {
                    return Err(HostError::ClockSkew { now });
                }
                in_force(&known.row, now)
            }
        }
    }

    /// The storage, for the embedder's own work: back-ups, checks.
    pub const fn storage(&self) -> &S {
        &self.storage
    }

    /// The host's time, as far as it is known without asking the storage.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// The host's time, once what was noted of it before a restart is known. It is noted every ten seconds.
    async fn time(&self) -> Result<Timestamp, HostError> {
        if self.clock.is_unread() {
            let noted = self.storage.note(Timestamp::from_secs(0), &[]).await.map_err(HostError::Storage)?;
            self.clock.noted(noted);
        }
        let now = self.clock.now();
        if self.clock.is_due(now) {
            self.note_time(now).await;
        }
        Ok(now)
    }

    /// Notes a time. On a full disk reads go on, and the next request tries again.
    async fn note_time(&self, now: Timestamp) {
        if let Ok(noted) = self.storage.note(now, &[]).await {
            self.clock.noted(noted);
        }
    }

    /// Makes a store, with a first capability for its owner: the whole store, every operation, without end.
    ///
    /// # Errors
    /// `Conflict` when the id is taken, `HeadMismatch` when the header is another store's, `TooLarge`, `OverQuota`.
    pub async fn create(&self, admitted: Admitted, new: &CreateBody<'_>) -> Result<(), HostError> {
        let Admitted(()) = admitted;
        let version = self.header_version(new.header, new.store)?;
        let forever = Timestamp::from_secs(deedbox_store::MAX_SEQ);
        let rights = vec![Right::new(Target::Store, Ops::ALL)];
        let name = StoreName::from(new.store);
        let capability = Capability::new(new.capability, new.holder, name, rights, Timestamp::from_secs(0), forever);
        let row = Row::new(State::Active, self.time().await?, capability).to_bytes();
        let new_store = NewStore {
            header: new.header,
            header_version: version,
            owner: Some((RowKey(*new.capability.as_bytes()), &row)),
            quota: &self.config.quota,
        };
        self.storage.create(new.store, &new_store).await.map_err(HostError::of_storage)
    }

    /// Answers a request.
    ///
    /// A commit that meets another head is an answer of status 409 whose body shows what is in force
    /// ([`wire::ConflictBody`]): where it is the client's own head, an earlier try was done.
    ///
    /// # Errors
    /// See [`HostError`]. Nothing was changed, except that a refusal may have left a notice.
    pub async fn call(&self, request: Request<'_>) -> Result<Reply, HostError> {
        let limit = self.config.commit_len;
        if u64::try_from(request.body.len()).map_or(true, |len| len > limit) {
            return Err(HostError::TooLarge { limit });
        }
        match Route::parse(request.method, request.target).ok_or(HostError::NotFound)? {
            Route::Create => self.create_by_request(&request).await,
            Route::Header(s) => self.read_header(s).await,
            Route::Of(name, resource) => {
                let caller = self.authenticate(&request, name).await?;
                let reply = self.serve(&caller, &request, resource).await?;
                if let Some(class) = class(resource) {
                    let bytes = request.body.len().saturating_add(reply.body.len());
                    self.charge(&caller.capability, class, caller.now, bytes);
                }
                Ok(reply)
            }
        }
    }

    fn charge(&self, capability: &Capability, class: UsageClass, now: Timestamp, bytes: usize) {
        if let (Some(sink), Some(meter)) = (&self.sink, capability.meter) {
            let day = now.secs().checked_div(86_400).unwrap_or(0);
            sink.record(UsageEvent::new(meter, day, class, u64::try_from(bytes).unwrap_or(u64::MAX)));
        }
    }

    async fn serve(&self, caller: &Caller, request: &Request<'_>, resource: Resource) -> Result<Reply, HostError> {
        match resource {
            Resource::Blob(b, seal) => self.blob(caller, request, b, seal).await,
            _ if request.range.is_some() => Err(HostError::Malformed),
            // what has no end is not an answer: `Host::feed`
            Resource::Feed(_) => Err(HostError::Malformed),
            Resource::Changes(d, after, limit) => self.changes(caller, d, after, limit).await,
            Resource::Heads(d, after) => self.heads(caller, d, after).await,
            Resource::Leaves(d) => self.leaves(caller, d).await,
            Resource::Objects(d) => self.objects(caller, d, request.body).await,
            Resource::MailList(m, after) => self.mail_list(caller, m, after).await,
            Resource::MailAck(m, upto) => self.mail_ack(caller, m, upto).await,
            Resource::Mail(m) => self.mail_push(caller, m, request.body).await,
            Resource::Commit => self.commit(caller, request.body).await,
            Resource::Alias(_)
            | Resource::Capabilities
            | Resource::Capability(_)
            | Resource::Purge
            | Resource::Share(_)
            | Resource::Usage => {
                let permitted = caller.manages();
                self.admit(caller, Ops::MANAGE, None, permitted).await?;
                self.manage(caller, request, resource).await
            }
        }
    }

    /// Steps 1 to 3: whose proof it is. Whether it is over this request is step 4.
    async fn identify(&self, request: &Request<'_>, name: StoreName) -> Result<Known, HostError> {
        let bytes = request.proof.ok_or(HostError::Unauthenticated)?;
        let proof = Proof::parse(bytes).ok_or(HostError::Unauthenticated)?;
        let id = proof.capability();
        let store = match self.storage.resolve(name).await {
            Ok(store) => store,
            Err(StorageError::NotFound) => None,
            Err(error) => return Err(HostError::Storage(error)),
        };
        // Whatever is missing, the rest is done as if it were there: a row is read, a signature verified, the request
        // hashed. So the time an answer takes tells as little as its text.
        let held = store.unwrap_or_else(|| StoreId::from_bytes(*name.as_bytes()));
        let row = self.row(held, id).await?;
        let claims: Option<Claims> = proof.verify(row.as_ref().map_or(&NOBODY, |row| &row.capability.holder));
        match (store, row, claims) {
            (Some(store), Some(row), Some(claims)) if row.capability.name == name => Ok(Known { store, row, claims }),
            _ => Err(HostError::Unauthenticated),
        }
    }

    /// Steps 1 to 7: who asks, and whether the capability is in force. Steps 1 to 4 give one answer.
    async fn authenticate(&self, request: &Request<'_>, name: StoreName) -> Result<Caller, HostError> {
        let known = self.identify(request, name).await;
        let hash = request.hash();
        let Known { store, row, claims } = known?;
        if claims.request != hash {
            return Err(HostError::Unauthenticated);
        }
        let hash = sha256(request.proof.unwrap_or_default());
        let proof = hash.first_chunk().copied().ok_or(HostError::Unauthenticated)?;
        let now = self.time().await?;
        let caller = Caller { store, capability: row.capability.clone(), now, proof };
        let skew = claims.time.secs().abs_diff(now.secs());
        let verdict = if skew > MAX_SKEW_SECS { Err(HostError::ClockSkew { now }) } else { in_force(&row, now) };
        match verdict {
            Ok(()) => Ok(caller),
            Err(error) => {
                if matches!(error, HostError::Expired) && !self.clock.has_noted(row.capability.not_after) {
                    // what was once refused as expired stays so, whatever the clock shows after a crash
                    self.note_time(now).await;
                }
                Err(self.refuse(&caller, None, None, error).await)
            }
        }
    }

    /// Steps 8 and 9: whether a right covers it, and whether it is not too often.
    async fn admit(
        &self,
        caller: &Caller,
        op: Ops,
        dataset: Option<DatasetId>,
        permitted: bool,
    ) -> Result<(), HostError> {
        if !permitted {
            return Err(self.refuse(caller, Some(op), dataset, HostError::NotPermitted).await);
        }
        let key = (caller.store, caller.capability.id);
        match self.calls.take(key, self.config.rate, 1, caller.now) {
            Ok(()) => Ok(()),
            Err(retry_after) => Err(self.refuse(caller, Some(op), dataset, HostError::TooMany { retry_after }).await),
        }
    }

    /// The capability's row, read afresh: rows are never cached.
    async fn row(&self, s: StoreId, id: CapabilityId) -> Result<Option<Row>, HostError> {
        let row = match self.storage.row(s, Table::Capabilities, RowKey(*id.as_bytes())).await {
            Ok(Some(row)) => row,
            Ok(None) | Err(StorageError::NotFound) => return Ok(None),
            Err(error) => return Err(HostError::Storage(error)),
        };
        let row = Row::from_bytes(&row.value).ok_or(HostError::Storage(StorageError::Corrupt))?;
        self.clock.seen(row.since);
        Ok(Some(row))
    }

    /// The last step before bytes leave: the data was read, the notice is durable, and the capability is still in
    /// force.
    async fn deliver(&self, caller: &Caller, body: Vec<u8>, what: &Yield<'_>) -> Result<Reply, HostError> {
        self.notify(caller, what).await?;
        let row = self.row(caller.store, caller.capability.id).await?.ok_or(HostError::Unauthenticated)?;
        in_force(&row, self.clock.now())?;
        Ok(Reply::ok(body))
    }

    async fn create_by_request(&self, request: &Request<'_>) -> Result<Reply, HostError> {
        if self.config.admission != Admission::Open {
            return Err(HostError::NotPermitted);
        }
        let limit = usize::try_from(self.config.commit_len).unwrap_or(usize::MAX);
        let new = CreateBody::from_bytes(request.body, limit).ok_or(HostError::Malformed)?;
        self.create(Admitted(()), &new).await?;
        Ok(Reply::new(201, Vec::new()))
    }

    /// The one thing that is given without a proof: whoever begins on a new device knows the true id and nothing else.
    async fn read_header(&self, s: StoreId) -> Result<Reply, HostError> {
        let header = match self.storage.header(s).await {
            Ok(header) => header,
            Err(StorageError::NotFound) => return Err(HostError::Unauthenticated),
            Err(error) => return Err(HostError::Storage(error)),
        };
        let hourly = self.config.header_reads.max(1);
        let rate = Rate { per_second: 1, burst: hourly };
        let secs = 3_600_u32.checked_div(hourly).unwrap_or(0).max(1);
        self.header_reads
            .take(s, rate, secs, self.time().await?)
            .map_err(|retry_after| HostError::TooMany { retry_after })?;
        Ok(Reply::ok(wire::versioned_to_bytes(header.version, &header.value)))
    }

    fn header_version(&self, header: &[u8], s: StoreId) -> Result<u64, HostError> {
        let limit = self.config.header_len;
        if u64::try_from(header.len()).map_or(true, |len| len > limit) {
            return Err(HostError::TooLarge { limit });
        }
        check_header(header, s)
    }

    /// A commit without parts.
    async fn push(&self, s: StoreId, mail: &[Mail<'_>], quota: &Quota) -> Result<(), HostError> {
        let commit = Commit { parts: &[], mail, header: None, quota };
        match self.storage.commit(s, &commit).await.map_err(HostError::of_storage)? {
            CommitOutcome::Done => Ok(()),
            CommitOutcome::Conflict { .. } | CommitOutcome::HeaderConflict { .. } => Err(HostError::Conflict),
        }
    }

    /// Leaves a notice of a refusal, the same at most once a minute, and gives the error back.
    async fn refuse(
        &self,
        caller: &Caller,
        op: Option<Ops>,
        dataset: Option<DatasetId>,
        error: HostError,
    ) -> HostError {
        let what = Yield { op, dataset, objects: &[], count: 0, bytes: 0, refused: Some(error.code()) };
        // the refusal stands, whether or not there is room for its notice
        let _ = self.notify(caller, &what).await;
        error
    }
}

/// What a request is charged as; managing is the person's own.
const fn class(resource: Resource) -> Option<UsageClass> {
    match resource {
        Resource::Blob(..) => Some(UsageClass::Blob),
        Resource::Commit => Some(UsageClass::Commit),
        Resource::Feed(_) => Some(UsageClass::Feed),
        Resource::Mail(_) | Resource::MailAck(..) | Resource::MailList(..) => Some(UsageClass::Mail),
        Resource::Changes(..) | Resource::Heads(..) | Resource::Leaves(_) | Resource::Objects(_) => {
            Some(UsageClass::Read)
        }
        Resource::Alias(_)
        | Resource::Capabilities
        | Resource::Capability(_)
        | Resource::Purge
        | Resource::Share(_)
        | Resource::Usage => None,
    }
}

/// Steps 6 and 7.
fn in_force(row: &Row, now: Timestamp) -> Result<(), HostError> {
    match row.state {
        State::Paused => return Err(HostError::Paused),
        State::Revoked => return Err(HostError::Revoked),
        State::Active => {}
    }
    if now < row.capability.not_before {
        return Err(HostError::NotYet);
    }
    if now >= row.capability.not_after {
        return Err(HostError::Expired);
    }
    Ok(())
}

fn is_notices(m: MailboxId) -> bool {
    m == MailboxId::NOTICES
}

fn sum_len<'a>(bodies: impl Iterator<Item = &'a [u8]>) -> u64 {
    bodies.fold(0, |sum: u64, body| sum.saturating_add(u64::try_from(body.len()).unwrap_or(u64::MAX)))
}

fn object_ids<'a>(rows: impl Iterator<Item = &'a wire::Object<'a>>) -> Vec<ObjectId> {
    rows.map(|row| row.object).collect()
}
