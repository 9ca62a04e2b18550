//! From a full cart to an order: the ways of shipping, the final figures, and the button.

use std::{sync::Arc, time::Duration};

use axum::{Extension, Json, extract::State};
use deserr::Deserr;
use jiff::{Timestamp, ToSpan, tz::TimeZone};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use spelter::{clock, error::Code, fields::Faults};
use uuid::Uuid;

use super::{
    Shop, accounts,
    answer::{Body, Fault},
    behaviour::{self, Step},
    cart::{self, Line},
    history::{Paid, Purchase},
    journal::Visit,
    prices::{self, DELIVERIES, Delivery, Figures},
    store::Key,
};

/// How long the figures of a review hold.
const REVIEW_SECONDS: i64 = 60 * 60;

/// A press either buys within this time or not at all, however slow the shop was told to be. So a buyer who looks
/// later, and adds the history's lag, may conclude from an order that is not there that it will never be.
const COMMIT_WITHIN: Duration = Duration::from_secs(3);

/// Where the shop sends things.
const COUNTRIES: [&str; 16] = [
    "AT", "AU", "BE", "CA", "CH", "DE", "ES", "FR", "GB", "IE", "IT", "JP", "MX", "NL", "SE", "US",
];

/// A well-formed card number that the bank declines.
const DECLINED_CARD: &str = "4000000000000002";

/// Where a parcel goes. It has no `Debug`: it is somebody's home.
#[derive(Deserr)]
#[deserr(error = Faults)]
pub struct Address {
    name: String,
    line1: String,
    city: String,
    #[deserr(default)]
    state: Option<String>,
    postal_code: String,
    country: String,
}

/// What is asked for the ways of shipping.
#[derive(Deserr)]
#[deserr(error = Faults)]
pub struct ShippingQuestion {
    address: Address,
}

/// What is asked for the final figures. A billing address and a gift message are taken and not looked at.
#[derive(Deserr)]
#[deserr(error = Faults)]
pub struct ReviewQuestion {
    address: Address,
    shipping_option: String,
    payment: Payment,
    #[deserr(default)]
    gift: bool,
    #[deserr(default)]
    promo_codes: Vec<String>,
}

