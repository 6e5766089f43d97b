//! Offers of ours, and what browsers make of them.

use std::collections::HashSet;

use forebay_controlplane::sdp::{Format, MAX, SdpError, SentTrack, SubscriberState};
use forebay_ipc::media::TrackKind;

use crate::{has, local, offer, parts, track, values};

/// The offer the recorded answers belong to.
fn recorded() -> (SubscriberState, String) {
    let mut state = SubscriberState::new(42, "cname-1");
    for (kind, number) in [
        (TrackKind::Audio, 1),
        (TrackKind::Video, 2),
        (TrackKind::Video, 3),
    ] {
        state.add(track(kind, number)).unwrap();
    }
    state.remove("2");
    let text = state.offer(&local());
    (state, text)
}

#[test]
fn the_offer_is_the_one_browsers_answered() {
    let (_, text) = recorded();
    assert_eq!(text, offer("subscriber-offer"));
}

#[test]
fn sections_are_unique_mapped_to_tracks_and_on_one_transport() {
    let (_, text) = recorded();
    let sections = parts(&text);
    assert!(has(&sections[0], "a=ice-lite") && has(&sections[0], "a=group:BUNDLE 0 1 2"));
    let mids: HashSet<_> = sections[1..].iter().map(|s| values(s, "mid")[0]).collect();
    assert_eq!(mids.len(), 3);
    assert!(has(&sections[1], "a=msid:p-1 t-1") && has(&sections[1], "a=sendonly"));
    assert!(has(&sections[2], "a=ssrc-group:FID 1002 2002"));
    assert!(has(&sections[2], "a=ssrc:2002 cname:cname-1"));
    assert!(has(&sections[3], "a=inactive") && values(&sections[3], "msid").is_empty());
    assert_eq!(
        sections[2][0],
        "m=video 9 UDP/TLS/RTP/SAVPF 96 97 98 99 102 103 45 46"
    );
    let ids: HashSet<_> = values(&sections[2], "extmap")
        .iter()
        .map(|line| line.split(' ').next().unwrap())
        .collect();
    assert_eq!(ids.len(), values(&sections[2], "extmap").len());
}

#[test]
fn browsers_answers_narrow_the_offer() {
    for (name, h264) in [("chromium-answer", true), ("firefox-answer", false)] {
        let (mut state, _) = recorded();
        let negotiated = state.apply_answer(&offer(name)).unwrap();
        assert!(negotiated.transport_cc, "{name}");
        let extensions = negotiated.extensions;
        assert_eq!(
            (
                extensions.mid,
                extensions.transport_cc,
                extensions.audio_level
            ),
            (4, 3, 1)
        );
        assert_eq!(extensions.rid, 0);
        let mids: Vec<_> = negotiated.sections.iter().map(|s| s.mid.as_str()).collect();
        assert_eq!(mids, ["0", "1"], "the idle one receives nothing");
        assert_eq!(negotiated.sections[0].accepted[0].payload_type, 111);
        let video = &negotiated.sections[1].accepted;
        let vp8 = video.iter().find(|a| a.format == Format::Vp8).unwrap();
        assert_eq!((vp8.payload_type, vp8.rtx), (96, Some(97)));
        assert_eq!(
            video
                .iter()
                .any(|a| matches!(a.format, Format::H264 { .. })),
            h264
        );
    }
}

#[test]
fn idle_sections_are_used_again_by_their_kind() {
    let (mut state, _) = recorded();
    assert_eq!(state.add(track(TrackKind::Audio, 5)).unwrap(), "3");
    assert_eq!(state.add(track(TrackKind::Video, 6)).unwrap(), "2");
    state.remove("0");
    let sections = state.offer(&local());
    let sections = parts(&sections);
    assert!(has(&sections[1], "a=inactive"));
    assert!(has(&sections[3], "a=sendonly") && has(&sections[3], "a=msid:p-6 t-6"));
    assert!(
        sections[0][1].starts_with("o=- 21 2 "),
        "{}",
        sections[0][1]
    );
}

#[test]
fn a_restored_state_offers_the_same() {
    let (state, _) = recorded();
    let note = serde_json::to_string(&state.note()).unwrap();
    let sent: Vec<(String, SentTrack)> = vec![
        ("0".to_owned(), track(TrackKind::Audio, 1)),
        ("1".to_owned(), track(TrackKind::Video, 2)),
    ];
    let mut restored =
        SubscriberState::restore(serde_json::from_str(&note).unwrap(), "cname-1", sent);
    let mut state = state;
    assert_eq!(restored.offer(&local()), state.offer(&local()));
}

