//! The configuration file.

pub mod keys;
mod sections;

use std::path::Path;

use serde::Deserialize;

pub use sections::{
    Api, Calls, Dataplane, Level, Limits, Listen, Log, LogFormat, Metrics, Peers, RelayCheck,
    RoomPage, Rooms, SecretSource, TokenSource, Turn, Whip,
};

/// The whole file.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// `[listen]`
    pub listen: Listen,
    /// `[dataplane]`
    pub dataplane: Dataplane,
    /// `[turn]`
    pub turn: Turn,
    /// `[peers]`
    pub peers: Peers,
    /// `[api]`
    pub api: Api,
    /// `[rooms]`
    pub rooms: Rooms,
    /// `[whip]`
    pub whip: Whip,
    /// `[calls]`
    pub calls: Calls,
    /// `[relay_check]`
    pub relay_check: RelayCheck,
    /// `[room_page]`
    pub room_page: RoomPage,
    /// `[limits]`
    pub limits: Limits,
    /// `[metrics]`
    pub metrics: Metrics,
    /// `[log]`
    pub log: Log,
}

/// Every section, in printing order.
pub const SECTIONS: &[keys::Section] = &[
    Listen::SECTION,
    Dataplane::SECTION,
    Turn::SECTION,
    Peers::SECTION,
    Api::SECTION,
    Rooms::SECTION,
    Whip::SECTION,
    Calls::SECTION,
    RelayCheck::SECTION,
    RoomPage::SECTION,
    Limits::SECTION,
    Metrics::SECTION,
    Log::SECTION,
];

/// Why a configuration is refused: sentences that name the remedy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.join("\n"))]
pub struct ConfigError(pub Vec<String>);

impl ConfigError {
    /// With a single sentence.
    pub fn one(sentence: impl Into<String>) -> Self {
        Self(vec![sentence.into()])
    }
}

impl Config {
    /// Reads and checks a file.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path).map_err(|error| {
            ConfigError::one(format!("{}: {error}; see --print-default", path.display()))
        })?;
        Self::parse(&text).map_err(|ConfigError(sentences)| {
            ConfigError(
                sentences
                    .into_iter()
                    .map(|s| format!("{}: {s}", path.display()))
                    .collect(),
            )
        })
    }

    /// Reads and checks the text of a file.
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        let table: toml::Table = text
            .parse()
            .map_err(|error| ConfigError::one(syntax(&error)))?;
        let unknown = keys::unknown(SECTIONS, &table);
        if !unknown.is_empty() {
            return Err(ConfigError(unknown));
        }
        // From the text again, because only that reports the place of an error.
        let config: Self =
            toml::from_str(text).map_err(|error| ConfigError::one(syntax(&error)))?;
        let complaints = config.complaints();
        if complaints.is_empty() {
            Ok(config)
        } else {
            Err(ConfigError(complaints))
        }
    }

    /// The default as a commented file.
    pub fn print_default() -> String {
        keys::print(SECTIONS)
    }

    fn complaints(&self) -> Vec<String> {
        let mut complaints = Vec::new();
        let mut need = |holds: bool, sentence: &str| {
            if !holds {
                complaints.push(sentence.to_owned());
            }
        };
        let Turn {
            ttl_default,
            ttl_max,
            ..
        } = &self.turn;
        need(
            ttl_default.as_secs() >= 1,
            "turn.ttl_default must be at least 1s",
        );
        need(
            ttl_default <= ttl_max,
            "turn.ttl_default must not exceed turn.ttl_max",
        );
        need(
            ttl_max.as_secs() <= 10 * 365 * 86_400,
            "turn.ttl_max must not exceed ten years",
        );
        need(
            self.peers.lowest_port >= 1,
            "peers.lowest_port must be at least 1: port 0 is never a peer",
        );
        need(
            self.limits.requests_per_second >= 1,
            "limits.requests_per_second must be at least 1",
        );
        need(self.limits.burst >= 1, "limits.burst must be at least 1");
        need(
            self.limits.connections >= 1,
            "limits.connections must be at least 1",
        );
        need(
            !self.limits.request_timeout.is_zero(),
            "limits.request_timeout must be above zero",
        );
        let rooms = &self.rooms;
        need(
            rooms.max_rooms >= 1 && rooms.max_participants >= 1 && rooms.max_tracks >= 1,
            "rooms.max_rooms, max_participants and max_tracks must be at least 1",
        );
        need(
            rooms.max_tracks <= 64,
            "rooms.max_tracks must not exceed 64",
        );
        need(
            (2..=60).contains(&rooms.max_received),
            "rooms.max_received must be 2 to 60",
        );
        need(
            rooms.codecs().is_sound(),
            "rooms.video_codecs must name at least one codec, and none twice",
        );
        need(
            rooms.resume_grace.as_secs() <= 3_600,
            "rooms.resume_grace must not exceed 1h",
        );
        need(
            rooms.ping_interval.as_secs() >= 1,
            "rooms.ping_interval must be at least 1s",
        );
        need(
            rooms.silence >= rooms.ping_interval * 2,
            "rooms.silence must be at least twice rooms.ping_interval",
        );
        need(
            rooms.joins_per_second >= 1 && rooms.join_burst >= 1,
            "rooms.joins_per_second and rooms.join_burst must be at least 1",
        );
        need(
            rooms.websockets >= 1 && rooms.websockets_per_address >= 1,
            "rooms.websockets and rooms.websockets_per_address must be at least 1",
        );
        need(
            rooms.worker_sessions >= 4,
            "rooms.worker_sessions must be at least 4",
        );
        let urls = self
            .turn
            .urls
            .iter()
            .chain(self.turn.regions.values().flatten());
        for url in urls {
            if let Err(why) = check_url(url) {
                complaints.push(format!("turn.urls: {url:?} {why}"));
            }
        }
        if let Some(name) = &self.turn.tls_name
            && (name.contains([':', '?', '[']) || check_url(&format!("turns:{name}")).is_err())
        {
            complaints.push(format!("turn.tls_name: {name:?} is not a host name"));
        }
        for region in self.turn.regions.keys() {
            if region.is_empty() || region.len() > 32 {
                complaints.push(format!(
                    "turn.regions: the name {region:?} must have 1 to 32 bytes"
                ));
            }
        }
        complaints
    }

    /// Keys that differ from `running` and take a restart.
    pub fn needs_restart(&self, running: &Self) -> Vec<&'static str> {
        let mut keys = Vec::new();
        let mut note = |same: bool, key| {
            if !same {
                keys.push(key);
            }
        };
        note(self.listen.http == running.listen.http, "listen.http");
        note(self.dataplane == running.dataplane, "dataplane.socket");
        note(
            self.limits.connections == running.limits.connections,
            "limits.connections",
        );
        note(
            self.limits.request_timeout == running.limits.request_timeout,
            "limits.request_timeout",
        );
        note(
            self.calls.database == running.calls.database,
            "calls.database",
        );
        note(
            self.metrics.enabled == running.metrics.enabled,
            "metrics.enabled",
        );
        note(
            self.metrics.listen == running.metrics.listen,
            "metrics.listen",
        );
        note(self.log.level == running.log.level, "log.level");
        note(self.log.format == running.log.format, "log.format");
        keys
    }
}

