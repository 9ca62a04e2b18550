//! What may know of what: the rules of `shared/src/lib.rs`, which the compiler does not check.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::template::root;

/// Modules of the library that know of no service, no protocol and no site. A folder goes with its file.
const DOMAIN: [&str; 24] = [
    "accounts",
    "aftersale",
    "backlog",
    "cancellations",
    "client_key",
    "clock",
    "email",
    "fields",
    "id",
    "labels",
    "ledger",
    "mail",
    "money",
    "orders",
    "products",
    "redact",
    "refunds",
    "retailers.rs",
    "retailers/table.rs",
    "returns",
    "sealed",
    "sign_in",
    "totp",
    "webhooks",
];

/// A source file: its path from the top of the repository, and its text.
struct Source {
    path: String,
    text: String,
}

impl Source {
    fn all() -> Vec<Self> {
        let mut folders =
            vec!["shared/src".to_owned(), "functions/src".to_owned(), "tests".to_owned()];
        for package in fs::read_dir(root().join("infra")).unwrap() {
            let source = package.unwrap().path().join("src");
            if source.is_dir() {
                folders.push(relative(&source));
            }
        }
        let mut sources = Vec::new();
        for folder in folders {
            collect(&root().join(folder), &mut sources);
        }
        assert!(sources.len() > 80, "the sources were found");
        sources
    }

    fn below(folder: &str) -> Vec<Self> {
        let mut sources = Self::all();
        sources.retain(|source| source.path.starts_with(folder));
        assert!(!sources.is_empty(), "{folder} has sources");
        sources
    }

    /// This file names in texts what must not be in code.
    fn is_this_file(&self) -> bool {
        self.path == "tests/it/architecture.rs"
    }

    /// The lines of code with their numbers: a comment may name anything.
    fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        let lines = self.text.lines().enumerate().map(|(index, line)| (index + 1, line));
        lines.filter(|(_, line)| !line.trim_start().starts_with("//"))
    }

    /// Where the code names one of `words`.
    fn naming(&self, words: &[&str]) -> Vec<String> {
        let found = self.code().filter(|(_, line)| words.iter().any(|word| line.contains(word)));
        found.map(|(number, line)| format!("{}:{number}: {}", self.path, line.trim())).collect()
    }
}

fn relative(path: &Path) -> String {
    path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned()
}

fn collect(folder: &Path, sources: &mut Vec<Source>) {
    let mut entries: Vec<PathBuf> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            collect(&path, sources);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            sources.push(Source { path: relative(&path), text });
        }
    }
}

