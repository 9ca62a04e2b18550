//! The words of the sandbox retailer, and what they mean to us.
//!
//! Nothing outside this folder knows them. A word that is not here means nothing: it is neither a yes nor a no.

pub(super) mod pages;

use base64::{Engine, prelude::BASE64_STANDARD};
use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{
    error::{BoxError, Code, Refusal},
    money::Cents,
    orders::{
        purchase, selection,
        shipping::ShippingOption,
        variants::{self, Variant},
    },
    retailers::{self, AccountStatus, CartLine, OrderProgress, PastOrder, Question, RetailerCode},
    sign_in::VerificationPage,
};

/// The shop says no, and what belongs to it.
#[derive(Deserialize)]
pub(super) struct Complaint {
    pub(super) error: Word,
    product_id: Option<String>,
    /// The products of a family to choose from.
    #[serde(default)]
    choices: Vec<pages::Member>,
    /// What it would have taken instead.
    allowed: Option<Vec<String>>,
    because: Option<String>,
    /// Of a return that is in the way.
    state: Option<ReturnStatus>,
    description: Option<String>,
    tried_to_cancel: Option<bool>,
}

impl Complaint {
    /// What it means to a client.
    pub(super) fn refusal(self, code: Code) -> Refusal {
        let refusal = Refusal::new(code);
        let invalid = |path: &str, message: &str| json!({ "validator_errors": [{ "path": path, "message": message, "value": null }] });
        if let Some(product_id) = &self.product_id
            && !self.choices.is_empty()
        {
            let choices: Vec<Variant> = self.choices.into_iter().map(Into::into).collect();
            return variants::refusal(code, product_id, &choices);
        }
        match (&self.error, &self.allowed, self.state) {
            (Word::Own(OwnWord::UnknownMethod), Some(allowed), _) => {
                refusal.with(one_of("method_code", allowed))
            }
            (Word::Own(OwnWord::UnknownReason), Some(allowed), _) => {
                refusal.with(one_of("reason_code", allowed))
            }
            (Word::Own(OwnWord::ExplanationRequired), _, _) => {
                refusal.with(invalid("explanation", "is required for this reason_code"))
            }
            (Word::Own(OwnWord::NotOrdered), _, _) => {
                refusal.with(invalid("products", "must not be more than what was ordered"))
            }
            (Word::Own(OwnWord::UnknownOrder), _, _) => {
                refusal.saying("The retailer account has no such order.")
            }
            (Word::Own(OwnWord::UnknownReturn), _, _) => {
                refusal.saying("The retailer account has no such return.")
            }
            (Word::V1(Code::ReturnInProgress), _, Some(state)) => {
                let error = if self.tried_to_cancel == Some(true) {
                    "Tried to cancel but could not find cancel button"
                } else {
                    "A return is pending and cancel_pending is false"
                };
                let status = json!({ "status": state.text(), "description": self.description });
                refusal.with(json!({ "status": status, "error": error }))
            }
            _ => match (self.product_id, self.because) {
                (Some(product_id), _) => refusal.with(json!({ "product_id": product_id })),
                (None, Some(because)) => refusal.with(json!({ "reason": because })),
                (None, None) => refusal,
            },
        }
    }
}

fn one_of(path: &str, allowed: &[String]) -> Value {
    let message = format!("must be one of {}", allowed.join(", "));
    json!({ "validator_errors": [{ "path": path, "message": message, "value": null }], "allowed": allowed })
}

/// Why the shop says no: in a word of its own, or in one of v1's. To make every one of those happen is what this shop
/// is for, so it borrows them as they are.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum Word {
    Own(OwnWord),
    V1(Code),
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum OwnWord {
    UnknownAccount,
    WrongPassword,
    SessionExpired,
    CartEmpty,
    CartDiffers,
    UnknownCheckout,
    UnknownOrder,
    UnknownReturn,
    UnknownMethod,
    UnknownReason,
    ExplanationRequired,
    NotOrdered,
}

