//! Filter, decision, explanation, analyses, compilation and change on the workload of a person with over a hundred
//! connections, side by side with one Ed25519 verification. The claims are in `examples/ratios`.
#![expect(clippy::unwrap_used, reason = "a bench")]

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use deedbox_consent::{
    Ask, At, Change, HostFacts, PermissionStatus,
    test_util::{Size, TODAY, workload},
};
use deedbox_crypto::sign::SigningKey;
use deedbox_model::{Name, Timestamp};
use deedbox_testkit::rng::SeededRng;

fn consent(criterion: &mut Criterion) {
    let (policy, requests) = workload(if cfg!(debug_assertions) { Size::SMALL } else { Size::FULL });
    let evaluator = policy.compile().unwrap();
    let at = At::reading(Timestamp::from_secs(TODAY));
    let fields: Vec<&Name> = policy.vocabulary().fields().keys().collect();
    let given = policy.permissions().filter(|(_, status)| *status == PermissionStatus::Given);
    let withdrawals: Vec<Change> = given.map(|(permission, _)| Change::Withdraw(permission.id.clone())).collect();
    let mut group = criterion.benchmark_group("consent");

    let mut next = turns(&requests);
    let mut permitted = evaluator.field_set();
    group.bench_function("filter of all fields", |bencher| {
        bencher.iter(|| {
            let (ask, host): &(Ask, HostFacts) = next();
            evaluator.filter(black_box(ask), host, &mut permitted);
            permitted.is_empty()
        });
    });
    let mut next = turns(&requests);
    group.bench_function("decide", |bencher| {
        bencher.iter(|| {
            let (ask, host) = next();
            evaluator.decide(black_box(ask), host)
        });
    });
    let (mut next, mut field) = (turns(&requests), turns(&fields));
    group.bench_function("explain a field", |bencher| {
        bencher.iter(|| {
            let (ask, host) = next();
            evaluator.explain(black_box(ask), field(), host)
        });
    });
    let mut field = turns(&fields);
    group.bench_function("who can see a field", |bencher| bencher.iter(|| evaluator.who_can_see(field(), at)));
    let parties: Vec<&Name> = policy.vocabulary().parties().keys().collect();
    let mut party = turns(&parties);
    group.bench_function("what can a party see", |bencher| bencher.iter(|| evaluator.what_can_see(party(), at)));
    let mut change = turns(&withdrawals);
    group.bench_function("one change", |bencher| bencher.iter(|| evaluator.with(change().clone()).unwrap()));
    let mut change = turns(&withdrawals);
    group.bench_function("impact of a withdrawal", |bencher| {
        bencher.iter(|| evaluator.impact(change().clone(), at).unwrap());
    });
    group.bench_function("compile", |bencher| bencher.iter(|| black_box(&policy).compile().unwrap()));

    let key = SigningKey::generate(&mut SeededRng::new(1));
    let (public, signature) = (key.public(), key.sign(&[7; 64]));
    group.bench_function("Ed25519 verification", |bencher| {
        bencher.iter(|| public.verify(black_box(&[7; 64]), &signature).unwrap());
    });
    group.finish();
}

/// One after another, and again from the first.
fn turns<'a, T>(items: &'a [T]) -> impl FnMut() -> &'a T {
    let mut turns = items.iter().cycle();
    move || turns.next().unwrap()
}

criterion_group!(benches, consent);
criterion_main!(benches);
