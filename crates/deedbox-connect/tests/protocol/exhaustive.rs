//! Every state that two sides and a hostile host can reach, with the life cycle's own code: as many as the model in
//! `docs/security/lifecycle.pml` has.
//!
//! The host keeps all that was ever said and delivers any of it, to whom it is for, at any time, never, or again. What a side
//! does with an event is asked of [`Connection::apply`] alone; nothing here says when an event is allowed.

use std::collections::{HashMap, HashSet, VecDeque};

use deedbox_connect::{
    Agreement, Body, Connection, ConnectionsRoot, Effect, EndReason, Event, Proposal, Renewal, Role, Stage,
    Termination, Wish,
};
use deedbox_cose::sign;
use deedbox_crypto::{hash::sha256, secret::SecretBytes};
use deedbox_model::{Digest, Timestamp};
use deedbox_testkit::rng::SeededRng;

use super::met::{Council, NOW, later, met};

/// Agreements by number, the first one 0; `NONE` is no agreement.
type Number = u8;
const NONE: Number = u8::MAX;
const ROLES: [Role; 2] = [Role::Initiator, Role::Responder];

/// What has been proposed: by whom, and to renew which.
type Family = Vec<(Number, usize)>;

#[derive(Clone, PartialEq, Eq, Hash)]
struct World {
    sides: [usize; 2],
    /// Proposals from number 1 on.
    family: Family,
    /// Whose Agree was said.
    agreed: Vec<bool>,
    /// Which side said that it ends which.
    terms: [Vec<bool>; 2],
    confirmed: bool,
    refused: bool,
    /// The Responder finished a handshake under this one, and the Initiator did not yet.
    half: Number,
}

/// What may happen to one side.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Happening {
    Agreed,
    CodeAwaited,
    Refused,
    Time,
    Propose,
    Agree,
    Decline,
    Suspend,
    Resume,
    Terminate,
    Unknown,
    HearSuspend,
    HearResume,
    HearPropose(Number),
    HearAgree(Number),
    HearTerminate(Number),
    Opened(Number),
}

/// What a side says in answer, as far as the host keeps it apart.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Said {
    Agree(Number),
    Terminate(Number),
}

/// A side's next state and what it says, or nothing.
type Step = Option<(usize, Vec<Said>)>;

struct Explorer {
    root: ConnectionsRoot,
    council: Council,
    first: Agreement,
    most: usize,
    /// Each state of one side, by its bytes; all that ended are one.
    sides: Vec<(Connection, Family)>,
    known: HashMap<(Vec<u8>, Family), usize>,
    steps: HashMap<(usize, Happening), Step>,
    documents: HashMap<Family, (Proposal, Agreement)>,
}

impl Explorer {
    fn new(most: usize) -> Self {
        let root = ConnectionsRoot::from_secret(SecretBytes::from_bytes([7; 32]));
        let wish = Wish { permissions: vec![], not_after: Some(later(1_000)) };
        let (council, person, _) = met(&root, wish, &mut SeededRng::new(1));
        Self {
            root,
            council,
            first: person.agreement,
            most,
            sides: Vec::new(),
            known: HashMap::new(),
            steps: HashMap::new(),
            documents: HashMap::new(),
        }
    }

    /// The number of a state, among those of the same family: it says what its agreements are.
    fn intern(&mut self, connection: Connection, family: &Family) -> usize {
        let bytes = if connection.stage() == Stage::Ended { Vec::new() } else { connection.to_stored() };
        let family = if bytes.is_empty() { Family::new() } else { family.clone() };
        let next = self.sides.len();
        let number = *self.known.entry((bytes, family.clone())).or_insert(next);
        if number == next {
            self.sides.push((connection, family));
        }
        number
    }

