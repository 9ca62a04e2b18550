//! The emulators: `DynamoDB` is embedded (dynoxide, an `SQLite` file), SQS, KMS, S3 and SES are a
//! child process (ministack).

use crate::{
    aws::Aws,
    child::{self, Bequest},
    logs::Logs,
};
use dynoxide::Database;
use rustix::process::Signal;
use std::{
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    sync::Arc,
    time::Duration,
};
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, BufReader},
    net::TcpListener,
    process::Child,
    sync::oneshot,
    task::JoinHandle,
    time::{Instant, interval, sleep, timeout},
};

/// How often expired items are removed; AWS promises days.
const EXPIRY_INTERVAL: Duration = Duration::from_mins(1);
/// ministack starts in a quarter of a second; a busy machine may take longer.
const START_LIMIT: Duration = Duration::from_mins(1);
/// One that ends sooner than this after it answered would be started again and again.
const SHORTEST_LIFE: Duration = Duration::from_secs(1);
/// It closes connections for up to three seconds, then saves.
const SAVE_LIMIT: Duration = Duration::from_secs(30);

/// Why an emulator is not there.
#[derive(Debug, thiserror::Error)]
pub enum EmulatorError {
    /// The database file could not be opened.
    #[error("cannot open the DynamoDB file {0}: {1}")]
    Database(String, String),
    /// ministack could not be started at all.
    #[error("cannot start ministack from {0}")]
    Start(String, #[source] io::Error),
    /// It ended instead of serving.
    #[error("ministack ended while starting ({0}); its words are in {1}")]
    Ended(ExitStatus, String),
    /// It neither serves nor ends.
    #[error("ministack does not answer after {0:?}; its words are in {1}")]
    Silent(Duration, String),
    /// It keeps ending.
    #[error("ministack ended as soon as it was up; its words are in {0}")]
    ShortLived(String),
}

/// `DynamoDB`, embedded.
pub struct DynamoDb {
    stop: oneshot::Sender<()>,
    server: JoinHandle<Result<(), String>>,
    expiry: JoinHandle<()>,
}

impl DynamoDb {
    /// Serves the database file on a listener.
    pub fn serve(file: &Path, listener: TcpListener) -> Result<Self, EmulatorError> {
        let path = file.to_string_lossy();
        let database = Database::new(&path)
            .map_err(|error| EmulatorError::Database(path.to_string(), error.to_string()))?;
        let (stop, stopped) = oneshot::channel();
        let server = dynoxide::server::serve_with_shutdown(listener, database.clone(), async {
            let _ = stopped.await;
        });
        Ok(Self { stop, server: tokio::spawn(server), expiry: tokio::spawn(expire(database)) })
    }

    /// Stops serving and closes the file.
    pub async fn stop(self) {
        self.expiry.abort();
        let _ = self.stop.send(());
        // Connections that are open but idle close at once; a request gets this long to finish.
        let _ = timeout(Duration::from_secs(5), self.server).await;
    }
}

async fn expire(database: Database) {
    let mut ticks = interval(EXPIRY_INTERVAL);
    loop {
        ticks.tick().await;
        let database = database.clone();
        let swept = tokio::task::spawn_blocking(move || database.sweep_ttl()).await;
        if let Ok(Err(error)) = swept {
            eprintln!("expired items could not be removed: {error}");
        }
    }
}

/// Where and how ministack runs.
#[derive(Debug, Clone)]
pub struct MinistackPlace {
    /// The virtual environment it is installed in.
    pub venv: PathBuf,
    /// Where it keeps its state.
    pub state: PathBuf,
    /// Its port on the loopback interface.
    pub port: u16,
    /// Where SES hands over what it sends.
    pub relay: SocketAddr,
}

/// SQS, KMS, S3 and SES, a child process.
pub struct Ministack {
    place: MinistackPlace,
    aws: Aws,
    logs: Arc<Logs>,
    child: Child,
    up_since: Instant,
}

impl Ministack {
    /// Starts it and waits until it answers.
    pub async fn start(
        place: MinistackPlace,
        aws: Aws,
        logs: Arc<Logs>,
    ) -> Result<Self, EmulatorError> {
        wait_for_predecessor(&place, &logs).await;
        let child = spawn(&place, &logs).map_err(|error| cannot_start(&place, error))?;
        let mut started = Self { place, aws, logs, child, up_since: Instant::now() };
        started.wait_until_up().await?;
        Ok(started)
    }

    /// Ends it and starts it again: it saves its state only when it ends.
    pub async fn save(&mut self) -> Result<(), EmulatorError> {
        self.end().await;
        self.start_again().await
    }

