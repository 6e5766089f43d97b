//! The subscriber connection: which track is in which section.

use std::collections::BTreeMap;
use std::time::Duration;

use forebay_ipc::media::SubscriptionKey;

use super::participant::Connection;
use crate::quality::Smoothed;
use crate::rooms::ids::TrackId;
use crate::sdp::{AcceptedCodec, SubscriberState};

/// How the sections come about.
#[derive(Debug)]
pub(super) enum Sections {
    /// We offer.
    Offered(SubscriberState),
    /// The client offered these, once: what is sent in them may change, they
    /// cannot.
    Fixed(Vec<FixedSection>),
}

/// A viewer's section.
#[derive(Debug)]
pub(super) struct FixedSection {
    pub(super) mid: String,
    pub(super) audio: bool,
    pub(super) accepted: Vec<AcceptedCodec>,
    /// SSRCs the answer named, for the first track.
    pub(super) declared: Option<(u32, Option<u32>)>,
}

/// A track in a section.
#[derive(Debug)]
pub(super) struct Section {
    pub(super) track: TrackId,
    pub(super) ssrc: u32,
    pub(super) rtx_ssrc: Option<u32>,
    /// Once the client has agreed to it.
    pub(super) key: Option<SubscriptionKey>,
    pub(super) accepted: Vec<AcceptedCodec>,
    pub(super) quality: Smoothed,
    pub(super) loss: f64,
    pub(super) jitter: Duration,
    pub(super) bits_per_second: u64,
    pub(super) layer: Option<(u8, u8)>,
}

/// An offer under way.
#[derive(Debug)]
pub(super) struct Outstanding {
    pub(super) revision: u64,
    /// What was offered where.
    pub(super) tracks: BTreeMap<String, TrackId>,
    /// Ticks it has waited.
    pub(super) waited: u32,
}

/// A participant's subscriber connection.
#[derive(Debug)]
pub(super) struct Subscriber {
    pub(super) connection: Connection,
    pub(super) state: Sections,
    /// By mid.
    pub(super) sections: BTreeMap<String, Section>,
    /// What the client takes, as its latest answer says; empty before it.
    pub(super) accepted: Vec<AcceptedCodec>,
    pub(super) revision: u64,
    pub(super) outstanding: Option<Outstanding>,
    pub(super) needs_offer: bool,
    /// The client has not seen an offer of this connection.
    pub(super) fresh: bool,
}

impl Subscriber {
    pub(super) fn new(connection: Connection, state: Sections, revision: u64) -> Self {
        Self {
            connection,
            state,
            sections: BTreeMap::new(),
            accepted: Vec::new(),
            revision,
            outstanding: None,
            needs_offer: false,
            fresh: true,
        }
    }

    /// The section a track is in.
    pub(super) fn mid_of(&self, track: TrackId) -> Option<&str> {
        self.sections
            .iter()
            .find(|(_, section)| section.track == track)
            .map(|(mid, _)| mid.as_str())
    }

    /// Whatever was offered last may never have arrived.
    pub(super) fn offer_again(&mut self) {
        if self.outstanding.take().is_some() {
            self.needs_offer = true;
        }
    }
}
