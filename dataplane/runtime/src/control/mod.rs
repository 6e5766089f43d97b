//! The data plane's end of the control socket: one controller, several
//! observers, every buffer bounded. Runs on the control thread; nothing here
//! ever waits, and whoever reads too slowly is dropped, so a control plane
//! that hangs or dies changes nothing for packets.

mod client;
mod commands;
mod server;
mod snapshot;

pub use server::{ControlServer, Identity};
