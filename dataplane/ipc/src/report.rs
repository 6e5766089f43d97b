//! What the data plane tells the control plane.

use core::net::{IpAddr, SocketAddr};

use minicbor::{Decode, Encode};

use crate::bounded::{List, Text};
use crate::command::Generation;
use crate::handshake::{Rejected, Welcome};
use crate::limits;
use crate::media::{
    Fingerprint, MediaEvents, MediaSession, MediaSubscription, MediaTrack, MediaWorker,
};
use crate::operate::{Reloaded, SessionPage};

/// A message from the data plane.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum FromDataplane {
    /// Admits the connection.
    #[n(0)]
    Welcome(#[n(0)] Welcome),
    /// Refuses the connection.
    #[n(1)]
    Rejected(#[n(0)] Rejected),
    /// Opens the snapshot.
    #[n(2)]
    SnapshotBegin(#[n(0)] SnapshotBegin),
    /// Some of the snapshot's workers.
    #[n(3)]
    Workers(#[n(0)] List<Worker, { limits::WORKERS }>),
    /// Allocations that exist: a page of the snapshot, or newly made.
    #[n(4)]
    Allocations(#[n(0)] AllocationPage),
    /// Closes the snapshot.
    #[n(5)]
    SnapshotEnd(#[n(0)] SnapshotEnd),
    /// Answers a command.
    #[n(6)]
    Ack(#[n(0)] Ack),
    /// Allocations that ended.
    #[n(7)]
    Deleted(#[n(0)] DeletedPage),
    /// A worker's statistics.
    #[n(8)]
    Stats(#[n(0)] StatsDigest),
    /// How far a drain has come; sent at its start, with every interval of
    /// statistics, and once more when nothing remains.
    #[n(9)]
    Drain(#[n(0)] DrainProgress),
    /// Where media is received; part of the snapshot.
    #[n(10)]
    MediaWorkers(#[n(0)] List<MediaWorker, { limits::MEDIA_WORKERS }>),
    /// A session that exists; part of the snapshot.
    #[n(11)]
    Session(#[n(0)] Box<MediaSession>),
    /// A track that exists; part of the snapshot, behind its session.
    #[n(12)]
    Track(#[n(0)] Box<MediaTrack>),
    /// Subscriptions that exist; part of the snapshot, behind their sessions
    /// and tracks.
    #[n(13)]
    Subscriptions(#[n(0)] List<MediaSubscription, { limits::SUBSCRIPTIONS }>),
    /// News about media.
    #[n(14)]
    Media(#[n(0)] MediaEvents),
    /// New handshakes use another certificate from now on.
    #[n(15)]
    Certificate(#[n(0)] Fingerprint),
    /// A page of sessions.
    #[n(16)]
    Sessions(#[n(0)] SessionPage),
    /// What a reload did.
    #[n(17)]
    Reloaded(#[n(0)] Reloaded),
}

/// Allocations, at most one page.
pub type AllocationPage = List<Allocation, { limits::ALLOCATIONS }>;

/// Ended allocations, at most one page.
pub type DeletedPage = List<Deleted, { limits::ALLOCATIONS }>;

/// Everything about the data plane but its workers and allocations.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct SnapshotBegin {
    /// Where clients are served.
    #[n(0)]
    pub listeners: List<Listener, { limits::LISTENERS }>,
    /// Where relayed addresses come from.
    #[n(1)]
    pub relays: List<Relay, { limits::RELAYS }>,
    /// The ports of relayed addresses, all workers together.
    #[n(2)]
    pub relay_ports: PortRange,
    /// The credentials in force; `None` before any were set.
    #[n(3)]
    pub credentials: Option<Generation>,
    /// The policy in force; `None` while it is the data plane's own.
    #[n(4)]
    pub policy: Option<Generation>,
    /// A drain under way.
    #[n(5)]
    pub drain: Option<DrainProgress>,
    /// The certificate of new DTLS handshakes; `None` when media is off.
    #[n(6)]
    pub certificate: Option<Fingerprint>,
}

/// A listening address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Encode, Decode)]
pub struct Listener {
    /// What clients speak there.
    #[n(0)]
    pub transport: Transport,
    /// Where, as bound.
    #[n(1)]
    pub address: SocketAddr,
}

/// Transport between client and server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Encode, Decode)]
#[cbor(index_only)]
pub enum Transport {
    /// Plain UDP.
    #[n(0)]
    Udp,
    /// Plain TCP.
    #[n(1)]
    Tcp,
    /// TLS over TCP.
    #[n(2)]
    Tls,
    /// DTLS over UDP.
    #[n(3)]
    Dtls,
}

/// A relay address as bound here and as the world sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Encode, Decode)]
pub struct Relay {
    /// Bound on this host.
    #[n(0)]
    pub local: IpAddr,
    /// Told to clients; equal to `local` without NAT.
    #[n(1)]
    pub public: IpAddr,
}

/// Ports, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Encode, Decode)]
pub struct PortRange {
    /// The first.
    #[n(0)]
    pub first: u16,
    /// The last.
    #[n(1)]
    pub last: u16,
}

/// One worker thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Encode, Decode)]
pub struct Worker {
    /// Dense index from zero.
    #[n(0)]
    pub index: u16,
    /// The core it is pinned to, if it is.
    #[n(1)]
    pub core: Option<u16>,
    /// Relay ports it owns.
    #[n(2)]
    pub relay_ports: u32,
    /// Allocations its tables have room for.
    #[n(3)]
    pub allocation_capacity: u32,
}

/// An allocation: worker, slot and generation, so that a stale id never names
/// the slot's next owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Encode, Decode)]
pub struct AllocationId {
    /// The worker's index.
    #[n(0)]
    pub worker: u16,
    /// The slot within the worker.
    #[n(1)]
    pub slot: u32,
    /// Counts the slot's owners.
    #[n(2)]
    pub generation: u32,
}

/// A live allocation.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Allocation {
    /// Its id.
    #[n(0)]
    pub id: AllocationId,
    /// The client's transport address as the server sees it.
    #[n(1)]
    pub client: SocketAddr,
    /// The relayed transport address as the client was told.
    #[n(2)]
    pub relayed: SocketAddr,
    /// The authenticated username as it came: attacker data.
    #[n(3)]
    pub username: Text<{ limits::USERNAME }>,
    /// When it was made, seconds since the Unix epoch.
    #[n(4)]
    pub created_at: u64,
}

/// An allocation that ended.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Deleted {
    /// Its id.
    #[n(0)]
    pub id: AllocationId,
    /// The username it was made with: attacker data.
    #[n(1)]
    pub username: Text<{ limits::USERNAME }>,
    /// Why it ended.
    #[n(2)]
    pub reason: Deletion,
    /// Seconds it lived.
    #[n(3)]
    pub lived_seconds: u64,
    /// What it moved.
    #[n(4)]
    pub usage: Usage,
}

/// Why an allocation ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Encode, Decode)]
#[cbor(index_only)]
pub enum Deletion {
    /// Its lifetime passed without a Refresh.
    #[n(0)]
    Expired,
    /// The client refreshed it with lifetime zero.
    #[n(1)]
    ClosedByClient,
    /// The operator or a policy ended it.
    #[n(2)]
    Administrative,
    /// The connection it was made over is gone.
    #[n(3)]
    Disconnected,
    /// Its end was not told in time and found out later.
    #[n(4)]
    Unseen,
    /// The data plane stopped.
    #[n(5)]
    Stopped,
}

/// What an allocation moved, payload only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Encode, Decode)]
pub struct Usage {
    /// Packets relayed from the client to peers.
    #[n(0)]
    pub to_peer_packets: u64,
    /// Bytes relayed from the client to peers.
    #[n(1)]
    pub to_peer_bytes: u64,
    /// Packets relayed from peers to the client.
    #[n(2)]
    pub to_client_packets: u64,
    /// Bytes relayed from peers to the client.
    #[n(3)]
    pub to_client_bytes: u64,
}

/// Closes a snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Encode, Decode)]
pub struct SnapshotEnd {
    /// Allocations the snapshot listed.
    #[n(0)]
    pub allocations: u32,
}

/// Answers the command of the same id.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Ack {
    /// The command's id.
    #[n(0)]
    pub id: u32,
    /// What became of it.
    #[n(1)]
    pub outcome: Outcome,
    /// More for people; empty when the command was carried out.
    #[n(2)]
    pub text: Text<{ limits::SENTENCE }>,
}

/// What became of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Encode, Decode)]
#[cbor(index_only)]
pub enum Outcome {
    /// Carried out: every worker has taken it.
    #[n(0)]
    Done,
    /// Its generation is not above the one in force.
    #[n(1)]
    Stale,
    /// It makes no sense as it stands.
    #[n(2)]
    Invalid,
    /// The allocation does not exist.
    #[n(3)]
    NotFound,
    /// A worker's mailbox is full; try again.
    #[n(4)]
    Busy,
    /// The sender's role does not cover it.
    #[n(5)]
    Forbidden,
}

/// A worker's page of statistics.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct StatsDigest {
    /// The worker's index.
    #[n(0)]
    pub worker: u16,
    /// [`stats::fingerprint`](crate::stats::fingerprint) of the sender: values
    /// of another table are not to be read by this one's names.
    #[n(1)]
    pub table: u32,
    /// The values, in the order of [`stats::TABLE`](crate::stats::TABLE).
    #[n(2)]
    pub values: List<u64, { limits::STATS }>,
    /// Allocation events this connection missed because it read too slowly.
    #[n(3)]
    pub events_lost: u64,
}

/// How far a drain has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Encode, Decode)]
pub struct DrainProgress {
    /// Allocations that still live.
    #[n(0)]
    pub remaining: u32,
    /// Seconds until the deadline.
    #[n(1)]
    pub seconds_left: u32,
    /// How many of them are not waited for.
    #[n(2)]
    pub at_most: u32,
}
