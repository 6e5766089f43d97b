//! Sessions, tracks and subscriptions of the forwarder: what the control plane
//! wants, and what the data plane reports.
//!
//! Everything is desired state under keys the control plane draws at random,
//! so that a new control plane never names a thing of its predecessor by
//! accident. [`Note`]s are the control plane's own memory: the data plane
//! keeps them with the session or track and returns them in its snapshot, so
//! that a control plane that was restarted knows its rooms again.

use core::net::SocketAddr;

use minicbor::{Decode, Encode};

use crate::bounded::{Bytes, List, Sensitive, Text};
use crate::limits;

/// One peer connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Encode, Decode)]
#[cbor(transparent)]
pub struct SessionKey(#[n(0)] pub u64);

/// One published track.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Encode, Decode)]
#[cbor(transparent)]
pub struct TrackKey(#[n(0)] pub u64);

/// One track on its way to one session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Encode, Decode)]
#[cbor(transparent)]
pub struct SubscriptionKey(#[n(0)] pub u64);

/// The control plane's own memory of a thing, opaque to the data plane.
pub type Note = Bytes<{ limits::NOTE }>;

/// An ICE password, or key material of a relay link.
pub type MediaSecret = Sensitive<Bytes<{ limits::MEDIA_SECRET }>>;

/// Where media is received: one port per worker.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct MediaWorker {
    /// The worker's index.
    #[n(0)]
    pub worker: u16,
    /// As clients reach it (public), best first; IPv4 and IPv6.
    #[n(1)]
    pub addresses: List<SocketAddr, { limits::MEDIA_ADDRESSES }>,
    /// Sessions its tables have room for.
    #[n(2)]
    pub session_capacity: u32,
    /// TCP port on the same addresses, where media comes over TCP too.
    #[n(3)]
    pub tcp: Option<u16>,
}

/// A certificate's fingerprint (RFC 8122 §5), SHA-256.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Encode, Decode)]
#[cbor(transparent)]
pub struct Fingerprint(#[cbor(n(0), with = "minicbor::bytes")] pub [u8; 32]);

/// A session as it is wanted.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct MediaSession {
    /// Its name.
    #[n(0)]
    pub key: SessionKey,
    /// The worker that serves it; never changes.
    #[n(1)]
    pub worker: u16,
    /// How it is reached and protected.
    #[n(2)]
    pub transport: MediaTransport,
    /// Header extensions negotiated on it.
    #[n(3)]
    pub extensions: Extensions,
    /// CNAME of the streams we send on it.
    #[n(4)]
    pub cname: Text<{ limits::NAME }>,
    /// Whether it sends transport-wide feedback for what it receives.
    #[n(5)]
    pub transport_cc: bool,
    /// Returned in the snapshot.
    #[n(6)]
    pub note: Note,
}

/// How a session is reached and protected.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum MediaTransport {
    /// ICE-lite and DTLS, we are passive: a browser.
    #[n(0)]
    Ice {
        /// Our username fragment.
        #[n(0)]
        local_ufrag: Text<{ limits::UFRAG }>,
        /// Our password.
        #[n(1)]
        local_password: MediaSecret,
        /// The peer's fragment, once known.
        #[n(2)]
        remote_ufrag: Option<Text<{ limits::UFRAG }>>,
        /// What the peer's certificate must match, once known; no handshake
        /// completes without it.
        #[n(3)]
        remote_fingerprint: Option<Fingerprint>,
    },
    /// A relay link to another worker or node, with keys of its own
    /// (AEAD_AES_128_GCM).
    #[n(1)]
    Link {
        /// Where the other end receives.
        #[n(0)]
        remote: SocketAddr,
        /// Key (16 bytes) and salt (12 bytes) of what we send.
        #[n(1)]
        local: MediaSecret,
        /// Key (16 bytes) and salt (12 bytes) of what the other end sends.
        #[n(2)]
        remote_keys: MediaSecret,
    },
}

/// Ids of header extensions; 0 stands for none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Encode, Decode)]
pub struct Extensions {
    /// sdes:mid
    #[n(0)]
    pub mid: u8,
    /// sdes:rtp-stream-id
    #[n(1)]
    pub rid: u8,
    /// sdes:repaired-rtp-stream-id
    #[n(2)]
    pub repaired_rid: u8,
    /// ssrc-audio-level
    #[n(3)]
    pub audio_level: u8,
    /// abs-send-time
    #[n(4)]
    pub abs_send_time: u8,
    /// transport-wide-cc
    #[n(5)]
    pub transport_cc: u8,
    /// video-orientation
    #[n(6)]
    pub video_orientation: u8,
    /// dependency descriptor
    #[n(7)]
    pub dependency_descriptor: u8,
    /// playout-delay
    #[n(8)]
    pub playout_delay: u8,
    /// abs-capture-time
    #[n(9)]
    pub abs_capture_time: u8,
}

/// What a track carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Encode, Decode)]
#[cbor(index_only)]
pub enum TrackKind {
    /// Sound.
    #[n(0)]
    Audio,
    /// Pictures.
    #[n(1)]
    Video,
}

/// A codec, as far as forwarding cares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Encode, Decode)]
#[cbor(index_only)]
pub enum Codec {
    /// Opus.
    #[n(0)]
    Opus,
    /// VP8.
    #[n(1)]
    Vp8,
    /// VP9.
    #[n(2)]
    Vp9,
    /// AV1.
    #[n(3)]
    Av1,
    /// H.264.
    #[n(4)]
    H264,
    /// Forwarded without looking inside.
    #[n(5)]
    Other,
}

/// A payload type a publisher may send.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct PublishedCodec {
    /// 0–127.
    #[n(0)]
    pub payload_type: u8,
    /// What it is.
    #[n(1)]
    pub codec: Codec,
    /// RTP clock, Hz.
    #[n(2)]
    pub clock_rate: u32,
    /// Payload type of its retransmissions.
    #[n(3)]
    pub rtx: Option<u8>,
}

