//! A raw mail, read: who wrote to whom, and what a reader sees.
//!
//! A kept MIME crate reads headers, encodings and charsets. The tree of parts is walked here, part by part, so that depth
//! and number of parts are limited before anything is built.

use std::{collections::HashMap, fmt, sync::LazyLock};

use jiff::Timestamp;
use mail_parser::{Address, HeaderName, Message, MessageParser, MimeHeaders, PartType};
use regex::Regex;

use super::html;

/// A mail. Its texts may hold codes, so it never shows in logs.
#[derive(Clone, PartialEq, Eq)]
pub struct Mail {
    /// The address of every mailbox in every From, in lower case.
    pub from: Vec<String>,
    /// The addresses in To, in lower case.
    pub to: Vec<String>,
    /// The addresses in Cc, in lower case.
    pub cc: Vec<String>,
    /// The subject, decoded, spaces made one.
    pub subject: String,
    /// When it was sent, as the sender says.
    pub date: Option<Timestamp>,
    /// Its id, without angle brackets.
    pub message_id: Option<String>,
    /// The texts of its parts as a reader sees them: of plain text and of HTML, attachments left out.
    pub texts: Vec<String>,
    /// Where its links lead: those of HTML, and addresses in the texts.
    pub links: Vec<String>,
    /// Whether it has a DKIM signature, which may not hold.
    pub is_signed: bool,
    /// Whether a header stands twice that may stand once (RFC 5322 §3.6).
    pub repeats_a_header: bool,
}

impl Mail {
    /// The subject and the texts, up to so many bytes in all.
    pub(super) fn searched(&self, mut bytes: usize) -> Vec<&str> {
        let mut texts = Vec::new();
        for text in [&self.subject].into_iter().chain(&self.texts) {
            let mut end = bytes.min(text.len());
            while !text.is_char_boundary(end) {
                end -= 1;
            }
            texts.push(text.get(..end).unwrap_or_default());
            bytes -= end;
        }
        texts
    }
}

impl fmt::Debug for Mail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mail").finish_non_exhaustive()
    }
}

/// Why a mail is not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// It is longer than [`MAX_BYTES`].
    #[error("it is too large")]
    TooLarge,
    /// Its headers are too many or too long.
    #[error("its headers are too long")]
    HeadersTooLong,
    /// Its headers are not lines of `name: value`.
    #[error("its headers are malformed")]
    Malformed,
    /// Its parts stand too deep in each other.
    #[error("its parts are nested too deep")]
    TooDeep,
    /// It has too many parts.
    #[error("it has too many parts")]
    TooManyParts,
    /// It has too many links.
    #[error("it has too many links")]
    TooManyLinks,
}

impl Unreadable {
    /// The word for the account's mail log.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TooLarge => "too_large",
            Self::HeadersTooLong => "headers_too_long",
            Self::Malformed => "malformed",
            Self::TooDeep => "nested_too_deep",
            Self::TooManyParts => "too_many_parts",
            Self::TooManyLinks => "too_many_links",
        }
    }
}

/// SES takes 40 MB, for attachments. Gmail shows the first 102 kB of a mail, so no retailer writes longer ones: this is
/// ten times that.
pub const MAX_BYTES: usize = 1024 * 1024;
/// A mail that was forwarded twice has about 60 headers in 20 kB, most of them marks of its way.
const MAX_HEADERS: usize = 256;
const MAX_HEADER_BYTES: usize = 64 * 1024;
/// A retailer's mail has four levels at most: mixed, related, alternative, text.
const MAX_DEPTH: usize = 8;
const MAX_PARTS: usize = 64;
/// Advertisements have some hundred.
const MAX_LINKS: usize = 2_000;

/// Headers that may stand once, and that somebody reads here or signs.
const ONCE: [&str; 12] = [
    "from",
    "sender",
    "reply-to",
    "to",
    "cc",
    "subject",
    "date",
    "message-id",
    "mime-version",
    "content-type",
    "content-transfer-encoding",
    "content-disposition",
];

/// An address in running text.
static URL: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r#"https?://[^\s<>"\x{3000}-\x{303f}\x{ff00}-\x{ffef}]+"#).ok());

