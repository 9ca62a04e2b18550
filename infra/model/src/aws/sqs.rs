//! SQS, with FIFO queues as AWS documents them: groups, deduplication for five minutes, visibility, receive counts, dead
//! letters, 14 days.
//!
//! <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/FIFO-queues-understanding-logic.html>

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
};

use serde_json::{Value, json};
use spelter::backlog::wait_after;
use spelter_local::template::Template;
use tokio::{
    sync::Notify,
    time::{Duration, Instant},
};

use super::Answer;
use crate::faults::Fault;

/// A FIFO queue drops what has the id of a message that was sent less than this before.
const DEDUPLICATION: Duration = Duration::from_mins(5);
/// A FIFO queue looks for groups among so many messages only.
/// <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html>
pub const WINDOW: usize = 120_000;

/// A job's message that was lost is sent again by the first sweep after it is due, unless that is struck itself. A sweep
/// may have begun before.
const SWEEPS_TO_SEND_AGAIN: usize = 3;

/// What the template's queue of jobs is called.
pub const JOBS: &str = "spelter-prod-jobs.fifo";
/// And where those go that nobody could do.
pub const DEAD: &str = "spelter-prod-jobs-dead.fifo";

/// All queues.
#[derive(Clone, Default)]
pub struct Queues {
    by_name: BTreeMap<String, Queue>,
    /// When the sweeper did all that was due.
    pub swept_at: Vec<Instant>,
}

/// One queue.
#[derive(Clone)]
pub struct Queue {
    is_fifo: bool,
    visibility: Duration,
    retention: Duration,
    /// Where a message goes that was received so often.
    redrive: Option<(String, u32)>,
    /// In the order in which they were sent.
    messages: BTreeMap<u64, Message>,
    sent: HashMap<(String, String), (Instant, String)>,
    next: u64,
    /// It looks for groups among so many messages.
    pub window: usize,
    /// The most messages of one group that it held at a time.
    pub deepest: usize,
    /// It forgets so many of the next messages.
    pub loses: usize,
    /// Messages that the queue forgot, and when the next one of the same job is due.
    forgotten: HashMap<String, Instant>,
    /// Messages that were sent again too late.
    pub late: Vec<String>,
    /// Told of everything that may make a message visible.
    pub changed: Arc<Notify>,
}

/// A message in a queue.
#[derive(Clone)]
pub struct Message {
    /// As `SendMessage` answered.
    pub id: String,
    /// What it says.
    pub body: String,
    /// Whose turn it is; none in a standard queue.
    pub group: Option<String>,
    /// The newest receipt handle.
    pub receipt: String,
    /// How often it was received.
    pub receives: u32,
    visible_at: Instant,
    expires_at: Instant,
}

/// A template's `arn:aws:sqs:region:account:name`.
fn name_of(arn: &str) -> String {
    arn.rsplit([':', '/']).next().unwrap_or_default().to_owned()
}

impl Queues {
    /// The template's queues, empty.
    pub fn of(template: &Template) -> anyhow::Result<Self> {
        let mut queues = BTreeMap::new();
        for queue in template.queues()? {
            let attribute = |name: &str| queue.attributes.get(name).map(String::as_str);
            let seconds = |name: &str, default: u64| {
                let text = attribute(name).and_then(|text| text.parse().ok());
                Duration::from_secs(text.unwrap_or(default))
            };
            let redrive = attribute("RedrivePolicy").and_then(|text| {
                let policy: Value = serde_json::from_str(text).ok()?;
                let count = &policy["maxReceiveCount"];
                let count = count.as_u64().or_else(|| count.as_str()?.parse().ok())?;
                Some((name_of(policy["deadLetterTargetArn"].as_str()?), u32::try_from(count).ok()?))
            });
            queues.insert(
                queue.name.clone(),
                Queue {
                    is_fifo: attribute("FifoQueue") == Some("true"),
                    visibility: seconds("VisibilityTimeout", 30),
                    retention: seconds("MessageRetentionPeriod", 345_600),
                    redrive,
                    messages: BTreeMap::new(),
                    sent: HashMap::new(),
                    next: 0,
                    window: WINDOW,
                    deepest: 0,
                    loses: 0,
                    forgotten: HashMap::new(),
                    late: Vec::new(),
                    changed: Arc::new(Notify::new()),
                },
            );
        }
        Ok(Self { by_name: queues, swept_at: Vec::new() })
    }

    /// The queue of this name.
    pub fn named(&mut self, name: &str) -> &mut Queue {
        self.by_name.get_mut(name).expect("a queue of the template")
    }

    /// Whether there are messages anywhere.
    pub fn are_empty(&self) -> bool {
        self.by_name.values().all(|queue| queue.messages.is_empty())
    }

