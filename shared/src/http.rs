//! The shell of every HTTP function: who calls, what they sent, and how the answer looks.
//!
//! A handler gets an [`Owner`] and a [`Request`] and returns its answer or an [`ApiError`]; a [`PublicFile`] has no owner.
//! Only [`respond`] renders or logs an error.

pub mod client;
mod dialect;
pub mod outbound;

use std::{collections::HashMap, future::Future, str::FromStr, time::Instant};

use deserr::Deserr;
use http::{StatusCode, header};
use lambda_http::{
    Body, RequestExt, Response, aws_lambda_events::query_map::QueryMap, request::RequestContext,
};
use serde::Serialize;
use serde_json::{Map, Value};

use self::dialect::Dialect;
use crate::{
    accounts::Owner,
    aws::calls,
    error::{ApiError, chain},
    fields::{self, Faults, FieldError, Place, Unfit},
    id::{Id, Kind},
    telemetry::millis_since,
};

/// Larger bodies are refused. An order is a few kilobytes; it is stored with the news of it,
/// which repeats it, in one transaction of at most 4 MB.
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

/// One HTTP function that anybody may call: who knows the path may have what is there.
pub trait PublicFile: Send + Sync {
    /// Finds it.
    fn handle(&self, request: Request) -> impl Future<Output = Result<File, ApiError>> + Send;
}

/// A file. It has no `Debug`: nobody knows what it holds.
pub struct File {
    /// What it is.
    pub content_type: &'static str,
    /// What is in it.
    pub bytes: Vec<u8>,
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

    /// The id in the path that is no [`Id`]; `None` if nothing can have it.
    pub fn named<T: FromStr>(&self, name: &str) -> Option<T> {
        self.path.get(name)?.parse().ok()
    }

    /// The part `name` of the path. One that cannot be read is a fault of a field of that name.
    pub fn path<T: FromStr<Err = Unfit>>(&self, name: &str) -> Result<T, ApiError> {
        let text = self.path.get(name).map(String::as_str).unwrap_or_default();
        text.parse().map_err(|Unfit(message)| {
            let fault = FieldError::at(name, "value_error", message);
            ApiError::Invalid(vec![fault.with_value(text.into())])
        })
    }

    /// The query as a `T` whose fields are read from texts; what is empty is absent. Of a parameter that is there
    /// twice, the first counts.
    pub fn read_query<T: Deserr<Faults>>(&self) -> Result<T, ApiError> {
        let mut members = serde_json::Map::new();
        for (name, text) in self.query.iter().filter(|(_, text)| !text.is_empty()) {
            members.entry(name).or_insert_with(|| text.into());
        }
        let sent = members.clone();
        fields::read(Value::Object(members)).map_err(|mut faults: Vec<FieldError>| {
            for fault in &mut faults {
                fault.place = Place::Query;
                let value = sent.get(&fault.dotted_path()).cloned();
                *fault = fault.clone().with_value(value.unwrap_or_default());
            }
            ApiError::Invalid(faults)
        })
    }

    /// The query parameter `name`; an empty one is absent. Of one that is there twice, the first counts.
    pub fn query<T: FromStr>(&self, name: &'static str) -> Result<Option<T>, ApiError> {
        let texts = self.query.all(name).unwrap_or_default();
        let Some(text) = texts.into_iter().find(|text| !text.is_empty()) else {
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

    /// The body as a JSON object; none where nothing was sent.
    pub fn object_or_nothing(&self) -> Result<Map<String, Value>, ApiError> {
        if self.body.trim_ascii().is_empty() {
            return Ok(Map::new());
        }
        match self.json()? {
            Value::Object(members) => Ok(members),
            _ => Err(ApiError::Invalid(vec![FieldError::of_body("must be a JSON object")])),
        }
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

/// Runs `endpoint` as a Lambda function.
pub async fn serve_file<F: PublicFile>(endpoint: F) -> Result<(), lambda_http::Error> {
    let endpoint = &endpoint;
    lambda_http::run(lambda_http::service_fn(move |event| answer_file(endpoint, event))).await
}

/// What [`serve`] answers to one request.
pub async fn answer<E: Endpoint>(
    endpoint: &E,
    event: lambda_http::Request,
) -> Result<Response<Body>, lambda_http::Error> {
    let owner = caller(&event);
    let client = owner.as_ref().map(|owner| owner.client.to_string()).unwrap_or_default();
    let call = Call::begin(&event, client, event.raw_http_path());
    let result = match (owner, read(event)) {
        (None, _) => Err(ApiError::Unauthorized),
        (Some(_), Err(error)) => Err(error),
        (Some(owner), Ok(request)) => endpoint.handle(owner, request).await,
    };
    call.end(result.and_then(|answer| Content::json(E::SUCCESS, &answer)))
}

async fn answer_file<F: PublicFile>(
    endpoint: &F,
    event: lambda_http::Request,
) -> Result<Response<Body>, lambda_http::Error> {
    // The path itself is the permission, so it is not to be logged.
    let call = Call::begin(&event, String::new(), "(a public file)");
    let result = match read(event) {
        Ok(request) => endpoint.handle(request).await,
        Err(error) => Err(error),
    };
    call.end(result.map(Content::File))
}

/// A call that is being answered.
struct Call {
    started: Instant,
    /// What it was, for the log.
    name: String,
    client: String,
    dialect: Dialect,
}

impl Call {
    fn begin(event: &lambda_http::Request, client: String, shown_path: &str) -> Self {
        let name = format!("{} {shown_path}", event.method());
        Self { started: Instant::now(), name, client, dialect: Dialect::of(event.raw_http_path()) }
    }

    fn end(self, result: Result<Content, ApiError>) -> Result<Response<Body>, lambda_http::Error> {
        let Self { started, name, client, dialect } = self;
        let response = respond(dialect, result)?;
        let status = response.status().as_u16();
        tracing::info!(
            client.id = client,
            http.status = status,
            duration_ms = millis_since(started),
            aws.calls = calls::take(),
            "{name} answered {status}"
        );
        Ok(response)
    }
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

/// What a success says.
enum Content {
    Nothing(StatusCode),
    Json(StatusCode, String),
    File(File),
}

impl Content {
    fn json<T: Serialize>(status: StatusCode, answer: &T) -> Result<Self, ApiError> {
        if status == StatusCode::NO_CONTENT {
            return Ok(Self::Nothing(status));
        }
        let body = serde_json::to_string(answer);
        body.map(|body| Self::Json(status, body)).map_err(|error| ApiError::Internal(error.into()))
    }
}

/// The one place that turns a result into an answer.
fn respond(
    dialect: Dialect,
    result: Result<Content, ApiError>,
) -> Result<Response<Body>, lambda_http::Error> {
    let content = match result {
        Ok(content) => content,
        Err(error) => {
            if error.is_fault() {
                tracing::error!(error = chain(&error), "request not done: {error}");
            }
            let (status, body) = dialect.render(&error);
            Content::Json(status, serde_json::to_string(&body)?)
        }
    };
    let response = Response::builder();
    Ok(match content {
        Content::Nothing(status) => response.status(status).body(Body::Empty)?,
        Content::Json(status, body) => response
            .status(status)
            .header(header::CONTENT_TYPE, "application/json")
            .body(Body::Text(body))?,
        Content::File(File { content_type, bytes }) => response
            .status(StatusCode::OK)
            .header(header::CONTENT_TYPE, content_type)
            .header(header::CACHE_CONTROL, "private, no-store")
            .body(Body::Binary(bytes))?,
    })
}
