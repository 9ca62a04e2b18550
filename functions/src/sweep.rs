//! Every minute: sends again what a crash left without a message, and what is due.
//!
//! A message too many does no harm: workers and senders look at the item first.

use std::{collections::HashMap, time::Instant};

use futures::stream::{self, StreamExt};
use jiff::Timestamp;
use serde::Deserialize;
use spelter::{
    accounts::Owner,
    aftersale::Next,
    aws::{
        AwsError,
        aftersales::AfterSales,
        backlogs::{Addition, Backlogs},
        bundles::Bundles,
        calls,
        keys::{BundleKey, Due},
        orders::Orders,
        outbox::Outbox,
        queue::{JobMessage, Webhooks},
        transaction::Write,
    },
    backlog::{Place, wait_after},
    cancellations, clock,
    error::{BoxError, chain},
    id::Id,
    orders::{Order, Status},
    returns,
    telemetry::millis_since,
};

use crate::aftersale::Kind;

/// What this function may touch.
pub struct Sweep {
    /// What is due.
    pub outbox: Outbox,
    /// The orders.
    pub orders: Orders,
    /// The bundles.
    pub bundles: Bundles,
    /// The cancellations.
    pub cancellations: AfterSales<cancellations::Status>,
    /// The returns.
    pub returns: AfterSales<returns::Status>,
    /// The way to the worker.
    pub backlogs: Backlogs,
    /// The way to the sender.
    pub webhooks: Webhooks,
}

/// The event that the schedule sends: what is due, is due at its time.
///
/// <https://docs.aws.amazon.com/eventbridge/latest/ref/overiew-event-structure.html>
#[derive(Debug, Deserialize)]
pub struct Scheduled {
    /// When it happened.
    #[serde(default)]
    pub time: Option<Timestamp>,
}

/// What one sweep did.
#[derive(Debug, Default, serde::Serialize)]
pub struct Swept {
    /// Orders that were seen to.
    pub orders: usize,
    /// Bundles that got another job.
    pub bundles: usize,
    /// Cancellations that got another job.
    pub cancellations: usize,
    /// Returns that got another job.
    pub returns: usize,
    /// Messages that jobs got which had none, or none that had an effect.
    pub messages: usize,
    /// Receivers of webhooks that something waits for.
    pub lanes: usize,
    /// What could not be done; the next sweep finds it again.
    pub failed: usize,
}

/// Of each part of the index; the rest waits a minute.
const FOUND_AT_ONCE: i32 = 250;
/// One after the other, so many would take longer than a minute.
const SEEN_AT_ONCE: usize = 16;
/// Of one receiver's webhooks: more would only wait in the queue, and the next sweep finds them again.
const HINTS_AT_ONCE: usize = 25;

impl Sweep {
    /// One sweep of what is due at `now`.
    pub async fn run(&self, now: Timestamp) -> Result<Swept, BoxError> {
        let started = Instant::now();
        let mut swept = Swept::default();
        let due = seen_now(self.outbox.due(now, FOUND_AT_ONCE).await?);
        let seen = due.into_iter().map(async |(due, since)| {
            let seen = self.see_to(&due, since, now).await;
            (seen, due)
        });
        let mut seen = stream::iter(seen).buffer_unordered(SEEN_AT_ONCE);
        while let Some(seen) = seen.next().await {
            match seen {
                (Ok(_), Due::Order(..)) => swept.orders += 1,
                (Ok(_), Due::Bundle(..)) => swept.bundles += 1,
                (Ok(_), Due::Cancellation(..)) => swept.cancellations += 1,
                (Ok(_), Due::Return(..)) => swept.returns += 1,
                (Ok(sent), Due::Backlog(..)) => swept.messages += sent,
                (Ok(_), Due::Lane(..)) => swept.lanes += 1,
                // A worker was faster, so nothing was lost.
                (Err(AwsError::Conflict), _) => {}
                (Err(error), _) => {
                    tracing::error!(error = chain(&error), "not seen to");
                    swept.failed += 1;
                }
            }
        }
        let Swept { orders, bundles, cancellations, returns, messages, lanes, failed } = swept;
        tracing::info!(
            duration_ms = millis_since(started),
            aws.calls = calls::take(),
            orders,
            bundles,
            cancellations,
            returns,
            messages,
            lanes,
            failed,
            "swept what was due at {now}"
        );
        Ok(swept)
    }

    /// Sees to what is due since `since`. Answers how many messages a backlog got.
    async fn see_to(&self, due: &Due, since: Timestamp, now: Timestamp) -> Result<usize, AwsError> {
        match due {
            Due::Order(owner, id) => match self.orders.get(owner, id).await? {
                Some(order) if order.status.is_final() => self.follow(order, now).await?,
                Some(order) => self.place(order, now).await?,
                None => {}
            },
            Due::Bundle(owner, key) => self.place_bundle(owner, key, now).await?,
            Due::Cancellation(owner, id) => {
                self.go_on(&self.cancellations, owner, id, now).await?;
            }
            Due::Return(owner, id) => self.go_on(&self.returns, owner, id, now).await?,
            Due::Backlog(account) => return self.backlogs.watch(account, now).await,
            Due::Lane(owner, lane) => self.webhooks.deliver_due(owner, lane, since, now).await?,
        }
        Ok(0)
    }

    /// An order that has not ended gets another job.
    async fn place(&self, mut order: Order, now: Timestamp) -> Result<(), AwsError> {
        order.due_at = Some(clock::after(now, wait_after(order.dispatches.saturating_add(1))));
        let job = JobMessage::PlaceOrder { owner: order.owner.clone(), order: order.id.clone() };
        self.dispatch(order, job, now).await
    }

