//! What the shop says no with, and how it reads a body.

use axum::{
    Json,
    body::Bytes,
    extract::{FromRequest, Request},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use deserr::Deserr;
use serde_json::{Value, json};
use spelter::{
    aws::AwsError,
    error::{BoxError, Code, chain},
    fields::{self, Faults},
};
use url::form_urlencoded;

/// Why the shop does not do what it was asked.
#[derive(Debug)]
pub enum Fault {
    /// No, in a word.
    No {
        /// Its status.
        status: StatusCode,
        /// The word.
        word: &'static str,
        /// The product it is about.
        product_id: Option<String>,
    },
    /// No, in a word, and what belongs to it.
    Explained {
        /// The word.
        word: &'static str,
        /// An object.
        details: Value,
    },
    /// The request cannot be read.
    BadRequest {
        /// Where it is wrong.
        field: String,
    },
    /// There is nothing here.
    NotFound,
    /// The shop itself is out of order.
    Down(BoxError),
}

impl Fault {
    /// Who are you?
    pub fn unauthorized(word: &'static str) -> Self {
        Self::No { status: StatusCode::UNAUTHORIZED, word, product_id: None }
    }

    /// Not now, not in this order.
    pub fn conflict(word: &'static str) -> Self {
        Self::No { status: StatusCode::CONFLICT, word, product_id: None }
    }

    /// No, with a word that v1 has too. An outage looks like one.
    pub fn code(code: Code) -> Self {
        let outage = matches!(code, Code::InternalError);
        let status =
            if outage { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::UNPROCESSABLE_ENTITY };
        Self::No { status, word: code.as_str(), product_id: None }
    }

    /// The same, because of this product.
    #[must_use]
    pub fn about(self, product: &str) -> Self {
        match self {
            Self::No { status, word, product_id: _ } => {
                Self::No { status, word, product_id: Some(product.to_owned()) }
            }
            Self::Explained { .. } | Self::BadRequest { .. } | Self::NotFound | Self::Down(_) => {
                self
            }
        }
    }

    /// There is no such thing, or it is somebody else's.
    pub fn unknown(word: &'static str) -> Self {
        Self::No { status: StatusCode::NOT_FOUND, word, product_id: None }
    }

    /// This field cannot be read.
    pub fn field(name: &str) -> Self {
        Self::BadRequest { field: name.to_owned() }
    }
}

impl From<AwsError> for Fault {
    fn from(error: AwsError) -> Self {
        Self::Down(error.into())
    }
}

impl IntoResponse for Fault {
    fn into_response(self) -> Response {
        let (status, body) = match self {
            Self::No { status, word, product_id: None } => (status, json!({ "error": word })),
            Self::No { status, word, product_id } => {
                (status, json!({ "error": word, "product_id": product_id }))
            }
            Self::Explained { word, mut details } => {
                if let Value::Object(members) = &mut details {
                    members.insert("error".to_owned(), word.into());
                }
                (StatusCode::UNPROCESSABLE_ENTITY, details)
            }
            Self::BadRequest { field } => {
                (StatusCode::BAD_REQUEST, json!({ "error": "bad_request", "field": field }))
            }
            Self::NotFound => (StatusCode::NOT_FOUND, json!({ "error": "not_found" })),
            Self::Down(error) => {
                tracing::error!(error = chain(&*error), "the sandbox retailer is out of order");
                (StatusCode::SERVICE_UNAVAILABLE, json!({ "error": "internal_error" }))
            }
        };
        (status, Json(body)).into_response()
    }
}

/// A JSON body, whatever its content type says. A fault names the field and never repeats its value.
pub struct Body<T>(pub T);

impl<S: Send + Sync, T: Deserr<Faults>> FromRequest<S> for Body<T> {
    type Rejection = Fault;

    async fn from_request(request: Request, state: &S) -> Result<Self, Fault> {
        let bytes = Bytes::from_request(request, state).await.map_err(|_| Fault::field(""))?;
        let value = serde_json::from_slice(&bytes).map_err(|_| Fault::field(""))?;
        let first = |faults: Vec<fields::FieldError>| {
            faults.first().map(fields::FieldError::dotted_path).unwrap_or_default()
        };
        fields::read(value).map(Body).map_err(|faults| Fault::field(&first(faults)))
    }
}

/// The value of `name` in a query string.
pub fn parameter(query: Option<&str>, name: &str) -> Option<String> {
    let mut pairs = form_urlencoded::parse(query.unwrap_or_default().as_bytes());
    pairs.find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
}

/// The `since` of a query string, in milliseconds since 1970; from the beginning without one.
pub fn since(query: Option<&str>) -> Result<i64, Fault> {
    match parameter(query, "since") {
        Some(text) => text.parse().map_err(|_| Fault::field("since")),
        None => Ok(0),
    }
}
