//! Running programs, with a word of progress before and a clear one when they fail.

use anyhow::{Context, Error, Result, bail};
use std::{
    io::{BufRead, BufReader},
    os::unix::process::CommandExt,
    path::Path,
    process::{Command, ExitStatus, Stdio},
    time::Instant,
};

/// Does one step of a command, and says what it is and how long it took.
pub(crate) fn phase<T>(name: &str, step: impl FnOnce() -> Result<T>) -> Result<T> {
    println!("== {name}");
    let started = Instant::now();
    let result = step();
    let word = if result.is_ok() { "done" } else { "FAILED" };
    println!("== {name}: {word} after {:.1} s", started.elapsed().as_secs_f64());
    result
}

/// Runs a program whose output the user sees; an error if it fails.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("cannot run {}", name(command)))?;
    if !status.success() {
        bail!("{} failed ({status})", name(command));
    }
    Ok(())
}

/// Runs a program whose output the user sees and `each` is told, line by line; whether it succeeded.
pub(crate) fn listen(command: &mut Command, mut each: impl FnMut(String)) -> Result<ExitStatus> {
    let name = name(command);
    let mut child =
        command.stdout(Stdio::piped()).spawn().with_context(|| format!("cannot run {name}"))?;
    let output = child.stdout.take().with_context(|| format!("{name} has no output"))?;
    for line in BufReader::new(output).split(b'\n') {
        let line = line?;
        let line = String::from_utf8_lossy(&line).into_owned();
        println!("{line}");
        each(line);
    }
    Ok(child.wait()?)
}

/// Becomes a program, so that Ctrl-C and its exit code are its own; returns only if that fails.
pub(crate) fn replace_with(command: &mut Command) -> Error {
    let error = command.exec();
    Error::new(error).context(format!("cannot run {}", name(command)))
}

/// Runs a program and returns what it printed; an error with its words if it fails.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot run {}", name(command)))?;
    if !output.status.success() {
        let words = String::from_utf8_lossy(&output.stderr);
        bail!("{} failed ({}):\n{}", name(command), output.status, words.trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// A program's name and first arguments, for messages.
pub(crate) fn name(command: &Command) -> String {
    let program = Path::new(command.get_program());
    let program = program.file_name().unwrap_or(command.get_program()).to_string_lossy();
    let arguments: Vec<_> =
        command.get_args().take(3).map(|argument| argument.to_string_lossy()).collect();
    format!("`{program} {}`", arguments.join(" "))
}
