//! Calls through the real data plane: checks, handshakes and SRTP from
//! independent implementations.

#![allow(clippy::panic)]

mod calls;
#[path = "../dataplane/mod.rs"]
mod dataplane;
mod describe;
mod links;
mod peer;
mod refusals;
mod stun;
mod tcp;
