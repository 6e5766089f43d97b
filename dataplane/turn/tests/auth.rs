//! The long-term credential mechanism (RFC 8489 §9.2) and REST credentials.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

mod common;

use common::*;
use forebay_turn::{Credentials, Secret};
use forebay_wire::clock::UnixSeconds;
use forebay_wire::stun::{AttributeType, Builder, Method};

fn transport(message: &mut Builder<'_>) {
    message
        .push(AttributeType::REQUESTED_TRANSPORT, &[17, 0, 0, 0])
        .unwrap();
}

fn allocate_code(world: &mut World, client: &mut Client) -> u16 {
    client.allocate_with(world, &|_| {}).code()
}

#[test]
fn a_challenge_is_as_small_as_the_realm_permits() {
    let mut world = World::new(config());
    let mut alice = Client::alice(4000);
    let answer = alice.challenge(&mut world);
    assert_eq!(answer.bytes.len(), 64);
    assert_eq!(world.server.allocations(), 0);
}

#[test]
fn every_method_needs_credentials() {
    let mut world = World::new(config());
    for method in [
        Method::ALLOCATE,
        Method::REFRESH,
        Method::CREATE_PERMISSION,
        Method::CHANNEL_BIND,
    ] {
        let mut client = Client::alice(4000);
        let request = client.plain(method, &|_| {});
        let answer = client.exchange(&mut world, &request);
        assert_eq!(answer.code(), 401);
        assert!(answer.view().nonce().is_some() && answer.view().realm().is_some());
        assert!(answer.view().integrity().is_none() && answer.view().username().is_none());
    }
}

#[test]
fn integrity_without_its_companions_is_a_bad_request() {
    let mut world = World::new(config());
    let mut alice = Client::alice(4000);
    alice.challenge(&mut world);
    let key = alice.key();
    let nonce = alice.nonce.clone();
    for missing in 0..3 {
        let request = alice.plain(Method::ALLOCATE, &|message| {
            transport(message);
            let all: [(AttributeType, &[u8]); 3] = [
                (AttributeType::USERNAME, b"alice"),
                (AttributeType::REALM, REALM.as_bytes()),
                (AttributeType::NONCE, &nonce),
            ];
            for (index, (kind, value)) in all.into_iter().enumerate() {
                if index != missing {
                    message.push(kind, value).unwrap();
                }
            }
            sign(message, &key);
        });
        let answer = alice.exchange(&mut world, &request);
        assert_eq!(answer.code(), 400);
        assert!(answer.view().nonce().is_none() && answer.view().realm().is_none());
    }
    // A username no client may send.
    alice.username = vec![b'a'; 509];
    let request = alice.signed(Method::ALLOCATE, &transport);
    assert_eq!(alice.exchange(&mut world, &request).code(), 400);
}

#[test]
fn what_is_not_understood_is_named_to_no_stranger() {
    let mut world = World::new(config());
    let mut alice = Client::alice(4000);
    let request = alice.plain(Method::ALLOCATE, &|message| {
        message.push_empty(AttributeType::DONT_FRAGMENT).unwrap();
    });
    assert_eq!(alice.exchange(&mut world, &request).code(), 401);
}

#[test]
fn wrong_passwords_and_users_are_unauthenticated() {
    let mut world = World::new(config());
    for (name, password) in [
        ("alice", "wrong"),
        ("bob", "wonder"),
        ("", ""),
        ("alice", ""),
    ] {
        let mut client = Client::new("198.18.0.1:4000", name, password);
        assert_eq!(allocate_code(&mut world, &mut client), 401);
    }
    let mut odd = Client::alice(4000);
    odd.username = vec![0xFF, 0xFE, 0];
    assert_eq!(allocate_code(&mut world, &mut odd), 401);
    assert_eq!(world.server.allocations(), 0);
    assert!(world.events.is_empty());
}

