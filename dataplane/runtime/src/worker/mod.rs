//! One pinned thread per core: reap, engine, submit.

mod adopted;
pub mod boot;
mod error;
mod handle;
mod icmp;
pub mod listen;
mod listeners;
mod mailbox;
pub mod media_sockets;
mod open_relays;
mod peers;
pub mod preflight;
mod publish;
mod real_time;
mod reaped;
pub mod relay_ports;
mod rounds;
mod sockets;
mod start;
mod streams;
mod survey;
mod system_calls;
mod tag;
mod transmit;

pub use error::{MailboxFull, StartError, WorkerFailed};
pub use handle::{Mailer, WorkerHandle};
pub use start::spawn;
pub use survey::{ClientPath, Measured};

use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use crate::dtls::Entrance;
use crate::streams::StreamLimits;
use forebay_engine::ShardConfig;
use forebay_ipc::stats;
use forebay_media::{Change, Event, Refusal, Report, SessionKey, SubscriptionKey, TrackKey};
use forebay_turn::{
    AllocationId, Credentials, Deletion, FiveTuple, PeerPolicy, RelayMapping, RelayedAddr, Seeds,
    Usage,
};
use forebay_wire::clock::Instant;

/// One listening address of one worker. Two kernel sockets of the same
/// SO_REUSEPORT group, steered by a classic BPF program: requests have a
/// receive buffer of their own, which a flood of media cannot fill.
#[derive(Debug)]
pub struct Listener {
    /// The address both are bound to.
    pub address: SocketAddr,
    /// Receives STUN except Send indications.
    pub control: OwnedFd,
    /// Receives everything else; answers and relayed packets leave here.
    pub media: OwnedFd,
}

/// One media address of one worker, its alone.
#[derive(Debug)]
pub struct MediaSocket {
    /// The address it is bound to; never a wildcard.
    pub address: SocketAddr,
    /// The socket.
    pub socket: OwnedFd,
}

/// What a worker is made from.
pub struct WorkerConfig {
    /// Dense index from zero.
    pub index: usize,
    /// The core to pin to; `None` leaves the thread unpinned.
    pub core: Option<usize>,
    /// Whether to run ahead of ordinary threads (SCHED_RR) while the worker
    /// never finds time to sleep, where permitted.
    /// The kernel's own receive thread is one: as equals they would share the
    /// core, half of it spent on receiving what is then dropped.
    pub real_time: bool,
    /// Its listening sockets.
    pub listeners: Vec<Listener>,
    /// Its media sockets; as many as the shard was told.
    pub media: Vec<MediaSocket>,
    /// Where it hands datagrams of DTLS handshakes.
    pub dtls: Option<Entrance>,
    /// Relay addresses.
    pub relays: Vec<RelayMapping>,
    /// The relay ports that are this worker's alone, on every relay address.
    pub relay_ports: Vec<u16>,
    /// Relay sockets to keep open ahead of Allocate, per address family.
    pub relays_ready: usize,
    /// SO_RCVBUF of each relay socket, bytes.
    pub relay_receive_buffer: usize,
    /// SO_SNDBUF of each relay socket, bytes.
    pub relay_send_buffer: usize,
    /// SO_BUSY_POLL, microseconds; zero is off.
    pub busy_poll: u32,
    /// Whether the DSCP of what comes in is that of what goes out (RFC 8656
    /// §14), or best effort; ECN is carried on in either case.
    pub pass_dscp: bool,
    /// Receive buffers in the ring's provided-buffer group (a power of two).
    pub buffers: u16,
    /// The engine.
    pub shard: ShardConfig,
    /// The engine's randomness.
    pub seeds: Seeds,
    /// Who may allocate at start.
    pub credentials: Arc<Credentials>,
    /// The peer policy at start.
    pub policy: Arc<PeerPolicy>,
    /// What a client's connection may hold, and for how long.
    pub streams: StreamLimits,
}

