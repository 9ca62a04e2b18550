//! `webhooks listen` as a program: what it prints, what it answers, how it ends.

#![expect(clippy::indexing_slicing, clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::{
    io::{BufRead, BufReader},
    net::SocketAddr,
    process::{Child, ChildStderr, Command, Output, Stdio},
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{Json, Router, extract::State, http::HeaderMap, routing::get};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use spelter::{
    clock,
    http::client,
    id::DeliveryId,
    webhooks::{
        EventKind,
        events::{AccountEvent, EventName},
        signing::{SigningSecret, headers},
    },
};
use tokio::{
    io::AsyncWriteExt,
    net::{TcpListener, TcpStream},
};
use uuid::Uuid;

const OURS: &str = "zn_whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
const OTHERS: &str = "zn_whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const PLACED: EventName = EventName::Request(EventKind::RequestSucceeded);

/// The program, at a port of its own. It ends with the test.
struct Listener {
    child: Child,
    url: String,
    /// Kept open, for the program writes to it until its end.
    notes: BufReader<ChildStderr>,
}

impl Drop for Listener {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Listener {
    fn start(arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_spelter-admin"))
            .args(["webhooks", "listen", "--port", "0"])
            .args(arguments)
            .env_remove("SPELTER_WEBHOOK_SECRET")
            .env_remove("SPELTER_API_URL")
            .env_remove("SPELTER_CLIENT_TOKEN")
            .envs(environment.iter().copied())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut notes = BufReader::new(child.stderr.take().unwrap());
        let mut first = String::new();
        notes.read_line(&mut first).unwrap();
        let url = first.split_whitespace().find(|word| word.starts_with("http://")).unwrap();
        Self { url: url.to_owned(), child, notes }
    }

    /// Sends a webhook and says what it was answered.
    async fn send(&self, id: u128, event: EventName, body: &Value, secrets: &[&str]) -> u16 {
        let secrets: Vec<_> =
            secrets.iter().map(|text| SigningSecret::stored((*text).into())).collect();
        let body = body.to_string();
        let id = DeliveryId::new(Uuid::from_u128(id << 100));
        let headers = headers(&id, event, clock::system(), &body, &secrets).unwrap();
        let client = client::build(Duration::from_secs(30)).unwrap();
        let request = client.post(format!("{}told?a=1", self.url)).headers(headers).body(body);
        request.send().await.unwrap().status().as_u16()
    }

    /// What it has printed and its exit code, once it has ended by itself; and its notes.
    fn end(mut self) -> (Output, String) {
        let notes = std::io::read_to_string(&mut self.notes).unwrap();
        let stdout = self.child.stdout.take().unwrap();
        let stdout = std::io::read_to_string(stdout).unwrap().into_bytes();
        let status = self.child.wait().unwrap();
        (Output { status, stdout, stderr: Vec::new() }, notes)
    }
}

fn blocks(output: &Output) -> Vec<String> {
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    text.split_terminator("\n\n").map(str::to_owned).collect()
}

#[tokio::test]
async fn three_deliveries_one_of_them_forged_and_one_repeated() {
    let listener = Listener::start(&["--count", "3", "--secret", OURS, "--answer", "503"], &[]);
    assert!(listener.url.starts_with("http://127.0.0.1:"));
    let placed = json!({"_type": "order_response", "note": "\u{1b}]0;x\u{7}\u{9b}31m"});
    assert_eq!(listener.send(1, PLACED, &placed, &[OURS]).await, 503);
    let refused = json!({"_type": "error", "code": "max_price_exceeded"});
    assert_eq!(listener.send(2, PLACED, &refused, &[OTHERS]).await, 503);
    assert_eq!(listener.send(1, PLACED, &placed, &[OURS]).await, 503);

    let (output, notes) = listener.end();
    assert_eq!(output.status.code(), Some(1));
    assert!(notes.contains("1 of 3"), "{notes}");
    let blocks = blocks(&output);
    let [first, forged, repeated] = blocks.as_slice() else { panic!("{blocks:#?}") };
    for block in [first, repeated] {
        assert_eq!(block.matches("signature: valid").count(), 2, "{block}");
        assert!(block.contains("\n  order_response\n"), "{block}");
        assert!(block.contains("\n  X-Webhook-Event      request_succeeded\n"), "{block}");
    }
    assert_eq!(forged.matches("signature: INVALID: another secret").count(), 2, "{forged}");
    assert!(forged.contains("\n  error / max_price_exceeded\n"), "{forged}");
    let marked: Vec<_> = blocks.iter().map(|block| block.contains("repetition")).collect();
    assert_eq!(marked, [false, false, true]);
    assert!(blocks.iter().all(|block| block.contains("POST /told?a=1  answered 503")));
    let text = blocks.concat();
    assert!(!text.contains(|one: char| one.is_control() && one != '\n'), "{text:?}");
}

/// `/webhooks/endpoint` as the API has it, for one client.
#[derive(Clone, Default)]
struct Api {
    url: Arc<Mutex<Option<String>>>,
    secret: Arc<Mutex<Option<&'static str>>>,
}

const TOKEN: &str = "zn_test_of_a_client";

impl Api {
    async fn start(&self) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let answer = async |State(api): State<Self>, headers: HeaderMap| api.answer(&headers);
        let register = async |State(api): State<Self>, headers: HeaderMap, body: Json<Value>| {
            *api.url.lock().unwrap() = body["url"].as_str().map(str::to_owned);
            api.answer(&headers)
        };
        let route = get(answer).put(register);
        let app = Router::new().route("/webhooks/endpoint", route).with_state(self.clone());
        tokio::spawn(async move { axum::serve(listener, app).await });
        address
    }

