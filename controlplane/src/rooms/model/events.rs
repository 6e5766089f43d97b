//! What the data plane reports.

use forebay_ipc::media::{MediaEvent, SessionEnd, SessionKey};

use super::room::Room;
use super::{Context, Model, Now, Whom};
use crate::link::reconcile::{Item, Settled};
use crate::rooms::ids::ParticipantId;
use crate::rooms::message::{ConnectionName, ConnectionState, LeaveReason, Said};
use crate::rooms::note::Way;

impl Model {
    /// Takes in a piece of news.
    pub fn on_event(&mut self, now: Now, event: &MediaEvent) {
        match *event {
            MediaEvent::Connected { session, .. } => {
                self.with_session(now, session, |room, _, id, name| {
                    room.connection_is(id, name, ConnectionState::Connected);
                });
            }
            MediaEvent::Secured { session, profile } => {
                self.cx.metrics.count_secured(profile);
                self.with_session(now, session, |room, _, id, name| {
                    if let Some(c) = room
                        .participants
                        .get_mut(&id)
                        .and_then(|p| p.connection_mut(name))
                    {
                        c.reported = Some(now.instant);
                    }
                });
            }
            MediaEvent::Disconnected { session } => {
                self.with_session(now, session, |room, _, id, name| {
                    room.connection_is(id, name, ConnectionState::Disconnected);
                });
            }
            MediaEvent::Ended { session, why } => {
                self.cx.media.on_ended(session);
                self.end_session(now, session, Some(why));
            }
            MediaEvent::Encoding {
                track,
                encoding,
                active,
            } => {
                let Some((whom, id)) = self.cx.owners.tracks.get(&track).cloned() else {
                    return;
                };
                let bit = 1_u8.checked_shl(encoding.into()).unwrap_or(0);
                let _ = self.with_room(&whom.room, |room, _| {
                    if let Some(track) = room.participant(whom.id)?.tracks.get_mut(&id) {
                        track.silent = if active {
                            track.silent & !bit
                        } else {
                            track.silent | bit
                        };
                    }
                    Ok(())
                });
            }
            MediaEvent::Layer {
                subscription,
                spatial,
                temporal,
            } => {
                let Some((whom, track)) = self.cx.owners.subscriptions.get(&subscription).cloned()
                else {
                    return;
                };
                let paused = self
                    .cx
                    .media
                    .desired()
                    .subscriptions
                    .get(&subscription)
                    .is_some_and(|s| s.paused);
                let _ = self.with_room(&whom.room, |room, _| {
                    let person = room.participant(whom.id)?;
                    if let Some(section) = person
                        .subscriber
                        .as_mut()
                        .and_then(|s| s.sections.values_mut().find(|s| s.track == track))
                    {
                        section.layer = spatial.map(|spatial| (spatial, temporal));
                    }
                    person.say(&Said::Layer {
                        track,
                        spatial,
                        temporal,
                        why: match (spatial, paused) {
                            (Some(_), _) => None,
                            (None, true) => Some("paused"),
                            (None, false) => Some("bandwidth"),
                        },
                    });
                    Ok(())
                });
            }
            MediaEvent::Bandwidth {
                session,
                bits_per_second,
            } => {
                self.with_session(now, session, |room, _, id, name| {
                    if let Some(c) = room
                        .participants
                        .get_mut(&id)
                        .and_then(|p| p.connection_mut(name))
                    {
                        c.estimate = Some(bits_per_second);
                    }
                });
            }
            MediaEvent::AudioLevel {
                track,
                level,
                voice,
            } => {
                let Some((whom, id)) = self.cx.owners.tracks.get(&track).cloned() else {
                    return;
                };
                let Some(room) = self.rooms.get_mut(&whom.room) else {
                    return;
                };
                let muted = room.track(id).is_some_and(|(_, t)| t.muted.is_some());
                room.speakers
                    .hear(now.instant, whom.id, level, voice && !muted);
                room.speak(&self.cx, now);
                room.flush(&mut self.cx);
            }
            MediaEvent::SessionQuality { .. }
            | MediaEvent::TrackQuality { .. }
            | MediaEvent::SubscriptionQuality { .. } => self.on_quality(now, event),
        }
    }

