//! Connections of clients: TCP, TLS, and DTLS decrypted elsewhere. Helper
//! threads accept and shake hands; the worker that adopts a [`Connection`]
//! reads messages from it and treats it as one more five-tuple.

mod connection;
pub mod framing;
mod live;
pub mod packets;

use std::time::Duration;

pub(crate) use connection::prepare_peer;
pub use connection::{ClientTransport, Connection, Speaks};
pub(crate) use live::{End, LARGE, Live, Splice};

/// What a connection may hold, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamLimits {
    /// What may wait for a client to take it, bytes. What is relayed to it
    /// beyond that is dropped.
    pub output: usize,
    /// How long a connection without an allocation may be silent.
    pub idle: Duration,
    /// How long a client may take nothing of what waits for it.
    pub stalled: Duration,
}

impl Default for StreamLimits {
    fn default() -> Self {
        Self {
            output: 256 << 10,
            idle: Duration::from_secs(60),
            stalled: Duration::from_secs(30),
        }
    }
}
