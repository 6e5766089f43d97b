//! `/whep/{room}/{session}/layer`: the layer extension of the WHEP draft.

use axum::extract::{Path, Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use serde::Deserialize;

use super::cors::{self, LAYER};
use super::refused::Refused;
use super::{Handlers, Sessions, body};

/// Bytes a selection may have.
const SELECTION_MAX: usize = 4_096;

/// The layer a viewer asks for. The data plane never sends more, and less
/// when bandwidth is short. Nothing at all gives the choice back to it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct LayerSelection {
    /// The section's place among all of the offer's; the first video section
    /// when left out.
    #[serde(deserialize_with = "place")]
    pub media_id: Option<usize>,
    /// The rid; earlier drafts called it `encodingId`.
    #[serde(alias = "rid")]
    pub encoding_id: Option<String>,
    /// Spatial layer.
    pub spatial_layer_id: Option<u8>,
    /// Temporal layer.
    pub temporal_layer_id: Option<u8>,
    /// The highest spatial layer.
    pub max_spatial_layer_id: Option<u8>,
    /// The highest temporal layer.
    pub max_temporal_layer_id: Option<u8>,
    /// Pixels it may have at most.
    pub max_width: Option<u16>,
    /// Pixels it may have at most.
    pub max_height: Option<u16>,
}

impl LayerSelection {
    /// The spatial bound, without regard to the encoding.
    pub fn spatial(&self) -> Option<u8> {
        lower(self.spatial_layer_id, self.max_spatial_layer_id)
    }

    /// The temporal bound.
    pub fn temporal(&self) -> Option<u8> {
        lower(self.temporal_layer_id, self.max_temporal_layer_id)
    }
}

fn lower(a: Option<u8>, b: Option<u8>) -> Option<u8> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

/// The draft says a string; its example clients send numbers too.
fn place<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<usize>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Place {
        Text(String),
        Number(usize),
    }
    match Option::<Place>::deserialize(deserializer)? {
        None => Ok(None),
        Some(Place::Number(place)) => Ok(Some(place)),
        Some(Place::Text(text)) => text.parse().map(Some).map_err(serde::de::Error::custom),
    }
}

pub(super) async fn select<S: Sessions>(
    State(handlers): State<Handlers<S>>,
    Path((room, session)): Path<(String, String)>,
    request: Request,
) -> Response {
    let (parts, body) = request.into_parts();
    let selected = async {
        let token = body::bearer(&parts.headers)?;
        let access = handlers
            .sessions
            .authorize(token, &room, handlers.protocol)?;
        let text = body::text(&parts.headers, body, "application/json", SELECTION_MAX).await?;
        // An object first: a struct would take an array too.
        let object: serde_json::Map<String, serde_json::Value> = serde_json::from_str(&text)
            .map_err(|error| Refused::bad_request(format!("not a JSON object: {error}")))?;
        let selection = LayerSelection::deserialize(serde_json::Value::Object(object))
            .map_err(|error| Refused::unprocessable(error.to_string()))?;
        handlers.sessions.select(&access, &session, selection).await
    };
    let response = match selected.await {
        Ok(()) => StatusCode::OK.into_response(),
        Err(refused) => refused.into_response(),
    };
    cors::share(&handlers.sessions.origins(), &parts.headers, response)
}

pub(super) async fn preflight<S: Sessions>(
    State(handlers): State<Handlers<S>>,
    request: Request,
) -> Response {
    cors::preflight(&handlers.sessions.origins(), request.headers(), LAYER)
}

pub(super) async fn wrong_method() -> Response {
    let mut response = Refused::method_not_allowed().into_response();
    let allow = HeaderValue::from_static(LAYER.methods);
    response.headers_mut().insert(header::ALLOW, allow);
    response
}
