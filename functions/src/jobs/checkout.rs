//! From chosen products to the button: what is the same for one order and for several that are bought together.

use std::{collections::BTreeSet, time::Duration};

use jiff::Timestamp;
use serde_json::json;
use spelter::{
    clock,
    error::{BoxError, Code, MoneyMoved, Refusal, chain},
    guards::Guard,
    id::BundleId,
    orders::{
        Event, Marker, Order, Placement,
        purchase::{Product, Purchase},
        reconcile, selection, shipping,
        tracking::Tracking,
        variants,
    },
    retailers::{
        AccountStatus, Card, CartLine, Checkout, Connector, PastOrder, Review, Shipment,
        SubmitError,
    },
};

use super::account::{AccountWorker, Stop, Turn};

/// No account buys so much in minutes: a history that goes on has no end.
const MOST_PAGES: usize = 100;
/// Before pressing "buy", at least this much of the invocation must be left for the retailer's answer.
const MIN_SUBMIT_TIME: Duration = Duration::from_secs(3);
/// What the answer may not use up, for writing down what it was.
const WRITE_TIME: Duration = Duration::from_secs(1);

/// What one order brings to a purchase.
pub(super) struct Part {
    pub(super) purchase: Purchase,
    pub(super) lines: Vec<CartLine>,
}

/// One try at buying, as its markers name it.
pub(super) struct Try {
    pub(super) number: u32,
    pub(super) account_status: AccountStatus,
    pub(super) bundle: Option<BundleId>,
}

/// Why a purchase of several parts stops, and because of which of them, if it is one of them.
pub(super) struct Blame {
    pub(super) part: Option<usize>,
    pub(super) stop: Stop,
}

impl<S: Into<Stop>> From<S> for Blame {
    fn from(stop: S) -> Self {
        Self { part: None, stop: stop.into() }
    }
}

/// A press of the button: each order, and what became of it, if that is known.
pub(super) type Pressed = Vec<(Order, Option<Event>)>;

impl<C: Connector> AccountWorker<C> {
    /// Chooses the offers of an order.
    pub(super) async fn part(
        &self,
        session: &C::Session,
        purchase: Purchase,
        turn: &Turn,
    ) -> Result<Part, Stop> {
        if purchase.payment_method.use_gift && !purchase.retailer.offers_gift_balance() {
            return Err(Stop::Refused(Refusal::new(Code::InvalidPaymentMethod)));
        }
        let mut lines = Vec::new();
        for product in &purchase.products {
            let product_id = self.variant(&purchase, product).await?;
            let offers = self.shop(turn)?.offers(session, &product_id).await?;
            lines.push(line(product, &offers).map_err(Stop::Refused)?);
        }
        Ok(Part { purchase, lines })
    }

    /// The id of what is bought: of the variant that is meant, where one is.
    pub(super) async fn variant(
        &self,
        purchase: &Purchase,
        product: &Product,
    ) -> Result<String, Stop> {
        if product.variants.is_empty() {
            return Ok(product.product_id.clone());
        }
        let page = self.shop.product(purchase.retailer, &product.product_id).await?;
        variants::resolve(&product.product_id, &page.all_variants, &product.variants)
            .map_err(Stop::Refused)
    }

    /// Puts all parts into the emptied cart.
    pub(super) async fn fill_cart(
        &self,
        session: &C::Session,
        parts: &[Part],
        turn: &Turn,
    ) -> Result<(), Blame> {
        let lines: Vec<_> = parts.iter().flat_map(|part| part.lines.iter().cloned()).collect();
        let filled = self.shop(turn)?.fill_cart(session, &lines).await;
        filled.map_err(|error| blame(error.into(), parts))
    }

