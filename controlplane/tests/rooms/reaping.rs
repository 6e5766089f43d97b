//! What nobody ended ends by itself, and is counted.

use std::time::Duration;

use forebay_controlplane::rooms::note::Way;
use forebay_controlplane::tokens::Grants;
use forebay_ipc::media::{MediaEvent, SessionKey};

use crate::hall::{Hall, access, recorded};

const AES128_GCM: u16 = 7;

#[test]
fn who_stays_away_goes_and_the_room_with_the_last_one() {
    let mut hall = Hall::new();
    let ada = hall.join("ada");
    hall.publish(&ada, "chromium-audio_video", true);
    hall.pass(Duration::from_secs(1));
    assert_eq!(hall.metrics.rooms.get(), 1);
    hall.model.detach(hall.now, &ada.entered);
    hall.pass(Duration::from_secs(29));
    assert_eq!(
        (hall.metrics.reaped.get(), hall.metrics.rooms.get()),
        (0, 1)
    );
    hall.pass(Duration::from_secs(2));
    assert_eq!(
        (hall.metrics.reaped.get(), hall.metrics.rooms.get()),
        (1, 0)
    );
    assert_eq!(hall.metrics.rooms_ended.get(), 1);
    assert!(hall.plane.media.sessions.is_empty() && hall.plane.media.tracks.is_empty());
}

#[test]
fn who_came_by_http_and_never_connected_goes() {
    let mut hall = Hall::new();
    let viewer = hall
        .model
        .join(
            hall.now,
            access("viewer", Grants::USUAL),
            Way::Whep,
            true,
            None,
        )
        .unwrap();
    // Without an offer there is no session whose end could be told.
    hall.pass(Duration::from_secs(31));
    assert_eq!(hall.metrics.reaped.get(), 1);
    assert!(hall.model.rooms().is_empty(), "{viewer:?}");
}

/// Nobody tells of the end of this session.
fn report(hall: &mut Hall, session: SessionKey) {
    hall.event(&MediaEvent::Secured {
        session,
        profile: AES128_GCM,
    });
}

#[test]
fn sessions_that_fell_silent_end_as_if_their_end_had_been_told() {
    let mut hall = Hall::new();
    let mut ada = hall.join("ada");
    hall.publish(&ada, "chromium-audio_video", true);
    let whip = hall
        .model
        .join(
            hall.now,
            access("obs", Grants::USUAL),
            Way::Whip,
            false,
            None,
        )
        .unwrap();
    let offer = recorded("gstreamer-audio_video");
    hall.model
        .publish(hall.now, &whip.whom, &offer, &[], true)
        .unwrap();
    hall.settle();
    let sessions: Vec<SessionKey> = hall.plane.media.sessions.keys().copied().collect();
    for session in &sessions {
        report(&mut hall, *session);
    }
    let ended = sessions.len() as u64;
    hall.pass(Duration::from_secs(44));
    assert_eq!(hall.metrics.zombie_sessions.get(), 0);
    hall.pass(Duration::from_secs(2));
    assert_eq!(hall.metrics.zombie_sessions.get(), ended);
    // Who has a WebSocket makes it anew, who has none is gone.
    ada.listen();
    let mut asked = ada.heard.iter().filter(|said| said["type"] == "reconnect");
    assert!(asked.any(|said| said["connections"].to_string().contains("publisher")));
    let people = hall.model.room(&ada.entered.whom.room).unwrap().1;
    assert_eq!(people.len(), 1);
    assert!(hall.plane.media.tracks.is_empty());
}

#[test]
fn nobody_is_taken_for_silent_while_the_data_plane_is_away() {
    let mut hall = Hall::new();
    let ada = hall.join("ada");
    hall.publish(&ada, "chromium-audio_video", true);
    let session = *hall.plane.media.sessions.keys().next().unwrap();
    report(&mut hall, session);
    hall.model.on_disconnected();
    hall.pass_unsettled(Duration::from_secs(300));
    assert_eq!(hall.metrics.zombie_sessions.get(), 0);
    assert_eq!(hall.model.rooms()[0].tracks, 2);
}
