//! Caps by size, wish and speaker.

use forebay_controlplane::rooms::message::LayerWish;
use forebay_ipc::media::{
    FlowQuality, MediaEvent, MediaSubscription, SubscriptionKey, TrackKey, TrackKind,
};
use std::time::Duration;

use crate::hall::{Hall, Person};

fn wish(track: &str) -> LayerWish {
    LayerWish {
        track: track.parse().unwrap(),
        visible: None,
        width: None,
        height: None,
        max_spatial: None,
        max_temporal: None,
        priority: None,
    }
}

fn videos(hall: &Hall) -> Vec<&MediaSubscription> {
    let media = &hall.plane.media;
    media
        .subscriptions
        .values()
        .filter(|s| media.tracks[&s.track].kind == TrackKind::Video)
        .collect()
}

/// Ada publishes simulcast video, Bob gets it; the video's id.
fn stage() -> (Hall, Person, Person, String) {
    let mut hall = Hall::new();
    let ada = hall.join("ada");
    hall.publish(&ada, "chromium-simulcast", true);
    let mut bob = hall.join("bob");
    let offer = hall.answer(&mut bob).unwrap();
    let tracks = offer["tracks"].as_array().unwrap().clone();
    let video = tracks.iter().find(|t| t["kind"] == "video").unwrap();
    let id = video["track"].as_str().unwrap().to_owned();
    (hall, ada, bob, id)
}

#[test]
fn the_lowest_encoding_that_fills_the_view_is_enough() {
    let (mut hall, _ada, bob, video) = stage();
    let encodings = hall.plane.media.tracks[&videos(&hall)[0].track]
        .encodings
        .len();
    assert_eq!(encodings, 3);
    for (width, height, layer) in [
        (1_280, 720, 2),
        (1_920, 1_080, 2),
        (640, 360, 1),
        (430, 700, 2),
        (360, 390, 1),
        (320, 180, 0),
        (160, 90, 0),
    ] {
        let wishes = [LayerWish {
            width: Some(width),
            height: Some(height),
            ..wish(&video)
        }];
        hall.model.layers(&bob.entered.whom, None, &wishes).unwrap();
        hall.settle();
        assert_eq!(videos(&hall)[0].max_spatial, layer, "{width}×{height}");
    }
    let capped = [LayerWish {
        width: Some(1_280),
        height: Some(720),
        max_spatial: Some(1),
        max_temporal: Some(0),
        ..wish(&video)
    }];
    hall.model.layers(&bob.entered.whom, None, &capped).unwrap();
    hall.settle();
    let now = videos(&hall)[0];
    assert_eq!((now.max_spatial, now.max_temporal), (1, 0));
}

#[test]
fn what_is_not_shown_is_paused_and_audio_is_not() {
    let (mut hall, _ada, bob, video) = stage();
    let hidden = [LayerWish {
        visible: Some(false),
        ..wish(&video)
    }];
    hall.model.layers(&bob.entered.whom, None, &hidden).unwrap();
    hall.settle();
    assert!(videos(&hall).iter().all(|s| s.paused));
    let paused = |hall: &Hall| {
        let all = hall.plane.media.subscriptions.values();
        all.filter(|s| s.paused).count()
    };
    assert_eq!(paused(&hall), 1);
    // Another wish about it does not show it again.
    let sized = [LayerWish {
        width: Some(100),
        height: Some(100),
        ..wish(&video)
    }];
    hall.model.layers(&bob.entered.whom, None, &sized).unwrap();
    hall.settle();
    assert_eq!(paused(&hall), 1);
}

fn speak(hall: &mut Hall, track: TrackKey, level: u8) {
    hall.event(&MediaEvent::AudioLevel {
        track,
        level,
        voice: true,
    });
}

