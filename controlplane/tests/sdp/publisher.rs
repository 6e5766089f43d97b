//! Clients that publish.

use forebay_controlplane::sdp::{
    CodecPolicy, Format, NegotiatedPublisher, PublisherOffer, SdpError, VideoCodec,
};
use forebay_ipc::media::{Codec, Extensions, TrackKind};

use crate::{has, local, offer, parts, values};

fn answer(name: &str) -> (String, NegotiatedPublisher) {
    PublisherOffer::parse(&offer(name))
        .unwrap()
        .answer(&local())
        .unwrap()
}

#[test]
fn the_answer_is_ice_lite_and_bundled_on_one_transport() {
    let (text, _) = answer("chromium-audio_video");
    let parts = parts(&text);
    assert!(has(&parts[0], "a=ice-lite"));
    assert!(has(&parts[0], "a=group:BUNDLE 0 1"));
    for part in &parts[1..] {
        assert!(part[0].contains(" 9 UDP/TLS/RTP/SAVPF "), "{}", part[0]);
        assert!(has(part, "a=ice-ufrag:fb0+"));
        assert!(has(part, "a=ice-pwd:0123456789abcdefghijkl/+"));
        assert!(values(part, "fingerprint")[0].starts_with("sha-256 00:07:0E:15:"));
        assert_eq!(values(part, "setup"), ["passive"]);
        assert!(has(part, "a=rtcp-mux") && has(part, "a=rtcp-rsize"));
        assert!(has(part, "a=recvonly"));
    }
    let candidates = values(&parts[1], "candidate");
    assert_eq!(
        candidates,
        [
            "1 1 udp 2130706431 203.0.113.7 7882 typ host",
            "2 1 udp 2130706175 2001:db8::7 7882 typ host",
            "tcp1 1 tcp 1520435199 203.0.113.7 7881 typ host tcptype passive"
        ]
    );
    assert!(has(&parts[1], "a=end-of-candidates"));
    assert!(values(&parts[2], "candidate").is_empty());
}

#[test]
fn ids_and_directions_of_extensions_are_the_peers() {
    let (text, chromium) = answer("chromium-simulcast");
    assert_eq!(
        chromium.extensions,
        Extensions {
            mid: 4,
            rid: 10,
            repaired_rid: 11,
            audio_level: 1,
            abs_send_time: 0,
            transport_cc: 3,
            video_orientation: 13,
            dependency_descriptor: 12,
            playout_delay: 5,
            abs_capture_time: 0,
        }
    );
    let sections = parts(&text);
    assert!(has(&sections[0], "a=extmap-allow-mixed"));
    assert!(!text.contains("video-timing") && !text.contains("toffset"));

    let (text, firefox) = answer("firefox-simulcast");
    let expected = Extensions {
        mid: 3,
        rid: 9,
        repaired_rid: 10,
        audio_level: 1,
        transport_cc: 7,
        dependency_descriptor: 8,
        ..Extensions::default()
    };
    // What Firefox only receives (playout-delay) is of no use here.
    assert_eq!(firefox.extensions, expected);
    let sections = parts(&text);
    let extensions = values(&sections[2], "extmap");
    assert!(extensions.contains(&"3 urn:ietf:params:rtp-hdrext:sdes:mid"));
    assert!(extensions.contains(&"9/recvonly urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id"));
}

#[test]
fn simulcast_is_received_by_rid_lowest_first() {
    for name in ["chromium-simulcast", "firefox-simulcast"] {
        let (text, negotiated) = answer(name);
        let video = &parts(&text)[2];
        assert_eq!(values(video, "rid"), ["q recv", "h recv", "f recv"]);
        assert_eq!(values(video, "simulcast"), ["recv q;h;f"]);
        let track = &negotiated.tracks[1];
        let rids: Vec<&str> = track
            .encodings
            .iter()
            .map(|e| e.rid.as_deref().unwrap())
            .collect();
        assert_eq!(rids, ["q", "h", "f"], "{name}");
        assert!(track.encodings.iter().all(|e| e.ssrc.is_none()));
        assert!(track.nack && negotiated.transport_cc);
    }
    // The same encodings listed from the top.
    let text = offer("chromium-simulcast").replace("send q;h;f", "send f;~h;q");
    let (text, negotiated) = PublisherOffer::parse(&text)
        .unwrap()
        .answer(&local())
        .unwrap();
    assert!(text.contains("a=simulcast:recv f;h;q\r\n"));
    let rids: Vec<_> = negotiated.tracks[1]
        .encodings
        .iter()
        .map(|e| e.rid.clone())
        .collect();
    assert_eq!(
        rids.iter().flatten().map(|r| &**r).collect::<Vec<_>>(),
        ["q", "h", "f"]
    );
}

