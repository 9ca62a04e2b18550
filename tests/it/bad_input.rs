//! Bad input: each case gets the documented status and code, names every field that is wrong and no other, repeats no
//! secret, and leaves nothing behind.
//!
//! Each test gives all its bodies one marker and looks for it in every table when it is through.

use futures::{StreamExt, stream};
use http::{Method, header};
use serde_json::{Value, json};
use tests::{Api, STACK, ShopAccount, address, canaries, http, openapi, order, tables, url};
use uuid::Uuid;

/// How many cases are tried at a time.
const CONCURRENCY: usize = 8;
/// The service takes bodies up to 100 KiB.
const TOO_LARGE_BYTES: usize = 100 * 1024 + 1;

const UNKNOWN_ORDER: &str = "00000000000000000000000000000000";
const UNKNOWN_ACCOUNT: &str = "zn_acct_000000000000";

/// What is sent and what must come back.
struct Case {
    name: String,
    method: Method,
    path: String,
    body: Vec<u8>,
    status: u16,
    code: &'static str,
    /// The paths of the fields that are named, sorted; `None` where the fault is none of a field.
    fields: Option<Vec<String>>,
}

impl Case {
    fn new(
        name: impl Into<String>,
        (method, path): (Method, &str),
        body: impl Into<Vec<u8>>,
    ) -> Self {
        Self {
            name: name.into(),
            method,
            path: path.to_owned(),
            body: body.into(),
            status: 0,
            code: "",
            fields: None,
        }
    }

    fn gets(self, status: u16, code: &'static str) -> Self {
        Self { status, code, ..self }
    }

    /// Expects the answer to faults in these fields.
    fn names(self, fields: &[&str]) -> Self {
        let (status, code) =
            if self.is_v1() { (400, "invalid_request") } else { (422, "validation_error") };
        let mut fields: Vec<_> = fields.iter().map(|&field| field.to_owned()).collect();
        fields.sort();
        Self { fields: Some(fields), ..self.gets(status, code) }
    }

    /// Expects the answer to what is no JSON.
    fn gets_not_json(self) -> Self {
        if self.is_v1() {
            self.gets(400, "invalid_json")
        } else {
            self.gets(422, "validation_error")
        }
    }

    fn is_v1(&self) -> bool {
        self.path.starts_with("/v1/")
    }

    /// What is wrong with the answer.
    async fn complaint(&self) -> Option<String> {
        let request = http().request(self.method.clone(), url(&self.path));
        let request = if self.is_v1() {
            let request = request.basic_auth(&STACK.client_token, Some(""));
            request.header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
        } else {
            let request = request.bearer_auth(&STACK.client_token);
            request.header(header::CONTENT_TYPE, "application/json")
        };
        let response = request.body(self.body.clone()).send().await.expect("an answer");
        let status = response.status();
        let text = response.text().await.expect("a body");
        let secrets = canaries::find(&text);
        if !secrets.is_empty() {
            return Some(format!("{}: the answer holds {}", self.name, secrets.join(", ")));
        }
        if let Some(complaint) = openapi::complaint(&self.method, &self.path, status, &text) {
            return Some(format!("{}: not as docs/openapi.yaml says: {complaint}", self.name));
        }
        let answer = serde_json::from_str(&text).unwrap_or(Value::Null);
        let wrong = self.wrong_with(status.as_u16(), &answer)?;
        Some(format!("{}: {wrong}: {status} {text}", self.name))
    }

