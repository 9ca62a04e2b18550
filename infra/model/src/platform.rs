//! Lambda and what invokes functions there: the API, the queues, the schedule and SES. Routes, queues, limits and names
//! are the template's.

use std::{
    cell::RefCell, collections::BTreeMap, future::Future, path::Path, rc::Rc, str::FromStr,
    sync::Arc,
};

use anyhow::{Context, Result, anyhow};
use aws_config::SdkConfig;
use aws_lambda_events::{
    ses::SimpleEmailEvent,
    sqs::{SqsBatchResponse, SqsEvent},
};
use functions::{
    aftersale::{accept::AcceptAfterSale, get::GetAfterSale, progress::AfterSaleProgress},
    cancellations::create::CreateCancellation,
    inbound_email::{Forwarding, InboundEmail},
    jobs::{account::AccountWorker, deliver_webhook::DeliverWebhook, end_dead_order::EndDeadOrder},
    managed_accounts::create::CreateManagedAccount,
    orders::{
        abort::AbortOrder, accept::AcceptOrder, create::CreateOrder, get::GetOrder,
        progress::Progress,
    },
    sweep::{Sweep, Swept},
};
use lambda_http::{Body, Response, request::LambdaRequest};
use serde_json::{Value, json};
use spelter::{
    accounts::Owner,
    aws::{
        accounts::Accounts,
        backlogs::Backlogs,
        cards::Cards,
        keyed_hash::KeyedHash,
        labels::Labels,
        leases::Leases,
        ledger::Ledger,
        mail_log::MailLog,
        mailer::Mailer,
        mails::Mails,
        orders::Orders,
        queue::{Jobs, WebhookRetries, Webhooks},
        refunds::Refunds,
        vault::Vault,
    },
    cancellations,
    error::BoxError,
    http,
    sqs::{self, Job},
    webhooks::address::Reach,
};
use spelter_local::{
    model::{Function, QueueSource, Schedule, Table},
    template::Template,
};
use tokio::{
    sync::Semaphore,
    time::{Duration, Instant, sleep, sleep_until},
};

use crate::{
    actor::Actor,
    aws,
    aws::{
        dynamodb,
        sqs::{Message, Queues},
    },
    faults::{Callee, Fault, strike},
    journal::note,
    mail,
    receiver::Post,
    shop::Visitor,
    world,
};

/// Tables that nothing here asks for. Each table that is made takes as long as a few calls.
const UNUSED: [&str; 4] = ["ClientsTable", "LabelsTable", "ProductsTable", "SandboxTable"];

/// What is deployed, once for all runs.
pub struct Deployment {
    /// The queues, empty.
    pub empty_queues: Queues,
    /// What makes the tables.
    pub tables: Vec<Table>,
    functions: Vec<Function>,
    queues: Vec<QueueSource>,
    schedules: Vec<Schedule>,
}

/// The functions, with what a process of theirs keeps.
pub struct Platform {
    deployment: Rc<Deployment>,
    create: CreateOrder,
    get: GetOrder,
    abort: AbortOrder,
    cancel: CreateCancellation,
    get_cancellation: GetAfterSale<cancellations::Status>,
    open_account: CreateManagedAccount,
    worker: AccountWorker<Visitor>,
    dead: EndDeadOrder,
    sender: DeliverWebhook<Post>,
    sweep: Sweep,
    inbound: InboundEmail<mail::Signed>,
    invocations: RefCell<u64>,
}

thread_local! {
    static PLATFORM: RefCell<Option<Rc<Platform>>> = const { RefCell::new(None) };
}

fn platform() -> Rc<Platform> {
    PLATFORM.with_borrow(|platform| platform.clone().expect("a platform was set up"))
}

impl Deployment {
    /// Reads the template at `path`.
    pub fn read(path: &Path) -> Result<Self> {
        let mut template = Template::read(path, &BTreeMap::new())?;
        "http://aws.model".clone_into(&mut template.places.aws_url);
        for key in template.keys()? {
            template.places.key_ids.insert(key.logical_id.clone(), key.logical_id);
        }
        for api in template.http_api_ids()? {
            template.places.api_urls.insert(api, "http://api.model".to_owned());
        }
        let (functions, events) = (template.functions()?, template.events()?);
        let mut tables = template.tables()?;
        tables.retain(|table| !UNUSED.contains(&table.logical_id.as_str()));
        Ok(Self {
            empty_queues: Queues::of(&template)?,
            tables,
            functions,
            queues: events.queues,
            schedules: events.schedules,
        })
    }

