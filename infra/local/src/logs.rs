//! One stream and one file per function for everything the functions print.
//!
//! Lambda's START, END and REPORT lines go to the files only: in the stream they would drown the
//! functions' own words.

use std::{
    collections::BTreeMap,
    fs::{File, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

/// The name this process logs under.
const SELF: &str = "local-stack";

/// Where log lines go.
pub struct Logs {
    directory: PathBuf,
    name_width: AtomicUsize,
    files: Mutex<BTreeMap<String, File>>,
}

impl Logs {
    /// Logs into a directory, which is created.
    pub fn open(directory: &Path) -> io::Result<Self> {
        std::fs::create_dir_all(directory)?;
        Ok(Self {
            directory: directory.to_owned(),
            name_width: AtomicUsize::new(SELF.len()),
            files: Mutex::default(),
        })
    }

    /// Leaves room for these names in the stream.
    pub fn align<'n>(&self, names: impl Iterator<Item = &'n str>) {
        let widest = names.map(str::len).max().unwrap_or(0);
        self.name_width.fetch_max(widest, Ordering::Relaxed);
    }

    /// The directory of the files.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// A line of the stack itself.
    pub fn say(&self, line: &str) {
        self.line(SELF, line);
    }

    /// A line a function printed.
    pub fn line(&self, name: &str, line: &str) {
        let width = self.name_width.load(Ordering::Relaxed);
        // Nobody may be reading the stream any more; the file has the line all the same.
        let _ = writeln!(io::stdout().lock(), "{name:<width$} | {line}");
        self.file_line(name, line);
    }

    /// A line for the file only.
    pub fn file_line(&self, name: &str, line: &str) {
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        if !files.contains_key(name) {
            let path = self.directory.join(format!("{name}.log"));
            match OpenOptions::new().create(true).append(true).open(&path) {
                Ok(file) => _ = files.insert(name.to_owned(), file),
                Err(error) => eprintln!("cannot write {}: {error}", path.display()),
            }
        }
        if let Some(file) = files.get_mut(name)
            && let Err(error) = writeln!(file, "{line}")
        {
            eprintln!("cannot write the log of {name}: {error}");
        }
    }
}
