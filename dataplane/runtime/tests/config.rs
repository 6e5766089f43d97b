//! The configuration file: what is accepted, and what an operator is told
//! about the rest.

use std::path::Path;

use forebay_runtime::config::{ConfigError, Key, Role, Section, Settings, default_text};

const AUTH: &str = "[auth]\nsecrets = [{ id = \"a\", file = \"s\" }]\n";

fn parse(text: &str) -> Result<Settings, ConfigError> {
    Settings::parse(text, Path::new("t.toml"), Role::Standalone)
}

/// The message for a text that must be refused.
fn refusal(text: &str) -> String {
    parse(text).expect_err("must be refused").to_string()
}

#[test]
fn the_keys_operators_rely_on_are_taken() {
    let settings = parse(
        r#"
realm = "example.org"
[cores]
pin = [0, 1]
[listen]
udp = ["0.0.0.0:3478", "[::]:3478"]
[relay]
addresses = ["10.0.0.5", "2001:db8::7"]
external = [{ relay = "10.0.0.5", public = "203.0.113.7" }]
ports = "49152-65535"
[auth]
secrets = [{ id = "2026-11", file = "/etc/forebay/turn.secret" }]
users_file = "/etc/forebay/users"
[peers]
allow = ["127.0.0.0/8"]
deny = []
[metrics]
listen = "127.0.0.1:9641"
"#,
    )
    .expect("accepted");
    assert_eq!(settings.realm, "example.org");
    assert_eq!(settings.cores.pin, Some(vec![0, 1]));
    assert_eq!(settings.listen.udp.expect("given").len(), 2);
    assert_eq!(settings.relay.ports.ports(), 49152..=65535);
    assert_eq!(settings.relay.external[0].public.to_string(), "203.0.113.7");
    assert_eq!(settings.auth.secrets[0].id, "2026-11");
    assert_eq!(settings.peers.allow[0].to_string(), "127.0.0.0/8");
    assert_eq!(settings.metrics.listen.expect("given").port(), 9641);
}

#[test]
fn the_printed_default_is_the_default_and_names_every_key() {
    for role in [Role::Standalone, Role::Controlled] {
        let text = default_text(role);
        let read: Settings = toml::from_str(&text).expect("parses");
        assert_eq!(read, Settings::default());
        // With the examples switched on it still parses.
        let examples: String = text
            .lines()
            .map(|line| {
                line.strip_prefix('#')
                    .filter(|rest| !rest.starts_with(' '))
                    .unwrap_or(line)
            })
            .flat_map(|line| [line, "\n"])
            .collect();
        let _: Settings = toml::from_str(&examples).expect("examples parse");
        for section in Settings::KEYS {
            assert!(
                !section.docs.is_empty(),
                "{} has no documentation",
                section.name
            );
            for Key { name, docs, .. } in section.table.unwrap_or(&[]) {
                let hidden = role == Role::Controlled && ["secrets", "users_file"].contains(name);
                // Keys of a section that is not there may have namesakes.
                if role == Role::Standalone && section.name == "media" {
                    assert!(!text.contains("[media]"));
                    continue;
                }
                assert!(
                    !docs.is_empty(),
                    "{}.{name} has no documentation",
                    section.name
                );
                assert_eq!(
                    text.contains(&format!("{name} =")),
                    !hidden,
                    "{}.{name}",
                    section.name
                );
            }
        }
    }
}

#[test]
fn every_unknown_key_is_named_with_its_place_and_neighbour() {
    let text = refusal(
        "relm = \"x\"\n[relay]\nport = \"1-2\"\nbanana = 1\n[listen]\n  addresses = []\n[zzz]\n",
    );
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(
        lines,
        [
            "t.toml:1:1: unknown key `relm`; did you mean `realm`?",
            "t.toml:3:1: unknown key `relay.port`; did you mean `relay.ports`?",
            "t.toml:4:1: unknown key `relay.banana`; known here: addresses, external, ports, ready, pass_dscp, tcp",
            "t.toml:6:3: unknown key `listen.addresses`; it belongs in the section [relay]",
            "t.toml:7:2: unknown key `zzz`; known here: realm, cores, listen, tls, proxy_protocol, relay, auth, \
             redirect, nat_discovery, peers, limits, lifetimes, sockets, media, metrics, control, usage, log",
        ]
    );
    let nested = refusal("[auth]\nsecrets = [{ id = \"a\", fil = \"s\" }]\n");
    assert_eq!(
        nested,
        "t.toml:2:24: unknown key `auth.secrets.fil`; did you mean `auth.secrets.file`?"
    );
}

