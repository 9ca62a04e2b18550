//! Buys several orders together, each for its own recipient.
//!
//! An order that may be bundled is priced when its turn comes, and put into a bundle of its account. It is bought with
//! the others as soon as they cost enough, or when the sweeper finds that the first has waited for long enough. What
//! is wrong with one of them does not stop the others.

use std::time::Duration;

use jiff::Timestamp;
use spelter::{
    aws::keys::BundleKey,
    clock,
    error::{BoxError, Refusal, chain},
    id::{BundleId, OrderId},
    money::Cents,
    orders::{
        Event, Marker, Order, Status,
        bundling::{self, Bundle, Group, Member},
    },
    random,
    retailers::{Card, Connector, Review},
    sqs::Outcome,
};

use super::{
    account::{AccountWorker, FIRST_RETRY, Stop, Turn, purchase},
    checkout::{Blame, Part, Pressed, Try, line},
    place_order::{MAX_ATTEMPTS, too_many_attempts, wait_after},
};

/// A launched bundle that nobody has finished after this long gets another message.
const UNATTENDED_AFTER: Duration = Duration::from_mins(2);

/// The orders that are still in, and what they bring.
type Parts = Vec<(Order, Part)>;

impl<C: Connector> AccountWorker<C> {
    /// Puts an order into a bundle of its group, and buys that if it is ready.
    pub(super) async fn join_bundle(
        &self,
        order: Order,
        group: Group,
        turn: &Turn,
    ) -> Result<Outcome, BoxError> {
        let joined = match self.member(&order).await {
            Ok(member) => self.join(order, group, member, turn).await,
            Err(Stop::Refused(refusal)) => {
                return self.end(order, Event::Refuse(refusal), turn).await;
            }
            Err(stop) => Err(stop),
        };
        match joined {
            Ok(bundle) if bundle.launched_at.is_some() => self.place_bundle(bundle, turn).await,
            Ok(_) => Ok(Outcome::Done),
            Err(stop) => Ok(later(stop, FIRST_RETRY)),
        }
    }

    /// The bundle that an order waits in or is bought with.
    pub(super) async fn bundle_of(&self, order: &Order) -> Result<Option<Bundle>, BoxError> {
        let (Some(id), Some(group)) = (order.bundle().cloned(), order.group.clone()) else {
            return Ok(None);
        };
        let key = BundleKey { account: order.account.clone(), group, id };
        Ok(self.bundles.get(&order.owner, &key).await?)
    }

    /// What the order buys and for how much, at today's offers.
    async fn member(&self, order: &Order) -> Result<Member, Stop> {
        let purchase = purchase(order)?;
        let mut member =
            Member { order: order.id.clone(), product_ids: vec![], subtotal: Cents::ZERO };
        for product in &purchase.products {
            let product_id = self.variant(&purchase, product).await?;
            let offers = self.shop.public_offers(order.retailer, &product_id).await?;
            let line = line(product, &offers).map_err(Stop::Refused)?;
            let chosen = offers.iter().find(|offer| offer.offer_id == line.offer_id);
            let price = chosen.map_or(Cents::ZERO, |offer| offer.price.times(line.quantity));
            member.subtotal = member.subtotal.plus(price);
            member.product_ids.push(line.product_id);
            member.product_ids.push(product.product_id.clone());
        }
        Ok(member)
    }

    async fn join(
        &self,
        order: Order,
        group: Group,
        member: Member,
        turn: &Turn,
    ) -> Result<Bundle, Stop> {
        let now = (self.now)();
        let open = self.open_bundles(&order, &group).await?;
        let mut bundle = if let Some(open) = bundling::choose(&open, &member, now) {
            let mut bundle = open.clone();
            bundle.members.push(member);
            bundle
        } else {
            let id = BundleId::new(random::sortable_uuid(now));
            let (owner, account) = (order.owner.clone(), order.account.clone());
            Bundle::open(id, owner, account, group, member, now)
        };
        launch_if_ready(&mut bundle, now);
        let also = vec![self.held(turn)?, self.bundles.put(&mut bundle)?];
        let joined = Event::Join(bundle.id.clone());
        self.progress.advance_all(vec![(order, joined)], also).await?;
        Ok(bundle)
    }

    /// The bundles of a group, with those of their orders only that still wait.
    async fn open_bundles(&self, order: &Order, group: &Group) -> Result<Vec<Bundle>, Stop> {
        let mut open = Vec::new();
        for bundle in self.bundles.of_group(&order.owner, &order.account, group).await? {
            let waiting: Vec<_> =
                self.members(&bundle).await?.into_iter().filter(is_waiting).collect();
            let waiting: Vec<OrderId> = waiting.into_iter().map(|order| order.id).collect();
            open.push(bundle.only(&waiting));
        }
        // One that nothing is left of goes when it is due.
        open.retain(|bundle| !bundle.members.is_empty());
        Ok(open)
    }

