//! Many relays pumping steadily while something happens to the server:
//! every packet is counted by its number.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use serde::Serialize;

use crate::turn_client::{CHANNEL, Credentials, IN_FLIGHT, Session, Step, channel_data};

/// Bytes of a datagram's payload: as long as an audio packet.
const PAYLOAD: usize = 172;
const CHANNEL_HEADER: usize = 4;
/// What is under way arrives well within this time after the last send.
const PATIENCE: Duration = Duration::from_secs(3);

/// What to run.
#[derive(Clone, Debug)]
pub struct Options {
    /// The TURN server.
    pub server: SocketAddr,
    /// Accepted by it.
    pub credentials: Credentials,
    /// Number of allocations.
    pub relays: usize,
    /// How long to pump; less than the five minutes a permission lives.
    pub duration: Duration,
    /// Datagrams per second and direction of each relay.
    pub rate: f64,
    /// Address of clients and of peers.
    pub local: IpAddr,
}

/// What became of the packets.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Outcome {
    /// Relays that were pumped.
    pub relays: usize,
    /// Packets sent, both directions.
    pub sent: u64,
    /// Packets received, each counted once.
    pub received: u64,
    /// Packets that never came.
    pub lost: u64,
    /// Packets that came again.
    pub duplicates: u64,
    /// Packets the kernel did not take from us, or damaged ones.
    pub errors: u64,
    /// Longest time without any arrival, milliseconds.
    pub longest_silence_ms: u64,
}

impl Outcome {
    /// Whether every packet came exactly once.
    #[must_use]
    pub const fn is_lossless(&self) -> bool {
        self.lost == 0 && self.duplicates == 0 && self.errors == 0
    }
}

/// Makes the allocations, pumps both directions and counts. `started` is
/// called when packets flow.
///
/// # Errors
/// When an allocation fails.
pub fn run(options: &Options, started: impl FnOnce()) -> Result<Outcome> {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
    let count = options.relays;
    let mut peers = Vec::with_capacity(count);
    for _ in 0..count {
        peers.push(UdpSocket::bind((options.local, 0)).context("cannot open a peer")?);
    }
    let addresses: Vec<SocketAddr> = peers
        .iter()
        .map(UdpSocket::local_addr)
        .collect::<Result<_, _>>()?;
    let mut session = Session::open(
        options.server,
        &[options.local],
        None,
        count,
        options.credentials.clone(),
    )?;
    session.set_peers(|index| addresses[index]);
    session.run(Step::Allocate, IN_FLIGHT)?;
    session.run(Step::Bind, IN_FLIGHT)?;
    for (peer, relay) in peers.iter().zip(session.relays()?) {
        peer.connect(relay)?;
        peer.set_nonblocking(true)?;
    }
    let mut ledger = Ledger::new(session.clients(), &peers)?;
    started();
    ledger.pump(options.duration, options.rate)?;
    let outcome = ledger.settle()?;
    session.release()?;
    Ok(outcome)
}

/// One direction of one relay: from socket `index` of a side to the socket of
/// the other side with the same index.
#[derive(Clone, Default)]
struct Lane {
    sent: u64,
    seen: Vec<u64>,
}

struct Ledger<'a> {
    clients: &'a [UdpSocket],
    peers: &'a [UdpSocket],
    /// Client to peer, then peer to client.
    lanes: [Vec<Lane>; 2],
    epoll: Epoll,
    outcome: Outcome,
    last_arrival: Instant,
    silence: Duration,
}

const TO_PEER: usize = 0;
const TO_CLIENT: usize = 1;

