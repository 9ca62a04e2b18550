//! Product ids that always fail: `SANDBOX-` and an error code in capitals, such as `SANDBOX-PRODUCT-UNAVAILABLE`.
//!
//! Each fails at the step at which a real shop would. A sign-in knows no product, so what is wrong with an account
//! shows when the product goes into the cart. What can only fail after the sale can be bought.

use spelter::error::Code;

use super::behaviour::Step;

/// Which code is raised where. A submit that fails before the commit has bought nothing. After the commit it has, and
/// the shop does not say so: these are the codes that leave open whether money moved.
const STEPS: [(Code, Step); 46] = [
    (Code::ExpiredProductId, Step::Offers),
    (Code::InsufficientVariants, Step::Offers),
    (Code::InternalError, Step::Offers),
    (Code::InvalidVariant, Step::Offers),
    (Code::ItemNotSupported, Step::Offers),
    (Code::MismatchingRetailer, Step::Offers),
    (Code::PrimePantryNotSupported, Step::Offers),
    (Code::ProductUnavailable, Step::Offers),
    (Code::UnsupportedProductId, Step::Offers),
    (Code::AccountLocked, Step::Cart),
    (Code::AccountLockedVerificationRequired, Step::Cart),
    (Code::AccountLoginFailed, Step::Cart),
    (Code::AddOnItem, Step::Cart),
    (Code::AdditionalInformationRequired, Step::Cart),
    (Code::IncompleteAccountSetup, Step::Cart),
    (Code::InvalidLoginCredentials, Step::Cart),
    (Code::InvalidQuantity, Step::Cart),
    (Code::MaxQuantityExceeded, Step::Cart),
    (Code::CannotScheduleDelivery, Step::Shipping),
    (Code::InvalidAddress, Step::Shipping),
    (Code::InvalidShippingMethod, Step::Shipping),
    (Code::MaxDeliveryDaysExceeded, Step::Shipping),
    (Code::NoFreeShipping, Step::Shipping),
    (Code::NoGiftShipping, Step::Shipping),
    (Code::NoTwoDayShipping, Step::Shipping),
    (Code::ShippingAddressRefused, Step::Shipping),
    (Code::ShippingAddressUnavailable, Step::Shipping),
    (Code::ShippingMethodUnavailable, Step::Shipping),
    (Code::InvalidGiftOptions, Step::Review),
    (Code::InvalidPromoCode, Step::Review),
    (Code::MaxPriceExceeded, Step::Review),
    (Code::BillingAddressRefused, Step::SubmitBeforeCommit),
    (Code::BrandNotAccepted, Step::SubmitBeforeCommit),
    (Code::CreditCardDeclined, Step::SubmitBeforeCommit),
    (Code::DuplicateOrder, Step::SubmitBeforeCommit),
    (Code::InsufficientZmaBalance, Step::SubmitBeforeCommit),
    (Code::InvalidCardNumber, Step::SubmitBeforeCommit),
    (Code::InvalidExpirationDate, Step::SubmitBeforeCommit),
    (Code::InvalidPaymentMethod, Step::SubmitBeforeCommit),
    (Code::InvalidSecurityCode, Step::SubmitBeforeCommit),
    (Code::PaymentInfoProblem, Step::SubmitBeforeCommit),
    (Code::ManualReviewRequired, Step::SubmitAfterCommit),
    (Code::OrderProbablyPlaced, Step::SubmitAfterCommit),
    (Code::AttemptingToCancel, Step::Cancel),
    (Code::OrderNotCancellable, Step::Cancel),
    (Code::ReturnNotAllowed, Step::Return),
];

const PREFIX: &str = "SANDBOX-";

/// The step at which a product with this magic id fails, and how; `None` for every other id.
pub fn of(product_id: &str) -> Option<(Code, Step)> {
    let name = product_id.strip_prefix(PREFIX)?;
    let spelled = |code: Code| code.as_str().to_ascii_uppercase().replace('_', "-") == name;
    STEPS.into_iter().find(|(code, _)| spelled(*code))
}

/// Whether an order of these cannot be cancelled at once. That is no failure: the shop says that it tries.
pub fn takes_time_to_cancel<'a>(mut product_ids: impl Iterator<Item = &'a str>) -> bool {
    product_ids
        .any(|product_id| of(product_id).is_some_and(|(code, _)| code == Code::AttemptingToCancel))
}

/// The first of `product_ids` that fails at `step`, and how.
pub fn at<'a>(step: Step, product_ids: &[&'a str]) -> Option<(&'a str, Code)> {
    product_ids.iter().find_map(|product_id| match of(product_id) {
        Some((Code::AttemptingToCancel, _)) => None,
        Some((code, failing)) if failing == step => Some((*product_id, code)),
        Some(_) | None => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Codes that only the API itself raises, of a request that is refused at once, or that no product is to blame for.
    const NOT_OF_A_SHOP: [Code; 13] = [
        Code::AbortedRequest,
        Code::InsufficientAddaxBalance,
        Code::InvalidClientToken,
        Code::InvalidDeliveryId,
        Code::InvalidEndpointId,
        Code::InvalidJson,
        Code::InvalidRequest,
        Code::InvalidRequestId,
        Code::RequestProcessing,
        Code::ReturnInProgress,
        Code::UnauthorizedAccess,
        Code::UnknownRetailer,
        Code::ZmaTemporarilyOverloaded,
    ];

    #[test]
    fn every_code_that_a_product_can_raise_has_one_magic_id() {
        for code in Code::ALL {
            let magic_id = format!("SANDBOX-{}", code.as_str().to_uppercase().replace('_', "-"));
            let found = of(&magic_id).map(|(found, _)| found);
            let expected = (!NOT_OF_A_SHOP.contains(&code)).then_some(code);
            assert_eq!(found, expected, "{magic_id}");
        }
        assert_eq!(STEPS.len() + NOT_OF_A_SHOP.len(), Code::ALL.len());
    }

    #[test]
    fn a_magic_id_fails_at_its_step_only() {
        let cart = ["B0016NHH56", "SANDBOX-CREDIT-CARD-DECLINED"];
        for step in Step::ALL {
            let expected =
                (step == Step::SubmitBeforeCommit).then_some((cart[1], Code::CreditCardDeclined));
            assert_eq!(at(step, &cart), expected);
        }
    }

    #[test]
    fn what_says_that_money_moved_has_been_committed() {
        use spelter::error::MoneyMoved;
        for (code, step) in STEPS {
            let open = code.row().money_moved != MoneyMoved::No;
            let committed = [Step::SubmitAfterCommit, Step::Cancel, Step::Return].contains(&step);
            assert_eq!(open, committed, "{code:?}");
        }
    }

    #[test]
    fn other_ids_are_not_magic() {
        for id in [
            "SANDBOX-",
            "SANDBOX-NONSENSE",
            "SANDBOX-INVALID-JSON",
            "sandbox-add-on-item",
            "ADD-ON-ITEM",
        ] {
            assert_eq!(of(id), None, "{id}");
        }
    }
}
