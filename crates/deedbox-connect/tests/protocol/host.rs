//! Two stores and a host that drops, repeats, reorders and replays, and that gives back old copies of either store.
//!
//! All that is ever sent stays with the host, which delivers any of it at any time. A store is written after each step and
//! read before the next one; a copy of it may come back later, as a back-up does. Whatever happens: a store takes no message
//! twice, no nonce is used twice, there is no session but under an agreement that both have signed, and what ended takes nothing.

use std::{
    collections::{BTreeSet, HashSet},
    sync::{Arc, LazyLock},
};

use deedbox_cbor::{Limits, Order, read};
use deedbox_connect::{
    Agreement, Body, Calling, ConnectError, Connection, ConnectionsRoot, Effect, EndReason, Event, LiveSession,
    Mailbox, PartyKeys, Proposal, Receiving, Renewal, Role, Stage, Termination, Wish,
};
use deedbox_crypto::secret::SecretBytes;
use deedbox_model::{Digest, MailboxId, Timestamp};
use deedbox_testkit::rng::SeededRng;
use rand_core::Rng as _;

use super::met::{Council, NOW, data, met};

/// What one side has stored. A copy of it is a back-up.
#[derive(Clone)]
struct Store {
    connection: Vec<u8>,
    chain: Vec<Agreement>,
    mailbox: Option<([u8; 8], Vec<u8>)>,
    session: Option<Vec<u8>>,
    /// Data that was taken, and which sealed messages.
    taken: BTreeSet<String>,
    numbers: BTreeSet<([u8; 8], u64)>,
}

/// Something that the host has.
#[derive(Clone)]
enum Parcel {
    Record(Vec<u8>),
    Sealed(Vec<u8>),
}

struct World {
    rng: SeededRng,
    stores: [Store; 2],
    backups: [Vec<Store>; 2],
    piles: [Vec<Parcel>; 2],
    /// First and third messages of handshakes that were.
    calls: Vec<(Vec<u8>, Vec<u8>)>,
    nonces: HashSet<Vec<u8>>,
    /// Hashes of agreements that both have signed.
    signed: HashSet<Digest>,
    sent: usize,
    now: Timestamp,
}

struct Given {
    root: ConnectionsRoot,
    council: Arc<PartyKeys>,
    stores: [Store; 2],
}

static GIVEN: LazyLock<Given> = LazyLock::new(|| {
    let mut rng = SeededRng::new(1);
    let root = ConnectionsRoot::from_secret(SecretBytes::from_bytes([7; 32]));
    let (Council { keys, .. }, ours, theirs) = met(&root, Wish::default(), &mut rng);
    let mut address = [1, 2].map(|byte| MailboxId::from_bytes([byte; 16]));
    let stores = [(Role::Initiator, ours), (Role::Responder, theirs)].map(|(role, mut established)| {
        let [own, peer] = address;
        address.reverse();
        let agreement = established.agreement;
        let mut mailbox = Mailbox::new(&agreement, role, own, peer, &mut rng);
        mailbox.add(established.session.take_epoch().unwrap(), NOW);
        Store {
            connection: Connection::active(role, agreement.clone()).to_stored(),
            chain: vec![agreement],
            mailbox: Some((*mailbox.device(), mailbox.to_stored().to_vec())),
            session: Some(established.session.into_stored().to_vec()),
            taken: BTreeSet::new(),
            numbers: BTreeSet::new(),
        }
    });
    Given { root, council: Arc::new(keys), stores }
});

/// The keys of a side under an agreement.
fn keys_of(side: usize, agreement: &Agreement) -> Arc<PartyKeys> {
    /// The person's under the first one, which most runs stay with.
    static FIRST: LazyLock<Arc<PartyKeys>> =
        LazyLock::new(|| Arc::new(GIVEN.root.keys_for(&GIVEN.stores[0].chain[0], Role::Initiator).unwrap()));
    match side {
        1 => Arc::clone(&GIVEN.council),
        _ if agreement.initiator() == GIVEN.stores[0].chain[0].initiator() => Arc::clone(&FIRST),
        _ => Arc::new(GIVEN.root.keys_for(agreement, Role::Initiator).unwrap()),
    }
}

