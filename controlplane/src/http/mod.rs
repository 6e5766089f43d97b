//! What is served over HTTP.

pub(crate) mod credentials;
pub(crate) mod error;
mod limiter;
mod page;
mod rooms;
mod serve;
mod sockets;
mod status;
mod websocket;
mod whip;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::extract::{Extension, MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use tokio::sync::watch;

use error::ApiError;
use limiter::Limiter;
pub use serve::serve;
use sockets::Sockets;

use crate::calls::Store;
use crate::link::LinkView;
use crate::metrics::Metrics;
use crate::rooms::Rooms;
use crate::settings::Settings;

/// What every handler sees.
#[derive(Debug)]
pub struct App {
    /// What is in force.
    pub settings: watch::Receiver<Arc<Settings>>,
    /// How things stand with the data plane.
    pub link: watch::Receiver<LinkView>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// The rooms.
    pub rooms: Rooms,
    /// The database of calls, once it is open.
    pub calls: watch::Receiver<Option<Store>>,
    /// Turns true when the process is told to stop.
    pub stop: watch::Receiver<bool>,
    limiter: Limiter,
    joins: Limiter,
    sockets: Arc<Sockets>,
}

impl App {
    /// Ready to serve.
    pub fn new(
        settings: watch::Receiver<Arc<Settings>>,
        link: watch::Receiver<LinkView>,
        metrics: Arc<Metrics>,
        rooms: Rooms,
        calls: watch::Receiver<Option<Store>>,
        stop: watch::Receiver<bool>,
    ) -> Self {
        Self {
            settings,
            link,
            metrics,
            rooms,
            calls,
            stop,
            limiter: Limiter::new(),
            joins: Limiter::new(),
            sockets: Arc::default(),
        }
    }

    /// Whether this address may join now, by WebSocket, WHIP or WHEP.
    pub fn admit_join(&self, client: IpAddr) -> bool {
        let settings = self.settings.borrow();
        let rooms = &settings.config.rooms;
        self.joins.admit(
            client,
            rooms.joins_per_second,
            rooms.join_burst,
            Instant::now(),
        )
    }

