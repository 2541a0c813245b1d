//! A health certificate from its QR text: base45, ZLIB, COSE, CWT; and the issuer's key from an X.509 certificate.
//!
//! Also read by the suite `hcert` of the vectors runner.

use deedbox_cbor::{Item, Limits, Map, Order, Writer, read};
use deedbox_cose::{AlgPlace, Algorithm, Buckets, Sign1, Sign1Rules, TagRule, Unverified, VerifyKey, sha256};
use miniz_oxide::inflate::decompress_to_vec_zlib_with_limit;

/// The text without the sign of its kind and version.
pub(crate) fn unprefix(text: &str) -> Option<&str> {
    text.strip_prefix("HC1:")
}

/// The bytes of base45 text (RFC 9285).
pub(crate) fn base45(text: &str) -> Option<Vec<u8>> {
    const ALPHABET: &str = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ $%*+-./:";
    let digits: Option<Vec<u32>> =
        text.chars().map(|character| ALPHABET.find(character).and_then(|at| u32::try_from(at).ok())).collect();
    let mut bytes = Vec::new();
    for group in digits?.chunks(3) {
        match *group {
            [low, middle, high] => {
                bytes.extend(u16::try_from(low + 45 * middle + 45 * 45 * high).ok()?.to_be_bytes());
            }
            [low, high] => bytes.push(u8::try_from(low + 45 * high).ok()?),
            _ => return None,
        }
    }
    Some(bytes)
}

/// What was compressed, if it is at most 1 MiB.
pub(crate) fn inflate(bytes: &[u8]) -> Option<Vec<u8>> {
    decompress_to_vec_zlib_with_limit(bytes, 1 << 20).ok()
}

/// A certificate that was read; nothing of it is true yet.
pub(crate) struct Health<'a> {
    signed: Unverified<Sign1<'a>>,
    claims: Map<'a>,
}

impl<'a> Health<'a> {
    /// Reads a CWT with a health certificate. Deployed ones carry tag 18, tags 61 and 18, or none, and repeat labels in both
    /// headers; the protected one counts.
    pub(crate) fn decode(cose: &'a [u8]) -> Option<Self> {
        const RULES: Sign1Rules = Sign1Rules::STRICT
            .tag(TagRule::OptionalWithCwt)
            .buckets(Buckets::ProtectedWins)
            .alg(AlgPlace::Either)
            .max_len(1 << 20);
        let signed = Sign1::parse(cose, &RULES).ok()?;
        let claims = read(signed.peek().payload(), Order::Any, &Limits::new(1 << 20)).ok()?.as_map()?;
        let health = Self { signed, claims };
        health.certificate().map(|_| health)
    }

    /// The certificate itself, claim −260, member 1.
    fn certificate(&self) -> Option<Item<'a>> {
        self.claims.get_int(-260)?.as_map()?.get_int(1).filter(|item| item.as_map().is_some())
    }

    /// Whether `now` is not before its issue and not after its end.
    pub(crate) fn is_in_time(&self, now: i64) -> bool {
        let date = |label: i64| self.claims.get_int(label).and_then(Item::as_i64);
        matches!((date(6), date(4)), (Some(issued), Some(end)) if (issued..=end).contains(&now))
    }

    /// Verifies that `issuer` signed it.
    pub(crate) fn verify(self, issuer: &Issuer) -> Option<Verified<'a>> {
        let headers = self.signed.peek();
        let kid = headers.protected().kid().or_else(|| headers.unprotected().kid())?;
        if kid != issuer.kid {
            return None;
        }
        let certificate = self.certificate()?;
        self.signed.verify(&issuer.key, &[]).ok()?;
        Some(Verified { claims: self.claims, certificate })
    }
}

/// A certificate whose issuer's signature holds.
pub(crate) struct Verified<'a> {
    claims: Map<'a>,
    certificate: Item<'a>,
}

impl Verified<'_> {
    /// The country that issued it.
    pub(crate) fn country(&self) -> Option<&str> {
        self.claims.get_int(1)?.as_str()
    }

    /// The second after which it is of no use.
    pub(crate) fn expires(&self) -> Option<i64> {
        self.claims.get_int(4)?.as_i64()
    }

    /// What it certifies, in deterministic CBOR.
    pub(crate) fn value(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        sorted(&mut writer, self.certificate);
        writer.into_vec()
    }

    /// A text of the certificate, by the names of its members.
    pub(crate) fn text(&self, names: &[&str]) -> Option<&str> {
        names.iter().try_fold(self.certificate, |item, name| item.as_map()?.get_text(name))?.as_str()
    }
}

/// Writes an item with all its maps sorted. What was read is nested at most 32 deep.
fn sorted(writer: &mut Writer, item: Item<'_>) {
    if let Some(map) = item.as_map() {
        writer.map(|to| {
            for (key, value) in map {
                to.entry(|w| sorted(w, key), |w| sorted(w, value));
            }
        });
    } else if let Some(array) = item.as_array() {
        writer.array(array.len());
        array.iter().for_each(|item| sorted(writer, item));
    } else if let Some((number, content)) = item.as_tag() {
        writer.tag(number);
        sorted(writer, content);
    } else {
        writer.item(item);
    }
}

