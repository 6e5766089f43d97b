//! Which codecs a room allows and prefers.

use forebay_controlplane::config;
use forebay_controlplane::rooms::ids::RoomName;
use forebay_controlplane::rooms::message::ErrorCode;
use forebay_controlplane::rooms::note::Way;
use forebay_controlplane::sdp::{CodecPolicy, VideoCodec};
use forebay_controlplane::tokens::Grants;
use serde_json::json;

use crate::api::call;
use crate::hall::{Hall, Person, access, recorded};
use crate::support::ControlPlane;
use crate::support::http::request;
use crate::support::straw::{Scene, Straw};
use crate::websocket::{Client, place, token};

fn lobby() -> RoomName {
    RoomName::new("lobby").unwrap()
}

fn only(video: &[VideoCodec], ordered: bool) -> Option<CodecPolicy> {
    Some(CodecPolicy {
        video: video.to_vec(),
        ordered,
    })
}

/// Names of the codecs in the answer to a Chromium, and of the tracks.
fn publish(hall: &mut Hall, person: &Person, offer: &str) -> (Vec<String>, Vec<&'static str>) {
    let whom = &person.entered.whom;
    let (answer, tracks) = hall
        .model
        .publish(hall.now, whom, &recorded(offer), &[], true)
        .unwrap();
    hall.settle();
    let maps = answer.lines().filter_map(|l| l.strip_prefix("a=rtpmap:"));
    let names = maps.filter_map(|map| Some(map.split_once(' ')?.1.split_once('/')?.0.to_owned()));
    let codecs = tracks.iter().map(|track| track.track.codec).collect();
    (names.filter(|name| name != "rtx").collect(), codecs)
}

#[test]
fn the_configuration_allows_and_prefers() {
    let mut hall = Hall::with(config::Rooms {
        video_codecs: vec![VideoCodec::Av1, VideoCodec::Vp8],
        ..config::Rooms::default()
    });
    let ada = hall.join("ada");
    let (names, codecs) = publish(&mut hall, &ada, "chromium-audio_video");
    assert_eq!(names, ["opus", "VP8", "AV1"], "in the publisher's order");
    assert_eq!(codecs, ["opus", "vp8"]);
    let limits = config::Rooms {
        video_codecs_ordered: true,
        ..hall.limits.clone()
    };
    hall.model.configure(limits, crate::hall::keys());
    let (names, codecs) = publish(&mut hall, &ada, "chromium-audio_video");
    assert_eq!(names, ["opus", "AV1", "VP8"]);
    assert_eq!(codecs, ["opus", "av1"]);
}

#[test]
fn a_room_has_its_own_choice_before_during_and_after_a_call() {
    let mut hall = Hall::new();
    let room = lobby();
    hall.model
        .choose_codecs(&room, only(&[VideoCodec::Vp9, VideoCodec::Vp8], true))
        .unwrap();
    let ada = hall.join("ada");
    let (names, _) = publish(&mut hall, &ada, "chromium-audio_video");
    assert_eq!(names, ["opus", "VP9", "VP8"]);

    // It changes while they talk: from the next negotiation on.
    hall.model
        .choose_codecs(&room, only(&[VideoCodec::H264], false))
        .unwrap();
    hall.settle();
    assert_eq!(
        hall.model.room(&room).unwrap().0.codecs.video,
        [VideoCodec::H264]
    );
    let (names, codecs) = publish(&mut hall, &ada, "chromium-audio_video");
    assert_eq!(names, ["opus", "H264"]);
    assert_eq!(codecs, ["opus", "h264"]);

    // A restarted control plane reads it in the data plane's notes.
    hall.restart_control();
    assert_eq!(hall.model.codecs(&room).video, [VideoCodec::H264]);
    let bob = hall.join("bob");
    let (names, _) = publish(&mut hall, &bob, "chromium-audio_video");
    assert_eq!(names, ["opus", "H264"]);

    hall.model.choose_codecs(&room, None).unwrap();
    hall.settle();
    let (names, _) = publish(&mut hall, &bob, "chromium-audio_video");
    assert_eq!(names, ["opus", "VP8", "H264", "AV1", "VP9"]);
    hall.restart_control();
    assert_eq!(hall.model.codecs(&room), CodecPolicy::default());
}

