//! After all tests: nothing they left behind holds a secret in clear.
//!
//! Every answer and every webhook was searched as it arrived; here the logs, the tables and the queues are. It runs
//! last, so that what was queued across a restart is among them.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::{collections::BTreeMap, fs, path::Path};

use serde_json::Value;
use tests::{STACK, canaries, queues, restart_notes, tables};

#[test]
fn no_log_holds_a_secret() {
    let logs = files(&STACK.logs);
    assert!(logs.iter().any(|(name, text)| name.contains("order-processor") && !text.is_empty()));
    for (name, text) in logs {
        canaries::assert_none(&text, &format!("the log {name}"));
    }
}

#[tokio::test]
async fn no_table_holds_a_secret() {
    for name in STACK.tables.keys() {
        let items = tables::items(name).await;
        assert!(!items.is_empty() || name == "CardsTable", "{name} was not used");
        canaries::assert_none(&Value::Array(items).to_string(), &format!("the table {name}"));
    }
}

#[tokio::test]
async fn cards_are_gone_with_their_orders() {
    assert_eq!(tables::items("CardsTable").await, Vec::<Value>::new());
}

#[tokio::test]
async fn no_message_is_left_over() {
    assert_eq!(queues::depth(&STACK.queues["JobsDeadLetterQueue"]).await, 0);
    // The clock that other tests have turned has had parcels asked after more often than their accounts can answer.
    // Deliveries to receivers that are gone are tried again for days.
    for message in queues::receive(&STACK.queues["JobsQueue"]).await {
        assert_eq!(message["type"], "track_order", "{message}");
    }
}

/// The same of what waits for its message.
#[tokio::test]
async fn no_job_is_left_over_and_backlogs_know_how_many_there_are() {
    let mut jobs = BTreeMap::<String, usize>::new();
    let mut counted = BTreeMap::new();
    for item in tables::items("OrdersTable").await {
        let text = |name: &str| item[name]["S"].as_str().unwrap_or_default().to_owned();
        let (account, sk) = (text("pk"), text("sk"));
        if sk.starts_with("JOB#") {
            assert!(text("job").contains("track_order"), "{item}");
            *jobs.entry(account).or_default() += 1;
        } else if sk == "HEAD" {
            counted.insert(account, item["jobs"]["N"].as_str().unwrap().parse::<usize>().unwrap());
        }
    }
    counted.retain(|_, count| *count > 0);
    assert_eq!(jobs, counted);
}

/// The emulator writes its queues down when it ends: what was queued at the restart can be read there.
#[test]
fn no_queue_holds_a_secret() {
    let dumps = files(&STACK.state.join("ministack"));
    let queues = dumps.iter().find(|(name, _)| name.ends_with("sqs.json")).map(|(_, text)| text);
    let notes = fs::read_to_string(restart_notes()).unwrap();
    let notes: Value = serde_json::from_str(&notes).unwrap();
    for order in notes["queued"].as_array().unwrap() {
        assert!(queues.unwrap().contains(order.as_str().unwrap()), "the dump lacks a queued order");
    }
    for (name, text) in &dumps {
        canaries::assert_none(text, &format!("the dump {name}"));
    }
}

/// That the search finds what it looks for: a check that cannot fail is none.
#[test]
fn canaries_are_recognised() {
    let card_code = format!(r#"{{"security_code":"{}"}}"#, canaries::CARD_CODE);
    let samples = [
        canaries::password(),
        canaries::totp_secret(),
        STACK.client_token.clone(),
        "zn_whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD".to_owned(),
        card_code,
    ];
    for sample in samples {
        assert_eq!(canaries::find(&format!("before {sample} after")).len(), 1);
        for before in ["", "b", "bb"] {
            let body = format!("{before}{sample}after");
            let encoded = data_encoding::BASE64.encode(body.as_bytes());
            assert_eq!(canaries::find(&encoded).len(), 1, "in base64 after {before:?}");
        }
    }
    assert!(canaries::find("1763800917 0.0917 a0917b").is_empty());
}

fn files(folder: &Path) -> Vec<(String, String)> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let files = entries.filter(|path| path.is_file());
    files
        .map(|path| {
            (
                path.display().to_string(),
                String::from_utf8_lossy(&fs::read(&path).unwrap()).into_owned(),
            )
        })
        .collect()
}
