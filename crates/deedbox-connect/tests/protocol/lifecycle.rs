//! Two sides of a connection renew, suspend, resume and end it, with a host in between that drops, repeats and reorders.

use std::sync::LazyLock;

use deedbox_connect::{
    Agreement, Body, Connection, ConnectionsRoot, Effect, EndReason, Event, Invitation, PartyKeys, Proposal, Renewal,
    Role, Stage, Termination, Wish,
};
use deedbox_crypto::secret::SecretBytes;
use deedbox_model::Digest;
use deedbox_testkit::rng::SeededRng;
use proptest::prelude::*;

use super::met::{Council, NOW, later};

/// Who met: the person's root, the council's keys, their invitation and first agreement.
struct Met {
    root: ConnectionsRoot,
    keys: PartyKeys,
    invitation: Invitation,
    agreement: Agreement,
}

fn met(seed: u64, wish: Wish) -> Met {
    let root = ConnectionsRoot::from_secret(SecretBytes::from_bytes([7; 32]));
    let (Council { keys, invited }, person, _) = super::met::met(&root, wish, &mut SeededRng::new(seed));
    Met { root, keys, invitation: invited.invitation().clone(), agreement: person.agreement }
}

static MET: LazyLock<Met> = LazyLock::new(|| met(1, Wish::default()));

fn terms(byte: u8) -> Renewal {
    Renewal { terms: Digest::from_bytes([byte; 32]), permissions: vec![], not_after: None }
}

/// `by` proposes to renew `prior`: the person with fresh keys, the council with the same.
fn propose(prior: &Agreement, by: Role, renewal: Renewal) -> Proposal {
    match by {
        Role::Initiator => {
            let keys = MET.root.keys(prior.connection_id().as_bytes(), prior.serial() + 1).unwrap();
            let signer = MET.root.keys_for(prior, by).unwrap();
            Proposal::sign(prior, by, renewal, &keys, NOW, signer.sign()).unwrap()
        }
        Role::Responder => Proposal::sign(prior, by, renewal, &MET.keys, NOW, MET.keys.sign()).unwrap(),
    }
}

fn agree(prior: &Agreement, by: Role, proposal: &Proposal) -> Agreement {
    match by {
        Role::Initiator => proposal.agree(prior, MET.root.keys_for(prior, by).unwrap().sign()).unwrap(),
        Role::Responder => proposal.agree(prior, MET.keys.sign()).unwrap(),
    }
}

fn terminate(agreement: &Agreement, by: Role) -> Termination {
    let sign = |keys: &PartyKeys| Termination::sign(agreement, by, EndReason::Withdrawn, NOW, keys.sign()).unwrap();
    match by {
        Role::Initiator => sign(&MET.root.keys_for(agreement, by).unwrap()),
        Role::Responder => sign(&MET.keys),
    }
}

fn go(connection: Connection, event: Event) -> (Connection, Vec<Effect>) {
    connection.apply(event, NOW).map_err(|(_, error)| error).unwrap()
}

fn refused(connection: &Connection, event: Event) -> &'static str {
    let (after, error) = connection.clone().apply(event, NOW).unwrap_err();
    assert_eq!(after, *connection);
    error.code()
}

fn sent(effects: &[Effect]) -> Body {
    let Some(Effect::Send(body)) = effects.first() else { panic!("something is sent first") };
    body.clone()
}

