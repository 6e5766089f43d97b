//! One connection's conversation as a state machine without IO: what came in
//! decides what goes out.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use forebay_ipc::media::{Fingerprint, MediaEvent, MediaEvents, MediaWorker};
use forebay_ipc::{
    Ack, BootId, Command, Deleted, FromDataplane, Generation, Hello, Outcome, Role, SetCredentials,
    SetPolicy, SnapshotBegin, StatsDigest, Text, ToDataplane, VERSION, stats,
};

use super::reconcile::{Media, Token};
use super::view::{Item, LinkView};
use crate::rooms::model::Snapshot;
use crate::settings::Settings;

/// Why the conversation cannot go on; the link connects anew.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SessionError {
    /// The data plane would not have us.
    #[error("the data plane refuses: {0}")]
    Rejected(String),
    /// Another protocol version.
    #[error(
        "the data plane speaks version {0} of the protocol, this control plane {VERSION}; upgrade the older one"
    )]
    Version(u16),
    /// A message the rules do not allow now.
    #[error("the data plane sent {0} out of order")]
    OutOfOrder(&'static str),
    /// The data plane has a later generation than its snapshot said.
    #[error("another controller changed the data plane meanwhile")]
    Overtaken,
}

/// What the caller counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// Allocations were made.
    Created(usize),
    /// An allocation ended.
    Ended(Deleted),
    /// Both the credentials and the peer policy in force are ours.
    Reconciled,
    /// A command was refused.
    Refused(String),
    /// The snapshot is complete: this is what it has of media.
    Snapshot(Box<Snapshot>),
    /// Something happened to media.
    Media(MediaEvents),
    /// New DTLS handshakes use another certificate.
    Certificate(Fingerprint),
    /// A command about media was answered.
    Answered(Token, Outcome, String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Greeting,
    BeforeSnapshot,
    InSnapshot { listed: u32 },
    Live,
}

/// One piece of desired state.
#[derive(Debug, Default)]
struct Piece {
    /// What the data plane last said is in force.
    applied: Option<Generation>,
    /// The highest generation seen or used.
    highest: Generation,
    /// Whether the data plane lacks what we want.
    dirty: bool,
    /// A command whose ack is awaited: its id and generation.
    in_flight: Option<(u32, Generation)>,
    /// Why the data plane would not take it; not repeated until it changes.
    refused: Option<String>,
}

impl Piece {
    fn begin(&mut self, applied: Option<Generation>) {
        self.applied = applied;
        self.highest = self.highest.max(applied.unwrap_or_default());
        self.dirty = true;
    }

    fn want(&mut self) {
        self.dirty = true;
        self.refused = None;
    }

    /// The generation to send under this id, if there is something to send.
    fn send(&mut self, id: u32) -> Option<Generation> {
        if !self.dirty || self.in_flight.is_some() {
            return None;
        }
        self.dirty = false;
        self.highest = self.highest.next();
        self.in_flight = Some((id, self.highest));
        Some(self.highest)
    }

    fn settled(&self) -> bool {
        !self.dirty && self.in_flight.is_none() && self.refused.is_none()
    }

    fn item(&self) -> Item {
        Item {
            applied: self.applied,
            settled: self.settled(),
            refused: self.refused.clone(),
        }
    }
}

/// The conversation. Send [`Session::hello`]; then give every message to
/// [`Session::on_message`] and, whenever it or [`Session::want`] was called,
/// send what [`Session::next_command`] yields until it yields nothing.
/// [`Session::retry`] is for a timer of about half a second.
#[derive(Debug)]
pub struct Session {
    phase: Phase,
    settings: Arc<Settings>,
    credentials: Piece,
    policy: Piece,
    next_id: u32,
    busy: bool,
    reconciled: bool,
    snapshot: Option<SnapshotBegin>,
    /// Of the snapshot, while it is under way.
    media: Media,
    media_workers: Vec<MediaWorker>,
    /// Commands about media that wait to be sent.
    waiting: VecDeque<(Token, Command)>,
    /// Commands about media that wait for their answer.
    asked: HashMap<u32, Token>,
    view: LinkView,
    /// Live allocations by worker.
    live: Vec<u64>,
}

impl Session {
    /// With what we want of the data plane.
    pub fn new(settings: Arc<Settings>) -> Self {
        Self {
            phase: Phase::Greeting,
            settings,
            credentials: Piece::default(),
            policy: Piece::default(),
            next_id: 1,
            busy: false,
            reconciled: false,
            snapshot: None,
            media: Media::default(),
            media_workers: Vec::new(),
            waiting: VecDeque::new(),
            asked: HashMap::new(),
            view: LinkView::default(),
            live: Vec::new(),
        }
    }

    /// The first message.
    pub fn hello() -> ToDataplane {
        ToDataplane::Hello(Hello {
            version: VERSION,
            role: Role::Controller,
            software: Text::truncated(concat!("forebay-controlplane ", env!("CARGO_PKG_VERSION"))),
            allocations: true,
        })
    }