    async fn members(&self, bundle: &Bundle) -> Result<Vec<Order>, Stop> {
        let ids: Vec<_> = bundle.members.iter().map(|member| member.order.clone()).collect();
        Ok(self.progress.orders.get_all(&bundle.owner, &ids).await?)
    }

    /// Whatever is next for a bundle: finds out about orders that were submitted, and buys those that wait.
    pub(super) async fn place_bundle(
        &self,
        bundle: Bundle,
        turn: &Turn,
    ) -> Result<Outcome, BoxError> {
        let (mut doubtful, mut waiting) = (Vec::new(), Vec::new());
        for order in self.members(&bundle).await.map_err(Stop::into_error)? {
            match order.status.clone() {
                Status::Bundled { .. } => waiting.push(order),
                Status::Submitting(marker) => doubtful.push((order, marker)),
                Status::Queued
                | Status::Working(_)
                | Status::Placed(_)
                | Status::Failed(_)
                | Status::ProbablyPlaced(_) => {}
            }
        }
        let outcome = self.reconcile_all(doubtful, turn).await?;
        if outcome == Outcome::Parked {
            return Ok(outcome);
        }
        if waiting.is_empty() && outcome != Outcome::Done {
            // Those that were submitted say when to look again.
            return Ok(outcome);
        }
        let bought = self.attempt_bundle(bundle, waiting, turn).await;
        match bought {
            Ok(one) => Ok(outcome.and(one)),
            Err(stop) => Ok(outcome.and(later(stop, FIRST_RETRY))),
        }
    }

    /// Finds out about orders that were submitted, all in one visit.
    async fn reconcile_all(
        &self,
        doubtful: Vec<(Order, Marker)>,
        turn: &Turn,
    ) -> Result<Outcome, BoxError> {
        let mut outcome = Outcome::Done;
        let Some((first, _)) = doubtful.first() else { return Ok(outcome) };
        let session = match self.sign_in(first, turn).await {
            Ok(session) => Ok(session),
            Err(Stop::Later(wait)) => return Ok(Outcome::Later(wait)),
            Err(Stop::Parked) => return Ok(Outcome::Parked),
            // It says nothing of the retailer.
            Err(Stop::Lost) => return Ok(Outcome::Later(FIRST_RETRY)),
            Err(stop) => Err(stop.into_error().to_string()),
        };
        for (order, marker) in doubtful {
            let one = match &session {
                Ok(session) => self.find_out(order, &marker, session, turn).await?,
                Err(error) => self.look_again(order, &marker, turn, error.clone().into()).await?,
            };
            outcome = outcome.and(one);
        }
        Ok(outcome)
    }

    /// One attempt. Once no order of it waits or is in doubt, the bundle is gone.
    async fn attempt_bundle(
        &self,
        mut bundle: Bundle,
        waiting: Vec<Order>,
        turn: &Turn,
    ) -> Result<Outcome, Stop> {
        if waiting.is_empty() {
            return self.forget_unless_in_doubt(&bundle, turn).await;
        }
        // One that has waited for a code is still the same attempt.
        if !turn.goes_on() {
            if bundle.attempts >= MAX_ATTEMPTS {
                return self.refuse_all(waiting, &too_many_attempts(), turn).await;
            }
            bundle.attempts = bundle.attempts.saturating_add(1);
        }
        let now = (self.now)();
        bundle.launched_at = bundle.launched_at.or(Some(now));
        bundle.due_at = clock::after(now, UNATTENDED_AFTER);
        self.bundles.save(&mut bundle, vec![self.held(turn)?]).await?;
        let ended = match self.buy_together(waiting, &bundle, turn).await {
            Ok(pressed) => self.end_all(pressed, turn).await.map_err(Stop::Unavailable)?,
            Err(stop) => return Ok(later(stop, wait_after(bundle.attempts))),
        };
        match ended {
            Outcome::Done => self.forget_unless_in_doubt(&bundle, turn).await,
            later @ (Outcome::Later(_) | Outcome::Parked) => Ok(later),
        }
    }

    async fn forget_unless_in_doubt(&self, bundle: &Bundle, turn: &Turn) -> Result<Outcome, Stop> {
        if self.members(bundle).await?.iter().all(|order| order.status.is_final()) {
            self.bundles.remove(bundle, vec![self.held(turn)?]).await?;
            return Ok(Outcome::Done);
        }
        Ok(Outcome::Later(wait_after(bundle.attempts)))
    }

