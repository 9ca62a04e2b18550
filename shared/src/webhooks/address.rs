//! Where webhooks may go: which schemes, ports, names and addresses.
//!
//! Nothing here asks DNS or connects. [`destination`] judges what a client wrote, [`check_all`] what DNS says of it; who
//! connects asks both, and connects to the addresses that were judged. `docs/webhook-addresses.md` has the rules in
//! words.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    str::FromStr,
};

use ipnet::IpNet;
use url::{Host, Url};

/// How far webhooks go.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Reach {
    /// The public internet.
    #[default]
    Public,
    /// And this machine, on any port and without TLS: what the local stack sets, as `WEBHOOK_REACH=loopback`.
    PublicAndLoopback,
}

/// A text that names no [`Reach`].
#[derive(Debug, thiserror::Error)]
#[error("must be `public` or `loopback`")]
pub struct UnknownReach;

impl FromStr for Reach {
    type Err = UnknownReach;

    fn from_str(text: &str) -> Result<Self, UnknownReach> {
        match text {
            "public" => Ok(Self::Public),
            "loopback" => Ok(Self::PublicAndLoopback),
            _ => Err(UnknownReach),
        }
    }
}

/// Why a URL is not called. It names the host and nothing else of the URL, which may hold secrets.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Blocked {
    /// Neither http nor https.
    #[error("webhooks go to http and https URLs only")]
    Scheme,
    /// A port that is not in [`PORTS`].
    #[error("webhooks go to the ports 443 and 8443 only, not to {0}")]
    Port(u16),
    /// A name that no public DNS has.
    #[error("webhooks do not go to {host}, which is {kind}")]
    Name {
        /// The name.
        host: String,
        /// What it is.
        kind: &'static str,
    },
    /// An address that is not one of the public internet.
    #[error("webhooks do not go to {host}, which leads to {} addresses ({})", network.what, network.source)]
    Address {
        /// The address, or the name that has it.
        host: String,
        /// Where it belongs.
        network: &'static Network,
    },
}

/// The ports that are called: those of https. Any other is a way to talk to a mail server, a database or an
/// administrator's page that happens to have a public address.
///
/// 8443 is where receivers listen that may not bind 443. Telegram's bots are called on both as well (and on 80 and 88, in
/// clear); Svix and Smokescreen restrict no ports on their own.
pub const PORTS: [u16; 2] = [443, 8443];

/// Addresses that are not those of public hosts.
#[derive(Debug, PartialEq, Eq)]
pub struct Network {
    /// The addresses.
    pub net: IpNet,
    /// What they are for.
    pub what: &'static str,
    /// Where that is written.
    pub source: &'static str,
}

const fn v4(octets: [u8; 4], prefix: u8, what: &'static str, source: &'static str) -> Network {
    let ip = IpAddr::V4(Ipv4Addr::from_octets(octets));
    Network { net: IpNet::new_assert(ip, prefix), what, source }
}

const fn v6(segments: [u16; 8], prefix: u8, what: &'static str, source: &'static str) -> Network {
    let ip = IpAddr::V6(Ipv6Addr::from_segments(segments));
    Network { net: IpNet::new_assert(ip, prefix), what, source }
}

