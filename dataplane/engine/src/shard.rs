//! One core's state and the batch loop over it.

use std::collections::VecDeque;

use forebay_media::{Change, Path, Progress, Refusal, Report, SessionKey};
use forebay_turn::{
    AuthFailures, Credentials, FiveTuple, OfferedRelay, PeerPolicy, RelaysHeld, Seeds, Server,
    SocketId, Surveyed,
};
use forebay_wire::clock::{Instant, Now};

use crate::batch::{RxBatch, TxBatch};
use crate::command::Command;
use crate::config::ShardConfig;
use crate::counters::Counters;
use crate::forwarding::Forwarding;
use crate::media::{LastToClient, LastToPeer, Media};
use crate::runs::Runs;
use crate::tcp::TcpCommand;
use crate::wheel::Wheel;

/// A five-tuple as the forwarder calls it.
fn path(tuple: &FiveTuple) -> Path {
    Path {
        socket: forebay_media::SocketId(tuple.socket.0),
        local: tuple.local,
        remote: tuple.client.0,
    }
}

/// All state of one core.
///
/// # Calling contract
/// Per round: `handle` with what arrived (may be empty); while it says
/// [`Progress::More`], send the batch and `resume` with the same receive
/// memory; then `icmp` for errors that came in, `on_timeout` when `next_deadline` has passed, then
/// `next_command` until it is empty. `Now` never goes backwards. Everything in
/// the transmit batch must be sent (or dropped) before the receive buffers are
/// given back to the kernel. What `icmp`, `on_timeout`, `apply` and `send_dtls` send is
/// added to the batch they are given: always the one of `handle`, emptied once
/// it was sent.
///
/// `handle` queues nothing per packet and allocates nothing, but for the
/// username in the [`Command::Created`] of a new allocation and the datagrams
/// of [`Command::Dtls`].
///
/// Commands wait in a queue of fixed size. While it has no room, requests are
/// dropped (clients repeat them) and timers stay due, so no command is ever
/// lost, and a relay socket cannot leak.
pub struct Shard {
    pub(crate) server: Server,
    pub(crate) listeners: u32,
    relay_ids: core::ops::Range<u32>,
    media_streams: core::ops::Range<u32>,
    forwarding: Option<Box<Forwarding>>,
    pub(crate) requests_per_batch: u16,
    pub(crate) counters: Counters,
    pub(crate) commands: VecDeque<Command>,
    pub(crate) answer: Box<[u8]>,
    /// One bit per slot that holds STUN for the second pass.
    pub(crate) requesting: [u64; RxBatch::MAX_SLOTS / 64],
    to_peers: Runs,
    to_clients: Runs,
    wheel: Wheel,
    pub(crate) transactions: u64,
}

impl Shard {
    /// Commands that may wait. A worker empties the queue every round, so this
    /// only bounds how many allocations one round may make or end: enough for
    /// 30,000 a second in rounds of 10 ms.
    const COMMANDS: usize = 1024;
    /// Free places the queue must have before the server is given something
    /// that may end an allocation (three commands) and make one, or a request
    /// that goes to another shard.
    const COMMANDS_PER_CALL: usize = 8;
    /// Timers run in one `on_timeout`, so that thousands of permissions of one
    /// age do not hold up media.
    const TIMERS_PER_CALL: usize = 256;

    /// A tick of TURN's timers: 2^28 ns (268 ms). Every lifetime of RFC 8656 is
    /// whole seconds and the tables judge expiry by the clock themselves, so a
    /// timer only decides when memory and ports come back.
    const TICK_SHIFT: u32 = 28;

    /// Takes all memory the shard will use; see [`Shard::memory`].
    pub fn new(config: ShardConfig, seeds: Seeds) -> Self {
        let allocations = config.turn.capacity.allocations as usize;
        let transactions = seeds.random;
        let relay_ids = config.first_relay()..config.sockets.max(config.first_relay());
        let media_streams = config.media_streams();
        let server = Server::new(config.turn, seeds);
        Self {
            to_peers: Runs::new(server.peer_flows(), config.max_segment),
            to_clients: Runs::new(allocations, config.max_segment),
            wheel: Wheel::new(server.timers(), Self::TICK_SHIFT),
            server,
            listeners: config.listeners,
            relay_ids,
            media_streams,
            forwarding: config
                .media
                .map(|media| Box::new(Forwarding::new(media, config.max_segment))),
            requests_per_batch: config.requests_per_batch,
            counters: Counters::default(),
            commands: VecDeque::with_capacity(Self::COMMANDS),
            answer: vec![0; Server::MAX_ANSWER].into(),
            requesting: [0; _],
            transactions,
        }
    }

