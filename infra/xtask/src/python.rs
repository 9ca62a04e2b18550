//! Virtual environments for the Python programs the project uses, pinned with hashes.

use crate::{machine, shell};
use anyhow::{Context, Result, bail};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// A set of packages.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Tools {
    /// The emulator of SQS, KMS, S3 and SES.
    Ministack,
    /// The template's tools.
    Sam,
    /// The program that tests the API against its description.
    Schemathesis,
}

impl Tools {
    fn name(self) -> &'static str {
        match self {
            Self::Ministack => "ministack",
            Self::Sam => "sam",
            Self::Schemathesis => "schemathesis",
        }
    }

    /// The oldest Python the pinned packages run on.
    fn oldest_python(self) -> (u32, u32) {
        match self {
            Self::Ministack | Self::Sam => (3, 10),
            Self::Schemathesis => (3, 11),
        }
    }

    /// The file that lists the packages.
    fn requirements(self) -> PathBuf {
        machine::root().join("infra").join(format!("requirements-{}.txt", self.name()))
    }
}

/// The virtual environment with the given packages, made or renewed if needed.
pub(crate) fn environment(tools: Tools) -> Result<PathBuf> {
    let directory = machine::target().join("python").join(tools.name());
    let requirements = fs::read_to_string(tools.requirements())
        .with_context(|| format!("cannot read {}", tools.requirements().display()))?;
    let python = find_python(tools)?;
    let wanted = format!("{}\n{requirements}", python.version);
    let stamp = directory.join("installed.txt");
    if fs::read_to_string(&stamp).is_ok_and(|installed| installed == wanted) {
        return Ok(directory);
    }
    println!("   installing {} into {}", tools.name(), directory.display());
    remove_directory(&directory)?;
    install(&python, &directory, &tools.requirements())?;
    fs::write(&stamp, wanted).with_context(|| format!("cannot write {}", stamp.display()))?;
    Ok(directory)
}

struct Python {
    program: PathBuf,
    version: String,
}

fn find_python(tools: Tools) -> Result<Python> {
    let (major, minor) = tools.oldest_python();
    let Some(program) = machine::find_program("python3") else {
        bail!(
            "python3 is not installed: {} needs Python {major}.{minor} or newer \
             (on Debian and Ubuntu: apt-get install python3 python3-venv)",
            tools.name()
        );
    };
    let probe = format!(
        "import sys, venv, ensurepip\nassert sys.version_info >= ({major}, {minor})\n\
         print(sys.version)"
    );
    match shell::output(Command::new(&program).args(["-c", &probe])) {
        Ok(version) => Ok(Python { program, version }),
        Err(error) => bail!(
            "python3 is here but cannot make virtual environments, or is older than \
             {major}.{minor} (on Debian and Ubuntu: apt-get install python3-venv): {error:#}"
        ),
    }
}

fn install(python: &Python, directory: &Path, requirements: &Path) -> Result<()> {
    shell::output(Command::new(&python.program).args(["-m", "venv"]).arg(directory))
        .context("cannot make a virtual environment")?;
    let pip = directory.join("bin").join("python");
    shell::output(
        Command::new(&pip)
            .args(["-m", "pip", "install", "--disable-pip-version-check", "--require-hashes"])
            // The list is complete, and pip would look for extras that the list has without them.
            .args(["--no-deps", "--no-input", "--quiet", "--requirement"])
            .arg(requirements),
    )
    .with_context(|| format!("cannot install the packages of {}", requirements.display()))?;
    shell::output(Command::new(&pip).args(["-m", "pip", "check"]))
        .with_context(|| format!("{} is not complete", requirements.display()))?;
    Ok(())
}

/// Removes a directory; it need not exist.
pub(crate) fn remove_directory(directory: &Path) -> Result<()> {
    match fs::remove_dir_all(directory) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", directory.display()))
        }
        _ => Ok(()),
    }
}
