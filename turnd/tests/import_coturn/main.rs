//! Configurations as they are shipped and found, from turnserver.conf to a
//! file the server takes.

mod binary;
mod details;
mod reports;

use std::fs;
use std::path::{Path, PathBuf};

use forebay_turnd::import_coturn::{Import, Outcome, Surroundings, import};

/// A file or folder of these tests.
fn here(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/import_coturn")
        .join(name)
}

/// The configurations by name, in order.
fn configurations() -> Vec<(String, String)> {
    let mut found: Vec<_> = fs::read_dir(here("configs"))
        .expect("a folder of configurations")
        .map(|entry| entry.expect("readable").path())
        .map(|path| {
            let name = path.file_stem().expect("a name").to_string_lossy();
            (name.into_owned(), fs::read_to_string(&path).expect("text"))
        })
        .collect();
    found.sort();
    found
}

/// A host that is the same on every machine.
fn surroundings() -> Surroundings {
    Surroundings {
        name: "turnserver.conf".to_owned(),
        directory: PathBuf::from("/etc"),
        default_addresses: vec![
            "192.0.2.10".parse().expect("an address"),
            "2001:db8::10".parse().expect("an address"),
        ],
        ipv6: true,
    }
}

fn imported(text: &str) -> Import {
    import(text.as_bytes(), &surroundings())
}

/// What became of the one line that starts so.
fn outcome(text: &str, start: &str) -> (Outcome, String) {
    let import = imported(text);
    let entry = import
        .report
        .lines
        .iter()
        .find(|entry| entry.text.starts_with(start))
        .expect("the line");
    let notes = entry.notes.join(" ");
    (entry.outcome, notes)
}
