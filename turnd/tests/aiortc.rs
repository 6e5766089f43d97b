//! Two relay-only WebRTC peers (aiortc) through the running server.

mod server;

use std::path::PathBuf;
use std::process::Command;

use server::{Setup, USER, installed, shared_directory};

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

#[test]
fn media_and_messages_flow_between_relay_only_peers() {
    let python = python();
    let server = Setup::new().start();
    let url = format!(
        "turn:{}:{}?transport=udp",
        server.setup.address, server.setup.port
    );
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/aiortc/relay.py");
    let output = installed(
        Command::new(python)
            .args([script, &url, USER.0, USER.1])
            .output(),
    );
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success()
            && told.contains("\"echoed\": 50")
            && told.contains("\"candidates\": [\"relay\"]"),
        "{told}\n{}\n{}",
        String::from_utf8_lossy(&output.stderr),
        server.log()
    );
    assert!(server.metric("forebay_relayed_packets_total") > 200.0);
    assert!(server.metric("forebay_allocations_created_total") >= 2.0);
}
