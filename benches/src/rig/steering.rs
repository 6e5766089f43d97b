//! Where the generator receives what servers send.
//!
//! On a virtual wire the sender's core is also the receiver's: unsteered, a
//! client's TCP would run on the server's time. What ends at a sink costs less
//! there than handing it over, so only connections are steered.

use anyhow::Result;

use super::command::feed;
use super::{GENERATOR_CORE, GENERATOR_DEVICE, GENERATOR_NAMESPACE};

/// While it lives, the generator's core receives what servers send.
pub struct Steered(());

impl Steered {
    /// From now on.
    ///
    /// # Errors
    /// When the kernel lacks receive packet steering.
    pub fn new() -> Result<Self> {
        steer(1 << GENERATOR_CORE)?;
        Ok(Self(()))
    }
}

impl Drop for Steered {
    fn drop(&mut self) {
        // Fails only when the rig is gone already.
        let _ = steer(0);
    }
}

fn steer(cores: u32) -> Result<()> {
    // sysfs shows the devices of the namespace that mounted it, which
    // `ip netns exec` does afresh.
    let file = format!("/sys/class/net/{GENERATOR_DEVICE}/queues/rx-0/rps_cpus");
    let line = format!("ip netns exec {GENERATOR_NAMESPACE} tee {file}");
    feed(&line, &format!("{cores:x}")).map(drop)
}
