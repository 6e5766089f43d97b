//! Bandwidth caps, as the engine asks for them: once per run of packets.

use std::time::Duration;

use forebay_turn::{AllocationId, BandwidthLimits, Refusal, Shared, SocketId};

use super::common::*;

struct Flow {
    client: Client,
    id: AllocationId,
    relay: SocketId,
    passed: u64,
}

fn world(limits: BandwidthLimits, shared: Shared) -> World {
    let mut config = config();
    config.bandwidth = limits;
    config.shared = shared;
    World::new(config)
}

fn flow(world: &mut World, mut client: Client) -> Flow {
    let relay = client.allocate(world);
    assert_eq!(client.bind(world, 0x4000, PEER), 0);
    Flow {
        id: world.latest().1,
        client,
        relay,
        passed: 0,
    }
}

/// Every millisecond one packet of each flow to its peer, of its size; until
/// the time is over. Gives the last refusal.
fn offer(world: &mut World, flows: &mut [(Flow, u32)], time: Duration) -> Option<Refusal> {
    let mut refused = None;
    for _ in 0..time.as_millis() {
        world.advance_lazily(Duration::from_millis(1));
        for (flow, size) in &mut *flows {
            match world.channel(&flow.client, 0x4000) {
                Ok(to) => {
                    world.server.count_to_peer(to.allocation, 1, *size);
                    flow.passed += u64::from(*size);
                }
                Err(refusal) => refused = Some(refusal),
            }
        }
    }
    refused
}

fn bits_per_second(flow: &Flow, time: Duration) -> f64 {
    flow.passed as f64 * 8.0 / time.as_secs_f64()
}

const TIME: Duration = Duration::from_secs(10);

#[test]
fn an_allocation_is_held_to_its_cap_in_each_direction() {
    let limits = BandwidthLimits {
        allocation: Some(1_000_000),
        ..BandwidthLimits::default()
    };
    let mut world = world(limits, Shared::default());
    let alice = flow(&mut world, Client::alice(4000));
    let mut flows = [(alice, 1000)];
    assert_eq!(
        offer(&mut world, &mut flows, TIME),
        Some(Refusal::AllocationBandwidth)
    );
    let rate = bits_per_second(&flows[0].0, TIME);
    // Half a second's worth on top.
    assert!((990_000.0..1_060_000.0).contains(&rate), "{rate}");
    let alice = &flows[0].0;
    assert!(
        world.from_peer(alice.relay, PEER).is_ok(),
        "the other direction is free"
    );
    world.server.count_to_client(alice.id, 1, 10_000_000);
    assert_eq!(
        world.from_peer(alice.relay, PEER),
        Err(Refusal::AllocationBandwidth)
    );
}

#[test]
fn a_user_is_held_to_its_cap_on_all_shards() {
    let limits = BandwidthLimits {
        user: Some(1_000_000),
        ..BandwidthLimits::default()
    };
    let shared = Shared::new(2, 64);
    let mut worlds = [0, 1].map(|shard| world(limits, shared.of(shard)));
    let mut total = 0.0;
    let mut flows = worlds.each_mut().map(|world| {
        let client = Client::rest(world, "198.18.0.1:4000", "bob", 600, SECRET);
        [(flow(world, client), 1000)]
    });
    let stranger = flow(&mut worlds[0], Client::alice(4001));
    let mut strangers = [(stranger, 100)];
    let mut last = None;
    for _ in 0..TIME.as_secs() * 10 {
        for (world, flows) in worlds.iter_mut().zip(&mut flows) {
            last = last.or(offer(world, flows, Duration::from_millis(100)));
        }
    }
    for [(flow, _)] in &flows {
        total += bits_per_second(flow, TIME);
    }
    assert_eq!(last, Some(Refusal::UserBandwidth));
    assert!((900_000.0..1_100_000.0).contains(&total), "{total}");
    assert_eq!(
        offer(&mut worlds[0], &mut strangers, Duration::from_millis(50)),
        None
    );
}

#[test]
fn the_host_is_held_to_its_cap_and_those_beyond_their_share_pay() {
    let limits = BandwidthLimits {
        host: Some(4_000_000),
        ..BandwidthLimits::default()
    };
    let mut world = world(limits, Shared::default());
    // Two calls of 0.4 Mbit/s and two that would take 8 Mbit/s each.
    let sizes = [50, 50, 1000, 1000];
    let mut flows: Vec<(Flow, u32)> = sizes
        .into_iter()
        .zip(4000..)
        .map(|(size, port)| (flow(&mut world, Client::alice(port)), size))
        .collect();
    assert_eq!(
        offer(&mut world, &mut flows, TIME),
        Some(Refusal::HostBandwidth)
    );
    let rates: Vec<f64> = flows
        .iter()
        .map(|(flow, _)| bits_per_second(flow, TIME))
        .collect();
    let total: f64 = rates.iter().sum();
    assert!((3_800_000.0..4_400_000.0).contains(&total), "{rates:?}");
    for small in &rates[..2] {
        assert!(
            *small > 395_000.0,
            "nothing of theirs is dropped: {rates:?}"
        );
    }
    for large in &rates[2..] {
        assert!((1_000_000.0..2_400_000.0).contains(large), "{rates:?}");
    }
}
