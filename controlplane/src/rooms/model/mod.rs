//! Rooms and whoever is in them, as plain state: requests and news in, events
//! and desired media out. No IO, no clock; randomness from the system.

mod adopt;
mod codecs;
mod events;
mod link;
mod operator;
mod participant;
mod person;
mod policy;
mod publish;
mod quality;
mod room;
mod select;
mod speaker;
mod subscribe;
mod subscriber;
mod timers;
mod viewed;
mod viewer;

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use axum::extract::ws::Utf8Bytes;
use forebay_ipc::BootId;
use forebay_ipc::media::{Fingerprint, MediaWorker, SessionKey, SubscriptionKey, TrackKey};
use serde_json::Value;
use tokio::sync::mpsc;

use super::ids::{ParticipantId, RoomName, TrackId};
use super::message::{ConnectionName, ErrorCode, Said};
use super::metrics::RoomMetrics;
use crate::calls::CallSink;
use crate::config;
use crate::link::reconcile::Reconciler;
use crate::sdp::{CodecPolicy, LocalTransport};
use crate::tokens::TokenKeys;

pub use adopt::Snapshot;
pub use operator::{
    ConnectionView, FlowView, NodeView, ParticipantView, PublishedView, RoomView, StreamView,
    WorkerView,
};
pub use participant::Entered;
use room::Room;
pub use timers::TICK;

/// Events a participant may leave unread before it is shed.
pub const UNREAD: usize = 256;

/// When something happens, by both clocks.
#[derive(Debug, Clone, Copy)]
pub struct Now {
    /// For durations.
    pub instant: Instant,
    /// For records: seconds since the Unix epoch.
    pub unix: u64,
}

/// Something for a participant's WebSocket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outgoing {
    /// A message.
    Text(Utf8Bytes),
    /// The last thing: close with this code.
    Close(u16, &'static str),
}

/// Where a participant's messages go.
pub type Outbox = mpsc::Sender<Outgoing>;

/// A request refused, in the terms of docs/signaling.md.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// Which error.
    pub code: ErrorCode,
    /// For people.
    pub message: String,
}

impl Failure {
    /// With a sentence.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
        }
    }

    fn not_found(what: &str) -> Self {
        Self::new(ErrorCode::NotFound, format!("there is no such {what}"))
    }

    fn forbidden(grant: &str) -> Self {
        Self::new(
            ErrorCode::Forbidden,
            format!("the token does not grant {grant}"),
        )
    }
}

impl From<getrandom::Error> for Failure {
    fn from(_: getrandom::Error) -> Self {
        Self::new(ErrorCode::Unavailable, "the system has no randomness")
    }
}

/// Who a participant is to the model: its room and its id.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Whom {
    /// The room.
    pub room: RoomName,
    /// The participant.
    pub id: ParticipantId,
}

/// The data plane, as far as rooms need it.
#[derive(Debug, Default)]
struct Node {
    workers: Vec<MediaWorker>,
    certificate: Option<Fingerprint>,
    boot: Option<BootId>,
    connected: bool,
}

/// Whose a thing of the data plane is.
#[derive(Debug, Default)]
struct Owners {
    sessions: HashMap<SessionKey, (Whom, ConnectionName)>,
    tracks: HashMap<TrackKey, (Whom, TrackId)>,
    subscriptions: HashMap<SubscriptionKey, (Whom, TrackId)>,
}

/// Everything beside the rooms themselves.
#[derive(Debug)]
struct Context {
    media: Reconciler,
    node: Node,
    owners: Owners,
    links: link::Links,
    limits: config::Rooms,
    keys: TokenKeys,
    metrics: Arc<RoomMetrics>,
    calls: CallSink,
}

impl Context {
    /// Our end of a session.
    fn local(&self, connection: &participant::Connection) -> LocalTransport {
        let (ufrag, password) = connection.credentials();
        let mut workers = self.node.workers.iter();
        let worker = workers.find(|worker| worker.worker == connection.session.worker);
        let candidates = worker.map_or_else(Vec::new, |worker| worker.addresses.to_vec());
        let tcp = worker.and_then(|worker| worker.tcp);
        LocalTransport {
            ufrag,
            password,
            fingerprint: connection.fingerprint,
            tcp_candidates: tcp.map_or_else(Vec::new, |port| {
                let on_port = |address: &SocketAddr| SocketAddr::new(address.ip(), port);
                candidates.iter().map(on_port).collect()
            }),
            candidates,
        }
    }

