//! ICE-lite and consent.

use core::time::Duration;

use forebay_media::{Change, DropReason, Event, IceCredentials, Loss, Refusal, Transport};
use forebay_wire::stun::{AttributeType, Class, ErrorCode, Fingerprint, Message};

use crate::support::browser::{Browser, check, credentials, mac};
use crate::support::{Rig, client, path};

fn refused(rig: &mut Rig, datagram: &[u8]) -> Option<u16> {
    rig.browsers[0].answers.clear();
    let from = rig.browsers[0].address;
    rig.receive(from, datagram);
    rig.flush();
    let answer = rig.browsers[0].answers.pop()?;
    let message = Message::parse(&answer).unwrap();
    assert_eq!(message.class(), Class::Error);
    assert_eq!(message.fingerprint(), Fingerprint::Valid);
    let code = message.get(AttributeType::ERROR_CODE).unwrap();
    Some(u16::from(code[2]) * 100 + u16::from(code[3]))
}

/// A rig with one browser that has not been heard.
fn waiting() -> Rig {
    let mut rig = Rig::default();
    let browser = Browser::new(1, client(1));
    rig.apply(Change::SetSession(browser.session()));
    rig.browsers.push(browser);
    rig
}

fn dropped(rig: &Rig, why: DropReason) -> u64 {
    rig.forwarder.counters().dropped[why as usize]
}

#[test]
fn a_good_check_is_answered_and_a_nomination_selects_its_path() {
    let mut rig = waiting();
    rig.check(0, false);
    let answer = rig.browsers[0].answers.pop().unwrap();
    let message = Message::parse(&answer).unwrap();
    assert_eq!(message.class(), Class::Success);
    assert_eq!(message.xor_mapped_address(), Some(client(1)));
    assert_eq!(message.fingerprint(), Fingerprint::Valid);
    let integrity = message.integrity().unwrap();
    let password = &rig.browsers[0].ice.password;
    assert_eq!(mac(password, &integrity.input), *integrity.mac);
    assert_eq!(rig.events(), []);

    rig.check(0, true);
    let session = rig.browsers[0].key;
    let connected = Event::Connected {
        session,
        path: path(client(1)),
    };
    assert_eq!(rig.events(), [connected]);
    rig.check(0, true);
    assert_eq!(rig.events(), [], "nothing new");
    assert_eq!(rig.forwarder.counters().checks, 3);
}

#[test]
fn what_is_not_authentic_changes_nothing() {
    let mut rig = waiting();
    let ice = rig.browsers[0].ice.clone();
    let good = format!("{}:{}", ice.ufrag, rig.browsers[0].ufrag);
    let none = |_: &mut forebay_wire::stun::Builder<'_>| {};

    let wrong_password = check(1, &good, "password0123456789abXX", none);
    assert_eq!(refused(&mut rig, &wrong_password), Some(401));
    let wrong_local = check(2, "nobody:remo1", &ice.password, none);
    assert_eq!(refused(&mut rig, &wrong_local), Some(401));
    let wrong_remote = check(3, &format!("{}:else", ice.ufrag), &ice.password, none);
    assert_eq!(refused(&mut rig, &wrong_remote), Some(401));
    let no_colon = check(4, &ice.ufrag, &ice.password, none);
    assert_eq!(refused(&mut rig, &no_colon), Some(401));

    let mut bare = vec![0, 1, 0, 0];
    bare.extend_from_slice(&0x2112_A442_u32.to_be_bytes());
    bare.extend_from_slice(&[1; 12]);
    assert_eq!(refused(&mut rig, &bare), None, "no fingerprint, no answer");

    let mut damaged = check(5, &good, &ice.password, none);
    let last = damaged.len() - 1;
    damaged[last] ^= 1;
    assert_eq!(refused(&mut rig, &damaged), None);

    assert_eq!(rig.forwarder.counters().checks, 0);
    assert_eq!(dropped(&rig, DropReason::BadCheck), 6);
    assert_eq!(rig.events(), []);
    // Such a path does not lead to the session.
    rig.receive(client(1), &[22, 254, 253, 0]);
    assert_eq!(dropped(&rig, DropReason::NoSession), 1);
}

