//! Everything in front of the workers for clients that do not come over plain
//! UDP: TCP and TLS on one thread, DTLS on another. A connection that turns
//! out to be TURN is handed to a worker and leaves these threads (TLS is then
//! the worker's, DTLS stays here and is bridged); one that turns out to be
//! HTTPS is passed on to a web server. Those of media (RFC 6544) go to the
//! worker whose session their first check names.
//!
//! Strangers cost little here before they show what they want: half-open
//! connections are bounded in number and time, in all and per source, and so
//! are handshakes per second.

mod admission;
mod certificate;
mod connection;
mod dtls;
mod first_message;
mod opening;
mod owners;
pub mod proxy_protocol;
mod sockets;
mod tally;
mod tls;
mod web;
mod workers;

use std::cell::RefCell;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::rc::Rc;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::{Semaphore, oneshot};
use tokio::task::{LocalSet, spawn_local};

pub(crate) use certificate::days_left;
pub use certificate::{CertificateError, Certificates, Pair};
pub use owners::Owners;
pub use tally::{Failure, PerTransport, Refusal, TRANSPORTS, Tally, Web, label};

use crate::config::Settings;
use crate::worker::{Mailer, StartError};
use admission::{HalfOpen, Rate};
use connection::{Door, Entrance, accept};
use dtls::{DtlsThread, Limits};
use web::Servers;
use workers::Workers;

/// Between two looks at the certificate's files.
const LOOK: Duration = Duration::from_secs(2);

/// The listening sockets.
#[derive(Debug, Default)]
pub struct FrontSockets {
    streams: Vec<TcpListener>,
    media: Vec<TcpListener>,
    dtls: Vec<UdpSocket>,
}

impl FrontSockets {
    /// Opens them, and those for `media`. TCP and TLS addresses differ in what
    /// clients are told alone.
    ///
    /// # Errors
    /// Which address cannot be had, and what to do.
    pub fn open(
        settings: &Settings,
        media: impl Iterator<Item = SocketAddr>,
    ) -> Result<Self, StartError> {
        let listen = &settings.listen;
        let streams = listen.tcp.iter().chain(&listen.tls).copied();
        let dtls = listen.dtls.iter().copied();
        Ok(Self {
            streams: streams.map(sockets::tcp).collect::<Result<_, _>>()?,
            media: media.map(sockets::tcp).collect::<Result<_, _>>()?,
            dtls: dtls.map(sockets::udp).collect::<Result<_, _>>()?,
        })
    }

    fn is_empty(&self) -> bool {
        self.streams.is_empty() && self.media.is_empty() && self.dtls.is_empty()
    }
}

/// The threads. Dropping it ends them; streams that workers have go on, but
/// for those over DTLS.
pub struct Front {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
    dtls: Option<DtlsThread>,
    certificates: Option<Arc<Certificates>>,
    tally: Arc<Tally>,
}

impl Front {
    /// Starts serving; `None` when there is nothing to listen on. `streams` is
    /// how many TURN clients all workers together have room for, `owners` tells
    /// whose the sessions are.
    ///
    /// # Errors
    /// When threads or the terms of TLS cannot be set up.
    pub fn start(
        settings: &Settings,
        sockets: FrontSockets,
        certificates: Option<Arc<Certificates>>,
        mailers: Vec<Mailer>,
        streams: usize,
        owners: Arc<Owners>,
    ) -> Result<Option<Self>, StartError> {
        if sockets.is_empty() {
            return Ok(None);
        }
        let tally = match &certificates {
            Some(certificates) => Arc::clone(certificates.tally()),
            None => Arc::default(),
        };
        let workers = Workers::new(mailers, Arc::clone(&tally));
        let limits = &settings.limits;
        let dtls = match (&certificates, sockets.dtls.is_empty()) {
            (Some(certificates), false) => Some(DtlsThread::start(
                sockets.dtls,
                Limits {
                    clients: streams,
                    half_open: limits.half_open,
                    half_open_per_source: limits.half_open_per_source,
                    per_second: limits.handshakes_per_second,
                    per_source: limits.handshakes_per_source,
                    timeout: limits.handshake_timeout,
                },
                Arc::clone(certificates),
                workers.clone(),
                Arc::clone(&tally),
            )?),
            _ => None,
        };
        let (stop, stopped) = oneshot::channel();
        let streams = Streams {
            settings: settings.clone(),
            listeners: sockets.streams,
            media: sockets.media,
            owners,
            certificates: certificates.clone(),
            workers,
            tally: Arc::clone(&tally),
        };
        let (told, ready) = std::sync::mpsc::sync_channel(1);
        let thread = std::thread::Builder::new()
            .name("front".to_owned())
            .spawn(move || streams.run(stopped, &told))
            .map_err(|error| StartError::Host(format!("cannot start a thread: {error}")))?;
        let front = Self {
            stop: Some(stop),
            thread: Some(thread),
            dtls,
            certificates,
            tally,
        };
        match ready.recv() {
            Ok(Ok(())) => Ok(Some(front)),
            Ok(Err(message)) => Err(StartError::Host(message)),
            Err(_) => Err(StartError::Host(
                "the thread that accepts connections ended at once".to_owned(),
            )),
        }
    }

