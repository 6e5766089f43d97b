//! What is measured.

use std::hint::black_box;
use std::net::SocketAddr;

use forebay_engine::{Ecn, RxBatch, RxSlot};
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

type Make = fn() -> Box<dyn Case>;

/// Name and maker of every case. A packet is 1200 bytes of payload.
pub(crate) const CASES: &[(&str, Make)] = &[
    ("parse an authenticated Allocate", || Box::new(Parse::new())),
    ("channel to peer, bursts of 1", || {
        to_peer(Wrap::Channel, 1, 1)
    }),
    ("channel to peer, bursts of 8", || {
        to_peer(Wrap::Channel, 8, 1)
    }),
    ("channel to peer, merged by 8", || {
        to_peer(Wrap::Channel, 1, 8)
    }),
    ("Send indication, bursts of 1", || {
        to_peer(Wrap::Indication, 1, 1)
    }),
    ("Send indication, bursts of 8", || {
        to_peer(Wrap::Indication, 8, 1)
    }),
    ("peer to channel, bursts of 1", || {
        to_client(Wrap::Channel, 1, 1)
    }),
    ("peer to channel, bursts of 8", || {
        to_client(Wrap::Channel, 8, 1)
    }),
    ("peer to channel, merged by 8", || {
        to_client(Wrap::Channel, 1, 8)
    }),
    ("Data indication, bursts of 1", || {
        to_client(Wrap::Indication, 1, 1)
    }),
    ("Data indication, merged by 8", || {
        to_client(Wrap::Indication, 1, 8)
    }),
    ("RTP header with 4 extensions, read", views::read_header),
    ("RTP header with 4 extensions, written", views::write_header),
    ("VP8 payload, read", views::vp8_frames),
    (
        "feedback on 100 packets, written",
        views::write_transport_cc,
    ),
    ("feedback on 100 packets, read", views::read_transport_cc),
    ("VP8 frames of 8 to 100", || {
        Box::new(FanOut::make(Codec::Vp8, 8, 1150, 100))
    }),
    ("H.264 frames of 8 to 100", || {
        Box::new(FanOut::make(Codec::H264, 8, 1150, 100))
    }),
    ("single Opus packets to 100", || {
        Box::new(FanOut::make(Codec::Opus, 1, 120, 100))
    }),
    ("channel not bound", || to_peer(Wrap::Unbound, 1, 1)),
    ("Allocate, challenged", || Box::new(Challenge::new())),
    ("Allocate, authenticated", || Box::new(Allocate::new())),
    ("SRTP protect, CM-80", || {
        Protect::in_place(Profile::AesCm128HmacSha1_80)
    }),
    ("SRTP protect, GCM-128", || {
        Protect::in_place(Profile::AeadAes128Gcm)
    }),
    ("SRTP protect, GCM-256", || {
        Protect::in_place(Profile::AeadAes256Gcm)
    }),
    ("SRTP protect and copy, GCM-128", || {
        Protect::copying(Profile::AeadAes128Gcm)
    }),
    ("SRTP unprotect, CM-80", || {
        Unprotect::boxed(Profile::AesCm128HmacSha1_80)
    }),
    ("SRTP unprotect, GCM-128", || {
        Unprotect::boxed(Profile::AeadAes128Gcm)
    }),
    ("SRTP unprotect, GCM-256", || {
        Unprotect::boxed(Profile::AeadAes256Gcm)
    }),
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
        let mut client = Client::new("198.51.100.7:4000");
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
enum Wrap {
    Channel,
    Indication,
    /// A channel nobody bound.
    Unbound,
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
        let Host {
            shard,
            now,
            tx,
            memory,
            ..
        } = &mut self.host;
        let mut rx = RxBatch {
            memory,
            slots: &self.batches[self.next],
        };
        let _ = shard.handle(*now, &mut rx, tx);
        self.packets
    }
}

/// An allocation with a way to its peer.
struct Flow {
    client: Client,
    relay: SocketId,
    peer: SocketAddr,
}

fn flows(host: &mut Host) -> Vec<Flow> {
    let peer = |index: usize| {
        let port = 5000 + index as u16;
        SocketAddr::new([203, 0, 113, 9].into(), port)
    };
    (0..FLOWS)
        .map(|index| {
            let mut client = Client::new(&format!("198.51.100.7:{}", 10_000 + index));
            let relayed = client.allocate(host);
            client.bind_channel(host, CHANNEL, peer(index));
            client.permit(host, "203.0.113.10:1024".parse().expect("an address"));
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
                host.receive(socket, source, Ecn(0), &vec![&datagram; merged]);
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
        let stranger = SocketAddr::new([203, 0, 113, 10].into(), 6000);
        let datagram = match wrap {
            Wrap::Channel => channel_data(CHANNEL, &PAYLOAD),
            Wrap::Indication => send_indication(stranger, &PAYLOAD),
            Wrap::Unbound => channel_data(CHANNEL + 1, &PAYLOAD),
        };
        (flow.client.socket, flow.client.address, datagram)
    })
}

fn to_client(wrap: Wrap, burst: usize, merged: usize) -> Box<dyn Case> {
    media(burst, merged, |flow| {
        let stranger = SocketAddr::new([203, 0, 113, 10].into(), 6000);
        let source = if wrap == Wrap::Channel {
            flow.peer
        } else {
            stranger
        };
        (flow.relay, source, PAYLOAD.to_vec())
    })
}

/// First requests, each answered with 401.
struct Challenge {
    host: Host,
    slots: Vec<RxSlot>,
}

impl Challenge {
    fn new() -> Self {
        let mut host = Host::new();
        for port in 0..32 {
            let mut client = Client::new(&format!("198.51.100.7:{}", 10_000 + port));
            let request = client.allocate_request();
            host.receive(client.socket, client.address, Ecn(0), &[request]);
        }
        let slots = std::mem::take(&mut host.slots);
        Self { host, slots }
    }
}

impl Case for Challenge {
    fn run(&mut self) -> u64 {
        let Host {
            shard,
            now,
            tx,
            memory,
            ..
        } = &mut self.host;
        let mut rx = RxBatch {
            memory,
            slots: &self.slots,
        };
        let _ = shard.handle(*now, &mut rx, tx);
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
                let mut client = Client::new(&format!("198.51.100.7:{}", 10_000 + index));
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
            let request = client.allocate_request();
            host.receive(client.socket, client.address, Ecn(0), &[request]);
        }
    }

    fn run(&mut self) -> u64 {
        self.host.handle();
        Self::AT_ONCE as u64
    }
}
