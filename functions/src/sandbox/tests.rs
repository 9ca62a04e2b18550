//! The shop and its connector together, over HTTP and a real `DynamoDB` API.

use std::time::Duration;

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_dynamodb::{
    Client,
    config::{Credentials, SharedCredentialsProvider},
    types::{AttributeDefinition, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType},
};
use axum::{Json, Router, body::Bytes, http::HeaderMap, routing::post};
use base64::{Engine, prelude::BASE64_STANDARD};
use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use spelter::{
    accounts::credentials::Login,
    aws::vault::Vault,
    clock::{self, Clock},
    error::Code,
    fields,
    money::Cents,
    orders::{
        purchase::{Address, Payment},
        selection::{self, Criteria},
        shipping::{self, ShippingChoice},
    },
    retailers::{
        Card, CartLine, Checkout, Connector, PastOrder, Review, StepError, SubmitError,
        sandbox::{Sandbox, Session},
    },
    totp::TotpSecret,
};
use tokio::net::TcpListener;
use url::Url;

use super::{Shop, accounts, behaviour::Step, magic, router, store::Store};

const ADMIN_TOKEN: &str = "token-of-the-admin";
const TABLE: &str = "sandbox";
const EMAIL: &str = "Tim@Example.com";
const PASSWORD: &str = "canary-password";
const TOTP: &str = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ";
const PATIENCE: Duration = Duration::from_secs(10);

struct World {
    base_url: Url,
    http: reqwest::Client,
    db: Client,
    sandbox: Sandbox,
}

async fn serve(router: Router) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async { axum::serve(listener, router).await });
    url
}

/// Seals by turning a text around: enough to see that what is stored went through here.
async fn kms(headers: HeaderMap, body: Bytes) -> Json<Value> {
    let request: Value = serde_json::from_slice(&body).unwrap();
    let reversed = |name: &str| {
        let mut bytes = BASE64_STANDARD.decode(request[name].as_str().unwrap()).unwrap();
        bytes.reverse();
        BASE64_STANDARD.encode(bytes)
    };
    if headers["x-amz-target"].to_str().unwrap().ends_with("Encrypt") {
        Json(json!({ "CiphertextBlob": reversed("Plaintext"), "KeyId": "k" }))
    } else {
        Json(json!({ "Plaintext": reversed("CiphertextBlob"), "KeyId": "k" }))
    }
}

fn config(url: String) -> SdkConfig {
    let http = aws_smithy_http_client::Builder::new().build_http();
    SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::from_static("us-east-1"))
        .credentials_provider(SharedCredentialsProvider::new(Credentials::new(
            "a", "s", None, None, "test",
        )))
        .http_client(http)
        .endpoint_url(url)
        .build()
}

async fn create_table(db: &Client) {
    let attribute = |name| {
        AttributeDefinition::builder()
            .attribute_name(name)
            .attribute_type(ScalarAttributeType::S)
            .build()
            .unwrap()
    };
    let key = |name, kind| {
        KeySchemaElement::builder().attribute_name(name).key_type(kind).build().unwrap()
    };
    db.create_table()
        .table_name(TABLE)
        .billing_mode(BillingMode::PayPerRequest)
        .attribute_definitions(attribute("pk"))
        .attribute_definitions(attribute("sk"))
        .key_schema(key("pk", KeyType::Hash))
        .key_schema(key("sk", KeyType::Range))
        .send()
        .await
        .unwrap();
}

impl World {
    async fn new() -> Self {
        Self::with(ADMIN_TOKEN, clock::system).await
    }

