//! A room that outgrows its worker.

use std::time::Duration;

use forebay_controlplane::config;
use forebay_controlplane::rooms::message::{LayerWish, LeaveReason};
use forebay_ipc::media::{
    MediaSubscription, MediaTransport, RelayedEncoding, SubscriptionMode, TrackKind,
};

use crate::hall::{Hall, Person};

/// Ada publishes on one worker, Bob is on it too, Eve and Cleo on the other.
fn spread() -> (Hall, Person, Vec<Person>) {
    let mut hall = Hall::with(config::Rooms {
        worker_sessions: 2,
        ..config::Rooms::default()
    });
    let ada = hall.join("ada");
    hall.publish(&ada, "chromium-simulcast", true);
    let mut viewers = Vec::new();
    for name in ["bob", "eve"] {
        let mut viewer = hall.join(name);
        hall.answer(&mut viewer).unwrap();
        viewers.push(viewer);
    }
    (hall, ada, viewers)
}

fn relays(hall: &Hall) -> Vec<(&MediaSubscription, Vec<RelayedEncoding>)> {
    let all = hall.plane.media.subscriptions.values();
    all.filter_map(|s| match &s.mode {
        SubscriptionMode::Relay(encodings) => Some((s, encodings.to_vec())),
        SubscriptionMode::Select { .. } => None,
    })
    .collect()
}

fn check_workers(hall: &Hall) {
    let media = &hall.plane.media;
    for subscription in media.subscriptions.values() {
        let track = &media.tracks[&subscription.track];
        assert_eq!(
            media.sessions[&subscription.session].worker, media.sessions[&track.session].worker,
            "a subscription stays on its worker"
        );
    }
}

#[test]
fn each_track_goes_to_the_other_worker_once() {
    let (mut hall, ada, _viewers) = spread();
    check_workers(&hall);
    let tracks = hall.model.rooms()[0].tracks;
    assert_eq!(relays(&hall).len(), tracks);
    assert_eq!(hall.model.rooms()[0].workers, [0, 1]);
    let links: Vec<_> = hall
        .plane
        .media
        .sessions
        .values()
        .filter_map(|s| match &s.transport {
            MediaTransport::Link {
                remote,
                local,
                remote_keys,
            } => Some((s.worker, *remote, local.clone(), remote_keys.clone())),
            MediaTransport::Ice { .. } => None,
        })
        .collect();
    let [one, other] = &links[..] else {
        panic!("a link has two ends: {links:?}");
    };
    assert_ne!(one.0, other.0);
    assert_eq!(usize::from(one.1.port()), 7_882 + usize::from(other.0));
    assert!(one.2 == other.3 && one.3 == other.2 && one.2 != one.3);

    let mut cleo = hall.join("cleo");
    hall.answer(&mut cleo).unwrap();
    assert_eq!(relays(&hall).len(), tracks, "for everybody there");
    check_workers(&hall);

    for (relay, encodings) in relays(&hall) {
        let copy = hall
            .plane
            .media
            .tracks
            .values()
            .find(|t| t.mid == relay.mid && hall.plane.media.sessions[&t.session].worker == 1);
        let copy = copy.unwrap();
        assert_eq!(copy.encodings.len(), encodings.len());
        for (declared, sent) in copy.encodings.iter().zip(&encodings) {
            assert_eq!(declared.ssrc, Some(sent.ssrc));
            assert_eq!(declared.rtx_ssrc, Some(sent.rtx_ssrc));
        }
        let types = copy.codecs.iter().map(|c| c.payload_type);
        assert!(types.eq(relay.payload_types.iter().map(|p| p.to)));
    }
    hall.model
        .leave(hall.now, &ada.entered.whom, LeaveReason::Left)
        .unwrap();
    hall.settle();
    assert!(hall.plane.media.tracks.is_empty() && hall.plane.media.subscriptions.is_empty());
}

#[test]
fn only_what_somebody_there_needs_is_relayed() {
    let (mut hall, _ada, viewers) = spread();
    hall.pass(Duration::from_secs(1));
    let video = |hall: &Hall| -> Vec<bool> {
        let relays = relays(hall);
        let (_, encodings) = relays
            .iter()
            .find(|(s, _)| hall.plane.media.tracks[&s.track].kind == TrackKind::Video)
            .unwrap();
        encodings.iter().map(|e| e.wanted).collect()
    };
    assert_eq!(video(&hall), [true, true, true]);
    let eve = &viewers[1];
    let view = hall.model.room(&eve.entered.whom.room).unwrap().1;
    let track = view
        .iter()
        .flat_map(|p| &p.published)
        .find(|p| p.track.kind == "video")
        .unwrap()
        .track
        .id;
    let mut wish = LayerWish {
        track,
        visible: None,
        width: Some(320),
        height: Some(180),
        max_spatial: None,
        max_temporal: None,
        priority: None,
    };
    hall.model
        .layers(&eve.entered.whom, None, &[wish.clone()])
        .unwrap();
    hall.pass(Duration::from_secs(1));
    assert_eq!(video(&hall), [true, false, false]);
    wish.visible = Some(false);
    hall.model.layers(&eve.entered.whom, None, &[wish]).unwrap();
    hall.pass(Duration::from_secs(1));
    assert_eq!(video(&hall), [false, false, false]);

    hall.model
        .leave(hall.now, &eve.entered.whom, LeaveReason::Left)
        .unwrap();
    hall.pass(Duration::from_secs(1));
    assert!(relays(&hall).is_empty(), "nobody is there");
    assert_eq!(
        hall.plane.media.subscriptions.len(),
        hall.model.rooms()[0].tracks
    );
}

#[test]
fn links_outlive_the_control_plane() {
    let (mut hall, _ada, mut viewers) = spread();
    let tokens: Vec<String> = viewers.iter_mut().map(Person::resume_token).collect();
    hall.pass(Duration::from_secs(1));
    let before = hall.plane.media.clone();
    hall.restart_control();
    assert_eq!(hall.plane.media, before);
    for token in tokens {
        let mut viewer = hall.resume(&token).unwrap();
        while hall.answer(&mut viewer).is_some() {}
    }
    hall.pass(Duration::from_secs(1));
    assert!(
        hall.plane
            .media
            .subscriptions
            .keys()
            .eq(before.subscriptions.keys())
    );
    let mut cleo = hall.join("cleo");
    hall.answer(&mut cleo).unwrap();
    check_workers(&hall);
    let relayed = before
        .subscriptions
        .values()
        .filter(|s| matches!(s.mode, SubscriptionMode::Relay(_)))
        .count();
    assert_eq!(relays(&hall).len(), relayed);
}

#[test]
fn a_lost_link_is_made_anew() {
    let (mut hall, _ada, mut viewers) = spread();
    let link = hall
        .plane
        .media
        .sessions
        .values()
        .find(|s| matches!(s.transport, MediaTransport::Link { .. }))
        .unwrap()
        .key;
    let before = hall.plane.media.subscriptions.len();
    hall.end(link);
    while hall.answer(&mut viewers[1]).is_some() {}
    assert_eq!(hall.plane.media.subscriptions.len(), before);
    assert!(!hall.plane.media.sessions.contains_key(&link));
    check_workers(&hall);
}
