//! Why a worker does not start, ends, or takes no command.

use std::net::SocketAddr;

/// Why sockets or a worker could not be set up. The text says what to change.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// A listening socket could not be opened.
    #[error("cannot listen on {address}: {reason}")]
    Listen {
        /// The configured address.
        address: SocketAddr,
        /// What failed and what to change.
        reason: String,
    },
    /// The configuration contradicts itself.
    #[error("worker {worker}: {reason}")]
    Config {
        /// Index of the worker.
        worker: usize,
        /// What contradicts what.
        reason: String,
    },
    /// The worker's ring, memory or first relay sockets could not be set up.
    #[error("worker {worker} does not start: {reason}")]
    Worker {
        /// Index of the worker.
        worker: usize,
        /// What failed and what to change.
        reason: String,
    },
    /// The host lacks something every worker needs.
    #[error("{0}")]
    Host(String),
}

/// The mailbox of a worker holds as many commands as it can; try again when
/// it has read some.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the worker's mailbox is full")]
pub struct MailboxFull;

/// A worker left its loop although nobody told it to.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("worker {worker} failed: {reason}")]
pub struct WorkerFailed {
    /// Index of the worker.
    pub worker: usize,
    /// What happened.
    pub reason: String,
}
