//! The event that a receipt rule's Lambda action sends, as AWS documents it.

use super::{smtp::Envelope, verdicts::Verdicts};
use jiff::Timestamp;
use mail_parser::{Address, Message};
use serde_json::{Map, Value, json};

/// Headers beyond this are left out, and the event says so.
const HEADERS_BYTES: usize = 10 * 1024;

/// What is known of a received mail besides its text.
pub(super) struct Receipt<'a> {
    /// SES's id of it.
    pub(super) message_id: &'a str,
    /// Who it was for, and from whom, at SMTP.
    pub(super) envelope: &'a Envelope,
    /// The recipients that the rule matched.
    pub(super) recipients: Vec<&'a str>,
    /// When it came.
    pub(super) received_at: Timestamp,
    /// How long it took so far, in milliseconds.
    pub(super) processing_ms: i64,
    /// What was found out about it.
    pub(super) verdicts: &'a Verdicts,
    /// The function that is told.
    pub(super) function_arn: &'a str,
}

/// The event of a mail as it was stored, SES's own headers among the others.
pub(super) fn event(receipt: &Receipt<'_>, stored: &Message<'_>) -> Value {
    json!({ "Records": [{
        "eventSource": "aws:ses",
        "eventVersion": "1.0",
        "ses": { "mail": mail(receipt, stored), "receipt": findings(receipt) },
    }] })
}

fn mail(receipt: &Receipt<'_>, message: &Message<'_>) -> Value {
    let (headers, truncated) = headers(message);
    json!({
        "timestamp": timestamp(receipt),
        "source": receipt.envelope.sender,
        "messageId": receipt.message_id,
        "destination": destination(message),
        "headersTruncated": truncated,
        "headers": headers,
        "commonHeaders": common_headers(message, &receipt.envelope.sender),
    })
}

fn findings(receipt: &Receipt<'_>) -> Value {
    let Verdicts { spam, virus, spf, dkim, dmarc, dmarc_policy, .. } = receipt.verdicts;
    let mut findings = json!({
        "timestamp": timestamp(receipt),
        "processingTimeMillis": receipt.processing_ms,
        "recipients": receipt.recipients,
        "spamVerdict": { "status": spam.word() },
        "virusVerdict": { "status": virus.word() },
        "spfVerdict": { "status": spf.word() },
        "dkimVerdict": { "status": dkim.word() },
        "dmarcVerdict": { "status": dmarc.word() },
        "action": {
            "type": "Lambda",
            "functionArn": receipt.function_arn,
            "invocationType": "Event",
        },
    });
    if let (Value::Object(findings), Some(policy)) = (&mut findings, dmarc_policy) {
        findings.insert("dmarcPolicy".to_owned(), json!(policy));
    }
    findings
}

fn timestamp(receipt: &Receipt<'_>) -> String {
    receipt.received_at.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()
}

fn headers(message: &Message<'_>) -> (Vec<Value>, bool) {
    let mut headers = Vec::new();
    let mut bytes = 0_usize;
    for (name, value) in message.headers_raw() {
        bytes = bytes.saturating_add(name.len()).saturating_add(value.len());
        if bytes > HEADERS_BYTES {
            return (headers, true);
        }
        headers.push(json!({ "name": name, "value": unfolded(value) }));
    }
    (headers, false)
}

fn unfolded(value: &str) -> String {
    value.trim().replace("\r\n", "").replace('\n', "")
}

/// The addresses of To and Cc: not the envelope's, which are the receipt's `recipients`.
fn destination(message: &Message<'_>) -> Vec<String> {
    let addresses = [message.to(), message.cc()].into_iter().flatten().flat_map(Address::iter);
    addresses.filter_map(|one| one.address().map(str::to_owned)).collect()
}

fn common_headers(message: &Message<'_>, sender: &str) -> Value {
    let mut common = Map::new();
    common.insert("returnPath".to_owned(), json!(sender));
    common.insert("from".to_owned(), json!(shown(message.from())));
    for (name, addresses) in [
        ("to", message.to()),
        ("cc", message.cc()),
        ("bcc", message.bcc()),
        ("replyTo", message.reply_to()),
    ] {
        if addresses.is_some() {
            common.insert(name.to_owned(), json!(shown(addresses)));
        }
    }
    for (name, value) in [
        ("date", message.header_raw("Date").map(unfolded)),
        ("messageId", message.header_raw("Message-ID").map(unfolded)),
        ("subject", message.subject().map(str::to_owned)),
    ] {
        if let Some(value) = value {
            common.insert(name.to_owned(), json!(value));
        }
    }
    Value::Object(common)
}

