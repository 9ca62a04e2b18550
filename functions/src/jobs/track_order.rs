//! Asks the retailer after the parcels of a placed order.
//!
//! The sweeper asks for it again when it is due, so whatever cannot be read now is left to the next time.

use spelter::{
    error::{BoxError, chain},
    orders::{Event, Order, Placement, Status, tracking},
    retailers::{Connector, OrderState},
    sqs::Outcome,
};

use super::account::{AccountWorker, Stop, Turn, settle};

impl<C: Connector> AccountWorker<C> {
    pub(super) async fn track(&self, order: Order, turn: &Turn) -> Result<Outcome, BoxError> {
        let Status::Placed(placement) = &order.status else { return Ok(Outcome::Done) };
        let read = match self.states(&order, placement, turn).await {
            Ok(read) => read,
            Err(Stop::Later(wait)) => return Ok(Outcome::Later(wait)),
            Err(Stop::Parked) => return Ok(Outcome::Parked),
            Err(stop) => {
                unread(&order, &stop.into_error());
                return Ok(Outcome::Done);
            }
        };
        let tracking = tracking::learn(placement, &read, (self.now)());
        if tracking == placement.tracking {
            return Ok(Outcome::Done);
        }
        let held = self.held(turn)?;
        settle(self.progress.advance(order, Event::Track(tracking), Some(held)).await)
    }

    /// What the retailer says of those of its orders that can be read.
    async fn states(
        &self,
        order: &Order,
        placement: &Placement,
        turn: &Turn,
    ) -> Result<Vec<(String, OrderState)>, Stop> {
        let session = self.sign_in(order, turn).await?;
        let mut read = Vec::new();
        for id in tracking::open_orders(placement) {
            match self.shop(turn)?.order_state(&session, id).await {
                Ok(state) => read.push((id.to_owned(), state)),
                Err(error) => unread(order, &error.into()),
            }
        }
        Ok(read)
    }
}

fn unread(order: &Order, error: &BoxError) {
    let (id, error) = (&order.id, chain(&**error));
    tracing::warn!(order.id = %id, error, "parcels of {id} could not be asked after");
}
