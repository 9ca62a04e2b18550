//! Gmail's question whether a mailbox may forward to an account: answered if Google asks for the account's own mailbox,
//! and by nobody else's mail.

use serde_json::{Value, json};
use tests::mail::{self, Mailbox};
use uuid::Uuid;

const GOOGLE: &str = "Gmail Team <forwarding-noreply@google.com>";
const ENVELOPE_FROM: &str = "forwarding-noreply@google.com";
const SUBJECT: &str = "Gmail Forwarding Confirmation - Receive Mail";

/// What is in a link: a word that says how the stand-in behaves, and what no other link has.
fn token(behaviour: &str) -> String {
    format!("{behaviour}{}", Uuid::new_v4().simple())
}

/// A link as Google writes it today.
fn link(token: &str) -> String {
    format!("https://mail-settings.google.com/mail/vf-%5BANGjdJ8{token}%5D-x_Yz9")
}

/// Google's question, unsigned. The second link cancels.
fn question(account: &Mailbox, subject: &str, mailbox: &str, link: &str) -> String {
    let to = &account.forwarding_email;
    let cancel = format!("https://mail-settings.google.com/mail/uf-{}", token(""));
    let text = format!(
        "{mailbox} has requested to automatically forward mail to your email\r\naddress {to}.\r\n\
         Confirmation code: 123456789\r\n\r\nplease click the link below to confirm the request:\r\n\r\n{link}\r\n\r\n\
         click this link to cancel this verification:\r\n{cancel}\r\n"
    );
    mail::plain(GOOGLE, to, subject, &text)
}

/// The question that is genuine but for its signature.
fn usual(account: &Mailbox, link: &str) -> String {
    question(account, SUBJECT, &account.email, link)
}

/// The question as a page whose one link is `link`.
fn page(account: &Mailbox, link: &str) -> String {
    let text = format!("<p>{} asks.</p><a href=\"{link}\">Confirm</a>", account.email);
    let raw = mail::plain(GOOGLE, &account.forwarding_email, SUBJECT, &text);
    raw.replacen("text/plain", "text/html", 1)
}

/// How the stand-in was asked for the links with `token`.
async fn methods(token: &str) -> Vec<String> {
    let visits = mail::confirmations().await;
    let ours = visits.iter().filter(|visit| visit["path"].to_string().contains(token));
    ours.map(|visit| visit["method"].as_str().unwrap().to_owned()).collect()
}

/// That a mail was refused for this reason, and no link with `token` was followed.
async fn assert_refused(account: &Mailbox, message_id: &str, reason: &str, token: &str) {
    let line = account.noted(message_id).await;
    assert_eq!((&line["accepted"], &line["reason"]), (&json!(false), &json!(reason)), "{line}");
    assert_eq!(methods(token).await, Vec::<String>::new(), "{reason}");
    assert!(!account.has_forwarding().await, "{reason}");
}

/// That Google's question is refused for this reason if it is sent like this.
async fn refuses(account: &Mailbox, raw: &str, reason: &str, token: &str) {
    let id = account.send(ENVELOPE_FROM, raw).await;
    assert_refused(account, &id, reason, token).await;
}

#[tokio::test]
async fn googles_question_is_answered_in_every_language() {
    for (subject, host) in [
        ("Gmail Forwarding Confirmation - Receive Mail from", "mail-settings.google.com"),
        (
            "(#123456789) Gmail Forwarding Confirmation - Receive Mail from",
            "mail-settings.google.com",
        ),
        // Gmail の転送の確認, with a code.
        (
            "=?utf-8?B?KCMxMjM0NTY3ODkpIEdtYWlsIOOBrui7oumAgeOBrueiuuiqjQ==?=",
            "mail-settings.google.com",
        ),
        ("(#123456789) Gmail Forwarding Confirmation", "mail.google.com"),
    ] {
        let account = Mailbox::new().await;
        assert!(!account.has_forwarding().await);
        let token = token("");
        let link = link(&token).replace("mail-settings.google.com", host);
        let subject = format!("{subject} {}", account.email);
        let raw = question(&account, &subject, &account.email, &link);
        let id = account.send(ENVELOPE_FROM, &mail::sign("google.com", &raw)).await;
        let noted = account.noted(&id).await;
        let expected = json!({
            "message_id": id,
            "received_at": noted["received_at"],
            "from_domain": "google.com",
            "kind": "forwarding_confirmation",
            "accepted": true,
            "reason": null,
        });
        assert_eq!(noted, expected);
        assert_eq!(methods(&token).await, ["POST"]);
        assert!(account.has_forwarding().await, "{subject}");
    }
}

