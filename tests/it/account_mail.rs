//! Mail for accounts: what becomes of it, by its envelope; what is for nobody; and what a shop says of a parcel.

use http::Method;
use serde_json::{Value, json};
use tests::{
    Api, STACK, ShopAccount, at_the_shop, canaries, hours, invoke, logs,
    mail::{self, Mailbox},
    merchant_order_ids, order,
    receiver::Receiver,
};
use uuid::Uuid;

const SPAM: &str = "XJS*C4JDBQADN1.NSBN3*2IDNEN*GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X";
/// In two halves: whole, a scanner would find it in this file.
const VIRUS: [&str; 2] =
    ["X5O!P%@AP[4\\PZX54(P^)7CC)7}$", "EICAR-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*"];

fn unique() -> String {
    Uuid::new_v4().simple().to_string()
}

fn shop_address() -> String {
    format!("no-reply@{}", mail::sandbox_domain())
}

/// A code as the sandbox mails it to `to`, unsigned.
fn code_mail(to: &str, text: &str) -> String {
    mail::plain(&shop_address(), to, "Your sandbox verification code", text)
}

/// With the shop's signature.
fn signed(raw: &str) -> String {
    mail::sign(&mail::sandbox_domain(), raw)
}

const CODE_TEXT: &str = "Hello,\r\n\r\nYour verification code is 481623.";

/// The lines of the function about a mail.
fn logged(message_id: &str) -> Vec<Value> {
    let lines = logs::of("inbound-email").into_iter();
    lines.filter(|line| line["mail.id"] == message_id).collect()
}

/// Waits until the function has said this of a mail.
async fn said(message_id: &str, what: &str) {
    let wanted = json!(format!("mail {message_id} {what}"));
    logs::next("inbound-email", 0, |line| line["message"] == wanted).await;
}

async fn bounces_with(text: &str) -> Vec<Value> {
    let outgoing = mail::outgoing().await.into_iter().filter(|sent| sent["kind"] == "bounce");
    outgoing.filter(|sent| sent["raw"].as_str().unwrap().contains(text)).collect()
}

async fn delete(account: &Mailbox) {
    let path = format!("/managed-accounts/{}", account.short_id);
    let answer = account.api.modern(Method::DELETE, &path, None).await;
    assert!(answer.status.is_success(), "{}", answer.text);
}

/// That a mail was refused for this reason, and was about nothing.
async fn assert_refused(account: &Mailbox, message_id: &str, reason: &str) {
    let line = account.noted(message_id).await;
    assert_eq!((&line["accepted"], &line["reason"]), (&json!(false), &json!(reason)), "{line}");
    assert_eq!(line["kind"], "other", "{line}");
}

#[tokio::test]
async fn what_is_for_nobody_goes_back_to_the_envelopes_sender() {
    let deleted = Mailbox::new().await;
    delete(&deleted).await;
    for to in [
        mail::address(&unique()),
        mail::address("someone"),
        mail::address(&format!("{}+shop", unique())),
        deleted.forwarding_email,
    ] {
        let (sender, subject) = (format!("{}@shop.example", unique()), unique());
        let raw = mail::plain("Somebody Else <else@shop.example>", &to, &subject, "x");
        let id = mail::send(&sender, &to, &raw).await.unwrap();
        said(&id, "is for nobody and goes back").await;
        let bounces = bounces_with(&subject).await;
        let [bounce] = bounces.as_slice() else { panic!("{bounces:?}") };
        assert_eq!(bounce["to"], json!([sender]));
        assert_eq!(bounce["from"], mail::address("mailer-daemon"));
        let text = bounce["raw"].as_str().unwrap();
        assert!(text.contains(&format!("Final-Recipient: rfc822; {to}")), "{text}");
        assert!(text.contains("Status: 5.1.1"), "{text}");
    }
}

#[tokio::test]
async fn nothing_goes_back_to_whom_it_may_not_be_from() {
    let virus = VIRUS.concat();
    for (sender, text) in
        [("", "x"), ("victim@shop.example", SPAM), ("victim@shop.example", &virus)]
    {
        let (to, subject) = (mail::address(&unique()), unique());
        let raw = mail::plain("a@shop.example", &to, &subject, text);
        let id = mail::send(sender, &to, &raw).await.unwrap();
        said(&id, "is for nobody and dropped").await;
        assert_eq!(bounces_with(&subject).await, Vec::<Value>::new());
    }
}

#[tokio::test]
async fn a_mail_for_an_account_goes_back_to_nobody() {
    let account = Mailbox::new().await;
    let subject = unique();
    let raw = mail::plain("a@shop.example", &account.email, &subject, "x");
    let id = account.send("a@shop.example", &raw).await;
    assert_refused(&account, &id, "unknown_sender").await;
    said(&id, &format!("was read for {}", account.short_id)).await;
    assert_eq!(bounces_with(&subject).await, Vec::<Value>::new());
}

