//! What the functions of the stack log.

use std::{fs, time::Duration};

use serde_json::Value;

use crate::{STACK, wait};

/// The lines that the function of the binary `name` has logged so far, oldest first.
pub fn of(name: &str) -> Vec<Value> {
    let files = fs::read_dir(&STACK.logs).expect("the logs").map(|file| file.expect("a file"));
    let mut files = files.filter(|file| is_of(&file.file_name().to_string_lossy(), name));
    let Some(file) = files.next() else { return vec![] };
    let text = fs::read(file.path()).expect("a log");
    // Lambda's own lines stand between them.
    String::from_utf8_lossy(&text)
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect()
}

/// The first line of the function `name` after its first `seen` that is `wanted`, once there is one.
pub async fn next(name: &str, seen: usize, wanted: impl Fn(&Value) -> bool) -> Value {
    wait(Duration::from_mins(1), &format!("a line of {name}"), async || {
        of(name).into_iter().skip(seen).find(|line| wanted(line))
    })
    .await
}

/// Whether it is the log of the function, which may have no name of its own but that of its resource.
fn is_of(file: &str, name: &str) -> bool {
    let log = file.strip_prefix("spelter-local-").and_then(|rest| rest.strip_suffix(".log"));
    let resource = format!("{}Function", name.replace('-', ""));
    log.is_some_and(|log| log == name || log.eq_ignore_ascii_case(&resource))
}
