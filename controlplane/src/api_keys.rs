//! Who may ask for credentials.

use sha2::{Digest as _, Sha256};
use subtle::{Choice, ConstantTimeEq as _};

/// API keys, kept as SHA-256 digests. Keys are random strings, so a plain
/// digest is as hard to invert as the key is long.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ApiKeys(Vec<([u8; 32], String)>);

/// Characters a key must have at least.
const SHORTEST: usize = 16;

impl ApiKeys {
    /// Reads `name:key` and `name:sha256:HEX` lines; `#` begins a comment line.
    /// Errors tell the line's number, never its content.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut keys = Vec::new();
        for (index, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let at = index + 1;
            let (name, key) = line
                .split_once(':')
                .ok_or_else(|| format!("line {at}: expected name:key"))?;
            if name.is_empty() || name.len() > 64 {
                return Err(format!("line {at}: the name must have 1 to 64 bytes"));
            }
            let digest = match key.strip_prefix("sha256:") {
                Some(hex) => from_hex(hex)
                    .ok_or_else(|| format!("line {at}: sha256: wants 64 hex digits"))?,
                None if key.len() < SHORTEST => {
                    return Err(format!(
                        "line {at}: a key needs at least {SHORTEST} characters; try: openssl rand -hex 16"
                    ));
                }
                None => Sha256::digest(key).into(),
            };
            keys.push((digest, name.to_owned()));
        }
        if keys.is_empty() {
            return Err("holds no key; add a line name:key".to_owned());
        }
        Ok(Self(keys))
    }

    /// The name of the key presented. Takes the same time for every key.
    pub fn find(&self, presented: &str) -> Option<&str> {
        let digest = Sha256::digest(presented);
        let mut found = None;
        for (known, name) in &self.0 {
            let same: Choice = known.ct_eq(digest.as_slice());
            if bool::from(same) {
                found = Some(name.as_str());
            }
        }
        found
    }
}

fn from_hex(hex: &str) -> Option<[u8; 32]> {
    let mut digest = [0; 32];
    if hex.len() != 64 || !hex.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    for (byte, pair) in digest.iter_mut().zip(hex.as_bytes().chunks(2)) {
        *byte = u8::from_str_radix(str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(digest)
}
