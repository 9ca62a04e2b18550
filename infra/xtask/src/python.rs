//! Virtual environments for the Python programs the project uses, pinned with hashes.

use crate::{machine, shell};
use anyhow::{Context, Result, bail};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// The oldest Python the pinned packages run on.
const OLDEST: (u32, u32) = (3, 10);

/// A set of packages.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Tools {
    /// The emulator of SQS and KMS.
    Ministack,
    /// The template's tools.
    Sam,
}

impl Tools {
    fn name(self) -> &'static str {
        match self {
            Self::Ministack => "ministack",
            Self::Sam => "sam",
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
    let python = find_python()?;
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

fn find_python() -> Result<Python> {
    let (major, minor) = OLDEST;
    let Some(program) = machine::find_program("python3") else {
        bail!(
            "python3 is not installed. The local stack's SQS and KMS need Python {major}.{minor} \
             or newer (on Debian and Ubuntu: apt-get install python3 python3-venv)"
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
