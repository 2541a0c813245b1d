//! Strict CBOR.
#![expect(clippy::panic, clippy::unwrap_used, reason = "a fuzz body fails by panicking")]

use ciborium::Value;
use deedbox_cbor::{Item, Kind, Limits, Order, Writer, read, read_sequence};

/// No panic; what is accepted is walked whole, and written again it is canonical; if it was canonical it is the same. ciborium
/// accepts it too, with the same value, but for simple values, which it can't read.
pub fn cbor_strict(data: &[u8]) {
    let limits = Limits::new(1 << 20);
    let canonical = read(data, Order::Canonical, &limits);
    let Ok(item) = read(data, Order::Any, &limits) else {
        assert!(canonical.is_err());
        let _ = read_sequence(data, Order::Any, &limits).map(Iterator::count);
        return;
    };
    assert_eq!(item.bytes(), data);
    let mut writer = Writer::new();
    let plain = write(item, &mut writer);
    read(writer.as_slice(), Order::Canonical, &limits).unwrap();
    assert_eq!(canonical.is_ok(), writer.as_slice() == data);
    if plain {
        let theirs: Value = ciborium::from_reader(data).unwrap();
        let mut again = Writer::new();
        write_value(&theirs, &mut again);
        assert_eq!(again.as_slice(), writer.as_slice());
    }
}

/// Writes what `item` says, by its value. Whether it is `plain`: without simple values and `undefined`, which ciborium can't
/// read, and without the tags of bignums, which it takes for integers.
fn write(item: Item<'_>, writer: &mut Writer) -> bool {
    match item.kind() {
        Kind::Uint => done(writer.uint(item.as_u64().unwrap())),
        Kind::Nint => done(writer.nint(item.as_nint().unwrap())),
        Kind::Bytes => done(writer.bytes(item.as_bytes().unwrap())),
        Kind::Text => done(writer.text(item.as_str().unwrap())),
        Kind::Array => {
            let array = item.as_array().unwrap();
            writer.array(array.len());
            let mut count = 0;
            let plain = array.iter().fold(true, |plain, element| {
                count += 1;
                write(element, writer) && plain
            });
            assert_eq!(count, array.len());
            plain
        }
        Kind::Map => {
            let map = item.as_map().unwrap();
            let (mut plain_keys, mut plain_values) = (true, true);
            let mut count = 0;
            writer.map(|writer| {
                for (key, value) in map {
                    count += 1;
                    writer.entry(|w| plain_keys &= write(key, w), |w| plain_values &= write(value, w));
                }
            });
            assert_eq!(count, map.len());
            plain_keys && plain_values
        }
        Kind::Tag => {
            let (tag, content) = item.as_tag().unwrap();
            write(content, writer.tag(tag)) && !matches!(tag, 2 | 3)
        }
        Kind::Bool => done(writer.bool(item.as_bool().unwrap())),
        Kind::Null => done(writer.null()),
        Kind::Float => done(writer.float(item.as_f64().unwrap())),
        Kind::Undefined => !done(writer.undefined()),
        Kind::Simple => !done(writer.simple(item.as_simple().unwrap())),
    }
}

fn write_value(value: &Value, writer: &mut Writer) {
    match value {
        Value::Integer(value) => {
            let value = i128::from(*value);
            match u64::try_from(value) {
                Ok(value) => writer.uint(value),
                Err(_) => writer.nint(u64::try_from(-1 - value).unwrap()),
            };
        }
        Value::Bytes(value) => {
            writer.bytes(value);
        }
        Value::Float(value) => {
            writer.float(*value);
        }
        Value::Text(value) => {
            writer.text(value);
        }
        Value::Bool(value) => {
            writer.bool(*value);
        }
        Value::Null => {
            writer.null();
        }
        Value::Tag(tag, content) => write_value(content, writer.tag(*tag)),
        Value::Array(elements) => {
            writer.array(elements.len());
            elements.iter().for_each(|element| write_value(element, writer));
        }
        Value::Map(entries) => {
            writer.map(|map| {
                for (key, value) in entries {
                    map.entry(|w| write_value(key, w), |w| write_value(value, w));
                }
            });
        }
        other => panic!("ciborium knows {} more", std::mem::size_of_val(other)),
    }
}

fn done(_: &mut Writer) -> bool {
    true
}
