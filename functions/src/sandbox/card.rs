//! What the shop sees of a card at checkout: looked at once and never kept.

use jiff::{Timestamp, tz::TimeZone};
use secrecy::{ExposeSecret, SecretString};
use spelter::error::Code;

/// A well-formed card number that the bank declines.
const DECLINED_CARD: &str = "4000000000000002";

/// A month and year that the bank does not know. It takes every other date in the past: the cards in documents'
/// examples are long past theirs.
const REFUSED_EXPIRY: (u32, i16) = (1, 2000);

/// Before this nobody had a card that the shop could take.
const FIRST_YEAR: i16 = 2000;

/// No bank makes cards that hold longer.
const MAX_YEARS_AHEAD: i16 = 20;

/// Whether the shop and the bank take a card at the time `now`. `expiry` is a month and a year.
pub fn check(
    number: &SecretString,
    security_code: &SecretString,
    expiry: (Option<u32>, Option<i16>),
    now: Timestamp,
) -> Result<(), Code> {
    let number: String =
        number.expose_secret().chars().filter(|c| !matches!(c, ' ' | '-')).collect();
    if !is_card_number(&number) {
        return Err(Code::InvalidCardNumber);
    }
    if is_diners_or_jcb(&number) {
        return Err(Code::BrandNotAccepted);
    }
    if !is_security_code(security_code.expose_secret()) {
        return Err(Code::InvalidSecurityCode);
    }
    if !is_expiry(expiry, now) {
        return Err(Code::InvalidExpirationDate);
    }
    if number == DECLINED_CARD {
        return Err(Code::CreditCardDeclined);
    }
    Ok(())
}

fn is_expiry(expiry: (Option<u32>, Option<i16>), now: Timestamp) -> bool {
    let last_year = now.to_zoned(TimeZone::UTC).year().saturating_add(MAX_YEARS_AHEAD);
    match expiry {
        // Not every buyer says it.
        (None, None) => true,
        (Some(month), Some(year)) => {
            (1..=12).contains(&month)
                && (FIRST_YEAR..=last_year).contains(&year)
                && (month, year) != REFUSED_EXPIRY
        }
        (Some(_), None) | (None, Some(_)) => false,
    }
}

/// Luhn's check.
fn is_card_number(number: &str) -> bool {
    let digits: Option<Vec<u32>> = number.chars().rev().map(|c| c.to_digit(10)).collect();
    let Some(digits) = digits else { return false };
    let doubled = |digit: u32| if digit > 4 { 2 * digit - 9 } else { 2 * digit };
    let sum: u32 = digits
        .iter()
        .enumerate()
        .map(|(at, digit)| if at % 2 == 1 { doubled(*digit) } else { *digit })
        .sum();
    (12..=19).contains(&digits.len()) && sum.is_multiple_of(10)
}

/// The brands that the shop has no contract with, told by the first four digits.
fn is_diners_or_jcb(number: &str) -> bool {
    let first: Option<u32> = number.get(..4).and_then(|first| first.parse().ok());
    matches!(first, Some(3_000..=3_059 | 3_095 | 3_600..=3_699 | 3_800..=3_999 | 3_528..=3_589))
}

fn is_security_code(text: &str) -> bool {
    (3..=4).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(number: &str, code: &str, month: Option<u32>, year: Option<i16>) -> Option<Code> {
        let now = "2026-06-01T00:00:00Z".parse().unwrap();
        check(&number.into(), &code.into(), (month, year), now).err()
    }

    #[test]
    fn cards_are_checked() {
        let cases = [
            ("5555555555554444", "123", None),
            ("4111 1111-1111 1111", "1234", None),
            ("378282246310005", "1234", None),
            ("5555555555554445", "123", Some(Code::InvalidCardNumber)),
            ("0", "123", Some(Code::InvalidCardNumber)),
            ("not a number", "123", Some(Code::InvalidCardNumber)),
            ("5555555555554444", "12", Some(Code::InvalidSecurityCode)),
            ("5555555555554444", "abc", Some(Code::InvalidSecurityCode)),
            ("30569309025904", "123", Some(Code::BrandNotAccepted)),
            ("38520000023237", "123", Some(Code::BrandNotAccepted)),
            ("36227206271667", "123", Some(Code::BrandNotAccepted)),
            ("3530111333300000", "123", Some(Code::BrandNotAccepted)),
            ("4000000000000002", "123", Some(Code::CreditCardDeclined)),
        ];
        for (number, security_code, expected) in cases {
            assert_eq!(refusal(number, security_code, Some(1), Some(2020)), expected, "{number}");
        }
    }

    #[test]
    fn only_impossible_dates_and_the_one_of_the_documents_are_refused() {
        let refused = |month, year| refusal("5555555555554444", "123", month, year).is_some();
        for (month, year) in [(1, 2020), (12, 2015), (6, 2026), (12, 2046), (2, 2000)] {
            assert!(!refused(Some(month), Some(year)), "{month}/{year}");
        }
        for (month, year) in [(0, 2027), (13, 2027), (1, 2047), (1, 1999), (1, 27), (1, 2000)] {
            assert!(refused(Some(month), Some(year)), "{month}/{year}");
        }
        assert!(!refused(None, None));
        assert!(refused(Some(1), None));
        assert!(refused(None, Some(2027)));
    }
}
