//! More tracks than a participant has sections for.

use std::collections::BTreeSet;
use std::time::Duration;

use forebay_controlplane::config;
use forebay_controlplane::rooms::message::LayerWish;
use forebay_ipc::media::{MediaEvent, TrackKind};
use serde_json::Value;

use crate::hall::{Hall, Person, recorded};

/// People who send sound, or sound and pictures; their tracks, sound first.
fn enter(hall: &mut Hall, names: std::ops::Range<usize>, pictures: bool) -> Vec<[String; 2]> {
    let both = recorded("chromium-audio_video");
    let offer = if pictures {
        both
    } else {
        both.replace("BUNDLE 0 1", "BUNDLE 0")
            .replace("m=video 9", "m=video 0")
    };
    names
        .map(|number| {
            hall.now.unix += 1;
            let person = hall.join(&format!("p{number}"));
            let whom = &person.entered.whom;
            let (_, tracks) = hall
                .model
                .publish(hall.now, whom, &offer, &[], true)
                .unwrap();
            hall.settle();
            let id = |place: usize| tracks.get(place).map(|t| t.track.id.to_string());
            [id(0).unwrap(), id(1).unwrap_or_default()]
        })
        .collect()
}

/// Answers until nothing is offered any more; the last offer.
fn answer_all(hall: &mut Hall, person: &mut Person) -> Option<Value> {
    let mut last = None;
    while let Some(offer) = hall.answer(person) {
        last = Some(offer);
    }
    last
}

/// What is sent to somebody: ids of sound and of pictures.
fn received(hall: &Hall, person: &Person) -> (BTreeSet<String>, BTreeSet<String>) {
    let whom = &person.entered.whom;
    let view = hall.model.participant(&whom.room, whom.id).unwrap();
    let (_, people) = hall.model.room(&whom.room).unwrap();
    let kind = |id| {
        let mut tracks = people.iter().flat_map(|p| &p.published);
        tracks.find(|t| t.track.id == id).unwrap().track.kind
    };
    let of = |wanted: &str| {
        let tracks = view.received.iter().filter(|r| kind(r.track) == wanted);
        tracks.map(|r| r.track.to_string()).collect()
    };
    (of("audio"), of("video"))
}

/// The number of sections, and of those that are rejected.
fn sections(offer: &Value) -> (usize, usize) {
    let text = offer["offer"].as_str().unwrap();
    let lines = || text.lines().filter(|line| line.starts_with("m="));
    (
        lines().count(),
        lines().filter(|l| l.contains(" 0 ")).count(),
    )
}

fn speak(hall: &mut Hall, track: &str) {
    let key = hall
        .plane
        .media
        .tracks
        .values()
        .find(|t| String::from_utf8_lossy(&t.note).contains(track))
        .unwrap()
        .key;
    hall.event(&MediaEvent::AudioLevel {
        track: key,
        level: 20,
        voice: true,
    });
    hall.pass(Duration::from_millis(500));
}

#[test]
fn in_a_crowd_each_kind_gets_half_and_whoever_speaks_is_heard_and_seen() {
    let mut hall = Hall::new();
    let tracks = enter(&mut hall, 0..60, true);
    let mut bob = hall.join("bob");
    let offer = answer_all(&mut hall, &mut bob).unwrap();
    assert_eq!(sections(&offer), (40, 0));
    let (sound, pictures) = received(&hall, &bob);
    assert_eq!((sound.len(), pictures.len()), (20, 20));
    // Of who came first; the others are named once.
    assert!(
        tracks[..20]
            .iter()
            .all(|[audio, video]| sound.contains(audio) && pictures.contains(video))
    );
    assert_eq!(bob.count("track_unavailable"), 80);
    assert_eq!(bob.last("track_unavailable").unwrap()["reason"], "limit");

    // The last one speaks, and takes the places of those silent longest.
    let [audio, video] = tracks[59].clone();
    speak(&mut hall, &audio);
    let offer = answer_all(&mut hall, &mut bob).unwrap();
    assert_eq!(sections(&offer), (40, 0));
    let (sound, pictures) = received(&hall, &bob);
    assert_eq!((sound.len(), pictures.len()), (20, 20));
    assert!(sound.contains(&audio) && pictures.contains(&video));

    // It keeps them in silence: nothing is offered for a pause.
    hall.pass(Duration::from_secs(5));
    assert!(answer_all(&mut hall, &mut bob).is_none());
    speak(&mut hall, &tracks[0][0]);
    let before = received(&hall, &bob);
    assert!(before.0.contains(&audio) && before.1.contains(&video));

    // Somebody goes, somebody else takes the place.
    let people = hall.model.room(&bob.entered.whom.room).unwrap().1;
    let first = people.iter().find(|p| p.identity.as_str() == "p5").unwrap();
    let whom = forebay_controlplane::rooms::model::Whom {
        room: bob.entered.whom.room.clone(),
        id: first.id,
    };
    hall.model
        .leave(
            hall.now,
            &whom,
            forebay_controlplane::rooms::message::LeaveReason::Left,
        )
        .unwrap();
    answer_all(&mut hall, &mut bob);
    let (sound, pictures) = received(&hall, &bob);
    assert_eq!((sound.len(), pictures.len()), (20, 20));
}

