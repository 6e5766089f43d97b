//! What the control plane counts of itself. Every label value comes from the
//! configuration or from this file, never from a request.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use forebay_ipc::{Deleted, Deletion};
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::link::LinkView;
use crate::rooms::metrics::RoomMetrics;
use crate::settings::Settings;

/// Seconds; credentials take microseconds, an overloaded host seconds.
const BUCKETS: [f64; 7] = [0.000_5, 0.001, 0.005, 0.025, 0.1, 0.5, 2.5];

/// A route and how it answered.
#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct RequestLabels {
    /// The route's pattern.
    pub route: &'static str,
    /// HTTP status code.
    pub status: u16,
}

/// A route.
#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct RouteLabels {
    /// The route's pattern.
    pub route: &'static str,
}

/// A secret of the configuration.
#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct SecretLabels {
    /// Its id.
    pub secret: String,
}

/// Which piece of desired state.
#[derive(Debug, Clone, Copy, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct PieceLabels {
    /// `credentials` or `policy`.
    pub piece: &'static str,
}

/// How a reload went.
#[derive(Debug, Clone, Copy, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct ReloadLabels {
    /// `applied`, `unchanged` or `refused`.
    pub result: &'static str,
}

/// Why an allocation ended.
#[derive(Debug, Clone, Copy, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct EndedLabels {
    reason: Reason,
}

#[derive(Debug, Clone, Copy, Hash, PartialEq, Eq)]
struct Reason(Deletion);

impl EncodeLabelValue for Reason {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> fmt::Result {
        let name = match self.0 {
            Deletion::Expired => "expired",
            Deletion::ClosedByClient => "closed_by_client",
            Deletion::Administrative => "administrative",
            Deletion::Disconnected => "disconnected",
            Deletion::Unseen => "unseen",
            Deletion::Stopped => "stopped",
        };
        EncodeLabelValue::encode(&name, encoder)
    }
}

#[derive(Debug, Clone, Copy, Hash, PartialEq, Eq, EncodeLabelSet)]
struct BuildLabels {
    version: &'static str,
}

