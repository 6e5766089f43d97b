//! RTCP packets as they stand on the wire.

use forebay_wire::NoRoom;
use forebay_wire::clock::Instant;
use forebay_wire::rtcp::{Block, Chunk, Compound, Dlrr, NtpTime, Packet, ReportBlock, Writer};

fn written(write: impl FnOnce(&mut Writer<'_>)) -> Vec<u8> {
    let mut buffer = [0xEE; 1500];
    let mut writer = Writer::new(&mut buffer);
    write(&mut writer);
    assert_eq!(writer.len() % 4, 0);
    writer.as_bytes().to_vec()
}

/// The one packet of a datagram.
fn one(datagram: &[u8]) -> Packet<'_> {
    let mut packets = Compound::new(datagram);
    let packet = packets.next().expect("a packet");
    assert!(packets.next().is_none());
    packet
}

fn kinds(datagram: &[u8]) -> Vec<String> {
    Compound::new(datagram)
        .map(|packet| match packet {
            Packet::Malformed(kind) => format!("bad {kind}"),
            Packet::Other(kind) => format!("other {kind}"),
            Packet::PictureLoss(_) => "pli".to_owned(),
            packet => format!("{packet:?}"),
        })
        .collect()
}

const PLI: [u8; 12] = [0x81, 206, 0, 2, 0, 0, 0, 1, 0, 0, 0, 2];

const BLOCK: ReportBlock = ReportBlock {
    ssrc: 0x0102_0304,
    fraction_lost: 64,
    lost: -3,
    highest_sequence: 0x0001_FFFE,
    jitter: 77,
    last_report: 0xAABB_CCDD,
    delay: 0x8000,
};

#[test]
fn reads_a_sender_report() {
    let mut bytes = vec![0x81, 200, 0, 12, 0, 0, 0, 9];
    bytes.extend([
        0, 0, 0, 5, 0x80, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 10, 0, 0, 3, 0xE8,
    ]);
    bytes.extend([
        1, 2, 3, 4, 64, 0xFF, 0xFF, 0xFD, 0, 1, 0xFF, 0xFE, 0, 0, 0, 77,
    ]);
    bytes.extend([0xAA, 0xBB, 0xCC, 0xDD, 0, 0, 0x80, 0]);
    let Packet::SenderReport(report) = one(&bytes) else {
        panic!("a sender report");
    };
    assert_eq!(report.ssrc, 9);
    assert_eq!(report.ntp, NtpTime(0x0000_0005_8000_0000));
    assert_eq!(report.ntp.middle(), 0x0005_8000);
    assert_eq!(
        (report.rtp, report.packets, report.octets),
        (0x1_0000, 10, 1000)
    );
    assert!(report.blocks().eq([BLOCK]));
    let again = written(|writer| {
        let blocks = &mut [BLOCK].into_iter();
        let told = writer.sender_report(9, report.ntp, report.rtp, 10, 1000, blocks);
        assert_eq!(told, Ok(1));
    });
    assert_eq!(again, bytes);
}

#[test]
fn reports_take_what_fits() {
    let mut blocks = (0..40).map(|ssrc| ReportBlock { ssrc, ..BLOCK });
    let bytes = written(|writer| {
        assert_eq!(writer.receiver_report(7, &mut blocks), Ok(31));
    });
    let Packet::ReceiverReport(report) = one(&bytes) else {
        panic!("a receiver report");
    };
    assert_eq!(report.ssrc, 7);
    assert!(report.blocks().map(|block| block.ssrc).eq(0..31));
    assert_eq!(blocks.len(), 9, "the others stay");

    let mut short = [0; 8 + 24 * 2 + 23];
    let mut writer = Writer::new(&mut short);
    assert_eq!(writer.receiver_report(7, &mut blocks), Ok(2));
    assert_eq!(blocks.len(), 7);
    assert_eq!(writer.receiver_report(7, &mut blocks), Ok(0));
    assert_eq!(writer.receiver_report(7, &mut blocks), Ok(0));
    assert_eq!(writer.receiver_report(7, &mut blocks), Err(NoRoom));
    assert_eq!(blocks.len(), 7);
    assert_eq!(Compound::new(writer.as_bytes()).count(), 3);
}

