//! Who may allocate: TURN REST secrets that rotate and a users file.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use forebay_turn::{Credentials, Secret, User};
use forebay_wire::clock::UnixSeconds;

use crate::random::Random;
use crate::stun::{hmac_sha1, userhash};

/// What a client authenticates with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Account {
    pub(crate) username: String,
    pub(crate) password: String,
}

/// The credentials in force.
#[derive(Clone)]
pub(crate) struct Accounts {
    secrets: Vec<RestSecret>,
    users: Vec<Account>,
    made: u32,
}

#[derive(Clone)]
struct RestSecret {
    id: String,
    key: Vec<u8>,
    not_after: Option<u64>,
}

impl Accounts {
    pub(crate) fn new(random: &mut Random) -> Self {
        let user = |n: u64| Account {
            username: format!("user{n}"),
            password: format!("open sesame {n}"),
        };
        let mut accounts = Self {
            secrets: Vec::new(),
            users: (0..4).map(user).collect(),
            made: 0,
        };
        for _ in 0..random.between(1, 3) {
            accounts.add_secret(None, random);
        }
        accounts
    }

    /// In the form a shard takes.
    pub(crate) fn credentials(&self) -> Credentials {
        let secret = |secret: &RestSecret| Secret {
            id: secret.id.clone(),
            key: secret.key.clone(),
            not_after: secret.not_after.map(UnixSeconds),
        };
        let user = |account: &Account| User {
            name: account.username.clone(),
            password: account.password.clone(),
        };
        Credentials {
            secrets: self.secrets.iter().map(secret).collect(),
            users: self.users.iter().map(user).collect(),
        }
    }

    /// A credential a control plane would hand out, good for `ttl` seconds.
    pub(crate) fn issue(&self, unix: u64, ttl: u64, random: &mut Random) -> Account {
        if random.percent(40.0) {
            return random.pick(&self.users).clone();
        }
        let secret = random.pick(&self.secrets);
        let username = format!("{}:guest{}", unix + ttl, random.between(0, 5));
        let password = STANDARD.encode(hmac_sha1(&secret.key, &[username.as_bytes()]));
        Account { username, password }
    }

    /// The static user of this USERHASH.
    pub(crate) fn hashed(&self, hash: &[u8], realm: &str) -> Option<&[u8]> {
        self.users
            .iter()
            .map(|user| user.username.as_bytes())
            .find(|username| userhash(username, realm) == hash)
    }

    /// Every password that authenticates this username now.
    pub(crate) fn passwords(&self, username: &[u8], unix: u64) -> Vec<String> {
        let mut passwords: Vec<String> = Vec::new();
        passwords.extend(
            self.users
                .iter()
                .filter(|user| user.username.as_bytes() == username)
                .map(|user| user.password.clone()),
        );
        if expiry(username).is_some_and(|expiry| expiry > unix) {
            let live = self
                .secrets
                .iter()
                .filter(|secret| secret.not_after.is_none_or(|end| unix <= end));
            passwords
                .extend(live.map(|secret| STANDARD.encode(hmac_sha1(&secret.key, &[username]))));
        }
        passwords
    }

    /// Brings in a new secret and lets the oldest run out or withdraws it.
    pub(crate) fn rotate(&mut self, unix: u64, random: &mut Random) {
        self.add_secret(None, random);
        if self.secrets.len() > 3 {
            self.secrets.remove(0);
        } else if random.percent(50.0) {
            self.secrets[0].not_after = Some(unix + random.between(0, 600));
        }
    }

    fn add_secret(&mut self, not_after: Option<u64>, random: &mut Random) {
        self.made += 1;
        let id = format!("secret-{}", self.made);
        self.secrets.push(RestSecret {
            id,
            key: random.bytes::<20>().to_vec(),
            not_after,
        });
    }
}

/// When a REST username expires; static users have no such names here.
pub(crate) fn expiry(username: &[u8]) -> Option<u64> {
    let name = str::from_utf8(username).ok()?;
    name.split(':').next()?.parse().ok()
}

/// The part of a username quotas count by: what follows a REST expiry.
pub(crate) fn quota_user(username: &[u8]) -> &[u8] {
    let digits = username
        .iter()
        .take_while(|byte| byte.is_ascii_digit())
        .count();
    match username.get(digits) {
        Some(b':') if digits > 0 => &username[digits + 1..],
        _ => username,
    }
}
