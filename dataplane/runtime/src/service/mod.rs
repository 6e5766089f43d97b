//! A process around the workers: start, control thread, reload, drain, end.
//! `forebay-turnd` and `forebay-dataplane` differ in their [`Role`] alone.

mod check;
mod command;
mod drain;
mod log_limit;
mod logging;
mod reload;
mod signals;
mod systemd;

use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use forebay_ipc::BootId;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use tracing::{debug, info, warn};

pub use command::Task;

use crate::config::{ConfigError, CredentialsError, Role, Settings, load_credentials};
use crate::control::{Configuration, ControlServer, Identity};
use crate::front::{self, CertificateError, Certificates};
use crate::metrics::{MetricsServer, ServeError};
use crate::node::{Change, Host, Node, Plan, PlanError};
use crate::usage::{Recorder, UsageError};
use crate::worker::{StartError, WorkerFailed};
use check::check;
use drain::Drain;
use logging::{Logging, init as init_logging};
use reload::Reload;
use signals::{Signals, Told};

/// How long the control thread sleeps when nothing wakes it: bounds how late
/// it sees an allocation event or a failed worker.
const TICK_MILLIS: u8 = 50;

/// What a process is started with.
#[derive(Debug, Clone)]
pub struct Options {
    /// The configuration file.
    pub config: PathBuf,
    /// Which process this is.
    pub role: Role,
    /// Name and version of the program, separated by a space.
    pub software: &'static str,
}

