//! Being cut off, coming back, being sent away, and talking.

use std::time::Duration;

use forebay_controlplane::rooms::message::{ConnectionName, ErrorCode};
use forebay_controlplane::tokens::Grants;
use forebay_ipc::media::MediaEvent;

use crate::hall::Hall;

const ADMIN: Grants = Grants {
    admin: true,
    ..Grants::USUAL
};

#[test]
fn whoever_comes_back_in_time_finds_everything_as_it_was() {
    let mut hall = Hall::new();
    let mut ada = hall.join("ada");
    hall.publish(&ada, "chromium-audio_video", true);
    let mut bob = hall.join("bob");
    hall.answer(&mut bob).unwrap();
    let token = ada.resume_token();
    let before = hall.plane.media.clone();
    hall.model.detach(hall.now, &ada.entered);
    hall.pass(Duration::from_secs(29));
    assert_eq!(hall.plane.media, before, "media goes on");
    let mut again = hall.resume(&token).unwrap();
    let resumed = again.last("resumed").unwrap();
    assert_eq!(resumed["published"].as_array().unwrap().len(), 2);
    assert_eq!(resumed["reconnect"].as_array().unwrap().len(), 0);
    assert_eq!(resumed["participants"][0]["identity"], "bob");
    assert_eq!(again.entered.whom, ada.entered.whom);
    hall.pass(Duration::from_secs(60));
    assert_eq!(hall.plane.media, before);
    assert_eq!(bob.count("participant_left"), 0);
}

#[test]
fn whoever_does_not_come_back_is_reaped() {
    let mut hall = Hall::new();
    let mut ada = hall.join("ada");
    hall.publish(&ada, "chromium-audio_video", true);
    let mut bob = hall.join("bob");
    hall.answer(&mut bob).unwrap();
    let token = ada.resume_token();
    hall.model.detach(hall.now, &ada.entered);
    hall.pass(Duration::from_secs(31));
    assert_eq!(bob.last("participant_left").unwrap()["reason"], "timeout");
    assert!(hall.plane.media.subscriptions.is_empty());
    assert_eq!(hall.model.rooms()[0].participants, 1);
    hall.pass(Duration::from_secs(60));
    assert_eq!(
        hall.resume(&token).err().unwrap().code,
        ErrorCode::ResumeFailed
    );
}

#[test]
fn a_token_is_spent_once_its_successor_was_used() {
    let mut hall = Hall::new();
    let mut ada = hall.join("ada");
    let first = ada.resume_token();
    let second = hall.resume(&first).unwrap().resume_token();
    // The answer with the second may have been lost.
    let third = hall.resume(&first).unwrap().resume_token();
    assert!(hall.resume(&third).is_ok());
    assert_eq!(
        hall.resume(&first).err().unwrap().code,
        ErrorCode::ResumeFailed
    );
    let _ = second;
}

#[test]
fn a_later_websocket_takes_over_and_the_earlier_ends() {
    let mut hall = Hall::new();
    let mut ada = hall.join("ada");
    let token = ada.resume_token();
    let again = hall.resume(&token).unwrap();
    assert_eq!(ada.last("close").unwrap()["code"], 1000);
    // The end of the earlier one is noticed late.
    hall.model.detach(hall.now, &ada.entered);
    hall.pass(Duration::from_secs(60));
    assert_eq!(hall.model.rooms()[0].participants, 1);
    assert_ne!(again.entered.number, ada.entered.number);
}

#[test]
fn an_offer_without_answer_is_made_again_on_return() {
    let mut hall = Hall::new();
    let ada = hall.join("ada");
    let mut bob = hall.join("bob");
    hall.publish(&ada, "chromium-audio_video", true);
    let lost = bob.last("offer").unwrap();
    let token = bob.resume_token();
    hall.model.detach(hall.now, &bob.entered);
    let mut again = hall.resume(&token).unwrap();
    let offer = again.last("offer").unwrap();
    assert!(offer["revision"].as_u64() > lost["revision"].as_u64());
    hall.answer(&mut again).unwrap();
    assert_eq!(hall.plane.media.subscriptions.len(), 2);
}