#[test]
fn a_changed_byte_breaks_integrity_and_what_follows_it_is_ignored() {
    let mut world = World::new(config());
    let mut alice = Client::alice(4000);
    alice.challenge(&mut world);
    let mut request = alice.signed(Method::ALLOCATE, &|message| {
        transport(message);
        message.push_u32(AttributeType::LIFETIME, 900).unwrap();
    });
    // LIFETIME's last byte: header, REQUESTED-TRANSPORT, then its TLV.
    request[20 + 8 + 7] ^= 1;
    assert_eq!(alice.exchange(&mut world, &request).code(), 401);

    let key = alice.key();
    let nonce = alice.nonce.clone();
    let request = alice.plain(Method::ALLOCATE, &|message| {
        transport(message);
        message.push(AttributeType::USERNAME, b"alice").unwrap();
        message
            .push(AttributeType::REALM, REALM.as_bytes())
            .unwrap();
        message.push(AttributeType::NONCE, &nonce).unwrap();
        sign(message, &key);
        message.push_u32(AttributeType::LIFETIME, 1200).unwrap();
        message.push_empty(AttributeType::DONT_FRAGMENT).unwrap();
    });
    let answer = alice.exchange(&mut world, &request);
    assert_eq!((answer.code(), answer.lifetime()), (0, 600));
}

#[test]
fn a_nonce_is_bound_to_address_and_time() {
    let mut world = World::new(config());
    let mut alice = Client::alice(4000);
    alice.challenge(&mut world);
    let mut moved = Client::alice(4001);
    moved.nonce = alice.nonce.clone();
    assert_eq!(allocate_code(&mut world, &mut moved), 438);
    let mut other_host = Client::new("198.18.0.2:4000", "alice", "wonder");
    other_host.nonce = alice.nonce.clone();
    assert_eq!(allocate_code(&mut world, &mut other_host), 438);
    for garbage in [
        &b"x"[..],
        b"",
        b"AAAAAAAAAAAAAAAA",
        b"0123456789abcdef0123456789abcdef",
    ] {
        let mut client = Client::alice(4000);
        client.nonce = garbage.to_vec();
        let request = client.signed(Method::ALLOCATE, &transport);
        let answer = client.exchange(&mut world, &request);
        assert_eq!(answer.code(), 438);
        client.nonce = answer.view().nonce().unwrap().to_vec();
        assert_eq!(allocate_code(&mut world, &mut client), 0);
        assert_eq!(client.refresh(&mut world, Some(0)).code(), 0);
    }

    world.advance(secs(3599));
    assert_eq!(allocate_code(&mut world, &mut alice), 0);
    world.advance(secs(1));
    let stale = alice.refresh(&mut world, None);
    assert_eq!(stale.code(), 438);
    alice.nonce = stale.view().nonce().unwrap().to_vec();
    assert_eq!(alice.refresh(&mut world, None).code(), 0);
    // The clock set back makes a nonce of the future, which is no nonce.
    world.now.unix.0 -= 100;
    assert_eq!(alice.refresh(&mut world, None).code(), 438);
}

#[test]
fn a_stale_nonce_with_a_wrong_password_is_unauthenticated() {
    let mut world = World::new(config());
    let mut alice = Client::new("198.18.0.1:4000", "alice", "wrong");
    alice.nonce = b"AAAAAAAAAAAAAAAA".to_vec();
    assert_eq!(allocate_code(&mut world, &mut alice), 401);
    alice.challenge(&mut world);
    world.advance(secs(4000));
    assert_eq!(allocate_code(&mut world, &mut alice), 401);
}

#[test]
fn rest_credentials_live_until_their_expiry() {
    let mut world = World::new(config());
    let at = "198.18.0.1:4000";
    for (ttl, code) in [
        (-1, 401),
        (0, 401),
        (48 * 3600 + 1, 401),
        (48 * 3600, 0),
        (1, 0),
    ] {
        let mut client = Client::rest(&world, at, "carol", ttl, SECRET);
        assert_eq!(allocate_code(&mut world, &mut client), code, "ttl {ttl}");
        if code == 0 {
            client.refresh(&mut world, Some(0));
        }
    }
    let mut wrong = Client::rest(&world, at, "carol", 600, "south");
    assert_eq!(allocate_code(&mut world, &mut wrong), 401);
    for name in [
        "99999999999999999999999:x",
        ":x",
        "x:1",
        "+1800000100:x",
        " 1800000100:x",
    ] {
        let mut odd = Client::new(at, name, &rest_password(SECRET, name));
        assert_eq!(allocate_code(&mut world, &mut odd), 401, "{name}");
    }
    // Without a user part.
    let name = (world.now.unix.0 + 600).to_string();
    let mut bare = Client::new(at, &name, &rest_password(SECRET, &name));
    assert_eq!(allocate_code(&mut world, &mut bare), 0);
}

