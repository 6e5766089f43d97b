//! `/whep/{room}/{session}/sse`: the server-sent events extension of the WHEP
//! draft. A stream is opened with a token and then read by its URL alone,
//! because a browser's `EventSource` sends no token.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse as _, Response};
use serde::Serialize;
use serde_json::json;

use super::cors::{self, EVENTS, STREAM};
use super::refused::Refused;
use super::{Handlers, Sessions, body};

/// Bytes a list of events may have.
const LIST_MAX: usize = 1_024;
/// Between two looks at the room: what changes in between is told once.
const LOOK: Duration = Duration::from_secs(1);

/// What a viewer may be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum EventKind {
    /// There is something to view.
    Active,
    /// There no longer is.
    Inactive,
    /// Which layers there are to choose from.
    Layers,
    /// How many view the room.
    ViewerCount,
}

impl EventKind {
    /// All of them.
    pub const ALL: [Self; 4] = [
        Self::Active,
        Self::Inactive,
        Self::Layers,
        Self::ViewerCount,
    ];

    /// As the draft calls it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Inactive => "inactive",
            Self::Layers => "layers",
            Self::ViewerCount => "viewercount",
        }
    }
}

/// What a session has to view.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Viewed {
    /// Whether any of its sections has a track.
    pub active: bool,
    /// Layers that arrive, lowest first, by the section's place.
    pub layers: BTreeMap<usize, Vec<ViewedLayer>>,
    /// Sessions that view the room.
    pub viewers: usize,
}

/// A layer that may be asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ViewedLayer {
    /// Its rid, when simulcast.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rid: Option<String>,
    /// Its place.
    pub spatial_layer_id: u8,
    /// Pixels, when the publisher said so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub width: Option<u16>,
    /// Pixels, when the publisher said so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub height: Option<u16>,
}

/// What one's next look is compared with.
#[derive(Debug, Default)]
struct Told {
    active: bool,
    layers: BTreeMap<usize, Vec<ViewedLayer>>,
    viewers: Option<usize>,
}

impl Told {
    /// What is new, and known from now on.
    fn news(&mut self, now: Viewed, kinds: &BTreeSet<EventKind>) -> VecDeque<Event> {
        let mut news = VecDeque::new();
        let mut tell = |kind: EventKind, data: serde_json::Value| {
            if kinds.contains(&kind) {
                let event = Event::default().event(kind.name());
                news.push_back(event.data(data.to_string()));
            }
        };
        if now.active != self.active {
            let kind = if now.active {
                EventKind::Active
            } else {
                EventKind::Inactive
            };
            tell(kind, json!({}));
        }
        if now.layers != self.layers {
            tell(EventKind::Layers, json!(now.layers));
        }
        if self.viewers != Some(now.viewers) {
            tell(
                EventKind::ViewerCount,
                json!({ "viewercount": now.viewers }),
            );
        }
        *self = Self {
            active: now.active,
            layers: now.layers,
            viewers: Some(now.viewers),
        };
        news
    }
}

/// `POST`: opens a stream.
pub(super) async fn open<S: Sessions>(
    State(handlers): State<Handlers<S>>,
    Path((room, session)): Path<(String, String)>,
    request: Request,
) -> Response {
    let (parts, body) = request.into_parts();
    let opened = async {
        let token = body::bearer(&parts.headers)?;
        let access = handlers
            .sessions
            .authorize(token, &room, handlers.protocol)?;
        // A list may be left out, and with it its type.
        let kinds = if parts.headers.contains_key(header::CONTENT_TYPE) {
            let text = body::text(&parts.headers, body, "application/json", LIST_MAX).await?;
            let names: Vec<String> = serde_json::from_str(&text)
                .map_err(|error| Refused::bad_request(format!("not a list of events: {error}")))?;
            let wanted = |kind: &EventKind| names.iter().any(|name| name == kind.name());
            EventKind::ALL.into_iter().filter(wanted).collect()
        } else {
            BTreeSet::from(EventKind::ALL)
        };
        handlers
            .sessions
            .open_events(&access, &session, kinds)
            .await
    };
    let response = match opened.await {
        Ok(stream) => {
            let mut response = StatusCode::CREATED.into_response();
            let location = format!("/whep/{room}/{session}/sse/{stream}");
            if let Ok(location) = HeaderValue::from_str(&location) {
                response.headers_mut().insert(header::LOCATION, location);
            }
            response
        }
        Err(refused) => refused.into_response(),
    };
    cors::share(&handlers.sessions.origins(), &parts.headers, response)
}

