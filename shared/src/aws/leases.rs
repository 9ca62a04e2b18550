//! Which job holds which retailer account. The queue already lets one job of an account run at a time; the lease
//! holds when a message came back while its worker still ran, and its fencing token tells the two apart.

use std::collections::{HashMap, HashSet};

use aws_config::SdkConfig;
use aws_sdk_dynamodb::{
    Client,
    error::SdkError,
    operation::update_item::{
        UpdateItemError, UpdateItemOutput, builders::UpdateItemFluentBuilder,
    },
    types::{ConditionCheck, ReturnValue, ReturnValuesOnConditionCheckFailure},
};
use backon::Retryable;
use jiff::Timestamp;
use serde::Deserialize;

use super::{AwsError, Item, batch_get, key, meeting_retries, number, text, transaction::Write};
use crate::{
    accounts::{AccountRef, Owner},
    clock,
    id::RequestId,
};

/// The table of leases.
#[derive(Clone)]
pub struct Leases {
    db: Client,
    table: String,
}

/// A held lease.
#[derive(Debug, Clone)]
pub struct Lease {
    /// What is held.
    pub account: AccountRef,
    /// Rises with every lease of the account.
    pub fence: u64,
}

/// Who holds an account.
#[derive(Debug, Clone)]
pub struct Holder {
    /// The request that is worked on.
    pub job: RequestId,
    /// Whose request it is.
    pub owner: Owner,
    /// Until when, if nothing renews it.
    pub until: Timestamp,
}

/// An attempt to take an account.
#[derive(Debug)]
pub enum Acquired {
    /// It is ours.
    Held(Lease),
    /// Another job has it until then.
    Busy(Timestamp),
}

#[derive(Deserialize)]
struct Stored {
    pk: AccountRef,
    fence: u64,
    job_id: Option<RequestId>,
    owner: Option<Owner>,
    #[serde(with = "clock::millis")]
    held_until: Timestamp,
}

impl Leases {
    /// The table `table`.
    pub fn new(config: &SdkConfig, table: String) -> Self {
        Self { db: Client::new(config), table }
    }

    /// Takes `account` for the request `job` until `until`, unless another job holds it at `now`.
    ///
    /// The same job takes it again from a worker of its own that was lost, with a higher fence.
    pub async fn acquire(
        &self,
        account: &AccountRef,
        job: &RequestId,
        owner: &Owner,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<Acquired, AwsError> {
        let owner =
            serde_dynamo::to_attribute_value(owner).map_err(AwsError::corrupt("a lease"))?;
        let update = self
            .db
            .update_item()
            .table_name(&self.table)
            .set_key(Some(key([("pk", account.to_string())])))
            .update_expression(
                "SET fence = if_not_exists(fence, :zero) + :one, job_id = :job, #owner = :owner, held_until = :until",
            )
            .condition_expression("attribute_not_exists(pk) OR held_until < :now OR job_id = :job")
            .expression_attribute_names("#owner", "owner")
            .expression_attribute_values(":zero", number(0))
            .expression_attribute_values(":one", number(1))
            .expression_attribute_values(":job", text(job.as_str()))
            .expression_attribute_values(":owner", owner)
            .expression_attribute_values(":now", number(now.as_millisecond()))
            .expression_attribute_values(":until", number(until.as_millisecond()))
            .return_values(ReturnValue::AllNew)
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        match send(update).await {
            Ok(output) => {
                let stored = read(output.attributes.unwrap_or_default())?;
                Ok(Acquired::Held(Lease { account: stored.pk, fence: stored.fence }))
            }
            Err(UpdateItemError::ConditionalCheckFailedException(held)) => {
                let held = held.item.map(read).transpose()?;
                Ok(Acquired::Busy(held.map_or(until, |stored| stored.held_until)))
            }
            Err(error) => Err(AwsError::Call("dynamodb:UpdateItem", error.into())),
        }
    }

    /// Gives the account back, unless somebody else holds it by now.
    pub async fn release(&self, lease: &Lease) -> Result<(), AwsError> {
        let update = self
            .db
            .update_item()
            .table_name(&self.table)
            .set_key(Some(key([("pk", lease.account.to_string())])))
            .update_expression("SET held_until = :never REMOVE job_id, #owner")
            .condition_expression("fence = :fence")
            .expression_attribute_names("#owner", "owner")
            .expression_attribute_values(":never", number(0))
            .expression_attribute_values(":fence", number(lease.fence));
        match send(update).await {
            Ok(_) => Ok(()),
            Err(error) if error.is_conditional_check_failed_exception() => Ok(()),
            Err(error) => Err(AwsError::Call("dynamodb:UpdateItem", error.into())),
        }
    }

    /// Who holds which of `accounts` at `now`.
    pub async fn holders(
        &self,
        accounts: &[AccountRef],
        now: Timestamp,
    ) -> Result<HashMap<AccountRef, Holder>, AwsError> {
        let different: HashSet<_> = accounts.iter().collect();
        let mut holders = HashMap::new();
        let wanted = different.into_iter().map(|one| key([("pk", one.to_string())])).collect();
        for item in batch_get(&self.db, &self.table, wanted).await? {
            let stored = read(item)?;
            if let (Some(job), Some(owner), true) =
                (stored.job_id, stored.owner, stored.held_until > now)
            {
                holders.insert(stored.pk, Holder { job, owner, until: stored.held_until });
            }
        }
        Ok(holders)
    }

    /// For a transaction: nothing is written unless `lease` is still the newest one of its account.
    pub fn still_held(&self, lease: &Lease) -> Result<Write, AwsError> {
        let check = ConditionCheck::builder()
            .table_name(&self.table)
            .set_key(Some(key([("pk", lease.account.to_string())])))
            .condition_expression("fence = :fence")
            .expression_attribute_values(":fence", number(lease.fence));
        Write::check(check)
    }
}

/// Sends an update. A worker's transaction that checks the lease at this moment is waited for.
async fn send(update: UpdateItemFluentBuilder) -> Result<UpdateItemOutput, UpdateItemError> {
    let send = || async { update.clone().send().await.map_err(SdkError::into_service_error) };
    send.retry(meeting_retries()).when(UpdateItemError::is_transaction_conflict_exception).await
}

fn read(item: Item) -> Result<Stored, AwsError> {
    serde_dynamo::from_item(item).map_err(AwsError::corrupt("a lease"))
}
