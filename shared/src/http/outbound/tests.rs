//! What is connected to, counted where it arrives: with a DNS server that lies, and receivers that misbehave.

use std::{
    collections::HashMap,
    net::Ipv4Addr,
    process::Command,
    sync::{Arc, Mutex},
};

use hickory_resolver::proto::{
    op::{Message, MessageType, ResponseCode},
    rr::{
        RData, Record, RecordType,
        rdata::{A, AAAA, CNAME},
    },
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, UdpSocket},
    sync::watch,
};

use super::*;
use crate::webhooks::address::tests::{NOT_A_URL, PUBLIC, Row, rows, rule};

/// Longer than anything here takes.
const TIMEOUT: Duration = Duration::from_secs(20);
/// A public address that is not to answer.
const FAR: &str = "93.184.216.34";

/// What a receiver does with a connection.
#[derive(Clone, Copy)]
enum Manner {
    /// Closes it.
    Close,
    /// Answers with this, and waits for the other side to close.
    Say(&'static str),
    /// The same, and then a body that never ends.
    Flood(&'static str),
}

/// A receiver that counts.
struct Receiver {
    /// Where connections of our own go.
    address: SocketAddr,
    port: u16,
    peers: watch::Receiver<Vec<SocketAddr>>,
    /// Connections of our own.
    probes: Mutex<Vec<SocketAddr>>,
}

impl Receiver {
    /// On all addresses of this machine, of both families.
    async fn everywhere() -> Self {
        Self::on("[::]:0", Manner::Close).await
    }

    async fn on(address: &str, manner: Manner) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let mut address = listener.local_addr().unwrap();
        if address.ip().is_unspecified() {
            address.set_ip(Ipv4Addr::LOCALHOST.into());
        }
        let (sender, peers) = watch::channel(Vec::new());
        tokio::spawn(async move {
            while let Ok((stream, peer)) = listener.accept().await {
                sender.send_modify(|peers| peers.push(peer));
                tokio::spawn(serve(stream, manner));
            }
        });
        Self { address, port: address.port(), peers, probes: Mutex::default() }
    }

    /// How many connections came so far. What came before a connection of our own is accepted before it, so there is
    /// nothing to wait for but that one.
    async fn count(&self) -> usize {
        let stream = TcpStream::connect(self.address).await.unwrap();
        let probes = {
            let mut probes = self.probes.lock().unwrap();
            probes.push(stream.local_addr().unwrap());
            probes.clone()
        };
        let is_probe = |peer: &&SocketAddr| {
            probes.contains(&SocketAddr::new(peer.ip().to_canonical(), peer.port()))
        };
        let mut peers = self.peers.clone();
        let seen = peers.wait_for(|peers| peers.iter().filter(is_probe).count() == probes.len());
        seen.await.unwrap().len() - probes.len()
    }
}

async fn serve(mut stream: TcpStream, manner: Manner) {
    let mut buffer = [0; 4096];
    match manner {
        Manner::Close => {}
        Manner::Say(answer) => {
            let _ = stream.read(&mut buffer).await;
            let _ = stream.write_all(answer.as_bytes()).await;
            while stream.read(&mut buffer).await.is_ok_and(|count| count > 0) {}
        }
        Manner::Flood(head) => {
            let _ = stream.read(&mut buffer).await;
            let _ = stream.write_all(head.as_bytes()).await;
            while stream.write_all(&buffer).await.is_ok() {}
        }
    }
}

/// What a name has: the addresses of the first question, of the second and so on; the last ones stay.
type Answers = Vec<Vec<RData>>;

/// A DNS server.
#[derive(Clone)]
struct Dns {
    address: SocketAddr,
    names: Arc<Mutex<HashMap<String, Answers>>>,
    questions: Arc<Mutex<Vec<(String, RecordType)>>>,
}

impl Dns {
    async fn start() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let dns = Self {
            address: socket.local_addr().unwrap(),
            names: Arc::default(),
            questions: Arc::default(),
        };
        let server = dns.clone();
        tokio::spawn(async move {
            let mut buffer = [0; 4096];
            while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
                let question = Message::from_vec(&buffer[..length]).unwrap();
                let answer = server.answer(&question).to_vec().unwrap();
                socket.send_to(&answer, from).await.unwrap();
            }
        });
        dns
    }

    /// `answers` are texts of addresses, and `>name` for a CNAME.
    fn put(&self, name: &str, answers: &[&[&str]]) {
        let read = |text: &&str| match text.strip_prefix('>') {
            Some(target) => RData::CNAME(CNAME(proto::rr::Name::from_ascii(target).unwrap())),
            None => match text.parse().unwrap() {
                IpAddr::V4(ip) => RData::A(A(ip)),
                IpAddr::V6(ip) => RData::AAAA(AAAA(ip)),
            },
        };
        let answers = answers.iter().map(|one| one.iter().map(read).collect()).collect();
        self.names.lock().unwrap().insert(format!("{name}."), answers);
    }

    fn answer(&self, message: &Message) -> Message {
        let query = message.queries[0].clone();
        let (name, kind) = (query.name().to_ascii().to_lowercase(), query.query_type());
        let mut questions = self.questions.lock().unwrap();
        let asked = questions.iter().filter(|(n, k)| (n, *k) == (&name, kind)).count();
        questions.push((name.clone(), kind));
        let mut answer = Message::new(message.id, MessageType::Response, message.op_code);
        answer.metadata.recursion_available = true;
        if name.starts_with("servfail.") {
            answer.metadata.response_code = ResponseCode::ServFail;
        } else if let Some(answers) = self.names.lock().unwrap().get(&name) {
            let data = answers.get(asked).or(answers.last()).unwrap().iter();
            let fits = data.filter(|data| [kind, RecordType::CNAME].contains(&data.record_type()));
            // What may be kept is asked for again all the same: one of the two shows it.
            let ttl = if name.starts_with("kept") { 3600 } else { 0 };
            answer.answers = fits
                .map(|data| Record::from_rdata(query.name().clone(), ttl, data.clone()))
                .collect();
        } else {
            answer.metadata.response_code = ResponseCode::NXDomain;
        }
        answer.queries.push(query);
        answer
    }

    fn asked(&self, name: &str, kind: RecordType) -> usize {
        let name = format!("{name}.");
        self.questions
            .lock()
            .unwrap()
            .iter()
            .filter(|asked| **asked == (name.clone(), kind))
            .count()
    }
}