    /// The name of the table that the template calls `logical_id`.
    pub fn table(&self, logical_id: &str) -> Result<String> {
        let found = self.tables.iter().find(|table| table.logical_id == logical_id);
        Ok(found.with_context(|| format!("no table {logical_id}"))?.name.clone())
    }

    fn of(&self, binary: &str) -> Result<Environment<'_>> {
        let function = self.functions.iter().find(|function| function.binary == binary);
        let function = function.with_context(|| format!("no function {binary}"))?;
        Ok(Environment(function))
    }

    fn timeout(&self, binary: &str) -> Duration {
        let function = self.functions.iter().find(|function| function.binary == binary);
        function.map_or(Duration::from_secs(30), |function| function.timeout)
    }
}

/// A function's environment variables.
struct Environment<'a>(&'a Function);

impl Environment<'_> {
    fn get<T: FromStr>(&self, name: &str) -> Result<T> {
        let Function { binary, environment, .. } = self.0;
        let text = environment.get(name).with_context(|| format!("{binary} has no {name}"))?;
        text.parse().map_err(|_| anyhow!("{binary} has an odd {name}: {text}"))
    }

    fn orders(&self, aws: &SdkConfig) -> Result<Orders> {
        Ok(Orders::new(aws, self.get("ORDERS_TABLE")?))
    }

    fn vault(&self, aws: &SdkConfig) -> Result<Vault> {
        Ok(Vault::new(aws, self.get("CREDENTIALS_KEY_ID")?))
    }

    fn keyed_hash(&self, aws: &SdkConfig) -> Result<KeyedHash> {
        Ok(KeyedHash::new(aws, self.get("HASH_KEY_ID")?))
    }

    fn jobs(&self, aws: &SdkConfig) -> Result<Jobs> {
        Ok(Jobs::new(aws, self.get("JOBS_QUEUE_URL")?))
    }

    fn backlogs(&self, aws: &SdkConfig) -> Result<Backlogs> {
        Ok(self.orders(aws)?.backlogs(self.jobs(aws)?))
    }

    fn webhooks(&self, aws: &SdkConfig) -> Result<Webhooks> {
        Ok(Webhooks::new(aws, self.get("WEBHOOKS_QUEUE_URL")?))
    }

    fn progress(&self, aws: &SdkConfig) -> Result<Progress> {
        let orders = self.orders(aws)?;
        Ok(Progress {
            outbox: orders.outbox(),
            orders,
            cards: Cards::new(aws, self.get("CARDS_TABLE")?),
            ledger: Ledger::new(aws, self.get("LEDGER_TABLE")?),
            webhooks: self.webhooks(aws)?,
            now: world::now,
        })
    }

    fn leases(&self, aws: &SdkConfig) -> Result<Leases> {
        Ok(Leases::new(aws, self.get("LEASES_TABLE")?))
    }

    fn accounts(&self, aws: &SdkConfig) -> Result<Accounts> {
        Ok(Accounts::new(aws, self.get("ACCOUNTS_TABLE")?))
    }
}

/// Progress of what is asked for after the sale.
fn after_sale<K: functions::aftersale::Kind>(
    requests: spelter::aws::aftersales::AfterSales<K>,
    progress: &Progress,
) -> AfterSaleProgress<K> {
    AfterSaleProgress {
        requests,
        outbox: progress.orders.outbox(),
        webhooks: progress.webhooks.clone(),
        now: world::now,
    }
}

