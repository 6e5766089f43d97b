//! Chromium, relay-only, over TCP and over the TLS port its page comes from.

use std::path::Path;
use std::process::Command;

use crate::Place;
use crate::browser_scripts::install_packages;
use crate::server::USER;

#[test]
fn chromium_relays_over_tcp_and_the_shared_port() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../controlplane/tests/browser");
    install_packages(&folder);
    let running = Place::new().start("", "");
    let tls = running.tls();
    let output = Command::new("node")
        .args(["relay-only.mjs", &format!("https://{tls}/"), USER.0, USER.1])
        .arg(format!("turn:{}?transport=tcp", running.tcp()))
        .arg(format!("turns:{tls}?transport=tcp"))
        .current_dir(&folder)
        .output()
        .expect("node: apt install nodejs");
    let told = String::from_utf8_lossy(&output.stdout);
    println!("{told}");
    assert!(
        output.status.success() && told.contains("page: This is a TURN server"),
        "{told}\n{}\n{}",
        String::from_utf8_lossy(&output.stderr),
        running.server.log()
    );
}
