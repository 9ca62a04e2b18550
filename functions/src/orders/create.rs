//! `POST /v1/orders` accepts an order and queues its purchase.
//!
//! Answers `{"request_id"}`, for an equal request under one idempotency key always the same. An accepted order is in
//! the table before it is in the queue; if sending fails, the sweeper sends it.

use std::{collections::HashSet, time::Duration};

use http::StatusCode;
use secrecy::ExposeSecret;
use serde::Serialize;
use serde_json::{Value, json};
use spelter::{
    accounts::{self, AccountRef, ManagedAccount, Owner},
    aws::{
        accounts::Accounts,
        card_codes::CardCodes,
        clients,
        keyed_hash::KeyedHash,
        leases::Leases,
        orders::{Created, Idempotency, Orders, secrets_context},
        queue::{JobMessage, Jobs},
        vault::Vault,
    },
    clock::{self, Clock},
    email::Email,
    error::{ApiError, Code, Refusal, chain},
    fields::FieldError,
    http::{Endpoint, Request},
    id::{AccountId, OrderId},
    orders::{
        LoginSource, Order, Status,
        request::{self, OrderRequest},
    },
    redact,
    retailers::{RetailerCode, Site},
    sealed::Sealed,
    webhooks::{Subscription, Target},
};
use uuid::{Timestamp as UuidTime, Uuid};

/// What this function may touch.
pub struct CreateOrder {
    /// The orders.
    pub orders: Orders,
    /// The managed accounts an order may use.
    pub accounts: Accounts,
    /// Which of them are busy.
    pub leases: Leases,
    /// Where card codes wait.
    pub card_codes: CardCodes,
    /// Seals what came with the order.
    pub vault: Vault,
    /// Names accounts and compares bodies.
    pub keyed_hash: KeyedHash,
    /// The way to the worker.
    pub jobs: Jobs,
    /// The time.
    pub now: Clock,
}

/// The answer to an accepted order.
#[derive(Serialize)]
pub struct Accepted {
    request_id: OrderId,
}

/// When the sweeper looks at an order nobody has taken up.
const UNATTENDED_AFTER: Duration = Duration::from_mins(2);

impl Endpoint for CreateOrder {
    const SUCCESS: StatusCode = StatusCode::OK;
    type Answer = Accepted;

    async fn handle(&self, owner: Owner, request: Request) -> Result<Accepted, ApiError> {
        let body = request.json()?;
        let (wanted, site) = read(&body, &owner)?;
        let idempotency = self.idempotency(&wanted, &body).await?;
        if let Some(idempotency) = &idempotency
            && let Some(before) = self.orders.replay(&owner, idempotency).await?
        {
            return answer(before, None);
        }
        let (order, card_code) = self.prepare(owner, wanted, site, body).await?;
        let card_code = card_code.map(|code| (&self.card_codes, code));
        let created = self.orders.create(&order, idempotency.as_ref(), card_code).await?;
        if created == Created::New {
            self.queue(&order).await;
        }
        answer(created, Some(order.id))
    }
}

impl CreateOrder {
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

    async fn prepare(
        &self,
        owner: Owner,
        wanted: OrderRequest,
        site: Site,
        body: Value,
    ) -> Result<(Order, Option<Sealed>), ApiError> {
        let OrderRequest {
            purchase, inline_email, account_id, secrets, card_code, webhooks, ..
        } = wanted;
        let now = (self.now)();
        let id = OrderId::new(sortable(now));
        let buyer = self.buyer(&owner, inline_email, account_id, purchase.retailer, site).await?;
        let context = secrets_context(&owner, &id, "order");
        let secrets = self.vault.seal_secrets(&context, &secrets).await?;
        let card_code = match card_code {
            Some(code) => {
                let context = secrets_context(&owner, &id, "card_code");
                Some(self.vault.seal(&context, code.expose_secret().as_bytes()).await?)
            }
            None => None,
        };
        let order = Order {
            webhooks: self.targets(&owner, &id, webhooks).await?,
            id,
            owner,
            retailer: purchase.retailer,
            site,
            account: buyer.account,
            email: buyer.email,
            login: buyer.login,
            secrets,
            has_card_code: card_code.is_some(),
            request: redact::echo(body),
            status: Status::Queued,
            updates: vec![],
            dispatches: 1,
            due_at: Some(clock::after(now, UNATTENDED_AFTER)),
            created_at: now,
            version: 1,
        };
        Ok((order, card_code))
    }

