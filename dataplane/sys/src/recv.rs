//! Multishot `recvmsg`: what the kernel writes into a provided buffer.
//!
//! ```text
//! io_uring_recvmsg_out (16) | address (32) | control messages (112) | payload
//! ```
//! The first three are dead once parsed, so the shard gets them as headroom.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::address;
use crate::control_message;

const OUT: usize = 16;
/// Room for the sender's address, rounded up so that what follows is aligned.
pub(crate) const NAME: usize = 32;
/// Room for the control messages of one receive: UDP_GRO, SO_RXQ_OVFL, the
/// traffic class and packet information, the IPv6 forms being the longer.
pub(crate) const CONTROL: usize = 3 * control_message::space(4) + control_message::space(20);
/// Bytes before the payload in every buffer.
pub const OFFSET: usize = OUT + NAME + CONTROL;

/// One received datagram, or several of one flow that the kernel merged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Received {
    /// The sender.
    pub source: SocketAddr,
    /// The destination address, on sockets with packet information.
    pub local: Option<IpAddr>,
    /// Payload bytes, from [`OFFSET`] on.
    pub len: u32,
    /// Size of each merged datagram; equal to `len` when nothing was merged.
    pub segment: u16,
    /// The traffic class: DSCP and ECN.
    pub class: u8,
    /// Datagrams this socket dropped on a full receive buffer since it was
    /// opened (wraps); the kernel tells only when there were any.
    pub dropped: Option<u32>,
    /// The datagram was longer than the buffer.
    pub truncated: bool,
}

/// Reads a buffer of which the kernel filled `filled` bytes.
#[inline]
pub fn parse(buffer: &[u8], filled: usize) -> Option<Received> {
    let head = buffer.first_chunk::<OFFSET>()?;
    let word = |at: usize| u32::from_ne_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
    let control = (word(4) as usize).min(CONTROL);
    let len = word(8).min(u32::try_from(filled.checked_sub(OFFSET)?).ok()?);
    let flags = word(12);

    let mut received = Received {
        source: address::decode(&head[OUT..OUT + NAME])?,
        local: None,
        len,
        segment: u16::try_from(len).unwrap_or(u16::MAX),
        class: 0,
        dropped: None,
        truncated: flags & libc::MSG_TRUNC as u32 != 0,
    };
    for (level, kind, data) in control_message::iterate(&head[OUT + NAME..OUT + NAME + control]) {
        match (level, kind) {
            (libc::SOL_UDP, libc::UDP_GRO) => {
                if let Some(size) = int(data).and_then(|size| u16::try_from(size).ok())
                    && size > 0
                {
                    received.segment = size.min(received.segment);
                }
            }
            (libc::IPPROTO_IP, libc::IP_TOS) | (libc::IPPROTO_IPV6, libc::IPV6_TCLASS) => {
                received.class = data.first().copied().unwrap_or(0);
            }
            (libc::SOL_SOCKET, libc::SO_RXQ_OVFL) => {
                received.dropped = int(data).map(|count| count as u32);
            }
            (libc::IPPROTO_IP, libc::IP_PKTINFO) => {
                // in_pktinfo: interface index, local address, header destination.
                received.local = data
                    .get(8..12)
                    .and_then(|ip| <[u8; 4]>::try_from(ip).ok())
                    .map(|ip| Ipv4Addr::from(ip).into());
            }
            (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) => {
                received.local = data
                    .first_chunk::<16>()
                    .map(|ip| Ipv6Addr::from(*ip).to_canonical());
            }
            _ => {}
        }
    }
    Some(received)
}

#[inline]
fn int(data: &[u8]) -> Option<i32> {
    data.first_chunk::<4>()
        .map(|bytes| i32::from_ne_bytes(*bytes))
}
