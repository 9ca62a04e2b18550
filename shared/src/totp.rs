//! Time-based one-time passwords (RFC 6238), as retailers ask for them at sign-in.

use std::{str::FromStr, time::Duration};

use data_encoding::{BASE32_NOPAD, Specification};
use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretSlice, SecretString};
use totp_rs::Builder;

use crate::fields::Unfit;

/// How long a code is valid, and the time from one to the next (RFC 6238, section 5.2).
pub const STEP: Duration = Duration::from_secs(30);

/// The number of the step at the time `at`, counted from 1970. One code belongs to each.
pub fn step(at: Timestamp) -> u64 {
    u64::try_from(at.as_millisecond() / STEP_MILLIS).unwrap_or_default()
}

/// How long the step at the time `at` still lasts.
pub fn rest_of_step(at: Timestamp) -> Duration {
    let passed = at.as_millisecond().rem_euclid(STEP_MILLIS);
    Duration::from_millis(u64::try_from(STEP_MILLIS - passed).unwrap_or_default())
}

/// The long secret behind the six-digit codes.
#[derive(Clone)]
pub struct TotpSecret {
    text: SecretString,
    key: SecretSlice<u8>,
}

const STEP_MILLIS: i64 = 30_000;
const MIN_KEY_BYTES: usize = 10;
const MAX_KEY_BYTES: usize = 128;

impl FromStr for TotpSecret {
    type Err = Unfit;

    /// Retailers show the secret in groups and in either case.
    fn from_str(text: &str) -> Result<Self, Unfit> {
        let text: String = text.chars().filter(|c| !c.is_whitespace() && *c != '-').collect();
        let text = text.trim_end_matches('=').to_ascii_uppercase();
        let key = lenient_base32().and_then(|base32| base32.decode(text.as_bytes()).ok());
        match key {
            Some(key) if (MIN_KEY_BYTES..=MAX_KEY_BYTES).contains(&key.len()) => {
                Ok(Self { text: text.into(), key: key.into() })
            }
            _ => Err(Unfit(
                "must be the base32 key shown at set-up, not a six-digit code".to_owned(),
            )),
        }
    }
}

impl TotpSecret {
    /// The secret in the form it is stored in, before encryption.
    pub fn text(&self) -> &SecretString {
        &self.text
    }

    /// The code for the time `at`.
    pub fn code(&self, at: Timestamp) -> SecretString {
        let seconds = u64::try_from(at.as_second()).unwrap_or_default();
        let totp =
            Builder::new().with_secret(self.key.expose_secret().to_vec()).build_noncompliant();
        totp.generate(seconds).to_string().into()
    }
}

/// RFC 4648 base32 that does not mind left-over bits: the document's own example ends in some.
fn lenient_base32() -> Option<data_encoding::Encoding> {
    let mut specification: Specification = BASE32_NOPAD.specification();
    specification.check_trailing_bits = false;
    specification.encoding().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_those_of_rfc_6238() {
        // Appendix B, SHA-1, cut to six digits: the ASCII secret "12345678901234567890".
        let secret: TotpSecret = "GEZD GNBV GY3T QOJQ GEZD GNBV GY3T QOJQ".parse().unwrap();
        for (seconds, code) in
            [(59, "287082"), (1_111_111_109, "081804"), (20_000_000_000, "353130")]
        {
            let at = Timestamp::from_second(seconds).unwrap();
            assert_eq!(secret.code(at).expose_secret(), code);
        }
    }

    #[test]
    fn a_step_lasts_until_the_next_begins() {
        let at = |millis: i64| Timestamp::from_millisecond(1_700_000_010_000 + millis).unwrap();
        assert_eq!([0, 1, 29_999].map(|millis| step(at(millis))), [step(at(0)); 3]);
        assert_eq!(step(at(30_000)), step(at(0)) + 1);
        assert_eq!(rest_of_step(at(0)), STEP);
        assert_eq!(rest_of_step(at(29_999)), Duration::from_millis(1));
    }

    #[test]
    fn spaces_and_case_do_not_matter() {
        let example = "3DE4 3ERE 23WE WIKJ GRSQ VOBG CO3D METM 2NO2 OGUX Z7U4 DP2H UYMA";
        let at = Timestamp::from_second(1_700_000_000).unwrap();
        let code =
            |text: &str| text.parse::<TotpSecret>().unwrap().code(at).expose_secret().to_owned();
        assert_eq!(code(example), code(&example.to_lowercase().replace(' ', "")));
    }

    #[test]
    fn other_texts_are_refused() {
        for text in
            ["", "123456", "not base 32!", "ABCDEFG1", "YOUR_64_CHARACTER_SECRET_KEY", "ABCD"]
        {
            assert!(text.parse::<TotpSecret>().is_err(), "{text}");
        }
    }
}
