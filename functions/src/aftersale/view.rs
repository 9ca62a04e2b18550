//! A cancellation or a return as a client sees it: the body of its GET and of every webhook.

use serde_json::{Map, Value, json};
use spelter::{
    aftersale::AfterSale,
    clock::v1_text,
    error::{Code, Refusal},
};

use super::Kind;
use crate::{news::About, orders::view::error};

/// The body.
pub fn body<K: Kind>(request: &AfterSale<K>) -> Value {
    let mut body = K::outcome(request);
    body.insert("request_id".to_owned(), json!(request.id));
    body.insert("_created_at".to_owned(), v1_text(request.created_at).into());
    if let Some(ended_at) = request.ended_at {
        body.insert("_finalized_at".to_owned(), v1_text(ended_at).into());
    }
    body.insert("request".to_owned(), request.request.clone());
    body.into()
}

/// For the news of it.
pub(crate) fn about<K: Kind>(request: &AfterSale<K>) -> About<'_> {
    About {
        owner: &request.owner,
        request: request.id.request(),
        order: &request.order,
        return_id: K::return_id(request),
        webhooks: &request.webhooks,
        body: body(request),
    }
}

/// The outcome of what has none yet.
pub(crate) fn processing() -> Map<String, Value> {
    let code = Code::RequestProcessing;
    error(&Refusal::new(code), code.row().money_moved)
}
