//! `POST /v1/orders/{request_id}/abort` stops an order that was not submitted yet.
//!
//! Answers what GET answers afterwards: the aborted order, one that ended before, or one that is being submitted and
//! can no longer be stopped.

use http::StatusCode;
use serde_json::Value;
use spelter::{
    accounts::Owner,
    aws::{AwsError, leases::Leases, queue::Jobs},
    error::{ApiError, chain},
    http::{Endpoint, Request},
    id::{self, Kind, OrderId},
    orders::{Event, Order, Status},
};

use super::{
    progress::{Progress, ProgressError},
    view,
};

/// What this function may touch.
pub struct AbortOrder {
    /// The orders.
    pub progress: Progress,
    /// Where a job waits for a code.
    pub leases: Leases,
    /// Wakes it.
    pub jobs: Jobs,
}

/// A worker changes the order a few times in a second; one of so many tries falls between two of its changes.
const TRIES: usize = 10;

impl Endpoint for AbortOrder {
    const SUCCESS: StatusCode = StatusCode::OK;
    type Answer = Value;

    async fn handle(&self, owner: Owner, request: Request) -> Result<Value, ApiError> {
        let id = request.id::<id::Order>("request_id")?;
        for _ in 0..TRIES {
            let order = self.get(&owner, &id).await?;
            if !can_be_aborted(&order.status) {
                return Ok(self.answer(&order).await);
            }
            match self.progress.advance(order, Event::Abort, None).await {
                Ok(order) => return Ok(self.answer(&order).await),
                // Its worker was faster. What it wrote decides whether there is still something to abort.
                Err(ProgressError::Lost) => {}
                Err(ProgressError::Storage(error)) => return Err(error.into()),
                Err(error @ (ProgressError::Illegal(_) | ProgressError::OutOfTurn(_))) => {
                    return Err(ApiError::Internal(error.into()));
                }
            }
        }
        Ok(view::body(&self.get(&owner, &id).await?))
    }
}

impl AbortOrder {
    /// What GET answers. Whoever aborts an order twice also makes up for what went wrong the first time.
    async fn answer(&self, order: &Order) -> Value {
        if order.is_aborted()
            && let Err(error) = self.wake(order).await
        {
            let error = chain(&error);
            tracing::warn!(error, "the account of an aborted order may stay held for a while");
        }
        view::body(order)
    }

    /// Has the job that waits for a code come back now, so that its account is free for the next one.
    async fn wake(&self, order: &Order) -> Result<(), AwsError> {
        let lease = self.leases.get(&order.account).await?;
        match lease.and_then(|lease| lease.challenge) {
            Some(challenge) if challenge.job == Some(order.id.request()) => {
                self.jobs.wake(&challenge.receipt_handle).await
            }
            Some(_) | None => Ok(()),
        }
    }

    async fn get(&self, owner: &Owner, id: &OrderId) -> Result<Order, ApiError> {
        let order = self.progress.orders.get(owner, id).await?;
        order.ok_or(ApiError::NotFound(id::Order::NAME))
    }
}

/// Once the marker is written, "buy" may have been pressed.
const fn can_be_aborted(status: &Status) -> bool {
    match status {
        Status::Queued | Status::Bundled { .. } | Status::Working(_) => true,
        Status::Submitting(_)
        | Status::Placed(_)
        | Status::Failed(_)
        | Status::ProbablyPlaced(_) => false,
    }
}
