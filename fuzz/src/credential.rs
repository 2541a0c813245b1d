//! SD-CWT: presentations, accepted credentials, the disclosure engine, tokens mutated inside and signed again; status lists,
//! trust lists, queries, pools.
#![expect(clippy::unwrap_used, reason = "a fuzz body fails by panicking")]

use std::{collections::BTreeSet, sync::LazyLock};

use deedbox_cbor::{Limits, Order, Writer, read};
use deedbox_cose::{LocalSigner, Signer as _};
use deedbox_credential::{
    AcceptPolicy, Audience, Challenge, ClaimArray, ClaimMap, ClaimSet, CredentialPool, CredentialTemplate,
    FetchedStatusList, HeldCredential, Issuer, IssuerKey, KeyState, Nonce, Query, SigningTrustList, StatusBits,
    StatusList, StatusListBuilder, StatusPolicy, StatusReference, StatusSource, TrustAnchors, TrustListDraft, TrustPin,
    TrustStore, Vct, VctPolicy, Verifier, claim_path,
    test_util::{assemble, claims, naive_assemble, raw_sign1, status_list, unsigned_status_list},
};
use deedbox_crypto::{hash::sha256, label, secret::SecretBytes};
use deedbox_model::{Seq, Timestamp};
use deedbox_testkit::rng::SeededRng;

const ISS: &str = "https://issuer.test";
const AUD: &str = "https://verifier.test";
const NONCE: [u8; 16] = [7; 16];
const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

struct Fixture {
    issuer: LocalSigner,
    holder: LocalSigner,
    trust: TrustStore,
    issued: Vec<u8>,
    presented: Vec<u8>,
}

static FIXTURE: LazyLock<Fixture> = LazyLock::new(|| {
    let signer = |seed| LocalSigner::from_seed(&SecretBytes::from_bytes([seed; 32]));
    let (issuer, holder) = (signer(1), signer(2));
    let mut trust = TrustStore::new();
    trust.pin_issuer(ISS, issuer.public().clone());
    let place = ClaimMap::new().claim("country", "us").redactable("region", "ca");
    let set = ClaimSet::builder()
        .redactable(501, "ABCD")
        .claim(502, ClaimArray::new().element(1).redactable(2).decoys(1))
        .redactable(503, place)
        .build()
        .unwrap();
    let template = CredentialTemplate::new(Vct::number(5), 3600);
    let mut rng = SeededRng::new(1);
    let issued =
        Issuer::new(ISS, &issuer).issue(&template, set, holder.public(), None, NOW, &mut rng).unwrap().into_vec();
    let held = HeldCredential::accept(&issued, &trust, &AcceptPolicy::new(holder.public().clone()), NOW).unwrap();
    let selection = held.select(&[claim_path![503, "region"]]).unwrap();
    let audience = Audience::parse(AUD).unwrap();
    let presented = held.present(&selection, &audience, &Nonce::try_new(&NONCE).unwrap(), &holder, NOW).unwrap();
    Fixture { issuer, holder, trust, issued, presented }
});

fn xor(over: &[u8], data: &[u8]) -> Vec<u8> {
    over.iter().zip(data.iter().chain(std::iter::repeat(&0))).map(|(left, right)| left ^ right).collect()
}

fn verifier(trust: &TrustStore) -> Verifier<'_> {
    let status = StatusPolicy::ShortLived { max_secs: 1 << 40 };
    Verifier::new(trust, Audience::parse(AUD).unwrap(), VctPolicy::any_or_none(), status)
}

fn challenge() -> Challenge {
    Challenge::try_new(&NONCE, 300).unwrap()
}

/// No presentation is accepted but the one that was made: the input is one, and is XORed over the true one.
pub fn credential_verify(data: &[u8]) {
    let verifier = verifier(&FIXTURE.trust);
    for kbt in [data, &xor(&FIXTURE.presented, data)] {
        let _ = Verifier::peek(kbt);
        assert_eq!(verifier.verify(kbt, challenge(), NOW).is_ok(), kbt == FIXTURE.presented);
    }
}

/// A credential that is accepted says what was issued: the input is one, and is XORed over the true one.
pub fn credential_accept(data: &[u8]) {
    let policy = AcceptPolicy::new(FIXTURE.holder.public().clone());
    let accept = |bytes: &[u8]| HeldCredential::accept(bytes, &FIXTURE.trust, &policy, NOW);
    let issued = accept(&FIXTURE.issued).unwrap();
    for bytes in [data, &xor(&FIXTURE.issued, data)] {
        if let Ok(held) = accept(bytes) {
            assert_eq!(held.claims(), issued.claims());
            assert_eq!(held.as_bytes(), bytes);
        }
        let _ = HeldCredential::reopen(bytes, &policy);
    }
}

