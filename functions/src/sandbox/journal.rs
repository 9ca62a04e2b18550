//! Who did what, from when to when: one entry for each request of an account.
//!
//! The start is written before the work and the end after it, so that a request that was killed has no end.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    http::Method,
    middleware::Next,
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Shop, accounts, answer::Fault, market::Market, store::Key};

/// Entries are for tests that run now; a week is ample.
const KEPT_SECONDS: i64 = 7 * 24 * 60 * 60;

/// A request of somebody who has signed in.
#[derive(Debug, Clone)]
pub struct Visit {
    /// The account.
    pub email: String,
    /// What the journal knows the session by. It is not the token.
    pub session: String,
    /// Where it shops.
    pub market: Market,
}

/// One request.
#[derive(Debug, Serialize, Deserialize)]
pub struct Entry {
    email: String,
    session: String,
    kind: String,
    started_at_ms: i64,
    ended_at_ms: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<i64>,
}

impl Entry {
    /// As the admin sees it.
    #[must_use]
    pub fn shown(self) -> Self {
        Self { expires_at: None, ..self }
    }
}

/// Does `work` between a start and an end in the journal.
pub async fn around<T>(
    shop: &Shop,
    visit: &Visit,
    kind: &str,
    work: impl Future<Output = T>,
) -> Result<T, Fault> {
    let started_at = (shop.now)();
    let entry = Entry {
        email: visit.email.clone(),
        session: visit.session.clone(),
        kind: kind.to_owned(),
        started_at_ms: started_at.as_millisecond(),
        ended_at_ms: None,
        expires_at: Some(started_at.as_second().saturating_add(KEPT_SECONDS)),
    };
    let key = Key::journal(&visit.email, entry.started_at_ms, &Uuid::now_v7().to_string());
    shop.store.put(&key, &entry).await?;
    let done = work.await;
    shop.store.set(&key, "ended_at_ms", (shop.now)().as_millisecond()).await?;
    Ok(done)
}

/// Lets only those in who have signed in, and writes down what they do.
pub async fn of_visit(State(shop): State<Arc<Shop>>, mut request: Request, next: Next) -> Response {
    let visit = match accounts::visit(&shop, request.headers()).await {
        Ok(visit) => visit,
        Err(fault) => return fault.into_response(),
    };
    let kind = kind(request.method(), request.uri().path());
    request.extensions_mut().insert(visit.clone());
    match around(&shop, &visit, kind, next.run(request)).await {
        Ok(response) => response,
        Err(fault) => fault.into_response(),
    }
}

fn kind(method: &Method, path: &str) -> &'static str {
    let segments: Vec<_> = path.split('/').skip(1).collect();
    match segments.as_slice() {
        ["account"] => "account",
        ["cart"] => "cart",
        ["checkout", "shipping"] => "shipping",
        ["checkout", "review"] => "review",
        ["checkout", "submit"] => "submit",
        ["orders"] => "history",
        ["orders", _] => "order_state",
        ["orders", _, "cancel"] => "cancel",
        ["orders", _, "returns"] if method == Method::POST => "return",
        ["orders", _, "returns"] => "pending_return",
        ["returns", _, "labels"] => "return_labels",
        ["returns", _] => "return_state",
        _ => "offers",
    }
}
