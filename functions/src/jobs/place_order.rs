//! Buys what an order asks for, or finds out whether it was bought.
//!
//! A message may come twice, late, or after a worker died half-way. Before the marker, the purchase simply starts
//! afresh with an emptied cart. Once the marker is written "buy" is never pressed again: from there a worker only
//! reads the retailer's own history.

use std::time::Duration;

use spelter::{
    clock,
    error::{BoxError, Code, Refusal, chain},
    orders::{
        Attempt, Event, Marker, Order, Status, Step,
        reconcile::{self, Verdict},
    },
    retailers::Connector,
    sqs::Outcome,
};

use super::{
    account::{AccountWorker, FIRST_RETRY, Stop, Turn, purchase},
    checkout::{Blame, Try, not_placed, placement},
    sign_in::Entry,
};

/// Purchases that fail for no fault of the order are begun this often.
pub(super) const MAX_ATTEMPTS: u32 = 5;

impl<C: Connector> AccountWorker<C> {
    /// Whatever is next for an order that has not ended.
    pub(super) async fn place(&self, order: Order, turn: &Turn) -> Result<Outcome, BoxError> {
        if let Some(bundle) = self.bundle_of(&order).await? {
            // One that is not launched has a message of its own when it is.
            let is_launched = bundle.launched_at.is_some();
            return if is_launched {
                self.place_bundle(bundle, turn).await
            } else {
                Ok(Outcome::Done)
            };
        }
        match (order.status.clone(), order.group.clone()) {
            (Status::Queued, Some(group)) => self.join_bundle(order, group, turn).await,
            (Status::Queued | Status::Working(_), _) => self.attempt(order, turn).await,
            (Status::Submitting(marker), _) => self.reconcile(order, &marker, turn).await,
            (Status::Bundled { .. }, _) => Err("a bundle is gone before its orders".into()),
            (Status::Placed(_) | Status::Failed(_) | Status::ProbablyPlaced(_), _) => {
                Ok(Outcome::Done)
            }
        }
    }

    async fn attempt(&self, mut order: Order, turn: &Turn) -> Result<Outcome, BoxError> {
        let number = match &order.status {
            // One that has waited for a code is still the same attempt.
            Status::Working(attempt) if turn.goes_on() => attempt.number,
            status => status.next_attempt(),
        };
        if number > MAX_ATTEMPTS {
            return self.end(order, Event::Refuse(too_many_attempts()), turn).await;
        }
        match self.buy(&mut order, number, turn).await {
            Ok(outcome) => Ok(outcome),
            Err(Stop::Refused(refusal)) => self.end(order, Event::Refuse(refusal), turn).await,
            Err(Stop::Lost) => Ok(Outcome::Later(FIRST_RETRY)),
            Err(Stop::Later(wait)) => Ok(Outcome::Later(wait)),
            Err(Stop::Parked) => Ok(Outcome::Parked),
            Err(Stop::Unavailable(error)) => {
                let wait = wait_after(number);
                let (id, error) = (&order.id, chain(&*error));
                tracing::warn!(order.id = %id, error, "attempt {number} of {id} stopped; again in {wait:?}");
                Ok(Outcome::Later(wait))
            }
        }
    }

    /// One attempt. `order` is always as it was last written, so that what stops the attempt can be written, too.
    async fn buy(&self, order: &mut Order, number: u32, turn: &Turn) -> Result<Outcome, Stop> {
        if !turn.goes_on() {
            let start = Attempt { number, fence: turn.lease.fence, step: Step::Started };
            self.advance(order, Event::Start(start), turn).await?;
        }
        let purchase = purchase(order)?;
        let (session, card) = match self.enter(order, turn).await? {
            (Entry::In(session), card) => (session, card),
            (Entry::Mailed(mailed), _) => {
                if !order.waits_for_code() {
                    self.advance(order, Event::Reach(Step::CodeRequested), turn).await?;
                }
                return self.wait_for_code(mailed, order, turn).await;
            }
        };
        self.advance(order, Event::Reach(Step::SignedIn), turn).await?;

        let account_status = self.shop(turn)?.account_status(&session).await?;
        let parts = [self.part(&session, purchase, turn).await?];
        let unblamed = |Blame { part: _, stop }| stop;
        self.fill_cart(&session, &parts, turn).await.map_err(unblamed)?;
        self.advance(order, Event::Reach(Step::CartFilled), turn).await?;

        let reviews = self.review(&session, &parts, card.as_ref(), turn).await.map_err(unblamed)?;
        let reviewed = parts.into_iter().zip(reviews).collect();
        let attempt = Try { number, account_status, bundle: None };
        let markers = self.markers(&session, reviewed, &attempt, turn).await?;
        let marked = markers.into_iter().map(|marker| (order.clone(), marker)).collect();
        let pressed = self.press(&session, marked, turn).await?;
        self.end_all(pressed, turn).await.map_err(Stop::Unavailable)
    }

