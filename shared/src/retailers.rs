//! The way of buying: one [`Connector`] per kind of shop, and which shop a retailer code leads to.
//!
//! A connector speaks one site's language and nothing else: it decides nothing about orders, and it never repeats a
//! purchase by itself.

pub mod sandbox;

use std::{fmt, future::Future, str::FromStr, time::Duration};

use jiff::Timestamp;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};

use crate::{
    accounts::credentials::Login,
    error::{BoxError, Refusal},
    fields::Unfit,
    money::Cents,
    orders::{
        purchase::{Address, Payment},
        selection::Offer,
        shipping::ShippingOption,
    },
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
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

/// What only the shop may see of a card. It has no `Debug` and is never stored.
pub struct Card {
    /// Its number.
    pub number: SecretString,
    /// The code on its back.
    pub security_code: SecretString,
}

/// All a shop asks at checkout beyond the cart.
pub struct Checkout<'a> {
    /// Where it goes.
    pub shipping_address: &'a Address,
    /// Who pays, as the card's bank knows them.
    pub billing_address: Option<&'a Address>,
    /// The chosen option's id.
    pub shipping_option: &'a str,
    /// How it is paid.
    pub payment: &'a Payment,
    /// The card's secrets, when it is paid by card.
    pub card: Option<&'a Card>,
    /// Hide prices from the recipient.
    pub is_gift: bool,
    /// A text for the packing slip.
    pub gift_message: Option<&'a str>,
    /// Codes to try, in this order.
    pub promo_codes: &'a [String],
}

/// The retailer's final figures, just before the button is pressed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Review {
    /// What the retailer knows this checkout by.
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

/// One way of buying. The methods stand in the order of a purchase; none has a default, so that a site says itself
/// what it cannot do.
pub trait Connector: Send + Sync {
    /// A signed-in visit. Holds the site's cookies; is never stored in clear.
    type Session: Send + Sync;

    /// Signs in with password and, where asked, a TOTP code for the time `now`.
    ///
    /// Refuses with `invalid_login_credentials`, `account_login_failed`, `account_locked`,
    /// `account_locked_verification_required`.
    fn sign_in(
        &self,
        login: &Login,
        now: Timestamp,
    ) -> impl Future<Output = Result<Self::Session, StepError>> + Send;

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

    /// How the cart can be shipped to `address`. Refuses with `shipping_address_refused`, ….
    fn shipping_options(
        &self,
        session: &Self::Session,
        address: &Address,
    ) -> impl Future<Output = Result<Vec<ShippingOption>, StepError>> + Send;

    /// The final figures. Buys nothing.
    fn review(
        &self,
        session: &Self::Session,
        checkout: &Checkout<'_>,
    ) -> impl Future<Output = Result<Review, StepError>> + Send;

    /// Presses "buy" once, and never again. Gives up after `patience`.
    fn submit(
        &self,
        session: &Self::Session,
        review: &Review,
        patience: Duration,
    ) -> impl Future<Output = Result<PastOrder, SubmitError>> + Send;

    /// The account's orders since `since`, newest first.
    fn history(
        &self,
        session: &Self::Session,
        since: Timestamp,
    ) -> impl Future<Output = Result<Vec<PastOrder>, StepError>> + Send;

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
