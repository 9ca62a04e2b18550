//! The code of a sign-in in a mail: data per retailer and language, and one way to read it.
//!
//! A number is a code only if all of these hold: its sender mails codes, the subject is one of a mail about a sign-in,
//! the words of such a mail stand right before or after it, it is as long as the shop's codes, it is not a part of
//! something longer, nothing says that it is for something else, and the mail holds no second one.

mod formats;

use std::{collections::BTreeSet, sync::LazyLock};

use regex::{Regex, RegexBuilder};
use secrecy::SecretString;

use self::formats::{CODE, NEGATIONS, OTHER_PURPOSES, OTHER_SUBJECTS, Shop, shop};
use super::{
    message::Mail,
    senders::{Brand, Sender},
};

/// Why a mail brings no code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoCode {
    /// Its sender and subject are not those of a mail about a sign-in.
    #[error("it is not about a sign-in")]
    NotASignIn,
    /// Its code resets a password, hands over a delivery or the like.
    #[error("its code is for something else")]
    AnotherPurpose,
    /// It is about a sign-in, and nothing in it is a code.
    #[error("it holds no code")]
    NoneFound,
    /// Two codes stand in it.
    #[error("it holds more than one code")]
    Ambiguous,
}

impl NoCode {
    /// The word for the account's mail log.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotASignIn => "not_a_sign_in",
            Self::AnotherPurpose => "code_of_another_purpose",
            Self::NoneFound => "no_code",
            Self::Ambiguous => "several_codes",
        }
    }
}

/// How far a mail is searched, in bytes of its texts. One with a code has 2 kB, twice if it is plain text and HTML.
const MAX_TEXT_BYTES: usize = 16 * 1024;

/// The code that `sender` mails for a sign-in. `mail` is one that `sender` vouched for.
pub fn code(sender: Sender, mail: &Mail) -> Result<SecretString, NoCode> {
    let (Some(patterns), Some(words)) = (patterns(sender), WORDS.as_ref()) else {
        return Err(NoCode::NotASignIn);
    };
    if words.speak_of_another_purpose(&mail.subject) {
        return Err(NoCode::AnotherPurpose);
    }
    if !mails_codes(sender, mail) || !patterns.subject.is_match(&mail.subject) {
        return Err(NoCode::NotASignIn);
    }
    let texts = mail.searched(MAX_TEXT_BYTES);
    let found: BTreeSet<(&str, &str)> =
        texts.iter().flat_map(|text| patterns.codes(text)).collect();
    if texts.iter().any(|text| words.speak_of_another_purpose(text))
        || found.iter().any(|(_, before)| words.speak_of_something_else(before))
    {
        return Err(NoCode::AnotherPurpose);
    }
    let found: BTreeSet<&str> = found.into_iter().map(|(code, _)| code).collect();
    let mut found = found.into_iter();
    match (found.next(), found.next()) {
        (None, _) => Err(NoCode::NoneFound),
        (Some(code), None) => Ok(SecretString::from(code)),
        (Some(_), Some(_)) => Err(NoCode::Ambiguous),
    }
}

/// Whether codes come from the mail's address.
fn mails_codes(sender: Sender, mail: &Mail) -> bool {
    let mailboxes = match sender {
        Sender::Retailer(brand) => brand.code_mailboxes(),
        Sender::Sandbox => &["no-reply"],
        Sender::Google => &[],
    };
    let from = mail.from.first().and_then(|from| from.split_once('@'));
    from.is_some_and(|(mailbox, _)| mailboxes.contains(&mailbox))
}

/// The patterns of one shop, ready to search with.
struct Patterns {
    subject: Regex,
    leads: Regex,
    trails: Option<Regex>,
    digits: &'static [usize],
}

/// The words of all languages that say what a code is for.
struct Words {
    code: Regex,
    negation: Regex,
    other_subjects: Vec<Regex>,
    other_purposes: Vec<Regex>,
}

static WORDS: LazyLock<Option<Words>> = LazyLock::new(|| {
    let all = |patterns: &[&str]| -> Option<Vec<Regex>> {
        patterns.iter().map(|pattern| regex(pattern)).collect()
    };
    Some(Words {
        code: regex(CODE)?,
        negation: regex(NEGATIONS)?,
        other_subjects: all(OTHER_SUBJECTS)?,
        other_purposes: all(OTHER_PURPOSES)?,
    })
});