#[test]
fn first_contact_leads_to_one_agreement_or_none() {
    let invited = Connection::invited(&MET.invitation);
    let accepting = Connection::accepting(&MET.invitation, MET.agreement.hash());
    assert_eq!((invited.stage(), accepting.stage()), (Stage::Invited, Stage::Accepting));
    let stranger = met(2, Wish::default());
    for waiting in [&invited, &accepting] {
        assert_eq!(refused(waiting, Event::Agreed(stranger.agreement.clone())), "AgreementMismatch");
        assert_eq!(refused(waiting, Event::Received(Body::Knock)), "NotNow");
        let (active, effects) = go(waiting.clone(), Event::Agreed(MET.agreement.clone()));
        assert_eq!((active.stage(), effects), (Stage::Active, vec![]));
        assert_eq!(active.agreement(), Some(&MET.agreement));
        let (ended, effects) = go(waiting.clone(), Event::Refused);
        assert_eq!((ended.stage(), effects), (Stage::Ended, vec![Effect::Wipe]));
        assert_eq!(ended.tombstone().unwrap().reason, EndReason::Refused);
        assert_eq!(refused(&ended, Event::Agreed(MET.agreement.clone())), "Ended");
    }
    // A check code, and its five minutes.
    let (confirming, _) = go(invited, Event::CodeAwaited(MET.agreement.clone(), later(300)));
    assert_eq!(confirming.stage(), Stage::Confirming);
    assert_eq!(go(confirming.clone(), Event::Agreed(MET.agreement.clone())).0.stage(), Stage::Active);
    let (ended, _) = confirming.apply(Event::Agreed(MET.agreement.clone()), later(300)).unwrap();
    assert_eq!(ended.tombstone().unwrap().reason, EndReason::Expired);
    // Who accepted may come again for 30 days.
    let grace = later(3600 + 30 * 86_400);
    let wait = |secs: u64| accepting.clone().apply(Event::Tick, grace.saturating_sub_secs(secs)).unwrap().0.stage();
    assert_eq!((wait(1), wait(0)), (Stage::Accepting, Stage::Ended));
}

#[test]
fn either_side_renews_and_the_old_sessions_end() {
    for by in [Role::Initiator, Role::Responder] {
        let other = if by == Role::Initiator { Role::Responder } else { Role::Initiator };
        let ours = Connection::active(by, MET.agreement.clone());
        let theirs = Connection::active(other, MET.agreement.clone());
        let proposal = propose(&MET.agreement, by, terms(8));
        let (ours, effects) = go(ours, Event::Propose(proposal.clone()));
        assert_eq!(ours.stage(), Stage::Renewing);
        let (theirs, effects) = go(theirs, Event::Received(sent(&effects)));
        let [Effect::Ask(changes)] = effects[..] else { panic!("the person is asked") };
        assert!(changes.terms && changes.must_ask() && !changes.permissions && !changes.responder_keys);
        assert_eq!(changes.initiator_keys, by == Role::Initiator);

        let agreed = agree(&MET.agreement, other, theirs.proposal().unwrap());
        let (theirs, effects) = go(theirs, Event::Agree(agreed.clone()));
        assert_eq!(theirs.prior(), Some(&MET.agreement));
        let (ours, effects) = go(ours, Event::Received(sent(&effects)));
        assert_eq!(effects, [Effect::EndSessions(MET.agreement.hash()), Effect::OpenSession]);
        assert_eq!((ours.agreement(), ours.stage()), (Some(&agreed), Stage::Active));
        assert_eq!(
            (agreed.serial(), agreed.prior(), agreed.inv()),
            (2, Some(MET.agreement.hash()), MET.agreement.inv())
        );
        let (theirs, effects) = go(theirs, Event::Opened(agreed.hash()));
        assert_eq!(effects, [Effect::EndSessions(MET.agreement.hash())]);
        assert_eq!((theirs.agreement(), theirs.prior()), (Some(&agreed), None));
        // Signed with the keys that were agreed on before; it stands on its predecessor alone.
        assert_eq!(Agreement::verify_renewal(&MET.agreement, agreed.bytes()).unwrap(), agreed);
        assert_eq!(Agreement::verify_renewal(&agreed, agreed.bytes()).unwrap_err().code(), "AgreementMismatch");
    }
}

#[test]
fn new_keys_alone_need_not_be_asked_for() {
    let renewal = Renewal { terms: MET.agreement.terms(), permissions: vec![], not_after: None };
    let proposal = propose(&MET.agreement, Role::Initiator, renewal);
    assert!(!proposal.content().changes(&MET.agreement).must_ask());
    assert!(proposal.content().changes(&MET.agreement).initiator_keys);
}

