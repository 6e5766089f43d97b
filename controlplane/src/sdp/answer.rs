//! What the answers to publishers and to viewers have in common.

use forebay_ipc::media::{Extensions, TrackKind};

use super::attributes::{Direction, OfferedCodec, Setup};
use super::codecs::{Chosen, CodecPolicy, choose};
use super::description::{Description, Section};
use super::extensions::{Sender, TRANSPORT_CC, accept};
use super::write::Part;
use super::{LocalTransport, RemoteTransport, SdpError};

/// An offer with what we can use of it.
#[derive(Debug, Clone)]
pub(super) struct Offer {
    pub(super) description: Description,
    /// Places of the sections we accept, the one that stands for the group
    /// first.
    accepted: Vec<usize>,
    pub(super) remote: RemoteTransport,
}

impl Offer {
    pub(super) fn parse(text: &str) -> Result<Self, SdpError> {
        let description = Description::parse(text)?;
        let usable: Vec<usize> = description
            .sections
            .iter()
            .enumerate()
            .filter(|(_, section)| usable(section))
            .map(|(place, _)| place)
            .collect();
        let accepted = match &description.bundle {
            Some(mids) => mids
                .iter()
                .filter_map(|mid| {
                    usable.iter().copied().find(|place| {
                        description.sections[*place].mid.as_deref() == Some(mid.as_str())
                    })
                })
                .fold(Vec::new(), |mut places, place| {
                    if !places.contains(&place) {
                        places.push(place);
                    }
                    places
                }),
            None if usable.len() > 1 => {
                return Err(SdpError::Unusable(
                    "a=group:BUNDLE is required: all media is sent over one transport".to_owned(),
                ));
            }
            None => usable,
        };
        let Some(first) = accepted.first() else {
            return Err(SdpError::Unusable(
                "no audio or video section over UDP/TLS/RTP/SAVPF with a codec known here"
                    .to_owned(),
            ));
        };
        let remote = remote(&description.sections[*first], Role::Offers)?;
        for place in &accepted {
            let section = &description.sections[*place];
            let complaint = if section.mid.is_none() {
                "a section has no mid"
            } else if !section.rtcp_mux {
                "a section has no rtcp-mux"
            } else {
                continue;
            };
            return Err(SdpError::Unusable(complaint.to_owned()));
        }
        Ok(Self {
            description,
            accepted,
            remote,
        })
    }

    /// The sections we accept, in the offer's order.
    pub(super) fn accepted(&self) -> impl Iterator<Item = (usize, &Section)> {
        self.description
            .sections
            .iter()
            .enumerate()
            .filter(|(place, _)| self.accepted.contains(place))
    }

    /// The answer of these parts, one for each accepted section; the others
    /// are rejected.
    pub(super) fn answer(&self, mut parts: Vec<(usize, Part)>) -> String {
        let sections = &self.description.sections;
        let mids: Vec<&str> = self
            .accepted
            .iter()
            .filter_map(|place| sections[*place].mid.as_deref())
            .collect();
        let group = if self.description.bundle.is_some() {
            mids.as_slice()
        } else {
            &[]
        };
        let allow_mixed = self.description.allow_mixed
            || self
                .accepted()
                .all(|(_, section)| section.shared.allow_mixed);
        let parts = sections
            .iter()
            .enumerate()
            .map(|(place, section)| {
                match parts.iter().position(|(accepted, _)| *accepted == place) {
                    Some(found) => parts.swap_remove(found).1,
                    None => rejected(section),
                }
            })
            .collect();
        super::write::description(
            self.description.session_id,
            self.description.version,
            group,
            allow_mixed,
            parts,
        )
    }

    /// Whether candidates stand in this section (RFC 9143 §7.1.3).
    fn is_tagged(&self, place: usize) -> bool {
        self.accepted.first() == Some(&place)
    }
}

/// Whether a section can be accepted at all.
fn usable(section: &Section) -> bool {
    let Some(kind) = section.kind else {
        return false;
    };
    let secure = matches!(
        section.protocol.as_str(),
        "UDP/TLS/RTP/SAVPF" | "UDP/TLS/RTP/SAVP" | "RTP/SAVPF"
    );
    secure
        && !section.rejected
        && !choose(&section.codecs, kind, &CodecPolicy::default()).is_empty()
}

/// Which of the two a description is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Offers,
    Answers,
}

/// The peer's end of the transport, as the section that stands for the BUNDLE
/// group has it. The peer opens the DTLS association: we are ICE-lite and
/// reachable, so the first flight is theirs.
pub(super) fn remote(section: &Section, role: Role) -> Result<RemoteTransport, SdpError> {
    let unusable = |complaint: &str| Err(SdpError::Unusable(complaint.to_owned()));
    let shared = &section.shared;
    let (Some(ufrag), true) = (&shared.ufrag, shared.password) else {
        return unusable("ice-ufrag or ice-pwd is missing");
    };
    let fingerprint = shared.fingerprints.iter().find_map(|(_, value)| *value);
    let Some(fingerprint) = fingerprint else {
        return match shared.fingerprints.first() {
            Some((function, _)) => Err(SdpError::Unusable(format!(
                "the fingerprint is {function}; sha-256 is required"
            ))),
            None => unusable("the certificate's fingerprint is missing"),
        };
    };
    match (shared.setup, role) {
        (Some(Setup::Passive), _) => {
            return unusable("setup:passive on both ends: the client must open the association");
        }
        (Some(Setup::HoldConn), _) => return unusable("setup:holdconn is not supported"),
        (Some(Setup::ActPass), Role::Answers) => {
            return unusable("setup:actpass is no answer");
        }
        (Some(Setup::Active | Setup::ActPass) | None, _) => {}
    }
    Ok(RemoteTransport {
        ufrag: ufrag.clone(),
        fingerprint,
    })
}

