//! `template.yaml` as JSON, for the tests that compare it with the code and with the running stack.
//!
//! `!Ref X` becomes `{"!Ref": "X"}`: what an intrinsic function means is not looked at. This is not the reader of the
//! local stack, so that a mistake there does not hide one in the template.

use std::{fs, path::PathBuf};

use saphyr::{LoadableYamlNode, Scalar, Yaml};
use serde_json::{Map, Value, json};

/// The repository.
pub(crate) fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// The template.
pub(crate) fn read() -> Value {
    let text = fs::read_to_string(root().join("template.yaml")).unwrap();
    let documents = Yaml::load_from_str(&text).unwrap();
    assert_eq!(documents.len(), 1);
    convert(&documents[0])
}

/// The resources of a type by their names.
pub(crate) fn resources(template: &Value, kind: &str) -> Map<String, Value> {
    let all = template["Resources"].as_object().unwrap();
    let found = all.iter().filter(|(_, resource)| resource["Type"] == kind);
    found.map(|(name, resource)| (name.clone(), resource.clone())).collect()
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
        other => panic!("no YAML that CloudFormation takes: {other:?}"),
    }
}
