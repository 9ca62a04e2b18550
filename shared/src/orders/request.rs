//! The body of `POST /v1/orders`: what is to be bought, and the secrets and wishes around it.

use std::str::FromStr;

use deserr::{Deserr, ValuePointerRef};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;

use super::purchase::{Purchase, not_zero};
use crate::{
    accounts::credentials::{Secrets, bounded},
    email::{Email, InvalidEmail},
    fields::{self, Faults, FieldError, Unfit},
    id::AccountId,
    retailers::Card,
    totp::TotpSecret,
    webhooks::{Subscription, Webhooks, address::Reach},
};

const MAX_IDEMPOTENCY_KEY_CHARS: usize = 256;

/// A valid order request.
pub struct OrderRequest {
    /// What is to be bought.
    pub purchase: Purchase,
    /// The account's e-mail, if its login came with the order.
    pub inline_email: Option<Email>,
    /// The managed account the client named.
    pub account_id: Option<AccountId>,
    /// The account's secrets, if its login came with the order.
    pub secrets: Secrets,
    /// The card that pays, if it is one of the order's own.
    pub card: Option<Card>,
    /// Who is told what became of it.
    pub webhooks: Vec<Subscription>,
    /// What makes a repetition of this request the same request.
    pub idempotency_key: Option<String>,
    /// Whether it is to be paid from a prepaid balance.
    pub addax: bool,
    /// Whether it may wait to be bought together with others.
    pub bundled: bool,
}

/// Reads a body, or says everything that is wrong with it.
pub fn parse(body: &Value, reach: Reach) -> Result<OrderRequest, Vec<FieldError>> {
    let body = fields::without_blanks(body.clone());
    if !body.is_object() {
        return Err(vec![FieldError::of_body("the body must be a JSON object")]);
    }
    let purchase = fields::read::<Purchase>(body.clone());
    let envelope = fields::read::<Envelope>(body);
    match (purchase, envelope) {
        (Ok(purchase), Ok(envelope)) => join(purchase, envelope, reach),
        (purchase, envelope) => {
            let mut faults = purchase.err().unwrap_or_default();
            // Both read the payment method; what both find wrong is said once.
            for fault in envelope.err().unwrap_or_default() {
                if !faults.iter().any(|other| other.path == fault.path) {
                    faults.push(fault);
                }
            }
            Err(faults)
        }
    }
}

fn join(
    purchase: Purchase,
    envelope: Envelope,
    reach: Reach,
) -> Result<OrderRequest, Vec<FieldError>> {
    let mut faults = contradictions(&purchase, &envelope);
    let subscriptions = match envelope.webhooks.subscriptions(reach) {
        Ok(subscriptions) if faults.is_empty() => subscriptions,
        Ok(_) => return Err(faults),
        Err(more) => {
            faults.extend(more);
            return Err(faults);
        }
    };
    let (inline_email, secrets) = match envelope.retailer_credentials {
        None => (None, Secrets::default()),
        Some(inline) => {
            let InlineCredentials { email, password, totp_2fa_key: totp, verification_code } =
                inline;
            (Some(email), Secrets { password: Some(password), totp, verification_code, card: None })
        }
    };
    Ok(OrderRequest {
        purchase,
        inline_email,
        account_id: envelope.retailer_credentials_id,
        secrets,
        card: envelope.payment_method.and_then(CardSecrets::card),
        webhooks: subscriptions,
        idempotency_key: envelope.idempotency_key,
        addax: envelope.addax,
        bundled: envelope.bundled,
    })
}

