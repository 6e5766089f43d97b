//! RTCP, both ways.

use bytes::Bytes;
use forebay_wire::clock::Instant;
use forebay_wire::rtcp::{Block, Compound, Dlrr, NtpTime, Packet, ReportBlock, Writer};
use proptest::prelude::*;
use rtcp::extended_report::{DLRRReportBlock, ExtendedReport, ReceiverReferenceTimeReportBlock};
use rtcp::goodbye::Goodbye;
use rtcp::packet::Packet as Theirs;
use rtcp::payload_feedbacks::full_intra_request::{FirEntry, FullIntraRequest};
use rtcp::payload_feedbacks::picture_loss_indication::PictureLossIndication;
use rtcp::payload_feedbacks::receiver_estimated_maximum_bitrate::ReceiverEstimatedMaximumBitrate;
use rtcp::receiver_report::ReceiverReport;
use rtcp::reception_report::ReceptionReport;
use rtcp::sender_report::SenderReport;
use rtcp::source_description::{
    SdesType, SourceDescription, SourceDescriptionChunk, SourceDescriptionItem,
};
use rtcp::transport_feedbacks::transport_layer_cc::{SymbolTypeTcc, TransportLayerCc};
use rtcp::transport_feedbacks::transport_layer_nack::{NackPair, TransportLayerNack};

fn read<T: Clone + 'static>(bytes: &[u8]) -> T {
    let all = rtcp::packet::unmarshal(&mut Bytes::copy_from_slice(bytes)).expect("well-formed");
    assert_eq!(all.len(), 1);
    let packet = all[0].as_any().downcast_ref::<T>();
    packet.expect("a packet of that type").clone()
}

fn written(packet: impl Theirs + Send + Sync + 'static) -> Vec<u8> {
    let packets: [Box<dyn Theirs + Send + Sync>; 1] = [Box::new(packet)];
    rtcp::packet::marshal(&packets)
        .expect("within its bounds")
        .to_vec()
}

fn blocks() -> impl Strategy<Value = Vec<ReportBlock>> {
    let block = (any::<[u32; 5]>(), any::<u8>(), -0x80_0000..=0x7F_FFFF).prop_map(
        |([ssrc, highest_sequence, jitter, last_report, delay], fraction_lost, lost)| ReportBlock {
            ssrc,
            fraction_lost,
            lost,
            highest_sequence,
            jitter,
            last_report,
            delay,
        },
    );
    prop::collection::vec(block, 0..=31)
}

/// They hold the 24 bits of lost packets without their sign.
fn theirs(block: &ReportBlock) -> ReceptionReport {
    ReceptionReport {
        ssrc: block.ssrc,
        fraction_lost: block.fraction_lost,
        total_lost: block.lost as u32 & 0x00FF_FFFF,
        last_sequence_number: block.highest_sequence,
        jitter: block.jitter,
        last_sender_report: block.last_report,
        delay: block.delay,
    }
}

