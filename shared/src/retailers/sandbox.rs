//! The calls to the sandbox retailer, in the order of a purchase and of what comes after it.
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
    AccountStatus, Cancelled, CartLine, Checkout, Connector, HistoryPage, OrderState, PastOrder,
    PendingReturn, RetailerCode, ReturnOrder, ReturnProgress, Review, SignIn, StartedReturn,
    StepError, SubmitError,
};
use crate::{
    accounts::credentials::Login,
    error::BoxError,
    orders::{purchase::Address, selection::Offer, shipping::ShippingOption},
    products::ProductPage,
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

    /// The shop is every retailer at once, and knows nothing of retailer codes.
    async fn product(&self, _: RetailerCode, product_id: &str) -> Result<ProductPage, StepError> {
        let page: wire::pages::Page = step(self.http.get(self.url(&["pages", product_id]))).await?;
        Ok(page.into())
    }

    async fn public_offers(
        &self,
        _: RetailerCode,
        product_id: &str,
    ) -> Result<Vec<Offer>, StepError> {
        let request = self.http.get(self.url(&["pages", product_id, "offers"]));
        let page: wire::Offers = step(request).await?;
        Ok(page.offers.into_iter().map(|offer| offer.of(product_id)).collect())
    }

    async fn sign_in(
        &self,
        login: &Login,
        retailer: RetailerCode,
    ) -> Result<SignIn<Session>, StepError> {
        let request = self.http.post(self.url(&["sign-in"])).json(&wire::SignIn {
            market: wire::market(retailer),
            email: login.email.as_str(),
            password: login.password.expose_secret(),
        });
        Ok(signed_in(step(request).await?))
    }

    async fn answer(
        &self,
        visit: &SecretString,
        code: &SecretString,
    ) -> Result<SignIn<Session>, StepError> {
        let request = self
            .http
            .post(self.url(&["sign-in", "code"]))
            .json(&wire::Answer { challenge: visit.expose_secret(), code: code.expose_secret() });
        Ok(signed_in(step(request).await?))
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
        lines: &[CartLine],
        address: &Address,
    ) -> Result<Vec<ShippingOption>, StepError> {
        let body = wire::ShippingQuestion::of(lines, address);
        let page: wire::ShippingOptions =
            step(self.post(session, &["checkout", "shipping"]).json(&body)).await?;
        Ok(page.options.into_iter().map(Into::into).collect())
    }

    async fn review(
        &self,
        session: &Session,
        checkout: &Checkout<'_>,
    ) -> Result<Vec<Review>, StepError> {
        let request =
            self.post(session, &["checkout", "review"]).json(&wire::Checkout::of(checkout));
        let reviewed: wire::Reviewed = step(request).await?;
        if reviewed.shipments.len() != checkout.shipments.len() {
            return Err(StepError::Unavailable("the shop reviewed other shipments".into()));
        }
        Ok(reviewed.into())
    }

    async fn submit(
        &self,
        session: &Session,
        checkout_id: &str,
        patience: Duration,
    ) -> Result<Vec<PastOrder>, SubmitError> {
        let body = json!({ "checkout_id": checkout_id });
        let request = self.post(session, &["checkout", "submit"]).json(&body).timeout(patience);
        let receipt: wire::Receipt = call(request).await.map_err(CallError::of_submit)?;
        if receipt.orders.is_empty() {
            return Err(SubmitError::Unconfirmed("the receipt names no order".into()));
        }
        wire::past_orders(receipt.orders).map_err(SubmitError::Unconfirmed)
    }

    async fn history(
        &self,
        session: &Session,
        since: Timestamp,
        from: Option<&str>,
    ) -> Result<HistoryPage, StepError> {
        let request = self.get(session, &["orders"]);
        let request = request.query(&[("since", since.as_millisecond())]).query(&[("from", from)]);
        let page: wire::Orders = step(request).await?;
        let orders = wire::past_orders(page.orders).map_err(StepError::Unavailable)?;
        Ok(HistoryPage { orders, next: page.next })
    }

    async fn order_state(
        &self,
        session: &Session,
        merchant_order_id: &str,
    ) -> Result<OrderState, StepError> {
        let state: wire::OrderState =
            step(self.get(session, &["orders", merchant_order_id])).await?;
        Ok(state.into())
    }

    async fn cancel(
        &self,
        session: &Session,
        merchant_order_id: &str,
    ) -> Result<Cancelled, StepError> {
        let request = self.post(session, &["orders", merchant_order_id, "cancel"]);
        let answer: wire::Cancelled = step(request).await?;
        Ok(answer.outcome.into())
    }

    async fn pending_return(
        &self,
        session: &Session,
        merchant_order_id: &str,
        product_ids: &[String],
    ) -> Result<Option<PendingReturn>, StepError> {
        let request = self.get(session, &["orders", merchant_order_id, "returns"]);
        let page: wire::Returns = step(request).await?;
        Ok(page.pending(product_ids))
    }

    async fn start_return(
        &self,
        session: &Session,
        wanted: &ReturnOrder<'_>,
    ) -> Result<StartedReturn, StepError> {
        let path = ["orders", wanted.merchant_order_id, "returns"];
        let request = self.post(session, &path).json(&wire::ReturnOrder::of(wanted));
        let started: wire::StartedReturn = step(request).await?;
        started.try_into().map_err(StepError::Unavailable)
    }

    async fn started_return(
        &self,
        session: &Session,
        merchant_return_id: &str,
    ) -> Result<StartedReturn, StepError> {
        let request = self.get(session, &["returns", merchant_return_id, "labels"]);
        let started: wire::StartedReturn = step(request).await?;
        started.try_into().map_err(StepError::Unavailable)
    }

    async fn return_state(
        &self,
        session: &Session,
        merchant_return_id: &str,
    ) -> Result<ReturnProgress, StepError> {
        let found: wire::Return = step(self.get(session, &["returns", merchant_return_id])).await?;
        Ok(found.into())
    }

    fn history_lag(&self) -> Duration {
        HISTORY_LAG
    }
}

