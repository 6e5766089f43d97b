//! The operator's API.

use forebay_controlplane::tokens::Grants;
use serde_json::{Value, json};

use crate::hall::{keys, recorded};
use crate::support::http::{Answer, request};
use crate::support::straw::{Scene, Straw};
use crate::support::{ControlPlane, KEY, until};
use crate::websocket::{Client, place};

pub(crate) fn call(
    control: &ControlPlane,
    method: &str,
    path: &str,
    body: Option<&Value>,
) -> Answer {
    let authorization = format!("Bearer {KEY}");
    let headers = [
        ("authorization", authorization.as_str()),
        ("content-type", "application/json"),
    ];
    let body = body.map(ToString::to_string).unwrap_or_default();
    request(control.address, method, path, &headers, body.as_bytes())
}

#[tokio::test]
async fn rooms_are_shown_and_people_muted_and_removed() {
    let place = place("", "[calls]\ndatabase = \"calls.sqlite\"\n");
    let _straw = Straw::start(&place.socket(), Scene::with_media());
    let control = ControlPlane::start(&place);
    control.until_ready();
    let (mut ada, joined) = Client::join(control.address, "ada").await;
    let published = ada
        .ask(json!({ "type": "publish", "offer": recorded("chromium-audio_video"), "fresh": true }))
        .await;
    assert_eq!(published["type"], "published");
    let id = joined["participant"]["id"].as_str().unwrap();

    let rooms = call(&control, "GET", "/v1/rooms", None).json();
    assert_eq!(rooms["rooms"][0]["name"], "lobby");
    assert_eq!(rooms["rooms"][0]["tracks"], 2);
    let room = call(&control, "GET", "/v1/rooms/lobby", None).json();
    assert_eq!(room["participants"][0]["identity"], "ada");
    let path = format!("/v1/rooms/lobby/participants/{id}");
    let one = call(&control, "GET", &path, None).json();
    assert_eq!(one["participant"]["published"].as_array().unwrap().len(), 2);
    let nodes = call(&control, "GET", "/v1/nodes", None).json();
    assert_eq!(nodes["nodes"][0]["media"]["connected"], true);
    assert_eq!(
        nodes["nodes"][0]["media"]["workers"]
            .as_array()
            .unwrap()
            .len(),
        2
    );

    let muted = call(&control, "POST", &format!("{path}/mute"), None);
    assert_eq!(muted.status, 200);
    assert_eq!(ada.event("track_muted").await["by"], "admin");
    let unmuted = call(
        &control,
        "POST",
        &format!("{path}/mute"),
        Some(&json!({ "muted": false })),
    );
    assert_eq!(unmuted.json()["tracks"].as_array().unwrap().len(), 2);
    let gone = call(
        &control,
        "DELETE",
        &path,
        Some(&json!({ "reason": "enough" })),
    );
    assert_eq!(gone.status, 204);
    assert_eq!(ada.event("kicked").await["reason"], "enough");
    for (method, path) in [
        ("GET", path.as_str()),
        ("DELETE", path.as_str()),
        ("GET", "/v1/rooms/lobby"),
        ("GET", "/v1/rooms/a%20b"),
        ("GET", "/v1/rooms/lobby/participants/none"),
    ] {
        assert_eq!(call(&control, method, path, None).status, 404, "{path}");
    }

    let calls = until("the call's record", || {
        let calls = call(&control, "GET", "/v1/calls?limit=5", None);
        let ended = calls.status == 200 && calls.json()["calls"][0]["ended_at"].is_i64();
        ended.then(|| calls.json())
    });
    assert_eq!(calls["calls"][0]["room"], "lobby");
    let record = format!("/v1/calls/{}", calls["calls"][0]["id"].as_str().unwrap());
    let people = call(&control, "GET", &record, None).json();
    assert_eq!(people["participants"][0]["reason"], "kicked");
    assert_eq!(call(&control, "GET", "/v1/calls?after=x", None).status, 422);
    assert_eq!(call(&control, "GET", "/v1/calls/CA_none", None).status, 404);
}

#[tokio::test]
async fn everything_of_the_operator_wants_the_key() {
    let place = place("", "");
    let control = ControlPlane::start(&place);
    for (method, path) in [
        ("POST", "/v1/tokens"),
        ("GET", "/v1/rooms"),
        ("GET", "/v1/rooms/lobby/codecs"),
        ("PUT", "/v1/rooms/lobby/codecs"),
        ("DELETE", "/v1/rooms/lobby/codecs"),
        ("GET", "/v1/rooms/lobby"),
        ("GET", "/v1/rooms/lobby/participants/PA_AAAAAAAAAAA"),
        ("DELETE", "/v1/rooms/lobby/participants/PA_AAAAAAAAAAA"),
        ("POST", "/v1/rooms/lobby/participants/PA_AAAAAAAAAAA/mute"),
        ("GET", "/v1/nodes"),
        ("GET", "/v1/calls"),
        ("GET", "/v1/calls/CA_AAAAAAAAAAA"),
    ] {
        let answer = request(control.address, method, path, &[], b"");
        assert_eq!(answer.status, 401, "{method} {path}");
        let token = crate::websocket::token("ada", "lobby", Grants::USUAL);
        let bearer = format!("Bearer {token}");
        let headers = [("authorization", bearer.as_str())];
        let answer = request(control.address, method, path, &headers, b"");
        assert_eq!(answer.status, 401, "{method} {path} with a room's token");
    }
    assert_eq!(
        call(&control, "GET", "/v1/calls", None).status,
        404,
        "no database"
    );
}

#[tokio::test]
async fn tokens_are_made_for_rooms() {
    let place = place("", "");
    let control = ControlPlane::start(&place);
    let wish = json!({ "room": "lobby", "identity": "ada", "name": "Ada", "ttl": 60 });
    let made = call(&control, "POST", "/v1/tokens", Some(&wish)).json();
    let access = keys().verify(made["token"].as_str().unwrap()).unwrap();
    assert_eq!(access.name, "Ada");
    assert_eq!(access.grants, Grants::USUAL);
    for wish in [
        json!({}),
        json!({ "room": "a b", "identity": "ada" }),
        json!({ "room": "lobby", "identity": "" }),
        json!({ "room": "lobby", "identity": "ada", "ttl": 0 }),
        json!({ "room": "lobby", "identity": "ada", "colour": "blue" }),
    ] {
        let refused = call(&control, "POST", "/v1/tokens", Some(&wish));
        assert_eq!(refused.status, 422, "{wish}");
    }
    let place = crate::support::Place::new();
    let control = ControlPlane::start(&place);
    let refused = call(&control, "POST", "/v1/tokens", Some(&wish));
    assert_eq!(refused.status, 503, "without token_keys");
}

#[tokio::test]
async fn a_database_that_fails_stops_no_call() {
    let place = place("", "[calls]\ndatabase = \"/nowhere/calls.sqlite\"\n");
    let _straw = Straw::start(&place.socket(), Scene::with_media());
    let control = ControlPlane::start(&place);
    control.until_ready();
    let (mut ada, _) = Client::join(control.address, "ada").await;
    let published = ada
        .ask(json!({ "type": "publish", "offer": recorded("chromium-audio_video"), "fresh": true }))
        .await;
    assert_eq!(published["type"], "published");
    assert_eq!(call(&control, "GET", "/v1/calls", None).status, 503);
}
