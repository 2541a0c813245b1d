//! Slots opened by several shares together: Shamir's secret sharing, byte by byte over GF(2^8).

use alloc::vec::Vec;
use core::{fmt, hint::black_box};

use deedbox_cbor::{ItemBuf, Limits, Order, Writer, read};
use deedbox_crypto::secret::SecretBytes;
use rand_core::CryptoRng;
use zeroize::Zeroizing;

use crate::ShareError;

/// How many shares of a set open a slot: `k` of `n`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Threshold {
    set: [u8; 16],
    k: u8,
    n: u8,
}

impl Threshold {
    /// The name of the set, which its shares carry.
    #[must_use]
    pub const fn set(&self) -> &[u8; 16] {
        &self.set
    }

    /// How many shares are needed.
    #[must_use]
    pub const fn k(&self) -> u8 {
        self.k
    }

    /// How many shares were made.
    #[must_use]
    pub const fn n(&self) -> u8 {
        self.n
    }

    /// Reads a slot's parameters: exactly those three, within bounds.
    ///
    /// ```cddl
    /// params = { 1: k: 2..255, 2: n: 2..255, 3: set: b16 }          ; k is at most n
    /// ```
    pub(crate) fn read_params(params: &ItemBuf) -> Option<Self> {
        let mut fields = params.as_item().as_map()?.fields();
        let (k, n) = (fields.required(1)?.as_u8()?, fields.required(2)?.as_u8()?);
        let set = fields.required(3)?.as_byte_array()?;
        fields.finish()?;
        is_threshold(k, n).then_some(Self { set, k, n })
    }

    pub(crate) fn write_params(&self, writer: &mut Writer) {
        writer.map(|map| {
            map.int(1, |w| {
                w.uint(self.k.into());
            });
            map.int(2, |w| {
                w.uint(self.n.into());
            });
            map.int(3, |w| {
                w.bytes(&self.set);
            });
        });
    }
}

/// Prints how many of how many.
impl fmt::Debug for Threshold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Threshold").field("k", &self.k).field("n", &self.n).finish_non_exhaustive()
    }
}

/// The secret that a set of shares stands for: drawn and split at once, or joined of enough shares.
///
/// ```
/// use deedbox_record::{Share, ShareError, ThresholdSecret};
/// # let mut rng = deedbox_testkit::rng::SeededRng::new(1);
/// let (secret, shares) = ThresholdSecret::split(2, 3, &mut rng)?;      // a share for each of three contacts
/// let sent: Vec<_> = shares.iter().map(Share::encode).collect();
///
/// let back = [Share::decode(&sent[2])?, Share::decode(&sent[0])?];     // any two of them
/// assert!(ThresholdSecret::join(secret.threshold(), &back).is_ok());
/// let too_few = ThresholdSecret::join(secret.threshold(), &back[..1]);
/// assert_eq!(too_few.err(), Some(ShareError::TooFew { missing: 1 }));
/// # Ok::<(), ShareError>(())
/// ```
/// ```compile_fail
/// fn copy(secret: &deedbox_record::ThresholdSecret) -> deedbox_record::ThresholdSecret { secret.clone() }
/// ```
pub struct ThresholdSecret {
    secret: Zeroizing<[u8; 32]>,
    threshold: Threshold,
}

impl ThresholdSecret {
    /// Draws a secret and makes `n` shares of it, any `k` of which give it back; fewer tell nothing about it.
    ///
    /// # Errors
    /// [`ShareError::Limit`] unless 2 ≤ `k` ≤ `n`. For a contact who may open alone there is another type of slot.
    pub fn split(k: u8, n: u8, rng: &mut impl CryptoRng) -> Result<(Self, Vec<Share>), ShareError> {
        if !is_threshold(k, n) {
            return Err(ShareError::Limit);
        }
        let mut set = [0; 16];
        rng.fill_bytes(&mut set);
        let mut secret = Zeroizing::new([0; 32]);
        rng.fill_bytes(&mut *secret);
        // Of x, x² and so on. Zero is among them: a polynomial known to be of full degree would tell those who hold k - 1
        // shares what the secret is not.
        let coefficients: Vec<SecretBytes<32>> = (1..k).map(|_| SecretBytes::generate(rng)).collect();
        let mut shares = Vec::with_capacity(n.into());
        shares.extend((1..=n).map(|index| Share { set, k, index, value: value_at(index, &secret, &coefficients) }));
        Ok((Self { secret, threshold: Threshold { set, k, n } }, shares))
    }

    /// Joins shares of the set that a slot names. The first `k` are used; who has more and is refused by the slot tries
    /// others, for one of those used is not what its contact was given.
    ///
    /// # Errors
    /// For any of the shares [`ShareError::OtherSet`], [`ShareError::OtherThreshold`], [`ShareError::Duplicate`]; then
    /// [`ShareError::TooFew`]. A share whose value is wrong is noticed by the slot, which does not open.
    pub fn join(threshold: &Threshold, shares: &[Share]) -> Result<Self, ShareError> {
        for (position, share) in shares.iter().enumerate() {
            if share.set != threshold.set {
                return Err(ShareError::OtherSet);
            }
            if share.k != threshold.k || share.index > threshold.n {
                return Err(ShareError::OtherThreshold);
            }
            if shares.iter().take(position).any(|earlier| earlier.index == share.index) {
                return Err(ShareError::Duplicate { index: share.index });
            }
        }
        let missing = usize::from(threshold.k).saturating_sub(shares.len());
        let used = shares.get(..threshold.k.into()).ok_or(ShareError::TooFew { missing })?;
        Ok(Self { secret: value_at_zero(used), threshold: *threshold })
    }

