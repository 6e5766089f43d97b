//! Connections: receiving into provided buffers, sending from memory the ring
//! owns.
//!
//! ```text
//! what came before (HEAD) | what the kernel filled (DATA)
//! ```
//! A message that began in an earlier buffer is completed by copying its first
//! part before the rest, so that every message lies in one piece in
//! [`Ring::memory`](crate::ring::Ring::memory). What TLS decrypts goes there
//! too.

use core::ops::Range;
use core::time::Duration;
use std::os::fd::{AsRawFd, BorrowedFd};

use io_uring::opcode;
use io_uring::squeue::Flags;
use io_uring::types::Fixed;

use crate::Errno;
use crate::buffers::{Group, STRIDE};
use crate::ring::{Ring, RingFailed, callers};
use crate::sockets::set;

/// Bytes of one buffer.
pub const SIZE: usize = 2 * STRIDE;
/// Bytes the kernel fills of it at most.
pub const DATA: usize = 44 << 10;
/// Bytes before those.
pub const HEAD: usize = SIZE - DATA;

/// Buffers that the kernel is never given, for what does not come from it.
pub(crate) const SCRATCH: u16 = 8;

/// A buffer for connections, as a range of the ring's memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Area {
    /// All of it.
    pub whole: Range<usize>,
    /// What the kernel fills.
    pub data: Range<usize>,
}

/// One connection's outstanding send.
#[derive(Debug, Default)]
pub(crate) struct Lane {
    /// While sending, the kernel reads from it.
    pub(crate) bytes: Vec<u8>,
    pub(crate) tag: u64,
    pub(crate) progress: Progress,
}

/// Where a send stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Progress {
    /// Nothing is sent.
    #[default]
    Idle,
    /// The kernel has the bytes.
    Sending,
    /// It has completed; the bytes wait to be taken back.
    Done,
}

/// What the ring waits for itself when a connection sends, or connects; the
/// lane lies in the lower half.
pub(crate) const SENDING: u64 = 0b10 << 62;

/// Takes note of a completed send, whose caller's tag is returned.
#[inline]
pub(crate) fn completed(lanes: &mut [Lane], tag: u64) -> Option<u64> {
    if tag >> 62 != SENDING >> 62 {
        return None;
    }
    let lane = lanes.get_mut(tag as u32 as usize)?;
    lane.progress = Progress::Done;
    Some(lane.tag)
}

impl Ring {
    /// Starts receiving from the connection in a slot until cancelled, closed
    /// by the other end (a completion of zero bytes) or out of buffers; what
    /// arrives completes under `tag` in buffers of [`Group::Streams`], see
    /// [`Ring::stream_area`].
    pub fn receive_stream(&mut self, slot: u32, tag: u64) -> Result<(), RingFailed> {
        let entry = opcode::RecvMulti::new(Fixed(slot), Group::Streams as u16)
            .build()
            .user_data(callers(tag));
        // SAFETY: the entry carries no pointer; buffers come from the
        // registered group.
        unsafe { self.push(entry) }
    }

    /// Sends the bytes from `from` on over the connection in a slot. Waits for
    /// room in the socket, completes under `tag` when some were sent, and
    /// gives the bytes back with [`Ring::sent`]. A lane has one send at a
    /// time: with one under way, or out of range, the bytes are dropped and
    /// the ring counts as stuck.
    pub fn send_stream(
        &mut self,
        lane: u32,
        slot: u32,
        bytes: Vec<u8>,
        from: usize,
        tag: u64,
    ) -> Result<(), RingFailed> {
        let place = self.lanes.get_mut(lane as usize).ok_or(RingFailed::Stuck)?;
        if place.progress != Progress::Idle {
            return Err(RingFailed::Stuck);
        }
        place.bytes = bytes;
        place.tag = callers(tag);
        let rest = place.bytes.get(from..).unwrap_or_default();
        let len = u32::try_from(rest.len()).unwrap_or(u32::MAX);
        let entry = opcode::Send::new(Fixed(slot), rest.as_ptr(), len)
            .flags(libc::MSG_NOSIGNAL)
            .build()
            .user_data(SENDING | u64::from(lane));
        place.progress = Progress::Sending;
        // SAFETY: the lane owns the bytes and neither changes nor lets go of
        // them before the completion; when the ring goes before that, the
        // kernel cancels the request and does not carry it out.
        unsafe { self.push(entry) }
    }

    /// Takes back the bytes of a send that has completed.
    pub fn sent(&mut self, lane: u32) -> Option<Vec<u8>> {
        let place = self.lanes.get_mut(lane as usize)?;
        if place.progress != Progress::Done {
            return None;
        }
        place.progress = Progress::Idle;
        Some(core::mem::take(&mut place.bytes))
    }

    /// Ends the send of a lane; it completes with ECANCELED, or with what it
    /// has sent before.
    pub fn cancel_stream_send(&mut self, lane: u32) -> Result<(), RingFailed> {
        let entry = opcode::AsyncCancel::new(SENDING | u64::from(lane))
            .build()
            .flags(Flags::SKIP_SUCCESS)
            .user_data(u64::MAX);
        // SAFETY: the entry carries no pointer.
        unsafe { self.push(entry) }
    }

    /// Where the buffer of a completion of [`Ring::receive_stream`], or one of
    /// [`Ring::take_scratch`], lies within [`Ring::memory`].
    pub fn stream_area(&self, buffer: u16) -> Option<Area> {
        self.buffers.area(buffer)
    }

    /// A buffer for connections that nothing was received into. There are a
    /// few; it is given back like the others.
    pub fn take_scratch(&mut self) -> Option<u16> {
        self.buffers.take_scratch()
    }
}

/// Lets a request wait in the ring for the socket to be ready, which one on a
/// non-blocking socket need not.
pub fn set_blocking(socket: BorrowedFd<'_>) -> Result<(), Errno> {
    // SAFETY: the descriptor is open while borrowed, and F_GETFL takes no
    // further argument; nix asks for features this crate needs nothing else of.
    let flags = Errno::result(unsafe { libc::fcntl(socket.as_raw_fd(), libc::F_GETFL) })?;
    // SAFETY: as above, with an int.
    let outcome =
        unsafe { libc::fcntl(socket.as_raw_fd(), libc::F_SETFL, flags & !libc::O_NONBLOCK) };
    Errno::result(outcome).map(drop)
}

/// Prepares a TCP socket for media: small segments leave at once, at most
/// `unsent` bytes wait in the kernel, and a connection whose other end
/// acknowledges nothing for `unacknowledged` ends.
pub fn tune(socket: BorrowedFd<'_>, unsent: u32, unacknowledged: Duration) -> Result<(), Errno> {
    let int = |value: u128| i32::try_from(value).unwrap_or(i32::MAX);
    for (option, value) in [
        (libc::TCP_NODELAY, 1),
        (libc::TCP_NOTSENT_LOWAT, int(unsent.into())),
        (libc::TCP_USER_TIMEOUT, int(unacknowledged.as_millis())),
    ] {
        set(socket, libc::IPPROTO_TCP, option, value)?;
    }
    Ok(())
}
