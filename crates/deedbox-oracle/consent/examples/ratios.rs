//! `cargo run --release --example ratios` in this folder: deedbox-consent beside Cedar and regorus, on the workload of
//! `deedbox_consent::test_util`: 4,500 fields, 120 parties, 90 purposes, 4,000 rules.
//!
//! Both engines answer for one field at a time, and get it in the best slice there is: only the rules that name the party and
//! choose the field, compiled before, with the request made before, and only whether the field leaves. Ours answers for all
//! fields at once, from all rules. Equal answers are asserted first. What is printed are ratios of one process, the median of
//! paired rounds whose order alternates. Exit status 1 when one is short of its goal.

use std::{collections::BTreeSet, hint::black_box, process::ExitCode, sync::Arc, time::Instant};

use cedar_policy::{Authorizer, Decision as CedarDecision, Entities, PolicySet, Request};
use deedbox_consent::{
    Ask, AskedFields, Decision, Evaluator, HostFacts,
    test_util::{Size, workload},
};
use deedbox_model::Name;
use deedbox_oracle_consent::{Asked, Facts, World, cedar, rego};
use regorus::{Engine, Rc, Value, languages::rego::compiler::Compiler, rvm::RegoVM};

const ROUNDS: usize = 31;

/// A request for one field, in the shape of each engine.
struct Case {
    ask: Ask,
    host: HostFacts,
    field: Name,
    expected: bool,
    /// One policy set for each rank that has permissions; one at least.
    sets: Vec<PolicySet>,
    request: Request,
    engine: Engine,
    vm: Option<RegoVM>,
    input: Value,
}

