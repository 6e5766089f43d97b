//! What time alone brings about.

use std::time::Duration;

use super::{Model, Now};
use crate::quality::Grade;
use crate::rooms::message::{ConnectionName, LeaveReason};
use crate::rooms::note::Way;

/// Between two calls of [`Model::tick`].
pub const TICK: Duration = Duration::from_millis(250);
/// Ticks an offer may wait for its answer.
const OFFER_TICKS: u32 = 80;
/// How long a lost track waits for its publisher to bring it back.
const LOST: Duration = Duration::from_secs(15);
/// How long a participant without a WebSocket may take to its first session.
const FIRST_SESSION: Duration = Duration::from_secs(30);
/// A session that has reported and then not for this long is gone, though
/// nobody said so.
const SILENT: Duration = Duration::from_secs(45);

impl Model {
    /// To be called every [`TICK`].
    pub fn tick(&mut self, now: Now) {
        self.cx.media.retry();
        self.reap(now);
        self.reap_silent(now);
        let mut grades = [0u64; 4];
        let (mut web, mut whip, mut whep, mut tracks) = (0, 0, 0, 0);
        for room in self.rooms.values_mut() {
            room.note_absence(now.instant);
            let lost: Vec<_> = room
                .participants
                .values()
                .flat_map(|p| p.tracks.values().map(move |t| (p.id, t)))
                .filter(|(_, t)| {
                    t.lost_at
                        .is_some_and(|at| now.instant.saturating_duration_since(at) > LOST)
                })
                .map(|(owner, t)| (owner, t.id))
                .collect();
            for (owner, track) in lost {
                room.end_track(&mut self.cx, owner, track);
            }
            room.repeat_offers(OFFER_TICKS);
            room.speak(&self.cx, now);
            room.tell_quality(&self.cx, now);
            room.flush(&mut self.cx);
            for person in room.participants.values() {
                match person.way {
                    Way::Web => web += 1,
                    Way::Whip => whip += 1,
                    Way::Whep => whep += 1,
                }
                tracks += person.tracks.len();
                if let Some(grade) = person.grade {
                    grades[grade as usize] += 1;
                }
            }
        }
        self.cx.tidy_links();
        let metrics = &self.cx.metrics;
        metrics.rooms.set(self.rooms.len() as u64);
        metrics.set_participants([web, whip, whep]);
        metrics.tracks.set(tracks as u64);
        metrics
            .subscriptions
            .set(self.cx.media.desired().subscriptions.len() as u64);
        metrics
            .sessions
            .set(self.cx.media.desired().sessions.len() as u64);
        metrics.media_settled.set(self.cx.media.settled().into());
        for grade in [Grade::Lost, Grade::Poor, Grade::Good, Grade::Excellent] {
            metrics.set_grade(grade, grades[grade as usize]);
        }
    }

    /// Removes those who did not come back in time.
    fn reap(&mut self, now: Now) {
        let grace = self.cx.limits.resume_grace;
        let gone: Vec<_> = self
            .rooms
            .values()
            .flat_map(|room| {
                room.participants.values().filter_map(move |person| {
                    let away = now.instant.saturating_duration_since(person.absent_since?);
                    let over = match person.way {
                        Way::Web => person.attached.is_none() && away > grace,
                        Way::Whip | Way::Whep => {
                            person.publisher.is_none()
                                && person.subscriber.is_none()
                                && away > FIRST_SESSION
                        }
                    };
                    over.then(|| room.whom(person.id))
                })
            })
            .collect();
        for whom in gone {
            self.cx.metrics.reaped.inc();
            let _ = self.leave(now, &whom, LeaveReason::Timeout);
        }
    }

    /// Ends sessions whose end was never reported.
    fn reap_silent(&mut self, now: Now) {
        if !self.cx.node.connected {
            return;
        }
        let silent: Vec<_> = self
            .rooms
            .values_mut()
            .flat_map(|room| room.participants.values_mut())
            .flat_map(|person| {
                [ConnectionName::Publisher, ConnectionName::Subscriber]
                    .into_iter()
                    .filter_map(|name| {
                        let connection = person.connection_mut(name)?;
                        let reported = connection.reported?;
                        (now.instant.saturating_duration_since(reported) > SILENT)
                            .then_some(connection.session.key)
                    })
                    .collect::<Vec<_>>()
            })
            .collect();
        for session in silent {
            self.cx.metrics.zombie_sessions.inc();
            self.end_session(now, session, None);
        }
    }
}
