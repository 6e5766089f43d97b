//! The control plane dies and is started again; so does the data plane.

use std::time::Duration;

use crate::hall::Hall;

#[test]
fn a_restarted_control_plane_knows_its_rooms_and_touches_nothing() {
    let mut hall = Hall::new();
    let mut ada = hall.join("ada");
    let tracks = hall.publish(&ada, "chromium-simulcast", true);
    let mut bob = hall.join("bob");
    hall.answer(&mut bob).unwrap();
    let before = hall.plane.media.clone();
    let (ada_token, bob_token) = (ada.resume_token(), bob.resume_token());

    hall.restart_control();
    assert_eq!(hall.plane.media, before, "nothing is changed");
    let mut ada = hall.resume(&ada_token).unwrap();
    let resumed = ada.last("resumed").unwrap();
    let published = resumed["published"].as_array().unwrap();
    let known: Vec<_> = published
        .iter()
        .map(|p| p["track"]["id"].as_str().unwrap().to_owned())
        .collect();
    let (mut left, mut right) = (known, tracks);
    left.sort();
    right.sort();
    assert_eq!(left, right);
    let mut bob = hall.resume(&bob_token).unwrap();
    while hall.answer(&mut bob).is_some() {}
    hall.pass(Duration::from_secs(60));
    let media = &hall.plane.media;
    assert!(media.subscriptions.keys().eq(before.subscriptions.keys()));
    assert!(media.tracks == before.tracks);

    // Life goes on: renegotiation, and somebody who joins late.
    let again = hall.publish(&ada, "chromium-simulcast", false);
    assert_eq!(again.len(), published.len());
    assert_eq!(bob.count("track_published"), 0, "they are the same tracks");
    let mut eve = hall.join("eve");
    hall.answer(&mut eve).unwrap();
    assert_eq!(
        hall.plane.media.subscriptions.len(),
        2 * before.subscriptions.len()
    );
    hall.publish(&eve, "firefox-audio_video", true);
    let offer = hall.answer(&mut bob).unwrap();
    assert_eq!(offer["fresh"], false);
    assert_eq!(
        offer["tracks"].as_array().unwrap().len(),
        before.subscriptions.len() + 2
    );
}

#[test]
fn whoever_does_not_come_back_after_a_restart_is_reaped() {
    let mut hall = Hall::new();
    let ada = hall.join("ada");
    hall.publish(&ada, "chromium-audio_video", true);
    hall.restart_control();
    assert_eq!(hall.model.rooms().len(), 1);
    hall.pass(Duration::from_secs(31));
    assert!(hall.model.rooms().is_empty());
    assert!(hall.plane.media.sessions.is_empty());
}

#[test]
fn a_participant_without_media_comes_back_by_its_token_alone() {
    let mut hall = Hall::new();
    let mut ada = hall.join("ada");
    let token = ada.resume_token();
    hall.restart_control();
    assert!(hall.model.rooms().is_empty());
    let again = hall.resume(&token).unwrap();
    assert_eq!(again.entered.whom, ada.entered.whom);
    assert_eq!(hall.model.rooms()[0].participants, 1);
}

#[test]
fn a_mute_outlives_the_control_plane() {
    let mut hall = Hall::new();
    let ada = hall.join("ada");
    let tracks = hall.publish(&ada, "chromium-audio_video", true);
    hall.model
        .mute(
            &ada.entered.whom.room,
            None,
            tracks[0].parse().unwrap(),
            true,
        )
        .unwrap();
    hall.settle();
    hall.restart_control();
    let mut bob = hall.join("bob");
    let joined = bob.last("joined").unwrap();
    let muted = joined["participants"][0]["tracks"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|t| t["muted"] == true)
        .count();
    assert_eq!(muted, 1);
    let refused = hall.model.mute(
        &ada.entered.whom.room,
        Some(ada.entered.whom.id),
        tracks[0].parse().unwrap(),
        false,
    );
    assert!(refused.is_err(), "an admin muted it");
}

#[test]
fn foreign_media_is_cleared_away() {
    let mut hall = Hall::new();
    let ada = hall.join("ada");
    hall.publish(&ada, "chromium-audio_video", true);
    for session in hall.plane.media.sessions.values_mut() {
        session.note = forebay_ipc::Bytes::new(*b"somebody else's").unwrap();
    }
    hall.restart_control();
    assert!(hall.plane.media.sessions.is_empty() && hall.plane.media.tracks.is_empty());
    assert!(hall.model.rooms().is_empty());
}

#[test]
fn after_a_restart_of_the_data_plane_everybody_reconnects_and_keeps_the_tracks() {
    let mut hall = Hall::new();
    let mut ada = hall.join("ada");
    let tracks = hall.publish(&ada, "chromium-audio_video", true);
    let mut bob = hall.join("bob");
    hall.answer(&mut bob).unwrap();
    hall.restart_data();
    assert_eq!(
        ada.last("reconnect").unwrap()["connections"],
        serde_json::json!(["publisher"])
    );
    assert_eq!(
        bob.last("reconnect").unwrap()["connections"],
        serde_json::json!(["subscriber"])
    );
    let again = hall.publish(&ada, "chromium-audio_video", true);
    assert_eq!(again, tracks);
    let offer = hall.answer(&mut bob).unwrap();
    assert_eq!(offer["fresh"], true);
    assert_eq!(hall.plane.media.subscriptions.len(), 2);
    assert_eq!(bob.count("track_unpublished"), 0);
}

#[test]
fn who_was_away_during_the_restart_is_told_on_return() {
    let mut hall = Hall::new();
    let mut ada = hall.join("ada");
    hall.publish(&ada, "chromium-audio_video", true);
    let token = ada.resume_token();
    hall.model.detach(hall.now, &ada.entered);
    hall.restart_data();
    let mut ada = hall.resume(&token).unwrap();
    let resumed = ada.last("resumed").unwrap();
    assert_eq!(resumed["reconnect"], serde_json::json!(["publisher"]));
    assert_eq!(resumed["published"].as_array().unwrap().len(), 0);
}

#[test]
fn sessions_that_ended_while_nobody_listened_are_noticed() {
    let mut hall = Hall::new();
    let mut ada = hall.join("ada");
    hall.publish(&ada, "chromium-audio_video", true);
    hall.model.on_disconnected();
    let session = *hall.plane.media.sessions.keys().next().unwrap();
    hall.plane.remove(session);
    hall.connect();
    assert_eq!(
        ada.last("reconnect").unwrap()["connections"],
        serde_json::json!(["publisher"])
    );
    assert!(hall.plane.media.sessions.is_empty());
}

#[test]
fn who_joins_without_a_data_plane_is_served_once_there_is_one() {
    let mut hall = Hall::without_data_plane(Default::default());
    let ada = hall.join("ada");
    let error = hall
        .model
        .publish(
            hall.now,
            &ada.entered.whom,
            &crate::hall::recorded("chromium-audio_video"),
            &[],
            true,
        )
        .unwrap_err();
    assert_eq!(
        error.code,
        forebay_controlplane::rooms::message::ErrorCode::Unavailable
    );
    hall.connect();
    hall.publish(&ada, "chromium-audio_video", true);
    assert_eq!(hall.plane.media.tracks.len(), 2);
}