/// What a word means to us.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    /// It will not be done.
    Refusal(Code),
    /// The shop forgot who we are or what we were doing, and did nothing. A new visit may succeed.
    VisitLost,
}

impl Word {
    pub(super) fn meaning(&self) -> Meaning {
        match self {
            Self::V1(code) => Meaning::Refusal(*code),
            Self::Own(OwnWord::UnknownAccount | OwnWord::WrongPassword) => {
                Meaning::Refusal(Code::InvalidLoginCredentials)
            }
            Self::Own(
                OwnWord::SessionExpired
                | OwnWord::CartEmpty
                | OwnWord::CartDiffers
                | OwnWord::UnknownCheckout,
            ) => Meaning::VisitLost,
            Self::Own(
                OwnWord::UnknownOrder
                | OwnWord::UnknownReturn
                | OwnWord::UnknownMethod
                | OwnWord::UnknownReason
                | OwnWord::ExplanationRequired
                | OwnWord::NotOrdered,
            ) => Meaning::Refusal(Code::InvalidRequest),
        }
    }
}

/// Holds a password: no `Debug`, and gone as soon as it is sent.
#[derive(Serialize)]
pub(super) struct SignIn<'a> {
    pub(super) email: &'a str,
    pub(super) password: &'a str,
    pub(super) market: &'static str,
}

/// Where the shop sells what this code names. Its shop at home stands for all that have no market of their own.
pub(super) const fn market(retailer: RetailerCode) -> &'static str {
    match retailer {
        RetailerCode::AmazonUk => "uk",
        RetailerCode::AmazonCa => "ca",
        RetailerCode::AmazonMx => "mx",
        RetailerCode::Amazon
        | RetailerCode::Aliexpress
        | RetailerCode::Costco
        | RetailerCode::Walmart => "us",
    }
}

/// Holds a code: no `Debug`, and gone as soon as it is sent.
#[derive(Serialize)]
pub(super) struct Answer<'a> {
    pub(super) challenge: &'a str,
    pub(super) code: &'a str,
}

/// What became of signing in.
#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum SignedIn {
    In { session: SecretString },
    Asked(Challenge),
}

#[derive(Deserialize)]
pub(super) struct Challenge {
    #[serde(rename = "challenge")]
    token: SecretString,
    factor: Factor,
    wrong_code: bool,
    shop_time_ms: i64,
    enter_code_at: String,
    page: String,
    text: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Factor {
    Totp,
    Mail,
}

impl From<Challenge> for Question {
    fn from(asked: Challenge) -> Self {
        let factor = match asked.factor {
            Factor::Totp => retailers::Factor::Totp {
                time: Timestamp::from_millisecond(asked.shop_time_ms).ok(),
            },
            Factor::Mail => retailers::Factor::Mail(VerificationPage {
                verification_url: asked.enter_code_at,
                text: asked.text,
                current_url: asked.page,
            }),
        };
        Self { factor, visit: asked.token, again: asked.wrong_code }
    }
}

#[derive(Deserialize)]
pub(super) struct Account {
    prime: bool,
    fresh: bool,
    business: bool,
    charity: Option<String>,
}

impl From<Account> for AccountStatus {
    fn from(Account { prime, fresh, business, charity }: Account) -> Self {
        Self { prime, fresh, business, charity }
    }
}

#[derive(Deserialize)]
pub(super) struct Offers {
    pub(super) offers: Vec<Offer>,
}

#[derive(Deserialize)]
#[expect(clippy::struct_excessive_bools, clippy::struct_field_names, reason = "the shop's words")]
pub(super) struct Offer {
    offer_id: String,
    condition: String,
    price_cents: u64,
    shipping_cents: u64,
    handling_days: Days,
    add_on: bool,
    featured: bool,
    sold_by_us: bool,
    from_abroad: bool,
    prime: bool,
    prime_members_only: bool,
    minimum_per_order: u32,
    limit_per_order: u32,
    sent_by_us: bool,
    club_members_only: bool,
    shipping_note: Option<String>,
    note: Option<String>,
    currency: String,
    seller: Seller,
}

#[derive(Deserialize)]
struct Days {
    min: u32,
    max: u32,
}

#[derive(Deserialize)]
struct Seller {
    id: String,
    name: String,
    ratings: u32,
    positive_percent: u32,
}

impl Offer {
    pub(super) fn of(self, product_id: &str) -> selection::Offer {
        selection::Offer {
            offer_id: self.offer_id,
            product_id: product_id.to_owned(),
            condition: self.condition,
            price: Cents(self.price_cents),
            ship_price: Cents(self.shipping_cents),
            handling_days_min: self.handling_days.min,
            handling_days_max: self.handling_days.max,
            addon: self.add_on,
            buy_box: self.featured,
            first_party: self.sold_by_us,
            international: self.from_abroad,
            prime: self.prime,
            prime_only: self.prime_members_only,
            merchant_id: self.seller.id,
            seller_name: self.seller.name,
            seller_num_ratings: self.seller.ratings,
            seller_percent_positive: self.seller.positive_percent,
            min_quantity: self.minimum_per_order,
            max_quantity: self.limit_per_order,
            marketplace_fulfilled: self.sent_by_us,
            member_only: self.club_members_only,
            greytext: self.shipping_note,
            comments: self.note,
            currency: self.currency,
        }
    }
}

#[derive(Serialize)]
pub(super) struct Cart<'a> {
    lines: Vec<Line<'a>>,
}

