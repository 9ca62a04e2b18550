//! Webhooks: who is told what, and when a delivery is tried again.

pub mod address;

use std::time::Duration;

use deserr::Deserr;
use jiff::Timestamp;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use url::Url;

use crate::{
    accounts::Owner,
    clock,
    fields::{Faults, FieldError, Unfit},
    id::{DeliveryId, RequestId},
    sealed::Sealed,
};

/// What a webhook tells of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EventKind {
    /// The request ended well. `order_placed` is its older name.
    RequestSucceeded,
    /// The request did not end well. `order_failed` is its older name.
    RequestFailed,
    /// All parcels have tracking numbers.
    TrackingObtained,
    /// Anything about tracking changed.
    TrackingUpdated,
    /// The status changed.
    StatusUpdated,
    /// Reserved.
    CaseUpdated,
}

/// The `webhooks` object of a request.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserr)]
#[deserr(error = Faults)]
pub struct Webhooks {
    #[deserr(default)]
    request_succeeded: Urls,
    #[deserr(default)]
    order_placed: Urls,
    #[deserr(default)]
    request_failed: Urls,
    #[deserr(default)]
    order_failed: Urls,
    #[deserr(default)]
    tracking_obtained: Urls,
    #[deserr(default)]
    tracking_updated: Urls,
    #[deserr(default)]
    status_updated: Urls,
    #[deserr(default)]
    case_updated: Urls,
}

/// A URL or a list of them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserr)]
#[deserr(error = Faults, try_from(Value) = parse_urls -> Unfit)]
struct Urls(Vec<Url>);

const MAX_URLS: usize = 10;
/// The news of a request is written with its change, once for each URL, in one transaction of at most 4 MB.
const MAX_SUBSCRIPTIONS: usize = 10;
const MAX_URL_BYTES: usize = 2048;

/// One event kind and one URL that wants it, as it was asked for.
pub struct Subscription {
    /// What it wants to be told.
    pub kind: EventKind,
    /// Where, without user and password.
    pub url: Url,
    /// `user:password` of the URL, to be sealed.
    pub userinfo: Option<SecretString>,
}

/// A subscription as an order keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// What it wants to be told.
    pub kind: EventKind,
    /// Where, without user and password.
    pub url: String,
    /// `user:password` of the URL, sealed.
    pub userinfo: Option<Sealed>,
}

impl Webhooks {
    /// The same as [`Webhooks::subscriptions`], if there are not too many.
    pub fn bounded_subscriptions(self) -> Result<Vec<Subscription>, FieldError> {
        let subscriptions = self.subscriptions();
        if subscriptions.len() > MAX_SUBSCRIPTIONS {
            let text = format!("must not name more than {MAX_SUBSCRIPTIONS} URLs in all");
            return Err(FieldError::at("webhooks", "value_error", text));
        }
        Ok(subscriptions)
    }

    /// Who wants what, each pair once: clients often name the old and the new spelling together.
    pub fn subscriptions(self) -> Vec<Subscription> {
        let named = [
            (EventKind::RequestSucceeded, self.request_succeeded),
            (EventKind::RequestSucceeded, self.order_placed),
            (EventKind::RequestFailed, self.request_failed),
            (EventKind::RequestFailed, self.order_failed),
            (EventKind::TrackingObtained, self.tracking_obtained),
            (EventKind::TrackingUpdated, self.tracking_updated),
            (EventKind::StatusUpdated, self.status_updated),
            (EventKind::CaseUpdated, self.case_updated),
        ];
        let mut pairs: Vec<(EventKind, Url)> = Vec::new();
        for (kind, urls) in named {
            for url in urls.0 {
                if !pairs.contains(&(kind, url.clone())) {
                    pairs.push((kind, url));
                }
            }
        }
        pairs.into_iter().map(|(kind, url)| subscription(kind, url)).collect()
    }
}

fn subscription(kind: EventKind, mut url: Url) -> Subscription {
    let decode =
        |text: &str| percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned();
    let user = decode(url.username());
    let password = decode(url.password().unwrap_or_default());
    // Both fail only for URLs that cannot have a user; http and https can.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    let userinfo =
        (!user.is_empty() || !password.is_empty()).then(|| format!("{user}:{password}").into());
    Subscription { kind, url, userinfo }
}

/// `url` with a user and a password, as a client would send it.
pub fn with_userinfo(url: &str, user: &str, password: &str) -> Option<String> {
    let mut url = Url::parse(url).ok()?;
    url.set_username(user).ok()?;
    url.set_password(Some(password)).ok()?;
    Some(url.into())
}

