//! The certificate in use, and its successor when the files change.

use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use dimpl::DtlsCertificate;
use rustls::SignatureAlgorithm;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tracing::{error, info, warn};
use x509_cert::Certificate as X509;
use x509_cert::der::Decode;
use zeroize::Zeroize;

use super::tally::Tally;
use crate::config::{CertificateFiles, CredentialsError, Pem, Settings};
use crate::node::unix_seconds;

/// Seconds of a day.
const DAY: u64 = 24 * 3600;
/// How long before its end the log begins to warn.
const SOON: u64 = 7 * DAY;

/// A certificate that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// A file cannot be used.
    #[error(transparent)]
    File(#[from] CredentialsError),
    /// What the files hold does not fit.
    #[error("{file}: {message}", file = file.display())]
    Content {
        /// The file at fault.
        file: std::path::PathBuf,
        /// What is wrong and what to do.
        message: String,
    },
}

/// A certificate chain with its private key.
pub struct Pair {
    certified: Arc<CertifiedKey>,
    dtls: Option<Identity>,
    not_after: u64,
}

/// What DTLS needs of a pair.
pub(super) struct Identity(DtlsCertificate);

impl Identity {
    pub(super) fn certificate(&self) -> DtlsCertificate {
        self.0.clone()
    }
}

impl Drop for Identity {
    fn drop(&mut self) {
        self.0.private_key.zeroize();
    }
}

impl Pair {
    /// Checks that the two belong together and can be used; `dtls`: for DTLS
    /// as well.
    ///
    /// # Errors
    /// Which file is at fault, and why.
    pub fn new(pem: &Pem, files: &CertificateFiles, dtls: bool) -> Result<Self, CertificateError> {
        let of_certificate = |message: String| CertificateError::Content {
            file: files.certificate.clone(),
            message,
        };
        let of_key = |message: String| CertificateError::Content {
            file: files.key.clone(),
            message,
        };
        let chain = CertificateDer::pem_slice_iter(&pem.chain)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| of_certificate(format!("is not PEM: {error}")))?;
        let Some(leaf) = chain.first().cloned() else {
            return Err(of_certificate(
                "holds no certificate; it must be PEM, -----BEGIN CERTIFICATE-----".to_owned(),
            ));
        };
        let key = PrivateKeyDer::from_pem_slice(&pem.key).map_err(|_| {
            of_key(
                "holds no private key that can be read; it must be PEM and not be encrypted"
                    .to_owned(),
            )
        })?;
        let not_after = X509::from_der(&leaf)
            .map_err(|error| of_certificate(format!("the first certificate is broken: {error}")))?
            .tbs_certificate()
            .validity()
            .not_after
            .to_unix_duration()
            .as_secs();
        let der = key.clone_key();
        // As DTLS takes it: one after another.
        let whole: Vec<u8> = chain.iter().flat_map(|one| one.iter().copied()).collect();
        let certified = CertifiedKey::from_der(chain, key, &default_provider()).map_err(
            |error| match error {
                rustls::Error::InconsistentKeys(_) => of_key(format!(
                    "is not the key of the first certificate in {}",
                    files.certificate.display()
                )),
                other => of_key(format!("cannot be used: {other}")),
            },
        )?;
        let identity = identity(whole, &der, &certified);
        if dtls && identity.is_none() {
            return Err(of_key(
                "DTLS needs an ECDSA key on P-256 or P-384; order a certificate for one (certbot: --key-type ecdsa), \
                 or leave listen.dtls out"
                    .to_owned(),
            ));
        }
        Ok(Self {
            certified: Arc::new(certified),
            dtls: identity,
            not_after,
        })
    }

    /// When the leaf ends, seconds since the Unix epoch.
    pub fn not_after(&self) -> u64 {
        self.not_after
    }

    /// Whole days until then; negative when it is over.
    pub fn days_left(&self) -> i64 {
        days_left(self.not_after)
    }

    pub(super) fn dtls(&self) -> Option<&Identity> {
        self.dtls.as_ref()
    }
}

/// Whole days until a moment; negative when it is over.
pub(crate) fn days_left(not_after: u64) -> i64 {
    let signed = |seconds: u64| i64::try_from(seconds).unwrap_or(i64::MAX);
    (signed(not_after) - signed(unix_seconds())).div_euclid(signed(DAY))
}

fn identity(chain: Vec<u8>, key: &PrivateKeyDer<'_>, certified: &CertifiedKey) -> Option<Identity> {
    if certified.key.algorithm() != SignatureAlgorithm::ECDSA {
        return None;
    }
    let provider = dimpl::crypto::aws_lc_rs::default_provider();
    provider
        .key_provider
        .load_private_key(key.secret_der())
        .ok()?;
    Some(Identity(DtlsCertificate {
        certificate: chain,
        private_key: key.secret_der().to_vec(),
    }))
}

/// The pair in use, and what is on disk.
pub struct Certificates {
    current: RwLock<Arc<Pair>>,
    disk: Mutex<Disk>,
    dtls: bool,
    tally: Arc<Tally>,
}

