//! Workers on real sockets, loopback only, both address families.

#![allow(clippy::unwrap_used, clippy::panic, unreachable_pub)]

mod client;
mod commands;
mod flood;
mod fragmentation;
mod hop_limit;
mod host;
mod icmp;
mod many;
mod media;
mod namespace;
mod peers;
mod roaming;
mod start;
mod stream_client;
mod streams;
mod tls;
mod traffic_class;
