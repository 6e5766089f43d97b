//! Allocate (RFC 8656 §7).
#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

mod common;

use common::*;
use forebay_turn::{Command, Config, Refusal};
use forebay_wire::stun::{AttributeType, Method};

#[test]
fn an_allocation_tells_relay_lifetime_and_own_address() {
    let mut world = World::new(config());
    let mut alice = Client::alice(4000);
    let answer = alice.allocate_with(&mut world, &|_| {});
    assert_eq!(answer.code(), 0);
    assert_eq!(answer.lifetime(), 600);
    assert_eq!(
        answer.view().xor_mapped_address(),
        Some(alice.tuple.client.0)
    );
    let (_, _, relayed) = world.latest();
    assert_eq!(answer.view().xor_relayed_address(), Some(relayed));
    assert_eq!(relayed.ip(), ip(RELAY_V4));
    assert_eq!(world.server.allocations(), 1);
    let Some(Command::Created {
        tuple,
        local,
        username,
        ..
    }) = world.events.first()
    else {
        panic!("no allocation announced");
    };
    assert_eq!(
        (*tuple, *local, &**username),
        (alice.tuple, relayed, "alice")
    );
}

#[test]
fn lifetimes_lie_between_default_and_maximum() {
    let mut world = World::new(config());
    for (port, (asked, given)) in [
        (0, 600),
        (1, 600),
        (601, 601),
        (3600, 3600),
        (u32::MAX, 3600),
    ]
    .iter()
    .enumerate()
    {
        let mut alice = Client::alice(4000 + port as u16);
        let answer = alice.allocate_with(&mut world, &|message| {
            message.push_u32(AttributeType::LIFETIME, *asked).unwrap();
        });
        assert_eq!(answer.lifetime(), *given);
    }
}

#[test]
fn families() {
    let mut world = World::new(config());
    let mut alice = Client::alice(4000);
    let v4 = alice.allocate_with(&mut world, &|message| family(message, 1));
    assert!(v4.view().xor_relayed_address().unwrap().is_ipv4());
    let mut bob = Client::alice(4001);
    let v6 = bob.allocate_with(&mut world, &|message| family(message, 2));
    assert!(v6.view().xor_relayed_address().unwrap().is_ipv6());
    let mut carol = Client::alice(4002);
    assert_eq!(
        carol
            .allocate_with(&mut world, &|message| family(message, 3))
            .code(),
        440
    );
}

#[test]
fn a_family_this_host_lacks_is_not_supported() {
    let mut world = World::new(config());
    let mut only_v4 = policy();
    only_v4.relays.retain(|relay| relay.public.is_ipv4());
    let mut server = forebay_turn::Server::new(config(), seeds());
    server.set_credentials(&forebay_turn::Credentials {
        secrets: vec![],
        users: vec![user("alice", "wonder")],
    });
    server.set_policy(&only_v4);
    world.server = server;
    let mut alice = Client::alice(4000);
    // Nothing was offered: IPv4 is exhausted, IPv6 does not exist.
    alice.nonce = world_nonce(&mut world, &mut Client::alice(4000));
    let request = alice.signed(Method::ALLOCATE, &|message| {
        message
            .push(AttributeType::REQUESTED_TRANSPORT, &[17, 0, 0, 0])
            .unwrap();
        family(message, 2);
    });
    let mut out = vec![0; 1280];
    let forebay_turn::Outcome::Reply(len) =
        world
            .server
            .request(world.now, &alice.tuple, &request, &mut out)
    else {
        panic!("silent");
    };
    assert_eq!(
        Answer {
            bytes: out[..len].to_vec()
        }
        .code(),
        440
    );
    let request = alice.signed(Method::ALLOCATE, &|message| {
        message
            .push(AttributeType::REQUESTED_TRANSPORT, &[17, 0, 0, 0])
            .unwrap();
    });
    let forebay_turn::Outcome::Reply(len) =
        world
            .server
            .request(world.now, &alice.tuple, &request, &mut out)
    else {
        panic!("silent");
    };
    assert_eq!(
        Answer {
            bytes: out[..len].to_vec()
        }
        .code(),
        508
    );
}

