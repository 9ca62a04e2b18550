//! The shop and its connector together, over HTTP and a real `DynamoDB` API.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, Mutex},
    time::Duration,
};

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
    aws::{mailer::Mailer, vault::Vault},
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
        Cancelled, Card, CartLine, Checkout, Connector, Factor, OrderProgress, PastOrder, Question,
        RetailerCode, ReturnOrder, Review, Shipment, SignIn, StartedReturn, StepError, SubmitError,
        sandbox::{Sandbox, Session},
    },
    totp::TotpSecret,
};
use tokio::net::TcpListener;
use url::{Url, form_urlencoded};

use super::{
    Shop, accounts, behaviour::Step, magic, market::Market, post_office::PostOffice, router,
    store::Store,
};

const ADMIN_TOKEN: &str = "token-of-the-admin";
const TABLE: &str = "sandbox";
const EMAIL: &str = "Tim@Example.com";
const PASSWORD: &str = "canary-password";
const TOTP: &str = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ";
const PATIENCE: Duration = Duration::from_secs(10);

struct World {
    base_url: Url,
    /// Mailboxes and what was sent to them.
    mails: Arc<Mutex<Vec<(String, String)>>>,
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

/// Keeps what is sent.
fn ses(mails: Arc<Mutex<Vec<(String, String)>>>) -> Router {
    let send = async move |body: String| {
        let form: HashMap<_, _> = form_urlencoded::parse(body.as_bytes()).into_owned().collect();
        let message = BASE64_STANDARD.decode(&form["RawMessage.Data"]).unwrap();
        let message = String::from_utf8(message).unwrap();
        mails.lock().unwrap().push((form["Destinations.member.1"].clone(), message));
        "<SendRawEmailResponse><SendRawEmailResult><MessageId>1</MessageId></SendRawEmailResult></SendRawEmailResponse>"
    };
    Router::new().route("/", post(send))
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
        let mails = Arc::default();
        let shop = Shop {
            store: Store::new(&dynamodb, TABLE.to_owned()),
            vault: Vault::new(&config(kms), "key".to_owned()),
            post_office: PostOffice {
                mailer: Mailer::new(&config(serve(ses(Arc::clone(&mails))).await)),
                domain: "sandbox.mail.example".to_owned(),
            },
            admin_token: admin_token.into(),
            now,
            hang_up: || panic!("hangs up, as it was told to"),
        };
        let base_url: Url = serve(router(shop)).await.parse().unwrap();
        // Fails when another test was first, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::new();
        Self { sandbox: Sandbox::new(base_url.clone(), http.clone()), base_url, mails, http, db }
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
        self.sign_in(&login).await.unwrap()
    }

    /// Signs in where no code is asked for, or with the code of an authenticator.
    async fn sign_in(&self, login: &Login) -> Result<Session, StepError> {
        self.sign_in_to(login, RetailerCode::Amazon).await
    }

    async fn sign_in_to(&self, login: &Login, market: RetailerCode) -> Result<Session, StepError> {
        match self.sandbox.sign_in(login, market).await? {
            SignIn::In(session) => Ok(session),
            SignIn::Asks(question) => {
                let secret = login.totp.as_ref().expect("a question is expected");
                let answer = self.sandbox.answer(&question.visit, &totp_code(secret, 0)).await?;
                Ok(session(answer).expect("the code is right"))
            }
        }
    }

    /// What the shop asks after the password.
    async fn asked(&self, login: &Login) -> Question {
        match self.sandbox.sign_in(login, RetailerCode::Amazon).await.unwrap() {
            SignIn::In(_) => panic!("the shop asks nothing"),
            SignIn::Asks(question) => question,
        }
    }

    async fn answer(&self, question: &Question, code: &SecretString) -> Option<Session> {
        session(self.sandbox.answer(&question.visit, code).await.unwrap())
    }

    /// The code in the newest mail that the shop has sent to `mailbox`.
    fn mailed_code(&self, mailbox: &str) -> SecretString {
        let mails = self.mails.lock().unwrap();
        let newest = mails.iter().rfind(|(to, _)| to == mailbox).expect("a mail");
        let (_, rest) = newest.1.split_once("verification code is ").expect("a code");
        rest[..6].into()
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
        let lines = [line];
        self.sandbox.fill_cart(session, &lines).await?;
        let options = self.sandbox.shipping_options(session, &lines, &how.address).await?;
        let within = ShippingChoice::Within {
            order_by: shipping::OrderBy::Price,
            max_days: Some(5),
            max_price: Some(Cents(1_000)),
        };
        let option = &shipping::choose(&options, within).unwrap().id;
        let shipments = vec![shipment(&lines, &how.address, option)];
        let mut reviews = self.review(session, shipments, how).await?;
        assert_eq!(reviews.len(), 1);
        Ok(reviews.remove(0))
    }

    async fn review(
        &self,
        session: &Session,
        shipments: Vec<Shipment<'_>>,
        how: &How,
    ) -> Result<Vec<Review>, StepError> {
        let checkout = Checkout {
            shipments,
            billing_address: Some(&how.address),
            payment: &how.payment,
            card: how.card.as_ref(),
            promo_codes: &how.promo_codes,
            po_number: Some("PO-1"),
            affiliate_tag: Some("yourtag-20"),
        };
        self.sandbox.review(session, &checkout).await
    }

