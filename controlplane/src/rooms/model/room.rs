//! One room: who is in it, and saying things to all of them.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Instant;

use super::participant::{Participant, Track};
use super::speaker::Speakers;
use super::{Context, Failure, Now, Outgoing, Whom, text};
use crate::calls::CallEvent;
use crate::quality::Smoothed;
use crate::rooms::ids::{CallId, ParticipantId, RoomName, TrackId};
use crate::rooms::message::{ConnectionName, LeaveReason, ParticipantInfo, Said};
use crate::rooms::note::PersonNote;
use crate::sdp::CodecPolicy;

/// A room and its call.
#[derive(Debug)]
pub(super) struct Room {
    pub(super) name: RoomName,
    pub(super) call: CallId,
    pub(super) started: u64,
    pub(super) participants: BTreeMap<ParticipantId, Participant>,
    /// Who publishes a track.
    pub(super) publishers: HashMap<TrackId, ParticipantId>,
    pub(super) speakers: Speakers,
    /// Its own choice.
    pub(super) codecs: Option<CodecPolicy>,
    /// Whose subscriptions, caps or offers have to be looked at.
    pub(super) stale: BTreeSet<ParticipantId>,
    pub(super) quality: Smoothed,
    /// The most participants at a time.
    pub(super) peak: usize,
    next_attachment: u64,
}

impl Room {
    pub(super) fn new(name: RoomName, call: CallId, started: u64) -> Self {
        Self {
            name,
            call,
            started,
            participants: BTreeMap::new(),
            publishers: HashMap::new(),
            speakers: Speakers::default(),
            codecs: None,
            stale: BTreeSet::new(),
            quality: Smoothed::default(),
            peak: 0,
            next_attachment: 0,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.participants.is_empty()
    }

    pub(super) fn whom(&self, id: ParticipantId) -> Whom {
        Whom {
            room: self.name.clone(),
            id,
        }
    }

    pub(super) fn attachment(&mut self) -> u64 {
        self.next_attachment += 1;
        self.next_attachment
    }

    pub(super) fn participant(&mut self, id: ParticipantId) -> Result<&mut Participant, Failure> {
        self.participants
            .get_mut(&id)
            .ok_or_else(|| Failure::not_found("participant"))
    }

    /// The track and its publisher.
    pub(super) fn track(&self, id: TrackId) -> Option<(&Participant, &Track)> {
        let publisher = self.participants.get(self.publishers.get(&id)?)?;
        Some((publisher, publisher.tracks.get(&id)?))
    }

    /// What is kept with a participant's sessions.
    pub(super) fn person_note(&self, id: ParticipantId) -> Result<PersonNote, Failure> {
        let person = self
            .participants
            .get(&id)
            .ok_or_else(|| Failure::not_found("participant"))?;
        Ok(PersonNote {
            room: self.name.clone(),
            call: self.call,
            call_started: self.started,
            id: person.id,
            identity: person.identity.clone(),
            name: person.name.clone(),
            grants: person.grants,
            way: person.way,
            auto_subscribe: person.auto_subscribe,
            joined_at: person.joined_at,
            serial: person.serial,
            codecs: self.codecs.clone(),
        })
    }

    /// A participant as others see it.
    pub(super) fn info(person: &Participant) -> ParticipantInfo {
        ParticipantInfo {
            id: person.id,
            identity: person.identity.clone(),
            name: person.name.clone(),
            tracks: person.tracks.values().map(Track::info).collect(),
        }
    }

    /// Everybody another one sees.
    pub(super) fn others(&self, but: ParticipantId) -> Vec<ParticipantInfo> {
        self.participants
            .values()
            .filter(|p| p.id != but && !p.grants.hidden)
            .map(Self::info)
            .collect()
    }

    /// Says something to everybody but one.
    pub(super) fn tell(&mut self, cx: &Context, but: Option<ParticipantId>, said: &Said<'_>) {
        let message = Outgoing::Text(text(said));
        for person in self.participants.values_mut() {
            if Some(person.id) != but && person.push(message.clone()) {
                person.absent_since = None;
                cx.metrics.slow.inc();
            }
        }
    }

    /// Every subscription may have changed.
    pub(super) fn all_stale(&mut self) {
        self.stale.extend(self.participants.keys().copied());
    }

    /// How many of the room's sessions are on which worker.
    pub(super) fn workers(&self) -> BTreeMap<u16, usize> {
        let mut workers = BTreeMap::new();
        let sessions = self.participants.values().flat_map(|p| {
            let publisher = p.publisher.as_ref().map(|c| c.session.worker);
            let subscriber = p.subscriber.as_ref().map(|s| s.connection.session.worker);
            publisher.into_iter().chain(subscriber)
        });
        for worker in sessions {
            *workers.entry(worker).or_default() += 1;
        }
        workers
    }

    /// Looks after whatever earlier steps made stale.
    pub(super) fn flush(&mut self, cx: &mut Context) {
        while let Some(id) = self.stale.pop_first() {
            self.sync_subscriptions(cx, id);
            self.apply_policy(cx, id);
            self.offer(cx, id);
        }
    }

    /// Somebody goes for good.
    pub(super) fn remove(
        &mut self,
        cx: &mut Context,
        now: Now,
        id: ParticipantId,
        reason: LeaveReason,
    ) {
        self.close_connection(cx, id, ConnectionName::Subscriber);
        let tracks: Vec<_> = self
            .participants
            .get(&id)
            .map(|p| p.tracks.keys().copied().collect())
            .unwrap_or_default();
        for track in tracks {
            self.end_track(cx, id, track);
        }
        self.close_connection(cx, id, ConnectionName::Publisher);
        let Some(person) = self.participants.remove(&id) else {
            return;
        };
        self.speakers.forget(id);
        cx.metrics.count_left(reason);
        cx.calls.record(CallEvent::Left {
            call: self.call,
            participant: id,
            at: now.unix,
            reason,
            mos: person.quality.mean(),
            freezes: person.freezes,
            freeze_ms: person.freeze_ms,
        });
        if !person.grants.hidden {
            self.tell(
                cx,
                None,
                &Said::ParticipantLeft {
                    participant: id,
                    reason,
                },
            );
        }
    }

    /// The call is over.
    pub(super) fn end(&mut self, cx: &mut Context, now: Now) {
        cx.metrics.rooms_ended.inc();
        cx.calls.record(CallEvent::Ended {
            call: self.call,
            at: now.unix,
            peak: self.peak,
            mos: self.quality.mean(),
        });
    }

    /// Cut off since now, unless it already was.
    pub(super) fn note_absence(&mut self, now: Instant) {
        for person in self.participants.values_mut() {
            if person.attached.is_none() && person.absent_since.is_none() {
                person.absent_since = Some(now);
            }
        }
    }
}