/// Our bytes, which they read as the packet.
fn understood<T>(packet: &T, write: impl FnOnce(&mut Writer<'_>)) -> Vec<u8>
where
    T: Theirs + Clone + PartialEq + Send + Sync + 'static,
{
    let mut buffer = [0xEE; 2000];
    let mut writer = Writer::new(&mut buffer);
    write(&mut writer);
    let ours = writer.as_bytes().to_vec();
    assert!(read::<T>(&ours) == *packet, "{packet:?}");
    ours
}

/// Our bytes, which they read as the packet and write the same.
fn agree<T>(packet: T, write: impl FnOnce(&mut Writer<'_>)) -> Vec<u8>
where
    T: Theirs + Clone + PartialEq + Send + Sync + 'static,
{
    let ours = understood(&packet, write);
    assert_eq!(written(packet), ours);
    ours
}

proptest! {
    #[test]
    fn reports(
        [ssrc, rtp, packets, octets] in any::<[u32; 4]>(),
        ntp in any::<u64>(),
        blocks in blocks(),
    ) {
        let packet = SenderReport {
            ssrc,
            ntp_time: ntp,
            rtp_time: rtp,
            packet_count: packets,
            octet_count: octets,
            reports: blocks.iter().map(theirs).collect(),
            profile_extensions: Bytes::new(),
        };
        let bytes = agree(packet, |writer| {
            let blocks = &mut blocks.iter().copied();
            writer.sender_report(ssrc, NtpTime(ntp), rtp, packets, octets, blocks).unwrap();
        });
        let Some(Packet::SenderReport(again)) = Compound::new(&bytes).next() else {
            panic!("a sender report");
        };
        prop_assert!(again.blocks().eq(blocks.iter().copied()));

        let packet = ReceiverReport {
            ssrc,
            reports: blocks.iter().map(theirs).collect(),
            profile_extensions: Bytes::new(),
        };
        agree(packet, |writer| {
            writer.receiver_report(ssrc, &mut blocks.iter().copied()).unwrap();
        });
    }

    #[test]
    fn sources(
        ssrc in any::<u32>(),
        name in prop::collection::vec(any::<u8>(), 0..=255),
        sources in prop::collection::vec(any::<u32>(), 1..=31),
    ) {
        let packet = SourceDescription {
            chunks: vec![SourceDescriptionChunk {
                source: ssrc,
                items: vec![SourceDescriptionItem {
                    sdes_type: SdesType::SdesCname,
                    text: Bytes::copy_from_slice(&name),
                }],
            }],
        };
        understood(&packet, |writer| writer.cname(ssrc, &name).unwrap());
        // They count what they fill up with, but set no padding bit.
        let bytes = written(packet);
        let Some(Packet::SourceDescription(again)) = Compound::new(&bytes).next() else {
            panic!("a source description");
        };
        let chunk = again.chunks().next().unwrap();
        prop_assert_eq!((chunk.ssrc, chunk.cname), (ssrc, Some(&name[..])));
        let packet = Goodbye {
            sources: sources.clone(),
            reason: Bytes::new(),
        };
        understood(&packet, |writer| writer.goodbye(&sources).unwrap());
        // They always write a reason, which is nothing to us.
        let with_reason = written(Goodbye {
            sources: sources.clone(),
            reason: Bytes::copy_from_slice(&name),
        });
        let Some(Packet::Goodbye(goodbye)) = Compound::new(&with_reason).next() else {
            panic!("a goodbye");
        };
        prop_assert!(goodbye.sources().eq(sources));
    }

    #[test]
    fn feedback(
        [sender, media] in any::<[u32; 2]>(),
        pairs in prop::collection::vec(any::<(u16, u16)>(), 1..20),
        sequence in any::<u8>(),
    ) {
        let packet = TransportLayerNack {
            sender_ssrc: sender,
            media_ssrc: media,
            nacks: pairs
                .iter()
                .map(|(packet_id, lost_packets)| NackPair {
                    packet_id: *packet_id,
                    lost_packets: *lost_packets,
                })
                .collect(),
        };
        let bytes = written(packet.clone());
        let Some(Packet::Nack(nack)) = Compound::new(&bytes).next() else {
            panic!("a NACK");
        };
        let asked: Vec<_> = packet.nacks.into_iter().flatten().collect();
        prop_assert!(nack.sequences().eq(asked.iter().copied()));

        let mut buffer = [0; 500];
        let mut writer = Writer::new(&mut buffer);
        prop_assert_eq!(writer.nack(sender, media, asked.iter().copied()), Ok(asked.len()));
        let again: TransportLayerNack = read(writer.as_bytes());
        let mut again: Vec<_> = again.nacks.into_iter().flatten().collect();
        let mut asked = asked;
        for numbers in [&mut again, &mut asked] {
            numbers.sort_unstable();
            numbers.dedup();
        }
        prop_assert_eq!(again, asked);

        let packet = PictureLossIndication {
            sender_ssrc: sender,
            media_ssrc: media,
        };
        agree(packet, |writer| writer.picture_loss(sender, media).unwrap());
        let packet = FullIntraRequest {
            sender_ssrc: sender,
            media_ssrc: 0,
            fir: vec![FirEntry {
                ssrc: media,
                sequence_number: sequence,
            }],
        };
        agree(packet, |writer| {
            writer.full_intra_request(sender, media, sequence).unwrap();
        });
    }

    #[test]
    fn bitrates(
        sender in any::<u32>(),
        mantissa in 0_u64..1 << 18,
        exponent in 0_u32..40,
        sources in prop::collection::vec(any::<u32>(), 0..10),
    ) {
        let bitrate = mantissa << exponent;
        let mut buffer = [0; 100];
        let mut writer = Writer::new(&mut buffer);
        writer.remb(sender, bitrate, &sources).unwrap();
        let again: ReceiverEstimatedMaximumBitrate = read(writer.as_bytes());
        // Zero they read as 2^23: a float has no zero without its exponent.
        prop_assert!(bitrate == 0 || again.bitrate as u64 == bitrate);
        prop_assert_eq!(again.ssrcs, sources);
        prop_assert_eq!(again.sender_ssrc, sender);
    }

    #[test]
    fn round_trips(
        sender in any::<u32>(),
        ntp in any::<u64>(),
        answers in prop::collection::vec(any::<[u32; 3]>(), 1..10),
    ) {
        let mut buffer = [0; 300];
        let mut writer = Writer::new(&mut buffer);
        let answers: Vec<_> = answers
            .into_iter()
            .map(|[ssrc, last_report, delay]| Dlrr { ssrc, last_report, delay })
            .collect();
        writer.delay_since_last(sender, &answers).unwrap();
        let again: ExtendedReport = read(writer.as_bytes());
        prop_assert_eq!(again.sender_ssrc, sender);
        let block = again.reports[0].as_any().downcast_ref::<DLRRReportBlock>().unwrap();
        let told = block.reports.iter().map(|report| Dlrr {
            ssrc: report.ssrc,
            last_report: report.last_rr,
            delay: report.dlrr,
        });
        prop_assert!(told.eq(answers));
        let bytes = written(ExtendedReport {
            sender_ssrc: sender,
            reports: vec![Box::new(ReceiverReferenceTimeReportBlock { ntp_timestamp: ntp })],
        });
        let Some(Packet::ExtendedReport(report)) = Compound::new(&bytes).next() else {
            panic!("an XR");
        };
        let first = report.blocks().next();
        prop_assert!(matches!(first, Some(Block::ReceiverReferenceTime(NtpTime(time))) if time == ntp));
    }

    #[test]
    fn arrivals(
        first in any::<u16>(),
        steps in prop::collection::vec((1_u16..40, -50_000_i64..200_000), 1..200),
    ) {
        let (mut sequence, mut micros) = (first, 64_000_000_i64);
        let mut arrivals = Vec::new();
        for (gap, step) in steps {
            arrivals.push((sequence, Instant::from_nanos(micros as u64 * 1000)));
            sequence = sequence.wrapping_add(gap);
            micros = (micros + step).max(0);
        }
        let mut buffer = [0; 1500];
        let mut writer = Writer::new(&mut buffer);
        let told = writer.transport_cc(1, 2, 3, arrivals.iter().copied()).unwrap();
        let again: TransportLayerCc = read(writer.as_bytes());
        prop_assert_eq!((again.sender_ssrc, again.media_ssrc), (1, 2));
        prop_assert_eq!((again.base_sequence_number, again.fb_pkt_count), (first, 3));
        let received = again
            .recv_deltas
            .iter()
            .filter(|delta| delta.type_tcc_packet != SymbolTypeTcc::PacketNotReceived)
            .scan(i64::from(again.reference_time) * 64_000, |time, delta| {
                *time += delta.delta;
                Some(*time)
            });
        let expected = arrivals[..told]
            .iter()
            .map(|(_, at)| (at.as_nanos() / 250_000 * 250) as i64);
        prop_assert!(received.eq(expected));
        let last = arrivals[told - 1].0;
        prop_assert_eq!(again.packet_status_count, last.wrapping_sub(first) + 1);
    }
}
