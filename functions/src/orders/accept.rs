//! Accepting an order: what a client asked for becomes an order in the table and a message in the queue.

mod buyer;

use serde_json::{Value, json};
use spelter::{
    accounts::{Owner, credentials::Secrets},
    aws::{
        AwsError,
        accounts::Accounts,
        backlogs::Backlogs,
        cards::Cards,
        idempotency::{Created, Idempotency, Replay},
        keyed_hash::KeyedHash,
        leases::Leases,
        ledger::{self, Ledger, LedgerRefusal},
        orders::{Orders, secrets_context},
        outbox::Outbox,
        queue::{JobMessage, Ticket, Webhooks},
        transaction::{Refused, Write},
        vault::Vault,
    },
    clock::Clock,
    error::{ApiError, Code, Refusal},
    fields::{self, FieldError},
    http::MAX_BODY_BYTES,
    id::{self, OrderId, PostingId},
    ledger::{Hold, LedgerAccount, Posting, currency_of},
    orders::{
        Event, Order, Status,
        bundling::Group,
        request::{self, OrderRequest},
    },
    random, redact,
    retailers::{RetailerCode, Site},
    sealed::Sealed,
    webhooks::address::Reach,
};

use super::{progress::news_of, view};
use crate::news;

/// What accepting an order touches.
pub struct AcceptOrder {
    /// The orders.
    pub orders: Orders,
    /// The news of one that is refused as it is accepted.
    pub outbox: Outbox,
    /// The managed accounts an order may use.
    pub accounts: Accounts,
    /// Which of them are busy.
    pub leases: Leases,
    /// Where cards wait.
    pub cards: Cards,
    /// Where balances are.
    pub ledger: Ledger,
    /// Seals what came with the order.
    pub vault: Vault,
    /// Names accounts and compares bodies.
    pub keyed_hash: KeyedHash,
    /// The way to the worker.
    pub backlogs: Backlogs,
    /// The way to the sender.
    pub webhooks: Webhooks,
    /// How far webhooks go.
    pub reach: Reach,
    /// The time.
    pub now: Clock,
}

/// What becomes of a request.
pub(super) enum Accepting {
    /// It is this order, now or since an equal request came before.
    Accepted(OrderId),
    /// Its idempotency key belongs to another request.
    KeyTaken,
    /// The order that it is another try of was changed in between.
    Lost,
}

impl From<Replay<id::Order>> for Accepting {
    fn from(replay: Replay<id::Order>) -> Self {
        match replay {
            Replay::Before(id) => Self::Accepted(id),
            Replay::KeyTaken => Self::KeyTaken,
        }
    }
}

/// Who asks for an order.
pub(super) enum Origin {
    /// A client, by itself.
    Client,
    /// A client, for another try of this order, which has failed.
    Retry(Box<Order>),
}

/// A new order and what is stored with it.
struct Draft {
    order: Order,
    also: Vec<Write>,
}

impl AcceptOrder {
    /// Accepts what `body` asks for.
    pub(super) async fn accept(
        &self,
        owner: Owner,
        body: Value,
        origin: Origin,
    ) -> Result<Accepting, ApiError> {
        let (wanted, site) = read(&body, &owner, self.reach)?;
        let idempotency = self.idempotency(&wanted, &body).await?;
        let draft = self.draft(owner.clone(), wanted, site, body).await;
        let Draft { mut order, mut also } = match (draft, &idempotency) {
            (Ok(draft), _) => draft,
            (Err(error), None) => return Err(error),
            // What the request needs may be gone since it was accepted.
            (Err(error), Some(idempotency)) => {
                return self.orders.replay(&owner, idempotency).await?.map(Into::into).ok_or(error);
            }
        };
        let retired = self.retire(&order, origin)?;
        // Behind the ledger's writes, whose places tell why it refused.
        let place_of_retired = also.len();
        also.extend(retired.clone());
        let ticket = ticket(&order);
        order.place = Some(ticket.place.clone());
        let create = |also| self.orders.create(&order, idempotency.as_ref(), also);
        match self.backlogs.add_with(&ticket, also, order.created_at, create).await? {
            Created::New => Ok(Accepting::Accepted(order.id)),
            Created::Before(id) => Ok(Accepting::Accepted(id)),
            Created::KeyTaken => Ok(Accepting::KeyTaken),
            // The other try of the same order comes first, whatever the balance is by now.
            Created::Refused(refused) if retired.is_some() && refused.at(place_of_retired) => {
                Ok(Accepting::Lost)
            }
            Created::Refused(refused) => match refusal(&order, &refused)? {
                Some(refusal) => self.accept_failed(order, refusal, idempotency, retired).await,
                None => Ok(Accepting::Lost),
            },
        }
    }

