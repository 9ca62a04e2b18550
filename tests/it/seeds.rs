//! Every request example of the specification, sent as it is printed, and every field that its answer documents.
//!
//! Replaced are the host, the token and what is a placeholder: an e-mail that the web page hides, the long TOTP key,
//! passwords and cards (so that they can be recognised), and the host of the webhooks.

use http::{Method, StatusCode, header};
use serde_json::{Value, json};
use tests::{Answer, Api, STACK, ShopAccount, canaries, http, receiver::Receiver, send, url};
use uuid::Uuid;

const CREATE_ORDER: &str = include_str!("../fixtures/seeds/create_order.json");
const CREATE_ACCOUNT: &str = include_str!("../fixtures/seeds/create_managed_account.json");
const CREATE_USERS_ACCOUNT: &str =
    include_str!("../fixtures/seeds/create_users_managed_account.json");
const CREATE_ACCOUNT_REFERENCE: &str =
    include_str!("../fixtures/seeds/create_managed_account_reference.json");
const UPDATE_ACCOUNT: &str = include_str!("../fixtures/seeds/update_managed_account.json");

/// What the web page shows in place of an e-mail.
const HIDDEN_EMAIL: &str = "[email\u{a0}protected]";

/// A type as the documents name it.
#[derive(Debug, Clone, Copy)]
enum Type {
    Text,
    TextOrNull,
    Integer,
    Boolean,
    List,
    Object,
    Uuid,
    /// `zn_acct_…`, of characters that need no escaping in a path.
    ShortId,
    /// `YYYY-MM-DDTHH:MM:SS.mmmZ`, to the letter: the pattern one official client parses with.
    V1Time,
    /// RFC 3339 in UTC.
    Time,
}

impl Type {
    fn holds(self, value: &Value) -> bool {
        let text = value.as_str();
        match self {
            Self::Text => text.is_some_and(|text| !text.is_empty()),
            Self::TextOrNull => value.is_null() || value.is_string(),
            Self::Integer => value.is_u64(),
            Self::Boolean => value.is_boolean(),
            Self::List => value.is_array(),
            Self::Object => value.is_object(),
            Self::Uuid => {
                text.is_some_and(|text| text.len() == 36 && Uuid::parse_str(text).is_ok())
            }
            Self::ShortId => text.is_some_and(|text| {
                let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
                text.starts_with("zn_acct_") && text.chars().all(plain)
            }),
            Self::V1Time => text.is_some_and(|text| shape(text) == "0000-00-00T00:00:00.000Z"),
            Self::Time => text.is_some_and(|text| {
                let Some(time) = text.strip_suffix('Z') else { return false };
                let (seconds, fraction) = time.split_once('.').unwrap_or((time, "0"));
                shape(seconds) == "0000-00-00T00:00:00"
                    && shape(fraction).trim_matches('0').is_empty()
            }),
        }
    }
}

fn shape(text: &str) -> String {
    text.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect()
}

#[track_caller]
fn assert_fields(value: &Value, fields: &[(&str, Type)]) {
    for (name, documented) in fields {
        let found = value.get(name);
        let holds = found.is_some_and(|found| documented.holds(found));
        assert!(holds, "{name} should be {documented:?}: {value}");
    }
}

// The v1 document.