#[test]
fn what_is_shown_comes_before_what_is_not() {
    let mut hall = Hall::with(config::Rooms {
        max_received: 8,
        ..config::Rooms::default()
    });
    let mut bob = hall.join("bob");
    let tracks = enter(&mut hall, 0..10, true);
    answer_all(&mut hall, &mut bob);
    let videos = |range: std::ops::Range<usize>| -> BTreeSet<String> {
        tracks[range]
            .iter()
            .map(|[_, video]| video.clone())
            .collect()
    };
    assert_eq!(received(&hall, &bob).1, videos(0..4));
    // Another page of the gallery.
    let page = |shown: std::ops::Range<usize>| -> Vec<LayerWish> {
        let all = tracks.iter().enumerate();
        all.map(|(place, [_, video])| LayerWish {
            track: video.parse().unwrap(),
            visible: Some(shown.contains(&place)),
            width: None,
            height: None,
            max_spatial: None,
            max_temporal: None,
            priority: None,
        })
        .collect()
    };
    let whom = bob.entered.whom.clone();
    hall.model.layers(&whom, Some(25), &page(4..8)).unwrap();
    answer_all(&mut hall, &mut bob);
    assert_eq!(received(&hall, &bob).1, videos(4..8));
    let active = hall.plane.media.subscriptions.values();
    assert_eq!(active.filter(|s| !s.paused).count(), 8, "four of each");
    // Nobody's voice went for it.
    assert_eq!(received(&hall, &bob).0.len(), 4);
}

#[test]
fn sections_of_one_kind_become_the_others() {
    let mut hall = Hall::with(config::Rooms {
        max_received: 60,
        ..config::Rooms::default()
    });
    let mut bob = hall.join("bob");
    enter(&mut hall, 0..60, false);
    let offer = answer_all(&mut hall, &mut bob).unwrap();
    assert_eq!(sections(&offer), (60, 0));
    let room = bob.entered.whom.room.clone();
    for person in hall.model.room(&room).unwrap().1 {
        if person.id != bob.entered.whom.id {
            let whom = forebay_controlplane::rooms::model::Whom {
                room: room.clone(),
                id: person.id,
            };
            let left = forebay_controlplane::rooms::message::LeaveReason::Left;
            hall.model.leave(hall.now, &whom, left).unwrap();
        }
    }
    answer_all(&mut hall, &mut bob);
    let tracks = enter(&mut hall, 100..130, true);
    let offer = answer_all(&mut hall, &mut bob).unwrap();
    let (all, rejected) = sections(&offer);
    assert!(all <= 64, "{all} sections, {rejected} of them rejected");
    let (sound, pictures) = received(&hall, &bob);
    assert_eq!(
        (sound.len(), pictures.len()),
        (30, 15),
        "{rejected} of {all} rejected"
    );
    let mids = offer["offer"].as_str().unwrap();
    let mids: Vec<&str> = mids.lines().filter(|l| l.starts_with("a=mid:")).collect();
    assert_eq!(
        mids.iter().collect::<BTreeSet<_>>().len(),
        all,
        "names are not used twice"
    );
    // The control plane is killed: the sections are still known by their names.
    let before = hall.plane.media.clone();
    let token = bob.resume_token();
    hall.restart_control();
    let mut again = hall.resume(&token).unwrap();
    assert_eq!(hall.plane.media.subscriptions, before.subscriptions);
    answer_all(&mut hall, &mut again);
    assert_eq!(received(&hall, &again), (sound, pictures));
    let videos = before.subscriptions.values();
    let videos = videos.filter(|s| before.tracks[&s.track].kind == TrackKind::Video);
    assert_eq!(videos.count(), 15);
    assert_eq!(tracks.len(), 30);
}
