//! RTP (RFC 3550 §5), its header extensions (RFC 8285) and retransmissions
//! (RFC 4588).

mod extension;
mod header_writer;
mod packet;
pub mod rtx;

pub use extension::{AbsSendTime, AudioLevel, Extension, Extensions, Form, VideoOrientation};
pub use header_writer::HeaderWriter;
pub use packet::Packet;