/// The placeholders of a v1 example filled in.
fn fill(printed: &str, account: &ShopAccount, receiver: &Receiver) -> String {
    let mut text = printed
        .replace(HIDDEN_EMAIL, &account.email)
        .replace("myRetailerPassword", &account.password)
        .replace("5555555555554444", canaries::CARD_NUMBER)
        .replace(
            r#""security_code": "123""#,
            &format!(r#""security_code": "{}""#, canaries::CARD_CODE),
        )
        .replace("http://mywebsite.com", &receiver.url(""));
    if let Some(secret) = &account.totp_secret {
        // In groups, as it is printed; the first one can still be recognised.
        let (first, rest) = secret.split_at(10);
        let rest: Vec<_> = rest.as_bytes().chunks(4).map(String::from_utf8_lossy).collect();
        let printed = "3DE4 3ERE 23WE WIKJ GRSQ VOBG CO3D METM 2NO2 OGUX Z7U4 DP2H UYMA";
        text = text.replace(printed, &format!("{first} {}", rest.join(" ")));
    }
    text
}

/// `curl <host>/v1/orders -u <client_token>: -d '…'`, which declares the JSON to be a form.
async fn curl_order(text: &str) -> Answer {
    let request = http().post(url("/v1/orders")).basic_auth(&STACK.client_token, Some(""));
    let form = "application/x-www-form-urlencoded";
    send(request.header(header::CONTENT_TYPE, form).body(text.to_owned())).await
}

#[track_caller]
fn request_id(answer: &Answer) -> String {
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
    let body = answer.json();
    let id = body["request_id"].as_str().unwrap().to_owned();
    assert_eq!(body, json!({"request_id": id}));
    assert!(id.len() == 32 && id.chars().all(|c| c.is_ascii_hexdigit()), "{id}");
    id
}

/// An order example with a shop account and a receiver behind its placeholders.
struct Example {
    account: ShopAccount,
    receiver: Receiver,
    text: String,
}

impl Example {
    async fn new() -> Self {
        let (account, receiver) = (ShopAccount::with_totp().await, Receiver::start().await);
        let text = fill(CREATE_ORDER, &account, &receiver);
        Self { account, receiver, text }
    }

    /// The example with `change`, a printed snippet of members, in place of the members it names.
    async fn with(change: &str) -> Self {
        let mut example = Self::new().await;
        let change: Value =
            serde_json::from_str(&fill(change, &example.account, &example.receiver)).unwrap();
        let mut body: Value = serde_json::from_str(&example.text).unwrap();
        body.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        if change.get("shipping_method").is_some() {
            body.as_object_mut().unwrap().remove("shipping");
        }
        example.text = body.to_string();
        example
    }

    async fn ended(&self) -> Value {
        let id = request_id(&curl_order(&self.text).await);
        Api::first().ended(&id).await
    }

    async fn placed(&self) -> Value {
        let order = self.ended().await;
        assert_eq!(order["_type"], "order_response", "{order}");
        assert_eq!(self.account.ledger().await.len(), 1);
        order
    }
}

#[tokio::test]
async fn the_authentication_example_lists_orders() {
    let example = Example::new().await;
    let id = request_id(&curl_order(&example.text).await);
    let request = http().get(url("/v1/orders")).basic_auth(&STACK.client_token, Some(""));
    let listed = send(request).await.ok();
    let orders = listed["orders"].as_array().unwrap();
    for order in orders {
        assert_fields(
            order,
            &[
                ("request_id", Type::Text),
                ("_created_at", Type::V1Time),
                ("_type", Type::Text),
                ("request", Type::Object),
            ],
        );
    }
    Api::first().ended(&id).await;
}

#[tokio::test]
async fn the_idempotency_example_always_gets_the_first_answer() {
    let mut example = Example::new().await;
    // The example leaves out what the create example says.
    let key = format!("{{\n  \"idempotency_key\": \"{}\",", Uuid::new_v4());
    example.text = example.text.replacen('{', &key, 1);
    let first = curl_order(&example.text).await;
    let second = curl_order(&example.text).await;
    assert_eq!((first.status, &first.text), (second.status, &second.text));
    let order = Api::first().ended(&request_id(&first)).await;
    assert_eq!(order["_type"], "order_response", "{order}");
    assert_eq!(example.account.ledger().await.len(), 1);
}

#[tokio::test]
async fn the_create_order_example_is_bought_as_printed() {
    let example = Example::new().await;
    let order = example.placed().await;
    assert_eq!(order["request"]["payment_method"]["expiration_year"], 2020);
    let notes = json!({"our_internal_order_id": "abc123", "any_other_field": ["any value"]});
    assert_eq!(order["request"]["client_notes"], notes);
    example.receiver.wait_for("/zinc/order_placed", 1).await;
    assert!(example.receiver.arrivals("/zinc/order_failed").is_empty());
}

#[tokio::test]
async fn an_order_that_is_retrieved_at_once_is_processing() {
    let example = Example::new().await;
    example.account.behave("review", json!({"delay_ms": 1000, "times": 1})).await;
    let id = request_id(&curl_order(&example.text).await);
    let order = Api::first().get(&id).await;
    let documented = json!({
        "_type": "error",
        "code": "request_processing",
        "message": "Request is currently processing and will complete soon.",
        "data": {},
    });
    for (field, value) in documented.as_object().unwrap() {
        assert_eq!(&order[field], value, "{order}");
    }
    assert_fields(&order, &[("request", Type::Object), ("_created_at", Type::V1Time)]);
    Api::first().ended(&id).await;
}

#[tokio::test]
async fn an_order_response_has_every_documented_attribute() {
    let order = Example::new().await.placed().await;
    assert_fields(
        &order,
        &[
            ("_type", Type::Text),
            ("request_id", Type::Text),
            ("_created_at", Type::V1Time),
            ("price_components", Type::Object),
            ("merchant_order_ids", Type::List),
            ("tracking", Type::List),
            ("request", Type::Object),
            ("delivery_dates", Type::List),
            ("account_status", Type::Object),
            ("status_updates", Type::List),
        ],
    );
    for update in order["status_updates"].as_array().unwrap() {
        let fields = [
            ("_created_at", Type::V1Time),
            ("type", Type::Text),
            ("message", Type::Text),
            ("data", Type::Object),
        ];
        assert_fields(update, &fields);
    }
    let dates = order["delivery_dates"].as_array().unwrap();
    assert_eq!(dates.len(), 1);
    assert_eq!(dates[0]["product_id"], "B0016NHH56");
    assert_fields(&dates[0], &[("date", Type::Text), ("delivery_date", Type::Text)]);
}

#[tokio::test]
async fn price_components_are_whole_cents_that_add_up() {
    let order = Example::new().await.placed().await;
    let prices = &order["price_components"];
    assert_fields(
        prices,
        &[
            ("shipping", Type::Integer),
            ("product_subtotals", Type::List),
            ("subtotal", Type::Integer),
            ("tax", Type::Integer),
            ("total", Type::Integer),
        ],
    );
    let cents = |name: &str| prices[name].as_u64().unwrap();
    assert_eq!(cents("total"), cents("subtotal") + cents("shipping") + cents("tax"));
    // Paid by card: no gift balance was used.
    assert!(prices.get("gift_certificate").is_none_or(|used| used == 0), "{prices}");
}

#[tokio::test]
async fn merchant_order_ids_have_every_documented_attribute() {
    let example = Example::new().await;
    let order = example.placed().await;
    let ids = order["merchant_order_ids"].as_array().unwrap();
    assert_eq!(ids.len(), 1);
    assert_fields(
        &ids[0],
        &[
            ("merchant_order_id", Type::Text),
            ("merchant", Type::Text),
            ("account", Type::Text),
            ("placed_at", Type::V1Time),
            ("tracking", Type::List),
            ("product_ids", Type::List),
            // "If available".
            ("tracking_url", Type::TextOrNull),
            ("delivery_date", Type::Text),
        ],
    );
    assert_eq!(ids[0]["merchant"], "amazon");
    assert_eq!(ids[0]["account"], example.account.email);
    assert_eq!(ids[0]["product_ids"], json!(["B0016NHH56"]));
    // `Jan. 7, 2018`
    let date = ids[0]["delivery_date"].as_str().unwrap();
    let (month, rest) = date.split_once(". ").unwrap();
    let (day, year) = rest.split_once(", ").unwrap();
    assert!(month.len() == 3 && day.parse::<u8>().is_ok() && shape(year) == "0000", "{date}");
}

#[tokio::test]
async fn the_account_status_has_every_documented_attribute() {
    let order = Example::new().await.placed().await;
    assert_fields(
        &order["account_status"],
        &[
            ("prime", Type::Boolean),
            ("fresh", Type::Boolean),
            ("business", Type::Boolean),
            ("charity", Type::TextOrNull),
        ],
    );
    assert_eq!(order["account_status"]["prime"], true);
}

#[tokio::test]
async fn the_affiliate_snippet_is_taken_and_echoed() {
    let order = Example::with(r#"{"affiliate_info": {"tag": "yourtag-20"}}"#).await.placed().await;
    assert_eq!(order["request"]["affiliate_info"], json!({"tag": "yourtag-20"}));
}

#[tokio::test]
async fn the_shipping_object_keeps_its_limits() {
    let shipping = r#"{"shipping": {
        "order_by": "price",
        "max_days": 5,
        "max_price": 1000
    }}"#;
    let order = Example::with(shipping).await.placed().await;
    assert!(order["price_components"]["shipping"].as_u64() <= Some(1000), "{order}");
}

