//! The words of the sandbox retailer, and what they mean to us.
//!
//! Nothing outside this folder knows them. A word that is not here means nothing: it is neither a yes nor a no.

use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};

use crate::{
    error::{BoxError, Code},
    money::Cents,
    orders::{purchase, selection, shipping::ShippingOption},
    retailers::{self, AccountStatus, CartLine, PastOrder},
};

/// The shop says no.
#[derive(Deserialize)]
pub(super) struct Complaint {
    pub(super) error: Word,
    #[serde(default)]
    pub(super) product_id: Option<String>,
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
    TotpRequired,
    WrongTotp,
    SessionExpired,
    CartEmpty,
    UnknownCheckout,
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
            Self::Own(OwnWord::TotpRequired | OwnWord::WrongTotp) => {
                Meaning::Refusal(Code::AccountLoginFailed)
            }
            Self::Own(OwnWord::SessionExpired | OwnWord::CartEmpty | OwnWord::UnknownCheckout) => {
                Meaning::VisitLost
            }
        }
    }
}

/// Holds a password: no `Debug`, and gone as soon as it is sent.
#[derive(Serialize)]
pub(super) struct SignIn<'a> {
    pub(super) email: &'a str,
    pub(super) password: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) totp: Option<&'a str>,
}

#[derive(Deserialize)]
pub(super) struct SignedIn {
    pub(super) session: SecretString,
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
    limit_per_order: u32,
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
            max_quantity: self.limit_per_order,
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
        let line = |CartLine { product_id, offer_id, quantity }: &'a CartLine| Line {
            product_id,
            offer_id,
            quantity: *quantity,
        };
        Self { lines: lines.iter().map(line).collect() }
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
    address: Address<'a>,
    billing_address: Option<Address<'a>>,
    shipping_option: &'a str,
    payment: Payment<'a>,
    gift: bool,
    gift_message: Option<&'a str>,
    promo_codes: &'a [String],
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
            address: Address::of(checkout.shipping_address),
            billing_address: checkout.billing_address.map(Address::of),
            shipping_option: checkout.shipping_option,
            payment,
            gift: checkout.is_gift,
            gift_message: checkout.gift_message,
            promo_codes: checkout.promo_codes,
        }
    }
}

#[derive(Deserialize)]
pub(super) struct Review {
    checkout_id: String,
    currency: String,
    subtotal_cents: u64,
    shipping_cents: u64,
    tax_cents: u64,
    total_cents: u64,
    gift_balance_used_cents: Option<u64>,
    products: Vec<Reviewed>,
    rejected_promo_codes: Vec<String>,
}

#[derive(Deserialize)]
struct Reviewed {
    product_id: String,
    subtotal_cents: u64,
    arrives_on: String,
}

impl From<Review> for retailers::Review {
    fn from(review: Review) -> Self {
        let subtotal =
            |product: &Reviewed| (product.product_id.clone(), Cents(product.subtotal_cents));
        let arrival = |product: &Reviewed| (product.product_id.clone(), product.arrives_on.clone());
        Self {
            checkout_id: review.checkout_id,
            subtotal: Cents(review.subtotal_cents),
            shipping: Cents(review.shipping_cents),
            tax: Cents(review.tax_cents),
            total: Cents(review.total_cents),
            gift_certificate: review.gift_balance_used_cents.map(Cents),
            product_subtotals: review.products.iter().map(subtotal).collect(),
            currency: review.currency,
            delivery_dates: review.products.iter().map(arrival).collect(),
            rejected_promo_codes: review.rejected_promo_codes,
        }
    }
}

#[derive(Deserialize)]
pub(super) struct Orders {
    pub(super) orders: Vec<Order>,
    pub(super) more: bool,
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn meaning(word: &str) -> Option<Meaning> {
        serde_json::from_value::<Word>(json!(word)).ok().map(|word| word.meaning())
    }

    #[test]
    fn the_shops_own_words_are_read() {
        let cases = [
            ("unknown_account", Meaning::Refusal(Code::InvalidLoginCredentials)),
            ("wrong_password", Meaning::Refusal(Code::InvalidLoginCredentials)),
            ("totp_required", Meaning::Refusal(Code::AccountLoginFailed)),
            ("wrong_totp", Meaning::Refusal(Code::AccountLoginFailed)),
            ("session_expired", Meaning::VisitLost),
            ("cart_empty", Meaning::VisitLost),
            ("unknown_checkout", Meaning::VisitLost),
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
