//! Reads from the logs what a request or a job called.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use tests::{Answer, logs, prepaid::Client};

use crate::page::Cells;

/// Derives the key of keyed hashes, once for each process: not part of a request, but of a process's first.
const OF_A_PROCESS: &str = "kms:GenerateMac";

/// What was found so far.
#[derive(Default)]
pub(crate) struct Meter {
    pub(crate) found: BTreeMap<String, Cells>,
    /// The functions that were looked at.
    pub(crate) functions: BTreeSet<String>,
}

impl Meter {
    /// Does `call`, a request of `client` to `function`, which must succeed, and notes under `what` what it called.
    pub(crate) async fn request(
        &mut self,
        what: &str,
        function: &str,
        client: &Client,
        call: impl Future<Output = Answer>,
    ) -> Value {
        let seen = logs::of(function).len();
        let answer = call.await;
        assert!(answer.status.is_success(), "{what}: {} {}", answer.status, answer.text);
        let of_client = |line: &Value| line["client.id"] == client.id && has_calls(line);
        let line = logs::next(function, seen, of_client).await;
        self.note(what, function, &line);
        if answer.text.is_empty() { Value::Null } else { answer.json() }
    }

    /// Notes under `what` what a job of `function` called whose line begins with `begin` and ends with `end`. It has
    /// been done or will be.
    pub(crate) async fn job(&mut self, what: &str, function: &str, [begin, end]: [&str; 2]) {
        let is_it = |line: &Value| {
            let message = line["message"].as_str().unwrap_or_default();
            message.starts_with(begin) && message.ends_with(end) && has_calls(line)
        };
        let line = logs::next(function, 0, is_it).await;
        self.note(what, function, &line);
    }

    /// Notes what `line` of `function` says.
    pub(crate) fn note(&mut self, what: &str, function: &str, line: &Value) {
        let mut calls = calls(line);
        let derived = calls.remove(OF_A_PROCESS).unwrap_or_default();
        assert!(derived <= 1, "{what}: {line}");
        assert!(self.found.insert(what.to_owned(), Cells::of(&calls)).is_none(), "{what} twice");
        self.functions.insert(function.to_owned());
    }

    /// Notes what the first request of a process called beyond what the others do.
    pub(crate) fn note_process(&mut self, what: &str, functions: &[&str]) {
        for function in functions {
            let lines = logs::of(function);
            let derived: Vec<_> =
                lines.iter().filter_map(|line| calls(line).remove(OF_A_PROCESS)).collect();
            assert!(!derived.is_empty(), "{function} hashes nothing");
            assert!(derived.iter().all(|count| *count == 1), "{function}: {derived:?}");
        }
        let calls = BTreeMap::from([(OF_A_PROCESS.to_owned(), 1)]);
        self.found.insert(what.to_owned(), Cells::of(&calls));
    }
}

fn has_calls(line: &Value) -> bool {
    line["aws.calls"].is_string()
}

fn calls(line: &Value) -> BTreeMap<String, u32> {
    let text = line["aws.calls"].as_str().unwrap_or_default();
    text.split_whitespace()
        .map(|call| {
            let (operation, count) = call.split_once('=').expect("a count");
            (operation.to_owned(), count.parse().expect("a number"))
        })
        .collect()
}
