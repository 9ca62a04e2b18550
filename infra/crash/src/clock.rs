//! The only reader of the clock in this package.

use jiff::Timestamp;

/// Now, as the shop's journal writes it.
#[expect(clippy::disallowed_methods, reason = "this is the one place that reads the clock")]
pub(crate) fn now_ms() -> i64 {
    Timestamp::now().as_millisecond()
}

/// So many seconds from now, as events write it.
#[expect(clippy::disallowed_methods, reason = "this is the one place that reads the clock")]
pub(crate) fn in_seconds(seconds: i64) -> String {
    let then = Timestamp::now().as_second().saturating_add(seconds);
    Timestamp::from_second(then).unwrap_or(Timestamp::MAX).to_string()
}