fn parse_urls(value: Value) -> Result<Urls, Unfit> {
    let unfit = || Unfit("must be an http or https URL, or a list of them".to_owned());
    let texts = match value {
        Value::Null => vec![],
        Value::String(text) => vec![text],
        Value::Array(items) => items
            .into_iter()
            .map(|item| item.as_str().map(str::to_owned).ok_or_else(unfit))
            .collect::<Result<_, _>>()?,
        Value::Bool(_) | Value::Number(_) | Value::Object(_) => return Err(unfit()),
    };
    if texts.len() > MAX_URLS {
        return Err(Unfit(format!("must not name more than {MAX_URLS} URLs")));
    }
    let parse = |text: String| {
        let url = Url::parse(&text).ok().filter(|_| text.len() <= MAX_URL_BYTES);
        url.filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
            .ok_or_else(unfit)
    };
    Ok(Urls(texts.into_iter().map(parse).collect::<Result<_, _>>()?))
}

/// One event on its way to one URL.
#[derive(Debug, Clone, PartialEq)]
pub struct Delivery {
    /// The same on every try.
    pub id: DeliveryId,
    /// Whose request it tells of.
    pub owner: Owner,
    /// Which request it tells of.
    pub request: RequestId,
    /// Where it goes.
    pub target: Target,
    /// What it says: the body a GET answered at that moment, as JSON text.
    pub body: String,
    /// How it stands.
    pub state: DeliveryState,
    /// When the event happened.
    pub created_at: Timestamp,
    /// Counts changes; a writer names the version it read.
    pub version: u64,
}

/// How a delivery stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum DeliveryState {
    /// To be tried at `due_at`, after so many tries.
    Pending {
        /// Tries so far.
        attempts: u32,
        /// When to try, or to try again.
        #[serde(with = "clock::millis")]
        due_at: Timestamp,
        /// Why the last try did not succeed.
        last_error: Option<String>,
    },
    /// The receiver took it.
    Delivered {
        /// Tries it took.
        attempts: u32,
        /// When.
        #[serde(with = "clock::millis")]
        at: Timestamp,
    },
    /// Tried as often as we try: visible, and to be replayed by hand.
    Undelivered {
        /// Tries.
        attempts: u32,
        /// Why the last one did not succeed.
        last_error: String,
    },
}

/// Waits after each try that did not succeed (Standard Webhooks 1.0.0, "Retry schedule").
const RETRY_WAITS: [Duration; 9] = [
    Duration::from_secs(5),
    Duration::from_mins(5),
    Duration::from_mins(30),
    Duration::from_hours(2),
    Duration::from_hours(5),
    Duration::from_hours(10),
    Duration::from_hours(14),
    Duration::from_hours(20),
    Duration::from_hours(24),
];

/// The state after the try number `attempts` did not succeed at `now`.
pub fn after_failure(attempts: u32, error: String, now: Timestamp) -> DeliveryState {
    let wait = attempts
        .checked_sub(1)
        .and_then(|index| usize::try_from(index).ok())
        .and_then(|index| RETRY_WAITS.get(index));
    match wait {
        Some(wait) => DeliveryState::Pending {
            attempts,
            due_at: clock::after(now, *wait),
            last_error: Some(error),
        },
        None => DeliveryState::Undelivered { attempts, last_error: error },
    }
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;
    use serde_json::json;

    use super::*;
    use crate::fields;

    fn subscriptions(body: Value) -> Vec<Subscription> {
        fields::read::<Webhooks>(body).unwrap().subscriptions()
    }

    #[test]
    fn synonyms_with_one_url_are_one_subscription() {
        let found = subscriptions(json!({
            "order_placed": "https://a.example/x?id=1",
            "request_succeeded": ["https://a.example/x?id=1", "https://b.example/"],
            "something_else": 7,
        }));
        let urls: Vec<_> = found.iter().map(|one| (one.kind, one.url.as_str())).collect();
        let kind = EventKind::RequestSucceeded;
        assert_eq!(urls, [(kind, "https://a.example/x?id=1"), (kind, "https://b.example/")]);
    }

    #[test]
    fn user_and_password_leave_the_url() {
        let found = subscriptions(json!({"request_failed": "https://me:p%40ss@a.example/x"}));
        assert_eq!(found[0].url.as_str(), "https://a.example/x");
        assert_eq!(found[0].userinfo.as_ref().unwrap().expose_secret(), "me:p@ss");
    }

    #[test]
    fn other_things_than_web_addresses_are_refused() {
        for url in [
            json!("ftp://a.example"),
            json!("a.example"),
            json!(7),
            json!(["https://a.example", 7]),
            json!({}),
        ] {
            assert!(fields::read::<Webhooks>(json!({"status_updated": url})).is_err(), "{url}");
        }
    }

    #[test]
    fn a_delivery_is_tried_ten_times_over_three_days() {
        let mut now = Timestamp::UNIX_EPOCH;
        for attempts in 1..=9 {
            let DeliveryState::Pending { due_at, .. } =
                after_failure(attempts, "x".to_owned(), now)
            else {
                panic!("gave up after {attempts}");
            };
            assert!(due_at > now);
            now = due_at;
        }
        assert_eq!(now.as_second() / 3600, 75);
        assert!(matches!(
            after_failure(10, "x".to_owned(), now),
            DeliveryState::Undelivered { .. }
        ));
    }
}