#[tokio::test]
async fn the_envelope_alone_says_whom_a_mail_is_for() {
    let (one, other) = (Mailbox::new().await, Mailbox::new().await);
    for to in [other.email.clone(), other.forwarding_email.clone(), one.forwarding_email.clone()] {
        let id = one.send(&shop_address(), &signed(&code_mail(&to, CODE_TEXT))).await;
        assert_refused(&one, &id, "not_to_this_account").await;
    }
    assert_eq!(other.mails().await, Vec::<Value>::new());
    // Upper case is the same address.
    let to = one.forwarding_email.to_uppercase();
    let raw = signed(&code_mail(&one.email, CODE_TEXT));
    let id = mail::send(&shop_address(), &to, &raw).await.unwrap();
    assert_eq!(one.noted(&id).await["kind"], "code");
}

#[tokio::test]
async fn a_code_that_nobody_waits_for_is_noted_and_not_told() {
    let account = Mailbox::new().await;
    let id = account.send(&shop_address(), &signed(&code_mail(&account.email, CODE_TEXT))).await;
    let line = account.noted(&id).await;
    let expected = json!({
        "message_id": id,
        "received_at": line["received_at"],
        "from_domain": mail::sandbox_domain(),
        "kind": "code",
        "accepted": true,
        "reason": null,
    });
    assert_eq!(line, expected);
}

#[tokio::test]
async fn hostile_mails_are_refused_and_nothing_of_them_shows() {
    let (account, other) = (Mailbox::new().await, Mailbox::new().await);
    let marker = unique();
    let text = format!("{CODE_TEXT}\r\n{marker} {}", canaries::VERIFICATION_CODE);
    let raw = code_mail(&account.email, &text);
    let genuine = signed(&raw);
    let shop = mail::sandbox_domain();
    let from = |domain: &str| raw.replace(&shop_address(), &format!("no-reply@{domain}"));
    let page = |html: &str| {
        let html = format!("<html><body><p>Hello {marker}</p>{html}</body></html>");
        signed(&code_mail(&account.email, &html).replacen("text/plain", "text/html", 1))
    };
    let another_signature = "signature_of_another_domain";
    let hostile = [
        (raw.clone(), "no_signature"),
        (genuine.replace("481623", "999999"), another_signature),
        (genuine.replace("s=local", "s=other"), another_signature),
        (mail::sign("amazon.com", &raw), another_signature),
        (mail::sign(&STACK.inbound_domain, &raw), another_signature),
        (
            mail::sign("amazon.com", &raw).replace("d=amazon.com", &format!("d={shop}")),
            another_signature,
        ),
        (signed(&from("sandbox.example")), "unknown_sender"),
        (signed(&from(&format!("x.{shop}"))), "unknown_sender"),
        (signed(&from(&format!("{shop}.evil.example"))), "unknown_sender"),
        (mail::sign("amazon.com", &from("amazon.com")), "another_mode"),
        (signed(&raw.replace("From: ", "From: a@evil.example, ")), "several_senders"),
        (format!("From: a@evil.example\r\n{genuine}"), "several_senders"),
        (format!("Subject: {marker}\r\n{genuine}"), "repeated_header"),
        (signed(&raw).replace("bh=", "l=10; bh="), another_signature),
        (signed(&code_mail(&other.email, &text)), "not_to_this_account"),
        (
            signed(&raw.replace("Your sandbox verification code", "Your sandbox order")),
            "not_a_sign_in",
        ),
        (page("<div style=\"display:none\">Your verification code is 481623.</div>"), "no_code"),
        (page("<!-- Your verification code is 481623. -->"), "no_code"),
        (page("<p hidden>Your verification code is 481623.</p>"), "no_code"),
        (
            page(
                "<p>Your verification code is 481623.</p><p>Your verification code is 481624.</p>",
            ),
            "several_codes",
        ),
        (page(&format!("<p>{SPAM} Your verification code is 481623.</p>")), "spam"),
        (page(&format!("<p>{} Your verification code is 481623.</p>", VIRUS.concat())), "virus"),
    ];
    let mut sent = Vec::new();
    for (raw, reason) in &hostile {
        sent.push((account.send(&shop_address(), raw).await, reason));
    }
    for (id, reason) in sent {
        assert_refused(&account, &id, reason).await;
    }
    let answer = Value::Array(account.mails().await).to_string();
    let lines = Value::Array(logs::of("inbound-email")).to_string();
    let mailbox = account.forwarding_email.split('@').next().unwrap();
    for told in [&marker, canaries::VERIFICATION_CODE, &*account.email, mailbox] {
        assert!(!answer.contains(told), "the account's mails say {told}");
        assert!(!lines.contains(told), "the log says {told}");
    }
    // As a word: in an id it is chance.
    for text in [answer, lines] {
        let mut words = text.split(|c: char| !c.is_ascii_alphanumeric());
        assert!(!words.any(|word| word == "481623"), "a code is told");
    }
}

