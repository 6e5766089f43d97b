//! Who may allocate.

use core::hash::Hasher;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use forebay_wire::clock::UnixSeconds;
use siphasher::sip128::{Hasher128, SipHasher24};
use zeroize::Zeroizing;

use crate::config::{Credentials, PasswordAlgorithm, Secret};

use super::failures::Failure;
use super::key::{Key, Seal, hmac_sha1, userhash};

/// A REST username may not expire further ahead than this. Longer-lived
/// credentials are almost always a mistake of milliseconds for seconds, and a
/// leaked one could not be waited out.
const FURTHEST_EXPIRY: u64 = 48 * 3600;

/// Stands for a username where it is compared or counted: a keyed 128-bit hash
/// of its USERHASH, so that tables hold 16 bytes instead of up to 508 and a
/// user is the same by either attribute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct UserTag(u128);

impl UserTag {
    pub(crate) const fn bits(self) -> u128 {
        self.0
    }
}

/// How a request names its user.
#[derive(Debug, Clone, Copy)]
pub(super) enum Who<'m> {
    /// USERNAME.
    Name(&'m [u8]),
    /// USERHASH.
    Hash(&'m [u8; 32]),
}

/// Credentials made ready for checking.
pub(super) struct Book {
    secrets: Vec<Secret>,
    users: Vec<StaticUser>,
    by_name: hashbrown::HashMap<Box<[u8]>, u32, foldhash::fast::FixedState>,
    by_hash: hashbrown::HashMap<[u8; 32], u32, foldhash::fast::FixedState>,
    tag_key: [u8; 16],
    realm: Box<[u8]>,
}

struct StaticUser {
    name: Box<[u8]>,
    md5: Key,
    sha256: Key,
}

/// A credential that holds.
pub(super) struct Verified {
    pub(super) key: Key,
    /// When its username expires.
    pub(super) until: Option<UnixSeconds>,
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

    fn is_current(&self, now: UnixSeconds) -> Result<(), Failure> {
        match self.expiry.checked_sub(now.0) {
            None | Some(0) => Err(Failure::Expired {
                ago: now.0 - self.expiry,
            }),
            Some(ahead) if ahead > FURTHEST_EXPIRY => Err(Failure::TooFarAhead { ahead }),
            Some(_) => Ok(()),
        }
    }
}

impl Book {
    pub(super) fn new(realm: &str, tag_key: [u8; 16], hash_key: u64) -> Self {
        let state = foldhash::fast::FixedState::with_seed(hash_key);
        Self {
            secrets: Vec::new(),
            users: Vec::new(),
            by_name: hashbrown::HashMap::with_hasher(state.clone()),
            by_hash: hashbrown::HashMap::with_hasher(state),
            tag_key,
            realm: realm.as_bytes().into(),
        }
    }

    pub(super) fn replace(&mut self, credentials: &Credentials) {
        self.secrets.clone_from(&credentials.secrets);
        self.users.clear();
        self.by_name.clear();
        self.by_hash.clear();
        for (slot, user) in (0_u32..).zip(&credentials.users) {
            let (name, password) = (user.name.as_bytes(), user.password.as_bytes());
            let key = |algorithm| Key::derive(algorithm, name, &self.realm, password);
            self.by_name.insert(name.into(), slot);
            self.by_hash.insert(self.userhash(Who::Name(name)), slot);
            self.users.push(StaticUser {
                name: name.into(),
                md5: key(PasswordAlgorithm::Md5),
                sha256: key(PasswordAlgorithm::Sha256),
            });
        }
    }

    /// Whether every user can be found by its hash. A REST username is made up
    /// by whoever has the secret: it cannot be known beforehand.
    pub(super) fn knows_every_user(&self) -> bool {
        self.secrets.is_empty() && !self.users.is_empty()
    }

    pub(super) fn userhash(&self, who: Who<'_>) -> [u8; 32] {
        match who {
            Who::Name(name) => userhash(name, &self.realm),
            Who::Hash(hash) => *hash,
        }
    }

    pub(super) fn tag(&self, userhash: &[u8; 32]) -> UserTag {
        let mut hasher = SipHasher24::new_with_key(&self.tag_key);
        hasher.write(userhash);
        UserTag(hasher.finish128().as_u128())
    }

    /// The username; `None` where it is known by its hash alone.
    pub(super) fn name<'b>(&'b self, who: Who<'b>) -> Option<&'b [u8]> {
        match who {
            Who::Name(name) => Some(name),
            Who::Hash(_) => self.user(who).map(|user| &*user.name),
        }
    }

    fn user(&self, who: Who<'_>) -> Option<&StaticUser> {
        let slot = match who {
            Who::Name(name) => self.by_name.get(name),
            Who::Hash(hash) => self.by_hash.get(hash),
        };
        self.users.get(*slot? as usize)
    }

    /// Whom an allocation of this user is counted to.
    pub(super) fn account(&self, who: Who<'_>) -> UserTag {
        let named = match (self.user(who), who) {
            (None, Who::Name(name)) => Rest::parse(name).map(|rest| Who::Name(rest.user)),
            _ => None,
        };
        self.tag(&self.userhash(named.unwrap_or(who)))
    }

    /// The key that a message of this user was made with. A static user's
    /// password is tried first, then every secret in order. Whether the
    /// username has expired is asked last, so that a guess does not count as a
    /// credential.
    pub(super) fn verify(
        &self,
        now: UnixSeconds,
        who: Who<'_>,
        algorithm: PasswordAlgorithm,
        seal: &Seal<'_>,
    ) -> Result<Verified, Failure> {
        let own = self.user(who).map(|user| match algorithm {
            PasswordAlgorithm::Md5 => &user.md5,
            PasswordAlgorithm::Sha256 => &user.sha256,
        });
        if let Some(key) = own.filter(|key| key.verifies(seal)) {
            return Ok(Verified {
                key: key.clone(),
                until: None,
            });
        }
        let Who::Name(username) = who else {
            return Err(Failure::Wrong);
        };
        let rest = Rest::parse(username).ok_or(Failure::Wrong)?;
        let key = self
            .secrets
            .iter()
            .filter(|secret| secret.not_after.is_none_or(|last| now <= last))
            .map(|secret| self.rest_key(secret, username, algorithm))
            .find(|key| key.verifies(seal))
            .ok_or(Failure::Wrong)?;
        rest.is_current(now)?;
        Ok(Verified {
            key,
            until: Some(UnixSeconds(rest.expiry)),
        })
    }

    fn rest_key(&self, secret: &Secret, username: &[u8], algorithm: PasswordAlgorithm) -> Key {
        let mac = Zeroizing::new(hmac_sha1(&secret.key, &[username]));
        // 20 bytes are 28 base64 digits with one of padding.
        let mut password = Zeroizing::new([0; 28]);
        let len = STANDARD
            .encode_slice(mac.as_slice(), password.as_mut_slice())
            .unwrap_or(0);
        Key::derive(algorithm, username, &self.realm, &password[..len])
    }
}