/// What cannot be asked for together.
fn contradictions(purchase: &Purchase, envelope: &Envelope) -> Vec<FieldError> {
    let mut faults = Vec::new();
    let mut fault = |field: &str, kind, text: &str| faults.push(FieldError::at(field, kind, text));
    let has_card = envelope.payment_method.as_ref().is_some_and(|card| card.number.is_some());
    if envelope.retailer_credentials.is_some() && envelope.retailer_credentials_id.is_some() {
        let text = "must not be given together with retailer_credentials";
        fault("retailer_credentials_id", "value_error", text);
    }
    if envelope.bundled && !purchase.retailer.offers_bundling() {
        let text = "is not available at this retailer; leave it out to order at once";
        fault("bundled", "value_error", text);
    }
    if !envelope.addax {
        if has_card && purchase.billing_address.is_none() {
            fault("billing_address", "missing", "is required with a card");
        }
        return faults;
    }
    if !purchase.retailer.offers_addax() {
        fault("addax", "value_error", "is not available at this retailer");
    }
    if purchase.max_price.is_none() {
        fault("max_price", "missing", "is required with addax: so much is held of the balance");
    }
    let not_with_addax = [
        ("retailer_credentials", envelope.retailer_credentials.is_some()),
        ("retailer_credentials_id", envelope.retailer_credentials_id.is_some()),
        ("payment_method", has_card || purchase.payment_method.use_gift),
        ("billing_address", purchase.billing_address.is_some()),
    ];
    for (field, _) in not_with_addax.into_iter().filter(|(_, is_given)| *is_given) {
        fault(field, "value_error", "must not be given with addax");
    }
    faults
}

#[derive(Deserr)]
#[deserr(error = Faults)]
struct Envelope {
    #[deserr(default)]
    retailer_credentials: Option<InlineCredentials>,
    #[deserr(default, try_from(Option<String>) = short_id -> Unfit)]
    retailer_credentials_id: Option<AccountId>,
    #[deserr(default)]
    payment_method: Option<CardSecrets>,
    #[deserr(default)]
    webhooks: Webhooks,
    #[deserr(default, try_from(Option<String>) = bounded_key -> Unfit)]
    idempotency_key: Option<String>,
    #[deserr(default)]
    addax: bool,
    #[deserr(default)]
    bundled: bool,
    #[deserr(default, try_from(Option<Value>) = object -> Unfit)]
    #[expect(dead_code, reason = "checked here, echoed as it was sent")]
    client_notes: Option<Value>,
}

#[derive(Deserr)]
#[deserr(error = Faults)]
struct InlineCredentials {
    #[deserr(try_from(&String) = Email::from_str -> InvalidEmail)]
    email: Email,
    #[deserr(try_from(String) = bounded -> Unfit)]
    password: SecretString,
    #[deserr(default, try_from(Option<String>) = totp_secret -> Unfit)]
    totp_2fa_key: Option<TotpSecret>,
    #[deserr(default, try_from(Option<String>) = optional_secret -> Unfit)]
    verification_code: Option<SecretString>,
}

/// What only the vault may hold of a payment method; [`super::purchase::Payment`] reads the rest.
#[derive(Default, Deserr)]
#[deserr(error = Faults, validate = whole_card -> Faults)]
struct CardSecrets {
    #[deserr(default, try_from(Option<String>) = card_digits -> Unfit)]
    number: Option<SecretString>,
    #[deserr(default, try_from(Option<String>) = code_digits -> Unfit)]
    security_code: Option<SecretString>,
    #[deserr(default)]
    name_on_card: Option<String>,
    #[deserr(default, map = not_zero)]
    expiration_month: Option<u32>,
    #[deserr(default, map = not_zero)]
    expiration_year: Option<u32>,
}

impl CardSecrets {
    fn card(self) -> Option<Card> {
        let (number, security_code) = self.number.zip(self.security_code)?;
        Some(Card { number, security_code })
    }
}

fn totp_secret(text: Option<String>) -> Result<Option<TotpSecret>, Unfit> {
    text.map(|text| text.parse()).transpose()
}

fn optional_secret(text: Option<String>) -> Result<Option<SecretString>, Unfit> {
    text.map(bounded).transpose()
}

fn short_id(text: Option<String>) -> Result<Option<AccountId>, Unfit> {
    let unfit = |_| Unfit("must be the short_id of a managed account".to_owned());
    text.map(|text| text.parse().map_err(unfit)).transpose()
}

/// A text that can be an idempotency key.
pub(crate) fn bounded_key(text: Option<String>) -> Result<Option<String>, Unfit> {
    match text {
        Some(text) if text.chars().count() > MAX_IDEMPOTENCY_KEY_CHARS => {
            Err(Unfit(format!("must not be longer than {MAX_IDEMPOTENCY_KEY_CHARS} characters")))
        }
        text => Ok(text),
    }
}

