//! A receiver of webhooks on this machine.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{Router, body::Bytes, extract::State, response::IntoResponse};
use http::{HeaderMap, Method, StatusCode, Uri};
use serde_json::Value;
use tokio::net::TcpListener;

use crate::{canaries, wait};

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
    /// What it was answered.
    pub answered: StatusCode,
}

#[derive(Default)]
struct Inbox {
    arrivals: Vec<Arrival>,
    answers: VecDeque<StatusCode>,
    /// Secrets that arrived; a panic in the server's task would only look like a broken connection.
    leaks: Vec<&'static str>,
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
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let base = listener.local_addr().expect("an address").to_string();
        let inbox = Arc::new(Mutex::new(Inbox::default()));
        let app = Router::new().fallback(receive).with_state(Arc::clone(&inbox));
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { base, inbox }
    }

    /// Answers these first, in this order, and 200 after them.
    pub fn answer_first(&self, statuses: &[StatusCode]) {
        self.inbox.lock().expect("the inbox").answers = statuses.iter().copied().collect();
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
    let mut inbox = inbox.lock().expect("the inbox");
    inbox.leaks.extend(canaries::find(&text));
    let answered = inbox.answers.pop_front().unwrap_or(StatusCode::OK);
    inbox.arrivals.push(Arrival {
        method,
        uri: uri.to_string(),
        headers,
        body: serde_json::from_str(&text).unwrap_or(Value::Null),
        answered,
    });
    answered
}
