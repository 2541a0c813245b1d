//! Every rule of time, one second before and after, as ints and as floats.

use super::*;
use crate::test_util::raw_sign1;

/// A moment relative to the fixture's hour, written as int or float.
#[derive(Clone, Copy)]
struct At(i64, bool);

impl At {
    fn write(self, w: &mut Writer) {
        let secs = i64::try_from(HOUR).unwrap() + self.0;
        if self.1 {
            w.float(secs as f64)
        } else {
            w.int(secs)
        };
    }
}

#[derive(Clone, Copy, Default)]
struct Times {
    nbf: Option<At>,
    iat: Option<At>,
    exp: Option<At>,
    kb_nbf: Option<At>,
    kb_iat: Option<At>,
    kb_exp: Option<At>,
}

/// What a rule says of two equal times.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Equal {
    Broken,
    Fine,
}

fn present(times: Times) -> (Fixture, Vec<u8>) {
    let fixture = Fixture::new();
    let payload = map(|map| {
        map.int(1, |w| unit(w.text(ISS))).int(8, |w| {
            w.map(|map| unit(map.int(1, |w| fixture.holder.public().encode(w))));
        });
        for (label, at) in [(5, times.nbf), (6, times.iat), (4, times.exp)] {
            if let Some(at) = at {
                map.int(label, |w| at.write(w));
            }
        }
    });
    let token = raw_sign1(&fixture.issuer, &fixture.header(), &[0xa0], &payload);
    let kbt = fixture.bind_with(&token, |map| {
        for (label, at) in [(5, times.kb_nbf), (6, times.kb_iat), (4, times.kb_exp)] {
            if let Some(at) = at {
                map.int(label, |w| at.write(w));
            }
        }
        map
    });
    (fixture, kbt)
}

fn verify(times: Times, now: i64, leeway: u64) -> String {
    let (fixture, kbt) = present(times);
    let now = Timestamp::from_secs(HOUR.checked_add_signed(now).unwrap());
    let verifier =
        Verifier::new(&fixture.trust, audience(), VctPolicy::any_or_none(), short_lived()).with_leeway(leeway);
    match verifier.verify(&kbt, challenge(), now) {
        Ok(_) => "ok".into(),
        Err(VerifyError::Time(error)) => format!("{error:?}"),
        Err(error) => error.code().into(),
    }
}

#[test]
fn the_eleven_rules_at_one_second() {
    // The leeway is wide, so that only the rule in question speaks.
    for float in [false, true] {
        let at = |secs: i64| Some(At(secs, float));
        let all = |kb_iat: i64| Times { kb_iat: at(kb_iat), ..Times::default() };
        for left in [-1, 0, 1] {
            let (a, b) = (at(left), at(0));
            let cases = [
                (Times { nbf: a, iat: b, ..all(1) }, Equal::Fine),
                (Times { nbf: a, exp: b, ..all(-1) }, Equal::Broken),
                (Times { iat: a, exp: b, ..all(-1) }, Equal::Broken),
                (Times { kb_nbf: a, ..all(0) }, Equal::Fine),
                (Times { kb_exp: b, ..all(left) }, Equal::Broken),
                (Times { kb_exp: a, exp: b, ..all(-10) }, Equal::Fine),
                (Times { nbf: a, kb_nbf: b, ..all(1) }, Equal::Fine),
                (Times { iat: a, ..all(0) }, Equal::Fine),
                (Times { kb_nbf: a, exp: b, ..all(left) }, Equal::Broken),
                (Times { exp: b, ..all(left) }, Equal::Broken),
                (Times { nbf: a, ..all(0) }, Equal::Fine),
            ];
            for (rule, (times, equal)) in (1..).zip(cases) {
                let fine = left < 0 || (left == 0 && equal == Equal::Fine);
                let want = if fine { "ok".into() } else { format!("Inconsistent({rule})") };
                assert_eq!(verify(times, 0, 10_000), want, "T{rule}, {left} against 0");
            }
        }
    }
}