fn outbound(reach: Reach, dns: &Dns) -> Outbound {
    Outbound::new(reach, Some(dns.address), TIMEOUT).unwrap()
}

/// How sending to a URL came out: the rule that refused it, or what else it was.
async fn send(outbound: &Outbound, url: &str, port: u16) -> &'static str {
    let Ok(url) = Url::parse(url) else { return NOT_A_URL };
    let request = match outbound.post_at(&url, &[port]) {
        Ok(request) => request,
        Err(blocked) => return rule(&blocked),
    };
    match request.body("{}").send().await {
        Ok(_) => "answered",
        Err(error) => blocked(&error).map_or("failed", rule),
    }
}

#[tokio::test]
async fn nothing_of_the_table_is_connected_to() {
    let (receiver, dns) = (Receiver::everywhere().await, Dns::start().await);
    let outbound = outbound(Reach::Public, &dns);
    let (mut hosts, mut urls, mut names) = (0, 0, 0);
    for Row { host, rule: expected } in rows() {
        if expected == PUBLIC {
            continue;
        }
        hosts += 1;
        for scheme in ["http", "https"] {
            urls += 1;
            let url = format!("{scheme}://{host}:{}/x", receiver.port);
            assert_eq!(send(&outbound, &url, receiver.port).await, expected, "{url}");
        }
        // The same address, as DNS may give it: alone, and among good ones.
        let ip = match host.trim_matches(['[', ']']).parse::<IpAddr>() {
            Ok(ip) if expected != NOT_A_URL => ip.to_string(),
            Ok(_) | Err(_) => continue,
        };
        let (good4, good6) = (FAR, "2606:2800:220:1:248:1893:25c8:1946");
        let mixtures: [&[&str]; 4] =
            [&[&ip], &[&ip, good4, good6], &[good4, &ip], &[good6, good4, &ip]];
        for mixture in mixtures {
            names += 1;
            let name = format!("n{names}.example.com");
            dns.put(&name, &[mixture]);
            let url = format!("https://{name}:{}/x", receiver.port);
            assert_eq!(send(&outbound, &url, receiver.port).await, expected, "{mixture:?}");
        }
    }
    let connections = receiver.count().await;
    println!("{hosts} hosts in {urls} URLs, {names} names: {connections} connections");
    assert_eq!(connections, 0);
    assert!(hosts >= 250 && names >= 250, "{hosts} {names}");
}

