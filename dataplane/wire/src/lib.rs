//! Views and builders over bytes on the wire: STUN (RFC 8489), TURN ChannelData
//! (RFC 8656 §12.4), RTP and RTCP (RFC 3550), and the first-byte demultiplexing
//! of RFC 7983.
//!
//! Nothing here allocates, reads a clock or touches a socket. A view checks its
//! bytes once when it is made; its getters cannot fail afterwards and return
//! slices that are already trimmed to the length the packet states.
#![no_std]

mod channel_data;
pub mod clock;
mod demux;
mod error;
pub mod rtcp;
pub mod rtp;
pub mod stun;

pub use channel_data::ChannelData;
pub use demux::Protocol;
pub use error::{NoRoom, ParseError};
