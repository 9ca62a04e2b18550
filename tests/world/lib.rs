//! A running stack as a test sees it: its API as a client would use it, the shop's books as a judge, and a receiver
//! for webhooks.
//!
//! Every answer of the API is compared with its description as it arrives. Every secret a test uses is a canary that
//! [`canaries`] can recognise, and every answer and webhook is searched for canaries as it arrives. What is left behind in logs, tables and queues is searched when all tests are through.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::missing_panics_doc,
    reason = "a test that cannot go on fails"
)]

pub mod canaries;
pub mod code_mails;
pub mod logs;
pub mod mail;
pub mod openapi;
pub mod prepaid;
pub mod products;
pub mod queues;
pub mod receipt_rules;
pub mod receiver;
pub mod tables;
pub mod yaml;

use std::{
    path::PathBuf,
    process::Command,
    sync::{LazyLock, OnceLock},
    time::{Duration, Instant},
};

use http::{Method, StatusCode};
use reqwest::Client;
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

/// What `cargo xtask up` wrote down.
#[derive(Debug, Deserialize)]
#[expect(missing_docs, reason = "the fields of stack.json")]
pub struct Stack {
    pub api_url: String,
    pub client_token: String,
    pub second_client_token: String,
    pub sandbox_url: String,
    pub sandbox_admin_token: String,
    pub sandbox_email: String,
    pub sandbox_password: String,
    pub dynamodb_url: String,
    pub aws_url: String,
    pub lambda_url: String,
    pub inbound_domain: String,
    pub smtp: String,
    pub dns: String,
    pub dkim_keys: PathBuf,
    pub gmail_url: String,
    pub ses_url: String,
    pub outgoing_url: String,
    pub buckets: std::collections::BTreeMap<String, String>,
    pub logs: PathBuf,
    pub state: PathBuf,
    pub tables: std::collections::BTreeMap<String, String>,
    pub queues: std::collections::BTreeMap<String, String>,
}

/// The stack under test.
pub static STACK: LazyLock<Stack> = LazyLock::new(|| {
    #[expect(clippy::disallowed_methods, reason = "the one variable that tests read")]
    let file = std::env::var("SPELTER_STACK").expect(
        "SPELTER_STACK names the stack.json of the stack under test: use `cargo xtask test`",
    );
    let text = std::fs::read_to_string(&file).expect("the stack's description");
    serde_json::from_str(&text).expect("a stack's description")
});

/// The seven retailer codes of the v1 document.
pub const RETAILERS: [&str; 7] =
    ["aliexpress", "amazon", "amazon_uk", "amazon_ca", "amazon_mx", "costco", "walmart"];

/// An answer, whole.
#[derive(Debug)]
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// Its body as it came.
    pub text: String,
}

impl Answer {
    /// The body as JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text)
            .unwrap_or_else(|_| panic!("not JSON: {} {}", self.status, self.text))
    }

    /// The body of a success.
    #[track_caller]
    pub fn ok(&self) -> Value {
        assert!(self.status.is_success(), "{} {}", self.status, self.text);
        self.json()
    }
}

/// One connection pool for all tests would be bound to the runtime of the first: each test has its own.
pub fn http() -> Client {
    static PROVIDER: OnceLock<()> = OnceLock::new();
    PROVIDER.get_or_init(|| {
        rustls::crypto::ring::default_provider().install_default().expect("the first provider");
    });
    Client::builder().timeout(Duration::from_secs(40)).build().expect("an HTTP client")
}

/// A client of the API.
#[derive(Clone)]
pub struct Api {
    http: Client,
    token: String,
}

impl Api {
    /// The first of the two test clients.
    pub fn first() -> Self {
        Self { http: http(), token: STACK.client_token.clone() }
    }

    /// The other one.
    pub fn second() -> Self {
        Self { http: http(), token: STACK.second_client_token.clone() }
    }

    /// A caller with any key.
    pub fn with_key(token: &str) -> Self {
        Self { http: http(), token: token.to_owned() }
    }

    /// Calls as v1 clients do: HTTP Basic, and JSON that is declared to be a form.
    pub async fn v1(&self, method: Method, path: &str, body: Option<&Value>) -> Answer {
        let request = self.http.request(method, url(path)).basic_auth(&self.token, Some(""));
        let request = request.header("content-type", "application/x-www-form-urlencoded");
        send(match body {
            Some(body) => request.body(body.to_string()),
            None => request,
        })
        .await
    }

    /// Calls as today's clients do: a bearer token and JSON.
    pub async fn modern(&self, method: Method, path: &str, body: Option<&Value>) -> Answer {
        let request = self.http.request(method, url(path)).bearer_auth(&self.token);
        send(match body {
            Some(body) => request.json(body),
            None => request,
        })
        .await
    }