#[tokio::test]
async fn names_that_lead_inside_are_not_connected_to() {
    let (receiver, dns) = (Receiver::everywhere().await, Dns::start().await);
    let outbound = outbound(Reach::Public, &dns);
    let many: Vec<_> = (1..=20).map(|last| format!("93.184.216.{last}")).collect();
    let mut many: Vec<_> = many.iter().map(String::as_str).collect();
    many.push("127.0.0.1");
    dns.put("many.example.com", &[&many]);
    for (name, answer) in [
        ("one.example.com", &["127.0.0.1"][..]),
        ("six.example.com", &["::1"]),
        ("both.example.com", &["127.0.0.1", "::1"]),
        ("four-good.example.com", &[FAR, "::1"]),
        ("six-good.example.com", &["2606:2800:220:1:248:1893:25c8:1946", "127.0.0.1"]),
        ("mapped.example.com", &["::ffff:127.0.0.1"]),
        ("kept.example.com", &["127.0.0.1"]),
        ("db.internal", &["10.0.0.7"]),
        ("alias.example.com", &[">one.example.com"]),
        ("alias2.example.com", &[">alias.example.com"]),
        ("alias3.example.com", &[">alias2.example.com"]),
        ("alias-inside.example.com", &[">db.internal"]),
        ("alias-here.example.com", &[">localhost"]),
        ("alias-below.example.com", &[">a.localhost"]),
        ("xn--mnchen-3ya.example.com", &["127.0.0.1"]),
        ("loop.example.com", &[">loop.example.com"]),
        ("loop1.example.com", &[">loop2.example.com"]),
        ("loop2.example.com", &[">loop1.example.com"]),
        ("nothing.example.com", &[]),
        ("alias-nothing.example.com", &[">nothing.example.com"]),
    ] {
        dns.put(name, &[answer]);
    }
    let scenarios = [
        ("one.example.com", "loopback"),
        ("ONE.example.com.", "loopback"),
        ("six.example.com", "loopback"),
        ("both.example.com", "loopback"),
        ("four-good.example.com", "loopback"),
        ("six-good.example.com", "loopback"),
        ("many.example.com", "loopback"),
        ("mapped.example.com", "IPv4-mapped"),
        ("kept.example.com", "loopback"),
        ("alias.example.com", "loopback"),
        ("alias2.example.com", "loopback"),
        ("alias3.example.com", "loopback"),
        ("alias-inside.example.com", "private"),
        ("alias-here.example.com", "loopback"),
        ("alias-below.example.com", "loopback"),
        ("münchen.example.com", "loopback"),
        ("loop.example.com", "failed"),
        ("loop1.example.com", "failed"),
        ("nothing.example.com", "failed"),
        ("alias-nothing.example.com", "failed"),
        ("unknown.example.com", "failed"),
        ("servfail.example.com", "failed"),
    ];
    for (name, expected) in scenarios {
        let url = format!("http://{name}:{}/x", receiver.port);
        assert_eq!(send(&outbound, &url, receiver.port).await, expected, "{name}");
    }
    let connections = receiver.count().await;
    println!("{} names: {connections} connections", scenarios.len());
    assert_eq!(connections, 0);
}

/// What a name is below a domain of the system's is another name, and somebody else's.
#[tokio::test]
async fn names_are_not_looked_up_below_the_systems_domains() {
    let dns = Dns::start().await;
    dns.put("hooks.example.com.search.example.net", &[&[FAR]]);
    let (mut config, mut options) = dns::settings(Some(dns.address)).unwrap();
    config.add_search("search.example.net.".parse().unwrap());
    options.ndots = 5;
    let judging = Judging::with(Reach::Public, config, options).unwrap();
    judging.addresses("hooks.example.com").await.unwrap_err();
    let questions = dns.questions.lock().unwrap();
    assert!(questions.iter().all(|(name, _)| name == "hooks.example.com."), "{questions:?}");
}

