//! WHIP and WHEP as HTTP: statuses, headers and bounds, over rooms of straw.

#![allow(clippy::unwrap_used, clippy::panic, reason = "test code")]

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use forebay_controlplane::sdp::{LocalTransport, PublisherOffer, ViewerOffer};
use forebay_controlplane::whip::{
    Created, IceServer, IceSession, LayerSelection, Protocol, Refused, Sessions, router,
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
}

fn local(ufrag: &str) -> LocalTransport {
    LocalTransport {
        ufrag: ufrag.to_owned(),
        password: "0123456789abcdefghijkl".to_owned(),
        fingerprint: Fingerprint([7; 32]),
        candidates: vec!["203.0.113.7:7882".parse().unwrap()],
    }
}

impl Sessions for Straw {
    type Access = String;

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

#[tokio::test]
async fn an_offer_becomes_a_session_with_everything_a_client_needs() {
    let server = Server::start().await;
    let response = server
        .post("/whip/lobby", offer("chromium-simulcast"))
        .await;
    assert_eq!(response.status(), 201);
    let headers = response.headers();
    assert_eq!(headers["content-type"], SDP);
    assert_eq!(headers["location"], "/whip/lobby/PA_1");
    assert_eq!(headers["etag"], "\"loc1\"");
    assert_eq!(headers["accept-patch"], FRAGMENT);
    let links: Vec<&str> = headers
        .get_all("link")
        .iter()
        .map(|link| link.to_str().unwrap())
        .collect();
    assert_eq!(
        links,
        [
            "<stun:turn.example:3478>; rel=\"ice-server\"",
            "<turn:turn.example:3478?transport=udp>; rel=\"ice-server\"; \
             username=\"1790000000:ada\"; credential=\"c2VjcmV0\"; credential-type=\"password\""
        ]
    );
    let answer = response.text().await.unwrap();
    assert!(answer.starts_with("v=0\r\n") && answer.contains("a=simulcast:recv q;h;f"));

    let response = server.post("/whep/lobby", offer("firefox-recvonly")).await;
    assert_eq!(response.status(), 201);
    let last = response.headers().get_all("link").iter().last().unwrap();
    assert_eq!(
        last,
        "</whep/lobby/PA_1/layer>; rel=\"urn:ietf:params:whep:ext:core:layer\""
    );
}

#[tokio::test]
async fn what_is_no_offer_is_refused_with_the_right_status() {
    let server = Server::start().await;
    let send = |body: String, content_type: &'static str| {
        let request = server.request("POST", "/whip/lobby").bearer_auth("ada");
        request
            .header("content-type", content_type)
            .body(body)
            .send()
    };
    let good = offer("chromium-audio_video");
    let typed = send(good.clone(), "application/json").await.unwrap();
    assert_eq!(refused(typed, 415).await, "media_type");
    let typed = send(good.clone(), "application/sdp; charset=utf-8").await;
    assert_eq!(typed.unwrap().status(), 201);
    for garbage in [
        "",
        "hello",
        "v=0\r\n",
        "{\"sdp\":\"v=0\"}",
        "\0\u{1}\u{ffff}",
    ] {
        let response = send(garbage.to_owned(), SDP).await.unwrap();
        assert_eq!(refused(response, 400).await, "bad_request", "{garbage:?}");
    }
    let response = send("x".repeat(70_000), SDP).await.unwrap();
    assert_eq!(refused(response, 413).await, "too_large");
    let bytes = server.request("POST", "/whip/lobby").bearer_auth("ada");
    let bytes = bytes.header("content-type", SDP).body(vec![0xff_u8; 100]);
    assert_eq!(
        refused(bytes.send().await.unwrap(), 400).await,
        "bad_request"
    );

