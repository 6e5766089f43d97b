//! What operators and clients run.

use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;

use crate::server::{PEER, Peer, Server, USER, installed, wait_for};

/// The `forebay` of the same build.
pub(crate) fn forebay(server: &Server, arguments: &[&str]) -> Output {
    let turnd = Path::new(env!("CARGO_BIN_EXE_forebay-turnd"));
    let program = turnd.with_file_name("forebay");
    assert!(
        program.exists(),
        "build it first: cargo build -p forebay-cli"
    );
    Command::new(program)
        .args(arguments)
        .arg("--socket")
        .arg(server.setup.path("control.sock"))
        .output()
        .expect("runs")
}

pub(crate) fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The sessions as a program reads them.
pub(crate) fn sessions(server: &Server, filter: &[&str]) -> Vec<Value> {
    let arguments = [&["sessions", "--json"], filter].concat();
    let output = forebay(server, &arguments);
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).expect("JSON")
}

/// coturn's client, relaying until it is dropped. Its allocations stay.
pub(crate) struct Talking {
    child: Child,
    _peer: Peer,
}

impl Talking {
    /// Returns when packets are relayed.
    pub(crate) fn start(server: &Server) -> Self {
        let before = server.metric("forebay_relayed_packets_total");
        let peer = Peer::start(PEER);
        let child = installed(
            Command::new("turnutils_uclient")
                .args(["-u", USER.0, "-w", USER.1, "-p"])
                .arg(server.setup.port.to_string())
                .args([
                    "-c", "-n", "100000", "-z", "20", "-l", "200", "-e", PEER, "-r",
                ])
                .arg(peer.port.to_string())
                .arg(server.setup.address.to_string())
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn(),
        );
        assert!(
            wait_for(|| server.metric("forebay_relayed_packets_total") > before + 20.0),
            "{}",
            server.log()
        );
        Self { child, _peer: peer }
    }
}

impl Drop for Talking {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