    /// Calls with a body that need not be JSON.
    pub async fn raw(&self, method: Method, path: &str, body: impl Into<reqwest::Body>) -> Answer {
        send(self.http.request(method, url(path)).basic_auth(&self.token, Some("")).body(body))
            .await
    }

    /// Posts an order that must be accepted, and returns its id.
    pub async fn order(&self, body: &Value) -> String {
        let answer = self.v1(Method::POST, "/v1/orders", Some(body)).await;
        let id = answer.ok()["request_id"].as_str().map(str::to_owned);
        id.expect("a request_id")
    }

    /// The order as it stands.
    pub async fn get(&self, id: &str) -> Value {
        self.v1(Method::GET, &format!("/v1/orders/{id}"), None).await.ok()
    }

    /// Posts what must be accepted, and returns its id.
    pub async fn post(&self, path: &str, body: Option<&Value>) -> String {
        let answer = self.v1(Method::POST, path, body).await;
        answer.ok()["request_id"].as_str().map(str::to_owned).expect("a request_id")
    }

    /// What stands at `path` once it is no longer processed.
    pub async fn processed(&self, path: &str) -> Value {
        wait(Duration::from_mins(1), path, async || {
            let found = self.v1(Method::GET, path, None).await.ok();
            (found["code"] != "request_processing").then_some(found)
        })
        .await
    }

    /// The order once it has ended.
    pub async fn ended(&self, id: &str) -> Value {
        // On a busy machine, and behind others of its account.
        self.ended_within(id, Duration::from_mins(2)).await
    }

    /// The order once it has ended, which may take `limit`.
    pub async fn ended_within(&self, id: &str, limit: Duration) -> Value {
        wait(limit, &format!("order {id} to end"), async || {
            let order = self.get(id).await;
            (order["code"] != "request_processing").then_some(order)
        })
        .await
    }
}

/// The address of a route.
pub fn url(path: &str) -> String {
    format!("{}{path}", STACK.api_url)
}

/// Sends a request, searches the answer for canaries and, if it is the API's, compares it with its description.
pub async fn send(request: reqwest::RequestBuilder) -> Answer {
    let (client, request) = request.build_split();
    let request = request.expect("a request");
    let (method, url) = (request.method().clone(), request.url().to_string());
    let response = client.execute(request).await.expect("an answer");
    let status = response.status();
    let text = response.text().await.expect("a body");
    let path = url.strip_prefix(&STACK.api_url);
    let shows_secret = path.is_some_and(|path| path.starts_with("/webhooks/endpoint"));
    let searched =
        if shows_secret { canaries::without_signing_secret(&text) } else { text.clone() };
    canaries::assert_none(&searched, "an answer");
    let complaint = path.and_then(|path| openapi::complaint(&method, path, status, &text));
    assert_eq!(complaint, None, "not as docs/openapi.yaml says");
    Answer { status, text }
}

/// Fetches a file as anybody would, without a key: its status, its type and what is in it.
pub async fn fetch(url: &str) -> (StatusCode, String, Vec<u8>) {
    let response = http().get(url).send().await.expect("an answer");
    let kind = response.headers().get("content-type").and_then(|kind| kind.to_str().ok());
    let (status, kind) = (response.status(), kind.unwrap_or_default().to_owned());
    (status, kind, response.bytes().await.expect("a body").to_vec())
}

/// Asks until there is something, for `limit` at the most; less and less often, so that those who wait long do not keep
/// busy what they wait for.
pub async fn wait<T>(limit: Duration, what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let started = Instant::now();
    let mut pause = Duration::from_millis(50);
    loop {
        if let Some(found) = ask().await {
            return found;
        }
        assert!(started.elapsed() < limit, "waited {limit:?} for {what}");
        tokio::time::sleep(pause).await;
        pause = (pause * 5 / 4).min(Duration::from_millis(500));
    }
}

/// Lets a moment of a race pass. To wait for something, use [`wait`].
pub async fn pause(moment: Duration) {
    tokio::time::sleep(moment).await;
}

/// An account at the sandbox, of its own for each test.
#[derive(Debug, Clone)]
pub struct ShopAccount {
    /// Its e-mail.
    pub email: String,
    /// Its password, a canary.
    pub password: String,
    /// Its TOTP secret, a canary.
    pub totp_secret: Option<String>,
}

impl ShopAccount {
    /// An account with a password only.
    pub async fn new() -> Self {
        Self::create(None).await
    }

    /// A name only, where an order needs no login.
    pub fn nobody() -> Self {
        Self {
            email: "nobody@sandbox.example".to_owned(),
            password: String::new(),
            totp_secret: None,
        }
    }

    /// An account that asks for a TOTP code, too.
    pub async fn with_totp() -> Self {
        Self::create(Some(canaries::totp_secret())).await
    }