    /// Wants something else from now on.
    pub fn want(&mut self, settings: Arc<Settings>) {
        let same = settings.same_for_dataplane(&self.settings);
        self.settings = settings;
        if !same {
            self.reconciled = false;
            self.credentials.want();
            self.policy.want();
        }
    }

    /// Tries again what a busy worker could not take.
    pub fn retry(&mut self) {
        self.busy = false;
    }

    /// Whether commands may be given to [`Session::ask`].
    pub fn is_live(&self) -> bool {
        self.phase == Phase::Live
    }

    /// Takes a command about media; the caller bounds how many are
    /// unanswered.
    pub fn ask(&mut self, token: Token, command: Command) {
        self.waiting.push_back((token, command));
    }

    /// The next command to send.
    pub fn next_command(&mut self) -> Option<ToDataplane> {
        if self.phase != Phase::Live {
            return None;
        }
        let id = self.next_id;
        let command = match self.own_command(id) {
            Some(command) => command,
            None => {
                let (token, command) = self.waiting.pop_front()?;
                self.asked.insert(id, token);
                command
            }
        };
        self.next_id = id.wrapping_add(1);
        Some(ToDataplane::Command { id, command })
    }

    fn own_command(&mut self, id: u32) -> Option<Command> {
        if self.busy {
            return None;
        }
        if let Some(generation) = self.credentials.send(id) {
            return Some(Command::SetCredentials(SetCredentials {
                generation,
                secrets: self.settings.secrets.clone(),
                users: self.settings.users.clone(),
            }));
        }
        let generation = self.policy.send(id)?;
        Some(Command::SetPolicy(SetPolicy {
            generation,
            allow: self.settings.allow.clone(),
            deny: self.settings.deny.clone(),
            lowest_port: self.settings.config.peers.lowest_port,
        }))
    }

    /// Takes a message in; what it means to others goes to `notice`.
    pub fn on_message(
        &mut self,
        message: FromDataplane,
        notice: &mut dyn FnMut(Notice),
    ) -> Result<(), SessionError> {
        match (message, self.phase) {
            (FromDataplane::Rejected(rejected), Phase::Greeting) => {
                return Err(if rejected.version == VERSION {
                    SessionError::Rejected(rejected.text.to_string())
                } else {
                    SessionError::Version(rejected.version)
                });
            }
            (FromDataplane::Welcome(welcome), Phase::Greeting) => {
                if welcome.version != VERSION {
                    return Err(SessionError::Version(welcome.version));
                }
                self.view.dataplane = Some(welcome);
                self.phase = Phase::BeforeSnapshot;
            }
            (_, Phase::Greeting) => {
                return Err(SessionError::OutOfOrder("something before its welcome"));
            }
            (FromDataplane::SnapshotBegin(begin), Phase::BeforeSnapshot) => {
                self.credentials.begin(begin.credentials);
                self.policy.begin(begin.policy);
                self.view.drain = begin.drain;
                self.snapshot = Some(begin);
                self.phase = Phase::InSnapshot { listed: 0 };
            }
            (FromDataplane::SnapshotEnd(end), Phase::InSnapshot { listed }) => {
                tracing::debug!(listed, announced = end.allocations, "snapshot complete");
                let begin = self.snapshot.take();
                let snapshot = Snapshot {
                    boot: self
                        .view
                        .dataplane
                        .as_ref()
                        .map_or(BootId([0; 16]), |w| w.boot),
                    workers: std::mem::take(&mut self.media_workers),
                    certificate: begin.as_ref().and_then(|begin| begin.certificate),
                    media: std::mem::take(&mut self.media),
                };
                if let Some(begin) = begin {
                    self.view.listeners = begin.listeners.into_inner();
                    self.view.relays = begin.relays.into_inner();
                }
                self.view.connected = true;
                self.phase = Phase::Live;
                notice(Notice::Snapshot(Box::new(snapshot)));
            }
            (FromDataplane::Workers(_), Phase::InSnapshot { .. }) => {}
            (FromDataplane::MediaWorkers(workers), Phase::InSnapshot { .. }) => {
                self.media_workers.extend(workers.into_inner());
            }
            (FromDataplane::Session(session), Phase::InSnapshot { .. }) => {
                self.media.sessions.insert(session.key, *session);
            }
            (FromDataplane::Track(track), Phase::InSnapshot { .. }) => {
                self.media.tracks.insert(track.key, *track);
            }
            (FromDataplane::Subscriptions(page), Phase::InSnapshot { .. }) => {
                let page = page.into_inner().into_iter();
                self.media.subscriptions.extend(page.map(|s| (s.key, s)));
            }
            // What happens to media while it is being listed is in the list
            // or comes after it.
            (FromDataplane::Media(events), Phase::InSnapshot { .. }) => {
                for event in events.iter() {
                    if let MediaEvent::Ended { session, .. } = event {
                        self.media.remove_session(*session);
                    }
                }
            }
            (FromDataplane::Media(events), Phase::Live) => notice(Notice::Media(events)),
            (FromDataplane::Certificate(fingerprint), Phase::InSnapshot { .. }) => {
                if let Some(begin) = &mut self.snapshot {
                    begin.certificate = Some(fingerprint);
                }
            }
            (FromDataplane::Certificate(fingerprint), Phase::Live) => {
                notice(Notice::Certificate(fingerprint));
            }
            (FromDataplane::Allocations(page), Phase::InSnapshot { listed }) => {
                let page = u32::try_from(page.len()).unwrap_or(u32::MAX);
                self.phase = Phase::InSnapshot {
                    listed: listed.saturating_add(page),
                };
            }
            (FromDataplane::Allocations(page), Phase::Live) => notice(Notice::Created(page.len())),
            (FromDataplane::Deleted(page), Phase::InSnapshot { .. } | Phase::Live) => {
                page.into_inner()
                    .into_iter()
                    .for_each(|deleted| notice(Notice::Ended(deleted)));
            }
            (FromDataplane::Stats(digest), Phase::InSnapshot { .. } | Phase::Live) => {
                self.on_stats(&digest);
            }
            (FromDataplane::Drain(progress), Phase::InSnapshot { .. } | Phase::Live) => {
                self.view.drain = Some(progress);
            }
            (FromDataplane::Ack(ack), Phase::Live) => self.on_ack(&ack, notice)?,
            (FromDataplane::Ack(_), _) => return Err(SessionError::OutOfOrder("an ack")),
            (FromDataplane::Welcome(_) | FromDataplane::Rejected(_), _) => {
                return Err(SessionError::OutOfOrder("a second greeting"));
            }
            (
                FromDataplane::SnapshotBegin(_)
                | FromDataplane::SnapshotEnd(_)
                | FromDataplane::Workers(_)
                | FromDataplane::MediaWorkers(_)
                | FromDataplane::Session(_)
                | FromDataplane::Track(_)
                | FromDataplane::Subscriptions(_),
                _,
            ) => {
                return Err(SessionError::OutOfOrder("a part of a snapshot"));
            }
            (FromDataplane::Sessions(_) | FromDataplane::Reloaded(_), _) => {
                return Err(SessionError::OutOfOrder("an answer nobody asked for"));
            }
            (_, Phase::BeforeSnapshot) => {
                return Err(SessionError::OutOfOrder("an event before its snapshot"));
            }
        }
        Ok(())
    }

