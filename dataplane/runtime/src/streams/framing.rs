//! Where messages end in a stream (RFC 8656 §3.1, §12.5): STUN says its
//! length, ChannelData too, and is padded to four bytes.

use std::ops::Range;

use forebay_engine::RxSlot;
use forebay_wire::Protocol;
use forebay_wire::stun::MAGIC_COOKIE;

/// What a stream goes on with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// One message.
    Message {
        /// Its bytes, padding included.
        len: usize,
        /// It is STUN the server has to answer: neither ChannelData nor an
        /// indication.
        request: bool,
    },
    /// The beginning of a message, or nothing.
    Incomplete,
    /// Neither STUN nor ChannelData, or longer than any datagram: nobody
    /// knows where the next message would begin.
    Foreign,
}

/// How a ConnectionBind request begins.
const CONNECTION_BIND: [u8; 2] = [0x00, 0x0B];

/// Reads one connection.
#[derive(Debug, Clone, Copy, Default)]
pub struct Framer {
    /// A STUN message was seen. Before one there is no channel, so that other
    /// protocols whose first letters look like ChannelData are told at once.
    spoken: bool,
}

/// Which messages go into slots: all alike, but for their bytes.
#[derive(Debug, Clone, Copy)]
pub struct Room {
    /// Slots that may be added.
    pub slots: usize,
    /// Requests that may be among their messages.
    pub requests: usize,
}

/// What became of a piece of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Every whole message is in a slot; what is left begins another.
    Whole,
    /// There was no room for more.
    Full,
    /// The last message put into a slot is a ConnectionBind (RFC 6062): what
    /// follows may be the peer's, and waits until that is decided.
    Binds,
    /// What is left is no message.
    Foreign,
}

/// Whether a message is STUN the server has to answer.
#[inline]
pub(crate) fn is_request(message: &[u8]) -> bool {
    // The two bits of the class (RFC 8489 §5) say 01 in an indication.
    match message {
        [high, low, ..] => {
            Protocol::of(message) == Protocol::Stun && (high & 1, low & 0x10) != (0, 0x10)
        }
        _ => false,
    }
}

/// Bytes of the message that `bytes` begin with, padding included, when this
/// side wrote it: ChannelData may come first.
#[inline]
pub(crate) fn written_len(bytes: &[u8]) -> usize {
    match (Framer { spoken: true }).next(bytes) {
        Next::Message { len, .. } => len,
        Next::Incomplete | Next::Foreign => bytes.len(),
    }
}

impl Framer {
    /// The longest message, padding included: no datagram carries more.
    pub const MAX_MESSAGE: usize = u16::MAX as usize;

    /// What `bytes`, which begin where a message does, go on with.
    #[inline]
    pub fn next(&mut self, bytes: &[u8]) -> Next {
        let Some(head) = bytes.first_chunk::<4>() else {
            // The first byte tells foreign protocols from ours.
            return match Protocol::of(bytes) {
                Protocol::Stun => Next::Incomplete,
                Protocol::ChannelData if self.spoken => Next::Incomplete,
                Protocol::Unknown if bytes.is_empty() => Next::Incomplete,
                _ => Next::Foreign,
            };
        };
        let stated = usize::from(u16::from_be_bytes([head[2], head[3]]));
        let (len, request) = match Protocol::of(bytes) {
            Protocol::ChannelData if self.spoken => ((4 + stated).next_multiple_of(4), false),
            Protocol::Stun if stated.is_multiple_of(4) => {
                let Some(cookie) = bytes.get(4..8) else {
                    return Next::Incomplete;
                };
                if cookie != MAGIC_COOKIE.to_be_bytes() {
                    return Next::Foreign;
                }
                (20 + stated, is_request(bytes))
            }
            _ => return Next::Foreign,
        };
        if len > Self::MAX_MESSAGE {
            return Next::Foreign;
        }
        if bytes.len() < len {
            return Next::Incomplete;
        }
        self.spoken |= Protocol::of(bytes) == Protocol::Stun;
        Next::Message { len, request }
    }

    /// Puts the messages in `range` of `memory` into slots that are otherwise
    /// like `alike`, and takes them out of the range. Neighbours of one size
    /// share a slot.
    pub fn fill(
        &mut self,
        memory: &[u8],
        range: &mut Range<usize>,
        alike: &RxSlot,
        room: &mut Room,
        slots: &mut Vec<RxSlot>,
    ) -> Outcome {
        // Index of the slot that the next message may join.
        let mut open: Option<usize> = None;
        loop {
            let bytes = memory.get(range.clone()).unwrap_or_default();
            let (len, request) = match self.next(bytes) {
                Next::Message { len, request } => (len, request),
                Next::Incomplete => return Outcome::Whole,
                Next::Foreign => return Outcome::Foreign,
            };
            if request && room.requests == 0 {
                return Outcome::Full;
            }
            let segment = len as u16;
            match open.and_then(|index| slots.get_mut(index)) {
                Some(slot) if segment <= slot.segment => {
                    slot.len += u32::from(segment);
                    if segment < slot.segment {
                        open = None;
                    }
                }
                _ => {
                    if room.slots == 0 {
                        return Outcome::Full;
                    }
                    room.slots -= 1;
                    open = Some(slots.len());
                    slots.push(RxSlot {
                        start: range.start as u32,
                        len: len as u32,
                        segment,
                        ..*alike
                    });
                }
            }
            room.requests -= usize::from(request);
            range.start += len;
            if bytes.starts_with(&CONNECTION_BIND) {
                return Outcome::Binds;
            }
        }
    }
}
