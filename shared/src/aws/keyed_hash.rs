//! Hashes that only we can make: names for accounts and fingerprints of bodies that give nothing away.

use aws_config::SdkConfig;
use aws_sdk_kms::{Client, primitives::Blob, types::MacAlgorithmSpec};
use data_encoding::HEXLOWER;
use hmac::{Hmac, Mac, digest::InvalidLength};
use secrecy::{ExposeSecret, SecretSlice};
use sha2::Sha256;
use tokio::sync::OnceCell;

use super::AwsError;
use crate::{accounts::EmailHash, email::Email, orders::bundling::Group};

/// Hashes with a key that is derived from one in KMS, once for each process: the key itself never leaves KMS, and a
/// request costs no call to it.
pub struct KeyedHash {
    kms: Client,
    key_id: String,
    derived: OnceCell<SecretSlice<u8>>,
}

/// What the key is derived for. Another text would give every account another name.
const DERIVATION: &[u8] = b"spelter keyed hashes, version 1";

impl KeyedHash {
    /// Hashes with the HMAC key `key_id`.
    pub fn new(config: &SdkConfig, key_id: String) -> Self {
        Self { kms: Client::new(config), key_id, derived: OnceCell::new() }
    }

    /// The hash of an account's e-mail; the same for every spelling of it.
    pub async fn of_email(&self, email: &Email) -> Result<EmailHash, AwsError> {
        // 160 bits are enough never to collide and keep message group ids short.
        let mut hash = self.of("email", email.canonical().as_bytes()).await?;
        hash.truncate(40);
        Ok(EmailHash(hash))
    }

    /// The fingerprint of a request body. The body may hold a password or a card's code, which a plain hash would
    /// let somebody guess.
    pub async fn of_body(&self, body: &[u8]) -> Result<String, AwsError> {
        self.of("body", body).await
    }

    /// What orders have in common that may be bought together, without saying it: a card may be part of it.
    pub async fn of_group(&self, group: &[u8]) -> Result<Group, AwsError> {
        let mut hash = self.of("group", group).await?;
        hash.truncate(40);
        Ok(Group(hash))
    }

    async fn of(&self, purpose: &str, message: &[u8]) -> Result<String, AwsError> {
        let key = self.derived.get_or_try_init(|| self.derive()).await?;
        let mac = Hmac::<Sha256>::new_from_slice(key.expose_secret())
            .map_err(|error: InvalidLength| AwsError::Corrupt("a derived key", error.into()))?;
        let mac = mac.chain_update(purpose).chain_update([0]).chain_update(message);
        Ok(HEXLOWER.encode(&mac.finalize().into_bytes()))
    }

    async fn derive(&self) -> Result<SecretSlice<u8>, AwsError> {
        let answer = self
            .kms
            .generate_mac()
            .key_id(&self.key_id)
            .mac_algorithm(MacAlgorithmSpec::HmacSha256)
            .message(Blob::new(DERIVATION))
            .send()
            .await
            .map_err(AwsError::call("kms:GenerateMac"))?;
        let mac = answer.mac.ok_or_else(|| AwsError::Corrupt("a KMS answer", "no MAC".into()))?;
        Ok(mac.into_inner().into())
    }
}