impl Store {
    fn connection(&self) -> Connection {
        Connection::load(&self.connection, &self.chain).unwrap()
    }

    fn mailbox(&self) -> Option<Mailbox> {
        let (device, stored) = self.mailbox.as_ref()?;
        self.chain.iter().rev().find_map(|agreement| Mailbox::load(stored, agreement, *device).ok())
    }

    fn keep(&mut self, mailbox: &Mailbox) {
        self.mailbox = Some((*mailbox.device(), mailbox.to_stored().to_vec()));
    }
}

impl World {
    fn new(seed: u64) -> Self {
        let first = GIVEN.stores[0].chain[0].hash();
        Self {
            rng: SeededRng::new(seed),
            stores: GIVEN.stores.clone(),
            backups: [vec![GIVEN.stores[0].clone()], vec![GIVEN.stores[1].clone()]],
            piles: [vec![], vec![]],
            calls: vec![],
            nonces: HashSet::new(),
            signed: HashSet::from([first]),
            sent: 0,
            now: NOW,
        }
    }

    fn below(&mut self, n: usize) -> usize {
        usize::try_from(self.rng.next_u32()).unwrap() % n
    }

    /// A nonce is a stream and a number under one base, or an encapsulated key.
    fn fresh_nonce(&mut self, parcel: &Parcel) {
        let (Parcel::Record(bytes) | Parcel::Sealed(bytes)) = parcel;
        let item = read(bytes, Order::Canonical, &Limits::new(bytes.len())).unwrap();
        let item = item.as_tag().map_or(item, |(_, inner)| inner);
        let parts = item.as_array().unwrap();
        let nonce = match parcel {
            Parcel::Record(_) => parts.get(0).unwrap().as_bytes().unwrap().to_vec(),
            Parcel::Sealed(_) => parts.get(1).unwrap().bytes().to_vec(),
        };
        assert!(nonce.len() > 16 && self.nonces.insert(nonce), "a nonce is used once");
    }

    fn send(&mut self, from: usize, parcel: Parcel) {
        self.fresh_nonce(&parcel);
        self.piles[1 - from].push(parcel);
    }

    fn text(&mut self) -> Body {
        self.sent += 1;
        data(&format!("{}", self.sent))
    }

    fn record(&mut self, side: usize) {
        let Some(stored) = self.stores[side].session.clone() else { return };
        let body = self.text();
        // Loaded for each record, or for three: each loading has a stream of its own.
        let Ok(mut session) = LiveSession::load(&stored, self.now, &mut self.rng) else { return };
        for _ in 0..=self.below(2) {
            let record = session.seal(&body, self.now).unwrap();
            self.send(side, Parcel::Record(record));
        }
    }

    fn sealed(&mut self, side: usize, body: &Body) -> bool {
        let Some(mut mailbox) = self.stores[side].mailbox() else { return false };
        let expires = self.now.saturating_add_secs(86_400);
        match mailbox.seal(body, self.now, expires, &mut self.rng) {
            Ok(message) => {
                // Stored before it leaves.
                self.stores[side].keep(&mailbox);
                self.send(side, Parcel::Sealed(message));
                true
            }
            Err(error) => {
                assert_eq!(error, ConnectError::NoEpoch);
                false
            }
        }
    }

    /// One event: all of it is stored, or nothing.
    fn apply(&mut self, side: usize, event: Event) -> Result<(), ConnectError> {
        let before = self.stores[side].clone();
        let connection = before.connection();
        let ended = connection.stage() == Stage::Ended;
        let (next, effects) = connection.apply(event, self.now).map_err(|(_, error)| {
            assert!(!ended || error == ConnectError::Ended);
            error
        })?;
        assert!(!ended, "what ended takes nothing");
        if let Some(agreement) = next.agreement().filter(|next| before.chain.last() != Some(*next)) {
            let chain = before.chain.iter().chain([agreement]).map(Agreement::bytes);
            assert!(Agreement::verify_chain(chain).is_ok());
            self.signed.insert(agreement.hash());
            self.stores[side].chain.push(agreement.clone());
        }
        let ends = next.stage() == Stage::Ended;
        for effect in effects {
            match effect {
                // Nobody can be told: a session comes first.
                Effect::Send(body) if !self.sealed(side, &body) && !ends => {
                    self.stores[side] = before;
                    return Err(ConnectError::NoEpoch);
                }
                Effect::EndSessions(_) => {
                    let mut mailbox = self.stores[side].mailbox().unwrap();
                    mailbox.renew(next.agreement().unwrap()).unwrap();
                    self.stores[side].keep(&mailbox);
                    self.stores[side].session = None;
                }
                Effect::Wipe => (self.stores[side].mailbox, self.stores[side].session) = (None, None),
                _ => {}
            }
        }
        self.stores[side].connection = next.to_stored();
        Ok(())
    }

