//! Transport-wide feedback: what is written is read, in as few bytes as the
//! chunks allow.

use forebay_wire::NoRoom;
use forebay_wire::clock::Instant;
use forebay_wire::rtcp::{Arrival, Compound, Packet, TransportCc, Writer};
use proptest::prelude::*;

fn at(micros: u64) -> Instant {
    Instant::from_nanos(micros * 1000)
}

fn feedback(datagram: &[u8]) -> TransportCc<'_> {
    match Compound::new(datagram).next() {
        Some(Packet::TransportCc(feedback)) => feedback,
        other => unreachable!("no feedback: {other:?}"),
    }
}

fn written(arrivals: &[(u16, Instant)]) -> (Vec<u8>, usize) {
    let mut buffer = [0xEE; 1200];
    let mut writer = Writer::new(&mut buffer);
    let told = writer.transport_cc(1, 2, 3, arrivals.iter().copied());
    (writer.as_bytes().to_vec(), told.expect("room for one"))
}

#[test]
fn reads_every_kind_of_chunk() {
    let mut bytes = vec![0x8F, 205, 0, 8, 0, 0, 0, 1, 0, 0, 0, 2];
    bytes.extend([0xFF, 0xFE, 0, 12, 0, 0, 2, 7]);
    // Two small; a one-bit vector of which the last is beyond the count and so
    // on; a run of one lost.
    bytes.extend([0x20, 0x02]); // run: two small deltas
    bytes.extend([0xC0 | 0b00_1001, 0b00_01_00_00]); // lost, large, small, lost, small, lost, lost
    bytes.extend([0x00, 0x01]); // run: one lost
    bytes.extend([0b1011_1000, 0]); // lost? no: received, received, then past the count
    bytes.extend([4, 8, 0xFF, 0xFC, 1, 2, 3, 3]);
    let feedback = feedback(&bytes);
    assert_eq!((feedback.sender, feedback.media), (1, 2));
    assert_eq!((feedback.base, feedback.count), (0xFFFE, 12));
    assert_eq!(feedback.feedback_count, 7);
    assert_eq!(feedback.reference_micros(), 128_000);
    let ticks: Vec<_> = feedback
        .statuses()
        .map(|status| {
            (
                status.sequence,
                status.micros.map(|micros| (micros - 128_000) / 250),
            )
        })
        .collect();
    assert_eq!(
        ticks,
        [
            (0xFFFE, Some(4)),
            (0xFFFF, Some(12)),
            (0, None),
            (1, Some(8)),
            (2, Some(9)),
            (3, None),
            (4, Some(11)),
            (5, None),
            (6, None),
            (7, None),
            (8, Some(14)),
            (9, Some(17)),
        ]
    );
    let received = feedback.statuses().filter_map(received);
    assert!(feedback.received().eq(received));
}

fn received(status: Arrival) -> Option<(u16, i64)> {
    Some((status.sequence, status.micros?))
}

#[test]
fn refuses_what_is_cut_off() {
    let (bytes, told) = written(&[(1, at(1000)), (2, at(900_000)), (9, at(900_500))]);
    assert_eq!(told, 3);
    let body = bytes.len() - 4;
    assert_eq!(feedback(&bytes).received().count(), 3);
    // A reserved symbol, missing chunks, missing deltas.
    let malformed =
        |bytes: &[u8]| matches!(Compound::new(bytes).next(), Some(Packet::Malformed(205)));
    let mut reserved = bytes.clone();
    reserved[20] = 0x60;
    assert!(malformed(&reserved));
    let mut many = bytes.clone();
    many[14] = 0xFF;
    assert!(malformed(&many));
    let mut short = bytes[..bytes.len() - 4].to_vec();
    short[3] = (body / 4 - 1) as u8;
    assert!(malformed(&short));
}

#[test]
fn long_runs_cost_two_bytes() {
    let arrivals: Vec<_> = (0..1000).map(|i| (i, at(u64::from(i) * 100))).collect();
    let (bytes, told) = written(&arrivals);
    assert_eq!(told, 1000);
    assert_eq!(bytes.len(), 20 + (2_usize + 1000).next_multiple_of(4));

    // One packet, 20,000 lost, one packet: two runs of lost ones and what is
    // left.
    let (bytes, told) = written(&[(0, at(0)), (20_001, at(1))]);
    assert_eq!(told, 2);
    let feedback = feedback(&bytes);
    assert_eq!(feedback.count, 20_002);
    assert!(
        feedback
            .received()
            .map(|(sequence, _)| sequence)
            .eq([0, 20_001])
    );
    assert!(bytes.len() <= 20 + 5 * 2 + 2);
}