    /// The messages there are anywhere.
    pub fn left(&self) -> Vec<String> {
        let of = |(name, queue): (&String, &Queue)| {
            let message = |one: &Message| format!("{} is in {name}", one.body);
            queue.messages.values().map(message).collect::<Vec<_>>()
        };
        self.by_name.iter().flat_map(of).collect()
    }

    /// Messages of jobs that were sent again too late.
    pub fn late(&self) -> Vec<String> {
        let jobs = self.by_name.iter().filter(|(name, _)| name.ends_with("jobs.fifo"));
        jobs.flat_map(|(_, queue)| queue.late.clone()).collect()
    }

    /// What the messages of jobs say.
    pub fn jobs(&mut self) -> Vec<String> {
        self.named(JOBS).messages.values().map(|message| message.body.clone()).collect()
    }

    /// Makes the job that says `body` a dead letter, wherever it is: whoever works on it cannot give it back any more.
    pub fn bury(&mut self, body: &str) {
        let jobs = self.named(JOBS);
        let found = jobs.messages.iter().find(|(_, message)| message.body == body);
        let Some(place) = found.map(|(place, _)| *place) else { return };
        if let Some(message) = jobs.messages.remove(&place) {
            jobs.changed.notify_waiters();
            let visible_at = Instant::now();
            self.named(DEAD).insert(Message { receives: 0, visible_at, ..message });
        }
    }

    /// Does `operation`.
    pub fn answer(&mut self, operation: &str, body: &[u8], fault: Option<Fault>) -> Answer {
        let request: Value = serde_json::from_slice(body).expect("JSON");
        let name = name_of(request["QueueUrl"].as_str().unwrap_or_default());
        let queue = self.by_name.get_mut(&name).expect("a queue of the template");
        match operation {
            "SendMessage" => queue.send(&request, fault == Some(Fault::Forgotten), &self.swept_at),
            "ChangeMessageVisibility" => queue.change(&request),
            other => Answer::error(400, "UnsupportedOperation", other),
        }
    }

    /// Takes up to `count` messages that are visible, as a receiver does; what was received too often goes to the queue of
    /// dead letters first.
    pub fn receive(&mut self, name: &str, count: usize) -> Vec<Message> {
        let now = Instant::now();
        let (received, dead) = self.named(name).receive(count, now);
        for (target, message) in dead {
            let target = self.named(&target);
            target.insert(Message { receives: 0, visible_at: now, ..message });
        }
        received
    }
}

impl Queue {
    fn send(&mut self, request: &Value, is_forgotten: bool, swept_at: &[Instant]) -> Answer {
        let text = |name: &str| request[name].as_str().map(str::to_owned);
        let now = Instant::now();
        let id = format!("message-{}", self.next);
        let group = text("MessageGroupId");
        if self.is_fifo {
            let (Some(group), Some(dedup)) = (group.clone(), text("MessageDeduplicationId")) else {
                return Answer::error(400, "MissingParameter", "a group and an id");
            };
            if let Some((at, id)) = self.sent.get(&(group.clone(), dedup.clone()))
                && now - *at < DEDUPLICATION
            {
                return Answer::ok(json!({"MessageId": id}).to_string());
            }
            self.sent.insert((group, dedup), (now, id.clone()));
        }
        let delay = Duration::from_secs(request["DelaySeconds"].as_u64().unwrap_or_default());
        let body = text("MessageBody").unwrap_or_default();
        if self.loses > 0 {
            self.loses -= 1;
            return Answer::ok(json!({"MessageId": id}).to_string());
        }
        if is_forgotten {
            let dedup = text("MessageDeduplicationId").unwrap_or_default();
            let count = dedup.rsplit('-').next().and_then(|count| count.parse().ok());
            self.forgotten.insert(body, now + wait_after(count.unwrap_or_default()));
        } else {
            if let Some(due_at) = self.forgotten.remove(&body) {
                let sweeps = swept_at.iter().rev().take_while(|at| **at > due_at).count();
                if sweeps > SWEEPS_TO_SEND_AGAIN {
                    self.late.push(format!("{body} was sent again after {sweeps} sweeps"));
                }
            }
            self.insert(Message {
                id: id.clone(),
                body,
                group,
                receipt: String::new(),
                receives: 0,
                visible_at: now + delay,
                expires_at: now + self.retention,
            });
        }
        Answer::ok(json!({"MessageId": id}).to_string())
    }

    fn insert(&mut self, message: Message) {
        let of_its_group = self.messages.values().filter(|other| other.group == message.group);
        self.deepest = self.deepest.max(1 + of_its_group.count());
        self.messages.insert(self.next, message);
        self.next += 1;
        self.changed.notify_waiters();
    }

