//! Allocation rate, and what an allocation costs in CPU time and memory.

use std::net::IpAddr;
use std::path::Path;

use anyhow::Result;
use indicatif::ProgressBar;
use serde::Serialize;

use super::compare::median;
use super::rows::Transport;
use crate::rig::Addresses;
use crate::servers::{FIRST_PORT, Kind, Server};
use crate::turn_client::{IN_FLIGHT, Session, Step};

/// Allocations made in each try.
pub const ALLOCATIONS: u16 = 10_000;

/// Medians over the tries.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct AllocationResult {
    /// Which server.
    pub server: Kind,
    /// Allocations per second, each one with its 401 first.
    pub per_second: f64,
    /// CPU time of the server per allocation, microseconds.
    pub cpu_us: f64,
    /// Growth of resident memory per allocation, bytes.
    pub bytes_each: f64,
    /// Resident memory before the first allocation, bytes.
    pub idle_bytes: f64,
}

/// Makes [`ALLOCATIONS`] allocations at each server `tries` times, servers in
/// turn, each time at a server just started.
///
/// # Errors
/// When a server refuses or the rig fails.
pub fn measure(
    kinds: &[Kind],
    tries: usize,
    turnd: &Path,
    bar: &ProgressBar,
) -> Result<Vec<AllocationResult>> {
    let mut tried: Vec<Vec<AllocationResult>> = kinds.iter().map(|_| Vec::new()).collect();
    for _ in 0..tries {
        for (&kind, tried) in kinds.iter().zip(&mut tried) {
            bar.set_message(format!("{ALLOCATIONS} allocations: {}", kind.name()));
            tried.push(once(kind, turnd)?);
            bar.inc(1);
        }
    }
    Ok(kinds
        .iter()
        .zip(&tried)
        .map(|(&kind, tried)| middle(kind, tried))
        .collect())
}

fn once(kind: Kind, turnd: &Path) -> Result<AllocationResult> {
    let server = Server::start(kind, Transport::Udp, ALLOCATIONS, turnd)?;
    let clients: Vec<IpAddr> = (0..Addresses::PREFIXES)
        .map(|prefix| server.addresses.spread_clients(prefix).into())
        .collect();
    let credentials = server.credentials()?;
    let count = usize::from(ALLOCATIONS);
    let mut session = Session::open(
        server.listen(),
        &clients,
        Some(FIRST_PORT),
        count,
        credentials,
    )?;
    let idle = server.process.resident_bytes()?;
    let cpu = server.process.cpu_ns()?;
    let elapsed = session.run(Step::Allocate, IN_FLIGHT)?;
    let each = f64::from(ALLOCATIONS);
    Ok(AllocationResult {
        server: kind,
        per_second: each / elapsed.as_secs_f64(),
        cpu_us: (server.process.cpu_ns()? - cpu) as f64 / 1e3 / each,
        bytes_each: server.process.resident_bytes()?.saturating_sub(idle) as f64 / each,
        idle_bytes: idle as f64,
    })
}

fn middle(server: Kind, tried: &[AllocationResult]) -> AllocationResult {
    let of = |value: &dyn Fn(&AllocationResult) -> f64| median(tried.iter().map(value).collect());
    AllocationResult {
        server,
        per_second: of(&|one| one.per_second),
        cpu_us: of(&|one| one.cpu_us),
        bytes_each: of(&|one| one.bytes_each),
        idle_bytes: of(&|one| one.idle_bytes),
    }
}
