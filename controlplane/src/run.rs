//! The process: what runs in it, from first to last.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use sd_notify::NotifyState;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use crate::calls::{self, CallSink};
use crate::http::{self, App};
use crate::link::{self, LinkView};
use crate::metrics::Metrics;
use crate::reload;
use crate::rooms;
use crate::settings::Settings;

/// How long WebSockets and call records may take to finish.
const GRACE: Duration = Duration::from_secs(2);

/// Why it cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// An address cannot be listened on.
    #[error("{key} = \"{address}\": {error}")]
    Listen {
        /// The key of the configuration.
        key: &'static str,
        /// The address.
        address: SocketAddr,
        /// What the kernel said.
        error: io::Error,
    },
    /// Signals cannot be caught.
    #[error("signals: {0}")]
    Signals(io::Error),
}

/// Runs until SIGTERM or SIGINT.
pub async fn run(config: &Path, settings: Settings) -> Result<(), StartError> {
    let limits = settings.config.limits.clone();
    let listen = settings.config.listen.http;
    let metrics_listen = settings
        .config
        .metrics
        .listen
        .filter(|_| settings.config.metrics.enabled);
    let socket = settings.config.dataplane.socket.clone();

    // Before anything is announced, so that no signal is missed.
    let mut terminate = signal(SignalKind::terminate()).map_err(StartError::Signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(StartError::Signals)?;
    let hangup = signal(SignalKind::hangup()).map_err(StartError::Signals)?;

    let metrics = Arc::new(Metrics::new());
    metrics.set_settings(&settings);
    let (settings_out, settings_in) = watch::channel(Arc::new(settings));
    let (view_out, view_in) = watch::channel(LinkView::default());
    let (stop_out, stop_in) = watch::channel(false);
    let (store_out, store_in) = watch::channel(None);
    let (sink, recorded) = match settings_in.borrow().config.calls.database.clone() {
        None => (CallSink::none(), None),
        Some(path) => {
            let (sink, waiting) = CallSink::new(metrics.rooms.calls_dropped.clone());
            (sink, Some((path, waiting)))
        }
    };
    let recorder = recorded.map(|(path, waiting)| {
        let (settings, metrics) = (settings_in.clone(), metrics.rooms.clone());
        tokio::spawn(calls::run(path, waiting, store_out, settings, metrics))
    });
    let (rooms, media) = rooms::start(settings_in.clone(), metrics.rooms.clone(), sink);
    let app = Arc::new(App::new(
        settings_in.clone(),
        view_in,
        metrics.clone(),
        rooms,
        store_in,
        stop_in.clone(),
    ));

    let (listener, address) = bind("listen.http", listen).await?;
    let mut servers = vec![tokio::spawn(http::serve(
        listener,
        http::public(app.clone()),
        limits.clone(),
        metrics.clone(),
        stop_in.clone(),
    ))];
    tracing::info!(%address, "http server listens");
    if let Some(listen) = metrics_listen {
        let (listener, address) = bind("metrics.listen", listen).await?;
        let router = http::metrics(app.clone());
        servers.push(tokio::spawn(http::serve(
            listener,
            router,
            limits,
            metrics.clone(),
            stop_in,
        )));
        tracing::info!(%address, "metrics server listens");
    }
    reload::notify(&[NotifyState::Ready]);

    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
        () = link::run(&socket, settings_in, view_out, metrics.clone(), media) => {}
        () = reload::run(config, settings_out, metrics.clone(), hangup) => {}
    }
    tracing::info!("stopping; the data plane goes on");
    reload::notify(&[NotifyState::Stopping]);
    stop_out.send_replace(true);
    if tokio::time::timeout(GRACE, app.sockets_closed())
        .await
        .is_err()
    {
        tracing::warn!("some WebSockets did not close in {} s", GRACE.as_secs());
    }
    for server in servers {
        if let Err(error) = server.await {
            tracing::error!(%error, "http server");
        }
    }
    // What was recorded so far is in the queue.
    if let Some(recorder) = recorder {
        drop(app);
        let _ = tokio::time::timeout(GRACE, recorder).await;
    }
    Ok(())
}

async fn bind(
    key: &'static str,
    address: SocketAddr,
) -> Result<(TcpListener, SocketAddr), StartError> {
    let failed = |error| StartError::Listen {
        key,
        address,
        error,
    };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    Ok((listener, bound))
}