/// A payload and disclosures, cut from the input; digests that the input can't know are filled in.
///
/// `[bare?] [payload length, 2 bytes] payload ([length] disclosure)*`. Wherever 31 bytes aa and a number n stand, the digest
/// of disclosure n is put, if n is not later than where it stands.
fn cut(data: &[u8]) -> Option<(Vec<u8>, Vec<Vec<u8>>)> {
    let (bare, data) = data.split_first()?;
    let (len, data) = data.split_first_chunk::<2>()?;
    let (payload, mut data) = data.split_at_checked(u16::from_be_bytes(*len).into())?;
    let mut disclosures: Vec<Vec<u8>> = Vec::new();
    let mut digests: Vec<[u8; 32]> = Vec::new();
    while let Some((len, rest)) = data.split_first() {
        let (disclosure, rest) = rest.split_at_checked((*len).into())?;
        let disclosure = fill(disclosure, &digests);
        let mut wrapped = Writer::new();
        wrapped.bytes(&disclosure);
        digests.push(sha256(if *bare == 1 { &disclosure } else { wrapped.as_slice() }));
        disclosures.push(disclosure);
        data = rest;
    }
    Some((fill(payload, &digests), disclosures))
}

fn fill(bytes: &[u8], digests: &[[u8; 32]]) -> Vec<u8> {
    let mut filled = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some((first, after)) = rest.split_first() {
        let named = rest.strip_prefix(&[0xaa; 31]).and_then(<[u8]>::split_first);
        match named.and_then(|(n, after)| Some((digests.get(usize::from(*n))?, after))) {
            Some((digest, after)) => {
                filled.extend_from_slice(digest);
                rest = after;
            }
            None => {
                filled.push(*first);
                rest = after;
            }
        }
    }
    filled
}

/// The engine and the naive assembler come to one result; the order of disclosures doesn't change it, nor the fault that is told.
pub fn credential_disclosures(data: &[u8]) {
    let Some((payload, disclosures)) = cut(data) else { return };
    let mut disclosures: Vec<&[u8]> = disclosures.iter().map(Vec::as_slice).collect();
    let verdict =
        |disclosures: &[&[u8]]| assemble(&payload, disclosures).map_err(|error| (error.stage(), error.code()));
    let result = verdict(&disclosures);
    assert_eq!(result.clone().ok(), naive_assemble(&payload, &disclosures));
    disclosures.reverse();
    assert_eq!(verdict(&disclosures), result);
    if let Some(last) = disclosures.len().checked_sub(1) {
        disclosures.rotate_left(last / 2);
        assert_eq!(verdict(&disclosures), result);
    }
}

/// A token mutated inside and signed again by issuer and holder: what is accepted is what the naive assembler makes of it, so each
/// claim in it was the issuer's; a second look says the same.
pub fn credential_resigned(data: &[u8]) {
    let Some((more, disclosures)) = cut(data) else { return };
    let Ok(more) = read(&more, Order::Any, &Limits::new(1 << 16)) else { return };
    let Some(more) = more.as_map() else { return };
    let mut payload = Writer::new();
    payload.map(|map| {
        map.int(1, |w| {
            w.text(ISS);
        });
        map.int(8, |w| {
            w.map(|map| {
                map.int(1, |w| FIXTURE.holder.public().encode(w));
            });
        });
        // The input may replace these two.
        for (key, value) in more {
            map.entry(
                |w| {
                    w.item(key);
                },
                |w| {
                    w.item(value);
                },
            );
        }
    });
    let mut header = Writer::new();
    header.map(|map| {
        map.int(1, |w| {
            w.int(-19);
        });
        map.int(16, |w| {
            w.uint(293);
        });
    });
    let mut sd_claims = Writer::new();
    sd_claims.map(|map| {
        if !disclosures.is_empty() {
            map.int(17, |w| {
                w.array(disclosures.len());
                disclosures.iter().for_each(|disclosure| {
                    w.bytes(disclosure);
                });
            });
        }
    });
    let token = raw_sign1(&FIXTURE.issuer, header.as_slice(), sd_claims.as_slice(), payload.as_slice());
    let Ok(item) = read(&token, Order::Any, &Limits::new(1 << 20)) else { return };
    let mut header = Writer::new();
    header.map(|map| {
        map.int(1, |w| {
            w.int(-19);
        });
        map.int(13, |w| {
            w.item(item);
        });
        map.int(16, |w| {
            w.uint(294);
        });
    });
    let mut binding = Writer::new();
    binding.map(|map| {
        map.int(3, |w| {
            w.text(AUD);
        });
        map.int(6, |w| {
            w.uint(NOW.secs());
        });
        map.int(39, |w| {
            w.bytes(&NONCE);
        });
    });
    let kbt = raw_sign1(&FIXTURE.holder, header.as_slice(), &[0xa0], binding.as_slice());
    let verify = || verifier(&FIXTURE.trust).verify(&kbt, challenge(), NOW);
    let again = verify().map(|shown| claims(&shown).as_bytes().to_vec()).map_err(|error| error.code());
    let shown = verify();
    assert_eq!(again, shown.as_ref().map(|shown| claims(shown).as_bytes().to_vec()).map_err(|error| error.code()));
    if let Ok(shown) = shown {
        let disclosures: Vec<&[u8]> = disclosures.iter().map(Vec::as_slice).collect();
        let naive = naive_assemble(payload.as_slice(), &disclosures);
        assert_eq!(naive.as_deref(), Some(claims(&shown).as_bytes()));
    }
    let _ = HeldCredential::accept(&token, &FIXTURE.trust, &AcceptPolicy::new(FIXTURE.holder.public().clone()), NOW);
}

