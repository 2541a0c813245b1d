//! Receipts that both sides sign: of a rule that was given, refused or withdrawn, with what must be erased for it; of a
//! disclosure. And what the other side says to justify one.

use deedbox_audit::{Entry, EntryKind, Row, SignedReceipt, sign_receipt};
use deedbox_cbor::Writer;
use deedbox_consent::{Obligation, Obligations, Permission, Rank, Receipt, ReceiptDigests, ReceiptKind};
use deedbox_cose::{Signer as _, sha256};
use deedbox_model::{Digest, Name, Timestamp};
use deedbox_record::{Record, VerifiedAgreement as _};

use super::{CONNECTIONS, Channel, Open, Person, channel::item, put_rest};
use crate::{
    client::HostClient,
    error::PersonError,
    exchange::{JUSTIFICATION, Justification, RECEIPT},
    system,
};

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
    /// The number of the log's entry that it is about: of a disclosure the decision, of a permission the last entry before the
    /// receipt that gave it, changed its status or withdrew it.
    pub entry: Option<u64>,
}

impl<H: HostClient> Person<Open<H>> {
    /// Signs what became of the permission `rule` for the other side of a channel, keeps it, and seals it for sending. `fields`
    /// are those it is about: for a withdrawal what the other side must erase ([`Applied::impact`](super::Applied)).
    ///
    /// It names the state of the log: two receipts that contradict each other prove that the log was forked.
    ///
    /// # Errors
    /// [`PersonError::NotFound`] for a rule that is no permission, and for a disclosure, which has a receipt of its own
    /// ([`Person::receipt_of`]); [`PersonError::Audit`], [`PersonError::Conflict`].
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
        let permission = policy.permission(rule).filter(|_| kind != ReceiptKind::Disclosed);
        let (permission, _) = permission.ok_or(PersonError::NotFound)?;
        let subject = digest(&permission.to_bytes());
        let mut receipt = open.new_receipt(kind, channel, subject, open.rules.digest, now);
        receipt.fields = Some(fields.into_iter().collect());
        receipt.obligations = permission.obligations;
        receipt.notice = permission.evidence.notice;
        receipt.emergency = permission.rank == Rank::EMERGENCY;
        open.give(channel, &receipt).await
    }

    /// Signs, for the other side of a channel, what was disclosed to it by the decision in the log's entry `entry`, keeps it, and
    /// seals it for sending. The receipt names the entry, and [`KeptReceipt::entry`] finds it.
    ///
    /// # Errors
    /// [`PersonError::NotFound`] for an entry of anything else than a disclosure to this party; [`PersonError::Audit`],
    /// [`PersonError::Conflict`].
    pub async fn receipt_of(&mut self, channel: &mut Channel, entry: u64) -> Result<Vec<u8>, PersonError> {
        let now = system::now();
        let open = &mut self.state;
        let row =
            usize::try_from(entry).ok().and_then(|place| open.log.rows().get(place)).ok_or(PersonError::NotFound)?;
        let Row::Kept(kept) = row else { return Err(PersonError::NotFound) };
        let decision = kept.entry();
        let is_theirs = decision.party.as_deref() == Some(channel.party.as_str());
        if decision.kind != EntryKind::Decision || decision.stopped || decision.released.is_empty() || !is_theirs {
            return Err(PersonError::NotFound);
        }
        let policy = open.rules.evaluator.policy();
        // Rules stay, whatever became of them since.
        let rules = decision.used().filter_map(|id| policy.permission(&Name::parse(id).ok()?));
        let rules: Vec<&Permission> = rules.map(|(rule, _)| rule).collect();
        let mut receipt = open.new_receipt(ReceiptKind::Disclosed, channel, kept.leaf(), decision.policy, now);
        let fields = decision.released.iter().map(|field| Name::parse(field).map_err(|_| PersonError::Damaged));
        receipt.fields = Some(fields.collect::<Result<_, _>>()?);
        receipt.obligations = rules.iter().flat_map(|rule| rule.obligations.iter()).collect();
        let least = rules.iter().filter_map(|rule| rule.retention).min();
        receipt.keep_until = least.map(|secs| decision.time.saturating_add_secs(secs));
        receipt.emergency = rules.iter().any(|rule| rule.rank == Rank::EMERGENCY);
        open.give(channel, &receipt).await
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
        let entry = open.entry_of(&receipt);
        Ok(KeptReceipt { party: channel.party.clone(), receipt, signed, entry })
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
            let (party, hash, first) = parse(record).ok_or(PersonError::Damaged)?;
            let bytes = shelf.with_rest(dataset, record.name(), &first)?;
            let found = agreements.iter().find(|(_, agreement)| agreement.hash() == hash);
            let (_, agreement) = found.ok_or(PersonError::Damaged)?;
            let keys = open.side(agreement)?;
            let peer = keys.side(agreement)?.peer_sign_key().clone();
            let own = keys.0.sign().public();
            let signed = SignedReceipt::verify(&bytes, own, Some(&peer))
                .or_else(|_| SignedReceipt::verify(&bytes, own, None))?;
            let receipt = Receipt::from_bytes(signed.payload()).map_err(|_| PersonError::Damaged)?;
            let entry = open.entry_of(&receipt);
            receipts.push(KeptReceipt { party, receipt, signed, entry });
        }
        Ok(receipts)
    }
}

