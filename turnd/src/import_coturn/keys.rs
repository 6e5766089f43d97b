//! Every key of coturn 4.5 to 4.17, and those of older releases that are still
//! found in files. What a key means here when it means the same in every file
//! is said in this table; the others are read by the module of their subject.

/// How a key is treated.
#[derive(Clone, Copy)]
pub(super) enum Rule {
    /// A module reads it.
    Read,
    /// Nothing has to be said; the reason.
    Unneeded(&'static str),
    /// Cannot be taken over: why, and what to do.
    Refused(&'static str, &'static str),
    /// A switch that cannot be taken over when it is on.
    RefusedOn(&'static str, &'static str),
}

/// A key of coturn's.
pub(super) struct Key {
    pub(super) name: &'static str,
    pub(super) rule: Rule,
}

/// The key of this name; case matters, as it does to coturn.
pub(super) fn find(name: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.name == name)
}

/// Whether its value must not be shown.
pub(super) fn is_secret(name: &str) -> bool {
    const SECRET: [&str; 13] = [
        "cli-password",
        "db",
        "mongo-userdb",
        "mysql-userdb",
        "pkey-pwd",
        "psql-userdb",
        "redis-statsdb",
        "redis-userdb",
        "sql-userdb",
        "stateless-nonce-secret",
        "static-auth-secret",
        "user",
        "userdb",
    ];
    SECRET.contains(&name)
}

/// The nearest known name.
pub(super) fn nearest(name: &str) -> Option<&'static str> {
    let lower = name.trim_start_matches('-').to_ascii_lowercase();
    KEYS.iter()
        .map(|key| {
            let known = key.name.to_ascii_lowercase();
            (strsim::damerau_levenshtein(&lower, &known), key.name)
        })
        .min_by_key(|&(distance, _)| distance)
        .filter(|&(distance, known)| distance <= 1 + known.len() / 4)
        .map(|(_, known)| known)
}

const fn read(name: &'static str) -> Key {
    Key {
        name,
        rule: Rule::Read,
    }
}

const fn unneeded(name: &'static str, why: &'static str) -> Key {
    Key {
        name,
        rule: Rule::Unneeded(why),
    }
}

const fn refused(name: &'static str, why: &'static str, fix: &'static str) -> Key {
    Key {
        name,
        rule: Rule::Refused(why, fix),
    }
}

const fn refused_on(name: &'static str, why: &'static str, fix: &'static str) -> Key {
    Key {
        name,
        rule: Rule::RefusedOn(why, fix),
    }
}

const REMOVE: &str = "remove the line.";
const STDERR: &str = "Logs go to standard error, which systemd keeps in the journal.";
const UNIT: &str = "The systemd unit says as whom and how the process runs.";
const CLI: &str = "There is no network console: `forebay status` reads a local socket, whose file permissions say who may.";
const WEB: &str =
    "There is no web administration: see `forebay status`, /metrics and the reload by SIGHUP.";
const OLD_TLS: &str = "TLS below 1.2 does not exist here.";
const CURVES: &str = "Key exchange is by elliptic curves that need no parameters.";
const BATCHES: &str = "Packets are always received and sent in batches.";
const ORIGINS: &str = "Realms by origin need coturn's database; one server has one realm.";
const RATE: &str = "Always on, per IPv4 /24 and IPv6 /56, for every answer given without credentials: limits.unauthenticated_per_second.";
const DATABASE: &str = "Users and secrets in a database are not read, and its users are kept as keys that cannot be turned back into passwords.";
const DATABASE_FIX: &str = "list it with `turnadmin -l` and `turnadmin -S`; write what is in use as user= and static-auth-secret= lines (users with their passwords), or change to REST credentials; then remove the line.";
const PROMETHEUS_TLS: &str = "Metrics are served over plain HTTP.";
const PROMETHEUS_TLS_FIX: &str =
    "keep metrics on a private address, or put a reverse proxy in front; then remove the line.";