    /// Of an order that has ended, the parcels are asked after, and in the end its login is forgotten.
    async fn follow(&self, mut order: Order, now: Timestamp) -> Result<(), AwsError> {
        if order.login_is_kept_until().is_none_or(|until| until <= now) {
            order.secrets = None;
        }
        order.due_at = order.due_after(now);
        if let Status::Placed(_) = order.status
            && order.due_at.is_some()
        {
            let job =
                JobMessage::TrackOrder { owner: order.owner.clone(), order: order.id.clone() };
            self.dispatch(order, job, now).await
        } else {
            self.orders.save(order, vec![]).await.map(drop)
        }
    }

    async fn dispatch(
        &self,
        mut order: Order,
        job: JobMessage,
        now: Timestamp,
    ) -> Result<(), AwsError> {
        order.dispatches = order.dispatches.saturating_add(1);
        let added = self.backlogs.another(&order.account, order.place.as_ref(), job, now).await?;
        let also = writes(added.as_ref(), &mut order.place);
        self.orders.save(order, also).await?;
        self.call_up(added, now).await;
        Ok(())
    }

    /// A bundle gets another job.
    async fn place_bundle(
        &self,
        owner: &Owner,
        key: &BundleKey,
        now: Timestamp,
    ) -> Result<(), AwsError> {
        let Some(mut bundle) = self.bundles.get(owner, key).await? else { return Ok(()) };
        bundle.dispatches = bundle.dispatches.saturating_add(1);
        bundle.due_at = clock::after(now, wait_after(bundle.dispatches.saturating_add(1)));
        // It was due, so it is ready, whatever the worker's clock says.
        bundle.launched_at = bundle.launched_at.or(Some(now));
        let job = JobMessage::PlaceBundle { owner: owner.clone(), bundle: key.clone() };
        let added = self.backlogs.another(&key.account, bundle.place.as_ref(), job, now).await?;
        let also = writes(added.as_ref(), &mut bundle.place);
        self.bundles.save(&mut bundle, also).await?;
        self.call_up(added, now).await;
        Ok(())
    }

    /// A cancellation or a return gets another job, if something is left to do about it.
    async fn go_on<K: Kind>(
        &self,
        requests: &AfterSales<K>,
        owner: &Owner,
        id: &Id<K::Kind>,
        now: Timestamp,
    ) -> Result<(), AwsError> {
        let Some(mut request) = requests.get(owner, id).await? else { return Ok(()) };
        request.dispatches = request.dispatches.saturating_add(1);
        request.due_at = match request.stage.next(now) {
            Next::Work => Some(clock::after(now, wait_after(request.dispatches))),
            Next::Ask(at) => Some(at),
            Next::Nothing => None,
        };
        let mut added = None;
        if request.due_at.is_some() {
            let (account, last) = (&request.account, request.place.as_ref());
            added = self.backlogs.another(account, last, K::message(&request), now).await?;
        }
        let also = writes(added.as_ref(), &mut request.place);
        requests.save(&mut request, also).await?;
        self.call_up(added, now).await;
        Ok(())
    }

    async fn call_up(&self, added: Option<Addition>, now: Timestamp) {
        if let Some(added) = added {
            self.backlogs.added(added, now).await;
        }
    }
}

/// For the transaction that writes what gets another job, if it does, and with it where that stands.
fn writes(added: Option<&Addition>, place: &mut Option<Place>) -> Vec<Write> {
    let Some(added) = added else { return Vec::new() };
    *place = Some(added.place());
    added.writes()
}

/// What of all that is `due`, each since when, is seen to now: everything but webhooks of a receiver that has many, of which
/// those that have waited the longest are.
fn seen_now(mut due: Vec<(Due, Timestamp)>) -> Vec<(Due, Timestamp)> {
    due.sort_by_key(|(due, since)| matches!(due, Due::Lane(..)).then_some(*since));
    let mut hinted = HashMap::<_, usize>::new();
    due.retain(|(due, _)| {
        let Due::Lane(owner, lane) = due else { return true };
        let hints = hinted.entry(lane.group(owner)).or_default();
        *hints += 1;
        *hints <= HINTS_AT_ONCE
    });
    due
}

#[cfg(test)]
mod tests {
    use spelter::{
        id::{ClientId, OrderId, RequestId},
        retailers::Mode,
        webhooks::lanes::{LaneKey, ReceiverKey},
    };
    use uuid::Uuid;

    use super::*;

    #[test]
    fn of_many_webhooks_of_a_receiver_the_oldest_are_seen_to() {
        let owner = Owner { client: ClientId::new(Uuid::from_u128(1)), mode: Mode::Test };
        let lane = |number: u128| {
            let receiver = ReceiverKey::account();
            // The last digit says in which of the receiver's groups it is.
            let request = RequestId::new(Uuid::from_u128(number * 16));
            let (endpoint, origin) = (receiver.clone(), receiver.clone());
            Due::Lane(owner.clone(), LaneKey { request, receiver, endpoint, origin })
        };
        let at = |second| Timestamp::from_second(second).unwrap();
        // As the index has them, a part after the other.
        let mut due = vec![(Due::Order(owner.clone(), OrderId::new(Uuid::from_u128(2))), at(100))];
        due.extend((0..30).map(|number| (lane(number), at(50))));
        due.push((lane(30), at(10)));

        let seen = seen_now(due.clone());
        assert_eq!(seen.len(), 1 + HINTS_AT_ONCE);
        assert_eq!(seen[..2], [due[0].clone(), due[31].clone()]);
    }
}
