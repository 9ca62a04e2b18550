//! Mail on its way: what comes in over SMTP reaches the bucket and the function as SES hands it over, and what SES
//! sends comes back signed.

use std::time::Duration;

use http::{Method, StatusCode};
use serde_json::{Value, json};
use tests::{Api, STACK, http, logs, mail, queues, wait};
use uuid::Uuid;

/// An address of the inbound domain that nobody has.
fn somebody() -> String {
    mail::address(&Uuid::new_v4().simple().to_string())
}

/// The line that the function logs when it is told of a mail.
async fn logged(message_id: &str) -> Value {
    logs::next("inbound-email", 0, |line| line["mail.id"] == message_id).await
}

/// The line that it logs once it is through with it.
async fn ended(message_id: &str) -> Value {
    let is_last = |line: &Value| {
        line["mail.id"] == message_id
            && line["message"] != json!(format!("mail {message_id} came in"))
    };
    logs::next("inbound-email", 0, is_last).await
}

/// The body of an SES `SendEmail` call.
fn email<'a>(from: &'a str, to: &'a str, subject: &'a str) -> [(&'a str, &'a str); 4] {
    [
        ("Source", from),
        ("Destination.ToAddresses.member.1", to),
        ("Message.Subject.Data", subject),
        ("Message.Body.Text.Data", "Your code is in here."),
    ]
}

#[tokio::test]
async fn a_mail_is_stored_as_it_came_and_its_function_told_what_ses_found() {
    let account = json!({"email": format!("{}@example.com", Uuid::new_v4().simple())});
    let account = Api::first().modern(Method::POST, "/managed-accounts", Some(&account)).await.ok();
    let to = account["forwarding_email"].as_str().unwrap();
    let raw = mail::plain("Shop <a@amazon.com>", to, "Hello", "Good morning");
    let raw = mail::sign("amazon.com", &raw);
    let id = mail::send("bounces@amazon.com", to, &raw).await.unwrap();
    assert_eq!(id.len(), 40, "{id}");
    let stored = mail::stored(&id).await.expect("stored before it was accepted");
    assert!(stored.ends_with(&raw), "{stored}");
    let added = stored.strip_suffix(&raw).unwrap();
    for wanted in [
        "Return-Path: <bounces@amazon.com>\r\n",
        "X-SES-Spam-Verdict: PASS\r\n",
        "X-SES-Virus-Verdict: PASS\r\n",
        "Received-SPF: pass",
        "Authentication-Results: amazonses.com;",
    ] {
        assert!(added.contains(wanted), "{wanted}: {added}");
    }
    let line = logged(&id).await;
    for verdict in ["spam", "virus", "spf", "dkim", "dmarc"] {
        assert_eq!(line[format!("mail.{verdict}")], "PASS", "{line}");
    }
    assert_eq!(ended(&id).await["mail.bytes"], stored.len());
}

#[tokio::test]
async fn a_mail_for_nobody_is_not_read() {
    let to = somebody();
    let raw = mail::plain("a@amazon.com", &to, "Hello", "Good morning");
    let id = mail::send("a@amazon.com", &to, &raw).await.unwrap();
    assert!(mail::stored(&id).await.is_some());
    let line = ended(&id).await;
    assert_eq!(line["message"], json!(format!("mail {id} is for nobody and goes back")));
    assert_eq!(line["mail.bytes"], Value::Null);
}

#[tokio::test]
async fn a_mail_that_was_changed_on_its_way_is_not_vouched_for() {
    let to = somebody();
    let raw = mail::plain("a@amazon.com", &to, "Hello", "Your code is 123456");
    let changed = mail::sign("amazon.com", &raw).replace("123456", "654321");
    let id = mail::send("a@nobody.example", &to, &changed).await.unwrap();
    let line = logged(&id).await;
    assert_eq!((&line["mail.dkim"], &line["mail.dmarc"]), (&json!("FAIL"), &json!("FAIL")));
}

#[tokio::test]
async fn a_domain_signs_with_the_key_that_dns_has_and_no_other() {
    let to = somebody();
    let raw = mail::plain("a@google.com", &to, "Hello", "x");
    // Signed for another domain than it says it is from: true, and worth nothing.
    let id = mail::send("a@nobody.example", &to, &mail::sign("amazon.com", &raw)).await.unwrap();
    let line = logged(&id).await;
    assert_eq!((&line["mail.dkim"], &line["mail.dmarc"]), (&json!("PASS"), &json!("FAIL")));
    let unsigned = mail::send("a@nobody.example", &to, &raw).await.unwrap();
    assert_eq!(logged(&unsigned).await["mail.dkim"], "GRAY");
}

#[tokio::test]
async fn mail_for_other_domains_is_refused() {
    let raw = mail::plain("a@amazon.com", "b@elsewhere.example", "Hello", "x");
    let below = format!("a@below.{}", STACK.inbound_domain);
    for to in ["b@elsewhere.example", &below] {
        assert_eq!(mail::send("a@amazon.com", to, &raw).await, Err(550), "{to}");
    }
}

#[tokio::test]
async fn spam_and_viruses_are_named_as_such() {
    let to = somebody();
    let spam = "XJS*C4JDBQADN1.NSBN3*2IDNEN*GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X";
    let raw = mail::plain("a@amazon.com", &to, "Hello", spam);
    let id = mail::send("a@amazon.com", &to, &raw).await.unwrap();
    let line = logged(&id).await;
    assert_eq!((&line["mail.spam"], &line["mail.virus"]), (&json!("FAIL"), &json!("PASS")));
}

