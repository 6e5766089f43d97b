//! turnserver.conf: any bytes get a report, and what is not refused is a
//! configuration that the server takes.

use std::path::{Path, PathBuf};

use forebay_runtime::config::{Role, Settings};
use forebay_turnd::import_coturn::{Outcome, Surroundings, import};

pub(crate) fn run(bytes: &[u8]) {
    let ipv4: Vec<_> = "192.0.2.10".parse().into_iter().collect();
    for (default_addresses, ipv6) in [(ipv4, false), (Vec::new(), true)] {
        let import = import(
            bytes,
            &Surroundings {
                name: "fuzz.conf".to_owned(),
                directory: PathBuf::from("/etc"),
                default_addresses,
                ipv6,
            },
        );
        for line in &import.report.lines {
            let is_explained = match line.outcome {
                Outcome::Mapped => !line.keys.is_empty(),
                Outcome::NotNeeded => !line.notes.is_empty(),
                Outcome::Refused => !line.notes.is_empty() && line.fix.is_some(),
            };
            assert!(is_explained, "{line:?}");
        }
        assert!(import.report.to_text().contains(" refused"));
        if import.report.is_refused() {
            continue;
        }
        assert!(!import.secrets.is_empty());
        let taken = Settings::parse(
            &import.configuration,
            Path::new("turnd.toml"),
            Role::Standalone,
        );
        assert!(taken.is_ok(), "{taken:?}");
    }
}