    async fn with(admin_token: &str, now: Clock) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let dynamodb = config(format!("http://{}", listener.local_addr().unwrap()));
        tokio::spawn(dynoxide::server::serve_on(listener, dynoxide::Database::memory().unwrap()));
        let db = Client::new(&dynamodb);
        create_table(&db).await;
        let kms = serve(Router::new().route("/", post(kms))).await;
        let shop = Shop {
            store: Store::new(&dynamodb, TABLE.to_owned()),
            vault: Vault::new(&config(kms), "key".to_owned()),
            admin_token: admin_token.into(),
            now,
            hang_up: || panic!("hangs up, as it was told to"),
        };
        let base_url: Url = serve(router(shop)).await.parse().unwrap();
        // Fails when another test was first, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::new();
        Self { sandbox: Sandbox::new(base_url.clone(), http.clone()), base_url, http, db }
    }

    async fn admin(&self, method: reqwest::Method, path: &str, body: Value) -> (u16, Value) {
        let request = self.http.request(method, self.base_url.join(path).unwrap()).json(&body);
        let response = request.header("x-admin-token", ADMIN_TOKEN).send().await.unwrap();
        (response.status().as_u16(), response.json().await.unwrap())
    }

    async fn put(&self, path: &str, body: Value) {
        let method =
            if path.ends_with("accounts") { reqwest::Method::POST } else { reqwest::Method::PUT };
        let answer = self.admin(method, path, body).await;
        assert_eq!(answer.0, 200, "{answer:?}");
    }

    async fn ledger(&self) -> Vec<Value> {
        let (_, mut answer) = self.admin(reqwest::Method::GET, "admin/ledger", json!({})).await;
        serde_json::from_value(answer["purchases"].take()).unwrap()
    }

    async fn journal(&self) -> Vec<Value> {
        let (_, mut answer) = self.admin(reqwest::Method::GET, "admin/journal", json!({})).await;
        serde_json::from_value(answer["entries"].take()).unwrap()
    }

    async fn visit(&self) -> Session {
        let login = login(accounts::BUILT_IN_EMAIL, accounts::BUILT_IN_PASSWORD, None);
        self.sandbox.sign_in(&login, clock::system()).await.unwrap()
    }

    /// Everything up to the button.
    async fn prepare(
        &self,
        session: &Session,
        product_id: &str,
        how: &How,
    ) -> Result<Review, StepError> {
        let offers = self.sandbox.offers(session, product_id).await?;
        let offer = selection::choose(&offers, &Criteria::default()).unwrap();
        let line = CartLine {
            product_id: product_id.to_owned(),
            offer_id: offer.offer_id.clone(),
            quantity: 1,
        };
        self.sandbox.fill_cart(session, &[line]).await?;
        let options = self.sandbox.shipping_options(session, &how.address).await?;
        let within = ShippingChoice::Within {
            order_by: shipping::OrderBy::Price,
            max_days: Some(5),
            max_price: Some(Cents(1_000)),
        };
        let checkout = Checkout {
            shipping_address: &how.address,
            billing_address: Some(&how.address),
            shipping_option: &shipping::choose(&options, within).unwrap().id,
            payment: &how.payment,
            card: how.card.as_ref(),
            is_gift: true,
            gift_message: Some("Enjoy!"),
            promo_codes: &how.promo_codes,
        };
        self.sandbox.review(session, &checkout).await
    }

    async fn buy(&self, product_id: &str) -> Result<PastOrder, SubmitError> {
        let session = self.visit().await;
        let review = self.prepare(&session, product_id, &How::default()).await.unwrap();
        self.sandbox.submit(&session, &review, PATIENCE).await
    }
}

fn login(email: &str, password: &str, totp: Option<&str>) -> Login {
    Login {
        email: email.parse().unwrap(),
        password: password.into(),
        totp: totp.map(|text| text.parse().unwrap()),
        verification_code: None,
    }
}

struct How {
    address: Address,
    payment: Payment,
    card: Option<Card>,
    promo_codes: Vec<String>,
}

impl Default for How {
    fn default() -> Self {
        let address = json!({
            "first_name": "Tim", "last_name": "Beaver", "address_line1": "77 Massachusetts Avenue",
            "address_line2": null, "zip_code": "02139", "city": "Cambridge", "state": "MA", "country": "US",
            "phone_number": "5551230101",
        });
        Self {
            address: fields::read(fields::without_blanks(address)).unwrap(),
            payment: Payment::default(),
            card: None,
            promo_codes: Vec::new(),
        }
    }
}

fn code<T>(outcome: Result<T, StepError>) -> Option<Code> {
    match outcome {
        Ok(_) => None,
        Err(StepError::Refused(refusal)) => Some(refusal.code),
        Err(StepError::Unavailable(_)) => Some(Code::InternalError),
    }
}

