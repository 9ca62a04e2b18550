//! Which job holds which retailer account. The queue already lets one job of an account run at a time; the lease
//! holds when a message came back while its worker still ran, and its fencing token tells the two apart.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use aws_config::SdkConfig;
use aws_sdk_dynamodb::{
    Client,
    operation::update_item::{UpdateItemError, builders::UpdateItemFluentBuilder},
    types::{AttributeValue, ConditionCheck, ReturnValue, ReturnValuesOnConditionCheckFailure},
};
use jiff::Timestamp;
use serde::Deserialize;

use super::{AwsError, Item, batch_get, key, number, text, transaction::Write, update_item};
use crate::{
    accounts::{AccountRef, Owner},
    clock,
    guards::Guard,
    id::RequestId,
    orders::reconcile::CLOCK_SKEW,
    random,
    sign_in::{CODE_LIFE, Challenge, MailedCode},
};

/// So long after a TOTP code of a later step was used, one of an earlier step cannot be the same.
const CLOCK_TROUBLE: Duration = Duration::from_mins(2);

/// The table of leases.
#[derive(Clone)]
pub struct Leases {
    db: Client,
    table: String,
}

/// A held lease, and what is kept with it about signing in.
#[derive(Debug, Clone)]
pub struct Lease {
    /// What is held.
    pub account: AccountRef,
    /// Rises with every lease of the account.
    pub fence: u64,
    /// From when on there is a TOTP code that was not used yet, by our clock.
    pub fresh_totp_at: Option<Timestamp>,
    /// A sign-in that waits for a mailed code, or waited in vain.
    pub challenge: Option<Challenge>,
    /// The newest code that was mailed to each owner of the account.
    codes: HashMap<String, MailedCode>,
}

impl Lease {
    /// The newest code that was mailed to `owner`.
    pub fn code_for(&self, owner: &Owner) -> Option<&MailedCode> {
        self.codes.get(&code_attribute(owner))
    }
}

/// A TOTP code that a worker wants to use.
#[derive(Debug, PartialEq, Eq)]
pub enum TotpClaim {
    /// It is this worker's.
    Ours,
    /// It was used before, and a retailer takes no code twice.
    Used,
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
    Held(Box<Lease>),
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
    #[serde(with = "clock::optional_millis", default)]
    fresh_totp_at: Option<Timestamp>,
    challenge: Option<Challenge>,
}

/// Codes of different owners are kept apart: whoever registers somebody else's e-mail writes over nobody's code.
fn code_attribute(owner: &Owner) -> String {
    format!("code#{}", owner.partition())
}

impl Leases {
    /// The table `table`.
    pub fn new(config: &SdkConfig, table: String) -> Self {
        Self { db: Client::new(config), table }
    }

