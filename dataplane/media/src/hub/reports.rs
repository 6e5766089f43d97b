//! RTCP from a session, and the reports it gets each second (RFC 3550 §6.4).

use core::ops::Range;
use core::time::Duration;

use forebay_wire::clock::{Instant, Now};
use forebay_wire::rtcp::{Block, Compound, Dlrr, Packet, ReportBlock};

use super::Hub;
use super::media::reason;
use crate::ids::Ssrc;
use crate::output::{Output, Path};
use crate::report::DropReason;
use crate::tables::SessionSlot;
use crate::track::SenderReport;
use crate::transport::{ntp, round_trip};

/// Report blocks of one compound.
const BLOCKS: usize = 31;

/// A duration in units of 2^-16 s.
fn units(duration: Duration) -> u32 {
    (duration.as_nanos() * 65536 / 1_000_000_000) as u32
}

impl Hub {
    /// Decrypts a compound and takes in what is for ingress. Returns where
    /// the rest of the forwarder finds it.
    pub(crate) fn on_rtcp(
        &mut self,
        now: Now,
        path: &Path,
        memory: &mut [u8],
        range: Range<usize>,
    ) -> Result<(SessionSlot, Range<usize>), DropReason> {
        let start = range.start;
        let datagram = memory.get_mut(range).ok_or(DropReason::Malformed)?;
        let slot = self.session_on(path).ok_or(DropReason::NoSession)?;
        let session = self.sessions.get_mut(slot).ok_or(DropReason::NoSession)?;
        let inbound = session.inbound.as_mut().ok_or(DropReason::NoKeys)?;
        let len = inbound
            .unprotect_rtcp(now.instant, datagram)
            .map_err(reason)?;
        self.counters.rtcp_received += 1;
        let compound = datagram.get(..len).ok_or(DropReason::Malformed)?;
        let mut malformed = false;
        for packet in Compound::new(compound) {
            match packet {
                Packet::SenderReport(report) => {
                    let said = SenderReport {
                        ntp: report.ntp.0,
                        rtp: report.rtp,
                        received: now.instant,
                    };
                    self.sender_report(slot, Ssrc(report.ssrc), said);
                }
                Packet::ExtendedReport(report) => {
                    for block in report.blocks() {
                        self.extended(now.instant, slot, report.ssrc, block);
                    }
                }
                Packet::Goodbye(goodbye) => {
                    for ssrc in goodbye.sources() {
                        self.goodbye(slot, Ssrc(ssrc));
                    }
                }
                Packet::Malformed(_) => malformed = true,
                _ => {}
            }
        }
        if malformed {
            self.dropped(DropReason::Malformed);
        }
        Ok((slot, start..start + len))
    }

    fn sender_report(&mut self, slot: SessionSlot, ssrc: Ssrc, said: SenderReport) {
        let Some(stream) = self.stream(slot, ssrc) else {
            return;
        };
        let Some(stream) = self.streams.get(stream).filter(|stream| !stream.repair) else {
            return;
        };
        let (track, at) = (stream.track, stream.encoding);
        if let Some(encoding) = self
            .tracks
            .get_mut(track)
            .and_then(|track| track.encodings.get_mut(usize::from(at)))
        {
            encoding.sender_report = Some(said);
        }
    }

    fn extended(&mut self, now: Instant, slot: SessionSlot, from: u32, block: Block<'_>) {
        let Some(session) = self.sessions.get_mut(slot) else {
            return;
        };
        match block {
            Block::ReceiverReferenceTime(time) => {
                session.reference = Some((from, time.middle(), now));
            }
            Block::DelaySinceLast(answers) => {
                let ours = session.transport.ssrc.0;
                let answer = answers
                    .iter()
                    .map(Dlrr::read)
                    .find(|answer| answer.ssrc == ours);
                if let Some(answer) = answer
                    && let Some(rtt) = round_trip(now, answer.last_report, answer.delay)
                {
                    session.transport.measure_rtt(rtt);
                }
            }
            Block::Other(_) => {}
        }
    }

    /// A source leaves: its encoding ceases at the next look.
    fn goodbye(&mut self, slot: SessionSlot, ssrc: Ssrc) {
        let Some(stream) = self.stream(slot, ssrc) else {
            return;
        };
        let Some(stream) = self.streams.get(stream).filter(|stream| !stream.repair) else {
            return;
        };
        let (track, at) = (stream.track, stream.encoding);
        if let Some(encoding) = self
            .tracks
            .get_mut(track)
            .and_then(|track| track.encodings.get_mut(usize::from(at)))
        {
            encoding.inflow.heard = None;
        }
    }

    /// Reports on what a session publishes, with our clock so that a session
    /// that only publishes lets us measure the round trip.
    pub(super) fn send_reports(&mut self, now: Now, slot: SessionSlot, out: &mut impl Output) {
        let Some(session) = self.sessions.get_mut(slot) else {
            return;
        };
        if !session.transport.is_ready() {
            return;
        }
        let mut blocks = [ReportBlock::default(); BLOCKS];
        let mut count = 0;
        for &track in &session.tracks {
            let Some(track) = self.tracks.get_mut(track) else {
                continue;
            };
            for encoding in &mut track.encodings {
                let inflow = &mut encoding.inflow;
                let heard = inflow
                    .heard
                    .is_some_and(|heard| now.instant.since(heard) < Duration::from_secs(5));
                let (Some(ssrc), Some(reception), true) =
                    (inflow.ssrc, &mut inflow.reception, heard)
                else {
                    continue;
                };
                let Some(block) = blocks.get_mut(count) else {
                    break;
                };
                let statistics = reception.report();
                let said = encoding.sender_report;
                *block = ReportBlock {
                    ssrc: ssrc.0,
                    fraction_lost: statistics.fraction_lost,
                    lost: statistics.lost,
                    highest_sequence: statistics.highest,
                    jitter: statistics.jitter,
                    last_report: said.map_or(0, |said| (said.ntp >> 16) as u32),
                    delay: said.map_or(0, |said| units(now.instant.since(said.received))),
                };
                count += 1;
            }
        }
        let reference = session.reference.take();
        if count == 0 && reference.is_none() {
            return;
        }
        let cname = core::mem::take(&mut session.transport.cname);
        let ssrc = session.transport.ssrc.0;
        let sent = session.transport.send_rtcp(out, |writer| {
            writer.receiver_report(ssrc, &mut blocks.iter().take(count).copied())?;
            writer.cname(ssrc, cname.as_bytes())?;
            if count > 0 {
                writer.receiver_reference_time(ssrc, ntp(now.instant))?;
            }
            if let Some((from, middle, received)) = reference {
                let answer = Dlrr {
                    ssrc: from,
                    last_report: middle,
                    delay: units(now.instant.since(received)),
                };
                writer.delay_since_last(ssrc, &[answer])?;
            }
            Ok(())
        });
        session.transport.cname = cname;
        if sent {
            self.counters.rtcp_sent += 1;
        }
    }
}
