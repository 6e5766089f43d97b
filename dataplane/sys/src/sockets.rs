//! UDP sockets as listeners and relays need them.

use core::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use socket2::{Domain, Protocol, Socket, Type};

use crate::Errno;
use crate::ring::errno;

/// Options every UDP socket of ours can be tuned by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tuning {
    /// SO_RCVBUF, bytes.
    pub receive_buffer: usize,
    /// SO_SNDBUF, bytes.
    pub send_buffer: usize,
    /// SO_BUSY_POLL, microseconds; zero is off.
    pub busy_poll: u32,
}

/// What a socket is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Shares its address with the sockets of other workers (SO_REUSEPORT).
    /// There are few, so their drops are asked for with [`drops`].
    Listener,
    /// Owns its address alone. Thousands of these: they tell their drops with
    /// the datagrams (SO_RXQ_OVFL).
    Relay,
    /// Owns its address alone. Few, like listeners.
    Media,
}

/// SO_RCVBUF and SO_SNDBUF as the kernel granted them, its own bookkeeping
/// included (twice what was asked for).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Granted {
    /// Receive buffer, bytes.
    pub receive: usize,
    /// Send buffer, bytes.
    pub send: usize,
}

/// Opens and binds a socket. EADDRINUSE, EADDRNOTAVAIL and EMFILE are the
/// refusals a caller can do something about.
pub fn open(address: SocketAddr, role: Role, tuning: Tuning) -> Result<OwnedFd, Errno> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::DGRAM,
        Some(Protocol::UDP),
    )
    .map_err(|error| errno(&error))?;
    let fd = socket.as_fd();
    let v6 = address.is_ipv6();
    if v6 {
        set(fd, libc::IPPROTO_IPV6, libc::IPV6_V6ONLY, 1)?;
        set(
            fd,
            libc::IPPROTO_IPV6,
            libc::IPV6_MTU_DISCOVER,
            libc::IPV6_PMTUDISC_DONT,
        )?;
        set(fd, libc::IPPROTO_IPV6, libc::IPV6_RECVTCLASS, 1)?;
    } else {
        // RFC 8656 §14: without DONT-FRAGMENT, datagrams may be fragmented.
        set(
            fd,
            libc::IPPROTO_IP,
            libc::IP_MTU_DISCOVER,
            libc::IP_PMTUDISC_DONT,
        )?;
        set(fd, libc::IPPROTO_IP, libc::IP_RECVTOS, 1)?;
    }
    if address.ip().is_unspecified() {
        if v6 {
            set(fd, libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO, 1)?;
        } else {
            set(fd, libc::IPPROTO_IP, libc::IP_PKTINFO, 1)?;
        }
    }
    if role == Role::Relay {
        set(fd, libc::SOL_SOCKET, libc::SO_RXQ_OVFL, 1)?;
    }
    buffer(
        fd,
        libc::SO_RCVBUFFORCE,
        libc::SO_RCVBUF,
        tuning.receive_buffer,
    )?;
    buffer(
        fd,
        libc::SO_SNDBUFFORCE,
        libc::SO_SNDBUF,
        tuning.send_buffer,
    )?;
    // Optional: a kernel without it receives datagrams one by one.
    let _ = set(fd, libc::SOL_UDP, libc::UDP_GRO, 1);
    if tuning.busy_poll > 0 {
        // Optional, and above net.core.busy_read only for the privileged.
        let _ = set(
            fd,
            libc::SOL_SOCKET,
            libc::SO_BUSY_POLL,
            tuning.busy_poll as i32,
        );
    }
    if role == Role::Listener {
        set(fd, libc::SOL_SOCKET, libc::SO_REUSEPORT, 1)?;
    }
    socket
        .bind(&address.into())
        .map_err(|error| errno(&error))?;
    Ok(socket.into())
}

/// Connects a datagram socket to one sender: it receives from nobody else, and
/// the kernel prefers it to unconnected sockets of the same address.
pub fn connect(socket: BorrowedFd<'_>, to: SocketAddr) -> Result<(), Errno> {
    socket2::SockRef::from(&socket)
        .connect(&to.into())
        .map_err(|error| errno(&error))
}

