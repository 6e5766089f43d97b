//! What subscribers ask for again, and what they do not get.

mod call;

use std::time::Duration;

use call::encoder::Encoder;
use call::link::Link;
use call::{Call, Sent, keys, path};
use forebay_media::srtp::Outbound;
use forebay_media::{Change, Codec, Mode, PayloadMap, SubscriptionConfig};
use forebay_wire::rtcp::Writer;

fn nack(call: &mut Call, outbound: &mut Outbound, ssrc: u32, numbers: &[u16]) -> usize {
    let mut memory = vec![0; 1400];
    let mut writer = Writer::new(&mut memory[..1300]);
    writer.nack(1, ssrc, numbers.iter().copied()).expect("room");
    let len = writer.len();
    let len = outbound.protect_rtcp(&mut memory, len).expect("room");
    let mut out = Sent {
        room: usize::MAX,
        ..Sent::default()
    };
    let now = call.time();
    call.forwarder
        .receive(now, &path(100), &mut memory, 0..len, &mut out);
    out.datagrams
        .iter()
        .map(|(_, datagram)| datagram.len())
        .sum()
}

fn call() -> (Call, Vec<u16>) {
    let mut call = Call::new(21);
    let publisher = call.add_publisher(Encoder::new(Codec::Vp8, &[400_000, 1_500_000], 3, 1));
    let subscriber = call.add_subscriber(Link::new(20, None));
    call.subscribe(subscriber, publisher);
    call.run(Duration::from_secs(4));
    let numbers: Vec<u16> = call.subscribers[0]
        .decoder(0)
        .packets
        .keys()
        .rev()
        .take(40)
        .map(|index| *index as u16)
        .collect();
    (call, numbers)
}

/// Another context would begin its RTCP index anew: a replay.
fn fresh_outbound(call: &mut Call) -> Outbound {
    call.subscribers[0].nacks = false;
    let mut outbound = Outbound::new(&keys(100).1);
    for _ in 0..2_000 {
        let mut buffer = [0; 100];
        buffer[0] = 0x80;
        outbound.protect_rtcp(&mut buffer, 12).expect("room");
    }
    outbound
}

#[test]
fn what_was_lost_comes_once_per_round_trip_and_is_the_same() {
    let (mut call, numbers) = call();
    let mut outbound = fresh_outbound(&mut call);
    let mut memory = Vec::new();
    let mut originals = Vec::new();
    for number in &numbers {
        let got = call.subscribers[0]
            .decoder(0)
            .packets
            .values()
            .find(|got| got.index as u16 == *number)
            .cloned()
            .expect("known");
        originals.push(got);
    }
    let once = nack(&mut call, &mut outbound, 5000, &numbers);
    assert!(once > 0);
    let again = nack(&mut call, &mut outbound, 5000, &numbers);
    assert_eq!(again, 0, "asked twice within a round trip");
    memory.clear();
    memory.resize(10, 0_u8);
    call.run(Duration::from_millis(200));
    let later = nack(&mut call, &mut outbound, 5000, &numbers);
    assert!(later >= once / 2, "{later} of {once}");
    assert!(call.forwarder.counters().retransmitted_packets >= 40);
}

#[test]
fn a_flood_is_not_amplified() {
    let (mut call, numbers) = call();
    let mut outbound = fresh_outbound(&mut call);
    let before = call.forwarder.counters().forwarded_bytes;
    let mut bytes = 0;
    for _ in 0..100 {
        call.run(Duration::from_millis(50));
        for _ in 0..20 {
            bytes += nack(&mut call, &mut outbound, 5000, &numbers);
        }
    }
    let media = (call.forwarder.counters().forwarded_bytes - before) as usize;
    assert!(
        bytes < media / 2 + 128 * 1024 + 16 * 1024 * 6,
        "{bytes} bytes again for {media} of media"
    );
}

#[test]
fn unknown_numbers_and_streams_are_nothing() {
    let (mut call, _) = call();
    let mut outbound = fresh_outbound(&mut call);
    let missed = call.forwarder.counters().retransmissions_missed;
    assert_eq!(
        nack(&mut call, &mut outbound, 5000, &[7, 40_000, 65_535]),
        0
    );
    assert_eq!(nack(&mut call, &mut outbound, 4711, &[7]), 0);
    assert!(call.forwarder.counters().retransmissions_missed > missed);
}

#[test]
fn without_a_retransmission_stream_nothing_is_sent_again() {
    let mut call = Call::new(22);
    let publisher = call.add_publisher(Encoder::new(Codec::Vp8, &[400_000], 3, 1));
    let subscriber = call.add_subscriber(Link::new(20, None).lossy(30));
    let mode = Mode::Select {
        ssrc: forebay_media::Ssrc(5000),
        rtx_ssrc: None,
    };
    let config = SubscriptionConfig {
        mode,
        payload_types: Box::new([PayloadMap {
            from: 96,
            to: 100,
            rtx: None,
        }]),
        ..call.subscription(subscriber, publisher)
    };
    call.subscribers[0].expect(publisher, Codec::Vp8);
    call.apply(Change::SetSubscription(config));
    call.run(Duration::from_secs(10));
    assert_eq!(call.forwarder.counters().retransmitted_packets, 0);
    assert!(call.subscribers[0].decoder(0).shown.len() > 100);
}

#[test]
fn losses_heal() {
    let mut call = Call::new(23);
    let publisher = call.add_publisher(Encoder::new(Codec::Vp8, &[400_000, 1_500_000], 3, 1));
    let subscriber = call.add_subscriber(Link::new(20, None).lossy(30));
    call.subscribers[subscriber].link.reorder = 20;
    call.publishers[publisher].loss = 20;
    call.publishers[publisher].reorder = 20;
    call.subscribe(subscriber, publisher);
    call.run(Duration::from_secs(30));
    let decoder = call.subscribers[0].decoder(0);
    assert!(
        decoder.undecodable().len() < 5,
        "{:?}",
        decoder.undecodable()
    );
    let from = decoder.shown[0].0;
    assert!(decoder.longest_freeze(from) < Duration::from_millis(500));
    assert!(decoder.shown.len() > 30 * 29, "{}", decoder.shown.len());
}
