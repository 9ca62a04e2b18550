//! The models answer as the emulators of the local stack do: the same operations, drawn from a seed, are tried at both.
//!
//! `DynamoDB` is the emulator itself. Five minutes and fourteen days are too long to wait for; those are tried at the
//! model alone. Where the emulator is known to differ from AWS, as with deleting a message whose handle has expired, the
//! model follows AWS, and that is not tried here.

#![cfg(feature = "crash-test")]
#![expect(clippy::expect_used, clippy::indexing_slicing, reason = "a test that cannot go on fails")]

use std::{
    collections::BTreeMap,
    fs, thread,
    time::{Duration, Instant},
};

use base64::{Engine, prelude::BASE64_STANDARD};
use crash_model::aws::{kms, sqs::Queues};
use rand::{Rng, SeedableRng, rngs::StdRng};
use serde_json::{Value, json};
use spelter_local::template::Template;
use tokio::runtime::{Builder, Runtime};

/// So many sequences of operations, each at queues of its own.
const SEQUENCES: u64 = 24;
/// So many operations each.
const OPERATIONS: usize = 30;
/// A queue's own time, in seconds.
const VISIBILITY: u64 = 3;
/// After so many receives a message is dead.
const MAX_RECEIVES: u32 = 3;
/// Nothing is asked for so shortly before a message comes back: nobody could say which came first.
const CLOSE: Duration = Duration::from_millis(300);

/// The emulators.
struct Emulators {
    runtime: Runtime,
    http: reqwest::Client,
    url: String,
}

impl Emulators {
    /// Of the running stack.
    fn new() -> Self {
        #[expect(clippy::disallowed_methods, reason = "the test runner says where the stack is")]
        let file = std::env::var("SPELTER_STACK").expect("run this with `cargo xtask test`");
        let text = fs::read_to_string(file).expect("the stack's description");
        let stack: Value = serde_json::from_str(&text).expect("JSON");
        let url = stack["aws_url"].as_str().expect("a URL").to_owned();
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
        let http = spelter::http::client::build(Duration::from_secs(10)).expect("a client");
        Self { runtime, http, url }
    }

    /// The status and the body of the answer to `target`.
    fn call(&self, target: &str, body: &Value) -> (u16, Value) {
        let request = self
            .http
            .post(&self.url)
            .header("x-amz-target", target)
            .header("content-type", "application/x-amz-json-1.0")
            .body(body.to_string());
        self.runtime.block_on(async {
            let response = request.send().await.expect("an answer");
            let status = response.status().as_u16();
            let text = response.text().await.expect("a body");
            (status, serde_json::from_str(&text).unwrap_or_default())
        })
    }

    fn done(&self, target: &str, body: &Value) -> Value {
        let (status, answer) = self.call(target, body);
        assert_eq!(status, 200, "{target}: {answer}");
        answer
    }
}

/// What happens to a queue.
#[derive(Debug, Clone, Copy)]
enum Operation {
    Send {
        group: u8,
        id: u8,
    },
    Receive,
    ReceiveDead,
    /// Of the message that was received last but so many.
    Delete(usize),
    SetVisibility(usize, u64),
    Wait(Duration),
}

fn operation(rng: &mut StdRng) -> Operation {
    match rng.random_range(0..20) {
        0..6 => Operation::Send { group: rng.random_range(0..3), id: rng.random_range(0..6) },
        6..12 => Operation::Receive,
        12..14 => Operation::Delete(rng.random_range(0..2)),
        14..16 => Operation::SetVisibility(rng.random_range(0..2), rng.random_range(0..5)),
        16 => Operation::ReceiveDead,
        _ => Operation::Wait(Duration::from_millis(rng.random_range(200..1_700))),
    }
}

/// The same queues at both places.
struct Both<'a> {
    emulators: &'a Emulators,
    /// Of the emulator: the queue and the one for its dead letters.
    urls: [String; 2],
    queues: Queues,
    /// Its time stands still but for what is asked of it.
    clock: Runtime,
    last: Instant,
    /// Of each message in flight: the handles, and until when they are good.
    received: Vec<([String; 2], Instant)>,
}

const QUEUE: &str = "jobs.fifo";
const DEAD: &str = "dead.fifo";

