//! Accepting a cancellation or a return: it is in the table with its job before it is in the queue; if sending fails,
//! the sweeper sends it.

use http::StatusCode;
use serde::Serialize;
use serde_json::{Value, json};
use spelter::{
    accounts::Owner,
    aftersale::{AfterSale, UNATTENDED_AFTER, Wish},
    aws::{
        AwsError,
        aftersales::AfterSales,
        backlogs::Backlogs,
        idempotency::{Created, Idempotency},
        keyed_hash::KeyedHash,
        orders::{Orders, secrets_context},
        queue::Ticket,
        vault::Vault,
    },
    clock::{self, Clock},
    error::ApiError,
    id::{self, Id, Kind as _, OrderId, RequestId},
    orders::Order,
    random, redact,
    webhooks::address::Reach,
};

use super::Kind;
use crate::orders::create::key_taken;

/// The status of the answer to an accepted request.
pub(crate) const ACCEPTED: StatusCode = StatusCode::OK;

/// What accepting touches.
pub struct AcceptAfterSale<K: Kind> {
    /// The orders that are cancelled or returned.
    pub orders: Orders,
    /// The requests.
    pub requests: AfterSales<K>,
    /// Seals the logins of webhooks.
    pub vault: Vault,
    /// Compares bodies.
    pub keyed_hash: KeyedHash,
    /// The way to the worker.
    pub backlogs: Backlogs,
    /// How far webhooks go.
    pub reach: Reach,
    /// The time.
    pub now: Clock,
}

/// The answer to an accepted request.
#[derive(Serialize)]
pub struct Accepted {
    request_id: RequestId,
}

impl<K: Kind> AcceptAfterSale<K> {
    /// The order `id` of `owner`.
    pub(crate) async fn order(&self, owner: &Owner, id: &OrderId) -> Result<Order, ApiError> {
        let order = self.orders.get(owner, id).await?;
        order.ok_or(ApiError::NotFound(id::Order::NAME))
    }

    /// Accepts what `body` asks for about one of the retailer's orders that `order` became.
    pub(crate) async fn accept<W>(
        &self,
        order: &Order,
        merchant_order_id: &str,
        wish: Wish<W>,
        body: Value,
    ) -> Result<Accepted, ApiError> {
        let now = (self.now)();
        let id: Id<K::Kind> = Id::new(random::sortable_uuid(now));
        let idempotency = match wish.idempotency_key {
            Some(key) => Some(self.idempotency(order, key, &body).await?),
            None => None,
        };
        let context = secrets_context(&order.owner, &id, "webhook");
        let mut request = AfterSale {
            webhooks: self.vault.seal_targets(&context, wish.webhooks).await?,
            id,
            owner: order.owner.clone(),
            order: order.id.clone(),
            merchant_order_id: merchant_order_id.to_owned(),
            account: order.account.clone(),
            request: redact::echo(body),
            stage: K::first(),
            dispatches: 1,
            place: None,
            due_at: Some(clock::after(now, UNATTENDED_AFTER)),
            created_at: now,
            ended_at: None,
            version: 1,
        };
        let ticket = Ticket::new(request.account.clone(), K::message(&request), now);
        request.place = Some(ticket.place.clone());
        let create = |also| self.requests.create(&request, idempotency.as_ref(), also);
        match self.backlogs.add_with(&ticket, vec![], now, create).await? {
            Created::New => Ok(Accepted { request_id: request.id.request() }),
            Created::Before(id) => Ok(Accepted { request_id: id.request() }),
            Created::KeyTaken => Err(key_taken()),
            Created::Refused(_) => Err(AwsError::Conflict.into()),
        }
    }

    /// The same body may well be sent about another order, so that is part of it.
    async fn idempotency(
        &self,
        order: &Order,
        key: String,
        body: &Value,
    ) -> Result<Idempotency, ApiError> {
        let whole = json!([K::Kind::NAME, order.id, body]).to_string();
        let fingerprint = self.keyed_hash.of_body(whole.as_bytes()).await?;
        Ok(Idempotency { key, fingerprint })
    }
}
