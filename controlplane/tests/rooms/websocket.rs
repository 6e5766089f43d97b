//! The real binary's WebSocket, over a data plane of straw.

use std::net::SocketAddr;
use std::time::Duration;

use forebay_controlplane::rooms::ids::{Identity, RoomName};
use forebay_controlplane::settings::unix_now;
use forebay_controlplane::tokens::{Access, Grants};
use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use crate::hall::{answer_to, keys, recorded};
use crate::support::http::request;
use crate::support::straw::{Scene, Straw};
use crate::support::{ControlPlane, Place};

const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) fn place(rooms: &str, more: &str) -> Place {
    let place = Place::new();
    place.private("token.secret", "0123456789abcdef0123456789abcdef");
    place.configure_rooms(rooms, more);
    place
}

pub(crate) fn token(identity: &str, room: &str, grants: Grants) -> String {
    let access = Access {
        room: RoomName::new(room).unwrap(),
        identity: Identity::new(identity).unwrap(),
        name: String::new(),
        grants,
    };
    keys().mint(&access, unix_now() + 600).unwrap()
}

pub(crate) struct Client {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    next: u64,
    events: Vec<Value>,
}

impl Client {
    pub(crate) async fn open(address: SocketAddr) -> Self {
        let (socket, _) = connect_async(format!("ws://{address}/v1/ws"))
            .await
            .unwrap();
        Self {
            socket,
            next: 1,
            events: Vec::new(),
        }
    }

    pub(crate) async fn join(address: SocketAddr, identity: &str) -> (Self, Value) {
        let mut client = Self::open(address).await;
        let token = token(identity, "lobby", Grants::USUAL);
        let joined = client
            .ask(json!({ "type": "join", "version": 1, "token": token }))
            .await;
        assert_eq!(joined["type"], "joined", "{joined}");
        (client, joined)
    }

    async fn say(&mut self, text: String) {
        self.socket.send(Message::text(text)).await.unwrap();
    }

    /// Sends a request and waits for its answer; events are kept.
    pub(crate) async fn ask(&mut self, mut request: Value) -> Value {
        let id = self.next;
        self.next += 1;
        request["id"] = json!(id);
        self.say(request.to_string()).await;
        loop {
            let said = self.hear().await;
            if said["id"] == id {
                return said;
            }
            self.events.push(said);
        }
    }

    async fn hear(&mut self) -> Value {
        match timeout(PATIENCE, self.socket.next()).await.unwrap() {
            Some(Ok(Message::Text(text))) => serde_json::from_str(&text).unwrap(),
            Some(Ok(Message::Close(frame))) => {
                let code = frame.map(|f| u16::from(f.code));
                json!({ "type": "close", "code": code })
            }
            other => json!({ "type": "end", "why": format!("{other:?}") }),
        }
    }

    /// The next event of a type.
    pub(crate) async fn event(&mut self, name: &str) -> Value {
        if let Some(at) = self.events.iter().position(|e| e["type"] == name) {
            return self.events.remove(at);
        }
        loop {
            let said = self.hear().await;
            if said["type"] == name {
                return said;
            }
            assert_ne!(said["type"], "end", "before {name}: {said}");
            self.events.push(said);
        }
    }
}