#[test]
fn the_clock_at_one_second() {
    let at = |secs: i64| Some(At(secs, false));
    let base = Times { kb_iat: at(0), ..Times::default() };
    for leeway in [0, 60] {
        let slack = i64::try_from(leeway).unwrap();
        // Begins: up to the second itself, plus leeway.
        assert_eq!(verify(base, -slack, leeway), "ok");
        assert_eq!(verify(base, -slack - 1, leeway), "NotYetValid");
        let later = Times { iat: at(-10), nbf: at(-10), kb_nbf: at(0), ..base };
        assert_eq!(verify(later, -slack, leeway), "ok");
        assert_eq!(verify(later, -slack - 1, leeway), "NotYetValid");
        // Ends: the second of the end is over.
        for ended in [Times { exp: at(100), ..base }, Times { kb_exp: at(100), ..base }] {
            assert_eq!(verify(ended, 99 + slack, leeway), "ok");
            assert_eq!(verify(ended, 100 + slack, leeway), "Expired");
        }
        // Age.
        assert_eq!(verify(base, 300 + slack, leeway), "ok");
        assert_eq!(verify(base, 301 + slack, leeway), "Stale");
    }
}

#[test]
fn dates_are_exact_and_bounded() {
    let fixture = Fixture::new();
    let show = |write: &dyn Fn(&mut Writer)| {
        let payload = fixture.payload(|map| unit(map.int(4, |w| write(w))));
        code(fixture.verify(&fixture.shown(&payload, &[])))
    };
    let now = fixture.now.secs() as f64;
    assert_eq!(show(&|w| unit(w.float(now))), "Time.Inconsistent");
    assert_eq!(show(&|w| unit(w.float(now + 0.25))), "ok");
    assert_eq!(show(&|w| unit(w.float(f64::NAN))), "Claims.Date");
    assert_eq!(show(&|w| unit(w.float(f64::INFINITY))), "Claims.Date");
    assert_eq!(show(&|w| unit(w.float(9_007_199_254_740_992.0))), "ok");
    assert_eq!(show(&|w| unit(w.float(9_007_199_254_740_994.0))), "Claims.Date");
    assert_eq!(show(&|w| unit(w.float(-9_007_199_254_740_994.0))), "Claims.Date");
    assert_eq!(show(&|w| unit(w.uint(u64::try_from(i64::MAX).unwrap()))), "ok");
    assert_eq!(show(&|w| unit(w.uint(1 << 63))), "Claims.Date");
    assert_eq!(show(&|w| unit(w.int(i64::MIN))), "Time.Inconsistent");
}

#[test]
fn ints_and_floats_compare_as_numbers() {
    use crate::claims::Date;
    let date = |value: f64| {
        let bytes = cbor(|w| unit(w.float(value)));
        Date::read(deedbox_cbor::read(&bytes, Order::Any, &Limits::new(16)).unwrap()).unwrap()
    };
    let values = [-9.0e15, -2.5, -2.0, -1.5, -1.0, -0.5, -1.0e-300, 0.0, 1.0e-300, 0.5, 1.0, 1.5, 2.0, 9.0e15];
    for left in values {
        for right in values {
            assert_eq!(date(left).partial_cmp(&date(right)), left.partial_cmp(&right), "{left} {right}");
            for secs in [0_u64, 1, 2, 3] {
                if left.abs() < 10.0 && right.abs() < 10.0 && left.abs() > 0.1 && right.abs() > 0.1 {
                    let want = left - right <= secs as f64;
                    assert_eq!(date(left).exceeds_by_at_most(date(right), secs), want, "{left} {right} {secs}");
                }
            }
        }
        for secs in [-3_i128, -2, -1, 0, 1, 2, 3] {
            assert_eq!(Some(date(left).compare(secs)), left.partial_cmp(&(secs as f64)), "{left} {secs}");
        }
    }
}
