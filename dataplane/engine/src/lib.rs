//! Everything one core knows. The worker hands a [`Shard`] a batch of received
//! datagrams and gets a batch of transmits back; see [`Shard`] for the calling
//! contract. The kernel fills the batches in production, memory in tests.

mod batch;
mod client;
mod counters;
mod media;
mod peer;
mod requests;
mod runs;
mod shard;
pub mod wheel;

pub use batch::{Arena, Ecn, Piece, RxBatch, RxSlot, Transmit, TxBatch};
pub use counters::{Counters, DropReason};
pub use shard::{Command, Shard, ShardConfig};
