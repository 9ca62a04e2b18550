//! The edge of [`crate::mail`] that asks DNS: which DKIM signatures of a raw mail hold.
//!
//! It says nothing about who may sign for whom; `mail::authenticity` decides that.

use std::net::SocketAddr;

use mail_auth::{
    AuthenticatedMessage, DkimResult, DnsError, Error, MessageAuthenticator,
    common::crypto::Algorithm, hickory_resolver::proto::op::ResponseCode,
};

use crate::{dns, error::BoxError, mail::authenticity::Signature};

/// Who tells which signatures of a mail hold.
pub trait Signatures: Send + Sync {
    /// The signatures of `raw` that hold, of the domains that `may_vouch`.
    fn verify(
        &self,
        raw: &[u8],
        may_vouch: impl Fn(&str) -> bool + Send + Sync,
    ) -> impl Future<Output = Result<Vec<Signature>, Unanswered>> + Send;
}

/// Checks signatures.
pub struct Verifier(MessageAuthenticator);

/// DNS did not answer, so that nobody can say whether a signature holds: try again later.
#[derive(Debug, thiserror::Error)]
#[error("DNS does not answer for the key of {domain}")]
pub struct Unanswered {
    /// Whose key it is.
    pub domain: String,
}

/// Signatures that are looked at. A retailer's mail has two, and forwarding adds one.
const MAX_SIGNATURES: usize = 8;

impl Verifier {
    /// With the system's resolver, or with one DNS server. Call it inside of the async runtime.
    pub fn new(server: Option<SocketAddr>) -> Result<Self, BoxError> {
        let (config, options) = dns::settings(server)?;
        Ok(Self(MessageAuthenticator::new(config, options)?))
    }
}

impl Signatures for Verifier {
    /// The signatures of `raw` that hold, of the domains that `may_vouch`: the keys of others are not asked for, so that
    /// nobody can have us wait for a DNS server of his own.
    ///
    /// A signature does not hold here if it covers only a part of the body (`l=`) or leaves out From, is made with SHA-1
    /// or a key below 1024 bits, has expired, or covers fewer of a header than there are. The mail's own limits are
    /// those of `mail::message`: parse it first.
    async fn verify(
        &self,
        raw: &[u8],
        may_vouch: impl Fn(&str) -> bool + Send + Sync,
    ) -> Result<Vec<Signature>, Unanswered> {
        // Strict: a signature with `l=` is an error here.
        let Some(mut message) = AuthenticatedMessage::parse_with_opts(raw, None, true) else {
            return Ok(Vec::new());
        };
        let counts = Counts::of(&message);
        message.dkim_headers.retain(|header| {
            let signature = &header.header;
            may_vouch(&signature.d.to_lowercase())
                && signature.v == 1
                && signature.a != Algorithm::RsaSha1
                && counts.are_covered(&signature.h)
        });
        message.dkim_headers.truncate(MAX_SIGNATURES);
        let (mut passed, mut unanswered) = (Vec::new(), None);
        for output in self.0.verify_dkim(&message).await {
            let Some(signature) = output.signature() else { continue };
            match output.result() {
                DkimResult::Pass => passed.push(Signature {
                    domain: signature.d.to_lowercase(),
                    signed_headers: lower(&signature.h),
                }),
                result if is_temporary(result) => unanswered = Some(signature.d.clone()),
                DkimResult::Neutral(_)
                | DkimResult::Fail(_)
                | DkimResult::PermError(_)
                | DkimResult::TempError(_)
                | DkimResult::None => {}
            }
        }
        // One that holds is enough: nobody can have us wait with another one that leads nowhere.
        match unanswered {
            Some(domain) if passed.is_empty() => Err(Unanswered { domain }),
            Some(_) | None => Ok(passed),
        }
    }
}

/// Whether DNS may say something else the next time. A server that fails is no proof that there is no key.
fn is_temporary(result: &DkimResult) -> bool {
    match result {
        DkimResult::TempError(_) => true,
        DkimResult::PermError(Error::Dns(DnsError::RecordNotFound(code))) => {
            !matches!(code, ResponseCode::NXDomain | ResponseCode::NoError)
        }
        DkimResult::Pass
        | DkimResult::Neutral(_)
        | DkimResult::Fail(_)
        | DkimResult::PermError(_)
        | DkimResult::None => false,
    }
}

