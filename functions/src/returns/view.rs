//! A return as a client sees it.

use serde_json::{Map, Value, json};
use spelter::{
    aws::queue::JobMessage,
    error::MoneyMoved,
    id::ReturnId,
    retailers::ReturnProgress,
    returns::{Return, Started, Status},
};

use crate::{
    aftersale::{Kind, view::processing},
    orders::view::{error, object},
};

impl Kind for Status {
    fn outcome(request: &Return) -> Map<String, Value> {
        match &request.stage {
            Self::Queued | Self::Starting { .. } => processing(),
            Self::Started(started) => response(started),
            // The goods were paid for, and a return that is not finished gives nothing back.
            Self::Failed(refusal) => error(refusal, MoneyMoved::Yes),
        }
    }

    fn return_id(request: &Return) -> Option<ReturnId> {
        Some(request.id.clone())
    }

    fn message(request: &Return) -> JobMessage {
        JobMessage::StartReturn { owner: request.owner.clone(), return_id: request.id.clone() }
    }
}

fn response(started: &Started) -> Map<String, Value> {
    let Started { merchant_return_id, return_by, label_urls, followed_until: _, progress } =
        started;
    let mut body = object([
        ("_type", "return_response".into()),
        ("merchant_return_id", json!(merchant_return_id)),
        ("return_by", json!(return_by)),
        ("label_urls", json!(label_urls)),
    ]);
    // What the retailer says of it later, in the form of the document's `return_in_progress`.
    if let Some(ReturnProgress { status, description, is_delivered: _ }) = progress {
        let status = json!({"status": status, "description": description});
        body.insert("status".to_owned(), status);
    }
    body
}