#[test]
fn nobody_renews_for_the_other() {
    let council = Connection::active(Role::Responder, MET.agreement.clone());
    let own = propose(&MET.agreement, Role::Responder, terms(8));
    assert_eq!(refused(&council, Event::Received(Body::Propose(own.bytes().to_vec()))), "Rejected");
    // A half-signed renewal is no agreement.
    let half = propose(&MET.agreement, Role::Initiator, terms(8));
    assert_eq!(refused(&council, Event::Received(Body::Agree(half.bytes().to_vec()))), "Rejected");
    let signed = Proposal::sign(&MET.agreement, Role::Initiator, terms(8), &MET.keys, NOW, MET.keys.sign());
    assert_eq!(signed.unwrap_err().code(), "Signer");
    assert_eq!(
        half.agree(&MET.agreement, MET.root.keys_for(&MET.agreement, Role::Initiator).unwrap().sign())
            .unwrap_err()
            .code(),
        "Signer"
    );
    for at in 0..half.bytes().len() {
        let mut other = half.bytes().to_vec();
        other[at] ^= 1;
        assert!(council.clone().apply(Event::Received(Body::Propose(other)), NOW).is_err());
    }
}

#[test]
fn who_suspends_resumes() {
    let person = Connection::active(Role::Initiator, MET.agreement.clone());
    let data = || Event::Received(Body::data("", b""));
    let (person, effects) = go(person, Event::Suspend(1));
    assert_eq!((person.stage(), sent(&effects)), (Stage::Suspended, Body::Suspend(1)));
    let (person, _) = go(person, Event::Received(Body::Suspend(0)));
    assert_eq!(refused(&person, data()), "NotNow");
    // The peer's Resume takes back the peer's suspension only.
    let (person, _) = go(person, Event::Received(Body::Resume(0)));
    assert_eq!(person.stage(), Stage::Suspended);
    let (person, _) = go(person, Event::Resume(0));
    assert_eq!(person.stage(), Stage::Active);
    go(person.clone(), data());
    assert_eq!(refused(&person, Event::Resume(0)), "NotNow");
    // A forged "I don't know you" suspends until the next session.
    let (person, _) = go(person, Event::Unknown);
    assert_eq!(person.stage(), Stage::Suspended);
    assert_eq!(go(person, Event::Opened(MET.agreement.hash())).0.stage(), Stage::Active);
}

#[test]
fn an_end_is_acknowledged_and_stays() {
    let person = Connection::active(Role::Initiator, MET.agreement.clone());
    let council = Connection::active(Role::Responder, MET.agreement.clone());
    let (person, effects) = go(person, Event::Terminate(terminate(&MET.agreement, Role::Initiator)));
    assert_eq!(effects[1..], [Effect::Wipe, Effect::RevokeMailbox]);
    let (council, effects) = go(council, Event::Received(sent(&effects)));
    assert_eq!(effects[1..], [Effect::Wipe, Effect::RevokeMailbox]);
    let Effect::Acknowledge(agreement) = &effects[0] else { panic!("a receipt is signed first") };
    let receipt = terminate(agreement, Role::Responder);
    assert_eq!(Termination::verify(&MET.agreement, receipt.bytes()).unwrap().by(), Role::Responder);
    assert_eq!(person.tombstone(), council.tombstone());
    let tombstone = person.tombstone().unwrap();
    assert_eq!((tombstone.reason, tombstone.by), (EndReason::Withdrawn, Some(Role::Initiator)));
    let proposal = propose(&MET.agreement, Role::Initiator, terms(8));
    for event in [
        Event::Tick,
        Event::Agreed(MET.agreement.clone()),
        Event::Opened(MET.agreement.hash()),
        Event::Received(Body::Resume(0)),
        Event::Received(Body::Propose(proposal.bytes().to_vec())),
        Event::Received(Body::Terminate(terminate(&MET.agreement, Role::Initiator).bytes().to_vec())),
    ] {
        assert_eq!(refused(&council, event), "Ended");
    }
    // One's own termination, sent back, ends nothing.
    let person = Connection::active(Role::Initiator, MET.agreement.clone());
    let own = terminate(&MET.agreement, Role::Initiator);
    assert_eq!(refused(&person, Event::Received(Body::Terminate(own.bytes().to_vec()))), "NotNow");
}

#[test]
fn time_ends_an_agreement() {
    let timed = met(3, Wish { permissions: vec![], not_after: Some(later(100)) });
    let person = Connection::active(Role::Initiator, timed.agreement);
    let (person, _) = person.apply(Event::Suspend(0), later(99)).unwrap();
    let (ended, effects) = person.apply(Event::Resume(0), later(100)).unwrap();
    assert_eq!((ended.stage(), effects), (Stage::Ended, vec![Effect::Wipe, Effect::RevokeMailbox]));
    assert_eq!(ended.tombstone().map(|t| (t.reason, t.at, t.by)), Some((EndReason::Expired, later(100), None)));
}

