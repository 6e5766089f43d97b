//! Coming, coming back, going, and what one says to others.

use super::participant::{Attached, Participant};
use super::room::Room;
use super::{Arrival, Context, Entered, Failure, Model, Now, Outbox, Outgoing, Whom, text};
use crate::calls::CallEvent;
use crate::rooms::ids::{CallId, ParticipantId, RoomName, TrackId, random};
use crate::rooms::message::{
    ClientStats, ConnectionName, ErrorCode, LeaveReason, LimitsInfo, MESSAGE_MAX, MutedBy, Myself,
    PublishedTrack, Said, TEXT_MAX, VERSION, Welcome,
};
use crate::rooms::note::Way;
use crate::tokens::{Access, Resume};

/// Seconds a resume token is good for, whatever becomes of the participant.
const RESUME_TTL: u64 = 86_400;

impl Model {
    /// Somebody enters. Web participants have an outbox; what answers the
    /// join goes there.
    pub fn join(
        &mut self,
        now: Now,
        access: Access,
        way: Way,
        auto_subscribe: bool,
        web: Option<(Outbox, Arrival)>,
    ) -> Result<Entered, Failure> {
        let result = self.admit(now, access, way, auto_subscribe, web);
        self.cx.metrics.count_join(result.as_ref().err());
        result
    }

    fn admit(
        &mut self,
        now: Now,
        access: Access,
        way: Way,
        auto_subscribe: bool,
        web: Option<(Outbox, Arrival)>,
    ) -> Result<Entered, Failure> {
        if !access.grants.join {
            return Err(Failure::forbidden("join"));
        }
        if !self.rooms.contains_key(&access.room) {
            if self.rooms.len() >= self.cx.limits.max_rooms {
                return Err(Failure::new(ErrorCode::Limit, "too many rooms"));
            }
            self.open(now, access.room.clone())?;
        }
        let max = self.cx.limits.max_participants;
        let entered = self.with_room(&access.room.clone(), |room, cx| {
            // The later one replaces the earlier, which may be the same
            // person's broken connection.
            let earlier = room
                .participants
                .values()
                .find(|p| p.identity == access.identity && p.way == way)
                .map(|p| p.id);
            if earlier.is_none() && room.participants.len() >= max {
                return Err(Failure::new(ErrorCode::Limit, "the room is full"));
            }
            let id = ParticipantId(random()?);
            if let Some(earlier) = earlier {
                room.farewell(earlier, "replaced by a later join of the same identity");
                room.remove(cx, now, earlier, LeaveReason::Replaced);
            }
            let mut person = Participant::new(
                id,
                access.identity,
                access.name,
                access.grants,
                way,
                now.unix,
            );
            person.auto_subscribe = auto_subscribe;
            person.absent_since = Some(now.instant);
            cx.calls.record(CallEvent::Joined {
                call: room.call,
                participant: id,
                identity: person.identity.clone(),
                name: person.name.clone(),
                way,
                at: now.unix,
            });
            let hidden = person.grants.hidden;
            let info = Room::info(&person);
            room.participants.insert(id, person);
            room.peak = room.peak.max(room.participants.len());
            let number = match web {
                Some((outbox, arrival)) => {
                    let number = room.attach(cx, now, id, outbox)?;
                    let welcome = room.welcome(cx, now, id, &arrival)?;
                    let person = room.participant(id)?;
                    person.say(&Said::Joined {
                        id: arrival.id,
                        welcome: &welcome,
                    });
                    number
                }
                None => 0,
            };
            if !hidden {
                room.tell(cx, Some(id), &Said::ParticipantJoined { participant: info });
            }
            room.stale.insert(id);
            Ok(Entered {
                whom: room.whom(id),
                number,
            })
        });
        self.reap_empty(now);
        entered
    }

