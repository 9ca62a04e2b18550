//! The Lambda service: functions, their execution environments, and who may invoke them.
//!
//! An environment serves one invocation at a time; a function has as many as it needs, made on
//! demand, reused most recently used first, and ended after some idle minutes.

mod environment;
mod invoke_api;
mod runtime_api;

pub use invoke_api::router;

use crate::{
    aws::{Aws, AwsError, Service},
    clock,
    logs::Logs,
    model::Function,
};
use axum::body::Bytes;
use environment::{Environment, Served};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    num::NonZero,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::AtomicU64},
    time::Duration,
};
use tokio::{
    sync::{Notify, Semaphore, oneshot, watch},
    time::{Instant, sleep, sleep_until},
};
use uuid::Uuid;

/// Most environments of one function; further invocations wait.
const ENVIRONMENTS_PER_FUNCTION: usize = 80;
/// How long an environment may be idle. Lambda takes minutes too, and does not say how many.
const IDLE_LIMIT: Duration = Duration::from_mins(10);
/// Largest request and answer of a synchronous invocation, as Lambda counts it.
pub const PAYLOAD_LIMIT: usize = 6 * 1024 * 1024 + 100;
/// When a failed asynchronous invocation is tried again. Lambda waits one and two minutes; here nobody has that long.
const RETRIES_AFTER: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(2)];
/// Longest wait before a function that fails to start is started again.
const BACKOFF_LIMIT: Duration = Duration::from_secs(10);

/// What a function answered.
pub type Answer = Result<Bytes, FunctionError>;

/// A function's failure, in Lambda's words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{payload}")]
pub struct FunctionError {
    /// What the invoker gets: `errorType` and `errorMessage`.
    pub payload: Value,
}

impl FunctionError {
    fn new(kind: &str, message: impl Into<String>) -> Self {
        Self { payload: json!({ "errorType": kind, "errorMessage": message.into() }) }
    }
}

/// What the functions run with.
#[derive(Debug, Clone)]
pub struct Surroundings {
    /// The directory of the bootstrap binaries.
    pub binaries: PathBuf,
    /// URL of the emulator of SQS, KMS and S3.
    pub aws_url: String,
    /// URL of `DynamoDB`.
    pub dynamodb_url: String,
    /// URL of SES.
    pub ses_url: String,
}

/// All functions.
pub struct Lambdas {
    pools: BTreeMap<String, Arc<Pool>>,
    shared: Arc<Shared>,
    aws: Aws,
}

/// What all environments need.
struct Shared {
    surroundings: Surroundings,
    logs: Arc<Logs>,
    /// Becomes true when everything must end.
    ending: watch::Sender<bool>,
    registry: Mutex<BTreeMap<u64, View>>,
    /// Who may start a process now.
    starts: Semaphore,
    ids: AtomicU64,
}

/// An environment as `/_local/environments` shows it.
#[derive(Debug, Clone)]
struct View {
    function: String,
    pid: Option<i32>,
    state: State,
    request_id: Option<String>,
    /// What the queue messages say that it works on.
    messages: Vec<String>,
    /// How long its process may go on after the deadline of this invocation.
    overtime: Duration,
}

/// What an environment is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Starting,
    Idle,
    Busy,
    /// Its invocation is over, and its process goes on.
    Overtime,
}

impl State {
    fn word(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Idle => "idle",
            Self::Busy => "busy",
            Self::Overtime => "overtime",
        }
    }
}

impl Shared {
    fn registry(&self) -> MutexGuard<'_, BTreeMap<u64, View>> {
        self.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One invocation on its way.
struct Invocation {
    request_id: String,
    payload: Bytes,
    answer: oneshot::Sender<Answer>,
}

impl Lambdas {
    /// The given functions, none of them started; `aws` has the queues of those events that failed for good.
    pub fn new(
        functions: Vec<Function>,
        surroundings: Surroundings,
        aws: Aws,
        logs: Arc<Logs>,
    ) -> Self {
        let shared = Arc::new(Shared {
            surroundings,
            logs,
            ending: watch::Sender::new(false),
            registry: Mutex::default(),
            starts: Semaphore::new(starts_at_once()),
            ids: AtomicU64::new(1),
        });
        let pools = functions
            .into_iter()
            .map(|function| {
                (function.name.clone(), Arc::new(Pool::new(function, Arc::clone(&shared))))
            })
            .collect();
        Self { pools, shared, aws }
    }

    /// Invokes a function and waits for its answer. The invocation goes on if the caller leaves.
    pub async fn invoke(&self, function: &str, payload: Bytes) -> Answer {
        self.invoke_as(Uuid::new_v4().to_string(), function, payload).await
    }