#[test]
fn the_count_of_lost_packets_saturates() {
    let lost = |lost| {
        let bytes = written(|writer| {
            let blocks = &mut [ReportBlock { lost, ..BLOCK }].into_iter();
            writer.receiver_report(7, blocks).unwrap();
        });
        let Packet::ReceiverReport(report) = one(&bytes) else {
            panic!("a receiver report");
        };
        report.blocks().next().unwrap().lost
    };
    assert_eq!(lost(0x7F_FFFF), 0x7F_FFFF);
    assert_eq!(lost(i32::MAX), 0x7F_FFFF);
    assert_eq!(lost(i32::MIN), -0x80_0000);
}

#[test]
fn describes_a_source() {
    for len in 0..=9 {
        let name = &b"abcdefghi"[..len];
        let bytes = written(|writer| writer.cname(5, name).unwrap());
        let Packet::SourceDescription(description) = one(&bytes) else {
            panic!("a source description");
        };
        let expected = Chunk {
            ssrc: 5,
            cname: Some(name),
        };
        assert!(description.chunks().eq([expected]));
    }
    // Two sources; the first has a name (type 2) and its canonical name.
    let bytes = [
        0x82, 202, 0, 5, 0, 0, 0, 1, 2, 1, b'x', 1, 2, b'c', b'n', 0, 0, 0, 0, 2, 0, 0, 0, 0,
    ];
    let Packet::SourceDescription(description) = one(&bytes) else {
        panic!("a source description");
    };
    let chunks: Vec<_> = description.chunks().collect();
    assert_eq!(chunks[0].cname, Some(&b"cn"[..]));
    assert_eq!((chunks[1].ssrc, chunks[1].cname), (2, None));
    assert_eq!(kinds(&bytes[..20])[0], "bad 202");
}

#[test]
fn says_goodbye() {
    let bytes = written(|writer| writer.goodbye(&[1, 2]).unwrap());
    assert_eq!(bytes, [0x82, 203, 0, 2, 0, 0, 0, 1, 0, 0, 0, 2]);
    let Packet::Goodbye(goodbye) = one(&bytes) else {
        panic!("a goodbye");
    };
    assert!(goodbye.sources().eq([1, 2]));
    let mut buffer = [0; 500];
    let mut writer = Writer::new(&mut buffer);
    assert_eq!(writer.goodbye(&[0; 32]), Err(NoRoom));
    assert!(writer.is_empty());
}

#[test]
fn asks_for_packets() {
    let missing = [65_530, 65_531, 3, 10, 11, 30];
    let bytes = written(|writer| assert_eq!(writer.nack(1, 2, missing), Ok(6)));
    assert_eq!(bytes.len(), 12 + 4 * 3);
    assert_eq!(&bytes[..4], [0x81, 205, 0, 5]);
    // 65,530; then 1, 9 and 16 after it.
    assert_eq!(&bytes[12..16], [0xFF, 0xFA, 0x81, 0x01]);
    let Packet::Nack(nack) = one(&bytes) else {
        panic!("a NACK");
    };
    assert_eq!((nack.sender, nack.media), (1, 2));
    assert!(nack.sequences().eq(missing));

    let full = [
        0x81, 205, 0, 3, 0, 0, 0, 1, 0, 0, 0, 2, 0xFF, 0xFF, 0xFF, 0xFF,
    ];
    let Packet::Nack(nack) = one(&full) else {
        panic!("a NACK");
    };
    assert!(nack.sequences().eq([0xFFFF].into_iter().chain(0..16)));
    assert_eq!(
        kinds(&[0x81, 205, 0, 2, 0, 0, 0, 1, 0, 0, 0, 2]),
        ["bad 205"]
    );
}

