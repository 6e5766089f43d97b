//! The floor: a forwarder that relays between clients and peers like a TURN
//! server does, many relay sockets included, and does nothing else: no
//! protocol, no permissions, no tables; the sender's port is the flow's index.

mod each;
mod fan;
mod many;
mod ring;

use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::fd::AsFd as _;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use clap::ValueEnum;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags};
use serde::Serialize;
use socket2::SockRef;

const SOCKET_BUFFER: usize = 4 << 20;
/// How long a port may still be held by a forwarder that was killed: the
/// kernel takes its ring, and with it the sockets, apart in the background.
const PREDECESSOR: Duration = Duration::from_secs(10);

/// How the forwarder talks to the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// recvfrom and sendto.
    Each,
    /// recvmmsg and sendmmsg.
    Many,
    /// io_uring.
    Ring,
    /// Everything received to every peer.
    Fan,
}

/// Where the forwarder's sockets are and whom they serve. Flow i is the client
/// at `clients` port + i, the relay socket at `relay_port` + i and the peer at
/// `peers` port + i.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Clients send here.
    pub listen: SocketAddr,
    /// Port of the first relay socket, on the address of `listen`.
    pub relay_port: u16,
    /// First client.
    pub clients: SocketAddr,
    /// First peer.
    pub peers: SocketAddr,
    /// Number of flows.
    pub flows: u16,
}

impl Plan {
    /// The relay socket to send from, or none for the listening socket, and
    /// the destination, for a datagram received on `side` from the port
    /// `from`.
    fn route(&self, side: Side, from: u16) -> Option<(Option<u16>, SocketAddr)> {
        match side {
            Side::Listen => {
                let index = from.checked_sub(self.clients.port())?;
                (index < self.flows).then(|| (Some(index), nth(self.peers, index)))
            }
            Side::Relay(index) => Some((None, nth(self.clients, index))),
        }
    }
}

/// Forwards until killed; prints one line when it is ready.
///
/// # Errors
/// When sockets cannot be opened or waited for.
pub fn run(mode: Mode, plan: Plan) -> Result<()> {
    if mode == Mode::Fan {
        return fan::forward(&plan);
    }
    let sockets = Sockets::open(plan)?;
    match mode {
        Mode::Each => each::forward(&sockets),
        Mode::Many => many::forward(&sockets),
        Mode::Ring | Mode::Fan => ring::forward(sockets),
    }
}

struct Sockets {
    plan: Plan,
    listen: UdpSocket,
    relays: Vec<UdpSocket>,
}

/// Which socket became readable.
#[derive(Clone, Copy)]
enum Side {
    Listen,
    Relay(u16),
}

impl Sockets {
    fn open(plan: Plan) -> Result<Self> {
        let listen = socket(plan.listen.ip(), plan.listen.port())?;
        let mut relays = Vec::with_capacity(usize::from(plan.flows));
        for index in 0..plan.flows {
            let port = plan
                .relay_port
                .checked_add(index)
                .context("not that many ports")?;
            relays.push(socket(plan.listen.ip(), port)?);
        }
        Ok(Self {
            plan,
            listen,
            relays,
        })
    }

    /// An epoll over all sockets.
    fn epoll(&self) -> Result<Epoll> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        epoll.add(&self.listen, EpollEvent::new(EpollFlags::EPOLLIN, u64::MAX))?;
        for (index, relay) in self.relays.iter().enumerate() {
            epoll.add(
                relay.as_fd(),
                EpollEvent::new(EpollFlags::EPOLLIN, index as u64),
            )?;
        }
        Ok(epoll)
    }

    fn side(event: &EpollEvent) -> Side {
        u16::try_from(event.data()).map_or(Side::Listen, Side::Relay)
    }

    fn readable(&self, side: Side) -> &UdpSocket {
        match side {
            Side::Listen => &self.listen,
            Side::Relay(index) => &self.relays[usize::from(index)],
        }
    }

    /// Socket and destination for a datagram received on `side` from the port
    /// `from`.
    fn route(&self, side: Side, from: u16) -> Option<(&UdpSocket, SocketAddr)> {
        let (relay, destination) = self.plan.route(side, from)?;
        let socket = relay.map_or(&self.listen, |relay| &self.relays[usize::from(relay)]);
        Some((socket, destination))
    }
}

fn nth(first: SocketAddr, index: u16) -> SocketAddr {
    SocketAddr::new(first.ip(), first.port().wrapping_add(index))
}

fn socket(ip: IpAddr, port: u16) -> Result<UdpSocket> {
    let socket = bind(ip, port).with_context(|| format!("cannot bind {ip}:{port}"))?;
    socket.set_nonblocking(true)?;
    SockRef::from(&socket).set_recv_buffer_size(SOCKET_BUFFER)?;
    SockRef::from(&socket).set_send_buffer_size(SOCKET_BUFFER)?;
    Ok(socket)
}

fn bind(ip: IpAddr, port: u16) -> io::Result<UdpSocket> {
    let end = Instant::now() + PREDECESSOR;
    loop {
        match UdpSocket::bind((ip, port)) {
            Err(error) if error.kind() == ErrorKind::AddrInUse && Instant::now() < end => {
                thread::sleep(Duration::from_millis(20));
            }
            outcome => return outcome,
        }
    }
}
