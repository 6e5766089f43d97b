//! Commands and connections on their way to a worker.

use std::sync::atomic::{AtomicUsize, Ordering};

use crossbeam_queue::ArrayQueue;
use forebay_sys::wake::Waker;

use super::WorkerCommand;
use super::error::MailboxFull;
use crate::streams::Connection;

/// Commands that may wait: a room of a hundred people that is set up again at
/// once, and the DTLS datagrams of as many handshakes.
const ROOM: usize = 2048;

/// Connections that may wait: what comes in while a worker is busy for a few
/// milliseconds, at ten thousand a second.
const CONNECTIONS: usize = 128;

/// Bounded, and wakes the worker.
#[derive(Debug)]
pub(super) struct Mailbox {
    queue: ArrayQueue<WorkerCommand>,
    connections: ArrayQueue<Connection>,
    /// Connections that wait or are the worker's.
    streams: AtomicUsize,
    waker: Waker,
}

impl Mailbox {
    pub(super) fn new(waker: Waker) -> Self {
        Self {
            queue: ArrayQueue::new(ROOM),
            connections: ArrayQueue::new(CONNECTIONS),
            streams: AtomicUsize::new(0),
            waker,
        }
    }

    pub(super) fn put(&self, command: WorkerCommand) -> Result<(), MailboxFull> {
        self.queue.push(command).map_err(|_| MailboxFull)?;
        self.waker.wake();
        Ok(())
    }

    pub(super) fn take(&self) -> Option<WorkerCommand> {
        self.queue.pop()
    }

    /// Gives the connection back when too many wait.
    pub(super) fn adopt(&self, connection: Connection) -> Result<(), Box<Connection>> {
        self.streams.fetch_add(1, Ordering::Relaxed);
        if let Err(connection) = self.connections.push(connection) {
            self.connection_closed();
            return Err(Box::new(connection));
        }
        self.waker.wake();
        Ok(())
    }

    pub(super) fn take_connection(&self) -> Option<Connection> {
        self.connections.pop()
    }

    /// A connection that was put here is no more.
    pub(super) fn connection_closed(&self) {
        self.streams.fetch_sub(1, Ordering::Relaxed);
    }

    pub(super) fn streams(&self) -> usize {
        self.streams.load(Ordering::Relaxed)
    }
}
