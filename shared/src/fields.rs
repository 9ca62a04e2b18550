//! Reading a request's fields: everything that is wrong is found at once, and each fault names its field.
//!
//! `deserr` does the reading; this module says how its faults look in both generations of the API. A fault never
//! repeats a value that may be a secret.

use std::ops::ControlFlow;

use deserr::{
    DeserializeError, Deserr, ErrorKind, IntoValue, MergeWithError, ValueKind, ValuePointerRef,
};
use serde_json::{Number, Value, json};

use crate::{email::InvalidEmail, redact};

/// One step into a body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Segment {
    /// A member of an object.
    Key(String),
    /// An element of a list.
    Index(usize),
}

/// Which part of a request a field stands in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// Its body.
    Body,
    /// Its query string.
    Query,
}

/// What is wrong with one field.
#[derive(Debug, Clone, PartialEq)]
pub struct FieldError {
    /// Which part of the request it stands in.
    pub place: Place,
    /// Where it stands in the body.
    pub path: Vec<Segment>,
    /// What is wrong, in words.
    pub message: String,
    /// What is wrong, as FastAPI names it (`missing`, `int_type`, `value_error`, …).
    pub kind: &'static str,
    /// What was sent; null where it is missing, large or may be a secret.
    pub value: Value,
}

impl FieldError {
    /// A fault of the member `name` of the body itself.
    pub fn at(name: &str, kind: &'static str, message: impl Into<String>) -> Self {
        let path = name.split('.').map(|key| Segment::Key(key.to_owned())).collect();
        Self { place: Place::Body, path, message: message.into(), kind, value: Value::Null }
    }

    /// A fault of the body as a whole.
    pub fn of_body(message: impl Into<String>) -> Self {
        Self { path: Vec::new(), ..Self::at("", "dict_type", message) }
    }

    /// A fault of the query parameter `name`.
    pub fn in_query(name: &str, message: impl Into<String>) -> Self {
        Self { place: Place::Query, ..Self::at(name, "value_error", message) }
    }

    /// A fault of the member `name` of what stands at `at`.
    pub fn below(
        at: ValuePointerRef,
        name: &str,
        kind: &'static str,
        message: impl Into<String>,
    ) -> Self {
        let mut error = Self::at(name, kind, message);
        error.path = path(at).into_iter().chain(error.path).collect();
        error
    }

    /// The same, repeating `value` unless it may be a secret.
    #[must_use]
    pub fn with_value(mut self, value: Value) -> Self {
        // A body that is a bare text may be a pasted password.
        let secret = self.path.is_empty()
            || self.path.iter().any(|segment| match segment {
                Segment::Key(key) => redact::may_hold_secrets(key),
                Segment::Index(_) => false,
            });
        self.value =
            if secret || value.is_object() || value.is_array() { Value::Null } else { value };
        self
    }

    /// `products.0.quantity`.
    pub fn dotted_path(&self) -> String {
        let text = |segment: &Segment| match segment {
            Segment::Key(key) => key.clone(),
            Segment::Index(index) => index.to_string(),
        };
        self.path.iter().map(text).collect::<Vec<_>>().join(".")
    }

    /// `["body", "products", 0, "quantity"]`.
    pub fn location(&self) -> Vec<Value> {
        let value = |segment: &Segment| match segment {
            Segment::Key(key) => json!(key),
            Segment::Index(index) => json!(index),
        };
        let place = match self.place {
            Place::Body => "body",
            Place::Query => "query",
        };
        std::iter::once(json!(place)).chain(self.path.iter().map(value)).collect()
    }
}

/// All that is wrong with a body.
#[derive(Debug, Default)]
pub struct Faults(pub Vec<FieldError>);

/// Reads a `T` from `body`, or says everything that is wrong with it.
pub fn read<T: Deserr<Faults>>(body: Value) -> Result<T, Vec<FieldError>> {
    deserr::deserialize::<T, _, Faults>(with_whole_numbers(body)).map_err(|faults| faults.0)
}

/// `body` with `2` for `2.0`: JSON has one kind of number, and some clients write every number as a fraction.
fn with_whole_numbers(body: Value) -> Value {
    match body {
        Value::Object(members) => {
            members.into_iter().map(|(key, value)| (key, with_whole_numbers(value))).collect()
        }
        Value::Array(items) => items.into_iter().map(with_whole_numbers).collect(),
        Value::Number(number) => Value::Number(whole(&number).unwrap_or(number)),
        other => other,
    }
}

fn whole(number: &Number) -> Option<Number> {
    let fraction = number.as_f64().filter(|value| number.is_f64() && value.fract() == 0.0)?;
    let digits = format!("{fraction:.0}");
    let positive = digits.parse::<u64>().ok().map(Number::from);
    positive.or_else(|| digits.parse::<i64>().ok().map(Number::from))
}

