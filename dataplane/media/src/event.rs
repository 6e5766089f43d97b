//! Rare work and news for the caller.

use core::net::IpAddr;

use forebay_wire::clock::Instant;

use crate::ids::{SessionKey, SubscriptionKey, TrackKey};
use crate::output::Path;

/// Work queued by a [`Forwarder`](crate::Forwarder), fetched with
/// [`Forwarder::next_command`](crate::Forwarder::next_command).
#[derive(Debug, Clone, PartialEq)]
pub enum Command {
    /// Call [`Forwarder::on_timer`](crate::Forwarder::on_timer) with this
    /// token at or shortly after this time. At most one per token, and never
    /// more than [`Forwarder::timers`](crate::Forwarder::timers).
    Arm {
        /// Opaque.
        token: u64,
        /// When.
        at: Instant,
    },
    /// Hand this DTLS datagram to the session's handshake.
    Dtls {
        /// Whose.
        session: SessionKey,
        /// Who sent it.
        source: IpAddr,
        /// As received; at most 1,500 bytes.
        datagram: Box<[u8]>,
    },
    /// Something happened.
    Event(Event),
}

/// Why a session ended by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Loss {
    /// No authenticated check for 30 s (RFC 7675).
    Consent,
    /// No first check within 30 s of its making.
    NeverConnected,
}

/// What a control plane wants to know.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// An authenticated check selected this path (first, or another one).
    Connected {
        /// Whose.
        session: SessionKey,
        /// Where.
        path: Path,
    },
    /// No check for 15 s.
    Disconnected {
        /// Whose.
        session: SessionKey,
    },
    /// The session is gone, with its tracks and subscriptions.
    Ended {
        /// Which.
        session: SessionKey,
        /// Why.
        why: Loss,
    },
    /// An encoding began or ceased to arrive.
    Encoding {
        /// Of which track.
        track: TrackKey,
        /// Its place in [`TrackConfig::encodings`](crate::TrackConfig).
        encoding: u8,
        /// Whether it arrives.
        active: bool,
    },
    /// What a subscriber gets changed; `None`: nothing for lack of bandwidth
    /// or of a source.
    Layer {
        /// Which subscription.
        subscription: SubscriptionKey,
        /// Encoding or spatial layer, and temporal layer.
        layer: Option<(u8, u8)>,
    },
    /// A subscriber's bandwidth estimate changed by more than a tenth.
    Bandwidth {
        /// Whose.
        session: SessionKey,
        /// Bits per second.
        bits_per_second: u64,
    },
    /// A published audio track's smoothed level, when it changed enough.
    AudioLevel {
        /// Which.
        track: TrackKey,
        /// 0 is loudest, 127 silence (−dBov, RFC 6464).
        level: u8,
        /// Voice, as the publisher says or the level suggests.
        voice: bool,
    },
}