#[test]
fn a_nack_tells_what_fits() {
    let mut buffer = [0; 16];
    let mut writer = Writer::new(&mut buffer);
    assert_eq!(writer.nack(1, 2, []), Ok(0));
    assert!(writer.is_empty());
    assert_eq!(writer.nack(1, 2, [1, 2, 100, 200]), Ok(2));
    assert_eq!(writer.nack(1, 2, [1]), Err(NoRoom));
    assert_eq!(writer.len(), 16);
}

#[test]
fn asks_for_keyframes() {
    let bytes = written(|writer| {
        writer.picture_loss(1, 2).unwrap();
        writer.full_intra_request(3, 4, 5).unwrap();
    });
    let mut packets = Compound::new(&bytes);
    let Some(Packet::PictureLoss(loss)) = packets.next() else {
        panic!("a PLI");
    };
    assert_eq!((loss.sender, loss.media), (1, 2));
    let Some(Packet::FullIntraRequest(request)) = packets.next() else {
        panic!("a FIR");
    };
    assert_eq!(request.sender, 3);
    assert!(request.requests().eq([(4, 5)]));
    assert_eq!(bytes[..12], PLI);
    assert_eq!(
        bytes[12..],
        [
            0x84, 206, 0, 4, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 4, 5, 0, 0, 0
        ]
    );
}

#[test]
fn tells_bitrates() {
    let told = |bitrate| {
        let bytes = written(|writer| writer.remb(1, bitrate, &[7, 8]).unwrap());
        assert_eq!(bytes.len(), 28);
        let Packet::Remb(remb) = one(&bytes) else {
            panic!("a REMB");
        };
        assert_eq!(remb.sender, 1);
        assert!(remb.sources().eq([7, 8]));
        remb.bitrate
    };
    for exact in [0, 1, 0x3_FFFF, 0x4_0000, 2_500_000 & !15] {
        assert_eq!(told(exact), exact);
    }
    assert_eq!(told(0x7_FFFF), 0x7_FFFE);
    assert_eq!(told(u64::MAX), 0x3_FFFF << 46);
    let mut bytes = written(|writer| writer.remb(1, 1 << 17, &[]).unwrap());
    bytes[17] |= 0xFC;
    let Packet::Remb(remb) = one(&bytes) else {
        panic!("a REMB");
    };
    assert_eq!(remb.bitrate, u64::MAX, "2^63 times 2^17");
    bytes[12] = b'X';
    assert_eq!(kinds(&bytes), ["other 206"]);
}

#[test]
fn measures_round_trips_of_receivers() {
    let answers = [
        Dlrr {
            ssrc: 1,
            last_report: 2,
            delay: 3,
        },
        Dlrr {
            ssrc: 4,
            last_report: 5,
            delay: 6,
        },
    ];
    let bytes = written(|writer| {
        writer
            .receiver_reference_time(9, NtpTime(0x1111_2222_3333_4444))
            .unwrap();
        writer.delay_since_last(9, &answers).unwrap();
    });
    assert_eq!(bytes.len(), 20 + 12 + 24);
    let mut packets = Compound::new(&bytes);
    let mut block = || {
        let Some(Packet::ExtendedReport(report)) = packets.next() else {
            panic!("an XR");
        };
        assert_eq!(report.ssrc, 9);
        report.blocks().next().unwrap()
    };
    let Block::ReceiverReferenceTime(time) = block() else {
        panic!("a clock");
    };
    assert_eq!(time, NtpTime(0x1111_2222_3333_4444));
    let Block::DelaySinceLast(read) = block() else {
        panic!("answers");
    };
    assert!(read.iter().map(Dlrr::read).eq(answers));
}

