//! The corpus of `tests/fixtures/mail`: every mail of it, from its bytes to what it is.

use std::{collections::BTreeMap, fs, path::PathBuf, process::Command};

use secrecy::ExposeSecret;
use serde_json::{Value, json};

use super::{
    Content,
    authenticity::{Signature, Verdict, Verdicts, vouch},
    content, message,
    senders::Trust,
};
use crate::{email::Email, retailers::Mode};

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/mail")
}

/// What comes out of a mail, as `expected.json` writes it.
fn outcome(raw: &[u8], entry: &Value) -> Value {
    let mail = match message::parse(raw) {
        Ok(mail) => mail,
        Err(reason) => return json!({"unreadable": reason.as_str()}),
    };
    let account: Email = "buyer@example.com".parse().unwrap();
    let mode: Mode = entry["mode"].as_str().unwrap().parse().unwrap();
    let trust = Trust { mode, sandbox_domain: "sandbox.mail.example.com" };
    let sender = match vouch(&mail, verdicts(entry), &signatures(entry, &trust), &account, &trust) {
        Ok(sender) => sender,
        Err(reason) => return json!({"refused": reason.as_str()}),
    };
    match content(sender, &mail, &account) {
        Content::Code(code) => json!({"code": code.expose_secret()}),
        Content::Shipment(shipment) => json!({"shipment": {
            "orders": shipment.merchant_order_ids,
            "carrier": shipment.carrier,
            "tracking": shipment.tracking_number,
        }}),
        Content::GmailConfirmation(confirmation) => json!({"gmail": confirmation.link.as_str()}),
        Content::Other(reason) => json!({"unused": reason.as_str()}),
    }
}

fn verdicts(entry: &Value) -> Verdicts {
    let of = |name: &str| entry["verdicts"][name].as_str().map_or(Verdict::Pass, Verdict::named);
    Verdicts {
        spam: of("spam"),
        virus: of("virus"),
        // Forwarded mail: SPF speaks for the forwarder.
        spf: Verdict::Gray,
        dkim: of("dkim"),
        dmarc: of("dmarc"),
    }
}

fn signatures(entry: &Value, trust: &Trust<'_>) -> Vec<Signature> {
    let names =
        json!(["from", "to", "subject", "date", "message-id", "mime-version", "content-type"]);
    let headers = entry.get("headers").unwrap_or(&names).as_array().unwrap();
    let domains = entry["signed"].as_array().unwrap().iter().map(|domain| domain.as_str().unwrap());
    domains
        .filter(|domain| trust.may_vouch(domain))
        .map(|domain| Signature {
            domain: domain.to_owned(),
            signed_headers: headers.iter().map(|name| name.as_str().unwrap().to_owned()).collect(),
        })
        .collect()
}

/// Whether `outcome` is what is expected; a list of words is a choice.
fn fits(outcome: &Value, expected: &Value) -> bool {
    let members = |value: &Value| value.as_object().unwrap().clone();
    members(expected).iter().all(|(key, value)| match value {
        Value::Array(choice) => choice.contains(&outcome[key]),
        value => outcome[key] == *value,
    }) && members(outcome).len() == members(expected).len()
}

fn corpus() -> Vec<(Value, Vec<u8>)> {
    let expected = fs::read(folder().join("expected.json")).unwrap();
    let entries: Vec<Value> = serde_json::from_slice(&expected).unwrap();
    let read = |entry: Value| {
        let raw = fs::read(folder().join(entry["file"].as_str().unwrap())).unwrap();
        (entry, raw)
    };
    entries.into_iter().map(read).collect()
}

/// The row of the table that a mail counts in: shop and language of a code, or its family.
fn row(file: &str) -> String {
    let name = file.trim_end_matches(".eml").replace('/', " ");
    let words: Vec<&str> = name.split('-').collect();
    let is_code =
        name.starts_with("genuine ") && !name.contains("gmail") && !name.contains("shipment");
    let length = if is_code && !name.contains("sandbox") { 2 } else { 1 };
    words[..length].join("-")
}

#[test]
fn every_genuine_mail_is_understood_and_no_hostile_one_is() {
    let (mut table, mut wrong) = (BTreeMap::<String, (usize, usize)>::new(), Vec::new());
    let (mut genuine, mut hostile) = (0, 0);
    for (entry, raw) in corpus() {
        let file = entry["file"].as_str().unwrap();
        let outcome = outcome(&raw, &entry);
        let is_right = fits(&outcome, &entry["expect"]);
        let counts = table.entry(row(file)).or_default();
        counts.0 += 1;
        counts.1 += usize::from(is_right);
        *(if file.starts_with("genuine/") { &mut genuine } else { &mut hostile }) += 1;
        if !is_right {
            wrong.push(format!("{file}: {outcome}, expected {}", entry["expect"]));
        }
    }
    for (row, (mails, right)) in &table {
        println!("{row:<28} {right:>4} of {mails:>4}");
    }
    println!("{genuine} genuine and {hostile} hostile mails, {} wrong", wrong.len());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(genuine >= 150 && hostile >= 150, "{genuine} genuine, {hostile} hostile");
}