impl Words {
    /// Whether a sentence names a code and a purpose that is no sign-in, and does not deny it.
    fn speak_of_another_purpose(&self, text: &str) -> bool {
        let purposes = || self.other_subjects.iter().chain(&self.other_purposes);
        sentences(text).iter().any(|sentence| {
            self.code.is_match(sentence)
                && !self.negation.is_match(sentence)
                && purposes().any(|purpose| purpose.is_match(sentence))
        })
    }

    /// Whether a sentence is about something else than a sign-in, and does not deny it.
    fn speak_of_something_else(&self, text: &str) -> bool {
        sentences(text).iter().any(|sentence| {
            self.other_subjects.iter().any(|subject| subject.is_match(sentence))
                && !self.negation.is_match(sentence)
        })
    }
}

fn patterns(sender: Sender) -> Option<&'static Patterns> {
    static ALIEXPRESS: LazyLock<Option<Patterns>> =
        LazyLock::new(|| Patterns::of(Sender::Retailer(Brand::Aliexpress)));
    static AMAZON: LazyLock<Option<Patterns>> =
        LazyLock::new(|| Patterns::of(Sender::Retailer(Brand::Amazon)));
    static COSTCO: LazyLock<Option<Patterns>> =
        LazyLock::new(|| Patterns::of(Sender::Retailer(Brand::Costco)));
    static WALMART: LazyLock<Option<Patterns>> =
        LazyLock::new(|| Patterns::of(Sender::Retailer(Brand::Walmart)));
    static SANDBOX: LazyLock<Option<Patterns>> = LazyLock::new(|| Patterns::of(Sender::Sandbox));
    match sender {
        Sender::Retailer(Brand::Aliexpress) => ALIEXPRESS.as_ref(),
        Sender::Retailer(Brand::Amazon) => AMAZON.as_ref(),
        Sender::Retailer(Brand::Costco) => COSTCO.as_ref(),
        Sender::Retailer(Brand::Walmart) => WALMART.as_ref(),
        Sender::Sandbox => SANDBOX.as_ref(),
        Sender::Google => None,
    }
}

/// Between a phrase and its code: spaces and marks. Nothing that makes a number an amount, a part of an address or an
/// id, and no letter or digit of any script.
const PUNCTUATION: &str = r#"[\s:;.,!?()\[\]<>*"'|~•·…“”„«»‹›、。・「」『』【】-]"#;

impl Patterns {
    /// `None` only if a pattern is broken, which a test excludes.
    fn of(sender: Sender) -> Option<Self> {
        let Shop { name, digits, formats } = shop(sender)?;
        let subjects = any(formats.iter().flat_map(|format| format.subjects));
        let leads = any(formats.iter().flat_map(|format| format.leads));
        let mut trails = formats.iter().flat_map(|format| format.trails).peekable();
        let trails = if trails.peek().is_some() {
            let trails = any(trails);
            Some(regex(&format!("([0-9]+){PUNCTUATION}{{0,10}}(?:{trails})"))?)
        } else {
            None
        };
        Some(Self {
            subject: regex(&format!(
                "^(?:\\[?{name}(?:\\.[a-z.]+)?\\]? ?[:,-]? ?)?(?:[0-9]+ ?[:-]? ?)?(?:{subjects})(?: ?[:-] ?{name}(?:\\.[a-z.]+)?)?[ :.!(-]*[0-9]*[ .!)]*$"
            ))?,
            leads: regex(&format!("(?:{leads}){PUNCTUATION}{{0,24}}([0-9]+)"))?,
            trails,
            digits,
        })
    }

    /// The numbers in `text` that its words call a code, each with all that stands before it.
    fn codes<'t>(&self, text: &'t str) -> Vec<(&'t str, &'t str)> {
        let led = self.leads.captures_iter(text);
        let trailed = self.trails.iter().flat_map(|trails| trails.captures_iter(text));
        let numbers = led.chain(trailed).filter_map(|found| found.get(1));
        let whole = numbers.filter(|number| {
            self.digits.contains(&number.len())
                && stands_alone(text.get(..number.start()), text.get(number.end()..))
        });
        whole
            .map(|number| (number.as_str(), text.get(..number.start()).unwrap_or_default()))
            .collect()
    }
}

