//! The outbox: webhooks, written together with the change that they tell of, and all that is due.
//!
//! What changes hands here: whoever writes an event adds its deliveries to the ends of their lanes; whoever holds a
//! lane's claim tries its first delivery and alone may take that out.

use aws_sdk_dynamodb::{
    Client,
    operation::query::QueryOutput,
    types::{AttributeValue, Delete, Put, ReturnValue, Update, builders::UpdateBuilder},
};
use deserr::Deserr;
use jiff::Timestamp;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use uuid::Uuid;

use super::{
    AwsError, Item, batch_get,
    keys::{self, Due, DueKind},
    number, text,
    transaction::{self, NotWritten, Write},
    update_item,
    webhook_settings::{self, Settings, WebhookSettings},
};
use crate::{
    accounts::Owner,
    clock,
    error::chain,
    fields::Faults,
    id::{self, DeliveryId, Kind, PayloadId, RequestId},
    random,
    webhooks::{
        deliveries::{
            Attempt, Delivery, DeliveryState, KEPT_FOR, KEPT_WAITING_FOR, MAX_ATTEMPTS_KEPT,
            Payload,
        },
        endpoints::{self, Endpoint},
        events::EventName,
        lanes::{Claim, Destination, LaneKey, ReceiverKey, Waiting},
    },
};

/// The outbox in the table of orders.
#[derive(Clone)]
pub struct Outbox {
    db: Client,
    table: String,
}

/// What one event tells: once what it says, and everybody it is told to.
#[derive(Debug, Clone)]
pub struct News {
    /// What it says.
    pub payload: Payload,
    /// To whom.
    pub deliveries: Vec<Delivery>,
}

/// What there is to know before a delivery is tried.
#[derive(Debug)]
pub struct Dossier {
    /// The delivery; `None` if it has expired.
    pub delivery: Option<Delivery>,
    /// What it says; `None` if it has expired.
    pub body: Option<String>,
    /// What is known of the exact URL and of the endpoint behind it.
    pub endpoints: Vec<Endpoint>,
    /// The client's own endpoint and secrets.
    pub settings: Settings,
}

impl Dossier {
    /// What is known of the endpoint with this key.
    pub fn endpoint(&self, key: &ReceiverKey) -> Option<&Endpoint> {
        self.endpoints.iter().find(|endpoint| endpoint.key == *key)
    }

    /// Why nothing is sent to this receiver, if so.
    pub fn disabled(&self) -> Option<endpoints::Reason> {
        let disabled = self.endpoints.iter().find_map(|endpoint| endpoint.disabled.as_ref());
        disabled.map(|disabled| disabled.reason)
    }
}

/// What follows from a try.
#[derive(Debug, Clone, PartialEq)]
pub enum Conclusion {
    /// The first delivery leaves its lane, and the next one is due.
    Ended,
    /// It is tried again at that time.
    Again(Timestamp),
}

/// A part of a client's deliveries.
#[derive(Debug, Default)]
pub struct DeliveryPage {
    /// Which of them come first.
    pub order: Sequence,
    /// How many at the most.
    pub limit: usize,
    /// Only those in this state.
    pub state: Option<StateFilter>,
    /// Only those of this request.
    pub request: Option<RequestId>,
    /// Only those at or after this.
    pub from: Option<Timestamp>,
    /// Only those before this.
    pub until: Option<Timestamp>,
    /// Only those that come after this one: where the page before ended.
    pub beyond: Option<DeliveryId>,
}

/// In which order deliveries are listed, by when their events happened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Sequence {
    /// For people who look what has happened.
    #[default]
    NewestFirst,
    /// As they were first sent.
    OldestFirst,
}

/// A state that deliveries are looked for by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserr)]
#[deserr(error = Faults, rename_all = lowercase)]
pub enum StateFilter {
    /// On their way.
    Pending,
    /// Received.
    Delivered,
    /// Not tried any more.
    Undelivered,
}

impl StateFilter {
    /// As it is stored.
    const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Delivered => "delivered",
            Self::Undelivered => "undelivered",
        }
    }
}

/// What is not stored with a delivery itself.
#[derive(Debug)]
pub struct Details {
    /// What it says; `None` if it has expired.
    pub body: Option<String>,
    /// When it is tried next; `None` if it is not, or not before another one of its lane.
    pub next_attempt_at: Option<Timestamp>,
}

/// That an endpoint is as it was read.
const AS_KNOWN: &str = "endpoint.last_failed_at = :known";

/// So much of the table one page may read: a rare state is found over several pages.
const MAX_READ: usize = 4000;
/// So many are read at once where most are not what is looked for.
const RARE: i32 = 400;

#[derive(Serialize, Deserialize)]
struct StoredDelivery {
    pk: String,
    sk: String,
    id: DeliveryId,
    owner: Owner,
    request: RequestId,
    event: EventName,
    destination: Destination,
    payload: PayloadId,
    state: DeliveryState,
    attempts: Vec<Attempt>,
    #[serde(with = "clock::millis")]
    created_at: Timestamp,
    /// Seconds, for DynamoDB.
    expires_at: i64,
}

#[derive(Serialize, Deserialize)]
struct StoredPayload {
    pk: String,
    sk: String,
    body: String,
    /// So that a request's deliveries are found by the request.
    deliveries: Vec<DeliveryId>,
    expires_at: i64,
}

#[derive(Serialize, Deserialize)]
struct StoredUndelivered {
    pk: String,
    sk: String,
    delivery: DeliveryId,
    expires_at: i64,
}

#[derive(Serialize, Deserialize)]
struct StoredEndpoint {
    pk: String,
    sk: String,
    endpoint: Endpoint,
    expires_at: i64,
}

/// A lane. It is written by expressions only.
#[derive(Deserialize)]
struct StoredLane {
    waiting: Vec<Waiting>,
    attempts: u32,
    #[serde(with = "clock::millis")]
    due_at: Timestamp,
}