fn rejected(section: &Section) -> Part {
    let mut part = Part::new(
        &section.media,
        false,
        &section.protocol,
        section.formats.clone(),
    );
    if let Some(mid) = &section.mid {
        part.attribute("mid", mid.as_str());
    }
    part.flag("inactive");
    part
}

/// How an accepted section is answered.
pub(super) struct Answered<'a> {
    kind: TrackKind,
    sender: Sender,
    pub(super) codecs: Vec<Chosen<'a>>,
    /// Whether transport-wide feedback goes with it.
    pub(super) transport_cc: bool,
    /// Whether lost packets are asked for.
    pub(super) nack: bool,
    /// Whether FIR is understood, and PLI is not.
    pub(super) fir: bool,
    /// The values of `extmap` we took.
    pub(super) extensions: Vec<String>,
}

/// The peer's feedback messages we keep. A subscriber may bound us with REMB;
/// we never send it.
fn feedback(kind: TrackKind, sender: Sender) -> &'static [&'static str] {
    match (kind, sender) {
        (TrackKind::Audio, _) => &["transport-cc"],
        (TrackKind::Video, Sender::Peer) => &["transport-cc", "nack", "nack pli", "ccm fir"],
        (TrackKind::Video, Sender::Us) => {
            &["transport-cc", "nack", "nack pli", "ccm fir", "goog-remb"]
        }
    }
}

impl<'a> Answered<'a> {
    /// Decides on the section's codecs and extensions.
    pub(super) fn new(
        section: &'a Section,
        kind: TrackKind,
        sender: Sender,
        policy: &CodecPolicy,
        agreed: &mut Extensions,
    ) -> Self {
        let codecs = choose(&section.codecs, kind, policy);
        let extensions = accept(&section.shared.extensions, kind, sender, agreed);
        let says = |message: &str| {
            codecs
                .iter()
                .any(|codec| codec.offered.feedback.iter().any(|fb| fb == message))
        };
        Self {
            kind,
            sender,
            transport_cc: says("transport-cc")
                && extensions.iter().any(|line| line.ends_with(TRANSPORT_CC)),
            nack: kind == TrackKind::Video && says("nack"),
            fir: kind == TrackKind::Video && says("ccm fir") && !says("nack pli"),
            codecs,
            extensions,
        }
    }

    /// The section with everything but its encodings.
    pub(super) fn part(
        &self,
        offer: &Offer,
        place: usize,
        section: &Section,
        direction: Direction,
        local: &LocalTransport,
    ) -> Part {
        let types = self.codecs.iter().flat_map(|codec| {
            [Some(codec.offered), codec.rtx]
                .into_iter()
                .flatten()
                .map(|codec| codec.payload_type.to_string())
        });
        let mut part = Part::new(&section.media, true, &section.protocol, types.collect());
        part.transport(local, "passive", offer.is_tagged(place));
        if let Some(mid) = &section.mid {
            part.attribute("mid", mid.as_str());
        }
        for extension in &self.extensions {
            part.attribute("extmap", extension.as_str());
        }
        part.flag(direction.as_str());
        part.flag("rtcp-mux");
        if section.rtcp_rsize {
            part.flag("rtcp-rsize");
        }
        for codec in &self.codecs {
            let payload_type = codec.offered.payload_type;
            part.attribute("rtpmap", format!("{payload_type} {}", codec.offered.map));
            for message in feedback(self.kind, self.sender) {
                let offered = codec.offered.feedback.iter().any(|fb| fb == message);
                if offered && (*message != "transport-cc" || self.transport_cc) {
                    part.attribute("rtcp-fb", format!("{payload_type} {message}"));
                }
            }
            let parameters = parameters(codec.offered, self.kind);
            if !parameters.is_empty() {
                part.attribute("fmtp", format!("{payload_type} {parameters}"));
            }
            if let Some(rtx) = codec.rtx {
                part.attribute("rtpmap", format!("{} {}", rtx.payload_type, rtx.map));
                let apt = format!("{} apt={payload_type}", rtx.payload_type);
                part.attribute("fmtp", apt);
            }
        }
        part
    }
}

/// The format parameters of the answer: the offer's, without what describes
/// the offerer's own stream or decoder. Opus always carries in-band FEC, and
/// stereo when the peer means to send it (RFC 7587 §7.1).
fn parameters(codec: &OfferedCodec, kind: TrackKind) -> String {
    let mut kept: Vec<&str> = codec
        .parameters
        .split(';')
        .map(str::trim)
        .filter(|parameter| {
            let key = parameter.split('=').next().unwrap_or_default();
            let own = key.starts_with("sprop-") || key == "max-fs" || key == "max-fr";
            !parameter.is_empty() && !own
        })
        .collect();
    if kind == TrackKind::Audio {
        kept.retain(|parameter| !parameter.starts_with("useinbandfec="));
        kept.push("useinbandfec=1");
        if codec.parameter("sprop-stereo") == Some("1") && codec.parameter("stereo").is_none() {
            kept.push("stereo=1");
        }
    }
    kept.join(";")
}
