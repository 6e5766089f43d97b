//! Cross-origin pages (Fetch). A token travels in a header no browser adds by
//! itself, so any origin may be allowed.

use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};

/// Which methods a resource has, and what it takes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Resource {
    pub(super) methods: &'static str,
    /// Its `Accept-Post` or `Accept-Patch`.
    pub(super) accepts: (&'static str, &'static str),
}

pub(super) const ENDPOINT: Resource = Resource {
    methods: "OPTIONS, POST",
    accepts: ("accept-post", "application/sdp"),
};
pub(super) const SESSION: Resource = Resource {
    methods: "DELETE, OPTIONS, PATCH",
    accepts: ("accept-patch", "application/trickle-ice-sdpfrag"),
};
pub(super) const LAYER: Resource = Resource {
    methods: "OPTIONS, POST",
    accepts: ("accept-post", "application/json"),
};

pub(super) const EVENTS: Resource = Resource {
    methods: "OPTIONS, POST",
    accepts: ("accept-post", "application/json"),
};
pub(super) const STREAM: Resource = Resource {
    methods: "DELETE, GET, OPTIONS",
    accepts: ("accept", "text/event-stream"),
};

/// What a page may read of an answer beside the safelisted headers.
const EXPOSED: &str = "accept-patch, accept-post, etag, link, location, retry-after";

/// The answer to `OPTIONS`.
pub(super) fn preflight(origins: &[String], request: &HeaderMap, resource: Resource) -> Response {
    let mut response = StatusCode::OK.into_response();
    let headers = response.headers_mut();
    headers.insert(
        HeaderName::from_static(resource.accepts.0),
        HeaderValue::from_static(resource.accepts.1),
    );
    headers.insert(header::ALLOW, HeaderValue::from_static(resource.methods));
    if origin(origins, request).is_some() {
        headers.insert(
            header::ACCESS_CONTROL_ALLOW_METHODS,
            HeaderValue::from_static(resource.methods),
        );
        headers.insert(
            header::ACCESS_CONTROL_ALLOW_HEADERS,
            HeaderValue::from_static("authorization, content-type, if-match"),
        );
        headers.insert(
            header::ACCESS_CONTROL_MAX_AGE,
            HeaderValue::from_static("600"),
        );
    }
    share(origins, request, response)
}

/// Lets the page that asks read the answer, if its origin is allowed.
pub(super) fn share(origins: &[String], request: &HeaderMap, mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.append(header::VARY, HeaderValue::from_static("origin"));
    if let Some(origin) = origin(origins, request) {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.insert(
            header::ACCESS_CONTROL_EXPOSE_HEADERS,
            HeaderValue::from_static(EXPOSED),
        );
        headers.insert(
            HeaderName::from_static("cross-origin-resource-policy"),
            HeaderValue::from_static("cross-origin"),
        );
    }
    response
}

/// What `Access-Control-Allow-Origin` says to this request.
fn origin(origins: &[String], request: &HeaderMap) -> Option<HeaderValue> {
    let asked = request.get(header::ORIGIN)?;
    if origins.iter().any(|origin| origin == "*") {
        return Some(HeaderValue::from_static("*"));
    }
    origins
        .iter()
        .any(|origin| origin.as_bytes() == asked.as_bytes())
        .then(|| asked.clone())
}