    fn take(&mut self, side: usize, body: Body) {
        let text = match &body {
            Body::Data(data) => Some(String::from_utf8(data.content().to_vec()).unwrap()),
            _ => None,
        };
        if self.apply(side, Event::Received(body)).is_ok()
            && let Some(text) = text
        {
            self.stores[side].taken.insert(text);
        }
    }

    fn deliver(&mut self, side: usize) {
        if self.piles[side].is_empty() {
            return;
        }
        // The newest as often as any other: else it would all be replays.
        let last = self.piles[side].len() - 1;
        let number = if self.below(2) == 0 { last } else { self.below(last + 1) };
        match self.piles[side][number].clone() {
            Parcel::Record(record) => {
                let Some(stored) = self.stores[side].session.clone() else { return };
                let Ok(mut session) = LiveSession::load(&stored, self.now, &mut self.rng) else { return };
                assert!(self.signed.contains(&session.agreement()));
                if let Ok(body) = session.open(&record, self.now) {
                    let again = session.open(&record, self.now);
                    assert_eq!(again.unwrap_err(), ConnectError::Replay);
                    self.stores[side].session = Some(session.into_stored().to_vec());
                    self.take(side, body);
                }
            }
            Parcel::Sealed(message) => {
                let Some(mut mailbox) = self.stores[side].mailbox() else { return };
                let Ok(hash) = mailbox.agreement_of(&message) else { return };
                let agreement = self.stores[side].chain.iter().find(|agreement| agreement.hash() == hash).cloned();
                let agreement = agreement.expect("an epoch is of an agreement that is known");
                let now = self.now;
                let Ok(opened) = mailbox.open(&message, &keys_of(side, &agreement), now) else { return };
                self.stores[side].keep(&mailbox);
                let fresh = self.stores[side].numbers.insert((opened.device, opened.number));
                assert!(fresh, "a store takes no message twice");
                self.take(side, opened.body);
            }
        }
    }

    /// A handshake under what the Responder knows, of which the last message may be lost.
    fn handshake(&mut self) {
        let [caller, answerer] = [0, 1].map(|side| self.stores[side].connection());
        let Some(agreement) = [caller.agreement(), caller.prior()][self.below(2)].cloned() else { return };
        let (now, rng) = (self.now, &mut self.rng);
        let party = GIVEN.stores[1].chain[0].responder();
        let known = |kid: &[u8]| {
            let both = [answerer.agreement(), answerer.prior()].into_iter().flatten();
            let mut fits = both.filter(|agreement| agreement.initiator().auth().thumbprint().as_bytes() == kid);
            fits.next().cloned()
        };
        let keys = keys_of(0, &agreement);
        let (calling, one) = Calling::start(&agreement, &keys, rng).unwrap();
        let (receiving, two) = Receiving::start(party, &GIVEN.council, &one, rng).unwrap();
        let (called, three) = calling.answer(&two, &keys, now, rng).unwrap();
        let stale = self.calls.last().cloned();
        self.calls.push((one, three.clone()));
        // What was said in another handshake opens nothing.
        if let Some((one, three)) = stale.filter(|_| self.below(4) == 0) {
            let (receiving, _) = Receiving::start(party, &GIVEN.council, &one, &mut self.rng).unwrap();
            assert!(receiving.finish(&three, known, now, &mut self.rng).is_err());
        }
        let Ok((found, session, four)) = receiving.finish(&three, known, now, &mut self.rng) else { return };
        assert_eq!(found, agreement);
        self.opened(1, session);
        if self.below(4) > 0 {
            self.opened(0, called.read(&four).unwrap());
        }
    }