    async fn submit(&self, session: &Session, review: &Review) -> Result<PastOrder, SubmitError> {
        let mut orders = self.sandbox.submit(session, &review.checkout_id, PATIENCE).await?;
        assert_eq!(orders.len(), 1);
        Ok(orders.remove(0))
    }

    async fn buy(&self, product_id: &str) -> Result<PastOrder, SubmitError> {
        let session = self.visit().await;
        let review = self.prepare(&session, product_id, &How::default()).await.unwrap();
        self.submit(&session, &review).await
    }

    /// The whole history since then.
    async fn history(&self, session: &Session, since: Timestamp) -> Vec<PastOrder> {
        let (mut orders, mut from) = (Vec::new(), None);
        loop {
            let page = self.sandbox.history(session, since, from.as_deref()).await.unwrap();
            orders.extend(page.orders);
            from = page.next;
            if from.is_none() {
                return orders;
            }
        }
    }

    /// What the admin does with an order or a return.
    async fn clerk(&self, path: &str, body: Value) {
        let answer = self.admin(reqwest::Method::POST, &format!("admin/{path}"), body).await;
        assert_eq!(answer.0, 200, "{answer:?}");
    }

    /// What the built-in account can spend.
    async fn gift_balance(&self) -> u64 {
        let credentials =
            json!({ "email": accounts::BUILT_IN_EMAIL, "password": accounts::BUILT_IN_PASSWORD });
        let url = |path| self.base_url.join(path).unwrap();
        let answer = self.http.post(url("sign-in")).json(&credentials).send().await.unwrap();
        let answer: Value = answer.json().await.unwrap();
        let account =
            self.http.get(url("account")).bearer_auth(answer["session"].as_str().unwrap());
        let account: Value = account.send().await.unwrap().json().await.unwrap();
        account["gift_balance_cents"].as_u64().unwrap()
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

fn session(answer: SignIn<Session>) -> Option<Session> {
    match answer {
        SignIn::In(session) => Some(session),
        SignIn::Asks(question) => {
            assert!(question.again);
            None
        }
    }
}

/// The code of so many steps after this one.
fn totp_code(secret: &TotpSecret, steps: i64) -> SecretString {
    secret.code(clock::system() + jiff::SignedDuration::from_secs(30 * steps))
}

fn line(product_id: &str, offer_id: &str, quantity: u32) -> CartLine {
    CartLine { product_id: product_id.to_owned(), offer_id: offer_id.to_owned(), quantity }
}

fn shipment<'a>(lines: &'a [CartLine], address: &'a Address, option: &'a str) -> Shipment<'a> {
    Shipment {
        lines,
        address,
        shipping_option: option,
        is_gift: true,
        gift_message: Some("Enjoy!"),
    }
}

fn by_gift_balance() -> How {
    How { payment: Payment { use_gift: true, ..Payment::default() }, ..How::default() }
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

    let placed = world.submit(&session, &review).await.unwrap();
    assert_eq!((placed.total, placed.zip_code.as_str()), (Cents(2_124), "02139"));
    assert_eq!(placed.products, [("B0016NHH56".to_owned(), 1)]);
    let history = world.history(&session, before).await;
    assert_eq!(history, std::slice::from_ref(&placed));
    assert_eq!(world.history(&session, clock::system()).await, []);

    let ledger = world.ledger().await;
    assert_eq!(ledger.len(), 1);
    assert_eq!(ledger[0]["total_cents"], 2_124);
    assert_eq!(ledger[0]["affiliate_tag"], "yourtag-20");
    // This is no business account.
    assert_eq!(ledger[0]["po_number"], Value::Null);
    let order = &ledger[0]["orders"][0];
    assert_eq!(order["order_id"], placed.merchant_order_id);
    assert_eq!(order["name"], "Tim Beaver");
    assert_eq!(order["gift"], true);

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
    let first = world.submit(&session, &review).await.unwrap();
    let second = world.submit(&session, &review).await.unwrap();
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
    let other = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP";
    for (email, password) in [(EMAIL, "wrong"), ("nobody@example.com", PASSWORD)] {
        let refused = world.sign_in(&login(email, password, Some(TOTP))).await;
        assert_eq!(code(refused), Some(Code::InvalidLoginCredentials));
    }
    let question = world.asked(&login("tim@example.com", PASSWORD, None)).await;
    assert!(matches!(question.factor, Factor::Totp { .. }) && !question.again);
    assert!(world.answer(&question, &totp_code(&other.parse().unwrap(), 0)).await.is_none());
    assert!(world.answer(&question, &totp_code(&TOTP.parse().unwrap(), 0)).await.is_some());
}