impl Outbox {
    pub(super) fn new(db: Client, table: String) -> Self {
        Self { db, table }
    }

    /// For the transaction that writes what `news` tell of, all of which are of one request: what they say, and each
    /// delivery at the end of its lane, which is then due.
    pub fn writes(&self, news: &[News], now: Timestamp) -> Result<Vec<Write>, AwsError> {
        let mut writes = Vec::new();
        let mut lanes: Vec<(&Owner, LaneKey, Vec<Waiting>)> = Vec::new();
        for News { payload, deliveries } in news {
            writes.push(self.put_payload(payload, deliveries)?);
            for delivery in deliveries {
                writes.push(self.put_new(&stored(delivery), "a delivery")?);
                let lane = delivery.lane();
                match lanes.iter_mut().find(|(_, known, _)| *known == lane) {
                    Some((.., waiting)) => waiting.push(delivery.waiting()),
                    None => lanes.push((&delivery.owner, lane, vec![delivery.waiting()])),
                }
            }
        }
        for (owner, lane, waiting) in lanes {
            writes.push(self.append(owner, &lane, waiting, now)?);
        }
        Ok(writes)
    }

    /// Whether `owner` has an endpoint of its own.
    pub async fn has_endpoint(&self, owner: &Owner) -> Result<bool, AwsError> {
        let settings = WebhookSettings::new(self.db.clone(), self.table.clone());
        Ok(settings.get(owner).await?.url.is_some())
    }

    /// Writes news of something that is stored nowhere else.
    pub async fn write(&self, news: &[News], now: Timestamp) -> Result<(), AwsError> {
        Ok(transaction::commit(&self.db, self.writes(news, now)?).await?)
    }

    fn put_payload(&self, payload: &Payload, to: &[Delivery]) -> Result<Write, AwsError> {
        let stored = StoredPayload {
            pk: payload.owner.partition(),
            sk: keys::payload_sk(&payload.request, &payload.id),
            body: payload.body.clone(),
            deliveries: to.iter().map(|delivery| delivery.id.clone()).collect(),
            expires_at: payload.expires_at.as_second(),
        };
        self.put_new(&stored, "a payload")
    }

    fn append(
        &self,
        owner: &Owner,
        lane: &LaneKey,
        waiting: Vec<Waiting>,
        now: Timestamp,
    ) -> Result<Write, AwsError> {
        let waiting = serde_dynamo::to_attribute_value(waiting);
        let update = self
            .lane_update(owner, lane)
            .update_expression(
                "SET waiting = list_append(if_not_exists(waiting, :none), :new), \
                 attempts = if_not_exists(attempts, :zero), \
                 due_at = if_not_exists(due_at, :now), \
                 due_shard = if_not_exists(due_shard, :shard)",
            )
            .expression_attribute_values(":none", AttributeValue::L(Vec::new()))
            .expression_attribute_values(":new", waiting.map_err(AwsError::corrupt("a lane"))?)
            .expression_attribute_values(":zero", number(0))
            .expression_attribute_values(":now", number(now.as_millisecond()))
            .expression_attribute_values(":shard", text(shard(lane)));
        Write::update(update)
    }

    fn lane_update(&self, owner: &Owner, lane: &LaneKey) -> UpdateBuilder {
        let key = keys::owned(owner, keys::lane_sk(lane));
        Update::builder().table_name(&self.table).set_key(Some(key))
    }

