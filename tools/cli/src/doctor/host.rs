//! The host, as files and as the output of commands. Either this host, or a
//! folder that holds copies of both.

use std::fs;
use std::path::{Component, Path, PathBuf};
use std::process::{Command, Stdio};

/// Where files are read and commands are run.
pub(super) struct Host {
    /// `None`: this host.
    copy: Option<PathBuf>,
}

impl Host {
    pub(super) fn new(copy: Option<PathBuf>) -> Self {
        Self { copy }
    }

    /// Whether this is the host itself, so that it can be talked to.
    pub(super) fn is_live(&self) -> bool {
        self.copy.is_none()
    }

    /// Where a file of the host's is.
    pub(super) fn path(&self, path: &Path) -> PathBuf {
        let Some(copy) = &self.copy else {
            return path.to_owned();
        };
        let inner = path.components().filter(|part| {
            // The copy is not left upwards.
            matches!(part, Component::Normal(_))
        });
        copy.join(inner.collect::<PathBuf>())
    }

    /// A file's text without blanks around it; `None` when it cannot be read.
    pub(super) fn read(&self, path: &str) -> Option<String> {
        let bytes = fs::read(self.path(Path::new(path))).ok()?;
        Some(String::from_utf8_lossy(&bytes).trim().to_owned())
    }

    /// The number a file holds.
    pub(super) fn number(&self, path: &str) -> Option<u64> {
        self.read(path)?.split_whitespace().next()?.parse().ok()
    }

    /// The names in a folder, in order.
    pub(super) fn names(&self, path: &str) -> Vec<String> {
        let entries = fs::read_dir(self.path(Path::new(path)))
            .into_iter()
            .flatten();
        let mut names: Vec<String> = entries
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .collect();
        names.sort();
        names
    }

    /// Where a symbolic link points.
    pub(super) fn link(&self, path: &str) -> Option<String> {
        let target = fs::read_link(self.path(Path::new(path))).ok()?;
        Some(target.to_string_lossy().into_owned())
    }

    /// What a command prints; `None` when there is no such command or it
    /// fails. In a copy: the file `commands/PROGRAM ARGUMENTS`.
    pub(super) fn command(&self, program: &str, arguments: &[&str]) -> Option<String> {
        if self.copy.is_some() {
            let name = format!("{program} {}", arguments.join(" "));
            return self.read(&format!("/commands/{name}"));
        }
        // Administration lies where the paths of users often do not lead.
        let path = std::env::var("PATH").unwrap_or_default();
        let output = Command::new(program)
            .args(arguments)
            .env("PATH", format!("{path}:/usr/sbin:/sbin"))
            .env("LC_ALL", "C")
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .output()
            .ok()?;
        output
            .status
            .success()
            .then(|| String::from_utf8_lossy(&output.stdout).into_owned())
    }
}
