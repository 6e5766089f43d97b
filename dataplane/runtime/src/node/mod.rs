//! From settings to running workers, and what can be asked of them all.

mod credentials;
mod discovery;
mod host;
mod media;
mod plan;
mod registry;
mod status;
mod survey;

use std::sync::Arc;
use std::time::{Duration, Instant};

use forebay_engine::{MediaConfig, ShardConfig};
use forebay_ipc::stats::Stat;
use forebay_turn::{AllocationId, Credentials, PeerPolicy, Seeds};
use tracing::{info, warn};

pub use host::{Host, can_bind};
pub use media::{Declined, Load, Media, MediaRegistry};
pub use plan::{MediaPlan, Plan, PlanError};
pub(crate) use registry::unix_seconds;
pub use registry::{Change, Ended, Kinds, Registry, announced};
pub use status::{Loaded, Readiness, Status};
pub use survey::Survey;

use crate::config::Settings;
use crate::front::{Certificates, Front, FrontSockets};
use crate::streams::StreamLimits;
use crate::worker::listen::ListenOptions;
use crate::worker::preflight::{self, Need};
use crate::worker::{
    self, Listener, MailboxFull, Mailer, MediaSocket, StartError, WorkerCommand, WorkerConfig,
    WorkerFailed, WorkerHandle,
};

/// Pause between two looks at workers that are ending.
const LAST_REPORTS: Duration = Duration::from_millis(2);

/// Reports taken from one worker before the next one has its turn.
const REPORTS_PER_TURN: usize = 4096;

/// All workers of the process. Owned by the control thread; everything is a
/// bounded message to a worker or a read of what it published.
pub struct Node {
    workers: Vec<WorkerHandle>,
    plan: Plan,
    registry: Registry,
    media: Option<Media>,
    front: Option<Front>,
    status: Arc<Status>,
    credentials: Arc<Credentials>,
    policy: Arc<PeerPolicy>,
    survey: Survey,
    drain: Option<Drain>,
}

/// New allocations are refused, the old ones finish.
#[derive(Debug, Clone, Copy)]
struct Drain {
    until: Instant,
    /// Allocations that need not be waited for.
    at_most: u64,
    /// Whether every worker was told.
    told: bool,
}

