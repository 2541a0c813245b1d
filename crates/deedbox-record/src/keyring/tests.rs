use alloc::{format, string::ToString, vec};

use deedbox_cbor::Writer;
use deedbox_testkit::rng::SeededRng;
use proptest::prelude::*;

use super::*;

fn keyring(datasets: u8, seed: u64) -> Keyring {
    let rng = &mut SeededRng::new(seed);
    let mut keyring = Keyring::generate(rng);
    for n in 1..=datasets {
        let (store, id) = (StoreName::from_bytes([n; 16]), DatasetId::from_bytes([n; 16]));
        let granularity = if n % 2 == 0 { Granularity::Record } else { Granularity::Field };
        keyring.add_dataset(store, id, &"title ".repeat(n.into()), granularity, rng).unwrap();
        let device = Device::new(
            SlotId::from_bytes([n; 16]),
            CapabilityId::from_bytes([n; 16]),
            "phone",
            Timestamp::from_secs(5),
        );
        keyring.add_device(device).unwrap();
    }
    keyring
}

type Devices<'a> = &'a [([u8; 16], &'a str)];
type Datasets<'a> = &'a [([u8; 16], u64, Epochs<'a>)];
type Epochs<'a> = &'a [(u64, u64, Option<[u8; 32]>, Option<[u8; 32]>)];

/// The keyring as the general writer writes it: the oracle of the one that leaves no secrets behind.
fn written(version: u64, devices: Devices<'_>, datasets: Datasets<'_>) -> Vec<u8> {
    let mut writer = Writer::new();
    let secret = |w: &mut Writer, secret: Option<[u8; 32]>| {
        match secret {
            Some(secret) => w.bytes(&secret),
            None => w.null(),
        };
    };
    writer.map(|map| {
        map.int(1, |w| {
            w.uint(version);
        });
        map.int(2, |w| {
            w.bytes(&[7; 32]);
        });
        map.int(3, |w| {
            w.array(devices.len());
            for (slot, label) in devices {
                w.array(4).bytes(slot).bytes(&[1; 16]).text(label).uint(9);
            }
        });
        map.int(4, |w| {
            w.array(datasets.len());
            for (id, granularity, epochs) in datasets {
                w.array(6)
                    .bytes(&[1; 16])
                    .bytes(id)
                    .bytes(&[2; 32])
                    .text("title")
                    .uint(*granularity)
                    .array(epochs.len());
                for (epoch, state, key, seed) in *epochs {
                    secret(w.array(5).uint(*epoch).uint(*state), *key);
                    secret(w, *seed);
                    w.bytes(&[3; 32]);
                }
            }
        });
    });
    writer.into_vec()
}

const KEY: Option<[u8; 32]> = Some([4; 32]);

#[test]
fn what_the_general_writer_writes_is_read_and_written_again() {
    let epochs: Epochs<'_> = &[(1, 2, None, None), (2, 1, KEY, None), (3, 1, KEY, KEY), (70_000, 0, KEY, KEY)];
    let bytes = written(1, &[([1; 16], "phone"), ([2; 16], "")], &[([9; 16], 0, epochs), ([8; 16], 1, &epochs[3..])]);
    let keyring = Keyring::decode(&bytes).unwrap();
    assert_eq!(**keyring.encode().unwrap(), *bytes);
    let dataset = keyring.dataset(&DatasetId::from_bytes([9; 16])).unwrap();
    let epoch = |n| Epoch::new(n).unwrap();
    assert_eq!(dataset.keys().current(), Some(epoch(70_000)));
    let has_key: Vec<_> = [1, 2, 3, 4, 70_000].map(|n| dataset.keys().key(epoch(n)).is_some()).to_vec();
    assert_eq!(has_key, [false, true, true, false, true]);
}

#[test]
fn shapes_that_are_not_a_keyring_are_refused() {
    let current: Epochs<'_> = &[(1, 0, KEY, KEY)];
    let good = [([9; 16], 0, current)];
    assert!(Keyring::decode(&written(1, &[([1; 16], "")], &good)).is_ok());
    let long = "x".repeat(1_025);
    let readable: Vec<_> = (1..=65).map(|n| (n, 1, KEY, KEY)).chain([(66, 0, KEY, KEY)]).collect();
    let bad: &[(u64, Devices<'_>, Datasets<'_>)] = &[
        (2, &[], &good),
        (1, &[([1; 16], ""), ([1; 16], "")], &good),
        (1, &[([1; 16], &long)], &good),
        (1, &[], &[([0; 16], 0, current)]),
        (1, &[], &[([9; 16], 2, current)]),
        (1, &[], &[([9; 16], 0, current), ([9; 16], 0, current)]),
        (1, &[], &[([9; 16], 0, &[])]),
        (1, &[], &[([9; 16], 0, &[(0, 0, KEY, KEY)])]),
        (1, &[], &[([9; 16], 0, &[(1 << 32, 0, KEY, KEY)])]),
        (1, &[], &[([9; 16], 0, &[(1, 3, KEY, KEY)])]),
        (1, &[], &[([9; 16], 0, &[(1, 0, KEY, None)])]),
        (1, &[], &[([9; 16], 0, &[(1, 0, None, KEY)])]),
        (1, &[], &[([9; 16], 0, &[(1, 1, KEY, KEY)])]),
        (1, &[], &[([9; 16], 0, &[(1, 1, None, None), (2, 0, KEY, KEY)])]),
        (1, &[], &[([9; 16], 0, &[(1, 2, KEY, None), (2, 0, KEY, KEY)])]),
        (1, &[], &[([9; 16], 0, &[(1, 0, KEY, KEY), (2, 0, KEY, KEY)])]),
        (1, &[], &[([9; 16], 0, &[(2, 1, KEY, KEY), (1, 0, KEY, KEY)])]),
        (1, &[], &[([9; 16], 0, &[(1, 1, KEY, KEY), (1, 0, KEY, KEY)])]),
        (1, &[], &[([9; 16], 0, &readable)]),
    ];
    for (n, (version, devices, datasets)) in bad.iter().enumerate() {
        let got = Keyring::decode(&written(*version, devices, datasets));
        assert_eq!(got.err(), Some(PayloadError::Malformed), "{n}");
    }
}

#[test]
fn every_length_but_its_own_is_refused() {
    let bytes = keyring(1, 1).encode().unwrap();
    for len in 0..bytes.len() {
        assert!(Keyring::decode(&bytes[..len]).is_err());
    }
    assert!(Keyring::decode(&[&bytes[..], &[0]].concat()).is_err());
}

#[test]
fn a_dataset_stands_on_the_keyring_once() {
    let mut keyring = keyring(3, 1);
    let rng = &mut SeededRng::new(2);
    let store = StoreName::from_bytes([1; 16]);
    let mut add = |id| keyring.add_dataset(store, DatasetId::from_bytes(id), "", Granularity::Record, rng).err();
    assert_eq!(
        [add([1; 16]), add([0; 16]), add([9; 16])],
        [Some(PayloadError::Duplicate), Some(PayloadError::Duplicate), None]
    );
    assert!(keyring.forget_dataset(&DatasetId::from_bytes([9; 16])));
    assert!(!keyring.forget_dataset(&DatasetId::from_bytes([9; 16])));
}

#[test]
fn the_reserved_memory_suffices() {
    for datasets in [0, 1, 20] {
        let bytes = keyring(datasets, 3).encode().unwrap();
        let long = bytes.len();
        assert!(bytes.capacity() >= long, "{datasets}");
        // What was reserved was not outgrown: a vector that grew would have doubled.
        let estimate = 80 + usize::from(datasets) * (64 + 5 + 100 + 112 + 6 * usize::from(datasets));
        assert!(long <= estimate);
    }
}

#[test]
fn names_and_keys_are_not_printed() {
    let keyring = keyring(1, 1);
    let text = format!(
        "{keyring:?} {:?} {:?} {:?}",
        keyring.devices()[0],
        keyring.datasets()[0],
        keyring.datasets()[0].keys()
    );
    let want = "Keyring { devices: 1, datasets: 1, .. } Device { added: Timestamp(5), .. } \
                Dataset { granularity: Field, .. } EpochKeys { epochs: 1, .. }";
    assert_eq!(text, want.to_string());
}

proptest! {
    #[test]
    fn round_trip(datasets in 0_u8..12, seed: u64) {
        let bytes = keyring(datasets, seed).encode().unwrap();
        let again = Keyring::decode(&bytes).unwrap();
        prop_assert_eq!(&**again.encode().unwrap(), &**bytes);
        prop_assert_eq!(again.datasets().len(), usize::from(datasets));
    }

    #[test]
    fn an_altered_keyring_is_another_or_refused(at: prop::sample::Index, bit in 0..8) {
        let bytes = keyring(2, 1).encode().unwrap();
        let mut altered = vec![0; bytes.len()];
        altered.copy_from_slice(&bytes);
        *at.get_mut(&mut altered) ^= 1_u8 << bit;
        if let Ok(read) = Keyring::decode(&altered) {
            prop_assert_eq!(&**read.encode().unwrap(), &*altered);
        }
    }
}
