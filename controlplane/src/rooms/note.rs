//! What the data plane keeps for us with sessions and tracks, so that a
//! restarted control plane knows its rooms again. JSON with short names: a
//! note has 8 KiB.

use forebay_ipc::media::Note;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::ids::{CallId, Identity, ParticipantId, RoomName, TrackId};
use super::message::{MutedBy, Source};
use crate::sdp::{AcceptedCodec, CodecPolicy, Format, PublisherNote, SubscriberNote};
use crate::tokens::Grants;

/// Raised when notes change their meaning; others' notes are not adopted.
const VERSION: u8 = 1;

/// With a session.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SessionNote {
    /// A participant's publisher; with the fingerprint, in hex, of the
    /// certificate it was offered, and what its next offer must agree with.
    Publisher(String, PersonNote, PublisherNote),
    /// A participant's subscriber, likewise.
    Subscriber(String, PersonNote, SubscriberNotes),
    /// A viewer that offered itself (WHEP), likewise.
    Viewer(String, PersonNote, Vec<ViewerSection>),
    /// One end of a link between two workers.
    Link(LinkNote),
}

/// Whose session it is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PersonNote {
    /// The room.
    #[serde(rename = "r")]
    pub room: RoomName,
    /// The call the stay belongs to.
    #[serde(rename = "c")]
    pub call: CallId,
    /// When the call began, seconds since the Unix epoch.
    #[serde(rename = "cs")]
    pub call_started: u64,
    /// The stay.
    #[serde(rename = "p")]
    pub id: ParticipantId,
    /// Who.
    #[serde(rename = "i")]
    pub identity: Identity,
    /// For people.
    #[serde(rename = "n")]
    pub name: String,
    /// What it may do.
    #[serde(rename = "g")]
    pub grants: Grants,
    /// How it came.
    #[serde(rename = "k")]
    pub way: Way,
    /// Whether it subscribes to everything.
    #[serde(rename = "a")]
    pub auto_subscribe: bool,
    /// Seconds since the Unix epoch.
    #[serde(rename = "j")]
    pub joined_at: u64,
    /// Serial of its latest resume token.
    #[serde(rename = "s")]
    pub serial: u32,
    /// The room's own choice.
    #[serde(rename = "x", default, skip_serializing_if = "Option::is_none")]
    pub codecs: Option<CodecPolicy>,
}

/// How a participant came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Way {
    /// With a WebSocket.
    Web,
    /// It only publishes, by WHIP.
    Whip,
    /// It only views, by WHEP.
    Whep,
}

/// What a subscriber connection is made of beside its subscriptions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SubscriberNotes {
    /// Its sections.
    #[serde(rename = "o")]
    pub sections: SubscriberNote,
    /// What the client takes; empty before its first answer.
    #[serde(rename = "f")]
    pub accepted: Vec<AcceptedCodec>,
    /// The latest offer's revision.
    #[serde(rename = "v")]
    pub revision: u64,
}

/// A viewer's section.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ViewerSection {
    /// Its tag.
    #[serde(rename = "m")]
    pub mid: String,
    /// Sound, or pictures.
    #[serde(rename = "a")]
    pub audio: bool,
    /// What it takes.
    #[serde(rename = "f")]
    pub accepted: Vec<AcceptedCodec>,
}

/// One end of a link.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LinkNote {
    /// The worker at the other end.
    #[serde(rename = "w")]
    pub other: u16,
}

/// With a track.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrackNote {
    /// What others know it by.
    #[serde(rename = "i")]
    pub id: TrackId,
    /// Where it comes from.
    #[serde(rename = "s")]
    pub source: Source,
    /// For people.
    #[serde(rename = "n", default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Of its codecs, in their order.
    #[serde(rename = "f")]
    pub formats: Vec<Format>,
    /// Who muted it.
    #[serde(rename = "m", default, skip_serializing_if = "Option::is_none")]
    pub muted: Option<MutedBy>,
    /// Pixels of the best encoding.
    #[serde(rename = "w", default, skip_serializing_if = "Option::is_none")]
    pub width: Option<u16>,
    /// Pixels of the best encoding.
    #[serde(rename = "h", default, skip_serializing_if = "Option::is_none")]
    pub height: Option<u16>,
}

/// The note, if it fits.
pub fn write<T: Serialize>(note: &T) -> Option<Note> {
    #[derive(Serialize)]
    struct Borrowed<'a, T> {
        v: u8,
        n: &'a T,
    }
    let bytes = serde_json::to_vec(&Borrowed {
        v: VERSION,
        n: note,
    })
    .ok()?;
    Note::new(bytes).ok()
}

/// What a note says, if it is one of ours.
pub fn read<T: DeserializeOwned>(note: &Note) -> Option<T> {
    #[derive(Deserialize)]
    struct Owned<T> {
        v: u8,
        n: T,
    }
    let owned: Owned<T> = serde_json::from_slice(note).ok()?;
    (owned.v == VERSION).then_some(owned.n)
}
