//! Every key of the configuration file. The doc comments are what
//! `--print-default` shows: they speak to operators.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::nat_discovery::NatDiscovery;
use super::other_servers::Redirect;
use super::section::{Key, Section, section};
use super::values::{Algorithm, Expiry, LogFormat, Moment, Network, PortRange};

section! {
    /// The whole file.
    pub struct Settings {
        /// Authentication realm told to clients (RFC 8489 §14.9). Users' keys
        /// are derived from it, so keep it when you move a server.
        realm: String = "forebay".to_owned();
        /// CPU cores.
        cores: Cores = Cores::default(), table Cores;
        /// Where clients come in.
        listen: Listen = Listen::default(), table Listen;
        /// Certificate of `listen.tls` and `listen.dtls`, and what becomes of
        /// HTTPS on the same port.
        tls: Tls = Tls::default(), table Tls;
        /// Load balancers in front of the TCP and TLS addresses that tell the
        /// client's address by the PROXY protocol.
        proxy_protocol: ProxyProtocol = ProxyProtocol::default(), table ProxyProtocol;
        /// Addresses and ports handed out to clients.
        relay: Relay = Relay::default(), table Relay;
        /// Who may allocate. Without a secret or a users file nobody could tell
        /// clients apart and the server would be an open relay: it refuses to
        /// start.
        auth: Auth = Auth::default(), table Auth;
        /// Other servers that clients are sent to.
        redirect: Redirect = Redirect::default(), table Redirect;
        /// How clients find out what their NAT does (RFC 5780). Off by default.
        nat_discovery: NatDiscovery = NatDiscovery::default(), table NatDiscovery;
        /// Whom clients may reach. Every special-purpose range (private,
        /// loopback, link-local, cloud metadata, multicast, reserved …) is
        /// denied from the start, in every encoding of IPv4 within IPv6.
        peers: Peers = Peers::default(), table Peers;
        /// How much is served at once. Memory for all of it is taken at start.
        limits: Limits = Limits::default(), table Limits;
        /// How long things live. The defaults are RFC 8656's.
        lifetimes: Lifetimes = Lifetimes::default(), table Lifetimes;
        /// Kernel sockets and receive memory.
        sockets: Sockets = Sockets::default(), table Sockets;
        /// Media of rooms: the forwarder's ports and memory.
        media: Media = Media::default(), table Media;
        /// Metrics and health over HTTP: /metrics, /healthz, /readyz.
        metrics: Metrics = Metrics::default(), table Metrics;
        /// The local socket that `forebay status` and the control plane use.
        control: Control = Control::default(), table Control;
        /// Usage records: one JSON object for each allocation at its end, to a
        /// file, a webhook or both.
        usage: Usage = Usage::default(), table Usage;
        /// Logs.
        log: Log = Log::default(), table Log;
    }
}

section! {
    /// CPU cores.
    pub struct Cores {
        /// Cores to run one worker on each. Omitted: every core this process
        /// may use.
        #[serde(skip_serializing_if = "Option::is_none")]
        pin: Option<Vec<usize>> = None, example "[0, 1]";
        /// Run a worker that never finds time to sleep ahead of ordinary
        /// threads (SCHED_RR), where permitted (CAP_SYS_NICE, or LimitRTPRIO=1
        /// in the unit). Under overload the core then relays instead of
        /// receiving what it has to drop. The kernel keeps 5 % of each core
        /// for everybody else.
        real_time: bool = true;
    }
}

section! {
    /// Where clients come in.
    pub struct Listen {
        /// UDP addresses. Omitted: port 3478 on every address, IPv4 and (where
        /// the host has it) IPv6.
        #[serde(skip_serializing_if = "Option::is_none")]
        udp: Option<Vec<SocketAddr>> = None, example "[\"0.0.0.0:3478\", \"[::]:3478\"]";
        /// TCP addresses, for clients whose network lets no UDP through; port
        /// 3478 is usual: ["0.0.0.0:3478", "[::]:3478"].
        tcp: Vec<SocketAddr> = Vec::new();
        /// TLS addresses (TLS 1.2 and 1.3 over TCP); port 5349 is usual, 443
        /// gets through most firewalls: ["0.0.0.0:443", "[::]:443"]. Whether a
        /// client speaks TLS or not is seen from its first byte, on these and
        /// on the TCP addresses alike.
        tls: Vec<SocketAddr> = Vec::new();
        /// DTLS addresses (DTLS 1.2 and 1.3 over UDP); port 5349 is usual.
        dtls: Vec<SocketAddr> = Vec::new();
    }
}

