//! What a subscriber gets follows what its path can carry.

mod call;

use std::time::Duration;

use call::Call;
use call::encoder::Encoder;
use call::link::Link;
use forebay_media::{Change, Codec, Event, SubscriptionConfig};

const SIMULCAST: [u64; 3] = [150_000, 500_000, 1_700_000];

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

fn video(link: Link) -> Call {
    let mut call = Call::new(11);
    let publisher = call.add_publisher(Encoder::new(Codec::Vp8, &SIMULCAST, 3, 1));
    let subscriber = call.add_subscriber(link);
    call.subscribe(subscriber, publisher);
    call
}

fn layer(call: &Call) -> Option<u8> {
    call.subscribers[0]
        .decoder(0)
        .layer_at(call.now, Duration::from_millis(500))
}

/// Runs until the subscriber sees this layer; how long that took.
fn until(call: &mut Call, wanted: u8, patience: Duration) -> Duration {
    let begin = call.now;
    while call.now.since(begin) < patience {
        call.run(Duration::from_millis(50));
        if layer(call) == Some(wanted) {
            return call.now.since(begin);
        }
    }
    assert_eq!(
        layer(call),
        Some(wanted),
        "not within {patience:?}; estimates {:?}",
        estimates(call)
    );
    patience
}

fn estimates(call: &Call) -> Vec<(u64, u64)> {
    call.events
        .iter()
        .filter_map(|(at, event)| match event {
            Event::Bandwidth {
                bits_per_second, ..
            } => Some((at.as_nanos() / 1_000_000, *bits_per_second)),
            _ => None,
        })
        .collect()
}

#[test]
fn reaches_the_top_layer_soon() {
    let mut call = video(Link::new(25, Some(5_000_000)));
    let took = until(&mut call, 2, seconds(6));
    println!("top layer after {took:?}");
    call.run(seconds(20));
    assert_eq!(layer(&call), Some(2));
}

#[test]
fn falls_to_the_low_layer_and_returns() {
    for (delay, queue) in [(10, 100), (25, 300), (60, 500), (25, 30)] {
        let mut link = Link::new(delay, Some(5_000_000));
        link.queue = Duration::from_millis(queue);
        let mut call = video(link);
        until(&mut call, 2, seconds(8));
        call.run(seconds(5));
        call.subscribers[0].link.rate = Some(300_000);
        let fell = until(&mut call, 0, seconds(8));
        call.run(seconds(5));
        let settled = call.now;
        let before = call.subscribers[0].link.dropped;
        call.run(seconds(20));
        let decoder = call.subscribers[0].decoder(0);
        let freeze = decoder.longest_freeze(settled);
        let shown = decoder
            .shown
            .iter()
            .filter(|shown| shown.0 >= settled && shown.1 > 0)
            .count();
        let dropped = call.subscribers[0].link.dropped - before;
        call.subscribers[0].link.rate = Some(5_000_000);
        let returned = until(&mut call, 2, seconds(10));
        println!(
            "delay {delay} queue {queue}: fell in {fell:?}, froze {freeze:?}, {shown} higher, \
             {dropped} dropped, returned in {returned:?}"
        );
        assert!(freeze < Duration::from_millis(600), "froze for {freeze:?}");
        assert_eq!(shown, 0, "flapped");
        call.run(seconds(10));
        assert_eq!(layer(&call), Some(2));
    }
}

#[test]
fn stays_between_two_layers() {
    let mut call = video(Link::new(30, Some(1_000_000)));
    until(&mut call, 1, seconds(8));
    call.run(seconds(3));
    let settled = call.now;
    call.run(seconds(60));
    let decoder = call.subscribers[0].decoder(0);
    let freeze = decoder.longest_freeze(settled);
    let others = decoder
        .shown
        .iter()
        .filter(|shown| shown.0 >= settled && shown.1 != 1)
        .count();
    println!("froze {freeze:?}, {others} of other layers");
    assert!(others < 90, "{others} pictures of other layers");
    assert!(freeze < Duration::from_millis(600), "froze for {freeze:?}");
}

