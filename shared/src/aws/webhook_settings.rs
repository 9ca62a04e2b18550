//! A client's own endpoint and the secrets that its webhooks are signed with, in the table of orders.

use aws_sdk_dynamodb::{
    Client,
    types::{ConditionCheck, Put},
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{
    AwsError, Item, keys, number,
    transaction::{self, Write},
    vault::{Context, Vault},
};
use crate::{accounts::Owner, clock, sealed::Sealed, webhooks::signing::SigningSecret};

/// What a client has said of its webhooks.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// Its own endpoint, without user and password.
    pub url: Option<String>,
    /// `user:password` of that, sealed.
    pub userinfo: Option<Sealed>,
    /// The newest first.
    pub secrets: Vec<SealedSecret>,
    /// Counts changes; 0 while nothing was stored.
    pub version: u64,
}

/// A signing secret as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SealedSecret {
    /// The secret.
    pub sealed: Sealed,
    /// Until when it signs, if it was replaced.
    #[serde(with = "clock::optional_millis", default)]
    pub until: Option<Timestamp>,
}

impl Settings {
    /// The secrets that sign at `now`, the newest first.
    pub fn live(&self, now: Timestamp) -> impl Iterator<Item = &SealedSecret> {
        self.secrets.iter().filter(move |secret| secret.until.is_none_or(|until| now < until))
    }

    /// The same with a new secret; the one before signs until `until`, and those before that sign no more.
    #[must_use]
    pub fn rotated(mut self, new: Sealed, until: Timestamp) -> Self {
        self.secrets.truncate(1);
        for before in &mut self.secrets {
            before.until = Some(until);
        }
        self.secrets.insert(0, SealedSecret { sealed: new, until: None });
        self
    }
}

#[derive(Serialize, Deserialize)]
struct Stored {
    pk: String,
    sk: String,
    #[serde(flatten)]
    settings: Settings,
}

/// The settings of all clients.
#[derive(Clone)]
pub struct WebhookSettings {
    db: Client,
    table: String,
}

/// What a client's secrets are sealed for.
fn signing_context(owner: &Owner) -> Context {
    let client = owner.partition();
    Context { account: client.clone(), client, purpose: "signing" }
}

/// What the user and password of a client's own endpoint are sealed for.
pub fn userinfo_context(owner: &Owner) -> Context {
    Context { purpose: "webhook", ..signing_context(owner) }
}

impl WebhookSettings {
    pub(super) fn new(db: Client, table: String) -> Self {
        Self { db, table }
    }

    /// What `owner` has said, as it is stored now.
    pub async fn get(&self, owner: &Owner) -> Result<Settings, AwsError> {
        let found = self
            .db
            .get_item()
            .table_name(&self.table)
            .set_key(Some(keys::owned(owner, keys::WEBHOOKS.to_owned())))
            .consistent_read(true)
            .send()
            .await
            .map_err(AwsError::call("dynamodb:GetItem"))?;
        found.item.map_or_else(|| Ok(Settings::default()), read)
    }

    /// Writes `settings` in place of what they were read from, and `also` something else; [`AwsError::Conflict`] if they
    /// have changed since.
    pub async fn save(
        &self,
        owner: &Owner,
        settings: Settings,
        also: Vec<Write>,
    ) -> Result<Settings, AwsError> {
        let read = settings.version;
        let settings = Settings { version: read.saturating_add(1), ..settings };
        let stored = Stored {
            pk: owner.partition(),
            sk: keys::WEBHOOKS.to_owned(),
            settings: settings.clone(),
        };
        let item = serde_dynamo::to_item(stored).map_err(AwsError::corrupt("webhook settings"))?;
        let mut put = Put::builder().table_name(&self.table).set_item(Some(item));
        put = if read == 0 {
            put.condition_expression("attribute_not_exists(pk)")
        } else {
            put.condition_expression("version = :read")
                .expression_attribute_values(":read", number(read))
        };
        let writes = [Write::put(put)?].into_iter().chain(also).collect();
        transaction::commit(&self.db, writes).await?;
        Ok(settings)
    }

    /// For a transaction that must not be written if `owner` has said something else since `settings` were read.
    pub fn unchanged(&self, owner: &Owner, settings: &Settings) -> Result<Write, AwsError> {
        let check = ConditionCheck::builder()
            .table_name(&self.table)
            .set_key(Some(keys::owned(owner, keys::WEBHOOKS.to_owned())))
            .condition_expression("version = :read")
            .expression_attribute_values(":read", number(settings.version));
        Write::check(check)
    }

    /// `settings` with a secret, if they had none: a client's webhooks are signed before it asks for the secret.
    pub async fn with_secret(
        &self,
        owner: &Owner,
        mut settings: Settings,
        vault: &Vault,
    ) -> Result<Settings, AwsError> {
        while settings.secrets.is_empty() {
            let (_, sealed) = new_secret(owner, vault).await?;
            let secrets = vec![SealedSecret { sealed, until: None }];
            settings = match self.save(owner, Settings { secrets, ..settings }, vec![]).await {
                // Somebody was faster; that secret is as good.
                Err(AwsError::Conflict) => self.get(owner).await?,
                saved => saved?,
            };
        }
        Ok(settings)
    }
}

/// A new secret of `owner`, and the same sealed.
pub async fn new_secret(owner: &Owner, vault: &Vault) -> Result<(SigningSecret, Sealed), AwsError> {
    let secret = SigningSecret::generate(&mut rand::rng());
    let sealed = vault.seal(&signing_context(owner), secret.expose().as_bytes()).await?;
    Ok((secret, sealed))
}

/// Opens a secret of `owner`.
pub async fn open_secret(
    owner: &Owner,
    secret: &SealedSecret,
    vault: &Vault,
) -> Result<SigningSecret, AwsError> {
    let text = vault.open_text(&signing_context(owner), &secret.sealed).await?;
    Ok(SigningSecret::stored(text))
}

pub(super) fn read(item: Item) -> Result<Settings, AwsError> {
    let stored: Stored =
        serde_dynamo::from_item(item).map_err(AwsError::corrupt("webhook settings"))?;
    Ok(stored.settings)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sealed(text: &str) -> Sealed {
        Sealed::from_base64(text.to_owned())
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn live(settings: &Settings, second: i64) -> Vec<&str> {
        settings.live(at(second)).map(|secret| secret.sealed.as_base64()).collect()
    }

    #[test]
    fn a_replaced_secret_signs_on_for_a_while() {
        let first = Settings::default().rotated(sealed("one"), at(0));
        assert_eq!(live(&first, 1_000_000), ["one"]);
        let second = first.rotated(sealed("two"), at(100));
        assert_eq!(live(&second, 99), ["two", "one"]);
        assert_eq!(live(&second, 100), ["two"]);
        let third = second.rotated(sealed("three"), at(200));
        assert_eq!(live(&third, 50), ["three", "two"], "there are never more than two");
    }
}
