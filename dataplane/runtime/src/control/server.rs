//! Accepts connections and speaks the protocol of `forebay_ipc` with them.

use std::os::fd::AsFd;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use forebay_ipc::codec::Buffer;
use forebay_ipc::media::MediaEvent;
use forebay_ipc::socket::{Connection, ConnectionError, Listening, PeerCredentials, SocketError};
use forebay_ipc::{
    Ack, Allocation, BootId, Cursor, Deleted, FromDataplane, Hello, List, Outcome, RejectionReason,
    Reloaded, Role, STATS_INTERVAL, SessionPage, StatsDigest, Text, ToDataplane, VERSION, Welcome,
    limits, stats,
};
use nix::poll::{PollFd, PollFlags};
use nix::unistd::{Gid, Group, Uid, User, chown};
use tracing::{debug, info, warn};

use super::Configuration;
use super::client::{Client, Stage};
use super::commands::{self, Answer};
use super::snapshot::{self, InForce, Snapshot};
use crate::node::{Change, Media, Node, announced};

/// Connections at once, the controller included.
const CLIENTS: usize = 32;

/// Messages taken from one client before the next has its turn.
const MESSAGES_PER_TURN: usize = 16;

/// Pause after a connection could not be accepted (descriptors are short).
const ACCEPT_PAUSE: Duration = Duration::from_secs(1);

/// Usage this old is told without asking the workers again.
const FRESH: Duration = Duration::from_millis(200);

/// Who this process is.
#[derive(Debug, Clone, Copy)]
pub struct Identity {
    /// Name and version of the program.
    pub software: &'static str,
    /// Names this run.
    pub boot: BootId,
    /// Whether a control plane may command it; observers and operators always
    /// may connect.
    pub controllable: bool,
}

/// The control socket and its connections.
pub struct ControlServer {
    listening: Listening,
    group: Option<Group>,
    identity: Identity,
    clients: Vec<Client>,
    in_force: InForce,
    buffer: Buffer,
    created: Vec<Allocation>,
    deleted: Vec<Deleted>,
    media: Vec<MediaEvent>,
    next_digest: Instant,
    accept_again: Instant,
    drain_told_empty: bool,
}

impl ControlServer {
    /// Listens on `path`. Members of `group` may connect, besides root, our
    /// own user and our own group.
    pub fn bind(path: &Path, group: Option<&str>, identity: Identity) -> Result<Self, String> {
        let listening = Listening::bind(path).map_err(|error: SocketError| error.to_string())?;
        let group = match group {
            None => None,
            Some(name) => {
                let group = Group::from_name(name)
                    .ok()
                    .flatten()
                    .ok_or_else(|| format!("`control.group`: this host has no group {name:?}"))?;
                chown(path, None, Some(group.gid)).map_err(|error| {
                    format!("{path:?} cannot be given to group {name:?}: {error}")
                })?;
                Some(group)
            }
        };
        let now = Instant::now();
        Ok(Self {
            listening,
            group,
            identity,
            clients: Vec::new(),
            in_force: InForce::default(),
            buffer: Buffer::new(),
            created: Vec::new(),
            deleted: Vec::new(),
            media: Vec::new(),
            next_digest: now,
            accept_again: now,
            drain_told_empty: false,
        })
    }

    /// Whether a controller has set the peer policy.
    pub fn policy_is_set(&self) -> bool {
        self.in_force.policy.is_some()
    }