const URI: &str = "https://status.test/1";
/// What a list of the input's may inflate to.
const MAX_BYTES: usize = 1 << 16;

/// A status signer, whom it signs for, and its list.
struct Listing {
    signer: LocalSigner,
    trust: TrustStore,
    source: StatusSource,
    token: Vec<u8>,
}

static LISTING: LazyLock<Listing> = LazyLock::new(|| {
    let signer = LocalSigner::from_seed(&SecretBytes::from_bytes([3; 32]));
    let mut trust = TrustStore::new();
    trust.pin_status_key(ISS, signer.public().clone());
    let mut list = StatusListBuilder::with_entries(URI, StatusBits::Two, 100);
    list.set(7, 1.into()).unwrap();
    let token = list.publish(&signer, NOW).unwrap();
    let source = StatusSource::new(ISS, &StatusReference::new(7, URI));
    Listing { signer, trust, source, token }
});

/// No status list token is accepted but the one that was signed: the input is one, and is XORed over the true one. Where the
/// input is a list and is signed, it is read as it would be without signature, and never beyond its limit.
pub fn credential_status(data: &[u8]) {
    let Listing { signer, trust, source, token } = &*LISTING;
    for bytes in [data, &xor(token, data)] {
        let read = StatusList::verify(FetchedStatusList::new(bytes, NOW), source, trust, NOW);
        assert_eq!(read.is_ok(), bytes == token);
    }
    let Ok(list) = read(data, Order::Any, &Limits::new(1 << 20)) else { return };
    let (mut header, mut payload) = (Writer::new(), Writer::new());
    header.map(|map| {
        map.int(1, |w| {
            w.int(-19);
        });
        map.int(16, |w| {
            w.text("application/statuslist+cwt");
        });
    });
    payload.map(|map| {
        map.int(2, |w| {
            w.text(URI);
        });
        map.int(6, |w| {
            w.uint(NOW.secs());
        });
        map.int(65533, |w| {
            w.item(list);
        });
    });
    let token = raw_sign1(signer, header.as_slice(), &[0xa0], payload.as_slice());
    let signed = status_list(FetchedStatusList::new(&token, NOW), source, trust, NOW, 0, MAX_BYTES);
    let unsigned = unsigned_status_list(data, MAX_BYTES);
    match (signed, unsigned) {
        (Ok(signed), Ok(unsigned)) => {
            for idx in (0..64).chain([1000, u64::MAX]) {
                assert_eq!(signed.status(idx), unsigned.status(idx));
            }
            assert_eq!(signed.status(8 * MAX_BYTES as u64), None);
        }
        (signed, unsigned) => assert_eq!(signed.is_ok(), unsigned.is_ok()),
    }
}

struct Anchored {
    anchor: LocalSigner,
    anchors: TrustAnchors,
    list: Vec<u8>,
}

static ANCHORED: LazyLock<Anchored> = LazyLock::new(|| {
    let signer = |seed| LocalSigner::from_seed(&SecretBytes::from_bytes([seed; 32]));
    let (anchor, other) = (signer(4), signer(5));
    let anchors = TrustAnchors::try_new("list", vec![anchor.public().clone(), other.public().clone()], 1).unwrap();
    let key = |seed| IssuerKey::new(signer(seed).public().clone());
    let draft = TrustListDraft::new("list", Seq::FIRST)
        .issuer(ISS, [key(1).with_types([Vct::number(5)]), key(3).for_status_lists()])
        .issuer("https://other.test", [key(6).in_state(KeyState::Compromised).with_kid(*b"k")]);
    let mut list = draft.write(NOW, 3600).unwrap();
    list.sign(&anchor).unwrap();
    Anchored { anchor, anchors, list: list.to_bytes() }
});