fn object(value: Option<Value>) -> Result<Option<Value>, Unfit> {
    match value {
        None | Some(Value::Object(_)) => Ok(value),
        Some(_) => Err(Unfit("must be an object".to_owned())),
    }
}

/// ISO/IEC 7812: 12 to 19 digits; people write them in groups.
fn card_digits(text: Option<String>) -> Result<Option<SecretString>, Unfit> {
    let Some(text) = text else { return Ok(None) };
    let digits: String = text.chars().filter(|c| !matches!(c, ' ' | '-')).collect();
    if (12..=19).contains(&digits.len()) && digits.chars().all(|c| c.is_ascii_digit()) {
        Ok(Some(digits.into()))
    } else {
        Err(Unfit("must be a card number of 12 to 19 digits".to_owned()))
    }
}

fn code_digits(text: Option<String>) -> Result<Option<SecretString>, Unfit> {
    let Some(text) = text else { return Ok(None) };
    if matches!(text.len(), 3 | 4) && text.chars().all(|c| c.is_ascii_digit()) {
        Ok(Some(text.into()))
    } else {
        Err(Unfit("must be the three or four digits on the card".to_owned()))
    }
}

/// A card is either described whole or not at all.
fn whole_card(card: CardSecrets, at: ValuePointerRef) -> Result<CardSecrets, Faults> {
    let given = [
        ("number", card.number.as_ref().is_some_and(|number| !number.expose_secret().is_empty())),
        ("security_code", card.security_code.is_some()),
        ("name_on_card", card.name_on_card.is_some()),
        ("expiration_month", card.expiration_month.is_some()),
        ("expiration_year", card.expiration_year.is_some()),
    ];
    if given.iter().all(|(_, given)| *given) || given.iter().all(|(_, given)| !given) {
        return Ok(card);
    }
    let missing = given.iter().filter(|(_, given)| !given);
    let fault = |(name, _): &(&str, bool)| {
        FieldError::below(at, name, "missing", "is required with a card")
    };
    Err(Faults(missing.map(fault).collect()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{
        money::Cents,
        orders::shipping::{OrderBy, ShippingChoice},
    };

    fn documented() -> Value {
        json!({
            "retailer": "amazon",
            "products": [{"product_id": "B0016NHH56", "quantity": 1}],
            "max_price": 2300,
            "shipping_address": address(),
            "is_gift": true,
            "gift_message": "Here is your package, Tim! Enjoy!",
            "shipping": {"order_by": "price", "max_days": 5, "max_price": 1000},
            "payment_method": {
                "name_on_card": "Ben Bitdiddle", "number": "5555555555554444", "security_code": "123",
                "expiration_month": 1, "expiration_year": 2020, "use_gift": false,
            },
            "billing_address": address(),
            "retailer_credentials": {
                "email": "tim@example.com", "password": "myRetailerPassword",
                "totp_2fa_key": "3DE4 3ERE 23WE WIKJ GRSQ VOBG CO3D METM 2NO2 OGUX Z7U4 DP2H UYMA",
            },
        })
    }

    fn address() -> Value {
        json!({
            "first_name": "Tim", "last_name": "Beaver", "address_line1": "77 Massachusetts Avenue",
            "address_line2": "", "zip_code": "02139", "city": "Cambridge", "state": "MA", "country": "US",
            "phone_number": "5551230101",
        })
    }

    fn faults(change: impl FnOnce(&mut Value)) -> Vec<String> {
        let mut body = documented();
        change(&mut body);
        let mut paths: Vec<_> = parse(&body, Reach::Public)
            .err()
            .unwrap_or_default()
            .iter()
            .map(FieldError::dotted_path)
            .collect();
        paths.sort();
        paths
    }

    #[test]
    fn the_documents_example_is_valid() {
        let request = parse(&documented(), Reach::Public).map_err(|faults| format!("{faults:?}"));
        let request = request.unwrap_or_else(|faults| panic!("{faults}"));
        let limits = ShippingChoice::Within {
            order_by: OrderBy::Price,
            max_days: Some(5),
            max_price: Some(Cents(1000)),
        };
        assert_eq!(request.purchase.shipping(), limits);
        assert_eq!(request.purchase.limit(), Some(Cents(2300)));
        assert!(request.card.is_some() && request.secrets.totp.is_some());
    }

    #[test]
    fn what_is_left_is_read_again_from_the_echo() {
        let echo = crate::redact::echo(documented());
        let purchase: Purchase = fields::read(fields::without_blanks(echo))
            .map_err(|faults| panic!("{faults:?}"))
            .unwrap();
        assert_eq!(
            Some(purchase),
            parse(&documented(), Reach::Public).ok().map(|request| request.purchase)
        );
    }

    #[test]
    fn a_po_number_is_a_number_or_a_text() {
        for (given, read) in [(json!(4_711), "4711"), (json!("PO-1"), "PO-1")] {
            let mut body = documented();
            body["po_number"] = given;
            body["affiliate_info"] = json!({"tag": "yourtag-20"});
            let purchase = parse(&body, Reach::Public)
                .map_err(|faults| panic!("{faults:?}"))
                .unwrap()
                .purchase;
            assert_eq!(purchase.po_number.as_deref(), Some(read));
            assert_eq!(purchase.affiliate_tag.as_deref(), Some("yourtag-20"));
        }
        assert_eq!(faults(|body| body["po_number"] = json!([1])), ["po_number"]);
    }

    #[test]
    fn every_fault_is_found_at_once() {
        let paths = faults(|body| {
            body["products"][0]["quantity"] = json!("two");
            body["shipping_address"]["country"] = json!("USA");
            body["shipping_method"] = json!("teleport");
            body["retailer_credentials"]["totp_2fa_key"] = json!("123456");
            body["max_price"] = json!(19.99);
        });
        let expected = [
            "max_price",
            "products.0.quantity",
            "retailer_credentials.totp_2fa_key",
            "shipping_address.country",
            "shipping_method",
        ];
        assert_eq!(paths, expected);
    }

    #[test]
    fn blanks_are_absent() {
        assert!(faults(|body| body["retailer_credentials"]["totp_2fa_key"] = json!("")).is_empty());
        assert!(faults(|body| body["max_price"] = Value::Null).is_empty());
        assert_eq!(
            faults(|body| body["shipping_address"]["city"] = json!("")),
            ["shipping_address.city"]
        );
    }

    #[test]
    fn a_whole_number_may_be_written_as_a_fraction() {
        let whole = faults(|body| {
            body["products"][0]["quantity"] = json!(2.0);
            body["max_price"] = json!(2300.0);
            body["shipping"] = json!({"max_days": 5.0});
        });
        assert!(whole.is_empty(), "{whole:?}");
        assert_eq!(faults(|body| body["max_price"] = json!(-2300.0)), ["max_price"]);
        assert_eq!(faults(|body| body["max_price"] = json!(1e30)), ["max_price"]);
        assert_eq!(faults(|body| body["is_gift"] = json!(1.0)), ["is_gift"]);
    }

    #[test]
    fn zero_values_of_the_go_client_are_absent() {
        let zeros = faults(|body| {
            body["shipping_method"] = json!("cheapest");
            body["shipping"] = json!({"order_by": "", "max_days": 0, "max_price": 0});
            body["payment_method"] = json!({
                "use_gift": true, "name_on_card": "", "number": "", "security_code": "",
                "expiration_month": 0, "expiration_year": 0,
            });
            body["billing_address"] = json!({"first_name": "", "last_name": "", "country": ""});
        });
        assert!(zeros.is_empty(), "{zeros:?}");
    }

    #[test]
    fn a_card_is_whole_or_absent() {
        let missing = faults(|body| {
            body["payment_method"].as_object_mut().unwrap().remove("security_code");
        });
        assert_eq!(missing, ["payment_method.security_code"]);
        assert!(faults(|body| body["payment_method"] = json!({"use_gift": true})).is_empty());
    }

    #[test]
    fn values_of_secrets_are_not_repeated() {
        let mut body = documented();
        body["retailer_credentials"]["password"] = json!(12345);
        body["payment_method"]["number"] = json!(5_555_555_555_554_444_u64);
        body["is_gift"] = json!("maybe");
        let text = format!("{:?}", parse(&body, Reach::Public).err().unwrap());
        assert!(!text.contains("12345") && !text.contains("5555555555554444"), "{text}");
        assert!(text.contains("maybe"), "{text}");
    }
}
