//! Mail as SES does it: what comes in over SMTP is judged, stored and handed to a function, as the template's receipt
//! rules say; what goes out is signed, and comes in again where it is for the inbound domain. Nothing leaves this
//! machine.
//!
//! The names that signatures are checked with are answered by a DNS server of its own, whose keys a test may sign with.

mod bounce;
mod dns;
mod event;
mod gmail;
mod inbound;
mod journal;
mod keys;
mod relay;
mod ses_api;
mod smtp;
mod verdicts;

use crate::{aws::Aws, lambda::Lambdas, logs::Logs, model::ReceiptRule};
use dns::Dns;
use inbound::Inbound;
use journal::Journal;
use keys::Keys;
use relay::Relay;
use std::{
    collections::BTreeSet,
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
};
use tokio::{
    net::{TcpListener, UdpSocket},
    task::JoinHandle,
};

pub use keys::KeysError;

/// Domains whose mail tests write themselves, since their owners will not: a forwarding mailbox's and a shop's.
const FOREIGN_DOMAINS: [&str; 2] = ["google.com", "amazon.com"];
/// How often another port is tried for the DNS server, which needs the same one for UDP and TCP.
const PORT_ATTEMPTS: usize = 20;

/// Why there is no mail.
#[derive(Debug, thiserror::Error)]
pub enum MailError {
    /// The keys are not there.
    #[error(transparent)]
    Keys(#[from] KeysError),
    /// The names cannot be served.
    #[error("the DNS server cannot serve {0}")]
    Name(String, #[source] Box<dyn std::error::Error + Send + Sync>),
    /// Signatures cannot be checked.
    #[error("no resolver for the DNS server")]
    Resolver(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A socket has no address.
    #[error("a socket of the mail servers has no address")]
    Socket(#[source] io::Error),
}

/// The sockets of the mail servers, bound before anything starts.
pub struct Listeners {
    /// Mail from outside.
    pub smtp: TcpListener,
    relay: TcpListener,
    ses: TcpListener,
    gmail: TcpListener,
    dns: (UdpSocket, TcpListener),
}

/// Where the mail servers are.
#[derive(Debug, Clone)]
pub struct Addresses {
    /// Mail from outside comes in here.
    pub smtp: SocketAddr,
    /// What SES sends goes out here.
    pub relay: SocketAddr,
    /// The API of SES, and what has gone out.
    pub ses: SocketAddr,
    /// The stand-in for Gmail's confirmation pages.
    pub gmail: SocketAddr,
    /// The DNS server.
    pub dns: SocketAddr,
}

impl Listeners {
    /// Takes free ports for all but `smtp`.
    pub async fn bind(smtp: TcpListener) -> io::Result<Self> {
        let free = || TcpListener::bind(("127.0.0.1", 0));
        let dns = bind_both().await?;
        Ok(Self { smtp, relay: free().await?, ses: free().await?, gmail: free().await?, dns })
    }

    /// Where they listen.
    pub fn addresses(&self) -> io::Result<Addresses> {
        Ok(Addresses {
            smtp: self.smtp.local_addr()?,
            relay: self.relay.local_addr()?,
            ses: self.ses.local_addr()?,
            gmail: self.gmail.local_addr()?,
            dns: self.dns.0.local_addr()?,
        })
    }
}

async fn bind_both() -> io::Result<(UdpSocket, TcpListener)> {
    let mut attempt = 0;
    loop {
        let udp = UdpSocket::bind(("127.0.0.1", 0)).await?;
        match TcpListener::bind(udp.local_addr()?).await {
            Ok(tcp) => return Ok((udp, tcp)),
            Err(error) if attempt == PORT_ATTEMPTS => return Err(error),
            Err(_) => attempt += 1,
        }
    }
}

/// What the template says about mail, and what it is worked on with.
pub struct Settings {
    /// The receipt rules, in their order.
    pub rules: Vec<ReceiptRule>,
    /// The domains SES may send for.
    pub identities: Vec<String>,
    /// The directory of the DKIM keys.
    pub keys: PathBuf,
    /// S3, SQS, KMS and SES.
    pub aws: Aws,
}

/// Where the DKIM keys of a state directory are.
pub fn keys_directory(state: &Path) -> PathBuf {
    state.join("dkim")
}

/// Starts all mail servers; they end with their tasks.
pub async fn start(
    listeners: Listeners,
    settings: Settings,
    lambdas: Arc<Lambdas>,
    logs: Arc<Logs>,
) -> Result<Vec<JoinHandle<()>>, MailError> {
    let Settings { rules, identities, keys, aws } = settings;
    let addresses = listeners.addresses().map_err(MailError::Socket)?;
    let foreign = FOREIGN_DOMAINS.into_iter().map(str::to_owned);
    let domains: BTreeSet<String> = identities.iter().cloned().chain(foreign).collect();
    let keys = Keys::open(&keys, &domains)?;

    let Listeners { smtp, relay: relay_listener, ses, gmail, dns: (udp, tcp) } = listeners;
    let (dns, dns_server) = Dns::serve(udp, tcp).await?;
    dns.publish(&keys).await?;
    let authenticator = verdicts::authenticator(addresses.dns)?;
    let inbound = Inbound::new(rules, authenticator, aws.clone(), lambdas, Arc::clone(&logs));
    let inbound = Arc::new(inbound);
    let journal = Arc::new(Journal::default());
    let relay = Relay::new(keys, identities, Arc::clone(&inbound), Arc::clone(&journal), logs);
    let relay = Arc::new(relay);
    let api = ses_api::router(ses_api::Api {
        aws,
        relay: Arc::clone(&relay),
        inbound: Arc::clone(&inbound),
        journal,
        dns: Arc::new(dns),
    });
    Ok(vec![
        dns_server,
        tokio::spawn(smtp::serve(smtp, inbound)),
        tokio::spawn(smtp::serve(relay_listener, relay)),
        tokio::spawn(serve(ses, api)),
        tokio::spawn(serve(gmail, gmail::router())),
    ])
}

async fn serve(listener: TcpListener, router: axum::Router) {
    // Serving ends only with the task.
    let _ = axum::serve(listener, router).await;
}

/// The domain of an address, in lower case.
fn domain_of(address: &str) -> String {
    address.rsplit_once('@').map(|(_, domain)| domain.to_lowercase()).unwrap_or_default()
}
