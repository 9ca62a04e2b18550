//! How a delivery is shown: as a block for people, or as an object in one line for programs.
//!
//! What arrived is somebody else's text. Nothing in it reaches the terminal as a command, and nothing of it looks like a
//! line of ours: it is indented, and characters that are not seen are written as JSON escapes.

use std::fmt::Write as _;

use axum::http::StatusCode;
use jiff::Timestamp;
use serde_json::{Value, json};
use spelter::clock::v1_text;

use super::check::{Verdict, Verdicts};

/// A delivery and what is known about it.
pub(crate) struct Delivery {
    /// When it arrived.
    pub(crate) at: Timestamp,
    /// Path and query it was sent to.
    pub(crate) path: String,
    /// `X-Webhook-Event`.
    pub(crate) event: Option<String>,
    /// `webhook-id`.
    pub(crate) id: Option<String>,
    /// Whether one with this id arrived before.
    pub(crate) repeated: bool,
    /// What its signatures are worth.
    pub(crate) verdicts: Verdicts,
    /// What it says.
    pub(crate) body: Vec<u8>,
    /// What it is answered.
    pub(crate) answered: StatusCode,
}

impl Delivery {
    /// The block, with an empty line after it.
    pub(crate) fn block(&self) -> String {
        let Self { at, path, answered, verdicts, .. } = self;
        let header = |value: &Option<String>| value.as_deref().map_or("(none)".to_owned(), line);
        let repeated = if self.repeated { "  (seen before: a repetition)" } else { "" };
        let answered = answered.as_u16();
        let mut block = format!(
            "{at}  POST {path}  answered {answered}\n  \
               X-Webhook-Event      {event}\n  \
               webhook-id           {id}{repeated}\n  \
               webhook-signature    signature: {standard}\n  \
               X-Webhook-Signature  signature: {body}\n",
            at = v1_text(*at),
            path = line(path),
            event = header(&self.event),
            id = header(&self.id),
            standard = verdicts.standard,
            body = verdicts.body,
        );
        let parsed: Option<Value> = serde_json::from_slice(&self.body).ok();
        if let Some(status) = parsed.as_ref().and_then(status_line) {
            // Writing to a string cannot fail.
            let _ = writeln!(block, "  {}", line(&status));
        }
        let text = match parsed {
            Some(parsed) => format!("{parsed:#}"),
            None => String::from_utf8_lossy(&self.body).into_owned(),
        };
        for text in text.lines() {
            let _ = writeln!(block, "  {}", line(text));
        }
        block.push('\n');
        block
    }

    /// The object: `body` is what was sent, or null where it is no JSON, and then `text` is it.
    pub(crate) fn json_line(&self) -> String {
        let body: Option<Value> = serde_json::from_slice(&self.body).ok();
        let text = body.is_none().then(|| String::from_utf8_lossy(&self.body));
        let object = json!({
            "time": v1_text(self.at),
            "path": self.path,
            "event": self.event,
            "webhook_id": self.id,
            "repeated": self.repeated,
            "signatures": {
                "webhook-signature": verdict(&self.verdicts.standard),
                "x-webhook-signature": verdict(&self.verdicts.body),
            },
            "status": body.as_ref().and_then(status_line),
            "body": body,
            "text": text,
            "answered": self.answered.as_u16(),
        });
        // All that is escaped stands inside of strings, where an escape means the same.
        format!("{}\n", line(&object.to_string()))
    }
}

fn verdict(verdict: &Verdict) -> Value {
    match verdict {
        Verdict::Valid => json!({ "verdict": "valid" }),
        Verdict::Invalid(why) => json!({ "verdict": "invalid", "why": why }),
        Verdict::NotChecked => json!({ "verdict": "not checked" }),
    }
}

/// What a body tells, in a few words: `_type` and `code` of v1, or `event` and `status` of the current API.
fn status_line(body: &Value) -> Option<String> {
    let text = |name: &str| body.get(name).and_then(Value::as_str);
    let (what, how) = match text("_type") {
        Some(kind) => (kind, text("code")),
        None => (text("event")?, text("status")),
    };
    Some(how.map_or_else(|| what.to_owned(), |how| format!("{what} / {how}")))
}

