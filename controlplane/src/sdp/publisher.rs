//! The publisher connection: the client offers.

use forebay_ipc::media::{Extensions, PublishedCodec, TrackKind};
use serde::{Deserialize, Serialize};

use super::answer::{Answered, Offer};
use super::attributes::Direction;
use super::codecs::{CodecPolicy, NegotiatedCodec};
use super::extensions::{RID, Sender};
use super::simulcast::sending;
use super::{LocalTransport, NegotiatedPublisher, NegotiatedTrack, RemoteTransport, SdpError};

/// A parsed offer.
#[derive(Debug, Clone)]
pub struct PublisherOffer {
    offer: Offer,
}

/// What an offer must agree with when it follows another on the same
/// connection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublisherNote {
    /// The publisher's username fragment; another one asks for an ICE restart
    /// (RFC 8839 §4.4.1.1.1).
    ufrag: String,
    /// Kind and mid of each section; none for one that was rejected, whose
    /// place may be used anew.
    sections: Vec<Option<(char, String)>>,
}

impl PublisherOffer {
    /// Reads an offer of at most [`MAX`](super::MAX) bytes.
    pub fn parse(text: &str) -> Result<Self, SdpError> {
        Offer::parse(text).map(|offer| Self { offer })
    }

    /// The publisher's end.
    pub fn remote(&self) -> &RemoteTransport {
        &self.offer.remote
    }

    /// To compare the next offer with.
    pub fn note(&self) -> PublisherNote {
        let mut sections = vec![None; self.offer.description.sections.len()];
        for (place, section) in self.offer.accepted() {
            let kind = if section.kind == Some(TrackKind::Audio) {
                'a'
            } else {
                'v'
            };
            sections[place] = section.mid.clone().map(|mid| (kind, mid));
        }
        PublisherNote {
            ufrag: self.offer.remote.ufrag.clone(),
            sections,
        }
    }

    /// Whether this offer restarts ICE, so that the answer needs new
    /// credentials of ours. Sections keep their place for the connection's
    /// life (RFC 3264 §8).
    pub fn restarts(&self, previous: &PublisherNote) -> Result<bool, SdpError> {
        let now = self.note();
        let kept = now.sections.len() >= previous.sections.len()
            && previous.sections.iter().zip(&now.sections).all(|pair| {
                let (Some(before), Some(now)) = pair else {
                    return true;
                };
                before == now
            });
        if !kept {
            return Err(SdpError::Unusable(
                "the sections are not those of the previous offer".to_owned(),
            ));
        }
        Ok(now.ufrag != previous.ufrag)
    }

    /// How many audio and video sections would send.
    pub fn sending(&self) -> (usize, usize) {
        let count = |kind| {
            self.offer
                .accepted()
                .filter(|(_, section)| section.direction.sends() && section.kind == Some(kind))
                .count()
        };
        (count(TrackKind::Audio), count(TrackKind::Video))
    }

    /// Whether a section that would send is not accepted: unknown codecs or
    /// transport, or outside the BUNDLE group.
    pub fn is_partly_refused(&self) -> bool {
        let sections = &self.offer.description.sections;
        sections.iter().enumerate().any(|(place, section)| {
            section.kind.is_some()
                && !section.rejected
                && section.direction.sends()
                && !self.offer.accepted().any(|(accepted, _)| accepted == place)
        })
    }

    /// The answer, and what was negotiated, with every codec we know.
    pub fn answer(
        &self,
        local: &LocalTransport,
    ) -> Result<(String, NegotiatedPublisher), SdpError> {
        self.answer_by(local, &CodecPolicy::default())
    }

    /// The answer, and what was negotiated, with the codecs allowed. A
    /// section that is left without any is inactive.
    pub fn answer_by(
        &self,
        local: &LocalTransport,
        policy: &CodecPolicy,
    ) -> Result<(String, NegotiatedPublisher), SdpError> {
        let mut extensions = Extensions::default();
        let mut transport_cc = false;
        let mut tracks = Vec::new();
        let mut parts = Vec::new();
        for (place, section) in self.offer.accepted() {
            let (Some(kind), Some(mid)) = (section.kind, &section.mid) else {
                continue;
            };
            let sender = Sender::Peer;
            let mut answered = Answered::new(section, kind, sender, policy, &mut extensions);
            let sends = section.direction.sends() && !answered.codecs.is_empty();
            if answered.codecs.is_empty() {
                // An m= line needs a format.
                answered.codecs =
                    super::codecs::choose(&section.codecs, kind, &CodecPolicy::default());
            }
            let direction = if sends {
                Direction::RecvOnly
            } else {
                Direction::Inactive
            };
            let mut part = answered.part(&self.offer, place, section, direction, local);
            if sends {
                let by_rid = answered.extensions.iter().any(|line| line.ends_with(RID));
                let sending = sending(section, by_rid && kind == TrackKind::Video);
                if !sending.rids.is_empty() {
                    for rid in &sending.rids {
                        let line = format!("{} recv {}", rid.rid, rid.restrictions);
                        part.attribute("rid", line.trim_end());
                    }
                    let rids: Vec<&str> = sending.rids.iter().map(|r| r.rid.as_str()).collect();
                    part.attribute("simulcast", format!("recv {}", rids.join(";")));
                }
                transport_cc |= answered.transport_cc;
                tracks.push(NegotiatedTrack {
                    mid: mid.clone(),
                    kind,
                    codecs: answered.codecs.iter().map(negotiated).collect(),
                    encodings: sending.encodings,
                    nack: answered.nack,
                    fir: answered.fir,
                });
            }
            parts.push((place, part));
        }
        let negotiated = NegotiatedPublisher {
            remote: self.offer.remote.clone(),
            extensions,
            transport_cc,
            tracks,
        };
        Ok((self.offer.answer(parts), negotiated))
    }
}

fn negotiated(codec: &super::codecs::Chosen<'_>) -> NegotiatedCodec {
    NegotiatedCodec {
        published: PublishedCodec {
            payload_type: codec.offered.payload_type,
            codec: codec.format.codec(),
            clock_rate: codec.offered.clock_rate,
            rtx: codec.rtx.map(|rtx| rtx.payload_type),
        },
        format: codec.format,
    }
}
