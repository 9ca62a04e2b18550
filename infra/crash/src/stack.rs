//! The stack under test, as whoever breaks it sees it. It signals no process but those that this stack lists.

use std::{path::PathBuf, time::Duration};

use ::tests::STACK;
use anyhow::{Context, Result, ensure};
use reqwest::Client;
use rustix::process::{Pid, Signal, kill_process};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

/// The stack lets running work finish, and its emulators save.
const RESTART_LIMIT: Duration = Duration::from_mins(3);

/// A process of a function.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Process {
    /// Its function's physical name.
    pub(crate) function: String,
    /// Its number, once it has one.
    pub(crate) pid: Option<i32>,
    /// What it does.
    pub(crate) state: String,
    /// The queue messages that it works on.
    pub(crate) messages: Vec<String>,
}

impl Process {
    /// Whether it works on an invocation.
    pub(crate) fn is_busy(&self) -> bool {
        self.state == "busy"
    }

    /// The ids of what it works on. What else a message says is none of this test's business.
    pub(crate) fn ids(&self) -> Vec<String> {
        let words =
            self.messages.iter().flat_map(|text| text.split(|c: char| !c.is_alphanumeric()));
        words.filter(|word| word.len() == 32).map(str::to_owned).collect()
    }

    /// Whether another process has the work of this one: a worker its account, a sender its lane. Ids do not tell:
    /// every message names the client.
    pub(crate) fn is_replaced_by(&self, other: &Self) -> bool {
        let (work, others) = (self.work(), other.work());
        other.is_busy()
            && other.pid != self.pid
            && other.function == self.function
            && work.iter().any(|one| others.contains(one))
    }

    fn work(&self) -> Vec<Value> {
        let of = |message: &String| {
            let message: Value = serde_json::from_str(message).ok()?;
            message.get("account").or_else(|| message.get("lane")).cloned()
        };
        self.messages.iter().filter_map(of).collect()
    }
}

/// What may be done to the stack.
#[derive(Clone)]
pub(crate) struct Stack {
    http: Client,
    /// Where it says what it is.
    file: PathBuf,
}

impl Stack {
    /// The stack that `file` describes.
    pub(crate) fn new(http: Client, file: PathBuf) -> Self {
        Self { http, file }
    }

    /// All processes there are.
    pub(crate) async fn processes(&self) -> Result<Vec<Process>> {
        let url = format!("{}/_local/environments", STACK.lambda_url);
        let answer = self.http.get(url).send().await?.error_for_status()?;
        Ok(answer.json().await?)
    }

    /// Has the process go on after its invocation's deadline; false if it works on nothing.
    pub(crate) async fn allow_overtime(&self, pid: i32, overtime: Duration) -> Result<bool> {
        let seconds = overtime.as_secs();
        let url = format!("{}/_local/environments/{pid}/overtime/{seconds}", STACK.lambda_url);
        Ok(self.http.put(url).send().await?.status().is_success())
    }

    /// Invokes a function with an event, and `waits` for its end or not.
    pub(crate) async fn invoke(&self, function: &str, event: &Value, waits: bool) -> Result<()> {
        let url = format!("{}/2015-03-31/functions/{function}/invocations", STACK.lambda_url);
        let kind = if waits { "RequestResponse" } else { "Event" };
        let request = self.http.post(url).header("x-amz-invocation-type", kind).json(event);
        request.send().await?.error_for_status()?;
        Ok(())
    }

    /// Ends the emulator of SQS and KMS, which saves what it has, and waits until it is there again.
    pub(crate) async fn end_emulator(&self) -> Result<()> {
        let file = STACK.state.join("ministack/pid");
        let read = || -> Result<i32> { Ok(std::fs::read_to_string(&file)?.trim().parse()?) };
        let (pid, stack) = (read()?, self.pid()?);
        ensure!(parent_of(pid)? == stack, "process {pid} is not of this stack");
        signal(pid, Signal::TERM)?;
        let deadline = Instant::now() + RESTART_LIMIT;
        loop {
            let is_new = read().is_ok_and(|now| now != pid);
            if is_new && self.http.get(&STACK.aws_url).send().await.is_ok() {
                return Ok(());
            }
            pause(deadline, "the emulator").await?;
        }
    }

    /// Ends the whole stack, and waits until whoever watches over it has started it again.
    pub(crate) async fn end(&self) -> Result<()> {
        let pid = self.pid()?;
        signal(pid, Signal::TERM)?;
        let deadline = Instant::now() + RESTART_LIMIT;
        while !self.pid().is_ok_and(|now| now != pid) {
            pause(deadline, "the stack").await?;
        }
        Ok(())
    }

