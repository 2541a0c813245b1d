//! Typed values through serde: deterministic out, strict in.
#![cfg(feature = "serde")]

use std::collections::{BTreeMap, HashMap};

use deedbox_cbor::{Limits, Order, bridge};
use deedbox_testkit::vectors::{hex, unhex};
use proptest::prelude::*;
use serde::{Deserialize, Serialize};

const LIMITS: Limits = Limits::new(1 << 16);

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Visit {
    place: String,
    when: u64,
    below: i128,
    weight: Option<f64>,
    notes: BTreeMap<String, Vec<u16>>,
    kind: Kind,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum Kind {
    First,
    Again { after: u8 },
}

fn visits() -> impl Strategy<Value = Visit> {
    let notes = proptest::collection::btree_map(".{0,9}", proptest::collection::vec(any::<u16>(), 0..4), 0..5);
    let kind = prop_oneof![Just(Kind::First), any::<u8>().prop_map(|after| Kind::Again { after })];
    let below = -(1_i128 << 64)..(1_i128 << 64);
    (".{0,20}", any::<u64>(), below, proptest::option::of(-1e300..1e300), notes, kind)
        .prop_map(|(place, when, below, weight, notes, kind)| Visit { place, when, below, weight, notes, kind })
}

proptest! {
    #[test]
    fn a_typed_value_comes_back_from_canonical_bytes(visit in visits()) {
        let bytes = bridge::to_vec(&visit).unwrap();
        prop_assert_eq!(&bridge::from_slice::<Visit>(&bytes, Order::Canonical, &LIMITS).unwrap(), &visit);
        for len in 0..bytes.len() {
            prop_assert!(bridge::from_slice::<Visit>(&bytes[..len], Order::Any, &LIMITS).is_err());
        }
    }

    #[test]
    fn a_hash_map_is_written_in_one_way(entries in proptest::collection::hash_map(any::<i32>(), any::<bool>(), 0..40)) {
        let sorted: BTreeMap<i32, bool> = entries.iter().map(|(key, value)| (*key, *value)).collect();
        prop_assert_eq!(bridge::to_vec(&entries).unwrap(), bridge::to_vec(&sorted).unwrap());
        let bytes = bridge::to_vec(&entries).unwrap();
        prop_assert_eq!(bridge::from_slice::<HashMap<i32, bool>>(&bytes, Order::Canonical, &LIMITS).unwrap(), entries);
    }
}

#[test]
fn what_is_not_strict_is_not_decoded_and_what_does_not_fit_is_named() {
    for (bad, want) in [
        ("1807", "NonPreferred"), // the long form of 7
        ("0707", "Trailing"),     // 7, and 7 again
        ("5f4107ff", "Indefinite"),
        ("a2000000 00", "DuplicateKey"),
        ("f818", "Simple"),
        ("6107", "Shape"), // a text
        ("3907", "Eof"),
        ("20", "Shape"),                 // -1
        ("1b0000000100000000", "Shape"), // 2^32
    ] {
        let found =
            bridge::from_slice::<u32>(&unhex(bad), Order::Any, &LIMITS).map_or_else(|error| error.code(), |_| "ok");
        assert_eq!(found, want, "{bad}");
    }
    assert_eq!(bridge::from_slice::<u32>(&[7], Order::Any, &LIMITS), Ok(7));
    assert_eq!(bridge::from_slice::<u32>(&[7], Order::Any, &Limits::new(0)).unwrap_err().code(), "TooLong");
}

#[test]
fn two_keys_that_are_written_alike_are_refused() {
    struct Twice;
    impl Serialize for Twice {
        fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            serializer.collect_map([(1_u8, 'a'), (2, 'b'), (1, 'c')])
        }
    }
    assert_eq!(bridge::to_vec(&Twice).unwrap_err().code(), "DuplicateKey");
}

#[test]
fn the_shortest_forms_are_written() {
    assert_eq!(
        hex(&bridge::to_vec(&(1.5, 23_u64, 24_i8, -1_i64, f64::NAN, i128::from(i64::MIN) * 2)).unwrap()),
        "86f93e0017181820f97e003bffffffffffffffff"
    );
    assert_eq!(hex(&bridge::to_vec(&(u128::MAX - 255)).unwrap()), "c250ffffffffffffffffffffffffffffff00");
}
