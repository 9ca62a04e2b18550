//! From a full cart to orders: the ways of shipping, the final figures, and the button.
//!
//! A checkout has a shipment for each recipient. The shop makes an order of each shipment, or several, one for each
//! party that sends a part of it.

use std::{sync::Arc, time::Duration};

use axum::{Extension, Json, extract::State};
use deserr::Deserr;
use jiff::{Timestamp, ToSpan, tz::TimeZone};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use spelter::{
    clock,
    error::Code,
    fields::{Faults, Unfit},
};
use uuid::Uuid;

use super::{
    Shop, accounts,
    answer::{Body, Fault},
    behaviour::{self, Step},
    card,
    cart::{self, Line, WantedLine},
    history::{Paid, Purchase},
    journal::Visit,
    orders::{Order, Record},
    prices::{self, DELIVERIES, Delivery, Figures},
    split,
    store::{Key, Write},
};

/// How long the figures of a review hold.
const REVIEW_SECONDS: i64 = 60 * 60;

/// A press either buys within this time or not at all, however slow the shop was told to be. So a buyer who looks
/// later, and adds the history's lag, may conclude from an order that is not there that it will never be.
const COMMIT_WITHIN: Duration = Duration::from_secs(3);

/// A press is one transaction, and `DynamoDB` takes a hundred items in one.
const MAX_ORDERS: usize = 90;

/// Where the shop sends things.
const COUNTRIES: [&str; 16] = [
    "AT", "AU", "BE", "CA", "CH", "DE", "ES", "FR", "GB", "IE", "IT", "JP", "MX", "NL", "SE", "US",
];

/// Where a parcel goes. It has no `Debug`: it is somebody's home.
#[derive(Deserr)]
#[deserr(error = Faults)]
pub struct Address {
    /// Who gets it.
    pub name: String,
    /// Street and number.
    pub line1: String,
    /// Town.
    pub city: String,
    /// State or province, where there are such.
    #[deserr(default)]
    pub state: Option<String>,
    /// Postal code.
    pub postal_code: String,
    /// ISO 3166, two letters.
    pub country: String,
}

/// What is asked for the ways of shipping.
#[derive(Deserr)]
#[deserr(error = Faults)]
pub struct ShippingQuestion {
    #[deserr(try_from(Vec<WantedLine>) = cart::bounded -> Unfit)]
    lines: Vec<WantedLine>,
    address: Address,
}

/// What is asked for the final figures. A billing address is taken and not looked at.
#[derive(Deserr)]
#[deserr(error = Faults)]
pub struct ReviewQuestion {
    #[deserr(try_from(Vec<Shipment>) = some_shipments -> Unfit)]
    shipments: Vec<Shipment>,
    payment: Payment,
    #[deserr(default)]
    promo_codes: Vec<String>,
    /// The buyer's own number of the purchase. Kept for business accounts; from others the shop ignores it.
    #[deserr(default)]
    po_number: Option<String>,
    #[deserr(default)]
    affiliate_tag: Option<String>,
}

/// What goes to one recipient. A gift message is taken and not looked at.
#[derive(Deserr)]
#[deserr(error = Faults)]
struct Shipment {
    #[deserr(try_from(Vec<WantedLine>) = some_lines -> Unfit)]
    lines: Vec<WantedLine>,
    address: Address,
    shipping_option: String,
    #[deserr(default)]
    gift: bool,
}

#[derive(Deserr)]
#[deserr(error = Faults, tag = "kind")]
enum Payment {
    #[deserr(rename = "gift_balance")]
    GiftBalance,
    #[deserr(rename = "card")]
    Card {
        #[deserr(from(String) = SecretString::from)]
        number: SecretString,
        #[deserr(from(String) = SecretString::from)]
        security_code: SecretString,
        #[deserr(default)]
        expires_month: Option<u32>,
        #[deserr(default)]
        expires_year: Option<i16>,
    },
    #[deserr(rename = "on_file")]
    OnFile,
}

/// The button.
#[derive(Deserr)]
#[deserr(error = Faults)]
pub struct SubmitQuestion {
    checkout_id: String,
}

