//! What is counted of rooms. No label comes from a client: rooms and people
//! are in the REST API.

use std::sync::atomic::AtomicU64;

use forebay_ipc::Outcome;
use forebay_ipc::media::{SessionEnd, TrackKind};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use super::message::{ErrorCode, LeaveReason};
use super::model::Failure;
use crate::quality::Grade;

/// Scores.
const MOS: [f64; 7] = [1.5, 2.0, 2.6, 3.1, 3.6, 4.0, 4.3];
/// Shares.
const LOSS: [f64; 6] = [0.0, 0.005, 0.01, 0.03, 0.05, 0.1];

/// One word from a fixed set.
#[derive(Debug, Clone, Copy, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct Result {
    result: &'static str,
}

/// Why.
#[derive(Debug, Clone, Copy, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct Reason {
    reason: &'static str,
}

/// How a participant came.
#[derive(Debug, Clone, Copy, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct WayLabel {
    way: &'static str,
}

/// A score in a word.
#[derive(Debug, Clone, Copy, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct GradeLabel {
    quality: &'static str,
}

/// A kind of stream.
#[derive(Debug, Clone, Copy, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct Stream {
    direction: &'static str,
    kind: &'static str,
}

/// SRTP protection.
#[derive(Debug, Clone, Copy, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct Profile {
    profile: &'static str,
}

/// All of it.
#[derive(Debug)]
#[allow(missing_docs, reason = "the registered help texts say it")]
pub struct RoomMetrics {
    pub rooms: Gauge<u64, AtomicU64>,
    pub rooms_ended: Counter,
    participants: Family<WayLabel, Gauge<u64, AtomicU64>>,
    pub tracks: Gauge<u64, AtomicU64>,
    pub subscriptions: Gauge<u64, AtomicU64>,
    pub sessions: Gauge<u64, AtomicU64>,
    pub media_settled: Gauge,
    joins: Family<Result, Counter>,
    resumes: Family<Result, Counter>,
    left: Family<Reason, Counter>,
    session_ends: Family<Reason, Counter>,
    secured: Family<Profile, Counter>,
    commands: Family<Result, Counter>,
    pub reaped: Counter,
    pub zombie_sessions: Counter,
    pub slow: Counter,
    pub dataplane_restarts: Counter,
    pub freezes: Counter,
    pub websockets: Gauge<u64, AtomicU64>,
    pub websockets_refused: Counter,
    pub messages: Counter,
    pub calls_dropped: Counter,
    pub calls_failed: Counter,
    quality: Family<GradeLabel, Gauge<u64, AtomicU64>>,
    mos: Family<Stream, Histogram, fn() -> Histogram>,
    loss: Family<Stream, Histogram, fn() -> Histogram>,
}

impl Default for RoomMetrics {
    fn default() -> Self {
        Self {
            rooms: Gauge::default(),
            rooms_ended: Counter::default(),
            participants: Family::default(),
            tracks: Gauge::default(),
            subscriptions: Gauge::default(),
            sessions: Gauge::default(),
            media_settled: Gauge::default(),
            joins: Family::default(),
            resumes: Family::default(),
            left: Family::default(),
            session_ends: Family::default(),
            secured: Family::default(),
            commands: Family::default(),
            reaped: Counter::default(),
            zombie_sessions: Counter::default(),
            slow: Counter::default(),
            dataplane_restarts: Counter::default(),
            freezes: Counter::default(),
            websockets: Gauge::default(),
            websockets_refused: Counter::default(),
            messages: Counter::default(),
            calls_dropped: Counter::default(),
            calls_failed: Counter::default(),
            quality: Family::default(),
            mos: Family::new_with_constructor(|| Histogram::new(MOS)),
            loss: Family::new_with_constructor(|| Histogram::new(LOSS)),
        }
    }
}

