//! What is measured.

use std::hint::black_box;
use std::net::SocketAddr;

use forebay_engine::{RxBatch, RxSlot, TrafficClass};
use forebay_media::Codec;
use forebay_media::srtp::Profile;
use forebay_turn::SocketId;
use forebay_wire::stun::Message;

use crate::fan_out::FanOut;
use crate::host::client::{Client, channel_data, send_indication};
use crate::host::{Host, config};
use crate::srtp::{Protect, Unprotect};
use crate::views;

/// Something that can be repeated.
pub(crate) trait Case {
    /// Before each round, not measured.
    fn prepare(&mut self) {}

    /// One round; returns how many operations it was.
    fn run(&mut self) -> u64;
}

/// How a case is made.
#[derive(Clone, Copy)]
pub(crate) enum What {
    /// A datagram of each flow this often in a row, in slots of so many.
    ToPeer(Wrap, usize, usize),
    /// As above, from the peers.
    ToClient(Wrap, usize, usize),
    /// Frames of so many packets of so many bytes, to a hundred.
    Frames(Codec, usize, usize),
    Protect(Profile),
    ProtectCopy(Profile),
    Unprotect(Profile),
    Other(fn() -> Box<dyn Case>),
}

impl What {
    pub(crate) fn make(self) -> Box<dyn Case> {
        match self {
            Self::ToPeer(wrap, burst, merged) => to_peer(wrap, burst, merged),
            Self::ToClient(wrap, burst, merged) => to_client(wrap, burst, merged),
            Self::Frames(codec, burst, payload) => {
                Box::new(FanOut::make(codec, burst, payload, 100))
            }
            Self::Protect(profile) => Protect::in_place(profile),
            Self::ProtectCopy(profile) => Protect::copying(profile),
            Self::Unprotect(profile) => Unprotect::boxed(profile),
            Self::Other(make) => make(),
        }
    }
}

const CM_80: Profile = Profile::AesCm128HmacSha1_80;
const GCM_128: Profile = Profile::AeadAes128Gcm;
const GCM_256: Profile = Profile::AeadAes256Gcm;

/// Name and kind of every case. A packet is 1200 bytes of payload.
#[rustfmt::skip]
pub(crate) const CASES: &[(&str, What)] = &[
    ("parse an authenticated Allocate", What::Other(|| Box::new(Parse::new()))),
    ("channel to peer, bursts of 1", What::ToPeer(Wrap::Channel, 1, 1)),
    ("channel to peer, bursts of 8", What::ToPeer(Wrap::Channel, 8, 1)),
    ("channel to peer, merged by 8", What::ToPeer(Wrap::Channel, 1, 8)),
    ("Send indication, bursts of 1", What::ToPeer(Wrap::Indication, 1, 1)),
    ("Send indication, bursts of 8", What::ToPeer(Wrap::Indication, 8, 1)),
    ("peer to channel, bursts of 1", What::ToClient(Wrap::Channel, 1, 1)),
    ("peer to channel, bursts of 8", What::ToClient(Wrap::Channel, 8, 1)),
    ("peer to channel, merged by 8", What::ToClient(Wrap::Channel, 1, 8)),
    ("Data indication, bursts of 1", What::ToClient(Wrap::Indication, 1, 1)),
    ("Data indication, merged by 8", What::ToClient(Wrap::Indication, 1, 8)),
    ("RTP header with 4 extensions, read", What::Other(views::read_header)),
    ("RTP header with 4 extensions, written", What::Other(views::write_header)),
    ("VP8 payload, read", What::Other(views::vp8_frames)),
    ("feedback on 100 packets, written", What::Other(views::write_transport_cc)),
    ("feedback on 100 packets, read", What::Other(views::read_transport_cc)),
    ("VP8 frames of 8 to 100", What::Frames(Codec::Vp8, 8, 1150)),
    ("H.264 frames of 8 to 100", What::Frames(Codec::H264, 8, 1150)),
    ("single Opus packets to 100", What::Frames(Codec::Opus, 1, 120)),
    ("channel not bound", What::ToPeer(Wrap::Unbound, 1, 1)),
    ("Allocate, challenged", What::Other(|| Box::new(Challenge::new()))),
    ("Allocate, authenticated", What::Other(|| Box::new(Allocate::new()))),
    ("SRTP protect, CM-80", What::Protect(CM_80)),
    ("SRTP protect, GCM-128", What::Protect(GCM_128)),
    ("SRTP protect, GCM-256", What::Protect(GCM_256)),
    ("SRTP protect and copy, GCM-128", What::ProtectCopy(GCM_128)),
    ("SRTP unprotect, CM-80", What::Unprotect(CM_80)),
    ("SRTP unprotect, GCM-128", What::Unprotect(GCM_128)),
    ("SRTP unprotect, GCM-256", What::Unprotect(GCM_256)),
];

const CHANNEL: u16 = 0x4000;
const PAYLOAD: [u8; 1200] = [0x5A; 1200];
/// Allocations that take turns, so that tables are not all in the first-level
/// cache.
const FLOWS: usize = 1000;
/// Packets in one batch.
const BATCH: usize = 256;

struct Parse {
    request: Vec<u8>,
}

impl Parse {
    fn new() -> Self {
        let mut client = client(0);
        client.realm = b"example.org".to_vec();
        client.nonce = vec![b'n'; 32];
        Self {
            request: client.allocate_request(),
        }
    }
}