const KEYS: &[Key] = &[
    // Where clients come in: listeners.rs and tls.rs.
    read("listening-port"),
    read("tls-listening-port"),
    read("alt-listening-port"),
    unneeded(
        "alt-tls-listening-port",
        "NAT behaviour discovery (RFC 5780) is for UDP alone.",
    ),
    read("tcp-proxy-port"),
    read("listening-ip"),
    read("aux-server"),
    read("no-udp"),
    read("no-tcp"),
    read("no-tls"),
    read("no-dtls"),
    read("dtls"),
    read("cert"),
    read("pkey"),
    refused(
        "listening-device",
        "Listeners are bound to addresses, not to devices.",
        "name the device's addresses with listening-ip=.",
    ),
    unneeded(
        "udp-self-balance",
        "Every worker serves every listening address; the kernel shares clients out among them.",
    ),
    refused(
        "pkey-pwd",
        "The private key has to be readable without a password.",
        "write it without one, readable by the server alone: `openssl pkey -in OLD -out NEW && chmod 600 NEW`; name NEW with pkey= and remove the line.",
    ),
    refused(
        "CA-file",
        "Clients are not asked for certificates; TURN credentials say who they are.",
        REMOVE,
    ),
    refused_on(
        "raw-public-keys",
        "Raw public keys (RFC 7250) are not spoken; no browser does.",
        REMOVE,
    ),
    unneeded(
        "cipher-list",
        "The suites are TLS 1.3's and the forward-secret ones of TLS 1.2.",
    ),
    unneeded("ec-curve-name", CURVES),
    unneeded("dh-file", CURVES),
    unneeded("dh566", CURVES),
    unneeded("dh1066", CURVES),
    unneeded("dh2066", CURVES),
    refused_on(
        "tlsv1",
        OLD_TLS,
        "bring the clients that need it up to date; remove the line.",
    ),
    refused_on(
        "tlsv1_1",
        OLD_TLS,
        "bring the clients that need it up to date; remove the line.",
    ),
    refused_on(
        "no-tlsv1_2",
        "TLS 1.2 cannot be switched off.",
        "remove the line: only suites with forward secrecy are spoken under 1.2.",
    ),
    unneeded("no-sslv2", OLD_TLS),
    unneeded("no-sslv3", OLD_TLS),
    unneeded("no-tlsv1", OLD_TLS),
    unneeded("no-tlsv1_1", OLD_TLS),
    // Relay addresses and ports: relay.rs.
    read("relay-ip"),
    read("external-ip"),
    read("min-port"),
    read("max-port"),
    read("sock-buf-size"),
    read("mobility"),
    read("keep-address-family"),
    read("allocation-default-address-family"),
    read("no-tcp-relay"),
    refused(
        "relay-device",
        "Relay sockets are bound to addresses, not to devices.",
        "name the device's addresses with relay-ip=.",
    ),
    unneeded(
        "relay-threads",
        "One worker runs on each core; [cores] pin chooses the cores.",
    ),
    unneeded(
        "cpus",
        "Workers are as many as the cores the process may use; [cores] pin chooses among them.",
    ),
    refused_on(
        "no-udp-relay",
        "A server that relays no UDP is of no use to WebRTC.",
        "remove the line; deny peers with denied-peer-ip= instead.",
    ),
    refused_on(
        "server-relay",
        "It lets everyone on the Internet send through every allocation without a permission.",
        "remove the line; clients create permissions (RFC 8656 §9).",
    ),
    // Who may allocate: auth.rs.
    read("lt-cred-mech"),
    read("no-auth"),
    read("user"),
    read("use-auth-secret"),
    read("static-auth-secret"),
    read("realm"),
    read("stale-nonce"),
    read("fingerprint"),
    read("no-software-attribute"),
    read("software-attribute"),
    read("prod"),
    read("rest-api-separator"),
    read("stateless-nonce-secret"),
    read("user-quota"),
    read("total-quota"),
    refused("userdb", DATABASE, DATABASE_FIX),
    refused("db", DATABASE, DATABASE_FIX),
    refused("psql-userdb", DATABASE, DATABASE_FIX),
    refused("sql-userdb", DATABASE, DATABASE_FIX),
    refused("mysql-userdb", DATABASE, DATABASE_FIX),
    refused("mongo-userdb", DATABASE, DATABASE_FIX),
    refused("redis-userdb", DATABASE, DATABASE_FIX),
    unneeded(
        "secret-key-file",
        "It decrypts the password of a database that is not read.",
    ),
    refused_on(
        "oauth",
        "Third-party authorization (RFC 7635) is not spoken.",
        "use REST credentials: use-auth-secret and static-auth-secret=.",
    ),
    unneeded(
        "server-name",
        "It names the server in OAuth tokens, which are not used.",
    ),
    unneeded(
        "secret-ts-exp-time",
        "A REST username carries its own expiry; older releases of coturn ignored this as well.",
    ),
    unneeded(
        "no-auth-pings",
        "It is about coturn's connection to its database.",
    ),
    unneeded(
        "no-dynamic-ip-list",
        "Peer lists are in the configuration file, reloaded by SIGHUP.",
    ),
    unneeded("no-dynamic-realms", ORIGINS),
    unneeded(
        "check-origin-consistency",
        "No client sends ORIGIN: its draft was given up.",
    ),
    unneeded(
        "stateless-nonce",
        "Nonces are always stateless and bound to the client's address.",
    ),
    unneeded("unauthorized-ratelimit", RATE),
    unneeded("unauthorized-ratelimit-rps", RATE),
    unneeded(
        "max-allocate-timeout",
        "Nothing is kept for a client before its credentials hold.",
    ),
    // Whom clients may reach: peers.rs.
    read("allowed-peer-ip"),
    read("denied-peer-ip"),
    unneeded(
        "no-multicast-peers",
        "Multicast peers are denied from the start.",
    ),
    unneeded(
        "no-loopback-peers",
        "Loopback peers are denied from the start.",
    ),
    refused_on(
        "allow-loopback-peers",
        "It opens every service of this host that trusts 127.0.0.1 to everyone with a credential.",
        "remove the line; where a peer does run on this host, let it use the host's public address, or allow its address alone: allowed-peer-ip=127.0.0.1 with a firewall in front of the other services.",
    ),
    // How much and how long: limits.rs.
    read("max-bps"),
    read("bps-capacity"),
    read("max-allocate-lifetime"),
    read("channel-lifetime"),
    read("permission-lifetime"),
    read("drain-min-allocations"),
    // STUN.
    unneeded(
        "no-stun",
        "Against reflection: a 20-byte Binding request draws 32 bytes, and each prefix has a budget (limits.unauthenticated_per_second). Binding itself stays, TURN clients need it.",
    ),
    unneeded(
        "secure-stun",
        "Binding tells a client its own address alone, and each prefix has a budget (limits.unauthenticated_per_second).",
    ),
    refused_on(
        "stun-only",
        "This server exists to relay.",
        "remove the line and give clients no TURN credentials, or keep a STUN server.",
    ),
    read("rfc5780"),
    unneeded(
        "no-rfc5780",
        "NAT behaviour discovery is off unless asked for.",
    ),
    unneeded(
        "response-origin-only-with-rfc5780",
        "Answers carry RESPONSE-ORIGIN for RFC 5780 alone.",
    ),
    unneeded(
        "no-stun-backward-compatibility",
        "Answers carry XOR-MAPPED-ADDRESS alone.",
    ),
    refused_on(
        "stun-backward-compatibility",
        "MAPPED-ADDRESS makes every answer larger, for clients from before 2008.",
        REMOVE,
    ),
    refused_on(
        "rfc3489-compatibility",
        "STUN of 2003 is not spoken; RFC 8489 gave it up.",
        REMOVE,
    ),
    refused_on(
        "rfc5766-channel-numbers",
        "Channel numbers above 0x4FFF collide with DTLS and SRTP (RFC 7983).",
        "bring the clients that need them up to date; remove the line.",
    ),
    unneeded(
        "include-reason-string",
        "Reasons are in the log, where the operator sees them.",
    ),
    unneeded(
        "drop-invalid-packets",
        "What is neither STUN nor ChannelData is always dropped and counted.",
    ),
    unneeded(
        "drop-invalid-packets-log",
        "Drops are metrics by reason: forebay_dropped_packets_total.",
    ),
    read("respond-http-unsupported"),
    read("acme-redirect"),
    // Other servers.
    read("alternate-server"),
    read("tls-alternate-server"),
    read("tcp-alternate-server"),
    read("udp-alternate-server"),
    // Packets.
    unneeded("udp-recvmmsg", BATCHES),
    unneeded("udp-recvmmsg-log", BATCHES),
    unneeded("udp-sendmmsg-log", BATCHES),
    unneeded("udp-gso", BATCHES),
    unneeded(
        "multiplex-peer",
        "Batching needs no shared relay port here; every allocation has its own.",
    ),
    unneeded(
        "multiplex-peer-port",
        "Every allocation has a relay port of its own.",
    ),
    unneeded(
        "multiplex-peer-max-peers",
        "limits.permissions_per_allocation bounds the peers of an allocation.",
    ),
    unneeded("ne", "It chose among network engines of coturn's."),
    // Logs, metrics, process: operations.rs.
    read("verbose"),
    read("Verbose"),
    read("log-min-level"),
    unneeded("log-file", STDERR),
    unneeded("no-stdout-log", STDERR),
    unneeded("syslog", STDERR),
    unneeded("syslog-facility", STDERR),
    unneeded("simple-log", STDERR),
    unneeded("new-log-timestamp", STDERR),
    unneeded("new-log-timestamp-format", STDERR),
    unneeded(
        "log-binding",
        "Binding requests are counted, not logged one by one.",
    ),
    read("prometheus"),
    read("prometheus-address"),
    read("prometheus-port"),
    read("prometheus-path"),
    unneeded(
        "prometheus-username-labels",
        "Labels have bounded values; `forebay status --allocations` lists users.",
    ),
    refused_on("prometheus-tls", PROMETHEUS_TLS, PROMETHEUS_TLS_FIX),
    refused("prometheus-cert", PROMETHEUS_TLS, PROMETHEUS_TLS_FIX),
    refused("prometheus-key", PROMETHEUS_TLS, PROMETHEUS_TLS_FIX),
    refused(
        "redis-statsdb",
        "Sessions are not published to Redis.",
        "move what reads it to /metrics (live, not at the end of a session); remove the line.",
    ),
    unneeded("daemon", UNIT),
    unneeded("pidfile", UNIT),
    unneeded("proc-user", UNIT),
    unneeded("proc-group", UNIT),
    unneeded("cli", CLI),
    unneeded("no-cli", CLI),
    unneeded("cli-ip", CLI),
    unneeded("cli-port", CLI),
    unneeded("cli-password", CLI),
    unneeded("cli-max-output-sessions", CLI),
    unneeded("web-admin", WEB),
    unneeded("web-admin-ip", WEB),
    unneeded("web-admin-port", WEB),
    unneeded("web-admin-listen-on-workers", WEB),
];
