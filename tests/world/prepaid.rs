//! Clients that pay from a balance.

use std::time::Duration;

use http::Method;
use serde_json::Value;

use crate::{Api, new_client, operate, tables, wait};

/// A client of its own for each test, and its operator.
pub struct Client {
    /// What it calls.
    pub api: Api,
    /// Its id.
    pub id: String,
}

impl Client {
    /// Nobody before.
    #[expect(clippy::new_without_default, reason = "it is not a value but somebody")]
    pub fn new() -> Self {
        let made: Value =
            serde_json::from_str(&new_client(&["--json"])).expect("what was asked for");
        let text = |name: &str| made[name].as_str().expect("what was asked for").to_owned();
        Self { api: Api::with_key(&text("key")), id: text("client_id") }
    }

    /// Nobody before, with so many cents in US dollars.
    pub fn paid_in(cents: u64) -> Self {
        let client = Self::new();
        client.deposit(cents, "wire");
        client
    }

    /// Makes an order that was placed, with means of its own, one that the balance paid for.
    pub async fn has_paid(&self, order: &str, cents: u64) {
        tables::hold(&self.id, order, cents).await;
        self.settle(order, &["--captured", &cents.to_string()]).expect("what was asked for");
    }

    /// What the operator does with this client's test money.
    pub fn operate(&self, command: [&str; 2], options: &[&str]) -> Result<String, String> {
        let whose = ["--client-id", &self.id, "--mode", "test"];
        operate(&[&command[..], &whose[..], options].concat())
    }

    /// Pays in or out.
    pub fn pay(
        &self,
        way: &str,
        currency: &str,
        cents: u64,
        reference: &str,
    ) -> Result<String, String> {
        let amount = cents.to_string();
        let payment = ["--currency", currency, "--amount", &amount, "--reference", reference];
        self.operate(["ledger", way], &[&payment[..], &["--note", "By wire."]].concat())
    }

    /// Pays dollars in.
    pub fn deposit(&self, cents: u64, reference: &str) {
        self.pay("deposit", "USD", cents, reference).expect("what was asked for");
    }

    /// Has the books checked.
    pub fn check(&self) -> Result<String, String> {
        self.operate(["ledger", "check"], &[])
    }

    /// What it still has.
    pub async fn balance(&self) -> Value {
        self.api.v1(Method::GET, "/v1/addax/balance", None).await.ok()
    }

    /// What moved.
    pub async fn transactions(&self, query: &str) -> Vec<Value> {
        let path = format!("/v1/addax/transactions?{query}");
        let answer = self.api.v1(Method::GET, &path, None).await.ok();
        answer["transactions"].as_array().expect("what was asked for").clone()
    }

    /// Asks after a refund, or for one.
    pub async fn refund(&self, order: &str, body: Option<&Value>) -> Value {
        let path = format!("/v1/orders/{order}/refund");
        let method = if body.is_some() { Method::POST } else { Method::GET };
        self.api.v1(method, &path, body).await.ok()
    }

    /// Decides what became of what is held for an order.
    pub fn settle(&self, order: &str, outcome: &[&str]) -> Result<String, String> {
        self.operate(["ledger", "settle"], &[&["--order", order], outcome].concat())
    }

    /// What became of a cancellation.
    pub async fn cancellation(&self, request: &str) -> Value {
        let path = format!("/v1/cancellations/{request}");
        wait(Duration::from_mins(5), "a cancellation to end", async || {
            let body = self.api.v1(Method::GET, &path, None).await.ok();
            (body["code"] != "request_processing").then_some(body)
        })
        .await
    }
}
