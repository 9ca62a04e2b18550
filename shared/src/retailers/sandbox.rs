//! The calls to the sandbox retailer, in the order of a purchase.
//!
//! Every call is made once. What the shop says is read in [`wire`]; what it does not say clearly is never taken for a
//! yes or a no.

mod wire;

use std::time::Duration;

use jiff::Timestamp;
use reqwest::{Client, RequestBuilder, StatusCode};
use secrecy::{ExposeSecret, SecretString};
use serde::de::DeserializeOwned;
use serde_json::json;
use url::Url;

use self::wire::{Complaint, Meaning};
use super::{
    AccountStatus, CartLine, Checkout, Connector, PastOrder, Review, StepError, SubmitError,
};
use crate::{
    accounts::credentials::Login,
    error::{BoxError, Refusal},
    orders::{purchase::Address, selection::Offer, shipping::ShippingOption},
};

/// How long one step may take; pressing "buy" has a time of its own.
const STEP_TIMEOUT: Duration = Duration::from_secs(15);

/// The shop promises to take an order within three seconds of the press or not at all, and to show what it took two
/// seconds later at the latest. It cannot be told to break this promise.
const HISTORY_LAG: Duration = Duration::from_secs(5);

/// The sandbox retailer.
pub struct Sandbox {
    base_url: Url,
    http: Client,
}

/// A signed-in visit: the token that stands for it.
pub struct Session {
    token: SecretString,
}

impl Sandbox {
    /// The shop at `base_url`.
    pub fn new(base_url: Url, http: Client) -> Self {
        Self { base_url, http }
    }

    fn url(&self, path: &[&str]) -> Url {
        let mut url = self.base_url.clone();
        // Fails only for URLs that cannot have a path; then the call itself fails.
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        url
    }

    fn get(&self, session: &Session, path: &[&str]) -> RequestBuilder {
        self.http.get(self.url(path)).bearer_auth(session.token.expose_secret())
    }

    fn post(&self, session: &Session, path: &[&str]) -> RequestBuilder {
        self.http.post(self.url(path)).bearer_auth(session.token.expose_secret())
    }
}

impl Connector for Sandbox {
    type Session = Session;

    async fn sign_in(&self, login: &Login, now: Timestamp) -> Result<Session, StepError> {
        let totp = login.totp.as_ref().map(|secret| secret.code(now));
        let request = self.http.post(self.url(&["sign-in"])).json(&wire::SignIn {
            email: login.email.as_str(),
            password: login.password.expose_secret(),
            totp: totp.as_ref().map(ExposeSecret::expose_secret),
        });
        let signed_in: wire::SignedIn = step(request).await?;
        Ok(Session { token: signed_in.session })
    }

    async fn account_status(&self, session: &Session) -> Result<AccountStatus, StepError> {
        let account: wire::Account = step(self.get(session, &["account"])).await?;
        Ok(account.into())
    }

    async fn offers(&self, session: &Session, product_id: &str) -> Result<Vec<Offer>, StepError> {
        let page: wire::Offers =
            step(self.get(session, &["products", product_id, "offers"])).await?;
        Ok(page.offers.into_iter().map(|offer| offer.of(product_id)).collect())
    }

    async fn fill_cart(&self, session: &Session, lines: &[CartLine]) -> Result<(), StepError> {
        let request = self.http.put(self.url(&["cart"])).bearer_auth(session.token.expose_secret());
        let wire::CartFilled {} = step(request.json(&wire::Cart::of(lines))).await?;
        Ok(())
    }

    async fn shipping_options(
        &self,
        session: &Session,
        address: &Address,
    ) -> Result<Vec<ShippingOption>, StepError> {
        let body = json!({ "address": wire::Address::of(address) });
        let page: wire::ShippingOptions =
            step(self.post(session, &["checkout", "shipping"]).json(&body)).await?;
        Ok(page.options.into_iter().map(Into::into).collect())
    }

    async fn review(
        &self,
        session: &Session,
        checkout: &Checkout<'_>,
    ) -> Result<Review, StepError> {
        let request =
            self.post(session, &["checkout", "review"]).json(&wire::Checkout::of(checkout));
        let review: wire::Review = step(request).await?;
        Ok(review.into())
    }

    async fn submit(
        &self,
        session: &Session,
        review: &Review,
        patience: Duration,
    ) -> Result<PastOrder, SubmitError> {
        let body = json!({ "checkout_id": review.checkout_id });
        let request = self.post(session, &["checkout", "submit"]).json(&body).timeout(patience);
        let receipt: wire::Order = call(request).await.map_err(CallError::of_submit)?;
        receipt.try_into().map_err(SubmitError::Unconfirmed)
    }

