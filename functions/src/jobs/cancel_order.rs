//! Has the retailer cancel one of its orders, or asks what came of it.
//!
//! Cancelling twice does no harm, so whatever went wrong is simply tried again. But once the retailer may have been asked,
//! only what it says of the order itself is an answer.

use spelter::{
    aws::transaction::Write,
    cancellations::{self, Cancellation, Event, Status},
    error::{BoxError, Code, Refusal},
    orders::{self, Order},
    retailers::{Cancelled, Connector, OrderProgress},
    sqs::Outcome,
};

use super::account::{AccountWorker, Stop, Turn, settle};

impl<C: Connector> AccountWorker<C> {
    pub(super) async fn cancel(
        &self,
        mut cancellation: Cancellation,
        order: Order,
        turn: &Turn,
    ) -> Result<Outcome, BoxError> {
        let before = cancellation.stage.clone();
        match self.ask_to_cancel(&mut cancellation, &order, turn).await {
            Ok(Event::Attempt(_)) if matches!(before, Status::Attempting { .. }) => {
                Ok(Outcome::Done)
            }
            Ok(Event::Succeed) => self.end_cancelled(cancellation, order, turn).await,
            Ok(event) => {
                let held = self.held(turn)?;
                settle(self.cancellations.advance(cancellation, event, vec![held]).await)
            }
            // An account that cannot be looked into says nothing about what the retailer is at.
            Err(Stop::Refused(refusal))
                if before != Status::Queued && refusal.code != Code::OrderNotCancellable =>
            {
                let stop = Stop::Unavailable(refusal.message.into());
                self.stopped(&self.cancellations, cancellation, stop, turn).await
            }
            Err(stop) => self.stopped(&self.cancellations, cancellation, stop, turn).await,
        }
    }

    /// What the retailer says. `cancellation` is always as it was last written, so that what stops it can be written, too.
    async fn ask_to_cancel(
        &self,
        cancellation: &mut Cancellation,
        order: &Order,
        turn: &Turn,
    ) -> Result<Event, Stop> {
        let id = &cancellation.merchant_order_id.clone();
        if is_cancelled(order, id) {
            return Ok(Event::Succeed);
        }
        let session = self.sign_in(order, turn).await?;
        if cancellation.stage == Status::Queued {
            let also = vec![self.held(turn)?];
            *cancellation =
                self.cancellations.advance(cancellation.clone(), Event::Ask, also).await?;
        } else {
            match self.shop(turn)?.order_state(&session, id).await?.progress {
                OrderProgress::Cancelled => return Ok(Event::Succeed),
                OrderProgress::CancelRequested => return Ok(Event::Attempt((self.now)())),
                OrderProgress::Shipped | OrderProgress::Delivered => {
                    return Ok(Event::Refuse(Refusal::new(Code::OrderNotCancellable)));
                }
                // It was not asked, its attempt failed, or it forgot about it: it says so when it is asked again.
                OrderProgress::Open => {}
            }
        }
        match self.shop(turn)?.cancel(&session, id).await? {
            Cancelled::Done => Ok(Event::Succeed),
            Cancelled::Attempting => Ok(Event::Attempt((self.now)())),
        }
    }

    /// Writes that it was cancelled, that no parcel of it will come, and that its money is to come back.
    async fn end_cancelled(
        &self,
        cancellation: Cancellation,
        order: Order,
        turn: &Turn,
    ) -> Result<Outcome, BoxError> {
        let refund = self.refund_cancelled(&cancellation, &order).await?;
        let orders::Status::Placed(placement) = &order.status else {
            return Err(format!("order {} is not placed", order.id).into());
        };
        let tracking = placement.tracking.without(&cancellation.merchant_order_id, (self.now)());
        let mut change = self.cancellations.change(cancellation, Event::Succeed).await?;
        let mut also = vec![self.held(turn)?];
        also.extend(self.cancellations.writes(&mut change)?);
        also.extend(refund);
        let tracked = vec![(order, orders::Event::Track(tracking))];
        let written = self.progress.advance_all(tracked, also).await;
        if written.is_ok() {
            self.cancellations.tell(&change).await;
        }
        settle(written)
    }

    async fn refund_cancelled(
        &self,
        cancellation: &Cancellation,
        order: &Order,
    ) -> Result<Option<Write>, BoxError> {
        let orders::Status::Placed(placement) = &order.status else { return Ok(None) };
        let mut all = placement.merchant_orders.iter();
        let past = all.find(|past| past.merchant_order_id == cancellation.merchant_order_id);
        let Some(past) = past else { return Ok(None) };
        let (wish, now) = (cancellations::refund(past), (self.now)());
        let write = self.refunds.request_automatically(&order.owner, &order.id, &wish, now).await?;
        Ok(write)
    }
}

/// Whether another cancellation has had it cancelled, or the retailer itself.
fn is_cancelled(order: &Order, merchant_order_id: &str) -> bool {
    let orders::Status::Placed(placement) = &order.status else { return false };
    placement.tracking.cancelled.iter().any(|cancelled| cancelled == merchant_order_id)
}
