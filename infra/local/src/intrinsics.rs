//! CloudFormation's intrinsic functions, as far as a template's wiring needs them.
//!
//! Resolution is lazy: only properties the stack reads are resolved, so a role or an alarm may use
//! functions that mean nothing here. A function that is read and not known is an error.

use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// The region everything pretends to be in.
pub const REGION: &str = "us-east-1";
/// The account everything pretends to belong to: the emulator's own.
pub const ACCOUNT: &str = "000000000000";
/// A template nested deeper than this refers to itself.
const DEPTH_LIMIT: usize = 64;

/// Why a value could not be resolved.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum IntrinsicError {
    /// A function this stack does not have.
    #[error("the local stack does not know the intrinsic function {0}")]
    UnknownFunction(String),
    /// Arguments of the wrong number or kind.
    #[error("{0} has arguments of the wrong form")]
    Arguments(&'static str),
    /// A name that is neither a parameter nor a resource.
    #[error("{0} is neither a parameter nor a resource of the template")]
    UnknownName(String),
    /// An attribute the local stack does not have.
    #[error("the local stack has no attribute {0}.{1}")]
    UnknownAttribute(String, String),
    /// A condition that is not defined.
    #[error("the template has no condition {0}")]
    UnknownCondition(String),
    /// A parameter with neither default nor value.
    #[error("parameter {0} has no default: give it with --parameter {0}=VALUE")]
    MissingParameter(String),
    /// A value was given for something that is no parameter.
    #[error("the template has no parameter {0}")]
    UnknownParameter(String),
    /// Something that refers to itself.
    #[error("the template refers to itself in a circle")]
    Circular,
}

/// What `Ref` and `GetAtt` mean for a template's resources.
pub trait Resources {
    /// The value of `Ref` for a resource, or none if there is no such resource.
    fn reference(&self, scope: &Scope<'_>, id: &str) -> Result<Option<Value>, IntrinsicError>;
    /// The value of `GetAtt`, or none if there is no such resource or attribute.
    fn attribute(
        &self,
        scope: &Scope<'_>,
        id: &str,
        attribute: &str,
    ) -> Result<Option<Value>, IntrinsicError>;
}

/// Everything a value is resolved against.
pub struct Scope<'a> {
    /// Parameter values.
    pub parameters: &'a BTreeMap<String, Value>,
    /// The template's `Conditions`.
    pub conditions: &'a Map<String, Value>,
    /// The template's resources.
    pub resources: &'a dyn Resources,
    depth: usize,
}

impl<'a> Scope<'a> {
    /// A scope to resolve whole properties in.
    pub fn new(
        parameters: &'a BTreeMap<String, Value>,
        conditions: &'a Map<String, Value>,
        resources: &'a dyn Resources,
    ) -> Self {
        Self { parameters, conditions, resources, depth: 0 }
    }

    /// Resolves a value; none stands for `AWS::NoValue`.
    pub fn resolve(&self, value: &Value) -> Result<Option<Value>, IntrinsicError> {
        if self.depth > DEPTH_LIMIT {
            return Err(IntrinsicError::Circular);
        }
        Scope { depth: self.depth + 1, ..*self }.resolve_here(value)
    }

    /// Whether a named condition holds.
    pub fn condition(&self, name: &str) -> Result<bool, IntrinsicError> {
        let condition = self
            .conditions
            .get(name)
            .ok_or_else(|| IntrinsicError::UnknownCondition(name.to_owned()))?;
        match self.resolve(condition)? {
            Some(Value::Bool(holds)) => Ok(holds),
            _ => Err(IntrinsicError::Arguments("Conditions")),
        }
    }

