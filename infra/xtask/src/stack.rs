//! A running `spelter-local`, ours to start and to end.

use crate::{
    clients,
    machine::{self, Profile},
    python, shell,
};
use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Map, Value, json};
use std::{
    fmt::Write as _,
    fs::{self, File, OpenOptions},
    io::{Read, Write as _},
    os::unix::{fs::OpenOptionsExt, process::CommandExt},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

/// The sandbox retailer's built-in account.
const SANDBOX_EMAIL: &str = "buyer@sandbox.example";
/// Its password.
const SANDBOX_PASSWORD: &str = "sandbox-password";
/// Starting takes a second or two; a busy machine may take longer.
const START_LIMIT: Duration = Duration::from_mins(3);
/// Ending waits for running invocations and for the emulators to save.
const END_LIMIT: Duration = Duration::from_mins(1);
/// The program's name, by which a process is known to be ours.
const PROGRAM: &str = "spelter-local";

/// The files of one stack.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    directory: PathBuf,
    /// Where its programs are.
    binaries: PathBuf,
}

/// How a stack is started.
#[derive(Debug, Clone, Default)]
pub(crate) struct Options {
    /// Flags that set ports.
    pub(crate) ports: Vec<String>,
    /// Template parameters, `Key=Value`.
    pub(crate) parameters: Vec<String>,
    /// Whether it ends with this process.
    pub(crate) ends_with_us: bool,
}

impl Place {
    /// A stack's place below `target/`.
    pub(crate) fn new(name: &str) -> Self {
        Self::built_as(name, Profile::Dev)
    }

    /// The place of a stack whose programs are built as `profile` says.
    pub(crate) fn built_as(name: &str, profile: Profile) -> Self {
        Self { directory: machine::target().join(name), binaries: profile.binaries() }
    }

    /// What lives as long as the stack's data.
    pub(crate) fn state(&self) -> PathBuf {
        self.directory.join("state")
    }

    /// Everything the functions and the stack print.
    pub(crate) fn log(&self) -> PathBuf {
        self.directory.join("stack.log")
    }

    /// What is where, for tests and scripts.
    pub(crate) fn description(&self) -> PathBuf {
        self.directory.join("stack.json")
    }

    fn endpoints(&self) -> PathBuf {
        self.directory.join("endpoints.json")
    }

    fn pid_file(&self) -> PathBuf {
        self.directory.join("pid")
    }

    /// The process of this stack, if it runs.
    pub(crate) fn running(&self) -> Option<u32> {
        let pid = fs::read_to_string(self.pid_file()).ok()?.trim().parse().ok()?;
        is_ours(pid, &self.state()).then_some(pid)
    }

    /// Reads what is where.
    pub(crate) fn read_description(&self) -> Result<Value> {
        let file = self.description();
        let text = fs::read_to_string(&file)
            .context("the local stack does not run: start it with `cargo xtask up --detach`")?;
        serde_json::from_str(&text).with_context(|| format!("cannot read {}", file.display()))
    }

    /// Forgets all state.
    pub(crate) fn clear(&self) -> Result<()> {
        python::remove_directory(&self.state())
    }

    /// Starts the stack, seeds it, and describes it in its file.
    pub(crate) fn start(&self, venv: &Path, options: &Options) -> Result<(Child, Value)> {
        fs::create_dir_all(self.state())?;
        let admin_token = self.admin_token()?;
        let mut child = self.spawn(venv, &admin_token, options)?;
        match self.describe(&mut child, &admin_token) {
            Ok(description) => Ok((child, description)),
            Err(error) => {
                end_child(&mut child);
                Err(error)
            }
        }
    }

    fn describe(&self, child: &mut Child, admin_token: &str) -> Result<Value> {
        let mut description = self.wait_for_endpoints(child)?;
        let tokens = clients::seed(&self.binaries, &self.state(), &description)?;
        for (name, value) in [
            ("client_token", json!(tokens.first)),
            ("second_client_token", json!(tokens.second)),
            ("sandbox_admin_token", json!(admin_token)),
            ("sandbox_email", json!(SANDBOX_EMAIL)),
            ("sandbox_password", json!(SANDBOX_PASSWORD)),
        ] {
            description.insert(name.to_owned(), value);
        }
        let description = Value::Object(description);
        write_whole(&self.description(), &format!("{description:#}\n"))?;
        Ok(description)
    }

    fn spawn(&self, venv: &Path, admin_token: &str, options: &Options) -> Result<Child> {
        let log = File::create(self.log())
            .with_context(|| format!("cannot write {}", self.log().display()))?;
        remove_file(&self.endpoints())?;
        remove_file(&self.description())?;
        let mut command = Command::new(self.binaries.join(PROGRAM));
        command
            .arg("--template")
            .arg(machine::root().join("template.yaml"))
            .arg("--bin-dir")
            .arg(&self.binaries)
            .arg("--state-dir")
            .arg(self.state())
            .arg("--python-venv")
            .arg(venv)
            .arg("--stack-file")
            .arg(self.endpoints())
            .args(["--parameter", "Stage=local"])
            .arg("--parameter")
            .arg(format!("SandboxAdminToken={admin_token}"))
            .args(&options.ports)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            // A terminal's Ctrl-C is for us; the stack is ended in order.
            .process_group(0);
        for parameter in &options.parameters {
            command.args(["--parameter", parameter]);
        }
        if options.ends_with_us {
            command.arg("--end-with-parent");
        }
        let child = command.spawn().context("cannot start the local stack")?;
        fs::write(self.pid_file(), child.id().to_string())?;
        Ok(child)
    }

