//! The comparison of forwarders: CPU per packet that leaves, packets per core,
//! how long joining takes.

pub mod forebay;
pub mod gates;
pub mod janus;
pub mod layout;
pub mod peer;
pub mod publisher;
pub mod table;
pub mod target;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Result;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use layout::Layout;
use publisher::Stream;
use target::{Forwarder, Target};

use crate::gate::Gate;
use crate::relay::compare::median;
use crate::relay::target::Sample;
use crate::rig::{self, Rig};

/// What to run.
#[derive(Clone, Debug)]
pub struct Options {
    /// The rows that decide.
    pub quick: bool,
    /// Which servers.
    pub forwarders: Vec<Forwarder>,
    /// Rounds per row.
    pub rounds: usize,
    /// Our data plane.
    pub dataplane: PathBuf,
}

/// One server in one row.
#[derive(Clone, Debug, Serialize)]
pub struct Cell {
    /// Which.
    pub forwarder: Forwarder,
    /// CPU time per packet that left, nanoseconds.
    pub cpu_ns: f64,
    /// Packets per second with the whole core.
    pub packets_per_second: f64,
    /// Payload bits per second with the whole core.
    pub bits_per_second: f64,
    /// Share of the packets that did not leave, 0 to 1.
    pub loss: f64,
    /// Packets of one super-packet that left.
    pub per_frame: f64,
    /// Times memory was taken from the C library per packet that left, beyond
    /// what idling takes; where the kernel counts that.
    pub allocations: Option<f64>,
    /// Half of the subscribers joined within this, milliseconds.
    pub join_p50_ms: f64,
    /// All but one in a hundred joined within this, milliseconds.
    pub join_p99_ms: f64,
    /// Handshakes per second while 64 joined at once.
    pub handshakes: f64,
}

/// A server that has no figures in a row.
#[derive(Clone, Debug, Serialize)]
pub struct Absent {
    /// Which.
    pub forwarder: Forwarder,
    /// Why.
    pub reason: String,
}

/// All figures of a run.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// CPU and kernel.
    pub machine: String,
    /// CPU per packet that leaves.
    pub rows: Vec<RowResult>,
    /// The limits, and whether they were kept.
    pub gates: Vec<Gate>,
}

/// One kind of load.
#[derive(Clone, Debug, Serialize)]
pub struct RowResult {
    /// Who sends to whom.
    pub layout: Layout,
    /// Frames of eight 1200-byte packets, or single packets of 172 bytes.
    pub video: bool,
    /// The servers.
    pub cells: Vec<Cell>,
    /// Those that could not be measured.
    pub absent: Vec<Absent>,
}

/// A server in a row.
struct Contender {
    target: Target,
    /// Packets per second that are offered.
    rate: f64,
    samples: Vec<Sample>,
    allocations: Option<f64>,
}

const VIDEO: Stream = Stream {
    datagram: 1180,
    burst: 8,
    video: true,
};
const AUDIO: Stream = Stream {
    datagram: 172,
    burst: 1,
    video: false,
};
const SEARCH: Duration = Duration::from_millis(500);
const LOAD: Duration = Duration::from_secs(1);
/// Packets per second the search begins with, its step, and where it ends.
const LOWEST: f64 = 30_000.0;
const RISE: f64 = 1.4;
const ENOUGH: f64 = 0.7;
const TOO_MUCH_LOSS: f64 = 0.02;
const HIGHEST: f64 = 4_000_000.0;

/// Runs the comparison in a rig of its own.
///
/// # Errors
/// When the rig cannot be built or our own server fails; another that fails
/// is noted.
pub fn run(options: &Options) -> Result<Report> {
    let rig = Rig::create(true)?;
    rig.enter_generator()?;
    let mut rows = Vec::new();
    for stream in [VIDEO, AUDIO] {
        for layout in if options.quick {
            vec![Layout::Fan(100)]
        } else {
            vec![
                Layout::Fan(10),
                Layout::Fan(100),
                Layout::Fan(500),
                Layout::Rooms(5),
            ]
        } {
            rows.push((layout, stream));
        }
    }
    let bar = ProgressBar::new(rows.len() as u64).with_style(ProgressStyle::with_template(
        "{bar:30} {pos}/{len} {elapsed} {wide_msg}",
    )?);
    let mut results = Vec::new();
    for (layout, stream) in rows {
        results.push(row(options, layout, stream, &bar)?);
        bar.inc(1);
    }
    bar.finish_and_clear();
    let mut report = Report {
        machine: rig::machine()?,
        rows: results,
        gates: Vec::new(),
    };
    report.gates = gates::gates(&report);
    Ok(report)
}

