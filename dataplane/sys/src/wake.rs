//! Waking a worker that waits in its ring: an eventfd the ring reads from.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use nix::sys::eventfd::{EfdFlags, EventFd};

use crate::Errno;

/// The other threads' end.
#[derive(Debug, Clone)]
pub struct Waker(Arc<EventFd>);

impl Waker {
    /// Makes the waker and the descriptor a ring reads from.
    pub fn new() -> Result<(Self, OwnedFd), Errno> {
        // Blocking on purpose: the ring polls before it reads, and a
        // non-blocking eventfd would complete the read at once with EAGAIN.
        let event = EventFd::from_value_and_flags(0, EfdFlags::EFD_CLOEXEC)?;
        let reader = event
            .as_fd()
            .try_clone_to_owned()
            .map_err(|_| Errno::EMFILE)?;
        Ok((Self(Arc::new(event)), reader))
    }

    /// Makes the ring's read complete. Waking twice before it does is once.
    pub fn wake(&self) {
        // The only failure would be a full 64-bit counter, and then the
        // worker is about to wake anyway.
        let _ = self.0.write(1);
    }
}
