//! Randomness that repeats.

use core::convert::Infallible;

use rand_core::{TryCryptoRng, TryRng};

/// A generator that gives the same bytes for the same seed: SplitMix64. It fits where `CryptoRng` is asked for **and is
/// unfit for anything but tests**: whoever sees a few bytes knows all that follow.
#[derive(Debug, Clone)]
pub struct SeededRng(u64);

impl SeededRng {
    /// Starts at `seed`.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn step(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

impl TryRng for SeededRng {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        let [.., a, b, c, d] = self.step().to_be_bytes();
        Ok(u32::from_be_bytes([a, b, c, d]))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(self.step())
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Infallible> {
        for chunk in out.chunks_mut(8) {
            let bytes = self.step().to_le_bytes();
            for (to, from) in chunk.iter_mut().zip(bytes) {
                *to = from;
            }
        }
        Ok(())
    }
}

impl TryCryptoRng for SeededRng {}

#[cfg(test)]
mod tests {
    use rand_core::{CryptoRng, Rng as _};

    use super::*;

    #[test]
    fn a_seed_gives_its_bytes_again() {
        fn fits(rng: &mut impl CryptoRng) -> [u8; 13] {
            let mut bytes = [0; 13];
            rng.fill_bytes(&mut bytes);
            bytes
        }
        assert_eq!(fits(&mut SeededRng::new(1)), fits(&mut SeededRng::new(1)));
        assert_ne!(fits(&mut SeededRng::new(1)), fits(&mut SeededRng::new(2)));
        // SplitMix64's published first output for seed 0.
        assert_eq!(SeededRng::new(0).next_u64(), 0xe220_a839_7b1d_cdaf);
    }
}
