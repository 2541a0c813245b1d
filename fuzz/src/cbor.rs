//! Strict CBOR.

use ciborium::Value;
use deedbox_cbor::{Item, Limits, Order, read};

/// No panic; what is accepted is walked whole; ciborium accepts it too, but for simple values, which it can't read.
pub fn cbor_strict(data: &[u8]) {
    let limits = Limits::new(1 << 20);
    let canonical = read(data, Order::Canonical, &limits);
    let Ok(item) = read(data, Order::Any, &limits) else {
        assert!(canonical.is_err());
        return;
    };
    assert_eq!(item.bytes(), data);
    let simple = walk(item);
    assert!(simple || ciborium::from_reader::<Value, _>(data).is_ok());
}

/// Visits everything below `item`; whether there was a simple value.
fn walk(item: Item<'_>) -> bool {
    let mut simple = item.as_simple().is_some() || item.is_undefined();
    if let Some(array) = item.as_array() {
        assert_eq!(array.iter().count(), array.len());
        array.iter().for_each(|element| simple |= walk(element));
    }
    if let Some(map) = item.as_map() {
        assert_eq!(map.iter().count(), map.len());
        map.iter().for_each(|(key, value)| simple |= walk(key) | walk(value));
    }
    if let Some((_, content)) = item.as_tag() {
        simple |= walk(content);
    }
    simple
}
