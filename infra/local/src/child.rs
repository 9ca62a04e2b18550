//! Processes that never outlive this one.
//!
//! Linux can signal a process when its parent dies, but only the process itself can ask for that,
//! and asking between fork and exec takes `unsafe`. So children start as this program, which asks
//! and then becomes the real one.

use rustix::process::{Pid, Signal};
use std::{
    ffi::{OsStr, OsString},
    io,
    os::unix::process::CommandExt,
    path::Path,
    process::Stdio,
};
use tokio::process::{Child, Command};

/// The first argument that turns this program into another.
const BECOME: &str = "--become";

/// What a child gets when this process dies without having ended it.
#[derive(Debug, Clone, Copy)]
pub enum Bequest {
    /// It is ended at once.
    Kill,
    /// It is asked to end, so that it can save its state.
    Terminate,
}

impl Bequest {
    fn word(self) -> &'static str {
        match self {
            Self::Kill => "kill",
            Self::Terminate => "terminate",
        }
    }
}

/// A command for a program with an empty environment and a process group of its own, so that a
/// terminal's Ctrl-C reaches only this process, which ends its children in order.
pub fn command(program: &Path, bequest: Bequest) -> io::Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command
        .arg(BECOME)
        .arg(bequest.word())
        .arg(std::process::id().to_string())
        .arg(program)
        .env_clear()
        .stdin(Stdio::null())
        .process_group(0)
        .kill_on_drop(true);
    Ok(command)
}

/// Becomes another program if the arguments say so. Returns if they do not; the error is why the
/// other program could not be started.
pub fn become_if_asked(mut arguments: impl Iterator<Item = OsString>) -> io::Result<()> {
    if arguments.nth(1).as_deref() != Some(OsStr::new(BECOME)) {
        return Ok(());
    }
    let (bequest, parent) = (arguments.next(), arguments.next());
    let program =
        arguments.next().ok_or_else(|| io::Error::other("there is no program to become"))?;
    let signal = match bequest.as_deref().and_then(OsStr::to_str) {
        Some("terminate") => Signal::TERM,
        _ => Signal::KILL,
    };
    end_with_parent(signal)?;
    // The parent may have died before the request above took effect.
    let alive = rustix::process::getppid().map(|pid| pid.to_string());
    if alive.as_deref() != parent.as_deref().and_then(OsStr::to_str) {
        return Err(io::Error::other("the local stack is gone"));
    }
    Err(std::process::Command::new(program).args(arguments).exec())
}

/// Asks for a signal when the parent process dies. Elsewhere than on Linux nothing happens.
pub fn end_with_parent(signal: Signal) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    rustix::process::set_parent_process_death_signal(Some(signal))?;
    #[cfg(not(target_os = "linux"))]
    let _ = signal;
    Ok(())
}

/// The process id of a child that was not waited for yet.
pub fn pid(child: &Child) -> Option<Pid> {
    child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw)
}

/// The command line of any process, where the system tells.
pub fn command_line(pid: u32) -> Option<String> {
    let line = std::fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    Some(String::from_utf8_lossy(&line).replace('\0', " "))
}

/// Sends a signal to a child's process group.
pub fn signal_group(pid: Pid, signal: Signal) {
    // The group may have ended by itself a moment ago, which is as good.
    let _ = rustix::process::kill_process_group(pid, signal);
}
