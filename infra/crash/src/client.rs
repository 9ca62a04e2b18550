//! A client that does not give up: whatever happens to its request, it asks again with the same key.

use std::time::Duration;

use ::tests::STACK;
use anyhow::{Context, Result};
use http::StatusCode;
use serde_json::Value;
use tokio::{
    io::AsyncWriteExt,
    net::TcpStream,
    time::{Instant, sleep, timeout},
};

/// How long somebody asks again.
pub(crate) const PATIENCE: Duration = Duration::from_mins(5);
/// How long it waits for one answer: longer than API Gateway does.
const ANSWER_LIMIT: Duration = Duration::from_secs(35);
/// The pause before it asks again doubles from here.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// What a client knows of an order it wanted.
#[derive(Debug, Clone, Default)]
pub(crate) struct Wanted {
    /// What tells it from all others, in the address it goes to.
    pub(crate) reference: String,
    /// The id it was accepted under.
    pub(crate) accepted: Option<String>,
    /// Whether the client was told that it was called off.
    pub(crate) is_called_off: bool,
    /// Why it was not accepted.
    pub(crate) refused: Option<String>,
}

/// What GET says of an order.
pub(crate) enum Found {
    /// The order.
    Order(Value),
    /// There is none.
    Nothing,
    /// Nobody answered.
    NoAnswer,
}

/// A client of the API.
#[derive(Clone)]
pub(crate) struct Client {
    http: reqwest::Client,
    key: String,
}

impl Client {
    /// The client with this key.
    pub(crate) fn new(http: reqwest::Client, key: &str) -> Self {
        Self { http, key: key.to_owned() }
    }

    /// Posts until there is an answer that will not change: its body, and how often was asked.
    pub(crate) async fn post(&self, path: &str, body: Option<&Value>) -> Result<(Value, u64)> {
        let started = Instant::now();
        let mut pause = FIRST_PAUSE;
        let mut asked = 0;
        loop {
            asked += 1;
            let mut request = self.http.post(url(path)).timeout(ANSWER_LIMIT);
            request = if path.starts_with("/v1/") {
                request.basic_auth(&self.key, Some(""))
            } else {
                request.bearer_auth(&self.key)
            };
            if let Some(body) = body {
                request = request.json(body);
            }
            let wrong = match answer(request).await {
                Ok((status, body)) if is_final(status) => return Ok((body, asked)),
                Ok((status, body)) => format!("{status} {body}"),
                Err(error) => format!("{error:#}"),
            };
            if started.elapsed() > PATIENCE {
                anyhow::bail!("{path}: asked for {PATIENCE:?} in vain, last: {wrong}");
            }
            sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Sends an order, waits a moment and hangs up without having read an answer.
    pub(crate) async fn post_and_hang_up(&self, body: &Value, moment: Duration) -> Result<()> {
        let request = self.http.post(url("/v1/orders")).basic_auth(&self.key, Some(""));
        let request = request.json(body).build()?;
        let (host, text) = (authority(&STACK.api_url)?, body.to_string());
        let authorization = request.headers().get("authorization").context("no authorization")?;
        let head = format!(
            "POST /v1/orders HTTP/1.1\r\nhost: {host}\r\nauthorization: {}\r\ncontent-type: application/json\r\n\
             content-length: {}\r\n\r\n",
            authorization.to_str()?,
            text.len(),
        );
        let mut stream = timeout(ANSWER_LIMIT, TcpStream::connect(host)).await??;
        stream.write_all(format!("{head}{text}").as_bytes()).await?;
        sleep(moment).await;
        Ok(())
    }

    /// The order as it stands.
    pub(crate) async fn get(&self, id: &str) -> Found {
        let request = self.http.get(url(&format!("/v1/orders/{id}"))).timeout(ANSWER_LIMIT);
        match answer(request.basic_auth(&self.key, Some(""))).await {
            Ok((StatusCode::OK, body)) => Found::Order(body),
            Ok((StatusCode::NOT_FOUND, _)) => Found::Nothing,
            Ok(_) | Err(_) => Found::NoAnswer,
        }
    }
}

/// Whether the same request would get the same answer again. A conflict says itself that it should be tried again.
fn is_final(status: StatusCode) -> bool {
    status.is_success()
        || status.is_client_error()
            && ![StatusCode::CONFLICT, StatusCode::TOO_MANY_REQUESTS].contains(&status)
}

async fn answer(request: reqwest::RequestBuilder) -> Result<(StatusCode, Value)> {
    let response = request.send().await?;
    let status = response.status();
    Ok((status, serde_json::from_str(&response.text().await?).unwrap_or_default()))
}

fn url(path: &str) -> String {
    format!("{}{path}", STACK.api_url)
}

fn authority(url: &str) -> Result<&str> {
    url.strip_prefix("http://").context("not an http URL")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_may_change_is_asked_again() {
        let again = [500, 502, 503, 504, 409, 429];
        assert!(again.iter().all(|status| !is_final(StatusCode::from_u16(*status).unwrap())));
        assert!(
            [200, 400, 404].iter().all(|status| is_final(StatusCode::from_u16(*status).unwrap()))
        );
    }
}