#[derive(Serialize)]
struct Line<'a> {
    product_id: &'a str,
    offer_id: &'a str,
    quantity: u32,
}

impl<'a> Cart<'a> {
    pub(super) fn of(lines: &'a [CartLine]) -> Self {
        Self { lines: Line::all(lines) }
    }
}

impl<'a> Line<'a> {
    fn all(lines: &'a [CartLine]) -> Vec<Self> {
        let line = |CartLine { product_id, offer_id, quantity }: &'a CartLine| Self {
            product_id,
            offer_id,
            quantity: *quantity,
        };
        lines.iter().map(line).collect()
    }
}

/// Any object: what the shop says of a filled cart does not matter.
#[derive(Deserialize)]
pub(super) struct CartFilled {}

#[derive(Serialize)]
pub(super) struct Address<'a> {
    name: String,
    line1: &'a str,
    line2: Option<&'a str>,
    city: &'a str,
    state: Option<&'a str>,
    postal_code: &'a str,
    country: &'a str,
    phone: &'a str,
}

impl<'a> Address<'a> {
    pub(super) fn of(address: &'a purchase::Address) -> Self {
        Self {
            name: format!("{} {}", address.first_name, address.last_name),
            line1: &address.address_line1,
            line2: address.address_line2.as_deref(),
            city: &address.city,
            state: address.state.as_deref(),
            postal_code: &address.zip_code,
            country: &address.country,
            phone: &address.phone_number,
        }
    }
}

#[derive(Serialize)]
pub(super) struct ShippingQuestion<'a> {
    lines: Vec<Line<'a>>,
    address: Address<'a>,
}

impl<'a> ShippingQuestion<'a> {
    pub(super) fn of(lines: &'a [CartLine], address: &'a purchase::Address) -> Self {
        Self { lines: Line::all(lines), address: Address::of(address) }
    }
}

#[derive(Deserialize)]
pub(super) struct ShippingOptions {
    pub(super) options: Vec<Delivery>,
}

#[derive(Deserialize)]
pub(super) struct Delivery {
    id: String,
    name: String,
    price_cents: u64,
    days: u32,
}

impl From<Delivery> for ShippingOption {
    fn from(Delivery { id, name, price_cents, days }: Delivery) -> Self {
        Self { id, name, price: Cents(price_cents), days }
    }
}

/// May hold a card: no `Debug`, and gone as soon as it is sent.
#[derive(Serialize)]
pub(super) struct Checkout<'a> {
    shipments: Vec<Shipment<'a>>,
    billing_address: Option<Address<'a>>,
    payment: Payment<'a>,
    promo_codes: &'a [String],
    po_number: Option<&'a str>,
    affiliate_tag: Option<&'a str>,
}

