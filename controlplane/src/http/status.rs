//! Whether it works, and how much it does.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::App;
use super::error::ApiError;
use crate::settings::unix_now;

/// The process answers.
pub(super) async fn health() -> Json<Value> {
    Json(json!({ "status": "alive" }))
}

/// New clients can be served.
pub(super) async fn ready(State(app): State<Arc<App>>) -> (StatusCode, Json<Value>) {
    let settings = app.settings.borrow().clone();
    let mut reasons = app
        .link
        .borrow()
        .problems(settings.config.turn.realm.as_deref());
    if settings.signer(unix_now()).is_none() {
        reasons.push("turn.secrets: every secret is past its not_after".to_owned());
    }
    let status = if reasons.is_empty() {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    (
        status,
        Json(json!({ "ready": reasons.is_empty(), "reasons": reasons })),
    )
}

/// In the format the reader asks for.
pub(super) async fn metrics(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";
    let accepts = headers
        .get(header::ACCEPT)
        .and_then(|v| v.to_str().ok())
        .unwrap_or_default();
    let (media_type, text) = if accepts.contains("application/openmetrics-text") {
        (OPENMETRICS, app.metrics.openmetrics())
    } else {
        (TEXT, app.metrics.text())
    };
    let text = text.map_err(|_| ApiError::unavailable("the metrics do not encode"))?;
    Ok(([(header::CONTENT_TYPE, media_type)], text).into_response())
}
