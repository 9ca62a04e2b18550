//! The way out for webhooks: to the internet and to nothing else, whatever a URL or DNS says.
//!
//! A URL is judged before it is called. A name is resolved once for each call; all its addresses are judged, and the
//! connection is made to these, with no second lookup between. Literal addresses never reach a resolver, so the client
//! is kept in here: [`Outbound::post`] is the only way to it.

use std::{
    error::Error,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use hickory_resolver::{
    Resolver, TokioResolver,
    config::{LookupIpStrategy, ResolveHosts, ResolverConfig, ResolverOpts},
    net::runtime::TokioRuntimeProvider,
    proto,
};
use http::{HeaderMap, StatusCode, header};
use reqwest::{
    Client, RequestBuilder, Response,
    dns::{Addrs, Name, Resolve, Resolving},
};
use url::Url;

use super::client;
use crate::{
    dns,
    error::{BoxError, chain},
    webhooks::address::{self, Blocked, PORTS, Reach},
};

/// What a receiver is sent.
pub struct Letter<'a> {
    /// Where to.
    pub url: &'a Url,
    /// What is said besides the body.
    pub headers: HeaderMap,
    /// The user and the password of Basic auth.
    pub login: Option<(&'a str, &'a str)>,
    /// What it says.
    pub body: String,
    /// How much of the answer is read.
    pub max_answer_bytes: usize,
}

/// What a receiver said to it.
pub struct Reply {
    /// Its status.
    pub status: StatusCode,
    /// Its `Retry-After`.
    pub retry_after: Option<String>,
    /// The first bytes of its body.
    pub body: Vec<u8>,
}

/// Why a receiver said nothing. The texts hold no part of the URL but its host.
#[derive(Debug, thiserror::Error)]
pub enum NoReply {
    /// Its URL is none that is called.
    #[error(transparent)]
    Refused(#[from] Blocked),
    /// It could not be reached, or only at an address that is not called, or it did not answer in time.
    #[error("{0}")]
    Failed(String),
}

/// A way to receivers.
pub trait Courier: Send + Sync {
    /// Delivers it once.
    fn deliver(&self, letter: Letter<'_>) -> impl Future<Output = Result<Reply, NoReply>> + Send;
}

/// Calls what clients named.
#[derive(Clone)]
pub struct Outbound {
    client: Client,
    reach: Reach,
}

impl Outbound {
    /// Names are looked up by the system's DNS servers, or by `server`. A call takes at most `timeout`, with the reading
    /// of its answer. Call it inside of the async runtime.
    pub fn new(
        reach: Reach,
        server: Option<SocketAddr>,
        timeout: Duration,
    ) -> Result<Self, BoxError> {
        let client = client::builder(timeout)
            .dns_resolver(Judging::new(reach, server)?)
            // A proxy would resolve names again, and nobody would judge what it finds.
            .no_proxy()
            .https_only(reach == Reach::Public)
            // What is small on the wire stays small.
            .no_gzip()
            .no_brotli()
            .no_zstd()
            .no_deflate()
            .build()?;
        Ok(Self { client, reach })
    }

    /// A POST to where `url` leads by [`address::destination`]. Redirects are answers like any other.
    ///
    /// A name that is refused for its addresses is an error of the sending: see [`blocked`].
    pub fn post(&self, url: &Url) -> Result<RequestBuilder, Blocked> {
        self.post_at(url, &PORTS)
    }

    /// The same with other ports: a test listens where it can.
    fn post_at(&self, url: &Url, ports: &[u16]) -> Result<RequestBuilder, Blocked> {
        Ok(self.client.post(address::destination_at(url, self.reach, ports)?))
    }
}

impl Courier for Outbound {
    async fn deliver(&self, letter: Letter<'_>) -> Result<Reply, NoReply> {
        let mut request = self.post(letter.url)?.headers(letter.headers).body(letter.body);
        if let Some((user, password)) = letter.login {
            request = request.basic_auth(user, Some(password));
        }
        let response = request.send().await.map_err(|error| {
            NoReply::Failed(match blocked(&error) {
                Some(blocked) => blocked.to_string(),
                // The URL may hold what its owner would not like to see in a log or a table.
                None => chain(&error.without_url()),
            })
        })?;
        let retry_after = response.headers().get(header::RETRY_AFTER);
        let retry_after = retry_after.and_then(|value| value.to_str().ok()).map(str::to_owned);
        let status = response.status();
        let body = read_capped(response, letter.max_answer_bytes).await;
        Ok(Reply { status, retry_after, body })
    }
}

/// Why `error` is a refusal of ours, if it is one.
pub fn blocked(error: &reqwest::Error) -> Option<&Blocked> {
    let mut cause = error.source();
    while let Some(error) = cause {
        if let Some(blocked) = error.downcast_ref() {
            return Some(blocked);
        }
        cause = error.source();
    }
    None
}

/// The first `max_bytes` of the body. What comes after is not read, and neither is what comes too late: then it is what
/// came until then.
pub async fn read_capped(mut response: Response, max_bytes: usize) -> Vec<u8> {
    let mut body = Vec::new();
    while body.len() < max_bytes
        && let Ok(Some(chunk)) = response.chunk().await
    {
        let room = max_bytes.saturating_sub(body.len());
        body.extend_from_slice(chunk.get(..room).unwrap_or(&chunk));
    }
    body
}

/// No address was found for a name.
#[derive(Debug, thiserror::Error)]
#[error("DNS has no address for {0}")]
struct NoAddress(String);

/// A resolver that gives a name's addresses only if all of them may be called.
#[derive(Clone)]
struct Judging {
    resolver: TokioResolver,
    reach: Reach,
}

impl Judging {
    fn new(reach: Reach, server: Option<SocketAddr>) -> Result<Self, BoxError> {
        let (config, options) = dns::settings(server)?;
        Self::with(reach, config, options)
    }

    fn with(
        reach: Reach,
        config: ResolverConfig,
        mut options: ResolverOpts,
    ) -> Result<Self, BoxError> {
        options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
        options.use_hosts_file = ResolveHosts::Never;
        // Tries of one delivery are further apart than answers may be kept.
        options.cache_size = 0;
        let provider = TokioRuntimeProvider::default();
        let builder = Resolver::builder_with_config(config, provider).with_options(options);
        Ok(Self { resolver: builder.build()?, reach })
    }

    async fn addresses(&self, host: &str) -> Result<Vec<IpAddr>, BoxError> {
        // Absolute: never below a domain of the system's.
        let mut name = proto::rr::Name::from_ascii(host)?;
        name.set_fqdn(true);
        let addresses: Vec<_> = self.resolver.lookup_ip(name).await?.iter().collect();
        if addresses.is_empty() {
            return Err(NoAddress(host.to_owned()).into());
        }
        address::check_all(host, &addresses, self.reach)?;
        Ok(addresses)
    }
}

impl Resolve for Judging {
    fn resolve(&self, name: Name) -> Resolving {
        let judging = self.clone();
        Box::pin(async move {
            let addresses = judging.addresses(name.as_str()).await?;
            // The port is the URL's.
            let sockets: Addrs = Box::new(addresses.into_iter().map(|ip| SocketAddr::new(ip, 0)));
            Ok(sockets)
        })
    }
}

#[cfg(test)]
mod tests;
