//! Decisions, analyses and the log, on the workload of `deedbox_consent::test_util`: 4,500 fields, 120 parties, 90 purposes,
//! 4,000 rules, and for each of some 250 parties' permissions the request it answers.
//!
//! What is compared with other engines stands in `deedbox-oracle`, which does not share this lock file.

use std::{collections::BTreeSet, hint::black_box};

use deedbox_audit::{Entry, EntryKind, Log, LogId};
use deedbox_consent::{
    Ask, AskedFields, At, Change, Decision, Evaluator, HostFacts, PermissionStatus, Policy, reference,
    test_util::{Size, TODAY, workload},
};
use deedbox_crypto::{
    hash::{sha256, sha256_parts},
    sign::SigningKey,
};
use deedbox_merkle::{inclusion_root, verify_inclusion};
use deedbox_model::{Digest, Name, Timestamp};
use deedbox_testkit::rng::SeededRng;

use crate::{Claims, Goal};

pub(crate) fn measure(claims: &mut Claims) {
    let (policy, requests) = workload(if cfg!(debug_assertions) { Size::SMALL } else { Size::FULL });
    let evaluator = policy.compile().expect("fewer than 20,000 rules");
    let lists = lists(&evaluator, &requests);
    check(&evaluator, &lists);
    decisions(claims, &evaluator, &requests, &lists);
    analyses(claims, &policy, &evaluator, &requests);
    log(claims);
}

/// The same requests for a list of fields each: ten that are permitted, ten that may not be.
fn lists(evaluator: &Evaluator, requests: &[(Ask, HostFacts)]) -> Vec<(Ask, HostFacts)> {
    let fields: Vec<&Name> = evaluator.policy().vocabulary().fields().keys().collect();
    let mut permitted = evaluator.field_set();
    let list = |(number, (ask, host)): (usize, &(Ask, HostFacts))| {
        evaluator.filter(ask, host, &mut permitted);
        let others = (0..10).filter_map(|step| fields.get((number * 37 + step * 411) % fields.len()).copied());
        let mut ask = ask.clone();
        ask.fields = Some(AskedFields::These(permitted.iter().take(10).chain(others).cloned().collect()));
        (ask, host.clone())
    };
    requests.iter().enumerate().map(list).collect()
}

/// Both evaluators and the filter answer alike, before anything is timed.
fn check(evaluator: &Evaluator, lists: &[(Ask, HostFacts)]) {
    let mut filtered = evaluator.field_set();
    for (ask, host) in lists.iter().step_by(lists.len().div_ceil(5)) {
        let expected = reference::decide(evaluator.policy(), ask, host);
        assert_eq!(evaluator.decide(ask, host), expected);
        assert_eq!(evaluator.policy().decide(ask, host), expected);
        evaluator.filter(ask, host, &mut filtered);
        if let (Decision::Permit(permit), Some(AskedFields::These(asked))) = (expected, &ask.fields) {
            let filtered: BTreeSet<&Name> = filtered.iter().filter(|field| asked.contains(*field)).collect();
            assert!(permit.fields().eq(filtered), "the filter gives what a decision releases");
        }
    }
}

fn decisions(claims: &mut Claims, evaluator: &Evaluator, requests: &[(Ask, HostFacts)], lists: &[(Ask, HostFacts)]) {
    let filter = || {
        let (mut next, mut fields) = (turns(requests), evaluator.field_set());
        move || {
            let (ask, host) = next();
            evaluator.filter(black_box(ask), host, &mut fields);
            black_box(&fields);
        }
    };
    let decide = |requests| {
        let mut next = turns(requests);
        move || {
            let (ask, host): &(Ask, HostFacts) = next();
            let _ = black_box(evaluator.decide(black_box(ask), host));
        }
    };
    let ten_digests = || {
        for _ in 0..10 {
            black_box(sha256(black_box(&[0xa5; 64])));
        }
    };
    claims.claim("consent: filter of all / 10 SHA-256 of 64 B", Goal::AtMost(1.0), filter(), ten_digests);
    // The reference is asked for a hundredth of the fields.
    let few: BTreeSet<Name> = evaluator.policy().vocabulary().fields().keys().step_by(100).cloned().collect();
    let mut next = turns(requests);
    claims.claim("consent: filter of all / reference, 1 in 100", Goal::AtMost(0.02), filter(), || {
        let (ask, host) = next();
        let mut ask = ask.clone();
        ask.fields = Some(AskedFields::These(few.clone()));
        let _ = black_box(reference::decide(evaluator.policy(), &ask, host));
    });
    claims.claim("consent: decide / filter", Goal::AtMost(3.0), decide(requests), filter());
    let key = SigningKey::generate(&mut SeededRng::new(1));
    let (public, signature) = (key.public(), key.sign(&[0xa5; 64]));
    let verify = || public.verify(black_box(&[0xa5; 64]), &signature).expect("signed above");
    claims.claim("consent: decide / Ed25519 verification", Goal::AtMost(1.0 / 20.0), decide(requests), verify);
    claims.claim("consent: decide 20 named / verification", Goal::AtMost(1.0 / 6.0), decide(lists), verify);
    let compile = || drop(black_box(evaluator.policy().compile()));
    claims.claim("consent: compile / Ed25519 verification", Goal::AtMost(300.0), compile, verify);
}

