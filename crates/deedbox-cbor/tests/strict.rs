//! What the strict reader refuses, each fault with its name and its untampered twin; and that it agrees with ciborium on
//! everything it accepts.

use ciborium::Value;
use deedbox_cbor::{CborError, Cursor, ItemBuf, Kind, Limits, Order, Writer, read, read_first, read_sequence};
use deedbox_testkit::vectors::unhex;
use proptest::prelude::*;

const LIMITS: Limits = Limits::new(1 << 20);

fn code(hex: &str, order: Order) -> &'static str {
    read(&unhex(hex), order, &LIMITS).map_or_else(|error| error.code(), |_| "ok")
}

#[test]
fn each_fault_has_its_name_and_its_twin_is_accepted() {
    for (bad, want, twin) in [
        ("", "Eof", "00"),
        ("18", "Eof", "1818"),
        ("1900", "Eof", "190100"),
        ("4201", "Eof", "420102"),
        ("6261", "Eof", "626161"),
        ("8200", "Eof", "820000"),
        ("a100", "Eof", "a10000"),
        ("c1", "Eof", "c100"),
        ("5bffffffffffffffff", "Eof", "40"),
        ("9bffffffffffffffff00", "Eof", "8100"),
        ("bbffffffffffffffff00", "Eof", "a10000"),
        ("5f4100ff", "Indefinite", "4100"),
        ("7f6161ff", "Indefinite", "6161"),
        ("9f00ff", "Indefinite", "8100"),
        ("bf0000ff", "Indefinite", "a10000"),
        ("ff", "Indefinite", "f6"),
        ("1c", "Reserved", "00"),
        ("1f", "Reserved", "00"),
        ("3f", "Reserved", "20"),
        ("df00", "Reserved", "c000"),
        ("fc", "Reserved", "f6"),
        ("f800", "Simple", "e0"),
        ("f818", "Simple", "f820"),
        ("f81f", "Simple", "f820"),
        ("1817", "NonPreferred", "17"),
        ("1900ff", "NonPreferred", "18ff"),
        ("1a0000ffff", "NonPreferred", "19ffff"),
        ("1b00000000ffffffff", "NonPreferred", "1affffffff"),
        ("5800", "NonPreferred", "40"),
        ("9800", "NonPreferred", "80"),
        ("b800", "NonPreferred", "a0"),
        ("d80100", "NonPreferred", "c100"),
        ("fa3f800000", "NonPreferred", "f93c00"),
        ("fb3ff0000000000000", "NonPreferred", "f93c00"),
        ("fb40f86a0000000000", "NonPreferred", "fa47c35000"),
        ("fa33800000", "NonPreferred", "f90001"),
        ("fa7fc00000", "NonPreferred", "f97e00"),
        ("f97e01", "NonPreferred", "f97e00"),
        ("f9fe00", "NonPreferred", "f97e00"),
        ("fb7ff8000000000000", "NonPreferred", "f97e00"),
        ("a200000000", "DuplicateKey", "a200000100"),
        ("a2616100616100", "DuplicateKey", "a2616100616200"),
        ("61ff", "Utf8", "6161"),
        ("62c328", "Utf8", "62c3a9"),
        ("0000", "Trailing", "00"),
    ] {
        for order in [Order::Any, Order::Canonical] {
            assert_eq!(code(bad, order), want, "{bad}");
            assert_eq!(code(twin, order), "ok", "{twin}");
        }
    }
}

#[test]
fn the_examples_of_the_format_page_hold() {
    let found = |hex: &str, order| read(&unhex(hex), order, &LIMITS).err();
    for (hex, any, canonical) in [
        ("a2 00 00 01 00", None, None),
        ("a2 01 00 00 00", None, Some(CborError::NotCanonical { offset: 3 })),
        ("a2 00 00 00 00", Some(CborError::DuplicateKey { offset: 3 }), Some(CborError::DuplicateKey { offset: 3 })),
        (
            "a3 00 00 01 00 00 00",
            Some(CborError::DuplicateKey { offset: 5 }),
            Some(CborError::NotCanonical { offset: 5 }),
        ),
        ("18 17", Some(CborError::NonPreferred { offset: 0 }), Some(CborError::NonPreferred { offset: 0 })),
        (
            "82 00 fa 3f 80 00 00",
            Some(CborError::NonPreferred { offset: 2 }),
            Some(CborError::NonPreferred { offset: 2 }),
        ),
        ("9b ff ff ff ff ff ff ff ff 00", Some(CborError::Eof { offset: 0 }), Some(CborError::Eof { offset: 0 })),
        ("f8 18", Some(CborError::Simple { offset: 0 }), Some(CborError::Simple { offset: 0 })),
    ] {
        assert_eq!((found(hex, Order::Any), found(hex, Order::Canonical)), (any, canonical), "{hex}");
    }
}

