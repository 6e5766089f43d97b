//! Messages about media, drawn at random.

use forebay_ipc::media::*;
use forebay_ipc::*;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::{endpoint, list, text};

fn session_key() -> impl Strategy<Value = SessionKey> {
    any::<u64>().prop_map(SessionKey)
}

fn track_key() -> impl Strategy<Value = TrackKey> {
    any::<u64>().prop_map(TrackKey)
}

fn subscription_key() -> impl Strategy<Value = SubscriptionKey> {
    any::<u64>().prop_map(SubscriptionKey)
}

fn note() -> impl Strategy<Value = Note> {
    vec(any::<u8>(), 0..=64).prop_map(|bytes| Bytes::new(bytes).unwrap())
}

fn secret() -> impl Strategy<Value = MediaSecret> {
    vec(any::<u8>(), 0..=limits::MEDIA_SECRET)
        .prop_map(|bytes| Sensitive::new(Bytes::new(bytes).unwrap()))
}

pub(crate) fn fingerprint() -> impl Strategy<Value = Fingerprint> {
    any::<[u8; 32]>().prop_map(Fingerprint)
}

fn transport() -> impl Strategy<Value = MediaTransport> {
    prop_oneof![
        (
            text(),
            secret(),
            option::of(text()),
            option::of(fingerprint())
        )
            .prop_map(
                |(local_ufrag, local_password, remote_ufrag, remote_fingerprint)| {
                    MediaTransport::Ice {
                        local_ufrag,
                        local_password,
                        remote_ufrag,
                        remote_fingerprint,
                    }
                }
            ),
        (endpoint(), secret(), secret()).prop_map(|(remote, local, remote_keys)| {
            MediaTransport::Link {
                remote,
                local,
                remote_keys,
            }
        }),
    ]
}

fn extensions() -> impl Strategy<Value = Extensions> {
    any::<[u8; 10]>().prop_map(|[a, b, c, d, e, f, g, h, i, j]| Extensions {
        mid: a,
        rid: b,
        repaired_rid: c,
        audio_level: d,
        abs_send_time: e,
        transport_cc: f,
        video_orientation: g,
        dependency_descriptor: h,
        playout_delay: i,
        abs_capture_time: j,
    })
}

fn session() -> impl Strategy<Value = MediaSession> {
    (
        session_key(),
        any::<u16>(),
        transport(),
        extensions(),
        text(),
        any::<bool>(),
        note(),
    )
        .prop_map(
            |(key, worker, transport, extensions, cname, transport_cc, note)| MediaSession {
                key,
                worker,
                transport,
                extensions,
                cname,
                transport_cc,
                note,
            },
        )
}

fn codec() -> impl Strategy<Value = PublishedCodec> {
    let codec = prop_oneof![
        Just(Codec::Opus),
        Just(Codec::Vp8),
        Just(Codec::Vp9),
        Just(Codec::Av1),
        Just(Codec::H264),
        Just(Codec::Other),
    ];
    (any::<u8>(), codec, any::<u32>(), any::<Option<u8>>()).prop_map(
        |(payload_type, codec, clock_rate, rtx)| PublishedCodec {
            payload_type,
            codec,
            clock_rate,
            rtx,
        },
    )
}

fn encoding() -> impl Strategy<Value = Encoding> {
    (
        option::of(text()),
        any::<Option<u32>>(),
        any::<Option<u32>>(),
    )
        .prop_map(|(rid, ssrc, rtx_ssrc)| Encoding {
            rid,
            ssrc,
            rtx_ssrc,
        })
}

fn track() -> impl Strategy<Value = MediaTrack> {
    let kind = prop_oneof![Just(TrackKind::Audio), Just(TrackKind::Video)];
    (
        track_key(),
        session_key(),
        text(),
        kind,
        list(codec()),
        list(encoding()),
        any::<(bool, bool, bool)>(),
        note(),
    )
        .prop_map(
            |(key, session, mid, kind, codecs, encodings, (nack, muted, fir), note)| MediaTrack {
                key,
                session,
                mid,
                kind,
                codecs,
                encodings,
                nack,
                muted,
                note,
                fir,
            },
        )
}

fn mode() -> impl Strategy<Value = SubscriptionMode> {
    let relayed = any::<(u32, u32, bool)>().prop_map(|(ssrc, rtx_ssrc, wanted)| RelayedEncoding {
        ssrc,
        rtx_ssrc,
        wanted,
    });
    prop_oneof![
        any::<(u32, Option<u32>)>()
            .prop_map(|(ssrc, rtx_ssrc)| SubscriptionMode::Select { ssrc, rtx_ssrc }),
        list(relayed).prop_map(SubscriptionMode::Relay),
    ]
}

