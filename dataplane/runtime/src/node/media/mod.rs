//! The forwarder's end of the node: what is wanted, handshakes, news.

mod describe;
mod events;
mod fragments;
mod handshakes;
mod registry;

use std::net::SocketAddr;
use std::sync::Arc;

use crossbeam_channel::Receiver;
use forebay_ipc::media::{
    Fingerprint, MediaEvent, MediaSession, MediaSubscription, MediaTrack, MediaTransport,
    MediaWorker, SessionEnd, SessionKey, SubscriptionKey, TrackKey,
};
use forebay_ipc::{List, limits};
use forebay_media::{Capacity, Change, Path, SocketId};
use tracing::{info, warn};

pub use registry::{Load, MediaRegistry};

use super::plan::{MediaPlan, Plan};
use crate::config::Settings;
use crate::dtls::Handshakes;
use crate::front::Owners;
use crate::worker::{StartError, Subject, WorkerCommand, WorkerHandle, WorkerReport};
use fragments::Fragments;
use handshakes::Mailers;

/// Why a command was not carried out; the text is for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Declined {
    /// It contradicts itself or what may change.
    Invalid(String),
    /// It names something that is not there.
    NotFound(String),
    /// There is no room for it now.
    Busy(String),
}

impl Declined {
    fn not_found(what: &str) -> Self {
        Self::NotFound(format!("no such {what}"))
    }

    fn changed(what: &str) -> Self {
        Self::Invalid(format!("{what} never changes"))
    }

    fn mailbox() -> Self {
        Self::Busy("the worker's mailbox is full; try again".to_owned())
    }

    fn no_room(worker: u16, what: &str) -> Self {
        Self::Busy(format!("worker {worker} has no room for more {what}"))
    }
}

/// Everything about media that the control thread knows.
pub struct Media {
    plan: MediaPlan,
    workers: usize,
    /// Socket id of the first media address on every worker.
    first_socket: u32,
    registry: MediaRegistry,
    handshakes: Arc<Handshakes>,
    /// Where connections find their session.
    fragments: Fragments,
    mailers: Mailers,
    /// From the handshakes' threads.
    news: Receiver<MediaEvent>,
}

impl Media {
    /// Starts the handshakes' threads; `None` when media is off.
    pub(super) fn start(settings: &Settings, plan: &Plan) -> Result<Option<Self>, StartError> {
        let Some(media) = &plan.media else {
            return Ok(None);
        };
        let (handshakes, mailers, news) = handshakes::start(settings, media, plan.cores.len())?;
        Ok(Some(Self {
            plan: media.clone(),
            workers: plan.cores.len(),
            first_socket: u32::try_from(plan.listen.len()).unwrap_or(u32::MAX),
            registry: MediaRegistry::default(),
            handshakes: Arc::new(handshakes),
            fragments: Fragments::default(),
            mailers,
            news,
        }))
    }

    /// The workers run: handshakes may reach them.
    pub(super) fn connect(&self, workers: &[WorkerHandle]) {
        let mailers = workers.iter().map(WorkerHandle::mailer).collect();
        // Cannot fail: workers start once.
        let _ = self.mailers.set(mailers);
        for worker in 0..self.workers {
            for address in self.plan.of_worker(worker) {
                if address.local == address.public {
                    info!("media of worker {worker} on udp {}", address.local);
                } else {
                    info!(
                        "media of worker {worker} on udp {}, told to clients as {}",
                        address.local, address.public
                    );
                }
            }
        }
        for address in self.plan.tcp() {
            info!(
                "media of all workers on tcp {}, told to clients as {}",
                address.local, address.public
            );
        }
    }

    /// The threads that shake hands.
    pub fn handshakes(&self) -> &Arc<Handshakes> {
        &self.handshakes
    }

    /// Which worker has which session, for whoever accepts connections.
    pub(super) fn owners(&self) -> Arc<Owners> {
        self.fragments.owners()
    }

    /// What is wanted.
    pub fn registry(&self) -> &MediaRegistry {
        &self.registry
    }

    /// Room of one worker.
    pub fn capacity(&self) -> Capacity {
        self.plan.forwarder.capacity
    }

    /// The certificate of new handshakes.
    pub fn certificate(&self) -> Fingerprint {
        Fingerprint(self.handshakes.fingerprint())
    }

    /// Makes a new certificate when the current one is old.
    pub fn renew_certificate(&self) -> Option<Fingerprint> {
        match self.handshakes.renew() {
            Ok(renewed) => renewed.map(Fingerprint),
            Err(error) => {
                warn!("the DTLS certificate is not renewed: {error}");
                None
            }
        }
    }

    /// Where a worker receives media.
    pub fn worker(&self, worker: usize) -> MediaWorker {
        MediaWorker {
            worker: u16::try_from(worker).unwrap_or(u16::MAX),
            addresses: List::truncated(
                self.plan
                    .of_worker(worker)
                    .map(|address| address.public)
                    .take(limits::MEDIA_ADDRESSES),
            ),
            tcp: self.plan.tcp,
            session_capacity: self.capacity().sessions,
        }
    }

