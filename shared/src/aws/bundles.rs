//! Bundles that wait, in the table of orders. One that was bought is gone.

use aws_sdk_dynamodb::{
    Client,
    types::{Delete, Put},
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{
    AwsError, Item,
    keys::{self, BundleKey, DueKind},
    number, text,
    transaction::{self, Write},
};
use crate::{
    accounts::{AccountRef, Owner},
    backlog::Place,
    clock,
    id::BundleId,
    orders::bundling::{Bundle, Group, Member},
};

/// The bundles in the table of orders.
#[derive(Clone)]
pub struct Bundles {
    db: Client,
    table: String,
}

#[derive(Serialize, Deserialize)]
struct Stored {
    pk: String,
    sk: String,
    id: BundleId,
    owner: Owner,
    account: AccountRef,
    group: Group,
    members: Vec<Member>,
    #[serde(with = "clock::millis")]
    opened_at: Timestamp,
    #[serde(with = "clock::optional_millis", default)]
    launched_at: Option<Timestamp>,
    attempts: u32,
    dispatches: u32,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    place: Option<Place>,
    due_shard: String,
    #[serde(with = "clock::millis")]
    due_at: Timestamp,
    version: u64,
}

impl Bundle {
    /// Where it is stored.
    pub fn key(&self) -> BundleKey {
        BundleKey { account: self.account.clone(), group: self.group.clone(), id: self.id.clone() }
    }
}

impl Bundles {
    pub(super) fn new(db: Client, table: String) -> Self {
        Self { db, table }
    }

    /// The bundle at `key`.
    pub async fn get(&self, owner: &Owner, key: &BundleKey) -> Result<Option<Bundle>, AwsError> {
        let found = self
            .db
            .get_item()
            .table_name(&self.table)
            .set_key(Some(keys::owned(owner, keys::bundle_sk(key))))
            .consistent_read(true)
            .send()
            .await
            .map_err(AwsError::call("dynamodb:GetItem"))?;
        found.item.map(read).transpose()
    }

    /// All bundles of one group.
    pub async fn of_group(
        &self,
        owner: &Owner,
        account: &AccountRef,
        group: &Group,
    ) -> Result<Vec<Bundle>, AwsError> {
        let mut pages = self
            .db
            .query()
            .table_name(&self.table)
            .key_condition_expression("pk = :owner AND begins_with(sk, :group)")
            .expression_attribute_values(":owner", text(owner.partition()))
            .expression_attribute_values(":group", text(keys::bundles_sk(account, group)))
            .consistent_read(true)
            .into_paginator()
            .items()
            .send();
        let mut bundles = Vec::new();
        while let Some(item) = pages.next().await {
            bundles.push(read(item.map_err(AwsError::call("dynamodb:Query"))?)?);
        }
        Ok(bundles)
    }

    /// For a transaction: `bundle` in place of the version it was read from, 0 for a new one.
    pub fn put(&self, bundle: &mut Bundle) -> Result<Write, AwsError> {
        let read = bundle.version;
        bundle.version = read.saturating_add(1);
        let item = serde_dynamo::to_item(stored(bundle)).map_err(AwsError::corrupt("a bundle"))?;
        let put = Put::builder().table_name(&self.table).set_item(Some(item));
        Write::put(match read {
            0 => put.condition_expression("attribute_not_exists(pk)"),
            _ => put
                .condition_expression("version = :read")
                .expression_attribute_values(":read", number(read)),
        })
    }

    /// Writes `bundle` and `also` what changes with it; [`AwsError::Conflict`] if it is not as it was read, or if
    /// another condition does not hold.
    pub async fn save(&self, bundle: &mut Bundle, also: Vec<Write>) -> Result<(), AwsError> {
        let mut writes = vec![self.put(bundle)?];
        writes.extend(also);
        Ok(transaction::commit(&self.db, writes).await?)
    }

    /// Removes `bundle`, together with `also`; [`AwsError::Conflict`] if it is not as it was read, or another condition
    /// does not hold.
    pub async fn remove(&self, bundle: &Bundle, also: Vec<Write>) -> Result<(), AwsError> {
        let delete = Delete::builder()
            .table_name(&self.table)
            .set_key(Some(keys::owned(&bundle.owner, keys::bundle_sk(&bundle.key()))))
            .condition_expression("version = :read")
            .expression_attribute_values(":read", number(bundle.version));
        let mut writes = vec![Write::delete(delete)?];
        writes.extend(also);
        Ok(transaction::commit(&self.db, writes).await?)
    }
}

fn stored(bundle: &Bundle) -> Stored {
    let Bundle {
        id,
        owner,
        account,
        group,
        members,
        opened_at,
        launched_at,
        attempts,
        dispatches,
        place,
        due_at,
        version,
    } = bundle.clone();
    Stored {
        pk: owner.partition(),
        sk: keys::bundle_sk(&bundle.key()),
        due_shard: DueKind::Bundle.shard(id.as_str()),
        id,
        owner,
        account,
        group,
        members,
        opened_at,
        launched_at,
        attempts,
        dispatches,
        place,
        due_at,
        version,
    }
}

fn read(item: Item) -> Result<Bundle, AwsError> {
    let stored: Stored = serde_dynamo::from_item(item).map_err(AwsError::corrupt("a bundle"))?;
    Ok(Bundle {
        id: stored.id,
        owner: stored.owner,
        account: stored.account,
        group: stored.group,
        members: stored.members,
        opened_at: stored.opened_at,
        launched_at: stored.launched_at,
        attempts: stored.attempts,
        dispatches: stored.dispatches,
        place: stored.place,
        due_at: stored.due_at,
        version: stored.version,
    })
}
