//! What every request has: a bearer token, perhaps a body.

use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, header};

use super::refused::Refused;

/// The bearer token (RFC 6750 §2.1).
pub(super) fn bearer(headers: &HeaderMap) -> Result<&str, Refused> {
    let missing = || Refused::unauthorized("send an access token as Authorization: Bearer TOKEN");
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        return Err(missing());
    };
    let (scheme, token) = value
        .to_str()
        .ok()
        .and_then(|value| value.split_once(' '))
        .ok_or_else(missing)?;
    if !scheme.eq_ignore_ascii_case("bearer") || token.trim().is_empty() {
        return Err(missing());
    }
    Ok(token.trim())
}

/// The body as text, if it is of this type and size.
pub(super) async fn text(
    headers: &HeaderMap,
    body: Body,
    media_type: &str,
    limit: usize,
) -> Result<String, Refused> {
    let given = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split(';').next())
        .unwrap_or_default();
    if !given.trim().eq_ignore_ascii_case(media_type) {
        return Err(Refused::media_type(media_type));
    }
    let announced = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    if announced.is_some_and(|length| length > limit) {
        return Err(Refused::too_large(limit));
    }
    let bytes = to_bytes(body, limit).await.map_err(|error| {
        // The limit and a broken connection come as one type; only one of
        // them leaves anybody to read the answer.
        tracing::debug!(%error, "request body");
        Refused::too_large(limit)
    })?;
    if bytes.is_empty() {
        return Err(Refused::bad_request("the body is empty"));
    }
    String::from_utf8(bytes.into()).map_err(|_| Refused::bad_request("the body is not UTF-8"))
}
