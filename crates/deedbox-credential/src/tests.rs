//! The crate's own tests: a fixture of issuer, holder and verifier, and one module a question.

use alloc::{format, string::String, vec, vec::Vec};

use deedbox_cbor::{Limits, MapWriter, Order, Writer};
use deedbox_cose::{LocalSigner, Signer as _};
use deedbox_crypto::secret::SecretBytes;
use deedbox_model::Timestamp;
use deedbox_testkit::rng::SeededRng;

use crate::{test_util::raw_sign1, *};

mod asked;
mod bad_tokens;
mod batch;
mod engine;
mod holder;
mod listed;
mod privacy;
mod times;
mod trust_list;
mod trusted;
mod way;

pub(crate) const ISS: &str = "https://issuer.test";
pub(crate) const AUD: &str = "https://verifier.test";
pub(crate) const LICENCE: Vct = Vct::text("https://vct.test/licence");
pub(crate) const NONCE: [u8; 32] = [7; 32];
/// A full hour.
pub(crate) const HOUR: u64 = 1_790_002_800;

pub(crate) struct Fixture {
    pub(crate) issuer: LocalSigner,
    pub(crate) holder: LocalSigner,
    pub(crate) other: LocalSigner,
    pub(crate) trust: TrustStore,
    pub(crate) now: Timestamp,
    pub(crate) rng: SeededRng,
}

impl Fixture {
    pub(crate) fn new() -> Self {
        let signer = |seed: u8| LocalSigner::from_seed(&SecretBytes::from_bytes([seed; 32]));
        let mut trust = TrustStore::new();
        trust.pin_issuer(ISS, signer(1).public().clone());
        trust.pin_issuer("https://other.test", signer(3).public().clone());
        Self {
            issuer: signer(1),
            holder: signer(2),
            other: signer(3),
            trust,
            now: Timestamp::from_secs(HOUR + 37),
            rng: SeededRng::new(11),
        }
    }

    pub(crate) fn claims() -> ClaimSet {
        let place = ClaimMap::new().claim("country", "us").redactable("region", "ca").redactable("postal", "94188");
        let dates = ClaimArray::new().element(1_674_004_740).redactable(1_549_560_720).redactable(1_612_560_720);
        ClaimSet::builder()
            .claim(500, true)
            .redactable(501, "ABCD-123456")
            .claim(502, dates.decoys(1))
            .claim(503, place)
            .redactable(504, ClaimMap::new().redactable("inner", "hidden").claim("outer", 1))
            .decoys(2)
            .build()
            .unwrap()
    }

    pub(crate) fn template() -> CredentialTemplate {
        CredentialTemplate::new(LICENCE, 86_400)
    }

    pub(crate) fn issue(&mut self, claims: ClaimSet) -> Vec<u8> {
        Issuer::new(ISS, &self.issuer)
            .issue(&Self::template(), claims, self.holder.public(), None, self.now, &mut self.rng)
            .unwrap()
            .into_vec()
    }

    pub(crate) fn policy(&self) -> AcceptPolicy {
        AcceptPolicy::new(self.holder.public().clone())
    }

    pub(crate) fn accept(&self, bytes: &[u8]) -> Result<HeldCredential, VerifyError> {
        HeldCredential::accept(bytes, &self.trust, &self.policy(), self.now)
    }

    pub(crate) fn held(&mut self) -> HeldCredential {
        let bytes = self.issue(Self::claims());
        self.accept(&bytes).unwrap()
    }

    pub(crate) fn present(&self, held: &HeldCredential, paths: &[ClaimPath]) -> Vec<u8> {
        held.present(&held.select(paths).unwrap(), &audience(), &nonce(), &self.holder, self.now).unwrap()
    }

