//! A record against the primitives it is made of, and a whole dataset against its parts.

use std::{collections::BTreeMap, hint::black_box, io::Write as _};

use deedbox_cbor::{ItemBuf, Limits, Writer};
use deedbox_crypto::{aead::Cipher, ct, hash::sha256, kdf::Prk, label, secret::SecretBytes};
use deedbox_model::{DatasetId, Epoch, ObjectId, Seq, StoreId, StoreName, Timestamp};
use deedbox_record::{
    Address, BlobReader, BlobSealer, ChangedObject, DatasetKey, Entry, Granularity, Keyring, Kind, Record, Replica,
    Reseal, open, open_blob, open_in_place, seal, seal_blob, seal_into, state_root,
};
use deedbox_testkit::rng::SeededRng;
use rand_core::Rng as _;

use crate::{Claims, Goal};

const PAYLOAD: [u8; 64] = [0xa5; 64];
/// What 64 bytes are padded to: PADMÉ(65).
const BODY: usize = 72;

pub(crate) fn measure(claims: &mut Claims) {
    record(claims);
    #[cfg(feature = "aws-lc")]
    backend(claims);
    dataset(claims);
    rotation(claims);
    blob(claims);
}

fn record(claims: &mut Claims) {
    let mut rng = SeededRng::new(1);
    let store = StoreName::from(StoreId::generate(&mut rng));
    let (dataset, object) = (DatasetId::generate(&mut rng), ObjectId::generate(&mut rng));
    let at = Address { store, dataset, object, seq: Seq::FIRST };
    let key = DatasetKey::generate(Epoch::FIRST, &mut rng);
    let secret = Prk::new(&SecretBytes::generate(&mut rng));
    let sealed = seal(&key.object_key(&object), &at, Kind::Record, &PAYLOAD, &mut rng).expect("64 bytes");
    assert_eq!(sealed.len(), 64 + BODY + 16, "the primitives below seal as much as we do");

    let (mut ours_rng, mut their_rng) = (SeededRng::new(2), SeededRng::new(2));
    let (mut out, mut buffer) = (Vec::with_capacity(256), Vec::with_capacity(256));
    claims.claim(
        "record: seal 64 B / its primitives",
        Goal::AtMost(1.1),
        || {
            out.clear();
            let key = key.object_key(&object);
            seal_into(&key, &at, Kind::Record, black_box(&PAYLOAD), &mut ours_rng, &mut out).expect("64 bytes");
            black_box(&out);
        },
        || {
            buffer.clear();
            let key = Prk::new(&secret.derive(label::OBJECT, &[object.as_bytes()]));
            let mut random = [0; 32];
            their_rng.fill_bytes(&mut random);
            let digest = sha256(black_box(&PAYLOAD));
            let salt = key.derive(label::SALT, &[&random, &digest]);
            let salt = salt.expose().first_chunk().expect("32 bytes");
            let okm = okm(&key, salt, &at);
            buffer.resize(64, 0);
            buffer.extend_from_slice(&PAYLOAD);
            buffer.resize(64 + BODY, 0);
            let cipher = Cipher::new(okm.first_chunk().expect("76 bytes"));
            let tag = cipher.seal_in_place(&[0; 12], &[], &mut buffer[64..]).expect("short");
            buffer.extend_from_slice(&tag);
            black_box(&buffer);
        },
    );

    let mut copy = sealed.clone();
    let mut body = [0_u8; BODY];
    let reference = Prk::new(&secret.derive(label::OBJECT, &[object.as_bytes()]));
    let cipher_key = okm(&reference, &[0; 24], &at);
    let tag = Cipher::new(cipher_key.first_chunk().expect("76 bytes")).seal_in_place(&[0; 12], &[], &mut body);
    let (tag, body) = (tag.expect("short"), body);
    let mut work = body;
    claims.claim(
        "record: open 64 B / its primitives",
        Goal::AtMost(1.1),
        || {
            copy.copy_from_slice(black_box(&sealed));
            let key = key.object_key(&object);
            let opened = open_in_place(&key, &at, Kind::Record, &mut copy).expect("sealed here");
            assert_eq!(opened.len(), 64);
        },
        || {
            work.copy_from_slice(black_box(&body));
            let key = Prk::new(&secret.derive(label::OBJECT, &[object.as_bytes()]));
            let okm = okm(&key, &[0; 24], &at);
            assert!(ct::eq(&okm[44..], &cipher_key[44..]));
            let cipher = Cipher::new(okm.first_chunk().expect("76 bytes"));
            cipher.open_in_place(&[0; 12], &[], &mut work, &tag).expect("sealed above");
            black_box(&work);
        },
    );
}

