//! The relay-check page, the room page and the client module, compiled in.

use std::sync::Arc;

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};

use super::App;
use super::error::ApiError;

/// One file of a page.
#[derive(Debug)]
pub(super) struct Asset {
    pub(super) path: &'static str,
    page: Page,
    media_type: &'static str,
    text: &'static str,
}

/// Which switch of the configuration a file hangs on.
#[derive(Debug, Clone, Copy)]
enum Page {
    RelayCheck,
    Room,
    /// The client module, which other pages use as well.
    Client,
}

macro_rules! assets {
    ($($path:literal $page:ident $media_type:ident $file:literal;)+) => {
        /// Every file of the pages.
        pub(super) static ASSETS: &[Asset] = &[
            $(Asset {
                path: $path,
                page: Page::$page,
                media_type: $media_type,
                text: include_str!(concat!("../../web/", $file)),
            },)+
        ];
    };
}

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const JS: &str = "text/javascript; charset=utf-8";
const SVG: &str = "image/svg+xml";

assets! {
    "/" RelayCheck HTML "index.html";
    "/relay-check/style.css" RelayCheck CSS "style.css";
    "/relay-check/icon.svg" RelayCheck SVG "icon.svg";
    "/relay-check/main.js" RelayCheck JS "main.js";
    "/relay-check/check.js" RelayCheck JS "check.js";
    "/relay-check/source.js" RelayCheck JS "source.js";
    "/relay-check/stats.js" RelayCheck JS "stats.js";
    "/relay-check/chart.js" RelayCheck JS "chart.js";
    "/relay-check/advice.js" RelayCheck JS "advice.js";
    "/relay-check/view.js" RelayCheck JS "view.js";
    "/room" Room HTML "room.html";
    "/room/style.css" Room CSS "style.css";
    "/room/icon.svg" Room SVG "icon.svg";
    "/room/room.css" Room CSS "room/room.css";
    "/room/main.js" Room JS "room/main.js";
    "/room/access.js" Room JS "room/access.js";
    "/room/call.js" Room JS "room/call.js";
    "/room/chat.js" Room JS "room/chat.js";
    "/room/devices.js" Room JS "room/devices.js";
    "/room/format.js" Room JS "room/format.js";
    "/room/lobby.js" Room JS "room/lobby.js";
    "/room/own.js" Room JS "room/own.js";
    "/room/stage.js" Room JS "room/stage.js";
    "/room/tile.js" Room JS "room/tile.js";
    "/client/forebay.js" Client JS "client/forebay.js";
    "/client/backoff.js" Client JS "client/backoff.js";
    "/client/care.js" Client JS "client/care.js";
    "/client/encodings.js" Client JS "client/encodings.js";
    "/client/errors.js" Client JS "client/errors.js";
    "/client/fallback.js" Client JS "client/fallback.js";
    "/client/people.js" Client JS "client/people.js";
    "/client/publisher.js" Client JS "client/publisher.js";
    "/client/room.js" Client JS "client/room.js";
    "/client/sampler.js" Client JS "client/sampler.js";
    "/client/signal.js" Client JS "client/signal.js";
    "/client/stats.js" Client JS "client/stats.js";
    "/client/subscriber.js" Client JS "client/subscriber.js";
    "/client/viewport.js" Client JS "client/viewport.js";
}

/// Only its own files, no frame around it, no form that leaves it.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      media-src 'self' blob: mediastream:; base-uri 'none'; form-action 'none'; \
                      frame-ancestors 'none'; require-trusted-types-for 'script'";

pub(super) async fn serve(
    State(app): State<Arc<App>>,
    asset: &'static Asset,
) -> Result<Response, ApiError> {
    let enabled = {
        let settings = app.settings.borrow();
        match asset.page {
            Page::RelayCheck => settings.config.relay_check.enabled,
            Page::Room => settings.config.room_page.enabled,
            Page::Client => true,
        }
    };
    if !enabled {
        return Err(ApiError::not_found());
    }
    let headers = [
        (header::CONTENT_TYPE.as_str(), asset.media_type),
        // Always asked for again, so that an upgrade is never half a page.
        (header::CACHE_CONTROL.as_str(), "no-cache"),
        (header::CONTENT_SECURITY_POLICY.as_str(), POLICY),
        (
            "permissions-policy",
            "camera=(self), microphone=(self), display-capture=(self), geolocation=(), payment=(), usb=()",
        ),
        ("cross-origin-opener-policy", "same-origin"),
    ];
    Ok((headers, asset.text).into_response())
}
