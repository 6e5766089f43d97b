//! Busy polling of the NIC's queue from within a receive (SO_BUSY_POLL).

use std::os::fd::BorrowedFd;

use crate::sockets::get;

/// Microseconds the socket polls, as the kernel granted them.
pub fn granted(socket: BorrowedFd<'_>) -> u32 {
    get(socket, libc::SOL_SOCKET, libc::SO_BUSY_POLL)
        .ok()
        .and_then(|value| u32::try_from(value).ok())
        .unwrap_or(0)
}
