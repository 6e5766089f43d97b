//! Renewal of the certificate while the server runs.

use std::fs;
use std::process::{Command, Stdio};

use nix::sys::signal::Signal;

use crate::server::{installed, told, wait_for};
use crate::{Place, Running};

/// Who issued what the server shows.
fn shown(running: &Running, arguments: &[&str], port: u16) -> String {
    let output = installed(
        Command::new("timeout")
            .args(["15", "openssl", "s_client", "-connect"])
            .arg(format!("{}:{port}", running.ip))
            .args(arguments)
            .stdin(Stdio::null())
            .output(),
    );
    let text = String::from_utf8_lossy(&output.stdout);
    let issuer = text
        .lines()
        .find_map(|line| line.strip_prefix("issuer=O = "));
    issuer
        .unwrap_or("")
        .split(',')
        .next()
        .unwrap_or("")
        .to_owned()
}

fn shows(running: &Running, name: &str) -> bool {
    shown(running, &[], running.tls) == name && shown(running, &["-dtls1_2"], running.dtls) == name
}

fn exchange(running: &Running, certificate: &str, key: &str) {
    let setup = &running.server.setup;
    fs::copy(setup.path(certificate), setup.path("tls.crt")).expect("copied");
    fs::copy(setup.path(key), setup.path("tls.key")).expect("copied");
}

#[test]
fn a_renewed_pair_is_used_and_a_broken_one_is_not() {
    let place = Place::new();
    place.make_certificate("two.crt", "two.key", "second");
    place.make_certificate("three.crt", "three.key", "third");
    let running = place.start("", "");
    assert!(shows(&running, "first"), "{}", running.server.log());
    // Valid for ninety days, some seconds of which may have passed.
    assert!([89.0, 90.0].contains(&running.counted("forebay_certificate_days_left")));

    exchange(&running, "two.crt", "two.key");
    assert!(
        wait_for(|| shows(&running, "second")),
        "{}",
        running.server.log()
    );
    assert_eq!(running.counted("forebay_certificates_loaded_total"), 2.0);

    // Halves of two pairs.
    exchange(&running, "three.crt", "two.key");
    let broken = "forebay_certificate_broken";
    assert!(wait_for(|| running.counted(broken) == 1.0));
    assert!(
        running
            .server
            .says("is not the key of the first certificate")
    );
    fs::write(running.server.setup.path("tls.crt"), "nonsense").expect("written");
    assert!(running.server.says("holds no certificate"));
    assert!(shows(&running, "second"));
    // Each once, however often it is looked at.
    std::thread::sleep(std::time::Duration::from_secs(5));
    assert_eq!(running.server.log().matches("the old one stays").count(), 2);

    exchange(&running, "three.crt", "three.key");
    running.server.signal(Signal::SIGHUP);
    assert!(
        wait_for(|| shows(&running, "third")),
        "{}",
        running.server.log()
    );
    assert_eq!(running.counted(broken), 0.0);
}

#[test]
fn what_cannot_be_used_is_told_before_the_start() {
    let place = Place::new();
    place.write("", "");
    let check = || place.setup.run(&["--check"]);
    let output = check();
    assert!(output.status.success(), "{}", told(&output));
    let lines = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(lines.contains("certificate good for "), "{lines}");
    assert!(lines.contains(&format!(
        "listens on tls {}:{}",
        place.setup.address, place.tls
    )));

    place.setup.write("tls.key", "", 0o604);
    assert!(told(&check()).contains("chmod 600"));
    let rsa = Command::new("openssl")
        .args([
            "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "9",
        ])
        .args(["-subj", "/CN=localhost", "-keyout"])
        .arg(place.setup.path("tls.key"))
        .arg("-out")
        .arg(place.setup.path("tls.crt"))
        .output();
    assert!(installed(rsa).status.success());
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    fs::set_permissions(place.setup.path("tls.key"), mode).expect("mode set");
    let output = check();
    assert!(
        told(&output).contains("DTLS needs an ECDSA key"),
        "{}",
        told(&output)
    );
    assert!(!output.status.success());
}
