//! Suite `cose`: the examples of the COSE working group. Which are supported is decided by the algorithms they name.

use std::path::Path;

use deedbox_cbor::{Item, Limits, Map, Order, Writer, read};
use deedbox_cose::{
    AlgPlace, LocalSigner, Sign1, Sign1Rules, Signer as _, TagRule, VerifyKey,
    encrypt0::Encrypt0,
    sign::{self, Sign},
    sign1,
};
use deedbox_crypto::{kdf, kex, secret::SecretBytes};
use serde::Deserialize;
use serde_json::Value;

use crate::{Report, hex};

// Unknown members are ignored: the working group's files carry comments and tools' notes of many kinds.
#[derive(Deserialize)]
struct Example {
    title: String,
    #[serde(default)]
    fail: bool,
    input: Input,
    #[serde(default)]
    intermediates: Intermediates,
    output: Output,
}

#[derive(Deserialize)]
struct Input {
    plaintext: Option<String>,
    plaintext_hex: Option<String>,
    sign0: Option<SignerJson>,
    sign: Option<SignJson>,
    encrypted: Option<Enveloped>,
    enveloped: Option<Enveloped>,
    mac: Option<Enveloped>,
}

#[derive(Deserialize)]
struct SignJson {
    signers: Vec<SignerJson>,
}

#[derive(Deserialize)]
struct SignerJson {
    key: Key,
    alg: Option<String>,
    #[serde(default)]
    protected: Value,
    #[serde(default)]
    unprotected: Value,
    external: Option<String>,
}

#[derive(Deserialize)]
struct Enveloped {
    #[serde(default)]
    protected: Value,
    external: Option<String>,
    unsent: Option<Value>,
    #[serde(default)]
    recipients: Vec<Recipient>,
}

