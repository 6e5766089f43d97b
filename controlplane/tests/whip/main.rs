//! WHIP and WHEP as HTTP: statuses, headers and bounds, over rooms of straw.

#![allow(clippy::unwrap_used, clippy::panic, reason = "test code")]

mod creating;
mod events;
mod under_way;

use std::collections::{BTreeSet, HashMap};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::http::request::Parts;
use forebay_controlplane::sdp::{LocalTransport, PublisherOffer, ViewerOffer};
use forebay_controlplane::whip::{
    Created, EventKind, IceServer, IceSession, LayerSelection, Protocol, Refused, Sessions, Viewed,
    router,
};
use forebay_ipc::media::Fingerprint;
use reqwest::{Client, Method, RequestBuilder, Response};

const SDP: &str = "application/sdp";
const FRAGMENT: &str = "application/trickle-ice-sdpfrag";

/// Rooms that know the token of `ada` in `lobby`, and one that may nothing.
#[derive(Default)]
struct Straw {
    sessions: Mutex<HashMap<String, IceSession>>,
    selected: Mutex<Vec<LayerSelection>>,
    /// Open streams of events by name, and what they are about.
    streams: Mutex<HashMap<String, BTreeSet<EventKind>>>,
    viewed: Mutex<Viewed>,
}

fn local(ufrag: &str) -> LocalTransport {
    LocalTransport {
        ufrag: ufrag.to_owned(),
        password: "0123456789abcdefghijkl".to_owned(),
        fingerprint: Fingerprint([7; 32]),
        candidates: vec!["203.0.113.7:7882".parse().unwrap()],
        tcp_candidates: vec!["203.0.113.7:7881".parse().unwrap()],
    }
}

impl Sessions for Straw {
    type Access = String;

    fn admit(&self, _: &Parts) -> Result<(), Refused> {
        Ok(())
    }

    fn authorize(&self, token: &str, room: &str, _: Protocol) -> Result<String, Refused> {
        match (token, room) {
            ("ada" | "bob", "lobby" | "full") => Ok(format!("{token}@{room}")),
            ("ada" | "mute", _) => Err(Refused::forbidden("the token is for another room")),
            _ => Err(Refused::unauthorized("the token is not good")),
        }
    }

    fn origins(&self) -> Vec<String> {
        vec!["https://studio.example".to_owned()]
    }

    fn ice_servers(&self, _: &String) -> Vec<IceServer> {
        vec![
            IceServer {
                url: "stun:turn.example:3478".to_owned(),
                username: String::new(),
                credential: String::new(),
            },
            IceServer {
                url: "turn:turn.example:3478?transport=udp".to_owned(),
                username: "1790000000:ada".to_owned(),
                credential: "c2VjcmV0".to_owned(),
            },
        ]
    }

    async fn create(
        &self,
        access: String,
        protocol: Protocol,
        offer: String,
    ) -> Result<Created, Refused> {
        if access.ends_with("full") {
            return Err(Refused::conflict("the room is full"));
        }
        let (answer, remote) = match protocol {
            Protocol::Whip => {
                let offer = PublisherOffer::parse(&offer)?;
                let (answer, negotiated) = offer.answer(&local("loc1"))?;
                (answer, negotiated.remote)
            }
            Protocol::Whep => {
                let (answer, negotiated) =
                    ViewerOffer::parse(&offer)?.answer(&local("loc1"), "cname", &[])?;
                (answer, negotiated.remote)
            }
        };
        let ice = IceSession {
            local_ufrag: "loc1".to_owned(),
            remote_ufrag: remote.ufrag,
        };
        self.sessions.lock().unwrap().insert(access, ice);
        Ok(Created {
            session: "PA_1".to_owned(),
            answer,
            ufrag: "loc1".to_owned(),
        })
    }

    async fn find(
        &self,
        access: &String,
        _: Protocol,
        session: &str,
    ) -> Result<IceSession, Refused> {
        let sessions = self.sessions.lock().unwrap();
        let found = sessions.get(access).filter(|_| session == "PA_1");
        found.cloned().ok_or_else(Refused::not_found)
    }

    async fn restart(
        &self,
        access: &String,
        _: Protocol,
        _: &str,
        remote_ufrag: String,
    ) -> Result<LocalTransport, Refused> {
        let ice = IceSession {
            local_ufrag: "loc2".to_owned(),
            remote_ufrag,
        };
        self.sessions.lock().unwrap().insert(access.clone(), ice);
        Ok(local("loc2"))
    }

    async fn remove(&self, access: &String, _: Protocol, session: &str) -> Result<(), Refused> {
        self.find(access, Protocol::Whip, session).await?;
        self.sessions.lock().unwrap().remove(access);
        Ok(())
    }

    async fn select(
        &self,
        access: &String,
        session: &str,
        selection: LayerSelection,
    ) -> Result<(), Refused> {
        self.find(access, Protocol::Whep, session).await?;
        self.selected.lock().unwrap().push(selection);
        Ok(())
    }

    async fn open_events(
        &self,
        access: &String,
        session: &str,
        kinds: BTreeSet<EventKind>,
    ) -> Result<String, Refused> {
        self.find(access, Protocol::Whep, session).await?;
        let mut streams = self.streams.lock().unwrap();
        let name = format!("stream{}", streams.len());
        streams.insert(name.clone(), kinds);
        Ok(name)
    }

    async fn viewed(
        &self,
        _: &str,
        _: &str,
        stream: &str,
    ) -> Result<(Viewed, BTreeSet<EventKind>), Refused> {
        let kinds = self.streams.lock().unwrap().get(stream).cloned();
        let viewed = self.viewed.lock().unwrap().clone();
        kinds
            .map(|kinds| (viewed, kinds))
            .ok_or_else(Refused::not_found)
    }

    async fn close_events(
        &self,
        access: &String,
        session: &str,
        stream: &str,
    ) -> Result<(), Refused> {
        self.find(access, Protocol::Whep, session).await?;
        let closed = self.streams.lock().unwrap().remove(stream);
        closed.map(|_| ()).ok_or_else(Refused::not_found)
    }
}

struct Server {
    address: SocketAddr,
    straw: Arc<Straw>,
    client: Client,
}

impl Server {
    async fn start() -> Self {
        let straw = Arc::new(Straw::default());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = router(straw.clone());
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self {
            address,
            straw,
            client: Client::new(),
        }
    }

    fn request(&self, method: &str, path: &str) -> RequestBuilder {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        self.client
            .request(method, format!("http://{}{path}", self.address))
    }

    async fn post(&self, path: &str, offer: impl Into<String>) -> Response {
        let request = self.request("POST", path).bearer_auth("ada");
        let request = request.header("content-type", SDP).body(offer.into());
        request.send().await.unwrap()
    }

    async fn patch(&self, condition: Option<&str>, body: &str) -> Response {
        let mut request = self.request("PATCH", "/whip/lobby/PA_1").bearer_auth("ada");
        if let Some(condition) = condition {
            request = request.header("if-match", condition);
        }
        let request = request.header("content-type", FRAGMENT);
        request.body(body.to_owned()).send().await.unwrap()
    }
}

fn offer(name: &str) -> String {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/sdp/offers");
    std::fs::read_to_string(format!("{folder}/{name}.sdp")).unwrap()
}

async fn refused(response: Response, status: u16) -> String {
    assert_eq!(response.status(), status);
    let body: serde_json::Value = response.json().await.unwrap();
    assert!(!body["error"]["message"].as_str().unwrap().is_empty());
    body["error"]["code"].as_str().unwrap().to_owned()
}