    /// Tells the shop how to behave towards an account at a step.
    pub(crate) async fn behave(&self, email: &str, step: &str, behaviour: &Value) -> Result<()> {
        let request = self.http.put(format!("{}/admin/behaviours", STACK.sandbox_url));
        let body = json!({"email": email, "step": step, "behaviour": behaviour});
        let request = request.header("x-admin-token", &STACK.sandbox_admin_token).json(&body);
        request.send().await?.error_for_status()?;
        Ok(())
    }

    fn pid(&self) -> Result<i32> {
        let description: Value = serde_json::from_str(&std::fs::read_to_string(&self.file)?)?;
        let pid = description.get("pid").and_then(Value::as_i64).context("no pid")?;
        Ok(i32::try_from(pid)?)
    }

    /// Has nobody ask after an order's parcels, which begins a quarter of an hour after it was placed: that is more work
    /// than to place it, and not what is tried here.
    pub(crate) async fn leave_parcels(&self, client: &str, order: &str) -> Result<()> {
        let request = json!({
            "TableName": STACK.tables.get("OrdersTable"),
            "Key": {"pk": {"S": format!("{client}#test")}, "sk": {"S": format!("ORDER#{order}")}},
            "UpdateExpression": "REMOVE due_at, due_shard",
            "ConditionExpression": "attribute_exists(pk)",
        });
        let credential = "Credential=local/20260101/us-east-1/dynamodb/aws4_request";
        let request = self
            .http
            .post(&STACK.dynamodb_url)
            .header("x-amz-target", "DynamoDB_20120810.UpdateItem")
            .header("x-amz-date", "20260101T000000Z")
            .header(
                "authorization",
                format!("AWS4-HMAC-SHA256 {credential}, SignedHeaders=host, Signature=00"),
            )
            .header("content-type", "application/x-amz-json-1.0")
            .body(request.to_string());
        request.send().await?.error_for_status()?;
        Ok(())
    }
}

/// Signals a process, which must still be there.
pub(crate) fn signal(pid: i32, signal: Signal) -> Result<()> {
    let pid = Pid::from_raw(pid).context("no process")?;
    Ok(kill_process(pid, signal)?)
}

/// The parent of a process, as Linux tells.
fn parent_of(pid: i32) -> Result<i32> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let (_, after_name) = stat.rsplit_once(')').context("no name")?;
    Ok(after_name.split_whitespace().nth(1).context("no parent")?.parse()?)
}

/// A moment until something is looked at again; an error if it should be there by now.
async fn pause(deadline: Instant, what: &str) -> Result<()> {
    ensure!(Instant::now() < deadline, "{what} does not come back");
    sleep(Duration::from_millis(100)).await;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(pid: i32, function: &str, message: &Value) -> Process {
        Process {
            function: function.to_owned(),
            pid: Some(pid),
            state: "busy".to_owned(),
            messages: vec![message.to_string()],
        }
    }

    #[test]
    fn work_is_in_other_hands_if_another_of_the_kind_has_its_account_or_its_lane() {
        // The client is the same everywhere.
        let owner = json!({"client": "cl_0198f0c2d1b47a3ea0d1c2b3a4958677", "mode": "test"});
        let job = |account| json!({"account": account, "type": "place_order", "owner": owner});
        let frozen = process(1, "order-processor", &job("sandbox-1"));
        assert!(frozen.is_replaced_by(&process(2, "order-processor", &job("sandbox-1"))));
        assert!(!frozen.is_replaced_by(&process(2, "order-processor", &job("sandbox-2"))));
        assert!(!frozen.is_replaced_by(&process(2, "dead-letters", &job("sandbox-1"))));
        assert!(!frozen.is_replaced_by(&frozen));
        let idle = Process {
            state: "idle".to_owned(),
            ..process(2, "order-processor", &job("sandbox-1"))
        };
        assert!(!frozen.is_replaced_by(&idle));
        let delivery =
            |request| json!({"type": "deliver", "owner": owner, "lane": {"request": request}});
        let sender = process(3, "webhook-sender", &delivery("1"));
        assert!(sender.is_replaced_by(&process(4, "webhook-sender", &delivery("1"))));
        assert!(!sender.is_replaced_by(&process(4, "webhook-sender", &delivery("2"))));
    }

    #[test]
    fn ids_are_found_whatever_a_message_looks_like() {
        let id = "0198f0c2d1b47a3ea0d1c2b3a4958677";
        let message = json!({"type": "place_order", "order": id, "client": "c-1"});
        let process = process(1, "order-processor", &message);
        assert_eq!(process.ids(), [id]);
    }
}
