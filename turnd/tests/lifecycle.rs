//! Metrics, reload and drain of the running server.

mod server;

use std::io::Write;
use std::process::{Command, Stdio};

use nix::sys::signal::Signal;
use server::{SECRET, Setup, USER, installed, wait_for};

const ANN: [&str; 4] = ["-u", USER.0, "-w", USER.1];

#[test]
fn metrics_are_good_and_complete() {
    let server = Setup::new().start();
    assert!(server.lets_in(&ANN));
    let text = server.metrics();
    let mut promtool = installed(
        Command::new("promtool")
            .args(["check", "metrics"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn(),
    );
    promtool
        .stdin
        .take()
        .expect("a pipe")
        .write_all(text.as_bytes())
        .expect("written");
    let output = promtool.wait_with_output().expect("ends");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );

    for name in [
        "forebay_relayed_packets_total{worker=\"0\",direction=\"to_peer\"}",
        "forebay_packets_dropped_total{worker=\"0\",reason=\"no_permission\"}",
        "forebay_relay_ports_free{worker=\"0\"}",
        "forebay_secret_loaded{id=\"a\"} 1",
        "forebay_static_users 1",
        "forebay_build_info{program=\"forebay-turnd\"",
        "process_resident_memory_bytes",
    ] {
        assert!(text.contains(name), "{name} is missing in\n{text}");
    }
    assert!(server.metric("forebay_allocations_created_total") >= 1.0);
    assert!(
        server
            .http("/healthz")
            .is_some_and(|answer| answer.contains("ok"))
    );
    assert!(
        server
            .http("/elsewhere")
            .is_some_and(|answer| answer.starts_with("HTTP/1.1 404"))
    );
}

#[test]
fn a_reload_rotates_secrets_users_and_peers() {
    let server = Setup::new().start();
    let setup = &server.setup;
    assert!(server.lets_in(&["-u", "bob", "-W", SECRET]));
    assert!(server.keeps_out(&["-u", "bob", "-W", "south"]));

    setup.write("new.secret", "south", 0o600);
    setup.write("users", "eve:wins\n", 0o600);
    let config = setup
        .config()
        .replace(
            "{ id = \"a\", file = \"turn.secret\" }",
            "{ id = \"b\", file = \"new.secret\" }",
        )
        .replace("ready = 64", "ready = 65");
    setup.write("turnd.toml", &config, 0o644);
    server.signal(Signal::SIGHUP);
    assert!(
        server.says("reloaded: 1 secrets, 1 users"),
        "{}",
        server.log()
    );
    assert!(
        server.says("only after a restart: relay.ready"),
        "{}",
        server.log()
    );
    assert!(server.lets_in(&["-u", "bob", "-W", "south"]));
    assert!(server.keeps_out(&["-u", "bob", "-W", SECRET]));
    assert!(server.lets_in(&["-u", "eve", "-w", "wins"]));
    assert!(
        server
            .metrics()
            .contains("forebay_secret_loaded{id=\"b\"} 1")
    );

    setup.write(
        "turnd.toml",
        &config.replace("allow = [\"127.0.0.0/8\", ", "allow = ["),
        0o644,
    );
    server.signal(Signal::SIGHUP);
    assert!(wait_for(|| server.metric("forebay_reloads_total") == 2.0));
    assert!(
        !server.lets_in(&["-u", "eve", "-w", "wins"]),
        "the peer is on loopback"
    );
}

#[test]
fn a_bad_reload_changes_nothing() {
    let mut server = Setup::new().start();
    let good = server.setup.config();
    server
        .setup
        .write("turnd.toml", &good.replace("users_file", "userfile"), 0o644);
    server.signal(Signal::SIGHUP);
    assert!(
        server.says("did you mean `auth.users_file`?"),
        "{}",
        server.log()
    );
    server.setup.write("turnd.toml", &good, 0o644);
    server.setup.write("users", "nobody\n", 0o600);
    server.signal(Signal::SIGHUP);
    assert!(
        server.says("line 1: expected name:password"),
        "{}",
        server.log()
    );
    assert!(
        server
            .metrics()
            .contains("forebay_reloads_total{result=\"refused\"} 2")
    );
    assert!(server.is_running() && server.lets_in(&ANN));
}

#[test]
fn an_idle_server_drains_at_once() {
    let mut server = Setup::new().start();
    server.signal(Signal::SIGTERM);
    let status = server.end().expect("ends");
    assert!(status.success(), "{status}: {}", server.log());
    assert!(server.log().contains("drained"));
    assert!(!server.setup.path("control.sock").exists());
}

#[test]
fn a_drain_refuses_new_clients_until_its_deadline() {
    let setup = Setup::new();
    setup.write(
        "turnd.toml",
        &format!("{}[lifetimes]\ndrain = \"6s\"\n", setup.config()),
        0o644,
    );
    let mut server = setup.start();
    // The client leaves its allocation behind.
    assert!(server.lets_in(&ANN));
    assert!(wait_for(|| server.metric("forebay_allocations") >= 1.0));
    server.signal(Signal::SIGTERM);
    assert!(server.says("allocations remain"), "{}", server.log());
    assert!(
        server
            .http("/readyz")
            .is_some_and(|answer| answer.starts_with("HTTP/1.1 503"))
    );
    assert!(
        server
            .http("/healthz")
            .is_some_and(|answer| answer.starts_with("HTTP/1.1 200"))
    );
    assert!(server.keeps_out(&ANN));
    let status = server.end().expect("ends");
    assert!(status.success(), "{status}");
    assert!(
        server.log().contains("the deadline has come"),
        "{}",
        server.log()
    );
}

#[test]
fn a_second_sigterm_and_ctrl_c_end_at_once() {
    for second in [Signal::SIGTERM, Signal::SIGINT] {
        let mut server = Setup::new().start();
        assert!(server.lets_in(&ANN));
        assert!(wait_for(|| server.metric("forebay_allocations") >= 1.0));
        server.signal(Signal::SIGTERM);
        assert!(server.says("allocations remain"), "{}", server.log());
        server.signal(second);
        assert!(server.end().expect("ends").success(), "{}", server.log());
        assert!(server.log().contains("at once"), "{}", server.log());
    }
}
