//! The scripts that drive browsers.

use std::path::Path;
use std::process::Command;

/// Installs the packages of `folder`'s scripts unless they are there.
pub(crate) fn install_packages(folder: &Path) {
    let drivers = ["playwright-core", "puppeteer-core"];
    if drivers
        .iter()
        .all(|driver| folder.join("node_modules").join(driver).exists())
    {
        return;
    }
    let installed = Command::new("npm")
        .args(["ci", "--no-audit", "--no-fund"])
        .current_dir(folder)
        .status()
        .expect("npm: apt install npm");
    assert!(installed.success(), "npm ci in {}", folder.display());
}
