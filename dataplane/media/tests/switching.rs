//! Switches between encodings and layers leave nothing that cannot be decoded.

mod call;

use std::time::Duration;

use call::Call;
use call::decoder::Got;
use call::encoder::Encoder;
use call::link::Link;
use forebay_media::{Change, Codec, Event, LayerCap, SubscriptionConfig};

/// Fifty switches by cap, at all moments of a frame.
fn fifty_switches(codec: Codec, rates: &[u64], temporal: u8, spatial: u8) -> Call {
    let mut call = Call::new(7);
    let publisher = call.add_publisher(Encoder::new(codec, rates, temporal, spatial));
    let subscriber = call.add_subscriber(Link::new(20, Some(20_000_000)));
    call.subscribe(subscriber, publisher);
    call.run(Duration::from_secs(6));
    let top = (rates.len() as u8).max(spatial) - 1;
    let mut switches = 0;
    let mut spatial_cap = 0;
    while switches < 50 {
        let cap = LayerCap {
            spatial: spatial_cap,
            temporal: (call.dice.roll() % u64::from(temporal.max(1))) as u8,
        };
        spatial_cap =
            (spatial_cap + 1 + (call.dice.roll() % u64::from(top.max(1))) as u8) % (top + 1);
        let config = SubscriptionConfig {
            cap,
            ..call.subscription(subscriber, publisher)
        };
        call.apply(Change::SetSubscription(config));
        let pause = 700 + call.dice.roll() % 400;
        call.run(Duration::from_millis(pause));
        switches += 1;
    }
    call.run(Duration::from_secs(1));
    call
}

fn check(call: &Call, least: usize) {
    let decoder = call.subscribers[0].decoder(0);
    assert_eq!(decoder.undecodable(), Vec::new());
    decoder.check_continuity();
    let runs = decoder.encodings_shown();
    assert!(
        runs.len() >= least,
        "only {} switches: {runs:?}",
        runs.len()
    );
    let from = decoder.shown[0].0;
    let freeze = decoder.longest_freeze(from);
    assert!(freeze < Duration::from_millis(250), "froze for {freeze:?}");
    assert_eq!(call.subscribers[0].streams[&5000].refreshes, 0);
}

#[test]
fn vp8_simulcast_with_temporal_layers() {
    let call = fifty_switches(Codec::Vp8, &[150_000, 500_000, 1_500_000], 3, 1);
    check(&call, 35);
}

#[test]
fn h264_simulcast() {
    let call = fifty_switches(Codec::H264, &[150_000, 500_000, 1_500_000], 1, 1);
    check(&call, 35);
}

#[test]
fn av1_simulcast_with_dependency_descriptors() {
    let call = fifty_switches(Codec::Av1, &[150_000, 500_000, 1_200_000], 2, 1);
    check(&call, 35);
    // Frame numbers rise across encodings, as receivers unwrap them.
    let decoder = call.subscribers[0].decoder(0);
    let mut last = None;
    for got in decoder.packets.values() {
        let descriptor = got.descriptor.as_ref().expect("handed on");
        let number = u16::from_be_bytes([descriptor[1], descriptor[2]]);
        if let Some((last, timestamp)) = last {
            let ahead = number.wrapping_sub(last) as i16;
            if timestamp == got.timestamp {
                assert_eq!(ahead, 0);
            } else {
                assert!(ahead > 0, "frame number leaps by {ahead}");
            }
        }
        last = Some((number, got.timestamp));
    }
}

#[test]
fn vp9_spatial_layers() {
    let call = fifty_switches(Codec::Vp9, &[1_800_000], 3, 3);
    let decoder = call.subscribers[0].decoder(0);
    assert_eq!(decoder.undecodable(), Vec::new());
    decoder.check_continuity();
}

#[test]
fn a_picture_without_an_end_is_followed_by_a_keyframe() {
    // Who gets the upper layer needs one; to who does not, the end is told.
    for (cap, asked) in [(1, 1), (0, 0)] {
        let mut call = Call::new(8);
        let publisher = call.add_publisher(Encoder::new(Codec::Vp9, &[900_000], 3, 2));
        let subscriber = call.add_subscriber(Link::new(20, Some(20_000_000)));
        call.subscribe(subscriber, publisher);
        call.run(Duration::from_secs(4));
        let config = SubscriptionConfig {
            cap: LayerCap {
                spatial: cap,
                temporal: 3,
            },
            ..call.subscription(subscriber, publisher)
        };
        call.apply(Change::SetSubscription(config));
        call.run(Duration::from_secs(2));
        let before = call.publishers[0].encoder.state[0].keyframes;
        call.publishers[0].encoder.cut = true;
        call.run(Duration::from_millis(700));
        assert!(!call.publishers[0].encoder.cut);
        call.run(Duration::from_secs(3));
        let keyframes = call.publishers[0].encoder.state[0].keyframes - before;
        assert_eq!(keyframes, asked, "cap {cap}");
    }
}