#[test]
fn a_peer_that_is_controlled_is_told_to_change_its_role() {
    let mut rig = waiting();
    let ice = rig.browsers[0].ice.clone();
    let username = format!("{}:{}", ice.ufrag, rig.browsers[0].ufrag);
    let conflict = check(1, &username, &ice.password, |builder| {
        let _ = builder.push(AttributeType::ICE_CONTROLLED, &[0xFF; 8]);
        let _ = builder.push_empty(AttributeType::USE_CANDIDATE);
    });
    let code = refused(&mut rig, &conflict);
    assert_eq!(code, Some(ErrorCode::ROLE_CONFLICT.get()));
    let unknown = check(2, &username, &ice.password, |builder| {
        let _ = builder.push(AttributeType(0x7ABC), &[0; 4]);
    });
    assert_eq!(refused(&mut rig, &unknown), Some(420));
    assert_eq!(rig.events(), []);
}

#[test]
fn refusals_to_strangers_are_bounded() {
    let mut rig = waiting();
    for id in 0..2000 {
        let datagram = check(id, "nobody:else", "password0123456789abXX", |_| {});
        rig.receive(client(1), &datagram);
        rig.flush();
    }
    assert_eq!(rig.browsers[0].answers.len(), 500);
    assert_eq!(dropped(&rig, DropReason::BadCheck), 2000);
}

#[test]
fn media_follows_a_nomination_to_another_path() {
    let mut rig = Rig::default();
    let at = rig.join(1);
    let session = rig.browsers[at].key;
    rig.events();
    let moved = client(77);
    let datagram = rig.browsers[at].check(true);
    rig.browsers[at].address = moved;
    rig.receive(moved, &datagram);
    rig.flush();
    let connected = Event::Connected {
        session,
        path: path(moved),
    };
    assert_eq!(rig.events(), [connected]);
    rig.browsers[at].dtls.clear();
    rig.forwarder
        .send_dtls(session, &[22, 1, 2, 3], &mut rig.sink);
    rig.flush();
    assert_eq!(rig.browsers[at].dtls.len(), 1);
    assert_eq!(rig.browsers[at].answers.len(), 2);
}

#[test]
fn a_session_keeps_eight_paths() {
    let mut rig = Rig::default();
    let at = rig.join(1);
    for n in 100..200 {
        rig.pass(Duration::from_millis(10));
        let datagram = rig.browsers[at].check(false);
        rig.receive(client(n), &datagram);
        rig.flush();
    }
    let through = |rig: &mut Rig, n: u16| {
        let before = rig.dtls.len();
        rig.receive(client(n), &[22, 254, 253, 0]);
        rig.flush();
        rig.dtls.len() > before
    };
    assert!(through(&mut rig, 1), "the selected one stays");
    assert!(through(&mut rig, 199));
    assert!(through(&mut rig, 193));
    assert!(!through(&mut rig, 192));
}

#[test]
fn consent_ends_with_the_checks() {
    let mut rig = Rig::default();
    let at = rig.join(1);
    let session = rig.browsers[at].key;
    for _ in 0..20 {
        rig.pass(Duration::from_secs(5));
        rig.check(at, false);
    }
    rig.events();
    rig.pass(Duration::from_secs(14));
    assert_eq!(rig.events(), []);
    rig.pass(Duration::from_secs(3));
    assert_eq!(rig.events(), [Event::Disconnected { session }]);
    rig.check(at, false);
    let connected = Event::Connected {
        session,
        path: path(client(1)),
    };
    assert_eq!(rig.events(), [connected], "back again");
    rig.pass(Duration::from_secs(32));
    let ended = Event::Ended {
        session,
        why: Loss::Consent,
    };
    assert_eq!(rig.events(), [Event::Disconnected { session }, ended]);
    assert_eq!(rig.forwarder.counters().sessions, 0);
    rig.check(at, true);
    assert_eq!(rig.forwarder.counters().sessions, 0);
    assert_eq!(rig.events(), []);
    rig.pass(Duration::from_secs(60));
}

#[test]
fn a_session_nobody_reaches_ends() {
    let mut rig = waiting();
    rig.pass(Duration::from_secs(29));
    assert_eq!(rig.events(), []);
    rig.pass(Duration::from_secs(2));
    let ended = Event::Ended {
        session: rig.browsers[0].key,
        why: Loss::NeverConnected,
    };
    assert_eq!(rig.events(), [ended]);
}

fn restart(rig: &mut Rig, at: usize, ice: &IceCredentials) -> Result<(), Refusal> {
    let mut config = rig.browsers[at].session();
    config.transport = Transport::Ice {
        local: ice.clone(),
        remote_ufrag: Some(rig.browsers[at].ufrag.as_str().into()),
    };
    rig.try_apply(Change::SetSession(config))
}

