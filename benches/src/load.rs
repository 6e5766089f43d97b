//! Load against any TURN server, without the rig: real sockets receive.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::fd::AsFd as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::socket::{setsockopt, sockopt};
use serde::Serialize;
use socket2::SockRef;

use crate::pump::Pump;
use crate::relay::rows::Direction;
use crate::turn_client::{CHANNEL, Credentials, Session, Step, channel_data};

const CHANNEL_HEADER: usize = 4;
const RECEIVE_BUFFER: usize = 1 << 20;
/// What is under way arrives within this time after the last send.
const PATIENCE: Duration = Duration::from_millis(500);

/// What to run.
#[derive(Clone, Debug)]
pub struct Options {
    /// The TURN server.
    pub server: SocketAddr,
    /// Accepted by it.
    pub credentials: Credentials,
    /// Address of the clients.
    pub client: IpAddr,
    /// Address of the peers, as the server reaches it.
    pub peer: IpAddr,
    /// Number of allocations.
    pub allocations: usize,
    /// Requests in flight while allocating.
    pub in_flight: usize,
    /// Bytes of payload.
    pub payload: usize,
    /// Datagrams of one flow in a row.
    pub burst: usize,
    /// Which way.
    pub direction: Direction,
    /// Datagrams per second; without it as fast as it goes.
    pub rate: Option<f64>,
    /// How long.
    pub duration: Duration,
}

/// What it showed.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Outcome {
    /// Allocations per second, each one with its 401.
    pub allocations_per_second: f64,
    /// Datagrams sent.
    pub sent: u64,
    /// Datagrams received.
    pub arrived: u64,
    /// Share that did not arrive, 0 to 1.
    pub loss: f64,
    /// Datagrams received per second.
    pub packets_per_second: f64,
}

/// Allocates, pumps and counts.
///
/// # Errors
/// When the server refuses or does not answer.
pub fn run(options: &Options) -> Result<Outcome> {
    let count = options.allocations;
    let mut peers = Vec::with_capacity(count);
    for _ in 0..count {
        peers.push(UdpSocket::bind((options.peer, 0)).context("cannot open a peer")?);
    }
    let addresses: Vec<SocketAddr> = peers
        .iter()
        .map(UdpSocket::local_addr)
        .collect::<Result<_, _>>()?;
    let credentials = options.credentials.clone();
    let mut session = Session::open(options.server, &[options.client], None, count, credentials)?;
    session.set_peers(|index| addresses[index]);
    let allocating = session.run(Step::Allocate, options.in_flight)?;
    session.run(Step::Bind, options.in_flight)?;
    for (peer, relay) in peers.iter().zip(session.relays()?) {
        peer.connect(relay)?;
        peer.set_nonblocking(true)?;
    }

    let payload = vec![0x5a; options.payload];
    let (from, to, datagram, size) = match options.direction {
        Direction::ClientToPeer => {
            let datagram = channel_data(CHANNEL, &payload);
            (session.clients(), &peers[..], datagram, options.payload)
        }
        Direction::PeerToClient => (
            &peers[..],
            session.clients(),
            payload,
            options.payload + CHANNEL_HEADER,
        ),
    };
    let mut pump = Pump::new(from, &datagram, options.burst)?;
    let stop = AtomicBool::new(false);
    let (sent, arrived) = thread::scope(|scope| {
        let counting = scope.spawn(|| count_datagrams(to, size, &stop));
        let sent = pump.run(options.rate, options.duration);
        thread::sleep(PATIENCE);
        stop.store(true, Ordering::Relaxed);
        counting
            .join()
            .map(|arrived| (sent, arrived))
            .map_err(|_| anyhow!("the receiver failed"))
    })?;
    let arrived = arrived?;
    session.release()?;
    Ok(Outcome {
        allocations_per_second: count as f64 / allocating.as_secs_f64(),
        sent: sent.datagrams,
        arrived,
        loss: 1.0 - arrived as f64 / sent.datagrams.max(1) as f64,
        packets_per_second: arrived as f64 / sent.seconds,
    })
}

/// Counts datagrams of `size` bytes on all `sockets` until `stop`. The kernel
/// may merge several of one flow into one receive.
fn count_datagrams(sockets: &[UdpSocket], size: usize, stop: &AtomicBool) -> Result<u64> {
    let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
    for (index, socket) in sockets.iter().enumerate() {
        // Both only make loss at the receiver less likely.
        let _ = setsockopt(&socket.as_fd(), sockopt::UdpGroSegment, &true);
        let _ = SockRef::from(socket).set_recv_buffer_size(RECEIVE_BUFFER);
        epoll.add(socket, EpollEvent::new(EpollFlags::EPOLLIN, index as u64))?;
    }
    let mut buffer = vec![0; 1 << 16];
    let mut events = [EpollEvent::empty(); 256];
    let mut arrived = 0;
    while !stop.load(Ordering::Relaxed) {
        let ready = epoll.wait(&mut events, EpollTimeout::from(20_u8))?;
        for event in &events[..ready] {
            let Some(socket) = sockets.get(usize::try_from(event.data())?) else {
                continue;
            };
            while let Ok(length) = socket.recv(&mut buffer) {
                arrived += length.div_ceil(size) as u64;
            }
        }
    }
    Ok(arrived)
}
