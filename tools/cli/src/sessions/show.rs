//! Sessions as lines and as JSON.

use std::collections::HashMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use forebay_ipc::{AllocationId, Session, Transport, Usage};
use serde_json::{Value, json};

use super::filter::{Filter, person};

/// A session with its rates.
pub(super) struct Row<'a> {
    session: &'a Session,
    /// Bits per second, to peers and to the client; `None` before it was
    /// measured twice.
    rates: Option<[f64; 2]>,
    age: u64,
}

/// What comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Sort {
    /// The fastest.
    Rate,
    /// What has moved most.
    Bytes,
    /// The oldest.
    Age,
    /// By name.
    User,
}

impl Sort {
    pub(super) fn apply(self, rows: &mut [Row<'_>]) {
        let oldest = |row: &Row<'_>| (row.session.created_at, row.session.uuid);
        rows.sort_by(|a, b| {
            let first = match self {
                Self::Rate => b.rate().total_cmp(&a.rate()),
                Self::Bytes => b.bytes().cmp(&a.bytes()),
                Self::Age => std::cmp::Ordering::Equal,
                Self::User => person(&a.session.username).cmp(person(&b.session.username)),
            };
            first.then_with(|| oldest(a).cmp(&oldest(b)))
        });
    }
}

impl Row<'_> {
    fn rate(&self) -> f64 {
        self.rates.map_or(0.0, |[up, down]| up + down)
    }

    fn bytes(&self) -> u64 {
        self.session.usage.to_peer_bytes + self.session.usage.to_client_bytes
    }
}

/// The sessions that are meant, with what they moved between two lists.
pub(super) fn rows<'a>(before: &[Session], now: &'a [Session], filter: &Filter) -> Vec<Row<'a>> {
    let earlier: HashMap<AllocationId, (u64, Usage)> = before
        .iter()
        .map(|session| (session.id, (session.measured_at, session.usage)))
        .collect();
    let unix = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs());
    now.iter()
        .filter(|session| filter.takes(session))
        .map(|session| Row {
            session,
            rates: earlier
                .get(&session.id)
                .and_then(|(at, usage)| rates(session, *at, usage)),
            age: unix.saturating_sub(session.created_at),
        })
        .collect()
}

fn rates(session: &Session, before: u64, usage: &Usage) -> Option<[f64; 2]> {
    let micros = session.measured_at.checked_sub(before)?;
    if before == 0 || micros == 0 {
        return None;
    }
    let rate = |now: u64, then: u64| now.saturating_sub(then) as f64 * 8e6 / micros as f64;
    Some([
        rate(session.usage.to_peer_bytes, usage.to_peer_bytes),
        rate(session.usage.to_client_bytes, usage.to_client_bytes),
    ])
}

/// How a session is named on the command line: worker, slot, generation.
pub(super) fn id_of(session: &Session) -> String {
    let AllocationId {
        worker,
        slot,
        generation,
    } = session.id;
    format!("{worker}.{slot}.{generation}")
}

/// Its name in usage records.
pub(super) fn uuid_of(session: &Session) -> String {
    let hex: String = session
        .uuid
        .0
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let parts = [0..8, 8..12, 12..16, 16..20, 20..32].map(|range| &hex[range]);
    parts.join("-")
}

const fn name(transport: Transport) -> &'static str {
    match transport {
        Transport::Udp => "udp",
        Transport::Tcp => "tcp",
        Transport::Tls => "tls",
        Transport::Dtls => "dtls",
    }
}

/// The relayed address, and what its peers speak where that is not UDP.
fn relay(session: &Session) -> String {
    match session.relay_transport {
        Transport::Udp => session.relayed.to_string(),
        other => format!("{}/{}", session.relayed, name(other)),
    }
}

/// The longest user that a column is widened for.
const USER: usize = 24;

/// A column: its head, whether its cells stand at the right edge, whether only
/// a wide table has it, and its cell of a row.
struct Column(&'static str, bool, bool, fn(&Row<'_>) -> String);

