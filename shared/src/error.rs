//! Every error code of the API, one row each, and the one type that every handler fails with.
//!
//! The codes are those of the v1 document and those that real answers add to it. Codes are only ever added.

use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::fields::FieldError;

/// An error whose text is for our logs only.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Whether money left the account when an error says this.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum MoneyMoved {
    /// It did.
    Yes,
    /// It did not.
    No,
    /// That cannot be known from here; look at the retailer.
    Unknown,
}

/// What the contract says of one code.
#[derive(Debug, Clone, Copy)]
pub struct Row {
    /// The code as it stands in answers.
    pub code: &'static str,
    /// Status of an answer that refuses a request with this code. An accepted request's result is always 200.
    pub status: StatusCode,
    /// Whether the same request may succeed later.
    pub retryable: bool,
    /// Whether money moved.
    pub money_moved: MoneyMoved,
    /// What it means, for the developer who reads it.
    pub meaning: &'static str,
}

/// An error code of the v1 API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "each code's meaning stands in `row`")]
pub enum Code {
    AccountLocked,
    AccountLockedVerificationRequired,
    AccountLoginFailed,
    AddOnItem,
    AdditionalInformationRequired,
    BillingAddressRefused,
    BrandNotAccepted,
    CreditCardDeclined,
    DuplicateOrder,
    ExpiredProductId,
    IncompleteAccountSetup,
    InsufficientAddaxBalance,
    InsufficientVariants,
    InternalError,
    InvalidCardNumber,
    InvalidClientToken,
    InvalidExpirationDate,
    InvalidGiftOptions,
    InvalidJson,
    InvalidLoginCredentials,
    InvalidPaymentMethod,
    InvalidPromoCode,
    InvalidQuantity,
    InvalidRequest,
    InvalidRequestId,
    InvalidSecurityCode,
    InvalidShippingMethod,
    InvalidVariant,
    ManualReviewRequired,
    MaxPriceExceeded,
    MaxQuantityExceeded,
    NoFreeShipping,
    NoGiftShipping,
    NoTwoDayShipping,
    OrderProbablyPlaced,
    PaymentInfoProblem,
    PrimePantryNotSupported,
    ProductUnavailable,
    RequestProcessing,
    ShippingAddressRefused,
    ShippingAddressUnavailable,
    ShippingMethodUnavailable,
    UnauthorizedAccess,
    AbortedRequest,
    AttemptingToCancel,
    ReturnInProgress,
    OrderNotCancellable,
    ReturnNotAllowed,
    InvalidDeliveryId,
    InvalidEndpointId,
    CannotScheduleDelivery,
    InsufficientZmaBalance,
    InvalidAddress,
    ItemNotSupported,
    MaxDeliveryDaysExceeded,
    MismatchingRetailer,
    UnknownRetailer,
    UnsupportedProductId,
    ZmaTemporarilyOverloaded,
}

impl Code {
    /// Every code, in the order of the document.
    pub const ALL: [Self; 59] = [
        Self::AccountLocked,
        Self::AccountLockedVerificationRequired,
        Self::AccountLoginFailed,
        Self::AddOnItem,
        Self::AdditionalInformationRequired,
        Self::BillingAddressRefused,
        Self::BrandNotAccepted,
        Self::CreditCardDeclined,
        Self::DuplicateOrder,
        Self::ExpiredProductId,
        Self::IncompleteAccountSetup,
        Self::InsufficientAddaxBalance,
        Self::InsufficientVariants,
        Self::InternalError,
        Self::InvalidCardNumber,
        Self::InvalidClientToken,
        Self::InvalidExpirationDate,
        Self::InvalidGiftOptions,
        Self::InvalidJson,
        Self::InvalidLoginCredentials,
        Self::InvalidPaymentMethod,
        Self::InvalidPromoCode,
        Self::InvalidQuantity,
        Self::InvalidRequest,
        Self::InvalidRequestId,
        Self::InvalidSecurityCode,
        Self::InvalidShippingMethod,
        Self::InvalidVariant,
        Self::ManualReviewRequired,
        Self::MaxPriceExceeded,
        Self::MaxQuantityExceeded,
        Self::NoFreeShipping,
        Self::NoGiftShipping,
        Self::NoTwoDayShipping,
        Self::OrderProbablyPlaced,
        Self::PaymentInfoProblem,
        Self::PrimePantryNotSupported,
        Self::ProductUnavailable,
        Self::RequestProcessing,
        Self::ShippingAddressRefused,
        Self::ShippingAddressUnavailable,
        Self::ShippingMethodUnavailable,
        Self::UnauthorizedAccess,
        Self::AbortedRequest,
        Self::AttemptingToCancel,
        Self::ReturnInProgress,
        Self::OrderNotCancellable,
        Self::ReturnNotAllowed,
        Self::InvalidDeliveryId,
        Self::InvalidEndpointId,
        Self::CannotScheduleDelivery,
        Self::InsufficientZmaBalance,
        Self::InvalidAddress,
        Self::ItemNotSupported,
        Self::MaxDeliveryDaysExceeded,
        Self::MismatchingRetailer,
        Self::UnknownRetailer,
        Self::UnsupportedProductId,
        Self::ZmaTemporarilyOverloaded,
    ];