    /// An answer to a command.
    pub fn on_ack(
        &mut self,
        now: Now,
        token: crate::link::reconcile::Token,
        outcome: forebay_ipc::Outcome,
        text: &str,
    ) {
        self.cx.metrics.count_command(outcome);
        match self.cx.media.on_ack(token, outcome) {
            Settled::Fine => {}
            Settled::Refused(item) => {
                tracing::error!(?item, ?outcome, why = text, "the data plane refused media");
                // Without its session a participant has nothing: it makes a
                // new one.
                if let Item::Session(key) = item {
                    self.end_session(now, key, None);
                }
            }
        }
    }

    pub(super) fn with_session(
        &mut self,
        now: Now,
        session: SessionKey,
        what: impl FnOnce(&mut Room, &mut Context, ParticipantId, ConnectionName),
    ) {
        let Some((Whom { room, id }, name)) = self.cx.owners.sessions.get(&session).cloned() else {
            return;
        };
        let _ = now;
        if let Some(room) = self.rooms.get_mut(&room) {
            what(room, &mut self.cx, id, name);
            room.flush(&mut self.cx);
        }
    }

    /// A session is gone in the data plane.
    pub(super) fn end_session(&mut self, now: Now, session: SessionKey, why: Option<SessionEnd>) {
        if self.cx.is_link(session) {
            tracing::warn!("a link between two workers is gone; what went over it is made anew");
            self.cx.lose_link(session);
            for room in self.rooms.values_mut() {
                room.renew_lost(&mut self.cx);
                room.flush(&mut self.cx);
            }
            return;
        }
        let mut gone = None;
        if let Some(why) = why {
            self.cx.metrics.count_session_end(why);
        }
        self.with_session(now, session, |room, cx, id, name| {
            let way = room.participants.get(&id).map(|p| p.way);
            if way != Some(Way::Web) {
                // Nobody could tell it to come back.
                gone = Some(room.whom(id));
                return;
            }
            match name {
                ConnectionName::Publisher => room.lose_publisher(cx, now, id),
                ConnectionName::Subscriber => {
                    room.close_connection(cx, id, ConnectionName::Subscriber);
                    room.stale.insert(id);
                }
            }
            if let Some(person) = room.participants.get_mut(&id) {
                person.say(&Said::Connection {
                    connection: name,
                    state: ConnectionState::Ended,
                });
            }
            room.ask_to_reconnect(id, &[name]);
        });
        if let Some(whom) = gone {
            let _ = self.leave(now, &whom, LeaveReason::Timeout);
        }
    }
}

impl Room {
    fn connection_is(&mut self, id: ParticipantId, name: ConnectionName, state: ConnectionState) {
        let Some(person) = self.participants.get_mut(&id) else {
            return;
        };
        let Some(connection) = person.connection_mut(name) else {
            return;
        };
        if connection.state == Some(state) {
            return;
        }
        connection.state = Some(state);
        person.say(&Said::Connection {
            connection: name,
            state,
        });
    }

    /// Decides who speaks and tells everybody.
    pub(super) fn speak(&mut self, cx: &Context, now: Now) {
        let (turned, tell) = self.speakers.decide(now.instant);
        let active = self.speakers.active();
        if let Some(person) = active.and_then(|id| self.participants.get_mut(&id)) {
            person.last_spoke = Some(now.instant);
        }
        if tell {
            let hidden =
                |id: &ParticipantId| self.participants.get(id).is_none_or(|p| p.grants.hidden);
            let active = active.filter(|id| !hidden(id));
            let mut speakers = self.speakers.infos();
            speakers.retain(|s| !hidden(&s.participant));
            self.tell(cx, None, &Said::Speaker { active, speakers });
            self.make_speakers_heard();
        }
        if turned {
            self.all_stale();
        }
    }
}
