//! The sending half of a session that ingress and egress share.

use core::time::Duration;

use crate::describe::Extensions;
use crate::ids::{SessionKey, Ssrc};
use crate::output::Path;

/// What it takes to send to a session.
pub(crate) struct Transport {
    pub(crate) key: SessionKey,
    /// The selected path, once there is one.
    pub(crate) path: Option<Path>,
    /// Ids of header extensions on it, both ways.
    pub(crate) extensions: Extensions,
    /// CNAME of what we send.
    pub(crate) cname: Box<str>,
    /// It gives transport-wide feedback for what we send.
    pub(crate) transport_cc: bool,
    /// SSRC of our RTCP where no stream's is fit (receiver reports, feedback).
    pub(crate) ssrc: Ssrc,
    /// Smoothed round-trip time, from reports either way.
    pub(crate) rtt: Option<Duration>,
}

impl Transport {
    /// Takes a measurement of the round-trip time in (RFC 6298 §2).
    pub(crate) fn measure_rtt(&mut self, sample: Duration) {
        let sample = sample.min(Duration::from_secs(10));
        self.rtt = Some(match self.rtt {
            Some(rtt) => (rtt * 7 + sample) / 8,
            None => sample,
        });
    }
}
