//! Strict CBOR against ciborium; Sign1 against its bare signature.

use std::hint::black_box;

use deedbox_cbor::{Cursor, Limits, Order, Writer, read};
use deedbox_cose::{LocalSigner, Sign1, Sign1Rules, Signer as _, sign1};
use deedbox_testkit::rng::SeededRng;
use ed25519_dalek::{Signature, VerifyingKey};
use serde::Deserialize;

use crate::{Claims, Goal};

/// What a record of a store says of one value. Ours borrows texts from the bytes; ciborium's reader can't lend any.
#[derive(Debug, PartialEq, Deserialize)]
struct Row<T> {
    id: u64,
    name: T,
    value: T,
    observed: u64,
    parts: [u64; 4],
}

pub(crate) fn measure(claims: &mut Claims) {
    decode(claims);
    verify(claims);
}

/// 100 rows as maps with text keys, decoded strictly (order, duplicates, shortest forms) into typed values by hand, against
/// ciborium's derive, which checks none of that.
fn decode(claims: &mut Claims) {
    let mut writer = Writer::new();
    writer.array(100);
    for n in 0..100_u64 {
        writer.map(|map| {
            map.text("id", |w| drop_ref(w.uint(n * 7919)));
            map.text("name", |w| drop_ref(w.text("patient.name.family")));
            map.text("value", |w| drop_ref(w.text("a value of some thirty characters")));
            map.text("observed", |w| drop_ref(w.uint(1_800_000_000 + n)));
            map.text("parts", |w| {
                w.array(4).uint(n).uint(1000 + n).uint(100_000 + n).uint(10_000_000_000 + n);
            });
        });
    }
    let bytes = writer.into_vec();
    let ours = || -> Option<Vec<Row<&str>>> {
        let mut cursor = read(&bytes, Order::Canonical, &Limits::new(1 << 20)).ok()?.cursor();
        (0..cursor.array()?).map(|_| row(&mut cursor)).collect()
    };
    let theirs = || ciborium::from_reader::<Vec<Row<String>>, _>(bytes.as_slice()).ok();
    let (one, other) = (ours().unwrap_or_default(), theirs().unwrap_or_default());
    let owned = |row: &Row<&str>| Row {
        id: row.id,
        name: row.name.to_owned(),
        value: row.value.to_owned(),
        observed: row.observed,
        parts: row.parts,
    };
    assert_eq!(one.iter().map(owned).collect::<Vec<_>>(), other);
    assert_eq!(one.len(), 100);
    claims.claim(
        "cbor: strict decode / ciborium, typed",
        Goal::Faster(3.0),
        || drop(black_box(ours())),
        || drop(black_box(theirs())),
    );
}

fn row<'a>(cursor: &mut Cursor<'a>) -> Option<Row<&'a str>> {
    let (mut id, mut name, mut value, mut observed, mut parts) = (None, None, None, None, None);
    for _ in 0..cursor.map()? {
        match cursor.text_bytes()? {
            b"id" => id = cursor.u64(),
            b"name" => name = cursor.text(),
            b"value" => value = cursor.text(),
            b"observed" => observed = cursor.u64(),
            b"parts" => {
                cursor.array().filter(|len| *len == 4)?;
                parts = Some([cursor.u64()?, cursor.u64()?, cursor.u64()?, cursor.u64()?]);
            }
            _ => return None,
        }
    }
    Some(Row { id: id?, name: name?, value: value?, observed: observed?, parts: parts? })
}

/// A Sign1 of a 200-byte payload, parsed strictly and verified, against the bare strict verification of the same bytes.
fn verify(claims: &mut Claims) {
    let mut rng = SeededRng::new(1);
    let signer = LocalSigner::generate(&mut rng);
    let Ok(bytes) = sign1::document(&signer, b"label\0", &[0xa5; 200]) else { return };
    let key = signer.public();
    let Ok(parsed) = Sign1::parse(&bytes, &Sign1Rules::STRICT) else { return };
    let (message, signature) = (parsed.peek().to_be_signed(b"label\0"), parsed.peek().signature());
    let bare = key.as_ed25519().and_then(|key| VerifyingKey::from_bytes(key.as_bytes()).ok());
    let Some((bare, signature)) = bare.zip(Signature::from_slice(signature).ok()) else { return };
    assert!(sign1::open_document(&bytes, key, b"label\0").is_ok());
    assert!(bare.verify_strict(&message, &signature).is_ok());
    claims.claim(
        "cose: Sign1 verify / bare verify_strict",
        Goal::AtMost(1.05),
        || assert!(sign1::open_document(black_box(&bytes), key, b"label\0").is_ok()),
        || assert!(bare.verify_strict(black_box(&message), &signature).is_ok()),
    );
}

fn drop_ref(_: &mut Writer) {}
