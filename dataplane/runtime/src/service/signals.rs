//! Signals as something to poll.

use std::os::fd::{AsFd, BorrowedFd};

use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};

use super::ServiceError;

/// What a signal means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Told {
    /// SIGHUP: read the configuration again.
    Reload,
    /// SIGTERM: let the old finish. Repeated: stop.
    Drain,
    /// SIGINT, Ctrl-C at a terminal: stop at once.
    Stop,
}

/// The signals this process handles, blocked and read from a descriptor.
pub(super) struct Signals(SignalFd);

impl Signals {
    pub(super) fn block() -> Result<Self, ServiceError> {
        let mut set = SigSet::empty();
        for signal in [Signal::SIGHUP, Signal::SIGTERM, Signal::SIGINT] {
            set.add(signal);
        }
        let failed = |error| ServiceError::System(format!("signals cannot be taken over: {error}"));
        set.thread_block().map_err(failed)?;
        SignalFd::with_flags(&set, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)
            .map(Self)
            .map_err(failed)
    }

    pub(super) fn next(&mut self) -> Option<Told> {
        let info = self.0.read_signal().ok()??;
        match Signal::try_from(i32::try_from(info.ssi_signo).ok()?).ok()? {
            Signal::SIGHUP => Some(Told::Reload),
            Signal::SIGTERM => Some(Told::Drain),
            Signal::SIGINT => Some(Told::Stop),
            _ => None,
        }
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
