//! What is in force: the configuration with the files it names, read and
//! checked as a whole, replaced as a whole.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use forebay_ipc::{Bytes, List, Prefix, RestSecret, Sensitive, Text, User, limits};
use ipnet::IpNet;

use crate::api_keys::ApiKeys;
use crate::config::{Config, ConfigError, SecretSource, TokenSource};
use crate::secret_file;
use crate::tokens::{TokenKey, TokenKeys};

/// Everything a reload can change.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// The file.
    pub config: Config,
    /// TURN REST secrets.
    pub secrets: List<RestSecret, { limits::SECRETS }>,
    /// Static users.
    pub users: List<User, { limits::USERS }>,
    /// API keys.
    pub api_keys: ApiKeys,
    /// What signs access tokens.
    pub token_keys: TokenKeys,
    /// Peers allowed.
    pub allow: List<Prefix, { limits::PREFIXES }>,
    /// Peers denied.
    pub deny: List<Prefix, { limits::PREFIXES }>,
}

impl Settings {
    /// Reads the file and whatever it names. All complaints at once.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let config = Config::read(path)?;
        let mut complaints = Vec::new();
        let mut secrets = Vec::new();
        let mut ids = BTreeSet::new();
        for source in &config.turn.secrets {
            match secret(source, path) {
                Ok(secret) => secrets.push(secret),
                Err(why) => complaints.push(format!("turn.secrets {:?}: {why}", source.id)),
            }
            if !ids.insert(&source.id) {
                complaints.push(format!(
                    "turn.secrets: the id {:?} is used twice",
                    source.id
                ));
            }
        }
        let users = config
            .turn
            .users_file
            .as_deref()
            .map_or(Ok(Vec::new()), |file| {
                users(&secret_file::locate(file, path))
            });
        let users = users.unwrap_or_else(|why| {
            complaints.push(format!("turn.users_file: {why}"));
            Vec::new()
        });
        if config.turn.secrets.is_empty() {
            complaints.push(
                "turn.secrets is empty: no credential could be made; put a random line into a file \
                 (openssl rand -hex 32) and name it there"
                    .to_owned(),
            );
        }
        let api_keys = match &config.api.keys_file {
            None => Err(
                "is not set: without it anybody could use the relay; name a file of name:key lines"
                    .to_owned(),
            ),
            Some(file) => secret_file::read(&secret_file::locate(file, path)).and_then(|text| {
                ApiKeys::parse(&text).map_err(|why| format!("{}: {why}", file.display()))
            }),
        };
        let api_keys = api_keys.unwrap_or_else(|why| {
            complaints.push(format!("api.keys_file: {why}"));
            ApiKeys::default()
        });
        let mut token_keys = Vec::new();
        for source in &config.api.token_keys {
            match token_key(source, path) {
                Ok(key) => token_keys.push(key),
                Err(why) => complaints.push(format!("api.token_keys {:?}: {why}", source.id)),
            }
        }
        let mut bounded = |what: &str, length: usize, limit: usize| {
            if length > limit {
                complaints.push(format!(
                    "{what}: {length} are more than the {limit} a data plane takes"
                ));
            }
        };
        bounded("turn.secrets", secrets.len(), limits::SECRETS);
        bounded("turn.users_file", users.len(), limits::USERS);
        bounded("peers.allow", config.peers.allow.len(), limits::PREFIXES);
        bounded("peers.deny", config.peers.deny.len(), limits::PREFIXES);
        if !complaints.is_empty() {
            return Err(ConfigError(complaints));
        }
        Ok(Self {
            secrets: List::truncated(secrets),
            users: List::truncated(users),
            api_keys,
            token_keys: TokenKeys(token_keys),
            allow: prefixes(&config.peers.allow),
            deny: prefixes(&config.peers.deny),
            config,
        })
    }

    /// Every file this was read from, for noticing that one changed.
    pub fn files(&self, config: &Path) -> Vec<PathBuf> {
        let turn = &self.config.turn;
        let named = turn.secrets.iter().map(|s| s.file.as_path());
        let named = named
            .chain(turn.users_file.as_deref())
            .chain(self.config.api.keys_file.as_deref())
            .chain(self.config.api.token_keys.iter().map(|s| s.file.as_path()));
        named
            .map(|file| secret_file::locate(file, config))
            .chain([config.to_owned()])
            .collect()
    }

    /// The secret that signs now: the first that still authenticates.
    pub fn signer(&self, now: u64) -> Option<&RestSecret> {
        self.secrets
            .iter()
            .find(|secret| secret.not_after.is_none_or(|end| end > now))
    }

    /// Whether the data plane must hear of the difference.
    pub fn same_for_dataplane(&self, other: &Self) -> bool {
        self.secrets == other.secrets
            && self.users == other.users
            && self.allow == other.allow
            && self.deny == other.deny
            && self.config.peers.lowest_port == other.config.peers.lowest_port
    }
}

