//! Which track an SSRC feeds.

use core::time::Duration;

use forebay_media::{Change, DropReason, Event, Refusal, Report, Ssrc, TrackKey};

use crate::support::Rig;
use crate::support::describe::{self, Media, VP8, VP8_RTX, audio, video, vp8};

fn dropped(rig: &Rig, why: DropReason) -> u64 {
    rig.forwarder.counters().dropped[why as usize]
}

fn active(track: u64, encoding: u8) -> Event {
    Event::Encoding {
        track: TrackKey(track),
        encoding,
        active: true,
    }
}

fn encodings(rig: &mut Rig) -> Vec<Event> {
    let mut events = rig.events();
    events.retain(|event| matches!(event, Event::Encoding { .. }));
    events
}

#[test]
fn streams_are_found_by_mid_and_rid_once_and_for_all() {
    let mut rig = Rig::default();
    let at = rig.join(1);
    let session = rig.browsers[at].key;
    rig.apply(Change::SetTrack(audio(10, session, "0")));
    rig.apply(Change::SetTrack(video(11, session, "1", &["q", "h", "f"])));
    rig.events();
    let sound = [1; 40];
    let picture = vp8(true, true, 1, 1, 0, 200);

    let unknown = Media::new(500, VP8, &picture).at(1, 0).build();
    rig.rtp(at, &unknown);
    assert_eq!(dropped(&rig, DropReason::UnknownStream), 1);

    rig.rtp(at, &Media::new(1, 111, &sound).named("0", "").build());
    let low = Media::new(2, VP8, &picture);
    rig.rtp(at, &low.clone().named("1", "q").build());
    let high = Media::new(3, VP8, &picture);
    rig.rtp(at, &high.clone().named("1", "f").build());
    let strange = Media::new(4, VP8, &picture).named("1", "x");
    rig.rtp(at, &strange.build());
    rig.flush();
    assert_eq!(dropped(&rig, DropReason::UnknownStream), 2);
    let expected = [active(10, 0), active(11, 0), active(11, 2)];
    assert_eq!(encodings(&mut rig), expected);

    // They stop telling, also across a restart.
    rig.apply(Change::SetSession(rig.browsers[at].session()));
    rig.rtp(at, &low.at(1, 3000).build());
    rig.rtp(at, &high.at(1, 3000).build());
    rig.flush();
    assert_eq!(dropped(&rig, DropReason::UnknownStream), 2);
    assert_eq!(rig.forwarder.counters().received_packets, 7);
}

#[test]
fn declared_sources_need_no_names() {
    let mut rig = Rig::default();
    let at = rig.join(1);
    let session = rig.browsers[at].key;
    let mut track = video(11, session, "1", &["q", "h"]);
    track.encodings[1].ssrc = Some(Ssrc(77));
    rig.apply(Change::SetTrack(track));
    rig.events();
    let picture = vp8(true, true, 1, 1, 0, 200);
    rig.rtp(at, &Media::new(77, VP8, &picture).build());
    rig.flush();
    assert_eq!(encodings(&mut rig), [active(11, 1)]);
}

#[test]
fn a_payload_type_that_fits_one_track_is_enough() {
    let mut rig = Rig::default();
    let at = rig.join(1);
    let session = rig.browsers[at].key;
    rig.apply(Change::SetTrack(audio(10, session, "0")));
    rig.apply(Change::SetTrack(video(11, session, "1", &[])));
    rig.events();
    let picture = vp8(true, true, 1, 1, 0, 200);
    rig.rtp(at, &Media::new(5, VP8, &picture).build());
    rig.flush();
    assert_eq!(encodings(&mut rig), [active(11, 0)]);
    rig.apply(Change::SetTrack(video(12, session, "2", &[])));
    rig.rtp(at, &Media::new(6, VP8, &picture).build());
    rig.flush();
    assert_eq!(dropped(&rig, DropReason::UnknownStream), 1);
}

