//! The whole system in memory and virtual time: real shards, simulated
//! clients, peers, NATs, attackers and network, held against a reference
//! model after every batch. One seed decides everything and replays a run.
//!
//! | module | what it is |
//! |---|---|
//! | `scenario` | what a seed decides before the first event |
//! | `world` | the event loop |
//! | `network`, `nat`, `addresses` | links, translators, who lives where |
//! | `client`, `peer`, `hostile` | who talks |
//! | `host` | shards with sockets, batches and relay pools around them |
//! | `model` | what a TURN server must do; start here |
//! | `stun`, `accounts` | codec and credentials, independent of the server's |

mod accounts;
mod addresses;
mod client;
mod host;
mod hostile;
mod model;
mod nat;
mod network;
mod peer;
mod random;
mod report;
mod scenario;
mod stun;
mod trace;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};

use trace::Trace;
use world::World;

pub use report::Report;

/// Events of a run unless told otherwise.
pub const DEFAULT_EVENTS: u64 = 4000;

/// A run that broke an invariant.
#[derive(Debug, Clone)]
pub struct Failure {
    /// Replays it.
    pub seed: u64,
    /// Which invariant, and how.
    pub reason: String,
    /// The last events before it.
    pub last: Vec<String>,
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for line in &self.last {
            writeln!(f, "{line}")?;
        }
        write!(f, "seed {}: {}", self.seed, self.reason)
    }
}

/// Runs one seed for this many events; a failing one is run again to tell
/// what led to it.
///
/// # Errors
/// The first invariant that did not hold, or a panic of the shard.
pub fn run(seed: u64, events: u64) -> Result<Report, Box<Failure>> {
    attempt(seed, events, &mut Trace::Off).map_err(|_| {
        let mut trace = Trace::Keep(Default::default());
        let reason = attempt(seed, events, &mut trace).err();
        let reason = reason.unwrap_or_else(|| {
            "failed once and then not again: the run is not deterministic".into()
        });
        Box::new(Failure {
            seed,
            reason,
            last: trace.lines(),
        })
    })
}

/// Runs one seed and prints every event.
///
/// # Errors
/// As [`run`].
pub fn run_and_print(seed: u64, events: u64) -> Result<Report, Box<Failure>> {
    attempt(seed, events, &mut Trace::Print).map_err(|reason| {
        Box::new(Failure {
            seed,
            reason,
            last: Vec::new(),
        })
    })
}

fn attempt(seed: u64, events: u64, trace: &mut Trace) -> Result<Report, String> {
    let run = AssertUnwindSafe(|| World::new(seed, trace).run(events));
    catch_unwind(run).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_string()));
        Err(format!("panic: {}", text.unwrap_or_default()))
    })
}
