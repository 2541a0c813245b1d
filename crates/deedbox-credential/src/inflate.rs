//! ZLIB (RFC 1950) with a limit: what a status list is compressed with.

use alloc::{boxed::Box, vec, vec::Vec};

use miniz_oxide::{
    deflate::compress_to_vec_zlib,
    inflate::{
        TINFLStatus,
        core::{
            DecompressorOxide, decompress,
            inflate_flags::{TINFL_FLAG_PARSE_ZLIB_HEADER, TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF},
        },
    },
};

use crate::error::{Limit, StatusError, VerifyError};

/// Inflates exactly one complete stream to at most `max` bytes: checksum right, no dictionary, nothing after it.
///
/// Memory grows with what comes out, never by what the stream promises.
pub(crate) fn inflate(stream: &[u8], max: usize) -> Result<Vec<u8>, VerifyError> {
    let flags = TINFL_FLAG_PARSE_ZLIB_HEADER | TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF;
    // One byte beyond the limit shows that it was passed.
    let most = max.saturating_add(1);
    let mut state = Box::new(DecompressorOxide::new());
    let mut out = vec![0; FIRST.min(most)];
    let (mut read, mut written) = (0_usize, 0_usize);
    loop {
        let rest = stream.get(read..).unwrap_or_default();
        let (status, taken, made) = decompress(&mut state, rest, &mut out, written, flags);
        read = read.saturating_add(taken);
        written = written.saturating_add(made);
        if written > max {
            return Err(VerifyError::Limit { what: Limit::Inflated, max });
        }
        match status {
            TINFLStatus::Done if read == stream.len() => {
                out.truncate(written);
                return Ok(out);
            }
            TINFLStatus::HasMoreOutput if out.len() < most => out.resize(out.len().saturating_mul(2).min(most), 0),
            _ => return Err(StatusError::Inflate.into()),
        }
    }
}

/// Deflates as hard as there is: a list is compressed once and fetched often.
pub(crate) fn deflate(bytes: &[u8]) -> Vec<u8> {
    compress_to_vec_zlib(bytes, 9)
}

/// Bytes to begin with.
const FIRST: usize = 4096;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn code(stream: &[u8], max: usize) -> &'static str {
        inflate(stream, max).map_or_else(|error| error.code(), |_| "ok")
    }

    #[test]
    fn a_stream_is_complete_and_alone() {
        // The two bytes b9 a3 as the draft gives them.
        let stream = [0x78, 0xda, 0xdb, 0xb9, 0x18, 0x00, 0x02, 0x17, 0x01, 0x5d];
        assert_eq!(inflate(&stream, 2).unwrap(), [0xb9, 0xa3]);
        for len in 0..stream.len() {
            assert_eq!(code(&stream[..len], 100), "Status.Inflate", "{len} bytes");
        }
        assert_eq!(code(&[&stream[..], &[0]].concat(), 100), "Status.Inflate");
        assert_eq!(code(&[&stream[..], &stream[..]].concat(), 100), "Status.Inflate");
        for at in 0..stream.len() {
            for bit in 0..8 {
                let mut bad = stream;
                bad[at] ^= 1 << bit;
                // The last four bits before the checksum are padding; some others make it longer than allowed.
                assert_eq!(code(&bad, 100) == "ok", at == 5 && bit >= 4, "byte {at}, bit {bit}");
            }
        }
    }

    #[test]
    fn a_dictionary_is_refused() {
        // CMF 78, FLG with FDICT set and a right check, then the dictionary's id.
        let header = [0x78, 0xbb, 0, 0, 0, 1];
        let raw = miniz_oxide::deflate::compress_to_vec(b"list", 6);
        let stream = [&header[..], &raw[..], &[0x04, 0x49, 0x01, 0xbd]].concat();
        assert_eq!(code(&stream, 100), "Status.Inflate");
    }

    #[test]
    fn the_limit_is_exact_and_a_bomb_costs_no_more() {
        for len in [0, 1, 4095, 4096, 4097, 8192, 8193, 100_000] {
            let stream = deflate(&vec![7; len]);
            assert_eq!(inflate(&stream, len).unwrap(), vec![7; len]);
            if let Some(less) = len.checked_sub(1) {
                assert_eq!(code(&stream, less), "Limit.Inflated");
            }
        }
        let bomb = deflate(&vec![0; 16 << 20]);
        assert!(bomb.len() < 20_000);
        assert_eq!(code(&bomb, 1 << 20), "Limit.Inflated");
    }

    proptest! {
        #[test]
        fn what_is_deflated_inflates(bytes in proptest::collection::vec(any::<u8>(), 0..2000), extra in 0..3_usize) {
            prop_assert_eq!(inflate(&deflate(&bytes), bytes.len() + extra).unwrap(), bytes);
        }

        #[test]
        fn any_bytes_inflate_within_the_limit_or_not_at_all(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let stream = [&[0x78, 0xda][..], &bytes].concat();
            prop_assert!(inflate(&stream, 1000).map_or(true, |out| out.len() <= 1000));
        }
    }
}