/// Reads a mail as SES stored it.
pub fn parse(raw: &[u8]) -> Result<Mail, Unreadable> {
    if raw.len() > MAX_BYTES {
        return Err(Unreadable::TooLarge);
    }
    let names = header_names(raw)?;
    let message = MessageParser::default().parse_headers(raw).ok_or(Unreadable::Malformed)?;
    let mut body = Body { texts: Vec::new(), links: Vec::new(), parts: 0 };
    body.read(raw, 0)?;
    Ok(Mail {
        from: addresses(&message, &HeaderName::From),
        to: addresses(&message, &HeaderName::To),
        cc: addresses(&message, &HeaderName::Cc),
        subject: one_line(message.subject().unwrap_or_default()),
        date: date(&message),
        message_id: message.message_id().map(ToOwned::to_owned),
        texts: body.texts,
        links: body.links,
        is_signed: names.contains_key("dkim-signature"),
        repeats_a_header: ONCE.iter().any(|name| names.get(*name).is_some_and(|count| *count > 1)),
    })
}

/// How often each header stands, by its name in lower case. Stricter than any parser, so that all of them agree on what
/// the headers are.
fn header_names(raw: &[u8]) -> Result<HashMap<String, usize>, Unreadable> {
    let mut names = HashMap::new();
    let (mut bytes, mut count) = (0, 0);
    for line in raw.split_inclusive(|byte| *byte == b'\n') {
        bytes += line.len();
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.is_empty() {
            break;
        }
        if bytes > MAX_HEADER_BYTES || count >= MAX_HEADERS {
            return Err(Unreadable::HeadersTooLong);
        }
        if line.contains(&b'\r') || line.contains(&0) {
            return Err(Unreadable::Malformed);
        }
        if line.starts_with(b" ") || line.starts_with(b"\t") {
            if count == 0 {
                return Err(Unreadable::Malformed);
            }
            continue;
        }
        let name = line.split(|byte| *byte == b':').next().unwrap_or_default();
        // RFC 5322 §2.2: printable, and no space before the colon.
        if name.is_empty() || name.len() == line.len() || !name.iter().all(u8::is_ascii_graphic) {
            return Err(Unreadable::Malformed);
        }
        count += 1;
        *names.entry(String::from_utf8_lossy(name).to_ascii_lowercase()).or_insert(0) += 1;
    }
    if count == 0 { Err(Unreadable::Malformed) } else { Ok(names) }
}

/// The addresses in every header of this name.
fn addresses(message: &Message<'_>, name: &HeaderName<'_>) -> Vec<String> {
    let headers = message.headers().iter().filter(|header| header.name == *name);
    let lists = headers.filter_map(|header| header.value.as_address());
    lists.flat_map(Address::iter).map(|one| address(one.address())).collect()
}

/// An address in lower case. One without an address, or with a name for one, is empty: it counts, and is nobody.
fn address(text: Option<&str>) -> String {
    let text = text.unwrap_or_default().trim().to_lowercase();
    let is_plain = text.matches('@').count() == 1 && !text.contains(char::is_whitespace);
    if is_plain { text } else { String::new() }
}

fn date(message: &Message<'_>) -> Option<Timestamp> {
    let date = message.date().filter(|date| date.is_valid())?;
    Timestamp::from_second(date.to_timestamp()).ok()
}

struct Body {
    texts: Vec<String>,
    links: Vec<String>,
    parts: usize,
}

impl Body {
    /// Reads one part with its headers, and those in it.
    fn read(&mut self, part: &[u8], depth: usize) -> Result<(), Unreadable> {
        self.parts += 1;
        if self.parts > MAX_PARTS {
            return Err(Unreadable::TooManyParts);
        }
        let (headers, body) = split(part);
        if depth > 0 && headers.len() > MAX_HEADER_BYTES {
            return Err(Unreadable::HeadersTooLong);
        }
        let message = MessageParser::default().parse_headers(part);
        let root = message.as_ref().map(Message::root_part);
        let content_type = root.and_then(MimeHeaders::content_type);
        let (kind, subtype) = content_type.map_or(("text", "plain"), |content_type| {
            (content_type.ctype(), content_type.subtype().unwrap_or("plain"))
        });
        let is_attachment = root
            .and_then(MimeHeaders::content_disposition)
            .is_some_and(mail_parser::ContentType::is_attachment);
        match (kind.to_ascii_lowercase().as_str(), subtype.to_ascii_lowercase().as_str()) {
            _ if is_attachment => Ok(()),
            ("multipart", _) => {
                let boundary = content_type.and_then(|kind| kind.attribute("boundary"));
                self.read_parts(body, boundary.unwrap_or_default(), depth + 1)
            }
            ("text", "plain" | "html") => self.read_text(part, headers.is_empty()),
            // A mail in a mail is somebody else's: nobody vouches for it.
            _ => Ok(()),
        }
    }