#[tokio::test]
async fn a_page_that_wants_to_be_looked_at_is_looked_at() {
    let account = Mailbox::new().await;
    let token = token("get-only-");
    let raw = mail::sign("google.com", &usual(&account, &link(&token)));
    let id = account.send(ENVELOPE_FROM, &raw).await;
    assert_eq!(account.noted(&id).await["accepted"], true);
    assert_eq!(methods(&token).await, ["POST", "GET"]);
    assert!(account.has_forwarding().await);
}

#[tokio::test]
async fn what_leads_away_or_is_gone_confirms_nothing() {
    for behaviour in ["redirect-away-", "asks-again-", "gone-"] {
        let account = Mailbox::new().await;
        let token = token(behaviour);
        let raw = mail::sign("google.com", &usual(&account, &link(&token)));
        let id = account.send(ENVELOPE_FROM, &raw).await;
        let line = account.noted(&id).await;
        assert_eq!(line["kind"], "forwarding_confirmation", "{line}");
        assert_eq!((&line["accepted"], &line["reason"]), (&json!(false), &json!("not_confirmed")));
        assert_eq!(methods(&token).await, ["POST", "GET"]);
        assert!(!account.has_forwarding().await, "{behaviour}");
    }
}

#[tokio::test]
async fn a_confirmation_changes_nothing_else_of_the_account() {
    let account = Mailbox::new().await;
    let path = format!("/managed-accounts?search={}", account.email);
    let before = account.api.modern(http::Method::GET, &path, None).await.ok();
    let raw = mail::sign("google.com", &usual(&account, &link(&token(""))));
    let id = account.send(ENVELOPE_FROM, &raw).await;
    account.noted(&id).await;
    let mut after = account.api.modern(http::Method::GET, &path, None).await.ok();
    assert!(
        after["credentials"][0]["updated_at"].as_str()
            > before["credentials"][0]["updated_at"].as_str()
    );
    after["credentials"][0]["has_forwarding"] = json!(false);
    after["credentials"][0]["updated_at"] = before["credentials"][0]["updated_at"].clone();
    assert_eq!(after, before);
}

#[tokio::test]
async fn nobody_but_google_vouches_for_the_question() {
    let account = Mailbox::new().await;
    let token = token("");
    let raw = usual(&account, &link(&token));
    let signed = mail::sign("google.com", &raw);
    let of_amazon = mail::sign("amazon.com", &raw);
    refuses(&account, &raw, "no_signature", &token).await;
    for forged in [
        signed.replace("123456789", "987654321"),
        signed.replace("Subject: Gmail", "Subject: gmail"),
        // A key that Google does not have.
        signed.replace("s=local", "s=other"),
        of_amazon.clone(),
        of_amazon.replace("d=amazon.com", "d=google.com"),
        mail::sign(&mail::sandbox_domain(), &raw),
        mail::sign(tests::STACK.inbound_domain.as_str(), &raw),
    ] {
        refuses(&account, &forged, "signature_of_another_domain", &token).await;
    }
}

#[tokio::test]
async fn nobody_else_asks_in_googles_name() {
    let account = Mailbox::new().await;
    let token = token("");
    let raw = usual(&account, &link(&token));
    for sender in ["no-reply@google.com", "forwarding-noreply@gmail.com", "a@google.com.example"] {
        let raw = mail::sign("google.com", &raw.replace(GOOGLE, sender));
        refuses(&account, &raw, "unknown_sender", &token).await;
    }
    let two_in_one = raw.replace(GOOGLE, &format!("{GOOGLE}, a@evil.example"));
    refuses(&account, &mail::sign("google.com", &two_in_one), "several_senders", &token).await;
    let signed = mail::sign("google.com", &raw);
    for another in [GOOGLE, "a@evil.example"] {
        let two = format!("From: {another}\r\n{signed}");
        refuses(&account, &two, "several_senders", &token).await;
        let two = mail::sign("google.com", &format!("From: {another}\r\n{raw}"));
        refuses(&account, &two, "several_senders", &token).await;
    }
}

