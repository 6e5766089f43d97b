//! The data plane's end of the control socket: one controller, several
//! observers, every buffer bounded. Runs on the control thread; nothing here
//! ever waits, and whoever reads too slowly is dropped, so a control plane
//! that hangs or dies changes nothing for packets.

mod client;
mod commands;
mod server;
mod snapshot;

pub use server::{ControlServer, Identity};

use std::time::Duration;

use forebay_ipc::ConfigChange;

use crate::node::Node;

/// What the process was configured with, and can be again.
pub trait Configuration {
    /// Reads the file again and applies all of it or nothing. `policy_is_set`:
    /// the control plane has set a peer policy, which the file must not undo.
    ///
    /// # Errors
    /// What is wrong, for people.
    fn reload(&mut self, node: &mut Node, policy_is_set: bool)
    -> Result<Vec<ConfigChange>, String>;

    /// How long a drain may take when nobody says otherwise.
    fn drain_deadline(&self) -> Duration;
}
