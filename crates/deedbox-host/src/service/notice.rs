//! Notices: what the host tells the person about others' use of the store. Evidence of an honest host only.

use deedbox_cbor::{Limits, Order, Writer, read};
use deedbox_cose::sha256;
use deedbox_model::{CapabilityId, DatasetId, MailboxId, ObjectId, Timestamp};
use deedbox_store::{Mail, Quota, Storage};

use super::{Caller, Host};
use crate::capability::Ops;
use crate::clock::Clock;
use crate::error::HostError;

/// What a request yields, or why it was refused.
pub(super) struct Yield<'a> {
    pub(super) op: Option<Ops>,
    pub(super) dataset: Option<DatasetId>,
    /// Which objects; without any, how many.
    pub(super) objects: &'a [ObjectId],
    pub(super) count: u64,
    pub(super) bytes: u64,
    pub(super) refused: Option<&'static str>,
}

/// An item of the mailbox [`MailboxId::NOTICES`].
///
/// ```cddl
/// notice = { 1: time: uint, 2: capability: b16, 3: op: uint, 4: dataset: b16 / null, 5: [* object: b16] / count: uint,
///            6: bytes: uint, 7: code: tstr / null }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Notice {
    /// When, by the host's clock.
    pub time: Timestamp,
    /// Whose capability.
    pub capability: CapabilityId,
    /// The operations asked for; 0 where the request was refused before that was looked at.
    pub op: u8,
    /// Which dataset.
    pub dataset: Option<DatasetId>,
    /// Which objects were given.
    pub objects: Vec<ObjectId>,
    /// How many things were given, where it is not objects.
    pub count: u64,
    /// How many bytes were given.
    pub bytes: u64,
    /// The code of the refusal; `None` where something was given.
    pub code: Option<String>,
}

impl Notice {
    /// The bytes: deterministic CBOR.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        writer.map(|map| {
            map.int(1, |w| self.time.encode(w))
                .int(2, |w| self.capability.encode(w))
                .int(3, |w| {
                    w.uint(u64::from(self.op));
                })
                .int(4, |w| {
                    match self.dataset {
                        Some(dataset) => w.bytes(dataset.as_bytes()),
                        None => w.null(),
                    };
                })
                .int(5, |w| {
                    if self.objects.is_empty() {
                        w.uint(self.count);
                    } else {
                        w.array(self.objects.len());
                        self.objects.iter().for_each(|object| object.encode(w));
                    }
                })
                .int(6, |w| {
                    w.uint(self.bytes);
                })
                .int(7, |w| {
                    match &self.code {
                        Some(code) => w.text(code),
                        None => w.null(),
                    };
                });
        });
        writer.into_vec()
    }

    /// Reads a notice: canonical, at most 64 KiB, nothing unknown.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let item = read(bytes, Order::Canonical, &Limits::new(64 << 10)).ok()?;
        let mut fields = item.as_map()?.fields();
        let time = Timestamp::decode(fields.required(1)?)?;
        let capability = CapabilityId::decode(fields.required(2)?)?;
        let op = fields.required(3)?.as_u8()?;
        let dataset = fields.required(4)?;
        let dataset = if dataset.is_null() { None } else { Some(DatasetId::decode(dataset)?) };
        let what = fields.required(5)?;
        let (objects, count) = match what.as_array() {
            Some(ids) if ids.is_empty() => return None,
            Some(ids) => (ids.iter().map(ObjectId::decode).collect::<Option<Vec<_>>>()?, 0),
            None => (Vec::new(), what.as_u64()?),
        };
        let bytes = fields.required(6)?.as_u64()?;
        let code = fields.required(7)?;
        let code = if code.is_null() { None } else { Some(code.as_str()?.to_owned()) };
        fields.finish()?;
        Some(Self { time, capability, op, dataset, objects, count, bytes, code })
    }
}

impl<S: Storage, C: Clock> Host<S, C> {
    /// Leaves a notice; durable when it returns. The person's own agent needs none.
    pub(super) async fn notify(&self, caller: &Caller, what: &Yield<'_>) -> Result<(), HostError> {
        if caller.manages() {
            return Ok(());
        }
        let notice = Notice {
            time: caller.now,
            capability: caller.capability.id,
            op: what.op.map_or(0, Ops::bits),
            dataset: what.dataset,
            objects: what.objects.to_vec(),
            count: what.count,
            bytes: what.bytes,
            code: what.refused.map(str::to_owned),
        };
        let dedupe = match what.refused {
            None => caller.proof,
            Some(code) => {
                let minute = caller.now.secs() / 60;
                let same =
                    [caller.capability.id.as_bytes().as_slice(), &minute.to_be_bytes(), code.as_bytes()].concat();
                sha256(&same).first_chunk().copied().unwrap_or(caller.proof)
            }
        };
        // notices do not count against what the person may store
        let quota =
            Quota { bytes: u64::MAX, mailbox_items: self.config.notices, mailbox_bytes: u64::MAX, ..self.config.quota };
        let item = Mail {
            mailbox: MailboxId::NOTICES,
            dedupe,
            at: caller.now,
            expires: Timestamp::from_secs(deedbox_store::MAX_SEQ),
            body: &notice.to_bytes(),
        };
        self.push(caller.store, &[item], &quota).await
    }
}