#[tokio::test]
async fn every_documented_shipping_method_is_taken() {
    for method in ["cheapest", "fastest", "free"] {
        // The fastest is not the cheapest, so that there is no limit here.
        let change = json!({"shipping_method": method, "max_price": null});
        let order = Example::with(&change.to_string()).await.placed().await;
        assert_eq!(order["request"]["shipping_method"], method);
        let shipping = order["price_components"]["shipping"].as_u64().unwrap();
        assert!(method != "free" || shipping == 0, "{order}");
    }
}

#[tokio::test]
async fn the_product_object_is_bought() {
    // Without the comma before its last brace, which is no JSON.
    let products = r#"{"max_price": 10000, "products": [{
        "product_id": "B06XGHJ5H3",
        "quantity": 1,
        "seller_selection_criteria": {
            "prime": true,
            "handling_days_max": 6,
            "condition_in": ["New"]
        }
    }]}"#;
    let order = Example::with(products).await.placed().await;
    assert_eq!(order["merchant_order_ids"][0]["product_ids"], json!(["B06XGHJ5H3"]));
}

#[tokio::test]
async fn the_seller_selection_criteria_object_chooses_an_offer() {
    // With the comma that the document lacks, and without the one it has too many.
    let products = r#"{"products": [{
        "product_id": "B0016NHH56",
        "quantity": 1,
        "seller_selection_criteria": {
            "addon": false,
            "condition_in": ["New"],
            "handling_days_max": 6,
            "max_item_price": 5350,
            "min_seller_num_ratings": 100,
            "prime": true
        }
    }]}"#;
    let order = Example::with(products).await.placed().await;
    assert!(order["price_components"]["subtotal"].as_u64() <= Some(5350), "{order}");
}

