//! The limits of forwarding.

use super::target::Forwarder;
use super::{Cell, Report, RowResult};
use crate::gate::Gate;

/// CPU of a forwarded packet, nanoseconds: 1200 bytes in frames of eight, and
/// single packets of sound.
const VIDEO_LIMIT_NS: f64 = 1000.0;
const AUDIO_LIMIT_NS: f64 = 3800.0;
/// Frames only: what a single packet costs, the kernel's send path decides.
const AGAINST_JANUS: f64 = 5.0;
/// A few reports and answers per second take memory; no packet does.
const ALLOCATIONS: f64 = 0.01;

/// Every gate the run has figures for; the worst row decides.
#[must_use]
pub fn gates(report: &Report) -> Vec<Gate> {
    let mut gates = Vec::new();
    for (video, limit) in [(true, VIDEO_LIMIT_NS), (false, AUDIO_LIMIT_NS)] {
        let rows = || report.rows.iter().filter(|row| row.video == video);
        let kind = if video {
            "frames of 8 × 1200 B"
        } else {
            "single packets of 172 B"
        };
        let worst = rows()
            .filter_map(|row| Some((row.cpu(Forwarder::Forebay)?, row)))
            .max_by(|a, b| a.0.total_cmp(&b.0));
        if let Some((cpu, row)) = worst {
            gates.push(Gate {
                name: format!("CPU per forwarded packet, {kind}"),
                limit: format!("at most {limit} ns"),
                measured: format!("{cpu:.0} ns ({})", row.layout),
                reached: cpu <= limit,
            });
        }
        let worst = rows()
            .filter(|row| row.video)
            .filter_map(|row| Some((row.ratio(Forwarder::Janus)?, row)))
            .min_by(|a, b| a.0.total_cmp(&b.0));
        if let Some((ratio, row)) = worst {
            gates.push(Gate {
                name: format!("against janus, {kind}"),
                limit: format!("at least {AGAINST_JANUS} ×"),
                measured: format!("{ratio:.2} × ({})", row.layout),
                reached: ratio >= AGAINST_JANUS,
            });
        }
    }
    let worst = report
        .rows
        .iter()
        .filter_map(|row| Some((row.cell(Forwarder::Forebay)?.allocations?, row)))
        .max_by(|a, b| a.0.total_cmp(&b.0));
    if let Some((count, row)) = worst {
        gates.push(Gate {
            name: "allocations per forwarded packet".to_owned(),
            limit: format!("at most {ALLOCATIONS}"),
            measured: format!("{count:.4} ({})", row.layout),
            reached: count <= ALLOCATIONS,
        });
    }
    gates
}

impl RowResult {
    fn cell(&self, forwarder: Forwarder) -> Option<&Cell> {
        self.cells.iter().find(|cell| cell.forwarder == forwarder)
    }

    /// CPU time per packet of a server, nanoseconds.
    #[must_use]
    pub fn cpu(&self, forwarder: Forwarder) -> Option<f64> {
        Some(self.cell(forwarder)?.cpu_ns)
    }

    /// How many times ours the CPU time of another is.
    #[must_use]
    pub fn ratio(&self, forwarder: Forwarder) -> Option<f64> {
        Some(self.cpu(forwarder)? / self.cpu(Forwarder::Forebay)?)
    }
}
