//! Clients that only watch and offer themselves.

use forebay_controlplane::sdp::{Format, NegotiatedCodec, ViewerOffer, payload_map};
use forebay_ipc::media::{Codec, PublishedCodec, TrackKind};

use crate::{has, local, offer, parts, track, values};

#[test]
fn tracks_are_sent_under_the_viewers_payload_types_and_ids() {
    for (name, mids, vp8) in [
        ("chromium-recvonly", ["0", "1"], 96),
        ("firefox-recvonly", ["0", "1"], 120),
        ("aiortc-recvonly", ["0", "1"], 97),
        ("gstreamer-recvonly", ["audio0", "video1"], 96),
    ] {
        let viewer = ViewerOffer::parse(&offer(name)).unwrap();
        let sections = viewer.sections();
        assert_eq!(sections.len(), 2, "{name}");
        assert_eq!(
            (sections[0].0.as_str(), sections[0].1),
            (mids[0], TrackKind::Audio)
        );
        let sent = [
            (mids[0].to_owned(), track(TrackKind::Audio, 1)),
            (mids[1].to_owned(), track(TrackKind::Video, 2)),
        ];
        let (text, negotiated) = viewer.answer(&local(), "cname-1", &sent).unwrap();
        let parts = parts(&text);
        for part in &parts[1..] {
            assert!(has(part, "a=sendonly"), "{name}");
            assert_eq!(values(part, "setup"), ["passive"]);
        }
        assert!(has(&parts[2], "a=msid:p-2 t-2"));
        assert!(has(&parts[2], "a=ssrc:1002 cname:cname-1"));
        assert_eq!(
            has(&parts[2], "a=ssrc-group:FID 1002 2002"),
            !name.starts_with("gstreamer"),
            "retransmission only where it was offered: {name}"
        );
        assert!(has(&parts[1], "a=ssrc:1001 cname:cname-1"));
        let published = NegotiatedCodec {
            published: PublishedCodec {
                payload_type: 33,
                codec: Codec::Vp8,
                clock_rate: 90_000,
                rtx: Some(34),
            },
            format: Format::Vp8,
        };
        let map = payload_map(&[published], &negotiated.sections[1].accepted);
        assert_eq!((map[0].from, map[0].to), (33, vp8), "{name}");
        let absent = NegotiatedCodec {
            format: Format::Vp9(2),
            ..published
        };
        assert!(payload_map(&[absent], &negotiated.sections[1].accepted).is_empty());
    }
}

#[test]
fn directions_of_extensions_are_mirrored_for_what_we_send() {
    let viewer = ViewerOffer::parse(&offer("firefox-recvonly")).unwrap();
    let sent = [("1".to_owned(), track(TrackKind::Video, 2))];
    let (text, negotiated) = viewer.answer(&local(), "c", &sent).unwrap();
    let sections = parts(&text);
    let extensions = values(&sections[2], "extmap");
    assert!(
        extensions
            .contains(&"6/sendonly http://www.webrtc.org/experiments/rtp-hdrext/playout-delay"),
        "{extensions:?}"
    );
    assert_eq!(negotiated.extensions.playout_delay, 6);
    assert_eq!(negotiated.extensions.rid, 0);
    assert!(negotiated.transport_cc);
    // Nothing for the ear.
    assert!(has(&sections[1], "a=inactive"));
    assert_eq!(negotiated.sections.len(), 1);
}

#[test]
fn h264_of_any_profile_fits_whoever_takes_fragments() {
    let viewer = ViewerOffer::parse(&offer("chromium-recvonly")).unwrap();
    let (_, _, accepted) = &viewer.sections()[1];
    let high = NegotiatedCodec {
        published: PublishedCodec {
            payload_type: 100,
            codec: Codec::H264,
            clock_rate: 90_000,
            rtx: None,
        },
        format: Format::H264 {
            profile: 100,
            constraints: 0,
            mode: 1,
        },
    };
    assert_eq!(payload_map(&[high], accepted)[0].to, 102);
}