/// The first answer is the one that is judged and connected to; the next call asks anew, however long the answer may be
/// kept.
#[tokio::test]
async fn a_name_is_looked_up_once_for_a_call_and_again_for_the_next() {
    let dns = Dns::start().await;
    let first = Receiver::on("127.0.0.1:0", Manner::Close).await;
    let second = Receiver::on(&format!("127.0.0.2:{}", first.port), Manner::Close).await;
    for (calls, name) in (0..).zip(["turns.example.com", "kept-turns.example.com"]) {
        dns.put(name, &[&["127.0.0.1"], &["127.0.0.2"], &["10.0.0.1"]]);
        let outbound = outbound(Reach::PublicAndLoopback, &dns);
        let url = format!("https://{name}:{}/x", first.port);
        assert_eq!(send(&outbound, &url, first.port).await, "failed", "no TLS there");
        assert_eq!((first.count().await, second.count().await), (calls + 1, calls));
        assert_eq!(dns.asked(name, RecordType::A), 1);
        assert_eq!(dns.asked(name, RecordType::AAAA), 1);
        assert_eq!(send(&outbound, &url, first.port).await, "failed");
        assert_eq!((first.count().await, second.count().await), (calls + 1, calls + 1));
        assert_eq!(send(&outbound, &url, first.port).await, "private");
        assert_eq!((first.count().await, second.count().await), (calls + 1, calls + 1));
    }
}

#[tokio::test]
async fn a_name_that_turns_inside_after_it_was_judged_is_not_followed() {
    let (receiver, dns) = (Receiver::everywhere().await, Dns::start().await);
    let short = Duration::from_millis(300);
    let outbound = Outbound::new(Reach::Public, Some(dns.address), short).unwrap();
    for name in ["rebind.example.com", "kept-rebind.example.com"] {
        dns.put(name, &[&[FAR], &["127.0.0.1"]]);
        let url = format!("https://{name}:{}/x", receiver.port);
        assert_eq!(send(&outbound, &url, receiver.port).await, "failed", "nobody is there");
        assert_eq!(dns.asked(name, RecordType::A), 1);
        assert_eq!(receiver.count().await, 0);
        assert_eq!(send(&outbound, &url, receiver.port).await, "loopback");
    }
    assert_eq!(receiver.count().await, 0);
}

/// Without this, no connection would prove nothing.
#[tokio::test]
async fn the_local_stack_connects_to_this_machine() {
    let dns = Dns::start().await;
    dns.put("here.example.com", &[&["127.0.0.1"]]);
    let said = "HTTP/1.1 204 No Content\r\n\r\n";
    let receiver = Receiver::on("[::]:0", Manner::Say(said)).await;
    let port = receiver.port;
    let near = outbound(Reach::PublicAndLoopback, &dns);
    for (count, host) in (1..).zip(["127.0.0.1", "127.0.0.2", "[::1]", "localhost", "a.localhost"])
    {
        let url = Url::parse(&format!("http://{host}:{port}/x")).unwrap();
        let response = near.post(&url).unwrap().send().await.unwrap();
        assert_eq!(response.status(), 204, "{host}");
        assert_eq!(receiver.count().await, count, "{host}");
    }
    let before = receiver.count().await;
    let url = format!("https://here.example.com:{port}/x");
    assert_eq!(send(&near, &url, port).await, "failed", "no TLS there");
    assert_eq!(receiver.count().await, before + 1);
    // The setting decides, and nothing else.
    let far = outbound(Reach::Public, &dns);
    assert_eq!(send(&far, &url, port).await, "loopback");
    let clear = format!("http://127.0.0.1:{port}/x");
    assert_eq!(send(&far, &clear, port).await, "loopback");
    // Nor does it send in clear what nobody judged.
    assert!(far.client.post(clear).send().await.unwrap_err().is_builder());
    assert_eq!(receiver.count().await, before + 1);
}

