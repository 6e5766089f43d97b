//! A UDP socket that says where a datagram was sent to, and answers from
//! there: clients of a listener on every address expect it.

use std::io::{IoSlice, IoSliceMut};
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use nix::errno::Errno;
use nix::libc::{in_addr, in_pktinfo, in6_addr, in6_pktinfo};
use nix::sys::socket::{
    ControlMessage, ControlMessageOwned, MsgFlags, SockaddrIn, SockaddrIn6, SockaddrStorage,
    recvmsg, sendmsg, setsockopt, sockopt,
};

/// One of them.
pub(super) struct Datagrams {
    socket: UdpSocket,
    local: SocketAddr,
}

/// A datagram's way here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Way {
    pub(super) client: SocketAddr,
    pub(super) local: IpAddr,
}

impl Datagrams {
    pub(super) fn new(socket: UdpSocket) -> Result<Self, Errno> {
        let io = |error: std::io::Error| Errno::from_raw(error.raw_os_error().unwrap_or(0));
        let local = socket.local_addr().map_err(io)?;
        match local.ip() {
            IpAddr::V4(ip) if ip.is_unspecified() => {
                setsockopt(&socket, sockopt::Ipv4PacketInfo, &true)?;
            }
            IpAddr::V6(ip) if ip.is_unspecified() => {
                setsockopt(&socket, sockopt::Ipv6RecvPacketInfo, &true)?;
            }
            _ => {}
        }
        Ok(Self { socket, local })
    }

    pub(super) fn port(&self) -> u16 {
        self.local.port()
    }

    /// The next datagram; `None` when none waits. One that is longer than the
    /// buffer is cut, which its record's tag will show.
    pub(super) fn receive(&self, buffer: &mut [u8]) -> Option<(usize, Way)> {
        let mut space = nix::cmsg_space!(in6_pktinfo);
        let mut slices = [IoSliceMut::new(buffer)];
        // An error of an earlier send (ICMP) is reported here too: the next
        // call has the next datagram.
        for _ in 0..4 {
            let message = match recvmsg::<SockaddrStorage>(
                self.socket.as_raw_fd(),
                &mut slices,
                Some(&mut space),
                MsgFlags::MSG_DONTWAIT,
            ) {
                Ok(message) => message,
                Err(Errno::EAGAIN) => return None,
                Err(_) => continue,
            };
            let client = message.address.as_ref().and_then(address)?;
            let mut local = self.local.ip();
            for control in message.cmsgs().into_iter().flatten() {
                match control {
                    ControlMessageOwned::Ipv4PacketInfo(info) => {
                        local = IpAddr::from(info.ipi_addr.s_addr.to_ne_bytes());
                    }
                    ControlMessageOwned::Ipv6PacketInfo(info) => {
                        local = IpAddr::from(info.ipi6_addr.s6_addr);
                    }
                    _ => {}
                }
            }
            return Some((message.bytes, Way { client, local }));
        }
        None
    }

    /// Sends back along a way; false when the kernel has no room.
    pub(super) fn send(&self, way: Way, datagram: &[u8]) -> bool {
        let slices = [IoSlice::new(datagram)];
        let flags = MsgFlags::MSG_DONTWAIT;
        let socket = self.socket.as_raw_fd();
        let wildcard = self.local.ip().is_unspecified();
        let sent = match (way.client, way.local) {
            (SocketAddr::V4(client), IpAddr::V4(local)) => {
                let info = in_pktinfo {
                    ipi_ifindex: 0,
                    ipi_spec_dst: in_addr {
                        s_addr: u32::from_ne_bytes(local.octets()),
                    },
                    ipi_addr: in_addr { s_addr: 0 },
                };
                let control = [ControlMessage::Ipv4PacketInfo(&info)];
                let control = if wildcard { &control[..] } else { &[] };
                sendmsg(
                    socket,
                    &slices,
                    control,
                    flags,
                    Some(&SockaddrIn::from(client)),
                )
            }
            (SocketAddr::V6(client), IpAddr::V6(local)) => {
                let info = in6_pktinfo {
                    ipi6_addr: in6_addr {
                        s6_addr: local.octets(),
                    },
                    ipi6_ifindex: 0,
                };
                let control = [ControlMessage::Ipv6PacketInfo(&info)];
                let control = if wildcard { &control[..] } else { &[] };
                sendmsg(
                    socket,
                    &slices,
                    control,
                    flags,
                    Some(&SockaddrIn6::from(client)),
                )
            }
            // A socket has one family.
            _ => Err(Errno::EAFNOSUPPORT),
        };
        sent.is_ok()
    }
}

impl AsFd for Datagrams {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

fn address(storage: &SockaddrStorage) -> Option<SocketAddr> {
    if let Some(v4) = storage.as_sockaddr_in() {
        return Some(SocketAddr::from((v4.ip(), v4.port())));
    }
    // The scope of link-local clients is kept.
    let v6 = storage.as_sockaddr_in6()?;
    Some(SocketAddr::V6((*v6).into()))
}
