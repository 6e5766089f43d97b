//! A TURN server (RFC 8656 over RFC 8489) for one shard, as a pure state
//! machine: no socket, clock, thread, logger or per-packet allocation.
//!
//! The relay decision is a small [`ToPeer`] or [`ToClient`] value; everything
//! rare is a [`Command`] the caller fetches and carries out. See [`Server`]
//! for the calling contract.

mod answer;
mod auth;
mod bandwidth;
mod command;
mod config;
mod discovery;
mod expiry;
mod fast_path;
mod icmp;
mod ids;
mod pace;
mod policy;
mod prefix_budget;
mod redirect;
mod requests;
mod server;
mod shared;
mod tables;
mod tcp;
mod tickets;
mod verdict;

pub use auth::AuthFailures;
pub use command::{Command, Deletion, Surveyed, Usage};
pub use config::{
    Alternate, BandwidthLimits, Capacity, Config, Credentials, Discovery, EventRate, Expiry,
    Lifetimes, NewPeers, PasswordAlgorithm, Place, PrefixBudget, Quota, Redirect, RedirectWhen,
    Secret, Seeds, TcpRelay, User,
};
pub use icmp::Untold;
pub use ids::{
    AllocationId, ChannelNumber, ClientAddr, ClientFlow, FiveTuple, PeerAddr, PeerConnection,
    PeerFlow, RelayedAddr, SocketId,
};
pub use policy::{Denial, MediaMapping, PeerPolicy, RelayMapping, Verdict};
pub use server::{OfferedRelay, Outcome, RelaysHeld, ReplyFrom, Server};
pub use shared::Shared;
pub use tcp::{Incoming, ToControl};
pub use tickets::shard_of_connection;
pub use verdict::{Framing, Refusal, ToClient, ToPeer};
