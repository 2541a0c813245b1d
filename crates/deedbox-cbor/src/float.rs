//! Shortest floats, RFC 8949 §4.1.

/// The half float's value, exactly.
pub(crate) fn from_half(bits: u16) -> f64 {
    let sign = if bits & 0x8000 == 0 { 1.0 } else { -1.0 };
    let exponent = i32::from((bits >> 10) & 0x1f);
    let mantissa = f64::from(bits & 0x3ff);
    match exponent {
        0 => sign * mantissa * power_of_two(-24),
        31 if mantissa == 0.0 => sign * f64::INFINITY,
        31 => f64::NAN,
        _ => sign * (1024.0 + mantissa) * power_of_two(exponent - 25),
    }
}

/// The half float of exactly this value, if there is one; no NaN.
pub(crate) fn to_half(value: f64) -> Option<u16> {
    let bits = to_single(value)?.to_bits();
    let sign = u16::try_from(bits >> 31).ok()? << 15;
    let exponent = i32::try_from((bits >> 23) & 0xff).ok()? - 127;
    let mantissa = bits & 0x7f_ffff;
    match exponent {
        128 => Some(sign | 0x7c00),
        -127 if mantissa == 0 => Some(sign),
        -14..=15 if mantissa & 0x1fff == 0 => {
            let exponent = u16::try_from(exponent + 15).ok()?;
            Some(sign | (exponent << 10) | u16::try_from(mantissa >> 13).ok()?)
        }
        -24..=-15 => {
            let whole = mantissa | 0x80_0000;
            let shift = u32::try_from(-1 - exponent).ok()?;
            let kept = whole.checked_shr(shift)?;
            (kept.checked_shl(shift)? == whole).then_some(sign | u16::try_from(kept).ok()?)
        }
        _ => None,
    }
}

/// The single float of exactly this value, if there is one; no NaN.
#[expect(clippy::cast_possible_truncation, reason = "compared with the original right after")]
pub(crate) fn to_single(value: f64) -> Option<f32> {
    let single = value as f32;
    (f64::from(single).to_bits() == value.to_bits() && !value.is_nan()).then_some(single)
}

fn power_of_two(exponent: i32) -> f64 {
    // Within the normal range for all half floats: -24 to 6.
    f64::from_bits(u64::try_from(exponent + 1023).unwrap_or(0) << 52)
}
