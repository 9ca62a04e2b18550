//! Managed accounts and their sealed secrets.

use std::collections::{BTreeMap, HashMap};

use aws_config::SdkConfig;
use aws_sdk_dynamodb::{
    Client,
    error::SdkError,
    operation::put_item::PutItemError,
    types::{AttributeValue, ReturnValue, ReturnValuesOnConditionCheckFailure},
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use super::{AwsError, Item, key, number, text, vault::Context};
use crate::{
    accounts::{EmailHash, ManagedAccount, Owner},
    clock,
    email::Email,
    id::AccountId,
    retailers::RetailerCode,
    sealed::Sealed,
};

/// The table of managed accounts.
#[derive(Clone)]
pub struct Accounts {
    db: Client,
    table: String,
}

/// What an account's secrets are sealed for.
pub fn secrets_context(owner: &Owner, id: &AccountId) -> Context {
    Context { client: owner.partition(), account: id.to_string(), purpose: "login" }
}

#[derive(Serialize, Deserialize)]
struct Stored {
    pk: String,
    sk: String,
    id: AccountId,
    uuid: Uuid,
    owner: Owner,
    email: Email,
    email_hash: EmailHash,
    retailer: Option<RetailerCode>,
    has_totp: bool,
    has_forwarding: bool,
    /// JSON text: it may nest deeper than DynamoDB allows.
    retailer_config: String,
    #[serde(with = "clock::millis")]
    created_at: Timestamp,
    #[serde(with = "clock::millis")]
    updated_at: Timestamp,
    /// Milliseconds since 1970.
    last_used_at: Option<i64>,
    version: u64,
    secrets: Option<Sealed>,
}

impl Accounts {
    /// The table `table`.
    pub fn new(config: &SdkConfig, table: String) -> Self {
        Self { db: Client::new(config), table }
    }

    /// Stores a new account.
    pub async fn insert(
        &self,
        account: &ManagedAccount,
        secrets: Option<Sealed>,
    ) -> Result<(), AwsError> {
        self.put(account, secrets, "attribute_not_exists(pk)", None).await
    }

    /// Replaces the account that `account.version` less one was read from.
    pub async fn replace(
        &self,
        account: &ManagedAccount,
        secrets: Option<Sealed>,
    ) -> Result<(), AwsError> {
        let read = number(account.version.saturating_sub(1));
        let values = HashMap::from([(":read".to_owned(), read)]);
        self.put(account, secrets, "version = :read", Some(values)).await
    }

    async fn put(
        &self,
        account: &ManagedAccount,
        secrets: Option<Sealed>,
        condition: &str,
        values: Option<HashMap<String, AttributeValue>>,
    ) -> Result<(), AwsError> {
        let stored = store(account, secrets)?;
        let item = serde_dynamo::to_item(stored).map_err(AwsError::corrupt("a managed account"))?;
        let sent = self
            .db
            .put_item()
            .table_name(&self.table)
            .set_item(Some(item))
            .condition_expression(condition)
            .set_expression_attribute_values(values)
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .send()
            .await;
        match sent.map_err(SdkError::into_service_error) {
            Ok(_) => Ok(()),
            Err(PutItemError::ConditionalCheckFailedException(failed)) => {
                let stands = failed.item.map(read).transpose()?;
                // The SDK repeats a call whose answer was lost, and then meets what it wrote itself.
                let is_ours = stands.is_some_and(|(stands, _)| stands == *account);
                if is_ours { Ok(()) } else { Err(AwsError::Conflict) }
            }
            Err(error) => Err(AwsError::Call("dynamodb:PutItem", error.into())),
        }
    }

    /// The account `id` of `owner` and its secrets.
    pub async fn get(
        &self,
        owner: &Owner,
        id: &AccountId,
    ) -> Result<Option<(ManagedAccount, Option<Sealed>)>, AwsError> {
        let found = self
            .db
            .get_item()
            .table_name(&self.table)
            .set_key(Some(item_key(owner, id)))
            .consistent_read(true)
            .send()
            .await
            .map_err(AwsError::call("dynamodb:GetItem"))?;
        found.item.map(read).transpose()
    }

    /// All accounts of `owner`, newest first.
    pub async fn list(&self, owner: &Owner) -> Result<Vec<ManagedAccount>, AwsError> {
        let mut pages = self
            .db
            .query()
            .table_name(&self.table)
            .key_condition_expression("pk = :owner")
            .expression_attribute_values(":owner", text(owner.partition()))
            .consistent_read(true)
            .into_paginator()
            .items()
            .send();
        let mut accounts = Vec::new();
        while let Some(item) = pages.next().await {
            let (account, _) = read(item.map_err(AwsError::call("dynamodb:Query"))?)?;
            accounts.push(account);
        }
        accounts.sort_by(|a, b| (b.created_at, b.id.as_str()).cmp(&(a.created_at, a.id.as_str())));
        Ok(accounts)
    }

    /// Deletes an account with its secrets; whether there was one.
    pub async fn delete(&self, owner: &Owner, id: &AccountId) -> Result<bool, AwsError> {
        let deleted = self
            .db
            .delete_item()
            .table_name(&self.table)
            .set_key(Some(item_key(owner, id)))
            .return_values(ReturnValue::AllOld)
            .send()
            .await
            .map_err(AwsError::call("dynamodb:DeleteItem"))?;
        Ok(deleted.attributes.is_some())
    }

    /// Notes that an order chose the account at `now`, so that the next one chooses another.
    pub async fn mark_used(
        &self,
        account: &ManagedAccount,
        now: Timestamp,
    ) -> Result<(), AwsError> {
        let sent = self
            .db
            .update_item()
            .table_name(&self.table)
            .set_key(Some(item_key(&account.owner, &account.id)))
            .update_expression("SET last_used_at = :now")
            .condition_expression("attribute_exists(pk)")
            .expression_attribute_values(":now", number(now.as_millisecond()))
            .send()
            .await;
        match sent.map_err(SdkError::into_service_error) {
            Ok(_) => Ok(()),
            // Deleted in between: the order finds that out at its turn.
            Err(error) if error.is_conditional_check_failed_exception() => Ok(()),
            Err(error) => Err(AwsError::Call("dynamodb:UpdateItem", error.into())),
        }
    }
}

fn item_key(owner: &Owner, id: &AccountId) -> Item {
    key([("pk", owner.partition()), ("sk", format!("ACCOUNT#{id}"))])
}

fn store(account: &ManagedAccount, secrets: Option<Sealed>) -> Result<Stored, AwsError> {
    let config = serde_json::to_string(&account.retailer_config);
    Ok(Stored {
        pk: account.owner.partition(),
        sk: format!("ACCOUNT#{}", account.id),
        id: account.id.clone(),
        uuid: account.uuid,
        owner: account.owner.clone(),
        email: account.email.clone(),
        email_hash: account.email_hash.clone(),
        retailer: account.retailer,
        has_totp: account.has_totp,
        has_forwarding: account.has_forwarding,
        retailer_config: config.map_err(AwsError::corrupt("a managed account"))?,
        created_at: account.created_at,
        updated_at: account.updated_at,
        last_used_at: account.last_used_at.map(Timestamp::as_millisecond),
        version: account.version,
        secrets,
    })
}

fn read(item: Item) -> Result<(ManagedAccount, Option<Sealed>), AwsError> {
    let stored: Stored =
        serde_dynamo::from_item(item).map_err(AwsError::corrupt("a managed account"))?;
    let config: Result<BTreeMap<String, Value>, _> = serde_json::from_str(&stored.retailer_config);
    let account = ManagedAccount {
        id: stored.id,
        uuid: stored.uuid,
        owner: stored.owner,
        email: stored.email,
        email_hash: stored.email_hash,
        retailer: stored.retailer,
        has_totp: stored.has_totp,
        has_forwarding: stored.has_forwarding,
        retailer_config: config.map_err(AwsError::corrupt("a managed account"))?,
        created_at: stored.created_at,
        updated_at: stored.updated_at,
        last_used_at: stored
            .last_used_at
            .and_then(|millis| Timestamp::from_millisecond(millis).ok()),
        version: stored.version,
    };
    Ok((account, stored.secrets))
}
