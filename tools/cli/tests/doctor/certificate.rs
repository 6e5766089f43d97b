//! The certificate, made by OpenSSL.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use super::{Tree, expect};

/// A configuration with TLS, and a certificate of this many days for this
/// name, in the tree.
fn with_certificate(days: &str, name: &str) -> Tree {
    let tree = Tree::new();
    tree.write(
        "etc/forebay/turnd.toml",
        "[listen]\nudp = [\"198.51.100.5:3478\"]\n[tls]\ncertificate = \"tls.crt\"\nkey = \"/etc/forebay/tls.key\"\n",
    );
    make(&tree, "tls", days, name);
    tree
}

fn make(tree: &Tree, file: &str, days: &str, name: &str) {
    let folder = tree.path().join("etc/forebay");
    let key = folder.join(format!("{file}.key"));
    let made = Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
        ])
        .args(["-nodes", "-subj", "/CN=ignored", "-days", days])
        .args(["-addext", &format!("subjectAltName={name}")])
        .arg("-keyout")
        .arg(&key)
        .arg("-out")
        .arg(folder.join(format!("{file}.crt")))
        .output()
        .expect("install openssl");
    assert!(
        made.status.success(),
        "{}",
        String::from_utf8_lossy(&made.stderr)
    );
    fs::set_permissions(key, fs::Permissions::from_mode(0o600)).expect("mode set");
}

#[test]
fn days_and_names_are_told() {
    let tree = with_certificate(
        "90",
        "DNS:turn.example.org,DNS:*.relay.example.org,IP:198.51.100.5",
    );
    let found = tree.found(&[]);
    expect(&found, "certificate", "ok", " more days", "");
    expect(
        &found,
        "certificate",
        "ok",
        "turn.example.org, *.relay.example.org, 198.51.100.5",
        "",
    );
    for good in ["turn.example.org", "a.relay.example.org", "198.51.100.5"] {
        expect(
            &tree.found(&["--name", good]),
            "certificate",
            "ok",
            "it is for",
            "",
        );
    }
    for bad in ["example.org", "a.b.relay.example.org", "198.51.100.6"] {
        expect(
            &tree.found(&["--name", bad]),
            "certificate",
            "failed",
            &format!("is not good for {bad}"),
            bad,
        );
    }
}

#[test]
fn the_end_is_announced() {
    let tree = with_certificate("5", "DNS:turn.example.org");
    expect(
        &tree.found(&[]),
        "certificate",
        "warning",
        "tls.crt ends in ",
        "certbot renew",
    );
}

#[test]
fn another_pairs_key_a_public_key_file_and_a_missing_file_fail() {
    let tree = with_certificate("90", "DNS:turn.example.org");
    let key = tree.path().join("etc/forebay/tls.key");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).expect("mode set");
    expect(
        &tree.found(&[]),
        "certificate",
        "failed",
        "read by everyone",
        "chmod o=",
    );

    make(&tree, "other", "90", "DNS:turn.example.org");
    fs::copy(tree.path().join("etc/forebay/other.key"), &key).expect("copied");
    expect(
        &tree.found(&[]),
        "certificate",
        "failed",
        "is not the key of",
        "one pair",
    );

    fs::write(&key, "no key").expect("written");
    expect(
        &tree.found(&[]),
        "certificate",
        "failed",
        "cannot be read",
        "ls -l",
    );
    fs::remove_file(tree.path().join("etc/forebay/tls.crt")).expect("removed");
    expect(
        &tree.found(&[]),
        "certificate",
        "failed",
        "tls.crt cannot be read",
        "ls -l",
    );
}

#[test]
fn dtls_needs_ecdsa() {
    let tree = with_certificate("90", "DNS:turn.example.org");
    let folder = tree.path().join("etc/forebay");
    tree.write(
        "etc/forebay/turnd.toml",
        "[listen]\nudp = [\"198.51.100.5:3478\"]\ndtls = [\"198.51.100.5:5349\"]\n[tls]\ncertificate = \"tls.crt\"\nkey = \"tls.key\"\n",
    );
    let says = "needs a certificate with an ECDSA key";
    assert!(
        tree.found(&[])
            .iter()
            .all(|finding| !finding.seen.contains(says))
    );
    let made = Command::new("openssl")
        .args([
            "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=x", "-days", "90",
        ])
        .args(["-addext", "subjectAltName=DNS:turn.example.org"])
        .arg("-keyout")
        .arg(folder.join("tls.key"))
        .arg("-out")
        .arg(folder.join("tls.crt"))
        .output()
        .expect("install openssl");
    assert!(made.status.success());
    expect(&tree.found(&[]), "certificate", "failed", says, "ecdsa");
}