#[test]
fn a_report_ends_where_its_fields_end() {
    // A pause longer than a delta of 16 bits tells.
    let (_, told) = written(&[(1, at(0)), (2, at(8_000_000)), (3, at(17_000_000))]);
    assert_eq!(told, 2);
    // More packets than the room holds.
    let arrivals: Vec<_> = (0..5000).map(|i| (i, at(u64::from(i) * 100))).collect();
    let (bytes, told) = written(&arrivals);
    assert_eq!(bytes.len(), 1200);
    assert_eq!(told, 1200 - 20 - 2);
    // More packets than the count holds.
    let (bytes, told) = written(&[
        (0, at(0)),
        (0x7FFF, at(1)),
        (0xFFFE, at(2)),
        (0x7FFD, at(3)),
    ]);
    assert_eq!(told, 3);
    assert_eq!(feedback(&bytes).count, 0xFFFF);
}

#[test]
fn leaves_out_what_does_not_rise() {
    let (bytes, told) = written(&[(7, at(0)), (7, at(10)), (5, at(20)), (8, at(1000))]);
    assert_eq!(told, 4);
    assert!(feedback(&bytes).received().eq([(7, 0), (8, 1000)]));
}

#[test]
fn nothing_to_tell_is_nothing() {
    let mut buffer = [0; 24];
    let mut writer = Writer::new(&mut buffer);
    assert_eq!(writer.transport_cc(1, 2, 3, [].into_iter()), Ok(0));
    assert!(writer.is_empty());
    // Two large deltas need eight bytes behind the twenty.
    let arrivals = [(1, at(60_000_000)), (2, at(60_100_000))];
    assert_eq!(writer.transport_cc(1, 2, 3, arrivals.into_iter()), Ok(1));
    assert_eq!(
        writer.transport_cc(1, 2, 3, arrivals.into_iter()),
        Err(NoRoom)
    );
}

#[test]
fn the_reference_time_wraps() {
    // 2^24 units of 64 ms and a bit.
    let late = (1 << 24) * 64_000 + 1_000;
    let (bytes, _) = written(&[(1, at(late)), (2, at(late + 250))]);
    assert!(feedback(&bytes).received().eq([(1, 1000), (2, 1250)]));
}

/// Gaps between sequence numbers and steps of time, in microseconds.
fn steps() -> impl Strategy<Value = Vec<(u16, i64)>> {
    let gap = prop_oneof![
        20 => Just(1_u16),
        4 => 2_u16..20,
        1 => 20_u16..9000,
        1 => Just(0_u16),
    ];
    let step = prop_oneof![
        10 => 0_i64..60_000,
        2 => -60_000_i64..0,
        2 => 60_000_i64..2_000_000,
    ];
    prop::collection::vec((gap, step), 1..400)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn what_is_written_is_read(
        first in any::<u16>(),
        start in 1_000_000_000_u64..2_000_000_000,
        steps in steps(),
        room in 24_usize..1500,
    ) {
        let (mut sequence, mut micros) = (first, start);
        let mut arrivals = vec![(first, at(start))];
        for (gap, step) in steps {
            sequence = sequence.wrapping_add(gap);
            micros = micros.saturating_add_signed(step);
            arrivals.push((sequence, at(micros)));
        }
        let mut expected = arrivals.clone();
        expected.dedup_by_key(|(sequence, _)| *sequence);
        let mut left = &arrivals[..];
        let mut read = Vec::new();
        let mut buffer = vec![0xEE; room];
        while !left.is_empty() {
            let mut writer = Writer::new(&mut buffer);
            let told = writer.transport_cc(1, 2, 3, left.iter().copied()).unwrap();
            prop_assert!(told > 0);
            let bytes = writer.as_bytes();
            prop_assert_eq!(Compound::new(bytes).count(), 1);
            let feedback = feedback(bytes);
            prop_assert_eq!(feedback.base, left[0].0);
            prop_assert_eq!(feedback.statuses().count(), usize::from(feedback.count));
            prop_assert!(feedback.statuses().filter_map(received).eq(feedback.received()));
            let reported = feedback.received().collect::<Vec<_>>();
            // One that was only left out may head the next report again.
            let repeats = read.last().is_some_and(|(last, _)| *last == reported[0].0);
            read.extend_from_slice(&reported[usize::from(repeats)..]);
            left = &left[told..];
        }
        prop_assert_eq!(read.len(), expected.len());
        for ((sequence, micros), (expected, when)) in read.iter().zip(&expected) {
            prop_assert_eq!(sequence, expected);
            let wrap = (1_i64 << 24) * 64_000;
            let when = (when.as_nanos() / 250_000 * 250) as i64;
            prop_assert_eq!((micros - when).rem_euclid(wrap), 0);
        }
    }
}
