//! Suite `record-objects`: containers, key derivation, padding and state roots of deedbox-record.

use std::{collections::HashMap, path::Path};

use deedbox_crypto::hash::sha256;
use deedbox_model::{DatasetId, Digest, Epoch, ObjectId, Seq, StoreId, StoreName};
use deedbox_record::{
    Entry, Kind, SlotId, SlotType, state_root,
    test_util::{self, RawPlace},
};
use serde::Deserialize;

use crate::{Report, hex};

/// Judges one file.
pub(crate) fn run(file: &Path, report: &mut Report) {
    let Some(suite) = report.load::<Suite>(file) else { return };
    if suite.schema != "deedbox-record-objects/1" {
        return report.fail(&file.display().to_string(), &suite.schema, "deedbox-record-objects/1");
    }
    let mut sealed = HashMap::new();
    for case in &suite.cases {
        let name = case.name();
        report.case(name, || match case {
            Case::Seal(case) => {
                let payload = case.plaintext.bytes();
                let object = match test_util::seal_with_salt(&case.place(), &payload, &case.salt.0) {
                    Ok(object) => object,
                    Err(error) => return (error.code().to_owned(), "ok".to_owned()),
                };
                let got = format!("{} {}", object.len(), hex(&sha256(&object)));
                let want = format!("{} {}", case.sealed_len, hex(&case.sealed_sha256.0));
                if got != want || case.sealed_hex.as_ref().is_some_and(|want| want.0 != object) {
                    return (got, want);
                }
                let opened = both_open(&case.place(), &object);
                sealed.insert(name.to_owned(), object);
                (opened, hex(&payload))
            }
            Case::Open(case) => (both_open(&case.place(), &case.sealed_hex.0), hex(&case.plaintext.bytes())),
            Case::Reject(case) => {
                let object = match (&case.sealed_hex, &case.from) {
                    (Some(object), None) => object.0.clone(),
                    (None, Some(from)) => match sealed.get(from) {
                        Some(object) => case.edits.iter().fold(object.clone(), |object, edit| edit.apply(object)),
                        None => return ("no such case before".to_owned(), from.clone()),
                    },
                    _ => return ("no bytes".to_owned(), "`sealed_hex` or `from`".to_owned()),
                };
                (both_open(&case.place(), &object), case.error.clone())
            }
            Case::Derive(case) => {
                let derive = serde_json::json!({ "what": case.what, "in": case.r#in });
                match serde_json::from_value::<Derive>(derive) {
                    Ok(derive) => (hex(&derive.run()), hex(&case.out.0)),
                    Err(error) => (error.to_string(), "the suite's schema".to_owned()),
                }
            }
            Case::Pad(case) => {
                let got = Kind::from_number(case.kind).and_then(|kind| test_util::padded_len(kind, case.len));
                (format!("{got:?}"), format!("{:?}", Some(case.padded)))
            }
            Case::Root(case) => {
                let entries: Option<Vec<_>> = case.leaves.iter().map(Leaf::entry).collect();
                let Some(entries) = entries else { return ("seq 0".to_owned(), "a sequence number".to_owned()) };
                (hex(state_root(&entries).as_bytes()), hex(&case.root.0))
            }
        });
    }
}

/// The payload in hex, or the error's code, if both ways to open agree.
fn both_open(at: &RawPlace, object: &[u8]) -> String {
    let copied = match test_util::open(at, object) {
        Ok(opened) => hex(opened.payload()),
        Err(error) => error.code().to_owned(),
    };
    let mut buffer = object.to_vec();
    let in_place = match test_util::open_in_place(at, &mut buffer) {
        Ok(payload) => hex(payload),
        Err(error) => error.code().to_owned(),
    };
    if copied == in_place { copied } else { format!("{copied} and in place {in_place}") }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Suite {
    schema: String,
    #[serde(rename = "comment")]
    _comment: String,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
#[serde(tag = "op", rename_all = "kebab-case")]
enum Case {
    Seal(Seal),
    Open(Open),
    Reject(Reject),
    Derive(DeriveCase),
    Pad(Pad),
    Root(Root),
}

impl Case {
    fn name(&self) -> &str {
        match self {
            Self::Seal(Seal { name, .. })
            | Self::Open(Open { name, .. })
            | Self::Reject(Reject { name, .. })
            | Self::Derive(DeriveCase { name, .. })
            | Self::Pad(Pad { name, .. })
            | Self::Root(Root { name, .. }) => name,
        }
    }
}

/// A case with a place. `deny_unknown_fields` does not go with `flatten`, so the fields are spelled out.
macro_rules! placed {
    ($name:ident { $($(#[$meta:meta])* $field:ident: $type:ty),+ $(,)? }) => {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct $name {
            name: String,
            kind: u8,
            epoch: Hex<4>,
            store: Hex<16>,
            dataset: Hex<16>,
            object_id: Hex<16>,
            seq: Hex<8>,
            key: Hex<32>,
            $($(#[$meta])* $field: $type,)+
        }

        impl $name {
            fn place(&self) -> RawPlace {
                RawPlace {
                    // No case expects a kind that there is not.
                    kind: Kind::from_number(self.kind).unwrap_or(Kind::Index),
                    epoch: u32::from_be_bytes(self.epoch.0),
                    store: self.store.0,
                    dataset: self.dataset.0,
                    object: self.object_id.0,
                    seq: u64::from_be_bytes(self.seq.0),
                    key: self.key.0,
                }
            }
        }
    };
}

placed!(Seal {
    salt: Hex<24>,
    plaintext: Plaintext,
    sealed_len: usize,
    sealed_sha256: Hex<32>,
    sealed_hex: Option<Bytes>,
});

placed!(Open { plaintext: Plaintext, sealed_hex: Bytes });

placed!(Reject {
    error: String,
    sealed_hex: Option<Bytes>,
    from: Option<String>,
    #[serde(default)]
    edits: Vec<Edit>,
});

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DeriveCase {
    name: String,
    what: String,
    r#in: serde_json::Value,
    out: Bytes,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Pad {
    name: String,
    kind: u8,
    len: usize,
    padded: usize,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Root {
    name: String,
    leaves: Vec<Leaf>,
    root: Hex<32>,
}

#[derive(Deserialize)]
#[serde(untagged, deny_unknown_fields)]
enum Plaintext {
    Given { hex: Bytes },
    Made { seed: String, len: usize },
}

impl Plaintext {
    fn bytes(&self) -> Vec<u8> {
        match self {
            Self::Given { hex } => hex.0.clone(),
            Self::Made { seed, len } => {
                let blocks = (0_u32..).flat_map(|n| sha256(&[seed.as_bytes(), &n.to_be_bytes()].concat()));
                blocks.take(*len).collect()
            }
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Edit {
    Take(Vec<(usize, usize)>),
    Xor(usize, Bytes),
    Append(Bytes),
}

impl Edit {
    fn apply(&self, mut object: Vec<u8>) -> Vec<u8> {
        match self {
            Self::Take(ranges) => {
                ranges.iter().flat_map(|(from, to)| object.get(*from..*to).unwrap_or_default()).copied().collect()
            }
            Self::Xor(offset, bytes) => {
                for (place, byte) in object.iter_mut().skip(*offset).zip(&bytes.0) {
                    *place ^= byte;
                }
                object
            }
            Self::Append(bytes) => {
                object.extend_from_slice(&bytes.0);
                object
            }
        }
    }
}

#[derive(Deserialize)]
#[serde(tag = "what", content = "in", rename_all = "kebab-case", deny_unknown_fields)]
enum Derive {
    ObjectKey {
        dataset_key: Hex<32>,
        object_id: Hex<16>,
    },
    ObjectId {
        name_key: Hex<32>,
        name: String,
    },
    DatasetCommit {
        dataset_key: Hex<32>,
        store: Hex<16>,
        dataset: Hex<16>,
        epoch: Hex<4>,
    },
    KeyringKey {
        root: Hex<32>,
        share: Hex<32>,
        store: Hex<16>,
        epoch: Hex<4>,
    },
    MetaHeadSeed {
        keyring_key: Hex<32>,
        store: Hex<16>,
        epoch: Hex<4>,
    },
    SlotsMac {
        root: Hex<32>,
        store: Hex<16>,
        epoch: Hex<4>,
    },
    AccessSeed {
        root: Hex<32>,
        store: Hex<16>,
        epoch: Hex<4>,
    },
    SlotKek {
        salt: Bytes,
        ikm: Bytes,
        #[serde(rename = "type")]
        kind: u8,
        store: Hex<16>,
        slot: Hex<16>,
        epoch: Hex<4>,
    },
    Salt {
        key: Hex<32>,
        random: Hex<32>,
        plaintext: Bytes,
    },
}

impl Derive {
    fn run(&self) -> Vec<u8> {
        let store = |bytes: &Hex<16>| StoreId::from_bytes(bytes.0);
        match self {
            Self::ObjectKey { dataset_key, object_id } => {
                test_util::object_key(dataset_key.0, &ObjectId::from_bytes(object_id.0)).to_vec()
            }
            Self::ObjectId { name_key, name } => test_util::object_id(name_key.0, name).as_bytes().to_vec(),
            Self::DatasetCommit { dataset_key, store, dataset, epoch } => {
                let (store, dataset) = (StoreName::from_bytes(store.0), DatasetId::from_bytes(dataset.0));
                test_util::dataset_commitment(dataset_key.0, &store, &dataset, epoch.epoch()).to_vec()
            }
            Self::KeyringKey { root, share, store: id, epoch } => {
                test_util::keyring_key(root.0, share.0, store(id), epoch.epoch()).to_vec()
            }
            Self::MetaHeadSeed { keyring_key, store: id, epoch } => {
                test_util::meta_head_seed(keyring_key.0, store(id), epoch.epoch()).to_vec()
            }
            Self::SlotsMac { root, store: id, epoch } => {
                test_util::slots_mac(root.0, store(id), epoch.epoch()).to_vec()
            }
            Self::AccessSeed { root, store: id, epoch } => {
                test_util::access_seed(root.0, store(id), epoch.epoch()).to_vec()
            }
            Self::SlotKek { salt, ikm, kind, store: id, slot, epoch } => match SlotType::from_number((*kind).into()) {
                Some(kind) => {
                    let slot = SlotId::from_bytes(slot.0);
                    test_util::slot_kek(&salt.0, &ikm.0, kind, &store(id), &slot, epoch.epoch()).to_vec()
                }
                None => Vec::new(),
            },
            Self::Salt { key, random, plaintext } => test_util::hedged_salt(key.0, &random.0, &plaintext.0).to_vec(),
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Leaf {
    object_id: Hex<16>,
    seq: Hex<8>,
    kind: u8,
    sealed_sha256: Hex<32>,
}

impl Leaf {
    fn entry(&self) -> Option<Entry> {
        let seq = Seq::new(u64::from_be_bytes(self.seq.0))?;
        let hash = Digest::from_bytes(self.sealed_sha256.0);
        Some(Entry::new(ObjectId::from_bytes(self.object_id.0), seq, self.kind, hash))
    }
}

/// Bytes as lower-case hex.
struct Bytes(Vec<u8>);

/// Exactly `N` bytes as lower-case hex.
struct Hex<const N: usize>([u8; N]);

impl Hex<4> {
    fn epoch(&self) -> Epoch {
        // No case has epoch 0 here.
        Epoch::new(u32::from_be_bytes(self.0)).unwrap_or(Epoch::FIRST)
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let digit = |digit: &u8| match digit {
            b'0'..=b'9' => Some(digit - b'0'),
            b'a'..=b'f' => Some(digit - b'a' + 10),
            _ => None,
        };
        let (pairs, rest) = text.as_bytes().as_chunks::<2>();
        let bytes = pairs.iter().map(|[high, low]| Some(digit(high)? << 4 | digit(low)?)).collect::<Option<_>>();
        bytes.filter(|_| rest.is_empty()).map(Self).ok_or_else(|| serde::de::Error::custom("not lower-case hex"))
    }
}

impl<'de, const N: usize> Deserialize<'de> for Hex<N> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let bytes = Bytes::deserialize(deserializer)?.0;
        bytes.try_into().map(Self).map_err(|_| serde::de::Error::custom("not of the right length"))
    }
}
