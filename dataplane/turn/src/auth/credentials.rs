//! Who may allocate.

use core::hash::Hasher;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use forebay_wire::clock::UnixSeconds;
use forebay_wire::stun::Integrity;
use siphasher::sip128::{Hasher128, SipHasher24};
use zeroize::Zeroizing;

use crate::config::{Credentials, Secret};

use super::key::{Key, hmac_sha1};

/// A REST username may not expire further ahead than this. Longer-lived
/// credentials are almost always a mistake of milliseconds for seconds, and a
/// leaked one could not be waited out.
const FURTHEST_EXPIRY: u64 = 48 * 3600;

/// Stands for a username where it is compared or counted: a keyed 128-bit
/// hash, so that tables hold 16 bytes instead of up to 508.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct UserTag(u128);

impl UserTag {
    pub(crate) const fn bits(self) -> u128 {
        self.0
    }
}

/// Credentials made ready for checking.
pub(super) struct Book {
    secrets: Vec<Secret>,
    users: hashbrown::HashMap<Box<[u8]>, Key, foldhash::fast::FixedState>,
    tag_key: [u8; 16],
    realm: Box<[u8]>,
}

/// A username of the REST scheme: `expiry` or `expiry:user`.
struct Rest<'u> {
    expiry: u64,
    /// What comes after the expiry; the whole username when nothing does.
    user: &'u [u8],
}

impl<'u> Rest<'u> {
    fn parse(username: &'u [u8]) -> Option<Self> {
        let colon = username.iter().position(|&byte| byte == b':');
        let digits = &username[..colon.unwrap_or(username.len())];
        if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
            return None;
        }
        let expiry = core::str::from_utf8(digits).ok()?.parse().ok()?;
        Some(Self {
            expiry,
            user: colon.map_or(username, |colon| &username[colon + 1..]),
        })
    }

    fn is_current(&self, now: UnixSeconds) -> bool {
        now.0 < self.expiry && self.expiry - now.0 <= FURTHEST_EXPIRY
    }
}

impl Book {
    pub(super) fn new(realm: &str, tag_key: [u8; 16], hash_key: u64) -> Self {
        Self {
            secrets: Vec::new(),
            users: hashbrown::HashMap::with_hasher(foldhash::fast::FixedState::with_seed(hash_key)),
            tag_key,
            realm: realm.as_bytes().into(),
        }
    }

    pub(super) fn replace(&mut self, credentials: &Credentials) {
        self.secrets.clone_from(&credentials.secrets);
        self.users.clear();
        for user in &credentials.users {
            let name = user.name.as_bytes();
            self.users.insert(
                name.into(),
                Key::derive(name, &self.realm, user.password.as_bytes()),
            );
        }
    }

    pub(super) fn tag(&self, username: &[u8]) -> UserTag {
        let mut hasher = SipHasher24::new_with_key(&self.tag_key);
        hasher.write(username);
        UserTag(hasher.finish128().as_u128())
    }

    /// Whom an allocation of this username is counted to.
    pub(super) fn account(&self, username: &[u8]) -> UserTag {
        if self.users.contains_key(username) {
            return self.tag(username);
        }
        self.tag(Rest::parse(username).map_or(username, |rest| rest.user))
    }

    /// The key that a message of this user was made with. A static user's
    /// password is tried first, then every secret in order.
    pub(super) fn verify(
        &self,
        now: UnixSeconds,
        username: &[u8],
        integrity: &Integrity<'_>,
    ) -> Option<Key> {
        if let Some(key) = self
            .users
            .get(username)
            .filter(|key| key.verifies(integrity))
        {
            return Some(key.clone());
        }
        Rest::parse(username).filter(|rest| rest.is_current(now))?;
        self.secrets
            .iter()
            .filter(|secret| secret.not_after.is_none_or(|last| now <= last))
            .map(|secret| self.rest_key(secret, username))
            .find(|key| key.verifies(integrity))
    }

    fn rest_key(&self, secret: &Secret, username: &[u8]) -> Key {
        let mac = Zeroizing::new(hmac_sha1(&secret.key, &[username]));
        // 20 bytes are 28 base64 digits with one of padding.
        let mut password = Zeroizing::new([0; 28]);
        let len = STANDARD
            .encode_slice(mac.as_slice(), password.as_mut_slice())
            .unwrap_or(0);
        Key::derive(username, &self.realm, &password[..len])
    }
}
