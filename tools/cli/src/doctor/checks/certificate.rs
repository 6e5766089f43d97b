//! The certificate of TLS and DTLS: readable, of one pair with its key, good
//! for the names in use, and for how long.

use std::net::IpAddr;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::sign::CertifiedKey;
use x509_cert::Certificate as X509;
use x509_cert::der::Decode;
use x509_cert::der::oid::ObjectIdentifier;
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;

use super::super::{Check, Finding, Scene};

/// Automatic renewal happens a month before the end, or later where the whole
/// life is short; with less than this it has failed.
const SOON_DAYS: i64 = 14;
const DAY: i64 = 24 * 3600;
/// id-ecPublicKey (RFC 5480 §2.1.1).
const ECDSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");

pub(super) struct Certificate;

impl Check for Certificate {
    fn name(&self) -> &'static str {
        "certificate"
    }

    fn look(&self, scene: &Scene) -> Vec<Finding> {
        let named = |key| scene.configuration.text("tls", key);
        let (Some(certificate), Some(key)) = (named("certificate"), named("key")) else {
            return vec![Finding::ok("neither TLS nor DTLS is configured")];
        };
        let locate = |name| scene.configuration.locate(&scene.host, name);
        match judge(scene, &locate(certificate), &locate(key)) {
            Ok(found) => found,
            Err(finding) => vec![finding],
        }
    }
}

fn judge(scene: &Scene, certificate: &Path, key: &Path) -> Result<Vec<Finding>, Finding> {
    let (shown, shown_key) = (certificate.display(), key.display());
    let unreadable = |path: &Path, error: &dyn std::fmt::Display| {
        Finding::failed(
            format!("{} cannot be read: {error}", path.display()),
            format!(
                "ls -l {}     (PEM, readable by the server's user)",
                path.display()
            ),
        )
    };
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(certificate)
        .and_then(Iterator::collect)
        .map_err(|error| unreadable(certificate, &error))?;
    let private = PrivateKeyDer::from_pem_file(key).map_err(|error| unreadable(key, &error))?;
    let Some(leaf) = chain.first() else {
        return Err(unreadable(certificate, &"it holds no certificate"));
    };
    let parsed = X509::from_der(leaf).map_err(|error| unreadable(certificate, &error))?;
    let content = parsed.tbs_certificate();

    let mut found = Vec::new();
    if std::fs::metadata(key).is_ok_and(|metadata| metadata.mode() & 0o007 != 0) {
        found.push(Finding::failed(
            format!("{shown_key} may be read by everyone on this host; the server refuses it"),
            format!("chmod o= {shown_key}"),
        ));
    }
    let pair = default_provider()
        .key_provider
        .load_private_key(private)
        .and_then(|private| CertifiedKey::new(chain.clone(), private).keys_match());
    if let Err(error) = pair {
        found.push(Finding::failed(
            format!("{shown_key} is not the key of {shown}: {error}"),
            "name the certificate and the key of one pair in [tls]",
        ));
    }
    found.push(age(&parsed, &shown.to_string()));
    found.extend(names(scene, leaf, &parsed, &shown.to_string()));
    let is_self_signed = content.issuer() == content.subject();
    if chain.len() == 1 && !is_self_signed {
        found.push(Finding::warning(
            format!("{shown} holds the server's certificate without the one it was issued by; many clients refuse that"),
            "name the full chain (certbot: fullchain.pem) as tls.certificate",
        ));
    }
    let is_ecdsa = content.subject_public_key_info().algorithm.oid == ECDSA;
    if !is_ecdsa && !scene.configuration.listeners("dtls").is_empty() {
        found.push(Finding::failed(
            "listen.dtls needs a certificate with an ECDSA key",
            "certbot renew --key-type ecdsa --force-renewal     (or remove listen.dtls)",
        ));
    }
    Ok(found)
}

fn age(certificate: &X509, shown: &str) -> Finding {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .ok()
        .and_then(|since| i64::try_from(since.as_secs()).ok())
        .unwrap_or(0);
    let validity = certificate.tbs_certificate().validity();
    let seconds = |time: x509_cert::time::Time| {
        i64::try_from(time.to_unix_duration().as_secs()).unwrap_or(i64::MAX)
    };
    let left = seconds(validity.not_after) - now;
    let renew = "certbot renew     (a renewed file is picked up by itself)";
    if seconds(validity.not_before) > now {
        Finding::failed(
            format!("{shown} is not valid yet"),
            "timedatectl     (is the clock right?)",
        )
    } else if left < 0 {
        Finding::failed(format!("{shown} ended {} days ago", -left / DAY), renew)
    } else if left < SOON_DAYS * DAY {
        Finding::warning(format!("{shown} ends in {} days", left / DAY), renew)
    } else {
        Finding::ok(format!("{shown} is good for {} more days", left / DAY))
    }
}

fn names(scene: &Scene, leaf: &CertificateDer<'_>, parsed: &X509, shown: &str) -> Vec<Finding> {
    let alternative = parsed
        .tbs_certificate()
        .get_extension::<SubjectAltName>()
        .ok()
        .flatten();
    let held: Vec<String> = alternative
        .iter()
        .flat_map(|(_, names)| &names.0)
        .filter_map(text)
        .collect();
    if held.is_empty() {
        return vec![Finding::failed(
            format!("{shown} names nobody (no subjectAltName); every client refuses it"),
            "certbot certonly -d NAME     (or openssl req … -addext subjectAltName=DNS:NAME)",
        )];
    }
    let configured = scene.configuration.list("tls", "names").unwrap_or_default();
    let mut wanted: Vec<&str> = scene.names.iter().map(String::as_str).collect();
    wanted.extend(configured.iter().filter(|name| !name.contains('*')));
    let entity = rustls::server::ParsedCertificate::try_from(leaf);
    let mut found = Vec::new();
    for name in &wanted {
        let is_good = match (&entity, ServerName::try_from(*name)) {
            (Ok(entity), Ok(name)) => rustls::client::verify_server_name(entity, &name).is_ok(),
            _ => false,
        };
        if !is_good {
            found.push(Finding::failed(
                format!(
                    "{shown} is not good for {name}; it is for {}",
                    held.join(", ")
                ),
                format!("certbot certonly -d {name}"),
            ));
        }
    }
    if found.is_empty() {
        let note = if wanted.is_empty() {
            " (--name NAME compares)"
        } else {
            ""
        };
        found.push(Finding::ok(format!("it is for {}{note}", held.join(", "))));
    }
    found
}

fn text(name: &GeneralName) -> Option<String> {
    match name {
        GeneralName::DnsName(name) => Some(name.to_string()),
        GeneralName::IpAddress(bytes) => {
            let bytes = bytes.as_bytes();
            let v4 = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
            let ip = v4.or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from));
            ip.ok().map(|ip| ip.to_string())
        }
        _ => None,
    }
}
