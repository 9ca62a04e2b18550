//! SES's API as functions call it. The emulator answers it, but for `SendBounce`, which it does not know.
//!
//! Two things are here for tests only: `GET /_local/outgoing` lists what has gone out, and `PUT /_local/dns/{name}`
//! adds the request's body to the TXT records of a name.

use super::{
    bounce::{self, Bounce, Bounced},
    dns::Dns,
    inbound::Inbound,
    journal::{Journal, Kind},
    relay::Relay,
    smtp,
};
use crate::aws::{Aws, json_body};
use axum::{
    Router,
    body::{Body, Bytes},
    extract::{DefaultBodyLimit, Path, State},
    http::{Request, StatusCode, header},
    response::{IntoResponse, Response},
    routing::{get, put},
};
use std::{collections::BTreeMap, sync::Arc};
use uuid::Uuid;

/// The namespace of SES's answers.
const NAMESPACE: &str = "http://ses.amazonaws.com/doc/2010-12-01/";

/// What the API works on.
pub(super) struct Api {
    pub(super) aws: Aws,
    pub(super) relay: Arc<Relay>,
    pub(super) inbound: Arc<Inbound>,
    pub(super) journal: Arc<Journal>,
    pub(super) dns: Arc<Dns>,
}

/// The parameters of a call in the query protocol.
type Parameters = BTreeMap<String, String>;