const COLUMNS: &[Column] = &[
    Column("ID", false, false, |row| id_of(row.session)),
    Column("USER", false, false, |row| short(&row.session.username)),
    Column("VIA", false, false, |row| {
        name(row.session.transport).to_owned()
    }),
    Column("CLIENT", false, false, |row| row.session.client.to_string()),
    Column("SERVER", false, true, |row| row.session.server.to_string()),
    Column("RELAY", false, false, |row| relay(row.session)),
    Column("TO PEERS", true, false, |row| {
        bytes(row.session.usage.to_peer_bytes)
    }),
    Column("PACKETS", true, true, |row| {
        row.session.usage.to_peer_packets.to_string()
    }),
    Column("RATE", true, false, |row| rate(row.rates.map(|[up, _]| up))),
    Column("TO CLIENT", true, false, |row| {
        bytes(row.session.usage.to_client_bytes)
    }),
    Column("PACKETS", true, true, |row| {
        row.session.usage.to_client_packets.to_string()
    }),
    Column("RATE", true, false, |row| {
        rate(row.rates.map(|[_, down]| down))
    }),
    Column("AGE", true, false, |row| duration(row.age)),
    Column("ENDS IN", true, false, |row| {
        row.session
            .expires_in
            .map_or_else(|| "-".to_owned(), |seconds| duration(seconds.into()))
    }),
];

/// A table for people; `all`: how many rows there would be without a limit.
pub(super) fn table(rows: &[Row<'_>], all: usize, wide: bool) -> String {
    let columns: Vec<&Column> = COLUMNS
        .iter()
        .filter(|Column(_, _, in_wide, _)| wide || !in_wide)
        .collect();
    let mut lines = vec![String::new(); rows.len() + 1];
    for Column(head, right, _, cell) in columns {
        let cells: Vec<String> = std::iter::once((*head).to_owned())
            .chain(rows.iter().map(cell))
            .collect();
        let width = cells.iter().map(|cell| cell.chars().count()).max();
        let width = width.unwrap_or(0);
        for (line, cell) in lines.iter_mut().zip(cells) {
            line.push_str(&match right {
                true => format!("{cell:>width$}  "),
                false => format!("{cell:<width$}  "),
            });
        }
    }
    let mut text: String = lines
        .iter()
        .map(|line| format!("{}\n", line.trim_end()))
        .collect();
    let [up, down] = rows
        .iter()
        .filter_map(|row| row.rates)
        .fold([0.0, 0.0], |[a, b], [up, down]| [a + up, b + down]);
    let shown = match all {
        1 => "1 session".to_owned(),
        all if rows.len() < all => format!("{} of {all} sessions", rows.len()),
        all => format!("{all} sessions"),
    };
    text.push_str(&format!(
        "{shown}, {} to peers, {} to clients\n",
        bits(up),
        bits(down)
    ));
    text
}

/// The username is a stranger's: control characters are escaped, and it is cut.
fn short(username: &str) -> String {
    let user: String = person(username).escape_debug().collect();
    if user.chars().count() <= USER {
        return user;
    }
    user.chars().take(USER - 1).chain(['…']).collect()
}

fn bytes(count: u64) -> String {
    scaled(count as f64, "B")
}

fn rate(rate: Option<f64>) -> String {
    rate.map_or_else(|| "-".to_owned(), bits)
}

fn bits(rate: f64) -> String {
    scaled(rate, "b/s")
}

/// Three digits and a decimal prefix.
fn scaled(value: f64, unit: &str) -> String {
    let mut value = value;
    for prefix in ["", "k", "M", "G", "T"] {
        if value < 999.5 || prefix == "T" {
            let digits = if prefix.is_empty() || value >= 99.95 {
                0
            } else {
                1
            };
            return format!("{value:.digits$} {prefix}{unit}");
        }
        value /= 1000.0;
    }
    format!("{value:.0} {unit}")
}

/// The two largest units.
fn duration(seconds: u64) -> String {
    let duration = Duration::from_secs(seconds);
    let text = humantime::format_duration(duration).to_string();
    let parts: Vec<&str> = text.split(' ').take(2).collect();
    parts.join(" ")
}

/// An array of objects for programs.
pub(super) fn json(rows: &[Row<'_>]) -> Value {
    rows.iter()
        .map(|row| {
            let session = row.session;
            let [up, down] = match row.rates {
                Some([up, down]) => [Some(up.round()), Some(down.round())],
                None => [None, None],
            };
            json!({
                "id": id_of(session),
                "uuid": uuid_of(session),
                "user": &*session.username,
                "transport": name(session.transport),
                "client": session.client.to_string(),
                "server": session.server.to_string(),
                "relay": session.relayed.to_string(),
                "relay_transport": name(session.relay_transport),
                "to_peer_packets": session.usage.to_peer_packets,
                "to_peer_bytes": session.usage.to_peer_bytes,
                "to_client_packets": session.usage.to_client_packets,
                "to_client_bytes": session.usage.to_client_bytes,
                "to_peer_bits_per_second": up,
                "to_client_bits_per_second": down,
                "created_at": session.created_at,
                "age_seconds": row.age,
                "expires_in_seconds": session.expires_in,
            })
        })
        .collect()
}