#[tokio::test]
async fn another_mailbox_is_not_let_in() {
    let account = Mailbox::new().await;
    let token = token("");
    for mailbox in [
        "mallory@example.com".to_owned(),
        format!("x{}", account.email),
        format!("{}.evil.example", account.email),
        account.email.replace('@', "+shop@"),
        format!("mallory@example.com, {}", account.email),
    ] {
        let subject = format!("{SUBJECT} from {}", account.email);
        let raw = question(&account, &subject, &mailbox, &link(&token));
        refuses(&account, &mail::sign("google.com", &raw), "another_mailbox", &token).await;
    }
    // Genuine, and for another account.
    let other = Mailbox::new().await;
    let raw = mail::sign("google.com", &usual(&other, &link(&token)));
    refuses(&account, &raw, "another_mailbox", &token).await;
    assert!(!other.has_forwarding().await);
}

#[tokio::test]
async fn only_googles_own_link_that_confirms_is_followed() {
    let account = Mailbox::new().await;
    let token = token("");
    let genuine = link(&token);
    let links = [
        genuine.replace("/vf-", "/uf-"),
        genuine.replace("https:", "http:"),
        genuine.replace("/mail/vf-", "/mail/vf-../uf-"),
        genuine.replace("/mail/vf-", "/mail/../mail/vf-"),
        genuine.replace("/mail/vf-", "/settings/vf-"),
        genuine.replace("google.com", "google.com.evil.example"),
        genuine.replace("google.com", "google.com@evil.example"),
        genuine.replace("google.com", "google.com:8443"),
        genuine.replace("google.com", "g00gle.com"),
        genuine.replace("google.com", "gооgle.com"),
        genuine.replace("mail-settings.google", "mail-settings-google"),
        genuine.replace("mail-settings", "accounts"),
        genuine.replace("https://", "https://evil.example/"),
        genuine.replace("https://", "https://evil.example/?q=https%3A//"),
        genuine.replace("https://", "https:\\\\evil.example\\"),
    ];
    let mut sent = Vec::new();
    for link in &links {
        let raw = mail::sign("google.com", &page(&account, link));
        sent.push((link, account.send(ENVELOPE_FROM, &raw).await));
    }
    for (link, id) in sent {
        let line = account.noted(&id).await;
        assert_eq!(line["reason"], "no_confirmation_link", "{link}");
        assert_refused(&account, &id, "no_confirmation_link", &token).await;
    }
}

#[tokio::test]
async fn of_two_links_that_confirm_none_is_followed() {
    let account = Mailbox::new().await;
    let token = token("");
    let both = format!("{}\r\n\r\n{}", link(&format!("{token}-1")), link(&format!("{token}-2")));
    let raw = mail::sign("google.com", &usual(&account, &both));
    refuses(&account, &raw, "several_confirmation_links", &token).await;
}

#[tokio::test]
async fn a_link_in_a_retailers_mail_is_not_followed() {
    let account = Mailbox::new().await;
    let token = token("");
    let sandbox = mail::sandbox_domain();
    let from_shop = usual(&account, &link(&token))
        .replace(GOOGLE, &format!("no-reply@{sandbox}"))
        .replace(&format!("To: {}", account.forwarding_email), &format!("To: {}", account.email));
    refuses(&account, &mail::sign(&sandbox, &from_shop), "not_a_sign_in", &token).await;
    // Amazon writes to live accounts only.
    let from_amazon = from_shop.replace(&sandbox, "amazon.com");
    refuses(&account, &mail::sign("amazon.com", &from_amazon), "another_mode", &token).await;
}

#[tokio::test]
async fn a_refusal_does_not_keep_the_genuine_question_from_being_answered() {
    let account = Mailbox::new().await;
    let (forged, genuine) = (token(""), token(""));
    refuses(&account, &usual(&account, &link(&forged)), "no_signature", &forged).await;
    let raw = mail::sign("google.com", &usual(&account, &link(&genuine)));
    let id = account.send(ENVELOPE_FROM, &raw).await;
    assert_eq!(account.noted(&id).await["accepted"], true);
    assert!(account.has_forwarding().await);
    let reasons: Vec<Value> =
        account.mails().await.iter().map(|line| line["reason"].clone()).collect();
    assert_eq!(reasons, [Value::Null, json!("no_signature")]);
}