    /// The final figures of each part, which are what its client agreed to.
    pub(super) async fn review(
        &self,
        session: &C::Session,
        parts: &[Part],
        card: Option<&Card>,
        turn: &Turn,
    ) -> Result<Vec<Review>, Blame> {
        let mut options = Vec::new();
        for (place, part) in parts.iter().enumerate() {
            let option = self.shipping_option(session, part, turn).await;
            options.push(option.map_err(|stop| Blame { part: Some(place), stop })?);
        }
        let first = parts.first().ok_or_else(|| Stop::Unavailable("nothing to buy".into()))?;
        let shipments = parts.iter().zip(&options).map(|(part, option)| shipment(part, option));
        let checkout = Checkout {
            shipments: shipments.collect(),
            billing_address: first.purchase.billing_address.as_ref(),
            payment: &first.purchase.payment_method,
            card,
            promo_codes: &first.purchase.promo_codes,
            po_number: first.purchase.po_number.as_deref(),
            affiliate_tag: first.purchase.affiliate_tag.as_deref(),
        };
        let reviewed = self.shop(turn)?.review(session, &checkout).await;
        let reviews = reviewed.map_err(|error| blame(error.into(), parts))?;
        if reviews.len() != parts.len() {
            return Err(Stop::Unavailable("each shipment needs one review".into()).into());
        }
        for (place, (review, part)) in reviews.iter().zip(parts).enumerate() {
            accept(review, part).map_err(|stop| Blame { part: Some(place), stop })?;
        }
        Ok(reviews)
    }

    async fn shipping_option(
        &self,
        session: &C::Session,
        part: &Part,
        turn: &Turn,
    ) -> Result<String, Stop> {
        let address = &part.purchase.shipping_address;
        let options = self.shop(turn)?.shipping_options(session, &part.lines, address).await?;
        let option = shipping::choose(&options, part.purchase.shipping());
        Ok(option.map_err(Stop::Refused)?.id.clone())
    }

    /// The markers of all parts of a purchase.
    pub(super) async fn markers(
        &self,
        session: &C::Session,
        reviewed: Vec<(Part, Review)>,
        attempt: &Try,
        turn: &Turn,
    ) -> Result<Vec<Marker>, Stop> {
        let written_at = (self.now)();
        let known = self.history(session, written_at, turn).await?;
        let known: Vec<_> = known.into_iter().map(|past| past.merchant_order_id).collect();
        let marker = |(part, review): (Part, Review)| Marker {
            attempt: attempt.number,
            fence: turn.lease.fence,
            written_at,
            deadline: turn.deadline,
            review,
            lines: part.lines,
            zip_code: part.purchase.shipping_address.zip_code,
            known_orders: known.clone(),
            account_status: attempt.account_status.clone(),
            bundle: attempt.bundle.clone(),
        };
        Ok(reviewed.into_iter().map(marker).collect())
    }

    /// What the account has bought around a marker of `written_at`: the same time before the press and after it.
    pub(super) async fn history(
        &self,
        session: &C::Session,
        written_at: Timestamp,
        turn: &Turn,
    ) -> Result<Vec<PastOrder>, Stop> {
        let since = written_at.checked_sub(reconcile::HISTORY_WINDOW).unwrap_or(written_at);
        let (mut orders, mut from) = (Vec::new(), None);
        for _ in 0..MOST_PAGES {
            let page = self.shop(turn)?.history(session, since, from.as_deref()).await?;
            add_new(&mut orders, page.orders);
            from = page.next;
            if from.is_none() {
                return Ok(orders);
            }
            if self.patience(turn) < MIN_SUBMIT_TIME {
                break;
            }
        }
        Err(Stop::Unavailable("the history is too long to be read".into()))
    }