#[track_caller]
fn assert_none(found: &[String]) {
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn only_the_aws_modules_name_an_aws_type() {
    let words = ["aws_sdk_", "aws_config", "aws_smithy", "serde_dynamo"];
    let others = Source::below("shared/src").into_iter().filter(|source| {
        source.path != "shared/src/aws.rs" && !source.path.starts_with("shared/src/aws/")
    });
    // The sandbox retailer is a shop of its own with a table of its own, in one file.
    let functions = Source::below("functions/src")
        .into_iter()
        .filter(|source| source.path != "functions/src/sandbox/store.rs" && !is_test_file(source));
    assert_none(&others.chain(functions).flat_map(|one| one.naming(&words)).collect::<Vec<_>>());
}

/// A module of unit tests in a file of its own.
fn is_test_file(source: &Source) -> bool {
    source.path.ends_with("/tests.rs")
}

#[test]
fn domain_modules_know_of_no_service_no_protocol_and_no_site() {
    let words = [
        "crate::aws",
        "crate::http",
        "crate::sqs",
        "crate::telemetry",
        "lambda_",
        "aws_",
        "reqwest",
        "axum",
        "retailers::sandbox",
        "sandbox::",
    ];
    let mut found = Vec::new();
    for module in DOMAIN {
        let sources: Vec<_> = Source::below("shared/src")
            .into_iter()
            .filter(|source| {
                let path = source.path.strip_prefix("shared/src/").unwrap();
                path == module
                    || path.strip_suffix(".rs") == Some(module)
                    || path.split('/').next() == Some(module)
            })
            .collect();
        assert!(!sources.is_empty(), "{module} is a module");
        found.extend(sources.iter().flat_map(|source| source.naming(&words)));
    }
    assert_none(&found);
}

#[test]
fn only_a_retailers_own_module_knows_the_site() {
    let mut found = Vec::new();
    for source in Source::below("shared/src") {
        let own = source.path.starts_with("shared/src/retailers/sandbox");
        if !own {
            found.extend(source.naming(&["sandbox::wire", "sandbox::Sandbox"]));
        }
    }
    assert_none(&found);
}

#[test]
fn handlers_leave_answers_and_failed_messages_to_the_shells() {
    let words = ["IntoResponse", "Response::builder", "SqsBatchResponse", "BatchItemFailure"];
    let handlers = Source::below("functions/src").into_iter().filter(|source| {
        // The sandbox retailer is a shop with answers of its own.
        !source.path.starts_with("functions/src/sandbox")
    });
    assert_none(&handlers.flat_map(|source| source.naming(&words)).collect::<Vec<_>>());
}

#[test]
fn configuration_is_read_by_mains_only() {
    let others = Source::all().into_iter().filter(|source| {
        source.path != "shared/src/config.rs"
            && !source.path.starts_with("functions/src/bin/")
            && !source.path.starts_with("tests/")
    });
    let words = ["config::required", "required(\""];
    assert_none(&others.flat_map(|source| source.naming(&words)).collect::<Vec<_>>());
}

#[test]
fn every_module_says_what_it_is_for() {
    let silent: Vec<_> = Source::all()
        .iter()
        .filter(|source| !source.text.starts_with("//! "))
        .map(|source| source.path.clone())
        .collect();
    assert_none(&silent);
}

/// `derive(Debug)` on a type that holds a secret prints a placeholder today, and whatever stands beside it tomorrow.
#[test]
fn no_type_that_holds_a_secret_derives_debug() {
    let (mut holders, mut found) = (0, Vec::new());
    for source in Source::all() {
        for Type { name, attributes, body } in types(&source) {
            if ["SecretString", "SecretSlice", "SecretBox"].iter().any(|word| body.contains(word)) {
                holders += 1;
                if attributes.contains("Debug") {
                    found.push(format!("{}: {name}", source.path));
                }
            }
        }
    }
    assert!(holders >= 8, "only {holders} types that hold secrets were found");
    assert_none(&found);
}

#[test]
fn there_are_no_macros_of_our_own() {
    let others = Source::all().into_iter().filter(|source| !source.is_this_file());
    assert_none(&others.flat_map(|source| source.naming(&["macro_rules!"])).collect::<Vec<_>>());
}

#[test]
fn no_test_is_ignored_sleeps_or_expects_a_panic() {
    let words = ["#[ignore", "#[should_panic", "thread::sleep", "time::sleep", "fn test_"];
    let mut found = Vec::new();
    for source in Source::below("tests/").iter().filter(|source| !source.is_this_file()) {
        found.extend(source.naming(&words));
    }
    // The kit asks again after a short wait, which is the one way to wait.
    found.retain(|place| !place.starts_with("tests/world/lib.rs:"));
    assert_none(&found);
}

/// A struct or an enum.
struct Type {
    name: String,
    attributes: String,
    body: String,
}

/// The types of a file, found by the shape that rustfmt gives them.
fn types(source: &Source) -> Vec<Type> {
    let lines: Vec<&str> = source.code().map(|(_, line)| line).collect();
    let mut found = Vec::new();
    for (index, line) in lines.iter().enumerate() {
        let trimmed = line.trim_start();
        let visible = ["pub(crate) ", "pub(super) ", "pub "];
        let item = visible.iter().find_map(|word| trimmed.strip_prefix(word)).unwrap_or(trimmed);
        let Some(rest) = item.strip_prefix("struct ").or_else(|| item.strip_prefix("enum ")) else {
            continue;
        };
        let before = lines.iter().take(index).rev();
        let attributes =
            before.take_while(|line| !line.is_empty() && !line.ends_with(['}', ';', '{']));
        let indent = " ".repeat(line.len() - trimmed.len());
        let last = format!("{indent}}}");
        let length = if line.ends_with(';') || line.ends_with('}') {
            1
        } else {
            let ends =
                |line: &&str| line.starts_with(&last) || line.starts_with(&format!("{indent})"));
            lines.iter().skip(index).position(ends).expect("the end of a type")
        };
        found.push(Type {
            name: rest.split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default().to_owned(),
            attributes: attributes.copied().collect(),
            body: lines.iter().skip(index).take(length).copied().collect(),
        });
    }
    found
}
