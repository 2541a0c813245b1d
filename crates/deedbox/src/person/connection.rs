//! The life of a connection after first contact: suspend, resume, renew, end, and messages while the other side is away.
//!
//! Each step is one commit: the new state, its log entry and the sealed messages that tell the other side. What was sealed
//! is never sealed twice, and what was taken is never taken twice, whatever is interrupted.

use std::fmt;

use deedbox_audit::{Entry, EntryKind};
use deedbox_cbor::{Item, Writer};
use deedbox_connect::{
    Agreement, Arrival, Changes, ConnectError, Contact, EndReason, Epoch, Established, Event, PartyKeys, Proposal,
    Renewal, Role, Stage, Termination, Tombstone,
};
use deedbox_consent::{Maker, Policy, Terms, TermsDiff, terms_diff};
use deedbox_host::capability::{Capability, Ops, Right, Target};
use deedbox_model::{CapabilityId, ConnectionId, Digest, MailboxId, Name, StoreName, Timestamp};
use deedbox_record::Record;

use super::{CONNECTIONS, Change, Channel, Open, Person, channel::item, connections_root};
use crate::{
    client::{HostClient, dedupe},
    connection::{Content, Deposit, Kept, Keys, Mail, Out, Source},
    error::PersonError,
    system,
};

/// How a connection stands.
#[derive(Clone)]
#[non_exhaustive]
pub struct Standing {
    /// Who is on the other side, as the person's rules call them.
    pub party: Name,
    /// Where it stands.
    pub stage: Stage,
    /// Its agreements, the first one first, each verified by the one before.
    pub agreements: Vec<Agreement>,
    /// What the other side proposes to change.
    pub asked: Option<Changes>,
    /// What is left of it.
    pub tombstone: Option<Tombstone>,
    /// The signed document that ended it.
    pub termination: Option<Vec<u8>>,
    /// The receipt that the other side signed for it, or this side for the other's.
    pub receipt: Option<Vec<u8>>,
    /// Whether no message can be left before a session was opened: [`Person::call`].
    pub needs_session: bool,
}

/// A session that is being opened on a connection.
pub struct Calling {
    id: ConnectionId,
    party: Name,
    agreement: Agreement,
    step: Step,
}

enum Step {
    First(Box<(deedbox_connect::Calling, PartyKeys)>),
    Second(Box<deedbox_connect::Called>),
}

impl Calling {
    /// Reads the other side's first answer and gives the second message.
    ///
    /// # Errors
    /// [`PersonError::Connect`]; [`PersonError::Unexpected`] when it was called already.
    pub fn answer(self, body: &[u8]) -> Result<(Self, Vec<u8>), PersonError> {
        let Step::First(first) = self.step else { return Err(PersonError::Unexpected) };
        let (calling, keys) = *first;
        let (called, message) = calling
            .answer(body, &keys, system::now(), &mut system::rng())
            .map_err(|failed| PersonError::Connect(failed.error))?;
        Ok((Self { step: Step::Second(Box::new(called)), ..self }, message))
    }
}

impl<H: HostClient> Person<Open<H>> {
    /// Connections with an agreement in force: who, and that agreement, verified from the first one on.
    ///
    /// # Errors
    /// [`PersonError::Damaged`], [`PersonError::Connect`].
    pub fn connections(&self) -> Result<Vec<(Name, Agreement)>, PersonError> {
        let mut connections = Vec::new();
        for row in self.state.rows()? {
            if let Some(agreement) = row.kept.connection().agreement() {
                connections.push((row.party, agreement.clone()));
            }
        }
        Ok(connections)
    }

    /// All agreements the person ever had, with whom: of connections that ended too, and those that were renewed. What was
    /// signed under one stays signed.
    ///
    /// # Errors
    /// [`PersonError::Damaged`], [`PersonError::Connect`].
    pub fn agreements(&self) -> Result<Vec<(Name, Agreement)>, PersonError> {
        let of = |row: Row| row.kept.chain().iter().map(|agreement| (row.party.clone(), agreement.clone())).collect();
        Ok(self.state.rows()?.into_iter().flat_map(|row| -> Vec<_> { of(row) }).collect())
    }

