//! `template.yaml` as JSON, for the tests that compare it with the code and with the running stack.

use std::{fs, path::PathBuf};

use serde_json::{Map, Value};
use tests::yaml;

/// The repository.
pub(crate) fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// The template.
pub(crate) fn read() -> Value {
    yaml::read(&fs::read_to_string(root().join("template.yaml")).unwrap())
}

/// The resources of a type by their names.
pub(crate) fn resources(template: &Value, kind: &str) -> Map<String, Value> {
    let all = template["Resources"].as_object().unwrap();
    let found = all.iter().filter(|(_, resource)| resource["Type"] == kind);
    found.map(|(name, resource)| (name.clone(), resource.clone())).collect()
}
