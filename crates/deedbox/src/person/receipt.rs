//! Receipts that both sides sign: of a rule that was given, refused or withdrawn, and of what must be erased for it.

use deedbox_audit::{Entry, EntryKind, SignedReceipt, sign_receipt};
use deedbox_cbor::Writer;
use deedbox_consent::{Rank, Receipt, ReceiptDigests, ReceiptKind};
use deedbox_cose::{Signer as _, sha256};
use deedbox_model::{Digest, Name};
use deedbox_record::{Record, VerifiedAgreement as _};

use super::{CONNECTIONS, Channel, Open, Person, channel::item};
use crate::{client::HostClient, error::PersonError, exchange::RECEIPT, system};

/// A receipt that the box keeps.
#[non_exhaustive]
pub struct KeptReceipt {
    /// The other side, as the person's rules call it.
    pub party: Name,
    /// What happened.
    pub receipt: Receipt,
    /// Its signatures, checked: one, or two once the other side has acknowledged it.
    /// [`SignedReceipt::is_overdue`] finds a withdrawal that was not acknowledged in time.
    pub signed: SignedReceipt,
}

impl<H: HostClient> Person<Open<H>> {
    /// Signs what became of the permission `rule` for the other side of a channel, keeps it, and seals it for sending. `fields`
    /// are those it is about: for a withdrawal what the other side must erase ([`Applied::impact`](super::Applied)).
    ///
    /// It names the state of the log: two receipts that contradict each other prove that the log was forked.
    ///
    /// # Errors
    /// [`PersonError::NotFound`] for a rule that is no permission; [`PersonError::Audit`], [`PersonError::Conflict`].
    pub async fn receipt(
        &mut self,
        channel: &mut Channel,
        kind: ReceiptKind,
        rule: &Name,
        fields: impl IntoIterator<Item = Name>,
    ) -> Result<Vec<u8>, PersonError> {
        let now = system::now();
        let open = &mut self.state;
        let policy = open.rules.evaluator.policy();
        let (permission, _) = policy.permission(rule).ok_or(PersonError::NotFound)?;
        let digest = |bytes: Vec<u8>| Digest::from_bytes(sha256(&bytes));
        let digests = ReceiptDigests {
            subject: digest(permission.to_bytes()),
            policy: open.rules.digest,
            vocabulary: digest(policy.vocabulary().to_bytes()),
        };
        let mut receipt = Receipt::new(kind, now, channel.party.clone(), digests, policy.vocabulary().regime());
        let state = open.log.state();
        receipt.checkpoint = Some((state.size, state.root));
        receipt.fields = Some(fields.into_iter().collect());
        receipt.obligations = permission.obligations;
        receipt.notice = permission.evidence.notice;
        receipt.emergency = permission.rank == Rank::EMERGENCY;
        let signed = sign_receipt(&receipt.to_bytes(), open.side(&channel.agreement)?.0.sign())?;
        open.keep(channel, &receipt, &signed).await?;
        channel.send(RECEIPT, &signed)
    }

    /// Reads the other side's acknowledgment of a receipt, and keeps it with both signatures.
    ///
    /// # Errors
    /// [`PersonError::Audit`]: `Rejected` for other signatures than both sides'; [`PersonError::NotFound`] for a receipt that was
    /// not sent; [`PersonError::Connect`], [`PersonError::Unexpected`].
    pub async fn acknowledged(&mut self, channel: &mut Channel, record: &[u8]) -> Result<KeptReceipt, PersonError> {
        self.state.permits(channel)?;
        let bytes = channel.receive(record, RECEIPT)?;
        let open = &mut self.state;
        let keys = open.side(&channel.agreement)?;
        let peer = keys.side(&channel.agreement)?.peer_sign_key().clone();
        let signed = SignedReceipt::verify(&bytes, keys.0.sign().public(), Some(&peer))?;
        let receipt = Receipt::from_bytes(signed.payload()).map_err(|_| PersonError::Unexpected)?;
        let dataset = open.dataset(CONNECTIONS)?;
        let shelf = open.shelves.get(dataset.id()).ok_or(PersonError::Damaged)?;
        shelf.record(dataset, &name(&receipt))?.ok_or(PersonError::NotFound)?;
        open.keep(channel, &receipt, &bytes).await?;
        Ok(KeptReceipt { party: channel.party.clone(), receipt, signed })
    }

    /// The receipts of all connections, verified again.
    ///
    /// # Errors
    /// [`PersonError::Damaged`], [`PersonError::Audit`].
    pub fn receipts(&self) -> Result<Vec<KeptReceipt>, PersonError> {
        let open = &self.state;
        let dataset = open.dataset(CONNECTIONS)?;
        let shelf = open.shelves.get(dataset.id()).ok_or(PersonError::Damaged)?;
        let agreements = self.agreements()?;
        let parse = |record: &Record| -> Option<(Name, Digest, Vec<u8>)> {
            let [party, agreement, signed] = record.value().as_item().as_array()?.exactly()?;
            Some((Name::decode(party)?, Digest::decode(agreement)?, signed.as_bytes()?.to_vec()))
        };
        let mut receipts = Vec::new();
        for record in shelf.records(dataset)?.iter().filter(|record| record.schema().0 == SCHEMA) {
            let (party, hash, bytes) = parse(record).ok_or(PersonError::Damaged)?;
            let found = agreements.iter().find(|(_, agreement)| agreement.hash() == hash);
            let (_, agreement) = found.ok_or(PersonError::Damaged)?;
            let keys = open.side(agreement)?;
            let peer = keys.side(agreement)?.peer_sign_key().clone();
            let own = keys.0.sign().public();
            let signed = SignedReceipt::verify(&bytes, own, Some(&peer))
                .or_else(|_| SignedReceipt::verify(&bytes, own, None))?;
            let receipt = Receipt::from_bytes(signed.payload()).map_err(|_| PersonError::Damaged)?;
            receipts.push(KeptReceipt { party, receipt, signed });
        }
        Ok(receipts)
    }
}

impl<H: HostClient> Open<H> {
    /// Keeps a receipt, in the place of the same one with fewer signatures, and its digest in the log.
    async fn keep(&mut self, channel: &Channel, receipt: &Receipt, signed: &[u8]) -> Result<(), PersonError> {
        let now = system::now();
        let name = name(receipt);
        let mut value = Writer::new();
        value.array(3).text(channel.party.as_str());
        channel.agreement.hash().encode(&mut value);
        value.bytes(signed);
        let record = Record::new(SCHEMA, 1, &name, item(value.as_slice())?)?;
        let mut change = self.change();
        let dataset = self.dataset(CONNECTIONS)?;
        change.records.push((*dataset.id(), dataset.name_key().object_id(&name), record));
        let mut entry = Entry::new(now, EntryKind::Receipt, Some(channel.party.as_str()), self.policy_digest());
        entry.receipt = Some(Digest::from_bytes(sha256(signed)));
        change.log(entry);
        self.commit(change, now).await
    }
}

/// The name of its record: by what both sides sign.
fn name(receipt: &Receipt) -> String {
    let mut name = String::from("receipt/");
    name.extend(sha256(&receipt.to_bytes()).iter().map(|byte| format!("{byte:02x}")));
    name
}

/// Prints whether it was acknowledged.
impl std::fmt::Debug for KeptReceipt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeptReceipt").field("is_acknowledged", &self.signed.is_acknowledged()).finish_non_exhaustive()
    }
}

/// What records of receipts are, among those of connections.
const SCHEMA: &str = "deedbox:receipt";
