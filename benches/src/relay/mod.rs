//! The comparison of servers: rounds A B C A B C … of the same load at each,
//! medians over the rounds, so that what else the machine does hits all alike.

pub mod allocations;
pub mod compare;
mod connections;
pub mod gates;
mod metrics;
pub mod overload;
pub mod rows;
pub mod table;
pub mod target;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use allocations::AllocationResult;
use compare::{Effort, RowResult};
use overload::OverloadResult;
use rows::Direction;
use target::Target;

use crate::gate::Gate;
use crate::rig::{self, Rig};
use crate::servers::Kind;

/// What to run.
#[derive(Clone, Debug)]
pub struct Options {
    /// The rows that decide, in few minutes.
    pub quick: bool,
    /// Which servers.
    pub servers: Vec<Kind>,
    /// Rounds per row, when not the default.
    pub rounds: Option<usize>,
    /// Which parts.
    pub parts: Vec<Part>,
    /// Whether the server's NIC takes UDP super-packets.
    pub segmentation_offload: bool,
    /// Our binary.
    pub turnd: PathBuf,
}

/// A part of the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Part {
    /// CPU per relayed packet.
    Rows,
    /// The same for clients over TCP and TLS.
    Streams,
    /// Allocation rate and memory.
    Allocations,
    /// Behaviour at more than can be carried.
    Overload,
}

/// All figures of a run.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// CPU and kernel.
    pub machine: String,
    /// CPU per relayed packet.
    pub rows: Vec<RowResult>,
    /// The same for clients over TCP and TLS.
    pub streams: Vec<RowResult>,
    /// Allocation rate and memory.
    pub allocations: Vec<AllocationResult>,
    /// Behaviour under overload.
    pub overload: Vec<OverloadResult>,
    /// The limits, and whether they were kept.
    pub gates: Vec<Gate>,
}

/// Length of the load in each half of a round: long against scheduling, short
/// enough that the whole run takes less than twenty minutes.
const LOAD: Duration = Duration::from_secs(1);
const DIRECTIONS: [Direction; 2] = [Direction::ClientToPeer, Direction::PeerToClient];

/// Runs the comparison in a rig of its own.
///
/// # Errors
/// When the rig cannot be built or a server fails.
pub fn run(options: &Options) -> Result<Report> {
    let rig = Rig::create(options.segmentation_offload)?;
    rig.enter_generator()?;
    let rows = if options.parts.contains(&Part::Rows) {
        rows::datagrams(options.quick)
    } else {
        Vec::new()
    };
    let streams = if options.parts.contains(&Part::Streams) {
        rows::streams(options.quick)
    } else {
        Vec::new()
    };
    let effort = |rounds| Effort {
        rounds: options.rounds.unwrap_or(rounds),
        load: LOAD,
    };
    let (effort, of_streams) = (effort(if options.quick { 3 } else { 5 }), effort(3));
    let tries = effort.rounds;
    let turn: Vec<Kind> = options
        .servers
        .iter()
        .copied()
        .filter(|kind| kind.speaks_turn())
        .collect();
    let steps = rows.len() * effort.rounds * options.servers.len()
        + streams.len() * of_streams.rounds * turn.len()
        + if options.parts.contains(&Part::Allocations) {
            tries * turn.len()
        } else {
            0
        }
        + if options.parts.contains(&Part::Overload) {
            2 * DIRECTIONS.len() * turn.len()
        } else {
            0
        };
    let bar = ProgressBar::new(steps as u64).with_style(ProgressStyle::with_template(
        "{bar:30} {pos}/{len} {elapsed} {wide_msg}",
    )?);
    let mut report = Report {
        machine: rig::machine()?,
        rows: compare::compare(&rig, &options.servers, &rows, effort, &options.turnd, &bar)?,
        streams: compare::compare(&rig, &turn, &streams, of_streams, &options.turnd, &bar)?,
        allocations: Vec::new(),
        overload: Vec::new(),
        gates: Vec::new(),
    };
    if options.parts.contains(&Part::Allocations) {
        report.allocations = allocations::measure(&turn, tries, &options.turnd, &bar)?;
    }
    if options.parts.contains(&Part::Overload) {
        let length = Duration::from_secs(if options.quick { 10 } else { 30 });
        for kind in turn {
            let results = overload::measure(&rig, kind, &DIRECTIONS, length, &options.turnd, &bar)?;
            report.overload.extend(results);
        }
    }
    bar.finish_and_clear();
    report.gates = gates::gates(&report);
    Ok(report)
}

/// Records a CPU profile of one server under one row into `file`.
///
/// # Errors
/// When the rig, the server or perf fails.
pub fn profile(kind: Kind, row: &rows::Row, turnd: &Path, file: &Path) -> Result<()> {
    let rig = Rig::create(true)?;
    rig.enter_generator()?;
    let mut target = Target::open(kind, row.transport, row.allocations, turnd)?;
    let mut perf = Command::new("perf")
        .args(["record", "-q", "-e", "cpu-clock", "-g", "-o"])
        .arg(file)
        .args([
            "-p",
            &target.server.process.id().to_string(),
            "--",
            "sleep",
            "4",
        ])
        .stdout(Stdio::null())
        .spawn()
        .context("perf is missing: install linux-perf")?;
    let sample = target.round(row, None, Duration::from_secs(5))?;
    perf.wait()?;
    eprintln!(
        "{:.0} ns per packet, {:.0} packets/s",
        sample.cpu_per_packet(),
        sample.rate()
    );
    Ok(())
}