    /// The proposal of a number, and the agreement that it becomes.
    fn document(&mut self, family: &Family, number: Number) -> (Proposal, Agreement) {
        let ancestry: Family = family[..usize::from(number)].to_vec();
        if let Some(found) = self.documents.get(&ancestry) {
            return found.clone();
        }
        let (parent, by) = ancestry[usize::from(number) - 1];
        let prior = self.agreement(family, parent);
        let renewal =
            Renewal { terms: Digest::from_bytes([number; 32]), permissions: vec![], not_after: Some(later(1_000)) };
        let (by, other) = (ROLES[by], ROLES[1 - by]);
        let proposal = match by {
            Role::Initiator => {
                let keys = self.root.keys(prior.connection_id().as_bytes(), u32::from(number) + 1_000).unwrap();
                let signer = self.keys(&prior);
                Proposal::sign(&prior, by, renewal, &keys, NOW, signer.sign()).unwrap()
            }
            Role::Responder => {
                Proposal::sign(&prior, by, renewal, &self.council.keys, NOW, self.council.keys.sign()).unwrap()
            }
        };
        let agreement = match other {
            Role::Initiator => proposal.agree(&prior, self.keys(&prior).sign()).unwrap(),
            Role::Responder => proposal.agree(&prior, self.council.keys.sign()).unwrap(),
        };
        self.documents.insert(ancestry, (proposal.clone(), agreement.clone()));
        (proposal, agreement)
    }

    /// The person's keys under an agreement: each proposal of theirs brought new ones.
    fn keys(&self, agreement: &Agreement) -> deedbox_connect::PartyKeys {
        let conn = agreement.connection_id();
        let serials = [1].into_iter().chain(1_001..=1_000 + u32::try_from(self.most).unwrap());
        let mut keys = serials.map(|serial| self.root.keys(conn.as_bytes(), serial).unwrap());
        keys.find(|keys| deedbox_cose::Signer::public(keys.sign()) == agreement.initiator().sign()).unwrap()
    }

    fn agreement(&mut self, family: &Family, number: Number) -> Agreement {
        if number == 0 { self.first.clone() } else { self.document(family, number).1 }
    }

    fn number(&mut self, family: &Family, hash: Digest) -> Number {
        let all = 0..=Number::try_from(family.len()).unwrap();
        all.into_iter().find(|number| self.agreement(family, *number).hash() == hash).unwrap()
    }

    fn event(&mut self, side: usize, from: usize, happening: Happening, family: &Family) -> Option<Event> {
        let connection = self.sides[from].0.clone();
        let terminate = |explorer: &Self, agreement: &Agreement, by: usize| {
            let sign = |keys: &deedbox_connect::PartyKeys| {
                Termination::sign(agreement, ROLES[by], EndReason::Withdrawn, NOW, keys.sign()).unwrap()
            };
            if by == 0 { sign(&explorer.keys(agreement)) } else { sign(&explorer.council.keys) }
        };
        Some(match happening {
            Happening::Agreed => Event::Agreed(self.first.clone()),
            Happening::CodeAwaited => Event::CodeAwaited(self.first.clone(), later(300)),
            Happening::Refused => Event::Refused,
            Happening::Time => Event::Tick,
            // The next number is the one to be proposed.
            Happening::Propose => Event::Propose(self.document(family, Number::try_from(family.len()).unwrap()).0),
            Happening::Agree => {
                let proposal = connection.proposal().filter(|proposal| proposal.by() != ROLES[side])?;
                let number = self.number(family, proposal.content().hash());
                Event::Agree(self.agreement(family, number))
            }
            Happening::Decline => Event::Decline,
            Happening::Suspend => Event::Suspend(0),
            Happening::Resume => Event::Resume(0),
            Happening::Terminate => Event::Terminate(terminate(self, &connection.agreement()?.clone(), side)),
            Happening::Unknown => Event::Unknown,
            Happening::HearSuspend => Event::Received(Body::Suspend(0)),
            Happening::HearResume => Event::Received(Body::Resume(0)),
            Happening::HearPropose(number) => {
                Event::Received(Body::Propose(self.document(family, number).0.bytes().to_vec()))
            }
            Happening::HearAgree(number) => {
                Event::Received(Body::Agree(self.agreement(family, number).bytes().to_vec()))
            }
            Happening::HearTerminate(number) => {
                let agreement = self.agreement(family, number);
                Event::Received(Body::Terminate(terminate(self, &agreement, 1 - side).bytes().to_vec()))
            }
            Happening::Opened(number) => Event::Opened(self.agreement(family, number).hash()),
        })
    }