    fn open(&mut self, now: Now, name: RoomName) -> Result<(), Failure> {
        let call = CallId(random()?);
        self.cx.calls.record(CallEvent::Started {
            call,
            room: name.clone(),
            at: now.unix,
        });
        let mut room = Room::new(name.clone(), call, now.unix);
        room.codecs = self.codecs.get(&name).cloned();
        self.rooms.insert(name, room);
        Ok(())
    }

    /// Somebody comes back.
    pub fn resume(
        &mut self,
        now: Now,
        resume: Resume,
        outbox: Outbox,
        arrival: &Arrival,
    ) -> Result<Entered, Failure> {
        let failed = || Failure::new(ErrorCode::ResumeFailed, "join again");
        let known = self
            .rooms
            .get(&resume.room)
            .is_some_and(|room| room.participants.contains_key(&resume.participant));
        let result = if known {
            Ok(())
        } else {
            self.revive(now, &resume)
        };
        let result = result.and_then(|()| {
            self.with_room(&resume.room.clone(), |room, cx| {
                let person = room.participant(resume.participant)?;
                // The one before the latest too: the client may never have
                // got the latest.
                if person.identity != resume.identity
                    || resume.serial.saturating_add(1) < person.serial
                {
                    return Err(failed());
                }
                person.serial = person.serial.max(resume.serial);
                let id = person.id;
                room.farewell_to_socket(id, "resumed elsewhere");
                let number = room.attach(cx, now, id, outbox)?;
                let welcome = room.welcome(cx, now, id, arrival)?;
                let person = room.participant(id)?;
                let published = person.tracks.values().filter(|t| t.key.is_some());
                let published = published
                    .map(|track| PublishedTrack {
                        mid: track.mid.clone(),
                        track: track.info(),
                    })
                    .collect();
                let reconnect = person.reconnect.iter().copied().collect();
                if let Some(subscriber) = &mut person.subscriber {
                    subscriber.offer_again();
                }
                person.say(&Said::Resumed {
                    id: arrival.id,
                    welcome: &welcome,
                    published,
                    reconnect,
                });
                room.stale.insert(id);
                Ok(Entered {
                    whom: room.whom(id),
                    number,
                })
            })
        });
        let result = result.map_err(|_| failed());
        self.cx.metrics.count_resume(result.is_ok());
        result
    }

    /// After a restart of this process a participant without media is in
    /// nobody's memory but its own token's.
    fn revive(&mut self, now: Now, resume: &Resume) -> Result<(), Failure> {
        let young = now.instant.saturating_duration_since(self.started)
            <= self.cx.limits.resume_grace + self.cx.limits.silence;
        if !young {
            return Err(Failure::not_found("participant"));
        }
        let taken = self.rooms.get(&resume.room).is_some_and(|room| {
            room.participants.len() >= self.cx.limits.max_participants
                || room
                    .participants
                    .values()
                    .any(|p| p.identity == resume.identity && p.way == Way::Web)
        });
        if taken {
            return Err(Failure::not_found("participant"));
        }
        if !self.rooms.contains_key(&resume.room) {
            if self.rooms.len() >= self.cx.limits.max_rooms {
                return Err(Failure::new(ErrorCode::Limit, "too many rooms"));
            }
            self.open(now, resume.room.clone())?;
        }
        self.with_room(&resume.room, |room, cx| {
            let mut person = Participant::new(
                resume.participant,
                resume.identity.clone(),
                resume.name.clone(),
                resume.grants,
                Way::Web,
                resume.joined_at,
            );
            person.auto_subscribe = resume.auto_subscribe;
            person.serial = resume.serial;
            person.absent_since = Some(now.instant);
            let info = Room::info(&person);
            let hidden = person.grants.hidden;
            room.participants.insert(resume.participant, person);
            room.peak = room.peak.max(room.participants.len());
            if !hidden {
                room.tell(
                    cx,
                    Some(resume.participant),
                    &Said::ParticipantJoined { participant: info },
                );
            }
            Ok(())
        })
    }

