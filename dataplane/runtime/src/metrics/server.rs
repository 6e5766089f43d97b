//! A small HTTP/1.1 server: `/metrics`, `/healthz`, `/readyz`. Connections are
//! bounded in number and time, so that a stuck scraper costs nothing.

use std::convert::Infallible;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::header::{ACCEPT, ALLOW, CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::sync::Semaphore;
use tracing::{debug, warn};

use super::exposition::{Exposition, Format};
use crate::node::{Readiness, Status};

/// Connections served at once; more wait in the kernel's backlog.
const CONNECTIONS: usize = 32;

/// The longest a request's headers may take.
const HEADER_TIMEOUT: Duration = Duration::from_secs(5);

/// The longest a connection lives; scrapers reconnect without notice.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(120);

/// Why metrics cannot be served.
#[derive(Debug, thiserror::Error)]
#[error("cannot serve metrics on {address}: {error}")]
pub struct ServeError {
    address: SocketAddr,
    error: std::io::Error,
}

/// The running server. Its thread lives as long as the process.
#[derive(Debug)]
pub struct MetricsServer {
    address: SocketAddr,
}

impl MetricsServer {
    /// Binds the address and serves from a new thread.
    pub fn start(address: SocketAddr, status: Arc<Status>) -> Result<Self, ServeError> {
        let fail = |error| ServeError { address, error };
        let listener = TcpListener::bind(address).map_err(fail)?;
        listener.set_nonblocking(true).map_err(fail)?;
        let bound = listener.local_addr().map_err(fail)?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(fail)?;
        thread::Builder::new()
            .name("forebay-metrics".to_owned())
            .spawn(move || {
                if let Err(error) = runtime.block_on(serve(listener, status)) {
                    warn!("metrics are no longer served: {error}");
                }
            })
            .map_err(fail)?;
        Ok(Self { address: bound })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

async fn serve(listener: TcpListener, status: Arc<Status>) -> std::io::Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let exposition = Arc::new(Exposition::new(Arc::clone(&status)));
    let permits = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok(permit) = Arc::clone(&permits).acquire_owned().await else {
            return Ok(());
        };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                // Out of descriptors, most likely; the relay sockets go first.
                debug!("metrics: accept: {error}");
                tokio::time::sleep(Duration::from_millis(200)).await;
                continue;
            }
        };
        let (exposition, status) = (Arc::clone(&exposition), Arc::clone(&status));
        tokio::spawn(async move {
            let service = service_fn(move |request: Request<Incoming>| {
                let response = answer(&request, &exposition, &status);
                async move { Ok::<_, Infallible>(response) }
            });
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEADER_TIMEOUT)
                .serve_connection(TokioIo::new(stream), service);
            if let Ok(Err(error)) = tokio::time::timeout(CONNECTION_TIMEOUT, connection).await {
                debug!("metrics: {error}");
            }
            drop(permit);
        });
    }
}

fn answer(
    request: &Request<Incoming>,
    exposition: &Exposition,
    status: &Status,
) -> Response<String> {
    if request.method() != Method::GET && request.method() != Method::HEAD {
        let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "only GET\n");
        response
            .headers_mut()
            .insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return response;
    }
    match request.uri().path() {
        "/metrics" => {
            let accept = request
                .headers()
                .get(ACCEPT)
                .and_then(|value| value.to_str().ok())
                .unwrap_or("");
            let format = Format::for_accept(accept);
            let mut response = Response::new(exposition.render(format));
            response.headers_mut().insert(
                CONTENT_TYPE,
                HeaderValue::from_static(format.content_type()),
            );
            response
        }
        "/healthz" => match status.readiness() {
            Readiness::Failed => text(StatusCode::SERVICE_UNAVAILABLE, "a worker failed\n"),
            Readiness::Ready | Readiness::NoCredentials | Readiness::Draining => {
                text(StatusCode::OK, "ok\n")
            }
        },
        "/readyz" => match status.readiness() {
            Readiness::Ready => text(StatusCode::OK, "ready\n"),
            Readiness::NoCredentials => text(
                StatusCode::SERVICE_UNAVAILABLE,
                "waiting for credentials from the control plane\n",
            ),
            Readiness::Draining => text(StatusCode::SERVICE_UNAVAILABLE, "draining\n"),
            Readiness::Failed => text(StatusCode::SERVICE_UNAVAILABLE, "a worker failed\n"),
        },
        _ => text(
            StatusCode::NOT_FOUND,
            "here are /metrics, /healthz and /readyz\n",
        ),
    }
}

fn text(status: StatusCode, body: &'static str) -> Response<String> {
    let mut response = Response::new(body.to_owned());
    *response.status_mut() = status;
    response.headers_mut().insert(
        CONTENT_TYPE,
        HeaderValue::from_static("text/plain; charset=utf-8"),
    );
    response
}