impl Platform {
    #[expect(clippy::too_many_lines, reason = "one line for each thing that a function may touch")]
    fn new(deployment: Rc<Deployment>, aws: &SdkConfig) -> Result<Self> {
        let worker = deployment.of("order-processor")?;
        let dead = deployment.of("dead-letters")?;
        let create = deployment.of("create-order")?;
        let abort = deployment.of("abort-order")?;
        let cancel = deployment.of("cancel-order")?;
        let open_account = deployment.of("create-managed-account")?;
        let sender = deployment.of("webhook-sender")?;
        let sweeper = deployment.of("sweeper")?;
        let inbound = deployment.of("inbound-email")?;
        let get = deployment.of("get-order")?;
        let progress = worker.progress(aws)?;
        let dead_progress = dead.progress(aws)?;
        Ok(Self {
            create: CreateOrder {
                accept: AcceptOrder {
                    orders: create.orders(aws)?,
                    outbox: create.orders(aws)?.outbox(),
                    accounts: create.accounts(aws)?,
                    leases: create.leases(aws)?,
                    cards: Cards::new(aws, create.get("CARDS_TABLE")?),
                    ledger: Ledger::new(aws, create.get("LEDGER_TABLE")?),
                    vault: create.vault(aws)?,
                    keyed_hash: create.keyed_hash(aws)?,
                    backlogs: create.backlogs(aws)?,
                    webhooks: create.webhooks(aws)?,
                    reach: Reach::Public,
                    now: world::now,
                },
            },
            get: GetOrder { orders: get.orders(aws)? },
            abort: AbortOrder {
                progress: abort.progress(aws)?,
                leases: abort.leases(aws)?,
                jobs: abort.jobs(aws)?,
            },
            cancel: CreateCancellation {
                accept: AcceptAfterSale {
                    orders: cancel.orders(aws)?,
                    requests: cancel.orders(aws)?.cancellations(),
                    vault: cancel.vault(aws)?,
                    keyed_hash: cancel.keyed_hash(aws)?,
                    backlogs: cancel.backlogs(aws)?,
                    reach: Reach::Public,
                    now: world::now,
                },
            },
            get_cancellation: GetAfterSale { requests: cancel.orders(aws)?.cancellations() },
            open_account: CreateManagedAccount {
                accounts: open_account.accounts(aws)?,
                vault: open_account.vault(aws)?,
                keyed_hash: open_account.keyed_hash(aws)?,
                mail_domain: mail::DOMAIN.to_owned(),
                now: world::now,
            },
            worker: AccountWorker {
                bundles: progress.orders.bundles(),
                cancellations: after_sale(progress.orders.cancellations(), &progress),
                returns: after_sale(progress.orders.returns(), &progress),
                refunds: Refunds::new(aws, worker.get("LEDGER_TABLE")?),
                labels: Labels::new(aws, worker.get("LABELS_TABLE")?),
                api_url: worker.get("API_URL")?,
                accounts: worker.accounts(aws)?,
                leases: worker.leases(aws)?,
                vault: worker.vault(aws)?,
                backlogs: worker.backlogs(aws)?,
                jobs: worker.jobs(aws)?,
                code_wait: Duration::from_secs(worker.get("CODE_WAIT_SECONDS")?),
                shop: Visitor,
                now: world::now,
                progress,
            },
            dead: EndDeadOrder {
                bundles: dead_progress.orders.bundles(),
                cancellations: after_sale(dead_progress.orders.cancellations(), &dead_progress),
                returns: after_sale(dead_progress.orders.returns(), &dead_progress),
                backlogs: dead.backlogs(aws)?,
                leases: dead.leases(aws)?,
                now: world::now,
                progress: dead_progress,
            },
            sender: DeliverWebhook {
                outbox: sender.orders(aws)?.outbox(),
                settings: sender.orders(aws)?.webhook_settings(),
                vault: sender.vault(aws)?,
                webhooks: sender.webhooks(aws)?,
                retries: WebhookRetries::new(aws, sender.get("WEBHOOK_RETRIES_QUEUE_URL")?),
                courier: Post,
                now: world::now,
            },
            sweep: Sweep {
                outbox: sweeper.orders(aws)?.outbox(),
                bundles: sweeper.orders(aws)?.bundles(),
                cancellations: sweeper.orders(aws)?.cancellations(),
                returns: sweeper.orders(aws)?.returns(),
                orders: sweeper.orders(aws)?,
                backlogs: sweeper.backlogs(aws)?,
                webhooks: sweeper.webhooks(aws)?,
            },
            inbound: InboundEmail {
                mails: Mails::new(aws, inbound.get("MAIL_BUCKET")?),
                accounts: inbound.accounts(aws)?,
                log: MailLog::new(aws, inbound.get("MAIL_LOG_TABLE")?),
                leases: inbound.leases(aws)?,
                jobs: inbound.jobs(aws)?,
                vault: inbound.vault(aws)?,
                progress: inbound.progress(aws)?,
                signatures: mail::Signed,
                forwarding: Forwarding::new(None).map_err(|error| anyhow!(error))?,
                mailer: Mailer::new(aws),
                domain: mail::DOMAIN.to_owned(),
                sandbox_domain: mail::SHOP_DOMAIN.to_owned(),
                now: world::now,
            },
            invocations: RefCell::new(0),
            deployment,
        })
    }