#[tokio::test]
async fn a_purchase_goes_all_the_way() {
    let world = World::new().await;
    let before = clock::system();
    let session = world.visit().await;
    assert!(world.sandbox.account_status(&session).await.unwrap().prime);
    let review = world.prepare(&session, "B0016NHH56", &How::default()).await.unwrap();
    assert_eq!(
        (review.subtotal, review.shipping, review.tax),
        (Cents(1_999), Cents(0), Cents(125))
    );
    assert_eq!(review.total, Cents(2_124));
    assert_eq!(review.product_subtotals, [("B0016NHH56".to_owned(), Cents(1_999))]);

    let placed = world.sandbox.submit(&session, &review, PATIENCE).await.unwrap();
    assert_eq!((placed.total, placed.zip_code.as_str()), (Cents(2_124), "02139"));
    assert_eq!(placed.products, [("B0016NHH56".to_owned(), 1)]);
    let history = world.sandbox.history(&session, before).await.unwrap();
    assert_eq!(history, std::slice::from_ref(&placed));
    assert_eq!(world.sandbox.history(&session, clock::system()).await.unwrap(), []);

    let ledger = world.ledger().await;
    assert_eq!(ledger.len(), 1);
    assert_eq!(ledger[0]["order_id"], placed.merchant_order_id);
    assert_eq!(ledger[0]["name"], "Tim Beaver");
    assert_eq!(ledger[0]["gift"], true);

    let journal = world.journal().await;
    let kinds: Vec<_> = journal.iter().map(|entry| entry["kind"].as_str().unwrap()).collect();
    assert_eq!(
        kinds,
        [
            "sign_in", "account", "offers", "cart", "shipping", "review", "submit", "history",
            "history"
        ]
    );
    for entry in &journal {
        assert_eq!(entry["session"], ledger[0]["session"]);
        assert!(entry["ended_at_ms"].as_i64() >= entry["started_at_ms"].as_i64());
    }
}

#[tokio::test]
async fn a_checkout_that_is_submitted_twice_buys_twice() {
    let world = World::new().await;
    let session = world.visit().await;
    let review = world.prepare(&session, "B00KFP6NHO", &How::default()).await.unwrap();
    let first = world.sandbox.submit(&session, &review, PATIENCE).await.unwrap();
    let second = world.sandbox.submit(&session, &review, PATIENCE).await.unwrap();
    assert_ne!(first.merchant_order_id, second.merchant_order_id);
    let checkouts: Vec<_> =
        world.ledger().await.into_iter().map(|purchase| purchase["checkout_id"].clone()).collect();
    assert_eq!(checkouts, [json!(review.checkout_id), json!(review.checkout_id)]);
}

#[tokio::test]
async fn only_the_right_secrets_open_an_account() {
    let world = World::new().await;
    let account =
        json!({ "email": EMAIL, "password": PASSWORD, "totp_secret": TOTP, "prime": true });
    world.put("admin/accounts", account).await;
    let now = clock::system();
    let other = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP";
    let cases = [
        (login(EMAIL, PASSWORD, Some(TOTP)), None),
        (login("tim@example.com", PASSWORD, Some(TOTP)), None),
        (login(EMAIL, "wrong", Some(TOTP)), Some(Code::InvalidLoginCredentials)),
        (login("nobody@example.com", PASSWORD, None), Some(Code::InvalidLoginCredentials)),
        (login(EMAIL, PASSWORD, None), Some(Code::AccountLoginFailed)),
        (login(EMAIL, PASSWORD, Some(other)), Some(Code::AccountLoginFailed)),
    ];
    for (login, expected) in cases {
        assert_eq!(code(world.sandbox.sign_in(&login, now).await), expected);
    }
}

#[tokio::test]
async fn nothing_secret_is_kept_in_clear() {
    let world = World::new().await;
    let account = json!({ "email": EMAIL, "password": PASSWORD, "totp_secret": TOTP });
    world.put("admin/accounts", account).await;
    let code = TOTP.parse::<TotpSecret>().unwrap().code(clock::system());
    let sign_in = json!({ "email": EMAIL, "password": PASSWORD, "totp": code.expose_secret() });
    let answer = world
        .http
        .post(world.base_url.join("sign-in").unwrap())
        .json(&sign_in)
        .send()
        .await
        .unwrap();
    let token = answer.json::<Value>().await.unwrap()["session"].as_str().unwrap().to_owned();

    let session = world.visit().await;
    let card = Card { number: "5555555555554444".into(), security_code: "8731".into() };
    let how = How { card: Some(card), ..How::default() };
    let review = world.prepare(&session, "B0016NHH56", &how).await.unwrap();
    world.sandbox.submit(&session, &review, PATIENCE).await.unwrap();

    let dump = format!("{:?}", world.db.scan().table_name(TABLE).send().await.unwrap().items());
    assert!(dump.contains("tim@example.com"));
    for secret in [PASSWORD, TOTP, &token, "5555555555554444", "8731", "Massachusetts"] {
        assert!(!dump.contains(secret), "{secret}");
    }
}