    /// How a connection stands; one that ended too.
    ///
    /// # Errors
    /// [`PersonError::NotFound`], [`PersonError::Damaged`], [`PersonError::Connect`].
    pub fn connection(&self, id: &ConnectionId) -> Result<Standing, PersonError> {
        let Row { party, kept, .. } = self.state.row(id)?;
        let asked = kept.connection().proposal().filter(|proposal| proposal.by() != kept.role());
        let asked = asked.zip(kept.connection().agreement()).map(|(asked, now)| asked.content().changes(now));
        Ok(Standing {
            party,
            stage: kept.stage(),
            agreements: kept.chain().to_vec(),
            asked,
            tombstone: kept.tombstone().cloned(),
            termination: kept.termination().map(<[u8]>::to_vec),
            receipt: kept.receipt().map(<[u8]>::to_vec),
            needs_session: kept.needs_session(),
        })
    }

    /// Lets nothing flow on a connection until [`Person::resume`]. The other side is told through its mailbox.
    ///
    /// # Errors
    /// [`PersonError::Connect`]: `NotNow` when this side has suspended it already, `NoEpoch` when a session is to be opened
    /// first, `Ended`; [`PersonError::Conflict`], [`PersonError::Host`].
    pub async fn suspend(&mut self, id: &ConnectionId, reason: u8) -> Result<(), PersonError> {
        self.state.step(id, |_, _, _| Ok(Event::Suspend(reason))).await
    }

    /// Takes one's own suspension back.
    ///
    /// # Errors
    /// As [`Person::suspend`].
    pub async fn resume(&mut self, id: &ConnectionId, reason: u8) -> Result<(), PersonError> {
        self.state.step(id, |_, _, _| Ok(Event::Resume(reason))).await
    }

