//! `GET /v1/ws`: one participant's signaling, as docs/signaling.md has it.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket, WebSocketUpgrade};
use axum::extract::{Extension, State};
use axum::http::HeaderMap;
use axum::response::Response;
use tokio::sync::mpsc;
use tokio::time::{timeout, timeout_at};

use super::error::ApiError;
use super::sockets::Place;
use super::{App, client_address};
use crate::rooms::message::{ErrorCode, MESSAGE_MAX, Numbered, Request, Said, VERSION, parse};
use crate::rooms::model::{Arrival, Entered, Failure, Outgoing, UNREAD};
use crate::rooms::note::Way;

/// How long the first message may take.
const OPENING: Duration = Duration::from_secs(10);
/// How long the peer may take to make room for a message.
const WRITING: Duration = Duration::from_secs(10);
/// Messages in a second...
const PER_SECOND: f64 = 50.0;
/// ... and at once.
const BURST: f64 = 200.0;

const NORMAL: u16 = 1000;
const AWAY: u16 = 1001;
const UNSUPPORTED: u16 = 1003;
const POLICY: u16 = 1008;
const AGAIN: u16 = 1013;

pub(super) async fn upgrade(
    State(app): State<Arc<App>>,
    Extension(peer): Extension<SocketAddr>,
    headers: HeaderMap,
    upgrade: WebSocketUpgrade,
) -> Result<Response, ApiError> {
    let settings = app.settings.borrow().clone();
    let client = client_address(peer.ip(), &headers, &settings);
    let rooms = &settings.config.rooms;
    let Some(place) = app
        .sockets
        .enter(client, rooms.websockets, rooms.websockets_per_address)
    else {
        app.metrics.rooms.websockets_refused.inc();
        return Err(ApiError::rate_limited());
    };
    Ok(upgrade
        .max_message_size(MESSAGE_MAX)
        .max_frame_size(MESSAGE_MAX)
        .on_upgrade(move |socket| async move {
            app.metrics.rooms.websockets.set(app.sockets.open() as u64);
            serve(&app, socket, client, place).await;
            app.metrics.rooms.websockets.set(app.sockets.open() as u64);
        }))
}

/// What ends a WebSocket from our side.
struct Close {
    code: u16,
    why: &'static str,
}

const fn close(code: u16, why: &'static str) -> Close {
    Close { code, why }
}

async fn serve(app: &App, mut socket: WebSocket, client: IpAddr, place: Place) {
    let mut stop = app.stop.clone();
    let (outbox, mut outgoing) = mpsc::channel(UNREAD);
    let opened = tokio::select! {
        opened = open(app, &mut socket, client, outbox) => opened,
        _ = stop.wait_for(|stop| *stop) => Err(close(AWAY, "the server stops")),
    };
    let end = match opened {
        Err(end) => end,
        Ok(entered) => {
            let end = tokio::select! {
                end = converse(app, &mut socket, &entered, &mut outgoing) => end,
                _ = stop.wait_for(|stop| *stop) => close(AWAY, "the server stops"),
            };
            app.rooms.detach(entered).await;
            end
        }
    };
    let frame = CloseFrame {
        code: end.code,
        reason: Utf8Bytes::from_static(end.why),
    };
    // The peer may be gone; nobody waits for it.
    let _ = timeout(WRITING, socket.send(Message::Close(Some(frame)))).await;
    drop(place);
}