/// `body` without members that are null, an empty string, or an object of nothing but those: some clients send that for
/// what they leave out.
#[must_use]
pub fn without_blanks(body: Value) -> Value {
    match body {
        Value::Object(members) => members
            .into_iter()
            .filter_map(|(key, value)| {
                let had_members = value.as_object().is_some_and(|members| !members.is_empty());
                let value = without_blanks(value);
                let is_blank = value.is_null()
                    || value.as_str() == Some("")
                    || had_members && value.as_object().is_some_and(serde_json::Map::is_empty);
                (!is_blank).then_some((key, value))
            })
            .collect(),
        Value::Array(items) => items.into_iter().map(without_blanks).collect(),
        other => other,
    }
}

/// Why a value of the right JSON type is still not allowed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unfit(pub String);

impl MergeWithError<Self> for Faults {
    fn merge(all: Option<Self>, more: Self, _: ValuePointerRef) -> ControlFlow<Self, Self> {
        let mut all = all.unwrap_or_default();
        all.0.extend(more.0);
        ControlFlow::Continue(all)
    }
}

impl From<InvalidEmail> for Unfit {
    fn from(invalid: InvalidEmail) -> Self {
        Self(invalid.to_string())
    }
}

impl<U: Into<Unfit>> MergeWithError<U> for Faults {
    fn merge(all: Option<Self>, unfit: U, at: ValuePointerRef) -> ControlFlow<Self, Self> {
        let mut all = all.unwrap_or_default();
        all.0.push(FieldError {
            place: Place::Body,
            path: path(at),
            message: unfit.into().0,
            kind: "value_error",
            value: Value::Null,
        });
        ControlFlow::Continue(all)
    }
}

impl DeserializeError for Faults {
    fn error<V: IntoValue>(
        all: Option<Self>,
        error: ErrorKind<V>,
        at: ValuePointerRef,
    ) -> ControlFlow<Self, Self> {
        let mut all = all.unwrap_or_default();
        all.0.push(fault(error, path(at)));
        ControlFlow::Continue(all)
    }
}

fn fault<V: IntoValue>(error: ErrorKind<V>, mut path: Vec<Segment>) -> FieldError {
    let new = |path, message, kind| FieldError {
        place: Place::Body,
        path,
        message,
        kind,
        value: Value::Null,
    };
    match error {
        ErrorKind::MissingField { field } => {
            path.push(Segment::Key(field.to_owned()));
            new(path, "is required".to_owned(), "missing")
        }
        ErrorKind::IncorrectValueKind { actual, accepted } => {
            let (message, kind) = wanted(accepted);
            new(path, message, kind).with_value(plain(actual))
        }
        ErrorKind::UnknownKey { key, .. } => {
            path.push(Segment::Key(key.to_owned()));
            new(path, "is not a known field".to_owned(), "extra_forbidden")
        }
        ErrorKind::UnknownValue { value, accepted } => {
            new(path, format!("must be one of {}", accepted.join(", ")), "enum")
                .with_value(json!(value))
        }
        ErrorKind::BadSequenceLen { expected, .. } => {
            new(path, format!("must have {expected} elements"), "value_error")
        }
        ErrorKind::Unexpected { msg } => new(path, msg, "value_error"),
    }
}

fn wanted(accepted: &[ValueKind]) -> (String, &'static str) {
    match accepted {
        [ValueKind::Boolean] => ("must be true or false".to_owned(), "bool_type"),
        [ValueKind::String] => ("must be a string".to_owned(), "string_type"),
        [ValueKind::Sequence] => ("must be a list".to_owned(), "list_type"),
        [ValueKind::Map] => ("must be an object".to_owned(), "dict_type"),
        [ValueKind::Integer | ValueKind::NegativeInteger, ..]
            if !accepted.contains(&ValueKind::Float) =>
        {
            ("must be a whole number".to_owned(), "int_type")
        }
        others => {
            let names: Vec<_> = others.iter().map(|kind| kind.to_string().to_lowercase()).collect();
            (format!("must be of type {}", names.join(" or ")), "value_error")
        }
    }
}

fn plain<V: IntoValue>(value: deserr::Value<V>) -> Value {
    match value {
        deserr::Value::Null | deserr::Value::Sequence(_) | deserr::Value::Map(_) => Value::Null,
        deserr::Value::Boolean(value) => json!(value),
        deserr::Value::Integer(value) => json!(value),
        deserr::Value::NegativeInteger(value) => json!(value),
        deserr::Value::Float(value) => json!(value),
        deserr::Value::String(value) => json!(value),
    }
}

fn path(at: ValuePointerRef) -> Vec<Segment> {
    let (before, last) = match at {
        ValuePointerRef::Origin => return Vec::new(),
        ValuePointerRef::Key { key, prev } => (prev, Segment::Key(key.to_owned())),
        ValuePointerRef::Index { index, prev } => (prev, Segment::Index(index)),
    };
    let mut path = path(*before);
    path.push(last);
    path
}
