//! RFC 8489: SHA-256, password algorithms, hashed usernames, and what an
//! attacker on the way can make of the offer.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

#[path = "../common/mod.rs"]
mod common;
mod expiry;
mod habits;

use common::*;
use forebay_turn::{Config, Credentials, PasswordAlgorithm};
use forebay_wire::stun::{AttributeType, Builder, Message, Method};
use habits::{Habits, hmac_sha256};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

const SHA256: [u8; 4] = [0, 2, 0, 0];
const MD5: [u8; 4] = [0, 1, 0, 0];

fn modern() -> Config {
    Config {
        algorithms: vec![PasswordAlgorithm::Sha256, PasswordAlgorithm::Md5],
        ..config()
    }
}

fn users_alone(world: &mut World) {
    world.server.set_credentials(&Credentials {
        secrets: Vec::new(),
        users: vec![user("alice", "wonder"), user("bob", "builder")],
    });
}

#[test]
fn a_challenge_offers_and_announces_what_it_offers() {
    let mut world = World::new(modern());
    let mut alice = Client::alice(4000);
    let answer = alice.challenge(&mut world);
    // 28 more than one that offers nothing.
    assert_eq!(answer.bytes.len(), 92);
    assert_eq!(
        answer.view().password_algorithms(),
        Some(&[SHA256, MD5].concat()[..])
    );
    // Bit 0: password algorithms. With a REST secret about, no hashed names.
    assert!(alice.nonce.starts_with(b"obMatJos2gAAA"));
    users_alone(&mut world);
    alice.challenge(&mut world);
    // Bits 0 and 1.
    assert!(alice.nonce.starts_with(b"obMatJos2wAAA"));
    // What is announced is offered wherever a nonce is.
    alice.nonce = b"AAAAAAAAAAAAAAAA".to_vec();
    let request = Habits::proper().request(&mut alice, Method::ALLOCATE, &|_| {});
    let stale = alice.exchange(&mut world, &request);
    assert_eq!(stale.code(), 438);
    assert!(stale.view().password_algorithms().is_some());
    assert!(stale.view().nonce().unwrap().starts_with(b"obMatJos2wAAA"));

    let mut world = World::new(config());
    let answer = alice.challenge(&mut world);
    assert_eq!(answer.bytes.len(), 64);
    assert!(answer.view().password_algorithms().is_none());
}

#[test]
fn sha256_all_the_way() {
    let mut world = World::new(modern());
    let mut alice = Client::alice(4000);
    alice.challenge(&mut world);
    let proper = Habits::proper();
    assert_eq!(proper.call(&mut world, &mut alice, Method::ALLOCATE), 0);
    assert_eq!(proper.call(&mut world, &mut alice, Method::REFRESH), 0);
    let peer = |message: &mut Builder<'_>| {
        message
            .push_xor_address(AttributeType::XOR_PEER_ADDRESS, addr(PEER))
            .unwrap();
    };
    let permit = Method::CREATE_PERMISSION;
    assert_eq!(proper.call_with(&mut world, &mut alice, permit, &peer), 0);
    assert!(world.send(&alice, PEER).is_ok());
    // Errors carry the same integrity.
    assert_eq!(proper.call(&mut world, &mut alice, permit), 400);
    assert_eq!(proper.call(&mut world, &mut alice, Method::ALLOCATE), 437);
    // REST credentials know nothing of algorithms.
    let mut carol = Client::rest(&world, "198.18.0.2:4000", "carol", 600, SECRET);
    carol.challenge(&mut world);
    assert_eq!(proper.call(&mut world, &mut carol, Method::ALLOCATE), 0);
}

#[test]
fn clients_of_rfc_5389_notice_nothing() {
    let mut world = World::new(modern());
    let mut alice = Client::alice(4000);
    alice.allocate(&mut world);
    assert_eq!(alice.bind(&mut world, 0x4000, PEER), 0);
    assert_eq!(alice.refresh(&mut world, Some(0)).code(), 0);
}

