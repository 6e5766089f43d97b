//! Reports made into scores, and scores into words for the room.

use std::time::Duration;

use forebay_ipc::media::{FlowQuality, MediaEvent, TrackKind};

use super::room::Room;
use super::{Context, Model, Now};
use crate::quality::{Conditions, Grade, Medium, mos};
use crate::rooms::ids::ParticipantId;
use crate::rooms::message::{ConnectionState, Said};

/// Between two words about one participant.
const EVERY: Duration = Duration::from_secs(2);
/// Reports come about this often, milliseconds; for bit rates only.
const PERIOD_MS: u64 = 5_000;
/// A flow with fewer packets than this says nothing.
const FEWEST: u64 = 10;

struct Score {
    mos: f64,
    loss: f64,
    jitter: Duration,
    bits_per_second: u64,
}

fn score(kind: TrackKind, flow: &FlowQuality, rtt: Duration) -> Option<Score> {
    let all = flow.packets.saturating_add(flow.lost);
    if all < FEWEST {
        return None;
    }
    // Of any use within 2^53.
    let loss = flow.lost as f64 / all as f64;
    let jitter = Duration::from_micros(u64::from(flow.jitter_us));
    let medium = match kind {
        TrackKind::Audio => Medium::AUDIO,
        TrackKind::Video => Medium::VIDEO,
    };
    Some(Score {
        mos: mos(medium, Conditions { loss, jitter, rtt }),
        loss,
        jitter,
        bits_per_second: flow.bytes.saturating_mul(8_000) / PERIOD_MS,
    })
}

impl Model {
    pub(super) fn on_quality(&mut self, now: Now, event: &MediaEvent) {
        match *event {
            MediaEvent::SessionQuality {
                session,
                rtt_us,
                estimate,
            } => self.with_session(now, session, |room, _, id, name| {
                if let Some(c) = room
                    .participants
                    .get_mut(&id)
                    .and_then(|p| p.connection_mut(name))
                {
                    c.reported = Some(now.instant);
                    if let Some(rtt) = rtt_us {
                        c.rtt = Duration::from_micros(u64::from(rtt));
                    }
                    c.estimate = estimate.or(c.estimate);
                }
            }),
            MediaEvent::TrackQuality { track, ref flow } => {
                let Some((whom, id)) = self.cx.owners.tracks.get(&track).cloned() else {
                    return;
                };
                let Some(room) = self.rooms.get_mut(&whom.room) else {
                    return;
                };
                let Some(person) = room.participants.get_mut(&whom.id) else {
                    return;
                };
                let rtt = person.publisher.as_ref().map_or(Duration::ZERO, |c| c.rtt);
                let Some(track) = person.tracks.get_mut(&id) else {
                    return;
                };
                if let Some(score) = score(track.kind, flow, rtt) {
                    track.quality.add(score.mos);
                    (track.loss, track.jitter) = (score.loss, score.jitter);
                    track.bits_per_second = score.bits_per_second;
                    self.cx
                        .metrics
                        .observe_mos("published", track.kind, score.mos, score.loss);
                    person.quality.add(score.mos);
                    room.quality.add(score.mos);
                }
            }
            MediaEvent::SubscriptionQuality {
                subscription,
                ref flow,
            } => {
                let Some((whom, id)) = self.cx.owners.subscriptions.get(&subscription).cloned()
                else {
                    return;
                };
                let Some(room) = self.rooms.get_mut(&whom.room) else {
                    return;
                };
                let Some(kind) = room.track(id).map(|(_, t)| t.kind) else {
                    return;
                };
                let Some(person) = room.participants.get_mut(&whom.id) else {
                    return;
                };
                let Some(subscriber) = &mut person.subscriber else {
                    return;
                };
                let rtt = subscriber.connection.rtt;
                let Some(section) = subscriber.sections.values_mut().find(|s| s.track == id) else {
                    return;
                };
                if let Some(score) = score(kind, flow, rtt) {
                    section.quality.add(score.mos);
                    (section.loss, section.jitter) = (score.loss, score.jitter);
                    section.bits_per_second = score.bits_per_second;
                    self.cx
                        .metrics
                        .observe_mos("subscribed", kind, score.mos, score.loss);
                    person.quality.add(score.mos);
                    room.quality.add(score.mos);
                }
            }
            _ => {}
        }
    }
}

impl Room {
    /// A participant's score and word: its worst flow, either way.
    pub(super) fn grade(&self, id: ParticipantId) -> Option<(f64, Grade)> {
        let person = self.participants.get(&id)?;
        let cut_off = |state: Option<ConnectionState>| state == Some(ConnectionState::Disconnected);
        let subscriber = person.subscriber.as_ref();
        if person.publisher.as_ref().is_some_and(|c| cut_off(c.state))
            || subscriber.is_some_and(|s| cut_off(s.connection.state))
        {
            return Some((1.0, Grade::Lost));
        }
        let published = person.tracks.values().filter_map(|t| t.quality.now());
        let received = subscriber
            .into_iter()
            .flat_map(|s| s.sections.values())
            .filter_map(|s| s.quality.now());
        let worst = published.chain(received).min_by(f64::total_cmp)?;
        Some((worst, Grade::of(worst)))
    }

    /// Tells the room whose word changed.
    pub(super) fn tell_quality(&mut self, cx: &Context, now: Now) {
        let ids: Vec<ParticipantId> = self.participants.keys().copied().collect();
        for id in ids {
            let Some((mos, grade)) = self.grade(id) else {
                continue;
            };
            let Some(person) = self.participants.get_mut(&id) else {
                continue;
            };
            let early = person
                .graded_at
                .is_some_and(|at| now.instant.saturating_duration_since(at) < EVERY);
            if early || person.grade == Some(grade) {
                continue;
            }
            person.grade = Some(grade);
            person.graded_at = Some(now.instant);
            let hidden = person.grants.hidden;
            let said = Said::Quality {
                participant: id,
                quality: grade,
                mos: (mos * 100.0).round() / 100.0,
            };
            if hidden {
                self.reply(id, &said);
            } else {
                self.tell(cx, None, &said);
            }
        }
    }
}
