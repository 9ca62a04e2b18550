//! A stand-in for the host that confirms Gmail's forwarding. The token in the link says how it behaves.
//!
//! Like Gmail's it takes a confirmation by POST. A token with `get-only` in it refuses that and takes GET, one with
//! `redirect-away` sends whoever asks to another host, one with `asks-again` shows the page with the button whatever is
//! done, and one with `gone` is not known.

use axum::{
    Router,
    extract::State,
    http::{Method, StatusCode, Uri, header},
    response::{Html, IntoResponse, Response},
    routing::get,
};
use serde_json::{Value, json};
use std::sync::{Arc, Mutex, PoisonError};

/// Where `redirect-away` leads; nobody is there.
const ELSEWHERE: &str = "https://elsewhere.example/mail/vf-redirected";
/// The page that has not confirmed anything yet.
const BUTTON: &str =
    r#"<form action="" method="post"><input type="submit" value="Confirm"></form>"#;
/// The path of a confirmation, before its token.
const CONFIRMATION: &str = "/mail/vf-";

type Visits = Arc<Mutex<Vec<Value>>>;

/// The stand-in; `GET /visits` lists who asked for what, oldest first.
pub(super) fn router() -> Router {
    Router::new().route("/visits", get(visits)).fallback(visit).with_state(Visits::default())
}

async fn visits(State(visits): State<Visits>) -> Response {
    let visits = visits.lock().unwrap_or_else(PoisonError::into_inner);
    axum::Json(Value::Array(visits.clone())).into_response()
}

async fn visit(State(visits): State<Visits>, method: Method, uri: Uri) -> Response {
    let visit = json!({ "method": method.as_str(), "path": uri.path() });
    visits.lock().unwrap_or_else(PoisonError::into_inner).push(visit);
    answer(&method, uri.path())
}

fn answer(method: &Method, path: &str) -> Response {
    let Some(token) = path.strip_prefix(CONFIRMATION).filter(|token| !token.contains("gone"))
    else {
        return StatusCode::NOT_FOUND.into_response();
    };
    if token.contains("redirect-away") {
        return (StatusCode::FOUND, [(header::LOCATION, ELSEWHERE)]).into_response();
    }
    if token.contains("asks-again") {
        return Html(BUTTON).into_response();
    }
    match (method, token.contains("get-only")) {
        (&Method::POST, false) | (&Method::GET, _) => StatusCode::OK.into_response(),
        _ => StatusCode::METHOD_NOT_ALLOWED.into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_token_says_how_it_behaves() {
        let cases = [
            (Method::POST, "/mail/vf-abc", StatusCode::OK),
            (Method::POST, "/mail/vf-get-only-1", StatusCode::METHOD_NOT_ALLOWED),
            (Method::GET, "/mail/vf-get-only-1", StatusCode::OK),
            (Method::POST, "/mail/vf-redirect-away", StatusCode::FOUND),
            (Method::POST, "/mail/vf-gone", StatusCode::NOT_FOUND),
            (Method::POST, "/mail/uf-abc", StatusCode::NOT_FOUND),
        ];
        for (method, path, expected) in cases {
            assert_eq!(answer(&method, path).status(), expected, "{method} {path}");
        }
    }
}
