//! Counters, and what a session's quality is judged by.

use core::time::Duration;

use crate::ids::{SessionKey, SubscriptionKey, TrackKey};

/// Why a datagram was dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(usize)]
pub enum DropReason {
    /// No session on this path.
    NoSession,
    /// Does not parse.
    Malformed,
    /// Keys are not there yet.
    NoKeys,
    /// Authentication failed.
    BadTag,
    /// Seen before, or too old to tell.
    Replayed,
    /// Belongs to no track.
    UnknownStream,
    /// More synchronisation sources than a transport may have.
    TooManyStreams,
    /// A check with a wrong fragment, password or fingerprint.
    BadCheck,
    /// More DTLS datagrams than the budget of their session.
    DtlsBudget,
    /// The command queue or the batch was full.
    NoRoom,
}

impl DropReason {
    /// Every reason, in the order of the discriminants.
    pub const ALL: [Self; 10] = [
        Self::NoSession,
        Self::Malformed,
        Self::NoKeys,
        Self::BadTag,
        Self::Replayed,
        Self::UnknownStream,
        Self::TooManyStreams,
        Self::BadCheck,
        Self::DtlsBudget,
        Self::NoRoom,
    ];

    /// The label value.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NoSession => "no_session",
            Self::Malformed => "malformed_media",
            Self::NoKeys => "no_keys",
            Self::BadTag => "bad_tag",
            Self::Replayed => "replayed",
            Self::UnknownStream => "unknown_stream",
            Self::TooManyStreams => "too_many_streams",
            Self::BadCheck => "bad_check",
            Self::DtlsBudget => "dtls_budget",
            Self::NoRoom => "no_room",
        }
    }
}

/// What a forwarder counted since it was made. Everything only rises, but for
/// the numbers of sessions, tracks and subscriptions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counters {
    /// Live sessions.
    pub sessions: u64,
    /// Live tracks.
    pub tracks: u64,
    /// Live subscriptions.
    pub subscriptions: u64,
    /// RTP packets received and authenticated.
    pub received_packets: u64,
    /// Their bytes, headers and tags included.
    pub received_bytes: u64,
    /// RTP packets forwarded (retransmissions apart).
    pub forwarded_packets: u64,
    /// Their bytes, headers and tags included.
    pub forwarded_bytes: u64,
    /// Packets sent again on a subscriber's NACK.
    pub retransmitted_packets: u64,
    /// Packets a subscriber asked for that were gone.
    pub retransmissions_missed: u64,
    /// Packets we asked publishers for.
    pub nacked_packets: u64,
    /// Keyframe requests sent to publishers.
    pub keyframe_requests: u64,
    /// Switches of encoding or spatial layer.
    pub layer_switches: u64,
    /// Padding packets sent as bandwidth probes.
    pub probe_packets: u64,
    /// ICE checks answered.
    pub checks: u64,
    /// RTCP packets (compounds) received and authenticated.
    pub rtcp_received: u64,
    /// RTCP packets (compounds) sent.
    pub rtcp_sent: u64,
    /// Datagrams dropped, by [`DropReason`].
    pub dropped: [u64; DropReason::ALL.len()],
}

/// What a publisher's track is like, since the last report.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct ReceiveReport {
    /// Packets that arrived.
    pub packets: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Packets lost for good (retransmissions did not heal them).
    pub lost: u64,
    /// Interarrival jitter (RFC 3550 §6.4.1).
    pub jitter: Duration,
}

/// What a subscriber gets, since the last report.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct SendReport {
    /// Packets sent.
    pub packets: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Packets the subscriber reported lost.
    pub lost: u64,
    /// Jitter the subscriber reported.
    pub jitter: Duration,
}

/// One line of quality, about every five seconds for whatever lives.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Report {
    /// A transport.
    Session {
        /// Which.
        session: SessionKey,
        /// Round-trip time, once known.
        rtt: Option<Duration>,
        /// Bandwidth estimate towards it, bits per second, once known.
        estimate: Option<u64>,
    },
    /// A track from its publisher.
    Track {
        /// Which.
        track: TrackKey,
        /// How it arrives, all encodings together.
        receive: ReceiveReport,
    },
    /// A track at a subscriber.
    Subscription {
        /// Which.
        subscription: SubscriptionKey,
        /// How it gets there.
        send: SendReport,
    },
}
