//! The subscriber connection: we offer.

use forebay_ipc::media::{Extensions, TrackKind};
use serde::{Deserialize, Serialize};

use super::answer::{Role, remote};
use super::codecs::{Format, ROWS, Row};
use super::description::{Description, Section};
use super::extensions::{KNOWN, Sender, TRANSPORT_CC, kept};
use super::write::{Part, description};
use super::{
    AcceptedCodec, LocalTransport, NegotiatedSection, NegotiatedSubscriber, SECTIONS, SdpError,
    SentTrack,
};

const PROTOCOL: &str = "UDP/TLS/RTP/SAVPF";

/// What all sections together may weigh, so that an offer stays below
/// [`MAX`](super::MAX): 20 of each kind, or 60 of sound.
const WEIGHT: usize = 60;

/// A section in about kilobytes.
fn weight(kind: TrackKind) -> usize {
    match kind {
        TrackKind::Audio => 1,
        TrackKind::Video => 2,
    }
}

/// The sections of a subscriber connection in their order. Sections are never
/// removed, only idle; an idle one of the same kind is used again.
#[derive(Debug, Clone)]
pub struct SubscriberState {
    session_id: u64,
    version: u64,
    cname: String,
    places: Vec<Place>,
    /// How many of them the latest offer had.
    offered: usize,
}

/// A section; its mid is its index.
#[derive(Debug, Clone)]
struct Place {
    kind: TrackKind,
    /// The client stopped it; its place stays unused.
    refused: bool,
    sent: Option<SentTrack>,
}

/// What must be remembered of a [`SubscriberState`] beside the tracks that
/// are sent: at most 2 KiB as JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubscriberNote {
    session_id: u64,
    /// Of `o=`; rises with every offer.
    version: u64,
    /// `a` or `v` per section, in capitals when the client refuses it; its
    /// mid is its index.
    sections: String,
}

impl SubscriberState {
    /// Without sections. `cname` is that of the data plane's session.
    pub fn new(session_id: u64, cname: &str) -> Self {
        Self {
            // RFC 9429 §5.2.1 wants a number that fits 63 bits.
            session_id: session_id >> 1,
            version: 0,
            cname: cname.to_owned(),
            places: Vec::new(),
            offered: 0,
        }
    }

    /// From a note and what is sent by mid.
    pub fn restore(note: SubscriberNote, cname: &str, sent: Vec<(String, SentTrack)>) -> Self {
        let mut places: Vec<Place> = note
            .sections
            .chars()
            .take(SECTIONS)
            .map(|section| Place {
                kind: match section.to_ascii_lowercase() {
                    'a' => TrackKind::Audio,
                    _ => TrackKind::Video,
                },
                refused: section.is_ascii_uppercase(),
                sent: None,
            })
            .collect();
        for (mid, track) in sent {
            let place = mid.parse().ok().and_then(|i: usize| places.get_mut(i));
            if let Some(place) = place
                && place.kind == track.kind
                && !place.refused
            {
                place.sent = Some(track);
            }
        }
        Self {
            session_id: note.session_id,
            version: note.version,
            cname: cname.to_owned(),
            offered: places.len(),
            places,
        }
    }

    /// To be kept with the session.
    pub fn note(&self) -> SubscriberNote {
        SubscriberNote {
            session_id: self.session_id,
            version: self.version,
            sections: self
                .places
                .iter()
                .map(|place| match (place.kind, place.refused) {
                    (TrackKind::Audio, false) => 'a',
                    (TrackKind::Audio, true) => 'A',
                    (TrackKind::Video, false) => 'v',
                    (TrackKind::Video, true) => 'V',
                })
                .collect(),
        }
    }

    /// Gives the track a section; its mid. Refused when there are too many
    /// sections.
    pub fn add(&mut self, track: SentTrack) -> Result<String, SdpError> {
        let idle = self
            .places
            .iter()
            .position(|place| place.kind == track.kind && place.sent.is_none() && !place.refused);
        let index = match idle {
            Some(index) => index,
            None if self.weight() + weight(track.kind) <= WEIGHT => {
                self.places.push(Place {
                    kind: track.kind,
                    refused: false,
                    sent: None,
                });
                self.places.len() - 1
            }
            None => return Err(SdpError::TooMany("sections")),
        };
        self.places[index].sent = Some(track);
        Ok(index.to_string())
    }

