//! What live allocations moved so far, told when somebody asks: nothing is
//! counted, copied or looked up for it while packets are relayed.

use std::net::SocketAddr;

use forebay_engine::Shard;
use forebay_ipc::Transport;
use forebay_turn::{AllocationId, FiveTuple, Usage};
use forebay_wire::clock::Instant;

use super::WorkerReport;
use super::streams::Streams;
use crate::streams::ClientTransport;

/// Slots looked at in one round: at some ten nanoseconds each, more would hold
/// up media for longer than a batch takes.
const SLOTS: u32 = 256;

/// How a client reaches us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientPath {
    /// What it speaks.
    pub transport: Transport,
    /// The client as we see it.
    pub client: SocketAddr,
    /// Where it sends to.
    pub server: SocketAddr,
}

/// A live allocation at the moment it was looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Measured {
    /// Slot and generation within the worker.
    pub allocation: AllocationId,
    /// Where its client is now.
    pub path: ClientPath,
    /// Seconds until it ends unless it is refreshed.
    pub expires_in: u32,
    /// What it moved so far.
    pub usage: Usage,
}

/// A survey under way, and what it takes to describe a client.
#[derive(Debug)]
pub(super) struct Survey {
    listening: Box<[SocketAddr]>,
    number: u64,
    /// The slot to go on with.
    next: Option<u32>,
}

impl Survey {
    /// `listening`: the listening addresses by socket.
    pub(super) fn new(listening: Box<[SocketAddr]>) -> Self {
        Self {
            listening,
            number: 0,
            next: None,
        }
    }

    /// Starts the survey of this number.
    pub(super) fn begin(&mut self, number: u64) {
        self.number = number;
        self.begin_again();
    }

    /// Starts the last survey from the first slot.
    pub(super) fn begin_again(&mut self) {
        self.next = Some(0);
    }

    /// Whether one is under way.
    pub(super) fn is_under_way(&self) -> bool {
        self.next.is_some()
    }

    /// Looks at the next slots; `None` when no survey is under way.
    pub(super) fn step(
        &mut self,
        shard: &Shard,
        streams: &Streams,
        at: Instant,
    ) -> Option<WorkerReport> {
        let from = self.next?;
        let mut found = Vec::new();
        let listening = &self.listening;
        self.next = shard.survey(from, SLOTS, &mut |surveyed| {
            let left = surveyed.expires.since(at).as_secs();
            found.push(Measured {
                allocation: surveyed.allocation,
                path: path(listening, streams, &surveyed.tuple),
                expires_in: u32::try_from(left).unwrap_or(u32::MAX),
                usage: surveyed.usage,
            });
        });
        Some(WorkerReport::Surveyed {
            survey: self.number,
            found: found.into_boxed_slice(),
            at,
            last: self.next.is_none(),
        })
    }

    /// How the client of this five-tuple reaches us.
    pub(super) fn path(&self, streams: &Streams, tuple: &FiveTuple) -> ClientPath {
        path(&self.listening, streams, tuple)
    }
}

fn path(listening: &[SocketAddr], streams: &Streams, tuple: &FiveTuple) -> ClientPath {
    if let Some((transport, server)) = streams.via(tuple.socket) {
        return ClientPath {
            transport: match transport {
                ClientTransport::Tcp => Transport::Tcp,
                ClientTransport::Tls => Transport::Tls,
                ClientTransport::Dtls => Transport::Dtls,
            },
            client: tuple.client.0,
            server,
        };
    }
    let port = listening
        .get(tuple.socket.0 as usize)
        .map_or(0, SocketAddr::port);
    ClientPath {
        transport: Transport::Udp,
        client: tuple.client.0,
        server: SocketAddr::new(tuple.local, port),
    }
}
