//! Strict CBOR beside the crate `ciborium`: documents of either are read by the other, altered ones get one verdict, and where
//! they don't, `docs/format/cbor.md` says why.

use ciborium::Value;
use deedbox_cbor::{CborError, Item, Kind, Limits, Order, read};
use proptest::prelude::*;

use deedbox_oracle::value::{altered, ours, places, read_by_them, theirs, value, write};

const LIMITS: Limits = Limits::new(1 << 20);

/// Whether `item` says what `value` does, entry by entry in the order received.
fn says(item: Item<'_>, value: &Value) -> bool {
    match value {
        Value::Integer(int) => {
            let ours = item.as_u64().map(i128::from).or_else(|| item.as_nint().map(|nint| -1 - i128::from(nint)));
            ours == Some(i128::from(*int))
        }
        Value::Bytes(bytes) => item.as_bytes() == Some(bytes),
        Value::Text(text) => item.as_str() == Some(text),
        Value::Bool(bool) => item.as_bool() == Some(*bool),
        Value::Null => item.is_null(),
        Value::Float(float) => item.as_f64().is_some_and(|ours| ours.to_bits() == float.to_bits()),
        Value::Tag(tag, content) => item.as_tag().is_some_and(|(ours, inside)| ours == *tag && says(inside, content)),
        Value::Array(elements) => item.as_array().is_some_and(|array| {
            array.len() == elements.len() && array.iter().zip(elements).all(|(ours, theirs)| says(ours, theirs))
        }),
        Value::Map(entries) => item.as_map().is_some_and(|map| {
            let equal = |((key, value), (their_key, their_value)): ((Item<'_>, Item<'_>), &(Value, Value))| {
                says(key, their_key) && says(value, their_value)
            };
            map.len() == entries.len() && map.iter().zip(entries).all(equal)
        }),
        _ => false,
    }
}

/// Whether anything in `item` is of `kinds`.
fn holds(item: Item<'_>, wanted: &dyn Fn(Item<'_>) -> bool) -> bool {
    wanted(item)
        || item.as_array().into_iter().flatten().any(|element| holds(element, wanted))
        || item.as_map().into_iter().flatten().any(|(key, value)| holds(key, wanted) || holds(value, wanted))
        || item.as_tag().is_some_and(|(_, content)| holds(content, wanted))
}

fn maps<'v>(value: &'v Value, into: &mut Vec<&'v [(Value, Value)]>) {
    match value {
        Value::Array(elements) => elements.iter().for_each(|element| maps(element, into)),
        Value::Map(entries) => {
            into.push(entries);
            entries.iter().for_each(|(key, value)| {
                maps(key, into);
                maps(value, into);
            });
        }
        Value::Tag(_, content) => maps(content, into),
        _ => {}
    }
}

fn floats(value: &Value, into: &mut Vec<f64>) {
    match value {
        Value::Array(elements) => elements.iter().for_each(|element| floats(element, into)),
        Value::Map(entries) => entries.iter().for_each(|(key, value)| {
            floats(key, into);
            floats(value, into);
        }),
        Value::Tag(_, content) => floats(content, into),
        Value::Float(float) => into.push(*float),
        _ => {}
    }
}

