//! From an offer to somebody else's subscription.

use forebay_controlplane::rooms::message::{ErrorCode, LeaveReason, Published, Source};
use forebay_controlplane::rooms::note::Way;
use forebay_controlplane::tokens::Grants;
use forebay_ipc::media::SubscriptionMode;

use crate::hall::{Hall, access, recorded};

#[test]
fn what_one_publishes_the_others_get() {
    let mut hall = Hall::new();
    let mut ada = hall.join("ada");
    let mut bob = hall.join("bob");
    let tracks = hall.publish(&ada, "chromium-simulcast", true);
    assert_eq!(
        hall.plane.media.sessions.len(),
        2,
        "Ada's and, offered, Bob's"
    );
    let told = bob.last("track_published").unwrap();
    assert!(tracks.contains(&told["track"]["id"].as_str().unwrap().to_owned()));
    let offer = hall.answer(&mut bob).unwrap();
    assert_eq!(offer["fresh"], true);
    assert_eq!(offer["tracks"].as_array().unwrap().len(), tracks.len());
    let media = &hall.plane.media;
    assert_eq!(media.subscriptions.len(), tracks.len());
    let mut ssrcs = Vec::new();
    for subscription in media.subscriptions.values() {
        assert!(!subscription.payload_types.is_empty());
        let SubscriptionMode::Select { ssrc, .. } = subscription.mode else {
            panic!("a browser gets one stream");
        };
        let text = offer["offer"].as_str().unwrap();
        assert!(text.contains(&format!("a=ssrc:{ssrc} ")));
        ssrcs.push(ssrc);
        assert_eq!(
            media.sessions[&subscription.session].worker,
            media.sessions[&media.tracks[&subscription.track].session].worker
        );
    }
    ssrcs.dedup();
    assert_eq!(ssrcs.len(), tracks.len());
    assert!(ada.last("offer").is_none(), "nobody gets one's own");
}

#[test]
fn a_late_joiner_sees_and_gets_what_is_there() {
    let mut hall = Hall::new();
    let ada = hall.join("ada");
    let tracks = hall.publish(&ada, "firefox-audio_video", true);
    let mut bob = hall.join("bob");
    let joined = bob.last("joined").unwrap();
    assert_eq!(joined["participants"][0]["identity"], "ada");
    assert_eq!(
        joined["participants"][0]["tracks"]
            .as_array()
            .unwrap()
            .len(),
        tracks.len()
    );
    hall.answer(&mut bob).unwrap();
    assert_eq!(hall.plane.media.subscriptions.len(), tracks.len());
}

#[test]
fn only_what_is_named_is_subscribed_to_without_auto() {
    let mut hall = Hall::new();
    let ada = hall.join("ada");
    let tracks = hall.publish(&ada, "chromium-audio_video", true);
    let mut bob = hall.join_with("bob", Grants::USUAL, false).unwrap();
    assert!(hall.answer(&mut bob).is_none());
    let first = tracks[0].parse().unwrap();
    hall.model
        .subscribe(&bob.entered.whom, &[first], true)
        .unwrap();
    hall.answer(&mut bob).unwrap();
    assert_eq!(hall.plane.media.subscriptions.len(), 1);
    hall.model
        .subscribe(&bob.entered.whom, &[first], false)
        .unwrap();
    hall.settle();
    assert_eq!(hall.plane.media.subscriptions.len(), 0, "before any answer");
    let offer = hall.answer(&mut bob).unwrap();
    assert!(offer["tracks"].as_array().unwrap().is_empty());
}

#[test]
fn unsubscribing_holds_against_auto() {
    let mut hall = Hall::new();
    let ada = hall.join("ada");
    let tracks = hall.publish(&ada, "chromium-audio_video", true);
    let mut bob = hall.join("bob");
    hall.answer(&mut bob).unwrap();
    let first = tracks[0].parse().unwrap();
    hall.model
        .subscribe(&bob.entered.whom, &[first], false)
        .unwrap();
    hall.answer(&mut bob).unwrap();
    hall.publish(&ada, "chromium-audio_video", false);
    hall.join("eve");
    hall.settle();
    assert_eq!(hall.plane.media.subscriptions.len(), tracks.len() - 1);
}