    fn weight(&self) -> usize {
        self.places.iter().map(|place| weight(place.kind)).sum()
    }

    /// The section is idle from the next offer on.
    pub fn remove(&mut self, mid: &str) {
        let place = mid.parse().ok().and_then(|i: usize| self.places.get_mut(i));
        if let Some(place) = place {
            place.sent = None;
        }
    }

    /// Everything a browser may be sent before its first answer narrows it.
    pub fn offered() -> Vec<AcceptedCodec> {
        ROWS.iter().map(|row| row.accepted).collect()
    }

    /// The next offer. There is nothing to offer without a section.
    pub fn offer(&mut self, local: &LocalTransport) -> String {
        self.version += 1;
        self.offered = self.places.len();
        let used: Vec<String> = self
            .places
            .iter()
            .enumerate()
            .filter(|(_, place)| !place.refused)
            .map(|(index, _)| index.to_string())
            .collect();
        let parts = self
            .places
            .iter()
            .enumerate()
            .map(|(index, place)| {
                let mid = index.to_string();
                let tagged = used.first() == Some(&mid);
                self.part(place, mid, tagged, local)
            })
            .collect();
        let group: Vec<&str> = used.iter().map(String::as_str).collect();
        description(self.session_id, self.version, &group, true, parts)
    }

    fn part(&self, place: &Place, mid: String, tagged: bool, local: &LocalTransport) -> Part {
        let media = match place.kind {
            TrackKind::Audio => "audio",
            TrackKind::Video => "video",
        };
        let rows = || rows(place.kind);
        let types = rows().flat_map(|row| {
            let rtx = row.accepted.rtx.map(|rtx| rtx.to_string());
            [Some(row.accepted.payload_type.to_string()), rtx]
        });
        let types = types.flatten().collect();
        let mut part = Part::new(media, !place.refused, PROTOCOL, types);
        if place.refused {
            part.attribute("mid", mid);
            part.flag("inactive");
            return part;
        }
        // The client answers active: RFC 8842 §5.2 leaves the choice to the
        // answerer, RFC 9429 §5.3.1 settles it.
        part.transport(local, "actpass", tagged);
        part.attribute("mid", mid);
        for extension in KNOWN
            .iter()
            .filter(|known| known.concerns(place.kind, Sender::Us))
        {
            part.attribute("extmap", format!("{} {}", extension.id, extension.uri));
        }
        part.flag(if place.sent.is_some() {
            "sendonly"
        } else {
            "inactive"
        });
        part.flag("rtcp-mux");
        part.flag("rtcp-rsize");
        for row in rows() {
            describe(&mut part, row);
        }
        if let Some(track) = &place.sent {
            part.sent(track, &self.cname);
        }
        part
    }

