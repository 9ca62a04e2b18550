//! Public pages of products: what they say, how fresh an answer must be, and who reads a page.
//!
//! A page is read once for all clients of a mode. What is known of it is [`Known`]; [`decide`] says whether that will
//! do, and who it is that goes and reads. Nothing here waits or reads.

use std::{fmt, str::FromStr, time::Duration};

use deserr::{Deserr, ValuePointerRef};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    clock,
    error::Refusal,
    fields::{Faults, FieldError, Unfit},
    money::Cents,
    orders::{
        purchase,
        selection::Offer,
        variants::{Variant, VariantSpecific},
    },
    retailers::{RetailerCode, Site},
};

/// How long a retailer's refusal is answered without asking again: a sold-out product is asked for by many at once.
pub const REFUSAL_KEPT: Duration = Duration::from_mins(1);

/// How long nobody asks again for a page that the retailer has just not answered for.
pub const OUTAGE_KEPT: Duration = Duration::from_secs(10);

/// Whoever does not wait must send the request again, later than it was first asked. So such a request takes what is
/// this old, even if it asks for something newer than any answer it could get.
pub const RESEND_GRACE: Duration = Duration::from_secs(15);

/// A retailer's id of a product: not empty, and safe in a path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ProductId(String);

impl ProductId {
    /// As the retailer writes it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ProductId {
    type Err = Unfit;

    fn from_str(text: &str) -> Result<Self, Unfit> {
        purchase::one_product_id(text.to_owned()).map(Self)
    }
}

impl fmt::Display for ProductId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Which page of a product.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// What it is.
    Details,
    /// Who sells it.
    Offers,
}

impl What {
    /// As it stands in keys.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Details => "details",
            Self::Offers => "offers",
        }
    }

    /// How old an answer may be if the caller does not say.
    pub const fn default_max_age(self) -> Duration {
        match self {
            Self::Details => Duration::from_hours(24),
            Self::Offers => Duration::from_mins(15),
        }
    }
}

/// Which page, of all there are. Pages are public: the same for every client.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PageKey {
    /// The shop that is asked.
    pub site: Site,
    /// As which retailer.
    pub retailer: RetailerCode,
    /// For which product.
    pub product_id: ProductId,
    /// For what of it.
    pub what: What,
}

impl fmt::Display for PageKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { site, retailer, product_id, what } = self;
        write!(f, "{}#{retailer}#{}#{product_id}", site.as_str(), what.as_str())
    }
}

/// What a retailer says of a product; what it does not say is absent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ProductPage {
    /// The retailer's id of it.
    pub product_id: String,
    /// Its name.
    pub title: String,
    /// Who makes it.
    pub brand: Option<String>,
    /// The long text.
    pub description: Option<String>,
    /// Facts, one line each.
    pub details: Vec<String>,
    /// What speaks for it, one line each.
    pub feature_bullets: Vec<String>,
    /// Addresses of pictures; the first is the main one.
    pub images: Vec<String>,
    /// Which of its variants this is; empty if it has none, or none is chosen.
    pub variant_specifics: Vec<VariantSpecific>,
    /// All its variants, this one among them.
    pub all_variants: Vec<Variant>,
    /// From the widest to the narrowest.
    pub categories: Vec<String>,
    /// Who wrote it, if it is a book.
    pub authors: Vec<String>,
    /// What others know it by.
    pub epids: Vec<Epid>,
    /// How it is packed.
    pub package: Option<Package>,
    /// Where it is sent from.
    pub item_location: Option<String>,
    /// Amazon's id.
    pub asin: Option<String>,
    /// Costco's id.
    pub item_number: Option<String>,
    /// The crossed-out price.
    pub original_retail_price: Option<Cents>,
    /// The default offer's price.
    pub price: Option<Cents>,
    /// The default offer's shipping.
    pub ship_price: Option<Cents>,
    /// How many have reviewed it.
    pub review_count: Option<u32>,
    /// How they like it, 0 to 5.
    pub stars: Option<f64>,
    /// How many questions were asked about it.
    pub question_count: Option<u32>,
    /// What kind of goods it is, where that matters for an order.
    pub kind: Kind,
}

/// An id that others know a product by, such as its EAN.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Epid {
    /// `UPC`, `EAN`, `MPN`, ….
    #[serde(rename = "type")]
    pub kind: String,
    /// The id.
    pub value: String,
}

/// The type of the manufacturer's own part number.
pub const MPN: &str = "MPN";

/// A packed product.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Package {
    /// What it weighs.
    pub weight: Option<Measure>,
    /// How large it is.
    pub size: Option<Size>,
}

/// How large a package is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Size {
    pub width: Measure,
    pub depth: Measure,
    pub length: Measure,
}