#[derive(Serialize)]
struct Shipment<'a> {
    lines: Vec<Line<'a>>,
    address: Address<'a>,
    shipping_option: &'a str,
    gift: bool,
    gift_message: Option<&'a str>,
}

impl<'a> Shipment<'a> {
    fn of(shipment: &'a retailers::Shipment<'a>) -> Self {
        Self {
            lines: Line::all(shipment.lines),
            address: Address::of(shipment.address),
            shipping_option: shipment.shipping_option,
            gift: shipment.is_gift,
            gift_message: shipment.gift_message,
        }
    }
}

#[derive(Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum Payment<'a> {
    GiftBalance,
    Card(Card<'a>),
    OnFile,
}

#[derive(Serialize)]
struct Card<'a> {
    name: Option<&'a str>,
    number: &'a str,
    security_code: &'a str,
    expires_month: Option<u32>,
    expires_year: Option<u32>,
}

impl<'a> Checkout<'a> {
    pub(super) fn of(checkout: &'a retailers::Checkout<'a>) -> Self {
        let paid = checkout.payment;
        let payment = match checkout.card {
            _ if paid.use_gift => Payment::GiftBalance,
            Some(card) => Payment::Card(Card {
                name: paid.name_on_card.as_deref(),
                number: card.number.expose_secret(),
                security_code: card.security_code.expose_secret(),
                expires_month: paid.expiration_month,
                expires_year: paid.expiration_year,
            }),
            None => Payment::OnFile,
        };
        Self {
            shipments: checkout.shipments.iter().map(Shipment::of).collect(),
            billing_address: checkout.billing_address.map(Address::of),
            payment,
            promo_codes: checkout.promo_codes,
            po_number: checkout.po_number,
            affiliate_tag: checkout.affiliate_tag,
        }
    }
}

#[derive(Deserialize)]
pub(super) struct Reviewed {
    checkout_id: String,
    currency: String,
    pub(super) shipments: Vec<ReviewedShipment>,
    rejected_promo_codes: Vec<String>,
}

#[derive(Deserialize)]
pub(super) struct ReviewedShipment {
    subtotal_cents: u64,
    shipping_cents: u64,
    tax_cents: u64,
    total_cents: u64,
    gift_balance_used_cents: Option<u64>,
    products: Vec<ReviewedProduct>,
}

#[derive(Deserialize)]
struct ReviewedProduct {
    product_id: String,
    subtotal_cents: u64,
    arrives_on: String,
}

impl From<Reviewed> for Vec<retailers::Review> {
    fn from(reviewed: Reviewed) -> Self {
        let Reviewed { checkout_id, currency, shipments, rejected_promo_codes } = reviewed;
        let review = |shipment: ReviewedShipment| {
            let subtotal = |product: &ReviewedProduct| {
                (product.product_id.clone(), Cents(product.subtotal_cents))
            };
            let arrival = |product: &ReviewedProduct| {
                (product.product_id.clone(), product.arrives_on.clone())
            };
            retailers::Review {
                checkout_id: checkout_id.clone(),
                subtotal: Cents(shipment.subtotal_cents),
                shipping: Cents(shipment.shipping_cents),
                tax: Cents(shipment.tax_cents),
                total: Cents(shipment.total_cents),
                gift_certificate: shipment.gift_balance_used_cents.map(Cents),
                product_subtotals: shipment.products.iter().map(subtotal).collect(),
                currency: currency.clone(),
                delivery_dates: shipment.products.iter().map(arrival).collect(),
                rejected_promo_codes: rejected_promo_codes.clone(),
            }
        };
        shipments.into_iter().map(review).collect()
    }
}

/// What a press of the button made.
#[derive(Deserialize)]
pub(super) struct Receipt {
    pub(super) orders: Vec<Order>,
}

#[derive(Deserialize)]
pub(super) struct Orders {
    pub(super) orders: Vec<Order>,
    /// Must be said: what is not on this page may be the very order that is looked for.
    #[serde(deserialize_with = "Option::deserialize")]
    pub(super) next: Option<String>,
}

