//! What has gone out, for tests and for whoever wonders where a mail is.

use serde_json::{Value, json};
use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// How many mails are kept.
const KEPT: usize = 1_000;

/// What a mail that goes out is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// What somebody sends.
    Mail,
    /// What SES sends back.
    Bounce,
}

impl Kind {
    fn word(self) -> &'static str {
        match self {
            Self::Mail => "mail",
            Self::Bounce => "bounce",
        }
    }
}

/// A mail that has gone out.
#[derive(Debug, Clone)]
pub(super) struct Sent {
    /// What it is.
    pub(super) kind: Kind,
    /// Its From.
    pub(super) from: String,
    /// Its recipients at SMTP.
    pub(super) to: Vec<String>,
    /// Its subject.
    pub(super) subject: String,
    /// The id SES gave it.
    pub(super) message_id: String,
    /// The recipients it has reached: those of the inbound domain.
    pub(super) delivered: Vec<String>,
    /// All of it, signature included.
    pub(super) raw: String,
}

/// The mails that have gone out, oldest first.
#[derive(Default)]
pub(super) struct Journal {
    sent: Mutex<VecDeque<Sent>>,
}

impl Journal {
    /// Notes a mail.
    pub(super) fn note(&self, mail: Sent) {
        let mut sent = self.sent();
        sent.push_back(mail);
        if sent.len() > KEPT {
            sent.pop_front();
        }
    }

    /// All that is kept.
    pub(super) fn read(&self) -> Value {
        let sent = self.sent();
        sent.iter()
            .map(|mail| {
                let Sent { kind, from, to, subject, message_id, delivered, raw } = mail;
                json!({
                    "kind": kind.word(),
                    "from": from,
                    "to": to,
                    "subject": subject,
                    "message_id": message_id,
                    "delivered": delivered,
                    "raw": raw,
                })
            })
            .collect()
    }

    fn sent(&self) -> MutexGuard<'_, VecDeque<Sent>> {
        self.sent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
