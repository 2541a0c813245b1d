//! Slots opened by 24 words (BIP-39, English list).

use alloc::{string::String, vec::Vec};
use core::fmt;

use deedbox_crypto::{hash::sha256, secret::SecretBytes};
use rand_core::CryptoRng;
use zeroize::Zeroizing;

use crate::PhraseError;

/// A recovery phrase: 32 random bytes, written down as 24 words.
///
/// ```compile_fail
/// fn copy(phrase: &deedbox_record::RecoveryPhrase) -> deedbox_record::RecoveryPhrase { phrase.clone() }
/// ```
pub struct RecoveryPhrase(SecretBytes<32>);

impl RecoveryPhrase {
    /// Draws a new phrase.
    #[must_use]
    pub fn generate(rng: &mut impl CryptoRng) -> Self {
        Self(SecretBytes::generate(rng))
    }

    /// Reads 24 words, separated by white space, in either case.
    ///
    /// # Errors
    /// [`PhraseError::Count`], then the first word that is not on the list, then [`PhraseError::Checksum`].
    pub fn parse(words: &str) -> Result<Self, PhraseError> {
        let list = words_of_the_list();
        let words: Vec<&str> = words.split_whitespace().collect();
        if words.len() != WORDS {
            return Err(PhraseError::Count);
        }
        // 24 words of 11 bits are 33 bytes: entropy and checksum.
        let mut bytes = Zeroizing::new([0_u8; 33]);
        let (mut held, mut bits, mut next) = (Zeroizing::new(0_u32), 0_u32, 0_usize);
        for (position, word) in (1..).zip(words) {
            let lower = Zeroizing::new(word.to_ascii_lowercase());
            let number = list.binary_search(&lower.as_str()).map_err(|_| PhraseError::UnknownWord { position })?;
            let number = u32::try_from(number).map_err(|_| PhraseError::UnknownWord { position })?;
            *held = (*held << 11) | number;
            bits += 11;
            while bits >= 8 {
                bits -= 8;
                let [.., byte] = (*held >> bits).to_be_bytes();
                if let Some(place) = bytes.get_mut(next) {
                    *place = byte;
                }
                next += 1;
                *held &= (1 << bits) - 1;
            }
        }
        let (entropy, rest) = bytes.split_first_chunk::<32>().ok_or(PhraseError::Count)?;
        if rest.first() != sha256(entropy).first() {
            return Err(PhraseError::Checksum);
        }
        SecretBytes::try_from_slice(entropy).map(Self).ok_or(PhraseError::Count)
    }

    /// The 24 words, separated by spaces: to be shown once and written down.
    #[must_use]
    pub fn words(&self) -> Zeroizing<String> {
        let list = words_of_the_list();
        let entropy = self.0.expose();
        let checksum = sha256(entropy);
        // Reserved at full length, so that nothing is left behind by growing: no word has more than 8 letters.
        let mut out = Zeroizing::new(String::with_capacity(WORDS * 9));
        let (mut held, mut bits) = (Zeroizing::new(0_u32), 0_u32);
        for byte in entropy.iter().chain(checksum.first()) {
            *held = (*held << 8) | u32::from(*byte);
            bits += 8;
            if bits >= 11 {
                bits -= 11;
                let number = usize::try_from(*held >> bits).unwrap_or_default();
                if !out.is_empty() {
                    out.push(' ');
                }
                out.push_str(list.get(number).copied().unwrap_or_default());
                *held &= (1 << bits) - 1;
            }
        }
        out
    }

    pub(crate) fn entropy(&self) -> &[u8; 32] {
        self.0.expose()
    }
}

impl fmt::Debug for RecoveryPhrase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RecoveryPhrase").finish_non_exhaustive()
    }
}

fn words_of_the_list() -> Vec<&'static str> {
    ENGLISH.lines().collect()
}

const WORDS: usize = 24;
/// The list of BIP-39, in alphabetical order.
const ENGLISH: &str = include_str!("english.txt");

#[cfg(test)]
mod tests {
    use alloc::{format, string::ToString};

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_list_is_that_of_bip39() {
        let hash: String = sha256(ENGLISH.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hash, "2f5eed53a4727b4bf8880d8f3f199efc90e58503646d9ff8eff3a2ed3b24dbda");
        let list = words_of_the_list();
        assert_eq!(list.len(), 2048);
        assert!(list.is_sorted() && list.iter().all(|word| word.len() <= 8));
    }

    /// From the test vectors of BIP-39 (trezor/python-mnemonic).
    #[test]
    fn published_phrases() {
        let art = ["abandon"; 23].join(" ") + " art";
        let vote = ["zoo"; 23].join(" ") + " vote";
        for (byte, words) in [(0, art), (0xff, vote)] {
            let phrase = RecoveryPhrase::parse(&words).unwrap();
            assert_eq!(phrase.entropy(), &[byte; 32]);
            assert_eq!(*phrase.words(), words);
        }
    }

    #[test]
    fn mistakes_are_named() {
        let words = ["abandon"; 23].join(" ") + " art";
        assert!(RecoveryPhrase::parse(&words.to_uppercase().replace(' ', "\n ")).is_ok());
        assert_eq!(RecoveryPhrase::parse("").err(), Some(PhraseError::Count));
        assert_eq!(RecoveryPhrase::parse(&(words.clone() + " art")).err(), Some(PhraseError::Count));
        let unknown = words.replacen("abandon", "abandom", 1);
        assert_eq!(RecoveryPhrase::parse(&unknown).err(), Some(PhraseError::UnknownWord { position: 1 }));
        let other = words.replace(" art", " zoo");
        assert_eq!(RecoveryPhrase::parse(&other).err(), Some(PhraseError::Checksum));
        let debug = format!("{:?}", RecoveryPhrase::parse(&words).unwrap());
        assert_eq!(debug, "RecoveryPhrase { .. }".to_string());
    }

    proptest! {
        #[test]
        fn round_trip(entropy: [u8; 32]) {
            let phrase = RecoveryPhrase(SecretBytes::from_bytes(entropy));
            let again = RecoveryPhrase::parse(&phrase.words()).unwrap();
            prop_assert_eq!(again.entropy(), &entropy);
        }
    }
}