    /// The code as it stands in answers.
    pub const fn as_str(self) -> &'static str {
        self.row().code
    }

    /// The contract.
    #[expect(clippy::too_many_lines, reason = "one table, one row for each code")]
    pub const fn row(self) -> Row {
        use MoneyMoved::{No, Unknown, Yes};
        match self {
            Self::AccountLocked => row(
                "account_locked",
                StatusCode::OK,
                true,
                No,
                "The retailer asked for additional information to verify your account.",
            ),
            Self::AccountLockedVerificationRequired => row(
                "account_locked_verification_required",
                StatusCode::OK,
                true,
                No,
                "The retailer emailed you a code which you must supply to continue ordering.",
            ),
            Self::AccountLoginFailed => row(
                "account_login_failed",
                StatusCode::OK,
                false,
                No,
                "We were unable to log in to the retailer with the username and password you provided.",
            ),
            Self::AddOnItem => row(
                "add_on_item",
                StatusCode::OK,
                false,
                No,
                "Add-on items cannot be ordered individually.",
            ),
            Self::AdditionalInformationRequired => row(
                "additional_information_required",
                StatusCode::OK,
                false,
                No,
                "The retailer asked for additional account verification questions. Please add a 'phone_number' to the billing address that matches your billing telephone number.",
            ),
            Self::BillingAddressRefused => row(
                "billing_address_refused",
                StatusCode::OK,
                false,
                No,
                "The billing address you provided was refused by the retailer.",
            ),
            Self::BrandNotAccepted => row(
                "brand_not_accepted",
                StatusCode::OK,
                false,
                No,
                "Your credit card brand is not accepted with this merchant.",
            ),
            Self::CreditCardDeclined => row(
                "credit_card_declined",
                StatusCode::OK,
                false,
                No,
                "The credit card you entered was declined.",
            ),
            Self::DuplicateOrder => {
                row("duplicate_order", StatusCode::OK, false, No, "This order is a duplicate.")
            }
            Self::ExpiredProductId => row(
                "expired_product_id",
                StatusCode::OK,
                false,
                No,
                "The product_id you used is no longer supported by the retailer.",
            ),
            Self::IncompleteAccountSetup => row(
                "incomplete_account_setup",
                StatusCode::OK,
                false,
                No,
                "You attempted to place an order with an account that has not been fully set up.",
            ),
            Self::InsufficientAddaxBalance => row(
                "insufficient_addax_balance",
                StatusCode::OK,
                false,
                No,
                "Insufficient funds in your Managed Account Balance to complete the order. Add more funds through your payment channel.",
            ),
            Self::InsufficientVariants => row(
                "insufficient_variants",
                StatusCode::OK,
                false,
                No,
                "You did not select all required variants for a product.",
            ),
            Self::InternalError => row(
                "internal_error",
                StatusCode::OK,
                true,
                No,
                "Spelter or the retailer you requested is experiencing outages. Please try again.",
            ),
            Self::InvalidCardNumber => row(
                "invalid_card_number",
                StatusCode::OK,
                false,
                No,
                "The credit card number you entered is not valid.",
            ),
            Self::InvalidClientToken => row(
                "invalid_client_token",
                StatusCode::UNAUTHORIZED,
                false,
                No,
                "Your client token is invalid.",
            ),
            Self::InvalidExpirationDate => row(
                "invalid_expiration_date",
                StatusCode::OK,
                false,
                No,
                "The expiration date on your credit card is not valid.",
            ),
            Self::InvalidGiftOptions => row(
                "invalid_gift_options",
                StatusCode::OK,
                false,
                No,
                "The gift options you provided were rejected by the retailer.",
            ),
            Self::InvalidJson => row(
                "invalid_json",
                StatusCode::BAD_REQUEST,
                false,
                No,
                "The JSON in your request could not be parsed.",
            ),
            Self::InvalidLoginCredentials => row(
                "invalid_login_credentials",
                StatusCode::OK,
                false,
                No,
                "The email and password you entered were incorrect.",
            ),
            Self::InvalidPaymentMethod => row(
                "invalid_payment_method",
                StatusCode::OK,
                false,
                No,
                "The payment method provided is not available on the retailer.",
            ),
            Self::InvalidPromoCode => row(
                "invalid_promo_code",
                StatusCode::OK,
                false,
                No,
                "One of the promotion codes you entered was not valid.",
            ),
            Self::InvalidQuantity => row(
                "invalid_quantity",
                StatusCode::OK,
                false,
                No,
                "The quantity for one of the products does not match the one available on the retailer.",
            ),
            Self::InvalidRequest => row(
                "invalid_request",
                StatusCode::BAD_REQUEST,
                false,
                No,
                "Validation failed on the request.",
            ),
            Self::InvalidRequestId => row(
                "invalid_request_id",
                StatusCode::NOT_FOUND,
                false,
                No,
                "The provided request_id is invalid.",
            ),
            Self::InvalidSecurityCode => row(
                "invalid_security_code",
                StatusCode::OK,
                false,
                No,
                "The security code you entered was declined.",
            ),
            Self::InvalidShippingMethod => row(
                "invalid_shipping_method",
                StatusCode::OK,
                false,
                No,
                "The shipping method you selected was not valid.",
            ),
            Self::InvalidVariant => row(
                "invalid_variant",
                StatusCode::OK,
                false,
                No,
                "One of the product variants you provided was not valid.",
            ),
            Self::ManualReviewRequired => row(
                "manual_review_required",
                StatusCode::OK,
                false,
                Unknown,
                "This order is under manual review – please check back later for the status of this order.",
            ),
            Self::MaxPriceExceeded => row(
                "max_price_exceeded",
                StatusCode::OK,
                false,
                No,
                "The retailers final price exceeds the maximum price.",
            ),
            Self::MaxQuantityExceeded => row(
                "max_quantity_exceeded",
                StatusCode::OK,
                false,
                No,
                "You have exceeded the maximum quantity available for a specific product.",
            ),
            Self::NoFreeShipping => row(
                "no_free_shipping",
                StatusCode::OK,
                false,
                No,
                "Free shipping is not available for the item(s) you selected.",
            ),
            Self::NoGiftShipping => row(
                "no_gift_shipping",
                StatusCode::OK,
                false,
                No,
                "No gift shipping was available on this order.",
            ),
            Self::NoTwoDayShipping => row(
                "no_two_day_shipping",
                StatusCode::OK,
                false,
                No,
                "Two day shipping (or faster) is not available for the item(s) you selected.",
            ),
            Self::OrderProbablyPlaced => row(
                "order_probably_placed",
                StatusCode::OK,
                false,
                Unknown,
                "This order was probably placed, but we were not able to retrieve the merchant order ids.",
            ),
            Self::PaymentInfoProblem => row(
                "payment_info_problem",
                StatusCode::OK,
                false,
                No,
                "There was a problem with your payment information (likely not enough gift balance).",
            ),
            Self::PrimePantryNotSupported => row(
                "prime_pantry_not_supported",
                StatusCode::OK,
                false,
                No,
                "Purchasing Prime Pantry items is not supported.",
            ),
            Self::ProductUnavailable => row(
                "product_unavailable",
                StatusCode::OK,
                false,
                No,
                "One of the products you selected is not available on the retailer. Either the seller selection criteria did not match any available offers or the product is out of stock and not available for purchase.",
            ),
            Self::RequestProcessing => row(
                "request_processing",
                StatusCode::OK,
                false,
                Unknown,
                "Request is currently processing and will complete soon.",
            ),
            Self::ShippingAddressRefused => row(
                "shipping_address_refused",
                StatusCode::OK,
                false,
                No,
                "The shipping address you provided was refused by the retailer.",
            ),
            Self::ShippingAddressUnavailable => row(
                "shipping_address_unavailable",
                StatusCode::OK,
                false,
                No,
                "The item(s) cannot be shipped to the selected shipping address.",
            ),
            Self::ShippingMethodUnavailable => row(
                "shipping_method_unavailable",
                StatusCode::OK,
                false,
                No,
                "The selected shipping_method is not available for the selected shipping_address.",
            ),
            Self::UnauthorizedAccess => row(
                "unauthorized_access",
                StatusCode::FORBIDDEN,
                false,
                No,
                "You are not authorized to make this API call.",
            ),
            Self::AbortedRequest => row(
                "aborted_request",
                StatusCode::OK,
                false,
                No,
                "The request was aborted before it completed.",
            ),
            Self::AttemptingToCancel => row(
                "attempting_to_cancel",
                StatusCode::OK,
                false,
                Yes,
                "The retailer is attempting to cancel the order.",
            ),
            Self::ReturnInProgress => row(
                "return_in_progress",
                StatusCode::OK,
                false,
                Yes,
                "A return is currently in progress for the items you specified.",
            ),
            Self::OrderNotCancellable => row(
                "order_not_cancellable",
                StatusCode::OK,
                false,
                Yes,
                "The order cannot be cancelled any more. The purchase stands.",
            ),
            Self::ReturnNotAllowed => row(
                "return_not_allowed",
                StatusCode::OK,
                false,
                Yes,
                "The retailer does not take these items back. The purchase stands.",
            ),
            Self::InvalidDeliveryId => row(
                "invalid_delivery_id",
                StatusCode::NOT_FOUND,
                false,
                No,
                "The provided delivery_id is invalid.",
            ),
            Self::InvalidEndpointId => row(
                "invalid_endpoint_id",
                StatusCode::NOT_FOUND,
                false,
                No,
                "The provided endpoint_id is invalid.",
            ),
            Self::CannotScheduleDelivery => row(
                "cannot_schedule_delivery",
                StatusCode::OK,
                false,
                No,
                "The retailer could not schedule a delivery for this order.",
            ),
            Self::InsufficientZmaBalance => row(
                "insufficient_zma_balance",
                StatusCode::OK,
                false,
                No,
                "Insufficient funds in your Managed Account Balance to complete the order.",
            ),
            Self::InvalidAddress => row(
                "invalid_address",
                StatusCode::OK,
                false,
                No,
                "The address you provided is not valid.",
            ),
            Self::ItemNotSupported => row(
                "item_not_supported",
                StatusCode::OK,
                false,
                No,
                "One of the products you selected cannot be ordered through this API.",
            ),
            Self::MaxDeliveryDaysExceeded => row(
                "max_delivery_days_exceeded",
                StatusCode::OK,
                false,
                No,
                "The retailer's delivery date exceeds the maximum number of days.",
            ),
            Self::MismatchingRetailer => row(
                "mismatching_retailer",
                StatusCode::BAD_REQUEST,
                false,
                No,
                "The product or account belongs to another retailer than the one of the request.",
            ),
            Self::UnknownRetailer => row(
                "unknown_retailer",
                StatusCode::BAD_REQUEST,
                false,
                No,
                "The retailer is not known.",
            ),
            Self::UnsupportedProductId => row(
                "unsupported_product_id",
                StatusCode::OK,
                false,
                No,
                "The product_id is not of a form the retailer uses.",
            ),
            Self::ZmaTemporarilyOverloaded => row(
                "zma_temporarily_overloaded",
                StatusCode::OK,
                true,
                No,
                "No internal account is free at the moment. Please try again.",
            ),
        }
    }
}