    /// Claims a lane until `until`, if something in it is due at `now` and nobody else is at it. A claim counts as a
    /// try: one whose worker dies is not tried for ever.
    pub async fn claim(
        &self,
        owner: &Owner,
        lane: &LaneKey,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<Option<Claim>, AwsError> {
        let token = random::uuid().simple().to_string();
        let update = self
            .db
            .update_item()
            .table_name(&self.table)
            .set_key(Some(keys::owned(owner, keys::lane_sk(lane))))
            .update_expression("SET due_at = :until, claim = :token ADD attempts :one")
            .condition_expression("due_at <= :now")
            .expression_attribute_values(":until", number(until.as_millisecond()))
            .expression_attribute_values(":token", text(&token))
            .expression_attribute_values(":one", number(1))
            .expression_attribute_values(":now", number(now.as_millisecond()))
            .return_values(ReturnValue::AllNew);
        let item = match update_item(update).await {
            Ok(output) => output.attributes.unwrap_or_default(),
            Err(error) if error.is_conditional_check_failed_exception() => return Ok(None),
            Err(error) => return Err(AwsError::Call("dynamodb:UpdateItem", error.into())),
        };
        let StoredLane { waiting, attempts, due_at: _ } = read_item(item, "a lane")?;
        let Some(head) = waiting.first().cloned() else {
            return Err(AwsError::Corrupt("a lane", "nothing waits in it".into()));
        };
        let (owner, lane) = (owner.clone(), lane.clone());
        let waiting = waiting.len();
        Ok(Some(Claim { owner, lane, token, head, waiting, attempt: attempts }))
    }

    /// What there is to know before the delivery of `claim` is tried, in one call.
    pub async fn dossier(&self, claim: &Claim) -> Result<Dossier, AwsError> {
        let Claim { owner, lane, head, .. } = claim;
        let payload_sk = keys::payload_sk(&lane.request, &head.payload);
        let mut wanted = vec![
            keys::delivery_sk(&head.delivery),
            payload_sk.clone(),
            keys::WEBHOOKS.to_owned(),
            keys::endpoint_sk(&lane.endpoint),
        ];
        if lane.receiver != lane.endpoint {
            wanted.push(keys::endpoint_sk(&lane.receiver));
        }
        let wanted = wanted.into_iter().map(|sk| keys::owned(owner, sk)).collect();
        let mut dossier = Dossier {
            delivery: None,
            body: None,
            endpoints: Vec::new(),
            settings: Settings::default(),
        };
        for item in batch_get(&self.db, &self.table, wanted).await? {
            let sk = sort_key(&item).to_owned();
            if sk == keys::WEBHOOKS {
                dossier.settings = webhook_settings::read(item)?;
            } else if sk == payload_sk {
                dossier.body = Some(read_item::<StoredPayload>(item, "a payload")?.body);
            } else if sk.starts_with(keys::DELIVERY) {
                dossier.delivery = Some(read_delivery(item)?);
            } else {
                dossier.endpoints.push(read_item::<StoredEndpoint>(item, "an endpoint")?.endpoint);
            }
        }
        Ok(dossier)
    }

    /// Writes what followed from a try of `delivery`. [`AwsError::Conflict`] if the claim has run out and somebody else
    /// holds the lane.
    pub async fn conclude(
        &self,
        claim: &Claim,
        delivery: &Delivery,
        conclusion: &Conclusion,
        now: Timestamp,
    ) -> Result<(), AwsError> {
        let mut writes = vec![self.record(delivery)?];
        if let DeliveryState::Undelivered { .. } = delivery.state {
            writes.push(self.put_undelivered(delivery)?);
        }
        match conclusion {
            Conclusion::Again(at) => {
                writes.push(self.return_lane(claim, *at)?);
                Ok(transaction::commit(&self.db, writes).await?)
            }
            Conclusion::Ended => self.take_out(claim, writes, now).await,
        }
    }

    /// Takes a delivery out of its lane that is not there any more.
    pub async fn skip(&self, claim: &Claim, now: Timestamp) -> Result<(), AwsError> {
        self.take_out(claim, Vec::new(), now).await
    }

    /// The lane goes with the last that waited in it, unless something was added since the claim.
    async fn take_out(
        &self,
        claim: &Claim,
        also: Vec<Write>,
        now: Timestamp,
    ) -> Result<(), AwsError> {
        if claim.waiting == 1 {
            let mut writes = also.clone();
            writes.push(self.remove_lane(claim)?);
            match transaction::commit(&self.db, writes).await {
                Err(NotWritten::Refused(_)) => {}
                written => return Ok(written?),
            }
        }
        let mut writes = also;
        writes.push(self.shift_lane(claim, now)?);
        Ok(transaction::commit(&self.db, writes).await?)
    }

    fn remove_lane(&self, claim: &Claim) -> Result<Write, AwsError> {
        let delete = Delete::builder()
            .table_name(&self.table)
            .set_key(Some(keys::owned(&claim.owner, keys::lane_sk(&claim.lane))))
            .condition_expression("claim = :token AND size(waiting) = :one")
            .expression_attribute_values(":token", text(&claim.token))
            .expression_attribute_values(":one", number(1));
        Write::delete(delete)
    }

    fn shift_lane(&self, claim: &Claim, now: Timestamp) -> Result<Write, AwsError> {
        let update = self
            .lane_update(&claim.owner, &claim.lane)
            .update_expression("SET due_at = :at, attempts = :zero REMOVE waiting[0], claim")
            .condition_expression("claim = :token AND size(waiting) > :one")
            .expression_attribute_values(":at", number(now.as_millisecond()))
            .expression_attribute_values(":zero", number(0))
            .expression_attribute_values(":token", text(&claim.token))
            .expression_attribute_values(":one", number(1));
        Write::update(update)
    }

    fn return_lane(&self, claim: &Claim, due_at: Timestamp) -> Result<Write, AwsError> {
        let update = self
            .lane_update(&claim.owner, &claim.lane)
            .update_expression("SET due_at = :at REMOVE claim")
            .condition_expression("claim = :token")
            .expression_attribute_values(":at", number(due_at.as_millisecond()))
            .expression_attribute_values(":token", text(&claim.token));
        Write::update(update)
    }

    /// A delivery's state and what was tried.
    fn record(&self, delivery: &Delivery) -> Result<Write, AwsError> {
        let surplus = delivery.attempts.len().saturating_sub(MAX_ATTEMPTS_KEPT);
        let kept = delivery.attempts.get(surplus..).unwrap_or_default();
        let attempts = serde_dynamo::to_attribute_value(kept);
        let state = serde_dynamo::to_attribute_value(&delivery.state);
        let update = Update::builder()
            .table_name(&self.table)
            .set_key(Some(keys::owned(&delivery.owner, keys::delivery_sk(&delivery.id))))
            .update_expression(
                "SET #state = :state, attempts = :attempts, expires_at = :expires_at",
            )
            .condition_expression("attribute_exists(pk)")
            .expression_attribute_values(":expires_at", number(delivery.expires_at.as_second()))
            .expression_attribute_names("#state", "state")
            .expression_attribute_values(":state", state.map_err(AwsError::corrupt("a delivery"))?)
            .expression_attribute_values(
                ":attempts",
                attempts.map_err(AwsError::corrupt("a delivery"))?,
            );
        Write::update(update)
    }

    fn put_undelivered(&self, delivery: &Delivery) -> Result<Write, AwsError> {
        let stored = StoredUndelivered {
            pk: delivery.owner.partition(),
            sk: keys::undelivered_sk(&delivery.id),
            delivery: delivery.id.clone(),
            expires_at: delivery.expires_at.as_second(),
        };
        self.put(&stored, "that a delivery is undelivered", None)
    }

    /// Writes what is known of an endpoint now and `also` what tells of it, unless somebody has learned something else
    /// since `known` was read.
    pub async fn keep_endpoint(
        &self,
        owner: &Owner,
        known: Option<&Endpoint>,
        endpoint: &Endpoint,
        also: Vec<Write>,
    ) -> Result<(), AwsError> {
        let stored = StoredEndpoint {
            pk: owner.partition(),
            sk: keys::endpoint_sk(&endpoint.key),
            endpoint: endpoint.clone(),
            // By then nothing that was sent there can be sent again. URLs may hold an order's id, so there can be many.
            expires_at: clock::after(endpoint.last_failed_at, KEPT_FOR).as_second(),
        };
        let item = serde_dynamo::to_item(&stored).map_err(AwsError::corrupt("an endpoint"))?;
        let put = Put::builder().table_name(&self.table).set_item(Some(item));
        let put = match known {
            None => put.condition_expression("attribute_not_exists(pk)"),
            Some(known) => put.condition_expression(AS_KNOWN).expression_attribute_values(
                ":known",
                number(known.last_failed_at.as_millisecond()),
            ),
        };
        let mut writes = vec![Write::put(put)?];
        writes.extend(also);
        Ok(transaction::commit(&self.db, writes).await?)
    }

    /// Forgets what is `known` of an endpoint, unless it has failed again since.
    pub async fn endpoint_works(
        &self,
        owner: &Owner,
        known: &Endpoint,
        also: Vec<Write>,
    ) -> Result<(), AwsError> {
        let delete = Delete::builder()
            .table_name(&self.table)
            .set_key(Some(keys::owned(owner, keys::endpoint_sk(&known.key))))
            .condition_expression(AS_KNOWN)
            .expression_attribute_values(":known", number(known.last_failed_at.as_millisecond()));
        let mut writes = vec![Write::delete(delete)?];
        writes.extend(also);
        Ok(transaction::commit(&self.db, writes).await?)
    }

    /// For the transaction that names an endpoint anew: nothing is known of it.
    pub fn forget_endpoint(&self, owner: &Owner, key: &ReceiverKey) -> Result<Write, AwsError> {
        let key = keys::owned(owner, keys::endpoint_sk(key));
        Write::delete(Delete::builder().table_name(&self.table).set_key(Some(key)))
    }

    /// Forgets that an endpoint fails or is disabled; whether anything was known of it.
    pub async fn enable_endpoint(
        &self,
        owner: &Owner,
        key: &ReceiverKey,
    ) -> Result<bool, AwsError> {
        let gone = self
            .db
            .delete_item()
            .table_name(&self.table)
            .set_key(Some(keys::owned(owner, keys::endpoint_sk(key))))
            .return_values(ReturnValue::AllOld)
            .send()
            .await
            .map_err(AwsError::call("dynamodb:DeleteItem"))?;
        Ok(gone.attributes.is_some_and(|item| !item.is_empty()))
    }

    /// The endpoints of `owner` that fail or are disabled, at most `limit` of those beyond `beyond`, in the order of
    /// their keys; and whether there are more.
    pub async fn endpoints(
        &self,
        owner: &Owner,
        limit: usize,
        beyond: Option<&ReceiverKey>,
    ) -> Result<(Vec<Endpoint>, bool), AwsError> {
        let found = self
            .db
            .query()
            .table_name(&self.table)
            .key_condition_expression("pk = :owner AND begins_with(sk, :prefix)")
            .expression_attribute_values(":owner", text(owner.partition()))
            .expression_attribute_values(":prefix", text(keys::ENDPOINT))
            .consistent_read(true)
            .set_exclusive_start_key(beyond.map(|key| keys::owned(owner, keys::endpoint_sk(key))))
            .limit(one_more_than(limit))
            .send()
            .await
            .map_err(AwsError::call("dynamodb:Query"))?;
        let items = found.items.unwrap_or_default();
        let more = items.len() > limit;
        let read = |item| Ok(read_item::<StoredEndpoint>(item, "an endpoint")?.endpoint);
        let endpoints = items.into_iter().take(limit).map(read);
        Ok((endpoints.collect::<Result<_, AwsError>>()?, more))
    }

    /// What `owner` has said of its webhooks, and what is known of its own endpoint, in one call.
    pub async fn own_endpoint(
        &self,
        owner: &Owner,
    ) -> Result<(Settings, Option<Endpoint>), AwsError> {
        let wanted = [keys::WEBHOOKS.to_owned(), keys::endpoint_sk(&ReceiverKey::account())];
        let wanted = wanted.map(|sk| keys::owned(owner, sk)).into();
        let (mut settings, mut endpoint) = (Settings::default(), None);
        for item in batch_get(&self.db, &self.table, wanted).await? {
            if sort_key(&item) == keys::WEBHOOKS {
                settings = webhook_settings::read(item)?;
            } else {
                endpoint = Some(read_item::<StoredEndpoint>(item, "an endpoint")?.endpoint);
            }
        }
        Ok((settings, endpoint))
    }

    /// The delivery `id` of `owner`.
    pub async fn get(&self, owner: &Owner, id: &DeliveryId) -> Result<Option<Delivery>, AwsError> {
        let found = self
            .db
            .get_item()
            .table_name(&self.table)
            .set_key(Some(keys::owned(owner, keys::delivery_sk(id))))
            .consistent_read(true)
            .send()
            .await
            .map_err(AwsError::call("dynamodb:GetItem"))?;
        found.item.map(read_delivery).transpose()
    }

    /// Deliveries of `owner`, and the id to go on from if there may be more.
    pub async fn list(
        &self,
        owner: &Owner,
        page: &DeliveryPage,
    ) -> Result<(Vec<Delivery>, Option<DeliveryId>), AwsError> {
        match (&page.request, page.state) {
            (Some(request), _) => self.list_of_request(owner, request, page).await,
            (None, Some(StateFilter::Undelivered)) => self.list_undelivered(owner, page).await,
            (None, _) => self.list_by_time(owner, page).await,
        }
    }

    async fn list_by_time(
        &self,
        owner: &Owner,
        page: &DeliveryPage,
    ) -> Result<(Vec<Delivery>, Option<DeliveryId>), AwsError> {
        let mut found = Vec::new();
        let mut read = 0;
        let mut last = None;
        let mut start = None;
        while read < MAX_READ {
            let output = self.range(owner, keys::DELIVERY, page, start).await?;
            for item in output.items.unwrap_or_default() {
                read += 1;
                let delivery = read_delivery(item)?;
                let takes = page.takes(&delivery);
                if takes && found.len() == page.limit {
                    return Ok((found, last));
                }
                last = Some(delivery.id.clone());
                found.extend(takes.then_some(delivery));
            }
            start = output.last_evaluated_key;
            if start.is_none() {
                return Ok((found, None));
            }
        }
        Ok((found, last))
    }

    async fn list_undelivered(
        &self,
        owner: &Owner,
        page: &DeliveryPage,
    ) -> Result<(Vec<Delivery>, Option<DeliveryId>), AwsError> {
        let output = self.range(owner, keys::UNDELIVERED, page, None).await?;
        let more = output.last_evaluated_key.is_some();
        let mut ids = Vec::new();
        for item in output.items.unwrap_or_default() {
            ids.push(
                read_item::<StoredUndelivered>(item, "that a delivery is undelivered")?.delivery,
            );
        }
        let more = more || ids.len() > page.limit;
        ids.truncate(page.limit);
        let last = ids.last().cloned().filter(|_| more);
        let mut found = self.get_all(owner, &ids, page.order).await?;
        // One that is replayed in between is not undelivered any more.
        found.retain(|delivery| page.takes(delivery));
        Ok((found, last))
    }

    /// One request has few deliveries, so all of them are looked at.
    async fn list_of_request(
        &self,
        owner: &Owner,
        request: &RequestId,
        page: &DeliveryPage,
    ) -> Result<(Vec<Delivery>, Option<DeliveryId>), AwsError> {
        #[derive(Deserialize)]
        struct Told {
            deliveries: Vec<DeliveryId>,
        }
        let mut items = self
            .db
            .query()
            .table_name(&self.table)
            .key_condition_expression("pk = :owner AND begins_with(sk, :prefix)")
            .projection_expression("deliveries")
            .expression_attribute_values(":owner", text(owner.partition()))
            .expression_attribute_values(":prefix", text(keys::payloads_sk(request)))
            .consistent_read(true)
            .into_paginator()
            .items()
            .send();
        let mut ids = Vec::new();
        while let Some(item) = items.next().await {
            let item = item.map_err(AwsError::call("dynamodb:Query"))?;
            ids.extend(read_item::<Told>(item, "a payload")?.deliveries);
        }
        ids.retain(|id| page.holds(id));
        let mut found = self.get_all(owner, &ids, page.order).await?;
        found.retain(|delivery| page.takes(delivery));
        let more = found.len() > page.limit;
        found.truncate(page.limit);
        let last = found.last().map(|delivery| delivery.id.clone()).filter(|_| more);
        Ok((found, last))
    }

    /// The items whose key is `prefix` and the id of a delivery in the bounds of `page`; after `start`, or after where
    /// the page before ended.
    async fn range(
        &self,
        owner: &Owner,
        prefix: &str,
        page: &DeliveryPage,
        start: Option<Item>,
    ) -> Result<QueryOutput, AwsError> {
        let (from, until) = page.bounds();
        if from > until {
            // DynamoDB refuses such a range.
            return Ok(QueryOutput::builder().build());
        }
        let is_forward = page.order == Sequence::OldestFirst;
        self.db
            .query()
            .table_name(&self.table)
            .key_condition_expression("pk = :owner AND sk BETWEEN :from AND :until")
            .expression_attribute_values(":owner", text(owner.partition()))
            .expression_attribute_values(":from", text(format!("{prefix}{from}")))
            .expression_attribute_values(":until", text(format!("{prefix}{until}")))
            .scan_index_forward(is_forward)
            .consistent_read(true)
            .set_exclusive_start_key(start)
            .limit(one_more_than(page.limit).max(if page.state.is_some() { RARE } else { 0 }))
            .send()
            .await
            .map_err(AwsError::call("dynamodb:Query"))
    }

    /// The deliveries `ids` of `owner`, in this order; what has expired is left out.
    async fn get_all(
        &self,
        owner: &Owner,
        ids: &[DeliveryId],
        order: Sequence,
    ) -> Result<Vec<Delivery>, AwsError> {
        let wanted = ids.iter().map(|id| keys::owned(owner, keys::delivery_sk(id))).collect();
        let items = batch_get(&self.db, &self.table, wanted).await?;
        let mut found: Vec<_> = items.into_iter().map(read_delivery).collect::<Result<_, _>>()?;
        found.sort_by(|one, other| one.id.as_str().cmp(other.id.as_str()));
        if order == Sequence::NewestFirst {
            found.reverse();
        }
        Ok(found)
    }

    /// What `delivery` says, and when it is tried next, in one call.
    pub async fn details(&self, delivery: &Delivery) -> Result<Details, AwsError> {
        let Delivery { id, owner, request, payload, .. } = delivery;
        let payload_sk = keys::payload_sk(request, payload);
        let wanted = [payload_sk.clone(), keys::lane_sk(&delivery.lane())];
        let wanted = wanted.map(|sk| keys::owned(owner, sk)).into();
        let mut details = Details { body: None, next_attempt_at: None };
        for item in batch_get(&self.db, &self.table, wanted).await? {
            if sort_key(&item) == payload_sk {
                details.body = Some(read_item::<StoredPayload>(item, "a payload")?.body);
            } else {
                let StoredLane { waiting, due_at, .. } = read_item(item, "a lane")?;
                let is_next = waiting.first().is_some_and(|head| head.delivery == *id);
                details.next_attempt_at = is_next.then_some(due_at);
            }
        }
        Ok(details)
    }

    /// Has `delivery` sent again. One that has ended goes to the end of its lane; one that waits makes its lane due now.
    pub async fn replay(&self, delivery: &Delivery, now: Timestamp) -> Result<(), AwsError> {
        let lane = delivery.lane();
        if delivery.state == DeliveryState::Pending {
            return self.make_due(&delivery.owner, &lane, now).await;
        }
        let expires_at = number(clock::after(now, KEPT_WAITING_FOR).as_second());
        let owned = |sk| keys::owned(&delivery.owner, sk);
        let state = serde_dynamo::to_attribute_value(DeliveryState::Pending);
        let pending = Update::builder()
            .table_name(&self.table)
            .set_key(Some(owned(keys::delivery_sk(&delivery.id))))
            .update_expression("SET #state = :pending, expires_at = :expires_at")
            .condition_expression("#state.#state <> :word AND attribute_exists(pk)")
            .expression_attribute_names("#state", "state")
            .expression_attribute_values(":word", text(StateFilter::Pending.as_str()))
            .expression_attribute_values(":pending", state.map_err(AwsError::corrupt("a state"))?)
            .expression_attribute_values(":expires_at", expires_at.clone());
        let kept = Update::builder()
            .table_name(&self.table)
            .set_key(Some(owned(keys::payload_sk(&delivery.request, &delivery.payload))))
            .update_expression("SET expires_at = :expires_at")
            .condition_expression("attribute_exists(pk)")
            .expression_attribute_values(":expires_at", expires_at);
        let found = Delete::builder()
            .table_name(&self.table)
            .set_key(Some(owned(keys::undelivered_sk(&delivery.id))));
        let writes = vec![
            Write::update(pending)?,
            Write::update(kept)?,
            Write::delete(found)?,
            self.append(&delivery.owner, &lane, vec![delivery.waiting()], now)?,
        ];
        Ok(transaction::commit(&self.db, writes).await?)
    }

    /// Makes a lane due now that waits and that nobody is at. Its first delivery has all its tries before it again:
    /// whoever asks for one more must not use them up.
    async fn make_due(
        &self,
        owner: &Owner,
        lane: &LaneKey,
        now: Timestamp,
    ) -> Result<(), AwsError> {
        let hurried = self
            .lane_update(owner, lane)
            .update_expression("SET due_at = :now, attempts = :zero")
            .condition_expression("due_at > :now AND attribute_not_exists(claim)")
            .expression_attribute_values(":zero", number(0))
            .expression_attribute_values(":now", number(now.as_millisecond()));
        match transaction::commit(&self.db, vec![Write::update(hurried)?]).await {
            // It is due already, being tried, or has just ended.
            Ok(()) | Err(NotWritten::Refused(_)) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// What is due at `now`, the longest overdue first; lanes come last. Of each shard at most `limit`, but of lanes a
    /// megabyte, which is some thousands: those of a receiver that hangs must not hide the others.
    pub async fn due(&self, now: Timestamp, limit: i32) -> Result<Vec<(Due, Timestamp)>, AwsError> {
        let mut found = Vec::new();
        for (kind, shard) in DueKind::shards() {
            let limit = (!matches!(kind, DueKind::Lane)).then_some(limit);
            let output = self
                .db
                .query()
                .table_name(&self.table)
                .index_name("due")
                .key_condition_expression("due_shard = :shard AND due_at <= :now")
                .expression_attribute_values(":shard", text(shard))
                .expression_attribute_values(":now", number(now.as_millisecond()))
                .set_limit(limit)
                .send()
                .await
                .map_err(AwsError::call("dynamodb:Query"))?;
            for item in output.items.unwrap_or_default() {
                match keys::read_due(&item).and_then(|due| Ok((due, due_at(&item)?))) {
                    Ok(due) => found.push(due),
                    Err(error) => {
                        tracing::error!(error = chain(&error), "something due is skipped");
                    }
                }
            }
        }
        Ok(found)
    }

    fn put_new<T: Serialize>(&self, stored: &T, kind: &'static str) -> Result<Write, AwsError> {
        self.put(stored, kind, Some("attribute_not_exists(pk)"))
    }

    fn put<T: Serialize>(
        &self,
        stored: &T,
        kind: &'static str,
        condition: Option<&str>,
    ) -> Result<Write, AwsError> {
        let item = serde_dynamo::to_item(stored).map_err(AwsError::corrupt(kind))?;
        let put = Put::builder()
            .table_name(&self.table)
            .set_item(Some(item))
            .set_condition_expression(condition.map(str::to_owned));
        Write::put(put)
    }
}

impl DeliveryPage {
    /// From which to which id the page goes. The ends of times are no ids, but stand between them.
    fn bounds(&self) -> (String, String) {
        // Ids begin with the milliseconds of their UUIDv7.
        let bound = |time: Timestamp| format!("msg_{:012x}", time.as_millisecond().max(0));
        let from = self.from.map_or_else(|| "msg_".to_owned(), bound);
        let until = self.until.map_or_else(|| "msg_~".to_owned(), bound);
        match (&self.beyond, self.order) {
            (None, _) => (from, until),
            (Some(beyond), Sequence::OldestFirst) => {
                (from.max(id_text(id_number(beyond).saturating_add(1))), until)
            }
            (Some(beyond), Sequence::NewestFirst) => {
                (from, until.min(id_text(id_number(beyond).saturating_sub(1))))
            }
        }
    }

    fn holds(&self, id: &DeliveryId) -> bool {
        let (from, until) = self.bounds();
        from.as_str() <= id.as_str() && id.as_str() <= until.as_str()
    }

    fn takes(&self, delivery: &Delivery) -> bool {
        self.state.is_none_or(|state| state.as_str() == delivery.state.as_str())
    }
}

/// The number that an id is: ids sort as their numbers do.
fn id_number(id: &DeliveryId) -> u128 {
    let digits = id.as_str().strip_prefix(id::Delivery::PREFIX).unwrap_or_default();
    u128::from_str_radix(digits, 16).unwrap_or_default()
}

fn id_text(number: u128) -> String {
    DeliveryId::new(Uuid::from_u128(number)).to_string()
}

/// So that it shows whether there are more.
fn one_more_than(limit: usize) -> i32 {
    i32::try_from(limit.saturating_add(1)).unwrap_or(i32::MAX)
}

fn shard(lane: &LaneKey) -> String {
    DueKind::Lane.shard(lane.request.as_str())
}

fn due_at(item: &Item) -> Result<Timestamp, AwsError> {
    let millis = item.get("due_at").and_then(|value| value.as_n().ok()?.parse().ok());
    let time = millis.and_then(|millis| Timestamp::from_millisecond(millis).ok());
    time.ok_or_else(|| AwsError::Corrupt("the index of what is due", "no time".into()))
}

fn sort_key(item: &Item) -> &str {
    item.get("sk").and_then(|sk| sk.as_s().ok()).map(String::as_str).unwrap_or_default()
}

fn read_item<T: DeserializeOwned>(item: Item, kind: &'static str) -> Result<T, AwsError> {
    serde_dynamo::from_item(item).map_err(AwsError::corrupt(kind))
}

fn stored(delivery: &Delivery) -> StoredDelivery {
    StoredDelivery {
        pk: delivery.owner.partition(),
        sk: keys::delivery_sk(&delivery.id),
        id: delivery.id.clone(),
        owner: delivery.owner.clone(),
        request: delivery.request.clone(),
        event: delivery.event,
        destination: delivery.destination.clone(),
        payload: delivery.payload.clone(),
        state: delivery.state.clone(),
        attempts: delivery.attempts.clone(),
        created_at: delivery.created_at,
        expires_at: delivery.expires_at.as_second(),
    }
}

fn read_delivery(item: Item) -> Result<Delivery, AwsError> {
    let stored: StoredDelivery = read_item(item, "a delivery")?;
    let expires_at = Timestamp::from_second(stored.expires_at);
    Ok(Delivery {
        id: stored.id,
        owner: stored.owner,
        request: stored.request,
        event: stored.event,
        destination: stored.destination,
        payload: stored.payload,
        state: stored.state,
        attempts: stored.attempts,
        created_at: stored.created_at,
        expires_at: expires_at.map_err(AwsError::corrupt("a delivery"))?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        aws::emulator,
        id::{ClientId, Id},
        retailers::Mode,
        webhooks::EventKind,
    };

    const TABLE: &str = "orders";

    async fn outbox() -> (Outbox, Owner) {
        let outbox = Outbox::new(Client::new(&emulator::config().await), TABLE.to_owned());
        emulator::create_table(&outbox.db, TABLE, &[]).await;
        let client: ClientId = Id::new(Uuid::from_u128(1));
        (outbox, Owner { client, mode: Mode::Test })
    }

    fn at(millis: u128) -> Timestamp {
        Timestamp::from_millisecond(i64::try_from(millis).unwrap()).unwrap()
    }

    /// Number `number`, which happened at that millisecond, of the request `request`.
    fn news(owner: &Owner, number: u128, request: u128) -> News {
        let (id, expires_at) = (Uuid::from_u128((number << 80) + number), at(9_000_000_000_000));
        let (request, payload) = (RequestId::new(Uuid::from_u128(request)), PayloadId::new(id));
        let delivery = Delivery {
            id: DeliveryId::new(id),
            owner: owner.clone(),
            request: request.clone(),
            event: EventName::Request(EventKind::StatusUpdated),
            destination: Destination::Url { url: "https://a.example/".into(), userinfo: None },
            payload: payload.clone(),
            state: DeliveryState::Pending,
            attempts: Vec::new(),
            created_at: at(number),
            expires_at,
        };
        let owner = owner.clone();
        let payload = Payload { id: payload, owner, request, body: "{}".to_owned(), expires_at };
        News { payload, deliveries: vec![delivery] }
    }

    /// Writes as many and gives up the even ones.
    async fn given_up(outbox: &Outbox, owner: &Owner, count: u128) {
        for number in 1..=count {
            let mut news = news(owner, number, number % 2 + 1);
            outbox.write(std::slice::from_ref(&news), at(number)).await.unwrap();
            let mut delivery = news.deliveries.remove(0);
            if number % 2 == 0 {
                let claim = outbox.claim(owner, &delivery.lane(), at(number), at(number)).await;
                let reason = "why".to_owned();
                delivery.state = DeliveryState::Undelivered { at: at(number), reason };
                let ended = Conclusion::Ended;
                let claim = claim.unwrap().unwrap();
                outbox.conclude(&claim, &delivery, &ended, at(number)).await.unwrap();
            }
        }
    }

    /// The milliseconds of all pages of two, one after another, and how many pages there were.
    async fn paged(outbox: &Outbox, owner: &Owner, mut page: DeliveryPage) -> (Vec<i64>, usize) {
        let (mut found, mut pages) = (Vec::new(), 0);
        loop {
            page.limit = 2;
            let (deliveries, next) = outbox.list(owner, &page).await.unwrap();
            found.extend(deliveries.iter().map(|one| one.created_at.as_millisecond()));
            pages += 1;
            let Some(next) = next else { return (found, pages) };
            page.beyond = Some(next);
        }
    }

    #[tokio::test]
    async fn pages_go_on_where_the_one_before_ended_in_both_directions() {
        let (outbox, owner) = outbox().await;
        given_up(&outbox, &owner, 8).await;
        let request = || Some(RequestId::new(Uuid::from_u128(1)));
        let filters = || {
            [
                (DeliveryPage::default(), vec![1, 2, 3, 4, 5, 6, 7, 8]),
                (
                    DeliveryPage { state: Some(StateFilter::Undelivered), ..Default::default() },
                    vec![2, 4, 6, 8],
                ),
                (
                    DeliveryPage { state: Some(StateFilter::Pending), ..Default::default() },
                    vec![1, 3, 5, 7],
                ),
                (DeliveryPage { request: request(), ..Default::default() }, vec![2, 4, 6, 8]),
                (
                    DeliveryPage { from: Some(at(3)), until: Some(at(7)), ..Default::default() },
                    vec![3, 4, 5, 6],
                ),
            ]
        };
        for (page, expected) in filters() {
            let pages = expected.len() / 2;
            let newest: Vec<_> = expected.iter().rev().copied().collect();
            assert_eq!(paged(&outbox, &owner, page).await, (newest, pages));
        }
        for (page, expected) in filters() {
            let pages = expected.len() / 2;
            let page = DeliveryPage { order: Sequence::OldestFirst, ..page };
            assert_eq!(paged(&outbox, &owner, page).await, (expected, pages));
        }
    }

    #[tokio::test]
    async fn no_page_reaches_beyond_its_times_or_its_owner() {
        let (outbox, owner) = outbox().await;
        given_up(&outbox, &owner, 2).await;
        let other = Owner { mode: Mode::Live, ..owner.clone() };
        assert_eq!(paged(&outbox, &other, DeliveryPage::default()).await, (vec![], 1));
        for order in [Sequence::NewestFirst, Sequence::OldestFirst] {
            for state in [None, Some(StateFilter::Undelivered)] {
                for (from, until, beyond) in [(2, 1, None), (7, 9, Some(1)), (3, 4, Some(8))] {
                    let beyond =
                        beyond.map(|number| DeliveryId::new(Uuid::from_u128(number << 80)));
                    let (from, until) = (Some(at(from)), Some(at(until)));
                    let page =
                        DeliveryPage { order, state, from, until, beyond, ..Default::default() };
                    assert_eq!(paged(&outbox, &owner, page).await, (vec![], 1));
                }
            }
        }
    }

    #[tokio::test]
    async fn what_is_replayed_goes_to_the_end_of_its_lane() {
        let (outbox, owner) = outbox().await;
        given_up(&outbox, &owner, 4).await;
        let all = DeliveryPage { limit: 10, order: Sequence::OldestFirst, ..Default::default() };
        let (all, _) = outbox.list(&owner, &all).await.unwrap();
        let [_, second, _, fourth] = all.as_slice() else { panic!("{all:?}") };
        for delivery in [second, fourth] {
            outbox.replay(delivery, at(10)).await.unwrap();
            // Twice at once is once.
            let again = outbox.replay(delivery, at(10)).await;
            assert!(matches!(again, Err(AwsError::Conflict)), "{again:?}");
        }
        let details = outbox.details(second).await.unwrap();
        assert_eq!((details.body.as_deref(), details.next_attempt_at), (Some("{}"), Some(at(10))));
        assert_eq!(outbox.details(fourth).await.unwrap().next_attempt_at, None);
        let replayed = outbox.get(&owner, &second.id).await.unwrap().unwrap();
        assert_eq!(replayed.state, DeliveryState::Pending);
        let undelivered =
            DeliveryPage { state: Some(StateFilter::Undelivered), ..Default::default() };
        assert_eq!(paged(&outbox, &owner, undelivered).await, (vec![], 1));
    }

    #[tokio::test]
    async fn endpoints_that_fail_are_listed_in_pages_and_forgotten() {
        let (outbox, owner) = outbox().await;
        for number in 0..3 {
            let url = format!("https://a.example/{number}");
            let key = Destination::Url { url: url.clone(), userinfo: None }.endpoint();
            let (failing_since, last_failed_at) = (at(1), at(1));
            let endpoint = Endpoint { key, url, failing_since, last_failed_at, disabled: None };
            outbox.keep_endpoint(&owner, None, &endpoint, vec![]).await.unwrap();
        }
        let (first, more) = outbox.endpoints(&owner, 2, None).await.unwrap();
        assert_eq!((first.len(), more), (2, true));
        let (rest, more) = outbox.endpoints(&owner, 2, Some(&first[1].key)).await.unwrap();
        assert_eq!((rest.len(), more), (1, false));
        assert!(outbox.enable_endpoint(&owner, &rest[0].key).await.unwrap());
        assert!(!outbox.enable_endpoint(&owner, &rest[0].key).await.unwrap());
        let (left, _) = outbox.endpoints(&owner, 5, None).await.unwrap();
        assert_eq!(left, first);
    }

    #[tokio::test]
    async fn what_is_known_of_an_endpoint_is_not_overwritten_by_older_news() {
        let (outbox, owner) = outbox().await;
        let (key, url) = (ReceiverKey::account(), String::new());
        let failed = |time: u128| Endpoint {
            key: key.clone(),
            url: url.clone(),
            failing_since: at(1),
            last_failed_at: at(time),
            disabled: None,
        };
        outbox.keep_endpoint(&owner, None, &failed(1), vec![]).await.unwrap();
        let again = outbox.keep_endpoint(&owner, None, &failed(2), vec![]).await;
        assert!(matches!(again, Err(AwsError::Conflict)), "{again:?}");
        outbox.keep_endpoint(&owner, Some(&failed(1)), &failed(3), vec![]).await.unwrap();
        let late = outbox.endpoint_works(&owner, &failed(1), vec![]).await;
        assert!(matches!(late, Err(AwsError::Conflict)), "{late:?}");
        outbox.endpoint_works(&owner, &failed(3), vec![]).await.unwrap();
        assert_eq!(outbox.endpoints(&owner, 5, None).await.unwrap(), (vec![], false));
    }
}
