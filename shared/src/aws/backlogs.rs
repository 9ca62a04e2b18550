//! The backlog of each retailer account, in the table of orders: the jobs that are not done yet. The first few of each
//! have messages in the queue.
//!
//! A job is written with what makes it necessary and leaves when it is done, so that a message that is lost, that waited
//! for too long, or that was never sent is sent again by whoever looks here: the worker as its jobs leave, the sweeper
//! every few minutes.

use aws_sdk_dynamodb::{
    Client,
    types::{Delete, Put, Update},
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{
    AwsError, Item,
    idempotency::Created,
    keys::{self, DueKind},
    number,
    queue::{JobMessage, Jobs, Ticket},
    text,
    transaction::{self, NotWritten, Write},
    update_item,
};
use crate::{
    accounts::AccountRef,
    backlog::{self, CALLED_AT_ONCE, Calls, Place, WATCHED_EVERY},
    clock,
    error::chain,
    guards::Guard,
};

/// The backlogs in the table of orders.
#[derive(Clone)]
pub struct Backlogs {
    db: Client,
    table: String,
    jobs: Jobs,
    /// How many jobs of an account have messages at the same time.
    pub called_at_once: usize,
}

/// Where a new job stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// Among the first, with a message that is sent next.
    Called,
    /// Wherever it comes to stand.
    Waiting,
}

/// Another job, to be written with what makes it necessary.
pub struct Addition {
    ticket: Ticket,
    standing: Standing,
    writes: Vec<Write>,
}

impl Addition {
    /// Where it stands.
    pub fn place(&self) -> Place {
        self.ticket.place.clone()
    }

    /// For the transaction.
    pub fn writes(&self) -> Vec<Write> {
        self.writes.clone()
    }
}

/// The beginning of a backlog.
struct Front {
    /// How many jobs there are in all; none if nothing watches it.
    jobs: Option<u64>,
    called: Vec<(Ticket, Calls)>,
}

#[derive(Serialize, Deserialize)]
struct StoredJob {
    pk: String,
    sk: String,
    account: AccountRef,
    place: Place,
    /// JSON text, as in a message.
    job: String,
    messages: u32,
    #[serde(with = "clock::optional_millis", default)]
    sent_at: Option<Timestamp>,
}

/// It is written by expressions only.
#[derive(Deserialize)]
struct StoredHead {
    jobs: u64,
}

impl Backlogs {
    pub(super) fn new(db: Client, table: String, jobs: Jobs) -> Self {
        Self { db, table, jobs, called_at_once: CALLED_AT_ONCE }
    }

    /// Has `create` store what makes the job of `ticket` necessary, together with the writes it is given: those of `also`
    /// first. Then the job is called up, if it is among the first of its account.
    pub async fn add_with<K, F: Future<Output = Result<Created<K>, AwsError>>>(
        &self,
        ticket: &Ticket,
        also: Vec<Write>,
        now: Timestamp,
        create: impl Fn(Vec<Write>) -> F,
    ) -> Result<Created<K>, AwsError> {
        if !Guard::Backlog.stands() {
            let created = create(also).await?;
            if let Created::New = created {
                transaction::commit(&self.db, self.writes(ticket, Standing::Waiting, now)?).await?;
                self.call_up(&ticket.account, now).await;
            }
            return Ok(created);
        }
        let place_of_head = also.len();
        let with = |standing| -> Result<_, AwsError> {
            let mut writes = also.clone();
            writes.extend(self.writes(ticket, standing, now)?);
            Ok(writes)
        };
        match create(with(Standing::Called)?).await? {
            Created::Refused(refused) if refused.at(place_of_head) => {
                let created = create(with(Standing::Waiting)?).await?;
                if let Created::New = created {
                    // Others may have left in between.
                    self.call_up(&ticket.account, now).await;
                }
                Ok(created)
            }
            Created::New => {
                warn_if_failed(ticket.account.as_str(), self.jobs.send(ticket, 1).await);
                Ok(Created::New)
            }
            created => Ok(created),
        }
    }

