//! Binding (RFC 8489 §3) and what is no request at all.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

mod common;

use common::*;
use forebay_turn::Refusal;
use forebay_wire::stun::{AttributeType, Builder, Class, Method, TransactionId};

#[test]
fn tells_the_clients_address_in_few_bytes() {
    let mut world = World::new(config());
    let mut client = Client::alice(4000);
    let request = client.plain(Method::BINDING, &|_| {});
    assert_eq!(request.len(), 20);
    let answer = client.exchange(&mut world, &request);
    assert_eq!(
        answer.view().xor_mapped_address(),
        Some(client.tuple.client.0)
    );
    assert!(answer.bytes.len() <= 32);
    let mut v6 = Client::new("[2001:db8:1::1]:4000", "alice", "wonder");
    let request = v6.plain(Method::BINDING, &|_| {});
    let answer = v6.exchange(&mut world, &request);
    assert_eq!(answer.view().xor_mapped_address(), Some(v6.tuple.client.0));
    assert!(answer.bytes.len() <= 44);
}

#[test]
fn credentials_are_ignored() {
    let mut world = World::new(config());
    let mut client = Client::new("198.18.0.1:1", "nobody", "nothing");
    let request = client.signed(Method::BINDING, &|_| {});
    let answer = client.exchange(&mut world, &request);
    assert_eq!(answer.code(), 0);
    assert!(answer.view().integrity().is_none());
}

#[test]
fn an_attribute_not_understood_is_refused() {
    let mut world = World::new(config());
    let mut client = Client::alice(4000);
    // PRIORITY of ICE: connectivity checks are not for servers.
    let request = client.plain(Method::BINDING, &|message| {
        message.push_u32(AttributeType(0x0024), 1).unwrap();
    });
    let answer = client.exchange(&mut world, &request);
    assert_eq!(answer.code(), 420);
    assert!(
        answer
            .view()
            .unknown_attributes()
            .eq([AttributeType(0x0024)])
    );
}

#[test]
fn what_is_no_request_is_not_answered() {
    let mut world = World::new(config());
    let client = Client::alice(4000);
    let build = |class, method| {
        let mut buffer = [0; 64];
        let len = Builder::new(&mut buffer, class, method, TransactionId([1; 12]))
            .unwrap()
            .len();
        buffer[..len].to_vec()
    };
    for (class, method) in [
        (Class::Indication, Method::BINDING),
        (Class::Indication, Method::DATA),
        (Class::Success, Method::BINDING),
        (Class::Error, Method::ALLOCATE),
        (Class::Request, Method::SEND),
        (Class::Request, Method::new(0x00D).unwrap()),
        (Class::Request, Method::new(0xFFF).unwrap()),
    ] {
        let datagram = build(class, method);
        assert_eq!(
            world.raw(&client.tuple, &datagram),
            Err(Refusal::Unexpected),
            "{class:?} {method:?}"
        );
    }
    assert_eq!(world.raw(&client.tuple, &[]), Err(Refusal::Malformed));
    let request = build(Class::Request, Method::BINDING);
    assert_eq!(
        world.raw(&client.tuple, &request[..19]),
        Err(Refusal::Malformed)
    );
}

#[test]
fn a_wrong_fingerprint_is_not_answered() {
    let mut world = World::new(config());
    let mut client = Client::alice(4000);
    let mut request = client.plain(Method::BINDING, &|message| {
        message.push_fingerprint().unwrap();
    });
    assert_eq!(client.exchange(&mut world, &request).code(), 0);
    *request.last_mut().unwrap() ^= 1;
    assert_eq!(
        world.raw(&client.tuple, &request),
        Err(Refusal::BadFingerprint)
    );
}