    /// What to poll before the next turn.
    pub fn poll_fds<'a>(&'a self, fds: &mut Vec<PollFd<'a>>) {
        if Instant::now() >= self.accept_again {
            fds.push(PollFd::new(self.listening.as_fd(), PollFlags::POLLIN));
        }
        for client in &self.clients {
            let mut wanted = PollFlags::POLLIN;
            if client.has_backlog() {
                wanted |= PollFlags::POLLOUT;
            }
            fds.push(PollFd::new(client.connection.as_fd(), wanted));
        }
    }

    /// Does everything that can be done now: takes in the workers' reports,
    /// commands and new connections, sends answers, events and statistics.
    /// Every change is shown to `on_change`.
    pub fn turn(
        &mut self,
        node: &mut Node,
        configuration: &mut dyn Configuration,
        on_change: &mut dyn FnMut(&Change),
    ) {
        let now = Instant::now();
        self.accept(now);
        for index in 0..self.clients.len() {
            self.read(index, node, configuration);
        }
        let (created, deleted, media) = (&mut self.created, &mut self.deleted, &mut self.media);
        node.collect_reports(|change| {
            on_change(&change);
            match change {
                Change::Created(session) => created.push(announced(&session)),
                Change::Ended(ended) => deleted.push(ended.told()),
                Change::Measured(_) => {}
                Change::Media(event) => media.push(event),
            }
        });
        self.answer_listings(node);
        let digests = if now >= self.next_digest {
            self.next_digest = now + STATS_INTERVAL;
            digests(node)
        } else {
            Vec::new()
        };
        let drain = self.drain_news(node, !digests.is_empty());
        let mut events = events(&mut self.created, &mut self.deleted);
        events.extend(media_events(&mut self.media));
        if !digests.is_empty()
            && let Some(renewed) = node.media().and_then(Media::renew_certificate)
        {
            events.push(FromDataplane::Certificate(renewed));
        }
        let news = News {
            events: &events,
            digests: &digests,
            drain: drain.as_ref(),
        };
        for client in &mut self.clients {
            let written = write(client, node, self.in_force, &news, &mut self.buffer, now);
            if let Err(error) = written {
                hang_up(client, &error);
            }
        }
        self.clients.retain(|client| match client.verdict(now) {
            None => true,
            Some(why) => {
                debug!("control connection of process {} ended: {why}", client.pid);
                false
            }
        });
        let controllers = self
            .clients
            .iter()
            .filter(|client| client.is(Role::Controller))
            .count();
        node.status()
            .controllers
            .store(controllers as u64, Ordering::Relaxed);
    }

    fn accept(&mut self, now: Instant) {
        if now < self.accept_again {
            return;
        }
        loop {
            let (connection, peer) = match self.listening.accept() {
                Ok(Some(accepted)) => accepted,
                Ok(None) => return,
                Err(error) => {
                    warn!("control connection not accepted: {error}");
                    self.accept_again = now + ACCEPT_PAUSE;
                    return;
                }
            };
            self.admit(connection, peer, now);
        }
    }

    fn admit(&mut self, connection: Connection, peer: PeerCredentials, now: Instant) {
        let mut client = Client::new(connection, peer.pid, now);
        if !peer.trusted() && !self.in_group(peer) {
            warn!(
                "control connection of user {} (process {}) refused",
                peer.uid, peer.pid
            );
            client.reject(
                RejectionReason::Forbidden,
                "your user may not connect; see control.group",
            );
        } else if self.clients.len() >= CLIENTS {
            client.reject(RejectionReason::TooManyObservers, "too many connections");
        }
        if matches!(client.stage, Stage::Rejected) {
            // One message always fits a fresh socket.
            let _ = client.flush_answers(&mut self.buffer, now);
            return;
        }
        self.clients.push(client);
    }

    /// The kernel reports a peer's primary group only; the socket's mode has
    /// let it in by any of its groups.
    fn in_group(&self, peer: PeerCredentials) -> bool {
        let Some(group) = &self.group else {
            return false;
        };
        if group.gid == Gid::from_raw(peer.gid) {
            return true;
        }
        let user = User::from_uid(Uid::from_raw(peer.uid)).ok().flatten();
        user.is_some_and(|user| group.mem.contains(&user.name))
    }

    fn read(&mut self, index: usize, node: &mut Node, configuration: &mut dyn Configuration) {
        for _ in 0..MESSAGES_PER_TURN {
            let client = &mut self.clients[index];
            if matches!(client.stage, Stage::Rejected) {
                return;
            }
            match client.connection.receive::<ToDataplane>(&mut self.buffer) {
                Ok(None) => return,
                Ok(Some(message)) => self.hear(index, message, node, configuration),
                Err(error) => {
                    hang_up(client, &error);
                    return;
                }
            }
        }
    }

    fn hear(
        &mut self,
        index: usize,
        message: ToDataplane,
        node: &mut Node,
        configuration: &mut dyn Configuration,
    ) {
        let role = self.clients[index].role();
        match (message, role) {
            (ToDataplane::Hello(hello), None)
                if matches!(self.clients[index].stage, Stage::Greeting) =>
            {
                self.greet(index, &hello, node);
            }
            (ToDataplane::Command { id, command }, Some(role)) => {
                let answer = if commands::may(role, &command) {
                    commands::carry_out(command, node, &mut self.in_force, configuration)
                } else {
                    Answer {
                        outcome: Outcome::Forbidden,
                        text: "this is not for observers and operators".to_owned(),
                        reloaded: None,
                    }
                };
                acknowledge(&mut self.clients[index], id, answer);
            }
            (ToDataplane::Sessions { id, from }, Some(_)) => {
                let client = &mut self.clients[index];
                match from {
                    Some(from) => tell_sessions(client, id, from, node),
                    None if client.listing.is_some() => {
                        end(client, "it asks for two lists at once");
                    }
                    None => {
                        client.listing = Some(id);
                        let survey = node.survey();
                        if !survey.is_under_way() && !survey.is_younger_than(FRESH) {
                            node.begin_survey();
                        }
                    }
                }
            }
            (ToDataplane::Hello(_), _)
            | (ToDataplane::Command { .. } | ToDataplane::Sessions { .. }, None) => {
                end(&mut self.clients[index], "a message out of order");
            }
        }
    }

    /// Begins the lists that waited for the workers.
    fn answer_listings(&mut self, node: &Node) {
        if node.survey().is_under_way() {
            return;
        }
        for client in &mut self.clients {
            if let Some(id) = client.listing.take()
                && client.role().is_some()
            {
                tell_sessions(client, id, Cursor::default(), node);
            }
        }
    }

    fn greet(&mut self, index: usize, hello: &Hello, node: &Node) {
        let controller_present = self
            .clients
            .iter()
            .any(|client| client.is(Role::Controller));
        let client = &mut self.clients[index];
        if hello.version != VERSION {
            let text = format!(
                "this data plane speaks version {VERSION}, not {}; use the same release",
                hello.version
            );
            client.reject(RejectionReason::Version, &text);
        } else if hello.role == Role::Controller && !self.identity.controllable {
            let text = "this server is commanded by its configuration file alone; connect as an observer or operator";
            client.reject(RejectionReason::Forbidden, text);
        } else if hello.role == Role::Controller && controller_present {
            client.reject(
                RejectionReason::ControllerPresent,
                "another control plane is connected",
            );
        } else {
            let welcome = Welcome {
                version: VERSION,
                software: Text::truncated(self.identity.software),
                boot: self.identity.boot,
                started_at: node.status().started_at,
                realm: Text::truncated(&node.plan().turn.realm),
            };
            client.answer(FromDataplane::Welcome(welcome));
            client.stage = Stage::Admitted {
                role: hello.role,
                allocations: hello.allocations,
            };
            client.snapshot = Some(Snapshot::Begin);
            if hello.role == Role::Controller {
                info!(
                    "control plane connected: {:?}, process {}",
                    hello.software, client.pid
                );
            }
        }
    }

    /// A drain's progress with every interval, and once when nothing remains.
    fn drain_news(&mut self, node: &Node, interval: bool) -> Option<FromDataplane> {
        let progress = snapshot::drain_progress(node)?;
        let first_empty = progress.remaining == 0 && !self.drain_told_empty;
        self.drain_told_empty |= first_empty;
        (interval || first_empty).then_some(FromDataplane::Drain(progress))
    }
}