    let passive = good.replace("setup:actpass", "setup:passive");
    assert_eq!(
        refused(send(passive, SDP).await.unwrap(), 422).await,
        "unprocessable"
    );
    let silent = offer("chromium-recvonly");
    assert_eq!(
        refused(send(silent, SDP).await.unwrap(), 422).await,
        "unprocessable"
    );
    let data = offer("chromium-data_only");
    assert_eq!(
        refused(send(data, SDP).await.unwrap(), 422).await,
        "unprocessable"
    );
    let half = good.replace("opus/48000/2", "sirius/48000/2");
    assert_eq!(
        refused(send(half, SDP).await.unwrap(), 406).await,
        "not_acceptable"
    );

    let sender = good.replace("a=sendrecv", "a=sendonly");
    let response = server.post("/whep/lobby", sender).await;
    assert_eq!(refused(response, 422).await, "unprocessable");
}

#[tokio::test]
async fn a_token_for_the_room_is_needed_everywhere() {
    let server = Server::start().await;
    let body = || offer("chromium-audio_video");
    let anonymous = server
        .request("POST", "/whip/lobby")
        .header("content-type", SDP);
    let response = anonymous.body(body()).send().await.unwrap();
    assert!(
        response.headers()["www-authenticate"]
            .to_str()
            .unwrap()
            .starts_with("Bearer")
    );
    assert_eq!(refused(response, 401).await, "unauthorized");
    for (authorization, room, status) in [
        ("Bearer nobody", "lobby", 401),
        ("Basic YWRh", "lobby", 401),
        ("Bearer", "lobby", 401),
        ("Bearer mute", "lobby", 403),
        ("Bearer ada", "elsewhere", 403),
        ("bearer ada", "lobby", 201),
    ] {
        let request = server.request("POST", &format!("/whip/{room}"));
        let request = request.header("authorization", authorization);
        let response = request
            .header("content-type", SDP)
            .body(body())
            .send()
            .await
            .unwrap();
        assert_eq!(response.status(), status, "{authorization} {room}");
    }
    for (method, path) in [
        ("PATCH", "/whip/lobby/PA_1"),
        ("DELETE", "/whip/lobby/PA_1"),
        ("POST", "/whep/lobby/PA_1/layer"),
    ] {
        let response = server.request(method, path).send().await.unwrap();
        assert_eq!(response.status(), 401, "{method} {path}");
        // Somebody else of the same room.
        let response = server.request(method, path).bearer_auth("bob");
        let response = match method {
            "PATCH" => response
                .header("content-type", FRAGMENT)
                .header("if-match", "*")
                .body("a=x\r\n"),
            "POST" => response
                .header("content-type", "application/json")
                .body("{}"),
            _ => response,
        };
        assert_eq!(
            response.send().await.unwrap().status(),
            404,
            "{method} {path}"
        );
    }
    let response = server.post("/whip/full", body()).await;
    assert_eq!(response.headers()["retry-after"], "1");
    assert_eq!(refused(response, 409).await, "limit");
}

