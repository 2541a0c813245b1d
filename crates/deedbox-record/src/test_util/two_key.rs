//! Makes a ciphertext with one tag under two ChaCha20-Poly1305 keys: one free block is solved for, mod 2^130 - 5.

use alloc::vec::Vec;

use deedbox_crypto::{kdf, label};

use crate::{ObjectKey, address::Place};

/// Key, base nonce and commitment of what `key` seals at `place`.
pub(crate) fn okm(key: &ObjectKey, prefix: &[u8; 8], salt: &[u8; 24], place: &Place) -> [u8; 76] {
    let mut okm = [0; 76];
    let info: [&[u8]; 8] = [
        label::CHUNKED.as_bytes(),
        salt,
        label::CONTEXT.as_bytes(),
        prefix,
        &place.store,
        &place.dataset,
        &place.object,
        &place.seq.to_be_bytes(),
    ];
    kdf::expand(key.secret().expose(), &info, &mut okm).unwrap();
    okm
}

/// `BLOCKS` blocks of ciphertext, at least 2, and the tag.
pub(crate) fn body<const BLOCKS: usize>(okms: &[[u8; 76]; 2]) -> Vec<u8> {
    let [(r1, s1), (r2, s2)] = okms.each_ref().map(|okm| {
        let block = chacha20_block(okm[..32].try_into().unwrap(), okm[32..44].try_into().unwrap());
        let r = u128::from_le_bytes(block[..16].try_into().unwrap()) & 0x0fff_fffc_0fff_fffc_0fff_fffc_0fff_ffff;
        (Fe::from(r), u128::from_le_bytes(block[16..32].try_into().unwrap()))
    });
    for attempt in 0_u128.. {
        let mut blocks = [0; BLOCKS];
        blocks[0] = attempt;
        // Σ with the last block 0 but for its leading one; then x·(r1² - r2²) closes the gap.
        let sum = |r: &Fe, blocks: &[u128; BLOCKS]| {
            let lengths = (16 * BLOCKS as u128) << 64;
            blocks.iter().chain([&lengths]).fold(Fe::default(), |sum, block| sum.add(&Fe::block(*block)).mul(r))
        };
        let gap = sum(&r2, &blocks).add(&Fe::from(s2)).sub(&sum(&r1, &blocks).add(&Fe::from(s1)));
        let x = gap.mul(&r1.mul(&r1).sub(&r2.mul(&r2)).invert());
        let Some(x) = x.as_u128() else { continue };
        blocks[BLOCKS - 1] = x;
        // A sum beyond 2^128 wraps differently for the two keys now and then: then the next attempt.
        let tags = [(r1, s1), (r2, s2)].map(|(r, s)| sum(&r, &blocks).low_u128().wrapping_add(s));
        if tags[0] == tags[1] {
            let mut body: Vec<u8> = blocks.iter().flat_map(|block| block.to_le_bytes()).collect();
            body.extend_from_slice(&tags[0].to_le_bytes());
            return body;
        }
    }
    Vec::new()
}

/// A number mod p = 2^130 - 5: high 2 bits and low 128.
#[derive(Clone, Copy, Default, PartialEq)]
struct Fe(u128, u128);

impl Fe {
    fn from(low: u128) -> Self {
        Self(0, low)
    }

    /// A full block: 2^128 is added to it.
    fn block(low: u128) -> Self {
        Self(1, low).reduce()
    }

    fn reduce(self) -> Self {
        let Self(mut high, mut low) = self;
        while high >= 4 {
            let carry = (high >> 2) * 5;
            let (sum, over) = low.overflowing_add(carry);
            low = sum;
            high = (high & 3) + u128::from(over);
        }
        if high == 3 && low >= u128::MAX - 4 {
            return Self(0, low - (u128::MAX - 4));
        }
        Self(high, low)
    }

    fn add(&self, other: &Self) -> Self {
        let (low, over) = self.1.overflowing_add(other.1);
        Self(self.0 + other.0 + u128::from(over), low).reduce()
    }

    fn neg(&self) -> Self {
        // p is (3, 2^128 - 5).
        let (low, under) = (u128::MAX - 4).overflowing_sub(self.1);
        Self(3 - self.0 - u128::from(under), low).reduce()
    }

    fn sub(&self, other: &Self) -> Self {
        self.add(&other.neg())
    }

    fn bit(&self, bit: u32) -> bool {
        if bit < 128 { self.1 >> bit & 1 == 1 } else { self.0 >> (bit - 128) & 1 == 1 }
    }

    fn mul(&self, other: &Self) -> Self {
        (0..130).rev().fold(Self::default(), |sum, bit| {
            let double = sum.add(&sum);
            if other.bit(bit) { double.add(self) } else { double }
        })
    }

    /// By Fermat: to the power of p - 2.
    fn invert(&self) -> Self {
        let exponent = Self(3, u128::MAX - 6);
        (0..130).rev().fold(Self::from(1), |power, bit| {
            let square = power.mul(&power);
            if exponent.bit(bit) { square.mul(self) } else { square }
        })
    }

    fn as_u128(self) -> Option<u128> {
        (self.0 == 0).then_some(self.1)
    }

    fn low_u128(self) -> u128 {
        self.1
    }
}

/// Block 0 of ChaCha20 (RFC 8439 §2.3).
fn chacha20_block(key: &[u8; 32], nonce: &[u8; 12]) -> [u8; 64] {
    let word = |bytes: &[u8]| u32::from_le_bytes(bytes.try_into().unwrap());
    let mut state = [0x6170_7865, 0x3320_646e, 0x7962_2d32, 0x6b20_6574, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    for (n, bytes) in key.chunks(4).enumerate() {
        state[4 + n] = word(bytes);
    }
    for (n, bytes) in nonce.chunks(4).enumerate() {
        state[13 + n] = word(bytes);
    }
    let start = state;
    for round in 0..20 {
        for column in 0..4 {
            let shift = |row: usize| if round % 2 == 0 { column } else { (column + row) % 4 };
            let [a, b, c, d] = [shift(0), 4 + shift(1), 8 + shift(2), 12 + shift(3)];
            for (x, y, z, turn) in [(a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)] {
                state[x] = state[x].wrapping_add(state[y]);
                state[z] = (state[z] ^ state[x]).rotate_left(turn);
            }
        }
    }
    let mut out = [0; 64];
    for (n, (word, start)) in state.iter().zip(start).enumerate() {
        out[4 * n..4 * n + 4].copy_from_slice(&word.wrapping_add(start).to_le_bytes());
    }
    out
}