    async fn invoke_as(&self, request_id: String, function: &str, payload: Bytes) -> Answer {
        let Some(pool) = self.pools.get(function) else {
            return Err(FunctionError::new("ResourceNotFound", format!("no function {function}")));
        };
        let (answer, answered) = oneshot::channel();
        let invocation = Invocation { request_id, payload, answer };
        tokio::spawn(Arc::clone(pool).run(invocation));
        answered.await.unwrap_or_else(|_| {
            Err(FunctionError::new("Runtime.ExitError", "the local stack is ending"))
        })
    }

    /// Invokes a function without waiting, and again if it fails, as Lambda does with events. One that fails for good
    /// goes to the function's queue of failures, if it has one.
    pub fn invoke_later(self: &Arc<Self>, function: &str, payload: Bytes) {
        let Some(function) = self.find(function).cloned() else {
            return;
        };
        tokio::spawn(Arc::clone(self).run_event(function, payload));
    }

    async fn run_event(self: Arc<Self>, function: Function, payload: Bytes) {
        let request_id = Uuid::new_v4().to_string();
        let retries = usize::try_from(function.retries).unwrap_or(usize::MAX);
        let mut waits = RETRIES_AFTER.into_iter().take(retries);
        let mut attempts = 0_u64;
        loop {
            attempts = attempts.saturating_add(1);
            let result = self.invoke_as(request_id.clone(), &function.name, payload.clone()).await;
            let Err(error) = result else {
                return;
            };
            if let Some(wait) = waits.next() {
                sleep(wait).await;
                continue;
            }
            let name = &function.name;
            self.shared.logs.say(&format!("{name}: an event was given up: {error}"));
            if let Some(queue_arn) = &function.failures {
                let event = failed_event(&function, &request_id, attempts, &payload, &error);
                if let Err(error) = self.send_failure(queue_arn, &event).await {
                    self.shared.logs.say(&format!("{name}: and nobody could be told: {error}"));
                }
            }
            return;
        }
    }

    async fn send_failure(&self, queue_arn: &str, event: &Value) -> Result<(), AwsError> {
        let url = crate::queues::url(&self.shared.surroundings.aws_url, queue_arn);
        let message = json!({ "QueueUrl": url, "MessageBody": event.to_string() });
        self.aws.call(Service::Sqs, "SendMessage", &message).await.map(|_| ())
    }

    /// The function of a name, logical id or ARN.
    pub fn find(&self, name: &str) -> Option<&Function> {
        let functions = self.pools.values().map(|pool| &*pool.function);
        functions.into_iter().find(|function| {
            function.name == name || function.logical_id == name || function.arn() == name
        })
    }

    /// All environments, for tests that look for workers to kill.
    fn environments(&self) -> Value {
        let registry = self.shared.registry();
        registry
            .values()
            .map(|view| {
                json!({
                    "function": view.function,
                    "pid": view.pid,
                    "state": view.state.word(),
                    "request_id": view.request_id,
                    "messages": view.messages,
                })
            })
            .collect()
    }

    /// Lets a process go on for so long after the deadline of the invocation it works on; false if it works on none.
    ///
    /// On AWS nobody can ask for that, but a worker that is frozen may thaw after its deadline and act before it is ended.
    /// Here this moment can be made as long as a test needs.
    fn allow_overtime(&self, pid: i32, overtime: Duration) -> bool {
        let mut registry = self.shared.registry();
        let works = |view: &&mut View| view.pid == Some(pid) && view.state == State::Busy;
        registry.values_mut().find(works).map(|view| view.overtime = overtime).is_some()
    }

    /// Ends environments that were idle too long, for as long as the task lives.
    pub async fn reap(self: Arc<Self>) {
        loop {
            sleep(Duration::from_mins(1)).await;
            for pool in self.pools.values() {
                pool.idle().retain(|idle| idle.since.elapsed() < IDLE_LIMIT);
            }
        }
    }

    /// Waits a little for running invocations, then ends every environment.
    pub async fn end(&self, grace: Duration) {
        let deadline = Instant::now() + grace;
        while Instant::now() < deadline && self.is_busy() {
            sleep(Duration::from_millis(20)).await;
        }
        self.shared.ending.send_replace(true);
        for pool in self.pools.values() {
            pool.idle().clear();
        }
        // Environments that serve somebody end themselves now; each takes a moment to be reaped.
        while Instant::now() < deadline + Duration::from_secs(2)
            && !self.shared.registry().is_empty()
        {
            sleep(Duration::from_millis(10)).await;
        }
    }