#[tokio::test]
async fn candidates_are_accepted_and_ice_restarts_under_its_entity_tag() {
    let server = Server::start().await;
    let text = offer("chromium-audio_video");
    let ufrag = text
        .lines()
        .find_map(|line| line.strip_prefix("a=ice-ufrag:"))
        .unwrap();
    server.post("/whip/lobby", text.as_str()).await;

    let candidate = format!(
        "a=ice-ufrag:{ufrag}\r\na=ice-pwd:0123456789abcdefghijkl\r\n\
         m=audio 9 UDP/TLS/RTP/SAVPF 0\r\na=mid:0\r\n\
         a=candidate:1 1 udp 2122260223 192.0.2.1 61764 typ host\r\na=end-of-candidates\r\n"
    );
    for condition in ["\"loc1\"", "\"other\", \"loc1\"", "*"] {
        let response = server.patch(Some(condition), &candidate).await;
        assert_eq!(response.status(), 204, "{condition}");
        assert!(!response.headers().contains_key("etag"));
        assert_eq!(response.text().await.unwrap(), "");
    }
    let bare = "a=candidate:1 1 udp 1 192.0.2.1 9 typ host\r\n";
    assert_eq!(server.patch(Some("\"loc1\""), bare).await.status(), 204);
    let response = server.patch(None, &candidate).await;
    assert_eq!(refused(response, 428).await, "precondition_required");
    for condition in ["\"stale\"", "W/\"loc1\"", "loc1"] {
        let response = server.patch(Some(condition), &candidate).await;
        assert_eq!(
            refused(response, 412).await,
            "precondition_failed",
            "{condition}"
        );
    }

    let restart = "a=ice-ufrag:ysXw\r\na=ice-pwd:vw5LmwG4y/e6dPP/zAP9Gp5k\r\n";
    let response = server.patch(Some("\"loc1\""), restart).await;
    assert_eq!(refused(response, 422).await, "unprocessable");
    let response = server.patch(Some("*"), restart).await;
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["etag"], "\"loc2\"");
    assert_eq!(response.headers()["content-type"], FRAGMENT);
    let fragment = response.text().await.unwrap();
    assert_eq!(
        fragment,
        "a=ice-lite\r\na=ice-ufrag:loc2\r\na=ice-pwd:0123456789abcdefghijkl\r\n"
    );
    let response = server.patch(Some("\"loc1\""), bare).await;
    assert_eq!(refused(response, 412).await, "precondition_failed");
    assert_eq!(server.patch(Some("\"loc2\""), bare).await.status(), 204);

    for garbage in [
        "",
        "hello",
        "a=ice-ufrag:ysXw\r\n",
        "a=ice-pwd:vw5LmwG4y/e6dPP/zAP9Gp5k\r\n",
        "a=ice-ufrag:x y\r\na=ice-pwd:vw5LmwG4y/e6dPP/zAP9Gp5k\r\n",
        "v=0\r\no=- 1 1 IN IP4 0\r\n",
    ] {
        let response = server.patch(Some("*"), garbage).await;
        assert_eq!(refused(response, 400).await, "bad_request", "{garbage:?}");
    }
    let response = server.patch(Some("*"), &"a=x\r\n".repeat(5_000)).await;
    assert_eq!(refused(response, 413).await, "too_large");
    let typed = server
        .request("PATCH", "/whip/lobby/PA_1")
        .bearer_auth("ada");
    let typed = typed
        .header("content-type", SDP)
        .header("if-match", "*")
        .body(restart);
    assert_eq!(
        refused(typed.send().await.unwrap(), 415).await,
        "media_type"
    );
}

#[tokio::test]
async fn a_deleted_session_is_gone() {
    let server = Server::start().await;
    server
        .post("/whip/lobby", offer("gstreamer-audio_video"))
        .await;
    let delete = || {
        let request = server
            .request("DELETE", "/whip/lobby/PA_1")
            .bearer_auth("ada");
        request.header("if-match", "\"whatever\"").send()
    };
    assert_eq!(delete().await.unwrap().status(), 200);
    assert_eq!(refused(delete().await.unwrap(), 404).await, "not_found");
    let response = server.patch(Some("*"), "a=end-of-candidates\r\n").await;
    assert_eq!(refused(response, 404).await, "not_found");
}

#[tokio::test]
async fn other_methods_are_kept_for_the_future() {
    let server = Server::start().await;
    for (path, methods, allow) in [
        (
            "/whip/lobby",
            ["GET", "PUT", "PATCH", "DELETE"],
            "OPTIONS, POST",
        ),
        (
            "/whep/lobby",
            ["GET", "PUT", "PATCH", "DELETE"],
            "OPTIONS, POST",
        ),
        (
            "/whip/lobby/PA_1",
            ["GET", "PUT", "POST", "HEAD"],
            "DELETE, OPTIONS, PATCH",
        ),
        (
            "/whep/lobby/PA_1/layer",
            ["GET", "PUT", "PATCH", "DELETE"],
            "OPTIONS, POST",
        ),
    ] {
        for method in methods {
            let response = server
                .request(method, path)
                .bearer_auth("ada")
                .send()
                .await
                .unwrap();
            assert_eq!(response.status(), 405, "{method} {path}");
            assert_eq!(response.headers()["allow"], allow);
        }
    }
}

