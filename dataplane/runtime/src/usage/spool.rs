//! Records that wait for the webhook: files of one request each, whole from
//! the moment they have their name, so that a repeated request is the same to
//! the byte and has the same key, also after a restart.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use uuid::Uuid;

use super::Tally;

/// Bytes of a request.
const REQUEST: usize = 1 << 20;

/// One request.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Segment {
    /// Their order.
    number: u64,
    pub(super) records: u64,
    /// The idempotency key.
    pub(super) key: String,
}

impl Segment {
    fn name(&self) -> String {
        format!("{:020}-{}-{}.json", self.number, self.records, self.key)
    }

    fn parse(name: &str) -> Option<Self> {
        let mut parts = name.strip_suffix(".json")?.splitn(3, '-');
        Some(Self {
            number: parts.next()?.parse().ok()?,
            records: parts.next()?.parse().ok()?,
            key: parts.next()?.to_owned(),
        })
    }
}

/// The directory, for the thread that writes into it.
#[derive(Debug)]
pub(super) struct Spool {
    shelf: Shelf,
    limit: u64,
    next: u64,
}

impl Spool {
    /// Opens the directory and makes it where it is missing.
    pub(super) fn open(directory: &Path, limit: u64, tally: &Arc<Tally>) -> io::Result<Self> {
        make_private(directory)?;
        let shelf = Shelf {
            directory: directory.to_owned(),
            tally: Arc::clone(tally),
        };
        let mut bytes = 0;
        for entry in fs::read_dir(directory)? {
            let entry = entry?;
            let name = entry.file_name();
            if name.to_string_lossy().ends_with(".new") {
                fs::remove_file(entry.path())?;
            } else if entry.file_type()?.is_file() {
                bytes += entry.metadata()?.len();
            }
        }
        tally.spool_bytes.store(bytes, Ordering::Relaxed);
        let next = shelf.segments()?.last().map_or(0, |last| last.number + 1);
        Ok(Self { shelf, limit, next })
    }

    /// The directory, for the thread that empties it.
    pub(super) fn shelf(&self) -> Shelf {
        self.shelf.clone()
    }

    /// Puts lines on disk, as many as make a request, and gives their number:
    /// none when there is no room.
    pub(super) fn put(&mut self, lines: &[Vec<u8>]) -> io::Result<usize> {
        let used = self.shelf.tally.spool_bytes.load(Ordering::Relaxed);
        let mut text = vec![b'['];
        let mut records = 0;
        for line in lines {
            let with = text.len() + line.len() + 2;
            if used + with as u64 > self.limit || (records > 0 && with > REQUEST) {
                break;
            }
            if records > 0 {
                text.extend(b",\n");
            }
            text.extend(line);
            records += 1;
        }
        if records == 0 {
            return Ok(0);
        }
        text.push(b']');
        let segment = Segment {
            number: self.next,
            records: records as u64,
            key: Uuid::new_v4().to_string(),
        };
        let path = self.shelf.path(&segment);
        let new = path.with_extension("new");
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&new)?;
        file.write_all(&text)?;
        file.sync_all()?;
        fs::rename(&new, &path)?;
        File::open(&self.shelf.directory)?.sync_all()?;
        self.next += 1;
        self.shelf
            .tally
            .spool_bytes
            .fetch_add(text.len() as u64, Ordering::Relaxed);
        Ok(records)
    }
}

/// The directory as its reader sees it.
#[derive(Debug, Clone)]
pub(super) struct Shelf {
    directory: PathBuf,
    tally: Arc<Tally>,
}

impl Shelf {
    /// What waits, oldest first.
    pub(super) fn segments(&self) -> io::Result<Vec<Segment>> {
        let mut found = Vec::new();
        for entry in fs::read_dir(&self.directory)? {
            found.extend(Segment::parse(&entry?.file_name().to_string_lossy()));
        }
        found.sort_unstable();
        Ok(found)
    }

    pub(super) fn read(&self, segment: &Segment) -> io::Result<Vec<u8>> {
        fs::read(self.path(segment))
    }

    /// Forgets a request that was taken.
    pub(super) fn remove(&self, segment: &Segment, bytes: u64) -> io::Result<()> {
        fs::remove_file(self.path(segment))?;
        self.tally.spool_bytes.fetch_sub(bytes, Ordering::Relaxed);
        Ok(())
    }

    /// Sets a request aside that the receiver will never take.
    pub(super) fn set_aside(&self, segment: &Segment, bytes: u64) -> io::Result<PathBuf> {
        let directory = self.directory.join("refused");
        make_private(&directory)?;
        let to = directory.join(segment.name());
        fs::rename(self.path(segment), &to)?;
        self.tally.spool_bytes.fetch_sub(bytes, Ordering::Relaxed);
        Ok(to)
    }

    fn path(&self, segment: &Segment) -> PathBuf {
        self.directory.join(segment.name())
    }
}

/// Makes a directory for us alone, unless it is there.
pub(super) fn make_private(directory: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.recursive(true).create(directory)
}