fn lower(names: &[String]) -> Vec<String> {
    names.iter().map(|name| name.trim().to_lowercase()).collect()
}

/// The headers of a mail, by their names in lower case.
struct Counts(Vec<String>);

impl Counts {
    fn of(message: &AuthenticatedMessage<'_>) -> Self {
        let names = message.headers.iter().map(|(name, _)| String::from_utf8_lossy(name));
        Self(names.map(|name| name.trim().to_lowercase()).collect())
    }

    /// Whether From is signed, and each header that is read here is signed as often as it stands. A signature takes the
    /// lowest ones; one above that it does not cover would be the one that a reader sees.
    fn are_covered(&self, signed: &[String]) -> bool {
        let signed = lower(signed);
        let count = |names: &[String], name: &str| names.iter().filter(|one| *one == name).count();
        signed.iter().any(|name| name == "from")
            && ["from", "to", "cc", "subject", "date", "content-type"].iter().all(|name| {
                let covered = count(&signed, name);
                covered == 0 || covered >= count(&self.0, name)
            })
    }
}

#[cfg(test)]
mod tests {
    use mail_auth::{
        common::{
            crypto::{Ed25519Key, RsaKey, Sha256, SigningKey},
            headers::HeaderWriter,
        },
        dkim::{DkimSigner, Done},
    };
    use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
    use tokio::net::UdpSocket;

    use super::*;

    const MAIL: &str = "From: account-update@amazon.com\r\nTo: buyer@example.com\r\nSubject: A code\r\n\r\n123456\r\n";
    const HEADERS: [&str; 3] = ["From", "To", "Subject"];

    fn key() -> (Ed25519Key, String) {
        let pkcs8 = Ed25519Key::generate_pkcs8().unwrap();
        let key = Ed25519Key::from_pkcs8_der(&pkcs8).unwrap();
        let record =
            format!("v=DKIM1; k=ed25519; p={}", data_encoding::BASE64.encode(&key.public_key()));
        (key, record)
    }

    fn signer<K: SigningKey>(key: K, headers: &[&str]) -> DkimSigner<K, Done> {
        let headers = headers.iter().map(|header| (*header).to_owned());
        DkimSigner::from_key(key).domain("amazon.com").selector("s").headers(headers)
    }

    /// `MAIL`, signed.
    fn signed<K: SigningKey>(signer: &DkimSigner<K, Done>) -> String {
        signer.sign(MAIL.as_bytes()).unwrap().to_header() + MAIL
    }

