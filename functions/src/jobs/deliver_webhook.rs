//! Delivers what waits in one lane of webhooks, in order.
//!
//! The message is a hint; the lane says when something is due. A lane is claimed before its first delivery is sent, so
//! that two hints do not make two deliveries, and a claim whose worker died runs out.

use std::time::{Duration, Instant};

use base64::{Engine, prelude::BASE64_STANDARD};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use jiff::{SignedDuration, Timestamp};
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;
use spelter::{
    accounts::Owner,
    aws::{
        AwsError,
        orders::secrets_context,
        outbox::{Conclusion, Dossier, News, Outbox},
        queue::{MAX_DELAY, WebhookMessage, WebhookRetries, Webhooks},
        vault::Vault,
        webhook_settings::{Settings, WebhookSettings, open_secret, userinfo_context},
    },
    clock::{self, Clock},
    error::{BoxError, chain},
    http::outbound::{Courier, Letter, NoReply},
    id::RequestId,
    random,
    sqs::{Job, Outcome, Received},
    telemetry::millis_since,
    webhooks::{
        deliveries::{
            Attempt, Delivery, DeliveryState, KEPT_FOR, MAX_ANSWER_BYTES, MAX_CLAIMS,
            MAX_ERROR_CHARS, Verdict, verdict, wait_after,
        },
        endpoints::{self, Change, Endpoint},
        events::{AccountEvent, AccountNews, EventName},
        lanes::{Claim, Destination, LaneKey, ReceiverKey, without_query},
        signing,
    },
};
use url::Url;

use crate::news;

/// What this function may touch.
pub struct DeliverWebhook<C> {
    /// The lanes and their deliveries.
    pub outbox: Outbox,
    /// Clients' own endpoints and secrets.
    pub settings: WebhookSettings,
    /// Opens secrets, and a URL's user and password.
    pub vault: Vault,
    /// Where what is due now is asked for.
    pub webhooks: Webhooks,
    /// Where a later try is asked for.
    pub retries: WebhookRetries,
    /// The way out.
    pub courier: C,
    /// The time.
    pub now: Clock,
}

/// Receivers are told to answer fast.
pub const TIMEOUT: Duration = Duration::from_secs(15);
/// How long a claim holds: longer than a try can take, and shorter than the queue waits for a worker that died.
const CLAIM: Duration = Duration::from_secs(30);
/// With less time than this left, the rest of a lane is left to another invocation.
const ENOUGH_TIME: Duration = Duration::from_secs(20);

/// What a client may know of a fault of ours.
const NOT_PREPARED: &str = "it could not be prepared; the receiver was not asked";

/// A try that was made.
struct Tried {
    attempt: Attempt,
    verdict: Verdict,
}

/// What a receiver gets.
struct Parcel {
    url: Url,
    userinfo: Option<SecretString>,
    headers: HeaderMap,
    body: String,
}

impl<C: Courier> Job for DeliverWebhook<C> {
    type Message = WebhookMessage;

    async fn run(&self, received: Received<WebhookMessage>) -> Result<Outcome, BoxError> {
        match received.message {
            WebhookMessage::Wake { owner, lane } => self.webhooks.deliver(&owner, &lane).await?,
            WebhookMessage::Deliver { owner, lane, as_of } => {
                let ahead = as_of.map(|as_of| as_of.duration_since((self.now)()));
                let ahead = ahead.unwrap_or_default().max(SignedDuration::ZERO);
                self.drain(&owner, &lane, ahead, received.deadline).await?;
            }
        }
        Ok(Outcome::Done)
    }

    /// Nothing here asks for it.
    async fn postpone(&self, _: &str, _: Duration) -> Result<(), BoxError> {
        Err("webhooks are not postponed but asked for again".into())
    }
}

impl<C: Courier> DeliverWebhook<C> {
    /// Tries what is due in a lane until nothing is, or until there is no time left. The schedule's clock is `ahead` of
    /// ours.
    async fn drain(
        &self,
        owner: &Owner,
        lane: &LaneKey,
        ahead: SignedDuration,
        deadline: Timestamp,
    ) -> Result<(), BoxError> {
        loop {
            let now = self.schedule_time(ahead);
            let until = clock::after(now, CLAIM);
            let Some(claim) = self.outbox.claim(owner, lane, now, until).await? else {
                return Ok(());
            };
            let has_ended = self.work(&claim, ahead).await?;
            // Who adds something asks for it, too.
            if !has_ended || claim.waiting == 1 {
                return Ok(());
            }
            if clock::until(deadline, (self.now)()) < ENOUGH_TIME {
                self.webhooks.deliver(owner, lane).await?;
                return Ok(());
            }
        }
    }