    /// Proposes the next agreement, with fresh keys of the person's. The one in force holds until the other side has signed.
    ///
    /// # Errors
    /// As [`Person::suspend`]; [`PersonError::Connect`] as [`Proposal::sign`].
    pub async fn renew(&mut self, id: &ConnectionId, renewal: Renewal) -> Result<(), PersonError> {
        let root = connections_root(&self.state.keyring);
        let step = move |kept: &Kept, keys: &Keys<'_>, now| {
            let (prior, role) = (kept.agreement()?, kept.role());
            let next = prior.serial().checked_add(1).ok_or(ConnectError::LimitExceeded)?;
            let next = root.keys(prior.connection_id().as_bytes(), next)?;
            let sign = |keys: &PartyKeys| Proposal::sign(prior, role, renewal, &next, now, keys.sign());
            keys.with(prior, role, sign).map(Event::Propose)
        };
        self.state.step(id, step).await
    }

    /// Says of the terms that the other side proposes whether they are the same as those in force, narrower, or perhaps wider:
    /// `held` and `proposed` are the terms as bytes, as the digests in the agreement and in the proposal say; `held` are what
    /// [`Person::terms`] gives once they were put in force, for they may have been narrowed since. What they name is read by the
    /// words in force. Terms of another party are wider.
    ///
    /// # Errors
    /// [`PersonError::Connect`]: `NotNow` when nothing is proposed; [`PersonError::Unexpected`] for other bytes, or no terms;
    /// [`PersonError::Rule`] for a permission that could not be given, such as one with words that are not adopted.
    pub fn compare_terms(&self, id: &ConnectionId, held: &[u8], proposed: &[u8]) -> Result<TermsDiff, PersonError> {
        let Row { kept, .. } = self.state.row(id)?;
        let agreement = kept.agreement()?;
        let proposal = kept.connection().proposal().filter(|proposal| proposal.by() != kept.role());
        let proposal = proposal.ok_or(ConnectError::NotNow)?;
        let words = self.policy().vocabulary();
        let terms = |bytes: &[u8], digest: Digest| {
            let terms = Terms::from_bytes(bytes).ok().filter(|_| self::digest(bytes) == digest);
            let terms = terms.ok_or(PersonError::Unexpected)?;
            // An unknown word means nothing, and would pass for less than anything.
            let mut policy = Policy::new(words.clone());
            for permission in terms.permissions() {
                policy.apply(permission.clone(), &Maker::Person)?;
            }
            Ok::<_, PersonError>(terms)
        };
        let in_force = self.state.terms_of(id)?.filter(|held| held.agreement == agreement.hash());
        let in_force = in_force.map_or(agreement.terms(), |held| digest(&held.terms.to_bytes()));
        let (held, proposed) = (terms(held, in_force)?, terms(proposed, proposal.content().terms())?);
        let is_same_party = held.party() == proposed.party();
        Ok(if is_same_party { terms_diff(words, &held, &proposed) } else { TermsDiff::Widening })
    }

    /// Agrees to what the other side proposed, after the person has seen what changes: [`Standing::asked`]. A session under the
    /// new agreement is to be opened next, since its keys are for messages: [`Person::call`].
    ///
    /// # Errors
    /// As [`Person::suspend`]; `NotNow` when nothing is proposed.
    pub async fn agree(&mut self, id: &ConnectionId) -> Result<(), PersonError> {
        let step = |kept: &Kept, keys: &Keys<'_>, _| {
            let (prior, role) = (kept.agreement()?, kept.role());
            let proposal = kept.connection().proposal().ok_or(ConnectError::NotNow)?;
            keys.with(prior, role, |keys| proposal.agree(prior, keys.sign())).map(Event::Agree)
        };
        self.state.step(id, step).await
    }

    /// Does not agree to what the other side proposed: the agreement in force stays.
    ///
    /// # Errors
    /// As [`Person::agree`].
    pub async fn decline(&mut self, id: &ConnectionId) -> Result<(), PersonError> {
        self.state.step(id, |_, _, _| Ok(Event::Decline)).await
    }

    /// Ends a connection for good. From the commit on nothing of the other side is accepted but its receipt, for which
    /// the mailbox stays until then, at most 30 days: [`Person::collect`]. At the host its capabilities are withdrawn, those of
    /// grants too; whoever was granted a dataset has read it, and [`Person::revoke`] gives that new keys.
    ///
    /// What its terms permit ([`Person::put_in_force`]) is withdrawn in the same commit, and grants that reach a field which is
    /// lost by that are taken back; who keeps one on that dataset needs [`Person::handover`]. Rules that the person made otherwise
    /// stay.
    ///
    /// Safe to repeat: what an interruption left to do at the host is done.
    ///
    /// # Errors
    /// [`PersonError::Connect`], [`PersonError::Conflict`], [`PersonError::Host`].
    pub async fn end(&mut self, id: &ConnectionId, reason: EndReason) -> Result<(), PersonError> {
        let open = &mut self.state;
        let row = open.row(id)?;
        if row.kept.stage() == Stage::Ended {
            // By time alone, perhaps, and then its terms hold until now.
            let (now, mut change) = (system::now(), open.change());
            let lapsed = open.lapse(&mut change, id, &row.party, now)?;
            open.take_back(change, &lapsed, now).await?;
        } else {
            let step = move |kept: &Kept, keys: &Keys<'_>, now| {
                let (agreement, role) = (kept.agreement()?, kept.role());
                let sign = |keys: &PartyKeys| Termination::sign(agreement, role, reason, now, keys.sign());
                keys.with(agreement, role, sign).map(Event::Terminate)
            };
            open.step(id, step).await?;
        }
        self.close(id).await
    }

    /// Leaves the other side a message, which it may fetch until `expires`, within 30 days.
    ///
    /// # Errors
    /// As [`Person::suspend`]; [`PersonError::Connect`] with `Expired` or `LimitExceeded`.
    pub async fn leave(
        &mut self,
        id: &ConnectionId,
        media: &str,
        content: &[u8],
        expires: Timestamp,
    ) -> Result<(), PersonError> {
        let (mut rng, now) = (system::rng(), system::now());
        let open = &mut self.state;
        let mut row = open.row(id)?;
        let message = row.kept.leave(media, content, now, expires, &mut rng)?;
        let before = row.kept.chain().len();
        open.write(row, before, vec![message], Vec::new(), now).await
    }

    /// Tells the other side where the person's mailbox is and what was sealed, and has the host admit it there: after a move to
    /// another host, and whenever the host was interrupted. Safe to repeat.
    ///
    /// # Errors
    /// As [`Person::suspend`].
    pub async fn announce(&mut self, id: &ConnectionId) -> Result<(), PersonError> {
        let (mut rng, now) = (system::rng(), system::now());
        let open = &mut self.state;
        let mut row = open.row(id)?;
        open.admit(&row, now).await?;
        let message = row.kept.tell(open.owner.origin(), row.deposit.to_bytes(), now, &mut rng)?;
        let before = row.kept.chain().len();
        open.write(row, before, vec![message], Vec::new(), now).await
    }

    /// Fetches what the other side left, opens it, and does what it says about the connection: that and its log entries are in
    /// the box before this gives anything, and the host's copies go after that. What arrived in another order than it was sent,
    /// or not at all, shows in [`Mail::arrival`].
    ///
    /// # Errors
    /// [`PersonError::Connect`] with `Ended` when nothing is awaited any more; [`PersonError::NotFound`],
    /// [`PersonError::Conflict`], [`PersonError::Host`]. Nothing was taken then.
    pub async fn collect(&mut self, id: &ConnectionId) -> Result<Vec<Mail>, PersonError> {
        let (mut rng, now) = (system::rng(), system::now());
        let open = &mut self.state;
        let mut row = open.row(id)?;
        if !row.kept.listens() {
            return Err(ConnectError::Ended.into());
        }
        let (mut items, mut after) = (Vec::new(), 0);
        loop {
            let page = open.owner.mail(row.address, after, now).await?;
            // A host that gives the same again would hold us for ever.
            let Some(last) = page.last().map(|item| item.number).filter(|last| *last > after) else { break };
            (after, items) = (last, items.into_iter().chain(page).collect());
        }
        if items.is_empty() {
            return Ok(Vec::new());
        }
        let root = connections_root(&open.keyring);
        let keys = Keys::Root(&root);
        let (before, was) = (row.kept.chain().len(), row.kept.stage());
        let (mut all, mut messages, mut entries, mut upto, mut waits) = (Vec::new(), Vec::new(), Vec::new(), 0, false);
        for received in &items {
            let (mail, out) = row.kept.take(&received.body, &keys, now, &mut rng);
            messages.extend(out.messages);
            waits |= mail.content == Content::Refused(ConnectError::EpochUnknown);
            if !waits {
                upto = received.number;
            }
            if mail.arrival == Some(Arrival::Fork) {
                entries.push(open.entry(EntryKind::Alarm, &row, None, now));
            }
            all.push(mail);
        }
        if row.kept.stage() == Stage::Ended && was != Stage::Ended {
            entries.push(open.entry(EntryKind::Receipt, &row, row.kept.termination().map(digest), now));
        }
        if all.iter().any(|mail| mail.content == Content::Receipt) {
            entries.push(open.entry(EntryKind::Receipt, &row, row.kept.receipt().map(digest), now));
        }
        let address = row.address;
        let (ended, renewed) = (row.kept.stage() == Stage::Ended, row.kept.chain().len() > before);
        open.write(row, before, messages, entries, now).await?;
        if upto > 0 {
            open.owner.clear_mail(address, upto, now).await?;
        }
        if ended {
            self.close(id).await?;
        } else if renewed {
            // The other side may have named new keys.
            open.admit(&open.row(id)?, now).await?;
        }
        Ok(all)
    }

    /// Opens a session on a connection: gives the first message for the other side's endpoint.
    ///
    /// # Errors
    /// [`PersonError::Connect`]: `Ended`; [`PersonError::NotFound`].
    pub fn call(&self, id: &ConnectionId) -> Result<(Calling, Vec<u8>), PersonError> {
        self.call_under(id, |row| row.kept.connection().agreement())
    }

    /// The same under the agreement before, when the other side refused one under that in force: that it was agreed to may
    /// have been lost on the way, and is said again in a message when this session opens.
    ///
    /// # Errors
    /// As [`Person::call`]; `NotNow` when the other side is known to have the one in force.
    pub fn call_before(&self, id: &ConnectionId) -> Result<(Calling, Vec<u8>), PersonError> {
        self.call_under(id, |row| row.kept.connection().prior())
    }

    fn call_under(
        &self,
        id: &ConnectionId,
        which: impl Fn(&Row) -> Option<&Agreement>,
    ) -> Result<(Calling, Vec<u8>), PersonError> {
        let row = self.state.row(id)?;
        let gone = if row.kept.stage() == Stage::Ended { ConnectError::Ended } else { ConnectError::NotNow };
        let agreement = which(&row).ok_or(gone)?.clone();
        let keys = connections_root(&self.state.keyring).keys_for(&agreement, row.kept.role())?;
        let (calling, message) = deedbox_connect::Calling::start(&agreement, &keys, &mut system::rng())?;
        let step = Step::First(Box::new((calling, keys)));
        Ok((Calling { id: *id, party: row.party, agreement, step }, message))
    }

    /// Reads the other side's last answer: the session is open, and its keys for messages are in the box.
    ///
    /// # Errors
    /// [`PersonError::Connect`]; [`PersonError::Unexpected`] when a step was left out; [`PersonError::Conflict`].
    pub async fn called(&mut self, calling: Calling, body: &[u8]) -> Result<Channel, PersonError> {
        let (mut rng, now) = (system::rng(), system::now());
        let Calling { id, party, agreement, step } = calling;
        let Step::Second(called) = step else { return Err(PersonError::Unexpected) };
        let mut session = called.read(body).map_err(|failed| PersonError::Connect(failed.error))?;
        let open = &mut self.state;
        let mut row = open.row(&id)?;
        let root = connections_root(&open.keyring);
        let before = row.kept.chain().len();
        let Out { messages, .. } =
            row.kept.opened(&agreement, session.take_epoch(), &Keys::Root(&root), now, &mut rng)?;
        open.admit(&row, now).await?;
        open.write(row, before, messages, Vec::new(), now).await?;
        Ok(Channel { party, agreement, session })
    }

    /// Withdraws at the host what an ended connection had.
    async fn close(&mut self, id: &ConnectionId) -> Result<(), PersonError> {
        let now = system::now();
        let row = self.state.row(id)?;
        for granted in self.grants()?.iter().filter(|granted| granted.is_of(row.kept.chain())) {
            self.state.owner.revoke(granted.capability(), now).await?;
        }
        self.state.withdraw(&row, now).await
    }
}