#[tokio::test]
async fn a_port_that_is_not_allowed_is_not_connected_to() {
    let (receiver, dns) = (Receiver::everywhere().await, Dns::start().await);
    dns.put("here.example.com", &[&["127.0.0.1"]]);
    let url = Url::parse(&format!("https://here.example.com:{}/x", receiver.port)).unwrap();
    for reach in [Reach::Public, Reach::PublicAndLoopback] {
        let refused = outbound(reach, &dns).post(&url).unwrap_err();
        assert_eq!(refused, Blocked::Port(receiver.port));
    }
    assert_eq!(receiver.count().await, 0);
    assert!(dns.questions.lock().unwrap().is_empty());
}

async fn call(receiver: &Receiver, timeout: Duration) -> Response {
    let outbound = Outbound::new(Reach::PublicAndLoopback, None, timeout).unwrap();
    let url = Url::parse(&format!("http://127.0.0.1:{}/x", receiver.port)).unwrap();
    outbound.post(&url).unwrap().send().await.unwrap()
}

#[tokio::test]
async fn a_redirect_is_an_answer() {
    let target = Receiver::everywhere().await;
    for status in [301, 302, 303, 307, 308] {
        let port = target.port;
        let answer = format!(
            "HTTP/1.1 {status} Go\r\nLocation: http://127.0.0.1:{port}/\r\nContent-Length: 0\r\n\r\n"
        );
        let receiver = Receiver::on("127.0.0.1:0", Manner::Say(answer.leak())).await;
        assert_eq!(call(&receiver, TIMEOUT).await.status(), status);
        assert_eq!(receiver.count().await, 1);
    }
    assert_eq!(target.count().await, 0);
}

#[tokio::test]
async fn no_more_of_a_body_is_read_than_asked_for() {
    const CAP: usize = 64 * 1024;
    for head in [
        "HTTP/1.1 200 OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1000000000000\r\n\r\n",
        "HTTP/1.1 500 Oh\r\nContent-Encoding: gzip\r\n\r\n",
    ] {
        let receiver = Receiver::on("127.0.0.1:0", Manner::Flood(head)).await;
        let body = read_capped(call(&receiver, TIMEOUT).await, CAP).await;
        assert_eq!(body.len(), CAP);
    }
    for (body, cap, read) in [("hello", 5, "hello"), ("hello", 9, "hello"), ("hello", 2, "he")] {
        let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        let receiver = Receiver::on("127.0.0.1:0", Manner::Say(answer.leak())).await;
        assert_eq!(read_capped(call(&receiver, TIMEOUT).await, cap).await, read.as_bytes());
    }
    let receiver = Receiver::on("127.0.0.1:0", Manner::Flood("HTTP/1.1 200 OK\r\n\r\n")).await;
    assert_eq!(read_capped(call(&receiver, TIMEOUT).await, 0).await, b"");
}

#[tokio::test]
async fn a_body_that_stalls_is_left_at_the_timeout() {
    let answer = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhe";
    let receiver = Receiver::on("127.0.0.1:0", Manner::Say(answer)).await;
    let response = call(&receiver, Duration::from_millis(500)).await;
    assert_eq!(read_capped(response, 100).await, b"he");
}

/// A proxy of the environment would see everything, and resolve names on its own.
#[tokio::test]
async fn proxies_of_the_environment_are_ignored() {
    let proxy = Receiver::everywhere().await;
    let test = "http::outbound::tests::the_local_stack_connects_to_this_machine";
    let mut again = Command::new(std::env::current_exe().unwrap());
    again.args([test, "--exact"]);
    for name in ["http_proxy", "https_proxy", "all_proxy"] {
        let value = format!("http://127.0.0.1:{}", proxy.port);
        again.env(name, &value).env(name.to_uppercase(), &value);
    }
    again.env_remove("no_proxy").env_remove("NO_PROXY");
    let output = tokio::task::spawn_blocking(move || again.output().unwrap()).await.unwrap();
    let printed = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && printed.contains("1 passed"), "{printed}");
    assert_eq!(proxy.count().await, 0);
}
