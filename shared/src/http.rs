//! The shell of every HTTP function: who calls, what they sent, and how the answer looks.
//!
//! A handler gets an [`Owner`] and a [`Request`] and returns its answer or an [`ApiError`]. Only [`respond`] renders
//! or logs an error.

pub mod client;
mod dialect;

use std::{collections::HashMap, future::Future, str::FromStr, time::Instant};

use deserr::Deserr;
use http::{StatusCode, header};
use lambda_http::{
    Body, RequestExt, Response, aws_lambda_events::query_map::QueryMap, request::RequestContext,
};
use serde::Serialize;
use serde_json::Value;

use self::dialect::Dialect;
use crate::{
    accounts::Owner,
    error::{ApiError, chain},
    fields::{self, Faults, FieldError},
    id::{Id, Kind},
};

/// Larger bodies are refused. An order is a few kilobytes; it is stored with the news of it,
/// which repeats it for each webhook, in one transaction of at most 4 MB.
pub const MAX_BODY_BYTES: usize = 100 * 1024;

/// One HTTP function.
pub trait Endpoint: Send + Sync {
    /// Status of a success.
    const SUCCESS: StatusCode;
    /// What a success says; `()` says nothing.
    type Answer: Serialize + Send;

    /// Does it.
    fn handle(
        &self,
        owner: Owner,
        request: Request,
    ) -> impl Future<Output = Result<Self::Answer, ApiError>> + Send;
}

/// What was sent.
pub struct Request {
    path: HashMap<String, String>,
    query: QueryMap,
    body: Vec<u8>,
}

impl Request {
    /// The id in the path. A text that is no id of the kind is one nobody has.
    pub fn id<K: Kind>(&self, name: &str) -> Result<Id<K>, ApiError> {
        let text = self.path.get(name).map(String::as_str).unwrap_or_default();
        text.parse().map_err(|_| ApiError::NotFound(K::NAME))
    }

    /// The query parameter `name`; an empty one is absent.
    pub fn query<T: FromStr>(&self, name: &'static str) -> Result<Option<T>, ApiError> {
        let Some(text) = self.query.first(name).filter(|text| !text.is_empty()) else {
            return Ok(None);
        };
        let invalid = |_| {
            let fault = FieldError::in_query(name, "is not a valid value");
            ApiError::Invalid(vec![fault.with_value(text.into())])
        };
        text.parse().map(Some).map_err(invalid)
    }

    /// The query parameter `limit`: how many items a list may have.
    pub fn limit(&self, default: usize, max: usize) -> Result<usize, ApiError> {
        let limit = self.query("limit")?.unwrap_or(default);
        if (1..=max).contains(&limit) {
            return Ok(limit);
        }
        let message = format!("must be between 1 and {max}");
        Err(ApiError::Invalid(vec![FieldError::in_query("limit", message)]))
    }

    /// The body as JSON, whatever its content type says: real clients send JSON as a form.
    pub fn json(&self) -> Result<Value, ApiError> {
        serde_json::from_slice(&self.body).map_err(|error| ApiError::NotJson(error.to_string()))
    }

    /// The body as a `T`.
    pub fn read<T: Deserr<Faults>>(&self) -> Result<T, ApiError> {
        fields::read(self.json()?).map_err(ApiError::Invalid)
    }
}

/// Runs `endpoint` as a Lambda function.
pub async fn serve<E: Endpoint>(endpoint: E) -> Result<(), lambda_http::Error> {
    let endpoint = &endpoint;
    lambda_http::run(lambda_http::service_fn(move |event| answer(endpoint, event))).await
}

async fn answer<E: Endpoint>(
    endpoint: &E,
    event: lambda_http::Request,
) -> Result<Response<Body>, lambda_http::Error> {
    let started = Instant::now();
    let method = event.method().clone();
    let path = event.raw_http_path().to_owned();
    let dialect = Dialect::of(&path);
    let owner = caller(&event);
    let result = match (&owner, read(event)) {
        (None, _) => Err(ApiError::Unauthorized),
        (Some(_), Err(error)) => Err(error),
        (Some(owner), Ok(request)) => endpoint.handle(owner.clone(), request).await,
    };
    let response = respond(dialect, E::SUCCESS, result)?;
    let duration_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    let client = owner.map(|owner| owner.client.to_string()).unwrap_or_default();
    let status = response.status().as_u16();
    tracing::info!(
        client.id = client,
        http.status = status,
        duration_ms,
        "{method} {path} answered {status}"
    );
    Ok(response)
}

/// Who the authorizer says it is.
fn caller(event: &lambda_http::Request) -> Option<Owner> {
    let RequestContext::ApiGatewayV2(context) = event.request_context_ref()? else {
        return None;
    };
    let fields = &context.authorizer.as_ref()?.fields;
    let field = |name: &str| fields.get(name).and_then(Value::as_str);
    Some(Owner { client: field("client_id")?.parse().ok()?, mode: field("mode")?.parse().ok()? })
}

fn read(event: lambda_http::Request) -> Result<Request, ApiError> {
    let path = event
        .path_parameters()
        .iter()
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    let query = event.query_string_parameters();
    let body = event.into_body().to_vec();
    if body.len() > MAX_BODY_BYTES {
        return Err(ApiError::TooLarge(MAX_BODY_BYTES));
    }
    Ok(Request { path, query, body })
}

/// The one place that turns a result into an answer.
fn respond<T: Serialize>(
    dialect: Dialect,
    success: StatusCode,
    result: Result<T, ApiError>,
) -> Result<Response<Body>, lambda_http::Error> {
    let (status, body) = match result {
        Ok(_) if success == StatusCode::NO_CONTENT => {
            return Ok(Response::builder().status(success).body(Body::Empty)?);
        }
        Ok(answer) => (success, serde_json::to_string(&answer)?),
        Err(error) => {
            if error.is_fault() {
                tracing::error!(error = chain(&error), "request not done: {error}");
            }
            let (status, body) = dialect.render(&error);
            (status, serde_json::to_string(&body)?)
        }
    };
    let response =
        Response::builder().status(status).header(header::CONTENT_TYPE, "application/json");
    Ok(response.body(Body::Text(body))?)
}