/// All of it.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    /// Answers by route and status.
    pub requests: Family<RequestLabels, Counter>,
    /// Time from a request's head to its answer.
    pub request_seconds: Family<RouteLabels, Histogram, fn() -> Histogram>,
    /// Credentials made, by the secret that signed.
    pub credentials_issued: Family<SecretLabels, Counter>,
    /// Requests refused because their address asked too often.
    pub rate_limited: Counter,
    /// Connections refused because too many were open.
    pub connections_refused: Counter,
    /// Reloads by result.
    pub reloads: Family<ReloadLabels, Counter>,
    /// Connections made to the data plane.
    pub dataplane_connections: Counter,
    /// Of rooms.
    pub rooms: Arc<RoomMetrics>,
    secret_not_after: Family<SecretLabels, Gauge>,
    connected: Gauge,
    reconciled: Gauge,
    generations: Family<PieceLabels, Gauge<u64, AtomicU64>>,
    allocations: Gauge<u64, AtomicU64>,
    created: Counter,
    ended: Family<EndedLabels, Counter>,
    ended_bytes: Counter,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// All at zero.
    pub fn new() -> Self {
        let mut metrics = Self {
            registry: Registry::default(),
            requests: Family::default(),
            request_seconds: Family::new_with_constructor(|| Histogram::new(BUCKETS)),
            credentials_issued: Family::default(),
            rate_limited: Counter::default(),
            connections_refused: Counter::default(),
            reloads: Family::default(),
            dataplane_connections: Counter::default(),
            rooms: Arc::default(),
            secret_not_after: Family::default(),
            connected: Gauge::default(),
            reconciled: Gauge::default(),
            generations: Family::default(),
            allocations: Gauge::default(),
            created: Counter::default(),
            ended: Family::default(),
            ended_bytes: Counter::default(),
        };
        metrics.register();
        metrics
    }

    fn register(&mut self) {
        let mut registry = Registry::with_prefix("forebay_controlplane");
        let build = Family::<BuildLabels, Gauge>::default();
        build
            .get_or_create(&BuildLabels {
                version: env!("CARGO_PKG_VERSION"),
            })
            .set(1);
        registry.register("build", "Always 1; the version is a label", build);
        registry.register(
            "http_requests",
            "HTTP answers by route and status",
            self.requests.clone(),
        );
        registry.register(
            "http_request_duration_seconds",
            "Time from a request's head to its answer",
            self.request_seconds.clone(),
        );
        registry.register(
            "credentials_issued",
            "TURN credentials made, by the secret that signed",
            self.credentials_issued.clone(),
        );
        registry.register(
            "http_rate_limited",
            "Requests refused with 429",
            self.rate_limited.clone(),
        );
        registry.register(
            "http_connections_refused",
            "Connections closed at once because too many were open",
            self.connections_refused.clone(),
        );
        registry.register(
            "reloads",
            "Reloads of the configuration by result",
            self.reloads.clone(),
        );
        registry.register(
            "secret_not_after_timestamp_seconds",
            "When a TURN REST secret stops authenticating; absent without an end",
            self.secret_not_after.clone(),
        );
        registry.register(
            "dataplane_connects",
            "Connections made to the data plane, snapshot included",
            self.dataplane_connections.clone(),
        );
        registry.register(
            "dataplane_connected",
            "1 while the data plane is connected",
            self.connected.clone(),
        );
        registry.register(
            "dataplane_reconciled",
            "1 while the data plane has the credentials and peer policy wanted",
            self.reconciled.clone(),
        );
        registry.register(
            "dataplane_generation",
            "Generation of the desired state in force in the data plane",
            self.generations.clone(),
        );
        registry.register(
            "dataplane_allocations",
            "Allocations alive, as the data plane last said",
            self.allocations.clone(),
        );
        registry.register(
            "allocations_created",
            "Allocations the data plane told of",
            self.created.clone(),
        );
        registry.register(
            "allocations_ended",
            "Allocations that ended, by reason",
            self.ended.clone(),
        );
        registry.register(
            "allocations_ended_relayed_bytes",
            "Payload bytes that ended allocations had relayed, both directions",
            self.ended_bytes.clone(),
        );
        self.rooms.register(&mut registry);
        for piece in ["credentials", "policy"] {
            let _ = self.generations.get_or_create(&PieceLabels { piece });
        }
        for result in ["applied", "unchanged", "refused"] {
            let _ = self.reloads.get_or_create(&ReloadLabels { result });
        }
        for reason in [
            Deletion::Expired,
            Deletion::ClosedByClient,
            Deletion::Administrative,
            Deletion::Disconnected,
            Deletion::Unseen,
            Deletion::Stopped,
        ] {
            let _ = self.ended.get_or_create(&EndedLabels {
                reason: Reason(reason),
            });
        }
        self.registry = registry;
    }

    /// Counts an answer.
    pub fn count_request(&self, route: &'static str, status: u16, took: Duration) {
        self.requests
            .get_or_create(&RequestLabels { route, status })
            .inc();
        self.request_seconds
            .get_or_create(&RouteLabels { route })
            .observe(took.as_secs_f64());
    }

    /// Counts a reload.
    pub fn count_reload(&self, result: &'static str) {
        self.reloads.get_or_create(&ReloadLabels { result }).inc();
    }

    /// Counts new allocations.
    pub fn count_created(&self, number: usize) {
        self.created.inc_by(number as u64);
    }

    /// Counts an ended allocation.
    pub fn count_ended(&self, ended: &Deleted) {
        self.ended
            .get_or_create(&EndedLabels {
                reason: Reason(ended.reason),
            })
            .inc();
        self.ended_bytes.inc_by(
            ended
                .usage
                .to_peer_bytes
                .saturating_add(ended.usage.to_client_bytes),
        );
    }

    /// Takes over the secrets in force.
    pub fn set_settings(&self, settings: &Settings) {
        self.secret_not_after.clear();
        for secret in settings.secrets.iter() {
            let labels = SecretLabels {
                secret: secret.id.to_string(),
            };
            let _ = self.credentials_issued.get_or_create(&labels);
            if let Some(end) = secret.not_after {
                self.secret_not_after
                    .get_or_create(&labels)
                    .set(i64::try_from(end).unwrap_or(i64::MAX));
            }
        }
    }

    /// Takes over how things stand with the data plane.
    pub fn set_link(&self, view: &LinkView) {
        self.connected.set(view.connected.into());
        self.reconciled
            .set((view.connected && view.credentials.settled && view.policy.settled).into());
        for (piece, item) in [("credentials", &view.credentials), ("policy", &view.policy)] {
            self.generations
                .get_or_create(&PieceLabels { piece })
                .set(item.applied.map_or(0, |g| g.0));
        }
        self.allocations.set(view.allocations);
    }

    /// As OpenMetrics 1.0.
    pub fn openmetrics(&self) -> Result<String, fmt::Error> {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry)?;
        Ok(text)
    }

    /// As Prometheus' own text format, for readers that do not ask for
    /// OpenMetrics. There, a counter's family carries the `_total` too.
    pub fn text(&self) -> Result<String, fmt::Error> {
        let openmetrics = self.openmetrics()?;
        let counters: Vec<_> = openmetrics
            .lines()
            .filter_map(|line| line.strip_prefix("# TYPE ")?.strip_suffix(" counter"))
            .collect();
        let mut text = String::with_capacity(openmetrics.len());
        for line in openmetrics.lines() {
            if line == "# EOF" || line.starts_with("# UNIT ") {
                continue;
            }
            let mut words = line.splitn(4, ' ');
            match (words.next(), words.next(), words.next(), words.next()) {
                (Some("#"), Some(keyword), Some(name), Some(rest)) if counters.contains(&name) => {
                    text.push_str(&format!("# {keyword} {name}_total {rest}\n"));
                }
                _ => {
                    text.push_str(line);
                    text.push('\n');
                }
            }
        }
        Ok(text)
    }
}
