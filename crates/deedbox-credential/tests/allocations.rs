//! What verifying costs in memory, counted: few allocations for what is good, and for whatever else comes at most eight times its
//! length and 64 KiB.

use std::sync::LazyLock;

use allocation_counter::{AllocationInfo, measure};
use deedbox_cbor::{Limits, MapWriter, Order, Writer, read};
use deedbox_cose::{LocalSigner, Signer as _, sha256};
use deedbox_credential::{
    AcceptPolicy, Audience, Challenge, ClaimPath, ClaimSet, CredentialTemplate, FetchedStatusList, HeldCredential,
    Issuer, Nonce, Segment, StatusList, StatusPolicy, StatusReference, StatusSource, TrustAnchors, TrustStore, Vct,
    VctPolicy, Verifier,
};
use deedbox_crypto::secret::SecretBytes;
use deedbox_model::Timestamp;
use deedbox_testkit::rng::SeededRng;
use proptest::prelude::*;

const ISS: &str = "https://issuer.test";
const AUD: &str = "https://verifier.test";
const NONCE: [u8; 32] = [7; 32];
const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);
const MAX_TOKEN: usize = 262_144;

fn signer(seed: u8) -> LocalSigner {
    LocalSigner::from_seed(&SecretBytes::from_bytes([seed; 32]))
}

fn trust() -> TrustStore {
    let mut trust = TrustStore::new();
    trust.pin_issuer(ISS, signer(1).public().clone());
    trust.pin_status_key(ISS, signer(3).public().clone());
    trust
}

/// A presentation of `count` claims, all of them shown.
fn presentation(count: i64) -> Vec<u8> {
    let (issuer, holder, mut rng) = (signer(1), signer(2), SeededRng::new(1));
    let set = (0..count).fold(ClaimSet::builder(), |set, key| set.redactable(500 + key, "value"));
    let template = CredentialTemplate::new(Vct::text("https://vct.test/licence"), 3600);
    let issued =
        Issuer::new(ISS, &issuer).issue(&template, set.build().unwrap(), holder.public(), None, NOW, &mut rng).unwrap();
    let policy = AcceptPolicy::new(holder.public().clone());
    let held = HeldCredential::accept(issued.as_bytes(), &trust(), &policy, NOW).unwrap();
    let paths: Vec<_> = (0..count).map(|key| ClaimPath::new(vec![Segment::Int(500 + key)])).collect();
    let (audience, nonce) = (Audience::parse(AUD).unwrap(), Nonce::try_new(&NONCE).unwrap());
    held.present(&held.select(&paths).unwrap(), &audience, &nonce, &holder, NOW).unwrap()
}

/// What verifying takes, and what came of it.
fn verify(kbt: &[u8]) -> (AllocationInfo, String) {
    let trust = trust();
    let status = StatusPolicy::ShortLived { max_secs: 1 << 40 };
    let verifier = Verifier::new(&trust, Audience::parse(AUD).unwrap(), VctPolicy::any_or_none(), status);
    let challenge = Challenge::try_new(&NONCE, 300).unwrap();
    let mut result = None;
    let taken = measure(|| result = Some(verifier.verify(kbt, challenge, NOW)));
    let code = result.unwrap().map_or_else(|error| error.code().to_owned(), |_| "ok".to_owned());
    (taken, code)
}

#[test]
fn verifying_allocates_no_more_for_more_disclosures() {
    let taken = [1, 20, 900].map(|count| {
        let (taken, code) = verify(&presentation(count));
        assert_eq!(code, "ok");
        taken.count_total
    });
    assert!(taken[1] <= 23, "{taken:?}");
    assert!(taken[2] <= taken[1] + 2, "{taken:?}");
}

/// At most eight times the length and 64 KiB.
#[track_caller]
fn bounded(what: &str, len: usize, taken: &AllocationInfo) {
    let most = 8 * len as u64 + 65_536;
    assert!(taken.bytes_max <= most, "{what}: {} bytes of memory for {len}, {most} allowed", taken.bytes_max);
}

fn map(entries: impl FnOnce(&mut MapWriter)) -> Vec<u8> {
    let mut writer = Writer::new();
    writer.map(entries);
    writer.into_vec()
}

fn cbor(write: impl FnOnce(&mut Writer)) -> Vec<u8> {
    let mut writer = Writer::new();
    write(&mut writer);
    writer.into_vec()
}

/// Lets a closure end in a call whose result is of no use.
fn unit<T>(_: T) {}

fn put(w: &mut Writer, bytes: &[u8]) {
    w.item(read(bytes, Order::Any, &Limits::new(1 << 24).with_depth(64)).unwrap());
}

