//! Sessions that exist.

use forebay_controlplane::whip::LayerSelection;

use crate::{FRAGMENT, SDP, Server, offer, refused};

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
        r#"{"mediaId":1,"spatialLayerId":2,"maxSpatialLayerId":1,"rid":"f","maxHeight":360}"#,
        "{}",
    ] {
        assert_eq!(select(body).await.unwrap().status(), 200, "{body}");
    }
    let selected = server.straw.selected.lock().unwrap().clone();
    assert_eq!(selected[0].media_id, Some(1));
    assert_eq!(selected[0].encoding_id.as_deref(), Some("h"));
    assert_eq!(selected[0].temporal(), Some(1));
    assert_eq!(selected[1].spatial(), Some(1));
    assert_eq!(selected[1].encoding_id.as_deref(), Some("f"));
    assert_eq!(selected[1].max_height, Some(360));
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
