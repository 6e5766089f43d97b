//! Where datagrams leave.

use core::net::{IpAddr, SocketAddr};

use crate::ids::SocketId;

/// A way to a peer: our socket and address, and theirs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Path {
    /// The socket packets come to and leave from.
    pub socket: SocketId,
    /// Our address.
    pub local: IpAddr,
    /// Theirs.
    pub remote: SocketAddr,
}

/// The transmit batch as a forwarder sees it. Datagrams of one flow that are
/// committed one after the other, equal in size, leave in one GSO send; order
/// within a flow is kept.
pub trait Output {
    /// Room for one datagram of up to `len` bytes, at most 1,500. `None` when
    /// the batch is full: submit it, then go on.
    fn reserve(&mut self, len: usize) -> Option<&mut [u8]>;

    /// Sends the first `len` bytes of what was reserved last. `flow` is a
    /// dense index below [`Capacity::sessions`](crate::Capacity).
    fn commit(&mut self, flow: u32, path: &Path, len: usize);
}