/// What is refused: IANA's special-purpose registries, and what clouds and old protocols left beside them. The first
/// that holds an address names it.
///
/// Addresses that carry an IPv4 address are refused whatever they carry: nobody needs them to be reached, and a
/// translator on the way may take them anywhere.
pub static NETWORKS: [Network; 40] = [
    v4([0, 0, 0, 0], 8, "this-network", "RFC 791"),
    v4([10, 0, 0, 0], 8, "private", "RFC 1918"),
    v4([100, 64, 0, 0], 10, "carrier-grade NAT", "RFC 6598"),
    v4([127, 0, 0, 0], 8, "loopback", "RFC 1122"),
    v4([168, 63, 129, 16], 32, "cloud platform", "Azure's virtual public IP address"),
    v4([169, 254, 0, 0], 16, "link-local", "RFC 3927"),
    v4([172, 16, 0, 0], 12, "private", "RFC 1918"),
    v4([192, 0, 0, 0], 24, "protocol assignment", "RFC 6890"),
    v4([192, 0, 2, 0], 24, "documentation", "RFC 5737"),
    v4([192, 31, 196, 0], 24, "AS112", "RFC 7535"),
    v4([192, 52, 193, 0], 24, "multicast tunnel", "RFC 7450"),
    v4([192, 88, 99, 0], 24, "6to4 relay", "RFC 7526"),
    v4([192, 168, 0, 0], 16, "private", "RFC 1918"),
    v4([192, 175, 48, 0], 24, "AS112", "RFC 7534"),
    v4([198, 18, 0, 0], 15, "benchmarking", "RFC 2544"),
    v4([198, 51, 100, 0], 24, "documentation", "RFC 5737"),
    v4([203, 0, 113, 0], 24, "documentation", "RFC 5737"),
    v4([224, 0, 0, 0], 4, "multicast", "RFC 5771"),
    v4([240, 0, 0, 0], 4, "reserved", "RFC 1112"),
    v6([0, 0, 0, 0, 0, 0, 0, 0], 128, "unspecified", "RFC 4291"),
    v6([0, 0, 0, 0, 0, 0, 0, 1], 128, "loopback", "RFC 4291"),
    v6([0, 0, 0, 0, 0, 0, 0, 0], 96, "IPv4-compatible", "RFC 4291"),
    v6([0, 0, 0, 0, 0, 0xffff, 0, 0], 96, "IPv4-mapped", "RFC 4291"),
    v6([0, 0, 0, 0, 0xffff, 0, 0, 0], 96, "IPv4-translated", "RFC 2765"),
    v6([0x64, 0xff9b, 0, 0, 0, 0, 0, 0], 96, "NAT64", "RFC 6052"),
    v6([0x64, 0xff9b, 1, 0, 0, 0, 0, 0], 48, "NAT64", "RFC 8215"),
    v6([0x100, 0, 0, 0, 0, 0, 0, 0], 64, "discard", "RFC 6666"),
    v6([0x100, 0, 0, 1, 0, 0, 0, 0], 64, "dummy", "RFC 9780"),
    v6([0x2001, 0, 0, 0, 0, 0, 0, 0], 32, "Teredo", "RFC 4380"),
    v6([0x2001, 0, 0, 0, 0, 0, 0, 0], 23, "protocol assignment", "RFC 2928"),
    v6([0x2001, 0xdb8, 0, 0, 0, 0, 0, 0], 32, "documentation", "RFC 3849"),
    v6([0x2002, 0, 0, 0, 0, 0, 0, 0], 16, "6to4", "RFC 3056"),
    v6([0x2620, 0x4f, 0x8000, 0, 0, 0, 0, 0], 48, "AS112", "RFC 7534"),
    v6([0x3ffe, 0, 0, 0, 0, 0, 0, 0], 16, "6bone", "RFC 3701"),
    v6([0x3fff, 0, 0, 0, 0, 0, 0, 0], 20, "documentation", "RFC 9637"),
    v6([0x5f00, 0, 0, 0, 0, 0, 0, 0], 16, "SRv6", "RFC 9602"),
    v6([0xfc00, 0, 0, 0, 0, 0, 0, 0], 7, "unique local", "RFC 4193"),
    v6([0xfe80, 0, 0, 0, 0, 0, 0, 0], 10, "link-local", "RFC 4291"),
    v6([0xfec0, 0, 0, 0, 0, 0, 0, 0], 10, "site-local", "RFC 3879"),
    v6([0xff00, 0, 0, 0, 0, 0, 0, 0], 8, "multicast", "RFC 4291"),
];

/// IPv6 addresses of public hosts are assigned from here.
const GLOBAL_UNICAST: IpNet =
    IpNet::new_assert(IpAddr::V6(Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0)), 3);

/// Everything else in IPv6.
static UNASSIGNED: Network = v6([0, 0, 0, 0, 0, 0, 0, 0], 0, "unassigned", "RFC 4291");

/// An IPv4 address in the last half of any IPv6 address.
static ISATAP: Network = v6([0, 0, 0, 0, 0, 0, 0, 0], 0, "ISATAP", "RFC 5214");

/// The ends of names that mean something else in each network, or this machine (RFC 6761, RFC 6762 with its appendix G,
/// RFC 8375, ICANN's reservation of `internal`).
const PRIVATE_ENDS: [&str; 10] = [
    "corp",
    "home",
    "home.arpa",
    "internal",
    "intranet",
    "lan",
    "local",
    "localdomain",
    "localhost",
    "private",
];

/// What is really called for a `url` that a client named.
///
/// https stays as it is. http is called over https, on port 443 where none was named: older clients name http URLs, and
/// what happens to an order is not sent in clear. The fragment is left out. With [`Reach::PublicAndLoopback`] a URL of
/// this machine stays as it is.
///
/// A name that passes must still be resolved, and its addresses judged by [`check_all`].
pub fn destination(url: &Url, reach: Reach) -> Result<Url, Blocked> {
    destination_at(url, reach, &PORTS)
}

