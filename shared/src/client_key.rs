//! Client keys: `zn_live_…` and `zn_test_…`, thirty random base62 characters and a checksum.
//!
//! Only a hash is stored. The keys are random enough that a plain SHA-256 gives nothing away.

use std::str::FromStr;

use data_encoding::HEXLOWER;
use rand::{Rng, distr::Alphanumeric};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};

use crate::retailers::Mode;

const RANDOM_CHARS: usize = 30;
const CHECKSUM_CHARS: usize = 6;
const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// A client's key in the clear.
pub struct ClientKey {
    mode: Mode,
    text: SecretString,
}

/// A text that is no client key. The checksum finds mistyped ones without a look-up.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a client key")]
pub struct InvalidKey;

impl ClientKey {
    /// A new key.
    pub fn generate(mode: Mode, rng: &mut impl Rng) -> Self {
        let random: String =
            rng.sample_iter(Alphanumeric).take(RANDOM_CHARS).map(char::from).collect();
        let checksum = checksum(&random);
        Self { mode, text: format!("{}{random}{checksum}", prefix(mode)).into() }
    }

    /// Whether it buys for real.
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// What it is stored and looked up by.
    pub fn hash(&self) -> String {
        HEXLOWER.encode(&Sha256::digest(self.text.expose_secret()))
    }

    /// The key itself, to be shown once.
    pub fn expose(&self) -> &str {
        self.text.expose_secret()
    }
}

impl FromStr for ClientKey {
    type Err = InvalidKey;

    fn from_str(text: &str) -> Result<Self, InvalidKey> {
        let with_prefix = |mode| text.strip_prefix(prefix(mode)).map(|rest| (mode, rest));
        let (mode, rest) =
            with_prefix(Mode::Live).or_else(|| with_prefix(Mode::Test)).ok_or(InvalidKey)?;
        let (random, sum) = rest.split_at_checked(RANDOM_CHARS).ok_or(InvalidKey)?;
        if random.chars().all(|c| c.is_ascii_alphanumeric()) && sum == checksum(random) {
            Ok(Self { mode, text: text.to_owned().into() })
        } else {
            Err(InvalidKey)
        }
    }
}

const fn prefix(mode: Mode) -> &'static str {
    match mode {
        Mode::Live => "zn_live_",
        Mode::Test => "zn_test_",
    }
}

fn checksum(random: &str) -> String {
    let mut rest = crc32fast::hash(random.as_bytes());
    let mut digits = Vec::with_capacity(CHECKSUM_CHARS);
    for _ in 0..CHECKSUM_CHARS {
        let digit = usize::try_from(rest % 62).ok().and_then(|digit| BASE62.get(digit));
        digits.extend(digit.map(|byte| char::from(*byte)));
        rest /= 62;
    }
    digits.into_iter().rev().collect()
}

#[cfg(test)]
mod tests {
    use rand::{SeedableRng, rngs::StdRng};

    use super::*;

    #[test]
    fn a_new_key_reads_back() {
        for mode in [Mode::Live, Mode::Test] {
            let key = ClientKey::generate(mode, &mut StdRng::seed_from_u64(7));
            let again: ClientKey = key.expose().parse().unwrap();
            assert_eq!((again.mode(), again.hash()), (mode, key.hash()));
            assert_eq!(key.expose().len(), 8 + RANDOM_CHARS + CHECKSUM_CHARS);
        }
    }

    #[test]
    fn a_changed_character_is_noticed() {
        let key = ClientKey::generate(Mode::Test, &mut StdRng::seed_from_u64(7));
        for position in 8..key.expose().len() {
            let mut changed: Vec<char> = key.expose().chars().collect();
            changed[position] = if changed[position] == 'a' { 'b' } else { 'a' };
            let changed: String = changed.into_iter().collect();
            assert!(changed.parse::<ClientKey>().is_err(), "{position}");
        }
        for text in ["", "zn_test_", "zn_other_abc", "sk_test_1"] {
            assert!(text.parse::<ClientKey>().is_err(), "{text}");
        }
    }
}
