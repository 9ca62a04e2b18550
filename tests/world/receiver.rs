//! A receiver of webhooks on this machine.

use std::{
    collections::VecDeque,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{Router, body::Bytes, extract::State, response::IntoResponse};
use data_encoding::HEXLOWER;
use hmac::{Hmac, Mac};
use http::{HeaderMap, Method, StatusCode, Uri};
use serde_json::Value;
use sha2::Sha256;
use tokio::net::TcpListener;

use crate::{canaries, pause, wait};

/// One webhook that arrived.
#[derive(Debug, Clone)]
pub struct Arrival {
    /// How it was sent.
    pub method: Method,
    /// Path and query it was sent to.
    pub uri: String,
    /// Its headers.
    pub headers: HeaderMap,
    /// What it says.
    pub body: Value,
    /// The same as it came.
    pub raw: Vec<u8>,
    /// What it was answered.
    pub answered: StatusCode,
}

impl Arrival {
    /// Whether Standard Webhooks' own library takes it for signed with `secret`.
    pub fn verifies(&self, secret: &str) -> bool {
        let secret = secret.strip_prefix("zn_").expect("a secret of ours");
        let webhook = standardwebhooks::Webhook::new(secret).expect("a secret of theirs");
        webhook.verify(&self.raw, &self.headers).is_ok()
    }

    /// Whether the hexadecimal signature of the body is by `secret`.
    pub fn is_signed_by(&self, secret: &str) -> bool {
        let mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("a key of any length");
        let digest = mac.chain_update(&self.raw).finalize().into_bytes();
        self.headers["x-webhook-signature"] == HEXLOWER.encode(&digest)
    }
}

#[derive(Default)]
struct Inbox {
    arrivals: Vec<Arrival>,
    answers: VecDeque<StatusCode>,
    /// How long an answer takes.
    delay: Duration,
    says: String,
    /// What everything must be signed with, and how much was not.
    secret: Option<String>,
    unsigned: usize,
    /// Secrets that arrived; a panic in the server's task would only look like a broken connection.
    leaks: Vec<&'static str>,
}

/// A receiver that is not there yet.
pub struct Down {
    address: SocketAddr,
}

impl Down {
    /// A URL of it.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// From now on it answers.
    pub async fn up(self) -> Receiver {
        Receiver::serve(TcpListener::bind(self.address).await.expect("the port"))
    }
}

/// The receiver. It ends with the test's runtime.
#[derive(Clone)]
pub struct Receiver {
    base: String,
    inbox: Arc<Mutex<Inbox>>,
}

impl Receiver {
    /// A receiver that answers 200.
    pub async fn start() -> Self {
        Self::serve(TcpListener::bind("127.0.0.1:0").await.expect("a port"))
    }

    fn serve(listener: TcpListener) -> Self {
        let base = listener.local_addr().expect("an address").to_string();
        let inbox = Arc::new(Mutex::new(Inbox::default()));
        let app = Router::new().fallback(receive).with_state(Arc::clone(&inbox));
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { base, inbox }
    }

    /// One that nobody answers at until it is [`Down::up`].
    pub async fn down() -> Down {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        Down { address: listener.local_addr().expect("an address") }
    }

    /// Answers these first, in this order, and 200 after them.
    pub fn answer_first(&self, statuses: &[StatusCode]) {
        self.inbox.lock().expect("the inbox").answers = statuses.iter().copied().collect();
    }

    /// Checks from now on that everything is signed with `secret`, as it arrives.
    pub fn expect_signed_with(&self, secret: &str) {
        self.inbox.lock().expect("the inbox").secret = Some(secret.to_owned());
    }

    /// How much arrived that Standard Webhooks' own library does not take, or whose body has another signature.
    pub fn unsigned(&self) -> usize {
        self.inbox.lock().expect("the inbox").unsigned
    }

    /// Takes its time from now on.
    pub fn answer_after(&self, delay: Duration) {
        self.inbox.lock().expect("the inbox").delay = delay;
    }

    /// Says this in every answer.
    pub fn says(&self, text: &str) {
        text.clone_into(&mut self.inbox.lock().expect("the inbox").says);
    }

    /// A URL of it, with a path and perhaps a query.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.base)
    }

    /// A URL of it with a user and a password.
    pub fn url_with_login(&self, userinfo: &str, path: &str) -> String {
        format!("http://{userinfo}@{}{path}", self.base)
    }

    /// What has arrived at `path` so far.
    pub fn arrivals(&self, path: &str) -> Vec<Arrival> {
        let inbox = self.inbox.lock().expect("the inbox");
        assert!(inbox.leaks.is_empty(), "a webhook holds {}", inbox.leaks.join(", "));
        inbox.arrivals.iter().filter(|arrival| arrival.uri.starts_with(path)).cloned().collect()
    }

    /// The first `count` arrivals at `path`, once there are as many.
    pub async fn wait_for(&self, path: &str, count: usize) -> Vec<Arrival> {
        let what = format!("{count} webhooks at {path}");
        wait(Duration::from_mins(1), &what, async || {
            let arrivals = self.arrivals(path);
            (arrivals.len() >= count).then_some(arrivals)
        })
        .await
    }
}

async fn receive(
    State(inbox): State<Arc<Mutex<Inbox>>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> impl IntoResponse {
    let text = String::from_utf8_lossy(&body);
    let delay = inbox.lock().expect("the inbox").delay;
    pause(delay).await;
    let mut inbox = inbox.lock().expect("the inbox");
    inbox.leaks.extend(canaries::find(&text));
    let answered = inbox.answers.pop_front().unwrap_or(StatusCode::OK);
    let arrival = Arrival {
        method,
        uri: uri.to_string(),
        headers,
        body: serde_json::from_str(&text).unwrap_or(Value::Null),
        raw: body.to_vec(),
        answered,
    };
    let is_signed = |secret: &String| arrival.verifies(secret) && arrival.is_signed_by(secret);
    if !inbox.secret.as_ref().is_none_or(is_signed) {
        inbox.unsigned += 1;
    }
    inbox.arrivals.push(arrival);
    (answered, inbox.says.clone())
}