impl<'a> Ledger<'a> {
    fn new(clients: &'a [UdpSocket], peers: &'a [UdpSocket]) -> Result<Self> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        for (lane, sockets) in [(TO_PEER, peers), (TO_CLIENT, clients)] {
            for (index, socket) in sockets.iter().enumerate() {
                let data = (index * 2 + lane) as u64;
                epoll.add(socket, EpollEvent::new(EpollFlags::EPOLLIN, data))?;
            }
        }
        let lanes = vec![Lane::default(); clients.len()];
        Ok(Self {
            clients,
            peers,
            lanes: [lanes.clone(), lanes],
            epoll,
            outcome: Outcome {
                relays: clients.len(),
                ..Outcome::default()
            },
            last_arrival: Instant::now(),
            silence: Duration::ZERO,
        })
    }

    fn pump(&mut self, duration: Duration, rate: f64) -> Result<()> {
        let started = Instant::now();
        let per_second = rate * self.clients.len() as f64;
        let mut steps = 0_u64;
        self.last_arrival = started;
        while started.elapsed() < duration {
            while (steps as f64) < started.elapsed().as_secs_f64() * per_second {
                let index = (steps % self.clients.len() as u64) as usize;
                self.send(TO_PEER, index);
                self.send(TO_CLIENT, index);
                steps += 1;
                // Reading has its turn also when sending lags behind.
                if steps.is_multiple_of(64) {
                    break;
                }
            }
            self.receive(EpollTimeout::from(1_u8))?;
        }
        Ok(())
    }

    fn settle(mut self) -> Result<Outcome> {
        let ended = Instant::now();
        while self.outcome.received < self.outcome.sent && ended.elapsed() < PATIENCE {
            self.receive(EpollTimeout::from(20_u8))?;
        }
        let mut outcome = self.outcome;
        outcome.lost = outcome.sent - outcome.received;
        outcome.longest_silence_ms = u64::try_from(self.silence.as_millis())?;
        Ok(outcome)
    }

    fn send(&mut self, lane: usize, index: usize) {
        let number = self.lanes[lane][index].sent;
        let mut payload = [0; PAYLOAD];
        payload[..8].copy_from_slice(&number.to_be_bytes());
        payload[8..16].copy_from_slice(&((index * 2 + lane) as u64).to_be_bytes());
        let sent = if lane == TO_PEER {
            self.clients[index].send(&channel_data(CHANNEL, &payload))
        } else {
            self.peers[index].send(&payload)
        };
        if sent.is_ok() {
            self.lanes[lane][index].sent += 1;
            self.outcome.sent += 1;
        } else {
            self.outcome.errors += 1;
        }
    }

    fn receive(&mut self, wait: EpollTimeout) -> Result<()> {
        let mut events = [EpollEvent::empty(); 256];
        let ready = self.epoll.wait(&mut events, wait)?;
        if ready > 0 {
            self.silence = self.silence.max(self.last_arrival.elapsed());
            self.last_arrival = Instant::now();
        }
        for event in &events[..ready] {
            let data = usize::try_from(event.data())?;
            let (index, lane) = (data / 2, data % 2);
            let socket = if lane == TO_PEER {
                &self.peers[index]
            } else {
                &self.clients[index]
            };
            let mut buffer = [0; 2048];
            while let Ok(length) = socket.recv(&mut buffer) {
                let skip = if lane == TO_PEER { 0 } else { CHANNEL_HEADER };
                let payload = buffer[..length].get(skip..).unwrap_or_default();
                self.lanes[lane][index].count(payload, data, &mut self.outcome);
            }
        }
        Ok(())
    }
}

impl Lane {
    fn count(&mut self, payload: &[u8], expected: usize, outcome: &mut Outcome) {
        let word = |at: usize| {
            payload
                .get(at..at + 8)?
                .try_into()
                .ok()
                .map(u64::from_be_bytes)
        };
        let (Some(number), Some(lane)) = (word(0), word(8)) else {
            outcome.errors += 1;
            return;
        };
        if payload.len() != PAYLOAD || lane != expected as u64 || number >= self.sent {
            outcome.errors += 1;
            return;
        }
        let (cell, bit) = ((number / 64) as usize, 1 << (number % 64));
        if self.seen.len() <= cell {
            self.seen.resize(cell + 1, 0);
        }
        if self.seen[cell] & bit == 0 {
            self.seen[cell] |= bit;
            outcome.received += 1;
        } else {
            outcome.duplicates += 1;
        }
    }
}
