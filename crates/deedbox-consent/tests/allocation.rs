//! Neither the filter nor the answer on one field allocates anything, whatever it is asked: an allocator that counts says so.

use allocation_counter::measure;
use deedbox_consent::test_util::{Draw, Size, workload};
use deedbox_testkit::rng::SeededRng;
use rand_core::Rng as _;

#[test]
fn the_filter_allocates_nothing() {
    let (policy, requests) = workload(Size::SMALL);
    let evaluator = policy.compile().unwrap();
    let mut fields = evaluator.field_set();
    let mut released = 0;
    for (ask, host) in &requests {
        let counted = measure(|| evaluator.filter(ask, host, &mut fields));
        assert_eq!((counted.count_total, counted.bytes_total), (0, 0));
        released += fields.len();
        // It does count: a decision is made of sets and lists.
        assert!(measure(|| drop(evaluator.decide(ask, host))).count_total > 0);
    }
    assert!(released > 0);
}

#[test]
fn nor_does_it_with_any_rule_or_request() {
    let mut rng = SeededRng::new(3);
    let mut released = 0;
    for _ in 0..200 {
        let mut bytes = [0; 600];
        rng.fill_bytes(&mut bytes);
        let (rules, questions) = bytes.split_at(360);
        let evaluator = Draw::new(rules).policy().compile().unwrap();
        let mut fields = evaluator.field_set();
        for question in questions.chunks(48) {
            let (ask, host) = Draw::new(question).question();
            let counted = measure(|| evaluator.filter(&ask, &host, &mut fields));
            assert_eq!(counted.count_total, 0);
            released += fields.len();
            for field in evaluator.policy().vocabulary().fields().keys() {
                let counted = measure(|| assert_eq!(evaluator.permits(&ask, field, &host), fields.contains(field)));
                assert_eq!(counted.count_total, 0);
            }
        }
    }
    assert!(released > 50, "{released}");
}
