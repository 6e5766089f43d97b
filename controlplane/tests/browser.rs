//! The relay-check page in headless Chromium, against the real servers.

#![allow(clippy::unwrap_used, clippy::panic, reason = "test code")]

mod support;

use std::path::Path;
use std::process::Command;

use support::browser::install_packages;
use support::pair::DataPlane;
use support::{ControlPlane, KEY, Place};

#[test]
fn the_page_relays_media_and_explains_what_fails() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/browser");
    install_packages(&folder);
    let place = Place::new();
    let _data = DataPlane::start(&place, "52400-52499");
    let control = ControlPlane::start(&place);
    control.until_ready();
    let screenshots = Path::new(env!("CARGO_TARGET_TMPDIR")).join("relay-check");
    std::fs::create_dir_all(&screenshots).unwrap();
    let output = Command::new("node")
        .arg("relay-check.mjs")
        .arg(format!("http://{}/", control.address))
        .arg(KEY)
        .arg(&screenshots)
        .current_dir(&folder)
        .output()
        .expect("node: apt install nodejs");
    let said = String::from_utf8_lossy(&output.stdout);
    println!("{said}\nscreenshots: {}", screenshots.display());
    assert!(
        output.status.success(),
        "{said}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
}