#[test]
fn what_a_room_does_not_allow_is_no_track_and_no_session_of_whip() {
    let mut hall = Hall::new();
    hall.model
        .choose_codecs(&lobby(), only(&[VideoCodec::Vp9], false))
        .unwrap();
    let ada = hall.join("ada");
    // It knows VP8 alone.
    let (_, codecs) = publish(&mut hall, &ada, "gstreamer-audio_video");
    assert_eq!(codecs, ["opus"]);
    assert_eq!(hall.plane.media.tracks.len(), 1);
    let obs = hall
        .model
        .join(
            hall.now,
            access("obs", Grants::USUAL),
            Way::Whip,
            false,
            None,
        )
        .unwrap();
    let refused = hall
        .model
        .publish(
            hall.now,
            &obs.whom,
            &recorded("gstreamer-audio_video"),
            &[],
            true,
        )
        .unwrap_err();
    assert_eq!(refused.code, ErrorCode::Codec);
    hall.settle();
    assert_eq!(hall.plane.media.tracks.len(), 1);
}

#[test]
fn choices_are_bounded() {
    let mut hall = Hall::with(config::Rooms {
        max_rooms: 2,
        ..config::Rooms::default()
    });
    let mut choose = |room: &str, policy| {
        let room = RoomName::new(room).unwrap();
        hall.model.choose_codecs(&room, policy)
    };
    let vp8 = || only(&[VideoCodec::Vp8], false);
    choose("a", vp8()).unwrap();
    choose("b", vp8()).unwrap();
    assert_eq!(choose("c", vp8()).unwrap_err().code, ErrorCode::Limit);
    choose("a", only(&[VideoCodec::Av1], false)).unwrap();
    choose("a", None).unwrap();
    choose("c", vp8()).unwrap();
}

#[tokio::test]
async fn the_operator_chooses_by_the_api() {
    let place = place("", "");
    let _straw = Straw::start(&place.socket(), Scene::with_media());
    let control = ControlPlane::start(&place);
    control.until_ready();
    let path = "/v1/rooms/lobby/codecs";
    let put = |body: &serde_json::Value| call(&control, "PUT", path, Some(body));
    let usual = call(&control, "GET", path, None).json();
    assert_eq!(
        usual,
        json!({ "video": ["vp8", "vp9", "h264", "av1"], "ordered": false })
    );
    for bad in [
        json!({ "video": [] }),
        json!({ "video": ["vp8", "vp8"] }),
        json!({ "video": ["h265"] }),
        json!({ "video": ["vp8"], "audio": ["opus"] }),
        json!({ "ordered": true }),
    ] {
        assert_eq!(put(&bad).status, 422, "{bad}");
    }
    let chosen = put(&json!({ "video": ["vp9"] }));
    assert_eq!(chosen.status, 200);
    assert_eq!(chosen.json(), json!({ "video": ["vp9"], "ordered": false }));

    let (mut ada, _) = Client::join(control.address, "ada").await;
    let published = ada
        .ask(json!({ "type": "publish", "offer": recorded("chromium-audio_video"), "fresh": true }))
        .await;
    assert_eq!(published["tracks"][1]["track"]["codec"], "vp9");
    let room = call(&control, "GET", "/v1/rooms/lobby", None).json();
    assert_eq!(room["room"]["codecs"]["video"], json!(["vp9"]));
    let authorization = format!("Bearer {}", token("obs", "lobby", Grants::USUAL));
    let headers = [
        ("authorization", authorization.as_str()),
        ("content-type", "application/sdp"),
    ];
    let offer = recorded("gstreamer-audio_video");
    let refused = request(
        control.address,
        "POST",
        "/whip/lobby",
        &headers,
        offer.as_bytes(),
    );
    assert_eq!(
        (refused.status, refused.error().as_str()),
        (406, "not_acceptable")
    );

    assert_eq!(call(&control, "DELETE", path, None).status, 204);
    assert_eq!(call(&control, "GET", path, None).json(), usual);
    assert_eq!(
        call(&control, "PUT", "/v1/rooms/a%20b/codecs", None).status,
        404
    );
}
