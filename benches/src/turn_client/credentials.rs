//! Long-term credentials, given or made from a TURN REST secret.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use md5::{Digest as _, Md5};
use sha1::Sha1;

/// A username and its password.
#[derive(Clone)]
pub struct Credentials {
    username: String,
    password: String,
}

impl Credentials {
    /// As given.
    #[must_use]
    pub fn new(username: String, password: String) -> Self {
        Self { username, password }
    }

    /// Time-limited credentials of `user` under a TURN REST secret.
    ///
    /// # Errors
    /// When the clock stands before 1970.
    pub fn from_secret(secret: &[u8], user: &str, lifetime: Duration) -> Result<Self> {
        let expiry = (SystemTime::now() + lifetime)
            .duration_since(UNIX_EPOCH)
            .context("the clock is wrong")?
            .as_secs();
        let username = format!("{expiry}:{user}");
        let mut mac = Hmac::<Sha1>::new_from_slice(secret)?;
        mac.update(username.as_bytes());
        let password = STANDARD.encode(mac.finalize().into_bytes());
        Ok(Self { username, password })
    }

    /// The name shown to the server.
    #[must_use]
    pub fn username(&self) -> &str {
        &self.username
    }

    /// Key of MESSAGE-INTEGRITY in `realm` (RFC 8489 §9.2.2), ready to clone.
    pub(crate) fn key(&self, realm: &str) -> Result<Hmac<Sha1>> {
        let text = format!("{}:{realm}:{}", self.username, self.password);
        Ok(Hmac::<Sha1>::new_from_slice(&Md5::digest(text))?)
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("username", &self.username)
            .finish_non_exhaustive()
    }
}
