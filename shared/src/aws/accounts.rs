//! Managed accounts and their sealed secrets.

use std::collections::BTreeMap;

use aws_config::SdkConfig;
use aws_sdk_dynamodb::{
    Client,
    error::SdkError,
    operation::{
        put_item::PutItemError,
        update_item::{UpdateItemError, UpdateItemOutput, builders::UpdateItemFluentBuilder},
    },
    types::{AttributeValue, ReturnValue, ReturnValuesOnConditionCheckFailure},
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use super::{AwsError, Item, key, number, text, vault::Context};
use crate::{
    accounts::{
        EmailHash, ManagedAccount, Owner,
        health::{Health, SignIn},
    },
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

/// An account and its secrets.
pub type Kept = (ManagedAccount, Option<Sealed>);

/// The index that finds an account by its UUID, which is all that a forwarding address says. It holds keys only: the
/// account itself is read from the table.
const BY_UUID: &str = "uuid";

/// How often a sign-in is reckoned again because another one was noted in between.
const MEETINGS: usize = 8;

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
    /// JSON text: a sign-in is noted only over the very health it was reckoned from, and texts compare.
    health: String,
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
        let sent = self
            .db
            .put_item()
            .table_name(&self.table)
            .set_item(Some(to_item(account, secrets)?))
            .condition_expression("attribute_not_exists(pk)")
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

    /// Makes `before`, as it was read, into `account` with `secrets`, unless another client's change came in between.
    /// The account as it stands then.
    ///
    /// Only what differs is written: sign-ins, choices and confirmed forwardings that are noted at the same time are
    /// neither lost nor a reason to refuse the change.
    pub async fn replace(
        &self,
        before: Kept,
        account: &ManagedAccount,
        secrets: Option<Sealed>,
    ) -> Result<ManagedAccount, AwsError> {
        let (was, its_secrets) = before;
        let old = to_item(&was, its_secrets)?;
        let mut update = self
            .update(&account.owner, &account.id)
            .condition_expression("version = :read")
            .expression_attribute_values(":read", number(was.version))
            .return_values(ReturnValue::AllNew)
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        // Another login name is another mailbox and another history: what was noted of the old ones meanwhile goes.
        let is_other = was.email_hash != account.email_hash;
        let is_noted = |name: &str| ["health", "has_forwarding"].contains(&name);
        let mut changes = Vec::new();
        for (name, value) in to_item(account, secrets)? {
            if old.get(&name) != Some(&value) || is_other && is_noted(&name) {
                changes.push(format!("#{name} = :{name}"));
                update = update
                    .expression_attribute_names(format!("#{name}"), &name)
                    .expression_attribute_values(format!(":{name}"), value);
            }
        }
        let update = update.update_expression(format!("SET {}", changes.join(", ")));
        match send(update).await {
            Ok(output) => Ok(read(output.attributes.unwrap_or_default())?.0),
            Err(UpdateItemError::ConditionalCheckFailedException(failed)) => {
                let (stands, _) = failed.item.map(read).transpose()?.ok_or(AwsError::Conflict)?;
                // The SDK repeats a call whose answer was lost, and then meets what it wrote itself.
                let is_ours =
                    stands.version == account.version && stands.updated_at == account.updated_at;
                if is_ours { Ok(stands) } else { Err(AwsError::Conflict) }
            }
            Err(error) => Err(AwsError::Call("dynamodb:UpdateItem", error.into())),
        }
    }

    /// The account `id` of `owner` and its secrets.
    pub async fn get(&self, owner: &Owner, id: &AccountId) -> Result<Option<Kept>, AwsError> {
        self.get_at(item_key(owner, id)).await
    }

    async fn get_at(&self, place: Item) -> Result<Option<Kept>, AwsError> {
        let found = self
            .db
            .get_item()
            .table_name(&self.table)
            .set_key(Some(place))
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

    /// The account that mail to this UUID is for.
    ///
    /// The index only says where to look, so that a deleted account is unknown at once. A new one may be unknown for a
    /// moment.
    pub async fn by_uuid(&self, uuid: Uuid) -> Result<Option<ManagedAccount>, AwsError> {
        let found = self
            .db
            .query()
            .table_name(&self.table)
            .index_name(BY_UUID)
            .key_condition_expression("#uuid = :uuid")
            .expression_attribute_names("#uuid", "uuid")
            .expression_attribute_values(":uuid", text(uuid))
            .limit(1)
            .send()
            .await
            .map_err(AwsError::call("dynamodb:Query"))?;
        let Some(found) = found.items.unwrap_or_default().pop() else { return Ok(None) };
        let place = found.into_iter().filter(|(name, _)| name == "pk" || name == "sk").collect();
        Ok(self.get_at(place).await?.map(|(account, _)| account))
    }

    /// Notes that an order chose the account at `now`, so that the next one chooses another.
    pub async fn mark_used(
        &self,
        account: &ManagedAccount,
        now: Timestamp,
    ) -> Result<(), AwsError> {
        let update = self
            .update(&account.owner, &account.id)
            .update_expression("SET last_used_at = :now")
            .condition_expression("attribute_exists(pk)")
            .expression_attribute_values(":now", number(now.as_millisecond()));
        // If it was deleted in between, the order finds that out at its turn.
        unless_deleted(send(update).await)
    }

    /// Notes at `now` that mail to the account is forwarded, unless it has another e-mail by now. A change by a client at
    /// the same time is not lost.
    pub async fn set_forwarding(
        &self,
        account: &ManagedAccount,
        now: Timestamp,
    ) -> Result<(), AwsError> {
        let update = self
            .update(&account.owner, &account.id)
            .update_expression("SET has_forwarding = :true, updated_at = :now")
            .condition_expression("email_hash = :hash")
            .expression_attribute_values(":hash", text(&account.email_hash.0))
            .expression_attribute_values(":true", AttributeValue::Bool(true))
            .expression_attribute_values(":now", number(now.as_millisecond()));
        unless_deleted(send(update).await)
    }

    /// Notes how a sign-in with the account ended at `now`. Nothing becomes of it if the account is deleted.
    ///
    /// It is written over the very health it was reckoned from, so that two workers count two failures. The version is
    /// not touched: a client's change need not wait until an account has stopped failing. A success wipes out whatever was
    /// before, so that it need not be read.
    pub async fn record_sign_in(
        &self,
        owner: &Owner,
        id: &AccountId,
        outcome: &SignIn,
        now: Timestamp,
    ) -> Result<(), AwsError> {
        if *outcome == SignIn::Succeeded {
            let health = Health::default().after(outcome.clone(), now);
            let update = self
                .update(owner, id)
                .update_expression("SET health = :becomes")
                .condition_expression("attribute_exists(pk)")
                .expression_attribute_values(":becomes", text(health_text(&health)?));
            return unless_deleted(send(update).await);
        }
        let found = self.get(owner, id).await?;
        let mut stands = found.map(|(account, _)| account.health);
        for _ in 0..MEETINGS {
            let Some(health) = stands else { return Ok(()) };
            let was = health_text(&health)?;
            let becomes = health.after(outcome.clone(), now);
            let update = self
                .update(owner, id)
                .update_expression("SET health = :becomes")
                .condition_expression("health = :was")
                .expression_attribute_values(":was", text(was))
                .expression_attribute_values(":becomes", text(health_text(&becomes)?))
                .return_values_on_condition_check_failure(
                    ReturnValuesOnConditionCheckFailure::AllOld,
                );
            stands = match send(update).await {
                Ok(_) => return Ok(()),
                Err(UpdateItemError::ConditionalCheckFailedException(failed)) => {
                    failed.item.map(read).transpose()?.map(|(account, _)| account.health)
                }
                Err(error) => return Err(AwsError::Call("dynamodb:UpdateItem", error.into())),
            };
            // The SDK repeats a call whose answer was lost, and then meets what it wrote itself. Another worker's note would
            // have another time.
            if stands.as_ref() == Some(&becomes) {
                return Ok(());
            }
        }
        Err(AwsError::Conflict)
    }

    fn update(&self, owner: &Owner, id: &AccountId) -> UpdateItemFluentBuilder {
        self.db.update_item().table_name(&self.table).set_key(Some(item_key(owner, id)))
    }
}

/// Sends an update.
async fn send(update: UpdateItemFluentBuilder) -> Result<UpdateItemOutput, UpdateItemError> {
    update.send().await.map_err(SdkError::into_service_error)
}

/// What is to be noted about an account that is gone need not be.
fn unless_deleted(sent: Result<UpdateItemOutput, UpdateItemError>) -> Result<(), AwsError> {
    match sent {
        Ok(_) => Ok(()),
        Err(error) if error.is_conditional_check_failed_exception() => Ok(()),
        Err(error) => Err(AwsError::Call("dynamodb:UpdateItem", error.into())),
    }
}

fn item_key(owner: &Owner, id: &AccountId) -> Item {
    key([("pk", owner.partition()), ("sk", format!("ACCOUNT#{id}"))])
}

fn health_text(health: &Health) -> Result<String, AwsError> {
    serde_json::to_string(health).map_err(AwsError::corrupt("a managed account"))
}

fn to_item(account: &ManagedAccount, secrets: Option<Sealed>) -> Result<Item, AwsError> {
    let config = serde_json::to_string(&account.retailer_config);
    let stored = Stored {
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
        health: health_text(&account.health)?,
        version: account.version,
        secrets,
    };
    serde_dynamo::to_item(stored).map_err(AwsError::corrupt("a managed account"))
}

fn read(item: Item) -> Result<Kept, AwsError> {
    let stored: Stored =
        serde_dynamo::from_item(item).map_err(AwsError::corrupt("a managed account"))?;
    let config: Result<BTreeMap<String, Value>, _> = serde_json::from_str(&stored.retailer_config);
    let health: Result<Health, _> = serde_json::from_str(&stored.health);
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
        health: health.map_err(AwsError::corrupt("a managed account"))?,
        version: stored.version,
    };
    Ok((account, stored.secrets))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures::future::join_all;

    use super::*;
    use crate::{accounts::health::Trouble, aws::emulator, id::ClientId, retailers::Mode};

    const TABLE: &str = "accounts";
    const NOW: Timestamp = Timestamp::UNIX_EPOCH;

    async fn accounts() -> Accounts {
        let accounts = Accounts::new(&emulator::config().await, TABLE.to_owned());
        emulator::create_table(&accounts.db, TABLE, &[BY_UUID]).await;
        accounts
    }

    /// An account of a client of its own, stored.
    async fn stored(accounts: &Accounts) -> ManagedAccount {
        let account = ManagedAccount {
            id: AccountId::new(Uuid::new_v4()),
            uuid: Uuid::new_v4(),
            owner: Owner { client: ClientId::new(Uuid::new_v4()), mode: Mode::Test },
            email: "a@example.com".parse().unwrap(),
            email_hash: EmailHash("a".to_owned()),
            retailer: None,
            has_totp: false,
            has_forwarding: false,
            retailer_config: BTreeMap::new(),
            created_at: NOW,
            updated_at: NOW,
            last_used_at: None,
            health: Health::default(),
            version: 1,
        };
        accounts.insert(&account, Some(Sealed::from_base64("secret".to_owned()))).await.unwrap();
        account
    }

    async fn as_it_stands(accounts: &Accounts, account: &ManagedAccount) -> Option<Kept> {
        accounts.get(&account.owner, &account.id).await.unwrap()
    }

    fn wrong() -> SignIn {
        SignIn::Failed { trouble: Trouble::LoginFailed, message: "No.".to_owned() }
    }

    fn changed(account: &ManagedAccount, retailer: RetailerCode) -> ManagedAccount {
        let updated_at = clock::after(NOW, Duration::from_secs(1));
        let version = account.version + 1;
        ManagedAccount { retailer: Some(retailer), updated_at, version, ..account.clone() }
    }

    #[tokio::test]
    async fn failures_that_are_noted_at_once_all_count() {
        let accounts = accounts().await;
        let account = stored(&accounts).await;
        let (owner, id, outcome) = (&account.owner, &account.id, wrong());
        // At one moment and in one worker it would be one failure.
        let moments = (0..4).map(|millis| clock::after(NOW, Duration::from_millis(millis)));
        let notes = moments.map(|now| accounts.record_sign_in(owner, id, &outcome, now));
        for noted in join_all(notes).await {
            noted.unwrap();
        }
        let (stands, secrets) = as_it_stands(&accounts, &account).await.unwrap();
        assert_eq!(stands.health.failures, 4);
        assert!(stands.health.pause(NOW).is_some());
        assert_eq!(stands.version, 1, "a client's change is not in the way");
        assert!(secrets.is_some());
    }

    #[tokio::test]
    async fn a_change_keeps_what_was_noted_since_it_read() {
        let accounts = accounts().await;
        let account = stored(&accounts).await;
        let (owner, id) = (&account.owner, &account.id);
        let before = as_it_stands(&accounts, &account).await.unwrap();
        accounts.record_sign_in(owner, id, &wrong(), NOW).await.unwrap();
        accounts.set_forwarding(&account, NOW).await.unwrap();
        accounts.mark_used(&account, NOW).await.unwrap();
        let change = changed(&before.0, RetailerCode::Amazon);
        let replaced = accounts.replace(before.clone(), &change, before.1.clone()).await.unwrap();
        let (stands, secrets) = as_it_stands(&accounts, &account).await.unwrap();
        assert_eq!(stands, replaced);
        assert_eq!((stands.health.failures, stands.has_forwarding), (1, true));
        assert_eq!((stands.last_used_at, stands.retailer), (Some(NOW), change.retailer));
        assert_eq!(secrets, before.1);

        let other = changed(&before.0, RetailerCode::Costco);
        let other = ManagedAccount { updated_at: NOW, ..other };
        let refused = accounts.replace(before.clone(), &other, None).await;
        assert!(matches!(refused, Err(AwsError::Conflict)), "it was changed since");
        // As the SDK does when an answer is lost.
        let again = accounts.replace(before.clone(), &change, before.1).await.unwrap();
        assert_eq!(again, stands);
    }

    #[tokio::test]
    async fn a_change_may_forgive_what_failed() {
        let accounts = accounts().await;
        let account = stored(&accounts).await;
        let (owner, id) = (&account.owner, &account.id);
        accounts.record_sign_in(owner, id, &SignIn::Succeeded, NOW).await.unwrap();
        accounts.record_sign_in(owner, id, &wrong(), NOW).await.unwrap();
        let before = as_it_stands(&accounts, &account).await.unwrap();
        let mut change = changed(&before.0, RetailerCode::Amazon);
        change.health = change.health.forgiven();
        let stands = accounts.replace(before, &change, None).await.unwrap();
        assert_eq!(stands.health, Health { last_sign_in: Some(NOW), ..Health::default() });
        assert_eq!(as_it_stands(&accounts, &account).await, Some((stands, None)));
    }

    #[tokio::test]
    async fn another_email_keeps_nothing_of_the_old_ones() {
        let accounts = accounts().await;
        let account = stored(&accounts).await;
        let (owner, id) = (&account.owner, &account.id);
        let before = as_it_stands(&accounts, &account).await.unwrap();
        accounts.record_sign_in(owner, id, &wrong(), NOW).await.unwrap();
        accounts.set_forwarding(&account, NOW).await.unwrap();
        let mut change = changed(&before.0, RetailerCode::Amazon);
        change.email_hash = EmailHash("b".to_owned());
        let stands = accounts.replace(before, &change, None).await.unwrap();
        assert_eq!((stands.health, stands.has_forwarding), (Health::default(), false));
    }

    #[tokio::test]
    async fn a_forwarding_address_leads_to_its_account_until_that_is_deleted() {
        let accounts = accounts().await;
        let (account, other) = (stored(&accounts).await, stored(&accounts).await);
        assert_eq!(accounts.by_uuid(account.uuid).await.unwrap().as_ref(), Some(&account));
        assert_eq!(accounts.by_uuid(other.uuid).await.unwrap(), Some(other));
        assert_eq!(accounts.by_uuid(Uuid::new_v4()).await.unwrap(), None);
        assert!(accounts.delete(&account.owner, &account.id).await.unwrap());
        assert_eq!(accounts.by_uuid(account.uuid).await.unwrap(), None);

        let (owner, id) = (&account.owner, &account.id);
        accounts.record_sign_in(owner, id, &wrong(), NOW).await.unwrap();
        accounts.set_forwarding(&account, NOW).await.unwrap();
        assert_eq!(as_it_stands(&accounts, &account).await, None, "nobody brings it back");
    }
}