/// The first message.
async fn open(
    app: &App,
    socket: &mut WebSocket,
    client: IpAddr,
    outbox: mpsc::Sender<Outgoing>,
) -> Result<Entered, Close> {
    let text = match timeout(OPENING, socket.recv()).await {
        Err(_) => return Err(close(POLICY, "no join in time")),
        Ok(None | Some(Err(_) | Ok(Message::Close(_)))) => return Err(close(NORMAL, "closed")),
        Ok(Some(Ok(Message::Text(text)))) => text,
        Ok(Some(Ok(_))) => return Err(close(UNSUPPORTED, "text only")),
    };
    let Numbered { id, request } = parse(&text);
    let refuse = |code, message: String| (id, Failure::new(code, message));
    let settings = app.settings.borrow().clone();
    let entered = async {
        let request = request.map_err(|(code, message)| refuse(code, message))?;
        let (Request::Join { version, .. } | Request::Resume { version, .. }) = &request else {
            return Err(refuse(
                ErrorCode::BadMessage,
                "join or resume first".to_owned(),
            ));
        };
        if *version != VERSION {
            return Err(refuse(
                ErrorCode::Version,
                format!("this server speaks version {VERSION}"),
            ));
        }
        if !app.admit_join(client) {
            return Err(refuse(
                ErrorCode::RateLimited,
                "too many joins from this address".to_owned(),
            ));
        }
        let arrival = Arrival {
            ice_servers: super::credentials::ice_servers(app, &settings),
            id: id.unwrap_or_default(),
        };
        let keys = &settings.token_keys;
        let entered = match request {
            Request::Join {
                token,
                auto_subscribe,
                ..
            } => {
                let access = keys
                    .verify(&token)
                    .map_err(|error| refuse(ErrorCode::Unauthorized, error.to_string()))?;
                let web = Some((outbox, arrival));
                app.rooms.join(access, Way::Web, auto_subscribe, web).await
            }
            Request::Resume { resume_token, .. } => {
                let resume = keys
                    .verify_resume(&resume_token)
                    .map_err(|error| refuse(ErrorCode::ResumeFailed, error.to_string()))?;
                app.rooms.resume(resume, outbox, arrival).await
            }
            _ => Err(Failure::new(ErrorCode::BadMessage, "join first")),
        };
        entered.map_err(|failure| (id, failure))
    };
    match entered.await {
        Ok(entered) => Ok(entered),
        Err((id, failure)) => {
            let said = error(id, failure.code, &failure.message);
            let _ = timeout(WRITING, socket.send(Message::Text(said))).await;
            Err(match failure.code {
                ErrorCode::Unavailable => close(AGAIN, "try again later"),
                _ => close(POLICY, "refused"),
            })
        }
    }
}

fn error(id: Option<u64>, code: ErrorCode, message: &str) -> Utf8Bytes {
    let said = Said::Error { id, code, message };
    serde_json::to_string(&said).unwrap_or_default().into()
}

async fn converse(
    app: &App,
    socket: &mut WebSocket,
    entered: &Entered,
    outgoing: &mut mpsc::Receiver<Outgoing>,
) -> Close {
    let silence = app.settings.borrow().config.rooms.silence;
    let mut heard = tokio::time::Instant::now();
    let mut budget = BURST;
    loop {
        tokio::select! {
            message = timeout_at(heard + silence, socket.recv()) => {
                let text = match message {
                    Err(_) => return close(POLICY, "nothing heard"),
                    Ok(None | Some(Err(_) | Ok(Message::Close(_)))) => return close(NORMAL, "closed"),
                    Ok(Some(Ok(Message::Binary(_)))) => return close(UNSUPPORTED, "text only"),
                    Ok(Some(Ok(Message::Ping(_) | Message::Pong(_)))) => {
                        heard = tokio::time::Instant::now();
                        continue;
                    }
                    Ok(Some(Ok(Message::Text(text)))) => text,
                };
                budget = (budget + heard.elapsed().as_secs_f64() * PER_SECOND).min(BURST) - 1.0;
                heard = tokio::time::Instant::now();
                app.metrics.rooms.messages.inc();
                if budget < 0.0 {
                    let said = error(None, ErrorCode::RateLimited, "too many messages");
                    let _ = timeout(WRITING, socket.send(Message::Text(said))).await;
                    return close(POLICY, "too many messages");
                }
                if app.rooms.message(entered.clone(), parse(&text)).await.is_err() {
                    return close(AWAY, "the server stops");
                }
            }
            message = outgoing.recv() => match message {
                Some(Outgoing::Text(text)) => {
                    match timeout(WRITING, socket.send(Message::Text(text))).await {
                        Ok(Ok(())) => {}
                        Ok(Err(_)) => return close(NORMAL, "closed"),
                        Err(_) => {
                            app.metrics.rooms.slow.inc();
                            return close(AGAIN, "events were not read in time");
                        }
                    }
                }
                Some(Outgoing::Close(code, why)) => return close(code, why),
                // The room gave up on us: the queue was full.
                None => {
                    let said = error(None, ErrorCode::Slow, "events were not read in time; resume");
                    let _ = timeout(WRITING, socket.send(Message::Text(said))).await;
                    return close(AGAIN, "events were not read in time");
                }
            },
        }
    }
}
