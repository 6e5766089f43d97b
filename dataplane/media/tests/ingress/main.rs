//! What a forwarder does with what arrives.
#![allow(clippy::unwrap_used, clippy::panic)]

#[path = "../support/mod.rs"]
mod support;

mod changes;
mod checks;
mod feedback;
mod requests;
mod streams;
