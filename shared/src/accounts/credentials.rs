//! A login in the clear: it exists between the vault and a connector, and nowhere else.

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};

use crate::{email::Email, fields::Unfit, retailers::Card, totp::TotpSecret};

const MAX_SECRET_BYTES: usize = 1024;

/// What a connector signs in with.
pub struct Login {
    /// The account's name.
    pub email: Email,
    /// Its password.
    pub password: SecretString,
    /// Its second factor, if it has one.
    pub totp: Option<TotpSecret>,
    /// A code the retailer mailed, if the client sent one.
    pub verification_code: Option<SecretString>,
}

/// The secrets of one account or order: what is sealed as one bundle.
#[derive(Clone, Default)]
pub struct Secrets {
    /// The account's password.
    pub password: Option<SecretString>,
    /// The account's TOTP secret.
    pub totp: Option<TotpSecret>,
    /// A mailed code, of an order only.
    pub verification_code: Option<SecretString>,
    /// The card that pays, of an order only.
    pub card: Option<Card>,
}

impl Secrets {
    /// The login for `email`; `None` without a password.
    pub fn login(self, email: Email) -> Option<Login> {
        let password = self.password?;
        Some(Login { email, password, totp: self.totp, verification_code: self.verification_code })
    }

    /// Whether there is nothing to seal.
    pub fn is_empty(&self) -> bool {
        let Self { password, totp, verification_code, card } = self;
        password.is_none() && totp.is_none() && verification_code.is_none() && card.is_none()
    }

    /// The bundle as it is encrypted. Never stored or logged as it is.
    pub fn to_bytes(&self) -> Result<Vec<u8>, serde_json::Error> {
        let text = |secret: &SecretString| secret.expose_secret().to_owned();
        serde_json::to_vec(&Bundle {
            password: self.password.as_ref().map(text),
            totp: self.totp.as_ref().map(|totp| text(totp.text())),
            verification_code: self.verification_code.as_ref().map(text),
            card_number: self.card.as_ref().map(|card| text(&card.number)),
            security_code: self.card.as_ref().map(|card| text(&card.security_code)),
        })
    }

    /// The bundle as it was decrypted.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, MalformedSecrets> {
        let bundle: Bundle = serde_json::from_slice(bytes).map_err(|_| MalformedSecrets)?;
        let totp = bundle.totp.map(|text| text.parse()).transpose();
        Ok(Self {
            password: bundle.password.map(Into::into),
            totp: totp.map_err(|_: Unfit| MalformedSecrets)?,
            verification_code: bundle.verification_code.map(Into::into),
            card: bundle.card_number.zip(bundle.security_code).map(|(number, security_code)| {
                Card { number: number.into(), security_code: security_code.into() }
            }),
        })
    }
}

/// An opened bundle that cannot be read. It says no more: a parser's words would quote the secret.
#[derive(Debug, thiserror::Error)]
#[error("an opened bundle of secrets cannot be read")]
pub struct MalformedSecrets;

/// A secret of a length that fits its bundle into one KMS call (4,096 bytes).
pub fn bounded(text: String) -> Result<SecretString, Unfit> {
    if text.len() <= MAX_SECRET_BYTES {
        Ok(text.into())
    } else {
        Err(Unfit(format!("must not be longer than {MAX_SECRET_BYTES} bytes")))
    }
}

#[derive(Serialize, Deserialize)]
struct Bundle {
    #[serde(skip_serializing_if = "Option::is_none")]
    password: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    totp: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    verification_code: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    card_number: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    security_code: Option<String>,
}
