//! Which allocations are alive, on disk: what stands there at the next start
//! was cut off by a crash of the process. Not synchronised to the disk line by
//! line, so a crash of the whole host may lose the last seconds of it.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use super::record::Record;

/// Lines without meaning that are put up with beside those that have one.
const DEAD: usize = 4096;

/// One line.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Line {
    Ended { ended: String },
    Alive(Box<Record>),
}

/// The file, and the lock that keeps a second process away.
#[derive(Debug)]
pub(super) struct Journal {
    path: PathBuf,
    file: File,
    lines: usize,
    _lock: File,
}

/// What a former process left behind.
#[derive(Debug)]
pub(super) struct Left {
    pub(super) records: Vec<Record>,
    /// The last sign of its life.
    pub(super) at: SystemTime,
}

impl Journal {
    pub(super) fn open(directory: &Path) -> io::Result<(Self, Left)> {
        let lock = private(&directory.join("lock"), OpenOptions::new().write(true))?;
        lock.try_lock().map_err(|error| {
            io::Error::other(format!("another process records usage there: {error}"))
        })?;
        let path = directory.join("live.jsonl");
        let file = private(&path, OpenOptions::new().append(true).read(true))?;
        let at = file.metadata()?.modified()?;
        let mut alive = HashMap::new();
        for line in BufReader::new(&file).split(b'\n') {
            // The last line may be torn.
            match serde_json::from_slice(&line?) {
                Ok(Line::Alive(record)) => {
                    alive.insert(record.uuid.clone(), *record);
                }
                Ok(Line::Ended { ended }) => {
                    alive.remove(&ended);
                }
                Err(_) => {}
            }
        }
        let mut records: Vec<Record> = alive.into_values().collect();
        records.sort_by(|a, b| a.uuid.cmp(&b.uuid));
        let journal = Self {
            path,
            file,
            lines: 0,
            _lock: lock,
        };
        Ok((journal, Left { records, at }))
    }

    /// Notes what is known of live allocations and which have ended.
    pub(super) fn note<'a>(
        &mut self,
        alive: impl Iterator<Item = &'a Record>,
        ended: impl Iterator<Item = &'a String>,
    ) -> io::Result<()> {
        let mut text = Vec::new();
        for record in alive {
            text.extend(record.line());
            text.push(b'\n');
            self.lines += 1;
        }
        for uuid in ended {
            let line = Line::Ended {
                ended: uuid.clone(),
            };
            serde_json::to_writer(&mut text, &line)?;
            text.push(b'\n');
            self.lines += 1;
        }
        self.file.write_all(&text)
    }

    /// Whether most lines have lost their meaning.
    pub(super) fn is_stale(&self, alive: usize) -> bool {
        self.lines > 2 * alive + DEAD
    }

    /// Writes the file anew with what is alive alone.
    pub(super) fn rewrite<'a>(
        &mut self,
        alive: impl Iterator<Item = &'a Record>,
    ) -> io::Result<()> {
        let new = self.path.with_extension("new");
        // What a crash left half written.
        match fs::remove_file(&new) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        self.file = private(&new, OpenOptions::new().append(true))?;
        self.lines = 0;
        self.note(alive, std::iter::empty())?;
        fs::rename(&new, &self.path)
    }
}

fn private(path: &Path, options: &mut OpenOptions) -> io::Result<File> {
    options.create(true).mode(0o600).open(path)
}
