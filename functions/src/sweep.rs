//! Every minute: sends again what a crash left without a message, and what is due.
//!
//! A message too many does no harm: workers and senders look at the item first.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use serde::Deserialize;
use spelter::{
    accounts::Owner,
    aftersale::Next,
    aws::{
        AwsError,
        aftersales::AfterSales,
        bundles::Bundles,
        calls,
        keys::{BundleKey, Due},
        orders::Orders,
        outbox::Outbox,
        queue::{JobMessage, Jobs, Webhooks},
    },
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
    pub jobs: Jobs,
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
    /// Bundles that got another message.
    pub bundles: usize,
    /// Cancellations that got another message.
    pub cancellations: usize,
    /// Returns that got another message.
    pub returns: usize,
    /// Receivers of webhooks that something waits for.
    pub lanes: usize,
    /// What could not be done; the next sweep finds it again.
    pub failed: usize,
}

/// Of each part of the index; the rest waits a minute.
const AT_ONCE: i32 = 250;
/// Of one receiver's webhooks: more would only wait in the queue, and the next sweep finds them again.
const HINTS_AT_ONCE: usize = 25;
/// Messages of one order are at most so far apart.
const LONGEST_WAIT: Duration = Duration::from_hours(6);
/// Messages of one order are at least so far apart; the wait doubles each time, since most often nothing was lost
/// and the account is merely busy.
const SHORTEST_WAIT: Duration = Duration::from_mins(2);

impl Sweep {
    /// One sweep of what is due at `now`.
    pub async fn run(&self, now: Timestamp) -> Result<Swept, BoxError> {
        let started = Instant::now();
        let mut swept = Swept::default();
        let mut hinted = HashMap::<_, usize>::new();
        for (due, since) in self.outbox.due(now, AT_ONCE).await? {
            if let Due::Lane(owner, lane) = &due {
                let hints = hinted.entry(lane.group(owner)).or_default();
                *hints += 1;
                if *hints > HINTS_AT_ONCE {
                    continue;
                }
            }
            match (self.see_to(&due, since, now).await, due) {
                (Ok(()), Due::Order(..)) => swept.orders += 1,
                (Ok(()), Due::Bundle(..)) => swept.bundles += 1,
                (Ok(()), Due::Cancellation(..)) => swept.cancellations += 1,
                (Ok(()), Due::Return(..)) => swept.returns += 1,
                (Ok(()), Due::Lane(..)) => swept.lanes += 1,
                // A worker was faster, so nothing was lost.
                (Err(AwsError::Conflict), _) => {}
                (Err(error), _) => {
                    tracing::error!(error = chain(&error), "not seen to");
                    swept.failed += 1;
                }
            }
        }
        let Swept { orders, bundles, cancellations, returns, lanes, failed } = swept;
        tracing::info!(
            duration_ms = millis_since(started),
            aws.calls = calls::take(),
            orders,
            bundles,
            cancellations,
            returns,
            lanes,
            failed,
            "swept what was due at {now}"
        );
        Ok(swept)
    }

    /// Sees to what is due since `since`.
    async fn see_to(&self, due: &Due, since: Timestamp, now: Timestamp) -> Result<(), AwsError> {
        match due {
            Due::Order(owner, id) => match self.orders.get(owner, id).await? {
                Some(order) if order.status.is_final() => self.follow(order, now).await,
                Some(order) => self.resend(order, now).await,
                None => Ok(()),
            },
            Due::Bundle(owner, key) => self.resend_bundle(owner, key, now).await,
            Due::Cancellation(owner, id) => {
                self.resend_after_sale(&self.cancellations, owner, id, now).await
            }
            Due::Return(owner, id) => self.resend_after_sale(&self.returns, owner, id, now).await,
            Due::Lane(owner, lane) => self.webhooks.deliver_due(owner, lane, since, now).await,
        }
    }

    /// An order that has not ended gets another message.
    async fn resend(&self, mut order: Order, now: Timestamp) -> Result<(), AwsError> {
        order.due_at = Some(clock::after(now, wait(order.dispatches)));
        let message =
            JobMessage::PlaceOrder { owner: order.owner.clone(), order: order.id.clone() };
        self.dispatch(order, &message).await
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
            let message =
                JobMessage::TrackOrder { owner: order.owner.clone(), order: order.id.clone() };
            self.dispatch(order, &message).await
        } else {
            self.orders.save(order, vec![]).await.map(drop)
        }
    }

    async fn dispatch(&self, mut order: Order, message: &JobMessage) -> Result<(), AwsError> {
        order.dispatches = order.dispatches.saturating_add(1);
        // Written first: a message whose number is not written would be dropped as a duplicate next time.
        let order = self.orders.save(order, vec![]).await?;
        self.jobs.send(&order.account, message, order.dispatches).await
    }

    async fn resend_bundle(
        &self,
        owner: &Owner,
        key: &BundleKey,
        now: Timestamp,
    ) -> Result<(), AwsError> {
        let Some(mut bundle) = self.bundles.get(owner, key).await? else { return Ok(()) };
        bundle.due_at = clock::after(now, wait(bundle.dispatches));
        bundle.dispatches = bundle.dispatches.saturating_add(1);
        // It was due, so it is ready, whatever the worker's clock says.
        bundle.launched_at = bundle.launched_at.or(Some(now));
        self.bundles.save(&mut bundle).await?;
        let message = JobMessage::PlaceBundle { owner: owner.clone(), bundle: key.clone() };
        self.jobs.send(&bundle.account, &message, bundle.dispatches).await
    }

    /// A cancellation or a return gets another message, if something is left to do about it.
    async fn resend_after_sale<K: Kind>(
        &self,
        requests: &AfterSales<K>,
        owner: &Owner,
        id: &Id<K::Kind>,
        now: Timestamp,
    ) -> Result<(), AwsError> {
        let Some(mut request) = requests.get(owner, id).await? else { return Ok(()) };
        request.due_at = match request.stage.next(now) {
            Next::Work => Some(clock::after(now, wait(request.dispatches))),
            Next::Ask(at) => Some(at),
            Next::Nothing => None,
        };
        request.dispatches = request.dispatches.saturating_add(1);
        requests.save(&mut request, vec![]).await?;
        if request.due_at.is_none() {
            return Ok(());
        }
        self.jobs.send(&request.account, &K::message(&request), request.dispatches).await
    }
}

fn wait(dispatches: u32) -> Duration {
    (SHORTEST_WAIT * 2_u32.saturating_pow(dispatches.min(10))).min(LONGEST_WAIT)
}