#[test]
fn an_allocation_outlives_its_credential() {
    let mut world = World::new(config());
    let mut carol = Client::rest(&world, "198.18.0.1:4000", "carol", 60, SECRET);
    carol.allocate(&mut world);
    world.server.set_credentials(&Credentials::default());
    world.advance(secs(300));
    assert_eq!(carol.refresh(&mut world, None).code(), 0);
    assert_eq!(carol.permit(&mut world, &[PEER]), 0);
    let request = carol.signed(Method::REFRESH, &|message| {
        message.push_u32(AttributeType::LIFETIME, 0).unwrap();
    });
    assert_eq!(carol.exchange(&mut world, &request).code(), 0);
    assert_eq!(
        carol.exchange(&mut world, &request).code(),
        0,
        "a retransmission"
    );
    assert_eq!(
        allocate_code(&mut world, &mut carol),
        401,
        "nothing new comes of it"
    );
}

#[test]
fn several_secrets_and_their_last_days() {
    let mut world = World::new(config());
    let last = UnixSeconds(world.now.unix.0 + 100);
    world.server.set_credentials(&Credentials {
        secrets: vec![
            Secret {
                id: "old".into(),
                key: b"old".to_vec(),
                not_after: Some(last),
            },
            secret("new"),
        ],
        users: vec![user("alice", "wonder")],
    });
    let mut port = 4000;
    let mut works = |world: &mut World, secret: &str| {
        port += 1;
        let mut client = Client::rest(world, &format!("198.18.0.1:{port}"), "carol", 600, secret);
        allocate_code(world, &mut client)
    };
    assert_eq!(works(&mut world, "old"), 0);
    assert_eq!(works(&mut world, "new"), 0);
    assert_eq!(works(&mut world, "north"), 401, "replaced as a whole");
    world.advance(secs(100));
    assert_eq!(works(&mut world, "old"), 0);
    world.advance(secs(1));
    assert_eq!(works(&mut world, "old"), 401);
    assert_eq!(works(&mut world, "new"), 0);
    Client::alice(5000).allocate(&mut world);
}

#[test]
fn a_static_user_may_look_like_a_rest_user() {
    let mut world = World::new(config());
    let name = format!("{}:dave", world.now.unix.0 + 600);
    world.server.set_credentials(&Credentials {
        secrets: vec![secret(SECRET)],
        users: vec![user(&name, "static")],
    });
    assert_eq!(
        allocate_code(
            &mut world,
            &mut Client::new("198.18.0.1:4000", &name, "static")
        ),
        0
    );
    let password = rest_password(SECRET, &name);
    assert_eq!(
        allocate_code(
            &mut world,
            &mut Client::new("198.18.0.1:4001", &name, &password)
        ),
        0
    );
}

#[test]
fn other_users_do_not_touch_an_allocation() {
    let mut world = World::new(config());
    world.server.set_credentials(&Credentials {
        secrets: vec![],
        users: vec![user("alice", "wonder"), user("bob", "builder")],
    });
    let mut alice = Client::alice(4000);
    let relay = alice.allocate(&mut world);
    let mut bob = Client::new("198.18.0.1:4000", "bob", "builder");
    assert_eq!(bob.refresh(&mut world, Some(0)).code(), 441);
    assert_eq!(bob.permit(&mut world, &[PEER]), 441);
    assert_eq!(bob.bind(&mut world, 0x4000, PEER), 441);
    assert_eq!(bob.allocate_with(&mut world, &|_| {}).code(), 437);
    bob.password = b"guess".to_vec();
    assert_eq!(bob.refresh(&mut world, Some(0)).code(), 401);
    assert!(world.from_peer(relay, PEER).is_err());
    assert_eq!(world.server.allocations(), 1);
}

#[test]
fn secrets_stay_out_of_debug_output() {
    let credentials = Credentials {
        secrets: vec![secret("north")],
        users: vec![user("alice", "wonder")],
    };
    let text = format!("{credentials:?}");
    assert!(text.contains("alice") && text.contains("north"));
    assert!(
        !text.contains("wonder") && !text.contains("110, 111"),
        "{text}"
    );
}