/// Any of `patterns`, with each space as any white space.
fn any<'p>(patterns: impl Iterator<Item = &'p &'p str>) -> String {
    patterns.map(|pattern| format!("(?:{pattern})")).collect::<Vec<_>>().join("|")
}

fn regex(pattern: &str) -> Option<Regex> {
    // In brackets a space stays one.
    let mut spaced = String::with_capacity(pattern.len());
    let mut in_brackets = false;
    for c in pattern.chars() {
        in_brackets = (in_brackets || c == '[') && c != ']';
        if c == ' ' && !in_brackets { spaced.push_str(r"\s") } else { spaced.push(c) }
    }
    RegexBuilder::new(&spaced).case_insensitive(true).build().ok()
}

/// Whether a number is a word of its own: not a part of an order's number, an amount, a date, a phone number, an
/// address of a page or a word.
fn stands_alone(before: Option<&str>, after: Option<&str>) -> bool {
    let (before, after) = (before.unwrap_or_default(), after.unwrap_or_default());
    let joins = |c: char| c.is_ascii_alphanumeric() || "$€£¥₹%#@+&/\\=_\u{fffd}".contains(c);
    // A sign that joins numbers, or a space between groups of digits.
    let links = |c: char| "-.,:/ ".contains(c);
    let is_bound_before = before.ends_with(joins)
        || before
            .strip_suffix(links)
            .is_some_and(|rest| rest.ends_with(|c: char| c.is_ascii_digit()))
        || before.ends_with('-')
            && before.trim_end_matches('-').ends_with(|c: char| c.is_alphanumeric());
    let is_bound_after = after.starts_with(joins)
        || after
            .strip_prefix(links)
            .is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
        || after.starts_with('-')
            && after.trim_start_matches('-').starts_with(|c: char| c.is_alphanumeric());
    let is_amount = after.trim_start_matches(' ').starts_with(['$', '€', '£', '¥', '₹', '円', '%']);
    !is_bound_before && !is_bound_after && !is_amount
}

/// A line of at least so many bytes was broken to fit, and goes on in the next.
const WRAPPED_BYTES: usize = 50;

/// The sentences of a text: they end with a mark, or with a line that was not broken for its length.
fn sentences(text: &str) -> Vec<String> {
    let mut sentences = Vec::new();
    let mut sentence = String::new();
    for line in text.lines() {
        for piece in line.split_inclusive(['.', '!', '?', '。', ';']) {
            sentence.push_str(piece);
            if piece.ends_with(['.', '!', '?', '。', ';']) {
                sentences.push(std::mem::take(&mut sentence));
            }
        }
        // An empty line ends a paragraph, too.
        if line.len() < WRAPPED_BYTES {
            sentences.push(std::mem::take(&mut sentence));
        } else {
            sentence.push(' ');
        }
    }
    sentences.push(sentence);
    sentences.retain(|sentence| !sentence.trim().is_empty());
    sentences
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_patterns_are_patterns() {
        assert!(WORDS.is_some());
        for sender in Brand::ALL.map(Sender::Retailer).into_iter().chain([Sender::Sandbox]) {
            assert!(patterns(sender).is_some(), "{sender:?}");
        }
        assert!(patterns(Sender::Google).is_none());
    }

    #[test]
    fn a_number_stands_alone_or_is_a_part_of_another() {
        for (before, after) in
            [("code: ", "."), ("code: ", " 10 minutes"), ("は", "です"), ("(", ")"), ("", "")]
        {
            let is_part = after == " 10 minutes";
            assert_eq!(stands_alone(Some(before), Some(after)), !is_part, "{before}|{after}");
        }
        for (before, after) in [
            ("1-", ""),
            ("$", ""),
            ("", "-1"),
            ("", ".50"),
            ("", " €"),
            ("", "円"),
            ("x", ""),
            ("10 ", ""),
        ] {
            assert!(!stands_alone(Some(before), Some(after)), "{before}|{after}");
        }
    }

    #[test]
    fn sentences_end_with_a_mark_a_short_line_or_a_paragraph() {
        let long = "a line that was broken since it was too long for a mail";
        assert_eq!(sentences("One. Two\nThree"), ["One.", " Two", "Three"]);
        assert_eq!(sentences(&format!("{long}\nto show")), [format!("{long} to show")]);
        assert_eq!(sentences(&format!("{long}\n\nnew")), [format!("{long} "), "new".to_owned()]);
    }
}
