//! Rooms, participants, nodes and calls for the operator (API key), and
//! tokens for participants.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, Query, Request, State};
use axum::http::{HeaderMap, StatusCode};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::App;
use super::credentials::{authenticate, read};
use super::error::ApiError;
use crate::calls::{Page, Store};
use crate::rooms::ids::{Identity, ParticipantId, RoomName, TrackId, check_name};
use crate::rooms::model::Whom;
use crate::sdp::CodecPolicy;
use crate::settings::unix_now;
use crate::tokens::{Access, Grants};

/// Seconds a token is good for when nobody says.
const TOKEN_TTL: u64 = 3_600;
/// The longest, seconds.
const TOKEN_TTL_MAX: u64 = 30 * 86_400;
/// Calls on a page when nobody says.
const PAGE: u32 = 50;

fn admit(app: &App, headers: &HeaderMap) -> Result<(), ApiError> {
    let settings = app.settings.borrow().clone();
    authenticate(&settings, headers).map(|_| ())
}

fn room_name(name: &str) -> Result<RoomName, ApiError> {
    RoomName::new(name).map_err(|_| ApiError::not_found())
}

fn participant_id(id: &str) -> Result<ParticipantId, ApiError> {
    id.parse().map_err(|_| ApiError::not_found())
}

async fn body<T: DeserializeOwned + Default>(request: Request) -> Result<T, ApiError> {
    let (parts, body) = request.into_parts();
    read(&parts.headers, body).await
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct TokenWish {
    room: String,
    identity: String,
    name: String,
    ttl: Option<u64>,
    grants: Option<Grants>,
}

/// `POST /v1/tokens`
pub(super) async fn token(
    State(app): State<Arc<App>>,
    request: Request,
) -> Result<Json<Value>, ApiError> {
    admit(&app, request.headers())?;
    let wish: TokenWish = body(request).await?;
    let invalid = |error: crate::rooms::ids::InvalidName| ApiError::invalid(error.to_string());
    check_name(&wish.name).map_err(invalid)?;
    let access = Access {
        room: RoomName::new(&wish.room).map_err(invalid)?,
        identity: Identity::new(&wish.identity).map_err(invalid)?,
        name: wish.name,
        grants: wish.grants.unwrap_or(Grants::USUAL),
    };
    let ttl = match wish.ttl {
        Some(0) => return Err(ApiError::invalid("ttl must be at least 1 second")),
        ttl => ttl.unwrap_or(TOKEN_TTL).min(TOKEN_TTL_MAX),
    };
    let expires_at = unix_now().saturating_add(ttl);
    let token = app
        .settings
        .borrow()
        .token_keys
        .mint(&access, expires_at)
        .map_err(|error| ApiError::unavailable(error.to_string()))?;
    Ok(Json(json!({
        "token": token,
        "room": access.room,
        "identity": access.identity,
        "expires_at": expires_at,
    })))
}

/// `GET /v1/rooms`
pub(super) async fn list(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
) -> Result<Json<Value>, ApiError> {
    admit(&app, &headers)?;
    Ok(Json(json!({ "rooms": app.rooms.rooms().await? })))
}

/// `GET /v1/rooms/{room}`
pub(super) async fn room(
    State(app): State<Arc<App>>,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Result<Json<Value>, ApiError> {
    admit(&app, &headers)?;
    let (room, participants) = app.rooms.room(room_name(&name)?).await?;
    Ok(Json(json!({ "room": room, "participants": participants })))
}

/// `GET /v1/rooms/{room}/codecs`
pub(super) async fn codecs(
    State(app): State<Arc<App>>,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Result<Json<CodecPolicy>, ApiError> {
    admit(&app, &headers)?;
    Ok(Json(app.rooms.codecs(room_name(&name)?).await?))
}

/// `PUT /v1/rooms/{room}/codecs`
pub(super) async fn choose_codecs(
    State(app): State<Arc<App>>,
    Path(name): Path<String>,
    request: Request,
) -> Result<Json<CodecPolicy>, ApiError> {
    admit(&app, request.headers())?;
    let room = room_name(&name)?;
    let policy: CodecPolicy = body(request).await?;
    if !policy.is_sound() {
        return Err(ApiError::invalid(
            "video: at least one of vp8, vp9, h264, av1, and none twice",
        ));
    }
    app.rooms.choose_codecs(room, Some(policy.clone())).await?;
    Ok(Json(policy))
}

/// `DELETE /v1/rooms/{room}/codecs`
pub(super) async fn forget_codecs(
    State(app): State<Arc<App>>,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Result<StatusCode, ApiError> {
    admit(&app, &headers)?;
    app.rooms.choose_codecs(room_name(&name)?, None).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `GET /v1/rooms/{room}/participants/{id}`
pub(super) async fn participant(
    State(app): State<Arc<App>>,
    Path((name, id)): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<Json<Value>, ApiError> {
    admit(&app, &headers)?;
    let id = participant_id(&id)?;
    let participant = app.rooms.participant(room_name(&name)?, id).await?;
    Ok(Json(json!({ "participant": participant })))
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct KickWish {
    reason: String,
}

/// `DELETE /v1/rooms/{room}/participants/{id}`
pub(super) async fn kick(
    State(app): State<Arc<App>>,
    Path((name, id)): Path<(String, String)>,
    request: Request,
) -> Result<StatusCode, ApiError> {
    admit(&app, request.headers())?;
    let whom = Whom {
        room: room_name(&name)?,
        id: participant_id(&id)?,
    };
    let KickWish { reason } = body(request).await?;
    check_name(&reason).map_err(|_| ApiError::invalid("reason: at most 128 bytes"))?;
    let reason = if reason.is_empty() {
        "removed by the operator".to_owned()
    } else {
        reason
    };
    app.rooms.kick(whom, reason).await?;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct MuteWish {
    track: Option<String>,
    muted: Option<bool>,
}

/// `POST /v1/rooms/{room}/participants/{id}/mute`: one track, or all of them.
pub(super) async fn mute(
    State(app): State<Arc<App>>,
    Path((name, id)): Path<(String, String)>,
    request: Request,
) -> Result<Json<Value>, ApiError> {
    admit(&app, request.headers())?;
    let (room, id) = (room_name(&name)?, participant_id(&id)?);
    let wish: MuteWish = body(request).await?;
    let muted = wish.muted.unwrap_or(true);
    let participant = app.rooms.participant(room.clone(), id).await?;
    let mut tracks: Vec<TrackId> = participant.published.iter().map(|p| p.track.id).collect();
    if let Some(track) = &wish.track {
        let track: TrackId = track.parse().map_err(|_| ApiError::not_found())?;
        tracks.retain(|known| *known == track);
        if tracks.is_empty() {
            return Err(ApiError::not_found());
        }
    }
    for track in &tracks {
        app.rooms.mute(room.clone(), *track, muted).await?;
    }
    Ok(Json(json!({ "muted": muted, "tracks": tracks })))
}

/// `GET /v1/nodes`
pub(super) async fn nodes(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
) -> Result<Json<Value>, ApiError> {
    admit(&app, &headers)?;
    let node = app.rooms.data_plane().await?;
    let link = app.link.borrow().clone();
    Ok(Json(json!({ "nodes": [{
        "name": "local",
        "media": node,
        "allocations": link.allocations,
        "software": link.dataplane.as_ref().map(|welcome| welcome.software.to_string()),
        "started_at": link.dataplane.as_ref().map(|welcome| welcome.started_at),
        "problem": link.problem.filter(|_| !link.connected),
    }] })))
}

fn store(app: &App) -> Result<Store, ApiError> {
    if app.settings.borrow().config.calls.database.is_none() {
        return Err(ApiError::not_found());
    }
    app.calls
        .borrow()
        .clone()
        .ok_or_else(|| ApiError::unavailable("the database of calls is not open"))
}

fn failed(error: &crate::calls::StoreError) -> ApiError {
    tracing::error!(%error, "reading calls");
    ApiError::unavailable("the database of calls does not answer")
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CallQuery {
    room: Option<String>,
    limit: Option<u32>,
    after: Option<String>,
}

/// `GET /v1/calls?room=&limit=&after=`
pub(super) async fn calls(
    State(app): State<Arc<App>>,
    Query(query): Query<CallQuery>,
    headers: HeaderMap,
) -> Result<Json<Value>, ApiError> {
    admit(&app, &headers)?;
    let store = store(&app)?;
    let after = match query.after.as_deref() {
        None => None,
        Some(text) => Some(
            text.split_once('-')
                .and_then(|(at, id)| Some((at.parse().ok()?, id.to_owned())))
                .ok_or_else(|| ApiError::invalid("after is what next said"))?,
        ),
    };
    let limit = query.limit.unwrap_or(PAGE).clamp(1, crate::calls::PAGE_MAX);
    let page = Page {
        room: query.room,
        after,
        limit,
    };
    let calls = store.calls(&page).await.map_err(|error| failed(&error))?;
    let next = calls
        .last()
        .filter(|_| calls.len() == limit as usize)
        .map(|call| format!("{}-{}", call.started_at, call.id));
    Ok(Json(json!({ "calls": calls, "next": next })))
}

/// `GET /v1/calls/{call}`
pub(super) async fn call(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Json<Value>, ApiError> {
    admit(&app, &headers)?;
    let participants = store(&app)?
        .participants(&id)
        .await
        .map_err(|error| failed(&error))?;
    if participants.is_empty() {
        return Err(ApiError::not_found());
    }
    Ok(Json(json!({ "participants": participants })))
}
