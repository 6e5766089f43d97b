//! The report for people: on a terminal and as Markdown.

use std::fmt::Write as _;

use super::RowResult;
use super::target::Forwarder;
use crate::table::Table;

/// CPU of a forwarded 1200-byte packet in frames of eight, nanoseconds.
const VIDEO_LIMIT: f64 = 1000.0;
/// CPU of a single packet of sound, nanoseconds.
const AUDIO_LIMIT: f64 = 3800.0;
const AGAINST_JANUS: f64 = 5.0;

/// The whole report as aligned text.
#[must_use]
pub fn plain(rows: &[RowResult]) -> String {
    let mut text = format!(
        "CPU per packet that leaves, ns\n\n{}\nAll figures\n\n{}\n",
        summary(rows).plain(),
        details(rows).plain()
    );
    for row in rows {
        let Some(ours) = cpu(row, Forwarder::Forebay) else {
            continue;
        };
        let (kind, limit) = if row.video {
            ("frames of 8 × 1200 B", VIDEO_LIMIT)
        } else {
            ("single packets of sound", AUDIO_LIMIT)
        };
        let layout = row.layout;
        let verdict = |reached| if reached { "reached" } else { "MISSED " };
        let _ = writeln!(
            text,
            "{}  {kind}, {layout}: {ours:.0} ns, at most {limit:.0}",
            verdict(ours <= limit)
        );
        if let Some(janus) = cpu(row, Forwarder::Janus) {
            let ratio = janus / ours;
            let _ = writeln!(
                text,
                "{}  against janus, {kind}, {layout}: {ratio:.2} ×, at least {AGAINST_JANUS:.0} ×",
                verdict(ratio >= AGAINST_JANUS)
            );
        }
    }
    text
}

/// The tables as Markdown.
#[must_use]
pub fn markdown(rows: &[RowResult]) -> String {
    format!("{}\n{}", summary(rows).markdown(), details(rows).markdown())
}

fn cpu(row: &RowResult, forwarder: Forwarder) -> Option<f64> {
    row.cells
        .iter()
        .find(|cell| cell.forwarder == forwarder)
        .map(|cell| cell.cpu_ns)
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
            cpu(row, forwarder).map_or_else(|| "–".to_owned(), |cpu| format!("{cpu:.0}"))
        };
        let ratio = cpu(row, Forwarder::Janus)
            .zip(cpu(row, Forwarder::Forebay))
            .map_or_else(
                || "–".to_owned(),
                |(janus, ours)| format!("{:.2} ×", janus / ours),
            );
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
        "join p50 / p99 ms",
        "handshakes/s",
    ]);
    for row in rows {
        for cell in &row.cells {
            table.lines.push(vec![
                name(row).to_owned(),
                row.layout.to_string(),
                cell.forwarder.name().to_owned(),
                format!("{:.0}", cell.cpu_ns),
                format!("{:.0}", cell.packets_per_second / 1e3),
                format!("{:.0}", cell.bits_per_second / 1e6),
                format!("{:.1}", cell.loss * 100.0),
                format!("{:.1}", cell.per_frame),
                format!("{:.0} / {:.0}", cell.join_p50_ms, cell.join_p99_ms),
                format!("{:.0}", cell.handshakes),
            ]);
        }
    }
    table
}