fn acknowledge(client: &mut Client, id: u32, answer: Answer) {
    let reloaded = answer.reloaded.map(|(changes, error)| {
        FromDataplane::Reloaded(Reloaded {
            id,
            changes: List::truncated(changes),
            error: Text::truncated(&error),
        })
    });
    let ack = FromDataplane::Ack(Ack {
        id,
        outcome: answer.outcome,
        text: Text::truncated(&answer.text),
    });
    if !reloaded
        .into_iter()
        .chain([ack])
        .all(|message| client.answer(message))
    {
        end(client, "it sends commands without reading the answers");
    }
}

fn tell_sessions(client: &mut Client, id: u32, from: Cursor, node: &Node) {
    let (sessions, next) = node.registry().page(from, limits::SESSIONS);
    let page = FromDataplane::Sessions(SessionPage {
        id,
        sessions: List::truncated(sessions),
        next,
    });
    if !client.answer(page) {
        end(client, "it asks for sessions without reading the answers");
    }
}

/// What every admitted client is told in one turn.
struct News<'a> {
    events: &'a [FromDataplane],
    digests: &'a [StatsDigest],
    drain: Option<&'a FromDataplane>,
}

/// Everything there is to say to one client now.
fn write(
    client: &mut Client,
    node: &Node,
    in_force: InForce,
    news: &News<'_>,
    buffer: &mut Buffer,
    now: Instant,
) -> Result<(), ConnectionError> {
    client.flush_answers(buffer, now)?;
    if !matches!(client.stage, Stage::Admitted { .. }) {
        return Ok(());
    }
    if client.wants_allocations() && client.snapshot != Some(Snapshot::Begin) {
        for event in news.events {
            if !client.offer(event, buffer, now)? {
                client.events_lost += count(event);
            }
        }
    }
    snapshot::advance(client, node, in_force, buffer, now)?;
    if client.snapshot.is_some() {
        return Ok(());
    }
    for digest in news.digests {
        let digest = StatsDigest {
            events_lost: client.events_lost,
            ..digest.clone()
        };
        client.offer(&FromDataplane::Stats(digest), buffer, now)?;
    }
    if let Some(drain) = news.drain {
        client.offer(drain, buffer, now)?;
    }
    Ok(())
}