    /// Makes or changes a session.
    ///
    /// # Errors
    /// Why nothing changed.
    pub fn set_session(
        &mut self,
        workers: &[WorkerHandle],
        session: MediaSession,
    ) -> Result<(), Declined> {
        let Some(worker) = workers.get(usize::from(session.worker)) else {
            return Err(Declined::not_found("worker"));
        };
        let known = self.registry.session(session.key);
        if let Some(known) = known {
            if known.worker != session.worker {
                return Err(Declined::changed("a session's worker"));
            }
            if matches!(known.transport, MediaTransport::Ice { .. })
                != matches!(session.transport, MediaTransport::Ice { .. })
            {
                return Err(Declined::changed("a session's kind of transport"));
            }
        } else if self.registry.load(session.worker).sessions >= self.capacity().sessions {
            return Err(Declined::no_room(session.worker, "sessions"));
        }
        let fresh = known.is_none();
        let key = describe::session_key(session.key);
        let described = describe::session(&session, |remote| self.path(session.worker, remote))
            .map_err(Declined::Invalid)?;
        if let MediaTransport::Ice {
            remote_fingerprint, ..
        } = &session.transport
        {
            let expected = remote_fingerprint.map(|fingerprint| fingerprint.0);
            self.handshakes
                .set(key, usize::from(session.worker), expected)
                .map_err(|full| Declined::Busy(full.to_string()))?;
        }
        if worker
            .send(WorkerCommand::Media(Change::SetSession(described)))
            .is_err()
        {
            if fresh {
                self.handshakes.remove(key);
            }
            return Err(Declined::mailbox());
        }
        if let MediaTransport::Ice { local_ufrag, .. } = &session.transport {
            self.fragments.set(key, local_ufrag, session.worker);
        }
        self.registry.set_session(session);
        Ok(())
    }

    /// Our socket on the way to a link's other end, which may be another
    /// worker of ours: that one is reached at its own address, not at the
    /// public one.
    fn path(&self, worker: u16, remote: SocketAddr) -> Option<Path> {
        let remote = (0..self.workers)
            .flat_map(|worker| self.plan.of_worker(worker))
            .find(|address| address.public == remote)
            .map_or(remote, |address| address.local);
        let own: Vec<SocketAddr> = self
            .plan
            .of_worker(usize::from(worker))
            .map(|address| address.local)
            .collect();
        let same_ip = own.iter().position(|local| local.ip() == remote.ip());
        let index = same_ip.or_else(|| {
            own.iter()
                .position(|local| local.is_ipv4() == remote.is_ipv4())
        })?;
        Some(Path {
            socket: SocketId(self.first_socket + u32::try_from(index).ok()?),
            local: own[index].ip(),
            remote,
        })
    }

    /// Ends a session with everything on it.
    ///
    /// # Errors
    /// Why nothing changed.
    pub fn remove_session(
        &mut self,
        workers: &[WorkerHandle],
        key: SessionKey,
    ) -> Result<(), Declined> {
        let worker = self.registry.worker_of(key);
        let change = Change::RemoveSession(describe::session_key(key));
        send(workers, worker, change, "session")?;
        self.forget_session(key);
        Ok(())
    }

    /// Makes or changes a track.
    ///
    /// # Errors
    /// Why nothing changed.
    pub fn set_track(
        &mut self,
        workers: &[WorkerHandle],
        track: MediaTrack,
    ) -> Result<(), Declined> {
        let worker = self.registry.worker_of(track.session);
        match self.registry.track(track.key) {
            Some(known) if known.session != track.session => {
                return Err(Declined::changed("a track's session"));
            }
            Some(_) => {}
            None => {
                if let Some(worker) = worker
                    && self.registry.load(worker).tracks >= self.capacity().tracks
                {
                    return Err(Declined::no_room(worker, "tracks"));
                }
            }
        }
        let described = describe::track(&track).map_err(Declined::Invalid)?;
        send(workers, worker, Change::SetTrack(described), "session")?;
        self.registry.set_track(track);
        Ok(())
    }

    /// Ends a track with its subscriptions.
    ///
    /// # Errors
    /// Why nothing changed.
    pub fn remove_track(
        &mut self,
        workers: &[WorkerHandle],
        key: TrackKey,
    ) -> Result<(), Declined> {
        let track = self.registry.track(key);
        let worker = track.and_then(|track| self.registry.worker_of(track.session));
        let change = Change::RemoveTrack(describe::track_key(key));
        send(workers, worker, change, "track")?;
        self.registry.remove_track(key);
        Ok(())
    }