    /// A WebSocket is gone; its participant may resume.
    pub fn detach(&mut self, now: Now, entered: &Entered) {
        let _ = self.with_room(&entered.whom.room, |room, _| {
            let person = room.participant(entered.whom.id)?;
            let same = person
                .attached
                .as_ref()
                .is_none_or(|a| a.number == entered.number);
            if same {
                person.attached = None;
                person.absent_since.get_or_insert(now.instant);
            }
            Ok(())
        });
    }

    /// Somebody leaves.
    pub fn leave(&mut self, now: Now, whom: &Whom, reason: LeaveReason) -> Result<(), Failure> {
        let result = self.with_room(&whom.room, |room, cx| {
            room.participant(whom.id)?;
            room.remove(cx, now, whom.id, reason);
            Ok(())
        });
        self.reap_empty(now);
        result
    }

    /// An admin of the room, or with `by` `None` the operator, removes
    /// somebody.
    pub fn kick(
        &mut self,
        now: Now,
        by: Option<ParticipantId>,
        whom: &Whom,
        reason: &str,
    ) -> Result<(), Failure> {
        let result = self.with_room(&whom.room, |room, cx| {
            if let Some(by) = by
                && !room.participant(by)?.grants.admin
            {
                return Err(Failure::forbidden("admin"));
            }
            room.participant(whom.id)?;
            room.farewell(whom.id, reason);
            room.remove(cx, now, whom.id, LeaveReason::Kicked);
            Ok(())
        });
        self.reap_empty(now);
        result
    }

    /// Mutes or unmutes a track: one's own, or as an admin anybody's; with
    /// `by` `None` as the operator.
    pub fn mute(
        &mut self,
        room: &RoomName,
        by: Option<ParticipantId>,
        track: TrackId,
        muted: bool,
    ) -> Result<(), Failure> {
        self.with_room(room, |room, cx| {
            let owner = *room
                .publishers
                .get(&track)
                .ok_or_else(|| Failure::not_found("track"))?;
            let admin = match by {
                None => true,
                Some(by) => room.participant(by)?.grants.admin,
            };
            let as_admin = by != Some(owner);
            if as_admin && !admin {
                return Err(Failure::forbidden("admin"));
            }
            let by = if as_admin {
                MutedBy::Admin
            } else {
                MutedBy::Publisher
            };
            room.set_muted(cx, owner, track, muted.then_some(by), admin, by)
        })
    }

    /// Text for everybody or one.
    pub fn message(
        &mut self,
        from: &Whom,
        to: Option<ParticipantId>,
        body: &str,
    ) -> Result<(), Failure> {
        self.with_room(&from.room, |room, cx| {
            room.participant(from.id)?;
            let said = Said::Message {
                participant: from.id,
                text: body,
                private: to.is_some(),
            };
            match to {
                None => room.tell(cx, Some(from.id), &said),
                Some(to) => {
                    room.participant(to)?.say(&said);
                }
            }
            Ok(())
        })
    }

    /// What a client saw of its tracks.
    pub fn stats(&mut self, whom: &Whom, stats: &[ClientStats]) -> Result<(), Failure> {
        self.with_room(&whom.room, |room, cx| {
            let person = room.participant(whom.id)?;
            for seen in stats {
                if let Some(own) = person.tracks.get_mut(&seen.track) {
                    if seen.height > 0 && own.height != Some(seen.height) {
                        own.width = Some(seen.width);
                        own.height = Some(seen.height);
                    }
                    continue;
                }
                person.freezes = person.freezes.saturating_add(u64::from(seen.freezes));
                person.freeze_ms = person.freeze_ms.saturating_add(u64::from(seen.freeze_ms));
                cx.metrics.freezes.inc_by(u64::from(seen.freezes));
            }
            Ok(())
        })
    }
}

impl Room {
    /// Puts the participant onto a WebSocket.
    fn attach(
        &mut self,
        cx: &Context,
        now: Now,
        id: ParticipantId,
        outbox: Outbox,
    ) -> Result<u64, Failure> {
        let _ = (cx, now);
        let number = self.attachment();
        let person = self.participant(id)?;
        person.attached = Some(Attached { outbox, number });
        person.absent_since = None;
        Ok(number)
    }

