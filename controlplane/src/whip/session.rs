//! `/whip/{room}/{session}` and `/whep/{room}/{session}`: a session under way.

use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};

use super::cors::{self, SESSION};
use super::refused::Refused;
use super::{Handlers, Sessions, body};
use crate::sdp::{Fragment, restarted};

const FRAGMENT: &str = "application/trickle-ice-sdpfrag";

/// Bytes a fragment may have.
const FRAGMENT_MAX: usize = 16_384;

/// Identifies an ICE session (RFC 9725 §4.3.1).
pub(super) fn entity_tag(ufrag: &str) -> String {
    format!("\"{ufrag}\"")
}

pub(super) async fn patch<S: Sessions>(
    State(handlers): State<Handlers<S>>,
    Path((room, session)): Path<(String, String)>,
    request: Request,
) -> Response {
    let (parts, body) = request.into_parts();
    let patched = async {
        let token = body::bearer(&parts.headers)?;
        let access = handlers
            .sessions
            .authorize(token, &room, handlers.protocol)?;
        let fragment = body::text(&parts.headers, body, FRAGMENT, FRAGMENT_MAX).await?;
        let fragment = Fragment::parse(&fragment)?;
        let condition = Condition::read(&parts.headers)?;
        let current = handlers
            .sessions
            .find(&access, handlers.protocol, &session)
            .await?;
        if !condition.holds(&entity_tag(&current.local_ufrag)) {
            return Err(Refused::precondition_failed());
        }
        let fresh = fragment
            .ufrag
            .filter(|ufrag| *ufrag != current.remote_ufrag);
        match (fresh, condition) {
            // Their candidates: checks come from wherever they come.
            (None, _) => Ok(None),
            (Some(_), Condition::These(_)) => Err(Refused::unprocessable(
                "other ICE credentials restart ICE: send If-Match: *",
            )),
            (Some(ufrag), Condition::Any) => {
                let restart =
                    handlers
                        .sessions
                        .restart(&access, handlers.protocol, &session, ufrag);
                restart.await.map(Some)
            }
        }
    };
    let response = match patched.await {
        Ok(None) => StatusCode::NO_CONTENT.into_response(),
        Ok(Some(local)) => {
            let mut response = restarted(&local).into_response();
            let headers = response.headers_mut();
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(FRAGMENT));
            if let Ok(tag) = HeaderValue::from_str(&entity_tag(&local.ufrag)) {
                headers.insert(header::ETAG, tag);
            }
            response
        }
        Err(refused) => refused.into_response(),
    };
    cors::share(&handlers.sessions.origins(), &parts.headers, response)
}

/// Whatever entity tag comes with it is ignored (RFC 9725 §4.3.1).
pub(super) async fn delete<S: Sessions>(
    State(handlers): State<Handlers<S>>,
    Path((room, session)): Path<(String, String)>,
    request: Request,
) -> Response {
    let headers = request.headers();
    let removed = async {
        let token = body::bearer(headers)?;
        let access = handlers
            .sessions
            .authorize(token, &room, handlers.protocol)?;
        let remove = handlers
            .sessions
            .remove(&access, handlers.protocol, &session);
        remove.await
    };
    let response = match removed.await {
        Ok(()) => StatusCode::OK.into_response(),
        Err(refused) => refused.into_response(),
    };
    cors::share(&handlers.sessions.origins(), headers, response)
}

pub(super) async fn preflight<S: Sessions>(
    State(handlers): State<Handlers<S>>,
    request: Request,
) -> Response {
    cors::preflight(&handlers.sessions.origins(), request.headers(), SESSION)
}

/// `If-Match` (RFC 9110 §13.1.1).
#[derive(Debug, Clone, PartialEq, Eq)]
enum Condition {
    Any,
    These(Vec<String>),
}

impl Condition {
    fn read(headers: &HeaderMap) -> Result<Self, Refused> {
        let mut tags = Vec::new();
        for value in headers.get_all(header::IF_MATCH) {
            let value = value
                .to_str()
                .map_err(|_| Refused::bad_request("If-Match"))?;
            // Our own tags have no comma.
            tags.extend(value.split(',').map(|tag| tag.trim().to_owned()));
        }
        match tags.as_slice() {
            [] => Err(Refused::precondition_required()),
            // Some clients quote the asterisk, as the RFC's examples once did.
            [any] if any == "*" || any == "\"*\"" => Ok(Self::Any),
            _ => Ok(Self::These(tags)),
        }
    }

    /// Strong comparison: a weak tag never matches.
    fn holds(&self, current: &str) -> bool {
        match self {
            Self::Any => true,
            Self::These(tags) => tags.iter().any(|tag| tag == current),
        }
    }
}

pub(super) async fn wrong_method() -> Response {
    let mut response = Refused::method_not_allowed().into_response();
    let allow = HeaderValue::from_static(SESSION.methods);
    response.headers_mut().insert(header::ALLOW, allow);
    response
}
