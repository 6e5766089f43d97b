//! A session description (RFC 8866) as the peer wrote it, reduced to the
//! attributes we know. Whatever else it says is ignored, so that nothing a
//! browser adds tomorrow is an error.

use std::io::Cursor;

use sdp::description::session::SessionDescription;

use super::attributes::{
    Direction, OfferedCodec, OfferedExtension, OfferedRid, Setup, SsrcGroup, fingerprint,
    is_ice_characters, is_token, printable,
};
use super::{MAX, SECTIONS, SdpError};
use forebay_ipc::limits;
use forebay_ipc::media::{Fingerprint, TrackKind};

/// Header extensions, SSRCs, rids and fingerprints read of one section; more
/// are ignored.
const LISTED: usize = 64;

/// A parsed description.
#[derive(Debug, Clone)]
pub(super) struct Description {
    /// Of `o=`.
    pub(super) session_id: u64,
    /// Of `o=`.
    pub(super) version: u64,
    /// The first BUNDLE group.
    pub(super) bundle: Option<Vec<String>>,
    /// `extmap-allow-mixed` for the whole session.
    pub(super) allow_mixed: bool,
    /// In their order.
    pub(super) sections: Vec<Section>,
}

/// What may be said for the session or for a section.
#[derive(Debug, Clone, Default)]
pub(super) struct Shared {
    pub(super) ufrag: Option<String>,
    pub(super) password: bool,
    /// Hash function and value, as written.
    pub(super) fingerprints: Vec<(String, Option<Fingerprint>)>,
    pub(super) setup: Option<Setup>,
    pub(super) direction: Option<Direction>,
    pub(super) extensions: Vec<OfferedExtension>,
    pub(super) allow_mixed: bool,
}

/// One `m=` section.
#[derive(Debug, Clone)]
pub(super) struct Section {
    /// `audio`, `video`, `application` …
    pub(super) media: String,
    /// Sound or pictures, when it is either.
    pub(super) kind: Option<TrackKind>,
    /// `UDP/TLS/RTP/SAVPF` …
    pub(super) protocol: String,
    /// As written; repeated when the section is rejected.
    pub(super) formats: Vec<String>,
    pub(super) mid: Option<String>,
    /// Port 0 without `bundle-only` (RFC 9143 §6).
    pub(super) rejected: bool,
    pub(super) direction: Direction,
    pub(super) rtcp_mux: bool,
    pub(super) rtcp_rsize: bool,
    pub(super) shared: Shared,
    pub(super) codecs: Vec<OfferedCodec>,
    pub(super) rids: Vec<OfferedRid>,
    /// The value of `simulcast`.
    pub(super) simulcast: Option<String>,
    pub(super) ssrcs: Vec<u32>,
    pub(super) groups: Vec<SsrcGroup>,
}

impl Description {
    pub(super) fn parse(text: &str) -> Result<Self, SdpError> {
        if text.len() > MAX {
            return Err(SdpError::TooMany("bytes"));
        }
        let parsed = SessionDescription::unmarshal(&mut Cursor::new(text.as_bytes()))
            .map_err(|error| SdpError::Malformed(shortened(&error.to_string())))?;
        if parsed.media_descriptions.len() > SECTIONS {
            return Err(SdpError::TooMany("sections"));
        }
        let mut session = Shared::default();
        let mut bundle = None;
        for attribute in &parsed.attributes {
            let value = attribute.value.as_deref().unwrap_or_default();
            if !printable(value) {
                continue;
            }
            match attribute.key.as_str() {
                "group" => {
                    let mut words = value.split(' ').filter(|word| !word.is_empty());
                    if words.next() == Some("BUNDLE") && bundle.is_none() {
                        bundle = Some(words.map(str::to_owned).collect());
                    }
                }
                key => session.read(key, value)?,
            }
        }
        let mut sections: Vec<Section> = Vec::with_capacity(parsed.media_descriptions.len());
        for media in &parsed.media_descriptions {
            let section = Section::read(media, &session)?;
            if section.mid.is_some() && sections.iter().any(|other| other.mid == section.mid) {
                return Err(SdpError::Malformed("two sections have one mid".to_owned()));
            }
            sections.push(section);
        }
        Ok(Self {
            session_id: parsed.origin.session_id,
            version: parsed.origin.session_version,
            bundle,
            allow_mixed: session.allow_mixed,
            sections,
        })
    }
}

