//! The report for people: on a terminal and as Markdown.

use std::fmt::Write as _;

use super::Report;
use super::compare::{Cell, RowResult};
use crate::servers::Kind;
use crate::table::Table;

/// The whole report as aligned text.
#[must_use]
pub fn plain(report: &Report) -> String {
    let mut text = format!("{}\n\n", report.machine);
    for (title, table) in tables(report) {
        let _ = writeln!(text, "{title}\n\n{}", table.plain());
    }
    for gate in &report.gates {
        let _ = writeln!(text, "{gate}");
    }
    if report.gates.iter().any(|gate| !gate.reached) {
        text += "\nWhere the time goes: forebay-bench profile --out FILE --payload 172 --burst 8, then \
                 perf report -i FILE --no-children\n";
    }
    text
}

/// The figures for a README.
#[must_use]
pub fn markdown(report: &Report) -> String {
    let mut text = String::new();
    if !report.rows.is_empty() {
        text += &summary(&report.rows).markdown();
    }
    if !report.streams.is_empty() {
        let _ = write!(text, "\n{}", summary(&report.streams).markdown());
    }
    if !report.allocations.is_empty() {
        let _ = write!(text, "\n{}", allocations(report).markdown());
    }
    if !report.overload.is_empty() {
        let _ = write!(text, "\n{}", overload(report).markdown());
    }
    let _ = write!(text, "\nMeasured on {}.\n", report.machine);
    text
}

fn tables(report: &Report) -> Vec<(&'static str, Table)> {
    let mut tables = Vec::new();
    if !report.rows.is_empty() {
        tables.push((
            "CPU per relayed packet at 85 % of what the server can do, ns",
            summary(&report.rows),
        ));
        tables.push((
            "All figures, at 85 % / at all the generator has",
            details(&report.rows),
        ));
    }
    if !report.streams.is_empty() {
        tables.push((
            "CPU per relayed packet of clients over TCP and TLS, ns",
            summary(&report.streams),
        ));
        tables.push((
            "All figures, at 85 % / at all the generator has",
            details(&report.streams),
        ));
    }
    if !report.allocations.is_empty() {
        tables.push((
            "10,000 allocations, 64 in flight, each with its 401",
            allocations(report),
        ));
    }
    if !report.overload.is_empty() {
        tables.push((
            "Four times the peak throughput offered as single packets of 1,000 flows, receive processing on the server's core",
            overload(report),
        ));
    }
    tables
}

fn label(result: &RowResult) -> Vec<String> {
    let row = result.row;
    vec![
        row.transport.to_string(),
        format!("{} B", row.payload),
        row.burst.to_string(),
        row.allocations.to_string(),
        row.direction.to_string(),
    ]
}

fn servers(rows: &[RowResult]) -> Vec<Kind> {
    rows.first()
        .map(|row| row.cells.iter().map(|cell| cell.server).collect())
        .unwrap_or_default()
}

/// One line per row, one column per server, then how many times cheaper than
/// coturn and how far from the floor.
fn summary(rows: &[RowResult]) -> Table {
    let mut table = Table::new(&["clients", "payload", "burst", "allocations", "direction"]);
    let servers = servers(rows);
    table
        .head
        .extend(servers.iter().map(|kind| kind.name().to_owned()));
    let ours = servers.contains(&Kind::Forebay);
    let ratios: Vec<Kind> = servers
        .iter()
        .copied()
        .filter(|kind| ours && *kind != Kind::Forebay)
        .collect();
    table.head.extend(
        ratios
            .iter()
            .map(|kind| format!("{} ÷ forebay", kind.name())),
    );
    for result in rows {
        let mut line = label(result);
        for kind in &servers {
            line.push(
                result
                    .cpu(*kind)
                    .map_or("–".into(), |cpu| format!("{cpu:.0}")),
            );
        }
        for kind in &ratios {
            let ratio = result.ratio(*kind, Kind::Forebay);
            line.push(ratio.map_or("–".into(), |ratio| format!("{ratio:.2} ×")));
        }
        table.lines.push(line);
    }
    table
}

fn details(rows: &[RowResult]) -> Table {
    let mut table = Table::new(&[
        "clients",
        "payload",
        "burst",
        "allocations",
        "direction",
        "server",
        "ns/packet",
        "kpackets/s",
        "loss %",
        "core %",
        "packets/frame",
        "enters/packet",
        "limit",
    ]);
    for result in rows {
        for cell in &result.cells {
            let mut line = label(result);
            line.extend(detail(cell));
            table.lines.push(line);
        }
    }
    table
}

fn detail(cell: &Cell) -> Vec<String> {
    let (near, full) = (&cell.near, &cell.saturated);
    let ratio = |value: Option<f64>, digits: usize| {
        value.map_or("–".into(), |value| format!("{value:.digits$}"))
    };
    vec![
        cell.server.name().to_owned(),
        format!(
            "{:.0} / {:.0}",
            near.cpu_ns_per_packet, full.cpu_ns_per_packet
        ),
        format!(
            "{:.0} / {:.0}",
            near.packets_per_second / 1e3,
            full.packets_per_second / 1e3
        ),
        format!("{:.1} / {:.1}", near.loss * 100.0, full.loss * 100.0),
        format!(
            "{:.0} / {:.0}",
            near.utilisation * 100.0,
            full.utilisation * 100.0
        ),
        format!(
            "{} / {}",
            ratio(near.packets_per_frame, 1),
            ratio(full.packets_per_frame, 1)
        ),
        format!(
            "{} / {}",
            ratio(near.enters_per_packet, 2),
            ratio(full.enters_per_packet, 2)
        ),
        if cell.is_underfed() {
            "generator".to_owned()
        } else {
            "server".to_owned()
        },
    ]
}

fn allocations(report: &Report) -> Table {
    let mut table = Table::new(&[
        "server",
        "allocations/s",
        "CPU µs each",
        "memory each",
        "idle memory",
    ]);
    for result in &report.allocations {
        table.lines.push(vec![
            result.server.name().to_owned(),
            format!("{:.0}", result.per_second),
            format!("{:.1}", result.cpu_us),
            format!("{:.1} kB", result.bytes_each / 1e3),
            format!("{:.1} MB", result.idle_bytes / 1e6),
        ]);
    }
    table
}

fn overload(report: &Report) -> Table {
    let mut table = Table::new(&[
        "server",
        "direction",
        "peak/s",
        "offered/s",
        "relayed/s",
        "of peak",
        "Allocate at once",
        "answered",
        "asked",
        "median",
        "memory before",
        "after",
    ]);
    for result in &report.overload {
        table.lines.push(vec![
            result.server.name().to_owned(),
            result.direction.to_string(),
            format!("{:.0}", result.peak),
            format!(
                "{:.0} ({:.2} ×)",
                result.offered,
                result.offered / result.peak
            ),
            format!("{:.0}", result.throughput),
            format!("{:.2}", result.throughput / result.peak),
            result.at_once.to_string(),
            result.answered.to_string(),
            result.asked.to_string(),
            format!("{:.1} ms", result.median_ms),
            format!("{:.1} MB", result.memory_before as f64 / 1e6),
            format!("{:.1} MB", result.memory_after as f64 / 1e6),
        ]);
    }
    table
}
