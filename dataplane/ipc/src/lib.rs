//! The channel between data plane and control plane: plain types, one version,
//! a bounded codec, and the table of statistics.
//!
//! # Who says what, and when
//!
//! The data plane listens on a unix `SOCK_SEQPACKET` socket ([`socket`]); every
//! packet is one message ([`codec`]).
//!
//! 1. The client opens with [`Hello`]. The data plane answers [`Welcome`], or
//!    [`Rejected`] and closes.
//! 2. The data plane sends one snapshot: [`SnapshotBegin`], any number of
//!    [`Workers`](FromDataplane::Workers) and
//!    [`Allocations`](FromDataplane::Allocations) pages, where media is
//!    received ([`MediaWorkers`](FromDataplane::MediaWorkers)), every session,
//!    track and subscription that exists, [`SnapshotEnd`].
//! 3. From then on diffs flow both ways. The one connection in the role
//!    [`Role::Controller`] sends [`Command`]s, each of which is answered by one
//!    [`Ack`] with its id, in order. Both roles receive a [`StatsDigest`] per
//!    worker every [`STATS_INTERVAL`]; a client that has heard nothing for
//!    [`SILENCE_LIMIT`] treats the connection as broken. An observer's command
//!    is answered by [`Outcome::Forbidden`]; an operator, a person at the host,
//!    may drain, reload and end single allocations. Whoever is admitted may
//!    page through the sessions ([`ToDataplane::Sessions`]).
//!
//! Allocation events may interleave with the snapshot's pages, so both are
//! applied as "this is so now": a created allocation replaces one of the same
//! id, and deleting an unknown one is nothing. The data plane never waits for
//! a reader: what does not fit the socket's buffer is dropped and counted in
//! [`StatsDigest::events_lost`].
//!
//! Whatever breaks these rules (a message that does not decode, one out of
//! order) ends the connection, never the process.

mod bounded;
pub mod codec;
mod command;
mod handshake;
pub mod limits;
pub mod media;
mod operate;
mod report;
pub mod socket;
pub mod stats;

use core::time::Duration;

pub use bounded::{Bytes, List, Sensitive, Text, TooLong};
pub use command::{
    Command, Generation, Password, Prefix, RestSecret, SecretKey, SetCredentials, SetPolicy,
    ToDataplane, User,
};
pub use handshake::{BootId, Hello, Rejected, RejectionReason, Role, Welcome};
pub use operate::{ConfigChange, Cursor, Reloaded, Session, SessionPage, SessionUuid};
pub use report::{
    Ack, Allocation, AllocationId, AllocationPage, Deleted, DeletedPage, Deletion, DrainProgress,
    FromDataplane, Listener, Outcome, PortRange, Relay, SnapshotBegin, SnapshotEnd, StatsDigest,
    Transport, Usage, Worker,
};

/// The protocol's version. Any change to a golden file raises it; peers of
/// different versions refuse each other in the handshake.
pub const VERSION: u16 = 4;

/// How often the data plane sends every worker's statistics.
pub const STATS_INTERVAL: Duration = Duration::from_secs(1);

/// Silence after which a client gives the connection up.
pub const SILENCE_LIMIT: Duration = Duration::from_secs(10);
