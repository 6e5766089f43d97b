//! More load than the server can carry, with receive processing on its own
//! core, where a server that is not careful stops working altogether.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};
use indicatif::ProgressBar;
use serde::Serialize;

use super::compare::median;
use super::rows::{Direction, Row, Transport};
use super::target::{Sample, Target};
use crate::rig::raw::RawPump;
use crate::rig::{ReceivePath, Rig};
use crate::servers::Kind;
use crate::turn_client::{Credentials, Session, Step};

/// Single packets of a thousand flows in turn: nothing to merge, the load
/// under which a receiver is easiest to drown.
const fn row(direction: Direction) -> Row {
    Row {
        transport: Transport::Udp,
        payload: 172,
        burst: 1,
        allocations: 1000,
        direction,
    }
}
/// How many times the peak throughput is offered.
const FACTOR: f64 = 4.0;
/// Load the search for the peak begins with, packets per second, and the
/// factor from one to the next.
const LOWEST: f64 = 100_000.0;
const RISE: f64 = 1.2;
const SEARCH_LOAD: Duration = Duration::from_millis(700);
/// Clients that ask for one allocation after the other meanwhile.
const PROBERS: usize = 8;
const PROBE_EVERY: Duration = Duration::from_millis(50);
/// An answer later than this needed a retransmission.
const AT_ONCE: Duration = Duration::from_millis(450);

/// How one server took it.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct OverloadResult {
    /// Which server.
    pub server: Kind,
    /// Which way the load went.
    pub direction: Direction,
    /// The most it relayed at any load, packets per second.
    pub peak: f64,
    /// What was offered, packets per second.
    pub offered: f64,
    /// What it relayed then, packets per second.
    pub throughput: f64,
    /// Allocations asked for meanwhile.
    pub asked: usize,
    /// Of these, answered without a retransmission.
    pub at_once: usize,
    /// Of these, answered at all.
    pub answered: usize,
    /// Middle time to an allocation, milliseconds.
    pub median_ms: f64,
    /// Resident memory before, bytes.
    pub memory_before: u64,
    /// Resident memory after, bytes.
    pub memory_after: u64,
}

/// Finds the load at which `kind` relays most and offers four times that for
/// `duration`, in each of `directions`.
///
/// # Errors
/// When the server or the rig fails.
pub fn measure(
    rig: &Rig,
    kind: Kind,
    directions: &[Direction],
    duration: Duration,
    turnd: &Path,
    bar: &ProgressBar,
) -> Result<Vec<OverloadResult>> {
    let mut results = Vec::new();
    for &direction in directions {
        let row = row(direction);
        let mut target = Target::open(kind, row.transport, row.allocations, turnd)?;
        let pump = target.raw_pump(rig, &row)?;
        rig.set_receive_path(ReceivePath::OnServerCore)?;
        let result = overload(&mut target, &mut Load { row, pump }, duration, bar);
        rig.set_receive_path(ReceivePath::OnGeneratorCore)?;
        results.push(result?);
    }
    Ok(results)
}

struct Load {
    row: Row,
    pump: RawPump,
}

impl Load {
    fn offer(&mut self, target: &mut Target, rate: f64, duration: Duration) -> Result<Sample> {
        target.observe(&self.row, || self.pump.run(rate, duration))
    }
}

fn overload(
    target: &mut Target,
    load: &mut Load,
    duration: Duration,
    bar: &ProgressBar,
) -> Result<OverloadResult> {
    let kind = target.server.kind;
    bar.set_message(format!("the load {} carries", kind.name()));
    let peak = peak(target, load)?;
    bar.inc(1);
    bar.set_message(format!("four times the load {} carries", kind.name()));
    let memory_before = target.server.process.resident_bytes()?;
    let stop = AtomicBool::new(false);
    let prober = Prober {
        server: target.server.listen(),
        local: target.server.addresses.probes.into(),
        credentials: target.server.credentials()?,
    };
    let (sample, probes) = thread::scope(|scope| {
        let probing: Vec<_> = (0..PROBERS)
            .map(|_| scope.spawn(|| prober.run(&stop)))
            .collect();
        let sample = load.offer(target, FACTOR * peak, duration);
        stop.store(true, Ordering::Relaxed);
        let probes: Result<Vec<_>> = probing
            .into_iter()
            .map(|thread| thread.join().map_err(|_| anyhow!("a prober failed")))
            .collect();
        (sample, probes)
    });
    let (sample, probes) = (sample?, probes?.concat());
    bar.inc(1);
    let times: Vec<f64> = probes
        .iter()
        .flatten()
        .map(|time| time.as_secs_f64() * 1e3)
        .collect();
    Ok(OverloadResult {
        server: kind,
        direction: load.row.direction,
        peak,
        offered: sample.sent as f64 / sample.seconds,
        throughput: sample.rate(),
        asked: probes.len(),
        at_once: probes
            .iter()
            .flatten()
            .filter(|time| **time < AT_ONCE)
            .count(),
        answered: times.len(),
        median_ms: median(times),
        memory_before,
        memory_after: target.server.process.resident_bytes()?,
    })
}

/// The highest throughput at any load, packets per second.
fn peak(target: &mut Target, load: &mut Load) -> Result<f64> {
    let mut peak = load.offer(target, f64::INFINITY, SEARCH_LOAD)?.rate();
    let mut rate = LOWEST;
    // Beyond twice what comes out, more load only means more loss.
    while rate < 2.0 * peak {
        peak = peak.max(load.offer(target, rate, SEARCH_LOAD)?.rate());
        rate *= RISE;
    }
    Ok(peak)
}

struct Prober {
    server: SocketAddr,
    local: IpAddr,
    credentials: Credentials,
}

impl Prober {
    /// Asks for one allocation after the other until `stop`; each entry is the
    /// time it took, or nothing when there was no answer.
    fn run(&self, stop: &AtomicBool) -> Vec<Option<Duration>> {
        let mut probes = Vec::new();
        while !stop.load(Ordering::Relaxed) {
            let started = Instant::now();
            probes.push(self.once().ok());
            thread::sleep(PROBE_EVERY.saturating_sub(started.elapsed()));
        }
        probes
    }

    fn once(&self) -> Result<Duration> {
        let credentials = self.credentials.clone();
        let mut session = Session::open(self.server, &[self.local], None, 1, credentials)?;
        let elapsed = session.run(Step::Allocate, 1)?;
        session.release()?;
        Ok(elapsed)
    }
}
