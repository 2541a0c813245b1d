//! Strict decoding into typed values against ciborium's derive, which checks neither order nor duplicates nor shortest
//! forms; and the strict check alone against ciborium's value tree. The claims are in `examples/ratios`.
#![expect(clippy::unwrap_used, reason = "a bench")]

use std::hint::black_box;

use ciborium::Value;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use deedbox_cbor::{Cursor, Limits, Order, bridge, read};
use serde::{Deserialize, Serialize};

/// What a dataset says of one value, with texts that are owned or lent by the document.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Row<Text> {
    id: u64,
    name: Text,
    value: Text,
    observed: u64,
    parts: Vec<u64>,
}

fn document() -> Vec<u8> {
    let rows: Vec<Row<&str>> = (0..100)
        .map(|n| Row {
            id: n * 7919,
            name: "patient.name.family",
            value: "a value of some thirty characters",
            observed: 1_800_000_000 + n,
            parts: vec![n, 1000 + n, 100_000 + n, 10_000_000_000 + n],
        })
        .collect();
    bridge::to_vec(&rows).unwrap()
}

/// Reads all rows; `text` says what becomes of a text: it is kept as it is lent, or copied.
fn rows<'a, Text>(bytes: &'a [u8], text: impl Fn(&'a str) -> Text) -> Option<Vec<Row<Text>>> {
    let mut cursor = read(bytes, Order::Canonical, &Limits::new(1 << 20)).ok()?.cursor();
    (0..cursor.array()?).map(|_| row(&mut cursor, &text)).collect()
}

fn row<'a, Text>(cursor: &mut Cursor<'a>, text: impl Fn(&'a str) -> Text) -> Option<Row<Text>> {
    let (mut id, mut name, mut value, mut observed, mut parts) = (None, None, None, None, None);
    for _ in 0..cursor.map()? {
        match cursor.text_bytes()? {
            b"id" => id = cursor.u64(),
            b"name" => name = cursor.text(),
            b"value" => value = cursor.text(),
            b"observed" => observed = cursor.u64(),
            b"parts" => {
                let len = cursor.array()?;
                parts = (0..len).map(|_| cursor.u64()).collect::<Option<Vec<_>>>();
            }
            _ => return None,
        }
    }
    Some(Row { id: id?, name: text(name?), value: text(value?), observed: observed?, parts: parts? })
}

fn decode(criterion: &mut Criterion) {
    let bytes = document();
    let lent = || rows(black_box(&bytes), |text| text);
    let owned = || rows(black_box(&bytes), str::to_owned);
    let bridged =
        || bridge::from_slice::<Vec<Row<String>>>(black_box(&bytes), Order::Canonical, &Limits::new(1 << 20)).ok();
    let theirs = || ciborium::from_reader::<Vec<Row<String>>, _>(black_box(bytes.as_slice())).ok();
    let check = || read(black_box(&bytes), Order::Any, &Limits::new(1 << 20)).is_ok();
    let value = || ciborium::from_reader::<Value, _>(black_box(bytes.as_slice())).is_ok();
    // All read the same, before anything is timed.
    assert_eq!(owned().map(|rows| rows.len()), Some(100));
    assert_eq!(owned(), theirs());
    assert_eq!(owned(), bridged());
    assert!(lent().unwrap().iter().zip(theirs().unwrap()).all(|(lent, theirs)| {
        (lent.id, lent.name, lent.value, lent.observed, &lent.parts)
            == (theirs.id, theirs.name.as_str(), theirs.value.as_str(), theirs.observed, &theirs.parts)
    }));
    assert!(check() && value());

    let mut group = criterion.benchmark_group("decode 100 rows");
    group.throughput(Throughput::Bytes(bytes.len().try_into().unwrap()));
    group.bench_function("deedbox-cbor, texts lent", |bencher| bencher.iter(lent));
    group.bench_function("deedbox-cbor, texts copied", |bencher| bencher.iter(owned));
    group.bench_function("deedbox-cbor, through serde", |bencher| bencher.iter(bridged));
    group.bench_function("ciborium, typed", |bencher| bencher.iter(theirs));
    group.bench_function("deedbox-cbor, check alone", |bencher| bencher.iter(check));
    group.bench_function("ciborium, value tree", |bencher| bencher.iter(value));
    group.finish();
}

criterion_group!(benches, decode);
criterion_main!(benches);