impl<H: HostClient> Open<H> {
    /// The connection that `agreement` is of, verified from its first agreement on.
    pub(super) fn standing_of(&self, agreement: &Digest) -> Result<Kept, PersonError> {
        let named = |row: &Row| row.kept.chain().iter().any(|known| known.hash() == *agreement);
        self.rows()?.into_iter().find(named).map(|row| row.kept).ok_or(PersonError::NotFound)
    }

    /// Who is on the other side of a connection, and the agreement in force.
    pub(super) fn agreed(&self, id: &ConnectionId) -> Result<(Name, Agreement), PersonError> {
        let Row { party, kept, .. } = self.row(id)?;
        let agreement = kept.connection().agreement().ok_or(ConnectError::Ended)?;
        Ok((party, agreement.clone()))
    }

    /// Refuses what comes or goes in a session whose connection no longer stands for it.
    pub(super) fn permits(&self, channel: &Channel) -> Result<(), PersonError> {
        let row = self.row(&channel.agreement().connection_id())?;
        Ok(row.kept.permits(channel.agreement())?)
    }

    /// Notes a connection after first contact, and has the host admit the other side to its mailboxes.
    pub(super) async fn connect(
        &mut self,
        party: Name,
        own: Own,
        established: Established,
    ) -> Result<Channel, PersonError> {
        let (mut rng, now) = (system::rng(), system::now());
        let (agreement, contact) = (established.agreement, established.contact);
        let mut session = established.session;
        let epoch: Option<Epoch> = session.take_epoch();
        let kept = Kept::new(Role::Initiator, agreement.clone(), own.address, contact, epoch, now, &mut rng);
        let row = Row { party: party.clone(), address: own.address, deposit: own.deposit, kept };
        // The handshake is over: another device's commit is no reason to have no connection.
        let make = |open: &Self| {
            let entry = open.entry(EntryKind::Receipt, &row, Some(agreement.hash()), now);
            Ok((open.written(&row, 0, Vec::new(), vec![entry], now)?, ()))
        };
        self.write_with(now, make).await?;
        self.written.insert(agreement.connection_id());
        let row = self.row(&agreement.connection_id())?;
        self.admit(&row, now).await?;
        Ok(Channel { party, agreement, session })
    }

