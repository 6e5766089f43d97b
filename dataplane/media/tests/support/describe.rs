//! Tracks, subscriptions and packets as tests need them.

use forebay_media::{
    Codec, EncodingConfig, Extensions, LayerCap, Mid, Mode, PayloadMap, PublishedCodec, Rid,
    SessionKey, Ssrc, SubscriptionConfig, SubscriptionKey, TrackConfig, TrackKey, TrackKind,
};
use forebay_wire::rtp::HeaderWriter;

pub(crate) const OPUS: u8 = 111;
pub(crate) const VP8: u8 = 96;
pub(crate) const VP8_RTX: u8 = 97;

/// Chromium's ids.
pub(crate) fn extensions() -> Extensions {
    Extensions {
        mid: Some(4),
        rid: Some(10),
        repaired_rid: Some(11),
        audio_level: Some(1),
        abs_send_time: Some(2),
        transport_cc: Some(3),
        video_orientation: Some(13),
        dependency_descriptor: Some(8),
        playout_delay: Some(5),
        abs_capture_time: Some(9),
    }
}

pub(crate) fn audio(key: u64, session: SessionKey, mid: &str) -> TrackConfig {
    TrackConfig {
        key: TrackKey(key),
        session,
        mid: Mid::new(mid.as_bytes()).unwrap(),
        kind: TrackKind::Audio,
        codecs: Box::new([PublishedCodec {
            payload_type: OPUS,
            codec: Codec::Opus,
            clock_rate: 48_000,
            rtx: None,
        }]),
        encodings: Box::new([EncodingConfig::default()]),
        nack: false,
        fir: false,
        muted: false,
    }
}

/// VP8; simulcast when there is more than one rid, none declared by SSRC.
pub(crate) fn video(key: u64, session: SessionKey, mid: &str, rids: &[&str]) -> TrackConfig {
    let encodings = if rids.is_empty() {
        Box::new([EncodingConfig::default()]) as Box<[_]>
    } else {
        rids.iter()
            .map(|rid| EncodingConfig {
                rid: Rid::new(rid.as_bytes()),
                ..EncodingConfig::default()
            })
            .collect()
    };
    TrackConfig {
        key: TrackKey(key),
        session,
        mid: Mid::new(mid.as_bytes()).unwrap(),
        kind: TrackKind::Video,
        codecs: Box::new([PublishedCodec {
            payload_type: VP8,
            codec: Codec::Vp8,
            clock_rate: 90_000,
            rtx: Some(VP8_RTX),
        }]),
        encodings,
        nack: true,
        fir: false,
        muted: false,
    }
}

/// A subscription that takes everything.
pub(crate) fn subscription(
    key: u64,
    track: &TrackConfig,
    session: SessionKey,
) -> SubscriptionConfig {
    let payload_types = track
        .codecs
        .iter()
        .map(|codec| PayloadMap {
            from: codec.payload_type,
            to: codec.payload_type,
            rtx: codec.rtx,
        })
        .collect();
    SubscriptionConfig {
        key: SubscriptionKey(key),
        track: track.key,
        session,
        mid: Mid::new(format!("s{key}").as_bytes()).unwrap(),
        payload_types,
        mode: Mode::Select {
            ssrc: Ssrc(0x5000_0000 + key as u32 * 2),
            rtx_ssrc: Some(Ssrc(0x5000_0001 + key as u32 * 2)),
        },
        cap: LayerCap {
            spatial: 3,
            temporal: 3,
        },
        paused: false,
        priority: 1,
    }
}

/// An RTP packet to be.
#[derive(Debug, Clone)]
pub(crate) struct Media<'a> {
    pub(crate) ssrc: u32,
    pub(crate) payload_type: u8,
    pub(crate) sequence: u16,
    pub(crate) timestamp: u32,
    pub(crate) marker: bool,
    pub(crate) extensions: Vec<(u8, Vec<u8>)>,
    pub(crate) payload: &'a [u8],
}

impl<'a> Media<'a> {
    pub(crate) fn new(ssrc: u32, payload_type: u8, payload: &'a [u8]) -> Self {
        Self {
            ssrc,
            payload_type,
            sequence: 0,
            timestamp: 0,
            marker: false,
            extensions: Vec::new(),
            payload,
        }
    }

    pub(crate) fn at(mut self, sequence: u16, timestamp: u32) -> Self {
        self.sequence = sequence;
        self.timestamp = timestamp;
        self
    }

    pub(crate) fn marked(mut self, marker: bool) -> Self {
        self.marker = marker;
        self
    }

    pub(crate) fn with(mut self, id: u8, value: &[u8]) -> Self {
        self.extensions.push((id, value.to_vec()));
        self
    }

    /// With mid and rid as in its first packets; empty for none.
    pub(crate) fn named(self, mid: &str, rid: &str) -> Self {
        let named = self.with(4, mid.as_bytes());
        if rid.is_empty() {
            named
        } else {
            named.with(10, rid.as_bytes())
        }
    }

    pub(crate) fn build(&self) -> Vec<u8> {
        let extensions: Vec<(u8, &[u8])> = self
            .extensions
            .iter()
            .map(|(id, value)| (*id, value.as_slice()))
            .collect();
        let mut packet = vec![0; HeaderWriter::len(&extensions)];
        HeaderWriter {
            marker: self.marker,
            padding: false,
            payload_type: self.payload_type,
            sequence: self.sequence,
            timestamp: self.timestamp,
            ssrc: self.ssrc,
        }
        .write(&mut packet, &extensions)
        .unwrap();
        packet.extend_from_slice(self.payload);
        packet
    }
}

/// A VP8 payload (RFC 7741 §4.2) with a 15-bit picture id, TL0PICIDX and
/// temporal layer; the frame's first packet when `start`.
pub(crate) fn vp8(
    key: bool,
    start: bool,
    picture: u16,
    tl0: u8,
    temporal: u8,
    len: usize,
) -> Vec<u8> {
    let mut payload = vec![
        0x80 | u8::from(start) << 4,
        0x80 | 0x40 | 0x20,
        0x80 | (picture >> 8) as u8 & 0x7F,
        picture as u8,
        tl0,
        temporal << 6 | 0x20,
    ];
    if start {
        payload.push(u8::from(!key));
    }
    payload.resize(len.max(payload.len()), 0x5A);
    payload
}