    /// Makes or changes a subscription.
    ///
    /// # Errors
    /// Why nothing changed.
    pub fn set_subscription(
        &mut self,
        workers: &[WorkerHandle],
        subscription: MediaSubscription,
    ) -> Result<(), Declined> {
        let Some(track) = self.registry.track(subscription.track) else {
            return Err(Declined::not_found("track"));
        };
        let worker = self.registry.worker_of(subscription.session);
        if worker.is_some() && self.registry.worker_of(track.session) != worker {
            return Err(Declined::Invalid(
                "track and session are on different workers; a link joins them".to_owned(),
            ));
        }
        match self.registry.subscription(subscription.key) {
            Some(known)
                if (known.track, known.session) != (subscription.track, subscription.session) =>
            {
                return Err(Declined::changed("a subscription's track or session"));
            }
            Some(_) => {}
            None => {
                if let Some(worker) = worker
                    && self.registry.load(worker).subscriptions >= self.capacity().subscriptions
                {
                    return Err(Declined::no_room(worker, "subscriptions"));
                }
            }
        }
        let described = describe::subscription(&subscription, track.encodings.len())
            .map_err(Declined::Invalid)?;
        send(
            workers,
            worker,
            Change::SetSubscription(described),
            "session",
        )?;
        self.registry.set_subscription(subscription);
        Ok(())
    }

    /// Ends a subscription.
    ///
    /// # Errors
    /// Why nothing changed.
    pub fn remove_subscription(
        &mut self,
        workers: &[WorkerHandle],
        key: SubscriptionKey,
    ) -> Result<(), Declined> {
        let subscription = self.registry.subscription(key);
        let worker =
            subscription.and_then(|subscription| self.registry.worker_of(subscription.session));
        let change = Change::RemoveSubscription(describe::subscription_key(key));
        send(workers, worker, change, "subscription")?;
        self.registry.remove_subscription(key);
        Ok(())
    }

    /// Takes a worker's report in; what of it a control plane is to hear.
    /// Reports of what was removed meanwhile are nothing.
    pub(super) fn take(&mut self, report: &WorkerReport) -> Option<MediaEvent> {
        let event = match report {
            WorkerReport::Media(event) => events::event(event),
            WorkerReport::Quality(report) => events::quality(report),
            WorkerReport::Refused { subject, why } => {
                warn!("worker refuses {subject:?}: {why:?}");
                return self.refused(*subject);
            }
            WorkerReport::Created { .. }
            | WorkerReport::Deleted { .. }
            | WorkerReport::RefusedCredentials { .. }
            | WorkerReport::Surveyed { .. } => return None,
        };
        self.pass(event)
    }

    /// News of handshakes.
    pub(super) fn collect_news(&mut self, mut on_event: impl FnMut(MediaEvent)) {
        for _ in 0..self.news.len() {
            let Ok(event) = self.news.try_recv() else {
                return;
            };
            if let Some(event) = self.pass(event) {
                on_event(event);
            }
        }
    }

    /// Lets news of what is known pass, and acts on ends.
    fn pass(&mut self, event: MediaEvent) -> Option<MediaEvent> {
        let known = match &event {
            MediaEvent::Connected { session, .. }
            | MediaEvent::Secured { session, .. }
            | MediaEvent::Disconnected { session }
            | MediaEvent::Ended { session, .. }
            | MediaEvent::Bandwidth { session, .. }
            | MediaEvent::SessionQuality { session, .. } => {
                self.registry.session(*session).is_some()
            }
            MediaEvent::Encoding { track, .. }
            | MediaEvent::AudioLevel { track, .. }
            | MediaEvent::TrackQuality { track, .. } => self.registry.track(*track).is_some(),
            MediaEvent::Layer { subscription, .. }
            | MediaEvent::SubscriptionQuality { subscription, .. } => {
                self.registry.subscription(*subscription).is_some()
            }
        };
        if let MediaEvent::Ended { session, .. } = event {
            self.forget_session(session);
        }
        known.then_some(event)
    }

    /// What a worker refused is not there: most likely its session ended in
    /// the same moment.
    fn refused(&mut self, subject: Subject) -> Option<MediaEvent> {
        match subject {
            Subject::Session(session) => self.pass(MediaEvent::Ended {
                session: SessionKey(session.0),
                why: SessionEnd::NeverConnected,
            }),
            Subject::Track(track) => {
                self.registry.remove_track(TrackKey(track.0));
                None
            }
            Subject::Subscription(subscription) => {
                self.registry
                    .remove_subscription(SubscriptionKey(subscription.0));
                None
            }
        }
    }

    fn forget_session(&mut self, key: SessionKey) {
        let session = describe::session_key(key);
        self.handshakes.remove(session);
        self.fragments.remove(session);
        self.registry.remove_session(key);
    }
}

/// Hands a change to the worker of what it is about.
fn send(
    workers: &[WorkerHandle],
    worker: Option<u16>,
    change: Change,
    what: &str,
) -> Result<(), Declined> {
    let worker = worker
        .and_then(|worker| workers.get(usize::from(worker)))
        .ok_or_else(|| Declined::not_found(what))?;
    worker
        .send(WorkerCommand::Media(change))
        .map_err(|_| Declined::mailbox())
}
