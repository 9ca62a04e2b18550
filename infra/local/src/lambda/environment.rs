//! An execution environment: one process of a function, and its side of the Runtime API.
//!
//! The process is frozen whenever it waits for an invocation, as on Lambda: timers stand still and
//! connections go stale, and a function must cope with both.

use super::{
    FunctionError, Invocation, Shared, State, View, deadline_millis,
    runtime_api::{self, Call},
};
use crate::{
    child::{self, Bequest},
    clock,
    intrinsics::REGION,
    logs::Logs,
    model::Function,
};
use axum::{
    body::{Body, Bytes},
    response::Response,
};
use rustix::process::{Pid, Signal};
use serde_json::Value;
use std::{
    io,
    os::unix::process::ExitStatusExt,
    process::{ExitStatus, Stdio},
    sync::{Arc, atomic::Ordering},
    time::Duration,
};
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, BufReader},
    net::TcpListener,
    process::Child,
    sync::{mpsc, oneshot},
    task::JoinHandle,
    time::{Instant, sleep_until},
};

/// How long a process may take to its first poll. Lambda gives 10 s; here dozens of debug builds
/// may start at once on two cores.
const INIT_LIMIT: Duration = Duration::from_secs(30);

/// How an invocation left its environment.
pub(super) enum Served {
    /// Frozen, ready for the next one.
    Ready,
    /// Gone.
    Dead,
    /// Gone before it heard of the invocation.
    Undelivered(Invocation),
}

/// One process, with a Runtime API of its own.
pub(super) struct Environment {
    function: Arc<Function>,
    shared: Arc<Shared>,
    id: u64,
    child: Child,
    pid: Pid,
    calls: mpsc::Receiver<Call>,
    server: JoinHandle<()>,
    /// The process's pending poll, while it is idle.
    next: Option<oneshot::Sender<Response>>,
    /// Shown in the first REPORT line.
    init_duration: Option<Duration>,
}

/// How an invocation ended, seen from here.
enum End {
    Answered(Bytes),
    Failed(Value),
    Exited(io::Result<ExitStatus>),
    TimedOut,
}

impl Environment {
    /// Starts a process and waits until it polls for its first invocation.
    pub(super) async fn start(
        function: Arc<Function>,
        shared: Arc<Shared>,
        request_id: &str,
    ) -> Result<Self, FunctionError> {
        let started = Instant::now();
        let mut environment = Self::spawn(function, shared).await.map_err(|error| {
            let message = format!("cannot start the function: {error}");
            FunctionError::new("Runtime.InvalidEntrypoint", message)
        })?;
        match environment.wait_for_poll(started + INIT_LIMIT).await {
            Ok(()) => {
                environment.init_duration = Some(started.elapsed());
                Ok(environment)
            }
            Err(end) => Err(environment.failure(end, request_id, INIT_LIMIT)),
        }
    }

    /// Whether the process still exists.
    pub(super) fn is_alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Runs one invocation and waits until the process is ready for another.
    pub(super) async fn serve(&mut self, invocation: Invocation) -> Served {
        let Invocation { request_id, payload, answer } = invocation;
        let started = Instant::now();
        let deadline = started + self.function.timeout;
        self.show(State::Busy, Some((&request_id, &payload)));
        child::signal_group(self.pid, Signal::CONT);
        if !self.deliver(&request_id, &payload) {
            return Served::Undelivered(Invocation { request_id, payload, answer });
        }
        self.log(&format!("START RequestId: {request_id} Version: $LATEST"));
        let end = self.wait_for_answer(&request_id, deadline).await;
        let elapsed = started.elapsed();
        match end {
            End::Answered(body) => {
                let _ = answer.send(Ok(body));
            }
            End::Failed(payload) => {
                let _ = answer.send(Err(FunctionError { payload }));
            }
            end @ (End::Exited(_) | End::TimedOut) => {
                let overtime = self.overtime(&end);
                let error = self.failure(end, &request_id, self.function.timeout);
                self.log_end(&request_id, elapsed);
                if let Some(limit) = overtime {
                    let _ = answer.send(Err(error));
                    self.work_on(Instant::now() + limit).await;
                    self.kill().await;
                } else {
                    // The invoker must not find a dead environment in the list.
                    self.kill().await;
                    let _ = answer.send(Err(error));
                }
                return Served::Dead;
            }
        }
        self.log_end(&request_id, elapsed);
        match self.wait_for_poll(deadline).await {
            Ok(()) => Served::Ready,
            Err(end) => {
                let _ = self.failure(end, &request_id, self.function.timeout);
                self.kill().await;
                Served::Dead
            }
        }
    }