/// So much of a unit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Measure {
    pub amount: f64,
    /// `ounces`, `inches`, ….
    pub unit: String,
}

/// Kinds of goods that are sold in ways of their own.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names say it")]
#[expect(clippy::struct_excessive_bools, reason = "the fields of real answers")]
pub struct Kind {
    pub fresh: bool,
    pub pantry: bool,
    pub handmade: bool,
    pub digital: bool,
}

/// What a page was found to say.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Content {
    /// The product.
    Details(Box<ProductPage>),
    /// Its offers, in the retailer's order.
    Offers(Vec<Offer>),
}

/// A retailer's last clear answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Reading {
    /// When the retailer was asked: what it said is not older.
    pub read_at: Timestamp,
    /// What it said.
    pub outcome: Result<Content, Refusal>,
}

/// All that is known of a page.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Known {
    /// Counts changes. Whoever claims the page names the version that was seen, and whoever has read it the version
    /// of the claim.
    pub version: u64,
    /// What the retailer said last.
    pub last: Option<Reading>,
    /// When it last did not answer.
    pub outage_at: Option<Timestamp>,
    /// Until when somebody has said to be reading it.
    pub claimed_until: Option<Timestamp>,
}

/// What to do about a page.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Verdict<'a> {
    /// Answer this.
    Answer(&'a Reading),
    /// Answer that the retailer does not answer.
    Down,
    /// Wait for whoever is reading it.
    Wait,
    /// Claim it and read it.
    Claim,
}

/// What to do at `now` about a page of which this is known, for somebody who wants nothing older than `not_before`.
pub fn decide(known: &Known, not_before: Timestamp, now: Timestamp) -> Verdict<'_> {
    let lasts = |from: Timestamp, kept: Duration| clock::after(from, kept) > now;
    if let Some(reading) = &known.last
        && reading.read_at >= not_before
        && (reading.outcome.is_ok() || lasts(reading.read_at, REFUSAL_KEPT))
    {
        return Verdict::Answer(reading);
    }
    if known.outage_at.is_some_and(|at| lasts(at, OUTAGE_KEPT)) {
        return Verdict::Down;
    }
    match known.claimed_until {
        Some(until) if until > now => Verdict::Wait,
        Some(_) | None => Verdict::Claim,
    }
}

/// What a caller asks for, as query parameters.
#[derive(Debug, Clone, PartialEq, Deserr)]
#[deserr(error = Faults, validate = one_bound -> Faults)]
pub struct Question {
    /// Whose product.
    #[deserr(try_from(&String) = RetailerCode::from_str -> Unfit)]
    pub retailer: RetailerCode,
    #[deserr(default, try_from(Option<String>) = seconds -> Unfit)]
    max_age: Option<Duration>,
    #[deserr(default, try_from(Option<String>) = time -> Unfit)]
    newer_than: Option<Timestamp>,
    /// Not to be kept waiting.
    #[deserr(rename = "async", default, try_from(Option<String>) = flag -> Unfit)]
    pub is_async: bool,
    /// In which shape offers are shown.
    #[deserr(default, try_from(Option<String>) = shape -> Unfit)]
    pub version: Version,
}

/// The two shapes of offers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Version {
    /// Flat, with prices in units of the currency.
    #[default]
    One,
    /// Nested, with prices in cents.
    Two,
}

impl Question {
    /// The oldest reading that will do for somebody who asks at `now`.
    ///
    /// A time to come counts as now: nobody can have an answer from the future.
    pub fn not_before(&self, what: What, now: Timestamp) -> Timestamp {
        let ago = |age: Duration| now.checked_sub(age).unwrap_or(Timestamp::MIN);
        let newest = if self.is_async { ago(RESEND_GRACE) } else { now };
        match (self.newer_than, self.max_age) {
            (Some(time), _) if time <= now => time,
            (Some(_), _) => newest,
            (None, Some(age)) => ago(age).min(newest),
            (None, None) => ago(what.default_max_age()),
        }
    }
}

/// How long to wait before looking again, and again: longer each time.
pub fn waits() -> impl Iterator<Item = Duration> + Send {
    const LONGEST: Duration = Duration::from_secs(1);
    let longer = |wait: &Duration| Some(wait.saturating_mul(2).min(LONGEST));
    std::iter::successors(Some(Duration::from_millis(50)), longer)
}

fn one_bound(question: Question, _: ValuePointerRef) -> Result<Question, Faults> {
    if question.max_age.is_none() || question.newer_than.is_none() {
        return Ok(question);
    }
    let fault = |name, other: &str| {
        FieldError::at(name, "value_error", format!("must not be given together with {other}"))
    };
    Err(Faults(vec![fault("max_age", "newer_than"), fault("newer_than", "max_age")]))
}