fn sign1(signer: &LocalSigner, protected: &[u8], unprotected: &[u8], payload: &[u8]) -> Vec<u8> {
    let to_be_signed = deedbox_cose::sign1::sig_structure(protected, &[], payload);
    let signature = signer.sign(&to_be_signed).unwrap();
    cbor(|w| {
        w.tag(18).array(4).bytes(protected);
        put(w, unprotected);
        w.bytes(payload).bytes(signature.as_bytes());
    })
}

/// A key binding around `token`, signed by the holder.
fn bind(token: &[u8], unprotected: &[u8]) -> Vec<u8> {
    let header = map(|map| {
        map.int(1, |w| unit(w.int(-19))).int(13, |w| put(w, token)).int(16, |w| unit(w.uint(294)));
    });
    let payload = map(|map| {
        map.int(3, |w| unit(w.text(AUD))).int(6, |w| unit(w.uint(NOW.secs()))).int(39, |w| unit(w.bytes(&NONCE)));
    });
    sign1(&signer(2), &header, unprotected, &payload)
}

/// A token signed by `issuer`, with `claim` under 600 and these disclosures and digests.
fn token(issuer: u8, claim: &[u8], digests: &[[u8; 32]], disclosures: &[Vec<u8>], more: &[u8]) -> Vec<u8> {
    let header = map(|map| {
        map.int(1, |w| unit(w.int(-19))).int(16, |w| unit(w.uint(293)));
    });
    let payload = map(|map| {
        map.int(1, |w| unit(w.text(ISS))).int(6, |w| unit(w.uint(NOW.secs())));
        map.int(8, |w| {
            w.map(|map| unit(map.int(1, |w| signer(2).public().encode(w))));
        });
        map.int(600, |w| put(w, claim));
        map.entry(
            |w| unit(w.simple(59)),
            |w| {
                w.array(digests.len());
                digests.iter().for_each(|digest| unit(w.bytes(digest)));
            },
        );
    });
    let unprotected = map(|map| {
        if !disclosures.is_empty() {
            map.int(17, |w| {
                w.array(disclosures.len());
                disclosures.iter().for_each(|disclosure| unit(w.bytes(disclosure)));
            });
        }
        map.int(700, |w| put(w, more));
    });
    sign1(&signer(issuer), &header, &unprotected, &payload)
}

const NULL: &[u8] = &[0xf6];

/// Values of about `len` bytes, each made to cost a reader that isn't careful.
fn costly(len: usize) -> Vec<(&'static str, Vec<u8>)> {
    let filled = |of: &[u8]| {
        cbor(|w| {
            w.array(len / of.len());
            (0..len / of.len()).for_each(|_| put(w, of));
        })
    };
    let deep = |levels: usize, inside: &[u8]| {
        cbor(|w| {
            (0..levels).for_each(|_| unit(w.array(1)));
            put(w, inside);
        })
    };
    let keys = len / 5;
    let wide = |descending: bool| {
        cbor(|w| {
            w.sorted_map(keys);
            for at in 0..keys {
                let key = 70_000 + if descending { keys - at } else { at };
                w.uint(key as u64);
            }
        })
    };
    // A map's values are its keys again, so that each entry is short.
    let wide = |descending: bool| {
        let heads = wide(descending);
        let (head, entries) = heads.split_at(heads.len() - keys * 5);
        let entries = entries.chunks(5).flat_map(|key| [key, &[0][..]].concat());
        [head, &entries.collect::<Vec<u8>>()].concat()
    };
    vec![
        ("empty arrays", filled(&[0x80])),
        ("empty maps", filled(&[0xa0])),
        ("arrays of one", filled(&[0x81, 0])),
        ("tags", filled(&[0xc1, 0])),
        ("small ints", filled(&[0])),
        ("empty texts", filled(&[0x60])),
        ("deep arrays", filled(&deep(20, &[0]))),
        ("wide below deep", deep(20, &filled(&[0x80]))),
        ("a sorted map", wide(false)),
        ("an unsorted map", wide(true)),
        ("maps of one", filled(&[0xa1, 0, 0])),
    ]
}