fn row(options: &Options, layout: Layout, stream: Stream, bar: &ProgressBar) -> Result<RowResult> {
    let mut field: Vec<(Forwarder, Result<Contender>)> = Vec::new();
    for &forwarder in &options.forwarders {
        bar.set_message(format!("{layout}, {}: joining", forwarder.name()));
        let contender = Contender::enter(forwarder, layout, stream, &options.dataplane);
        field.push((forwarder, contender));
    }
    for round in 0..options.rounds {
        for (forwarder, entry) in &mut field {
            let Ok(contender) = entry else {
                continue;
            };
            bar.set_message(format!("{layout}, {}: round {round}", forwarder.name()));
            match contender.target.round(contender.rate, LOAD) {
                Ok(sample) => contender.samples.push(sample),
                Err(error) => *entry = Err(error),
            }
        }
    }
    for (forwarder, entry) in &mut field {
        if let Ok(contender) = entry {
            bar.set_message(format!("{layout}, {}: allocations", forwarder.name()));
            // A kernel without such probes costs the column only.
            contender.allocations = contender.target.allocations(contender.rate, LOAD).ok();
        }
    }
    let mut result = RowResult {
        layout,
        video: stream.video,
        cells: Vec::new(),
        absent: Vec::new(),
    };
    for (forwarder, entry) in field {
        match entry {
            Ok(contender) => result.cells.push(contender.cell(forwarder, stream)),
            Err(error) if forwarder == Forwarder::Forebay => return Err(error),
            Err(error) => result.absent.push(Absent {
                forwarder,
                reason: format!("{error:#}"),
            }),
        }
    }
    Ok(result)
}

/// The rate at which the server is well used and loses nothing.
fn search(target: &mut Target) -> Result<f64> {
    let mut rate = LOWEST;
    let mut good = LOWEST;
    while rate < HIGHEST {
        let sample = target.round(rate, SEARCH)?;
        if sample.loss() > TOO_MUCH_LOSS {
            break;
        }
        good = rate;
        if sample.utilisation() > ENOUGH {
            break;
        }
        rate *= RISE;
    }
    Ok(good)
}

impl Contender {
    fn enter(
        forwarder: Forwarder,
        layout: Layout,
        stream: Stream,
        dataplane: &Path,
    ) -> Result<Self> {
        let mut target = Target::open(forwarder, layout, stream, dataplane)?;
        let rate = search(&mut target)?;
        Ok(Self {
            target,
            rate,
            samples: Vec::new(),
            allocations: None,
        })
    }

    fn cell(&self, forwarder: Forwarder, stream: Stream) -> Cell {
        let Self {
            target, samples, ..
        } = self;
        let of = |value: fn(&Sample) -> f64| median(samples.iter().map(value).collect());
        let mut joins: Vec<f64> = target
            .joins
            .iter()
            .map(|join| join.as_secs_f64() * 1e3)
            .collect();
        joins.sort_by(f64::total_cmp);
        let percentile = |share: f64| {
            let at = (joins.len() as f64 * share) as usize;
            joins.get(at.min(joins.len().saturating_sub(1))).copied()
        };
        let cpu_ns = of(Sample::cpu_per_packet);
        let packets_per_second = 1e9 / cpu_ns;
        Cell {
            forwarder,
            cpu_ns,
            packets_per_second,
            bits_per_second: packets_per_second * stream.datagram as f64 * 8.0,
            loss: of(Sample::loss).max(0.0),
            per_frame: of(|sample| sample.arrived as f64 / sample.frames.max(1) as f64),
            allocations: self.allocations,
            join_p50_ms: percentile(0.5).unwrap_or_default(),
            join_p99_ms: percentile(0.99).unwrap_or_default(),
            handshakes: target.handshakes,
        }
    }
}