const fn row(
    code: &'static str,
    status: StatusCode,
    retryable: bool,
    money_moved: MoneyMoved,
    meaning: &'static str,
) -> Row {
    Row { code, status, retryable, money_moved, meaning }
}

/// A refusal with a documented code: what a caller is told and may act on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Refusal {
    /// What it is.
    pub code: Code,
    /// What it is, in words, for the developer.
    pub message: String,
    /// Details of this very case, an object.
    pub data: Value,
}

impl Refusal {
    /// A refusal in the words of the table.
    pub fn new(code: Code) -> Self {
        Self { code, message: code.row().meaning.to_owned(), data: json!({}) }
    }

    /// The same with other words.
    #[must_use]
    pub fn saying(self, message: impl Into<String>) -> Self {
        Self { message: message.into(), ..self }
    }

    /// The same with details.
    #[must_use]
    pub fn with(self, data: Value) -> Self {
        Self { data, ..self }
    }

    /// The same with more details, an object, beside those it has.
    #[must_use]
    pub fn with_more(mut self, more: Value) -> Self {
        if let (Value::Object(data), Value::Object(more)) = (&mut self.data, more) {
            data.extend(more);
        }
        self
    }
}

/// Why a request is not done. `Display` is public and never repeats its source: the chain is for our logs only.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// No client key, or a wrong one.
    #[error("Your client token is invalid.")]
    Unauthorized,
    /// The body is not JSON.
    #[error("The JSON in your request could not be parsed: {0}")]
    NotJson(String),
    /// Fields are missing, of the wrong type or not allowed.
    #[error("Validation failed on the request.")]
    Invalid(Vec<FieldError>),
    /// Refused with a documented code.
    #[error("{}", .0.message)]
    Refused(Refusal),
    /// No such thing, or not the caller's: both read the same.
    #[error("There is no such {0}.")]
    NotFound(&'static str),
    /// Someone else changed it in between.
    #[error("{0}")]
    Conflict(&'static str),
    /// The body is larger than we take.
    #[error("the body must not be larger than {0} bytes")]
    TooLarge(usize),
    /// Something we depend on is down.
    #[error(
        "Temporarily unavailable. Repeat a POST only with an idempotency_key: it may have been done."
    )]
    Unavailable(#[source] BoxError),
    /// A bug of ours.
    #[error("internal error")]
    Internal(#[source] BoxError),
}

/// How an [`ApiError`] is answered, in both generations of the API.
#[derive(Debug, Clone, Copy)]
pub struct Answer {
    /// The code of the v1 API.
    pub v1: Code,
    /// Status on `/v1` paths.
    pub v1_status: StatusCode,
    /// The code of the current API.
    pub modern: &'static str,
    /// Status on the other paths.
    pub modern_status: StatusCode,
}

impl ApiError {
    /// The one place that gives an error its codes and statuses.
    pub fn answer(&self) -> Answer {
        use StatusCode as S;
        let both =
            |v1, status, modern| Answer { v1, v1_status: status, modern, modern_status: status };
        match self {
            Self::Unauthorized => both(Code::InvalidClientToken, S::UNAUTHORIZED, "unauthorized"),
            Self::NotJson(_) => Answer {
                modern_status: S::UNPROCESSABLE_ENTITY,
                ..both(Code::InvalidJson, S::BAD_REQUEST, "validation_error")
            },
            Self::Invalid(_) => Answer {
                modern_status: S::UNPROCESSABLE_ENTITY,
                ..both(Code::InvalidRequest, S::BAD_REQUEST, "validation_error")
            },
            Self::Refused(refusal) => both(refusal.code, refusal.code.row().status, "bad_request"),
            Self::NotFound(_) => both(Code::InvalidRequestId, S::NOT_FOUND, "not_found"),
            Self::Conflict(_) => both(Code::InvalidRequest, S::CONFLICT, "bad_request"),
            Self::TooLarge(_) => both(Code::InvalidRequest, S::PAYLOAD_TOO_LARGE, "bad_request"),
            Self::Unavailable(_) => {
                both(Code::InternalError, S::SERVICE_UNAVAILABLE, "service_unavailable")
            }
            Self::Internal(_) => {
                both(Code::InternalError, S::INTERNAL_SERVER_ERROR, "internal_error")
            }
        }
    }

    /// Whether this is ours to look into.
    pub fn is_fault(&self) -> bool {
        matches!(self, Self::Unavailable(_) | Self::Internal(_))
    }
}

/// An error and all its causes in one line, for logs.
pub fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(source) = cause {
        text.push_str(": ");
        text.push_str(&source.to_string());
        cause = source.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_serializes_as_its_row_says() {
        for code in Code::ALL {
            assert_eq!(json!(code), json!(code.as_str()));
        }
    }

    #[test]
    fn nothing_that_may_have_cost_money_is_to_be_tried_again() {
        let dangerous =
            |code: &Code| code.row().retryable && code.row().money_moved != MoneyMoved::No;
        assert_eq!(Code::ALL.into_iter().find(dangerous), None);
    }

    #[test]
    fn no_text_is_empty_and_no_code_is_there_twice() {
        let mut codes: Vec<_> = Code::ALL.iter().map(|code| code.as_str()).collect();
        assert!(Code::ALL.iter().all(|code| code.row().meaning.len() > 10));
        codes.sort_unstable();
        codes.dedup();
        assert_eq!(codes.len(), Code::ALL.len());
    }
}
