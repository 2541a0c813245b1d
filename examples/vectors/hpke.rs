//! Suite `hpke`: the array published with RFC 9180. Supported are modes 0 and 1, KEM 32 and 25722, KDF 1, AEAD 3.
//!
//! Passes, by the single-shot calls of deedbox-crypto: skRm gives pkRm; the first encryption opens; every later one, sealed
//! under another nonce, is refused, as is the first with another aad, info, psk or psk_id; what is sealed opens.

use std::path::Path;

use deedbox_crypto::{
    Rejected,
    kem::{self, Psk},
    secret::SecretBytes,
};
use deedbox_testkit::rng::SeededRng;
use serde::Deserialize;

use crate::{Report, hex, unhex};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "the schema is closed; single-shot calls show no inner values")]
struct Case {
    mode: u8,
    kem_id: u16,
    kdf_id: u16,
    aead_id: u16,
    info: String,
    #[serde(rename = "ikmR")]
    ikm_r: String,
    #[serde(rename = "ikmE")]
    ikm_e: String,
    #[serde(rename = "ikmS")]
    ikm_s: Option<String>,
    #[serde(rename = "skRm")]
    sk_r: String,
    #[serde(rename = "skEm")]
    sk_e: Option<String>,
    #[serde(rename = "skSm")]
    sk_s: Option<String>,
    #[serde(rename = "pkRm")]
    pk_r: String,
    #[serde(rename = "pkEm")]
    pk_e: Option<String>,
    #[serde(rename = "pkSm")]
    pk_s: Option<String>,
    psk: Option<String>,
    psk_id: Option<String>,
    enc: String,
    shared_secret: String,
    suite_id: Option<String>,
    key_schedule_context: Option<String>,
    secret: Option<String>,
    key: String,
    base_nonce: String,
    exporter_secret: String,
    encryptions: Vec<Encryption>,
    exports: Vec<Export>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "the schema is closed; the nonce is the key schedule's")]
struct Encryption {
    aad: String,
    ct: String,
    nonce: String,
    pt: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "exports are not used")]
struct Export {
    exporter_context: String,
    #[serde(rename = "L")]
    length: u64,
    exported_value: String,
}

/// One of the two KEMs, by the same calls.
#[expect(clippy::large_enum_variant, reason = "one lives at a time")]
enum Receiver {
    X25519(SecretBytes<32>),
    XWing(kem::SecretKey),
}

impl Receiver {
    fn new(kem_id: u16, secret: &[u8]) -> Result<Self, Rejected> {
        let secret = SecretBytes::try_from_slice(secret).ok_or(Rejected)?;
        if kem_id == 32 { Ok(Self::X25519(secret)) } else { kem::SecretKey::from_seed(&secret).map(Self::XWing) }
    }

    fn public(&self) -> Result<Vec<u8>, Rejected> {
        match self {
            Self::X25519(secret) => kem::x25519::public(secret).map(|public| public.to_vec()),
            Self::XWing(secret) => Ok(secret.public().to_bytes()),
        }
    }

    fn open(&self, enc: &[u8], info: &[u8], aad: &[u8], ct: &[u8], psk: Option<&Psk<'_>>) -> Result<Vec<u8>, Rejected> {
        match self {
            Self::X25519(secret) => kem::x25519::open(secret, enc, info, aad, ct, psk),
            Self::XWing(secret) => secret.open(enc, info, aad, ct, psk),
        }
        .map(|text| text.to_vec())
    }

    fn seal(&self, info: &[u8], aad: &[u8], pt: &[u8], psk: Option<&Psk<'_>>) -> Result<(Vec<u8>, Vec<u8>), Rejected> {
        let mut rng = SeededRng::new(1);
        match self {
            Self::X25519(secret) => kem::x25519::seal(&kem::x25519::public(secret)?, info, aad, pt, psk, &mut rng),
            Self::XWing(secret) => secret.public().seal(info, aad, pt, psk, &mut rng),
        }
    }
}