    /// Waits until no WebSocket is open.
    pub async fn sockets_closed(&self) {
        while self.sockets.open() > 0 {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    }
}

/// The API, the page and the health endpoints; metrics unless they have an
/// address of their own.
pub fn public(app: Arc<App>) -> Router {
    let metrics = app.settings.borrow().config.metrics.clone();
    let mut router = Router::new()
        .route("/v1/turn/credentials", post(credentials::create))
        .route("/v1/ws", get(websocket::upgrade))
        .route("/v1/tokens", post(rooms::token))
        .route("/v1/rooms", get(rooms::list))
        .route("/v1/rooms/{room}", get(rooms::room))
        .route(
            "/v1/rooms/{room}/codecs",
            get(rooms::codecs)
                .put(rooms::choose_codecs)
                .delete(rooms::forget_codecs),
        )
        .route(
            "/v1/rooms/{room}/participants/{id}",
            get(rooms::participant).delete(rooms::kick),
        )
        .route("/v1/rooms/{room}/participants/{id}/mute", post(rooms::mute))
        .route("/v1/nodes", get(rooms::nodes))
        .route("/v1/calls", get(rooms::calls))
        .route("/v1/calls/{call}", get(rooms::call))
        .route("/healthz", get(status::health))
        .route("/readyz", get(status::ready));
    if app.settings.borrow().config.whip.enabled {
        router = router.merge(crate::whip::router(app.clone()));
    }
    for asset in page::ASSETS {
        router = router.route(
            asset.path,
            get(move |state: State<Arc<App>>| page::serve(state, asset)),
        );
    }
    if metrics.enabled && metrics.listen.is_none() {
        router = router.route("/metrics", get(status::metrics));
    }
    finish(router, app)
}

/// The metrics alone.
pub fn metrics(app: Arc<App>) -> Router {
    finish(Router::new().route("/metrics", get(status::metrics)), app)
}

fn finish(router: Router<Arc<App>>, app: Arc<App>) -> Router {
    router
        .fallback(async || ApiError::not_found())
        .method_not_allowed_fallback(async || ApiError::method_not_allowed())
        .layer(middleware::from_fn_with_state(app.clone(), around))
        .with_state(app)
}

/// Around every request: its address is budgeted, its answer is counted and
/// gets the headers that keep a browser safe.
async fn around(
    State(app): State<Arc<App>>,
    Extension(peer): Extension<SocketAddr>,
    path: Option<MatchedPath>,
    request: Request,
    next: Next,
) -> Response {
    let start = Instant::now();
    let route = path
        .as_ref()
        .map_or("other", |path| known_route(path.as_str()));
    let settings = app.settings.borrow().clone();
    let limited = (route.starts_with("/v1/") || route.starts_with("/wh")) && {
        let limits = &settings.config.limits;
        let client = client_address(peer.ip(), request.headers(), &settings);
        !app.limiter
            .admit(client, limits.requests_per_second, limits.burst, start)
    };
    let head = request.method() == Method::HEAD;
    let mut response = if limited {
        app.metrics.rate_limited.inc();
        ApiError::rate_limited().into_response()
    } else {
        // A browser's cross-site request carries no key, so there is nothing
        // to forge; the page is same-origin.
        match tokio::time::timeout(settings.config.limits.request_timeout, next.run(request)).await
        {
            Ok(response) => response,
            Err(_) => ApiError::timeout().into_response(),
        }
    };
    if head {
        *response.body_mut() = axum::body::Body::empty();
    }
    let headers = response.headers_mut();
    for (name, value) in SAFETY {
        headers
            .entry(name)
            .or_insert(HeaderValue::from_static(value));
    }
    app.metrics
        .count_request(route, response.status().as_u16(), start.elapsed());
    response
}

/// Nothing but the page's own policy may loosen these.
const SAFETY: [(HeaderName, &str); 6] = [
    (header::CACHE_CONTROL, "no-store"),
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; frame-ancestors 'none'",
    ),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (
        HeaderName::from_static("cross-origin-resource-policy"),
        "same-origin",
    ),
];

/// Routes as label values: the pages' files count as one.
fn known_route(pattern: &str) -> &'static str {
    match pattern {
        "/v1/turn/credentials" => "/v1/turn/credentials",
        "/v1/ws" => "/v1/ws",
        "/v1/tokens" => "/v1/tokens",
        "/v1/rooms" => "/v1/rooms",
        "/v1/rooms/{room}" => "/v1/rooms/{room}",
        "/v1/rooms/{room}/codecs" => "/v1/rooms/{room}/codecs",
        "/v1/rooms/{room}/participants/{id}" => "/v1/rooms/{room}/participants/{id}",
        "/v1/rooms/{room}/participants/{id}/mute" => "/v1/rooms/{room}/participants/{id}/mute",
        "/v1/nodes" => "/v1/nodes",
        "/v1/calls" => "/v1/calls",
        "/v1/calls/{call}" => "/v1/calls/{call}",
        "/whip/{room}" => "/whip/{room}",
        "/whip/{room}/{session}" => "/whip/{room}/{session}",
        "/whep/{room}" => "/whep/{room}",
        "/whep/{room}/{session}" => "/whep/{room}/{session}",
        "/whep/{room}/{session}/layer" => "/whep/{room}/{session}/layer",
        "/whep/{room}/{session}/sse" => "/whep/{room}/{session}/sse",
        "/whep/{room}/{session}/sse/{stream}" => "/whep/{room}/{session}/sse/{stream}",
        "/healthz" => "/healthz",
        "/readyz" => "/readyz",
        "/metrics" => "/metrics",
        _ => "/",
    }
}

/// The address a request is counted by: the connection's, or what trusted
/// proxies say before it, read from the right.
pub(crate) fn client_address(peer: IpAddr, headers: &HeaderMap, settings: &Settings) -> IpAddr {
    let trusted = |address: &IpAddr| {
        let address = address.to_canonical();
        settings
            .config
            .listen
            .trusted_proxies
            .iter()
            .any(|net| net.contains(&address))
    };
    let mut client = peer.to_canonical();
    if !trusted(&client) {
        return client;
    }
    let forwarded = headers.get_all("x-forwarded-for");
    let hops: Vec<&str> = forwarded
        .iter()
        .filter_map(|v| v.to_str().ok())
        .flat_map(|v| v.split(','))
        .collect();
    for hop in hops.iter().rev() {
        let Ok(address) = hop.trim().parse::<IpAddr>() else {
            break;
        };
        client = address.to_canonical();
        if !trusted(&client) {
            break;
        }
    }
    client
}