#[test]
fn every_sound_choice_of_key_and_integrity() {
    let choices = [
        (Some(SHA256), false, true),
        (Some(SHA256), true, false),
        (Some(SHA256), true, true),
        (Some(MD5), false, true),
        (Some(MD5), true, false),
        (None, true, false),
        (None, false, true),
        (None, true, true),
    ];
    for (port, (algorithm, sha1, sha256)) in (4000..).zip(choices) {
        let mut world = World::new(modern());
        let mut alice = Client::alice(port);
        alice.challenge(&mut world);
        let habits = Habits {
            list: algorithm.map(|_| [SHA256, MD5].concat()),
            algorithm,
            sha1,
            sha256,
            hashed: false,
        };
        assert_eq!(habits.call(&mut world, &mut alice, Method::ALLOCATE), 0);
        assert_eq!(habits.call(&mut world, &mut alice, Method::REFRESH), 0);
    }
}

/// RFC 8489 §9.2.4: 400 wherever choice and offer do not agree.
#[test]
fn an_offer_changed_on_the_way_is_noticed() {
    let mut world = World::new(modern());
    let mut alice = Client::alice(4000);
    alice.challenge(&mut world);
    let both = [SHA256, MD5].concat();
    type Changed = (Option<Vec<u8>>, Option<[u8; 4]>);
    let changed: [Changed; 9] = [
        // SHA-256 taken out, the order turned, another added.
        (Some(MD5.to_vec()), Some(MD5)),
        (Some([MD5, SHA256].concat()), Some(MD5)),
        (
            Some([both.clone(), vec![0, 3, 0, 0]].concat()),
            Some(SHA256),
        ),
        (Some(SHA256.to_vec()), Some(SHA256)),
        // The list or the choice left out.
        (None, Some(MD5)),
        (None, Some(SHA256)),
        (Some(both.clone()), None),
        // Not on the list; with parameters it does not take.
        (Some(both.clone()), Some([0, 3, 0, 0])),
        (Some(both), Some([0, 2, 0, 1])),
    ];
    for (list, algorithm) in changed {
        let habits = Habits {
            list: list.clone(),
            algorithm,
            ..Habits::proper()
        };
        let request = habits.request(&mut alice, Method::ALLOCATE, &|_| {});
        let answer = alice.exchange(&mut world, &request);
        assert_eq!(answer.code(), 400, "{list:?} {algorithm:?}");
        assert!(answer.view().nonce().is_none() && answer.view().realm().is_none());
    }
    assert_eq!(world.server.allocations(), 0);
}

/// A cookie or a feature taken out of a nonce leaves a nonce nobody made, and
/// the next challenge has it again.
#[test]
fn a_nonce_cannot_be_stripped_of_what_it_announces() {
    let mut world = World::new(modern());
    users_alone(&mut world);
    let mut alice = Client::alice(4000);
    alice.challenge(&mut world);
    let good = alice.nonce.clone();
    let legacy = Habits {
        list: None,
        algorithm: None,
        sha1: true,
        sha256: false,
        hashed: false,
    };
    let rest = &good[13..];
    for stripped in [
        rest.to_vec(),
        [b"obMatJos2AAAA", rest].concat(),
        [b"obMatJos2gAAA", rest].concat(),
        [b"obMatJos2QAAA", rest].concat(),
        [b"obMatJos2wAAB", rest].concat(),
        [b"obMatJos2", rest].concat(),
        [b"obMatJos", &good[9..]].concat(),
    ] {
        alice.nonce = stripped;
        for habits in [&legacy, &Habits::proper()] {
            let request = habits.request(&mut alice, Method::ALLOCATE, &|_| {});
            let answer = alice.exchange(&mut world, &request);
            assert_eq!(answer.code(), 438);
            assert!(answer.view().nonce().unwrap().starts_with(b"obMatJos2wAAA"));
            assert!(answer.view().password_algorithms().is_some());
        }
    }
    alice.nonce = good;
    let proper = Habits::proper();
    assert_eq!(proper.call(&mut world, &mut alice, Method::ALLOCATE), 0);
}