#[test]
fn wrong_values_are_refused_with_their_place() {
    let cases = [
        (
            "[relay]\nports = \"9-1\"\n",
            "t.toml:2:9:",
            "ends before it begins",
        ),
        ("[relay]\nports = 5\n", "t.toml:2:9:", "invalid type"),
        (
            "[peers]\nallow = [\"10.0.0.1/8\"]\n",
            "t.toml:2:9:",
            "host bits set; write 10.0.0.0/8",
        ),
        (
            "[peers]\ndeny = [\"10.0.0/8\"]\n",
            "t.toml:2:8:",
            "neither a network",
        ),
        (
            "[listen]\nudp = [\"127.0.0.1:0\"]\n",
            "t.toml:2:1:",
            "has no port",
        ),
        (
            "[relay]\naddresses = [\"0.0.0.0\"]\n",
            "t.toml:2:1:",
            "name a real address",
        ),
        (
            "[relay]\naddresses = [\"10.0.0.1\"]\nexternal = [{ relay = \"10.0.0.2\", public = \"1.2.3.4\" }]\n",
            "t.toml:3:1:",
            "10.0.0.2 is not among relay.addresses",
        ),
        (
            "[cores]\npin = [1, 1]\n",
            "t.toml:2:1:",
            "core 1 stands twice",
        ),
        ("[sockets]\nbuffers = 100\n", "t.toml:2:1:", "power of two"),
        ("[lifetimes]\npermission = \"soon\"\n", "t.toml:2:14:", ""),
        (
            "[log]\nformat = \"xml\"\n",
            "t.toml:2:10:",
            "unknown variant",
        ),
        ("realm = \"\"\n", "t.toml:1:1:", "1 to 127 bytes"),
    ];
    for (text, place, message) in cases {
        let refused = refusal(text);
        let line = refused.lines().find(|line| line.starts_with(place));
        assert!(
            line.is_some_and(|line| line.contains(message)),
            "{text:?} gave {refused:?}"
        );
    }
}

#[test]
fn an_open_relay_is_refused_with_the_way_out() {
    let refused = refusal("realm = \"x\"\n");
    assert!(
        refused.contains("anyone could relay") && refused.contains("openssl rand"),
        "{refused}"
    );
    assert!(parse(AUTH).is_ok());
}

#[test]
fn a_controlled_data_plane_takes_no_secrets_of_its_own() {
    let controlled = |text: &str| Settings::parse(text, Path::new("t.toml"), Role::Controlled);
    assert!(controlled("realm = \"x\"\n").is_ok());
    let refused = controlled(AUTH).expect_err("must be refused").to_string();
    assert!(refused.contains("control plane"), "{refused}");
}

#[test]
fn a_missing_file_is_named() {
    let error = Settings::load(Path::new("/nonexistent/f.toml"), Role::Standalone)
        .expect_err("must be refused");
    assert!(
        error
            .to_string()
            .starts_with("/nonexistent/f.toml: cannot be read"),
        "{error}"
    );
}

#[test]
fn media_is_a_data_planes() {
    let controlled = |text: &str| Settings::parse(text, Path::new("t.toml"), Role::Controlled);
    let settings = controlled(
        r#"
[media]
enabled = true
addresses = ["10.0.0.5", "2001:db8::7"]
external = [{ address = "10.0.0.5", public = "203.0.113.7" }]
port = 7882
"#,
    )
    .expect("accepted");
    assert!(settings.media.enabled);
    assert_eq!(settings.media.external[0].public.to_string(), "203.0.113.7");
    let refused = refusal(&format!("{AUTH}[media]\nenabled = true\n"));
    assert!(
        refused.contains("`media.enabled`: forebay-turnd"),
        "{refused}"
    );
    for (text, expected) in [
        ("addresses = []", "names no address"),
        ("addresses = [\"0.0.0.0\"]", "cannot be told to clients"),
        ("addresses = [\"10.0.0.5\", \"10.0.0.5\"]", "stands twice"),
        (
            "external = [{ address = \"10.0.0.5\", public = \"203.0.113.7\" }]",
            "is not among media.addresses",
        ),
        ("port = 0", "clients must know the port"),
        (
            "enabled = true\ntcp = 3478\n[listen]\ntcp = [\"0.0.0.0:3478\"]",
            "port 3478 is that of 0.0.0.0:3478",
        ),
        ("sessions = 0", "between 1 and 1000000"),
        ("cache = 4096", "between 1 and 2048"),
        ("mtu = 9000", "between 576 and 1452"),
        ("start_bitrate = 60000000", "exceeds media.max_bitrate"),
        ("dtls_threads = 0", "between 1 and 64"),
        ("sesions = 1", "did you mean `media.sessions`?"),
    ] {
        let refused = controlled(&format!("[media]\n{text}\n"))
            .expect_err("must be refused")
            .to_string();
        assert!(refused.contains(expected), "{text}: {refused}");
    }
}

