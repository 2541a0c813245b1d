//! Proofs: a request, signed by the holder of a capability. Pure; clients and hosts share it.
//!
//! ```cddl
//! proof   = 18([bstr .cbor {1: -19, 4: kid: b32}, {}, bstr .cbor {1: capability: b16, 2: request: b32, 3: time: uint},
//!               bstr .size 64])                                                  ; external_aad "deedbox/1 proof" 00
//! request = SHA-256(method ‖ 00 ‖ origin ‖ 00 ‖ path and query ‖ 00 ‖ SHA-256(body) ‖ range)
//! ```

use deedbox_cbor::{Limits, Order, Writer, read};
use deedbox_cose::{SignError, Signer, Unverified, VerifyKey, label, sha256, sign1};
use deedbox_model::{CapabilityId, Timestamp};

use crate::{ByteRange, Method};

/// Most bytes of a proof.
pub const MAX_PROOF: usize = 1_024;

/// Seconds that a proof's time may be off the host's.
pub const MAX_SKEW_SECS: u64 = 120;

/// What a proof is signed over, in place of a request without a range; [`Request::hash`](crate::Request::hash) knows both.
#[must_use]
pub fn request_hash(method: Method, origin: &str, target: &str, body: &[u8]) -> [u8; 32] {
    ranged_hash(method, origin, target, body, None)
}

/// Without a range nothing stands in its place.
pub(crate) fn ranged_hash(
    method: Method,
    origin: &str,
    target: &str,
    body: &[u8],
    range: Option<ByteRange>,
) -> [u8; 32] {
    let mut bytes = Vec::with_capacity(64 + origin.len() + target.len());
    for part in [method.as_str(), origin, target] {
        bytes.extend_from_slice(part.as_bytes());
        bytes.push(0);
    }
    bytes.extend_from_slice(&sha256(body));
    if let Some(range) = range {
        bytes.extend_from_slice(range.to_string().as_bytes());
    }
    sha256(&bytes)
}

/// What a proof says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Claims {
    /// The capability that is used.
    pub capability: CapabilityId,
    /// [`request_hash`] of the request.
    pub request: [u8; 32],
    /// When it was signed; bounds replay, decides nothing else.
    pub time: Timestamp,
}

impl Claims {
    /// Claims over a request.
    #[must_use]
    pub const fn new(capability: CapabilityId, request: [u8; 32], time: Timestamp) -> Self {
        Self { capability, request, time }
    }

    /// The payload that is signed: deterministic CBOR.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        writer.map(|map| {
            map.int(1, |w| self.capability.encode(w))
                .int(2, |w| {
                    w.bytes(&self.request);
                })
                .int(3, |w| self.time.encode(w));
        });
        writer.into_vec()
    }

    /// Reads the payload: canonical, nothing unknown.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let item = read(bytes, Order::Canonical, &Limits::new(MAX_PROOF)).ok()?;
        let mut fields = item.as_map()?.fields();
        let capability = CapabilityId::decode(fields.required(1)?)?;
        let request = fields.required(2)?.as_byte_array()?;
        let time = Timestamp::decode(fields.required(3)?)?;
        fields.finish()?;
        Some(Self { capability, request, time })
    }

    /// Signs the claims.
    ///
    /// # Errors
    /// Those of the signer.
    pub fn sign(&self, signer: &(impl Signer + ?Sized)) -> Result<Vec<u8>, SignError> {
        sign1::document(signer, label::PROOF.as_bytes(), &self.to_bytes())
    }
}

/// A proof that was read, not verified.
#[derive(Debug)]
pub(crate) struct Proof<'a> {
    document: Unverified<sign1::Document<'a>>,
    claimed: Claims,
}

impl<'a> Proof<'a> {
    pub(crate) fn parse(bytes: &'a [u8]) -> Option<Self> {
        if bytes.len() > MAX_PROOF {
            return None;
        }
        let document = sign1::Document::parse(bytes).ok()?;
        let claimed = Claims::from_bytes(document.peek().payload())?;
        Some(Self { document, claimed })
    }

    /// Which capability it says it uses: only good for looking the capability up.
    pub(crate) fn capability(&self) -> CapabilityId {
        self.claimed.capability
    }

    /// The claims, once the holder's key has verified them.
    pub(crate) fn verify(self, holder: &[u8; 32]) -> Option<Claims> {
        let key = VerifyKey::parse(&ed25519_key(holder)).ok()?;
        self.document.verify(&key, label::PROOF.as_bytes()).ok()?;
        Some(self.claimed)
    }
}

/// An Ed25519 key as a COSE_Key.
pub(crate) fn ed25519_key(key: &[u8; 32]) -> Vec<u8> {
    let mut writer = Writer::new();
    writer.map(|map| {
        map.int(1, |w| {
            w.uint(1);
        })
        .int(-1, |w| {
            w.uint(6);
        })
        .int(-2, |w| {
            w.bytes(key);
        });
    });
    writer.into_vec()
}
