//! Whatever arrives, the answer is an error or a description.

use forebay_controlplane::sdp::{MAX, PublisherOffer, SubscriberState, ViewerOffer};
use forebay_ipc::media::TrackKind;
use proptest::prelude::*;

use crate::{local, offer, parts, track};

const NAMES: [&str; 10] = [
    "chromium-audio_video",
    "chromium-screen_data",
    "chromium-simulcast",
    "chromium-answer",
    "firefox-screen_data",
    "firefox-simulcast",
    "firefox-recvonly",
    "aiortc-audio_video",
    "gstreamer-audio_video",
    "gstreamer-recvonly",
];

/// Everything a stranger's text reaches.
fn negotiate(text: &str) {
    if let Ok(offer) = PublisherOffer::parse(text) {
        let (answer, negotiated) = offer.answer(&local()).unwrap();
        parts(&answer);
        assert!(
            negotiated.tracks.iter().all(|track| {
                !track.codecs.is_empty() && (1..=4).contains(&track.encodings.len())
            })
        );
        let _ = offer.restarts(&offer.note());
        // Whoever reads our answers finds as many sections as were offered.
        let sections = text.lines().filter(|line| line.starts_with("m=")).count();
        assert_eq!(parts(&answer).len() - 1, sections);
    }
    if let Ok(viewer) = ViewerOffer::parse(text) {
        let sent: Vec<_> = viewer
            .sections()
            .into_iter()
            .zip(1..)
            .map(|((mid, kind, _), number)| (mid, track(kind, number)))
            .collect();
        let (answer, _) = viewer.answer(&local(), "cname", &sent).unwrap();
        parts(&answer);
    }
    let mut state = SubscriberState::new(1, "cname");
    for (kind, number) in [
        (TrackKind::Audio, 1),
        (TrackKind::Video, 2),
        (TrackKind::Video, 3),
    ] {
        state.add(track(kind, number)).unwrap();
    }
    let _ = state.apply_answer(text);
    parts(&state.offer(&local()));
}

#[test]
fn size_and_sections_are_bounded() {
    let text = offer("chromium-audio_video");
    let filled = format!("{text}{}", "a=x:y\r\n".repeat(MAX / 7));
    assert!(PublisherOffer::parse(&filled).is_err());
    let section = &text[text.find("m=audio").unwrap()..text.find("m=video").unwrap()];
    let head = &text[..text.find("m=audio").unwrap()];
    let mut many = head.to_owned();
    for mid in 0..50 {
        many.push_str(&section.replace("a=mid:0", &format!("a=mid:{mid}"))[..900]);
        many.push_str("\r\n");
    }
    assert!(PublisherOffer::parse(&many).is_err());
    for empty in ["", "\r\n", "v=0", "v=0\r\n", "null", "{}", "\0"] {
        assert!(PublisherOffer::parse(empty).is_err());
        negotiate(empty);
    }
}

#[test]
fn many_formats_and_repeated_lines_take_no_time() {
    let text = offer("chromium-audio_video");
    let line = text
        .lines()
        .find(|line| line.starts_with("m=video"))
        .unwrap();
    for (from, to) in [
        (line.to_owned(), format!("{line}{}", " 1".repeat(25_000))),
        (
            "a=rtpmap:96 ".to_owned(),
            format!("{}a=rtpmap:96 ", "a=rtcp-fb:* x\r\n".repeat(3_500)),
        ),
        (
            "a=rtpmap:96 ".to_owned(),
            format!("{}a=rtpmap:96 ", "a=extmap:4 a:b\r\n".repeat(3_500)),
        ),
        (
            "a=rtpmap:96 ".to_owned(),
            format!("{}a=rtpmap:96 ", "a=ssrc-group:FID 1 2\r\n".repeat(2_500)),
        ),
        (
            "BUNDLE 0 1".to_owned(),
            format!("BUNDLE 0 1{}", " 0".repeat(28_000)),
        ),
    ] {
        let start = std::time::Instant::now();
        negotiate(&text.replacen(&from, &to, 1));
        assert!(
            start.elapsed().as_millis() < 500,
            "{:?} for {}",
            start.elapsed(),
            &to[..20]
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn any_text_is_survived(text in "(v=0|o=- 1 1 IN IP4 0|s=-|t=0 0|m=video 9 UDP/TLS/RTP/SAVPF 96|a=[a-z-]{1,12}(:[ -~]{0,40})?|[a-z]=[ -~]{0,30}|\r\n|\n|.){0,60}") {
        negotiate(&text);
    }

    #[test]
    fn a_mangled_offer_is_survived(
        name in 0..NAMES.len(),
        cuts in proptest::collection::vec((any::<prop::sample::Index>(), 0_usize..40, "[ -~\r\n]{0,12}"), 0..6),
    ) {
        let mut text = offer(NAMES[name]);
        for (at, length, put) in cuts {
            let at = at.index(text.len());
            let end = (at + length).min(text.len());
            text.replace_range(at..end, &put);
        }
        negotiate(&text);
    }

    #[test]
    fn lines_may_be_lost_repeated_and_moved(
        name in 0..NAMES.len(),
        moves in proptest::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), 0_u8..3), 1..12),
    ) {
        let text = offer(NAMES[name]);
        let mut lines: Vec<&str> = text.split_inclusive('\n').collect();
        for (from, to, kind) in moves {
            let line = lines[from.index(lines.len())];
            match kind {
                0 => { lines.remove(from.index(lines.len())); }
                1 => lines.insert(to.index(lines.len()), line),
                _ => {
                    let line = lines.remove(from.index(lines.len()));
                    lines.insert(to.index(lines.len()), line);
                }
            }
        }
        negotiate(&lines.concat());
    }
}