impl RoomMetrics {
    /// Names everything in a registry.
    pub fn register(&self, registry: &mut Registry) {
        registry.register("rooms", "Rooms with somebody in them", self.rooms.clone());
        registry.register(
            "rooms_ended",
            "Rooms closed because nobody was left",
            self.rooms_ended.clone(),
        );
        registry.register(
            "participants",
            "Participants by the way they came",
            self.participants.clone(),
        );
        registry.register("tracks", "Tracks published", self.tracks.clone());
        registry.register(
            "subscriptions",
            "Tracks on their way to a participant",
            self.subscriptions.clone(),
        );
        registry.register(
            "media_sessions",
            "Media sessions wanted of the data plane",
            self.sessions.clone(),
        );
        registry.register(
            "media_settled",
            "1 while the data plane has all media as wanted",
            self.media_settled.clone(),
        );
        registry.register("joins", "Joins by result", self.joins.clone());
        registry.register("resumes", "Resumptions by result", self.resumes.clone());
        registry.register(
            "participants_left",
            "Participants who left, by reason",
            self.left.clone(),
        );
        registry.register(
            "media_session_ends",
            "Media sessions the data plane ended, by reason",
            self.session_ends.clone(),
        );
        registry.register(
            "media_secured",
            "DTLS handshakes completed, by SRTP profile",
            self.secured.clone(),
        );
        registry.register(
            "media_commands",
            "Media commands answered by the data plane, by outcome",
            self.commands.clone(),
        );
        registry.register(
            "participants_reaped",
            "Participants removed because they did not come back in time",
            self.reaped.clone(),
        );
        registry.register(
            "zombie_sessions",
            "Media sessions removed because they stopped reporting",
            self.zombie_sessions.clone(),
        );
        registry.register(
            "slow_consumers",
            "WebSockets closed because their events were not read",
            self.slow.clone(),
        );
        registry.register(
            "dataplane_restarts",
            "Other runs of the data plane met: every connection was made anew",
            self.dataplane_restarts.clone(),
        );
        registry.register(
            "client_freezes",
            "Freezes clients reported",
            self.freezes.clone(),
        );
        registry.register("websockets", "WebSockets open", self.websockets.clone());
        registry.register(
            "websockets_refused",
            "WebSockets refused because too many were open",
            self.websockets_refused.clone(),
        );
        registry.register(
            "websocket_messages",
            "Messages received on WebSockets",
            self.messages.clone(),
        );
        registry.register(
            "call_records_dropped",
            "Call records dropped because the database was too slow or away",
            self.calls_dropped.clone(),
        );
        registry.register(
            "call_records_failed",
            "Call records the database refused",
            self.calls_failed.clone(),
        );
        registry.register(
            "participant_quality",
            "Participants by the quality of their worst stream",
            self.quality.clone(),
        );
        registry.register(
            "stream_mos",
            "Mean opinion score per stream and report",
            self.mos.clone(),
        );
        registry.register(
            "stream_loss_ratio",
            "Share of packets lost per stream and report",
            self.loss.clone(),
        );
    }

    pub(super) fn count_join(&self, failure: Option<&Failure>) {
        let result = match failure.map(|f| f.code) {
            None => "done",
            Some(ErrorCode::Limit) => "limit",
            Some(ErrorCode::Forbidden) => "forbidden",
            Some(ErrorCode::Unavailable) => "unavailable",
            Some(_) => "failed",
        };
        self.joins.get_or_create(&Result { result }).inc();
    }

    pub(super) fn count_resume(&self, done: bool) {
        let result = if done { "done" } else { "failed" };
        self.resumes.get_or_create(&Result { result }).inc();
    }

    pub(super) fn count_left(&self, reason: LeaveReason) {
        let reason = reason.name();
        self.left.get_or_create(&Reason { reason }).inc();
    }

    pub(super) fn count_session_end(&self, why: SessionEnd) {
        let reason = match why {
            SessionEnd::Consent => "consent",
            SessionEnd::NeverConnected => "never_connected",
            SessionEnd::Handshake => "handshake",
            SessionEnd::Fingerprint => "fingerprint",
            SessionEnd::ClosedByPeer => "closed_by_peer",
        };
        self.session_ends.get_or_create(&Reason { reason }).inc();
    }

    /// The number is of the registry of RFC 5764 §4.1.2 and RFC 7714 §14.2.
    pub(super) fn count_secured(&self, profile: u16) {
        let profile = match profile {
            1 => "aes_cm_128_hmac_sha1_80",
            7 => "aead_aes_128_gcm",
            8 => "aead_aes_256_gcm",
            _ => "other",
        };
        self.secured.get_or_create(&Profile { profile }).inc();
    }

    pub(super) fn count_command(&self, outcome: Outcome) {
        let result = match outcome {
            Outcome::Done => "done",
            Outcome::Stale => "stale",
            Outcome::Invalid => "invalid",
            Outcome::NotFound => "not_found",
            Outcome::Busy => "busy",
            Outcome::Forbidden => "forbidden",
        };
        self.commands.get_or_create(&Result { result }).inc();
    }

    pub(super) fn set_participants(&self, numbers: [u64; 3]) {
        for (way, number) in ["web", "whip", "whep"].into_iter().zip(numbers) {
            self.participants
                .get_or_create(&WayLabel { way })
                .set(number);
        }
    }

    pub(super) fn set_grade(&self, grade: Grade, number: u64) {
        let label = GradeLabel {
            quality: grade.name(),
        };
        self.quality.get_or_create(&label).set(number);
    }

    pub(super) fn observe_mos(
        &self,
        direction: &'static str,
        kind: TrackKind,
        mos: f64,
        loss: f64,
    ) {
        let kind = match kind {
            TrackKind::Audio => "audio",
            TrackKind::Video => "video",
        };
        let stream = Stream { direction, kind };
        self.mos.get_or_create(&stream).observe(mos);
        self.loss.get_or_create(&stream).observe(loss);
    }
}