#[tokio::test]
async fn from_join_to_subscription_over_a_restart_of_the_control_plane() {
    let place = place("", "");
    let straw = Straw::start(&place.socket(), Scene::with_media());
    let mut control = ControlPlane::start(&place);
    control.until_ready();
    let (mut ada, joined) = Client::join(control.address, "ada").await;
    assert_eq!(joined["version"], 1);
    assert_eq!(
        joined["ice_servers"][0]["urls"].as_array().unwrap().len(),
        2
    );
    let (mut bob, _) = Client::join(control.address, "bob").await;
    ada.event("participant_joined").await;
    let published = ada
        .ask(json!({ "type": "publish", "offer": recorded("chromium-simulcast"), "fresh": true }))
        .await;
    assert_eq!(published["type"], "published", "{published}");
    let tracks = published["tracks"].as_array().unwrap().len();
    let offer = bob.event("offer").await;
    let answer = answer_to(offer["offer"].as_str().unwrap(), "WXYZ");
    let done = bob
        .ask(json!({ "type": "answer", "revision": offer["revision"], "answer": answer }))
        .await;
    assert_eq!(done["type"], "ok", "{done}");
    straw.until("the subscriptions", |scene| {
        (scene.plane.media.subscriptions.len() == tracks).then_some(())
    });
    assert_eq!(bob.ask(json!({ "type": "ping" })).await["type"], "pong");

    let before = straw.scene.lock().unwrap().plane.media.clone();
    control.kill();
    let control = ControlPlane::start(&place);
    control.until_ready();
    let mut ada = Client::open(control.address).await;
    let resumed = ada
        .ask(json!({ "type": "resume", "version": 1, "resume_token": joined["resume_token"] }))
        .await;
    assert_eq!(resumed["type"], "resumed", "{resumed}");
    assert_eq!(resumed["published"].as_array().unwrap().len(), tracks);
    assert_eq!(resumed["participants"][0]["identity"], "bob");
    let mut eve = Client::join(control.address, "eve").await.0;
    eve.event("offer").await;
    let scene = straw.scene.lock().unwrap();
    assert_eq!(scene.plane.media.tracks, before.tracks);
    assert_eq!(scene.plane.media.subscriptions, before.subscriptions);
}

#[tokio::test]
async fn the_first_message_decides() {
    let place = place("join_burst = 1000\n", "");
    let _straw = Straw::start(&place.socket(), Scene::with_media());
    let control = ControlPlane::start(&place);
    control.until_ready();
    let good = token("ada", "lobby", Grants::USUAL);
    let not_joining = token(
        "ada",
        "lobby",
        Grants {
            join: false,
            ..Grants::USUAL
        },
    );
    for (request, code) in [
        (json!({ "type": "ping" }), "bad_message"),
        (json!({ "type": "fly" }), "unknown_type"),
        (
            json!({ "type": "join", "version": 2, "token": good }),
            "version",
        ),
        (
            json!({ "type": "join", "version": 1, "token": "x.y.z" }),
            "unauthorized",
        ),
        (
            json!({ "type": "join", "version": 1, "token": not_joining }),
            "forbidden",
        ),
        (
            json!({ "type": "resume", "version": 1, "resume_token": good }),
            "resume_failed",
        ),
    ] {
        let mut client = Client::open(control.address).await;
        let refused = client.ask(request.clone()).await;
        assert_eq!(refused["code"], code, "{request}");
        assert_eq!(client.event("close").await["code"], 1008);
    }
    let mut client = Client::open(control.address).await;
    client
        .socket
        .send(Message::binary(vec![1, 2, 3]))
        .await
        .unwrap();
    assert_eq!(client.event("close").await["code"], 1003);
}

#[tokio::test]
async fn bad_requests_are_answered_and_end_nothing() {
    let place = place("", "");
    let _straw = Straw::start(&place.socket(), Scene::with_media());
    let control = ControlPlane::start(&place);
    control.until_ready();
    let (mut ada, _) = Client::join(control.address, "ada").await;
    for (request, code) in [
        (
            json!({ "type": "publish", "offer": "nonsense" }),
            "bad_offer",
        ),
        (
            json!({ "type": "unpublish", "track": "TR_AAAAAAAAAAA" }),
            "not_found",
        ),
        (json!({ "type": "unpublish", "track": 7 }), "bad_message"),
        (
            json!({ "type": "answer", "revision": 1, "answer": "" }),
            "not_found",
        ),
        (
            json!({ "type": "kick", "participant": "PA_AAAAAAAAAAA" }),
            "forbidden",
        ),
        (
            json!({ "type": "join", "version": 1, "token": "" }),
            "bad_message",
        ),
        (
            json!({ "type": "restart", "connection": "publisher" }),
            "bad_message",
        ),
        (
            json!({ "type": "message", "text": "x".repeat(5_000) }),
            "bad_message",
        ),
        (json!({ "type": "dance" }), "unknown_type"),
    ] {
        let answer = ada.ask(request.clone()).await;
        assert_eq!(answer["code"], code, "{request}: {answer}");
    }
    ada.say("{".to_owned()).await;
    assert_eq!(ada.event("error").await["code"], "bad_message");
    assert_eq!(ada.ask(json!({ "type": "ping" })).await["type"], "pong");
    assert_eq!(ada.ask(json!({ "type": "leave" })).await["type"], "ok");
    assert_eq!(ada.event("close").await["code"], 1000);
}

