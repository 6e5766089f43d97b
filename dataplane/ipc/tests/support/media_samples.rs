//! One fixed message about media of every kind.

use forebay_ipc::media::*;
use forebay_ipc::*;

use super::samples::Named;

fn secret(bytes: &[u8]) -> MediaSecret {
    Sensitive::new(Bytes::new(bytes).unwrap())
}

fn session() -> MediaSession {
    MediaSession {
        key: SessionKey(0x0102_0304_0506_0708),
        worker: 1,
        transport: MediaTransport::Ice {
            local_ufrag: Text::new("fbay").unwrap(),
            local_password: secret(b"22-characters-of-words"),
            remote_ufrag: Some(Text::new("4ZcD").unwrap()),
            remote_fingerprint: Some(Fingerprint([0xab; 32])),
        },
        extensions: Extensions {
            mid: 4,
            rid: 10,
            repaired_rid: 11,
            audio_level: 1,
            abs_send_time: 2,
            transport_cc: 3,
            video_orientation: 13,
            dependency_descriptor: 12,
            playout_delay: 5,
            abs_capture_time: 0,
        },
        cname: Text::new("forebay").unwrap(),
        transport_cc: true,
        note: Bytes::new(*b"room=blue").unwrap(),
    }
}

fn link() -> MediaSession {
    MediaSession {
        key: SessionKey(9),
        transport: MediaTransport::Link {
            remote: "203.0.113.7:7883".parse().unwrap(),
            local: secret(&[1; 28]),
            remote_keys: secret(&[2; 28]),
        },
        ..session()
    }
}

fn track() -> MediaTrack {
    let encoding = |rid: &str, ssrc| Encoding {
        rid: Some(Text::new(rid).unwrap()),
        ssrc,
        rtx_ssrc: None,
    };
    MediaTrack {
        key: TrackKey(70_000),
        session: session().key,
        mid: Text::new("1").unwrap(),
        kind: TrackKind::Video,
        codecs: List::new(vec![PublishedCodec {
            payload_type: 96,
            codec: Codec::Vp8,
            clock_rate: 90_000,
            rtx: Some(97),
        }])
        .unwrap(),
        encodings: List::new(vec![encoding("q", Some(77)), encoding("f", None)]).unwrap(),
        nack: true,
        fir: true,
        muted: false,
        note: Bytes::new(*b"camera").unwrap(),
    }
}

fn subscription(mode: SubscriptionMode) -> MediaSubscription {
    MediaSubscription {
        key: SubscriptionKey(3),
        track: track().key,
        session: session().key,
        mid: Text::new("5").unwrap(),
        payload_types: List::new(vec![PayloadMap {
            from: 96,
            to: 102,
            rtx: Some(103),
        }])
        .unwrap(),
        mode,
        max_spatial: 2,
        max_temporal: 3,
        paused: false,
        priority: 100,
    }
}

/// Those to the data plane.
pub(crate) fn commands() -> Named<ToDataplane> {
    let select = subscription(SubscriptionMode::Select {
        ssrc: 5_000,
        rtx_ssrc: Some(5_001),
    });
    [
        ("set_session", Command::SetSession(Box::new(session()))),
        ("set_link", Command::SetSession(Box::new(link()))),
        ("remove_session", Command::RemoveSession(session().key)),
        ("set_track", Command::SetTrack(Box::new(track()))),
        ("remove_track", Command::RemoveTrack(track().key)),
        (
            "set_subscription",
            Command::SetSubscription(Box::new(select)),
        ),
        (
            "remove_subscription",
            Command::RemoveSubscription(SubscriptionKey(3)),
        ),
    ]
    .into_iter()
    .zip(11..)
    .map(|((name, command), id)| (name, ToDataplane::Command { id, command }))
    .collect()
}

/// One of every event.
fn events() -> Vec<MediaEvent> {
    let (session, track) = (session().key, track().key);
    let flow = FlowQuality {
        packets: 5_000,
        bytes: 6 << 20,
        lost: 12,
        jitter_us: 3_500,
    };
    vec![
        MediaEvent::Connected {
            session,
            remote: "[2001:db8::7]:50000".parse().unwrap(),
        },
        MediaEvent::Secured {
            session,
            profile: 7,
        },
        MediaEvent::Disconnected { session },
        MediaEvent::Ended {
            session,
            why: SessionEnd::Fingerprint,
        },
        MediaEvent::Encoding {
            track,
            encoding: 2,
            active: true,
        },
        MediaEvent::Layer {
            subscription: SubscriptionKey(3),
            spatial: Some(1),
            temporal: 2,
        },
        MediaEvent::Bandwidth {
            session,
            bits_per_second: 2_500_000,
        },
        MediaEvent::AudioLevel {
            track,
            level: 40,
            voice: true,
        },
        MediaEvent::SessionQuality {
            session,
            rtt_us: Some(31_000),
            estimate: None,
        },
        MediaEvent::TrackQuality { track, flow },
        MediaEvent::SubscriptionQuality {
            subscription: SubscriptionKey(3),
            flow,
        },
    ]
}

/// Those from the data plane.
pub(crate) fn reports() -> Named<FromDataplane> {
    let relay = subscription(SubscriptionMode::Relay(
        List::new(vec![RelayedEncoding {
            ssrc: 6_000,
            rtx_ssrc: 6_001,
            wanted: true,
        }])
        .unwrap(),
    ));
    vec![
        (
            "media_workers",
            FromDataplane::MediaWorkers(
                List::new(vec![MediaWorker {
                    worker: 1,
                    addresses: List::new(vec![
                        "203.0.113.7:7883".parse().unwrap(),
                        "[2001:db8::7]:7883".parse().unwrap(),
                    ])
                    .unwrap(),
                    session_capacity: 4_096,
                    tcp: Some(7_881),
                }])
                .unwrap(),
            ),
        ),
        ("session", FromDataplane::Session(Box::new(session()))),
        ("track", FromDataplane::Track(Box::new(track()))),
        (
            "subscriptions",
            FromDataplane::Subscriptions(List::new(vec![relay]).unwrap()),
        ),
        (
            "media_events",
            FromDataplane::Media(List::new(events()).unwrap()),
        ),
        (
            "certificate",
            FromDataplane::Certificate(Fingerprint([0xcd; 32])),
        ),
    ]
}
