//! CBOR values as ciborium has them: drawn at random, and written by either side.

use ciborium::Value;
use deedbox_cbor::Writer;
use proptest::prelude::*;

/// Any value of up to four levels. Maps may have equal keys, floats may be NaN of any payload; there are no tags of bignums.
pub fn value() -> BoxedStrategy<Value> {
    leaf()
        .prop_recursive(4, 48, 6, |inner| {
            let pairs = prop::collection::vec((inner.clone(), inner.clone()), 0..6);
            let tag = any::<u64>().prop_map(|tag| if tag % 2 == 0 { tag % 300 } else { tag });
            let tag = tag.prop_filter("bignums have a test of their own", |tag| !matches!(tag, 2 | 3));
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Value::Array),
                pairs.prop_map(Value::Map),
                (tag, inner).prop_map(|(tag, content)| Value::Tag(tag, Box::new(content))),
            ]
        })
        .boxed()
}

fn leaf() -> BoxedStrategy<Value> {
    let edge =
        prop::sample::select(vec![0_i128, 23, 24, 255, 256, 65_535, 65_536, (1 << 32) - 1, 1 << 32, (1 << 64) - 1]);
    let int = prop_oneof![edge, (0..1_i128 << 64), 0..30_i128];
    let int = (int, any::<bool>()).prop_map(|(int, negative)| if negative { -1 - int } else { int });
    prop_oneof![
        int.prop_map(|int| Value::Integer(int.try_into().expect("within 65 bits"))),
        prop::collection::vec(any::<u8>(), 0..30).prop_map(Value::Bytes),
        "\\PC{0,12}".prop_map(Value::Text),
        any::<bool>().prop_map(Value::Bool),
        Just(Value::Null),
        prop::num::f64::ANY.prop_map(Value::Float),
        (any::<i16>(), 0..12_i32).prop_map(|(n, shift)| Value::Float(f64::from(n) / f64::from(1 << shift))),
    ]
    .boxed()
}

/// As ciborium writes it.
pub fn theirs(value: &Value) -> Vec<u8> {
    let mut bytes = Vec::new();
    ciborium::into_writer(value, &mut bytes).expect("memory");
    bytes
}

/// As ours writes it: of equal keys the last stays.
pub fn ours(value: &Value) -> Vec<u8> {
    let mut writer = Writer::new();
    write(value, &mut writer);
    writer.into_vec()
}

/// Writes it into what ours is writing.
pub fn write(value: &Value, writer: &mut Writer) {
    match value {
        Value::Integer(int) => {
            let int = i128::from(*int);
            match u64::try_from(int) {
                Ok(int) => writer.uint(int),
                Err(_) => writer.nint(u64::try_from(-1 - int).expect("within 65 bits")),
            };
        }
        Value::Bytes(bytes) => unit(writer.bytes(bytes)),
        Value::Float(float) => unit(writer.float(*float)),
        Value::Text(text) => unit(writer.text(text)),
        Value::Bool(bool) => unit(writer.bool(*bool)),
        Value::Null => unit(writer.null()),
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
        _ => panic!("ciborium has no other kind"),
    }
}

/// Lets an arm end in a call whose result is of no use.
fn unit<T>(_: T) {}

/// What `bytes` say to ciborium, if all of them are one item to it.
pub fn read_by_them(mut bytes: &[u8]) -> Option<Value> {
    let value = ciborium::from_reader(&mut bytes).ok()?;
    bytes.is_empty().then_some(value)
}

/// Alters up to four places: a byte, one more, one less, the end.
pub fn altered(mut bytes: Vec<u8>, places: &[(u16, u8)]) -> Vec<u8> {
    for (place, change) in places {
        let at = usize::from(*place) % (bytes.len() + 1);
        match change % 4 {
            0 if at < bytes.len() => bytes[at] ^= change | 1,
            1 => bytes.insert(at, *change),
            2 if at < bytes.len() => drop(bytes.remove(at)),
            3 if *change % 8 == 3 => bytes.truncate(at),
            _ => {}
        }
    }
    bytes
}

pub fn places() -> impl Strategy<Value = Vec<(u16, u8)>> {
    prop::collection::vec(any::<(u16, u8)>(), 0..4)
}
