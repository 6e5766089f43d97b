//! SRTP forwarding for one shard, sans-IO: ICE-lite, SRTP contexts, routes
//! from publishers to subscribers, RTCP, retransmission.
//!
//! A [`Forwarder`] holds everything. See it for the calling contract.

mod cache;
pub mod codec;
mod config;
mod describe;
mod egress;
mod event;
mod forwarder;
mod hub;
mod ice;
mod ids;
mod ingress;
mod output;
mod packet;
mod queue;
mod report;
mod session;
pub mod srtp;
mod tables;
mod track;
mod transport;
mod world;

pub use config::{Capacity, Config, Seeds};
pub use describe::{
    Change, Codec, EncodingConfig, Extensions, IceCredentials, Keyed, LayerCap, Mode, PayloadMap,
    PublishedCodec, RelayedEncoding, SessionConfig, SubscriptionConfig, TrackConfig, TrackKind,
    Transport,
};
pub use event::{Command, Event, Loss};
pub use forwarder::{Forwarder, Progress, Refusal};
pub use ids::{Mid, Rid, SessionKey, SocketId, Ssrc, SubscriptionKey, TrackKey};
pub use output::{Output, Path};
pub use report::{Counters, DropReason, ReceiveReport, Report, SendReport};