fn world_nonce(world: &mut World, client: &mut Client) -> Vec<u8> {
    let request = client.plain(Method::ALLOCATE, &|_| {});
    let mut out = vec![0; 1280];
    let forebay_turn::Outcome::Reply(len) =
        world
            .server
            .request(world.now, &client.tuple, &request, &mut out)
    else {
        panic!("silent");
    };
    Answer {
        bytes: out[..len].to_vec(),
    }
    .view()
    .nonce()
    .unwrap()
    .to_vec()
}

#[test]
fn transport_is_checked_after_the_five_tuple() {
    let mut world = World::new(config());
    let mut alice = Client::alice(4000);
    assert_eq!(
        alice.call(&mut world, Method::ALLOCATE, &|_| {}).code(),
        400
    );
    let transport = |value: &'static [u8]| {
        move |message: &mut forebay_wire::stun::Builder<'_>| {
            message
                .push(AttributeType::REQUESTED_TRANSPORT, value)
                .unwrap();
        }
    };
    assert_eq!(
        alice
            .call(&mut world, Method::ALLOCATE, &transport(&[17, 0]))
            .code(),
        400
    );
    assert_eq!(
        alice
            .call(&mut world, Method::ALLOCATE, &transport(&[6, 0, 0, 0]))
            .code(),
        442
    );
    alice.allocate(&mut world);
    assert_eq!(
        alice
            .call(&mut world, Method::ALLOCATE, &transport(&[6, 0, 0, 0]))
            .code(),
        437
    );
    assert_eq!(
        alice.call(&mut world, Method::ALLOCATE, &|_| {}).code(),
        437
    );
}

#[test]
fn an_even_port_is_given_while_there_is_one() {
    let mut world = World::new(config());
    let mut alice = Client::alice(4000);
    let pair = alice.allocate_with(&mut world, &|message| {
        message.push(AttributeType::EVEN_PORT, &[0x80]).unwrap();
    });
    assert_eq!(pair.code(), 508, "no pair is in hand");
    for port in 4000..4010 {
        let answer = Client::alice(port).allocate_with(&mut world, &|message| {
            message.push(AttributeType::EVEN_PORT, &[0]).unwrap();
        });
        match answer.code() {
            0 => {
                let relayed = answer.view().xor_relayed_address().unwrap();
                assert_eq!(relayed.port() % 2, 0);
            }
            code => {
                assert_eq!(code, 508);
                return;
            }
        }
    }
}

#[test]
fn what_is_not_understood_is_named() {
    let mut world = World::new(config());
    let mut alice = Client::alice(4000);
    let kinds = [AttributeType::DONT_FRAGMENT, AttributeType(0x7777)];
    for kind in kinds {
        let answer = alice.allocate_with(&mut world, &|message| {
            message.push(kind, &[0; 8]).unwrap();
            // Needs no understanding.
            message.push(AttributeType(0x8777), b"x").unwrap();
        });
        assert_eq!(answer.code(), 420);
        assert!(answer.view().unknown_attributes().eq([kind]));
    }
    let many = alice.allocate_with(&mut world, &|message| {
        for kind in 0x7000..0x7100 {
            message.push_empty(AttributeType(kind)).unwrap();
        }
    });
    assert_eq!(many.code(), 420);
    assert!(many.bytes.len() < 120);
    assert_eq!(world.server.allocations(), 0);
}

#[test]
fn dont_fragment_is_understood_where_the_kernel_can_do_it() {
    for able in [false, true] {
        let mut world = World::new(Config {
            dont_fragment: able,
            ..config()
        });
        let mut alice = Client::alice(4000);
        let answer = alice.allocate_with(&mut world, &|message| {
            message.push_empty(AttributeType::DONT_FRAGMENT).unwrap();
        });
        assert_eq!(answer.code(), if able { 0 } else { 420 });
    }
}

