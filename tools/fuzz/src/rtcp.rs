//! [`Compound`]: ends, yields no more than the bytes can hold, and whatever it
//! reads is read the same once it is written again.

use std::collections::BTreeSet;

use forebay_wire::clock::Instant;
use forebay_wire::rtcp::{Block, Compound, Dlrr, Packet, TransportCc, Writer};

pub(crate) fn run(datagram: &[u8]) {
    let mut packets = 0;
    for packet in Compound::new(datagram) {
        packets += 1;
        rebuilds(&packet);
    }
    assert!(packets <= datagram.len().div_ceil(4));
    // What stands in front of a compound changes nothing in it.
    let mut longer = vec![0x80, 203, 0, 0];
    longer.extend_from_slice(datagram);
    assert_eq!(Compound::new(&longer).count(), packets + 1);
}

/// Writes with plenty of room; returns the bytes.
fn written(write: impl FnOnce(&mut Writer<'_>)) -> Vec<u8> {
    let mut buffer = vec![0xEE; 300_000];
    let mut writer = Writer::new(&mut buffer);
    write(&mut writer);
    writer.as_bytes().to_vec()
}

fn one(datagram: &[u8]) -> Packet<'_> {
    let mut packets = Compound::new(datagram);
    let packet = packets.next().expect("written here");
    assert!(packets.next().is_none());
    packet
}

fn rebuilds(packet: &Packet<'_>) {
    match packet {
        Packet::SenderReport(report) => {
            let bytes = written(|writer| {
                let blocks = &mut report.blocks();
                let count = blocks.len();
                let told = writer.sender_report(
                    report.ssrc,
                    report.ntp,
                    report.rtp,
                    report.packets,
                    report.octets,
                    blocks,
                );
                assert_eq!(told, Ok(count));
            });
            let Packet::SenderReport(again) = one(&bytes) else {
                unreachable!("a sender report");
            };
            assert!(again.blocks().eq(report.blocks()));
            assert_eq!(
                (again.ssrc, again.ntp, again.rtp),
                (report.ssrc, report.ntp, report.rtp)
            );
            assert_eq!(
                (again.packets, again.octets),
                (report.packets, report.octets)
            );
        }
        Packet::ReceiverReport(report) => {
            let bytes = written(|writer| {
                let blocks = &mut report.blocks();
                let count = blocks.len();
                assert_eq!(writer.receiver_report(report.ssrc, blocks), Ok(count));
            });
            let Packet::ReceiverReport(again) = one(&bytes) else {
                unreachable!("a receiver report");
            };
            assert_eq!(again.ssrc, report.ssrc);
            assert!(again.blocks().eq(report.blocks()));
        }
        Packet::SourceDescription(description) => {
            for chunk in description.chunks() {
                let name = chunk.cname.unwrap_or_default();
                let bytes = written(|writer| assert_eq!(writer.cname(chunk.ssrc, name), Ok(())));
                let Packet::SourceDescription(again) = one(&bytes) else {
                    unreachable!("a source description");
                };
                let again: Vec<_> = again.chunks().collect();
                assert_eq!((again.len(), again[0].ssrc), (1, chunk.ssrc));
                assert_eq!(again[0].cname, Some(name));
            }
        }
        Packet::Goodbye(goodbye) => {
            let sources: Vec<_> = goodbye.sources().collect();
            let bytes = written(|writer| assert_eq!(writer.goodbye(&sources), Ok(())));
            let Packet::Goodbye(again) = one(&bytes) else {
                unreachable!("a goodbye");
            };
            assert!(again.sources().eq(sources));
        }
        Packet::Nack(nack) => {
            let all: Vec<_> = nack.sequences().collect();
            let bytes = written(|writer| {
                let told = writer.nack(nack.sender, nack.media, all.iter().copied());
                assert_eq!(told, Ok(all.len()));
            });
            let Packet::Nack(again) = one(&bytes) else {
                unreachable!("a NACK");
            };
            assert_eq!((again.sender, again.media), (nack.sender, nack.media));
            // Numbers that do not rise are told in another order.
            let set = |all: &mut dyn Iterator<Item = u16>| all.collect::<BTreeSet<_>>();
            assert_eq!(set(&mut again.sequences()), set(&mut all.into_iter()));
        }
        Packet::TransportCc(feedback) => transport_cc(feedback),
        Packet::PictureLoss(loss) => {
            let bytes = written(|writer| {
                assert_eq!(writer.picture_loss(loss.sender, loss.media), Ok(()));
            });
            assert!(matches!(one(&bytes), Packet::PictureLoss(again) if again == *loss));
        }
        Packet::FullIntraRequest(request) => {
            for (media, sequence) in request.requests() {
                let bytes = written(|writer| {
                    let told = writer.full_intra_request(request.sender, media, sequence);
                    assert_eq!(told, Ok(()));
                });
                let Packet::FullIntraRequest(again) = one(&bytes) else {
                    unreachable!("a FIR");
                };
                assert!(again.requests().eq([(media, sequence)]));
            }
        }
        Packet::Remb(remb) => {
            let sources: Vec<_> = remb.sources().collect();
            let bytes = written(|writer| {
                assert_eq!(writer.remb(remb.sender, remb.bitrate, &sources), Ok(()));
            });
            let Packet::Remb(again) = one(&bytes) else {
                unreachable!("a REMB");
            };
            assert!(again.sources().eq(sources));
            // One that saturates has more significant bits than are told.
            assert!(again.bitrate == remb.bitrate || remb.bitrate == u64::MAX);
        }
        Packet::ExtendedReport(report) => {
            for block in report.blocks() {
                let bytes = match block {
                    Block::ReceiverReferenceTime(time) => written(|writer| {
                        assert_eq!(writer.receiver_reference_time(report.ssrc, time), Ok(()));
                    }),
                    Block::DelaySinceLast(answers) => {
                        let answers: Vec<_> = answers.iter().map(Dlrr::read).collect();
                        written(|writer| {
                            assert_eq!(writer.delay_since_last(report.ssrc, &answers), Ok(()));
                        })
                    }
                    Block::Other(_) => continue,
                };
                let Packet::ExtendedReport(again) = one(&bytes) else {
                    unreachable!("an XR");
                };
                assert_eq!(again.ssrc, report.ssrc);
                let again: Vec<_> = again.blocks().collect();
                assert_eq!(format!("{again:?}"), format!("{:?}", [block]));
            }
        }
        Packet::Other(_) | Packet::Malformed(_) => {}
    }
}