fn shown(addresses: Option<&Address<'_>>) -> Vec<String> {
    let addresses = addresses.into_iter().flat_map(Address::iter);
    addresses
        .filter_map(|one| {
            let address = one.address()?;
            Some(match one.name() {
                Some(name) if name.contains(|c: char| !c.is_alphanumeric() && c != ' ') => {
                    format!("\"{}\" <{address}>", name.replace('"', "\\\""))
                }
                Some(name) => format!("{name} <{address}>"),
                None => address.to_owned(),
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::verdicts::Verdict;
    use mail_parser::MessageParser;

    fn verdicts(dmarc: Verdict, dmarc_policy: Option<&'static str>) -> Verdicts {
        Verdicts {
            spam: Verdict::Pass,
            virus: Verdict::Pass,
            spf: Verdict::Gray,
            dkim: Verdict::Pass,
            dmarc,
            dmarc_policy,
            headers: String::new(),
        }
    }

    fn event_of(raw: &str, verdicts: &Verdicts) -> Value {
        let envelope = Envelope {
            helo: "mail.example.org".to_owned(),
            client: "127.0.0.1".parse().unwrap(),
            sender: "prvs=1@example.org".to_owned(),
            recipients: vec!["one@mail.example.com".to_owned()],
        };
        let receipt = Receipt {
            message_id: "abc",
            envelope: &envelope,
            recipients: vec!["one@mail.example.com"],
            received_at: "2026-01-02T03:04:05.678Z".parse().unwrap(),
            processing_ms: 12,
            verdicts,
            function_arn: "arn:f",
        };
        event(&receipt, &MessageParser::default().parse_headers(raw).unwrap())
    }

    #[test]
    fn an_event_is_what_ses_sends() {
        let raw = "From: \"Doe, John\" <john@example.org>\r\nTo: Ann <ann@gmail.example>,\r\n \
                   bob@gmail.example\r\nSubject: =?utf-8?q?Caf=C3=A9?=\r\nDate: Fri, 2 Jan 2026 \
                   03:04:05 +0000\r\nMessage-ID: <1@example.org>\r\n\r\nbody\r\n";
        let expected = json!({"Records": [{
            "eventSource": "aws:ses",
            "eventVersion": "1.0",
            "ses": {
                "mail": {
                    "timestamp": "2026-01-02T03:04:05.678Z",
                    "source": "prvs=1@example.org",
                    "messageId": "abc",
                    "destination": ["ann@gmail.example", "bob@gmail.example"],
                    "headersTruncated": false,
                    "headers": [
                        {"name": "From", "value": "\"Doe, John\" <john@example.org>"},
                        {"name": "To", "value": "Ann <ann@gmail.example>, bob@gmail.example"},
                        {"name": "Subject", "value": "=?utf-8?q?Caf=C3=A9?="},
                        {"name": "Date", "value": "Fri, 2 Jan 2026 03:04:05 +0000"},
                        {"name": "Message-ID", "value": "<1@example.org>"},
                    ],
                    "commonHeaders": {
                        "returnPath": "prvs=1@example.org",
                        "from": ["\"Doe, John\" <john@example.org>"],
                        "to": ["Ann <ann@gmail.example>", "bob@gmail.example"],
                        "date": "Fri, 2 Jan 2026 03:04:05 +0000",
                        "messageId": "<1@example.org>",
                        "subject": "Café",
                    },
                },
                "receipt": {
                    "timestamp": "2026-01-02T03:04:05.678Z",
                    "processingTimeMillis": 12,
                    "recipients": ["one@mail.example.com"],
                    "spamVerdict": {"status": "PASS"},
                    "virusVerdict": {"status": "PASS"},
                    "spfVerdict": {"status": "GRAY"},
                    "dkimVerdict": {"status": "PASS"},
                    "dmarcVerdict": {"status": "PASS"},
                    "action": {"type": "Lambda", "functionArn": "arn:f", "invocationType": "Event"},
                },
            },
        }]});
        assert_eq!(event_of(raw, &verdicts(Verdict::Pass, None)), expected);
    }

    #[test]
    fn a_policy_is_named_only_where_it_was_violated() {
        let event = event_of("From: a@b.example\r\n\r\n", &verdicts(Verdict::Fail, Some("reject")));
        assert_eq!(event.pointer("/Records/0/ses/receipt/dmarcPolicy"), Some(&json!("reject")));
    }

    #[test]
    fn long_headers_are_cut_off() {
        let long = format!(
            "From: a@b.example\r\nX-Long: {}\r\nTo: x@y.example\r\n\r\n",
            "x".repeat(11_000)
        );
        let event = event_of(&long, &verdicts(Verdict::Pass, None));
        let mail = event.pointer("/Records/0/ses/mail").unwrap();
        assert_eq!(mail["headersTruncated"], true);
        assert_eq!(mail["headers"].as_array().unwrap().len(), 1);
    }
}
