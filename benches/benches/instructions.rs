//! Work for `.ci/instructions`, which counts the instructions of each piece under callgrind: `instructions NAME COUNT` does the
//! piece NAME that many times. Each piece of ours stands beside the primitives in it, under the same name with `primitives`
//! behind it. `--list` names them; without arguments every piece is done once.
//!
//! Nothing here is timed and no ratio is computed. What is done before the first count, and one round to warm up, costs the same
//! whatever COUNT is, so the difference of two runs is the piece alone.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a bench")]

use std::{collections::BTreeMap, hint::black_box};

use deedbox_cbor::{ItemBuf, Limits, Writer};
use deedbox_cose::{
    LocalSigner, Sign1, Sign1Rules, Signer as _, VerifyKey,
    sign1::{self, Document},
};
use deedbox_crypto::{
    aead::{Cipher, TAG_LEN},
    hash::sha256,
    kdf, label,
    secret::SecretBytes,
    sign::{PublicKey, SigningKey},
};
use deedbox_model::{DatasetId, Epoch, ObjectId, Seq, StoreName, Timestamp};
use deedbox_record::{
    Address, BlobReader, ChangedObject, DatasetKey, Entry, Granularity, Head, Keyring, Kind, Record, Replica, Reseal,
    SignedPart, open, open_in_place, seal, seal_blob, seal_into, state_root,
};
use deedbox_testkit::rng::SeededRng;
use rand_core::Rng as _;

/// A piece of work, ready to be done any number of times.
type Work = Box<dyn FnMut()>;
/// Makes it ready.
type Piece = fn() -> Work;

const PIECES: &[(&str, Piece)] = &[
    ("seal", seal_record),
    ("seal-primitives", seal_primitives),
    ("open", open_record),
    ("open-primitives", open_primitives),
    ("head", verify_head),
    ("head-primitives", verify_primitives),
    ("blob-seal", blob_seal),
    ("blob-seal-primitives", blob_seal_primitives),
    ("blob-read", blob_read),
    ("blob-read-primitives", blob_read_primitives),
    ("sign1", verify_sign1),
    ("sign1-primitives", verify_sign1_primitives),
    ("dataset", dataset),
    ("dataset-primitives", dataset_primitives),
    ("rotate", rotate),
    ("rotate-primitives", rotate_primitives),
];

fn main() {
    if std::env::args().any(|arg| arg == "--list") {
        PIECES.iter().for_each(|(name, _)| println!("{name}"));
        return;
    }
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with("--")).collect();
    match args.as_slice() {
        [name, count] => {
            let (_, piece) = PIECES.iter().find(|(found, _)| found == name).unwrap();
            let mut work = piece();
            for _ in 0..=count.parse::<u32>().unwrap() {
                work();
            }
        }
        _ => PIECES.iter().for_each(|(_, piece)| piece()()),
    }
}

const PAYLOAD: [u8; 64] = [0xa5; 64];
/// 64 bytes with their marker, padded.
const BODY: usize = 72;

fn at() -> Address {
    Address {
        store: StoreName::from_bytes([1; 16]),
        dataset: DatasetId::from_bytes([2; 16]),
        object: ObjectId::from_bytes([3; 16]),
        seq: Seq::FIRST,
    }
}

fn seal_record() -> Work {
    let (mut rng, at) = (SeededRng::new(1), at());
    let key = DatasetKey::generate(Epoch::FIRST, &mut rng);
    let mut out = Vec::with_capacity(256);
    Box::new(move || {
        out.clear();
        let key = key.object_key(black_box(&at.object));
        seal_into(&key, &at, Kind::Record, black_box(&PAYLOAD), &mut rng, &mut out).unwrap();
        black_box(&out);
    })
}

/// Object key, salt, expansion, AEAD.
fn seal_primitives() -> Work {
    let mut rng = SeededRng::new(1);
    let secret = kdf::Prk::new(&SecretBytes::generate(&mut rng));
    let mut body = [0; BODY];
    Box::new(move || {
        let key = kdf::Prk::new(&secret.derive(label::OBJECT, &[black_box(&[3; 16])]));
        let mut random = [0; 32];
        rng.fill_bytes(&mut random);
        black_box(key.derive(label::SALT, &[&random, &sha256(black_box(&PAYLOAD))]));
        let okm = okm(&key);
        let cipher = Cipher::new(okm[..32].try_into().unwrap());
        black_box(cipher.seal_in_place(okm[32..44].try_into().unwrap(), &[], &mut body).unwrap());
    })
}

fn open_record() -> Work {
    let (mut rng, at) = (SeededRng::new(1), at());
    let key = DatasetKey::generate(Epoch::FIRST, &mut rng);
    let sealed = seal(&key.object_key(&at.object), &at, Kind::Record, &PAYLOAD, &mut rng).unwrap();
    let mut work = sealed.clone();
    Box::new(move || {
        work.copy_from_slice(&sealed);
        let key = key.object_key(black_box(&at.object));
        black_box(open_in_place(&key, &at, Kind::Record, &mut work).unwrap());
    })
}

