//! Values with a notation of their own.

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::UNIX_EPOCH;

use forebay_wire::clock::UnixSeconds;
use ipnet::IpNet;
use serde::{Deserialize, Serialize};

macro_rules! as_string {
    ($name:ident) => {
        impl TryFrom<String> for $name {
            type Error = String;

            fn try_from(text: String) -> Result<Self, String> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(value: $name) -> Self {
                value.to_string()
            }
        }
    };
}

/// A range of UDP ports, both ends included, written `first-last`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PortRange(RangeInclusive<u16>);

impl PortRange {
    /// RFC 8656 §3.1: the dynamic range is where relay ports belong.
    pub const DYNAMIC: Self = Self(49152..=65535);

    /// The ports.
    pub fn ports(&self) -> RangeInclusive<u16> {
        self.0.clone()
    }
}

impl FromStr for PortRange {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let shape = || format!("`{text}` is not a port range; write it as \"49152-65535\"");
        let (first, last) = text.split_once('-').ok_or_else(shape)?;
        let first: u16 = first.trim().parse().map_err(|_| shape())?;
        let last: u16 = last.trim().parse().map_err(|_| shape())?;
        if first == 0 {
            return Err("port 0 cannot be a relay port".to_owned());
        }
        if first > last {
            return Err(format!("port range `{text}` ends before it begins"));
        }
        Ok(Self(first..=last))
    }
}

impl fmt::Display for PortRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.0.start(), self.0.end())
    }
}

as_string!(PortRange);

/// A network in CIDR notation, or a single address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Network(pub IpNet);

impl FromStr for Network {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(address) = text.parse() {
            return Ok(Self(IpNet::from(<std::net::IpAddr>::clone(&address))));
        }
        let network: IpNet = text.parse().map_err(|_| {
            format!("`{text}` is neither a network like \"10.0.0.0/8\" nor an address")
        })?;
        // A mask that leaves host bits over is more often a slip of the mask
        // than of the address, and a filter must not guess.
        if network != network.trunc() {
            return Err(format!(
                "`{text}` has host bits set; write {} or the single address",
                network.trunc()
            ));
        }
        Ok(Self(network))
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

as_string!(Network);

/// A point in time, written as RFC 3339 with a time zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Moment(pub UnixSeconds);

impl FromStr for Moment {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        humantime::parse_rfc3339(text)
            .ok()
            .and_then(|time| time.duration_since(UNIX_EPOCH).ok())
            .map(|since| Self(UnixSeconds(since.as_secs())))
            .ok_or_else(|| {
                format!("`{text}` is not a UTC time; write it as \"2027-01-31T00:00:00Z\"")
            })
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = UNIX_EPOCH + std::time::Duration::from_secs(self.0.0);
        humantime::format_rfc3339_seconds(time).fmt(f)
    }
}

as_string!(Moment);

/// A password algorithm of RFC 8489.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Algorithm {
    /// SHA-256.
    Sha256,
    /// What clients of RFC 5389 know.
    Md5,
}

/// What the expiry of a REST username ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Expiry {
    /// New allocations.
    #[default]
    Lenient,
    /// Live ones too.
    Strict,
}

/// How log lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// One line of text per event.
    #[default]
    Text,
    /// One JSON object per line.
    Json,
    /// Fields in the journal of systemd.
    Journald,
}