    fn is_busy(&self) -> bool {
        self.shared.registry().values().any(|view| view.state != State::Idle)
    }
}

/// The environments of one function.
struct Pool {
    function: Arc<Function>,
    shared: Arc<Shared>,
    permits: Semaphore,
    idle: Mutex<Vec<Idle>>,
    /// Tells who waits for an environment that one has become idle.
    freed: Notify,
    backoff: Mutex<Backoff>,
}

struct Idle {
    environment: Environment,
    since: Instant,
}

/// Keeps a function that crashes at start from being started without pause.
struct Backoff {
    failures: u32,
    until: Instant,
}

impl Pool {
    fn new(function: Function, shared: Arc<Shared>) -> Self {
        Self {
            function: Arc::new(function),
            shared,
            permits: Semaphore::new(ENVIRONMENTS_PER_FUNCTION),
            idle: Mutex::default(),
            freed: Notify::new(),
            backoff: Mutex::new(Backoff { failures: 0, until: Instant::now() }),
        }
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Idle>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn run(self: Arc<Self>, invocation: Invocation) {
        let mut ending = self.shared.ending.subscribe();
        tokio::select! {
            // Dropping the rest ends the environment it has.
            _ = ending.wait_for(|ending| *ending) => {}
            () = self.serve(invocation) => {}
        }
    }

    async fn serve(&self, mut invocation: Invocation) {
        let Ok(_permit) = self.permits.acquire().await else {
            return;
        };
        loop {
            let mut environment = match self.environment(&invocation.request_id).await {
                Ok(environment) => environment,
                Err(error) => {
                    let _ = invocation.answer.send(Err(error));
                    return;
                }
            };
            match environment.serve(invocation).await {
                Served::Ready => {
                    self.idle().push(Idle { environment, since: Instant::now() });
                    self.freed.notify_one();
                    return;
                }
                Served::Dead => return,
                // It died while idle: nobody ran the invocation, so another may.
                Served::Undelivered(undelivered) => invocation = undelivered,
            }
        }
    }

    /// An environment that waits for work: one that becomes free, or a new one, whichever is first.
    async fn environment(&self, request_id: &str) -> Result<Environment, FunctionError> {
        let until = self.backoff().until;
        sleep_until(until).await;
        loop {
            if let Some(environment) = self.take_idle() {
                return Ok(environment);
            }
            tokio::select! {
                () = self.freed.notified() => {}
                slot = self.shared.starts.acquire() => {
                    let (function, shared) = (Arc::clone(&self.function), Arc::clone(&self.shared));
                    let started = Environment::start(function, shared, request_id).await;
                    drop(slot);
                    self.count_start(started.is_ok());
                    return started;
                }
            }
        }
    }

    fn take_idle(&self) -> Option<Environment> {
        loop {
            let mut idle = self.idle().pop()?;
            if idle.environment.is_alive() {
                return Some(idle.environment);
            }
        }
    }

    fn backoff(&self) -> MutexGuard<'_, Backoff> {
        self.backoff.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count_start(&self, started: bool) {
        let mut backoff = self.backoff();
        if started {
            backoff.failures = 0;
            return;
        }
        backoff.failures = backoff.failures.saturating_add(1);
        let wait = Duration::from_millis(100).saturating_mul(1 << backoff.failures.min(10));
        backoff.until = Instant::now() + wait.min(BACKOFF_LIMIT);
    }
}

/// What Lambda tells a destination about an event that failed for good.
fn failed_event(
    function: &Function,
    request_id: &str,
    attempts: u64,
    payload: &[u8],
    error: &FunctionError,
) -> Value {
    json!({
        "version": "1.0",
        "timestamp": clock::now().strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string(),
        "requestContext": {
            "requestId": request_id,
            "functionArn": format!("{}:$LATEST", function.arn()),
            "condition": "RetriesExhausted",
            "approximateInvokeCount": attempts,
        },
        "requestPayload": serde_json::from_slice::<Value>(payload).unwrap_or_default(),
        "responseContext": {
            "statusCode": 200,
            "executedVersion": "$LATEST",
            "functionError": "Unhandled",
        },
        "responsePayload": error.payload,
    })
}

/// How many processes may start at once. On AWS each has a machine of its own; here, dozens that
/// start together would slow those that already serve somebody until they time out.
fn starts_at_once() -> usize {
    std::thread::available_parallelism().map_or(1, NonZero::get).saturating_mul(4)
}

/// When an invocation that starts now is stopped, as the runtime is told.
fn deadline_millis(timeout: Duration) -> i64 {
    clock::now().as_millisecond().saturating_add(clock::millis(timeout))
}