#[test]
fn of_both_integrity_attributes_sha256_decides() {
    let mut world = World::new(modern());
    let mut alice = Client::alice(4000);
    alice.challenge(&mut world);
    let both = Habits {
        sha1: true,
        ..Habits::proper()
    };
    let mut request = both.request(&mut alice, Method::ALLOCATE, &|_| {});
    // MESSAGE-INTEGRITY is good and its sibling, last in the message, is not.
    *request.last_mut().unwrap() ^= 1;
    assert_eq!(alice.exchange(&mut world, &request).code(), 401);
    // The other way round both are wrong, as one covers the other.
    let mut request = both.request(&mut alice, Method::ALLOCATE, &|_| {});
    let sha1 = request.len() - 36 - 1;
    request[sha1] ^= 1;
    assert_eq!(alice.exchange(&mut world, &request).code(), 401);
    assert_eq!(both.call(&mut world, &mut alice, Method::ALLOCATE), 0);
}

#[test]
fn wrong_passwords_and_short_macs() {
    let mut world = World::new(modern());
    let mut alice = Client::new("198.18.0.1:4000", "alice", "wrong");
    alice.challenge(&mut world);
    let proper = Habits::proper();
    assert_eq!(proper.call(&mut world, &mut alice, Method::ALLOCATE), 401);
    assert_eq!(world.server.auth_failures().wrong, 1);
    alice.password = b"wonder".to_vec();
    // TURN allows no truncation (RFC 8489 §14.6).
    let habits = Habits {
        sha256: false,
        ..Habits::proper()
    };
    let key = habits.key(&alice);
    let request = habits.request(&mut alice, Method::ALLOCATE, &|_| {});
    let view = Message::parse(&request).unwrap();
    let short = alice.plain(Method::ALLOCATE, &|message| {
        for (kind, value) in view.attributes() {
            message.push(kind, value).unwrap();
        }
        // The MAC of a message whose length counts 16 bytes of it.
        let mut input = message.integrity_sha256_input();
        let len = u16::from_be_bytes([input.header[2], input.header[3]]) - 16;
        input.header[2..4].copy_from_slice(&len.to_be_bytes());
        let mut mac = Hmac::<Sha256>::new_from_slice(&key).unwrap();
        mac.update(&input.header);
        mac.update(input.body);
        let mac: [u8; 32] = mac.finalize().into_bytes().into();
        message
            .push(AttributeType::MESSAGE_INTEGRITY_SHA256, &mac[..16])
            .unwrap();
    });
    assert_eq!(alice.exchange(&mut world, &short).code(), 401);
    // A key made with the other algorithm than the one named.
    let swapped = Habits {
        algorithm: None,
        list: None,
        ..Habits::proper()
    };
    let md5_key = swapped.key(&alice);
    let nonce = alice.nonce.clone();
    let request = alice.plain(Method::ALLOCATE, &|message| {
        message.push(AttributeType::USERNAME, b"alice").unwrap();
        message
            .push(AttributeType::REALM, REALM.as_bytes())
            .unwrap();
        message.push(AttributeType::NONCE, &nonce).unwrap();
        message
            .push(AttributeType::PASSWORD_ALGORITHMS, &[SHA256, MD5].concat())
            .unwrap();
        message
            .push(AttributeType::PASSWORD_ALGORITHM, &SHA256)
            .unwrap();
        let mac = hmac_sha256(&md5_key, message);
        message.push_integrity_sha256(&mac).unwrap();
    });
    assert_eq!(alice.exchange(&mut world, &request).code(), 401);
}

#[test]
fn a_user_is_the_same_by_name_and_by_hash() {
    let mut world = World::new(modern());
    users_alone(&mut world);
    let hashed = Habits {
        hashed: true,
        ..Habits::proper()
    };
    let mut alice = Client::alice(4000);
    alice.challenge(&mut world);
    assert_eq!(hashed.call(&mut world, &mut alice, Method::ALLOCATE), 0);
    let named = world.events.iter().any(|event| {
        matches!(event, forebay_turn::Command::Created { username, .. } if &**username == "alice")
    });
    assert!(named, "records name the user");
    let proper = Habits::proper();
    assert_eq!(proper.call(&mut world, &mut alice, Method::REFRESH), 0);
    assert_eq!(hashed.call(&mut world, &mut alice, Method::REFRESH), 0);
    // Others are others.
    let mut bob = Client::new("198.18.0.1:4000", "bob", "builder");
    bob.nonce = alice.nonce.clone();
    assert_eq!(hashed.call(&mut world, &mut bob, Method::REFRESH), 441);
    let mut nobody = Client::new("198.18.0.1:4000", "nobody", "builder");
    nobody.nonce = alice.nonce.clone();
    assert_eq!(hashed.call(&mut world, &mut nobody, Method::REFRESH), 401);
}