#[tokio::test]
async fn a_connection_that_breaks_after_the_commit_leaves_the_purchase() {
    let world = World::new().await;
    let before = clock::system();
    let drop = json!({ "drop": true, "times": 1 });
    let told =
        json!({ "product_id": "B0016NHH56", "step": "submit_after_commit", "behaviour": drop });
    world.put("admin/behaviours", told).await;

    assert!(matches!(world.buy("B0016NHH56").await, Err(SubmitError::Unconfirmed(_))));
    let session = world.visit().await;
    assert_eq!(world.sandbox.history(&session, before).await.unwrap().len(), 1);
    assert_eq!(world.ledger().await.len(), 1);
    let journal = world.journal().await;
    let submit = journal.iter().find(|entry| entry["kind"] == "submit").unwrap();
    assert_eq!(submit["ended_at_ms"], Value::Null);

    world.buy("B0016NHH56").await.unwrap();
}

#[tokio::test]
async fn a_connection_that_breaks_before_the_commit_leaves_nothing() {
    let world = World::new().await;
    let told = json!({ "email": accounts::BUILT_IN_EMAIL, "step": "submit_before_commit", "behaviour": { "drop": true } });
    world.put("admin/behaviours", told).await;
    assert!(matches!(world.buy("B0016NHH56").await, Err(SubmitError::Unconfirmed(_))));
    assert_eq!(world.ledger().await.len(), 0);

    let path = format!("admin/behaviours?email={}", accounts::BUILT_IN_EMAIL);
    world.admin(reqwest::Method::DELETE, &path, json!({})).await;
    world.buy("B0016NHH56").await.unwrap();
}

#[tokio::test]
async fn a_slow_shop_is_given_up_and_has_bought_all_the_same() {
    let world = World::new().await;
    let told = json!({ "product_id": "B0016NHH56", "step": "submit_after_commit", "behaviour": { "delay_ms": 5_000 } });
    world.put("admin/behaviours", told).await;
    let session = world.visit().await;
    let review = world.prepare(&session, "B0016NHH56", &How::default()).await.unwrap();
    let outcome = world.sandbox.submit(&session, &review, Duration::from_secs(2)).await;
    assert!(matches!(outcome, Err(SubmitError::Unconfirmed(_))));
    assert_eq!(world.ledger().await.len(), 1);
}

#[tokio::test]
async fn a_press_that_is_answered_too_late_buys_nothing() {
    let world = World::new().await;
    let told = json!({ "product_id": "B0016NHH56", "step": "submit_before_commit", "behaviour": { "delay_ms": 3_100 } });
    world.put("admin/behaviours", told).await;
    assert!(matches!(world.buy("B0016NHH56").await, Err(SubmitError::Unconfirmed(_))));
    assert_eq!(world.ledger().await.len(), 0);
}

#[tokio::test]
async fn a_history_can_lag() {
    let world = World::with(ADMIN_TOKEN, || Timestamp::UNIX_EPOCH).await;
    let told = json!({ "email": accounts::BUILT_IN_EMAIL, "step": "history", "behaviour": { "history_lag_ms": 2_000, "times": 1 } });
    world.put("admin/behaviours", told).await;
    world.buy("B0016NHH56").await.unwrap();
    let session = world.visit().await;
    assert_eq!(world.sandbox.history(&session, Timestamp::UNIX_EPOCH).await.unwrap().len(), 0);
    assert_eq!(world.sandbox.history(&session, Timestamp::UNIX_EPOCH).await.unwrap().len(), 1);
}

#[tokio::test]
async fn magic_products_fail_with_their_code_at_their_step() {
    let world = World::new().await;
    let session = world.visit().await;
    for known in Code::ALL {
        let product_id = format!("SANDBOX-{}", known.as_str().to_uppercase().replace('_', "-"));
        let Some((_, step)) = magic::of(&product_id) else {
            continue;
        };
        let bought = world.ledger().await.len();
        let raised = match world.prepare(&session, &product_id, &How::default()).await {
            Err(error) => code::<()>(Err(error)),
            Ok(review) => match world.sandbox.submit(&session, &review, PATIENCE).await {
                Err(SubmitError::Refused(refusal)) => Some(refusal.code),
                outcome => panic!("{product_id}: {outcome:?}"),
            },
        };
        assert_eq!(raised, Some(known), "{product_id}");
        let committed = usize::from(step == Step::SubmitAfterCommit);
        assert_eq!(world.ledger().await.len() - bought, committed, "{product_id}");
    }
}