    /// Takes `account` for the request `job` until `until`, unless another job holds it at `now`.
    ///
    /// A job that has left it waiting for a code takes it again before that, with a higher fence. One whose worker was lost
    /// waits like any other: the worker may only be slow.
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
            .update(account)
            .update_expression(
                "SET fence = if_not_exists(fence, :zero) + :one, job_id = :job, #owner = :owner, held_until = :until, \
                 taken_by = :taker REMOVE is_parked",
            )
            .condition_expression(if Guard::Lease.stands() {
                "attribute_not_exists(pk) OR held_until < :now \
                 OR (job_id = :job AND (attribute_exists(is_parked) OR taken_by = :taker))"
            } else {
                "attribute_not_exists(pk) OR held_until < :now OR held_until >= :now"
            })
            .expression_attribute_values(":taker", text(random::uuid().simple().to_string()))
            .expression_attribute_names("#owner", "owner")
            .expression_attribute_values(":zero", number(0))
            .expression_attribute_values(":one", number(1))
            .expression_attribute_values(":job", text(job.as_str()))
            .expression_attribute_values(":owner", owner)
            .expression_attribute_values(":now", number(now.as_millisecond()))
            .expression_attribute_values(":until", number(until.as_millisecond()))
            .return_values(ReturnValue::AllNew)
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        match update_item(update).await {
            Ok(output) => {
                Ok(Acquired::Held(Box::new(lease(output.attributes.unwrap_or_default())?)))
            }
            Err(UpdateItemError::ConditionalCheckFailedException(held)) => {
                let held = held.item.map(read).transpose()?;
                Ok(Acquired::Busy(held.map_or(until, |stored| stored.held_until)))
            }
            Err(error) => Err(AwsError::Call("dynamodb:UpdateItem", error.into())),
        }
    }

    /// The lease as it is now, held or not; `None` for an account that never was.
    pub async fn get(&self, account: &AccountRef) -> Result<Option<Lease>, AwsError> {
        let get = self
            .db
            .get_item()
            .table_name(&self.table)
            .set_key(Some(key([("pk", account.to_string())])))
            .consistent_read(true);
        let item = get.send().await.map_err(AwsError::call("dynamodb:GetItem"))?.item;
        item.map(lease).transpose()
    }

    /// Takes the TOTP code of `step` for the worker that holds `lease`; the next one is there from `fresh_at` on.
    ///
    /// [`AwsError::Conflict`] if somebody else holds it by now.
    pub async fn claim_totp(
        &self,
        lease: &Lease,
        step: u64,
        fresh_at: Timestamp,
    ) -> Result<TotpClaim, AwsError> {
        // A retailer whose clock was ahead once must not lock its accounts until that time comes.
        let past = fresh_at.checked_sub(CLOCK_TROUBLE).unwrap_or(fresh_at);
        let update = self
            .update(&lease.account)
            .update_expression("SET totp_step = :step, fresh_totp_at = :fresh")
            .condition_expression(
                "fence = :fence AND (attribute_not_exists(totp_step) OR totp_step < :step \
                 OR (totp_step <> :step AND fresh_totp_at < :past))",
            )
            .expression_attribute_values(":past", number(past.as_millisecond()))
            .expression_attribute_values(":fence", number(lease.fence))
            .expression_attribute_values(":step", number(step))
            .expression_attribute_values(":fresh", number(fresh_at.as_millisecond()))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        match update_item(update).await {
            Ok(_) => Ok(TotpClaim::Ours),
            Err(UpdateItemError::ConditionalCheckFailedException(stands)) => {
                let stands = stands.item.map(read).transpose()?;
                let is_held = stands.is_some_and(|stands| stands.fence == lease.fence);
                if is_held { Ok(TotpClaim::Used) } else { Err(AwsError::Conflict) }
            }
            Err(error) => Err(AwsError::Call("dynamodb:UpdateItem", error.into())),
        }
    }

    /// Keeps `challenge` with the account, which stays held until its end. [`AwsError::Conflict`] if somebody else holds
    /// it by now.
    pub async fn wait(&self, lease: &Lease, challenge: &Challenge) -> Result<(), AwsError> {
        let value =
            serde_dynamo::to_attribute_value(challenge).map_err(AwsError::corrupt("a lease"))?;
        let held_until = clock::after(challenge.until, CLOCK_SKEW);
        self.change_held(
            self.update(&lease.account)
                .update_expression(
                    "SET challenge = :challenge, held_until = :until, is_parked = :parked",
                )
                .condition_expression("fence = :fence")
                .expression_attribute_values(":parked", AttributeValue::Bool(true))
                .expression_attribute_values(":challenge", value)
                .expression_attribute_values(":until", number(held_until.as_millisecond()))
                .expression_attribute_values(":fence", number(lease.fence)),
        )
        .await
    }

    /// Ends the challenge of the account, and takes `code`, which was mailed for it to `owner`, away: whatever becomes of
    /// it, it is used once. [`AwsError::Conflict`] if somebody else holds the account by now, has used the code, or has
    /// brought a newer one.
    pub async fn end_challenge(
        &self,
        lease: &Lease,
        owner: &Owner,
        code: Option<&MailedCode>,
    ) -> Result<(), AwsError> {
        const STILL_ASKED: &str = "fence = :fence AND attribute_exists(challenge)";
        let update =
            self.update(&lease.account).expression_attribute_values(":fence", number(lease.fence));
        let update = match code {
            None => update.update_expression("REMOVE challenge").condition_expression(STILL_ASKED),
            Some(code) => update
                .update_expression("REMOVE challenge, #code")
                .condition_expression(format!("{STILL_ASKED} AND #code.received_at = :received"))
                .expression_attribute_names("#code", code_attribute(owner))
                .expression_attribute_values(
                    ":received",
                    number(code.received_at.as_millisecond()),
                ),
        };
        self.change_held(update).await
    }

    /// Lets the challenge of the account be nobody's: no job waits for it any more, and a code that a client sends along
    /// may still answer it.
    pub async fn give_up(&self, lease: &Lease) -> Result<(), AwsError> {
        self.change_held(
            self.update(&lease.account)
                .update_expression("REMOVE challenge.#job")
                .condition_expression("fence = :fence AND attribute_exists(challenge)")
                .expression_attribute_names("#job", "job")
                .expression_attribute_values(":fence", number(lease.fence)),
        )
        .await
    }

    /// Keeps a code that was mailed to `owner`, in place of one that was written earlier or has expired. Answers with the
    /// challenge that waits for it.
    pub async fn deliver_code(
        &self,
        account: &AccountRef,
        owner: &Owner,
        code: &MailedCode,
    ) -> Result<Option<Challenge>, AwsError> {
        let value = serde_dynamo::to_attribute_value(code).map_err(AwsError::corrupt("a code"))?;
        let expired = code.received_at.checked_sub(CODE_LIFE).unwrap_or(code.received_at);
        let update = self
            .update(account)
            .update_expression("SET #code = :code")
            // An account that was never held has nobody who waits. Mails overtake each other.
            .condition_expression(
                "attribute_exists(pk) AND (attribute_not_exists(#code) OR #code.sent_at <= :sent \
                 OR #code.received_at < :expired)",
            )
            .expression_attribute_names("#code", code_attribute(owner))
            .expression_attribute_values(":code", value)
            .expression_attribute_values(":sent", number(code.sent_at.as_millisecond()))
            .expression_attribute_values(":expired", number(expired.as_millisecond()))
            .return_values(ReturnValue::AllNew);
        match update_item(update).await {
            Ok(output) => {
                let stored = read(output.attributes.unwrap_or_default())?;
                Ok(stored.challenge.filter(|challenge| challenge.owner == *owner))
            }
            Err(error) if error.is_conditional_check_failed_exception() => Ok(None),
            Err(error) => Err(AwsError::Call("dynamodb:UpdateItem", error.into())),
        }
    }

    /// Frees an account whose job was waiting for a code when it was called off.
    pub async fn abandon(&self, account: &AccountRef, job: &RequestId) -> Result<(), AwsError> {
        let update = self
            .update(account)
            .update_expression(
                "SET held_until = :never REMOVE job_id, #owner, challenge, is_parked",
            )
            .condition_expression("job_id = :job AND challenge.#job = :job")
            .expression_attribute_names("#owner", "owner")
            .expression_attribute_names("#job", "job")
            .expression_attribute_values(":never", number(0))
            .expression_attribute_values(":job", text(job.as_str()));
        match update_item(update).await {
            Ok(_) => Ok(()),
            Err(error) if error.is_conditional_check_failed_exception() => Ok(()),
            Err(error) => Err(AwsError::Call("dynamodb:UpdateItem", error.into())),
        }
    }

    fn update(&self, account: &AccountRef) -> UpdateItemFluentBuilder {
        let key = key([("pk", account.to_string())]);
        self.db.update_item().table_name(&self.table).set_key(Some(key))
    }

    async fn change_held(&self, update: UpdateItemFluentBuilder) -> Result<(), AwsError> {
        match update_item(update).await {
            Ok(_) => Ok(()),
            Err(error) if error.is_conditional_check_failed_exception() => Err(AwsError::Conflict),
            Err(error) => Err(AwsError::Call("dynamodb:UpdateItem", error.into())),
        }
    }

    /// Gives the account back, unless somebody else holds it by now.
    pub async fn release(&self, lease: &Lease) -> Result<(), AwsError> {
        let update = self
            .update(&lease.account)
            .update_expression("SET held_until = :never REMOVE job_id, #owner, taken_by, is_parked")
            .condition_expression("fence = :fence")
            .expression_attribute_names("#owner", "owner")
            .expression_attribute_values(":never", number(0))
            .expression_attribute_values(":fence", number(lease.fence));
        match update_item(update).await {
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
            .condition_expression(if Guard::Fence.stands() {
                "fence = :fence"
            } else {
                "fence >= :fence"
            })
            .expression_attribute_values(":fence", number(lease.fence));
        Write::check(check)
    }
}

fn lease(item: Item) -> Result<Lease, AwsError> {
    let mut codes = HashMap::new();
    for (name, value) in item.iter().filter(|(name, _)| name.starts_with("code#")) {
        let code = serde_dynamo::from_attribute_value(value.clone());
        codes.insert(name.clone(), code.map_err(AwsError::corrupt("a lease"))?);
    }
    let Stored { pk: account, fence, fresh_totp_at, challenge, .. } = read(item)?;
    Ok(Lease { account, fence, fresh_totp_at, challenge, codes })
}

fn read(item: Item) -> Result<Stored, AwsError> {
    serde_dynamo::from_item(item).map_err(AwsError::corrupt("a lease"))
}
