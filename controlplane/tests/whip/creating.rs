//! Offers in, sessions out; and who may ask.

use crate::{FRAGMENT, SDP, Server, offer, refused};

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
    let links = response.headers().get_all("link").iter().skip(2);
    let links: Vec<&str> = links.map(|link| link.to_str().unwrap()).collect();
    assert_eq!(
        links,
        [
            "</whep/lobby/PA_1/layer>; rel=\"urn:ietf:params:whep:ext:core:layer\"",
            "</whep/lobby/PA_1/sse>; rel=\"urn:ietf:params:whep:ext:core:server-sent-events\"; \
             events=\"active,inactive,layers,viewercount\""
        ]
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
        (
            "/whep/lobby/PA_1/sse",
            ["GET", "PUT", "PATCH", "DELETE"],
            "OPTIONS, POST",
        ),
        (
            "/whep/lobby/PA_1/sse/stream0",
            ["POST", "PUT", "PATCH", "TRACE"],
            "DELETE, GET, OPTIONS",
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