    /// Starts it again whenever it ends, as AWS comes back after an outage. Resolves only when that is no use.
    ///
    /// Whoever ends it with SIGTERM finds everything again; after a harder end the messages since the last start are
    /// gone, which the sweeper sends again.
    pub async fn keep_running(&mut self) -> EmulatorError {
        loop {
            let _ = self.child.wait().await;
            if self.up_since.elapsed() < SHORTEST_LIFE {
                return EmulatorError::ShortLived(self.log());
            }
            self.logs.say("ministack has ended and is started again");
            if let Err(error) = self.start_again().await {
                return error;
            }
        }
    }

    /// Ends it; returns when its state is saved.
    pub async fn stop(mut self) {
        self.end().await;
    }

    async fn end(&mut self) {
        if let Some(pid) = child::pid(&self.child) {
            let _ = rustix::process::kill_process(pid, Signal::TERM);
        }
        if timeout(SAVE_LIMIT, self.child.wait()).await.is_err() {
            self.logs.say("ministack did not end in time: queues and keys may not be saved");
            let _ = self.child.kill().await;
        }
    }

    async fn start_again(&mut self) -> Result<(), EmulatorError> {
        self.child =
            spawn(&self.place, &self.logs).map_err(|error| cannot_start(&self.place, error))?;
        self.wait_until_up().await
    }

    fn log(&self) -> String {
        self.logs.directory().join("ministack.log").display().to_string()
    }

    async fn wait_until_up(&mut self) -> Result<(), EmulatorError> {
        let deadline = Instant::now() + START_LIMIT;
        while !self.aws.is_up().await {
            if let Ok(Some(status)) = self.child.try_wait() {
                return Err(EmulatorError::Ended(status, self.log()));
            }
            if Instant::now() > deadline {
                return Err(EmulatorError::Silent(START_LIMIT, self.log()));
            }
            sleep(Duration::from_millis(25)).await;
        }
        self.up_since = Instant::now();
        Ok(())
    }
}

fn cannot_start(place: &MinistackPlace, error: io::Error) -> EmulatorError {
    EmulatorError::Start(place.venv.display().to_string(), error)
}

fn spawn(place: &MinistackPlace, logs: &Arc<Logs>) -> io::Result<Child> {
    std::fs::create_dir_all(&place.state)?;
    let mut command = child::command(&place.venv.join("bin/python"), Bequest::Terminate)?;
    command
        .args(["-m", "ministack"])
        .env("PATH", "/usr/local/bin:/usr/bin:/bin")
        // Without this it listens on every interface.
        .env("BIND_HOST", "127.0.0.1")
        .env("MINISTACK_HOST", "127.0.0.1")
        .env("GATEWAY_PORT", place.port.to_string())
        .env("SERVICES", "sqs,kms,s3,ses")
        .env("SMTP_HOST", place.relay.to_string())
        .env("PERSIST_STATE", "1")
        .env("STATE_DIR", &place.state)
        // Objects are written as they come; the rest, as it ends.
        .env("S3_PERSIST", "1")
        .env("S3_DATA_DIR", place.state.join("s3"))
        // Its pid file goes to the temporary directory.
        .env("TMPDIR", &place.state)
        // It would otherwise remove containers it believes to be its own.
        .env("DOCKER_HOST", "unix:///nonexistent")
        .env("LOG_LEVEL", "WARNING")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn()?;
    if let Some(id) = child.id() {
        std::fs::write(pid_file(place), id.to_string())?;
    }
    if let Some(stdout) = child.stdout.take() {
        tokio::spawn(copy_lines(stdout, Arc::clone(logs)));
    }
    if let Some(stderr) = child.stderr.take() {
        tokio::spawn(copy_lines(stderr, Arc::clone(logs)));
    }
    Ok(child)
}

/// A stack that was killed leaves a ministack that is still saving: its state must be complete
/// before another one reads it.
async fn wait_for_predecessor(place: &MinistackPlace, logs: &Logs) {
    let pid = std::fs::read_to_string(pid_file(place)).ok();
    let Some(pid) = pid.and_then(|pid| pid.parse::<u32>().ok()) else {
        return;
    };
    let deadline = Instant::now() + SAVE_LIMIT;
    while child::command_line(pid).is_some_and(|line| line.contains("ministack")) {
        if Instant::now() > deadline {
            logs.say(&format!("an earlier ministack (process {pid}) does not end; going on"));
            return;
        }
        sleep(Duration::from_millis(50)).await;
    }
}

fn pid_file(place: &MinistackPlace) -> PathBuf {
    place.state.join("pid")
}

async fn copy_lines(output: impl AsyncRead + Unpin, logs: Arc<Logs>) {
    let mut lines = BufReader::new(output).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        logs.file_line("ministack", &line);
    }
}
