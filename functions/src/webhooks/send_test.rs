//! `POST /v1/webhooks/test` sends the event `webhook.test` to the client's own endpoint, or to the `url` in the body.
//!
//! It goes the way of all webhooks, so it is signed, tried again and logged as they are.

use deserr::Deserr;
use http::StatusCode;
use serde_json::Value;
use spelter::{
    accounts::Owner,
    aws::{
        orders::secrets_context,
        outbox::{Details, Outbox},
        queue::Webhooks,
        vault::Vault,
        webhook_settings::WebhookSettings,
    },
    clock::Clock,
    error::ApiError,
    fields::{self, Faults, FieldError},
    http::{Endpoint, Request},
    id::RequestId,
    random,
    webhooks::{
        address::Reach,
        events::{AccountEvent, AccountNews, EventName},
        lanes::Destination,
        receiver_url, split_userinfo,
    },
};

use super::{delivery, set_endpoint::unfit};
use crate::news;

/// What this function may touch.
pub struct SendTest {
    /// The log and the lanes.
    pub outbox: Outbox,
    /// Whether the client has an endpoint.
    pub settings: WebhookSettings,
    /// Seals a URL's user and password.
    pub vault: Vault,
    /// The way to the sender.
    pub webhooks: Webhooks,
    /// How far webhooks go.
    pub reach: Reach,
    /// The time.
    pub now: Clock,
}

#[derive(Deserr)]
#[deserr(error = Faults)]
struct Body {
    #[deserr(default)]
    url: Option<String>,
}

impl Endpoint for SendTest {
    const SUCCESS: StatusCode = StatusCode::OK;
    type Answer = Value;

    async fn handle(&self, owner: Owner, request: Request) -> Result<Value, ApiError> {
        let body = fields::without_blanks(request.object_or_nothing()?.into());
        let Body { url } = fields::read(body).map_err(ApiError::Invalid)?;
        // There is none, but what is sent belongs to one.
        let now = (self.now)();
        let about = RequestId::new(random::sortable_uuid(now));
        let destination = self.destination(&owner, &about, url).await?;
        let news = AccountNews::new(AccountEvent::Test, "test");
        let wanted = vec![(EventName::Account(news.event), destination)];
        let told =
            [news::told(&owner, &about, news.body(None, None, now).to_string(), wanted, now)];
        self.outbox.write(&told, now).await?;
        news::tell(&self.webhooks, &told).await;
        let [told] = told;
        let details = Details { body: Some(told.payload.body), next_attempt_at: Some(now) };
        match told.deliveries.first() {
            Some(sent) => delivery::whole(sent, details),
            None => Err(ApiError::Internal("a test goes to nobody".into())),
        }
    }
}

impl SendTest {
    async fn destination(
        &self,
        owner: &Owner,
        about: &RequestId,
        url: Option<String>,
    ) -> Result<Destination, ApiError> {
        let Some(url) = url else {
            if self.settings.get(owner).await?.url.is_none() {
                let text = "is required, since there is no endpoint of your own";
                return Err(ApiError::Invalid(vec![FieldError::at("url", "missing", text)]));
            }
            return Ok(Destination::Account);
        };
        let (url, userinfo) = split_userinfo(receiver_url(&url, self.reach).map_err(unfit)?);
        let context = secrets_context(owner, about, "webhook");
        let userinfo = self.vault.seal_userinfo(&context, userinfo).await?;
        Ok(Destination::Url { url: url.into(), userinfo })
    }
}
