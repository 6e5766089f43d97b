//! TCP sockets of relay addresses: one listens for peers, others connect to
//! them from the same address and port, which takes SO_REUSEPORT on both.

use core::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, FromRawFd, OwnedFd};

use io_uring::opcode;
use io_uring::squeue::Flags;
use io_uring::types::Fixed;
use socket2::{Domain, Protocol, SockRef, Socket, Type};

use crate::Errno;
use crate::address::{self, encode};
use crate::buffers::Group;
use crate::ring::{Ring, RingFailed, callers, errno};
use crate::sockets::set;
use crate::streams::{Progress, SENDING};

/// A completion that brings a descriptor: both topmost bits. Callers' tags
/// have neither, and what nobody waits for has all.
const ACCEPTING: u64 = 0b11 << 62;
const NOBODY: u64 = u64::MAX;

/// Opens a socket that listens for peers on an address nobody else has.
/// `backlog` of them wait to be accepted at most.
pub fn listen(address: SocketAddr, backlog: u16) -> Result<OwnedFd, Errno> {
    let socket = bound(address)?;
    SockRef::from(&socket)
        .listen(backlog.into())
        .map_err(|error| errno(&error))?;
    Ok(socket)
}

/// Opens a socket that is to connect from an address one of ours listens on.
pub fn bound(address: SocketAddr) -> Result<OwnedFd, Errno> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )
    .map_err(|error| errno(&error))?;
    let fd = socket.as_fd();
    if address.is_ipv6() {
        set(fd, libc::IPPROTO_IPV6, libc::IPV6_V6ONLY, 1)?;
    }
    // What is left of closed connections does not keep the port.
    set(fd, libc::SOL_SOCKET, libc::SO_REUSEADDR, 1)?;
    set(fd, libc::SOL_SOCKET, libc::SO_REUSEPORT, 1)?;
    socket
        .bind(&address.into())
        .map_err(|error| errno(&error))?;
    Ok(socket.into())
}

/// The other end of a connection.
pub fn peer_address(socket: BorrowedFd<'_>) -> Result<SocketAddr, Errno> {
    SockRef::from(&socket)
        .peer_addr()
        .map_err(|error| errno(&error))?
        .as_socket()
        .ok_or(Errno::EAFNOSUPPORT)
}

/// The caller's tag and the descriptor of a completed accept; `None` when it
/// was another request, or brought none.
#[inline]
pub(crate) fn accepted(tag: u64, result: i32) -> (u64, Option<OwnedFd>) {
    if tag >> 62 != ACCEPTING >> 62 || tag == NOBODY {
        return (tag, None);
    }
    // SAFETY: the kernel has just made the descriptor for the accept that
    // completes here, each accept completes once, and nothing else is told of
    // it.
    let socket = (result >= 0).then(|| unsafe { OwnedFd::from_raw_fd(result) });
    (tag & !ACCEPTING, socket)
}

impl Ring {
    /// Waits for one peer to connect to the listening socket in a slot; when
    /// that completes under `tag`, [`Ring::accepted`] has the socket.
    pub fn accept(&mut self, slot: u32, tag: u64) -> Result<(), RingFailed> {
        let none = core::ptr::null_mut();
        let entry = opcode::Accept::new(Fixed(slot), none, core::ptr::null_mut())
            .flags(libc::SOCK_CLOEXEC)
            .build()
            .user_data(ACCEPTING | (tag & !ACCEPTING));
        // SAFETY: the entry carries no pointer: nobody asks for the address.
        unsafe { self.push(entry) }
    }

    /// Ends [`Ring::accept`] of this tag; it completes with ECANCELED.
    pub fn cancel_accept(&mut self, tag: u64) -> Result<(), RingFailed> {
        let entry = opcode::AsyncCancel::new(ACCEPTING | (tag & !ACCEPTING))
            .build()
            .flags(Flags::SKIP_SUCCESS)
            .user_data(NOBODY);
        // SAFETY: the entry carries no pointer.
        unsafe { self.push(entry) }
    }

    /// The next socket that an accept brought, and the accept's tag; to be
    /// fetched after every [`Ring::reap`].
    pub fn accepted(&mut self) -> Option<(u64, OwnedFd)> {
        self.accepted.pop()
    }

    /// Connects the socket in a slot; completes under `tag`. Uses the lane as
    /// [`Ring::send_stream`] does, and under its terms: [`Ring::sent`] frees
    /// it, [`Ring::cancel_stream_send`] gives the connection up.
    pub fn connect(
        &mut self,
        lane: u32,
        slot: u32,
        to: SocketAddr,
        tag: u64,
    ) -> Result<(), RingFailed> {
        let place = self.lanes.get_mut(lane as usize).ok_or(RingFailed::Stuck)?;
        if place.progress != Progress::Idle {
            return Err(RingFailed::Stuck);
        }
        let mut bytes = [0; address::MAX];
        let len = encode(&to, &mut bytes);
        place.bytes.clear();
        place.bytes.extend_from_slice(&bytes);
        place.tag = callers(tag);
        let entry = opcode::Connect::new(Fixed(slot), place.bytes.as_ptr().cast(), len as u32)
            .build()
            .user_data(SENDING | u64::from(lane));
        place.progress = Progress::Sending;
        // SAFETY: the lane owns the address and neither changes nor lets go of
        // it before the completion.
        unsafe { self.push(entry) }
    }

    /// Receives once from the connection in a slot, into a buffer of
    /// [`Group::Streams`]; completes under `tag` as
    /// [`Ring::receive_stream`] does.
    pub fn receive_once(&mut self, slot: u32, tag: u64) -> Result<(), RingFailed> {
        let entry = opcode::Recv::new(Fixed(slot), core::ptr::null_mut(), 0)
            .buf_group(Group::Streams as u16)
            .build()
            .flags(Flags::BUFFER_SELECT)
            .user_data(callers(tag));
        // SAFETY: the entry carries no pointer; the buffer comes from the
        // registered group.
        unsafe { self.push(entry) }
    }

    /// Tells the other end of a connection that nothing will follow. The kernel
    /// looks into the slot some time later, on a thread of its own: until this
    /// completes under `tag`, the slot must stay as it is.
    pub fn shut_stream(&mut self, slot: u32, tag: u64) -> Result<(), RingFailed> {
        let entry = opcode::Shutdown::new(Fixed(slot), libc::SHUT_WR)
            .build()
            .user_data(callers(tag));
        // SAFETY: the entry carries no pointer.
        unsafe { self.push(entry) }
    }

    /// Takes a connection apart so that its other end is told it was reset
    /// (a connect to no address at all). Only to be closed afterwards.
    pub fn reset_stream(&mut self, slot: u32) -> Result<(), RingFailed> {
        static NOWHERE: [u64; 2] = [0; 2];
        const { assert!(libc::AF_UNSPEC == 0) };
        let entry = opcode::Connect::new(
            Fixed(slot),
            NOWHERE.as_ptr().cast(),
            size_of_val(&NOWHERE) as u32,
        )
        .build()
        .flags(Flags::SKIP_SUCCESS)
        .user_data(NOBODY);
        // SAFETY: the address is a constant.
        unsafe { self.push(entry) }
    }
}
