//! The report for people: on a terminal and as Markdown.

use std::fmt::Write as _;

use super::target::Forwarder;
use super::{Report, RowResult};
use crate::table::Table;

/// The whole report as aligned text.
#[must_use]
pub fn plain(report: &Report) -> String {
    let mut text = format!(
        "{}\n\nCPU per packet that leaves, ns\n\n{}\nAll figures\n\n{}\n",
        report.machine,
        summary(&report.rows).plain(),
        details(&report.rows).plain()
    );
    for note in notes(&report.rows) {
        let _ = writeln!(text, "absent   {note}");
    }
    for gate in &report.gates {
        let _ = writeln!(text, "{gate}");
    }
    text
}

/// The figures for a README.
#[must_use]
pub fn markdown(report: &Report) -> String {
    let mut text = format!(
        "{}\n{}",
        summary(&report.rows).markdown(),
        details(&report.rows).markdown()
    );
    for note in notes(&report.rows) {
        let _ = write!(text, "\nNot measured: {note}.\n");
    }
    let _ = write!(text, "\nMeasured on {}.\n", report.machine);
    text
}

/// Who has no figures where, and why.
fn notes(rows: &[RowResult]) -> Vec<String> {
    let mut notes = Vec::new();
    for row in rows {
        for absent in &row.absent {
            let reason: Vec<&str> = absent.reason.lines().collect();
            notes.push(format!(
                "{}, {}, {}: {}",
                absent.forwarder.name(),
                name(row),
                row.layout,
                reason.join("; ")
            ));
        }
    }
    notes
}

fn name(row: &RowResult) -> &'static str {
    if row.video {
        "8 × 1200 B"
    } else {
        "1 × 172 B"
    }
}

fn summary(rows: &[RowResult]) -> Table {
    let mut table = Table::new(&[
        "frame",
        "layout",
        "bare copies",
        "janus",
        "forebay",
        "janus ÷ forebay",
    ]);
    for row in rows {
        let figure = |forwarder| {
            row.cpu(forwarder)
                .map_or_else(|| "–".to_owned(), |cpu| format!("{cpu:.0}"))
        };
        let ratio = row
            .ratio(Forwarder::Janus)
            .map_or_else(|| "–".to_owned(), |ratio| format!("{ratio:.2} ×"));
        table.lines.push(vec![
            name(row).to_owned(),
            row.layout.to_string(),
            figure(Forwarder::Bare),
            figure(Forwarder::Janus),
            figure(Forwarder::Forebay),
            ratio,
        ]);
    }
    table
}

fn details(rows: &[RowResult]) -> Table {
    let mut table = Table::new(&[
        "frame",
        "layout",
        "server",
        "ns/packet",
        "kpackets/s and core",
        "Mbit/s and core",
        "loss %",
        "packets/send",
        "allocations/packet",
        "join p50 / p99 ms",
        "handshakes/s",
    ]);
    for row in rows {
        for cell in &row.cells {
            // Plain copies are joined by nobody.
            let joined = |figure: String| {
                if cell.handshakes > 0.0 {
                    figure
                } else {
                    "–".to_owned()
                }
            };
            table.lines.push(vec![
                name(row).to_owned(),
                row.layout.to_string(),
                cell.forwarder.name().to_owned(),
                format!("{:.0}", cell.cpu_ns),
                format!("{:.0}", cell.packets_per_second / 1e3),
                format!("{:.0}", cell.bits_per_second / 1e6),
                format!("{:.1}", cell.loss * 100.0),
                format!("{:.1}", cell.per_frame),
                cell.allocations
                    .map_or_else(|| "–".to_owned(), |count| format!("{count:.3}")),
                joined(format!("{:.0} / {:.0}", cell.join_p50_ms, cell.join_p99_ms)),
                joined(format!("{:.0}", cell.handshakes)),
            ]);
        }
    }
    table
}
