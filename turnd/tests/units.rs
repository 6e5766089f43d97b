//! The systemd units: no directive systemd does not know, and a sandbox that
//! stays tight.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Tenths of systemd's exposure level; lower is safer.
const WORST: u32 = 20;

fn units() -> Vec<PathBuf> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../systemd");
    let mut units: Vec<PathBuf> = fs::read_dir(directory)
        .expect("the units' directory")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "service")
        })
        .collect();
    units.sort();
    assert_eq!(units.len(), 3);
    units
}

fn analyze(arguments: &[&str], unit: &Path) -> Output {
    Command::new("systemd-analyze")
        .args(arguments)
        .arg(unit)
        .output()
        .expect("install Debian's systemd")
}

#[test]
fn units_are_exposed_little() {
    for unit in units() {
        let threshold = format!("--threshold={WORST}");
        let output = analyze(&["security", "--offline=true", &threshold], &unit);
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(
            output.status.success(),
            "{}: {}",
            unit.display(),
            text.lines().last().unwrap_or("")
        );
    }
}

#[test]
fn units_hold_no_mistakes() {
    let directory = tempfile::tempdir().expect("temporary directory");
    for unit in units() {
        // The programs are not installed where the tests run.
        let text = fs::read_to_string(&unit)
            .expect("readable")
            .replace("/usr/bin/forebay-", "/bin/true -");
        let copy = directory.path().join(unit.file_name().expect("a name"));
        fs::write(&copy, text).expect("written");
        let output = analyze(&["verify"], &copy);
        // It ends well on unknown directives: any word is a mistake.
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.is_empty(), "{said}");
    }
}