    /// What a side does.
    fn step(&mut self, side: usize, from: usize, happening: Happening, family: &Family) -> Step {
        if let Some(known) = self.steps.get(&(from, happening)).filter(|_| self.sides[from].1 == *family) {
            return known.clone();
        }
        let event = self.event(side, from, happening, family)?;
        let now = if happening == Happening::Time { Timestamp::from_secs(1 << 40) } else { NOW };
        let before = self.sides[from].0.clone();
        let done = match before.clone().apply(event, now) {
            Err((after, _)) => {
                assert_eq!(after, before);
                None
            }
            Ok((after, effects)) => {
                assert_ne!(before.stage(), Stage::Ended, "ended stays ended");
                let mut said = Vec::new();
                for effect in effects {
                    let payload = |bytes: &[u8]| sign::Document::parse(bytes).unwrap().peek().payload().to_vec();
                    match effect {
                        Effect::Send(Body::Agree(bytes)) => {
                            let hash = Digest::from_bytes(sha256(&payload(&bytes)));
                            said.push(Said::Agree(self.number(family, hash)));
                        }
                        Effect::Send(Body::Terminate(bytes)) => {
                            let all: Vec<Number> = (0..=Number::try_from(family.len()).unwrap()).collect();
                            let mut ends =
                                |number: &Number| Termination::verify(&self.agreement(family, *number), &bytes).is_ok();
                            said.push(Said::Terminate(all.iter().copied().find(|number| ends(number)).unwrap()));
                        }
                        _ => {}
                    }
                }
                Some((self.intern(after, family), said))
            }
        };
        if self.sides[from].1 == *family {
            self.steps.insert((from, happening), done.clone());
        }
        done
    }

    fn places(&mut self, world: &World, side: usize) -> [Number; 3] {
        let connection = self.sides[world.sides[side]].0.clone();
        let hashes = [
            connection.agreement().map(Agreement::hash),
            connection.prior().map(Agreement::hash),
            connection.proposal().map(|proposal| proposal.content().hash()),
        ];
        hashes.map(|hash| hash.map_or(NONE, |hash| self.number(&world.family, hash)))
    }

    /// The world after one side did something. A family that grows is told to both sides' numbers.
    fn after(&mut self, world: &World, side: usize, happening: Happening) -> Option<World> {
        let mut next = world.clone();
        if happening == Happening::Propose {
            let [at, ..] = self.places(world, side);
            if at == NONE || world.family.len() >= self.most {
                return None;
            }
            next.family.push((at, side));
            next.agreed.push(false);
            next.terms.iter_mut().for_each(|terms| terms.push(false));
            for number in &mut next.sides {
                let connection = self.sides[*number].0.clone();
                *number = self.intern(connection, &next.family);
            }
        }
        let (state, said) = self.step(side, next.sides[side], happening, &next.family)?;
        next.sides[side] = state;
        for word in said {
            match word {
                Said::Agree(number) => next.agreed[usize::from(number)] = true,
                Said::Terminate(number) => next.terms[side][usize::from(number)] = true,
            }
        }
        if side == 1 && happening == Happening::Agreed {
            next.confirmed = true;
        }
        if side == 1 && happening == Happening::Refused {
            next.refused = true;
        }
        Some(next)
    }