#[test]
fn one_bad_packet_does_not_spoil_the_rest() {
    // A report with a block that is not there, another version, impossible
    // padding, a NACK of nothing: PLIs between them are read.
    let bad: [&[u8]; 5] = [
        &[0x81, 201, 0, 1, 0, 0, 0, 1],
        &[0x01, 200, 0, 0],
        &[0xA0, 203, 0, 1, 0, 0, 0, 8],
        &[0xA0, 203, 0, 1, 0, 0, 0, 0],
        &[0x81, 205, 0, 1, 0, 0, 0, 1],
    ];
    for bad in bad {
        let datagram = [&PLI[..], bad, &PLI].concat();
        let expected = [
            "pli".to_owned(),
            format!("bad {}", bad[1]),
            "pli".to_owned(),
        ];
        assert_eq!(kinds(&datagram), expected);
    }
    // Nobody reads APP, unknown feedback and unknown types.
    let other = [0x80, 204, 0, 2, 0, 0, 0, 1, b'n', b'a', b'm', b'e'];
    assert_eq!(kinds(&[&other[..], &PLI].concat()), ["other 204", "pli"]);
    // A length past the end leaves nothing to go on with.
    let mut long = [PLI, PLI].concat();
    long[3] = 200;
    assert_eq!(kinds(&long), ["bad 206"]);
    assert_eq!(kinds(&PLI[..7]), ["bad 206"]);
    assert_eq!(kinds(&PLI[..3]), ["bad 0"]);
    assert!(kinds(&[]).is_empty());
}

#[test]
fn eight_bytes_that_end_another_parser_are_a_packet_that_cannot_be_read() {
    assert_eq!(
        kinds(&[0x81, 0xCD, 0, 1, 0, 0, 0, 0]),
        ["bad 205"],
        "rtcp 0.17 panics on them"
    );
}

#[test]
fn cuts_padding_off() {
    let mut padded = PLI.to_vec();
    padded[0] |= 0x20;
    padded[3] = 3;
    padded.extend([0, 0, 0, 4]);
    let Packet::PictureLoss(loss) = one(&padded) else {
        panic!("a PLI");
    };
    assert_eq!(loss.media, 2);
    // Three bytes behind a goodbye of one source and an empty reason.
    let odd = [0xA1, 203, 0, 2, 0, 0, 0, 7, 0, 0, 0, 3];
    let Packet::Goodbye(goodbye) = one(&odd) else {
        panic!("a goodbye");
    };
    assert!(goodbye.sources().eq([7]));
}

#[test]
fn what_does_not_fit_leaves_the_rest_alone() {
    let instant = Instant::from_nanos(1);
    let answer = Dlrr {
        ssrc: 1,
        last_report: 1,
        delay: 1,
    };
    type Write = fn(&mut Writer<'_>, Instant, Dlrr) -> Result<(), NoRoom>;
    let all: [(usize, Write); 10] = [
        (28, |w, _, _| {
            let blocks = &mut std::iter::empty();
            w.sender_report(1, NtpTime(1), 1, 1, 1, blocks).map(drop)
        }),
        (8, |w, _, _| {
            w.receiver_report(1, &mut std::iter::empty()).map(drop)
        }),
        (16, |w, _, _| w.cname(1, b"abc")),
        (8, |w, _, _| w.goodbye(&[1])),
        (16, |w, _, _| w.nack(1, 1, [1]).map(drop)),
        (12, |w, _, _| w.picture_loss(1, 1)),
        (20, |w, _, _| w.full_intra_request(1, 1, 1)),
        (24, |w, _, _| w.remb(1, 1, &[1])),
        (24, |w, at, _| {
            w.transport_cc(1, 1, 1, [(1, at)].into_iter()).map(drop)
        }),
        (24, |w, _, answer| w.delay_since_last(1, &[answer])),
    ];
    for (len, write) in all {
        for short in 0..len {
            let mut buffer = vec![0; 12 + short];
            let mut writer = Writer::new(&mut buffer);
            writer.picture_loss(1, 2).unwrap();
            assert_eq!(write(&mut writer, instant, answer), Err(NoRoom));
            assert_eq!(writer.as_bytes(), PLI);
        }
        let mut buffer = vec![0; len];
        let mut writer = Writer::new(&mut buffer);
        assert_eq!(write(&mut writer, instant, answer), Ok(()));
        assert_eq!(writer.len(), len);
    }
}
