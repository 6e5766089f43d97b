//! Reading streams, without any socket.

#![allow(clippy::unwrap_used, clippy::panic)]

mod framing;
mod packets;