#[test]
fn no_alteration_of_a_document_is_read_as_the_document() {
    // [1, -500, h'0102', "ü", {0: 1.5, "a": null}, 60(simple(59)), undefined]
    let document = unhex("87 01 3901f3 420102 62c3bc a2 00 f93e00 6161 f6 d83c f83b f7");
    assert!(read(&document, Order::Canonical, &LIMITS).is_ok());
    for altered in deedbox_testkit::tamper::all(&document) {
        // Alterations of content are for signatures to notice; here no length may be believed that isn't there.
        if let Ok(item) = read(&altered, Order::Any, &LIMITS) {
            assert_eq!(item.bytes(), altered);
            assert_eq!(altered.len(), document.len());
        }
    }
    for cut in deedbox_testkit::tamper::truncations(&document) {
        assert_eq!(read(&cut, Order::Any, &LIMITS).unwrap_err().code(), "Eof");
    }
}

#[test]
fn order_of_keys_matters_only_where_it_was_asked_for() {
    for (unsorted, sorted) in
        [("a201000000", "a200000100"), ("a22000 0000", "a200002000"), ("a2616100 0000", "a20000616100")]
    {
        let unsorted = unsorted.replace(' ', "");
        assert_eq!(code(&unsorted, Order::Canonical), "NotCanonical");
        assert_eq!(code(&unsorted, Order::Any), "ok");
        assert_eq!(code(sorted, Order::Canonical), "ok");
    }
    // Far apart, inside another map, and with the equal keys not next to each other.
    assert_eq!(code("a30000010000 00".replace(' ', "").as_str(), Order::Any), "DuplicateKey");
    assert_eq!(code("a101a3030002000300", Order::Any), "DuplicateKey");
    assert_eq!(code("a203a20200010003a0", Order::Any), "DuplicateKey");
}

#[test]
fn a_duplicate_is_found_however_far_and_named_by_its_place() {
    for len in [2_u16, 16, 17, 18, 300] {
        // Keys 1 to len descending, each of three bytes with its value; the last is replaced by the first.
        let keys = |last: u16| {
            let mut map = match u8::try_from(len) {
                Ok(len) if len < 24 => vec![0xa0 | len],
                _ => [&[0xb9][..], &len.to_be_bytes()].concat(),
            };
            (2..=len)
                .rev()
                .chain([last])
                .for_each(|key| map.extend([&[0x42][..], &key.to_be_bytes(), &[0xf6]].concat()));
            map
        };
        assert!(read(&keys(1), Order::Any, &LIMITS).is_ok());
        let twice = keys(len);
        assert_eq!(read(&twice, Order::Any, &LIMITS), Err(CborError::DuplicateKey { offset: twice.len() - 4 }));
    }
}

#[test]
fn the_worst_documents_are_judged_in_one_breath() {
    // 100,000 keys in the worst order; then keys that are unsorted maps themselves, as deep as may be.
    let mut wide = vec![0xba, 0x00, 0x01, 0x86, 0xa0];
    (0..100_000_u32).rev().for_each(|key| wide.extend([&[0x44][..], &key.to_be_bytes(), &[0xf6]].concat()));
    assert!(read(&wide, Order::Any, &LIMITS).is_ok());
    let mut deep = unhex("a2 01f6 00f6");
    for _ in 1..32 {
        let wrapped = [&unhex("a3 02f6 01f6"), &deep, &[0xf6][..]].concat();
        deep = wrapped;
    }
    assert!(read(&deep, Order::Any, &LIMITS).is_ok());
    assert!(matches!(read(&[&[0x81], &deep[..]].concat(), Order::Any, &LIMITS), Err(CborError::TooDeep { .. })));
}

#[test]
fn depth_and_length_have_limits_and_cost_nothing() {
    let nested = |depth: usize, head: u8| [vec![head; depth], vec![0]].concat();
    for head in [0x81, 0xc1] {
        assert!(read(&nested(32, head), Order::Any, &LIMITS).is_ok());
        assert!(matches!(read(&nested(33, head), Order::Any, &LIMITS), Err(CborError::TooDeep { limit: 32, .. })));
        assert!(matches!(read(&nested(100_000, head), Order::Any, &LIMITS), Err(CborError::TooDeep { .. })));
    }
    assert!(matches!(read(&nested(17, 0x81), Order::Any, &LIMITS.with_depth(16)), Err(CborError::TooDeep { .. })));
    let empty_below = [vec![0x81; 32], vec![0x80]].concat();
    assert!(matches!(read(&empty_below, Order::Any, &LIMITS), Err(CborError::TooDeep { .. })));
    assert!(read(&[0x42, 1, 2], Order::Any, &Limits::new(3)).is_ok());
    assert_eq!(read(&[0x42, 1, 2], Order::Any, &Limits::new(2)), Err(CborError::TooLong { limit: 2 }));
}