    fn entry(&self, kind: EntryKind, row: &Row, receipt: Option<Digest>, now: Timestamp) -> Entry {
        let mut entry = Entry::new(now, kind, Some(row.party.as_str()), self.policy_digest());
        entry.receipt = receipt;
        entry
    }

    /// One event of this side's.
    async fn step(
        &mut self,
        id: &ConnectionId,
        event: impl FnOnce(&Kept, &Keys<'_>, Timestamp) -> Result<Event, ConnectError>,
    ) -> Result<(), PersonError> {
        let (mut rng, now) = (system::rng(), system::now());
        let root = connections_root(&self.keyring);
        let keys = Keys::Root(&root);
        let mut row = self.row(id)?;
        if row.kept.stage() == Stage::Ended {
            return Err(ConnectError::Ended.into());
        }
        let before = row.kept.chain().len();
        let event = event(&row.kept, &keys, now)?;
        let Out { messages, .. } = row.kept.apply(event, &keys, now, &mut rng)?;
        let mut entries = Vec::new();
        if row.kept.stage() == Stage::Ended {
            entries.push(self.entry(EntryKind::Receipt, &row, row.kept.termination().map(digest), now));
        }
        let renewed = row.kept.chain().len() > before;
        self.write(row, before, messages, entries, now).await?;
        if renewed {
            self.admit(&self.row(id)?, now).await?;
        }
        Ok(())
    }

    /// Writes a connection in one commit: its state, agreements beyond the first `before`, log entries, and messages for the
    /// other side.
    async fn write(
        &mut self,
        row: Row,
        before: usize,
        messages: Vec<Vec<u8>>,
        entries: Vec<Entry>,
        now: Timestamp,
    ) -> Result<(), PersonError> {
        let id = row.kept.agreement()?.connection_id();
        let mut change = self.written(&row, before, messages, entries, now)?;
        let mut lapsed = Vec::new();
        if row.kept.stage() == Stage::Ended {
            lapsed = self.lapse(&mut change, &id, &row.party, now)?;
        }
        self.take_back(change, &lapsed, now).await?;
        self.written.insert(id);
        Ok(())
    }

    fn written(
        &self,
        row: &Row,
        before: usize,
        messages: Vec<Vec<u8>>,
        entries: Vec<Entry>,
        now: Timestamp,
    ) -> Result<Change, PersonError> {
        let id = row.kept.agreement()?.connection_id();
        let mut change = self.change();
        let dataset = self.dataset(CONNECTIONS)?;
        let mut put = |name: String, value: &Writer| -> Result<(), PersonError> {
            let record = Record::new(CONNECTIONS, 1, &name, item(value.as_slice())?)?;
            change.records.push((*dataset.id(), dataset.name_key().object_id(&name), record));
            Ok(())
        };
        put(format!("connection/{id}"), &row.encode())?;
        for agreement in row.kept.chain().iter().skip(before) {
            let mut value = Writer::new();
            value.bytes(agreement.bytes());
            put(format!("agreement/{id}/{}", agreement.serial()), &value)?;
        }
        // The first was logged by who made it, with the connection.
        let renewed: Vec<Digest> = row.kept.chain().iter().skip(before.max(1)).map(Agreement::hash).collect();
        for hash in renewed {
            change.log(self.entry(EntryKind::Receipt, row, Some(hash), now));
        }
        entries.into_iter().for_each(|entry| change.log(entry));
        let take = row.deposit.take;
        change.mail = messages.into_iter().map(|message| (take, dedupe(&message), message)).collect();
        Ok(change)
    }

    /// Whether no connection can have a newer state than the one here.
    pub(super) fn is_newest(&self) -> bool {
        self.pinned || self.connections().is_ok_and(|ids| ids.iter().all(|id| self.written.contains(id)))
    }

    /// Has a host let in whom the box's connections need, by what the box says, and nobody by one that ended.
    pub(super) async fn admit_connections(&self, now: Timestamp) -> Result<Vec<CapabilityId>, PersonError> {
        let mut known = Vec::new();
        for row in self.rows()? {
            known.push(row.deposit.capability);
            if row.kept.stage() == Stage::Ended {
                self.withdraw(&row, now).await?;
            } else {
                self.admit(&row, now).await?;
            }
        }
        Ok(known)
    }

    fn connections(&self) -> Result<Vec<ConnectionId>, PersonError> {
        let dataset = self.dataset(CONNECTIONS)?;
        let shelf = self.shelves.get(dataset.id()).ok_or(PersonError::Damaged)?;
        let records = shelf.records(dataset)?;
        let ids = records.iter().filter_map(|record| record.name().strip_prefix("connection/"));
        ids.map(|id| ConnectionId::parse_hex(id).ok_or(PersonError::Damaged)).collect()
    }

    fn rows(&self) -> Result<Vec<Row>, PersonError> {
        self.connections()?.iter().map(|id| self.row(id)).collect()
    }

    fn row(&self, id: &ConnectionId) -> Result<Row, PersonError> {
        let (mut rng, now) = (system::rng(), system::now());
        let dataset = self.dataset(CONNECTIONS)?;
        let shelf = self.shelves.get(dataset.id()).ok_or(PersonError::Damaged)?;
        let record = shelf.record(dataset, &format!("connection/{id}"))?.ok_or(PersonError::NotFound)?;
        let mut documents = Vec::new();
        while let Some(record) = shelf.record(dataset, &format!("agreement/{id}/{}", documents.len() + 1))? {
            documents.push(record.value().as_item().as_bytes().ok_or(PersonError::Damaged)?.to_vec());
        }
        let chain = Agreement::verify_chain(documents.iter().map(Vec::as_slice))?;
        if chain.iter().any(|agreement| agreement.connection_id() != *id) {
            return Err(PersonError::Damaged);
        }
        // Of a box that was opened without pins nobody knows how old it is.
        let newest = self.pinned || self.written.contains(id);
        let source = if newest { Source::Newest } else { Source::BackUp };
        let (party, address, deposit, kept) = Row::decode(record.value().as_item()).ok_or(PersonError::Damaged)?;
        let mut kept = Kept::load(&kept, chain, source, &mut rng)?;
        kept.tick(&Keys::Root(&connections_root(&self.keyring)), now, &mut rng);
        Ok(Row { party, address, deposit, kept })
    }

    /// Lets the other side push into the person's mailbox and take from its own. Safe to repeat.
    async fn admit(&self, row: &Row, now: Timestamp) -> Result<(), PersonError> {
        let agreement = row.kept.agreement()?;
        let until = agreement.not_after().unwrap_or(Timestamp::from_secs(deedbox_store::MAX_SEQ));
        self.owner.put_alias(row.deposit.store, now).await?;
        let rights = vec![row.push(), row.take()];
        Ok(self.owner.put_capability(&row.capability(rights, until)?, now).await?)
    }

    /// What an ended connection still needs at the host: the other side fetches the last message, and who ended it gets the
    /// receipt, for 30 days.
    async fn withdraw(&self, row: &Row, now: Timestamp) -> Result<(), PersonError> {
        let ended_by = row.kept.tombstone().and_then(|tombstone| tombstone.by);
        let rights = match ended_by {
            Some(by) if by == row.kept.role() && row.kept.listens() => vec![row.push(), row.take()],
            Some(by) if by != row.kept.role() => vec![row.take()],
            _ => Vec::new(),
        };
        let until = row.kept.tombstone().map_or(now, |tombstone| tombstone.at).saturating_add_secs(CLOSING_SECS);
        if rights.is_empty() || now >= until {
            self.owner.revoke(row.deposit.capability, now).await?;
            return Ok(self.owner.clear_mail(row.address, deedbox_store::MAX_SEQ, now).await?);
        }
        Ok(self.owner.put_capability(&row.capability(rights, until)?, now).await?)
    }
}

/// What a person's side of a new connection is at the host.
pub(super) struct Own {
    address: MailboxId,
    deposit: Deposit,
}

impl Own {
    pub(super) fn generate() -> Self {
        let mut rng = system::rng();
        let deposit = Deposit {
            store: StoreName::generate(&mut rng),
            capability: CapabilityId::generate(&mut rng),
            take: MailboxId::generate(&mut rng),
        };
        Self { address: MailboxId::generate(&mut rng), deposit }
    }