    fn welcome(
        &mut self,
        cx: &Context,
        now: Now,
        id: ParticipantId,
        arrival: &Arrival,
    ) -> Result<Welcome, Failure> {
        let participants = self.others(id);
        let speakers = self.speakers.infos();
        let room = self.name.clone();
        let person = self.participant(id)?;
        person.serial = person.serial.saturating_add(1);
        let resume_token = cx
            .keys
            .mint_resume(&Resume {
                room: room.clone(),
                participant: id,
                identity: person.identity.clone(),
                name: person.name.clone(),
                grants: person.grants,
                auto_subscribe: person.auto_subscribe,
                joined_at: person.joined_at,
                serial: person.serial,
                exp: now.unix.saturating_add(RESUME_TTL),
            })
            .map_err(|error| Failure::new(ErrorCode::Unavailable, error.to_string()))?;
        Ok(Welcome {
            version: VERSION,
            room,
            participant: Myself {
                id,
                identity: person.identity.clone(),
                name: person.name.clone(),
            },
            grants: person.grants,
            participants,
            speakers,
            ice_servers: arrival.ice_servers.clone(),
            resume_token,
            resume_within_s: cx.limits.resume_grace.as_secs(),
            ping_interval_s: cx.limits.ping_interval.as_secs(),
            timeout_s: cx.limits.silence.as_secs(),
            limits: LimitsInfo {
                tracks: cx.limits.max_tracks,
                message_bytes: MESSAGE_MAX,
                text_bytes: TEXT_MAX,
            },
        })
    }

    /// Tells a participant that it is removed, and closes its WebSocket.
    pub(super) fn farewell(&mut self, id: ParticipantId, reason: &str) {
        if let Some(person) = self.participants.get_mut(&id) {
            person.say(&Said::Kicked { reason });
            person.push(Outgoing::Close(1000, "kicked"));
            person.attached = None;
        }
    }

    /// Closes the participant's former WebSocket.
    fn farewell_to_socket(&mut self, id: ParticipantId, reason: &'static str) {
        if let Some(person) = self.participants.get_mut(&id) {
            person.push(Outgoing::Close(1000, reason));
            person.attached = None;
        }
    }

    fn set_muted(
        &mut self,
        cx: &mut Context,
        owner: ParticipantId,
        id: TrackId,
        muted: Option<MutedBy>,
        admin: bool,
        by: MutedBy,
    ) -> Result<(), Failure> {
        let person = self.participant(owner)?;
        let track = person
            .tracks
            .get_mut(&id)
            .ok_or_else(|| Failure::not_found("track"))?;
        if track.muted == Some(MutedBy::Admin) && !admin {
            return if muted.is_some() {
                Ok(())
            } else {
                Err(Failure::forbidden("unmuting what an admin muted"))
            };
        }
        if track.muted == muted {
            return Ok(());
        }
        track.muted = muted;
        if let (Some(key), Some(publisher)) = (track.key, &person.publisher) {
            cx.media.want_track(track.media(key, &publisher.session));
        }
        if muted.is_some() {
            self.speakers.forget(owner);
        }
        self.tell(
            cx,
            None,
            &Said::TrackMuted {
                participant: owner,
                track: id,
                muted: muted.is_some(),
                by,
            },
        );
        Ok(())
    }

    /// Tells everything a participant must do about its connections.
    pub(super) fn ask_to_reconnect(&mut self, id: ParticipantId, names: &[ConnectionName]) {
        if let Some(person) = self.participants.get_mut(&id) {
            person.reconnect.extend(names);
            person.say(&Said::Reconnect {
                connections: names.to_vec(),
            });
        }
    }

    /// Answers a request.
    pub(super) fn reply(&mut self, id: ParticipantId, said: &Said<'_>) {
        if let Some(person) = self.participants.get_mut(&id) {
            let _ = text;
            person.say(said);
        }
    }
}