    /// Every process is a new one: it has hashed nothing yet, and asks KMS for its key.
    fn forget(&mut self, aws: &SdkConfig) -> Result<()> {
        let (create, open_account) =
            (self.deployment.of("create-order")?, self.deployment.of("create-managed-account")?);
        self.create.accept.keyed_hash = create.keyed_hash(aws)?;
        self.open_account.keyed_hash = open_account.keyed_hash(aws)?;
        self.cancel.accept.keyed_hash = self.deployment.of("cancel-order")?.keyed_hash(aws)?;
        self.invocations = RefCell::new(0);
        Ok(())
    }

    fn call_at_once(&mut self, jobs: usize) {
        let all = [
            &mut self.create.accept.backlogs,
            &mut self.cancel.accept.backlogs,
            &mut self.worker.backlogs,
            &mut self.dead.backlogs,
            &mut self.sweep.backlogs,
        ];
        for backlogs in all {
            backlogs.called_at_once = jobs;
        }
    }

    /// Runs one invocation of `binary`, with its deadline; `None` if it was killed.
    async fn invoke<T, F: Future<Output = T>>(
        &self,
        binary: &'static str,
        work: impl FnOnce(jiff::Timestamp) -> F,
    ) -> Option<T> {
        let id = {
            let mut count = self.invocations.borrow_mut();
            *count += 1;
            *count
        };
        let timeout = self.deployment.timeout(binary);
        let late = world::a_while(0, 4_900);
        let actor = Actor::new(id, binary, Instant::now() + timeout, late);
        let deadline = spelter::clock::after(world::now(), timeout);
        let result = actor.run(work(deadline)).await;
        note("over", || {
            format!("{binary} {id} {}", if result.is_ok() { "done" } else { "KILLED" })
        });
        result.ok()
    }

    async fn drain(&self, binary: &str, batch: SqsEvent) -> Option<SqsBatchResponse> {
        let answer = match binary {
            "order-processor" => self.drain_by("order-processor", &self.worker, batch).await,
            "dead-letters" => self.drain_by("dead-letters", &self.dead, batch).await,
            "webhook-sender" => self.drain_by("webhook-sender", &self.sender, batch).await,
            _ => None,
        };
        answer?.ok()
    }

    async fn drain_by<J: Job>(
        &self,
        binary: &'static str,
        job: &J,
        batch: SqsEvent,
    ) -> Option<Result<SqsBatchResponse, BoxError>> {
        self.invoke(binary, |deadline| sqs::drain(job, batch, deadline)).await
    }
}

/// Sets up this thread's platform, and lets queues and schedules do their work. To make all clients anew takes longer than a
/// short run: those of the run before are taken, if they belong to the same deployment.
pub fn start(deployment: &Rc<Deployment>, called_at_once: usize) -> Result<()> {
    let last = PLATFORM.take().and_then(Rc::into_inner);
    let mut platform = match last.filter(|last| Rc::ptr_eq(&last.deployment, deployment)) {
        Some(platform) => platform,
        None => Platform::new(deployment.clone(), &aws::config())?,
    };
    platform.forget(&aws::config())?;
    platform.call_at_once(called_at_once);
    PLATFORM.set(Some(Rc::new(platform)));
    for source in &deployment.queues {
        let name = source.queue_arn.rsplit(':').next().unwrap_or_default().to_owned();
        let function =
            deployment.functions.iter().find(|function| function.name == source.function);
        let binary = function.map(|function| function.binary.clone()).unwrap_or_default();
        let batch = usize::try_from(source.batch_size)?;
        let most = usize::try_from(source.concurrency.unwrap_or(1_000))?;
        tokio::task::spawn_local(poll(name, binary, batch, most));
    }
    for schedule in &deployment.schedules {
        tokio::task::spawn_local(repeat(schedule.every, deployment.table("OrdersTable")?));
    }
    Ok(())
}

