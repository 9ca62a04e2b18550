//! Hashes that only we can make: names for accounts and fingerprints of bodies that give nothing away.

use aws_config::SdkConfig;
use aws_sdk_kms::{Client, primitives::Blob, types::MacAlgorithmSpec};
use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};

use super::AwsError;
use crate::{accounts::EmailHash, email::Email};

/// The hash key. It never leaves KMS.
#[derive(Clone)]
pub struct KeyedHash {
    kms: Client,
    key_id: String,
}

impl KeyedHash {
    /// Hashes with the HMAC key `key_id`.
    pub fn new(config: &SdkConfig, key_id: String) -> Self {
        Self { kms: Client::new(config), key_id }
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

    async fn of(&self, purpose: &str, message: &[u8]) -> Result<String, AwsError> {
        let digest = Sha256::new().chain_update(purpose).chain_update([0]).chain_update(message);
        let mac = self
            .kms
            .generate_mac()
            .key_id(&self.key_id)
            .mac_algorithm(MacAlgorithmSpec::HmacSha256)
            .message(Blob::new(digest.finalize().to_vec()))
            .send()
            .await
            .map_err(AwsError::call("kms:GenerateMac"))?;
        let mac = mac.mac.ok_or_else(|| AwsError::Corrupt("a KMS answer", "no MAC".into()))?;
        Ok(HEXLOWER.encode(mac.as_ref()))
    }
}
