//! Offering more than sockets can: whole frames, prepared beforehand, put on
//! the wire below the protocol stack.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use nix::errno::Errno;
use nix::ifaddrs::getifaddrs;
use nix::sys::socket::{
    AddressFamily, LinkAddr, MsgFlags, SockFlag, SockType, bind, send, setsockopt, socket, sockopt,
};

use super::{GENERATOR_DEVICE, Rig, SERVER_DEVICE};
use crate::pump::Sent;

/// Frames between two looks at the clock.
const BATCH: usize = 32;
const SEND_BUFFER: usize = 4 << 20;
const ETHERNET: usize = 14;
const IPV4: usize = 20;
const UDP: usize = 8;

/// Prepared frames and the socket they leave by.
pub struct RawPump {
    socket: OwnedFd,
    frames: Vec<Vec<u8>>,
}

impl RawPump {
    /// For each of `flows`, which are source and destination, one frame with
    /// `datagram`. The calling thread is in the generator's namespace.
    ///
    /// # Errors
    /// When the devices are missing or packet sockets are refused.
    pub fn new(rig: &Rig, flows: &[(SocketAddrV4, SocketAddrV4)], datagram: &[u8]) -> Result<Self> {
        let from = link(GENERATOR_DEVICE)?;
        let to = rig.in_server_namespace(|| link(SERVER_DEVICE))?;
        let (from_mac, to_mac) = (from.addr().context("no MAC")?, to.addr().context("no MAC")?);
        let socket = socket(
            AddressFamily::Packet,
            SockType::Raw,
            SockFlag::SOCK_CLOEXEC,
            None,
        )
        .context("packet sockets are refused")?;
        bind(socket.as_raw_fd(), &from)?;
        setsockopt(&socket, sockopt::SndBuf, &SEND_BUFFER)?;
        let frames = flows
            .iter()
            .map(|(source, destination)| frame(to_mac, from_mac, *source, *destination, datagram))
            .collect();
        Ok(Self { socket, frames })
    }

    /// Sends the frames in turn for `duration` at `rate` per second. Frames
    /// that find the receive queue of the server's device full count as sent.
    pub fn run(&mut self, rate: f64, duration: Duration) -> Sent {
        let mut sent = Sent::default();
        let started = Instant::now();
        let mut next = 0;
        loop {
            let elapsed = started.elapsed();
            if elapsed >= duration {
                sent.seconds = elapsed.as_secs_f64();
                return sent;
            }
            if sent.datagrams as f64 >= elapsed.as_secs_f64() * rate {
                std::hint::spin_loop();
                continue;
            }
            let end = self.frames.len().min(next + BATCH);
            sent.datagrams += self.offer(&self.frames[next..end]);
            next = end % self.frames.len();
        }
    }

    /// How many of `frames` went as far as the device. One system call each: a
    /// call for many ends at the first that finds the queue full, which under
    /// overload is nearly every one.
    fn offer(&self, frames: &[Vec<u8>]) -> u64 {
        let flags = MsgFlags::MSG_DONTWAIT;
        let offered = frames.iter().filter(|frame| {
            matches!(
                send(self.socket.as_raw_fd(), frame, flags),
                Ok(_) | Err(Errno::ENOBUFS)
            )
        });
        offered.count() as u64
    }
}

fn link(device: &str) -> Result<LinkAddr> {
    getifaddrs()?
        .filter(|interface| interface.interface_name == device)
        .find_map(|interface| interface.address?.as_link_addr().copied())
        .with_context(|| format!("no device {device}"))
}

fn frame(
    to_mac: [u8; 6],
    from_mac: [u8; 6],
    source: SocketAddrV4,
    destination: SocketAddrV4,
    datagram: &[u8],
) -> Vec<u8> {
    let udp_length = u16_of(UDP + datagram.len());
    let mut frame = Vec::with_capacity(ETHERNET + IPV4 + UDP + datagram.len());
    frame.extend_from_slice(&to_mac);
    frame.extend_from_slice(&from_mac);
    frame.extend_from_slice(&[0x08, 0x00]);
    frame.extend_from_slice(&[0x45, 0]);
    frame.extend_from_slice(&u16_of(IPV4 + UDP + datagram.len()).to_be_bytes());
    // No identification, don't fragment, 64 hops, UDP, checksum to follow.
    frame.extend_from_slice(&[0, 0, 0x40, 0, 64, 17, 0, 0]);
    frame.extend_from_slice(&source.ip().octets());
    frame.extend_from_slice(&destination.ip().octets());
    let checksum = checksum(&frame[ETHERNET..], 0).to_be_bytes();
    frame[ETHERNET + 10..ETHERNET + 12].copy_from_slice(&checksum);

    frame.extend_from_slice(&source.port().to_be_bytes());
    frame.extend_from_slice(&destination.port().to_be_bytes());
    frame.extend_from_slice(&udp_length.to_be_bytes());
    frame.extend_from_slice(&[0, 0]);
    frame.extend_from_slice(datagram);
    let pseudo = pseudo_header(*source.ip(), *destination.ip(), udp_length);
    let start = ETHERNET + IPV4;
    // Zero would say that there is no checksum.
    let sum = match self::checksum(&frame[start..], pseudo) {
        0 => u16::MAX,
        sum => sum,
    };
    frame[start + 6..start + 8].copy_from_slice(&sum.to_be_bytes());
    frame
}

fn pseudo_header(source: Ipv4Addr, destination: Ipv4Addr, length: u16) -> u32 {
    let words = |ip: Ipv4Addr| (ip.to_bits() >> 16) + (ip.to_bits() & 0xffff);
    words(source) + words(destination) + 17 + u32::from(length)
}

/// The Internet checksum (RFC 1071) of `bytes` on top of `sum`.
fn checksum(bytes: &[u8], mut sum: u32) -> u16 {
    for pair in bytes.chunks(2) {
        sum += u32::from(pair[0]) << 8 | pair.get(1).map_or(0, |low| u32::from(*low));
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

fn u16_of(value: usize) -> u16 {
    u16::try_from(value).unwrap_or(u16::MAX)
}