fn succeeds(rig: &mut Rig, at: usize, ice: &IceCredentials) -> bool {
    rig.browsers[at].answers.clear();
    let datagram = rig.browsers[at].check_with(ice, false);
    rig.receive(rig.browsers[at].address, &datagram);
    rig.flush();
    let answer = rig.browsers[at].answers.pop().unwrap();
    Message::parse(&answer).unwrap().class() == Class::Success
}

#[test]
fn after_a_restart_old_credentials_hold_until_the_new_are_used() {
    let mut rig = Rig::default();
    let at = rig.join(1);
    let old = rig.browsers[at].ice.clone();
    let new = credentials(1, 1);
    restart(&mut rig, at, &new).unwrap();
    assert!(succeeds(&mut rig, at, &old));
    assert!(succeeds(&mut rig, at, &new));
    assert!(!succeeds(&mut rig, at, &old));
    // A second restart that is given up for a third.
    let (second, third) = (credentials(1, 2), credentials(1, 3));
    restart(&mut rig, at, &second).unwrap();
    restart(&mut rig, at, &third).unwrap();
    assert!(!succeeds(&mut rig, at, &second));
    assert!(succeeds(&mut rig, at, &new));
    assert!(succeeds(&mut rig, at, &third));
    assert!(!succeeds(&mut rig, at, &new));
    rig.apply(Change::RemoveSession(rig.browsers[at].key));
    assert!(!succeeds(&mut rig, at, &third));
}

#[test]
fn two_sessions_never_share_a_fragment() {
    let mut rig = Rig::default();
    let one = rig.join(1);
    let two = rig.join(2);
    let taken = rig.browsers[one].ice.clone();
    assert_eq!(restart(&mut rig, two, &taken), Err(Refusal::Invalid));
    assert!(succeeds(&mut rig, one, &taken));
    let mut third = Browser::new(3, client(3));
    third.ice = taken;
    let refused = rig.try_apply(Change::SetSession(third.session()));
    assert_eq!(refused, Err(Refusal::Invalid));
    assert_eq!(rig.forwarder.counters().sessions, 2);
}

#[test]
fn handshake_datagrams_are_budgeted() {
    let mut rig = waiting();
    rig.check(0, true);
    for _ in 0..200 {
        rig.receive(client(1), &[22, 254, 253, 0]);
    }
    rig.flush();
    assert_eq!(rig.dtls.len(), 64);
    assert_eq!(rig.dtls[0].0, rig.browsers[0].key);
    assert_eq!(dropped(&rig, DropReason::DtlsBudget), 136);
    rig.pass(Duration::from_secs(1));
    rig.receive(client(1), &[22, 254, 253, 0]);
    rig.flush();
    assert_eq!(rig.dtls.len(), 65);
}

#[test]
fn answers_to_a_handshake_go_where_it_came_from_before_a_nomination() {
    let mut rig = waiting();
    let session = rig.browsers[0].key;
    rig.forwarder.send_dtls(session, &[22, 1], &mut rig.sink);
    rig.flush();
    assert!(rig.browsers[0].dtls.is_empty());
    rig.check(0, false);
    rig.forwarder.send_dtls(session, &[22, 1], &mut rig.sink);
    rig.flush();
    assert_eq!(rig.browsers[0].dtls.len(), 1);
}

#[test]
fn nothing_is_sent_where_the_connection_is_gone() {
    let mut rig = Rig::default();
    let at = rig.join(1);
    let session = rig.browsers[at].key;
    rig.events();
    assert!(rig.forwarder.knows(&path(client(1))));
    rig.forwarder.disconnected(&path(client(1)));
    rig.forwarder.disconnected(&path(client(2)));
    assert!(!rig.forwarder.knows(&path(client(1))));
    rig.forwarder.send_dtls(session, &[22, 1], &mut rig.sink);
    rig.pass(Duration::from_secs(2));
    assert!(rig.browsers[at].dtls.is_empty() && rig.browsers[at].rtcp.is_empty());
    // Its successor may have the same address; a check makes it one.
    rig.receive(client(1), &[22, 254, 253, 0]);
    assert_eq!(dropped(&rig, DropReason::NoSession), 1);
    rig.check(at, true);
    let connected = Event::Connected {
        session,
        path: path(client(1)),
    };
    assert_eq!(rig.events(), [connected]);
    rig.forwarder.send_dtls(session, &[22, 1], &mut rig.sink);
    rig.flush();
    assert_eq!(rig.browsers[at].dtls.len(), 1);
}
