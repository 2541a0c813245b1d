use core::fmt;

#[cfg(feature = "provider")]
use deedbox_cbor::Writer;
use deedbox_cbor::{ItemBuf, Limits, Order, read};
#[cfg(feature = "provider")]
use deedbox_cose::Signer;
use deedbox_cose::{CoseError, VerifyKey, sign1};
use deedbox_crypto::label::STATEMENT;
use deedbox_model::{Digest, FieldPath, Timestamp};

/// What an organisation says of one field of a person's; made only by [`Statement::verify`].
///
/// Each field is signed on its own, so that one can be shown with its proof and without its neighbours. The agreement says
/// of whom it is said.
///
/// ```cddl
/// statement = COSE_Sign1, external_aad "deedbox/1 statement" 00, payload
///             [dataset: tstr, field: tstr, path: tstr, value: any, agreement: b32, time: uint]
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Statement {
    dataset: String,
    field: String,
    path: FieldPath,
    value: ItemBuf,
    agreement: Digest,
    time: Timestamp,
}

impl Statement {
    /// Verifies a statement of at most 256 KiB that the owner of `key` signed.
    ///
    /// # Errors
    /// [`CoseError::Shape`] for what is no statement, before and after the signature is looked at; see
    /// [`sign1::open_document`].
    pub fn verify(bytes: &[u8], key: &VerifyKey) -> Result<Self, CoseError> {
        if bytes.len() > MAX_STATEMENT {
            return Err(CoseError::Shape);
        }
        Self::parse(sign1::open_document(bytes, key, STATEMENT.as_bytes())?).ok_or(CoseError::Shape)
    }

    /// The title of the dataset it belongs to.
    #[must_use]
    pub fn dataset(&self) -> &str {
        &self.dataset
    }

    /// The field that rules name, before it is escaped.
    #[must_use]
    pub fn field(&self) -> &str {
        &self.field
    }

    /// Where in what was delivered it stood.
    #[must_use]
    pub const fn path(&self) -> &FieldPath {
        &self.path
    }

    /// The value.
    #[must_use]
    pub const fn value(&self) -> &ItemBuf {
        &self.value
    }

    /// Digest of the agreement under which it was said.
    #[must_use]
    pub const fn agreement(&self) -> &Digest {
        &self.agreement
    }

    /// When it was said, by the issuer's clock.
    #[must_use]
    pub const fn time(&self) -> Timestamp {
        self.time
    }

    fn parse(payload: &[u8]) -> Option<Self> {
        let item = read(payload, Order::Canonical, &Limits::new(MAX_STATEMENT)).ok()?;
        let [dataset, field, path, value, agreement, time] = item.as_array()?.exactly()?;
        Some(Self {
            dataset: dataset.as_str()?.to_owned(),
            field: field.as_str()?.to_owned(),
            path: FieldPath::decode(path)?,
            value: ItemBuf::from_item(value).ok()?,
            agreement: Digest::decode(agreement)?,
            time: Timestamp::decode(time)?,
        })
    }
}

/// Prints the length of the value, and no name.
impl fmt::Debug for Statement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Statement").field("len", &self.value.bytes().len()).finish_non_exhaustive()
    }
}

/// Signs every field of a document and writes them as one delivery; `None` when the signer can't sign.
#[cfg(feature = "provider")]
pub(crate) fn write_delivery(
    import: &deedbox_interop::Import,
    agreement: &Digest,
    now: Timestamp,
    signer: &(impl Signer + ?Sized),
) -> Option<Vec<u8>> {
    let mut delivery = Writer::new();
    delivery.array(import.fields().len());
    for field in import.fields() {
        let mut payload = Writer::new();
        payload.array(6).text(field.dataset()).text(field.group()).text(field.path().as_str());
        payload.item(field.value().as_item());
        agreement.encode(&mut payload);
        now.encode(&mut payload);
        delivery.bytes(&sign1::document(signer, STATEMENT.as_bytes(), payload.as_slice()).ok()?);
    }
    Some(delivery.into_vec())
}

/// The signed statements of a delivery, 1 to 65,535, none of them looked into.
#[cfg(feature = "person")]
pub(crate) fn read_delivery(bytes: &[u8]) -> Option<Vec<Vec<u8>>> {
    let item = read(bytes, Order::Canonical, &Limits::new(MAX_DELIVERY)).ok()?;
    let items = item.as_array().filter(|items| (1..=65_535).contains(&items.len()))?;
    items.iter().map(|item| Some(item.as_bytes()?.to_vec())).collect()
}

const MAX_STATEMENT: usize = 256 << 10;
/// As much as a session carries at once.
#[cfg(feature = "person")]
const MAX_DELIVERY: usize = 1 << 20;

#[cfg(all(test, feature = "person", feature = "provider"))]
mod tests {
    use deedbox_cose::{LocalSigner, Signer as _};
    use deedbox_testkit::rng::SeededRng;

    use super::*;

    #[test]
    fn a_statement_verifies_unless_a_bit_is_another_or_the_key_is() {
        let mut rng = SeededRng::new(1);
        let (signer, other) = (LocalSigner::generate(&mut rng), LocalSigner::generate(&mut rng));
        let import = deedbox_interop::import(br#"{"health": {"stage": "II", "ward": "7b"}}"#).unwrap();
        let (agreement, now) = (Digest::from_bytes([7; 32]), Timestamp::from_secs(5));
        let delivery = write_delivery(&import, &agreement, now, &signer).unwrap();
        let signed = read_delivery(&delivery).unwrap();
        assert_eq!(signed.len(), 2);
        let statement = Statement::verify(&signed[0], signer.public()).unwrap();
        assert_eq!(
            (statement.dataset(), statement.field(), statement.path().as_str()),
            ("health", "health.stage", "health.stage")
        );
        assert_eq!((statement.value().as_item().as_str(), statement.time()), (Some("II"), now));
        assert_eq!(statement.agreement(), &agreement);
        assert_eq!(format!("{statement:?}"), "Statement { len: 3, .. }");

        assert_eq!(Statement::verify(&signed[0], other.public()), Err(CoseError::Kid));
        for bit in 0..signed[0].len() * 8 {
            let mut altered = signed[0].clone();
            altered[bit / 8] ^= 1 << (bit % 8);
            assert!(Statement::verify(&altered, signer.public()).is_err(), "bit {bit}");
        }
        for len in 0..signed[0].len() {
            assert!(Statement::verify(&signed[0][..len], signer.public()).is_err(), "length {len}");
        }
        let elsewhere = sign1::document(&signer, deedbox_crypto::label::RULE.as_bytes(), b"\x86").unwrap();
        assert_eq!(Statement::verify(&elsewhere, signer.public()), Err(CoseError::BadSignature));
        let other_shape = sign1::document(&signer, STATEMENT.as_bytes(), b"\x80").unwrap();
        assert_eq!(Statement::verify(&other_shape, signer.public()), Err(CoseError::Shape));
        assert_eq!(Statement::verify(&vec![0; MAX_STATEMENT + 1], signer.public()), Err(CoseError::Shape));
        for bad in [&b""[..], b"\x80", b"\x81\x01", b"\x40", b"\x81\x40\x00"] {
            assert_eq!(read_delivery(bad), None);
        }
    }
}