#[tokio::test]
async fn the_address_object_is_taken_and_echoed() {
    let address = r#"{
        "first_name": "Tim",
        "last_name": "Beaver",
        "address_line1": "77 Massachusetts Avenue",
        "address_line2": "",
        "zip_code": "02139",
        "city": "Cambridge",
        "state": "MA",
        "country": "US",
        "phone_number": "5551230101"
    }"#;
    let both = format!(r#"{{"shipping_address": {address}, "billing_address": {address}}}"#);
    let order = Example::with(&both).await.placed().await;
    let address: Value = serde_json::from_str(address).unwrap();
    assert_eq!(order["request"]["shipping_address"], address);
    assert_eq!(order["request"]["billing_address"], address);
}

#[tokio::test]
async fn the_payment_method_object_is_taken_and_echoed_without_its_secrets() {
    let payment = r#"{"payment_method": {
        "name_on_card": "Ben Bitdiddle",
        "number": "5555555555554444",
        "security_code": "123",
        "expiration_month": 1,
        "expiration_year": 2015,
        "use_gift": false
    }}"#;
    let order = Example::with(payment).await.placed().await;
    let rest = json!({
        "name_on_card": "Ben Bitdiddle",
        "expiration_month": 1,
        "expiration_year": 2015,
        "use_gift": false,
    });
    assert_eq!(order["request"]["payment_method"], rest);
}

#[tokio::test]
async fn the_gift_balance_pays() {
    let order = Example::with(r#"{"payment_method": {"use_gift": true}}"#).await.placed().await;
    let prices = &order["price_components"];
    assert_eq!(prices["gift_certificate"], prices["total"], "{prices}");
}

#[tokio::test]
async fn the_webhooks_object_names_who_is_told() {
    let webhooks = r#"{"webhooks": {
        "request_succeeded": "http://mywebsite.com/zinc/request_placed",
        "request_failed": "http://mywebsite.com/zinc/request_failed",
        "tracking_obtained": "http://mywebsite.com/zinc/tracking_obtained",
        "status_updated": "http://mywebsite.com/zinc/status_updated"
    }}"#;
    let example = Example::with(webhooks).await;
    let order = example.placed().await;
    let told = example.receiver.wait_for("/zinc/request_placed", 1).await;
    assert_eq!(told[0].body["_type"], "order_response");
    assert_eq!(told[0].body["request_id"], order["request_id"]);
    example.receiver.wait_for("/zinc/status_updated", 1).await;
    assert!(example.receiver.arrivals("/zinc/request_failed").is_empty());
}

#[tokio::test]
async fn a_failed_order_tells_the_older_name_of_the_webhook() {
    let products =
        json!({"products": [{"product_id": "SANDBOX-CREDIT-CARD-DECLINED", "quantity": 1}]});
    let example = Example::with(&products.to_string()).await;
    assert_eq!(example.ended().await["code"], "credit_card_declined");
    let told = example.receiver.wait_for("/zinc/order_failed", 1).await;
    assert_eq!(told[0].body["code"], "credit_card_declined");
    assert!(example.receiver.arrivals("/zinc/order_placed").is_empty());
}

