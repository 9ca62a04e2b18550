//! The shell of every queue function: one message at a time, in order, and none is ever dropped here.

use std::{
    collections::HashSet,
    fmt::Display,
    future::Future,
    time::{Duration, Instant},
};

use aws_lambda_events::sqs::{SqsBatchResponse, SqsEvent, SqsMessage};
use jiff::Timestamp;
use lambda_runtime::{LambdaEvent, service_fn};
use serde::de::DeserializeOwned;

use crate::{
    aws::calls,
    error::{BoxError, chain},
    telemetry::millis_since,
};

/// What one queue function does with a message.
pub trait Job: Send + Sync {
    /// What the messages say. As text, for the log, they name what is to be done by ids only.
    type Message: DeserializeOwned + Display + Send;

    /// Does it. Every job may run twice, out of date, or after a crash half-way. An error leaves the message to its
    /// visibility timeout, and in the end to the dead-letter queue.
    fn run(
        &self,
        received: Received<Self::Message>,
    ) -> impl Future<Output = Result<Outcome, BoxError>> + Send;

    /// Has the message behind `receipt_handle` come back after `wait`.
    fn postpone(
        &self,
        receipt_handle: &str,
        wait: Duration,
    ) -> impl Future<Output = Result<(), BoxError>> + Send;
}

/// A message and the invocation it came with.
#[derive(Debug)]
pub struct Received<M> {
    /// What it says.
    pub message: M,
    /// When this invocation is over.
    pub deadline: Timestamp,
    /// What gives the message back: it is good until the message is received again.
    pub receipt_handle: String,
    /// How often it was received, this time included.
    pub receive_count: u32,
}

/// What became of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It may be deleted.
    Done,
    /// It shall come back, and the rest of its group waits behind it.
    Later(Duration),
    /// The job has seen to when it comes back itself, and somebody may wake it before. Its group waits behind it, too.
    Parked,
}

impl Outcome {
    /// What becomes of a message that asked for two things.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Done, outcome) | (outcome, Self::Done) => outcome,
            (Self::Later(one), Self::Later(other)) => Self::Later(one.min(other)),
            (Self::Later(wait), Self::Parked) | (Self::Parked, Self::Later(wait)) => {
                Self::Later(wait)
            }
            (Self::Parked, Self::Parked) => Self::Parked,
        }
    }
}

/// Runs `job` as a Lambda function behind a queue.
pub async fn serve<J: Job>(job: J) -> Result<(), lambda_runtime::Error> {
    let job = &job;
    lambda_runtime::run(service_fn(move |event: LambdaEvent<SqsEvent>| async move {
        let deadline = i64::try_from(event.context.deadline).unwrap_or(i64::MAX);
        let deadline = Timestamp::from_millisecond(deadline).unwrap_or(Timestamp::MAX);
        drain(job, event.payload, deadline).await
    }))
    .await
}

/// Does the messages of `batch` by `deadline`, and answers which of them are to come back.
///
/// After a failure the later messages of the same group go back unread, so no job is overtaken; other groups carry
/// on. A message that keeps failing, readable or not, ends in the dead-letter queue.
pub async fn drain<J: Job>(
    job: &J,
    batch: SqsEvent,
    deadline: Timestamp,
) -> Result<SqsBatchResponse, BoxError> {
    let mut response = SqsBatchResponse::default();
    let mut stalled = HashSet::new();
    for message in batch.records {
        // An empty id in the response would return the whole batch, so refuse to guess one.
        let id = message.message_id.clone().ok_or("SQS message without an id")?;
        let group = message.attributes.get("MessageGroupId").cloned();
        if group.as_ref().is_some_and(|group| stalled.contains(group)) {
            response.add_failure(id);
            continue;
        }
        match run_one(job, &message, deadline).await {
            Ok(Outcome::Done) => {}
            Ok(Outcome::Later(_) | Outcome::Parked) => {
                response.add_failure(id);
                stalled.extend(group);
            }
            Err(error) => {
                tracing::error!(message.id = id, error = chain(&*error), "message {id} failed");
                response.add_failure(id);
                stalled.extend(group);
            }
        }
    }
    Ok(response)
}