#[tokio::test]
async fn gift_balances_are_spent() {
    let world = World::new().await;
    let account =
        json!({ "email": EMAIL, "password": PASSWORD, "gift_balance_cents": 4_300, "prime": true });
    world.put("admin/accounts", account).await;
    let session =
        world.sandbox.sign_in(&login(EMAIL, PASSWORD, None), clock::system()).await.unwrap();
    let how = How { payment: Payment { use_gift: true, ..Payment::default() }, ..How::default() };
    let review = world.prepare(&session, "B0016NHH56", &how).await.unwrap();
    assert_eq!(review.gift_certificate, Some(Cents(2_124)));
    for _ in 0..2 {
        world.sandbox.submit(&session, &review, PATIENCE).await.unwrap();
    }
    // 52 cents are left: the button says no, and so does the next review.
    let third = world.sandbox.submit(&session, &review, PATIENCE).await;
    assert!(
        matches!(third, Err(SubmitError::Refused(refusal)) if refusal.code == Code::PaymentInfoProblem)
    );
    assert_eq!(
        code(world.prepare(&session, "B0016NHH56", &how).await),
        Some(Code::PaymentInfoProblem)
    );
    assert_eq!(world.ledger().await.len(), 2);
}

#[tokio::test]
async fn promo_codes_are_taken_or_named() {
    let world = World::new().await;
    let session = world.visit().await;
    let how =
        How { promo_codes: vec!["NONSENSE".to_owned(), "SAVE10".to_owned()], ..How::default() };
    let review = world.prepare(&session, "B0016NHH56", &how).await.unwrap();
    assert_eq!(review.rejected_promo_codes, ["NONSENSE"]);
    assert_eq!(review.subtotal, Cents(1_799));
}

#[tokio::test]
async fn parcels_do_not_go_everywhere() {
    let world = World::new().await;
    let session = world.visit().await;
    let mut how = How::default();
    how.address.country = "AQ".to_owned();
    assert_eq!(
        code(world.prepare(&session, "B0016NHH56", &how).await),
        Some(Code::ShippingAddressUnavailable)
    );
}

#[tokio::test]
async fn bad_requests_name_the_field() {
    let world = World::new().await;
    let cases = [
        ("accounts", json!({ "email": "x", "password": "p" }), "email"),
        ("accounts", json!({ "email": EMAIL }), "password"),
        (
            "accounts",
            json!({ "email": EMAIL, "password": "p", "totp_secret": "123456" }),
            "totp_secret",
        ),
        ("behaviours", json!({ "step": "offers", "behaviour": {} }), "email"),
        ("behaviours", json!({ "email": EMAIL, "step": "lunch", "behaviour": {} }), "step"),
        (
            "behaviours",
            json!({ "email": EMAIL, "step": "offers", "behaviour": { "fail": "no_such_code" } }),
            "behaviour.fail",
        ),
    ];
    for (path, body, field) in cases {
        let method = if path == "accounts" { reqwest::Method::POST } else { reqwest::Method::PUT };
        let answer = world.admin(method, &format!("admin/{path}"), body).await;
        assert_eq!(answer, (400, json!({ "error": "bad_request", "field": field })));
    }
}

#[tokio::test]
async fn only_the_admin_may_see_the_ledger() {
    for (configured, given, expected) in [
        ("", "", 404),
        ("", "x", 404),
        ("secret", "", 403),
        ("secret", "secrets", 403),
        ("secret", "secret", 200),
    ] {
        let world = World::with(configured, clock::system).await;
        let request = world
            .http
            .get(world.base_url.join("admin/ledger").unwrap())
            .header("x-admin-token", given);
        assert_eq!(
            request.send().await.unwrap().status().as_u16(),
            expected,
            "{configured} {given}"
        );
    }
}

#[tokio::test]
async fn without_a_session_there_is_no_shopping() {
    let world = World::new().await;
    let token: SecretString = "made-up".into();
    for path in ["account", "orders", "products/B0016NHH56/offers"] {
        let request = world.http.get(world.base_url.join(path).unwrap());
        let response = request.bearer_auth(token.expose_secret()).send().await.unwrap();
        assert_eq!(response.status().as_u16(), 401);
        assert_eq!(response.json::<Value>().await.unwrap(), json!({ "error": "session_expired" }));
    }
}
