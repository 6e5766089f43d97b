//! What the workers published and the control thread knows, as metrics.
//!
//! Names and helps of a worker's statistics come from the one table in
//! `forebay_ipc::stats`; labels are bounded by the number of workers, of
//! secrets and of the table's own values.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use forebay_ipc::stats::{Definition, Kind, TABLE};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, MetricEncoder};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

use super::{front, process};
use crate::node::{Readiness, Status};

/// Which text format a scrape asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Prometheus text 0.0.4, what everything understands.
    Prometheus,
    /// OpenMetrics 1.0.
    OpenMetrics,
}

impl Format {
    /// The format for an Accept header.
    pub fn for_accept(accept: &str) -> Self {
        if accept.contains("application/openmetrics-text") {
            Self::OpenMetrics
        } else {
            Self::Prometheus
        }
    }

    /// Its media type.
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// All metrics of a process as text.
#[derive(Debug)]
pub struct Exposition {
    registry: Registry,
}

impl Exposition {
    /// Metrics of this status.
    pub fn new(status: Arc<Status>) -> Self {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(StatusCollector(status)));
        Self { registry }
    }

    /// Reads everything now.
    pub fn render(&self, format: Format) -> String {
        let mut text = String::with_capacity(32 * 1024);
        // Writing to a String cannot fail, and the collector has no errors of
        // its own.
        let _ = encode(&mut text, &self.registry);
        match format {
            Format::OpenMetrics => text,
            Format::Prometheus => to_prometheus(&text),
        }
    }
}

/// The two formats differ in the family name of counters and in the end mark.
fn to_prometheus(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut help: Option<(&str, &str)> = None;
    for line in text.lines() {
        if line == "# EOF" || line.starts_with("# UNIT ") {
            continue;
        }
        if let Some(rest) = line.strip_prefix("# HELP ") {
            help = rest.split_once(' ');
            continue;
        }
        if let Some((name, kind)) = line
            .strip_prefix("# TYPE ")
            .and_then(|rest| rest.split_once(' '))
        {
            let suffix = if kind == "counter" { "_total" } else { "" };
            if let Some((_, help)) = help.take() {
                out.push_str(&format!("# HELP {name}{suffix} {help}\n"));
            }
            out.push_str(&format!("# TYPE {name}{suffix} {kind}\n"));
            continue;
        }
        out.push_str(line);
        out.push('\n');
    }
    out
}

#[derive(Debug)]
struct StatusCollector(Arc<Status>);

impl Collector for StatusCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        self.workers(&mut encoder)?;
        self.node(&mut encoder)?;
        self.kinds(&mut encoder)?;
        self.usage(&mut encoder)?;
        self.credentials(&mut encoder)?;
        self.handshakes(&mut encoder)?;
        if let Some(tally) = self.0.front() {
            front::encode(tally, &mut encoder)?;
        }
        process::encode(&mut encoder)
    }
}

impl StatusCollector {
    fn workers(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        for (position, first) in TABLE.iter().enumerate() {
            if TABLE[..position]
                .iter()
                .any(|earlier| earlier.name == first.name)
            {
                continue;
            }
            let name = format!("forebay_{}", exposed_name(first.name));
            let kind = match first.kind {
                Kind::Counter => MetricType::Counter,
                Kind::Gauge => MetricType::Gauge,
            };
            let mut family = encoder.encode_descriptor(&name, first.help, None, kind)?;
            for definition in TABLE
                .iter()
                .filter(|definition| definition.name == first.name)
            {
                for (worker, page) in self.0.pages.iter().enumerate() {
                    let value = page[definition.stat as usize].load(Ordering::Relaxed);
                    let labels = labels(definition, worker);
                    if definition.name.ends_with(NANOSECONDS) {
                        ConstCounter::new(value as f64 / 1e9)
                            .encode(family.encode_family(&labels)?)?;
                    } else {
                        put(family.encode_family(&labels)?, definition.kind, value)?;
                    }
                }
            }
        }
        Ok(())
    }

    fn node(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let status = &*self.0;
        let readiness = status.readiness();
        gauge(
            encoder,
            "forebay_workers",
            "Workers.",
            count(status.pages.len()),
        )?;
        gauge(
            encoder,
            "forebay_ready",
            "Whether new clients can be served.",
            i64::from(readiness == Readiness::Ready),
        )?;
        gauge(
            encoder,
            "forebay_draining",
            "Whether new allocations are refused so that the process can end.",
            i64::from(readiness == Readiness::Draining),
        )?;
        gauge(
            encoder,
            "forebay_controllers",
            "Control planes connected.",
            i64::try_from(status.controllers.load(Ordering::Relaxed)).unwrap_or(i64::MAX),
        )?;
        let mut reloads = encoder.encode_descriptor(
            "forebay_reloads",
            "Configuration reloads.",
            None,
            MetricType::Counter,
        )?;
        for (result, counter) in [
            ("done", &status.reloads),
            ("refused", &status.reloads_failed),
        ] {
            let labels = [("result", result)];
            put(
                reloads.encode_family(&labels)?,
                Kind::Counter,
                counter.load(Ordering::Relaxed),
            )?;
        }
        gauge(
            encoder,
            "forebay_last_reload_refused",
            "Whether the configuration file was refused when it was last read again; the one before is in force.",
            i64::from(status.reload_refused.load(Ordering::Relaxed)),
        )?;
        let mut build = encoder.encode_descriptor(
            "forebay_build_info",
            "The program and its version.",
            None,
            MetricType::Gauge,
        )?;
        let (program, version) = status
            .software
            .split_once(' ')
            .unwrap_or((status.software, ""));
        let labels = [("program", program), ("version", version)];
        ConstGauge::new(1_i64).encode(build.encode_family(&labels)?)
    }