/// One after another, and again from the first.
fn turns<'a, T>(items: &'a [T]) -> impl FnMut() -> &'a T {
    let mut turns = items.iter().cycle();
    move || turns.next().expect("some")
}

fn analyses(claims: &mut Claims, policy: &Policy, evaluator: &Evaluator, requests: &[(Ask, HostFacts)]) {
    let at = At::reading(Timestamp::from_secs(TODAY));
    let compile = || drop(black_box(policy.compile()));
    let given = policy.permissions().filter(|(_, status)| *status == PermissionStatus::Given);
    let withdrawals: Vec<Change> = given.map(|(permission, _)| Change::Withdraw(permission.id.clone())).collect();
    let withdrawals: Vec<Change> = withdrawals.into_iter().step_by(40).collect();
    let mut next = turns(&withdrawals);
    let change = || drop(black_box(evaluator.with(next().clone())));
    claims.claim("consent: one change / compile", Goal::AtMost(1.0 / 20.0), change, compile);
    let mut next = turns(&withdrawals);
    let impact = || drop(black_box(evaluator.impact(next().clone(), at)));
    claims.claim("consent: impact of a withdrawal / compile", Goal::AtMost(2.0), impact, compile);
    let fields: Vec<&Name> = policy.vocabulary().fields().keys().step_by(37).collect();
    let (mut next_field, mut next, mut filtered) = (turns(&fields), turns(requests), evaluator.field_set());
    claims.claim(
        "consent: who can see a field / filter",
        Goal::AtMost(150.0),
        || drop(black_box(evaluator.who_can_see(next_field(), at))),
        || {
            let (ask, host) = next();
            evaluator.filter(black_box(ask), host, &mut filtered);
            black_box(&filtered);
        },
    );
}

fn log(claims: &mut Claims) {
    let mut rng = SeededRng::new(2);
    let mut entry =
        Entry::new(Timestamp::from_secs(TODAY), EntryKind::Decision, Some("charity"), Digest::from_bytes([9; 32]));
    entry.purpose = Some("counselling".into());
    entry.action = Some(0);
    entry.released = vec!["patient.name".into(), "patient.address.city".into()];
    entry.determining = vec!["rule-1".into()];
    let mut log = Log::new(LogId::generate(&mut rng));
    let stored = log.append(entry.clone(), &mut rng);
    claims.claim(
        "audit: append / leaf hash",
        Goal::AtMost(6.0),
        || {
            // A person's log; one of millions would measure how the system hands out memory.
            if log.len() == 1_000 {
                log = Log::new(log.id());
            }
            drop(black_box(log.append(black_box(&entry).clone(), &mut rng)));
        },
        || {
            black_box(sha256_parts(&[&[0], black_box(stored.bytes())]));
        },
    );
    let path: Vec<[u8; 32]> = (0..20).map(|level| [level; 32]).collect();
    let (leaf, index, size) = ([0xa5; 32], 0x5_5555, 1 << 20);
    let root = inclusion_root(&leaf, index, size, &path).expect("20 levels");
    claims.claim(
        "audit: verify one of 2^20 / SHA-256 of 64 B",
        Goal::AtMost(60.0),
        || verify_inclusion(black_box(&leaf), index, size, &path, &root).expect("made above"),
        || {
            black_box(sha256(black_box(&[0xa5; 64])));
        },
    );
}
