//! One stay of somebody in a room.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use forebay_ipc::media::{
    Encoding, Fingerprint, MediaSession, MediaTrack, MediaTransport, PublishedCodec, TrackKey,
    TrackKind,
};
use forebay_ipc::{Bytes, List, Sensitive, Text};

use super::subscriber::Subscriber;
use super::viewed::Stream;
use super::{Failure, Outbox, Outgoing, Whom, kind_name, text};
use crate::quality::{Grade, Smoothed};
use crate::rooms::ids::{Identity, ParticipantId, TrackId, random, random_text};
use crate::rooms::message::{
    ConnectionName, ConnectionState, MutedBy, Said, Source, TrackInfo, Unavailable,
};
use crate::rooms::note::{self, TrackNote, Way};
use crate::sdp::{Format, NegotiatedCodec, PublisherNote, RemoteTransport};
use crate::tokens::Grants;

/// The WebSocket a participant is on.
#[derive(Debug)]
pub(super) struct Attached {
    pub(super) outbox: Outbox,
    /// Tells this WebSocket from the participant's next one.
    pub(super) number: u64,
}

/// Who came in, and on which WebSocket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entered {
    /// Who.
    pub whom: Whom,
    /// To be named when the WebSocket is gone.
    pub number: u64,
}

/// A peer connection.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) session: MediaSession,
    /// Of the certificate it was offered with; it must not change while the
    /// DTLS association lives (RFC 8842 §5).
    pub(super) fingerprint: Fingerprint,
    pub(super) state: Option<ConnectionState>,
    pub(super) rtt: Duration,
    pub(super) estimate: Option<u64>,
    /// The latest report; a session that stopped reporting is gone.
    pub(super) reported: Option<Instant>,
}

impl Connection {
    /// A new one without a peer.
    pub(super) fn new(worker: u16, fingerprint: Fingerprint) -> Result<Self, Failure> {
        let session = MediaSession {
            key: forebay_ipc::media::SessionKey(random()?),
            worker,
            transport: credentials()?,
            extensions: forebay_ipc::media::Extensions::default(),
            cname: Text::truncated(&random_text::<12>()?),
            transport_cc: false,
            note: Bytes::default(),
        };
        Ok(Self {
            session,
            fingerprint,
            state: None,
            rtt: Duration::ZERO,
            estimate: None,
            reported: None,
        })
    }

    /// Our fragment and password.
    pub(super) fn credentials(&self) -> (String, String) {
        match &self.session.transport {
            MediaTransport::Ice {
                local_ufrag,
                local_password,
                ..
            } => (
                local_ufrag.to_string(),
                String::from_utf8_lossy(local_password.expose()).into_owned(),
            ),
            MediaTransport::Link { .. } => Default::default(),
        }
    }

    /// The peer's end, once known.
    pub(super) fn remote(&self) -> Option<RemoteTransport> {
        match &self.session.transport {
            MediaTransport::Ice {
                remote_ufrag: Some(ufrag),
                remote_fingerprint: Some(fingerprint),
                ..
            } => Some(RemoteTransport {
                ufrag: ufrag.to_string(),
                fingerprint: *fingerprint,
            }),
            _ => None,
        }
    }

    /// Takes the peer's end in.
    pub(super) fn set_remote(&mut self, remote: &RemoteTransport) {
        if let MediaTransport::Ice {
            remote_ufrag,
            remote_fingerprint,
            ..
        } = &mut self.session.transport
        {
            *remote_ufrag = Some(Text::truncated(&remote.ufrag));
            *remote_fingerprint = Some(remote.fingerprint);
        }
    }

    /// New credentials of ours (RFC 8445 §2.4); the peer's fragment is not
    /// known until it answers.
    pub(super) fn restart(&mut self) -> Result<(), Failure> {
        let fingerprint = self.remote().map(|remote| remote.fingerprint);
        self.session.transport = credentials()?;
        if let MediaTransport::Ice {
            remote_fingerprint, ..
        } = &mut self.session.transport
        {
            *remote_fingerprint = fingerprint;
        }
        Ok(())
    }
}

fn credentials() -> Result<MediaTransport, Failure> {
    Ok(MediaTransport::Ice {
        local_ufrag: Text::truncated(&random_text::<6>()?),
        local_password: Sensitive::new(Bytes::new(random_text::<18>()?).unwrap_or_default()),
        remote_ufrag: None,
        remote_fingerprint: None,
    })
}

/// A published track.
#[derive(Debug)]
pub(super) struct Track {
    pub(super) id: TrackId,
    /// In the data plane; `None` once the data plane lost it, for as long as
    /// its publisher may bring it back.
    pub(super) key: Option<TrackKey>,
    pub(super) lost_at: Option<Instant>,
    pub(super) mid: String,
    pub(super) kind: TrackKind,
    pub(super) codecs: Vec<NegotiatedCodec>,
    pub(super) encodings: Vec<Encoding>,
    pub(super) nack: bool,
    pub(super) fir: bool,
    pub(super) source: Source,
    pub(super) name: String,
    pub(super) muted: Option<MutedBy>,
    pub(super) width: Option<u16>,
    pub(super) height: Option<u16>,
    pub(super) quality: Smoothed,
    pub(super) loss: f64,
    pub(super) jitter: Duration,
    pub(super) bits_per_second: u64,
    /// Encodings that do not arrive, a bit each.
    pub(super) silent: u8,
}

