//! YAML as JSON.
//!
//! `!Ref X` becomes `{"!Ref": "X"}`: what a tag means is not looked at. This is not the reader of the local stack, so
//! that a mistake there does not hide one in the template.

use saphyr::{LoadableYamlNode, Scalar, Yaml};
use serde_json::{Value, json};

/// The one document of `text`.
pub fn read(text: &str) -> Value {
    let documents = Yaml::load_from_str(text).expect("YAML");
    assert_eq!(documents.len(), 1);
    convert(&documents[0])
}

fn convert(node: &Yaml) -> Value {
    match node {
        Yaml::Value(Scalar::Null) => Value::Null,
        Yaml::Value(Scalar::Boolean(flag)) => json!(flag),
        Yaml::Value(Scalar::Integer(number)) => json!(number),
        Yaml::Value(Scalar::FloatingPoint(number)) => json!(number.into_inner()),
        Yaml::Value(Scalar::String(text)) => json!(text),
        Yaml::Sequence(items) => items.iter().map(convert).collect(),
        Yaml::Mapping(members) => members
            .iter()
            .map(|(key, value)| (key.as_str().expect("a text as a key").to_owned(), convert(value)))
            .collect(),
        Yaml::Tagged(tag, inner) => json!({format!("!{}", tag.suffix): convert(inner)}),
        other => panic!("no YAML that is read here: {other:?}"),
    }
}
