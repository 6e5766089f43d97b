//! Our own descriptions, line by line.

use std::fmt::Write as _;
use std::net::SocketAddr;

use forebay_ipc::media::Fingerprint;
use sdp::description::common::{Address, Attribute, ConnectionInformation};
use sdp::description::media::{MediaDescription, MediaName, RangedPort};
use sdp::description::session::{Origin, SessionDescription, TimeDescription, Timing};

use super::attributes::is_token_byte;
use super::{LocalTransport, SentTrack};

/// One `m=` section in the making.
#[derive(Debug)]
pub(super) struct Part(MediaDescription);

impl Part {
    /// `protocol` and `formats` as they stand in the `m=` line. Port 9 for a
    /// section in use (RFC 9429 §5.2.1), 0 for a rejected one.
    pub(super) fn new(media: &str, used: bool, protocol: &str, formats: Vec<String>) -> Self {
        Self(MediaDescription {
            media_name: MediaName {
                media: media.to_owned(),
                port: RangedPort {
                    value: if used { 9 } else { 0 },
                    range: None,
                },
                protos: protocol.split('/').map(str::to_owned).collect(),
                formats,
            },
            connection_information: Some(ConnectionInformation {
                network_type: "IN".to_owned(),
                address_type: "IP4".to_owned(),
                address: Some(Address {
                    address: "0.0.0.0".to_owned(),
                    ttl: None,
                    range: None,
                }),
            }),
            ..MediaDescription::default()
        })
    }

    /// `a=key`
    pub(super) fn flag(&mut self, key: &str) {
        self.0.attributes.push(Attribute::new(key.to_owned(), None));
    }

    /// `a=key:value`
    pub(super) fn attribute(&mut self, key: &str, value: impl Into<String>) {
        let attribute = Attribute::new(key.to_owned(), Some(value.into()));
        self.0.attributes.push(attribute);
    }

    /// Credentials, fingerprint and role; candidates too on the section that
    /// stands for the BUNDLE group. We gather nothing later.
    pub(super) fn transport(&mut self, local: &LocalTransport, setup: &str, tagged: bool) {
        if tagged {
            let passive = passive_candidates(&local.tcp_candidates);
            for candidate in candidates(&local.candidates).chain(passive) {
                self.attribute("candidate", candidate);
            }
            self.flag("end-of-candidates");
        }
        self.attribute("ice-ufrag", local.ufrag.as_str());
        self.attribute("ice-pwd", local.password.as_str());
        self.attribute(
            "fingerprint",
            format!("sha-256 {}", hexadecimal(&local.fingerprint)),
        );
        self.attribute("setup", setup);
    }

    /// What is sent in the section: its names for the application, its SSRCs
    /// for the receiver.
    pub(super) fn sent(&mut self, track: &SentTrack, cname: &str) {
        let cname = token(cname);
        self.attribute(
            "msid",
            format!("{} {}", token(&track.stream), token(&track.track)),
        );
        if let Some(rtx) = track.rtx_ssrc {
            self.attribute("ssrc-group", format!("FID {} {rtx}", track.ssrc));
        }
        for ssrc in [Some(track.ssrc), track.rtx_ssrc].into_iter().flatten() {
            self.attribute("ssrc", format!("{ssrc} cname:{cname}"));
        }
    }
}

/// Host candidates (RFC 8839 §5.1), the first one preferred.
pub(super) fn candidates(addresses: &[SocketAddr]) -> impl Iterator<Item = String> + '_ {
    addresses.iter().zip(0_u32..).map(|(address, place)| {
        let priority = (126 << 24) | ((0xffff - place.min(0xffff)) << 8) | 255;
        format!(
            "{} 1 udp {priority} {} {} typ host",
            place + 1,
            address.ip(),
            address.port()
        )
    })
}

/// TCP candidates that wait for connections (RFC 6544 §4.5), all after those
/// over UDP: their type preference is the lower one (§4.2), and the direction
/// preference of passive ones is 4.
fn passive_candidates(addresses: &[SocketAddr]) -> impl Iterator<Item = String> + '_ {
    addresses.iter().zip(0_u32..).map(|(address, place)| {
        let local = (4 << 13) | (0x1fff - place.min(0x1fff));
        let priority = (90 << 24) | (local << 8) | 255;
        format!(
            "tcp{} 1 tcp {priority} {} {} typ host tcptype passive",
            place + 1,
            address.ip(),
            address.port()
        )
    })
}

fn hexadecimal(fingerprint: &Fingerprint) -> String {
    let mut text = String::with_capacity(96);
    for byte in fingerprint.0 {
        if !text.is_empty() {
            text.push(':');
        }
        let _ = write!(text, "{byte:02X}");
    }
    text
}

/// At most 64 characters that may stand in `msid` and `cname` (RFC 8830 §2).
fn token(name: &str) -> String {
    let mut token: String = name
        .bytes()
        .take(64)
        .map(|b| if is_token_byte(b) { char::from(b) } else { '-' })
        .collect();
    if token.is_empty() {
        token.push('-');
    }
    token
}

/// The whole text.
pub(super) fn description(
    session_id: u64,
    version: u64,
    bundle: &[&str],
    allow_mixed: bool,
    parts: Vec<Part>,
) -> String {
    let mut attributes = vec![
        Attribute::new("ice-lite".to_owned(), None),
        Attribute::new("ice-options".to_owned(), Some("ice2".to_owned())),
    ];
    if !bundle.is_empty() {
        let group = format!("BUNDLE {}", bundle.join(" "));
        attributes.push(Attribute::new("group".to_owned(), Some(group)));
    }
    if allow_mixed {
        attributes.push(Attribute::new("extmap-allow-mixed".to_owned(), None));
    }
    let description = SessionDescription {
        origin: Origin {
            username: "-".to_owned(),
            session_id,
            session_version: version,
            network_type: "IN".to_owned(),
            address_type: "IP4".to_owned(),
            unicast_address: "127.0.0.1".to_owned(),
        },
        session_name: "-".to_owned(),
        time_descriptions: vec![TimeDescription {
            timing: Timing {
                start_time: 0,
                stop_time: 0,
            },
            repeat_times: Vec::new(),
        }],
        attributes,
        media_descriptions: parts.into_iter().map(|part| part.0).collect(),
        ..SessionDescription::default()
    };
    description.marshal()
}