    fn schedule_time(&self, ahead: SignedDuration) -> Timestamp {
        let now = (self.now)();
        now.checked_add(ahead).unwrap_or(now)
    }

    /// Tries the first delivery of a lane once; whether it has left the lane.
    async fn work(&self, claim: &Claim, ahead: SignedDuration) -> Result<bool, BoxError> {
        let is_over = claim.attempt > MAX_CLAIMS;
        let dossier = match self.outbox.dossier(claim).await {
            Err(AwsError::Corrupt(kind, error)) if is_over => {
                let id = &claim.head.delivery;
                tracing::error!(delivery.id = %id, error = chain(&*error), "{id} is left out: {kind}");
                let skipped = self.outbox.skip(claim, self.schedule_time(ahead)).await;
                return unless_lost(skipped).map(|()| true);
            }
            found => found?,
        };
        let Some(delivery) = dossier.delivery.clone() else {
            let id = &claim.head.delivery;
            tracing::error!(delivery.id = %id, "{id} has expired");
            let skipped = self.outbox.skip(claim, self.schedule_time(ahead)).await;
            return unless_lost(skipped).map(|()| true);
        };
        let tried = match dossier.disabled() {
            Some(reason) => Err(reason.as_text().to_owned()),
            None if is_over => Err("none of its tries could be written down".to_owned()),
            None => match &dossier.body {
                Some(body) => self.attempt(&delivery, &dossier, body).await,
                None => Err("what it says has expired".to_owned()),
            },
        };
        self.conclude(claim, delivery, &dossier, tried, self.schedule_time(ahead)).await
    }

    /// Sends it; an error says why there is nothing to send to.
    async fn attempt(
        &self,
        delivery: &Delivery,
        dossier: &Dossier,
        body: &str,
    ) -> Result<Tried, String> {
        if delivery.destination == Destination::Account && dossier.settings.url.is_none() {
            return Err("the client has no endpoint of its own any more".to_owned());
        }
        let (at, started) = ((self.now)(), Instant::now());
        let sent = match self.parcel(delivery, dossier.settings.clone(), body).await {
            Ok(parcel) => self.send(&parcel).await,
            Err(error) => {
                let (id, error) = (&delivery.id, chain(&*error));
                tracing::error!(delivery.id = %id, error, "{id} could not be prepared");
                Err((Verdict::Unsent, NOT_PREPARED.to_owned()))
            }
        };
        let latency_ms = millis_since(started);
        Ok(match sent {
            Ok((verdict, status, answer)) => {
                let is_received = verdict == Verdict::Received;
                let error = (!is_received).then(|| format!("the receiver answered {status}"));
                let status = Some(status.as_u16());
                Tried { attempt: Attempt { at, latency_ms, status, error, answer }, verdict }
            }
            Err((verdict, error)) => {
                let (error, answer) = (Some(error), String::new());
                Tried { attempt: Attempt { at, latency_ms, status: None, error, answer }, verdict }
            }
        })
    }

    /// What is sent, and where.
    async fn parcel(
        &self,
        delivery: &Delivery,
        settings: Settings,
        body: &str,
    ) -> Result<Parcel, BoxError> {
        let owner = &delivery.owner;
        let settings = self.settings.with_secret(owner, settings, &self.vault).await?;
        let (url, userinfo) = match &delivery.destination {
            Destination::Url { url, userinfo } => {
                let context = secrets_context(owner, &delivery.request, "webhook");
                (Some(url), userinfo.as_ref().map(|sealed| (context, sealed)))
            }
            Destination::Account => {
                let userinfo = settings.userinfo.as_ref();
                (settings.url.as_ref(), userinfo.map(|sealed| (userinfo_context(owner), sealed)))
            }
        };
        let url = Url::parse(url.map(String::as_str).unwrap_or_default())?;
        let userinfo = match userinfo {
            Some((context, sealed)) => Some(self.vault.open_text(&context, sealed).await?),
            None => None,
        };
        let sent_at = (self.now)();
        let mut secrets = Vec::new();
        for secret in settings.live(sent_at) {
            secrets.push(open_secret(owner, secret, &self.vault).await?);
        }
        let headers = signing::headers(&delivery.id, delivery.event, sent_at, body, &secrets)?;
        Ok(Parcel { url, userinfo, headers, body: body.to_owned() })
    }