    /// Handles a batch. `tx` is cleared first.
    pub fn handle(&mut self, now: Now, rx: &mut RxBatch<'_>, tx: &mut TxBatch) -> Progress {
        tx.clear();
        self.to_peers.next_batch();
        self.to_clients.next_batch();
        self.requesting = [0; _];
        let mut requests = false;
        let mut forward = false;
        let first_relay = self.relay_ids.start;
        let relays = self.relay_ids.len() as u32;
        let media_sockets = first_relay - self.listeners;
        let first_stream = self.media_streams.start;
        let media_streams = self.media_streams.len() as u32;
        let mut media = Media {
            now,
            server: &mut self.server,
            counters: &mut self.counters,
            to_peers: &mut self.to_peers,
            to_clients: &mut self.to_clients,
            memory: rx.memory,
            tx,
            transactions: &mut self.transactions,
            zeros: None,
            first_stream: SocketId(self.relay_ids.end),
            last_to_peer: LastToPeer::nothing(),
            last_to_client: LastToClient::nothing(),
        };
        for (index, slot) in rx.slots.iter().enumerate() {
            if slot.socket.0.wrapping_sub(first_relay) < relays {
                media.peer_slot(slot);
            } else if slot.socket.0.wrapping_sub(self.listeners) < media_sockets
                || slot.socket.0.wrapping_sub(first_stream) < media_streams
            {
                forward = true;
            } else if media.client_slot(slot) {
                requests = true;
                let index = index % RxBatch::MAX_SLOTS;
                self.requesting[index / 64] |= 1 << (index % 64);
            }
        }
        media.settle_to_peer();
        media.settle_to_client();
        self.counters.relay_transmits += tx.transmits.len() as u64;
        if requests {
            self.requests(now, rx, tx);
        }
        match &mut self.forwarding {
            // Last, for it may fill the batch.
            Some(forwarding) if forward => {
                let of_media = [self.listeners..first_relay, self.media_streams.clone()];
                let progress = forwarding.handle(now, rx, &of_media, tx, &mut self.counters);
                self.collect();
                progress
            }
            _ => Progress::Done,
        }
    }

    /// Goes on after [`Progress::More`], with the same receive memory. `tx` is
    /// cleared first.
    #[cold]
    pub fn resume(&mut self, now: Now, memory: &[u8], tx: &mut TxBatch) -> Progress {
        tx.clear();
        match &mut self.forwarding {
            Some(forwarding) => forwarding.resume(now, memory, tx, &mut self.counters),
            None => Progress::Done,
        }
    }

    /// Handles a request that another shard gave this one; the answer is added
    /// to `tx`.
    #[cold]
    pub fn forwarded(&mut self, now: Now, tuple: &FiveTuple, request: &[u8], tx: &mut TxBatch) {
        self.request(now, tuple, request, tx, &mut 1);
    }

    /// Whether a client is served at this five-tuple, or has moved there.
    pub fn serves(&self, tuple: &FiveTuple) -> bool {
        self.server.serves(tuple)
    }

    /// Runs timers that are due, a bounded number per call. What they send is
    /// added to `tx`.
    pub fn on_timeout(&mut self, now: Now, tx: &mut TxBatch) {
        if let Some(forwarding) = &mut self.forwarding {
            forwarding.on_timeout(now, tx, &mut self.counters);
            self.collect();
        }
        for _ in 0..Self::TIMERS_PER_CALL {
            if !self.has_room_for_commands() {
                return;
            }
            let Some(token) = self.wheel.pop_due(now.instant) else {
                return;
            };
            self.server.on_timer(now, token);
            self.collect();
        }
    }