/// One side as a table would have it. Agreements are numbers, each with its parent and proposer in [`World`].
#[derive(Debug, Clone, PartialEq)]
struct Model {
    role: Role,
    at: usize,
    prior: Option<usize>,
    pending: Option<usize>,
    own: bool,
    peer: bool,
    ended: bool,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Word {
    Propose(usize),
    Agree(usize),
    Suspend,
    Resume,
    Terminate(usize),
}

impl Model {
    fn suspended(&self) -> bool {
        self.own || self.peer
    }

    fn hears(&mut self, word: Word, parents: &[(usize, Role)]) -> bool {
        let by_peer = |n: usize| parents[n].1 != self.role;
        match word {
            _ if self.ended => return false,
            Word::Propose(n) if self.prior == Some(parents[n].0) && n == self.at => {}
            Word::Propose(n) => {
                let competes = self.role == Role::Initiator && self.pending.is_some_and(|n| !by_peer(n));
                if parents[n].0 != self.at || n == 0 || !by_peer(n) || self.suspended() || competes {
                    return false;
                }
                self.pending = Some(n);
            }
            Word::Agree(n) => {
                if n == 0 || parents[n].0 != self.at {
                    return false;
                }
                (self.at, self.prior, self.pending) = (n, None, None);
            }
            Word::Suspend => self.peer = true,
            Word::Resume => self.peer = false,
            Word::Terminate(n) => {
                if ![Some(self.at), self.prior, self.pending].contains(&Some(n)) {
                    return false;
                }
                self.ended = true;
            }
        }
        true
    }

    fn stage(&self) -> Stage {
        match self {
            Self { ended: true, .. } => Stage::Ended,
            _ if self.suspended() => Stage::Suspended,
            Self { pending: Some(_), .. } => Stage::Renewing,
            _ => Stage::Active,
        }
    }
}

/// Both sides, as they are and as the model has them, and the host's pile of words for each.
struct World {
    sides: [Connection; 2],
    models: [Model; 2],
    agreements: Vec<Agreement>,
    parents: Vec<(usize, Role)>,
    piles: [Vec<(Word, Body)>; 2],
}

impl World {
    fn new() -> Self {
        let side = |role| Connection::active(role, MET.agreement.clone());
        let model = |role| Model { role, at: 0, prior: None, pending: None, own: false, peer: false, ended: false };
        Self {
            sides: [side(Role::Initiator), side(Role::Responder)],
            models: [model(Role::Initiator), model(Role::Responder)],
            agreements: vec![MET.agreement.clone()],
            parents: vec![(0, Role::Initiator)],
            piles: [vec![], vec![]],
        }
    }

    fn apply(&mut self, side: usize, event: Event, expected: bool) {
        let before = self.sides[side].clone();
        let after = match before.clone().apply(event, NOW) {
            Ok((after, effects)) => {
                assert!(expected, "{:?}", self.models[side]);
                for effect in effects {
                    if let Effect::Send(body) = effect {
                        let word = self.word(&body);
                        self.piles[1 - side].push((word, body));
                    }
                }
                after
            }
            Err((after, error)) => {
                assert!(!expected, "{error} {:?}", self.models[side]);
                assert_eq!(after, before);
                after
            }
        };
        assert!(before.stage() != Stage::Ended || after == before);
        self.sides[side] = after;
        assert_eq!(self.sides[side].stage(), self.models[side].stage());
        if !self.models[side].ended {
            let hash = |n: Option<usize>| n.map(|n| self.agreements[n].hash());
            let (is, model) = (&self.sides[side], &self.models[side]);
            assert_eq!(is.agreement().map(Agreement::hash), hash(Some(model.at)));
            assert_eq!(is.prior().map(Agreement::hash), hash(model.prior));
            assert_eq!(is.proposal().map(|p| p.content().hash()), hash(model.pending));
        }
    }