struct Disk {
    files: CertificateFiles,
    /// What is in use.
    used: Pem,
    /// What was found unusable, or is not looked at twice yet.
    other: Option<Other>,
}

enum Other {
    /// Certificate and key are two files, replaced one after the other: a new
    /// pair is taken when it is the same at the next look.
    Fresh(Pem),
    /// Told in the log already.
    Broken(Option<Pem>),
}

impl Certificates {
    /// Loads the pair.
    ///
    /// # Errors
    /// Why it cannot be used.
    pub fn load(
        files: CertificateFiles,
        dtls: bool,
        tally: Arc<Tally>,
    ) -> Result<Self, CertificateError> {
        let used = files.read()?;
        let pair = Pair::new(&used, &files, dtls)?;
        let certificates = Self {
            current: RwLock::new(Arc::new(pair)),
            disk: Mutex::new(Disk {
                files,
                used,
                other: None,
            }),
            dtls,
            tally,
        };
        certificates.tell(&certificates.current());
        Ok(certificates)
    }

    /// The pair that the settings name, if they do; `config_file` is where
    /// relative names start when they are not systemd credentials.
    ///
    /// # Errors
    /// Why it cannot be used.
    pub fn of(
        settings: &Settings,
        config_file: &Path,
    ) -> Result<Option<Arc<Self>>, CertificateError> {
        let Some(files) = CertificateFiles::of(&settings.tls, config_file) else {
            return Ok(None);
        };
        let dtls = !settings.listen.dtls.is_empty();
        Self::load(files, dtls, Arc::default()).map(|loaded| Some(Arc::new(loaded)))
    }

    /// Where it counts.
    pub(super) fn tally(&self) -> &Arc<Tally> {
        &self.tally
    }

    /// The pair in use.
    pub fn current(&self) -> Arc<Pair> {
        let guard = self.current.read().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&guard)
    }

    /// A look at the files, to be had every few seconds: takes a changed pair
    /// once it is the same twice.
    pub fn look(&self) {
        let mut disk = self.disk.lock().unwrap_or_else(PoisonError::into_inner);
        let found = disk.files.read();
        match (found, disk.other.take()) {
            (Ok(pem), _) if pem == disk.used => self.sound(),
            (Ok(pem), Some(Other::Broken(Some(known)))) if pem == known => {
                disk.other = Some(Other::Broken(Some(known)));
            }
            (Ok(pem), Some(Other::Fresh(known))) if pem == known => {
                let _ = self.take(&mut disk, pem);
            }
            (Ok(pem), _) => disk.other = Some(Other::Fresh(pem)),
            (Err(_), Some(Other::Broken(None))) => disk.other = Some(Other::Broken(None)),
            (Err(error), _) => {
                self.broken(&CertificateError::File(error));
                disk.other = Some(Other::Broken(None));
            }
        }
    }

    /// Takes what is on disk at once, from these files from now on.
    ///
    /// # Errors
    /// Why it cannot be used; the old pair stays, and so do the old names.
    pub fn reload(&self, files: CertificateFiles) -> Result<(), CertificateError> {
        let mut disk = self.disk.lock().unwrap_or_else(PoisonError::into_inner);
        let pem = match files.read() {
            Ok(pem) => pem,
            Err(error) => {
                let error = CertificateError::File(error);
                self.broken(&error);
                disk.other = Some(Other::Broken(None));
                return Err(error);
            }
        };
        let before = std::mem::replace(&mut disk.files, files);
        let taken = self.take(&mut disk, pem);
        if taken.is_err() {
            disk.files = before;
        }
        taken
    }

    fn take(&self, disk: &mut Disk, pem: Pem) -> Result<(), CertificateError> {
        match Pair::new(&pem, &disk.files, self.dtls) {
            Ok(pair) => {
                let pair = Arc::new(pair);
                let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
                *current = Arc::clone(&pair);
                drop(current);
                disk.used = pem;
                disk.other = None;
                self.sound();
                self.tell(&pair);
                Ok(())
            }
            Err(error) => {
                self.broken(&error);
                disk.other = Some(Other::Broken(Some(pem)));
                Err(error)
            }
        }
    }

    fn sound(&self) {
        self.tally.certificate_broken.store(0, Ordering::Relaxed);
    }

    fn broken(&self, error: &CertificateError) {
        self.tally.certificate_broken.store(1, Ordering::Relaxed);
        error!("the certificate cannot be renewed, the old one stays in use: {error}");
    }

    fn tell(&self, pair: &Pair) {
        Tally::add(&self.tally.certificates);
        self.tally
            .certificate_not_after
            .store(pair.not_after, Ordering::Relaxed);
        let days = pair.days_left();
        if pair.not_after <= unix_seconds() {
            warn!("the certificate in use is over: clients will refuse it; renew it");
        } else if pair.not_after <= unix_seconds() + SOON {
            warn!("the certificate in use ends in {days} days; renew it");
        } else {
            info!("certificate in use, good for {days} days");
        }
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.current().certified))
    }
}

impl std::fmt::Debug for Certificates {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Certificates").finish_non_exhaustive()
    }
}
