//! The client module's parts that need no browser, by node's own test runner.

#![allow(clippy::unwrap_used, clippy::panic, reason = "test code")]

use std::path::Path;
use std::process::Command;

#[test]
fn the_client_module_keeps_its_promises() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/client");
    let output = Command::new("node")
        .arg("--test")
        .arg(".")
        .current_dir(folder)
        .output()
        .expect("node: apt install nodejs");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "{said}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(said.contains("# pass"), "{said}");
}