section! {
    /// TLS and DTLS.
    pub struct Tls {
        /// Certificate chain, PEM, the server's own first. DTLS needs one with
        /// an ECDSA key (P-256 or P-384). A relative name is looked up among
        /// systemd credentials first, then beside this file. Looked at every
        /// few seconds: a renewed certificate is in use without a restart.
        #[serde(skip_serializing_if = "Option::is_none")]
        certificate: Option<PathBuf> = None, example "\"/etc/forebay/tls.crt\"";
        /// Its private key, PEM. Must not be readable by everyone.
        #[serde(skip_serializing_if = "Option::is_none")]
        key: Option<PathBuf> = None, example "\"/etc/forebay/tls.key\"";
        /// A web server that gets, decrypted and over plain TCP, everything on
        /// a TLS connection that is not TURN: TURN and HTTPS share port 443.
        /// Omitted: such visitors get one line of text.
        #[serde(skip_serializing_if = "Option::is_none")]
        backend: Option<SocketAddr> = None, example "\"127.0.0.1:8080\"";
        /// Whether the backend understands HTTP/2 without TLS too (h2c with
        /// prior knowledge).
        backend_http2: bool = false;
        /// Server names (SNI) whose TLS connections are ours. Empty: all. A
        /// client that names another one is passed on undecrypted, see below.
        names: Vec<String> = Vec::new();
        /// A TLS server that gets, undecrypted, the connections for other
        /// names than those above. Omitted: they are refused.
        #[serde(skip_serializing_if = "Option::is_none")]
        passthrough: Option<SocketAddr> = None, example "\"127.0.0.1:8443\"";
        /// How long a connection to the backend may be silent.
        #[serde(with = "humantime_serde")]
        backend_idle: Duration = Duration::from_secs(120);
    }
}

section! {
    /// The PROXY protocol.
    pub struct ProxyProtocol {
        /// Networks of load balancers. A connection from there must begin with
        /// a header of version 1 or 2, before TLS too, and is refused without
        /// one; headers from anywhere else are refused.
        from: Vec<Network> = Vec::new();
    }
}

section! {
    /// Addresses and ports handed out to clients.
    pub struct Relay {
        /// Addresses of this host to relay from; one per family is usual.
        /// Omitted: the addresses of the default routes, named in the log.
        #[serde(skip_serializing_if = "Option::is_none")]
        addresses: Option<Vec<IpAddr>> = None, example "[\"203.0.113.7\", \"2001:db8::7\"]";
        /// For a host behind a one-to-one NAT (most clouds): the public address
        /// that clients are told for an address above.
        external: Vec<External> = Vec::new(), table External;
        /// Relay ports. Every allocation takes one; workers share the range.
        ports: PortRange = PortRange::DYNAMIC;
        /// Relay sockets each worker keeps open ahead of demand, per address
        /// family, so that Allocate does not wait for one. New clients that
        /// arrive together beyond this number are refused (508) although ports
        /// are free; the default is the most a worker reads at once.
        ready: usize = 256;
        /// Whether datagrams leave with the DSCP they came with, so that the
        /// network treats relayed media as its senders marked it. Clients and
        /// peers choose it: leave it off where the network grants marked
        /// traffic more than strangers should have. ECN is always carried on.
        pass_dscp: bool = false;
        /// Whether clients that come over TCP or TLS may relay TCP (RFC 6062):
        /// their peers connect to a relay port, and they to peers. Whom they
        /// reach is subject to `[peers]` as it is over UDP.
        tcp: bool = true;
    }
}

