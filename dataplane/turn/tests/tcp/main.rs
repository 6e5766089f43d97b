//! TCP between server and peers (RFC 6062).
#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

mod allocate;
mod bind;
#[path = "../common/mod.rs"]
mod common;
mod connect;
mod incoming;
mod leaks;

use common::*;
use forebay_turn::{
    Command, Config, Incoming, PeerConnection, Refusal, Server, SocketId, TcpRelay, ToControl,
};
use forebay_wire::stun::{AttributeType, Builder, Message, Method};

/// Connections of clients have ids from here on.
const FIRST_STREAM: u32 = 10_000;

fn tcp_config() -> Config {
    Config {
        tcp: TcpRelay {
            connections: 16,
            connections_per_allocation: 6,
            connecting_per_allocation: 4,
        },
        first_stream: SocketId(FIRST_STREAM),
        ..config()
    }
}

fn world() -> World {
    World::new(tcp_config())
}

/// A client on a connection of its own.
fn over_tcp(world: &mut World, mut client: Client) -> Client {
    let port = u32::from(client.tuple.client.0.port());
    client.tuple.socket = SocketId(FIRST_STREAM + port);
    world.server.set_byte_stream(client.tuple.socket, true);
    client
}

fn alice(world: &mut World, port: u16) -> Client {
    over_tcp(world, Client::alice(port))
}

fn allocate(client: &mut Client, world: &mut World, fill: &dyn Fn(&mut Builder<'_>)) -> Answer {
    client.call(world, Method::ALLOCATE, &|message| {
        message
            .push(AttributeType::REQUESTED_TRANSPORT, &[6, 0, 0, 0])
            .unwrap();
        fill(message);
    })
}

/// A client with a TCP allocation, and its relay.
fn allocated(world: &mut World, port: u16) -> (Client, SocketId) {
    let mut client = alice(world, port);
    let answer = allocate(&mut client, world, &|_| {});
    assert_eq!(answer.code(), 0);
    let relay = world.latest().0;
    (client, relay)
}

fn connect_request(client: &mut Client, peer: &str) -> Vec<u8> {
    client.signed(Method::CONNECT, &|message| {
        message
            .push_xor_address(AttributeType::XOR_PEER_ADDRESS, addr(peer))
            .unwrap();
    })
}

/// Asks for a connection. What was asked of the caller, or the answer's code.
fn connect(client: &mut Client, world: &mut World, peer: &str) -> Result<PeerConnection, u16> {
    let request = connect_request(client, peer);
    let answer = world.raw(&client.tuple, &request).unwrap();
    if answer.is_empty() {
        return Ok(asked(world).0);
    }
    let answer = Answer { bytes: answer };
    client.check(&request, &answer);
    Err(answer.code())
}

/// What the server asked to be connected last.
fn asked(world: &World) -> (PeerConnection, SocketId, std::net::SocketAddr) {
    world
        .events
        .iter()
        .rev()
        .find_map(|event| match event {
            Command::Connect {
                connection,
                relay,
                peer,
            } => Some((*connection, *relay, *peer)),
            _ => None,
        })
        .unwrap()
}

/// Tells what became of a connection; what the client is answered.
fn connected(world: &mut World, connection: PeerConnection, success: bool) -> Option<Answer> {
    let mut buffer = vec![0; Server::MAX_ANSWER];
    let told = world
        .server
        .connected(world.now, connection, success, &mut buffer);
    world.drain();
    let ToControl { len, .. } = told?;
    buffer.truncate(len);
    Some(Answer { bytes: buffer })
}

/// The CONNECTION-ID of a connection made.
fn establish(client: &mut Client, world: &mut World, peer: &str) -> (PeerConnection, u32) {
    let connection = connect(client, world, peer).unwrap();
    let answer = connected(world, connection, true).unwrap();
    assert_eq!(answer.code(), 0);
    (connection, answer.view().connection_id().unwrap())
}

/// A peer connects.
fn incoming(
    world: &mut World,
    relay: SocketId,
    source: &str,
) -> Result<(Incoming, Vec<u8>), Refusal> {
    let mut buffer = vec![0; Server::MAX_ANSWER];
    let come = world
        .server
        .incoming(world.now, relay, addr(source), &mut buffer);
    world.drain();
    let come = come?;
    buffer.truncate(come.attempt.len);
    Message::parse(&buffer).unwrap();
    Ok((come, buffer))
}

fn bind(client: &mut Client, world: &mut World, id: u32) -> u16 {
    let request = |message: &mut Builder<'_>| {
        message.push_u32(AttributeType::CONNECTION_ID, id).unwrap();
    };
    client.call(world, Method::CONNECTION_BIND, &request).code()
}

/// Closes what the server wants closed.
fn close_hanging(world: &mut World) -> Vec<PeerConnection> {
    let hanging = std::mem::take(&mut world.hanging);
    for connection in &hanging {
        world.server.released(*connection);
    }
    world.drain();
    hanging
}
