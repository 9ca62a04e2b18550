//! A cancellation as a client sees it.

use serde_json::{Map, Value, json};
use spelter::{
    aws::queue::JobMessage,
    cancellations::{Cancellation, Status, attempting},
    error::{Code, MoneyMoved},
    id::ReturnId,
};

use crate::{
    aftersale::{Kind, view::processing},
    orders::view::{error, object},
};

impl Kind for Status {
    fn outcome(request: &Cancellation) -> Map<String, Value> {
        match &request.stage {
            Self::Queued | Self::Asked => processing(),
            Self::Attempting { .. } => error(&attempting(), MoneyMoved::Yes),
            Self::Cancelled => object([
                ("_type", "cancellation_response".into()),
                ("merchant_order_id", json!(request.merchant_order_id)),
            ]),
            Self::Failed(refusal) => error(refusal, money_moved(refusal.code)),
        }
    }

    fn return_id(_: &Cancellation) -> Option<ReturnId> {
        None
    }

    fn message(request: &Cancellation) -> JobMessage {
        JobMessage::CancelOrder { owner: request.owner.clone(), cancellation: request.id.clone() }
    }
}

/// The order was paid for. Only where nobody knows what the retailer did, the money may be back.
const fn money_moved(code: Code) -> MoneyMoved {
    match code {
        Code::InternalError => MoneyMoved::Unknown,
        _ => MoneyMoved::Yes,
    }
}
