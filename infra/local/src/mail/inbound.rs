//! Mail from outside: the receipt rules of the template, as SES acts on them.

use super::{
    domain_of, event,
    smtp::{self, Envelope, Receiver},
    verdicts::{self, Verdicts},
};
use crate::{
    aws::{Aws, AwsError},
    clock,
    lambda::Lambdas,
    logs::Logs,
    model::{ReceiptAction, ReceiptRule},
};
use axum::body::Bytes;
use jiff::{SignedDuration, Timestamp};
use mail_auth::MessageAuthenticator;
use mail_parser::MessageParser;
use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use uuid::Uuid;

/// How many mails are remembered, so that they can be bounced.
const REMEMBERED: usize = 10_000;
/// How long a mail can be bounced.
const BOUNCE_LIMIT: SignedDuration = SignedDuration::from_hours(24);

/// Takes mail for the addresses of the rules.
pub(super) struct Inbound {
    rules: Vec<ReceiptRule>,
    authenticator: MessageAuthenticator,
    aws: Aws,
    lambdas: Arc<Lambdas>,
    logs: Arc<Logs>,
    accepted: Mutex<VecDeque<Accepted>>,
}

/// What is remembered of a mail.
#[derive(Debug, Clone)]
pub(super) struct Accepted {
    /// SES's id of it.
    pub(super) message_id: String,
    /// Where errors go; empty for nowhere.
    pub(super) sender: String,
    /// When it came.
    pub(super) received_at: Timestamp,
    /// Its headers as they came.
    pub(super) headers: Vec<u8>,
}

impl Inbound {
    pub(super) fn new(
        rules: Vec<ReceiptRule>,
        authenticator: MessageAuthenticator,
        aws: Aws,
        lambdas: Arc<Lambdas>,
        logs: Arc<Logs>,
    ) -> Self {
        Self { rules, authenticator, aws, lambdas, logs, accepted: Mutex::default() }
    }

    /// A mail that may be bounced, by its id.
    pub(super) fn accepted(&self, message_id: &str) -> Option<Accepted> {
        let mail = self.remembered().iter().find(|mail| mail.message_id == message_id).cloned();
        mail.filter(|mail| clock::now().duration_since(mail.received_at) < BOUNCE_LIMIT)
    }

    fn remembered(&self) -> MutexGuard<'_, VecDeque<Accepted>> {
        self.accepted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn remember(&self, mail: Accepted) {
        let mut accepted = self.remembered();
        accepted.push_back(mail);
        if accepted.len() > REMEMBERED {
            accepted.pop_front();
        }
    }

    async fn store(&self, arrival: &Arrival<'_>) -> Result<(), AwsError> {
        for (rule, recipients) in self.matching(&arrival.envelope.recipients) {
            for action in &rule.actions {
                match action {
                    ReceiptAction::Store { bucket, prefix } => {
                        let key = format!("{prefix}{}", arrival.message_id);
                        self.aws.put_object(bucket, &key, arrival.stored.clone()).await?;
                    }
                    ReceiptAction::Invoke { function_arn } => {
                        self.invoke(arrival, function_arn, recipients.clone());
                    }
                }
            }
        }
        Ok(())
    }

    fn invoke(&self, arrival: &Arrival<'_>, function_arn: &str, recipients: Vec<&str>) {
        let Some(function) = self.lambdas.find(function_arn).map(|found| found.name.clone()) else {
            self.logs.say(&format!("a receipt rule invokes {function_arn}, which is not there"));
            return;
        };
        // SES's own headers are there in any case.
        let Some(message) = MessageParser::default().parse_headers(&arrival.stored[..]) else {
            self.logs.say("a mail without headers was stored, and nobody told of it");
            return;
        };
        let receipt = event::Receipt {
            message_id: arrival.message_id,
            envelope: arrival.envelope,
            recipients,
            received_at: arrival.received_at,
            processing_ms: clock::now()
                .as_millisecond()
                .saturating_sub(arrival.received_at.as_millisecond()),
            verdicts: arrival.verdicts,
            function_arn,
        };
        let event = event::event(&receipt, &message);
        self.lambdas.invoke_later(&function, Bytes::from(event.to_string()));
    }

    /// The rules that act on a mail, each with the recipients it matches.
    fn matching<'a>(
        &'a self,
        recipients: &'a [String],
    ) -> impl Iterator<Item = (&'a ReceiptRule, Vec<&'a str>)> {
        self.rules.iter().filter_map(|rule| {
            let matched = recipients.iter().map(String::as_str);
            let matched: Vec<_> = matched.filter(|one| covers(rule, one)).collect();
            (!matched.is_empty()).then_some((rule, matched))
        })
    }
}

/// A mail on its way through the rules.
struct Arrival<'a> {
    message_id: &'a str,
    envelope: &'a Envelope,
    received_at: Timestamp,
    verdicts: &'a Verdicts,
    stored: Bytes,
}

impl Receiver for Inbound {
    fn takes(&self, recipient: &str) -> bool {
        self.rules.iter().any(|rule| covers(rule, recipient))
    }

