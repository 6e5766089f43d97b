//! The thread that writes records down.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError};
use forebay_ipc::Session;
use tracing::{error, info, warn};

use super::Tally;
use super::file::UsageFile;
use super::journal::{Journal, Left};
use super::record::{Reason, Record};
use super::spool::Spool;
use super::webhook::Orders;
use crate::node::Ended;

/// How long records are gathered before they are brought to the disk together.
const GATHER: Duration = Duration::from_millis(500);

/// Records that make a request of their own at once.
const REQUEST: usize = 500;

/// Records that may wait while the spool cannot be written.
const UNSPOOLED: usize = 65_536;

/// What the control thread tells.
#[derive(Debug)]
pub(super) enum Note {
    Begun(Session),
    Measured(Session, u64),
    Ended(Ended),
    /// The file may have been moved away.
    Reopen,
}

pub(super) struct Writer {
    pub(super) notes: Receiver<Box<Note>>,
    pub(super) host: String,
    pub(super) file: Option<UsageFile>,
    pub(super) spool: Option<(Spool, Arc<Orders>)>,
    pub(super) journal: Journal,
    pub(super) tally: Arc<Tally>,
    pub(super) state: State,
}

/// What waits to be written.
#[derive(Default)]
pub(super) struct State {
    /// Live allocations as the journal knows them.
    alive: HashMap<String, Record>,
    /// Those among them that the journal is still to be told of.
    changed: Vec<String>,
    /// Ended ones whose records are not on disk yet.
    ended: Vec<String>,
    unspooled: Vec<Vec<u8>>,
    /// When what waits is due.
    due: Option<Instant>,
    failing: bool,
}

impl Writer {
    /// Writes what a former process left behind, then all that comes, until
    /// nobody is left to tell more.
    pub(super) fn run(mut self, left: Left) {
        if !left.records.is_empty() {
            info!(
                "usage records: {} allocations were cut off when the server last ended",
                left.records.len()
            );
        }
        for record in left.records {
            let record = record.crashed(left.at);
            self.write(&record);
            // Stays in the journal until its record is on disk.
            self.state.alive.insert(record.uuid.clone(), record.clone());
            self.state.ended.push(record.uuid);
        }
        self.flush();
        if !self.state.failing
            && let Err(error) = self.journal.rewrite(self.state.alive.values())
        {
            warn!("usage records: the list of live allocations cannot be written: {error}");
        }
        loop {
            let wait = self.state.due.map_or(Duration::from_secs(3600), |due| {
                due.saturating_duration_since(Instant::now())
            });
            match self.notes.recv_timeout(wait) {
                Ok(note) => self.take(*note),
                Err(RecvTimeoutError::Timeout) => self.flush(),
                Err(RecvTimeoutError::Disconnected) => break,
            }
            if self.state.unspooled.len() >= REQUEST
                || self.state.due.is_some_and(|due| due <= Instant::now())
            {
                self.flush();
            }
        }
        self.flush();
        if self.state.failing {
            error!(
                "usage records: the end of {} allocations could not be written; the next start reports them as crashed",
                self.state.ended.len()
            );
        }
    }

    fn take(&mut self, note: Note) {
        match note {
            Note::Begun(session) => {
                let record = Record::of(&session, &self.host, session.created_at);
                self.state.changed.push(record.uuid.clone());
                self.state.alive.insert(record.uuid.clone(), record);
            }
            Note::Measured(session, at) => {
                let mut record = Record::of(&session, &self.host, at);
                let before = self.state.alive.get(&record.uuid);
                record.number = before.map_or(0, |before| before.number) + 1;
                self.write(&record);
                self.state.changed.push(record.uuid.clone());
                self.state.alive.insert(record.uuid.clone(), record);
            }
            Note::Ended(ended) => {
                let mut record = Record::of(&ended.session, &self.host, ended.at)
                    .ended(Reason::from(ended.reason));
                let before = self.state.alive.get(&record.uuid);
                record.number = before.map_or(0, |before| before.number) + 1;
                self.write(&record);
                self.state.ended.push(record.uuid);
            }
            Note::Reopen => {
                self.flush();
                self.reopen();
            }
        }
        self.state.due.get_or_insert(Instant::now() + GATHER);
    }

    fn write(&mut self, record: &Record) {
        let line = record.line();
        if let Some(file) = &mut self.file
            && !file.push(&line)
        {
            self.tally.lost.fetch_add(1, Ordering::Relaxed);
        }
        if self.spool.is_some() {
            if self.state.unspooled.len() < UNSPOOLED {
                self.state.unspooled.push(line);
            } else {
                self.tally.lost.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    fn reopen(&mut self) {
        if let Some(file) = &mut self.file
            && let Err(error) = file.reopen()
        {
            error!(
                "usage records: {} cannot be opened again, the old file goes on: {error}",
                file.path().display()
            );
        }
    }

    /// Brings everything to the disk: first the records, then the journal's
    /// word that they are there.
    fn flush(&mut self) {
        let safe = self.flush_file() & self.flush_spool();
        if self.state.failing && safe {
            info!("usage records: written again");
        }
        self.state.failing = !safe;
        self.state.due = (!safe).then(|| Instant::now() + 2 * GATHER);
        if let Err(error) = self.flush_journal(safe) {
            warn!("usage records: the list of live allocations cannot be written: {error}");
        }
    }

    fn flush_file(&mut self) -> bool {
        let Some(file) = &mut self.file else {
            return true;
        };
        match file.flush() {
            Ok(records) => {
                self.tally.written.fetch_add(records, Ordering::Relaxed);
                true
            }
            Err(error) => {
                error!("usage records: {}: {error}", file.path().display());
                false
            }
        }
    }

    fn flush_spool(&mut self) -> bool {
        let Some((spool, orders)) = &mut self.spool else {
            return true;
        };
        while !self.state.unspooled.is_empty() {
            match spool.put(&self.state.unspooled) {
                Ok(0) => {
                    let lost = self.state.unspooled.len();
                    error!(
                        "usage records: {lost} lost to the webhook, `usage.spool` is full; is the webhook down?"
                    );
                    self.tally.lost.fetch_add(lost as u64, Ordering::Relaxed);
                    self.state.unspooled.clear();
                }
                Ok(records) => {
                    self.state.unspooled.drain(..records);
                    orders.ring();
                }
                Err(error) => {
                    error!("usage records: the spool cannot be written: {error}");
                    return false;
                }
            }
        }
        true
    }

    fn flush_journal(&mut self, safe: bool) -> std::io::Result<()> {
        let state = &mut self.state;
        let ended = if safe {
            std::mem::take(&mut state.ended)
        } else {
            Vec::new()
        };
        let changed = std::mem::take(&mut state.changed);
        let alive = changed.iter().filter_map(|uuid| state.alive.get(uuid));
        self.journal.note(alive, ended.iter())?;
        for uuid in &ended {
            state.alive.remove(uuid);
        }
        if self.journal.is_stale(state.alive.len()) {
            self.journal.rewrite(state.alive.values())?;
        }
        Ok(())
    }
}