#[test]
fn the_same_identity_replaces_itself() {
    let mut hall = Hall::new();
    let mut first = hall.join("ada");
    let mut bob = hall.join("bob");
    hall.publish(&first, "chromium-audio_video", true);
    let second = hall.join("ada");
    assert!(first.last("kicked").is_some());
    assert_eq!(bob.last("participant_left").unwrap()["reason"], "replaced");
    assert_ne!(first.entered.whom, second.entered.whom);
    assert_eq!(hall.model.rooms()[0].participants, 2);
    assert!(hall.plane.media.tracks.is_empty());
}

#[test]
fn what_an_admin_muted_only_an_admin_unmutes() {
    let mut hall = Hall::new();
    let mut ada = hall.join("ada");
    let tracks = hall.publish(&ada, "chromium-audio_video", true);
    let track = tracks[0].parse().unwrap();
    let admin = hall.join_with("chair", ADMIN, true).unwrap();
    let bob = hall.join("bob");
    let room = ada.entered.whom.room.clone();
    let by = |person: &crate::hall::Person| Some(person.entered.whom.id);
    let refused = hall.model.mute(&room, by(&bob), track, true).unwrap_err();
    assert_eq!(refused.code, ErrorCode::Forbidden);
    hall.model.mute(&room, by(&admin), track, true).unwrap();
    hall.settle();
    assert_eq!(
        hall.plane.media.tracks.values().filter(|t| t.muted).count(),
        1
    );
    assert_eq!(ada.last("track_muted").unwrap()["by"], "admin");
    let refused = hall.model.mute(&room, by(&ada), track, false).unwrap_err();
    assert_eq!(refused.code, ErrorCode::Forbidden);
    hall.model.mute(&room, by(&admin), track, false).unwrap();
    hall.model.mute(&room, by(&ada), track, true).unwrap();
    assert_eq!(ada.last("track_muted").unwrap()["by"], "self");
    hall.model.mute(&room, by(&ada), track, false).unwrap();
    hall.settle();
    assert!(hall.plane.media.tracks.values().all(|t| !t.muted));
}

#[test]
fn an_admin_sends_somebody_away() {
    let mut hall = Hall::new();
    let mut ada = hall.join("ada");
    let admin = hall.join_with("chair", ADMIN, true).unwrap();
    let mut bob = hall.join("bob");
    let refused = hall
        .model
        .kick(hall.now, Some(bob.entered.whom.id), &ada.entered.whom, "no");
    assert_eq!(refused.unwrap_err().code, ErrorCode::Forbidden);
    hall.model
        .kick(
            hall.now,
            Some(admin.entered.whom.id),
            &ada.entered.whom,
            "too loud",
        )
        .unwrap();
    assert_eq!(ada.last("kicked").unwrap()["reason"], "too loud");
    assert_eq!(ada.last("close").unwrap()["code"], 1000);
    assert_eq!(bob.last("participant_left").unwrap()["reason"], "kicked");
    let token = ada.last("joined").unwrap()["resume_token"].clone();
    hall.pass(Duration::from_secs(60));
    assert!(hall.resume(token.as_str().unwrap()).is_err());
}

#[test]
fn text_goes_to_everybody_or_one() {
    let mut hall = Hall::new();
    let mut ada = hall.join("ada");
    let mut bob = hall.join("bob");
    let mut eve = hall.join("eve");
    hall.model
        .message(&ada.entered.whom, None, "hello")
        .unwrap();
    hall.model
        .message(&ada.entered.whom, Some(bob.entered.whom.id), "psst")
        .unwrap();
    assert_eq!((bob.count("message"), eve.count("message")), (2, 1));
    assert_eq!(bob.last("message").unwrap()["private"], true);
    assert_eq!(ada.count("message"), 0);
}

#[test]
fn who_does_not_read_is_cut_off_and_may_resume() {
    let mut hall = Hall::new();
    let ada = hall.join("ada");
    let mut slow = hall.join("slow");
    let token = slow.resume_token();
    for _ in 0..400 {
        hall.model.message(&ada.entered.whom, None, "more").unwrap();
    }
    assert!(slow.is_cut_off());
    assert_eq!(hall.metrics.slow.get(), 1);
    hall.pass(Duration::from_secs(5));
    assert!(hall.resume(&token).is_ok());
    hall.pass(Duration::from_secs(60));
    assert_eq!(hall.model.rooms()[0].participants, 2);
}