#[test]
fn probes_before_media_do_no_harm_and_map_the_retransmissions() {
    let mut rig = Rig::default();
    let at = rig.join(1);
    let session = rig.browsers[at].key;
    rig.apply(Change::SetTrack(video(11, session, "1", &["q", "h"])));
    rig.events();
    // Chromium's first packets of a rid are padding under its RTX source.
    let mut probe = Media::new(9, VP8_RTX, &[0, 0, 0, 4])
        .named("1", "")
        .with(11, b"q")
        .build();
    probe[0] |= 0x20;
    rig.rtp(at, &probe);
    rig.flush();
    assert_eq!(encodings(&mut rig), []);
    assert_eq!(dropped(&rig, DropReason::UnknownStream), 0);

    let picture = vp8(true, true, 1, 1, 0, 200);
    let media = Media::new(8, VP8, &picture);
    rig.rtp(at, &media.clone().at(100, 0).named("1", "q").build());
    rig.rtp(at, &media.clone().at(102, 3000).build());
    rig.flush();
    let mut payload = vec![0, 101];
    payload.extend_from_slice(&picture);
    let heal = |sequence| Media::new(9, VP8_RTX, &payload).at(sequence, 1500).build();
    rig.rtp(at, &heal(1));
    rig.rtp(at, &heal(2));
    rig.flush();
    let mut lost = None;
    rig.pass(Duration::from_secs(6));
    rig.forwarder.report(rig.now, &mut |report| {
        if let Report::Track { track, receive } = report {
            assert_eq!(track, TrackKey(11));
            lost = Some((receive.packets, receive.lost));
        }
    });
    assert_eq!(lost, Some((3, 0)), "healed, and counted once");
}

#[test]
fn a_transport_has_only_so_many_sources() {
    let mut rig = Rig::default();
    let at = rig.join(1);
    let session = rig.browsers[at].key;
    rig.apply(Change::SetTrack(audio(10, session, "0")));
    rig.events();
    for ssrc in 0..200 {
        rig.rtp(at, &Media::new(ssrc, 111, &[1; 40]).named("0", "").build());
    }
    rig.flush();
    assert_eq!(dropped(&rig, DropReason::TooManyStreams), 200 - 64);
}

#[test]
fn replays_and_forgeries_are_told_apart() {
    let mut rig = Rig::default();
    let at = rig.join(1);
    let session = rig.browsers[at].key;
    rig.apply(Change::SetTrack(audio(10, session, "0")));
    let packet = Media::new(1, 111, &[1; 40]).named("0", "").build();
    let mut datagram = rig.browsers[at].seal_rtp(&packet);
    let from = rig.browsers[at].address;
    rig.receive(from, &datagram);
    rig.receive(from, &datagram);
    assert_eq!(dropped(&rig, DropReason::Replayed), 1);
    datagram[3] = 9;
    rig.receive(from, &datagram);
    assert_eq!(dropped(&rig, DropReason::BadTag), 1);
    rig.receive(from, &[0x80; 11]);
    assert_eq!(dropped(&rig, DropReason::Malformed), 1);
    rig.flush();
}

#[test]
fn a_track_belongs_to_its_session_and_ends_with_it() {
    let mut rig = Rig::default();
    let at = rig.join(1);
    let other = rig.join(2);
    let session = rig.browsers[at].key;
    let track = video(11, session, "1", &["q"]);
    rig.apply(Change::SetTrack(track.clone()));
    let mut elsewhere = track.clone();
    elsewhere.session = rig.browsers[other].key;
    let refused = rig.try_apply(Change::SetTrack(elsewhere));
    assert_eq!(refused, Err(Refusal::Invalid));
    let mut nowhere = track;
    nowhere.session = forebay_media::SessionKey(404);
    let refused = rig.try_apply(Change::SetTrack(nowhere));
    assert_eq!(refused, Err(Refusal::Unknown));
    rig.apply(Change::RemoveSession(session));
    assert_eq!(rig.forwarder.counters().tracks, 0);
    assert_eq!(rig.forwarder.counters().sessions, 1);
    let _ = describe::OPUS;
}

#[test]
fn a_source_that_changes_begins_anew() {
    let mut rig = Rig::default();
    let at = rig.join(1);
    let session = rig.browsers[at].key;
    rig.apply(Change::SetTrack(video(11, session, "1", &["q"])));
    let picture = vp8(true, true, 1, 1, 0, 200);
    for (ssrc, base) in [(1, 100), (2, 30_000), (3, 7)] {
        for sequence in base..base + 5 {
            let media = Media::new(ssrc, VP8, &picture).named("1", "q");
            rig.rtp(at, &media.at(sequence, u32::from(sequence) * 3000).build());
        }
        rig.flush();
    }
    rig.pass(Duration::from_secs(6));
    let mut lost = None;
    rig.forwarder.report(rig.now, &mut |report| {
        if let Report::Track { receive, .. } = report {
            lost = Some((receive.packets, receive.lost));
        }
    });
    assert_eq!(lost, Some((15, 0)));
}