#[test]
fn a_field_walk_refuses_what_it_did_not_ask_for() {
    let map = unhex("a3000001f6200a");
    let fields = || read(&map, Order::Canonical, &LIMITS).unwrap().as_map().unwrap().fields();
    let mut all = fields();
    assert_eq!(all.required(0).unwrap().as_u64(), Some(0));
    assert!(all.optional(1).unwrap().unwrap().is_null());
    assert_eq!(all.optional(7), Some(None));
    assert_eq!(all.required(-1).unwrap().as_u64(), Some(10));
    assert_eq!(all.optional(-2), Some(None));
    assert_eq!(all.finish(), Some(()));
    let mut skipping = fields();
    assert!(skipping.required(1).is_none());
    assert_eq!(skipping.optional(1), None);
    let mut leaving = fields();
    assert!(leaving.required(0).is_some());
    assert_eq!(leaving.finish(), None);
}

#[test]
fn sequences_and_prefixes_give_each_item_and_the_rest() {
    let items = unhex("0182020343040506");
    let lens: Vec<usize> = read_sequence(&items, Order::Any, &LIMITS).unwrap().map(|item| item.bytes().len()).collect();
    assert_eq!(lens, [1, 3, 4]);
    let (first, rest) = read_first(&items, Order::Any, &LIMITS).unwrap();
    assert_eq!((first.as_u64(), rest), (Some(1), &items[1..]));
    assert_eq!(read_sequence(&unhex("0118"), Order::Any, &LIMITS).unwrap_err(), CborError::Eof { offset: 1 });
    assert_eq!(read_sequence(&[], Order::Any, &LIMITS).unwrap().count(), 0);
}

#[test]
fn debug_shows_no_content() {
    let mut writer = Writer::new();
    writer.text("melanoma");
    let item = ItemBuf::parse(writer.as_slice(), &LIMITS).unwrap();
    let shown = format!("{item:?} {:?} {writer:?}", item.as_item());
    assert_eq!(shown, "Item { kind: Text, len: 9, .. } Item { kind: Text, len: 9, .. } Writer { len: 9, .. }");
}

#[test]
fn an_unsorted_item_can_not_become_one_of_our_own() {
    let unsorted = unhex("a201000000");
    let item = read(&unsorted, Order::Any, &LIMITS).unwrap();
    assert_eq!(ItemBuf::from_item(item).unwrap_err().code(), "NotCanonical");
}

fn values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        any::<i64>().prop_map(|n| Value::Integer(n.into())),
        any::<u64>().prop_map(|n| Value::Integer(n.into())),
        any::<f64>().prop_map(Value::Float),
        any::<f32>().prop_map(|n| Value::Float(n.into())),
        any::<u16>().prop_map(|n| Value::Float(f64::from(n) / 8.0)),
        any::<bool>().prop_map(Value::Bool),
        Just(Value::Null),
        ".{0,12}".prop_map(Value::Text),
        proptest::collection::vec(any::<u8>(), 0..40).prop_map(Value::Bytes),
    ];
    leaf.prop_recursive(5, 64, 6, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..6).prop_map(Value::Array),
            proptest::collection::vec((inner.clone(), inner.clone()), 0..6).prop_map(Value::Map),
            (any::<u32>(), inner).prop_map(|(tag, value)| Value::Tag(tag.into(), Box::new(value))),
        ]
    })
}

/// Writes `value` with our writer.
fn write(value: &Value, writer: &mut Writer) {
    match value {
        Value::Integer(n) => {
            let n = i128::from(*n);
            match u64::try_from(n) {
                Ok(n) => writer.uint(n),
                Err(_) => writer.int(i64::try_from(n).unwrap_or(i64::MIN)),
            };
        }
        Value::Float(n) => drop(writer.float(*n).as_slice().len()),
        Value::Bool(n) => drop(writer.bool(*n).as_slice().len()),
        Value::Text(n) => drop(writer.text(n).as_slice().len()),
        Value::Bytes(n) => drop(writer.bytes(n).as_slice().len()),
        Value::Tag(tag, content) => write(content, writer.tag(*tag)),
        Value::Array(elements) => {
            writer.array(elements.len());
            elements.iter().for_each(|element| write(element, writer));
        }
        Value::Map(entries) => {
            writer.map(|map| {
                for (key, value) in entries {
                    map.entry(|w| write(key, w), |w| write(value, w));
                }
            });
        }
        _ => drop(writer.null().as_slice().len()),
    }
}

