//! Mail as the outside sends and gets it: over SMTP, signed with the keys of the local stack, and through SES.

use std::time::Duration;

use http::{Method, StatusCode};
use lettre::{
    Address, AsyncSmtpTransport, AsyncTransport, Tokio1Executor, address::Envelope,
    transport::smtp::response::Response,
};
use mail_auth::{
    common::{
        crypto::{RsaKey, Sha256},
        headers::HeaderWriter,
    },
    dkim::DkimSigner,
};
use rustls_pki_types::{PrivateKeyDer, pem::PemObject};
use serde_json::{Value, json};

use crate::{Api, STACK, ShopAccount, http, wait};

/// The headers that retailers sign.
const SIGNED_HEADERS: [&str; 7] =
    ["From", "To", "Subject", "Date", "Message-ID", "MIME-Version", "Content-Type"];

/// The domain that the sandbox retailer mails from.
pub fn sandbox_domain() -> String {
    format!("sandbox.{}", STACK.inbound_domain)
}

/// An address of the inbound domain.
pub fn address(name: &str) -> String {
    format!("{name}@{}", STACK.inbound_domain)
}

/// A small mail in plain text. Its lines end as SMTP wants them.
pub fn plain(from: &str, to: &str, subject: &str, text: &str) -> String {
    #[expect(clippy::disallowed_methods, reason = "the real time")]
    let now = jiff::Timestamp::now();
    let date = now.strftime("%a, %d %b %Y %H:%M:%S +0000");
    let id = uuid::Uuid::new_v4();
    format!(
        "From: {from}\r\nTo: {to}\r\nSubject: {subject}\r\nDate: {date}\r\nMessage-ID: <{id}@tests.example>\r\n\
         MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n{text}\r\n"
    )
}

/// The mail with the signature of `domain`, one of those that `stack.json`'s `dkim_keys` has a key of: the sandbox's,
/// the inbound domain, `amazon.com` and `google.com`.
pub fn sign(domain: &str, raw: &str) -> String {
    let file = STACK.dkim_keys.join(format!("{domain}.pem"));
    let key = PrivateKeyDer::from_pem_file(file).expect("a key of this domain");
    let key = RsaKey::<Sha256>::from_key_der(key).expect("an RSA key");
    let signer = DkimSigner::from_key(key).domain(domain).selector("local").headers(SIGNED_HEADERS);
    let signature = signer.sign(raw.as_bytes()).expect("a signature");
    format!("{}{raw}", signature.to_header())
}

/// Sends a mail to the inbound listener: SES's id of it, or the code it was refused with. Errors would go to
/// `envelope_from`; empty for nowhere.
pub async fn send(envelope_from: &str, to: &str, raw: &str) -> Result<String, u16> {
    let (host, port) = STACK.smtp.rsplit_once(':').expect("host and port");
    let transport = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(host)
        .port(port.parse().expect("a port"))
        .build();
    let address = |text: &str| text.parse::<Address>().expect("an address");
    let from = (!envelope_from.is_empty()).then(|| address(envelope_from));
    let envelope = Envelope::new(from, vec![address(to)]).expect("an envelope");
    // The client adds the last line's end.
    let raw = raw.strip_suffix("\r\n").unwrap_or(raw);
    match transport.send_raw(&envelope, raw.as_bytes()).await {
        Ok(response) => Ok(message_id(&response)),
        Err(error) => Err(error.status().unwrap_or_else(|| panic!("{error}")).into()),
    }
}

/// `2.6.0 ok` and the id.
fn message_id(response: &Response) -> String {
    let line = response.first_line().expect("a line");
    line.rsplit(' ').next().expect("an id").to_owned()
}

/// A mail as SES stored it, by its id.
pub async fn stored(message_id: &str) -> Option<String> {
    let url = format!("{}/{}/mail/{message_id}", STACK.aws_url, STACK.buckets["MailBucket"]);
    let response = http().get(url).send().await.expect("an answer of S3");
    match response.status() {
        StatusCode::OK => Some(response.text().await.expect("a mail")),
        _ => None,
    }
}