    async fn history(
        &self,
        session: &Session,
        since: Timestamp,
    ) -> Result<Vec<PastOrder>, StepError> {
        let request = self.get(session, &["orders"]).query(&[("since", since.as_millisecond())]);
        let page: wire::Orders = step(request).await?;
        if page.more {
            // What is not on this page may be the very order that is looked for.
            return Err(StepError::Unavailable("the history is longer than one page".into()));
        }
        let orders: Result<Vec<_>, _> = page.orders.into_iter().map(PastOrder::try_from).collect();
        orders.map_err(StepError::Unavailable)
    }

    fn history_lag(&self) -> Duration {
        HISTORY_LAG
    }
}

/// A call without the answer that was hoped for.
enum CallError {
    /// It never left.
    NotSent(BoxError),
    /// It left; no answer came, or one that says nothing clear.
    Unclear(BoxError),
    /// The shop said no, in words we know.
    Complaint(Complaint),
}

impl CallError {
    fn of_step(self) -> StepError {
        match self {
            Self::NotSent(error) | Self::Unclear(error) => StepError::Unavailable(error),
            Self::Complaint(complaint) => match complaint.error.meaning() {
                Meaning::Refusal(code) => StepError::Refused(refusal(code, complaint)),
                Meaning::VisitLost => StepError::Unavailable("the shop has lost this visit".into()),
            },
        }
    }

    fn of_submit(self) -> SubmitError {
        match self {
            Self::NotSent(error) => SubmitError::NotSent(error),
            Self::Unclear(error) => SubmitError::Unconfirmed(error),
            Self::Complaint(complaint) => match complaint.error.meaning() {
                Meaning::Refusal(code) => SubmitError::Refused(refusal(code, complaint)),
                Meaning::VisitLost => SubmitError::NotSent("the shop has lost this visit".into()),
            },
        }
    }
}

fn refusal(code: crate::error::Code, complaint: Complaint) -> Refusal {
    let refusal = Refusal::new(code);
    match complaint.product_id {
        Some(product_id) => refusal.with(json!({ "product_id": product_id })),
        None => refusal,
    }
}

async fn step<A: DeserializeOwned>(request: RequestBuilder) -> Result<A, StepError> {
    call(request.timeout(STEP_TIMEOUT)).await.map_err(CallError::of_step)
}

