//! What publishers are told between reports: arrivals, losses, and that a
//! keyframe is needed.

use forebay_wire::clock::Now;

use super::Hub;
use super::timers::REPAIR;
use crate::describe::TrackKind;
use crate::output::Output;
use crate::queue::Timer;
use crate::tables::SessionSlot;

/// Sequence numbers of one NACK packet.
const NACKED: usize = 192;

impl Hub {
    /// Sends transport-wide feedback. True when arrivals were there to tell.
    pub(super) fn send_arrivals(
        &mut self,
        _now: Now,
        slot: SessionSlot,
        out: &mut impl Output,
    ) -> bool {
        let Some(session) = self.sessions.get_mut(slot) else {
            return false;
        };
        let media = session
            .recent
            .map_or(session.transport.ssrc.0, |(ssrc, _)| ssrc);
        let any = session.arrivals.is_pending();
        // Each packet tells hundreds: what does not fit four is not news.
        for _ in 0..4 {
            if !session.arrivals.is_pending() {
                break;
            }
            let arrivals = &session.arrivals;
            let sender = session.transport.ssrc.0;
            let mut told = 0;
            let sent = session.transport.send_rtcp(out, |writer| {
                told = writer.transport_cc(sender, media, arrivals.count(), arrivals.pending())?;
                Ok(())
            });
            if !sent || told == 0 {
                break;
            }
            session.arrivals.told(told);
            self.counters.rtcp_sent += 1;
        }
        any
    }

    /// Asks for what is missing, and for keyframes.
    pub(super) fn repair(&mut self, now: Now, slot: SessionSlot, out: &mut impl Output) {
        self.ask_for_packets(now, slot, out);
        self.ask_for_keyframes(now, slot, out);
    }

    fn ask_for_packets(&mut self, now: Now, slot: SessionSlot, out: &mut impl Output) {
        let Some(session) = self.sessions.get_mut(slot) else {
            return;
        };
        let transport = &mut session.transport;
        let mut again = false;
        for &track in &session.tracks {
            let Some(track) = self.tracks.get_mut(track) else {
                continue;
            };
            for encoding in &mut track.encodings {
                let inflow = &mut encoding.inflow;
                let Some(media) = inflow.ssrc else { continue };
                let mut wanted = [0_u16; NACKED];
                let mut count = 0;
                inflow.missing.due(now.instant, transport.rtt, |sequence| {
                    if let Some(place) = wanted.get_mut(count) {
                        *place = sequence;
                        count += 1;
                    }
                });
                again |= inflow.missing.is_waiting();
                let (Some(wanted), true) = (wanted.get(..count), count > 0) else {
                    continue;
                };
                let ssrc = transport.ssrc.0;
                let sent = transport.send_rtcp(out, |writer| {
                    writer.nack(ssrc, media.0, wanted.iter().copied())?;
                    Ok(())
                });
                if sent {
                    self.counters.nacked_packets += count as u64;
                    self.counters.rtcp_sent += 1;
                }
            }
        }
        if again {
            self.queue.arm(slot, Timer::Repair, now.instant + REPAIR);
        }
    }

    pub(super) fn ask_for_keyframes(&mut self, now: Now, slot: SessionSlot, out: &mut impl Output) {
        let Some(session) = self.sessions.get_mut(slot) else {
            return;
        };
        let transport = &mut session.transport;
        for &track in &session.tracks {
            let Some(track) = self.tracks.get_mut(track) else {
                continue;
            };
            if track.kind != TrackKind::Video {
                continue;
            }
            for encoding in &mut track.encodings {
                let inflow = &mut encoding.inflow;
                let Some(media) = inflow.ssrc else { continue };
                if !encoding.keyframe_wanted || !encoding.active {
                    continue;
                }
                let allowed = inflow.keyframes.allowed(transport.rtt);
                if allowed.is_some_and(|allowed| now.instant < allowed) {
                    // The next feedback looks again.
                    continue;
                }
                let ssrc = transport.ssrc.0;
                let command = inflow.keyframes.command();
                let fir = track.fir;
                let sent = transport.send_rtcp(out, |writer| {
                    if fir {
                        writer.full_intra_request(ssrc, media.0, command)
                    } else {
                        writer.picture_loss(ssrc, media.0)
                    }
                });
                if sent {
                    inflow.keyframes.asked(now.instant);
                    self.counters.keyframe_requests += 1;
                    self.counters.rtcp_sent += 1;
                }
            }
        }
    }

    /// Whether a keyframe is waited for that can come.
    pub(super) fn wants_keyframes(&self, slot: SessionSlot) -> bool {
        let Some(session) = self.sessions.get(slot) else {
            return false;
        };
        session
            .tracks
            .iter()
            .filter_map(|track| self.tracks.get(*track))
            .flat_map(|track| &track.encodings)
            .any(|encoding| encoding.keyframe_wanted && encoding.active)
    }
}
