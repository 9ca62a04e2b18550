//! How names are looked up: by the system's DNS servers, or by one that is named. It asks nothing itself.

use std::{net::SocketAddr, time::Duration};

use hickory_resolver::{
    config::{ConnectionConfig, NameServerConfig, ResolverConfig, ResolverOpts},
    system_conf::read_system_conf,
};

use crate::error::BoxError;

/// One question, two tries: a function that waits for longer is better started anew.
const TIMEOUT: Duration = Duration::from_secs(3);
const ATTEMPTS: usize = 2;

/// What a resolver needs to ask `server`, or the system's servers. An error if these cannot be read.
pub(crate) fn settings(
    server: Option<SocketAddr>,
) -> Result<(ResolverConfig, ResolverOpts), BoxError> {
    let (config, mut options) = match server {
        Some(server) => (only(server), ResolverOpts::default()),
        None => read_system_conf()?,
    };
    options.timeout = TIMEOUT;
    options.attempts = ATTEMPTS;
    Ok((config, options))
}

fn only(server: SocketAddr) -> ResolverConfig {
    let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()].map(|mut connection| {
        connection.port = server.port();
        connection
    });
    let server = NameServerConfig::new(server.ip(), true, connections.into());
    ResolverConfig::from_parts(None, Vec::new(), vec![server])
}