    fn opened(&mut self, side: usize, mut session: LiveSession) {
        let hash = session.agreement();
        assert!(self.signed.contains(&hash), "there is no session but under an agreement that both have signed");
        let Some(mut mailbox) = self.stores[side].mailbox() else { return };
        mailbox.add(session.take_epoch().unwrap(), self.now);
        self.stores[side].keep(&mailbox);
        self.stores[side].session = Some(session.into_stored().to_vec());
        if self.apply(side, Event::Opened(hash)).is_err() {
            self.stores[side].session = None;
        }
    }

    /// A back-up comes back: without its session, and as another device.
    fn restore(&mut self, side: usize) {
        let number = self.below(self.backups[side].len());
        let mut store = self.backups[side][number].clone();
        store.session = None;
        if let Some((device, stored)) = store.mailbox.take() {
            let restored =
                |agreement: &Agreement| Mailbox::restored(&stored, agreement, &mut SeededRng::new(9)).is_ok();
            let agreement = store.chain.iter().rev().find(|agreement| restored(agreement)).unwrap();
            let mailbox = Mailbox::restored(&stored, agreement, &mut self.rng).unwrap();
            assert_ne!(*mailbox.device(), device);
            store.keep(&mailbox);
        }
        self.stores[side] = store;
    }

    fn step(&mut self) {
        let side = self.below(2);
        let connection = self.stores[side].connection();
        let role = connection.role();
        let event = match self.below(40) {
            0..4 => return self.record(side),
            4..9 => {
                let body = self.text();
                self.sealed(side, &body);
                return;
            }
            9..22 => return self.deliver(side),
            22..25 => return self.handshake(),
            25..27 => {
                let copy = self.stores[side].clone();
                return self.backups[side].push(copy);
            }
            27 => return self.restore(side),
            28 => {
                self.now = self.now.saturating_add_secs([60, 7_200, 90_000][self.below(3)]);
                return;
            }
            29 | 30 => Event::Suspend(0),
            31..33 => Event::Resume(0),
            33 => Event::Unknown,
            34 | 35 => {
                let Some(prior) = connection.agreement() else { return };
                let terms = Digest::from_bytes([u8::try_from(self.below(256)).unwrap(); 32]);
                let renewal = Renewal { terms, permissions: vec![], not_after: None };
                let proposal = match role {
                    Role::Initiator => {
                        let next = GIVEN.root.keys(prior.connection_id().as_bytes(), prior.serial() + 1).unwrap();
                        Proposal::sign(prior, role, renewal, &next, self.now, keys_of(0, prior).sign())
                    }
                    Role::Responder => {
                        let keys = &GIVEN.council;
                        Proposal::sign(prior, role, renewal, keys, self.now, keys.sign())
                    }
                };
                Event::Propose(proposal.unwrap())
            }
            36..38 => {
                let (Some(prior), Some(proposal)) = (connection.agreement(), connection.proposal()) else { return };
                let Ok(agreement) = proposal.agree(prior, keys_of(side, prior).sign()) else { return };
                Event::Agree(agreement)
            }
            38 => Event::Decline,
            _ if self.below(6) == 0 => {
                let Some(agreement) = connection.agreement() else { return };
                let keys = keys_of(side, agreement);
                let ended = Termination::sign(agreement, role, EndReason::Withdrawn, self.now, keys.sign());
                Event::Terminate(ended.unwrap())
            }
            _ => Event::Tick,
        };
        let _ = self.apply(side, event);
    }
}

#[test]
fn two_stores_keep_what_they_must_whatever_the_host_does() {
    let runs = std::env::var("DEEDBOX_RUNS").ok().and_then(|runs| runs.parse().ok()).unwrap_or(2_000);
    let (mut taken, mut ended, mut renewed) = (0, 0, 0);
    for seed in 0..runs {
        let mut world = World::new(seed);
        for _ in 0..40 {
            world.step();
        }
        for store in &world.stores {
            taken += store.taken.len();
            ended += usize::from(store.connection().stage() == Stage::Ended);
            renewed += store.chain.len() - 1;
        }
    }
    // It was no idle run.
    assert!(taken > 0 && ended > 0 && renewed > 0);
    println!("{runs} runs: {taken} messages taken, {renewed} renewals, {ended} ends");
}