    /// Signs in once, leaves out what cannot be bought, and presses the button for the rest.
    async fn buy_together(
        &self,
        waiting: Vec<Order>,
        bundle: &Bundle,
        turn: &Turn,
    ) -> Result<Pressed, Stop> {
        let Some(first) = waiting.first() else { return Ok(Vec::new()) };
        let (session, card) = match self.sign_in_with_card(first, turn).await {
            Ok(signed_in) => signed_in,
            Err(stop) => return self.all_or_none(waiting, stop, turn).await,
        };
        let account_status = self.shop(turn)?.account_status(&session).await?;
        let parts = self.parts(&session, waiting, turn).await?;
        let (orders, reviewed) = self.reviewed(&session, parts, card.as_ref(), turn).await?;
        if orders.is_empty() {
            return Ok(Vec::new());
        }
        let attempt =
            Try { number: bundle.attempts, account_status, bundle: Some(bundle.id.clone()) };
        let markers = self.markers(&session, reviewed, &attempt, turn).await?;
        self.press(&session, orders.into_iter().zip(markers).collect(), turn).await
    }

    async fn parts(
        &self,
        session: &C::Session,
        waiting: Vec<Order>,
        turn: &Turn,
    ) -> Result<Parts, Stop> {
        let mut parts = Vec::new();
        for order in waiting {
            match self.part(session, purchase(&order)?, turn).await {
                Ok(part) => parts.push((order, part)),
                Err(Stop::Refused(refusal)) => self.refuse(order, refusal, turn).await?,
                Err(stop @ (Stop::Lost | Stop::Later(_) | Stop::Parked)) => return Err(stop),
                Err(Stop::Unavailable(error)) => {
                    // It waits for the next attempt, and the others do not wait for it.
                    let (id, error) = (&order.id, chain(&*error));
                    tracing::warn!(order.id = %id, error, "{id} is left out of its bundle for now");
                }
            }
        }
        Ok(parts)
    }

    /// The final figures of as many parts as can be bought together: what one of them is refused for, ends that one.
    async fn reviewed(
        &self,
        session: &C::Session,
        mut parts: Parts,
        card: Option<&Card>,
        turn: &Turn,
    ) -> Result<(Vec<Order>, Vec<(Part, Review)>), Stop> {
        while !parts.is_empty() {
            let (orders, contents): (Vec<_>, Vec<_>) = parts.into_iter().unzip();
            let reviews = match self.fill_cart(session, &contents, turn).await {
                Ok(()) => self.review(session, &contents, card, turn).await,
                Err(blame) => Err(blame),
            };
            match reviews {
                Ok(reviews) => return Ok((orders, contents.into_iter().zip(reviews).collect())),
                Err(Blame { part: Some(place), stop: Stop::Refused(refusal) }) => {
                    parts = orders.into_iter().zip(contents).collect();
                    let (order, _) = parts.remove(place);
                    self.refuse(order, refusal, turn).await?;
                }
                Err(Blame { stop, .. }) => {
                    self.all_or_none(orders, stop, turn).await?;
                    parts = Vec::new();
                }
            }
        }
        Ok((Vec::new(), Vec::new()))
    }

    /// What the whole purchase is refused for ends every order; what may work later ends none.
    async fn all_or_none(
        &self,
        orders: Vec<Order>,
        stop: Stop,
        turn: &Turn,
    ) -> Result<Pressed, Stop> {
        match stop {
            Stop::Refused(refusal) => {
                self.refuse_all(orders, &refusal, turn).await?;
                Ok(Vec::new())
            }
            stop => Err(stop),
        }
    }

    async fn refuse_all(
        &self,
        orders: Vec<Order>,
        refusal: &Refusal,
        turn: &Turn,
    ) -> Result<Outcome, Stop> {
        for order in orders {
            self.refuse(order, refusal.clone(), turn).await?;
        }
        Ok(Outcome::Later(FIRST_RETRY))
    }

    async fn refuse(&self, order: Order, refusal: Refusal, turn: &Turn) -> Result<(), Stop> {
        let held = self.held(turn)?;
        self.progress.advance(order, Event::Refuse(refusal), Some(held)).await?;
        Ok(())
    }
}

const fn is_waiting(order: &Order) -> bool {
    matches!(order.status, Status::Bundled { .. })
}

fn launch_if_ready(bundle: &mut Bundle, now: Timestamp) {
    if bundle.is_ready(now) {
        bundle.launched_at = Some(now);
        bundle.due_at = clock::after(now, UNATTENDED_AFTER);
    }
}

fn later(stop: Stop, wait: Duration) -> Outcome {
    match stop {
        Stop::Later(wait) => return Outcome::Later(wait),
        Stop::Parked => return Outcome::Parked,
        Stop::Refused(_) | Stop::Unavailable(_) | Stop::Lost => {}
    }
    let error = stop.into_error();
    tracing::warn!(error = chain(&*error), "a bundle stopped; again in {wait:?}");
    Outcome::Later(wait)
}
