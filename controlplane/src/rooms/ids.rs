//! Names of rooms, people and tracks.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Bytes a room's name, an identity or a person's name may have.
pub const NAME_MAX: usize = 128;

/// Why a text names nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidName {
    /// A room's name.
    #[error("a room's name has 1 to {NAME_MAX} characters of A-Z a-z 0-9 _ - .")]
    Room,
    /// An identity.
    #[error("an identity has 1 to {NAME_MAX} bytes without control characters")]
    Identity,
    /// A name for people.
    #[error("a name has at most {NAME_MAX} bytes without control characters")]
    Name,
    /// An id.
    #[error("not an id")]
    Id,
}

/// A room's name. Never `.` or `..`, which would be paths.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RoomName(Arc<str>);

impl RoomName {
    /// The name, if it is one.
    pub fn new(name: &str) -> Result<Self, InvalidName> {
        let fine = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.');
        if name.is_empty()
            || name.len() > NAME_MAX
            || !name.bytes().all(fine)
            || name.bytes().all(|b| b == b'.')
        {
            return Err(InvalidName::Room);
        }
        Ok(Self(name.into()))
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RoomName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for RoomName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for RoomName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::new(&text).map_err(serde::de::Error::custom)
    }
}

/// Who somebody is, as the token says.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct Identity(Arc<str>);

impl Identity {
    /// The identity, if it is one.
    pub fn new(text: &str) -> Result<Self, InvalidName> {
        if text.is_empty() || text.len() > NAME_MAX || text.chars().any(char::is_control) {
            return Err(InvalidName::Identity);
        }
        Ok(Self(text.into()))
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<'de> Deserialize<'de> for Identity {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::new(&text).map_err(serde::de::Error::custom)
    }
}

/// Checks a name for people.
pub fn check_name(name: &str) -> Result<(), InvalidName> {
    if name.len() > NAME_MAX || name.chars().any(char::is_control) {
        return Err(InvalidName::Name);
    }
    Ok(())
}

macro_rules! id {
    ($(#[doc = $doc:literal])+ $name:ident $prefix:literal) => {
        $(#[doc = $doc])+
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(pub u64);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}{}", $prefix, URL_SAFE_NO_PAD.encode(self.0.to_be_bytes()))
            }
        }

        impl FromStr for $name {
            type Err = InvalidName;

            fn from_str(text: &str) -> Result<Self, InvalidName> {
                text.strip_prefix($prefix)
                    .filter(|rest| rest.len() == 11)
                    .and_then(|rest| URL_SAFE_NO_PAD.decode(rest).ok())
                    .and_then(|bytes| bytes.try_into().ok())
                    .map(|bytes| Self(u64::from_be_bytes(bytes)))
                    .ok_or(InvalidName::Id)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

id! {
    /// One stay of somebody in a room; drawn at random, never reused.
    ParticipantId "PA_"
}
id! {
    /// One published track, for as long as it is published; drawn at random.
    TrackId "TR_"
}
id! {
    /// One call: a room from its first participant to its last.
    CallId "CA_"
}

/// 64 random bits, never zero.
pub fn random() -> Result<u64, getrandom::Error> {
    loop {
        let number = getrandom::u64()?;
        if number != 0 {
            return Ok(number);
        }
    }
}

/// An SSRC that no stream has by accident (RFC 3550 §8.1): never zero.
pub fn random_ssrc() -> Result<u32, getrandom::Error> {
    loop {
        let number = getrandom::u32()?;
        if number != 0 {
            return Ok(number);
        }
    }
}

/// Random text of `BYTES` bytes of randomness in characters that ICE allows
/// (RFC 8839 §5.4).
pub fn random_text<const BYTES: usize>() -> Result<String, getrandom::Error> {
    let mut bytes = [0; BYTES];
    getrandom::fill(&mut bytes)?;
    Ok(base64::engine::general_purpose::STANDARD_NO_PAD.encode(bytes))
}