fn seconds(text: Option<String>) -> Result<Option<Duration>, Unfit> {
    let unfit = || Unfit("must be a number of seconds, not negative".to_owned());
    text.map(|text| number(&text).and_then(duration).ok_or_else(unfit)).transpose()
}

/// Seconds since 1970, or milliseconds: a number of seconds that large would be of the year 5138.
fn time(text: Option<String>) -> Result<Option<Timestamp>, Unfit> {
    const MILLISECONDS_ABOVE: f64 = 1e11;
    let unfit = || Unfit("must be a time in seconds since 1970".to_owned());
    let read = |text: String| {
        let number = number(&text)?;
        let seconds = if number > MILLISECONDS_ABOVE { number / 1000.0 } else { number };
        Timestamp::UNIX_EPOCH.checked_add(duration(seconds)?).ok()
    };
    text.map(|text| read(text).ok_or_else(unfit)).transpose()
}

/// Some clients send a fraction.
fn number(text: &str) -> Option<f64> {
    let plain = text.chars().all(|c| c.is_ascii_digit() || c == '.');
    text.parse().ok().filter(|_| plain)
}

fn duration(seconds: f64) -> Option<Duration> {
    Duration::try_from_secs_f64(seconds).ok()
}

fn flag(text: Option<String>) -> Result<bool, Unfit> {
    match text.map(|text| text.to_lowercase()).as_deref() {
        None | Some("false" | "0") => Ok(false),
        Some("true" | "1") => Ok(true),
        Some(_) => Err(Unfit("must be true or false".to_owned())),
    }
}