#[test]
fn payload_types_stay_the_offers_with_retransmission_by_apt() {
    let (text, negotiated) = answer("chromium-simulcast");
    let formats: Vec<_> = negotiated.tracks[1]
        .codecs
        .iter()
        .map(|c| (c.published.payload_type, c.published.codec, c.published.rtx))
        .collect();
    assert_eq!(
        formats,
        [
            (96, Codec::Vp8, Some(97)),
            (102, Codec::H264, Some(103)),
            (45, Codec::Av1, Some(46)),
            (98, Codec::Vp9, Some(99)),
        ]
    );
    let video = &parts(&text)[2];
    assert_eq!(
        video[0],
        "m=video 9 UDP/TLS/RTP/SAVPF 96 97 102 103 45 46 98 99"
    );
    let fmtp = values(video, "fmtp");
    assert!(
        fmtp.contains(
            &"102 level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42001f"
        )
    );
    assert!(fmtp.contains(&"98 profile-id=0") && fmtp.contains(&"46 apt=45"));
    let feedback = values(video, "rtcp-fb");
    for message in ["transport-cc", "nack", "nack pli", "ccm fir"] {
        assert!(
            feedback.contains(&format!("96 {message}").as_str()),
            "{message}"
        );
    }
    assert!(!text.contains("goog-remb") && !text.contains("ulpfec"));

    let audio = &negotiated.tracks[0];
    assert_eq!((audio.kind, audio.nack), (TrackKind::Audio, false));
    assert_eq!(audio.codecs[0].published.payload_type, 111);
    assert_eq!(audio.codecs[0].format, Format::Opus);
    assert_eq!(
        values(&parts(&text)[1], "fmtp"),
        ["111 minptime=10;useinbandfec=1"]
    );

    let (text, _) = answer("firefox-audio_video");
    assert_eq!(
        values(&parts(&text)[1], "fmtp"),
        ["109 maxplaybackrate=48000;stereo=1;useinbandfec=1"]
    );
    assert!(
        !text.contains("max-fs"),
        "we decode nothing, so nothing bounds the picture"
    );
}

#[test]
fn bundle_only_sections_at_port_zero_are_accepted() {
    let text = offer("firefox-audio_video");
    assert!(text.contains("m=video 0 "));
    let (text, negotiated) = answer("firefox-audio_video");
    assert_eq!(negotiated.tracks.len(), 2);
    assert!(parts(&text)[2][0].starts_with("m=video 9 "));
    assert!(has(&parts(&text)[0], "a=group:BUNDLE 0 1"));
}

#[test]
fn data_channels_and_unknown_sections_are_rejected_in_their_place() {
    for name in ["chromium-screen_data", "firefox-screen_data"] {
        let (text, negotiated) = answer(name);
        let sections = parts(&text);
        assert_eq!(sections.len(), 5, "audio, camera, screen, data");
        assert!(has(&sections[0], "a=group:BUNDLE 0 1 2"));
        assert_eq!(
            sections[4][0],
            "m=application 0 UDP/DTLS/SCTP webrtc-datachannel"
        );
        assert!(has(&sections[4], "a=mid:3"));
        assert!(values(&sections[4], "ice-ufrag").is_empty());
        let mids: Vec<_> = negotiated
            .tracks
            .iter()
            .map(|t| (t.mid.as_str(), t.encodings.len()))
            .collect();
        assert_eq!(mids, [("0", 1), ("1", 3), ("2", 1)]);
    }
    let refused = PublisherOffer::parse(&offer("chromium-data_only")).unwrap_err();
    assert!(matches!(refused, SdpError::Unusable(_)));

    let odd = offer("chromium-audio_video").replace("VP8/90000", "VP7/90000");
    let odd = odd
        .replace("H264/90000", "H265/90000")
        .replace("AV1/90000", "AV2/90000");
    let odd = odd.replace("VP9/90000", "VP10/90000");
    let odd = PublisherOffer::parse(&odd).unwrap();
    assert!(odd.is_partly_refused());
    let (text, negotiated) = odd.answer(&local()).unwrap();
    assert_eq!(negotiated.tracks.len(), 1);
    let sections = parts(&text);
    assert!(sections[2][0].starts_with("m=video 0 "));
    assert!(has(&sections[0], "a=group:BUNDLE 0"));
}

