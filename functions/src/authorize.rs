//! Client key to client, for the HTTP API.
//!
//! Lets every request pass and says whose it is, or that it is nobody's: an HTTP API that denies cannot answer with
//! the documented body, so the shell of the function does. API Gateway keeps the answer by the header's value.

use aws_lambda_events::apigw::{
    ApiGatewayV2CustomAuthorizerSimpleResponse, ApiGatewayV2CustomAuthorizerV2Request,
};
use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::{Value, json};
use spelter::{
    accounts::Owner,
    aws::{calls, clients::Clients},
    client_key::ClientKey,
    error::BoxError,
};

/// What this function may touch.
pub struct Authorize {
    /// Who may call.
    pub clients: Clients,
}

impl Authorize {
    /// Answers one authorizer request. A table that cannot be read is an error, which API Gateway answers with 500
    /// and does not keep.
    pub async fn handle(
        &self,
        request: ApiGatewayV2CustomAuthorizerV2Request,
    ) -> Result<ApiGatewayV2CustomAuthorizerSimpleResponse, BoxError> {
        let header = request.headers.get("authorization").and_then(|value| value.to_str().ok());
        let owner = match header.and_then(client_key) {
            Some(key) => self.clients.find(&key).await?,
            None => None,
        };
        let client = owner.as_ref().map(|owner| owner.client.to_string()).unwrap_or_default();
        let verdict = if owner.is_some() { "the key of a client" } else { "no key of a client" };
        tracing::info!(client.id = client, aws.calls = calls::take(), "{verdict}");
        let mut response = ApiGatewayV2CustomAuthorizerSimpleResponse::default();
        response.is_authorized = true;
        response.context = context(owner);
        Ok(response)
    }
}

fn context(owner: Option<Owner>) -> Value {
    owner.map_or_else(
        || json!({}),
        |owner| json!({"client_id": owner.client, "mode": owner.mode.as_str()}),
    )
}

/// The key in an `Authorization` header: HTTP Basic's user name, with or without its colon, a bearer token, or the
/// bare key. Some clients send the header twice; the values then come joined and must be equal.
fn client_key(header: &str) -> Option<ClientKey> {
    let mut values = header.split(',').map(str::trim);
    let first = values.next()?;
    if values.any(|other| other != first) {
        return None;
    }
    let (scheme, rest) = first.split_once(' ').unwrap_or(("", first));
    match scheme.to_ascii_lowercase().as_str() {
        "basic" => basic_user(rest.trim())?.parse().ok(),
        "bearer" | "" => rest.trim().parse().ok(),
        _ => None,
    }
}

fn basic_user(credentials: &str) -> Option<String> {
    let decoded = String::from_utf8(BASE64_STANDARD.decode(credentials).ok()?).ok()?;
    Some(decoded.split(':').next().unwrap_or_default().to_owned())
}

#[cfg(test)]
mod tests {
    use rand::{SeedableRng, rngs::StdRng};
    use spelter::retailers::Mode;

    use super::*;

    #[test]
    fn every_way_clients_send_their_key_is_read() {
        let key = ClientKey::generate(Mode::Test, &mut StdRng::seed_from_u64(1));
        let text = key.expose();
        let basic = |credentials: String| format!("Basic {}", BASE64_STANDARD.encode(credentials));
        let ways = [
            basic(format!("{text}:")),
            basic(format!("{text}: ")),
            basic(format!("{text}:anything:else")),
            basic(text.to_owned()),
            format!("Bearer {text}"),
            format!("bearer  {text}"),
            text.to_owned(),
            format!("Bearer {text},Bearer {text}"),
        ];
        for way in ways {
            assert_eq!(client_key(&way).map(|found| found.hash()), Some(key.hash()), "{way}");
        }
    }

    #[test]
    fn other_headers_hold_no_key() {
        let key = ClientKey::generate(Mode::Test, &mut StdRng::seed_from_u64(1));
        let text = key.expose();
        for header in [
            "",
            "Basic",
            "Basic !!",
            "Digest x",
            &format!("Bearer {text},Bearer x"),
            &format!("{text}x"),
        ] {
            assert!(client_key(header).is_none(), "{header}");
        }
    }
}
