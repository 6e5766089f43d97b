//! Sessions, tracks and subscriptions as their owner describes them. Plain
//! values; the forwarder turns them into its own tables.

use crate::ids::{Mid, Rid, SessionKey, Ssrc, SubscriptionKey, TrackKey};
use crate::output::Path;
use crate::srtp::Keys;

/// What is asked of a forwarder. Everything is "this is so now": setting
/// something that exists replaces what may change of it, removing something
/// unknown is nothing.
#[derive(Debug, Clone)]
pub enum Change {
    /// Make a session, or change its remote description, its extensions (ICE
    /// restart: new local and remote credentials; the old ones stay valid
    /// until the first good check on the new).
    SetSession(SessionConfig),
    /// End a session with its tracks and subscriptions.
    RemoveSession(SessionKey),
    /// Make or change a published track.
    SetTrack(TrackConfig),
    /// End a track with its subscriptions.
    RemoveTrack(TrackKey),
    /// Make or change a subscription.
    SetSubscription(SubscriptionConfig),
    /// End a subscription.
    RemoveSubscription(SubscriptionKey),
    /// The DTLS handshake is done: these protect the session's media.
    SetKeys {
        /// Whose.
        session: SessionKey,
        /// The keys, ours and theirs.
        keys: Keys,
    },
}

/// An ICE username fragment and password (RFC 8445 §5.3): 4–256 and 22–256
/// characters of ALPHA / DIGIT / "+" / "/".
#[derive(Clone, PartialEq, Eq)]
pub struct IceCredentials {
    /// The fragment.
    pub ufrag: Box<str>,
    /// The password.
    pub password: Box<str>,
}

impl core::fmt::Debug for IceCredentials {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("IceCredentials")
            .field("ufrag", &self.ufrag)
            .finish_non_exhaustive()
    }
}

/// One transport.
#[derive(Debug, Clone)]
pub struct SessionConfig {
    /// Its name.
    pub key: SessionKey,
    /// How it is reached and protected.
    pub transport: Transport,
    /// The header extensions negotiated on the transport. BUNDLE requires one
    /// id to mean one thing over all sections (RFC 9143 §9.2).
    pub extensions: Extensions,
    /// CNAME of the streams we send on it (RFC 7022), 1–64 bytes.
    pub cname: Box<str>,
    /// Whether transport-wide feedback was negotiated for what it receives
    /// from us (then we estimate bandwidth from it).
    pub transport_cc: bool,
}

/// How a session is reached and protected.
#[derive(Debug, Clone)]
pub enum Transport {
    /// ICE-lite and DTLS: a browser.
    Ice {
        /// What the peer's checks must carry.
        local: IceCredentials,
        /// The peer's fragment; checks carry `local:remote`. `None` until
        /// known, then checks of any remote fragment pass.
        remote_ufrag: Option<Box<str>>,
    },
    /// Fixed keys and a fixed path: a relay link to another shard or node.
    Keyed(Keyed),
}

/// A relay link's path and keys.
#[derive(Debug, Clone)]
pub struct Keyed {
    /// Where the other end is.
    pub path: Path,
    /// Its keys, which no session had before: one that begins anew numbers its
    /// packets anew.
    pub keys: Keys,
}

/// Ids of header extensions (RFC 8285), 1–14 (one-byte form) or 1–255.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Extensions {
    /// urn:ietf:params:rtp-hdrext:sdes:mid
    pub mid: Option<u8>,
    /// urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id
    pub rid: Option<u8>,
    /// urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id
    pub repaired_rid: Option<u8>,
    /// urn:ietf:params:rtp-hdrext:ssrc-audio-level
    pub audio_level: Option<u8>,
    /// http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time
    pub abs_send_time: Option<u8>,
    /// http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01
    pub transport_cc: Option<u8>,
    /// urn:3gpp:video-orientation
    pub video_orientation: Option<u8>,
    /// AV1 dependency descriptor (also sent with VP8, VP9, H.264)
    pub dependency_descriptor: Option<u8>,
    /// http://www.webrtc.org/experiments/rtp-hdrext/playout-delay
    pub playout_delay: Option<u8>,
    /// http://www.webrtc.org/experiments/rtp-hdrext/abs-capture-time
    pub abs_capture_time: Option<u8>,
}

