//! The only reader of the clock in this package.

use jiff::Timestamp;
use std::time::Duration;

/// The time now.
#[expect(clippy::disallowed_methods, reason = "this is the one place that reads the clock")]
pub fn now() -> Timestamp {
    Timestamp::now()
}

/// A duration in whole milliseconds, as AWS's protocols count time.
pub fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
