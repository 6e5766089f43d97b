//! Reports on what publishers send.

use core::time::Duration;

use forebay_wire::clock::Instant;

use crate::report::{ReceiveReport, Report};
use crate::tables::SessionSlot;

use super::Hub;

/// Sessions visited by one call: all of ten thousand within five seconds, at
/// twenty calls a second.
const AT_ONCE: u32 = 128;
/// Between two reports of a session.
const PAUSE: Duration = Duration::from_secs(5);

impl Hub {
    /// The next few sessions in turn.
    pub(crate) fn next_to_report(&mut self) -> impl Iterator<Item = SessionSlot> + use<> {
        let used = self.sessions.used();
        let start = if self.report_at < used {
            self.report_at
        } else {
            0
        };
        let end = used.min(start + AT_ONCE);
        self.report_at = end;
        (start..end).map(SessionSlot)
    }

    /// Whether it is time for a session; notes it.
    pub(crate) fn is_report_due(&mut self, now: Instant, slot: SessionSlot) -> bool {
        let Some(session) = self.sessions.get_mut(slot) else {
            return false;
        };
        let due = now.since(session.quality_told) >= PAUSE;
        if due {
            session.quality_told = now;
        }
        due
    }

    /// Visits a session and its tracks.
    pub(crate) fn report_session(
        &mut self,
        slot: SessionSlot,
        estimate: Option<u64>,
        visit: &mut dyn FnMut(Report),
    ) {
        let Some(session) = self.sessions.get(slot) else {
            return;
        };
        visit(Report::Session {
            session: session.transport.key,
            rtt: session.transport.rtt,
            estimate,
        });
        for &track in &session.tracks {
            let Some(track) = self.tracks.get_mut(track) else {
                continue;
            };
            let mut receive = ReceiveReport::default();
            for encoding in &mut track.encodings {
                let inflow = &mut encoding.inflow;
                receive.packets += core::mem::take(&mut inflow.packets);
                receive.bytes += core::mem::take(&mut inflow.bytes);
                receive.lost += core::mem::take(&mut inflow.lost);
                if let Some(reception) = &mut inflow.reception {
                    receive.lost += reception.lost_for_good();
                    receive.jitter = receive.jitter.max(reception.jitter());
                }
            }
            visit(Report::Track {
                track: track.key,
                receive,
            });
        }
    }
}