impl Config {
    /// Takes over from `running` what only a restart changes.
    pub fn keep_fixed(&mut self, running: &Self) {
        self.listen.http = running.listen.http;
        self.dataplane = running.dataplane.clone();
        self.limits.connections = running.limits.connections;
        self.limits.request_timeout = running.limits.request_timeout;
        self.calls.database.clone_from(&running.calls.database);
        self.metrics = running.metrics.clone();
        self.log = Log {
            usage: self.log.usage,
            ..running.log.clone()
        };
    }
}

fn syntax(error: &toml::de::Error) -> String {
    error.to_string().trim_end().to_owned()
}

/// RFC 7065: `turn:` or `turns:`, a host, perhaps a port and a transport.
fn check_url(url: &str) -> Result<(), &'static str> {
    let rest = url
        .strip_prefix("turn:")
        .or_else(|| url.strip_prefix("turns:"))
        .ok_or("must begin with turn: or turns:")?;
    let (authority, query) = rest.split_once('?').unwrap_or((rest, ""));
    if !matches!(query, "" | "transport=udp" | "transport=tcp") {
        return Err("may end in ?transport=udp or ?transport=tcp only");
    }
    let (host, port) = match authority.strip_prefix('[') {
        Some(v6) => {
            let (host, port) = v6
                .split_once(']')
                .ok_or("lacks a ] after the IPv6 address")?;
            if host.parse::<std::net::Ipv6Addr>().is_err() {
                return Err("has no IPv6 address between [ and ]");
            }
            (
                host,
                port.strip_prefix(':').or(port.is_empty().then_some("")),
            )
        }
        None => match authority.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (authority, Some("")),
        },
    };
    let port = port.ok_or("has something behind the ]")?;
    if host.is_empty()
        || !host
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_' | b':'))
    {
        return Err("needs a host name or address; an IPv6 address stands in [ ]");
    }
    if port.is_empty() && !authority.ends_with(':') || port.parse::<u16>().is_ok_and(|p| p > 0) {
        Ok(())
    } else {
        Err("has a port outside 1 to 65535")
    }
}
