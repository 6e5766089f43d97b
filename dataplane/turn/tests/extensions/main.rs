//! What goes beyond one address per client: pairs of ports, both families,
//! mobility, and what all of them are limited by.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

mod bandwidth;
#[path = "../common/mod.rs"]
mod common;
mod dual;
mod leaks;
mod mobility;
mod new_peers;
mod quota;
mod reservation;

use common::*;
use forebay_turn::{OfferedRelay, RelayedAddr, SocketId};
use forebay_wire::stun::{AttributeType, Builder};

/// Puts a pair of IPv4 ports into the server's hand; their sockets.
fn offer_pair(world: &mut World, even: u16) -> [SocketId; 2] {
    let relay = |port: u16| {
        let address = std::net::SocketAddr::new(ip(RELAY_V4), port);
        OfferedRelay {
            socket: SocketId(u32::from(port) - 50_000),
            local: address,
            relayed: RelayedAddr(address),
        }
    };
    let (even, odd) = (relay(even), relay(even + 1));
    assert!(world.server.offer_pair(even, odd));
    [even.socket, odd.socket]
}

fn with_next_port(message: &mut Builder<'_>) {
    message.push(AttributeType::EVEN_PORT, &[0x80]).unwrap();
}

fn with_token(token: [u8; 8]) -> impl Fn(&mut Builder<'_>) {
    move |message| {
        message
            .push(AttributeType::RESERVATION_TOKEN, &token)
            .unwrap();
    }
}

fn with_both_families(message: &mut Builder<'_>) {
    message
        .push(AttributeType::ADDITIONAL_ADDRESS_FAMILY, &[2, 0, 0, 0])
        .unwrap();
}