    /// For the transaction: the order that this is another try of knows it, so that there is only one.
    fn retire(&self, order: &Order, origin: Origin) -> Result<Option<Write>, AwsError> {
        match origin {
            Origin::Client => Ok(None),
            Origin::Retry(mut failed) => {
                failed.retried_as = Some(order.id.clone());
                self.orders.replace(&mut failed).map(Some)
            }
        }
    }

    /// Stores an order that has failed already: as the document has it, what the balance does not suffice for is an
    /// order with an error, not an error without an order.
    async fn accept_failed(
        &self,
        order: Order,
        refusal: Refusal,
        idempotency: Option<Idempotency>,
        retired: Option<Write>,
    ) -> Result<Accepting, ApiError> {
        let now = (self.now)();
        let order = Order { hold: None, place: None, ..order };
        let (order, happened) = news_of(order, Event::Refuse(refusal), now)
            .map_err(|error| ApiError::Internal(error.into()))?;
        let news = news::compose(&self.outbox, &view::about(&order), &happened, now).await?;
        let mut also = self.outbox.writes(&news, now)?;
        also.extend(retired);
        match self.orders.create(&order, idempotency.as_ref(), also).await? {
            Created::New => {
                news::tell(&self.webhooks, &news).await;
                Ok(Accepting::Accepted(order.id))
            }
            Created::Before(id) => Ok(Accepting::Accepted(id)),
            Created::KeyTaken => Ok(Accepting::KeyTaken),
            Created::Refused(_) => Ok(Accepting::Lost),
        }
    }

    async fn idempotency(
        &self,
        wanted: &OrderRequest,
        body: &Value,
    ) -> Result<Option<Idempotency>, ApiError> {
        let Some(key) = wanted.idempotency_key.clone() else {
            return Ok(None);
        };
        // As text the members are sorted, so that only what the body says counts.
        let fingerprint = self.keyed_hash.of_body(body.to_string().as_bytes()).await?;
        Ok(Some(Idempotency { key, fingerprint }))
    }

    async fn draft(
        &self,
        owner: Owner,
        wanted: OrderRequest,
        site: Site,
        body: Value,
    ) -> Result<Draft, ApiError> {
        let now = (self.now)();
        let id = OrderId::new(random::sortable_uuid(now));
        let buyer = self.buyer(&owner, &wanted, site).await?;
        let group = self.group(&wanted, &body).await?;
        let mut also = Vec::new();
        let hold = hold(&wanted);
        if let Some(hold) = &hold {
            let posting = Posting::hold(
                PostingId::new(random::sortable_uuid(now)),
                now,
                id.clone(),
                hold.amount,
            );
            also.extend(self.ledger.writes(&owner, &hold.currency, &posting)?);
        }
        let OrderRequest { purchase, secrets, card, webhooks, .. } = wanted;
        let has_card = card.is_some();
        if has_card {
            // With the login beside it, so that a purchase opens one bundle only.
            let whole = Secrets { card, ..secrets.clone() };
            let sealed = self.seal(&owner, &id, "card", &whole).await?;
            also.extend(sealed.map(|sealed| self.cards.put(&id, sealed, now)).transpose()?);
        }
        let order = Order {
            webhooks: self
                .vault
                .seal_targets(&secrets_context(&owner, &id, "webhook"), webhooks)
                .await?,
            secrets: self.seal(&owner, &id, "order", &secrets).await?,
            id,
            owner,
            retailer: purchase.retailer,
            site,
            account: buyer.account,
            email: buyer.email,
            login: buyer.login,
            has_card,
            group,
            hold,
            request: redact::echo(body),
            status: Status::Queued,
            updates: vec![],
            dispatches: 1,
            place: None,
            due_at: None,
            created_at: now,
            ended_at: None,
            retried_as: None,
            version: 1,
        };
        Ok(Draft { order, also })
    }

