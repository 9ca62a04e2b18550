//! Orders and what they bought.
//!
//! A claim says which of our orders a purchase in an account's history belongs to. Two equal orders in a row look
//! alike there, and one purchase must not count for both.

use std::collections::HashSet;

use aws_config::SdkConfig;
use aws_sdk_dynamodb::{Client, types::Put};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{
    AwsError, Item,
    aftersales::AfterSales,
    backlogs::Backlogs,
    batch_get,
    bundles::Bundles,
    idempotency::{self, Created, Idempotency, New, Replay},
    key,
    keys::{self, DueKind},
    number,
    outbox::Outbox,
    queue::Jobs,
    text,
    transaction::{self, Write},
    vault::Context,
    webhook_settings::WebhookSettings,
};
use crate::{
    accounts::{AccountRef, Owner},
    backlog::Place,
    cancellations, clock,
    email::Email,
    guards::Guard,
    id::{self, Id, OrderId, Requested, ReturnId},
    ledger::Hold,
    orders::{LoginSource, Order, Status, StatusUpdate, bundling::Group},
    retailers::{PastOrder, RetailerCode, Site},
    returns,
    sealed::Sealed,
    webhooks::Target,
};

/// The table of orders.
#[derive(Clone)]
pub struct Orders {
    db: Client,
    table: String,
}

/// What the secrets are sealed for that came with a request.
pub fn secrets_context<K: Requested>(
    owner: &Owner,
    request: &Id<K>,
    purpose: &'static str,
) -> Context {
    Context { client: owner.partition(), account: request.to_string(), purpose }
}

/// Which part of an owner's orders is wanted.
#[derive(Debug, Default)]
pub struct Page {
    /// How many at the most.
    pub limit: usize,
    /// How many of the newest to leave out.
    pub skip: usize,
    /// Only orders accepted at or after this.
    pub from: Option<Timestamp>,
    /// Only orders accepted before this.
    pub before: Option<Timestamp>,
    /// Only orders of this retailer.
    pub retailer: Option<RetailerCode>,
}

#[derive(Serialize, Deserialize)]
struct StoredOrder {
    pk: String,
    sk: String,
    id: OrderId,
    owner: Owner,
    retailer: RetailerCode,
    site: Site,
    account: AccountRef,
    email: Email,
    login: LoginSource,
    secrets: Option<Sealed>,
    #[serde(default, alias = "has_card_code")]
    has_card: bool,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    group: Option<Group>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    hold: Option<Hold>,
    /// JSON text: it may nest deeper than DynamoDB allows.
    request: String,
    webhooks: Vec<Target>,
    /// JSON text, for the details a retailer gives with a refusal.
    status: String,
    updates: Vec<StatusUpdate>,
    dispatches: u32,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    place: Option<Place>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    due_shard: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    due_at: Option<i64>,
    #[serde(with = "clock::millis")]
    created_at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    ended_at: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    retried_as: Option<OrderId>,
    version: u64,
}

#[derive(Serialize, Deserialize)]
struct StoredReturnClaim {
    pk: String,
    sk: String,
    request: ReturnId,
}

#[derive(Serialize, Deserialize)]
struct StoredClaim {
    pk: String,
    sk: String,
    owner: Owner,
    order: OrderId,
}

impl Orders {
    /// The table `table`.
    pub fn new(config: &SdkConfig, table: String) -> Self {
        Self { db: Client::new(config), table }
    }

    /// The outbox in the same table.
    pub fn outbox(&self) -> Outbox {
        Outbox::new(self.db.clone(), self.table.clone())
    }

    /// Clients' own endpoints in the same table.
    pub fn webhook_settings(&self) -> WebhookSettings {
        WebhookSettings::new(self.db.clone(), self.table.clone())
    }

    /// The bundles in the same table.
    pub fn bundles(&self) -> Bundles {
        Bundles::new(self.db.clone(), self.table.clone())
    }

    /// The backlogs in the same table, of accounts whose jobs are sent to `jobs`.
    pub fn backlogs(&self, jobs: Jobs) -> Backlogs {
        Backlogs::new(self.db.clone(), self.table.clone(), jobs)
    }

    /// The cancellations in the same table.
    pub fn cancellations(&self) -> AfterSales<cancellations::Status> {
        AfterSales::new(self.db.clone(), self.table.clone(), DueKind::Cancellation)
    }

    /// The returns in the same table.
    pub fn returns(&self) -> AfterSales<returns::Status> {
        AfterSales::new(self.db.clone(), self.table.clone(), DueKind::Return)
    }

    /// Stores a new order with its idempotency record and `also` what belongs to it.
    pub async fn create(
        &self,
        order: &Order,
        idempotency: Option<&Idempotency>,
        also: Vec<Write>,
    ) -> Result<Created<id::Order>, AwsError> {
        let put = self.put_new(&stored_order(order, order.version)?, "an order")?;
        let new = New { owner: &order.owner, id: &order.id, idempotency, put, also };
        idempotency::create(&self.db, &self.table, new).await
    }

