//! Rooms as the operator's API shows them.

use std::time::Duration;

use serde::Serialize;

use super::participant::Connection;
use super::room::Room;
use super::{Context, Failure, Model};
use crate::rooms::ids::{CallId, Identity, ParticipantId, RoomName, TrackId};
use crate::rooms::message::{ConnectionState, TrackInfo};
use crate::rooms::note::Way;
use crate::sdp::CodecPolicy;
use crate::tokens::Grants;

/// A room.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RoomView {
    /// Its name.
    pub name: RoomName,
    /// The call that goes on in it.
    pub call: CallId,
    /// Seconds since the Unix epoch.
    pub started_at: u64,
    /// How many are in it.
    pub participants: usize,
    /// How many tracks they publish.
    pub tracks: usize,
    /// Workers its sessions are on.
    pub workers: Vec<u16>,
    /// Who speaks.
    pub active_speaker: Option<ParticipantId>,
    /// Mean opinion score of its streams since the call began.
    pub mos: Option<f64>,
    /// What its publishers may use.
    pub codecs: CodecPolicy,
}

/// A participant.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ParticipantView {
    /// Its id.
    pub id: ParticipantId,
    /// Who.
    pub identity: Identity,
    /// For people.
    pub name: String,
    /// `web`, `whip` or `whep`.
    pub way: Way,
    /// What it may do.
    pub grants: Grants,
    /// Seconds since the Unix epoch.
    pub joined_at: u64,
    /// Whether its WebSocket stands.
    pub attached: bool,
    /// Its publisher.
    pub publisher: Option<ConnectionView>,
    /// Its subscriber.
    pub subscriber: Option<ConnectionView>,
    /// What it publishes.
    pub published: Vec<PublishedView>,
    /// What it receives.
    pub received: Vec<StreamView>,
    /// Its worst stream's score.
    pub mos: Option<f64>,
    /// Times its pictures stood still.
    pub freezes: u64,
}

/// A peer connection.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ConnectionView {
    /// The worker that serves it.
    pub worker: u16,
    /// How it does, once known.
    pub state: Option<ConnectionState>,
    /// Round-trip time, milliseconds.
    pub rtt_ms: f64,
    /// Bandwidth estimate towards it.
    pub bits_per_second: Option<u64>,
}

/// A published track.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PublishedView {
    /// As others see it.
    #[serde(flatten)]
    pub track: TrackInfo,
    /// How it arrives.
    #[serde(flatten)]
    pub flow: FlowView,
}

/// A received track.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StreamView {
    /// Which.
    pub track: TrackId,
    /// Encoding or spatial layer, and temporal layer.
    pub layer: Option<(u8, u8)>,
    /// Whether nothing is sent on purpose.
    pub paused: bool,
    /// How it gets there.
    #[serde(flatten)]
    pub flow: FlowView,
}

/// A stream's latest figures.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FlowView {
    /// Mean opinion score.
    pub mos: Option<f64>,
    /// Share lost, 0–1.
    pub loss: f64,
    /// Milliseconds.
    pub jitter_ms: f64,
    /// Over the latest report.
    pub bits_per_second: u64,
}

/// A data plane.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct NodeView {
    /// Whether it is connected.
    pub connected: bool,
    /// Whether it has everything as wanted.
    pub settled: bool,
    /// Its workers.
    pub workers: Vec<WorkerView>,
}

/// A worker.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct WorkerView {
    /// Its index.
    pub index: u16,
    /// Where it receives media.
    pub addresses: Vec<std::net::SocketAddr>,
    /// Sessions wanted on it.
    pub sessions: usize,
    /// Sessions it has room for.
    pub session_capacity: u32,
}

fn millis(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e5).round() / 100.0
}

fn flow(quality: Option<f64>, loss: f64, jitter: Duration, bits_per_second: u64) -> FlowView {
    FlowView {
        mos: quality,
        loss,
        jitter_ms: millis(jitter),
        bits_per_second,
    }
}

fn connection(connection: &Connection) -> ConnectionView {
    ConnectionView {
        worker: connection.session.worker,
        state: connection.state,
        rtt_ms: millis(connection.rtt),
        bits_per_second: connection.estimate,
    }
}

impl Model {
    /// All rooms.
    pub fn rooms(&self) -> Vec<RoomView> {
        self.rooms
            .values()
            .map(|room| room.summary(&self.cx))
            .collect()
    }

    /// One room and everybody in it.
    pub fn room(&self, name: &RoomName) -> Result<(RoomView, Vec<ParticipantView>), Failure> {
        let room = self
            .rooms
            .get(name)
            .ok_or_else(|| Failure::not_found("room"))?;
        let people = room.participants.keys();
        let people = people.filter_map(|id| self.view_of(room, *id)).collect();
        Ok((room.summary(&self.cx), people))
    }

    /// One participant.
    pub fn participant(
        &self,
        name: &RoomName,
        id: ParticipantId,
    ) -> Result<ParticipantView, Failure> {
        let room = self
            .rooms
            .get(name)
            .ok_or_else(|| Failure::not_found("room"))?;
        self.view_of(room, id)
            .ok_or_else(|| Failure::not_found("participant"))
    }

    /// The data plane.
    pub fn data_plane(&self) -> NodeView {
        NodeView {
            connected: self.cx.node.connected,
            settled: self.cx.media.settled(),
            workers: self
                .cx
                .node
                .workers
                .iter()
                .map(|worker| WorkerView {
                    index: worker.worker,
                    addresses: worker.addresses.to_vec(),
                    sessions: self
                        .cx
                        .media
                        .desired()
                        .sessions
                        .values()
                        .filter(|s| s.worker == worker.worker)
                        .count(),
                    session_capacity: worker.session_capacity,
                })
                .collect(),
        }
    }

    fn view_of(&self, room: &Room, id: ParticipantId) -> Option<ParticipantView> {
        let person = room.participants.get(&id)?;
        let sections = person.subscriber.iter().flat_map(|s| s.sections.values());
        Some(ParticipantView {
            id,
            identity: person.identity.clone(),
            name: person.name.clone(),
            way: person.way,
            grants: person.grants,
            joined_at: person.joined_at,
            attached: person.attached.is_some(),
            publisher: person.publisher.as_ref().map(connection),
            subscriber: person
                .subscriber
                .as_ref()
                .map(|s| connection(&s.connection)),
            published: person
                .tracks
                .values()
                .map(|t| PublishedView {
                    track: t.info(),
                    flow: flow(t.quality.now(), t.loss, t.jitter, t.bits_per_second),
                })
                .collect(),
            received: sections
                .map(|s| StreamView {
                    track: s.track,
                    layer: s.layer,
                    paused: s
                        .key
                        .and_then(|key| self.cx.media.desired().subscriptions.get(&key))
                        .is_some_and(|subscription| subscription.paused),
                    flow: flow(s.quality.now(), s.loss, s.jitter, s.bits_per_second),
                })
                .collect(),
            mos: room.grade(id).map(|(mos, _)| mos),
            freezes: person.freezes,
        })
    }
}

impl Room {
    fn summary(&self, cx: &Context) -> RoomView {
        RoomView {
            name: self.name.clone(),
            call: self.call,
            started_at: self.started,
            participants: self.participants.len(),
            tracks: self.publishers.len(),
            workers: self.workers().into_keys().collect(),
            active_speaker: self.speakers.active(),
            mos: self.quality.mean(),
            codecs: self.codecs(cx),
        }
    }
}
