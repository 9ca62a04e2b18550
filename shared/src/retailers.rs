//! The way of buying: one [`Connector`] per kind of shop, and which shop a retailer code leads to.
//!
//! A connector speaks one site's language and nothing else: it decides nothing about orders, and it never repeats a
//! purchase by itself.

pub mod sandbox;
pub mod table;

use std::{fmt, future::Future, str::FromStr, time::Duration};

use jiff::Timestamp;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::{
    accounts::credentials::Login,
    error::{BoxError, Code, Refusal},
    fields::Unfit,
    money::Cents,
    orders::{
        purchase::{Address, Payment},
        selection::Offer,
        shipping::ShippingOption,
    },
    products::ProductPage,
    sign_in::VerificationPage,
};

/// A retailer as the v1 document names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names say it")]
pub enum RetailerCode {
    Aliexpress,
    Amazon,
    AmazonUk,
    AmazonCa,
    AmazonMx,
    Costco,
    Walmart,
}

impl RetailerCode {
    /// Every code, in the order of the document.
    pub const ALL: [Self; 7] = [
        Self::Aliexpress,
        Self::Amazon,
        Self::AmazonUk,
        Self::AmazonCa,
        Self::AmazonMx,
        Self::Costco,
        Self::Walmart,
    ];

    /// The code as it stands in requests and answers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Aliexpress => "aliexpress",
            Self::Amazon => "amazon",
            Self::AmazonUk => "amazon_uk",
            Self::AmazonCa => "amazon_ca",
            Self::AmazonMx => "amazon_mx",
            Self::Costco => "costco",
            Self::Walmart => "walmart",
        }
    }

    /// The retailer a caller names. Refuses with `unknown_retailer`.
    pub fn named(text: &str) -> Result<Self, Refusal> {
        text.parse().map_err(|Unfit(unfit)| {
            let refusal =
                Refusal::new(Code::UnknownRetailer).saying(format!("The retailer {unfit}."));
            refusal.with(json!({"retailer": text}))
        })
    }
}

impl fmt::Display for RetailerCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for RetailerCode {
    type Err = Unfit;

    /// The current API spells `amazon-uk` what v1 spells `amazon_uk`; both are taken.
    fn from_str(text: &str) -> Result<Self, Unfit> {
        let code = text.to_lowercase().replace('-', "_");
        let known = Self::ALL.into_iter().find(|retailer| retailer.as_str() == code);
        known.ok_or_else(|| {
            let names: Vec<_> = Self::ALL.iter().map(|retailer| retailer.as_str()).collect();
            Unfit(format!("must be one of {}", names.join(", ")))
        })
    }
}

/// Whether a client's key buys for real.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// `zn_live_…`: at the retailer the order names.
    Live,
    /// `zn_test_…`: at the sandbox, whatever retailer the order names.
    Test,
}

impl Mode {
    /// `live` or `test`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Test => "test",
        }
    }
}

impl FromStr for Mode {
    type Err = Unfit;

    fn from_str(text: &str) -> Result<Self, Unfit> {
        match text {
            "live" => Ok(Self::Live),
            "test" => Ok(Self::Test),
            _ => Err(Unfit("must be live or test".to_owned())),
        }
    }
}

/// A shop there is a connector for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Site {
    /// Our own small shop.
    Sandbox,
}

impl Site {
    /// The name under which accounts of this site are told apart from those of others.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sandbox => "sandbox",
        }
    }

    /// Where an order with this retailer code is bought; `None` while no live connector serves it.
    pub const fn of(_retailer: RetailerCode, mode: Mode) -> Option<Self> {
        match mode {
            Mode::Test => Some(Self::Sandbox),
            Mode::Live => None,
        }
    }
}

/// What became of a try to sign in.
pub enum SignIn<S> {
    /// The visit has begun.
    In(S),
    /// The retailer wants a code first.
    Asks(Question),
}

/// A code that a retailer asks for. It has no `Debug`: whoever has the visit can go on with it.
pub struct Question {
    /// Which code.
    pub factor: Factor,
    /// The interrupted visit, for [`Connector::answer`]; at most 4,096 bytes, so that it can be sealed.
    pub visit: SecretString,
    /// Whether it is asked again because the code before was wrong.
    pub again: bool,
}

/// Where the code is from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Factor {
    /// From the account's authenticator.
    Totp {
        /// The retailer's own clock, by which the code must be right; ours, if it does not tell.
        time: Option<Timestamp>,
    },
    /// From a mail that the retailer has sent.
    Mail(VerificationPage),
}

/// One line of a cart: an offer that was chosen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CartLine {
    /// The retailer's product id.
    pub product_id: String,
    /// The retailer's offer id.
    pub offer_id: String,
    /// How many.
    pub quantity: u32,
}

