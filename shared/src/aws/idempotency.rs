//! Idempotency records, in the table of orders: an equal request under the same key is answered the same.

use aws_sdk_dynamodb::types::{Put, ReturnValuesOnConditionCheckFailure};
use serde::{Deserialize, Serialize};

use super::{AwsError, Item, keys, transaction::Write};
use crate::{
    accounts::Owner,
    guards::Guard,
    id::{Id, Kind},
};

/// What makes a repeated request the same request.
pub struct Idempotency {
    /// The client's key.
    pub key: String,
    /// A keyed hash of the body.
    pub fingerprint: String,
}

/// A request whose key was used before.
#[derive(Debug, PartialEq)]
pub enum Replay<K> {
    /// For an equal request: this one.
    Before(Id<K>),
    /// For another request.
    KeyTaken,
}

#[derive(Serialize, Deserialize)]
#[serde(bound = "")]
struct Stored<K: Kind> {
    pk: String,
    sk: String,
    #[serde(alias = "order")]
    request: Id<K>,
    fingerprint: String,
}

/// For the transaction that stores `request`. If there is a record already, the refusal brings it along for [`replay`].
pub(super) fn put_new<K: Kind>(
    table: &str,
    owner: &Owner,
    request: &Id<K>,
    idempotency: &Idempotency,
) -> Result<Write, AwsError> {
    let stored = Stored {
        pk: owner.partition(),
        sk: keys::idempotency_sk(&idempotency.key),
        request: request.clone(),
        fingerprint: idempotency.fingerprint.clone(),
    };
    let item = serde_dynamo::to_item(stored).map_err(AwsError::corrupt("an idempotency record"))?;
    let mut put = Put::builder().table_name(table).set_item(Some(item));
    if Guard::IdempotencyKey.stands() {
        put = put
            .condition_expression("attribute_not_exists(pk)")
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
    }
    Write::put(put)
}

/// What the request was answered that came before under the same key and left this record.
pub(super) fn replay<K: Kind>(
    record: Option<&Item>,
    idempotency: &Idempotency,
) -> Result<Replay<K>, AwsError> {
    let record = record.cloned().ok_or(AwsError::Conflict)?;
    let stored: Stored<K> =
        serde_dynamo::from_item(record).map_err(AwsError::corrupt("an idempotency record"))?;
    if stored.fingerprint == idempotency.fingerprint || !Guard::BodyHash.stands() {
        Ok(Replay::Before(stored.request))
    } else {
        Ok(Replay::KeyTaken)
    }
}
