//! One server with all connections up, and one round of load.

use std::net::{SocketAddr, UdpSocket};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use clap::ValueEnum;
use serde::Serialize;
use tempfile::TempDir;

use super::forebay::{self, Forebay};
use super::janus::Janus;
use super::layout::Layout;
use super::peer::{Identity, Peer, connect};
use super::publisher::{Publisher, Stream};
use crate::relay::target::Sample;
use crate::rig::Addresses;
use crate::rig::heap::Probes;
use crate::rig::process::ServerProcess;
use crate::rig::sink::Unreached;
use crate::servers::{FIRST_PORT, bare};

/// Connections that come up at once.
const IN_FLIGHT: usize = 64;
/// A round has ended, queues included, so long after its load.
const SETTLED: Duration = Duration::from_secs(1);
const JOINING: Duration = Duration::from_secs(60);

/// Which server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Forwarder {
    /// Copies by sendmmsg, without protocol and cipher.
    Bare,
    /// Debian's Janus, video room plugin.
    Janus,
    /// Ours.
    Forebay,
}

impl Forwarder {
    /// Name in tables.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Bare => "bare copies",
            Self::Janus => "janus",
            Self::Forebay => "forebay",
        }
    }
}

struct Bare {
    process: ServerProcess,
    _files: TempDir,
}

enum Running {
    Bare(Bare),
    Janus(Box<Janus>),
    Forebay(Box<Forebay>),
}

/// See the module.
pub struct Target {
    running: Running,
    addresses: Addresses,
    layout: Layout,
    stream: Stream,
    peers: Vec<Peer>,
    publishers: Vec<Publisher>,
    next: usize,
    /// Bytes of a datagram as subscribers get it.
    arriving: u64,
    /// From the first check to the keys, subscribers only.
    pub joins: Vec<Duration>,
    /// Handshakes per second while the subscribers joined.
    pub handshakes: f64,
}

impl Target {
    /// Starts the server and brings everything up.
    ///
    /// # Errors
    /// When anything fails.
    pub fn open(
        forwarder: Forwarder,
        layout: Layout,
        stream: Stream,
        dataplane: &Path,
    ) -> Result<Self> {
        if forwarder == Forwarder::Bare && matches!(layout, Layout::Rooms(_)) {
            bail!("it copies one flow to many and knows no rooms");
        }
        let addresses = Addresses::of_slot(5 + forwarder as u8);
        let identity = Identity::new()?;
        let publishing = |index| nth(addresses.clients, index);
        let subscribing = |index| nth(addresses.peers, index);
        let mut target = Self {
            running: match forwarder {
                Forwarder::Bare => {
                    let files = tempfile::Builder::new().prefix("fb-bench-").tempdir()?;
                    let flows = u16::try_from(layout.copies())?;
                    let process = bare("fan", flows, &addresses, files.path())?;
                    Running::Bare(Bare {
                        process,
                        _files: files,
                    })
                }
                Forwarder::Janus => Running::Janus(Box::new(Janus::start(&addresses)?)),
                Forwarder::Forebay => {
                    Running::Forebay(Box::new(Forebay::start(&addresses, dataplane)?))
                }
            },
            addresses,
            layout,
            stream,
            peers: Vec::new(),
            publishers: Vec::new(),
            next: 0,
            arriving: stream.datagram as u64,
            joins: Vec::new(),
            handshakes: 0.0,
        };
        let mut subscribers = Vec::new();
        match &mut target.running {
            Running::Bare(..) => {
                let keys = forebay_media::srtp::Keys {
                    profile: forebay_media::srtp::Profile::AeadAes128Gcm,
                    local: forebay_media::srtp::Master::default(),
                    remote: forebay_media::srtp::Master::default(),
                };
                for index in 0..layout.publishers() {
                    let socket = UdpSocket::bind(publishing(index)?)?;
                    socket.connect((addresses.server, 3478))?;
                    target
                        .publishers
                        .push(Publisher::new(socket, &keys, stream, 1, 96)?);
                }
                return Ok(target);
            }
            Running::Forebay(server) => {
                let credentials = server.describe(layout, stream, &identity)?;
                let address = server.address();
                for (index, ice) in credentials.into_iter().enumerate() {
                    if let Some(subscriber) = index.checked_sub(layout.publishers()) {
                        let local = subscribing(subscriber)?;
                        subscribers.push(Peer::new(local, address, ice, &identity)?);
                    } else {
                        let local = publishing(index)?;
                        target
                            .peers
                            .push(Peer::new(local, address, ice, &identity)?);
                    }
                }
                connect(&mut target.peers, IN_FLIGHT, JOINING)?;
            }
            Running::Janus(server) => {
                let peers = &mut target.peers;
                let described = server.describe(layout, stream, &identity, |described| {
                    for (index, one) in described.iter().enumerate() {
                        let local = publishing(index)?;
                        peers.push(Peer::new(local, one.server, one.ice.clone(), &identity)?);
                    }
                    connect(peers, IN_FLIGHT, JOINING)
                })?;
                for (index, one) in described.into_iter().enumerate() {
                    let local = subscribing(index)?;
                    subscribers.push(Peer::new(local, one.server, one.ice, &identity)?);
                }
            }
        }
        let started = Instant::now();
        connect(&mut subscribers, IN_FLIGHT, JOINING)?;
        target.handshakes = subscribers.len() as f64 / started.elapsed().as_secs_f64();
        target.joins = subscribers.iter().map(|peer| peer.joined_in).collect();
        for (index, peer) in target.peers.iter().enumerate() {
            let keys = peer.keys.as_ref().context("a publisher is not up")?;
            let socket = peer.socket.try_clone()?;
            let payload_type = if stream.video {
                forebay::VIDEO
            } else {
                forebay::AUDIO
            };
            let ssrc = forebay::ssrc(index);
            target
                .publishers
                .push(Publisher::new(socket, keys, stream, ssrc, payload_type)?);
        }
        target.peers.append(&mut subscribers);
        target.warm_up()?;
        Ok(target)
    }