    /// Writes the markers, then presses the button, once for all.
    ///
    /// A stop means that nothing was pressed. The markers may be written, if only the answer to that was lost.
    pub(super) async fn press(
        &self,
        session: &C::Session,
        orders: Vec<(Order, Marker)>,
        turn: &Turn,
    ) -> Result<Pressed, Stop> {
        if self.patience(turn) < MIN_SUBMIT_TIME {
            return Err(Stop::Unavailable("too little time was left to submit".into()));
        }
        let (orders, markers): (Vec<_>, Vec<_>) = orders.into_iter().unzip();
        let events = orders.into_iter().zip(markers.iter().cloned().map(Event::Press)).collect();
        let held = vec![self.held(turn)?];
        let (orders, ended) = if Guard::Marker.stands() {
            let orders = self.progress.advance_all(events, held).await?;
            (orders, self.submit(session, &markers, turn).await)
        } else {
            let ended = self.submit(session, &markers, turn).await;
            (self.progress.advance_all(events, held).await?, ended)
        };
        let pressed = orders.into_iter().zip(&markers).zip(ended);
        let pressed = pressed.map(|((order, marker), event)| match event {
            Some(Event::GiveUp(refusal)) => {
                let refusal = order.left_open(refusal, marker, &[]);
                (order, Some(Event::GiveUp(refusal)))
            }
            event => (order, event),
        });
        Ok(pressed.collect())
    }

    /// What became of each marker, if that is known. From here only the history counts: whatever goes wrong now, the
    /// next delivery of the message looks there.
    async fn submit(
        &self,
        session: &C::Session,
        markers: &[Marker],
        turn: &Turn,
    ) -> Vec<Option<Event>> {
        let all = |event: Event| markers.iter().map(|_| Some(event.clone())).collect();
        let patience = self.patience(turn);
        let Some(first) = markers.first() else { return Vec::new() };
        if patience < WRITE_TIME {
            // Held up for so long that a purchase could fall after the deadline. Nothing was sent.
            return all(Event::Refuse(not_placed()));
        }
        match self.shop.submit(session, &first.review.checkout_id, patience).await {
            Ok(past) => confirmed(markers, &past),
            Err(SubmitError::Refused(refusal)) => all(refused_at_submit(refusal)),
            Err(SubmitError::NotSent(error)) => {
                warn(&error, "a purchase was not sent");
                all(Event::Refuse(not_placed()))
            }
            Err(SubmitError::Unconfirmed(error)) => {
                warn(&error, "a purchase got no answer");
                markers.iter().map(|_| None).collect()
            }
        }
    }

    /// What the retailer's answer may take.
    fn patience(&self, turn: &Turn) -> Duration {
        clock::until(turn.deadline, (self.now)()).saturating_sub(WRITE_TIME)
    }
}

/// Adds a page of a history to the pages before it. What is on two of them was bought once.
fn add_new(orders: &mut Vec<PastOrder>, page: Vec<PastOrder>) {
    for order in page {
        let is_same = |known: &PastOrder| known.merchant_order_id == order.merchant_order_id;
        if !orders.iter().any(is_same) {
            orders.push(order);
        }
    }
}

fn warn(error: &BoxError, text: &str) {
    tracing::warn!(error = chain(&**error), "{text}");
}

/// The line of the cart for `product`: the best of `offers`.
pub(super) fn line(product: &Product, offers: &[selection::Offer]) -> Result<CartLine, Refusal> {
    let data = json!({"product_id": product.product_id});
    let offer = selection::choose(offers, &product.seller_selection_criteria)
        .ok_or_else(|| Refusal::new(Code::ProductUnavailable).with(data))?;
    if product.quantity > offer.max_quantity {
        let data = json!({
            "product_id": product.product_id,
            "quantity": product.quantity,
            "max_quantity": offer.max_quantity,
        });
        return Err(Refusal::new(Code::MaxQuantityExceeded).with(data));
    }
    Ok(CartLine {
        product_id: offer.product_id.clone(),
        offer_id: offer.offer_id.clone(),
        quantity: product.quantity,
    })
}

fn shipment<'a>(part: &'a Part, option: &'a str) -> Shipment<'a> {
    Shipment {
        lines: &part.lines,
        address: &part.purchase.shipping_address,
        shipping_option: option,
        is_gift: part.purchase.is_gift,
        gift_message: part.purchase.gift_message.as_deref(),
    }
}