/// One encoding of a track.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Encoding {
    /// Its rid, when simulcast.
    #[n(0)]
    pub rid: Option<Text<{ limits::MID }>>,
    /// Its SSRC, when declared.
    #[n(1)]
    pub ssrc: Option<u32>,
    /// SSRC of its retransmissions, when declared.
    #[n(2)]
    pub rtx_ssrc: Option<u32>,
}

/// A published track as it is wanted.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct MediaTrack {
    /// Its name.
    #[n(0)]
    pub key: TrackKey,
    /// The session it comes on.
    #[n(1)]
    pub session: SessionKey,
    /// Its media section.
    #[n(2)]
    pub mid: Text<{ limits::MID }>,
    /// Sound or pictures.
    #[n(3)]
    pub kind: TrackKind,
    /// What it may be encoded as; at least one.
    #[n(4)]
    pub codecs: List<PublishedCodec, { limits::CODECS }>,
    /// At least one, lowest quality first.
    #[n(5)]
    pub encodings: List<Encoding, { limits::ENCODINGS }>,
    /// Whether NACK was negotiated.
    #[n(6)]
    pub nack: bool,
    /// Forward nothing of it.
    #[n(7)]
    pub muted: bool,
    /// Returned in the snapshot.
    #[n(8)]
    pub note: Note,
    /// Whether keyframes are asked for with FIR, for PLI was not negotiated.
    #[n(9)]
    pub fir: bool,
}

/// What a publisher's payload type becomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct PayloadMap {
    /// As published.
    #[n(0)]
    pub from: u8,
    /// As sent to the subscriber.
    #[n(1)]
    pub to: u8,
    /// Payload type of retransmissions to the subscriber.
    #[n(2)]
    pub rtx: Option<u8>,
}

/// The SSRCs one encoding is relayed under.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct RelayedEncoding {
    /// Of the media.
    #[n(0)]
    pub ssrc: u32,
    /// Of its retransmissions.
    #[n(1)]
    pub rtx_ssrc: u32,
    /// Whether the other end needs it now.
    #[n(2)]
    pub wanted: bool,
}

/// How a track is handed on.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum SubscriptionMode {
    /// One stream whose layer the data plane chooses: a browser.
    #[n(0)]
    Select {
        /// SSRC of the media; never used on this session before.
        #[n(0)]
        ssrc: u32,
        /// SSRC of its retransmissions.
        #[n(1)]
        rtx_ssrc: Option<u32>,
    },
    /// Every wanted encoding as its own stream, over a relay link.
    #[n(1)]
    Relay(#[n(0)] List<RelayedEncoding, { limits::ENCODINGS }>),
}

/// A track on its way to a session, as it is wanted.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct MediaSubscription {
    /// Its name.
    #[n(0)]
    pub key: SubscriptionKey,
    /// What; on the same worker as the session.
    #[n(1)]
    pub track: TrackKey,
    /// To whom.
    #[n(2)]
    pub session: SessionKey,
    /// The media section it is sent in.
    #[n(3)]
    pub mid: Text<{ limits::MID }>,
    /// What has no entry is not forwarded.
    #[n(4)]
    pub payload_types: List<PayloadMap, { limits::CODECS }>,
    /// How.
    #[n(5)]
    pub mode: SubscriptionMode,
    /// Highest encoding or spatial layer, 0–3.
    #[n(6)]
    pub max_spatial: u8,
    /// Highest temporal layer, 0–3.
    #[n(7)]
    pub max_temporal: u8,
    /// Send nothing for now.
    #[n(8)]
    pub paused: bool,
    /// Share of a short bandwidth estimate: higher first.
    #[n(9)]
    pub priority: u8,
}