impl<'a> Both<'a> {
    fn new(emulators: &'a Emulators, number: u64) -> Self {
        let template = format!(
            "
Resources:
  Dead: {{Type: AWS::SQS::Queue, Properties: {{QueueName: {DEAD}, FifoQueue: true}}}}
  Jobs:
    Type: AWS::SQS::Queue
    Properties:
      QueueName: {QUEUE}
      FifoQueue: true
      VisibilityTimeout: {VISIBILITY}
      RedrivePolicy: {{deadLetterTargetArn: !GetAtt Dead.Arn, maxReceiveCount: {MAX_RECEIVES}}}
"
        );
        let template = Template::parse(&template, &BTreeMap::new()).expect("a template");
        let clock = Builder::new_current_thread().enable_time().start_paused(true).build();
        let unique = format!("model-{}-{number}", std::process::id());
        let create = |name: &str, more: &[(&str, String)]| {
            let mut attributes = json!({
                "FifoQueue": "true",
                "DeduplicationScope": "messageGroup",
                "FifoThroughputLimit": "perMessageGroupId",
            });
            for (name, value) in more {
                attributes[*name] = json!(value);
            }
            let request =
                json!({"QueueName": format!("{unique}-{name}"), "Attributes": attributes});
            let queue = emulators.done("AmazonSQS.CreateQueue", &request);
            queue["QueueUrl"].as_str().expect("a URL").to_owned()
        };
        let dead = create(DEAD, &[]);
        let asked = json!({"QueueUrl": dead, "AttributeNames": ["QueueArn"]});
        let arn = &emulators.done("AmazonSQS.GetQueueAttributes", &asked)["Attributes"]["QueueArn"];
        let redrive = json!({"deadLetterTargetArn": arn, "maxReceiveCount": MAX_RECEIVES});
        let queue = create(
            QUEUE,
            &[
                ("VisibilityTimeout", VISIBILITY.to_string()),
                ("RedrivePolicy", redrive.to_string()),
            ],
        );
        Self {
            emulators,
            urls: [queue, dead],
            queues: Queues::of(&template).expect("queues"),
            clock: clock.expect("a runtime"),
            last: Instant::now(),
            received: Vec::new(),
        }
    }

    /// Lets the model's clock show as much as the emulator's, once no message is about to come back.
    fn keep_time(&mut self) {
        loop {
            let elapsed = self.last.elapsed();
            self.last += elapsed;
            let next = self.clock.block_on(async {
                tokio::time::advance(elapsed).await;
                let now = tokio::time::Instant::now();
                self.queues.named(QUEUE).next_visible(now).map(|next| next - now)
            });
            match next {
                Some(next) if next < CLOSE => thread::sleep(next + CLOSE),
                _ => return,
            }
        }
    }

    fn at_model<T>(&mut self, act: impl FnOnce(&mut Queues) -> T) -> T {
        let queues = &mut self.queues;
        self.clock.block_on(async { act(queues) })
    }

    /// What the model answers to `operation`, which names the queue as the model does.
    fn ask_model(&mut self, operation: &str, request: &Value) -> (u16, Value) {
        let body = request.to_string();
        let answer = self.at_model(|queues| queues.answer(operation, body.as_bytes(), None));
        (answer.status, serde_json::from_str(&answer.body).unwrap_or_default())
    }

    /// What both answer.
    fn ask(&mut self, operation: &str, mut request: Value, each: [Value; 2]) -> [(u16, Value); 2] {
        let [for_model, for_emulator] = each;
        let with = |request: &mut Value, more: Value| {
            let more = more.as_object().cloned().unwrap_or_default();
            request.as_object_mut().expect("an object").extend(more);
        };
        let mut of_model = request.clone();
        with(&mut of_model, json!({"QueueUrl": format!("http://model/{QUEUE}")}));
        with(&mut of_model, for_model);
        with(&mut request, json!({"QueueUrl": self.urls[0]}));
        with(&mut request, for_emulator);
        let model = self.ask_model(operation, &of_model);
        [model, self.emulators.call(&format!("AmazonSQS.{operation}"), &request)]
    }

    fn do_both(&mut self, operation: Operation, sent: &mut BTreeMap<(u8, u8), [Value; 2]>) {
        self.keep_time();
        match operation {
            Operation::Send { group, id } => {
                let request = json!({
                    "MessageGroupId": format!("group-{group}"),
                    "MessageDeduplicationId": format!("id-{id}"),
                    "MessageBody": format!("{group}/{id}/{}", sent.len()),
                });
                let answers = self.ask("SendMessage", request, [json!({}), json!({})]);
                assert_eq!(answers.clone().map(|(status, _)| status), [200, 200]);
                let ids = answers.map(|(_, answer)| answer["MessageId"].clone());
                let first = sent.entry((group, id)).or_insert_with(|| ids.clone());
                assert_eq!(*first, ids, "an id that comes again is the first message's");
            }
            Operation::Receive => self.receive(QUEUE, 0),
            Operation::ReceiveDead => self.receive(DEAD, 1),
            Operation::Delete(back) => {
                let Some(([model, emulator], until)) = self.taken(back) else { return };
                if until > Instant::now() {
                    self.at_model(|queues| queues.named(QUEUE).delete(&model));
                    let request = json!({"QueueUrl": self.urls[0], "ReceiptHandle": emulator});
                    self.emulators.done("AmazonSQS.DeleteMessage", &request);
                }
            }
            Operation::SetVisibility(back, seconds) => {
                let Some(([model, emulator], until)) = self.taken(back) else { return };
                if until < Instant::now() {
                    return;
                }
                let request = json!({"VisibilityTimeout": seconds});
                let handles = [model, emulator];
                let each = handles.clone().map(|handle| json!({"ReceiptHandle": handle}));
                let answers = self.ask("ChangeMessageVisibility", request, each);
                assert_eq!(answers.map(|(status, _)| status), [200, 200]);
                if seconds > 0 {
                    let until = Instant::now() + Duration::from_secs(seconds);
                    self.received.push((handles, until));
                }
            }
            Operation::Wait(time) => thread::sleep(time),
        }
    }

