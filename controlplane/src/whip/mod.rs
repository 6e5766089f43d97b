//! Publishing and viewing by HTTP alone: WHIP (RFC 9725) and WHEP
//! (draft-ietf-wish-whep). A session is a participant without a WebSocket:
//!
//! | | |
//! |---|---|
//! | `POST /whip/{room}`, `POST /whep/{room}` | offer in, 201 and answer out |
//! | `PATCH` of the `Location` | candidates (ignored, 204) or an ICE restart (200) |
//! | `DELETE` of the `Location` | the end |
//! | `POST` to `…/layer` of a WHEP session | which layer to send |
//! | `POST` to `…/sse` of a WHEP session | a stream of events, read by `GET` of its `Location` |
//!
//! Every request but `OPTIONS` and that `GET` carries `Authorization: Bearer`, a token as for
//! the WebSocket. A session ends with its media: whoever vanishes loses ICE
//! consent (RFC 7675), and the participant goes.

mod body;
mod cors;
mod endpoint;
mod events;
mod layer;
mod refused;
mod session;

use std::collections::BTreeSet;
use std::future::Future;
use std::sync::Arc;

use axum::Router;
use axum::http::request::Parts;
use axum::routing::{get, patch, post};

use crate::sdp::LocalTransport;

pub use events::{EventKind, Viewed, ViewedLayer};
pub use layer::LayerSelection;
pub use refused::Refused;

/// Which protocol a session speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// It publishes.
    Whip,
    /// It views.
    Whep,
}

impl Protocol {
    /// The first segment of its paths.
    const fn path(self) -> &'static str {
        match self {
            Self::Whip => "whip",
            Self::Whep => "whep",
        }
    }
}

/// A session that was just made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Created {
    /// Its name in its URL: characters that need no escaping there.
    pub session: String,
    /// The answer.
    pub answer: String,
    /// Our fragment in that answer.
    pub ufrag: String,
}

/// A session's ICE session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IceSession {
    /// Our fragment: new with every restart, so it serves as entity tag.
    pub local_ufrag: String,
    /// The client's.
    pub remote_ufrag: String,
}

/// One STUN or TURN server for the client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IceServer {
    /// `turn:…`
    pub url: String,
    /// Empty for STUN.
    pub username: String,
    /// Empty for STUN.
    pub credential: String,
}

/// What sessions are made of: the rooms.
pub trait Sessions: Send + Sync + 'static {
    /// Who a request is from, and what it may do.
    type Access: Send + Sync;

    /// Whether this client may make a session now.
    fn admit(&self, request: &Parts) -> Result<(), Refused>;

    /// Reads a bearer token for this room.
    fn authorize(
        &self,
        token: &str,
        room: &str,
        protocol: Protocol,
    ) -> Result<Self::Access, Refused>;

    /// Origins whose pages may call; `*` for any.
    fn origins(&self) -> Vec<String>;

    /// Servers for whoever has this access.
    fn ice_servers(&self, access: &Self::Access) -> Vec<IceServer>;

    /// A new session of this offer.
    fn create(
        &self,
        access: Self::Access,
        protocol: Protocol,
        offer: String,
    ) -> impl Future<Output = Result<Created, Refused>> + Send;

    /// A session of the same room and identity; 404 without one.
    fn find(
        &self,
        access: &Self::Access,
        protocol: Protocol,
        session: &str,
    ) -> impl Future<Output = Result<IceSession, Refused>> + Send;

    /// New credentials of ours, towards this fragment of the client's.
    fn restart(
        &self,
        access: &Self::Access,
        protocol: Protocol,
        session: &str,
        remote_ufrag: String,
    ) -> impl Future<Output = Result<LocalTransport, Refused>> + Send;

    /// Ends a session.
    fn remove(
        &self,
        access: &Self::Access,
        protocol: Protocol,
        session: &str,
    ) -> impl Future<Output = Result<(), Refused>> + Send;

    /// Chooses a layer.
    fn select(
        &self,
        access: &Self::Access,
        session: &str,
        selection: LayerSelection,
    ) -> impl Future<Output = Result<(), Refused>> + Send;

    /// Opens a stream of events; a name that nobody guesses.
    fn open_events(
        &self,
        access: &Self::Access,
        session: &str,
        kinds: BTreeSet<EventKind>,
    ) -> impl Future<Output = Result<String, Refused>> + Send;

    /// What a stream is about now and which events it has; 404 once it or its
    /// session is gone.
    fn viewed(
        &self,
        room: &str,
        session: &str,
        stream: &str,
    ) -> impl Future<Output = Result<(Viewed, BTreeSet<EventKind>), Refused>> + Send;

    /// Ends a stream of events.
    fn close_events(
        &self,
        access: &Self::Access,
        session: &str,
        stream: &str,
    ) -> impl Future<Output = Result<(), Refused>> + Send;
}

/// The routes, to be merged into a router of any state.
pub fn router<S, T>(sessions: Arc<S>) -> Router<T>
where
    S: Sessions,
    T: Clone + Send + Sync + 'static,
{
    let routes = |protocol: Protocol| {
        let path = protocol.path();
        let router = Router::new()
            .route(
                &format!("/{path}/{{room}}"),
                post(endpoint::create::<S>)
                    .options(endpoint::preflight::<S>)
                    .fallback(endpoint::wrong_method),
            )
            .route(
                &format!("/{path}/{{room}}/{{session}}"),
                patch(session::patch::<S>)
                    .delete(session::delete::<S>)
                    .options(session::preflight::<S>)
                    .fallback(session::wrong_method),
            );
        let router = match protocol {
            Protocol::Whip => router,
            Protocol::Whep => router
                .route(
                    "/whep/{room}/{session}/layer",
                    post(layer::select::<S>)
                        .options(layer::preflight::<S>)
                        .fallback(layer::wrong_method),
                )
                .route(
                    "/whep/{room}/{session}/sse",
                    post(events::open::<S>)
                        .options(events::preflight::<S>)
                        .fallback(events::wrong_method),
                )
                .route(
                    "/whep/{room}/{session}/sse/{stream}",
                    get(events::read::<S>)
                        .delete(events::close::<S>)
                        .options(events::stream_preflight::<S>)
                        .fallback(events::wrong_stream_method),
                ),
        };
        router.with_state(Handlers {
            sessions: sessions.clone(),
            protocol,
        })
    };
    routes(Protocol::Whip).merge(routes(Protocol::Whep))
}

/// What a handler has.
struct Handlers<S> {
    sessions: Arc<S>,
    protocol: Protocol,
}

impl<S> Clone for Handlers<S> {
    fn clone(&self) -> Self {
        Self {
            sessions: self.sessions.clone(),
            protocol: self.protocol,
        }
    }
}