    /// What the request with this idempotency key was answered, if there was one.
    pub async fn replay(
        &self,
        owner: &Owner,
        idempotency: &Idempotency,
    ) -> Result<Option<Replay<id::Order>>, AwsError> {
        let record = self.item(keys::owned(owner, keys::idempotency_sk(&idempotency.key))).await?;
        record.map(|record| idempotency::replay(Some(&record), idempotency)).transpose()
    }

    /// The order `id` of `owner`.
    pub async fn get(&self, owner: &Owner, id: &OrderId) -> Result<Option<Order>, AwsError> {
        let found = self.item(keys::order(owner, id)).await?;
        found.map(read_order).transpose()
    }

    /// The orders `ids` of `owner`, in no order; those there are not are left out.
    pub async fn get_all(&self, owner: &Owner, ids: &[OrderId]) -> Result<Vec<Order>, AwsError> {
        let wanted = ids.iter().map(|id| keys::order(owner, id)).collect();
        let items = batch_get(&self.db, &self.table, wanted).await?;
        items.into_iter().map(read_order).collect()
    }

    /// Orders of `owner`, newest first.
    pub async fn list(&self, owner: &Owner, page: &Page) -> Result<Vec<Order>, AwsError> {
        if let (Some(from), Some(before)) = (page.from, page.before)
            && from > before
        {
            // DynamoDB refuses such a range.
            return Ok(Vec::new());
        }
        let bound = |time: Option<Timestamp>, or: &str| {
            // Ids begin with the milliseconds of their UUIDv7.
            let hex = time.map(|time| format!("{:012x}", time.as_millisecond().max(0)));
            format!("ORDER#{}", hex.as_deref().unwrap_or(or))
        };
        let mut pages = self
            .db
            .query()
            .table_name(&self.table)
            .key_condition_expression("pk = :owner AND sk BETWEEN :from AND :before")
            .expression_attribute_values(":owner", text(owner.partition()))
            .expression_attribute_values(":from", text(bound(page.from, "")))
            .expression_attribute_values(":before", text(bound(page.before, "~")))
            .scan_index_forward(false)
            .consistent_read(true)
            .into_paginator()
            .items()
            .send();
        let mut orders = Vec::new();
        let mut skipped = 0;
        while orders.len() < page.limit {
            let Some(item) = pages.next().await else {
                break;
            };
            let order = read_order(item.map_err(AwsError::call("dynamodb:Query"))?)?;
            if page.retailer.is_some_and(|retailer| retailer != order.retailer) {
                continue;
            }
            if skipped < page.skip {
                skipped += 1;
            } else {
                orders.push(order);
            }
        }
        Ok(orders)
    }

    /// Which of the purchases in an account's history belong to none of our orders yet.
    pub async fn unclaimed(
        &self,
        account: &AccountRef,
        history: Vec<PastOrder>,
    ) -> Result<Vec<PastOrder>, AwsError> {
        let ids: HashSet<_> = history.iter().map(|past| past.merchant_order_id.as_str()).collect();
        let claim = |id: &str| key([("pk", keys::claim_pk(account)), ("sk", id.to_owned())]);
        let claims = ids.into_iter().map(claim).collect();
        let mut claimed = HashSet::new();
        for item in batch_get(&self.db, &self.table, claims).await? {
            let claim: StoredClaim =
                serde_dynamo::from_item(item).map_err(AwsError::corrupt("a claim"))?;
            claimed.insert(claim.sk);
        }
        Ok(history.into_iter().filter(|past| !claimed.contains(&past.merchant_order_id)).collect())
    }

    /// Writes `order` and `also` what changes with it, and returns it as it now stands. `order.version` is the one that
    /// was read. [`AwsError::Conflict`] if it is not as it was read, or if another condition does not hold.
    pub async fn save(&self, order: Order, also: Vec<Write>) -> Result<Order, AwsError> {
        let mut saved = self.save_all(vec![order], also).await?;
        saved.pop().ok_or(AwsError::Conflict)
    }

    /// The same for several orders, all or none.
    pub async fn save_all(
        &self,
        mut orders: Vec<Order>,
        also: Vec<Write>,
    ) -> Result<Vec<Order>, AwsError> {
        let mut writes = Vec::new();
        for order in &mut orders {
            writes.push(self.replace(order)?);
        }
        writes.extend(also);
        transaction::commit(&self.db, writes).await?;
        Ok(orders)
    }

    /// For a transaction: `order` in place of the version it was read from.
    pub fn replace(&self, order: &mut Order) -> Result<Write, AwsError> {
        let read = order.version;
        order.version = read.saturating_add(1);
        let item = serde_dynamo::to_item(stored_order(order, order.version)?)
            .map_err(AwsError::corrupt("an order"))?;
        let mut put = Put::builder().table_name(&self.table).set_item(Some(item));
        if Guard::Version.stands() {
            put = put
                .condition_expression("version = :read")
                .expression_attribute_values(":read", number(read));
        }
        Write::put(put)
    }