fn subscription() -> impl Strategy<Value = MediaSubscription> {
    let map =
        any::<(u8, u8, Option<u8>)>().prop_map(|(from, to, rtx)| PayloadMap { from, to, rtx });
    (
        subscription_key(),
        track_key(),
        session_key(),
        text(),
        list(map),
        mode(),
        any::<(u8, u8, bool, u8)>(),
    )
        .prop_map(
            |(
                key,
                track,
                session,
                mid,
                payload_types,
                mode,
                (max_spatial, max_temporal, paused, priority),
            )| {
                MediaSubscription {
                    key,
                    track,
                    session,
                    mid,
                    payload_types,
                    mode,
                    max_spatial,
                    max_temporal,
                    paused,
                    priority,
                }
            },
        )
}

pub(crate) fn command() -> impl Strategy<Value = Command> {
    prop_oneof![
        session().prop_map(|session| Command::SetSession(Box::new(session))),
        session_key().prop_map(Command::RemoveSession),
        track().prop_map(|track| Command::SetTrack(Box::new(track))),
        track_key().prop_map(Command::RemoveTrack),
        subscription().prop_map(|subscription| Command::SetSubscription(Box::new(subscription))),
        subscription_key().prop_map(Command::RemoveSubscription),
    ]
}

fn flow() -> impl Strategy<Value = FlowQuality> {
    any::<(u64, u64, u64, u32)>().prop_map(|(packets, bytes, lost, jitter_us)| FlowQuality {
        packets,
        bytes,
        lost,
        jitter_us,
    })
}

fn event() -> impl Strategy<Value = MediaEvent> {
    let why = prop_oneof![
        Just(SessionEnd::Consent),
        Just(SessionEnd::NeverConnected),
        Just(SessionEnd::Handshake),
        Just(SessionEnd::Fingerprint),
        Just(SessionEnd::ClosedByPeer),
    ];
    prop_oneof![
        (session_key(), endpoint())
            .prop_map(|(session, remote)| MediaEvent::Connected { session, remote }),
        (session_key(), any::<u16>())
            .prop_map(|(session, profile)| MediaEvent::Secured { session, profile }),
        session_key().prop_map(|session| MediaEvent::Disconnected { session }),
        (session_key(), why).prop_map(|(session, why)| MediaEvent::Ended { session, why }),
        (track_key(), any::<(u8, bool)>()).prop_map(|(track, (encoding, active))| {
            MediaEvent::Encoding {
                track,
                encoding,
                active,
            }
        }),
        (subscription_key(), any::<(Option<u8>, u8)>()).prop_map(
            |(subscription, (spatial, temporal))| MediaEvent::Layer {
                subscription,
                spatial,
                temporal,
            }
        ),
        (session_key(), any::<u64>()).prop_map(|(session, bits_per_second)| {
            MediaEvent::Bandwidth {
                session,
                bits_per_second,
            }
        }),
        (track_key(), any::<(u8, bool)>()).prop_map(|(track, (level, voice))| {
            MediaEvent::AudioLevel {
                track,
                level,
                voice,
            }
        }),
        (session_key(), any::<(Option<u32>, Option<u64>)>()).prop_map(
            |(session, (rtt_us, estimate))| MediaEvent::SessionQuality {
                session,
                rtt_us,
                estimate,
            }
        ),
        (track_key(), flow()).prop_map(|(track, flow)| MediaEvent::TrackQuality { track, flow }),
        (subscription_key(), flow()).prop_map(|(subscription, flow)| {
            MediaEvent::SubscriptionQuality { subscription, flow }
        }),
    ]
}

pub(crate) fn report() -> impl Strategy<Value = FromDataplane> {
    let worker = (
        any::<u16>(),
        list(endpoint()),
        any::<u32>(),
        any::<Option<u16>>(),
    )
        .prop_map(|(worker, addresses, session_capacity, tcp)| MediaWorker {
            worker,
            addresses,
            session_capacity,
            tcp,
        });
    prop_oneof![
        list(worker).prop_map(FromDataplane::MediaWorkers),
        session().prop_map(|session| FromDataplane::Session(Box::new(session))),
        track().prop_map(|track| FromDataplane::Track(Box::new(track))),
        list(subscription()).prop_map(FromDataplane::Subscriptions),
        list(event()).prop_map(FromDataplane::Media),
        fingerprint().prop_map(FromDataplane::Certificate),
    ]
}