/// The same with other ports: a test listens where it can.
pub(crate) fn destination_at(url: &Url, reach: Reach, ports: &[u16]) -> Result<Url, Blocked> {
    let mut url = url.clone();
    url.set_fragment(None);
    let is_http = match url.scheme() {
        "http" => true,
        "https" => false,
        _ => return Err(Blocked::Scheme),
    };
    if is_loopback(&url.host().ok_or(Blocked::Scheme)?, reach)? {
        return Ok(url);
    }
    if is_http {
        // Cannot fail between these two. It takes 80, the default, with it, and keeps any other port.
        url.set_scheme("https").map_err(|()| Blocked::Scheme)?;
    }
    let port = url.port_or_known_default().ok_or(Blocked::Scheme)?;
    if ports.contains(&port) { Ok(url) } else { Err(Blocked::Port(port)) }
}

/// Whether a host that may be called is this machine.
fn is_loopback(host: &Host<&str>, reach: Reach) -> Result<bool, Blocked> {
    let ip: IpAddr = match host {
        Host::Ipv4(ip) => (*ip).into(),
        Host::Ipv6(ip) => (*ip).into(),
        Host::Domain(name) => return is_loopback_name(name, reach),
    };
    check(ip, reach)?;
    Ok(ip.is_loopback())
}

fn is_loopback_name(host: &str, reach: Reach) -> Result<bool, Blocked> {
    let refuse = |kind| Err(Blocked::Name { host: host.to_owned(), kind });
    // With a dot at its end it is the same name. The URL's parser has put it into lower case.
    let name = host.strip_suffix('.').unwrap_or(host);
    let is_below = |end: &str| {
        name.strip_suffix(end).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    };
    if !is_well_formed(name) {
        return refuse("not a name that DNS can have");
    }
    if is_below("localhost") && reach == Reach::PublicAndLoopback {
        return Ok(true);
    }
    if PRIVATE_ENDS.iter().any(|end| is_below(end)) {
        return refuse("a name of private networks");
    }
    if !name.contains('.') {
        return refuse("a name without a domain");
    }
    Ok(false)
}

/// RFC 1035 §2.3, and the underscore that some receivers have.
fn is_well_formed(name: &str) -> bool {
    let fits = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
    };
    name.len() <= 253 && name.split('.').all(fits)
}

/// Whether `ip` may be connected to.
pub fn check(ip: IpAddr, reach: Reach) -> Result<(), Blocked> {
    if reach == Reach::PublicAndLoopback && ip.is_loopback() {
        return Ok(());
    }
    match network(ip) {
        None => Ok(()),
        Some(network) => Err(Blocked::Address { host: ip.to_string(), network }),
    }
}

/// Whether the name `host` may be connected to at `addresses`, which are all it has: one that is refused refuses the
/// name. Which one it was is not told: it may be what somebody else's DNS keeps to itself.
pub fn check_all(host: &str, addresses: &[IpAddr], reach: Reach) -> Result<(), Blocked> {
    for ip in addresses {
        check(*ip, reach).map_err(|blocked| match blocked {
            Blocked::Address { network, .. } => Blocked::Address { host: host.to_owned(), network },
            other => other,
        })?;
    }
    Ok(())
}

/// The network that keeps `ip` from being called.
fn network(ip: IpAddr) -> Option<&'static Network> {
    NETWORKS.iter().find(|network| network.net.contains(&ip)).or_else(|| match ip {
        IpAddr::V4(_) => None,
        IpAddr::V6(_) if !GLOBAL_UNICAST.contains(&ip) => Some(&UNASSIGNED),
        IpAddr::V6(ip) => is_isatap(ip).then_some(&ISATAP),
    })
}