/// A REST user's hash names nobody, until an allocation vouches for it.
#[test]
fn a_rest_user_is_known_by_hash_while_it_has_an_allocation() {
    let mut world = World::new(modern());
    let hashed = Habits {
        hashed: true,
        ..Habits::proper()
    };
    let mut carol = Client::rest(&world, "198.18.0.1:4000", "carol", 600, SECRET);
    carol.challenge(&mut world);
    assert_eq!(hashed.call(&mut world, &mut carol, Method::ALLOCATE), 401);
    let proper = Habits::proper();
    assert_eq!(proper.call(&mut world, &mut carol, Method::ALLOCATE), 0);
    assert_eq!(hashed.call(&mut world, &mut carol, Method::REFRESH), 0);
    assert_eq!(hashed.call(&mut world, &mut carol, Method::ALLOCATE), 437);
}

#[test]
fn a_name_and_a_hash_are_one_too_many() {
    let mut world = World::new(modern());
    let mut alice = Client::alice(4000);
    alice.challenge(&mut world);
    let hashed = Habits {
        hashed: true,
        ..Habits::proper()
    };
    let code = hashed.call_with(&mut world, &mut alice, Method::ALLOCATE, &|message| {
        message.push(AttributeType::USERNAME, b"alice").unwrap();
    });
    assert_eq!(code, 400);
}

/// RFC 8489 §9.2.3.2 asks for the algorithm alone once a request went through.
#[test]
fn whoever_has_an_allocation_need_not_repeat_the_list() {
    let mut world = World::new(modern());
    let mut alice = Client::alice(4000);
    alice.challenge(&mut world);
    let proper = Habits::proper();
    let brief = Habits {
        list: None,
        ..Habits::proper()
    };
    assert_eq!(brief.call(&mut world, &mut alice, Method::ALLOCATE), 400);
    assert_eq!(proper.call(&mut world, &mut alice, Method::ALLOCATE), 0);
    assert_eq!(brief.call(&mut world, &mut alice, Method::REFRESH), 0);
    // Not with another algorithm than it was made with.
    let weaker = Habits {
        list: None,
        algorithm: Some(MD5),
        ..Habits::proper()
    };
    assert_eq!(weaker.call(&mut world, &mut alice, Method::REFRESH), 400);
}

#[test]
fn an_allocation_keeps_the_key_it_was_made_with() {
    let mut world = World::new(modern());
    let mut carol = Client::rest(&world, "198.18.0.1:4000", "carol", 600, SECRET);
    carol.challenge(&mut world);
    let proper = Habits::proper();
    assert_eq!(proper.call(&mut world, &mut carol, Method::ALLOCATE), 0);
    world.server.set_credentials(&Credentials::default());
    assert_eq!(proper.call(&mut world, &mut carol, Method::REFRESH), 0);
    // The other key went with the secret.
    let legacy = Habits {
        list: None,
        algorithm: None,
        sha1: true,
        sha256: false,
        hashed: false,
    };
    assert_eq!(legacy.call(&mut world, &mut carol, Method::REFRESH), 401);
    let goodbye = |message: &mut Builder<'_>| {
        message.push_u32(AttributeType::LIFETIME, 0).unwrap();
    };
    let request = proper.request(&mut carol, Method::REFRESH, &goodbye);
    let first = carol.exchange(&mut world, &request);
    assert_eq!(first.code(), 0);
    assert_eq!(carol.exchange(&mut world, &request), first);
}

#[test]
fn without_md5_clients_of_rfc_5389_stay_out() {
    let mut world = World::new(Config {
        algorithms: vec![PasswordAlgorithm::Sha256],
        ..config()
    });
    let mut alice = Client::alice(4000);
    let answer = alice.challenge(&mut world);
    assert_eq!(answer.view().password_algorithms(), Some(&SHA256[..]));
    assert_eq!(alice.allocate_with(&mut world, &|_| {}).code(), 401);
    let only = Habits {
        list: Some(SHA256.to_vec()),
        ..Habits::proper()
    };
    assert_eq!(only.call(&mut world, &mut alice, Method::ALLOCATE), 0);
}
