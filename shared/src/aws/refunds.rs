//! Refunds, in the table of the ledgers: a refund that is granted and the posting of its money are one transaction.

use std::collections::HashMap;

use aws_config::SdkConfig;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{
    AwsError, Item,
    ledger::{Ledger, Posted},
    transaction::{NotWritten, Write},
};
use crate::{
    accounts::Owner,
    clock,
    id::{OrderId, PostingId},
    ledger::{OrderFunds, Posting},
    money::Cents,
    refunds::{self, NothingPaid, Refund, RefundReason, RefundState, Wish},
};

/// The refunds in the table of ledgers.
#[derive(Clone)]
pub struct Refunds {
    ledger: Ledger,
}

#[derive(Serialize, Deserialize)]
struct Stored {
    pk: String,
    sk: String,
    order: OrderId,
    reason: RefundReason,
    note: String,
    refund: RefundState,
    amount: Cents,
    currency: String,
    merchant_order_ids: Vec<String>,
    #[serde(default)]
    decided_before: Vec<String>,
    #[serde(with = "clock::millis")]
    requested_at: Timestamp,
    version: u64,
}

/// Somebody else may write the same refund; after so many times it is no coincidence.
const TRIES: usize = 5;

impl Refunds {
    /// Those in the table `table`.
    pub fn new(config: &SdkConfig, table: String) -> Self {
        Self { ledger: Ledger::new(config, table) }
    }

    /// The refund of `order`, if one was asked for.
    pub async fn get(&self, owner: &Owner, order: &OrderId) -> Result<Option<Refund>, AwsError> {
        self.ledger.item(owner, sk(order)).await?.map(read).transpose()
    }

    /// The refund of `order` and what it can be paid from, in one read.
    async fn with_funds(
        &self,
        owner: &Owner,
        order: &OrderId,
    ) -> Result<(Option<Refund>, Option<OrderFunds>), AwsError> {
        let (refund, funds) = self.ledger.item_and_funds(owner, sk(order), order).await?;
        Ok((refund.map(read).transpose()?, funds))
    }

    /// All refunds of `owner`, the oldest order first.
    pub async fn list(&self, owner: &Owner) -> Result<Vec<Refund>, AwsError> {
        let items = self.ledger.query(owner, "REFUND#").into_paginator().items().send();
        let items: Vec<HashMap<_, _>> =
            items.try_collect().await.map_err(AwsError::call("dynamodb:Query"))?;
        items.into_iter().map(read).collect()
    }

    /// Asks for a refund of `order`, and returns the one that stands then; none if there is nothing left to refund.
    pub async fn request(
        &self,
        owner: &Owner,
        order: &OrderId,
        wish: &Wish,
        now: Timestamp,
    ) -> Result<Result<Option<Refund>, NothingPaid>, AwsError> {
        for _ in 0..TRIES {
            let (stands, funds) = self.with_funds(owner, order).await?;
            let refund = match refunds::request(stands.as_ref(), wish, funds.as_ref(), now) {
                Ok(Some(refund)) => refund,
                Ok(None) => return Ok(Ok(stands)),
                Err(why) => return Ok(Err(why)),
            };
            let write = self.put(owner, &refund)?;
            match self.ledger.commit(vec![write]).await {
                Ok(()) => return Ok(Ok(Some(refund))),
                Err(NotWritten::Refused(_)) => {}
                Err(NotWritten::Failed(error)) => return Err(error),
            }
        }
        Err(AwsError::Conflict)
    }

    /// For the transaction that records what calls for `wish`: a cancellation that succeeded, a return that arrived.
    /// `None` if `order` was not paid from the balance, or its refund stays as it is. The transaction fails if somebody
    /// else changes the refund meanwhile. Needs `dynamodb:BatchGetItem` and `dynamodb:PutItem`.
    pub async fn request_automatically(
        &self,
        owner: &Owner,
        order: &OrderId,
        wish: &Wish,
        now: Timestamp,
    ) -> Result<Option<Write>, AwsError> {
        let (stands, funds) = self.with_funds(owner, order).await?;
        if funds.is_none() {
            return Ok(None);
        }
        match refunds::request(stands.as_ref(), wish, funds.as_ref(), now) {
            Ok(Some(refund)) => self.put(owner, &refund).map(Some),
            Ok(None) | Err(_) => Ok(None),
        }
    }

    /// Writes a refund that was granted together with the posting of its money; [`AwsError::Conflict`] if the refund is
    /// not as it was read.
    pub async fn grant(
        &self,
        owner: &Owner,
        refund: &Refund,
        id: PostingId,
        now: Timestamp,
    ) -> Result<Posted, AwsError> {
        let note = format!("Refund: {}", refund.reason.as_str());
        let posting = Posting::refund(id, now, refund.order.clone(), refund.amount).noting(note);
        let others = vec![self.put(owner, refund)?];
        self.ledger.post_with(owner, &refund.currency, &posting, others).await
    }

    /// Writes a refund that was declined; [`AwsError::Conflict`] if it is not as it was read.
    pub async fn save(&self, owner: &Owner, refund: &Refund) -> Result<(), AwsError> {
        let write = self.put(owner, refund)?;
        Ok(self.ledger.commit(vec![write]).await?)
    }

    fn put(&self, owner: &Owner, refund: &Refund) -> Result<Write, AwsError> {
        self.ledger.put_version(&store(owner, refund), refund.version, "a refund")
    }
}

fn sk(order: &OrderId) -> String {
    format!("REFUND#{order}")
}

fn store(owner: &Owner, refund: &Refund) -> Stored {
    Stored {
        pk: owner.partition(),
        sk: sk(&refund.order),
        order: refund.order.clone(),
        reason: refund.reason,
        note: refund.note.clone(),
        refund: refund.state.clone(),
        amount: refund.amount,
        currency: refund.currency.clone(),
        merchant_order_ids: refund.merchant_order_ids.clone(),
        decided_before: refund.decided_before.clone(),
        requested_at: refund.requested_at,
        version: refund.version,
    }
}

fn read(item: Item) -> Result<Refund, AwsError> {
    let stored: Stored = serde_dynamo::from_item(item).map_err(AwsError::corrupt("a refund"))?;
    Ok(Refund {
        order: stored.order,
        reason: stored.reason,
        note: stored.note,
        state: stored.refund,
        amount: stored.amount,
        currency: stored.currency,
        merchant_order_ids: stored.merchant_order_ids,
        decided_before: stored.decided_before,
        requested_at: stored.requested_at,
        version: stored.version,
    })
}