/// As ciborium writes it: unsorted, and with keys that stand twice.
fn encoded(value: &Value) -> Vec<u8> {
    let mut bytes = Vec::new();
    assert!(ciborium::into_writer(value, &mut bytes).is_ok());
    bytes
}

/// Whether a map anywhere in `item` has a key twice: the slow way.
fn naive_twice(value: &Value) -> bool {
    match value {
        Value::Array(elements) => elements.iter().any(naive_twice),
        Value::Tag(_, content) => naive_twice(content),
        Value::Map(entries) => {
            let keys: Vec<_> = entries.iter().map(|(key, _)| encoded(key)).collect();
            let distinct: std::collections::BTreeSet<_> = keys.iter().collect();
            distinct.len() < keys.len() || entries.iter().any(|(key, value)| naive_twice(key) || naive_twice(value))
        }
        _ => false,
    }
}

/// Maps with few distinct keys, in any order.
fn maps() -> impl Strategy<Value = Value> {
    let leaf = (0..20_u8).prop_map(|n| Value::Integer(n.into()));
    leaf.prop_recursive(3, 120, 24, |inner| {
        prop_oneof![
            proptest::collection::vec((inner.clone(), inner.clone()), 0..24).prop_map(Value::Map),
            proptest::collection::vec((0..200_u8, inner), 0..24).prop_map(|map| Value::Map(
                map.into_iter().map(|(key, value)| (Value::Integer(key.into()), value)).collect()
            )),
        ]
    })
}

/// Reads by cursor what `item` says, and writes it again.
fn copy(cursor: &mut Cursor<'_>, writer: &mut Writer) -> Option<()> {
    if let Some(len) = cursor.array() {
        writer.array(len);
        (0..len).try_for_each(|_| copy(cursor, writer))
    } else if let Some(len) = cursor.map() {
        let entries: Vec<_> = (0..len).map_while(|_| cursor.item().zip(cursor.item())).collect();
        let mut whole = (entries.len() == len).then_some(());
        writer.map(|map| {
            for (key, value) in entries {
                map.entry(|w| drop_ref(w.item(key)), |w| whole = whole.and(copy(&mut value.cursor(), w)));
            }
        });
        whole
    } else if let Some(tag) = cursor.tag() {
        copy(cursor, writer.tag(tag))
    } else if let Some(value) = cursor.u64() {
        done(writer.uint(value))
    } else if let Some(value) = cursor.i64() {
        done(writer.int(value))
    } else if let Some(value) = cursor.bytes() {
        done(writer.bytes(value))
    } else if let Some(value) = cursor.clone().text() {
        assert_eq!(cursor.text_bytes(), Some(value.as_bytes()));
        done(writer.text(value))
    } else if let Some(value) = cursor.bool() {
        done(writer.bool(value))
    } else {
        done(writer.item(cursor.item()?))
    }
}

fn drop_ref(_: &mut Writer) {}

fn done(_: &mut Writer) -> Option<()> {
    Some(())
}