fn shape(text: Option<String>) -> Result<Version, Unfit> {
    match text.unwrap_or_else(|| "1".to_owned()).as_str() {
        "1" => Ok(Version::One),
        "2" => Ok(Version::Two),
        _ => Err(Unfit("must be 1 or 2".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;
    use crate::{error::Code, fields};

    const HOUR: u64 = 60 * 60;

    fn at(seconds: u64) -> Timestamp {
        clock::after(Timestamp::UNIX_EPOCH, Duration::from_secs(seconds))
    }

    fn page(read_at: u64) -> Reading {
        Reading { read_at: at(read_at), outcome: Ok(Content::Offers(Vec::new())) }
    }

    fn refused(read_at: u64) -> Reading {
        Reading { read_at: at(read_at), outcome: Err(Refusal::new(Code::ProductUnavailable)) }
    }

    fn question(more: &Value) -> Result<Question, Vec<String>> {
        let mut query = json!({"retailer": "amazon"});
        query.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        fields::read(query)
            .map_err(|faults: Vec<FieldError>| faults.iter().map(FieldError::dotted_path).collect())
    }

    #[test]
    fn what_is_known_decides() {
        let [claimed, lapsed] = [Some(at(1_001)), Some(at(1_000))];
        let last = |reading| Known { last: Some(reading), ..Known::default() };
        let cases = [
            (Known::default(), "claim"),
            (last(page(900)), "answer"),
            (last(page(899)), "claim"),
            (Known { claimed_until: claimed, ..Known::default() }, "wait"),
            (Known { claimed_until: lapsed, ..Known::default() }, "claim"),
            // What will do is answered, whatever else goes on.
            (
                Known { claimed_until: claimed, outage_at: Some(at(999)), ..last(page(900)) },
                "answer",
            ),
            (Known { claimed_until: claimed, ..last(page(899)) }, "wait"),
            // A refusal lasts a minute, however old an answer may be.
            (last(refused(941)), "answer"),
            (last(refused(940)), "claim"),
            (last(refused(899)), "claim"),
            // An outage keeps everybody away for seconds, and is no answer to remember.
            (Known { outage_at: Some(at(991)), ..last(page(899)) }, "down"),
            (Known { outage_at: Some(at(990)), ..last(page(899)) }, "claim"),
            (Known { outage_at: Some(at(991)), ..last(refused(899)) }, "down"),
        ];
        for (case, (known, expected)) in cases.into_iter().enumerate() {
            let found = match decide(&known, at(900), at(1_000)) {
                Verdict::Answer(reading) => {
                    assert_eq!(Some(reading), known.last.as_ref());
                    "answer"
                }
                Verdict::Down => "down",
                Verdict::Wait => "wait",
                Verdict::Claim => "claim",
            };
            assert_eq!(found, expected, "case {case}");
        }
    }

    #[test]
    fn without_a_bound_each_page_has_its_own() {
        let plain = question(&json!({})).unwrap();
        let now = at(100 * HOUR);
        assert_eq!(plain.not_before(What::Details, now), at(76 * HOUR));
        assert_eq!(plain.not_before(What::Offers, now), at(100 * HOUR - 15 * 60));
    }

    #[test]
    fn a_bound_is_kept() {
        let now = at(1_000_000);
        let cases = [
            (json!({"max_age": "0"}), 1_000_000),
            (json!({"max_age": "60"}), 999_940),
            (json!({"max_age": "1.0"}), 999_999),
            (json!({"newer_than": "999000"}), 999_000),
            (json!({"newer_than": "1000500"}), 1_000_000),
            (json!({"max_age": "60", "async": "true"}), 999_940),
            // Sent again, it must find what it has asked for.
            (json!({"max_age": "0", "async": "true"}), 999_985),
            (json!({"newer_than": "1000500", "async": "1"}), 999_985),
            // A time that has come is exact.
            (json!({"newer_than": "999999", "async": "true"}), 999_999),
            (json!({"max_age": "99999999999"}), 0),
        ];
        for (query, expected) in cases {
            let not_before = question(&query).unwrap().not_before(What::Details, now);
            assert_eq!(not_before.max(Timestamp::UNIX_EPOCH), at(expected), "{query}");
        }
    }

    #[test]
    fn times_are_in_seconds_or_in_milliseconds() {
        let read = |text: &str| question(&json!({"newer_than": text})).unwrap().newer_than;
        assert_eq!(read("1515775557"), Some(at(1_515_775_557)));
        assert_eq!(read("1515775557000"), Some(at(1_515_775_557)));
        assert_eq!(read("1515775557.5").map(Timestamp::as_millisecond), Some(1_515_775_557_500));
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        let cases = [
            (json!({"max_age": "-1"}), vec!["max_age"]),
            (json!({"max_age": "soon"}), vec!["max_age"]),
            (json!({"max_age": "inf"}), vec!["max_age"]),
            (json!({"max_age": "."}), vec!["max_age"]),
            (json!({"newer_than": "NaN"}), vec!["newer_than"]),
            (json!({"newer_than": "1e99"}), vec!["newer_than"]),
            (json!({"newer_than": "9".repeat(40)}), vec!["newer_than"]),
            (json!({"async": "maybe", "version": "3"}), vec!["async", "version"]),
            (json!({"max_age": "1", "newer_than": "1"}), vec!["max_age", "newer_than"]),
        ];
        for (query, expected) in cases {
            assert_eq!(question(&query).unwrap_err(), expected, "{query}");
        }
        let faults = fields::read::<Question>(json!({"max_age": "x"})).unwrap_err();
        let mut names: Vec<_> = faults.iter().map(FieldError::dotted_path).collect();
        names.sort();
        assert_eq!(names, ["max_age", "retailer"]);
    }

    #[test]
    fn what_nobody_knows_is_ignored() {
        let query = json!({"priority": "5", "async": "0", "version": "2"});
        let read = question(&query).unwrap();
        assert_eq!((read.is_async, read.version), (false, Version::Two));
    }

    #[test]
    fn keys_differ_where_pages_do() {
        let key = |retailer, product_id: &str, what| {
            let product_id = product_id.parse().unwrap();
            PageKey { site: Site::Sandbox, retailer, product_id, what }.to_string()
        };
        let first = key(RetailerCode::Amazon, "B1", What::Details);
        assert_eq!(first, "sandbox#amazon#details#B1");
        assert_ne!(first, key(RetailerCode::AmazonUk, "B1", What::Details));
        assert_ne!(first, key(RetailerCode::Amazon, "B2", What::Details));
        assert_ne!(first, key(RetailerCode::Amazon, "B1", What::Offers));
        assert!("".parse::<ProductId>().is_err());
        assert!("a#b".parse::<ProductId>().is_err());
    }

    proptest! {
        /// What is answered is never older than asked for; what is not answered is waited for, claimed or down, and
        /// nobody claims what another holds.
        #[test]
        fn no_verdict_breaks_the_rules(
            read_at in prop::option::of(0..2_000_u64), good: bool, outage_at in prop::option::of(0..2_000_u64),
            until in prop::option::of(0..2_000_u64), not_before in 0..2_000_u64, now in 0..2_000_u64,
        ) {
            let last = read_at.map(|time| if good { page(time) } else { refused(time) });
            let known = Known {
                version: 1, last, outage_at: outage_at.map(at), claimed_until: until.map(at),
            };
            match decide(&known, at(not_before), at(now)) {
                Verdict::Answer(reading) => prop_assert!(reading.read_at >= at(not_before)),
                Verdict::Down => prop_assert!(known.outage_at.is_some()),
                Verdict::Wait => prop_assert!(known.claimed_until > Some(at(now))),
                Verdict::Claim => prop_assert!(known.claimed_until <= Some(at(now))),
            }
        }
    }

    #[test]
    fn waits_grow_up_to_a_second() {
        let waits: Vec<_> = waits().take(8).map(|wait| wait.as_millis()).collect();
        assert_eq!(waits, [50, 100, 200, 400, 800, 1000, 1000, 1000]);
    }
}
