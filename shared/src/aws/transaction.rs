//! Writes of several stores, all or nothing.

use aws_sdk_dynamodb::{
    Client,
    error::SdkError,
    operation::transact_write_items::TransactWriteItemsError,
    types::{CancellationReason, TransactWriteItem, builders},
};
use backon::Retryable;

use super::{AwsError, Item, meeting_retries};

const CALL: &str = "dynamodb:TransactWriteItems";

/// One write of a transaction. Only the store that made it knows what it does.
#[derive(Debug, Clone)]
pub struct Write(TransactWriteItem);

/// A transaction that wrote nothing.
#[derive(Debug)]
pub enum NotWritten {
    /// The conditions of some writes did not hold.
    Refused(Refused),
    /// It could not be asked for.
    Failed(AwsError),
}

/// What DynamoDB says of each write of a transaction that it refused.
#[derive(Debug, Clone, PartialEq)]
pub struct Refused(Vec<CancellationReason>);

impl Refused {
    /// Whether it was the condition of the write at `place` that did not hold.
    pub fn at(&self, place: usize) -> bool {
        self.0.get(place).is_some_and(is_failed_condition)
    }

    /// The same without the first `count` writes, if the condition of one of the others did not hold.
    pub fn after(mut self, count: usize) -> Option<Self> {
        let others = self.0.split_off(count.min(self.0.len()));
        others.iter().any(is_failed_condition).then_some(Self(others))
    }

    /// The item at `place` as it stands, if its write asked for it and there is one.
    pub(super) fn item(&self, place: usize) -> Option<&Item> {
        self.0.get(place)?.item().filter(|item| !item.is_empty())
    }
}

impl From<NotWritten> for AwsError {
    fn from(error: NotWritten) -> Self {
        match error {
            NotWritten::Refused(_) => Self::Conflict,
            NotWritten::Failed(error) => error,
        }
    }
}

impl Write {
    /// Puts an item.
    pub(super) fn put(put: builders::PutBuilder) -> Result<Self, AwsError> {
        let put = put.build().map_err(AwsError::call(CALL))?;
        Ok(Self(TransactWriteItem::builder().put(put).build()))
    }

    /// Changes an item.
    pub(super) fn update(update: builders::UpdateBuilder) -> Result<Self, AwsError> {
        let update = update.build().map_err(AwsError::call(CALL))?;
        Ok(Self(TransactWriteItem::builder().update(update).build()))
    }

    /// Removes an item.
    pub(super) fn delete(delete: builders::DeleteBuilder) -> Result<Self, AwsError> {
        let delete = delete.build().map_err(AwsError::call(CALL))?;
        Ok(Self(TransactWriteItem::builder().delete(delete).build()))
    }

    /// Changes nothing, and lets nothing else be changed unless a condition holds.
    pub(super) fn check(check: builders::ConditionCheckBuilder) -> Result<Self, AwsError> {
        let check = check.build().map_err(AwsError::call(CALL))?;
        Ok(Self(TransactWriteItem::builder().condition_check(check).build()))
    }
}

/// Writes all or nothing. Another transaction on the same items is no reason to fail: it is waited for.
pub(super) async fn commit(db: &Client, writes: Vec<Write>) -> Result<(), NotWritten> {
    let items: Vec<_> = writes.into_iter().map(|write| write.0).collect();
    let send = || async {
        let sent = db.transact_write_items().set_transact_items(Some(items.clone())).send().await;
        sent.map(drop).map_err(SdkError::into_service_error)
    };
    let meets = |error: &TransactWriteItemsError| {
        reasons(error).iter().any(|why| why.code() == Some("TransactionConflict"))
    };
    send.retry(meeting_retries()).when(meets).await.map_err(|error| {
        if reasons(&error).iter().any(is_failed_condition) {
            NotWritten::Refused(Refused(reasons(&error).to_vec()))
        } else {
            NotWritten::Failed(AwsError::Call(CALL, error.into()))
        }
    })
}

fn reasons(error: &TransactWriteItemsError) -> &[CancellationReason] {
    match error {
        TransactWriteItemsError::TransactionCanceledException(canceled) => {
            canceled.cancellation_reasons()
        }
        _ => &[],
    }
}

fn is_failed_condition(reason: &CancellationReason) -> bool {
    reason.code() == Some("ConditionalCheckFailed")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(codes: &[&str]) -> Refused {
        Refused(
            codes.iter().map(|code| CancellationReason::builder().code(*code).build()).collect(),
        )
    }

    #[test]
    fn a_meeting_of_transactions_is_told_from_a_failed_condition() {
        let both = refused(&["TransactionConflict", "None", "ConditionalCheckFailed"]);
        assert_eq!([0, 1, 2, 3].map(|place| both.at(place)), [false, false, true, false]);
        assert!(both.clone().after(2).is_some_and(|others| others.at(0)));
        assert_eq!(both.after(3), None);
    }
}
