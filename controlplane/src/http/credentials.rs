//! `POST /v1/turn/credentials`: TURN REST answer and RTCIceServer in one.

use std::sync::Arc;

use axum::Json;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, header};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use super::App;
use super::error::ApiError;
use crate::credentials::{UserName, sign};
use crate::metrics::SecretLabels;
use crate::settings::{Settings, unix_now};

/// Bytes a body may have.
const BODY: usize = 4_096;

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Wish {
    user: Option<String>,
    ttl: Option<u64>,
    region: Option<String>,
}

pub(super) async fn create(
    State(app): State<Arc<App>>,
    request: Request,
) -> Result<Json<Value>, ApiError> {
    let settings = app.settings.borrow().clone();
    let (parts, body) = request.into_parts();
    let client = authenticate(&settings, &parts.headers)?;
    let wish: Wish = read(&parts.headers, body).await?;

    let turn = &settings.config.turn;
    let user = match &wish.user {
        Some(name) => UserName::new(name).map_err(|error| ApiError::invalid(error.to_string()))?,
        None => {
            UserName::random().map_err(|_| ApiError::unavailable("the system has no randomness"))?
        }
    };
    let ttl = match wish.ttl {
        Some(0) => return Err(ApiError::invalid("ttl must be at least 1 second")),
        Some(ttl) => ttl.min(turn.ttl_max.as_secs()),
        None => turn.ttl_default.as_secs(),
    };
    let urls = urls(&app, &settings, wish.region.as_deref())?;

    let now = unix_now();
    let secret = settings.signer(now).ok_or_else(|| {
        ApiError::unavailable("every TURN secret is past its not_after; add a new one")
    })?;
    // A credential must not outlive the secret that vouches for it.
    let expires_at = now
        .saturating_add(ttl)
        .min(secret.not_after.unwrap_or(u64::MAX));
    let credential = sign(secret.key.expose(), &user, expires_at);
    app.metrics
        .credentials_issued
        .get_or_create(&SecretLabels {
            secret: secret.id.to_string(),
        })
        .inc();
    tracing::debug!(client, username = %credential.username, secret = %secret.id, "credentials issued");

    Ok(Json(json!({
        "username": credential.username,
        "password": credential.password,
        "ttl": expires_at - now,
        "expires_at": expires_at,
        "uris": urls,
        "iceServers": [{
            "urls": urls,
            "username": credential.username,
            "credential": credential.password,
        }],
    })))
}

/// What a participant reaches the relay with, as RTCIceServer objects; none
/// when there is no relay to reach. Good for the longest time a credential is
/// given, because calls last.
pub(crate) fn ice_servers(app: &App, settings: &Settings) -> Value {
    let now = unix_now();
    let (Ok(urls), Some(secret), Ok(user)) = (
        urls(app, settings, None),
        settings.signer(now),
        UserName::random(),
    ) else {
        return json!([]);
    };
    let expires_at = now
        .saturating_add(settings.config.turn.ttl_max.as_secs())
        .min(secret.not_after.unwrap_or(u64::MAX));
    let credential = sign(secret.key.expose(), &user, expires_at);
    app.metrics
        .credentials_issued
        .get_or_create(&SecretLabels {
            secret: secret.id.to_string(),
        })
        .inc();
    json!([{
        "urls": urls,
        "username": credential.username,
        "credential": credential.password,
    }])
}

/// The name of the API key (RFC 6750 §2.1).
pub(super) fn authenticate<'s>(
    settings: &'s Settings,
    headers: &HeaderMap,
) -> Result<&'s str, ApiError> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        return Err(ApiError::unauthorized());
    };
    let value = value.to_str().map_err(|_| ApiError::unauthorized())?;
    let (scheme, key) = value.split_once(' ').ok_or_else(ApiError::unauthorized)?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(ApiError::unauthorized());
    }
    settings
        .api_keys
        .find(key.trim())
        .ok_or_else(ApiError::unauthorized)
}

pub(super) async fn read<T: DeserializeOwned + Default>(
    headers: &HeaderMap,
    body: Body,
) -> Result<T, ApiError> {
    let announced = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|v| v.to_str().ok()?.parse::<usize>().ok());
    if announced.is_some_and(|length| length > BODY) {
        return Err(ApiError::too_large(BODY));
    }
    let body = to_bytes(body, BODY).await.map_err(|error| {
        // The limit and a broken connection come as one type; only one of
        // them leaves anybody to read the answer.
        tracing::debug!(%error, "request body");
        ApiError::too_large(BODY)
    })?;
    if body.is_empty() {
        return Ok(T::default());
    }
    let media_type = headers
        .get(header::CONTENT_TYPE)
        .and_then(|v| v.to_str().ok())
        .unwrap_or_default();
    if !media_type
        .split(';')
        .next()
        .unwrap_or_default()
        .trim()
        .eq_ignore_ascii_case("application/json")
    {
        return Err(ApiError::media_type());
    }
    // An object first: a struct would take an array too.
    let object: Map<String, Value> = serde_json::from_slice(&body).map_err(unreadable)?;
    serde_json::from_value(Value::Object(object)).map_err(unreadable)
}

fn unreadable(error: serde_json::Error) -> ApiError {
    match error.classify() {
        serde_json::error::Category::Data => ApiError::invalid(error.to_string()),
        _ => ApiError::bad_request(format!("not JSON: {error}")),
    }
}

fn urls(app: &App, settings: &Settings, region: Option<&str>) -> Result<Vec<String>, ApiError> {
    let turn = &settings.config.turn;
    if let Some(region) = region {
        return turn
            .regions
            .get(region)
            .cloned()
            .ok_or_else(|| ApiError::invalid("this region is not configured"));
    }
    if !turn.urls.is_empty() {
        return Ok(turn.urls.clone());
    }
    let urls = app.link.borrow().urls(turn.tls_name.as_deref());
    if urls.is_empty() {
        return Err(ApiError::unavailable(
            "the data plane has not said yet where it listens, and turn.urls is empty",
        ));
    }
    Ok(urls)
}