#[test]
fn spatial_layers_are_told() {
    let call = fifty_switches(Codec::Vp9, &[1_800_000], 3, 3);
    let mut told: Vec<u8> = call
        .events
        .iter()
        .filter_map(|(_, event)| match event {
            Event::Layer { layer, .. } => layer.map(|(spatial, _)| spatial),
            _ => None,
        })
        .collect();
    told.dedup();
    assert!(told.len() > 30, "{told:?}");
}

#[test]
fn sound_passes() {
    let mut call = Call::new(3);
    let publisher = call.add_publisher(Encoder::new(Codec::Opus, &[32_000], 1, 1));
    let subscriber = call.add_subscriber(Link::new(20, None));
    call.subscribe(subscriber, publisher);
    call.run(Duration::from_secs(5));
    let decoder = call.subscribers[0].decoder(0);
    decoder.check_continuity();
    assert!(decoder.shown.len() > 240, "{}", decoder.shown.len());
}

/// Random caps, pauses, losses and reordering on both ways.
fn chaos(codec: Codec, rates: &[u64], temporal: u8, spatial: u8, seed: u64) {
    let mut call = Call::new(seed);
    let publisher = call.add_publisher(Encoder::new(codec, rates, temporal, spatial));
    let mut link = Link::new(15, Some(20_000_000)).lossy(15);
    link.reorder = 15;
    let subscriber = call.add_subscriber(link);
    call.publishers[publisher].loss = 15;
    call.publishers[publisher].reorder = 15;
    call.subscribe(subscriber, publisher);
    call.run(Duration::from_secs(3));
    for _ in 0..40 {
        let roll = call.dice.roll();
        let config = SubscriptionConfig {
            cap: LayerCap {
                spatial: (roll % 3) as u8,
                temporal: (roll / 3 % 3) as u8,
            },
            paused: (roll / 9).is_multiple_of(12),
            ..call.subscription(subscriber, publisher)
        };
        let off = rates.len() > 1 && (roll / 500).is_multiple_of(5);
        if let Some(top) = call.publishers[publisher].off.last_mut() {
            *top = off;
        }
        call.apply(Change::SetSubscription(config));
        let pause = 200 + call.dice.roll() % 1_200;
        call.run(Duration::from_millis(pause));
    }
    let config = call.subscription(subscriber, publisher);
    call.apply(Change::SetSubscription(config));
    let settled = call.now + Duration::from_secs(2);
    call.run(Duration::from_secs(8));
    let decoder = call.subscribers[0].decoder(0);
    let lost = decoder.undecodable().len();
    let (shown, freeze) = (decoder.shown.len(), decoder.longest_freeze(settled));
    println!("{codec:?} {seed}: {lost} of {shown} undecodable, froze {freeze:?} at last");
    assert!(lost * 50 < shown, "{lost} undecodable, {shown} shown");
    assert!(freeze < Duration::from_millis(600), "froze for {freeze:?}");
}

#[test]
fn any_disorder_heals() {
    for seed in 1..5 {
        chaos(Codec::Vp8, &[150_000, 500_000, 1_500_000], 3, 1, seed);
        chaos(Codec::H264, &[150_000, 500_000, 1_500_000], 1, 1, seed);
        chaos(Codec::Av1, &[150_000, 500_000, 1_200_000], 2, 1, seed);
        chaos(Codec::Vp9, &[1_800_000], 3, 3, seed);
    }
}

/// GSO sends for packets of one flow: a shorter one closes its send.
fn sends(sizes: &[usize]) -> usize {
    let mut open: Option<usize> = None;
    let mut count = 0;
    for &size in sizes {
        match open {
            Some(segment) if size == segment => {}
            Some(segment) if size < segment => open = None,
            _ => {
                count += 1;
                open = Some(size);
            }
        }
    }
    count
}

#[test]
fn a_frames_packets_leave_equal_in_size() {
    let mut call = Call::new(3);
    let publisher = call.add_publisher(Encoder::new(Codec::Vp8, &[1_300_000], 3, 1));
    let subscriber = call.add_subscriber(Link::new(20, None));
    call.subscribe(subscriber, publisher);
    call.run(Duration::from_secs(5));
    let decoder = call.subscribers[0].decoder(0);
    decoder.check_continuity();
    let packets: Vec<_> = decoder.packets.values().collect();
    let mut uneven = 0;
    for pair in packets.windows(2) {
        if pair[0].timestamp == pair[1].timestamp {
            uneven += usize::from(pair[0].size != pair[1].size);
            // The payload is what the publisher sent, padding apart.
            assert!(pair[0].payload.len().abs_diff(pair[1].payload.len()) <= 1);
        }
    }
    assert_eq!(uneven, 0);

    let (mut padded, mut plain) = (0, 0);
    for frame in packets.chunk_by(|a, b| a.timestamp == b.timestamp) {
        let sizes = |of: fn(&&Got) -> usize| frame.iter().map(of).collect::<Vec<_>>();
        padded += sends(&sizes(|got| got.size));
        plain += sends(&sizes(|got| got.payload.len()));
    }
    let each = |sends: usize| packets.len() as f64 / sends as f64;
    println!(
        "{:.2} packets per send, {:.2} unpadded",
        each(padded),
        each(plain)
    );
    assert!(padded * 3 < plain * 2, "{padded} sends rather than {plain}");
}