    fn on_stats(&mut self, digest: &StatsDigest) {
        // Values of another build's table have other meanings.
        let readable = digest.table == stats::fingerprint();
        let value = |stat: stats::Stat| {
            digest
                .values
                .get(stat as usize)
                .copied()
                .filter(|_| readable)
        };
        let worker = usize::from(digest.worker);
        if worker >= self.live.len() {
            self.live.resize(worker + 1, 0);
        }
        self.live[worker] = value(stats::Stat::AllocationsLive).unwrap_or(0);
        self.view.allocations = self.live.iter().sum();
        self.view.events_lost = digest.events_lost;
    }

    fn on_ack(&mut self, ack: &Ack, notice: &mut dyn FnMut(Notice)) -> Result<(), SessionError> {
        if let Some(token) = self.asked.remove(&ack.id) {
            notice(Notice::Answered(token, ack.outcome, ack.text.to_string()));
            return Ok(());
        }
        let awaits = |piece: &Piece| piece.in_flight.is_some_and(|(id, _)| id == ack.id);
        let (name, piece) = if awaits(&self.credentials) {
            ("credentials", &mut self.credentials)
        } else if awaits(&self.policy) {
            ("peer policy", &mut self.policy)
        } else {
            return Err(SessionError::OutOfOrder("an ack for no command"));
        };
        let Some((_, generation)) = piece.in_flight.take() else {
            return Ok(());
        };
        match ack.outcome {
            Outcome::Done => {
                piece.applied = Some(generation);
                tracing::info!(what = name, generation = generation.0, "data plane took it");
            }
            Outcome::Busy => {
                piece.dirty = true;
                self.busy = true;
            }
            Outcome::Stale => return Err(SessionError::Overtaken),
            Outcome::Invalid | Outcome::NotFound | Outcome::Forbidden => {
                let why = format!("{name}: {} ({:?})", ack.text, ack.outcome);
                piece.refused = Some(why.clone());
                notice(Notice::Refused(why));
            }
        }
        if !self.reconciled && self.credentials.settled() && self.policy.settled() {
            self.reconciled = true;
            notice(Notice::Reconciled);
        }
        Ok(())
    }

    /// How things stand.
    pub fn view(&self) -> LinkView {
        LinkView {
            credentials: self.credentials.item(),
            policy: self.policy.item(),
            ..self.view.clone()
        }
    }
}