    fn kinds(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let mut family = encoder.encode_descriptor(
            "forebay_sessions",
            "Allocations alive, by the client's transport and the family of the relayed address.",
            None,
            MetricType::Gauge,
        )?;
        let kinds = self.0.kinds();
        for (transport, families) in ["udp", "tcp", "tls", "dtls"].iter().zip(kinds) {
            for (ip, count) in ["ipv4", "ipv6"].iter().zip(families) {
                let labels = [("transport", *transport), ("family", *ip)];
                put(family.encode_family(&labels)?, Kind::Gauge, count)?;
            }
        }
        Ok(())
    }

    fn usage(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let Some(tally) = self.0.usage() else {
            return Ok(());
        };
        let mut family = encoder.encode_descriptor(
            "forebay_usage_records",
            "Usage records, by what became of them.",
            None,
            MetricType::Counter,
        )?;
        for (result, counter) in [
            ("written", &tally.written),
            ("delivered", &tally.delivered),
            ("refused", &tally.refused),
            ("lost", &tally.lost),
        ] {
            let value = counter.load(Ordering::Relaxed);
            let labels = [("result", result)];
            put(family.encode_family(&labels)?, Kind::Counter, value)?;
        }
        let errors = tally.webhook_errors.load(Ordering::Relaxed);
        ConstCounter::new(errors).encode(encoder.encode_descriptor(
            "forebay_usage_webhook_errors",
            "Requests to the webhook that failed and are repeated.",
            None,
            MetricType::Counter,
        )?)?;
        let waiting = tally.spool_bytes.load(Ordering::Relaxed);
        gauge(
            encoder,
            "forebay_usage_spool_bytes",
            "Bytes of usage records that wait for the webhook.",
            i64::try_from(waiting).unwrap_or(i64::MAX),
        )
    }

    fn handshakes(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let Some(handshakes) = self.0.handshakes() else {
            return Ok(());
        };
        let tally = handshakes.tally();
        let mut family = encoder.encode_descriptor(
            "forebay_dtls_handshakes",
            "DTLS handshakes.",
            None,
            MetricType::Counter,
        )?;
        for (stage, counter) in [
            ("started", &tally.started),
            ("completed", &tally.completed),
            ("failed", &tally.failed),
        ] {
            let value = counter.load(Ordering::Relaxed);
            put(
                family.encode_family(&[("stage", stage)])?,
                Kind::Counter,
                value,
            )?;
        }
        let mut family = encoder.encode_descriptor(
            "forebay_dtls_datagrams_dropped",
            "DTLS datagrams that no handshake saw.",
            None,
            MetricType::Counter,
        )?;
        for (reason, counter) in [
            ("queue_full", &tally.queue_full),
            ("over_budget", &tally.over_budget),
        ] {
            let value = counter.load(Ordering::Relaxed);
            put(
                family.encode_family(&[("reason", reason)])?,
                Kind::Counter,
                value,
            )?;
        }
        Ok(())
    }

    fn credentials(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let loaded = self.0.loaded();
        gauge(
            encoder,
            "forebay_static_users",
            "Static users loaded.",
            count(loaded.users),
        )?;
        let mut family = encoder.encode_descriptor(
            "forebay_secret_loaded",
            "TURN REST secrets loaded.",
            None,
            MetricType::Gauge,
        )?;
        for (id, _) in &loaded.secrets {
            let labels = [("id", label_value(id))];
            ConstGauge::new(1_i64).encode(family.encode_family(&labels)?)?;
        }
        let mut family = encoder.encode_descriptor(
            "forebay_secret_not_after_seconds",
            "When a TURN REST secret stops authenticating anyone, seconds since the Unix epoch.",
            None,
            MetricType::Gauge,
        )?;
        for (id, not_after) in &loaded.secrets {
            if let Some(moment) = not_after {
                let labels = [("id", label_value(id))];
                let moment = i64::try_from(*moment).unwrap_or(i64::MAX);
                ConstGauge::new(moment).encode(family.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }
}

/// Workers count in integers, Prometheus wants base units.
const NANOSECONDS: &str = "_nanoseconds";

fn exposed_name(name: &str) -> String {
    match name.strip_suffix(NANOSECONDS) {
        Some(stem) => format!("{stem}_seconds"),
        None => name.to_owned(),
    }
}

fn labels(definition: &Definition, worker: usize) -> Vec<(&'static str, String)> {
    let mut labels = vec![("worker", worker.to_string())];
    if let Some((key, value)) = definition.label {
        labels.push((key, value.to_owned()));
    }
    labels
}

pub(super) fn put(encoder: MetricEncoder<'_>, kind: Kind, value: u64) -> fmt::Result {
    match kind {
        Kind::Counter => ConstCounter::new(value).encode(encoder),
        Kind::Gauge => ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX)).encode(encoder),
    }
}

/// A gauge without labels.
pub(super) fn gauge(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    value: i64,
) -> fmt::Result {
    ConstGauge::new(value).encode(encoder.encode_descriptor(name, help, None, MetricType::Gauge)?)
}

fn count(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// Ids come from operators; what would break the text format is replaced.
fn label_value(text: &str) -> String {
    text.chars()
        .map(|c| {
            if c == '"' || c == '\\' || c.is_control() {
                '_'
            } else {
                c
            }
        })
        .collect()
}
