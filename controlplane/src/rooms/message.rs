//! The messages of docs/signaling.md.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::ids::{Identity, ParticipantId, RoomName, TrackId};
use crate::tokens::Grants;

/// The protocol's version.
pub const VERSION: u32 = 1;
/// Bytes of a message.
pub const MESSAGE_MAX: usize = 65_536;
/// Bytes of a text between participants.
pub const TEXT_MAX: usize = 4_096;
/// Entries a list in a request may have.
const LIST_MAX: usize = 1_024;

/// A request.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
#[allow(missing_docs, reason = "fields are documented in docs/signaling.md")]
pub enum Request {
    Join {
        version: u32,
        token: String,
        #[serde(default = "yes")]
        auto_subscribe: bool,
    },
    Resume {
        version: u32,
        resume_token: String,
    },
    Publish {
        offer: String,
        #[serde(default)]
        tracks: Vec<Published>,
        #[serde(default)]
        fresh: bool,
    },
    Unpublish {
        track: TrackId,
    },
    Mute {
        track: TrackId,
        muted: bool,
    },
    Answer {
        revision: u64,
        answer: String,
    },
    Subscribe {
        tracks: Vec<TrackId>,
    },
    Unsubscribe {
        tracks: Vec<TrackId>,
    },
    Layers {
        #[serde(default)]
        last_n: Option<u8>,
        #[serde(default)]
        tracks: Vec<LayerWish>,
    },
    Restart {
        connection: ConnectionName,
        #[serde(default)]
        fresh: bool,
    },
    Message {
        text: String,
        #[serde(default)]
        to: Option<ParticipantId>,
    },
    Stats {
        tracks: Vec<ClientStats>,
    },
    Kick {
        participant: ParticipantId,
        #[serde(default)]
        reason: String,
    },
    Leave {},
    Ping {},
}

/// Every request's name, to tell an unknown one from a broken one.
const TYPES: [&str; 15] = [
    "join",
    "resume",
    "publish",
    "unpublish",
    "mute",
    "answer",
    "subscribe",
    "unsubscribe",
    "layers",
    "restart",
    "message",
    "stats",
    "kick",
    "leave",
    "ping",
];

const fn yes() -> bool {
    true
}

/// What the publisher says of a section.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct Published {
    /// Which.
    pub mid: String,
    /// Where it comes from.
    pub source: Option<Source>,
    /// For people.
    pub name: String,
    /// Whether it begins muted.
    pub muted: bool,
    /// Pixels of the best encoding.
    pub width: Option<u16>,
    /// Pixels of the best encoding.
    pub height: Option<u16>,
}

/// Where a track comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// A microphone.
    Microphone,
    /// A camera.
    Camera,
    /// A shared screen.
    Screen,
    /// A shared screen's sound.
    ScreenAudio,
    /// Anything else.
    #[serde(other)]
    Other,
}

/// What a subscriber can use of a track. Left out: as before.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct LayerWish {
    /// Which.
    pub track: TrackId,
    /// Whether it is shown at all.
    pub visible: Option<bool>,
    /// Device pixels.
    pub width: Option<u16>,
    /// Device pixels.
    pub height: Option<u16>,
    /// 0–3.
    pub max_spatial: Option<u8>,
    /// 0–3.
    pub max_temporal: Option<u8>,
    /// Share of a short bandwidth.
    pub priority: Option<u8>,
}

/// What a client saw of a track since it last said so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub struct ClientStats {
    /// Which.
    pub track: TrackId,
    /// Times the picture stood still or the sound broke off.
    #[serde(default)]
    pub freezes: u32,
    /// For how long, milliseconds.
    #[serde(default)]
    pub freeze_ms: u32,
    /// Frames shown or sent.
    #[serde(default)]
    pub frames: u32,
    /// Pixels.
    #[serde(default)]
    pub width: u16,
    /// Pixels.
    #[serde(default)]
    pub height: u16,
}

/// One of a participant's peer connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConnectionName {
    /// It sends.
    Publisher,
    /// It receives.
    Subscriber,
}

/// A request with its number.
#[derive(Debug, Clone, PartialEq)]
pub struct Numbered {
    /// As the client chose.
    pub id: Option<u64>,
    /// The request, or why it is none.
    pub request: Result<Request, (ErrorCode, String)>,
}

