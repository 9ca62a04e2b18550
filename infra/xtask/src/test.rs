//! `test`: everything CI runs, each phase with its duration, all of them even if one fails.

use crate::{
    local, machine,
    model::{self, Size},
    python::{self, Tools},
    real,
    shell::{self, phase},
    stack::{Guard, Options, Place},
};
use anyhow::{Context, Result, bail};
use clap::Args;
use std::{
    ffi::OsString,
    path::PathBuf,
    process::{Command, ExitCode, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

/// The checker of dependencies, at the version its configuration is written for.
const DENY_VERSION: &str = "0.20.2";
/// Fetching the advisories takes seconds; where they cannot be reached, it may hang.
const FETCH_LIMIT: Duration = Duration::from_mins(1);
/// So many lines of a panic are repeated at the end.
const PANIC_LINES: usize = 12;
/// So much of each, in characters.
const PANIC_WIDTH: usize = 1000;

/// Which tests to run.
#[derive(Args)]
pub(crate) struct Test {
    /// Run only black-box tests whose names contain this, and nothing else; `schemathesis` is one of its own.
    filter: Option<String>,
}

/// What the test runners counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Counts {
    passed: u64,
    failed: u64,
    skipped: u64,
}

/// The phases so far.
#[derive(Default)]
struct Report {
    counts: Counts,
    failures: Vec<String>,
}

impl Report {
    /// Does a phase; a failure is kept for the end.
    fn phase(&mut self, name: &str, step: impl FnOnce(&mut Counts) -> Result<()>) {
        let counts = &mut self.counts;
        if let Err(error) = phase(name, || step(counts)) {
            eprintln!("{error:#}");
            self.failures.push(format!("{name}: {error:#}"));
        }
    }

    /// Says what failed; the counts are the last line whatever happened.
    fn finish(self) -> ExitCode {
        for failure in &self.failures {
            println!("FAILED: {failure}");
        }
        let Counts { passed, failed, skipped } = self.counts;
        println!("\n{passed} passed, {failed} failed, {skipped} skipped");
        if self.failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}

/// Runs the tests.
pub(crate) fn run(test: &Test) -> ExitCode {
    let mut report = Report::default();
    if test.filter.is_none() {
        report.phase("Format", |_| cargo(&["fmt", "--all", "--check"]));
        report.phase("Lints", |_| {
            cargo(&["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"])?;
            let strict = ["--all-targets", "--", "-D", "warnings"];
            cargo(&[&["clippy"], &model::FEATURES[..], &strict[..]].concat())
        });
        report.phase("Dependencies", |_| deny());
        report.phase("Guards stay in a release", |_| guards_stay());
        report.phase("Unit tests", |counts| {
            // `listen` runs a program, but no stack.
            let which = ["test", "--workspace", "--lib", "--bins", "--test", "listen"];
            count(cargo_command(&which), counts)
        });
    }
    report.phase("Black-box tests", |counts| black_box(test.filter.as_deref(), counts));
    if test.filter.is_none() {
        report.phase("Crash test, the model", |counts| {
            let unit = [&["test"], &model::FEATURES[..], &["--lib"]].concat();
            count(cargo_command(&unit), counts)?;
            model::run(Size::Ci)
        });
        report.phase("Crash test, real processes", |_| real::run(real::Size::SMOKE));
        report.phase("Template", |_| validate_template());
    }
    report.finish()
}

fn cargo_command(arguments: &[&str]) -> Command {
    let mut command = machine::cargo();
    command.args(arguments);
    command
}

fn cargo(arguments: &[&str]) -> Result<()> {
    shell::run(&mut cargo_command(arguments))
}

/// Runs tests, shows what they print, and adds up what they count. An error says what the failed ones panicked with.
fn count(mut command: Command, counts: &mut Counts) -> Result<()> {
    let mut lines = vec![];
    let status = shell::listen(&mut command, |line| {
        counts.add(&line);
        lines.push(line);
    })?;
    if !status.success() {
        bail!("{} failed ({status})\n{}", shell::name(&command), panics(&lines));
    }
    Ok(())
}

/// What the tests panicked with, of all that they printed: a long log may be cut in the middle, but not at its end.
fn panics(lines: &[String]) -> String {
    let begins = |line: &str| line.starts_with("thread '") && line.contains(" panicked at ");
    let is_next = |line: &str| {
        ["stack backtrace:", "note: ", "---- "].iter().any(|beginning| line.starts_with(beginning))
    };
    let mut said = String::new();
    for (first, _) in lines.iter().enumerate().filter(|(_, line)| begins(line)) {
        let block = lines.iter().skip(first).take(PANIC_LINES);
        let is_over = |place: usize, line: &str| place > 0 && (begins(line) || is_next(line));
        for (_, line) in block.enumerate().take_while(|(place, line)| !is_over(*place, line)) {
            said.extend(line.chars().take(PANIC_WIDTH).chain(['\n']));
        }
    }
    said
}

impl Counts {
    /// Adds a line like `test result: ok. 5 passed; 0 failed; 1 ignored; 0 measured; …`, or schemathesis's
    /// `3354 generated, 3300 passed, 54 skipped`.
    fn add(&mut self, line: &str) {
        let of_rust = line.strip_prefix("test result: ").and_then(|rest| rest.split_once(". "));
        let of_schemathesis = line.contains(" generated, ").then_some(line);
        let Some(numbers) = of_rust.map(|(_, numbers)| numbers).or(of_schemathesis) else {
            return;
        };
        for part in numbers.split([';', ',']) {
            let mut words = part.split_whitespace();
            let number = words.next().and_then(|number| number.parse().ok()).unwrap_or(0);
            match words.next() {
                Some("passed") => self.passed += number,
                Some("failed" | "found") => self.failed += number,
                Some("ignored" | "skipped") => self.skipped += number,
                _ => {}
            }
        }
    }
}

/// Runs the tests over HTTP against a stack of their own, which is always empty at first, and then
/// the search for secrets in what they left behind.
fn black_box(filter: Option<&str>, counts: &mut Counts) -> Result<()> {
    let venv = python::environment(Tools::Ministack)?;
    let runs_schemathesis = filter.is_none_or(|filter| filter == SCHEMATHESIS);
    let path = if runs_schemathesis { Some(path_with_schemathesis()?) } else { None };
    local::build()?;
    // Built before the stack starts: the compiler would take the machine from it.
    cargo(&["test", "--no-run", "--workspace", "--test", "*"])?;
    let models = [&model::FEATURES[..], &["--test", "emulators"]].concat();
    cargo(&[&["test", "--no-run"], &models[..]].concat())?;
    let place = Place::new("test");
    place.end()?;
    place.clear()?;
    let options = Options { ports: any_ports(), parameters: quick(), ends_with_us: true };
    let start = || -> Result<Guard> {
        let (child, _) = place.start(&venv, &options)?;
        Ok(Guard::new(place.clone(), child))
    };
    let mut run = |which: &[&str], filter: &[&str]| {
        let mut command = cargo_command(&["test"]);
        // As many at once on every machine: more would only wait for the stack, and look slow.
        command.args(which).args(["--", "--test-threads=4", "--show-output"]).args(filter);
        command.env("SPELTER_STACK", place.description());
        if let Some(path) = &path {
            command.env("PATH", path);
        }
        count(command, counts)
    };
    let guard = start()?;
    let modelled = match filter {
        None => run(&models, &[]),
        Some(_) => Ok(()),
    };
    let mut test = |target: &str, filter: &[&str]| run(&["--workspace", "--test", target], filter);
    if let Some(filter) = filter {
        if runs_schemathesis {
            return test(SCHEMATHESIS, &[]);
        }
        return test("it", &[filter])
            .and(test("alone", &[filter]))
            .and(test("costs", &[filter]))
            .and(test("deliveries", &[filter]));
    }
    // Every verdict counts, even if an earlier one is bad.
    let tests = test("it", &[])
        .and(test("alone", &[]))
        .and(test("costs", &[]))
        .and(test("deliveries", &[]));
    let described = shell::phase("API description", || test(SCHEMATHESIS, &[]));
    let before = test("restart", &["before"]);
    drop(guard);
    let restarted = start();
    let after = test("restart", &["after"]);
    let leaks = test("leaks", &[]);
    modelled.and(tests).and(described).and(before).and(restarted.map(drop)).and(after).and(leaks)
}

/// Ports that nobody has: so two stacks can run beside each other.
fn any_ports() -> Vec<String> {
    let names = ["api", "sandbox", "dynamodb", "aws", "lambda", "smtp"];
    names.iter().map(|name| format!("--{name}-port=0")).collect()
}

/// A killed worker's job comes back after seconds instead of minutes, and so does one that waits for a mail.
fn quick() -> Vec<String> {
    ["JobTimeoutSeconds=15", "JobVisibilitySeconds=17", "CodeWaitSeconds=60"]
        .map(str::to_owned)
        .to_vec()
}

/// The program, and the tests that run it.
const SCHEMATHESIS: &str = "schemathesis";

/// The PATH with schemathesis on it, installed if needed.
fn path_with_schemathesis() -> Result<OsString> {
    let programs = python::environment(Tools::Schemathesis)?.join("bin");
    machine::path_with(programs).context("the PATH cannot be extended")
}

/// Checks licences, sources and bans, and the advisories where their database can be reached.
fn deny() -> Result<()> {
    let program = deny_program()?;
    let deny = |arguments: &[&str]| {
        let mut command = Command::new(&program);
        command.current_dir(machine::root()).args(arguments);
        command
    };
    if fetches_advisories(deny(&["fetch", "db"])) {
        return shell::run(&mut deny(&["--offline", "check"]));
    }
    println!(
        "   ADVISORIES WERE NOT CHECKED: their database cannot be fetched from here.\n   \
         Checking bans, licences and sources only."
    );
    shell::run(&mut deny(&["check", "bans", "licenses", "sources"]))
}

fn deny_program() -> Result<PathBuf> {
    let tools = machine::target().join("tools");
    let installed = tools.join("bin").join("cargo-deny");
    if let Some(program) = machine::find_program("cargo-deny")
        && shell::output(Command::new(&program).arg("--version"))?.contains(DENY_VERSION)
    {
        return Ok(program);
    }
    if !installed.is_file() {
        println!("   installing cargo-deny {DENY_VERSION}");
        let mut install =
            cargo_command(&["install", "cargo-deny", "--locked", "--debug", "--version"]);
        shell::run(install.arg(DENY_VERSION).arg("--root").arg(&tools))?;
    }
    Ok(installed)
}

fn fetches_advisories(mut fetch: Command) -> bool {
    let fetch = fetch.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    let Ok(mut fetch) = fetch else { return false };
    let deadline = Instant::now() + FETCH_LIMIT;
    while Instant::now() < deadline {
        if let Ok(Some(status)) = fetch.try_wait() {
            return status.success();
        }
        sleep(Duration::from_millis(50));
    }
    let _ = fetch.kill();
    let _ = fetch.wait();
    false
}

/// That no guard can be taken away in what is deployed: the feature for that compiles only as builds for tests do.
fn guards_stay() -> Result<()> {
    let compiles = |assertions: &str| {
        let mut rustc = Command::new("rustc");
        rustc.current_dir(machine::root()).args(["--edition=2024", "--crate-type=lib"]);
        rustc.args(["--emit=metadata", "-o"]).arg(machine::target().join("guards.rmeta"));
        rustc.args(["--cfg", "feature=\"crash-test\"", "-C", assertions, "shared/src/guards.rs"]);
        shell::output(&mut rustc)
    };
    compiles("debug-assertions=on")?;
    match compiles("debug-assertions=off") {
        Ok(_) => bail!("a release can have the feature `crash-test`"),
        Err(error) if format!("{error:#}").contains("never for what is deployed") => Ok(()),
        Err(error) => Err(error),
    }
}

fn validate_template() -> Result<()> {
    let venv = python::environment(Tools::Sam)?;
    let template = machine::root().join("template.yaml");
    shell::run(
        Command::new(venv.join("bin").join("sam"))
            .args(["validate", "--lint", "--template"])
            .arg(template)
            .current_dir(machine::root())
            .env("AWS_DEFAULT_REGION", "us-east-1")
            .env("SAM_CLI_TELEMETRY", "0"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_of_all_test_binaries_are_added() {
        let mut counts = Counts::default();
        counts.add("running 7 tests");
        counts.add("test result: ok. 5 passed; 0 failed; 2 ignored; 0 measured; 0 filtered out; x");
        counts.add("test result: FAILED. 1 passed; 3 failed; 0 ignored; 0 measured; 9 filtered");
        counts.add("  2918 generated, 1 found 1 unique failure, 45 skipped");
        counts.add("  30 generated, 25 passed, 5 skipped");
        assert_eq!(counts, Counts { passed: 31, failed: 4, skipped: 52 });
    }

    #[test]
    fn what_failed_tests_panicked_with_is_found_without_the_rest() {
        let printed = "test a ... FAILED\n\nthread 'a' (7) panicked at it/a.rs:1:5:\nleft: 1\nright: 2\nstack \
                       backtrace:\n   0: core\nthread 'c' panicked at it/c.rs:3:1:\nyes\n---- b stdout ----\nthread 'b' panicked at it/b.rs:2:9:\nno\nnote: run with\nend";
        let lines: Vec<_> = printed.lines().map(str::to_owned).collect();
        let said = "thread 'a' (7) panicked at it/a.rs:1:5:\nleft: 1\nright: 2\nthread 'c' panicked at it/c.rs:3:1:\nyes\nthread 'b' panicked at it/b.rs:2:9:\nno\n";
        assert_eq!(panics(&lines), said);
    }
}