    fn wrong_with(&self, status: u16, answer: &Value) -> Option<&'static str> {
        let faults = if self.is_v1() {
            &answer["data"]["validator_errors"]
        } else {
            &answer["error"]["details"]["fields"]
        };
        let fields = faults.as_array().map(|faults| {
            let mut fields: Vec<_> = faults.iter().map(|fault| text(&fault["path"])).collect();
            fields.sort();
            fields
        });
        let explained = |fault: &Value| {
            let members = ["message", "path", "value"].map(|name| fault.get(name).is_some());
            members == [true; 3] && !text(&fault["message"]).is_empty()
        };
        let checks = [
            (status == self.status, "wrong status"),
            (text(&answer["code"]) == self.code, "wrong code"),
            (!text(&answer["message"]).is_empty(), "no message"),
            (fields == self.fields, "wrong fields"),
            (faults.as_array().is_none_or(|faults| faults.iter().all(explained)), "bad faults"),
            (self.is_v1() || self.is_modern(answer), "not the modern form"),
            (!self.is_v1() || answer["_type"] == "error", "no _type"),
            (!self.is_v1() || answer["data"].is_object(), "no data"),
        ];
        checks.into_iter().find(|(holds, _)| !holds).map(|(_, wrong)| wrong)
    }

    /// Nested and flat, and FastAPI's list for faults.
    fn is_modern(&self, answer: &Value) -> bool {
        let same = |name: &str| answer["error"].get(name) == answer.get(name);
        same("code") && same("message") && same("details") && self.has_detail(answer)
    }

    fn has_detail(&self, answer: &Value) -> bool {
        let Some(detail) = answer.get("detail").and_then(Value::as_array) else {
            return self.status != 422;
        };
        let complete = |fault: &Value| fault["msg"].is_string() && fault["type"].is_string();
        let mut locations: Vec<_> = detail.iter().map(|fault| fault["loc"].clone()).collect();
        locations.sort_by_key(Value::to_string);
        let fields = self.fields.clone().unwrap_or_else(|| vec![String::new()]);
        let mut expected: Vec<_> = fields.iter().map(|field| self.location(field)).collect();
        expected.sort_by_key(Value::to_string);
        detail.iter().all(complete) && locations == expected
    }

    /// `["body", "products", 0, "quantity"]`
    fn location(&self, field: &str) -> Value {
        let place = if self.method == Method::GET { "query" } else { "body" };
        let segments = field.split('.').filter(|segment| !segment.is_empty());
        let segments = segments.map(|segment| {
            segment.parse::<u64>().map_or_else(|_| json!(segment), |index| json!(index))
        });
        std::iter::once(json!(place)).chain(segments).collect()
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// Tries all cases and tells of all that went wrong.
async fn check(cases: Vec<Case>) {
    let complaints: Vec<_> = stream::iter(&cases)
        .map(Case::complaint)
        .buffer_unordered(CONCURRENCY)
        .filter_map(async |complaint| complaint)
        .collect()
        .await;
    let (wrong, all) = (complaints.len(), cases.len());
    assert!(complaints.is_empty(), "{wrong} of {all} cases:\n{}", complaints.join("\n"));
}

/// Whether any table holds `marker`.
async fn is_stored(marker: &str) -> bool {
    for table in STACK.tables.keys() {
        if tables::items(table).await.iter().any(|item| item.to_string().contains(marker)) {
            return true;
        }
    }
    false
}

fn marker() -> String {
    format!("marker-{}", Uuid::new_v4().simple())
}

const POST_ORDER: (Method, &str) = (Method::POST, "/v1/orders");
const POST_ACCOUNT: (Method, &str) = (Method::POST, "/managed-accounts");

/// An order with everything in it, all of it right. No case reaches the shop, so its account need not exist.
fn good_order(marker: &str) -> Value {
    let account = ShopAccount {
        email: format!("{marker}@sandbox.example"),
        password: canaries::password(),
        totp_secret: Some(canaries::totp_secret()),
    };
    let mut body = order(&account);
    body["is_gift"] = json!(true);
    body["gift_message"] = json!("Enjoy!");
    body["payment_method"] = json!({
        "name_on_card": "Ben Bitdiddle",
        "number": canaries::CARD_NUMBER,
        "security_code": canaries::CARD_CODE,
        "expiration_month": 1,
        "expiration_year": 2030,
    });
    body["billing_address"] = address();
    body["client_notes"] = json!({"marker": marker});
    // Unknown fields are kept, too.
    body["marker"] = json!(marker);
    body
}

/// Removes the member that a path of member names and indexes leads to.
fn remove(body: &mut Value, path: &str) {
    let pointer = format!("/{}", path.replace('.', "/"));
    let (pointer, name) = pointer.rsplit_once('/').unwrap();
    let members = body.pointer_mut(pointer).and_then(Value::as_object_mut).unwrap();
    assert!(members.remove(name).is_some(), "{path} is there to be removed");
}

/// How a body is spoilt.
type Change = fn(&mut Value);

#[tokio::test]
async fn a_good_order_is_stored_so_that_a_bad_one_would_be_found() {
    let (marker, api) = (marker(), Api::first());
    let mut body = good_order(&marker);
    let account = ShopAccount::new().await;
    body["retailer_credentials"] = account.credentials();
    let id = api.order(&body).await;
    assert!(is_stored(&marker).await);
    api.ended(&id).await;
}

#[tokio::test]
async fn a_missing_field_of_an_order_is_named() {
    const REQUIRED: [&str; 32] = [
        "retailer",
        "products",
        "products.0.product_id",
        "shipping_address",
        "shipping_address.first_name",
        "shipping_address.last_name",
        "shipping_address.address_line1",
        "shipping_address.zip_code",
        "shipping_address.city",
        "shipping_address.state",
        "shipping_address.country",
        "shipping_address.phone_number",
        "shipping_method",
        "billing_address",
        "billing_address.first_name",
        "billing_address.last_name",
        "billing_address.address_line1",
        "billing_address.zip_code",
        "billing_address.city",
        "billing_address.state",
        "billing_address.country",
        "billing_address.phone_number",
        "payment_method.name_on_card",
        "payment_method.number",
        "payment_method.security_code",
        "payment_method.expiration_month",
        "payment_method.expiration_year",
        "retailer_credentials.email",
        "retailer_credentials.password",
        "affiliate_info.tag",
        "products.1.product_id",
        "products.2.product_id",
    ];
    let marker = marker();
    let mut good = good_order(&marker);
    // With one member only, blanking it would leave the whole object out.
    good["affiliate_info"] = json!({"tag": "yourtag-20", "other": "x"});
    good["products"] = json!([{"product_id": "A"}, {"product_id": "B"}, {"product_id": "C"}]);
    let case = |field: &&str| {
        let mut body = good.clone();
        remove(&mut body, field);
        Case::new(format!("without {field}"), POST_ORDER, body.to_string()).names(&[field])
    };
    check(REQUIRED.iter().map(case).collect()).await;
    // Some clients send an empty text or null for what they leave out.
    let blank = |field: &&str| {
        let mut body = good.clone();
        let pointer = format!("/{}", field.replace('.', "/"));
        *body.pointer_mut(&pointer).unwrap() = json!("");
        Case::new(format!("blank {field}"), POST_ORDER, body.to_string()).names(&[field])
    };
    check(REQUIRED.iter().map(blank).collect()).await;
    assert!(!is_stored(&marker).await);
}

/// Fields of a wrong type, out of range, or at odds with others, and what is named then.
const SPOILT_ORDERS: &[(&str, Change, &[&str])] = &[
    ("a retailer that is a number", |b| b["retailer"] = json!(7), &["retailer"]),
    // Products.
    ("products that are a text", |b| b["products"] = json!("B0016NHH56"), &["products"]),
    ("no products", |b| b["products"] = json!([]), &["products"]),
    ("a product that is a text", |b| b["products"] = json!(["B0016NHH56"]), &["products.0"]),
    (
        "101 products",
        |b| b["products"] = json!(vec![json!({"product_id": "B0016NHH56"}); 101]),
        &["products"],
    ),
    (
        "a product_id that is a number",
        |b| b["products"][0]["product_id"] = json!(923_568_964),
        &["products.0.product_id"],
    ),
    (
        "a product_id that leads elsewhere",
        |b| b["products"][0]["product_id"] = json!(".."),
        &["products.0.product_id"],
    ),
    (
        "a product_id with a space",
        |b| b["products"][0]["product_id"] = json!("B00 16"),
        &["products.0.product_id"],
    ),
    (
        "a product_id of 129 characters",
        |b| b["products"][0]["product_id"] = json!("B".repeat(129)),
        &["products.0.product_id"],
    ),
    ("quantity 0", |b| b["products"][0]["quantity"] = json!(0), &["products.0.quantity"]),
    ("quantity -1", |b| b["products"][0]["quantity"] = json!(-1), &["products.0.quantity"]),
    ("quantity 1.5", |b| b["products"][0]["quantity"] = json!(1.5), &["products.0.quantity"]),
    ("quantity two", |b| b["products"][0]["quantity"] = json!("two"), &["products.0.quantity"]),
    ("quantity 1000", |b| b["products"][0]["quantity"] = json!(1000), &["products.0.quantity"]),
    (
        "a quantity beyond 64 bits",
        |b| b["products"][0]["quantity"] = json!(1e30),
        &["products.0.quantity"],
    ),
    (
        "criteria that are a list",
        |b| b["products"][0]["seller_selection_criteria"] = json!([]),
        &["products.0.seller_selection_criteria"],
    ),
    (
        "one condition that is no list",
        |b| b["products"][0]["seller_selection_criteria"] = json!({"condition_in": "New"}),
        &["products.0.seller_selection_criteria.condition_in"],
    ),
    (
        "two wrong criteria",
        |b| {
            b["products"][0]["seller_selection_criteria"] =
                json!({"prime": "yes", "handling_days_max": "six"});
        },
        &[
            "products.0.seller_selection_criteria.handling_days_max",
            "products.0.seller_selection_criteria.prime",
        ],
    ),
    // Addresses.
    (
        "an address that is a text",
        |b| b["shipping_address"] = json!("77 Massachusetts Avenue"),
        &["shipping_address"],
    ),
    (
        "a first name that is a number",
        |b| b["shipping_address"]["first_name"] = json!(7),
        &["shipping_address.first_name"],
    ),
    (
        "a city of spaces",
        |b| b["shipping_address"]["city"] = json!("  "),
        &["shipping_address.city"],
    ),
    (
        "a line of two lines",
        |b| b["shipping_address"]["address_line1"] = json!("77 Massachusetts\nAvenue"),
        &["shipping_address.address_line1"],
    ),
    (
        "a line of 201 characters",
        |b| b["shipping_address"]["address_line2"] = json!("x".repeat(201)),
        &["shipping_address.address_line2"],
    ),
    (
        "a country of three letters",
        |b| b["shipping_address"]["country"] = json!("USA"),
        &["shipping_address.country"],
    ),
    (
        "a country with a digit",
        |b| b["shipping_address"]["country"] = json!("U1"),
        &["shipping_address.country"],
    ),
    (
        "a zip code that is a number",
        |b| b["shipping_address"]["zip_code"] = json!(2139),
        &["shipping_address.zip_code"],
    ),
    (
        "a zip code of four digits",
        |b| b["shipping_address"]["zip_code"] = json!("2139"),
        &["shipping_address.zip_code"],
    ),
    (
        "a zip code of letters",
        |b| b["billing_address"]["zip_code"] = json!("ABCDE"),
        &["billing_address.zip_code"],
    ),
    (
        "a Canadian address without a province",
        |b| {
            b["shipping_address"]["country"] = json!("CA");
            remove(b, "shipping_address.state");
        },
        &["shipping_address.state"],
    ),
    // Shipping.
    (
        "both forms of shipping",
        |b| b["shipping"] = json!({"order_by": "price", "max_days": 5, "max_price": 1000}),
        &["shipping_method"],
    ),
    (
        "an unknown shipping method",
        |b| b["shipping_method"] = json!("teleport"),
        &["shipping_method"],
    ),
    (
        "shipping that is a text",
        |b| {
            remove(b, "shipping_method");
            b["shipping"] = json!("cheapest");
        },
        &["shipping"],
    ),
    (
        "wrong shipping limits",
        |b| {
            remove(b, "shipping_method");
            b["shipping"] = json!({"order_by": "mood", "max_days": "5", "max_price": 9.5});
        },
        &["shipping.max_days", "shipping.max_price", "shipping.order_by"],
    ),
    (
        "a negative number of days",
        |b| {
            remove(b, "shipping_method");
            b["shipping"] = json!({"order_by": "speed", "max_days": -1});
        },
        &["shipping.max_days"],
    ),
    // Gifts and prices.
    ("is_gift yes", |b| b["is_gift"] = json!("yes"), &["is_gift"]),
    ("a message that is no gift's", |b| b["is_gift"] = json!(false), &["gift_message"]),
    (
        "a gift message of 241 characters",
        |b| b["gift_message"] = json!("é".repeat(241)),
        &["gift_message"],
    ),
    (
        "a gift message of ten lines",
        |b| b["gift_message"] = json!(["line"; 10].join("\n")),
        &["gift_message"],
    ),
    ("a gift message that is a list", |b| b["gift_message"] = json!(["x"]), &["gift_message"]),
    ("max_price in dollars", |b| b["max_price"] = json!(19.99), &["max_price"]),
    ("a negative max_price", |b| b["max_price"] = json!(-1), &["max_price"]),
    ("a max_price that is a text", |b| b["max_price"] = json!("2300"), &["max_price"]),
    // Cards.
    (
        "a payment method that is a card number",
        |b| b["payment_method"] = json!(canaries::CARD_NUMBER),
        &["payment_method"],
    ),
    (
        "a card that is only a number",
        |b| b["payment_method"] = json!({"number": canaries::CARD_NUMBER}),
        &[
            "payment_method.expiration_month",
            "payment_method.expiration_year",
            "payment_method.name_on_card",
            "payment_method.security_code",
        ],
    ),
    (
        "a card number that is a number",
        |b| b["payment_method"]["number"] = json!(canaries::CARD_NUMBER.parse::<u64>().unwrap()),
        &["payment_method.number"],
    ),
    (
        "a card number with a letter",
        |b| b["payment_method"]["number"] = json!(format!("{}x", canaries::CARD_NUMBER)),
        &["payment_method.number"],
    ),
    (
        "a card number of 11 digits",
        |b| b["payment_method"]["number"] = json!("41111111111"),
        &["payment_method.number"],
    ),
    (
        "a card number of 20 digits",
        |b| b["payment_method"]["number"] = json!(format!("{}1111", canaries::CARD_NUMBER)),
        &["payment_method.number"],
    ),
    (
        "a card code of two digits",
        |b| b["payment_method"]["security_code"] = json!("09"),
        &["payment_method.security_code"],
    ),
    (
        "a card code with a space",
        |b| b["payment_method"]["security_code"] = json!(format!("{} ", canaries::CARD_CODE)),
        &["payment_method.security_code"],
    ),
    (
        "a card code in a list",
        |b| b["payment_method"]["security_code"] = json!([canaries::CARD_CODE]),
        &["payment_method.security_code"],
    ),
    (
        "month 13",
        |b| b["payment_method"]["expiration_month"] = json!(13),
        &["payment_method.expiration_month"],
    ),
    (
        "month 0",
        |b| b["payment_method"]["expiration_month"] = json!(0),
        &["payment_method.expiration_month"],
    ),
    (
        "a month in words",
        |b| b["payment_method"]["expiration_month"] = json!("January"),
        &["payment_method.expiration_month"],
    ),
    (
        "a year of two digits",
        |b| b["payment_method"]["expiration_year"] = json!(30),
        &["payment_method.expiration_year"],
    ),
    (
        "use_gift yes",
        |b| b["payment_method"]["use_gift"] = json!("yes"),
        &["payment_method.use_gift"],
    ),
    // Credentials.
    (
        "credentials that are a text",
        |b| b["retailer_credentials"] = json!(canaries::password()),
        &["retailer_credentials"],
    ),
    (
        "an e-mail without an @",
        |b| b["retailer_credentials"]["email"] = json!("tim.example.com"),
        &["retailer_credentials.email"],
    ),
    (
        "a password in a list",
        |b| b["retailer_credentials"]["password"] = json!([canaries::password()]),
        &["retailer_credentials.password"],
    ),
    (
        "a password in an object",
        |b| b["retailer_credentials"]["password"] = json!({"value": canaries::password()}),
        &["retailer_credentials.password"],
    ),
    (
        "a password that is a number",
        |b| {
            let number: u64 = canaries::CARD_NUMBER.parse().unwrap();
            b["retailer_credentials"]["password"] = json!(number);
        },
        &["retailer_credentials.password"],
    ),
    (
        "a TOTP code instead of the key",
        |b| b["retailer_credentials"]["totp_2fa_key"] = json!("123456"),
        &["retailer_credentials.totp_2fa_key"],
    ),
    (
        "a TOTP key that is not base32",
        |b| {
            let key = format!("{}!", canaries::totp_secret());
            b["retailer_credentials"]["totp_2fa_key"] = json!(key);
        },
        &["retailer_credentials.totp_2fa_key"],
    ),
    (
        "a TOTP key in a list",
        |b| b["retailer_credentials"]["totp_2fa_key"] = json!([canaries::totp_secret()]),
        &["retailer_credentials.totp_2fa_key"],
    ),
    (
        "a verification code in a list",
        |b| {
            let code = json!([canaries::VERIFICATION_CODE]);
            b["retailer_credentials"]["verification_code"] = code;
        },
        &["retailer_credentials.verification_code"],
    ),
    (
        "both a login and an account",
        |b| b["retailer_credentials_id"] = json!(UNKNOWN_ACCOUNT),
        &["retailer_credentials_id"],
    ),
    (
        "an account that is a number",
        |b| {
            remove(b, "retailer_credentials");
            b["retailer_credentials_id"] = json!(7);
        },
        &["retailer_credentials_id"],
    ),
    (
        "an account of the wrong form",
        |b| {
            remove(b, "retailer_credentials");
            b["retailer_credentials_id"] = json!("zn_acct_nope");
        },
        &["retailer_credentials_id"],
    ),
    (
        "an account that there is not",
        |b| {
            remove(b, "retailer_credentials");
            b["retailer_credentials_id"] = json!(UNKNOWN_ACCOUNT);
        },
        &["retailer_credentials_id"],
    ),
    // Webhooks.
    ("webhooks in a list", |b| b["webhooks"] = json!([]), &["webhooks"]),
    (
        "a webhook over ftp",
        |b| {
            let url = format!("ftp://me:{}@example.com/", canaries::WEBHOOK_PASSWORD);
            b["webhooks"] = json!({"request_succeeded": url});
        },
        &["webhooks.request_succeeded"],
    ),
    (
        "webhooks that are no URLs",
        |b| b["webhooks"] = json!({"order_placed": "example.com/x", "order_failed": 7}),
        &["webhooks.order_failed", "webhooks.order_placed"],
    ),
    (
        "a webhook without a host",
        |b| b["webhooks"] = json!({"status_updated": "https://"}),
        &["webhooks.status_updated"],
    ),
    (
        "one bad URL of two",
        |b| b["webhooks"] = json!({"tracking_obtained": ["https://a.example/", 7]}),
        &["webhooks.tracking_obtained"],
    ),
    (
        "eleven URLs",
        |b| b["webhooks"] = json!({"tracking_updated": vec!["https://a.example/"; 11]}),
        &["webhooks.tracking_updated"],
    ),
    (
        "webhooks to this network",
        |b| {
            b["webhooks"] = json!({
                "order_placed": "http://10.0.0.1/",
                "tracking_obtained": "http://printer.local/",
                "status_updated": ["https://a.example/", "https://169.254.169.254/latest"],
            });
        },
        &["webhooks.order_placed", "webhooks.status_updated", "webhooks.tracking_obtained"],
    ),
    (
        "a webhook to a mail server",
        |b| b["webhooks"] = json!({"request_failed": "https://a.example:25/"}),
        &["webhooks.request_failed"],
    ),
    (
        "thirty-one URLs in all",
        |b| {
            let urls = |name: &str, count: usize| -> Vec<String> {
                (0..count).map(|number| format!("https://a.example/{name}/{number}")).collect()
            };
            b["webhooks"] = json!({
                "tracking_updated": urls("updated", 10),
                "tracking_obtained": urls("obtained", 10),
                "status_updated": urls("status", 10),
                "request_failed": urls("failed", 1),
            });
        },
        &["webhooks"],
    ),
    // The rest.
    ("promo codes in a text", |b| b["promo_codes"] = json!("SAVE"), &["promo_codes"]),
    ("a promo code that is a number", |b| b["promo_codes"] = json!([7]), &["promo_codes"]),
    (
        "ignore_invalid_promo_code no",
        |b| b["ignore_invalid_promo_code"] = json!("no"),
        &["ignore_invalid_promo_code"],
    ),
    ("a po_number that is a list", |b| b["po_number"] = json!([]), &["po_number"]),
    (
        "an affiliate tag that is a number",
        |b| b["affiliate_info"] = json!({"tag": 7}),
        &["affiliate_info.tag"],
    ),
    ("notes that are a text", |b| b["client_notes"] = json!("abc123"), &["client_notes"]),
    (
        "an idempotency key that is a list",
        |b| b["idempotency_key"] = json!([1]),
        &["idempotency_key"],
    ),
    (
        "an idempotency key of 257 characters",
        |b| b["idempotency_key"] = json!("k".repeat(257)),
        &["idempotency_key"],
    ),
    (
        "a bundled order where there are no bundles",
        |b| {
            b["retailer"] = json!("walmart");
            b["bundled"] = json!(true);
        },
        &["bundled"],
    ),
    (
        "a prepaid order with a login and a way of paying",
        |b| b["addax"] = json!(true),
        &["retailer_credentials", "payment_method", "billing_address"],
    ),
    (
        "variants that are no list",
        |b| b["products"][0]["variants"] = json!({"Size": "S"}),
        &["products.0.variants"],
    ),
    (
        "a variant without a value",
        |b| b["products"][0]["variants"] = json!([{"dimension": "Size"}]),
        &["products.0.variants.0.value"],
    ),
    ("bundled yes", |b| b["bundled"] = json!("yes"), &["bundled"]),
    ("addax yes", |b| b["addax"] = json!("yes"), &["addax"]),
    (
        "faults everywhere",
        |b| {
            b["products"][0]["quantity"] = json!(0);
            b["max_price"] = json!(true);
            b["shipping_address"]["country"] = json!("USA");
            b["payment_method"]["number"] = json!("none");
            b["retailer_credentials"]["totp_2fa_key"] = json!("123456");
            b["webhooks"] = json!({"status_updated": false});
        },
        &[
            "max_price",
            "payment_method.number",
            "products.0.quantity",
            "retailer_credentials.totp_2fa_key",
            "shipping_address.country",
            "webhooks.status_updated",
        ],
    ),
];

#[tokio::test]
async fn a_wrong_field_of_an_order_is_named() {
    let marker = marker();
    let case = |&(name, spoil, fields): &(&str, Change, &[&str])| {
        let mut body = good_order(&marker);
        spoil(&mut body);
        Case::new(name, POST_ORDER, body.to_string()).names(fields)
    };
    check(SPOILT_ORDERS.iter().map(case).collect()).await;
    assert!(!is_stored(&marker).await);
}

#[tokio::test]
async fn an_order_that_may_not_be_is_refused_with_its_own_code() {
    let marker = marker();
    let case = |name: &str, spoil: Change| {
        let mut body = good_order(&marker);
        spoil(&mut body);
        Case::new(name, POST_ORDER, body.to_string())
    };
    check(vec![
        case("an unknown retailer", |b| b["retailer"] = json!("ebay"))
            .gets(400, "unknown_retailer"),
        case("an unknown retailer among other faults", |b| {
            b["retailer"] = json!("amazon.com");
            b["max_price"] = json!("2300");
        })
        .gets(400, "unknown_retailer"),
    ])
    .await;
    assert!(!is_stored(&marker).await);
}

#[tokio::test]
async fn accounts_that_an_order_may_not_use_are_refused() {
    let (marker, first, second) = (marker(), Api::first(), Api::second());
    let (costco, path) = (stored_account(&first, "costco").await, "/managed-accounts");
    let foreign = stored_account(&second, "walmart").await;
    let case = |name: &str, short_id: &str, retailer: &str| {
        let mut body = good_order(&marker);
        remove(&mut body, "retailer_credentials");
        body["retailer_credentials_id"] = json!(short_id);
        body["retailer"] = json!(retailer);
        Case::new(name, POST_ORDER, body.to_string())
    };
    check(vec![
        case("another retailer's account", &costco, "amazon").gets(400, "mismatching_retailer"),
        case("another client's account", &foreign, "walmart").names(&["retailer_credentials_id"]),
        case("nobody's account", UNKNOWN_ACCOUNT, "walmart").names(&["retailer_credentials_id"]),
    ])
    .await;
    assert!(!is_stored(&marker).await);
    for (api, id) in [(first, costco), (second, foreign)] {
        api.modern(Method::DELETE, &format!("{path}/{id}"), None).await;
    }
}

async fn stored_account(api: &Api, retailer: &str) -> String {
    let email = format!("{}@example.com", Uuid::new_v4().simple());
    let body = json!({"email": email, "retailer": retailer});
    let account = api.modern(Method::POST, "/managed-accounts", Some(&body)).await.ok();
    text(&account["short_id"])
}

#[tokio::test]
async fn a_used_idempotency_key_takes_no_other_order() {
    let (marker, api, account) = (marker(), Api::first(), ShopAccount::new().await);
    let mut body = order(&account);
    body["idempotency_key"] = json!(Uuid::new_v4().to_string());
    let id = api.order(&body).await;
    body["client_notes"] = json!({"marker": marker});
    let case = Case::new("another body", POST_ORDER, body.to_string());
    check(vec![case.names(&["idempotency_key"])]).await;
    assert!(!is_stored(&marker).await);
    api.ended(&id).await;
}

/// Texts that are no JSON.
fn broken_texts(marker: &str, good: &Value) -> Vec<(&'static str, Vec<u8>)> {
    let whole = good.to_string();
    let half = whole.get(..whole.len() / 2).unwrap();
    vec![
        ("nothing", vec![]),
        ("spaces", b"  \n".to_vec()),
        ("a word", format!("order {marker}").into()),
        ("a form", format!("retailer=amazon&marker={marker}").into()),
        ("half an object", half.into()),
        ("a comma too many", whole.replacen('}', ",}", 1).into()),
        ("single quotes", whole.replace('"', "'").into()),
        ("two objects", format!("{whole}{whole}").into()),
        ("a number that is none", whole.replacen('{', r#"{"max":NaN,"#, 1).into()),
        ("bytes that are no UTF-8", [whole.as_bytes(), b"\xff\xfe"].concat()),
        ("a text with bytes that are no UTF-8", whole.replacen(marker, "\u{1}", 1).into()),
        ("a very deep list", format!("{}{}", "[".repeat(10_000), "]".repeat(10_000)).into()),
        (
            "a very deep note",
            whole
                .replacen('{', &format!(r#"{{"deep":{}{},"#, "[".repeat(500), "]".repeat(500)), 1)
                .into(),
        ),
    ]
}

/// JSON that is no object. Each may be a secret that was pasted at the wrong place.
fn other_json() -> [(&'static str, String); 6] {
    [
        ("a list", "[]".to_owned()),
        ("a list of secrets", json!([canaries::password()]).to_string()),
        ("a text", json!(canaries::password()).to_string()),
        ("a number", canaries::CARD_NUMBER.to_owned()),
        ("true", "true".to_owned()),
        ("null", "null".to_owned()),
    ]
}

/// Cases that every route with a body has.
fn bodies_that_are_no_object(
    (method, path): (Method, &str),
    marker: &str,
    good: &Value,
) -> Vec<Case> {
    let new = |name: &str, body: Vec<u8>| {
        Case::new(format!("{method} {path}: {name}"), (method.clone(), path), body)
    };
    let broken = broken_texts(marker, good);
    let broken = broken.into_iter().map(|(name, body)| new(name, body).gets_not_json());
    let other = other_json();
    let other = other.into_iter().map(|(name, body)| new(name, body.into()).names(&[""]));
    let mut large = good.clone();
    large["padding"] = json!("x".repeat(TOO_LARGE_BYTES));
    let code = if path.starts_with("/v1/") { "invalid_request" } else { "bad_request" };
    let large = new("a body that is too large", large.to_string().into()).gets(413, code);
    broken.chain(other).chain([large]).collect()
}

#[tokio::test]
async fn a_body_that_is_no_json_object_makes_no_order() {
    let marker = marker();
    check(bodies_that_are_no_object(POST_ORDER, &marker, &good_order(&marker))).await;
    assert!(!is_stored(&marker).await);
}

/// Ids that nobody has, some of them of a form that nobody can have.
const BAD_IDS: [&str; 12] = [
    "x",
    "0",
    "0000000000000000000000000000000",
    "000000000000000000000000000000000",
    "0000000000000000000000000000000G",
    "ABCDEFABCDEFABCDEFABCDEFABCDEFAB",
    "00000000-0000-0000-0000-000000000000",
    "zn_acct_",
    "zn_acct_a1b2c3d4",
    "a%2Fb",
    "%00",
    "%C3%A9%20%3F%23",
];

#[tokio::test]
async fn an_order_that_there_is_not_is_not_found() {
    let case = |id: &str| {
        let path = format!("/v1/orders/{id}");
        Case::new(format!("GET {path}"), (Method::GET, &path), "").gets(404, "invalid_request_id")
    };
    let long = "0".repeat(2000);
    let ids = BAD_IDS.into_iter().chain([UNKNOWN_ORDER, UNKNOWN_ACCOUNT, &long]);
    check(ids.map(case).collect()).await;
}

#[tokio::test]
async fn a_wrong_query_of_a_list_is_named() {
    const QUERIES: [(&str, &str); 46] = [
        ("/v1/orders", "limit=0"),
        ("/v1/orders", "limit=5001"),
        ("/v1/orders", "limit=-1"),
        ("/v1/orders", "limit=1.5"),
        ("/v1/orders", "limit=abc"),
        ("/v1/orders", "limit=99999999999999999999999"),
        ("/v1/orders", "skip=-1"),
        ("/v1/orders", "skip=abc"),
        ("/v1/orders", "retailer=ebay"),
        ("/v1/orders", "starting_after=yesterday"),
        ("/v1/orders", "starting_after=9223372036854775807"),
        ("/v1/orders", "starting_after=2026-01-01T00:00:00Z"),
        ("/v1/orders", "ending_before=1e3"),
        ("/v1/orders", "ending_before=99999999999999999999"),
        ("/managed-accounts", "limit=0"),
        ("/managed-accounts", "limit=501"),
        ("/managed-accounts", "limit=-1"),
        ("/managed-accounts", "limit=1.5"),
        ("/managed-accounts", "limit=abc"),
        ("/managed-accounts/zn_acct_000000000000/mails", "limit=0"),
        ("/users/managed-accounts/zn_acct_000000000000/mails", "limit=501"),
        ("/managed-accounts", "offset=-1"),
        ("/managed-accounts", "offset=abc"),
        ("/users/managed-accounts", "limit=0"),
        ("/users/managed-accounts", "limit=501"),
        ("/users/managed-accounts", "limit=-1"),
        ("/users/managed-accounts", "limit=1.5"),
        ("/users/managed-accounts", "limit=abc"),
        ("/users/managed-accounts", "offset=-1"),
        ("/users/managed-accounts", "offset=abc"),
        ("/v1/webhooks/deliveries", "limit=0"),
        ("/v1/webhooks/deliveries", "limit=101"),
        ("/v1/webhooks/deliveries", "limit=abc"),
        ("/v1/webhooks/deliveries", "state=lost"),
        ("/v1/webhooks/deliveries", "state=Pending"),
        ("/v1/webhooks/deliveries", "request_id=x"),
        ("/v1/webhooks/deliveries", "from=yesterday"),
        ("/v1/webhooks/deliveries", "from=9223372036854775807"),
        ("/v1/webhooks/deliveries", "until=2026-01-01T00:00:00Z"),
        ("/v1/webhooks/deliveries", "until=1.5"),
        ("/v1/webhooks/deliveries", "cursor=0"),
        ("/v1/webhooks/deliveries", "cursor=msg_x"),
        ("/v1/webhooks/endpoints", "limit=0"),
        ("/v1/webhooks/endpoints", "limit=101"),
        ("/v1/webhooks/endpoints", "cursor=x"),
        ("/v1/webhooks/endpoints", "cursor=msg_00000000000000000000000000000000"),
    ];
    let case = |(path, query): (&str, &str)| {
        let (path, name) = (format!("{path}?{query}"), query.split('=').next().unwrap());
        Case::new(format!("GET {path}"), (Method::GET, &path), "").names(&[name])
    };
    check(QUERIES.map(case).into_iter().collect()).await;
}

/// Fields of a managed account that are wrong when it is made and when it is changed.
const SPOILT_ACCOUNTS: &[(&str, Change, &[&str])] = &[
    ("an e-mail that is a number", |b| b["email"] = json!(7), &["email"]),
    ("an e-mail that is an object", |b| b["email"] = json!({}), &["email"]),
    ("an e-mail without an @", |b| b["email"] = json!("tim.example.com"), &["email"]),
    ("an e-mail without a domain", |b| b["email"] = json!("tim@"), &["email"]),
    ("an e-mail with a name", |b| b["email"] = json!("Tim <tim@example.com>"), &["email"]),
    ("two e-mails", |b| b["email"] = json!("a@example.com,b@example.com"), &["email"]),
    ("an e-mail of two lines", |b| b["email"] = json!("a@example.com\nb"), &["email"]),
    (
        "an e-mail that is too long",
        |b| b["email"] = json!(format!("{}@example.com", "a".repeat(250))),
        &["email"],
    ),
    ("a password that is true", |b| b["password"] = json!(true), &["password"]),
    ("a password in a list", |b| b["password"] = json!([canaries::password()]), &["password"]),
    (
        "a password that is a number",
        |b| b["password"] = json!(canaries::CARD_NUMBER.parse::<u64>().unwrap()),
        &["password"],
    ),
    ("an unknown retailer", |b| b["retailer"] = json!("ebay"), &["retailer"]),
    ("a retailer that is a number", |b| b["retailer"] = json!(7), &["retailer"]),
    ("a TOTP code instead of the key", |b| b["totp_secret"] = json!("123456"), &["totp_secret"]),
    (
        "the guide's placeholder for a key",
        |b| b["totp_secret"] = json!("YOUR_64_CHARACTER_SECRET_KEY"),
        &["totp_secret"],
    ),
    (
        "a TOTP key with a digit that base32 has not",
        |b| b["totp_secret"] = json!(format!("{}1", canaries::totp_secret())),
        &["totp_secret"],
    ),
    (
        "a TOTP key in an object",
        |b| b["totp_secret"] = json!({"key": canaries::totp_secret()}),
        &["totp_secret"],
    ),
    ("a config that is a list", |b| b["retailer_config"] = json!([]), &["retailer_config"]),
    ("a config that is a text", |b| b["retailer_config"] = json!("x"), &["retailer_config"]),
    (
        "a config that is too large",
        |b| b["retailer_config"] = json!({"x": "x".repeat(16 * 1024)}),
        &["retailer_config"],
    ),
    ("a pause that is asked for", |b| b["is_paused"] = json!(true), &["is_paused"]),
    ("a pause that is a text", |b| b["is_paused"] = json!("false"), &["is_paused"]),
    ("a pause that is a number", |b| b["is_paused"] = json!(0), &["is_paused"]),
    (
        "faults everywhere",
        |b| {
            b["email"] = json!("tim");
            b["password"] = json!(7);
            b["retailer"] = json!("ebay");
            b["totp_secret"] = json!("123456");
            b["retailer_config"] = json!(7);
            b["is_paused"] = json!(true);
        },
        &["email", "is_paused", "password", "retailer", "retailer_config", "totp_secret"],
    ),
];

fn good_account(marker: &str) -> Value {
    json!({
        "email": format!("{marker}@example.com"),
        "password": canaries::password(),
        "retailer": "amazon",
        "totp_secret": canaries::totp_secret(),
        "retailer_config": {"marker": marker},
    })
}

#[tokio::test]
async fn a_wrong_field_of_a_new_account_is_named() {
    let marker = marker();
    let mut cases = Vec::new();
    for path in ["/managed-accounts", "/users/managed-accounts"] {
        for (name, spoil, fields) in SPOILT_ACCOUNTS {
            let mut body = good_account(&marker);
            spoil(&mut body);
            let case =
                Case::new(format!("POST {path}: {name}"), (Method::POST, path), body.to_string());
            cases.push(case.names(fields));
        }
    }
    let without_email = |name: &str, email: Option<Value>, totp_secret: &str, fields: &[&str]| {
        let mut body = good_account(&marker);
        body["totp_secret"] = json!(totp_secret);
        match email {
            Some(email) => body["email"] = email,
            None => remove(&mut body, "email"),
        }
        Case::new(name, POST_ACCOUNT, body.to_string()).names(fields)
    };
    let key = canaries::totp_secret();
    cases.extend([
        Case::new("an empty object", POST_ACCOUNT, "{}").names(&["email"]),
        without_email("no e-mail", None, &key, &["email"]),
        without_email("an e-mail of null", Some(Value::Null), &key, &["email"]),
        without_email("an empty e-mail", Some(json!("")), &key, &["email"]),
        without_email("no e-mail and a bad key", None, "123456", &["email", "totp_secret"]),
    ]);
    check(cases).await;
    check(bodies_that_are_no_object(POST_ACCOUNT, &marker, &good_account(&marker))).await;
    assert!(!is_stored(&marker).await);
}

#[tokio::test]
async fn a_wrong_field_of_a_change_is_named_and_changes_nothing() {
    let (api, before, after) = (Api::first(), marker(), marker());
    let created = api.modern(Method::POST, "/managed-accounts", Some(&good_account(&before))).await;
    let account = created.ok();
    let path = format!("/managed-accounts/{}", text(&account["short_id"]));
    let put = (Method::PUT, path.as_str());
    let mut cases = bodies_that_are_no_object(put.clone(), &after, &good_account(&after));
    for (name, spoil, fields) in SPOILT_ACCOUNTS {
        let mut body = good_account(&after);
        spoil(&mut body);
        cases.push(Case::new(format!("PUT: {name}"), put.clone(), body.to_string()).names(fields));
    }
    let body = r#"{"email":null,"retailer":"costco"}"#;
    cases.push(Case::new("PUT: an e-mail of null", put, body).names(&["email"]));
    check(cases).await;

    let search = format!("/managed-accounts?search={before}");
    let listed = api.modern(Method::GET, &search, None).await.ok();
    assert_eq!(listed["credentials"], json!([account]));
    assert!(is_stored(&before).await && !is_stored(&after).await);
    api.modern(Method::DELETE, &path, None).await;
}

#[tokio::test]
async fn an_account_that_there_is_not_is_not_found() {
    let (marker, mut cases) = (marker(), Vec::new());
    let body = good_account(&marker).to_string();
    for id in BAD_IDS.into_iter().chain([UNKNOWN_ACCOUNT, UNKNOWN_ORDER]) {
        for path in ["/managed-accounts", "/users/managed-accounts"] {
            for (method, end, body) in [
                (Method::PUT, "", body.as_str()),
                (Method::DELETE, "", ""),
                (Method::GET, "/mails", ""),
            ] {
                let path = format!("{path}/{id}{end}");
                let case = Case::new(format!("{method} {path}"), (method, &path), body);
                cases.push(case.gets(404, "not_found"));
            }
        }
    }
    check(cases).await;
    assert!(!is_stored(&marker).await);
}

#[tokio::test]
async fn what_is_no_route_is_api_gateways_own_404() {
    let api = Api::first();
    for (method, path) in [
        (Method::GET, "/"),
        (Method::GET, "/v1"),
        (Method::PUT, "/v1/orders"),
        (Method::DELETE, "/v1/orders/00000000000000000000000000000000"),
        (Method::GET, "/managed-accounts/zn_acct_000000000000"),
        (Method::POST, "/managed-accounts/zn_acct_000000000000"),
        (Method::PATCH, "/managed-accounts/zn_acct_000000000000"),
        (Method::PUT, "/managed-accounts"),
        (Method::GET, "/managed-accounts/a/b"),
    ] {
        let answer = api.modern(method, path, None).await;
        assert_eq!(answer.status.as_u16(), 404, "{path}");
        assert_eq!(answer.json(), json!({"message": "Not Found"}), "{path}");
    }
}
