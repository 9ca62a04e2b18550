//! Has the retailer take goods back, or asks whether they have arrived.
//!
//! A return is started once. Before the retailer is asked for it, a marker says which return of the goods it knew of
//! then. Whoever finds a marker and another return takes that one for its own instead of starting a second.

use spelter::{
    error::{BoxError, chain},
    labels::{self, Label},
    orders::{self, Order},
    retailers::{Connector, PendingReturn, ReturnOrder, StartedReturn},
    returns::{self, Event, Return, Started, Status, Wanted},
    sqs::Outcome,
};

use super::account::{AccountWorker, Stop, Turn, settle};

impl<C: Connector> AccountWorker<C> {
    pub(super) async fn return_goods(
        &self,
        mut request: Return,
        order: Order,
        turn: &Turn,
    ) -> Result<Outcome, BoxError> {
        if let Status::Started(started) = request.stage.clone() {
            return self.follow_return(request, &started, &order, turn).await;
        }
        match self.start_return(&mut request, &order, turn).await {
            Ok(started) => {
                let (account, id) = (&request.account, &started.merchant_return_id);
                let claim = self.progress.orders.claim_return(account, id, &request.id)?;
                let also = vec![self.held(turn)?, claim];
                settle(self.returns.advance(request, Event::Start(started), also).await)
            }
            Err(stop) => self.stopped(&self.returns, request, stop, turn).await,
        }
    }

    /// The return, once the retailer has taken it. `request` is always as it was last written, so that what stops it can
    /// be written, too.
    async fn start_return(
        &self,
        request: &mut Return,
        order: &Order,
        turn: &Turn,
    ) -> Result<Started, Stop> {
        let wanted = wanted(request)?;
        let (session, pending) = self.look_first(request, &wanted, order, turn).await?;
        let own = match &pending {
            Some(pending) => self.is_own(request, pending).await?,
            None => false,
        };
        let taken = match (&request.stage, pending) {
            (_, Some(pending)) if own => {
                self.shop(turn)?.started_return(&session, &pending.merchant_return_id).await?
            }
            (stage, pending) => {
                if *stage == Status::Queued {
                    let known = pending.map(|pending| pending.merchant_return_id);
                    let also = vec![self.held(turn)?];
                    *request =
                        self.returns.advance(request.clone(), Event::Mark(known), also).await?;
                }
                let items: Vec<_> = wanted
                    .products
                    .iter()
                    .map(|item| (item.product_id.clone(), item.quantity))
                    .collect();
                let asked = ReturnOrder {
                    merchant_order_id: &request.merchant_order_id,
                    items: &items,
                    reason_code: &wanted.reason_code,
                    method_code: &wanted.method_code,
                    explanation: wanted.explanation.as_deref(),
                    return_address: wanted.return_address.as_ref(),
                    cancel_pending: wanted.cancel_pending,
                };
                self.shop(turn)?.start_return(&session, &asked).await?
            }
        };
        self.started(taken, order).await
    }

    /// Whether `pending` is what became of asking before: it came after the marker, and is no other request's.
    async fn is_own(&self, request: &Return, pending: &PendingReturn) -> Result<bool, Stop> {
        let Status::Starting { known } = &request.stage else { return Ok(false) };
        let id = &pending.merchant_return_id;
        let is_new = Some(id) != known.as_ref();
        Ok(is_new && !self.progress.orders.is_claimed_return(&request.account, id).await?)
    }

    /// The return of these goods that the retailer knows of.
    ///
    /// With a marker, a refusal is no end: it says nothing of what the retailer may have been asked for before.
    async fn look_first(
        &self,
        request: &Return,
        wanted: &Wanted,
        order: &Order,
        turn: &Turn,
    ) -> Result<(C::Session, Option<PendingReturn>), Stop> {
        let products: Vec<_> = wanted.products.iter().map(|item| item.product_id.clone()).collect();
        let is_starting = matches!(request.stage, Status::Starting { .. });
        let session = self.sign_in(order, turn).await.map_err(|stop| match stop {
            // That nobody can look says nothing of it either, and may be over soon.
            Stop::Refused(refusal) if is_starting => Stop::Unavailable(refusal.message.into()),
            stop => stop,
        })?;
        let look = async {
            let id = &request.merchant_order_id;
            let pending = self.shop(turn)?.pending_return(&session, id, &products).await?;
            Ok((session, pending))
        };
        look.await.map_err(|stop: Stop| match stop {
            Stop::Refused(_) if is_starting => Stop::Refused(returns::not_known()),
            stop => stop,
        })
    }

    /// Keeps the labels, and says where they are.
    async fn started(&self, taken: StartedReturn, order: &Order) -> Result<Started, Stop> {
        let StartedReturn { merchant_return_id, return_by, labels } = taken;
        let now = (self.now)();
        let mut label_urls = Vec::new();
        for pdf in labels {
            match Label::new(pdf, now) {
                Ok(label) => label_urls.push(self.keep(&label).await?),
                // The return stands all the same, and its id leads to the label at the retailer.
                Err(error) => tracing::error!(error = chain(&error), "a label is not kept"),
            }
        }
        // Only a balance waits for it to arrive.
        let funds = self.progress.ledger.order_funds(&order.owner, &order.id).await?;
        let followed_until = funds.map(|_| returns::followed_until(&return_by, now));
        Ok(Started { merchant_return_id, return_by, label_urls, followed_until, progress: None })
    }

    async fn keep(&self, label: &Label) -> Result<String, Stop> {
        let id =
            labels::new_id(&mut rand::rng()).map_err(|error| Stop::Unavailable(error.into()))?;
        self.labels.put(&id, label).await?;
        Ok(format!("{}/v1/labels/{id}", self.api_url.as_str().trim_end_matches('/')))
    }

    /// Asks whether it has arrived. Whatever cannot be read now is left to the next time.
    async fn follow_return(
        &self,
        request: Return,
        started: &Started,
        order: &Order,
        turn: &Turn,
    ) -> Result<Outcome, BoxError> {
        if !started.is_followed((self.now)()) {
            return Ok(Outcome::Done);
        }
        let read = async {
            let session = self.sign_in(order, turn).await?;
            Ok(self.shop(turn)?.return_state(&session, &started.merchant_return_id).await?)
        };
        let progress = match read.await {
            Ok(progress) => progress,
            Err(Stop::Later(wait)) => return Ok(Outcome::Later(wait)),
            Err(Stop::Parked) => return Ok(Outcome::Parked),
            Err(stop) => {
                let stop: Stop = stop;
                let (id, error) = (&request.id, chain(&*stop.into_error()));
                tracing::warn!(request.id = %id, error, "the return {id} could not be asked after");
                return Ok(Outcome::Done);
            }
        };
        if started.progress.as_ref() == Some(&progress) {
            return Ok(Outcome::Done);
        }
        let mut also = vec![self.held(turn)?];
        if progress.is_delivered
            && let orders::Status::Placed(placement) = &order.status
        {
            let wanted = wanted(&request).map_err(Stop::into_error)?;
            if returns::is_refunded_automatically(&wanted.method_code) {
                let wish =
                    returns::refund(placement, &wanted.products, &started.merchant_return_id);
                let refund = self.refunds.request_automatically(
                    &order.owner,
                    &order.id,
                    &wish,
                    (self.now)(),
                );
                also.extend(refund.await?);
            }
        }
        settle(self.returns.advance(request, Event::Learn(progress), also).await)
    }
}

fn wanted(request: &Return) -> Result<Wanted, Stop> {
    request.wanted().map_err(|_| Stop::Unavailable("a stored request does not read back".into()))
}
