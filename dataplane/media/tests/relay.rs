//! A track handed on whole, for another shard or node to choose from.

mod call;

use std::time::Duration;

use call::Call;
use call::encoder::{Encoder, Truth};
use call::link::Link;
use forebay_media::{
    Change, Codec, Event, Mode, RelayedEncoding, Ssrc, SubscriptionConfig, codec::vp8,
};

fn relay(wanted: [bool; 3]) -> Mode {
    Mode::Relay(
        wanted
            .iter()
            .zip(0..)
            .map(|(wanted, index)| RelayedEncoding {
                ssrc: Ssrc(5000 + index * 2),
                rtx_ssrc: Ssrc(5001 + index * 2),
                wanted: *wanted,
            })
            .collect(),
    )
}

fn linked(loss: u64) -> (Call, SubscriptionConfig) {
    let mut call = Call::new(31);
    let publisher = call.add_publisher(Encoder::new(
        Codec::Vp8,
        &[150_000, 500_000, 1_500_000],
        3,
        1,
    ));
    let link = call.add_subscriber(Link::new(5, Some(100_000_000)).lossy(loss));
    for encoding in 0..3 {
        call.subscribers[link].expect(encoding, Codec::Vp8);
    }
    let config = SubscriptionConfig {
        mode: relay([true, true, true]),
        ..call.subscription(link, publisher)
    };
    call.apply(Change::SetSubscription(config.clone()));
    (call, config)
}

#[test]
fn every_wanted_encoding_comes_whole() {
    let (mut call, config) = linked(0);
    call.run(Duration::from_secs(5));
    for encoding in 0..3 {
        let decoder = call.subscribers[0].decoder(encoding);
        decoder.check_continuity();
        assert!(decoder.shown.len() > 140, "{}", decoder.shown.len());
        assert_eq!(decoder.undecodable(), Vec::new());
        for got in decoder.packets.values() {
            let truth = Truth::read(&got.payload).expect("truth");
            assert_eq!(usize::from(truth.encoding), encoding);
            // As the publisher wrote it.
            let id = vp8::Descriptor::read(&got.payload)
                .and_then(|read| read.picture_id)
                .expect("a picture id");
            let first = (0x7ff0 + encoding as u32 * 977) & 0x7fff;
            assert_eq!(u32::from(id.value), (first + truth.picture) & 0x7fff);
        }
    }
    call.apply(Change::SetSubscription(SubscriptionConfig {
        mode: relay([true, false, true]),
        ..config.clone()
    }));
    call.run(Duration::from_millis(100));
    let count = |call: &Call, encoding| call.subscribers[0].decoder(encoding).packets.len();
    let before = [count(&call, 0), count(&call, 1), count(&call, 2)];
    call.run(Duration::from_secs(2));
    assert!(count(&call, 0) > before[0]);
    assert_eq!(count(&call, 1), before[1]);
    assert!(count(&call, 2) > before[2]);
    call.apply(Change::SetSubscription(config));
    call.run(Duration::from_secs(2));
    let decoder = call.subscribers[0].decoder(1);
    assert!(decoder.packets.len() > before[1] + 50);
    let numbers: Vec<u64> = decoder.packets.keys().copied().collect();
    assert!(
        numbers.windows(2).all(|pair| pair[1] == pair[0] + 1),
        "dense"
    );
    // Layers are the far end's business.
    assert!(
        !call
            .events
            .iter()
            .any(|(_, event)| matches!(event, Event::Layer { .. }))
    );
}

#[test]
fn losses_on_the_link_heal() {
    let (mut call, _) = linked(20);
    call.run(Duration::from_secs(10));
    for encoding in 0..3 {
        let decoder = call.subscribers[0].decoder(encoding);
        assert!(
            decoder.shown.len() > 290,
            "encoding {encoding}: {}",
            decoder.shown.len()
        );
    }
}
