//! Two clients of one host, and a policy that changes under them.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

mod common;

use common::*;
use forebay_turn::{ChannelNumber, Framing, PeerAddr, PeerPolicy, Refusal, RelayMapping};

const PUBLIC: &str = "203.0.113.7";
const LOCAL: &str = "10.0.0.5";

fn nat() -> PeerPolicy {
    let mapped = RelayMapping {
        local: ip(LOCAL),
        public: ip(PUBLIC),
    };
    PeerPolicy {
        relays: vec![mapped],
        ..PeerPolicy::default()
    }
}

#[test]
fn relays_behind_nat_meet_under_their_public_addresses() {
    let mut world = World::new(config());
    world.server.set_policy(&nat());
    let mut alice = Client::alice(4000);
    let alices = alice.allocate(&mut world);
    let mut bob = Client::alice(4001);
    let bobs = bob.allocate(&mut world);
    let public = |relay: forebay_turn::SocketId| format!("{PUBLIC}:{}", 50_000 + relay.0);
    let local = |relay: forebay_turn::SocketId| format!("{LOCAL}:{}", 50_000 + relay.0);

    assert_eq!(alice.bind(&mut world, 0x4000, &public(bobs)), 0);
    assert_eq!(bob.permit(&mut world, &[&public(alices)]), 0);
    assert_eq!(
        world.channel(&alice, 0x4000).unwrap().destination,
        addr(&local(bobs))
    );
    assert_eq!(
        world.send(&bob, &public(alices)).unwrap().destination,
        addr(&local(alices))
    );
    let shown = world.from_peer(bobs, &local(alices)).unwrap();
    assert_eq!(
        shown.framing,
        Framing::DataIndication(PeerAddr(addr(&public(alices))))
    );
    let channel = ChannelNumber::new(0x4000).unwrap();
    assert_eq!(
        world.from_peer(alices, &local(bobs)).unwrap().framing,
        Framing::Channel(channel)
    );

    // The host's other ports are no relays.
    assert_eq!(
        world.send(&bob, &format!("{PUBLIC}:3478")),
        Err(Refusal::PeerDenied)
    );
    assert_eq!(
        alice.bind(&mut world, 0x4001, &format!("{PUBLIC}:3478")),
        403
    );
    assert_eq!(
        world.from_peer(bobs, &format!("{LOCAL}:3478")),
        Err(Refusal::NoPermission)
    );
    assert_eq!(bob.permit(&mut world, &[&local(alices)]), 403);
}

#[test]
fn a_new_policy_drops_what_it_denies_and_keeps_the_rest() {
    let mut world = World::new(config());
    let mut alice = Client::alice(4000);
    let relay = alice.allocate(&mut world);
    let (bad, good, low) = ("9.9.9.9:5000", "8.8.4.4:5000", "8.8.4.4:1500");
    assert_eq!(alice.bind(&mut world, 0x4000, bad), 0);
    assert_eq!(alice.bind(&mut world, 0x4001, good), 0);
    assert_eq!(alice.bind(&mut world, 0x4002, low), 0);
    assert_eq!(alice.permit(&mut world, &["7.7.7.7:1"]), 0);
    let denying = PeerPolicy {
        deny: vec!["9.9.9.9/32".parse().unwrap(), "7.7.7.7/32".parse().unwrap()],
        lowest_port: 2000,
        ..policy()
    };
    world.server.set_policy(&denying);
    world.drain();
    assert_eq!(world.channel(&alice, 0x4000), Err(Refusal::NoChannel));
    assert_eq!(world.send(&alice, bad), Err(Refusal::NoPermission));
    assert_eq!(world.from_peer(relay, bad), Err(Refusal::NoPermission));
    assert_eq!(
        world.send(&alice, "7.7.7.7:5000"),
        Err(Refusal::NoPermission)
    );
    assert!(world.channel(&alice, 0x4001).is_ok());
    // The port alone is denied: its channel goes, the permission stays.
    assert_eq!(world.channel(&alice, 0x4002), Err(Refusal::NoChannel));
    assert_eq!(world.send(&alice, low), Err(Refusal::PeerDenied));
    assert!(world.send(&alice, "8.8.4.4:2000").is_ok());
    world.advance(secs(599));
    assert_eq!(alice.bind(&mut world, 0x4000, good), 400, "still guarded");
    assert_eq!(
        alice.bind(&mut world, 0x4002, "8.8.4.4:2000"),
        0,
        "a dropped one is free"
    );

    world.server.set_policy(&policy());
    assert_eq!(
        alice.bind(&mut world, 0x4000, bad),
        0,
        "nothing of the old denial remains"
    );
}

#[test]
fn destinations_follow_the_mapping() {
    let mut world = World::new(config());
    world.server.set_policy(&nat());
    let mut alice = Client::alice(4000);
    alice.allocate(&mut world);
    let peer = format!("{PUBLIC}:51000");
    assert_eq!(alice.bind(&mut world, 0x4000, &peer), 0);
    let mut moved = nat();
    moved.relays[0].local = ip("10.0.0.6");
    world.server.set_policy(&moved);
    assert_eq!(
        world.channel(&alice, 0x4000).unwrap().destination,
        addr("10.0.0.6:51000")
    );
    assert_eq!(
        world.send(&alice, &peer).unwrap().destination,
        addr("10.0.0.6:51000")
    );
}