proptest! {
    #[test]
    fn a_map_taken_into_entries_is_the_same_map(value in maps()) {
        let mut bytes = Vec::new();
        ciborium::into_writer(&value, &mut bytes).unwrap();
        let Ok(item) = read(&bytes, Order::Any, &LIMITS) else { return Ok(()) };
        let Some(map) = item.as_map() else { return Ok(()) };
        let mut entries: Vec<_> = map.entries().collect();
        prop_assert!(entries.iter().map(|entry| entry.parts()).eq(map.iter()));
        entries.sort_by(|left, right| left.parts().0.bytes().cmp(right.parts().0.bytes()));
        let (mut sorted, mut any) = (Writer::new(), Writer::new());
        sorted.sorted_map(entries.len());
        for (key, value) in entries.iter().map(|entry| entry.parts()) {
            sorted.item(key).item(value);
        }
        any.map(|to| {
            for (key, value) in map {
                to.entry(|w| drop_ref(w.item(key)), |w| drop_ref(w.item(value)));
            }
        });
        prop_assert_eq!(sorted.as_slice(), any.as_slice());
    }

    #[test]
    fn a_cursor_reads_the_same_document(value in values()) {
        let mut writer = Writer::new();
        write(&value, &mut writer);
        let mut cursor = read(writer.as_slice(), Order::Canonical, &LIMITS).unwrap().cursor();
        let mut again = Writer::new();
        prop_assert!(copy(&mut cursor, &mut again).is_some() && cursor.is_empty());
        prop_assert_eq!(again.as_slice(), writer.as_slice());
    }

    /// Oracle: a naive search for keys that stand twice.
    #[test]
    fn duplicates_are_those_a_naive_search_finds(value in maps()) {
        let found = read(&encoded(&value), Order::Any, &LIMITS).map_or_else(|error| error.code(), |_| "ok");
        prop_assert_eq!(found, if naive_twice(&value) { "DuplicateKey" } else { "ok" });
    }

    /// Oracle: a `BTreeMap` of the encoded keys, in which the later of two stays.
    #[test]
    fn a_map_is_written_sorted_and_the_later_of_two_stays(
        entries in proptest::collection::vec((-40..40_i64, any::<u16>()), 0..40), sorted in any::<bool>(),
    ) {
        let encoded = |key: i64| Writer::new().int(key).as_slice().to_vec();
        let mut entries = entries;
        if sorted {
            entries.sort_by_key(|(key, _)| encoded(*key));
        }
        let want: std::collections::BTreeMap<_, _> = entries.iter().map(|(key, value)| (encoded(*key), *value)).collect();
        let mut writer = Writer::new();
        writer.text("before").map(|map| {
            for (key, value) in &entries {
                map.int(*key, |w| drop_ref(w.uint((*value).into())));
            }
        }).text("after");
        let items: Vec<_> = read_sequence(writer.as_slice(), Order::Canonical, &LIMITS).unwrap().collect();
        prop_assert_eq!(items.len(), 3);
        let got: Vec<_> = items[1].as_map().unwrap().iter().map(|(key, value)| (key.bytes().to_vec(), value.as_u64())).collect();
        let want: Vec<_> = want.into_iter().map(|(key, value)| (key, Some(value.into()))).collect();
        prop_assert_eq!(got, want);
    }

    /// Oracle: what we write, ciborium reads as the same value (but for map order, which we sort, and NaN).
    #[test]
    fn what_we_write_is_canonical_and_ciborium_reads_it(value in values()) {
        let mut writer = Writer::new();
        write(&value, &mut writer);
        let item = read(writer.as_slice(), Order::Canonical, &LIMITS).unwrap();
        let theirs: Value = ciborium::from_reader(item.bytes()).unwrap();
        let mut again = Writer::new();
        write(&theirs, &mut again);
        prop_assert_eq!(again.as_slice(), writer.as_slice());
    }

    /// Oracle: whatever we accept, ciborium accepts, except simple values, which it can't read.
    #[test]
    fn what_we_accept_ciborium_accepts(bytes in proptest::collection::vec(any::<u8>(), 0..24)) {
        if let Ok(item) = read(&bytes, Order::Any, &LIMITS) {
            let theirs: Result<Value, _> = ciborium::from_reader(item.bytes());
            prop_assert!(theirs.is_ok() || bytes.iter().any(|byte| (0xe0..=0xf8).contains(byte)));
        }
    }

    /// Every prefix and every flipped bit of a document is judged without panic, and a prefix never passes.
    #[test]
    fn cut_and_flipped_documents_are_judged(value in values(), flip in any::<proptest::sample::Index>()) {
        let mut writer = Writer::new();
        write(&value, &mut writer);
        let bytes = writer.into_vec();
        for end in 0..bytes.len() {
            prop_assert!(read(&bytes[..end], Order::Any, &LIMITS).is_err());
        }
        let mut flipped = bytes.clone();
        let bit = flip.index(bytes.len() * 8);
        flipped[bit / 8] ^= 1 << (bit % 8);
        if let Ok(item) = read(&flipped, Order::Any, &LIMITS) {
            prop_assert_eq!(item.bytes(), &flipped[..]);
        }
    }

    #[test]
    fn numbers_come_back_exactly(float in any::<f64>(), int in any::<i64>()) {
        let mut writer = Writer::new();
        writer.array(2).float(float).int(int);
        let [one, two] = read(writer.as_slice(), Order::Canonical, &LIMITS).unwrap().as_array().unwrap().exactly().unwrap();
        prop_assert_eq!(two.as_i64(), Some(int));
        prop_assert!(one.as_f64().unwrap().to_bits() == float.to_bits() || float.is_nan());
        prop_assert_eq!(one.kind(), Kind::Float);
    }
}
