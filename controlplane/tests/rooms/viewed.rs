//! What viewers are told of beside media.

use std::collections::BTreeSet;

use forebay_controlplane::rooms::message::{ErrorCode, LeaveReason, Published};
use forebay_controlplane::rooms::model::Whom;
use forebay_controlplane::rooms::note::Way;
use forebay_controlplane::tokens::Grants;
use forebay_controlplane::whip::{EventKind, LayerSelection, Viewed};
use forebay_ipc::media::{MediaEvent, TrackKind};

use crate::hall::{Hall, access, recorded};

fn view(hall: &mut Hall, name: &str) -> Whom {
    let viewer = hall
        .model
        .join(hall.now, access(name, Grants::USUAL), Way::Whep, true, None)
        .unwrap();
    let offer = recorded("chromium-recvonly");
    hall.model.view(&viewer.whom, &offer).unwrap();
    hall.settle();
    viewer.whom
}

/// Rids of the video, lowest first.
fn rids(viewed: &Viewed) -> Vec<String> {
    let layers = viewed.layers.values().flatten();
    layers.filter_map(|layer| layer.rid.clone()).collect()
}

#[test]
fn a_viewer_learns_of_publishers_layers_and_viewers() {
    let mut hall = Hall::new();
    let viewer = view(&mut hall, "viewer");
    let all = BTreeSet::from(EventKind::ALL);
    let stream = hall.model.open_events(&viewer, all.clone()).unwrap();
    let (before, kinds) = hall.model.viewed(&viewer, &stream).unwrap();
    assert_eq!(kinds, all);
    assert_eq!((before.active, before.viewers), (false, 1));

    let ada = hall.join("ada");
    let offer = recorded("chromium-simulcast");
    let words = [Published {
        mid: "1".to_owned(),
        width: Some(1_280),
        height: Some(720),
        ..Published::default()
    }];
    let whom = &ada.entered.whom;
    hall.model
        .publish(hall.now, whom, &offer, &words, true)
        .unwrap();
    hall.settle();
    view(&mut hall, "other");
    let (now, _) = hall.model.viewed(&viewer, &stream).unwrap();
    assert_eq!((now.active, now.viewers), (true, 2));
    assert_eq!(rids(&now), ["q", "h", "f"]);
    let sizes = now.layers.values().flatten().map(|l| (l.width, l.height));
    let full = (Some(1_280), Some(720));
    let half = (Some(640), Some(360));
    let quarter = (Some(320), Some(180));
    assert_eq!(sizes.collect::<Vec<_>>(), [quarter, half, full]);

    // An encoding the publisher stopped cannot be asked for.
    let tracks = hall.plane.media.tracks.values();
    let track = tracks
        .filter(|t| t.kind == TrackKind::Video)
        .map(|t| t.key)
        .next();
    let track = track.unwrap();
    let mut arrives = |active| {
        hall.event(&MediaEvent::Encoding {
            track,
            encoding: 2,
            active,
        });
        let (viewed, _) = hall.model.viewed(&viewer, &stream).unwrap();
        rids(&viewed)
    };
    assert_eq!(arrives(false), ["q", "h"]);
    assert_eq!(arrives(true), ["q", "h", "f"]);

    hall.model.leave(hall.now, whom, LeaveReason::Left).unwrap();
    hall.settle();
    let (after, _) = hall.model.viewed(&viewer, &stream).unwrap();
    assert!(!after.active && after.layers.is_empty());
}

#[test]
fn streams_are_bounded_and_end_with_their_session() {
    let mut hall = Hall::new();
    let viewer = view(&mut hall, "viewer");
    let mut open = || hall.model.open_events(&viewer, BTreeSet::new()).unwrap();
    let streams = [open(), open(), open(), open(), open()];
    assert_eq!(streams.iter().collect::<BTreeSet<_>>().len(), 5);
    let gone = |hall: &Hall, stream: &str| hall.model.viewed(&viewer, stream).is_err();
    assert!(gone(&hall, &streams[0]), "the oldest made room");
    assert!(streams[1..].iter().all(|stream| !gone(&hall, stream)));
    hall.model.close_events(&viewer, &streams[1]).unwrap();
    let again = hall.model.close_events(&viewer, &streams[1]).unwrap_err();
    assert_eq!(again.code, ErrorCode::NotFound);
    assert!(gone(&hall, &streams[1]));
    hall.model
        .leave(hall.now, &viewer, LeaveReason::Left)
        .unwrap();
    hall.settle();
    assert!(gone(&hall, &streams[2]));
}

#[test]
fn a_layer_may_be_bounded_by_its_size() {
    let mut hall = Hall::new();
    let ada = hall.join("ada");
    let words = [Published {
        mid: "1".to_owned(),
        width: Some(1_280),
        height: Some(720),
        ..Published::default()
    }];
    let offer = recorded("chromium-simulcast");
    hall.model
        .publish(hall.now, &ada.entered.whom, &offer, &words, true)
        .unwrap();
    hall.settle();
    let viewer = view(&mut hall, "viewer");
    for (width, height, layer) in [
        (None, None, 3),
        (Some(640), None, 1),
        (None, Some(719), 1),
        (Some(2_000), Some(720), 2),
        (Some(10), None, 0),
    ] {
        let selection = LayerSelection {
            max_width: width,
            max_height: height,
            ..LayerSelection::default()
        };
        hall.model.select_layer(&viewer, &selection).unwrap();
        hall.settle();
        let subscriptions = hall.plane.media.subscriptions.values();
        let tracks = &hall.plane.media.tracks;
        let mut videos = subscriptions.filter(|s| tracks[&s.track].kind == TrackKind::Video);
        let found = videos.next().unwrap().max_spatial;
        assert_eq!(found, layer.min(2), "{width:?} {height:?}");
    }
}
