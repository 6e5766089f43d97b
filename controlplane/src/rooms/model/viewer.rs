//! Viewers that offered their sections themselves (WHEP): sections stay,
//! tracks take turns in them.

use forebay_ipc::media::TrackKind;

use super::participant::{Connection, Track};
use super::room::Room;
use super::subscribe::new_section;
use super::subscriber::{FixedSection, Sections, Subscriber};
use super::{Context, Failure, Model, Whom};
use crate::rooms::ids::{ParticipantId, TrackId, random_ssrc};
use crate::rooms::message::{ConnectionName, ErrorCode, LayerWish, Source};
use crate::rooms::note::{self, SessionNote, ViewerSection};
use crate::sdp::{SentTrack, ViewerOffer, payload_map};
use crate::whip::LayerSelection;

impl Model {
    /// Answers a viewer's offer; what is published later is sent in the same
    /// sections.
    pub fn view(&mut self, whom: &Whom, offer: &str) -> Result<String, Failure> {
        let offer = ViewerOffer::parse(offer)
            .map_err(|error| Failure::new(ErrorCode::BadOffer, error.to_string()))?;
        self.with_room(&whom.room, |room, cx| {
            if !room.participant(whom.id)?.grants.subscribe {
                return Err(Failure::forbidden("subscribe"));
            }
            room.view(cx, whom.id, &offer)
        })
    }

    /// What a viewer asks to be sent in a section (the layer extension of
    /// WHEP): bounds, within which the data plane goes on choosing.
    pub fn select_layer(&mut self, whom: &Whom, selection: &LayerSelection) -> Result<(), Failure> {
        let wish = self.with_room(&whom.room, |room, _| room.layer_wish(whom.id, selection))?;
        self.layers(whom, None, &[wish])
    }
}

impl Room {
    fn layer_wish(
        &mut self,
        id: ParticipantId,
        selection: &LayerSelection,
    ) -> Result<LayerWish, Failure> {
        let person = self.participant(id)?;
        let subscriber = person
            .subscriber
            .as_ref()
            .ok_or_else(|| Failure::not_found("connection"))?;
        let Sections::Fixed(fixed) = &subscriber.state else {
            return Err(Failure::not_found("section"));
        };
        let chosen = match selection.media_id {
            Some(place) => fixed.get(place),
            None => fixed.iter().find(|section| !section.audio),
        };
        let section = chosen
            .and_then(|chosen| subscriber.sections.get(&chosen.mid))
            .ok_or_else(|| Failure::not_found("section with a track"))?;
        let track = section.track;
        let encodings = self
            .track(track)
            .map(|(_, track)| track.encodings.as_slice())
            .unwrap_or_default();
        let encoding = match &selection.encoding_id {
            None => None,
            Some(rid) => Some(
                encodings
                    .iter()
                    .zip(0_u8..)
                    .find(|(encoding, _)| encoding.rid.as_deref() == Some(rid))
                    .map(|(_, place)| place)
                    .ok_or_else(|| Failure::not_found("encoding"))?,
            ),
        };
        // Encodings count as spatial layers where there are several.
        let spatial = match (encoding, selection.spatial()) {
            (Some(encoding), _) => Some(encoding),
            (None, spatial) => spatial,
        };
        let small_enough = self
            .track(track)
            .map_or(3, |(_, track)| largest_within(track, selection));
        let spatial = spatial.map_or(small_enough, |spatial| spatial.min(small_enough));
        Ok(LayerWish {
            track,
            visible: None,
            width: None,
            height: None,
            max_spatial: Some(spatial.min(3)),
            max_temporal: Some(selection.temporal().unwrap_or(3).min(3)),
            priority: None,
        })
    }

    fn view(
        &mut self,
        cx: &mut Context,
        id: ParticipantId,
        offer: &ViewerOffer,
    ) -> Result<String, Failure> {
        let connection: Connection = self.new_connection(cx)?;
        let mut sections = Vec::new();
        let mut sent = Vec::new();
        let mut taken = Vec::new();
        for (mid, kind, accepted) in offer.sections() {
            let chosen = self.choose(id, kind, &accepted, &taken);
            taken.extend(chosen);
            let declared = (
                random_ssrc()?,
                match kind {
                    TrackKind::Video => Some(random_ssrc()?),
                    TrackKind::Audio => None,
                },
            );
            let (stream, track) = match chosen.and_then(|track| self.track(track)) {
                Some((publisher, track)) => (publisher.id.to_string(), track.id.to_string()),
                None => (self.name.to_string(), super::kind_name(kind).to_owned()),
            };
            sent.push((
                mid.clone(),
                SentTrack {
                    kind,
                    stream,
                    track,
                    ssrc: declared.0,
                    rtx_ssrc: declared.1,
                },
            ));
            sections.push(FixedSection {
                mid,
                audio: kind == TrackKind::Audio,
                accepted,
                declared: Some(declared),
            });
        }
        if sections.is_empty() {
            return Err(Failure::new(
                ErrorCode::BadOffer,
                "no section of the offer can receive",
            ));
        }
        let local = cx.local(&connection);
        let (answer, negotiated) = offer
            .answer(&local, &connection.session.cname, &sent)
            .map_err(|error| Failure::new(ErrorCode::BadOffer, error.to_string()))?;
        sections.retain(|section| negotiated.sections.iter().any(|n| n.mid == section.mid));
        let mut subscriber = Subscriber::new(connection, Sections::Fixed(sections), 0);
        subscriber.connection.set_remote(&negotiated.remote);
        subscriber.connection.session.extensions = negotiated.extensions;
        subscriber.connection.session.transport_cc = negotiated.transport_cc;
        self.close_connection(cx, id, ConnectionName::Subscriber);
        remember_viewer(&mut subscriber, self.person_note(id)?);
        cx.media.want_session(subscriber.connection.session.clone());
        cx.owners.sessions.insert(
            subscriber.connection.session.key,
            (self.whom(id), ConnectionName::Subscriber),
        );
        self.participant(id)?.subscriber = Some(subscriber);
        self.stale.insert(id);
        Ok(answer)
    }

