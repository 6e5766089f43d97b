//! Connections: receiving into provided buffers, sending from memory the ring
//! owns.
//!
//! ```text
//! what came before (HEAD) | what the kernel filled (DATA)
//! ```
//! A message that began in an earlier buffer is completed by copying its first
//! part before the rest, so that every message lies in one piece in
//! [`Ring::memory`](crate::ring::Ring::memory). What TLS decrypts goes there
//! too.

use core::time::Duration;
use std::os::fd::{AsRawFd, BorrowedFd};

use crate::Errno;
use crate::sockets::set;

/// Lets a request wait in the ring for the socket to be ready, which one on a
/// non-blocking socket need not.
pub fn set_blocking(socket: BorrowedFd<'_>) -> Result<(), Errno> {
    // SAFETY: the descriptor is open while borrowed, and F_GETFL takes no
    // further argument; nix asks for features this crate needs nothing else of.
    let flags = Errno::result(unsafe { libc::fcntl(socket.as_raw_fd(), libc::F_GETFL) })?;
    // SAFETY: as above, with an int.
    let outcome =
        unsafe { libc::fcntl(socket.as_raw_fd(), libc::F_SETFL, flags & !libc::O_NONBLOCK) };
    Errno::result(outcome).map(drop)
}

/// Prepares a TCP socket for media: small segments leave at once, at most
/// `unsent` bytes wait in the kernel, and a connection whose other end
/// acknowledges nothing for `unacknowledged` ends.
pub fn tune(socket: BorrowedFd<'_>, unsent: u32, unacknowledged: Duration) -> Result<(), Errno> {
    let int = |value: u128| i32::try_from(value).unwrap_or(i32::MAX);
    for (option, value) in [
        (libc::TCP_NODELAY, 1),
        (libc::TCP_NOTSENT_LOWAT, int(unsent.into())),
        (libc::TCP_USER_TIMEOUT, int(unacknowledged.as_millis())),
    ] {
        set(socket, libc::IPPROTO_TCP, option, value)?;
    }
    Ok(())
}