fn code(result: Result<Item<'_>, CborError>) -> &'static str {
    result.map_or_else(|error| error.code(), |_| "ok")
}

proptest! {
    #[test]
    fn what_ciborium_writes_is_read_but_for_equal_keys_and_odd_nans(value in value()) {
        let bytes = theirs(&value);
        let (mut all, mut numbers) = (Vec::new(), Vec::new());
        maps(&value, &mut all);
        floats(&value, &mut numbers);
        let keys = |map: &[(Value, Value)]| map.iter().map(|(key, _)| theirs(key)).collect::<Vec<_>>();
        let twice = all.iter().any(|map| {
            let mut keys = keys(map);
            keys.sort();
            keys.windows(2).any(|pair| pair[0] == pair[1])
        });
        let odd = numbers.iter().any(|float| float.is_nan() && float.to_bits() != f64::NAN.to_bits());
        match read(&bytes, Order::Any, &LIMITS) {
            Ok(item) => {
                prop_assert!(!twice && !odd && says(item, &value));
                let sorted = all.iter().all(|map| keys(map).is_sorted());
                prop_assert_eq!(read(&bytes, Order::Canonical, &LIMITS).is_ok(), sorted);
                if sorted {
                    prop_assert_eq!(ours(&value), bytes);
                }
            }
            Err(CborError::DuplicateKey { .. }) => prop_assert!(twice),
            Err(CborError::NonPreferred { .. }) => prop_assert!(odd),
            Err(error) => prop_assert!(false, "{}", error.code()),
        }
    }

    #[test]
    fn what_ours_writes_ciborium_reads_and_writes_again(value in value()) {
        let bytes = ours(&value);
        let read_by_them = read_by_them(&bytes).unwrap();
        prop_assert!(says(read(&bytes, Order::Canonical, &LIMITS).unwrap(), &read_by_them));
        prop_assert_eq!(theirs(&read_by_them), bytes);
    }

    #[test]
    fn altered_documents_get_one_verdict_but_for_what_is_listed(value in value(), places in places(), sorted: bool) {
        let bytes = altered(if sorted { ours(&value) } else { theirs(&value) }, &places);
        match (read(&bytes, Order::Any, &LIMITS), read_by_them(&bytes)) {
            (Ok(item), Some(value)) => {
                let listed = |item: Item<'_>| {
                    item.is_undefined() || item.as_tag().is_some_and(|(tag, _)| matches!(tag, 2 | 3))
                };
                prop_assert!(says(item, &value) || holds(item, &listed));
            }
            (Ok(item), None) => {
                let bignum = |item: Item<'_>| item.as_tag().is_some_and(|(tag, _)| matches!(tag, 2 | 3));
                prop_assert!(holds(item, &|item| item.kind() == Kind::Simple || bignum(item)));
            }
            (Err(error), Some(_)) => {
                prop_assert!(matches!(error.code(), "DuplicateKey" | "Indefinite" | "NonPreferred" | "TooDeep"), "{}", error.code());
            }
            (Err(_), None) => {}
        }
    }
}

/// Each disagreement of `docs/format/cbor.md`: bytes, ours, theirs.
#[test]
fn the_disagreements_are_those_listed() {
    let deep = |levels: usize| [vec![0x81; levels], vec![0]].concat();
    let (most, more) = (deep(32), deep(33));
    let cases: &[(&[u8], &str, bool)] = &[
        // One map, two values for one key: who reads decides which.
        (&[0xa2, 0, 0, 0, 1], "DuplicateKey", true),
        // One value, many encodings.
        (&[0x18, 1], "NonPreferred", true),
        (&[0xfa, 0x3f, 0x80, 0, 0], "NonPreferred", true),
        (&[0xfb, 0x7f, 0xf8, 0, 0, 0, 0, 0, 1], "NonPreferred", true),
        (&[0x9f, 0xff], "Indefinite", true),
        (&[0x7f, 0x61, b'a', 0xff], "Indefinite", true),
        // Nesting without end.
        (&most, "ok", true),
        (&more, "TooDeep", true),
        // Simple values: SD-CWT needs 59, ciborium has none.
        (&[0xf8, 59], "ok", false),
        (&[0xe0], "ok", false),
        (&[0xf8, 24], "Simple", false),
    ];
    for (bytes, want, read) in cases {
        assert_eq!((code(strictly(bytes)), read_by_them(bytes).is_some()), (*want, *read), "{bytes:02x?}");
    }
    // `undefined` is `null` to them, a bignum an integer; here each is what it is.
    assert_eq!(read_by_them(&[0xf7]), Some(Value::Null));
    assert!(strictly(&[0xf7]).unwrap().is_undefined());
    assert_eq!(read_by_them(&[0xc2, 0x41, 5]), Some(Value::from(5)));
    assert!(strictly(&[0xc2, 0x41, 5]).unwrap().as_tag().is_some());
    // Bytes behind the item are left lying there.
    let mut rest: &[u8] = &[0, 0];
    assert!(ciborium::from_reader::<Value, _>(&mut rest).is_ok() && rest == [0]);
    assert_eq!(code(strictly(&[0, 0])), "Trailing");
    // And their writer writes an equal key as often as it is there.
    let twice = Value::Map(vec![(Value::from(0), Value::Null), (Value::from(0), Value::Bool(true))]);
    assert_eq!(theirs(&twice), [0xa2, 0, 0xf6, 0, 0xf5]);
    let mut writer = deedbox_cbor::Writer::new();
    write(&twice, &mut writer);
    assert_eq!(writer.as_slice(), [0xa1, 0, 0xf5]);
}

fn strictly(bytes: &[u8]) -> Result<Item<'_>, CborError> {
    read(bytes, Order::Any, &LIMITS)
}