/// What arrived, told again: as far as the times can be told, in one report
/// after the other.
fn transport_cc(feedback: &TransportCc<'_>) {
    let statuses = feedback.statuses();
    assert_eq!(statuses.clone().count(), usize::from(feedback.count));
    let received: Vec<_> = feedback.received().collect();
    let all = statuses.filter_map(|status| Some((status.sequence, status.micros?)));
    assert!(all.eq(received.iter().copied()));
    // Our own clock does not go below zero: a whole wrap of the reference time
    // and the most that deltas can take away are added.
    let wrap = (1_i64 << 24) * 64_000;
    let clock = |micros: i64| Instant::from_nanos((micros + 2 * wrap) as u64 * 1000);
    let arrivals: Vec<_> = received
        .iter()
        .map(|(sequence, micros)| (*sequence, clock(*micros)))
        .collect();
    let mut left = &arrivals[..];
    let mut expected = &received[..];
    while !left.is_empty() {
        let mut told = 0;
        let bytes = written(|writer| {
            let outcome = writer.transport_cc(1, 2, 3, left.iter().copied());
            told = outcome.expect("room for one");
        });
        let Packet::TransportCc(again) = one(&bytes) else {
            unreachable!("feedback");
        };
        let (now, later) = expected.split_at(told);
        // Numbers rise by less than half their range, or they do not rise.
        let mut read = again.received();
        for (sequence, micros) in now {
            let Some((found, when)) = read.clone().next() else {
                break;
            };
            if found == *sequence {
                assert_eq!((when - micros).rem_euclid(wrap), 0);
                read.next();
            }
        }
        assert!(read.next().is_none());
        left = &left[told..];
        expected = later;
    }
}
