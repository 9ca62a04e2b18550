//! What SES finds out about a mail: who vouches for it, and whether it is spam or a virus.

use super::{MailError, smtp};
use mail_auth::{
    AuthenticatedMessage, AuthenticationResults, DkimOutput, DkimResult, DmarcOutput, DmarcResult,
    MessageAuthenticator, ReceivedSpf, SpfOutput, SpfResult,
    common::headers::HeaderWriter,
    dmarc::{Policy, verify::DmarcParameters},
    hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverConfig, ResolverOpts},
    spf::verify::SpfParameters,
};
use std::net::SocketAddr;

/// The text that every spam filter takes for spam, so that filters can be tested (GTUBE).
const SPAM: &[u8] = b"XJS*C4JDBQADN1.NSBN3*2IDNEN*GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X";
/// The text that every virus scanner takes for a virus (EICAR), in two halves: whole, it would be found in this file.
const VIRUS: [&str; 2] =
    ["X5O!P%@AP[4\\PZX54(P^)7CC)7}$", "EICAR-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*"];
/// Who says so in the headers.
const AUTHORITY: &str = "amazonses.com";

/// One finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is as it should be.
    Pass,
    /// It is not.
    Fail,
    /// Nothing is known: unsigned, or no policy.
    Gray,
    /// It could not be found out.
    ProcessingFailed,
    /// Nobody looked: the rule asks for no scan.
    Disabled,
}

impl Verdict {
    /// SES's word for it.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Pass => "PASS",
            Self::Fail => "FAIL",
            Self::Gray => "GRAY",
            Self::ProcessingFailed => "PROCESSING_FAILED",
            Self::Disabled => "DISABLED",
        }
    }
}

/// All findings about a mail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Verdicts {
    pub(super) spam: Verdict,
    pub(super) virus: Verdict,
    pub(super) spf: Verdict,
    pub(super) dkim: Verdict,
    pub(super) dmarc: Verdict,
    /// What the domain wants done with a mail that failed DMARC.
    pub(super) dmarc_policy: Option<&'static str>,
    /// The headers that say so, each with its line end.
    pub(super) headers: String,
}

/// Asks the DNS server at `dns`, and keeps no answers.
pub(super) fn authenticator(dns: SocketAddr) -> Result<MessageAuthenticator, MailError> {
    let mut connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()];
    for connection in &mut connections {
        connection.port = dns.port();
    }
    let server = NameServerConfig::new(dns.ip(), true, connections.to_vec());
    let mut options = ResolverOpts::default();
    options.cache_size = 0;
    MessageAuthenticator::new(ResolverConfig::from_name_servers(vec![server]), options)
        .map_err(|error| MailError::Resolver(error.into()))
}

/// Judges a mail; `scans` says whether spam and viruses are looked for.
pub(super) async fn judge(
    authenticator: &MessageAuthenticator,
    envelope: &smtp::Envelope,
    raw: &[u8],
    scans: bool,
) -> Verdicts {
    let smtp::Envelope { helo, client, sender, .. } = envelope;
    let host = smtp::host();
    let spf =
        authenticator.verify_spf(SpfParameters::verify_mail_from(*client, helo, &host, sender));
    let spf = spf.await;
    let message = AuthenticatedMessage::parse(raw);
    let (dkim, dmarc) = match &message {
        Some(message) => {
            let dkim = authenticator.verify_dkim(message).await;
            let domain = sender.rsplit_once('@').map_or(helo.as_str(), |(_, domain)| domain);
            let dmarc = DmarcParameters::new(message, &dkim, domain, &spf);
            let dmarc = authenticator.verify_dmarc(dmarc).await;
            (dkim, dmarc)
        }
        None => (Vec::new(), DmarcOutput::default()),
    };
    let from = message.as_ref().map(AuthenticatedMessage::from).unwrap_or_default();
    let results = AuthenticationResults::new(AUTHORITY)
        .with_spf_mailfrom_result(&spf, *client, sender, helo)
        .with_dkim_results(&dkim, from)
        .with_dmarc_result(&dmarc);
    let received_spf = ReceivedSpf::new(&spf, *client, helo, sender, AUTHORITY);
    let dmarc_verdict = of_dmarc(&dmarc.result());
    let (spam, virus) = scan(raw, scans);
    Verdicts {
        spam,
        virus,
        spf: of_spf(&spf),
        dkim: of_dkim(&dkim),
        dmarc: dmarc_verdict,
        dmarc_policy: (dmarc_verdict == Verdict::Fail).then(|| policy_word(dmarc.policy())),
        headers: format!(
            "X-SES-Spam-Verdict: {}\r\nX-SES-Virus-Verdict: {}\r\n{}{}",
            spam.word(),
            virus.word(),
            received_spf.to_header(),
            results.to_header()
        ),
    }
}

fn scan(raw: &[u8], scans: bool) -> (Verdict, Verdict) {
    if !scans {
        return (Verdict::Disabled, Verdict::Disabled);
    }
    let virus = VIRUS.concat();
    let verdict = |text: &[u8]| if contains(raw, text) { Verdict::Fail } else { Verdict::Pass };
    (verdict(SPAM), verdict(virus.as_bytes()))
}

fn contains(text: &[u8], wanted: &[u8]) -> bool {
    let first = wanted.first().copied();
    let mut rest = text;
    while let Some(position) = rest.iter().position(|byte| Some(*byte) == first) {
        rest = rest.get(position..).unwrap_or_default();
        if rest.starts_with(wanted) {
            return true;
        }
        rest = rest.get(1..).unwrap_or_default();
    }
    false
}