/// No trust list is taken but the one that was signed: the input is one, and is XORed over the true one. Signed lists and pins
/// are written as they were read.
pub fn credential_trust_list(data: &[u8]) {
    let Anchored { anchor, anchors, list } = &*ANCHORED;
    for bytes in [data, &xor(list, data)] {
        let mut store = TrustStore::new();
        assert_eq!(store.update(bytes, anchors, NOW).is_ok(), bytes == list);
        assert_eq!(store.pin().is_some(), bytes == list);
        if let Ok(signing) = SigningTrustList::parse(bytes) {
            assert_eq!(signing.to_bytes(), bytes);
        }
    }
    if let Some(pin) = TrustPin::parse(data) {
        assert_eq!(pin.to_bytes(), data);
        let _ = TrustStore::resume(pin).update(list, anchors, NOW);
    }
    // The input as what an anchor signs.
    let signed = deedbox_cose::sign::document(anchor, label::TRUST_LIST.as_bytes(), data).unwrap();
    let mut store = TrustStore::new();
    if store.update(&signed, anchors, NOW).is_ok() {
        let pin = store.pin().unwrap();
        assert_eq!(TrustPin::parse(&pin.to_bytes()).as_ref(), Some(&pin));
        // Once more is no rollback, and nothing older follows.
        store.update(&signed, anchors, NOW).unwrap();
        let before = store.update(list, anchors, NOW);
        assert!(before.is_err() || pin.seq() == Seq::FIRST);
    }
}

/// A query is written as it was read, and what it selects answers it after verification. Nothing else is in what is shown: of
/// hidden claims neither value nor name.
pub fn credential_query(data: &[u8]) {
    static HELD: LazyLock<HeldCredential> = LazyLock::new(|| {
        let address = ClaimMap::new().redactable("city", "Bern").redactable("street", "Row 1");
        let set = ClaimSet::builder()
            .claim("open", 1)
            .redactable("birth_date", "1990-05-17")
            .redactable("age_over_18", true)
            .redactable("age_over_65", false)
            .redactable("address", address)
            .redactable("list", ClaimArray::new().element(1).redactable(ClaimMap::new().redactable("deep", 2)))
            .redactable(501, "ABCD");
        let (template, mut rng) = (CredentialTemplate::new(Vct::number(5), 3600), SeededRng::new(1));
        let (issuer, holder) = (Issuer::new(ISS, &FIXTURE.issuer), FIXTURE.holder.public());
        let issued = issuer.issue(&template, set.build().unwrap(), holder, None, NOW, &mut rng).unwrap();
        HeldCredential::accept(issued.as_bytes(), &FIXTURE.trust, &AcceptPolicy::new(holder.clone()), NOW).unwrap()
    });
    let Ok(query) = Query::parse(data) else { return };
    assert_eq!(query.to_bytes(), data);
    let strict = query.select(&HELD);
    let Ok(selection) = query.select_allowing(&HELD, &[claim_path!["birth_date"], claim_path!["address"]]) else {
        assert!(strict.is_err());
        return;
    };
    let audience = Audience::parse(AUD).unwrap();
    let shown = HELD.present(&selection, &audience, &Nonce::try_new(&NONCE).unwrap(), &FIXTURE.holder, NOW).unwrap();
    let accepted = verifier(&FIXTURE.trust).verify(&shown, challenge(), NOW).unwrap().accept_unlisted().unwrap();
    accepted.answers(&query).unwrap();
    for told in
        ["1990-05-17", "birth_date", "age_over_18", "age_over_65", "Bern", "city", "Row 1", "street", "deep", "ABCD"]
    {
        let holds = |bytes: &[u8]| bytes.windows(told.len()).any(|part| part == told.as_bytes());
        // The query's own texts are not shown, so what is there is the credential's.
        assert_eq!(holds(&shown), holds(selection.revealed().as_bytes()), "{told}");
    }
    assert_eq!(accepted.claims(), selection.revealed());
    assert_eq!(accepted.disclosed_paths().len(), selection.disclosed());
}

/// A pool is written as it was read, and what it says was never shown is given out once.
pub fn credential_pool(data: &[u8]) {
    let Some(mut pool) = CredentialPool::parse(data) else { return };
    assert_eq!(pool.to_bytes(), data);
    let left = pool.left(NOW);
    let mut given = BTreeSet::new();
    for n in 0..left.saturating_add(3).min(40) {
        let before = pool.left(NOW);
        let Ok(copy) = pool.take(&Audience::parse(&format!("verifier {n}")).unwrap(), NOW) else { break };
        // An unused copy, which was never given, or one that the policy or the person lets be shown again.
        assert!(pool.left(NOW) == before || given.insert(copy));
        pool = CredentialPool::parse(&pool.to_bytes()).unwrap();
    }
}