/// A reviewed checkout, ready to be submitted, as often as somebody presses the button.
#[derive(Serialize, Deserialize)]
#[expect(clippy::struct_field_names, reason = "every id of the shop says what it is of")]
struct Checkout {
    checkout_id: String,
    /// As they will be, without their ids.
    orders: Vec<Order>,
    paid: Paid,
    total_cents: u64,
    po_number: Option<String>,
    affiliate_tag: Option<String>,
    expires_at: i64,
}

/// A shipment with its figures.
struct Reviewed {
    figures: Figures,
    orders: Vec<Order>,
    shown: Value,
}

fn some_shipments(shipments: Vec<Shipment>) -> Result<Vec<Shipment>, Unfit> {
    if (1..=MAX_ORDERS).contains(&shipments.len()) {
        Ok(shipments)
    } else {
        Err(Unfit(format!("must be one, and not more than {MAX_ORDERS}")))
    }
}

fn some_lines(lines: Vec<WantedLine>) -> Result<Vec<WantedLine>, Unfit> {
    if lines.is_empty() { Err(Unfit("must not be empty".to_owned())) } else { cart::bounded(lines) }
}

/// `POST /checkout/shipping`: the ways for a part of the cart.
pub async fn shipping(
    State(shop): State<Arc<Shop>>,
    Extension(visit): Extension<Visit>,
    Body(question): Body<ShippingQuestion>,
) -> Result<Json<Value>, Fault> {
    let cart = cart::of(&shop, &visit.email).await?;
    let lines = cart::part(&cart, question.lines)?;
    behaviour::at(&shop, Step::Shipping, &visit.email, product_ids(&lines)).await?;
    check_address(&question.address)?;
    let shown = |delivery: &Delivery| {
        json!({
            "id": delivery.id,
            "name": delivery.name,
            "price_cents": split::shipping_cents(&lines, delivery.surcharge_cents),
            "days": delivery.days,
        })
    };
    Ok(Json(json!({ "options": DELIVERIES.iter().map(shown).collect::<Vec<_>>() })))
}

/// `POST /checkout/review`: the figures of each shipment. Together they must be what is in the cart.
pub async fn review(
    State(shop): State<Arc<Shop>>,
    Extension(visit): Extension<Visit>,
    Body(question): Body<ReviewQuestion>,
) -> Result<Json<Value>, Fault> {
    let ReviewQuestion { shipments, payment, promo_codes, po_number, affiliate_tag } = question;
    let cart = cart::of(&shop, &visit.email).await?;
    behaviour::at(&shop, Step::Review, &visit.email, product_ids(&cart)).await?;
    let is_ours = |code: &String| code.eq_ignore_ascii_case(prices::PROMO_CODE);
    let (taken, rejected): (Vec<_>, Vec<_>) = promo_codes.into_iter().partition(is_ours);
    let now = (shop.now)();
    let reviewed: Result<Vec<_>, _> = shipments
        .into_iter()
        .map(|shipment| review_shipment(&cart, shipment, !taken.is_empty(), now))
        .collect();
    let reviewed = reviewed?;

    let shipped = reviewed.iter().flat_map(|shipment| &shipment.orders);
    if cart::pieces(shipped.flat_map(|order| &order.lines)) != cart::pieces(&cart) {
        return Err(cart::differs());
    }
    let totals = reviewed.iter().map(|shipment| shipment.figures.total_cents);
    let total_cents = totals.fold(0, u64::saturating_add);
    let paid = check_payment(&shop, &visit.email, &payment, total_cents, now).await?;
    let shipments: Vec<_> = reviewed
        .iter()
        .map(|shipment| shown(shipment, matches!(paid, Paid::GiftBalance)))
        .collect();
    let orders: Vec<_> = reviewed.into_iter().flat_map(|shipment| shipment.orders).collect();
    if orders.len() > MAX_ORDERS {
        return Err(Fault::field("shipments"));
    }
    let is_business = accounts::is_business(&shop, &visit.email).await?;
    let checkout = Checkout {
        checkout_id: Uuid::new_v4().to_string(),
        orders,
        paid,
        total_cents,
        po_number: po_number.filter(|_| is_business),
        affiliate_tag,
        expires_at: now.as_second().saturating_add(REVIEW_SECONDS),
    };
    shop.store.put(&Key::checkout(&visit.email, &checkout.checkout_id), &checkout).await?;
    Ok(Json(json!({
        "checkout_id": checkout.checkout_id,
        "currency": visit.market.currency(),
        "shipments": shipments,
        "rejected_promo_codes": rejected,
    })))
}