    fn receive(&mut self, count: usize, now: Instant) -> (Vec<Message>, Vec<(String, Message)>) {
        self.messages.retain(|_, message| message.expires_at > now);
        let (mut received, mut dead) = (Vec::new(), Vec::new());
        let mut busy = HashSet::new();
        let mut dead_places = Vec::new();
        for (place, message) in self.messages.iter_mut().take(self.window) {
            if received.len() >= count {
                break;
            }
            if message.group.as_ref().is_some_and(|group| busy.contains(group)) {
                continue;
            }
            if message.visible_at > now {
                busy.extend(message.group.clone());
                continue;
            }
            if let Some((target, most)) = &self.redrive
                && message.receives >= *most
            {
                dead.push((target.clone(), message.clone()));
                dead_places.push(*place);
                continue;
            }
            message.receives += 1;
            message.receipt = format!("{place}-{}", message.receives);
            message.visible_at = now + self.visibility;
            received.push(message.clone());
            // More of the same group may come in the same batch, in order; one at a time is what is asked for here.
            busy.extend(message.group.clone());
        }
        for place in dead_places {
            self.messages.remove(&place);
        }
        (received, dead)
    }

    /// The message with this handle, if the handle is still good: it is the newest, and its time has not run out.
    fn in_flight(&mut self, receipt: &str) -> Option<u64> {
        let (place, _) = receipt.split_once('-')?;
        let place = place.parse().ok()?;
        let message = self.messages.get(&place)?;
        let is_good = message.receipt == receipt && message.visible_at > Instant::now();
        is_good.then_some(place)
    }

    fn change(&mut self, request: &Value) -> Answer {
        let receipt = request["ReceiptHandle"].as_str().unwrap_or_default();
        let Some(place) = self.in_flight(receipt) else {
            return Answer::error(400, "InvalidParameterValue", "The receipt handle has expired.");
        };
        let wait = Duration::from_secs(request["VisibilityTimeout"].as_u64().unwrap_or_default());
        if let Some(message) = self.messages.get_mut(&place) {
            message.visible_at = Instant::now() + wait;
        }
        self.changed.notify_waiters();
        Answer::ok("{}")
    }

    /// Removes a message that was worked on, if its handle is still good.
    pub fn delete(&mut self, receipt: &str) {
        if let Some(place) = self.in_flight(receipt) {
            self.messages.remove(&place);
            self.changed.notify_waiters();
        }
    }