/// `::0:5efe:a.b.c.d` or `::200:5efe:a.b.c.d` below any prefix.
fn is_isatap(ip: Ipv6Addr) -> bool {
    let [_, _, _, _, flags, mark, _, _] = ip.segments();
    flags & !0x0200 == 0 && mark == 0x5efe
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;

    /// One host of `tests/fixtures/webhooks/hosts.txt`.
    pub(crate) struct Row {
        /// As it stands in a URL.
        pub(crate) host: String,
        /// What it is refused as.
        pub(crate) rule: &'static str,
    }

    /// The rule of hosts that may be called.
    pub(crate) const PUBLIC: &str = "public";
    /// The rule of hosts that the URL's parser refuses.
    pub(crate) const NOT_A_URL: &str = "not a URL";

    /// The hosts of the file.
    pub(crate) fn rows() -> Vec<Row> {
        let lines = include_str!("../../../tests/fixtures/webhooks/hosts.txt").lines();
        let rows = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
        rows.map(|line| {
            let (host, rule) = line.split_once('\t').expect(line);
            let host = host.replace("\\u{ad}", "\u{ad}").replace("\\u{200b}", "\u{200b}");
            Row { host, rule }
        })
        .collect()
    }

    /// The word for a rule that the file has.
    pub(crate) fn rule(blocked: &Blocked) -> &'static str {
        match blocked {
            Blocked::Scheme => "scheme",
            Blocked::Port(_) => "port",
            Blocked::Name { kind, .. } => kind,
            Blocked::Address { network, .. } => network.what,
        }
    }

    fn url(text: &str) -> Url {
        text.parse().expect(text)
    }

    fn called(text: &str, reach: Reach) -> Result<String, Blocked> {
        destination(&url(text), reach).map(Into::into)
    }

    #[test]
    fn every_host_is_judged_by_its_rule() {
        let (mut refused, mut wrong) = (0, Vec::new());
        for Row { host, rule: expected } in rows() {
            for scheme in ["http", "https"] {
                let found = match Url::parse(&format!("{scheme}://{host}/x")) {
                    Err(_) => NOT_A_URL,
                    Ok(url) => match destination(&url, Reach::Public) {
                        Ok(_) => PUBLIC,
                        Err(blocked) => rule(&blocked),
                    },
                };
                if found != expected {
                    wrong.push(format!("{host}: {found}, not {expected}"));
                }
            }
            refused += usize::from(expected != PUBLIC);
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
        assert!(refused >= 250, "{refused}");
    }

    #[test]
    fn every_network_has_hosts_in_the_table_from_its_first_to_its_last_address() {
        let listed: Vec<(IpAddr, &str)> = rows()
            .iter()
            .filter_map(|row| Some((row.host.trim_matches(['[', ']']).parse().ok()?, row.rule)))
            .collect();
        let is_listed = |ip| listed.iter().any(|(listed, _)| *listed == ip);
        for network in &NETWORKS {
            let inside =
                |(ip, rule): &(IpAddr, &str)| network.net.contains(ip) && *rule == network.what;
            assert!(listed.iter().any(inside), "{network:?}");
            assert!(is_listed(network.net.network()), "{network:?}");
            assert!(is_listed(network.net.broadcast()), "{network:?}");
            assert_eq!(network.net, network.net.trunc(), "the network's own address");
        }
    }

    #[test]
    fn https_stays_and_http_becomes_https() {
        for (named, expected) in [
            ("https://a.example/x?y=1", "https://a.example/x?y=1"),
            ("https://a.example:443/", "https://a.example/"),
            ("https://a.example:8443/", "https://a.example:8443/"),
            ("http://mywebsite.com/zinc/order_placed", "https://mywebsite.com/zinc/order_placed"),
            ("http://a.example:80/", "https://a.example/"),
            ("http://a.example:443/", "https://a.example/"),
            ("http://a.example:8443/", "https://a.example:8443/"),
            ("HTTP://A.example/x#part", "https://a.example/x"),
            ("https://a.example/x#part", "https://a.example/x"),
            ("http://93.184.216.34/", "https://93.184.216.34/"),
        ] {
            for reach in [Reach::Public, Reach::PublicAndLoopback] {
                assert_eq!(called(named, reach).unwrap(), expected);
            }
        }
    }

    #[test]
    fn other_ports_and_schemes_are_refused() {
        for port in [1, 21, 22, 23, 25, 53, 88, 110, 143, 445, 465, 587, 993, 2375, 3306, 5432] {
            for scheme in ["http", "https"] {
                let found = called(&format!("{scheme}://a.example:{port}/"), Reach::Public);
                assert_eq!(found, Err(Blocked::Port(port)));
            }
        }
        assert_eq!(called("https://a.example:80/", Reach::Public), Err(Blocked::Port(80)));
        assert_eq!(called("http://a.example:8080/", Reach::Public), Err(Blocked::Port(8080)));
        for text in ["ftp://a.example/", "ws://a.example/", "file:///etc/passwd", "data:,x", "a:b"]
        {
            for reach in [Reach::Public, Reach::PublicAndLoopback] {
                assert_eq!(called(text, reach), Err(Blocked::Scheme), "{text}");
            }
        }
    }

    #[test]
    fn the_local_stack_reaches_this_machine_and_nothing_else_of_its_network() {
        let reach = "loopback".parse().unwrap();
        for text in [
            "http://127.0.0.1:8000/placed",
            "https://127.0.0.1:8000/",
            "http://127.1.2.3/",
            "http://[::1]:9/",
            "http://localhost:8000/",
            "http://localhost.:8000/",
            "http://a.localhost/",
        ] {
            assert_eq!(called(text, reach).unwrap(), text);
            assert!(called(text, Reach::Public).is_err(), "{text}");
        }
        let loopback = ["loopback", "a name of private networks"];
        for Row { host, rule: expected } in rows() {
            if loopback.contains(&expected) || [PUBLIC, NOT_A_URL].contains(&expected) {
                continue;
            }
            let blocked = destination(&url(&format!("https://{host}/")), reach).unwrap_err();
            assert_eq!(rule(&blocked), expected, "{host}");
        }
        for host in ["printer.local", "notlocalhost", "localhost.localdomain", "::ffff:127.0.0.1"] {
            let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
            assert!(called(&format!("https://{host}/"), reach).is_err(), "{host}");
        }
    }

    #[test]
    fn a_reach_is_named_by_a_word() {
        assert_eq!("public".parse::<Reach>().unwrap(), Reach::Public);
        assert_eq!("loopback".parse::<Reach>().unwrap(), Reach::PublicAndLoopback);
        assert_eq!(Reach::default(), Reach::Public);
        for text in ["", "Loopback", "private", "true", " loopback"] {
            assert!(text.parse::<Reach>().is_err(), "{text}");
        }
    }

    #[test]
    fn one_bad_address_refuses_a_name_and_is_not_told() {
        let ips = |texts: &[&str]| texts.iter().map(|ip| ip.parse().unwrap()).collect::<Vec<_>>();
        let good = ips(&["93.184.216.34", "2606:4700:4700::1111"]);
        assert_eq!(check_all("a.example", &good, Reach::Public), Ok(()));
        for bad in ["127.0.0.1", "10.1.2.3", "::1", "::ffff:10.1.2.3"] {
            for place in 0..=good.len() {
                let mut all = good.clone();
                all.insert(place, bad.parse().unwrap());
                let text = check_all("a.example", &all, Reach::Public).unwrap_err().to_string();
                assert!(text.contains("a.example") && !text.contains(bad), "{text}");
            }
        }
    }

    #[test]
    fn a_refusal_tells_nothing_of_the_url_but_its_host() {
        for text in ["ftp://u:secret@h.example/secret?secret#secret", "https://localhost/secret"] {
            let blocked = destination(&url(text), Reach::Public).unwrap_err();
            assert!(!format!("{blocked} {blocked:?}").contains("secret"));
        }
    }

    #[test]
    fn the_documentation_lists_every_network() {
        let text = include_str!("../../../docs/webhook-addresses.md");
        for Network { net, what, source } in &NETWORKS {
            let row = format!("| `{net}` | {what} | {source} |");
            assert!(text.contains(&row), "{row}");
        }
        for end in PRIVATE_ENDS {
            assert!(text.contains(&format!("`{end}`")), "{end}");
        }
        let rows = text.lines().filter(|line| line.starts_with("| `")).count();
        assert_eq!(rows, NETWORKS.len(), "and no other");
    }

    proptest! {
        /// Whatever bits: no address of IPv6 outside of what is assigned to hosts, and none with IPv4 in it.
        #[test]
        fn every_address_of_a_network_is_refused(bits: u128, index in 0..NETWORKS.len()) {
            let net = NETWORKS[index].net;
            let ip: IpAddr = match net {
                IpNet::V4(net) => {
                    let [.., a, b, c, d] = bits.to_be_bytes();
                    let host = u32::from_be_bytes([a, b, c, d]) & net.hostmask().to_bits();
                    Ipv4Addr::from_bits(net.addr().to_bits() | host).into()
                }
                IpNet::V6(net) => {
                    let host = bits & net.hostmask().to_bits();
                    Ipv6Addr::from_bits(net.addr().to_bits() | host).into()
                }
            };
            prop_assert!(check(ip, Reach::Public).is_err(), "{ip}");
        }

        #[test]
        fn only_global_unicast_of_ipv6_is_called(bits: u128) {
            let ip = Ipv6Addr::from_bits(bits);
            let global = (0x2000..0x4000).contains(&ip.segments()[0]);
            prop_assert!(global || check(ip.into(), Reach::Public).is_err(), "{ip}");
        }
    }
}
