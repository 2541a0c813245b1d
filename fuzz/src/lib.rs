//! The bodies of all fuzz targets, one module a crate: `fn <target>(data: &[u8])`, which panics where the target's
//! property does not hold. `fuzz_targets/<target>.rs` is one macro call; `tests/replay.rs` runs every tracked seed.
#![expect(
    clippy::missing_panics_doc,
    reason = "a target panics where its property does not hold; its first sentence says which"
)]

pub mod audit;
pub mod cbor;
pub mod connect;
pub mod consent;
pub mod cose;
pub mod credential;
pub mod crypto;
pub mod edhoc;
pub mod facade;
pub mod host;
pub mod interop;
pub mod merkle;
pub mod model;
pub mod record;
pub mod store;

/// Makes the `main` of one fuzz target: libFuzzer's under `cfg(fuzzing)`, elsewhere one that replays the files named
/// as arguments.
#[macro_export]
macro_rules! target {
    ($body:path) => {
        #[cfg(fuzzing)]
        libfuzzer_sys::fuzz_target!(|data: &[u8]| $body(data));
        #[cfg(not(fuzzing))]
        fn main() -> std::io::Result<()> {
            for file in std::env::args_os().skip(1) {
                $body(&std::fs::read(file)?);
            }
            Ok(())
        }
    };
}

/// A fuzz target: its name and its body.
pub type Target = (&'static str, fn(&[u8]));

/// Every target, by name; a target that is not listed here is not replayed, and a test says so.
pub const TARGETS: &[Target] = &[
    // keep sorted by name
    ("audit_entry", audit::audit_entry),
    ("audit_export", audit::audit_export),
    ("audit_observe", audit::audit_observe),
    ("cbor_strict", cbor::cbor_strict),
    ("connect_agreement", connect::connect_agreement),
    ("connect_events", connect::connect_events),
    ("connect_frame", connect::connect_frame),
    ("connect_invitation", connect::connect_invitation),
    ("connect_link", connect::connect_link),
    ("connect_record", connect::connect_record),
    ("connect_sealed", connect::connect_sealed),
    ("connect_stored", connect::connect_stored),
    ("consent_impact", consent::consent_impact),
    ("consent_index", consent::consent_index),
    ("consent_request", consent::consent_request),
    ("consent_rule", consent::consent_rule),
    ("consent_vocabulary", consent::consent_vocabulary),
    ("cose_encrypt0", cose::cose_encrypt0),
    ("cose_key", cose::cose_key),
    ("cose_sign1", cose::cose_sign1),
    ("credential_accept", credential::credential_accept),
    ("credential_disclosures", credential::credential_disclosures),
    ("credential_pool", credential::credential_pool),
    ("credential_query", credential::credential_query),
    ("credential_resigned", credential::credential_resigned),
    ("credential_status", credential::credential_status),
    ("credential_trust_list", credential::credential_trust_list),
    ("credential_verify", credential::credential_verify),
    ("crypto_keys", crypto::crypto_keys),
    ("crypto_open", crypto::crypto_open),
    ("edhoc_message_1", edhoc::edhoc_message_1),
    ("edhoc_message_2", edhoc::edhoc_message_2),
    ("edhoc_message_3", edhoc::edhoc_message_3),
    ("edhoc_message_4", edhoc::edhoc_message_4),
    ("edhoc_session", edhoc::edhoc_session),
    ("facade_answer", facade::facade_answer),
    ("facade_connected", facade::facade_connected),
    ("facade_handover", facade::facade_handover),
    ("facade_justification", facade::facade_justification),
    ("facade_rule", facade::facade_rule),
    ("facade_statement", facade::facade_statement),
    ("facade_terms", facade::facade_terms),
    ("host_capability", host::host_capability),
    ("host_feed", host::host_feed),
    ("host_http", host::host_http),
    ("host_request", host::host_request),
    ("interop_consent", interop::interop_consent),
    ("interop_dpv", interop::interop_dpv),
    ("interop_import", interop::interop_import),
    ("interop_portable", interop::interop_portable),
    ("merkle_proof", merkle::merkle_proof),
    ("merkle_receipt", merkle::merkle_receipt),
    ("model_path", model::model_path),
    ("record_bundle", record::record_bundle),
    ("record_erasure", record::record_erasure),
    ("record_grant", record::record_grant),
    ("record_head", record::record_head),
    ("record_header", record::record_header),
    ("record_keyring", record::record_keyring),
    ("record_open", record::record_open),
    ("record_payload", record::record_payload),
    ("record_replica", record::record_replica),
    ("record_share", record::record_share),
    ("record_stream", record::record_stream),
    ("record_succession", record::record_succession),
    ("record_tamper", record::record_tamper),
    ("store_ops", store::store_ops),
];

/// `bytes` with `data` XORed over its beginning: empty data, or zeros, leave it as it is.
fn altered(bytes: &[u8], data: &[u8]) -> Vec<u8> {
    bytes.iter().zip(data.iter().chain(std::iter::repeat(&0))).map(|(byte, change)| byte ^ change).collect()
}
