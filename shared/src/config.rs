//! The only reader of the environment. `main` reads everything it needs before it serves.

use std::str::FromStr;

/// A variable that is missing or cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The variable is not set.
    #[error("the environment variable {0} is not set")]
    Missing(&'static str),
    /// The variable is set to something that is not of its type.
    #[error("the environment variable {0} does not hold a valid value")]
    Invalid(&'static str),
}

/// The value of `name`, parsed.
pub fn required<T: FromStr>(name: &'static str) -> Result<T, ConfigError> {
    text(name)?.parse().map_err(|_| ConfigError::Invalid(name))
}

/// The same, where an empty text is no value.
pub fn optional<T: FromStr>(name: &'static str) -> Result<Option<T>, ConfigError> {
    let text = text(name)?;
    let value = (!text.is_empty()).then(|| text.parse()).transpose();
    value.map_err(|_| ConfigError::Invalid(name))
}

#[expect(clippy::disallowed_methods, reason = "the one place that reads the environment")]
fn text(name: &'static str) -> Result<String, ConfigError> {
    std::env::var(name).map_err(|_| ConfigError::Missing(name))
}