/// A piece of news about media.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum MediaEvent {
    /// ICE selected a path, the first or another one.
    #[n(0)]
    Connected {
        /// Whose.
        #[n(0)]
        session: SessionKey,
        /// The peer's address.
        #[n(1)]
        remote: SocketAddr,
    },
    /// The DTLS handshake is done and the fingerprint matches.
    #[n(1)]
    Secured {
        /// Whose.
        #[n(0)]
        session: SessionKey,
        /// The SRTP protection profile's number (RFC 5764 registry).
        #[n(1)]
        profile: u16,
    },
    /// No check for 15 s; the session may come back.
    #[n(2)]
    Disconnected {
        /// Whose.
        #[n(0)]
        session: SessionKey,
    },
    /// The session is gone, with its tracks and subscriptions.
    #[n(3)]
    Ended {
        /// Which.
        #[n(0)]
        session: SessionKey,
        /// Why.
        #[n(1)]
        why: SessionEnd,
    },
    /// An encoding began or ceased to arrive.
    #[n(4)]
    Encoding {
        /// Of which track.
        #[n(0)]
        track: TrackKey,
        /// Its place in [`MediaTrack::encodings`].
        #[n(1)]
        encoding: u8,
        /// Whether it arrives.
        #[n(2)]
        active: bool,
    },
    /// What a subscriber gets changed.
    #[n(5)]
    Layer {
        /// Which subscription.
        #[n(0)]
        subscription: SubscriptionKey,
        /// Encoding or spatial layer; `None`: nothing.
        #[n(1)]
        spatial: Option<u8>,
        /// Temporal layer.
        #[n(2)]
        temporal: u8,
    },
    /// A subscriber's bandwidth estimate.
    #[n(6)]
    Bandwidth {
        /// Whose.
        #[n(0)]
        session: SessionKey,
        /// Bits per second.
        #[n(1)]
        bits_per_second: u64,
    },
    /// A published audio track's smoothed level.
    #[n(7)]
    AudioLevel {
        /// Which.
        #[n(0)]
        track: TrackKey,
        /// 0 is loudest, 127 silence.
        #[n(1)]
        level: u8,
        /// Whether it is voice.
        #[n(2)]
        voice: bool,
    },
    /// How a transport does, about every five seconds.
    #[n(8)]
    SessionQuality {
        /// Which.
        #[n(0)]
        session: SessionKey,
        /// Round-trip time, microseconds, once known.
        #[n(1)]
        rtt_us: Option<u32>,
        /// Bandwidth estimate, bits per second, once known.
        #[n(2)]
        estimate: Option<u64>,
    },
    /// How a track arrives from its publisher since the last report.
    #[n(9)]
    TrackQuality {
        /// Which.
        #[n(0)]
        track: TrackKey,
        /// What arrived.
        #[n(1)]
        flow: FlowQuality,
    },
    /// How a track gets to a subscriber since the last report.
    #[n(10)]
    SubscriptionQuality {
        /// Which.
        #[n(0)]
        subscription: SubscriptionKey,
        /// What was sent.
        #[n(1)]
        flow: FlowQuality,
    },
}

/// One flow's figures since its last report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Encode, Decode)]
pub struct FlowQuality {
    /// Packets.
    #[n(0)]
    pub packets: u64,
    /// Bytes.
    #[n(1)]
    pub bytes: u64,
    /// Packets lost.
    #[n(2)]
    pub lost: u64,
    /// Interarrival jitter, microseconds.
    #[n(3)]
    pub jitter_us: u32,
}

/// Why a session ended by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Encode, Decode)]
#[cbor(index_only)]
pub enum SessionEnd {
    /// No authenticated check for 30 s.
    #[n(0)]
    Consent,
    /// No first check within 30 s.
    #[n(1)]
    NeverConnected,
    /// The DTLS handshake failed.
    #[n(2)]
    Handshake,
    /// The peer's certificate does not match the fingerprint.
    #[n(3)]
    Fingerprint,
    /// The peer closed the DTLS association.
    #[n(4)]
    ClosedByPeer,
}

/// News about media, at most one page; a page is sent at least every 200 ms
/// while there is news.
pub type MediaEvents = List<MediaEvent, { limits::MEDIA_EVENTS }>;
