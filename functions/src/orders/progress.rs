//! Writing what happens to an order: its new state, the news of it and the forgetting of its secrets, all or nothing.

use jiff::Timestamp;
use spelter::{
    aftersale::OutOfTurn,
    aws::{
        AwsError,
        cards::Cards,
        ledger::Ledger,
        orders::Orders,
        outbox::{News, Outbox},
        queue::Webhooks,
        transaction::Write,
    },
    clock::Clock,
    guards::Guard,
    id::PostingId,
    ledger::Posting,
    orders::{Event, IllegalTransition, Order, Status, account_news::account_news},
    random,
};

use super::view;
use crate::news::{self, Happened};

/// What a change touches.
pub struct Progress {
    /// The orders.
    pub orders: Orders,
    /// The news of them.
    pub outbox: Outbox,
    /// Forgotten when an order ends.
    pub cards: Cards,
    /// Where what it takes from a balance is spent or given back.
    pub ledger: Ledger,
    /// Told at once after a change; the sweeper tells it again if that fails.
    pub webhooks: Webhooks,
    /// The time.
    pub now: Clock,
}

/// A change that was not written.
#[derive(Debug, thiserror::Error)]
pub enum ProgressError {
    /// Somebody else changed the order, or holds its account now.
    #[error("the order or its account is in other hands")]
    Lost,
    /// The order does not take this event. A bug of ours.
    #[error(transparent)]
    Illegal(#[from] IllegalTransition),
    /// A cancellation or a return does not take it. A bug of ours.
    #[error(transparent)]
    OutOfTurn(#[from] OutOfTurn),
    /// It could not be written.
    #[error("the change was not written")]
    Storage(#[source] AwsError),
}

impl From<AwsError> for ProgressError {
    fn from(error: AwsError) -> Self {
        match error {
            AwsError::Conflict => Self::Lost,
            AwsError::Call(..) | AwsError::Corrupt(..) => Self::Storage(error),
        }
    }
}

/// A change of one order, ready to be written.
struct Step {
    order: Order,
    news: Vec<News>,
    also: Vec<Write>,
}

/// The order after `event` at `now`, and what happened to it.
pub(crate) fn news_of(
    order: Order,
    event: Event,
    now: Timestamp,
) -> Result<(Order, Happened), IllegalTransition> {
    let before = order.status.clone();
    let (order, kinds) = order.on(event, now)?;
    let account = account_news(&before, &order.status);
    Ok((order, Happened { kinds, account }))
}

impl Progress {
    /// Writes `event`, provided that the lease behind `held`, if there is one, is still held.
    pub async fn advance(
        &self,
        order: Order,
        event: Event,
        held: Option<Write>,
    ) -> Result<Order, ProgressError> {
        let also = held.into_iter().collect();
        let mut orders = self.advance_all(vec![(order, event)], also).await?;
        orders.pop().ok_or(ProgressError::Lost)
    }

    /// Writes an event for each of several orders and `also` something else, all or nothing.
    pub async fn advance_all(
        &self,
        events: Vec<(Order, Event)>,
        mut also: Vec<Write>,
    ) -> Result<Vec<Order>, ProgressError> {
        let now = (self.now)();
        let (mut orders, mut news) = (Vec::new(), Vec::new());
        for (order, event) in events {
            let step = self.step(order, event, now).await?;
            orders.push(step.order);
            news.extend(step.news);
            also.extend(step.also);
        }
        if Guard::Outbox.stands() {
            also.extend(self.outbox.writes(&news, now)?);
        }
        let orders = self.orders.save_all(orders, also).await?;
        if !Guard::Outbox.stands() {
            self.outbox.write(&news, now).await?;
        }
        news::tell(&self.webhooks, &news).await;
        Ok(orders)
    }

    async fn step(
        &self,
        order: Order,
        event: Event,
        now: Timestamp,
    ) -> Result<Step, ProgressError> {
        let (had_card, had_ended) = (order.has_card, order.status.is_final());
        let (order, happened) = news_of(order, event, now)?;
        let about = view::about(&order);
        let news = Box::pin(news::compose(&self.outbox, &about, &happened, now)).await?;
        let mut also = Vec::new();
        if order.status.is_final() && !had_ended {
            also.extend(self.orders.claims(&order)?);
            if had_card {
                also.push(self.cards.delete(&order.id)?);
            }
            also.extend(self.settle(&order, now)?);
        }
        Ok(Step { order, news, also })
    }

    /// What a client's balance paid for is spent, and what it did not is given back. While nobody knows which, it
    /// stays held.
    fn settle(&self, order: &Order, now: Timestamp) -> Result<Vec<Write>, AwsError> {
        let Some(hold) = &order.hold else { return Ok(Vec::new()) };
        let (id, order_id) = (PostingId::new(random::sortable_uuid(now)), order.id.clone());
        let posting = match &order.status {
            Status::Placed(placement) => {
                Posting::capture(id, now, order_id, hold.amount, placement.review.total)
            }
            Status::Failed(_) => Posting::release(id, now, order_id, hold.amount),
            Status::Queued
            | Status::Bundled { .. }
            | Status::Working(_)
            | Status::Submitting(_)
            | Status::ProbablyPlaced(_) => return Ok(Vec::new()),
        };
        self.ledger.writes(&order.owner, &hold.currency, &posting)
    }
}
