//! A viewer's connection (WHEP): the client offers what it wants to receive.

use forebay_ipc::media::{Extensions, TrackKind};

use super::answer::{Answered, Offer};
use super::attributes::Direction;
use super::codecs::{Chosen, CodecPolicy, choose};
use super::extensions::Sender;
use super::{
    AcceptedCodec, LocalTransport, NegotiatedSection, NegotiatedSubscriber, SdpError, SentTrack,
};

/// A parsed offer.
#[derive(Debug, Clone)]
pub struct ViewerOffer {
    offer: Offer,
}

impl ViewerOffer {
    /// Reads an offer of at most [`MAX`](super::MAX) bytes.
    pub fn parse(text: &str) -> Result<Self, SdpError> {
        Offer::parse(text).map(|offer| Self { offer })
    }

    /// The sections that can receive, in the offer's order: mid, kind and
    /// what they take.
    pub fn sections(&self) -> Vec<(String, TrackKind, Vec<AcceptedCodec>)> {
        self.offer
            .accepted()
            .filter(|(_, section)| section.direction.receives())
            .filter_map(|(_, section)| {
                let kind = section.kind?;
                let codecs = choose(&section.codecs, kind, &CodecPolicy::default());
                let accepted = codecs.iter().map(accepted).collect();
                Some((section.mid.clone()?, kind, accepted))
            })
            .collect()
    }

    /// The answer with these tracks in these sections (by mid); the others
    /// are inactive.
    pub fn answer(
        &self,
        local: &LocalTransport,
        cname: &str,
        sent: &[(String, SentTrack)],
    ) -> Result<(String, NegotiatedSubscriber), SdpError> {
        let mut negotiated = NegotiatedSubscriber {
            remote: self.offer.remote.clone(),
            extensions: Extensions::default(),
            transport_cc: false,
            sections: Vec::new(),
        };
        let mut parts = Vec::new();
        for (place, section) in self.offer.accepted() {
            let (Some(kind), Some(mid)) = (section.kind, &section.mid) else {
                continue;
            };
            let track = sent.iter().find(|(to, track)| {
                to == mid && track.kind == kind && section.direction.receives()
            });
            let direction = match track {
                Some(_) => Direction::SendOnly,
                None => Direction::Inactive,
            };
            let answered = Answered::new(
                section,
                kind,
                Sender::Us,
                &CodecPolicy::default(),
                &mut negotiated.extensions,
            );
            let mut part = answered.part(&self.offer, place, section, direction, local);
            if let Some((_, track)) = track {
                let mut track = track.clone();
                if answered.codecs.iter().all(|codec| codec.rtx.is_none()) {
                    track.rtx_ssrc = None;
                }
                part.sent(&track, cname);
                negotiated.transport_cc |= answered.transport_cc;
                negotiated.sections.push(NegotiatedSection {
                    mid: mid.clone(),
                    kind,
                    accepted: answered.codecs.iter().map(accepted).collect(),
                });
            }
            parts.push((place, part));
        }
        Ok((self.offer.answer(parts), negotiated))
    }
}

fn accepted(codec: &Chosen<'_>) -> AcceptedCodec {
    AcceptedCodec {
        format: codec.format,
        payload_type: codec.offered.payload_type,
        rtx: codec.rtx.map(|rtx| rtx.payload_type),
    }
}