    /// What orders must have in common to be bought in one go: all that is not about what goes to whom.
    async fn group(&self, wanted: &OrderRequest, body: &Value) -> Result<Option<Group>, ApiError> {
        const COMMON: [&str; 10] = [
            "retailer",
            "retailer_credentials",
            "retailer_credentials_id",
            "payment_method",
            "billing_address",
            "addax",
            "promo_codes",
            "ignore_invalid_promo_code",
            "po_number",
            "affiliate_info",
        ];
        if !wanted.bundled {
            return Ok(None);
        }
        let body = fields::without_blanks(body.clone());
        let common: Value =
            COMMON.iter().map(|name| body.get(name)).map(|value| json!(value)).collect();
        Ok(Some(self.keyed_hash.of_group(common.to_string().as_bytes()).await?))
    }

    async fn seal(
        &self,
        owner: &Owner,
        id: &OrderId,
        purpose: &'static str,
        secrets: &Secrets,
    ) -> Result<Option<Sealed>, ApiError> {
        let context = secrets_context(owner, id, purpose);
        Ok(self.vault.seal_secrets(&context, secrets).await?)
    }
}

/// The job that places a new order.
fn ticket(order: &Order) -> Ticket {
    let job = JobMessage::PlaceOrder { owner: order.owner.clone(), order: order.id.clone() };
    Ticket::new(order.account.clone(), job, order.created_at)
}

/// A valid order and where it is bought.
fn read(body: &Value, owner: &Owner, reach: Reach) -> Result<(OrderRequest, Site), ApiError> {
    // A retry's body is put together from two.
    if body.to_string().len() > MAX_BODY_BYTES {
        return Err(ApiError::TooLarge(MAX_BODY_BYTES));
    }
    if let Some(retailer) =
        body.get("retailer").and_then(Value::as_str).filter(|text| !text.is_empty())
    {
        RetailerCode::named(retailer).map_err(ApiError::Refused)?;
    }
    let wanted = request::parse(body, reach).map_err(ApiError::Invalid)?;
    let site = Site::of(wanted.purchase.retailer, owner.mode).ok_or_else(|| {
        let text = "cannot be bought at with a live key yet: there is no live adapter for it";
        unusable("retailer", text)
    })?;
    Ok((wanted, site))
}

/// What is held of the balance: all that the order may cost.
fn hold(wanted: &OrderRequest) -> Option<Hold> {
    let amount = wanted.purchase.limit().filter(|_| wanted.addax)?;
    Some(Hold { amount, currency: currency_of(wanted.purchase.retailer).to_owned() })
}

/// Why the balance does not pay for `order`, if it was that what the transaction was refused for.
fn refusal(order: &Order, refused: &Refused) -> Result<Option<Refusal>, ApiError> {
    let Some(hold) = &order.hold else { return Ok(None) };
    match ledger::refusal(refused)? {
        Some(LedgerRefusal::NoBalance) => {
            Err(ApiError::Refused(Refusal::new(Code::UnauthorizedAccess).saying(format!(
                "There is no {} balance to pay from; ask the operator for a deposit.",
                hold.currency
            ))))
        }
        Some(LedgerRefusal::TooLittle(balance)) => {
            let data = json!({
                "currency": hold.currency,
                "available": balance.of(LedgerAccount::Available),
                "max_price": hold.amount,
            });
            Ok(Some(Refusal::new(Code::InsufficientAddaxBalance).with(data)))
        }
        Some(LedgerRefusal::Repeated) | None => Ok(None),
    }
}

fn unusable(field: &str, message: &str) -> ApiError {
    ApiError::Invalid(vec![FieldError::at(field, "value_error", message)])
}