impl Track {
    /// As others see it.
    pub(super) fn info(&self) -> TrackInfo {
        TrackInfo {
            id: self.id,
            kind: kind_name(self.kind),
            source: self.source,
            name: self.name.clone(),
            muted: self.muted.is_some(),
            codec: self
                .codecs
                .first()
                .map_or("other", |codec| match codec.format {
                    Format::Opus => "opus",
                    Format::Vp8 => "vp8",
                    Format::Vp9(_) => "vp9",
                    Format::Av1(_) => "av1",
                    Format::H264 { .. } => "h264",
                }),
            encodings: self.encodings.len(),
            width: self.width,
            height: self.height,
        }
    }

    /// As the data plane is to have it.
    pub(super) fn media(&self, key: TrackKey, session: &MediaSession) -> MediaTrack {
        let codecs: Vec<PublishedCodec> = self.codecs.iter().map(|c| c.published).collect();
        MediaTrack {
            key,
            session: session.key,
            mid: Text::truncated(&self.mid),
            kind: self.kind,
            codecs: List::truncated(codecs),
            encodings: List::truncated(self.encodings.clone()),
            nack: self.nack,
            fir: self.fir,
            muted: self.muted.is_some(),
            note: note::write(&TrackNote {
                id: self.id,
                source: self.source,
                name: self.name.clone(),
                formats: self.codecs.iter().map(|c| c.format).collect(),
                muted: self.muted,
                width: self.width,
                height: self.height,
            })
            .unwrap_or_default(),
        }
    }

    /// The highest spatial layer there may be: encodings count, or what a
    /// scalable codec can have in one.
    pub(super) fn top(&self) -> u8 {
        let scalable = self
            .codecs
            .first()
            .is_some_and(|c| matches!(c.format, Format::Vp9(_) | Format::Av1(_)));
        match self.encodings.len() {
            0 | 1 if scalable => 2,
            0 | 1 => 0,
            n => u8::try_from(n - 1).unwrap_or(3).min(3),
        }
    }
}

/// What a participant wishes of a track it receives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Wish {
    pub(super) visible: Option<bool>,
    pub(super) width: Option<u16>,
    pub(super) height: Option<u16>,
    pub(super) max_spatial: Option<u8>,
    pub(super) max_temporal: Option<u8>,
    pub(super) priority: Option<u8>,
}

/// Somebody in a room.
#[derive(Debug)]
pub(super) struct Participant {
    pub(super) id: ParticipantId,
    pub(super) identity: Identity,
    pub(super) name: String,
    pub(super) grants: Grants,
    pub(super) way: Way,
    pub(super) auto_subscribe: bool,
    pub(super) joined_at: u64,
    pub(super) serial: u32,
    pub(super) attached: Option<Attached>,
    /// Since when it is without a WebSocket, or before its first session.
    pub(super) absent_since: Option<Instant>,
    pub(super) publisher: Option<Connection>,
    /// What the publisher's next offer must agree with.
    pub(super) publisher_note: Option<PublisherNote>,
    pub(super) tracks: BTreeMap<TrackId, Track>,
    pub(super) subscriber: Option<Subscriber>,
    /// Of the latest offer on any subscriber connection.
    pub(super) revision: u64,
    pub(super) wanted: BTreeSet<TrackId>,
    pub(super) unwanted: BTreeSet<TrackId>,
    /// What it was told it cannot have.
    pub(super) unavailable: BTreeMap<TrackId, Unavailable>,
    pub(super) wishes: BTreeMap<TrackId, Wish>,
    pub(super) last_n: Option<u8>,
    pub(super) last_spoke: Option<Instant>,
    pub(super) grade: Option<Grade>,
    pub(super) graded_at: Option<Instant>,
    pub(super) quality: Smoothed,
    pub(super) freezes: u64,
    pub(super) freeze_ms: u64,
    /// Connections the client must make anew, told at once or when it comes
    /// back.
    pub(super) reconnect: BTreeSet<ConnectionName>,
    /// Of events, oldest first.
    pub(super) streams: Vec<Stream>,
}

impl Participant {
    /// Just come.
    pub(super) fn new(
        id: ParticipantId,
        identity: Identity,
        name: String,
        grants: Grants,
        way: Way,
        joined_at: u64,
    ) -> Self {
        Self {
            id,
            identity,
            name,
            grants,
            way,
            auto_subscribe: true,
            joined_at,
            serial: 0,
            attached: None,
            absent_since: None,
            publisher: None,
            publisher_note: None,
            tracks: BTreeMap::new(),
            subscriber: None,
            revision: 0,
            wanted: BTreeSet::new(),
            unwanted: BTreeSet::new(),
            unavailable: BTreeMap::new(),
            wishes: BTreeMap::new(),
            last_n: None,
            last_spoke: None,
            grade: None,
            graded_at: None,
            quality: Smoothed::default(),
            freezes: 0,
            freeze_ms: 0,
            reconnect: BTreeSet::new(),
            streams: Vec::new(),
        }
    }

    /// Puts a message into its queue; whoever does not read is cut off and
    /// may resume. Says whether it was.
    pub(super) fn push(&mut self, message: Outgoing) -> bool {
        let Some(attached) = &self.attached else {
            return false;
        };
        match attached.outbox.try_send(message) {
            Ok(()) => false,
            Err(tokio::sync::mpsc::error::TrySendError::Closed(_)) => false,
            Err(tokio::sync::mpsc::error::TrySendError::Full(_)) => {
                self.attached = None;
                true
            }
        }
    }

    /// Says something to it.
    pub(super) fn say(&mut self, said: &Said<'_>) -> bool {
        if self.attached.is_none() {
            return false;
        }
        self.push(Outgoing::Text(text(said)))
    }

    /// Its connection of this name.
    pub(super) fn connection_mut(&mut self, name: ConnectionName) -> Option<&mut Connection> {
        match name {
            ConnectionName::Publisher => self.publisher.as_mut(),
            ConnectionName::Subscriber => self.subscriber.as_mut().map(|s| &mut s.connection),
        }
    }
}