    /// Another job of `account`, unless the `last` one is still to be done: then there is nothing to add.
    pub async fn another(
        &self,
        account: &AccountRef,
        last: Option<&Place>,
        job: JobMessage,
        now: Timestamp,
    ) -> Result<Option<Addition>, AwsError> {
        let front = self.front(account).await?;
        let jobs = usize::try_from(front.jobs.unwrap_or_default()).unwrap_or(usize::MAX);
        if let Some(last) = last
            && (front.called.iter().any(|(ticket, _)| ticket.place == *last)
                || (jobs > front.called.len() && self.holds(account, last).await?))
        {
            return Ok(None);
        }
        let standing =
            if jobs < self.called_at_once { Standing::Called } else { Standing::Waiting };
        let ticket = Ticket::new(account.clone(), job, now);
        let writes = self.writes(&ticket, standing, now)?;
        Ok(Some(Addition { ticket, standing, writes }))
    }

    /// Calls up the job of `addition`, which is written.
    pub async fn added(&self, addition: Addition, now: Timestamp) {
        let Addition { ticket, standing, writes: _ } = addition;
        match standing {
            Standing::Called => {
                warn_if_failed(ticket.account.as_str(), self.jobs.send(&ticket, 1).await);
            }
            // Others may have left in between.
            Standing::Waiting => self.call_up(&ticket.account, now).await,
        }
    }

    /// The head comes first, for who asks why it was refused.
    fn writes(
        &self,
        ticket: &Ticket,
        standing: Standing,
        now: Timestamp,
    ) -> Result<Vec<Write>, AwsError> {
        let is_called = standing == Standing::Called;
        let stored = StoredJob {
            pk: keys::backlog_pk(&ticket.account),
            sk: keys::backlog_job_sk(&ticket.place),
            account: ticket.account.clone(),
            place: ticket.place.clone(),
            job: serde_json::to_string(&ticket.job).map_err(AwsError::corrupt("a job"))?,
            messages: u32::from(is_called),
            sent_at: is_called.then_some(now),
        };
        let item = serde_dynamo::to_item(stored).map_err(AwsError::corrupt("a job"))?;
        let put = Put::builder()
            .table_name(&self.table)
            .set_item(Some(item))
            .condition_expression("attribute_not_exists(pk)");
        let watched_at = clock::after(now, WATCHED_EVERY);
        let mut head = Update::builder()
            .table_name(&self.table)
            .set_key(Some(keys::backlog_head(&ticket.account)))
            .update_expression(
                "SET due_at = if_not_exists(due_at, :watched), due_shard = if_not_exists(due_shard, :shard) \
                 ADD jobs :one",
            )
            .expression_attribute_values(":watched", number(watched_at.as_millisecond()))
            .expression_attribute_values(":shard", text(DueKind::Backlog.shard(ticket.account.as_str())))
            .expression_attribute_values(":one", number(1));
        if is_called {
            head = head
                .condition_expression("attribute_not_exists(jobs) OR jobs < :many")
                .expression_attribute_values(":many", number(self.called_at_once));
        }
        Ok(vec![Write::update(head)?, Write::put(put)?])
    }

    /// Whether the job at `place` is still to be done.
    pub async fn holds(&self, account: &AccountRef, place: &Place) -> Result<bool, AwsError> {
        let get = self
            .db
            .get_item()
            .table_name(&self.table)
            .set_key(Some(keys::backlog_job(account, place)))
            .consistent_read(true);
        let found = get.send().await.map_err(AwsError::call("dynamodb:GetItem"))?;
        Ok(found.item.is_some())
    }

    /// Takes out the job of `ticket`, which is done, and calls up the next ones. One that has left before leaves no trace.
    pub async fn leave(&self, ticket: &Ticket, now: Timestamp) {
        let left = self.take_out(ticket, now).await;
        warn_if_failed(ticket.account.as_str(), left);
    }

    async fn take_out(&self, ticket: &Ticket, now: Timestamp) -> Result<(), AwsError> {
        let Ticket { account, place, .. } = ticket;
        let job = Delete::builder()
            .table_name(&self.table)
            .set_key(Some(keys::backlog_job(account, place)))
            .condition_expression("attribute_exists(pk)");
        let job = Write::delete(job)?;
        // Mostly it is the only one.
        match transaction::commit(&self.db, vec![job.clone(), self.remove_head(account, 1)?]).await
        {
            Err(NotWritten::Refused(refused)) if refused.at(0) => return Ok(()),
            Err(NotWritten::Refused(_)) => {}
            written => return Ok(written?),
        }
        let fewer = Update::builder()
            .table_name(&self.table)
            .set_key(Some(keys::backlog_head(account)))
            .update_expression("ADD jobs :fewer")
            .condition_expression("jobs > :none")
            .expression_attribute_values(":fewer", number(-1))
            .expression_attribute_values(":none", number(0));
        match transaction::commit(&self.db, vec![job, Write::update(fewer)?]).await {
            Err(NotWritten::Refused(refused)) if refused.at(0) => return Ok(()),
            written => written?,
        }
        self.send_due(account, now).await.map(drop)
    }