    fn answer(&self, headers: &HeaderMap) -> Json<Value> {
        assert_eq!(headers["authorization"], format!("Bearer {TOKEN}"));
        let (url, secret) = (self.url.lock().unwrap().clone(), *self.secret.lock().unwrap());
        Json(json!({ "webhook_url": url, "webhook_secret": secret }))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_secret_is_the_endpoints_also_after_it_has_changed() {
    let api = Api::default();
    let url = format!("http://{}", api.start().await);
    let listener = Listener::start(
        &["--count", "4", "--register", "--json"],
        &[("SPELTER_API_URL", &url), ("SPELTER_CLIENT_TOKEN", TOKEN)],
    );
    let started = EventName::Account(AccountEvent::OrderStarted);
    let body = json!({"event": "order.started", "status": "in_progress"});
    assert_eq!(listener.send(1, started, &body, &[OURS]).await, 200);
    *api.secret.lock().unwrap() = Some(OURS);
    assert_eq!(listener.send(2, started, &body, &[OURS]).await, 200);
    *api.secret.lock().unwrap() = Some(OTHERS);
    assert_eq!(listener.send(3, started, &body, &[OTHERS, OURS]).await, 200);
    assert_eq!(listener.send(4, started, &body, &[OTHERS]).await, 200);
    assert_eq!(api.url.lock().unwrap().as_deref(), Some(listener.url.as_str()));

    let (output, notes) = listener.end();
    assert_eq!(output.status.code(), Some(1), "the first was not checked: {notes}");
    let text = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 4);
    for (index, expected) in ["not checked", "valid", "valid", "valid"].into_iter().enumerate() {
        for header in ["webhook-signature", "x-webhook-signature"] {
            let verdict = &lines[index]["signatures"][header]["verdict"];
            assert_eq!(verdict, expected, "{header} of {text}");
        }
        assert_eq!(lines[index]["status"], "order.started / in_progress");
        assert_eq!(lines[index]["event"], "order.started");
        assert_eq!(lines[index]["body"], body);
    }
    for secret in [OURS, OTHERS, TOKEN] {
        assert!(!text.contains(secret) && !notes.contains(secret), "{secret} is printed");
    }
}

#[tokio::test]
async fn it_succeeds_if_all_are_valid() {
    let listener = Listener::start(&["--count", "1"], &[("SPELTER_WEBHOOK_SECRET", OURS)]);
    assert_eq!(listener.send(1, PLACED, &json!({}), &[OURS]).await, 200);
    assert_eq!(listener.end().0.status.code(), Some(0));
}

/// Ctrl-C is no failure, and whoever does not finish a request does not hold it up for long.
#[tokio::test]
async fn ctrl_c_ends_it() {
    let listener = Listener::start(&["--secret", OURS], &[]);
    let address = listener.url.trim_start_matches("http://").trim_end_matches('/').to_owned();
    let mut unfinished = TcpStream::connect(&address).await.unwrap();
    unfinished.write_all(b"POST / HTTP/1.1\r\n").await.unwrap();
    assert_eq!(listener.send(1, PLACED, &json!({}), &[OTHERS]).await, 200);
    kill_process(Pid::from_child(&listener.child), Signal::INT).unwrap();
    let (output, _) = listener.end();
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(blocks(&output).len(), 1);
    assert!(TcpStream::connect(&address).await.is_err());
}

#[test]
fn what_is_no_secret_is_refused_without_repeating_it() {
    let output = Command::new(env!("CARGO_BIN_EXE_spelter-admin"))
        .args(["webhooks", "listen", "--port", "0"])
        .env("SPELTER_WEBHOOK_SECRET", "whsec_C2FVsBQI")
        .output()
        .unwrap();
    let complaint = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(complaint.contains("a webhook secret is `zn_whsec_`"), "{complaint}");
    assert!(!complaint.contains("C2FVsBQI"), "{complaint}");
}