/// Judges every case of `file`.
pub(crate) fn run(file: &Path, report: &mut Report) {
    let Some(cases) = report.load::<Vec<Case>>(file) else { return };
    for case in cases {
        let Case { mode, kem_id, kdf_id, aead_id, .. } = case;
        let name = format!("mode{mode}_kem{kem_id}_kdf{kdf_id}_aead{aead_id}");
        let need = match case {
            Case { mode: 2.., .. } => Some("mode"),
            Case { kem_id, .. } if ![32, 25722].contains(&kem_id) => Some("kem_id"),
            Case { kdf_id, .. } if kdf_id != 1 => Some("kdf_id"),
            Case { aead_id, .. } if aead_id != 3 => Some("aead_id"),
            _ => None,
        };
        match need {
            Some(need) => report.unsupported(&name, need),
            None => report.case(&name, || match judge(&case) {
                Ok(()) => ("ok".into(), "ok".into()),
                Err((got, want)) => (got, want),
            }),
        }
    }
}

/// `Err` holds what was got and what was wanted.
fn judge(case: &Case) -> Result<(), (String, String)> {
    let bytes = |text: &str| unhex(text).ok_or_else(|| ("no hex".to_owned(), "hex".to_owned()));
    let rejected = |what: &'static str| move |_: Rejected| (format!("{what}: Rejected"), "ok".to_owned());
    let (info, enc) = (bytes(&case.info)?, bytes(&case.enc)?);
    let receiver = Receiver::new(case.kem_id, &bytes(&case.sk_r)?).map_err(rejected("skRm"))?;
    let public = hex(&receiver.public().map_err(rejected("skRm"))?);
    if public != case.pk_r {
        return Err((public, case.pk_r.clone()));
    }
    let secret = case.psk.as_deref().map(bytes).transpose()?.unwrap_or_default();
    let id = case.psk_id.as_deref().map(bytes).transpose()?.unwrap_or_default();
    let psk = (case.mode == 1).then_some(Psk { psk: &secret, id: &id });

    let Some((first, later)) = case.encryptions.split_first() else {
        return Err(("no encryption".into(), "at least one".into()));
    };
    let (aad, ct, pt) = (bytes(&first.aad)?, bytes(&first.ct)?, bytes(&first.pt)?);
    let opened = receiver.open(&enc, &info, &aad, &ct, psk.as_ref()).map_err(rejected("encryptions[0]"))?;
    if opened != pt {
        return Err((hex(&opened), first.pt.clone()));
    }
    for (n, other) in (1..).zip(later) {
        if receiver.open(&enc, &info, &bytes(&other.aad)?, &bytes(&other.ct)?, psk.as_ref()).is_ok() {
            return Err((format!("encryptions[{n}]: ok"), "Rejected".into()));
        }
    }

    let longer = |bytes: &[u8]| [bytes, &[0]].concat();
    let mut wrong = vec![
        ("another aad", receiver.open(&enc, &info, &longer(&aad), &ct, psk.as_ref())),
        ("another info", receiver.open(&enc, &longer(&info), &aad, &ct, psk.as_ref())),
    ];
    let (other_secret, other_id) = (longer(&secret), longer(&id));
    if psk.is_some() {
        let other = Psk { psk: &other_secret, id: &id };
        wrong.push(("another psk", receiver.open(&enc, &info, &aad, &ct, Some(&other))));
        let other = Psk { psk: &secret, id: &other_id };
        wrong.push(("another psk_id", receiver.open(&enc, &info, &aad, &ct, Some(&other))));
    }
    if let Some((what, _)) = wrong.iter().find(|(_, opened)| opened.is_ok()) {
        return Err((format!("{what}: ok"), "Rejected".into()));
    }

    let (enc, ct) = receiver.seal(&info, &aad, &pt, psk.as_ref()).map_err(rejected("seal"))?;
    let opened = receiver.open(&enc, &info, &aad, &ct, psk.as_ref()).map_err(rejected("seal, then open"))?;
    if opened == pt { Ok(()) } else { Err((hex(&opened), first.pt.clone())) }
}