/// Reads a message.
pub fn parse(text: &str) -> Numbered {
    let bad = |id, why: String| Numbered {
        id,
        request: Err((ErrorCode::BadMessage, why)),
    };
    let value: Value = match serde_json::from_str(text) {
        Ok(value @ Value::Object(_)) => value,
        Ok(_) => return bad(None, "a message is a JSON object".to_owned()),
        Err(error) => return bad(None, format!("not JSON: {error}")),
    };
    let id = value.get("id").and_then(Value::as_u64);
    let Some(name) = value.get("type").and_then(Value::as_str) else {
        return bad(id, "a message has a type".to_owned());
    };
    if !TYPES.contains(&name) {
        return Numbered {
            id,
            request: Err((
                ErrorCode::UnknownType,
                "this type of message is unknown".to_owned(),
            )),
        };
    }
    if id.is_none_or(|id| id >= 1 << 53) {
        return bad(None, "a request has an id below 2^53".to_owned());
    }
    match serde_json::from_value::<Request>(value) {
        Ok(request) => match request.exceeds() {
            None => Numbered {
                id,
                request: Ok(request),
            },
            Some(what) => bad(id, format!("too long: {what}")),
        },
        Err(error) => bad(id, error.to_string()),
    }
}

impl Request {
    /// The bound it breaks.
    fn exceeds(&self) -> Option<&'static str> {
        let over = match self {
            Self::Publish { tracks, .. } => {
                if tracks.iter().any(|t| t.name.len() > super::ids::NAME_MAX) {
                    return Some("name");
                }
                tracks.len() > 64
            }
            Self::Subscribe { tracks } | Self::Unsubscribe { tracks } => tracks.len() > LIST_MAX,
            Self::Layers { tracks, .. } => tracks.len() > LIST_MAX,
            Self::Stats { tracks } => tracks.len() > LIST_MAX,
            Self::Message { text, .. } => {
                return (text.len() > TEXT_MAX).then_some("text");
            }
            Self::Kick { reason, .. } => {
                return (reason.len() > super::ids::NAME_MAX).then_some("reason");
            }
            _ => false,
        };
        over.then_some("tracks")
    }
}

/// What an `error` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorCode {
    /// Not what docs/signaling.md allows.
    BadMessage,
    /// No such request.
    UnknownType,
    /// Another version.
    Version,
    /// The token is not good.
    Unauthorized,
    /// A grant is missing.
    Forbidden,
    /// No such participant or track.
    NotFound,
    /// The offer cannot be used.
    BadOffer,
    /// The answer cannot be used.
    BadAnswer,
    /// The room allows none of the codecs.
    Codec,
    /// A later offer is under way.
    StaleAnswer,
    /// Something is full.
    Limit,
    /// Too often.
    RateLimited,
    /// No data plane.
    Unavailable,
    /// Join again.
    ResumeFailed,
    /// Events were not read in time.
    Slow,
}

/// A participant as others see it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ParticipantInfo {
    /// Its id.
    pub id: ParticipantId,
    /// Who.
    pub identity: Identity,
    /// For people.
    pub name: String,
    /// What it publishes.
    pub tracks: Vec<TrackInfo>,
}

/// A track as others see it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TrackInfo {
    /// Its id.
    pub id: TrackId,
    /// `audio` or `video`.
    pub kind: &'static str,
    /// Where it comes from.
    pub source: Source,
    /// For people.
    pub name: String,
    /// Whether nothing of it is forwarded.
    pub muted: bool,
    /// Its preferred codec.
    pub codec: &'static str,
    /// How many encodings.
    pub encodings: usize,
    /// Pixels of the best encoding, when the publisher said so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub width: Option<u16>,
    /// Pixels of the best encoding, when the publisher said so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub height: Option<u16>,
}

/// A section of an offer or an answer and what is in it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct OfferedTrack {
    /// The section.
    pub mid: String,
    /// The track.
    pub track: TrackId,
    /// Whose.
    pub participant: ParticipantId,
    /// `audio` or `video`.
    pub kind: &'static str,
}

/// A section of the publisher and its track.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PublishedTrack {
    /// The section.
    pub mid: String,
    /// The track.
    pub track: TrackInfo,
}

/// Somebody who speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct SpeakerInfo {
    /// Who.
    pub participant: ParticipantId,
    /// 0 is loudest, 127 silence.
    pub level: u8,
}