    /// Reads the answer to the latest offer.
    pub fn apply_answer(&mut self, text: &str) -> Result<NegotiatedSubscriber, SdpError> {
        let answer = Description::parse(text)?;
        // Sections may have come since.
        let fits = answer.sections.len() == self.offered
            && answer.sections.iter().zip(&self.places).enumerate().all(
                |(index, (section, place))| {
                    let mid = section.mid.as_ref();
                    (section.rejected || section.kind == Some(place.kind))
                        && mid.is_none_or(|mid| *mid == index.to_string())
                },
            );
        if !fits {
            return Err(SdpError::Unusable(
                "the sections of the answer are not those of the offer".to_owned(),
            ));
        }
        let first = match &answer.bundle {
            Some(mids) => mids.iter().find_map(|mid| {
                let mid = Some(mid);
                answer
                    .sections
                    .iter()
                    .find(|section| section.mid.as_ref() == mid && !section.rejected)
            }),
            None => answer.sections.iter().find(|section| !section.rejected),
        };
        let Some(first) = first else {
            return Err(SdpError::Unusable(
                "the answer rejects every section".to_owned(),
            ));
        };
        let bundled = |mid: &Option<String>| match (&answer.bundle, mid) {
            (Some(mids), Some(mid)) => mids.contains(mid),
            _ => self.offered == 1,
        };
        let mut negotiated = NegotiatedSubscriber {
            remote: remote(first, Role::Answers)?,
            extensions: Extensions::default(),
            transport_cc: false,
            sections: Vec::new(),
        };
        let mut refused = vec![false; self.places.len()];
        for (index, (section, place)) in answer.sections.iter().zip(&self.places).enumerate() {
            if section.rejected {
                refused[index] = true;
                continue;
            }
            if !bundled(&section.mid) {
                return Err(SdpError::Unusable(
                    "the answer leaves a section out of the BUNDLE group".to_owned(),
                ));
            }
            kept(&section.shared.extensions, &mut negotiated.extensions);
            if !section.direction.receives() {
                continue;
            }
            negotiated.transport_cc |= transport_cc(section);
            negotiated.sections.push(NegotiatedSection {
                mid: index.to_string(),
                kind: place.kind,
                accepted: accepted(section, place.kind),
            });
        }
        for (place, refused) in self.places.iter_mut().zip(refused) {
            if refused {
                place.refused = true;
                place.sent = None;
            }
        }
        Ok(negotiated)
    }
}

fn rows(kind: TrackKind) -> impl Iterator<Item = &'static Row> {
    ROWS.iter()
        .filter(move |row| row.accepted.format.kind() == kind)
}

fn describe(part: &mut Part, row: &Row) {
    let AcceptedCodec {
        format,
        payload_type,
        rtx,
    } = row.accepted;
    part.attribute("rtpmap", format!("{payload_type} {}", row.map));
    let feedback: &[&str] = match format.kind() {
        TrackKind::Audio => &["transport-cc"],
        TrackKind::Video => &["transport-cc", "nack", "nack pli", "ccm fir", "goog-remb"],
    };
    for message in feedback {
        part.attribute("rtcp-fb", format!("{payload_type} {message}"));
    }
    if !row.parameters.is_empty() {
        part.attribute("fmtp", format!("{payload_type} {}", row.parameters));
    }
    if let Some(rtx) = rtx {
        part.attribute("rtpmap", format!("{rtx} rtx/90000"));
        part.attribute("fmtp", format!("{rtx} apt={payload_type}"));
    }
}

/// Which of our payload types the answer kept. It may name them otherwise
/// only by breaking RFC 3264 §6.1, which no browser does.
fn accepted(section: &Section, kind: TrackKind) -> Vec<AcceptedCodec> {
    let answered = |payload_type: u8| {
        section
            .codecs
            .iter()
            .find(|codec| codec.payload_type == payload_type)
    };
    let mut accepted: Vec<(usize, AcceptedCodec)> = rows(kind)
        .filter_map(|row| {
            let AcceptedCodec {
                format,
                payload_type,
                rtx,
            } = row.accepted;
            let place = section
                .codecs
                .iter()
                .position(|codec| codec.payload_type == payload_type)?;
            Format::of(&section.codecs[place])
                .filter(|answered| answered.codec() == format.codec())?;
            let rtx = rtx.filter(|rtx| answered(*rtx).is_some_and(|codec| codec.name == "rtx"));
            let accepted = AcceptedCodec {
                format,
                payload_type,
                rtx,
            };
            Some((place, accepted))
        })
        .collect();
    accepted.sort_by_key(|(place, _)| *place);
    accepted.into_iter().map(|(_, accepted)| accepted).collect()
}

fn transport_cc(section: &Section) -> bool {
    let extension = section
        .shared
        .extensions
        .iter()
        .any(|extension| extension.uri == TRANSPORT_CC);
    extension
        && section
            .codecs
            .iter()
            .any(|codec| codec.feedback.iter().any(|fb| fb == "transport-cc"))
}
