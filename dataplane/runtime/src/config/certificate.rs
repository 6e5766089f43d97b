//! The certificate's files.

use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::credentials::{CredentialsError, locate, read, read_private};
use super::settings::Tls;

/// Where certificate chain and private key lie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateFiles {
    /// The chain, PEM, leaf first.
    pub certificate: PathBuf,
    /// The private key, PEM.
    pub key: PathBuf,
}

/// What the two files hold.
#[derive(Clone, PartialEq, Eq)]
pub struct Pem {
    /// The chain.
    pub chain: Zeroizing<Vec<u8>>,
    /// The key.
    pub key: Zeroizing<Vec<u8>>,
}

impl CertificateFiles {
    /// The files that `[tls]` names, if it does; relative names as for
    /// secrets.
    pub fn of(tls: &Tls, config_file: &Path) -> Option<Self> {
        let (certificate, key) = (tls.certificate.as_ref()?, tls.key.as_ref()?);
        Some(Self {
            certificate: locate(certificate, config_file),
            key: locate(key, config_file),
        })
    }

    /// Reads both.
    ///
    /// # Errors
    /// When one cannot be read, or the key by everyone.
    pub fn read(&self) -> Result<Pem, CredentialsError> {
        Ok(Pem {
            chain: read(&self.certificate, false)?,
            key: read_private(&self.key)?,
        })
    }
}

impl std::fmt::Debug for Pem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pem").finish_non_exhaustive()
    }
}