#[test]
fn a_lost_connection_is_to_be_made_anew_and_its_tracks_wait() {
    let mut hall = Hall::new();
    let mut ada = hall.join("ada");
    let tracks = hall.publish(&ada, "chromium-audio_video", true);
    let mut bob = hall.join("bob");
    hall.answer(&mut bob).unwrap();
    let session = hall.plane.media.tracks.values().next().unwrap().session;
    hall.event(&MediaEvent::Disconnected { session });
    assert_eq!(ada.last("connection").unwrap()["state"], "disconnected");
    hall.end(session);
    let asked = ada.last("reconnect").unwrap();
    assert_eq!(asked["connections"], serde_json::json!(["publisher"]));
    assert!(hall.plane.media.subscriptions.is_empty());
    let again = hall.publish(&ada, "chromium-audio_video", true);
    assert_eq!(again, tracks, "tracks keep their names");
    assert_eq!(bob.count("track_unpublished"), 0);
    while hall.answer(&mut bob).is_some() {}
    assert_eq!(hall.plane.media.subscriptions.len(), 2);

    let session = hall.plane.media.tracks.values().next().unwrap().session;
    hall.end(session);
    hall.pass(Duration::from_secs(16));
    assert_eq!(
        bob.count("track_unpublished"),
        2,
        "nobody brought them back"
    );
}

#[test]
fn a_subscriber_restarts_its_ice_or_begins_anew() {
    let mut hall = Hall::new();
    let ada = hall.join("ada");
    hall.publish(&ada, "chromium-audio_video", true);
    let mut bob = hall.join("bob");
    let first = hall.answer(&mut bob).unwrap();
    let ufrag = |offer: &serde_json::Value| -> String {
        let text = offer["offer"].as_str().unwrap();
        let line = text.lines().find(|l| l.starts_with("a=ice-ufrag:"));
        line.unwrap().to_owned()
    };
    let before = hall.plane.media.subscriptions.clone();
    hall.model
        .restart_subscriber(&bob.entered.whom, false)
        .unwrap();
    let second = hall.answer(&mut bob).unwrap();
    assert_eq!(second["fresh"], false);
    assert_ne!(ufrag(&first), ufrag(&second));
    assert_eq!(hall.plane.media.subscriptions, before);
    hall.model
        .restart_subscriber(&bob.entered.whom, true)
        .unwrap();
    let third = hall.answer(&mut bob).unwrap();
    assert_eq!(third["fresh"], true);
    assert_eq!(hall.plane.media.subscriptions.len(), 2);
    assert!(
        hall.plane
            .media
            .subscriptions
            .keys()
            .all(|key| !before.contains_key(key))
    );
}

#[test]
fn a_publishers_new_credentials_restart_its_ice_on_the_same_session() {
    let mut hall = Hall::new();
    let ada = hall.join("ada");
    let whom = ada.entered.whom.clone();
    hall.publish(&ada, "chromium-audio_video", true);
    let sessions: Vec<_> = hall.plane.media.sessions.keys().copied().collect();
    let tracks = hall.plane.media.tracks.clone();
    let (_, ours, theirs) = hall
        .model
        .ice_session(&whom, ConnectionName::Publisher)
        .unwrap();
    let offer = crate::hall::recorded("chromium-audio_video");
    let restarted = offer.replace(&format!("a=ice-ufrag:{theirs}"), "a=ice-ufrag:NEW1");
    hall.model
        .publish(hall.now, &whom, &restarted, &[], false)
        .unwrap();
    hall.settle();
    let (_, new, seen) = hall
        .model
        .ice_session(&whom, ConnectionName::Publisher)
        .unwrap();
    assert_ne!(ours, new);
    assert_eq!(seen, "NEW1");
    assert!(hall.plane.media.sessions.keys().eq(&sessions));
    assert_eq!(hall.plane.media.tracks, tracks);
}