    fn resolve_here(&self, value: &Value) -> Result<Option<Value>, IntrinsicError> {
        match value {
            Value::Array(items) => {
                let items: Result<Vec<_>, _> =
                    items.iter().map(|item| self.resolve(item)).collect();
                Ok(Some(items?.into_iter().flatten().collect()))
            }
            Value::Object(object) => match function(object) {
                Some((name, argument)) => self.call(name, argument),
                None => self.resolve_object(object).map(Some),
            },
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
                Ok(Some(value.clone()))
            }
        }
    }

    fn resolve_object(&self, object: &Map<String, Value>) -> Result<Value, IntrinsicError> {
        let mut resolved = Map::new();
        for (key, value) in object {
            if let Some(value) = self.resolve(value)? {
                resolved.insert(key.clone(), value);
            }
        }
        Ok(Value::Object(resolved))
    }

    fn call(&self, name: &str, argument: &Value) -> Result<Option<Value>, IntrinsicError> {
        match name {
            "Ref" => self.reference(as_text(argument, "Ref")?),
            "Fn::GetAtt" => self.get_att(argument).map(Some),
            "Fn::Sub" => self.sub(argument).map(Some),
            "Fn::Join" => self.join(argument).map(Some),
            "Fn::If" => self.branch(argument),
            "Fn::Equals" => {
                let [left, right] = self.pair(argument, "Fn::Equals")?;
                Ok(Some(json!(text(&left) == text(&right))))
            }
            "Fn::Not" => {
                let operands = self.operands(argument, "Fn::Not")?;
                Ok(Some(json!(!operands.into_iter().all(|operand| operand))))
            }
            "Fn::And" => {
                let operands = self.operands(argument, "Fn::And")?;
                Ok(Some(json!(operands.into_iter().all(|operand| operand))))
            }
            "Fn::Or" => {
                let operands = self.operands(argument, "Fn::Or")?;
                Ok(Some(json!(operands.into_iter().any(|operand| operand))))
            }
            "Condition" => {
                self.condition(as_text(argument, "Condition")?).map(|holds| Some(json!(holds)))
            }
            unknown => Err(IntrinsicError::UnknownFunction(unknown.to_owned())),
        }
    }

    fn reference(&self, name: &str) -> Result<Option<Value>, IntrinsicError> {
        if let Some(value) = self.parameters.get(name) {
            return Ok(Some(value.clone()));
        }
        match name {
            "AWS::NoValue" => Ok(None),
            "AWS::Region" => Ok(Some(json!(REGION))),
            "AWS::AccountId" => Ok(Some(json!(ACCOUNT))),
            "AWS::Partition" => Ok(Some(json!("aws"))),
            "AWS::URLSuffix" => Ok(Some(json!("amazonaws.com"))),
            "AWS::StackName" => Ok(Some(json!("spelter-local"))),
            _ => match self.resources.reference(self, name)? {
                Some(value) => Ok(Some(value)),
                None => Err(IntrinsicError::UnknownName(name.to_owned())),
            },
        }
    }

    fn get_att(&self, argument: &Value) -> Result<Value, IntrinsicError> {
        let parts: Option<Vec<&str>> =
            argument.as_array().and_then(|parts| parts.iter().map(Value::as_str).collect());
        match parts.as_deref() {
            Some([resource, attribute]) => self.attribute(resource, attribute),
            _ => Err(IntrinsicError::Arguments("Fn::GetAtt")),
        }
    }

    fn attribute(&self, resource: &str, attribute: &str) -> Result<Value, IntrinsicError> {
        self.resources.attribute(self, resource, attribute)?.ok_or_else(|| {
            IntrinsicError::UnknownAttribute(resource.to_owned(), attribute.to_owned())
        })
    }

    fn sub(&self, argument: &Value) -> Result<Value, IntrinsicError> {
        let none = Map::new();
        let (pattern, names) = match argument {
            Value::String(pattern) => (pattern.as_str(), &none),
            Value::Array(parts) => match parts.as_slice() {
                [Value::String(pattern), Value::Object(names)] => (pattern.as_str(), names),
                _ => return Err(IntrinsicError::Arguments("Fn::Sub")),
            },
            _ => return Err(IntrinsicError::Arguments("Fn::Sub")),
        };
        self.substitute(pattern, names).map(Value::String)
    }

    fn substitute(
        &self,
        pattern: &str,
        names: &Map<String, Value>,
    ) -> Result<String, IntrinsicError> {
        let mut result = String::new();
        let mut rest = pattern;
        while let Some((before, after)) = rest.split_once("${") {
            let (name, tail) = after.split_once('}').ok_or(IntrinsicError::Arguments("Fn::Sub"))?;
            result.push_str(before);
            result.push_str(&self.placeholder(name.trim(), names)?);
            rest = tail;
        }
        result.push_str(rest);
        Ok(result)
    }

    fn placeholder(
        &self,
        name: &str,
        names: &Map<String, Value>,
    ) -> Result<String, IntrinsicError> {
        if let Some(literal) = name.strip_prefix('!') {
            return Ok(format!("${{{literal}}}"));
        }
        let value = match (names.get(name), name.split_once('.')) {
            (Some(value), _) => self.resolve(value)?,
            (None, Some((resource, attribute))) => Some(self.attribute(resource, attribute)?),
            (None, None) => self.reference(name)?,
        };
        value.as_ref().and_then(text).ok_or(IntrinsicError::Arguments("Fn::Sub"))
    }

    fn join(&self, argument: &Value) -> Result<Value, IntrinsicError> {
        let [delimiter, items] = self.pair(argument, "Fn::Join")?;
        let items: Option<Vec<String>> =
            items.as_array().and_then(|items| items.iter().map(text).collect());
        match (delimiter.as_str(), items) {
            (Some(delimiter), Some(items)) => Ok(json!(items.join(delimiter))),
            _ => Err(IntrinsicError::Arguments("Fn::Join")),
        }
    }

    fn branch(&self, argument: &Value) -> Result<Option<Value>, IntrinsicError> {
        match argument.as_array().map(Vec::as_slice) {
            Some([condition, then, otherwise]) => {
                let holds = self.condition(as_text(condition, "Fn::If")?)?;
                self.resolve(if holds { then } else { otherwise })
            }
            _ => Err(IntrinsicError::Arguments("Fn::If")),
        }
    }

    fn pair(&self, argument: &Value, name: &'static str) -> Result<[Value; 2], IntrinsicError> {
        match argument.as_array().map(Vec::as_slice) {
            Some([left, right]) => match (self.resolve(left)?, self.resolve(right)?) {
                (Some(left), Some(right)) => Ok([left, right]),
                _ => Err(IntrinsicError::Arguments(name)),
            },
            _ => Err(IntrinsicError::Arguments(name)),
        }
    }

    fn operands(&self, argument: &Value, name: &'static str) -> Result<Vec<bool>, IntrinsicError> {
        let operands = argument.as_array().ok_or(IntrinsicError::Arguments(name))?;
        operands
            .iter()
            .map(|operand| match self.resolve(operand)? {
                Some(Value::Bool(holds)) => Ok(holds),
                _ => Err(IntrinsicError::Arguments(name)),
            })
            .collect()
    }
}

