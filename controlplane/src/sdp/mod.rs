//! Session descriptions: what a peer connection offers or answers, reduced to
//! what rooms and the data plane need, and the texts that go back. No IO, no
//! state but [`SubscriberState`].
//!
//! A browser's *publisher* connection offers and we answer
//! ([`PublisherOffer`]); on its *subscriber* connection we offer
//! ([`SubscriberState`]). A WHEP viewer offers what it wants to receive
//! ([`ViewerOffer`]).

mod answer;
mod attributes;
mod codecs;
mod description;
mod extensions;
mod fragment;
mod publisher;
mod simulcast;
mod subscriber;
mod viewer;
mod write;

use std::net::SocketAddr;

use forebay_ipc::media::{Encoding, Extensions, Fingerprint, TrackKind};

pub use codecs::{AcceptedCodec, CodecPolicy, Format, NegotiatedCodec, VideoCodec, payload_map};
pub use fragment::{Fragment, restarted};
pub use publisher::{PublisherNote, PublisherOffer};
pub use subscriber::{SubscriberNote, SubscriberState};
pub use viewer::ViewerOffer;

/// Bytes a description may have.
pub const MAX: usize = 65_536;

/// Sections a description may have.
pub const SECTIONS: usize = 64;

/// Why a description cannot be used; the text may be shown to its sender.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SdpError {
    /// It is no session description.
    #[error("not a session description: {0}")]
    Malformed(String),
    /// Nothing can be negotiated from it, or it contradicts what was.
    #[error("{0}")]
    Unusable(String),
    /// A bound is exceeded.
    #[error("too many {0}")]
    TooMany(&'static str),
}

/// Our end of a transport.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalTransport {
    /// ICE username fragment.
    pub ufrag: String,
    /// ICE password.
    pub password: String,
    /// Of the data plane's certificate.
    pub fingerprint: Fingerprint,
    /// Host candidates (UDP), best first.
    pub candidates: Vec<SocketAddr>,
    /// Where it accepts TCP connections, for networks that let no UDP through.
    pub tcp_candidates: Vec<SocketAddr>,
}

/// The peer's end of a transport.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteTransport {
    /// ICE username fragment.
    pub ufrag: String,
    /// Of its certificate.
    pub fingerprint: Fingerprint,
}

/// A publisher connection as offered and answered.
#[derive(Debug, Clone, PartialEq)]
pub struct NegotiatedPublisher {
    /// The publisher's end.
    pub remote: RemoteTransport,
    /// Ids of header extensions.
    pub extensions: Extensions,
    /// Whether transport-wide feedback was negotiated.
    pub transport_cc: bool,
    /// The sections that send, in the offer's order.
    pub tracks: Vec<NegotiatedTrack>,
}

/// A section that sends.
#[derive(Debug, Clone, PartialEq)]
pub struct NegotiatedTrack {
    /// Its tag.
    pub mid: String,
    /// Sound or pictures.
    pub kind: TrackKind,
    /// What it may be encoded as, the preferred one first.
    pub codecs: Vec<NegotiatedCodec>,
    /// Lowest quality first; one without rid when it is no simulcast.
    pub encodings: Vec<Encoding>,
    /// Whether NACK was negotiated.
    pub nack: bool,
    /// Whether keyframes can be asked for with FIR alone.
    pub fir: bool,
}

/// A subscriber connection as answered.
#[derive(Debug, Clone, PartialEq)]
pub struct NegotiatedSubscriber {
    /// The subscriber's end.
    pub remote: RemoteTransport,
    /// Ids of header extensions.
    pub extensions: Extensions,
    /// Whether transport-wide feedback was negotiated.
    pub transport_cc: bool,
    /// Every section that receives.
    pub sections: Vec<NegotiatedSection>,
}

/// A section that receives.
#[derive(Debug, Clone, PartialEq)]
pub struct NegotiatedSection {
    /// Its tag.
    pub mid: String,
    /// Sound or pictures.
    pub kind: TrackKind,
    /// What it takes.
    pub accepted: Vec<AcceptedCodec>,
}

/// What is sent in a section of a subscriber connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SentTrack {
    /// Sound or pictures.
    pub kind: TrackKind,
    /// `msid`'s stream: the publishing participant's id.
    pub stream: String,
    /// `msid`'s track: the track's id.
    pub track: String,
    /// SSRC of the media.
    pub ssrc: u32,
    /// SSRC of its retransmissions (video).
    pub rtx_ssrc: Option<u32>,
}
