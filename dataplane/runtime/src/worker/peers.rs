//! What is known of connections with peers (RFC 6062) and waits for the shard to
//! be told.

use std::collections::VecDeque;
use std::os::fd::OwnedFd;

use forebay_turn::{PeerConnection, SocketId};

/// See the module documentation.
#[derive(Debug, Default)]
pub(super) struct Peers {
    /// Connects that have ended, and whether they succeeded.
    pub(super) outcomes: VecDeque<(PeerConnection, bool)>,
    /// Peers that have connected, and to which relay.
    pub(super) arrivals: VecDeque<(SocketId, OwnedFd)>,
}