impl Node {
    /// Opens all sockets and starts all workers, or none. `credentials` is
    /// `None` where the control plane will tell.
    pub fn start(
        settings: &Settings,
        plan: Plan,
        credentials: Option<Credentials>,
        certificates: Option<Arc<Certificates>>,
        software: &'static str,
    ) -> Result<Self, StartError> {
        let workers = plan.cores.len();
        preflight::check(Need {
            workers,
            listeners: plan.listen.len(),
            sockets_per_worker: [
                plan.sockets,
                plan.streams,
                plan.media_streams(),
                plan.turn.tcp.connections,
            ]
            .into_iter()
            .filter_map(|count| usize::try_from(count).ok())
            .sum(),
        })?;
        for choice in &plan.chosen {
            info!("{choice}");
        }

        let media = Media::start(settings, &plan)?;
        let mut media_sockets = open_media(settings, &plan)?;
        let tcp = plan.media.iter().flat_map(MediaPlan::tcp);
        let front_sockets = FrontSockets::open(settings, tcp.map(|address| address.local))?;
        let mut listeners: Vec<Vec<Listener>> = (0..workers).map(|_| Vec::new()).collect();
        let options = ListenOptions {
            receive_buffer: settings.sockets.receive_buffer,
            send_buffer: settings.sockets.send_buffer,
            busy_poll: settings.sockets.busy_poll,
        };
        for address in &plan.listen {
            for (worker, listener) in worker::listen::open(*address, workers, options)?
                .into_iter()
                .enumerate()
            {
                listeners[worker].push(listener);
            }
        }

        let controlled = credentials.is_none();
        let loaded = credentials.is_some();
        let credentials = Arc::new(credentials.unwrap_or_default());
        let policy = Arc::new(plan.policy_of(&settings.peers));
        let seeds = HostSeeds::draw()?;
        let mut handles: Vec<WorkerHandle> = Vec::with_capacity(workers);
        for (index, listeners) in listeners.into_iter().enumerate() {
            let config = WorkerConfig {
                real_time: settings.cores.real_time,
                index,
                core: plan.cores.get(index).copied(),
                listeners,
                media: std::mem::take(&mut media_sockets[index]),
                dtls: media.as_ref().map(|media| media.handshakes().entrance()),
                relays: plan.relays.clone(),
                relay_ports: plan.ports[index].clone(),
                relays_ready: settings.relay.ready,
                relay_receive_buffer: settings.sockets.relay_receive_buffer,
                relay_send_buffer: settings.sockets.relay_send_buffer,
                busy_poll: settings.sockets.busy_poll,
                pass_dscp: settings.relay.pass_dscp,
                buffers: settings.sockets.buffers,
                shard: ShardConfig {
                    turn: forebay_turn::Config {
                        shared: plan
                            .turn
                            .shared
                            .of(u16::try_from(index).unwrap_or(u16::MAX)),
                        ..plan.turn.clone()
                    },
                    media: plan.media.as_ref().map(media_config).transpose()?,
                    listeners: u32::try_from(plan.listen.len()).unwrap_or(u32::MAX),
                    sockets: plan.sockets,
                    streams: plan.streams,
                    max_segment: settings.sockets.max_segment,
                    requests_per_batch: settings.limits.requests_per_batch,
                },
                seeds: seeds.for_worker()?,
                credentials: Arc::clone(&credentials),
                policy: Arc::clone(&policy),
                streams: StreamLimits {
                    output: settings.limits.stream_output,
                    idle: settings.lifetimes.stream_idle,
                    stalled: settings.lifetimes.stream_stalled,
                },
            };
            match worker::spawn(config) {
                Ok(handle) => handles.push(handle),
                Err(error) => {
                    stop_all(handles);
                    return Err(error);
                }
            }
        }

        let neighbours: Arc<[Mailer]> = handles.iter().map(WorkerHandle::mailer).collect();
        for handle in &handles {
            // Cannot fail: the mailbox is empty.
            let _ = handle.send(WorkerCommand::Neighbours(Arc::clone(&neighbours)));
        }
        let room = handles.len() * usize::try_from(plan.streams).unwrap_or(usize::MAX);
        let front = Front::start(
            settings,
            front_sockets,
            certificates,
            neighbours.to_vec(),
            room,
            media.as_ref().map(Media::owners).unwrap_or_default(),
        );
        let front = match front {
            Ok(front) => front,
            Err(error) => {
                stop_all(handles);
                return Err(error);
            }
        };

        let pages = handles
            .iter()
            .map(|handle| Arc::clone(handle.stats()))
            .collect();
        let status = Arc::new(Status::new(pages, software, controlled));
        if let Some(media) = &media {
            media.connect(&handles);
            status.set_handshakes(media.handshakes());
        }
        if let Some(front) = &front {
            status.set_front(front.tally());
        }
        if loaded {
            status.set_loaded(&credentials);
        }
        let node = Self {
            workers: handles,
            plan,
            registry: Registry::default(),
            media,
            front,
            status,
            credentials,
            policy,
            survey: Survey::default(),
            drain: None,
        };
        node.log_boot();
        Ok(node)
    }

    fn log_boot(&self) {
        let mut memory = 0;
        for worker in &self.workers {
            let boot = worker.boot();
            memory += boot.memory.shard + boot.memory.receive_buffers + boot.memory.worker;
            info!("{boot}");
        }
        for relay in &self.plan.relays {
            if relay.local == relay.public {
                info!("relaying from {}", relay.local);
            } else {
                info!(
                    "relaying from {}, told to clients as {}",
                    relay.local, relay.public
                );
            }
        }
        info!(
            "{} workers, {} kB of memory in all, room for {} allocations each, realm {}",
            self.workers.len(),
            memory / 1024,
            self.plan.turn.capacity.allocations,
            self.plan.turn.realm,
        );
    }

    /// What was decided at start.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// The workers, by index.
    pub fn workers(&self) -> &[WorkerHandle] {
        &self.workers
    }

    /// What other threads may see.
    pub fn status(&self) -> &Arc<Status> {
        &self.status
    }

    /// Live allocations as far as they were reported.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// Replaces who may allocate, on every worker. On failure some workers
    /// have the new credentials already: repeat it.
    pub fn set_credentials(&mut self, credentials: Credentials) -> Result<(), MailboxFull> {
        let credentials = Arc::new(credentials);
        self.tell(&WorkerCommand::SetCredentials(Arc::clone(&credentials)))?;
        self.status.set_loaded(&credentials);
        self.credentials = credentials;
        Ok(())
    }

    /// Replaces the peer policy, on every worker. On failure some workers have
    /// the new policy already: repeat it.
    pub fn set_policy(&mut self, policy: PeerPolicy) -> Result<(), MailboxFull> {
        let policy = Arc::new(policy);
        self.tell(&WorkerCommand::SetPolicy(Arc::clone(&policy)))?;
        self.policy = policy;
        Ok(())
    }

    /// What is in front of the workers; `None` where clients come over UDP
    /// alone.
    pub fn front(&self) -> Option<&Front> {
        self.front.as_ref()
    }