    async fn create(totp_secret: Option<String>) -> Self {
        let account = Self {
            email: format!("{}@sandbox.example", Uuid::new_v4().simple()),
            password: canaries::password(),
            totp_secret,
        };
        account.put(&account.password).await;
        account
    }

    /// Makes the account at the shop, with this password.
    pub async fn put(&self, password: &str) {
        self.put_with(password, json!({})).await;
    }

    /// Has the shop mail a code at every sign-in, to `mailbox`.
    pub async fn mails_codes(&self, mailbox: &str) {
        self.put_with(&self.password, json!({"mails_codes": true, "forwards_to": mailbox})).await;
    }

    /// Has what the shop mails delivered to `mailbox`.
    pub async fn forwards_to(&self, mailbox: &str) {
        self.put_with(&self.password, json!({"forwards_to": mailbox})).await;
    }

    /// Has the shop's clock be ahead of ours.
    pub async fn is_ahead_by(&self, seconds: i64) {
        self.put_with(&self.password, json!({"clock_skew_seconds": seconds})).await;
    }

    /// Makes the account at the shop, with this password and `also`.
    async fn put_with(&self, password: &str, also: Value) {
        let mut body = json!({
            "email": self.email,
            "password": password,
            "totp_secret": self.totp_secret,
            "gift_balance_cents": 100_000_000,
            "prime": true,
        });
        for (name, value) in also.as_object().into_iter().flatten() {
            body[name] = value.clone();
        }
        let request = http().post(format!("{}/admin/accounts", STACK.sandbox_url)).json(&body);
        admin(request).await;
    }

    /// What a `retailer_credentials` object says of it.
    pub fn credentials(&self) -> Value {
        let mut credentials = json!({"email": self.email, "password": self.password});
        if let Some(secret) = &self.totp_secret {
            credentials["totp_2fa_key"] = json!(secret);
        }
        credentials
    }

    /// Tells the shop to behave badly towards it.
    pub async fn behave(&self, step: &str, behaviour: Value) {
        let body = json!({"email": self.email, "step": step, "behaviour": behaviour});
        admin(http().put(format!("{}/admin/behaviours", STACK.sandbox_url)).json(&body)).await;
    }

    /// Tells the shop to behave again.
    pub async fn behave_well(&self) {
        let url = format!("{}/admin/behaviours?email={}", STACK.sandbox_url, self.email);
        admin(http().delete(url)).await;
    }

    /// Tells the shop how to take its cancellations: `at_once`, `attempting` or `refuse`.
    pub async fn cancels(&self, how: &str) {
        let body = json!({"email": self.email, "how": how});
        admin(http().put(format!("{}/admin/cancelling", STACK.sandbox_url)).json(&body)).await;
    }

    /// Every request the shop got for it, oldest first.
    pub async fn journal(&self) -> Vec<Value> {
        self.books("journal", "entries").await
    }

    /// Everything it bought, oldest first.
    pub async fn ledger(&self) -> Vec<Value> {
        self.books("ledger", "purchases").await
    }

    /// Waits until the shop has got `count` requests of this kind for it.
    pub async fn journaled(&self, kind: &str, count: usize) {
        wait(Duration::from_secs(30), kind, async || {
            let journal = self.journal().await;
            let got = journal.iter().filter(|entry| entry["kind"] == kind).count();
            (got >= count).then_some(())
        })
        .await;
    }

    /// Waits until the shop works on a request of this kind for it.
    pub async fn at_step(&self, kind: &str) {
        wait(Duration::from_secs(30), kind, async || {
            let open = |entry: &Value| entry["kind"] == kind && entry["ended_at_ms"].is_null();
            self.journal().await.iter().any(open).then_some(())
        })
        .await;
    }

    async fn books(&self, book: &str, list: &str) -> Vec<Value> {
        let url = format!("{}/admin/{book}?email={}", STACK.sandbox_url, self.email);
        let entries = admin(http().get(url)).await;
        entries[list].as_array().cloned().expect("a list")
    }
}

/// Everything that anybody bought, oldest first for each account.
pub async fn whole_ledger() -> Vec<Value> {
    let ledger = admin(http().get(format!("{}/admin/ledger", STACK.sandbox_url))).await;
    ledger["purchases"].as_array().cloned().expect("a list")
}

/// What the shop does with an order or a return: `orders/{id}/ship`, `orders/{id}/deliver`,
/// `orders/{id}/cancellation`, `returns/{id}/receive` or `returns/{id}/refund`.
pub async fn at_the_shop(path: &str, body: &Value) {
    admin(http().post(format!("{}/admin/{path}", STACK.sandbox_url)).json(body)).await;
}

/// An order as the shop knows it.
pub async fn shops_order(order_id: &str) -> Value {
    admin(http().get(format!("{}/admin/orders/{order_id}", STACK.sandbox_url))).await
}

