//! What the client's own endpoint is told, in the words of Zinc's current API, and what any event is called.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::EventKind;

/// An event of the client's own endpoint (Zinc's current API, "Webhooks").
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum AccountEvent {
    /// A worker has taken the order up, to buy it now or together with others.
    #[serde(rename = "order.started")]
    OrderStarted,
    /// It was bought.
    #[serde(rename = "order.placed")]
    OrderPlaced,
    /// It was not bought, or nobody knows.
    #[serde(rename = "order.failed")]
    OrderFailed,
    /// There is a new tracking number.
    #[serde(rename = "order.tracking_received")]
    OrderTrackingReceived,
    /// Every parcel is there.
    #[serde(rename = "order.delivered")]
    OrderDelivered,
    /// Its client or the retailer has called it off.
    #[serde(rename = "order.cancelled")]
    OrderCancelled,
    /// It should arrive on another day.
    #[serde(rename = "order.estimated_delivery_updated")]
    OrderEstimatedDeliveryUpdated,
    /// A return is being asked for.
    #[serde(rename = "return.created")]
    ReturnCreated,
    /// The retailer has taken it.
    #[serde(rename = "return.approved")]
    ReturnApproved,
    /// It was not taken.
    #[serde(rename = "return.denied")]
    ReturnDenied,
    /// There is a label for it.
    #[serde(rename = "return.label_uploaded")]
    ReturnLabelUploaded,
    /// A URL is told nothing any more, since it kept failing or said so itself.
    #[serde(rename = "endpoint.disabled")]
    EndpointDisabled,
    /// The client wanted to see one.
    #[serde(rename = "webhook.test")]
    Test,
}

impl AccountEvent {
    /// As it stands in `event` and in `X-Webhook-Event`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::OrderStarted => "order.started",
            Self::OrderPlaced => "order.placed",
            Self::OrderFailed => "order.failed",
            Self::OrderTrackingReceived => "order.tracking_received",
            Self::OrderDelivered => "order.delivered",
            Self::OrderCancelled => "order.cancelled",
            Self::OrderEstimatedDeliveryUpdated => "order.estimated_delivery_updated",
            Self::ReturnCreated => "return.created",
            Self::ReturnApproved => "return.approved",
            Self::ReturnDenied => "return.denied",
            Self::ReturnLabelUploaded => "return.label_uploaded",
            Self::EndpointDisabled => "endpoint.disabled",
            Self::Test => "webhook.test",
        }
    }
}

/// The name of any event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(untagged)]
pub enum EventName {
    /// For a URL that a request named.
    Request(EventKind),
    /// For the client's own endpoint.
    Account(AccountEvent),
}

impl EventName {
    /// As it stands in `X-Webhook-Event`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Request(kind) => kind.as_str(),
            Self::Account(event) => event.as_str(),
        }
    }

    /// Whether it tells of an order, a cancellation or a return.
    pub const fn is_about_request(self) -> bool {
        !matches!(self, Self::Account(AccountEvent::EndpointDisabled | AccountEvent::Test))
    }
}

/// Something to tell the client's own endpoint.
#[derive(Debug, Clone, PartialEq)]
pub struct AccountNews {
    /// What happened.
    pub event: AccountEvent,
    /// What the order or the return now is.
    pub status: &'static str,
    /// What there is to say of it.
    pub data: Value,
}

impl AccountNews {
    /// News with nothing more to say.
    pub fn new(event: AccountEvent, status: &'static str) -> Self {
        Self { event, status, data: json!({}) }
    }

    /// The same with what there is to say.
    #[must_use]
    pub fn with(self, data: Value) -> Self {
        Self { data, ..self }
    }

    /// The body: `{event, order_id, return_id, status, timestamp, data}`.
    pub fn body(&self, order: Option<&str>, return_id: Option<&str>, at: Timestamp) -> Value {
        json!({
            "event": self.event,
            "order_id": order,
            "return_id": return_id,
            "status": self.status,
            "timestamp": format!("{at:.3}"),
            "data": self.data,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_stored_as_it_is_sent() {
        for name in [
            EventName::Request(EventKind::RequestSucceeded),
            EventName::Account(AccountEvent::OrderTrackingReceived),
            EventName::Account(AccountEvent::Test),
        ] {
            let stored = serde_json::to_value(name).unwrap();
            assert_eq!(stored, name.as_str());
            assert_eq!(serde_json::from_value::<EventName>(stored).unwrap(), name);
        }
    }

    #[test]
    fn the_body_is_the_envelope_of_the_current_api() {
        let news = AccountNews::new(AccountEvent::OrderStarted, "in_progress");
        let body = news.body(Some("0a"), None, Timestamp::UNIX_EPOCH);
        let expected = json!({
            "event": "order.started",
            "order_id": "0a",
            "return_id": null,
            "status": "in_progress",
            "timestamp": "1970-01-01T00:00:00.000Z",
            "data": {},
        });
        assert_eq!(body, expected);
    }
}