#[test]
fn ssrcs_are_taken_where_they_are_given_and_never_needed() {
    let (_, chromium) = answer("chromium-audio_video");
    let video = &chromium.tracks[1].encodings[0];
    assert!(video.rid.is_none() && video.ssrc.is_some() && video.rtx_ssrc.is_some());
    assert_ne!(video.ssrc, video.rtx_ssrc);

    let (_, gstreamer) = answer("gstreamer-audio_video");
    assert_eq!(gstreamer.tracks[0].encodings[0].ssrc, Some(902_223_432));
    assert_eq!(gstreamer.extensions.transport_cc, 0);
    assert!(!gstreamer.transport_cc, "feedback needs the extension");

    let without: String = offer("chromium-audio_video")
        .split_inclusive('\n')
        .filter(|line| !line.starts_with("a=ssrc"))
        .collect();
    let (_, none) = PublisherOffer::parse(&without)
        .unwrap()
        .answer(&local())
        .unwrap();
    assert_eq!(none.tracks.len(), 2);
    assert_eq!(none.tracks[1].encodings[0].ssrc, None);

    let groups = offer("chromium-audio_video").replace(
        "a=ssrc-group:FID ",
        "a=ssrc-group:SIM 11 12 13\r\na=ssrc-group:FID 12 22\r\na=ssrc-group:FID ",
    );
    let (_, old) = PublisherOffer::parse(&groups)
        .unwrap()
        .answer(&local())
        .unwrap();
    let ssrcs: Vec<_> = old.tracks[1]
        .encodings
        .iter()
        .map(|e| (e.ssrc, e.rtx_ssrc))
        .collect();
    assert_eq!(
        ssrcs,
        [(Some(11), None), (Some(12), Some(22)), (Some(13), None)]
    );
}

#[test]
fn aiortc_and_gstreamer_are_understood() {
    let (text, aiortc) = answer("aiortc-audio_video");
    // It names three hash functions; the first is the one.
    assert_eq!(aiortc.remote.fingerprint.0[..3], [0xE7, 0x59, 0x88]);
    assert_eq!(aiortc.remote.ufrag, "XlNe");
    assert!(!text.contains("rtcp-rsize"), "it was not offered");
    let types: Vec<_> = aiortc.tracks[1]
        .codecs
        .iter()
        .map(|c| c.published.payload_type)
        .collect();
    assert_eq!(types, [97, 99]);

    let (text, gstreamer) = answer("gstreamer-audio_video");
    let sections = parts(&text);
    assert!(has(&sections[0], "a=group:BUNDLE video0 audio1"));
    assert!(
        sections[2][0].starts_with("m=audio 9 "),
        "{}",
        sections[2][0]
    );
    assert!(has(&sections[2], "a=rtpmap:111 OPUS/48000/2"));
    assert_eq!(values(&sections[2], "fmtp"), ["111 useinbandfec=1"]);
    assert_eq!(gstreamer.tracks[0].mid, "video0");

    let (text, h264) = answer("gstreamer-h264");
    assert!(!text.contains("sprop-parameter-sets"));
    assert_eq!(
        h264.tracks[0].codecs[0].format,
        Format::H264 {
            profile: 66,
            constraints: 0xe0,
            mode: 1
        }
    );
}

#[test]
fn the_policy_chooses_and_orders_codecs() {
    let parsed = PublisherOffer::parse(&offer("chromium-audio_video")).unwrap();
    let policy = CodecPolicy {
        video: vec![VideoCodec::Vp9, VideoCodec::Vp8],
        ordered: true,
    };
    let (text, negotiated) = parsed.answer_by(&local(), &policy).unwrap();
    assert_eq!(
        parts(&text)[2][0],
        "m=video 9 UDP/TLS/RTP/SAVPF 98 99 96 97"
    );
    assert_eq!(negotiated.tracks[1].codecs[0].format, Format::Vp9(0));

    let none = CodecPolicy {
        video: Vec::new(),
        ordered: false,
    };
    let (text, negotiated) = parsed.answer_by(&local(), &none).unwrap();
    assert_eq!(negotiated.tracks.len(), 1);
    assert!(has(&parts(&text)[2], "a=inactive"));
}

#[test]
fn an_offer_that_cannot_be_secured_or_bundled_says_why() {
    let cases = [
        ("a=group:BUNDLE 0 1\r\n", "", "BUNDLE"),
        ("fingerprint:sha-256 ", "fingerprint:sha-1 ", "sha-1"),
        ("a=setup:actpass", "a=setup:passive", "setup"),
        ("a=setup:actpass", "a=setup:holdconn", "holdconn"),
        ("a=ice-ufrag:", "a=x:", "ice-ufrag"),
        ("a=ice-pwd:", "a=x:", "ice-pwd"),
        ("a=rtcp-mux\r\n", "", "rtcp-mux"),
        (
            "a=fingerprint:sha-256 ",
            "a=fingerprint:sha-256 0",
            "fingerprint",
        ),
        ("a=mid:1", "a=mid:0", "mid"),
        ("a=mid:1", "a=mid:a-mid-beyond-sixteen", "mid"),
    ];
    for (from, to, word) in cases {
        let text = offer("chromium-audio_video");
        assert!(text.contains(from));
        let refused = PublisherOffer::parse(&text.replace(from, to)).unwrap_err();
        assert!(refused.to_string().contains(word), "{word}: {refused}");
    }
    let active = offer("chromium-audio_video").replace("setup:actpass", "setup:active");
    PublisherOffer::parse(&active).unwrap();
}
