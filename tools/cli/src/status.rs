//! `forebay status`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use forebay_ipc::media::MediaWorker;
use forebay_ipc::stats::{self, Definition, Kind, Stat, TABLE};
use forebay_ipc::{Allocation, FromDataplane, Role, SnapshotBegin, StatsDigest, Welcome, Worker};
use serde_json::{Map, Value, json};

use crate::link::Link;

/// Show what a data plane or forebay-turnd on this host is doing: workers,
/// allocations, relay ports, packets per second and why packets were dropped.
/// Takes about a second, over which rates are measured.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The control socket. Omitted: the usual places, a data plane first.
    #[arg(short, long, value_name = "PATH")]
    socket: Option<PathBuf>,
    /// List the allocations too.
    #[arg(short, long)]
    allocations: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// One worker's statistics at two moments.
#[derive(Debug, Clone)]
struct Sample {
    first: (Instant, Vec<u64>),
    last: (Instant, Vec<u64>),
}

/// All that was learned.
struct Picture {
    welcome: Welcome,
    begin: SnapshotBegin,
    workers: Vec<Worker>,
    media: Vec<MediaWorker>,
    allocations: Vec<Allocation>,
    samples: BTreeMap<u16, Sample>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), String> {
    let mut link = Link::connect(
        arguments.socket.as_deref(),
        Role::Observer,
        arguments.allocations,
    )?;
    let picture = look(&mut link)?;
    if arguments.json {
        println!("{}", picture.to_json(arguments.allocations));
    } else {
        print!("{}", picture.to_text(arguments.allocations));
    }
    Ok(())
}

/// Reads the snapshot and two rounds of statistics.
fn look(link: &mut Link) -> Result<Picture, String> {
    let FromDataplane::Welcome(welcome) = link.next()? else {
        return Err("the data plane does not greet; is it the same release?".to_owned());
    };
    let mut begin = None;
    let mut workers = Vec::new();
    let mut allocations = BTreeMap::new();
    let mut media = Vec::new();
    let mut samples = BTreeMap::new();
    let mut complete = false;
    loop {
        match link.next()? {
            FromDataplane::SnapshotBegin(snapshot) => begin = Some(snapshot),
            FromDataplane::Workers(page) => workers.extend(page.into_inner()),
            FromDataplane::Allocations(page) => {
                allocations.extend(
                    page.into_inner()
                        .into_iter()
                        .map(|allocation| (allocation.id, allocation)),
                );
            }
            FromDataplane::Deleted(page) => {
                for deleted in page.iter() {
                    allocations.remove(&deleted.id);
                }
            }
            FromDataplane::MediaWorkers(page) => media.extend(page.into_inner()),
            FromDataplane::SnapshotEnd(_) => complete = true,
            FromDataplane::Stats(digest) => take(&mut samples, digest)?,
            _ => {}
        }
        let measured = samples.len() >= workers.len()
            && samples
                .values()
                .all(|sample| sample.last.0 > sample.first.0);
        if let (true, true, Some(begin)) = (complete, measured, begin.clone()) {
            let allocations = allocations.into_values().collect();
            return Ok(Picture {
                welcome,
                begin,
                workers,
                media,
                allocations,
                samples,
            });
        }
    }
}

fn take(samples: &mut BTreeMap<u16, Sample>, digest: StatsDigest) -> Result<(), String> {
    if digest.table != stats::fingerprint() {
        return Err(
            "the data plane counts other things than this program knows; use the same release"
                .to_owned(),
        );
    }
    let now = (Instant::now(), digest.values.into_inner());
    samples
        .entry(digest.worker)
        .and_modify(|sample| sample.last = now.clone())
        .or_insert_with(|| Sample {
            first: now.clone(),
            last: now,
        });
    Ok(())
}

impl Picture {
    fn total(&self, stat: Stat) -> u64 {
        self.samples.values().map(|sample| sample.value(stat)).sum()
    }

    fn rate(&self, stat: Stat) -> f64 {
        self.samples.values().map(|sample| sample.rate(stat)).sum()
    }

