//! How much of each track a participant gets at most: by what it can show,
//! what it wishes, and who spoke last. The data plane chooses within it.

use std::cmp::Reverse;

use forebay_ipc::media::TrackKind;

use super::participant::{Track, Wish};
use super::room::Room;
use super::{Context, Failure, Model, Whom};
use crate::rooms::ids::{ParticipantId, TrackId};
use crate::rooms::message::{LayerWish, Source};

/// Audio first, whatever happens.
const AUDIO: u8 = 255;
/// A video nobody said anything about.
pub(super) const USUAL: u8 = 10;
/// What the active speaker's video gains.
const SPEAKER: u8 = 50;
/// Pixels of a track whose publisher did not say.
const HEIGHT: u16 = 720;

impl Model {
    /// Takes in what a participant can show.
    pub fn layers(
        &mut self,
        whom: &Whom,
        last_n: Option<u8>,
        wishes: &[LayerWish],
    ) -> Result<(), Failure> {
        self.with_room(&whom.room, |room, _| {
            let known: Vec<&LayerWish> = wishes
                .iter()
                .filter(|wish| room.publishers.contains_key(&wish.track))
                .collect();
            let person = room.participant(whom.id)?;
            if last_n.is_some() {
                person.last_n = last_n;
            }
            for wish in known {
                let old = person.wishes.entry(wish.track).or_default();
                *old = Wish {
                    visible: wish.visible.or(old.visible),
                    width: wish.width.or(old.width),
                    height: wish.height.or(old.height),
                    max_spatial: wish.max_spatial.or(old.max_spatial),
                    max_temporal: wish.max_temporal.or(old.max_temporal),
                    priority: wish.priority.or(old.priority),
                };
            }
            room.stale.insert(whom.id);
            Ok(())
        })
    }
}

/// The lowest layer that fills the size wished, when each has half the pixels
/// in each direction of the one above.
pub(super) fn spatial_for(wish: Wish, track: &Track) -> u8 {
    let top = track.top();
    let portrait = matches!((track.width, track.height), (Some(w), Some(h)) if h > w);
    let full = match (track.width, track.height) {
        (Some(w), Some(h)) => w.min(h),
        _ => HEIGHT,
    };
    // Compared by the shorter side, which a turned phone does not change.
    let wished = match (wish.width, wish.height) {
        (Some(w), Some(h)) => Some(w.min(h)),
        (Some(w), None) if portrait => Some(w),
        (None, Some(h)) if !portrait => Some(h),
        (Some(side), None) | (None, Some(side)) => Some(side / 16 * 9),
        (None, None) => None,
    };
    let by_size = wished.map_or(top, |wished| {
        (0..=top)
            .find(|layer| {
                let height = u32::from(full >> (top - layer));
                // A tenth of enlargement is not seen.
                height * 11 >= u32::from(wished) * 10
            })
            .unwrap_or(top)
    });
    by_size.min(wish.max_spatial.unwrap_or(3))
}

struct Candidate {
    track: TrackId,
    mid: String,
    pinned: bool,
    speaks: bool,
    spoke: Option<std::time::Instant>,
    joined: u64,
    spatial: u8,
    temporal: u8,
    priority: u8,
    visible: bool,
    video: bool,
}

impl Room {
    /// Sets the caps of everything a participant receives.
    pub(super) fn apply_policy(&mut self, cx: &mut Context, id: ParticipantId) {
        let Some(person) = self.participants.get(&id) else {
            return;
        };
        let Some(subscriber) = &person.subscriber else {
            return;
        };
        let active = self.speakers.active();
        let mut candidates: Vec<Candidate> = subscriber
            .sections
            .iter()
            .filter(|(_, section)| section.key.is_some())
            .filter_map(|(mid, section)| {
                let (publisher, track) = self.track(section.track)?;
                let wish = person
                    .wishes
                    .get(&section.track)
                    .copied()
                    .unwrap_or_default();
                let video = track.kind == TrackKind::Video;
                let wished = wish.priority.unwrap_or(USUAL);
                let speaks = active == Some(publisher.id) && track.source == Source::Camera;
                Some(Candidate {
                    track: section.track,
                    mid: mid.clone(),
                    pinned: wished > USUAL || track.source == Source::Screen,
                    speaks,
                    spoke: publisher.last_spoke,
                    joined: publisher.joined_at,
                    spatial: spatial_for(wish, track),
                    temporal: wish.max_temporal.unwrap_or(3).min(3),
                    priority: match (video, speaks) {
                        (false, _) => AUDIO,
                        (true, true) => wished.saturating_add(SPEAKER),
                        (true, false) => wished,
                    },
                    visible: wish.visible.unwrap_or(true),
                    video,
                })
            })
            .collect();
        candidates.sort_by_key(|c| {
            let first = (Reverse(c.pinned), Reverse(c.speaks), Reverse(c.spoke));
            (first, c.joined, c.track)
        });
        let mut room_for = usize::from(person.last_n.unwrap_or(u8::MAX));
        if person.last_n.is_none() {
            room_for = usize::MAX;
        }
        for candidate in candidates {
            let mut paused = !candidate.visible;
            if candidate.video && !paused {
                paused = room_for == 0;
                room_for = room_for.saturating_sub(1);
            }
            let key = subscriber.sections.get(&candidate.mid).and_then(|s| s.key);
            let Some(key) = key else { continue };
            let Some(current) = cx.media.desired().subscriptions.get(&key) else {
                continue;
            };
            let mut wanted = current.clone();
            wanted.max_spatial = candidate.spatial;
            wanted.max_temporal = candidate.temporal;
            wanted.priority = candidate.priority;
            wanted.paused = paused;
            cx.media.want_subscription(wanted);
        }
    }
}
