//! `forebay creds` against a second opinion on the TURN REST scheme.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};

fn creds(secret: &Path, more: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_forebay"))
        .arg("creds")
        .arg("--secret-file")
        .arg(secret)
        .args(more)
        .output()
        .expect("runs")
}

fn secret(content: &str, mode: u32) -> (tempfile::TempDir, std::path::PathBuf) {
    let directory = tempfile::tempdir().expect("temporary directory");
    let file = directory.path().join("secret");
    fs::write(&file, content).expect("written");
    fs::set_permissions(&file, fs::Permissions::from_mode(mode)).expect("mode set");
    (directory, file)
}

#[test]
fn the_password_is_the_mac_of_the_username() {
    let (_directory, file) = secret("north\n", 0o600);
    let output = creds(
        &file,
        &[
            "--user",
            "ann",
            "--ttl",
            "10m",
            "--host",
            "2001:db8::7",
            "--json",
        ],
    );
    assert!(output.status.success(), "{output:?}");
    let value: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let username = value["username"].as_str().expect("a username");
    let (expiry, user) = username.split_once(':').expect("expiry and user");
    assert_eq!(user, "ann");
    assert_eq!(value["ttl"], 600);
    assert_eq!(
        expiry.parse::<u64>().expect("a number"),
        value["expires_at"]
    );
    assert_eq!(value["uris"][0], "turn:[2001:db8::7]:3478?transport=udp");
    assert_eq!(value["iceServers"][0]["credential"], value["password"]);

    let mac = STANDARD
        .decode(value["password"].as_str().expect("a password"))
        .expect("base64");
    let mut expected = Hmac::<sha1::Sha1>::new_from_slice(b"north").expect("any length");
    expected.update(username.as_bytes());
    assert!(
        expected.verify_slice(&mac).is_ok(),
        "the newline is no part of the secret"
    );
}

#[test]
fn people_get_lines() {
    let (_directory, file) = secret("north", 0o600);
    let output = creds(&file, &["--host", "turn.example.org:5349"]);
    let text = String::from_utf8(output.stdout).expect("text");
    assert!(text.contains("expires   in 1h"), "{text}");
    assert!(
        text.contains("turn:turn.example.org:5349?transport=udp"),
        "{text}"
    );
    assert!(!text.contains("north"));
}

#[test]
fn a_secret_everyone_can_read_is_refused() {
    let (_directory, file) = secret("north", 0o644);
    let output = creds(&file, &[]);
    assert!(!output.status.success());
    let text = String::from_utf8(output.stderr).expect("text");
    assert!(text.contains("chmod 600"), "{text}");
}

#[test]
fn status_says_where_it_looked() {
    let output = Command::new(env!("CARGO_BIN_EXE_forebay"))
        .args(["status", "--socket", "/nonexistent/x.sock"])
        .output()
        .expect("runs");
    assert!(!output.status.success());
    let text = String::from_utf8(output.stderr).expect("text");
    assert!(
        text.contains("no data plane answers") && text.contains("/nonexistent/x.sock"),
        "{text}"
    );
}
