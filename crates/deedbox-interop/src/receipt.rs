//! A consent receipt in JSON with the fields of ISO/IEC TS 27560:2023 and the terms of the Data Privacy Vocabulary: what a
//! permission and a receipt about it say, for systems that keep such records.
//!
//! A view, not a proof: what both sides signed is the receipt itself (`deedbox_audit::SignedReceipt`), whose digest the
//! view names.

use deedbox_consent::{Basis, Permission, Receipt, ReceiptKind, Regime, Sensitivity, To, Vocabulary};
use deedbox_model::{Digest, Name};
use serde::{Deserialize, Serialize};

use crate::{
    dpv::{self, DPV, Dpv, GDPR},
    time::rfc_3339,
};

/// A receipt and the record it is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct ConsentReceipt {
    /// The schema: [`SCHEMA`].
    pub schema_version: String,
    /// Digest of the signed receipt, hexadecimal.
    pub receipt_id: String,
    /// Id of the permission.
    pub record_id: String,
    /// What is processed, and how.
    pub pii_processing: Processing,
    /// Who is who.
    pub party_identification: Vec<Party>,
    /// What happened.
    pub event: Event,
}

/// What is processed, and how.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Processing {
    /// Digest of the notice that was shown, hexadecimal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub privacy_notice: Option<String>,
    /// Its language.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub language: Option<String>,
    /// What for; one a permission.
    pub purposes: Vec<Purpose>,
}

/// One purpose.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Purpose {
    /// The DPV's IRI, or the name where it is none of the DPV's.
    pub purpose: String,
    /// The DPV's IRI of the basis; our name where it has none.
    pub lawful_basis: String,
    /// The actions, by our names.
    pub processing: Vec<String>,
    /// The fields.
    pub pii_information: Vec<Information>,
    /// The parties that may use it.
    pub pii_controllers: Vec<String>,
    /// How long each keeps it: an ISO 8601 duration in seconds.
    pub retention_period: String,
    /// Whom they may pass it on to.
    pub recipient_third_parties: Vec<String>,
    /// The DPV's IRIs of the person's rights.
    pub privacy_rights: Vec<String>,
    /// What a receiver owes, by our names.
    pub obligations: Vec<String>,
    /// The law: `EU` or `UK`.
    pub jurisdiction: String,
}

/// One field.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Information {
    /// Its name.
    pub pii_type: String,
    /// The categories it lies in: the DPV's IRI, or the name.
    pub pii_categories: Vec<String>,
    /// Whether it is of a special category, or about offences.
    pub sensitive_pii_category: bool,
}

/// One party.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Party {
    /// Its name.
    pub party_id: String,
    /// `pii_controller` or `recipient_third_party`.
    pub party_role: String,
    /// What it is, by our names.
    pub party_type: String,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Event {
    /// When, RFC 3339.
    pub event_time: String,
    /// Until when the permission holds, RFC 3339.
    pub valid_until: String,
    /// The DPV's IRI of the state of consent; absent where the basis is not consent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event_state: Option<String>,
    /// `given`, `refused` or `withdrawn`.
    pub event_type: String,
}

/// Why there is no such receipt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReceiptViewError {
    /// A disclosure is no event of a consent record.
    #[error("a disclosure is no event of a consent record")]
    Disclosure,
    /// The permission has no end, so it is not acceptable.
    #[error("the permission has no end")]
    Unbounded,
}

impl ReceiptViewError {
    /// The variant's name, stable once released.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Disclosure => "Disclosure",
            Self::Unbounded => "Unbounded",
        }
    }
}

