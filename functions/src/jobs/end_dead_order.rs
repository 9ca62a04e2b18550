//! Ends the orders, cancellations and returns of a job that no worker could finish, so that their client hears of it.
//!
//! Messages that cannot be read stay in the dead-letter queue, where the alarm sees them.

use std::time::Duration;

use spelter::{
    accounts::{AccountRef, Owner},
    aws::{
        backlogs::Backlogs,
        bundles::Bundles,
        keys::BundleKey,
        leases::Leases,
        queue::{JobMessage, Ticket},
    },
    cancellations,
    clock::{self, Clock},
    error::{BoxError, Code, Refusal},
    id::{Id, OrderId, RequestId},
    orders::{Event, Order, Status, bundling::Bundle},
    returns,
    sqs::{Job, Outcome, Received},
};

use crate::{
    aftersale::{Kind, progress::AfterSaleProgress},
    orders::progress::Progress,
};

/// What this function may touch.
pub struct EndDeadOrder {
    /// The orders.
    pub progress: Progress,
    /// Orders that are bought together.
    pub bundles: Bundles,
    /// What was to be cancelled.
    pub cancellations: AfterSaleProgress<cancellations::Status>,
    /// What was to go back.
    pub returns: AfterSaleProgress<returns::Status>,
    /// Who holds an account.
    pub leases: Leases,
    /// Where the job leaves.
    pub backlogs: Backlogs,
    /// The time.
    pub now: Clock,
}

impl Job for EndDeadOrder {
    type Message = Ticket;

    async fn run(&self, received: Received<Ticket>) -> Result<Outcome, BoxError> {
        let ticket = received.message;
        let outcome = self.end_job(ticket.job.clone()).await?;
        if outcome == Outcome::Done {
            self.backlogs.leave(&ticket, (self.now)()).await;
        }
        Ok(outcome)
    }

    /// The queue's own time is as good.
    async fn postpone(&self, _: &str, _: Duration) -> Result<(), BoxError> {
        Ok(())
    }
}

impl EndDeadOrder {
    async fn end_job(&self, job: JobMessage) -> Result<Outcome, BoxError> {
        match job {
            JobMessage::PlaceOrder { owner, order } => self.end_order(&owner, &order).await,
            JobMessage::PlaceBundle { owner, bundle } => self.end_bundle(&owner, &bundle).await,
            JobMessage::CancelOrder { owner, cancellation } => {
                self.end_after_sale(&self.cancellations, &owner, &cancellation).await
            }
            JobMessage::StartReturn { owner, return_id } => {
                self.end_after_sale(&self.returns, &owner, &return_id).await
            }
            // The order itself has long ended, and the sweeper asks after it again.
            JobMessage::TrackOrder { .. } => Ok(Outcome::Done),
        }
    }

    async fn end_order(&self, owner: &Owner, id: &OrderId) -> Result<Outcome, BoxError> {
        let order = self.progress.orders.get(owner, id).await?;
        let order = order.ok_or_else(|| format!("no order {id}"))?;
        if order.status.is_final() {
            return Ok(Outcome::Done);
        }
        let mut requests = vec![id.request()];
        if let (Some(id), Some(group)) = (order.bundle().cloned(), order.group.clone()) {
            // A worker at its bundle holds the account for another of its orders.
            let key = BundleKey { account: order.account.clone(), group, id };
            let bundle = self.bundles.get(owner, &key).await?;
            requests.extend(bundle.iter().flat_map(members));
        }
        if let Some(wait) = self.in_hand(&order.account, &requests).await? {
            return Ok(Outcome::Later(wait));
        }
        self.end(order).await?;
        Ok(Outcome::Done)
    }

    async fn end_bundle(&self, owner: &Owner, key: &BundleKey) -> Result<Outcome, BoxError> {
        let Some(bundle) = self.bundles.get(owner, key).await? else { return Ok(Outcome::Done) };
        let ids: Vec<_> = bundle.members.iter().map(|member| member.order.clone()).collect();
        let requests: Vec<_> = members(&bundle).collect();
        if let Some(wait) = self.in_hand(&key.account, &requests).await? {
            return Ok(Outcome::Later(wait));
        }
        for order in self.progress.orders.get_all(owner, &ids).await? {
            self.end(order).await?;
        }
        self.bundles.remove(&bundle, vec![]).await?;
        Ok(Outcome::Done)
    }

    async fn end_after_sale<K: Kind>(
        &self,
        progress: &AfterSaleProgress<K>,
        owner: &Owner,
        id: &Id<K::Kind>,
    ) -> Result<Outcome, BoxError> {
        let request = progress.requests.get(owner, id).await?;
        let request = request.ok_or_else(|| format!("no request {id}"))?;
        let Some(event) = request.stage.given_up() else { return Ok(Outcome::Done) };
        if let Some(wait) = self.in_hand(&request.account, &[id.request()]).await? {
            return Ok(Outcome::Later(wait));
        }
        tracing::error!(request.id = %id, "{id} ended from the dead-letter queue");
        progress.advance(request, event, vec![]).await?;
        Ok(Outcome::Done)
    }

    /// How long a worker may still be at one of `requests`, from another message: what it finds out counts more.
    async fn in_hand(
        &self,
        account: &AccountRef,
        requests: &[RequestId],
    ) -> Result<Option<Duration>, BoxError> {
        let now = (self.now)();
        let holders = self.leases.holders(std::slice::from_ref(account), now).await?;
        let holder = holders.values().find(|holder| requests.contains(&holder.job));
        Ok(holder.map(|holder| clock::until(holder.until, now)))
    }

    async fn end(&self, order: Order) -> Result<(), BoxError> {
        let Some(event) = last_event(&order) else { return Ok(()) };
        let id = order.id.clone();
        tracing::error!(order.id = %id, "{id} ended from the dead-letter queue");
        self.progress.advance(order, event, None).await?;
        Ok(())
    }
}

fn members(bundle: &Bundle) -> impl Iterator<Item = RequestId> {
    bundle.members.iter().map(|member| member.order.request())
}

/// How an order ends that nobody could finish; `None` if it has ended.
fn last_event(order: &Order) -> Option<Event> {
    match &order.status {
        Status::Queued | Status::Bundled { .. } | Status::Working(_) => {
            let text = "The order could not be worked on. Nothing was bought, and it is safe to order again.";
            Some(Event::Refuse(Refusal::new(Code::InternalError).saying(text)))
        }
        Status::Submitting(marker) => Some(Event::GiveUp(order.probably_placed(marker, &[]))),
        Status::Placed(_) | Status::Failed(_) | Status::ProbablyPlaced(_) => None,
    }
}