#[derive(Deserr)]
#[deserr(error = Faults, tag = "kind")]
enum Payment {
    #[deserr(rename = "gift_balance")]
    GiftBalance,
    /// Looked at once and never kept. It does not expire: the cards of documents' examples are long past their date.
    #[deserr(rename = "card")]
    Card {
        #[deserr(from(String) = SecretString::from)]
        number: SecretString,
        #[deserr(from(String) = SecretString::from)]
        security_code: SecretString,
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
    lines: Vec<Line>,
    name: String,
    postal_code: String,
    paid: Paid,
    gift: bool,
    total_cents: u64,
    expires_at: i64,
}

/// `POST /checkout/shipping`
pub async fn shipping(
    State(shop): State<Arc<Shop>>,
    Extension(visit): Extension<Visit>,
    Body(question): Body<ShippingQuestion>,
) -> Result<Json<Value>, Fault> {
    let lines = cart::of(&shop, &visit.email).await?;
    behaviour::at(&shop, Step::Shipping, &visit.email, product_ids(&lines)).await?;
    check_address(&question.address)?;
    let shown = |delivery: &Delivery| {
        json!({
            "id": delivery.id,
            "name": delivery.name,
            "price_cents": shipping_cents(&lines, delivery),
            "days": delivery.days,
        })
    };
    Ok(Json(json!({ "options": DELIVERIES.iter().map(shown).collect::<Vec<_>>() })))
}

/// `POST /checkout/review`
pub async fn review(
    State(shop): State<Arc<Shop>>,
    Extension(visit): Extension<Visit>,
    Body(question): Body<ReviewQuestion>,
) -> Result<Json<Value>, Fault> {
    let lines = cart::of(&shop, &visit.email).await?;
    behaviour::at(&shop, Step::Review, &visit.email, product_ids(&lines)).await?;
    check_address(&question.address)?;
    let delivery = DELIVERIES.iter().find(|delivery| delivery.id == question.shipping_option);
    let delivery = delivery.ok_or_else(|| Fault::code(Code::ShippingMethodUnavailable))?;

    let is_ours = |code: &String| code.eq_ignore_ascii_case(prices::PROMO_CODE);
    let (taken, rejected): (Vec<_>, Vec<_>) = question.promo_codes.into_iter().partition(is_ours);
    let line = |line: &Line| prices::line(line.price_cents, line.quantity, !taken.is_empty());
    let figures = prices::figures(
        lines.iter().map(line),
        shipping_cents(&lines, delivery),
        tax_state(&question.address),
    );
    let paid = check_payment(&shop, &visit.email, &question.payment, figures).await?;

    let now = (shop.now)();
    let arrives_on = arrival(now, delivery.days);
    let shown = |item: &Line| json!({ "product_id": item.product_id, "subtotal_cents": line(item), "arrives_on": arrives_on });
    let answer = json!({
        "currency": "USD",
        "subtotal_cents": figures.subtotal_cents,
        "shipping_cents": figures.shipping_cents,
        "tax_cents": figures.tax_cents,
        "total_cents": figures.total_cents,
        "gift_balance_used_cents": matches!(paid, Paid::GiftBalance).then_some(figures.total_cents),
        "products": lines.iter().map(shown).collect::<Vec<_>>(),
        "rejected_promo_codes": rejected,
    });
    let checkout = Checkout {
        checkout_id: Uuid::new_v4().to_string(),
        name: question.address.name,
        postal_code: question.address.postal_code,
        paid,
        gift: question.gift,
        total_cents: figures.total_cents,
        expires_at: now.as_second().saturating_add(REVIEW_SECONDS),
        lines,
    };
    shop.store.put(&Key::checkout(&visit.email, &checkout.checkout_id), &checkout).await?;
    Ok(Json(with(answer, "checkout_id", checkout.checkout_id)))
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
    let lines = checkout.lines.clone();

    behaviour::at(&shop, Step::SubmitBeforeCommit, &visit.email, product_ids(&lines)).await?;
    if clock::after(pressed_at, COMMIT_WITHIN) < (shop.now)() {
        return Err(Fault::code(Code::InternalError));
    }
    let purchase = commit(&shop, visit, checkout).await?;
    behaviour::at(&shop, Step::SubmitAfterCommit, &purchase.email, product_ids(&lines)).await?;
    Ok(Json(purchase.receipt()))
}

async fn commit(shop: &Shop, visit: Visit, checkout: Checkout) -> Result<Purchase, Fault> {
    let Checkout { checkout_id, lines, name, postal_code, paid, gift, total_cents, expires_at: _ } =
        checkout;
    // Taken at the commit and not at the press: a slow shop dates an order when it has it.
    let placed_at_ms = (shop.now)().as_millisecond();
    let purchase = Purchase {
        order_id: order_id(rand::random()),
        email: visit.email,
        session: visit.session,
        checkout_id,
        placed_at_ms,
        lines,
        total_cents,
        paid,
        gift,
        name,
        postal_code,
    };
    let key = Key::order(&purchase.email, placed_at_ms, &purchase.order_id);
    match paid {
        Paid::GiftBalance => {
            let purse = Key::account(&purchase.email);
            let (name, amount) = (accounts::GIFT_BALANCE, purchase.total_cents);
            if !shop.store.put_paid(&key, &purchase, &purse, name, amount).await? {
                return Err(Fault::code(Code::PaymentInfoProblem));
            }
        }
        Paid::Card | Paid::OnFile => shop.store.put(&key, &purchase).await?,
    }
    Ok(purchase)
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

fn shipping_cents(lines: &[Line], delivery: &Delivery) -> u64 {
    let asked = lines.iter().map(|line| prices::line(line.shipping_cents, line.quantity, false));
    asked.fold(delivery.surcharge_cents, u64::saturating_add)
}

async fn check_payment(
    shop: &Shop,
    email: &str,
    payment: &Payment,
    figures: Figures,
) -> Result<Paid, Fault> {
    match payment {
        Payment::OnFile => Ok(Paid::OnFile),
        Payment::Card { number, security_code } => {
            check_card(number, security_code).map(|()| Paid::Card)
        }
        Payment::GiftBalance
            if accounts::gift_balance(shop, email).await? >= figures.total_cents =>
        {
            Ok(Paid::GiftBalance)
        }
        Payment::GiftBalance => Err(Fault::code(Code::PaymentInfoProblem)),
    }
}

fn check_card(number: &SecretString, security_code: &SecretString) -> Result<(), Fault> {
    let number: String =
        number.expose_secret().chars().filter(|c| !matches!(c, ' ' | '-')).collect();
    let security_code = security_code.expose_secret();
    if !is_card_number(&number) {
        return Err(Fault::code(Code::InvalidCardNumber));
    }
    if !(3..=4).contains(&security_code.len())
        || !security_code.bytes().all(|byte| byte.is_ascii_digit())
    {
        return Err(Fault::code(Code::InvalidSecurityCode));
    }
    if number == DECLINED_CARD {
        return Err(Fault::code(Code::CreditCardDeclined));
    }
    Ok(())
}

/// Luhn's check.
fn is_card_number(number: &str) -> bool {
    let digits: Option<Vec<u32>> = number.chars().rev().map(|c| c.to_digit(10)).collect();
    let Some(digits) = digits else { return false };
    let doubled = |digit: u32| if digit > 4 { 2 * digit - 9 } else { 2 * digit };
    let sum: u32 = digits
        .iter()
        .enumerate()
        .map(|(at, digit)| if at % 2 == 1 { doubled(*digit) } else { *digit })
        .sum();
    (12..=19).contains(&digits.len()) && sum.is_multiple_of(10)
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

fn with(mut answer: Value, name: &str, value: String) -> Value {
    if let Value::Object(members) = &mut answer {
        members.insert(name.to_owned(), Value::String(value));
    }
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(price_cents: u64, shipping_cents: u64, quantity: u32) -> Line {
        Line {
            product_id: "P".to_owned(),
            offer_id: "ours".to_owned(),
            quantity,
            price_cents,
            shipping_cents,
        }
    }

    #[test]
    fn prime_ships_free_and_sellers_ask_for_each_piece() {
        let prices = |lines: &[Line]| DELIVERIES.map(|delivery| shipping_cents(lines, &delivery));
        assert_eq!(prices(&[line(1_999, 0, 3)]), [0, 400, 1_500]);
        assert_eq!(prices(&[line(1_999, 0, 1), line(899, 599, 2)]), [1_198, 1_598, 2_698]);
    }

    #[test]
    fn cards_are_checked() {
        let cases = [
            ("5555555555554444", "123", None),
            ("4111 1111-1111 1111", "1234", None),
            ("5555555555554445", "123", Some("invalid_card_number")),
            ("0", "123", Some("invalid_card_number")),
            ("not a number", "123", Some("invalid_card_number")),
            ("5555555555554444", "12", Some("invalid_security_code")),
            ("5555555555554444", "abc", Some("invalid_security_code")),
            ("4000000000000002", "123", Some("credit_card_declined")),
        ];
        for (number, security_code, expected) in cases {
            let word = match check_card(&number.into(), &security_code.into()) {
                Ok(()) => None,
                Err(Fault::No { word, .. }) => Some(word),
                Err(fault) => panic!("{fault:?}"),
            };
            assert_eq!(word, expected, "{number} {security_code}");
        }
    }

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