    /// The track to show in a section: a screen before a camera, who spoke
    /// last before the others.
    fn choose(
        &self,
        viewer: ParticipantId,
        kind: TrackKind,
        accepted: &[crate::sdp::AcceptedCodec],
        taken: &[TrackId],
    ) -> Option<TrackId> {
        self.participants
            .values()
            .filter(|p| p.id != viewer)
            .flat_map(|p| p.tracks.values().map(move |t| (p, t)))
            .filter(|(_, t)| {
                t.kind == kind
                    && t.key.is_some()
                    && !taken.contains(&t.id)
                    && !payload_map(&t.codecs, accepted).is_empty()
            })
            .max_by_key(|(p, t)| {
                let screen = matches!(t.source, Source::Screen | Source::ScreenAudio);
                (screen, p.last_spoke, std::cmp::Reverse(p.joined_at))
            })
            .map(|(_, t)| t.id)
    }

    /// Ends what is gone and fills sections that are free.
    pub(super) fn sync_viewer(&mut self, cx: &mut Context, id: ParticipantId, wanted: &[TrackId]) {
        let Some(subscriber) = self
            .participants
            .get(&id)
            .and_then(|p| p.subscriber.as_ref())
        else {
            return;
        };
        let gone: Vec<String> = subscriber
            .sections
            .iter()
            .filter(|(_, section)| !wanted.contains(&section.track))
            .map(|(mid, _)| mid.clone())
            .collect();
        let Sections::Fixed(fixed) = &subscriber.state else {
            return;
        };
        let free: Vec<(String, TrackKind, Vec<_>)> = fixed
            .iter()
            .filter(|f| gone.contains(&f.mid) || !subscriber.sections.contains_key(&f.mid))
            .map(|f| {
                let kind = if f.audio {
                    TrackKind::Audio
                } else {
                    TrackKind::Video
                };
                (f.mid.clone(), kind, f.accepted.clone())
            })
            .collect();
        for mid in gone {
            self.clear_section(cx, id, &mid);
        }
        for (mid, kind, accepted) in free {
            let taken: Vec<TrackId> = self
                .participants
                .get(&id)
                .and_then(|p| p.subscriber.as_ref())
                .map(|s| s.sections.values().map(|section| section.track).collect())
                .unwrap_or_default();
            let Some(track) = self.choose(id, kind, &accepted, &taken) else {
                continue;
            };
            self.fill(cx, id, &mid, track, accepted);
        }
    }

    fn fill(
        &mut self,
        cx: &mut Context,
        id: ParticipantId,
        mid: &str,
        track: TrackId,
        accepted: Vec<crate::sdp::AcceptedCodec>,
    ) {
        let Some(subscriber) = self
            .participants
            .get_mut(&id)
            .and_then(|p| p.subscriber.as_mut())
        else {
            return;
        };
        let Sections::Fixed(fixed) = &mut subscriber.state else {
            return;
        };
        let Some(place) = fixed.iter_mut().find(|f| f.mid == mid) else {
            return;
        };
        // An SSRC serves one subscription; later ones are found by their mid.
        let (ssrc, rtx_ssrc) = match place.declared.take() {
            Some(declared) => declared,
            None => {
                let rtx = if place.audio {
                    Ok(None)
                } else {
                    random_ssrc().map(Some)
                };
                match (random_ssrc(), rtx) {
                    (Ok(ssrc), Ok(rtx)) => (ssrc, rtx),
                    _ => return,
                }
            }
        };
        let mut section = new_section(track, ssrc, rtx_ssrc);
        section.accepted = accepted;
        subscriber.sections.insert(mid.to_owned(), section);
        self.activate(cx, id, mid);
    }
}

/// The highest layer no larger than asked for, or the lowest one; each has
/// half the pixels in each direction of the one above.
fn largest_within(track: &Track, selection: &LayerSelection) -> u8 {
    let top = track.top();
    let exceeds = |pixels: Option<u16>, most: Option<u16>, layer: u8| {
        pixels
            .zip(most)
            .is_some_and(|(p, most)| p >> (top - layer) > most)
    };
    (0..=top)
        .rev()
        .find(|layer| {
            !exceeds(track.width, selection.max_width, *layer)
                && !exceeds(track.height, selection.max_height, *layer)
        })
        .unwrap_or(0)
}

/// Writes the connection's note.
pub(super) fn remember_viewer(subscriber: &mut Subscriber, person: note::PersonNote) {
    let Sections::Fixed(sections) = &subscriber.state else {
        return;
    };
    let notes = sections
        .iter()
        .map(|section| ViewerSection {
            mid: section.mid.clone(),
            audio: section.audio,
            accepted: section.accepted.clone(),
        })
        .collect();
    let fingerprint = super::hex(&subscriber.connection.fingerprint);
    subscriber.connection.session.note =
        note::write(&SessionNote::Viewer(fingerprint, person, notes)).unwrap_or_default();
}