    fn uptime(&self) -> Duration {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| since.as_secs());
        Duration::from_secs(now.saturating_sub(self.welcome.started_at))
    }

    /// Everything that counts something lost, if it is not zero.
    fn losses(&self) -> Vec<(String, u64)> {
        const LOSSES: [&str; 9] = [
            "packets_dropped",
            "kernel_drops",
            "receive_truncated",
            "receive_errors",
            "receive_buffers_exhausted",
            "ring_overflows",
            "send_errors",
            "relay_open_errors",
            "reports_lost",
        ];
        TABLE
            .iter()
            .filter(|definition| LOSSES.contains(&definition.name))
            .map(|definition| (name(definition), self.total(definition.stat)))
            .filter(|(_, count)| *count > 0)
            .collect()
    }

    fn to_text(&self, list: bool) -> String {
        let mut lines = Vec::new();
        lines.push(format!(
            "{}, up {}, realm {}",
            self.welcome.software,
            humantime::format_duration(self.uptime()),
            self.welcome.realm
        ));
        for listener in self.begin.listeners.iter() {
            lines.push(format!(
                "listens  {} {}",
                format!("{:?}", listener.transport).to_lowercase(),
                listener.address
            ));
        }
        for relay in self.begin.relays.iter() {
            let public = if relay.local == relay.public {
                String::new()
            } else {
                format!(" as {}", relay.public)
            };
            let ports = self.begin.relay_ports;
            lines.push(format!(
                "relays   {}{public}, ports {}-{}",
                relay.local, ports.first, ports.last
            ));
        }
        if let Some(drain) = self.begin.drain {
            lines.push(format!(
                "draining {} allocations remain, {} s left",
                drain.remaining, drain.seconds_left
            ));
        }
        lines.push(format!(
            "total    {} allocations, {} of {} relay ports free, {:.0} packets/s to peers, {:.0} to clients",
            self.total(Stat::AllocationsLive),
            self.total(Stat::RelayPortsFree),
            self.total(Stat::RelayPorts),
            self.rate(Stat::ToPeerPackets),
            self.rate(Stat::ToClientPackets),
        ));
        if self.total(Stat::StreamMemory) > 0 {
            lines.push(format!(
                "streams  {} connections, {:.1} MB held for them",
                self.total(Stat::Streams),
                self.total(Stat::StreamMemory) as f64 / 1e6,
            ));
        }
        lines.push(String::new());
        lines.push(
            "worker  core  allocations  ports free  to peers/s  to clients/s     Mbit/s  packets/send   cpu %".to_owned(),
        );
        for worker in &self.workers {
            let Some(sample) = self.samples.get(&worker.index) else {
                continue;
            };
            lines.push(format!(
                "{:>6}  {:>4}  {:>11}  {:>10}  {:>10.0}  {:>12.0}  {:>9.2}  {:>12.2}  {:>6.1}",
                worker.index,
                worker.core.map_or("-".to_owned(), |core| core.to_string()),
                sample.value(Stat::AllocationsLive),
                sample.value(Stat::RelayPortsFree),
                sample.rate(Stat::ToPeerPackets),
                sample.rate(Stat::ToClientPackets),
                (sample.rate(Stat::ToPeerBytes) + sample.rate(Stat::ToClientBytes)) * 8.0 / 1e6,
                sample.packets_per_send(),
                sample.rate(Stat::CpuNanoseconds) / 1e7,
            ));
        }
        self.media_text(&mut lines);
        lines.push(String::new());
        let losses = self.losses();
        if losses.is_empty() {
            lines.push("nothing dropped since start".to_owned());
        } else {
            lines.push("dropped since start".to_owned());
            lines.extend(
                losses
                    .iter()
                    .map(|(name, count)| format!("{count:>12}  {name}")),
            );
        }
        if list {
            lines.push(String::new());
            lines.push("allocations: relayed address, client, user".to_owned());
            lines.extend(self.allocations.iter().map(|allocation| {
                // The username is a stranger's: show control characters escaped.
                let user = allocation.username.escape_debug();
                format!("  {}  {}  {user}", allocation.relayed, allocation.client)
            }));
        }
        lines.push(String::new());
        lines.join("\n")
    }

    /// The forwarder, where it is on.
    fn media_text(&self, lines: &mut Vec<String>) {
        if self.media.is_empty() {
            return;
        }
        lines.push(String::new());
        for worker in &self.media {
            let addresses: Vec<String> = worker.addresses.iter().map(ToString::to_string).collect();
            let tcp = worker.tcp.map(|port| format!(", tcp port {port}"));
            lines.push(format!(
                "media    worker {} on udp {}{}",
                worker.worker,
                addresses.join(", "),
                tcp.unwrap_or_default()
            ));
        }
        lines.push(format!(
            "total    {} sessions, {} tracks, {} subscriptions, {:.0} packets/s in, {:.0} out",
            self.total(Stat::MediaSessions),
            self.total(Stat::MediaTracks),
            self.total(Stat::MediaSubscriptions),
            self.rate(Stat::MediaReceivedPackets),
            self.rate(Stat::MediaForwardedPackets),
        ));
        lines.push(
            "worker  sessions  of      tracks  subscriptions        in/s       out/s  Mbit/s out  packets/send"
                .to_owned(),
        );
        for worker in &self.media {
            let Some(sample) = self.samples.get(&worker.worker) else {
                continue;
            };
            lines.push(format!(
                "{:>6}  {:>8}  {:<6}  {:>6}  {:>13}  {:>10.0}  {:>10.0}  {:>10.2}  {:>12.2}",
                worker.worker,
                sample.value(Stat::MediaSessions),
                worker.session_capacity,
                sample.value(Stat::MediaTracks),
                sample.value(Stat::MediaSubscriptions),
                sample.rate(Stat::MediaReceivedPackets),
                sample.rate(Stat::MediaForwardedPackets),
                sample.rate(Stat::MediaForwardedBytes) * 8.0 / 1e6,
                sample.media_per_send(),
            ));
        }
    }

    fn to_json(&self, list: bool) -> Value {
        let workers: Vec<Value> = self
            .workers
            .iter()
            .filter_map(|worker| {
                let sample = self.samples.get(&worker.index)?;
                let mut statistics = Map::new();
                let mut rates = Map::new();
                for definition in TABLE {
                    statistics.insert(name(definition), sample.value(definition.stat).into());
                    if definition.kind == Kind::Counter {
                        rates.insert(name(definition), sample.rate(definition.stat).into());
                    }
                }
                Some(json!({
                    "index": worker.index,
                    "core": worker.core,
                    "relay_ports": worker.relay_ports,
                    "allocation_capacity": worker.allocation_capacity,
                    "statistics": statistics,
                    "per_second": rates,
                }))
            })
            .collect();
        let mut picture = json!({
            "software": &*self.welcome.software,
            "realm": &*self.welcome.realm,
            "uptime_seconds": self.uptime().as_secs(),
            "listeners": self.begin.listeners.iter().map(|listener| json!({
                "transport": format!("{:?}", listener.transport).to_lowercase(),
                "address": listener.address.to_string(),
            })).collect::<Vec<_>>(),
            "relays": self.begin.relays.iter().map(|relay| json!({
                "local": relay.local.to_string(),
                "public": relay.public.to_string(),
            })).collect::<Vec<_>>(),
            "relay_ports": [self.begin.relay_ports.first, self.begin.relay_ports.last],
            "draining": self.begin.drain.map(|drain| json!({
                "remaining": drain.remaining,
                "seconds_left": drain.seconds_left,
            })),
            "allocations": self.total(Stat::AllocationsLive),
            "streams": self.total(Stat::Streams),
            "stream_memory_bytes": self.total(Stat::StreamMemory),
            "workers": workers,
            "media": self.media.iter().map(|worker| json!({
                "worker": worker.worker,
                "addresses": worker.addresses.iter().map(ToString::to_string).collect::<Vec<_>>(),
                "session_capacity": worker.session_capacity,
                "tcp": worker.tcp,
            })).collect::<Vec<_>>(),
        });
        if list {
            picture["allocation_list"] = self
                .allocations
                .iter()
                .map(|allocation| {
                    json!({
                        "worker": allocation.id.worker,
                        "client": allocation.client.to_string(),
                        "relayed": allocation.relayed.to_string(),
                        "username": &*allocation.username,
                        "created_at": allocation.created_at,
                    })
                })
                .collect();
        }
        picture
    }
}

