//! Everything one core knows. The worker hands a [`Shard`] a batch of received
//! datagrams and gets a batch of transmits back; see [`Shard`] for the calling
//! contract. The kernel fills the batches in production, memory in tests.

mod batch;
mod client;
mod coalescer;
mod command;
mod config;
mod counters;
mod forwarding;
mod icmp;
mod media;
mod peer;
mod requests;
mod runs;
mod shard;
mod tcp;
pub mod wheel;
mod written;

pub use batch::{Arena, Piece, RxBatch, RxSlot, TrafficClass, Transmit, TxBatch};
pub use coalescer::{BatchOutput, Coalescer};
pub use command::Command;
pub use config::{MediaConfig, ShardConfig};
pub use counters::{Counters, DropReason};
pub use forebay_media::Progress;
pub use shard::Shard;
pub use tcp::TcpCommand;
pub use written::Written;
