//! All servers under one row of load, in turn, again and again.

use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use indicatif::ProgressBar;
use serde::Serialize;

use super::metrics::ring_enters;
use super::rows::Row;
use super::target::{Sample, Target};
use crate::rig::Rig;
use crate::servers::Kind;

/// A server that used less of its core than this was offered all the generator
/// had.
const SATURATED: f64 = 0.9;
/// Offered load of the "near" figures, as a share of what the server can do.
const NEAR: f64 = 0.85;

/// How long and how often.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    /// Rounds per row.
    pub rounds: usize,
    /// Length of the load in each half of a round.
    pub load: Duration,
}

/// Medians over the rounds.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Figures {
    /// CPU time of the server per relayed packet, nanoseconds.
    pub cpu_ns_per_packet: f64,
    /// Relayed packets per second.
    pub packets_per_second: f64,
    /// Share of offered packets that did not come out, 0 to 1.
    pub loss: f64,
    /// Share of its core the server used, 0 to 1.
    pub utilisation: f64,
    /// Relayed packets per frame on the wire: above 1 when coalesced. Nothing
    /// where they arrive in a stream.
    pub packets_per_frame: Option<f64>,
    /// Waits in the ring per relayed packet, when the server tells.
    pub enters_per_packet: Option<f64>,
}

/// One server under one row.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Cell {
    /// Which server.
    pub server: Kind,
    /// At a load it carries.
    pub near: Figures,
    /// At more than it carries, or all the generator has.
    pub saturated: Figures,
}

impl Cell {
    /// Whether the generator, not the server, was the limit.
    #[must_use]
    pub fn is_underfed(&self) -> bool {
        self.saturated.utilisation < SATURATED
    }
}

/// One row, all servers.
#[derive(Clone, Debug, Serialize)]
pub struct RowResult {
    /// The load.
    pub row: Row,
    /// The servers.
    pub cells: Vec<Cell>,
}

impl RowResult {
    /// CPU time per packet of `server` near saturation, nanoseconds.
    #[must_use]
    pub fn cpu(&self, server: Kind) -> Option<f64> {
        let cell = self.cells.iter().find(|cell| cell.server == server)?;
        Some(cell.near.cpu_ns_per_packet)
    }

    /// How many times the CPU time of `server` that of `other` is.
    #[must_use]
    pub fn ratio(&self, other: Kind, server: Kind) -> Option<f64> {
        Some(self.cpu(other)? / self.cpu(server)?)
    }
}

/// Runs `rows`, starting the servers anew for each transport and number of
/// allocations.
///
/// # Errors
/// When a server or the rig fails.
pub fn compare(
    rig: &Rig,
    kinds: &[Kind],
    rows: &[Row],
    effort: Effort,
    turnd: &Path,
    bar: &ProgressBar,
) -> Result<Vec<RowResult>> {
    let mut results = Vec::new();
    let alike = |a: &Row, b: &Row| (a.transport, a.allocations) == (b.transport, b.allocations);
    for group in rows.chunk_by(alike) {
        let (transport, allocations) = (group[0].transport, group[0].allocations);
        bar.set_message(format!(
            "{allocations} allocations over {transport} at each server"
        ));
        let mut targets = Vec::new();
        for &kind in kinds {
            targets.push(Target::open(kind, transport, allocations, turnd)?);
        }
        for row in group {
            results.push(one_row(rig, &mut targets, row, effort, bar)?);
        }
    }
    Ok(results)
}

#[derive(Default)]
struct Samples {
    near: Vec<(Sample, Option<f64>)>,
    saturated: Vec<(Sample, Option<f64>)>,
}

fn one_row(
    rig: &Rig,
    targets: &mut [Target],
    row: &Row,
    effort: Effort,
    bar: &ProgressBar,
) -> Result<RowResult> {
    let mut samples: Vec<Samples> = targets.iter().map(|_| Samples::default()).collect();
    for _ in 0..effort.rounds {
        for (target, samples) in targets.iter_mut().zip(&mut samples) {
            let name = target.server.kind.name();
            bar.set_message(format!(
                "{}, {} B, bursts of {}, {}, {} allocations: {name}",
                row.transport, row.payload, row.burst, row.direction, row.allocations
            ));
            samples
                .saturated
                .push(observe(rig, target, row, None, effort.load)?);
            let capacity = samples
                .saturated
                .iter()
                .map(|(sample, _)| sample.capacity());
            let rate = NEAR * median(capacity.collect());
            samples
                .near
                .push(observe(rig, target, row, Some(rate), effort.load)?);
            bar.inc(1);
        }
    }
    let cells = targets.iter().zip(&samples).map(|(target, samples)| Cell {
        server: target.server.kind,
        near: figures(&samples.near),
        saturated: figures(&samples.saturated),
    });
    Ok(RowResult {
        row: *row,
        cells: cells.collect(),
    })
}

fn observe(
    rig: &Rig,
    target: &mut Target,
    row: &Row,
    rate: Option<f64>,
    load: Duration,
) -> Result<(Sample, Option<f64>)> {
    let ours = target.server.kind == Kind::Forebay;
    let before = if ours { ring_enters(rig) } else { None };
    let sample = target.round(row, rate, load)?;
    let after = if ours { ring_enters(rig) } else { None };
    let enters = before.zip(after).map(|(before, after)| after - before);
    Ok((
        sample,
        enters.map(|enters| enters / sample.arrived.max(1) as f64),
    ))
}

fn figures(samples: &[(Sample, Option<f64>)]) -> Figures {
    let of = |value: &dyn Fn(&Sample) -> f64| {
        median(samples.iter().map(|(sample, _)| value(sample)).collect())
    };
    let frames = samples.iter().all(|(sample, _)| sample.frames > 0);
    let enters: Vec<f64> = samples.iter().filter_map(|(_, enters)| *enters).collect();
    Figures {
        cpu_ns_per_packet: of(&Sample::cpu_per_packet),
        packets_per_second: of(&Sample::rate),
        loss: of(&Sample::loss),
        utilisation: of(&Sample::utilisation),
        packets_per_frame: frames
            .then(|| of(&|sample| sample.arrived as f64 / sample.frames as f64)),
        enters_per_packet: (!enters.is_empty()).then(|| median(enters)),
    }
}

/// The middle value; of an even number of values the lower middle.
#[must_use]
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values
        .get(values.len().saturating_sub(1) / 2)
        .copied()
        .unwrap_or(f64::NAN)
}