/// The files are what the script makes, so that a change of a mail is a change of the script.
#[test]
fn the_script_makes_the_corpus() {
    let target = std::env::temp_dir().join(format!("spelter-corpus-{}", std::process::id()));
    fs::create_dir_all(&target).unwrap();
    let script = folder().join("generate.py");
    let status = Command::new("python3").arg(script).arg(&target).status();
    assert!(status.expect("python3 is there").success());
    for part in ["genuine", "hostile"] {
        let files = |folder: PathBuf| -> BTreeMap<_, _> {
            let entries = fs::read_dir(folder.join(part)).unwrap().map(Result::unwrap);
            entries.map(|entry| (entry.file_name(), fs::read(entry.path()).unwrap())).collect()
        };
        let (made, kept) = (files(target.clone()), files(folder()));
        assert!(made == kept, "run tests/fixtures/mail/generate.py");
    }
    let expected = |folder: PathBuf| fs::read(folder.join("expected.json")).unwrap();
    assert!(expected(target.clone()) == expected(folder()), "run tests/fixtures/mail/generate.py");
    fs::remove_dir_all(target).unwrap();
}

/// A generator of numbers that is the same in every run.
struct Numbers(u64);

impl Numbers {
    /// Below `limit`.
    fn next(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % u64::try_from(limit.max(1)).unwrap()).unwrap()
    }
}

#[test]
fn no_damage_to_a_mail_makes_a_panic() {
    let mut numbers = Numbers(88_172_645_463_325_252);
    let corpus = corpus();
    for (entry, raw) in &corpus {
        let mut raw = raw.clone();
        for _ in 0..=numbers.next(6) {
            let at = numbers.next(raw.len());
            let bytes = [0, b'\r', b'\n', b'=', b'"', b'<', b'>', b':', b'-', b'?', 0xff];
            let byte = bytes[numbers.next(bytes.len())];
            match numbers.next(4) {
                0 => raw.truncate(at),
                1 => raw.insert(at, byte),
                2 => raw.extend_from_within(..at),
                _ => raw.iter_mut().skip(at).take(1).for_each(|one| *one = byte),
            }
        }
        outcome(&raw, entry);
    }
}

proptest::proptest! {
    #![proptest_config(proptest::test_runner::Config::with_cases(64))]

    #[test]
    fn no_bytes_make_a_panic(raw in proptest::collection::vec(proptest::num::u8::ANY, 0..2000)) {
        let entry = json!({"mode": "live", "signed": ["amazon.com"]});
        outcome(&raw, &entry);
        let mut mail = b"From: account-update@amazon.com\r\nTo: buyer@example.com\r\nSubject: Your Amazon verification code\r\nContent-Type: text/html\r\n\r\n".to_vec();
        mail.extend(raw);
        outcome(&mail, &entry);
    }
}

/// Mails too large to keep: refused, and soon.
#[test]
fn large_mails_are_refused_cleanly() {
    let entry = json!({"mode": "live", "signed": ["amazon.com"]});
    let refused = |raw: &[u8], word: &str| {
        assert_eq!(outcome(raw, &entry), json!({"unreadable": word}), "{word}");
    };
    let head = b"From: account-update@amazon.com\r\nTo: buyer@example.com\r\nSubject: Your Amazon verification code\r\n";
    let with = |rest: String| [head.as_slice(), rest.as_bytes()].concat();
    refused(&with(format!("\r\n{}", "x".repeat(40 * 1024 * 1024))), "too_large");
    refused(&with(format!("X: {}\r\n\r\n", "y".repeat(100_000))), "headers_too_long");
    refused(&with("X: y\r\n".repeat(10_000)), "headers_too_long");
    let parts = "--b\r\n\r\nx\r\n".repeat(10_000);
    let parts = format!("Content-Type: multipart/mixed; boundary=b\r\n\r\n{parts}--b--\r\n");
    refused(&with(parts), "too_many_parts");
    let levels = (0..5_000).map(|level| {
        format!("Content-Type: multipart/mixed; boundary=b{level}\r\n\r\n--b{level}\r\n")
    });
    let nested = levels.collect::<Vec<_>>().concat();
    refused(&with(nested), "nested_too_deep");
    let links = "<a href='https://a.example/'>x</a>".repeat(10_000);
    refused(&with(format!("Content-Type: text/html\r\n\r\n{links}")), "too_many_links");
    // A mail in a mail in a mail is not read at all.
    let mails = "Content-Type: message/rfc822\r\n\r\n".repeat(20_000);
    assert_eq!(outcome(&with(mails), &entry), json!({"unused": "no_code"}));
}

/// What takes long, if anything: a megabyte of each of these is read.
#[test]
fn a_large_mail_takes_no_time() {
    let entry = json!({"mode": "live", "signed": ["amazon.com"]});
    let head = "From: account-update@amazon.com\r\nTo: buyer@example.com\r\nSubject: Your Amazon verification code\r\n";
    for (kind, filler) in [
        ("plain", "Your verification code is "),
        ("plain", "use the following code to "),
        ("plain", "1234567 "),
        ("html", "<div style='display:none'>"),
        ("html", "<b></i>&amp;"),
        ("html", "<!--"),
        ("html", "&#"),
    ] {
        let body = filler.repeat(1_000_000 / filler.len());
        let raw = format!("{head}Content-Type: text/{kind}; charset=utf-8\r\n\r\n{body}");
        assert_eq!(outcome(raw.as_bytes(), &entry), json!({"unused": "no_code"}), "{filler}");
    }
}