    /// What a receiver said to it, or what that it said nothing means and why.
    async fn send(
        &self,
        parcel: &Parcel,
    ) -> Result<(Verdict, StatusCode, String), (Verdict, String)> {
        let mut headers = parcel.headers.clone();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        // What is cut through is not found any more, so what is taken out is read whole.
        let max_answer_bytes = MAX_ANSWER_BYTES.saturating_add(parcel.longest_secret());
        let letter = Letter {
            url: &parcel.url,
            headers,
            login: parcel.login(),
            body: parcel.body.clone(),
            max_answer_bytes,
        };
        let reply = self.courier.deliver(letter).await.map_err(|error| match error {
            NoReply::Refused(blocked) => (Verdict::Refused, blocked.to_string()),
            NoReply::Failed(why) => {
                let why = why.chars().take(MAX_ERROR_CHARS).collect();
                (Verdict::Failed { retry_after: None }, why)
            }
        })?;
        let verdict = verdict(reply.status, reply.retry_after.as_deref(), (self.now)());
        let answer = parcel.without_login(&String::from_utf8_lossy(&reply.body));
        let kept = answer.floor_char_boundary(MAX_ANSWER_BYTES);
        Ok((verdict, reply.status, answer.get(..kept).unwrap_or_default().to_owned()))
    }

    /// Writes what came of it, and asks for the next try; whether there is none.
    async fn conclude(
        &self,
        claim: &Claim,
        mut delivery: Delivery,
        dossier: &Dossier,
        tried: Result<Tried, String>,
        now: Timestamp,
    ) -> Result<bool, BoxError> {
        let follows = match &tried {
            Err(reason) => undelivered(reason, now),
            Ok(tried) => follows(claim.attempt, tried, now),
        };
        let mut verdict = Verdict::Unsent;
        if let Ok(tried) = tried {
            delivery.attempts.push(tried.attempt);
            verdict = tried.verdict;
        }
        let conclusion = match follows {
            Follows::Again(at) => Conclusion::Again(at),
            Follows::End(state) => {
                delivery.state = state;
                delivery.expires_at = clock::after(now, KEPT_FOR);
                Conclusion::Ended
            }
        };
        log(&delivery, claim.attempt);
        unless_lost(self.outbox.conclude(claim, &delivery, &conclusion, now).await)?;
        if let Conclusion::Again(at) = conclusion {
            let wait = clock::until(at, now);
            // What is due later than a queue can wait, the sweeper finds.
            if wait <= MAX_DELAY {
                self.retries.wake(&claim.owner, &claim.lane, wait).await?;
            }
        }
        self.note(&delivery, dossier, &verdict, now).await?;
        Ok(conclusion == Conclusion::Ended)
    }

    /// Notes what a try says of its endpoint. Whoever learns something else at the same time is as right: the next try
    /// tells.
    async fn note(
        &self,
        delivery: &Delivery,
        dossier: &Dossier,
        verdict: &Verdict,
        now: Timestamp,
    ) -> Result<(), BoxError> {
        let Delivery { owner, destination, .. } = delivery;
        let (known, change) = change_of(delivery, dossier, verdict, now);
        let mut also = Vec::new();
        if *destination == Destination::Account {
            // What a client's own endpoint did says nothing of the one that the client has named in the meantime.
            also.push(self.settings.unchanged(owner, &dossier.settings)?);
        }
        let mut told = Vec::new();
        let noted = match (&change, known) {
            (Change::None, _) | (Change::Forget, None) => return Ok(()),
            (Change::Forget, Some(known)) => self.outbox.endpoint_works(owner, known, also).await,
            (Change::Keep(endpoint), known) => {
                told.extend(told_of(delivery, dossier, endpoint, now));
                also.extend(self.outbox.writes(&told, now)?);
                self.outbox.keep_endpoint(owner, known, endpoint, also).await
            }
        };
        match noted {
            Err(AwsError::Conflict) => Ok(()),
            noted => {
                noted?;
                news::tell(&self.webhooks, &told).await;
                Ok(())
            }
        }
    }
}

impl Parcel {
    fn login(&self) -> Option<(&str, &str)> {
        let userinfo = self.userinfo.as_ref()?.expose_secret();
        Some(userinfo.split_once(':').unwrap_or((userinfo, "")))
    }

    /// What a receiver said, without the login that it was sent: some repeat what they get.
    fn without_login(&self, answer: &str) -> String {
        let secrets = self.secrets().into_iter();
        secrets.fold(answer.to_owned(), |text, secret| text.replace(&secret, "[removed]"))
    }