/// Seconds since the Unix epoch.
pub fn unix_now() -> u64 {
    SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or(Duration::ZERO)
        .as_secs()
}

fn secret(source: &SecretSource, config: &Path) -> Result<RestSecret, String> {
    let id = Text::new(source.id.as_str()).map_err(|error| format!("the id: {error} bytes"))?;
    let key = secret_line(&secret_file::locate(&source.file, config))?;
    let not_after = source.not_after.as_deref().map(|text| {
        humantime::parse_rfc3339(text)
            .ok()
            .and_then(|time| time.duration_since(SystemTime::UNIX_EPOCH).ok())
            .map(|since| since.as_secs())
            .ok_or_else(|| {
                format!(
                    "not_after {text:?} is not a UTC time; write it as \"2027-12-31T00:00:00Z\""
                )
            })
    });
    Ok(RestSecret {
        id,
        key: Sensitive::new(key),
        not_after: not_after.transpose()?,
    })
}

/// Characters a secret that signs tokens must have at least: HS256 wants as
/// many bits as its hash has (RFC 7518 §3.2).
const TOKEN_KEY_SHORTEST: usize = 32;

fn token_key(source: &TokenSource, config: &Path) -> Result<TokenKey, String> {
    let key = secret_line(&secret_file::locate(&source.file, config))?;
    if source.id.is_empty() || source.id.len() > limits::NAME {
        return Err(format!("the id must have 1 to {} bytes", limits::NAME));
    }
    if key.len() < TOKEN_KEY_SHORTEST {
        return Err(format!(
            "{}: a secret needs at least {TOKEN_KEY_SHORTEST} characters; try: openssl rand -hex 32",
            source.file.display()
        ));
    }
    Ok(TokenKey {
        id: source.id.clone(),
        key: Sensitive::new(key),
    })
}

/// A file that holds one secret alone.
fn secret_line(file: &Path) -> Result<Bytes<{ limits::SECRET_KEY }>, String> {
    let text = secret_file::read(file)?;
    let key = text.trim_end_matches(['\r', '\n']);
    let shown = file.display();
    if key.is_empty() {
        return Err(format!("{shown}: empty; fill it: openssl rand -hex 32"));
    }
    if key.lines().count() > 1 {
        return Err(format!(
            "{shown}: more than one line; it holds the secret alone"
        ));
    }
    Bytes::new(key).map_err(|error| format!("{shown}: {error} bytes"))
}

fn users(file: &Path) -> Result<Vec<User>, String> {
    let text = secret_file::read(file)?;
    let mut users: Vec<User> = Vec::new();
    for (index, line) in text.lines().enumerate() {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let at = format!("{} line {}", file.display(), index + 1);
        let (name, password) = line
            .split_once(':')
            .ok_or_else(|| format!("{at}: expected name:password"))?;
        if name.is_empty() || password.is_empty() {
            return Err(format!("{at}: name and password must not be empty"));
        }
        if users.iter().any(|user| &*user.name == name) {
            return Err(format!("{at}: this name is used twice"));
        }
        users.push(User {
            name: Text::new(name).map_err(|error| format!("{at}: the name: {error} bytes"))?,
            password: Sensitive::new(
                Text::new(password)
                    .map_err(|error| format!("{at}: the password: {error} bytes"))?,
            ),
        });
    }
    Ok(users)
}

fn prefixes(nets: &[IpNet]) -> List<Prefix, { limits::PREFIXES }> {
    List::truncated(
        nets.iter()
            .filter_map(|net| Prefix::new(net.addr(), net.prefix_len())),
    )
}