fn main() -> ExitCode {
    let (policy, requests) = workload(Size::FULL);
    let evaluator = policy.compile().expect("fewer than 20,000 rules");
    let world = World::read(&policy.to_bytes());
    let entities = cedar::entities(&world);
    let mut cases = cases(&evaluator, &world, &requests);
    check(&evaluator, &entities, &mut cases);
    let released = cases.iter().filter(|case| case.expected).count();
    let rules: usize = cases.iter().flat_map(|case| &case.sets).map(|set| set.policies().count()).sum();
    println!(
        "{} decisions on one field, {released} of them yes; cedar-policy {} and regorus {}, a slice has {:.1} rules",
        cases.len(),
        version("cedar-policy"),
        version("regorus"),
        rules as f64 / cases.len() as f64,
    );

    let mut fields = evaluator.field_set();
    let mut filter = || {
        for (ask, host) in &requests {
            evaluator.filter(black_box(ask), host, &mut fields);
            black_box(&fields);
        }
    };
    let by_field = (requests.len() * Size::FULL.fields) as f64;
    let single: Vec<(Ask, Name, HostFacts)> =
        cases.iter().map(|case| (case.ask.clone(), case.field.clone(), case.host.clone())).collect();
    let named: Vec<(Ask, HostFacts)> = cases.iter().map(|case| (one(case), case.host.clone())).collect();
    let mut decide = || named.iter().for_each(|(ask, host)| drop(black_box(evaluator.decide(black_box(ask), host))));
    let each = cases.len() as f64;
    let mut permits = || {
        for case in &single {
            black_box(evaluator.permits(black_box(&case.0), &case.1, &case.2));
        }
    };

    let cedars: Vec<(Vec<PolicySet>, Request)> =
        cases.iter().map(|case| (case.sets.clone(), case.request.clone())).collect();
    let mut ask_cedar = || {
        for (sets, request) in &cedars {
            for set in sets {
                black_box(Authorizer::new().is_authorized(black_box(request), set, &entities));
            }
        }
    };
    let mut engines: Vec<(Engine, Value)> =
        cases.iter().map(|case| (case.engine.clone(), case.input.clone())).collect();
    let mut ask_vm =
        cases.iter_mut().filter_map(|case| Some((case.vm.take()?, case.input.clone()))).collect::<Vec<_>>();
    let with_vm = ask_vm.len() == named.len();
    let mut ask_rego = || {
        if with_vm {
            for (vm, input) in &mut ask_vm {
                vm.set_input(black_box(input.clone()));
                black_box(vm.execute().expect("a total program"));
            }
        } else {
            for (engine, input) in &mut engines {
                engine.set_input(black_box(input.clone()));
                black_box(engine.eval_rule("data.consent.out".to_owned()).expect("a total program"));
            }
        }
    };
    let mut holds = true;
    let mut line = |name: &str, ratio: f64, goal: Option<f64>| {
        let verdict = goal.map_or("", |goal| if ratio >= goal { "holds" } else { "short" });
        holds &= verdict != "short";
        println!("{name:<60} {ratio:>12.1}  {:>8}  {verdict}", goal.map_or(String::new(), |goal| format!("{goal}")));
    };
    let ratio = compare(&mut ask_cedar, each, &mut filter, by_field);
    line("Cedar, one field / filter, per field", ratio, Some(1_000.0));
    let ratio = compare(&mut ask_cedar, each, &mut permits, each);
    line("Cedar, one field / permits, that field alone", ratio, None);
    let ratio = compare(&mut ask_cedar, each, &mut decide, each);
    line("Cedar, one field / decide on that field alone, with reasons", ratio, None);
    let ratio = compare(&mut ask_cedar, each, &mut filter, requests.len() as f64);
    line("Cedar, one field / filter of all 4,500", ratio, None);
    let ratio = compare(&mut ask_rego, each, &mut filter, by_field);
    line("regorus, one field / filter, per field", ratio, Some(300.0));
    let ratio = compare(&mut ask_rego, each, &mut permits, each);
    line("regorus, one field / permits, that field alone", ratio, Some(300.0));
    let ratio = compare(&mut ask_rego, each, &mut decide, each);
    line("regorus, one field / decide on that field alone", ratio, None);
    let ratio = compare(&mut ask_rego, each, &mut filter, requests.len() as f64);
    line("regorus, one field / filter of all 4,500", ratio, None);
    println!("regorus ran {}", if with_vm { "compiled, in its virtual machine" } else { "in its interpreter" });
    if holds { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The request of a case, by the field's name.
fn one(case: &Case) -> Ask {
    let mut ask = case.ask.clone();
    ask.fields = Some(AskedFields::These([case.field.clone()].into()));
    ask
}

/// For every fourth request three fields that it gets and three that it may not.
fn cases(evaluator: &Evaluator, world: &World, requests: &[(Ask, HostFacts)]) -> Vec<Case> {
    let all: Vec<&Name> = evaluator.policy().vocabulary().fields().keys().collect();
    let mut permitted = evaluator.field_set();
    let mut cases = Vec::new();
    for (number, (ask, host)) in requests.iter().enumerate().step_by(4) {
        evaluator.filter(ask, host, &mut permitted);
        let others = (0..3).map(|step| all[(number * 37 + step * 411) % all.len()]);
        let fields: BTreeSet<&Name> = permitted.iter().take(3).chain(others).collect();
        cases.extend(fields.into_iter().map(|field| case(world, ask, host, field, permitted.contains(field))));
    }
    cases
}

fn case(world: &World, ask: &Ask, host: &HostFacts, field: &Name, expected: bool) -> Case {
    let mut asked = Asked::read(&ask.to_bytes());
    asked.fields = Some(Some(vec![field.to_string()]));
    let facts = Facts {
        party: host.party.to_string(),
        now: host.now.secs(),
        assurance: host.assurance.level().into(),
        ..Facts::default()
    };
    let slice = world.slice(&facts.party, field.as_str());
    // Records of today: no rule of the workload lets older ones go that stay themselves.
    let times = BTreeSet::from([facts.now]);
    let context = cedar::context(&slice, &asked, &facts, facts.now).expect("complete");
    let mut ranks: BTreeSet<u64> = slice.permissions.iter().map(|rule| rule.rank).collect();
    if ranks.is_empty() {
        ranks.insert(2);
    }
    let set = |rank: &u64| {
        let permissions = slice.permissions.iter().filter(|rule| rule.rank == *rank);
        cedar::policy_set(&slice, permissions, slice.prohibitions.iter().filter(|rule| rule.rank >= *rank))
    };
    let sets = ranks.iter().map(set).collect();
    let data: Value = serde_json::json!({ "world": rego::data(&slice) }).into();
    let mut engine = Engine::new();
    engine.add_policy("consent.rego".to_owned(), rego::PROGRAM.to_owned()).expect("a program");
    engine.add_data(data.clone()).expect("data");
    Case {
        ask: ask.clone(),
        host: host.clone(),
        field: field.clone(),
        expected,
        sets,
        request: cedar::request(&asked, &facts, field.as_str(), context),
        vm: compiled(&mut engine, data),
        engine,
        input: rego::input(&asked, &facts, &times),
    }
}

/// The same program in the virtual machine, if it takes it.
fn compiled(engine: &mut Engine, data: Value) -> Option<RegoVM> {
    let entry: Rc<str> = "data.consent.out".into();
    let policy = engine.compile_with_entrypoint(&entry).ok()?;
    let program: Arc<_> = Compiler::compile_from_policy(&policy, &[&*entry]).ok()?;
    let mut vm = RegoVM::new();
    vm.load_program(program);
    vm.set_data(data).ok()?;
    Some(vm)
}

/// All engines answer alike.
fn check(evaluator: &Evaluator, entities: &Entities, cases: &mut [Case]) {
    for case in cases {
        let decision = evaluator.decide(&one(case), &case.host);
        assert_eq!(matches!(&decision, Decision::Permit(permit) if permit.has(&case.field)), case.expected);
        assert_eq!(evaluator.permits(&case.ask, &case.field, &case.host), case.expected);
        let allows = |set: &PolicySet| {
            Authorizer::new().is_authorized(&case.request, set, entities).decision() == CedarDecision::Allow
        };
        assert_eq!(case.sets.iter().any(allows), case.expected, "Cedar");
        case.engine.set_input(case.input.clone());
        let has = |out: &Value| out.as_set().expect("a set").len() == 1;
        let out = case.engine.eval_rule("data.consent.out".to_owned()).expect("a total program");
        assert_eq!(has(&out), case.expected, "regorus");
        if let Some(mut vm) = case.vm.take() {
            vm.set_input(case.input.clone());
            if vm.execute().is_ok_and(|out| has(&out) == case.expected) {
                case.vm = Some(vm);
            }
        }
    }
}

/// The median over paired rounds of the time of `theirs` by that of `ours`, each per piece. Ours is repeated until it takes about
/// as long as theirs: else whatever interrupts would fall on one of both only.
#[expect(clippy::disallowed_methods, reason = "this program measures")]
fn compare(theirs: &mut dyn FnMut(), pieces: f64, ours: &mut dyn FnMut(), ours_pieces: f64) -> f64 {
    let time = |work: &mut dyn FnMut(), times: u32| {
        let start = Instant::now();
        (0..times).for_each(|_| work());
        start.elapsed().as_secs_f64() / f64::from(times)
    };
    let quickest = |work: &mut dyn FnMut()| (0..5).map(|_| time(work, 1)).fold(f64::INFINITY, f64::min);
    let times = (quickest(theirs) / quickest(ours)).clamp(1.0, 10_000.0) as u32;
    let mut ratios: Vec<f64> = (0..ROUNDS)
        .map(|round| {
            let (them, us) = if round % 2 == 0 {
                let them = time(theirs, 1);
                (them, time(ours, times))
            } else {
                let us = time(ours, times);
                (time(theirs, 1), us)
            };
            (them / pieces) / (us / ours_pieces)
        })
        .collect();
    ratios.sort_by(f64::total_cmp);
    ratios[ROUNDS / 2]
}

/// The version of a package, from the lock file.
fn version(package: &str) -> &'static str {
    let lock = include_str!("../../Cargo.lock");
    let after = lock.split_once(&format!("name = \"{package}\"\nversion = \"")).map_or("", |(_, after)| after);
    after.split('"').next().unwrap_or_default()
}
