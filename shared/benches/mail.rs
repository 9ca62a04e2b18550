//! How long the largest mails take from their bytes to what they are, beside the time that the MIME crate alone takes
//! for their text: `cargo bench -p spelter --bench mail`.

use std::{
    env,
    process::ExitCode,
    time::{Duration, Instant},
};

use base64::{Engine, prelude::BASE64_STANDARD};
use divan::{Bencher, black_box, counter::BytesCount};
use mail_parser::MessageParser;
use spelter::{
    email::Email,
    mail::{
        Content, content,
        message::{self, MAX_BYTES},
        senders::{Brand, Sender},
    },
};

/// What a mail of a megabyte may take.
const LIMIT: Duration = Duration::from_millis(50);

/// A mail of [`MAX_BYTES`] that says that an order was shipped, and after that is full of something.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Plain,
    Japanese,
    Newsletter,
    NewsletterInBase64,
    ManyTags,
    UnclosedTags,
    HalfEntities,
}

const KINDS: [Kind; 7] = [
    Kind::Plain,
    Kind::Japanese,
    Kind::Newsletter,
    Kind::NewsletterInBase64,
    Kind::ManyTags,
    Kind::UnclosedTags,
    Kind::HalfEntities,
];

const HEAD: &str = "From: account-update@amazon.com\r\nTo: buyer@example.com\r\nSubject: Shipped: 2 items\r\nMIME-Version: 1.0\r\n";

const SHIPMENT: &str =
    "Order 112-1234567-1234567\r\nCarrier: UPS\r\nTracking number: 1Z999AA10123456784\r\n";

const TEXT: &str = "Thank you for your order. We tell you as soon as anything happens with it.\r\n";

const JAPANESE: &str =
    "ご注文いただき、ありがとうございます。商品の発送が完了しましたら、お知らせいたします。\r\n";

/// A product in an advertisement.
const PRODUCT: &str = r#"<tr><td style="padding:8px 12px;font-family:Arial,sans-serif;font-size:14px;color:#333333" align="left" valign="top"><a href="https://www.example.com/p/1?ref=mail" style="color:#007185;text-decoration:none"><img src="https://images.example.com/1.jpg" width="120" height="120" alt="A thing" style="display:block;border:0"></a><p style="margin:0 0 8px 0;line-height:20px">A good thing for a kitchen, in three colours &amp; four sizes.<br><b>$12.99</b>&nbsp;<span style="text-decoration:line-through">$19.99</span></p></td></tr>
"#;

impl Kind {
    fn raw(self) -> String {
        match self {
            Self::Plain => full("plain", "8bit", TEXT),
            Self::Japanese => full("plain", "8bit", JAPANESE),
            Self::Newsletter => full("html", "8bit", PRODUCT),
            Self::NewsletterInBase64 => {
                let page =
                    format!("{SHIPMENT}{}", PRODUCT.repeat(MAX_BYTES * 73 / 100 / PRODUCT.len()));
                let lines = BASE64_STANDARD.encode(page);
                let lines = lines.as_bytes().chunks(76).map(String::from_utf8_lossy);
                headed("html", "base64", &lines.collect::<Vec<_>>().join("\r\n"))
            }
            Self::ManyTags => full("html", "8bit", "<b></b>"),
            Self::UnclosedTags => full("html", "8bit", "<b></i>x"),
            Self::HalfEntities => full("html", "8bit", "&#"),
        }
    }
}

fn headed(kind: &str, encoding: &str, body: &str) -> String {
    format!(
        "{HEAD}Content-Type: text/{kind}; charset=utf-8\r\nContent-Transfer-Encoding: {encoding}\r\n\r\n{body}"
    )
}

fn full(kind: &str, encoding: &str, filler: &str) -> String {
    let start = headed(kind, encoding, SHIPMENT);
    let filler = filler.repeat(MAX_BYTES.saturating_sub(start.len()) / filler.len());
    format!("{start}{filler}")
}

/// All that is done with a mail but for its signatures. Whether its shipment is found.
fn is_shipment(raw: &str) -> bool {
    let (Ok(mail), Ok(account)) =
        (message::parse(raw.as_bytes()), "buyer@example.com".parse::<Email>())
    else {
        return false;
    };
    matches!(content(Sender::Retailer(Brand::Amazon), &mail, &account), Content::Shipment(_))
}

/// What the MIME crate makes of the same mail: its text, from HTML, too.
fn text_length(raw: &str) -> usize {
    let message = MessageParser::default().parse(raw);
    message.and_then(|message| message.body_text(0).map(|text| text.len())).unwrap_or_default()
}

#[divan::bench(args = KINDS)]
fn mail(bencher: Bencher, kind: Kind) {
    let raw = kind.raw();
    bencher.counter(BytesCount::of_str(&raw)).bench(|| is_shipment(black_box(&raw)));
}

#[divan::bench(args = KINDS)]
fn baseline(bencher: Bencher, kind: Kind) {
    let raw = kind.raw();
    bencher.counter(BytesCount::of_str(&raw)).bench(|| text_length(black_box(&raw)));
}

fn median<T>(work: impl Fn() -> T) -> Duration {
    let mut times: Vec<Duration> = (0..21)
        .map(|_| {
            let started = Instant::now();
            black_box(work());
            started.elapsed()
        })
        .collect();
    times.sort();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

/// One line for each kind of mail; whether all are within the limit and understood.
fn ratios() -> bool {
    KINDS
        .map(|kind| {
            let raw = kind.raw();
            let (ours, theirs) = (median(|| is_shipment(&raw)), median(|| text_length(&raw)));
            let ratio = ours.as_secs_f64() / theirs.as_secs_f64();
            let (kind, bytes) = (format!("{kind:?}"), raw.len());
            println!(
                "{kind:<20} {bytes} B  {ours:>10.2?}  baseline {theirs:>10.2?}  {ratio:>5.2} times"
            );
            ours < LIMIT && is_shipment(&raw)
        })
        .iter()
        .all(|is_good| *is_good)
}

fn main() -> ExitCode {
    divan::main();
    // `cargo test` runs each benchmark once, and measures nothing.
    if !env::args().any(|argument| argument == "--bench") || ratios() {
        ExitCode::SUCCESS
    } else {
        eprintln!("a mail took {LIMIT:?} or longer, or was not understood");
        ExitCode::FAILURE
    }
}