#[tokio::test]
async fn the_retailer_credentials_object_signs_in() {
    let mut example = Example::new().await;
    example.account = ShopAccount::new().await;
    let credentials = format!(r#"{{"email": "{HIDDEN_EMAIL}", "password": "myRetailerPassword"}}"#);
    let credentials = fill(&credentials, &example.account, &example.receiver);
    let mut body: Value = serde_json::from_str(&example.text).unwrap();
    body["retailer_credentials"] = serde_json::from_str(&credentials).unwrap();
    example.text = body.to_string();
    let order = example.placed().await;
    assert_eq!(order["request"]["retailer_credentials"], json!({"email": example.account.email}));
}

#[tokio::test]
async fn a_verification_code_may_stand_beside_the_login() {
    let mut example = Example::new().await;
    let mut body: Value = serde_json::from_str(&example.text).unwrap();
    body["retailer_credentials"]["verification_code"] = json!(canaries::VERIFICATION_CODE);
    example.text = body.to_string();
    example.placed().await;
}

#[tokio::test]
async fn every_optional_attribute_is_taken_and_echoed() {
    let change = json!({
        "promo_codes": ["SAVE"],
        "ignore_invalid_promo_code": true,
        "po_number": 4_711,
        "is_gift": true,
        "gift_message": "Enjoy!",
        "bundled": false,
    });
    let order = Example::with(&change.to_string()).await.placed().await;
    for (name, value) in change.as_object().unwrap() {
        assert_eq!(&order["request"][name], value);
    }
}

#[tokio::test]
async fn an_error_says_what_it_is_about() {
    let product_id = "SANDBOX-PRODUCT-UNAVAILABLE";
    let products = json!({"products": [{"product_id": product_id, "quantity": 1}]});
    let order = Example::with(&products.to_string()).await.ended().await;
    assert_fields(
        &order,
        &[
            ("_type", Type::Text),
            ("code", Type::Text),
            ("message", Type::Text),
            ("data", Type::Object),
            ("request", Type::Object),
        ],
    );
    assert_eq!((&order["_type"], &order["code"]), (&json!("error"), &json!("product_unavailable")));
    assert_eq!(order["data"]["product_id"], product_id);
}

// The guides and the reference of managed accounts.

/// The fields of a managed account, in the guides and in the reference.
const ACCOUNT: [(&str, Type); 10] = [
    ("id", Type::Uuid),
    ("short_id", Type::ShortId),
    ("email", Type::Text),
    ("retailer", Type::TextOrNull),
    ("forwarding_email", Type::Text),
    ("has_totp", Type::Boolean),
    ("has_forwarding", Type::Boolean),
    ("retailer_config", Type::Object),
    ("created_at", Type::Time),
    ("updated_at", Type::Time),
];

/// `curl -X … -H "Authorization: Bearer <your_api_key>" -H "Content-Type: application/json" -d '…'`
async fn curl_account(method: Method, path: &str, text: Option<String>) -> Answer {
    let request = http().request(method, url(path)).bearer_auth(&STACK.client_token);
    send(match text {
        Some(text) => request.header(header::CONTENT_TYPE, "application/json").body(text),
        None => request,
    })
    .await
}

fn fill_account(printed: &str) -> String {
    let mut text = printed
        .replace(HIDDEN_EMAIL, &format!("{}@example.com", Uuid::new_v4().simple()))
        .replace("your-amazon-password", &canaries::password())
        .replace("new-password", &canaries::password())
        .replace("YOUR_64_CHARACTER_SECRET_KEY", &canaries::totp_secret());
    // The reference prints its four texts as `<string>`.
    let email = format!("{}@example.com", Uuid::new_v4().simple());
    for value in [&email, &canaries::password(), "amazon", &canaries::totp_secret()] {
        text = text.replacen("<string>", value, 1);
    }
    text
}

/// Creates an account with a printed body and checks the answer.
async fn create(path: &str, printed: &str) -> Value {
    let text = fill_account(printed);
    let answer = curl_account(Method::POST, path, Some(text.clone())).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.text);
    let (account, sent) = (answer.json(), serde_json::from_str::<Value>(&text).unwrap());
    assert_fields(&account, &ACCOUNT);
    assert_eq!((&account["email"], &account["retailer"]), (&sent["email"], &json!("amazon")));
    assert_eq!(account["has_totp"], sent.get("totp_secret").is_some());
    assert_eq!(account["has_forwarding"], false);
    assert_eq!(account["created_at"], account["updated_at"]);
    let forwarding = account["forwarding_email"].as_str().unwrap();
    assert!(forwarding.ends_with(&format!("@{}", STACK.inbound_domain)), "{forwarding}");
    account
}