#[derive(Deserialize)]
#[expect(clippy::struct_field_names, reason = "the shop's words")]
pub(super) struct Order {
    order_id: String,
    placed_at_ms: i64,
    total_cents: u64,
    items: Vec<OrderedItem>,
    postal_code: String,
    tracking_url: Option<String>,
}

#[derive(Deserialize)]
struct OrderedItem {
    product_id: String,
    quantity: u32,
}

pub(super) fn past_orders(orders: Vec<Order>) -> Result<Vec<PastOrder>, BoxError> {
    orders.into_iter().map(PastOrder::try_from).collect()
}

impl TryFrom<Order> for PastOrder {
    type Error = BoxError;

    fn try_from(order: Order) -> Result<Self, BoxError> {
        Ok(Self {
            merchant_order_id: order.order_id,
            placed_at: Timestamp::from_millisecond(order.placed_at_ms)?,
            products: order
                .items
                .into_iter()
                .map(|item| (item.product_id, item.quantity))
                .collect(),
            total: Cents(order.total_cents),
            zip_code: order.postal_code,
            tracking_url: order.tracking_url,
        })
    }
}

#[derive(Deserialize)]
pub(super) struct OrderState {
    progress: Progress,
    parcels: Vec<Parcel>,
    tracking_url: Option<String>,
    arrives_on: String,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Progress {
    Open,
    CancelRequested,
    Cancelled,
    Shipped,
    Delivered,
}

#[derive(Deserialize)]
struct Parcel {
    product_ids: Vec<String>,
    carrier: Option<String>,
    tracking_number: Option<String>,
    tracking_url: Option<String>,
    status: ParcelStatus,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum ParcelStatus {
    OnTheWay,
    Delivered,
}

impl From<OrderState> for retailers::OrderState {
    fn from(OrderState { progress, parcels, tracking_url, arrives_on }: OrderState) -> Self {
        Self {
            progress: match progress {
                Progress::Open => OrderProgress::Open,
                Progress::CancelRequested => OrderProgress::CancelRequested,
                Progress::Cancelled => OrderProgress::Cancelled,
                Progress::Shipped => OrderProgress::Shipped,
                Progress::Delivered => OrderProgress::Delivered,
            },
            parcels: parcels.into_iter().map(Into::into).collect(),
            tracking_url,
            delivery_date: Some(arrives_on),
        }
    }
}

impl From<Parcel> for retailers::Parcel {
    fn from(parcel: Parcel) -> Self {
        let Parcel { product_ids, carrier, tracking_number, tracking_url, status } = parcel;
        let delivery_status = match status {
            ParcelStatus::OnTheWay => "InTransit",
            ParcelStatus::Delivered => "Delivered",
        };
        let delivery_status = Some(delivery_status.to_owned());
        Self { product_ids, carrier, tracking_number, tracking_url, delivery_status }
    }
}

#[derive(Deserialize)]
pub(super) struct Cancelled {
    pub(super) outcome: Outcome,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Outcome {
    Cancelled,
    Attempting,
}

impl From<Outcome> for retailers::Cancelled {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Cancelled => Self::Done,
            Outcome::Attempting => Self::Attempting,
        }
    }
}

#[derive(Serialize)]
pub(super) struct ReturnOrder<'a> {
    items: Vec<ReturnItem<'a>>,
    reason: &'a str,
    method: &'a str,
    explanation: Option<&'a str>,
    address: Option<Address<'a>>,
    cancel_pending: bool,
}

#[derive(Serialize)]
struct ReturnItem<'a> {
    product_id: &'a str,
    quantity: u32,
}

impl<'a> ReturnOrder<'a> {
    pub(super) fn of(wanted: &'a retailers::ReturnOrder<'a>) -> Self {
        let item = |(product_id, quantity): &'a (String, u32)| ReturnItem {
            product_id,
            quantity: *quantity,
        };
        Self {
            items: wanted.items.iter().map(item).collect(),
            reason: wanted.reason_code,
            method: wanted.method_code,
            explanation: wanted.explanation,
            address: wanted.return_address.map(Address::of),
            cancel_pending: wanted.cancel_pending,
        }
    }
}