/// What a worker is told.
#[derive(Debug, Clone)]
pub enum WorkerCommand {
    /// Replace who may allocate.
    SetCredentials(Arc<Credentials>),
    /// Replace the peer policy.
    SetPolicy(Arc<PeerPolicy>),
    /// End one allocation; nothing happens when it is gone.
    Delete(AllocationId),
    /// Replace who may allocate and the peer policy, each where given, in one
    /// step.
    Reconfigure {
        /// Who may allocate.
        credentials: Option<Arc<Credentials>>,
        /// The peer policy.
        policy: Option<Arc<PeerPolicy>>,
    },
    /// Tell what every live allocation moved so far, a few per round. Comes
    /// back with each [`WorkerReport::Surveyed`]; a survey under way is given
    /// up for a new one.
    Survey(u64),
    /// Refuse new allocations.
    Drain,
    /// Change what is forwarded.
    Media(Change),
    /// Send a datagram of the session's DTLS handshake.
    Dtls {
        /// Whose.
        session: SessionKey,
        /// At most 1,500 bytes.
        datagram: Box<[u8]>,
    },
    /// The ways to all workers, this one's among them, by index.
    Neighbours(Arc<[Mailer]>),
    /// A request that another worker got and this one has to answer; what else
    /// the client sends shall come here.
    TakeOver {
        /// Where it came to.
        tuple: FiveTuple,
        /// As received.
        request: Box<[u8]>,
    },
    /// Leave the loop and end the thread.
    Stop,
}

/// What a worker tells.
#[derive(Debug, Clone)]
pub enum WorkerReport {
    /// An allocation was made.
    Created {
        /// Slot and generation within the worker.
        allocation: AllocationId,
        /// Who asked, and how.
        path: ClientPath,
        /// What was given.
        relayed: RelayedAddr,
        /// Whether peers connect to it over TCP.
        tcp: bool,
        /// As it came: attacker data.
        username: Box<str>,
    },
    /// An allocation ended.
    Deleted {
        /// Slot and generation within the worker.
        allocation: AllocationId,
        /// Why.
        reason: Deletion,
        /// What it moved.
        usage: Usage,
    },
    /// Some of the allocations that live.
    Surveyed {
        /// The survey's number.
        survey: u64,
        /// Live ones among the slots looked at.
        found: Box<[Measured]>,
        /// When, on the monotonic clock.
        at: Instant,
        /// Whether every slot was looked at now.
        last: bool,
    },
    /// Credentials whose password was right were refused since this was last
    /// told.
    RefusedCredentials {
        /// The username had expired.
        expired: Option<RefusedCredential>,
        /// It expires further ahead than is accepted.
        too_far_ahead: Option<RefusedCredential>,
    },
    /// Something happened to media.
    Media(Event),
    /// One line of quality.
    Quality(Report),
    /// A change was not made.
    Refused {
        /// What it was about.
        subject: Subject,
        /// Why.
        why: Refusal,
    },
}

/// The latest of some credentials that were refused for one reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RefusedCredential {
    /// Who sent it.
    pub client: SocketAddr,
    /// How long ago its username had expired, or how far ahead it does.
    pub seconds: u64,
    /// How many there were, this one included.
    pub requests: u64,
}

impl WorkerReport {
    /// Whether it is about media.
    pub fn is_media(&self) -> bool {
        matches!(
            self,
            Self::Media(_) | Self::Quality(_) | Self::Refused { .. }
        )
    }
}

/// What a change of media is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Subject {
    /// A session, or its keys.
    Session(SessionKey),
    /// A track.
    Track(TrackKey),
    /// A subscription.
    Subscription(SubscriptionKey),
}

impl Subject {
    /// The subject of a change.
    pub fn of(change: &Change) -> Self {
        match change {
            Change::SetSession(session) => Self::Session(session.key),
            Change::RemoveSession(session) | Change::SetKeys { session, .. } => {
                Self::Session(*session)
            }
            Change::SetTrack(track) => Self::Track(track.key),
            Change::RemoveTrack(track) => Self::Track(*track),
            Change::SetSubscription(subscription) => Self::Subscription(subscription.key),
            Change::RemoveSubscription(subscription) => Self::Subscription(*subscription),
        }
    }
}

/// A worker's statistics, indexed by [`stats::Stat`], written in housekeeping
/// with relaxed stores.
pub type StatsPage = [AtomicU64; stats::COUNT];
