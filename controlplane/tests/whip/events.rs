//! What a viewer is told while it views.

use std::time::Duration;

use forebay_controlplane::whip::{Viewed, ViewedLayer};
use reqwest::Response;

use crate::{Server, offer, refused};

/// What one reads until the text has arrived.
async fn until(response: &mut Response, heard: &mut String, text: &str) {
    while !heard.contains(text) {
        let piece = tokio::time::timeout(Duration::from_secs(20), response.chunk());
        let piece = piece.await.expect(text).unwrap().expect("it goes on");
        heard.push_str(std::str::from_utf8(&piece).unwrap());
    }
}

async fn open(server: &Server, list: &str) -> Response {
    let request = server
        .request("POST", "/whep/lobby/PA_1/sse")
        .bearer_auth("ada");
    let request = request.header("content-type", "application/json");
    request.body(list.to_owned()).send().await.unwrap()
}

#[tokio::test]
async fn changes_are_told_to_whoever_knows_the_streams_url() {
    let server = Server::start().await;
    server.post("/whep/lobby", offer("chromium-recvonly")).await;
    server.straw.viewed.lock().unwrap().viewers = 3;
    let all = server
        .request("POST", "/whep/lobby/PA_1/sse")
        .bearer_auth("ada");
    let all = all.send().await.unwrap();
    assert_eq!(all.status(), 201);
    let location = all.headers()["location"].to_str().unwrap().to_owned();
    assert_eq!(location, "/whep/lobby/PA_1/sse/stream0");
    let layers = open(&server, r#"["layers","scte35"]"#).await;
    let other = layers.headers()["location"].to_str().unwrap().to_owned();

    // No token: EventSource has none.
    let mut reading = server.request("GET", &location).send().await.unwrap();
    assert_eq!(reading.status(), 200);
    assert_eq!(reading.headers()["content-type"], "text/event-stream");
    let mut heard = String::new();
    let count = "event: viewercount\ndata: {\"viewercount\":3}\n\n";
    until(&mut reading, &mut heard, count).await;
    assert!(!heard.contains("active"), "nothing to begin with: {heard}");
    *server.straw.viewed.lock().unwrap() = Viewed {
        active: true,
        layers: [(
            1,
            vec![ViewedLayer {
                rid: Some("h".to_owned()),
                spatial_layer_id: 0,
                width: Some(320),
                height: None,
            }],
        )]
        .into(),
        viewers: 3,
    };
    until(&mut reading, &mut heard, "event: active\ndata: {}\n\n").await;
    let told =
        "event: layers\ndata: {\"1\":[{\"rid\":\"h\",\"spatialLayerId\":0,\"width\":320}]}\n\n";
    until(&mut reading, &mut heard, told).await;
    let mut one = server.request("GET", &other).send().await.unwrap();
    let mut alone = String::new();
    until(&mut one, &mut alone, told).await;
    assert_eq!(alone, told, "what it asked for, and nothing unknown");
    server.straw.viewed.lock().unwrap().active = false;
    until(&mut reading, &mut heard, "event: inactive\ndata: {}\n\n").await;
    assert_eq!(heard.matches("viewercount\":3").count(), 1, "{heard}");

    // Once it is deleted the stream ends, and is not there any more.
    let delete = |token: &'static str| {
        let request = server.request("DELETE", &location).bearer_auth(token);
        request.send()
    };
    assert_eq!(
        refused(delete("bob").await.unwrap(), 404).await,
        "not_found"
    );
    assert_eq!(delete("ada").await.unwrap().status(), 200);
    assert_eq!(
        refused(delete("ada").await.unwrap(), 404).await,
        "not_found"
    );
    while reading.chunk().await.unwrap().is_some() {}
    let again = server.request("GET", &location).send().await.unwrap();
    assert_eq!(refused(again, 404).await, "not_found");
}

#[tokio::test]
async fn opening_a_stream_takes_a_token_and_a_list() {
    let server = Server::start().await;
    server.post("/whep/lobby", offer("chromium-recvonly")).await;
    let anonymous = server.request("POST", "/whep/lobby/PA_1/sse");
    let anonymous = anonymous.send().await.unwrap();
    assert_eq!(refused(anonymous, 401).await, "unauthorized");
    for body in ["", "{", "{}", "[1]", "\"layers\""] {
        let answer = open(&server, body).await;
        assert_eq!(refused(answer, 400).await, "bad_request", "{body:?}");
    }
    let long = format!("[{}\"layers\"]", "\"layers\",".repeat(200));
    assert_eq!(refused(open(&server, &long).await, 413).await, "too_large");
    let nobody = server.request("POST", "/whep/lobby/PA_2/sse");
    let nobody = nobody.bearer_auth("ada").send().await.unwrap();
    assert_eq!(refused(nobody, 404).await, "not_found");
}