/// Ends a connection that broke; closing it is a client's good right.
fn hang_up(client: &mut Client, error: &ConnectionError) {
    if client.is(Role::Controller) {
        info!("the control plane is gone; relaying and forwarding go on");
    }
    if !matches!(error, ConnectionError::Closed) {
        warn!(
            "control connection of process {} broke: {error}",
            client.pid
        );
    }
    client.stage = Stage::Rejected;
    client.snapshot = None;
}

fn end(client: &mut Client, why: &str) {
    if !matches!(client.stage, Stage::Rejected) {
        warn!("control connection of process {} ended: {why}", client.pid);
    }
    client.stage = Stage::Rejected;
    client.snapshot = None;
}

fn digests(node: &Node) -> Vec<StatsDigest> {
    let table = stats::fingerprint();
    node.workers()
        .iter()
        .map(|worker| StatsDigest {
            worker: u16::try_from(worker.index()).unwrap_or(u16::MAX),
            table,
            values: List::truncated(
                worker
                    .stats()
                    .iter()
                    .map(|value| value.load(Ordering::Relaxed)),
            ),
            events_lost: 0,
        })
        .collect()
}

/// Pages of what changed: first everything made, then everything ended, so
/// that an allocation that came and went within one turn is gone at the end.
fn events(created: &mut Vec<Allocation>, deleted: &mut Vec<Deleted>) -> Vec<FromDataplane> {
    let mut events = Vec::new();
    while !created.is_empty() {
        let rest = created.split_off(created.len().min(limits::ALLOCATIONS));
        events.push(FromDataplane::Allocations(List::truncated(
            std::mem::replace(created, rest),
        )));
    }
    while !deleted.is_empty() {
        let rest = deleted.split_off(deleted.len().min(limits::ALLOCATIONS));
        events.push(FromDataplane::Deleted(List::truncated(std::mem::replace(
            deleted, rest,
        ))));
    }
    events
}

/// Pages of news about media, in their order.
fn media_events(events: &mut Vec<MediaEvent>) -> Vec<FromDataplane> {
    let mut pages = Vec::new();
    while !events.is_empty() {
        let rest = events.split_off(events.len().min(limits::MEDIA_EVENTS));
        pages.push(FromDataplane::Media(List::truncated(std::mem::replace(
            events, rest,
        ))));
    }
    pages
}

fn count(event: &FromDataplane) -> u64 {
    match event {
        FromDataplane::Allocations(page) => page.len() as u64,
        FromDataplane::Deleted(page) => page.len() as u64,
        FromDataplane::Media(page) => page.len() as u64,
        FromDataplane::Certificate(_) => 1,
        _ => 0,
    }
}