/// A refusal that names a product is about the part that brought it.
fn blame(stop: Stop, parts: &[Part]) -> Blame {
    let named = match &stop {
        Stop::Refused(refusal) => refusal.data.get("product_id").and_then(|id| id.as_str()),
        Stop::Unavailable(_) | Stop::Later(_) | Stop::Parked | Stop::Lost => None,
    };
    let brought =
        |part: &Part| part.lines.iter().any(|line| Some(line.product_id.as_str()) == named);
    Blame { part: parts.iter().position(brought), stop }
}

/// Whether the final figures are what was chosen and what the client agreed to.
fn accept(review: &Review, part: &Part) -> Result<(), Stop> {
    let reviewed: BTreeSet<_> =
        review.product_subtotals.iter().map(|(product, _)| product).collect();
    let chosen: BTreeSet<_> = part.lines.iter().map(|line| &line.product_id).collect();
    if reviewed != chosen {
        return Err(Stop::Unavailable("the cart holds something else than was put in".into()));
    }
    within_agreement(review, &part.purchase).map_err(Stop::Refused)
}

fn within_agreement(review: &Review, purchase: &Purchase) -> Result<(), Refusal> {
    if !review.rejected_promo_codes.is_empty() && !purchase.ignore_invalid_promo_code {
        let data = json!({"promo_codes": review.rejected_promo_codes});
        return Err(Refusal::new(Code::InvalidPromoCode).with(data));
    }
    match purchase.limit() {
        Some(limit) if review.total > limit => {
            let data = json!({
                "max_price": limit,
                "price_components": {
                    "subtotal": review.subtotal,
                    "shipping": review.shipping,
                    "tax": review.tax,
                    "total": review.total,
                },
            });
            Err(Refusal::new(Code::MaxPriceExceeded).with(data))
        }
        Some(_) | None => Ok(()),
    }
}

pub(super) fn placement(marker: &Marker, merchant_orders: Vec<PastOrder>) -> Placement {
    Placement {
        review: marker.review.clone(),
        merchant_orders,
        account_status: marker.account_status.clone(),
        tracking: Tracking::default(),
        asked_to_cancel: vec![],
    }
}

/// The purchases of one answer, each to the order it was made for.
fn confirmed(markers: &[Marker], past: &[PastOrder]) -> Vec<Option<Event>> {
    let confirm = |marker: &Marker, own| Some(Event::Confirm(placement(marker, own)));
    match markers {
        [alone] => vec![confirm(alone, past.to_vec())],
        several => {
            let mut left = past.to_vec();
            let ours = |marker: &Marker| {
                let own = reconcile::ours(marker, &left)?;
                left.retain(|past| !own.contains(past));
                confirm(marker, own)
            };
            several.iter().map(ours).collect()
        }
    }
}

/// Most words of a retailer say that nothing was bought; a few leave it open.
fn refused_at_submit(refusal: Refusal) -> Event {
    match refusal.code.row().money_moved {
        MoneyMoved::No => Event::Refuse(refusal),
        MoneyMoved::Yes | MoneyMoved::Unknown => Event::GiveUp(refusal),
    }
}

pub(super) fn not_placed() -> Refusal {
    Refusal::new(Code::InternalError)
        .saying("The order was not placed, and nothing was bought. It is safe to order again.")
        .with(json!({"placed": false}))
}

#[cfg(test)]
mod tests {
    use spelter::money::Cents;

    use super::*;

    #[test]
    fn what_is_on_two_pages_was_bought_once() {
        let past = |id: &str| PastOrder {
            merchant_order_id: id.to_owned(),
            placed_at: Timestamp::UNIX_EPOCH,
            products: vec![],
            total: Cents(2_000),
            zip_code: "02139".to_owned(),
            tracking_url: None,
        };
        let mut orders = vec![];
        add_new(&mut orders, vec![past("1"), past("2")]);
        add_new(&mut orders, vec![past("2"), past("3")]);
        assert_eq!(orders, ["1", "2", "3"].map(past));
    }
}