/// A refusal: its code, and its words.
#[derive(Debug, PartialEq, Eq)]
struct Refusal(&'static str, String);

/// The API, and what is for tests.
pub(super) fn router(api: Api) -> Router {
    Router::new()
        .route("/_local/outgoing", get(outgoing))
        .route("/_local/dns/{name}", put(add_name))
        .fallback(call)
        // A mail goes in as base64.
        .layer(DefaultBodyLimit::max(smtp::LIMIT_BYTES.saturating_mul(2)))
        .with_state(Arc::new(api))
}

async fn outgoing(State(api): State<Arc<Api>>) -> Response {
    let json = [(header::CONTENT_TYPE, "application/json")];
    (json, json_body(&api.journal.read())).into_response()
}

async fn add_name(State(api): State<Arc<Api>>, Path(name): Path<String>, text: String) -> Response {
    match api.dns.add_txt(&name, &text).await {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(error) => (StatusCode::BAD_REQUEST, error.to_string()).into_response(),
    }
}

async fn call(State(api): State<Arc<Api>>, request: Request<Body>) -> Response {
    let (head, body) = request.into_parts();
    let Ok(body) = axum::body::to_bytes(body, smtp::LIMIT_BYTES.saturating_mul(2)).await else {
        return StatusCode::PAYLOAD_TOO_LARGE.into_response();
    };
    let parameters = parameters(&body);
    if parameters.get("Action").is_some_and(|action| action == "SendBounce") {
        return match send_bounce(&api, &parameters).await {
            Ok(message_id) => sent(&message_id),
            Err(refusal) => refuse(&refusal),
        };
    }
    match api.aws.forward(Request::from_parts(head, body)).await {
        Ok(answer) => answer.map(Body::from),
        Err(error) => (StatusCode::BAD_GATEWAY, error.to_string()).into_response(),
    }
}

fn parameters(body: &Bytes) -> Parameters {
    url::form_urlencoded::parse(body).into_owned().collect()
}

/// As SES: only a mail it has received, only from a verified domain, and never to nobody.
async fn send_bounce(api: &Api, parameters: &Parameters) -> Result<String, Refusal> {
    let text = |name: &str| parameters.get(name).map(String::as_str).unwrap_or_default();
    let sender = text("BounceSender");
    if api.relay.identity(sender).is_none() {
        let words = format!("Email address is not verified: {sender}");
        return Err(Refusal("MessageRejected", words));
    }
    let Some(original) = api.inbound.accepted(text("OriginalMessageId")) else {
        let words = "Could not find the original message.".to_owned();
        return Err(Refusal("MessageRejected", words));
    };
    if original.sender.is_empty() {
        let words = "The original message has no return path.".to_owned();
        return Err(Refusal("MessageRejected", words));
    }
    let recipients = bounced(parameters)?;
    let mta = parameters.get("MessageDsn.ReportingMta").map(|mta| mta.trim_start_matches("dns;"));
    let host = smtp::host();
    let bounce = Bounce {
        from: sender,
        explanation: parameters
            .get("Explanation")
            .map_or("Your message could not be delivered to these recipients:", String::as_str),
        reporting_mta: mta.map_or(host.as_str(), str::trim),
        original: &original,
        recipients: &recipients,
    };
    let raw = bounce.compose().map_err(|error| Refusal("InternalFailure", error.to_string()))?;
    // Nobody is told of a bounce that cannot be delivered.
    let to = vec![original.sender.clone()];
    let sent = api.relay.send(Kind::Bounce, "", to, raw).await;
    sent.map_err(|reason| Refusal("InternalFailure", reason))
}

/// The recipients that a call names.
fn bounced(parameters: &Parameters) -> Result<Vec<Bounced>, Refusal> {
    let mut recipients = Vec::new();
    loop {
        let number = recipients.len().saturating_add(1);
        let field = |name: &str| {
            parameters.get(&format!("BouncedRecipientInfoList.member.{number}.{name}"))
        };
        let Some(recipient) = field("Recipient") else {
            break;
        };
        let kind = field("BounceType").map_or("Undefined", String::as_str);
        let Some(of_kind) = bounce::status(kind) else {
            return Err(invalid(&format!("{kind} is no bounce type")));
        };
        recipients.push(Bounced {
            recipient: recipient.clone(),
            status: field("RecipientDsnFields.Status").map_or(of_kind, String::as_str).to_owned(),
            diagnostic: field("RecipientDsnFields.DiagnosticCode").cloned(),
        });
    }
    if recipients.is_empty() { Err(invalid("no recipient is named")) } else { Ok(recipients) }
}

fn invalid(words: &str) -> Refusal {
    Refusal("InvalidParameterValue", words.to_owned())
}

fn sent(message_id: &str) -> Response {
    let id = message_id.split('@').next().unwrap_or_default();
    let xml = format!(
        "<SendBounceResponse xmlns=\"{NAMESPACE}\"><SendBounceResult><MessageId>{id}</MessageId>\
         </SendBounceResult><ResponseMetadata><RequestId>{}</RequestId></ResponseMetadata>\
         </SendBounceResponse>",
        Uuid::new_v4()
    );
    (StatusCode::OK, [(header::CONTENT_TYPE, "text/xml")], xml).into_response()
}

fn refuse(Refusal(code, words): &Refusal) -> Response {
    let words = words.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let xml = format!(
        "<ErrorResponse xmlns=\"{NAMESPACE}\"><Error><Type>Sender</Type><Code>{code}</Code>\
         <Message>{words}</Message></Error><RequestId>{}</RequestId></ErrorResponse>",
        Uuid::new_v4()
    );
    (StatusCode::BAD_REQUEST, [(header::CONTENT_TYPE, "text/xml")], xml).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(pairs: &[(&str, &str)]) -> Parameters {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn bounced_recipients_are_read_with_their_own_status_or_that_of_their_kind() {
        const ONE: &str = "BouncedRecipientInfoList.member.1";
        const TWO: &str = "BouncedRecipientInfoList.member.2";
        let (recipient, kind) = (format!("{ONE}.Recipient"), format!("{ONE}.BounceType"));
        let second = format!("{TWO}.Recipient");
        let status = format!("{TWO}.RecipientDsnFields.Status");
        let read = bounced(&of(&[
            (&recipient, "a@x.example"),
            (&kind, "DoesNotExist"),
            (&second, "b@x.example"),
            (&status, "5.7.1"),
        ]));
        let expected = |recipient: &str, status: &str| Bounced {
            recipient: recipient.to_owned(),
            status: status.to_owned(),
            diagnostic: None,
        };
        assert_eq!(
            read,
            Ok(vec![expected("a@x.example", "5.1.1"), expected("b@x.example", "5.7.1")])
        );
        assert!(bounced(&of(&[(&recipient, "a@x.example"), (&kind, "Moved")])).is_err());
        assert!(bounced(&of(&[])).is_err());
    }

    #[test]
    fn a_body_that_is_no_form_is_no_bounce() {
        let body = Bytes::from_static(b"{\"Action\":\"SendBounce\"}");
        assert_eq!(parameters(&body).get("Action"), None);
    }
}