/// An issuer as its X.509 certificate names it: a P-256 key, and the first eight bytes of the certificate's SHA-256.
pub(crate) struct Issuer {
    key: VerifyKey,
    kid: [u8; 8],
}

impl Issuer {
    /// Takes the key out of a certificate in DER. The certificate itself is trusted by whoever hands it over.
    pub(crate) fn from_der(der: &[u8]) -> Option<Self> {
        let (x, y) = p256_point(der)?;
        let mut cose_key = Writer::new();
        cose_key.map(|to| {
            to.int(1, |w| {
                w.int(2);
            });
            to.int(-1, |w| {
                w.int(1);
            });
            to.int(-2, |w| {
                w.bytes(x);
            });
            to.int(-3, |w| {
                w.bytes(y);
            });
        });
        let key = VerifyKey::parse(cose_key.as_slice()).ok().filter(|key| key.algorithm() == Algorithm::Es256)?;
        Some(Self { key, kid: *sha256(der).first_chunk()? })
    }

    /// The name by which certificates name it.
    pub(crate) fn kid(&self) -> &[u8; 8] {
        &self.kid
    }
}

/// The coordinates of the subject's key (RFC 5280 §4.1, RFC 5480): `None` where it is no uncompressed point of P-256.
fn p256_point(der: &[u8]) -> Option<(&[u8], &[u8])> {
    const SEQUENCE: u8 = 0x30;
    const ALGORITHM: &[u8] = &[
        0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, // id-ecPublicKey
        0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, // secp256r1
    ];
    let (certificate, _) = element(der, SEQUENCE)?;
    let (to_be_signed, _) = element(certificate, SEQUENCE)?;
    // The version may be absent; then serial number, algorithm, issuer, validity, subject.
    let rest = element(to_be_signed, 0xa0).map_or(to_be_signed, |(_, rest)| rest);
    let (_, rest) = element(rest, 0x02)?;
    let rest = (0..4).try_fold(rest, |rest, _| Some(element(rest, SEQUENCE)?.1))?;
    let (key_info, _) = element(rest, SEQUENCE)?;
    let (algorithm, rest) = element(key_info, SEQUENCE)?;
    let (bits, _) = element(rest, 0x03)?;
    // No unused bits, an uncompressed point.
    let point = bits.strip_prefix(&[0, 4]).filter(|point| algorithm == ALGORITHM && point.len() == 64)?;
    point.split_at_checked(32)
}

/// The content of the DER element at the start of `bytes`, if it has that tag, and what follows it.
fn element(bytes: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (_, rest) = bytes.split_first().filter(|(first, _)| **first == tag)?;
    let (&len, rest) = rest.split_first()?;
    let (len, rest) = match len {
        ..=0x7f => (usize::from(len), rest),
        0x81 | 0x82 => {
            let (len, rest) = rest.split_at_checked(usize::from(len - 0x80))?;
            (len.iter().fold(0, |len, byte| (len << 8) | usize::from(*byte)), rest)
        }
        _ => return None,
    };
    rest.split_at_checked(len)
}

/// The bytes of base64 text (RFC 4648 §4).
pub(crate) fn base64(text: &str) -> Option<Vec<u8>> {
    const ALPHABET: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut bytes = Vec::new();
    for group in text.trim_end_matches('=').as_bytes().chunks(4) {
        let mut bits = 0;
        for digit in group {
            bits = (bits << 6) | u32::try_from(ALPHABET.find(char::from(*digit))?).ok()?;
        }
        // 2, 3 or 4 digits hold 1, 2 or 3 bytes.
        let len = group.len().checked_sub(1).filter(|len| *len > 0)?;
        let [_, three @ ..] = (bits << (6 * (4 - group.len()))).to_be_bytes();
        bytes.extend(three.iter().take(len));
    }
    Some(bytes)
}

/// Seconds since 1970 of a date and time (RFC 3339); parts of a second are dropped.
pub(crate) fn seconds(text: &str) -> Option<i64> {
    let number = |from: usize, to: usize| text.get(from..to)?.parse::<i64>().ok();
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    let zone = text.get(19..)?.trim_start_matches(|character: char| character == '.' || character.is_ascii_digit());
    let offset = match zone.split_at_checked(1)? {
        ("Z" | "z", "") => 0,
        (sign @ ("+" | "-"), time) => {
            let secs = time.get(..2)?.parse::<i64>().ok()? * 3600 + time.get(3..5)?.parse::<i64>().ok()? * 60;
            if sign == "+" { secs } else { -secs }
        }
        _ => return None,
    };
    // Years from 1 March, so that the leap day is the last.
    let (shifted, march) = if month <= 2 { (year - 1, month + 9) } else { (year, month - 3) };
    let days = 365 * shifted + shifted / 4 - shifted / 100 + shifted / 400 + (153 * march + 2) / 5 + day - 1 - 719_468;
    Some(days * 86_400 + hour * 3600 + minute * 60 + second - offset)
}