fn review_shipment(
    cart: &[Line],
    shipment: Shipment,
    discounted: bool,
    now: Timestamp,
) -> Result<Reviewed, Fault> {
    let Shipment { lines, address, shipping_option, gift } = shipment;
    let lines = cart::part(cart, lines)?;
    check_address(&address)?;
    let delivery = DELIVERIES.iter().find(|delivery| delivery.id == shipping_option);
    let delivery = delivery.ok_or_else(|| Fault::code(Code::ShippingMethodUnavailable))?;
    let price = |line: &Line| prices::line(line.price_cents, line.quantity, discounted);
    let figures = prices::figures(
        lines.iter().map(price),
        split::shipping_cents(&lines, delivery.surcharge_cents),
        tax_state(&address),
    );
    let arrives_on = arrival(now, delivery.days);
    let product = |line: &Line| json!({ "product_id": line.product_id, "subtotal_cents": price(line), "arrives_on": arrives_on });
    let shown = lines.iter().map(product).collect();
    let parts = split::by_sender(lines, figures, delivery.surcharge_cents, discounted);
    let order = |(lines, figures): (Vec<Line>, Figures)| Order {
        order_id: String::new(),
        lines,
        subtotal_cents: figures.subtotal_cents,
        shipping_cents: figures.shipping_cents,
        tax_cents: figures.tax_cents,
        total_cents: figures.total_cents,
        gift,
        name: address.name.clone(),
        city: address.city.clone(),
        state: address.state.clone(),
        postal_code: address.postal_code.clone(),
        country: address.country.clone(),
        arrives_on: arrives_on.clone(),
    };
    Ok(Reviewed { figures, orders: parts.into_iter().map(order).collect(), shown })
}

fn shown(shipment: &Reviewed, by_gift_balance: bool) -> Value {
    let Reviewed { figures, orders: _, shown } = shipment;
    json!({
        "subtotal_cents": figures.subtotal_cents,
        "shipping_cents": figures.shipping_cents,
        "tax_cents": figures.tax_cents,
        "total_cents": figures.total_cents,
        "gift_balance_used_cents": by_gift_balance.then_some(figures.total_cents),
        "products": shown,
    })
}

/// `POST /checkout/submit` buys. Pressed twice, it buys twice.
pub async fn submit(
    State(shop): State<Arc<Shop>>,
    Extension(visit): Extension<Visit>,
    Body(question): Body<SubmitQuestion>,
) -> Result<Json<Value>, Fault> {
    let pressed_at = (shop.now)();
    let checkout =
        shop.store.get::<Checkout>(&Key::checkout(&visit.email, &question.checkout_id)).await?;
    let checkout = checkout.filter(|checkout| checkout.expires_at > pressed_at.as_second());
    let checkout = checkout.ok_or_else(|| Fault::conflict("unknown_checkout"))?;
    let lines: Vec<_> = checkout.orders.iter().flat_map(|order| order.lines.clone()).collect();

    behaviour::at(&shop, Step::SubmitBeforeCommit, &visit.email, product_ids(&lines)).await?;
    if clock::after(pressed_at, COMMIT_WITHIN) < (shop.now)() {
        return Err(Fault::code(Code::InternalError));
    }
    let purchase = commit(&shop, visit, checkout).await?;
    behaviour::at(&shop, Step::SubmitAfterCommit, &purchase.email, product_ids(&lines)).await?;
    Ok(Json(json!({ "orders": purchase.receipts().collect::<Vec<_>>() })))
}

