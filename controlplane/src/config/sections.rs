//! What the file may say. The doc comments are the file's comments.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;
use serde::Deserialize;

use super::keys::section;
use crate::sdp::{CodecPolicy, VideoCodec};

section! {
    /// Where people and programs reach the control plane.
    Listen "listen" {
        /// Address of the HTTP server: the API, the relay-check page and the
        /// health endpoints. Put a reverse proxy with TLS before it when it is
        /// not for this host alone. Restart to change.
        http: SocketAddr = SocketAddr::from((Ipv4Addr::LOCALHOST, 8080)), Default r#""127.0.0.1:8080""#;
        /// Proxies whose X-Forwarded-For is believed when requests are counted
        /// by client address.
        trusted_proxies: Vec<IpNet> = Vec::new(), Default "[]";
    }
}

section! {
    /// The data plane this control plane directs.
    Dataplane "dataplane" {
        /// Its unix socket. Restart to change.
        socket: PathBuf = PathBuf::from("/run/forebay/dataplane.sock"), Default r#""/run/forebay/dataplane.sock""#;
    }
}

section! {
    /// TURN credentials.
    Turn "turn" {
        /// The realm the data plane must have; left out, any is accepted.
        realm: Option<String> = None, Example r#""example.org""#;
        /// URLs given to clients, best first; left out, they are made of the
        /// data plane's listeners and public addresses.
        urls: Vec<String> = Vec::new(), Example r#"["turn:turn.example.org:3478?transport=udp"]"#;
        /// Host name in the URLs made for TLS listeners: browsers connect only
        /// when the data plane's certificate is for it. Left out, its addresses.
        tls_name: Option<String> = None, Example r#""turn.example.org""#;
        /// URLs by region, for requests that name one.
        regions: BTreeMap<String, Vec<String>> = BTreeMap::new(), Example r#"{ eu = ["turn:eu.turn.example.org:3478?transport=udp"] }"#;
        /// Shared secrets (TURN REST). All of them authenticate until their
        /// not_after; the first one that still does signs new credentials. To
        /// rotate: put the new one first, and remove the old one after the
        /// longest ttl. A file holds the secret alone, and others must not be
        /// able to read it; a relative name is looked up among systemd
        /// credentials first, then beside this file.
        secrets: Vec<SecretSource> = Vec::new(), Example r#"[{ id = "2026-11", file = "/etc/forebay/turn.secret", not_after = "2027-12-31T00:00:00Z" }]"# ["id", "file", "not_after"];
        /// Static users beside the secrets: name:password per line, at most 128.
        /// Same rules for the file.
        users_file: Option<PathBuf> = None, Example r#""/etc/forebay/users""#;
        /// Lifetime of credentials when the request names none.
        #[serde(with = "humantime_serde")]
        ttl_default: Duration = Duration::from_secs(3_600), Default r#""1h""#;
        /// The longest lifetime given; longer wishes are capped.
        #[serde(with = "humantime_serde")]
        ttl_max: Duration = Duration::from_secs(86_400), Default r#""1d""#;
    }
}

section! {
    /// Which peers clients may reach, beside the special-purpose ranges that
    /// the data plane always denies.
    Peers "peers" {
        /// Prefixes allowed although special-purpose or denied.
        allow: Vec<IpNet> = Vec::new(), Default "[]";
        /// Prefixes denied although globally reachable.
        deny: Vec<IpNet> = Vec::new(), Default "[]";
        /// The lowest peer port clients may reach.
        lowest_port: u16 = 1_024, Default "1024";
    }
}

section! {
    /// Who may ask for credentials.
    Api "api" {
        /// API keys, `name:key` per line; or `name:sha256:HEX` with the SHA-256
        /// of the key. Same rules for the file. Needed: without it anybody could use the relay.
        keys_file: Option<PathBuf> = None, Example r#""/etc/forebay/api.keys""#;
        /// Secrets that sign access tokens to rooms (JWT, HS256); a token's kid
        /// is the id. All of them are good, the first one signs. Same rules for
        /// the files. Without one nobody can join a room.
        token_keys: Vec<TokenSource> = Vec::new(), Example r#"[{ id = "2026-11", file = "/etc/forebay/token.secret" }]"# ["id", "file"];
    }
}