section! {
    /// Who may allocate.
    pub struct Auth {
        /// TURN REST secrets: username "expiry:user", password
        /// base64(HMAC-SHA1(secret, username)). Several may be valid at once,
        /// so that one is rotated without breaking live clients. Files must not
        /// be readable by everyone; a relative name is looked up among systemd
        /// credentials first, then beside this file. "not_after" ends a secret,
        /// for example "2027-01-31T00:00:00Z". Reloaded on SIGHUP.
        secrets: Vec<SecretFile> = Vec::new(), table SecretFile;
        /// Static users, one "name:password" per line. Works together with
        /// secrets. Same rules for the file. Reloaded on SIGHUP.
        #[serde(skip_serializing_if = "Option::is_none")]
        users_file: Option<PathBuf> = None, example "\"/etc/forebay/users\"";
        /// What becomes of an allocation whose REST username has expired:
        /// "lenient" lets it be refreshed and used on, so that no call is cut
        /// off; "strict" refuses its refreshes, permissions and channels, so
        /// that it ends with the lifetime it was last given.
        expiry: Expiry = Expiry::Lenient;
        /// Password algorithms in order of preference: "sha256" (RFC 8489),
        /// which is offered to every client, and "md5", the only one that
        /// browsers know. Without "md5" they are refused; with it alone nothing
        /// is offered and challenges are 28 bytes shorter.
        algorithms: Vec<Algorithm> = vec![Algorithm::Sha256, Algorithm::Md5];
        /// SOFTWARE attribute of authenticated answers; empty leaves it out.
        software: String = "Forebay".to_owned();
        /// Whether answers carry FINGERPRINT.
        fingerprint: bool = false;
        /// How long a nonce is good before clients are asked to take a new one.
        #[serde(with = "humantime_serde")]
        nonce_lifetime: Duration = Duration::from_secs(3600);
        /// Allocations one user may hold at once; for secrets the user is the
        /// part of the username after the expiry. What counts is each relayed
        /// address: an allocation with IPv4 and IPv6 counts twice, a reserved
        /// port counts until it is claimed or given back. Omitted: no limit.
        #[serde(skip_serializing_if = "Option::is_none")]
        allocations_per_user: Option<u32> = None, example "10";
        /// Whether clients may take their allocations to another address with
        /// a ticket (RFC 8016), as a phone does that changes networks.
        mobility: bool = false;
    }
}

section! {
    /// Whom clients may reach.
    pub struct Peers {
        /// Networks allowed although special-purpose or denied, on every port:
        /// allow beats deny. Never opens this server's own listening addresses.
        /// Reloaded on SIGHUP.
        allow: Vec<Network> = Vec::new();
        /// Networks denied although globally reachable. Reloaded on SIGHUP.
        deny: Vec<Network> = Vec::new();
        /// Lowest peer port outside of `allow`. Media never uses the ports below
        /// 1024, services do. Reloaded on SIGHUP.
        lowest_port: u16 = 1024;
    }
}