/// Whether somebody else holds the address, told by a bind that shares with
/// nobody.
pub fn is_taken(address: SocketAddr) -> Result<bool, Errno> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::DGRAM,
        Some(Protocol::UDP),
    )
    .map_err(|error| errno(&error))?;
    if address.is_ipv6() {
        set(socket.as_fd(), libc::IPPROTO_IPV6, libc::IPV6_V6ONLY, 1)?;
    }
    match socket.bind(&address.into()).map_err(|error| errno(&error)) {
        Ok(()) => Ok(false),
        Err(Errno::EADDRINUSE) => Ok(true),
        Err(other) => Err(other),
    }
}

/// The buffers a socket really has.
pub fn granted(socket: BorrowedFd<'_>) -> Result<Granted, Errno> {
    let read = |option| {
        get(socket, libc::SOL_SOCKET, option).map(|value| usize::try_from(value).unwrap_or(0))
    };
    Ok(Granted {
        receive: read(libc::SO_RCVBUF)?,
        send: read(libc::SO_SNDBUF)?,
    })
}

/// Datagrams a socket dropped on a full receive buffer since it was opened
/// (wraps).
pub fn drops(socket: BorrowedFd<'_>) -> Result<u32, Errno> {
    // The last value of SO_MEMINFO, SK_MEMINFO_DROPS.
    const VALUES: usize = 9;
    let mut values = [0_u32; VALUES];
    let mut length = size_of_val(&values) as libc::socklen_t;
    // SAFETY: the descriptor is open while borrowed, and the kernel writes at
    // most `length` bytes into `values`.
    let outcome = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_MEMINFO,
            values.as_mut_ptr().cast(),
            &raw mut length,
        )
    };
    Errno::result(outcome).map(|_| values[VALUES - 1])
}

/// The address a socket is bound to.
pub fn local_address(socket: BorrowedFd<'_>) -> Result<SocketAddr, Errno> {
    socket2::SockRef::from(&socket)
        .local_addr()
        .map_err(|error| errno(&error))?
        .as_socket()
        .ok_or(Errno::EAFNOSUPPORT)
}

/// Whether `ip` is one of this host's addresses, so that relays can bind to it.
pub fn is_local(ip: IpAddr) -> bool {
    is_taken(SocketAddr::new(ip, 0)).is_ok()
}

/// Beyond net.core.rmem_max and wmem_max with CAP_NET_ADMIN, up to them
/// without.
fn buffer(socket: BorrowedFd<'_>, force: i32, option: i32, bytes: usize) -> Result<(), Errno> {
    let bytes = i32::try_from(bytes).unwrap_or(i32::MAX / 2);
    match set(socket, libc::SOL_SOCKET, force, bytes) {
        Err(Errno::EPERM) => set(socket, libc::SOL_SOCKET, option, bytes),
        other => other,
    }
}

pub(crate) fn set(
    socket: BorrowedFd<'_>,
    level: i32,
    option: i32,
    value: i32,
) -> Result<(), Errno> {
    // SAFETY: the descriptor is open while borrowed, and the kernel reads
    // exactly the four bytes of `value`. socket2 does not know all of these
    // options.
    let outcome = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            option,
            (&raw const value).cast(),
            size_of::<i32>() as libc::socklen_t,
        )
    };
    Errno::result(outcome).map(drop)
}

pub(crate) fn get(socket: BorrowedFd<'_>, level: i32, option: i32) -> Result<i32, Errno> {
    let mut value = 0_i32;
    let mut length = size_of::<i32>() as libc::socklen_t;
    // SAFETY: the descriptor is open while borrowed, and the kernel writes at
    // most `length` bytes into `value`.
    let outcome = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            level,
            option,
            (&raw mut value).cast(),
            &raw mut length,
        )
    };
    Errno::result(outcome).map(|_| value)
}
