//! A credential of somebody else's, not of deedbox's making: `cargo run --release --example hcert_reader [-- FILE.json]`.
//!
//! An EU digital Covid certificate is read from the text of its QR code (base45, ZLIB, COSE, CWT), verified under the
//! issuer's X.509 certificate, and put into a record as its issuer's word: the value, and the signed bytes verbatim, so that
//! whoever opens the record later can verify it anew. FILE is one object of the EU's test data; without it the file of the
//! vectors folder is used, where there is one. Exit status 1 if a property does not hold, 2 when the input is no good.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program that tells a story")]

mod certificate;

use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

use certificate::{Health, Issuer, base45, base64, inflate, seconds, unprefix};
use deedbox_cbor::{ItemBuf, Limits};
use deedbox_model::{Assurance, DatasetId, Epoch, ObjectId, Provenance, Seq, StoreId, Timestamp};
use deedbox_record::{Address, DatasetKey, Kind, Record, open, seal};
use deedbox_testkit::rng::SeededRng;
use serde_json::Value;

/// Why the story stops.
enum Stop {
    /// The input is no good: exit status 2.
    Input(String),
    /// A property does not hold: exit status 1.
    Broken(String),
}

impl<E: std::fmt::Display> From<E> for Stop {
    fn from(error: E) -> Self {
        Self::Broken(error.to_string())
    }
}

/// Fails the story where a property does not hold.
fn check(holds: bool, property: &str) -> Result<(), Stop> {
    if holds { Ok(()) } else { Err(Stop::Broken(format!("this did not hold: {property}"))) }
}

fn main() -> ExitCode {
    story(std::env::args_os().nth(1).map(PathBuf::from))
}

fn story(file: Option<PathBuf>) -> ExitCode {
    let Some(file) = file.or_else(|| Some(vectors()?.join("hcert/CO3.json"))) else {
        println!("no certificate at hand: name a FILE of the EU's test data, or set DEEDBOX_VECTORS");
        return ExitCode::SUCCESS;
    };
    match run(&file) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Stop::Input(line)) => {
            eprintln!("hcert_reader: {line}");
            ExitCode::from(2)
        }
        Err(Stop::Broken(line)) => {
            eprintln!("hcert_reader: {line}");
            ExitCode::FAILURE
        }
    }
}

/// The folder of the outside vectors, where there is one.
fn vectors() -> Option<PathBuf> {
    let told = std::env::var_os("DEEDBOX_VECTORS").map(PathBuf::from);
    let folder = told.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/vectors"));
    folder.is_dir().then_some(folder)
}