#[test]
fn the_latest_speakers_are_the_ones_of_last_n() {
    let mut hall = Hall::new();
    let people: Vec<Person> = ["ada", "bea", "cleo"]
        .iter()
        .map(|name| hall.join(name))
        .collect();
    for person in &people {
        hall.publish(person, "chromium-audio_video", true);
    }
    let mut bob = hall.join("bob");
    while hall.answer(&mut bob).is_some() {}
    hall.model.layers(&bob.entered.whom, Some(1), &[]).unwrap();
    hall.settle();
    let of_bob = |hall: &Hall| -> Vec<(bool, u8, TrackKey)> {
        videos(hall)
            .iter()
            .map(|s| (s.paused, s.priority, s.track))
            .collect()
    };
    assert_eq!(of_bob(&hall).iter().filter(|v| !v.0).count(), 1);
    for person in &people {
        let view = hall
            .model
            .participant(&person.entered.whom.room, person.entered.whom.id)
            .unwrap();
        let session = hall
            .plane
            .media
            .tracks
            .values()
            .filter(|t| t.kind == TrackKind::Audio)
            .find(|t| {
                view.published
                    .iter()
                    .any(|p| String::from_utf8_lossy(&t.note).contains(&p.track.id.to_string()))
            })
            .unwrap()
            .clone();
        // Long enough for the former speaker to fall silent.
        hall.pass(Duration::from_secs(4));
        speak(&mut hall, session.key, 20);
        let shown: Vec<_> = of_bob(&hall).into_iter().filter(|v| !v.0).collect();
        assert_eq!(shown.len(), 1);
        assert_eq!(
            hall.plane.media.tracks[&shown[0].2].session,
            session.session
        );
        assert_eq!(shown[0].1, 60, "and its priority is raised");
        assert_eq!(
            bob.last("speaker").unwrap()["active"],
            person.entered.whom.id.to_string()
        );
    }
}

#[test]
fn layers_and_quality_are_told() {
    let (mut hall, _ada, mut bob, video) = stage();
    let subscription = videos(&hall)[0].clone();
    hall.event(&MediaEvent::Layer {
        subscription: subscription.key,
        spatial: Some(1),
        temporal: 2,
    });
    let layer = bob.last("layer").unwrap();
    assert_eq!(
        (&layer["track"], &layer["spatial"], &layer["temporal"]),
        (&video.into(), &1.into(), &2.into())
    );
    hall.event(&MediaEvent::Layer {
        subscription: subscription.key,
        spatial: None,
        temporal: 0,
    });
    assert_eq!(bob.last("layer").unwrap()["why"], "bandwidth");

    let flow = |lost| FlowQuality {
        packets: 1_000,
        bytes: 1_000_000,
        lost,
        jitter_us: 5_000,
    };
    let report = |hall: &mut Hall, key: SubscriptionKey, lost| {
        hall.event(&MediaEvent::SessionQuality {
            session: subscription.session,
            rtt_us: Some(30_000),
            estimate: Some(2_000_000),
        });
        hall.event(&MediaEvent::SubscriptionQuality {
            subscription: key,
            flow: flow(lost),
        });
        hall.pass(Duration::from_secs(3));
    };
    report(&mut hall, subscription.key, 0);
    assert_eq!(bob.last("quality").unwrap()["quality"], "excellent");
    let told = bob.count("quality");
    report(&mut hall, subscription.key, 0);
    assert_eq!(bob.count("quality"), told, "only changes are told");
    for _ in 0..4 {
        report(&mut hall, subscription.key, 300);
    }
    let quality = bob.last("quality").unwrap();
    assert_eq!(quality["quality"], "poor");
    assert!(quality["mos"].as_f64().unwrap() < 3.1);
    let (room, people) = hall.model.room(&bob.entered.whom.room).unwrap();
    assert!(room.mos.is_some());
    let bob = people
        .iter()
        .find(|p| p.identity.as_str() == "bob")
        .unwrap();
    let loss: Vec<f64> = bob.received.iter().map(|s| s.flow.loss).collect();
    assert!(
        loss.iter().any(|l| (l - 300.0 / 1_300.0).abs() < 1e-6),
        "{loss:?}"
    );
}