/// What only the shop may see of a card. It has no `Debug`, and is stored sealed only.
#[derive(Clone)]
pub struct Card {
    /// Its number.
    pub number: SecretString,
    /// The code on its back.
    pub security_code: SecretString,
}

/// All a shop asks at checkout beyond the cart.
pub struct Checkout<'a> {
    /// What goes to whom. Together they are what is in the cart.
    pub shipments: Vec<Shipment<'a>>,
    /// Who pays, as the card's bank knows them.
    pub billing_address: Option<&'a Address>,
    /// How it is paid.
    pub payment: &'a Payment,
    /// The card's secrets, when it is paid by card.
    pub card: Option<&'a Card>,
    /// Codes to try, in this order.
    pub promo_codes: &'a [String],
    /// The buyer's own number of the purchase, for business accounts. Retailers and accounts that know none ignore it.
    pub po_number: Option<&'a str>,
    /// Who is to be credited with the sale. Retailers that know no such tags ignore it.
    pub affiliate_tag: Option<&'a str>,
}

/// What goes to one recipient.
pub struct Shipment<'a> {
    /// Which part of the cart.
    pub lines: &'a [CartLine],
    /// Where it goes.
    pub address: &'a Address,
    /// The chosen option's id.
    pub shipping_option: &'a str,
    /// Hide prices from the recipient.
    pub is_gift: bool,
    /// A text for the packing slip.
    pub gift_message: Option<&'a str>,
}

/// The retailer's final figures of one shipment, just before the button is pressed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Review {
    /// What the retailer knows the whole checkout by: the same for all its shipments.
    pub checkout_id: String,
    /// The goods.
    pub subtotal: Cents,
    /// Getting them there.
    pub shipping: Cents,
    /// What the state takes.
    pub tax: Cents,
    /// What is paid in the end.
    pub total: Cents,
    /// How much of it a gift balance pays.
    pub gift_certificate: Option<Cents>,
    /// Price per product id, for all its pieces.
    pub product_subtotals: Vec<(String, Cents)>,
    /// ISO 4217.
    pub currency: String,
    /// When it should arrive, per product id, `YYYY-MM-DD`.
    pub delivery_dates: Vec<(String, String)>,
    /// Codes the shop did not take. Its figures are those without them; whether to go on is the caller's decision.
    #[serde(default)]
    pub rejected_promo_codes: Vec<String>,
}

/// An order in a retailer account's history.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PastOrder {
    /// The retailer's own id.
    pub merchant_order_id: String,
    /// When the retailer took it.
    #[serde(with = "crate::clock::millis")]
    pub placed_at: Timestamp,
    /// Product ids and how many of each.
    pub products: Vec<(String, u32)>,
    /// What was paid.
    pub total: Cents,
    /// Postal code it goes to: tells two equal orders to different people apart.
    pub zip_code: String,
    /// Where the parcel can be followed, if the retailer says so.
    pub tracking_url: Option<String>,
}

/// What the retailer says about the account itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountStatus {
    /// Has Prime.
    pub prime: bool,
    /// Has Fresh.
    pub fresh: bool,
    /// Is a business account.
    pub business: bool,
    /// The charity it supports.
    pub charity: Option<String>,
}

/// Where an order of a retailer stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OrderProgress {
    /// It was placed and has not left yet.
    Open,
    /// The retailer tries to cancel it, and may fail.
    CancelRequested,
    /// It will never come.
    Cancelled,
    /// It has left.
    Shipped,
    /// It is there.
    Delivered,
}

/// What a retailer says of an order after the sale.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderState {
    /// Where it stands.
    pub progress: OrderProgress,
    /// What has left. Empty before that, and for retailers that do not say.
    pub parcels: Vec<Parcel>,
    /// Where the whole order can be followed.
    pub tracking_url: Option<String>,
    /// When it should arrive, `YYYY-MM-DD`.
    pub delivery_date: Option<String>,
}

/// A parcel on its way. Often it is known before its number is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parcel {
    /// What is in it.
    pub product_ids: Vec<String>,
    /// Who carries it.
    pub carrier: Option<String>,
    /// The carrier's number of it.
    pub tracking_number: Option<String>,
    /// Where it can be followed.
    pub tracking_url: Option<String>,
    /// `InTransit` or `Delivered`, as v1 spells it.
    pub delivery_status: Option<String>,
}

/// A page of an account's history.
#[derive(Debug, Clone)]
pub struct HistoryPage {
    /// The orders on it.
    pub orders: Vec<PastOrder>,
    /// What to ask for the page after it with; `None` on the last.
    pub next: Option<String>,
}