impl Shared {
    /// Reads an attribute if it is one of these.
    fn read(&mut self, key: &str, value: &str) -> Result<(), SdpError> {
        match key {
            "ice-ufrag" => {
                if !(4..=limits::UFRAG).contains(&value.len()) || !is_ice_characters(value) {
                    return Err(SdpError::Malformed("ice-ufrag".to_owned()));
                }
                self.ufrag = Some(value.to_owned());
            }
            "ice-pwd" => {
                if !(22..=256).contains(&value.len()) || !is_ice_characters(value) {
                    return Err(SdpError::Malformed("ice-pwd".to_owned()));
                }
                self.password = true;
            }
            "fingerprint" if self.fingerprints.len() < LISTED => {
                self.fingerprints.push(fingerprint(value)?);
            }
            "setup" => self.setup = Setup::read(value),
            "extmap" if self.extensions.len() < LISTED => {
                self.extensions.extend(OfferedExtension::read(value));
            }
            "extmap-allow-mixed" => self.allow_mixed = true,
            _ => {
                if let Some(direction) = Direction::read(key) {
                    self.direction = Some(direction);
                }
            }
        }
        Ok(())
    }

    /// The session's word where this says nothing.
    fn inherit(&mut self, session: &Self) {
        if self.ufrag.is_none() {
            self.ufrag.clone_from(&session.ufrag);
            self.password |= session.password;
        }
        if self.fingerprints.is_empty() {
            self.fingerprints.clone_from(&session.fingerprints);
        }
        self.setup = self.setup.or(session.setup);
        self.direction = self.direction.or(session.direction);
        self.extensions.extend_from_slice(&session.extensions);
        self.allow_mixed |= session.allow_mixed;
    }
}

impl Section {
    fn read(
        media: &sdp::description::media::MediaDescription,
        session: &Shared,
    ) -> Result<Self, SdpError> {
        let name = &media.media_name;
        let mut bundle_only = false;
        let mut section = Self {
            kind: match name.media.as_str() {
                "audio" => Some(TrackKind::Audio),
                "video" => Some(TrackKind::Video),
                _ => None,
            },
            media: name.media.clone(),
            protocol: name.protos.join("/"),
            formats: name.formats.clone(),
            mid: None,
            rejected: false,
            direction: Direction::SendRecv,
            rtcp_mux: false,
            rtcp_rsize: false,
            shared: Shared::default(),
            codecs: OfferedCodec::list(&name.formats),
            rids: Vec::new(),
            simulcast: None,
            ssrcs: Vec::new(),
            groups: Vec::new(),
        };
        if !section.formats.iter().all(|format| printable(format)) {
            return Err(SdpError::Malformed("m= line".to_owned()));
        }
        for attribute in &media.attributes {
            let value = attribute.value.as_deref().unwrap_or_default();
            if !printable(value) {
                continue;
            }
            match attribute.key.as_str() {
                "mid" => section.mid = Some(mid(value)?),
                "bundle-only" => bundle_only = true,
                "rtcp-mux" => section.rtcp_mux = true,
                "rtcp-rsize" => section.rtcp_rsize = true,
                "rid" if section.rids.len() < LISTED => {
                    section.rids.extend(OfferedRid::read(value));
                }
                "simulcast" => section.simulcast = Some(value.to_owned()),
                "ssrc" if section.ssrcs.len() < LISTED => {
                    let ssrc = value.split(' ').next().and_then(|ssrc| ssrc.parse().ok());
                    if let Some(ssrc) = ssrc
                        && !section.ssrcs.contains(&ssrc)
                    {
                        section.ssrcs.push(ssrc);
                    }
                }
                "ssrc-group" if section.groups.len() < LISTED => {
                    section.groups.extend(SsrcGroup::read(value));
                }
                key @ ("rtpmap" | "fmtp" | "rtcp-fb") => {
                    OfferedCodec::describe(&mut section.codecs, key, value);
                }
                key => section.shared.read(key, value)?,
            }
        }
        section.shared.inherit(session);
        section.direction = section.shared.direction.unwrap_or(Direction::SendRecv);
        section.rejected = name.port.value == 0 && !bundle_only;
        Ok(section)
    }
}

fn mid(value: &str) -> Result<String, SdpError> {
    if !is_token(value) {
        return Err(SdpError::Malformed("mid".to_owned()));
    }
    if value.len() > limits::MID {
        return Err(SdpError::Unusable(format!(
            "a mid may have {} characters",
            limits::MID
        )));
    }
    Ok(value.to_owned())
}

/// The parser repeats what it was given; its sender needs only the beginning.
fn shortened(text: &str) -> String {
    let mut short: String = text
        .chars()
        .take(120)
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short
}