async fn run_one<J: Job>(
    job: &J,
    message: &SqsMessage,
    deadline: Timestamp,
) -> Result<Outcome, BoxError> {
    let started = Instant::now();
    let body = message.body.as_deref().ok_or("SQS message without a body")?;
    let receipt_handle =
        message.receipt_handle.clone().ok_or("SQS message without a receipt handle")?;
    let receive_count = message.attributes.get("ApproximateReceiveCount");
    let receive_count = receive_count.and_then(|count| count.parse().ok()).unwrap_or(1);
    let message_id = message.message_id.as_deref();
    let message = serde_json::from_str::<J::Message>(body)?;
    let what = message.to_string();
    let received = Received { message, deadline, receipt_handle, receive_count };
    // Boxed: a job is a deep tree of futures, too deep for the compiler to lay out in one piece.
    let outcome = Box::pin(run_or_postpone(job, received)).await;
    let became = match &outcome {
        Ok(Outcome::Done) => "is done",
        Ok(Outcome::Later(_)) => "comes back",
        Ok(Outcome::Parked) => "waits",
        Err(_) => "failed",
    };
    tracing::info!(
        message.id = message_id,
        duration_ms = millis_since(started),
        aws.calls = calls::take(),
        "{what} {became}"
    );
    outcome
}

async fn run_or_postpone<J: Job>(
    job: &J,
    received: Received<J::Message>,
) -> Result<Outcome, BoxError> {
    let receipt_handle = received.receipt_handle.clone();
    let outcome = job.run(received).await?;
    if let Outcome::Later(wait) = outcome {
        job.postpone(&receipt_handle, wait).await?;
    }
    Ok(outcome)
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use serde_json::json;

    use super::*;

    #[derive(Default)]
    struct Recorder {
        ran: Mutex<Vec<String>>,
        postponed: Mutex<Vec<String>>,
        receive_counts: Mutex<Vec<u32>>,
    }

    impl Job for Recorder {
        type Message = String;

        async fn run(&self, received: Received<String>) -> Result<Outcome, BoxError> {
            self.ran.lock().unwrap().push(received.message.clone());
            self.receive_counts.lock().unwrap().push(received.receive_count);
            match received.message.as_str() {
                "fail" => Err("no".into()),
                "later" => Ok(Outcome::Later(Duration::from_secs(1))),
                "park" => Ok(Outcome::Parked),
                _ => Ok(Outcome::Done),
            }
        }

        async fn postpone(&self, receipt_handle: &str, _: Duration) -> Result<(), BoxError> {
            self.postponed.lock().unwrap().push(receipt_handle.to_owned());
            Ok(())
        }
    }

    async fn failures(recorder: &Recorder, messages: &[(&str, &str, &str)]) -> Vec<String> {
        let records: Vec<_> = messages
            .iter()
            .map(|(id, group, body)| {
                json!({
                    "messageId": id,
                    "receiptHandle": format!("handle-{id}"),
                    "body": body,
                    "attributes": {"MessageGroupId": group, "ApproximateReceiveCount": "7"},
                })
            })
            .collect();
        let batch = serde_json::from_value(json!({"Records": records})).unwrap();
        let response = drain(recorder, batch, Timestamp::MAX).await.unwrap();
        response.batch_item_failures.into_iter().map(|failure| failure.item_identifier).collect()
    }

    #[tokio::test]
    async fn a_failure_stalls_its_own_group_only() {
        let recorder = Recorder::default();
        let batch = [
            ("1", "a", "\"ok\""),
            ("2", "a", "\"fail\""),
            ("3", "a", "\"ok\""),
            ("4", "b", "\"ok\""),
        ];
        assert_eq!(failures(&recorder, &batch).await, ["2", "3"]);
        assert_eq!(*recorder.ran.lock().unwrap(), ["ok", "fail", "ok"]);
        assert_eq!(*recorder.receive_counts.lock().unwrap(), [7, 7, 7]);
    }

    #[tokio::test]
    async fn a_postponed_message_comes_back_and_holds_its_group() {
        let recorder = Recorder::default();
        let batch = [("1", "a", "\"later\""), ("2", "a", "\"ok\"")];
        assert_eq!(failures(&recorder, &batch).await, ["1", "2"]);
        assert_eq!(*recorder.postponed.lock().unwrap(), ["handle-1"]);
    }

    #[tokio::test]
    async fn a_parked_message_holds_its_group_and_is_not_postponed_again() {
        let recorder = Recorder::default();
        let batch = [("1", "a", "\"park\""), ("2", "a", "\"ok\"")];
        assert_eq!(failures(&recorder, &batch).await, ["1", "2"]);
        assert!(recorder.postponed.lock().unwrap().is_empty());
    }

    #[test]
    fn of_two_wishes_the_sooner_one_counts() {
        let (soon, late) = (Duration::from_secs(1), Duration::from_secs(2));
        assert_eq!(Outcome::Later(late).and(Outcome::Later(soon)), Outcome::Later(soon));
        assert_eq!(Outcome::Done.and(Outcome::Parked), Outcome::Parked);
        assert_eq!(Outcome::Parked.and(Outcome::Later(late)), Outcome::Later(late));
    }

    #[tokio::test]
    async fn an_unreadable_message_is_not_dropped() {
        assert_eq!(failures(&Recorder::default(), &[("1", "a", "not json")]).await, ["1"]);
    }
}