    fn read_parts(&mut self, body: &[u8], boundary: &str, depth: usize) -> Result<(), Unreadable> {
        if depth > MAX_DEPTH {
            return Err(Unreadable::TooDeep);
        }
        if boundary.is_empty() {
            return Ok(());
        }
        parts(body, boundary.as_bytes()).try_for_each(|part| self.read(part, depth))
    }

    /// Decodes one part that holds text only, so that the parser below finds no tree to walk.
    fn read_text(&mut self, part: &[u8], is_bare: bool) -> Result<(), Unreadable> {
        let headed;
        let part = if is_bare {
            headed = [b"Content-Type: text/plain\r\n".as_slice(), part].concat();
            headed.as_slice()
        } else {
            part
        };
        let Some(message) = MessageParser::default().parse(part) else { return Ok(()) };
        let root = message.root_part();
        // What does not decode is not what its sender wrote.
        if root.is_encoding_problem {
            return Ok(());
        }
        match &root.body {
            PartType::Text(text) => self.add(text),
            PartType::Html(text) => {
                let page = html::read(text);
                self.links.extend(page.links);
                self.add(&page.text);
            }
            PartType::Binary(_)
            | PartType::InlineBinary(_)
            | PartType::Message(_)
            | PartType::Multipart(_) => {}
        }
        if self.links.len() > MAX_LINKS { Err(Unreadable::TooManyLinks) } else { Ok(()) }
    }

    fn add(&mut self, text: &str) {
        let text = visible(text);
        if let Some(url) = URL.as_ref() {
            let found = url.find_iter(&text).take(MAX_LINKS + 1).map(|found| found.as_str());
            let found =
                found.map(|url| url.trim_end_matches(['.', ',', ';', ':', '!', '?', ')', '\'']));
            self.links.extend(found.map(ToOwned::to_owned));
        }
        if !text.is_empty() {
            self.texts.push(text);
        }
    }
}

/// A part's headers, with the line end of their last, and its body.
fn split(part: &[u8]) -> (&[u8], &[u8]) {
    let mut end = 0;
    for line in part.split_inclusive(|byte| *byte == b'\n') {
        let next = end + line.len();
        if matches!(line, b"\n" | b"\r\n") {
            return (part.get(..end).unwrap_or_default(), part.get(next..).unwrap_or_default());
        }
        end = next;
    }
    (part, &[])
}

/// The parts between the delimiters of a multipart body (RFC 2046 §5.1.1), without what stands before the first and
/// after the last. A body that breaks off ends its last part.
fn parts<'a>(body: &'a [u8], boundary: &[u8]) -> impl Iterator<Item = &'a [u8]> {
    let mut cuts: Vec<(usize, usize)> = Vec::new();
    let mut start = 0;
    for line in body.split_inclusive(|byte| *byte == b'\n') {
        let end = start + line.len();
        let rest = line.strip_prefix(b"--").and_then(|rest| rest.strip_prefix(boundary));
        match rest.map(<[u8]>::trim_ascii_end) {
            Some([]) => cuts.push((start, end)),
            Some(b"--") => {
                cuts.push((start, end));
                break;
            }
            _ => {}
        }
        start = end;
        // One more than is allowed, so that the count is found too high.
        if cuts.len() > MAX_PARTS + 1 {
            break;
        }
    }
    let is_open = !cuts.is_empty() && start == body.len();
    if is_open {
        cuts.push((body.len(), body.len()));
    }
    let starts = cuts.clone().into_iter().map(|(_, end)| end);
    let ends = cuts.into_iter().skip(1).map(|(start, _)| start);
    starts.zip(ends).filter_map(|(start, end)| {
        let part = body.get(start..end).filter(|part| !part.is_empty())?;
        // The line end before a delimiter belongs to the delimiter.
        let part = part.strip_suffix(b"\n").unwrap_or(part);
        Some(part.strip_suffix(b"\r").unwrap_or(part))
    })
}

/// A text as it is seen: without characters that take no room, wide digits and letters as plain ones, spaces made one,
/// one empty line for many. What turns the direction of writing makes digits read otherwise than they stand, so it stays
/// as a sign that belongs to no word.
fn visible(text: &str) -> String {
    let mut line = Line { text: String::with_capacity(text.len()), is_apart: false, ends: 0 };
    let mut last = ' ';
    for c in text.chars() {
        match c {
            '\n' if last == '\r' => {}
            '\n' | '\r' | '\u{2028}' | '\u{2029}' | '\u{b}' | '\u{c}' | '\u{85}' => line.ends += 1,
            c => line.push(c),
        }
        last = c;
    }
    line.text
}