/// The schedule: it sweeps. Where nothing is due, a sweep asks two dozen times for nothing, which is a third of what a run
/// with two faults does: it is left out.
async fn repeat(every: Duration, table: String) {
    loop {
        sleep(every).await;
        if world::with(|world| world.is_idle) {
            continue;
        }
        if !world::with(|world| dynamodb::is_anything_due(&world.db, &table)) {
            world::with(|world| world.queues.swept_at.push(Instant::now()));
            continue;
        }
        tokio::task::spawn_local(async {
            let platform = platform();
            let now = world::now();
            let swept = platform.invoke("sweeper", |_| platform.sweep.run(now)).await;
            if let Some(Ok(Swept { failed: 0, .. })) = swept {
                world::with(|world| world.queues.swept_at.push(Instant::now()));
            }
            note("swept", || format!("{swept:?}"));
        });
    }
}

/// While nobody works, it is looked so often whether that is over.
const IDLE: Duration = Duration::from_mins(1);

/// Takes messages out of a queue and hands them to its function, as Lambda's event source does.
async fn poll(queue: String, binary: String, batch: usize, most: usize) {
    let running = Arc::new(Semaphore::new(most));
    let changed = world::with(|world| world.queues.named(&queue).changed.clone());
    loop {
        let told = changed.notified();
        tokio::pin!(told);
        told.as_mut().enable();
        let Ok(slot) = running.clone().acquire_owned().await else { return };
        if world::with(|world| world.is_idle) {
            sleep(IDLE).await;
            continue;
        }
        let messages = world::with(|world| world.queues.receive(&queue, batch));
        if messages.is_empty() {
            drop(slot);
            let next = world::with(|world| world.queues.named(&queue).next_visible(Instant::now()));
            match next {
                Some(next) => tokio::select! {
                    biased;
                    () = &mut told => {}
                    () = sleep_until(next) => {}
                },
                None => told.await,
            }
            sleep(world::a_while(2, 20)).await;
            continue;
        }
        if strike(Callee::Delivery, "deliver") == Some(Fault::Twice) {
            tokio::task::spawn_local(hand_over(queue.clone(), binary.clone(), messages.clone()));
        }
        let work = hand_over(queue.clone(), binary.clone(), messages);
        tokio::task::spawn_local(async move {
            work.await;
            drop(slot);
        });
    }
}

async fn hand_over(queue: String, binary: String, messages: Vec<Message>) {
    sleep(world::a_while(1, 15)).await;
    let records: Vec<_> = messages
        .iter()
        .map(|message| {
            let mut attributes = json!({"ApproximateReceiveCount": message.receives.to_string()});
            if let Some(group) = &message.group {
                attributes["MessageGroupId"] = json!(group);
            }
            json!({
                "messageId": message.id,
                "receiptHandle": message.receipt,
                "body": message.body,
                "attributes": attributes,
                "messageAttributes": {},
                "eventSource": "aws:sqs",
            })
        })
        .collect();
    note("hand over", || {
        let bodies: Vec<_> = messages.iter().map(|one| one.body.as_str()).collect();
        format!("{binary} {}", bodies.join(" "))
    });
    let event = serde_json::from_value(json!({"Records": records})).expect("an event");
    let Some(answer) = platform().drain(&binary, event).await else { return };
    let failed: Vec<_> =
        answer.batch_item_failures.into_iter().map(|failure| failure.item_identifier).collect();
    world::with(|world| {
        for message in messages.iter().filter(|message| !failed.contains(&message.id)) {
            world.queues.named(&queue).delete(&message.receipt);
        }
    });
}

