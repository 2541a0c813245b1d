//! The first bytes of an item: major type and argument, RFC 8949 §3.

use crate::{CborError, float};

/// A head, checked: shortest, definite, of an item that exists.
#[derive(Clone, Copy)]
pub(crate) struct Head {
    pub(crate) major: u8,
    /// The additional information, which tells floats and simple values apart.
    pub(crate) info: u8,
    pub(crate) argument: u64,
    pub(crate) len: usize,
}

impl Head {
    /// Reads the head at the start of `rest`, which lies at `offset`.
    #[inline]
    pub(crate) fn read(rest: &[u8], offset: usize) -> Result<Self, CborError> {
        let (&first, tail) = rest.split_first().ok_or(CborError::Eof { offset })?;
        let (major, info) = (first >> 5, first & 0x1f);
        if info < 24 {
            return Ok(Self { major, info, argument: u64::from(info), len: 1 });
        }
        let eof = CborError::Eof { offset };
        let (argument, len, least) = match info {
            24 => (u64::from(*tail.first().ok_or(eof)?), 2, 24),
            25 => (u64::from(u16::from_be_bytes(*tail.first_chunk().ok_or(eof)?)), 3, 1 << 8),
            26 => (u64::from(u32::from_be_bytes(*tail.first_chunk().ok_or(eof)?)), 5, 1 << 16),
            27 => (u64::from_be_bytes(*tail.first_chunk().ok_or(eof)?), 9, 1 << 32),
            31 if matches!(major, 2..=5 | 7) => return Err(CborError::Indefinite { offset }),
            _ => return Err(CborError::Reserved { offset }),
        };
        if major == 7 {
            check_seven(info, argument, offset)?;
        } else if argument < least {
            return Err(CborError::NonPreferred { offset });
        }
        Ok(Self { major, info, argument, len })
    }

    /// The integer, of either sign, that this head is.
    #[inline]
    pub(crate) fn as_i64(self) -> Option<i64> {
        let argument = i64::try_from(self.argument).ok()?;
        match self.major {
            0 => Some(argument),
            1 => Some(-1 - argument),
            _ => None,
        }
    }
}

/// The head at the start of checked bytes: its major type, additional information and argument, and what follows it.
#[inline]
pub(crate) fn trusted(bytes: &[u8]) -> Option<(Head, &[u8])> {
    let (&first, tail) = bytes.split_first()?;
    let (major, info) = (first >> 5, first & 0x1f);
    if info < 24 {
        return Some((Head { major, info, argument: u64::from(info), len: 1 }, tail));
    }
    let (argument, len, rest) = match info {
        24 => tail.split_first().map(|(byte, rest)| (u64::from(*byte), 2, rest))?,
        25 => tail.split_first_chunk().map(|(bytes, rest)| (u64::from(u16::from_be_bytes(*bytes)), 3, rest))?,
        26 => tail.split_first_chunk().map(|(bytes, rest)| (u64::from(u32::from_be_bytes(*bytes)), 5, rest))?,
        _ => tail.split_first_chunk().map(|(bytes, rest)| (u64::from_be_bytes(*bytes), 9, rest))?,
    };
    Some((Head { major, info, argument, len }, rest))
}

/// Simple values and floats of more than one byte.
fn check_seven(info: u8, argument: u64, offset: usize) -> Result<(), CborError> {
    let shorter = match info {
        24 if argument < 32 => return Err(CborError::Simple { offset }),
        24 => false,
        25 => {
            let bits = u16::try_from(argument).unwrap_or_default();
            float::from_half(bits).is_nan() && bits != 0x7e00
        }
        26 => {
            let value = f64::from(f32::from_bits(u32::try_from(argument).unwrap_or_default()));
            value.is_nan() || float::to_half(value).is_some()
        }
        _ => {
            let value = f64::from_bits(argument);
            value.is_nan() || float::to_single(value).is_some()
        }
    };
    if shorter { Err(CborError::NonPreferred { offset }) } else { Ok(()) }
}
