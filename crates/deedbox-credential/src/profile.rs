//! All that a draft may still change: labels, registered numbers and limits of the SD-CWT profile
//! (draft-ietf-spice-sd-cwt-07) and of status lists (draft-ietf-oauth-status-list).

/// COSE header: algorithm.
pub(crate) const ALG: i64 = 1;
/// COSE header: key id.
pub(crate) const KID: i64 = 4;
/// COSE header of a key binding token: the SD-CWT itself.
pub(crate) const KCWT: i64 = 13;
/// COSE header: CWT claims; never accepted.
pub(crate) const CWT_CLAIMS: i64 = 15;
/// COSE header: type.
pub(crate) const TYP: i64 = 16;
/// COSE header: the disclosures.
pub(crate) const SD_CLAIMS: i64 = 17;
/// COSE header: hash algorithm of the digests.
pub(crate) const SD_ALG: i64 = 170;
/// COSE header: encrypted disclosures; never accepted.
pub(crate) const SD_AEAD_CLAIMS: i64 = 171;
/// COSE header: algorithm of encrypted disclosures; never unprotected.
pub(crate) const SD_AEAD: i64 = 172;

/// All header labels that are looked at.
pub(crate) const LABELS: [i64; 9] = [ALG, KID, KCWT, CWT_CLAIMS, TYP, SD_CLAIMS, SD_ALG, SD_AEAD_CLAIMS, SD_AEAD];
/// Header labels that a key binding token's reader understands.
pub(crate) const UNDERSTOOD_KBT: &[i64] = &[ALG, KID, KCWT, TYP];
/// Header labels that an SD-CWT's reader understands.
pub(crate) const UNDERSTOOD_SD_CWT: &[i64] = &[ALG, KID, TYP, SD_ALG];

/// `typ` of an SD-CWT, as a number.
pub(crate) const TYP_SD_CWT: u64 = 293;
/// `typ` of an SD-CWT, as text.
pub(crate) const TYP_SD_CWT_TEXT: &str = "application/sd-cwt";
/// How a narrower `typ` of an SD-CWT ends.
pub(crate) const TYP_SD_CWT_SUFFIX: &str = "+sd-cwt";
/// How every `typ` as text begins.
pub(crate) const TYP_PREFIX: &str = "application/";
/// `typ` of a key binding token, as a number.
pub(crate) const TYP_KBT: u64 = 294;
/// `typ` of a key binding token, as text.
pub(crate) const TYP_KBT_TEXT: &str = "application/kb+cwt";
/// The one hash algorithm of digests, SHA-256.
pub(crate) const SD_ALG_SHA256: i64 = -16;

/// Claim: issuer.
pub(crate) const ISS: i64 = 1;
/// Claim: subject.
pub(crate) const SUB: i64 = 2;
/// Claim: audience.
pub(crate) const AUD: i64 = 3;
/// Claim: expiry.
pub(crate) const EXP: i64 = 4;
/// Claim: not before.
pub(crate) const NBF: i64 = 5;
/// Claim: issued at.
pub(crate) const IAT: i64 = 6;
/// Claim: token id.
pub(crate) const CTI: i64 = 7;
/// Claim: the holder's key.
pub(crate) const CNF: i64 = 8;
/// Claim: type of the credential.
pub(crate) const VCT: i64 = 11;
/// Claim: the verifier's nonce.
pub(crate) const CNONCE: i64 = 39;
/// Claim: where the status is found.
pub(crate) const STATUS: i64 = 65535;
/// Whether a top-level claim is never redacted.
pub(crate) const fn is_never_redacted(claim: i64) -> bool {
    matches!(claim, ISS | AUD | EXP | NBF | IAT | CTI | CNF | VCT | CNONCE | STATUS)
}

/// Member of `status`.
pub(crate) const STATUS_LIST: &str = "status_list";
/// Member of `status_list`: the index.
pub(crate) const STATUS_IDX: &str = "idx";
/// Member of `status_list`: the list's URI.
pub(crate) const STATUS_URI: &str = "uri";

/// `typ` of a status list token.
pub(crate) const TYP_STATUS_LIST: &str = "application/statuslist+cwt";
/// Claim of a status list token: the list.
pub(crate) const STATUS_LIST_CLAIM: i64 = 65533;
/// Claim of a status list token: seconds for which it may be kept.
pub(crate) const TTL: i64 = 65534;
/// Member of a status list: bits of an entry.
pub(crate) const LIST_BITS: &str = "bits";
/// Member of a status list: the entries, deflated.
pub(crate) const LIST_LST: &str = "lst";
/// Member of a status list: where all lists of the issuer are found; not used.
pub(crate) const LIST_AGGREGATION_URI: &str = "aggregation_uri";
/// Header labels that a status list's reader understands.
pub(crate) const UNDERSTOOD_STATUS_LIST: &[i64] = &[ALG, KID, TYP];

/// The map key under which a map's redacted entries stand, a simple value.
pub(crate) const REDACTED_KEYS: u8 = 59;
/// The tag of a redacted array element.
pub(crate) const REDACTED_ELEMENT: u64 = 60;
/// Tags that belong before issuance only.
pub(crate) const RESERVED_TAGS: &[u64] = &[58, 62];
/// Tag of a COSE_Sign1.
pub(crate) const TAG_SIGN1: u64 = 18;

/// Bytes of a salt.
pub(crate) const SALT_LEN: usize = 16;
/// Bytes of a digest.
pub(crate) const DIGEST_LEN: usize = 32;
/// Longest text that may be a label.
pub(crate) const MAX_LABEL: usize = 255;
/// Longest token, SD-CWT or KBT.
pub(crate) const MAX_TOKEN: usize = 262_144;
/// Longest status list token.
pub(crate) const MAX_STATUS_TOKEN: usize = 4 << 20;
/// Longest status list, inflated.
pub(crate) const MAX_INFLATED: usize = 16 << 20;
/// Entries of a status list, unless said otherwise.
pub(crate) const STATUS_ENTRIES: u64 = 1 << 20;
/// Seconds for which a status list without `exp` and `ttl` may be kept.
pub(crate) const STATUS_KEPT_SECS: u64 = 86_400;
/// Longest trust list, and longest pin of one.
pub(crate) const MAX_TRUST_LIST: usize = 4 << 20;
/// Most issuers of a trust list.
pub(crate) const MAX_ISSUERS: usize = 4_096;
/// Most keys of one issuer in a trust list.
pub(crate) const MAX_LISTED_KEYS: usize = 16;
/// Most anchors of a trust list, and most signatures on one.
pub(crate) const MAX_ANCHORS: usize = 64;
/// Longest query.
pub(crate) const MAX_QUERY: usize = 65_536;
/// Most copies of a pool.
pub(crate) const MAX_POOL: usize = 4_096;
/// Most disclosures in one token.
pub(crate) const MAX_DISCLOSURES: usize = 2_048;
/// Most levels of the assembled claims.
pub(crate) const MAX_LEVELS: usize = 16;
/// Deepest nesting of containers that the reader of any part accepts.
pub(crate) const MAX_DEPTH: usize = 32;

/// Seconds by which clocks may differ, unless said otherwise.
pub(crate) const LEEWAY_SECS: u64 = 60;
/// Seconds that a challenge may be old, unless said otherwise.
pub(crate) const MAX_AGE_SECS: u64 = 300;
/// Where a subject is a thumbprint (RFC 9679, section 5.4).
pub(crate) const THUMBPRINT_URI: &str = "urn:ietf:params:oauth:ckt:sha-256:";
