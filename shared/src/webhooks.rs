//! Webhooks: who is told what, in which order, and when it is tried again.

pub mod address;
pub mod deliveries;
pub mod endpoints;
pub mod events;
pub mod lanes;
pub mod signing;

use deserr::Deserr;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use url::Url;

use self::address::Reach;
use crate::{
    fields::{Faults, FieldError, Unfit},
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

impl EventKind {
    /// As it is spelled in a request and in `X-Webhook-Event`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::RequestSucceeded => "request_succeeded",
            Self::RequestFailed => "request_failed",
            Self::TrackingObtained => "tracking_obtained",
            Self::TrackingUpdated => "tracking_updated",
            Self::StatusUpdated => "status_updated",
            Self::CaseUpdated => "case_updated",
        }
    }
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
/// The news of a request is written with its change, two items for each URL that wants it, in one transaction of at most
/// 100 items.
const MAX_SUBSCRIPTIONS: usize = 30;
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
    /// Who wants what, each pair once: clients often name the old and the new spelling together. There must not be too
    /// many, and each must be somewhere that webhooks go.
    pub fn subscriptions(self, reach: Reach) -> Result<Vec<Subscription>, Vec<FieldError>> {
        let named = [
            ("request_succeeded", EventKind::RequestSucceeded, self.request_succeeded),
            ("order_placed", EventKind::RequestSucceeded, self.order_placed),
            ("request_failed", EventKind::RequestFailed, self.request_failed),
            ("order_failed", EventKind::RequestFailed, self.order_failed),
            ("tracking_obtained", EventKind::TrackingObtained, self.tracking_obtained),
            ("tracking_updated", EventKind::TrackingUpdated, self.tracking_updated),
            ("status_updated", EventKind::StatusUpdated, self.status_updated),
            ("case_updated", EventKind::CaseUpdated, self.case_updated),
        ];
        let (mut pairs, mut faults): (Vec<(EventKind, Url)>, _) = (Vec::new(), Vec::new());
        for (name, kind, urls) in named {
            for url in urls.0 {
                if let Err(blocked) = address::destination(&url, reach) {
                    let path = format!("webhooks.{name}");
                    faults.push(FieldError::at(&path, "value_error", blocked.to_string()));
                } else if !pairs.contains(&(kind, url.clone())) {
                    pairs.push((kind, url));
                }
            }
        }
        if pairs.len() > MAX_SUBSCRIPTIONS {
            let text = format!("must not name more than {MAX_SUBSCRIPTIONS} URLs in all");
            faults.push(FieldError::at("webhooks", "value_error", text));
        }
        if !faults.is_empty() {
            return Err(faults);
        }
        Ok(pairs
            .into_iter()
            .map(|(kind, url)| {
                let (url, userinfo) = split_userinfo(url);
                Subscription { kind, url, userinfo }
            })
            .collect())
    }
}

/// A URL that somebody names for webhooks, and that webhooks go to.
pub fn receiver_url(text: &str, reach: Reach) -> Result<Url, Unfit> {
    let url = parse_url(text).ok_or_else(|| Unfit("must be an http or https URL".to_owned()))?;
    address::destination(&url, reach).map_err(|blocked| Unfit(blocked.to_string()))?;
    Ok(url)
}

/// `url` without user and password, and `user:password`, decoded, if it has any.
pub fn split_userinfo(mut url: Url) -> (Url, Option<SecretString>) {
    let decode =
        |text: &str| percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned();
    let user = decode(url.username());
    let password = decode(url.password().unwrap_or_default());
    // Both fail only for URLs that cannot have a user; http and https can.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    let userinfo =
        (!user.is_empty() || !password.is_empty()).then(|| format!("{user}:{password}").into());
    (url, userinfo)
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
    let parse = |text: String| parse_url(&text).ok_or_else(unfit);
    Ok(Urls(texts.into_iter().map(parse).collect::<Result<_, _>>()?))
}

fn parse_url(text: &str) -> Option<Url> {
    let url = Url::parse(text).ok().filter(|_| text.len() <= MAX_URL_BYTES)?;
    (matches!(url.scheme(), "http" | "https") && url.has_host()).then_some(url)
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;
    use serde_json::json;

    use super::*;
    use crate::fields;

    fn subscriptions(body: Value) -> Vec<Subscription> {
        fields::read::<Webhooks>(body).unwrap().subscriptions(Reach::Public).unwrap()
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
    fn where_webhooks_do_not_go_is_said_of_the_name_that_was_used() {
        let body = json!({
            "order_placed": ["http://a.example/", "http://me:secret@10.0.0.1/"],
            "request_succeeded": "https://a.example:22/",
            "status_updated": "http://printer.local/",
        });
        let faults = fields::read::<Webhooks>(body).unwrap().subscriptions(Reach::Public);
        let Err(faults) = faults else { panic!("they were taken") };
        let paths: Vec<_> = faults.iter().map(FieldError::dotted_path).collect();
        let names = ["request_succeeded", "order_placed", "status_updated"];
        assert_eq!(paths, names.map(|name| format!("webhooks.{name}")));
        assert!(!format!("{faults:?}").contains("secret"));
    }

    #[test]
    fn there_are_ten_of_a_kind_and_thirty_at_the_most() {
        let urls = |count: usize| {
            let urls = (0..count).map(|number| format!("https://a.example/{number}"));
            urls.collect::<Vec<_>>()
        };
        let eleven = json!({"order_placed": urls(11)});
        let faults = fields::read::<Webhooks>(eleven).unwrap_err();
        assert_eq!(faults[0].dotted_path(), "order_placed");
        let count = |failed: usize| {
            let body = json!({
                "order_placed": urls(10),
                "tracking_updated": urls(10),
                "status_updated": urls(6),
                "order_failed": urls(failed),
            });
            let read = fields::read::<Webhooks>(body).unwrap().subscriptions(Reach::Public);
            read.map(|found| found.len())
        };
        assert_eq!(count(4), Ok(30));
        assert_eq!(count(5).unwrap_err()[0].dotted_path(), "webhooks");
    }

    #[test]
    fn a_receivers_url_is_checked_as_a_whole() {
        let refused = |text: &str| receiver_url(text, Reach::Public).unwrap_err().0;
        for text in ["", "/x", "a.example", "ftp://a.example/", "https://"] {
            assert_eq!(refused(text), "must be an http or https URL");
        }
        assert!(refused("https://127.0.0.1/").contains("loopback"));
        assert!(refused(&format!("https://a.example/{}", "x".repeat(2048))).contains("http"));
        assert!(receiver_url("http://me:secret@a.example/", Reach::Public).is_ok());
        assert!(receiver_url("http://127.0.0.1:7/", Reach::PublicAndLoopback).is_ok());
    }
}