/// Object key, expansion, AEAD.
fn open_primitives() -> Work {
    let secret = kdf::Prk::new(&SecretBytes::generate(&mut SeededRng::new(1)));
    let derive = move || okm(&kdf::Prk::new(&secret.derive(label::OBJECT, &[black_box(&[3; 16])])));
    let okm = derive();
    let mut sealed = [0xa5; BODY];
    let tag = Cipher::new(okm[..32].try_into().unwrap())
        .seal_in_place(okm[32..44].try_into().unwrap(), &[], &mut sealed)
        .unwrap();
    let mut work = sealed;
    Box::new(move || {
        work.copy_from_slice(&sealed);
        let okm = derive();
        let cipher = Cipher::new(okm[..32].try_into().unwrap());
        cipher.open_in_place(okm[32..44].try_into().unwrap(), &[], &mut work, &tag).unwrap();
    })
}

/// What one object's key gives: the salt and a context of 74 bytes stand behind the label.
fn okm(key: &kdf::Prk) -> [u8; 76] {
    let mut okm = [0; 76];
    key.expand(&[label::CHUNKED.as_bytes(), black_box(&[1; 98])], &mut okm).unwrap();
    okm
}

fn verify_head() -> Work {
    let papers = Papers::new(1);
    let bytes = papers.part.head_bytes().to_vec();
    let keys = papers.keyring.dataset(papers.replica.dataset()).unwrap().keys();
    let key = keys.head_key(Epoch::FIRST).unwrap();
    Box::new(move || {
        black_box(Head::verify(black_box(&bytes), &key).unwrap());
    })
}

/// The signature over as many bytes, and the hash of the head.
fn verify_primitives() -> Work {
    let papers = Papers::new(1);
    let bytes = papers.part.head_bytes().to_vec();
    // Sig_structure: `Signature1`, protected header, label, payload, each behind its head.
    let signed = vec![0xa5; 1 + 11 + 41 + 17 + 2 + Document::parse(&bytes).unwrap().peek().payload().len()];
    let key = SigningKey::generate(&mut SeededRng::new(1));
    let (public, signature): (PublicKey, _) = (key.public(), key.sign(&signed));
    Box::new(move || {
        public.verify(black_box(&signed), &signature).unwrap();
        black_box(sha256(black_box(&bytes)));
    })
}

/// A document of 200 bytes, as `ratios -- foundation` verifies it.
fn document() -> (VerifyKey, Vec<u8>) {
    let signer = LocalSigner::generate(&mut SeededRng::new(1));
    (signer.public().clone(), sign1::document(&signer, b"label\0", &[0xa5; 200]).unwrap())
}

fn verify_sign1() -> Work {
    let (key, bytes) = document();
    Box::new(move || {
        black_box(sign1::open_document(black_box(&bytes), &key, b"label\0").unwrap());
    })
}

/// The signature over the same bytes.
fn verify_sign1_primitives() -> Work {
    let (key, bytes) = document();
    let parsed = Sign1::parse(&bytes, &Sign1Rules::STRICT).unwrap();
    let (signed, signature) = (parsed.peek().to_be_signed(b"label\0"), parsed.peek().signature().try_into().unwrap());
    Box::new(move || key.as_ed25519().unwrap().verify(black_box(&signed), &signature).unwrap())
}

/// Four full chunks: too few for a second thread.
const CONTENT: usize = 4 * 16_384;

fn blob_seal() -> Work {
    let (mut rng, at) = (SeededRng::new(1), at());
    let content = vec![0xa5; CONTENT];
    Box::new(move || drop(black_box(seal_blob(&at.store, &at.dataset, black_box(&content), None, &mut rng).unwrap())))
}

/// The content's hash and the AEAD.
fn blob_seal_primitives() -> Work {
    let (cipher, content) = (Cipher::new(&[7; 32]), vec![0xa5; CONTENT]);
    let mut buffer = content.clone();
    Box::new(move || {
        black_box(sha256(black_box(&content)));
        for chunk in buffer.chunks_mut(16_384) {
            black_box(cipher.seal_in_place(&[0; 12], &[], black_box(chunk)).unwrap());
        }
    })
}

fn blob_read() -> Work {
    let (mut rng, at) = (SeededRng::new(1), at());
    // The last chunk, which a reader keeps, is another one.
    let mut out = vec![0; CONTENT + TAG_LEN];
    let (object, reference) = seal_blob(&at.store, &at.dataset, &out, None, &mut rng).unwrap();
    let object: &'static [u8] = object.leak();
    let mut reader = BlobReader::open(&at.store, &at.dataset, &reference, object).unwrap();
    Box::new(move || assert_eq!(reader.read_at(0, black_box(&mut out)).unwrap(), CONTENT + TAG_LEN))
}

