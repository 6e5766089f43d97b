//! Relay-only WebRTC peers (aiortc) over every transport of one running
//! server, whose TLS port is shared with a web server that is busy meanwhile.

use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use crate::server::{USER, installed, shared_directory};
use crate::shared_port::web_server;
use crate::{NAME, Place, Running};

/// A Python with aiortc; made once per target directory.
fn python() -> PathBuf {
    let environment = shared_directory().join("aiortc");
    let python = environment.join("bin/python");
    let works = |python: &PathBuf| {
        Command::new(python)
            .args(["-c", "import aiortc"])
            .output()
            .is_ok_and(|output| output.status.success())
    };
    if !works(&python) {
        let made = installed(
            Command::new("python3")
                .args(["-m", "venv"])
                .arg(&environment)
                .status(),
        );
        assert!(made.success(), "install python3-venv");
        let filled = installed(
            Command::new(&python)
                .args(["-m", "pip", "install", "--quiet", "aiortc==1.16.*"])
                .status(),
        );
        assert!(filled.success(), "pip cannot install aiortc");
    }
    python
}

/// Runs two peers that know this server alone; they trust its certificate and
/// no other.
fn call(running: &Running, python: &PathBuf, url: &str) {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/aiortc/relay.py");
    let output = installed(
        Command::new(python)
            .args([script, url, USER.0, USER.1])
            .env("SSL_CERT_FILE", running.server.setup.path("tls.crt"))
            .output(),
    );
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success()
            && told.contains("\"echoed\": 50")
            && told.contains("\"candidates\": [\"relay\"]"),
        "{url}: {told}\n{}\n{}",
        String::from_utf8_lossy(&output.stderr),
        running.server.log()
    );
}

#[test]
fn media_and_messages_flow_between_relay_only_peers() {
    let python = python();
    let backend = web_server();
    let running = Place::new().start(&format!("backend = \"{backend}\"\n"), "");
    let (ip, port) = (running.ip, running.server.setup.port);
    let urls = [
        format!("turn:{ip}:{port}?transport=udp"),
        format!("turn:{}?transport=tcp", running.tcp()),
        format!("turns:{}?transport=tcp", running.tls()),
    ];
    let done = AtomicBool::new(false);
    let pages = thread::scope(|scope| {
        let visitor = scope.spawn(|| {
            let mut pages = 0;
            while !done.load(Ordering::Relaxed) {
                assert_eq!(running.curl(NAME, &[]), "GET / HTTP/1.1 with 0 bytes\n");
                pages += 1;
            }
            pages
        });
        let calls: Vec<_> = urls
            .iter()
            .map(|url| scope.spawn(|| call(&running, &python, url)))
            .collect();
        let ended: Vec<_> = calls
            .into_iter()
            .map(thread::ScopedJoinHandle::join)
            .collect();
        done.store(true, Ordering::Relaxed);
        assert!(ended.iter().all(Result::is_ok), "a call failed");
        visitor.join().expect("every page came")
    });
    assert!(pages >= 3, "{pages}");
    for transport in ["tcp", "tls"] {
        let line = format!("forebay_connections_adopted_total{{transport=\"{transport}\"}}");
        assert!(running.counted(&line) >= 2.0, "{transport}");
    }
    assert!(running.server.metric("forebay_relayed_packets_total") > 600.0);
    assert!(running.server.metric("forebay_allocations_created_total") >= 6.0);
}