    /// The certificate in use, where there is one.
    pub fn certificates(&self) -> Option<&Arc<Certificates>> {
        self.certificates.as_ref()
    }

    /// What was counted.
    pub fn tally(&self) -> &Arc<Tally> {
        &self.tally
    }

    /// Whether a thread ended although nobody told it to.
    pub fn has_failed(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
            || self.dtls.as_ref().is_some_and(DtlsThread::is_finished)
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            // Gone when the thread is.
            let _ = stop.send(());
        }
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl std::fmt::Debug for Front {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Front").finish_non_exhaustive()
    }
}

/// What the thread for TCP and TLS is made from.
struct Streams {
    settings: Settings,
    listeners: Vec<TcpListener>,
    media: Vec<TcpListener>,
    owners: Arc<Owners>,
    certificates: Option<Arc<Certificates>>,
    workers: Workers,
    tally: Arc<Tally>,
}

impl Streams {
    /// Says whether it could start, and serves until told to stop.
    fn run(
        self,
        stopped: oneshot::Receiver<()>,
        told: &std::sync::mpsc::SyncSender<Result<(), String>>,
    ) {
        let runtime = match tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
        {
            Ok(runtime) => runtime,
            Err(error) => {
                // Whoever started us waits for it.
                let _ = told.send(Err(format!("cannot accept connections: {error}")));
                return;
            }
        };
        let tasks = LocalSet::new();
        tasks.block_on(&runtime, async {
            let started = self.start();
            let failed = started.is_err();
            let _ = told.send(started);
            if !failed {
                // An error: whoever started us is gone.
                let _ = stopped.await;
            }
        });
    }

    fn start(self) -> Result<(), String> {
        let limits = &self.settings.limits;
        let tls = &self.settings.tls;
        let http2 = tls.backend_http2 && tls.backend.is_some();
        let configs = match &self.certificates {
            Some(certificates) => Some(
                tls::Configs::new(certificates, http2)
                    .map_err(|error| format!("TLS cannot be set up: {error}"))?,
            ),
            None => None,
        };
        let proxies = &self.settings.proxy_protocol.from;
        let rate = Rate::new(
            limits.handshakes_per_second,
            limits.handshakes_per_source,
            Instant::now(),
        );
        let entrance = Rc::new(Entrance {
            workers: self.workers,
            proxies: proxies.iter().map(|network| network.0).collect(),
            names: tls.names.clone(),
            configs,
            servers: Servers {
                backend: tls.backend,
                passthrough: tls.passthrough,
                idle: tls.backend_idle,
            },
            half_open: HalfOpen::new(
                limits.half_open,
                limits.half_open_per_source,
                Arc::clone(&self.tally),
            ),
            rate: RefCell::new(rate),
            web: Arc::new(Semaphore::new(limits.web_connections as usize)),
            timeout: limits.handshake_timeout,
            owners: self.owners,
            tally: self.tally,
        });
        let doors = [(Door::Front, self.listeners), (Door::Media, self.media)];
        for (door, listeners) in doors {
            for listener in listeners {
                let listener = tokio::net::TcpListener::from_std(listener)
                    .map_err(|error| format!("cannot accept connections: {error}"))?;
                spawn_local(accept(listener, door, Rc::clone(&entrance)));
            }
        }
        if let Some(certificates) = self.certificates {
            spawn_local(async move {
                loop {
                    tokio::time::sleep(LOOK).await;
                    certificates.look();
                }
            });
        }
        Ok(())
    }
}