/// The record sealed with AWS-LC against the same primitives with the default backend's AEAD in them.
#[cfg(feature = "aws-lc")]
fn backend(claims: &mut Claims) {
    use chacha20poly1305::{AeadInOut as _, ChaCha20Poly1305, KeyInit as _};

    let mut rng = SeededRng::new(1);
    let store = StoreName::from(StoreId::generate(&mut rng));
    let (dataset, object) = (DatasetId::generate(&mut rng), ObjectId::generate(&mut rng));
    let at = Address { store, dataset, object, seq: Seq::FIRST };
    let key = DatasetKey::generate(Epoch::FIRST, &mut rng);
    let secret = Prk::new(&SecretBytes::generate(&mut rng));
    let (mut ours_rng, mut their_rng) = (SeededRng::new(2), SeededRng::new(2));
    let (mut out, mut body) = (Vec::with_capacity(256), [0; BODY]);
    claims.claim(
        "record: seal 64 B, aws-lc / default",
        Goal::AtMost(0.7),
        || {
            out.clear();
            let key = key.object_key(&object);
            seal_into(&key, &at, Kind::Record, black_box(&PAYLOAD), &mut ours_rng, &mut out).expect("64 bytes");
            black_box(&out);
        },
        || {
            let key = Prk::new(&secret.derive(label::OBJECT, &[object.as_bytes()]));
            let mut random = [0; 32];
            their_rng.fill_bytes(&mut random);
            let salt = key.derive(label::SALT, &[&random, &sha256(black_box(&PAYLOAD))]);
            let okm = okm(&key, salt.expose().first_chunk().expect("32 bytes"), &at);
            let cipher = ChaCha20Poly1305::new(okm.first_chunk::<32>().expect("76 bytes").into());
            let tag = cipher.encrypt_inout_detached(&[0; 12].into(), &[], black_box(&mut body[..]).into());
            black_box(tag.expect("short"));
        },
    );
}

/// A whole dataset as a client takes it from a host: its head verified, its root computed, every record opened; against the
/// bare openings and the root.
fn dataset(claims: &mut Claims) {
    let mut rng = SeededRng::new(3);
    let (store, id) = (StoreId::generate(&mut rng), DatasetId::generate(&mut rng));
    let mut keyring = Keyring::generate(&mut rng);
    let name = StoreName::from(store);
    let entry = keyring.add_dataset(name, id, "papers", Granularity::Field, &mut rng).expect("one dataset");
    let empty = Replica::create(name, id);
    let mut draft = empty.draft();
    let size = if cfg!(debug_assertions) { 50 } else { 4_500_u64 };
    for n in 0..size {
        let mut value = Writer::new();
        value.text("a value of some twenty bytes");
        let value = ItemBuf::parse(value.as_slice(), &Limits::new(64)).expect("text");
        let record = Record::new("json", 1, &format!("field.{n}"), value).expect("short");
        draft.put(entry.name_key().object_id(record.name()), &record).expect("short");
    }
    let part = draft.sign(entry.keys(), Timestamp::from_secs(1_800_000_000), &mut rng).expect("own keys");
    let rows: Vec<ChangedObject<'_>> = part
        .puts()
        .iter()
        .map(|put| ChangedObject::Put {
            object: *put.entry().object(),
            seq: put.entry().seq(),
            kind: put.entry().kind(),
            bytes: put.bytes(),
        })
        .collect();
    let key = entry.keys().key(Epoch::FIRST).expect("current");
    let entries: Vec<Entry> = part.puts().iter().map(|put| *put.entry()).collect();
    claims.claim(
        "record: open and verify 4,500 / its parts",
        Goal::AtMost(1.2),
        || {
            let mut replica = Replica::new(name, id);
            let applied = replica.resync(&[part.head_bytes()], &rows, entry.keys());
            assert!(applied.is_ok());
            for put in part.puts() {
                let opened = replica.open(put.entry().object(), put.bytes(), entry.keys()).expect("sealed here");
                black_box(opened.payload());
            }
        },
        || {
            for put in part.puts() {
                let (object, seq) = (*put.entry().object(), put.entry().seq());
                let at = Address { store: name, dataset: id, object, seq };
                let opened = open(&key.object_key(&object), &at, Kind::Record, put.bytes()).expect("sealed here");
                black_box(opened.payload());
            }
            assert_eq!(state_root(black_box(&entries)), *part.head().root());
        },
    );
}

