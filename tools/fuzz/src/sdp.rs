//! Session descriptions and fragments: whatever arrives, what goes back is a
//! description with as many sections, one line each.

use forebay_controlplane::sdp::{
    Fragment, LocalTransport, PublisherOffer, SentTrack, SubscriberState, ViewerOffer,
};
use forebay_ipc::media::{Fingerprint, TrackKind};

pub(crate) fn run(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else {
        return;
    };
    let sections = text
        .split(['\r', '\n'])
        .filter(|line| line.trim_start().starts_with("m="))
        .count();
    if let Ok(offer) = PublisherOffer::parse(text) {
        let (answer, negotiated) = offer.answer(&local()).expect("it was accepted");
        assert_eq!(check(&answer), sections);
        for track in &negotiated.tracks {
            assert!(!track.codecs.is_empty() && (1..=4).contains(&track.encodings.len()));
        }
        assert_eq!(offer.restarts(&offer.note()), Ok(false));
    }
    if let Ok(viewer) = ViewerOffer::parse(text) {
        let sent: Vec<_> = viewer
            .sections()
            .into_iter()
            .zip(1..)
            .map(|((mid, kind, _), number)| (mid, track(kind, number)))
            .collect();
        let (answer, _) = viewer
            .answer(&local(), "cname", &sent)
            .expect("it was accepted");
        assert_eq!(check(&answer), sections);
    }
    let mut state = SubscriberState::new(1, "cname");
    for (kind, number) in [
        (TrackKind::Audio, 1),
        (TrackKind::Video, 2),
        (TrackKind::Video, 3),
    ] {
        state.add(track(kind, number)).expect("three are few");
    }
    let _ = state.apply_answer(text);
    assert_eq!(check(&state.offer(&local())), 3);
    let _ = Fragment::parse(text);
}

/// Sections of a description of ours.
fn check(text: &str) -> usize {
    let lines = text.strip_suffix("\r\n").expect("the last line ends too");
    let mut sections = 0;
    for line in lines.split("\r\n") {
        assert!(line.is_ascii() && !line.contains(['\r', '\n']), "{line:?}");
        assert_eq!(line.as_bytes().get(1), Some(&b'='), "{line:?}");
        sections += usize::from(line.starts_with("m="));
    }
    sections
}

fn local() -> LocalTransport {
    LocalTransport {
        ufrag: "ufrag".to_owned(),
        password: "0123456789abcdefghijkl".to_owned(),
        fingerprint: Fingerprint([0x5a; 32]),
        candidates: vec![([203, 0, 113, 7], 7882).into()],
        tcp_candidates: vec![([203, 0, 113, 7], 7881).into()],
    }
}

fn track(kind: TrackKind, number: u32) -> SentTrack {
    SentTrack {
        kind,
        stream: "participant".to_owned(),
        track: "track".to_owned(),
        ssrc: number,
        rtx_ssrc: (kind == TrackKind::Video).then_some(number + 100),
    }
}