    /// The login as it is sent, and the part of it that is secret.
    fn secrets(&self) -> Vec<String> {
        let Some((user, password)) = self.login() else { return Vec::new() };
        let basic = BASE64_STANDARD.encode(format!("{user}:{password}"));
        // Some put a token where the user stands.
        let secret = if password.is_empty() { user } else { password };
        vec![basic, secret.to_owned()]
    }

    fn longest_secret(&self) -> usize {
        self.secrets().iter().map(String::len).max().unwrap_or_default()
    }
}

/// What follows from a try.
enum Follows {
    /// Another one, at that time.
    Again(Timestamp),
    /// Nothing: so it ends.
    End(DeliveryState),
}

/// What follows from the try number `attempt`.
fn follows(attempt: u32, tried: &Tried, now: Timestamp) -> Follows {
    let why = || tried.attempt.error.clone().unwrap_or_default();
    let again = |attempt, retry_after| match wait_after(attempt, retry_after, random::fraction()) {
        Some(wait) => Follows::Again(clock::after(now, wait)),
        None => undelivered(&why(), now),
    };
    match &tried.verdict {
        Verdict::Received => Follows::End(DeliveryState::Delivered { at: now }),
        Verdict::Gone | Verdict::Refused => undelivered(&why(), now),
        Verdict::Failed { retry_after } => again(attempt, *retry_after),
        Verdict::Unsent => again(attempt, None),
    }
}

fn undelivered(reason: &str, now: Timestamp) -> Follows {
    Follows::End(DeliveryState::Undelivered { at: now, reason: reason.to_owned() })
}

/// News for the client's own endpoint that another one is disabled.
fn told_of(
    delivery: &Delivery,
    dossier: &Dossier,
    endpoint: &Endpoint,
    now: Timestamp,
) -> Option<News> {
    let Endpoint { url, failing_since, .. } = endpoint;
    let reason = endpoint.disabled.as_ref().filter(|_| endpoint.is_newly_disabled(now))?.reason;
    let owner = &delivery.owner;
    let client = &owner.client;
    tracing::warn!(client.id = %client, "nothing is sent any more: {}", reason.as_text());
    if delivery.destination == Destination::Account || dossier.settings.url.is_none() {
        return None;
    }
    let since = format!("{failing_since:.3}");
    let data = json!({"url": url, "reason": reason, "failing_since": since});
    let news = AccountNews::new(AccountEvent::EndpointDisabled, "disabled").with(data);
    let wanted = vec![(EventName::Account(news.event), Destination::Account)];
    let body = news.body(None, None, now).to_string();
    Some(news::told(owner, &RequestId::new(random::sortable_uuid(now)), body, wanted, now))
}

/// What a try changes about its endpoint: 410 is said of the exact URL, everything else of the endpoint behind it.
fn change_of<'a>(
    delivery: &Delivery,
    dossier: &'a Dossier,
    verdict: &Verdict,
    now: Timestamp,
) -> (Option<&'a Endpoint>, Change) {
    let destination = &delivery.destination;
    let whole = match destination {
        Destination::Url { url, .. } => url.clone(),
        Destination::Account => String::new(),
    };
    let (key, url): (ReceiverKey, String) = match verdict {
        Verdict::Gone => (destination.receiver(), whole),
        Verdict::Received | Verdict::Failed { .. } | Verdict::Unsent | Verdict::Refused => {
            (destination.endpoint(), without_query(&whole))
        }
    };
    let known = dossier.endpoint(&key);
    (known, endpoints::after(known, verdict, &key, &url, now))
}

/// A lane that is in other hands by now is theirs: what was tried under the lost claim they try again.
fn unless_lost(written: Result<(), AwsError>) -> Result<(), BoxError> {
    match written {
        Err(AwsError::Conflict) => {
            tracing::warn!("a try was not written down: its lane was claimed anew, or it is gone");
            Ok(())
        }
        written => Ok(written?),
    }
}

fn log(delivery: &Delivery, attempt: u32) {
    let id = &delivery.id;
    let error = delivery.attempts.last().and_then(|attempt| attempt.error.as_deref());
    match (&delivery.state, error) {
        (DeliveryState::Delivered { .. }, _) => {}
        (DeliveryState::Undelivered { reason, .. }, _) => {
            let request = &delivery.request;
            tracing::error!(delivery.id = %id, request.id = %request, reason, "{id} is given up");
        }
        (DeliveryState::Pending, error) => {
            tracing::warn!(delivery.id = %id, attempt, error, "{id} was not received");
        }
    }
}
