//! `/whip/{room}` and `/whep/{room}`: where sessions are made.

use axum::extract::{Path, Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};

use super::cors::{self, ENDPOINT};
use super::refused::Refused;
use super::{Created, EventKind, Handlers, IceServer, Protocol, Sessions, body};
use crate::sdp::{MAX, PublisherOffer, ViewerOffer};

pub(super) async fn create<S: Sessions>(
    State(handlers): State<Handlers<S>>,
    Path(room): Path<String>,
    request: Request,
) -> Response {
    let (parts, body) = request.into_parts();
    let made = async {
        handlers.sessions.admit(&parts)?;
        let token = body::bearer(&parts.headers)?;
        let access = handlers
            .sessions
            .authorize(token, &room, handlers.protocol)?;
        let offer = body::text(&parts.headers, body, "application/sdp", MAX).await?;
        check(handlers.protocol, &offer)?;
        let servers = handlers.sessions.ice_servers(&access);
        let created = handlers
            .sessions
            .create(access, handlers.protocol, offer)
            .await?;
        Ok::<_, Refused>((created, servers))
    };
    let response = match made.await {
        Ok((created, servers)) => answer(handlers.protocol, &room, created, &servers),
        Err(refused) => refused.into_response(),
    };
    cors::share(&handlers.sessions.origins(), &parts.headers, response)
}

pub(super) async fn preflight<S: Sessions>(
    State(handlers): State<Handlers<S>>,
    request: Request,
) -> Response {
    cors::preflight(&handlers.sessions.origins(), request.headers(), ENDPOINT)
}

/// Refuses what would make half a session (RFC 9725 §4.4.3) before anybody
/// enters a room for it.
fn check(protocol: Protocol, offer: &str) -> Result<(), Refused> {
    match protocol {
        Protocol::Whip => {
            let offer = PublisherOffer::parse(offer)?;
            if offer.is_partly_refused() {
                return Err(Refused::not_acceptable(
                    "a section has no codec or transport known here",
                ));
            }
            if offer.sending() == (0, 0) {
                return Err(Refused::unprocessable(
                    "no section of the offer sends anything",
                ));
            }
        }
        Protocol::Whep => {
            if ViewerOffer::parse(offer)?.sections().is_empty() {
                return Err(Refused::unprocessable(
                    "no section of the offer can receive",
                ));
            }
        }
    }
    Ok(())
}

fn answer(protocol: Protocol, room: &str, created: Created, servers: &[IceServer]) -> Response {
    let location = format!("/{}/{room}/{}", protocol.path(), created.session);
    let mut response = (StatusCode::CREATED, created.answer).into_response();
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/sdp"),
    );
    headers.insert(
        "accept-patch",
        HeaderValue::from_static("application/trickle-ice-sdpfrag"),
    );
    let mut add = |name, value: String| {
        if let Ok(value) = HeaderValue::from_str(&value) {
            headers.append(name, value);
        }
    };
    add(header::ETAG, super::session::entity_tag(&created.ufrag));
    for server in servers {
        add(header::LINK, link(server));
    }
    if protocol == Protocol::Whep {
        let extension = "urn:ietf:params:whep:ext:core";
        let events = EventKind::ALL.map(EventKind::name).join(",");
        add(
            header::LINK,
            format!("<{location}/layer>; rel=\"{extension}:layer\""),
        );
        add(
            header::LINK,
            format!(
                "<{location}/sse>; rel=\"{extension}:server-sent-events\"; events=\"{events}\""
            ),
        );
    }
    add(header::LOCATION, location);
    response
}

/// RFC 9725 §4.6.
fn link(server: &IceServer) -> String {
    let mut link = format!("<{}>; rel=\"ice-server\"", server.url);
    if !server.username.is_empty() {
        link.push_str(&format!(
            "; username=\"{}\"; credential=\"{}\"; credential-type=\"password\"",
            server.username, server.credential
        ));
    }
    link
}

pub(super) async fn wrong_method() -> Response {
    let mut response = Refused::method_not_allowed().into_response();
    let allow = HeaderValue::from_static(ENDPOINT.methods);
    response.headers_mut().insert(header::ALLOW, allow);
    response
}
