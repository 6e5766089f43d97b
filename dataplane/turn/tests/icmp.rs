//! ICMP errors of what was sent to peers (RFC 8656 §11.5).
#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

mod common;

use common::*;
use forebay_turn::{Config, FiveTuple, PeerAddr, PeerPolicy, RelayMapping, SocketId, Untold};
use forebay_wire::stun::Icmp;

const UNREACHABLE: Icmp = Icmp {
    kind: 3,
    code: 3,
    data: 0,
};
const UNREACHABLE_V6: Icmp = Icmp {
    kind: 1,
    code: 4,
    data: 0,
};

type Told = Result<(FiveTuple, PeerAddr), Untold>;

fn icmp(world: &mut World, relay: SocketId, peer: &str, icmp: Icmp) -> Told {
    world.server.icmp(world.now, relay, addr(peer), icmp)
}

#[test]
fn the_client_is_told_which_peer() {
    let mut world = World::new(config());
    let mut alice = Client::alice(4000);
    let relay = alice.allocate(&mut world);
    alice.permit(&mut world, &[PEER]);
    // Of a permission the address counts alone, and of no port it is told too.
    for peer in [PEER, "8.8.4.4:1", "8.8.4.4:0"] {
        let told = icmp(&mut world, relay, peer, UNREACHABLE);
        assert_eq!(told, Ok((alice.tuple, PeerAddr(addr(peer)))));
    }
}

#[test]
fn types_that_tell_of_lost_datagrams_are_relayed() {
    for (peer, relayed) in [(PEER, &[3, 11][..]), (PEER_V6, &[1, 2, 3])] {
        for kind in 0..=255 {
            let mut world = World::new(config());
            let mut alice = Client::alice(4000);
            let relay = if peer == PEER {
                alice.allocate(&mut world)
            } else {
                alice.allocate_v6(&mut world)
            };
            alice.permit(&mut world, &[peer]);
            let error = Icmp {
                kind,
                code: 0,
                data: 0,
            };
            let told = icmp(&mut world, relay, peer, error).is_ok();
            assert_eq!(told, relayed.contains(&kind), "{kind} of {peer}");
        }
    }
}

#[test]
fn without_allocation_or_permission_nobody_is_told() {
    let mut world = World::new(config());
    let mut alice = Client::alice(4000);
    let relay = alice.allocate(&mut world);
    let refused = Err(Untold::Refused);
    assert_eq!(icmp(&mut world, relay, PEER, UNREACHABLE), refused);
    alice.permit(&mut world, &[PEER]);
    assert_eq!(
        icmp(&mut world, relay, "8.8.4.5:5000", UNREACHABLE),
        refused
    );
    assert_eq!(
        icmp(&mut world, SocketId(relay.0 + 1), PEER, UNREACHABLE),
        refused
    );
    assert_eq!(icmp(&mut world, relay, PEER_V6, UNREACHABLE_V6), refused);
    assert!(icmp(&mut world, relay, PEER, UNREACHABLE).is_ok());
    world.advance(secs(301));
    assert_eq!(icmp(&mut world, relay, PEER, UNREACHABLE), refused);
    alice.permit(&mut world, &[PEER]);
    assert!(icmp(&mut world, relay, PEER, UNREACHABLE).is_ok());
    world.advance_lazily(secs(300));
    assert_eq!(icmp(&mut world, relay, PEER, UNREACHABLE), refused);
}

#[test]
fn a_peer_behind_our_own_nat_is_named_by_its_public_address() {
    let mut world = World::new(config());
    world.server.set_policy(&PeerPolicy {
        relays: vec![RelayMapping {
            local: ip("10.0.0.5"),
            public: ip("203.0.113.7"),
        }],
        ..PeerPolicy::default()
    });
    let mut alice = Client::alice(4000);
    let relay = alice.allocate(&mut world);
    alice.permit(&mut world, &["203.0.113.7:50100"]);
    let told = icmp(&mut world, relay, "10.0.0.5:50100", UNREACHABLE);
    assert_eq!(told, Ok((alice.tuple, PeerAddr(addr("203.0.113.7:50100")))));
}

#[test]
fn few_are_told_however_many_come() {
    let mut world = World::new(config());
    let mut alice = Client::alice(4000);
    let relay = alice.allocate(&mut world);
    alice.permit(&mut world, &[PEER]);
    let mut told = 0;
    for _ in 0..1000 {
        match icmp(&mut world, relay, PEER, UNREACHABLE) {
            Ok(_) => told += 1,
            Err(why) => assert_eq!(why, Untold::Limited),
        }
    }
    assert_eq!(told, 10);
    world.advance(secs(1));
    let told = (0..1000)
        .filter(|_| icmp(&mut world, relay, PEER, UNREACHABLE).is_ok())
        .count();
    assert_eq!(told, 10);
}

#[test]
fn the_shard_as_a_whole_tells_no_flood_either() {
    let mut config = config();
    config.capacity.allocations = 200;
    config.capacity.permissions = 200;
    let mut world = World::new(Config { ..config });
    let mut told = 0;
    for port in 0..100 {
        let mut client = Client::alice(5000 + port);
        let relay = client.allocate(&mut world);
        client.permit(&mut world, &[PEER]);
        let count = (0..20)
            .filter(|_| icmp(&mut world, relay, PEER, UNREACHABLE).is_ok())
            .count();
        assert!(count <= 10);
        told += count;
    }
    assert_eq!(told, 250, "the burst of a shard");
}