fn signed_in(answer: wire::SignedIn) -> SignIn<Session> {
    match answer {
        wire::SignedIn::In { session } => SignIn::In(Session { token: session }),
        wire::SignedIn::Asked(challenge) => SignIn::Asks(challenge.into()),
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
                Meaning::Refusal(code) => StepError::Refused(complaint.refusal(code)),
                Meaning::VisitLost => StepError::Unavailable("the shop has lost this visit".into()),
            },
        }
    }

    fn of_submit(self) -> SubmitError {
        match self {
            Self::NotSent(error) => SubmitError::NotSent(error),
            Self::Unclear(error) => SubmitError::Unconfirmed(error),
            Self::Complaint(complaint) => match complaint.error.meaning() {
                Meaning::Refusal(code) => SubmitError::Refused(complaint.refusal(code)),
                Meaning::VisitLost => SubmitError::NotSent("the shop has lost this visit".into()),
            },
        }
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

    use serde_json::Value;

    use super::*;
    use crate::{
        error::{Code, Refusal},
        money::Cents,
        retailers::{OrderProgress, Parcel},
    };

    /// A receipt is a history without `next`.
    const RECEIPT: &str = r#"{"orders": [{"order_id": "112-1", "placed_at_ms": 1700000000000, "total_cents": 2124,
        "items": [{"product_id": "P", "quantity": 2}], "postal_code": "02139", "tracking_url": null}]}"#;

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

    async fn submit(base_url: Url) -> Result<Vec<PastOrder>, SubmitError> {
        connector(base_url).submit(&session(), "c", Duration::from_millis(500)).await
    }

    #[tokio::test]
    async fn a_receipt_is_a_placed_order() {
        let placed = submit(answering(200, RECEIPT)).await.unwrap();
        assert_eq!(placed.len(), 1);
        assert_eq!(placed[0].merchant_order_id, "112-1");
        assert_eq!(placed[0].products, [("P".to_owned(), 2)]);
        assert_eq!(placed[0].total, Cents(2124));
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
            answering(200, r#"{"orders": []}"#),
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
    async fn a_history_that_may_be_cut_is_no_answer() {
        let page = |next: &str| answering(200, &RECEIPT.replacen('{', &format!("{{{next}"), 1));
        let unsaid = connector(page("")).history(&session(), Timestamp::UNIX_EPOCH, None).await;
        assert!(matches!(unsaid, Err(StepError::Unavailable(_))));
        let whole = page(r#""next": null, "#);
        let whole = connector(whole).history(&session(), Timestamp::UNIX_EPOCH, None).await;
        assert_eq!(whole.unwrap().orders.len(), 1);
    }

    fn refused<T>(outcome: Result<T, StepError>) -> Refusal {
        match outcome {
            Err(StepError::Refused(refusal)) => refusal,
            Err(error) => panic!("{error:?}"),
            Ok(_) => panic!("not refused"),
        }
    }

    #[tokio::test]
    async fn an_order_stands_where_the_shop_says_and_nowhere_else() {
        let state = |progress| {
            let body = json!({
                "order_id": "112-1", "progress": progress, "tracking_url": "u", "arrives_on": "2026-01-02",
                "parcels": [{"product_ids": ["P"], "carrier": "UPS", "tracking_number": null, "tracking_url": null,
                    "status": "on_the_way"}],
            });
            answering(200, &body.to_string())
        };
        let parcel = Parcel {
            product_ids: vec!["P".to_owned()],
            carrier: Some("UPS".to_owned()),
            tracking_number: None,
            tracking_url: None,
            delivery_status: Some("InTransit".to_owned()),
        };
        let shipped = OrderState {
            progress: OrderProgress::Shipped,
            parcels: vec![parcel],
            tracking_url: Some("u".to_owned()),
            delivery_date: Some("2026-01-02".to_owned()),
        };
        let outcome = connector(state("shipped")).order_state(&session(), "112-1").await;
        assert_eq!(outcome.unwrap(), shipped);
        let outcome = connector(state("lost")).order_state(&session(), "112-1").await;
        assert!(matches!(outcome, Err(StepError::Unavailable(_))));
        let unknown = answering(404, r#"{"error": "unknown_order"}"#);
        let outcome = connector(unknown).order_state(&session(), "112-1").await;
        assert_eq!(refused(outcome).code, Code::InvalidRequest);
    }

    #[tokio::test]
    async fn a_cancellation_is_done_attempted_or_refused() {
        for (word, expected) in
            [("cancelled", Cancelled::Done), ("attempting", Cancelled::Attempting)]
        {
            let answer = answering(200, &json!({ "outcome": word }).to_string());
            assert_eq!(connector(answer).cancel(&session(), "112-1").await.unwrap(), expected);
        }
        let unclear = answering(200, r#"{"outcome": "perhaps"}"#);
        let outcome = connector(unclear).cancel(&session(), "112-1").await;
        assert!(matches!(outcome, Err(StepError::Unavailable(_))));
        let shipped = answering(422, r#"{"error": "order_not_cancellable"}"#);
        let outcome = connector(shipped).cancel(&session(), "112-1").await;
        assert_eq!(refused(outcome), Refusal::new(Code::OrderNotCancellable));
    }

    async fn start_return(base_url: Url) -> Result<StartedReturn, StepError> {
        let wanted = ReturnOrder {
            merchant_order_id: "112-1",
            items: &[("P".to_owned(), 1)],
            reason_code: "inaccurate website description",
            method_code: "UPS Dropoff",
            explanation: None,
            return_address: None,
            cancel_pending: true,
        };
        connector(base_url).start_return(&session(), &wanted).await
    }

    #[tokio::test]
    async fn a_return_comes_with_its_labels() {
        let body = |label| {
            json!({ "return_id": "r", "return_by": "2018-02-01T00:00:00", "labels": [label] })
                .to_string()
        };
        let started = start_return(answering(200, &body("JVBERg=="))).await.ok().unwrap();
        assert_eq!(started.labels, [b"%PDF".to_vec()]);
        assert_eq!(started.return_by, "2018-02-01T00:00:00");
        let outcome = start_return(answering(200, &body("?"))).await;
        assert!(matches!(outcome, Err(StepError::Unavailable(_))));
    }

    #[tokio::test]
    async fn a_return_is_refused_in_the_words_of_the_documents() {
        let in_progress = r#"{"error": "return_in_progress", "return_id": "r", "items": [], "state": "refunded",
            "description": "$6.30 refund issued on Nov 22, 2017.", "tried_to_cancel": true}"#;
        let refusal = refused(start_return(answering(422, in_progress)).await);
        let documented = json!({
            "status": {"status": "Refund issued", "description": "$6.30 refund issued on Nov 22, 2017."},
            "error": "Tried to cancel but could not find cancel button",
        });
        assert_eq!((refusal.code, refusal.data), (Code::ReturnInProgress, documented));

        let unknown = r#"{"error": "unknown_method", "allowed": ["UPS Dropoff", "UPS Pickup"]}"#;
        let refusal = refused(start_return(answering(422, unknown)).await);
        let data = json!({
            "validator_errors": [{"path": "method_code", "message": "must be one of UPS Dropoff, UPS Pickup", "value": null}],
            "allowed": ["UPS Dropoff", "UPS Pickup"],
        });
        assert_eq!((refusal.code, refusal.data), (Code::InvalidRequest, data));

        let late = r#"{"error": "return_not_allowed", "because": "too_late"}"#;
        let refusal = refused(start_return(answering(422, late)).await);
        let data = json!({"reason": "too_late"});
        assert_eq!((refusal.code, refusal.data), (Code::ReturnNotAllowed, data));
    }

    #[tokio::test]
    async fn a_return_that_was_called_off_is_not_pending() {
        let one = |id: &str, product: &str, state: &str| {
            json!({
                "return_id": id, "items": [{"product_id": product, "quantity": 1}], "state": state, "description": "d",
            })
        };
        let page = |returns: Value| answering(200, &json!({ "returns": returns }).to_string());
        let pending = async |returns: Value| {
            let sandbox = connector(page(returns));
            let found = sandbox.pending_return(&session(), "112-1", &["P".to_owned()]).await;
            found.unwrap().map(|pending| (pending.merchant_return_id, pending.status))
        };
        assert_eq!(pending(json!([])).await, None);
        assert_eq!(
            pending(json!([one("4", "P", "cancelled"), one("3", "Q", "started")])).await,
            None
        );
        let found = pending(json!([
            one("3", "Q", "started"),
            one("2", "P", "refunded"),
            one("1", "P", "started")
        ]));
        assert_eq!(found.await, Some(("2".to_owned(), "Refund issued".to_owned())));
    }

    #[tokio::test]
    async fn a_refund_says_that_the_parcel_came_back() {
        for (state, expected) in
            [("started", false), ("received", true), ("refunded", true), ("cancelled", false)]
        {
            let body = json!({ "return_id": "r", "items": [], "state": state, "description": "d" });
            let found = connector(answering(200, &body.to_string()));
            let found = found.return_state(&session(), "r").await.unwrap();
            assert_eq!(found.is_delivered, expected, "{state}");
        }
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
