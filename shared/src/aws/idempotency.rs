//! Idempotency records, in the table of orders: an equal request under the same key is answered the same.

use aws_sdk_dynamodb::{
    Client,
    types::{Put, ReturnValuesOnConditionCheckFailure},
};
use serde::{Deserialize, Serialize};

use super::{
    AwsError, Item, keys,
    transaction::{self, NotWritten, Refused, Write},
};
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

/// What became of a new request.
#[derive(Debug, PartialEq)]
pub enum Created<K> {
    /// It was stored.
    New,
    /// An equal request was stored before: this one.
    Before(Id<K>),
    /// The key belongs to another request.
    KeyTaken,
    /// The conditions of some of the other writes did not hold.
    Refused(Refused),
}

impl<K> From<Replay<K>> for Created<K> {
    fn from(replay: Replay<K>) -> Self {
        match replay {
            Replay::Before(id) => Self::Before(id),
            Replay::KeyTaken => Self::KeyTaken,
        }
    }
}

/// A new request, and what is stored only if it is.
pub(super) struct New<'a, K> {
    pub(super) owner: &'a Owner,
    pub(super) id: &'a Id<K>,
    pub(super) idempotency: Option<&'a Idempotency>,
    /// Stores the request itself.
    pub(super) put: Write,
    pub(super) also: Vec<Write>,
}

/// Stores a new request with its idempotency record, unless there is one.
pub(super) async fn create<K: Kind>(
    db: &Client,
    table: &str,
    new: New<'_, K>,
) -> Result<Created<K>, AwsError> {
    let New { owner, id, idempotency, put, also } = new;
    let mut writes = Vec::new();
    if let Some(idempotency) = idempotency {
        writes.push(put_new(table, owner, id, idempotency)?);
    }
    writes.push(put);
    let own_writes = writes.len();
    writes.extend(also);
    match (transaction::commit(db, writes).await, idempotency) {
        (Ok(()), _) => Ok(Created::New),
        (Err(NotWritten::Refused(refused)), Some(idempotency)) if refused.at(0) => {
            Ok(replay(refused.item(0), idempotency)?.into())
        }
        (Err(NotWritten::Refused(refused)), _) => {
            refused.after(own_writes).map(Created::Refused).ok_or(AwsError::Conflict)
        }
        (Err(error), _) => Err(error.into()),
    }
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
fn put_new<K: Kind>(
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