impl ConsentReceipt {
    /// The view of `receipt`, whose signed bytes have the digest `id`, about `permission`. Terms of `dpv` get their IRIs.
    ///
    /// # Errors
    /// See [`ReceiptViewError`].
    pub fn new(
        id: Digest,
        receipt: &Receipt,
        permission: &Permission,
        vocabulary: &Vocabulary,
        dpv: &Dpv,
    ) -> Result<Self, ReceiptViewError> {
        let event_type = match receipt.kind {
            ReceiptKind::Given => "given",
            ReceiptKind::Refused => "refused",
            ReceiptKind::Withdrawn => "withdrawn",
            ReceiptKind::Disclosed => return Err(ReceiptViewError::Disclosure),
        };
        let until = permission.bounds.until.ok_or(ReceiptViewError::Unbounded)?;
        let status = dpv::consent_status(receipt.kind).filter(|_| permission.basis == Basis::CONSENT);
        let controllers = controllers(&permission.to, receipt, vocabulary);
        let term = |name: &Name| dpv.iri(name).map_or_else(|| name.to_string(), str::to_owned);
        let party = |party: &Name, role: &str| Party {
            party_id: party.to_string(),
            party_role: role.to_owned(),
            party_type: vocabulary.parties().get(party).and_then(|kind| kind.name()).unwrap_or("unknown").to_owned(),
        };
        let parties = controllers.iter().map(|controller| party(controller, "pii_controller"));
        let recipients = permission.recipients.iter().map(|recipient| party(recipient, "recipient_third_party"));
        let evidence = &permission.evidence;
        let notice = receipt.notice.or(evidence.notice);
        let purpose = Purpose {
            purpose: term(&permission.purpose),
            lawful_basis: basis(permission.basis),
            processing: permission.actions.iter().map(|action| action.name().to_owned()).collect(),
            pii_information: information(permission, receipt, vocabulary, term),
            pii_controllers: controllers.iter().map(Name::to_string).collect(),
            retention_period: format!("PT{}S", permission.retention.unwrap_or_default()),
            recipient_third_parties: permission.recipients.iter().map(Name::to_string).collect(),
            privacy_rights: dpv::rights(permission.basis).iter().map(|right| format!("{GDPR}{right}")).collect(),
            obligations: permission.obligations.iter().map(|duty| duty.name().to_owned()).collect(),
            jurisdiction: if receipt.regime == Regime::UK { "UK" } else { "EU" }.to_owned(),
        };
        Ok(Self {
            schema_version: SCHEMA.to_owned(),
            receipt_id: hex(&id),
            record_id: permission.id.to_string(),
            pii_processing: Processing {
                privacy_notice: notice.as_ref().map(hex),
                language: evidence.language.as_deref().map(str::to_owned),
                purposes: vec![purpose],
            },
            party_identification: parties.chain(recipients).collect(),
            event: Event {
                event_time: rfc_3339(receipt.time),
                valid_until: rfc_3339(until),
                event_state: status.map(|status| format!("{DPV}{status}")),
                event_type: event_type.to_owned(),
            },
        })
    }
}

/// The schema that receipts name.
pub const SCHEMA: &str = "ISO/IEC TS 27560:2023";

/// Who may use the permission: each controller by name, as consent needs it.
fn controllers(to: &To, receipt: &Receipt, vocabulary: &Vocabulary) -> Vec<Name> {
    match to {
        To::Party(party) => vec![party.clone()],
        To::Roster(cluster, roster) => {
            let cluster = vocabulary.clusters().get(cluster);
            let members = cluster.and_then(|cluster| {
                let number = match roster {
                    deedbox_consent::Roster::Current => cluster.current(),
                    deedbox_consent::Roster::Pinned(number) => *number,
                };
                cluster.rosters().get(&number)
            });
            members.into_iter().flatten().cloned().collect()
        }
        To::Anyone | To::Cluster(_) => vec![receipt.party.clone()],
    }
}

/// The fields of the receipt if it names any, else those that the permission chooses.
fn information(
    permission: &Permission,
    receipt: &Receipt,
    vocabulary: &Vocabulary,
    term: impl Fn(&Name) -> String,
) -> Vec<Information> {
    let is_meant = |field: &Name| match &receipt.fields {
        Some(fields) => fields.contains(field),
        None => vocabulary.covers(&permission.fields, field),
    };
    let meant = vocabulary.fields().iter().filter(|(field, _)| is_meant(field));
    meant
        .map(|(field, entry)| Information {
            pii_type: field.to_string(),
            pii_categories: entry.categories().iter().map(&term).collect(),
            sensitive_pii_category: entry.sensitivity() != Sensitivity::ORDINARY,
        })
        .collect()
}

fn basis(basis: Basis) -> String {
    match dpv::basis_term(basis) {
        Some(term) => format!("{GDPR}{term}"),
        None => basis.name().unwrap_or("unknown").to_owned(),
    }
}

fn hex(digest: &Digest) -> String {
    digest.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
}
