//! Whether a webhook is signed with a secret, as its receiver finds out: with Standard Webhooks' own library, and with a
//! plain HMAC. None of the code that signs is used here, so that a mistake there is seen.

use std::fmt;

use axum::http::{HeaderMap, HeaderName};
use data_encoding::{DecodeError, HEXLOWER_PERMISSIVE};
use hmac::{Hmac, Mac, digest::InvalidLength};
use secrecy::{ExposeSecret, SecretString};
use sha2::Sha256;
use spelter::webhooks::signing::BODY_SIGNATURE;
use standardwebhooks::{Webhook, WebhookError};

/// What a secret begins with that Standard Webhooks' libraries do not take.
const PREFIX: &str = "zn_";

/// A secret to check with.
pub(crate) struct Secret {
    text: SecretString,
    standard: Webhook,
}

/// A text that is no secret. It does not say which.
#[derive(Debug, thiserror::Error)]
#[error("a webhook secret is `zn_whsec_` and base64 after it")]
pub(crate) struct NoSecret;

/// What a signature is worth.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Whoever has the secret signed this body.
    Valid,
    /// Nobody did, and why that is known.
    Invalid(String),
    /// There is no secret to check with.
    NotChecked,
}

/// What the two signatures of one webhook are worth.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Verdicts {
    /// Standard Webhooks' `webhook-signature`, with its time.
    pub(crate) standard: Verdict,
    /// `X-Webhook-Signature`, of the body alone.
    pub(crate) body: Verdict,
}

impl Secret {
    /// Reads `zn_whsec_…`.
    pub(crate) fn parse(text: SecretString) -> Result<Self, NoSecret> {
        let standard = text.expose_secret().strip_prefix(PREFIX).ok_or(NoSecret)?;
        if !standard.starts_with("whsec_") {
            return Err(NoSecret);
        }
        let standard = Webhook::new(standard).map_err(|_| NoSecret)?;
        Ok(Self { text, standard })
    }

    /// Checks both signatures of a webhook that has just arrived.
    pub(crate) fn check(&self, headers: &HeaderMap, body: &[u8]) -> Verdicts {
        let standard = self.standard.verify(body, headers).map_err(|error| why(&error));
        Verdicts { standard: standard.into(), body: self.check_body(headers, body).into() }
    }

    fn check_body(&self, headers: &HeaderMap, body: &[u8]) -> Result<(), String> {
        let given = headers.get(BODY_SIGNATURE).ok_or_else(|| missing(&BODY_SIGNATURE))?;
        let given = HEXLOWER_PERMISSIVE.decode(given.as_bytes());
        let given = given.map_err(|_: DecodeError| "not hexadecimal".to_owned())?;
        let mac = Hmac::<Sha256>::new_from_slice(self.text.expose_secret().as_bytes());
        let mac = mac.map_err(|error: InvalidLength| error.to_string())?.chain_update(body);
        // In constant time.
        mac.verify_slice(&given).map_err(|_| OTHER.to_owned())
    }
}

impl Verdicts {
    /// Those without a secret.
    pub(crate) const NONE: Self = Self { standard: Verdict::NotChecked, body: Verdict::NotChecked };

    /// Whether both signatures are good.
    pub(crate) fn are_valid(&self) -> bool {
        self.standard == Verdict::Valid && self.body == Verdict::Valid
    }
}

impl From<Result<(), String>> for Verdict {
    fn from(checked: Result<(), String>) -> Self {
        checked.map_or_else(Self::Invalid, |()| Self::Valid)
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Valid => f.write_str("valid"),
            Self::Invalid(why) => write!(f, "INVALID: {why}"),
            Self::NotChecked => f.write_str("not checked"),
        }
    }
}

const OTHER: &str = "another secret signed it, or the body was changed";

fn missing(header: &HeaderName) -> String {
    format!("there is no header {header}")
}