#[tokio::test]
async fn no_code_of_an_authenticator_counts_twice() {
    let world = World::new().await;
    let account = json!({ "email": EMAIL, "password": PASSWORD, "totp_secret": TOTP });
    world.put("admin/accounts", account).await;
    let (login, secret) = (login(EMAIL, PASSWORD, None), TOTP.parse().unwrap());
    let (code, next) = (totp_code(&secret, 0), totp_code(&secret, 1));
    assert!(world.answer(&world.asked(&login).await, &code).await.is_some());
    let question = world.asked(&login).await;
    assert!(world.answer(&question, &code).await.is_none());
    assert!(world.answer(&question, &next).await.is_some());
    assert!(world.answer(&world.asked(&login).await, &code).await.is_none());
}

#[tokio::test]
async fn codes_are_right_by_the_shops_clock_which_it_shows() {
    let world = World::new().await;
    let account = json!({
        "email": EMAIL, "password": PASSWORD, "totp_secret": TOTP, "clock_skew_seconds": -300,
    });
    world.put("admin/accounts", account).await;
    let secret: TotpSecret = TOTP.parse().unwrap();
    let question = world.asked(&login(EMAIL, PASSWORD, None)).await;
    let Factor::Totp { time: Some(time) } = question.factor else { panic!("it shows its clock") };
    assert!(world.answer(&question, &totp_code(&secret, 0)).await.is_none());
    assert!(world.answer(&question, &secret.code(time)).await.is_some());
}

#[tokio::test]
async fn a_mailed_code_opens_the_visit_it_was_mailed_for_once() {
    let world = World::new().await;
    let account = json!({
        "email": EMAIL, "password": PASSWORD, "mails_codes": true, "forwards_to": "f@mail.example",
    });
    world.put("admin/accounts", account).await;
    let login = login(EMAIL, PASSWORD, None);
    let first = world.asked(&login).await;
    assert!(matches!(&first.factor, Factor::Mail(page) if page.text.contains("e-mailed")));
    let first_code = world.mailed_code("f@mail.example");
    let second = world.asked(&login).await;
    let second_code = world.mailed_code("f@mail.example");

    let wrong = if second_code.expose_secret() == "000000" { "000001" } else { "000000" };
    assert!(world.answer(&second, &wrong.into()).await.is_none());
    assert!(world.answer(&second, &second_code).await.is_some());
    assert!(world.sandbox.answer(&second.visit, &second_code).await.is_err(), "it is used");
    assert!(world.answer(&first, &first_code).await.is_some());
    let stored = format!("{:?}", world.db.scan().table_name(TABLE).send().await.unwrap().items());
    assert!(!stored.contains(first_code.expose_secret()));
}

#[tokio::test]
async fn who_answers_wrong_too_often_is_locked_out() {
    let world = World::new().await;
    let account = json!({ "email": EMAIL, "password": PASSWORD, "mails_codes": true });
    world.put("admin/accounts", account).await;
    let question = world.asked(&login(EMAIL, PASSWORD, None)).await;
    for _ in 0..4 {
        assert!(world.answer(&question, &"no".into()).await.is_none());
    }
    let locked = world.sandbox.answer(&question.visit, &"no".into()).await;
    assert_eq!(code(locked), Some(Code::AccountLocked));
}

#[tokio::test]
async fn nothing_secret_is_kept_in_clear() {
    let world = World::new().await;
    let account = json!({ "email": EMAIL, "password": PASSWORD, "totp_secret": TOTP });
    world.put("admin/accounts", account).await;
    let code = totp_code(&TOTP.parse().unwrap(), 0);
    let post = async |path: &str, body: Value| -> Value {
        let request = world.http.post(world.base_url.join(path).unwrap()).json(&body);
        request.send().await.unwrap().json().await.unwrap()
    };
    let asked = post("sign-in", json!({ "email": EMAIL, "password": PASSWORD })).await;
    let answer = json!({ "challenge": asked["challenge"], "code": code.expose_secret() });
    let answer = post("sign-in/code", answer).await;
    let token = answer["session"].as_str().unwrap().to_owned();

    let session = world.visit().await;
    let card = Card { number: "5555555555554444".into(), security_code: "8731".into() };
    let how = How { card: Some(card), ..How::default() };
    let review = world.prepare(&session, "B0016NHH56", &how).await.unwrap();
    world.submit(&session, &review).await.unwrap();

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
    assert_eq!(world.history(&session, before).await.len(), 1);
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
    let patience = Duration::from_secs(2);
    let outcome = world.sandbox.submit(&session, &review.checkout_id, patience).await;
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
    assert_eq!(world.history(&session, Timestamp::UNIX_EPOCH).await.len(), 0);
    assert_eq!(world.history(&session, Timestamp::UNIX_EPOCH).await.len(), 1);
}