#[test]
fn one_allocation_per_five_tuple() {
    let mut world = World::new(config());
    let mut alice = Client::alice(4000);
    alice.allocate(&mut world);
    assert_eq!(alice.allocate_with(&mut world, &|_| {}).code(), 437);
    let mut elsewhere = Client::alice(4000);
    elsewhere.tuple.socket.0 = 1;
    elsewhere.allocate(&mut world);
    let mut other_local = Client::alice(4000);
    other_local.tuple.local = ip("198.18.0.253");
    other_local.allocate(&mut world);
    assert_eq!(world.server.allocations(), 3);
}

#[test]
fn exhaustion_is_insufficient_capacity_and_heals() {
    let mut small = config();
    small.capacity.allocations = 2;
    let mut world = World::new(small);
    let mut first = Client::alice(4000);
    first.allocate(&mut world);
    Client::alice(4001).allocate(&mut world);
    let mut third = Client::alice(4002);
    assert_eq!(third.allocate_with(&mut world, &|_| {}).code(), 508);
    assert_eq!(world.server.relays_held().v4, 0, "relays are not hoarded");
    assert_eq!(first.refresh(&mut world, Some(0)).code(), 0);
    third.allocate(&mut world);
}

#[test]
fn draining_refuses_new_and_keeps_old() {
    let mut world = World::new(config());
    let mut alice = Client::alice(4000);
    alice.allocate(&mut world);
    world.server.drain();
    assert_eq!(
        Client::alice(4001)
            .allocate_with(&mut world, &|_| {})
            .code(),
        508
    );
    assert_eq!(alice.refresh(&mut world, None).code(), 0);
    assert_eq!(alice.permit(&mut world, &[PEER]), 0);
}

#[test]
fn software_and_fingerprint_are_added_when_configured() {
    let mut with = config();
    with.software = Some("Forebay".into());
    with.fingerprint = true;
    let mut world = World::new(with);
    let mut alice = Client::alice(4000);
    let challenge = alice.challenge(&mut world);
    assert_eq!(challenge.view().software(), None);
    let answer = alice.allocate_with(&mut world, &|_| {});
    assert_eq!(answer.view().software(), Some(&b"Forebay"[..]));
    assert_eq!(
        answer.view().fingerprint(),
        forebay_wire::stun::Fingerprint::Valid
    );
}

#[test]
fn a_short_buffer_changes_nothing() {
    let mut world = World::new(config());
    let mut alice = Client::alice(4000);
    alice.challenge(&mut world);
    let request = alice.signed(Method::ALLOCATE, &|message| {
        message
            .push(AttributeType::REQUESTED_TRANSPORT, &[17, 0, 0, 0])
            .unwrap();
    });
    let outcome = world
        .server
        .request(world.now, &alice.tuple, &request, &mut [0; 100]);
    assert_eq!(outcome, forebay_turn::Outcome::Silent(Refusal::NoRoom));
    assert_eq!(world.server.allocations(), 0);
}

#[test]
fn relays_are_given_out_in_no_foreseeable_order() {
    let mut world = World::new(config());
    let ports: Vec<u32> = (0..40)
        .map(|port| Client::alice(4000 + port).allocate(&mut world).0)
        .collect();
    assert!(!ports.is_sorted());
}

#[test]
fn a_deleted_allocation_leaves_no_key_to_allocate_with() {
    let mut world = World::new(config());
    let mut rest = Client::rest(&world, "5.5.5.5:4000", "guest", 30, SECRET);
    rest.allocate(&mut world);
    world.advance(secs(20));
    assert_eq!(rest.refresh(&mut world, Some(0)).code(), 0);
    // The username has expired, the deletion is still remembered.
    world.advance(secs(15));
    let again = rest.allocate_with(&mut world, &|_| {});
    assert_eq!(again.code(), 401);
    assert_eq!(world.server.allocations(), 0);
}