    /// When `on_timeout` wants to be called next.
    pub fn next_deadline(&self) -> Option<Instant> {
        let forwarding = self.forwarding.as_ref();
        [
            self.wheel.next_deadline(),
            forwarding.and_then(|forwarding| forwarding.next_deadline()),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// Changes what is forwarded. Keyframe requests and the like are added to
    /// `tx`.
    ///
    /// # Errors
    /// Why nothing was changed; [`Refusal::Unknown`] where the shard forwards
    /// nothing at all.
    pub fn apply(&mut self, now: Now, change: Change, tx: &mut TxBatch) -> Result<(), Refusal> {
        let forwarding = self.forwarding.as_mut().ok_or(Refusal::Unknown)?;
        let outcome = forwarding.apply(now, change, tx, &mut self.counters);
        self.collect();
        outcome
    }

    /// Adds a datagram of the session's DTLS handshake to `tx`; dropped when
    /// there is no path or no room.
    pub fn send_dtls(&mut self, session: SessionKey, datagram: &[u8], tx: &mut TxBatch) {
        if let Some(forwarding) = &mut self.forwarding {
            forwarding.send_dtls(session, datagram, tx, &mut self.counters);
        }
    }

    /// Visits the quality of the next few sessions in turn.
    pub fn report(&mut self, now: Now, visit: &mut dyn FnMut(Report)) {
        if let Some(forwarding) = &mut self.forwarding {
            forwarding.forwarder.report(now, visit);
        }
    }

    /// What the forwarder counted; `None` where nothing is forwarded.
    pub fn media_counters(&self) -> Option<&forebay_media::Counters> {
        let forwarding = self.forwarding.as_ref()?;
        Some(forwarding.forwarder.counters())
    }

    /// Rare work, oldest first.
    pub fn next_command(&mut self) -> Option<Command> {
        if self.commands.is_empty() {
            self.collect();
        }
        self.commands.pop_front()
    }

    /// Hands in a ready relay socket; see [`Server::offer_relay`].
    ///
    /// # Errors
    /// The relay itself, when the server has enough or its id is outside the
    /// range the shard was made for.
    pub fn offer_relay(&mut self, relay: OfferedRelay) -> Result<(), OfferedRelay> {
        if !self.relay_ids.contains(&relay.socket.0) {
            return Err(relay);
        }
        self.server.offer_relay(relay)
    }

    /// Hands in an even port and the one above it; see [`Server::offer_pair`].
    /// False also when an id is outside the range the shard was made for.
    pub fn offer_pair(&mut self, even: OfferedRelay, odd: OfferedRelay) -> bool {
        let ours = |relay: &OfferedRelay| self.relay_ids.contains(&relay.socket.0);
        [even, odd].iter().all(ours) && self.server.offer_pair(even, odd)
    }

    /// Takes a relay back that was handed in, or `None` when none is in hand.
    pub fn take_back_relay(&mut self, v6: bool) -> Option<OfferedRelay> {
        self.server.take_back_relay(v6)
    }

    /// Relays in hand that are no part of a pair.
    pub fn relays_held(&self) -> RelaysHeld {
        self.server.relays_held()
    }

    /// Pairs of relays in hand.
    pub fn pairs_held(&self) -> RelaysHeld {
        self.server.pairs_held()
    }

    /// Ports reserved and not yet claimed.
    pub fn reservations(&self) -> usize {
        self.server.reservations()
    }

    /// Requests answered with another server.
    pub fn redirected(&self) -> u64 {
        self.server.redirected()
    }

    /// Requests that were refused for their credentials.
    pub fn auth_failures(&self) -> &AuthFailures {
        self.server.auth_failures()
    }

    /// Replaces who may allocate.
    pub fn set_credentials(&mut self, credentials: &Credentials) {
        self.server.set_credentials(credentials);
        self.collect();
    }

    /// Replaces the peer policy.
    pub fn set_policy(&mut self, policy: &PeerPolicy) {
        self.server.set_policy(policy);
        self.collect();
    }

    /// Ends an allocation on the operator's behalf. False if it is gone.
    pub fn delete(&mut self, now: Now, allocation: forebay_turn::AllocationId) -> bool {
        let found = self.server.delete(now, allocation);
        self.collect();
        found
    }

    /// A client has connected on this stream's socket, over TLS or DTLS if
    /// `secure`.
    pub fn client_connected(&mut self, socket: SocketId, secure: bool) {
        self.server.client_connected(socket, secure);
    }

    /// The connection of this five-tuple is gone: ends what it held. Its id
    /// may be used again at once.
    pub fn disconnected(&mut self, tuple: &FiveTuple) {
        match &mut self.forwarding {
            Some(forwarding) if self.media_streams.contains(&tuple.socket.0) => {
                forwarding.forwarder.disconnected(&path(tuple));
            }
            _ => {
                self.server.disconnected(tuple);
            }
        }
        self.collect();
    }

    /// Whether a five-tuple has a live allocation, or is one of a session's
    /// paths.
    pub fn is_used(&self, now: Now, tuple: &FiveTuple) -> bool {
        match &self.forwarding {
            Some(forwarding) if self.media_streams.contains(&tuple.socket.0) => {
                forwarding.forwarder.knows(&path(tuple))
            }
            _ => self.server.has_allocation(now, tuple),
        }
    }

    /// Refuses new allocations from now on.
    pub fn drain(&mut self) {
        self.server.drain();
        self.collect();
    }

    /// Lowers the largest segment merged into a GSO send, after the kernel
    /// refused one of this size; not below what every IPv6 path carries.
    pub fn lower_max_segment(&mut self, refused: u16) {
        self.to_peers.lower_max_segment(refused);
        self.to_clients.lower_max_segment(refused);
        if let Some(forwarding) = &mut self.forwarding {
            forwarding.coalescer.lower_max_segment(refused);
        }
    }

    /// Visits live allocations, a bounded number per call; see
    /// [`Server::survey`].
    pub fn survey(&self, from: u32, most: u32, visit: &mut dyn FnMut(Surveyed)) -> Option<u32> {
        self.server.survey(from, most, visit)
    }

    /// Live allocations.
    pub fn allocations(&self) -> usize {
        self.server.allocations()
    }

    /// The counters.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Bytes of memory taken at construction.
    pub fn memory(&self) -> usize {
        self.server.memory()
            + self.to_peers.memory()
            + self.to_clients.memory()
            + self.wheel.memory()
            + self
                .forwarding
                .as_ref()
                .map_or(0, |forwarding| forwarding.memory())
            + Self::COMMANDS * size_of::<Command>()
            + self.answer.len()
            + size_of::<Self>()
    }

    /// Verifies the shard's own invariants; for tests and simulators, never
    /// called in production.
    ///
    /// # Errors
    /// Which invariant does not hold.
    pub fn check(&self) -> Result<(), &'static str> {
        if self.commands.capacity() > Self::COMMANDS.next_power_of_two() {
            return Err("the command queue has grown");
        }
        if self.allocations() > self.wheel.len() {
            return Err("an allocation has no timer that would end it");
        }
        if let Some(forwarding) = &self.forwarding {
            forwarding.wheel.check()?;
        }
        self.wheel.check()
    }

    pub(crate) fn has_room_for_commands(&self) -> bool {
        self.commands.len() + Self::COMMANDS_PER_CALL <= Self::COMMANDS
    }

    /// Takes over what the server and the forwarder have queued.
    pub(crate) fn collect(&mut self) {
        if let Some(forwarding) = &mut self.forwarding {
            forwarding.collect(&mut self.commands, Self::COMMANDS);
        }
        while self.commands.len() < Self::COMMANDS
            && let Some(command) = self.server.next_command()
        {
            let command = match command {
                forebay_turn::Command::Arm { token, at } => {
                    // Cannot fail: the wheel has a node for every timer the
                    // server may have armed at once.
                    let armed = self.wheel.arm(token, at);
                    debug_assert_eq!(armed, Ok(()));
                    continue;
                }
                forebay_turn::Command::CloseRelay(socket) => Command::CloseRelay(socket),
                forebay_turn::Command::Connect {
                    connection,
                    relay,
                    peer,
                } => Command::Tcp(TcpCommand::Connect {
                    connection,
                    relay,
                    peer,
                }),
                forebay_turn::Command::GiveUp(connection) => {
                    Command::Tcp(TcpCommand::GiveUp(connection))
                }
                forebay_turn::Command::Created {
                    allocation,
                    tuple,
                    relayed,
                    tcp,
                    username,
                    ..
                } => {
                    self.counters.allocations_created += 1;
                    Command::Created {
                        allocation,
                        tuple,
                        relayed,
                        tcp,
                        username,
                    }
                }
                forebay_turn::Command::Deleted {
                    allocation,
                    reason,
                    usage,
                } => {
                    self.counters.allocations_deleted += 1;
                    Command::Deleted {
                        allocation,
                        reason,
                        usage,
                    }
                }
            };
            self.commands.push_back(command);
        }
    }
}