#[test]
fn a_section_is_used_again_with_an_ssrc_of_its_own() {
    let mut hall = Hall::new();
    let ada = hall.join("ada");
    let tracks = hall.publish(&ada, "chromium-audio_video", true);
    let mut bob = hall.join("bob");
    hall.answer(&mut bob).unwrap();
    let ssrcs = |hall: &Hall| -> Vec<u32> {
        let ssrc = |mode: &SubscriptionMode| match mode {
            SubscriptionMode::Select { ssrc, .. } => *ssrc,
            SubscriptionMode::Relay(_) => panic!("no link"),
        };
        let subscriptions = hall.plane.media.subscriptions.values();
        subscriptions.map(|s| ssrc(&s.mode)).collect()
    };
    let before = ssrcs(&hall);
    for track in &tracks {
        hall.model
            .unpublish(&ada.entered.whom, track.parse().unwrap())
            .unwrap();
    }
    hall.answer(&mut bob).unwrap();
    assert!(hall.plane.media.subscriptions.is_empty());
    hall.publish(&ada, "chromium-audio_video", false);
    let offer = hall.answer(&mut bob).unwrap();
    let sections = offer["offer"].as_str().unwrap().matches("m=").count();
    assert_eq!(sections, tracks.len());
    assert!(ssrcs(&hall).iter().all(|ssrc| !before.contains(ssrc)));
}

#[test]
fn one_offer_at_a_time_and_the_next_has_everything() {
    let mut hall = Hall::new();
    let ada = hall.join("ada");
    let mut bob = hall.join("bob");
    let eve = hall.join("eve");
    hall.publish(&ada, "chromium-audio_video", true);
    hall.publish(&eve, "firefox-audio_video", true);
    assert_eq!(bob.count("offer"), 1);
    let first = bob.last("offer").unwrap();
    let revision = first["revision"].as_u64().unwrap();
    let error = hall
        .model
        .answer(&bob.entered.whom, revision + 1, "v=0\r\n")
        .unwrap_err();
    assert_eq!(error.code, ErrorCode::StaleAnswer);
    hall.answer(&mut bob).unwrap();
    let second = hall.answer(&mut bob).unwrap();
    assert_eq!(second["revision"].as_u64().unwrap(), revision + 1);
    assert_eq!(second["fresh"], false);
    assert_eq!(second["tracks"].as_array().unwrap().len(), 4);
    assert_eq!(hall.plane.media.subscriptions.len(), 4);
}

#[test]
fn an_answer_that_is_none_changes_nothing() {
    let mut hall = Hall::new();
    let ada = hall.join("ada");
    hall.publish(&ada, "chromium-audio_video", true);
    let mut bob = hall.join("bob");
    let offer = bob.last("offer").unwrap();
    let revision = offer["revision"].as_u64().unwrap();
    for garbage in ["", "v=0\r\n", "{}"] {
        let error = hall
            .model
            .answer(&bob.entered.whom, revision, garbage)
            .unwrap_err();
        assert_eq!(error.code, ErrorCode::BadAnswer);
    }
    assert!(hall.answer(&mut bob).is_some(), "the offer still waits");
    assert_eq!(hall.plane.media.subscriptions.len(), 2);
}

#[test]
fn leaving_takes_everything_along() {
    let mut hall = Hall::new();
    let ada = hall.join("ada");
    hall.publish(&ada, "chromium-simulcast", true);
    let mut bob = hall.join("bob");
    hall.publish(&bob, "firefox-simulcast", true);
    hall.answer(&mut bob).unwrap();
    hall.model
        .leave(hall.now, &ada.entered.whom, LeaveReason::Left)
        .unwrap();
    hall.settle();
    assert!(hall.plane.media.subscriptions.is_empty());
    assert_eq!(bob.last("participant_left").unwrap()["reason"], "left");
    hall.model
        .leave(hall.now, &bob.entered.whom, LeaveReason::Left)
        .unwrap();
    hall.settle();
    assert!(hall.plane.media.sessions.is_empty() && hall.plane.media.tracks.is_empty());
    assert!(hall.model.rooms().is_empty());
}

