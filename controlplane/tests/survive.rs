//! A thousand relays do not notice what happens to the control plane.

#![allow(clippy::unwrap_used, clippy::panic, reason = "test code")]

mod support;

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;
use support::pair::DataPlane;
use support::{ControlPlane, Place};

#[test]
fn a_thousand_relays_lose_nothing_while_the_control_plane_is_killed_and_restarted() {
    let place = Place::new();
    place.configure("[peers]\nallow = [\"127.0.0.0/8\"]\n");
    let data = DataPlane::start(&place, "53000-55999");
    let mut control = ControlPlane::start(&place);
    control.until_ready();

    let binary =
        Path::new(env!("CARGO_BIN_EXE_forebay-controlplane")).with_file_name("forebay-bench");
    assert!(
        binary.exists(),
        "{} is missing: cargo build -p forebay-benches",
        binary.display()
    );
    let mut pump = Command::new(binary)
        .args([
            "survive",
            "--json",
            "--relays",
            "1000",
            "--rate",
            "5",
            "--seconds",
            "12",
        ])
        .args(["--server", &format!("127.0.0.1:{}", data.port)])
        // Not where the server's own ports are: of a thousand peers one may
        // get the number of a port that no peer may have.
        .args(["--local", "127.0.0.2"])
        .arg("--secret-file")
        .arg(place.path("turn.secret"))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = BufReader::new(pump.stderr.take().unwrap()).lines();
    assert_eq!(said.next().unwrap().unwrap(), "pumping");

    let mut restarts = 0;
    while pump.try_wait().unwrap().is_none() && restarts < 5 {
        control.kill();
        control = ControlPlane::start(&place);
        control.until_ready();
        restarts += 1;
    }
    let output = pump.wait_with_output().unwrap();
    let outcome: Value = serde_json::from_slice(&output.stdout).unwrap();
    println!("{restarts} restarts: {outcome}");
    assert!(restarts >= 3, "{restarts} restarts while packets flowed");
    assert_eq!(outcome["relays"], 1000, "{outcome}");
    assert!(outcome["sent"].as_u64() > Some(50_000), "{outcome}");
    assert_eq!(outcome["lost"], 0, "{outcome}");
    assert!(output.status.success(), "{outcome}");
}