fn run(file: &Path) -> Result<(), Stop> {
    let input = |what: &str| Stop::Input(format!("{}: {what}", file.display()));
    let json = fs::read(file).map_err(|error| input(&error.to_string()))?;
    let json: Value = serde_json::from_slice(&json).map_err(|error| input(&error.to_string()))?;
    let text = |path: &str| json.pointer(path).and_then(Value::as_str).ok_or_else(|| input(&format!("no {path}")));
    let (qr, der) = (text("/PREFIX")?, text("/TESTCTX/CERTIFICATE")?);
    let now = seconds(text("/TESTCTX/VALIDATIONCLOCK")?).ok_or_else(|| input("VALIDATIONCLOCK is no time"))?;

    println!("1. The issuer's certificate, from a place that is trusted");
    let der = base64(der).ok_or_else(|| input("CERTIFICATE is not base64"))?;
    let issuer = Issuer::from_der(&der).ok_or_else(|| input("CERTIFICATE has no P-256 key"))?;
    println!("   P-256; certificates name it {}", hex(issuer.kid()));

    println!("2. The text of a QR code, {} characters", qr.len());
    let compressed = unprefix(qr).and_then(base45).ok_or_else(|| input("PREFIX is no base45 of version 1"))?;
    let cose = inflate(&compressed).ok_or_else(|| input("PREFIX does not inflate"))?;
    println!("   base45: {} bytes; inflated: {} bytes", compressed.len(), cose.len());
    let health = Health::decode(&cose).ok_or_else(|| input("PREFIX holds no health certificate"))?;

    println!("3. Verified, at the time of the test");
    check(health.is_in_time(now), "it is issued and has not ended")?;
    let verified = health.verify(&issuer).ok_or_else(|| Stop::Broken("the issuer's signature does not hold".into()))?;
    let name = verified.text(&["nam", "fnt"]).unwrap_or("(no name)");
    println!("   {}: {name}, until second {}", verified.country().unwrap_or("?"), verified.expires().unwrap_or(0));

    println!("4. Whatever is altered is refused");
    let altered = (0..cose.len()).filter(|at| {
        let mut bad = cose.clone();
        if let Some(byte) = bad.get_mut(*at) {
            *byte ^= 1;
        }
        Health::decode(&bad).and_then(|health| health.verify(&issuer).map(|_| ())).is_none()
    });
    let altered = altered.count();
    check(altered == cose.len(), "each altered byte is noticed")?;
    println!("   {altered} of {} bytes altered, one at a time: none verifies", cose.len());

    println!("5. Kept as its issuer's word, sealed");
    let mut rng = SeededRng::new(1); // an example repeats itself; an agent draws from the system
    let value = ItemBuf::parse(&verified.value(), &Limits::new(1 << 20))?;
    let observed = Timestamp::from_secs(u64::try_from(now)?);
    let provenance = Provenance::new(*issuer.kid(), Assurance::High, observed).with_signed(cose.clone());
    let record = Record::new("eu.dcc", 1, "health.certificate", value.clone())?.with_provenance(provenance);
    let record = match verified.expires().map(u64::try_from) {
        Some(Ok(end)) => record.with_expires(Timestamp::from_secs(end)),
        _ => record,
    };
    let at = Address {
        store: StoreId::generate(&mut rng).into(),
        dataset: DatasetId::generate(&mut rng),
        object: ObjectId::generate(&mut rng),
        seq: Seq::FIRST,
    };
    let key = DatasetKey::generate(Epoch::FIRST, &mut rng).object_key(&at.object);
    let sealed = seal(&key, &at, Kind::Record, &record.encode()?, &mut rng)?;
    check(!holds(&sealed, name.as_bytes()), "the sealed object shows no name")?;

    let opened = open(&key, &at, Kind::Record, &sealed)?;
    let record = Record::decode(opened.payload())?;
    let signed = record.provenance().and_then(Provenance::signed).ok_or("no signed bytes in the record")?;
    let again =
        Health::decode(signed).and_then(|health| health.verify(&issuer)).ok_or("the kept bytes don't verify")?;
    check(signed == cose, "the signed bytes are kept verbatim")?;
    check(again.value() == value.bytes() && record.value() == &value, "what was certified is what is kept")?;
    println!("   {} bytes sealed; opened again, the issuer's signature still holds", sealed.len());
    Ok(())
}

fn holds(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len().max(1)).any(|window| window == part)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn the_story_holds() {
    assert_eq!(story(None), ExitCode::SUCCESS);
}

#[test]
fn base45_base64_and_times_as_their_standards_say() {
    // RFC 9285, sections 4.3 and 4.4.
    assert_eq!(base45("BB8").as_deref(), Some(&b"AB"[..]));
    assert_eq!(base45("%69 VD92EX0").as_deref(), Some(&b"Hello!!"[..]));
    assert_eq!(base45("UJCLQE7W581").as_deref(), Some(&b"base-45"[..]));
    assert_eq!(base45("QED8WEX0").as_deref(), Some(&b"ietf!"[..]));
    for bad in ["GGW", "::", "A", "bb8", "BB8B"] {
        assert_eq!(base45(bad), None, "{bad}");
    }
    // RFC 4648, section 10.
    assert_eq!(base64("Zg==").as_deref(), Some(&b"f"[..]));
    assert_eq!(base64("Zm9vYmE=").as_deref(), Some(&b"fooba"[..]));
    assert_eq!(base64("Zm9v!"), None);
    assert_eq!(seconds("1970-01-01T00:00:00Z"), Some(0));
    assert_eq!(seconds("2021-05-03T18:00:00.123Z"), Some(1_620_064_800));
    assert_eq!(seconds("2021-05-03T20:00:00+02:00"), Some(1_620_064_800));
    assert_eq!(seconds("2024-02-29T12:00:00Z"), Some(1_709_208_000));
    assert_eq!(seconds("2021-05-03"), None);
}
