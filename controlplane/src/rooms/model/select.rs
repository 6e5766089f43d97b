//! Which tracks get the sections when a participant could receive more than
//! it has sections for: what is pinned or shown, and whoever speaks.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use forebay_ipc::media::TrackKind;

use super::participant::{Participant, Track};
use super::policy::USUAL;
use super::room::Room;
use crate::rooms::ids::{ParticipantId, TrackId};
use crate::rooms::message::{Source, Unavailable};
use crate::sdp::SubscriberState;

/// What of the wanted tracks a participant is to receive.
#[derive(Debug, Default)]
pub(super) struct Selected {
    /// These, audio first.
    pub(super) tracks: Vec<TrackId>,
    /// These not, for want of sections.
    pub(super) left_out: Vec<TrackId>,
}

impl Room {
    /// Chooses among the tracks a participant wants, at most `max` of them.
    /// Who has a section keeps it unless somebody needs it more, so that
    /// sections do not change hands at every word.
    pub(super) fn select(&self, id: ParticipantId, wanted: &[TrackId], max: usize) -> Selected {
        let Some(person) = self.participants.get(&id) else {
            return Selected::default();
        };
        let held: BTreeSet<TrackId> = person
            .subscriber
            .iter()
            .flat_map(|subscriber| subscriber.sections.values())
            .map(|section| section.track)
            .collect();
        let (mut audio, mut video) = (Vec::new(), Vec::new());
        for (publisher, track) in wanted.iter().filter_map(|track| self.track(*track)) {
            if person.unavailable.get(&track.id) == Some(&Unavailable::Codec) {
                continue;
            }
            let need = self.need(person, publisher, track);
            let rank = (
                Reverse(need),
                !held.contains(&track.id),
                Reverse(publisher.last_spoke),
                publisher.joined_at,
                track.id,
            );
            match track.kind {
                TrackKind::Audio => audio.push(rank),
                TrackKind::Video => video.push(rank),
            }
        }
        let (audio_quota, video_quota) = SubscriberState::shares(audio.len(), video.len(), max);
        let mut selected = Selected::default();
        for (mut ranks, quota) in [(audio, audio_quota), (video, video_quota)] {
            if ranks.len() > quota {
                ranks.sort_unstable();
            }
            let ids: Vec<TrackId> = ranks.into_iter().map(|rank| rank.4).collect();
            let (taken, left_out) = ids.split_at(quota.min(ids.len()));
            selected.tracks.extend(taken);
            selected.left_out.extend(left_out);
        }
        selected
    }

    /// Pinned, shown, heard: the earlier counts more.
    fn need(
        &self,
        person: &Participant,
        publisher: &Participant,
        track: &Track,
    ) -> (bool, bool, bool) {
        let wish = person.wishes.get(&track.id).copied().unwrap_or_default();
        let pinned = wish.priority.is_some_and(|priority| priority > USUAL)
            || matches!(track.source, Source::Screen | Source::ScreenAudio);
        let shown = track.kind == TrackKind::Audio || wish.visible.unwrap_or(true);
        (pinned, shown, self.speakers.speaks(publisher.id))
    }

    /// Whoever lacks a section for somebody who speaks looks again.
    pub(super) fn make_speakers_heard(&mut self) {
        let speaking: Vec<TrackId> = self
            .speakers
            .all()
            .filter_map(|id| self.participants.get(&id))
            .flat_map(|person| person.tracks.keys().copied())
            .collect();
        let lacking = self.participants.values().filter(|person| {
            speaking
                .iter()
                .any(|track| person.unavailable.get(track) == Some(&Unavailable::Limit))
        });
        let lacking: Vec<ParticipantId> = lacking.map(|person| person.id).collect();
        self.stale.extend(lacking);
    }
}
