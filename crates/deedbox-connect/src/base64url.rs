//! base64url without padding, RFC 4648 §5, canonical only.

use alloc::{string::String, vec::Vec};

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

pub(crate) fn encode(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let mut value: u32 = 0;
        for at in 0..3 {
            value = value << 8 | u32::from(chunk.get(at).copied().unwrap_or_default());
        }
        for at in 0..=chunk.len() {
            let digit = usize::try_from(value >> (18 - 6 * at) & 0x3f).unwrap_or_default();
            out.push(char::from(ALPHABET.get(digit).copied().unwrap_or_default()));
        }
    }
    out
}

pub(crate) fn decode(text: &str) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len() / 4 * 3 + 2);
    for chunk in text.as_bytes().chunks(4) {
        let mut value: u32 = 0;
        for at in 0..4 {
            let digit = match chunk.get(at) {
                None => 0,
                Some(byte) => u32::try_from(ALPHABET.iter().position(|own| own == byte)?).ok()?,
            };
            value = value << 6 | digit;
        }
        let [_, bytes @ ..] = value.to_be_bytes();
        let (keep, rest) = bytes.split_at_checked(chunk.len().checked_sub(1)?)?;
        // One character alone holds no byte, and the bits left over are zero: one value has one encoding.
        if keep.is_empty() || rest.iter().any(|byte| *byte != 0) {
            return None;
        }
        out.extend_from_slice(keep);
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn examples_of_rfc_4648() {
        for (plain, coded) in
            [("", ""), ("f", "Zg"), ("fo", "Zm8"), ("foo", "Zm9v"), ("foob", "Zm9vYg"), ("fooba", "Zm9vYmE")]
        {
            assert_eq!(encode(plain.as_bytes()), coded);
            assert_eq!(decode(coded).as_deref(), Some(plain.as_bytes()));
        }
        assert_eq!(encode(&[0xfb, 0xff]), "-_8");
    }

    #[test]
    fn what_no_encoder_makes_is_refused() {
        for text in ["Z", "Zh", "Zm9", "Zg==", "Zm+v", "Zm9vY"] {
            assert_eq!(decode(text), None, "{text}");
        }
    }
}
