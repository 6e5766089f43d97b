//! Values of single attributes.

use forebay_ipc::limits;
use forebay_ipc::media::Fingerprint;

use super::SdpError;

/// Bytes of one repeated value; longer ones are taken for nonsense.
const VALUE: usize = 512;

/// Feedback messages kept per payload type.
const FEEDBACK: usize = 16;

/// Whether a value can stand in a line of ours.
pub(super) fn printable(value: &str) -> bool {
    value.bytes().all(|b| (0x20..0x7f).contains(&b))
}

/// RFC 8866 §9, token.
pub(super) fn is_token(value: &str) -> bool {
    !value.is_empty() && value.bytes().all(is_token_byte)
}

pub(super) fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`{|}~".contains(&byte)
}

/// RFC 8839 §5.4, ice-char.
pub(super) fn is_ice_characters(value: &str) -> bool {
    value
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || b == b'+' || b == b'/')
}

/// `a=fingerprint` (RFC 8122 §5): the hash function, and the value if it is
/// SHA-256.
pub(super) fn fingerprint(value: &str) -> Result<(String, Option<Fingerprint>), SdpError> {
    let malformed = || SdpError::Malformed("fingerprint".to_owned());
    let (function, hex) = value.split_once(' ').ok_or_else(malformed)?;
    let function = function.to_ascii_lowercase();
    if function.len() > 32 {
        return Err(malformed());
    }
    if function != "sha-256" {
        return Ok((function, None));
    }
    let mut bytes = [0; 32];
    let mut octets = hex.trim().split(':');
    for byte in &mut bytes {
        let octet = octets.next().filter(|octet| octet.len() == 2);
        *byte = octet
            .filter(|octet| octet.bytes().all(|b| b.is_ascii_hexdigit()))
            .and_then(|octet| u8::from_str_radix(octet, 16).ok())
            .ok_or_else(malformed)?;
    }
    match octets.next() {
        None => Ok((function, Some(Fingerprint(bytes)))),
        Some(_) => Err(malformed()),
    }
}

/// Which way media flows, seen from who says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Direction {
    SendRecv,
    SendOnly,
    RecvOnly,
    Inactive,
}

impl Direction {
    pub(super) fn read(word: &str) -> Option<Self> {
        Some(match word {
            "sendrecv" => Self::SendRecv,
            "sendonly" => Self::SendOnly,
            "recvonly" => Self::RecvOnly,
            "inactive" => Self::Inactive,
            _ => return None,
        })
    }

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::SendRecv => "sendrecv",
            Self::SendOnly => "sendonly",
            Self::RecvOnly => "recvonly",
            Self::Inactive => "inactive",
        }
    }

    pub(super) fn sends(self) -> bool {
        matches!(self, Self::SendRecv | Self::SendOnly)
    }

    pub(super) fn receives(self) -> bool {
        matches!(self, Self::SendRecv | Self::RecvOnly)
    }

    /// The same flow seen from the other end.
    pub(super) fn mirrored(self) -> Self {
        match self {
            Self::SendOnly => Self::RecvOnly,
            Self::RecvOnly => Self::SendOnly,
            same => same,
        }
    }
}

/// Who opens the DTLS association (RFC 8842 §5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Setup {
    Active,
    Passive,
    ActPass,
    HoldConn,
}

impl Setup {
    pub(super) fn read(value: &str) -> Option<Self> {
        Some(match value {
            "active" => Self::Active,
            "passive" => Self::Passive,
            "actpass" => Self::ActPass,
            "holdconn" => Self::HoldConn,
            _ => return None,
        })
    }
}

/// A payload type as offered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct OfferedCodec {
    pub(super) payload_type: u8,
    /// The whole of `rtpmap` after the payload type, as written.
    pub(super) map: String,
    /// Lower case.
    pub(super) name: String,
    pub(super) clock_rate: u32,
    pub(super) channels: u8,
    pub(super) parameters: String,
    pub(super) feedback: Vec<String>,
}

impl OfferedCodec {
    /// Those of an `m=` line, without description; each once.
    pub(super) fn list(formats: &[String]) -> Vec<Self> {
        let mut codecs: Vec<Self> = Vec::new();
        for payload_type in formats.iter().filter_map(|f| f.parse::<u8>().ok()) {
            if payload_type < 128 && codecs.iter().all(|c| c.payload_type != payload_type) {
                codecs.push(Self {
                    payload_type,
                    map: String::new(),
                    name: String::new(),
                    clock_rate: 0,
                    channels: 1,
                    parameters: String::new(),
                    feedback: Vec::new(),
                });
            }
        }
        codecs
    }

    /// Takes in an `rtpmap`, `fmtp` or `rtcp-fb` line.
    pub(super) fn describe(codecs: &mut [Self], key: &str, value: &str) {
        let Some((format, rest)) = value.split_once(' ') else {
            return;
        };
        let rest = rest.trim();
        if rest.is_empty() || rest.len() > VALUE {
            return;
        }
        if key == "rtcp-fb" {
            let all = format == "*";
            for codec in codecs.iter_mut() {
                if (all || format.parse() == Ok(codec.payload_type))
                    && codec.feedback.len() < FEEDBACK
                {
                    codec.feedback.push(rest.to_owned());
                }
            }
            return;
        }
        let Some(codec) = codecs
            .iter_mut()
            .find(|codec| format.parse() == Ok(codec.payload_type))
        else {
            return;
        };
        if key == "fmtp" {
            rest.clone_into(&mut codec.parameters);
            return;
        }
        let mut parts = rest.split('/');
        let name = parts.next().unwrap_or_default();
        let Some(clock_rate) = parts.next().and_then(|rate| rate.parse().ok()) else {
            return;
        };
        rest.clone_into(&mut codec.map);
        codec.name = name.to_ascii_lowercase();
        codec.clock_rate = clock_rate;
        codec.channels = parts.next().and_then(|n| n.parse().ok()).unwrap_or(1);
    }

    /// A format parameter; names are case-insensitive.
    pub(super) fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.split(';').find_map(|parameter| {
            let (key, value) = parameter.split_once('=')?;
            key.trim()
                .eq_ignore_ascii_case(name)
                .then_some(value.trim())
        })
    }
}

/// A header extension as offered (RFC 8285 §5).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct OfferedExtension {
    pub(super) id: u8,
    /// As written: absent means both ways.
    pub(super) direction: Option<Direction>,
    pub(super) uri: String,
}

impl OfferedExtension {
    /// `None` when it is no extension we could carry: the ids of the one-byte
    /// form end at 14.
    pub(super) fn read(value: &str) -> Option<Self> {
        let mut words = value.split(' ').filter(|word| !word.is_empty());
        let entry = words.next()?;
        let uri = words.next().filter(|uri| uri.len() <= VALUE)?.to_owned();
        let (id, direction) = match entry.split_once('/') {
            Some((id, direction)) => (id, Some(Direction::read(direction)?)),
            None => (entry, None),
        };
        let id = id.parse().ok().filter(|id| (1..=14).contains(id))?;
        Some(Self { id, direction, uri })
    }

    pub(super) fn way(&self) -> Direction {
        self.direction.unwrap_or(Direction::SendRecv)
    }
}

/// `a=rid` (RFC 8851 §4).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct OfferedRid {
    pub(super) rid: String,
    pub(super) sends: bool,
    /// `max-width=…;…` as written, without payload types.
    pub(super) restrictions: String,
}

impl OfferedRid {
    pub(super) fn read(value: &str) -> Option<Self> {
        let mut words = value.splitn(3, ' ');
        let rid = words.next().filter(|rid| is_rid(rid))?.to_owned();
        let sends = match words.next()? {
            "send" => true,
            "recv" => false,
            _ => return None,
        };
        let restrictions = words
            .next()
            .unwrap_or_default()
            .split(';')
            .map(str::trim)
            .filter(|restriction| !restriction.is_empty() && !restriction.starts_with("pt="))
            .collect::<Vec<_>>()
            .join(";");
        (restrictions.len() <= VALUE).then_some(Self {
            rid,
            sends,
            restrictions,
        })
    }

    /// A restriction that is a number, for example `max-width`.
    pub(super) fn number(&self, name: &str) -> Option<u64> {
        self.restrictions.split(';').find_map(|restriction| {
            let (key, value) = restriction.split_once('=')?;
            if key == name {
                value.parse().ok()
            } else {
                None
            }
        })
    }
}

pub(super) fn is_rid(rid: &str) -> bool {
    (1..=limits::MID).contains(&rid.len())
        && rid
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

/// `a=ssrc-group` (RFC 5576 §4.2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SsrcGroup {
    pub(super) semantics: String,
    pub(super) ssrcs: Vec<u32>,
}

impl SsrcGroup {
    pub(super) fn read(value: &str) -> Option<Self> {
        let mut words = value.split(' ').filter(|word| !word.is_empty());
        let semantics = words.next()?.to_owned();
        let ssrcs: Option<Vec<u32>> = words.take(16).map(|ssrc| ssrc.parse().ok()).collect();
        ssrcs.map(|ssrcs| Self { semantics, ssrcs })
    }
}
