//! The mails with codes that the sandbox retailer has sent.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::{mail, wait};

/// One of them.
pub struct CodeMail {
    /// The code.
    pub code: String,
    /// The whole mail, signed.
    pub raw: String,
}

/// The newest to the account of this e-mail, once there is one.
pub async fn newest(email: &str) -> CodeMail {
    newest_after(email, "").await
}

/// The same, once it has another code than `before`.
pub async fn newest_after(email: &str, before: &str) -> CodeMail {
    wait(Duration::from_secs(30), "a mail with a code", async || {
        let raws = mail::outgoing().await.into_iter().rev();
        let mut raws = raws.filter_map(|sent| sent["raw"].as_str().map(str::to_owned));
        let found = raws.find_map(|raw| {
            let is_to_it = raw.lines().any(|line| line.starts_with("To:") && line.contains(email));
            let (_, rest) = raw.split_once("verification code is ").filter(|_| is_to_it)?;
            Some(CodeMail { code: rest.get(..6)?.to_owned(), raw })
        });
        found.filter(|found| found.code != before)
    })
    .await
}

/// `raw`, written so many seconds later.
pub fn dated(raw: &str, seconds: i64) -> String {
    #[expect(clippy::disallowed_methods, reason = "the real time")]
    let date = Timestamp::now() + SignedDuration::from_secs(seconds);
    let date = date.strftime("%a, %d %b %Y %H:%M:%S +0000");
    raw.split_inclusive("\r\n")
        .map(
            |line| {
                if line.starts_with("Date: ") {
                    format!("Date: {date}\r\n")
                } else {
                    line.to_owned()
                }
            },
        )
        .collect()
}