    /// The account that buys: the login in the order, the account the order names, one of the client's, one of the
    /// operator's.
    async fn buyer(
        &self,
        owner: &Owner,
        inline_email: Option<Email>,
        account_id: Option<AccountId>,
        retailer: RetailerCode,
        site: Site,
    ) -> Result<Buyer, ApiError> {
        if let Some(email) = inline_email {
            let hash = self.keyed_hash.of_email(&email).await?;
            return Ok(Buyer {
                account: AccountRef::new(site, &hash),
                email,
                login: LoginSource::Order,
            });
        }
        if let Some(id) = account_id {
            let found = self.accounts.get(owner, &id).await?;
            let (account, _) = found
                .ok_or_else(|| unusable("retailer_credentials_id", "names no managed account"))?;
            if account.retailer.is_some_and(|other| other != retailer) {
                return Err(ApiError::Refused(Refusal::new(Code::MismatchingRetailer)));
            }
            return Ok(Buyer::of(&account, site));
        }
        for whose in [owner, &clients::operator(owner.mode)] {
            if let Some(account) = self.choose(whose, retailer).await? {
                return Ok(Buyer::of(&account, site));
            }
        }
        Err(unusable(
            "retailer_credentials",
            "is required: there is no managed account for this retailer",
        ))
    }

    async fn choose(
        &self,
        whose: &Owner,
        retailer: RetailerCode,
    ) -> Result<Option<ManagedAccount>, ApiError> {
        let accounts = self.accounts.list(whose).await?;
        if accounts.is_empty() {
            return Ok(None);
        }
        let refs: Vec<_> = accounts.iter().flat_map(ManagedAccount::refs).collect();
        let now = (self.now)();
        let busy: HashSet<_> = self.leases.holders(&refs, now).await?.into_keys().collect();
        let is_busy =
            |account: &ManagedAccount| account.refs().iter().any(|one| busy.contains(one));
        let Some(chosen) = accounts::choose(&accounts, retailer, is_busy) else {
            return Ok(None);
        };
        self.accounts.mark_used(chosen, now).await?;
        Ok(Some(chosen.clone()))
    }

    async fn targets(
        &self,
        owner: &Owner,
        id: &OrderId,
        webhooks: Vec<Subscription>,
    ) -> Result<Vec<Target>, ApiError> {
        let mut targets = Vec::new();
        for Subscription { kind, url, userinfo } in webhooks {
            let userinfo = match userinfo {
                Some(secret) => {
                    let context = secrets_context(owner, id, "webhook");
                    Some(self.vault.seal(&context, secret.expose_secret().as_bytes()).await?)
                }
                None => None,
            };
            targets.push(Target { kind, url: url.into(), userinfo });
        }
        Ok(targets)
    }

    async fn queue(&self, order: &Order) {
        let message =
            JobMessage::PlaceOrder { owner: order.owner.clone(), order: order.id.clone() };
        if let Err(error) = self.jobs.send(&order.account, &message, order.dispatches).await {
            // The order is safe in the table, and the sweeper finds it there.
            tracing::warn!(order.id = %order.id, error = chain(&error), "{} waits for the sweeper", order.id);
        }
    }
}

struct Buyer {
    account: AccountRef,
    email: Email,
    login: LoginSource,
}

impl Buyer {
    fn of(account: &ManagedAccount, site: Site) -> Self {
        Self {
            account: AccountRef::new(site, &account.email_hash),
            email: account.email.clone(),
            login: LoginSource::Account { owner: account.owner.clone(), id: account.id.clone() },
        }
    }
}

/// A valid order and where it is bought.
fn read(body: &Value, owner: &Owner) -> Result<(OrderRequest, Site), ApiError> {
    if let Some(retailer) =
        body.get("retailer").and_then(Value::as_str).filter(|text| !text.is_empty())
        && let Err(unfit) = retailer.parse::<RetailerCode>()
    {
        let refusal =
            Refusal::new(Code::UnknownRetailer).saying(format!("The retailer {}.", unfit.0));
        return Err(ApiError::Refused(refusal.with(json!({"retailer": retailer}))));
    }
    let wanted = request::parse(body).map_err(ApiError::Invalid)?;
    if wanted.addax {
        return Err(ApiError::Refused(Refusal::new(Code::UnauthorizedAccess)));
    }
    let site = Site::of(wanted.purchase.retailer, owner.mode).ok_or_else(|| {
        unusable(
            "retailer",
            "cannot be bought at with a live key yet: there is no live adapter for it",
        )
    })?;
    Ok((wanted, site))
}

fn answer(created: Created, new: Option<OrderId>) -> Result<Accepted, ApiError> {
    match (created, new) {
        (Created::Before(request_id), _) | (Created::New, Some(request_id)) => {
            Ok(Accepted { request_id })
        }
        (Created::KeyTaken, _) => {
            Err(unusable("idempotency_key", "was used before with another request body"))
        }
        (Created::New, None) => {
            Err(ApiError::Internal("an order was created before it was made".into()))
        }
    }
}

fn unusable(field: &str, message: &str) -> ApiError {
    ApiError::Invalid(vec![FieldError::at(field, "value_error", message)])
}

/// A random id that sorts by time: lists need no index of their own.
fn sortable(now: jiff::Timestamp) -> Uuid {
    let seconds = u64::try_from(now.as_second()).unwrap_or_default();
    let nanos = u32::try_from(now.subsec_nanosecond()).unwrap_or_default();
    Uuid::new_v7(UuidTime::from_unix(uuid::NoContext, seconds, nanos))
}
