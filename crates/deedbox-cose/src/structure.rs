use alloc::vec::Vec;

use deedbox_cbor::Writer;

/// Writes `[context, part…]`: the Sig_structure and Enc_structure of RFC 9052 §4.4 and §5.3, from bytes as received.
pub(crate) fn structure(context: &str, parts: &[&[u8]]) -> Vec<u8> {
    let len: usize = parts.iter().map(|part| part.len().saturating_add(9)).sum();
    let mut writer = Writer::with_capacity(len.saturating_add(32));
    writer.array(parts.len().saturating_add(1)).text(context);
    for part in parts {
        writer.bytes(part);
    }
    writer.into_vec()
}

/// The protected header as it enters such a structure: an empty map counts as nothing (RFC 9052 §4.4).
pub(crate) const fn protected(received: &[u8]) -> &[u8] {
    match received {
        [0xa0] => &[],
        _ => received,
    }
}