impl Case for Parse {
    fn run(&mut self) -> u64 {
        for _ in 0..BATCH {
            let message = Message::parse(black_box(&self.request));
            black_box(message.is_ok_and(|message| message.username().is_some()));
        }
        BATCH as u64
    }
}

#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Wrap {
    Channel,
    Indication,
    /// A channel nobody bound.
    Unbound,
}

fn handle(host: &mut Host, slots: &[RxSlot]) {
    let mut rx = RxBatch {
        memory: &mut host.memory,
        slots,
    };
    let _ = host.shard.handle(host.now, &mut rx, &mut host.tx);
}

/// Batches of media, handled over and over.
struct Media {
    host: Host,
    batches: Vec<Vec<RxSlot>>,
    next: usize,
    packets: u64,
}

impl Case for Media {
    fn prepare(&mut self) {
        self.next = (self.next + 1) % self.batches.len();
    }

    fn run(&mut self) -> u64 {
        handle(&mut self.host, &self.batches[self.next]);
        self.packets
    }
}

/// An allocation with a way to its peer.
struct Flow {
    client: Client,
    relay: SocketId,
    peer: SocketAddr,
}

/// A peer without a channel.
fn stranger() -> SocketAddr {
    SocketAddr::new([203, 0, 113, 10].into(), 6000)
}

/// Where client `index` sends from.
fn client(index: usize) -> Client {
    Client::new(&format!("198.51.100.7:{}", 10_000 + index))
}

fn flows(host: &mut Host) -> Vec<Flow> {
    let peer = |index: usize| {
        let port = 5000 + index as u16;
        SocketAddr::new([203, 0, 113, 9].into(), port)
    };
    (0..FLOWS)
        .map(|index| {
            let mut client = client(index);
            let relayed = client.allocate(host);
            client.bind_channel(host, CHANNEL, peer(index));
            client.permit(host, stranger());
            Flow {
                relay: host.relay_at(relayed),
                client,
                peer: peer(index),
            }
        })
        .collect()
}

/// Every flow's datagram arrives `burst` times in a row, in slots of `merged`.
fn media(
    burst: usize,
    merged: usize,
    datagram: impl Fn(&Flow) -> (SocketId, SocketAddr, Vec<u8>),
) -> Box<dyn Case> {
    let mut host = Host::new();
    let flows = flows(&mut host);
    let slots = BATCH / merged;
    let mut batches = Vec::new();
    for chunk in flows.chunks_exact(slots / burst) {
        for flow in chunk {
            let (socket, source, datagram) = datagram(flow);
            for _ in 0..burst {
                host.receive(socket, source, TrafficClass(0), &vec![&datagram; merged]);
            }
        }
        // All batches share the receive memory: what differs is who sent.
        batches.push(std::mem::take(&mut host.slots));
    }
    Box::new(Media {
        host,
        batches,
        next: 0,
        packets: (slots * merged) as u64,
    })
}

fn to_peer(wrap: Wrap, burst: usize, merged: usize) -> Box<dyn Case> {
    media(burst, merged, |flow| {
        let datagram = match wrap {
            Wrap::Channel => channel_data(CHANNEL, &PAYLOAD),
            Wrap::Indication => send_indication(stranger(), &PAYLOAD),
            Wrap::Unbound => channel_data(CHANNEL + 1, &PAYLOAD),
        };
        (flow.client.socket, flow.client.address, datagram)
    })
}

fn to_client(wrap: Wrap, burst: usize, merged: usize) -> Box<dyn Case> {
    media(burst, merged, |flow| {
        let source = if wrap == Wrap::Channel {
            flow.peer
        } else {
            stranger()
        };
        (flow.relay, source, PAYLOAD.to_vec())
    })
}

/// A request for an allocation, for the next batch.
fn ask(host: &mut Host, client: &mut Client) {
    let request = client.allocate_request();
    host.receive(client.socket, client.address, TrafficClass(0), &[request]);
}

/// First requests, each answered with 401.
struct Challenge {
    host: Host,
    slots: Vec<RxSlot>,
}

impl Challenge {
    fn new() -> Self {
        let mut host = Host::new();
        for index in 0..32 {
            ask(&mut host, &mut client(index));
        }
        let slots = std::mem::take(&mut host.slots);
        Self { host, slots }
    }
}

impl Case for Challenge {
    fn run(&mut self) -> u64 {
        handle(&mut self.host, &self.slots);
        self.slots.len() as u64
    }
}

/// Requests that make an allocation, four at once.
struct Allocate {
    host: Host,
    clients: Vec<Client>,
}

impl Allocate {
    const AT_ONCE: usize = 4;

    fn new() -> Self {
        let mut host = Host::with(config());
        let clients = (0..Self::AT_ONCE)
            .map(|index| {
                let mut client = client(index);
                client.allocate(&mut host);
                client
            })
            .collect();
        Self { host, clients }
    }
}

impl Case for Allocate {
    fn prepare(&mut self) {
        let Self { host, clients } = self;
        for client in clients.iter_mut() {
            client.refresh(host, 0);
        }
        host.commands.clear();
        for client in clients {
            ask(host, client);
        }
    }

    fn run(&mut self) -> u64 {
        self.host.handle();
        Self::AT_ONCE as u64
    }
}