    fn neighbours(&mut self, world: &World) -> Vec<World> {
        let mut all = Vec::new();
        let numbers: Vec<Number> = (0..=Number::try_from(world.family.len()).unwrap()).collect();
        for side in 0..2 {
            let mut happenings = vec![
                Happening::Time,
                Happening::Propose,
                Happening::Agree,
                Happening::Decline,
                Happening::Suspend,
                Happening::Resume,
                Happening::Terminate,
                Happening::Unknown,
                Happening::HearSuspend,
                Happening::HearResume,
            ];
            if side == 1 {
                happenings.extend([Happening::Agreed, Happening::CodeAwaited, Happening::Refused]);
            }
            happenings.extend((side == 0 && world.confirmed).then_some(Happening::Agreed));
            happenings.extend((side == 0 && world.refused).then_some(Happening::Refused));
            for number in &numbers {
                let n = usize::from(*number);
                let by = n.checked_sub(1).map(|n| world.family[n].1);
                happenings.extend((by == Some(1 - side)).then_some(Happening::HearPropose(*number)));
                happenings.extend((by == Some(side) && world.agreed[n]).then_some(Happening::HearAgree(*number)));
                happenings.extend(world.terms[1 - side][n].then_some(Happening::HearTerminate(*number)));
            }
            all.extend(happenings.into_iter().filter_map(|happening| self.after(world, side, happening)));
        }
        // A handshake under what both know; the last message may come late or never.
        let ([at, prior, _], [theirs, before, _]) = (self.places(world, 0), self.places(world, 1));
        for number in [theirs, before].into_iter().filter(|n| *n != NONE && [at, prior].contains(n)) {
            let mut next = self.after(world, 1, Happening::Opened(number)).unwrap();
            next.half = number;
            all.push(next);
        }
        if world.half != NONE {
            let mut next = self.after(world, 0, Happening::Opened(world.half)).unwrap_or_else(|| world.clone());
            next.half = NONE;
            all.push(next);
        }
        all
    }

    /// The same as `check` in the model.
    fn check(&mut self, world: &World) {
        let parent = |n: usize| world.family[n - 1].0;
        for (i, j) in (1..world.agreed.len()).flat_map(|i| (i + 1..world.agreed.len()).map(move |j| (i, j))) {
            let both = world.agreed[i] && world.agreed[j] && parent(i) == parent(j);
            assert!(!both, "two agreements of one serial have both signatures");
        }
        let places = [self.places(world, 0), self.places(world, 1)];
        for [at, _, pending] in places {
            assert!(at == NONE || world.agreed[usize::from(at)], "a side stands on what both have signed");
            assert!(pending == NONE || parent(usize::from(pending)) == at);
        }
        let [[ours, before, _], [theirs, prior, _]] = places;
        assert!(ours == NONE || world.confirmed);
        let follows = |next: Number, last: Number| next != 0 && parent(usize::from(next)) == last;
        let together = ours == NONE
            || theirs == NONE
            || ours == theirs
            || (follows(theirs, ours) && prior == ours)
            || (follows(ours, theirs) && before == theirs);
        assert!(together, "both stand on one agreement, or one still answers for the other's");
    }

    fn explore(&mut self) -> usize {
        let invitation = self.council.invited.invitation().clone();
        let family = Family::new();
        let sides = [
            self.intern(Connection::accepting(&invitation, self.first.hash()), &family),
            self.intern(Connection::invited(&invitation), &family),
        ];
        let terms = [vec![false], vec![false]];
        let world = World { sides, family, agreed: vec![true], terms, confirmed: false, refused: false, half: NONE };
        let (mut seen, mut waiting) = (HashSet::from([world.clone()]), VecDeque::from([world]));
        while let Some(world) = waiting.pop_front() {
            self.check(&world);
            for next in self.neighbours(&world) {
                if seen.insert(next.clone()) {
                    waiting.push_back(next);
                }
            }
        }
        seen.len()
    }
}

/// As many as `docs/security/lifecycle.md` has for so many proposals: SPIN counts the state before the first one too.
const STATES: [usize; 3] = [2_149, 14_591, 88_605];

#[test]
fn the_code_reaches_the_states_of_the_model_and_no_other() {
    // One proposal takes seconds, three take minutes.
    let most = std::env::var("DEEDBOX_PROPOSALS").ok().and_then(|most| most.parse().ok()).unwrap_or(1);
    assert_eq!(Explorer::new(most).explore() + 1, STATES[most - 1]);
}
