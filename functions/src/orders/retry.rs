//! `POST /v1/orders/{request_id}/retry` orders again what failed, as a new order.
//!
//! Answers `{"request_id"}` of the new order, however often it is asked. The body may replace members of the request;
//! what has been forgotten of it must be in there: a card always, the login that came with the order after a day.

use std::collections::BTreeMap;

use http::StatusCode;
use secrecy::ExposeSecret;
use serde_json::{Map, Value, json};
use spelter::{
    accounts::Owner,
    aws::orders::secrets_context,
    error::{ApiError, Code, Refusal},
    http::{Endpoint, Request},
    id::{self, Kind, OrderId},
    orders::{Order, Status},
    webhooks::{self, EventKind, Target},
};

use super::{
    accept::{AcceptOrder, Accepting, Origin},
    create::Accepted,
};

/// What this function may touch.
pub struct RetryOrder {
    /// How an order is accepted.
    pub accept: AcceptOrder,
}

impl Endpoint for RetryOrder {
    const SUCCESS: StatusCode = StatusCode::OK;
    type Answer = Accepted;

    async fn handle(&self, owner: Owner, request: Request) -> Result<Accepted, ApiError> {
        let id = request.id::<id::Order>("request_id")?;
        let mut changes = request.object_or_nothing()?;
        // There is one retry of an order, whatever key it is asked for with.
        changes.remove("idempotency_key");
        let failed = self.failed(&owner, &id).await?;
        if let Some(request_id) = failed.retried_as {
            return Ok(Accepted { request_id });
        }
        let body = self.body(&failed, changes).await?;
        let origin = Origin::Retry(Box::new(failed));
        match self.accept.accept(owner.clone(), body, origin).await? {
            Accepting::Accepted(request_id) => Ok(Accepted { request_id }),
            // There is no key in the body, so it is the failed order that was changed: by another retry.
            Accepting::Lost | Accepting::KeyTaken => {
                let failed = self.failed(&owner, &id).await?;
                let request_id = failed.retried_as.ok_or(ApiError::Conflict(
                    "somebody changed this at the same time, try again",
                ))?;
                Ok(Accepted { request_id })
            }
        }
    }
}

impl RetryOrder {
    async fn failed(&self, owner: &Owner, id: &OrderId) -> Result<Order, ApiError> {
        let order = self.accept.orders.get(owner, id).await?;
        let order = order.ok_or(ApiError::NotFound(id::Order::NAME))?;
        match refusal(&order) {
            Some(refusal) => Err(ApiError::Refused(refusal)),
            None => Ok(order),
        }
    }

    /// The request as it was, with its login as long as that is kept, and with `changes`.
    async fn body(&self, failed: &Order, changes: Map<String, Value>) -> Result<Value, ApiError> {
        let mut body = failed.request.as_object().cloned().unwrap_or_default();
        body.remove("idempotency_key");
        if !changes.contains_key("retailer_credentials")
            && let Some(login) = self.login(failed).await?
        {
            body.insert("retailer_credentials".to_owned(), login);
        }
        if !changes.contains_key("webhooks") {
            self.restore_passwords(failed, &mut body).await?;
        }
        body.extend(changes);
        Ok(body.into())
    }

    /// The echo names webhooks without the user and password of their URLs.
    async fn restore_passwords(
        &self,
        failed: &Order,
        body: &mut Map<String, Value>,
    ) -> Result<(), ApiError> {
        if failed.webhooks.iter().all(|target| target.userinfo.is_none()) {
            return Ok(());
        }
        let mut webhooks: BTreeMap<EventKind, Vec<String>> = BTreeMap::new();
        for target in &failed.webhooks {
            let url = self.whole_url(failed, target).await?;
            webhooks.entry(target.kind).or_default().push(url);
        }
        body.insert("webhooks".to_owned(), json!(webhooks));
        Ok(())
    }

    async fn whole_url(&self, failed: &Order, target: &Target) -> Result<String, ApiError> {
        let Some(sealed) = &target.userinfo else { return Ok(target.url.clone()) };
        let context = secrets_context(&failed.owner, &failed.id, "webhook");
        let userinfo = self.accept.vault.open(&context, sealed).await?;
        let userinfo = String::from_utf8_lossy(&userinfo);
        let (user, password) = userinfo.split_once(':').unwrap_or((&userinfo, ""));
        let whole = webhooks::with_userinfo(&target.url, user, password);
        whole.ok_or_else(|| ApiError::Internal("a stored URL does not read back".into()))
    }

    async fn login(&self, failed: &Order) -> Result<Option<Value>, ApiError> {
        let Some(sealed) = &failed.secrets else { return Ok(None) };
        let context = secrets_context(&failed.owner, &failed.id, "order");
        let secrets = self.accept.vault.open_secrets(&context, sealed).await?;
        let text = |secret: &secrecy::SecretString| secret.expose_secret().to_owned();
        Ok(Some(json!({
            "email": failed.email.as_str(),
            "password": secrets.password.as_ref().map(text),
            "totp_2fa_key": secrets.totp.as_ref().map(|totp| text(totp.text())),
        })))
    }
}

/// Why an order is not tried again. Only what certainly was not bought is.
fn refusal(order: &Order) -> Option<Refusal> {
    match &order.status {
        Status::Failed(_) => None,
        Status::Queued | Status::Bundled { .. } | Status::Working(_) | Status::Submitting(_) => {
            Some(Refusal::new(Code::RequestProcessing))
        }
        Status::Placed(_) => {
            let text = "The order was placed. Post a new one to buy the same again.";
            Some(Refusal::new(Code::DuplicateOrder).saying(text))
        }
        Status::ProbablyPlaced(refusal) => Some(refusal.clone()),
    }
}