async fn commit(shop: &Shop, visit: Visit, checkout: Checkout) -> Result<Purchase, Fault> {
    let Checkout {
        checkout_id,
        orders,
        paid,
        total_cents,
        po_number,
        affiliate_tag,
        expires_at: _,
    } = checkout;
    let named = |order: Order| Order { order_id: order_id(rand::random()), ..order };
    let purchase = Purchase {
        purchase_id: Uuid::new_v4().to_string(),
        email: visit.email,
        session: visit.session,
        market: visit.market,
        checkout_id,
        // Taken at the commit and not at the press: a slow shop dates an order when it has it.
        placed_at_ms: (shop.now)().as_millisecond(),
        orders: orders.into_iter().map(named).collect(),
        total_cents,
        paid,
        po_number,
        affiliate_tag,
    };
    let key = Key::purchase(&purchase.email, purchase.placed_at_ms, &purchase.purchase_id);
    let mut writes = vec![Write::put(&key, &purchase)?];
    for order in &purchase.orders {
        let record = Record::new(&purchase, order.clone(), rand::random());
        writes.push(Write::put(&Key::order(&order.order_id), &record)?);
    }
    match paid {
        Paid::GiftBalance => {
            let purse = Key::account(&purchase.email);
            writes.push(Write::Take(purse, accounts::GIFT_BALANCE, total_cents));
        }
        Paid::Card | Paid::OnFile => {}
    }
    if shop.store.transact(writes).await? {
        Ok(purchase)
    } else {
        Err(Fault::code(Code::PaymentInfoProblem))
    }
}

fn product_ids(lines: &[Line]) -> impl Iterator<Item = &str> {
    lines.iter().map(|line| line.product_id.as_str())
}

fn check_address(address: &Address) -> Result<(), Fault> {
    let needed = [&address.name, &address.line1, &address.city, &address.postal_code];
    if needed.iter().any(|text| text.trim().is_empty()) {
        return Err(Fault::code(Code::ShippingAddressRefused));
    }
    if !COUNTRIES.contains(&address.country.as_str()) {
        return Err(Fault::code(Code::ShippingAddressUnavailable));
    }
    Ok(())
}

fn tax_state(address: &Address) -> Option<&str> {
    if address.country == "US" { address.state.as_deref() } else { None }
}

async fn check_payment(
    shop: &Shop,
    email: &str,
    payment: &Payment,
    total_cents: u64,
    now: Timestamp,
) -> Result<Paid, Fault> {
    match payment {
        Payment::OnFile => Ok(Paid::OnFile),
        Payment::Card { number, security_code, expires_month, expires_year } => {
            let expiry = (*expires_month, *expires_year);
            card::check(number, security_code, expiry, now)
                .map(|()| Paid::Card)
                .map_err(Fault::code)
        }
        Payment::GiftBalance if accounts::gift_balance(shop, email).await? >= total_cents => {
            Ok(Paid::GiftBalance)
        }
        Payment::GiftBalance => Err(Fault::code(Code::PaymentInfoProblem)),
    }
}

/// `112-1234567-1234567`
fn order_id(random: u64) -> String {
    const SEVEN_DIGITS: u64 = 10_000_000;
    format!("112-{:07}-{:07}", random / SEVEN_DIGITS % SEVEN_DIGITS, random % SEVEN_DIGITS)
}

/// `YYYY-MM-DD`, so many days from now.
fn arrival(now: Timestamp, days: u32) -> String {
    let today = now.to_zoned(TimeZone::UTC).date();
    today.saturating_add(i64::from(days).days()).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_ids_have_the_shape_of_the_trade() {
        assert_eq!(order_id(12_345_671_234_567), "112-1234567-1234567");
        assert_eq!(order_id(u64::MAX).len(), "112-1234567-1234567".len());
    }

    #[test]
    fn parcels_arrive_on_a_day() {
        assert_eq!(arrival(Timestamp::UNIX_EPOCH, 5), "1970-01-06");
    }
}