async fn admin(request: reqwest::RequestBuilder) -> Value {
    send(request.header("x-admin-token", &STACK.sandbox_admin_token)).await.ok()
}

/// The shipping address of the v1 document.
pub fn address() -> Value {
    json!({
        "first_name": "Tim",
        "last_name": "Beaver",
        "address_line1": "77 Massachusetts Avenue",
        "address_line2": "",
        "zip_code": "02139",
        "city": "Cambridge",
        "state": "MA",
        "country": "US",
        "phone_number": "5551230101",
    })
}

/// A small order with `account`'s login inside.
pub fn order(account: &ShopAccount) -> Value {
    json!({
        "retailer": "amazon",
        "products": [{"product_id": "B0016NHH56", "quantity": 1}],
        "max_price": 2300,
        "shipping_address": address(),
        "shipping_method": "cheapest",
        "payment_method": {"use_gift": true},
        "retailer_credentials": account.credentials(),
    })
}

/// A small order that names the managed account `stored`, which has `account`'s login.
pub fn order_with_account(account: &ShopAccount, stored: &Value) -> Value {
    let mut body = order(account);
    body.as_object_mut().expect("an object").remove("retailer_credentials");
    body["retailer_credentials_id"] = stored["short_id"].clone();
    body
}

/// A small order of two products, of which the shop sends one and a seller the other.
pub fn split_order(account: &ShopAccount) -> Value {
    let mut body = order(account);
    body["products"] = json!([
        {"product_id": "B0016NHH56", "quantity": 2},
        {"product_id": "B07SENT0001", "quantity": 1, "seller_selection_criteria": {"condition_in": ["New"]}},
    ]);
    body["max_price"] = json!(10_000);
    body
}

/// The ids that the retailer gave an order.
#[track_caller]
pub fn merchant_order_ids(order: &Value) -> Vec<String> {
    let ids = order["merchant_order_ids"].as_array();
    let ids = ids.unwrap_or_else(|| panic!("{order}")).iter();
    ids.map(|one| one["merchant_order_id"].as_str().expect("an id").to_owned()).collect()
}

/// Where the test of a restart notes what it left for its second half to find.
pub fn restart_notes() -> PathBuf {
    STACK.state.join("restart-notes.json")
}

/// Makes a client as an operator does, and returns its key.
pub fn new_client(options: &[&str]) -> String {
    let create = ["client", "create", "--name", "A test"];
    operate(&[&create, options].concat()).unwrap_or_else(|error| panic!("{error}"))
}

/// Does what an operator does with `spelter-admin`: what it prints, or what it complains of.
pub fn operate(arguments: &[&str]) -> Result<String, String> {
    let here = std::env::current_exe().expect("this program");
    let binaries = here.ancestors().nth(2).expect("where cargo puts binaries");
    let output = Command::new(binaries.join("spelter-admin"))
        .args(arguments)
        .env("SPELTER_CLIENTS_TABLE", &STACK.tables["ClientsTable"])
        .env("SPELTER_LEDGER_TABLE", &STACK.tables["LedgerTable"])
        .env("SPELTER_ORDERS_TABLE", &STACK.tables["OrdersTable"])
        .env("AWS_ENDPOINT_URL_DYNAMODB", &STACK.dynamodb_url)
        .envs([
            ("AWS_REGION", "us-east-1"),
            ("AWS_ACCESS_KEY_ID", "local"),
            ("AWS_SECRET_ACCESS_KEY", "local"),
        ])
        .output()
        .expect("spelter-admin");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
}

/// What happens when the time comes at which something must be done about a request.
pub async fn when_due(request_id: &str) {
    tables::make_due(request_id).await;
    invoke("SweeperFunction", &json!({})).await;
}

/// Calls a function as AWS would, and returns what it answered.
pub async fn invoke(function: &str, payload: &Value) -> Value {
    let url = format!("{}/2015-03-31/functions/{function}/invocations", STACK.lambda_url);
    send(http().post(url).json(payload)).await.ok()
}

/// The sweeper's clock, turned forward. It shows everybody's orders, so one test at a time turns it.
pub struct Hours {
    #[expect(dead_code, reason = "held for as long as the test goes on")]
    turn: tokio::sync::MutexGuard<'static, ()>,
}

/// Waits until no other test turns the clock.
pub async fn hours() -> Hours {
    static CLOCK: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());
    Hours { turn: CLOCK.lock().await }
}

impl Hours {
    /// Has the sweeper do what is due this long from now.
    pub async fn pass(&self, time: Duration) {
        #[expect(clippy::disallowed_methods, reason = "from the real time")]
        let now = jiff::Timestamp::now();
        let then = now + jiff::SignedDuration::try_from(time).expect("a time");
        let swept = invoke("SweeperFunction", &json!({"time": then.to_string()})).await;
        assert_eq!(swept["failed"], 0, "{swept}");
    }
}