    async fn spawn(function: Arc<Function>, shared: Arc<Shared>) -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let mut child = command(&function, &shared, &address.to_string())?.spawn()?;
        let pid = child::pid(&child).ok_or_else(|| io::Error::other("the process is gone"))?;
        if let Some(stdout) = child.stdout.take() {
            tokio::spawn(copy_lines(stdout, function.name.clone(), Arc::clone(&shared.logs)));
        }
        if let Some(stderr) = child.stderr.take() {
            tokio::spawn(copy_lines(stderr, function.name.clone(), Arc::clone(&shared.logs)));
        }
        let (sender, calls) = mpsc::channel(4);
        let server = tokio::spawn(async move {
            // Ends when the environment is dropped.
            let _ = axum::serve(listener, runtime_api::router(sender)).await;
        });
        let id = shared.ids.fetch_add(1, Ordering::Relaxed);
        let environment = Self {
            function,
            shared,
            id,
            child,
            pid,
            calls,
            server,
            next: None,
            init_duration: None,
        };
        environment.show(State::Starting, None);
        Ok(environment)
    }

    /// Waits for the process to poll, and freezes it.
    async fn wait_for_poll(&mut self, deadline: Instant) -> Result<(), End> {
        loop {
            tokio::select! {
                call = self.calls.recv() => match call {
                    Some(Call::Next(reply)) => {
                        child::signal_group(self.pid, Signal::STOP);
                        self.next = Some(reply);
                        self.show(State::Idle, None);
                        return Ok(());
                    }
                    Some(Call::InitFailure(error)) => return Err(End::Failed(error)),
                    // An answer to an invocation that is over.
                    Some(Call::Answer { .. } | Call::Failure { .. }) => {}
                    None => return Err(End::Exited(self.child.wait().await)),
                },
                status = self.child.wait() => return Err(End::Exited(status)),
                () = sleep_until(deadline) => return Err(End::TimedOut),
            }
        }
    }

    /// Answers the pending poll; false if the process is gone.
    fn deliver(&mut self, request_id: &str, payload: &Bytes) -> bool {
        let Some(next) = self.next.take() else {
            return false;
        };
        let response = Response::builder()
            .header("Content-Type", "application/json")
            .header("Lambda-Runtime-Aws-Request-Id", request_id)
            .header("Lambda-Runtime-Deadline-Ms", deadline_millis(self.function.timeout))
            .header("Lambda-Runtime-Invoked-Function-Arn", self.function.arn())
            .header("Lambda-Runtime-Trace-Id", trace_id(request_id))
            .body(Body::from(payload.clone()));
        response.is_ok_and(|response| next.send(response).is_ok())
    }

    async fn wait_for_answer(&mut self, wanted: &str, deadline: Instant) -> End {
        loop {
            tokio::select! {
                // What a process said before it died counts.
                biased;
                call = self.calls.recv() => match call {
                    Some(Call::Answer { request_id, body }) if request_id == wanted => {
                        return End::Answered(body);
                    }
                    Some(Call::Failure { request_id, error }) if request_id == wanted => {
                        return End::Failed(error);
                    }
                    Some(Call::InitFailure(error)) => return End::Failed(error),
                    // A poll before the answer would be the runtime's mistake: it gets no second
                    // invocation, and the deadline ends it.
                    Some(Call::Answer { .. } | Call::Failure { .. } | Call::Next(_)) => {}
                    None => return End::Exited(self.child.wait().await),
                },
                status = self.child.wait() => return End::Exited(status),
                () = sleep_until(deadline) => return End::TimedOut,
            }
        }
    }

    /// How long the process may go on although its time is up, if somebody asked for that.
    fn overtime(&self, end: &End) -> Option<Duration> {
        let mut registry = self.shared.registry();
        let view = registry.get_mut(&self.id)?;
        let overtime = Some(view.overtime).filter(|overtime| !overtime.is_zero());
        let overtime = overtime.filter(|_| matches!(end, End::TimedOut))?;
        view.state = State::Overtime;
        Some(overtime)
    }

    /// Lets the process go on until it asks for other work; nobody hears what it answers.
    async fn work_on(&mut self, deadline: Instant) {
        loop {
            tokio::select! {
                call = self.calls.recv() => match call {
                    Some(Call::Answer { .. } | Call::Failure { .. }) => {}
                    Some(Call::Next(_) | Call::InitFailure(_)) | None => return,
                },
                _ = self.child.wait() => return,
                () = sleep_until(deadline) => return,
            }
        }
    }

    /// What Lambda tells the invoker, also written to the log.
    fn failure(&self, end: End, request_id: &str, limit: Duration) -> FunctionError {
        let error = match end {
            End::Failed(payload) => FunctionError { payload },
            End::TimedOut => {
                let now = clock::now().strftime("%Y-%m-%dT%H:%M:%S%.3fZ");
                let seconds = limit.as_secs_f64();
                let message =
                    format!("{now} {request_id} Task timed out after {seconds:.2} seconds");
                FunctionError::new("Sandbox.Timedout", message)
            }
            End::Exited(status) => {
                let reason = exit_reason(status);
                let message =
                    format!("RequestId: {request_id} Error: Runtime exited with error: {reason}");
                FunctionError::new("Runtime.ExitError", message)
            }
            // Not a failure; kept so that every end has an answer.
            End::Answered(_) => FunctionError::new("Runtime.Unknown", "the function answered"),
        };
        self.shared.logs.line(&self.function.name, &error.to_string());
        error
    }

    async fn kill(&mut self) {
        // Not once it was waited for: the number may be somebody else's by then.
        if self.child.id().is_some() {
            child::signal_group(self.pid, Signal::KILL);
        }
        let _ = self.child.wait().await;
        self.shared.registry().remove(&self.id);
    }

    fn show(&self, state: State, invocation: Option<(&str, &Bytes)>) {
        let view = View {
            function: self.function.name.clone(),
            pid: Some(self.pid.as_raw_nonzero().get()),
            state,
            request_id: invocation.map(|(request_id, _)| request_id.to_owned()),
            messages: invocation.map(|(_, payload)| messages(payload)).unwrap_or_default(),
            overtime: Duration::ZERO,
        };
        self.shared.registry().insert(self.id, view);
    }

    fn log(&self, line: &str) {
        self.shared.logs.file_line(&self.function.name, line);
    }

    fn log_end(&mut self, request_id: &str, elapsed: Duration) {
        let millis = elapsed.as_secs_f64() * 1000.0;
        let memory_mb = self.function.memory_mb;
        let init = self.init_duration.take().map_or_else(String::new, |init| {
            format!("\tInit Duration: {:.2} ms", init.as_secs_f64() * 1000.0)
        });
        self.log(&format!("END RequestId: {request_id}"));
        self.log(&format!(
            "REPORT RequestId: {request_id}\tDuration: {millis:.2} ms\tBilled Duration: \
             {:.0} ms\tMemory Size: {memory_mb} MB{init}",
            millis.ceil()
        ));
    }
}

