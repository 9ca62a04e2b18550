//! The only reader of the environment here, and the places of things on this machine.

use std::{
    env,
    ffi::OsString,
    path::{Path, PathBuf},
    process::Command,
};

/// The repository.
pub(crate) fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap_or(here).to_owned()
}

/// Where builds, tools, state and virtual environments go.
pub(crate) fn target() -> PathBuf {
    root().join("target")
}

/// Where cargo puts binaries, which is elsewhere if the user says so.
pub(crate) fn binaries() -> PathBuf {
    Profile::Dev.binaries()
}

/// How programs are built.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Profile {
    /// As everything else is: built soon.
    Dev,
    /// For what runs so long that it is worth building anew.
    Crash,
    /// For what runs for hours.
    Model,
}

impl Profile {
    /// Its name in `Cargo.toml`.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Dev => "dev",
            Self::Crash => "crash",
            Self::Model => "model",
        }
    }

    /// Where cargo puts its binaries.
    pub(crate) fn binaries(self) -> PathBuf {
        let given = variable("CARGO_TARGET_DIR").map(|directory| root().join(directory));
        given.unwrap_or_else(target).join(match self {
            Self::Dev => "debug",
            Self::Crash | Self::Model => self.name(),
        })
    }
}

/// The cargo that runs this, in the repository. What it says of this program in the environment is left out: some build
/// scripts run again when that changes, so that a build from here and one by hand would undo each other.
pub(crate) fn cargo() -> Command {
    let mut cargo = Command::new(variable("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(root());
    let is_of_this_program = |name: &str| {
        ["CARGO_MANIFEST_", "CARGO_PKG_", "CARGO_BIN_"]
            .iter()
            .any(|prefix| name.starts_with(prefix))
    };
    for (name, _) in env::vars_os() {
        if name.to_str().is_some_and(is_of_this_program) {
            cargo.env_remove(name);
        }
    }
    cargo
}

/// A program on the PATH.
pub(crate) fn find_program(name: &str) -> Option<PathBuf> {
    let path = variable("PATH")?;
    env::split_paths(&path).map(|directory| directory.join(name)).find(|file| file.is_file())
}

/// The PATH with another directory before the others.
pub(crate) fn path_with(directory: PathBuf) -> Result<OsString, env::JoinPathsError> {
    let path = variable("PATH").unwrap_or_default();
    env::join_paths(std::iter::once(directory).chain(env::split_paths(&path)))
}

fn variable(name: &str) -> Option<OsString> {
    env::var_os(name).filter(|value| !value.is_empty())
}