#[test]
fn five_percent_loss_both_ways_keeps_pictures_coming() {
    let mut call = video(Link::new(25, Some(5_000_000)).lossy(50));
    call.publishers[0].loss = 50;
    call.subscribers[0].loss = 50;
    until(&mut call, 2, seconds(12));
    let settled = call.now;
    call.run(seconds(60));
    let decoder = call.subscribers[0].decoder(0);
    let freeze = decoder.longest_freeze(settled);
    let low = decoder
        .shown
        .iter()
        .filter(|shown| shown.0 >= settled && shown.1 != 2)
        .count();
    let shown = decoder
        .shown
        .iter()
        .filter(|shown| shown.0 >= settled)
        .count();
    println!(
        "froze {freeze:?}; {low} of {shown} low; undecodable {}; {} repeated, {} missed; {} refreshes; {} keyframes asked",
        decoder.undecodable().len(),
        call.forwarder.counters().retransmitted_packets,
        call.forwarder.counters().retransmissions_missed,
        call.subscribers[0].streams[&5000].refreshes,
        call.publishers[0].keyframe_requests,
    );
    assert!(freeze < Duration::from_millis(700), "froze for {freeze:?}");
    assert!(shown > 60 * 28, "{shown} pictures in a minute");
    assert!(low * 10 < shown, "{low} of {shown} of lower layers");
}

#[test]
fn every_track_gets_its_lowest_layer_first() {
    let mut call = Call::new(5);
    let subscriber = call.add_subscriber(Link::new(25, Some(1_500_000)));
    for _ in 0..4 {
        let publisher = call.add_publisher(Encoder::new(Codec::Vp8, &SIMULCAST, 3, 1));
        call.subscribe(subscriber, publisher);
    }
    call.run(seconds(15));
    for publisher in 0..4 {
        let decoder = call.subscribers[0].decoder(publisher);
        let recent = decoder
            .shown
            .iter()
            .filter(|shown| call.now.since(shown.0) < seconds(5))
            .count();
        assert!(
            recent > 60,
            "track {publisher}: {recent} pictures in five seconds"
        );
    }
    let rate = call.subscribers[0].received(50);
    println!("{rate} bit/s of 1,500,000");
    assert!(rate > 900_000, "{rate} bit/s used");
    // The one that matters more gets more.
    let config = SubscriptionConfig {
        priority: 9,
        ..call.subscription(subscriber, 3)
    };
    call.apply(Change::SetSubscription(config));
    call.run(seconds(25));
    let favourite = call.subscribers[0].decoder(3);
    assert!(
        favourite.layer_at(call.now, seconds(5)) >= Some(1),
        "the favourite has {:?}",
        favourite.layer_at(call.now, seconds(5))
    );
}

#[test]
fn paused_and_resumed() {
    let mut call = video(Link::new(25, Some(5_000_000)));
    call.run(seconds(5));
    let config = SubscriptionConfig {
        paused: true,
        ..call.subscription(0, 0)
    };
    call.apply(Change::SetSubscription(config));
    call.run(Duration::from_millis(200));
    let before = call.subscribers[0].decoder(0).packets.len();
    call.run(seconds(3));
    assert_eq!(call.subscribers[0].decoder(0).packets.len(), before);
    let config = call.subscription(0, 0);
    call.apply(Change::SetSubscription(config));
    call.run(seconds(3));
    let decoder = call.subscribers[0].decoder(0);
    decoder.check_continuity();
    assert!(decoder.packets.len() > before + 100);
    assert_eq!(decoder.undecodable(), Vec::new());
}

#[test]
fn jitter_is_no_congestion() {
    let mut link = Link::new(25, Some(20_000_000));
    link.jitter = 12;
    let mut call = video(link);
    until(&mut call, 2, seconds(8));
    let settled = call.now;
    call.run(seconds(60));
    let decoder = call.subscribers[0].decoder(0);
    let low = decoder
        .shown
        .iter()
        .filter(|shown| shown.0 >= settled && shown.1 != 2)
        .count();
    println!(
        "{low} low; {:?}",
        estimates(&call).iter().rev().take(8).collect::<Vec<_>>()
    );
    assert!(low < 300, "{low} pictures of lower layers");
}

#[test]
fn a_dead_path_is_not_flooded() {
    let mut call = video(Link::new(25, Some(5_000_000)));
    until(&mut call, 2, seconds(8));
    call.subscribers[0].link.loss = 1000;
    call.run(seconds(15));
    let before = call.forwarder.counters().forwarded_bytes;
    call.run(seconds(5));
    let rate = (call.forwarder.counters().forwarded_bytes - before) * 8 / 5;
    assert!(rate < 400_000, "{rate} bit/s into nothing");
    call.subscribers[0].link.loss = 0;
    until(&mut call, 2, seconds(12));
}