impl<H: HostClient> Person<Open<H>> {
    /// Takes the other side's justification of a release for which it owed one, and keeps it word for word. The log has its digest.
    /// What it names it has from the receipt ([`Person::receipt_of`]). Gives the number of the release's entry in the log.
    ///
    /// # Errors
    /// [`PersonError::Unexpected`] for what they did not sign under this agreement, or for no release to them under that duty;
    /// [`PersonError::Connect`], [`PersonError::Conflict`].
    pub async fn justified(&mut self, channel: &mut Channel, record: &[u8]) -> Result<u64, PersonError> {
        let now = system::now();
        self.state.permits(channel)?;
        let bytes = channel.receive(record, JUSTIFICATION)?;
        let open = &mut self.state;
        let keys = open.side(&channel.agreement)?;
        let peer = keys.side(&channel.agreement)?.peer_sign_key().clone();
        let justification = Justification::verify(&bytes, &peer).map_err(|_| PersonError::Unexpected)?;
        let is_theirs = |entry: &Entry| entry.party.as_deref() == Some(channel.party.as_str());
        let mut owed = open.owed().filter(|(leaf, entry)| leaf == justification.subject() && is_theirs(entry));
        let seq = owed.next().map(|(_, entry)| entry.seq).ok_or(PersonError::Unexpected)?;
        drop(owed);
        if *justification.agreement() != channel.agreement.hash() {
            return Err(PersonError::Unexpected);
        }
        let (name, mut value) = (format!("justification/{}", digest(&bytes)), Writer::new());
        channel.agreement.hash().encode(value.array(2));
        value.bytes(&bytes);
        let record = Record::new(JUSTIFIED, 1, &name, item(value.as_slice())?)?;
        let mut change = open.change();
        let dataset = open.dataset(CONNECTIONS)?;
        change.records.push((*dataset.id(), dataset.name_key().object_id(&name), record));
        let mut entry = Entry::new(now, EntryKind::Receipt, Some(channel.party.as_str()), open.policy_digest());
        entry.receipt = Some(digest(&bytes));
        change.log(entry);
        open.commit(change, now).await?;
        Ok(seq)
    }

    /// The justifications in the box, verified again, each with the number of the release's entry in the log; `None` once that is
    /// erased.
    ///
    /// # Errors
    /// [`PersonError::Damaged`], [`PersonError::Connect`].
    pub fn justifications(&self) -> Result<Vec<(Option<u64>, Justification)>, PersonError> {
        let open = &self.state;
        let dataset = open.dataset(CONNECTIONS)?;
        let shelf = open.shelves.get(dataset.id()).ok_or(PersonError::Damaged)?;
        let agreements = self.agreements()?;
        let mut justifications = Vec::new();
        for record in shelf.records(dataset)?.iter().filter(|record| record.schema().0 == JUSTIFIED) {
            let parts = record.value().as_item().as_array().and_then(|parts| parts.exactly());
            let [agreement, signed] = parts.ok_or(PersonError::Damaged)?;
            let hash = Digest::decode(agreement).ok_or(PersonError::Damaged)?;
            let found = agreements.iter().find(|(_, agreement)| agreement.hash() == hash);
            let (_, agreement) = found.ok_or(PersonError::Damaged)?;
            let keys = open.side(agreement)?;
            let peer = keys.side(agreement)?.peer_sign_key().clone();
            let signed = signed.as_bytes().and_then(|bytes| Justification::verify(bytes, &peer).ok());
            let justification = signed.ok_or(PersonError::Damaged)?;
            let entry = open.owed().find(|(leaf, _)| leaf == justification.subject()).map(|(_, entry)| entry.seq);
            justifications.push((entry, justification));
        }
        Ok(justifications)
    }

