//! How single keys are read.

use forebay_turnd::import_coturn::{Outcome, import};

use super::{imported, outcome, surroundings};

/// A start that needs nothing else.
const GOOD: &str = "static-auth-secret=0123456789abcdef\nrealm=x\n";

fn with(lines: &str) -> String {
    format!("{GOOD}{lines}\n")
}

/// The configuration that comes of these lines, nothing refused.
fn configuration(lines: &str) -> String {
    let import = imported(&with(lines));
    assert!(!import.report.is_refused(), "{}", import.report.to_text());
    import.configuration
}

#[test]
fn blanks_quotes_and_line_ends_are_read_as_coturn_does() {
    for line in [
        "min-port=50000",
        "min-port 50000",
        "  min-port\t= 50000",
        "min-port==50000",
        "min-port=\"50000\"",
        "min-port=50000\r",
        "min-port=50000 # from here on",
    ] {
        assert!(
            configuration(line).contains("ports = \"50000-65535\""),
            "{line:?}"
        );
    }
    let text = with("#min-port=1\n   # min-port=2\n\n");
    assert_eq!(imported(&text).report.lines.len(), 2);
}

#[test]
fn the_last_of_two_lines_counts_and_the_first_says_so() {
    let text = with("max-port=60000\nmax-port=61000");
    assert!(imported(&text).configuration.contains("49152-61000"));
    let (what, why) = outcome(&text, "max-port=60000");
    assert_eq!(what, Outcome::NotNeeded);
    assert!(why.contains("Line 4"), "{why}");
}

#[test]
fn switches_are_on_off_or_refused() {
    for on in ["", "=1", "=on", "=yes", "=true", "=ON"] {
        assert!(configuration(&format!("fingerprint{on}")).contains("fingerprint = true"));
    }
    for off in ["0", "off", "no", "false", "OFF"] {
        assert!(!configuration(&format!("fingerprint={off}")).contains("fingerprint = "));
    }
    let (what, _) = outcome(&with("fingerprint=perhaps"), "fingerprint");
    assert_eq!(what, Outcome::Refused);
}

#[test]
fn ranges_become_networks_exactly() {
    let text = configuration("denied-peer-ip=83.166.64.0-83.166.95.255");
    assert!(text.contains("deny = [\"83.166.64.0/19\"]"), "{text}");
    let text = configuration("denied-peer-ip=192.0.2.5-192.0.2.8");
    assert!(
        text.contains("deny = [\"192.0.2.5/32\", \"192.0.2.6/31\", \"192.0.2.8/32\"]"),
        "{text}"
    );
    let text = configuration("denied-peer-ip=0.0.0.0-255.255.255.255\nallowed-peer-ip=192.0.2.1");
    assert!(text.contains("deny = [\"0.0.0.0/0\"]"), "{text}");
    assert!(text.contains("allow = [\"192.0.2.1/32\"]"), "{text}");
}

#[test]
fn an_address_alone_stands_for_the_only_relay_address() {
    let text = configuration("external-ip=203.0.113.9\nrelay-ip=10.0.0.4");
    assert!(
        text.contains("external = [{ public = \"203.0.113.9\", relay = \"10.0.0.4\" }]"),
        "{text}"
    );
    let text = configuration("external-ip=203.0.113.9");
    assert!(text.contains("\"192.0.2.10\""), "{text}");
    assert!(
        text.contains("addresses = [\"192.0.2.10\", \"2001:db8::10\"]"),
        "{text}"
    );
    let several = with("external-ip=203.0.113.9\nrelay-ip=10.0.0.4\nrelay-ip=10.0.0.5");
    assert_eq!(outcome(&several, "external-ip").0, Outcome::Refused);
    let elsewhere = with("external-ip=203.0.113.9/10.0.0.9\nrelay-ip=10.0.0.4");
    assert_eq!(outcome(&elsewhere, "external-ip").0, Outcome::Refused);
}

#[test]
fn open_relays_are_refused_with_the_reason() {
    for text in [
        "",
        "listening-port=3478\n",
        "lt-cred-mech\n",
        "allow-loopback-peers\n",
    ] {
        let import = imported(text);
        assert!(import.report.is_refused(), "{text:?}");
        assert!(import.report.to_text().contains("open relay"), "{text:?}");
    }
    let (what, why) = outcome(&with("no-auth"), "no-auth");
    assert_eq!(what, Outcome::Refused);
    assert!(why.contains("open relay"), "{why}");
    let (what, _) = outcome(&with("allow-loopback-peers"), "allow-loopback-peers");
    assert_eq!(what, Outcome::Refused);
    assert!(!imported(&with("no-auth=0")).report.is_refused());
}

#[test]
fn users_and_secrets_go_into_files_of_their_own() {
    let import = imported("user=ann:a:b\nuser=bob: c\nuser=ann:newer\nrealm=x\n");
    assert!(!import.report.is_refused());
    assert!(import.configuration.contains("users_file = \"users\""));
    let texts: Vec<_> = import
        .secrets
        .iter()
        .map(|secret| (secret.name.as_str(), secret.text.as_str()))
        .collect();
    assert_eq!(texts, [("users", "bob:c\nann:newer\n")]);

    let import = imported(
        "static-auth-secret=first-of-two-secrets\nstatic-auth-secret=second-of-two-secrets\n",
    );
    let texts: Vec<_> = import
        .secrets
        .iter()
        .map(|secret| (secret.name.as_str(), secret.text.as_str()))
        .collect();
    assert_eq!(
        texts,
        [
            ("turn.secret", "first-of-two-secrets\n"),
            ("turn-2.secret", "second-of-two-secrets\n")
        ]
    );
}

#[test]
fn comments_of_any_encoding_are_no_hindrance() {
    let mut bytes = b"# f\xfcr Jitsi\n".to_vec();
    bytes.extend_from_slice(GOOD.as_bytes());
    let import = import(&bytes, &surroundings());
    assert!(!import.report.is_refused());
    let mut bytes = GOOD.as_bytes().to_vec();
    bytes.extend_from_slice(b"user=j\xfcrgen:x\nrealm=f\xfcr\n");
    assert!(super::import(&bytes, &surroundings()).report.is_refused());
}

#[test]
fn every_key_of_coturn_gets_an_answer() {
    let keys = include_str!("coturn_keys.txt");
    assert!(keys.lines().count() > 140);
    for key in keys.lines() {
        let import = imported(&with(&format!("{key}=1")));
        let entry = import.report.lines.last().expect("the line");
        let said = format!("{:?} {:?}", entry.outcome, entry.notes);
        assert!(!said.contains("no such key"), "{key}: {said}");
        assert!(
            entry.outcome == Outcome::Mapped || !entry.notes.is_empty(),
            "{key}: {said}"
        );
    }
}

#[test]
fn other_servers_get_every_client_as_they_do_from_coturn() {
    let text = configuration(
        "alternate-server=203.0.113.8\nalternate-server=203.0.113.9:3479\ntls-alternate-server=203.0.113.8",
    );
    for expected in [
        "servers = [\"203.0.113.8:3478\", \"203.0.113.9:3479\"]",
        "tls_servers = [{ address = \"203.0.113.8:5349\" }]",
        "when = \"always\"",
    ] {
        assert!(text.contains(expected), "{expected}: {text}");
    }
    let (what, _) = outcome(&with("alternate-server=elsewhere"), "alternate-server");
    assert_eq!(what, Outcome::Refused);
}
