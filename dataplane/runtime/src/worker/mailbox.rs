//! Commands on their way to a worker.

use crossbeam_queue::ArrayQueue;
use forebay_sys::wake::Waker;

use super::WorkerCommand;
use super::error::MailboxFull;

/// Commands that may wait: a room of a hundred people that is set up again at
/// once, and the DTLS datagrams of as many handshakes.
const ROOM: usize = 2048;

/// Bounded, and wakes the worker.
#[derive(Debug)]
pub(super) struct Mailbox {
    queue: ArrayQueue<WorkerCommand>,
    waker: Waker,
}

impl Mailbox {
    pub(super) fn new(waker: Waker) -> Self {
        Self {
            queue: ArrayQueue::new(ROOM),
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
}
