//! What a session does by the clock.

use core::time::Duration;

use forebay_wire::clock::{Instant, Now};

use super::Hub;
use crate::event::{Event, Loss};
use crate::ice::{DISCONNECTED, EXPIRED};
use crate::output::Output;
use crate::queue::Timer;
use crate::tables::SessionSlot;

/// Between receiver reports, and looks at consent.
pub(super) const REPORT: Duration = Duration::from_secs(1);
/// Between transport-wide feedback: a sender's estimator wants 50–250 ms.
pub(super) const FEEDBACK: Duration = Duration::from_millis(50);
/// From a gap to the first NACK: what is only out of order comes meanwhile.
pub(super) const REPAIR: Duration = Duration::from_millis(12);
/// An encoding is gone when nothing came for so long …
const GONE: Duration = Duration::from_secs(3);
/// … or for so long while another of the same track goes on.
const DROPPED: Duration = Duration::from_millis(750);
const GOES_ON: Duration = Duration::from_millis(200);

/// What a timer leaves to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Due {
    /// Nothing.
    Nothing,
    /// It is one of egress's.
    Egress(SessionSlot, Timer),
    /// The session has ended by itself.
    Ended(SessionSlot, Loss),
}

impl Hub {
    pub(crate) fn on_timer(&mut self, now: Now, token: u64, out: &mut impl Output) -> Due {
        let Some((slot, timer)) = self.queue.fired(token) else {
            return Due::Nothing;
        };
        if self.sessions.get(slot).is_none() {
            return Due::Nothing;
        }
        match timer {
            Timer::Pace | Timer::Estimate => return Due::Egress(slot, timer),
            Timer::Repair => self.repair(now, slot, out),
            Timer::Feedback => {
                let more = self.send_arrivals(now, slot, out);
                self.look_at_encodings(now.instant, slot);
                self.ask_for_keyframes(now, slot, out);
                // Without packets the next one arms it again.
                if more || self.wants_keyframes(slot) {
                    self.queue
                        .arm(slot, Timer::Feedback, now.instant + FEEDBACK);
                }
            }
            Timer::Report => {
                if let Some(why) = self.consent(now.instant, slot) {
                    return Due::Ended(slot, why);
                }
                self.look_at_encodings(now.instant, slot);
                self.silence(now.instant, slot);
                self.send_reports(now, slot, out);
                self.queue.arm(slot, Timer::Report, now.instant + REPORT);
            }
        }
        Due::Nothing
    }

    /// Whether the session goes on (RFC 7675 §5.1).
    fn consent(&mut self, now: Instant, slot: SessionSlot) -> Option<Loss> {
        let session = self.sessions.get_mut(slot)?;
        let ice = session.ice.as_mut()?;
        let silence = ice.silence(now);
        if silence >= EXPIRED {
            return Some(if ice.connected {
                Loss::Consent
            } else {
                Loss::NeverConnected
            });
        }
        if silence >= DISCONNECTED && ice.connected && !ice.disconnected {
            ice.disconnected = true;
            let session = session.transport.key;
            self.event(Event::Disconnected { session });
        }
        None
    }

    /// Notes encodings that have ceased.
    fn look_at_encodings(&mut self, now: Instant, slot: SessionSlot) {
        let Some(session) = self.sessions.get(slot) else {
            return;
        };
        for at in 0..session.tracks.len() {
            let Some(&track_slot) = self.sessions.get(slot).and_then(|s| s.tracks.get(at)) else {
                return;
            };
            let Some(track) = self.tracks.get_mut(track_slot) else {
                continue;
            };
            let goes_on = track
                .encodings
                .iter()
                .filter_map(|encoding| encoding.inflow.heard)
                .any(|heard| now.since(heard) < GOES_ON);
            let patience = if goes_on { DROPPED } else { GONE };
            let key = track.key;
            for at in 0..track.encodings.len() {
                let Some(encoding) = self
                    .tracks
                    .get_mut(track_slot)
                    .and_then(|track| track.encodings.get_mut(at))
                else {
                    break;
                };
                let silent = encoding
                    .inflow
                    .heard
                    .is_none_or(|heard| now.since(heard) >= patience);
                if encoding.active && silent {
                    encoding.active = false;
                    encoding.inflow.meter.reset(&mut encoding.rates);
                    encoding.inflow.missing.clear();
                    self.event(Event::Encoding {
                        track: key,
                        encoding: at as u8,
                        active: false,
                    });
                    self.note_change(track_slot, at as u8);
                }
            }
        }
    }

    /// Tells of tracks that fell silent without a packet to say so.
    fn silence(&mut self, now: Instant, slot: SessionSlot) {
        let Some(session) = self.sessions.get(slot) else {
            return;
        };
        for &track in &session.tracks {
            if let Some(track) = self.tracks.get_mut(track)
                && let Some((level, voice)) = track.level.news(now)
            {
                let _ = self.queue.event(Event::AudioLevel {
                    track: track.key,
                    level,
                    voice,
                });
            }
        }
    }
}
