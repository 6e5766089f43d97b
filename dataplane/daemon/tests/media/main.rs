//! Calls through the real data plane: checks, handshakes and SRTP from
//! independent implementations.

mod calls;
#![allow(clippy::panic)]

#[path = "../dataplane/mod.rs"]
mod dataplane;
mod describe;
mod links;
mod peer;
mod refusals;
mod stun;
