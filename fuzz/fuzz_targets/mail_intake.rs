//! Any bytes as a mail: it is read or refused, and what is read keeps the rules that the decisions rest on.

#![no_main]

use libfuzzer_sys::fuzz_target;
use spelter::{
    email::Email,
    mail::{
        authenticity::{Signature, Verdict, Verdicts, vouch},
        content,
        message::{self, Mail},
        senders::{Brand, GOOGLE, Sender, Trust},
    },
    retailers::Mode,
};

const SANDBOX: &str = "sandbox.mail.example.com";

/// Who may have signed: those that can vouch, and one that cannot.
const SIGNERS: [&str; 7] = [
    "aliexpress.com",
    "amazon.com",
    "costco.com",
    "walmart.com",
    "google.com",
    SANDBOX,
    "attacker.example",
];

const VERDICTS: Verdicts = Verdicts {
    spam: Verdict::Pass,
    virus: Verdict::Pass,
    spf: Verdict::Gray,
    dkim: Verdict::Pass,
    dmarc: Verdict::Gray,
};

fuzz_target!(|raw: &[u8]| {
    let Ok(mail) = message::parse(raw) else { return };
    read_as_promised(&mail);
    let account: Email = "buyer@example.com".parse().expect("an address");
    for mode in [Mode::Live, Mode::Test] {
        let trust = Trust { mode, sandbox_domain: SANDBOX };
        let vouched =
            |signatures: &[Signature]| vouch(&mail, VERDICTS, signatures, &account, &trust).ok();
        assert_eq!(vouched(&[]), None, "nobody vouches for a mail without a signature");
        for domain in SIGNERS {
            if let Some(sender) = vouched(&[signature(domain)]) {
                assert!(is_of(sender, domain) && is_business(sender, mode), "{sender:?}: {domain}");
                vouched_as_promised(&mail, sender);
                content(sender, &mail, &account);
            }
        }
    }
});

fn signature(domain: &str) -> Signature {
    let headers = ["from", "to", "subject"].map(ToOwned::to_owned);
    Signature { domain: domain.to_owned(), signed_headers: headers.to_vec() }
}

fn read_as_promised(mail: &Mail) {
    assert!(mail.links.len() <= 2_000 && mail.texts.len() <= 64);
    for address in mail.from.iter().chain(&mail.to).chain(&mail.cc) {
        assert_eq!(*address, address.to_lowercase());
        assert!(address.is_empty() || address.matches('@').count() == 1, "{address}");
    }
    assert!(!mail.subject.contains(['\r', '\n', '\t']) && !mail.subject.contains("  "));
    for text in &mail.texts {
        assert!(!text.contains(['\r', '\t', '\0']) && !text.contains("\n\n\n"));
        assert!(!text.is_empty() && text.trim() == text);
    }
}

fn vouched_as_promised(mail: &Mail, sender: Sender) {
    let [from] = mail.from.as_slice() else { panic!("{} senders", mail.from.len()) };
    assert!(!mail.repeats_a_header);
    assert_eq!(sender == Sender::Google, from == GOOGLE);
    assert!(sender == Sender::Google || mail.to.iter().any(|to| to == "buyer@example.com"));
}

/// Whether a signature of `domain` can be `sender`'s.
fn is_of(sender: Sender, domain: &str) -> bool {
    match sender {
        Sender::Retailer(Brand::Aliexpress) => domain == "aliexpress.com",
        Sender::Retailer(Brand::Amazon) => domain == "amazon.com",
        Sender::Retailer(Brand::Costco) => domain == "costco.com",
        Sender::Retailer(Brand::Walmart) => domain == "walmart.com",
        Sender::Sandbox => domain == SANDBOX,
        Sender::Google => domain == "google.com",
    }
}

fn is_business(sender: Sender, mode: Mode) -> bool {
    match sender {
        Sender::Retailer(_) => mode == Mode::Live,
        Sender::Sandbox => mode == Mode::Test,
        Sender::Google => true,
    }
}