#[test]
fn nothing_costs_more_than_eight_times_its_length() {
    let len = MAX_TOKEN / 2;
    for (what, value) in costly(len) {
        let levels = |code: &str| ["ok", "Limit.Levels", "Limit.Depth"].contains(&code);
        for issuer in [1, 9] {
            let who = if issuer == 1 { "trusted" } else { "unknown" };
            let kbt = bind(&token(issuer, &value, &[], &[], NULL), &[0xa0]);
            let (taken, code) = verify(&kbt);
            assert!(levels(&code) || code == "Signature.Issuer", "{what}: {code}");
            bounded(&format!("{what}, claim, {who}"), kbt.len(), &taken);

            let kbt = bind(&token(issuer, NULL, &[], &[], &value), &[0xa0]);
            bounded(&format!("{what}, header, {who}"), kbt.len(), &verify(&kbt).0);

            let disclosure = cbor(|w| {
                w.array(3).bytes(&[1; 16]);
                put(w, &value);
                w.uint(601);
            });
            let digest = sha256(&cbor(|w| unit(w.bytes(&disclosure))));
            let kbt = bind(&token(issuer, NULL, &[digest], &[disclosure], NULL), &[0xa0]);
            bounded(&format!("{what}, disclosure, {who}"), kbt.len(), &verify(&kbt).0);
        }
        let unprotected = map(|map| unit(map.int(700, |w| put(w, &value))));
        let kbt = bind(&token(1, NULL, &[], &[], NULL), &unprotected);
        bounded(&format!("{what}, key binding"), kbt.len(), &verify(&kbt).0);

        let payload = map(|map| {
            map.int(2, |w| unit(w.text("u"))).int(6, |w| unit(w.uint(NOW.secs()))).int(700, |w| put(w, &value));
        });
        let header = map(|map| {
            map.int(1, |w| unit(w.int(-19))).int(16, |w| unit(w.text("application/statuslist+cwt")));
        });
        let list = sign1(&signer(9), &header, &[0xa0], &payload);
        let source = StatusSource::new(ISS, &StatusReference::new(0, "u"));
        let (trust, fetched) = (trust(), FetchedStatusList::new(&list, NOW));
        let taken = measure(|| drop(StatusList::verify(fetched, &source, &trust, NOW)));
        bounded(&format!("{what}, status list"), list.len(), &taken);
    }
}

#[test]
fn as_many_disclosures_as_fit_cost_no_more_than_their_bytes() {
    for count in [1, 100, 2048] {
        let disclosures: Vec<Vec<u8>> = (0..count)
            .map(|at: u32| {
                let mut salt = [0; 16];
                salt[..4].copy_from_slice(&at.to_be_bytes());
                cbor(|w| unit(w.array(3).bytes(&salt).null().uint((1000 + at).into())))
            })
            .collect();
        let digests: Vec<_> = disclosures.iter().map(|bytes| sha256(&cbor(|w| unit(w.bytes(bytes))))).collect();
        let kbt = bind(&token(1, NULL, &digests, &disclosures, NULL), &[0xa0]);
        let (taken, code) = verify(&kbt);
        assert_eq!(code, "ok");
        bounded("disclosures", kbt.len(), &taken);
    }
    // Digests that nobody answers, as many as fit.
    let digests: Vec<_> = (0..7000_u32).map(|at| sha256(&at.to_be_bytes())).collect();
    let kbt = bind(&token(1, NULL, &digests, &[], NULL), &[0xa0]);
    let (taken, code) = verify(&kbt);
    assert_eq!(code, "ok");
    bounded("digests", kbt.len(), &taken);
}

#[test]
fn a_hundred_thousand_levels_are_refused_without_memory() {
    for head in [0x81, 0xa1, 0xc1, 0xd2, 0xd8] {
        let bytes = vec![head; 100_000];
        let (taken, code) = verify(&bytes);
        assert!(["Limit.Depth", "Tag", "Shape", "Eof", "NonPreferred"].contains(&code.as_str()), "{code}");
        bounded("levels", 0, &taken);
    }
    let deep = vec![0x81; 100_000];
    let taken =
        measure(|| drop(HeldCredential::accept(&deep, &trust(), &AcceptPolicy::new(signer(2).public().clone()), NOW)));
    bounded("accepting", 4096, &taken);
    let anchors = TrustAnchors::try_new("list", vec![signer(4).public().clone()], 1).unwrap();
    let taken = measure(|| drop(TrustStore::new().update(&deep, &anchors, NOW)));
    bounded("trust list", 4096, &taken);
}

proptest! {
    #[test]
    fn whatever_is_altered_costs_no_more(at in any::<prop::sample::Index>(), byte: u8, cut in any::<prop::sample::Index>()) {
        static KBT: LazyLock<Vec<u8>> = LazyLock::new(|| presentation(20));
        let mut kbt = KBT.clone();
        *at.get_mut(&mut kbt) = byte;
        bounded("altered", kbt.len(), &verify(&kbt).0);
        kbt.truncate(cut.index(kbt.len()));
        bounded("cut", kbt.len(), &verify(&kbt).0);
    }
}