impl Sample {
    fn value(&self, stat: Stat) -> u64 {
        self.last.1.get(stat as usize).copied().unwrap_or(0)
    }

    /// Change per second between the two moments.
    fn rate(&self, stat: Stat) -> f64 {
        let before = self.first.1.get(stat as usize).copied().unwrap_or(0);
        let seconds = self.last.0.duration_since(self.first.0).as_secs_f64();
        if seconds > 0.0 {
            self.value(stat).saturating_sub(before) as f64 / seconds
        } else {
            0.0
        }
    }

    /// Datagrams per send operation since start: what coalescing gains.
    fn packets_per_send(&self) -> f64 {
        let packets = self.value(Stat::ToPeerPackets) + self.value(Stat::ToClientPackets);
        per_send(packets, self.value(Stat::RelaySends))
    }

    /// The same of the forwarder; sends that carry no media count too.
    fn media_per_send(&self) -> f64 {
        let packets = self.value(Stat::MediaForwardedPackets)
            + self.value(Stat::MediaRetransmissions)
            + self.value(Stat::MediaProbes);
        per_send(packets, self.value(Stat::MediaSends))
    }
}

fn per_send(packets: u64, sends: u64) -> f64 {
    match sends {
        0 => 0.0,
        sends => packets as f64 / sends as f64,
    }
}

/// `name` or `name:value` of its label.
fn name(definition: &Definition) -> String {
    match definition.label {
        Some((_, value)) => format!("{}:{value}", definition.name),
        None => definition.name.to_owned(),
    }
}
