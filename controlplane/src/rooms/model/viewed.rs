//! What viewers are told of beside media (the events extension of WHEP).

use std::collections::BTreeSet;

use super::participant::Track;
use super::subscriber::Sections;
use super::{Failure, Model, Whom};
use crate::rooms::ids::random;
use crate::rooms::note::Way;
use crate::whip::{EventKind, Viewed, ViewedLayer};

/// Streams of events a viewer may have; the oldest makes room.
const STREAMS: usize = 4;

/// A stream of events.
#[derive(Debug)]
pub(super) struct Stream {
    /// Known to its reader alone.
    name: String,
    kinds: BTreeSet<EventKind>,
}

impl Model {
    /// Opens a stream of these events; its name.
    pub fn open_events(
        &mut self,
        whom: &Whom,
        kinds: BTreeSet<EventKind>,
    ) -> Result<String, Failure> {
        let name = format!("{:016x}{:016x}", random()?, random()?);
        self.with_room(&whom.room, |room, _| {
            let streams = &mut room.participant(whom.id)?.streams;
            if streams.len() >= STREAMS {
                streams.remove(0);
            }
            streams.push(Stream {
                name: name.clone(),
                kinds,
            });
            Ok(name)
        })
    }

    /// Ends a stream of events.
    pub fn close_events(&mut self, whom: &Whom, name: &str) -> Result<(), Failure> {
        self.with_room(&whom.room, |room, _| {
            let streams = &mut room.participant(whom.id)?.streams;
            let before = streams.len();
            streams.retain(|stream| stream.name != name);
            if streams.len() == before {
                return Err(Failure::not_found("stream of events"));
            }
            Ok(())
        })
    }

    /// What a stream is about now, and what of it is to be told.
    pub fn viewed(
        &self,
        whom: &Whom,
        name: &str,
    ) -> Result<(Viewed, BTreeSet<EventKind>), Failure> {
        let gone = || Failure::not_found("stream of events");
        let room = self.rooms.get(&whom.room).ok_or_else(gone)?;
        let person = room.participants.get(&whom.id).ok_or_else(gone)?;
        let stream = person.streams.iter().find(|stream| stream.name == name);
        let kinds = stream.ok_or_else(gone)?.kinds.clone();
        let people = room.participants.values();
        let mut viewed = Viewed {
            viewers: people.filter(|person| person.way == Way::Whep).count(),
            ..Viewed::default()
        };
        if let Some(subscriber) = &person.subscriber
            && let Sections::Fixed(fixed) = &subscriber.state
        {
            viewed.active = !subscriber.sections.is_empty();
            for (place, section) in fixed.iter().enumerate().filter(|(_, f)| !f.audio) {
                let track = subscriber.sections.get(&section.mid).map(|s| s.track);
                if let Some((_, track)) = track.and_then(|track| room.track(track)) {
                    viewed.layers.insert(place, layers(track));
                }
            }
        }
        Ok((viewed, kinds))
    }
}

/// Those that arrive, lowest first.
fn layers(track: &Track) -> Vec<ViewedLayer> {
    let last = track.encodings.len().saturating_sub(1);
    let half = |pixels: Option<u16>, place: usize| pixels.map(|p| p >> (last - place));
    track
        .encodings
        .iter()
        .enumerate()
        .filter(|(place, _)| track.silent & (1 << place) == 0)
        .map(|(place, encoding)| ViewedLayer {
            rid: encoding.rid.as_ref().map(ToString::to_string),
            spatial_layer_id: u8::try_from(place).unwrap_or(u8::MAX),
            width: half(track.width, place),
            height: half(track.height, place),
        })
        .collect()
}