    /// Sends the messages that the first jobs of `account` need. What fails is found by the sweeper.
    async fn call_up(&self, account: &AccountRef, now: Timestamp) {
        warn_if_failed(account.as_str(), self.send_due(account, now).await.map(drop));
    }

    /// The same for a backlog that is due to be looked at, and when it is to be looked at again. Answers how many messages
    /// were sent.
    pub async fn watch(&self, account: &AccountRef, now: Timestamp) -> Result<usize, AwsError> {
        let (front, sent) = self.send_due(account, now).await?;
        let Some(jobs) = front.jobs else { return Ok(sent) };
        let written = if jobs == 0 {
            transaction::commit(&self.db, vec![self.remove_head(account, 0)?]).await
        } else {
            let again = backlog::watch_again_at(front.called.iter().map(|(_, calls)| *calls), now);
            let watched = Update::builder()
                .table_name(&self.table)
                .set_key(Some(keys::backlog_head(account)))
                .update_expression("SET due_at = :again")
                .condition_expression("attribute_exists(pk)")
                .expression_attribute_values(":again", number(again.as_millisecond()));
            transaction::commit(&self.db, vec![Write::update(watched)?]).await
        };
        match written {
            // It has just become empty, or is no more so.
            Err(NotWritten::Refused(_)) => Ok(sent),
            written => written.map(|()| sent).map_err(Into::into),
        }
    }

    /// For a transaction in which the last of `jobs` jobs leaves, or none.
    fn remove_head(&self, account: &AccountRef, jobs: u64) -> Result<Write, AwsError> {
        let delete = Delete::builder()
            .table_name(&self.table)
            .set_key(Some(keys::backlog_head(account)))
            .condition_expression("jobs = :jobs")
            .expression_attribute_values(":jobs", number(jobs));
        Write::delete(delete)
    }

    async fn send_due(
        &self,
        account: &AccountRef,
        now: Timestamp,
    ) -> Result<(Front, usize), AwsError> {
        let mut front = self.front(account).await?;
        let mut sent = 0;
        for (ticket, calls) in &mut front.called {
            if calls.next_at() > now {
                continue;
            }
            let next = calls.next(now);
            // Sent first: whoever dies in between has sent a message that is sent once more, which the queue drops.
            self.jobs.send(ticket, next.count).await?;
            self.note_call(ticket, *calls, now).await?;
            *calls = next;
            sent += 1;
        }
        Ok((front, sent))
    }

    /// Writes down another message of a job, unless somebody else has sent it, too, or the job has left.
    async fn note_call(
        &self,
        ticket: &Ticket,
        known: Calls,
        now: Timestamp,
    ) -> Result<(), AwsError> {
        let update = self
            .db
            .update_item()
            .table_name(&self.table)
            .set_key(Some(keys::backlog_job(&ticket.account, &ticket.place)))
            .update_expression("SET messages = :count, sent_at = :now")
            .condition_expression("messages = :known")
            .expression_attribute_values(":count", number(known.next(now).count))
            .expression_attribute_values(":known", number(known.count))
            .expression_attribute_values(":now", number(now.as_millisecond()));
        match update_item(update).await {
            Ok(_) => Ok(()),
            Err(error) if error.is_conditional_check_failed_exception() => Ok(()),
            Err(error) => Err(AwsError::Call("dynamodb:UpdateItem", error.into())),
        }
    }

