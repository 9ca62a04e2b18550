//! The mail that tells a sender that theirs did not arrive (RFC 3464).

use super::inbound::Accepted;
use crate::clock;
use jiff::Timestamp;
use mail_builder::{
    MessageBuilder,
    headers::{content_type::ContentType, raw::Raw},
    mime::MimePart,
};
use std::{fmt::Write, io};

/// A recipient who did not get it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Bounced {
    /// Who.
    pub(super) recipient: String,
    /// The status of RFC 3463.
    pub(super) status: String,
    /// Words for whoever reads it.
    pub(super) diagnostic: Option<String>,
}

/// What a bounce says.
pub(super) struct Bounce<'a> {
    /// Who sends it.
    pub(super) from: &'a str,
    /// In words.
    pub(super) explanation: &'a str,
    /// Who says so.
    pub(super) reporting_mta: &'a str,
    /// The mail that bounces.
    pub(super) original: &'a Accepted,
    /// For whom.
    pub(super) recipients: &'a [Bounced],
}

/// The status of a kind of bounce, in SES's words.
pub(super) fn status(kind: &str) -> Option<&'static str> {
    Some(match kind {
        "DoesNotExist" => "5.1.1",
        "MessageTooLarge" => "5.3.4",
        "ExceededQuota" => "5.2.2",
        "ContentRejected" => "5.6.1",
        "Undefined" => "5.0.0",
        "TemporaryFailure" => "4.0.0",
        _ => return None,
    })
}

impl Bounce<'_> {
    /// The mail, whole.
    pub(super) fn compose(&self) -> io::Result<Vec<u8>> {
        let report =
            ContentType::new("multipart/report").attribute("report-type", "delivery-status");
        let parts = vec![
            plain("text/plain; charset=utf-8", self.words().into_bytes()),
            plain("message/delivery-status", self.machine().into_bytes()),
            plain("text/rfc822-headers", self.original.headers.clone()),
        ];
        MessageBuilder::new()
            .from(("Mail Delivery Subsystem", self.from))
            .to(self.original.sender.as_str())
            .subject("Delivery Status Notification (Failure)")
            .header("Auto-Submitted", Raw::new("auto-replied"))
            .message_id(format!("{}@email.amazonses.com", uuid::Uuid::new_v4()))
            .date(clock::now().as_second())
            .body(MimePart::new(report, parts))
            .write_to_vec()
    }

    fn words(&self) -> String {
        let mut words = format!("{}\r\n\r\n", self.explanation);
        for Bounced { recipient, diagnostic, status } in self.recipients {
            let reason = diagnostic.as_deref().unwrap_or(status);
            // Writing to a String never fails.
            let _ = write!(words, "{recipient}: {reason}\r\n");
        }
        words
    }

    fn machine(&self) -> String {
        let mut fields = format!(
            "Reporting-MTA: dns; {}\r\nArrival-Date: {}\r\n",
            self.reporting_mta,
            date(self.original.received_at)
        );
        for Bounced { recipient, status, diagnostic } in self.recipients {
            let action = if status.starts_with('4') { "delayed" } else { "failed" };
            let diagnostic = diagnostic.as_deref().map_or_else(String::new, |words| {
                format!("Diagnostic-Code: smtp; {}\r\n", one_line(words))
            });
            // Writing to a String never fails.
            let _ = write!(
                fields,
                "\r\nFinal-Recipient: rfc822; {recipient}\r\nAction: {action}\r\nStatus: \
                 {status}\r\n{diagnostic}"
            );
        }
        fields
    }
}

/// A part that is written as it is.
fn plain(kind: &'static str, contents: Vec<u8>) -> MimePart<'static> {
    MimePart::raw(contents).header("Content-Type", Raw::new(kind)).transfer_encoding("8bit")
}

fn one_line(words: &str) -> String {
    words.replace(['\r', '\n'], " ")
}

fn date(time: Timestamp) -> String {
    time.strftime("%a, %d %b %Y %H:%M:%S +0000").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use mail_parser::{MessageParser, MimeHeaders};

    #[test]
    fn a_bounce_says_to_people_and_to_machines_who_did_not_get_what() {
        let original = Accepted {
            message_id: "abc".to_owned(),
            sender: "shop@example.org".to_owned(),
            received_at: "2026-01-02T03:04:05Z".parse().unwrap(),
            headers: b"From: shop@example.org\r\nSubject: Your order".to_vec(),
        };
        let recipients = [Bounced {
            recipient: "gone@mail.example.com".to_owned(),
            status: status("DoesNotExist").unwrap().to_owned(),
            diagnostic: Some("550 nobody\r\nhere".to_owned()),
        }];
        let bounce = Bounce {
            from: "mailer-daemon@mail.example.com",
            explanation: "There is no such address.",
            reporting_mta: "mail.example.com",
            original: &original,
            recipients: &recipients,
        };
        let raw = bounce.compose().unwrap();
        let mail = MessageParser::default().parse(&raw).unwrap();
        let to = mail.to().and_then(|to| to.first()).and_then(|to| to.address());
        assert_eq!(to, Some("shop@example.org"));
        assert_eq!(mail.content_type().unwrap().attribute("report-type"), Some("delivery-status"));
        let parts: Vec<_> = mail.parts.iter().skip(1).collect();
        let kinds = parts.iter().map(|part| {
            let kind = part.content_type().unwrap();
            format!("{}/{}", kind.ctype(), kind.subtype().unwrap())
        });
        let kinds: Vec<_> = kinds.collect();
        assert_eq!(kinds, ["text/plain", "message/delivery-status", "text/rfc822-headers"]);
        let text = String::from_utf8(raw).unwrap();
        for wanted in [
            "There is no such address.\r\n",
            "Reporting-MTA: dns; mail.example.com\r\nArrival-Date: Fri, 02 Jan 2026 03:04:05 +0000\r\n\r\n",
            "Final-Recipient: rfc822; gone@mail.example.com\r\nAction: failed\r\nStatus: 5.1.1\r\n",
            "Diagnostic-Code: smtp; 550 nobody  here\r\n",
            "Subject: Your order",
        ] {
            assert!(text.contains(wanted), "{wanted}\n---\n{text}");
        }
    }
}
