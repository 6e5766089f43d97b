//! The connection to the data plane: kept up, greeted, reconciled.

mod backoff;
pub mod reconcile;
mod session;
mod view;
mod wire;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use forebay_ipc::codec::Buffer;
use forebay_ipc::socket::{ConnectionError, SocketError};
use forebay_ipc::{SILENCE_LIMIT, ToDataplane};
use tokio::sync::watch;
use tokio::time::{Instant, interval, sleep, timeout, timeout_at};

use backoff::Backoff;
pub use session::{Notice, Session, SessionError};
pub use view::{Item, LinkView};
use wire::Wire;

use crate::metrics::Metrics;
use crate::rooms::{Media, News};
use crate::settings::Settings;

/// How often what a busy worker refused is tried again.
const RETRY: Duration = Duration::from_millis(500);

#[derive(Debug, thiserror::Error)]
enum LinkError {
    #[error(transparent)]
    Socket(#[from] SocketError),
    #[error(transparent)]
    Connection(#[from] ConnectionError),
    #[error(transparent)]
    Session(#[from] SessionError),
    #[error("nothing heard for {} s", SILENCE_LIMIT.as_secs())]
    Silence,
    #[error("it does not read what we send")]
    Stuck,
}

impl From<std::io::Error> for LinkError {
    fn from(error: std::io::Error) -> Self {
        Self::Connection(error.into())
    }
}

/// Keeps the connection up for as long as the control plane runs.
pub async fn run(
    socket: &Path,
    mut settings: watch::Receiver<Arc<Settings>>,
    view: watch::Sender<LinkView>,
    metrics: Arc<Metrics>,
    mut media: Media,
) {
    let mut epoch = 0;
    let mut backoff = Backoff::default();
    let mut last_problem = String::new();
    loop {
        epoch += 1;
        let error = converse(socket, &mut settings, &view, &metrics, &mut media, epoch).await;
        if view.borrow().connected {
            // The rooms end only with the process.
            let _ = media.news.send(News::Disconnected).await;
            backoff = Backoff::default();
            last_problem.clear();
        }
        let problem = error.to_string();
        // Once per cause: a data plane that stays away must not fill the log.
        if problem == last_problem {
            tracing::debug!(socket = %socket.display(), %problem, "data plane still away");
        } else {
            tracing::warn!(socket = %socket.display(), %problem, "no connection to the data plane");
            last_problem.clone_from(&problem);
        }
        view.send_modify(|view| {
            view.connected = false;
            view.problem = Some(problem);
        });
        metrics.set_link(&view.borrow());
        sleep(backoff.next()).await;
    }
}

/// One connection from its first word to its end, which always has a reason.
async fn converse(
    socket: &Path,
    settings: &mut watch::Receiver<Arc<Settings>>,
    view: &watch::Sender<LinkView>,
    metrics: &Metrics,
    media: &mut Media,
    epoch: u64,
) -> LinkError {
    match conversation(socket, settings, view, metrics, media, epoch).await {
        Ok(never) => match never {},
        Err(error) => error,
    }
}

async fn conversation(
    socket: &Path,
    settings: &mut watch::Receiver<Arc<Settings>>,
    view: &watch::Sender<LinkView>,
    metrics: &Metrics,
    media: &mut Media,
    epoch: u64,
) -> Result<std::convert::Infallible, LinkError> {
    let wire = Wire::open(socket)?;
    let mut session = Session::new(settings.borrow_and_update().clone());
    let mut incoming = Buffer::new();
    let mut outgoing = Buffer::new();
    let mut retry = interval(RETRY);
    send(&wire, &Session::hello(), &mut outgoing).await?;
    let mut heard = Instant::now();
    loop {
        tokio::select! {
            message = timeout_at(heard + SILENCE_LIMIT, wire.receive(&mut incoming)) => {
                let message = message.map_err(|_| LinkError::Silence)??;
                heard = Instant::now();
                let before = session.view().connected;
                let mut news = Vec::new();
                session.on_message(message, &mut |notice| {
                    news.extend(on_notice(notice, metrics, settings, epoch));
                })?;
                for piece in news {
                    let _ = media.news.send(piece).await;
                }
                if !before && session.view().connected {
                    metrics.dataplane_connections.inc();
                    tracing::info!(socket = %socket.display(), "connected to the data plane");
                }
            }
            changed = settings.changed() => {
                // The sender lives as long as the process.
                if changed.is_ok() {
                    session.want(settings.borrow_and_update().clone());
                }
            }
            command = media.commands.recv(), if session.is_live() => {
                // What was asked of an earlier connection is asked anew.
                if let Some(asked) = command
                    && asked.epoch == epoch
                {
                    session.ask(asked.token, asked.command);
                }
            }
            _ = retry.tick() => session.retry(),
        }
        while let Some(command) = session.next_command() {
            send(&wire, &command, &mut outgoing).await?;
        }
        let now = session.view();
        if now.connected {
            view.send_if_modified(|view| {
                let changed = *view != now;
                *view = now;
                changed
            });
            metrics.set_link(&view.borrow());
        }
    }
}

/// Counts and logs a notice; what of it concerns rooms.
fn on_notice(
    notice: Notice,
    metrics: &Metrics,
    settings: &watch::Receiver<Arc<Settings>>,
    epoch: u64,
) -> Option<News> {
    match notice {
        Notice::Snapshot(snapshot) => return Some(News::Connected(snapshot, epoch)),
        Notice::Media(events) => return Some(News::Events(events.into_inner())),
        Notice::Certificate(fingerprint) => return Some(News::Certificate(fingerprint)),
        Notice::Answered(token, outcome, text) => return Some(News::Ack(token, outcome, text)),
        Notice::Created(number) => metrics.count_created(number),
        Notice::Ended(ended) => {
            metrics.count_ended(&ended);
            if settings.borrow().config.log.usage {
                tracing::info!(
                    target: "usage",
                    // Debug form: a username is the client's text.
                    user = ?&*ended.username,
                    reason = ?ended.reason,
                    seconds = ended.lived_seconds,
                    to_peer_packets = ended.usage.to_peer_packets,
                    to_peer_bytes = ended.usage.to_peer_bytes,
                    to_client_packets = ended.usage.to_client_packets,
                    to_client_bytes = ended.usage.to_client_bytes,
                    "allocation ended"
                );
            }
        }
        Notice::Reconciled => tracing::info!("data plane has the credentials and the peer policy"),
        Notice::Refused(why) => tracing::error!(%why, "the data plane refused a command"),
    }
    None
}

async fn send(wire: &Wire, message: &ToDataplane, buffer: &mut Buffer) -> Result<(), LinkError> {
    timeout(SILENCE_LIMIT, wire.send(message, buffer))
        .await
        .map_err(|_| LinkError::Stuck)?
}
