//! Mail that SES sends: signed for its domain, and delivered where that is here.

use super::{
    dns::SES_DOMAIN,
    domain_of,
    inbound::Inbound,
    journal::{Journal, Kind, Sent},
    keys::Keys,
    smtp::{Envelope, Receiver},
};
use crate::{clock, logs::Logs};
use mail_parser::{Message, MessageParser};
use std::{
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
};
use uuid::Uuid;

/// What SES's servers call themselves when they send.
const HELO: &str = "a1-1.smtp-out.amazonses.com";

/// Sends mail, which is to say: signs it, and hands it to the inbound path.
pub(super) struct Relay {
    keys: Keys,
    identities: Vec<String>,
    inbound: Arc<Inbound>,
    journal: Arc<Journal>,
    logs: Arc<Logs>,
}

impl Relay {
    pub(super) fn new(
        keys: Keys,
        identities: Vec<String>,
        inbound: Arc<Inbound>,
        journal: Arc<Journal>,
        logs: Arc<Logs>,
    ) -> Self {
        Self { keys, identities, inbound, journal, logs }
    }

    /// The verified domain that an address is of: its own, or one above.
    pub(super) fn identity(&self, address: &str) -> Option<&str> {
        let domain = domain_of(address);
        let above =
            |identity: &str| domain == identity || domain.ends_with(&format!(".{identity}"));
        let found = self.identities.iter().filter(|identity| above(identity));
        found.max_by_key(|identity| identity.len()).map(String::as_str)
    }

    /// Sends a mail to each recipient, and returns its id. Errors go to `sender`; empty for nowhere. What has no headers
    /// is no mail.
    pub(super) async fn send(
        &self,
        kind: Kind,
        sender: &str,
        recipients: Vec<String>,
        raw: Vec<u8>,
    ) -> Result<String, String> {
        let message = MessageParser::default().parse_headers(&raw);
        let message = message.ok_or_else(|| "it has no headers".to_owned())?;
        let (from, subject, message_id) = described(&message);
        let mut raw = complete(&message, &raw);
        if let Some(signature) =
            self.identity(&from).and_then(|domain| self.keys.sign(domain, &raw))
        {
            raw = [signature.into_bytes(), raw].concat();
        }
        let mut delivered = Vec::new();
        for recipient in &recipients {
            if self.deliver(sender, recipient, &raw).await {
                delivered.push(recipient.clone());
            }
        }
        self.journal.note(Sent {
            kind,
            from,
            to: recipients,
            subject,
            message_id: message_id.clone(),
            delivered,
            raw: String::from_utf8_lossy(&raw).into_owned(),
        });
        Ok(message_id)
    }

    async fn deliver(&self, sender: &str, recipient: &str, raw: &[u8]) -> bool {
        if !self.inbound.takes(recipient) {
            let domain = domain_of(recipient);
            self.logs.say(&format!("not delivered: a mail to an address of {domain}"));
            return false;
        }
        let envelope = Envelope {
            helo: HELO.to_owned(),
            client: IpAddr::V4(Ipv4Addr::LOCALHOST),
            sender: sender.to_owned(),
            recipients: vec![recipient.to_owned()],
        };
        match self.inbound.receive(envelope, raw.to_vec()).await {
            Ok(_) => true,
            Err(reason) => {
                self.logs.say(&format!("not delivered: {reason}"));
                false
            }
        }
    }
}

impl Receiver for Relay {
    /// SES has checked who may send to whom.
    fn takes(&self, _: &str) -> bool {
        true
    }

    /// SES is the sender at SMTP, whatever the From says, so that errors come back to it.
    async fn receive(&self, envelope: Envelope, raw: Vec<u8>) -> Result<String, String> {
        let sender = format!("{}@{SES_DOMAIN}", Uuid::new_v4());
        self.send(Kind::Mail, &sender, envelope.recipients, raw).await
    }
}

/// From, subject and id.
fn described(message: &Message<'_>) -> (String, String, String) {
    let from = message.from().and_then(|from| from.first()).and_then(|from| from.address());
    (
        from.unwrap_or_default().to_owned(),
        message.subject().unwrap_or_default().to_owned(),
        message.message_id().unwrap_or_default().to_owned(),
    )
}

/// The mail with the date that SES adds where there is none.
fn complete(message: &Message<'_>, raw: &[u8]) -> Vec<u8> {
    if message.header_raw("Date").is_some() {
        return raw.to_vec();
    }
    let date = clock::now().strftime("Date: %a, %d %b %Y %H:%M:%S +0000\r\n").to_string();
    [date.as_bytes(), raw].concat()
}