    /// For the transaction that finds `order` placed: the purchases are its own.
    pub fn claims(&self, order: &Order) -> Result<Vec<Write>, AwsError> {
        let Status::Placed(placement) = &order.status else { return Ok(Vec::new()) };
        let claim = |past: &PastOrder| {
            let claim = StoredClaim {
                pk: keys::claim_pk(&order.account),
                sk: past.merchant_order_id.clone(),
                owner: order.owner.clone(),
                order: order.id.clone(),
            };
            self.put_new(&claim, "a claim")
        };
        placement.merchant_orders.iter().map(claim).collect()
    }

    /// Our order that one of the retailer's belongs to, if it is one of ours.
    pub async fn claimant(
        &self,
        account: &AccountRef,
        merchant_order_id: &str,
    ) -> Result<Option<Order>, AwsError> {
        let sk = merchant_order_id.to_owned();
        let found = self.item(key([("pk", keys::claim_pk(account)), ("sk", sk)])).await?;
        let Some(claim) = found else { return Ok(None) };
        let StoredClaim { owner, order, .. } =
            serde_dynamo::from_item(claim).map_err(AwsError::corrupt("a claim"))?;
        self.get(&owner, &order).await
    }

    /// For the transaction that finds the return `request` started: this one of the retailer's is its own.
    pub fn claim_return(
        &self,
        account: &AccountRef,
        merchant_return_id: &str,
        request: &ReturnId,
    ) -> Result<Write, AwsError> {
        let claim = StoredReturnClaim {
            pk: keys::claim_pk(account),
            sk: keys::claimed_return_sk(merchant_return_id),
            request: request.clone(),
        };
        self.put_new(&claim, "a claim")
    }

    /// Whether one of the retailer's returns belongs to a request of ours.
    pub async fn is_claimed_return(
        &self,
        account: &AccountRef,
        merchant_return_id: &str,
    ) -> Result<bool, AwsError> {
        let sk = keys::claimed_return_sk(merchant_return_id);
        let found = self.item(key([("pk", keys::claim_pk(account)), ("sk", sk)])).await?;
        Ok(found.is_some())
    }

    async fn item(&self, key: Item) -> Result<Option<Item>, AwsError> {
        let found = self
            .db
            .get_item()
            .table_name(&self.table)
            .set_key(Some(key))
            .consistent_read(true)
            .send()
            .await
            .map_err(AwsError::call("dynamodb:GetItem"))?;
        Ok(found.item)
    }

    fn put_new<T: Serialize>(&self, stored: &T, kind: &'static str) -> Result<Write, AwsError> {
        let item = serde_dynamo::to_item(stored).map_err(AwsError::corrupt(kind))?;
        let put = Put::builder()
            .table_name(&self.table)
            .set_item(Some(item))
            .condition_expression("attribute_not_exists(pk)");
        Write::put(put)
    }
}

fn stored_order(order: &Order, version: u64) -> Result<StoredOrder, AwsError> {
    let json = AwsError::corrupt::<serde_json::Error>;
    Ok(StoredOrder {
        pk: order.owner.partition(),
        sk: keys::order_sk(&order.id),
        id: order.id.clone(),
        owner: order.owner.clone(),
        retailer: order.retailer,
        site: order.site,
        account: order.account.clone(),
        email: order.email.clone(),
        login: order.login.clone(),
        secrets: order.secrets.clone(),
        has_card: order.has_card,
        group: order.group.clone(),
        hold: order.hold.clone(),
        request: serde_json::to_string(&order.request).map_err(json("an order"))?,
        webhooks: order.webhooks.clone(),
        status: serde_json::to_string(&order.status).map_err(json("an order"))?,
        updates: order.updates.clone(),
        dispatches: order.dispatches,
        place: order.place.clone(),
        due_shard: order.due_at.map(|_| DueKind::Order.shard(order.id.as_str())),
        due_at: order.due_at.map(Timestamp::as_millisecond),
        created_at: order.created_at,
        ended_at: order.ended_at.map(Timestamp::as_millisecond),
        retried_as: order.retried_as.clone(),
        version,
    })
}

fn read_order(item: Item) -> Result<Order, AwsError> {
    let json = AwsError::corrupt::<serde_json::Error>;
    let stored: StoredOrder =
        serde_dynamo::from_item(item).map_err(AwsError::corrupt("an order"))?;
    let status: Status = serde_json::from_str(&stored.status).map_err(json("an order"))?;
    Ok(Order {
        id: stored.id,
        owner: stored.owner,
        retailer: stored.retailer,
        site: stored.site,
        account: stored.account,
        email: stored.email,
        login: stored.login,
        secrets: stored.secrets,
        has_card: stored.has_card,
        group: stored.group,
        hold: stored.hold,
        request: serde_json::from_str(&stored.request).map_err(json("an order"))?,
        webhooks: stored.webhooks,
        status,
        updates: stored.updates,
        dispatches: stored.dispatches,
        place: stored.place,
        due_at: stored.due_at.and_then(|millis| Timestamp::from_millisecond(millis).ok()),
        created_at: stored.created_at,
        ended_at: stored.ended_at.and_then(|millis| Timestamp::from_millisecond(millis).ok()),
        retried_as: stored.retried_as,
        version: stored.version,
    })
}
