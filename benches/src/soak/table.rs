//! What a soak says in the end.

use super::{Report, Transport};
use crate::table::Table;

/// For a terminal.
#[must_use]
pub fn plain(report: &Report) -> String {
    let mut done = Table::new(&["what", "how often"]);
    let mut line = |what: &str, count: u64| {
        done.lines.push(vec![what.to_owned(), count.to_string()]);
    };
    let (churn, hostile, operated) = (&report.churn, &report.hostile, &report.operated);
    for (transport, count) in Transport::ALL.iter().zip(churn.allocations) {
        line(&format!("allocations over {}", transport.name()), count);
    }
    line("taken along to another port", churn.moves);
    line("pairs of ports", churn.pairs);
    line("left behind", churn.left_behind);
    line("ended by a reset or silence", churn.resets);
    line("to be ended by the operator", churn.victims);
    line("packets relayed there and back", churn.sent - churn.lost);
    line("datagrams of strangers", hostile.datagrams);
    line("connections of strangers", hostile.connections);
    line("handshakes followed by a reset", hostile.handshakes);
    line("reloads", operated.reloads);
    line("certificates exchanged", operated.certificates);
    line("status and sessions", operated.verbs);
    line("allocations ended by the operator", operated.kills);

    let mut rests = Table::new(&[
        "at rest after",
        "allocations",
        "memory",
        "descriptors",
        "free ports",
        "held for connections",
        "back within",
    ]);
    let start = (0.0, 0, 0.0, report.start);
    let rested = report
        .rests
        .iter()
        .map(|rest| (rest.minutes, rest.allocations, rest.seconds, rest.held));
    for (minutes, allocations, seconds, held) in std::iter::once(start).chain(rested) {
        rests.lines.push(vec![
            format!("{minutes:.1} min"),
            allocations.to_string(),
            format!("{:.1} MB", held.memory as f64 / 1e6),
            held.descriptors.to_string(),
            held.relay_ports.to_string(),
            format!("{:.0} kB", held.stream_memory as f64 / 1e3),
            format!("{seconds:.0} s"),
        ]);
    }
    let mut text = format!("{}\n{}\n", done.plain(), rests.plain());
    for gate in &report.gates {
        text.push_str(&format!("{gate}\n"));
    }
    for error in report.errors.iter().take(5) {
        text.push_str(&format!("logged: {error}\n"));
    }
    text
}