section! {
    /// How much is served at once.
    pub struct Limits {
        /// Relayed addresses over all workers; each worker has memory for an
        /// equal share. Omitted: as many as there are relay ports.
        #[serde(skip_serializing_if = "Option::is_none")]
        allocations: Option<u32> = None, example "16384";
        /// Permissions over all allocations. Omitted: eight per allocation.
        #[serde(skip_serializing_if = "Option::is_none")]
        permissions: Option<u32> = None, example "131072";
        /// Channels over all allocations. Omitted: four per allocation.
        #[serde(skip_serializing_if = "Option::is_none")]
        channels: Option<u32> = None, example "65536";
        /// Permissions of one allocation.
        permissions_per_allocation: u16 = 128;
        /// Channels of one allocation.
        channels_per_allocation: u16 = 64;
        /// TCP connections with peers of one allocation. Over all allocations
        /// there are half as many as `streams`, since each takes one of those
        /// once its client takes it up.
        peer_connections_per_allocation: u16 = 64;
        /// Addresses per second that one allocation may open to peers, beyond
        /// those that are open already, so that nobody scans through this
        /// server. Refused with 508. 0 switches the limit off.
        new_peers_per_second: u32 = 32;
        /// Such addresses at once after a pause.
        new_peers_burst: u32 = 128;
        /// The same for all allocations of one user. 0 switches the limit off.
        new_peers_per_user_per_second: u32 = 0;
        /// Such addresses at once after a pause.
        new_peers_per_user_burst: u32 = 1024;
        /// Bits per second of payload that one allocation may relay to peers,
        /// and as many to its client. Omitted: no limit.
        #[serde(skip_serializing_if = "Option::is_none")]
        bandwidth_per_allocation: Option<u64> = None, example "8_000_000";
        /// The same for all allocations of one user. Omitted: no limit.
        #[serde(skip_serializing_if = "Option::is_none")]
        bandwidth_per_user: Option<u64> = None, example "20_000_000";
        /// The same for this host. When it is reached, allocations that take
        /// more than an equal share are limited first. Omitted: no limit.
        #[serde(skip_serializing_if = "Option::is_none")]
        bandwidth_host: Option<u64> = None, example "900_000_000";
        /// Answers per second that one source prefix (IPv4 /24, IPv6 /56) may
        /// draw without credentials, so that nobody reflects traffic off this
        /// server. 0 switches the limit off.
        unauthenticated_per_second: u32 = 1000;
        /// Such answers at once after a pause.
        unauthenticated_burst: u32 = 2000;
        /// STUN requests a worker handles between two batches of media; more
        /// than these are dropped (and repeated by clients) while media waits.
        requests_per_batch: u16 = 32;
        /// TCP, TLS and DTLS connections of clients over all workers; each
        /// takes an equal share. More are closed as they come.
        streams: u32 = 4096;
        /// What may wait for one TCP or TLS client to take it, bytes. What is
        /// relayed to it beyond that is dropped.
        stream_output: usize = 256 << 10;
        /// TLS and DTLS handshakes, and TCP connections that begin with TURN,
        /// per second; four times as many at once after a pause.
        handshakes_per_second: u32 = 1000;
        /// The same for one source prefix (IPv4 /24, IPv6 /56).
        handshakes_per_source: u32 = 100;
        /// TCP and TLS connections that have not shown yet what they want, and
        /// DTLS handshakes under way.
        half_open: u32 = 4096;
        /// The same for one source prefix.
        half_open_per_source: u32 = 512;
        /// How long they may take to do so.
        #[serde(with = "humantime_serde")]
        handshake_timeout: Duration = Duration::from_secs(10);
        /// Connections that are passed on to `tls.backend` and
        /// `tls.passthrough`, or answered in their stead, at once.
        web_connections: u32 = 1024;
    }
}

section! {
    /// How long things live.
    pub struct Lifetimes {
        /// Of an allocation whose client asks for none.
        #[serde(with = "humantime_serde")]
        allocation: Duration = Duration::from_secs(600);
        /// The longest a client gets.
        #[serde(with = "humantime_serde")]
        allocation_max: Duration = Duration::from_secs(3600);
        /// Of a permission. Clients count on five minutes.
        #[serde(with = "humantime_serde")]
        permission: Duration = Duration::from_secs(300);
        /// Of a channel. Clients count on ten minutes.
        #[serde(with = "humantime_serde")]
        channel: Duration = Duration::from_secs(600);
        /// How long a TCP, TLS or DTLS connection without an allocation may be
        /// silent before it is closed.
        #[serde(with = "humantime_serde")]
        stream_idle: Duration = Duration::from_secs(60);
        /// How long a TCP or TLS client may take nothing of what waits for it
        /// before its connection is closed.
        #[serde(with = "humantime_serde")]
        stream_stalled: Duration = Duration::from_secs(30);
        /// After SIGTERM: how long live allocations may go on before the
        /// process ends. A second SIGTERM ends it at once. Reloaded on SIGHUP.
        #[serde(with = "humantime_serde")]
        drain: Duration = Duration::from_secs(60);
        /// After SIGTERM: the process ends already when so many allocations are
        /// left. Reloaded on SIGHUP.
        drain_at_most: u64 = 0;
    }
}