    /// The credentials in force.
    pub fn credentials(&self) -> &Credentials {
        &self.credentials
    }

    /// The peer policy in force.
    pub fn policy(&self) -> &PeerPolicy {
        &self.policy
    }

    /// Replaces who may allocate and the peer policy, each where given, on
    /// every worker or on none.
    ///
    /// # Errors
    /// A worker takes no commands; all go on with what they had.
    pub fn reconfigure(
        &mut self,
        credentials: Option<Credentials>,
        policy: Option<PeerPolicy>,
    ) -> Result<(), MailboxFull> {
        let credentials = credentials.map(Arc::new);
        let policy = policy.map(Arc::new);
        let new = WorkerCommand::Reconfigure {
            credentials: credentials.clone(),
            policy: policy.clone(),
        };
        let old = WorkerCommand::Reconfigure {
            credentials: Some(Arc::clone(&self.credentials)),
            policy: Some(Arc::clone(&self.policy)),
        };
        for (index, worker) in self.workers.iter().enumerate() {
            if let Err(full) = worker.insist(&new) {
                for told in &self.workers[..index] {
                    if told.insist(&old).is_err() {
                        warn!("worker {} keeps the new configuration", told.index());
                    }
                }
                return Err(full);
            }
        }
        if let Some(credentials) = credentials {
            self.status.set_loaded(&credentials);
            self.credentials = credentials;
        }
        if let Some(policy) = policy {
            self.policy = policy;
        }
        Ok(())
    }

    /// Refuses new allocations from now on, until at most `at_most` old ones
    /// are left or the time has passed. A later call replaces both bounds.
    pub fn begin_drain(&mut self, within: Duration, at_most: u64) {
        self.status.set_draining();
        self.drain = Some(Drain {
            until: Instant::now() + within,
            at_most,
            told: false,
        });
        self.repeat_drain();
    }

    /// Tells workers again whose mailbox was full when a drain began.
    pub fn repeat_drain(&mut self) {
        if self.drain.is_some_and(|drain| !drain.told) {
            let told = self.tell(&WorkerCommand::Drain).is_ok();
            if let Some(drain) = &mut self.drain {
                drain.told = told;
            }
        }
    }

    /// Time until the drain's deadline; `None` when no drain is under way.
    pub fn drain_time_left(&self) -> Option<Duration> {
        self.drain
            .map(|drain| drain.until.saturating_duration_since(Instant::now()))
    }

    /// Allocations a drain does not wait for.
    pub fn drain_at_most(&self) -> u64 {
        self.drain.map_or(0, |drain| drain.at_most)
    }

    /// Asks the workers what every allocation moved so far, unless they were
    /// asked a moment ago. The answers come with the reports.
    pub fn begin_survey(&mut self) {
        let number = self.registry.begin_survey();
        let asked = self
            .workers
            .iter()
            .filter(|worker| worker.send(WorkerCommand::Survey(number)).is_ok())
            .count();
        self.survey.begin(number, asked);
    }

    /// How far the last survey has come.
    pub fn survey(&self) -> &Survey {
        &self.survey
    }

    /// Ends one allocation.
    pub fn delete(&self, id: forebay_ipc::AllocationId) -> Result<(), MailboxFull> {
        let allocation = AllocationId {
            slot: id.slot,
            generation: id.generation,
        };
        match self.workers.get(usize::from(id.worker)) {
            Some(worker) => worker.send(WorkerCommand::Delete(allocation)),
            None => Ok(()),
        }
    }

    /// Live allocations and media sessions, as the workers published them
    /// last.
    pub fn live(&self) -> u64 {
        self.status.total(Stat::AllocationsLive) + self.status.total(Stat::MediaSessions)
    }

    /// Media; `None` when it is off.
    pub fn media(&self) -> Option<&Media> {
        self.media.as_ref()
    }

    /// Changes media through `change`, which gets the workers too.
    ///
    /// # Errors
    /// Why nothing changed.
    pub fn change_media(
        &mut self,
        change: impl FnOnce(&mut Media, &[WorkerHandle]) -> Result<(), Declined>,
    ) -> Result<(), Declined> {
        match &mut self.media {
            Some(media) => change(media, &self.workers),
            None => Err(Declined::Invalid("media is off".to_owned())),
        }
    }

    /// Takes in what the workers reported and hands every change on.
    pub fn collect_reports(&mut self, mut on_change: impl FnMut(Change)) {
        for worker in &self.workers {
            let index = u16::try_from(worker.index()).unwrap_or(u16::MAX);
            for report in worker.reports().try_iter().take(REPORTS_PER_TURN) {
                match &mut self.media {
                    Some(media) if report.is_media() => {
                        if let Some(event) = media.take(&report) {
                            on_change(Change::Media(event));
                        }
                    }
                    _ => {
                        credentials::tell(&report);
                        self.survey.note(&report);
                        self.registry.apply(index, report, &mut on_change);
                    }
                }
            }
        }
        if let Some(media) = &mut self.media {
            media.collect_news(|event| on_change(Change::Media(event)));
        }
        self.status.set_kinds(self.registry.kinds());
    }