section! {
    /// Rooms: who may be in them, and how long they wait for somebody who was
    /// cut off.
    Rooms "rooms" {
        /// Rooms at a time.
        max_rooms: usize = 1_000, Default "1000";
        /// Participants of a room, WHIP and WHEP included.
        max_participants: usize = 500, Default "500";
        /// Tracks a participant may publish at a time.
        max_tracks: usize = 8, Default "8";
        /// Tracks a participant receives at a time, 2 to 60. Where there are
        /// more, screens, what it shows and whoever speaks come first.
        max_received: usize = 40, Default "40";
        /// Video codecs publishers may use, of vp8, vp9, h264 and av1. A room
        /// may have others: PUT /v1/rooms/{room}/codecs.
        video_codecs: Vec<VideoCodec> = CodecPolicy::default().video, Default r#"["vp8", "vp9", "h264", "av1"]"#;
        /// Whether that order decides which of them a publisher prefers; else
        /// the publisher itself does.
        video_codecs_ordered: bool = false, Default "false";
        /// How long a participant stays without its WebSocket, for it to resume.
        #[serde(with = "humantime_serde")]
        resume_grace: Duration = Duration::from_secs(30), Default r#""30s""#;
        /// How often clients are to ping...
        #[serde(with = "humantime_serde")]
        ping_interval: Duration = Duration::from_secs(5), Default r#""5s""#;
        /// ... and after how long a silence a WebSocket is closed.
        #[serde(with = "humantime_serde")]
        silence: Duration = Duration::from_secs(15), Default r#""15s""#;
        /// WebSockets open at a time, of all...
        websockets: usize = 4_096, Default "4096";
        /// ... and of one client address (IPv6: a /64).
        websockets_per_address: usize = 64, Default "64";
        /// Joins (WHIP and WHEP included) a client address may make in a
        /// second...
        joins_per_second: u32 = 5, Default "5";
        /// ... and at once after a pause.
        join_burst: u32 = 40, Default "40";
        /// Sessions of one room on one worker before it continues on another
        /// over a link; a browser has two.
        worker_sessions: usize = 400, Default "400";
    }
}

impl Rooms {
    /// What holds where a room has no choice of its own.
    pub fn codecs(&self) -> CodecPolicy {
        CodecPolicy {
            video: self.video_codecs.clone(),
            ordered: self.video_codecs_ordered,
        }
    }
}

section! {
    /// Publishing and viewing by HTTP alone (WHIP and WHEP).
    Whip "whip" {
        /// Whether `/whip/` and `/whep/` are served. Restart to change.
        enabled: bool = true, Default "true";
        /// Origins whose pages may call them; `*` for any, which is safe:
        /// every request carries a token that no browser adds by itself.
        origins: Vec<String> = vec!["*".to_owned()], Default r#"["*"]"#;
    }
}

section! {
    /// Records of calls: when, where, who, and how well. Never addresses or
    /// descriptions of media.
    Calls "calls" {
        /// The SQLite database; made when missing. Left out, nothing is
        /// recorded. Restart to change.
        database: Option<PathBuf> = None, Example r#""/var/lib/forebay/calls.sqlite""#;
        /// How long a call is kept after its end.
        #[serde(with = "humantime_serde")]
        keep: Duration = Duration::from_secs(90 * 86_400), Default r#""90days""#;
    }
}

section! {
    /// The page that proves a browser's media gets through the relay.
    RelayCheck "relay_check" {
        /// Whether it is served at `/`.
        enabled: bool = true, Default "true";
    }
}

section! {
    /// The page that makes calls in rooms.
    RoomPage "room_page" {
        /// Whether it is served at `/room`.
        enabled: bool = true, Default "true";
    }
}

section! {
    /// What strangers may cost.
    Limits "limits" {
        /// API requests a client address (IPv6: a /64) may make in a second...
        requests_per_second: u32 = 10, Default "10";
        /// ... and at once after a pause.
        burst: u32 = 40, Default "40";
        /// Connections open at a time. Restart to change.
        connections: usize = 1_024, Default "1024";
        /// How long a request may take to arrive, and its answer to be made.
        /// Restart to change.
        #[serde(with = "humantime_serde")]
        request_timeout: Duration = Duration::from_secs(10), Default r#""10s""#;
    }
}

section! {
    /// Prometheus metrics.
    Metrics "metrics" {
        /// Whether `/metrics` is served. Restart to change.
        enabled: bool = true, Default "true";
        /// An address of its own for it; left out, it is on `listen.http`.
        /// Restart to change.
        listen: Option<SocketAddr> = None, Example r#""127.0.0.1:9642""#;
    }
}

section! {
    /// Logs, on standard error.
    Log "log" {
        /// The least important level shown: error, warn, info, debug or trace.
        /// Restart to change.
        level: Level = Level::Info, Default r#""info""#;
        /// "text" or "json". Restart to change.
        format: LogFormat = LogFormat::Text, Default r#""text""#;
        /// Whether every ended allocation is a line: user, seconds, packets, bytes.
        usage: bool = false, Default "false";
    }
}

/// Where a TURN REST secret comes from.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SecretSource {
    /// Names it in logs and metrics.
    pub id: String,
    /// The file that holds it.
    pub file: PathBuf,
    /// When it stops authenticating, as RFC 3339 in UTC.
    pub not_after: Option<String>,
}

/// Where a secret that signs access tokens comes from.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenSource {
    /// Names it in tokens.
    pub id: String,
    /// The file that holds it.
    pub file: PathBuf,
}

/// Importance of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// What failed.
    Error,
    /// What an operator should look at.
    Warn,
    /// What an operator wants to know.
    Info,
    /// What happens to single clients.
    Debug,
    /// Everything.
    Trace,
}

/// Shape of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object per line.
    Json,
}
