//! Certificates of an authority: clients know its root alone, so everything
//! between must come from the server.

use std::process::{Command, Stdio};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, PKCS_ECDSA_P256_SHA256,
    PKCS_ECDSA_P384_SHA384, PKCS_RSA_SHA256, SignatureAlgorithm,
};

use crate::server::{installed, told};
use crate::{NAME, Place, Running};

fn authority(name: &str) -> CertificateParams {
    let mut params = CertificateParams::new(Vec::new()).expect("parameters");
    params
        .distinguished_name
        .push(rcgen::DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params
}

/// Writes `root.crt`, which is for the client, and the server's pair: its own
/// certificate with a key of some kind, and two between it and the root.
fn write_chain(place: &Place, kind: &'static SignatureAlgorithm) {
    let key = |kind| KeyPair::generate_for(kind).expect("a key");
    // Authorities often sign with RSA, whatever the server has.
    let root = CertifiedIssuer::self_signed(authority("root"), key(&PKCS_RSA_SHA256));
    let root = root.expect("a root");
    let upper = CertifiedIssuer::signed_by(authority("upper"), key(&PKCS_RSA_SHA256), &root);
    let upper = upper.expect("a certificate");
    let lower =
        CertifiedIssuer::signed_by(authority("lower"), key(&PKCS_ECDSA_P384_SHA384), &upper);
    let lower = lower.expect("a certificate");
    let own = key(kind);
    let leaf = CertificateParams::new(vec![NAME.to_owned()])
        .and_then(|params| params.signed_by(&own, &lower))
        .expect("a certificate");
    let chain = [leaf.pem(), lower.pem(), upper.pem()].concat();
    place.setup.write("tls.crt", &chain, 0o644);
    place.setup.write("tls.key", &own.serialize_pem(), 0o600);
    place.setup.write("root.crt", &root.pem(), 0o644);
}

/// What openssl, which trusts the root alone, says about the server.
fn verified(running: &Running, port: u16, version: &str) -> String {
    let output = installed(
        Command::new("timeout")
            .args(["15", "openssl", "s_client", version, "-showcerts"])
            .args(["-verify_hostname", NAME, "-verify_return_error", "-CAfile"])
            .arg(running.server.setup.path("root.crt"))
            .args(["-connect", &format!("{}:{port}", running.ip)])
            .stdin(Stdio::null())
            .output(),
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn holds(told: &str) -> bool {
    told.contains("Verify return code: 0 (ok)")
        && told.matches("-----BEGIN CERTIFICATE-----").count() >= 3
}

#[test]
fn the_whole_chain_is_sent() {
    for kind in [&PKCS_ECDSA_P256_SHA256, &PKCS_ECDSA_P384_SHA384] {
        let place = Place::new();
        write_chain(&place, kind);
        let running = place.start("", "");
        for (port, version) in [
            (running.tls, "-tls1_2"),
            (running.tls, "-tls1_3"),
            (running.dtls, "-dtls1_2"),
        ] {
            let told = verified(&running, port, version);
            assert!(holds(&told), "{version}: {told}\n{}", running.server.log());
        }
    }
}

/// Over TLS RSA is as good; DTLS says before the start what it needs.
#[test]
fn rsa_keys_are_for_tls() {
    let place = Place::new();
    write_chain(&place, &PKCS_RSA_SHA256);
    place.write("", "");
    let refused = place.setup.run(&["--check"]);
    assert!(
        told(&refused).contains("DTLS needs an ECDSA key"),
        "{}",
        told(&refused)
    );
    let config = std::fs::read_to_string(place.setup.path("turnd.toml")).expect("read");
    let without: String = config
        .lines()
        .filter(|line| !line.starts_with("dtls = "))
        .flat_map(|line| [line, "\n"])
        .collect();
    place.setup.write("turnd.toml", &without, 0o644);
    let running = place.run();
    for version in ["-tls1_2", "-tls1_3"] {
        let told = verified(&running, running.tls, version);
        assert!(holds(&told), "{version}: {told}\n{}", running.server.log());
    }
}
