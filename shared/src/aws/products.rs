//! What is known of public product pages: a cache that all clients of a mode share, without backups.
//!
//! Every write names the version it is based on, so that of several callers who find the same, one alone claims the
//! page, and so that nobody overwrites the reading of a later claim.

use std::time::Duration;

use aws_config::SdkConfig;
use aws_sdk_dynamodb::{
    Client,
    error::SdkError,
    operation::update_item::{UpdateItemError, builders::UpdateItemFluentBuilder},
    types::ReturnValuesOnConditionCheckFailure,
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{AwsError, Item, key, number, text};
use crate::{
    clock,
    error::Refusal,
    products::{Content, Known, PageKey, Reading},
};

/// The table of product pages.
#[derive(Clone)]
pub struct Products {
    db: Client,
    table: String,
}

/// An attempt to claim a page.
#[derive(Debug)]
pub enum Claim {
    /// It is ours; whoever reads the page names this version.
    Ours(u64),
    /// Somebody was faster; this is known now.
    Taken(Known),
}

/// Longer than an answer may be old unless its caller says so.
const KEPT_FOR: Duration = Duration::from_hours(48);

#[derive(Deserialize)]
struct Stored {
    version: u64,
    read_at: Option<i64>,
    /// JSON: a page has numbers with fractions, and nothing is ever looked for in it.
    outcome: Option<String>,
    outage_at: Option<i64>,
    claimed_until: Option<i64>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum StoredOutcome {
    Said(Content),
    Refused(Refusal),
}

impl Products {
    /// The table `table`.
    pub fn new(config: &SdkConfig, table: String) -> Self {
        Self { db: Client::new(config), table }
    }

    /// What is known of `page`.
    pub async fn get(&self, page: &PageKey) -> Result<Known, AwsError> {
        let found = self
            .db
            .get_item()
            .table_name(&self.table)
            .set_key(Some(key([("pk", page.to_string())])))
            .consistent_read(true)
            .send()
            .await
            .map_err(AwsError::call("dynamodb:GetItem"))?;
        found.item.map_or_else(|| Ok(Known::default()), read)
    }

    /// Says that `page` is being read until `until`, if nobody has changed it since its version was `seen`.
    pub async fn claim(
        &self,
        page: &PageKey,
        seen: u64,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<Claim, AwsError> {
        let update = self
            .update(page, seen, now, "SET claimed_until = :until")
            .expression_attribute_values(":until", number(until.as_millisecond()))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        match update.send().await.map_err(SdkError::into_service_error) {
            Ok(_) => Ok(Claim::Ours(seen.saturating_add(1))),
            Err(UpdateItemError::ConditionalCheckFailedException(failure)) => {
                Ok(Claim::Taken(failure.item.map_or_else(|| Ok(Known::default()), read)?))
            }
            Err(error) => Err(AwsError::Call("dynamodb:UpdateItem", error.into())),
        }
    }

    /// Writes down what the retailer said under the claim `claim`. A conflict says that another claim has followed.
    pub async fn put(
        &self,
        page: &PageKey,
        claim: u64,
        reading: &Reading,
        now: Timestamp,
    ) -> Result<(), AwsError> {
        let Reading { read_at, outcome } = reading.clone();
        let outcome = outcome.map_or_else(StoredOutcome::Refused, StoredOutcome::Said);
        let outcome =
            serde_json::to_string(&outcome).map_err(AwsError::corrupt("a product page"))?;
        let change = "SET read_at = :read_at, outcome = :outcome REMOVE claimed_until, outage_at";
        let update = self
            .update(page, claim, now, change)
            .expression_attribute_values(":read_at", number(read_at.as_millisecond()))
            .expression_attribute_values(":outcome", text(outcome));
        end(update).await
    }

    /// Writes down that the retailer did not answer; what it said before stays. A conflict as for [`Products::put`].
    pub async fn put_outage(
        &self,
        page: &PageKey,
        claim: u64,
        now: Timestamp,
    ) -> Result<(), AwsError> {
        let update = self
            .update(page, claim, now, "SET outage_at = :at REMOVE claimed_until")
            .expression_attribute_values(":at", number(now.as_millisecond()));
        end(update).await
    }

    /// `change`, which begins with `SET`, if the version is still `seen`; none was seen where it is 0.
    fn update(
        &self,
        page: &PageKey,
        seen: u64,
        now: Timestamp,
        change: &str,
    ) -> UpdateItemFluentBuilder {
        let expires_at = clock::after(now, KEPT_FOR).as_second();
        let change = change.replacen("SET", "SET version = :next, expires_at = :expires_at,", 1);
        let update = self
            .db
            .update_item()
            .table_name(&self.table)
            .set_key(Some(key([("pk", page.to_string())])))
            .update_expression(change)
            .expression_attribute_values(":next", number(seen.saturating_add(1)))
            .expression_attribute_values(":expires_at", number(expires_at));
        if seen == 0 {
            update.condition_expression("attribute_not_exists(pk)")
        } else {
            update
                .condition_expression("version = :seen")
                .expression_attribute_values(":seen", number(seen))
        }
    }
}

async fn end(update: UpdateItemFluentBuilder) -> Result<(), AwsError> {
    match update.send().await.map_err(SdkError::into_service_error) {
        Ok(_) => Ok(()),
        Err(error) if error.is_conditional_check_failed_exception() => Err(AwsError::Conflict),
        Err(error) => Err(AwsError::Call("dynamodb:UpdateItem", error.into())),
    }
}

fn read(item: Item) -> Result<Known, AwsError> {
    let Stored { version, read_at, outcome, outage_at, claimed_until } =
        serde_dynamo::from_item(item).map_err(AwsError::corrupt("a product page"))?;
    // What another release wrote and this one cannot read is as good as nothing: the page is read again.
    let outcome = outcome.and_then(|json| serde_json::from_str(&json).ok());
    let outcome = outcome.map(|outcome| match outcome {
        StoredOutcome::Said(content) => Ok(content),
        StoredOutcome::Refused(refusal) => Err(refusal),
    });
    let read_at = read_at.map(time).transpose()?;
    let last = read_at.zip(outcome).map(|(read_at, outcome)| Reading { read_at, outcome });
    Ok(Known {
        version,
        last,
        outage_at: outage_at.map(time).transpose()?,
        claimed_until: claimed_until.map(time).transpose()?,
    })
}

fn time(millis: i64) -> Result<Timestamp, AwsError> {
    Timestamp::from_millisecond(millis).map_err(AwsError::corrupt("a product page"))
}