#[tokio::test]
async fn what_ses_sends_to_the_inbound_domain_comes_back_signed() {
    let (to, subject) = (somebody(), Uuid::new_v4().to_string());
    let from = format!("no-reply@{}", mail::sandbox_domain());
    let (status, answer) = mail::ses("SendEmail", &email(&from, &to, &subject)).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    let sent = wait(Duration::from_secs(20), "the mail to go out", async || {
        mail::outgoing().await.into_iter().find(|sent| sent["subject"] == json!(subject))
    })
    .await;
    assert_eq!((&sent["kind"], &sent["from"]), (&json!("mail"), &json!(from)));
    assert_eq!((&sent["to"], &sent["delivered"]), (&json!([to]), &json!([to])));
    let signature = format!("d={};", mail::sandbox_domain());
    assert!(sent["raw"].as_str().unwrap().contains(&signature), "{sent}");
    let line = wait(Duration::from_secs(20), "the mail to come back", async || {
        for line in logs::of("inbound-email") {
            let Some(id) = line["mail.id"].as_str() else { continue };
            if mail::stored(id).await.is_some_and(|stored| stored.contains(&subject)) {
                return Some(line);
            }
        }
        None
    })
    .await;
    assert_eq!((&line["mail.dkim"], &line["mail.dmarc"]), (&json!("PASS"), &json!("PASS")));
}

#[tokio::test]
async fn ses_sends_for_verified_domains_only() {
    let (status, answer) =
        mail::ses("SendEmail", &email("a@google.com", &somebody(), "Hello")).await;
    assert_eq!(status, StatusCode::BAD_REQUEST, "{answer}");
    assert!(answer.contains("MessageRejected"), "{answer}");
}

#[tokio::test]
async fn a_bounce_tells_the_sender_once_the_mail_was_received() {
    let (to, sender) = (somebody(), format!("{}@shop.example", Uuid::new_v4().simple()));
    let raw = mail::plain(&sender, &to, "Your order", "x");
    let id = mail::send(&sender, &to, &raw).await.unwrap();
    let daemon = mail::address("mailer-daemon");
    let bounce = async |id: &str, from: &str| {
        let parameters = [
            ("OriginalMessageId", id),
            ("BounceSender", from),
            ("BouncedRecipientInfoList.member.1.Recipient", &to),
            ("BouncedRecipientInfoList.member.1.BounceType", "DoesNotExist"),
        ];
        mail::ses("SendBounce", &parameters).await
    };
    let (status, answer) = bounce(&id, &daemon).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    assert!(answer.contains("<SendBounceResult><MessageId>"), "{answer}");
    let sent = mail::outgoing().await;
    let sent = sent.iter().find(|sent| sent["to"] == json!([sender])).expect("a bounce");
    assert_eq!((&sent["kind"], &sent["delivered"]), (&json!("bounce"), &json!([])));
    let text = sent["raw"].as_str().unwrap();
    for wanted in
        [&*format!("Final-Recipient: rfc822; {to}"), "Status: 5.1.1", "Subject: Your order"]
    {
        assert!(text.contains(wanted), "{wanted}: {text}");
    }
    for (id, from) in [("unknown", &*daemon), (&*id, "a@elsewhere.example")] {
        let (status, answer) = bounce(id, from).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{answer}");
        assert!(answer.contains("<Code>MessageRejected</Code>"), "{answer}");
    }
}

#[tokio::test]
async fn an_event_that_fails_three_times_is_kept() {
    let mark = Uuid::new_v4().to_string();
    let event = json!({"Records": [{"ses": {"mark": mark}}]});
    let function = "InboundEmailFunction";
    let url = format!("{}/2015-03-31/functions/{function}/invocations", STACK.lambda_url);
    let request = http().post(url).header("x-amz-invocation-type", "Event").json(&event);
    assert_eq!(request.send().await.unwrap().status(), StatusCode::ACCEPTED);
    let kept = wait(Duration::from_secs(40), "the event to be given up", async || {
        let kept = queues::receive(&STACK.queues["MailFailuresQueue"]).await;
        kept.into_iter().find(|kept| kept["requestPayload"] == event)
    })
    .await;
    assert_eq!(kept["requestContext"]["condition"], "RetriesExhausted", "{kept}");
    assert_eq!(kept["requestContext"]["approximateInvokeCount"], 3);
    assert_eq!(kept["responseContext"]["functionError"], "Unhandled");
}

#[tokio::test]
async fn gmails_stand_in_confirms_as_its_link_says() {
    let token = format!("vf-get-only-{}", Uuid::new_v4().simple());
    let url = format!("{}/mail/{token}", STACK.gmail_url);
    assert_eq!(http().post(&url).send().await.unwrap().status(), StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(http().get(&url).send().await.unwrap().status(), StatusCode::OK);
    let visits = mail::confirmations().await;
    let path = format!("/mail/{token}");
    let methods = visits.iter().filter(|visit| visit["path"] == json!(path));
    let methods: Vec<_> = methods.map(|visit| visit["method"].clone()).collect();
    assert_eq!(methods, ["POST", "GET"]);
}