#[derive(Deserialize)]
struct Recipient {
    #[serde(default)]
    key: Key,
    sender_key: Option<Key>,
    #[serde(default)]
    protected: Value,
    #[serde(default)]
    unprotected: Value,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Key {
    kty: String,
    crv: Option<String>,
    x: Option<String>,
    x_hex: Option<String>,
    y: Option<String>,
    y_hex: Option<String>,
    d: Option<String>,
    d_hex: Option<String>,
    k: Option<String>,
    k_hex: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Intermediates {
    #[serde(rename = "ToBeSign_hex")]
    to_be_signed: Option<String>,
    #[serde(rename = "CEK_hex")]
    cek: Option<String>,
    signers: Vec<Self>,
    recipients: Vec<RecipientIntermediates>,
}

#[derive(Deserialize)]
struct RecipientIntermediates {
    #[serde(rename = "Context_hex")]
    context: Option<String>,
    #[serde(rename = "Secret_hex")]
    secret: Option<String>,
}

#[derive(Deserialize)]
struct Output {
    cbor: String,
}

pub(crate) fn run(file: &Path, report: &mut Report) {
    let Some(example) = report.load::<Example>(file) else { return };
    let name = example.title.clone();
    match kind(&example) {
        Err(need) => report.unsupported(&name, &need),
        Ok(kind) => report.case(&name, || match judge(&example, &kind) {
            Ok(()) => ("ok".to_owned(), "ok".to_owned()),
            Err((got, want)) => (got, want),
        }),
    }
}

enum Kind<'a> {
    Derive(&'a Recipient),
    Encrypted(&'a Enveloped),
    Sign(&'a SignJson),
    Sign1(&'a SignerJson),
}

/// What the example is, decided by what its input declares.
fn kind(example: &Example) -> Result<Kind<'_>, String> {
    let input = &example.input;
    if let Some(signer) = &input.sign0 {
        supported_signer(signer)?;
        return Ok(Kind::Sign1(signer));
    }
    if let Some(signed) = &input.sign {
        for signer in &signed.signers {
            supported_signer(signer)?;
        }
        return Ok(Kind::Sign(signed));
    }
    if let Some(encrypted) = &input.encrypted {
        let alg = text(&encrypted.protected, "alg").unwrap_or_default();
        let recipient = encrypted.recipients.first().and_then(|recipient| text(&recipient.unprotected, "alg"));
        return match (alg, recipient, &encrypted.unsent) {
            ("ChaCha-Poly1305", Some("direct"), None) => Ok(Kind::Encrypted(encrypted)),
            ("ChaCha-Poly1305", Some("direct"), Some(_)) => Err("unsent headers".to_owned()),
            _ => Err(format!("encryption by {alg}")),
        };
    }
    let recipients = input.enveloped.as_ref().or(input.mac.as_ref()).map(|message| &message.recipients);
    let Some(recipient) = recipients.and_then(|recipients| recipients.first()) else {
        return Err("a kind of message other than sign0, sign, encrypted".to_owned());
    };
    let alg = text(&recipient.protected, "alg").or_else(|| text(&recipient.unprotected, "alg")).unwrap_or_default();
    match (alg, recipient.key.crv.as_deref()) {
        ("HKDF-HMAC-SHA-256", _) | ("ECDH-ES" | "ECDH-SS", Some("X25519")) => Ok(Kind::Derive(recipient)),
        (_, crv) => Err(format!("derivation by {alg} {}", crv.unwrap_or_default())),
    }
}

fn supported_signer(signer: &SignerJson) -> Result<(), String> {
    let alg = text(&signer.protected, "alg").or_else(|| text(&signer.unprotected, "alg")).or(signer.alg.as_deref());
    let crv = signer.key.crv.as_deref();
    match (alg, signer.key.kty.as_str(), crv) {
        (Some("EdDSA"), "OKP", Some("Ed25519"))
        | (Some("ES256"), "EC" | "EC2", Some("P-256"))
        | (Some("ES384"), "EC" | "EC2", Some("P-384")) => Ok(()),
        _ => Err(format!("signature by {} {}", alg.unwrap_or("an unnamed algorithm"), crv.unwrap_or_default())),
    }
}

/// What was got and what was wanted.
type Wrong = (String, String);

fn judge(example: &Example, kind: &Kind<'_>) -> Result<(), Wrong> {
    let bytes = unhex(&example.output.cbor)?;
    match kind {
        Kind::Sign1(signer) => sign_one(example, signer, &bytes),
        Kind::Sign(signed) => sign_several(example, signed, &bytes),
        Kind::Encrypted(encrypted) => decrypt(example, encrypted, &bytes),
        Kind::Derive(recipient) => derive(example, recipient, &bytes),
    }
}

const STRICT: Sign1Rules = Sign1Rules::STRICT.tag(TagRule::Optional).understood(UNDERSTOOD);
const UNDERSTOOD: &[i64] = &[1, 4, 16];

fn sign_one(example: &Example, signer: &SignerJson, bytes: &[u8]) -> Result<(), Wrong> {
    let key = signer.key.verify_key()?;
    let external = unhex(signer.external.as_deref().unwrap_or_default())?;
    let verdict = Sign1::parse(bytes, &STRICT).and_then(|read| read.verify(&key, &external)).map(|_| ());
    let verdict = verdict.map_err(|error| error.code());
    if example.fail {
        return equal(verdict_text(verdict), "rejected", verdict.is_err());
    }
    let parts = Parts::of(bytes, 18)?;
    let signature = parts.last.as_bytes().ok_or_else(|| broken("signature"))?;
    let structure = match Sign1::parse(bytes, &STRICT.alg(AlgPlace::Either)) {
        Ok(read) => read.peek().to_be_signed(&external),
        // Refused for its `crit`: the Sig_structure must be right all the same.
        Err(_) => sign1::sig_structure(parts.protected, &external, parts.payload),
    };
    wanted_bytes(&structure, example.intermediates.to_be_signed.as_deref())?;
    let refuse = must_be_refused(parts.protected, true)?;
    equal(verdict_text(verdict), if refuse { "rejected" } else { "ok" }, verdict.is_err() == refuse)?;
    signs_anew(&signer.key, &structure, signature)
}

fn sign_several(example: &Example, signed: &SignJson, bytes: &[u8]) -> Result<(), Wrong> {
    let keys = signed.signers.iter().map(|signer| signer.key.verify_key()).collect::<Result<Vec<_>, _>>()?;
    let keys: Vec<&VerifyKey> = keys.iter().collect();
    let first = signed.signers.first().and_then(|signer| signer.external.as_deref());
    let external = unhex(first.unwrap_or_default())?;
    let verdict = Sign::parse(bytes, &STRICT).and_then(|read| read.verify_all(&keys, &external)).map(|_| ());
    let verdict = verdict.map_err(|error| error.code());
    if example.fail {
        return equal(verdict_text(verdict), "rejected", verdict.is_err());
    }
    let parts = Parts::of(bytes, 98)?;
    let signatures = parts.last.as_array().ok_or_else(|| broken("signatures"))?;
    equal(signatures.len().to_string(), &keys.len().to_string(), signatures.len() == keys.len())?;
    let relaxed = Sign::parse(bytes, &STRICT.alg(AlgPlace::Either)).ok();
    let mut refuse = must_be_refused(parts.protected, false)?;
    for (at, (signer, item)) in signed.signers.iter().zip(signatures).enumerate() {
        let fields = item.as_array().and_then(|fields| fields.exactly::<3>()).ok_or_else(|| broken("signature"))?;
        let protected = fields[0].as_bytes().ok_or_else(|| broken("signature"))?;
        let signature = fields[2].as_bytes().ok_or_else(|| broken("signature"))?;
        let structure = match &relaxed {
            Some(read) => read.peek().to_be_signed(&read.peek().signatures()[at], &external),
            None => sign::sig_structure(parts.protected, protected, &external, parts.payload),
        };
        let wanted = example.intermediates.signers.get(at).and_then(|signer| signer.to_be_signed.as_deref());
        wanted_bytes(&structure, wanted)?;
        signs_anew(&signer.key, &structure, signature)?;
        refuse |= must_be_refused(protected, true)?;
    }
    equal(verdict_text(verdict), if refuse { "rejected" } else { "ok" }, verdict.is_err() == refuse)
}

fn decrypt(example: &Example, encrypted: &Enveloped, bytes: &[u8]) -> Result<(), Wrong> {
    let key = encrypted.recipients.first().and_then(|recipient| recipient.key.secret(Part::K));
    let key = key.ok_or_else(|| broken("key"))?;
    let external = unhex(encrypted.external.as_deref().unwrap_or_default())?;
    let opened = Encrypt0::parse(bytes, &STRICT).and_then(|read| read.open(&key, &external));
    if example.fail {
        let got = opened.as_ref().map_or_else(|error| error.code().to_owned(), |_| "ok".to_owned());
        return equal(got, "rejected", opened.is_err());
    }
    let opened = opened.map_err(|error| (error.code().to_owned(), "ok".to_owned()))?;
    let plaintext = match (&example.input.plaintext, &example.input.plaintext_hex) {
        (Some(text), _) => text.as_bytes().to_vec(),
        (None, Some(text)) => unhex(text)?,
        (None, None) => Vec::new(),
    };
    equal(hex(&opened), &hex(&plaintext), *opened == plaintext)
}

fn derive(example: &Example, recipient: &Recipient, bytes: &[u8]) -> Result<(), Wrong> {
    let known = example.intermediates.recipients.first().ok_or_else(|| broken("intermediates"))?;
    let shared = match recipient.key.crv {
        None => recipient.key.bytes(Part::K).ok_or_else(|| broken("key"))?,
        Some(_) => {
            let own = recipient.key.secret(Part::D).ok_or_else(|| broken("key"))?;
            let peer = match &recipient.sender_key {
                Some(sender) => sender.bytes(Part::X),
                None => sent_key(bytes),
            };
            let peer: [u8; 32] = peer.and_then(|peer| peer.try_into().ok()).ok_or_else(|| broken("sender's key"))?;
            let shared = kex::SecretKey::from_bytes(&own).agree(&peer);
            shared.map_err(|_| ("Rejected".to_owned(), "ok".to_owned()))?.expose().to_vec()
        }
    };
    if known.secret.is_some() {
        wanted_bytes(&shared, known.secret.as_deref())?;
    }
    let salt = match (text(&recipient.unprotected, "salt"), text(&recipient.unprotected, "salt_hex")) {
        (Some(salt), _) => salt.as_bytes().to_vec(),
        (None, Some(salt)) => unhex(salt)?,
        (None, None) => Vec::new(),
    };
    let context = unhex(known.context.as_deref().unwrap_or_default())?;
    let mut key = vec![0; unhex(example.intermediates.cek.as_deref().unwrap_or_default())?.len()];
    kdf::expand(kdf::extract(&salt, &shared).expose(), &[&context], &mut key)
        .map_err(|_| ("TooLong".to_owned(), "ok".to_owned()))?;
    wanted_bytes(&key, example.intermediates.cek.as_deref())
}

/// The sender's public key as the message carries it: the first recipient's header -1 or -2.
fn sent_key(bytes: &[u8]) -> Option<Vec<u8>> {
    let item = read(bytes, Order::Any, &Limits::new(1 << 20)).ok()?;
    let message = item.as_tag().map_or(item, |(_, content)| content).as_array()?;
    let recipients = message.iter().filter_map(Item::as_array).next()?;
    let header: Map<'_> = recipients.get(0)?.as_array()?.get(1)?.as_map()?;
    let key = header.get_int(-1).or_else(|| header.get_int(-2))?.as_map()?;
    Some(key.get_int(-2)?.as_bytes()?.to_vec())
}

/// What an object consists of, read apart from the code under test.
struct Parts<'a> {
    protected: &'a [u8],
    payload: &'a [u8],
    last: Item<'a>,
}

impl<'a> Parts<'a> {
    fn of(bytes: &'a [u8], tag: u64) -> Result<Self, Wrong> {
        let item = read(bytes, Order::Any, &Limits::new(1 << 20))
            .map_err(|error| (error.code().to_owned(), "cbor".to_owned()))?;
        let item = match item.as_tag() {
            Some((found, content)) if found == tag => content,
            _ => item,
        };
        let parts = || -> Option<Self> {
            let [protected, _, payload, last] = item.as_array()?.exactly()?;
            Some(Self { protected: protected.as_bytes()?, payload: payload.as_bytes()?, last })
        };
        parts().ok_or_else(|| broken("object"))
    }
}

/// Objects whose `alg` is not protected, or that want a header understood that isn't.
fn must_be_refused(protected: &[u8], wants_alg: bool) -> Result<bool, Wrong> {
    if protected.is_empty() {
        return Ok(wants_alg);
    }
    let item = read(protected, Order::Any, &Limits::new(1 << 20)).map_err(|_| broken("protected header"))?;
    let map = item.as_map().ok_or_else(|| broken("protected header"))?;
    let crit = map.get_int(2).and_then(Item::as_array);
    let beyond = crit
        .is_some_and(|crit| crit.iter().any(|label| label.as_i64().is_none_or(|label| !UNDERSTOOD.contains(&label))));
    Ok(beyond || (wants_alg && map.get_int(1).is_none()))
}

/// Ed25519 has one signature a message: ours must be the one in the example.
fn signs_anew(key: &Key, structure: &[u8], signature: &[u8]) -> Result<(), Wrong> {
    if key.kty != "OKP" {
        return Ok(());
    }
    let seed = key.secret(Part::D).ok_or_else(|| broken("key"))?;
    let made = LocalSigner::from_seed(&seed).sign(structure);
    let made = made.map_err(|error| (error.code().to_owned(), "ok".to_owned()))?;
    equal(hex(made.as_bytes()), &hex(signature), made.as_bytes() == signature)
}

#[derive(Clone, Copy)]
enum Part {
    D,
    K,
    X,
    Y,
}

impl Key {
    fn bytes(&self, part: Part) -> Option<Vec<u8>> {
        let (base, hexadecimal) = match part {
            Part::D => (&self.d, &self.d_hex),
            Part::K => (&self.k, &self.k_hex),
            Part::X => (&self.x, &self.x_hex),
            Part::Y => (&self.y, &self.y_hex),
        };
        match (base, hexadecimal) {
            (Some(text), _) => base64(text),
            (None, Some(text)) => unhex(text).ok(),
            (None, None) => None,
        }
    }

    fn secret(&self, part: Part) -> Option<SecretBytes<32>> {
        SecretBytes::try_from_slice(&self.bytes(part)?)
    }

    fn verify_key(&self) -> Result<VerifyKey, Wrong> {
        let x = self.bytes(Part::X).ok_or_else(|| broken("key"))?;
        let mut writer = Writer::new();
        writer.map(|map| {
            let crv = match self.crv.as_deref() {
                Some("P-256") => 1,
                Some("P-384") => 2,
                _ => 6,
            };
            for (label, value) in [(1, if crv == 6 { 1 } else { 2 }), (-1, crv)] {
                map.int(label, |w| {
                    w.int(value);
                });
            }
            map.int(-2, |w| {
                w.bytes(&x);
            });
            if let Some(y) = self.bytes(Part::Y) {
                map.int(-3, |w| {
                    w.bytes(&y);
                });
            }
        });
        VerifyKey::parse(writer.as_slice()).map_err(|error| (error.code().to_owned(), "a key".to_owned()))
    }
}

fn text<'a>(value: &'a Value, name: &str) -> Option<&'a str> {
    value.get(name)?.as_str()
}

fn verdict_text(verdict: Result<(), &'static str>) -> String {
    verdict.err().unwrap_or("ok").to_owned()
}

fn equal(got: String, want: &str, holds: bool) -> Result<(), Wrong> {
    if holds { Ok(()) } else { Err((got, want.to_owned())) }
}

fn wanted_bytes(got: &[u8], want: Option<&str>) -> Result<(), Wrong> {
    let want = want.ok_or_else(|| broken("intermediates"))?.to_ascii_lowercase();
    equal(hex(got), &want, hex(got) == want)
}

fn broken(what: &str) -> Wrong {
    (format!("no {what}"), format!("a {what}"))
}

fn unhex(text: &str) -> Result<Vec<u8>, Wrong> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let pair = |pair: &[u8]| match pair {
        [high, low] => Some(digit(*high)? << 4 | digit(*low)?),
        _ => None,
    };
    text.as_bytes().chunks(2).map(pair).collect::<Option<_>>().ok_or_else(|| broken("hexadecimal text"))
}

/// Base64 of either alphabet, padded or not.
pub(crate) fn base64(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| match byte {
        b'A'..=b'Z' => Some(byte - b'A'),
        b'a'..=b'z' => Some(byte - b'a' + 26),
        b'0'..=b'9' => Some(byte - b'0' + 52),
        b'+' | b'-' => Some(62),
        b'/' | b'_' => Some(63),
        _ => None,
    };
    let mut bytes = Vec::new();
    let (mut bits, mut held) = (0_u32, 0_u32);
    for byte in text.trim_end_matches('=').bytes() {
        bits = (bits << 6 | u32::from(digit(byte)?)) & 0xffff;
        held += 6;
        if held >= 8 {
            held -= 8;
            bytes.push(u8::try_from(bits >> held & 0xff).ok()?);
        }
    }
    Some(bytes)
}
