//! One server with its clients and peers in place, and one round of load.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket};
use std::path::Path;
use std::time::Duration;

use anyhow::{Result, bail};
use serde::Serialize;

use super::connections::Round;
use super::rows::{Direction, Row, Transport};
use crate::pump::{Pump, Sent};
use crate::rig::raw::RawPump;
use crate::rig::sink::{Filter, Sink, Unreached};
use crate::rig::{Addresses, Rig};
use crate::servers::{FIRST_PORT, Kind, Server};
use crate::turn_client::streams::StreamSession;
use crate::turn_client::{CHANNEL, IN_FLIGHT, Session, Step, channel_data, connected_sockets};

const CHANNEL_HEADER: usize = 4;

/// What one round showed.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Sample {
    /// Datagrams offered.
    pub sent: u64,
    /// Datagrams that came out.
    pub arrived: u64,
    /// Frames that came out.
    pub frames: u64,
    /// CPU time of the server, nanoseconds.
    pub cpu_ns: u64,
    /// How long it was busy: the load's length, or its CPU time where
    /// working off the queues took longer. Seconds.
    pub seconds: f64,
}

impl Sample {
    /// CPU time per relayed packet, nanoseconds.
    #[must_use]
    pub fn cpu_per_packet(&self) -> f64 {
        self.cpu_ns as f64 / self.arrived.max(1) as f64
    }

    /// Relayed packets per second.
    #[must_use]
    pub fn rate(&self) -> f64 {
        self.arrived as f64 / self.seconds
    }

    /// What the server could relay with its whole core, packets per second,
    /// should the generator not have had that much.
    #[must_use]
    pub fn capacity(&self) -> f64 {
        self.rate() / self.utilisation().clamp(f64::MIN_POSITIVE, 1.0)
    }

    /// Share of the offered packets that did not come out, 0 to 1.
    #[must_use]
    pub fn loss(&self) -> f64 {
        1.0 - self.arrived as f64 / self.sent.max(1) as f64
    }

    /// Share of its core the server used, 0 to 1.
    #[must_use]
    pub fn utilisation(&self) -> f64 {
        self.cpu_ns as f64 / 1e9 / self.seconds
    }
}

/// A server ready to be loaded.
pub struct Target {
    /// The server.
    pub server: Server,
    clients: Clients,
    peers: Vec<UdpSocket>,
}

enum Clients {
    /// Of a forwarder that does not speak TURN.
    Bare(Vec<UdpSocket>),
    Datagrams(Session),
    Streams(StreamSession),
}

impl Target {
    /// Starts the server, makes `allocations` allocations over `transport`
    /// with a channel each and opens their peers.
    ///
    /// # Errors
    /// When the server or the rig fails.
    pub fn open(kind: Kind, transport: Transport, allocations: u16, turnd: &Path) -> Result<Self> {
        let server = Server::start(kind, transport, allocations, turnd)?;
        let count = usize::from(allocations);
        let local = [server.addresses.clients.into()];
        let first = Some(FIRST_PORT);
        let (clients, relays) = match transport {
            Transport::Udp if kind.speaks_turn() => {
                let credentials = server.credentials()?;
                let mut session =
                    Session::open(server.listen(), &local, first, count, credentials)?;
                session.set_peers(|index| server.peer(index));
                session.run(Step::Allocate, IN_FLIGHT)?;
                session.run(Step::Bind, IN_FLIGHT)?;
                let relays = session.relays()?;
                (Clients::Datagrams(session), relays)
            }
            Transport::Udp => {
                let clients = connected_sockets(&local, first, count, |_| server.listen())?;
                let relays = (0..count).map(|index| server.bare_relay(index)).collect();
                (Clients::Bare(clients), relays)
            }
            Transport::Tcp | Transport::Tls => {
                let tls = transport == Transport::Tls;
                let listen = if tls {
                    server.listen_tls()
                } else {
                    server.listen()
                };
                // Servers bound how many connections one network may begin.
                let locals: Vec<IpAddr> = (0..Addresses::PREFIXES)
                    .map(|prefix| server.addresses.spread_clients(prefix).into())
                    .collect();
                let credentials = server.credentials()?;
                let peer = |index| server.peer(index);
                let session = StreamSession::open(listen, tls, &locals, count, credentials, peer)?;
                let relays = session.relays()?;
                (Clients::Streams(session), relays)
            }
        };
        let peer = [server.addresses.peers.into()];
        let peers = connected_sockets(&peer, first, count, |index| relays[index])?;
        Ok(Self {
            server,
            clients,
            peers,
        })
    }