async fn call<A: DeserializeOwned>(request: RequestBuilder) -> Result<A, CallError> {
    let response = request.send().await.map_err(|error| {
        let never_left = error.is_connect() || error.is_builder();
        let error = error.without_url().into();
        if never_left { CallError::NotSent(error) } else { CallError::Unclear(error) }
    })?;
    let status = response.status();
    let body =
        response.bytes().await.map_err(|error| CallError::Unclear(error.without_url().into()))?;
    if status == StatusCode::OK {
        return serde_json::from_slice(&body).map_err(|error| CallError::Unclear(error.into()));
    }
    match serde_json::from_slice(&body) {
        Ok(complaint) if status.is_client_error() => Err(CallError::Complaint(complaint)),
        _ => Err(CallError::Unclear(format!("the shop answered {status}").into())),
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read, Write},
        net::TcpListener,
        thread,
    };

    use super::*;
    use crate::{error::Code, money::Cents};

    const RECEIPT: &str = r#"{"order_id": "112-1", "placed_at_ms": 1700000000000, "total_cents": 2124,
        "items": [{"product_id": "P", "quantity": 2}], "postal_code": "02139", "tracking_url": null}"#;

    /// A shop that gives every request the same raw answer and then hangs up.
    fn shop(answer: String) -> Url {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut request = [0; 4096];
                let _ = stream.read(&mut request);
                let _ = stream.write_all(answer.as_bytes());
            }
        });
        url
    }

    fn answering(status: u16, body: &str) -> Url {
        shop(format!(
            "HTTP/1.1 {status} X\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
            body.len()
        ))
    }

    fn connector(base_url: Url) -> Sandbox {
        // Fails when another test was first, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        Sandbox::new(base_url, Client::new())
    }

    fn session() -> Session {
        Session { token: "token".to_owned().into() }
    }

    async fn submit(base_url: Url) -> Result<PastOrder, SubmitError> {
        let review = Review {
            checkout_id: "c".to_owned(),
            subtotal: Cents(1999),
            shipping: Cents(0),
            tax: Cents(125),
            total: Cents(2124),
            gift_certificate: None,
            product_subtotals: Vec::new(),
            currency: "USD".to_owned(),
            delivery_dates: Vec::new(),
            rejected_promo_codes: Vec::new(),
        };
        connector(base_url).submit(&session(), &review, Duration::from_millis(500)).await
    }

    #[tokio::test]
    async fn a_receipt_is_a_placed_order() {
        let placed = submit(answering(200, RECEIPT)).await.unwrap();
        assert_eq!(placed.merchant_order_id, "112-1");
        assert_eq!(placed.products, [("P".to_owned(), 2)]);
        assert_eq!(placed.total, Cents(2124));
    }

    #[tokio::test]
    async fn a_clear_no_at_submit_is_a_refusal() {
        let refused = submit(answering(422, r#"{"error": "credit_card_declined"}"#)).await;
        assert!(
            matches!(refused, Err(SubmitError::Refused(refusal)) if refusal.code == Code::CreditCardDeclined)
        );
    }

    #[tokio::test]
    async fn what_was_turned_away_at_the_door_was_not_sent() {
        let free_port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let nobody_there = format!("http://{free_port}").parse().unwrap();
        assert!(matches!(submit(nobody_there).await, Err(SubmitError::NotSent(_))));
        let expired = submit(answering(401, r#"{"error": "session_expired"}"#)).await;
        assert!(matches!(expired, Err(SubmitError::NotSent(_))));
    }

    #[tokio::test]
    async fn everything_else_at_submit_is_unconfirmed() {
        let silent = TcpListener::bind("127.0.0.1:0").unwrap();
        let silence = format!("http://{}", silent.local_addr().unwrap()).parse().unwrap();
        let unclear = [
            silence,
            shop(String::new()),
            shop("HTTP/1.1 200 X\r\ncontent-length: 500\r\n\r\n{".to_owned()),
            answering(200, "{}"),
            answering(200, "not json"),
            answering(202, RECEIPT),
            answering(302, "{}"),
            answering(400, r#"{"error": "bad_request"}"#),
            answering(429, r#"{"message": "Too Many Requests"}"#),
            answering(422, r#"{"error": "a_word_we_do_not_know"}"#),
            answering(500, ""),
            answering(503, r#"{"error": "product_unavailable"}"#),
        ];
        for (case, url) in unclear.into_iter().enumerate() {
            let outcome = submit(url).await;
            assert!(
                matches!(outcome, Err(SubmitError::Unconfirmed(_))),
                "case {case}: {outcome:?}"
            );
        }
    }

    #[tokio::test]
    async fn a_step_without_a_clear_answer_may_be_tried_again() {
        for answer in [
            shop(String::new()),
            answering(500, ""),
            answering(200, "{}"),
            answering(409, r#"{"error": "cart_empty"}"#),
        ] {
            let outcome = connector(answer).offers(&session(), "P").await;
            assert!(matches!(outcome, Err(StepError::Unavailable(_))), "{outcome:?}");
        }
        let refused = answering(422, r#"{"error": "expired_product_id", "product_id": "P"}"#);
        let outcome = connector(refused).offers(&session(), "P").await;
        let expected = Refusal::new(Code::ExpiredProductId).with(json!({"product_id": "P"}));
        assert!(matches!(outcome, Err(StepError::Refused(refusal)) if refusal == expected));
    }

    #[tokio::test]
    async fn a_history_that_is_cut_is_no_answer() {
        let cut = answering(200, &format!(r#"{{"orders": [{RECEIPT}], "more": true}}"#));
        let outcome = connector(cut).history(&session(), Timestamp::UNIX_EPOCH).await;
        assert!(matches!(outcome, Err(StepError::Unavailable(_))));
        let whole = answering(200, &format!(r#"{{"orders": [{RECEIPT}], "more": false}}"#));
        assert_eq!(
            connector(whole).history(&session(), Timestamp::UNIX_EPOCH).await.unwrap().len(),
            1
        );
    }

    #[test]
    fn product_ids_cannot_leave_their_place_in_the_path() {
        let sandbox = connector("http://shop/stage/".parse().unwrap());
        assert_eq!(
            sandbox.url(&["products", "../a?b", "offers"]).as_str(),
            "http://shop/stage/products/..%2Fa%3Fb/offers"
        );
    }
}