    async fn front(&self, account: &AccountRef) -> Result<Front, AwsError> {
        // The head comes before the jobs.
        let limit = i32::try_from(self.called_at_once.saturating_add(1)).unwrap_or(i32::MAX);
        let query = self
            .db
            .query()
            .table_name(&self.table)
            .key_condition_expression("pk = :backlog")
            .expression_attribute_values(":backlog", text(keys::backlog_pk(account)))
            .consistent_read(true);
        let mut front = Front { jobs: None, called: Vec::new() };
        let mut next = None;
        while front.called.len() < self.called_at_once {
            // Where those at the front cannot be read, there may be many.
            let limit = next.is_none().then_some(limit);
            let query = query.clone().set_limit(limit).set_exclusive_start_key(next);
            let page = query.send().await;
            let page = page.map_err(AwsError::call("dynamodb:Query"))?;
            for item in page.items.unwrap_or_default() {
                front.add(item, account)?;
            }
            next = page.last_evaluated_key;
            if next.is_none() {
                break;
            }
        }
        front.called.truncate(self.called_at_once);
        Ok(front)
    }
}

impl Front {
    fn add(&mut self, item: Item, account: &AccountRef) -> Result<(), AwsError> {
        if keys::is_backlog_head(&item) {
            let head: StoredHead =
                serde_dynamo::from_item(item).map_err(AwsError::corrupt("a backlog"))?;
            self.jobs = Some(head.jobs);
            return Ok(());
        }
        match read_job(item) {
            Ok(job) => self.called.push(job),
            // The others must not wait for what this version does not know.
            Err(error) => tracing::error!(
                account.id = account.as_str(),
                error = chain(&error),
                "a job of {account} cannot be read"
            ),
        }
        Ok(())
    }
}

fn read_job(item: Item) -> Result<(Ticket, Calls), AwsError> {
    let stored: StoredJob = serde_dynamo::from_item(item).map_err(AwsError::corrupt("a job"))?;
    let job: JobMessage = serde_json::from_str(&stored.job).map_err(AwsError::corrupt("a job"))?;
    let calls = Calls { count: stored.messages, last_at: stored.sent_at };
    Ok((Ticket { account: stored.account, place: stored.place, job }, calls))
}

