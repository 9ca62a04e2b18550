//! CloudFormation's YAML as plain JSON: `!Sub x` becomes `{"Fn::Sub": "x"}`, anchors are expanded.
//!
//! Only the notation is read here; what an intrinsic function means is in `intrinsics`.

use saphyr::{LoadableYamlNode, Scalar, Yaml};
use serde_json::{Map, Value, json};

/// Why a text is no template.
#[derive(Debug, thiserror::Error)]
pub enum YamlError {
    /// The text is not YAML.
    #[error("not valid YAML")]
    Syntax(#[source] saphyr::ScanError),
    /// There is no document in it, or more than one.
    #[error("a template is one YAML document")]
    NotOneDocument,
    /// A node CloudFormation would not take either.
    #[error("CloudFormation does not take {0}")]
    Unsupported(&'static str),
}

/// Reads one YAML document.
pub fn parse(text: &str) -> Result<Value, YamlError> {
    let documents = Yaml::load_from_str(text).map_err(YamlError::Syntax)?;
    match documents.as_slice() {
        [document] => convert(document),
        _ => Err(YamlError::NotOneDocument),
    }
}

fn convert(node: &Yaml<'_>) -> Result<Value, YamlError> {
    match node {
        Yaml::Value(scalar) => Ok(convert_scalar(scalar)),
        Yaml::Sequence(items) => items.iter().map(convert).collect(),
        Yaml::Mapping(entries) => {
            let mut object = Map::new();
            for (key, value) in entries {
                object.insert(convert_key(key)?, convert(value)?);
            }
            Ok(Value::Object(object))
        }
        Yaml::Tagged(tag, inner) => Ok(intrinsic(&tag.suffix, convert(inner)?)),
        Yaml::Representation(..) => Err(YamlError::Unsupported("unresolved scalars")),
        Yaml::Alias(_) => Err(YamlError::Unsupported("aliases of themselves")),
        Yaml::BadValue => Err(YamlError::Unsupported("values that contradict their type")),
    }
}

fn convert_scalar(scalar: &Scalar<'_>) -> Value {
    match scalar {
        Scalar::Null => Value::Null,
        Scalar::Boolean(flag) => json!(flag),
        Scalar::Integer(number) => json!(number),
        Scalar::FloatingPoint(number) => json!(number.into_inner()),
        Scalar::String(text) => json!(text),
    }
}

fn convert_key(key: &Yaml<'_>) -> Result<String, YamlError> {
    match convert(key)? {
        Value::String(text) if text == "<<" => Err(YamlError::Unsupported("merge keys (`<<`)")),
        Value::String(text) => Ok(text),
        Value::Number(number) => Ok(number.to_string()),
        Value::Bool(flag) => Ok(flag.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => {
            Err(YamlError::Unsupported("keys that are not text"))
        }
    }
}

/// The long form of `!Name argument`.
fn intrinsic(name: &str, argument: Value) -> Value {
    match (name, argument) {
        ("Ref" | "Condition", argument) => json!({ name: argument }),
        ("GetAtt", Value::String(path)) => {
            let (resource, attribute) = path.split_once('.').unwrap_or((path.as_str(), ""));
            json!({ "Fn::GetAtt": [resource, attribute] })
        }
        (name, argument) => json!({ format!("Fn::{name}"): argument }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_become_long_forms() {
        let read = parse(
            "a: !Ref X\nb: !GetAtt X.Arn\nc: !Not [!Equals [!Ref X, \"\"]]\nd: !Sub \"${X}-y\"\n\
             e: [!GetAtt A.Arn, !If [Cond, 1, !Ref AWS::NoValue]]\n",
        )
        .unwrap();
        let expected = json!({
            "a": {"Ref": "X"},
            "b": {"Fn::GetAtt": ["X", "Arn"]},
            "c": {"Fn::Not": [{"Fn::Equals": [{"Ref": "X"}, ""]}]},
            "d": {"Fn::Sub": "${X}-y"},
            "e": [{"Fn::GetAtt": ["A", "Arn"]}, {"Fn::If": ["Cond", 1, {"Ref": "AWS::NoValue"}]}],
        });
        assert_eq!(read, expected);
    }

    #[test]
    fn anchors_are_expanded_with_their_tags() {
        let read = parse("a: &one {k: !Ref X, v: \"2012-10-17\"}\nb: *one\n").unwrap();
        assert_eq!(read["b"], json!({"k": {"Ref": "X"}, "v": "2012-10-17"}));
    }

    #[test]
    fn quoted_numbers_stay_text_and_plain_ones_do_not() {
        let read = parse("a: \"2.0\"\nb: 2\nc: true\nd: 2010-09-09\n").unwrap();
        assert_eq!(read, json!({"a": "2.0", "b": 2, "c": true, "d": "2010-09-09"}));
    }

    #[test]
    fn merge_keys_are_refused_as_cloudformation_does() {
        assert!(matches!(parse("a: &x {k: 1}\nb: {<<: *x}\n"), Err(YamlError::Unsupported(_))));
    }
}