    /// Sends until subscribers get what was published, and learns its size.
    fn warm_up(&mut self) -> Result<()> {
        let first = self.layout.publishers();
        let mut buffer = [0; 2048];
        let mut heard = vec![false; self.layout.subscribers()];
        let end = Instant::now() + Duration::from_secs(10);
        while Instant::now() < end {
            for publisher in &mut self.publishers {
                publisher.send()?;
            }
            thread::sleep(Duration::from_millis(20));
            for (peer, heard) in self.peers[first..].iter().zip(&mut heard) {
                while let Ok(length) = peer.socket.recv(&mut buffer) {
                    if forebay_wire::Protocol::of(&buffer[..length]) == forebay_wire::Protocol::Rtp
                    {
                        *heard = true;
                        self.arriving = length as u64;
                    }
                }
            }
            if heard.iter().all(|heard| *heard) {
                return Ok(());
            }
        }
        let deaf = heard.iter().filter(|heard| !**heard).count();
        bail!(
            "{deaf} of {} subscribers get nothing of what is published",
            heard.len()
        )
    }

    fn process(&self) -> &ServerProcess {
        match &self.running {
            Running::Bare(bare) => &bare.process,
            Running::Janus(janus) => &janus.process,
            Running::Forebay(forebay) => &forebay.process,
        }
    }

    /// Offers frames for `duration`, so many that `rate` packets leave the
    /// server per second, and counts what comes out.
    ///
    /// # Errors
    /// When the server is gone or the rig fails.
    pub fn round(&mut self, rate: f64, duration: Duration) -> Result<Sample> {
        self.keep_alive()?;
        let per_frame = (self.stream.burst * self.layout.copies()) as f64;
        let frames = rate / per_frame;
        let sink = Unreached::new(self.addresses.peers)?;
        let before = self.process().cpu_ns()?;
        let started = Instant::now();
        let mut sent = 0_u64;
        let mut elapsed = started.elapsed();
        while elapsed < duration {
            if (sent as f64) < elapsed.as_secs_f64() * frames {
                let at = self.next;
                self.next = (at + 1) % self.publishers.len();
                self.publishers[at].send()?;
                sent += 1;
            } else {
                std::hint::spin_loop();
            }
            elapsed = started.elapsed();
        }
        let after = self.process().settled_cpu_ns()?;
        let arrived = sink.about(self.arriving)?;
        let cpu_ns = after - before;
        Ok(Sample {
            sent: (sent as f64 * per_frame) as u64,
            arrived: arrived.datagrams,
            frames: arrived.frames,
            cpu_ns,
            seconds: elapsed.as_secs_f64().max(cpu_ns as f64 / 1e9),
        })
    }

    /// How often the server takes memory per packet that leaves, in a round of
    /// its own, beyond what it takes in as long a time without load.
    ///
    /// # Errors
    /// As [`Target::round`]; also when the kernel does not count that.
    pub fn allocations(&mut self, rate: f64, duration: Duration) -> Result<f64> {
        let pid = self.process().id();
        let probes = Probes::install(pid)?;
        let time = duration + SETTLED;
        let idle = probes.count(pid, time)?;
        self.keep_alive()?;
        let idle = idle.finish()?;
        let counting = probes.count(pid, time)?;
        let sample = self.round(rate, duration)?;
        let taken = counting.finish()?.saturating_sub(idle);
        Ok(taken as f64 / sample.arrived.max(1) as f64)
    }

    /// Checks of every connection: consent.
    fn keep_alive(&mut self) -> Result<()> {
        let mut buffer = [0; 2048];
        for peer in &mut self.peers {
            peer.check()?;
            while peer.socket.recv(&mut buffer).is_ok() {}
        }
        match &mut self.running {
            Running::Janus(janus) => janus.keep_alive(),
            Running::Forebay(forebay) => forebay.listen(),
            Running::Bare(..) => Ok(()),
        }
    }
}

fn nth(ip: std::net::Ipv4Addr, index: usize) -> Result<SocketAddr> {
    let port = FIRST_PORT
        .checked_add(u16::try_from(index)?)
        .context("not that many ports")?;
    Ok(SocketAddr::new(ip.into(), port))
}
