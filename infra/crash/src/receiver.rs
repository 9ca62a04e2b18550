//! Who gets the webhooks, and knows from them which orders have ended.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use anyhow::Result;
use axum::{Router, body::Bytes, extract::State};
use http::StatusCode;
use serde_json::Value;
use tokio::{net::TcpListener, sync::oneshot};

/// Of each order, the words that told how it ended.
pub(crate) type Told = BTreeMap<String, Vec<String>>;

#[derive(Default)]
struct Inbox {
    told: Told,
    waiting: BTreeMap<String, Vec<oneshot::Sender<()>>>,
}

/// The receiver. It ends with the program.
#[derive(Clone, Default)]
pub(crate) struct Receiver {
    inbox: Arc<Mutex<Inbox>>,
}

impl Receiver {
    /// A receiver, and where it listens.
    pub(crate) async fn start() -> Result<(Self, String)> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}/hook", listener.local_addr()?);
        let receiver = Self::default();
        let app = Router::new().fallback(receive).with_state(receiver.clone());
        tokio::spawn(async move { axum::serve(listener, app).await });
        Ok((receiver, url))
    }

    fn inbox(&self) -> MutexGuard<'_, Inbox> {
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until it was told how an order ended.
    pub(crate) async fn heard_of(&self, id: &str) {
        let heard = {
            let mut inbox = self.inbox();
            if inbox.told.contains_key(id) {
                return;
            }
            let (tell, heard) = oneshot::channel();
            inbox.waiting.entry(id.to_owned()).or_default().push(tell);
            heard
        };
        // It is never dropped without having told.
        let _ = heard.await;
    }

    /// All that it was told.
    pub(crate) fn told(&self) -> Told {
        self.inbox().told.clone()
    }

    fn take(&self, body: &Value) {
        let text = |name: &str| body.get(name).and_then(Value::as_str).map(str::to_owned);
        let word = text("code").or_else(|| text("_type"));
        let (Some(id), Some(word)) = (text("request_id"), word) else { return };
        if word == "request_processing" {
            return;
        }
        let mut inbox = self.inbox();
        for tell in inbox.waiting.remove(&id).unwrap_or_default() {
            // Who waited may have lost patience.
            let _ = tell.send(());
        }
        inbox.told.entry(id).or_default().push(word);
    }
}

async fn receive(State(receiver): State<Receiver>, body: Bytes) -> StatusCode {
    match serde_json::from_slice(&body) {
        Ok(body) => {
            receiver.take(&body);
            StatusCode::OK
        }
        Err(_) => StatusCode::BAD_REQUEST,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[tokio::test]
    async fn an_order_is_heard_of_when_its_end_is_told() {
        let receiver = Receiver::default();
        receiver.take(&json!({"request_id": "1", "code": "request_processing"}));
        assert!(receiver.told().is_empty());
        receiver.take(&json!({"request_id": "1", "_type": "order_response"}));
        receiver.take(&json!({"request_id": "2", "_type": "error", "code": "internal_error"}));
        receiver.heard_of("2").await;
        let told = receiver.told();
        assert_eq!(told["1"], ["order_response"]);
        assert_eq!(told["2"], ["internal_error"]);
    }
}