#[tokio::test]
async fn a_genuine_mail_to_somebody_else_is_worth_nothing() {
    let (owner, thief) = (Mailbox::new().await, Mailbox::new().await);
    let raw = signed(&code_mail(&owner.email, CODE_TEXT));
    let id = owner.send(&shop_address(), &raw).await;
    assert_eq!(owner.noted(&id).await["accepted"], true);
    let stored = mail::stored(&id).await.unwrap();
    let id = thief.send(&shop_address(), &raw).await;
    assert_refused(&thief, &id, "not_to_this_account").await;
    // As it was stored, with the headers of its first way.
    let id = thief.send(&shop_address(), &stored).await;
    assert_refused(&thief, &id, "not_to_this_account").await;
}

#[tokio::test]
async fn what_cannot_be_read_is_refused_once() {
    let account = Mailbox::new().await;
    let raw = code_mail(&account.email, CODE_TEXT);
    let (headers, _) = raw.split_once("\r\n\r\n").unwrap();
    let many = |header: &str, count: usize| header.repeat(count);
    let parts = |count: usize| {
        let headers = headers.replace("text/plain; charset=utf-8", "multipart/mixed; boundary=b");
        format!("{headers}\r\n\r\n{}--b--\r\n", many("--b\r\n\r\nx\r\n", count))
    };
    let nested = |depth: usize| {
        let headers = headers.replace("text/plain; charset=utf-8", "multipart/mixed; boundary=b0");
        let level = |level: usize| {
            format!("--b{level}\r\nContent-Type: multipart/mixed; boundary=b{}\r\n\r\n", level + 1)
        };
        format!("{headers}\r\n\r\n{}", (0..depth).map(level).collect::<String>())
    };
    let line = format!("{}\r\n", "x".repeat(900));
    let unreadable = [
        ("no headers at all\r\n\r\nx\r\n".to_owned(), "malformed"),
        (format!("\0{raw}"), "malformed"),
        (format!("{}{raw}", many("X-A: b\r\n", 400)), "headers_too_long"),
        (parts(10_000), "too_many_parts"),
        (nested(50), "nested_too_deep"),
        (format!("{raw}{}", many(&line, 1_300)), "too_large"),
        (format!("{raw}{}", many(&line, 42_000)), "too_large"),
    ];
    for (raw, reason) in unreadable {
        let id = account.send(&shop_address(), &signed(&raw)).await;
        assert_refused(&account, &id, reason).await;
        said(&id, &format!("was read for {}", account.short_id)).await;
        let lines = logged(&id);
        let having = |field: &str| {
            lines.iter().filter(|line| !line[field].is_null()).cloned().collect::<Vec<_>>()
        };
        // An event that fails comes back, and is read again.
        assert_eq!(having("mail.spam").len(), 1, "{lines:?}");
        let read = having("mail.bytes");
        assert_eq!(read.len(), 1, "{lines:?}");
        // One byte beyond the limit tells.
        assert!(read[0]["mail.bytes"].as_u64().unwrap() <= 1024 * 1024 + 1, "{lines:?}");
    }
    let raw = format!("{raw}{}", many(&line, 47_000));
    let refused = mail::send(&shop_address(), &account.forwarding_email, &raw).await;
    assert_eq!(refused, Err(552), "SES takes 40 MB");
}

#[tokio::test]
async fn a_mail_that_is_gone_is_let_go() {
    let account = Mailbox::new().await;
    let id = unique();
    invoke("InboundEmailFunction", &event(&account, &id, "2026-01-02T03:04:05.678Z")).await;
    said(&id, "came in").await;
    assert!(
        logs::of("inbound-email")
            .iter()
            .any(|line| line["message"] == json!(format!("the mail {id} is gone")))
    );
    assert_eq!(account.mails().await, Vec::<Value>::new());
}

#[tokio::test]
async fn what_ses_does_not_send_back_is_let_go() {
    let account = Mailbox::new().await;
    delete(&account).await;
    // SES does not know this mail, as it does not know one of yesterday.
    let id = unique();
    invoke("InboundEmailFunction", &event(&account, &id, "2026-01-02T03:04:05.678Z")).await;
    said(&id, "is for nobody, and SES does not send it back").await;
}

