//! The webhooks that tell of a request: written with the change, then sent.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde_json::Value;
use spelter::{
    accounts::Owner,
    aws::{
        AwsError,
        outbox::{News, Outbox},
        queue::Webhooks,
    },
    clock,
    error::{BoxError, chain},
    id::{DeliveryId, OrderId, PayloadId, RequestId, ReturnId},
    random,
    webhooks::{
        EventKind, Target,
        deliveries::{Delivery, DeliveryState, KEPT_WAITING_FOR, Payload},
        events::{AccountNews, EventName},
        lanes::{Destination, LaneKey},
    },
};
use uuid::Uuid;

/// A request that there is news of.
pub(crate) struct About<'a> {
    /// Whose it is.
    pub(crate) owner: &'a Owner,
    /// Which it is.
    pub(crate) request: RequestId,
    /// The order it is, or is about.
    pub(crate) order: &'a OrderId,
    /// The return it is, if it is one.
    pub(crate) return_id: Option<ReturnId>,
    /// Who wants to know.
    pub(crate) webhooks: &'a [Target],
    /// What a GET answers now.
    pub(crate) body: Value,
}

/// What happened to it.
pub(crate) struct Happened {
    /// For the URLs it named.
    pub(crate) kinds: Vec<EventKind>,
    /// For the client's own endpoint.
    pub(crate) account: Vec<AccountNews>,
}

/// The news of what happened: for each URL that wants to know, and for the client's own endpoint if it has one.
pub(crate) async fn compose(
    outbox: &Outbox,
    about: &About<'_>,
    happened: &Happened,
    now: Timestamp,
) -> Result<Vec<News>, AwsError> {
    let mut news = Vec::new();
    let wanted: Vec<_> = about
        .webhooks
        .iter()
        .filter(|target| happened.kinds.contains(&target.kind))
        .map(|Target { kind, url, userinfo }| {
            let (url, userinfo) = (url.clone(), userinfo.clone());
            (EventName::Request(*kind), Destination::Url { url, userinfo })
        })
        .collect();
    let (owner, request) = (about.owner, &about.request);
    if !wanted.is_empty() {
        news.push(told(owner, request, about.body.to_string(), wanted, now));
    }
    if !happened.account.is_empty() && outbox.has_endpoint(owner).await? {
        let return_id = about.return_id.as_ref().map(ReturnId::as_str);
        for one in &happened.account {
            let body = one.body(Some(about.order.as_str()), return_id, now).to_string();
            let wanted = vec![(EventName::Account(one.event), Destination::Account)];
            news.push(told(owner, request, body, wanted, now));
        }
    }
    Ok(news)
}

/// What says `body` to each that `wanted` it.
pub(crate) fn told(
    owner: &Owner,
    request: &RequestId,
    body: String,
    wanted: Vec<(EventName, Destination)>,
    now: Timestamp,
) -> News {
    let expires_at = clock::after(now, KEPT_WAITING_FOR);
    let id = PayloadId::new(random::sortable_uuid(now));
    let deliveries = wanted
        .into_iter()
        .map(|(event, destination)| {
            let uuid = random::sortable_uuid(now);
            Delivery {
                id: DeliveryId::new(uuid),
                owner: owner.clone(),
                request: request.clone(),
                event,
                destination,
                payload: id.clone(),
                state: DeliveryState::Pending,
                attempts: Vec::new(),
                // Whoever looks for a time finds it by the id.
                created_at: time_of(uuid).unwrap_or(now),
                expires_at,
            }
        })
        .collect();
    let (owner, request) = (owner.clone(), request.clone());
    News { payload: Payload { id, owner, request, body, expires_at }, deliveries }
}

/// When a version 7 UUID was made, in whole milliseconds.
fn time_of(uuid: Uuid) -> Option<Timestamp> {
    let (seconds, nanos) = uuid.get_timestamp()?.to_unix();
    let millis = i64::try_from(seconds).ok()?.checked_mul(1000)?;
    Timestamp::from_millisecond(millis.checked_add(i64::from(nanos / 1_000_000))?).ok()
}

/// Has them sent at once; the sweeper does it if that fails.
pub(crate) async fn tell(webhooks: &Webhooks, news: &[News]) {
    let deliveries = news.iter().flat_map(|news| &news.deliveries);
    let lanes: BTreeSet<_> =
        deliveries.map(|delivery| (delivery.owner.clone(), delivery.lane())).collect();
    hurry(webhooks, lanes).await;
}

/// Has what is due in these lanes sent at once; the sweeper does it if that fails.
pub(crate) async fn hurry(
    webhooks: &Webhooks,
    lanes: impl IntoIterator<Item = (Owner, LaneKey)> + Send,
) {
    for (owner, lane) in lanes.into_iter().collect::<Vec<_>>() {
        if let Err(error) = webhooks.deliver(&owner, &lane).await {
            let error: BoxError = error.into();
            tracing::warn!(error = chain(&*error), "a webhook waits for the sweeper");
        }
    }
}
