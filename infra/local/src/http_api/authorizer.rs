//! Lambda authorizers with simple responses, and the cache of their verdicts.

use super::event::{self, Call};
use crate::{lambda::Lambdas, model::Authorizer};
use serde_json::Value;
use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};
use tokio::time::Instant;

/// A cache larger than this forgets what has expired.
const CACHE_LIMIT: usize = 10_000;

/// What an authorizer says of a caller.
#[derive(Debug, Clone)]
pub(super) enum Verdict {
    /// The caller may pass, and this is known of them.
    Allowed(Value),
    /// The caller may not pass.
    Denied,
    /// The caller did not say who they are; the authorizer was not asked.
    NoIdentity,
    /// The authorizer failed.
    Failed,
}

/// An authorizer's name and the identity it is asked about.
type Caller = (String, Vec<String>);

/// The verdicts of an API's authorizers, by authorizer and identity.
#[derive(Default)]
pub(super) struct Authorizers {
    cache: Mutex<HashMap<Caller, (Instant, Verdict)>>,
}

impl Authorizers {
    pub(super) async fn ask(
        &self,
        name: &str,
        authorizer: &Authorizer,
        call: &Call,
        lambdas: &Lambdas,
    ) -> Verdict {
        let Some(identity) = identity(authorizer, call) else {
            return Verdict::NoIdentity;
        };
        let key = (name.to_owned(), identity);
        if let Some(verdict) = self.cached(&key) {
            return verdict;
        }
        let Some(function) = lambdas.find(&authorizer.function_arn) else {
            return Verdict::Failed;
        };
        let event = event::authorizer(call, &key.1).to_string();
        let verdict = match lambdas.invoke(&function.name, event.into()).await {
            Ok(answer) => read(&answer),
            Err(_) => Verdict::Failed,
        };
        if matches!(verdict, Verdict::Allowed(_) | Verdict::Denied) && !authorizer.cache.is_zero() {
            self.keep(key, Instant::now() + authorizer.cache, verdict.clone());
        }
        verdict
    }

    fn cached(&self, key: &Caller) -> Option<Verdict> {
        let cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        cache.get(key).filter(|(until, _)| Instant::now() < *until).map(|entry| entry.1.clone())
    }

    fn keep(&self, key: Caller, until: Instant, verdict: Verdict) {
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        if cache.len() >= CACHE_LIMIT {
            let now = Instant::now();
            cache.retain(|_, (until, _)| now < *until);
        }
        cache.insert(key, (until, verdict));
    }
}

/// The values of the identity sources; none if one is missing or empty. A header that came twice has both values, as the
/// authorizer sees it: a verdict on the first alone must not be found for the two.
fn identity(authorizer: &Authorizer, call: &Call) -> Option<Vec<String>> {
    let headers = authorizer.identity_headers.iter();
    headers
        .map(|name| {
            let values = call.headers.get_all(name).iter().map(|value| value.to_str());
            let value = values.collect::<Result<Vec<_>, _>>().ok()?.join(",");
            (!value.is_empty()).then_some(value)
        })
        .collect()
}

fn read(answer: &[u8]) -> Verdict {
    let Ok(Value::Object(answer)) = serde_json::from_slice(answer) else {
        return Verdict::Failed;
    };
    match answer.get("isAuthorized").and_then(Value::as_bool) {
        Some(true) => Verdict::Allowed(answer.get("context").cloned().unwrap_or(Value::Null)),
        Some(false) => Verdict::Denied,
        None => Verdict::Failed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn simple_responses_are_read() {
        let allowed = json!({"isAuthorized": true, "context": {"client": "c"}}).to_string();
        assert!(
            matches!(read(allowed.as_bytes()), Verdict::Allowed(context) if context["client"] == "c")
        );
        assert!(matches!(read(br#"{"isAuthorized": false}"#), Verdict::Denied));
        assert!(matches!(read(br#"{"isAuthorized": "yes"}"#), Verdict::Failed));
        assert!(matches!(read(b"null"), Verdict::Failed));
    }
}
