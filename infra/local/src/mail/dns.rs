//! The DNS server: TXT records of the domains that keys are kept for; nothing else has a name here.

use super::{MailError, keys::Keys};
use hickory_server::{
    Server,
    proto::rr::{
        Name, RData, Record,
        rdata::{SOA, TXT},
    },
    store::in_memory::InMemoryZoneHandler,
    zone_handler::{AxfrPolicy, Catalog, ZoneHandler, ZoneType},
};
use std::{sync::Arc, time::Duration};
use tokio::{
    net::{TcpListener, UdpSocket},
    task::JoinHandle,
};

/// Seconds that an answer may be kept: a name that a test adds is there at once.
const TTL_S: u32 = 0;
/// A connection that asks nothing for this long is closed.
const TCP_LIMIT: Duration = Duration::from_secs(10);
/// Answers that wait for a slow reader.
const TCP_QUEUE: usize = 16;
/// A TXT record is made of strings of this many bytes at the most.
const TXT_PART_BYTES: usize = 255;
/// SPF for the sender of everything on this machine.
const SPF: &str = "v=spf1 ip4:127.0.0.1 -all";
/// The domain that SES returns mail to, whatever its From says.
pub(super) const SES_DOMAIN: &str = "amazonses.com";

/// The names that are answered.
pub(super) struct Dns {
    zone: Arc<InMemoryZoneHandler>,
}

impl Dns {
    /// Serves on the sockets for as long as the task lives. Every name is in the root zone.
    pub(super) async fn serve(
        udp: UdpSocket,
        tcp: TcpListener,
    ) -> Result<(Self, JoinHandle<()>), MailError> {
        let zone = InMemoryZoneHandler::empty(Name::root(), ZoneType::Primary, AxfrPolicy::Deny);
        let dns = Self { zone: Arc::new(zone) };
        let seconds = 3600;
        let soa = SOA::new(Name::root(), Name::root(), 1, seconds, seconds, seconds, TTL_S);
        dns.put(Name::root(), RData::SOA(soa)).await;
        let mut catalog = Catalog::new();
        let handler: Arc<dyn ZoneHandler> = dns.zone.clone();
        catalog.upsert(Name::root().into(), vec![handler]);
        let mut server = Server::new(catalog);
        server.register_socket(udp);
        server.register_listener(tcp, TCP_LIMIT, TCP_QUEUE);
        let task = tokio::spawn(async move {
            // Serving ends only with the task.
            let _ = server.block_until_done().await;
        });
        Ok((dns, task))
    }

    /// Answers for every domain that has a key, and for SES's own.
    pub(super) async fn publish(&self, keys: &Keys) -> Result<(), MailError> {
        for (name, text) in keys.records() {
            self.add_txt(&name, text).await?;
        }
        for domain in keys.domains() {
            self.add_txt(domain, SPF).await?;
            // What forges these domains is to be refused, as theirs says in the world.
            self.add_txt(&format!("_dmarc.{domain}"), "v=DMARC1; p=reject").await?;
        }
        self.add_txt(SES_DOMAIN, SPF).await
    }

    /// Answers TXT questions for `name` with `text`, beside what it answers already.
    pub(super) async fn add_txt(&self, name: &str, text: &str) -> Result<(), MailError> {
        let name = Name::from_ascii(format!("{name}."))
            .map_err(|error| MailError::Name(name.to_owned(), error.into()))?;
        let parts = text.as_bytes().chunks(TXT_PART_BYTES);
        let parts = parts.map(|part| String::from_utf8_lossy(part).into_owned()).collect();
        self.put(name, RData::TXT(TXT::new(parts))).await;
        Ok(())
    }

    async fn put(&self, name: Name, data: RData) {
        self.zone.upsert(Record::from_rdata(name, TTL_S, data), 1).await;
    }
}
