//! A log's decisions can be made again, and one that was written otherwise is found.

use deedbox_audit::{Entry, Log, LogId, Row};
use deedbox_consent::{Change, Decision, Maker, Policy, test_util::Draw};
use deedbox_interop::replay::{Replayed, decision_entry, replay};
use deedbox_model::Digest;
use deedbox_testkit::rng::SeededRng;
use proptest::{collection::vec, prelude::*};

/// A log of decisions by policies that change between them; each policy goes by the number of changes before it. Time never
/// goes back.
fn kept(policy: &Policy, questions: &[Vec<u8>]) -> (Log, Vec<Policy>) {
    let mut rng = SeededRng::new(1);
    let (mut log, mut policies) = (Log::new(LogId::generate(&mut rng)), vec![policy.clone()]);
    let mut uses = std::collections::BTreeMap::new();
    for (number, bytes) in questions.iter().enumerate() {
        let mut draw = Draw::new(bytes);
        let (ask, mut host) = if draw.below(4) == 0 { (draw.ask(), draw.host()) } else { draw.question() };
        host.now = deedbox_consent::test_util::at(number as u64 * 4);
        host.uses.clone_from(&uses);
        let decision = policies[policies.len() - 1].decide(&ask, &host);
        let mut entry = decision_entry(&ask, &host, &decision, digest(policies.len() - 1));
        // Now and then nothing leaves all the same, and then it is no use.
        entry.stopped = matches!(decision, Decision::Permit(_)) && draw.below(4) == 0;
        for id in decision.for_person().determining.into_iter().filter(|_| !entry.stopped) {
            uses.entry(id.clone()).or_insert_with(Vec::new).push(host.now);
        }
        log.append(entry, &mut rng);
        let mut changed = policies[policies.len() - 1].clone();
        if let change @ (Change::Suspend(_) | Change::Withdraw(_)) = draw.change(&changed, &format!("x{number}"))
            && changed.apply(change, &Maker::Person).is_ok()
        {
            policies.push(changed);
        }
    }
    (log, policies)
}

fn digest(number: usize) -> Digest {
    Digest::from_bytes([u8::try_from(number).unwrap(); 32])
}

fn judge(rows: &[Row], policies: &[Policy]) -> Vec<Replayed> {
    let policy_of = |digest: &Digest| policies.get(usize::from(digest.as_bytes()[0]));
    replay(rows, policy_of).into_iter().map(|(_, replayed)| replayed).collect()
}

proptest! {
    #[test]
    fn deciding_again_gives_the_log(policy in vec(any::<u8>(), 0..360), questions in vec(vec(any::<u8>(), 60), 1..12)) {
        let (log, policies) = kept(&Draw::new(&policy).policy(), &questions);
        prop_assert_eq!(judge(log.rows(), &policies), vec![Replayed::Same; questions.len()]);
        prop_assert_eq!(judge(log.rows(), &[]), vec![Replayed::NoPolicy; questions.len()]);
    }

    #[test]
    fn an_entry_that_was_written_otherwise_is_found(
        policy in vec(any::<u8>(), 0..360),
        questions in vec(vec(any::<u8>(), 60), 1..6),
        (which, lie) in (0usize..6, 0usize..6),
    ) {
        let (log, policies) = kept(&Draw::new(&policy).policy(), &questions);
        let which = which % questions.len();
        let mut rng = SeededRng::new(2);
        let mut told = Log::new(log.id());
        let mut is_lie = false;
        for (number, row) in log.rows().iter().enumerate() {
            let Row::Kept(entry) = row else { unreachable!() };
            let mut entry: Entry = entry.entry().clone();
            if number == which {
                let before = entry.clone();
                match lie {
                    0 => entry.released.clear(),
                    1 => entry.released.push("zzz".into()),
                    2 => entry.determining.push("zzz".into()),
                    3 => entry.withheld.iter_mut().for_each(|(_, reason)| *reason = 18),
                    4 => entry.stopped |= entry.determining.is_empty(),
                    _ => entry.obligations = Some(64),
                }
                is_lie = entry != before;
            }
            told.append(entry, &mut rng);
        }
        prop_assert_eq!(judge(told.rows(), &policies)[which] == Replayed::Different, is_lie);
        // The same after an erasure is a matter for somebody who remembers.
        if which > 0 {
            told.erase(0);
            prop_assert_eq!(judge(told.rows(), &policies)[which - 1] == Replayed::Unclear, is_lie);
        }
    }
}
