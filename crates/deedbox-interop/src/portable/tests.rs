use deedbox_model::Assurance;
use proptest::prelude::*;

use super::*;
use crate::import;

fn item(bytes: &[u8]) -> ItemBuf {
    ItemBuf::parse(bytes, &Limits::new(1 << 16)).unwrap()
}

fn json(bytes: &[u8]) -> String {
    let mut out = String::new();
    value(&mut out, item(bytes).as_item());
    out
}

#[test]
fn what_json_has_no_word_for_is_marked() {
    for (bytes, text) in [
        (&[0x44, 0xfb, 0xff, 0xfe, 0x01][..], r#"{"$bytes":"-__-AQ"}"#),
        (&[0x40], r#"{"$bytes":""}"#),
        (&[0xa1, 0x01, 0xf5], r#"{"$map":[[1,true]]}"#),
        (&[0xa1, 0x61, 0x61, 0x80], r#"{"a":[]}"#),
        (&[0xc1, 0x0a], r#"{"$tag":[1,10]}"#),
        (&[0xf9, 0x7e, 0x00], r#"{"$float":"NaN"}"#),
        (&[0xf9, 0x3e, 0x00], "1.5"),
        (&[0xf0], r#"{"$simple":16}"#),
        (&[0x3b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], "-18446744073709551616"),
        (&[0xc4, 0x82, 0x21, 0x19, 0x02, 0xd0], "7.20"),
        (&[0xc4, 0x82, 0x21, 0x24], "-0.05"),
        (&[0xc4, 0x82, 0x02, 0x07], "7e2"),
        // Tag 4 around something else is a tag like any other.
        (&[0xc4, 0x01], r#"{"$tag":[4,1]}"#),
    ] {
        assert_eq!(json(bytes), text);
    }
}

fn number() -> impl Strategy<Value = String> {
    ("-?(0|[1-9][0-9]{0,14})", "(\\.[0-9]{1,10})?", proptest::option::of(-40_i32..40)).prop_map(
        |(whole, fraction, exponent)| {
            let exponent = exponent.map(|exponent| format!("e{exponent}")).unwrap_or_default();
            format!("{whole}{fraction}{exponent}")
        },
    )
}

proptest! {
    /// What was imported from JSON is exported to JSON that imports to the same values.
    #[test]
    fn json_of_an_import_imports_to_the_same(
        numbers in proptest::collection::vec(number(), 1..6),
        texts in proptest::collection::vec(any::<String>(), 0..4),
    ) {
        let texts = texts.iter().map(|text| serde_json::to_string(text).unwrap());
        let values: Vec<String> = numbers.into_iter().chain(texts).chain(["null".into(), "true".into(), "{}".into()]).collect();
        let Ok(first) = import(format!("[{}]", values.join(",")).as_bytes()) else { return Ok(()) };
        let again: Vec<String> = first.fields().iter().map(|field| json(field.value().bytes())).collect();
        let second = import(format!("[{}]", again.join(",")).as_bytes()).unwrap();
        let bytes = |import: &crate::Import| -> Vec<Vec<u8>> {
            import.fields().iter().map(|field| field.value().bytes().to_vec()).collect()
        };
        prop_assert_eq!(bytes(&first), bytes(&second));
    }

    #[test]
    fn cbor_round_trips_and_json_is_json(
        texts in proptest::collection::vec((any::<String>(), any::<String>(), any::<u64>()), 0..4),
        source in proptest::collection::vec(any::<u8>(), 0..8),
        signed in proptest::option::of(proptest::collection::vec(any::<u8>(), 0..8)),
        flip in any::<usize>(),
    ) {
        let now = Timestamp::from_secs(1_800_000_000);
        let provenance = Provenance::new(source, Assurance::Declared, now);
        let provenance = match signed {
            Some(signed) => provenance.with_signed(signed),
            None => provenance,
        };
        let fields = texts.iter().map(|(dataset, path, version)| {
            let value = item(&[0xc4, 0x82, 0x21, 0x19, 0x02, 0xd0]);
            PortableField::new(dataset, path, ("json", *version), value, Some(provenance.clone()))
        });
        let portable = Portable::new(StoreId::from_bytes([1; 16]), now, fields.collect());
        let mut bytes = portable.to_cbor();
        prop_assert_eq!(Portable::parse(&bytes), Ok(portable.clone()));
        let read: serde_json::Value = serde_json::from_str(&portable.to_json()).unwrap();
        prop_assert_eq!(read["fields"].as_array().unwrap().len(), texts.len());
        for (field, (_, path, _)) in read["fields"].as_array().unwrap().iter().zip(&texts) {
            prop_assert_eq!(field["path"].as_str(), Some(path.as_str()));
        }
        let bit = flip % (bytes.len() * 8);
        bytes[bit / 8] ^= 1 << (bit % 8);
        if let Ok(other) = Portable::parse(&bytes) {
            prop_assert_eq!(other.to_cbor(), bytes);
        }
    }
}