#[tokio::test]
async fn joins_and_sockets_of_one_address_are_bounded() {
    let place = place(
        "joins_per_second = 1\njoin_burst = 3\nwebsockets_per_address = 5\n",
        "",
    );
    let _straw = Straw::start(&place.socket(), Scene::with_media());
    let control = ControlPlane::start(&place);
    control.until_ready();
    let mut inside = Vec::new();
    for name in ["a", "b", "c"] {
        inside.push(Client::join(control.address, name).await);
    }
    let mut fourth = Client::open(control.address).await;
    let good = token("d", "lobby", Grants::USUAL);
    let refused = fourth
        .ask(json!({ "type": "join", "version": 1, "token": good }))
        .await;
    assert_eq!(refused["code"], "rate_limited");
    // WHIP and WHEP come in by the same door.
    for path in ["/whip/lobby", "/whep/lobby"] {
        let refused = request(control.address, "POST", path, &[], b"");
        assert_eq!(refused.status, 429, "{path}");
        assert_eq!(refused.header("retry-after"), Some("1"));
    }
    assert_eq!(fourth.event("close").await["code"], 1008);
    let mut idle = Vec::new();
    let url = format!("ws://{}/v1/ws", control.address);
    let refused = loop {
        match connect_async(&url).await {
            Ok(socket) => idle.push(socket),
            Err(error) => break error,
        }
        assert!(idle.len() < 6);
    };
    assert!(refused.to_string().contains("429"), "{refused}");
    let (mut first, _) = inside.remove(0);
    assert_eq!(first.ask(json!({ "type": "ping" })).await["type"], "pong");
}

#[tokio::test]
async fn silence_and_floods_end_a_websocket() {
    let place = place("silence = \"2s\"\nping_interval = \"1s\"\n", "");
    let _straw = Straw::start(&place.socket(), Scene::with_media());
    let control = ControlPlane::start(&place);
    control.until_ready();
    let (mut silent, _) = Client::join(control.address, "silent").await;
    assert_eq!(silent.event("close").await["code"], 1008);
    let (mut loud, _) = Client::join(control.address, "loud").await;
    for id in 0..400 {
        let ping = json!({ "type": "ping", "id": id }).to_string();
        if loud.socket.send(Message::text(ping)).await.is_err() {
            break;
        }
    }
    loop {
        let said = loud.hear().await;
        if said["type"] == "error" {
            assert_eq!(said["code"], "rate_limited");
            break;
        }
        assert_eq!(said["type"], "pong");
    }
}

#[tokio::test]
async fn a_restarted_data_plane_asks_everybody_to_reconnect_at_once() {
    let place = place("", "");
    let straw = Straw::start(&place.socket(), Scene::with_media());
    let control = ControlPlane::start(&place);
    control.until_ready();
    let (mut ada, _) = Client::join(control.address, "ada").await;
    let publish =
        json!({ "type": "publish", "offer": recorded("chromium-audio_video"), "fresh": true });
    let first = ada.ask(publish.clone()).await;
    straw.until("the tracks", |scene| {
        (scene.plane.media.tracks.len() == 2).then_some(())
    });
    let scene = Scene {
        plane: crate::hall::Plane {
            boot: 1,
            ..Default::default()
        },
        ..Scene::with_media()
    };
    drop(straw);
    let straw = Straw::start(&place.socket(), scene);
    let asked = ada.event("reconnect").await;
    assert_eq!(asked["connections"], json!(["publisher"]));
    let again = ada.ask(publish).await;
    assert_eq!(first["tracks"], again["tracks"]);
    straw.until("the tracks again", |scene| {
        (scene.plane.media.tracks.len() == 2).then_some(())
    });
}

#[tokio::test]
async fn a_stopping_server_says_so() {
    let place = place("", "");
    let _straw = Straw::start(&place.socket(), Scene::with_media());
    let mut control = ControlPlane::start(&place);
    control.until_ready();
    let (mut ada, _) = Client::join(control.address, "ada").await;
    control.signal(nix::sys::signal::Signal::SIGTERM);
    assert_eq!(ada.event("close").await["code"], 1001);
    assert!(control.until_gone().success());
}