/// Deletes it, so that no order of another test takes it.
async fn delete(path: &str, account: &Value) {
    let path = format!("{path}/{}", account["short_id"].as_str().unwrap());
    let answer = curl_account(Method::DELETE, &path, None).await;
    assert_eq!((answer.status, answer.text.as_str()), (StatusCode::NO_CONTENT, ""));
}

async fn list_example(path: &str, printed: &str) {
    let account = create(path, printed).await;
    let listed = curl_account(Method::GET, path, None).await.ok();
    assert_fields(&listed, &[("credentials", Type::List), ("total", Type::Integer)]);
    let credentials = listed["credentials"].as_array().unwrap();
    for account in credentials {
        assert_fields(account, &ACCOUNT);
    }
    let found = credentials.iter().find(|one| one["short_id"] == account["short_id"]);
    assert_eq!(found, Some(&account));
    delete(path, &account).await;
}

async fn update_example(path: &str, printed: &str) {
    let account = create(path, printed).await;
    let one = format!("{path}/{}", account["short_id"].as_str().unwrap());
    let answer = curl_account(Method::PUT, &one, Some(fill_account(UPDATE_ACCOUNT))).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
    let updated = answer.json();
    assert_fields(&updated, &ACCOUNT);
    for (name, value) in account.as_object().unwrap() {
        assert!(name == "updated_at" || &updated[name] == value, "{name} changed: {updated}");
    }
    assert!(updated["updated_at"].as_str() > account["updated_at"].as_str());
    delete(path, &account).await;
}

async fn delete_example(path: &str, printed: &str) {
    let account = create(path, printed).await;
    delete(path, &account).await;
    let email = account["email"].as_str().unwrap();
    let listed = curl_account(Method::GET, &format!("{path}?search={email}"), None).await.ok();
    let left = listed["credentials"].as_array().unwrap();
    assert!(left.iter().all(|one| one["short_id"] != account["short_id"]));
}

#[tokio::test]
async fn the_guides_create_example_stores_an_account() {
    let account = create("/managed-accounts", CREATE_ACCOUNT).await;
    assert_eq!(account["email"], "your-amazon-email@example.com");
    delete("/managed-accounts", &account).await;
}

/// Whoever tries an example twice has two accounts for one login, perhaps with others in between.
#[tokio::test]
async fn the_guides_create_example_can_be_sent_twice() {
    let path = "/managed-accounts";
    let mut accounts = Vec::new();
    for printed in [CREATE_ACCOUNT, CREATE_USERS_ACCOUNT, CREATE_ACCOUNT] {
        accounts.push(create(path, printed).await);
    }
    let listed = curl_account(Method::GET, path, None).await.ok();
    let credentials = listed["credentials"].as_array().unwrap();
    for account in accounts {
        assert!(credentials.iter().any(|one| one["short_id"] == account["short_id"]));
        delete(path, &account).await;
    }
}

#[tokio::test]
async fn the_guides_list_example_shows_every_field() {
    list_example("/managed-accounts", CREATE_ACCOUNT).await;
}

#[tokio::test]
async fn the_guides_update_example_changes_the_password_only() {
    update_example("/managed-accounts", CREATE_ACCOUNT).await;
}

#[tokio::test]
async fn the_guides_delete_example_deletes() {
    delete_example("/managed-accounts", CREATE_ACCOUNT).await;
}

#[tokio::test]
async fn the_older_guides_create_example_stores_an_account() {
    let account = create("/users/managed-accounts", CREATE_USERS_ACCOUNT).await;
    assert_eq!(account["has_totp"], false);
    delete("/users/managed-accounts", &account).await;
}

#[tokio::test]
async fn the_older_guides_list_example_shows_every_field() {
    list_example("/users/managed-accounts", CREATE_USERS_ACCOUNT).await;
}

#[tokio::test]
async fn the_older_guides_update_example_changes_the_password_only() {
    update_example("/users/managed-accounts", CREATE_USERS_ACCOUNT).await;
}

#[tokio::test]
async fn the_older_guides_delete_example_deletes() {
    delete_example("/users/managed-accounts", CREATE_USERS_ACCOUNT).await;
}

#[tokio::test]
async fn the_references_create_example_stores_every_field() {
    let account = create("/managed-accounts", CREATE_ACCOUNT_REFERENCE).await;
    assert_eq!(account["has_totp"], true);
    assert_eq!(account["retailer_config"], json!({}));
    delete("/managed-accounts", &account).await;
}