/// A stream while somebody reads it.
struct Reading<S> {
    sessions: Arc<S>,
    room: String,
    session: String,
    stream: String,
    told: Told,
    news: VecDeque<Event>,
    looked: bool,
}

impl<S: Sessions> Reading<S> {
    /// The next event, with whatever comes after it; `None` once the session
    /// or the stream is gone.
    async fn next(mut self) -> Option<(Result<Event, Infallible>, Self)> {
        loop {
            if let Some(event) = self.news.pop_front() {
                return Some((Ok(event), self));
            }
            if self.looked {
                tokio::time::sleep(LOOK).await;
            }
            self.looked = true;
            let viewed = self
                .sessions
                .viewed(&self.room, &self.session, &self.stream);
            let (now, kinds) = viewed.await.ok()?;
            self.news = self.told.news(now, &kinds);
        }
    }
}

/// `GET`: the events.
pub(super) async fn read<S: Sessions>(
    State(handlers): State<Handlers<S>>,
    Path((room, session, stream)): Path<(String, String, String)>,
    request: Request,
) -> Response {
    let sessions = handlers.sessions;
    let response = match sessions.viewed(&room, &session, &stream).await {
        Ok(_) => {
            let reading = Reading {
                sessions: sessions.clone(),
                room,
                session,
                stream,
                told: Told::default(),
                news: VecDeque::new(),
                looked: false,
            };
            Sse::new(futures_util::stream::unfold(reading, Reading::next))
                .keep_alive(KeepAlive::default())
                .into_response()
        }
        Err(refused) => refused.into_response(),
    };
    cors::share(&sessions.origins(), request.headers(), response)
}

/// `DELETE`: the end of a stream.
pub(super) async fn close<S: Sessions>(
    State(handlers): State<Handlers<S>>,
    Path((room, session, stream)): Path<(String, String, String)>,
    request: Request,
) -> Response {
    let headers = request.headers();
    let closed = async {
        let token = body::bearer(headers)?;
        let access = handlers
            .sessions
            .authorize(token, &room, handlers.protocol)?;
        handlers
            .sessions
            .close_events(&access, &session, &stream)
            .await
    };
    let response = match closed.await {
        Ok(()) => StatusCode::OK.into_response(),
        Err(refused) => refused.into_response(),
    };
    cors::share(&handlers.sessions.origins(), headers, response)
}

pub(super) async fn preflight<S: Sessions>(
    State(handlers): State<Handlers<S>>,
    request: Request,
) -> Response {
    cors::preflight(&handlers.sessions.origins(), request.headers(), EVENTS)
}

pub(super) async fn stream_preflight<S: Sessions>(
    State(handlers): State<Handlers<S>>,
    request: Request,
) -> Response {
    cors::preflight(&handlers.sessions.origins(), request.headers(), STREAM)
}

pub(super) async fn wrong_method() -> Response {
    not_that_method(EVENTS.methods)
}

pub(super) async fn wrong_stream_method() -> Response {
    not_that_method(STREAM.methods)
}

fn not_that_method(methods: &'static str) -> Response {
    let mut response = Refused::method_not_allowed().into_response();
    let allow = HeaderValue::from_static(methods);
    response.headers_mut().insert(header::ALLOW, allow);
    response
}