/// Calls SES in its query protocol; the answer is XML.
pub async fn ses(action: &str, parameters: &[(&str, &str)]) -> (StatusCode, String) {
    let form = [&[("Action", action)], parameters].concat();
    let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
    let request = http()
        .post(&STACK.ses_url)
        .header("content-type", "application/x-www-form-urlencoded")
        .header(
            "authorization",
            "AWS4-HMAC-SHA256 Credential=local/20260101/us-east-1/ses/aws4_request, SignedHeaders=host, Signature=00",
        );
    let response = request.body(body).send().await.expect("an answer of SES");
    (response.status(), response.text().await.expect("a body"))
}

/// What has gone out through SES, oldest first: `kind` (`mail` or `bounce`), `from`, `to`, `subject`, `message_id`,
/// `delivered` and `raw`.
pub async fn outgoing() -> Vec<Value> {
    list(&STACK.outgoing_url).await
}

/// What was asked of the stand-in for Gmail's confirmation pages, oldest first: `method` and `path`.
pub async fn confirmations() -> Vec<Value> {
    list(&format!("{}/visits", STACK.gmail_url)).await
}

/// Adds a TXT record to the names that signatures and senders are checked with.
pub async fn add_txt(name: &str, text: &str) {
    let url = format!("{}/_local/dns/{name}", STACK.ses_url);
    let response = http().put(url).body(text.to_owned()).send().await.expect("an answer");
    assert!(response.status().is_success(), "{name}: {}", response.status());
}

async fn list(url: &str) -> Vec<Value> {
    let response = http().get(url).send().await.expect("an answer");
    let text = response.text().await.expect("a body");
    serde_json::from_str(&text).expect("a list")
}

/// A managed account, as its client and whoever writes to it see it.
pub struct Mailbox {
    /// Its client.
    pub api: Api,
    /// The e-mail it has at the retailer.
    pub email: String,
    /// Its id.
    pub short_id: String,
    /// Where mail for it is forwarded to.
    pub forwarding_email: String,
}

impl Mailbox {
    /// An account that no shop knows.
    pub async fn new() -> Self {
        let email = format!("{}@example.com", uuid::Uuid::new_v4().simple());
        Self::create(&json!({"email": email, "retailer": "amazon"})).await
    }

    /// An account to order with.
    pub async fn of(account: &ShopAccount) -> Self {
        let ShopAccount { email, password, totp_secret } = account;
        let body = json!({
            "email": email,
            "password": password,
            "totp_secret": totp_secret,
            "retailer": "amazon",
        });
        Self::create(&body).await
    }

    async fn create(body: &Value) -> Self {
        let api = Api::first();
        let account = api.modern(Method::POST, "/managed-accounts", Some(body)).await.ok();
        let text = |name: &str| account[name].as_str().expect("a text").to_owned();
        Self {
            api,
            email: text("email"),
            short_id: text("short_id"),
            forwarding_email: text("forwarding_email"),
        }
    }

    /// Sends it a mail: SES's id of it.
    pub async fn send(&self, envelope_from: &str, raw: &str) -> String {
        let sent = send(envelope_from, &self.forwarding_email, raw).await;
        sent.unwrap_or_else(|code| panic!("refused with {code}"))
    }

    /// What it says of the mails that came for it, newest first.
    pub async fn mails(&self) -> Vec<Value> {
        let path = format!("/managed-accounts/{}/mails", self.short_id);
        let listing = self.api.modern(Method::GET, &path, None).await.ok();
        listing["mails"].as_array().cloned().expect("a list")
    }

    /// What it says of this mail, once it does.
    pub async fn noted(&self, message_id: &str) -> Value {
        wait(Duration::from_secs(40), &format!("a line about {message_id}"), async || {
            self.mails().await.into_iter().find(|line| line["message_id"] == message_id)
        })
        .await
    }

    /// Whether Gmail has been told that mail may be forwarded to it.
    pub async fn has_forwarding(&self) -> bool {
        let path = format!("/managed-accounts?search={}", self.email);
        let found = self.api.modern(Method::GET, &path, None).await.ok();
        found["credentials"][0]["has_forwarding"].as_bool().expect("yes or no")
    }
}
