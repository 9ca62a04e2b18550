//! Sealing secrets with KMS. A sealed secret opens only for the client, account and purpose it was sealed for.

use std::collections::HashMap;

use aws_config::SdkConfig;
use aws_sdk_kms::{Client, primitives::Blob};
use base64::{Engine, prelude::BASE64_STANDARD};
use secrecy::{ExposeSecret, SecretString};

use super::AwsError;
use crate::{
    accounts::credentials::Secrets,
    sealed::Sealed,
    webhooks::{Subscription, Target},
};

/// What a secret belongs to. KMS binds it to the ciphertext and writes it to its audit log, so it holds ids only.
#[derive(Debug, Clone)]
pub struct Context {
    /// Whose it is: [`crate::accounts::Owner::partition`].
    pub client: String,
    /// The account or order it belongs to.
    pub account: String,
    /// What it is for.
    pub purpose: &'static str,
}

/// The credentials key.
#[derive(Clone)]
pub struct Vault {
    kms: Client,
    key_id: String,
}

impl Vault {
    /// Seals with the key `key_id`.
    pub fn new(config: &SdkConfig, key_id: String) -> Self {
        Self { kms: Client::new(config), key_id }
    }

    /// Encrypts up to 4,096 bytes.
    pub async fn seal(&self, context: &Context, secret: &[u8]) -> Result<Sealed, AwsError> {
        let sealed = self
            .kms
            .encrypt()
            .key_id(&self.key_id)
            .set_encryption_context(Some(context.to_map()))
            .plaintext(Blob::new(secret))
            .send()
            .await
            .map_err(AwsError::call("kms:Encrypt"))?;
        let blob = sealed.ciphertext_blob.ok_or_else(empty_answer)?;
        Ok(Sealed::from_base64(BASE64_STANDARD.encode(blob)))
    }

    /// Decrypts what was sealed with the same `context`.
    pub async fn open(&self, context: &Context, sealed: &Sealed) -> Result<Vec<u8>, AwsError> {
        let blob = BASE64_STANDARD
            .decode(sealed.as_base64())
            .map_err(AwsError::corrupt("sealed secret"))?;
        let opened = self
            .kms
            .decrypt()
            .key_id(&self.key_id)
            .set_encryption_context(Some(context.to_map()))
            .ciphertext_blob(Blob::new(blob))
            .send()
            .await
            .map_err(AwsError::call("kms:Decrypt"))?;
        Ok(opened.plaintext.ok_or_else(empty_answer)?.into_inner())
    }

    /// Decrypts a text that was sealed with the same `context`.
    pub async fn open_text(
        &self,
        context: &Context,
        sealed: &Sealed,
    ) -> Result<SecretString, AwsError> {
        let bytes = self.open(context, sealed).await?;
        // The error of the conversion would quote the secret.
        let text = String::from_utf8(bytes).map_err(|_| "it is no text");
        Ok(text.map_err(AwsError::corrupt("a sealed text"))?.into())
    }
}

impl Vault {
    /// Seals a bundle of secrets; `None` if there is nothing to seal.
    pub async fn seal_secrets(
        &self,
        context: &Context,
        secrets: &Secrets,
    ) -> Result<Option<Sealed>, AwsError> {
        if secrets.is_empty() {
            return Ok(None);
        }
        let bytes = secrets.to_bytes().map_err(AwsError::corrupt("a bundle of secrets"))?;
        Ok(Some(self.seal(context, &bytes).await?))
    }

    /// Opens what [`Vault::seal_secrets`] sealed.
    pub async fn open_secrets(
        &self,
        context: &Context,
        sealed: &Sealed,
    ) -> Result<Secrets, AwsError> {
        let bytes = self.open(context, sealed).await?;
        Secrets::from_bytes(&bytes).map_err(AwsError::corrupt("a bundle of secrets"))
    }
}

impl Vault {
    /// Seals the user and password of a URL, if it has them.
    pub async fn seal_userinfo(
        &self,
        context: &Context,
        userinfo: Option<SecretString>,
    ) -> Result<Option<Sealed>, AwsError> {
        match userinfo {
            Some(text) => self.seal(context, text.expose_secret().as_bytes()).await.map(Some),
            None => Ok(None),
        }
    }

    /// Seals the users and passwords of webhooks' URLs.
    pub async fn seal_targets(
        &self,
        context: &Context,
        subscriptions: Vec<Subscription>,
    ) -> Result<Vec<Target>, AwsError> {
        let mut targets = Vec::new();
        for Subscription { kind, url, userinfo } in subscriptions {
            let userinfo = self.seal_userinfo(context, userinfo).await?;
            targets.push(Target { kind, url: url.into(), userinfo });
        }
        Ok(targets)
    }
}

fn empty_answer() -> AwsError {
    AwsError::Corrupt("a KMS answer", "it holds nothing".into())
}

impl Context {
    fn to_map(&self) -> HashMap<String, String> {
        [("client", self.client.as_str()), ("account", &self.account), ("purpose", self.purpose)]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into()
    }
}