    /// The handles of the message that was received last but `back`, which is then nobody's.
    fn taken(&mut self, back: usize) -> Option<([String; 2], Instant)> {
        let place = self.received.len().checked_sub(back + 1)?;
        Some(self.received.remove(place))
    }

    fn receive(&mut self, name: &str, which: usize) {
        let model = self.at_model(|queues| queues.receive(name, 1)).pop();
        let request = json!({
            "QueueUrl": self.urls[which],
            "MaxNumberOfMessages": 1,
            "WaitTimeSeconds": 0,
            "VisibilityTimeout": if which == 0 { VISIBILITY } else { 30 },
            "AttributeNames": ["ApproximateReceiveCount"],
        });
        let answer = self.emulators.done("AmazonSQS.ReceiveMessage", &request);
        let emulator = answer["Messages"].as_array().and_then(|found| found.first().cloned());
        let said = emulator.as_ref().map(|message| message["Body"].as_str().unwrap_or_default());
        assert_eq!(model.as_ref().map(|message| &*message.body), said, "what {name} brings");
        let (Some(model), Some(emulator)) = (model, emulator) else { return };
        let handle = emulator["ReceiptHandle"].as_str().expect("a handle").to_owned();
        if which == 0 {
            let count = &emulator["Attributes"]["ApproximateReceiveCount"];
            assert_eq!(*count, json!(model.receives.to_string()));
            let until = Instant::now() + Duration::from_secs(VISIBILITY);
            self.received.push(([model.receipt, handle], until));
        }
    }
}

#[test]
fn queues_do_the_same_whatever_is_asked_of_them() {
    thread::scope(|scope| {
        let sequence = |number| {
            let emulators = Emulators::new();
            let mut rng = StdRng::seed_from_u64(number);
            let mut both = Both::new(&emulators, number);
            let mut sent = BTreeMap::new();
            let mut done = Vec::new();
            for _ in 0..OPERATIONS {
                let operation = operation(&mut rng);
                done.push(operation);
                let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                    both.do_both(operation, &mut sent);
                }));
                assert!(result.is_ok(), "sequence {number} differs after {done:?}");
            }
        };
        let threads: Vec<_> =
            (0..SEQUENCES).map(|number| scope.spawn(move || sequence(number))).collect();
        let differing = threads.into_iter().filter_map(|thread| thread.join().err()).count();
        assert_eq!(differing, 0, "sequences differ");
    });
}

/// Asks one place to do an operation.
type Ask<'a> = &'a dyn Fn(&str, &Value) -> (u16, Value);

#[test]
fn a_secret_opens_with_its_own_context_only() {
    let emulators = Emulators::new();
    let key = emulators.done("TrentService.CreateKey", &json!({}));
    let key = &key["KeyMetadata"]["KeyId"];
    let context = |client: &str| json!({"client": client, "purpose": "login"});
    let at_model = |operation: &str, request: &Value| {
        let answer = kms::answer(operation, request.to_string().as_bytes());
        let body: Value = serde_json::from_str(&answer.body).expect("JSON");
        (answer.status, body)
    };
    let at_emulator = |operation: &str, request: &Value| {
        emulators.call(&format!("TrentService.{operation}"), request)
    };
    let story = |ask: Ask<'_>| {
        let plain = BASE64_STANDARD.encode("a secret");
        let sealed = ask(
            "Encrypt",
            &json!({"KeyId": key, "Plaintext": plain, "EncryptionContext": context("one")}),
        );
        let open = |client: &str| {
            let blob = &sealed.1["CiphertextBlob"];
            ask(
                "Decrypt",
                &json!({"KeyId": key, "CiphertextBlob": blob, "EncryptionContext": context(client)}),
            )
        };
        let (own, others) = (open("one"), open("two"));
        let kind = others.1["__type"].as_str().unwrap_or_default();
        let kind = kind.rsplit('#').next().unwrap_or_default().to_owned();
        (sealed.0, own.0, own.1["Plaintext"].clone(), others.0, kind)
    };
    assert_eq!(story(&at_model), story(&at_emulator));
}
