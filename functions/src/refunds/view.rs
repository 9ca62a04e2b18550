//! A refund as a client sees it.

use serde_json::{Value, json};
use spelter::{clock::v1_text, id::OrderId, refunds::Refund};

/// The refund of `order`, or that there is none.
pub fn body(order: &OrderId, refund: Option<&Refund>) -> Value {
    let Some(refund) = refund else {
        return json!({
            "request_id": order,
            "refund_state": null,
            "reason": null,
            "note": null,
            "amount": null,
            "currency": null,
            "requested_at": null,
            "decided_at": null,
            "decision_note": null,
        });
    };
    let Refund {
        order,
        reason,
        note,
        state,
        amount,
        currency,
        merchant_order_ids: _,
        decided_before: _,
        requested_at,
        version: _,
    } = refund;
    let decision = state.decision();
    json!({
        "request_id": order,
        "refund_state": state.as_str(),
        "reason": reason.as_str(),
        "note": note,
        "amount": amount,
        "currency": currency,
        "requested_at": v1_text(*requested_at),
        "decided_at": decision.map(|decision| v1_text(decision.at)),
        "decision_note": decision.map(|decision| &decision.note),
    })
}
