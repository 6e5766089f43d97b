//! Messages about media, filled to the brim.

use std::net::SocketAddr;

use forebay_ipc::media::*;
use forebay_ipc::*;

use super::largest::{full_list, full_text};

fn secret() -> MediaSecret {
    Sensitive::new(Bytes::new(vec![0xff; limits::MEDIA_SECRET]).unwrap())
}

fn note() -> Note {
    Bytes::new(vec![0xff; limits::NOTE]).unwrap()
}

fn session(transport: MediaTransport) -> Box<MediaSession> {
    Box::new(MediaSession {
        key: SessionKey(u64::MAX),
        worker: u16::MAX,
        transport,
        extensions: Extensions {
            mid: 255,
            rid: 255,
            repaired_rid: 255,
            audio_level: 255,
            abs_send_time: 255,
            transport_cc: 255,
            video_orientation: 255,
            dependency_descriptor: 255,
            playout_delay: 255,
            abs_capture_time: 255,
        },
        cname: full_text(),
        transport_cc: true,
        note: note(),
    })
}

fn sessions(endpoint: SocketAddr) -> [Box<MediaSession>; 2] {
    [
        session(MediaTransport::Ice {
            local_ufrag: full_text(),
            local_password: secret(),
            remote_ufrag: Some(full_text()),
            remote_fingerprint: Some(Fingerprint([0xff; 32])),
        }),
        session(MediaTransport::Link {
            remote: endpoint,
            local: secret(),
            remote_keys: secret(),
        }),
    ]
}

fn track() -> Box<MediaTrack> {
    Box::new(MediaTrack {
        key: TrackKey(u64::MAX),
        session: SessionKey(u64::MAX),
        mid: full_text(),
        kind: TrackKind::Video,
        codecs: full_list(PublishedCodec {
            payload_type: 255,
            codec: Codec::Other,
            clock_rate: u32::MAX,
            rtx: Some(255),
        }),
        encodings: full_list(Encoding {
            rid: Some(full_text()),
            ssrc: Some(u32::MAX),
            rtx_ssrc: Some(u32::MAX),
        }),
        nack: true,
        fir: true,
        muted: true,
        note: note(),
    })
}

fn subscription() -> MediaSubscription {
    MediaSubscription {
        key: SubscriptionKey(u64::MAX),
        track: TrackKey(u64::MAX),
        session: SessionKey(u64::MAX),
        mid: full_text(),
        payload_types: full_list(PayloadMap {
            from: 255,
            to: 255,
            rtx: Some(255),
        }),
        mode: SubscriptionMode::Relay(full_list(RelayedEncoding {
            ssrc: u32::MAX,
            rtx_ssrc: u32::MAX,
            wanted: true,
        })),
        max_spatial: 255,
        max_temporal: 255,
        paused: true,
        priority: 255,
    }
}

/// Those to the data plane.
pub(crate) fn commands(endpoint: SocketAddr) -> Vec<Command> {
    let [ice, link] = sessions(endpoint);
    vec![
        Command::SetSession(ice),
        Command::SetSession(link),
        Command::SetTrack(track()),
        Command::SetSubscription(Box::new(subscription())),
    ]
}

/// Those from the data plane.
pub(crate) fn reports(endpoint: SocketAddr) -> Vec<FromDataplane> {
    let [ice, link] = sessions(endpoint);
    let flow = FlowQuality {
        packets: u64::MAX,
        bytes: u64::MAX,
        lost: u64::MAX,
        jitter_us: u32::MAX,
    };
    vec![
        FromDataplane::MediaWorkers(full_list(MediaWorker {
            worker: u16::MAX,
            addresses: full_list(endpoint),
            session_capacity: u32::MAX,
            tcp: Some(u16::MAX),
        })),
        FromDataplane::Session(ice),
        FromDataplane::Session(link),
        FromDataplane::Track(track()),
        FromDataplane::Subscriptions(full_list(subscription())),
        FromDataplane::Media(full_list(MediaEvent::SubscriptionQuality {
            subscription: SubscriptionKey(u64::MAX),
            flow,
        })),
        FromDataplane::Media(full_list(MediaEvent::Connected {
            session: SessionKey(u64::MAX),
            remote: endpoint,
        })),
    ]
}