#[derive(Deserialize)]
pub(super) struct StartedReturn {
    return_id: String,
    return_by: String,
    /// PDF in Base64.
    labels: Vec<String>,
}

impl TryFrom<StartedReturn> for retailers::StartedReturn {
    type Error = BoxError;

    fn try_from(started: StartedReturn) -> Result<Self, BoxError> {
        let labels: Result<Vec<_>, _> =
            started.labels.iter().map(|label| BASE64_STANDARD.decode(label)).collect();
        Ok(Self {
            merchant_return_id: started.return_id,
            return_by: started.return_by,
            labels: labels?,
        })
    }
}

#[derive(Deserialize)]
pub(super) struct Returns {
    /// Newest first.
    returns: Vec<Return>,
}

#[derive(Deserialize)]
#[expect(clippy::struct_field_names, reason = "the shop's words")]
pub(super) struct Return {
    return_id: String,
    items: Vec<OrderedItem>,
    state: ReturnStatus,
    description: String,
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum ReturnStatus {
    Started,
    Received,
    Refunded,
    Cancelled,
}

impl ReturnStatus {
    const fn text(self) -> &'static str {
        match self {
            Self::Started => "Return started",
            Self::Received => "Return received",
            Self::Refunded => "Refund issued",
            Self::Cancelled => "Return cancelled",
        }
    }
}

impl Returns {
    /// The newest of any of these products that was not called off.
    pub(super) fn pending(self, product_ids: &[String]) -> Option<retailers::PendingReturn> {
        let concerns =
            |one: &Return| one.items.iter().any(|item| product_ids.contains(&item.product_id));
        let pending = |one: &Return| one.state != ReturnStatus::Cancelled && concerns(one);
        let Return { return_id, items: _, state, description } =
            self.returns.into_iter().find(pending)?;
        Some(retailers::PendingReturn {
            merchant_return_id: return_id,
            status: state.text().to_owned(),
            description,
        })
    }
}

impl From<Return> for retailers::ReturnProgress {
    fn from(Return { return_id: _, items: _, state, description }: Return) -> Self {
        Self {
            status: state.text().to_owned(),
            description,
            is_delivered: matches!(state, ReturnStatus::Received | ReturnStatus::Refunded),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meaning(word: &str) -> Option<Meaning> {
        serde_json::from_value::<Word>(json!(word)).ok().map(|word| word.meaning())
    }

    #[test]
    fn the_shops_own_words_are_read() {
        let cases = [
            ("unknown_account", Meaning::Refusal(Code::InvalidLoginCredentials)),
            ("wrong_password", Meaning::Refusal(Code::InvalidLoginCredentials)),
            ("session_expired", Meaning::VisitLost),
            ("cart_empty", Meaning::VisitLost),
            ("cart_differs", Meaning::VisitLost),
            ("unknown_checkout", Meaning::VisitLost),
            ("unknown_order", Meaning::Refusal(Code::InvalidRequest)),
            ("unknown_return", Meaning::Refusal(Code::InvalidRequest)),
            ("unknown_method", Meaning::Refusal(Code::InvalidRequest)),
            ("unknown_reason", Meaning::Refusal(Code::InvalidRequest)),
            ("explanation_required", Meaning::Refusal(Code::InvalidRequest)),
            ("not_ordered", Meaning::Refusal(Code::InvalidRequest)),
        ];
        for (word, expected) in cases {
            assert_eq!(meaning(word), Some(expected), "{word}");
        }
    }

    #[test]
    fn every_code_means_itself() {
        for code in Code::ALL {
            assert_eq!(meaning(code.as_str()), Some(Meaning::Refusal(code)));
        }
    }

    #[test]
    fn other_words_mean_nothing() {
        for word in ["", "bad_request", "forbidden", "ok", "Wrong_Password", "placed"] {
            assert_eq!(meaning(word), None, "{word}");
        }
    }
}