    pub(crate) fn verifier(&self) -> Verifier<'_> {
        Verifier::new(&self.trust, audience(), VctPolicy::one(LICENCE), short_lived()).with_leeway(0)
    }

    pub(crate) fn verify(&self, kbt: &[u8]) -> Result<Presentation, VerifyError> {
        self.verifier().verify(kbt, challenge(), self.now)
    }

    /// Puts any token into a key binding, signed by the holder.
    pub(crate) fn bind(&self, token: &[u8]) -> Vec<u8> {
        self.bind_with(token, |map| map.int(6, |w| unit(w.uint(self.now.secs()))))
    }

    /// The same, with more members of the payload, which may replace those of the fixture.
    pub(crate) fn bind_with(&self, token: &[u8], more: impl FnOnce(&mut MapWriter) -> &mut MapWriter) -> Vec<u8> {
        let payload = map(|map| {
            map.int(3, |w| unit(w.text(AUD))).int(39, |w| unit(w.bytes(&NONCE)));
            more(map);
        });
        raw_sign1(&self.holder, &kbt_header(token), &[0xa0], &payload)
    }

    /// Signs any payload as the issuer, and binds it, with these disclosures.
    pub(crate) fn shown(&self, payload: &[u8], disclosures: &[Vec<u8>]) -> Vec<u8> {
        self.bind(&raw_sign1(&self.issuer, &self.header(), &sd_claims(disclosures), payload))
    }

    /// The protected header of a good SD-CWT.
    pub(crate) fn header(&self) -> Vec<u8> {
        map(|map| {
            map.int(1, |w| unit(w.int(-19)))
                .int(4, |w| unit(w.bytes(self.issuer.public().thumbprint().as_bytes())))
                .int(16, |w| unit(w.uint(293)))
                .int(170, |w| unit(w.int(-16)));
        })
    }

    /// The payload of a good SD-CWT, and more members, which may replace those of the fixture.
    pub(crate) fn payload(&self, more: impl FnOnce(&mut MapWriter)) -> Vec<u8> {
        map(|map| {
            map.int(1, |w| unit(w.text(ISS)))
                .int(2, |w| unit(w.text("somebody")))
                .int(4, |w| unit(w.uint(HOUR + 7200)))
                .int(5, |w| unit(w.uint(HOUR)))
                .int(6, |w| unit(w.uint(HOUR)))
                .int(8, |w| {
                    w.map(|map| {
                        map.int(1, |w| self.holder.public().encode(w));
                    });
                })
                .int(11, |w| unit(w.text("https://vct.test/licence")));
            more(map);
        })
    }
}

/// Lets a closure end in a call whose result is of no use.
pub(crate) fn unit<T>(_: T) {}

pub(crate) fn audience() -> Audience {
    Audience::parse(AUD).unwrap()
}

pub(crate) fn nonce() -> Nonce {
    Nonce::try_new(&NONCE).unwrap()
}

pub(crate) fn challenge() -> Challenge {
    Challenge::try_new(&NONCE, 300).unwrap()
}

pub(crate) fn short_lived() -> StatusPolicy {
    StatusPolicy::ShortLived { max_secs: 200_000 }
}

pub(crate) fn map(entries: impl FnOnce(&mut MapWriter)) -> Vec<u8> {
    let mut writer = Writer::new();
    writer.map(entries);
    writer.into_vec()
}

pub(crate) fn cbor(write: impl FnOnce(&mut Writer)) -> Vec<u8> {
    let mut writer = Writer::new();
    write(&mut writer);
    writer.into_vec()
}

/// The unprotected header with these disclosures.
pub(crate) fn sd_claims(disclosures: &[Vec<u8>]) -> Vec<u8> {
    if disclosures.is_empty() {
        return vec![0xa0];
    }
    map(|map| {
        map.int(17, |w| {
            w.array(disclosures.len());
            disclosures.iter().for_each(|disclosure| unit(w.bytes(disclosure)));
        });
    })
}

pub(crate) fn kbt_header(token: &[u8]) -> Vec<u8> {
    let token = deedbox_cbor::read(token, Order::Any, &Limits::new(1 << 20)).unwrap();
    map(|map| {
        map.int(1, |w| unit(w.int(-19))).int(13, |w| unit(w.item(token))).int(16, |w| unit(w.uint(294)));
    })
}

/// The disclosures of a token, and the token without them.
pub(crate) fn take_apart(token: &[u8]) -> ([Vec<u8>; 4], Vec<Vec<u8>>) {
    let item = deedbox_cbor::read(token, Order::Any, &Limits::new(1 << 20)).unwrap();
    let parts: Vec<_> = item.as_tag().unwrap().1.as_array().unwrap().iter().collect();
    let list = parts[1].as_map().unwrap().get_int(17).and_then(|item| item.as_array());
    let disclosures = list.into_iter().flatten().map(|item| item.as_bytes().unwrap().to_vec()).collect();
    let bytes = |at: usize| parts[at].as_bytes().unwrap().to_vec();
    ([bytes(0), parts[1].bytes().to_vec(), bytes(2), bytes(3)], disclosures)
}

/// The SD-CWT inside of a key binding token.
pub(crate) fn token_of(kbt: &[u8]) -> Vec<u8> {
    let ([protected, ..], _) = take_apart(kbt);
    let header = deedbox_cbor::read(&protected, Order::Any, &Limits::new(1 << 20)).unwrap();
    header.as_map().unwrap().get_int(13).unwrap().bytes().to_vec()
}

/// The same token with other disclosures, its signature untouched.
pub(crate) fn with_disclosures(token: &[u8], disclosures: &[Vec<u8>]) -> Vec<u8> {
    let ([protected, _, payload, signature], _) = take_apart(token);
    test_util::raw_sign1_with(&protected, &sd_claims(disclosures), &payload, &signature)
}

/// The code of the refusal, or `ok`.
pub(crate) fn code<T>(result: Result<T, VerifyError>) -> String {
    result.map_or_else(|error| error.code().into(), |_| "ok".into())
}

/// Stage and code, for tables.
pub(crate) fn stage<T>(result: Result<T, VerifyError>) -> String {
    result.map_or_else(|error| format!("{}: {}", error.stage(), error.code()), |_| "ok".into())
}
