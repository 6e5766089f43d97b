//! The relay-check page, compiled in.

use std::sync::Arc;

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};

use super::App;
use super::error::ApiError;

/// One file of the page.
#[derive(Debug)]
pub(super) struct Asset {
    pub(super) path: &'static str,
    media_type: &'static str,
    text: &'static str,
}

macro_rules! assets {
    ($($path:literal $media_type:ident $file:literal;)+) => {
        /// Every file of the page.
        pub(super) static ASSETS: &[Asset] = &[
            $(Asset { path: $path, media_type: $media_type, text: include_str!(concat!("../../web/", $file)) },)+
        ];
    };
}

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const JS: &str = "text/javascript; charset=utf-8";
const SVG: &str = "image/svg+xml";

assets! {
    "/" HTML "index.html";
    "/relay-check/style.css" CSS "style.css";
    "/relay-check/icon.svg" SVG "icon.svg";
    "/relay-check/main.js" JS "main.js";
    "/relay-check/check.js" JS "check.js";
    "/relay-check/source.js" JS "source.js";
    "/relay-check/stats.js" JS "stats.js";
    "/relay-check/chart.js" JS "chart.js";
    "/relay-check/advice.js" JS "advice.js";
    "/relay-check/view.js" JS "view.js";
}

/// Only its own files, no frame around it, no form that leaves it.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      media-src 'self' blob: mediastream:; base-uri 'none'; form-action 'none'; \
                      frame-ancestors 'none'; require-trusted-types-for 'script'";

pub(super) async fn serve(
    State(app): State<Arc<App>>,
    asset: &'static Asset,
) -> Result<Response, ApiError> {
    if !app.settings.borrow().config.relay_check.enabled {
        return Err(ApiError::not_found());
    }
    let headers = [
        (header::CONTENT_TYPE.as_str(), asset.media_type),
        // Always asked for again, so that an upgrade is never half a page.
        (header::CACHE_CONTROL.as_str(), "no-cache"),
        (header::CONTENT_SECURITY_POLICY.as_str(), POLICY),
        (
            "permissions-policy",
            "camera=(self), microphone=(self), geolocation=(), payment=(), usb=()",
        ),
        ("cross-origin-opener-policy", "same-origin"),
    ];
    Ok((headers, asset.text).into_response())
}
