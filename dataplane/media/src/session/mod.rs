//! One transport.

mod extensions;

pub(crate) use extensions::{ExtensionMap, Found};

use core::time::Duration;

use forebay_wire::clock::Instant;

use crate::ice::Ice;
use crate::ingress::Arrivals;
use crate::output::Path;
use crate::srtp::{Inbound, Keys, MAX_LINK_STREAMS, MAX_STREAMS};
use crate::tables::{StreamSlot, TrackSlot};
use crate::transport::Transport;

/// One peer connection or relay link.
pub(crate) struct Session {
    pub(crate) transport: Transport,
    /// `None` for a relay link.
    pub(crate) ice: Option<Ice>,
    /// As they were set, to tell a repetition from a change.
    pub(crate) keys: Option<Keys>,
    pub(crate) inbound: Option<Inbound>,
    pub(crate) extensions: ExtensionMap,
    /// What it publishes.
    pub(crate) tracks: Vec<TrackSlot>,
    /// SSRCs it was heard from.
    pub(crate) streams: Vec<StreamSlot>,
    /// The stream looked up last.
    pub(crate) recent: Option<(u32, StreamSlot)>,
    pub(crate) arrivals: Arrivals,
    pub(crate) dtls: DtlsBudget,
    /// The peer's receiver reference time: its SSRC, the middle of its NTP
    /// time, and when it came (RFC 3611 §4.4).
    pub(crate) reference: Option<(u32, u32, Instant)>,
    /// When its quality was last reported.
    pub(crate) quality_told: Instant,
}

impl Session {
    /// A path is not its any more.
    pub(crate) fn take_path(&mut self, path: &Path) {
        self.transport.path.take_if(|selected| selected == path);
        if let Some(ice) = &mut self.ice {
            ice.tuples.remove(path);
        }
    }

    /// SSRCs it may be heard from.
    pub(crate) fn most_streams(&self) -> usize {
        if self.ice.is_some() {
            MAX_STREAMS
        } else {
            MAX_LINK_STREAMS
        }
    }
}

/// How many DTLS datagrams of a session are handed on: a handshake is ten or
/// so, with its retransmissions some dozens.
#[derive(Debug)]
pub(crate) struct DtlsBudget {
    tokens: u32,
    filled: Instant,
}

impl DtlsBudget {
    const BURST: u32 = 64;
    const PER_SECOND: u32 = 32;

    pub(crate) fn new(now: Instant) -> Self {
        Self {
            tokens: Self::BURST,
            filled: now,
        }
    }

    pub(crate) fn take(&mut self, now: Instant) -> bool {
        let each = Duration::from_secs(1) / Self::PER_SECOND;
        let earned = now.since(self.filled).as_nanos() / each.as_nanos();
        if earned > 0 {
            let earned = u32::try_from(earned).unwrap_or(u32::MAX);
            self.tokens = self.tokens.saturating_add(earned).min(Self::BURST);
            self.filled = now;
        }
        let taken = self.tokens > 0;
        self.tokens = self.tokens.saturating_sub(1);
        taken
    }
}
