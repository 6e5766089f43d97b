//! Our certificates.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use dimpl::DtlsCertificate;
use dimpl::certificate::generate_self_signed_certificate;
use zeroize::Zeroize;

/// How long one certificate is given to new sessions.
const LIFETIME: Duration = Duration::from_secs(7 * 24 * 3600);

/// A certificate could not be made.
#[derive(Debug, thiserror::Error)]
#[error("cannot make a DTLS certificate: {0}")]
pub struct CertificateError(#[from] dimpl::certificate::CertificateError);

/// The SHA-256 of a certificate (RFC 8122 §5).
pub type Fingerprint = [u8; 32];

/// An ECDSA P-256 key with its self-signed certificate.
pub struct Identity {
    certificate: DtlsCertificate,
    fingerprint: Fingerprint,
    made: Instant,
}

impl Identity {
    /// Makes one.
    ///
    /// # Errors
    /// When the system has no randomness, or the library refuses.
    pub fn new(now: Instant) -> Result<Self, CertificateError> {
        let certificate = generate_self_signed_certificate()?;
        Ok(Self {
            fingerprint: fingerprint(&certificate.certificate),
            certificate,
            made: now,
        })
    }

    /// SHA-256 of the certificate.
    pub fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    pub(super) fn certificate(&self) -> DtlsCertificate {
        self.certificate.clone()
    }
}

impl Drop for Identity {
    fn drop(&mut self) {
        self.certificate.private_key.zeroize();
    }
}

/// Of a certificate in DER.
pub(super) fn fingerprint(der: &[u8]) -> Fingerprint {
    let mut fingerprint = [0; 32];
    fingerprint.copy_from_slice(&dimpl::certificate::calculate_fingerprint(der));
    fingerprint
}

/// The identity new sessions get. Those that have one keep it.
pub(super) struct Identities(RwLock<Arc<Identity>>);

impl Identities {
    pub(super) fn new(now: Instant) -> Result<Self, CertificateError> {
        Ok(Self(RwLock::new(Arc::new(Identity::new(now)?))))
    }

    pub(super) fn current(&self) -> Arc<Identity> {
        let guard = self.0.read().unwrap_or_else(PoisonError::into_inner);
        guard.clone()
    }

    /// Makes a new one when the current is a week old.
    pub(super) fn renew(&self, now: Instant) -> Result<Option<Fingerprint>, CertificateError> {
        if now.duration_since(self.current().made) < LIFETIME {
            return Ok(None);
        }
        let identity = Arc::new(Identity::new(now)?);
        let fingerprint = identity.fingerprint();
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = identity;
        Ok(Some(fingerprint))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_week_old_identity_is_replaced_for_new_sessions() {
        let start = Instant::now();
        let identities = Identities::new(start).expect("a certificate");
        let first = identities.current();
        let almost = start + LIFETIME - Duration::from_secs(1);
        assert_eq!(identities.renew(almost).expect("a certificate"), None);
        assert_eq!(identities.current().fingerprint(), first.fingerprint());

        let renewed = identities.renew(start + LIFETIME).expect("a certificate");
        assert_eq!(renewed, Some(identities.current().fingerprint()));
        assert_ne!(renewed, Some(first.fingerprint()));
        // A session that has the first still can show it.
        assert_eq!(
            fingerprint(&first.certificate().certificate),
            first.fingerprint()
        );
    }
}
