//! Rooms: the model over a data plane that only remembers, the comparison
//! with it, tokens, records of calls, and the real binary's WebSocket and API.

#![allow(clippy::unwrap_used, clippy::panic, reason = "test code")]

mod api;
mod calls;
mod codecs;
mod crowd;
mod hall;
mod limits;
mod links;
mod policy;
mod publishing;
mod reaping;
mod reconcile;
mod restarts;
mod staying;
#[path = "../support/mod.rs"]
mod support;
mod tokens;
mod viewed;
mod websocket;
