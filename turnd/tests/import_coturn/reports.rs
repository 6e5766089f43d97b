//! Every report and configuration as a file to read; `FOREBAY_BLESS=1 cargo
//! test -p forebay-turnd --test import_coturn` rewrites them.

use std::fs;

use super::{configurations, here, imported};

#[test]
fn every_report_is_as_it_was_read_and_found_good() {
    let mut wrong = Vec::new();
    for (name, text) in configurations() {
        let import = imported(&text);
        let mut found = import.report.to_text();
        if !import.report.is_refused() {
            found.push_str("\n--- turnd.toml\n");
            found.push_str(&import.configuration);
            for secret in &import.secrets {
                let lines = secret.text.lines().count();
                found.push_str(&format!("\n--- {} ({lines} lines)\n", secret.name));
            }
        }
        let path = here("golden").join(format!("{name}.txt"));
        if std::env::var_os("FOREBAY_BLESS").is_some() {
            fs::write(&path, &found).expect("written");
        }
        if fs::read_to_string(&path).unwrap_or_default() != found {
            wrong.push(format!("{}:\n{found}", path.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_golden_file_belongs_to_a_configuration() {
    let names: Vec<String> = configurations().into_iter().map(|(name, _)| name).collect();
    assert!(names.len() >= 12, "{names:?}");
    for entry in fs::read_dir(here("golden")).expect("a folder") {
        let path = entry.expect("readable").path();
        let stem = path.file_stem().expect("a name").to_string_lossy();
        assert!(names.iter().any(|name| *name == stem), "{}", path.display());
    }
}

/// Secrets as they stand in the configurations: none may be in a report or in
/// a TOML file.
#[test]
fn no_secret_is_shown() {
    for (name, text) in configurations() {
        let import = imported(&text);
        let shown = format!(
            "{}{}{}",
            import.report.to_text(),
            import.configuration,
            serde_json::to_string(&import.report).expect("JSON")
        );
        for line in text.lines() {
            let hidden = [
                "static-auth-secret",
                "user=",
                "cli-password",
                "psql",
                "pkey-pwd",
            ];
            if !hidden.iter().any(|key| line.starts_with(key)) {
                continue;
            }
            let value = line.split_once(['=', ':']).map_or("", |(_, value)| value);
            let secret = value
                .split_once(':')
                .map_or(value, |(_, password)| password);
            assert!(
                secret.len() < 6 || !shown.contains(secret),
                "{name} shows what {line} hides:\n{shown}"
            );
        }
    }
}
