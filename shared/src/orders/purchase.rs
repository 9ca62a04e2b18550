//! What an order asks to have bought: the part of the request that holds no secret.
//!
//! It is read from the client's body at acceptance and again from the stored echo by the worker, by the same rules.

use std::{fmt, str::FromStr};

use deserr::{Deserr, ValuePointerRef};
use serde_json::Value;

use crate::{
    fields::{Faults, FieldError, Unfit},
    money::Cents,
    orders::{
        selection::Criteria,
        shipping::{OrderBy, ShippingChoice},
        variants::VariantSpecific,
    },
    retailers::RetailerCode,
};

const MAX_PRODUCTS: usize = 100;
const MAX_QUANTITY: u32 = 999;
const MAX_VARIANTS: usize = 10;
const MAX_LINE_CHARS: usize = 200;
const MAX_PRODUCT_ID_CHARS: usize = 128;
const MAX_GIFT_MESSAGE_CHARS: usize = 240;
const MAX_GIFT_MESSAGE_LINES: usize = 9;

/// What is to be bought, where it goes and how it is paid.
#[derive(Debug, Clone, PartialEq, Deserr)]
#[deserr(error = Faults, validate = check_purchase -> Faults)]
pub struct Purchase {
    /// Where to buy.
    #[deserr(try_from(&String) = RetailerCode::from_str -> Unfit)]
    pub retailer: RetailerCode,
    /// What to buy.
    #[deserr(try_from(Vec<Product>) = some_products -> Unfit)]
    pub products: Vec<Product>,
    /// Where it goes.
    pub shipping_address: Address,
    /// Who pays, as the card's bank knows them.
    #[deserr(default)]
    pub billing_address: Option<Address>,
    /// Where to stop.
    #[deserr(default)]
    pub max_price: Option<u64>,
    /// Hide prices from the recipient.
    #[deserr(default)]
    pub is_gift: bool,
    /// A text for the packing slip.
    #[deserr(default, try_from(Option<String>) = short_message -> Unfit)]
    pub gift_message: Option<String>,
    /// How it is paid.
    #[deserr(default)]
    pub payment_method: Payment,
    /// Codes to try at checkout.
    #[deserr(default, try_from(Option<Vec<Value>>) = list_of_codes -> Unfit)]
    pub promo_codes: Vec<String>,
    /// Go on if a code is not valid.
    #[deserr(default)]
    pub ignore_invalid_promo_code: bool,
    /// The buyer's own number of the purchase, for business accounts.
    #[deserr(default, try_from(Option<Value>) = number_or_text -> Unfit)]
    pub po_number: Option<String>,
    /// Who is to be credited with the sale.
    #[deserr(default, rename = "affiliate_info", from(Option<AffiliateInfo>) = tag)]
    pub affiliate_tag: Option<String>,
    #[deserr(default)]
    shipping: Option<ShippingLimits>,
    #[deserr(default)]
    shipping_method: Option<ShippingMethod>,
}

impl Purchase {
    /// How it should be shipped.
    pub fn shipping(&self) -> ShippingChoice {
        match (self.shipping_method, &self.shipping) {
            (Some(ShippingMethod::Fastest), _) => ShippingChoice::Fastest,
            (Some(ShippingMethod::Free), _) => ShippingChoice::Free,
            (Some(ShippingMethod::Cheapest), _) | (None, None) => ShippingChoice::Cheapest,
            (None, Some(limits)) => ShippingChoice::Within {
                order_by: match limits.order_by {
                    None | Some(Ordering::Price) => OrderBy::Price,
                    Some(Ordering::Speed) => OrderBy::Speed,
                },
                max_days: limits.max_days,
                max_price: limits.max_price.map(Cents),
            },
        }
    }

    /// The most the whole order may cost.
    pub fn limit(&self) -> Option<Cents> {
        self.max_price.map(Cents)
    }
}

/// One product to buy.
#[derive(Debug, Clone, PartialEq, Eq, Deserr)]
#[deserr(error = Faults)]
pub struct Product {
    /// The retailer's id of it.
    #[deserr(try_from(String) = one_product_id -> Unfit)]
    pub product_id: String,
    /// How many.
    #[deserr(default = 1, try_from(u32) = some_quantity -> Unfit)]
    pub quantity: u32,
    /// Which of the product's variants is meant, if not the named one.
    #[deserr(default, try_from(Option<Vec<VariantSpecific>>) = some_variants -> Unfit)]
    pub variants: Vec<VariantSpecific>,
    /// Which offers may be bought.
    #[deserr(default)]
    pub seller_selection_criteria: Criteria,
}

