//! The sessions of WHIP and WHEP: participants of the rooms.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use axum::http::StatusCode;
use axum::http::request::Parts;
use serde_json::Value;

use super::{App, client_address, credentials};
use crate::rooms::ids::RoomName;
use crate::rooms::message::{ConnectionName, ErrorCode, LeaveReason};
use crate::rooms::model::{Failure, Whom};
use crate::sdp::LocalTransport;
use crate::tokens::{Access, TokenError};
use crate::whip::{
    Created, EventKind, IceServer, IceSession, LayerSelection, Protocol, Refused, Sessions, Viewed,
};

impl Sessions for App {
    type Access = Access;

    fn admit(&self, request: &Parts) -> Result<(), Refused> {
        let settings = self.settings.borrow().clone();
        let admitted = request
            .extensions
            .get::<SocketAddr>()
            .map(|peer| client_address(peer.ip(), &request.headers, &settings))
            .is_none_or(|client| self.admit_join(client));
        if admitted {
            Ok(())
        } else {
            Err(Refused::rate_limited())
        }
    }

    fn authorize(&self, token: &str, room: &str, protocol: Protocol) -> Result<Access, Refused> {
        let access =
            self.settings
                .borrow()
                .token_keys
                .verify(token)
                .map_err(|error| match error {
                    TokenError::NoKey => Refused::unavailable(error.to_string()),
                    _ => Refused::unauthorized(error.to_string()),
                })?;
        if access.room.as_str() != room {
            return Err(Refused::forbidden("the token is for another room"));
        }
        let (granted, name) = match protocol {
            Protocol::Whip => (access.grants.publish, "publish"),
            Protocol::Whep => (access.grants.subscribe, "subscribe"),
        };
        if !granted || !access.grants.join {
            return Err(Refused::forbidden(format!(
                "the token does not grant join and {name}"
            )));
        }
        Ok(access)
    }

    fn origins(&self) -> Vec<String> {
        self.settings.borrow().config.whip.origins.clone()
    }

    fn ice_servers(&self, _: &Access) -> Vec<IceServer> {
        let settings = self.settings.borrow().clone();
        let servers = credentials::ice_servers(self, &settings);
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        servers
            .as_array()
            .into_iter()
            .flatten()
            .flat_map(|server| {
                let urls = server["urls"].as_array().into_iter().flatten();
                urls.map(|url| IceServer {
                    url: text(url),
                    username: text(&server["username"]),
                    credential: text(&server["credential"]),
                })
            })
            .collect()
    }

    async fn create(
        &self,
        access: Access,
        protocol: Protocol,
        offer: String,
    ) -> Result<Created, Refused> {
        let (whom, answer) = match protocol {
            Protocol::Whip => self.rooms.ingest(access, offer).await,
            Protocol::Whep => self.rooms.play(access, offer).await,
        }
        .map_err(refused)?;
        let session = whom.id.to_string();
        let (_, ufrag, _) = self
            .rooms
            .ice_session(whom, connection(protocol))
            .await
            .map_err(refused)?;
        Ok(Created {
            session,
            answer,
            ufrag,
        })
    }

    async fn find(
        &self,
        access: &Access,
        protocol: Protocol,
        session: &str,
    ) -> Result<IceSession, Refused> {
        let whom = whom(&access.room, session)?;
        let (identity, local_ufrag, remote_ufrag) = self
            .rooms
            .ice_session(whom, connection(protocol))
            .await
            .map_err(refused)?;
        // Ids are seen by everybody in the room; the session is its owner's.
        if identity != access.identity {
            return Err(Refused::not_found());
        }
        Ok(IceSession {
            local_ufrag,
            remote_ufrag,
        })
    }

    async fn restart(
        &self,
        access: &Access,
        protocol: Protocol,
        session: &str,
        remote_ufrag: String,
    ) -> Result<LocalTransport, Refused> {
        let whom = whom(&access.room, session)?;
        self.rooms
            .restart_ice(whom, connection(protocol), remote_ufrag)
            .await
            .map_err(refused)
    }

    async fn remove(
        &self,
        access: &Access,
        protocol: Protocol,
        session: &str,
    ) -> Result<(), Refused> {
        self.find(access, protocol, session).await?;
        let whom = whom(&access.room, session)?;
        self.rooms
            .leave(whom, LeaveReason::Left)
            .await
            .map_err(refused)
    }

    async fn select(
        &self,
        access: &Access,
        session: &str,
        selection: LayerSelection,
    ) -> Result<(), Refused> {
        self.find(access, Protocol::Whep, session).await?;
        let whom = whom(&access.room, session)?;
        self.rooms
            .select_layer(whom, selection)
            .await
            .map_err(|failure| match failure.code {
                // The session was found: what is missing is in the body.
                ErrorCode::NotFound => Refused::unprocessable(failure.message),
                _ => refused(failure),
            })
    }

    async fn open_events(
        &self,
        access: &Access,
        session: &str,
        kinds: BTreeSet<EventKind>,
    ) -> Result<String, Refused> {
        self.find(access, Protocol::Whep, session).await?;
        let whom = whom(&access.room, session)?;
        self.rooms.open_events(whom, kinds).await.map_err(refused)
    }

    async fn viewed(
        &self,
        room: &str,
        session: &str,
        stream: &str,
    ) -> Result<(Viewed, BTreeSet<EventKind>), Refused> {
        if *self.stop.borrow() {
            return Err(Refused::unavailable("the server stops"));
        }
        let room = RoomName::new(room).map_err(|_| Refused::not_found())?;
        let whom = whom(&room, session)?;
        let stream = stream.to_owned();
        self.rooms.viewed(whom, stream).await.map_err(refused)
    }

    async fn close_events(
        &self,
        access: &Access,
        session: &str,
        stream: &str,
    ) -> Result<(), Refused> {
        self.find(access, Protocol::Whep, session).await?;
        let whom = whom(&access.room, session)?;
        let stream = stream.to_owned();
        self.rooms.close_events(whom, stream).await.map_err(refused)
    }
}

const fn connection(protocol: Protocol) -> ConnectionName {
    match protocol {
        Protocol::Whip => ConnectionName::Publisher,
        Protocol::Whep => ConnectionName::Subscriber,
    }
}

fn whom(room: &RoomName, session: &str) -> Result<Whom, Refused> {
    Ok(Whom {
        room: room.clone(),
        id: session.parse().map_err(|_| Refused::not_found())?,
    })
}

fn refused(failure: Failure) -> Refused {
    let Failure { code, message } = failure;
    match code {
        ErrorCode::NotFound => Refused::not_found(),
        ErrorCode::Unauthorized | ErrorCode::ResumeFailed => Refused::unauthorized(message),
        ErrorCode::Forbidden => Refused::forbidden(message),
        ErrorCode::Limit => Refused::conflict(message),
        ErrorCode::RateLimited => Refused::rate_limited(),
        ErrorCode::Unavailable | ErrorCode::Slow => Refused::unavailable(message),
        ErrorCode::BadOffer => Refused::unprocessable(message),
        ErrorCode::Codec => Refused::not_acceptable(message),
        ErrorCode::BadMessage
        | ErrorCode::UnknownType
        | ErrorCode::Version
        | ErrorCode::BadAnswer
        | ErrorCode::StaleAnswer => Refused::new(StatusCode::BAD_REQUEST, "bad_request", message),
    }
}