/// What a track carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TrackKind {
    /// Sound.
    Audio,
    /// Pictures.
    Video,
}

/// A codec, as far as forwarding cares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Codec {
    /// RFC 7587.
    Opus,
    /// RFC 7741.
    Vp8,
    /// RFC 9628.
    Vp9,
    /// The AV1 RTP specification.
    Av1,
    /// RFC 6184.
    H264,
    /// Forwarded without looking inside (G.711, RED, telephone events …).
    Other,
}

/// A payload type a publisher may send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PublishedCodec {
    /// 0–127.
    pub payload_type: u8,
    /// What it is.
    pub codec: Codec,
    /// RTP clock, Hz.
    pub clock_rate: u32,
    /// Payload type of its retransmissions (RFC 4588).
    pub rtx: Option<u8>,
}

/// One encoding (simulcast layer) of a track.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct EncodingConfig {
    /// Its rid, when simulcast.
    pub rid: Option<Rid>,
    /// Its SSRC, when declared.
    pub ssrc: Option<Ssrc>,
    /// SSRC of its retransmissions, when declared.
    pub rtx_ssrc: Option<Ssrc>,
}

/// A published track.
#[derive(Debug, Clone)]
pub struct TrackConfig {
    /// Its name.
    pub key: TrackKey,
    /// The session it comes on.
    pub session: SessionKey,
    /// Its media section.
    pub mid: Mid,
    /// Sound or pictures.
    pub kind: TrackKind,
    /// 1–8 payload types; retransmission types are within.
    pub codecs: Box<[PublishedCodec]>,
    /// 1–4 encodings, lowest quality first.
    pub encodings: Box<[EncodingConfig]>,
    /// Whether NACK was negotiated.
    pub nack: bool,
    /// Keyframes are asked for with FIR (RFC 5104 §4.3.1), for the publisher
    /// knows no PLI.
    pub fir: bool,
    /// Nothing is forwarded (the operator or the room muted it).
    pub muted: bool,
}

/// The most a subscriber is to get. Spatial counts encodings (simulcast) or
/// spatial layers (SVC) from zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LayerCap {
    /// Highest encoding or spatial layer, 0–3.
    pub spatial: u8,
    /// Highest temporal layer, 0–3.
    pub temporal: u8,
}

/// What a publisher's payload type becomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PayloadMap {
    /// As published.
    pub from: u8,
    /// As sent to the subscriber.
    pub to: u8,
    /// Payload type of retransmissions to the subscriber.
    pub rtx: Option<u8>,
}

/// One encoding of a relayed track: the SSRCs it is sent under.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RelayedEncoding {
    /// Of the media.
    pub ssrc: Ssrc,
    /// Of its retransmissions.
    pub rtx_ssrc: Ssrc,
    /// Whether the other end needs it now.
    pub wanted: bool,
}

/// How a track is handed on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mode {
    /// One stream whose layer is chosen here: a browser.
    Select {
        /// SSRC of the media. Never in use on this session before.
        ssrc: Ssrc,
        /// SSRC of its retransmissions.
        rtx_ssrc: Option<Ssrc>,
    },
    /// Every wanted encoding as its own stream, for another shard or node to
    /// choose from; as many as the track has encodings, in that order.
    Relay(Box<[RelayedEncoding]>),
}

/// A track on its way to a session.
#[derive(Debug, Clone)]
pub struct SubscriptionConfig {
    /// Its name.
    pub key: SubscriptionKey,
    /// What.
    pub track: TrackKey,
    /// To whom.
    pub session: SessionKey,
    /// The media section it is sent in.
    pub mid: Mid,
    /// Payload types; what has no entry is not forwarded.
    pub payload_types: Box<[PayloadMap]>,
    /// How.
    pub mode: Mode,
    /// The most it is to get.
    pub cap: LayerCap,
    /// Send nothing for now.
    pub paused: bool,
    /// Share of the bandwidth estimate when it is short: higher first.
    pub priority: u8,
}