/// What SES tells of a mail, once more.
fn event(account: &Mailbox, message_id: &str, received_at: &str) -> Value {
    let pass = json!({"status": "PASS"});
    let mail = json!({
        "timestamp": received_at,
        "source": shop_address(),
        "messageId": message_id,
        "destination": [account.email],
        "headersTruncated": false,
        "headers": [],
        "commonHeaders": {"returnPath": shop_address(), "from": [shop_address()], "to": [account.email]},
    });
    let receipt = json!({
        "timestamp": received_at,
        "processingTimeMillis": 7,
        "recipients": [account.forwarding_email],
        "spamVerdict": pass,
        "virusVerdict": pass,
        "spfVerdict": pass,
        "dkimVerdict": pass,
        "dmarcVerdict": pass,
        "action": {"type": "Lambda", "functionArn": "arn:aws:lambda:us-east-1:000000000000:function:x", "invocationType": "Event"},
    });
    json!({"Records": [{"eventSource": "aws:ses", "eventVersion": "1.0", "ses": {"mail": mail, "receipt": receipt}}]})
}

#[tokio::test]
async fn a_mail_that_ses_reports_again_is_noted_once() {
    let account = Mailbox::new().await;
    let mails = [signed(&code_mail(&account.email, CODE_TEXT)), code_mail(&account.email, "x")];
    for raw in mails {
        let id = account.send(&shop_address(), &raw).await;
        let line = account.noted(&id).await;
        let event = event(&account, &id, line["received_at"].as_str().unwrap());
        for _ in 0..2 {
            invoke("InboundEmailFunction", &event).await;
        }
        let lines = account.mails().await;
        let ours: Vec<_> = lines.iter().filter(|line| line["message_id"] == json!(id)).collect();
        assert_eq!(ours, [&line]);
    }
}

#[tokio::test]
async fn a_shops_mail_brings_the_number_of_a_parcel_without_asking_the_shop() {
    // The sweeper would have the shop asked.
    let _turn = hours().await;
    let api = Api::first();
    let receiver = Receiver::start().await;
    let shop = ShopAccount::new().await;
    let account = Mailbox::of(&shop).await;
    shop.forwards_to(&account.forwarding_email).await;
    let mut body = order(&shop);
    body.as_object_mut().unwrap().remove("retailer_credentials");
    body["retailer_credentials_id"] = json!(account.short_id);
    body["webhooks"] = json!({
        "tracking_obtained": receiver.url("/obtained"),
        "tracking_updated": receiver.url("/updated"),
    });
    let id = api.order(&body).await;
    let placed = api.ended(&id).await;
    assert_eq!(placed["tracking"], json!([]), "{placed}");
    let merchant_id = merchant_order_ids(&placed).remove(0);

    // A parcel without a number is not worth a mail.
    at_the_shop(&format!("orders/{merchant_id}/ship"), &json!({"with_number": false})).await;
    at_the_shop(&format!("orders/{merchant_id}/ship"), &json!({})).await;
    let told = &receiver.wait_for("/obtained", 1).await[0].body;
    assert_eq!(receiver.wait_for("/updated", 1).await[0].body, *told);
    let parcel = &told["tracking"][0];
    assert_eq!(parcel["merchant_order_id"], json!(merchant_id), "{told}");
    assert_eq!(parcel["product_ids"], json!(["B0016NHH56"]));
    assert_eq!(parcel["delivery_status"], "InTransit");
    assert!(parcel["obtained_at"].is_string(), "{parcel}");
    let shops = tests::shops_order(&merchant_id).await;
    assert_eq!(
        (&parcel["carrier"], &parcel["tracking_number"]),
        (&shops["carrier"], &shops["tracking_number"])
    );
    assert_eq!(told["merchant_order_ids"][0]["tracking"], json!([shops["tracking_number"]]));
    assert_eq!(api.get(&id).await, *told);

    let lines = account.mails().await;
    let [line] = lines.as_slice() else { panic!("{lines:?}") };
    assert_eq!((&line["kind"], &line["accepted"]), (&json!("shipment"), &json!(true)));
    let again = event(
        &account,
        line["message_id"].as_str().unwrap(),
        line["received_at"].as_str().unwrap(),
    );
    invoke("InboundEmailFunction", &again).await;
    assert_eq!(api.get(&id).await, *told);
    assert_eq!((receiver.arrivals("/updated").len(), receiver.arrivals("/obtained").len()), (1, 1));
    assert!(!shop.journal().await.iter().any(|entry| entry["kind"] == "order_state"));
    let jobs = logs::of("order-processor");
    let about =
        |line: &&Value| line["message"].as_str().is_some_and(|message| message.contains(&id));
    let about: Vec<_> = jobs.iter().filter(about).collect();
    assert!(
        !about.is_empty() && !about.iter().any(|line| line.to_string().contains("track_order")),
        "{about:?}"
    );
}