/// `text` as one line of harmless characters.
pub(crate) fn line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for character in text.chars() {
        if is_harmless(character) {
            line.push(character);
        } else {
            let _ = write!(line, "\\u{:04x}", u32::from(character));
        }
    }
    line
}

/// Neither a control character nor one that breaks a line or turns its direction.
fn is_harmless(character: char) -> bool {
    let breaks_or_turns = matches!(
        character,
        '\u{61c}'
            | '\u{200e}'
            | '\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2066}'..='\u{2069}'
    );
    !character.is_control() && !breaks_or_turns
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delivery(body: &str) -> Delivery {
        Delivery {
            at: Timestamp::UNIX_EPOCH,
            path: "/placed?a=1".to_owned(),
            event: Some("request_failed".to_owned()),
            id: Some("whd_1".to_owned()),
            repeated: true,
            verdicts: Verdicts {
                standard: Verdict::Valid,
                body: Verdict::Invalid("not hexadecimal".to_owned()),
            },
            body: body.as_bytes().to_vec(),
            answered: StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    #[test]
    fn a_block_says_what_arrived_and_what_it_is_worth() {
        let block = delivery(r#"{"code":"max_price_exceeded","_type":"error"}"#).block();
        let expected = "\
1970-01-01T00:00:00.000Z  POST /placed?a=1  answered 503
  X-Webhook-Event      request_failed
  webhook-id           whd_1  (seen before: a repetition)
  webhook-signature    signature: valid
  X-Webhook-Signature  signature: INVALID: not hexadecimal
  error / max_price_exceeded
  {
    \"_type\": \"error\",
    \"code\": \"max_price_exceeded\"
  }

";
        assert_eq!(block, expected);
    }

    #[test]
    fn an_event_of_the_current_api_has_its_status() {
        let block = delivery(r#"{"event":"order.started","status":"in_progress"}"#).block();
        assert!(block.contains("\n  order.started / in_progress\n"), "{block}");
    }

    #[test]
    fn a_line_for_programs_is_one_object() {
        let text = delivery("{\"_type\":\"error\",\"a\":\"\u{9b}31m\"}").json_line();
        assert_eq!(text.lines().count(), 1);
        let object: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(object["body"], json!({"_type": "error", "a": "\u{9b}31m"}));
        assert_eq!(object["status"], "error");
        assert_eq!(object["repeated"], true);
        assert_eq!(object["signatures"]["webhook-signature"], json!({"verdict": "valid"}));
        let invalid = json!({"verdict": "invalid", "why": "not hexadecimal"});
        assert_eq!(object["signatures"]["x-webhook-signature"], invalid);
        assert_eq!(object["answered"], 503);
    }

    #[test]
    fn no_terminal_obeys_what_arrived() {
        let orders = "\u{1b}]0;title\u{7}\u{9b}31m\r\u{7f}\u{202e}\u{2028}";
        let json = serde_json::to_string(&json!({ "_type": orders, orders: [orders] })).unwrap();
        for body in [json.as_str(), orders, "no\nJSON\n\u{1b}c"] {
            let mut delivery = delivery(body);
            delivery.event = Some(orders.to_owned());
            delivery.id = Some(orders.to_owned());
            delivery.path = orders.to_owned();
            for text in [delivery.block(), delivery.json_line()] {
                let harmful = text.chars().find(|one| *one != '\n' && !is_harmless(*one));
                assert_eq!(harmful, None, "{text}");
            }
            serde_json::from_str::<Value>(&delivery.json_line()).unwrap();
        }
    }

    /// Only the first line of a block stands at the margin, whatever a body says.
    #[test]
    fn a_body_looks_like_no_delivery() {
        let block = delivery("x\n1970-01-01T00:00:00.000Z  POST /  answered 200\n\ny").block();
        let at_margin = block.lines().filter(|line| !line.is_empty() && !line.starts_with("  "));
        assert_eq!(at_margin.count(), 1, "{block}");
    }
}