fn of_spf(spf: &SpfOutput) -> Verdict {
    match spf.result() {
        SpfResult::Pass => Verdict::Pass,
        SpfResult::Fail => Verdict::Fail,
        SpfResult::SoftFail | SpfResult::Neutral | SpfResult::None => Verdict::Gray,
        SpfResult::TempError | SpfResult::PermError => Verdict::ProcessingFailed,
    }
}

/// One good signature is enough: a mailing list adds its own and breaks the author's.
fn of_dkim(signatures: &[DkimOutput<'_>]) -> Verdict {
    let any = |wanted: fn(&DkimResult) -> bool| signatures.iter().any(|one| wanted(one.result()));
    if any(|result| matches!(result, DkimResult::Pass)) {
        Verdict::Pass
    } else if signatures.is_empty() {
        Verdict::Gray
    } else if any(|result| matches!(result, DkimResult::TempError(_))) {
        Verdict::ProcessingFailed
    } else {
        Verdict::Fail
    }
}

fn of_dmarc(result: &DmarcResult) -> Verdict {
    match result {
        DmarcResult::Pass => Verdict::Pass,
        DmarcResult::Fail(_) => Verdict::Fail,
        DmarcResult::None => Verdict::Gray,
        DmarcResult::TempError(_) | DmarcResult::PermError(_) => Verdict::ProcessingFailed,
    }
}

fn policy_word(policy: Policy) -> &'static str {
    match policy {
        Policy::Reject => "reject",
        Policy::Quarantine => "quarantine",
        Policy::None | Policy::Unspecified => "none",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::dns::Dns;
    use mail_auth::Error;
    use tokio::net::{TcpListener, UdpSocket};

    fn envelope(sender: &str) -> smtp::Envelope {
        smtp::Envelope {
            helo: "mail.example.org".to_owned(),
            client: "127.0.0.1".parse().unwrap(),
            sender: sender.to_owned(),
            recipients: vec!["someone@mail.example.com".to_owned()],
        }
    }

    /// A DNS server that knows SPF and DMARC of `example.org`.
    async fn server() -> MessageAuthenticator {
        let udp = UdpSocket::bind(("127.0.0.1", 0)).await.unwrap();
        let address = udp.local_addr().unwrap();
        let tcp = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let (dns, _server) = Dns::serve(udp, tcp).await.unwrap();
        dns.add_txt("example.org", "v=spf1 ip4:127.0.0.1 -all").await.unwrap();
        dns.add_txt("elsewhere.example", "v=spf1 -all").await.unwrap();
        dns.add_txt("_dmarc.example.org", "v=DMARC1; p=quarantine").await.unwrap();
        authenticator(address).unwrap()
    }

    #[tokio::test]
    async fn an_unsigned_mail_is_vouched_for_by_its_sender_only() {
        let raw = b"From: a@example.org\r\nSubject: x\r\n\r\nHello\r\n";
        let found = judge(&server().await, &envelope("a@example.org"), raw, true).await;
        assert_eq!((found.spf, found.dkim), (Verdict::Pass, Verdict::Gray));
        assert_eq!((found.dmarc, found.dmarc_policy), (Verdict::Pass, None));
        assert!(found.headers.contains("X-SES-Spam-Verdict: PASS\r\n"), "{}", found.headers);
        assert!(found.headers.contains("Authentication-Results: amazonses.com;"));
    }

    #[tokio::test]
    async fn a_forged_sender_fails_with_the_policy_of_its_domain() {
        let raw = b"From: a@example.org\r\nSubject: x\r\n\r\nHello\r\n";
        let found = judge(&server().await, &envelope("a@elsewhere.example"), raw, false).await;
        assert_eq!(found.spf, Verdict::Fail);
        assert_eq!((found.dmarc, found.dmarc_policy), (Verdict::Fail, Some("quarantine")));
        assert_eq!((found.spam, found.virus), (Verdict::Disabled, Verdict::Disabled));
    }

    #[tokio::test]
    async fn a_domain_without_records_and_a_mail_without_headers_are_gray() {
        let found = judge(&server().await, &envelope("a@nobody.example"), b"", true).await;
        assert_eq!(
            (found.spf, found.dkim, found.dmarc),
            (Verdict::Gray, Verdict::Gray, Verdict::Gray)
        );
    }

    #[test]
    fn test_texts_are_found_wherever_they_stand() {
        let virus = VIRUS.concat();
        let mail = [b"XX".as_slice(), SPAM, b"\r\n", virus.as_bytes()].concat();
        assert_eq!(scan(&mail, true), (Verdict::Fail, Verdict::Fail));
        assert_eq!(scan(b"X5O", true), (Verdict::Pass, Verdict::Pass));
    }

    #[test]
    fn one_good_signature_is_enough_and_none_is_no_failure() {
        let broken = || DkimOutput::fail(Error::ParseError);
        let cases = [
            (vec![], Verdict::Gray),
            (vec![broken()], Verdict::Fail),
            (vec![broken(), DkimOutput::pass()], Verdict::Pass),
            (vec![broken(), DkimOutput::temp_err(Error::ParseError)], Verdict::ProcessingFailed),
        ];
        for (signatures, expected) in cases {
            assert_eq!(of_dkim(&signatures), expected);
        }
    }
}
