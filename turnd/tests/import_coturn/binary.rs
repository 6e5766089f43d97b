//! The command as its user types it, and what the server says to its product.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

use super::{configurations, here};

fn forebay_turnd() -> Command {
    Command::new(env!("CARGO_BIN_EXE_forebay-turnd"))
}

fn import_into(file: &Path, directory: &Path) -> Output {
    forebay_turnd()
        .arg("import-coturn")
        .arg(file)
        .arg("--output")
        .arg(directory)
        .output()
        .expect("runs")
}

fn said(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

/// The same configuration on addresses of this host's, with a certificate that
/// exists.
fn on_this_host(text: &str, certificate: &str, key: &str) -> String {
    let mut lines: Vec<String> = text
        .lines()
        .map(|line| match line.split_once('=') {
            Some(("cert", _)) => format!("cert={certificate}"),
            Some(("pkey", _)) => format!("pkey={key}"),
            Some(("listening-ip" | "relay-ip" | "external-ip" | "aux-server", _)) => line
                .replace("10.0.3.", "127.10.3.")
                .replace("172.17.19.", "127.17.19."),
            _ => line.to_owned(),
        })
        .collect();
    if !text.contains("\nrelay-ip=") {
        lines.push("relay-ip=127.9.8.7".to_owned());
    }
    lines.join("\n")
}

fn certificate(directory: &Path) -> (String, String) {
    let (certificate, key) = (directory.join("cert.pem"), directory.join("key.pem"));
    let made = Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
        ])
        .args(["-nodes", "-days", "30", "-subj", "/CN=turn.example.org"])
        .arg("-out")
        .arg(&certificate)
        .arg("-keyout")
        .arg(&key)
        .output()
        .expect("install openssl");
    assert!(made.status.success(), "{}", said(&made));
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).expect("mode set");
    (certificate.display().to_string(), key.display().to_string())
}

#[test]
fn the_server_takes_what_is_produced() {
    let directory = tempfile::tempdir().expect("temporary directory");
    let (certificate, key) = certificate(directory.path());
    let mut taken = 0;
    for (name, text) in configurations() {
        let file = directory.path().join(format!("{name}.conf"));
        fs::write(&file, on_this_host(&text, &certificate, &key)).expect("written");
        let produced = directory.path().join(&name);
        let output = import_into(&file, &produced);
        if !output.status.success() {
            assert!(!produced.exists(), "{name} is refused and written");
            assert!(said(&output).contains("REFUSED"), "{}", said(&output));
            continue;
        }
        let configuration = produced.join("turnd.toml");
        let checked = forebay_turnd()
            .arg("--check")
            .arg("--config")
            .arg(&configuration)
            .output()
            .expect("runs");
        assert!(
            checked.status.success(),
            "{name}: {}\n{}",
            said(&checked),
            fs::read_to_string(&configuration).expect("text")
        );
        for entry in fs::read_dir(&produced).expect("a folder") {
            let path = entry.expect("readable").path();
            if path == configuration {
                continue;
            }
            let mode = fs::metadata(&path).expect("metadata").permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{}", path.display());
        }
        taken += 1;
    }
    assert!(taken >= 3, "{taken} configurations were taken over");
}

#[test]
fn files_that_exist_are_left_alone() {
    let directory = tempfile::tempdir().expect("temporary directory");
    let file = here("configs/nextcloud_talk.conf");
    let kept = directory.path().join("turn.secret");
    fs::write(&kept, "mine").expect("written");
    let output = import_into(&file, directory.path());
    assert!(!output.status.success());
    assert!(
        said(&output).contains("turn.secret exists"),
        "{}",
        said(&output)
    );
    assert_eq!(fs::read_to_string(&kept).expect("text"), "mine");
    assert!(!directory.path().join("turnd.toml").exists());
}

#[test]
fn without_a_directory_nothing_is_written() {
    let directory = tempfile::tempdir().expect("temporary directory");
    let output = forebay_turnd()
        .current_dir(directory.path())
        .arg("import-coturn")
        .arg(here("configs/nextcloud_talk.conf"))
        .output()
        .expect("runs");
    let text = said(&output);
    assert!(output.status.success(), "{text}");
    assert!(
        text.contains("Nothing is written without --output"),
        "{text}"
    );
    assert!(text.contains("realm = \"cloud.example.org\""), "{text}");
    assert!(!text.contains("8f3b2a7c9d4e5f60"), "{text}");
    assert_eq!(fs::read_dir(directory.path()).expect("a folder").count(), 0);
}

#[test]
fn json_says_the_same() {
    let output = forebay_turnd()
        .args(["import-coturn", "--json"])
        .arg(here("configs/open_relay.conf"))
        .output()
        .expect("runs");
    assert_eq!(output.status.code(), Some(1));
    let value: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(value["is_refused"], true);
    let lines = value["report"]["lines"].as_array().expect("lines");
    let outcomes: Vec<_> = lines
        .iter()
        .map(|line| (line["text"].as_str(), line["outcome"].as_str()))
        .collect();
    assert!(
        outcomes.contains(&(Some("no-auth"), Some("refused"))),
        "{outcomes:?}"
    );
    assert!(
        outcomes.contains(&(Some("listening-port=3478"), Some("mapped"))),
        "{outcomes:?}"
    );
    assert!(lines.iter().any(|line| line["fix"].is_string()));
}

/// The file Debian's package installs authenticates nobody.
#[test]
fn debians_own_file_is_read_and_refused_for_what_it_lacks() {
    let file = Path::new("/etc/turnserver.conf");
    if !file.exists() {
        // Only the package brings it; configs/no_credentials.conf says the same.
        assert!(here("configs/no_credentials.conf").exists());
        return;
    }
    let output = forebay_turnd()
        .arg("import-coturn")
        .arg(file)
        .output()
        .expect("runs");
    let text = said(&output);
    assert!(!output.status.success(), "{text}");
    assert!(!text.contains("no such key"), "{text}");
    assert!(text.contains("REFUSED, the whole file"), "{text}");
}
