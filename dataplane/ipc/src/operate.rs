//! What people at the host ask for and are told: sessions, reloads.

use core::net::SocketAddr;

use minicbor::{Decode, Encode};

use crate::bounded::{List, Text};
use crate::limits;
use crate::report::{AllocationId, Transport, Usage};

/// A place in the list of sessions: worker, then slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Encode, Decode)]
pub struct Cursor {
    /// The worker's index.
    #[n(0)]
    pub worker: u16,
    /// The slot within the worker.
    #[n(1)]
    pub slot: u32,
}

/// Names one session for all time; the same in its usage records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Encode, Decode)]
#[cbor(transparent)]
pub struct SessionUuid(#[cbor(n(0), with = "minicbor::bytes")] pub [u8; 16]);

/// A live allocation with what it moved so far.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Session {
    /// Its id.
    #[n(0)]
    pub id: AllocationId,
    /// Its name in usage records.
    #[n(1)]
    pub uuid: SessionUuid,
    /// The authenticated username as it came: attacker data.
    #[n(2)]
    pub username: Text<{ limits::USERNAME }>,
    /// How the client reaches the server.
    #[n(3)]
    pub transport: Transport,
    /// The client's transport address as the server sees it.
    #[n(4)]
    pub client: SocketAddr,
    /// The server's transport address the client sends to.
    #[n(5)]
    pub server: SocketAddr,
    /// The relayed transport address as the client was told.
    #[n(6)]
    pub relayed: SocketAddr,
    /// When it was made, seconds since the Unix epoch.
    #[n(7)]
    pub created_at: u64,
    /// Seconds until it expires unless it is refreshed; `None` before the
    /// worker was first asked.
    #[n(8)]
    pub expires_in: Option<u32>,
    /// What it moved up to `measured_at`.
    #[n(9)]
    pub usage: Usage,
    /// When the worker was asked, microseconds of a clock that only runs
    /// forward: two measurements make a rate.
    #[n(10)]
    pub measured_at: u64,
    /// What its peers speak: UDP, or TCP (RFC 6062).
    #[n(11)]
    pub relay_transport: Transport,
}

/// Some of the sessions that live.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct SessionPage {
    /// The request's id.
    #[n(0)]
    pub id: u32,
    /// In the order of [`Cursor`].
    #[n(1)]
    pub sessions: List<Session, { limits::SESSIONS }>,
    /// Where the next page starts; `None` after the last.
    #[n(2)]
    pub next: Option<Cursor>,
}

/// What a reload did, told before its [`Ack`](crate::Ack).
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Reloaded {
    /// The command's id.
    #[n(0)]
    pub id: u32,
    /// What differs from what was in force. Of a refused reload: nothing.
    #[n(1)]
    pub changes: List<ConfigChange, { limits::CHANGES }>,
    /// What is wrong with the new configuration, for people; empty when it
    /// was taken.
    #[n(2)]
    pub error: Text<{ limits::REPORT }>,
}

/// One key that differs. Content of secrets is never told.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct ConfigChange {
    /// Its dotted name, or whose content changed.
    #[n(0)]
    pub key: Text<{ limits::NAME }>,
    /// The value in force before, as TOML; empty where there was none.
    #[n(1)]
    pub from: Text<{ limits::VALUE }>,
    /// The new value, as TOML; empty where there is none.
    #[n(2)]
    pub to: Text<{ limits::VALUE }>,
    /// Whether it takes a restart to come into force.
    #[n(3)]
    pub needs_restart: bool,
}