/// A postal address.
#[derive(Clone, PartialEq, Eq, Deserr)]
#[deserr(error = Faults, validate = check_address -> Faults)]
#[expect(missing_docs, reason = "the fields of the v1 address object")]
pub struct Address {
    #[deserr(try_from(String) = line -> Unfit)]
    pub first_name: String,
    #[deserr(try_from(String) = line -> Unfit)]
    pub last_name: String,
    #[deserr(try_from(String) = line -> Unfit)]
    pub address_line1: String,
    #[deserr(default, try_from(Option<String>) = optional_line -> Unfit)]
    pub address_line2: Option<String>,
    #[deserr(try_from(String) = line -> Unfit)]
    pub zip_code: String,
    #[deserr(try_from(String) = line -> Unfit)]
    pub city: String,
    #[deserr(default, try_from(Option<String>) = optional_line -> Unfit)]
    pub state: Option<String>,
    #[deserr(try_from(&String) = country_code -> Unfit)]
    pub country: String,
    #[deserr(try_from(String) = line -> Unfit)]
    pub phone_number: String,
}

/// Personal data: only the country shows in logs.
impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Address").field("country", &self.country).finish_non_exhaustive()
    }
}

/// How it is paid, without what only the vault may hold.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserr)]
#[deserr(error = Faults)]
#[expect(missing_docs, reason = "the fields of the v1 payment method object")]
pub struct Payment {
    #[deserr(default)]
    pub use_gift: bool,
    #[deserr(default, try_from(Option<String>) = optional_line -> Unfit)]
    pub name_on_card: Option<String>,
    #[deserr(default, try_from(Option<u32>) = month_of_year -> Unfit)]
    pub expiration_month: Option<u32>,
    #[deserr(default, try_from(Option<u32>) = four_digit_year -> Unfit)]
    pub expiration_year: Option<u32>,
}

#[derive(Deserr)]
#[deserr(error = Faults)]
struct AffiliateInfo {
    tag: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserr)]
#[deserr(error = Faults)]
struct ShippingLimits {
    #[deserr(default)]
    order_by: Option<Ordering>,
    #[deserr(default, map = not_zero)]
    max_days: Option<u32>,
    #[deserr(default, map = not_zero)]
    max_price: Option<u64>,
}

impl ShippingLimits {
    fn says_nothing(&self) -> bool {
        self.order_by.is_none() && self.max_days.is_none() && self.max_price.is_none()
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserr)]
#[deserr(error = Faults, rename_all = lowercase)]
enum Ordering {
    Price,
    Speed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserr)]
#[deserr(error = Faults, rename_all = lowercase)]
enum ShippingMethod {
    Cheapest,
    Fastest,
    Free,
}

/// Clients of one SDK send 0 for what they leave out.
pub(super) fn not_zero<N: Default + PartialEq>(number: Option<N>) -> Option<N> {
    number.filter(|number| *number != N::default())
}

fn some_products(products: Vec<Product>) -> Result<Vec<Product>, Unfit> {
    match products.len() {
        0 => Err(Unfit("must name at least one product".to_owned())),
        1..=MAX_PRODUCTS => Ok(products),
        _ => Err(Unfit(format!("must not name more than {MAX_PRODUCTS} products"))),
    }
}

/// A text that can be a product id: short, and safe in a path.
pub(crate) fn one_product_id(text: String) -> Result<String, Unfit> {
    let fits = (1..=MAX_PRODUCT_ID_CHARS).contains(&text.chars().count());
    let plain = text.chars().all(|c| c.is_ascii_alphanumeric() || "-_.:".contains(c));
    let is_path = text.chars().all(|c| c == '.');
    if fits && plain && !is_path {
        Ok(text)
    } else {
        Err(Unfit("must be a product id of the retailer".to_owned()))
    }
}

fn some_variants(variants: Option<Vec<VariantSpecific>>) -> Result<Vec<VariantSpecific>, Unfit> {
    let variants = variants.unwrap_or_default();
    if variants.len() <= MAX_VARIANTS {
        Ok(variants)
    } else {
        Err(Unfit(format!("must not name more than {MAX_VARIANTS} dimensions")))
    }
}

/// A number of pieces that can be ordered or returned.
pub(crate) fn some_quantity(quantity: u32) -> Result<u32, Unfit> {
    if (1..=MAX_QUANTITY).contains(&quantity) {
        Ok(quantity)
    } else {
        Err(Unfit(format!("must be between 1 and {MAX_QUANTITY}")))
    }
}