#[test]
fn words_about_sections_become_tracks() {
    let mut hall = Hall::new();
    let ada = hall.join("ada");
    let mut bob = hall.join("bob");
    let offer = recorded("chromium-audio_video");
    let mids: Vec<&str> = offer
        .lines()
        .filter_map(|line| line.strip_prefix("a=mid:"))
        .collect();
    let words: Vec<Published> = mids
        .iter()
        .map(|mid| Published {
            mid: (*mid).to_owned(),
            source: Some(Source::Other),
            name: "slides".to_owned(),
            muted: true,
            width: None,
            height: None,
        })
        .collect();
    hall.model
        .publish(hall.now, &ada.entered.whom, &offer, &words, true)
        .unwrap();
    hall.settle();
    let track = &bob.last("track_published").unwrap()["track"];
    assert_eq!(track["source"], "other");
    assert_eq!(track["name"], "slides");
    assert_eq!(track["muted"], true);
    assert!(hall.plane.media.tracks.values().all(|t| t.muted));
}

#[test]
fn grants_are_held_to() {
    let mut hall = Hall::new();
    let none = Grants {
        publish: false,
        subscribe: false,
        ..Grants::USUAL
    };
    let ada = hall.join("ada");
    hall.publish(&ada, "chromium-audio_video", true);
    let mut mute = hall.join_with("mute", none, true).unwrap();
    assert!(mute.last("offer").is_none());
    let error = hall
        .model
        .publish(
            hall.now,
            &mute.entered.whom,
            &recorded("chromium-audio_video"),
            &[],
            true,
        )
        .unwrap_err();
    assert_eq!(error.code, ErrorCode::Forbidden);
    let hidden = Grants {
        hidden: true,
        ..Grants::USUAL
    };
    mute.forget();
    hall.join_with("ghost", hidden, true).unwrap();
    mute.listen();
    assert!(mute.heard.is_empty());
    assert_eq!(
        hall.join_with("nobody", Grants::default(), true)
            .err()
            .unwrap()
            .code,
        ErrorCode::Forbidden
    );
}

#[test]
fn a_viewer_gets_what_comes_later_in_the_sections_it_offered() {
    let mut hall = Hall::new();
    let whep = hall
        .model
        .join(hall.now, access("tv", Grants::USUAL), Way::Whep, true, None)
        .unwrap();
    let answer = hall
        .model
        .view(&whep.whom, &recorded("chromium-recvonly"))
        .unwrap();
    assert!(answer.contains("a=sendonly"));
    hall.settle();
    assert!(hall.plane.media.subscriptions.is_empty());
    let ada = hall.join("ada");
    hall.publish(&ada, "chromium-audio_video", true);
    assert_eq!(hall.plane.media.subscriptions.len(), 2);
    let first: Vec<_> = hall.plane.media.subscriptions.keys().copied().collect();
    hall.model
        .leave(hall.now, &ada.entered.whom, LeaveReason::Left)
        .unwrap();
    hall.settle();
    assert!(hall.plane.media.subscriptions.is_empty());
    let bob = hall.join("bob");
    hall.publish(&bob, "firefox-audio_video", true);
    assert_eq!(hall.plane.media.subscriptions.len(), 2);
    assert!(
        hall.plane
            .media
            .subscriptions
            .keys()
            .all(|key| !first.contains(key))
    );
    // Its media is all it has: when that ends, it is gone.
    let session = hall
        .plane
        .media
        .subscriptions
        .values()
        .next()
        .unwrap()
        .session;
    hall.end(session);
    let (room, _) = hall.model.room(&whep.whom.room).unwrap();
    assert_eq!(room.participants, 1);
}