fn one_line(text: &str) -> String {
    let mut line = Line { text: String::with_capacity(text.len()), is_apart: false, ends: 0 };
    text.chars().for_each(|c| line.push(c));
    line.text
}

/// The line that is being read, at the end of the text before it.
struct Line {
    text: String,
    /// A space stands before what comes next.
    is_apart: bool,
    /// Ends of lines before what comes next.
    ends: usize,
}

impl Line {
    fn push(&mut self, c: char) {
        match seen(c) {
            None => {}
            Some(c) if c.is_whitespace() => self.is_apart = true,
            Some(c) => {
                self.part();
                self.text.push(c);
            }
        }
    }

    fn part(&mut self) {
        let between = match self.ends {
            _ if self.text.is_empty() => "",
            0 if self.is_apart => " ",
            0 => "",
            1 => "\n",
            _ => "\n\n",
        };
        self.text.push_str(between);
        (self.is_apart, self.ends) = (false, 0);
    }
}

fn seen(c: char) -> Option<char> {
    match c {
        ' '..='~' => Some(c),
        '\u{ad}'
        | '\u{34f}'
        | '\u{61c}'
        | '\u{115f}'
        | '\u{1160}'
        | '\u{180e}'
        | '\u{200b}'..='\u{200f}'
        | '\u{2060}'..='\u{2064}'
        | '\u{feff}'
        | '\u{fe00}'..='\u{fe0f}' => None,
        '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => Some('\u{fffd}'),
        // Full-width forms, as Japanese mails write digits and punctuation.
        '\u{ff01}'..='\u{ff5e}' => char::from_u32(u32::from(c) - 0xfee0),
        '\u{2018}' | '\u{2019}' | '\u{2032}' | '\u{b4}' => Some('\''),
        '\u{2010}'..='\u{2015}' | '\u{2212}' => Some('-'),
        c if c.is_control() => Some(' '),
        c => Some(c),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(raw: &str) -> Mail {
        parse(raw.replace('\n', "\r\n").as_bytes()).unwrap()
    }

    #[test]
    fn headers_are_decoded() {
        let mail = read(
            "From: Ben <BEN@Example.com>\nTo: \"a@b.example\" <C@d.example>, e@f.example\nCc: g@h.example\n\
             Subject: =?iso-8859-1?q?Caf=E9?=\n =?utf-8?b?4oCZcw==?=\nMessage-ID: <1@example.com>\n\
             Date: Sun, 22 Nov 2026 18:00:00 -0100\nDKIM-Signature: v=1\n\nHello",
        );
        assert_eq!(mail.from, ["ben@example.com"]);
        assert_eq!(mail.to, ["c@d.example", "e@f.example"]);
        assert_eq!(mail.cc, ["g@h.example"]);
        assert_eq!(mail.subject, "Café's");
        assert_eq!(mail.message_id.as_deref(), Some("1@example.com"));
        assert_eq!(mail.date, "2026-11-22T19:00:00Z".parse().ok());
        assert!(mail.is_signed && !mail.repeats_a_header);
        assert_eq!(mail.texts, ["Hello"]);
    }

    #[test]
    fn every_part_of_text_is_read_and_nothing_else() {
        let mail = read(
            "From: a@b.example\nContent-Type: multipart/mixed; boundary=\"x y\"\n\npreamble\n--x y\n\none\n--x y  \n\
             Content-Type: multipart/alternative; boundary=z\n\n--z\nContent-Type: text/html\n\n<p>two\n--z--\nlost\n\
             --x y\nContent-Type: image/png\n\nthree\n--x y\n\nfour\n--x yz\nfive",
        );
        assert_eq!(mail.texts, ["one", "two", "four\n--x yz\nfive"]);
    }

    #[test]
    fn links_are_found_in_pages_and_in_texts() {
        let mail = read(
            "From: a@b.example\n\nSee https://a.example/b?c=1, (https://d.example/e).\n確認：https://f.example/g。",
        );
        assert_eq!(
            mail.links,
            ["https://a.example/b?c=1", "https://d.example/e", "https://f.example/g"]
        );
    }

    #[test]
    fn texts_are_as_they_are_seen() {
        let mail = read(
            "From: a@b.example\nContent-Type: text/plain; charset=utf-8\n\n\n１２３\u{200b}\u{ad}456\u{a0} \u{202e}x\n \n\ny’s",
        );
        assert_eq!(mail.texts, ["123456 \u{fffd}x\n\ny's"]);
    }
}
