//! RTCP (RFC 3550 §6) with the feedback of RFC 4585 and RFC 5104, extended
//! reports (RFC 3611), REMB (draft-alvestrand-rmcat-remb-03) and transport-wide
//! feedback (draft-holmer-rmcat-transport-wide-cc-extensions-01).

mod compound;
mod extended;
mod feedback;
mod report;
mod source;
mod transport_cc;
mod writer;

pub use compound::{Compound, Packet};
pub use extended::{Block, Dlrr, ExtendedReport};
pub use feedback::{FullIntraRequest, Nack, PictureLoss, Remb};
pub use report::{NtpTime, ReceiverReport, ReportBlock, SenderReport};
pub use source::{Chunk, Goodbye, SourceDescription};
pub use transport_cc::{Arrival, Received, Statuses, TransportCc};
pub use writer::Writer;

/// Packet types (RFC 3550 §12.1, RFC 4585 §6.1, RFC 3611 §2).
mod kind {
    pub(super) const SENDER_REPORT: u8 = 200;
    pub(super) const RECEIVER_REPORT: u8 = 201;
    pub(super) const SOURCE_DESCRIPTION: u8 = 202;
    pub(super) const GOODBYE: u8 = 203;
    pub(super) const TRANSPORT_FEEDBACK: u8 = 205;
    pub(super) const PAYLOAD_FEEDBACK: u8 = 206;
    pub(super) const EXTENDED_REPORT: u8 = 207;
}

/// Feedback message types, which stand in place of the count.
mod format {
    pub(super) const NACK: u8 = 1;
    pub(super) const TRANSPORT_CC: u8 = 15;
    pub(super) const PICTURE_LOSS: u8 = 1;
    pub(super) const FULL_INTRA: u8 = 4;
    pub(super) const APPLICATION: u8 = 15;
}

/// Bytes of the header of every packet.
const HEADER: usize = 4;

/// The first four bytes as a number, and what follows.
fn split_u32(bytes: &[u8]) -> Option<(u32, &[u8])> {
    let (head, rest) = bytes.split_first_chunk::<4>()?;
    Some((u32::from_be_bytes(*head), rest))
}

/// The `index`-th group of four bytes as a number.
const fn word<const N: usize>(bytes: &[u8; N], index: usize) -> u32 {
    let at = index * 4;
    u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}
