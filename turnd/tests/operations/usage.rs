//! Usage records.

use std::collections::HashSet;
use std::fs;

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::client::{Talking, forebay, sessions};
use crate::receiver::Receiver;
use crate::server::{Server, Setup, USER, wait_for};

/// A setup that records usage.
fn recording(keys: &str) -> Setup {
    let setup = Setup::new();
    configure(&setup, keys);
    setup
}

fn configure(setup: &Setup, keys: &str) {
    let config = format!(
        "{}[usage]\ndirectory = \"{}\"\n{keys}",
        setup.config(),
        setup.path("state").display()
    );
    setup.write("turnd.toml", &config, 0o644);
}

fn to_file(setup: &Setup) -> String {
    format!("file = \"{}\"\n", setup.path("usage.jsonl").display())
}

fn records(server: &Server, name: &str) -> Vec<Value> {
    fs::read_to_string(server.setup.path(name))
        .unwrap_or_default()
        .lines()
        .map(|line| serde_json::from_str(line).expect("whole lines of JSON"))
        .collect()
}

fn uuids(records: &[Value]) -> HashSet<String> {
    records
        .iter()
        .map(|record| record["uuid"].as_str().expect("a uuid").to_owned())
        .collect()
}

fn kill_all(server: &Server) {
    let killed = forebay(server, &["sessions", "kill", "--user", USER.0]);
    assert!(killed.status.success(), "{killed:?}");
}

#[test]
fn every_allocation_has_one_line_in_the_file_also_over_a_rotation() {
    let setup = Setup::new();
    configure(&setup, &to_file(&setup));
    let mut server = setup.start();
    let client = Talking::start(&server);
    let live = sessions(&server, &[]);
    kill_all(&server);
    drop(client);
    assert!(wait_for(
        || records(&server, "usage.jsonl").len() == live.len()
    ));
    let first = records(&server, "usage.jsonl");
    let of = |record: &Value| {
        live.iter()
            .find(|session| session["uuid"] == record["uuid"])
            .cloned()
            .expect("a session of that uuid")
    };
    for record in &first {
        let session = of(record);
        for same in ["user", "client", "server", "relay", "transport"] {
            assert_eq!(record[same], session[same], "{same}");
        }
        assert_eq!(record["kind"], "end");
        assert_eq!(record["reason"], "administrative");
        assert!(record["to_peer_bytes"].as_u64() >= session["to_peer_bytes"].as_u64());
        assert!(record["end"].as_str() >= record["start"].as_str());
    }

    let path = server.setup.path("usage.jsonl");
    fs::rename(&path, server.setup.path("usage.1")).expect("moved away");
    server.signal(Signal::SIGHUP);
    assert!(wait_for(|| path.exists()));
    let _client = Talking::start(&server);
    let live = sessions(&server, &[]).len();
    server.signal(Signal::SIGINT);
    assert!(server.end().expect("ends").success());
    assert_eq!(records(&server, "usage.1"), first);
    let second = records(&server, "usage.jsonl");
    assert_eq!(uuids(&second).len(), live, "{second:?}");
    assert!(second.iter().all(|record| record["reason"] == "stopped"));
    assert!(
        second
            .iter()
            .any(|record| record["to_client_bytes"].as_u64() > Some(0))
    );
}

#[test]
fn the_webhook_gets_every_record_in_spite_of_failures() {
    let receiver = Receiver::start(&[500, 429, 302]);
    let setup = recording(&format!(
        "webhook = \"http://{}/usage\"\nwebhook_token_file = \"token\"\n",
        receiver.address
    ));
    setup.write("token", "t0ken\n", 0o600);
    let mut server = setup.start();
    let client = Talking::start(&server);
    let live: HashSet<String> = uuids(&sessions(&server, &[]));
    kill_all(&server);
    drop(client);
    assert!(
        wait_for(|| receiver.records().len() >= live.len()),
        "{}",
        server.log()
    );
    assert_eq!(uuids(&receiver.records()), live);
    let posted = receiver.posted();
    let [a, b, c, d] = &posted[..4] else {
        panic!("four attempts, not {posted:?}");
    };
    for repeated in [b, c, d] {
        assert_eq!((&a.key, &a.body), (&repeated.key, &repeated.body));
    }
    assert!(
        posted
            .iter()
            .all(|posted| posted.authorization.as_deref() == Some("Bearer t0ken"))
    );
    assert!(!server.log().contains("t0ken"));
    assert_eq!(server.metric("forebay_usage_webhook_errors_total"), 3.0);
    assert!(server.metrics().contains(&format!(
        "forebay_usage_records_total{{result=\"delivered\"}} {}",
        live.len()
    )));

    // The end of the process delivers what it cuts off.
    let _client = Talking::start(&server);
    let cut_off = uuids(&sessions(&server, &[]));
    server.signal(Signal::SIGINT);
    assert!(server.end().expect("ends").success());
    let all: HashSet<String> = live.union(&cut_off).cloned().collect();
    assert_eq!(uuids(&receiver.records()), all);
    let spool = server.setup.path("state").join("spool");
    assert_eq!(fs::read_dir(spool).expect("a directory").count(), 0);
}

#[test]
fn records_wait_on_disk_for_a_receiver_that_is_away() {
    // Bound, but nobody answers: a connection is refused once it is dropped.
    let away = std::net::TcpListener::bind("127.0.0.1:0").expect("a socket");
    let address = away.local_addr().expect("an address");
    drop(away);
    let mut server = recording(&format!("webhook = \"http://{address}/usage\"\n")).start();
    let client = Talking::start(&server);
    let live = uuids(&sessions(&server, &[]));
    server.signal(Signal::SIGINT);
    assert!(server.end().expect("ends").success(), "{}", server.log());
    drop(client);
    let receiver = Receiver::start(&[]);
    configure(
        &server.setup,
        &format!("webhook = \"http://{}/usage\"\n", receiver.address),
    );
    server.restart();
    assert!(
        wait_for(|| receiver.records().len() >= live.len()),
        "{}",
        server.log()
    );
    assert_eq!(uuids(&receiver.records()), live);
}

#[test]
fn a_crash_is_made_good_by_the_next_start() {
    let setup = Setup::new();
    configure(&setup, &format!("{}interim = \"1s\"\n", to_file(&setup)));
    let mut server = setup.start();
    let client = Talking::start(&server);
    let live = uuids(&sessions(&server, &[]));
    assert!(wait_for(|| {
        records(&server, "usage.jsonl")
            .iter()
            .any(|record| record["kind"] == "interim" && record["number"].as_u64() >= Some(2))
    }));
    server.signal(Signal::SIGKILL);
    assert!(!server.end().expect("ends").success());
    drop(client);
    server.restart();
    let ends = || -> Vec<Value> {
        let mut ends = records(&server, "usage.jsonl");
        ends.retain(|record| record["kind"] == "end");
        ends
    };
    assert!(wait_for(|| ends().len() >= live.len()), "{}", server.log());
    assert_eq!(uuids(&ends()), live);
    for end in ends() {
        assert_eq!(end["reason"], "crashed");
        assert!(end["number"].as_u64() >= Some(2), "{end}");
    }
    assert!(
        ends()
            .iter()
            .any(|end| end["to_peer_bytes"].as_u64() > Some(0))
    );
    // A third start finds nothing.
    server.signal(Signal::SIGTERM);
    assert!(server.end().expect("ends").success());
    let before = records(&server, "usage.jsonl").len();
    server.restart();
    assert!(sessions(&server, &[]).is_empty());
    assert_eq!(records(&server, "usage.jsonl").len(), before);
}