/// The library's reasons in words that name the headers.
fn why(error: &WebhookError) -> String {
    match error {
        WebhookError::MissingHeader(header) => format!("there is no header webhook-{header}"),
        WebhookError::InvalidHeader(header) => format!("the header webhook-{header} is no text"),
        WebhookError::InvalidTimestamp => "the header webhook-timestamp is no time".to_owned(),
        WebhookError::TimestampTooOldError => "signed more than five minutes ago".to_owned(),
        WebhookError::FutureTimestampError => {
            "signed for a time more than five minutes from now".to_owned()
        }
        WebhookError::InvalidSignature => OTHER.to_owned(),
        WebhookError::InvalidPayload => "the body is no text".to_owned(),
        WebhookError::InvalidSecret(_) => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use axum::http::HeaderValue;
    use spelter::{
        clock,
        id::DeliveryId,
        webhooks::{
            EventKind,
            events::EventName,
            signing::{SigningSecret, headers},
        },
    };
    use uuid::Uuid;

    use super::*;

    const OURS: &str = "zn_whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
    const OTHERS: &str = "zn_whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const BODY: &str = r#"{"_type":"order_response"}"#;

    fn signed(secrets: &[&str], ago: Duration) -> HeaderMap {
        let secrets: Vec<_> =
            secrets.iter().map(|text| SigningSecret::stored((*text).into())).collect();
        let id = DeliveryId::new(Uuid::from_u128(7));
        let event = EventName::Request(EventKind::RequestSucceeded);
        headers(&id, event, clock::system() - ago, BODY, &secrets).unwrap()
    }

    fn check(headers: &HeaderMap, body: &str) -> Verdicts {
        Secret::parse(OURS.into()).unwrap().check(headers, body.as_bytes())
    }

    fn invalid(why: &str) -> Verdict {
        Verdict::Invalid(why.to_owned())
    }

    const NOW: Duration = Duration::ZERO;

    #[test]
    fn what_the_service_signs_is_valid() {
        let verdicts = check(&signed(&[OURS], NOW), BODY);
        assert_eq!(verdicts, Verdicts { standard: Verdict::Valid, body: Verdict::Valid });
        assert!(verdicts.are_valid());
    }

    #[test]
    fn another_secret_and_another_body_are_not() {
        let expected = Verdicts { standard: invalid(OTHER), body: invalid(OTHER) };
        assert_eq!(check(&signed(&[OTHERS], NOW), BODY), expected);
        assert_eq!(check(&signed(&[OURS], NOW), "{}"), expected);
        assert!(!expected.are_valid());
    }

    /// A signature of another program's, so that the signing code cannot be wrong together with this.
    #[test]
    fn the_body_is_checked_with_the_whole_secret() {
        // printf '{"a":"ü"}' | openssl dgst -sha256 -hmac zn_whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD
        let known = "040a81f15695060effd37bca85d87f58dc34628a77a093bee76128d19ab2db2d";
        let mut headers = HeaderMap::new();
        for text in [known.to_owned(), known.to_uppercase()] {
            headers.insert(BODY_SIGNATURE, HeaderValue::try_from(text).unwrap());
            assert_eq!(check(&headers, "{\"a\":\"ü\"}").body, Verdict::Valid);
        }
        for (text, why) in [("", OTHER), ("04", OTHER), ("g4", "not hexadecimal")] {
            headers.insert(BODY_SIGNATURE, HeaderValue::from_static(text));
            assert_eq!(check(&headers, "{\"a\":\"ü\"}").body, invalid(why));
        }
    }

    #[test]
    fn an_old_signature_is_good_for_the_body_alone() {
        let verdicts = check(&signed(&[OURS], Duration::from_mins(6)), BODY);
        assert_eq!(verdicts.standard, invalid("signed more than five minutes ago"));
        assert_eq!(verdicts.body, Verdict::Valid);
        assert!(!verdicts.are_valid());
    }

    #[test]
    fn a_missing_header_is_named() {
        for name in ["webhook-id", "webhook-timestamp", "webhook-signature"] {
            let mut headers = signed(&[OURS], NOW);
            headers.remove(name);
            let verdicts = check(&headers, BODY);
            assert_eq!(verdicts.standard, invalid(&format!("there is no header {name}")));
            assert_eq!(verdicts.body, Verdict::Valid);
        }
        let mut headers = signed(&[OURS], NOW);
        headers.remove(BODY_SIGNATURE);
        let verdicts = check(&headers, BODY);
        assert_eq!(verdicts.standard, Verdict::Valid);
        assert_eq!(verdicts.body, invalid("there is no header x-webhook-signature"));
    }

    #[test]
    fn one_of_two_signatures_is_enough_while_secrets_change() {
        for secrets in [[OURS, OTHERS], [OTHERS, OURS]] {
            let headers = signed(&secrets, NOW);
            assert!(headers["webhook-signature"].to_str().unwrap().contains(' '));
            assert_eq!(check(&headers, BODY).standard, Verdict::Valid);
        }
        // The other header has room for the newest only.
        assert_eq!(check(&signed(&[OTHERS, OURS], NOW), BODY).body, invalid(OTHER));
    }

    #[test]
    fn what_is_no_secret_is_refused() {
        for text in ["", "zn_", "whsec_C2FV", "zn_C2FV", "zn_whsec_!", "zn_test_C2FV"] {
            assert!(Secret::parse(text.into()).is_err(), "{text}");
        }
    }
}