    /// The numbers of the log's entries of releases that were to be justified and are not although `within` seconds have passed: to
    /// be shown to the person, as overdue receipts are.
    ///
    /// # Errors
    /// [`PersonError::Damaged`], [`PersonError::Connect`].
    pub fn unjustified(&self, now: Timestamp, within: u64) -> Result<Vec<u64>, PersonError> {
        let justifications = self.justifications()?;
        let is_late = |entry: &Entry| now.saturating_sub(entry.time) > within;
        let late = self.state.owed().filter(|(_, entry)| is_late(entry));
        let is_open = |seq: &u64| justifications.iter().all(|(entry, _)| *entry != Some(*seq));
        Ok(late.map(|(_, entry)| entry.seq).filter(is_open).collect())
    }
}

impl<H: HostClient> Open<H> {
    /// Releases under the duty to justify them, with their leaves.
    fn owed(&self) -> impl Iterator<Item = (Digest, &Entry)> {
        let kept = self.log.rows().iter().filter_map(|row| match row {
            Row::Kept(kept) => Some(kept),
            Row::Erased(_) => None,
        });
        let owes = |entry: &Entry| {
            let duties = entry.obligations.and_then(|bits| u32::try_from(bits).ok()).map(Obligations::from_bits);
            entry.used().next().is_some() && duties.is_some_and(|duties| duties.contains(Obligation::Justify))
        };
        kept.filter(move |kept| owes(kept.entry())).map(|kept| (kept.leaf(), kept.entry()))
    }

    /// What every receipt has. It names the state of the log.
    fn new_receipt(
        &self,
        kind: ReceiptKind,
        channel: &Channel,
        subject: Digest,
        policy: Digest,
        now: Timestamp,
    ) -> Receipt {
        let words = self.rules.evaluator.policy().vocabulary();
        let digests = ReceiptDigests { subject, policy, vocabulary: digest(&words.to_bytes()) };
        let mut receipt = Receipt::new(kind, now, channel.party.clone(), digests, words.regime());
        let state = self.log.state();
        receipt.checkpoint = Some((state.size, state.root));
        receipt
    }

    async fn give(&mut self, channel: &mut Channel, receipt: &Receipt) -> Result<Vec<u8>, PersonError> {
        let signed = sign_receipt(&receipt.to_bytes(), self.side(&channel.agreement)?.0.sign())?;
        self.keep(channel, receipt, &signed).await?;
        channel.send(RECEIPT, &signed)
    }

    /// The number of the entry that a receipt is about.
    fn entry_of(&self, receipt: &Receipt) -> Option<u64> {
        let rows = self.log.rows();
        let place = if receipt.kind == ReceiptKind::Disclosed {
            rows.iter().position(|row| row.leaf() == receipt.subject)?
        } else {
            let mut rules = self.rules.evaluator.policy().permissions();
            let (rule, _) = rules.find(|(rule, _)| digest(&rule.to_bytes()) == receipt.subject)?;
            let (size, _) = receipt.checkpoint?;
            let before = rows.get(..usize::try_from(size).ok()?)?;
            before.iter().rposition(|row| {
                let names = |entry: &Entry| {
                    entry.kind == EntryKind::Rule && entry.determining.iter().any(|id| id == rule.id.as_str())
                };
                matches!(row, Row::Kept(kept) if names(kept.entry()))
            })?
        };
        u64::try_from(place).ok()
    }

    /// Keeps a receipt, in the place of the same one with fewer signatures, and its digest in the log.
    async fn keep(&mut self, channel: &Channel, receipt: &Receipt, signed: &[u8]) -> Result<(), PersonError> {
        let now = system::now();
        let name = name(receipt);
        let mut change = self.change();
        let dataset = self.dataset(CONNECTIONS)?;
        let first = put_rest(&mut change.records, dataset, &name, signed)?;
        let mut value = Writer::new();
        value.array(3).text(channel.party.as_str());
        channel.agreement.hash().encode(&mut value);
        value.bytes(first);
        let record = Record::new(SCHEMA, 1, &name, item(value.as_slice())?)?;
        change.records.push((*dataset.id(), dataset.name_key().object_id(&name), record));
        let mut entry = Entry::new(now, EntryKind::Receipt, Some(channel.party.as_str()), self.policy_digest());
        entry.receipt = Some(digest(signed));
        change.log(entry);
        self.commit(change, now).await
    }
}

fn digest(bytes: &[u8]) -> Digest {
    Digest::from_bytes(sha256(bytes))
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
/// What records of justifications are.
const JUSTIFIED: &str = "deedbox:justification";
