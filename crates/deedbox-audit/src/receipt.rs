use core::fmt;

use deedbox_cbor::{Item, Limits, Order, read};
use deedbox_cose::{Signer, Thumbprint, VerifyKey, sign};
use deedbox_crypto::label::RECEIPT;
use deedbox_model::{Digest, Timestamp};

use crate::{AuditError, LogState, Vouched};

/// A receipt whose signatures were checked; made only by [`SignedReceipt::verify`].
///
/// The payload is a receipt of `deedbox-consent`, which this crate does not know: it reads of it what happened, when, and
/// the state of the log. First the acting side signs; the other side's signature over the same payload is its
/// acknowledgment.
///
/// ```cddl
/// signed-receipt = COSE_Sign, payload receipt, one or two signatures, external_aad "deedbox/1 receipt" 00
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct SignedReceipt {
    payload: Vec<u8>,
    kind: u8,
    time: Timestamp,
    signer: Thumbprint,
    is_acknowledged: bool,
    state: Option<LogState>,
}

/// Signs a receipt as the acting side; `payload` is its canonical bytes.
///
/// # Errors
/// [`AuditError::Malformed`] for what is no receipt, [`AuditError::Rejected`] when the signer can't sign.
pub fn sign_receipt(payload: &[u8], signer: &(impl Signer + ?Sized)) -> Result<Vec<u8>, AuditError> {
    parts(payload).ok_or(AuditError::Malformed)?;
    sign::document(signer, RECEIPT.as_bytes(), payload).map_err(|_| AuditError::Rejected)
}

/// Acknowledges a receipt that `acting` signed, as the other side.
///
/// # Errors
/// [`AuditError::Malformed`], [`AuditError::Rejected`] for another's signature, one that is acknowledged already, or a
/// signer that can't sign.
pub fn acknowledge_receipt(
    bytes: &[u8],
    acting: &VerifyKey,
    signer: &(impl Signer + ?Sized),
) -> Result<Vec<u8>, AuditError> {
    SignedReceipt::verify(bytes, acting, None)?;
    sign::add_signature(signer, bytes, RECEIPT.as_bytes()).map_err(|_| AuditError::Rejected)
}

impl SignedReceipt {
    /// Verifies a receipt of at most 1 MiB that `acting` signed, and nobody else or `other` after it.
    ///
    /// # Errors
    /// [`AuditError::Malformed`] before a signature is looked at, then [`AuditError::Rejected`].
    pub fn verify(bytes: &[u8], acting: &VerifyKey, other: Option<&VerifyKey>) -> Result<Self, AuditError> {
        let document = sign::Document::parse(bytes).map_err(|_| AuditError::Malformed)?;
        let keys: Vec<&VerifyKey> = [acting].into_iter().chain(other).collect();
        let document = document.verify(&keys, RECEIPT.as_bytes()).map_err(|_| AuditError::Rejected)?;
        let (kind, time, state) = parts(document.payload()).ok_or(AuditError::Malformed)?;
        Ok(Self {
            payload: document.payload().to_vec(),
            kind,
            time,
            signer: acting.thumbprint(),
            is_acknowledged: other.is_some(),
            state,
        })
    }

    /// The receipt's canonical bytes, to be read by `deedbox-consent`.
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        &self.payload
    }

    /// When it happened, by the acting side's clock.
    #[must_use]
    pub const fn time(&self) -> Timestamp {
        self.time
    }

    /// Whether the other side has signed too.
    #[must_use]
    pub const fn is_acknowledged(&self) -> bool {
        self.is_acknowledged
    }

    /// Whether it tells of a withdrawal that is not acknowledged although `within` seconds have passed: to be shown to the
    /// person.
    #[must_use]
    pub const fn is_overdue(&self, now: Timestamp, within: u64) -> bool {
        self.kind == WITHDRAWN && !self.is_acknowledged && now.saturating_sub(self.time) > within
    }

    /// What the acting side says its log was then, if it does.
    #[must_use]
    pub fn vouched(&self) -> Option<Vouched> {
        self.state.map(|state| Vouched { signer: self.signer, log: None, state })
    }
}

/// Prints what happened by its number only.
impl fmt::Debug for SignedReceipt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SignedReceipt").field("kind", &self.kind).finish_non_exhaustive()
    }
}

/// Kind, time and state of the log.
fn parts(payload: &[u8]) -> Option<(u8, Timestamp, Option<LogState>)> {
    let map = read(payload, Order::Canonical, &Limits::new(MAX_RECEIPT)).ok()?.as_map()?;
    let entry = |key: i64| map.iter().find(|(other, _)| other.as_i64() == Some(key)).map(|(_, value)| value);
    if entry(1)?.as_u64()? != 1 {
        return None;
    }
    let state = |item: Item<'_>| -> Option<LogState> {
        let [size, root] = item.as_array()?.exactly()?;
        Some(LogState { size: size.as_u64()?, root: Digest::from_bytes(root.as_byte_array()?) })
    };
    let state = match entry(9) {
        Some(item) => Some(state(item)?),
        None => None,
    };
    Some((entry(2)?.as_u8().filter(|kind| (1..=4).contains(kind))?, Timestamp::decode(entry(3)?)?, state))
}

const WITHDRAWN: u8 = 3;
const MAX_RECEIPT: usize = 1 << 20;
