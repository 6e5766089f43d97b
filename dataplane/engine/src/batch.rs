//! The whole IO contract between a worker and its shard.
//!
//! Bytes stay where the kernel put them: a transmit is a list of [`Piece`]s,
//! ranges into the receive memory or into the batch's own header arena, and
//! the worker turns each transmit into one `sendmsg` (one GSO send when it has
//! a segment size).

use core::net::{IpAddr, SocketAddr};

use forebay_turn::SocketId;

use crate::written::Written;

/// The traffic class of an IP header: the differentiated services code point
/// above (RFC 2474), the ECN field in the lowest two bits (RFC 3168 §5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TrafficClass(pub u8);

/// One received datagram, or several of one flow that the kernel merged (GRO).
/// From a connection: one message, padding included, or several of one size
/// that follow each other, the last of which may be shorter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RxSlot {
    /// The socket it came to.
    pub socket: SocketId,
    /// The sender; IPv4-mapped addresses are already plain IPv4.
    pub source: SocketAddr,
    /// The local address it was sent to, where the socket reports it; the
    /// address the socket is bound to otherwise.
    pub local: IpAddr,
    /// First byte within [`RxBatch::memory`].
    pub start: u32,
    /// Bytes.
    pub len: u32,
    /// Size of each merged datagram, the last may be shorter; equal to `len`
    /// when nothing was merged. Zero only for an empty datagram.
    pub segment: u16,
    /// Writable scratch bytes directly before `start` (at least
    /// [`RxBatch::HEADROOM`]; none for what came over a connection).
    pub headroom: u16,
    /// The traffic class, of which the worker leaves what is to be carried on.
    pub class: TrafficClass,
}

/// What arrived since the last batch.
#[derive(Debug)]
pub struct RxBatch<'a> {
    /// All receive buffers as one slice; slots lie anywhere in it and never
    /// overlap, headroom included.
    pub memory: &'a mut [u8],
    /// In order of arrival per socket.
    pub slots: &'a [RxSlot],
}

impl RxBatch<'_> {
    /// Headroom every slot of a datagram socket has: enough for a Data indication's header with an
    /// IPv6 XOR-PEER-ADDRESS (20 + 24 + 4 bytes).
    pub const HEADROOM: usize = 48;
    /// The most slots in one batch.
    pub const MAX_SLOTS: usize = 256;
}

/// Which memory a piece lies in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arena {
    /// [`RxBatch::memory`].
    Received,
    /// [`TxBatch::headers`].
    Headers,
}

/// A range of bytes to send, and the next piece of the same transmit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Piece {
    /// Which memory.
    pub arena: Arena,
    /// First byte.
    pub start: u32,
    /// Bytes.
    pub len: u32,
    /// Index of the next piece in [`TxBatch::pieces`], or [`Piece::END`].
    pub next: u32,
}

impl Piece {
    /// No further piece.
    pub const END: u32 = u32::MAX;
}

/// One `sendmsg`, or, to a connection, bytes that follow what was sent before.
/// Has at least one piece; an empty datagram is one empty piece.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Transmit {
    /// The socket to send from.
    pub socket: SocketId,
    /// Where to.
    pub destination: SocketAddr,
    /// The source address, for sockets bound to a wildcard.
    pub source: Option<IpAddr>,
    /// With more than one datagram: the size of each, the last may be shorter,
    /// and the whole is one GSO send. `None`: a single datagram.
    pub segment: Option<u16>,
    /// The traffic class to send with. The hop limit is the kernel's: RFC 8656
    /// §13 allows it where the one that came is not at hand, and nothing
    /// circulates, for what a relay socket gets goes to a client alone.
    pub class: TrafficClass,
    /// Whether to send with DF, and never as fragments where there is no such
    /// bit (IPv6). A single datagram.
    pub dont_fragment: bool,
    /// Index of the first piece.
    pub first: u32,
    /// Number of pieces.
    pub pieces: u32,
    /// Bytes over all pieces.
    pub len: u32,
    /// Datagrams (segments) in it.
    pub datagrams: u16,
}

/// What to send, in order. Owned by the worker and reused; everything in it
/// keeps the capacity it was made with and is never grown.
#[derive(Debug, Default)]
pub struct TxBatch {
    /// In the order to send.
    pub transmits: Vec<Transmit>,
    /// Linked into lists by [`Piece::next`].
    pub pieces: Vec<Piece>,
    /// Headers, answers and forwarded media: what the shard wrote itself.
    pub headers: Written,
}

impl TxBatch {
    /// Datagrams in one GSO send (the kernel's UDP_MAX_SEGMENTS before 6.9).
    pub const MAX_SEGMENTS: u16 = 64;
    /// Bytes in one GSO send, below the 16-bit UDP length.
    pub const MAX_BYTES: u32 = 65_000;

    /// Room for the given numbers of transmits, pieces and header bytes.
    pub fn with_capacity(transmits: usize, pieces: usize, headers: usize) -> Self {
        Self {
            transmits: Vec::with_capacity(transmits),
            pieces: Vec::with_capacity(pieces),
            headers: Written::with_capacity(headers),
        }
    }

    /// Whether there is nothing to send.
    pub fn is_empty(&self) -> bool {
        self.transmits.is_empty()
    }

    /// Empties the batch, keeping its memory.
    pub fn clear(&mut self) {
        self.transmits.clear();
        self.pieces.clear();
        self.headers.clear();
    }

    /// The pieces of one of this batch's transmits, in order.
    pub fn pieces_of(&self, transmit: &Transmit) -> impl Iterator<Item = Piece> + '_ {
        core::iter::successors(self.pieces.get(transmit.first as usize), |piece| {
            self.pieces.get(piece.next as usize)
        })
        .copied()
        .take(transmit.pieces as usize)
    }

    /// Verifies what a worker relies on; for tests and simulators, never
    /// called in production. `received` is the length of [`RxBatch::memory`].
    ///
    /// # Errors
    /// Which promise does not hold.
    pub fn check(&self, received: usize) -> Result<(), &'static str> {
        let mut pieces = 0;
        for transmit in &self.transmits {
            let mut len = 0;
            let mut last = None;
            let mut count = 0;
            for piece in self.pieces_of(transmit) {
                let arena = match piece.arena {
                    Arena::Received => received,
                    Arena::Headers => self.headers.len(),
                };
                if piece.start as usize + piece.len as usize > arena {
                    return Err("a piece lies outside its arena");
                }
                len += piece.len;
                last = Some(piece.next);
                count += 1;
            }
            if count != transmit.pieces || last != Some(Piece::END) {
                return Err("a transmit's pieces are not one list of the stated length");
            }
            pieces += count as usize;
            if len != transmit.len {
                return Err("a transmit's length is not that of its pieces");
            }
            match transmit.segment {
                None if transmit.datagrams == 1 => {}
                Some(_) if transmit.dont_fragment => {
                    return Err("a datagram with DF does not leave alone");
                }
                Some(segment)
                    if (2..=Self::MAX_SEGMENTS).contains(&transmit.datagrams)
                        && len <= Self::MAX_BYTES
                        && segment > 0
                        && len.div_ceil(segment.into()) == transmit.datagrams.into() => {}
                _ => return Err("a transmit's segments and datagrams disagree"),
            }
        }
        if pieces != self.pieces.len() {
            return Err("a piece belongs to no transmit or to several");
        }
        Ok(())
    }
}
