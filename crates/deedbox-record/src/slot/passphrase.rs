//! Slots opened by a passphrase.

use core::fmt;

use deedbox_cbor::{ItemBuf, Writer};
use deedbox_crypto::{
    password::{Argon2Params, argon2id},
    secret::SecretBytes,
};
use rand_core::CryptoRng;

use super::{Passphrase, SlotType};
use crate::UnlockError;

/// What one guess of a passphrase costs: Argon2id's memory in KiB, passes and lanes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PassphraseCost {
    m_kib: u32,
    t: u32,
    p: u32,
}

impl PassphraseCost {
    /// 64 MiB, 3 passes, 1 lane.
    pub const DEFAULT: Self = Self { m_kib: 64 << 10, t: 3, p: 1 };
    /// The least for a passphrase with an account secret: 19 MiB, 2 passes.
    pub const FLOOR: Self = Self { m_kib: 19 << 10, t: 2, p: 1 };
    /// The least for a passphrase alone: 64 MiB, 3 passes.
    pub const FLOOR_ALONE: Self = Self::DEFAULT;
    /// The most: 1 GiB, 10 passes, 4 lanes.
    pub const CEILING: Self = Self { m_kib: 1 << 20, t: 10, p: 4 };

    /// Other costs; floor and ceiling are checked before anything is hashed.
    #[must_use]
    pub const fn new(m_kib: u32, t: u32, p: u32) -> Self {
        Self { m_kib, t, p }
    }

    /// Memory in KiB.
    #[must_use]
    pub const fn m_kib(&self) -> u32 {
        self.m_kib
    }

    /// Passes.
    #[must_use]
    pub const fn t(&self) -> u32 {
        self.t
    }

    /// Lanes.
    #[must_use]
    pub const fn p(&self) -> u32 {
        self.p
    }

    const fn check(&self, kind: SlotType) -> Result<(), UnlockError> {
        let floor = match kind {
            SlotType::PassphraseOnly => Self::FLOOR_ALONE,
            _ => Self::FLOOR,
        };
        if self.m_kib < floor.m_kib || self.t < floor.t || self.p < floor.p {
            return Err(UnlockError::WeakParameters);
        }
        if self.m_kib > Self::CEILING.m_kib || self.t > Self::CEILING.t || self.p > Self::CEILING.p {
            return Err(UnlockError::ParametersTooCostly);
        }
        Ok(())
    }
}

impl Default for PassphraseCost {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// Sixteen random bytes that the person's devices hold and the host never sees: they make guessing the passphrase
/// hopeless for whoever has the header only.
///
/// ```compile_fail
/// fn copy(secret: &deedbox_record::AccountSecret) -> deedbox_record::AccountSecret { secret.clone() }
/// ```
pub struct AccountSecret(SecretBytes<16>);

impl AccountSecret {
    /// Draws a new one.
    #[must_use]
    pub fn generate(rng: &mut impl CryptoRng) -> Self {
        Self(SecretBytes::generate(rng))
    }

    /// Takes the bytes that a device kept.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(SecretBytes::from_bytes(bytes))
    }

    /// The bytes, for a device to keep.
    #[must_use]
    pub fn expose(&self) -> &[u8; 16] {
        self.0.expose()
    }
}

impl fmt::Debug for AccountSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccountSecret").finish_non_exhaustive()
    }
}

/// Hashes a passphrase, if the cost is within bounds; otherwise nothing runs.
pub(crate) fn stretch(
    passphrase: &Passphrase<'_>,
    salt: &[u8; 16],
    cost: PassphraseCost,
    kind: SlotType,
) -> Result<SecretBytes<32>, UnlockError> {
    cost.check(kind)?;
    #[cfg(all(feature = "std", any(test, feature = "test-util")))]
    crate::test_util::count_derivation();
    let params = Argon2Params { m_kib: cost.m_kib, t: cost.t, p: cost.p };
    argon2id(passphrase.bytes(), salt, &params).map_err(|_| UnlockError::Rejected)
}

/// Writes the parameters with a fresh salt, and gives it.
pub(crate) fn write_params(cost: PassphraseCost, writer: &mut Writer, rng: &mut impl CryptoRng) -> [u8; 16] {
    let mut salt = [0; 16];
    rng.fill_bytes(&mut salt);
    writer.map(|map| {
        for (key, value) in [(1, cost.m_kib), (2, cost.t), (3, cost.p)] {
            map.int(key, |w| {
                w.uint(value.into());
            });
        }
        map.int(4, |w| {
            w.bytes(&salt);
        });
    });
    salt
}

/// Reads the parameters: exactly those four.
pub(crate) fn read_params(params: &ItemBuf) -> Option<(PassphraseCost, [u8; 16])> {
    let mut fields = params.as_item().as_map()?.fields();
    let cost = PassphraseCost {
        m_kib: fields.required(1)?.as_u32()?,
        t: fields.required(2)?.as_u32()?,
        p: fields.required(3)?.as_u32()?,
    };
    let salt = fields.required(4)?.as_byte_array()?;
    fields.finish()?;
    Some((cost, salt))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Nothing is hashed here: the ceiling takes a gibibyte.
    #[test]
    fn floor_and_ceiling_themselves_are_allowed_and_nothing_beyond() {
        let (m_kib, t, p) = (1 << 20, 10, 4);
        for kind in [SlotType::Passphrase, SlotType::PassphraseOnly] {
            for cost in [(m_kib, t, p), (m_kib, 3, 1), (64 << 10, t, 1), (64 << 10, 3, p), (64 << 10, 3, 1)] {
                assert_eq!(PassphraseCost::new(cost.0, cost.1, cost.2).check(kind), Ok(()), "{cost:?}");
            }
            for cost in [(m_kib + 1, 3, 1), (64 << 10, t + 1, 1), (64 << 10, 3, p + 1)] {
                let refused = Err(UnlockError::ParametersTooCostly);
                assert_eq!(PassphraseCost::new(cost.0, cost.1, cost.2).check(kind), refused, "{cost:?}");
            }
        }
        assert_eq!(PassphraseCost::FLOOR.check(SlotType::Passphrase), Ok(()));
        assert_eq!(PassphraseCost::FLOOR.check(SlotType::PassphraseOnly), Err(UnlockError::WeakParameters));
    }
}
