//! Records as lines of a file.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Bytes that may wait while the file cannot be written.
const PENDING: usize = 64 << 20;

/// A file that is only appended to; logrotate may move it away at any time.
#[derive(Debug)]
pub(super) struct UsageFile {
    path: PathBuf,
    file: File,
    /// Whole lines, but for the first when the disk filled up within it.
    pending: Vec<u8>,
    records: u64,
}

impl UsageFile {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        Ok(Self {
            path: path.to_owned(),
            file: append_to(path)?,
            pending: Vec::new(),
            records: 0,
        })
    }

    /// Takes a line; false when too many wait already.
    pub(super) fn push(&mut self, line: &[u8]) -> bool {
        if self.pending.len() + line.len() >= PENDING {
            return false;
        }
        self.pending.extend_from_slice(line);
        self.pending.push(b'\n');
        self.records += 1;
        true
    }

    /// Brings what waits to the disk and gives the number of records. After an
    /// error the rest waits, and the next call goes on behind the last byte
    /// that was written.
    pub(super) fn flush(&mut self) -> io::Result<u64> {
        if self.pending.is_empty() {
            return Ok(0);
        }
        let mut written = 0;
        let outcome = loop {
            match self.file.write(&self.pending[written..]) {
                Ok(0) => break Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => written += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => break Err(error),
            }
            if written == self.pending.len() {
                break Ok(());
            }
        };
        self.pending.drain(..written);
        outcome?;
        self.file.sync_data()?;
        Ok(std::mem::take(&mut self.records))
    }

    /// Goes on in the file that has the name now.
    pub(super) fn reopen(&mut self) -> io::Result<()> {
        self.file = append_to(&self.path)?;
        Ok(())
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

fn append_to(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o640)
        .open(path)
}