section! {
    /// Kernel sockets and receive memory.
    pub struct Sockets {
        /// Receive buffer of each listening socket, bytes. The kernel caps it at
        /// net.core.rmem_max unless the process may exceed it; the effective
        /// value is in the log.
        receive_buffer: usize = 1 << 20;
        /// Send buffer of each listening socket, bytes (net.core.wmem_max).
        send_buffer: usize = 1 << 20;
        /// Receive buffer of each relay socket, bytes. Holds what one peer sends
        /// while the worker is busy elsewhere.
        relay_receive_buffer: usize = 256 << 10;
        /// Send buffer of each relay socket, bytes.
        relay_send_buffer: usize = 256 << 10;
        /// Busy polling, microseconds (SO_BUSY_POLL). Saves wake-ups under load
        /// and burns the core while idle. 0 is off.
        busy_poll: u32 = 0;
        /// Receive buffers of 64 KiB per worker, a power of two. Fewer save
        /// memory, more ride out longer bursts.
        buffers: u16 = 256;
        /// Datagrams larger than this are sent singly, never merged into one
        /// segmented send: what fits an Ethernet frame under IPv6.
        max_segment: u16 = 1452;
    }
}

section! {
    /// The forwarder.
    pub struct Media {
        /// Whether to forward media for rooms.
        enabled: bool = false;
        /// Addresses of this host to receive media on; one per family is
        /// usual. Omitted: the relay addresses.
        #[serde(skip_serializing_if = "Option::is_none")]
        addresses: Option<Vec<IpAddr>> = None, example "[\"203.0.113.7\", \"2001:db8::7\"]";
        /// For a host behind a one-to-one NAT: the public address that clients
        /// are told for an address above. Where addresses are omitted, those of
        /// [relay] hold.
        external: Vec<ExternalMedia> = Vec::new(), table ExternalMedia;
        /// UDP port of the first worker; the next worker has the next port.
        /// Open these in the firewall.
        port: u16 = 7882;
        /// TCP port of all workers, for clients whose network lets no UDP
        /// through (ICE-TCP, RFC 6544); on the same addresses. Open it too.
        /// 0 switches it off.
        tcp: u16 = 7881;
        /// Sessions (a browser has two) over all workers; each takes an equal
        /// share.
        sessions: u32 = 4000;
        /// Published tracks over all workers.
        tracks: u32 = 8000;
        /// Subscriptions (tracks on their way to somebody) over all workers.
        subscriptions: u32 = 40000;
        /// Memory of each worker for packets that may have to be sent again,
        /// MiB. Holds a second of what the worker receives at 64 MiB per
        /// 500 Mbit/s.
        cache: u32 = 64;
        /// Receive buffer of each media socket, bytes (net.core.rmem_max).
        receive_buffer: usize = 4 << 20;
        /// Send buffer of each media socket, bytes (net.core.wmem_max).
        send_buffer: usize = 4 << 20;
        /// The largest packet sent, UDP payload bytes.
        mtu: u16 = 1200;
        /// Bandwidth a subscriber is assumed to have at first, bits per second.
        start_bitrate: u64 = 1_000_000;
        /// The most a subscriber is sent, bits per second.
        max_bitrate: u64 = 50_000_000;
        /// Threads for DTLS handshakes, beside the workers.
        dtls_threads: usize = 1;
    }
}

section! {
    /// Metrics and health.
    pub struct Metrics {
        /// Address to serve on. Keep it away from the public. Omitted: off.
        #[serde(skip_serializing_if = "Option::is_none")]
        listen: Option<SocketAddr> = None, example "\"127.0.0.1:9641\"";
    }
}

section! {
    /// The local control socket.
    pub struct Control {
        /// Path of the socket. Omitted: the service's runtime directory.
        #[serde(skip_serializing_if = "Option::is_none")]
        socket: Option<PathBuf> = None, example "\"/run/forebay/dataplane.sock\"";
        /// A group whose members may connect, besides root and the user this
        /// process runs as.
        #[serde(skip_serializing_if = "Option::is_none")]
        group: Option<String> = None, example "\"forebay\"";
    }
}

