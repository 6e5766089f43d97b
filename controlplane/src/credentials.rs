//! TURN REST credentials: username `expiry:user`, password
//! base64(HMAC-SHA1(secret, username)).

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha1::Sha1;

/// Bytes of a user's name in a request.
pub const USER_MAX: usize = 64;

/// Why a user's name is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("user must be 1 to {USER_MAX} printable ASCII characters without colon or space")]
pub struct InvalidUser;

/// A user's name that needs no escaping in a username, log or label: printable
/// ASCII without the colon that ends the expiry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserName(String);

impl UserName {
    /// The name, if it is one.
    pub fn new(name: &str) -> Result<Self, InvalidUser> {
        let fine = |b: u8| b.is_ascii_graphic() && !matches!(b, b':' | b'"' | b'\\');
        if name.is_empty() || name.len() > USER_MAX || !name.bytes().all(fine) {
            return Err(InvalidUser);
        }
        Ok(Self(name.to_owned()))
    }

    /// For a request that names none: a name of its own, so that quotas per
    /// user do not lump strangers together.
    pub fn random() -> Result<Self, getrandom::Error> {
        let mut bytes = [0; 9];
        getrandom::fill(&mut bytes)?;
        Ok(Self(URL_SAFE_NO_PAD.encode(bytes)))
    }
}

/// What a client authenticates with.
#[derive(Clone, PartialEq, Eq)]
pub struct Credential {
    /// `expiry:user`.
    pub username: String,
    /// The password; itself a secret until the expiry.
    pub password: String,
    /// Seconds since the Unix epoch.
    pub expires_at: u64,
}

/// Makes the credential that `key` vouches for until `expires_at`.
pub fn sign(key: &[u8], user: &UserName, expires_at: u64) -> Credential {
    let username = format!("{expires_at}:{}", user.0);
    // HMAC takes a key of any length; the type cannot say so.
    let password = Hmac::<Sha1>::new_from_slice(key)
        .map(|mac| STANDARD.encode(mac.chain_update(&username).finalize().into_bytes()))
        .unwrap_or_default();
    Credential {
        username,
        password,
        expires_at,
    }
}