fn warn_if_failed(account: &str, result: Result<(), AwsError>) {
    if let Err(error) = result {
        let error = chain(&error);
        tracing::warn!(
            account.id = account,
            error,
            "the backlog of {account} waits for the sweeper"
        );
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use aws_config::SdkConfig;
    use aws_smithy_runtime_api::client::{
        http::{
            HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings,
            SharedHttpConnector,
        },
        orchestrator::{HttpRequest, HttpResponse},
        runtime_components::RuntimeComponents,
    };
    use aws_smithy_types::body::SdkBody;
    use serde_json::Value;

    use super::*;
    use crate::{
        accounts::Owner,
        aws::emulator,
        id::{ClientId, OrderId},
        retailers::Mode,
    };

    const TABLE: &str = "orders";

    /// A queue that takes every message and keeps its deduplication id.
    #[derive(Debug, Clone, Default)]
    struct Taken(Arc<Mutex<Vec<String>>>);

    impl HttpConnector for Taken {
        fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
            let body = request.body().bytes().unwrap_or_default();
            let body: Value = serde_json::from_slice(body).unwrap();
            let id = body["MessageDeduplicationId"].as_str().unwrap().to_owned();
            self.0.lock().unwrap().push(id);
            let answer = SdkBody::from(r#"{"MessageId": "1"}"#);
            HttpConnectorFuture::ready(Ok(HttpResponse::new(200.try_into().unwrap(), answer)))
        }
    }

    impl HttpClient for Taken {
        fn http_connector(
            &self,
            _: &HttpConnectorSettings,
            _: &RuntimeComponents,
        ) -> SharedHttpConnector {
            SharedHttpConnector::new(self.clone())
        }
    }

    impl Taken {
        /// The numbers of the jobs whose messages were sent since the last look, each with the message's own.
        fn new_ones(&self) -> Vec<(u32, u32)> {
            let ids = std::mem::take(&mut *self.0.lock().unwrap());
            let numbers = ids.iter().map(|id| {
                let (place, count) = id.rsplit_once('-').unwrap();
                let job = u32::from_str_radix(place.rsplit('-').next().unwrap(), 16).unwrap();
                (job, count.parse().unwrap())
            });
            numbers.collect()
        }
    }

    async fn backlogs() -> (Backlogs, Taken) {
        let config = emulator::config().await;
        let db = Client::new(&config);
        emulator::create_table(&db, TABLE, &[]).await;
        let taken = Taken::default();
        let config: SdkConfig = config.into_builder().http_client(taken.clone()).build();
        let jobs = Jobs::new(&config, "http://sqs/1/jobs.fifo".to_owned());
        let mut backlogs = Backlogs::new(db, TABLE.to_owned(), jobs);
        backlogs.called_at_once = 2;
        (backlogs, taken)
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_000_000 + seconds).unwrap()
    }

    fn account() -> AccountRef {
        AccountRef::stored("sandbox-abc")
    }

    /// Job number `number`, which comes at that second.
    fn ticket(number: u32) -> Ticket {
        let owner = Owner { client: ClientId::new(uuid::Uuid::from_u128(1)), mode: Mode::Test };
        let order = OrderId::new(uuid::Uuid::from_u128(number.into()));
        Ticket::new(account(), JobMessage::PlaceOrder { owner, order }, at(number.into()))
    }

    /// Adds job number `number` when it comes, with nothing that makes it necessary.
    async fn add(backlogs: &Backlogs, number: u32) {
        let create = async |also| match transaction::commit(&backlogs.db, also).await {
            Ok(()) => Ok(Created::<crate::id::Order>::New),
            Err(NotWritten::Refused(refused)) => Ok(Created::Refused(refused)),
            Err(NotWritten::Failed(error)) => Err(error),
        };
        let added = backlogs.add_with(&ticket(number), vec![], at(number.into()), create).await;
        assert_eq!(added.unwrap(), Created::New);
    }

    /// Adds a job without a message.
    async fn write(backlogs: &Backlogs, ticket: &Ticket) {
        let writes = backlogs.writes(ticket, Standing::Waiting, at(1)).unwrap();
        transaction::commit(&backlogs.db, writes).await.unwrap();
    }

    async fn jobs(backlogs: &Backlogs) -> Option<u64> {
        backlogs.front(&account()).await.unwrap().jobs
    }

    #[tokio::test]
    async fn only_the_first_jobs_have_messages_and_the_next_is_called_up_as_one_leaves() {
        let (backlogs, taken) = backlogs().await;
        for number in 1..=4 {
            add(&backlogs, number).await;
        }
        assert_eq!(taken.new_ones(), [(1, 1), (2, 1)]);
        assert_eq!(jobs(&backlogs).await, Some(4));
        backlogs.leave(&ticket(1), at(10)).await;
        assert_eq!(taken.new_ones(), [(3, 1)]);
        // Jobs that are done out of turn, and one that is done twice.
        backlogs.leave(&ticket(3), at(11)).await;
        backlogs.leave(&ticket(3), at(11)).await;
        assert_eq!(taken.new_ones(), [(4, 1)]);
        for number in [2, 4] {
            backlogs.leave(&ticket(number), at(12)).await;
        }
        assert_eq!(jobs(&backlogs).await, None);
        assert_eq!(taken.new_ones(), []);
    }

    #[tokio::test]
    async fn a_job_that_is_done_leaves_once() {
        let (backlogs, _) = backlogs().await;
        for number in 1..=2 {
            add(&backlogs, number).await;
        }
        assert!(backlogs.holds(&account(), &ticket(1).place).await.unwrap());
        for _ in 0..3 {
            backlogs.leave(&ticket(1), at(10)).await;
        }
        assert!(!backlogs.holds(&account(), &ticket(1).place).await.unwrap());
        assert_eq!(jobs(&backlogs).await, Some(1));
    }

    #[tokio::test]
    async fn whoever_watches_sends_what_was_not_sent_and_sends_again_what_had_no_effect() {
        let (backlogs, taken) = backlogs().await;
        // Whoever added the first died before it was sent.
        write(&backlogs, &ticket(1)).await;
        assert_eq!(backlogs.watch(&account(), at(60)).await.unwrap(), 1);
        for number in 2..=3 {
            add(&backlogs, number).await;
        }
        assert_eq!(taken.new_ones(), [(1, 1), (2, 1)]);
        for (seconds, sent) in [
            (100, &[][..]),
            // Two minutes after each.
            (122, &[(2, 2)]),
            (180, &[(1, 2)]),
            (240, &[]),
            // Four minutes after each.
            (420, &[(1, 3), (2, 3)]),
        ] {
            assert_eq!(backlogs.watch(&account(), at(seconds)).await.unwrap(), sent.len());
            assert_eq!(taken.new_ones(), sent, "after {seconds} s");
        }
    }

    #[tokio::test]
    async fn there_is_another_job_once_the_last_one_is_done() {
        let (backlogs, taken) = backlogs().await;
        let another = async |last: u32, seconds| {
            let Ticket { account, job, .. } = ticket(7);
            let place = ticket(last).place;
            let added =
                backlogs.another(&account, Some(&place), job, at(seconds)).await.unwrap()?;
            transaction::commit(&backlogs.db, added.writes()).await.unwrap();
            let place = added.place();
            backlogs.added(added, at(seconds)).await;
            Some(place)
        };
        for number in 1..=4 {
            add(&backlogs, number).await;
        }
        // Whether it has a message or not.
        for number in 1..=4 {
            assert_eq!(another(number, 10).await, None);
        }
        for number in 1..=3 {
            backlogs.leave(&ticket(number), at(20)).await;
        }
        taken.new_ones();
        assert_eq!(another(3, 30).await, Some(Place::new(at(30), &ticket(7).place.as_str()[13..])));
        assert_eq!(taken.new_ones(), [(7, 1)]);
        assert!(another(2, 40).await.is_some());
        assert_eq!((taken.new_ones(), jobs(&backlogs).await), (vec![], Some(3)));
    }

    #[tokio::test]
    async fn a_backlog_is_due_as_long_as_there_is_one() {
        let (backlogs, _) = backlogs().await;
        let due_at = async || {
            let get = backlogs.db.get_item().table_name(TABLE);
            let got = get.set_key(Some(keys::backlog_head(&account()))).send().await.unwrap();
            let due_at =
                got.item.map(|item| item["due_at"].as_n().unwrap().parse::<i64>().unwrap());
            due_at.map(|millis| millis / 1000 - 1_000_000)
        };
        add(&backlogs, 1).await;
        add(&backlogs, 50).await;
        assert_eq!(due_at().await, Some(121));
        backlogs.watch(&account(), at(60)).await.unwrap();
        // When the first message is two minutes old.
        assert_eq!(due_at().await, Some(121));
        backlogs.watch(&account(), at(130)).await.unwrap();
        assert_eq!(due_at().await, Some(170));
        for number in [1, 50] {
            backlogs.leave(&ticket(number), at(131)).await;
        }
        assert_eq!(due_at().await, None);
        backlogs.watch(&account(), at(140)).await.unwrap();
        assert_eq!(due_at().await, None);
    }

    #[tokio::test]
    async fn a_job_that_cannot_be_read_stops_no_other() {
        let (backlogs, taken) = backlogs().await;
        for number in 1..=3 {
            let mut unknown = keys::backlog_job(&account(), &ticket(number).place);
            unknown.insert("job".to_owned(), text(r#"{"type": "of_tomorrow"}"#));
            let put = backlogs.db.put_item().table_name(TABLE).set_item(Some(unknown));
            put.send().await.unwrap();
        }
        for number in 4..=6 {
            add(&backlogs, number).await;
        }
        backlogs.watch(&account(), at(10)).await.unwrap();
        assert_eq!(taken.new_ones(), [(4, 1), (5, 1)]);
        backlogs.leave(&ticket(4), at(11)).await;
        assert_eq!(taken.new_ones(), [(6, 1)]);
    }

    #[tokio::test]
    async fn nobody_else_waits_for_an_account_with_many_jobs() {
        let (backlogs, taken) = backlogs().await;
        for number in 1..=20 {
            add(&backlogs, number).await;
        }
        let mut other = ticket(30);
        other.account = AccountRef::stored("sandbox-def");
        write(&backlogs, &other).await;
        backlogs.call_up(&other.account, at(30)).await;
        assert_eq!(taken.new_ones(), [(1, 1), (2, 1), (30, 1)]);
    }

    #[test]
    fn a_message_says_what_the_backlog_says() {
        let ticket = ticket(7);
        let text = serde_json::to_string(&ticket).unwrap();
        assert!(text.starts_with(r#"{"account":"sandbox-abc","place":"#), "{text}");
        assert!(text.contains(r#""type":"place_order""#), "{text}");
        assert_eq!(serde_json::from_str::<Ticket>(&text).unwrap(), ticket);
    }
}
