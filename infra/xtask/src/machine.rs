//! The only reader of the environment here, and the places of things on this machine.

use std::{
    env,
    ffi::OsString,
    path::{Path, PathBuf},
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
    let given = variable("CARGO_TARGET_DIR").map(|directory| root().join(directory));
    given.unwrap_or_else(target).join("debug")
}

/// The cargo that runs this.
pub(crate) fn cargo() -> OsString {
    variable("CARGO").unwrap_or_else(|| "cargo".into())
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