/// A blob of 1 MiB against the bare AEAD over as many chunks of 16 KiB, in place.
fn blob(claims: &mut Claims) {
    let mut rng = SeededRng::new(4);
    let (store, dataset) = (StoreName::generate(&mut rng), DatasetId::generate(&mut rng));
    let mut content = vec![0; 1 << 20];
    rng.fill_bytes(&mut content);
    let cipher = Cipher::new(&[7; 32]);
    let mut buffer = content.clone();
    let mut aead = || {
        for (n, chunk) in (0_u64..).zip(buffer.chunks_mut(16_384)) {
            let mut nonce = [0; 12];
            nonce[4..].copy_from_slice(&n.to_be_bytes());
            black_box(cipher.seal_in_place(&nonce, &[], black_box(chunk)).expect("short"));
        }
    };

    let (object, reference) = seal_blob(&store, &dataset, &content, None, &mut SeededRng::new(5)).expect("1 MiB");
    assert!(open_blob(&store, &dataset, &reference, &object).expect("sealed here").payload() == content);
    claims.claim(
        "record: blob of 1 MiB, seal / bare AEAD",
        Goal::Faster(0.85),
        || drop(black_box(seal_blob(&store, &dataset, black_box(&content), None, &mut rng).expect("1 MiB"))),
        &mut aead,
    );
    claims.claim(
        "record: blob of 1 MiB, open / bare AEAD",
        Goal::Faster(0.85),
        || drop(black_box(open_blob(&store, &dataset, &reference, black_box(&object)).expect("sealed here"))),
        &mut aead,
    );

    let mut reader = BlobReader::open(&store, &dataset, &reference, object.as_slice()).expect("sealed here");
    let mut out = vec![0; 1 << 20];
    assert!(reader.read_at(0, &mut out) == Ok(1 << 20) && out == content);
    claims.claim(
        "record: blob, read_at of 1 MiB / bare AEAD",
        Goal::Faster(0.85),
        || {
            assert_eq!(reader.read_at(0, black_box(&mut out)), Ok(1 << 20));
        },
        &mut aead,
    );

    let mut written = Vec::with_capacity(object.len());
    let write = |written: &mut Vec<u8>| {
        written.clear();
        let mut sealer = BlobSealer::start(&store, &dataset, &mut SeededRng::new(5), written).expect("memory");
        for piece in content.chunks(64 << 10) {
            sealer.write_all(black_box(piece)).expect("memory");
        }
        black_box(sealer.finish(None).expect("memory").0);
    };
    write(&mut written);
    assert!(written == object);
    claims.claim("record: blob of 1 MiB, Write / bare AEAD", Goal::Faster(0.75), || write(&mut written), &mut aead);
}

/// A dataset in a new epoch: every object opened and sealed anew, root and head made; against the bare openings and sealings.
fn rotation(claims: &mut Claims) {
    let mut rng = SeededRng::new(4);
    let (store, id) = (StoreName::from(StoreId::generate(&mut rng)), DatasetId::generate(&mut rng));
    let mut keyring = Keyring::generate(&mut rng);
    let entry = keyring.add_dataset(store, id, "papers", Granularity::Field, &mut rng).expect("one dataset");
    let mut replica = Replica::create(store, id);
    let mut draft = replica.draft();
    let size = if cfg!(debug_assertions) { 50 } else { 4_500_u64 };
    for n in 0..size {
        let mut value = Writer::new();
        value.text("a value of some twenty bytes");
        let value = ItemBuf::parse(value.as_slice(), &Limits::new(64)).expect("text");
        let record = Record::new("json", 1, &format!("field.{n}"), value).expect("short");
        draft.put(entry.name_key().object_id(record.name()), &record).expect("short");
    }
    let part = draft.sign(entry.keys(), Timestamp::from_secs(1_800_000_000), &mut rng).expect("own keys");
    let objects: BTreeMap<ObjectId, Vec<u8>> =
        part.puts().iter().map(|put| (*put.entry().object(), put.bytes().to_vec())).collect();
    let _ = replica.committed(part).expect("its own part");
    keyring.rotate(&id, &mut rng).expect("a second epoch");
    let keys = keyring.dataset(&id).expect("listed").keys();
    let (former, epoch) = (keys.key(Epoch::FIRST).expect("readable"), keys.current().expect("current"));
    let key = keys.key(epoch).expect("current");
    let mut their_rng = SeededRng::new(5);
    claims.claim(
        "record: rotate 4,500 / open and seal each",
        Goal::AtMost(1.15),
        || {
            let mut draft = replica.draft();
            let bytes = |object: &ObjectId| objects.get(object).map(Vec::as_slice);
            let resealed = draft.reseal(Reseal::Eager, epoch, keys, bytes).expect("what is there");
            assert_eq!(resealed, objects.len());
            let part = draft.sign(keys, Timestamp::from_secs(1_800_000_001), &mut rng).expect("own keys");
            black_box(&part);
        },
        || {
            let mut sealed = Vec::with_capacity(objects.len());
            for entry in replica.entries() {
                let object = *entry.object();
                let at = Address { store, dataset: id, object, seq: entry.seq() };
                let bytes = objects.get(&object).expect("what is there");
                let opened = open(&former.object_key(&object), &at, Kind::Record, bytes).expect("sealed here");
                let at = Address { seq: entry.seq().next().expect("small"), ..at };
                let key = key.object_key(&object);
                sealed.push(seal(&key, &at, Kind::Record, opened.payload(), &mut their_rng).expect("short"));
            }
            black_box(&sealed);
        },
    );
}

/// The one expansion of an object: key, nonce and commitment.
fn okm(key: &Prk, salt: &[u8; 24], at: &Address) -> [u8; 76] {
    let mut okm = [0; 76];
    let seq = at.seq.get().to_be_bytes();
    let prefix = [1, 1, 1, 0, 0, 0, 0, 1];
    let parts: [&[u8]; 8] = [
        label::CHUNKED.as_bytes(),
        salt,
        label::CONTEXT.as_bytes(),
        &prefix,
        at.store.as_bytes(),
        at.dataset.as_bytes(),
        at.object.as_bytes(),
        &seq,
    ];
    key.expand(&parts, &mut okm).expect("76 bytes");
    okm
}
