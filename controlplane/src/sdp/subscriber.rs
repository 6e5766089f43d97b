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
/// removed, only idle; an idle one of the same kind is used again, and when
/// those of the other kind take all the room, one of them is closed to become
/// another section in its place (RFC 9429 §5.2.2).
#[derive(Debug, Clone)]
pub struct SubscriberState {
    session_id: u64,
    version: u64,
    cname: String,
    places: Vec<Place>,
    /// The mids of the latest offer, and their kinds.
    offered: Vec<(u32, TrackKind)>,
    /// Of the next new section.
    next_mid: u32,
}

/// A section.
#[derive(Debug, Clone)]
struct Place {
    mid: u32,
    kind: TrackKind,
    /// How far it is given up.
    end: End,
    sent: Option<SentTrack>,
}

/// How far a section is given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// Not at all.
    None,
    /// Offered as rejected, and not yet answered so.
    Closing,
    /// Rejected on both sides: its place may become another section.
    Closed,
}

/// What must be remembered of a [`SubscriberState`] beside the tracks that
/// are sent: at most 2 KiB as JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubscriberNote {
    session_id: u64,
    /// Of `o=`; rises with every offer.
    version: u64,
    /// `a` or `v` per section, in capitals when it is given up.
    sections: String,
    /// Per section; left out while they are the sections' places.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    mids: Vec<u32>,
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
            offered: Vec::new(),
            next_mid: 0,
        }
    }

    /// From a note and what is sent by mid.
    pub fn restore(note: SubscriberNote, cname: &str, sent: Vec<(String, SentTrack)>) -> Self {
        let mids = note.mids.iter().copied().chain(
            // Sections that were never given up have their place as mid.
            (0..).skip(note.mids.len()),
        );
        let mut places: Vec<Place> = note
            .sections
            .chars()
            .take(SECTIONS)
            .zip(mids)
            .map(|(section, mid)| Place {
                mid,
                kind: match section.to_ascii_lowercase() {
                    'a' => TrackKind::Audio,
                    _ => TrackKind::Video,
                },
                // The answer may never have come.
                end: if section.is_ascii_uppercase() {
                    End::Closing
                } else {
                    End::None
                },
                sent: None,
            })
            .collect();
        for (mid, track) in sent {
            if let Some(place) = find(&mut places, &mid)
                && place.kind == track.kind
                && place.end == End::None
            {
                place.sent = Some(track);
            }
        }
        Self {
            session_id: note.session_id,
            version: note.version,
            cname: cname.to_owned(),
            offered: places.iter().map(|place| (place.mid, place.kind)).collect(),
            next_mid: places.iter().map(|place| place.mid + 1).max().unwrap_or(0),
            places,
        }
    }

    /// To be kept with the session.
    pub fn note(&self) -> SubscriberNote {
        let plain = self.places.iter().zip(0..).all(|(place, i)| place.mid == i);
        SubscriberNote {
            session_id: self.session_id,
            version: self.version,
            sections: self
                .places
                .iter()
                .map(|place| match (place.kind, place.end) {
                    (TrackKind::Audio, End::None) => 'a',
                    (TrackKind::Audio, _) => 'A',
                    (TrackKind::Video, End::None) => 'v',
                    (TrackKind::Video, _) => 'V',
                })
                .collect(),
            mids: if plain {
                Vec::new()
            } else {
                self.places.iter().map(|place| place.mid).collect()
            },
        }
    }

    /// Gives the track a section; its mid. Idle ones of the other kind that
    /// are in the way are closed. Refused while there are too many sections:
    /// what [`is_closing`](Self::is_closing) makes room once it is answered.
    pub fn add(&mut self, track: SentTrack) -> Result<String, SdpError> {
        let idle = self.places.iter().position(|place| {
            place.kind == track.kind && place.sent.is_none() && place.end == End::None
        });
        let index = match idle {
            Some(index) => index,
            None => {
                self.make_room(track.kind);
                let full = SdpError::TooMany("sections");
                if self.weight() + weight(track.kind) > WEIGHT {
                    return Err(full);
                }
                self.new_place(track.kind).ok_or(full)?
            }
        };
        let place = &mut self.places[index];
        place.sent = Some(track);
        Ok(place.mid.to_string())
    }

    /// A section in the place of one that was closed, or at the end.
    fn new_place(&mut self, kind: TrackKind) -> Option<usize> {
        let closed = self.places.iter().position(|p| p.end == End::Closed);
        let place = Place {
            mid: self.next_mid,
            kind,
            end: End::None,
            sent: None,
        };
        let index = match closed {
            Some(index) => {
                self.places[index] = place;
                index
            }
            None if self.places.len() < SECTIONS => {
                self.places.push(place);
                self.places.len() - 1
            }
            None => return None,
        };
        self.next_mid += 1;
        Some(index)
    }

    /// Closes idle sections, but never the one that stands for the BUNDLE
    /// group: that would move the transport.
    fn make_room(&mut self, kind: TrackKind) {
        let mut lacking = (self.weight() + weight(kind)).saturating_sub(WEIGHT);
        let idle = self
            .places
            .iter_mut()
            .filter(|place| place.end == End::None)
            .skip(1)
            .filter(|place| place.sent.is_none());
        for place in idle {
            if lacking == 0 {
                break;
            }
            place.end = End::Closing;
            lacking = lacking.saturating_sub(weight(place.kind));
        }
    }

    /// Whether sections are to be closed by the next offer.
    pub fn is_closing(&self) -> bool {
        self.places.iter().any(|place| place.end == End::Closing)
    }

    /// Of those that are or will be in use.
    fn weight(&self) -> usize {
        self.places
            .iter()
            .filter(|place| place.end == End::None)
            .map(|place| weight(place.kind))
            .sum()
    }

    /// The section is idle from the next offer on.
    pub fn remove(&mut self, mid: &str) {
        if let Some(place) = find(&mut self.places, mid) {
            place.sent = None;
        }
    }

    /// How many of so many audio and video tracks may have sections, `max` in
    /// all: half of them each when both need them, but what one kind leaves
    /// is the other's.
    pub fn shares(audio: usize, video: usize, max: usize) -> (usize, usize) {
        let pictures = video.min((max / 2).max(max.saturating_sub(audio)));
        let sounds = audio.min(max.saturating_sub(pictures)).min(WEIGHT);
        let room = (WEIGHT - sounds) / weight(TrackKind::Video);
        (sounds, pictures.min(room))
    }

    /// Everything a browser may be sent before its first answer narrows it.
    pub fn offered() -> Vec<AcceptedCodec> {
        ROWS.iter().map(|row| row.accepted).collect()
    }

    /// The next offer. There is nothing to offer without a section.
    pub fn offer(&mut self, local: &LocalTransport) -> String {
        self.version += 1;
        self.offered = self.places.iter().map(|p| (p.mid, p.kind)).collect();
        let used: Vec<String> = self
            .places
            .iter()
            .filter(|place| place.end == End::None)
            .map(|place| place.mid.to_string())
            .collect();
        let parts = self
            .places
            .iter()
            .map(|place| {
                let mid = place.mid.to_string();
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
        let used = place.end == End::None;
        let mut part = Part::new(media, used, PROTOCOL, types);
        if !used {
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
        let fits = answer.sections.len() == self.offered.len()
            && answer
                .sections
                .iter()
                .zip(&self.offered)
                .all(|(section, (mid, kind))| {
                    (section.rejected || section.kind == Some(*kind))
                        && section.mid.as_ref().is_none_or(|m| *m == mid.to_string())
                });
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
            _ => self.offered.len() == 1,
        };
        let mut negotiated = NegotiatedSubscriber {
            remote: remote(first, Role::Answers)?,
            extensions: Extensions::default(),
            transport_cc: false,
            sections: Vec::new(),
        };
        let mut rejected = Vec::new();
        for (section, (mid, kind)) in answer.sections.iter().zip(&self.offered) {
            if section.rejected {
                rejected.push(*mid);
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
                mid: mid.to_string(),
                kind: *kind,
                accepted: accepted(section, *kind),
            });
        }
        // By us, or by a client that stopped the section.
        for place in &mut self.places {
            if rejected.contains(&place.mid) {
                place.end = End::Closed;
                place.sent = None;
            }
        }
        Ok(negotiated)
    }
}

fn find<'a>(places: &'a mut [Place], mid: &str) -> Option<&'a mut Place> {
    let mid: u32 = mid.parse().ok()?;
    places.iter_mut().find(|place| place.mid == mid)
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
