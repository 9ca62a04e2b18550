//! Has the retailer cancel one of its orders, or asks what came of it.
//!
//! Cancelling twice does no harm, so whatever went wrong is simply tried again. But once the retailer may have been asked,
//! only what it says of the order itself is an answer.

use spelter::{
    aftersale::{PATIENCE, Stage},
    aws::transaction::Write,
    cancellations::{self, Cancellation, Event, Status},
    clock,
    error::{BoxError, Code, Refusal},
    orders::{self, Order, Placement},
    retailers::{Cancelled, Connector, OrderProgress},
    sqs::Outcome,
};

use super::account::{AccountWorker, FIRST_RETRY, Stop, Turn, settle};

impl<C: Connector> AccountWorker<C> {
    pub(super) async fn cancel(
        &self,
        mut cancellation: Cancellation,
        mut order: Order,
        turn: &Turn,
    ) -> Result<Outcome, BoxError> {
        let (before, id) = (cancellation.stage.clone(), &cancellation.merchant_order_id);
        let placement = placement(&order)?;
        if placement.tracking.cancelled.contains(id) {
            return self.end_cancelled(cancellation, order, turn).await;
        }
        // With this cancellation or with another.
        let is_asked = before != Status::Queued || placement.asked_to_cancel.contains(id);
        let session = match self.sign_in(&order, turn).await {
            Ok(session) => session,
            Err(Stop::Refused(refusal)) if is_asked => {
                return self.cannot_look(cancellation, refusal, turn).await;
            }
            // The order was read before the account was ours: whoever had it may have asked since.
            Err(Stop::Refused(_))
                if self.order(&order.owner, &order.id).await?.version != order.version =>
            {
                return Ok(Outcome::Later(FIRST_RETRY));
            }
            Err(stop) => return self.stopped(&self.cancellations, cancellation, stop, turn).await,
        };
        let said = async {
            if is_asked
                && let Some(event) = self.look_after_asking(&cancellation, &session, turn).await?
            {
                return Ok(event);
            }
            self.ask_to_cancel(&mut cancellation, &mut order, &session, turn).await
        };
        let was_attempting = matches!(before, Status::Attempting { .. });
        match said.await {
            Ok(Event::Attempt(_)) if was_attempting => Ok(Outcome::Done),
            Ok(Event::Succeed) => self.end_cancelled(cancellation, order, turn).await,
            Ok(event) => {
                let held = self.held(turn)?;
                settle(self.cancellations.advance(cancellation, event, vec![held]).await)
            }
            Err(Stop::Refused(refusal))
                if was_attempting && refusal.code != Code::OrderNotCancellable =>
            {
                self.cannot_look(cancellation, refusal, turn).await
            }
            Err(stop) => self.stopped(&self.cancellations, cancellation, stop, turn).await,
        }
    }

    /// What became of asking before, if the order shows it.
    async fn look_after_asking(
        &self,
        cancellation: &Cancellation,
        session: &C::Session,
        turn: &Turn,
    ) -> Result<Option<Event>, Stop> {
        let state = self.shop(turn)?.order_state(session, &cancellation.merchant_order_id).await;
        let state = state.map_err(|error| match Stop::from(error) {
            // That it does not show the order is no answer to what it was asked.
            Stop::Refused(_) if !matches!(cancellation.stage, Status::Attempting { .. }) => {
                Stop::Refused(cancellations::not_known())
            }
            stop => stop,
        });
        Ok(match state?.progress {
            OrderProgress::Cancelled => Some(Event::Succeed),
            OrderProgress::CancelRequested => Some(Event::Attempt((self.now)())),
            OrderProgress::Shipped | OrderProgress::Delivered => {
                Some(Event::Refuse(Refusal::new(Code::OrderNotCancellable)))
            }
            // It was not asked, its attempt failed, or it forgot about it: it says so when it is asked again.
            OrderProgress::Open => None,
        })
    }

    /// What the retailer says. `cancellation` and `order` are always as they were last written, so that what follows can
    /// be written, too.
    async fn ask_to_cancel(
        &self,
        cancellation: &mut Cancellation,
        order: &mut Order,
        session: &C::Session,
        turn: &Turn,
    ) -> Result<Event, Stop> {
        if cancellation.stage == Status::Queued {
            self.mark(cancellation, order, turn).await?;
        }
        match self.shop(turn)?.cancel(session, &cancellation.merchant_order_id).await? {
            Cancelled::Done => Ok(Event::Succeed),
            Cancelled::Attempting => Ok(Event::Attempt((self.now)())),
        }
    }

    /// Writes that the retailer is about to be asked; of the order, too, since that is so for whatever else is asked of it.
    async fn mark(
        &self,
        cancellation: &mut Cancellation,
        order: &mut Order,
        turn: &Turn,
    ) -> Result<(), Stop> {
        let mut change = self.cancellations.change(cancellation.clone(), Event::Ask).await?;
        let mut also = vec![self.held(turn)?];
        also.extend(self.cancellations.writes(&mut change)?);
        let asked = orders::Event::AskToCancel(cancellation.merchant_order_id.clone());
        let marked = self.progress.advance_all(vec![(order.clone(), asked)], also).await?;
        *cancellation = self.cancellations.written(change).await;
        *order = marked.into_iter().next().ok_or(Stop::Lost)?;
        Ok(())
    }

    /// A refused sign-in says nothing of what the retailer was asked before. It is left to the sweeper to have it tried
    /// again: whoever tries a wrong password at once is locked out.
    async fn cannot_look(
        &self,
        cancellation: Cancellation,
        refusal: Refusal,
        turn: &Turn,
    ) -> Result<Outcome, BoxError> {
        let waited = clock::until((self.now)(), cancellation.created_at);
        let (id, error) = (&cancellation.id, &refusal.message);
        tracing::warn!(request.id = %id, error, "nobody can see what became of {id} after {waited:?}");
        match cancellation.stage.given_up() {
            Some(event) if waited > PATIENCE => {
                let held = self.held(turn)?;
                settle(self.cancellations.advance(cancellation, event, vec![held]).await)
            }
            Some(_) | None => Ok(Outcome::Done),
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
        let tracking =
            placement(&order)?.tracking.without(&cancellation.merchant_order_id, (self.now)());
        let mut change = self.cancellations.change(cancellation, Event::Succeed).await?;
        let mut also = vec![self.held(turn)?];
        also.extend(self.cancellations.writes(&mut change)?);
        also.extend(refund);
        let tracked = vec![(order, orders::Event::Track(tracking))];
        let written = self.progress.advance_all(tracked, also).await;
        if written.is_ok() {
            self.cancellations.written(change).await;
        }
        settle(written)
    }

    async fn refund_cancelled(
        &self,
        cancellation: &Cancellation,
        order: &Order,
    ) -> Result<Option<Write>, BoxError> {
        let mut all = placement(order)?.merchant_orders.iter();
        let past = all.find(|past| past.merchant_order_id == cancellation.merchant_order_id);
        let Some(past) = past else { return Ok(None) };
        let (wish, now) = (cancellations::refund(past), (self.now)());
        let write = self.refunds.request_automatically(&order.owner, &order.id, &wish, now).await?;
        Ok(write)
    }
}

/// What was bought: only orders that were placed are cancelled.
fn placement(order: &Order) -> Result<&Placement, BoxError> {
    match &order.status {
        orders::Status::Placed(placement) => Ok(placement),
        _ => Err(format!("order {} is not placed", order.id).into()),
    }
}