#[test]
fn what_the_client_stops_stays_rejected() {
    let (mut state, _) = recorded();
    let text = offer("chromium-answer").replace("BUNDLE 0 1 2", "BUNDLE 0 2");
    let at = text.find("m=video 9").unwrap();
    let stopped = format!("{}m=video 0{}", &text[..at], &text[at + 9..]);
    let negotiated = state.apply_answer(&stopped).unwrap();
    assert_eq!(negotiated.sections.len(), 1);
    let sections = state.offer(&local());
    let sections = parts(&sections);
    assert!(sections[2][0].starts_with("m=video 0 "));
    assert!(has(&sections[0], "a=group:BUNDLE 0 2"));
    assert_eq!(state.add(track(TrackKind::Video, 8)).unwrap(), "2");
    let restored = SubscriberState::restore(state.note(), "c", Vec::new());
    assert_eq!(restored.note(), state.note());

    // Its place becomes another section, under a name of its own.
    assert_eq!(state.add(track(TrackKind::Audio, 9)).unwrap(), "3");
    let sections = state.offer(&local());
    let sections = parts(&sections);
    assert_eq!(sections.len(), 4);
    assert!(sections[2][0].starts_with("m=audio 9 "));
    assert!(has(&sections[2], "a=mid:3") && has(&sections[0], "a=group:BUNDLE 0 3 2"));
    let note = serde_json::to_string(&state.note()).unwrap();
    let restored = SubscriberState::restore(
        serde_json::from_str(&note).unwrap(),
        "c",
        vec![("3".to_owned(), track(TrackKind::Audio, 9))],
    );
    assert_eq!(restored.note(), state.note());
}

#[test]
fn idle_sections_of_one_kind_make_room_for_the_other() {
    let mut state = SubscriberState::new(1, "c");
    for number in 0..60 {
        state.add(track(TrackKind::Audio, number)).unwrap();
    }
    assert!(state.add(track(TrackKind::Video, 60)).is_err());
    assert!(!state.is_closing(), "none is idle");
    for mid in 0..3 {
        state.remove(&mid.to_string());
    }
    assert_eq!(state.add(track(TrackKind::Video, 60)).unwrap(), "60");
    assert!(state.is_closing());
    let text = state.offer(&local());
    let sections = parts(&text);
    assert!(has(&sections[1], "a=inactive"), "the first one stays");
    for closed in [&sections[2], &sections[3]] {
        assert!(closed[0].starts_with("m=audio 0 "));
    }
    assert!(sections[61][0].starts_with("m=video 9 "));
    let group = values(&sections[0], "group")[0];
    assert!(group.starts_with("BUNDLE 0 3 4 ") && group.ends_with(" 60"));
}

#[test]
fn each_kind_gets_half_and_what_the_other_leaves() {
    for (audio, video, max, shares) in [
        (5, 5, 40, (5, 5)),
        (100, 100, 40, (20, 20)),
        (100, 5, 40, (35, 5)),
        (0, 100, 40, (0, 30)),
        (10, 100, 40, (10, 25)),
        (100, 0, 60, (60, 0)),
        (100, 100, 60, (30, 15)),
        (1, 1, 2, (1, 1)),
        (9, 9, 3, (2, 1)),
    ] {
        let found = SubscriberState::shares(audio, video, max);
        assert_eq!(found, shares, "{audio} and {video} in {max}");
    }
}

#[test]
fn answers_that_do_not_belong_to_the_offer_are_refused() {
    let answer = offer("chromium-answer");
    for (from, to) in [
        ("a=mid:1", "a=mid:7"),
        ("m=video", "m=audio"),
        ("a=setup:active", "a=setup:passive"),
        ("a=group:BUNDLE 0 1 2", "a=group:BUNDLE 0"),
        ("fingerprint:sha-256", "fingerprint:sha-512"),
    ] {
        let (mut state, _) = recorded();
        assert!(answer.contains(from), "{from}");
        let refused = state.apply_answer(&answer.replace(from, to)).unwrap_err();
        assert!(matches!(refused, SdpError::Unusable(_)), "{to}: {refused}");
    }
    let (mut state, _) = recorded();
    state.add(track(TrackKind::Audio, 9)).unwrap();
    // Once the new section has been offered, an answer without it is late.
    state.offer(&local());
    assert!(state.apply_answer(&answer).is_err());
}

#[test]
fn as_many_sections_as_allowed_fit_the_bound() {
    for kinds in [
        [TrackKind::Video, TrackKind::Video],
        [TrackKind::Audio, TrackKind::Audio],
        [TrackKind::Audio, TrackKind::Video],
    ] {
        let mut state = SubscriberState::new(u64::MAX, &"c".repeat(64));
        let refused = (0..).find_map(|number: u32| {
            let kind = kinds[number as usize % 2];
            state
                .add(SentTrack {
                    kind,
                    stream: "s".repeat(64),
                    track: "t".repeat(64),
                    ssrc: u32::MAX - number,
                    rtx_ssrc: (kind == TrackKind::Video).then_some(u32::MAX - 1_000 - number),
                })
                .err()
        });
        assert_eq!(refused, Some(SdpError::TooMany("sections")));
        let text = state.offer(&local());
        assert!(
            parts(&text).len() > 30 && text.len() < MAX,
            "{}",
            text.len()
        );
        assert!(serde_json::to_string(&state.note()).unwrap().len() < 2_048);
    }
}

#[test]
fn names_cannot_break_out_of_their_line() {
    let mut state = SubscriberState::new(1, "c\r\na=evil");
    state
        .add(SentTrack {
            stream: "p\r\na=evil:1".to_owned(),
            track: String::new(),
            ..track(TrackKind::Audio, 1)
        })
        .unwrap();
    let text = state.offer(&local());
    let sections = parts(&text);
    assert_eq!(values(&sections[1], "msid"), ["p--a-evil-1 -"]);
    assert!(!text.contains("\na=evil"));
}
