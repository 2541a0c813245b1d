//! The compiled index, the reference, Cedar and Rego give the same decision on random policies and requests.
//!
//! As many requests as `DEEDBOX_REQUESTS` says (2,000), 40 of each policy; in full:
//! `DEEDBOX_REQUESTS=100000 cargo test --release --test twins`, in this folder.

use std::collections::{BTreeMap, BTreeSet};

use deedbox_consent::{Ask, AskedFields, Decision, HostFacts, reference, test_util::Draw};
use deedbox_oracle_consent::{
    Asked, Facts, World,
    cedar::{Cedar, Released},
    rego::{Decided, Rego},
};
use deedbox_testkit::rng::SeededRng;
use rand_core::Rng as _;

const EACH: usize = 40;

fn count() -> usize {
    std::env::var("DEEDBOX_REQUESTS").map_or(2_000, |count| count.parse().expect("a number"))
}

fn bytes(rng: &mut SeededRng, count: usize) -> Vec<u8> {
    let mut bytes = vec![0; count];
    rng.fill_bytes(&mut bytes);
    bytes
}

fn facts(host: &HostFacts) -> Facts {
    let uses = host.uses.iter().map(|(id, times)| (id.to_string(), times.iter().map(|time| time.secs()).collect()));
    Facts {
        party: host.party.to_string(),
        now: host.now.secs(),
        assurance: host.assurance.level().into(),
        conditions: host.conditions.iter().map(ToString::to_string).collect(),
        uses: uses.collect(),
    }
}

/// A decision of ours in the words of the twins, for records of `times`.
fn decided(decision: &Decision, times: &BTreeSet<u64>) -> Decided {
    let withheld = decision.withheld().iter().map(|(field, reason)| (field.to_string(), u64::from(reason.number())));
    let mut decided = Decided {
        refusal: decision.refusal().map_or(0, |reason| reason.number().into()),
        withheld: withheld.collect::<BTreeMap<_, _>>(),
        ..Decided::default()
    };
    if let Decision::Permit(permit) = decision {
        for field in permit.fields() {
            let admitted =
                times.iter().filter(|time| permit.admits(field, deedbox_model::Timestamp::from_secs(**time)));
            decided.released.extend(admitted.map(|time| (field.to_string(), *time)));
        }
        decided.determining = permit.determining().iter().map(ToString::to_string).collect();
        decided.obligations = permit.obligations().iter().map(|duty| duty.bit().into()).collect();
        decided.retention = Some(permit.retention());
    }
    decided
}

/// A request with something left out or unknown, now and then.
fn spoilt(mut ask: Ask, mut host: HostFacts, how: u8) -> (Ask, HostFacts) {
    let name = deedbox_consent::test_util::name;
    match how {
        0 => ask.purpose = None,
        1 => ask.purpose = Some(name("nothing-known")),
        2 => ask.action = None,
        3 => ask.basis = None,
        4 => ask.fields = None,
        5 => ask.fields = Some(AskedFields::These([].into())),
        6 => host.party = name("stranger"),
        7 => ask.recipient = Some(name("stranger")),
        8 => ask.basis = Some(deedbox_consent::Basis::from_code(how + 1)),
        _ => {}
    }
    (ask, host)
}

#[test]
fn four_engines_give_one_decision() {
    let mut rng = SeededRng::new(5);
    let (mut permits, mut partial) = (0, 0);
    let policies = count().div_ceil(EACH);
    for _ in 0..policies {
        let drawn = bytes(&mut rng, 360);
        let policy = Draw::new(&drawn).policy();
        let evaluator = policy.compile().unwrap();
        let world = World::read(&policy.to_bytes());
        let times = world.record_times();
        let (cedar, mut rego) = (Cedar::new(&world), Rego::new(&world));
        for _ in 0..EACH {
            let drawn = bytes(&mut rng, 49);
            let mut draw = Draw::new(&drawn);
            let (ask, host) = if draw.below(8) == 0 { (draw.ask(), draw.host()) } else { draw.question() };
            let (ask, host) = spoilt(ask, host, drawn[48] % 128);
            let decision = evaluator.decide(&ask, &host);
            assert_eq!(decision, reference::decide(&policy, &ask, &host));
            let ours = decided(&decision, &times);
            let (asked, facts) = (Asked::read(&ask.to_bytes()), facts(&host));
            let theirs = rego.decide(&asked, &facts, &times);
            assert_eq!(ours, theirs, "Rego: {ask:?} {host:?} {policy:?}");
            let theirs = cedar.decide(&world, &asked, &facts, &times);
            permits += usize::from(!ours.released.is_empty());
            partial += usize::from(!ours.released.is_empty() && !ours.withheld.is_empty());
            let ours = Released { fields: ours.released, determining: ours.determining };
            assert_eq!(ours, theirs, "Cedar: {ask:?} {host:?} {policy:?}");
        }
    }
    // Not all the same answer.
    assert!(permits * 50 > policies * EACH && partial * 400 > policies * EACH, "{permits} permits, {partial} in part");
    println!("{} requests of {policies} policies: {permits} permits, {partial} in part", policies * EACH);
}