/// The room as it is to one who enters or comes back.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Welcome {
    /// [`VERSION`].
    pub version: u32,
    /// The room.
    pub room: RoomName,
    /// Oneself, without tracks.
    pub participant: Myself,
    /// What one may do.
    pub grants: Grants,
    /// The others.
    pub participants: Vec<ParticipantInfo>,
    /// Who speaks.
    pub speakers: Vec<SpeakerInfo>,
    /// RTCIceServer objects.
    pub ice_servers: Value,
    /// For `resume`.
    pub resume_token: String,
    /// How long it is good after the WebSocket was lost, seconds.
    pub resume_within_s: u64,
    /// How often to ping.
    pub ping_interval_s: u64,
    /// How long either side waits for a word of the other.
    pub timeout_s: u64,
    /// Bounds.
    pub limits: LimitsInfo,
}

/// Oneself.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Myself {
    /// One's id.
    pub id: ParticipantId,
    /// Who one is.
    pub identity: Identity,
    /// For people.
    pub name: String,
}

/// Bounds a client should know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct LimitsInfo {
    /// Tracks one may publish.
    pub tracks: usize,
    /// Bytes of a message.
    pub message_bytes: usize,
    /// Bytes of a text.
    pub text_bytes: usize,
}

/// What the server says.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
#[allow(missing_docs, reason = "fields are documented in docs/signaling.md")]
pub enum Said<'a> {
    Joined {
        id: u64,
        #[serde(flatten)]
        welcome: &'a Welcome,
    },
    Resumed {
        id: u64,
        #[serde(flatten)]
        welcome: &'a Welcome,
        published: Vec<PublishedTrack>,
        reconnect: Vec<ConnectionName>,
    },
    Ok {
        id: u64,
    },
    Pong {
        id: u64,
    },
    Error {
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<u64>,
        code: ErrorCode,
        message: &'a str,
    },
    Published {
        id: u64,
        answer: &'a str,
        tracks: Vec<PublishedTrack>,
    },
    Offer {
        revision: u64,
        fresh: bool,
        offer: &'a str,
        tracks: Vec<OfferedTrack>,
    },
    ParticipantJoined {
        participant: ParticipantInfo,
    },
    ParticipantLeft {
        participant: ParticipantId,
        reason: LeaveReason,
    },
    TrackPublished {
        participant: ParticipantId,
        track: TrackInfo,
    },
    TrackUnpublished {
        participant: ParticipantId,
        track: TrackId,
    },
    TrackMuted {
        participant: ParticipantId,
        track: TrackId,
        muted: bool,
        by: MutedBy,
    },
    TrackUnavailable {
        track: TrackId,
        reason: Unavailable,
    },
    Speaker {
        active: Option<ParticipantId>,
        speakers: Vec<SpeakerInfo>,
    },
    Layer {
        track: TrackId,
        spatial: Option<u8>,
        temporal: u8,
        #[serde(skip_serializing_if = "Option::is_none")]
        why: Option<&'static str>,
    },
    Quality {
        participant: ParticipantId,
        quality: crate::quality::Grade,
        mos: f64,
    },
    Connection {
        connection: ConnectionName,
        state: ConnectionState,
    },
    Message {
        participant: ParticipantId,
        text: &'a str,
        private: bool,
    },
    Reconnect {
        connections: Vec<ConnectionName>,
    },
    Kicked {
        reason: &'a str,
    },
}

/// Why somebody is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LeaveReason {
    /// By itself.
    Left,
    /// It did not come back in time.
    Timeout,
    /// An admin or the operator ended it.
    Kicked,
    /// The same identity joined again.
    Replaced,
}

impl LeaveReason {
    /// As a label value and in records.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Left => "left",
            Self::Timeout => "timeout",
            Self::Kicked => "kicked",
            Self::Replaced => "replaced",
        }
    }
}

/// Who muted a track.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MutedBy {
    /// Its publisher.
    #[serde(rename = "self")]
    Publisher,
    /// An admin or the operator.
    Admin,
}

/// Why a track cannot be had.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Unavailable {
    /// The client cannot decode it.
    Codec,
    /// Too many sections.
    Limit,
}

/// How a peer connection does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ConnectionState {
    /// Checks succeed.
    Connected,
    /// No check for 15 s.
    Disconnected,
    /// Gone.
    Ended,
}