    /// How many of how many shares, and of which set.
    #[must_use]
    pub const fn threshold(&self) -> &Threshold {
        &self.threshold
    }

    pub(crate) fn expose(&self) -> &[u8; 32] {
        &self.secret
    }
}

impl fmt::Debug for ThresholdSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ThresholdSecret").finish_non_exhaustive()
    }
}

/// What one contact keeps. It travels sealed, and names neither the person nor the store.
///
/// ```cddl
/// share = [set: b16, k: 2..255, index: 1..255, value: b32]
/// ```
/// ```compile_fail
/// fn copy(share: &deedbox_record::Share) -> deedbox_record::Share { share.clone() }
/// ```
pub struct Share {
    set: [u8; 16],
    k: u8,
    index: u8,
    value: Zeroizing<[u8; 32]>,
}

impl Share {
    /// Reads a share of at most 56 bytes.
    ///
    /// # Errors
    /// [`ShareError::Malformed`].
    pub fn decode(bytes: &[u8]) -> Result<Self, ShareError> {
        Self::read(bytes).ok_or(ShareError::Malformed)
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        let item = read(bytes, Order::Canonical, &Limits::new(MAX_SHARE)).ok()?;
        let [set, k, index, value] = item.as_array()?.exactly()?;
        let (set, k, index) = (set.as_byte_array()?, k.as_u8()?, index.as_u8()?);
        if k < 2 || index == 0 {
            return None;
        }
        let mut own = Zeroizing::new([0; 32]);
        let value = value.as_bytes().filter(|value| value.len() == own.len())?;
        own.copy_from_slice(value);
        Some(Self { set, k, index, value: own })
    }

    /// The share's bytes, for its contact.
    #[must_use]
    pub fn encode(&self) -> Zeroizing<Vec<u8>> {
        // Reserved at full length, so that nothing is left behind by growing.
        let mut writer = Writer::with_capacity(MAX_SHARE);
        writer.array(4).bytes(&self.set).uint(self.k.into()).uint(self.index.into()).bytes(&*self.value);
        Zeroizing::new(writer.into_vec())
    }

    /// The name of its set, the same for all its shares.
    #[must_use]
    pub const fn set(&self) -> &[u8; 16] {
        &self.set
    }

    /// How many shares of the set are needed.
    #[must_use]
    pub const fn k(&self) -> u8 {
        self.k
    }

    /// Its number in the set, from 1.
    #[must_use]
    pub const fn index(&self) -> u8 {
        self.index
    }
}

impl fmt::Debug for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Share").finish_non_exhaustive()
    }
}

/// With k of 1 every share would be the secret itself.
const fn is_threshold(k: u8, n: u8) -> bool {
    2 <= k && k <= n
}

/// The polynomials' values at `x`, one for each byte (Horner's rule).
fn value_at(x: u8, constant: &[u8; 32], coefficients: &[SecretBytes<32>]) -> Zeroizing<[u8; 32]> {
    let mut values = Zeroizing::new([0; 32]);
    for row in coefficients.iter().rev().map(SecretBytes::expose).chain([constant]) {
        for (value, coefficient) in values.iter_mut().zip(row) {
            *value = mul(*value, x) ^ coefficient;
        }
    }
    values
}

/// The polynomials' values at 0, of as many shares as they have coefficients (Lagrange's formula).
fn value_at_zero(shares: &[Share]) -> Zeroizing<[u8; 32]> {
    let mut values = Zeroizing::new([0; 32]);
    for share in shares {
        let others = shares.iter().map(|other| other.index).filter(|index| *index != share.index);
        let weight = others.fold(1, |weight, index| mul(weight, mul(index, invert(index ^ share.index))));
        for (value, byte) in values.iter_mut().zip(&*share.value) {
            *value ^= mul(*byte, weight);
        }
    }
    values
}

/// The product in GF(2^8) modulo x⁸ + x⁴ + x³ + x + 1 (0x11b, the field of FIPS 197 §4.2), without a branch or an index
/// that depends on a factor.
fn mul(mut a: u8, b: u8) -> u8 {
    let mut product = 0;
    for bit in 0..8 {
        product ^= a & mask(b >> bit & 1);
        a = (a << 1) ^ (0x1b & mask(a >> 7));
    }
    product
}

/// The inverse, a^254: the product of a², a⁴ … a^128. That of 0 is 0.
fn invert(a: u8) -> u8 {
    let (mut power, mut inverse) = (a, 1);
    for _ in 0..7 {
        power = mul(power, power);
        inverse = mul(inverse, power);
    }
    inverse
}

/// All bits as `bit` is. The compiler is not to know that there are two cases only, or it might branch.
fn mask(bit: u8) -> u8 {
    black_box(bit.wrapping_neg())
}

/// An array's head, 16 and 32 bytes with theirs, and two numbers of at most two.
const MAX_SHARE: usize = 56;

#[cfg(test)]
mod tests;
