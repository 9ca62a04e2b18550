//! The retailer's mails, as they come in through SES.

use aws_lambda_events::ses::SimpleEmailEvent;
use jiff::Timestamp;
use rand::Rng;
use serde_json::json;
use spelter::{
    dkim::{Signatures, Unanswered},
    mail::authenticity::Signature,
};
use tokio::time::{Duration, sleep};

use crate::{
    platform,
    world::{self, World},
};

/// The domain of forwarding addresses.
pub const DOMAIN: &str = "mail.example.com";
/// The domain that the shop mails from.
pub const SHOP_DOMAIN: &str = "sandbox.example";

/// Every mail here is signed by the shop, and the signature holds.
pub struct Signed;

impl Signatures for Signed {
    async fn verify(
        &self,
        _: &[u8],
        may_vouch: impl Fn(&str) -> bool + Send + Sync,
    ) -> Result<Vec<Signature>, Unanswered> {
        let headers = ["from", "to", "subject", "date"].map(str::to_owned).to_vec();
        let signature = Signature { domain: SHOP_DOMAIN.to_owned(), signed_headers: headers };
        Ok(Some(signature).filter(|one| may_vouch(&one.domain)).into_iter().collect())
    }
}

/// Mails `code` to `email`. Most mails arrive within half a minute, and some when nobody waits for them any more.
pub fn send_code(world: &mut World, email: &str, code: &str) {
    let Some(mailbox) = world.mailboxes.get(email).cloned() else { return };
    let seconds = if world.rng.random_ratio(1, 12) {
        world.rng.random_range(300..900)
    } else {
        world.rng.random_range(1..30)
    };
    let date = world::now().strftime("%a, %d %b %Y %H:%M:%S +0000");
    let raw = format!(
        "From: Sandbox <no-reply@{SHOP_DOMAIN}>\r\nTo: {email}\r\nDate: {date}\r\n\
         Subject: Your sandbox verification code\r\n\r\n\
         Hello,\r\n\r\nYour verification code is {code}. It is valid for 30 minutes.\r\n"
    );
    let id = format!("mail{}", world.mails.len());
    world.mails.insert(id.clone(), raw);
    tokio::task::spawn_local(async move {
        sleep(Duration::from_secs(seconds)).await;
        platform::mail(event(&id, &mailbox, world::now())).await;
    });
}

fn event(id: &str, mailbox: &str, at: Timestamp) -> SimpleEmailEvent {
    let at = at.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string();
    let sender = format!("no-reply@{SHOP_DOMAIN}");
    let good = json!({"status": "PASS"});
    let event = json!({"Records": [{
        "eventSource": "aws:ses",
        "eventVersion": "1.0",
        "ses": {
            "mail": {
                "timestamp": at,
                "source": sender,
                "messageId": id,
                "destination": [mailbox],
                "headersTruncated": false,
                "headers": [],
                "commonHeaders": {"returnPath": sender, "from": [], "to": [], "date": "", "messageId": id, "subject": ""},
            },
            "receipt": {
                "timestamp": at,
                "processingTimeMillis": 10,
                "recipients": [mailbox],
                "spamVerdict": good,
                "virusVerdict": good,
                "spfVerdict": good,
                "dkimVerdict": good,
                "dmarcVerdict": good,
                "action": {"type": "Lambda", "functionArn": "arn", "invocationType": "Event"},
            },
        },
    }]});
    serde_json::from_value(event).expect("an event")
}
