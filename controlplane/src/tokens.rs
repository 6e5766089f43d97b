//! Access tokens (JSON Web Tokens, HS256), and the tokens with which a
//! participant comes back after its WebSocket was lost.

use forebay_ipc::SecretKey;
use hmac::{Hmac, KeyInit as _, Mac as _};
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, encode};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::Sha256;

use crate::rooms::ids::{Identity, ParticipantId, RoomName, check_name};

/// Seconds by which clocks may differ.
const LEEWAY: u64 = 30;
/// Bytes a token may have.
const MAX: usize = 4_096;
/// What a resume token's key is derived with, so that neither kind of token
/// passes for the other.
const RESUME: &[u8] = b"forebay resume token 1";

/// What a participant may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Grants {
    /// Enter the room.
    pub join: bool,
    /// Publish tracks.
    pub publish: bool,
    /// Receive others' tracks.
    pub subscribe: bool,
    /// Mute and remove others.
    pub admin: bool,
    /// Not be seen by others.
    pub hidden: bool,
}

impl Grants {
    /// What a token without `grants` allows.
    pub const USUAL: Self = Self {
        join: true,
        publish: true,
        subscribe: true,
        admin: false,
        hidden: false,
    };
}

/// What is not named is not granted.
impl Default for Grants {
    fn default() -> Self {
        Self {
            join: false,
            publish: false,
            subscribe: false,
            admin: false,
            hidden: false,
        }
    }
}

/// Who may enter which room, to do what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Access {
    /// The room.
    pub room: RoomName,
    /// Who.
    pub identity: Identity,
    /// For people.
    pub name: String,
    /// What.
    pub grants: Grants,
}

/// Who comes back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resume {
    /// The room.
    pub room: RoomName,
    /// The stay that goes on.
    #[serde(rename = "pid")]
    pub participant: ParticipantId,
    /// Who.
    #[serde(rename = "sub")]
    pub identity: Identity,
    /// For people.
    pub name: String,
    /// What it may do.
    pub grants: Grants,
    /// As it joined.
    pub auto_subscribe: bool,
    /// When it joined, seconds since the Unix epoch.
    pub joined_at: u64,
    /// Counts the participant's resume tokens.
    pub serial: u32,
    /// Seconds since the Unix epoch.
    pub exp: u64,
}

/// Why a token is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// No key signed it, or it is no token.
    #[error("the token is not good")]
    Bad,
    /// Past its `exp`.
    #[error("the token has expired")]
    Expired,
    /// Before its `nbf`.
    #[error("the token is not valid yet")]
    Early,
    /// A claim is missing or out of bounds.
    #[error("the token lacks a claim, or one is out of bounds")]
    Claims,
    /// No key is configured.
    #[error("api.token_keys is empty: rooms need one")]
    NoKey,
}

#[derive(Serialize, Deserialize)]
struct Claims {
    sub: String,
    #[serde(default)]
    name: String,
    room: String,
    exp: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    nbf: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    iss: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    grants: Option<Grants>,
}

/// One secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenKey {
    /// A token's `kid`.
    pub id: String,
    /// Its bytes.
    pub key: SecretKey,
}

/// Secrets that sign tokens; the first signs new ones.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TokenKeys(pub Vec<TokenKey>);

impl TokenKeys {
    /// An access token that is good until `exp`.
    pub fn mint(&self, access: &Access, exp: u64) -> Result<String, TokenError> {
        let first = self.0.first().ok_or(TokenError::NoKey)?;
        let claims = Claims {
            sub: access.identity.as_str().to_owned(),
            name: access.name.clone(),
            room: access.room.as_str().to_owned(),
            exp,
            nbf: None,
            iss: Some(first.id.clone()),
            grants: Some(access.grants),
        };
        sign(&first.id, first.key.expose(), &claims)
    }

    /// What an access token allows now.
    pub fn verify(&self, token: &str) -> Result<Access, TokenError> {
        let claims: Claims = self.read(token, <[u8]>::to_vec)?;
        let checked = || {
            check_name(&claims.name)?;
            Ok::<_, crate::rooms::ids::InvalidName>(Access {
                room: RoomName::new(&claims.room)?,
                identity: Identity::new(&claims.sub)?,
                name: claims.name.clone(),
                grants: claims.grants.unwrap_or(Grants::USUAL),
            })
        };
        checked().map_err(|_| TokenError::Claims)
    }

    /// A resume token.
    pub fn mint_resume(&self, resume: &Resume) -> Result<String, TokenError> {
        let first = self.0.first().ok_or(TokenError::NoKey)?;
        sign(&first.id, &derived(first.key.expose()), resume)
    }

    /// Who comes back with it.
    pub fn verify_resume(&self, token: &str) -> Result<Resume, TokenError> {
        self.read(token, derived)
    }

    fn read<T: DeserializeOwned>(
        &self,
        token: &str,
        derive: fn(&[u8]) -> Vec<u8>,
    ) -> Result<T, TokenError> {
        if self.0.is_empty() {
            return Err(TokenError::NoKey);
        }
        if token.len() > MAX {
            return Err(TokenError::Bad);
        }
        let header = jsonwebtoken::decode_header(token).map_err(|_| TokenError::Bad)?;
        let mut validation = Validation::new(Algorithm::HS256);
        validation.leeway = LEEWAY;
        validation.validate_nbf = true;
        validation.validate_aud = false;
        let mut why = TokenError::Bad;
        let candidates = self
            .0
            .iter()
            .filter(|key| header.kid.as_ref().is_none_or(|kid| *kid == key.id));
        for key in candidates {
            let secret = DecodingKey::from_secret(&derive(key.key.expose()));
            match decode::<T>(token, &secret, &validation) {
                Ok(data) => return Ok(data.claims),
                // Only after the signature held.
                Err(error) => match error.kind() {
                    ErrorKind::ExpiredSignature => why = TokenError::Expired,
                    ErrorKind::ImmatureSignature => why = TokenError::Early,
                    ErrorKind::MissingRequiredClaim(_) | ErrorKind::Json(_) => {
                        why = TokenError::Claims;
                    }
                    _ => {}
                },
            }
        }
        Err(why)
    }
}

fn sign<T: Serialize>(id: &str, secret: &[u8], claims: &T) -> Result<String, TokenError> {
    let header = Header {
        kid: Some(id.to_owned()),
        ..Header::new(Algorithm::HS256)
    };
    encode(&header, claims, &EncodingKey::from_secret(secret)).map_err(|_| TokenError::Claims)
}

fn derived(key: &[u8]) -> Vec<u8> {
    // HMAC takes a key of any length; the type cannot say so.
    Hmac::<Sha256>::new_from_slice(key)
        .map(|mac| mac.chain_update(RESUME).finalize().into_bytes().to_vec())
        .unwrap_or_default()
}