    fn wait_for_endpoints(&self, child: &mut Child) -> Result<Map<String, Value>> {
        let deadline = Instant::now() + START_LIMIT;
        loop {
            if let Ok(text) = fs::read_to_string(self.endpoints()) {
                return serde_json::from_str(&text).context("cannot read what is where");
            }
            if child.try_wait()?.is_some() {
                bail!("the local stack did not start:\n{}", self.last_words());
            }
            if Instant::now() > deadline {
                bail!("the local stack is not up after {START_LIMIT:?}:\n{}", self.last_words());
            }
            sleep(Duration::from_millis(20));
        }
    }

    fn last_words(&self) -> String {
        let log = fs::read_to_string(self.log()).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        let start = lines.len().saturating_sub(20);
        lines.get(start..).unwrap_or_default().join("\n")
    }

    /// The token of the sandbox retailer's admin routes, made once for a state directory.
    fn admin_token(&self) -> Result<String> {
        let file = self.state().join("sandbox-admin-token");
        if let Ok(token) = fs::read_to_string(&file) {
            return Ok(token);
        }
        let token = random_token()?;
        write_whole(&file, &token)?;
        Ok(token)
    }

    /// Ends a stack that another process started; false if none runs.
    pub(crate) fn end(&self) -> Result<bool> {
        let Some(pid) = self.running() else {
            return Ok(false);
        };
        signal(pid, Signal::TERM);
        if !wait_until(END_LIMIT, || !is_ours(pid, &self.state())) {
            println!("   it does not end by itself; killing it");
            signal(pid, Signal::KILL);
            wait_until(END_LIMIT, || !is_ours(pid, &self.state()));
        }
        remove_file(&self.description())?;
        remove_file(&self.pid_file())?;
        Ok(true)
    }
}

/// A stack that ends when this is dropped, whatever happened.
pub(crate) struct Guard {
    place: Place,
    child: Child,
}

impl Guard {
    /// Takes charge of a stack.
    pub(crate) fn new(place: Place, child: Child) -> Self {
        Self { place, child }
    }

    /// Whether the stack still runs.
    pub(crate) fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        end_child(&mut self.child);
        let _ = remove_file(&self.place.description());
        let _ = remove_file(&self.place.pid_file());
    }
}

fn end_child(child: &mut Child) {
    signal(child.id(), Signal::TERM);
    if !wait_until(END_LIMIT, || !matches!(child.try_wait(), Ok(None))) {
        let _ = child.kill();
        let _ = child.wait();
    }
}

fn signal(pid: u32, signal: Signal) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        // It may have ended a moment ago, which is as good.
        let _ = kill_process(pid, signal);
    }
}

/// Whether a process is the local stack of the state directory `state`. A number alone proves nothing: it may be
/// somebody else's by now.
fn is_ours(pid: u32, state: &Path) -> bool {
    command_line(pid).is_some_and(|line| is_stack_of(&line, state))
}

fn is_stack_of(command_line: &str, state: &Path) -> bool {
    let words: Vec<_> = command_line.split(['\0', ' ']).collect();
    let program = words.first().map(Path::new).and_then(Path::file_name);
    let has_state =
        |pair: &[&str]| matches!(pair, ["--state-dir", given] if Path::new(given) == state);
    program.is_some_and(|name| name == PROGRAM) && words.windows(2).any(has_state)
}

fn command_line(pid: u32) -> Option<String> {
    if Path::new("/proc/self").exists() {
        // An ended process that nobody waited for has an empty command line.
        let line = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        return Some(String::from_utf8_lossy(&line).into_owned());
    }
    shell::output(Command::new("ps").args(["-o", "command=", "-p", &pid.to_string()])).ok()
}

fn wait_until(limit: Duration, mut done: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + limit;
    while !done() {
        if Instant::now() > deadline {
            return false;
        }
        sleep(Duration::from_millis(20));
    }
    true
}

fn random_token() -> Result<String> {
    let mut bytes = [0_u8; 24];
    File::open("/dev/urandom")
        .and_then(|mut source| source.read_exact(&mut bytes))
        .context("cannot read random bytes")?;
    let mut token = String::from("sandbox_");
    for byte in bytes {
        write!(token, "{byte:02x}")?;
    }
    Ok(token)
}

/// Writes a file in one step: who sees it sees all of it.
pub(crate) fn write_whole(file: &Path, text: &str) -> Result<()> {
    let temporary = file.with_extension("new");
    // Most of these files hold keys: nobody else on this machine may read them.
    let written = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&temporary)
        .and_then(|mut file| file.write_all(text.as_bytes()));
    written
        .and_then(|()| fs::rename(&temporary, file))
        .with_context(|| format!("cannot write {}", file.display()))
}

fn remove_file(file: &Path) -> Result<()> {
    match fs::remove_file(file) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", file.display()))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_stacks_own_process_is_ended() {
        let state = Path::new("/repo/target/local/state");
        let line = |words: &[&str]| words.join("\0");
        assert!(is_stack_of(
            &line(&[
                "/repo/target/debug/spelter-local",
                "--state-dir",
                "/repo/target/local/state",
                ""
            ]),
            state
        ));
        for other in [
            line(&["/repo/target/debug/spelter-local", "--state-dir", "/other/target/local/state"]),
            line(&["tail", "-f", "/repo/target/local/state/logs/spelter-local.log"]),
            String::new(),
        ] {
            assert!(!is_stack_of(&other, state), "{other}");
        }
    }
}