    /// When the next message becomes visible by itself.
    pub fn next_visible(&self, now: Instant) -> Option<Instant> {
        self.messages.values().map(|message| message.visible_at).filter(|at| *at > now).min()
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    const DAY: Duration = Duration::from_hours(24);

    /// `dead.fifo`, `jobs.fifo` with 30 seconds of visibility and three receives, and `retries`.
    fn queues() -> Queues {
        let template = "
Resources:
  Dead: {Type: AWS::SQS::Queue, Properties: {QueueName: dead.fifo, FifoQueue: true}}
  Jobs:
    Type: AWS::SQS::Queue
    Properties:
      QueueName: jobs.fifo
      FifoQueue: true
      VisibilityTimeout: 30
      MessageRetentionPeriod: 1209600
      RedrivePolicy: {deadLetterTargetArn: !GetAtt Dead.Arn, maxReceiveCount: 3}
  Retries: {Type: AWS::SQS::Queue, Properties: {QueueName: retries}}
";
        Queues::of(&Template::parse(template, &BTreeMap::new()).unwrap()).unwrap()
    }

    fn send(queues: &mut Queues, group: &str, dedup: &str) -> String {
        let request = json!({
            "QueueUrl": "http://sqs/1/jobs.fifo",
            "MessageBody": format!("{group}{dedup}"),
            "MessageGroupId": group,
            "MessageDeduplicationId": dedup,
        });
        let answer = queues.answer("SendMessage", request.to_string().as_bytes(), None);
        serde_json::from_str::<Value>(&answer.body).unwrap()["MessageId"]
            .as_str()
            .unwrap()
            .to_owned()
    }

    fn received(queues: &mut Queues) -> Vec<String> {
        queues.receive("jobs.fifo", 10).into_iter().map(|message| message.body).collect()
    }

    fn set_visibility(queues: &mut Queues, receipt: &str, seconds: u64) -> u16 {
        let request = json!({
            "QueueUrl": "http://sqs/1/jobs.fifo",
            "ReceiptHandle": receipt,
            "VisibilityTimeout": seconds,
        });
        queues.answer("ChangeMessageVisibility", request.to_string().as_bytes(), None).status
    }

    #[tokio::test(start_paused = true)]
    async fn a_group_has_one_message_in_flight_and_others_do_not_wait() {
        let mut queues = queues();
        for (group, dedup) in [("a", "1"), ("a", "2"), ("b", "1")] {
            send(&mut queues, group, dedup);
        }
        let first = queues.receive("jobs.fifo", 10);
        assert_eq!(first.iter().map(|one| one.body.as_str()).collect::<Vec<_>>(), ["a1", "b1"]);
        assert_eq!(received(&mut queues), [""; 0]);
        queues.named("jobs.fifo").delete(&first[0].receipt);
        assert_eq!(received(&mut queues), ["a2"]);
    }

    #[tokio::test(start_paused = true)]
    async fn an_id_counts_once_in_five_minutes_even_if_its_message_is_gone() {
        let mut queues = queues();
        let id = send(&mut queues, "a", "1");
        let message = queues.receive("jobs.fifo", 1).remove(0);
        queues.named("jobs.fifo").delete(&message.receipt);
        advance(Duration::from_secs(299)).await;
        assert_eq!(send(&mut queues, "a", "1"), id);
        assert_eq!(received(&mut queues), [""; 0]);
        advance(Duration::from_secs(1)).await;
        send(&mut queues, "a", "1");
        assert_eq!(received(&mut queues), ["a1"]);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_not_deleted_comes_back_and_its_old_handle_is_worth_nothing() {
        let mut queues = queues();
        send(&mut queues, "a", "1");
        let message = queues.receive("jobs.fifo", 1).remove(0);
        assert_eq!(set_visibility(&mut queues, &message.receipt, 60), 200);
        advance(Duration::from_secs(59)).await;
        assert_eq!(received(&mut queues), [""; 0]);
        advance(Duration::from_secs(1)).await;
        assert_eq!(set_visibility(&mut queues, &message.receipt, 0), 400);
        assert_eq!(received(&mut queues), ["a1"]);
        queues.named("jobs.fifo").delete(&message.receipt);
        advance(Duration::from_secs(30)).await;
        assert_eq!(received(&mut queues), ["a1"]);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_received_too_often_goes_to_the_dead_letters() {
        let mut queues = queues();
        send(&mut queues, "a", "1");
        for _ in 0..3 {
            assert_eq!(received(&mut queues), ["a1"]);
            advance(Duration::from_secs(30)).await;
        }
        assert_eq!(received(&mut queues), [""; 0]);
        assert_eq!(queues.receive("dead.fifo", 1)[0].body, "a1");
    }

    #[tokio::test(start_paused = true)]
    async fn a_job_that_is_buried_cannot_be_given_back() {
        let template = format!(
            "Resources: {{Dead: {{Type: AWS::SQS::Queue, Properties: {{QueueName: {DEAD}}}}}, \
             Jobs: {{Type: AWS::SQS::Queue, Properties: {{QueueName: {JOBS}}}}}}}"
        );
        let template = Template::parse(&template, &BTreeMap::new()).unwrap();
        let mut queues = Queues::of(&template).unwrap();
        let request = json!({"QueueUrl": format!("http://sqs/1/{JOBS}"), "MessageBody": "job"});
        queues.answer("SendMessage", request.to_string().as_bytes(), None);
        let message = queues.receive(JOBS, 1).remove(0);
        assert_eq!(queues.jobs(), ["job"]);
        queues.bury("job");
        assert!(queues.jobs().is_empty());
        let request = json!({
            "QueueUrl": format!("http://sqs/1/{JOBS}"),
            "ReceiptHandle": message.receipt,
            "VisibilityTimeout": 0,
        });
        let request = request.to_string();
        let given_back = queues.answer("ChangeMessageVisibility", request.as_bytes(), None);
        assert_eq!(given_back.status, 400);
        assert_eq!(queues.receive(DEAD, 1)[0].body, "job");
    }

    #[tokio::test(start_paused = true)]
    async fn what_nobody_takes_is_gone_after_its_time() {
        let mut queues = queues();
        send(&mut queues, "a", "1");
        advance(DAY * 14).await;
        assert_eq!(received(&mut queues), [""; 0]);
        assert_eq!(queues.left(), [""; 0]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_delay_is_waited_for() {
        let mut queues = queues();
        let request =
            json!({"QueueUrl": "http://sqs/1/retries", "MessageBody": "r", "DelaySeconds": 5});
        queues.answer("SendMessage", request.to_string().as_bytes(), None);
        assert!(queues.receive("retries", 1).is_empty());
        advance(Duration::from_secs(5)).await;
        assert_eq!(queues.receive("retries", 1)[0].body, "r");
    }
}
