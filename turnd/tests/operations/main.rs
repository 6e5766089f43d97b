//! Operating a running server: sessions, reloads, usage records, drains, logs.

mod client;
mod drain;
mod logs;
mod receiver;
mod reload;
#[path = "../server/mod.rs"]
mod server;
mod sessions;
mod usage;