/// Why a process does not start, or ends otherwise than it was told to.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// The configuration cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A credential file cannot be used.
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
    /// The certificate cannot be used.
    #[error("`tls`: {0}")]
    Certificate(#[from] CertificateError),
    /// The host cannot do what the configuration asks.
    #[error("{file}: {error}", file = file.display())]
    Plan {
        /// The configuration file.
        file: PathBuf,
        /// What cannot be done.
        error: PlanError,
    },
    /// Sockets or workers cannot be set up.
    #[error(transparent)]
    Start(#[from] StartError),
    /// Metrics cannot be served.
    #[error("`metrics.listen`: {0}")]
    Metrics(#[from] ServeError),
    /// Usage records cannot be written.
    #[error(transparent)]
    Usage(#[from] UsageError),
    /// The control socket cannot be opened.
    #[error("`control.socket`: {0}")]
    Control(String),
    /// An address is not this host's.
    #[error("`{key}`: {address} cannot be bound: {error}; it must be an address of this host")]
    Address {
        /// The key that names it.
        key: &'static str,
        /// The address.
        address: std::net::IpAddr,
        /// What the kernel said.
        error: std::io::Error,
    },
    /// A worker left its loop.
    #[error(transparent)]
    Worker(#[from] WorkerFailed),
    /// The kernel refused a call that cannot fail on a sound host.
    #[error("{0}")]
    System(String),
}

/// Runs until told to stop. `settings` are what was loaded from
/// `options.config`, with logging already set up.
fn run(settings: Settings, options: &Options, logging: &Logging) -> Result<(), ServiceError> {
    // Before any thread exists, so that every thread inherits the mask.
    let mut signals = Signals::block()?;
    info!("{} with {}", options.software, options.config.display());
    let credentials = match options.role {
        Role::Standalone => Some(load_credentials(&settings.auth, &options.config)?),
        Role::Controlled => None,
    };
    let certificates = Certificates::of(&settings, &options.config)?;
    let plan = Plan::new(&settings, &Host::survey()).map_err(|error| ServiceError::Plan {
        file: options.config.clone(),
        error,
    })?;
    let recorder = Recorder::start(&settings.usage, &options.config, options.software)?;
    let mut node = Node::start(&settings, plan, credentials, certificates, options.software)?;
    if let Some(recorder) = &recorder {
        node.status().set_usage(recorder.tally());
    }
    let mut reload = Reload::new(settings.clone(), options, logging, recorder);
    let served = serve(&settings, options, &mut node, &mut signals, &mut reload);
    let mut recorder = reload.recorder.take();
    let stopped = node.stop(|change| note(&change, &mut recorder));
    if let Some(recorder) = recorder {
        recorder.finish();
    }
    logging.limiter.tell_all();
    served?;
    stopped?;
    info!("stopped");
    Ok(())
}

fn serve(
    settings: &Settings,
    options: &Options,
    node: &mut Node,
    signals: &mut Signals,
    reload: &mut Reload<'_>,
) -> Result<(), ServiceError> {
    let mut control = open_control(settings, options)?;
    if let Some(address) = settings.metrics.listen {
        let server = MetricsServer::start(address, node.status().clone())?;
        info!("metrics on http://{}/metrics", server.address());
    }
    let mut drain = Drain::default();
    let mut terminated = false;
    let mut systemd = systemd::Notifier::new();
    for address in &node.plan().listen {
        info!("listening on udp {address}");
    }
    for (transport, address) in &node.plan().front {
        info!("listening on {} {address}", front::label(*transport));
    }
    systemd.ready();

    loop {
        wait(signals, control.as_ref());
        match signals.next() {
            Some(Told::Reload) => {
                systemd.reloading();
                let policy_is_set = control.as_ref().is_some_and(ControlServer::policy_is_set);
                // Whether it was carried out is in the log and the metrics.
                let _ = reload.reload(node, policy_is_set);
                systemd.ready();
            }
            Some(Told::Drain) if !terminated => {
                terminated = true;
                terminate(node, reload);
            }
            Some(Told::Drain | Told::Stop) => {
                info!(
                    "told to stop at once, {} allocations are cut off",
                    node.live()
                );
                systemd.stopping();
                return Ok(());
            }
            None => {}
        }
        let mut changes = Vec::new();
        match &mut control {
            Some(control) => control.turn(node, reload, &mut |change| changes.push(change.clone())),
            None => node.collect_reports(|change| changes.push(change)),
        }
        for change in &changes {
            note(change, &mut reload.recorder);
        }
        if let Some(recorder) = &mut reload.recorder {
            recorder.turn(node);
        }
        reload.logging().limiter.tell();
        if node.has_failed() {
            systemd.stopping();
            return Ok(());
        }
        if drain.is_over(node, &mut systemd) {
            systemd.stopping();
            return Ok(());
        }
        systemd.alive();
    }
}

/// A first SIGTERM: a drain, or less time for one that is under way.
fn terminate(node: &mut Node, reload: &Reload<'_>) {
    let within = reload.drain_deadline();
    match node.drain_time_left() {
        None => node.begin_drain(within, reload.drain_at_most()),
        Some(left) => node.begin_drain(within.min(left), node.drain_at_most()),
    }
}

/// Tells of single allocations those who want to know.
fn note(change: &Change, recorder: &mut Option<Recorder>) {
    match change {
        Change::Created(session) => debug!(
            user = ?&*session.username,
            client = %session.client,
            relay = %session.relayed,
            transport = ?session.transport,
            "allocation made"
        ),
        Change::Ended(ended) => debug!(
            user = ?&*ended.session.username,
            client = %ended.session.client,
            relay = %ended.session.relayed,
            reason = ?ended.reason,
            to_peer_bytes = ended.session.usage.to_peer_bytes,
            to_client_bytes = ended.session.usage.to_client_bytes,
            "allocation ended"
        ),
        Change::Measured(_) | Change::Media(_) => {}
    }
    if let Some(recorder) = recorder {
        recorder.see(change);
    }
}

fn wait(signals: &Signals, control: Option<&ControlServer>) {
    let mut fds = vec![PollFd::new(signals.as_fd(), PollFlags::POLLIN)];
    if let Some(control) = control {
        control.poll_fds(&mut fds);
    }
    // An error is an interruption; the turn that follows finds nothing to do.
    let _ = poll(&mut fds, PollTimeout::from(TICK_MILLIS));
}

/// The control socket. Without one named in the settings a server that can do
/// without goes on when the usual place cannot be used.
fn open_control(
    settings: &Settings,
    options: &Options,
) -> Result<Option<ControlServer>, ServiceError> {
    let path = control_path(settings, options.role);
    let mut boot = [0; 16];
    crate::node::fill(&mut boot)?;
    let identity = Identity {
        software: options.software,
        boot: BootId(boot),
        controllable: options.role == Role::Controlled,
    };
    let required = settings.control.socket.is_some() || options.role == Role::Controlled;
    match ControlServer::bind(&path, settings.control.group.as_deref(), identity) {
        Ok(server) => {
            info!("control socket {}", path.display());
            Ok(Some(server))
        }
        Err(message) if required => Err(ServiceError::Control(message)),
        Err(message) => {
            warn!("no control socket, `forebay status` will not find this server: {message}");
            Ok(None)
        }
    }
}

fn control_path(settings: &Settings, role: Role) -> PathBuf {
    if let Some(path) = &settings.control.socket {
        return path.clone();
    }
    let name = match role {
        Role::Standalone => "turnd.sock",
        Role::Controlled => "dataplane.sock",
    };
    // systemd lists several directories separated by colons.
    let directory = std::env::var("RUNTIME_DIRECTORY").ok();
    match directory
        .as_deref()
        .and_then(|list| list.split(':').next())
        .filter(|first| !first.is_empty())
    {
        Some(directory) => Path::new(directory).join(name),
        None => {
            let directory = Path::new("/run/forebay");
            // Without systemd nobody makes it for us; bind says what is wrong
            // when we may not either.
            let _ = std::os::unix::fs::DirBuilderExt::mode(&mut std::fs::DirBuilder::new(), 0o750)
                .create(directory);
            directory.join(name)
        }
    }
}

/// Time left, for people.
fn seconds(duration: Duration) -> String {
    format!("{} s", duration.as_secs())
}