#[tokio::test]
async fn pages_of_allowed_origins_may_call() {
    let server = Server::start().await;
    let options = |origin: &'static str, path: &'static str| {
        let request = server.request("OPTIONS", path).header("origin", origin);
        request
            .header("access-control-request-method", "POST")
            .send()
    };
    let response = options("https://studio.example", "/whip/lobby")
        .await
        .unwrap();
    assert_eq!(response.status(), 200);
    let headers = response.headers();
    assert_eq!(headers["accept-post"], SDP);
    assert_eq!(
        headers["access-control-allow-origin"],
        "https://studio.example"
    );
    assert_eq!(headers["access-control-allow-methods"], "OPTIONS, POST");
    assert!(
        headers["access-control-allow-headers"]
            .to_str()
            .unwrap()
            .contains("authorization")
    );
    assert!(
        !headers.contains_key("link"),
        "no credentials without a token"
    );
    let response = options("https://studio.example", "/whip/lobby/PA_1")
        .await
        .unwrap();
    assert_eq!(response.headers()["accept-patch"], FRAGMENT);
    let response = options("https://evil.example", "/whip/lobby")
        .await
        .unwrap();
    assert!(
        !response
            .headers()
            .contains_key("access-control-allow-origin")
    );

    let request = server.request("POST", "/whip/lobby").bearer_auth("ada");
    let request = request
        .header("origin", "https://studio.example")
        .header("content-type", SDP);
    let response = request
        .body(offer("chromium-audio_video"))
        .send()
        .await
        .unwrap();
    let headers = response.headers();
    assert_eq!(
        headers["access-control-allow-origin"],
        "https://studio.example"
    );
    assert!(
        headers["access-control-expose-headers"]
            .to_str()
            .unwrap()
            .contains("location")
    );
    assert_eq!(headers["cross-origin-resource-policy"], "cross-origin");
    // A page must be able to read why it was refused, too.
    let request = server
        .request("POST", "/whip/lobby")
        .header("origin", "https://studio.example");
    let response = request.send().await.unwrap();
    assert_eq!(response.status(), 401);
    assert_eq!(
        response.headers()["access-control-allow-origin"],
        "https://studio.example"
    );
}

#[tokio::test]
async fn a_viewer_chooses_layers() {
    let server = Server::start().await;
    server.post("/whep/lobby", offer("chromium-recvonly")).await;
    let select = |body: &'static str| {
        let request = server
            .request("POST", "/whep/lobby/PA_1/layer")
            .bearer_auth("ada");
        request
            .header("content-type", "application/json")
            .body(body)
            .send()
    };
    for body in [
        r#"{"mediaId":"1","encodingId":"h","maxTemporalLayerId":1,"future":true}"#,
        r#"{"mediaId":1,"spatialLayerId":2,"maxSpatialLayerId":1}"#,
        "{}",
    ] {
        assert_eq!(select(body).await.unwrap().status(), 200, "{body}");
    }
    let selected = server.straw.selected.lock().unwrap().clone();
    assert_eq!(selected[0].media_id, Some(1));
    assert_eq!(selected[0].encoding_id.as_deref(), Some("h"));
    assert_eq!(selected[0].temporal(), Some(1));
    assert_eq!(selected[1].spatial(), Some(1));
    assert_eq!(selected[2], LayerSelection::default());
    for (body, status) in [
        ("[]", 400),
        ("{", 400),
        ("", 400),
        (r#"{"mediaId":"video"}"#, 422),
        (r#"{"spatialLayerId":-1}"#, 422),
        (r#"{"encodingId":7}"#, 422),
    ] {
        assert_eq!(select(body).await.unwrap().status(), status, "{body}");
    }
}