/// Whether an object is a call of an intrinsic function, and of which.
pub fn function(object: &Map<String, Value>) -> Option<(&str, &Value)> {
    let mut entries = object.iter();
    match (entries.next(), entries.next()) {
        (Some((name, argument)), None)
            if name == "Ref"
                || name.starts_with("Fn::")
                // A policy statement has a `Condition` too, but never a text.
                || (name == "Condition" && argument.is_string()) =>
        {
            Some((name, argument))
        }
        _ => None,
    }
}

/// A scalar as text, the way CloudFormation turns numbers and booleans into strings.
pub fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(flag) => Some(flag.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// The values of the template's parameters: what was given, else the defaults.
pub fn parameters(
    declared: &Map<String, Value>,
    given: &BTreeMap<String, String>,
) -> Result<BTreeMap<String, Value>, IntrinsicError> {
    if let Some(unknown) = given.keys().find(|name| !declared.contains_key(*name)) {
        return Err(IntrinsicError::UnknownParameter(unknown.clone()));
    }
    declared
        .iter()
        .map(|(name, declaration)| {
            let value = given.get(name).map(|value| json!(value));
            let value = value.or_else(|| declaration.get("Default").cloned());
            match value {
                Some(value) => Ok((name.clone(), value)),
                None => Err(IntrinsicError::MissingParameter(name.clone())),
            }
        })
        .collect()
}

fn as_text<'v>(value: &'v Value, name: &'static str) -> Result<&'v str, IntrinsicError> {
    value.as_str().ok_or(IntrinsicError::Arguments(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    struct OneQueue;

    impl Resources for OneQueue {
        fn reference(&self, _: &Scope<'_>, id: &str) -> Result<Option<Value>, IntrinsicError> {
            Ok((id == "Queue").then(|| json!("http://queue")))
        }

        fn attribute(
            &self,
            _: &Scope<'_>,
            id: &str,
            attribute: &str,
        ) -> Result<Option<Value>, IntrinsicError> {
            Ok((id == "Queue" && attribute == "Arn").then(|| json!("arn:queue")))
        }
    }

    fn resolve(value: &Value) -> Result<Option<Value>, IntrinsicError> {
        let parameters = BTreeMap::from([
            ("Stage".to_owned(), json!("local")),
            ("Seconds".to_owned(), json!(90)),
        ]);
        let conditions = json!({
            "IsLocal": {"Fn::Equals": [{"Ref": "Stage"}, "local"]},
            "IsProd": {"Fn::Not": [{"Condition": "IsLocal"}]},
            "Loop": {"Condition": "Loop"},
        });
        Scope::new(&parameters, conditions.as_object().unwrap(), &OneQueue).resolve(value)
    }

    #[test]
    fn every_function_resolves() {
        let cases = [
            (json!({"Ref": "Stage"}), json!("local")),
            (json!({"Ref": "AWS::Region"}), json!("us-east-1")),
            (json!({"Ref": "Queue"}), json!("http://queue")),
            (json!({"Fn::GetAtt": ["Queue", "Arn"]}), json!("arn:queue")),
            (json!({"Fn::Sub": "a-${Stage}-${Seconds}"}), json!("a-local-90")),
            (json!({"Fn::Sub": "${Queue.Arn}/x-${!Literal}"}), json!("arn:queue/x-${Literal}")),
            (json!({"Fn::Sub": ["${X}-y", {"X": {"Ref": "Seconds"}}]}), json!("90-y")),
            (json!({"Fn::Join": ["-", ["a", {"Ref": "Seconds"}]]}), json!("a-90")),
            (json!({"Fn::If": ["IsProd", 1, {"Ref": "Stage"}]}), json!("local")),
            (json!({"Fn::And": [{"Condition": "IsLocal"}, {"Condition": "IsProd"}]}), json!(false)),
            (json!({"Fn::Or": [{"Condition": "IsLocal"}, {"Condition": "IsProd"}]}), json!(true)),
        ];
        for (value, expected) in cases {
            assert_eq!(resolve(&value), Ok(Some(expected)), "{value}");
        }
    }

    #[test]
    fn no_value_removes_its_property() {
        let value = json!({"keep": 1, "drop": {"Fn::If": ["IsProd", 1, {"Ref": "AWS::NoValue"}]}});
        assert_eq!(resolve(&value), Ok(Some(json!({"keep": 1}))));
    }

    #[test]
    fn what_is_not_known_is_an_error_that_names_it() {
        let cases = [
            (json!({"Fn::Cidr": []}), IntrinsicError::UnknownFunction("Fn::Cidr".into())),
            (json!({"Ref": "Nobody"}), IntrinsicError::UnknownName("Nobody".into())),
            (
                json!({"Fn::GetAtt": ["Queue", "Nothing"]}),
                IntrinsicError::UnknownAttribute("Queue".into(), "Nothing".into()),
            ),
            (json!({"Condition": "Loop"}), IntrinsicError::Circular),
        ];
        for (value, expected) in cases {
            assert_eq!(resolve(&value), Err(expected), "{value}");
        }
    }

    #[test]
    fn parameters_take_given_values_then_defaults() {
        let declared = json!({"A": {"Default": 1}, "B": {}});
        let declared = declared.as_object().unwrap();
        let given = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
            pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
        };
        let values = parameters(declared, &given(&[("B", "x")])).unwrap();
        assert_eq!(values, BTreeMap::from([("A".into(), json!(1)), ("B".into(), json!("x"))]));
        let missing = parameters(declared, &given(&[]));
        assert_eq!(missing, Err(IntrinsicError::MissingParameter("B".into())));
        let unknown = parameters(declared, &given(&[("B", "x"), ("C", "y")]));
        assert_eq!(unknown, Err(IntrinsicError::UnknownParameter("C".into())));
    }
}