    /// Offers `row` for `duration` at `rate` datagrams per second, or as fast
    /// as the generator goes, and counts what comes out.
    ///
    /// # Errors
    /// When the server is gone or the rig fails.
    pub fn round(&mut self, row: &Row, rate: Option<f64>, duration: Duration) -> Result<Sample> {
        self.keep_alive()?;
        if let Clients::Streams(session) = &mut self.clients {
            let round = Round {
                server: &self.server,
                peers: &self.peers,
                row,
                rate,
                duration,
            };
            return round.run(session);
        }
        let sockets = self.senders(row.direction)?;
        let mut pump = Pump::new(sockets, &self.datagram(row), row.burst)?;
        self.measured(row, Unreached::new, || pump.run(rate, duration))
    }

    /// As [`Target::round`], with load from elsewhere and while others use the
    /// wire.
    ///
    /// # Errors
    /// As [`Target::round`].
    pub fn observe(&mut self, row: &Row, load: impl FnOnce() -> Sent) -> Result<Sample> {
        self.keep_alive()?;
        self.measured(row, Filter::new, load)
    }

    /// A pump of whole frames for the senders of `row`.
    ///
    /// # Errors
    /// When packet sockets are refused.
    pub fn raw_pump(&self, rig: &Rig, row: &Row) -> Result<RawPump> {
        let v4 = |address: SocketAddr| match address {
            SocketAddr::V4(address) => Ok(address),
            SocketAddr::V6(_) => bail!("the rig is IPv4"),
        };
        let flows: Result<Vec<(SocketAddrV4, SocketAddrV4)>> = self
            .senders(row.direction)?
            .iter()
            .map(|sender| Ok((v4(sender.local_addr()?)?, v4(sender.peer_addr()?)?)))
            .collect();
        RawPump::new(rig, &flows?, &self.datagram(row))
    }

    fn measured<S: Sink>(
        &self,
        row: &Row,
        sink: impl FnOnce(Ipv4Addr) -> Result<S>,
        load: impl FnOnce() -> Sent,
    ) -> Result<Sample> {
        let (sink_address, arriving) = match row.direction {
            Direction::ClientToPeer => (self.server.addresses.peers, row.payload),
            Direction::PeerToClient => {
                let header = match self.clients {
                    Clients::Bare(_) => 0,
                    Clients::Datagrams(_) | Clients::Streams(_) => CHANNEL_HEADER,
                };
                (self.server.addresses.clients, row.payload + header)
            }
        };
        let sink = sink(sink_address)?;
        let before = self.server.process.cpu_ns()?;
        let sent = load();
        let after = self.server.process.settled_cpu_ns()?;
        let arrived = sink.read(arriving as u64)?;
        let cpu_ns = after - before;
        Ok(Sample {
            sent: sent.datagrams,
            arrived: arrived.datagrams,
            frames: arrived.frames,
            cpu_ns,
            seconds: sent.seconds.max(cpu_ns as f64 / 1e9),
        })
    }

    fn keep_alive(&mut self) -> Result<()> {
        match &mut self.clients {
            Clients::Bare(_) => Ok(()),
            Clients::Datagrams(session) => session.keep_alive(),
            Clients::Streams(session) => session.keep_alive(),
        }
    }

    fn senders(&self, direction: Direction) -> Result<&[UdpSocket]> {
        match (direction, &self.clients) {
            (Direction::PeerToClient, _) => Ok(&self.peers),
            (Direction::ClientToPeer, Clients::Bare(sockets)) => Ok(sockets),
            (Direction::ClientToPeer, Clients::Datagrams(session)) => Ok(session.clients()),
            (Direction::ClientToPeer, Clients::Streams(_)) => {
                bail!("these clients send no datagrams")
            }
        }
    }

    fn datagram(&self, row: &Row) -> Vec<u8> {
        let payload = vec![0x5a; row.payload];
        match (row.direction, &self.clients) {
            (Direction::PeerToClient, _) | (_, Clients::Bare(_)) => payload,
            _ => channel_data(CHANNEL, &payload),
        }
    }
}
