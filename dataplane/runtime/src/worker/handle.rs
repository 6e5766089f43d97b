//! The other threads' end of a worker.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crossbeam_channel::Receiver;
use forebay_ipc::stats::Stat;

use super::boot::BootReport;
use super::error::{MailboxFull, WorkerFailed};
use super::mailbox::Mailbox;
use super::{StatsPage, WorkerCommand, WorkerReport};
use crate::streams::Connection;

/// Attempts to hand a command to a worker whose mailbox is full, and the pause
/// between them.
const ATTEMPTS: (u32, Duration) = (50, Duration::from_millis(20));

/// A running worker. Dropping the handle does not stop it.
#[derive(Debug)]
pub struct WorkerHandle {
    pub(super) index: usize,
    pub(super) boot: BootReport,
    pub(super) stats: Arc<StatsPage>,
    pub(super) mailbox: Arc<Mailbox>,
    pub(super) reports: Receiver<WorkerReport>,
    pub(super) thread: std::thread::JoinHandle<Result<(), String>>,
}

/// Another thread's way into a worker's mailbox.
#[derive(Debug, Clone)]
pub struct Mailer {
    mailbox: Arc<Mailbox>,
    stats: Arc<StatsPage>,
}

impl Mailer {
    /// Puts a command into the mailbox and wakes the worker.
    pub fn send(&self, command: WorkerCommand) -> Result<(), MailboxFull> {
        let outcome = self.mailbox.put(command);
        if outcome.is_err() {
            self.stats[Stat::CommandsRefused as usize].fetch_add(1, Ordering::Relaxed);
        }
        outcome
    }

    /// Hands a connection to the worker and wakes it. A worker that has no
    /// room for another closes it and counts it.
    ///
    /// # Errors
    /// The connection itself, when the socket is dead already or too many wait
    /// for the worker.
    pub fn adopt(&self, connection: Connection) -> Result<(), Box<Connection>> {
        if let Err(errno) = connection.prepare() {
            tracing::debug!(client = %connection.client, %errno, "a connection is dead on arrival");
            return Err(Box::new(connection));
        }
        self.mailbox.adopt(connection)
    }

    /// Connections the worker has or is about to have.
    pub fn streams(&self) -> usize {
        self.mailbox.streams()
    }
}

impl WorkerHandle {
    /// Index of the worker.
    pub fn index(&self) -> usize {
        self.index
    }

    /// Puts a command into the mailbox and wakes the worker.
    pub fn send(&self, command: WorkerCommand) -> Result<(), MailboxFull> {
        self.mailer().send(command)
    }

    /// Puts a command into the mailbox, waiting for room: a worker reads its
    /// mail within a round, or it is beyond help.
    ///
    /// # Errors
    /// There was no room for a second.
    pub fn insist(&self, command: &WorkerCommand) -> Result<(), MailboxFull> {
        let (attempts, pause) = ATTEMPTS;
        for _ in 1..attempts {
            if self.send(command.clone()).is_ok() {
                return Ok(());
            }
            std::thread::sleep(pause);
        }
        self.send(command.clone())
    }

    /// A way into its mailbox for another thread.
    pub fn mailer(&self) -> Mailer {
        Mailer {
            mailbox: Arc::clone(&self.mailbox),
            stats: Arc::clone(&self.stats),
        }
    }

    /// The page the worker publishes its statistics on.
    pub fn stats(&self) -> &Arc<StatsPage> {
        &self.stats
    }

    /// Allocations made and ended. Bounded: what is not read in time is lost
    /// and counted in `ReportsLost`.
    pub fn reports(&self) -> &Receiver<WorkerReport> {
        &self.reports
    }

    /// What the worker found at start.
    pub fn boot(&self) -> &BootReport {
        &self.boot
    }

    /// Whether the thread has ended.
    pub fn is_finished(&self) -> bool {
        self.thread.is_finished()
    }

    /// Waits for the thread to end.
    pub fn join(self) -> Result<(), WorkerFailed> {
        let worker = self.index;
        match self.thread.join() {
            Ok(Ok(())) => Ok(()),
            Ok(Err(reason)) => Err(WorkerFailed { worker, reason }),
            Err(_) => Err(WorkerFailed {
                worker,
                reason: "its thread panicked".to_owned(),
            }),
        }
    }
}