/// SES has stored a mail.
pub async fn mail(event: SimpleEmailEvent) {
    // An event whose function fails comes again after a minute, and once more after two.
    for pause in [0, 60, 120] {
        sleep(Duration::from_secs(pause)).await;
        let platform = platform();
        let event = event.clone();
        if let Some(Ok(())) =
            platform.invoke("inbound-email", |_| platform.inbound.run(event)).await
        {
            return;
        }
    }
}

/// What a client asks of the API.
pub enum Call<'a> {
    /// To order this.
    Create(&'a Value),
    /// How this order is.
    Get(&'a str),
    /// To call this order off.
    Abort(&'a str),
    /// To have cancelled what this order bought.
    Cancel {
        /// The order.
        order: &'a str,
        /// What else is said.
        body: &'a Value,
    },
    /// How this cancellation is.
    GetCancellation(&'a str),
    /// To keep this login.
    OpenAccount(&'a Value),
}

/// What the API answers to `owner`: a status and a body, or nothing.
pub async fn api(owner: &Owner, call: Call<'_>) -> Option<(u16, Value)> {
    let (is_heard, answer) = asked(owner, call).await;
    answer.filter(|_| is_heard)
}

/// The same for who judges: whether the client hears the answer, and the answer.
pub async fn asked(owner: &Owner, call: Call<'_>) -> (bool, Option<(u16, Value)>) {
    let is_heard = strike(Callee::Api, "api") != Some(Fault::NoAnswer);
    (is_heard, look(owner, call).await)
}

/// The same where the way between is no part of what is tried.
pub async fn look(owner: &Owner, call: Call<'_>) -> Option<(u16, Value)> {
    let platform = platform();
    let answer = match call {
        Call::Create(body) => {
            let event = request(owner, "/v1/orders", None, Some(body));
            platform.invoke("create-order", |_| http::answer(&platform.create, event)).await
        }
        Call::Get(id) => {
            let event = request(owner, "/v1/orders/id", Some(id), None);
            platform.invoke("get-order", |_| http::answer(&platform.get, event)).await
        }
        Call::Abort(id) => {
            let event = request(owner, "/v1/orders/id/abort", Some(id), None);
            platform.invoke("abort-order", |_| http::answer(&platform.abort, event)).await
        }
        Call::Cancel { order, body } => {
            let event = request(owner, "/v1/orders/id/cancel", Some(order), Some(body));
            platform.invoke("cancel-order", |_| http::answer(&platform.cancel, event)).await
        }
        Call::GetCancellation(id) => {
            let event = request(owner, "/v1/cancellations/id", Some(id), None);
            let work = |_| http::answer(&platform.get_cancellation, event);
            platform.invoke("get-cancellation", work).await
        }
        Call::OpenAccount(body) => {
            let event = request(owner, "/managed-accounts", None, Some(body));
            let work = |_| http::answer(&platform.open_account, event);
            platform.invoke("create-managed-account", work).await
        }
    };
    let response: Response<Body> = answer?.ok()?;
    let status = response.status().as_u16();
    let body = serde_json::from_slice(response.body()).unwrap_or_default();
    Some((status, body))
}

fn request(
    owner: &Owner,
    path: &str,
    id: Option<&str>,
    body: Option<&Value>,
) -> lambda_http::Request {
    let partition = owner.partition();
    let (client, mode) = partition.split_once('#').unwrap_or_default();
    let event = json!({
        "version": "2.0",
        "routeKey": format!("POST {path}"),
        "rawPath": path,
        "rawQueryString": "",
        "headers": {"content-type": "application/json"},
        "requestContext": {
            "accountId": "model",
            "apiId": "model",
            "authorizer": {"lambda": {"client_id": client, "mode": mode}},
            "domainName": "api.model",
            "domainPrefix": "api",
            "http": {"method": "POST", "path": path, "protocol": "HTTP/1.1", "sourceIp": "127.0.0.1", "userAgent": ""},
            "requestId": "request",
            "routeKey": "route",
            "stage": "$default",
            "time": "",
            "timeEpoch": 0,
        },
        "pathParameters": id.map(|id| json!({"request_id": id})),
        "body": body.map(Value::to_string),
        "isBase64Encoded": false,
    });
    serde_json::from_value::<LambdaRequest>(event).expect("an event").into()
}
