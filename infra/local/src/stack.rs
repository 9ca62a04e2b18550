//! The whole stack: starts everything in order, says where it is, and ends it in reverse.

use crate::{
    aws::Aws,
    emulators::{DynamoDb, EmulatorError, Ministack, MinistackPlace},
    http_api,
    intrinsics::{ACCOUNT, REGION},
    lambda::{self, Lambdas, Surroundings},
    logs::Logs,
    mail::{self, MailError},
    model::{Events, Function, HttpApi, Queue},
    provision::{self, KeyRecord, ProvisionError},
    queues::{self, Poller, SourceError},
    schedules,
    template::{Places, Template, TemplateError},
};
use axum::http::Uri;
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    fs::{File, TryLockError},
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tokio::{
    net::TcpListener,
    sync::watch,
    task::{JoinHandle, JoinSet},
};

/// How long running invocations get to finish when the stack ends.
const GRACE: Duration = Duration::from_secs(3);

/// Where everything is and listens.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The template.
    pub template: PathBuf,
    /// Values for its parameters.
    pub parameters: BTreeMap<String, String>,
    /// The directory of the functions' binaries.
    pub binaries: PathBuf,
    /// The directory that survives restarts.
    pub state: PathBuf,
    /// The virtual environment with ministack.
    pub venv: PathBuf,
    /// Where to write what is where, once everything is up.
    pub stack_file: PathBuf,
    /// The ports.
    pub ports: Ports,
}

/// Ports on the loopback interface; 0 for any free one.
#[derive(Debug, Clone, Copy)]
pub struct Ports {
    /// The API named `Api`.
    pub api: u16,
    /// The API named `SandboxApi`.
    pub sandbox: u16,
    /// `DynamoDB`.
    pub dynamodb: u16,
    /// SQS, KMS, S3, and SES's emulator.
    pub aws: u16,
    /// Lambda's Invoke API.
    pub lambda: u16,
    /// Mail from outside.
    pub smtp: u16,
}

