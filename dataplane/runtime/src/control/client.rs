//! One connection.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use forebay_ipc::codec::Buffer;
use forebay_ipc::media::{MediaSecret, MediaSession, MediaTrack, MediaTransport, Note};
use forebay_ipc::socket::{Connection, ConnectionError};
use forebay_ipc::{
    Bytes, FromDataplane, Rejected, RejectionReason, Role, SILENCE_LIMIT, Text, VERSION,
};

use super::snapshot::Snapshot;

/// Answers that may wait for the kernel to take them. A client that sends
/// commands without reading the answers is dropped at this point.
const ANSWERS: usize = 64;

/// How long a connection may take to introduce itself.
const GREETING: Duration = Duration::from_secs(5);

/// How far a connection has come.
#[derive(Debug)]
pub(super) enum Stage {
    /// Nothing was said yet.
    Greeting,
    /// Admitted.
    Admitted {
        /// What it may do.
        role: Role,
        /// Whether it wants to hear of allocations.
        allocations: bool,
    },
    /// To be closed once the answers are out.
    Rejected,
}

/// What a client is told.
#[derive(Debug, Clone, Copy)]
pub(super) struct Audience {
    /// Single allocations, sessions, tracks and subscriptions.
    pub(super) details: bool,
    /// The control plane's own memory, and keys; observers only look.
    pub(super) secrets: bool,
}

impl Audience {
    /// A session as this client may see it.
    pub(super) fn session(self, session: &MediaSession) -> MediaSession {
        let mut session = session.clone();
        if self.secrets {
            return session;
        }
        let hidden = || MediaSecret::new(Bytes::default());
        session.note = Note::default();
        match &mut session.transport {
            MediaTransport::Ice { local_password, .. } => *local_password = hidden(),
            MediaTransport::Link {
                local, remote_keys, ..
            } => {
                *local = hidden();
                *remote_keys = hidden();
            }
        }
        session
    }

    /// A track as this client may see it.
    pub(super) fn track(self, track: &MediaTrack) -> MediaTrack {
        let mut track = track.clone();
        if !self.secrets {
            track.note = Note::default();
        }
        track
    }
}

/// A connection with what waits for it.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) connection: Connection,
    pub(super) stage: Stage,
    pub(super) snapshot: Option<Snapshot>,
    /// A list of sessions it waits for while the workers are asked.
    pub(super) listing: Option<u32>,
    pub(super) events_lost: u64,
    /// Who it is, for the log.
    pub(super) pid: i32,
    answers: VecDeque<FromDataplane>,
    since: Instant,
    /// When the kernel first refused to take more, while it still does.
    stuck_since: Option<Instant>,
}

impl Client {
    pub(super) fn new(connection: Connection, pid: i32, now: Instant) -> Self {
        Self {
            connection,
            stage: Stage::Greeting,
            snapshot: None,
            listing: None,
            events_lost: 0,
            pid,
            answers: VecDeque::new(),
            since: now,
            stuck_since: None,
        }
    }

    /// Whether it is admitted in this role.
    pub(super) fn is(&self, wanted: Role) -> bool {
        matches!(self.stage, Stage::Admitted { role, .. } if role == wanted)
    }

    /// Its role once it is admitted.
    pub(super) fn role(&self) -> Option<Role> {
        match self.stage {
            Stage::Admitted { role, .. } => Some(role),
            _ => None,
        }
    }

    /// Whether it wants to hear of allocations and media.
    pub(super) fn wants_allocations(&self) -> bool {
        matches!(
            self.stage,
            Stage::Admitted {
                allocations: true,
                ..
            }
        )
    }

    /// What it is to be told.
    pub(super) fn audience(&self) -> Audience {
        Audience {
            details: self.wants_allocations(),
            secrets: self.is(Role::Controller),
        }
    }

    /// Whether something waits until the kernel takes more.
    pub(super) fn has_backlog(&self) -> bool {
        !self.answers.is_empty() || self.snapshot.is_some()
    }

    /// Queues an answer. False: too many wait already.
    pub(super) fn answer(&mut self, message: FromDataplane) -> bool {
        if self.answers.len() >= ANSWERS {
            return false;
        }
        self.answers.push_back(message);
        true
    }

    /// Queues a refusal; the connection ends after it.
    pub(super) fn reject(&mut self, reason: RejectionReason, text: &str) {
        let rejected = Rejected {
            reason,
            text: Text::truncated(text),
            version: VERSION,
        };
        self.answer(FromDataplane::Rejected(rejected));
        self.stage = Stage::Rejected;
    }

    /// Sends the queued answers. `Ok(false)`: the kernel takes no more now.
    pub(super) fn flush_answers(
        &mut self,
        buffer: &mut Buffer,
        now: Instant,
    ) -> Result<bool, ConnectionError> {
        while let Some(message) = self.answers.front() {
            if !self.connection.send(message, buffer)? {
                self.stuck_since.get_or_insert(now);
                return Ok(false);
            }
            self.stuck_since = None;
            self.answers.pop_front();
        }
        Ok(true)
    }

    /// Sends now or not at all. Never overtakes a queued answer.
    pub(super) fn offer(
        &mut self,
        message: &FromDataplane,
        buffer: &mut Buffer,
        now: Instant,
    ) -> Result<bool, ConnectionError> {
        let taken = self.answers.is_empty() && self.connection.send(message, buffer)?;
        if taken {
            self.stuck_since = None;
        } else {
            self.stuck_since.get_or_insert(now);
        }
        Ok(taken)
    }

    /// Why the connection is to be ended, if it is.
    pub(super) fn verdict(&self, now: Instant) -> Option<&'static str> {
        match self.stage {
            Stage::Rejected if self.answers.is_empty() => return Some("refused"),
            Stage::Greeting if now.duration_since(self.since) > GREETING => {
                return Some("it does not introduce itself");
            }
            _ => {}
        }
        let stuck = self
            .stuck_since
            .is_some_and(|since| now.duration_since(since) > SILENCE_LIMIT);
        stuck.then_some("it does not read")
    }
}
