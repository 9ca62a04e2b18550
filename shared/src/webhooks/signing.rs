//! How a receiver knows that a webhook is ours: Standard Webhooks 1.0.0, and the header of Zinc's current API.
//!
//! One secret does both: `zn_whsec_<base64>`. As it is, it is the key of `X-Webhook-Signature`; without `zn_` it is the
//! secret that Standard Webhooks' libraries take.

use data_encoding::{BASE64, HEXLOWER};
use hmac::{Hmac, Mac};
use http::{HeaderMap, HeaderName, HeaderValue, header::InvalidHeaderValue};
use jiff::Timestamp;
use rand::Rng;
use secrecy::{ExposeSecret, SecretString};
use sha2::Sha256;
use standardwebhooks::{
    HEADER_WEBHOOK_ID, HEADER_WEBHOOK_SIGNATURE, HEADER_WEBHOOK_TIMESTAMP, Webhook, WebhookError,
};

use super::events::EventName;
use crate::id::DeliveryId;

/// What a secret begins with.
const PREFIX: &str = "zn_";
/// What a Standard Webhooks secret begins with.
const STANDARD_PREFIX: &str = "whsec_";
/// Standard Webhooks wants 24 to 64.
const SECRET_BYTES: usize = 24;

/// The event's name.
pub const EVENT: HeaderName = HeaderName::from_static("x-webhook-event");
/// The hexadecimal HMAC-SHA256 of the body.
pub const BODY_SIGNATURE: HeaderName = HeaderName::from_static("x-webhook-signature");

/// A secret that webhooks are signed with.
#[derive(Clone)]
pub struct SigningSecret(SecretString);