impl Drop for Environment {
    fn drop(&mut self) {
        self.server.abort();
        // Only while it was not waited for: afterwards the number may be somebody else's.
        if self.child.id().is_some() {
            child::signal_group(self.pid, Signal::KILL);
        }
        self.shared.registry().remove(&self.id);
    }
}

fn command(
    function: &Function,
    shared: &Shared,
    runtime_api: &str,
) -> io::Result<tokio::process::Command> {
    let surroundings = &shared.surroundings;
    let mut command = child::command(&surroundings.binaries.join(&function.binary), Bequest::Kill)?;
    command
        .env("AWS_LAMBDA_RUNTIME_API", runtime_api)
        .env("AWS_LAMBDA_FUNCTION_NAME", &function.name)
        .env("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST")
        .env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", function.memory_mb.to_string())
        .env("AWS_LAMBDA_INITIALIZATION_TYPE", "on-demand")
        .env("AWS_LAMBDA_LOG_GROUP_NAME", &function.log_group)
        .env("AWS_LAMBDA_LOG_STREAM_NAME", log_stream())
        .env("LAMBDA_TASK_ROOT", &surroundings.binaries)
        .env("_HANDLER", &function.handler)
        .env("LANG", "en_US.UTF-8")
        .env("PATH", "/usr/local/bin:/usr/bin:/bin:/opt/bin")
        .env("TZ", ":UTC")
        .env("AWS_REGION", REGION)
        .env("AWS_DEFAULT_REGION", REGION)
        .env("AWS_ACCESS_KEY_ID", "local")
        .env("AWS_SECRET_ACCESS_KEY", "local")
        .env("AWS_SESSION_TOKEN", "local")
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .env("AWS_ENDPOINT_URL", &surroundings.aws_url)
        .env("AWS_ENDPOINT_URL_DYNAMODB", &surroundings.dynamodb_url)
        .env("AWS_ENDPOINT_URL_SES", &surroundings.ses_url)
        .env("AWS_ENDPOINT_URL_SESV2", &surroundings.ses_url)
        .envs(&function.environment)
        .current_dir(&surroundings.binaries)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    Ok(command)
}