    /// What the other side is told.
    pub(super) fn contact(&self, endpoint: &str) -> Contact {
        let deposit = self.deposit.to_bytes();
        Contact { address: self.address, endpoint: endpoint.to_owned(), deposit, devices: Vec::new() }
    }
}

/// A connection as the box has it.
struct Row {
    party: Name,
    address: MailboxId,
    deposit: Deposit,
    kept: Kept,
}

impl Row {
    /// ```cddl
    /// connection = [party: tstr, address: b16, deposit: bstr, kept: bstr]
    /// ```
    fn encode(&self) -> Writer {
        let kept = self.kept.to_stored();
        let mut writer = Writer::with_capacity(kept.len().saturating_add(256));
        writer.array(4).text(self.party.as_str());
        self.address.encode(&mut writer);
        writer.bytes(&self.deposit.to_bytes()).bytes(&kept);
        writer
    }

    fn decode(item: Item<'_>) -> Option<(Name, MailboxId, Deposit, zeroize::Zeroizing<Vec<u8>>)> {
        let [party, address, deposit, kept] = item.as_array()?.exactly()?;
        let kept = zeroize::Zeroizing::new(kept.as_bytes()?.to_vec());
        Some((Name::decode(party)?, MailboxId::decode(address)?, Deposit::parse(deposit.as_bytes()?)?, kept))
    }

    fn push(&self) -> Right {
        Right::new(Target::Mailbox(self.address), Ops::PUSH)
    }

    fn take(&self) -> Right {
        Right::new(Target::Mailbox(self.deposit.take), Ops::TAKE)
    }

    fn capability(&self, rights: Vec<Right>, until: Timestamp) -> Result<Capability, PersonError> {
        let peer = match self.kept.role() {
            Role::Initiator => Role::Responder,
            Role::Responder => Role::Initiator,
        };
        let key = self.kept.agreement()?.party(peer).sign().as_ed25519().map(|key| *key.as_bytes());
        let holder = key.ok_or(PersonError::Unexpected)?;
        let Deposit { capability, store, .. } = self.deposit;
        Ok(Capability::new(capability, holder, store, rights, Timestamp::from_secs(0), until))
    }
}

fn digest(document: &[u8]) -> Digest {
    Digest::from_bytes(deedbox_cose::sha256(document))
}

macro_rules! opaque {
    ($($name:ident),*) => {$(
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($name)).finish_non_exhaustive()
            }
        }
    )*};
}
opaque!(Calling, Standing);

/// How long a receipt is awaited.
const CLOSING_SECS: u64 = 30 * 86_400;
