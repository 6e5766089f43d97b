//! The limits Forebay sets itself, and whether a run kept them.

use super::Report;
use super::compare::RowResult;
use super::overload::OverloadResult;
use crate::gate::Gate;
use crate::servers::Kind;

const CPU_LIMIT_NS: f64 = 1200.0;
const COTURN_AT_EIGHT: f64 = 4.0;
const COTURN_AT_ONE: f64 = 1.1;
const COTURN_OVER_STREAMS: f64 = 2.0;
const FLOOR_AT_ONE: f64 = 1.15;
const ALLOCATIONS_PER_SECOND: f64 = 20_000.0;
const BYTES_PER_ALLOCATION: f64 = 4096.0;
const OVERLOAD_SHARE: f64 = 0.75;
const OVERLOAD_FACTOR: f64 = 4.0;
/// What pacing by the clock may fall short of the factor.
const ROUNDING: f64 = 0.02;
/// Memory counts as flat while it grows by less than this.
const FLAT_GROWTH: f64 = 1.05;
/// Share of allocations to be answered under overload; requests that find the
/// device's receive queue full are repeated as RFC 8489 §6.2.1 says.
const ANSWERED_SHARE: f64 = 0.95;

/// The worst figure of the rows that have one decides.
fn worst(
    rows: &[RowResult],
    burst: usize,
    value: impl Fn(&RowResult) -> Option<f64>,
    highest: bool,
) -> Option<(f64, String)> {
    let mut found: Vec<(f64, String)> = rows
        .iter()
        .filter(|result| result.row.burst == burst)
        .filter_map(|result| {
            let row = result.row;
            let name = format!(
                "{}, {} B, {}, {}",
                row.transport, row.payload, row.direction, row.allocations
            );
            Some((value(result)?, name))
        })
        .collect();
    found.sort_by(|a, b| a.0.total_cmp(&b.0));
    if highest {
        found.pop()
    } else {
        found.into_iter().next()
    }
}

/// Every gate the run has figures for.
#[must_use]
pub fn gates(report: &Report) -> Vec<Gate> {
    let rows = &report.rows;
    let mut gates = Vec::new();
    if let Some((cpu, row)) = worst(rows, 8, |row| row.cpu(Kind::Forebay), true) {
        gates.push(Gate {
            name: "CPU per relayed packet, bursts of 8".into(),
            limit: format!("at most {CPU_LIMIT_NS} ns"),
            measured: format!("{cpu:.0} ns ({row})"),
            reached: cpu <= CPU_LIMIT_NS,
        });
    }
    for (burst, limit) in [(8, COTURN_AT_EIGHT), (1, COTURN_AT_ONE)] {
        let ratio = |row: &RowResult| row.ratio(Kind::Coturn, Kind::Forebay);
        if let Some((ratio, row)) = worst(rows, burst, ratio, false) {
            gates.push(Gate {
                name: format!("against coturn, bursts of {burst}"),
                limit: format!("at least {limit} ×"),
                measured: format!("{ratio:.2} × ({row})"),
                reached: ratio >= limit,
            });
        }
    }
    let floor = |row: &RowResult| row.ratio(Kind::Forebay, Kind::BareRing);
    if let Some((ratio, row)) = worst(rows, 1, floor, true) {
        gates.push(Gate {
            name: "against the bare io_uring forwarder, bursts of 1".into(),
            limit: format!("at most {FLOOR_AT_ONE} × its CPU"),
            measured: format!("{ratio:.2} × ({row})"),
            reached: ratio <= FLOOR_AT_ONE,
        });
    }
    let streams = &report.streams;
    let ratio = |row: &RowResult| row.ratio(Kind::Coturn, Kind::Forebay);
    if let Some((ratio, row)) = worst(streams, 8, ratio, false) {
        gates.push(Gate {
            name: "against coturn, clients over TCP and TLS, bursts of 8".into(),
            limit: format!("at least {COTURN_OVER_STREAMS} ×"),
            measured: format!("{ratio:.2} × ({row})"),
            reached: ratio >= COTURN_OVER_STREAMS,
        });
    }
    let ours = report
        .allocations
        .iter()
        .find(|result| result.server == Kind::Forebay);
    if let Some(ours) = ours {
        gates.push(Gate {
            name: "allocations per second".into(),
            limit: format!("at least {ALLOCATIONS_PER_SECOND}"),
            measured: format!("{:.0}", ours.per_second),
            reached: ours.per_second >= ALLOCATIONS_PER_SECOND,
        });
        gates.push(Gate {
            name: "user memory per allocation".into(),
            limit: format!("at most {BYTES_PER_ALLOCATION} B"),
            measured: format!("{:.0} B", ours.bytes_each),
            reached: ours.bytes_each <= BYTES_PER_ALLOCATION,
        });
    }
    let overload = report.overload.iter();
    for result in overload.filter(|result| result.server == Kind::Forebay) {
        gates.extend(under_overload(result));
    }
    gates
}

fn under_overload(result: &OverloadResult) -> [Gate; 3] {
    let direction = result.direction;
    let share = result.throughput / result.peak;
    let factor = result.offered / result.peak;
    let answered = result.answered as f64 / result.asked.max(1) as f64;
    let growth = result.memory_after as f64 / result.memory_before.max(1) as f64;
    [
        Gate {
            name: format!("throughput under overload, {direction}"),
            limit: format!("at least {OVERLOAD_SHARE} of peak at {OVERLOAD_FACTOR} × the peak"),
            measured: format!("{share:.2} at {factor:.2} ×"),
            reached: share >= OVERLOAD_SHARE && factor >= OVERLOAD_FACTOR - ROUNDING,
        },
        Gate {
            name: format!("Allocate under overload, {direction}"),
            limit: format!("at least {ANSWERED_SHARE} answered"),
            measured: format!(
                "{} of {} answered, {} at once",
                result.answered, result.asked, result.at_once
            ),
            reached: answered >= ANSWERED_SHARE,
        },
        Gate {
            name: format!("memory under overload, {direction}"),
            limit: format!("at most {FLAT_GROWTH} × before"),
            measured: format!("{growth:.2} ×"),
            reached: growth <= FLAT_GROWTH,
        },
    ]
}