/// One line of text that says something.
pub(crate) fn line(text: String) -> Result<String, Unfit> {
    if text.chars().any(char::is_control) {
        return Err(Unfit("must be one line of text".to_owned()));
    }
    if text.chars().count() > MAX_LINE_CHARS {
        return Err(Unfit(format!("must not be longer than {MAX_LINE_CHARS} characters")));
    }
    if text.trim().is_empty() {
        return Err(Unfit("must not be blank".to_owned()));
    }
    Ok(text)
}

fn optional_line(text: Option<String>) -> Result<Option<String>, Unfit> {
    text.map(line).transpose()
}

fn country_code(text: &str) -> Result<String, Unfit> {
    if text.len() == 2 && text.chars().all(|c| c.is_ascii_alphabetic()) {
        Ok(text.to_ascii_uppercase())
    } else {
        Err(Unfit("must be a two-letter ISO 3166 country code".to_owned()))
    }
}

fn short_message(text: Option<String>) -> Result<Option<String>, Unfit> {
    let Some(text) = text else { return Ok(None) };
    if text.chars().count() > MAX_GIFT_MESSAGE_CHARS
        || text.lines().count() > MAX_GIFT_MESSAGE_LINES
    {
        return Err(Unfit(format!(
            "must not be longer than {MAX_GIFT_MESSAGE_CHARS} characters or {MAX_GIFT_MESSAGE_LINES} lines"
        )));
    }
    Ok(Some(text))
}

fn month_of_year(month: Option<u32>) -> Result<Option<u32>, Unfit> {
    match month {
        None | Some(0) => Ok(None),
        Some(1..=12) => Ok(month),
        Some(_) => Err(Unfit("must be between 1 and 12".to_owned())),
    }
}

fn four_digit_year(year: Option<u32>) -> Result<Option<u32>, Unfit> {
    match year {
        None | Some(0) => Ok(None),
        Some(2000..=2100) => Ok(year),
        Some(_) => Err(Unfit("must be a year with four digits".to_owned())),
    }
}

fn number_or_text(value: Option<Value>) -> Result<Option<String>, Unfit> {
    match value {
        None => Ok(None),
        Some(Value::Number(number)) => Ok(Some(number.to_string())),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(Unfit("must be a number or a string".to_owned())),
    }
}

fn tag(info: Option<AffiliateInfo>) -> Option<String> {
    info.map(|info| info.tag)
}

/// A code is a text, or an object with a `code`.
fn list_of_codes(codes: Option<Vec<Value>>) -> Result<Vec<String>, Unfit> {
    let text = |code: Value| match code {
        Value::String(text) => Some(text),
        Value::Object(mut members) => match members.remove("code") {
            Some(Value::String(text)) => Some(text),
            _ => None,
        },
        _ => None,
    };
    let codes: Option<Vec<_>> = codes.unwrap_or_default().into_iter().map(text).collect();
    codes.ok_or_else(|| Unfit("must be a list of codes".to_owned()))
}

fn check_purchase(purchase: Purchase, _: ValuePointerRef) -> Result<Purchase, Faults> {
    let mut faults = Vec::new();
    match (&purchase.shipping, purchase.shipping_method) {
        (Some(limits), Some(_)) if !limits.says_nothing() => faults.push(FieldError::at(
            "shipping_method",
            "value_error",
            "must not be given together with shipping",
        )),
        (None, None) => faults.push(FieldError::at(
            "shipping_method",
            "missing",
            "either shipping_method or shipping is required",
        )),
        _ => {}
    }
    if purchase.gift_message.is_some() && !purchase.is_gift {
        faults.push(FieldError::at("gift_message", "value_error", "needs is_gift to be true"));
    }
    if faults.is_empty() { Ok(purchase) } else { Err(Faults(faults)) }
}

fn check_address(address: Address, at: ValuePointerRef) -> Result<Address, Faults> {
    let mut faults = Vec::new();
    let mut fault = |field: &str, kind, message: &str| {
        faults.push(FieldError::below(at, field, kind, message));
    };
    if matches!(address.country.as_str(), "US" | "CA") && address.state.is_none() {
        fault("state", "missing", "is required in this country");
    }
    if address.country == "US" && !is_us_zip_code(&address.zip_code) {
        fault("zip_code", "value_error", "must have five digits, or nine as 12345-6789");
    }
    if faults.is_empty() { Ok(address) } else { Err(Faults(faults)) }
}

fn is_us_zip_code(text: &str) -> bool {
    let digits =
        |text: &str, count| text.len() == count && text.chars().all(|c| c.is_ascii_digit());
    match text.split_once('-') {
        Some((first, last)) => digits(first, 5) && digits(last, 4),
        None => digits(text, 5),
    }
}