    /// A DNS server that answers every question with this text, or with this code.
    async fn dns(answer: Result<String, u8>) -> Verifier {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        tokio::spawn(async move {
            let mut buffer = [0; 1500];
            while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
                // RFC 1035 §4: the id and the question come back; then the answer.
                let name = buffer[12..length].iter().position(|byte| *byte == 0).unwrap();
                let question = &buffer[12..12 + name + 5];
                let code = answer.as_ref().err().copied().unwrap_or(0);
                let mut reply = buffer[..2].to_vec();
                reply.extend([0x81, 0x80 | code, 0, 1, 0, u8::from(code == 0), 0, 0, 0, 0]);
                reply.extend(question);
                if let Ok(text) = &answer {
                    // A text is strings of 255 bytes at most.
                    let strings: Vec<_> = text.as_bytes().chunks(255).collect();
                    let length = u16::try_from(text.len() + strings.len()).unwrap().to_be_bytes();
                    reply.extend([0xc0, 0x0c, 0, 16, 0, 1, 0, 0, 0, 60, length[0], length[1]]);
                    for string in strings {
                        reply.push(u8::try_from(string.len()).unwrap());
                        reply.extend(string);
                    }
                }
                socket.send_to(&reply, from).await.unwrap();
            }
        });
        Verifier::new(Some(address)).unwrap()
    }

    async fn holds(verifier: &Verifier, raw: &str) -> bool {
        let signatures = verifier.verify(raw.as_bytes(), |domain| domain == "amazon.com").await;
        !signatures.unwrap().is_empty()
    }

    #[tokio::test]
    async fn a_signature_that_holds_says_whose_it_is_and_what_it_covers() {
        let (key, record) = key();
        let raw = signed(&signer(key, &HEADERS));
        let verifier = dns(Ok(record)).await;
        let found = verifier.verify(raw.as_bytes(), |_| true).await.unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].domain, "amazon.com");
        assert_eq!(found[0].signed_headers, ["subject", "to", "from"]);
        // What stands above it was added on the way.
        assert!(
            holds(&verifier, &format!("Received: by x\r\nDelivered-To: a@b.example\r\n{raw}"))
                .await
        );
    }

    /// The key pair signs nothing but this test's mail.
    #[tokio::test]
    async fn an_rsa_key_that_needs_two_strings_is_read() {
        let private = include_bytes!("../../tests/fixtures/mail/rsa-2048.pk8.der").as_slice();
        let public = include_bytes!("../../tests/fixtures/mail/rsa-2048.spki.der");
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(private));
        let raw = signed(&signer(RsaKey::<Sha256>::from_key_der(key).unwrap(), &HEADERS));
        let record = format!("v=DKIM1; k=rsa; p={}", data_encoding::BASE64.encode(public));
        let verifier = dns(Ok(record)).await;
        assert!(holds(&verifier, &raw).await);
        assert!(!holds(&verifier, &raw.replace("123456", "654321")).await);
    }

    #[tokio::test]
    async fn a_mail_that_was_changed_or_signed_by_another_is_not_signed() {
        let (one, record) = key();
        let raw = signed(&signer(one, &HEADERS));
        let verifier = dns(Ok(record)).await;
        assert!(holds(&verifier, &raw).await);
        let (other, _) = key();
        for changed in [
            MAIL.to_owned(),
            String::new(),
            signed(&signer(other, &HEADERS)),
            raw.replace("123456", "654321"),
            raw.replace("Subject: A", "Subject: Another"),
            raw.replace("d=amazon.com", "d=amazon.co.uk"),
            raw.replace("v=1", "v=2"),
            raw.replace("ed25519-sha256", "rsa-sha1"),
        ] {
            assert!(!holds(&verifier, &changed).await, "{changed}");
        }
        let nobody = verifier.verify(raw.as_bytes(), |_| false).await.unwrap();
        assert_eq!(nobody, []);
    }

    #[tokio::test]
    async fn weak_signatures_do_not_hold() {
        for weaken in
            [|key| signer(key, &HEADERS).body_length(true), |key| signer(key, &["To", "Subject"])]
        {
            let (key, record) = key();
            let raw = signed(&weaken(key));
            assert!(!holds(&dns(Ok(record)).await, &raw).await, "{raw}");
        }
    }

    #[tokio::test]
    async fn a_header_above_the_signed_one_breaks_it() {
        let (key, record) = key();
        let raw = signed(&signer(key, &HEADERS));
        let verifier = dns(Ok(record)).await;
        for header in ["From: a@evil.example", "TO: a@evil.example", "subject: x"] {
            assert!(!holds(&verifier, &format!("{header}\r\n{raw}")).await, "{header}");
        }
    }

    #[tokio::test]
    async fn no_key_is_no_signature_but_no_answer_is_an_error() {
        const NXDOMAIN: u8 = 3;
        const SERVFAIL: u8 = 2;
        let (key, _) = key();
        let raw = signed(&signer(key, &HEADERS));
        assert!(!holds(&dns(Err(NXDOMAIN)).await, &raw).await);
        assert!(!holds(&dns(Ok("v=DKIM1; p=".to_owned())).await, &raw).await);
        let verifier = dns(Err(SERVFAIL)).await;
        let error = verifier.verify(raw.as_bytes(), |_| true).await.unwrap_err();
        assert_eq!(error.domain, "amazon.com");
    }
}