fn log_stream() -> String {
    let day = clock::now().strftime("%Y/%m/%d");
    format!("{day}/[$LATEST]{}", uuid::Uuid::new_v4().simple())
}

fn trace_id(request_id: &str) -> String {
    let seconds = clock::now().as_second();
    let digits: String = request_id.chars().filter(|digit| *digit != '-').take(24).collect();
    format!("Root=1-{seconds:08x}-{digits};Parent=0000000000000001;Sampled=0")
}

fn exit_reason(status: io::Result<ExitStatus>) -> String {
    match status {
        Ok(status) => match (status.code(), status.signal()) {
            (_, Some(9)) => "signal: killed".to_owned(),
            (_, Some(signal)) => format!("signal: {signal}"),
            (Some(code), None) => format!("exit status {code}"),
            (None, None) => "unknown".to_owned(),
        },
        Err(error) => error.to_string(),
    }
}

/// What queue messages say that an invocation is about: by design ids, never secrets.
fn messages(payload: &[u8]) -> Vec<String> {
    let event: Value = serde_json::from_slice(payload).unwrap_or_default();
    let records = event.get("Records").and_then(Value::as_array).map(Vec::as_slice);
    let body = |record: &Value| record.get("body").and_then(Value::as_str).map(str::to_owned);
    records.unwrap_or_default().iter().filter_map(body).collect()
}

async fn copy_lines(output: impl AsyncRead + Unpin, function: String, logs: Arc<Logs>) {
    let mut lines = BufReader::new(output).split(b'\n');
    while let Ok(Some(line)) = lines.next_segment().await {
        logs.line(&function, &String::from_utf8_lossy(&line));
    }
}