#[test]
fn a_policer_is_found_out() {
    let mut link = Link::new(25, Some(5_000_000));
    link.queue = Duration::from_millis(25);
    let mut call = video(link);
    until(&mut call, 2, seconds(8));
    call.subscribers[0].link.rate = Some(300_000);
    call.subscribers[0].link.queue = Duration::from_millis(40);
    call.run(seconds(10));
    let settled = call.now;
    call.run(seconds(20));
    assert_eq!(layer(&call), Some(0));
    let decoder = call.subscribers[0].decoder(0);
    let freeze = decoder.longest_freeze(settled);
    println!("froze {freeze:?}");
    assert!(freeze < Duration::from_millis(800), "froze for {freeze:?}");
    call.subscribers[0].link.rate = Some(5_000_000);
    until(&mut call, 2, seconds(10));
}

#[test]
fn tracks_without_layers_flow_and_share() {
    let mut call = Call::new(6);
    let subscriber = call.add_subscriber(Link::new(25, Some(10_000_000)));
    for _ in 0..2 {
        let publisher = call.add_publisher(Encoder::new(Codec::H264, &[1_500_000], 1, 1));
        call.subscribe(subscriber, publisher);
    }
    call.run(seconds(4));
    let settled = call.now;
    call.run(seconds(10));
    for publisher in 0..2 {
        let decoder = call.subscribers[0].decoder(publisher);
        let freeze = decoder.longest_freeze(settled);
        assert!(
            freeze < Duration::from_millis(200),
            "track {publisher}: {freeze:?}"
        );
    }
    // Too little for both: one goes on.
    call.subscribers[0].link.rate = Some(2_000_000);
    call.run(seconds(10));
    let from = call.now;
    call.run(seconds(10));
    let recent = |publisher: usize| {
        let shown = &call.subscribers[0].decoder(publisher).shown;
        shown.iter().filter(|shown| shown.0 >= from).count()
    };
    assert!(
        recent(0).max(recent(1)) > 200,
        "{} {}",
        recent(0),
        recent(1)
    );
}

#[test]
fn temporal_layers_go_before_the_picture_does() {
    let mut call = Call::new(6);
    let subscriber = call.add_subscriber(Link::new(25, Some(1_100_000)));
    let publisher = call.add_publisher(Encoder::new(Codec::Vp8, &[1_500_000], 3, 1));
    call.subscribe(subscriber, publisher);
    call.run(seconds(8));
    let settled = call.now;
    call.run(seconds(20));
    let decoder = call.subscribers[0].decoder(0);
    let freeze = decoder.longest_freeze(settled);
    let shown = decoder
        .shown
        .iter()
        .filter(|shown| shown.0 >= settled)
        .count();
    println!("froze {freeze:?}, {shown} pictures in 20 s");
    assert!(freeze < Duration::from_millis(500), "froze for {freeze:?}");
    assert!((140..560).contains(&shown), "{shown} pictures");
}

#[test]
fn a_receiver_without_a_processor_keeps_its_pictures() {
    // Nothing is lost; it only reads rarely, so that at times hardly anything
    // seems to get through.
    for (lumps, length) in [(300, 2_000), (700, 2_100), (1_200, 2_400)] {
        let mut call = Call::new(9);
        let subscriber = call.add_subscriber(Link::new(15, Some(20_000_000)));
        for _ in 0..4 {
            let publisher = call.add_publisher(Encoder::new(Codec::Vp8, &[500_000], 1, 1));
            call.subscribe(subscriber, publisher);
        }
        call.run(seconds(10));
        let settled = call.now;
        call.subscribers[0].link.lumps = Some(Duration::from_millis(lumps));
        call.run(Duration::from_millis(length));
        call.subscribers[0].link.lumps = None;
        call.run(seconds(10));
        assert_eq!(call.subscribers[0].link.dropped, 0);
        let freezes: Vec<Duration> = (0..4)
            .map(|publisher| {
                call.subscribers[0]
                    .decoder(publisher)
                    .longest_freeze(settled)
            })
            .collect();
        println!("lumps of {lumps} ms: {freezes:?}; {:?}", estimates(&call));
        for freeze in freezes {
            assert!(
                freeze < Duration::from_millis(lumps + 300),
                "lumps of {lumps} ms: froze for {freeze:?}"
            );
        }
    }
}
