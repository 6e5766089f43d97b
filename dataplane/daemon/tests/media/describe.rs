//! Sessions, tracks and subscriptions as a control plane would want them.

use std::net::SocketAddr;

use forebay_ipc::media::{
    Codec, Encoding, Extensions, Fingerprint, MediaSession, MediaSubscription, MediaTrack,
    MediaTransport, PayloadMap, PublishedCodec, SessionKey, SubscriptionKey, SubscriptionMode,
    TrackKey, TrackKind,
};
use forebay_ipc::{Bytes, Command, List, Sensitive, Text};

pub(crate) const PASSWORD: &[u8] = b"0123456789abcdefghijklmn";

pub(crate) fn ufrag(key: u64) -> String {
    format!("ufrag{key}")
}

fn with(key: u64, worker: u16, transport: MediaTransport) -> MediaSession {
    MediaSession {
        key: SessionKey(key),
        worker,
        transport,
        extensions: Extensions::default(),
        cname: Text::truncated("forebay"),
        transport_cc: false,
        note: Bytes::new(format!("note of {key}").into_bytes()).expect("short"),
    }
}

pub(crate) fn session(key: u64, worker: u16, fingerprint: [u8; 32]) -> MediaSession {
    let transport = MediaTransport::Ice {
        local_ufrag: Text::truncated(&ufrag(key)),
        local_password: Sensitive::new(Bytes::new(PASSWORD).expect("short")),
        remote_ufrag: Some(Text::truncated("peer")),
        remote_fingerprint: Some(Fingerprint(fingerprint)),
    };
    with(key, worker, transport)
}

/// One end of a link; `sends` and `receives` tell the ends' keys apart.
pub(crate) fn link(
    key: u64,
    worker: u16,
    remote: SocketAddr,
    sends: u8,
    receives: u8,
) -> MediaSession {
    let keys = |seed: u8| Sensitive::new(Bytes::new([seed; 28]).expect("short"));
    let transport = MediaTransport::Link {
        remote,
        local: keys(sends),
        remote_keys: keys(receives),
    };
    with(key, worker, transport)
}

fn track(
    key: u64,
    session: u64,
    kind: TrackKind,
    codec: PublishedCodec,
    encoding: Encoding,
) -> MediaTrack {
    MediaTrack {
        key: TrackKey(key),
        session: SessionKey(session),
        mid: Text::truncated("0"),
        kind,
        codecs: List::truncated([codec]),
        encodings: List::truncated([encoding]),
        nack: codec.rtx.is_some(),
        fir: false,
        muted: false,
        note: Bytes::new(format!("note of {key}").into_bytes()).expect("short"),
    }
}

pub(crate) fn audio(key: u64, session: u64, ssrc: u32) -> MediaTrack {
    let codec = PublishedCodec {
        payload_type: 111,
        codec: Codec::Opus,
        clock_rate: 48_000,
        rtx: None,
    };
    let encoding = Encoding {
        rid: None,
        ssrc: Some(ssrc),
        rtx_ssrc: None,
    };
    track(key, session, TrackKind::Audio, codec, encoding)
}

pub(crate) fn video(key: u64, session: u64, ssrc: u32) -> MediaTrack {
    let codec = PublishedCodec {
        payload_type: 96,
        codec: Codec::Vp8,
        clock_rate: 90_000,
        rtx: Some(97),
    };
    let encoding = Encoding {
        rid: None,
        ssrc: Some(ssrc),
        rtx_ssrc: Some(ssrc + 1),
    };
    track(key, session, TrackKind::Video, codec, encoding)
}

pub(crate) fn subscription(
    key: u64,
    track: &MediaTrack,
    session: u64,
    mode: SubscriptionMode,
) -> MediaSubscription {
    let maps = track.codecs.iter().map(|codec| PayloadMap {
        from: codec.payload_type,
        to: codec.payload_type,
        rtx: codec.rtx,
    });
    MediaSubscription {
        key: SubscriptionKey(key),
        track: track.key,
        session: SessionKey(session),
        mid: Text::truncated("0"),
        payload_types: List::truncated(maps),
        mode,
        max_spatial: 3,
        max_temporal: 3,
        paused: false,
        priority: 1,
    }
}

pub(crate) fn select(ssrc: u32) -> SubscriptionMode {
    SubscriptionMode::Select {
        ssrc,
        rtx_ssrc: Some(ssrc + 1),
    }
}

pub(crate) fn set_session(session: &MediaSession) -> Command {
    Command::SetSession(Box::new(session.clone()))
}

pub(crate) fn set_track(track: &MediaTrack) -> Command {
    Command::SetTrack(Box::new(track.clone()))
}

pub(crate) fn set_subscription(subscription: &MediaSubscription) -> Command {
    Command::SetSubscription(Box::new(subscription.clone()))
}