    /// Returns once the mail is stored and its function's event queued.
    async fn receive(&self, envelope: Envelope, raw: Vec<u8>) -> Result<String, String> {
        let received_at = clock::now();
        let message_id = message_id();
        let scans = self.matching(&envelope.recipients).any(|(rule, _)| rule.scans);
        let verdicts = verdicts::judge(&self.authenticator, &envelope, &raw, scans).await;
        let mut stored = headers(&envelope, &message_id, received_at, &verdicts).into_bytes();
        stored.extend_from_slice(&raw);
        self.remember(Accepted {
            message_id: message_id.clone(),
            sender: envelope.sender.clone(),
            received_at,
            headers: headers_of(&raw).to_vec(),
        });
        let arrival = Arrival {
            message_id: &message_id,
            envelope: &envelope,
            received_at,
            verdicts: &verdicts,
            stored: stored.into(),
        };
        match self.store(&arrival).await {
            Ok(()) => Ok(message_id),
            Err(error) => {
                self.logs.say(&format!("a mail could not be stored: {error}"));
                Err("it could not be stored".to_owned())
            }
        }
    }
}

/// Whether a rule is for this address: an address, a domain, or with a dot in front all below a domain.
fn covers(rule: &ReceiptRule, recipient: &str) -> bool {
    let domain = domain_of(recipient);
    let matches = |wanted: &String| {
        let wanted = wanted.to_lowercase();
        if wanted.contains('@') {
            recipient.to_lowercase() == wanted || without_label(recipient) == wanted
        } else if wanted.starts_with('.') {
            domain.ends_with(&wanted)
        } else {
            domain == wanted
        }
    };
    rule.recipients.is_empty() || rule.recipients.iter().any(matches)
}

/// `name+label@domain` is `name@domain` to a rule.
fn without_label(recipient: &str) -> String {
    let (name, domain) = recipient.rsplit_once('@').unwrap_or((recipient, ""));
    let name = name.split_once('+').map_or(name, |(name, _)| name);
    format!("{name}@{domain}").to_lowercase()
}

/// Opaque, and of forty characters, as SES's are.
fn message_id() -> String {
    let mut id = format!("{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple());
    id.truncate(40);
    id
}

/// What SES puts before a mail.
fn headers(
    envelope: &Envelope,
    message_id: &str,
    received_at: Timestamp,
    verdicts: &Verdicts,
) -> String {
    let Envelope { helo, client, sender, recipients } = envelope;
    let recipient = recipients.first().map(String::as_str).unwrap_or_default();
    let date = received_at.strftime("%a, %d %b %Y %H:%M:%S +0000 (UTC)");
    format!(
        "Return-Path: <{sender}>\r\nReceived: from {helo} ({helo} [{client}])\r\n by {host} with \
         SMTP id {message_id}\r\n for {recipient};\r\n {date}\r\n{verdicts}",
        host = smtp::host(),
        verdicts = verdicts.headers,
    )
}

/// The headers of a mail without the empty line that ends them.
fn headers_of(raw: &[u8]) -> &[u8] {
    let end = raw.windows(4).position(|window| window == b"\r\n\r\n");
    end.and_then(|end| raw.get(..end)).unwrap_or(raw)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(recipients: &[&str]) -> ReceiptRule {
        ReceiptRule {
            recipients: recipients.iter().map(|one| (*one).to_owned()).collect(),
            scans: true,
            actions: Vec::new(),
        }
    }

    #[test]
    fn a_rule_is_for_what_ses_says_it_is_for() {
        let cases = [
            (rule(&["mail.example.com"]), "A@Mail.Example.com", true),
            (rule(&["mail.example.com"]), "a@sub.mail.example.com", false),
            (rule(&["mail.example.com"]), "a@xmail.example.com", false),
            (rule(&["mail.example.com"]), "a@example.com", false),
            (rule(&["mail.example.com"]), "postmaster", false),
            (rule(&[".mail.example.com"]), "a@sub.mail.example.com", true),
            (rule(&[".mail.example.com"]), "a@mail.example.com", false),
            (rule(&["ann@mail.example.com"]), "Ann+shop@mail.example.com", true),
            (rule(&["ann@mail.example.com"]), "bob@mail.example.com", false),
            (rule(&[]), "a@anywhere.example", true),
        ];
        for (rule, recipient, expected) in cases {
            assert_eq!(covers(&rule, recipient), expected, "{recipient}");
        }
    }

    #[test]
    fn ids_are_as_long_as_those_of_ses() {
        let id = message_id();
        assert_eq!(id.len(), 40);
        assert!(id.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit()), "{id}");
        assert_ne!(id, message_id());
    }

    #[test]
    fn headers_end_at_the_empty_line() {
        assert_eq!(headers_of(b"A: b\r\nC: d\r\n\r\nbody\r\n\r\n"), b"A: b\r\nC: d");
        assert_eq!(headers_of(b"A: b\r\n"), b"A: b\r\n");
    }
}