/// Why the stack is not up.
#[derive(Debug, thiserror::Error)]
pub enum StackError {
    /// Another stack uses the state directory.
    #[error("another local stack runs in {0}")]
    StateInUse(String),
    /// The state directory cannot be used.
    #[error("cannot use the state directory {0}")]
    State(String, #[source] io::Error),
    /// A port is taken.
    #[error("port {port} is taken: end what uses it, or choose another with {flag}")]
    PortTaken {
        /// The port.
        port: u16,
        /// The flag that changes it.
        flag: &'static str,
    },
    /// A port cannot be had for another reason.
    #[error("cannot listen on port {0}")]
    Listen(u16, #[source] io::Error),
    /// A function was not built.
    #[error("these functions are not built in {directory}: {names}")]
    NotBuilt {
        /// Where they should be.
        directory: String,
        /// Their binaries.
        names: String,
    },
    /// An address is none.
    #[error("{0} is no address")]
    Address(String),
    /// The template cannot be run.
    #[error(transparent)]
    Template(#[from] TemplateError),
    /// An emulator is not there.
    #[error(transparent)]
    Emulator(#[from] EmulatorError),
    /// Tables, queues or keys are not there.
    #[error(transparent)]
    Provision(#[from] ProvisionError),
    /// An event source that Lambda would refuse.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// There is no mail.
    #[error(transparent)]
    Mail(#[from] MailError),
    /// The stack file cannot be written.
    #[error("cannot write {0}")]
    StackFile(String, #[source] io::Error),
}

/// Runs the stack until `stop` resolves.
pub async fn run(settings: Settings, stop: impl Future<Output = ()>) -> Result<(), StackError> {
    let _lock = lock(&settings.state)?;
    let mail_listeners = bind_mail(&settings.ports).await?;
    let mail = mail_listeners.addresses().map_err(MailError::Socket)?;
    let mut template = Template::read(&settings.template, &parameters(&settings, &mail))?;
    let logs = Logs::open(&settings.state.join("logs"));
    let logs = Arc::new(logs.map_err(|error| state_error(&settings.state, error))?);
    let listeners = Listeners::bind(&settings.ports, template.http_api_ids()?).await?;
    template.places = listeners.places()?;
    let Listeners { apis, dynamodb, lambda, aws_port } = listeners;

    let mut emulators = Emulators::start(&settings, dynamodb, aws_port, mail.relay, &logs).await?;
    emulators = emulators.provision(&settings.state, &mut template).await?;
    let wiring = Wiring::read(&settings, &template)?;
    logs.align(wiring.functions.iter().map(|function| function.name.as_str()));
    say_what_is_skipped(&logs, &template, &wiring.events);
    let lambda_url = url(&lambda)?;
    let mut services = Services::start(&settings, wiring, apis, lambda, &emulators, &mail, &logs);
    services.start_mail(mail_listeners, mail_settings(&settings, &template, &emulators)?).await?;
    let mut description = describe(&settings, &template, &emulators, &lambda_url, &logs)?;
    describe_mail(&mut description, &settings, &mail);
    write_stack_file(&settings, &description)?;
    logs.say("ready");

    let ended = tokio::select! {
        () = stop => Ok(()),
        error = emulators.ministack.keep_running() => Err(error.into()),
    };
    logs.say("ending");
    let _ = std::fs::remove_file(&settings.stack_file);
    services.end().await;
    emulators.stop().await;
    logs.say("ended");
    ended
}

/// The sockets everything is served on; all are bound before anything starts.
struct Listeners {
    apis: BTreeMap<String, TcpListener>,
    dynamodb: TcpListener,
    lambda: TcpListener,
    /// ministack binds its port itself.
    aws_port: u16,
}

impl Listeners {
    async fn bind(ports: &Ports, api_ids: Vec<String>) -> Result<Self, StackError> {
        let mut apis = BTreeMap::new();
        for id in api_ids {
            let (port, flag) = match id.as_str() {
                "Api" => (ports.api, "--api-port"),
                "SandboxApi" => (ports.sandbox, "--sandbox-port"),
                _ => (0, "--api-port"),
            };
            apis.insert(id, bind(port, flag).await?);
        }
        let dynamodb = bind(ports.dynamodb, "--dynamodb-port").await?;
        let lambda = bind(ports.lambda, "--lambda-port").await?;
        let aws_port = port_of(&bind(ports.aws, "--aws-port").await?)?;
        Ok(Self { apis, dynamodb, lambda, aws_port })
    }

    fn places(&self) -> Result<Places, StackError> {
        let urls: Result<BTreeMap<_, _>, _> = self
            .apis
            .iter()
            .map(|(id, listener)| url(listener).map(|url| (id.clone(), url)))
            .collect();
        Ok(Places {
            aws_url: loopback_url(self.aws_port),
            api_urls: urls?,
            key_ids: BTreeMap::new(),
        })
    }
}

/// The AWS services, and clients of them.
struct Emulators {
    dynamodb: DynamoDb,
    dynamodb_client: Aws,
    dynamodb_url: String,
    ministack: Ministack,
    aws_client: Aws,
    aws_url: String,
}

impl Emulators {
    async fn start(
        settings: &Settings,
        listener: TcpListener,
        aws_port: u16,
        relay: SocketAddr,
        logs: &Arc<Logs>,
    ) -> Result<Self, StackError> {
        let (dynamodb_url, aws_url) = (url(&listener)?, loopback_url(aws_port));
        let aws_client = client(&aws_url)?;
        let dynamodb_client = client(&dynamodb_url)?;
        let dynamodb = DynamoDb::serve(&settings.state.join("dynamodb.sqlite"), listener)?;
        let place = MinistackPlace {
            venv: settings.venv.clone(),
            state: settings.state.join("ministack"),
            port: aws_port,
            relay,
        };
        let ministack = Ministack::start(place, aws_client.clone(), Arc::clone(logs)).await?;
        Ok(Self { dynamodb, dynamodb_client, dynamodb_url, ministack, aws_client, aws_url })
    }

    /// Creates what the template asks for.
    async fn provision(
        mut self,
        state: &Path,
        template: &mut Template,
    ) -> Result<Self, StackError> {
        let aws = &self.aws_client;
        provision::tables(&self.dynamodb_client, &template.tables()?).await?;
        let record = KeyRecord::open(state)?;
        let (key_ids, created) = provision::keys(aws, template, &record).await?;
        template.places.key_ids.clone_from(&key_ids);
        provision::aliases(aws, template).await?;
        provision::queues(aws, &template.queues()?).await?;
        provision::buckets(aws, &template.buckets()?).await?;
        provision::mail_identities(aws, &template.mail_identities()?).await?;
        if created {
            // From here on a hard end loses messages at most, which the sweeper sends again; a lost
            // key would make stored secrets unreadable.
            self.ministack.save().await?;
            provision::record_keys(record, &key_ids)?;
        }
        Ok(self)
    }

    async fn stop(self) {
        self.ministack.stop().await;
        self.dynamodb.stop().await;
    }
}

/// What runs, and on what.
struct Wiring {
    functions: Vec<Function>,
    events: Events,
    apis: Vec<HttpApi>,
    queues: Vec<Queue>,
}

impl Wiring {
    fn read(settings: &Settings, template: &Template) -> Result<Self, StackError> {
        let wiring = Self {
            functions: template.functions()?,
            events: template.events()?,
            apis: template.http_apis()?,
            queues: template.queues()?,
        };
        wiring.check_binaries(&settings.binaries)?;
        for source in &wiring.events.queues {
            for function in &wiring.functions {
                if function.name == source.function {
                    queues::check(source, function, &wiring.queues)?;
                }
            }
        }
        Ok(wiring)
    }

    fn check_binaries(&self, directory: &Path) -> Result<(), StackError> {
        let missing: Vec<&str> = self
            .functions
            .iter()
            .map(|function| function.binary.as_str())
            .filter(|binary| !directory.join(binary).is_file())
            .collect();
        if missing.is_empty() {
            return Ok(());
        }
        Err(StackError::NotBuilt {
            directory: directory.display().to_string(),
            names: missing.join(", "),
        })
    }
}

/// Everything that invokes functions.
struct Services {
    lambdas: Arc<Lambdas>,
    pollers: Vec<Poller>,
    polling: JoinSet<()>,
    servers: Vec<JoinHandle<()>>,
    ending: watch::Sender<bool>,
    logs: Arc<Logs>,
}

impl Services {
    fn start(
        settings: &Settings,
        wiring: Wiring,
        mut apis: BTreeMap<String, TcpListener>,
        lambda: TcpListener,
        emulators: &Emulators,
        mail: &mail::Addresses,
        logs: &Arc<Logs>,
    ) -> Self {
        let surroundings = Surroundings {
            binaries: settings.binaries.clone(),
            aws_url: emulators.aws_url.clone(),
            dynamodb_url: emulators.dynamodb_url.clone(),
            ses_url: loopback_url(mail.ses.port()),
        };
        let aws = emulators.aws_client.clone();
        let lambdas = Lambdas::new(wiring.functions, surroundings, aws, Arc::clone(logs));
        let lambdas = Arc::new(lambdas);
        let mut servers = vec![tokio::spawn(Arc::clone(&lambdas).reap())];
        for api in wiring.apis {
            if let Some(listener) = apis.remove(&api.logical_id) {
                let routes = wiring.events.routes.clone();
                let lambdas = Arc::clone(&lambdas);
                servers.push(tokio::spawn(http_api::serve(listener, api, routes, lambdas)));
            }
        }
        let invoke_api = lambda::router(Arc::clone(&lambdas));
        servers.push(tokio::spawn(async move {
            // Serving ends only with the task.
            let _ = axum::serve(lambda, invoke_api).await;
        }));
        for schedule in wiring.events.schedules {
            servers.push(tokio::spawn(schedules::run(schedule, Arc::clone(&lambdas))));
        }
        let ending = watch::Sender::new(false);
        let mut polling = JoinSet::new();
        let mut pollers = Vec::new();
        for source in wiring.events.queues {
            let url = queues::url(&emulators.aws_url, &source.queue_arn);
            let aws = emulators.aws_client.clone();
            let poller = Poller::new(source, url, aws, Arc::clone(&lambdas), Arc::clone(logs));
            polling.spawn(poller.clone().run(ending.subscribe()));
            pollers.push(poller);
        }
        Self { lambdas, pollers, polling, servers, ending, logs: Arc::clone(logs) }
    }

    async fn start_mail(
        &mut self,
        listeners: mail::Listeners,
        settings: mail::Settings,
    ) -> Result<(), StackError> {
        let (lambdas, logs) = (Arc::clone(&self.lambdas), Arc::clone(&self.logs));
        self.servers.extend(mail::start(listeners, settings, lambdas, logs).await?);
        Ok(())
    }

    /// Stops taking work, gives what runs a short grace, and ends every function.
    async fn end(self) {
        let Self { lambdas, pollers, polling, servers, ending, logs: _ } = self;
        for server in servers {
            server.abort();
        }
        ending.send_replace(true);
        // A poll that is cut off could take a message with it.
        polling.join_all().await;
        lambdas.end(GRACE).await;
        for poller in pollers {
            poller.settle(GRACE).await;
        }
    }
}

fn lock(state: &Path) -> Result<File, StackError> {
    std::fs::create_dir_all(state).map_err(|error| state_error(state, error))?;
    let lock = File::create(state.join("lock")).map_err(|error| state_error(state, error))?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(StackError::StateInUse(state.display().to_string())),
        Err(TryLockError::Error(error)) => Err(state_error(state, error)),
    }
}

fn state_error(state: &Path, error: io::Error) -> StackError {
    StackError::State(state.display().to_string(), error)
}

async fn bind(port: u16, flag: &'static str) -> Result<TcpListener, StackError> {
    TcpListener::bind(("127.0.0.1", port)).await.map_err(|error| match error.kind() {
        io::ErrorKind::AddrInUse => StackError::PortTaken { port, flag },
        _ => StackError::Listen(port, error),
    })
}

fn port_of(listener: &TcpListener) -> Result<u16, StackError> {
    listener
        .local_addr()
        .map(|address| address.port())
        .map_err(|error| StackError::Listen(0, error))
}

fn url(listener: &TcpListener) -> Result<String, StackError> {
    port_of(listener).map(loopback_url)
}

fn loopback_url(port: u16) -> String {
    format!("http://127.0.0.1:{port}")
}

fn client(url: &str) -> Result<Aws, StackError> {
    let endpoint: Uri = url.parse().map_err(|_| StackError::Address(url.to_owned()))?;
    Ok(Aws::new(endpoint))
}

async fn bind_mail(ports: &Ports) -> Result<mail::Listeners, StackError> {
    let smtp = bind(ports.smtp, "--smtp-port").await?;
    mail::Listeners::bind(smtp).await.map_err(|error| StackError::Listen(0, error))
}

/// What was given, and where the mail servers are unless somebody wants others.
fn parameters(settings: &Settings, mail: &mail::Addresses) -> BTreeMap<String, String> {
    let mut parameters = BTreeMap::from([
        ("DnsServer".to_owned(), mail.dns.to_string()),
        ("WebhookReach".to_owned(), "loopback".to_owned()),
        ("GmailOrigin".to_owned(), loopback_url(mail.gmail.port())),
    ]);
    parameters.extend(settings.parameters.clone());
    parameters
}

fn mail_settings(
    settings: &Settings,
    template: &Template,
    emulators: &Emulators,
) -> Result<mail::Settings, StackError> {
    Ok(mail::Settings {
        rules: template.receipt_rules()?,
        identities: template.mail_identities()?,
        keys: mail::keys_directory(&settings.state),
        aws: emulators.aws_client.clone(),
    })
}

fn describe_mail(description: &mut Value, settings: &Settings, mail: &mail::Addresses) {
    if let Value::Object(description) = description {
        for (name, value) in [
            ("smtp", mail.smtp.to_string()),
            ("dns", mail.dns.to_string()),
            ("dkim_keys", mail::keys_directory(&settings.state).display().to_string()),
            ("gmail_url", loopback_url(mail.gmail.port())),
            ("ses_url", loopback_url(mail.ses.port())),
            ("outgoing_url", format!("{}/_local/outgoing", loopback_url(mail.ses.port()))),
        ] {
            description.insert(name.to_owned(), json!(value));
        }
    }
}

fn say_what_is_skipped(logs: &Logs, template: &Template, events: &Events) {
    let kinds: Vec<String> = template.skipped().into_iter().collect();
    if !kinds.is_empty() {
        logs.say(&format!("nothing to do locally for: {}", kinds.join(", ")));
    }
    for event in &events.skipped {
        logs.say(&format!("no local event source for {event}"));
    }
}

/// What is where, for whoever uses the stack.
fn describe(
    settings: &Settings,
    template: &Template,
    emulators: &Emulators,
    lambda_url: &str,
    logs: &Logs,
) -> Result<Value, StackError> {
    let tables: BTreeMap<String, String> =
        template.tables()?.into_iter().map(|table| (table.logical_id, table.name)).collect();
    let queues: BTreeMap<String, String> = template
        .queues()?
        .into_iter()
        .map(|queue| {
            let url = format!("{}/{ACCOUNT}/{}", emulators.aws_url, queue.name);
            (queue.logical_id, url)
        })
        .collect();
    let buckets: BTreeMap<String, String> =
        template.buckets()?.into_iter().map(|bucket| (bucket.logical_id, bucket.name)).collect();
    Ok(json!({
        "api_url": template.places.api_urls.get("Api"),
        "sandbox_url": template.places.api_urls.get("SandboxApi"),
        "inbound_domain": template.parameter("InboundMailDomain"),
        "dynamodb_url": emulators.dynamodb_url,
        "aws_url": emulators.aws_url,
        "lambda_url": lambda_url,
        "region": REGION,
        "logs": logs.directory(),
        "state": settings.state,
        "pid": std::process::id(),
        "clients_table": tables.get("ClientsTable"),
        "tables": tables,
        "queues": queues,
        "buckets": buckets,
        "keys": template.places.key_ids,
    }))
}

/// Writes a file in one step: who sees it sees all of it.
fn write_stack_file(settings: &Settings, description: &Value) -> Result<(), StackError> {
    let file = &settings.stack_file;
    let temporary = file.with_extension("json.new");
    std::fs::write(&temporary, format!("{description:#}\n"))
        .and_then(|()| std::fs::rename(&temporary, file))
        .map_err(|error| StackError::StackFile(file.display().to_string(), error))
}