    /// Whether a worker, or a thread in front of them, left its loop although
    /// nobody told it to.
    pub fn has_failed(&self) -> bool {
        let failed = self.workers.iter().any(WorkerHandle::is_finished)
            || self.front.as_ref().is_some_and(Front::has_failed);
        if failed {
            self.status.set_failed();
        }
        failed
    }

    /// Ends all workers and waits for them. What they still report is handed
    /// on, at last the end of every allocation that was alive.
    ///
    /// # Errors
    /// The first worker that ended otherwise than it was told to.
    pub fn stop(mut self, mut on_change: impl FnMut(Change)) -> Result<(), WorkerFailed> {
        // It would hand connections to workers that are gone.
        drop(self.front.take());
        tell_to_stop(&self.workers);
        while !self.workers.iter().all(WorkerHandle::is_finished) {
            self.collect_reports(&mut on_change);
            std::thread::sleep(LAST_REPORTS);
        }
        while self
            .workers
            .iter()
            .any(|worker| !worker.reports().is_empty())
        {
            self.collect_reports(&mut on_change);
        }
        self.registry
            .end_all(|ended| on_change(Change::Ended(ended)));
        join_all(self.workers).map_or(Ok(()), Err)
    }

    fn tell(&self, command: &WorkerCommand) -> Result<(), MailboxFull> {
        self.workers
            .iter()
            .try_for_each(|worker| worker.send(command.clone()))
    }
}

/// The media sockets of each worker.
fn open_media(settings: &Settings, plan: &Plan) -> Result<Vec<Vec<MediaSocket>>, StartError> {
    let workers = plan.cores.len();
    let Some(media) = &plan.media else {
        return Ok((0..workers).map(|_| Vec::new()).collect());
    };
    let addresses: Vec<_> = media
        .addresses
        .iter()
        .map(|address| address.local)
        .collect();
    let options = ListenOptions {
        receive_buffer: settings.media.receive_buffer,
        send_buffer: settings.media.send_buffer,
        busy_poll: settings.sockets.busy_poll,
    };
    worker::media_sockets::open(&addresses, media.port, workers, options)
}

/// One worker's forwarder, with randomness of its own.
fn media_config(media: &MediaPlan) -> Result<MediaConfig, StartError> {
    let mut bytes = [[0; 8]; 2];
    for part in &mut bytes {
        fill(part)?;
    }
    let [tables, random] = bytes.map(u64::from_ne_bytes);
    Ok(MediaConfig {
        sockets: u32::try_from(media.addresses.len()).unwrap_or(u32::MAX),
        streams: media.streams(),
        forwarder: media.forwarder.clone(),
        seeds: forebay_media::Seeds { tables, random },
    })
}

fn stop_all(workers: Vec<WorkerHandle>) -> Option<WorkerFailed> {
    tell_to_stop(&workers);
    join_all(workers)
}

fn tell_to_stop(workers: &[WorkerHandle]) {
    for worker in workers {
        if !worker.is_finished() && worker.insist(&WorkerCommand::Stop).is_err() {
            warn!("worker {} does not take the order to stop", worker.index());
        }
    }
}

fn join_all(workers: Vec<WorkerHandle>) -> Option<WorkerFailed> {
    let mut first = None;
    for worker in workers {
        if let Err(failed) = worker.join() {
            warn!("{failed}");
            first.get_or_insert(failed);
        }
    }
    first
}

/// Randomness of this run.
struct HostSeeds {
    nonce_key: [u8; 16],
}

impl HostSeeds {
    fn draw() -> Result<Self, StartError> {
        let mut nonce_key = [0; 16];
        fill(&mut nonce_key)?;
        Ok(Self { nonce_key })
    }

    fn for_worker(&self) -> Result<Seeds, StartError> {
        let mut bytes = [[0; 8]; 2];
        for part in &mut bytes {
            fill(part)?;
        }
        let [hash_key, random] = bytes.map(u64::from_ne_bytes);
        Ok(Seeds {
            nonce_key: self.nonce_key,
            hash_key,
            random,
        })
    }
}

pub(crate) fn fill(bytes: &mut [u8]) -> Result<(), StartError> {
    getrandom::fill(bytes)
        .map_err(|error| StartError::Host(format!("the kernel gives no randomness: {error}")))
}
