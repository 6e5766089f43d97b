//! UDP segmentation (GSO) and merging (GRO), Linux 4.18 and 5.0.

use std::os::fd::BorrowedFd;

use crate::sockets::{get, set};

/// Whether one send can carry several datagrams (UDP_SEGMENT).
pub fn gso(socket: BorrowedFd<'_>) -> bool {
    get(socket, libc::SOL_UDP, libc::UDP_SEGMENT).is_ok()
}

/// Whether the kernel merges datagrams of one flow on receive (UDP_GRO).
pub fn gro(socket: BorrowedFd<'_>) -> bool {
    set(socket, libc::SOL_UDP, libc::UDP_GRO, 1).is_ok()
}