/// A webhook that could not be signed: a secret that is none.
#[derive(Debug, thiserror::Error)]
pub enum NotSigned {
    /// The secret is no Standard Webhooks secret, or the body is no text.
    #[error("the signing secret cannot be used")]
    Secret(#[source] WebhookError),
    /// No secret was given.
    #[error("there is no signing secret")]
    NoSecret,
    /// A value does not fit a header.
    #[error("a signature does not fit its header")]
    Header(#[from] InvalidHeaderValue),
}

impl SigningSecret {
    /// A new one.
    pub fn generate(random: &mut impl Rng) -> Self {
        let bytes: [u8; SECRET_BYTES] = random.random();
        Self(format!("{PREFIX}{STANDARD_PREFIX}{}", BASE64.encode(&bytes)).into())
    }

    /// One that was stored.
    pub fn stored(text: SecretString) -> Self {
        Self(text)
    }

    /// For the client, and for the vault.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }

    fn standard(&self) -> Result<Webhook, NotSigned> {
        let text = self.expose();
        Webhook::new(text.strip_prefix(PREFIX).unwrap_or(text)).map_err(NotSigned::Secret)
    }

    fn body_signature(&self, body: &str) -> String {
        // HMAC takes keys of any length.
        let mac = Hmac::<Sha256>::new_from_slice(self.expose().as_bytes());
        let digest = mac.map(|mac| mac.chain_update(body).finalize().into_bytes());
        digest.map(|digest| HEXLOWER.encode(&digest)).unwrap_or_default()
    }
}

/// The headers of one try. `secrets` are those that are live, the newest first: Standard Webhooks' header is signed with
/// each, Zinc's, which has room for one, with the newest.
///
/// `sent_at` is the time of this try: receivers refuse what is older than five minutes.
pub fn headers(
    id: &DeliveryId,
    event: EventName,
    sent_at: Timestamp,
    body: &str,
    secrets: &[SigningSecret],
) -> Result<HeaderMap, NotSigned> {
    let newest = secrets.first().ok_or(NotSigned::NoSecret)?;
    let seconds = sent_at.as_second();
    let sign = |secret: &SigningSecret| {
        let signed = secret.standard()?.sign(id.as_str(), seconds, body.as_bytes());
        signed.map_err(NotSigned::Secret)
    };
    let signatures = secrets.iter().map(sign).collect::<Result<Vec<_>, _>>()?;
    let mut headers = HeaderMap::new();
    for (name, value) in [
        (HeaderName::from_static(HEADER_WEBHOOK_ID), id.to_string()),
        (HeaderName::from_static(HEADER_WEBHOOK_TIMESTAMP), seconds.to_string()),
        (HeaderName::from_static(HEADER_WEBHOOK_SIGNATURE), signatures.join(" ")),
        (EVENT, event.as_str().to_owned()),
        (BODY_SIGNATURE, newest.body_signature(body)),
    ] {
        headers.insert(name, HeaderValue::try_from(value)?);
    }
    Ok(headers)
}

#[cfg(test)]
mod tests {
    use rand::{SeedableRng, rngs::StdRng};

    use super::*;
    use crate::{id::Id, webhooks::EventKind};

    fn secret(seed: u64) -> SigningSecret {
        SigningSecret::generate(&mut StdRng::seed_from_u64(seed))
    }

    fn signed(secrets: &[SigningSecret]) -> HeaderMap {
        let event = EventName::Request(EventKind::RequestSucceeded);
        let id: DeliveryId = Id::new(uuid::Uuid::from_u128(7));
        headers(&id, event, crate::clock::system(), "{\"a\":\"ü\"}", secrets).unwrap()
    }

    #[test]
    fn a_secret_has_the_form_of_both_specifications() {
        let secret = secret(1);
        let standard = secret.expose().strip_prefix("zn_whsec_").unwrap();
        assert_eq!(BASE64.decode(standard.as_bytes()).unwrap().len(), 24);
        assert_ne!(secret.expose(), self::secret(2).expose());
    }

    #[test]
    fn the_librarys_verifier_accepts_each_live_secret_and_no_other() {
        let (new, old) = (secret(1), secret(2));
        let headers = signed(&[new.clone(), old.clone()]);
        let body = "{\"a\":\"ü\"}".as_bytes();
        for live in [&new, &old] {
            live.standard().unwrap().verify(body, &headers).unwrap();
        }
        assert!(secret(3).standard().unwrap().verify(body, &headers).is_err());
        assert!(new.standard().unwrap().verify(b"{}", &headers).is_err());
        assert_eq!(headers[EVENT], "request_succeeded");
    }

    #[test]
    fn the_body_is_signed_with_the_whole_newest_secret() {
        let secret = SigningSecret::stored("zn_whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD".into());
        let headers = signed(&[secret, self::secret(2)]);
        // printf '{"a":"ü"}' | openssl dgst -sha256 -hmac zn_whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD
        let expected = "040a81f15695060effd37bca85d87f58dc34628a77a093bee76128d19ab2db2d";
        assert_eq!(headers[BODY_SIGNATURE], expected);
    }

    /// The vectors of the library's own tests.
    #[test]
    fn the_published_vectors_hold() {
        let secret = SigningSecret::stored("zn_whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD".into());
        let body = br#"{"email":"test@example.com","username":"test_user"}"#;
        let sign =
            secret.standard().unwrap().sign("msg_27UH4WbU6Z5A5EzD8u03UvzRbpk", 1_649_367_553, body);
        assert_eq!(sign.unwrap(), "v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw=");
    }

    #[test]
    fn nothing_is_sent_unsigned() {
        let event = EventName::Request(EventKind::StatusUpdated);
        let id: DeliveryId = Id::new(uuid::Uuid::from_u128(7));
        let now = crate::clock::system();
        assert!(matches!(headers(&id, event, now, "{}", &[]), Err(NotSigned::NoSecret)));
        let broken = SigningSecret::stored("zn_whsec_!".into());
        let refused = headers(&id, event, now, "{}", &[broken]);
        assert!(matches!(refused, Err(NotSigned::Secret(_))));
    }
}
