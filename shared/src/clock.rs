//! The only reader of the clock. Decisions take the time as a value.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serializer};

/// Where a function gets the time from.
pub type Clock = fn() -> Timestamp;

/// The time of day, UTC, in whole milliseconds: what is stored and read back is then equal to what was made.
#[expect(clippy::disallowed_methods, reason = "the one place that reads the clock")]
pub fn system() -> Timestamp {
    let now = Timestamp::now();
    Timestamp::from_millisecond(now.as_millisecond()).unwrap_or(now)
}

/// `time` plus `duration`; the end of time if that lies beyond it.
pub fn after(time: Timestamp, duration: Duration) -> Timestamp {
    time.checked_add(duration).unwrap_or(Timestamp::MAX)
}

/// How long from `now` until `time`; zero if it has passed.
pub fn until(time: Timestamp, now: Timestamp) -> Duration {
    Duration::try_from(time.duration_since(now)).unwrap_or_default()
}

/// `YYYY-MM-DDTHH:MM:SS.mmmZ`: exactly three digits, since v1 clients parse that pattern literally.
pub fn v1_text(time: Timestamp) -> String {
    format!("{time:.3}")
}

/// The same with six digits, as today's clients know it.
pub fn modern_text(time: Timestamp) -> String {
    format!("{time:.6}")
}

/// Stores a time as whole milliseconds since 1970, which sorts and compares in DynamoDB.
pub mod millis {
    use super::{Deserialize, Deserializer, Serializer, Timestamp};

    /// For `#[serde(with = "clock::millis")]`.
    pub fn serialize<S: Serializer>(time: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_i64(time.as_millisecond())
    }

    /// For `#[serde(with = "clock::millis")]`.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Timestamp, D::Error> {
        let millis = i64::deserialize(deserializer)?;
        Timestamp::from_millisecond(millis).map_err(serde::de::Error::custom)
    }
}

/// The same for a time that may be unknown.
pub mod optional_millis {
    use serde::Serialize;

    use super::{Deserialize, Deserializer, Serializer, Timestamp};

    /// For `#[serde(with = "clock::optional_millis", default)]`.
    pub fn serialize<S: Serializer>(
        time: &Option<Timestamp>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        time.map(Timestamp::as_millisecond).serialize(serializer)
    }

    /// For `#[serde(with = "clock::optional_millis", default)]`.
    pub fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Timestamp>, D::Error> {
        let millis = Option::<i64>::deserialize(deserializer)?;
        let time = millis.map(Timestamp::from_millisecond).transpose();
        time.map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn v1_times_have_three_fraction_digits() {
        let time: Timestamp = "2014-07-02T23:51:08.366999Z".parse().unwrap();
        assert_eq!(v1_text(time), "2014-07-02T23:51:08.366Z");
        assert_eq!(v1_text(Timestamp::UNIX_EPOCH), "1970-01-01T00:00:00.000Z");
        assert_eq!(modern_text(Timestamp::UNIX_EPOCH), "1970-01-01T00:00:00.000000Z");
    }

    #[test]
    fn time_that_has_passed_is_no_time_to_wait() {
        let now = Timestamp::UNIX_EPOCH;
        assert_eq!(until(now, after(now, Duration::from_secs(1))), Duration::ZERO);
        assert_eq!(until(after(now, Duration::from_secs(1)), now), Duration::from_secs(1));
    }
}