/// How a cancellation was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cancelled {
    /// It is cancelled.
    Done,
    /// The retailer tries; [`Connector::order_state`] will tell.
    Attempting,
}

/// What is to be sent back.
pub struct ReturnOrder<'a> {
    /// The order it is from.
    pub merchant_order_id: &'a str,
    /// Product ids and how many of each.
    pub items: &'a [(String, u32)],
    /// Why, in a word of the retailer's.
    pub reason_code: &'a str,
    /// How, in a word of the retailer's.
    pub method_code: &'a str,
    /// Why, in the buyer's words; some reasons need it.
    pub explanation: Option<&'a str>,
    /// Where it is sent from; where the order went, without it.
    pub return_address: Option<&'a Address>,
    /// Whether a pending return of the same items is called off for it.
    pub cancel_pending: bool,
}

/// A return that the retailer knows of already.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PendingReturn {
    /// The retailer's own id.
    pub merchant_return_id: String,
    /// As `Refund issued`.
    pub status: String,
    /// As `$6.30 refund issued on Nov 22, 2017.`
    pub description: String,
}

/// A return that was taken. It has no `Debug`: a label holds somebody's home.
#[derive(Clone, PartialEq, Eq)]
pub struct StartedReturn {
    /// The retailer's own id.
    pub merchant_return_id: String,
    /// When it must have been sent, `YYYY-MM-DDTHH:MM:SS`.
    pub return_by: String,
    /// What to stick on the parcels, each a PDF.
    pub labels: Vec<Vec<u8>>,
}

/// Where a return stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReturnProgress {
    /// As `Refund issued`.
    pub status: String,
    /// As `$6.30 refund issued on Nov 22, 2017.`
    pub description: String,
    /// Whether it has come back to the retailer.
    pub is_delivered: bool,
}