fn blob_read_primitives() -> Work {
    let (cipher, mut sealed) = (Cipher::new(&[7; 32]), vec![0xa5; 16_384]);
    let tag = cipher.seal_in_place(&[0; 12], &[], &mut sealed).unwrap();
    let mut out = vec![0; CONTENT];
    Box::new(move || {
        for chunk in out.chunks_mut(16_384) {
            chunk.copy_from_slice(black_box(&sealed));
            cipher.open_in_place(&[0; 12], &[], chunk, &tag).unwrap();
        }
    })
}

/// Enough objects that those steps count which grow with their number, and too few for a second thread.
const OBJECTS: usize = 200;

/// A dataset of small records, its first head signed.
struct Papers {
    keyring: Keyring,
    replica: Replica,
    part: SignedPart,
}

impl Papers {
    fn new(objects: usize) -> Self {
        let mut rng = SeededRng::new(3);
        let (store, id) = (StoreName::generate(&mut rng), DatasetId::generate(&mut rng));
        let mut keyring = Keyring::generate(&mut rng);
        let entry = keyring.add_dataset(store, id, "papers", Granularity::Field, &mut rng).unwrap();
        let replica = Replica::create(store, id);
        let mut draft = replica.draft();
        for n in 0..objects {
            let mut value = Writer::new();
            value.text("a value of some twenty bytes");
            let value = ItemBuf::parse(value.as_slice(), &Limits::new(64)).unwrap();
            let record = Record::new("json", 1, &format!("field.{n}"), value).unwrap();
            draft.put(entry.name_key().object_id(record.name()), &record).unwrap();
        }
        let part = draft.sign(entry.keys(), Timestamp::from_secs(1_800_000_000), &mut rng).unwrap();
        Self { keyring, replica, part }
    }

    fn address(&self, entry: &Entry) -> Address {
        let (store, dataset) = (*self.replica.store(), *self.replica.dataset());
        Address { store, dataset, object: *entry.object(), seq: entry.seq() }
    }
}

fn dataset() -> Work {
    let papers = Papers::new(OBJECTS);
    Box::new(move || {
        let part = &papers.part;
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
        let keys = papers.keyring.dataset(part.dataset()).unwrap().keys();
        let mut replica = Replica::new(*papers.replica.store(), *part.dataset());
        assert!(replica.resync(&[part.head_bytes()], &rows, keys).is_ok());
        for put in part.puts() {
            black_box(replica.open(put.entry().object(), put.bytes(), keys).unwrap().payload());
        }
    })
}

/// The bare openings and the root.
fn dataset_primitives() -> Work {
    let papers = Papers::new(OBJECTS);
    let entries: Vec<Entry> = papers.part.puts().iter().map(|put| *put.entry()).collect();
    Box::new(move || {
        let part = &papers.part;
        let key = papers.keyring.dataset(part.dataset()).unwrap().keys().key(Epoch::FIRST).unwrap();
        for put in part.puts() {
            let at = papers.address(put.entry());
            black_box(open(&key.object_key(&at.object), &at, Kind::Record, put.bytes()).unwrap().payload());
        }
        assert_eq!(state_root(black_box(&entries)), *part.head().root());
    })
}

/// A dataset whose objects all wait for the second epoch.
struct Rotation {
    papers: Papers,
    objects: BTreeMap<ObjectId, Vec<u8>>,
    rng: SeededRng,
}

impl Rotation {
    fn new() -> Self {
        let (mut papers, mut rng) = (Papers::new(OBJECTS), SeededRng::new(4));
        let objects = papers.part.puts().iter().map(|put| (*put.entry().object(), put.bytes().to_vec())).collect();
        papers.keyring.rotate(papers.replica.dataset(), &mut rng).unwrap();
        Self { papers, objects, rng }
    }
}

fn rotate() -> Work {
    let Rotation { papers: Papers { keyring, mut replica, part }, objects, mut rng } = Rotation::new();
    let _ = replica.committed(part).unwrap();
    Box::new(move || {
        let keys = keyring.dataset(replica.dataset()).unwrap().keys();
        let mut draft = replica.draft();
        let bytes = |object: &ObjectId| objects.get(object).map(Vec::as_slice);
        draft.reseal(Reseal::Eager, keys.current().unwrap(), keys, bytes).unwrap();
        let _ = black_box(draft.sign(keys, Timestamp::from_secs(1_800_000_001), &mut rng).unwrap());
    })
}

/// The bare openings and sealings.
fn rotate_primitives() -> Work {
    let Rotation { papers, mut rng, .. } = Rotation::new();
    Box::new(move || {
        let keys = papers.keyring.dataset(papers.replica.dataset()).unwrap().keys();
        let (former, key) = (keys.key(Epoch::FIRST).unwrap(), keys.key(keys.current().unwrap()).unwrap());
        for put in papers.part.puts() {
            let at = papers.address(put.entry());
            let opened = open(&former.object_key(&at.object), &at, Kind::Record, put.bytes()).unwrap();
            let at = Address { seq: at.seq.next().unwrap(), ..at };
            black_box(seal(&key.object_key(&at.object), &at, Kind::Record, opened.payload(), &mut rng).unwrap());
        }
    })
}