section! {
    /// Usage records.
    pub struct Usage {
        /// A file that one line is appended to per record. Opened again on
        /// SIGHUP, so that logrotate may move it away. Omitted: none.
        #[serde(skip_serializing_if = "Option::is_none")]
        file: Option<PathBuf> = None, example "\"/var/log/forebay/usage.jsonl\"";
        /// An http or https URL that records are POSTed to, as JSON arrays.
        /// Each record has a "uuid" and each request an Idempotency-Key. A
        /// request is repeated until the receiver answers with success, and may
        /// so arrive twice: take the second of a key, or of a uuid with the
        /// same "kind" and "number", for the first. Omitted: none.
        #[serde(skip_serializing_if = "Option::is_none")]
        webhook: Option<String> = None, example "\"https://billing.example.org/turn\"";
        /// A file with a token that is sent as Authorization: Bearer. Same
        /// rules as for [auth] secrets. Reloaded on SIGHUP.
        #[serde(skip_serializing_if = "Option::is_none")]
        webhook_token_file: Option<PathBuf> = None, example "\"webhook.token\"";
        /// Also one record per live allocation in this interval. Omitted: at
        /// the end alone. Reloaded on SIGHUP.
        #[serde(with = "humantime_serde", skip_serializing_if = "Option::is_none")]
        interim: Option<Duration> = None, example "\"5m\"";
        /// Where records wait for the webhook, and where the live allocations
        /// are noted so that the next start can report what a crash has cut
        /// off. Omitted: the service's state directory, else
        /// /var/lib/forebay-turnd.
        #[serde(skip_serializing_if = "Option::is_none")]
        directory: Option<PathBuf> = None, example "\"/var/lib/forebay-turnd\"";
        /// The most that may wait for the webhook, MiB. What comes beyond it is
        /// lost to the webhook, and counted.
        spool: u64 = 256;
    }
}

section! {
    /// Logs.
    pub struct Log {
        /// error, warn, info, debug or trace; per part of the program as
        /// "info,forebay_runtime::control=debug". RUST_LOG beats it. Single
        /// allocations are told at debug. Reloaded on SIGHUP.
        level: String = "info".to_owned();
        /// "text" or "json", on standard error, or "journald" for the journal
        /// with its fields.
        format: LogFormat = LogFormat::Text;
        /// Lines of one cause per minute, beyond a first hundred; how many were
        /// suppressed is told. Debug and trace are not limited. 0 switches the
        /// limit off.
        per_minute: u32 = 60;
    }
}

/// The public address in front of a relay address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct External {
    /// The relay address, bound on this host.
    pub relay: IpAddr,
    /// The address clients are told.
    pub public: IpAddr,
}

impl Section for External {
    const KEYS: &'static [Key] = &[
        Key {
            name: "relay",
            docs: &[],
            example: Some("\"10.0.0.5\""),
            table: None,
        },
        Key {
            name: "public",
            docs: &[],
            example: Some("\"203.0.113.7\""),
            table: None,
        },
    ];
}

/// The public address in front of a media address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExternalMedia {
    /// The media address, bound on this host.
    pub address: IpAddr,
    /// The address clients are told.
    pub public: IpAddr,
}

impl Section for ExternalMedia {
    const KEYS: &'static [Key] = &[
        Key {
            name: "address",
            docs: &[],
            example: Some("\"10.0.0.5\""),
            table: None,
        },
        Key {
            name: "public",
            docs: &[],
            example: Some("\"203.0.113.7\""),
            table: None,
        },
    ];
}

/// A TURN REST secret and where to read it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SecretFile {
    /// Names the secret in logs and metrics.
    pub id: String,
    /// The file that holds it.
    pub file: PathBuf,
    /// When it stops authenticating anyone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_after: Option<Moment>,
}

impl Section for SecretFile {
    const KEYS: &'static [Key] = &[
        Key {
            name: "id",
            docs: &[],
            example: Some("\"2026-11\""),
            table: None,
        },
        Key {
            name: "file",
            docs: &[],
            example: Some("\"/etc/forebay/turn.secret\""),
            table: None,
        },
        Key {
            name: "not_after",
            docs: &[],
            example: None,
            table: None,
        },
    ];
}