/// A step that did not succeed and changed nothing that matters.
#[derive(Debug, thiserror::Error)]
pub enum StepError {
    /// The retailer said no, in a way we understand.
    #[error("the retailer refused: {}", .0.message)]
    Refused(Refusal),
    /// No answer, or one that says nothing: the same step may work later.
    #[error("the retailer did not answer")]
    Unavailable(#[source] BoxError),
}

/// A press of the button that did not end in a receipt.
#[derive(Debug, thiserror::Error)]
pub enum SubmitError {
    /// The retailer said no: nothing was bought, unless the code's `money_moved` says that it cannot be known. Final.
    #[error("the retailer refused: {}", .0.message)]
    Refused(Refusal),
    /// The request never left, or was turned away at the door: nothing was bought.
    #[error("the purchase was not sent")]
    NotSent(#[source] BoxError),
    /// It left and no answer came: it may have been bought.
    #[error("the purchase got no answer")]
    Unconfirmed(#[source] BoxError),
}

/// One way of buying. The methods stand in the order of a purchase and of what comes after it; none has a default, so
/// that a site says itself what it cannot do.
pub trait Connector: Send + Sync {
    /// A signed-in visit. Holds the site's cookies; is never stored in clear.
    type Session: Send + Sync;

    /// The public page of a product, as `retailer` shows it to everybody.
    ///
    /// Refuses with `product_unavailable`, `expired_product_id`, ….
    fn product(
        &self,
        retailer: RetailerCode,
        product_id: &str,
    ) -> impl Future<Output = Result<ProductPage, StepError>> + Send;

    /// All offers of a product, as `retailer` shows them to everybody, unsorted. Refuses like [`Connector::product`].
    fn public_offers(
        &self,
        retailer: RetailerCode,
        product_id: &str,
    ) -> impl Future<Output = Result<Vec<Offer>, StepError>> + Send;

    /// Signs in to the market `retailer` with the password, as far as that goes without a code.
    ///
    /// Refuses with `invalid_login_credentials`, `account_login_failed`, `account_locked`.
    fn sign_in(
        &self,
        login: &Login,
        retailer: RetailerCode,
    ) -> impl Future<Output = Result<SignIn<Self::Session>, StepError>> + Send;

    /// Answers a [`Question`] with `code`, once. A wrong code is no refusal: the retailer asks again.
    ///
    /// Refuses like [`Connector::sign_in`].
    fn answer(
        &self,
        visit: &SecretString,
        code: &SecretString,
    ) -> impl Future<Output = Result<SignIn<Self::Session>, StepError>> + Send;

    /// What the site says about the account.
    fn account_status(
        &self,
        session: &Self::Session,
    ) -> impl Future<Output = Result<AccountStatus, StepError>> + Send;

    /// All offers of a product, unsorted. Refuses with `product_unavailable`, `expired_product_id`, ….
    fn offers(
        &self,
        session: &Self::Session,
        product_id: &str,
    ) -> impl Future<Output = Result<Vec<Offer>, StepError>> + Send;

    /// Empties the cart, then puts exactly `lines` in.
    fn fill_cart(
        &self,
        session: &Self::Session,
        lines: &[CartLine],
    ) -> impl Future<Output = Result<(), StepError>> + Send;

    /// How `lines`, which are in the cart, can be shipped to `address`. Refuses with `shipping_address_refused`, ….
    fn shipping_options(
        &self,
        session: &Self::Session,
        lines: &[CartLine],
        address: &Address,
    ) -> impl Future<Output = Result<Vec<ShippingOption>, StepError>> + Send;

    /// The final figures: one review for each shipment, in the order of `checkout`. Buys nothing.
    fn review(
        &self,
        session: &Self::Session,
        checkout: &Checkout<'_>,
    ) -> impl Future<Output = Result<Vec<Review>, StepError>> + Send;

    /// Presses "buy" once, and never again: everything that was reviewed under `checkout_id`. Gives up after
    /// `patience`. Answers with every order that the retailer made of it, which is at least one.
    fn submit(
        &self,
        session: &Self::Session,
        checkout_id: &str,
        patience: Duration,
    ) -> impl Future<Output = Result<Vec<PastOrder>, SubmitError>> + Send;

    /// A page of the account's orders since `since`, newest first: the first one, or the one after the page whose
    /// [`next`](HistoryPage::next) is `from`. Whatever happens meanwhile, no order that was there is on none of the pages;
    /// one that is on two pages counts once.
    fn history(
        &self,
        session: &Self::Session,
        since: Timestamp,
        from: Option<&str>,
    ) -> impl Future<Output = Result<HistoryPage, StepError>> + Send;

    /// Where an order of the account stands. Refuses with `invalid_request` if the account has no such order.
    fn order_state(
        &self,
        session: &Self::Session,
        merchant_order_id: &str,
    ) -> impl Future<Output = Result<OrderState, StepError>> + Send;

    /// Cancels an order, or has the retailer try. May be called again: what is cancelled stays so.
    ///
    /// Refuses with `order_not_cancellable` once it has shipped or when the retailer does not want to, and with
    /// `invalid_request` if the account has no such order.
    fn cancel(
        &self,
        session: &Self::Session,
        merchant_order_id: &str,
    ) -> impl Future<Output = Result<Cancelled, StepError>> + Send;

    /// The newest return of any of these products that was not called off; one that has ended with a refund, too.
    /// Refuses with `invalid_request` if the account has no such order.
    fn pending_return(
        &self,
        session: &Self::Session,
        merchant_order_id: &str,
        product_ids: &[String],
    ) -> impl Future<Output = Result<Option<PendingReturn>, StepError>> + Send;

    /// Starts a return. Called again after an answer that was lost, it finds the first one pending.
    ///
    /// Refuses with
    /// - `return_in_progress` when one is pending that is not to be, or cannot be, called off; its data are
    ///   `{status: {status, description}, error}`. This is looked for before anything but the items is;
    /// - `invalid_request` for a method or a reason that the retailer does not know (its data name those that it does),
    ///   for an explanation that is missing, and for items or an order that the account has not bought;
    /// - `return_not_allowed` when it is not delivered, too late, or nothing that can be returned.
    fn start_return(
        &self,
        session: &Self::Session,
        wanted: &ReturnOrder<'_>,
    ) -> impl Future<Output = Result<StartedReturn, StepError>> + Send;

    /// A return that was started, once more as [`Connector::start_return`] answered it. Refuses with `invalid_request` if
    /// the account has no such return.
    fn started_return(
        &self,
        session: &Self::Session,
        merchant_return_id: &str,
    ) -> impl Future<Output = Result<StartedReturn, StepError>> + Send;

    /// Where a return stands. Refuses with `invalid_request` if the account has no such return.
    fn return_state(
        &self,
        session: &Self::Session,
        merchant_return_id: &str,
    ) -> impl Future<Output = Result<ReturnProgress, StepError>> + Send;

    /// How long after the press an order that will be taken may still be missing from the history.
    fn history_lag(&self) -> Duration;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_spellings_of_a_retailer_are_read() {
        for retailer in RetailerCode::ALL {
            assert_eq!(retailer.as_str().parse(), Ok(retailer));
            assert_eq!(retailer.as_str().replace('_', "-").parse(), Ok(retailer));
        }
        assert!("target".parse::<RetailerCode>().is_err());
    }

    #[test]
    fn test_keys_buy_at_the_sandbox_whatever_they_name() {
        for retailer in RetailerCode::ALL {
            assert_eq!(Site::of(retailer, Mode::Test), Some(Site::Sandbox));
            assert_eq!(Site::of(retailer, Mode::Live), None);
        }
    }
}