    /// Writes what became of each order of a purchase. What is not known yet is looked up soon.
    pub(super) async fn end_all(
        &self,
        pressed: Vec<(Order, Option<Event>)>,
        turn: &Turn,
    ) -> Result<Outcome, BoxError> {
        let mut outcome = Outcome::Done;
        for (order, event) in pressed {
            let one = match event {
                Some(event) => self.end(order, event, turn).await?,
                None => Outcome::Later(reconcile::FIRST_LOOK),
            };
            outcome = outcome.and(one);
        }
        Ok(outcome)
    }

    /// Finds out what became of a press of the button.
    pub(super) async fn reconcile(
        &self,
        order: Order,
        marker: &Marker,
        turn: &Turn,
    ) -> Result<Outcome, BoxError> {
        match self.sign_in(&order, turn).await {
            Ok(session) => self.find_out(order, marker, &session, turn).await,
            Err(Stop::Later(wait)) => Ok(Outcome::Later(wait)),
            Err(Stop::Parked) => Ok(Outcome::Parked),
            // It says nothing of the retailer.
            Err(Stop::Lost) => Ok(Outcome::Later(FIRST_RETRY)),
            Err(stop) => self.look_again(order, marker, turn, stop.into_error()).await,
        }
    }

    /// The same within a visit.
    pub(super) async fn find_out(
        &self,
        order: Order,
        marker: &Marker,
        session: &C::Session,
        turn: &Turn,
    ) -> Result<Outcome, BoxError> {
        match self.look(&order, marker, session, turn).await {
            Ok(Verdict::Placed(found)) => {
                self.end(order, Event::Confirm(placement(marker, found)), turn).await
            }
            Ok(Verdict::NotPlaced) => self.end(order, Event::Refuse(not_placed()), turn).await,
            Ok(Verdict::TooEarly(again)) => Ok(Outcome::Later(clock::until(again, (self.now)()))),
            Ok(Verdict::Ambiguous(found)) => {
                let refusal = order.probably_placed(marker, &found);
                self.end(order, Event::GiveUp(refusal), turn).await
            }
            // It says nothing of the retailer.
            Err(Stop::Lost) => Ok(Outcome::Later(FIRST_RETRY)),
            Err(stop) => self.look_again(order, marker, turn, stop.into_error()).await,
        }
    }

    async fn look(
        &self,
        order: &Order,
        marker: &Marker,
        session: &C::Session,
        turn: &Turn,
    ) -> Result<Verdict, Stop> {
        let read_at = (self.now)();
        let history = self.history(session, marker.written_at, turn).await?;
        let history = self.progress.orders.unclaimed(&order.account, history).await?;
        Ok(reconcile::judge(marker, &history, self.shop.history_lag(), read_at))
    }

    /// The history cannot be read now. It is tried again, and given up in the end.
    pub(super) async fn look_again(
        &self,
        order: Order,
        marker: &Marker,
        turn: &Turn,
        error: BoxError,
    ) -> Result<Outcome, BoxError> {
        let now = (self.now)();
        let waited = clock::until(now, marker.written_at);
        tracing::warn!(order.id = %order.id, error = chain(&*error), "the history for {} cannot be read", order.id);
        if let Some(wait) = reconcile::look_again_after(waited, turn.receive_count) {
            return Ok(Outcome::Later(wait));
        }
        let refusal = order.probably_placed(marker, &[]);
        self.end(order, Event::GiveUp(refusal), turn).await
    }

    async fn advance(&self, order: &mut Order, event: Event, turn: &Turn) -> Result<(), Stop> {
        let held = self.held(turn)?;
        *order = self.progress.advance(order.clone(), event, Some(held)).await?;
        Ok(())
    }
}

/// Each attempt waits twice as long as the one before.
pub(super) fn wait_after(attempt: u32) -> Duration {
    FIRST_RETRY * 2_u32.saturating_pow(attempt.saturating_sub(1))
}

pub(super) fn too_many_attempts() -> Refusal {
    let text = format!("The order failed in {MAX_ATTEMPTS} attempts. Nothing was bought.");
    Refusal::new(Code::InternalError).saying(text)
}