    fn word(&self, body: &Body) -> Word {
        let number = |bytes: &[u8]| {
            let payload = deedbox_cose::sign::Document::parse(bytes).unwrap().peek().payload().to_vec();
            let hash = Digest::from_bytes(deedbox_crypto::hash::sha256(&payload));
            self.agreements.iter().position(|known| known.hash() == hash).unwrap()
        };
        match body {
            Body::Propose(bytes) => Word::Propose(number(bytes)),
            Body::Agree(bytes) => Word::Agree(number(bytes)),
            Body::Suspend(_) => Word::Suspend,
            Body::Resume(_) => Word::Resume,
            Body::Terminate(bytes) => {
                let ends = |agreement: &Agreement| Termination::verify(agreement, bytes).is_ok();
                Word::Terminate(self.agreements.iter().position(ends).unwrap())
            }
            other => panic!("{other:?} is not of the life cycle"),
        }
    }

    /// The host delivers, and keeps a copy.
    fn deliver(&mut self, side: usize, number: usize) {
        let Some((word, body)) = self.piles[side].get(number).cloned() else { return };
        let expected = self.models[side].hears(word, &self.parents);
        self.apply(side, Event::Received(body), expected);
    }

    fn act(&mut self, side: usize, act: u8) {
        let model = &mut self.models[side];
        let (live, role) = (!model.ended, model.role);
        let current = self.agreements[model.at].clone();
        let theirs = model.pending.filter(|n| self.parents[*n].1 != role);
        match act {
            0 => {
                let number = self.agreements.len();
                let proposal = propose(&current, role, terms(u8::try_from(number).unwrap()));
                let free = role == Role::Initiator || theirs.is_none();
                let good = live && !model.suspended() && free;
                self.parents.push((model.at, role));
                self.agreements.push(proposal.content().clone());
                if good {
                    model.pending = Some(number);
                }
                self.apply(side, Event::Propose(proposal), good);
            }
            1 => {
                let Some((n, proposal)) = theirs.zip(self.sides[side].proposal()) else { return };
                let agreed = agree(&current, role, proposal);
                let good = live && !model.suspended();
                if good {
                    (model.prior, model.at, model.pending) = (Some(model.at), n, None);
                }
                self.apply(side, Event::Agree(agreed), good);
            }
            2 => {
                let good = live && theirs.is_some();
                model.pending = if good { None } else { model.pending };
                self.apply(side, Event::Decline, good);
            }
            3 | 4 => {
                let suspend = act == 3;
                let good = live && model.own != suspend;
                model.own ^= good;
                self.apply(side, if suspend { Event::Suspend(0) } else { Event::Resume(0) }, good);
            }
            _ => {
                model.ended = true;
                self.apply(side, Event::Terminate(terminate(&current, role)), live);
            }
        }
    }

    /// A handshake under what both know, and all that was ever said since, in order.
    fn heal(&mut self) {
        for _ in 0..3 {
            let known = |model: &Model| [Some(model.at), model.prior];
            let both =
                known(&self.models[0]).into_iter().flatten().find(|n| known(&self.models[1]).contains(&Some(*n)));
            if let Some(n) = both.filter(|_| self.models.iter().all(|model| !model.ended)) {
                for side in 0..2 {
                    let model = &mut self.models[side];
                    if model.at == n {
                        model.prior = None;
                    }
                    self.apply(side, Event::Opened(self.agreements[n].hash()), true);
                }
            }
            for side in 0..2 {
                for number in 0..self.piles[side].len() {
                    self.deliver(side, number);
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(std::env::var("PROPTEST_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(200)))]

    /// After each event each side is where the model is; in the end both hold one agreement, or both have ended.
    #[test]
    fn two_sides_and_a_hostile_host(steps in prop::collection::vec((0..2_usize, 0..12_u8, any::<prop::sample::Index>()), 0..40), end in 0..3_usize) {
        let mut world = World::new();
        for (side, act, at) in steps {
            match act {
                0..5 => world.act(side, act),
                // The end comes seldom.
                5 if at.index(8) == 0 => world.act(side, 5),
                _ if world.piles[side].is_empty() => {}
                _ => world.deliver(side, at.index(world.piles[side].len())),
            }
        }
        if end < 2 {
            world.act(end, 5);
        }
        world.heal();
        let [ours, theirs] = &world.sides;
        prop_assert_eq!(ours.stage() == Stage::Ended, theirs.stage() == Stage::Ended);
        prop_assert_eq!(ours.agreement().map(Agreement::hash), theirs.agreement().map(Agreement::hash));
    }
}
