//! Any words in a mail of a known sender: whatever is found in it is what a code, a link or a shipment may be.
//!
//! An input is a digit for the sender, the subject to the end of the line, the plain text, and after a zero byte HTML.

#![no_main]

use std::fmt::Write;

use base64::{Engine, prelude::BASE64_STANDARD};
use libfuzzer_sys::{Corpus, fuzz_target};
use secrecy::ExposeSecret;
use spelter::{
    email::Email,
    mail::{
        Content, codes, content, gmail,
        message::{self, Mail},
        senders::{Brand, GOOGLE, Sender},
        shipments::{self, Shipment},
    },
};
use url::Url;

/// Senders, the addresses of each, and how long its codes are.
const SENDERS: [(Sender, &str, &[usize]); 6] = [
    (Sender::Retailer(Brand::Amazon), "account-update@amazon.com", &[6]),
    (Sender::Retailer(Brand::Walmart), "help@walmart.com", &[6]),
    (Sender::Retailer(Brand::Costco), "no-reply@costco.com", &[6]),
    (Sender::Retailer(Brand::Aliexpress), "transaction@notice.aliexpress.com", &[4, 6]),
    (Sender::Sandbox, "no-reply@sandbox.mail.example.com", &[6]),
    (Sender::Google, GOOGLE, &[]),
];

fuzz_target!(|input: &[u8]| -> Corpus {
    let Some((digit, words)) = input.split_first() else { return Corpus::Reject };
    let Some((sender, from, lengths)) = SENDERS.get(usize::from(digit.wrapping_sub(b'0'))).copied()
    else {
        return Corpus::Reject;
    };
    let words = String::from_utf8_lossy(words);
    let (subject, texts) = words.split_once('\n').unwrap_or((&words, ""));
    let (text, html) = texts.split_once('\0').unwrap_or((texts, ""));
    // Too long a subject, or too many links.
    let Ok(mail) = message::parse(raw(from, subject, text, html).as_bytes()) else {
        return Corpus::Reject;
    };
    let account: Email = "buyer@example.com".parse().expect("an address");

    let code = codes::code(sender, &mail);
    if let Ok(code) = &code {
        is_a_code(code.expose_secret(), &mail, lengths);
    }
    if let Some(shipment) = shipments::shipment(sender, &mail) {
        is_a_shipment(&shipment, &mail);
    }
    if let Ok(confirmation) = gmail::confirmation(&mail, &account) {
        confirms(&confirmation.link, &mail);
    }
    match content(sender, &mail, &account) {
        Content::Code(_) => assert!(code.is_ok() && sender != Sender::Google),
        Content::Shipment(_) => assert!(code.is_err() && sender != Sender::Google),
        Content::GmailConfirmation(_) => assert_eq!(sender, Sender::Google),
        Content::Other(_) => {}
    }
    Corpus::Keep
});

/// A mail whose parts say just these words, in an encoding that they cannot leave.
fn raw(from: &str, subject: &str, text: &str, html: &str) -> String {
    let (text, html) = (BASE64_STANDARD.encode(text), BASE64_STANDARD.encode(html));
    format!(
        "From: {from}\r\nTo: buyer@example.com\r\nSubject:{}\r\nContent-Type: multipart/alternative; boundary=b\r\n\r\n\
         --b\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\n{text}\r\n\
         --b\r\nContent-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\n{html}\r\n--b--\r\n",
        encoded_words(subject)
    )
}

/// RFC 2047: words of at most 75 characters, each a line.
fn encoded_words(text: &str) -> String {
    let characters: Vec<char> = text.chars().collect();
    characters.chunks(10).fold(String::new(), |mut words, word| {
        let word = BASE64_STANDARD.encode(String::from_iter(word));
        write!(words, "\r\n =?utf-8?b?{word}?=").expect("a string takes all");
        words
    })
}

/// It is a number as long as the sender's, which the mail holds as a number of its own.
fn is_a_code(code: &str, mail: &Mail, lengths: &[usize]) {
    assert!(code.bytes().all(|byte| byte.is_ascii_digit()), "{code}");
    assert!(lengths.contains(&code.len()), "{code}");
    let is_digit = |c: char| c.is_ascii_digit();
    let mut texts = mail.texts.iter().chain([&mail.subject]);
    let is_there = texts.any(|text| text.split(|c| !is_digit(c)).any(|number| number == code));
    assert!(is_there, "{code}");
}

fn is_a_shipment(shipment: &Shipment, mail: &Mail) {
    assert!(!shipment.merchant_order_ids.is_empty() && shipment.merchant_order_ids.is_sorted());
    let mut texts: Vec<String> = mail.texts.iter().map(|text| text.to_uppercase()).collect();
    texts.push(mail.subject.to_uppercase());
    let holds = |word: &str| texts.iter().any(|text| text.contains(&word.to_uppercase()));
    assert!(shipment.merchant_order_ids.iter().all(|id| holds(id)), "{shipment:?}");
    if let Some(number) = &shipment.tracking_number {
        assert!(number.bytes().filter(u8::is_ascii_digit).count() >= 6 && number.len() <= 34);
        assert!(holds(number), "{shipment:?}");
    }
}

/// The link is on one of Google's two hosts, and confirms.
fn confirms(link: &Url, mail: &Mail) {
    assert_eq!(link.scheme(), "https");
    let host = link.host_str().expect("a host");
    assert!(["mail-settings.google.com", "mail.google.com"].contains(&host), "{link}");
    assert!(link.port().is_none() && link.username().is_empty() && link.password().is_none());
    let token = link.path().strip_prefix("/mail/vf-").expect("it confirms");
    assert!(!token.is_empty() && !token.contains('/') && !token.contains(".."), "{link}");
    assert!(gmail::is_confirmation(link) && link.fragment().is_none(), "{link}");
    assert!(mail.links.iter().any(|found| found.contains("/mail/vf-")), "{link}");
}