#[tokio::test]
async fn a_long_history_has_pages_that_lack_nothing() {
    // All at the same moment: only their ids tell where a page begins.
    let world = World::with(ADMIN_TOKEN, || Timestamp::UNIX_EPOCH).await;
    let session = world.visit().await;
    let review = world.prepare(&session, "B0016NHH56", &How::default()).await.unwrap();
    let mut placed = BTreeSet::new();
    for count in 1..=41 {
        placed.insert(world.submit(&session, &review).await.unwrap().merchant_order_id);
        // One page, one purchase more, and a third page.
        if matches!(count, 20 | 21 | 41) {
            let history = world.history(&session, Timestamp::UNIX_EPOCH).await;
            assert_eq!(history.len(), count);
            let read: BTreeSet<_> = history.into_iter().map(|one| one.merchant_order_id).collect();
            assert_eq!(read, placed);
        }
    }
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
        if matches!(step, Step::Cancel | Step::Return) {
            assert_eq!(world.buy(&product_id).await.unwrap().products[0].0, product_id);
            continue;
        }
        let bought = world.ledger().await.len();
        let raised = match world.prepare(&session, &product_id, &How::default()).await {
            Err(error) => code::<()>(Err(error)),
            Ok(review) => match world.submit(&session, &review).await {
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
    let session = world.sign_in(&login(EMAIL, PASSWORD, None)).await.unwrap();
    let how = by_gift_balance();
    let review = world.prepare(&session, "B0016NHH56", &how).await.unwrap();
    assert_eq!(review.gift_certificate, Some(Cents(2_124)));
    for _ in 0..2 {
        world.submit(&session, &review).await.unwrap();
    }
    // 52 cents are left: the button says no, and so does the next review.
    let third = world.submit(&session, &review).await;
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
        ("cancelling", json!({ "email": EMAIL, "how": "perhaps" }), "how"),
        ("cancelling", json!({ "how": "refuse" }), "email"),
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

#[tokio::test]
async fn a_purchase_becomes_an_order_for_each_recipient_and_sender() {
    let world = World::new().await;
    let session = world.visit().await;
    let tim = How::default();
    let mut ann = How::default().address;
    (ann.first_name, ann.zip_code) = ("Ann".to_owned(), "97201".to_owned());
    (ann.state, ann.city) = (Some("OR".to_owned()), "Portland".to_owned());
    let to_tim = [line("B0016NHH56", "ours", 1), line("B07SENT0001", "sent", 1)];
    let to_ann = [line("B0016NHH56", "ours", 2)];
    let balance = world.gift_balance().await;

    world.sandbox.fill_cart(&session, &[&to_tim[..], &to_ann].concat()).await.unwrap();
    let options = world.sandbox.shipping_options(&session, &to_ann, &ann).await.unwrap();
    assert_eq!(options.iter().map(|option| option.price.0).collect::<Vec<_>>(), [0, 400, 1_500]);
    let shipments = vec![
        shipment(&to_tim, &tim.address, "expedited"),
        Shipment { is_gift: false, ..shipment(&to_ann, &ann, "standard") },
    ];
    let reviews = world.review(&session, shipments, &by_gift_balance()).await.unwrap();
    let totals: Vec<_> = reviews.iter().map(|review| review.total.0).collect();
    // Goods, what the seller and the shop ask for sending them, and the tax of Massachusetts; Oregon has none.
    assert_eq!(totals, [1_999 + 1_649 + 599 + 400 + 228, 2 * 1_999]);
    assert_eq!(reviews[0].checkout_id, reviews[1].checkout_id);
    assert_eq!(reviews[1].product_subtotals, [("B0016NHH56".to_owned(), Cents(3_998))]);

    let orders = world.sandbox.submit(&session, &reviews[0].checkout_id, PATIENCE).await.unwrap();
    let zip_codes: Vec<_> = orders.iter().map(|order| order.zip_code.as_str()).collect();
    assert_eq!(zip_codes, ["02139", "02139", "97201"]);
    assert_eq!(orders[1].products, [("B07SENT0001".to_owned(), 1)]);
    assert_eq!(orders[0].total.0 + orders[1].total.0, totals[0]);
    assert_eq!(orders[2].total.0, totals[1]);
    assert_eq!(world.gift_balance().await, balance - totals[0] - totals[1]);
    let mut history = world.history(&session, Timestamp::UNIX_EPOCH).await;
    history.sort_by(|a, b| a.merchant_order_id.cmp(&b.merchant_order_id));
    let mut bought = orders.clone();
    bought.sort_by(|a, b| a.merchant_order_id.cmp(&b.merchant_order_id));
    assert_eq!(history, bought);

    let ledger = world.ledger().await;
    assert_eq!(ledger.len(), 1, "one press is one purchase");
    assert_eq!(ledger[0]["total_cents"], totals[0] + totals[1]);
    let names: Vec<_> =
        ledger[0]["orders"].as_array().unwrap().iter().map(|order| &order["name"]).collect();
    assert_eq!(names, ["Tim Beaver", "Tim Beaver", "Ann Beaver"]);
    assert_eq!(ledger[0]["orders"][2]["gift"], false);
    for order in orders {
        let state = world.sandbox.order_state(&session, &order.merchant_order_id).await.unwrap();
        assert_eq!((state.progress, state.parcels), (OrderProgress::Open, vec![]));
    }
}

#[tokio::test]
async fn shipments_are_exactly_what_is_in_the_cart() {
    let world = World::new().await;
    let session = world.visit().await;
    let how = How::default();
    world.sandbox.fill_cart(&session, &[line("B0016NHH56", "ours", 2)]).await.unwrap();
    for lines in [
        vec![line("B0016NHH56", "ours", 1)],
        vec![line("B0016NHH56", "ours", 3)],
        vec![line("B0016NHH56", "used", 2)],
        vec![line("B0016NHH56", "ours", 2), line("B00KFP6NHO", "ours", 1)],
    ] {
        let shipments = vec![shipment(&lines, &how.address, "standard")];
        let outcome = world.review(&session, shipments, &how).await;
        assert!(matches!(outcome, Err(StepError::Unavailable(_))), "{lines:?}");
    }
    let twice = [line("B0016NHH56", "ours", 1)];
    let shipments = vec![
        shipment(&twice, &how.address, "standard"),
        shipment(&twice, &how.address, "standard"),
    ];
    assert_eq!(world.review(&session, shipments, &how).await.unwrap().len(), 2);
}

#[tokio::test]
async fn each_market_has_its_currency() {
    let world = World::new().await;
    let login = login(accounts::BUILT_IN_EMAIL, accounts::BUILT_IN_PASSWORD, None);
    for retailer in RetailerCode::ALL {
        let session = world.sign_in_to(&login, retailer).await.unwrap();
        let review = world.prepare(&session, "B0016NHH56", &How::default()).await.unwrap();
        let expected = match retailer {
            RetailerCode::AmazonUk => Market::Uk,
            RetailerCode::AmazonCa => Market::Ca,
            RetailerCode::AmazonMx => Market::Mx,
            _ => Market::Us,
        };
        assert_eq!(review.currency, expected.currency(), "{retailer}");
    }
}

#[tokio::test]
async fn only_a_business_numbers_its_purchases() {
    let world = World::new().await;
    let account = json!({ "email": EMAIL, "password": PASSWORD, "business": true });
    world.put("admin/accounts", account).await;
    let session = world.sign_in(&login(EMAIL, PASSWORD, None)).await.unwrap();
    assert!(world.sandbox.account_status(&session).await.unwrap().business);
    let review = world.prepare(&session, "B0016NHH56", &How::default()).await.unwrap();
    world.submit(&session, &review).await.unwrap();
    assert_eq!(world.ledger().await[0]["po_number"], "PO-1");
}

#[tokio::test]
async fn cards_are_refused_in_their_words() {
    let world = World::new().await;
    let session = world.visit().await;
    for (number, month, year, expected) in [
        ("5555555555554444", 1, 2020, None),
        ("30569309025904", 1, 2020, Some(Code::BrandNotAccepted)),
        ("5555555555554444", 1, 2000, Some(Code::InvalidExpirationDate)),
    ] {
        let card = Card { number: number.into(), security_code: "123".into() };
        let payment = Payment {
            expiration_month: Some(month),
            expiration_year: Some(year),
            ..Payment::default()
        };
        let how = How { card: Some(card), payment, ..How::default() };
        assert_eq!(code(world.prepare(&session, "B0016NHH56", &how).await), expected);
    }
}

#[tokio::test]
async fn a_parcel_is_shipped_numbered_and_delivered() {
    let world = World::new().await;
    let id = world.buy("B0016NHH56").await.unwrap().merchant_order_id;
    let session = world.visit().await;
    let state = async || world.sandbox.order_state(&session, &id).await.unwrap();
    let before = state().await;
    assert_eq!((before.progress, before.tracking_url), (OrderProgress::Open, None));
    assert!(before.delivery_date.is_some());

    world.clerk(&format!("orders/{id}/ship"), json!({ "with_number": false })).await;
    let shipped = state().await;
    assert_eq!(shipped.progress, OrderProgress::Shipped);
    assert_eq!(shipped.parcels[0].product_ids, ["B0016NHH56"]);
    assert_eq!(shipped.parcels[0].tracking_number, None);

    world.clerk(&format!("orders/{id}/ship"), json!({})).await;
    let numbered = state().await;
    assert!(numbered.parcels[0].tracking_number.as_ref().unwrap().starts_with("1Z"));
    assert_eq!(numbered.parcels[0].carrier.as_deref(), Some("UPS"));

    world.clerk(&format!("orders/{id}/deliver"), json!({})).await;
    let delivered = state().await;
    assert_eq!(delivered.progress, OrderProgress::Delivered);
    assert_eq!(delivered.parcels[0].delivery_status.as_deref(), Some("Delivered"));
    let refused = world.sandbox.cancel(&session, &id).await;
    assert_eq!(code(refused), Some(Code::OrderNotCancellable));
    let path = format!("admin/orders/{id}/cancellation");
    let answer = world.admin(reqwest::Method::POST, &path, json!({ "granted": true })).await;
    assert_eq!(answer, (409, json!({ "error": "nothing_to_decide" })));
}

async fn buy_by_gift_balance(world: &World, session: &Session, product_id: &str) -> String {
    let review = world.prepare(session, product_id, &by_gift_balance()).await.unwrap();
    world.submit(session, &review).await.unwrap().merchant_order_id
}

#[tokio::test]
async fn a_cancelled_order_is_paid_back_once() {
    let world = World::new().await;
    let session = world.visit().await;
    let balance = world.gift_balance().await;
    let id = buy_by_gift_balance(&world, &session, "B0016NHH56").await;
    assert_eq!(world.gift_balance().await, balance - 2_124);
    for _ in 0..2 {
        assert_eq!(world.sandbox.cancel(&session, &id).await.unwrap(), Cancelled::Done);
        assert_eq!(world.gift_balance().await, balance);
    }
    let state = world.sandbox.order_state(&session, &id).await.unwrap();
    assert_eq!(state.progress, OrderProgress::Cancelled);
    let path = format!("admin/orders/{id}/ship");
    let answer = world.admin(reqwest::Method::POST, &path, json!({})).await;
    assert_eq!(answer, (409, json!({ "error": "cancelled" })));
}

#[tokio::test]
async fn an_account_can_be_told_to_have_its_cancellations_attempted_or_refused() {
    let world = World::new().await;
    let session = world.visit().await;
    let how = |how: &str| json!({ "email": accounts::BUILT_IN_EMAIL, "how": how });
    world.put("admin/cancelling", how("attempting")).await;
    let balance = world.gift_balance().await;
    for (granted, expected, paid) in
        [(true, OrderProgress::Cancelled, 0), (false, OrderProgress::Open, 2_124)]
    {
        let id = buy_by_gift_balance(&world, &session, "B0016NHH56").await;
        for _ in 0..2 {
            let attempted = world.sandbox.cancel(&session, &id).await.unwrap();
            assert_eq!(attempted, Cancelled::Attempting);
        }
        let state = world.sandbox.order_state(&session, &id).await.unwrap();
        assert_eq!(state.progress, OrderProgress::CancelRequested);
        world.clerk(&format!("orders/{id}/cancellation"), json!({ "granted": granted })).await;
        let state = world.sandbox.order_state(&session, &id).await.unwrap();
        assert_eq!(state.progress, expected);
        assert_eq!(world.gift_balance().await, balance - paid);
    }
    world.put("admin/cancelling", how("refuse")).await;
    let id = buy_by_gift_balance(&world, &session, "B0016NHH56").await;
    let refused = world.sandbox.cancel(&session, &id).await;
    assert_eq!(code(refused), Some(Code::OrderNotCancellable));
}

#[tokio::test]
async fn magic_products_decide_what_becomes_of_a_cancellation_or_a_return() {
    let world = World::new().await;
    let session = world.visit().await;
    let id = world.buy("SANDBOX-ORDER-NOT-CANCELLABLE").await.unwrap().merchant_order_id;
    let refused = world.sandbox.cancel(&session, &id).await;
    assert_eq!(code(refused), Some(Code::OrderNotCancellable));
    let id = world.buy("SANDBOX-ATTEMPTING-TO-CANCEL").await.unwrap().merchant_order_id;
    assert_eq!(world.sandbox.cancel(&session, &id).await.unwrap(), Cancelled::Attempting);
    let id = world.buy("SANDBOX-RETURN-NOT-ALLOWED").await.unwrap().merchant_order_id;
    world.clerk(&format!("orders/{id}/deliver"), json!({})).await;
    let items = [("SANDBOX-RETURN-NOT-ALLOWED".to_owned(), 1)];
    let refused = world.sandbox.start_return(&session, &returning(&id, &items)).await;
    assert_eq!(code(refused), Some(Code::ReturnNotAllowed));
}

#[tokio::test]
async fn an_answer_that_is_lost_after_a_cancellation_can_be_asked_for_again() {
    let world = World::new().await;
    let session = world.visit().await;
    let balance = world.gift_balance().await;
    let id = buy_by_gift_balance(&world, &session, "B0016NHH56").await;
    let told = json!({ "product_id": "B0016NHH56", "step": "cancel_after_commit", "behaviour": { "drop": true, "times": 1 } });
    world.put("admin/behaviours", told).await;
    let lost = world.sandbox.cancel(&session, &id).await;
    assert!(matches!(lost, Err(StepError::Unavailable(_))));
    assert_eq!(world.sandbox.cancel(&session, &id).await.unwrap(), Cancelled::Done);
    assert_eq!(world.gift_balance().await, balance);
}

#[tokio::test]
async fn somebody_elses_order_is_unknown() {
    let world = World::new().await;
    let id = world.buy("B0016NHH56").await.unwrap().merchant_order_id;
    world.put("admin/accounts", json!({ "email": EMAIL, "password": PASSWORD })).await;
    let stranger = world.sign_in(&login(EMAIL, PASSWORD, None)).await.unwrap();
    for id in [id.as_str(), "112-0000000-0000000"] {
        let unknown = Some(Code::InvalidRequest);
        assert_eq!(code(world.sandbox.order_state(&stranger, id).await), unknown);
        assert_eq!(code(world.sandbox.cancel(&stranger, id).await), unknown);
        assert_eq!(code(world.sandbox.pending_return(&stranger, id, &[]).await), unknown);
        let items = [("B0016NHH56".to_owned(), 1)];
        assert_eq!(
            code(world.sandbox.start_return(&stranger, &returning(id, &items)).await),
            unknown
        );
        assert_eq!(code(world.sandbox.return_state(&stranger, id).await), unknown);
    }
}

fn returning<'a>(merchant_order_id: &'a str, items: &'a [(String, u32)]) -> ReturnOrder<'a> {
    ReturnOrder {
        merchant_order_id,
        items,
        reason_code: "inaccurate website description",
        method_code: "UPS Dropoff",
        explanation: None,
        return_address: None,
        cancel_pending: false,
    }
}

/// A delivered order of two pieces, and the visit that bought it.
async fn delivered(world: &World) -> (Session, String) {
    let session = world.visit().await;
    let how = by_gift_balance();
    let lines = [line("B0016NHH56", "ours", 2)];
    world.sandbox.fill_cart(&session, &lines).await.unwrap();
    let shipments = vec![shipment(&lines, &how.address, "standard")];
    let reviews = world.review(&session, shipments, &how).await.unwrap();
    let id = world.submit(&session, &reviews[0]).await.unwrap().merchant_order_id;
    world.clerk(&format!("orders/{id}/deliver"), json!({})).await;
    (session, id)
}

fn refusal<T>(outcome: Result<T, StepError>) -> (Code, Value) {
    match outcome {
        Err(StepError::Refused(refusal)) => (refusal.code, refusal.data),
        Err(error) => panic!("{error:?}"),
        Ok(_) => panic!("it was not refused"),
    }
}

#[tokio::test]
async fn a_return_goes_all_the_way() {
    let world = World::new().await;
    let (session, id) = delivered(&world).await;
    let products = ["B0016NHH56".to_owned()];
    let items = [(products[0].clone(), 1)];
    let pending = async || world.sandbox.pending_return(&session, &id, &products).await.unwrap();
    assert_eq!(pending().await, None);

    let address = How::default().address;
    let wanted = ReturnOrder { return_address: Some(&address), ..returning(&id, &items) };
    let StartedReturn { merchant_return_id, return_by, labels } =
        world.sandbox.start_return(&session, &wanted).await.ok().unwrap();
    assert_eq!(return_by.len(), "2018-02-01T00:00:00".len());
    let label = lopdf::Document::load_mem(&labels[0]).unwrap().extract_text(&[1]).unwrap();
    for part in ["Tim Beaver", "77 Massachusetts Avenue", "02139", &merchant_return_id, &id] {
        assert!(label.contains(part), "{part}: {label}");
    }
    let found = pending().await.unwrap();
    assert_eq!(
        (&found.merchant_return_id, found.status.as_str()),
        (&merchant_return_id, "Return started")
    );

    let state = async || world.sandbox.return_state(&session, &merchant_return_id).await.unwrap();
    assert!(!state().await.is_delivered);
    world.clerk(&format!("returns/{merchant_return_id}/receive"), json!({})).await;
    assert!(state().await.is_delivered);
    let balance = world.gift_balance().await;
    for _ in 0..2 {
        world.clerk(&format!("returns/{merchant_return_id}/refund"), json!({})).await;
        assert_eq!(world.gift_balance().await, balance + 2_124);
    }
    let refunded = state().await;
    assert_eq!(refunded.status, "Refund issued");
    assert!(refunded.description.starts_with("$21.24 refund issued on "));

    // The other piece can go back, too; a third one there is not.
    let second = world.sandbox.start_return(&session, &returning(&id, &items)).await;
    let second = second.ok().unwrap().merchant_return_id;
    world.clerk(&format!("returns/{second}/refund"), json!({})).await;
    let again = ReturnOrder { cancel_pending: true, ..returning(&id, &items) };
    let (code, data) = refusal(world.sandbox.start_return(&session, &again).await);
    assert_eq!(code, Code::ReturnInProgress);
    assert_eq!(data["status"]["status"], "Refund issued");
    assert_eq!(data["error"], "Tried to cancel but could not find cancel button");

    let dump = format!("{:?}", world.db.scan().table_name(TABLE).send().await.unwrap().items());
    assert!(!dump.contains("Massachusetts"), "the shop keeps no street");
}

#[tokio::test]
async fn a_pending_return_is_found_before_a_method_that_there_is_not() {
    let world = World::new().await;
    let (session, id) = delivered(&world).await;
    let items = [("B0016NHH56".to_owned(), 1)];
    let dummy = || ReturnOrder { method_code: "Dummy Method Code", ..returning(&id, &items) };
    let (code, data) = refusal(world.sandbox.start_return(&session, &dummy()).await);
    assert_eq!(code, Code::InvalidRequest);
    assert_eq!(data["allowed"], json!(["UPS Dropoff", "UPS Pickup", "Locker Dropoff"]));

    let first = world.sandbox.start_return(&session, &returning(&id, &items)).await.ok().unwrap();
    let (code, data) = refusal(world.sandbox.start_return(&session, &dummy()).await);
    assert_eq!(code, Code::ReturnInProgress);
    assert_eq!(data["status"]["status"], "Return started");

    // What cannot be started calls nothing off.
    let call_off = ReturnOrder { cancel_pending: true, ..dummy() };
    assert_eq!(
        refusal(world.sandbox.start_return(&session, &call_off).await).0,
        Code::InvalidRequest
    );
    let state = world.sandbox.return_state(&session, &first.merchant_return_id).await.unwrap();
    assert_eq!(state.status, "Return started");
    let call_off = ReturnOrder { cancel_pending: true, ..returning(&id, &items) };
    let second = world.sandbox.start_return(&session, &call_off).await.ok().unwrap();
    let state = world.sandbox.return_state(&session, &first.merchant_return_id).await.unwrap();
    assert_eq!(state.status, "Return cancelled");
    let products = ["B0016NHH56".to_owned()];
    let pending = world.sandbox.pending_return(&session, &id, &products).await.unwrap().unwrap();
    assert_eq!(pending.merchant_return_id, second.merchant_return_id);
}

#[tokio::test]
async fn a_return_needs_a_reason_of_its_market_and_what_was_ordered() {
    let world = World::new().await;
    let (session, id) = delivered(&world).await;
    let one = [("B0016NHH56".to_owned(), 1)];
    let three = [("B0016NHH56".to_owned(), 3)];
    let twice_two = [("B0016NHH56".to_owned(), 2), ("B0016NHH56".to_owned(), 1)];
    let other = [("B00KFP6NHO".to_owned(), 1)];
    let needs_words = "item defective or doesn't work";
    let cases = [
        (
            ReturnOrder {
                reason_code: "description on website was not accurate",
                ..returning(&id, &one)
            },
            "reason_code",
        ),
        (ReturnOrder { reason_code: needs_words, ..returning(&id, &one) }, "explanation"),
        (
            ReturnOrder {
                reason_code: needs_words,
                explanation: Some(" "),
                ..returning(&id, &one)
            },
            "explanation",
        ),
        (returning(&id, &three), "products"),
        (returning(&id, &twice_two), "products"),
        (returning(&id, &other), "products"),
    ];
    for (wanted, path) in cases {
        let (code, data) = refusal(world.sandbox.start_return(&session, &wanted).await);
        assert_eq!(code, Code::InvalidRequest);
        assert_eq!(data["validator_errors"][0]["path"], path);
    }
    let explained = ReturnOrder {
        reason_code: needs_words,
        explanation: Some("It hums."),
        ..returning(&id, &one)
    };
    assert!(world.sandbox.start_return(&session, &explained).await.is_ok());
}

#[tokio::test]
async fn what_has_not_arrived_or_is_cancelled_cannot_be_returned() {
    let world = World::new().await;
    let session = world.visit().await;
    let id = world.buy("B0016NHH56").await.unwrap().merchant_order_id;
    let items = [("B0016NHH56".to_owned(), 1)];
    let start =
        async || refusal(world.sandbox.start_return(&session, &returning(&id, &items)).await);
    let not_allowed = |reason: &str| (Code::ReturnNotAllowed, json!({ "reason": reason }));
    assert_eq!(start().await, not_allowed("not_delivered"));
    world.sandbox.cancel(&session, &id).await.unwrap();
    assert_eq!(start().await, not_allowed("cancelled"));
}

#[tokio::test]
async fn a_return_whose_answer_was_lost_is_found_pending() {
    let world = World::new().await;
    let (session, id) = delivered(&world).await;
    let items = [("B0016NHH56".to_owned(), 1)];
    for (step, expected) in [("return", false), ("return_after_commit", true)] {
        let told = json!({ "email": accounts::BUILT_IN_EMAIL, "step": step, "behaviour": { "drop": true, "times": 1 } });
        world.put("admin/behaviours", told).await;
        let lost = world.sandbox.start_return(&session, &returning(&id, &items)).await;
        assert!(matches!(lost, Err(StepError::Unavailable(_))));
        let products = ["B0016NHH56".to_owned()];
        let pending = world.sandbox.pending_return(&session, &id, &products).await.unwrap();
        assert_eq!(pending.is_some(), expected, "{step}");
    }
}

#[tokio::test]
async fn what_comes_after_the_sale_is_in_the_journal_and_can_go_wrong() {
    let world = World::new().await;
    let (session, id) = delivered(&world).await;
    let products = ["B0016NHH56".to_owned()];
    let items = [(products[0].clone(), 1)];
    let started = world.sandbox.start_return(&session, &returning(&id, &items)).await.ok().unwrap();
    for step in ["order_state", "cancel", "pending_return", "return", "return_state"] {
        let told = json!({ "email": accounts::BUILT_IN_EMAIL, "step": step, "behaviour": { "fail": "account_locked" } });
        world.put("admin/behaviours", told).await;
        let return_id = &started.merchant_return_id;
        let outcome = match step {
            "order_state" => code(world.sandbox.order_state(&session, &id).await),
            "cancel" => code(world.sandbox.cancel(&session, &id).await),
            "pending_return" => code(world.sandbox.pending_return(&session, &id, &products).await),
            "return" => code(world.sandbox.start_return(&session, &returning(&id, &items)).await),
            _ => code(world.sandbox.return_state(&session, return_id).await),
        };
        assert_eq!(outcome, Some(Code::AccountLocked), "{step}");
        assert_eq!(world.journal().await.last().unwrap()["kind"], step);
    }
}