#[test]
fn addresses_of_streams_need_a_certificate_and_ports_of_their_own() {
    let with = |text: &str| format!("{AUTH}{text}");
    let tls = "[tls]\ncertificate = \"c\"\nkey = \"k\"\n";
    let good = format!(
        "[listen]\ntcp = [\"0.0.0.0:3478\"]\ntls = [\"0.0.0.0:443\"]\ndtls = [\"0.0.0.0:5349\"]\n{tls}"
    );
    assert!(parse(&with(&good)).is_ok());
    for (text, told) in [
        ("[listen]\ntls = [\"0.0.0.0:443\"]\n", "needs a certificate"),
        ("[tls]\nkey = \"k\"\n", "needs its certificate"),
        ("[tls]\ncertificate = \"c\"\n", "needs its private key"),
        (
            "[listen]\ntcp = [\"0.0.0.0:443\"]\ntls = [\"0.0.0.0:443\"]\n",
            "stands twice; TCP addresses understand TLS too",
        ),
        (
            "[listen]\ndtls = [\"0.0.0.0:3478\"]\n",
            "a UDP address already; DTLS needs a port of its own",
        ),
        ("[listen]\ntcp = [\"0.0.0.0:0\"]\n", "has no port"),
        (
            "[listen]\ntcp = [\"127.0.0.1:80\"]\n[tls]\nbackend = \"127.0.0.1:80\"\n",
            "run in a circle",
        ),
        (
            "[tls]\npassthrough = \"127.0.0.1:80\"\n",
            "list ours in tls.names",
        ),
        ("[tls]\nnames = [\"https://x\"]\n", "is not a host name"),
        ("[limits]\nhalf_open = 0\n", "must lie between 1 and 100000"),
        (
            "[limits]\nhandshake_timeout = \"5min\"\n",
            "must lie between 1s and 1min",
        ),
        (
            "[proxy_protocol]\nfrom = [\"10.0.0.1/8\"]\n",
            "has host bits set",
        ),
    ] {
        let message = refusal(&with(text));
        assert!(message.contains(told), "{text}: {message}");
    }
}

#[test]
fn algorithms_other_servers_and_second_addresses_are_checked() {
    for (text, word) in [
        ("algorithms = []", "auth.algorithms"),
        ("algorithms = [\"md5\", \"md5\"]", "auth.algorithms"),
        ("algorithms = [\"sha1\"]", "sha1"),
        ("expiry = \"never\"", "never"),
        (
            "[redirect]\nservers = [\"0.0.0.0:3478\"]",
            "redirect.servers",
        ),
        (
            "[listen]\ntcp = [\"192.0.2.1:3478\"]\n[redirect]\nservers = [\"192.0.2.1:3478\"]",
            "in circles",
        ),
        (
            "[redirect]\ntls_servers = [{ address = \"192.0.2.1:5349\", domain = \"a b\" }]",
            "redirect.tls_servers",
        ),
        (
            "[nat_discovery]\nalternate = [\"192.0.2.1\", \"192.0.2.2\"]",
            "second of its family",
        ),
        ("[nat_discovery]\nport = 0", "nat_discovery.port"),
    ] {
        let refused = refusal(&format!("{AUTH}{text}\n"));
        assert!(refused.contains(word), "{text}: {refused}");
    }
    parse(&format!(
        "{AUTH}expiry = \"strict\"\nalgorithms = [\"sha256\"]\n[redirect]\nwhen = \"always\"\nservers = [\"[2001:db8::8]:3478\"]\n"
    ))
    .expect("accepted");
}
