//! API Gateway's HTTP APIs: routes, Lambda authorizers, payload format 2.0.

mod answer;
mod authorizer;
mod event;
mod routes;

use crate::{
    aws::json_body,
    clock,
    lambda::{Lambdas, PAYLOAD_LIMIT},
    model::{Authorizer, HttpApi, Route},
};
use authorizer::{Authorizers, Verdict};
use axum::{
    Router,
    body::{Body, Bytes},
    extract::{ConnectInfo, Request},
    http::{HeaderMap, HeaderValue, StatusCode, header, request::Parts},
    response::Response,
    routing::any,
};
use event::Call;
use routes::Routes;
use serde_json::json;
use std::{net::SocketAddr, sync::Arc};
use tokio::{net::TcpListener, time::timeout};
use uuid::Uuid;

/// Largest request body an HTTP API takes.
const BODY_LIMIT: usize = 10 * 1024 * 1024;

/// One API, ready to serve.
struct Gateway {
    api: HttpApi,
    routes: Routes,
    authorizers: Authorizers,
    lambdas: Arc<Lambdas>,
}

/// An error answer of API Gateway itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Refusal {
    NotFound,
    Unauthorized,
    Forbidden,
    TooLarge,
    Internal,
    Unavailable,
}

impl Refusal {
    /// The status and the words, one row each.
    fn row(self) -> (StatusCode, &'static str) {
        match self {
            Self::NotFound => (StatusCode::NOT_FOUND, "Not Found"),
            Self::Unauthorized => (StatusCode::UNAUTHORIZED, "Unauthorized"),
            Self::Forbidden => (StatusCode::FORBIDDEN, "Forbidden"),
            Self::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "Request Entity Too Large"),
            Self::Internal => (StatusCode::INTERNAL_SERVER_ERROR, "Internal Server Error"),
            Self::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, "Service Unavailable"),
        }
    }

    fn response(self) -> Response {
        let (status, message) = self.row();
        let mut response = Response::new(json_body(&json!({ "message": message })));
        *response.status_mut() = status;
        let json = HeaderValue::from_static("application/json");
        response.headers_mut().insert(header::CONTENT_TYPE, json);
        response
    }
}

/// Serves an API for as long as the task lives.
pub async fn serve(listener: TcpListener, api: HttpApi, routes: Vec<Route>, lambdas: Arc<Lambdas>) {
    let routes = Routes::new(routes.into_iter().filter(|route| route.api == api.logical_id));
    let gateway = Arc::new(Gateway { api, routes, authorizers: Authorizers::default(), lambdas });
    let everything = Router::new().fallback(any(move |request: Request| {
        let gateway = Arc::clone(&gateway);
        async move { gateway.answer(request).await }
    }));
    let service = everything.into_make_service_with_connect_info::<SocketAddr>();
    // Serving ends only with the task.
    let _ = axum::serve(listener, service).await;
}

impl Gateway {
    async fn answer(&self, request: Request) -> Response {
        let request_id = Uuid::new_v4().to_string();
        let (head, body) = request.into_parts();
        let answer = self.try_answer(&request_id, head, body).await;
        let mut response = answer.unwrap_or_else(Refusal::response);
        if let Ok(id) = HeaderValue::from_str(&request_id) {
            response.headers_mut().insert("apigw-requestid", id);
        }
        response
    }

    async fn try_answer(
        &self,
        request_id: &str,
        head: Parts,
        body: Body,
    ) -> Result<Response, Refusal> {
        let (route, path_parameters) =
            self.routes.find(&head.method, head.uri.path()).ok_or(Refusal::NotFound)?;
        let source = head.extensions.get::<ConnectInfo<SocketAddr>>();
        let source_ip = source.map_or_else(String::new, |source| source.0.ip().to_string());
        let mut call = Call {
            api_id: self.api.id(),
            request_id: request_id.to_owned(),
            route_key: routes::key(route),
            method: head.method,
            uri: head.uri,
            headers: head.headers,
            path_parameters,
            source_ip,
            time: clock::now(),
            body: Bytes::new(),
        };
        let authorizer = route.authorizer.as_ref().and_then(|name| {
            self.api.authorizers.get(name).map(|authorizer| (name.as_str(), authorizer))
        });
        let context = match authorizer {
            None => None,
            Some((name, authorizer)) => Some(self.authorize(name, authorizer, &call).await?),
        };
        call.body = read_body(&call.headers, body).await?;
        let payload = event::request(&call, context.as_ref()).to_string();
        if payload.len() > PAYLOAD_LIMIT {
            return Err(Refusal::TooLarge);
        }
        let invocation = self.lambdas.invoke(&route.function, payload.into());
        match timeout(route.timeout, invocation).await {
            Err(_) => Err(Refusal::Unavailable),
            Ok(Err(_)) => Err(Refusal::Internal),
            Ok(Ok(payload)) => answer::response(&payload).ok_or(Refusal::Internal),
        }
    }

    async fn authorize(
        &self,
        name: &str,
        authorizer: &Authorizer,
        call: &Call,
    ) -> Result<serde_json::Value, Refusal> {
        let verdict = self.authorizers.ask(name, authorizer, call, &self.lambdas).await;
        match verdict {
            Verdict::Allowed(context) => Ok(context),
            Verdict::Denied => Err(Refusal::Forbidden),
            Verdict::NoIdentity => Err(Refusal::Unauthorized),
            Verdict::Failed => Err(Refusal::Internal),
        }
    }
}

async fn read_body(headers: &HeaderMap, body: Body) -> Result<Bytes, Refusal> {
    let announced = headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok());
    let announced = announced.and_then(|length| length.parse::<usize>().ok());
    if announced.is_some_and(|length| length > BODY_LIMIT) {
        return Err(Refusal::TooLarge);
    }
    axum::body::to_bytes(body, BODY_LIMIT).await.map_err(|_| Refusal::TooLarge)
}
