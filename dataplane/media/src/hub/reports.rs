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
/// A stream silent for so long is not reported on.
const HEARD: Duration = Duration::from_secs(5);

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
        let reference = session.reference.take();
        let answer = reference.map(|(from, middle, received)| Dlrr {
            ssrc: from,
            last_report: middle,
            delay: units(now.instant.since(received)),
        });
        let mut blocks = [ReportBlock::default(); BLOCKS];
        let mut count = self.report_blocks(now.instant, slot, 0, &mut blocks);
        if count > 0 || answer.is_some() {
            self.send_report(now.instant, slot, &blocks[..count], answer, out);
        }
        // A link has more streams than one compound tells of.
        let mut done = count;
        while count == BLOCKS {
            count = self.report_blocks(now.instant, slot, done, &mut blocks);
            if count > 0 {
                self.send_report(now.instant, slot, &blocks[..count], None, out);
            }
            done += count;
        }
    }

    /// Fills report blocks on what was heard lately, but for the first `done`
    /// streams; returns how many.
    fn report_blocks(
        &mut self,
        now: Instant,
        slot: SessionSlot,
        done: usize,
        blocks: &mut [ReportBlock; BLOCKS],
    ) -> usize {
        let Some(session) = self.sessions.get(slot) else {
            return 0;
        };
        let mut free = blocks.iter_mut();
        let mut seen = 0;
        for &track in &session.tracks {
            let Some(track) = self.tracks.get_mut(track) else {
                continue;
            };
            for encoding in &mut track.encodings {
                let inflow = &mut encoding.inflow;
                let heard = inflow.heard.is_some_and(|heard| now.since(heard) < HEARD);
                let (Some(ssrc), Some(reception), true) =
                    (inflow.ssrc, &mut inflow.reception, heard)
                else {
                    continue;
                };
                seen += 1;
                if seen <= done {
                    continue;
                }
                let Some(block) = free.next() else {
                    return BLOCKS;
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
                    delay: said.map_or(0, |said| units(now.since(said.received))),
                };
            }
        }
        BLOCKS - free.len()
    }

    fn send_report(
        &mut self,
        now: Instant,
        slot: SessionSlot,
        blocks: &[ReportBlock],
        answer: Option<Dlrr>,
        out: &mut impl Output,
    ) {
        let Some(session) = self.sessions.get_mut(slot) else {
            return;
        };
        let transport = &mut session.transport;
        let cname = core::mem::take(&mut transport.cname);
        let ssrc = transport.ssrc.0;
        let sent = transport.send_rtcp(out, |writer| {
            writer.receiver_report(ssrc, &mut blocks.iter().copied())?;
            writer.cname(ssrc, cname.as_bytes())?;
            if !blocks.is_empty() {
                writer.receiver_reference_time(ssrc, ntp(now))?;
            }
            if let Some(answer) = answer {
                writer.delay_since_last(ssrc, &[answer])?;
            }
            Ok(())
        });
        transport.cname = cname;
        if sent {
            self.counters.rtcp_sent += 1;
        }
    }
}