    /// The worker for a session of a room that has so many on these workers:
    /// one of them below the room's share, else the one with the fewest
    /// sessions, as long as it has room.
    fn place(&self, own: &BTreeMap<u16, usize>) -> Option<u16> {
        let mut load: HashMap<u16, usize> = HashMap::new();
        for session in self.media.desired().sessions.values() {
            *load.entry(session.worker).or_default() += 1;
        }
        let load = |worker: &MediaWorker| load.get(&worker.worker).copied().unwrap_or(0);
        let fits = |worker: &&MediaWorker| {
            load(worker) + 2 <= usize::try_from(worker.session_capacity).unwrap_or(usize::MAX)
                && !worker.addresses.is_empty()
        };
        let candidates = || self.node.workers.iter().filter(fits);
        candidates()
            .filter(|worker| {
                own.get(&worker.worker)
                    .is_some_and(|sessions| *sessions < self.limits.worker_sessions)
            })
            .min_by_key(|worker| load(worker))
            .or_else(|| candidates().min_by_key(|worker| load(worker)))
            .map(|worker| worker.worker)
    }
}

/// All rooms. Every method is one step: it changes what is wanted of the data
/// plane ([`Model::media`]) and puts events into participants' queues.
#[derive(Debug)]
pub struct Model {
    rooms: BTreeMap<RoomName, Room>,
    /// Of the rooms that have a choice of their own.
    codecs: BTreeMap<RoomName, CodecPolicy>,
    started: Instant,
    cx: Context,
}

impl Model {
    /// Empty, and without a data plane.
    pub fn new(
        now: Now,
        limits: config::Rooms,
        keys: TokenKeys,
        metrics: Arc<RoomMetrics>,
        calls: CallSink,
    ) -> Self {
        Self {
            rooms: BTreeMap::new(),
            codecs: BTreeMap::new(),
            started: now.instant,
            cx: Context {
                media: Reconciler::default(),
                node: Node::default(),
                owners: Owners::default(),
                links: link::Links::default(),
                limits,
                keys,
                metrics,
                calls,
            },
        }
    }

    /// Takes other limits and keys from now on.
    pub fn configure(&mut self, limits: config::Rooms, keys: TokenKeys) {
        self.cx.limits = limits;
        self.cx.keys = keys;
    }

    /// What is wanted of the data plane.
    pub fn media(&mut self) -> &mut Reconciler {
        &mut self.cx.media
    }

    /// Says something to a participant, if it is still on this WebSocket.
    pub fn reply(&mut self, to: &Entered, said: &Said<'_>) {
        self.post(to, Outgoing::Text(text(said)));
    }

    /// Closes a WebSocket once everything before is sent.
    pub fn close(&mut self, to: &Entered, code: u16, why: &'static str) {
        self.post(to, Outgoing::Close(code, why));
    }

    fn post(&mut self, to: &Entered, message: Outgoing) {
        if let Some(person) = self
            .rooms
            .get_mut(&to.whom.room)
            .and_then(|room| room.participants.get_mut(&to.whom.id))
            && person
                .attached
                .as_ref()
                .is_some_and(|a| a.number == to.number)
            && person.push(message)
        {
            self.cx.metrics.slow.inc();
        }
    }

    fn with_room<T>(
        &mut self,
        name: &RoomName,
        what: impl FnOnce(&mut Room, &mut Context) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let room = self
            .rooms
            .get_mut(name)
            .ok_or_else(|| Failure::not_found("room"))?;
        let result = what(room, &mut self.cx);
        room.flush(&mut self.cx);
        result
    }

    /// Ends rooms without anybody in them.
    fn reap_empty(&mut self, now: Now) {
        let cx = &mut self.cx;
        self.rooms.retain(|_, room| {
            let keep = !room.is_empty();
            if !keep {
                room.end(cx, now);
            }
            keep
        });
    }
}

/// Names a kind as docs/signaling.md does.
const fn kind_name(kind: forebay_ipc::media::TrackKind) -> &'static str {
    match kind {
        forebay_ipc::media::TrackKind::Audio => "audio",
        forebay_ipc::media::TrackKind::Video => "video",
    }
}

/// A fingerprint as notes have it.
fn hex(fingerprint: &Fingerprint) -> String {
    fingerprint.0.iter().map(|b| format!("{b:02x}")).collect()
}

/// The fingerprint a note has.
fn unhex(text: &str) -> Option<Fingerprint> {
    let mut bytes = [0; 32];
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks(2)) {
        *byte = u8::from_str_radix(str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(Fingerprint(bytes))
}

/// A message as it is sent.
fn text(said: &Said<'_>) -> Utf8Bytes {
    // Plain data: it always serialises.
    serde_json::to_string(said).unwrap_or_default().into()
}

/// What a joining client gets beside the room.
#[derive(Debug, Clone, Default)]
pub struct Arrival {
    /// RTCIceServer objects.
    pub ice_servers: Value,
    /// The request's number.
    pub id: u64,
}
