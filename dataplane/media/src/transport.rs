//! The sending half of a session that ingress and egress share.

use core::time::Duration;

use forebay_wire::NoRoom;
use forebay_wire::clock::Instant;
use forebay_wire::rtcp::{NtpTime, Writer};

use crate::describe::Extensions;
use crate::ids::{SessionKey, Ssrc};
use crate::output::{Output, Path};
use crate::srtp::Outbound;
use crate::tables::SessionSlot;

/// Room for a compound: what a datagram of 1,200 bytes leaves.
const COMPOUND: usize = 1200;

/// What it takes to send to a session.
pub(crate) struct Transport {
    pub(crate) key: SessionKey,
    pub(crate) slot: SessionSlot,
    /// The selected path, once there is one.
    pub(crate) path: Option<Path>,
    /// Once there are keys.
    pub(crate) outbound: Option<Outbound>,
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

/// Our wall clock for reports: one for all streams, from an arbitrary start
/// (RFC 3550 §4 asks for no more).
pub(crate) fn ntp(now: Instant) -> NtpTime {
    let nanos = now.as_nanos();
    let fraction = ((nanos % 1_000_000_000) << 32) / 1_000_000_000;
    // A day up, so that the middle is not zero at the start, which means none.
    NtpTime((nanos / 1_000_000_000 + 86_400) << 32 | fraction)
}

/// The round trip by a report on our clock (RFC 3550 §6.4.1): now, minus the
/// middle of the NTP time it echoes, minus how long the peer held it. `None`
/// when it echoes nothing, or does not add up.
pub(crate) fn round_trip(now: Instant, last_report: u32, delay: u32) -> Option<Duration> {
    if last_report == 0 {
        return None;
    }
    let units = ntp(now)
        .middle()
        .wrapping_sub(last_report)
        .wrapping_sub(delay);
    // Rounding may make it slightly negative; a round trip of a minute is none.
    let units = if (units as i32) < 0 && units as i32 > -64 {
        1
    } else {
        units
    };
    (units < 60 << 16).then(|| Duration::from_nanos((u64::from(units) * 1_000_000_000) >> 16))
}

impl Transport {
    /// Whether anything can be sent.
    pub(crate) fn is_ready(&self) -> bool {
        self.path.is_some() && self.outbound.is_some()
    }

    /// Sends the compound that `write` makes; nothing when it makes none.
    /// False when the session cannot be sent to, or the batch is full: then
    /// `write` was not called.
    pub(crate) fn send_rtcp(
        &mut self,
        out: &mut impl Output,
        write: impl FnOnce(&mut Writer<'_>) -> Result<(), NoRoom>,
    ) -> bool {
        let (Some(path), Some(outbound)) = (&self.path, &mut self.outbound) else {
            return false;
        };
        let Some(buffer) = out.reserve(COMPOUND + Outbound::RTCP_OVERHEAD) else {
            return false;
        };
        let mut writer = Writer::new(&mut buffer[..COMPOUND]);
        // What did not fit is missing; what is there is whole.
        let _ = write(&mut writer);
        let len = writer.len();
        if len == 0 {
            return true;
        }
        match outbound.protect_rtcp(buffer, len) {
            Ok(len) => {
                out.commit(self.slot.0, path, len);
                true
            }
            Err(_) => false,
        }
    }

    /// Takes a measurement of the round-trip time in (RFC 6298 §2).
    pub(crate) fn measure_rtt(&mut self, sample: Duration) {
        let sample = sample.min(Duration::from_secs(10));
        self.rtt = Some(match self.rtt {
            Some(rtt) => (rtt * 7 + sample) / 8,
            None => sample,
        });
    }
}
